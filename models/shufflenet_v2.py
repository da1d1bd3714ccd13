"""ShuffleNet V2: Ma, Zhang, Zheng, Sun, "Practical Guidelines for Efficient CNN Architecture Design", ECCV 2018.

arXiv:1807.11164. The idea: MACs are not time. Four measured guidelines say what else costs (unequal widths, many
groups, many small branches, element-wise operations), and the unit follows all four: split the channels in two halves,
let one pass untouched, convolve the other at constant width, concatenate, shuffle.

What to look at: ``SplitUnit``. There is no addition and no grouped 1×1 left, and half of every tensor goes through for free.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    ConvNormAct,
    GlobalAveragePool,
    check_choice,
    check_positive,
    initialise_he,
    variant,
)
from .shufflenet_v1 import ChannelShuffle

# Table 5: output channels of stages 2, 3, 4 and of the last 1×1, by scale.
WIDTHS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
STEM = 24
DEPTHS = (4, 8, 4)


def convolutions(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """1×1, depthwise 3×3, 1×1, the only work in a unit: (B, C, H, W) → (B, out_channels, H/stride, W/stride)."""
    return nn.Sequential(
        ConvNormAct(in_channels, out_channels, 1),
        ConvNormAct(out_channels, out_channels, 3, stride, groups=out_channels, activation=None),
        ConvNormAct(out_channels, out_channels, 1),
    )


class SplitUnit(nn.Module):
    """Basic unit (figure 3c): half of the channels pass, half are convolved, (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = convolutions(channels // 2, channels // 2, 1)
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        passing, working = x.chunk(2, dim=1)  # 2 × (B, C/2, H, W)
        x = torch.cat((passing, self.branch(working)), dim=1)  # (B, C, H, W)
        return self.shuffle(x)  # (B, C, H, W)     the next unit's halves are mixed


class DownUnit(nn.Module):
    """Unit for down-sampling (figure 3d): both branches see all channels, (B, C, H, W) → (B, out_channels, H/2, W/2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.shortcut = nn.Sequential(
            ConvNormAct(in_channels, in_channels, 3, 2, groups=in_channels, activation=None),
            ConvNormAct(in_channels, half, 1),
        )
        self.branch = convolutions(in_channels, half, 2)
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat((self.shortcut(x), self.branch(x)), dim=1)  # (B, out_channels, H/2, W/2)
        return self.shuffle(x)  # (B, out_channels, H/2, W/2)


def shuffle_stage(in_channels: int, out_channels: int, depth: int) -> nn.Sequential:
    """Build one unit that halves the map, then basic units: (B, C, H, W) → (B, out_channels, H/2, W/2)."""
    return nn.Sequential(DownUnit(in_channels, out_channels), *(SplitUnit(out_channels) for _ in range(depth - 1)))


class ShuffleNetV2(nn.Module):
    """Stem, three stages, a last 1×1, average, linear: (B, in_channels, S, S) → (B, num_classes).

    ``scale`` is 0.5, 1, 1.5 or 2: a column of table 5.
    """

    def __init__(
        self,
        scale: float = 1.0,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_positive(scale=scale, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_choice("scale", scale, tuple(WIDTHS))
        check_choice("stem", stem, ("imagenet", "small"))
        if stem == "imagenet":
            self.stem = nn.Sequential(ConvNormAct(in_channels, STEM, 3, 2), nn.MaxPool2d(3, 2, padding=1))
        else:
            self.stem = nn.Sequential(ConvNormAct(in_channels, STEM, 3))
        two, three, four, last = WIDTHS[scale]
        self.stage2 = shuffle_stage(STEM, two, DEPTHS[0])
        self.stage3 = shuffle_stage(two, three, DEPTHS[1])
        self.stage4 = shuffle_stage(three, four, DEPTHS[2])
        self.last = ConvNormAct(four, last, 1)
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(last, num_classes)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 24, 56, 56)
        x = self.stage2(x)  # (B, 116, 28, 28)     at scale 1
        x = self.stage3(x)  # (B, 232, 14, 14)
        x = self.stage4(x)  # (B, 464, 7, 7)
        x = self.last(x)  # (B, 1024, 7, 7)
        x = self.pool(x)  # (B, 1024)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "stage2", "stage3", "stage4", "last", head=("pool", "head")), feature_layer="last"
        )


shufflenet_v2_100 = variant("shufflenet_v2_100", ShuffleNetV2, 1.0)
shufflenet_v2_050 = variant("shufflenet_v2_050", ShuffleNetV2, 0.5)
shufflenet_v2_150 = variant("shufflenet_v2_150", ShuffleNetV2, 1.5)
shufflenet_v2_200 = variant("shufflenet_v2_200", ShuffleNetV2, 2.0)
