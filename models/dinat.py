"""DiNAT: Hassani, Shi, "Dilated Neighborhood Attention Transformer", 2022, arXiv:2209.15001.

The idea: every second block of a NAT attends to neighbours that are not adjacent but spread over the map, as far apart as
the map allows. Same parameters, same work, and a pixel sees the whole map two blocks later.

What to look at: ``DiNAT.dilations``, the only method that a NAT does not have; ``neighbours`` in ``nat.py`` shows how a
window with gaps stays inside the map.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

from . import nat
from .nat import NANO, NAT, NATForm, NativeNATForm, Size, layout_for

# Table 2 of the paper; rates and layer scales from the authors' code, in which Base alone has a layer scale.
SIZES = {
    "nano": nat.SIZES["nano"],  # this program's own, for small pictures on a laptop
    "mini": nat.SIZES["mini"],
    "tiny": nat.SIZES["tiny"],
    "small": replace(nat.SIZES["small"], layer_scale=None),
    "base": nat.SIZES["base"],
    "large": Size(192, (3, 4, 18, 5), 2, 0.35),
}


class DiNAT(NAT):
    """NAT with dilated neighbourhoods in every second block: (B, in_channels, S, S) → (B, num_classes)."""

    def dilations(self, depth: int, side: int, kernel_size: int) -> list[int]:
        """Adjacent neighbours and, in every second block, neighbours as far apart as a map of ``side`` pixels allows.

        At 224 pixels and k = 7 the far ones are 8, 4, 2, 1 pixels apart in the four stages, at 384 pixels 13, 6, 3, 1:
        the values of the paper.
        """
        far = side // kernel_size
        return [far if index % 2 else 1 for index in range(depth)]


def _dinat(name: str, stem: str = "imagenet", **form) -> DiNAT:
    return DiNAT(SIZES[name], **{**layout_for(stem), **form})


def dinat_nano(**form: Unpack[NativeNATForm]) -> DiNAT:
    return DiNAT(SIZES["nano"], **{**NANO, **form})


def dinat_mini(**form: Unpack[NATForm]) -> DiNAT:
    return _dinat("mini", **form)


def dinat_tiny(**form: Unpack[NATForm]) -> DiNAT:
    return _dinat("tiny", **form)


def dinat_small(**form: Unpack[NATForm]) -> DiNAT:
    return _dinat("small", **form)


def dinat_base(**form: Unpack[NATForm]) -> DiNAT:
    return _dinat("base", **form)


def dinat_large(**form: Unpack[NATForm]) -> DiNAT:
    return _dinat("large", **form)
