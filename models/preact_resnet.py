"""Pre-activation ResNet: He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016, arXiv:1603.05027.

The idea: nothing may stand on the shortcut, not even a ReLU after the addition. Normalisation and activation move in
front of each convolution; from block to block then runs a clean sum, x + F(x) + F(x') + …, and a gradient comes back
along it unchanged, through a thousand layers if need be.

What to look at: ``PreActBlock.forward``, whose last line adds and does nothing after it. Then the two ends of the sum: the
stem activates once for the first block, and ``norm`` activates once behind the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from torch import Tensor, nn

from .catalogue.declaration import Declaration, Stage
from .layers import (
    BuildOptions,
    ConvNormAct,
    GlobalAveragePool,
    StemOptions,
    check_choice,
    check_positive,
    initialise_he,
    variant,
)
from .resnet import DEPTHS as RESNET_DEPTHS
from .resnet import PadShortcut, imagenet_stem, small_stem

# Blocks per stage of the ImageNet layout: table 1 of the ResNet paper, and the 200 layers of this one (section 5).
DEPTHS = {**RESNET_DEPTHS, 200: (3, 24, 36, 3)}


class NormAct(nn.Sequential):
    """Batch normalisation and ReLU: (B, C, H, W) → the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.act = nn.ReLU()


class NormActConv(nn.Sequential):
    """Batch normalisation, ReLU, convolution, in this order: (B, C_in, H, W) → (B, C_out, H/stride, W/stride).

    With ``dropout`` some of the activations are set to zero before the convolution in training.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.act = nn.ReLU()
        if dropout:
            self.dropout = nn.Dropout(dropout)
        self.conv = plain_conv(in_channels, out_channels, kernel_size, stride)


def plain_conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution alone, without bias, padded so that stride 1 keeps the size."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)


class PreActBlock(nn.Module):
    """Two 3×3 convolutions, each behind its own normalisation (figure 1b): (B, C, H, W) → (B, width, H/stride, W/stride).

    ``first`` marks the block behind the stem: its input is activated already, and both paths start from there.
    ``pad`` takes the shortcut without parameters of the 2015 CIFAR networks where the shape changes, instead of a 1×1.
    """

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        first: bool = False,
        *,
        dropout: float = 0.0,
        pad: bool = False,
    ) -> None:
        super().__init__()
        self.before = nn.Identity() if first else NormAct(in_channels)
        self.conv1 = plain_conv(in_channels, width, 3, stride)
        self.conv2 = NormActConv(width, width, 3, dropout=dropout)
        self.shortcut = shortcut(in_channels, width, stride, pad)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.before(x)  # (B, C, H, W)
        skip = x if self.shortcut is None else self.shortcut(activated)  # (B, width, H/stride, W/stride)
        return skip + self.conv2(self.conv1(activated))  # (B, width, H/stride, W/stride)


class PreActBottleneck(nn.Module):
    """1×1 down, 3×3, 1×1 up, each behind its own normalisation: (B, C, H, W) → (B, 4·width, H/stride, W/stride).

    ``stride_in_1x1`` halves in the first convolution, as the authors' code for CIFAR does, not in the 3×3.
    """

    expansion = 4

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, first: bool = False, *, stride_in_1x1: bool = False
    ) -> None:
        super().__init__()
        out_channels = self.expansion * width
        early, late = (stride, 1) if stride_in_1x1 else (1, stride)
        self.before = nn.Identity() if first else NormAct(in_channels)
        self.conv1 = plain_conv(in_channels, width, 1, early)
        self.conv2 = NormActConv(width, width, 3, late)
        self.conv3 = NormActConv(width, out_channels, 1)
        self.shortcut = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.before(x)  # (B, C, H, W)
        skip = x if self.shortcut is None else self.shortcut(activated)  # (B, 4·width, H/stride, W/stride)
        return skip + self.conv3(self.conv2(self.conv1(activated)))  # (B, 4·width, H/stride, W/stride)


def shortcut(in_channels: int, out_channels: int, stride: int, pad: bool = False) -> nn.Module | None:
    """Return None where the raw input passes on; else what brings the *activated* input to the new shape, without a norm."""
    if stride == 1 and in_channels == out_channels:
        return None
    if pad:
        return PadShortcut(in_channels, out_channels, stride)
    return plain_conv(in_channels, out_channels, 1, stride)


class PreActResNet(nn.Module):
    """Stem, stages of pre-activation blocks, one last norm and ReLU, average, linear: (B, in_channels, S, S) → (B, classes).

    ``block(in_channels, width, stride, first)`` makes one block with ``expansion * width`` output channels; ``widths`` has
    one entry per stage. ``stem_layers`` make ``stem_width`` channels and end in an activation. ``final_norm=False`` leaves
    the last norm out, as some CIFAR repositories do.
    """

    def __init__(
        self,
        block: Callable[[int, int, int, bool], nn.Module],
        depths: tuple[int, ...],
        widths: tuple[int, ...],
        stem_layers: nn.Module,
        *,
        stem_width: int,
        expansion: int,
        num_classes: int,
        final_norm: bool = True,
    ) -> None:
        super().__init__()
        self.stem = stem_layers
        self.stages = nn.Sequential()
        channels = stem_width
        for index, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            stride = 1 if index == 0 else 2
            blocks = [block(channels, width, stride, index == 0)]
            channels = expansion * width
            blocks += [block(channels, width, 1, False) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))
        self.norm = NormAct(channels) if final_norm else nn.Identity()
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(channels, num_classes)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 64, 56, 56), normalised and activated for the first block
        x = self.stages(x)  # (B, 512·e, 7, 7), a sum of residuals that no activation has touched since the last 1×1
        x = self.norm(x)  # (B, 512·e, 7, 7)
        return self.head(self.pool(x))  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        body = (Stage(f"stage{index + 1}", (f"stages.{index}",)) for index in range(len(self.stages)))
        return Declaration(
            (Stage("stem", ("stem",)), *body, Stage("head", ("norm", "pool", "head"))),
            feature_layer="norm",
            overfit_lr=3e-3,
        )


def imagenet_layout(
    block: Callable[[int, int, int, bool], nn.Module],
    depths: tuple[int, ...],
    *,
    expansion: int,
    num_classes: int = 1000,
    in_channels: int = 3,
    image_size: int = 224,
    stem: str = "imagenet",
    final_norm: bool = True,
) -> PreActResNet:
    """Four stages of 64, 128, 256, 512 channels behind ResNet's stem, or behind one 3×3 at full size."""
    check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
    check_choice("stem", stem, ("imagenet", "small"))
    return PreActResNet(
        block,
        depths,
        (64, 128, 256, 512),
        imagenet_stem(in_channels) if stem == "imagenet" else small_stem(in_channels),
        stem_width=64,
        expansion=expansion,
        num_classes=num_classes,
        final_norm=final_norm,
    )


