"""EfficientNet: Tan, Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019.

arXiv:1905.11946. The idea: a network can be made deeper, wider, or be given larger images, and each alone soon stops to
pay. Grow all three together in a fixed proportion, and one number φ makes a whole family out of one good small network.

What to look at: ``SIZES``, the whole family in eight rows; ``MBConv``, MobileNetV2's block with a gate from SE-Net; and
``compound``, the three powers that the rows are rounded from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Unpack

from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    BuildOptions,
    ConvNormAct,
    DropPath,
    GlobalAveragePool,
    StemOptions,
    check_choice,
    check_positive,
    initialise_he,
    make_divisible,
    variant,
)
from .mobilenet_v2 import InvertedResidual
from .senet import SqueezeExcite


@dataclass(frozen=True)
class StageRow:
    """One line of table 1: blocks of one kind; the first has the stride."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    depth: int


# Table 1: EfficientNet-B0, found by a search over MobileNet-like blocks.
B0 = (
    StageRow(1, 3, 1, 16, 1),
    StageRow(6, 3, 2, 24, 2),
    StageRow(6, 5, 2, 40, 2),
    StageRow(6, 3, 2, 80, 3),
    StageRow(6, 5, 1, 112, 3),
    StageRow(6, 5, 2, 192, 4),
    StageRow(6, 3, 1, 320, 1),
)
STEM = 32


@dataclass(frozen=True)
class Size:
    """Factors on width and depth of B0, the image's side, and dropout, which grows with the network (section 5.2)."""

    width: float
    depth: float
    image_size: int
    dropout: float


SIZES = {
    "b0": Size(1.0, 1.0, 224, 0.2),
    "b1": Size(1.0, 1.1, 240, 0.2),
    "b2": Size(1.1, 1.2, 260, 0.3),
    "b3": Size(1.2, 1.4, 300, 0.3),
    "b4": Size(1.4, 1.8, 380, 0.4),
    "b5": Size(1.6, 2.2, 456, 0.4),
    "b6": Size(1.8, 2.6, 528, 0.5),
    "b7": Size(2.0, 3.1, 600, 0.5),
}
COARSE_EPSILON = ("b5", "b6", "b7")  # torchvision's large networks keep TensorFlow's epsilon of 1e-3
ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15  # depth, width, resolution; found by a grid search on B0 at φ = 1 (section 3.3)


def compound(phi: float) -> tuple[float, float, float]:
    """Return the factors (depth α^φ, width β^φ, resolution γ^φ); the work grows by (α·β²·γ²)^φ, about 2^φ (equation 3)."""
    return ALPHA**phi, BETA**phi, GAMMA**phi


class MBConv(InvertedResidual):
    """Inverted residual with SiLU and a gate on the wide channels: (B, C, H, W) → (B, out_channels, H/s, W/s).

    The gate's hidden layer has a quarter of the *block's input* channels, not of the wide ones. In training the branch is
    left out with probability ``drop_path`` (stochastic depth).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        expansion: int = 6,
        kernel_size: int = 3,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(in_channels, out_channels, stride, expansion, kernel_size=kernel_size, activation=nn.SiLU)
        self.gate = SqueezeExcite(expansion * in_channels, max(1, in_channels // 4), activation=nn.SiLU)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        change = self.depthwise(self.expand(x))  # (B, t·C, H/stride, W/stride)
        change = self.project(self.gate(change))  # (B, out_channels, H/stride, W/stride)
        return x + self.drop_path(change) if self.has_shortcut else change  # (B, out_channels, H/stride, W/stride)


class EfficientNet(nn.Module):
    """Stem, seven stages of MBConv, a last 1×1, average, linear: (B, in_channels, S, S) → (B, num_classes).

    ``width`` multiplies channels (multiples of 8), ``depth`` the blocks of a stage (rounded up). ``drop_path`` grows from
    0 at the first block towards its value at the last.
    """

    def __init__(
        self,
        width: float = 1.0,
        depth: float = 1.0,
        *,
        dropout: float = 0.2,
        drop_path: float = 0.2,
        epsilon: float = 1e-5,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_positive(width=width, depth=depth)
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_choice("stem", stem, ("imagenet", "small"))
        small = stem == "small"
        total = sum(math.ceil(row.depth * depth) for row in B0)
        rates = (drop_path * done / total for done in range(total))

        def scaled(channels: int) -> int:
            return make_divisible(channels * width)

        def stage(channels: int, row: StageRow, full_size: bool = False) -> nn.Sequential:
            out, stride = scaled(row.channels), 1 if full_size else row.stride
            blocks = [MBConv(scaled(channels), out, stride, row.expansion, row.kernel, next(rates))]
            for _ in range(math.ceil(row.depth * depth) - 1):
                blocks.append(MBConv(out, out, 1, row.expansion, row.kernel, next(rates)))
            return nn.Sequential(*blocks)

        self.stem = ConvNormAct(in_channels, scaled(STEM), 3, stride=1 if small else 2, activation=nn.SiLU)
        self.stage1 = stage(STEM, B0[0])
        # A small image keeps its size in the stem and through stage 2, and so arrives with 4×4 pixels.
        self.stage2 = stage(16, B0[1], full_size=small)
        self.stage3 = stage(24, B0[2])
        self.stage4 = stage(40, B0[3])
        self.stage5 = stage(80, B0[4])
        self.stage6 = stage(112, B0[5])
        self.stage7 = stage(192, B0[6])
        channels = scaled(320)
        self.last = ConvNormAct(channels, 4 * channels, 1, activation=nn.SiLU)
        self.pool = GlobalAveragePool()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * channels, num_classes)
        initialise_he(self)
        set_epsilon(self, epsilon)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 32, 112, 112)     shapes of B0
        x = self.stage1(x)  # (B, 16, 112, 112)
        x = self.stage2(x)  # (B, 24, 56, 56)
        x = self.stage3(x)  # (B, 40, 28, 28)
        x = self.stage4(x)  # (B, 80, 14, 14)
        x = self.stage5(x)  # (B, 112, 14, 14)
        x = self.stage6(x)  # (B, 192, 7, 7)
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


def set_epsilon(network: nn.Module, epsilon: float) -> None:
    """Set what all batch normalisations of a network add to the variance."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = epsilon


def _size(name: str, **options: Unpack[StemOptions]) -> EfficientNet:
    """Build the EfficientNet in row ``name`` of ``SIZES``."""
    size = SIZES[name]
    options.setdefault("image_size", size.image_size)
    epsilon = 1e-3 if name in COARSE_EPSILON else 1e-5
    return EfficientNet(size.width, size.depth, dropout=size.dropout, epsilon=epsilon, **options)


efficientnet_b0 = variant("efficientnet_b0", _size, "b0")
efficientnet_b1 = variant("efficientnet_b1", _size, "b1")
efficientnet_b2 = variant("efficientnet_b2", _size, "b2")
efficientnet_b3 = variant("efficientnet_b3", _size, "b3")
efficientnet_b4 = variant("efficientnet_b4", _size, "b4")
efficientnet_b5 = variant("efficientnet_b5", _size, "b5")
efficientnet_b6 = variant("efficientnet_b6", _size, "b6")
efficientnet_b7 = variant("efficientnet_b7", _size, "b7")


def efficientnet_nano(**options: Unpack[BuildOptions]) -> EfficientNet:
    """B0 scaled down by φ = -4, in the layout for small images."""
    depth, width, _ = compound(-4)
    return EfficientNet(width, depth, drop_path=0.0, stem="small", **options)
