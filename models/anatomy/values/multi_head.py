"""One output value of nn.MultiheadAttention, with masks, with keys of another width and with keys that are added."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ....errors import counted
from .attention import as_added, scores_and_shares, shares_of
from .caught import Caught, Found, Position, number, plus

USUAL = {"key_padding_mask": None, "need_weights": True, "attn_mask": None, "average_attn_weights": True}
ARGUMENTS = ("query", "key", "value", *USUAL, "is_causal")
FIRST_HEAD = " of the first head"


@dataclass(frozen=True)
class Entering:
    """What one image hands in, each (tokens, width), and what the masks add to the scores of each head."""

    query: Tensor
    key: Tensor
    value: Tensor
    added: Tensor | None


def multi_head(caught: Caught, at: Position) -> Found:
    module = caught.module
    assert isinstance(module, nn.MultiheadAttention)
    given = {**USUAL, **dict(zip(ARGUMENTS, caught.args, strict=False)), **caught.kwargs}
    batched = given["query"].ndim == 3
    image, place = (0, at[0]) if not batched else at[:2] if module.batch_first else (at[1], at[0])
    one = _of_image(module, given, image, batched)
    heads, width = module.num_heads, module.head_dim
    q, k, v = _projected(module, one)
    fits = torch.einsum("hd,nhd->hn", q[place], k) / math.sqrt(width)
    added = None if one.added is None else one.added[:, place]
    scores = fits if added is None else fits + added
    shares = scores.softmax(-1) if given["need_weights"] else shares_of(scores)
    found = torch.einsum("hn,nhd->hd", shares, v).flatten()
    factors, bias = module.out_proj.weight[at[-1]], module.out_proj.bias
    products = (found * factors).sum()
    extra = float(bias[at[-1]]) if bias is not None else None
    parts, _ = scores_and_shares(fits[0], None if added is None else added[0], FIRST_HEAD)
    if added is None:
        del parts[0]  # the shares say it all
    parts.append((f"what {counted(heads, 'head')} found: shares · values", found))
    parts.append(("weights of the output", factors))
    words = f"the sum of {counted(found.numel(), 'product')} found · weight {number(products)}" + plus(extra)
    return "attention", parts, words, products + (extra or 0.0)


def _of_image(module: nn.MultiheadAttention, given: dict[str, Any], image: int, batched: bool) -> Entering:
    query, key, value = (given[name] for name in ARGUMENTS[:3])
    if batched:
        axis = 0 if module.batch_first else 1
        query, key, value = (tensor.select(axis, image) for tensor in (query, key, value))
    heads, added = module.num_heads, None
    mask, padding = given["attn_mask"], given["key_padding_mask"]
    if mask is not None:
        added = as_added(mask, hides=True, like=query)
        added = added[image * heads : (image + 1) * heads] if added.ndim == 3 else added.expand(heads, *added.shape)
    if padding is not None:
        row = as_added(padding[image] if padding.ndim == 2 else padding, hides=True, like=query)
        row = row.expand(heads, len(query), len(row))
        added = row if added is None else added + row
    more = (module.bias_k is not None) + module.add_zero_attn
    if given.get("is_causal") and padding is None and not given["need_weights"]:
        # Then PyTorch works without the mask, and the keys that the layer adds stand behind all others.
        seen = torch.ones(len(query), len(key) + more, dtype=torch.bool).tril()
        return Entering(query, key, value, as_added(seen, hides=False, like=query).expand(heads, *seen.shape))
    # No mask covers the keys that the layer adds.
    return Entering(query, key, value, None if added is None else functional.pad(added, (0, more)))


def _projected(module: nn.MultiheadAttention, one: Entering) -> list[Tensor]:
    """Return queries, keys and values, each (tokens, heads, width), with the keys that the layer itself adds."""
    if module._qkv_same_embed_dim:
        weights = module.in_proj_weight.chunk(3)
    else:
        weights = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
    bias: Any = module.in_proj_bias
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    entering = (one.query, one.key, one.value)
    made = [functional.linear(*three) for three in zip(entering, weights, biases, strict=True)]
    for place, learned in ((1, module.bias_k), (2, module.bias_v)):
        if learned is not None:
            made[place] = torch.cat([made[place], learned.flatten(0, 1)])
        if module.add_zero_attn:
            made[place] = functional.pad(made[place], (0, 0, 0, 1))
    return [tensor.unflatten(-1, (module.num_heads, module.head_dim)) for tensor in made]
