"""Swin: Liu, Lin, Cao, Hu, Wei, Zhang, Lin, Guo, "Swin Transformer: Hierarchical Vision Transformer using Shifted
Windows", ICCV 2021, arXiv:2103.14030.

The idea: attention only within windows of 7×7 tokens, so that its cost grows with the image's area instead of the square
of it; in every second block the windows are shifted by half their side, so that neighbours across a border meet after all.

What to look at: ``window_partition``, which makes many small images of one; the two ``roll`` in ``WindowAttention`` and
``shift_mask``, which make shifted windows cost no more than the others; ``PatchMerging``, the pooling of a transformer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Unpack

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    BuildOptions,
    DropPath,
    StemOptions,
    check_choice,
    check_positive,
    check_whole_patches,
    drop_path_rates,
    initialise_truncated_normal,
    variant,
)
from .vit import Mlp


@dataclass(frozen=True)
class Size:
    """Width of the first stage, blocks and heads per stage (section 3.3), window, the last block's stochastic depth."""

    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int = 7
    drop_path: float = 0.0


SIZES = {
    "nano": Size(32, (2, 2, 4, 2), (2, 4, 8, 16), window=4),  # this program's own, for small images on a laptop
    "tiny": Size(96, (2, 2, 6, 2), (3, 6, 12, 24), drop_path=0.2),
    "small": Size(96, (2, 2, 18, 2), (3, 6, 12, 24), drop_path=0.3),
    "base": Size(128, (2, 2, 18, 2), (4, 8, 16, 32), drop_path=0.5),
    "large": Size(192, (2, 2, 18, 2), (6, 12, 24, 48), drop_path=0.2),
    "base_384": Size(128, (2, 2, 18, 2), (4, 8, 16, 32), window=12, drop_path=0.5),
    "large_384": Size(192, (2, 2, 18, 2), (6, 12, 24, 48), window=12, drop_path=0.2),
}
SMALL_WINDOW = 4  # tokens a side in the layout for small images


class SwinOptions(StemOptions, total=False):
    """``window`` is the side of a window in tokens, ``drop_path`` the last block's rate of stochastic depth."""

    window: int
    drop_path: float


class NativeSwinOptions(BuildOptions, total=False):
    """The same for a network with one layout."""

    window: int
    drop_path: float


def window_partition(x: Tensor, window: int) -> Tensor:
    """Cut a map into windows: (B, H, W, C) → (B·windows, window², C); the sides must be multiples of ``window``."""
    return rearrange(x, "b (row y) (column x) c -> (b row column) (y x) c", y=window, x=window)


def window_reverse(windows: Tensor, window: int, height: int, width: int) -> Tensor:
    """Return the inverse: (B·windows, window², C) → (B, height, width, C)."""
    rows, columns = height // window, width // window
    return rearrange(
        windows, "(b row column) (y x) c -> b (row y) (column x) c", row=rows, column=columns, y=window, x=window
    )


def shift_mask(
    height: int, width: int, window: int, shifts: tuple[int, int], device: torch.device | None = None
) -> Tensor:
    """Return which places of a window may see each other after a cyclic shift (figure 4): (windows, window², window²),
    bool.

    Rolling brings rows from the top to the bottom and columns from the left to the right. Two places of one window were
    neighbours before only if both or neither came around, for rows and for columns.
    """
    from_the_top = torch.arange(height, device=device) >= height - shifts[0]  # (H,)
    from_the_left = torch.arange(width, device=device) >= width - shifts[1]  # (W,)
    region = 2 * from_the_top[:, None] + 1 * from_the_left[None, :]  # (H, W)   0 to 3
    region = window_partition(region[None, :, :, None], window)  # (windows, window², 1)
    return region == region.transpose(1, 2)  # (windows, window², window²)


