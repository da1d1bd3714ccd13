"""DenseNet: Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", CVPR 2017, arXiv:1608.06993.

The idea: do not add a layer's output to its input, put it beside. Inside a dense block every layer reads what all earlier
ones have found and writes only k new channels, k small: features are kept and used again instead of being learned twice.

What to look at: the one line of ``DenseBlock.forward``, and how the channels are counted: ``channels += growth``.
"""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    BuildOptions,
    ConvNormAct,
    GlobalAveragePool,
    check_choice,
    check_image_size,
    check_positive,
    variant,
)
from .preact_resnet import NormAct, NormActConv, plain_conv

# Table 1: layers in each of the four dense blocks, and the growth rate k.
DEPTHS = {
    121: ((6, 12, 24, 16), 32),
    161: ((6, 12, 36, 24), 48),
    169: ((6, 12, 32, 32), 32),
    201: ((6, 12, 48, 32), 32),
}


class DenseLayer(nn.Sequential):
    """One layer H (section 3): BN, ReLU, 1×1 to 4k channels, BN, ReLU, 3×3 to k channels: (B, C, H, W) → (B, k, H, W).

    The 1×1 is the B of DenseNet-B; ``bottleneck=False`` leaves it out. What comes out are the new channels alone.
    """

    def __init__(self, in_channels: int, growth: int, bottleneck: bool = True) -> None:
        super().__init__()
        if bottleneck:
            self.squeeze = NormActConv(in_channels, 4 * growth, 1)
        self.new = NormActConv(4 * growth if bottleneck else in_channels, growth, 3)


class DenseBlock(nn.Module):
    """Layers that each read the outputs of all before them (figure 1): (B, C, H, W) → (B, C + depth·k, H, W)."""

    def __init__(self, in_channels: int, growth: int, depth: int, bottleneck: bool = True) -> None:
        channels = [in_channels + i * growth for i in range(depth)]
        super().__init__()
        self.layers = nn.ModuleList(DenseLayer(each, growth, bottleneck) for each in channels)
        self.out_channels = in_channels + depth * growth

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat((x, layer(x)), dim=1)  # (B, C + k, H, W), (B, C + 2k, H, W), …
        return x  # (B, C + depth·k, H, W)


class Transition(nn.Sequential):
    """Between blocks: BN, ReLU, 1×1 to fewer channels, 2×2 average pooling: (B, C, H, W) → (B, out_channels, H/2, W/2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.compress = NormActConv(in_channels, out_channels, 1)
        self.pool = nn.AvgPool2d(2)
        self.out_channels = out_channels


class DenseNet(nn.Module):
    """Stem, dense blocks with transitions between them, average, linear (table 1): (B, in_channels, S, S) → (B, classes).

    ``stem_layers`` give ``channels`` channels and halve the image ``stem_halvings`` times. A transition keeps
    ``compression`` of its channels (the C of DenseNet-C, 0.5; 1 keeps them all).
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        growth: int,
        stem_layers: nn.Module,
        channels: int,
        *,
        stem_halvings: int = 0,
        bottleneck: bool = True,
        compression: float = 0.5,
        num_classes: int,
        image_size: int,
    ) -> None:
        super().__init__()
        if not 0.0 < compression <= 1.0:
            raise ValueError(f"compression: {compression} is not in (0, 1]; the smallest that works keeps one channel")
        # Each transition needs two pixels a side to pool; a stride-2 layer makes n pixels out of 2n - 1.
        smallest = 2 ** (len(depths) - 1)
        for _ in range(stem_halvings):
            smallest = 2 * smallest - 1
        check_image_size(image_size, smallest, f"{len(depths)} dense blocks behind this stem")

        def transition(block: DenseBlock) -> Transition:
            return Transition(block.out_channels, max(1, int(compression * block.out_channels)))

        self.stem = stem_layers
        self.block1 = DenseBlock(channels, growth, depths[0], bottleneck)
        self.transition1 = transition(self.block1)
        self.block2 = DenseBlock(self.transition1.out_channels, growth, depths[1], bottleneck)
        self.transition2 = transition(self.block2)
        self.block3 = DenseBlock(self.transition2.out_channels, growth, depths[2], bottleneck)
        channels = self.block3.out_channels
        if len(depths) == 4:
            self.transition3 = transition(self.block3)
            self.block4 = DenseBlock(self.transition3.out_channels, growth, depths[3], bottleneck)
            channels = self.block4.out_channels
        else:
            self.transition3 = self.block4 = None
        self.norm = NormAct(channels)
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(channels, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 64, 56, 56)
        x = self.transition1(self.block1(x))  # (B, 256, 56, 56) → (B, 128, 28, 28)
        x = self.transition2(self.block2(x))  # (B, 512, 28, 28) → (B, 256, 14, 14)
        x = self.block3(x)  # (B, 1024, 14, 14)
        if self.transition3 is not None and self.block4 is not None:  # the networks for CIFAR end after three blocks
            x = self.block4(self.transition3(x))  # (B, 512, 7, 7) → (B, 1024, 7, 7)
        x = self.norm(x)  # (B, 1024, 7, 7)
        return self.head(self.pool(x))  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        fourth = () if self.block4 is None else ("transition3", "block4")
        return Declaration(
            stages(
                *("stem", "block1", "transition1", "block2", "transition2", "block3", *fourth),
                head=("norm", "pool", "head"),
            ),
            feature_layer="norm",
            overfit_lr=1e-2,
        )


