"""Basic ConvNet: a plain stack of convolution, batch normalisation, ReLU and pooling; nobody's paper, everybody's baseline.

The idea: LeNet's template with the parts that time has kept. Windows of 3×3, maps that halve while their number doubles,
a normalisation that lets a high learning rate work.

What to look at: the two heads. ``basic_convnet`` flattens the last map into fully connected layers; in
``basic_convnet_allconv`` one convolution as large as the map gives the classes. Below them nothing differs.
"""

from __future__ import annotations

from typing import Unpack

from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import BuildOptions, ConvNormAct, check_positive, halved, initialise_he

# Channels of the three stages: each time the map has a quarter of the pixels it gets twice the channels.
WIDTHS = (32, 64, 128)

# Units of the hidden fully connected layer.
HIDDEN = 128


def stage(in_channels: int, out_channels: int) -> nn.Sequential:
    """3×3 convolution, BN, ReLU, 2×2 max pooling: (B, C, H, W) → (B, out_channels, H/2, W/2), odd sides rounded up."""
    return nn.Sequential(ConvNormAct(in_channels, out_channels, 3), nn.MaxPool2d(2, ceil_mode=True))


def fully_connected_head(channels: int, side: int, num_classes: int) -> nn.Sequential:
    """Flatten, a hidden layer, the classes: (B, C, side, side) → (B, num_classes)."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(channels * side * side, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, num_classes)
    )


def convolutional_head(channels: int, side: int, num_classes: int) -> nn.Sequential:
    """Build a convolution as large as the map: one value per class is left, (B, C, side, side) → (B, num_classes)."""
    return nn.Sequential(nn.Conv2d(channels, num_classes, side), nn.Flatten())


class BasicConvNet(nn.Module):
    """Three stages and a head: (B, in_channels, S, S) → (B, num_classes). ``fully_connected`` chooses the head."""

    def __init__(
        self,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: int = 32,
        fully_connected: bool = True,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        first, second, third = WIDTHS
        self.stage1 = stage(in_channels, first)
        self.stage2 = stage(first, second)
        self.stage3 = stage(second, third)
        side = halved(image_size, 3)
        make_head = fully_connected_head if fully_connected else convolutional_head
        self.head = make_head(third, side, num_classes)
        for part in (self.stage1, self.stage2, self.stage3):  # the head keeps PyTorch's smaller weights: scores near 0
            initialise_he(part)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage1(x)  # (B, 32, 16, 16)
        x = self.stage2(x)  # (B, 64, 8, 8)
        x = self.stage3(x)  # (B, 128, 4, 4)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(stages("stage1", "stage2", "stage3", "head"), feature_layer="stage3")


def basic_convnet(**options: Unpack[BuildOptions]) -> BasicConvNet:
    return BasicConvNet(**options)


def basic_convnet_allconv(**options: Unpack[BuildOptions]) -> BasicConvNet:
    return BasicConvNet(fully_connected=False, **options)
