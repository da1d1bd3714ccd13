"""BatchNorm ConvNet: Ioffe, Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
Covariate Shift", ICML 2015, arXiv:1502.03167, written out and used in a small network.

The idea: give every channel mean 0 and variance 1 over the mini-batch, then let the network choose mean and variance itself
by a learned shift and scale. Layers no longer have to follow each other's changing ranges, and high learning rates work.

What to look at: ``BatchNorm2d.forward`` and ``batch_statistics``, the whole method, and in them the difference between
training, which takes the statistics of the batch, and evaluation, which takes those collected on the way. The network is
Basic ConvNet with this module in the place of PyTorch's; ``plain_convnet`` is the same without any normalisation.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn

from .basic_convnet import WIDTHS, fully_connected_head
from .catalogue.declaration import Declaration, stages
from .layers import BuildOptions, check_positive, halved, initialise_he


class BatchNorm2d(nn.Module):
    """Algorithms 1 and 2 of the paper, per channel over batch and space: (B, C, H, W) → (B, C, H, W).

    Equal to torch.nn.BatchNorm2d in value, gradient and running statistics. ``momentum`` is the weight of the newest
    batch in the running statistics. In training ValueError where a channel has a single value, whose variance would be 0.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        check_positive(channels=channels)
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))  # γ, the scale
        self.bias = nn.Parameter(torch.zeros(channels))  # β, the shift
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.batch_statistics(x) if self.training else (self.running_mean, self.running_var)
        scale = self.weight / torch.sqrt(variance + self.eps)  # (C,): γ / √(σ² + ε)
        y = (x - per_channel(mean)) * per_channel(scale) + per_channel(self.bias)  # (B, C, H, W)
        return y.to(x.dtype)

    def batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and variance of each channel, both (C,), over the B·H·W values of this batch; keeps the
        running ones.
        """
        values = x.shape[0] * x.shape[2] * x.shape[3]
        if values == 1:
            raise ValueError("batch: 1 value per channel has no variance; the smallest that works is 2")
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # sums over a batch need more digits than bf16 has
        mean = x.mean(dim=(0, 2, 3))  # (C,)
        variance = (x - per_channel(mean)).square().mean(dim=(0, 2, 3))  # (C,), divided by n: the batch as it is
        with torch.no_grad():
            unbiased = variance * values / (values - 1)  # divided by n - 1: an estimate for images to come
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        return mean, variance

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, eps={self.eps}, momentum={self.momentum}"


def per_channel(values: Tensor) -> Tensor:
    """(C,) → (C, 1, 1), so that it meets the channels of (B, C, H, W)."""
    return values[:, None, None]


def stage(in_channels: int, out_channels: int, normalise: bool) -> nn.Sequential:
    """3×3 convolution, normalisation, ReLU, 2×2 max pooling: (B, C, H, W) → (B, out_channels, H/2, W/2), rounded up."""
    layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=not normalise)]
    if normalise:
        layers.append(BatchNorm2d(out_channels))
    return nn.Sequential(*layers, nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True))


class BatchNormConvNet(nn.Module):
    """Basic ConvNet with the module above, or with no normalisation: (B, in_channels, S, S) → (B, num_classes)."""

    def __init__(
        self, *, num_classes: int = 10, in_channels: int = 3, image_size: int = 32, normalise: bool = True
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        first, second, third = WIDTHS
        self.stage1 = stage(in_channels, first, normalise)
        self.stage2 = stage(first, second, normalise)
        self.stage3 = stage(second, third, normalise)
        initialise_he(self)  # before the head is there, which keeps PyTorch's smaller weights
        self.head = fully_connected_head(third, halved(image_size, 3), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage1(x)  # (B, 32, 16, 16)
        x = self.stage2(x)  # (B, 64, 8, 8)
        x = self.stage3(x)  # (B, 128, 4, 4)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(stages("stage1", "stage2", "stage3", "head"), feature_layer="stage3")


def batchnorm_convnet(**options: Unpack[BuildOptions]) -> BatchNormConvNet:
    return BatchNormConvNet(**options)


def plain_convnet(**options: Unpack[BuildOptions]) -> BatchNormConvNet:
    return BatchNormConvNet(normalise=False, **options)
