"""Darknet-53: Redmon, Farhadi, "YOLOv3: An Incremental Improvement", 2018, arXiv:1804.02767, section 2.4 and table 1.

The idea: a residual network made as the body of a detector that has to be fast. Pairs of 1×1 and 3×3 convolutions with an
identity around them, nothing pooled until the end, only convolutions that a GPU does at full speed.

What to look at: ``Residual`` has one bottleneck convolution less than ResNet's and no activation after the sum; every
stage begins with a 3×3 at stride 2, the only place where the shape changes, so no shortcut needs a projection.
"""

from __future__ import annotations

from functools import partial
from typing import Unpack

from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    BuildOptions,
    ConvNormAct,
    GlobalAveragePool,
    StemOptions,
    check_choice,
    check_positive,
    initialise_he,
)

# Table 1: residual blocks in each of the five stages; the channels double from 64 to 1024.
DEPTHS = (1, 2, 8, 8, 4)
NANO_DEPTHS = (1, 1, 2, 2, 1)
SLOPE = 0.1  # of the leaky ReLU for negative values, in all Darknet networks

leaky_relu = partial(nn.LeakyReLU, SLOPE)


class Residual(nn.Module):
    """1×1 to half of the channels, 3×3 back, plus the input: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(channels, channels // 2, 1, activation=leaky_relu)
        self.conv2 = ConvNormAct(channels // 2, channels, 3, activation=leaky_relu)

    def forward(self, x: Tensor) -> Tensor:
        change = self.conv2(self.conv1(x))  # (B, C, H, W)
        return x + change  # (B, C, H, W)     nothing after the sum: the identity stays an identity


def residual_stage(channels: int, depth: int, stride: int = 2) -> nn.Sequential:
    """Build a 3×3 that doubles the channels, then ``depth`` residual blocks: (B, C, H, W) → (B, 2·C, H/stride,
    W/stride).
    """
    down = ConvNormAct(channels, 2 * channels, 3, stride, activation=leaky_relu)
    return nn.Sequential(down, *(Residual(2 * channels) for _ in range(depth)))


class Darknet(nn.Module):
    """3×3 stem, five stages that begin with a stride, average, linear: (B, in_channels, S, S) → (B, num_classes).

    ``depths`` are the residual blocks of each stage, ``width`` the channels of the stem; stage i has width · 2^i.
    """

    def __init__(
        self,
        depths: tuple[int, ...] = DEPTHS,
        width: int = 32,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 256,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_positive(width=width, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_choice("stem", stem, ("imagenet", "small"))
        self.stem = ConvNormAct(in_channels, width, 3, activation=leaky_relu)
        one, two, three, four, five = depths
        # A small image keeps its size through stages 1 and 2, and so arrives with 4×4 pixels.
        early = 1 if stem == "small" else 2
        self.stage1 = residual_stage(width, one, early)
        self.stage2 = residual_stage(2 * width, two, early)
        self.stage3 = residual_stage(4 * width, three)
        self.stage4 = residual_stage(8 * width, four)
        self.stage5 = residual_stage(16 * width, five)
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(32 * width, num_classes)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 32, 256, 256)
        x = self.stage1(x)  # (B, 64, 128, 128)
        x = self.stage2(x)  # (B, 128, 64, 64)
        x = self.stage3(x)  # (B, 256, 32, 32)     a detector reads here,
        x = self.stage4(x)  # (B, 512, 16, 16)     here,
        x = self.stage5(x)  # (B, 1024, 8, 8)      and here
        x = self.pool(x)  # (B, 1024)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "stage1", "stage2", "stage3", "stage4", "stage5", head=("pool", "head")),
            feature_layer="stage5",
        )


def darknet53(**options: Unpack[StemOptions]) -> Darknet:
    return Darknet(**options)


def darknet_nano(**options: Unpack[BuildOptions]) -> Darknet:
    return Darknet(NANO_DEPTHS, width=8, stem="small", **options)
