"""GoogLeNet (Inception v1): Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842.

The idea: do not choose between a 1×1, a 3×3, a 5×5 convolution and a pooling, run all four side by side and concatenate
what they find; and before the expensive kernels a 1×1 convolution reduces the channels, or nobody could pay for it.

What to look at: the four lines of ``Inception.forward``; then ``naive=True``, the same module without the reductions, and
what it does to the channel count of every later module; then the two heads that run in training alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Unpack

import torch
from torch import Tensor, nn

from .catalogue.declaration import Declaration, Stage, stages
from .layers import (
    BuildOptions,
    ConvNormAct,
    GlobalAveragePool,
    StemOptions,
    check_choice,
    check_image_size,
    check_positive,
    halved,
)

AUXILIARY_WEIGHT = 0.3  # section 5: "the losses of the auxiliary classifiers were weighted by 0.3"


class Widths(NamedTuple):
    """Output channels inside one module, the columns of table 1."""

    one: int  # the 1×1 branch
    reduce3: int  # the 1×1 before the 3×3
    three: int  # the 3×3
    reduce5: int  # the 1×1 before the 5×5
    five: int  # the 5×5
    pool: int  # the 1×1 after the pooling

    def scaled(self, factor: float) -> Widths:
        return Widths(*(max(1, round(factor * width)) for width in self))


MODULES = {
    "3a": Widths(64, 96, 128, 16, 32, 32),
    "3b": Widths(128, 128, 192, 32, 96, 64),
    "4a": Widths(192, 96, 208, 16, 48, 64),
    "4b": Widths(160, 112, 224, 24, 64, 64),
    "4c": Widths(128, 128, 256, 24, 64, 64),
    "4d": Widths(112, 144, 288, 32, 64, 64),
    "4e": Widths(256, 160, 320, 32, 128, 128),
    "5a": Widths(256, 160, 320, 32, 128, 128),
    "5b": Widths(384, 192, 384, 48, 128, 128),
}


class ConvAct(nn.Sequential):
    """Convolution with bias, ReLU; 2014 had no batch normalisation yet: (B, C_in, H, W) → (B, C_out, H/stride, W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2)
        self.act = nn.ReLU()


@dataclass(frozen=True)
class Layout:
    """What distinguishes the paper's network from torchvision's: everything but the widths.

    ``unit(in_channels, out_channels, kernel_size, stride)`` makes a convolution with its activation, ``five`` is the kernel
    of the third branch, ``last_pool`` the kernel of the pooling before 5a, ``auxiliary_pool`` (kernel, stride) of the
    pooling in the auxiliary heads, None for four by four equal windows.
    """

    unit: Callable[..., nn.Module]
    five: int = 5
    response_norm: bool = False
    last_pool: int = 3
    dropout: float = 0.4
    auxiliary_pool: tuple[int, int] | None = None


conv_norm = partial(ConvNormAct, eps=1e-3)
PAPER = Layout(ConvAct, response_norm=True, auxiliary_pool=(5, 3))
TORCHVISION = Layout(conv_norm, five=3, last_pool=2, dropout=0.2)
NANO = Layout(conv_norm, dropout=0.2)


class Inception(nn.Module):
    """Four branches side by side (figure 2b): (B, C, H, W) → (B, one + three + five + pool, H, W).

    All branches are padded so that height and width stay, or their maps could not be concatenated. ``naive`` leaves
    the reductions and the projection out (figure 2a); the pooling then passes all C channels on.
    """

    def __init__(self, in_channels: int, widths: Widths, layout: Layout = PAPER, naive: bool = False) -> None:
        super().__init__()
        unit = layout.unit
        pool = nn.MaxPool2d(3, stride=1, padding=1)
        self.branch1 = unit(in_channels, widths.one, 1)
        if naive:
            self.branch3 = unit(in_channels, widths.three, 3)
            self.branch5 = unit(in_channels, widths.five, layout.five)
            self.branch_pool = pool
        else:
            self.branch3 = nn.Sequential(unit(in_channels, widths.reduce3, 1), unit(widths.reduce3, widths.three, 3))
            self.branch5 = nn.Sequential(
                unit(in_channels, widths.reduce5, 1), unit(widths.reduce5, widths.five, layout.five)
            )
            self.branch_pool = nn.Sequential(pool, unit(in_channels, widths.pool, 1))
        self.out_channels = widths.one + widths.three + widths.five + (in_channels if naive else widths.pool)

    def forward(self, x: Tensor) -> Tensor:
        branches = (
            self.branch1(x),  # (B, one, H, W)
            self.branch3(x),  # (B, three, H, W)
            self.branch5(x),  # (B, five, H, W)
            self.branch_pool(x),  # (B, pool, H, W); naive: (B, C, H, W)
        )
        return torch.cat(branches, dim=1)  # (B, one + three + five + pool, H, W)


