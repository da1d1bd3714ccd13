"""NAT: Hassani, Walton, Li, Li, Shi, "Neighborhood Attention Transformer", CVPR 2023, arXiv:2204.07143.

The idea: each pixel of the map attends to the k×k pixels nearest to it, as a convolution looks at its surroundings, but
with weights that attention works out on the spot. The window slides with the pixel and is not padded at the border: it
stops there, so every pixel has exactly k² neighbours.

What to look at: ``neighbours``, five lines that say who is whose neighbour along one axis, and ``NeighbourhoodAttention``,
which takes keys and values from there. Everything else is a pyramid of ordinary transformer blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

import torch
from einops import rearrange
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    BuildOptions,
    DropPath,
    check_choice,
    check_image_size,
    check_positive,
    drop_path_rates,
    halved,
    initialise_truncated_normal,
    variant,
)
from .vit import Mlp

HEAD = 32  # channels of one attention head, in every size
SMALL_KERNEL = 3  # neighbours a side for images of 28 to 64 pixels


@dataclass(frozen=True)
class Size:
    """Channels of the first stage (they double with each), blocks per stage, hidden units of the MLP per channel.

    ``drop_path`` is the last block's rate of stochastic depth, ``layer_scale`` the first value of the learned factors on
    each branch (None: there are none).
    """

    width: int
    depths: tuple[int, ...]
    mlp_ratio: int
    drop_path: float
    layer_scale: float | None = None


# Table 1 of the paper; rates and layer scales from the authors' code.
SIZES = {
    "nano": Size(32, (2, 2, 6), 2, 0.0),  # this program's own, for small images on a laptop
    "mini": Size(64, (3, 4, 6, 5), 3, 0.2),
    "tiny": Size(64, (3, 4, 18, 5), 3, 0.2),
    "small": Size(96, (3, 4, 18, 5), 2, 0.3, 1e-5),
    "base": Size(128, (3, 4, 18, 5), 2, 0.5, 1e-5),
}


class NativeNATOptions(BuildOptions, total=False):
    """``kernel_size``: neighbours a side, odd; ``drop_path``: the last block's rate of stochastic depth."""

    kernel_size: int
    drop_path: float


