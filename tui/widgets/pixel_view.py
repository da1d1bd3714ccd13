"""One output value of a layer: the values that go in, the weights, and how they make it."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap
from typing import Any, ClassVar

from rich.text import Text
from textual.app import RenderResult
from textual.message import Message
from textual.widget import Widget

from ..core import key_bindings

CELL, NARROW_CELL = 7, 5
TIMES = "   ×"
FOOT_LINES = 1

Numbers = list[Any]
"""Numbers in lists of lists, as deep as the tensor has axes."""


@dataclass(frozen=True)
class PixelSum:
    """One output value: ``parts`` are its numbers with their names, ``rule`` says how they make ``total``.

    ``axes`` name the numbers of ``position``; they are empty where their meaning is unknown.
    """

    layer: str
    kind: str
    position: tuple[int, ...]
    parts: tuple[tuple[str, Numbers], ...]
    rule: str
    total: float
    axes: tuple[str, ...] = ()


def parse_pixel(value: dict[str, Any], axes: tuple[str, ...] = ()) -> PixelSum:
    """Return the answer to "pixel"."""
    parts = tuple((part["name"], part["numbers"]) for part in value["parts"])
    position = tuple(value["position"])
    return PixelSum(
        value["layer"],
        value["kind"],
        position,
        parts,
        value["rule"],
        value["total"],
        axes if len(axes) == len(position) else (),
    )


def flat(numbers: Numbers) -> list[float]:
    """Return numbers in one row."""
    return [number for part in numbers for number in (flat(part) if isinstance(part, list) else [part])]


def place_text(pixel: PixelSum) -> str:
    """Return where a value stands: channel 3, row 5, column 7."""
    words = {
        "channels": "channel",
        "rows": "row",
        "columns": "column",
        "tokens": "place",
        "keys": "key",
        "windows": "window",
        "frames": "frame",
    }
    if not pixel.axes:
        return "value " + ", ".join(map(str, pixel.position))
    return ", ".join(f"{words.get(axis, 'at')} {at}" for axis, at in zip(pixel.axes, pixel.position, strict=True))


def moved(position: list[int], by: tuple[int, int, int], shape: tuple[int, ...], axes: tuple[str, ...]) -> list[int]:
    """Return another position, so many channels, rows and columns away, as far as the output reaches.

    The axis of the channels is known from the layout; where it is not, it is the first of three axes and the last of two.
    """
    of_channels = [place for place, axis in enumerate(axes) if axis in ("channels", "values")]
    channel = of_channels[-1] if of_channels else 0 if len(shape) != 2 else 1
    others = [place for place in range(len(shape)) if place != channel]
    steps = [0] * len(shape)
    steps[channel] += by[0]
    if others:
        steps[others[-1]] += by[2]
        steps[others[-2 if len(others) > 1 else -1]] += by[1]
    else:
        steps[channel] += by[1] + by[2]
    return [min(max(at + step, 0), size - 1) for at, step, size in zip(position, steps, shape, strict=True)]


INITIAL = "weights as drawn for training (seed 0)"


def short(value: float) -> str:
    """Return a number in four characters, where that is possible: .25, -.04, 1.85, -1.9, 12.3."""
    for digits in (2, 1, 0):
        text = f"{value:z.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 and digits else f"{value:z.{digits}f}"
        if len(text) < NARROW_CELL:
            return text
    return text


def lines_of(pixel: PixelSum, weights: str = INITIAL, columns: int = 120, rows: int = 40) -> list[str]:
    """Return the arithmetic as text. ``weights`` says whose they are.

    In ``columns`` × ``rows`` cells: numbers are shorter where they have little room, and fewer.
    """
    lines = [
        f"{pixel.layer}: {place_text(pixel)}",
        f"{pixel.rule} = {pixel.total:z.4f}",
        weights,
        "the image is a scanned digit scaled to the network's size",
        "",
    ]
    lines = [part for line in lines for part in wrap(line, max(columns, 20)) or [""]]
    is_map = pixel.kind == "convolution" and isinstance(pixel.parts[0][1][0][0], list)
    room = max(rows - len(lines), 1)
    drawn = is_map and _kernel_fits(pixel, columns, room)
    body = _channels(pixel, columns, room) if drawn else _numbers(pixel, columns, room)
    return [*lines, *body]


def _kernel_fits(pixel: PixelSum, columns: int, rows: int) -> bool:
    """Return whether the window of one channel and its kernel have room side by side."""
    kernel = pixel.parts[1][1][0]
    return 2 * len(kernel[0]) * NARROW_CELL + len(TIMES) <= columns and len(kernel) + 2 + FOOT_LINES <= rows


def _cell(value: float, cell: int) -> str:
    return f"{value:z{cell}.2f}" if cell == CELL else f"{short(value):>{cell}}"


def _channels(pixel: PixelSum, columns: int, rows: int) -> list[str]:
    """Return the first channels in full, window beside kernel, and the others as their sum."""
    window, kernel = (numbers for _, numbers in pixel.parts)
    sums = [
        sum(x * w for x, w in zip(flat(values), flat(factors), strict=True))
        for values, factors in zip(window, kernel, strict=True)
    ]
    high, side = len(window[0]), len(window[0][0])
    fitting = rows // (high + 2)
    shown = len(window) if fitting >= len(window) else max((rows - FOOT_LINES) // (high + 2), 1)
    cell = CELL if 2 * side * CELL + len(TIMES) <= columns else NARROW_CELL

    def line(values: list[float]) -> str:
        return "".join(_cell(value, cell) for value in values)

    lines = []
    for number, (values, factors) in enumerate(zip(window[:shown], kernel, strict=False)):
        lines.append(f"input channel {number}: values under the kernel × weights")
        for value_row, weight_row in zip(values, factors, strict=True):
            lines.append(f"{line(value_row)}{TIMES}{line(weight_row)}")
        lines.append(f"{'':{CELL}}sum of the products: {sums[number]:z.4f}")
    rest = max(len(window) - shown, 0)
    if rest:
        lines.append(f"and {rest} channel{'s' if rest > 1 else ''} more, together {sum(sums[len(sums) - rest :]):z.4f}")
    return lines


def _numbers(pixel: PixelSum, columns: int, rows: int) -> list[str]:
    """Return every list of numbers under its name, as many lines of each as there is room for."""
    each = max((rows - 2 * len(pixel.parts)) // max(len(pixel.parts), 1), 1)
    cell = CELL if columns >= 60 else NARROW_CELL
    across = max(columns // cell, 1)
    lines = []
    for name, numbers in pixel.parts:
        values = flat(numbers) if isinstance(numbers, list) else [numbers]
        shown = values[: each * across]
        lines.append(f"{name}: {len(values)}" if len(values) > 1 else name)
        lines += [
            "".join(_cell(value, cell) for value in shown[at : at + across]) for at in range(0, len(shown), across)
        ]
        if len(values) > len(shown):
            lines.append(f"and {len(values) - len(shown)} more, together {sum(values[len(shown) :]):z.4f}")
    return lines


class PixelView(Widget, can_focus=True):
    """The arithmetic of one value; the arrows move to neighbours, `,` and `.` to other channels, `W` changes the weights."""

    BINDINGS: ClassVar = key_bindings.bindings("pixel")
    PLACES: ClassVar = ("pixel",)

    @dataclass
    class Moved(Message):
        """Another value is wanted: so many channels, rows and columns from here."""

        by: tuple[int, int, int]

    @dataclass
    class OtherWeights(Message):
        """Take the weights of a trained run, or newly drawn ones again."""

    def __init__(self) -> None:
        super().__init__(id="pixel", classes="one-line")
        self._words = ""
        self._shown: tuple[PixelSum, str] | None = None

    def show(self, pixel: PixelSum, weights: str) -> None:
        """Show a value."""
        self._shown = (pixel, weights)
        self.refresh()

    def show_text(self, text: str) -> None:
        """Show words."""
        self._words, self._shown = text, None
        self.refresh()

    def render(self) -> RenderResult:
        if self._shown is None:
            return Text(self._words)
        return Text("\n".join(lines_of(*self._shown, *self.size)))

    def action_go(self, channel: int, row: int, column: int) -> None:
        self.post_message(self.Moved((channel, row, column)))

    def action_trained(self) -> None:
        self.post_message(self.OtherWeights())
