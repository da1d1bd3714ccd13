"""MobileNet: Howard et al., "Efficient Convolutional Neural Networks for Mobile Vision Applications", arXiv:1704.04861.

The idea: a standard convolution filters and mixes channels in one expensive step. Done one after the other, a depthwise
3×3 that filters each channel alone and a pointwise 1×1 that mixes the channels, it costs eight to nine times less. Two
dials then trade accuracy for size: the width multiplier α thins every layer, the resolution multiplier ρ is simply a
smaller image (``image_size``).

What to look at: ``DepthwiseSeparable``, 10 lines, and that there is nothing else: no shortcut, no pooling but the last.
"""

from __future__ import annotations

from typing import Unpack

from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    ConvNormAct,
    GlobalAveragePool,
    StemOptions,
    check_choice,
    check_positive,
    initialise_he,
    make_divisible,
    variant,
)

# Table 1: (output channels, stride) of each separable block, one row for each size of the map. The table prints stride 2
# for the very last block too, which contradicts its own output size; it is 1 in every implementation.
STAGES = (
    ((64, 1),),
    ((128, 2), (128, 1)),
    ((256, 2), (256, 1)),
    ((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    ((1024, 2), (1024, 1)),
)
# Section 4.1: the shallow network leaves out the five equal blocks at 14×14.
SHALLOW_STAGES = (*STAGES[:3], ((512, 2),), STAGES[4])


class DepthwiseSeparable(nn.Sequential):
    """Depthwise 3×3, then pointwise 1×1, each with batch normalisation and ReLU (figure 3, right).

    (B, C, H, W) → (B, out_channels, H/stride, W/stride). With D = 3 and N = ``out_channels`` it needs 1/N + 1/D² of the
    MACs of the standard convolution (equation 5).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = ConvNormAct(in_channels, in_channels, 3, stride, groups=in_channels)
        self.pointwise = ConvNormAct(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(x)  # (B, C, H/stride, W/stride)          each channel filtered alone
        return self.pointwise(x)  # (B, out_channels, H/stride, W/stride)   a weighted sum over channels at each pixel


def standard_convolution(in_channels: int, out_channels: int, stride: int = 1) -> ConvNormAct:
    """Return what the separable block replaces (figure 3, left): one 3×3 over all channels, the same shapes in and out."""
    return ConvNormAct(in_channels, out_channels, 3, stride)


class MobileNetV1(nn.Module):
    """Stem, five stages of separable blocks, average, one linear layer: (B, in_channels, S, S) → (B, num_classes).

    ``width`` is α: every layer has α times the channels of table 1, in multiples of 8. ``separable=False`` puts a standard
    convolution in the place of each block; ``shallow`` leaves five blocks out (the two comparisons of section 4.1).
    """

    def __init__(
        self,
        width: float = 1.0,
        *,
        separable: bool = True,
        shallow: bool = False,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_positive(width=width, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_choice("stem", stem, ("imagenet", "small"))
        small = stem == "small"
        block = DepthwiseSeparable if separable else standard_convolution
        rows = SHALLOW_STAGES if shallow else STAGES

        def scaled(channels: int) -> int:
            return make_divisible(channels * width)

        def stage(channels: int, blocks: tuple[tuple[int, int], ...], full_size: bool = False) -> nn.Sequential:
            layers = []
            for out_channels, stride in blocks:
                layers.append(block(scaled(channels), scaled(out_channels), 1 if full_size else stride))
                channels = out_channels
            return nn.Sequential(*layers)

        self.stem = ConvNormAct(in_channels, scaled(32), 3, stride=1 if small else 2)
        self.stage1 = stage(32, rows[0])
        # A small image keeps its size in the stem and through stage 2, and so arrives with 4×4 pixels.
        self.stage2 = stage(64, rows[1], full_size=small)
        self.stage3 = stage(128, rows[2])
        self.stage4 = stage(256, rows[3])
        self.stage5 = stage(512, rows[4])
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(scaled(1024), num_classes)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 32·α, 112, 112)
        x = self.stage1(x)  # (B, 64·α, 112, 112)
        x = self.stage2(x)  # (B, 128·α, 56, 56)
        x = self.stage3(x)  # (B, 256·α, 28, 28)
        x = self.stage4(x)  # (B, 512·α, 14, 14)
        x = self.stage5(x)  # (B, 1024·α, 7, 7)
        x = self.pool(x)  # (B, 1024·α)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "stage1", "stage2", "stage3", "stage4", "stage5", head=("pool", "head")),
            feature_layer="stage5",
        )


mobilenet_v1_100 = variant("mobilenet_v1_100", MobileNetV1, 1.0)
mobilenet_v1_075 = variant("mobilenet_v1_075", MobileNetV1, 0.75)
mobilenet_v1_050 = variant("mobilenet_v1_050", MobileNetV1, 0.5)
mobilenet_v1_025 = variant("mobilenet_v1_025", MobileNetV1, 0.25)


def mobilenet_v1_conv(**options: Unpack[StemOptions]) -> MobileNetV1:
    return MobileNetV1(1.0, separable=False, **options)


def mobilenet_v1_shallow(**options: Unpack[StemOptions]) -> MobileNetV1:
    return MobileNetV1(1.0, shallow=True, **options)
