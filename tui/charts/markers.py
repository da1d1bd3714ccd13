"""Markers, tones and the rows of characters that charts are made of: what the drawing and the widgets share. No numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...models.catalogue.share_text import share_text
from . import ticks

GUTTER = 7
SMALLEST = (20, 5)
MARKERS = ("●○", "◆◇", "▲△", "■□", "▼▽", "◉◎", "◈◊", "▶▷")
"""Of each slot: the marker of its training curve and that of its validation curve."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIGNS = {"best": "★*", "diverged": "✗!", "test": "✚+", "more": "›>"}
"""Signs of places and of what is left out, and what they are in ASCII."""
COLOURS = 7
BLANK, AXIS, TITLE, BADGE, MUTED = range(5)
FIRST_LINE_TONE = 16


def line_tone(slot: int, role: str, several: bool = True) -> int:
    """Return the tone of a curve: its colour, and whether it is one that stays behind the others.

    A run that is alone has a colour for each of its curves.
    """
    hue = slot if several or role in ("train", "raw") else slot + 1
    return FIRST_LINE_TONE + (hue % COLOURS) * 2 + (role == "raw")


def marker(slot: int, role: str, ascii: bool = False) -> str:
    """Return the sign of a curve."""
    if ascii:
        letter = LETTERS[slot % len(LETTERS)]
        return {"train": letter, "raw": ".", "test": sign("test", ascii)}.get(role, letter.lower())
    if role == "test":
        return sign("test")
    return MARKERS[slot % len(MARKERS)][role != "train"]


def sign(name: str, ascii: bool = False) -> str:
    """Return the sign of a place."""
    return SIGNS[name][ascii]


def run_sign(slot: int, role: str, ascii: bool = False) -> str:
    """Return the sign of a curve or a place where there are several runs: that of a place has the run's marker behind."""
    return sign(role, ascii) + marker(slot, "train", ascii) if role in SIGNS else marker(slot, role, ascii)


def fitted(entries: Sequence[tuple[str, int]], width: int, ascii: bool = False) -> list[tuple[str, int]]:
    """Return the entries that fit into ``width`` as a whole; where some do not, a sign at the end says so."""
    if sum(len(text) for text, _ in entries) <= width:
        return list(entries)
    more = f" {sign('more', ascii)}"
    kept, room = [], width - len(more)
    for text, tone in entries:
        room -= len(text)
        if room < 0:
            break
        kept.append((text, tone))
    return [*kept, (more, MUTED)]


@dataclass(frozen=True)
class ChartRow:
    """A line of the image: a character and a tone for each cell."""

    text: str
    tones: bytes


@dataclass(frozen=True)
class Chart:
    """A drawn chart. ``left`` cells stand before the curves; ``x`` and ``y`` are the limits of the axes."""

    name: str
    rows: tuple[ChartRow, ...]
    left: int = 0
    x: tuple[float, float] = (0.0, 0.0)
    y: tuple[float, float] = (0.0, 0.0)
    positive: bool = False
    """Whether there is a value that a logarithmic axis can hold."""

    @property
    def width(self) -> int:
        """Cells across."""
        return len(self.rows[0].text) if self.rows else 0

    def cell_of(self, x: float) -> int | None:
        """Return the cell across of a place on the x axis; None outside."""
        low, high = self.x
        cells = self.width - self.left
        if not low <= x <= high or cells < 1:
            return None
        part = (x / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.0
        return self.left + min(int(part * cells), cells - 1)

    def place_of(self, cell: int) -> float:
        """Return the middle of a cell as a place on the x axis."""
        low, high = self.x
        cells = max(self.width - self.left, 1)
        part = (min(max(cell - self.left, 0), cells - 1) + 0.5) / cells
        return low * (1 - part) + high * part


def text_row(spans: Sequence[tuple[str, int]], width: int) -> ChartRow:
    """Return a row of text in tones, cut or filled up to ``width``."""
    text = "".join(text for text, _ in spans)[:width]
    tones = b"".join(bytes([tone]) * len(text) for text, tone in spans)[:width]
    return ChartRow(text + " " * (width - len(text)), tones + bytes(width - len(tones)))


def words(name: str, title: ChartRow, lines: Sequence[str], size: tuple[int, int], positive: bool = False) -> Chart:
    """Return a chart without curves: its title, and why."""
    width, height = size
    rows = [title, *(text_row([(line, MUTED)], width) for line in lines)]
    rows += [text_row([], width)] * (height - len(rows))
    return Chart(name, tuple(rows[:height]), positive=positive)


def value_text(value: float, metric: str) -> str:
    """Return a value as the crosshair shows it."""
    if not math.isfinite(value):
        return "not a number"
    if metric == "accuracy":
        return share_text(value, 2)
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def place_text(x: float, axis: str) -> str:
    """Return a place on an axis in words: ``step 1,234``, ``epoch 3.25``."""
    if axis == "time":
        unit, suffix = ticks.time_unit(x)
        return f"{x / unit:.4g} {suffix}"
    return {"epoch": f"epoch {x:.4g}", "step": f"step {x:,.0f}"}.get(axis, f"{x:,.0f} images")
