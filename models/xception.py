"""Xception: Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017, arXiv:1610.02357.

The idea: an Inception module first mixes channels (1×1) and then looks at neighbourhoods, in three or four groups of
channels. Take that to the extreme, one group for each channel, and what is left is a depthwise separable convolution. So
build a whole network of them, with the shortcuts of ResNet.

What to look at: ``SeparableConv``. Between looking at the neighbourhood and mixing the channels there is no activation;
MobileNet, half a year later, puts one there. Then count the standard convolutions: two in the stem, and 1×1 shortcuts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    BuildOptions,
    ConvNormAct,
    GlobalAveragePool,
    StemOptions,
    check_choice,
    check_image_size,
    check_positive,
    initialise_he,
    stack,
)
from .resnet import projection


@dataclass(frozen=True)
class Size:
    """Figure 5: channels of the two stem convolutions, of the three entry blocks and of the four exit convolutions.

    ``repeats``: blocks of the middle flow, all as wide as the last entry block.
    """

    stem: tuple[int, int]
    entry: tuple[int, int, int]
    repeats: int
    exit: tuple[int, int, int, int]


PAPER = Size(stem=(32, 64), entry=(128, 256, 728), repeats=8, exit=(728, 1024, 1536, 2048))
NANO = Size(stem=(8, 16), entry=(32, 64, 128), repeats=4, exit=(128, 160, 192, 256))

# Strides of the three entry blocks. The exit block halves in either layout.
ENTRY_STRIDES = {"imagenet": (2, 2, 2), "small": (2, 2, 1)}


class SeparableConv(nn.Sequential):
    """Depthwise 3×3, pointwise 1×1, batch normalisation; nothing between the first two: (B, C, H, W) → (B, C', H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(x)  # (B, C, H, W)    space: each channel alone
        x = self.pointwise(x)  # (B, C', H, W)   channels: each pixel alone
        return self.norm(x)  # (B, C', H, W)


class Block(nn.Module):
    """Separable convolutions beside a shortcut (figure 5): (B, C, H, W) → (B, widths[-1], H/stride, W/stride).

    ReLU stands *before* each convolution (``relu_first=False``: not before the first, whose input is positive already).
    With stride 2 a 3×3 max pooling halves at the end, and a 1×1 convolution on the shortcut.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...], stride: int = 1, relu_first: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for width in widths:
            if layers or relu_first:
                layers.append(nn.ReLU())
            layers.append(SeparableConv(channels, width))
            channels = width
        if stride == 2:
            layers.append(nn.MaxPool2d(3, 2, padding=1))
        self.residual = nn.Sequential(*layers)
        self.shortcut = projection(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.residual(x) + self.shortcut(x)  # (B, widths[-1], H/stride, W/stride)


def make_stem(in_channels: int, widths: tuple[int, int], stem: str) -> nn.Sequential:
    """Build two standard 3×3 convolutions. "imagenet": without padding, the first with stride 2, (B, C, 299, 299) → (B,
    64, 147, 147); "small": padded and at full size.
    """
    stride, padding = (2, 0) if stem == "imagenet" else (1, 1)
    return nn.Sequential(
        ConvNormAct(in_channels, widths[0], 3, stride, padding), ConvNormAct(widths[0], widths[1], 3, 1, padding)
    )


class Xception(nn.Module):
    """Stem, entry flow, middle flow, exit flow, average, one linear layer: (B, in_channels, S, S) → (B, num_classes)."""

    def __init__(
        self,
        size: Size,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 299,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_choice("stem", stem, ("imagenet", "small"))
        if stem == "imagenet":
            check_image_size(image_size, 7, "two 3×3 convolutions without padding, the first with stride 2")
        self.stem = make_stem(in_channels, size.stem, stem)
        one, two, three = size.entry
        strides = ENTRY_STRIDES[stem]
        self.entry1 = Block(size.stem[1], (one, one), strides[0], relu_first=False)
        self.entry2 = Block(one, (two, two), strides[1])
        self.entry3 = Block(two, (three, three), strides[2])
        self.middle = stack(lambda _: Block(three, (three, three, three)), size.repeats)
        self.exit = nn.Sequential(
            Block(three, size.exit[:2], stride=2),
            *(
                nn.Sequential(SeparableConv(n, m), nn.ReLU())
                for n, m in zip(size.exit[1:], size.exit[2:], strict=False)
            ),
        )
        self.pool = GlobalAveragePool()
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(size.exit[-1], num_classes)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 64, 147, 147)
        x = self.entry1(x)  # (B, 128, 74, 74)
        x = self.entry2(x)  # (B, 256, 37, 37)
        x = self.entry3(x)  # (B, 728, 19, 19)
        x = self.middle(x)  # (B, 728, 19, 19)
        x = self.exit(x)  # (B, 2048, 10, 10)
        x = self.dropout(self.pool(x))  # (B, 2048)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "entry1", "entry2", "entry3", "middle", "exit", head=("pool", "dropout", "head")),
            feature_layer="exit",
        )


def xception(**options: Unpack[StemOptions]) -> Xception:
    return Xception(PAPER, **options)


def xception_nano(**options: Unpack[BuildOptions]) -> Xception:
    return Xception(NANO, stem="small", **{"num_classes": 10, "image_size": 32, **options})
