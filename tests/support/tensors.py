"""What tests do with tensors: ask for gradients, draw random weights."""

from __future__ import annotations

import torch
from cnn_explorer.models.anatomy.saved_weights.transplant import essential_shape, named_weights
from torch import Tensor, nn


def gradient(tensor: Tensor) -> Tensor:
    """Return the gradient of a tensor, and fail if the backward pass left none."""
    assert tensor.grad is not None, "the backward pass left no gradient"
    return tensor.grad


def randomise(network: nn.Module, seed: int = 0) -> None:
    """Draw every parameter and running statistic at random, so that no mistake hides behind an initial 0 or 1.

    Weights are normal with variance 1 / fan_in, which keeps the activations in range; vectors are uniform around 0.5 or 0.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in named_weights(network).items():
            drawn = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
            if name.endswith("running_var"):
                drawn = 0.5 + drawn
            elif tensor.ndim >= 2 and essential_shape(tensor) and tensor[0].numel() > 1:
                fan_in = tensor[0].numel()
                drawn = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) / fan_in**0.5
            elif name.endswith(("bias", "running_mean")):
                drawn = drawn - 0.5
            else:
                drawn = 0.5 + drawn
            tensor.copy_(drawn)
