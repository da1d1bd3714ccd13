"""One output value of a convolution: the values under the kernel, the weights, their products, the sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual.app import RenderResult
from textual.message import Message
from textual.widget import Widget

from .. import commands

CELL = 7
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
        """The products of one channel, added up."""
        pairs = zip(self.window[channel], self.kernel[channel], strict=True)
        return sum(x * w for values, weights in pairs for x, w in zip(values, weights, strict=True))


def parse_pixel(value: dict[str, Any]) -> PixelSum:
    """The answer to "pixel"."""
    channel, row, column = value["position"]
    return PixelSum(
        value["layer"], (channel, row, column), value["window"], value["kernel"], value["bias"], value["total"]
    )


FRESH = "weights as drawn for training (seed 0)"


def lines_of(pixel: PixelSum, weights: str = FRESH) -> list[str]:
    """The arithmetic as text: the first channels in full, the others as their sums. ``weights`` says whose they are."""
    channel, row, column = pixel.position
    sums = [pixel.channel_sum(number) for number in range(len(pixel.window))]
    lines = [
        f"{pixel.layer}: output channel {channel}, row {row}, column {column}",
        f"sum over all channels {sum(sums):.4f} + bias {pixel.bias:.4f} = {pixel.total:.4f}",
        f"{weights}, a scanned digit scaled to the network's size",
        "",
    ]
    wide = len(pixel.window[0][0]) > WIDEST_KERNEL
    for number, (values, weights) in enumerate(zip(pixel.window, pixel.kernel, strict=True)):
        if number == CHANNELS_SHOWN or wide:
            break
        lines.append(f"input channel {number}: values under the kernel × weights")
        for value_row, weight_row in zip(values, weights, strict=True):
            left = "".join(f"{value:{CELL}.2f}" for value in value_row)
            lines.append(f"{left}   ×{''.join(f'{weight:{CELL}.2f}' for weight in weight_row)}")
        lines.append(f"{'':{CELL}}sum of the products: {sums[number]:.4f}")
    rest = len(pixel.window) - min(len(pixel.window), 0 if wide else CHANNELS_SHOWN)
    if rest:
        lines.append(f"and {rest} channels more, together {sum(sums[len(sums) - rest :]):.4f}")
    return lines


class PixelView(Widget, can_focus=True):
    """The arithmetic of one value; the arrows move to neighbours, `,` and `.` to other channels, `W` changes the weights."""

    BINDINGS: ClassVar = commands.bindings("pixel")
    PLACES: ClassVar = ("pixel",)

    @dataclass
    class Moved(Message):
        """Another value is wanted: so many channels, rows and columns from here."""

        by: tuple[int, int, int]

    @dataclass
    class OtherWeights(Message):
        """The weights of a trained run are wanted, or the fresh ones again."""

    def __init__(self) -> None:
        super().__init__(id="pixel")
        self._text = ""

    def show(self, pixel: PixelSum, weights: str) -> None:
        """Show a value."""
        self.say("\n".join(lines_of(pixel, weights)))

    def say(self, text: str) -> None:
        """Show words."""
        self._text = text
        self.refresh()

    def render(self) -> RenderResult:
        return Text(self._text, no_wrap=True, overflow="ellipsis")

    def action_go(self, channel: int, row: int, column: int) -> None:
        self.post_message(self.Moved((channel, row, column)))

    def action_trained(self) -> None:
        self.post_message(self.OtherWeights())
