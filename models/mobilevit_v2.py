"""MobileViT v2: Mehta, Rastegari, "Separable Self-attention for Mobile Vision Transformers", TMLR 2023, arXiv:2206.02680.

The idea: tokens need not compare themselves with each other in pairs. Each token gets one score; the softmax of the scores
mixes all tokens into a single *context vector*; and every token multiplies what it has by that vector, channel by channel.
The cost is linear in the number of tokens, and nothing but element-wise work is left of attention.

What to look at: the four lines of ``SeparableSelfAttention.forward``; the multiplications there are element-wise, so the
counts of MACs do not include them. Then ``unfold``: only pixels at the same place of their 2×2 patch meet.
"""

from __future__ import annotations

from typing import Unpack

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    BuildOptions,
    ConvNormAct,
    GlobalAveragePool,
    check_choice,
    check_positive,
    initialise_he,
    make_divisible,
    variant,
)
from .mobilenet_v2 import InvertedResidual

# The architecture at width 1: channels of the stem; then for each stage channels, stride, inverted residuals, and the layers
# of the MobileViT block behind them (0: there is none).
STEM = 32
STAGES = (
    (64, 1, 1, 0),
    (128, 2, 2, 0),
    (256, 2, 1, 2),
    (384, 2, 1, 4),
    (512, 2, 1, 3),
)
EXPANSION = 2
PATCH = 2  # pixels a side of the patches that are unfolded


# A bias on a linear path to a 1×1 convolution with batch normalisation, which subtracts it again.
SUBTRACTED = "is subtracted again by the batch normalisation behind the 1×1 convolution that follows"
NULL_GRADIENTS = tuple(
    (f"{name}.bias", SUBTRACTED)
    for name in (
        *("stage1.0.project.norm", "stage2.0.project.norm", "stage2.1.project.norm"),
        *("stage3.1.norm", "stage3.1.project.norm", "stage4.1.norm", "stage4.1.project.norm", "stage5.1.norm"),
    )
)


class SeparableSelfAttention(nn.Module):
    """Attention through one context vector (section 3.2): (B, d, P, N) → (B, d, P, N), linear in the N tokens.

    For each of the P pixels of a patch: y = (Σ softmax(x·W_I) · (x·W_K)) * relu(x·W_V), then an output layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.project = nn.Conv2d(width, 1 + 2 * width, 1)  # score, keys and values of each token, a linear layer
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        score, keys, values = self.project(x).split([1, self.width, self.width], dim=1)  # (B, 1 | d | d, P, N)
        shares = torch.softmax(score, dim=-1)  # (B, 1, P, N)   of all tokens, summing to 1
        context = (keys * shares).sum(dim=-1, keepdim=True)  # (B, d, P, 1)
        return self.out(F.relu(values) * context)  # (B, d, P, N)


class TransformerLayer(nn.Module):
    """Separable attention, then two 1×1 convolutions, each normalised first and added back: (B, d, P, N) → the same.

    The normalisation takes channels, pixels and tokens of an image together (group normalisation with one group).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(1, width)
        self.attention = SeparableSelfAttention(width)
        self.norm2 = nn.GroupNorm(1, width)
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.act = nn.SiLU()
        self.narrow = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))  # (B, d, P, N)
        return x + self.narrow(self.act(self.widen(self.norm2(x))))  # (B, d, P, N)


def unfold(x: Tensor) -> Tensor:
    """Patches of 2×2 as two axes, place in the patch and patch: (B, C, H, W) → (B, C, 4, H·W / 4)."""
    return rearrange(x, "b c (h i) (w j) -> b c (i j) (h w)", i=PATCH, j=PATCH)  # (B, C, 4, N)


