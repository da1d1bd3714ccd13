"""CvT: Wu, Xiao, Codella, Liu, Dai, Yuan, Zhang, "CvT: Introducing Convolutions to Vision Transformers", ICCV 2021,
arXiv:2103.15808.

The idea: keep the transformer, and let convolutions do the two things in which a ViT is clumsy about images. Tokens are
made by overlapping convolutions, stage by stage, fewer and wider each time; and queries, keys and values come from
depthwise convolutions over the map of tokens. Then the network knows what lies beside what, and needs no positions.

What to look at: ``ConvProjection``, where tokens become a map again for the length of one convolution; its stride of 2 for
keys and values, which leaves a quarter of them; and what is missing: a table of positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import (
    BuildOptions,
    ConvNormAct,
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


@dataclass(frozen=True)
class Size:
    """Widths, blocks and heads of the three stages, and the last block's rate of stochastic depth."""

    widths: tuple[int, int, int]
    depths: tuple[int, int, int]
    heads: tuple[int, int, int]
    drop_path: float


# Table 2 of the paper; the name counts the blocks. Rates of stochastic depth from the authors' cvt-13-224x224.yaml,
# cvt-21-224x224.yaml and cvt-w24-384x384.yaml.
SIZES = {
    "nano": Size((32, 64, 128), (1, 2, 6), (1, 2, 4), 0.0),  # this program's own, for small images on a laptop
    "13": Size((64, 192, 384), (1, 2, 10), (1, 3, 6), 0.1),
    "21": Size((64, 192, 384), (1, 4, 16), (1, 3, 6), 0.1),
    "w24": Size((192, 768, 1024), (2, 2, 20), (3, 12, 16), 0.3),
}


class Switches(BuildOptions, total=False):
    """``stride_kv``: stride of the convolutions that make keys and values; ``drop_path``: rate of stochastic depth."""

    stride_kv: int
    drop_path: float


class TokenEmbedding(nn.Module):
    """Overlapping convolution and normalisation (section 3.1): (B, C, H, W) → (B, width, H/stride, W/stride)."""

    def __init__(self, in_channels: int, width: int, kernel_size: int, stride: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, kernel_size, stride, padding)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)  # (B, width, H/stride, W/stride)
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # (B, width, H/stride, W/stride)


