"""SqueezeNet: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016.

arXiv:1602.07360. The idea: most weights of a convolutional network are in 3×3 filters over many channels, so replace many of
the 3×3 filters by 1×1, and show the remaining ones few channels. The Fire module does both: *squeeze* with a thin 1×1,
*expand* with 1×1 and 3×3 side by side. And pool late, so that most layers see large maps.

What to look at: ``fire_sizes``, five numbers that make the whole network (section 5), and ``bypass``, the shortcut that
the paper tries in section 6.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Unpack

import torch
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import StemOptions, check_choice, check_image_size, check_positive, variant

FIRST_FIRE, LAST_FIRE = 2, 9  # the paper counts layers: conv1, fire2, … fire9, conv10
SCORE_OFFSET = 2.0  # initial bias of conv10


@dataclass(frozen=True)
class Layout:
    """Kernel and channels of conv1, and the numbers of the Fire modules before which the map is pooled."""

    kernel: int
    channels: int
    pools: tuple[int, int, int]


LAYOUTS = {
    "1.0": Layout(7, 96, (2, 5, 9)),  # table 1 of the paper
    "1.1": Layout(3, 64, (2, 4, 6)),  # the authors' later release: a smaller stem, earlier pooling
}


def fire_sizes(
    base: int = 128,
    increment: int = 128,
    frequency: int = 2,
    share_3x3: float = 0.5,
    squeeze_ratio: float = 0.125,
    depth: int = 8,
) -> list[tuple[int, int, int]]:
    """Return the channels (squeeze, expand 1×1, expand 3×3) of each Fire module from the meta-parameters of section 5.1."""
    sizes = []
    for index in range(depth):
        expand = base + increment * (index // frequency)
        wide = round(share_3x3 * expand)
        sizes.append((round(squeeze_ratio * expand), expand - wide, wide))
    return sizes


class Fire(nn.Module):
    """1×1 squeeze, then 1×1 and 3×3 expand, concatenated (figure 1): (B, C, H, W) → (B, expand1x1 + expand3x3, H, W).

    ``bypass``: "none"; "simple" adds the input where it has as many channels as the output; "complex" also takes it
    through a 1×1 convolution where it has not (section 6).
    """

    def __init__(self, in_channels: int, squeeze: int, expand1x1: int, expand3x3: int, bypass: str = "none") -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand1x1, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand3x3, 3, padding=1)
        self.relu = nn.ReLU()
        same = in_channels == expand1x1 + expand3x3
        self.shortcut: nn.Module | None = None
        if bypass != "none" and same:
            self.shortcut = nn.Identity()
        elif bypass == "complex":
            self.shortcut = nn.Conv2d(in_channels, expand1x1 + expand3x3, 1)

    def forward(self, x: Tensor) -> Tensor:
        few = self.relu(self.squeeze(x))  # (B, squeeze, H, W)
        both = torch.cat((self.expand1x1(few), self.expand3x3(few)), dim=1)  # (B, expand1x1 + expand3x3, H, W)
        out = self.relu(both)  # (B, expand1x1 + expand3x3, H, W)
        return out if self.shortcut is None else out + self.shortcut(x)  # (B, expand1x1 + expand3x3, H, W)


class MapPerClass(nn.Module):
    """conv10: a 1×1 convolution to one map per class, ReLU, average (after NiN): (B, C, H, W) → (B, num_classes)."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.conv = nn.Conv2d(in_channels, num_classes, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv(self.dropout(x)))  # (B, num_classes, H, W)
        return x.mean(dim=(2, 3))  # (B, num_classes)


class SqueezeNet(nn.Module):
    """conv1, eight Fire modules in three groups, conv10, average: (B, in_channels, S, S) → (B, num_classes).

    ``version`` is "1.0" or "1.1". ``squeeze_ratio`` and ``share_3x3`` are the two dials of section 5.
    """

    def __init__(
        self,
        version: str = "1.0",
        *,
        bypass: str = "none",
        squeeze_ratio: float = 0.125,
        share_3x3: float = 0.5,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_positive(squeeze_ratio=squeeze_ratio, share_3x3=share_3x3)
        if share_3x3 >= 1:
            raise ValueError(f"share_3x3: {share_3x3} leaves no 1×1 filters; it must be below 1")
        check_choice("version", version, tuple(LAYOUTS))
        check_choice("stem", stem, ("imagenet", "small"))
        check_choice("bypass", bypass, ("none", "simple", "complex"))
        small, layout = stem == "small", LAYOUTS[version]
        smallest = 4 if small else {"1.0": 21, "1.1": 17}[version]
        check_image_size(image_size, smallest, f"the {stem} layout of SqueezeNet {version}")
        if small:  # one 3×3 at full size
            conv1 = nn.Conv2d(in_channels, layout.channels, 3, padding=1)
        else:
            conv1 = nn.Conv2d(in_channels, layout.channels, layout.kernel, stride=2)
        sizes = fire_sizes(share_3x3=share_3x3, squeeze_ratio=squeeze_ratio)

        def channels_of(layer: int) -> int:
            return layout.channels if layer < FIRST_FIRE else sum(sizes[layer - FIRST_FIRE][1:])

        def stage(first: int, last: int, pool: bool = True) -> nn.Sequential:
            group: OrderedDict[str, nn.Module] = OrderedDict()
            if pool:
                group["pool"] = nn.MaxPool2d(3, 2, ceil_mode=True)
            for number in range(first, last + 1):
                group[f"fire{number}"] = Fire(channels_of(number - 1), *sizes[number - FIRST_FIRE], bypass)
            return nn.Sequential(group)

        one, two, three = layout.pools
        self.stem = nn.Sequential(conv1, nn.ReLU())
        self.stage1 = stage(one, two - 1)
        self.stage2 = stage(two, three - 1)
        self.stage3 = stage(three, LAST_FIRE, pool=not small)  # a small image is pooled twice and keeps 8×8 pixels
        self.head = MapPerClass(channels_of(LAST_FIRE), num_classes)
        self.initialise()

    def initialise(self) -> None:
        """He's rule over the fan-in, which keeps activations in range without batch normalisation; conv10 near zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.head.conv.weight, std=0.002)
        # A class whose map is negative everywhere hears nothing through the ReLU. The same offset for all classes leaves
        # the softmax as it is and lets every class learn from the start.
        if self.head.conv.bias is not None:
            nn.init.constant_(self.head.conv.bias, SCORE_OFFSET)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 96, 109, 109)     shapes of version 1.0
        x = self.stage1(x)  # (B, 256, 54, 54)
        x = self.stage2(x)  # (B, 512, 27, 27)
        x = self.stage3(x)  # (B, 512, 13, 13)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "stage1", "stage2", "stage3", "head"), feature_layer="stage3", overfit_lr=3e-4
        )


squeezenet1_0 = variant("squeezenet1_0", SqueezeNet, "1.0")
squeezenet1_1 = variant("squeezenet1_1", SqueezeNet, "1.1")


def squeezenet1_0_bypass(**options: Unpack[StemOptions]) -> SqueezeNet:
    return SqueezeNet("1.0", bypass="simple", **options)
