"""Channel-Boosted CNN: Khan, Sohail, Ali, "A New Channel Boosted Convolutional Neural Network using Transfer Learning",
2018, arXiv:1804.08528. The paper classifies customers of a telephone company; this version for images is an adaptation.

The idea: a network can only be as good as what it is shown. So show it more than the raw input: an auxiliary learner, an
auto-encoder trained without labels, produces further channels, and the classifier reads them beside the original ones.

What to look at: one line of ``ChannelBoostedCNN.forward``, the concatenation with its ``detach``. The classifier behind it
is the Basic ConvNet, layer for layer, so that the two can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .basic_convnet import WIDTHS, fully_connected_head, stage
from .catalogue.declaration import Declaration, stages
from .layers import BuildOptions, ConvNormAct, check_positive, halved, initialise_he

# Channels inside the auto-encoder: after the first halving, and of the code at a quarter of the side. The code holds half as
# many values as a grey image and a sixth of a colour image, so that it cannot simply copy.
HIDDEN, CODE = 16, 8
# Channels that are added to the image.
BOOST = 8


class AutoEncoder(nn.Module):
    """Squeeze the image to a small code and unfold it again: (B, C, S, S) → extra channels (B, boost, S, S).

    The output is the last layer but one; a 1×1 convolution behind it (``reconstruct``) has to make the image of it.
    """

    def __init__(self, in_channels: int, boost: int, image_size: int) -> None:
        super().__init__()
        half = halved(image_size)
        self.encoder = nn.Sequential(ConvNormAct(in_channels, HIDDEN, 3, 2), ConvNormAct(HIDDEN, CODE, 3, 2))
        self.decoder = nn.Sequential(
            nn.Upsample((half, half)), ConvNormAct(CODE, HIDDEN, 3), nn.Upsample((image_size, image_size))
        )
        self.extra = ConvNormAct(HIDDEN, boost, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoder(x)  # (B, 8, S/4, S/4)
        x = self.decoder(x)  # (B, 16, S, S)
        return self.extra(x)  # (B, boost, S, S)


class ChannelBoostedCNN(nn.Module):
    """Auto-encoder, concatenation, Basic ConvNet: (B, in_channels, S, S) → (B, num_classes).

    In training mode the result is (scores, reconstruction); ``training_loss`` adds the error of the latter. The auto-encoder
    learns from that error alone, without labels. ``joint=True`` lets it learn from the classes as well.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: int = 32,
        boost: int = BOOST,
        joint: bool = False,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size, boost=boost)
        self.joint, self.num_classes = joint, num_classes
        self.booster = AutoEncoder(in_channels, boost, image_size)
        self.reconstruct = nn.Conv2d(boost, in_channels, 1)
        self.stage1 = stage(in_channels + boost, WIDTHS[0])
        self.stage2 = stage(WIDTHS[0], WIDTHS[1])
        self.stage3 = stage(WIDTHS[1], WIDTHS[2])
        self.head = fully_connected_head(WIDTHS[2], halved(image_size, 3), num_classes)
        for part in (self.booster, self.stage1, self.stage2, self.stage3):
            initialise_he(part)
        for parameter in self.reconstruct.parameters():  # the first reconstruction is the mean image, almost 0
            nn.init.normal_(parameter, std=0.01)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        extra = self.booster(x)  # (B, 8, 32, 32)
        drawn = self.reconstruct(extra) if self.training else None  # (B, 3, 32, 32)
        x = torch.cat([x, extra if self.joint else extra.detach()], dim=1)  # (B, 3 + 8, 32, 32)
        x = self.stage1(x)  # (B, 32, 16, 16)
        x = self.stage2(x)  # (B, 64, 8, 8)
        x = self.stage3(x)  # (B, 128, 4, 4)
        x = self.head(x)  # (B, num_classes)
        return x if drawn is None else (x, drawn)

    def training_loss(
        self, outputs: tuple[Tensor, Tensor], images: Tensor, targets: Tensor, criterion: Callable[..., Tensor]
    ) -> Tensor:
        """Return the loss of the scores plus the mean squared error of the reconstruction: a scalar."""
        scores, drawn = outputs
        return criterion(scores, targets) + F.mse_loss(drawn, images)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("booster", "reconstruct", "stage1", "stage2", "stage3", "head"),
            feature_layer="stage3",
            initial_loss=math.log(self.num_classes) + 1.0,
            initial_loss_reason="ln(classes), plus 1 because a normalised image is reconstructed by its mean at first",
            overfit_loss=0.4,
            auxiliary=("reconstruct",),
        )


class Options(BuildOptions, total=False):
    """``boost``: number of extra channels; ``joint``: the auto-encoder also learns from the classes."""

    boost: int
    joint: bool


def channel_boosted_cnn(**options: Unpack[Options]) -> ChannelBoostedCNN:
    return ChannelBoostedCNN(**options)
