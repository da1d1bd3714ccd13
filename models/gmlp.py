"""gMLP: Hanxiao Liu, Zihang Dai, David So, Quoc Le, "Pay Attention to MLPs", NeurIPS 2021, arXiv:2105.08050.

The idea: a single MLP per block, and places meet inside it. Its hidden channels are split in two; one half, mixed over the
places by one matrix, is multiplied onto the other: a gate that says how much of each number may pass.

What to look at: ``SpatialGate.forward``, where multiplying makes the network second-order in its input, as attention is
third-order; and the start value of the gate, which is 1 everywhere, so that training begins with a plain MLP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

from torch import Tensor, nn

from .layers import BuildOptions, DropPath, drop_path_rates, variant
from .mixer import PatchNetwork, patch_for
from .vit import initialise


@dataclass(frozen=True)
class Size:
    """One row of table 1: width of a token, blocks, hidden channels before they are split."""

    width: int
    depth: int
    hidden: int


SIZES = {
    "nano": Size(96, 8, 576),  # this program's own, for small images on a laptop
    "tiny": Size(128, 30, 768),
    "small": Size(256, 30, 1536),
    "base": Size(512, 30, 3072),
}


class SpatialGate(nn.Module):
    """Spatial gating unit (section 2.1): (B, N, hidden) → (B, N, hidden / 2).

    With the halves u and v: u · (W v + b), W a matrix over places, near zero at first, and b = 1.
    """

    def __init__(self, tokens: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden // 2)
        self.mix_tokens = nn.Linear(tokens, tokens)

    def forward(self, x: Tensor) -> Tensor:
        u, v = x.chunk(2, dim=-1)  # each (B, N, hidden/2)
        gate = self.mix_tokens(self.norm(v).transpose(1, 2)).transpose(1, 2)  # (B, N, hidden/2)
        return u * gate  # (B, N, hidden/2)


class GmlpBlock(nn.Module):
    """Wider, gate, narrower, around it a shortcut (figure 1): (B, N, width) → (B, N, width)."""

    def __init__(self, tokens: int, size: Size, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size.width, eps=1e-6)
        self.linear1 = nn.Linear(size.width, size.hidden)
        self.gelu = nn.GELU()
        self.gate = SpatialGate(tokens, size.hidden)
        self.linear2 = nn.Linear(size.hidden // 2, size.width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.gelu(self.linear1(self.norm(x)))  # (B, N, hidden)
        gated = self.gate(hidden)  # (B, N, hidden/2)
        return x + self.drop_path(self.linear2(gated))  # (B, N, width)


def _gmlp(name: str, patch_size: int, drop_path: float = 0.0, **options: Unpack[BuildOptions]) -> PatchNetwork:
    size = SIZES[name]
    rates = drop_path_rates(drop_path, size.depth)
    network = PatchNetwork(
        lambda tokens, index: GmlpBlock(tokens, size, rates[index]),
        nn.LayerNorm(size.width, eps=1e-6),
        size.width,
        size.depth,
        patch_size,
        **options,
    )
    initialise(network)
    for module in network.modules():
        if isinstance(module, SpatialGate):  # gates of 1: section 2.1 calls this critical
            nn.init.normal_(module.mix_tokens.weight, std=1e-6)
            nn.init.ones_(module.mix_tokens.bias)
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
    """Build a gMLP of row ``name`` in ``SIZES`` with patches of ``patch`` pixels, 4 where the images are small.

    ``patch_size`` replaces either, ``drop_path`` is the last block's rate of stochastic depth.
    """
    usual = patch_for(stem, patch)
    return _gmlp(name, usual if patch_size is None else patch_size, drop_path, **options)


def gmlp_nano(*, patch_size: int = 4, drop_path: float = 0.0, **options: Unpack[BuildOptions]) -> PatchNetwork:
    return _gmlp("nano", patch_size, drop_path, **{"num_classes": 10, "image_size": 32, **options})


gmlp_ti16 = variant("gmlp_ti16", _published, "tiny", 16)
gmlp_s16 = variant("gmlp_s16", _published, "small", 16)
gmlp_b16 = variant("gmlp_b16", _published, "base", 16)