def cifar_layout(
    block: Callable[[int, int, int, bool], nn.Module],
    n: int,
    *,
    expansion: int = 1,
    factor: int = 1,
    num_classes: int = 10,
    in_channels: int = 3,
    image_size: int = 32,
) -> PreActResNet:
    """Build three stages of ``n`` blocks of 16, 32, 64 channels times ``factor`` behind one 3×3 convolution of 16
    channels.
    """
    check_positive(n=n, factor=factor, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
    return PreActResNet(
        block,
        (n, n, n),
        (16 * factor, 32 * factor, 64 * factor),
        ConvNormAct(in_channels, 16, 3),
        stem_width=16,
        expansion=expansion,
        num_classes=num_classes,
    )


class Options(StemOptions, total=False):
    """``final_norm=False`` leaves out the norm and ReLU behind the last block."""

    final_norm: bool


def _padded_block(in_channels: int, width: int, stride: int, first: bool) -> PreActBlock:
    return PreActBlock(in_channels, width, stride, first, pad=True)


def _cifar_bottleneck(in_channels: int, width: int, stride: int, first: bool) -> PreActBottleneck:
    return PreActBottleneck(in_channels, width, stride, first, stride_in_1x1=True)


def _of_basic_blocks(depth: int, **options: Unpack[Options]) -> PreActResNet:
    """Build the ImageNet layout with blocks of two 3×3; ``depth`` counts the layers."""
    return imagenet_layout(PreActBlock, DEPTHS[depth], expansion=1, **options)


def _of_bottlenecks(depth: int, **options: Unpack[Options]) -> PreActResNet:
    """Build the ImageNet layout with bottlenecks; ``depth`` counts the layers."""
    return imagenet_layout(PreActBottleneck, DEPTHS[depth], expansion=4, **options)


def _cifar_of_basic_blocks(n: int, **options: Unpack[BuildOptions]) -> PreActResNet:
    """Build the CIFAR layout with blocks of two 3×3: 6n + 2 layers."""
    return cifar_layout(_padded_block, n, **options)


def _cifar_of_bottlenecks(n: int, **options: Unpack[BuildOptions]) -> PreActResNet:
    """Build the CIFAR layout with bottlenecks: 9n + 2 layers."""
    return cifar_layout(_cifar_bottleneck, n, expansion=4, **options)


preact_resnet18 = variant("preact_resnet18", _of_basic_blocks, 18)
preact_resnet34 = variant("preact_resnet34", _of_basic_blocks, 34)
preact_resnet50 = variant("preact_resnet50", _of_bottlenecks, 50)
preact_resnet101 = variant("preact_resnet101", _of_bottlenecks, 101)
preact_resnet152 = variant("preact_resnet152", _of_bottlenecks, 152)
preact_resnet200 = variant("preact_resnet200", _of_bottlenecks, 200)
preact_resnet20 = variant("preact_resnet20", _cifar_of_basic_blocks, 3)
preact_resnet110 = variant("preact_resnet110", _cifar_of_basic_blocks, 18)
preact_resnet164 = variant("preact_resnet164", _cifar_of_bottlenecks, 18)
preact_resnet1001 = variant("preact_resnet1001", _cifar_of_bottlenecks, 111)
