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

from .catalogue.declaration import Declaration, Stage
from .layers import (
    ConvNormAct,
    Form,
    GlobalAveragePool,
    NativeForm,
    check_choice,
    check_positive,
    halved,
    initialise_he,
    stack,
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
    """One 3×3 at full size: a 32×32 picture has no pixels to give away, (B, C, 32, 32) → (B, 64, 32, 32)."""
    return nn.Sequential(ConvNormAct(in_channels, width, 3, 1))


class ResNet(nn.Module):
    """Stem, four stages of residual blocks, average, one linear layer: (B, in_channels, S, S) → (B, num_classes).

    ``block(in_channels, width, stride)`` makes one block with ``expansion * width`` output channels.
    """

    def __init__(
        self,
        block: Callable[[int, int, int], nn.Module],
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
        side = halved(image_size, 2) if stem == "imagenet" else image_size
        stages = [Stage("stem", ("stem",), (64, side, side))]
        channels = 64
        for index, depth in enumerate(depths):
            width, stride = 64 * 2**index, 1 if index == 0 else 2
            blocks = [block(channels, width, stride)]
            channels = expansion * width
            blocks += [block(channels, width, 1) for _ in range(depth - 1)]
            self.add_module(f"stage{index + 1}", nn.Sequential(*blocks))
            side = halved(side) if stride == 2 else side
            stages.append(Stage(f"stage{index + 1}", (f"stage{index + 1}",), (channels, side, side)))
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(channels, num_classes)
        stages.append(Stage("head", ("pool", "head"), (num_classes,)))
        initialise_he(self)
        self.declaration = Declaration(tuple(stages), feature_layer=f"stage{len(depths)}")

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 64, 56, 56)
        x = self.stage1(x)  # (B, 64·e, 56, 56)   e = 1 for basic blocks, 4 for bottlenecks
        x = self.stage2(x)  # (B, 128·e, 28, 28)
        x = self.stage3(x)  # (B, 256·e, 14, 14)
        x = self.stage4(x)  # (B, 512·e, 7, 7)
        x = self.pool(x)  # (B, 512·e)
        return self.head(x)  # (B, num_classes)


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
        stages = [Stage("stem", ("stem",), (16, image_size, image_size))]
        channels, side = 16, image_size
        for index, width in enumerate((16, 32, 64)):
            stride = 1 if index == 0 else 2
            blocks = stack(lambda i, c=channels, w=width, s=stride: cifar_block(c, w, s, i, skip), n)
            self.add_module(f"stage{index + 1}", blocks)
            channels, side = width, halved(side) if stride == 2 else side
            stages.append(Stage(f"stage{index + 1}", (f"stage{index + 1}",), (channels, side, side)))
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(64, num_classes)
        stages.append(Stage("head", ("pool", "head"), (num_classes,)))
        initialise_he(self)
        self.declaration = Declaration(tuple(stages), feature_layer="stage3", overfit_lr=3e-3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 16, 32, 32)
        x = self.stage1(x)  # (B, 16, 32, 32)
        x = self.stage2(x)  # (B, 32, 16, 16)
        x = self.stage3(x)  # (B, 64, 8, 8)
        x = self.pool(x)  # (B, 64)
        return self.head(x)  # (B, num_classes)


def cifar_block(channels: int, width: int, stride: int, index: int, skip: bool) -> BasicBlock:
    """Block ``index`` of a CIFAR stage: only the first one changes the shape, by a shortcut of type A."""
    if index > 0:
        return BasicBlock(width, width, 1, skip)
    block = BasicBlock(channels, width, stride, skip)
    if skip and channels != width:
        block.shortcut = PadShortcut(channels, width, stride)
    return block


def _basic(depths: tuple[int, ...], skip: bool = True, **form: Unpack[Form]) -> ResNet:
    def block(channels: int, width: int, stride: int) -> BasicBlock:
        return BasicBlock(channels, width, stride, skip)

    return ResNet(block, depths, expansion=1, **form)


def _bottleneck(depths: tuple[int, ...], stride_in_1x1: bool = False, **form: Unpack[Form]) -> ResNet:
    def block(channels: int, width: int, stride: int) -> Bottleneck:
        return Bottleneck(channels, width, stride, stride_in_1x1)

    return ResNet(block, depths, expansion=4, **form)


def resnet18(**form: Unpack[Form]) -> ResNet:
    return _basic(DEPTHS[18], **form)


def resnet34(**form: Unpack[Form]) -> ResNet:
    return _basic(DEPTHS[34], **form)


def resnet50(**form: Unpack[Form]) -> ResNet:
    return _bottleneck(DEPTHS[50], **form)


def resnet50_v1(**form: Unpack[Form]) -> ResNet:
    return _bottleneck(DEPTHS[50], stride_in_1x1=True, **form)


def resnet101(**form: Unpack[Form]) -> ResNet:
    return _bottleneck(DEPTHS[101], **form)


def resnet152(**form: Unpack[Form]) -> ResNet:
    return _bottleneck(DEPTHS[152], **form)


def plain34(**form: Unpack[Form]) -> ResNet:
    return _basic(DEPTHS[34], skip=False, **form)


def resnet20(**form: Unpack[NativeForm]) -> CifarResNet:
    return CifarResNet(3, **form)


def resnet32(**form: Unpack[NativeForm]) -> CifarResNet:
    return CifarResNet(5, **form)


def resnet44(**form: Unpack[NativeForm]) -> CifarResNet:
    return CifarResNet(7, **form)


def resnet56(**form: Unpack[NativeForm]) -> CifarResNet:
    return CifarResNet(9, **form)


def resnet110(**form: Unpack[NativeForm]) -> CifarResNet:
    return CifarResNet(18, **form)


def plain20(**form: Unpack[NativeForm]) -> CifarResNet:
    return CifarResNet(3, skip=False, **form)


def plain56(**form: Unpack[NativeForm]) -> CifarResNet:
    return CifarResNet(9, skip=False, **form)