def initialise(network: nn.Module) -> None:
    """He initialisation over the fan-in, as the paper's section 4.2 names it; biases zero, norms 1 and 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


def imagenet_layout(
    depth: int,
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    image_size: int = 224,
    stem: str = "imagenet",
    bottleneck: bool = True,
    compression: float = 0.5,
) -> DenseNet:
    """DenseNet-``depth`` of table 1: 2k channels from a 7×7 at stride 2 and a pooling, or from one 3×3 at full size.

    ``bottleneck`` puts a 1×1 before each 3×3 (B), ``compression`` is the share of channels that a transition keeps (C).
    """
    check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
    check_choice("stem", stem, ("imagenet", "small"))
    blocks, growth = DEPTHS[depth]
    channels = 2 * growth
    if stem == "imagenet":
        layers = nn.Sequential(ConvNormAct(in_channels, channels, 7, 2), nn.MaxPool2d(3, 2, padding=1))
    else:
        layers = nn.Sequential(plain_conv(in_channels, channels, 3))  # the first dense layer normalises
    return DenseNet(
        blocks,
        growth,
        layers,
        channels,
        stem_halvings=2 if stem == "imagenet" else 0,
        bottleneck=bottleneck,
        compression=compression,
        num_classes=num_classes,
        image_size=image_size,
    )


def cifar_layout(
    depth: int,
    growth: int,
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    image_size: int = 32,
    bottleneck: bool = True,
    compression: float = 0.5,
) -> DenseNet:
    """Build the networks of section 4 for 32×32: three equal dense blocks behind one 3×3 of 2k channels (16 without the
    1×1).
    """
    check_positive(growth=growth, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
    per_layer = 2 if bottleneck else 1
    each, rest = divmod(depth - 4, 3 * per_layer)
    if rest or each < 1:
        step = 3 * per_layer
        raise ValueError(f"depth: {depth} is not {step}n + 4; the smallest that works is {step + 4}")
    channels = 2 * growth if bottleneck else 16
    return DenseNet(
        (each,) * 3,
        growth,
        plain_conv(in_channels, channels, 3),
        channels,
        bottleneck=bottleneck,
        compression=compression,
        num_classes=num_classes,
        image_size=image_size,
    )


densenet121 = variant("densenet121", imagenet_layout, 121)
densenet161 = variant("densenet161", imagenet_layout, 161)
densenet169 = variant("densenet169", imagenet_layout, 169)
densenet201 = variant("densenet201", imagenet_layout, 201)
densenet_bc_100_12 = variant("densenet_bc_100_12", cifar_layout, 100, 12)
densenet_bc_190_40 = variant("densenet_bc_190_40", cifar_layout, 190, 40)
densenet_nano = variant("densenet_nano", cifar_layout, 28, 12)


class Options(BuildOptions, total=False):
    """``bottleneck`` puts a 1×1 before each 3×3 (B), ``compression`` is the share that a transition keeps (C)."""

    bottleneck: bool
    compression: float


def densenet_40_12(**options: Unpack[Options]) -> DenseNet:
    """Build the network without B and C."""
    return cifar_layout(40, 12, **{"bottleneck": False, "compression": 1.0, **options})
