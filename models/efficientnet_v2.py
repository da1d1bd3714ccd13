"""EfficientNetV2: Tan, Le, "EfficientNetV2: Smaller Models and Faster Training", ICML 2021, arXiv:2104.00298.

The idea: what is efficient in MACs need not be fast. Depthwise convolutions leave an accelerator idle where maps
are large, so the first stages have an ordinary 3×3 instead. And training is faster when images begin small and grow.

What to look at: ``FusedMBConv`` beside ``MBConv`` of EfficientNet: two of its layers fused into one, the gate gone. Then the
rows: where the search put the one kind and where the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .efficientnet import MBConv, set_epsilon
from .layers import (
    BuildOptions,
    ConvNormAct,
    DropPath,
    GlobalAveragePool,
    check_choice,
    check_positive,
    initialise_he,
    variant,
)


@dataclass(frozen=True)
class StageRow:
    """One line of table 4: blocks of one kind, fused or not; the first has the stride."""

    fused: bool
    expansion: int
    stride: int
    channels: int
    depth: int


@dataclass(frozen=True)
class Size:
    """Rows of stages, the image's side, and dropout, which grows with the network. The stem is as wide as stage 1."""

    rows: tuple[StageRow, ...]
    image_size: int
    dropout: float
    last: int = 1280


# Table 4 of the paper is S; M and L from the authors' code, as in torchvision.
SIZES = {
    "nano": Size(  # this program's own, for small images on a laptop
        (
            StageRow(True, 1, 1, 16, 1),
            StageRow(True, 4, 2, 24, 1),
            StageRow(True, 4, 2, 32, 1),
            StageRow(False, 4, 2, 48, 2),
            StageRow(False, 6, 1, 64, 2),
            StageRow(False, 6, 2, 96, 2),
        ),
        32,
        0.2,
        last=384,
    ),
    "s": Size(
        (
            StageRow(True, 1, 1, 24, 2),
            StageRow(True, 4, 2, 48, 4),
            StageRow(True, 4, 2, 64, 4),
            StageRow(False, 4, 2, 128, 6),
            StageRow(False, 6, 1, 160, 9),
            StageRow(False, 6, 2, 256, 15),
        ),
        384,
        0.2,
    ),
    "m": Size(
        (
            StageRow(True, 1, 1, 24, 3),
            StageRow(True, 4, 2, 48, 5),
            StageRow(True, 4, 2, 80, 5),
            StageRow(False, 4, 2, 160, 7),
            StageRow(False, 6, 1, 176, 14),
            StageRow(False, 6, 2, 304, 18),
            StageRow(False, 6, 1, 512, 5),
        ),
        480,
        0.3,
    ),
    "l": Size(
        (
            StageRow(True, 1, 1, 32, 4),
            StageRow(True, 4, 2, 64, 7),
            StageRow(True, 4, 2, 96, 7),
            StageRow(False, 4, 2, 192, 10),
            StageRow(False, 6, 1, 224, 19),
            StageRow(False, 6, 2, 384, 25),
            StageRow(False, 6, 1, 640, 7),
        ),
        480,
        0.4,
    ),
}
EPSILON = 1e-3  # what batch normalisation adds to the variance, TensorFlow's habit