class AuxiliaryHead(nn.Module):
    """A small classifier halfway up (section 5), for training alone: (B, C, 14, 14) → (B, num_classes)."""

    def __init__(self, in_channels: int, num_classes: int, side: int, layout: Layout) -> None:
        super().__init__()
        if layout.auxiliary_pool is not None and side == 14:  # as printed
            kernel, stride = layout.auxiliary_pool
            self.pool = nn.AvgPool2d(kernel, stride)
        else:
            self.pool = nn.AdaptiveAvgPool2d(4)
        self.conv = layout.unit(in_channels, 128, 1)
        self.hidden = nn.Linear(128 * 4 * 4, 1024)
        self.act = nn.ReLU()
        self.dropout = nn.Dropout(0.7)
        self.head = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.pool(x))  # (B, 128, 4, 4)
        x = self.act(self.hidden(x.flatten(1)))  # (B, 1024)
        return self.head(self.dropout(x))  # (B, num_classes)


def auxiliary_loss(outputs: Tensor | tuple[Tensor, ...], targets: Tensor, criterion: Callable[..., Tensor]) -> Tensor:
    """Return the loss of the scores, plus 0.3 times the loss of every auxiliary head that took part."""
    if isinstance(outputs, Tensor):
        return criterion(outputs, targets)
    scores, *auxiliary = outputs
    return criterion(scores, targets) + AUXILIARY_WEIGHT * sum(criterion(each, targets) for each in auxiliary)


def max_pool(kernel_size: int = 3) -> nn.MaxPool2d:
    """Overlapping pooling at stride 2 without padding; a window that reaches over the edge is kept."""
    return nn.MaxPool2d(kernel_size, stride=2, ceil_mode=True)


def smallest_image(stem: str, last_pool: int) -> int:
    """Return the pixels a side that leave something to pool everywhere: a 3×3 pooling needs 2, a 2×2 one takes a single
    pixel too.
    """
    before_pool3 = 4 * (2 if last_pool == 3 else 1)
    return 4 * before_pool3 - 1 if stem == "imagenet" else before_pool3


def side_of_stage4(image_size: int, stem: str) -> int:
    """Return the pixels a side of the maps that the auxiliary heads read: 14 for the paper's images of 224 pixels."""
    side = halved(image_size) // 2 if stem == "imagenet" else image_size
    return side // 2 // 2


