"""NiN: Lin, Chen, Yan, "Network In Network", ICLR 2014, arXiv:1312.4400.

The idea: behind each convolution stands a small network that is applied at every pixel, two 1×1 convolutions with ReLU.
Such a block (the paper's mlpconv) can tell non-linear concepts apart where a plain convolution draws one plane. And at the
end there is no fully connected layer: the last block has one map per class, and the mean of a map is the class's score.

What to look at: ``MlpConv``, and that ``NiN.forward`` ends in an average with no weights behind it.
"""

from __future__ import annotations

from typing import Unpack

from torch import Tensor, nn

from .catalogue.declaration import Declaration, Stage
from .layers import GlobalAveragePool, NativeForm, check_image_size, check_positive, initialise_he

# Per block: channels of the convolution and its two 1×1 layers (None: the number of classes), kernel, stride, padding.
# CIFAR-10: section 4.2 and the authors' published model; ImageNet: the authors' published model.
Row = tuple[tuple[int | None, ...], int, int, int]
CIFAR: tuple[Row, ...] = (
    ((192, 160, 96), 5, 1, 2),
    ((192, 192, 192), 5, 1, 2),
    ((192, 192, None), 3, 1, 1),
)
IMAGENET: tuple[Row, ...] = (
    ((96, 96, 96), 11, 4, 0),
    ((256, 256, 256), 5, 1, 2),
    ((384, 384, 384), 3, 1, 1),
    ((1024, 1024, None), 3, 1, 1),
)
NANO: tuple[Row, ...] = (
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


class NiN(nn.Module):
    """Three or four mlpconv blocks with pooling and dropout between, then the mean of each map: (B, C, S, S) → (B, classes).

    ``mean_second_pool``: the authors' CIFAR model pools by the maximum after the first block and by the mean after the
    second. ``textbook``: the form of the textbook "Dive into Deep Learning": all three layers of the last block have one map
    per class, and the poolings round down.
    """

    def __init__(
        self,
        rows: tuple[Row, ...],
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
        stages, side, channels = [], image_size, in_channels
        for index, (widths, kernel, stride, padding) in enumerate(rows):
            last = index == len(rows) - 1
            filled = tuple(num_classes if width is None or (last and textbook) else width for width in widths)
            side = (side + 2 * padding - kernel) // stride + 1
            name = f"block{index + 1}"
            self.add_module(name, MlpConv(channels, (filled[0], filled[1], filled[2]), kernel, stride, padding))
            channels = filled[2]
            stages.append(Stage(name, (name,), (channels, side, side)))
            if not last:
                kind = nn.AvgPool2d if mean_second_pool and index == 1 else nn.MaxPool2d
                pool = kind(3, 2, ceil_mode=not textbook)
                self.add_module(f"pool{index + 1}", nn.Sequential(pool, nn.Dropout(0.5)))
                side = pooled(side, round_up=not textbook)
                stages.append(Stage(f"pool{index + 1}", (f"pool{index + 1}",), (channels, side, side)))
        self.pool = GlobalAveragePool()
        stages.append(Stage("pool", ("pool",), (num_classes,)))
        initialise_he(self)
        feature = f"block{len(rows)}"
        self.declaration = Declaration(tuple(stages), feature_layer=feature, overfit_steps=150, overfit_lr=2e-3)

    def forward(self, x: Tensor) -> Tensor:
        # CIFAR: (B, 96, 32, 32), (B, 96, 16, 16), (B, 192, 16, 16), (B, 192, 8, 8), (B, 10, 8, 8)
        for name, module in self.named_children():
            if name != "pool":
                x = module(x)  # (B, C, H, W)
        return self.pool(x)  # (B, num_classes)


def pooled(side: int, round_up: bool = True) -> int:
    """Side after the 3×3 pooling with stride 2; the authors' framework rounds up."""
    return (-(-(side - 3) // 2) if round_up else (side - 3) // 2) + 1


def smallest_size(rows: tuple[Row, ...]) -> int:
    """Smallest picture for which every convolution and pooling of a layout still has a window's worth of pixels."""
    need = 1
    for index, (_, kernel, stride, padding) in enumerate(reversed(rows)):
        if index > 0:
            # What leaves this block goes through a pooling: at least 3 pixels, and enough that `need` come out of it.
            need = max(3, 2 * (need - 1) + 2)
        need = max(1, (need - 1) * stride + kernel - 2 * padding)
    return need


def nin(textbook: bool = False, **form: Unpack[NativeForm]) -> NiN:
    sizes: NativeForm = {"num_classes": 1000, "image_size": 227}
    return NiN(IMAGENET, textbook=textbook, **{**sizes, **form})


def nin_cifar(**form: Unpack[NativeForm]) -> NiN:
    sizes: NativeForm = {"num_classes": 10, "image_size": 32}
    return NiN(CIFAR, mean_second_pool=True, **{**sizes, **form})


def nin_nano(**form: Unpack[NativeForm]) -> NiN:
    sizes: NativeForm = {"num_classes": 10, "image_size": 32}
    return NiN(NANO, mean_second_pool=True, **{**sizes, **form})
