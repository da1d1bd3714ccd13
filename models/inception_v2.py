"""Inception v2 (BN-Inception): Ioffe, Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
Covariate Shift", ICML 2015, arXiv:1502.03167, appendix "Variant of the Inception Model Used".

The idea: normalise every layer's output over the batch, and an Inception network learns the same in a fourteenth of the
steps. On the way the module changes: two 3×3 convolutions see what one 5×5 sees and cost less.

What to look at: ``Module`` beside GoogLeNet's, and the rows of ``MODULES`` without a 1×1: they halve the image inside.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .googlenet import max_pool
from .layers import (
    BuildOptions,
    GlobalAveragePool,
    StemOptions,
    check_choice,
    check_image_size,
    check_positive,
    initialise_he,
)


class Widths(NamedTuple):
    """Output channels inside one module, the columns of the appendix' table. ``one`` = 0 marks a module of stride 2."""

    one: int  # the 1×1 branch
    reduce: int  # the 1×1 before the single 3×3
    three: int  # the single 3×3
    reduce_double: int  # the 1×1 before the two 3×3
    double: int  # each of the two 3×3
    pool: str  # "average" or "max"
    projection: int  # the 1×1 after the pooling; 0: the pooling passes all channels on

    def scaled(self, factor: float) -> Widths:
        def scale(width: int) -> int:
            return max(1, round(factor * width)) if width else 0

        one, reduce, three, reduce_double, double, pool, projection = self
        return Widths(
            *(scale(one), scale(reduce), scale(three), scale(reduce_double), scale(double)), pool, scale(projection)
        )


MODULES = {
    "3a": Widths(64, 64, 64, 64, 96, "average", 32),
    "3b": Widths(64, 64, 96, 64, 96, "average", 64),
    "3c": Widths(0, 128, 160, 64, 96, "max", 0),
    "4a": Widths(224, 64, 96, 96, 128, "average", 128),
    "4b": Widths(192, 96, 128, 96, 128, "average", 128),
    "4c": Widths(160, 128, 160, 128, 160, "average", 128),
    "4d": Widths(96, 128, 192, 160, 192, "average", 128),
    "4e": Widths(0, 128, 192, 192, 256, "max", 0),
    "5a": Widths(352, 192, 320, 160, 224, "average", 128),
    "5b": Widths(352, 192, 320, 192, 224, "max", 128),
}
# The table prints 576 channels behind 4c and 4d, 1024 behind 4e. These widths give them; the 128 above give 608 and 1056.
PAPER_TABLE = {name: MODULES[name]._replace(projection=96) for name in ("4c", "4d")}


class Unit(nn.Sequential):
    """Convolution, batch normalisation, ReLU: (B, C_in, H, W) → (B, C_out, H/stride, W/stride).

    The norm subtracts the ``bias`` again, so it learns nothing, as the paper remarks (section 3.2); the published weights
    carry it all the same, and so does the count.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=bias)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU()


class PassThrough(nn.Module):
    """3×3 max pooling at stride 2 that makes as many pixels as a padded convolution: (B, C, H, W) → (B, C, ⌈H/2⌉, ⌈W/2⌉)."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        return F.max_pool2d(x, 3, 2, padding=(height % 2, width % 2), ceil_mode=True)  # (B, C, ⌈H/2⌉, ⌈W/2⌉)


class Module(nn.Module):
    """A module of the appendix: 1×1 | 1×1, 3×3 | 1×1, 3×3, 3×3 | pooling, 1×1: (B, C, H, W) → (B, out_channels, H, W).

    Without a 1×1 branch all others run at stride 2 and the pooling passes its C channels on.
    """

    def __init__(self, in_channels: int, widths: Widths, unit: Callable[..., nn.Module] = Unit) -> None:
        super().__init__()
        stride = 1 if widths.one else 2
        branches: list[nn.Module] = []
        if widths.one:
            branches.append(unit(in_channels, widths.one, 1))
        branches.append(
            nn.Sequential(unit(in_channels, widths.reduce, 1), unit(widths.reduce, widths.three, 3, stride))
        )
        branches.append(
            nn.Sequential(
                unit(in_channels, widths.reduce_double, 1),
                unit(widths.reduce_double, widths.double, 3),
                unit(widths.double, widths.double, 3, stride),
            )
        )
        if widths.projection:
            pool = nn.AvgPool2d(3, 1, 1) if widths.pool == "average" else nn.MaxPool2d(3, 1, 1)
            branches.append(nn.Sequential(pool, unit(in_channels, widths.projection, 1)))
        else:
            branches.append(PassThrough())
        self.branches = nn.ModuleList(branches)
        self.out_channels = widths.one + widths.three + widths.double + (widths.projection or in_channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)  # (B, out_channels, H, W) or half the size


