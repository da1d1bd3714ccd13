"""Wide ResNet: Zagoruyko, Komodakis, "Wide Residual Networks", BMVC 2016, arXiv:1605.07146.

The idea: residual networks had grown thin and deep; the same blocks with k times the channels and far fewer layers
learn better and run faster, because a graphics card does one wide convolution quicker than ten thin ones.

What to look at: there is no new layer in this file. ``wide`` is the pre-activation network with a factor; ``WideBottleneck``
is ResNet's bottleneck whose middle is twice as wide.
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from .layers import BuildOptions, StemOptions, check_positive, variant
from .preact_resnet import PreActBlock, PreActResNet, cifar_layout
from .resnet import DEPTHS, Bottleneck, ResNet


class WideBottleneck(Bottleneck):
    """ResNet's bottleneck with an inner width of half its output, not a quarter: (B, C, H, W) → (B, 2·width, H/s, W/s)."""

    expansion = 2


def wide(depth: int, k: int, *, dropout: float = 0.0, **options: Unpack[BuildOptions]) -> PreActResNet:
    """WRN-depth-k (table 1): three stages of n = (depth - 4) / 6 blocks with 16k, 32k, 64k channels.

    ``dropout`` is the probability of dropping an activation between the two convolutions of a block (section 2.4).
    ValueError where ``depth`` is not 6n + 4 or ``dropout`` lies outside [0, 1).
    """
    check_positive(k=k)
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"depth: {depth} is not 6n + 4; the smallest that works is 10")
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout: {dropout} is not in [0, 1); the smallest that works is 0")

    def block(in_channels: int, width: int, stride: int, first: bool) -> nn.Module:
        return PreActBlock(in_channels, width, stride, first, dropout=dropout)

    return cifar_layout(block, (depth - 4) // 6, factor=k, **options)


def wide_bottleneck(depth: int, k: int, **options: Unpack[StemOptions]) -> ResNet:
    """WRN-50-2-bottleneck and its like (section 3, ImageNet): only the middle of each bottleneck is k times as wide.

    The code writes it as a bottleneck of width 2·width whose output is twice that, the same shape as before.
    """
    if k != 2:
        raise ValueError(f"k: {k} is not 2, the only factor of the ImageNet networks")

    def block(in_channels: int, width: int, stride: int) -> nn.Module:
        return WideBottleneck(in_channels, k * width, stride)

    return ResNet(block, DEPTHS[depth], expansion=4, **options)


wide_resnet28_10 = variant("wide_resnet28_10", wide, 28, 10)
wide_resnet40_4 = variant("wide_resnet40_4", wide, 40, 4)
wide_resnet16_8 = variant("wide_resnet16_8", wide, 16, 8)
wide_resnet10_2 = variant("wide_resnet10_2", wide, 10, 2)
wide_resnet50_2 = variant("wide_resnet50_2", wide_bottleneck, 50, 2)
wide_resnet101_2 = variant("wide_resnet101_2", wide_bottleneck, 101, 2)
