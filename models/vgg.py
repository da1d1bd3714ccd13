"""VGG: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
arXiv:1409.1556.

The idea: only 3×3 windows, and depth as the only knob. Two of them in a row see 5×5 pixels, three see 7×7, with fewer
weights and more non-linearities than one large window.

What to look at: ``CONFIGURATIONS``, the paper's table 1 nearly as printed: a network is no longer a list of layers, it is a
list of blocks. Then ``grow``, how the authors got the deep ones to train: they began with a trained shallow one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Unpack

import torch
from torch import Tensor, nn

from .alexnet import LocalResponseNorm, fully_connected
from .catalogue.declaration import Declaration, stages
from .layers import (
    BuildOptions,
    GlobalAveragePool,
    StemOptions,
    check_choice,
    check_image_size,
    check_positive,
    variant,
)

# Table 1: kernel sizes of the convolutions in the five stages. Layers = convolutions + 3 fully connected ones.
CONFIGURATIONS = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}
WIDTHS = (64, 128, 256, 512, 512)
NANO_WIDTHS = (16, 32, 64, 128, 128)

HIDDEN = 4096


class ConvReLU(nn.Sequential):
    """Convolution with bias, batch normalisation if wanted, ReLU: (B, C, H, W) → (B, width, H, W).

    The bias stays even before a normalisation, which makes it useless, because the published weights have it.
    """

    def __init__(self, in_channels: int, width: int, kernel: int, batch_norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, kernel, padding=kernel // 2)
        if batch_norm:
            self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU()


class Block(nn.Sequential):
    """The template: convolutions that keep the size, one max pooling that halves it: (B, C, H, W) → (B, width, H/2, W/2).

    ``pool`` is "halve", "halve, rounding up" (an odd side loses no pixels), or "none".
    """

    conv1: ConvReLU  # and conv2 to conv4 in the deeper configurations

    def __init__(
        self, in_channels: int, width: int, kernels: tuple[int, ...], *, pool: str = "halve", batch_norm: bool = False
    ) -> None:
        layers: dict[str, nn.Module] = {}
        for number, kernel in enumerate(kernels, start=1):
            layers[f"conv{number}"] = ConvReLU(in_channels if number == 1 else width, width, kernel, batch_norm)
        if pool != "none":
            layers["pool"] = nn.MaxPool2d(2, ceil_mode=pool == "halve, rounding up")
        super().__init__(OrderedDict(layers))


class VGG(nn.Module):
    """Five blocks and a head: (B, in_channels, S, S) → (B, num_classes).

    ``stem="imagenet"`` halves five times and ends in three fully connected layers; ``stem="small"`` halves three times and
    ends in an average and one linear layer. ``local_response`` puts AlexNet's normalisation behind the first convolution
    (the paper's network A-LRN).
    """

    def __init__(
        self,
        configuration: str,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
        batch_norm: bool = False,
        local_response: bool = False,
        widths: tuple[int, ...] = WIDTHS,
        hidden: int = HIDDEN,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size, hidden=hidden)
        check_choice("stem", stem, ("imagenet", "small"))
        small = stem == "small"
        if not small:
            check_image_size(image_size, 32, "five poolings")
        self.batch_norm = batch_norm
        rows = CONFIGURATIONS[configuration]
        early, late = ("halve, rounding up", "none") if small else ("halve", "halve")
        one, two, three, four, five = widths
        self.stage1 = Block(in_channels, one, rows[0], pool=early, batch_norm=batch_norm)
        self.stage2 = Block(one, two, rows[1], pool=early, batch_norm=batch_norm)
        self.stage3 = Block(two, three, rows[2], pool=early, batch_norm=batch_norm)
        self.stage4 = Block(three, four, rows[3], pool=late, batch_norm=batch_norm)
        self.stage5 = Block(four, five, rows[4], pool=late, batch_norm=batch_norm)
        if local_response:
            self.stage1.conv1.append(LocalResponseNorm())
        initialise_convolutions(self)
        if small:
            self.pool = GlobalAveragePool()
            self.fc6 = self.fc7 = None
            self.head = nn.Linear(five, num_classes)
        else:
            self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Flatten())
            self.fc6 = fully_connected(five * 7 * 7, hidden, drop_inputs=False)
            self.fc7 = fully_connected(hidden, hidden, drop_inputs=False)
            self.head = nn.Linear(hidden, num_classes)
            initialise_fully_connected(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage1(x)  # (B, 64, 112, 112)
        x = self.stage2(x)  # (B, 128, 56, 56)
        x = self.stage3(x)  # (B, 256, 28, 28)
        x = self.stage4(x)  # (B, 512, 14, 14)
        x = self.stage5(x)  # (B, 512, 7, 7)
        x = self.pool(x)  # (B, 25088), small stem: (B, 512)
        if self.fc6 is not None and self.fc7 is not None:
            x = self.fc6(x)  # (B, 4096)
            x = self.fc7(x)  # (B, 4096)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        if self.fc6 is None:
            head = {"head": ("pool", "head")}
        else:
            head = {"fc6": ("pool", "fc6"), "fc7": ("fc7",), "head": ("head",)}
        useless = (("conv.bias", "the normalisation behind it subtracts what it adds"),) if self.batch_norm else ()
        return Declaration(
            stages("stage1", "stage2", "stage3", "stage4", "stage5", **head),
            feature_layer="stage5",
            null_gradients=useless,
        )


def initialise_convolutions(network: nn.Module) -> None:
    """He's rule over the fan-in (arXiv:1502.01852), a year younger than VGG: normal, variance 2 / fan_in, biases 0.

    Over the fan-out, as elsewhere, each doubling of the channels would halve the variance on the way forward; without
    normalisation and shortcut 16 layers do not start from there.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def initialise_fully_connected(network: nn.Module) -> None:
    """Section 3.1: weights normal with deviation 0.01, biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)


# The first four convolutions of configuration A by their place in a network. By number they would not fit: the second
# convolution of A opens stage 2, that of a deeper network still belongs to stage 1.
FIRST_FOUR = ("stage1.conv1", "stage2.conv1", "stage3.conv1", "stage3.conv2")
FULLY_CONNECTED = ("fc6", "fc7", "head")


def grow(deep: VGG, shallow: VGG) -> list[str]:
    """Begin a deep network with a trained shallow one, as section 3.1: copies the layers, returns their names.

    The first four convolutions (with their normalisations) and the fully connected layers take the weights of ``shallow``;
    the layers between keep their chance weights. No layer is frozen. ValueError where the two do not fit together.
    """
    layers = [name for name in (*FIRST_FOUR, *FULLY_CONNECTED) if _has(deep, name) and _has(shallow, name)]
    for name in layers:
        ours = {key: value.shape for key, value in deep.get_submodule(name).state_dict().items()}
        theirs = {key: value.shape for key, value in shallow.get_submodule(name).state_dict().items()}
        if ours != theirs:
            raise ValueError(
                f"shallow: {name} does not fit; both networks need the same widths, classes, stem and channels"
            )
    with torch.no_grad():
        for name in layers:
            deep.get_submodule(name).load_state_dict(shallow.get_submodule(name).state_dict())
    return layers


def _has(network: nn.Module, name: str) -> bool:
    return name in dict(network.named_modules())


def vgg11(*, local_response: bool = False, hidden: int = HIDDEN, **options: Unpack[StemOptions]) -> VGG:
    """Build the configuration A; with ``local_response`` the paper's A-LRN."""
    return VGG("A", local_response=local_response, hidden=hidden, **options)


def _plain(configuration: str, *, hidden: int = HIDDEN, **options: Unpack[StemOptions]) -> VGG:
    """Build a column of table 1 as printed."""
    return VGG(configuration, hidden=hidden, **options)


def _normalised(configuration: str, *, hidden: int = HIDDEN, **options: Unpack[StemOptions]) -> VGG:
    """Build a column of table 1 with batch normalisation behind each convolution."""
    return VGG(configuration, batch_norm=True, hidden=hidden, **options)


vgg11_bn = variant("vgg11_bn", _normalised, "A")
vgg13 = variant("vgg13", _plain, "B")
vgg13_bn = variant("vgg13_bn", _normalised, "B")
vgg16 = variant("vgg16", _plain, "D")
vgg16_bn = variant("vgg16_bn", _normalised, "D")
vgg16_c = variant("vgg16_c", _plain, "C")  # the third convolution of stages 3 to 5 is 1×1
vgg19 = variant("vgg19", _plain, "E")
vgg19_bn = variant("vgg19_bn", _normalised, "E")


def vgg_nano(**options: Unpack[BuildOptions]) -> VGG:
    """vgg11_bn with the small stem and a quarter of the channels."""
    sizes: BuildOptions = {"num_classes": 10, "image_size": 32}
    return VGG("A", stem="small", batch_norm=True, widths=NANO_WIDTHS, **{**sizes, **options})
