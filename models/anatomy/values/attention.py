"""One output value of attention as a call: a share of each value, as large as its key fits the query."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ....errors import counted
from .caught import Caught, Found, Position, argument


def attention(caught: Caught, at: Position) -> Found:
    query, key, value = (argument(caught, place, name) for place, name in ((0, "query"), (1, "key"), (2, "value")))
    mask, causal = argument(caught, 3, "attn_mask"), argument(caught, 5, "is_causal", False)
    scale = argument(caught, 6, "scale") or query.shape[-1] ** -0.5
    batch, place, channel = at[:-2], at[-2], at[-1]
    shape = caught.output.shape[:-2]
    if argument(caught, 7, "enable_gqa", False):  # several heads of queries share one of keys and values
        key, value = (tensor.repeat_interleave(query.shape[-3] // tensor.shape[-3], -3) for tensor in (key, value))
    q, k, v = (tensor.expand(*shape, *tensor.shape[-2:])[batch] for tensor in (query, key, value))
    fits = k @ q[place] * scale
    row = mask.expand(*shape, *mask.shape[-2:])[batch][place] if mask is not None else None
    masked = before(row, len(fits), place) if causal else row
    parts, shares = scores_and_shares(fits, None if masked is None else as_added(masked, hides=False, like=fits))
    parts.append(("values", v[:, channel]))
    words = f"the sum of {counted(len(shares), 'product')} share · value"
    return "attention", parts, words, (shares * v[:, channel]).sum()


def before(row: Tensor | None, keys: int, place: int) -> Tensor:
    """Return the row of a mask where a place sees no later one; True is seen."""
    seen = torch.arange(keys) <= place
    if row is None:
        return seen
    return row & seen if row.dtype == torch.bool else row.masked_fill(~seen, -math.inf)


def as_added(mask: Tensor, hides: bool, like: Tensor) -> Tensor:
    """Return what a mask adds to the scores: itself, or of one of truth values 0 and −∞. ``hides``: True is hidden."""
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros(mask.shape, dtype=like.dtype).masked_fill(mask if hides else ~mask, -math.inf)


def shares_of(scores: Tensor) -> Tensor:
    """Return the shares of the keys; where all of them are hidden PyTorch's call of attention gives zeros."""
    return scores.softmax(-1).masked_fill((scores == -math.inf).all(-1, keepdim=True), 0.0)


def scores_and_shares(fits: Tensor, added: Tensor | None, whose: str = "") -> tuple[list[tuple[str, Tensor]], Tensor]:
    """Return the numbers of one query with their names, and the shares of all keys that they make."""
    parts = [(f"scores{whose}: query · key / √d", fits)]
    if added is not None:
        parts.append((f"what the mask adds to the scores{whose}", added))
        fits = fits + added
    shares = shares_of(fits)
    parts.append((f"shares{whose}, which add up to 1", shares))
    return parts, shares
