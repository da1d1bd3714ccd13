"""Squeeze-and-Excitation: Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018, arXiv:1709.01507.

The idea: a convolution adds up its input channels with fixed weights; let the network look at the whole image first and
decide for this image which channels count. One number per channel is squeezed out of the map, two small linear layers turn
the numbers into gates between 0 and 1, and the gates scale the channels.

What to look at: ``SqueezeExcite.forward`` is the whole paper. ``add_gate`` hangs it at the end of any residual branch, which
is why this file needs no SE version of every block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .inception_v2 import InceptionV2, Module, PassThrough
from .layers import (
    BuildOptions,
    ConvNormAct,
    GlobalAveragePool,
    StemOptions,
    check_choice,
    check_positive,
    initialise_he,
    make_divisible,
    variant,
)
from .resnet import DEPTHS, BasicBlock, Bottleneck, CifarResNet, ResNet, projection, residual_stage
from .resnext import ResNeXtBlock

REDUCTION = 16  # section 6.1: the hidden layer has a sixteenth of the channels
DEPTHS_154 = (3, 8, 36, 3)


class SqueezeExcite(nn.Module):
    """Gates on channels (section 3): (B, C, H, W) → the same, channel c multiplied by s_c in (0, 1).

    s = sigmoid(W2 · relu(W1 · z)), z = mean over height and width; ``hidden`` is the number of rows of W1.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        activation: Callable[[], nn.Module] = nn.ReLU,
        gate: Callable[[], nn.Module] = nn.Sigmoid,
    ) -> None:
        super().__init__()
        check_positive(channels=channels, hidden=hidden)
        self.squeeze = GlobalAveragePool()
        self.reduce = nn.Linear(channels, hidden)
        self.act = activation()
        self.expand = nn.Linear(hidden, channels)
        self.gate = gate()

    def weights(self, x: Tensor) -> Tensor:
        """Return the gates themselves: (B, C, H, W) → (B, C)."""
        z = self.squeeze(x)  # (B, C)
        return self.gate(self.expand(self.act(self.reduce(z))))  # (B, C)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x)[:, :, None, None]  # (B, C, H, W)


def add_gate(block: nn.Module, last: str, hidden: int | None = None) -> nn.Module:
    """Hang a gate behind the layer ``last`` of a block, the end of its residual branch: x + F(x) becomes x + s·F(x)."""
    unit = block.get_submodule(last)
    assert isinstance(unit, ConvNormAct), f"{last} is not a convolution with a norm"
    channels = unit.norm.num_features
    unit.gate = SqueezeExcite(channels, max(1, channels // REDUCTION) if hidden is None else hidden)
    return block


class SENet154Block(nn.Module):
    """The bottleneck of SENet-154 (appendix): (B, C, H, W) → (B, 4·width, H/s, W/s).

    A ResNeXt bottleneck of 64 groups whose first 1×1 has half the width of the 3×3; projections that halve are 3×3 too.
    """

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = 4 * width
        self.conv1 = ConvNormAct(in_channels, 2 * width, 1)
        self.conv2 = ConvNormAct(2 * width, out_channels, 3, stride, groups=64)
        self.conv3 = ConvNormAct(out_channels, out_channels, 1, activation=None)
        if stride == 1:
            self.shortcut = projection(in_channels, out_channels, 1)
        else:
            self.shortcut = ConvNormAct(in_channels, out_channels, 3, stride, activation=None)
        self.relu = nn.ReLU()
        add_gate(self, "conv3")

    def forward(self, x: Tensor) -> Tensor:
        residual = self.conv3(self.conv2(self.conv1(x)))  # (B, 4·width, H/s, W/s), gated
        return self.relu(self.shortcut(x) + residual)  # (B, 4·width, H/s, W/s)


class SENet154(nn.Module):
    """The network of ILSVRC 2017: three 3×3 as stem, four stages, dropout, linear: (B, in_channels, S, S) → (B, classes)."""

    def __init__(
        self, *, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224, stem: str = "imagenet"
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_choice("stem", stem, ("imagenet", "small"))
        large = stem == "imagenet"
        self.stem = nn.Sequential(
            ConvNormAct(in_channels, 64, 3, 2 if large else 1),
            ConvNormAct(64, 64, 3),
            ConvNormAct(64, 128, 3),
            PassThrough() if large else nn.Identity(),
        )
        one, two, three, four = DEPTHS_154
        self.stage1 = residual_stage(SENet154Block, 128, 64, one, stride=1, expansion=4)
        self.stage2 = residual_stage(SENet154Block, 256, 128, two, expansion=4)
        self.stage3 = residual_stage(SENet154Block, 512, 256, three, expansion=4)
        self.stage4 = residual_stage(SENet154Block, 1024, 512, four, expansion=4)
        self.pool = GlobalAveragePool()
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(2048, num_classes)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 128, 56, 56)
        x = self.stage1(x)  # (B, 256, 56, 56)
        x = self.stage2(x)  # (B, 512, 28, 28)
        x = self.stage3(x)  # (B, 1024, 14, 14)
        x = self.stage4(x)  # (B, 2048, 7, 7)
        return self.head(self.dropout(self.pool(x)))  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "stage1", "stage2", "stage3", "stage4", head=("pool", "dropout", "head")),
            feature_layer="stage4",
        )