class InceptionV2(nn.Module):
    """Stem, ten modules of which two halve the image, average, linear: (B, in_channels, S, S) → (B, num_classes)."""

    def __init__(
        self,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
        paper_table: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size, scale=scale)
        check_choice("stem", stem, ("imagenet", "small"))
        check_image_size(image_size, 7 if stem == "imagenet" else 2, f"the {stem} stem")
        self.paper_table = paper_table
        unit = partial(Unit, bias=not paper_table)
        first, reduced, channels = (max(1, round(scale * width)) for width in (64, 64, 192))
        if stem == "imagenet":
            self.conv1 = nn.Sequential(unit(in_channels, first, 7, 2), max_pool())
        else:
            self.conv1 = unit(in_channels, first, 3)
        self.conv2 = nn.Sequential(unit(first, reduced, 1), unit(reduced, channels, 3), max_pool())
        rows = {**MODULES, **PAPER_TABLE} if paper_table else MODULES

        def inception(name: str, channels: int) -> Module:
            return Module(channels, rows[name].scaled(scale), unit)

        self.inception3a = inception("3a", channels)
        self.inception3b = inception("3b", self.inception3a.out_channels)
        self.inception3c = inception("3c", self.inception3b.out_channels)
        self.inception4a = inception("4a", self.inception3c.out_channels)
        self.inception4b = inception("4b", self.inception4a.out_channels)
        self.inception4c = inception("4c", self.inception4b.out_channels)
        self.inception4d = inception("4d", self.inception4c.out_channels)
        self.inception4e = inception("4e", self.inception4d.out_channels)
        self.inception5a = inception("5a", self.inception4e.out_channels)
        self.inception5b = inception("5b", self.inception5a.out_channels)
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(self.inception5b.out_channels, num_classes)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.conv1(x))  # (B, 192, 28, 28)
        x = self.inception3b(self.inception3a(x))  # (B, 320, 28, 28)
        x = self.inception3c(x)  # (B, 576, 14, 14)
        x = self.inception4b(self.inception4a(x))  # (B, 576, 14, 14)
        x = self.inception4d(self.inception4c(x))  # (B, 608, 14, 14); 576 in the paper's table
        x = self.inception4e(x)  # (B, 1056, 7, 7); 1024 in the paper's table
        x = self.inception5b(self.inception5a(x))  # (B, 1024, 7, 7)
        return self.head(self.pool(x))  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        useless = ((".conv.bias", "the norm behind the convolution subtracts it again"),)
        return Declaration(
            stages(
                stem=("conv1", "conv2"),
                inception3=("inception3a", "inception3b", "inception3c"),
                inception4=("inception4a", "inception4b", "inception4c", "inception4d", "inception4e"),
                inception5=("inception5a", "inception5b"),
                head=("pool", "head"),
            ),
            feature_layer="inception5b",
            null_gradients=() if self.paper_table else useless,
        )


class Options(StemOptions, total=False):
    """``paper_table`` gives the channels that the paper prints behind 4c, 4d and 4e, and no biases before the norms."""

    paper_table: bool


class NativeOptions(BuildOptions, total=False):
    """The same for the network that has one layout only."""

    paper_table: bool


def inception_v2(**options: Unpack[Options]) -> InceptionV2:
    return InceptionV2(**options)


def inception_v2_nano(**options: Unpack[NativeOptions]) -> InceptionV2:
    return InceptionV2(stem="small", scale=0.25, **{"num_classes": 10, "image_size": 32, **options})
