"""One output value of attention."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from .caught import Caught, Found, Position, argument, number, plus


def attention(caught: Caught, at: Position) -> Found:
    query, key, value = (argument(caught, place, name) for place, name in ((0, "query"), (1, "key"), (2, "value")))
    mask, causal = argument(caught, 3, "attn_mask"), argument(caught, 5, "is_causal", False)
    scale = argument(caught, 6, "scale") or query.shape[-1] ** -0.5
    batch, place, channel = at[:-2], at[-2], at[-1]
    shape = caught.output.shape[:-2]
    q, k, v = (tensor.expand(*shape, *tensor.shape[-2:])[batch] for tensor in (query, key, value))
    scores = k @ q[place] * scale
    if causal:
        scores = scores.masked_fill(torch.arange(len(scores)) > place, -math.inf)
    if mask is not None:
        row = mask.expand(*shape, *mask.shape[-2:])[batch][place]
        scores = scores.masked_fill(~row, -math.inf) if row.dtype == torch.bool else scores + row
    shares = scores.softmax(-1)
    parts = [("scores: query · key / √d", scores), ("shares, which add up to 1", shares), ("values", v[:, channel])]
    return "attention", parts, f"the sum of {len(shares)} products share · value", (shares * v[:, channel]).sum()


def multi_head(caught: Caught, at: Position) -> Found:
    module = caught.module
    assert isinstance(module, nn.MultiheadAttention)
    query, key, value = (
        caught.args[place] if len(caught.args) > place else caught.kwargs[name]
        for place, name in ((0, "query"), (1, "key"), (2, "value"))
    )
    mask = caught.args[5] if len(caught.args) > 5 else caught.kwargs.get("attn_mask")
    padding = caught.args[3] if len(caught.args) > 3 else caught.kwargs.get("key_padding_mask")
    if not module._qkv_same_embed_dim or module.bias_k is not None or mask is not None or padding is not None:
        raise ValueError("layer: attention with masks or with keys of another width does not open to one value")
    if query.ndim == 2:
        image, place = 0, at[0]
        query, key, value = query[None], key[None], value[None]
    elif module.batch_first:
        image, place = at[0], at[1]
    else:
        image, place = at[1], at[0]
        query, key, value = (tensor.transpose(0, 1) for tensor in (query, key, value))
    weight, bias = module.in_proj_weight, module.in_proj_bias
    parts_of = (weight.chunk(3), bias.chunk(3) if bias is not None else (None,) * 3)
    heads, width = module.num_heads, module.head_dim
    q, k, v = (
        functional.linear(tensor[image], own, more).unflatten(-1, (heads, width))
        for tensor, own, more in zip((query, key, value), *parts_of, strict=True)
    )
    scores = torch.einsum("hd,nhd->hn", q[place], k) / math.sqrt(width)
    shares = scores.softmax(-1)
    found = torch.einsum("hn,nhd->hd", shares, v).flatten()
    factors, added = module.out_proj.weight[at[-1]], module.out_proj.bias
    products = (found * factors).sum()
    extra = float(added[at[-1]]) if added is not None else None
    parts = [
        ("shares of the first head, which add up to 1", shares[0]),
        (f"what {heads} heads found: shares · values", found),
        ("weights of the output", factors),
    ]
    words = f"the sum of {found.numel()} products found · weight {number(products)}" + plus(extra)
    return "attention", parts, words, products + (extra or 0.0)
