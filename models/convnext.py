"""ConvNeXt: Liu, Mao, Wu, Feichtenhofer, Darrell, Xie, "A ConvNet for the 2020s", CVPR 2022, arXiv:2201.03545.

The idea: take a ResNet and change, one step at a time, whatever a Swin transformer does differently except attention. At
the end stands a pure convolutional network that is as good as the transformer.

What to look at: ``ConvNextBlock.forward``. A transformer block has two parts, one that mixes places (attention) and one that
mixes channels (MLP); here the first is a depthwise 7×7 convolution, and both share one shortcut, one norm, one activation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

import torch
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    BuildOptions,
    DropPath,
    GlobalAveragePool,
    LayerNorm2d,
    check_choice,
    check_image_size,
    check_positive,
    check_whole_patches,
    drop_path_rates,
    initialise_truncated_normal,
    variant,
)


@dataclass(frozen=True)
class Size:
    """Per stage: blocks and width (section 3); and the last block's rate of stochastic depth on ImageNet (appendix A)."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    drop_path: float


SIZES = {
    "nano": Size((2, 2, 6, 2), (32, 64, 128, 256), 0.0),  # this program's own, for small images on a laptop
    "tiny": Size((3, 3, 9, 3), (96, 192, 384, 768), 0.1),
    "small": Size((3, 3, 27, 3), (96, 192, 384, 768), 0.4),
    "base": Size((3, 3, 27, 3), (128, 256, 512, 1024), 0.5),
    "large": Size((3, 3, 27, 3), (192, 384, 768, 1536), 0.5),
    "xlarge": Size((3, 3, 27, 3), (256, 512, 1024, 2048), 0.5),
}


class NativeConvNextOptions(BuildOptions, total=False):
    """``drop_path`` is the last block's rate of stochastic depth; ``layer_scale`` is where the branches' factors start."""

    drop_path: float
    layer_scale: float


class ConvNextBlock(nn.Module):
    """Depthwise 7×7, then an MLP on each pixel, around both a shortcut (figure 4): (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, width: int, layer_scale: float = 1e-6, drop_path: float = 0.0) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.linear1 = nn.Linear(width, 4 * width)
        self.gelu = nn.GELU()
        self.linear2 = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), layer_scale))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x)  # (B, C, H, W)   each channel alone
        y = self.norm(y.permute(0, 2, 3, 1))  # (B, H, W, C)   channels last: a linear layer is a 1×1 convolution there
        y = self.linear2(self.gelu(self.linear1(y)))  # (B, H, W, 4·C) inside, (B, H, W, C) out
        y = (self.scale * y).permute(0, 3, 1, 2)  # (B, C, H, W)
        return x + self.drop_path(y)  # (B, C, H, W)


class Downsample(nn.Sequential):
    """Norm, then a convolution whose kernel equals its stride: (B, C, H, W) → (B, width, H // stride, W // stride)."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(in_channels, eps=1e-6)
        self.conv = nn.Conv2d(in_channels, width, stride, stride)


class PatchStem(nn.Sequential):
    """Non-overlapping patches, as a ViT cuts them, then a norm: (B, C, S, S) → (B, width, S // patch, S // patch)."""

    def __init__(self, in_channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, patch, patch)
        self.norm = LayerNorm2d(width, eps=1e-6)


class ConvNeXt(nn.Module):
    """Patches, four stages, average, one linear layer: (B, in_channels, S, S) → (B, num_classes).

    ``drop_path`` is the last block's rate of stochastic depth; ``layer_scale`` is where the branches' factors start.
    """

    def __init__(
        self,
        size: Size,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
        drop_path: float | None = None,
        layer_scale: float = 1e-6,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size, layer_scale=layer_scale)
        check_choice("stem", stem, ("imagenet", "small"))
        strides = (4, 2, 2, 2) if stem == "imagenet" else (2, 2, 2, 1)  # small: 16, 8, 4, 4 pixels a side of 32
        check_image_size(image_size, 32 if stem == "imagenet" else 8, f"the {stem} layout")
        check_whole_patches(image_size, strides[0])
        rates = iter(drop_path_rates(size.drop_path if drop_path is None else drop_path, sum(size.depths)))

        def blocks(index: int) -> list[ConvNextBlock]:
            return [ConvNextBlock(size.widths[index], layer_scale, next(rates)) for _ in range(size.depths[index])]

        one, two, three, four = size.widths
        self.stem = PatchStem(in_channels, one, strides[0])
        self.stage1 = nn.Sequential(*blocks(0))
        self.stage2 = nn.Sequential(Downsample(one, two, strides[1]), *blocks(1))
        self.stage3 = nn.Sequential(Downsample(two, three, strides[2]), *blocks(2))
        self.stage4 = nn.Sequential(Downsample(three, four, strides[3]), *blocks(3))
        self.pool = GlobalAveragePool()
        self.norm = nn.LayerNorm(four, eps=1e-6)
        self.head = nn.Linear(four, num_classes)
        initialise_truncated_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 96, 56, 56)   tiny at 224 pixels
        x = self.stage1(x)  # (B, 96, 56, 56)
        x = self.stage2(x)  # (B, 192, 28, 28)
        x = self.stage3(x)  # (B, 384, 14, 14)
        x = self.stage4(x)  # (B, 768, 7, 7)
        x = self.norm(self.pool(x))  # (B, 768)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "stage1", "stage2", "stage3", "stage4", head=("pool", "norm", "head")),
            feature_layer="stage4",
        )


def convnext_nano(**options: Unpack[NativeConvNextOptions]) -> ConvNeXt:
    return ConvNeXt(SIZES["nano"], **{"num_classes": 10, "image_size": 32, **options}, stem="small")


convnext_tiny = variant("convnext_tiny", ConvNeXt, SIZES["tiny"])
convnext_small = variant("convnext_small", ConvNeXt, SIZES["small"])
convnext_base = variant("convnext_base", ConvNeXt, SIZES["base"])
convnext_large = variant("convnext_large", ConvNeXt, SIZES["large"])
convnext_xlarge = variant("convnext_xlarge", ConvNeXt, SIZES["xlarge"])
