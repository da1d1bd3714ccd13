"""MLP-Mixer: Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision", NeurIPS 2021, arXiv:2105.01601.

The idea: keep the ViT's patches, throw attention out. The tokens form a table of places × channels; one MLP mixes along
the places (the same for each channel), the next along the channels (the same for each place), in turn.

What to look at: the two ``transpose`` in ``MixerBlock.forward``. They are the whole difference between mixing places and
mixing channels. There are no positions to add: a linear layer over places knows which place is which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Unpack

from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import BuildOptions, DropPath, check_choice, check_positive, drop_path_rates, stack, variant
from .vit import SMALL_PATCH, Mlp, PatchEmbedding, initialise


@dataclass(frozen=True)
class Size:
    """One column of table 1: width C of a token, blocks, hidden units of the MLPs over places and over channels."""

    width: int
    depth: int
    token_hidden: int
    channel_hidden: int


# Table 1 of the paper: D_S = C / 2 and D_C = 4·C throughout.
SIZES = {
    "nano": Size(128, 6, 64, 512),  # this program's own, for small images on a laptop
    "small": Size(512, 8, 256, 2048),
    "base": Size(768, 12, 384, 3072),
    "large": Size(1024, 24, 512, 4096),
    "huge": Size(1280, 32, 640, 5120),
}


class MixerBlock(nn.Module):
    """An MLP across places, then an MLP across channels (equation 1): (B, N, C) → (B, N, C)."""

    def __init__(self, tokens: int, size: Size, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(size.width, eps=1e-6)
        self.mix_tokens = Mlp(tokens, size.token_hidden)
        self.norm2 = nn.LayerNorm(size.width, eps=1e-6)
        self.mix_channels = Mlp(size.width, size.channel_hidden)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        by_channel = self.norm1(x).transpose(1, 2)  # (B, C, N)   one row per channel
        x = x + self.drop_path(self.mix_tokens(by_channel).transpose(1, 2))  # (B, N, C)
        return x + self.drop_path(self.mix_channels(self.norm2(x)))  # (B, N, C)


class TokenAverage(nn.Module):
    """Mean over the tokens, global average pooling for sequences: (B, N, C) → (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)  # (B, C)


class PatchNetwork(nn.Module):
    """The frame that the MLP networks share: (B, in_channels, S, S) → (B, num_classes).

    Patches, ``depth`` blocks made by ``block(tokens, index)``, the normalisation ``norm``, the mean over all tokens and
    one linear layer.
    """

    def __init__(
        self,
        block: Callable[[int, int], nn.Module],
        norm: nn.Module,
        width: int,
        depth: int,
        patch_size: int,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes)
        self.stem = PatchEmbedding(in_channels, width, image_size, patch_size)
        self.blocks = stack(lambda index: block(self.stem.grid**2, index), depth)
        self.norm = norm
        self.pool = TokenAverage()
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)  # (B, 196, C)   224 pixels in patches of 16
        x = self.blocks(x)  # (B, 196, C)
        x = self.norm(x)  # (B, 196, C)
        x = self.pool(x)  # (B, C)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("stem", "blocks", head=("norm", "pool", "head")),
            feature_layer="norm",
            feature_axes="tokens",
            token_grid=(self.stem.grid, self.stem.grid),
        )


def patch_for(stem: str, patch: int) -> int:
    """Return the variant's patch for the paper's layout, 4 pixels for small images."""
    check_choice("stem", stem, ("imagenet", "small"))
    return patch if stem == "imagenet" else SMALL_PATCH


def _mixer(name: str, patch_size: int, drop_path: float = 0.0, **options: Unpack[BuildOptions]) -> PatchNetwork:
    size = SIZES[name]
    rates = drop_path_rates(drop_path, size.depth)
    network = PatchNetwork(
        lambda tokens, index: MixerBlock(tokens, size, rates[index]),
        nn.LayerNorm(size.width, eps=1e-6),
        size.width,
        size.depth,
        patch_size,
        **options,
    )
    initialise(network)
    return network


def _published(
    name: str,
    patch: int,
    *,
    stem: str = "imagenet",
    patch_size: int | None = None,
    drop_path: float = 0.0,
    **options: Unpack[BuildOptions],
) -> PatchNetwork:
    """Build a Mixer of row ``name`` in ``SIZES`` with patches of ``patch`` pixels, 4 where the images are small.

    ``patch_size`` replaces either, ``drop_path`` is the last block's rate of stochastic depth.
    """
    usual = patch_for(stem, patch)
    return _mixer(name, usual if patch_size is None else patch_size, drop_path, **options)


def mixer_nano(*, patch_size: int = 4, drop_path: float = 0.0, **options: Unpack[BuildOptions]) -> PatchNetwork:
    return _mixer("nano", patch_size, drop_path, **{"num_classes": 10, "image_size": 32, **options})


mixer_s32 = variant("mixer_s32", _published, "small", 32)
mixer_s16 = variant("mixer_s16", _published, "small", 16)
mixer_b32 = variant("mixer_b32", _published, "base", 32)
mixer_b16 = variant("mixer_b16", _published, "base", 16)
mixer_l32 = variant("mixer_l32", _published, "large", 32)
mixer_l16 = variant("mixer_l16", _published, "large", 16)
mixer_h14 = variant("mixer_h14", _published, "huge", 14)
