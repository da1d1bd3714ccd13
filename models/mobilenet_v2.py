"""MobileNetV2: Sandler et al., "Inverted Residuals and Linear Bottlenecks", CVPR 2018, arXiv:1801.04381.

The idea: carry a *thin* tensor from block to block, and let each block expand it, filter it with a cheap depthwise
convolution where it is wide, and squeeze it again. The squeezing layer has no activation, because a ReLU on few channels
destroys what it clips.

What to look at: ``InvertedResidual``; the shortcut joins the thin ends, where a ResNet's joins the thick ones, and
``project`` has no activation. Both can be switched off (``linear``, ``skip``) to see what they gain.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    ConvNormAct,
    GlobalAveragePool,
    check_choice,
    check_positive,
    initialise_he,
    make_divisible,
    variant,
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

    ``width`` multiplies all channels, in multiples of 8; the last 1×1 keeps at least its 1280 (section 4.1). ``linear``
    and ``skip`` are the two switches that section 6.4 turns.
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

        def scaled(channels: int) -> int:
            return make_divisible(channels * width)

        def block(channels: int, out_channels: int, stride: int, expansion: int) -> InvertedResidual:
            return InvertedResidual(scaled(channels), scaled(out_channels), stride, expansion, linear=linear, skip=skip)

        def stage(channels: int, row: tuple[int, int, int, int], full_size: bool = False) -> nn.Sequential:
            expansion, out_channels, depth, stride = row
            first = block(channels, out_channels, 1 if full_size else stride, expansion)
            return nn.Sequential(first, *(block(out_channels, out_channels, 1, expansion) for _ in range(depth - 1)))

        self.stem = ConvNormAct(in_channels, scaled(32), 3, stride=1 if small else 2, activation=nn.ReLU6)
        self.stage1 = stage(32, STAGES[0])
        # A small image keeps its size in the stem and through stage 2, and so arrives with 4×4 pixels.
        self.stage2 = stage(16, STAGES[1], full_size=small)
        self.stage3 = stage(24, STAGES[2])
        self.stage4 = stage(32, STAGES[3])
        self.stage5 = stage(64, STAGES[4])
        self.stage6 = stage(96, STAGES[5])
        self.stage7 = stage(160, STAGES[6])
        last = make_divisible(LAST_CHANNELS * max(1.0, width))
        self.last = ConvNormAct(scaled(320), last, 1, activation=nn.ReLU6)
        self.pool = GlobalAveragePool()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(last, num_classes)
        initialise_he(self)

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

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages(
                *("stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "stage7", "last"),
                head=("pool", "dropout", "head"),
            ),
            feature_layer="last",
        )


mobilenet_v2_100 = variant("mobilenet_v2_100", MobileNetV2, 1.0)
mobilenet_v2_035 = variant("mobilenet_v2_035", MobileNetV2, 0.35)
mobilenet_v2_050 = variant("mobilenet_v2_050", MobileNetV2, 0.5)
mobilenet_v2_075 = variant("mobilenet_v2_075", MobileNetV2, 0.75)
mobilenet_v2_130 = variant("mobilenet_v2_130", MobileNetV2, 1.3)
mobilenet_v2_140 = variant("mobilenet_v2_140", MobileNetV2, 1.4)