class FusedMBConv(nn.Module):
    """3×3 up, 1×1 down (figure 2): (B, C, H, W) → (B, out_channels, H/stride, W/stride).

    The 1×1 that expands and the depthwise 3×3 of an MBConv have become one ordinary 3×3. With expansion 1 nothing is left to
    bring down, and the block is a single 3×3. In training the branch is left out with probability ``drop_path``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, expansion: int = 4, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, out_channels=out_channels, expansion=expansion)
        wide = out_channels if expansion == 1 else expansion * in_channels
        self.expand = ConvNormAct(in_channels, wide, 3, stride, activation=nn.SiLU)
        self.project = nn.Identity() if expansion == 1 else ConvNormAct(wide, out_channels, 1, activation=None)
        self.drop_path = DropPath(drop_path)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        change = self.expand(x)  # (B, t·C, H/stride, W/stride)
        change = self.project(change)  # (B, out_channels, H/stride, W/stride)
        return x + self.drop_path(change) if self.has_shortcut else change  # (B, out_channels, H/stride, W/stride)


class EfficientNetV2(nn.Module):
    """Stem, fused stages, MBConv stages, a last 1×1, average, linear: (B, in_channels, S, S) → (B, num_classes).

    ``fused=False`` makes all stages of MBConv blocks, to compare the two kinds. ``drop_path`` grows from 0 at
    the first block towards its value at the last.
    """

    def __init__(
        self,
        size: Size,
        *,
        fused: bool = True,
        dropout: float | None = None,
        drop_path: float = 0.2,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int | None = None,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        image_size = size.image_size if image_size is None else image_size
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_choice("stem", stem, ("imagenet", "small"))
        small = stem == "small"
        self.size, self.fused = size, fused
        total = sum(row.depth for row in size.rows)
        rates = (drop_path * done / total for done in range(total))

        def stage(channels: int, row: StageRow, full_size: bool = False) -> nn.Sequential:
            block = FusedMBConv if row.fused and fused else MBConv
            stride = 1 if full_size else row.stride
            blocks = [block(channels, row.channels, stride, row.expansion, drop_path=next(rates))]
            for _ in range(row.depth - 1):
                blocks.append(block(row.channels, row.channels, 1, row.expansion, drop_path=next(rates)))
            return nn.Sequential(*blocks)

        rows, widths = size.rows, [row.channels for row in size.rows]
        self.stem = ConvNormAct(in_channels, widths[0], 3, stride=1 if small else 2, activation=nn.SiLU)
        self.stage1 = stage(widths[0], rows[0])
        # A small image keeps its size in the stem and through stage 2, and so arrives with 4×4 pixels.
        self.stage2 = stage(widths[0], rows[1], full_size=small)
        self.stage3 = stage(widths[1], rows[2])
        self.stage4 = stage(widths[2], rows[3])
        self.stage5 = stage(widths[3], rows[4])
        self.stage6 = stage(widths[4], rows[5])
        self.stage7 = stage(widths[5], rows[6]) if len(rows) == 7 else None
        self.last = ConvNormAct(widths[-1], size.last, 1, activation=nn.SiLU)
        self.pool = GlobalAveragePool()
        self.dropout = nn.Dropout(size.dropout if dropout is None else dropout)
        self.head = nn.Linear(size.last, num_classes)
        initialise_he(self)
        set_epsilon(self, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 24, 192, 192)   S at 384 pixels
        x = self.stage1(x)  # (B, 24, 192, 192)
        x = self.stage2(x)  # (B, 48, 96, 96)
        x = self.stage3(x)  # (B, 64, 48, 48)
        x = self.stage4(x)  # (B, 128, 24, 24)
        x = self.stage5(x)  # (B, 160, 24, 24)
        x = self.stage6(x)  # (B, 256, 12, 12)
        if self.stage7 is not None:  # M and L
            x = self.stage7(x)  # (B, 512, 15, 15)   M at 480 pixels
        x = self.last(x)  # (B, 1280, 12, 12)
        x = self.pool(x)  # (B, 1280)
        return self.head(self.dropout(x))  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        seventh = () if self.stage7 is None else ("stage7",)
        return Declaration(
            stages(
                *("stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6", *seventh, "last"),
                head=("pool", "dropout", "head"),
            ),
            feature_layer="last",
            null_gradients=null_gradients(self.size.rows, self.fused),
        )


def null_gradients(rows: tuple[StageRow, ...], fused: bool) -> tuple[tuple[str, str], ...]:
    """Biases of linear block ends whose every reader is a 1×1 convolution with batch normalisation, which subtracts them."""
    pointwise_first = [not (row.fused and fused) and row.expansion > 1 for row in rows]
    found = []
    for index, row in enumerate(rows):
        then = index + 1 == len(rows) or pointwise_first[index + 1]  # what reads the stage's end; at last the last 1×1
        if (row.fused and fused and row.expansion == 1) or not then:
            continue
        first = 0 if pointwise_first[index] else row.depth - 1  # a 3×3 sees the zeros of its padding beside the bias
        found += [f"stage{index + 1}.{block}.project.norm.bias" for block in range(first, row.depth)]
    return tuple((name, "is subtracted again by the batch normalisation behind the next 1×1") for name in found)


class Switches(BuildOptions, total=False):
    """``fused``: ordinary 3×3 in the first stages; rates of ``dropout`` and, at the last block, of stochastic depth."""

    fused: bool
    dropout: float
    drop_path: float


def efficientnet_v2_nano(**options: Unpack[Switches]) -> EfficientNetV2:
    return EfficientNetV2(SIZES["nano"], **{"stem": "small", "num_classes": 10, "drop_path": 0.0, **options})


efficientnet_v2_s = variant("efficientnet_v2_s", EfficientNetV2, SIZES["s"])
efficientnet_v2_m = variant("efficientnet_v2_m", EfficientNetV2, SIZES["m"])
efficientnet_v2_l = variant("efficientnet_v2_l", EfficientNetV2, SIZES["l"])
