"""What tests ask of tensors."""

from __future__ import annotations

from torch import Tensor


def gradient(tensor: Tensor) -> Tensor:
    """Return the gradient of a tensor, and fail if the backward pass left none."""
    assert tensor.grad is not None, "the backward pass left no gradient"
    return tensor.grad