class GoogLeNet(nn.Module):
    """Stem, nine Inception modules, average, one linear layer (table 1): (B, in_channels, S, S) → (B, num_classes).

    With ``auxiliary`` the output in training mode is (scores, scores of head 1, scores of head 2). ``scale`` multiplies all
    widths.
    """

    def __init__(
        self,
        layout: Layout = PAPER,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
        auxiliary: bool = False,
        naive: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size, scale=scale)
        check_choice("stem", stem, ("imagenet", "small"))
        check_image_size(image_size, smallest_image(stem, layout.last_pool), f"the {stem} stem")
        first, reduced, wide = (max(1, round(scale * width)) for width in (64, 64, 192))
        norm = nn.LocalResponseNorm(5) if layout.response_norm else nn.Identity()
        if stem == "imagenet":
            self.conv1 = nn.Sequential(layout.unit(in_channels, first, 7, 2), max_pool(), norm)
        else:
            self.conv1 = nn.Sequential(layout.unit(in_channels, first, 3), norm)
        self.conv2 = nn.Sequential(layout.unit(first, reduced, 1), layout.unit(reduced, wide, 3), norm)

        def inception(name: str, channels: int) -> Inception:
            return Inception(channels, MODULES[name].scaled(scale), layout, naive)

        self.pool3 = max_pool()
        self.inception3a = inception("3a", wide)
        self.inception3b = inception("3b", self.inception3a.out_channels)
        self.pool4 = max_pool()
        self.inception4a = inception("4a", self.inception3b.out_channels)
        self.inception4b = inception("4b", self.inception4a.out_channels)
        self.inception4c = inception("4c", self.inception4b.out_channels)
        self.inception4d = inception("4d", self.inception4c.out_channels)
        self.inception4e = inception("4e", self.inception4d.out_channels)
        self.pool5 = max_pool(layout.last_pool)
        self.inception5a = inception("5a", self.inception4e.out_channels)
        self.inception5b = inception("5b", self.inception5a.out_channels)
        if auxiliary:
            side = side_of_stage4(image_size, stem)
            self.head1 = AuxiliaryHead(self.inception4a.out_channels, num_classes, side, layout)
            self.head2 = AuxiliaryHead(self.inception4d.out_channels, num_classes, side, layout)
        else:
            self.head1 = self.head2 = None
        self.pool = GlobalAveragePool()
        self.dropout = nn.Dropout(layout.dropout)
        self.head = nn.Linear(self.inception5b.out_channels, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        x = self.conv2(self.conv1(x))  # (B, 192, 56, 56)
        x = self.inception3a(self.pool3(x))  # (B, 256, 28, 28)
        x = self.inception3b(x)  # (B, 480, 28, 28)
        x = self.inception4a(self.pool4(x))  # (B, 512, 14, 14)
        first = self.head1(x) if self.head1 is not None and self.training else None  # (B, num_classes)
        x = self.inception4b(x)  # (B, 512, 14, 14)
        x = self.inception4c(x)  # (B, 512, 14, 14)
        x = self.inception4d(x)  # (B, 528, 14, 14)
        second = self.head2(x) if self.head2 is not None and self.training else None  # (B, num_classes)
        x = self.inception4e(x)  # (B, 832, 14, 14)
        x = self.inception5a(self.pool5(x))  # (B, 832, 7, 7)
        x = self.inception5b(x)  # (B, 1024, 7, 7)
        x = self.head(self.dropout(self.pool(x)))  # (B, num_classes)
        return x if first is None or second is None else (x, first, second)

    def training_loss(
        self, outputs: Tensor | tuple[Tensor, ...], images: Tensor, targets: Tensor, criterion: Callable[..., Tensor]
    ) -> Tensor:
        """Return the loss of the scores plus 0.3 times that of each auxiliary head: a scalar."""
        return auxiliary_loss(outputs, targets, criterion)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        body = stages(
            stem=("conv1", "conv2"),
            inception3=("pool3", "inception3a", "inception3b"),
            inception4=("pool4", "inception4a", "inception4b", "inception4c", "inception4d", "inception4e"),
            inception5=("pool5", "inception5a", "inception5b"),
        )
        head = Stage("head", ("pool", "dropout", "head"))
        if self.head1 is None:
            return Declaration((*body, head), feature_layer="inception5b")
        return Declaration(
            (*body, Stage("auxiliary", ("head1", "head2")), head),
            feature_layer="inception5b",
            initial_loss=(1 + 2 * AUXILIARY_WEIGHT) * math.log(self.head.out_features),
            initial_loss_reason="two more classifiers, each weighted by 0.3",
            auxiliary=("head1", "head2"),
        )


def initialise(network: nn.Module) -> None:
    """Normal weights with variance 2 / fan_in (He et al., arXiv:1502.01852), small ones in the heads, zero biases.

    Fan_in, not fan_out: the reductions have far more inputs than outputs, and in the paper's network nothing normalises
    behind them.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear) and name.endswith("head"):
            nn.init.normal_(module.weight, std=0.01)


class Options(StemOptions, total=False):
    """``auxiliary`` adds the two heads for training, ``naive`` takes the modules without reductions."""

    auxiliary: bool
    naive: bool


class NativeOptions(BuildOptions, total=False):
    """The same for the network that has one layout only."""

    auxiliary: bool
    naive: bool


def googlenet(**options: Unpack[Options]) -> GoogLeNet:
    return GoogLeNet(PAPER, **options)


def googlenet_aux(**options: Unpack[Options]) -> GoogLeNet:
    return GoogLeNet(PAPER, **{"auxiliary": True, **options})


def googlenet_naive(**options: Unpack[Options]) -> GoogLeNet:
    return GoogLeNet(PAPER, **{"naive": True, **options})


def googlenet_bn(**options: Unpack[Options]) -> GoogLeNet:
    return GoogLeNet(TORCHVISION, **options)


def googlenet_bn_aux(**options: Unpack[Options]) -> GoogLeNet:
    return GoogLeNet(TORCHVISION, **{"auxiliary": True, **options})


def googlenet_nano(**options: Unpack[NativeOptions]) -> GoogLeNet:
    return GoogLeNet(NANO, stem="small", scale=0.25, **{"num_classes": 10, "image_size": 32, **options})