def relative_index(window: int) -> Tensor:
    """For two places of a window the row of the table that holds their offset: (window², window²), from 0 on."""
    place = torch.arange(window**2)
    row, column = place // window, place % window
    rows = row[:, None] - row[None, :] + window - 1  # (window², window²)   0 … 2·window - 2
    columns = column[:, None] - column[None, :] + window - 1  # (window², window²)
    return rows * (2 * window - 1) + columns


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, shifted by ``shift`` tokens (section 3.2): (B, H, W, C) → (B, H, W, C).

    A map that the window does not divide is filled up with zeros at the right and at the bottom; where one window covers
    the whole map, nothing is shifted.
    """

    bias_index: Tensor

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.register_buffer("bias_index", relative_index(window), persistent=False)
        nn.init.trunc_normal_(self.bias_table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        window = self.window_on(height, width)
        x = F.pad(x, (0, 0, 0, -width % window, 0, -height % window))  # (B, H', W', C)   multiples of the window
        padded = (x.shape[1], x.shape[2])
        shifts = (self.shift if window < padded[0] else 0, self.shift if window < padded[1] else 0)
        x = x.roll((-shifts[0], -shifts[1]), dims=(1, 2))  # (B, H', W', C)   what was cut off comes around
        mask = shift_mask(*padded, window, shifts, x.device) if any(shifts) else None
        x = self.attend(window_partition(x, window), mask)  # (B·windows, window², C)
        x = window_reverse(x, window, *padded)  # (B, H', W', C)
        return x.roll(shifts, dims=(1, 2))[:, :height, :width]  # (B, H, W, C)

    def window_on(self, height: int, width: int) -> int:
        """Return the side of the windows on a map of this size: here always the same, because the table of positions is."""
        return self.window

    def attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """softmax(q·kᵀ / √d + bias)·v in each window: (B·windows, N, C) → (B·windows, N, C), N = window²."""
        q, k, v = rearrange(self.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=self.heads).unbind(
            0
        )
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5 + self.position_bias()  # (B·windows, heads, N, N)
        x = masked_softmax(scores, mask) @ v  # (B·windows, heads, N, d)
        return self.out(rearrange(x, "b heads n d -> b n (heads d)"))  # (B·windows, N, C)

    def position_bias(self) -> Tensor:
        """Return what each head adds for an offset between two places: (heads, N, N)."""
        return self.bias_table[self.bias_index].permute(2, 0, 1)  # (heads, N, N)


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Return the shares along the last axis, 0 where the mask (windows, N, N) is False: (B·windows, heads, N, N) → the
    same.
    """
    if mask is not None:
        scores = scores.unflatten(0, (-1, mask.shape[0]))  # (B, windows, heads, N, N)
        scores = scores.masked_fill(~mask[:, None], float("-inf")).flatten(0, 1)  # (B·windows, heads, N, N)
    return scores.softmax(dim=-1)


class SwinBlock(nn.Module):
    """Window attention, then an MLP, each on normalised tokens and added back (equation 3): (B, H, W, C) → the same."""

    def __init__(self, width: int, heads: int, window: int, shift: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = WindowAttention(width, heads, window, shift)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, 4 * width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attention(self.norm1(x)))  # (B, H, W, C)
        return x + self.drop_path(self.mlp(self.norm2(x)))  # (B, H, W, C)


def merge_neighbours(x: Tensor, side: int) -> Tensor:
    """side×side neighbours into one token: (B, H, W, C) → (B, H/side, W/side, side²·C), odd sides filled with zeros."""
    x = F.pad(
        x, (0, 0, 0, x.shape[2] % side, 0, x.shape[1] % side)
    )  # for side 2 (or 1) the remainder is what is missing
    return rearrange(x, "b (row y) (column x) c -> b row column (x y c)", y=side, x=side)


