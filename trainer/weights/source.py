"""The weights that a run is to begin with, as they were found."""

from __future__ import annotations

from dataclasses import dataclass

from .torchvision_weights import Published
from .weight_files import WeightFile


@dataclass(frozen=True)
class Source:
    """The weights to begin with: torchvision's or a file's, and the stem and image size that suit them.

    ``stem``, ``size`` (pixels a side) and ``channels`` are None where nothing is known of them. ``keep_head``: whether the
    last layer is wanted, None where nobody says.
    """

    kind: str
    name: str
    published: Published | None = None
    file: WeightFile | None = None
    digest: str = ""
    stem: str | None = None
    size: int | None = None
    channels: int | None = None
    keep_head: bool | None = None

    @property
    def mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """How the weights expect images to be normalised; empty where that is not known."""
        known = self.published or self.file
        return (known.mean, known.std) if known is not None else ((), ())