class ConvProjection(nn.Module):
    """Depthwise convolution over the map of tokens, then a linear layer on each (section 3.2).

    (B, T, C) → (B, T', C), where the last H·W of the T tokens are the map and T' has H·W / stride² of them. A class token in
    front has no place in the map and takes the linear layer only.
    """

    def __init__(self, width: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = ConvNormAct(width, width, 3, stride, groups=width, activation=None)
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        first, patches = x[:, : -height * width], x[:, -height * width :]  # (B, 0 or 1, C), (B, H·W, C)
        plane = rearrange(patches, "b (h w) c -> b c h w", h=height)  # (B, C, H, W)
        plane = self.depthwise(plane)  # (B, C, H/stride, W/stride)
        patches = rearrange(plane, "b c h w -> b (h w) c")  # (B, H·W / stride², C)
        return self.linear(torch.cat((first, patches), dim=1))  # (B, T', C)


class Attention(nn.Module):
    """Attention between all tokens, with fewer keys and values than queries: (B, T, C) → (B, T, C)."""

    def __init__(self, width: int, heads: int, stride_kv: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.query = ConvProjection(width)
        self.key = ConvProjection(width, stride_kv)
        self.value = ConvProjection(width, stride_kv)
        self.out = nn.Linear(width, width)
        # The authors' code divides by √C, not by √(C / heads) as other transformers do: the comparisons are softer.
        self.scale = width**-0.5

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        q, k, v = (
            rearrange(project(x, height, width), "b t (n d) -> b n t d", n=self.heads)
            for project in (self.query, self.key, self.value)
        )  # (B, heads, T, d), twice (B, heads, T', d)
        x = F.scaled_dot_product_attention(q, k, v, scale=self.scale)  # (B, heads, T, d)
        return self.out(rearrange(x, "b n t d -> b t (n d)"))  # (B, T, C)


class Block(nn.Module):
    """Attention, then an MLP, each on normalised tokens and added back: (B, T, C) → (B, T, C)."""

    def __init__(self, width: int, heads: int, stride_kv: int = 2, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, stride_kv)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, 4 * width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        x = x + self.drop_path(self.attention(self.norm1(x), height, width))  # (B, T, C)
        return x + self.drop_path(self.mlp(self.norm2(x)))  # (B, T, C)


class ClassToken(nn.Module):
    """Put a learned token in front: (B, N, C) → (B, 1 + N, C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.trunc_normal_(self.token, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.token.expand(x.shape[0], -1, -1), x), dim=1)  # (B, 1 + N, C)


class TransformerStage(nn.Module):
    """Embedding, then blocks on its tokens: (B, C, H, W) → (B, C', H', W'), or (B, 1 + H'·W', C') with a class token."""

    def __init__(self, embedding: TokenEmbedding, blocks: list[Block], class_token: ClassToken | None = None) -> None:
        super().__init__()
        self.embedding = embedding
        self.class_token = class_token
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x)  # (B, C', H', W')
        height, width = x.shape[2:]
        x = rearrange(x, "b c h w -> b (h w) c")  # (B, N, C')   N = H'·W'
        if self.class_token is not None:
            x = self.class_token(x)  # (B, 1 + N, C')
        for block in self.blocks:
            x = block(x, height, width)  # (B, T, C')   T = N or 1 + N
        if self.class_token is not None:
            return x  # (B, 1 + N, C')
        return rearrange(x, "b (h w) c -> b c h w", h=height)  # (B, C', H', W')


class CvT(nn.Module):
    """Three stages, one linear layer on the class token of the last: (B, in_channels, S, S) → (B, num_classes).

    There is no table of positions, so a built network takes images of any size.
    """

    def __init__(
        self,
        size: Size,
        *,
        stem: str = "imagenet",
        stride_kv: int = 2,
        drop_path: float | None = None,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        check_choice("stem", stem, ("imagenet", "small"))
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size, stride_kv=stride_kv)
        # Kernel, stride, padding of the first embedding; the later ones are 3×3 with stride 2.
        first = (7, 4, 2) if stem == "imagenet" else (3, 2, 1)
        check_image_size(image_size, first[0] - 2 * first[2], f"a first convolution of {first[0]}×{first[0]}")
        self.image_size, self.first = image_size, first
        rate = size.drop_path if drop_path is None else drop_path

        def blocks(index: int, last_rate: float = 0.0) -> list[Block]:
            rates = drop_path_rates(last_rate, size.depths[index])
            return [Block(size.widths[index], size.heads[index], stride_kv, rate) for rate in rates]

        one, two, three = size.widths
        self.stage1 = TransformerStage(TokenEmbedding(in_channels, one, *first), blocks(0))
        self.stage2 = TransformerStage(TokenEmbedding(one, two, 3, 2, 1), blocks(1))
        # Stochastic depth grows from 0 within the last stage; the others have none.
        self.stage3 = TransformerStage(TokenEmbedding(two, three, 3, 2, 1), blocks(2, rate), ClassToken(three))
        self.norm = nn.LayerNorm(three)
        self.head = nn.Linear(three, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage1(x)  # (B, 64, 56, 56)   CvT-13 at 224 pixels
        x = self.stage2(x)  # (B, 192, 28, 28)
        x = self.stage3(x)  # (B, 197, 384)
        x = self.norm(x[:, 0])  # (B, 384)   the class token
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        kernel, stride, padding = self.first
        side = halved((self.image_size + 2 * padding - kernel) // stride + 1, 2)
        # Of the last block's output the class token alone is read, so the patches are looked at before its attention.
        last_block = f"stage3.blocks.{len(self.stage3.blocks) - 1}"
        return Declaration(
            stages("stage1", "stage2", "stage3", head=("norm", "head")),
            feature_layer=f"{last_block}.norm1",
            feature_axes="tokens",
            token_grid=(side, side),
            prefix_tokens=1,
            null_gradients=null_gradients(last_block),
        )


def null_gradients(last_block: str) -> tuple[tuple[str, str], ...]:
    """Return the weights that cannot learn, by name ending, with the reason."""
    same = "adds the same to all comparisons of a query, which softmax does not see"
    unread = "makes the queries of the last block's patches, whose answers nobody reads"
    query = f"{last_block}.attention.query.depthwise"
    return (
        ("attention.key.linear.bias", same),
        ("attention.key.depthwise.norm.bias", f"in the stages without a class token {same}"),
        (f"{query}.conv.weight", unread),
        (f"{query}.norm.weight", unread),
        (f"{query}.norm.bias", unread),
    )


def initialise(network: nn.Module) -> None:
    """Linear layers as the ViT line of papers draws them; convolutions keep PyTorch's default, as in the authors' code."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            initialise_truncated_normal(module)


def cvt_nano(**options: Unpack[Switches]) -> CvT:
    return CvT(SIZES["nano"], **{"stem": "small", "num_classes": 10, "image_size": 32, **options})


cvt_13 = variant("cvt_13", CvT, SIZES["13"])
cvt_21 = variant("cvt_21", CvT, SIZES["21"])


def cvt_w24(*, stem: str = "imagenet", **options: Unpack[Switches]) -> CvT:
    return CvT(SIZES["w24"], stem=stem, **{"image_size": 384, **options})
