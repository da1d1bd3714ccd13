"""Inception v3: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for Computer Vision",
CVPR 2016, arXiv:1512.00567.

The idea: take the Inception module apart by principles. Large kernels become chains of small ones, n×n becomes 1×n and
n×1, and the image is halved by convolution and pooling side by side, so that nothing is squeezed before it was looked at.

What to look at: the five module types A to E in the order in which an image meets them, and their output shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Unpack

import torch
from torch import Tensor, nn

from .catalogue.declaration import Declaration, Stage, stages
from .googlenet import AUXILIARY_WEIGHT, auxiliary_loss, conv_norm
from .layers import (
    BuildOptions,
    GlobalAveragePool,
    StemOptions,
    check_choice,
    check_image_size,
    check_positive,
    halved,
    initialise_he,
)

ConvStep = tuple[int, int | tuple[int, int]] | tuple[int, int, int, int]


class Chain(nn.Sequential):
    """Convolutions one after another: (B, C, H, W) → (B, out_channels, H', W'); ``scale`` multiplies all widths.

    A step is (width, kernel), which keeps the size, or (width, kernel, stride, padding). Every convolution has batch
    normalisation and ReLU behind it.
    """

    def __init__(self, in_channels: int, *steps: ConvStep, scale: float = 1.0) -> None:
        super().__init__()
        for width, kernel, *rest in steps:
            self.out_channels = max(1, round(scale * width))
            stride, padding = rest or (1, None)
            self.append(conv_norm(in_channels, self.out_channels, kernel, stride, padding))
            in_channels = self.out_channels


class Fork(nn.Module):
    """1×3 and 3×1 side by side instead of one after the other (figure 7): (B, C, H, W) → (B, 2·width, H, W)."""

    def __init__(self, in_channels: int, width: int, scale: float) -> None:
        super().__init__()
        self.horizontal = Chain(in_channels, (width, (1, 3)), scale=scale)
        self.vertical = Chain(in_channels, (width, (3, 1)), scale=scale)
        self.out_channels = self.horizontal.out_channels + self.vertical.out_channels

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.horizontal(x), self.vertical(x)), dim=1)  # (B, 2·width, H, W)


class Branches(nn.Module):
    """Branches side by side, concatenated; one without convolution passes its channels on."""

    def __init__(self, in_channels: int, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.out_channels = 0
        for branch in branches:
            last = branch[-1] if type(branch) is nn.Sequential else branch
            self.out_channels += last.out_channels if isinstance(last, Chain | Fork) else in_channels

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)  # (B, out_channels, H, W)


def pooled(in_channels: int, width: int, scale: float) -> nn.Sequential:
    """3×3 average pooling at stride 1, then a 1×1: (B, C, H, W) → (B, width, H, W)."""
    return nn.Sequential(nn.AvgPool2d(3, 1, 1), Chain(in_channels, (width, 1), scale=scale))


def inception_a(c: int, pool: int, scale: float) -> Branches:
    """For 35×35: two 3×3 for a 5×5 (figure 5), and one 5×5 kept: (B, C, 35, 35) → (B, 224 + pool, 35, 35)."""
    return Branches(
        c,
        Chain(c, (64, 1), scale=scale),
        Chain(c, (48, 1), (64, 5), scale=scale),
        Chain(c, (64, 1), (96, 3), (96, 3), scale=scale),
        pooled(c, pool, scale),
    )


def inception_b(c: int, padding: int, scale: float) -> Branches:
    """Grid reduction (figure 10), convolutions and pooling side by side: (B, C, 35, 35) → (B, 480 + C, 17, 17)."""
    return Branches(
        c,
        Chain(c, (384, 3, 2, padding), scale=scale),
        Chain(c, (64, 1), (96, 3), (96, 3, 2, padding), scale=scale),
        nn.MaxPool2d(3, 2, padding),
    )


def inception_c(c: int, inner: int, scale: float) -> Branches:
    """For 17×17: 7×7 as 1×7 and 7×1 (figure 6), ``inner`` channels inside: (B, C, 17, 17) → (B, 768, 17, 17)."""
    row, column = (1, 7), (7, 1)
    return Branches(
        c,
        Chain(c, (192, 1), scale=scale),
        Chain(c, (inner, 1), (inner, row), (192, column), scale=scale),
        Chain(c, (inner, 1), (inner, column), (inner, row), (inner, column), (192, row), scale=scale),
        pooled(c, 192, scale),
    )


def inception_d(c: int, padding: int, scale: float) -> Branches:
    """Build the second grid reduction: (B, C, 17, 17) → (B, 512 + C, 8, 8)."""
    return Branches(
        c,
        Chain(c, (192, 1), (320, 3, 2, padding), scale=scale),
        Chain(c, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2, padding), scale=scale),
        nn.MaxPool2d(3, 2, padding),
    )


def inception_e(c: int, scale: float) -> Branches:
    """For 8×8: wide, with 1×3 and 3×1 side by side (figure 7): (B, C, 8, 8) → (B, 2048, 8, 8)."""
    three, double = Chain(c, (384, 1), scale=scale), Chain(c, (448, 1), (384, 3), scale=scale)
    return Branches(
        c,
        Chain(c, (320, 1), scale=scale),
        nn.Sequential(three, Fork(three.out_channels, 384, scale)),
        nn.Sequential(double, Fork(double.out_channels, 384, scale)),
        pooled(c, 192, scale),
    )


class AuxiliaryHead(nn.Module):
    """A classifier on the last 17×17 map (figure 8), for training alone: (B, C, 17, 17) → (B, num_classes)."""

    def __init__(self, in_channels: int, num_classes: int, side: int, scale: float) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(5, 3) if side >= 17 else nn.AdaptiveAvgPool2d(5)
        self.convs = Chain(in_channels, (128, 1), (768, 5, 1, 0), scale=scale)
        self.average = GlobalAveragePool()
        self.head = nn.Linear(self.convs.out_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convs(self.pool(x))  # (B, 768, 1, 1)
        return self.head(self.average(x))  # (B, num_classes)


def auxiliary_side(image_size: int, stem: str) -> int:
    """Return the pixels a side of the map that the auxiliary head reads: 17 for the paper's images of 299 pixels."""
    if stem == "small":
        return halved(image_size, 2)

    def halve(side: int) -> int:  # 3×3 at stride 2 without padding
        return (side - 3) // 2 + 1

    return halve(halve(halve(halve(image_size) - 2) - 2))


