"""ResNet: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385.

The idea: a block does not produce its output H(x), it produces the change F(x) = H(x) - x, and a shortcut adds x back.
Doing nothing is then the easiest thing to learn, so more layers can no longer make the training error worse.

What to look at: the two lines ``x + residual`` below; everything else is a VGG with batch normalisation. Then the plain
twins (``plain20``, ``plain34``, ``plain56``), the same networks with those lines taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import torch.nn.functional as F
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    BuildOptions,
    ConvNormAct,
    GlobalAveragePool,
    StemOptions,
    check_choice,
    check_positive,
    initialise_he,
    stack,
    variant,
)

# Table 1 of the paper: blocks in each of the four stages. Layers = 2 or 3 per block, plus the stem, plus the classifier.
DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside an identity (paper, figure 5 left): (B, C, H, W) → (B, width, H/stride, W/stride)."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int = 1, skip: bool = True) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(in_channels, width, 3, stride)
        self.conv2 = ConvNormAct(width, width, 3, activation=None)
        self.shortcut = projection(in_channels, width, stride) if skip else None
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        residual = self.conv2(self.conv1(x))  # (B, width, H/stride, W/stride)
        if self.shortcut is None:  # the plain twin: the same layers, nothing added
            return self.relu(residual)
        return self.relu(self.shortcut(x) + residual)  # (B, width, H/stride, W/stride)


class Bottleneck(nn.Module):
    """1×1 down, 3×3, 1×1 up beside an identity (figure 5 right): (B, C, H, W) → (B, 4·width, H/stride, W/stride).

    ``stride_in_1x1`` places the stride in the first 1×1 as the paper did (v1); v1.5, which everybody ships, has it in
    the 3×3 and so does not throw away three pixels in four unseen.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1, stride_in_1x1: bool = False) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = ConvNormAct(in_channels, width, 1, first)
        self.conv2 = ConvNormAct(width, width, 3, second)
        self.conv3 = ConvNormAct(width, self.expansion * width, 1, activation=None)
        self.shortcut = projection(in_channels, self.expansion * width, stride)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        residual = self.conv3(self.conv2(self.conv1(x)))  # (B, 4·width, H/stride, W/stride)
        return self.relu(self.shortcut(x) + residual)  # (B, 4·width, H/stride, W/stride)


