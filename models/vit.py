"""ViT: Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", ICLR 2021,
arXiv:2010.11929; the size table is that of Zhai, Kolesnikov, Houlsby, Beyer, "Scaling Vision Transformers", CVPR 2022,
arXiv:2106.04560.

The idea: cut the image into patches, call each a word, and read the sentence with an ordinary transformer encoder.
Nothing but the cutting knows that the input is an image.

What to look at: ``PatchEmbedding``, one strided convolution and the only place where neighbouring pixels meet by design;
``SelfAttention``, where every token looks at every other; the two residual lines of ``EncoderBlock``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Unpack

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import BuildOptions, check_choice, check_positive, check_whole_patches, stack, variant


@dataclass(frozen=True)
class Size:
    """One row of the size table: width of a token, number of blocks, hidden units of the MLP, attention heads."""

    width: int
    depth: int
    hidden: int
    heads: int


# arXiv:2106.04560, table 2 (its small s is "mini" here); base, large and huge are table 1 of arXiv:2010.11929.
SIZES = {
    "nano": Size(128, 6, 256, 4),  # this program's own, for small images on a laptop
    "mini": Size(256, 6, 1024, 8),
    "tiny": Size(192, 12, 768, 3),
    "small": Size(384, 12, 1536, 6),
    "base": Size(768, 12, 3072, 12),
    "large": Size(1024, 24, 4096, 16),
    "huge": Size(1280, 32, 5120, 16),
    "giant": Size(1408, 40, 6144, 16),
    "gigantic": Size(1664, 48, 8192, 16),
}
SMALL_PATCH = 4  # pixels a side for images of 28 to 64 pixels


class NativeViTOptions(BuildOptions, total=False):
    """``patch_size`` in pixels replaces that of the variant; ``dropout`` is the rate after each dense layer."""

    patch_size: int
    dropout: float


class PatchEmbedding(nn.Module):
    """Each patch becomes a token: (B, C, S, S) → (B, N, width) with N = (S // patch)² (arXiv:2010.11929, equation 1).

    A convolution whose stride equals its kernel is one linear layer applied to every flattened patch. The side of the
    image must be a multiple of the patch, else pixels at the right and at the bottom would not be read.
    """

    def __init__(self, in_channels: int, width: int, image_size: int, patch_size: int) -> None:
        super().__init__()
        check_positive(in_channels=in_channels, image_size=image_size, patch_size=patch_size)
        check_whole_patches(image_size, patch_size)
        self.image_size = image_size
        self.patch_size = patch_size
        self.grid = image_size // patch_size
        self.project = nn.Conv2d(in_channels, width, patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[2:]) != (self.image_size, self.image_size):
            raise ValueError(
                f"image: {x.shape[2]}×{x.shape[3]} pixels, but the network was built for image_size {self.image_size}"
            )
        x = self.project(x)  # (B, width, grid, grid)
        return rearrange(x, "b width row column -> b (row column) width")  # (B, N, width)

    def extra_repr(self) -> str:
        unread = self.image_size - self.grid * self.patch_size
        return f"{self.grid}×{self.grid} patches" + (f", {unread} pixels a side unread" if unread else "")


class ClassTokenAndPositions(nn.Module):
    """Put a learned token in front and add a learned vector to each place: (B, N, width) → (B, 1 + N, width).

    Without the positions the encoder would see a bag of patches (section 3.1; appendix D.4 compares other kinds).
    """

    def __init__(self, tokens: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, 1 + tokens, width))
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.positions, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        token = self.class_token.expand(x.shape[0], -1, -1)  # (B, 1, width)
        x = torch.cat((token, x), dim=1)  # (B, 1 + N, width)
        return self.dropout(x + self.positions)  # (B, 1 + N, width)


class SelfAttention(nn.Module):
    """Multi-head self-attention (appendix A): (B, N, width) → (B, N, width).

    In each head of d = width / heads channels, a token's query is compared with all keys; the softmax of the
    comparisons says how much of each token's value it takes.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.queries_keys_values(x)  # each (B, heads, N, d)
        x = F.scaled_dot_product_attention(q, k, v)  # softmax(q·kᵀ / √d)·v: (B, heads, N, d)
        x = rearrange(x, "b heads n d -> b n (heads d)")  # (B, N, width)
        return self.dropout(self.out(x))  # (B, N, width)

    def queries_keys_values(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return three projections of each token, split into heads: (B, N, width) → 3 × (B, heads, N, d)."""
        return rearrange(self.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=self.heads).unbind(0)

    def weights(self, x: Tensor) -> Tensor:
        """Return who looks at whom: (B, N, width) → (B, heads, N, N); each row sums to 1. For looking, not for speed."""
        q, k, _ = self.queries_keys_values(x)  # each (B, heads, N, d)
        return torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), dim=-1)  # (B, heads, N, N)


class Mlp(nn.Sequential):
    """Two linear layers with a GELU between them, the same for each token: (…, width) → (…, width)."""

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, hidden)
        self.gelu = nn.GELU()
        self.dropout1 = nn.Dropout(dropout)
        self.linear2 = nn.Linear(hidden, width)
        self.dropout2 = nn.Dropout(dropout)


class EncoderBlock(nn.Module):
    """Attention, then an MLP, each on normalised tokens and added back (equations 2, 3): (B, N, width) → the same."""

    def __init__(self, size: Size, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(size.width, eps=1e-6)
        self.attention = SelfAttention(size.width, size.heads, dropout)
        self.norm2 = nn.LayerNorm(size.width, eps=1e-6)
        self.mlp = Mlp(size.width, size.hidden, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))  # (B, N, width)
        return x + self.mlp(self.norm2(x))  # (B, N, width)


class VisionTransformer(nn.Module):
    """Patches, positions, encoder, one linear layer on the class token: (B, in_channels, S, S) → (B, num_classes)."""

    def __init__(
        self,
        size: Size,
        patch_size: int,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes)
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout: {dropout} is not in [0, 1); the smallest that works is 0")
        self.stem = PatchEmbedding(in_channels, size.width, image_size, patch_size)
        self.tokens = ClassTokenAndPositions(self.stem.grid**2, size.width, dropout)
        self.encoder = stack(lambda _: EncoderBlock(size, dropout), size.depth)
        self.norm = nn.LayerNorm(size.width, eps=1e-6)
        self.head = nn.Linear(size.width, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 196, width)   224 pixels in patches of 16
        x = self.tokens(x)  # (B, 197, width)
        x = self.encoder(x)  # (B, 197, width)
        x = self.norm(x)[:, 0]  # (B, width)   the class token
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        # The head reads the class token alone, so the patches that leave the last block have no gradient any more;
        # those that enter its attention have.
        return Declaration(
            stages("stem", "tokens", "encoder", head=("norm", "head")),
            feature_layer=f"encoder.{len(self.encoder) - 1}.norm1",
            feature_axes="tokens",
            token_grid=(self.stem.grid, self.stem.grid),
            prefix_tokens=1,
        )


def initialise(network: nn.Module) -> None:
    """Draw weights as the paper's published code does: Glorot's uniform rule; 1 / fan_in for the patches' convolution.

    The last layer gets small random weights instead of that code's zeros, so that every layer learns from the first step.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            if name == "head":
                nn.init.trunc_normal_(module.weight, std=0.02)
            elif name.endswith("qkv"):  # three square matrices in one: each has its own fan
                bound = math.sqrt(3.0 / module.in_features)
                nn.init.uniform_(module.weight, -bound, bound)
            else:
                nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            nn.init.trunc_normal_(module.weight, std=fan_in**-0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _vit(
    name: str,
    patch: int,
    *,
    stem: str = "imagenet",
    patch_size: int | None = None,
    dropout: float = 0.0,
    **options: Unpack[BuildOptions],
) -> VisionTransformer:
    """Build a ViT of row ``name`` in ``SIZES`` with patches of ``patch`` pixels, 4 where the images are small.

    ``patch_size`` replaces either, ``dropout`` is the rate after each dense layer.
    """
    check_choice("stem", stem, ("imagenet", "small"))
    if patch_size is None:
        patch_size = patch if stem == "imagenet" else SMALL_PATCH
    return VisionTransformer(SIZES[name], patch_size, dropout=dropout, **options)


def vit_nano(**options: Unpack[NativeViTOptions]) -> VisionTransformer:
    return VisionTransformer(SIZES["nano"], **{"patch_size": 4, "num_classes": 10, "image_size": 32, **options})


vit_mini_28 = variant("vit_mini_28", _vit, "mini", 28)
vit_mini_16 = variant("vit_mini_16", _vit, "mini", 16)
vit_small_32 = variant("vit_small_32", _vit, "small", 32)
vit_tiny_16 = variant("vit_tiny_16", _vit, "tiny", 16)
vit_base_32 = variant("vit_base_32", _vit, "base", 32)
vit_small_16 = variant("vit_small_16", _vit, "small", 16)
vit_base_28 = variant("vit_base_28", _vit, "base", 28)
vit_base_16 = variant("vit_base_16", _vit, "base", 16)
vit_large_32 = variant("vit_large_32", _vit, "large", 32)
vit_large_16 = variant("vit_large_16", _vit, "large", 16)
vit_huge_14 = variant("vit_huge_14", _vit, "huge", 14)
vit_giant_14 = variant("vit_giant_14", _vit, "giant", 14)
vit_gigantic_14 = variant("vit_gigantic_14", _vit, "gigantic", 14)
