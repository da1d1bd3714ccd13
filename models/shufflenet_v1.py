"""ShuffleNet: Zhang, Zhou, Lin, Sun, "ShuffleNet: An Extremely Efficient CNN for Mobile Devices", CVPR 2018.

arXiv:1707.01083 (July 2017). The idea: once the 3×3 is depthwise, the 1×1 convolutions cost nearly everything, so group
them too. Groups that never exchange anything would be separate networks; a *channel shuffle* between two grouped
convolutions deals the channels of every group out to all groups, at no cost.

What to look at: ``channel_shuffle``, one line, and ``ShuffleUnit``. The groups are a dial: more groups, wider layers, the
same work.
"""

from __future__ import annotations

from typing import Unpack

import torch
from einops import rearrange
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    ConvNormAct,
    GlobalAveragePool,
    StemOptions,
    check_choice,
    check_positive,
    initialise_he,
    variant,
)

# Table 1: output channels of stage 2 by groups, at scale 1; stages 3 and 4 have two and four times as many.
WIDTHS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
DEPTHS = (4, 8, 4)
# Channels of the stem by scale. The paper has 24 at every scale; these are the authors' released networks.
STEMS = {0.5: 12, 1.0: 24, 1.5: 24, 2.0: 48}
BOTTLENECK = 4  # a unit works on a quarter of its output channels


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Channel j of group i becomes channel i of group j (section 3.1): (B, C, H, W) → (B, C, H, W)."""
    return rearrange(x, "b (g n) h w -> b (n g) h w", g=groups)  # (B, C, H, W)


class ChannelShuffle(nn.Module):
    """``channel_shuffle`` as a layer; its inverse is the shuffle with C / groups groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return channel_shuffle(x, self.groups)  # (B, C, H, W)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


class ShuffleUnit(nn.Module):
    """Grouped 1×1, shuffle, depthwise 3×3, grouped 1×1 (figure 2b and c).

    Stride 1: beside an identity, (B, C, H, W) → (B, C, H, W). Stride 2: beside an average pooling, concatenated, so that
    the convolutions make only the channels that are new: (B, C, H, W) → (B, out_channels, H/2, W/2).
    ``first_groups`` are those of the first 1×1; in the first unit of the network it is 1, its input has too few channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        groups: int,
        first_groups: int | None = None,
        shuffle: bool = True,
    ) -> None:
        super().__init__()
        middle = out_channels // BOTTLENECK
        made = out_channels - in_channels if stride == 2 else out_channels
        self.reduce = ConvNormAct(in_channels, middle, 1, groups=first_groups or groups)
        self.shuffle = ChannelShuffle(groups) if shuffle else nn.Identity()
        self.depthwise = ConvNormAct(middle, middle, 3, stride, groups=middle, activation=None)
        self.restore = ConvNormAct(middle, made, 1, groups=groups, activation=None)
        self.shortcut = nn.AvgPool2d(3, 2, padding=1) if stride == 2 else nn.Identity()
        self.concatenates = stride == 2
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        made = self.reduce(x)  # (B, out_channels/4, H, W)
        made = self.shuffle(made)  # (B, out_channels/4, H, W)     groups exchange channels
        made = self.restore(self.depthwise(made))  # (B, made, H/stride, W/stride)
        kept = self.shortcut(x)  # (B, C, H/stride, W/stride)
        return self.relu(torch.cat((kept, made), dim=1) if self.concatenates else kept + made)  # (B, out_channels, …)


class ShuffleNetV1(nn.Module):
    """Stem, three stages of shuffle units, average, linear: (B, in_channels, S, S) → (B, num_classes).

    ``scale`` multiplies the channels of table 1 (0.5, 1, 1.5 or 2), ``groups`` is 1, 2, 3, 4 or 8. ``shuffle=False`` leaves
    the shuffles out (the comparison of section 4.1.2).
    """

    def __init__(
        self,
        scale: float = 1.0,
        groups: int = 3,
        *,
        shuffle: bool = True,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_positive(scale=scale, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_choice("scale", scale, tuple(STEMS))
        check_choice("groups", groups, tuple(WIDTHS))
        check_choice("stem", stem, ("imagenet", "small"))
        # With 12 channels in, the new channels of the first unit could not be dealt out to 8 groups.
        channels = 16 if (scale, groups) == (0.5, 8) else STEMS[scale]

        def stage(channels: int, out_channels: int, depth: int, first_groups: int) -> nn.Sequential:
            first = ShuffleUnit(channels, out_channels, 2, groups, first_groups, shuffle)
            others = (ShuffleUnit(out_channels, out_channels, 1, groups, None, shuffle) for _ in range(depth - 1))
            return nn.Sequential(first, *others)

        if stem == "imagenet":
            self.stem = nn.Sequential(ConvNormAct(in_channels, channels, 3, 2), nn.MaxPool2d(3, 2, padding=1))
        else:
            self.stem = nn.Sequential(ConvNormAct(in_channels, channels, 3))
        two, three, four = DEPTHS  # the paper begins to count stages with the stem
        width = int(scale * WIDTHS[groups])
        self.stage2 = stage(channels, width, two, first_groups=1)
        self.stage3 = stage(width, 2 * width, three, first_groups=groups)
        self.stage4 = stage(2 * width, 4 * width, four, first_groups=groups)
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(4 * width, num_classes)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 24, 56, 56)
        x = self.stage2(x)  # (B, 240, 28, 28)     with 3 groups, at scale 1
        x = self.stage3(x)  # (B, 480, 14, 14)
        x = self.stage4(x)  # (B, 960, 7, 7)
        x = self.pool(x)  # (B, 960)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(stages("stem", "stage2", "stage3", "stage4", head=("pool", "head")), feature_layer="stage4")


shufflenet_v1_100_g3 = variant("shufflenet_v1_100_g3", ShuffleNetV1, 1.0, 3)
shufflenet_v1_050_g3 = variant("shufflenet_v1_050_g3", ShuffleNetV1, 0.5, 3)
shufflenet_v1_150_g3 = variant("shufflenet_v1_150_g3", ShuffleNetV1, 1.5, 3)
shufflenet_v1_200_g3 = variant("shufflenet_v1_200_g3", ShuffleNetV1, 2.0, 3)
shufflenet_v1_100_g1 = variant("shufflenet_v1_100_g1", ShuffleNetV1, 1.0, 1)
shufflenet_v1_100_g2 = variant("shufflenet_v1_100_g2", ShuffleNetV1, 1.0, 2)
shufflenet_v1_100_g4 = variant("shufflenet_v1_100_g4", ShuffleNetV1, 1.0, 4)
shufflenet_v1_050_g8 = variant("shufflenet_v1_050_g8", ShuffleNetV1, 0.5, 8)
shufflenet_v1_100_g8 = variant("shufflenet_v1_100_g8", ShuffleNetV1, 1.0, 8)
shufflenet_v1_150_g8 = variant("shufflenet_v1_150_g8", ShuffleNetV1, 1.5, 8)
shufflenet_v1_200_g8 = variant("shufflenet_v1_200_g8", ShuffleNetV1, 2.0, 8)


def shufflenet_v1_100_g8_unshuffled(**options: Unpack[StemOptions]) -> ShuffleNetV1:
    return ShuffleNetV1(1.0, 8, shuffle=False, **options)
