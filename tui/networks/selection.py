"""What the panes speak about: one network of the catalogue, with one stem, for one image size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...errors import UsageError
from ...models.catalogue import registry
from ...models.catalogue.notes import count_text, shape_text
from ...models.catalogue.registry import Variant
from ...trainer.common.value_checks import number_of

LARGEST_SIDE = 4096
LARGEST_BATCH = 1 << 20


@dataclass(frozen=True)
class NetworkSelection:
    """A network as it is shown; ``image_size`` and ``channels`` replace those of the stem, ``batch`` is for the memory."""

    network: str
    stem: str = "imagenet"
    image_size: int | None = None
    channels: int | None = None
    batch: int = 64

    @property
    def variant(self) -> Variant:
        """Its entry in the catalogue."""
        return registry.variants()[self.network]

    @property
    def is_changed(self) -> bool:
        """Whether the image differs from that of the stem."""
        return self.image_size is not None or self.channels is not None

    @property
    def image(self) -> tuple[int, int, int]:
        """Channels, height and width of the image."""
        channels, height, width = self.variant.counts(self.stem).input
        return (self.channels or channels, self.image_size or height, self.image_size or width)

    def details(self) -> dict[str, Any]:
        """Return how the helper process is asked for it."""
        details: dict[str, Any] = {"network": self.network, "stem": self.stem}
        if self.image_size is not None:
            details["image_size"] = self.image_size
        if self.channels is not None:
            details["in_channels"] = self.channels
        return details

    def facts(self) -> str:
        """Return one line: stem, image, classes, and the figures where they are known without computing."""
        counts = self.variant.counts(self.stem)
        which = f"{self.stem} stem" if self.variant.small_stem is not None else "one stem"
        head = f"{which}: {shape_text(self.image)} → {counts.classes} classes"
        if self.is_changed:
            return f"{head} (changed with `i`)"
        return f"{head}, {count_text(counts.parameters)} parameters, {count_text(counts.macs)} MACs"


def changed(selection: NetworkSelection, size: str, channels: str, batch: str) -> NetworkSelection:
    """Return the selection with what was typed into the three fields; empty means that of the stem. UsageError names the
    field.
    """
    counts = selection.variant.counts(selection.stem)
    side = _number("image size", size, LARGEST_SIDE) if size.strip() else None
    colours = _number("channels", channels, LARGEST_SIDE) if channels.strip() else None
    many = _number("batch", batch, LARGEST_BATCH) if batch.strip() else 64
    return NetworkSelection(
        selection.network,
        selection.stem,
        None if side == counts.input[1] else side,
        None if colours == counts.input[0] else colours,
        many,
    )


def _number(field: str, text: str, largest: int) -> int:
    value = number_of(text, int)
    if value is None:
        raise UsageError(field, text, "is not a whole number")
    if not 1 <= value <= largest:
        raise UsageError(field, value, f"must be between 1 and {largest}")
    return int(value)
