"""AlexNet: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012.

The idea: LeNet's template, a thousand times larger, on a million images: possible through ReLU, dropout, augmentation and
two graphics cards.

What to look at: ``groups=2``. Each card held half of the channels, and in layers 2, 4 and 5 a channel sees only those of its
own card: what was a makeshift for 3 GB of memory is today's grouped convolution. ``alexnet_owt`` is the version for one
card, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997, as torchvision ships it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Unpack

import torch.nn.functional as F
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import BuildOptions, StemOptions, check_choice, check_image_size, check_positive, halved, initialise_he


@dataclass(frozen=True)
class Layout:
    """One published version: channels of the five convolutions, units of the two hidden layers, and where they differ.

    ``groups`` are the cards (layers 2, 4, 5), ``responses`` turns local response normalisation on, ``padding`` is that of
    the first convolution, ``pool_to`` the fixed side of the last map (None: as it comes), ``drop_inputs`` puts dropout
    before the first two fully connected layers instead of after them, ``paper_weights`` draws weights by section 5.
    """

    widths: tuple[int, int, int, int, int]
    hidden: int = 4096
    groups: int = 1
    responses: bool = False
    padding: int = 0
    pool_to: int | None = None
    drop_inputs: bool = False
    paper_weights: bool = False


PAPER = Layout((96, 256, 384, 384, 256), groups=2, responses=True, paper_weights=True)
ONE_WEIRD_TRICK = Layout((64, 192, 384, 256, 256), padding=2, pool_to=6, drop_inputs=True)
NANO = Layout((24, 64, 96, 96, 64), hidden=256, groups=2, responses=True)  # a quarter of the paper's widths

SMALL_HIDDEN = 1024


class LocalResponseNorm(nn.Module):
    """Section 3.3: a strong channel damps its neighbours at the same pixel, (B, C, H, W) → (B, C, H, W).

    b_c = a_c / (k + α · Σ a²)^β, the sum over the n channels around c, with k = 2, n = 5, α = 1e-4, β = 0.75.
    """

    def __init__(self, k: float = 2.0, n: int = 5, alpha: float = 1e-4, beta: float = 0.75) -> None:
        super().__init__()
        self.k, self.n, self.alpha, self.beta = k, n, alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        squares = F.pad(x.square(), (0, 0, 0, 0, self.n // 2, self.n // 2))  # (B, C + 4, H, W)
        total = sum(squares[:, i : i + x.shape[1]] for i in range(self.n))  # (B, C, H, W)
        return x / (self.k + self.alpha * total) ** self.beta  # (B, C, H, W)

    def extra_repr(self) -> str:
        return f"k={self.k}, n={self.n}, alpha={self.alpha}, beta={self.beta}"


def convolution(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, padding: int | None = None, groups: int = 1
) -> list[nn.Module]:
    """Convolution with bias and ReLU: (B, C, H, W) → (B, out_channels, H', W')."""
    padding = kernel // 2 if padding is None else padding
    return [nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups), nn.ReLU()]


def fully_connected(inputs: int, outputs: int, drop_inputs: bool) -> nn.Sequential:
    """Linear layer, ReLU, and dropout with one half (section 4.2), before or after: (B, inputs) → (B, outputs)."""
    layers = [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(nn.Dropout(0.5), *layers) if drop_inputs else nn.Sequential(*layers, nn.Dropout(0.5))


def last_side(image_size: int, stem: str, padding: int) -> int:
    """Return the side of the map after the third pooling: 6 for the paper's images of 227 pixels."""
    if stem == "small":
        return halved(image_size, 3)
    side = (image_size + 2 * padding - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side


class AlexNet(nn.Module):
    """Five convolutions, three fully connected layers: (B, in_channels, S, S) → (B, num_classes).

    ``stem="small"`` begins with a 3×3 convolution at stride 1 and pads the poolings, so that maps have 32, 16, 8, 4 pixels.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 227,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size, hidden=layout.hidden)
        check_choice("stem", stem, ("imagenet", "small"))
        small = stem == "small"
        if not small:
            check_image_size(image_size, 67 - 2 * layout.padding, "AlexNet's ImageNet layout")
        one, two, three, four, five = layout.widths
        normalise = [LocalResponseNorm()] if layout.responses else []
        pooling = nn.MaxPool2d(3, 2, padding=1) if small else nn.MaxPool2d(3, 2)  # windows of 3 overlap, section 3.4
        first = (
            convolution(in_channels, one, 3)
            if small
            else convolution(in_channels, one, 11, stride=4, padding=layout.padding)
        )
        self.conv1 = nn.Sequential(*first, *normalise, pooling)
        self.conv2 = nn.Sequential(*convolution(one, two, 5, groups=layout.groups), *normalise, pooling)
        self.conv3 = nn.Sequential(*convolution(two, three, 3))
        self.conv4 = nn.Sequential(*convolution(three, four, 3, groups=layout.groups))
        self.conv5 = nn.Sequential(*convolution(four, five, 3, groups=layout.groups), pooling)
        side = last_side(image_size, stem, layout.padding)
        if layout.pool_to and not small:
            side = layout.pool_to
            self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(side), nn.Flatten())
        else:
            self.pool = nn.Flatten()
        self.fc6 = fully_connected(five * side * side, layout.hidden, layout.drop_inputs)
        self.fc7 = fully_connected(layout.hidden, layout.hidden, layout.drop_inputs)
        self.fc8 = nn.Linear(layout.hidden, num_classes)
        if small:
            initialise_for_relu(self)
        elif layout.paper_weights:
            initialise_as_in_the_paper(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)  # (B, 96, 27, 27)
        x = self.conv2(x)  # (B, 256, 13, 13)
        x = self.conv3(x)  # (B, 384, 13, 13)
        x = self.conv4(x)  # (B, 384, 13, 13)
        x = self.conv5(x)  # (B, 256, 6, 6)
        x = self.pool(x)  # (B, 9216)
        x = self.fc6(x)  # (B, 4096)
        x = self.fc7(x)  # (B, 4096)
        return self.fc8(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("conv1", "conv2", "conv3", "conv4", "conv5", fc6=("pool", "fc6"), fc7=("fc7",), fc8=("fc8",)),
            feature_layer="conv5",
        )


def initialise_as_in_the_paper(network: AlexNet) -> None:
    """Section 5: weights normal with deviation 0.01; biases 1 in conv2, conv4, conv5, fc6 and fc7, otherwise 0."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.normal_(module.weight, std=0.01)
            nn.init.constant_(module.bias, 1.0 if name.startswith(("conv2", "conv4", "conv5", "fc6", "fc7")) else 0.0)


def initialise_for_relu(network: AlexNet) -> None:
    """He initialisation for convolutions and hidden layers: with the paper's 0.01 a narrow network starts too slowly."""
    initialise_he(network)
    for hidden in (network.fc6, network.fc7):
        for module in hidden:
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)


def _build(layout: Layout, hidden: int | None = None, **options: Unpack[StemOptions]) -> AlexNet:
    if hidden is None:
        hidden = SMALL_HIDDEN if options.get("stem") == "small" else layout.hidden
    return AlexNet(replace(layout, hidden=hidden), **options)


def alexnet(*, grouped: bool = True, hidden: int | None = None, **options: Unpack[StemOptions]) -> AlexNet:
    """Build the paper's network; ``grouped=False`` connects all channels, ``hidden`` replaces the 4096 hidden units."""
    return _build(PAPER if grouped else replace(PAPER, groups=1), hidden, **options)


def alexnet_owt(*, hidden: int | None = None, **options: Unpack[StemOptions]) -> AlexNet:
    """torchvision's single tower; ``hidden`` replaces the 4096 hidden units."""
    options.setdefault("image_size", 224)
    return _build(ONE_WEIRD_TRICK, hidden, **options)


def alexnet_nano(**options: Unpack[BuildOptions]) -> AlexNet:
    """Build the network with the small stem and a quarter of the channels and hidden units."""
    options.setdefault("image_size", 32)
    options.setdefault("num_classes", 10)
    return AlexNet(NANO, stem="small", **options)
