"""MobileNetV2: Sandler et al., "Inverted Residuals and Linear Bottlenecks", CVPR 2018, arXiv:1801.04381.

The idea: carry a *thin* tensor from block to block, and let each block expand it, filter it with a cheap depthwise
convolution where it is wide, and squeeze it again. The squeezing layer has no activation, because a ReLU on few channels
destroys what it clips.

What to look at: ``InvertedResidual``; the shortcut joins the thin ends, where a ResNet's joins the thick ones, and
``project`` has no activation. Both can be switched off (``linear``, ``skip``) to see what they are worth.
"""

from __future__ import annotations

from collections.abc import Callable
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

# Table 2: expansion t, output channels c, blocks n, stride s of the first block.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
LAST_CHANNELS = 1280


class InvertedResidual(nn.Module):
    """1×1 up, depthwise 3×3, 1×1 down without activation (figure 3b, table 1).

    (B, in_channels, H, W) → (B, out_channels, H/stride, W/stride); inside, ``expansion`` · in_channels channels. The
    shortcut exists where the shapes agree: stride 1 and as many channels out as in. ``linear=False`` puts an activation
    behind the last 1×1, ``skip=False`` takes the shortcut away (section 6.4).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        expansion: int = 6,
        *,
        kernel_size: int = 3,
        activation: Callable[[], nn.Module] = nn.ReLU6,
        linear: bool = True,
        skip: bool = True,
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, out_channels=out_channels, expansion=expansion)
        wide = expansion * in_channels
        self.expand = nn.Identity() if expansion == 1 else ConvNormAct(in_channels, wide, 1, activation=activation)
        self.depthwise = ConvNormAct(wide, wide, kernel_size, stride, groups=wide, activation=activation)
        self.project = ConvNormAct(wide, out_channels, 1, activation=None if linear else activation)
        self.has_shortcut = skip and stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        change = self.expand(x)  # (B, t·C, H, W)
        change = self.depthwise(change)  # (B, t·C, H/stride, W/stride)
        change = self.project(change)  # (B, out_channels, H/stride, W/stride)
        return x + change if self.has_shortcut else change  # (B, out_channels, H/stride, W/stride)


class MobileNetV2(nn.Module):
    """Stem, seven rows of inverted residuals, a 1×1 to 1280, average, linear: (B, in_channels, S, S) → (B, num_classes).

    ``width`` multiplies all channels, in multiples of 8; the last 1×1 keeps at least its 1280 (section 4.1).
    """

    def __init__(
        self,
        width: float = 1.0,
        *,
        linear: bool = True,
        skip: bool = True,
        dropout: float = 0.2,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_positive(width=width, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_choice("stem", stem, ("imagenet", "small"))
        small = stem == "small"

        channels, side = make_divisible(32 * width), image_size if small else halved(image_size)
        self.stem = ConvNormAct(in_channels, channels, 3, stride=1 if small else 2, activation=nn.ReLU6)
        stages = [Stage("stem", ("stem",), (channels, side, side))]
        for index, (expansion, out_channels, depth, stride) in enumerate(STAGES, start=1):
            out_channels = make_divisible(out_channels * width)
            # A small picture keeps its size in the stem and through stage 2, and so arrives with 4×4 pixels.
            stride = 1 if small and index == 2 else stride
            blocks = []
            for block in range(depth):
                step = stride if block == 0 else 1
                blocks.append(InvertedResidual(channels, out_channels, step, expansion, linear=linear, skip=skip))
                channels = out_channels
            self.add_module(f"stage{index}", nn.Sequential(*blocks))
            side = halved(side) if stride == 2 else side
            stages.append(Stage(f"stage{index}", (f"stage{index}",), (channels, side, side)))
        last = make_divisible(LAST_CHANNELS * max(1.0, width))
        self.last = ConvNormAct(channels, last, 1, activation=nn.ReLU6)
        self.pool = GlobalAveragePool()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(last, num_classes)
        stages.append(Stage("last", ("last",), (last, side, side)))
        stages.append(Stage("head", ("pool", "dropout", "head"), (num_classes,)))
        initialise_he(self)
        self.declaration = Declaration(tuple(stages), feature_layer="last")

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 32, 112, 112)
        x = self.stage1(x)  # (B, 16, 112, 112)
        x = self.stage2(x)  # (B, 24, 56, 56)
        x = self.stage3(x)  # (B, 32, 28, 28)
        x = self.stage4(x)  # (B, 64, 14, 14)
        x = self.stage5(x)  # (B, 96, 14, 14)
        x = self.stage6(x)  # (B, 160, 7, 7)
        x = self.stage7(x)  # (B, 320, 7, 7)
        x = self.last(x)  # (B, 1280, 7, 7)
        x = self.pool(x)  # (B, 1280)
        return self.head(self.dropout(x))  # (B, num_classes)


class Switches(Form, total=False):
    """The usual arguments, and the two switches that section 6.4 of the paper turns."""

    linear: bool
    skip: bool


def mobilenet_v2_100(**form: Unpack[Switches]) -> MobileNetV2:
    return MobileNetV2(1.0, **form)


def mobilenet_v2_035(**form: Unpack[Switches]) -> MobileNetV2:
    return MobileNetV2(0.35, **form)


def mobilenet_v2_050(**form: Unpack[Switches]) -> MobileNetV2:
    return MobileNetV2(0.5, **form)


def mobilenet_v2_075(**form: Unpack[Switches]) -> MobileNetV2:
    return MobileNetV2(0.75, **form)


def mobilenet_v2_130(**form: Unpack[Switches]) -> MobileNetV2:
    return MobileNetV2(1.3, **form)


def mobilenet_v2_140(**form: Unpack[Switches]) -> MobileNetV2:
    return MobileNetV2(1.4, **form)
