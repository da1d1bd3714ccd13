"""ResMLP: Touvron, Bojanowski, Caron, Cord, El-Nouby, Grave, Izacard, Joulin, Synnaeve, Verbeek, Jégou, "ResMLP:
Feedforward networks for image classification with data-efficient training", arXiv:2105.03404.

The idea: make the Mixer plainer still. One matrix mixes the places, without hidden layer and without activation; nothing is
normalised; what makes it trainable is a small learned factor on each residual branch.

What to look at: ``Affine``, which stands where others have a LayerNorm and computes no statistics; ``scale1`` and
``scale2``, which start close to zero, so that a deep network begins as almost nothing but its shortcuts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Unpack

import torch
from torch import Tensor, nn

from .catalogue.declaration import Declaration
from .layers import BuildOptions, DropPath, variant
from .mixer import PatchNetwork, patch_for
from .vit import Mlp


@dataclass(frozen=True)
class Size:
    """Width of a token, blocks, and the value at which the factors on the branches start: the deeper, the smaller."""

    width: int
    depth: int
    scale: float


SIZES = {
    "nano": Size(128, 6, 0.1),  # this program's own, for small images on a laptop
    "s12": Size(384, 12, 0.1),
    "s24": Size(384, 24, 1e-5),
    "s36": Size(384, 36, 1e-6),
    "b24": Size(768, 24, 1e-6),
}


class Affine(nn.Module):
    """A factor and an offset for each channel (equation 1): (B, N, C) → (B, N, C).

    No mean and no variance are computed, so that in evaluation it can be merged into a linear layer over channels behind it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.beta, self.alpha, x)  # beta + alpha · x: (B, N, C)


class ResMlpBlock(nn.Module):
    """One matrix over the places, then an MLP over the channels (equations 2, 3): (B, N, C) → (B, N, C)."""

    def __init__(self, tokens: int, size: Size, drop_path: float = 0.0) -> None:
        super().__init__()
        self.affine1 = Affine(size.width)
        self.mix_tokens = nn.Linear(tokens, tokens)
        self.scale1 = nn.Parameter(torch.full((size.width,), size.scale))
        self.affine2 = Affine(size.width)
        self.mix_channels = Mlp(size.width, 4 * size.width)
        self.scale2 = nn.Parameter(torch.full((size.width,), size.scale))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        by_channel = self.affine1(x).transpose(1, 2)  # (B, C, N)
        x = x + self.drop_path(self.scale1 * self.mix_tokens(by_channel).transpose(1, 2))  # (B, N, C)
        return x + self.drop_path(self.scale2 * self.mix_channels(self.affine2(x)))  # (B, N, C)


class ResMLP(PatchNetwork):
    """Patches, blocks, a last factor and offset, average, one linear layer: (B, in_channels, S, S) → (B, num_classes)."""

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        # Nothing is normalised and the branches start small, so learning by heart takes a larger step.
        return replace(super().declaration, overfit_lr=2e-3)


def _resmlp(name: str, patch_size: int, drop_path: float = 0.0, **options: Unpack[BuildOptions]) -> ResMLP:
    size = SIZES[name]
    if not 0.0 <= drop_path < 1.0:
        raise ValueError(f"drop_path: {drop_path} is not in [0, 1); the smallest that works is 0")
    network = ResMLP(
        lambda tokens, _: ResMlpBlock(tokens, size, drop_path),  # the same rate in all blocks, as in the authors' code
        Affine(size.width),
        size.width,
        size.depth,
        patch_size,
        **options,
    )
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    return network


def _published(
    name: str,
    patch: int,
    *,
    stem: str = "imagenet",
    patch_size: int | None = None,
    drop_path: float = 0.0,
    **options: Unpack[BuildOptions],
) -> ResMLP:
    """Build a ResMLP of row ``name`` in ``SIZES`` with patches of ``patch`` pixels, 4 where the images are small.

    ``patch_size`` replaces either, ``drop_path`` is the rate of stochastic depth in all blocks.
    """
    usual = patch_for(stem, patch)
    return _resmlp(name, usual if patch_size is None else patch_size, drop_path, **options)


def resmlp_nano(*, patch_size: int = 4, drop_path: float = 0.0, **options: Unpack[BuildOptions]) -> ResMLP:
    return _resmlp("nano", patch_size, drop_path, **{"num_classes": 10, "image_size": 32, **options})


resmlp_s12 = variant("resmlp_s12", _published, "s12", 16)
resmlp_s24 = variant("resmlp_s24", _published, "s24", 16)
resmlp_s36 = variant("resmlp_s36", _published, "s36", 16)
resmlp_b24 = variant("resmlp_b24", _published, "b24", 8)
