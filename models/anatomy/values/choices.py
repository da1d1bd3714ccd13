"""One output value of what chooses by a mask: masked_fill and where."""

from __future__ import annotations

import torch
from torch import Tensor

from .caught import Caught, Found, Position, argument, number


def masked_fill(caught: Caught, at: Position) -> Found:
    x, mask = argument(caught, 0, "input"), argument(caught, 1, "mask")
    own, covered = x[at], bool(mask.expand_as(x)[at])
    filling = torch.as_tensor(argument(caught, 2, "value"), dtype=x.dtype)
    found, why = (filling, "covers") if covered else (own, "leaves")
    parts = [("the value", own.reshape(1)), ("what the mask puts in", filling.reshape(1))]
    return "choice", parts, f"{number(found)}, as the mask {why} this place", found


def where(caught: Caught, at: Position) -> Found:
    condition, *sides = (argument(caught, place, name) for place, name in enumerate(("condition", "input", "other")))
    shape = caught.output.shape
    pair: list[Tensor] = [torch.as_tensor(side, dtype=caught.output.dtype).expand(shape)[at] for side in sides]
    first = bool(condition.expand(shape)[at])
    found = pair[0] if first else pair[1]
    parts = [("first", pair[0].reshape(1)), ("second", pair[1].reshape(1))]
    return "choice", parts, f"{number(found)}, as the condition {'holds' if first else 'does not hold'}", found