class SEInceptionV2(InceptionV2):
    """Inception-v2 with a gate behind each of its ten modules: (B, in_channels, S, S) → (B, num_classes)."""

    def __init__(self, **options: Unpack[StemOptions]) -> None:
        super().__init__(**options)
        self.inception3a = _gated_module(self.inception3a)
        self.inception3b = _gated_module(self.inception3b)
        self.inception3c = _gated_module(self.inception3c)
        self.inception4a = _gated_module(self.inception4a)
        self.inception4b = _gated_module(self.inception4b)
        self.inception4c = _gated_module(self.inception4c)
        self.inception4d = _gated_module(self.inception4d)
        self.inception4e = _gated_module(self.inception4e)
        self.inception5a = _gated_module(self.inception5a)
        self.inception5b = _gated_module(self.inception5b)


def _gated_module(module: nn.Module) -> nn.Sequential:
    """Return an Inception module with a gate behind it: (B, C, H, W) → (B, out_channels, H', W')."""
    assert isinstance(module, Module)
    return nn.Sequential(module, SqueezeExcite(module.out_channels, module.out_channels // REDUCTION))


def _gated_resnet(depth: int, v1_5: bool = False, **options: Unpack[StemOptions]) -> ResNet:
    """SE-ResNet: ResNet's network with a gate in each block; as published it halves in the first 1×1.

    ``v1_5`` builds what timm calls seresnet: stride in the 3×3, hidden widths of the gates rounded to multiples of 8.
    """

    def hidden(channels: int) -> int:
        return make_divisible(channels / REDUCTION, 8) if v1_5 else channels // REDUCTION

    def basic(in_channels: int, width: int, stride: int) -> nn.Module:
        return add_gate(BasicBlock(in_channels, width, stride), "conv2", hidden(width))

    def bottleneck(in_channels: int, width: int, stride: int) -> nn.Module:
        block = Bottleneck(in_channels, width, stride, stride_in_1x1=not v1_5)
        return add_gate(block, "conv3", hidden(4 * width))

    small = depth < 50
    network = ResNet(basic if small else bottleneck, DEPTHS[depth], expansion=1 if small else 4, **options)
    return network if v1_5 else _pool_as_caffe(network)


def _pool_as_caffe(network: ResNet) -> ResNet:
    """Pool behind the stem without padding, as the published networks do; the small stem has no pooling."""
    if len(network.stem) == 2:
        network.stem[1] = PassThrough()
    return network


se_resnet18 = variant("se_resnet18", _gated_resnet, 18)
se_resnet34 = variant("se_resnet34", _gated_resnet, 34)
se_resnet50 = variant("se_resnet50", _gated_resnet, 50)
se_resnet101 = variant("se_resnet101", _gated_resnet, 101)
se_resnet152 = variant("se_resnet152", _gated_resnet, 152)


def se_resnext50_32x4d(**options: Unpack[StemOptions]) -> ResNet:
    def block(in_channels: int, width: int, stride: int) -> nn.Module:
        return add_gate(ResNeXtBlock(in_channels, width, stride, 32, 4), "conv3")

    return _pool_as_caffe(ResNet(block, DEPTHS[50], expansion=4, **options))


def senet154(**options: Unpack[StemOptions]) -> SENet154:
    return SENet154(**options)


def se_inception_v2(**options: Unpack[StemOptions]) -> SEInceptionV2:
    return SEInceptionV2(**options)


def se_resnet20(**options: Unpack[BuildOptions]) -> CifarResNet:
    network = CifarResNet(3, **options)
    for stage in (network.stage1, network.stage2, network.stage3):
        for block in stage:
            add_gate(block, "conv2", hidden=4)  # a sixteenth of 16 channels would be a single unit
    return network