def projection(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Shortcut of type B: the identity, and a 1×1 convolution only where the shapes differ (section 3.3)."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return ConvNormAct(in_channels, out_channels, 1, stride, activation=None)


class PadShortcut(nn.Module):
    """Shortcut of type A (sections 3.3, 4.2): every second pixel, new channels filled with zeros; no parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.extra = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]  # (B, C, H/stride, W/stride)
        before = self.extra // 2
        return F.pad(x, (0, 0, 0, 0, before, self.extra - before))  # (B, C + extra, H/stride, W/stride)


def imagenet_stem(in_channels: int, width: int = 64) -> nn.Sequential:
    """7×7 stride 2, then 3×3 max pooling stride 2: (B, C, 224, 224) → (B, 64, 56, 56)."""
    return nn.Sequential(ConvNormAct(in_channels, width, 7, 2), nn.MaxPool2d(3, 2, padding=1))


def small_stem(in_channels: int, width: int = 64) -> nn.Sequential:
    """Build one 3×3 at full size: a 32×32 image has no pixels to give away, (B, C, 32, 32) → (B, 64, 32, 32)."""
    return nn.Sequential(ConvNormAct(in_channels, width, 3, 1))


Block = Callable[[int, int, int], nn.Module]


def residual_stage(
    block: Block, in_channels: int, width: int, depth: int, *, stride: int = 2, expansion: int
) -> nn.Sequential:
    """``depth`` blocks, the first with the stride: (B, in_channels, H, W) → (B, expansion·width, H/stride, W/stride)."""
    first = block(in_channels, width, stride)
    return nn.Sequential(first, *(block(expansion * width, width, 1) for _ in range(depth - 1)))


class ResNet(nn.Module):
    """Stem, four stages of residual blocks, average, one linear layer: (B, in_channels, S, S) → (B, num_classes).

    ``block(in_channels, width, stride)`` makes one block with ``expansion * width`` output channels.
    """

    def __init__(
        self,
        block: Block,
        depths: tuple[int, ...],
        *,
        expansion: int,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_choice("stem", stem, ("imagenet", "small"))
        self.stem = imagenet_stem(in_channels) if stem == "imagenet" else small_stem(in_channels)
        one, two, three, four = depths
        e = expansion
        self.stage1 = residual_stage(block, 64, 64, one, stride=1, expansion=e)
        self.stage2 = residual_stage(block, 64 * e, 128, two, expansion=e)
        self.stage3 = residual_stage(block, 128 * e, 256, three, expansion=e)
        self.stage4 = residual_stage(block, 256 * e, 512, four, expansion=e)
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(512 * e, num_classes)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 64, 56, 56)
        x = self.stage1(x)  # (B, 64·e, 56, 56)   e = 1 for basic blocks, 4 for bottlenecks
        x = self.stage2(x)  # (B, 128·e, 28, 28)
        x = self.stage3(x)  # (B, 256·e, 14, 14)
        x = self.stage4(x)  # (B, 512·e, 7, 7)
        x = self.pool(x)  # (B, 512·e)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "stage1", "stage2", "stage3", "stage4", head=("pool", "head")), feature_layer="stage4"
        )


def cifar_block(channels: int, width: int, stride: int, index: int, skip: bool) -> BasicBlock:
    """Block ``index`` of a CIFAR stage: only the first one changes the shape, by a shortcut of type A."""
    if index > 0:
        return BasicBlock(width, width, 1, skip)
    block = BasicBlock(channels, width, stride, skip)
    if skip and channels != width:
        block.shortcut = PadShortcut(channels, width, stride)
    return block


def cifar_stage(channels: int, width: int, stride: int, depth: int, skip: bool) -> nn.Sequential:
    """``depth`` blocks of a CIFAR network: (B, channels, H, W) → (B, width, H/stride, W/stride)."""
    return stack(lambda index: cifar_block(channels, width, stride, index, skip), depth)


class CifarResNet(nn.Module):
    """The network of section 4.2: 6n+2 layers, three stages of 16, 32, 64 channels: (B, in_channels, 32, 32) → (B, classes).

    Shortcuts are of type A, so that it has exactly the parameters of its plain twin (``skip=False``).
    """

    def __init__(
        self, n: int, *, num_classes: int = 10, in_channels: int = 3, image_size: int = 32, skip: bool = True
    ) -> None:
        super().__init__()
        check_positive(n=n, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        self.stem = ConvNormAct(in_channels, 16, 3)
        self.stage1 = cifar_stage(16, 16, 1, n, skip)
        self.stage2 = cifar_stage(16, 32, 2, n, skip)
        self.stage3 = cifar_stage(32, 64, 2, n, skip)
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(64, num_classes)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 16, 32, 32)
        x = self.stage1(x)  # (B, 16, 32, 32)
        x = self.stage2(x)  # (B, 32, 16, 16)
        x = self.stage3(x)  # (B, 64, 8, 8)
        x = self.pool(x)  # (B, 64)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "stage1", "stage2", "stage3", head=("pool", "head")), feature_layer="stage3", overfit_lr=3e-3
        )


def _basic(depths: tuple[int, ...], skip: bool = True, **options: Unpack[StemOptions]) -> ResNet:
    """Build a ResNet of basic blocks, ``depths`` of them in its stages; ``skip=False`` makes its plain twin."""

    def block(channels: int, width: int, stride: int) -> BasicBlock:
        return BasicBlock(channels, width, stride, skip)

    return ResNet(block, depths, expansion=1, **options)


def _bottleneck(depths: tuple[int, ...], stride_in_1x1: bool = False, **options: Unpack[StemOptions]) -> ResNet:
    """Build a ResNet of bottlenecks, ``depths`` of them in its stages."""

    def block(channels: int, width: int, stride: int) -> Bottleneck:
        return Bottleneck(channels, width, stride, stride_in_1x1)

    return ResNet(block, depths, expansion=4, **options)


def _plain(n: int, **options: Unpack[BuildOptions]) -> CifarResNet:
    """Build the plain twin of a CIFAR network: 6n+2 layers and no shortcut."""
    return CifarResNet(n, skip=False, **options)


resnet18 = variant("resnet18", _basic, DEPTHS[18])
resnet34 = variant("resnet34", _basic, DEPTHS[34])
plain34 = variant("plain34", _basic, DEPTHS[34], False)
resnet50 = variant("resnet50", _bottleneck, DEPTHS[50])
resnet50_v1 = variant("resnet50_v1", _bottleneck, DEPTHS[50], True)
resnet101 = variant("resnet101", _bottleneck, DEPTHS[101])
resnet152 = variant("resnet152", _bottleneck, DEPTHS[152])
resnet20 = variant("resnet20", CifarResNet, 3)
resnet32 = variant("resnet32", CifarResNet, 5)
resnet44 = variant("resnet44", CifarResNet, 7)
resnet56 = variant("resnet56", CifarResNet, 9)
resnet110 = variant("resnet110", CifarResNet, 18)
plain20 = variant("plain20", _plain, 3)
plain56 = variant("plain56", _plain, 9)
