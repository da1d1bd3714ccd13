"""MobileNet: Howard et al., "Efficient Convolutional Neural Networks for Mobile Vision Applications", arXiv:1704.04861.

The idea: a standard convolution filters and mixes channels in one expensive step. Done one after the other, a depthwise
3×3 that filters each channel alone and a pointwise 1×1 that mixes the channels, it costs eight to nine times less. Two
dials then trade accuracy for size: the width multiplier α thins every layer, the resolution multiplier ρ is simply a
smaller picture (``image_size``).

What to look at: ``DepthwiseSeparable``, 10 lines, and that there is nothing else: no shortcut, no pooling but the last.
"""

from __future__ import annotations

from typing import Unpack

from torch import Tensor, nn

from .catalogue.declaration import Declaration, Stage
from .layers import (
    ConvNormAct,
    Form,
    GlobalAveragePool,
    check_choice,
    check_positive,
    halved,
    initialise_he,
    make_divisible,
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
    multiply-adds of the standard convolution (equation 5).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = ConvNormAct(in_channels, in_channels, 3, stride, groups=in_channels)
        self.pointwise = ConvNormAct(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(x)  # (B, C, H/stride, W/stride)          each channel filtered alone
        return self.pointwise(x)  # (B, out_channels, H/stride, W/stride)   a weighted sum over channels at each pixel


def standard_convolution(in_channels: int, out_channels: int, stride: int = 1) -> ConvNormAct:
    """What the separable block replaces (figure 3, left): one 3×3 over all channels, the same shapes in and out."""
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

        channels, side = make_divisible(32 * width), image_size if small else halved(image_size)
        self.stem = ConvNormAct(in_channels, channels, 3, stride=1 if small else 2)
        stages = [Stage("stem", ("stem",), (channels, side, side))]
        for index, rows in enumerate(SHALLOW_STAGES if shallow else STAGES, start=1):
            blocks = []
            for out_channels, stride in rows:
                # A small picture keeps its size in the stem and through stage 2, and so arrives with 4×4 pixels.
                stride = 1 if small and index == 2 else stride
                blocks.append(block(channels, make_divisible(out_channels * width), stride))
                channels, side = make_divisible(out_channels * width), halved(side) if stride == 2 else side
            self.add_module(f"stage{index}", nn.Sequential(*blocks))
            stages.append(Stage(f"stage{index}", (f"stage{index}",), (channels, side, side)))
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(channels, num_classes)
        stages.append(Stage("head", ("pool", "head"), (num_classes,)))
        initialise_he(self)
        self.declaration = Declaration(tuple(stages), feature_layer="stage5")

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 32·α, 112, 112)
        x = self.stage1(x)  # (B, 64·α, 112, 112)
        x = self.stage2(x)  # (B, 128·α, 56, 56)
        x = self.stage3(x)  # (B, 256·α, 28, 28)
        x = self.stage4(x)  # (B, 512·α, 14, 14)
        x = self.stage5(x)  # (B, 1024·α, 7, 7)
        x = self.pool(x)  # (B, 1024·α)
        return self.head(x)  # (B, num_classes)


def mobilenet_v1_100(**form: Unpack[Form]) -> MobileNetV1:
    return MobileNetV1(1.0, **form)


def mobilenet_v1_075(**form: Unpack[Form]) -> MobileNetV1:
    return MobileNetV1(0.75, **form)


def mobilenet_v1_050(**form: Unpack[Form]) -> MobileNetV1:
    return MobileNetV1(0.5, **form)


def mobilenet_v1_025(**form: Unpack[Form]) -> MobileNetV1:
    return MobileNetV1(0.25, **form)


def mobilenet_v1_conv(**form: Unpack[Form]) -> MobileNetV1:
    return MobileNetV1(1.0, separable=False, **form)


def mobilenet_v1_shallow(**form: Unpack[Form]) -> MobileNetV1:
    return MobileNetV1(1.0, shallow=True, **form)
