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
from .layers import variant
from .nat import NANO, NAT, NativeNATOptions, Size, layout_for

# Table 2 of the paper; rates and layer scales from the authors' code, in which Base alone has a layer scale.
SIZES = {
    "nano": nat.SIZES["nano"],  # this program's own, for small images on a laptop
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


def _dinat(name: str, *, stem: str = "imagenet", **options: Unpack[NativeNATOptions]) -> DiNAT:
    """Build the DiNAT of row ``name`` in ``SIZES``; ``stem="small"`` takes the layout for images of 28 to 64 pixels."""
    return DiNAT(SIZES[name], **{**layout_for(stem), **options})


def dinat_nano(**options: Unpack[NativeNATOptions]) -> DiNAT:
    return DiNAT(SIZES["nano"], **{**NANO, **options})


dinat_mini = variant("dinat_mini", _dinat, "mini")
dinat_tiny = variant("dinat_tiny", _dinat, "tiny")
dinat_small = variant("dinat_small", _dinat, "small")
dinat_base = variant("dinat_base", _dinat, "base")
dinat_large = variant("dinat_large", _dinat, "large")
