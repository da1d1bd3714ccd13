"""One output value of a convolution: the values under the kernel, the weights, their products, the sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual.app import RenderResult
from textual.message import Message
from textual.widget import Widget

from ..core import key_bindings

CELL, NARROW_CELL = 7, 5
TIMES = "   ×"
HEAD_LINES, FOOT_LINES = 5, 1
CHANNELS_SHOWN = 3
WIDEST_KERNEL = 7


@dataclass(frozen=True)
class PixelSum:
    """``window`` and ``kernel`` are (channels of the group, rows, columns); their products and ``bias`` make ``total``."""

    layer: str
    position: tuple[int, int, int]
    window: list[list[list[float]]]
    kernel: list[list[list[float]]]
    bias: float
    total: float

    def channel_sum(self, channel: int) -> float:
        """Return the products of one channel, added up."""
        pairs = zip(self.window[channel], self.kernel[channel], strict=True)
        return sum(x * w for values, weights in pairs for x, w in zip(values, weights, strict=True))


def parse_pixel(value: dict[str, Any]) -> PixelSum:
    """Return the answer to "pixel"."""
    channel, row, column = value["position"]
    return PixelSum(
        value["layer"], (channel, row, column), value["window"], value["kernel"], value["bias"], value["total"]
    )


INITIAL = "weights as drawn for training (seed 0)"


def short(value: float) -> str:
    """Return a number in four characters, where that is possible: .25, -.04, 1.85, -1.9, 12.3."""
    for digits in (2, 1, 0):
        text = f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 1 and digits else f"{value:.{digits}f}"
        if len(text) < NARROW_CELL:
            return text
    return text


def lines_of(pixel: PixelSum, weights: str = INITIAL, columns: int = 120, rows: int = 40) -> list[str]:
    """Return the arithmetic as text: the first channels in full, the others as their sums. ``weights`` says whose they
    are.

    In ``columns`` × ``rows`` cells: numbers are shorter where they have little room, channels fewer.
    """
    channel, row, column = pixel.position
    sums = [pixel.channel_sum(number) for number in range(len(pixel.window))]
    lines = [
        f"{pixel.layer}: output channel {channel}, row {row}, column {column}",
        f"sum over all channels {sum(sums):.4f} + bias {pixel.bias:.4f} = {pixel.total:.4f}",
        weights,
        "the image is a scanned digit scaled to the network's size",
        "",
    ]
    high, side = len(pixel.window[0]), len(pixel.window[0][0])
    wide = side > WIDEST_KERNEL
    shown = 0 if wide else min(max((rows - HEAD_LINES - FOOT_LINES) // (high + 2), 1), CHANNELS_SHOWN)
    cell = CELL if 2 * side * CELL + len(TIMES) <= columns else NARROW_CELL

    def line(values: list[float]) -> str:
        return "".join(f"{value:{cell}.2f}" if cell == CELL else f"{short(value):>{cell}}" for value in values)

    for number, (values, factors) in enumerate(zip(pixel.window[:shown], pixel.kernel, strict=False)):
        lines.append(f"input channel {number}: values under the kernel × weights")
        for value_row, weight_row in zip(values, factors, strict=True):
            lines.append(f"{line(value_row)}{TIMES}{line(weight_row)}")
        lines.append(f"{'':{CELL}}sum of the products: {sums[number]:.4f}")
    rest = max(len(pixel.window) - shown, 0)
    if rest:
        lines.append(f"and {rest} channel{'s' if rest > 1 else ''} more, together {sum(sums[len(sums) - rest :]):.4f}")
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