def neighbours(side: int, kernel_size: int, dilation: int = 1) -> Tensor:
    """Return whom each place of an axis attends to: (side, kernel_size) indices.

    The places that are a multiple of ``dilation`` away form a row of their own. In it the window is centred on the place
    itself, except near an end, where it stops instead of reaching over (equation 2; for dilations equation 3 of
    arXiv:2209.15001).
    """
    place = torch.arange(side).unsqueeze(1)  # (side, 1)
    offset, rank = place % dilation, place // dilation  # which row, and the how-manieth in it
    length = (side - offset + dilation - 1) // dilation  # places in that row
    first = torch.minimum((rank - kernel_size // 2).clamp_min(0), length - kernel_size)  # (side, 1)
    return (first + torch.arange(kernel_size)) * dilation + offset  # (side, kernel_size)


def in_the_plane(along: Tensor, side: int) -> Tensor:
    """Return one axis' indices combined for rows and columns: (n, k) → (n·n·k·k), row · ``side`` + column."""
    rows, columns = along[:, None, :, None], along[None, :, None, :]
    return (rows * side + columns).flatten()  # (n·n·k·k)


class NeighbourhoodAttention(nn.Module):
    """Multi-head attention of each pixel to its k×k neighbours (equations 2 to 4): (B, H, W, C) → (B, H, W, C).

    To each comparison a learned number is added that depends on the head and on how far apart the two pixels are; it is
    the only knowledge of places. ``side`` = H = W, at least ``kernel_size`` · ``dilation``.
    """

    index: Tensor
    steps: Tensor

    def __init__(self, width: int, heads: int, side: int, kernel_size: int = 7, dilation: int = 1) -> None:
        super().__init__()
        check_positive(kernel_size=kernel_size, dilation=dilation)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: {kernel_size} has no middle; the smallest that works is 1, then 3, 5, 7 …")
        if side < kernel_size * dilation:
            least = kernel_size * dilation
            raise ValueError(f"side: {side} holds no {kernel_size} places {dilation} apart; the smallest is {least}")
        self.heads, self.kernel_size, self.dilation = heads, kernel_size, dilation
        self.scale = (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.bias = nn.Parameter(torch.empty(heads, 2 * kernel_size - 1, 2 * kernel_size - 1))
        self.out = nn.Linear(width, width)
        nn.init.trunc_normal_(self.bias, std=0.02)
        index = neighbours(side, kernel_size, dilation)  # (side, k)
        # How many steps of the row away, -(k-1) … k-1, shifted to begin at 0.
        steps = (index - torch.arange(side).unsqueeze(1)) // dilation + kernel_size - 1  # (side, k)
        self.register_buffer("index", in_the_plane(index, side), persistent=False)
        self.register_buffer("steps", in_the_plane(steps, 2 * kernel_size - 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        height = x.shape[1]
        q, k, v = rearrange(self.qkv(x), "b h w (three n d) -> three b n (h w) d", three=3, n=self.heads)
        k, v = self.of_neighbours(k), self.of_neighbours(v)  # (B, heads, H·W, k², d)
        scores = self.scale * q.unsqueeze(-2) @ k.transpose(-2, -1) + self.biases()  # (B, heads, H·W, 1, k²)
        shares = torch.softmax(scores, dim=-1)  # (B, heads, H·W, 1, k²)   of a pixel's neighbours, summing to 1
        x = rearrange(shares @ v, "b n (h w) 1 d -> b h w (n d)", h=height)  # (B, H, W, C)
        return self.out(x)  # (B, H, W, C)

    def of_neighbours(self, x: Tensor) -> Tensor:
        """Beside each pixel the vectors of all its neighbours: (B, heads, H·W, d) → (B, heads, H·W, k², d)."""
        return x.index_select(2, self.index).unflatten(2, (-1, self.kernel_size**2))  # (B, heads, H·W, k², d)

    def biases(self) -> Tensor:
        """Return the learned number for each pixel and each of its neighbours: (heads, H·W, 1, k²)."""
        table = self.bias.flatten(1).index_select(1, self.steps)  # (heads, H·W·k²)
        return table.unflatten(1, (-1, 1, self.kernel_size**2))  # (heads, H·W, 1, k²)

    def extra_repr(self) -> str:
        return f"{self.kernel_size}×{self.kernel_size} neighbours, dilation={self.dilation}, heads={self.heads}"


class Block(nn.Module):
    """Neighbourhood attention, then an MLP, each on normalised pixels and added back: (B, H, W, C) → (B, H, W, C)."""

    def __init__(
        self, width: int, size: Size, side: int, kernel_size: int, dilation: int = 1, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = NeighbourhoodAttention(width, width // HEAD, side, kernel_size, dilation)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, size.mlp_ratio * width)
        self.drop_path = DropPath(drop_path)
        self.scale1 = LayerScale(width, size.layer_scale) if size.layer_scale else nn.Identity()
        self.scale2 = LayerScale(width, size.layer_scale) if size.layer_scale else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.scale1(self.attention(self.norm1(x))))  # (B, H, W, C)
        return x + self.drop_path(self.scale2(self.mlp(self.norm2(x))))  # (B, H, W, C)


class LayerScale(nn.Module):
    """One learned factor per channel, nearly zero at first (Touvron et al., arXiv:2103.17239): (…, C) → (…, C)."""

    def __init__(self, width: int, first: float) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.full((width,), first))

    def forward(self, x: Tensor) -> Tensor:
        return self.factors * x


class Tokenizer(nn.Module):
    """Two overlapping 3×3 convolutions and a normalisation: (B, C, S, S) → (B, S/4, S/4, width) with strides 2, 2."""

    def __init__(self, in_channels: int, width: int, strides: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width // 2, 3, strides[0], padding=1)
        self.conv2 = nn.Conv2d(width // 2, width, 3, strides[1], padding=1)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.conv1(x))  # (B, width, S/4, S/4)   nothing non-linear between the two
        return self.norm(x.permute(0, 2, 3, 1))  # (B, S/4, S/4, width)


class Downsample(nn.Module):
    """One overlapping 3×3 with stride 2, then a normalisation: (B, H, W, C) → (B, H/2, W/2, 2·C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)
        self.norm = nn.LayerNorm(2 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x.permute(0, 3, 1, 2))  # (B, 2·C, H/2, W/2)
        return self.norm(x.permute(0, 2, 3, 1))  # (B, H/2, W/2, 2·C)


class MapAverage(nn.Module):
    """Mean over height and width where channels come last: (B, H, W, C) → (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(1, 2))  # (B, C)


class NAT(nn.Module):
    """Tokenizer, stages of blocks, average, one linear layer: (B, in_channels, S, S) → (B, num_classes).

    ``strides`` of the tokenizer's convolutions decide how large the maps are: 2, 2 for ImageNet.
    """

    def __init__(
        self,
        size: Size,
        *,
        strides: tuple[int, int] = (2, 2),
        kernel_size: int = 7,
        drop_path: float | None = None,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size, kernel_size=kernel_size)
        depth = len(size.depths)
        reduction = strides[0] * strides[1] * 2 ** (depth - 1)
        layout = f"neighbourhoods of {kernel_size}×{kernel_size} in the last of {depth} stages"
        check_image_size(image_size, reduction * (kernel_size - 1) + 1, layout)
        self.image_size = image_size
        rates = iter(drop_path_rates(size.drop_path if drop_path is None else drop_path, sum(size.depths)))

        def blocks(index: int) -> list[Block]:
            width, side = size.width * 2**index, halved(image_size, strides.count(2) + index)
            dilations = self.dilations(size.depths[index], side, kernel_size)
            return [Block(width, size, side, kernel_size, dilation, next(rates)) for dilation in dilations]

        width = size.width
        self.stem = Tokenizer(in_channels, width, strides)
        self.stage1 = nn.Sequential(*blocks(0))
        self.stage2 = nn.Sequential(Downsample(width), *blocks(1))
        self.stage3 = nn.Sequential(Downsample(2 * width), *blocks(2))
        self.stage4 = nn.Sequential(Downsample(4 * width), *blocks(3)) if depth == 4 else None
        width *= 2 ** (depth - 1)
        self.norm = nn.LayerNorm(width)
        self.pool = MapAverage()
        self.head = nn.Linear(width, num_classes)
        initialise(self)

    def dilations(self, depth: int, side: int, kernel_size: int) -> list[int]:
        """Return the distance between neighbours in each block of a stage; here they are adjacent."""
        return [1] * depth

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[2:]) != (self.image_size, self.image_size):
            raise ValueError(
                f"image: {x.shape[2]}×{x.shape[3]} pixels, but the network was built for image_size {self.image_size}"
            )
        x = self.stem(x)  # (B, 56, 56, C)   224 pixels
        x = self.stage1(x)  # (B, 56, 56, C)
        x = self.stage2(x)  # (B, 28, 28, 2·C)
        x = self.stage3(x)  # (B, 14, 14, 4·C)
        if self.stage4 is not None:  # all but the nano
            x = self.stage4(x)  # (B, 7, 7, 8·C)
        x = self.norm(x)  # (B, 7, 7, 8·C)
        x = self.pool(x)  # (B, 8·C)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        fourth = () if self.stage4 is None else ("stage4",)
        return Declaration(
            stages("stem", "stage1", "stage2", "stage3", *fourth, head=("norm", "pool", "head")),
            feature_layer="norm",
            feature_axes="hwc",
        )


def initialise(network: nn.Module) -> None:
    """Linear layers as the ViT line of papers draws them; convolutions keep PyTorch's default, as in the authors' code."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            initialise_truncated_normal(module)


def layout_for(stem: str) -> dict:
    """Return the strides of the tokenizer and neighbours a side, for ImageNet's images and for small ones."""
    check_choice("stem", stem, ("imagenet", "small"))
    return {} if stem == "imagenet" else {"strides": (1, 1), "kernel_size": SMALL_KERNEL}


NANO = {"strides": (1, 2), "kernel_size": SMALL_KERNEL, "num_classes": 10, "image_size": 32}


def _nat(name: str, *, stem: str = "imagenet", **options: Unpack[NativeNATOptions]) -> NAT:
    """Build the NAT of row ``name`` in ``SIZES``; ``stem="small"`` takes the layout for images of 28 to 64 pixels."""
    return NAT(SIZES[name], **{**layout_for(stem), **options})


def nat_nano(**options: Unpack[NativeNATOptions]) -> NAT:
    return NAT(SIZES["nano"], **{**NANO, **options})


nat_mini = variant("nat_mini", _nat, "mini")
nat_tiny = variant("nat_tiny", _nat, "tiny")
nat_small = variant("nat_small", _nat, "small")
nat_base = variant("nat_base", _nat, "base")