def fold(x: Tensor, height: int) -> Tensor:
    """Back to a map of ``height`` rows, the inverse of ``unfold``: (B, C, 4, N) → (B, C, height, W)."""
    return rearrange(x, "b c (i j) (h w) -> b c (h i) (w j)", i=PATCH, h=height // PATCH)  # (B, C, H, W)


def evened(side: int) -> int:
    """Return the side rounded up to whole patches."""
    return -(-side // PATCH) * PATCH


class MobileViTBlock(nn.Module):
    """Local by a depthwise 3×3, global by transformer layers on half the channels: (B, C, H, W) → (B, C, H, W).

    A map whose sides are odd is stretched by a pixel first, for patches of 2×2 must fit; it stays stretched.
    """

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        width = make_divisible(channels / 2)
        self.local = ConvNormAct(channels, channels, 3, groups=channels, activation=nn.SiLU)
        self.narrow = nn.Conv2d(channels, width, 1, bias=False)
        self.layers = nn.Sequential(*(TransformerLayer(width) for _ in range(depth)))
        self.norm = nn.GroupNorm(1, width)
        self.project = ConvNormAct(width, channels, 1, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        height, width = evened(x.shape[2]), evened(x.shape[3])
        if (height, width) != tuple(x.shape[2:]):
            x = F.interpolate(x, size=(height, width), mode="bilinear", align_corners=True)  # (B, C, H, W), even
        x = self.narrow(self.local(x))  # (B, C/2, H, W)
        x = self.norm(self.layers(unfold(x)))  # (B, C/2, 4, N)
        return self.project(fold(x, height))  # (B, C, H, W)


class MobileViTV2(nn.Module):
    """Stem, two stages of inverted residuals, three with MobileViT blocks, average, linear: (B, C, S, S) → (B, classes).

    ``width`` multiplies all channels.
    """

    def __init__(
        self,
        width: float = 1.0,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 256,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_positive(width=width, num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_choice("stem", stem, ("imagenet", "small"))
        small = stem == "small"

        def scaled(channels: int) -> int:
            return int(channels * width)

        def stage(channels: int, row: tuple[int, int, int, int], full_size: bool = False) -> nn.Sequential:
            out, stride, depth, layers = scaled(row[0]), *row[1:]
            first = InvertedResidual(scaled(channels), out, 1 if full_size else stride, EXPANSION, activation=nn.SiLU)
            blocks: list[nn.Module] = [first]
            for _ in range(depth - 1):
                blocks.append(InvertedResidual(out, out, 1, EXPANSION, activation=nn.SiLU))
            if layers:
                blocks.append(MobileViTBlock(out, layers))
            return nn.Sequential(*blocks)

        self.stem = ConvNormAct(in_channels, scaled(STEM), 3, stride=1 if small else 2, activation=nn.SiLU)
        self.stage1 = stage(STEM, STAGES[0])
        # A small image keeps its size in the stem and through stage 2, and so arrives with 4×4 pixels.
        self.stage2 = stage(64, STAGES[1], full_size=small)
        self.stage3 = stage(128, STAGES[2])
        self.stage4 = stage(256, STAGES[3])
        self.stage5 = stage(384, STAGES[4])
        self.pool = GlobalAveragePool()
        self.head = nn.Linear(scaled(512), num_classes)
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 32, 128, 128)   width 1 at 256 pixels
        x = self.stage1(x)  # (B, 64, 128, 128)
        x = self.stage2(x)  # (B, 128, 64, 64)
        x = self.stage3(x)  # (B, 256, 32, 32)
        x = self.stage4(x)  # (B, 384, 16, 16)
        x = self.stage5(x)  # (B, 512, 8, 8)
        x = self.pool(x)  # (B, 512)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "stage1", "stage2", "stage3", "stage4", "stage5", head=("pool", "head")),
            feature_layer="stage5",
            null_gradients=NULL_GRADIENTS,
        )


def mobilevit_v2_nano(**options: Unpack[BuildOptions]) -> MobileViTV2:
    return MobileViTV2(0.25, **{"stem": "small", "num_classes": 10, "image_size": 32, **options})


mobilevit_v2_050 = variant("mobilevit_v2_050", MobileViTV2, 0.5)
mobilevit_v2_075 = variant("mobilevit_v2_075", MobileViTV2, 0.75)
mobilevit_v2_100 = variant("mobilevit_v2_100", MobileViTV2, 1.0)
mobilevit_v2_125 = variant("mobilevit_v2_125", MobileViTV2, 1.25)
mobilevit_v2_150 = variant("mobilevit_v2_150", MobileViTV2, 1.5)
mobilevit_v2_175 = variant("mobilevit_v2_175", MobileViTV2, 1.75)
mobilevit_v2_200 = variant("mobilevit_v2_200", MobileViTV2, 2.0)
