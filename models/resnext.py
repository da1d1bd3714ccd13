"""ResNeXt: Xie, Girshick, Dollár, Tu, He, "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017,
arXiv:1611.05431.

The idea: split a residual branch into many small branches of one and the same shape and add them up. Their number, the
*cardinality*, is a third dial beside depth and width, and the one that pays best.

What to look at: ``groups=cardinality`` in ``ResNeXtBlock``. It is the whole architecture: a grouped convolution between two
1×1 convolutions computes all branches and their sum at once (figure 3).
"""

from __future__ import annotations

from typing import Unpack

from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import BuildOptions, ConvNormAct, GlobalAveragePool, StemOptions, check_positive, initialise_he, variant
from .resnet import DEPTHS, ResNet, projection, residual_stage, small_stem


class ResNeXtBlock(nn.Module):
    """``cardinality`` branches 1×1, 3×3, 1×1 summed, beside an identity: (B, C, H, W) → (B, 4·width, H/s, W/s).

    In the first stage (width 64) each branch is ``branch_width`` channels wide; it doubles from stage to stage.
    """

    def __init__(self, in_channels: int, width: int, stride: int, cardinality: int, branch_width: int) -> None:
        super().__init__()
        check_positive(cardinality=cardinality, branch_width=branch_width)
        inner = cardinality * (branch_width * width // 64)
        if inner == 0:
            raise ValueError(f"branch_width: {branch_width} is too small; the smallest that works is {-(-64 // width)}")
        self.conv1 = ConvNormAct(in_channels, inner, 1)
        self.conv2 = ConvNormAct(inner, inner, 3, stride, groups=cardinality)
        self.conv3 = ConvNormAct(inner, 4 * width, 1, activation=None)
        self.shortcut = projection(in_channels, 4 * width, stride)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.conv1(x)  # (B, inner, H, W), one slice of channels per branch
        x2 = self.conv2(x1)  # (B, inner, H/s, W/s), each branch by itself
        x3 = self.conv3(x2)  # (B, 4·width, H/s, W/s), the last 1×1 of all branches and their sum
        return self.relu(self.shortcut(x) + x3)  # (B, 4·width, H/s, W/s)


class CifarResNeXt(nn.Module):
    """Section 5.3: one 3×3, three stages of ``blocks`` blocks, average, linear: (B, in_channels, 32, 32) → (B, classes).

    ``width`` is a quarter of the first stage's output channels; branches are ``branch_width`` · width / 64 wide there.
    """

    def __init__(
        self,
        cardinality: int,
        branch_width: int,
        *,
        blocks: int = 3,
        width: int = 64,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: int = 32,
    ) -> None:
        super().__init__()
        check_positive(
            blocks=blocks, width=width, num_classes=num_classes, in_channels=in_channels, image_size=image_size
        )

        def block(channels: int, width: int, stride: int) -> ResNeXtBlock:
            return ResNeXtBlock(channels, width, stride, cardinality, branch_width)

        self.stem = small_stem(in_channels)
        self.stage1 = residual_stage(block, 64, width, blocks, stride=1, expansion=4)
        self.stage2 = residual_stage(block, 4 * width, 2 * width, blocks, expansion=4)
        self.stage3 = residual_stage(block, 8 * width, 4 * width, blocks, expansion=4)
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(16 * width, num_classes)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 64, 32, 32)
        x = self.stage1(x)  # (B, 256, 32, 32)
        x = self.stage2(x)  # (B, 512, 16, 16)
        x = self.stage3(x)  # (B, 1024, 8, 8)
        return self.head(self.pool(x))  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "stage1", "stage2", "stage3", head=("pool", "head")), feature_layer="stage3", overfit_lr=3e-3
        )


def resnext(depth: int, cardinality: int, branch_width: int, **options: Unpack[StemOptions]) -> ResNet:
    """ResNeXt-depth (cardinality × branch_width d): ResNet's stem and stages of table 1, filled with grouped blocks."""

    def block(in_channels: int, width: int, stride: int) -> ResNeXtBlock:
        return ResNeXtBlock(in_channels, width, stride, cardinality, branch_width)

    return ResNet(block, DEPTHS[depth], expansion=4, **options)


resnext50_32x4d = variant("resnext50_32x4d", resnext, 50, 32, 4)
resnext101_32x4d = variant("resnext101_32x4d", resnext, 101, 32, 4)
resnext101_64x4d = variant("resnext101_64x4d", resnext, 101, 64, 4)
resnext101_32x8d = variant("resnext101_32x8d", resnext, 101, 32, 8)
resnext29_32x4d = variant("resnext29_32x4d", CifarResNeXt, 32, 4)
resnext29_8x64d = variant("resnext29_8x64d", CifarResNeXt, 8, 64)
resnext29_16x64d = variant("resnext29_16x64d", CifarResNeXt, 16, 64)


def resnext_nano(**options: Unpack[BuildOptions]) -> CifarResNeXt:
    return CifarResNeXt(8, 16, blocks=2, width=16, **options)
