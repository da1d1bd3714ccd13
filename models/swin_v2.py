"""Swin v2: Liu, Hu, Lin, Yao, Xie, Wei, Ning, Cao, Zhang, Dong, Wei, Guo, "Swin Transformer V2: Scaling Up Capacity and
Resolution", CVPR 2022, arXiv:2111.09883.

The idea: three repairs that let a Swin grow to billions of weights and to larger windows than it was trained with. The norm
stands behind each branch instead of before it, attention compares directions (cosine) instead of dot products, and the
position bias comes from a small network that is asked for logarithmic offsets, so that a new window size asks nothing new.

What to look at: ``SwinV2Block.forward`` beside ``SwinBlock.forward``, and ``log_offsets``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Unpack

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .catalogue.declaration import Declaration
from .layers import BuildOptions, DropPath, variant
from .swin import (
    Size,
    SwinOptions,
    SwinTransformer,
    WindowAttention,
    masked_softmax,
    merge_neighbours,
    relative_index,
)
from .vit import Mlp

# Table 2's sizes with the windows that the authors trained at 256 pixels.
SIZES = {
    "nano": Size(32, (2, 2, 4, 2), (2, 4, 8, 16), window=4),  # this program's own, for small images on a laptop
    "tiny": Size(96, (2, 2, 6, 2), (3, 6, 12, 24), window=8, drop_path=0.2),
    "small": Size(96, (2, 2, 18, 2), (3, 6, 12, 24), window=8, drop_path=0.3),
    "base": Size(128, (2, 2, 18, 2), (4, 8, 16, 32), window=8, drop_path=0.5),
}
BIAS_HIDDEN = 512
HIGHEST_SCALE = math.log(100.0)  # the learned temperature is kept from falling below 0.01


class NativeSwinV2Options(BuildOptions, total=False):
    """``window`` in tokens, ``drop_path`` of the last block, ``pretrained_window``: the windows of an earlier training."""

    window: int
    drop_path: float
    pretrained_window: tuple[int, int, int, int]


def log_offsets(window: int, pretrained_window: int = 0, device: torch.device | None = None) -> Tensor:
    """Return the offsets between two places of a window as the position network reads them: (2·window - 1, 2·window - 1,
    2).

    An offset is divided by the farthest one in ``pretrained_window`` (0: in this window), multiplied by 8, and put on a
    logarithmic scale with its sign: log2(1 + |offset|) / log2(8). So the numbers reach from -1.06 to 1.06 for the window
    with which the network was trained, and a little further for a larger one: from 8 to 16, to 1.39.
    """
    line = torch.arange(-(window - 1), window, dtype=torch.float32, device=device)  # (2·window - 1,)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    farthest = max((pretrained_window or window) - 1, 1)
    offsets = torch.stack((rows, columns), dim=-1) * 8 / farthest  # (2·window - 1, 2·window - 1, 2)
    return offsets.sign() * torch.log2(offsets.abs() + 1) / math.log2(8)


class ScaledCosineAttention(WindowAttention):
    """Window attention by directions: cos(q, k) / τ + bias (sections 3.2, 3.3): (B, H, W, C) → (B, H, W, C).

    τ is learned for each head and at least 0.01. Keys have no bias: it would only turn all of them the same way. On a map
    smaller than the window the window shrinks with it, which the position network allows. ``pretrained_window`` is the
    one with which the weights were trained, 0 where it is the same.
    """

    def __init__(self, width: int, heads: int, window: int, shift: int, pretrained_window: int = 0) -> None:
        nn.Module.__init__(self)  # Swin's own table of positions and biased keys are not built
        self.heads, self.window, self.shift = heads, window, shift
        self.pretrained_window = pretrained_window
        self.query_bias = nn.Parameter(torch.zeros(width))
        self.value_bias = nn.Parameter(torch.zeros(width))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.log_scale = nn.Parameter(torch.full((heads, 1, 1), math.log(10.0)))
        self.position = nn.Sequential(nn.Linear(2, BIAS_HIDDEN), nn.ReLU(), nn.Linear(BIAS_HIDDEN, heads, bias=False))
        self.out = nn.Linear(width, width)

    def window_on(self, height: int, width: int) -> int:
        return min(self.window, height, width)

    def attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        biases = torch.cat((self.query_bias, torch.zeros_like(self.query_bias), self.value_bias))  # (3·C,)
        qkv = F.linear(x, self.qkv.weight, biases)  # (B·windows, N, 3·C)
        q, k, v = rearrange(qkv, "b n (three heads d) -> three b heads n d", three=3, heads=self.heads).unbind(0)
        cosines = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)  # (B·windows, heads, N, N)
        scores = cosines * self.log_scale.clamp(max=HIGHEST_SCALE).exp()  # (B·windows, heads, N, N)
        scores = scores + self.bias_between(math.isqrt(x.shape[1]))  # (B·windows, heads, N, N)
        x = masked_softmax(scores, mask) @ v  # (B·windows, heads, N, d)
        return self.out(rearrange(x, "b heads n d -> b n (heads d)"))  # (B·windows, N, C)

    def bias_between(self, window: int) -> Tensor:
        """Return what the position network adds between two places of a window, 0 to 16: (heads, N, N), N = window²."""
        weight = self.out.weight
        offsets = log_offsets(window, self.pretrained_window, weight.device)  # (2·w - 1, 2·w - 1, 2)
        table = self.position(offsets.to(weight.dtype))  # (2·w - 1, 2·w - 1, heads)
        bias = table.flatten(0, 1)[relative_index(window).to(weight.device)]  # (N, N, heads)
        return 16 * bias.permute(2, 0, 1).sigmoid()  # (heads, N, N)


class SwinV2Block(nn.Module):
    """Attention and MLP, each normalised *after* the branch and then added (section 3.2): (B, H, W, C) → the same.

    What is added has unit variance whatever the weights do, so that activations do not grow from block to block.
    """

    def __init__(self, width: int, heads: int, window: int, shift: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.attention = ScaledCosineAttention(width, heads, window, shift)
        self.norm1 = nn.LayerNorm(width)
        self.mlp = Mlp(width, 4 * width)
        self.norm2 = nn.LayerNorm(width)
        self.drop_path = DropPath(drop_path)
        for norm in (self.norm1, self.norm2):
            nn.init.zeros_(norm.weight)  # as the authors' code: a block begins as the identity

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.norm1(self.attention(x)))  # (B, H, W, C)
        return x + self.drop_path(self.norm2(self.mlp(x)))  # (B, H, W, C)


class PatchMergingV2(nn.Module):
    """Swin's merging with the norm behind the linear layer: (B, H, W, C) → (B, H/2, W/2, 2·C)."""

    def __init__(self, width: int, side: int = 2) -> None:
        super().__init__()
        self.side = side
        self.reduce = nn.Linear(side**2 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(2 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = merge_neighbours(x, self.side)  # (B, H/2, W/2, 4·C)
        return self.norm(self.reduce(x))  # (B, H/2, W/2, 2·C)


class SwinTransformerV2(SwinTransformer):
    """The pyramid of Swin with the blocks of v2: (B, in_channels, S, S) → (B, num_classes).

    ``pretrained_window``: for weights that were trained with other windows, the window of each stage then. The authors
    have (12, 12, 12, 6) where they go from 192 to 256 or 384 pixels: the last map of 192 pixels was 6×6.
    """

    def __init__(
        self, size: Size, *, pretrained_window: tuple[int, int, int, int] = (0, 0, 0, 0), **options: Unpack[SwinOptions]
    ) -> None:
        if len(pretrained_window) != 4 or min(pretrained_window) < 0:
            raise ValueError(
                f"pretrained_window: {pretrained_window} is not four numbers, one a stage, 0 for the window"
            )
        super().__init__(size, block=SwinV2Block, merging=PatchMergingV2, **{"image_size": 256, **options})
        stages = (self.stage1, self.stage2, self.stage3, self.stage4)
        for stage, trained in zip(stages, pretrained_window, strict=True):
            for module in stage.modules():
                if isinstance(module, ScaledCosineAttention):
                    module.pretrained_window = trained

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools: Swin's words, and the weights that the first step cannot reach."""
        reason = "the gain behind the branch starts at zero, so that a block begins as the identity"
        branch = ("query_bias", "value_bias", "log_scale", "qkv.weight", "position.0.weight", "position.0.bias")
        branch += ("position.2.weight", "out.weight", "out.bias", "mlp.linear1.weight", "mlp.linear1.bias")
        branch += ("mlp.linear2.weight", "mlp.linear2.bias")
        return replace(super().declaration, null_gradients=tuple((name, reason) for name in branch))


def swin_v2_nano(**options: Unpack[NativeSwinV2Options]) -> SwinTransformerV2:
    return SwinTransformerV2(SIZES["nano"], **{"stem": "small", "num_classes": 10, "image_size": 32, **options})


def _with_window_16(size: Size, **options: Unpack[NativeSwinV2Options]) -> SwinTransformerV2:
    """Build the network with windows of 16×16 tokens."""
    return SwinTransformerV2(size, **{"window": 16, **options})


swin_v2_tiny = variant("swin_v2_tiny", SwinTransformerV2, SIZES["tiny"])
swin_v2_small = variant("swin_v2_small", SwinTransformerV2, SIZES["small"])
swin_v2_base = variant("swin_v2_base", SwinTransformerV2, SIZES["base"])
swin_v2_tiny_w16 = variant("swin_v2_tiny_w16", _with_window_16, SIZES["tiny"])
swin_v2_small_w16 = variant("swin_v2_small_w16", _with_window_16, SIZES["small"])
swin_v2_base_w16 = variant("swin_v2_base_w16", _with_window_16, SIZES["base"])
