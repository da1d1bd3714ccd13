"""The inputs of a network: their shapes as a person writes them, and tensors of these shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import UsageError, nearest

DTYPES = {
    name: getattr(torch, name)
    for name in ("int64", "int32", "bool", "float32", "float64", "float16", "bfloat16", "complex64")
}
LARGEST = 10**12
"""Values of all inputs together; with more, torch cannot count in bytes what it would take."""
LARGEST_REAL = 100_000_000
"""Values of the inputs of a network that is run with real numbers."""


@dataclass(frozen=True)
class InputSpec:
    """One input, without batch axis. ``dtype`` is a key of DTYPES, "" for that of the network's weights."""

    shape: tuple[int, ...]
    dtype: str = ""

    def __str__(self) -> str:
        return "x".join(map(str, self.shape)) + (f":{self.dtype}" if self.dtype else "")


def parse_shape(text: str) -> tuple[int, ...]:
    """Turn "3x224x224" into (3, 224, 224) and "20" into (20,); UsageError for anything else."""
    shape = _numbers(text)
    if any(side > LARGEST for side in shape):
        raise UsageError("--input", text, f"is too large: at most {LARGEST:,} values")
    if not shape:
        raise UsageError(
            "--input", text, "is not a shape; write its sides with x between them: 3x224x224, 4x200, 20 or 16:int64"
        )
    return shape


def parse_inputs(texts: Sequence[str]) -> tuple[InputSpec, ...]:
    """Turn what ``--input`` was given into inputs: ["3x32x32", "10", "16:int64"]. UsageError for anything else.

    Each is the shape of one input without the batch axis: of an image, a clip, a signal, a vector. A number format may
    stand behind it.
    """
    found = tuple(map(_parse_input, texts))
    check_size(found, "--input")
    return found


def check_size(inputs: Sequence[InputSpec], field: str) -> None:
    """Raise UsageError for inputs that no network can be run with, because they are too large."""
    if sum(math.prod(one.shape) for one in inputs) > LARGEST:
        raise UsageError(field, " ".join(map(str, inputs)), f"is too large: at most {LARGEST:,} values")


def _parse_input(text: str) -> InputSpec:
    sides, colon, dtype = text.partition(":")
    shape = parse_shape(sides)
    if colon and dtype not in DTYPES:
        raise UsageError("--input", text, f"has an unknown number format; {nearest(dtype, DTYPES)}")
    return InputSpec(shape, dtype)


def _numbers(text: str) -> tuple[int, ...]:
    """Return the axes of a shape, () where it is none."""
    parts = text.lower().replace("×", "x").split("x")
    good = all(part.isascii() and part.isdigit() and len(part) < 100 and int(part) > 0 for part in parts)
    return tuple(int(part) for part in parts) if good else ()


def weights_dtype(network: nn.Module) -> torch.dtype:
    """Return the number format of the first weights, which a network's images have too."""
    floats = (weight.dtype for weight in network.parameters() if weight.is_floating_point())
    return next(floats, torch.float32)


def tensors(inputs: Sequence[InputSpec], batch: int, dtype: torch.dtype, device: str) -> list[Tensor]:
    """Return an input of each shape: without values on "meta", with random ones on "cpu"; whole numbers are 0.

    Zero is an index that every table has.
    """
    return [_tensor(one, batch, DTYPES.get(one.dtype, dtype), device) for one in inputs]


def _tensor(one: InputSpec, batch: int, dtype: torch.dtype, device: str) -> Tensor:
    shape: Any = (batch, *one.shape)
    if device == "meta":
        return torch.empty(shape, dtype=dtype, device=device)
    if dtype.is_floating_point or dtype.is_complex:
        return torch.rand(shape, device=device).to(dtype)
    return torch.zeros(shape, dtype=dtype, device=device)
