"""NiN: Lin, Chen, Yan, "Network In Network", ICLR 2014, arXiv:1312.4400.

The idea: behind each convolution stands a small network that is applied at every pixel, two 1×1 convolutions with ReLU.
Such a block (the paper's mlpconv) can tell non-linear concepts apart where a plain convolution draws one plane. And at the
end there is no fully connected layer: the last block has one map per class, and the mean of a map is the class's score.

What to look at: ``MlpConv``, and that ``NiN.forward`` ends in an average with no weights behind it.
"""

from __future__ import annotations

from typing import Unpack

from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import BuildOptions, GlobalAveragePool, check_image_size, check_positive, initialise_he

# Per block: channels of the convolution and its two 1×1 layers (None: the number of classes), kernel, stride, padding.
# CIFAR-10: section 4.2 and the authors' published model; ImageNet: the authors' published model.
LayerWidths = tuple[tuple[int | None, ...], int, int, int]
CIFAR: tuple[LayerWidths, ...] = (
    ((192, 160, 96), 5, 1, 2),
    ((192, 192, 192), 5, 1, 2),
    ((192, 192, None), 3, 1, 1),
)
IMAGENET: tuple[LayerWidths, ...] = (
    ((96, 96, 96), 11, 4, 0),
    ((256, 256, 256), 5, 1, 2),
    ((384, 384, 384), 3, 1, 1),
    ((1024, 1024, None), 3, 1, 1),
)
NANO: tuple[LayerWidths, ...] = (
    ((64, 48, 32), 5, 1, 2),
    ((64, 64, 64), 5, 1, 2),
    ((64, 64, None), 3, 1, 1),
)


class MlpConv(nn.Sequential):
    """A convolution and a two-layer network at each pixel of its output (paper, section 3.1).

    (B, C, H, W) → (B, channels[2], H', W'), every layer followed by ReLU.
    """

    def __init__(
        self, in_channels: int, channels: tuple[int, int, int], kernel: int, stride: int, padding: int
    ) -> None:
        first, second, third = channels
        super().__init__(
            nn.Conv2d(in_channels, first, kernel, stride, padding),  # (B, first, H', W')
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 1),  # (B, second, H', W')
            nn.ReLU(inplace=True),
            nn.Conv2d(second, third, 1),  # (B, third, H', W')
            nn.ReLU(inplace=True),
        )


def layer_widths(row: LayerWidths, num_classes: int) -> tuple[int, int, int]:
    """Return the channels of the three layers of a block, with ``num_classes`` where the table says None."""
    first, second, third = (num_classes if width is None else width for width in row[0])
    return first, second, third


def pooling(kind: type[nn.MaxPool2d] | type[nn.AvgPool2d], round_up: bool) -> nn.Sequential:
    """3×3 pooling at stride 2, then dropout: (B, C, H, W) → (B, C, H/2, W/2). The authors' framework rounds sizes up."""
    return nn.Sequential(kind(3, 2, ceil_mode=round_up), nn.Dropout(0.5))


class NiN(nn.Module):
    """Three or four mlpconv blocks with pooling and dropout between, then the mean of each map: (B, C, S, S) → (B, classes).

    ``mean_second_pool``: the authors' CIFAR model pools by the maximum after the first block and by the mean after the
    second. ``textbook``: the version of the textbook "Dive into Deep Learning": all three layers of the last block have one
    map per class, and the poolings round down.
    """

    def __init__(
        self,
        rows: tuple[LayerWidths, ...],
        *,
        num_classes: int,
        in_channels: int = 3,
        image_size: int,
        mean_second_pool: bool = False,
        textbook: bool = False,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_image_size(image_size, smallest_size(rows), "this layout of NiN")
        widths = [layer_widths(row, num_classes) for row in rows]
        if textbook:
            widths[-1] = (num_classes, num_classes, num_classes)
        second = nn.AvgPool2d if mean_second_pool else nn.MaxPool2d
        self.block1 = MlpConv(in_channels, widths[0], *rows[0][1:])
        self.pool1 = pooling(nn.MaxPool2d, round_up=not textbook)
        self.block2 = MlpConv(widths[0][2], widths[1], *rows[1][1:])
        self.pool2 = pooling(second, round_up=not textbook)
        self.block3 = MlpConv(widths[1][2], widths[2], *rows[2][1:])
        if len(rows) == 4:
            self.pool3 = pooling(nn.MaxPool2d, round_up=not textbook)
            self.block4 = MlpConv(widths[2][2], widths[3], *rows[3][1:])
        else:
            self.pool3 = self.block4 = None
        self.pool = GlobalAveragePool()
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.block1(x))  # (B, 96, 32, 32) → (B, 96, 16, 16)   the network for CIFAR-10
        x = self.pool2(self.block2(x))  # (B, 192, 16, 16) → (B, 192, 8, 8)
        x = self.block3(x)  # (B, 10, 8, 8)
        if self.pool3 is not None and self.block4 is not None:  # the network for ImageNet has a fourth block
            x = self.block4(self.pool3(x))  # (B, 384, 13, 13) → (B, 1000, 6, 6)
        return self.pool(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        fourth = () if self.block4 is None else ("pool3", "block4")
        return Declaration(
            stages("block1", "pool1", "block2", "pool2", "block3", *fourth, "pool"),
            feature_layer="block3" if self.block4 is None else "block4",
            overfit_steps=150,
            overfit_lr=2e-3,
        )


def smallest_size(rows: tuple[LayerWidths, ...]) -> int:
    """Return the smallest image for which every convolution and pooling of a layout still has a whole window of
    pixels.
    """
    need = 1
    for index, (_, kernel, stride, padding) in enumerate(reversed(rows)):
        if index > 0:
            # What leaves this block goes through a pooling: at least 3 pixels, and enough that `need` come out of it.
            need = max(3, 2 * (need - 1) + 2)
        need = max(1, (need - 1) * stride + kernel - 2 * padding)
    return need


def nin(textbook: bool = False, **options: Unpack[BuildOptions]) -> NiN:
    sizes: BuildOptions = {"num_classes": 1000, "image_size": 227}
    return NiN(IMAGENET, textbook=textbook, **{**sizes, **options})


def nin_cifar(**options: Unpack[BuildOptions]) -> NiN:
    sizes: BuildOptions = {"num_classes": 10, "image_size": 32}
    return NiN(CIFAR, mean_second_pool=True, **{**sizes, **options})


def nin_nano(**options: Unpack[BuildOptions]) -> NiN:
    sizes: BuildOptions = {"num_classes": 10, "image_size": 32}
    return NiN(NANO, mean_second_pool=True, **{**sizes, **options})