class InceptionV3(nn.Module):
    """Stem, modules A A A B C C C C D E E, average, linear (table 1): (B, in_channels, S, S) → (B, num_classes).

    With ``auxiliary`` the output in training mode is (scores, scores of the auxiliary head).
    """

    def __init__(
        self,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 299,
        stem: str = "imagenet",
        auxiliary: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size, scale=scale)
        check_choice("stem", stem, ("imagenet", "small"))
        large = stem == "imagenet"
        check_image_size(image_size, 75 if large else 1, f"the {stem} stem")
        padding = 0 if large else 1  # the paper's layout lets the border go, small images have none to give
        self.conv1 = Chain(in_channels, (32, 3, 2 if large else 1, padding), (32, 3, 1, padding), (64, 3), scale=scale)
        self.pool1 = nn.MaxPool2d(3, 2, padding)
        self.conv2 = Chain(self.conv1.out_channels, (80, 1), (192, 3, 1, padding), scale=scale)
        self.pool2 = nn.MaxPool2d(3, 2) if large else nn.Identity()
        self.a1 = inception_a(self.conv2.out_channels, 32, scale)
        self.a2 = inception_a(self.a1.out_channels, 64, scale)
        self.a3 = inception_a(self.a2.out_channels, 64, scale)
        self.b = inception_b(self.a3.out_channels, padding, scale)
        self.c1 = inception_c(self.b.out_channels, 128, scale)
        self.c2 = inception_c(self.c1.out_channels, 160, scale)
        self.c3 = inception_c(self.c2.out_channels, 160, scale)
        self.c4 = inception_c(self.c3.out_channels, 192, scale)
        self.head1 = None
        if auxiliary:
            side = auxiliary_side(image_size, stem)
            self.head1 = AuxiliaryHead(self.c4.out_channels, num_classes, side, scale)
        self.d = inception_d(self.c4.out_channels, padding, scale)
        self.e1 = inception_e(self.d.out_channels, scale)
        self.e2 = inception_e(self.e1.out_channels, scale)
        self.pool = GlobalAveragePool()
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(self.e2.out_channels, num_classes)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.pool1(self.conv1(x))  # (B, 64, 73, 73)
        x = self.pool2(self.conv2(x))  # (B, 192, 35, 35)
        x = self.a3(self.a2(self.a1(x)))  # (B, 288, 35, 35)
        x = self.b(x)  # (B, 768, 17, 17)
        x = self.c4(self.c3(self.c2(self.c1(x))))  # (B, 768, 17, 17)
        early = self.head1(x) if self.head1 is not None and self.training else None  # (B, num_classes)
        x = self.d(x)  # (B, 1280, 8, 8)
        x = self.e2(self.e1(x))  # (B, 2048, 8, 8)
        x = self.head(self.dropout(self.pool(x)))  # (B, num_classes)
        return x if early is None else (x, early)

    def training_loss(
        self, outputs: Tensor | tuple[Tensor, ...], images: Tensor, targets: Tensor, criterion: Callable[..., Tensor]
    ) -> Tensor:
        """Return the loss of the scores plus 0.3 times that of the auxiliary head: a scalar."""
        return auxiliary_loss(outputs, targets, criterion)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        front = stages(
            stem=("conv1", "pool1", "conv2", "pool2"), A=("a1", "a2", "a3"), B=("b",), C=("c1", "c2", "c3", "c4")
        )
        back = stages(D=("d",), E=("e1", "e2"), head=("pool", "dropout", "head"))
        if self.head1 is None:
            return Declaration((*front, *back), feature_layer="e2")
        return Declaration(
            (*front, Stage("auxiliary", ("head1",)), *back),
            feature_layer="e2",
            initial_loss=(1 + AUXILIARY_WEIGHT) * math.log(self.head.out_features),
            initial_loss_reason="one more classifier, weighted by 0.3",
            auxiliary=("head1",),
        )


class Options(StemOptions, total=False):
    """``auxiliary`` adds the head for training."""

    auxiliary: bool


class NativeOptions(BuildOptions, total=False):
    """The same for the network that has one layout only."""

    auxiliary: bool


def inception_v3(**options: Unpack[Options]) -> InceptionV3:
    return InceptionV3(**options)


def inception_v3_aux(**options: Unpack[Options]) -> InceptionV3:
    return InceptionV3(**{"auxiliary": True, **options})


def inception_v3_nano(**options: Unpack[NativeOptions]) -> InceptionV3:
    return InceptionV3(stem="small", scale=0.2, **{"num_classes": 10, "image_size": 32, **options})
