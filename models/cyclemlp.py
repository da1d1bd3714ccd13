"""CycleMLP: Chen, Xie, Ge, Chen, Liang, Luo, "CycleMLP: A MLP-like Architecture for Dense Prediction", ICLR 2022,
arXiv:2107.10224.

The idea: a linear layer over the channels of one pixel sees no neighbours; a matrix over all places is tied to one image
size. So keep the linear layer over channels, but let it read its channels from different pixels, in a staircase: channel
0 from here, channel 1 from the right, channel 2 from the left, channel 3 from here again.

What to look at: ``staircase``, which only moves numbers, and ``CycleFC``, which is that and one linear layer: the work of a
1×1 convolution, the view of a 1×3 one, and nothing in it knows how large the image is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    BuildOptions,
    DropPath,
    check_choice,
    check_image_size,
    check_positive,
    drop_path_rates,
    initialise_truncated_normal,
    variant,
)
from .vit import Mlp


@dataclass(frozen=True)
class Size:
    """Per stage: blocks, width, and how many times wider the hidden layer of the channel MLP is."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    ratios: tuple[int, ...]


SIZES = {
    "nano": Size((1, 2, 4, 1), (32, 64, 128, 160), (4, 4, 4, 4)),  # this program's own, for small images on a laptop
    "b1": Size((2, 2, 4, 2), (64, 128, 320, 512), (4, 4, 4, 4)),
    "b2": Size((2, 3, 10, 3), (64, 128, 320, 512), (4, 4, 4, 4)),
    "b3": Size((3, 4, 18, 3), (64, 128, 320, 512), (8, 8, 4, 4)),
    "b4": Size((3, 8, 27, 3), (64, 128, 320, 512), (8, 8, 4, 4)),
    "b5": Size((3, 4, 24, 3), (96, 192, 384, 768), (4, 4, 4, 4)),
}


class NativeCycleMlpOptions(BuildOptions, total=False):
    """``drop_path`` is the last block's rate of stochastic depth."""

    drop_path: float


def staircase_steps(size: int) -> tuple[int, ...]:
    """Return how far channels 0, 1, … size - 1 look along the axis, in pixels; then it repeats: 3 → 0, 1, -1."""
    half = size // 2
    return tuple((index + half) % size - half for index in range(size))


def staircase(x: Tensor, size: int, axis: int) -> Tensor:
    """Read each channel from the pixel ``staircase_steps`` away along ``axis`` (1 height, 2 width), zero outside.

    (B, H, W, C) → (B, H, W, C); no number is computed, they only move.
    """
    half, length = size // 2, x.shape[axis]
    padded = F.pad(x, (0, 0, half, half) if axis == 2 else (0, 0, 0, 0, half, half))  # zeros at both ends of the axis
    moved = torch.empty_like(x)
    for channel, step in enumerate(staircase_steps(size)):
        moved[..., channel::size] = padded.narrow(axis, half + step, length)[..., channel::size]
    return moved