class PatchMerging(nn.Module):
    """2×2 neighbours side by side, normalised, one linear layer: (B, H, W, C) → (B, H/2, W/2, 2·C) (section 3.1).

    ``side=1`` merges nothing and only widens, for maps that must not shrink.
    """

    def __init__(self, width: int, side: int = 2) -> None:
        super().__init__()
        self.side = side
        self.norm = nn.LayerNorm(side**2 * width)
        self.reduce = nn.Linear(side**2 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = merge_neighbours(x, self.side)  # (B, H/2, W/2, 4·C)
        return self.reduce(self.norm(x))  # (B, H/2, W/2, 2·C)


class PatchStem(nn.Module):
    """Non-overlapping patches and a norm: (B, C, S, S) → (B, S // patch, S // patch, width)."""

    def __init__(self, in_channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, patch, patch)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x).permute(0, 2, 3, 1))  # (B, S // patch, S // patch, width)


class SwinTransformer(nn.Module):
    """Patches, four stages of windowed blocks, average, one linear layer: (B, in_channels, S, S) → (B, num_classes).

    ``block(width, heads, window, shift, drop_path)`` and ``merging(width, side)`` are what later versions replace.
    """

    def __init__(
        self,
        size: Size,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
        window: int | None = None,
        drop_path: float | None = None,
        block: Callable[..., nn.Module] = SwinBlock,
        merging: Callable[[int, int], nn.Module] = PatchMerging,
    ) -> None:
        super().__init__()
        check_choice("stem", stem, ("imagenet", "small"))
        if window is None:
            window = size.window if stem == "imagenet" else SMALL_WINDOW
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size, window=window)
        patch, *merges = (4, 2, 2, 2) if stem == "imagenet" else (2, 2, 2, 1)  # small: 16, 8, 4, 4 tokens a side of 32
        check_whole_patches(image_size, patch)
        rates = iter(drop_path_rates(size.drop_path if drop_path is None else drop_path, sum(size.depths)))

        def blocks(index: int) -> list[nn.Module]:
            width, heads = size.width * 2**index, size.heads[index]
            shifts = (i % 2 * (window // 2) for i in range(size.depths[index]))  # every second block by half a window
            return [block(width, heads, window, shift, next(rates)) for shift in shifts]

        def stage(index: int, merge: int) -> nn.Sequential:
            later = blocks(index)  # drawn before the merging: a seed gives the same weights as ever
            return nn.Sequential(merging(size.width * 2 ** (index - 1), merge), *later)

        self.stem = PatchStem(in_channels, size.width, patch)
        self.stage1 = nn.Sequential(*blocks(0))
        self.stage2 = stage(1, merges[0])
        self.stage3 = stage(2, merges[1])
        self.stage4 = stage(3, merges[2])
        width = 8 * size.width
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)
        initialise_truncated_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 56, 56, 96)   tiny at 224 pixels
        x = self.stage1(x)  # (B, 56, 56, 96)
        x = self.stage2(x)  # (B, 28, 28, 192)
        x = self.stage3(x)  # (B, 14, 14, 384)
        x = self.stage4(x)  # (B, 7, 7, 768)
        x = self.norm(x).mean(dim=(1, 2))  # (B, 768)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "stage1", "stage2", "stage3", "stage4", head=("norm", "head")),
            feature_layer="norm",
            feature_axes="hwc",
        )


def swin_nano(**options: Unpack[NativeSwinOptions]) -> SwinTransformer:
    return SwinTransformer(SIZES["nano"], **{"stem": "small", "num_classes": 10, "image_size": 32, **options})


swin_tiny = variant("swin_tiny", SwinTransformer, SIZES["tiny"])
swin_small = variant("swin_small", SwinTransformer, SIZES["small"])
swin_base = variant("swin_base", SwinTransformer, SIZES["base"])
swin_large = variant("swin_large", SwinTransformer, SIZES["large"])


def swin_base_384(**options: Unpack[NativeSwinOptions]) -> SwinTransformer:
    return SwinTransformer(SIZES["base_384"], **{"image_size": 384, **options})


def swin_large_384(**options: Unpack[NativeSwinOptions]) -> SwinTransformer:
    return SwinTransformer(SIZES["large_384"], **{"image_size": 384, **options})