class CycleFC(nn.Module):
    """A linear layer over the channels, read in a staircase along one axis (section 3): (B, H, W, C) → (B, H, W, out)."""

    def __init__(self, in_channels: int, out_channels: int, size: int, axis: int) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, out_channels=out_channels, size=size)
        check_choice("axis", axis, (1, 2))
        self.size = size
        self.axis = axis
        self.linear = nn.Linear(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(staircase(x, self.size, self.axis))  # (B, H, W, out)

    def extra_repr(self) -> str:
        return f"size={self.size}, along the {'height' if self.axis == 1 else 'width'}"


class CycleMixing(nn.Module):
    """Three branches, along the width, along the height and on the spot, weighed per channel: (B, H, W, C) → the same.

    The weights of the three come from the image's mean and sum to one (section 3).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.along_width = CycleFC(width, width, 3, axis=2)
        self.along_height = CycleFC(width, width, 3, axis=1)
        self.on_the_spot = nn.Linear(width, width, bias=False)
        self.reweight = nn.Sequential(nn.Linear(width, width // 4), nn.GELU(), nn.Linear(width // 4, 3 * width))
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        branches = torch.stack(
            (self.along_width(x), self.along_height(x), self.on_the_spot(x)), dim=-1
        )  # (B, H, W, C, 3)
        mean = branches.sum(dim=-1).mean(dim=(1, 2))  # (B, C)
        shares = self.reweight(mean).unflatten(1, (-1, 3)).softmax(dim=-1)  # (B, C, 3)
        mixed = (branches * shares[:, None, None]).sum(dim=-1)  # (B, H, W, C)
        return self.project(mixed)  # (B, H, W, C)


class CycleBlock(nn.Module):
    """Mixing of neighbours, then an MLP on each pixel, each with a shortcut: (B, H, W, C) → (B, H, W, C)."""

    def __init__(self, width: int, ratio: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.mixing = CycleMixing(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, ratio * width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.mixing(self.norm1(x)))  # (B, H, W, C)
        return x + self.drop_path(self.mlp(self.norm2(x)))  # (B, H, W, C)


class PatchStem(nn.Module):
    """Overlapping patches: 7×7 at stride 4, or 3×3 at stride 2 for small images: (B, C, S, S) → (B, S/4, S/4, width)."""

    def __init__(self, in_channels: int, width: int, small: bool) -> None:
        super().__init__()
        kernel, stride, padding = (3, 2, 1) if small else (7, 4, 2)
        self.conv = nn.Conv2d(in_channels, width, kernel, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).permute(0, 2, 3, 1)  # (B, S/4, S/4, width)


class Downsample(nn.Module):
    """A 3×3 convolution between stages: (B, H, W, C) → (B, H/stride, W/stride, width)."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, 3, stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # (B, H/stride, W/stride, width)


class CycleMLP(nn.Module):
    """Stem, four stages, average, one linear layer: (B, in_channels, S, S) → (B, num_classes), for any S.

    ``drop_path`` is the last block's rate of stochastic depth.
    """

    def __init__(
        self,
        size: Size,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_choice("stem", stem, ("imagenet", "small"))
        small = stem == "small"
        check_image_size(image_size, 1 if small else 3, f"the {stem} stem")
        rates = iter(drop_path_rates(drop_path, sum(size.depths)))

        def blocks(index: int) -> list[CycleBlock]:
            width, ratio = size.widths[index], size.ratios[index]
            return [CycleBlock(width, ratio, next(rates)) for _ in range(size.depths[index])]

        one, two, three, four = size.widths
        self.stem = PatchStem(in_channels, one, small)
        self.stage1 = nn.Sequential(*blocks(0))
        self.stage2 = nn.Sequential(Downsample(one, two, 2), *blocks(1))
        self.stage3 = nn.Sequential(Downsample(two, three, 2), *blocks(2))
        self.stage4 = nn.Sequential(Downsample(three, four, 1 if small else 2), *blocks(3))  # small: 4×4 pixels stay
        self.norm = nn.LayerNorm(four)
        self.head = nn.Linear(four, num_classes)
        initialise_truncated_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 56, 56, 64)   b1 at 224 pixels
        x = self.stage1(x)  # (B, 56, 56, 64)
        x = self.stage2(x)  # (B, 28, 28, 128)
        x = self.stage3(x)  # (B, 14, 14, 320)
        x = self.stage4(x)  # (B, 7, 7, 512)
        x = self.norm(x).mean(dim=(1, 2))  # (B, 512)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "stage1", "stage2", "stage3", "stage4", head=("norm", "head")),
            feature_layer="norm",
            feature_axes="hwc",
        )


def cyclemlp_nano(**options: Unpack[NativeCycleMlpOptions]) -> CycleMLP:
    return CycleMLP(SIZES["nano"], **{"num_classes": 10, "image_size": 32, **options}, stem="small")


cyclemlp_b1 = variant("cyclemlp_b1", CycleMLP, SIZES["b1"])
cyclemlp_b2 = variant("cyclemlp_b2", CycleMLP, SIZES["b2"])
cyclemlp_b3 = variant("cyclemlp_b3", CycleMLP, SIZES["b3"])
cyclemlp_b4 = variant("cyclemlp_b4", CycleMLP, SIZES["b4"])
cyclemlp_b5 = variant("cyclemlp_b5", CycleMLP, SIZES["b5"])
