"""The arithmetic behind the convolution bench: windows, sums and sizes of five kinds of convolution. Pure numbers.

An image is a list of channels, a channel a list of rows. The formulas are those of Dumoulin and Visin, "A guide to
convolution arithmetic for deep learning" (arXiv:1603.07285), with dilation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

Channel = list[list[float]]
KINDS = ("standard", "depthwise", "pointwise", "grouped", "transposed")
MOST_CHANNELS = 4


@dataclass(frozen=True)
class ConvSetting:
    """Everything that can be changed on the bench. ``inputs`` and ``outputs`` are numbers of channels."""

    kind: str = "standard"
    size: int = 3
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    inputs: int = 1
    outputs: int = 1
    kernel: str = "vertical edges"

    @property
    def resolved(self) -> ConvSetting:
        """With what the kind dictates: a depthwise convolution has a group for each channel, a pointwise one is 1×1."""
        if self.kind == "depthwise":
            return replace(self, groups=self.inputs, outputs=self.inputs)
        if self.kind == "pointwise":
            return replace(self, size=1, dilation=1, groups=1)
        if self.kind == "grouped":
            return self
        return replace(self, groups=1)


@dataclass(frozen=True)
class Product:
    """One product: the value at (``channel``, ``row``, ``column``) of the input, None for padding, times ``weight``."""

    channel: int
    row: int
    column: int
    value: float | None
    weight: float

    @property
    def product(self) -> float:
        """Value times weight; padding counts as zero."""
        return (self.value or 0.0) * self.weight


def _channels(count: int, which: str) -> str:
    return f"{count} {which} channel{'s' if count != 1 else ''}"


def problem(setting: ConvSetting, side: int) -> str:
    """Return why a setting is impossible for an image of ``side`` pixels, with the numbers; "" where it works."""
    setting = setting.resolved
    if setting.inputs % setting.groups:
        return f"{_channels(setting.inputs, 'input')} cannot be divided into {setting.groups} groups"
    if setting.outputs % setting.groups:
        return f"{_channels(setting.outputs, 'output')} cannot be divided into {setting.groups} groups"
    extent = setting.dilation * (setting.size - 1) + 1
    if setting.kind == "transposed":
        return f"padding {setting.padding} cuts away all of the output" if output_side(setting, side) < 1 else ""
    if extent > side + 2 * setting.padding:
        padded = f"{side} + 2·{setting.padding}" if setting.padding else str(side)
        return (
            f"the kernel reaches over {setting.dilation}·({setting.size} − 1) + 1 = {extent} pixels, "
            f"the image has {padded}: pad more, or take a smaller kernel or dilation"
        )
    return ""


def without_effect(setting: ConvSetting, name: str) -> str:
    """Return why the field ``name`` has no effect with this setting; "" where it has one."""
    resolved = setting.resolved
    if name == "dilation" and resolved.kind == "pointwise":
        return "a pointwise kernel is a single pixel: there is nothing to dilate"
    if name == "outputs" and resolved.kind == "depthwise":
        return "depthwise: one channel out for each channel in; change the channels in"
    if name == "kernel" and resolved.size == 1:
        return "a 1×1 kernel has a single weight for each channel: there is nothing to choose"
    return ""


def output_side(setting: ConvSetting, side: int) -> int:
    """Return the side of the output; below 1 where the setting is impossible."""
    setting = setting.resolved
    extent = setting.dilation * (setting.size - 1) + 1
    if setting.kind == "transposed":
        return (side - 1) * setting.stride - 2 * setting.padding + extent
    return (side + 2 * setting.padding - extent) // setting.stride + 1


def formula(setting: ConvSetting, side: int) -> str:
    """Return the formula of the output's side, then with its numbers put in, then its value."""
    s = setting.resolved
    out = output_side(s, side)
    if s.kind == "transposed":
        general = "(in − 1)·s − 2p + d(k − 1) + 1"
        filled = f"({side} − 1)·{s.stride} − 2·{s.padding} + {s.dilation}·({s.size} − 1) + 1"
    else:
        general = "⌊(in + 2p − d(k − 1) − 1)/s⌋ + 1"
        filled = f"⌊({side} + 2·{s.padding} − {s.dilation}·({s.size} − 1) − 1)/{s.stride}⌋ + 1"
    return f"out = {general} = {filled} = {out}".replace("= -", "= −")


def parameters(setting: ConvSetting) -> int:
    """Return the weights, without biases."""
    s = setting.resolved
    return s.size * s.size * (s.inputs // s.groups) * s.outputs


def macs(setting: ConvSetting, side: int) -> int:
    """Return the MACs of one image; each input pixel of a transposed convolution meets each weight once."""
    places = side if setting.kind == "transposed" else output_side(setting, side)
    return parameters(setting) * places * places


# Kernels


def _filled(size: int, value: Callable[[float, float], float]) -> Channel:
    """Return a kernel whose values depend on the distance from its middle, by rows and by columns."""
    middle = (size - 1) / 2
    return [[value(row - middle, column - middle) for column in range(size)] for row in range(size)]


def _centred(size: int, middle: float, around: float) -> Channel:
    """Return ``middle`` at the centre (in an even kernel the upper left of four places), ``around`` elsewhere."""
    centre = (size - 1) // 2
    return [[middle if (row, column) == (centre, centre) else around for column in range(size)] for row in range(size)]


def _sobel(along: float, across: float) -> float:
    return along * (2.0 if abs(across) < 1 else 1.0)


KERNELS: dict[str, Callable[[int], Channel]] = {
    "vertical edges": lambda size: _filled(size, lambda y, x: _sobel(x, y)),
    "horizontal edges": lambda size: _filled(size, lambda y, x: _sobel(y, x)),
    "blur": lambda size: _filled(size, lambda y, x: 1 / size**2),
    "all edges": lambda size: _centred(size, size**2 - 1.0, -1.0),
    "sharpen": lambda size: _centred(size, 2.0 - 1 / size**2, -1 / size**2),
    "identity": lambda size: _centred(size, 1.0, 0.0),
}


def mix(output: int, channel: int) -> float:
    """Return how strongly output channel ``output`` takes input channel ``channel``: so that channels differ in a way
    one sees.
    """
    return 1.0 if (output + channel) % 2 == 0 else -0.5


def weights(setting: ConvSetting, output: int, channel: int) -> Channel:
    """Return the kernel between an input channel (of the whole input) and an output channel."""
    s = setting.resolved
    plain = [[1.0]] if s.size == 1 else KERNELS[s.kernel](s.size)
    factor = 1.0 if s.kind == "depthwise" or s.inputs == 1 else mix(output, channel)
    return [[value * factor for value in row] for row in plain]


def channels_of(setting: ConvSetting, output: int) -> range:
    """Return the input channels that an output channel sees: those of its group."""
    s = setting.resolved
    per_group = s.inputs // s.groups
    first = output // (s.outputs // s.groups) * per_group
    return range(first, first + per_group)


def make_input(image: Channel, channels: int) -> list[Channel]:
    """Return the input channels made of one image: itself, mirrored, upside down, inverted."""
    brightest = max((value for row in image for value in row), default=1.0)
    made = [
        image,
        [row[::-1] for row in image],
        image[::-1],
        [[brightest - value for value in row] for row in image],
    ]
    return made[:channels]


def terms(setting: ConvSetting, inputs: list[Channel], output: int, row: int, column: int) -> list[Product]:
    """Return the products that are added up for one output value, padding included."""
    s = setting.resolved
    side = len(inputs[0])
    found = []
    for channel in channels_of(s, output):
        kernel = weights(s, output, channel)
        for y, kernel_row in enumerate(kernel):
            for x, weight in enumerate(kernel_row):
                at = _source(s, row, y), _source(s, column, x)
                if at[0] is None or at[1] is None:
                    continue
                inside = 0 <= at[0] < side and 0 <= at[1] < side
                if s.kind == "transposed" and not inside:
                    continue
                value = inputs[channel][at[0]][at[1]] if inside else None
                found.append(Product(channel, at[0], at[1], value, weight))
    return found


def _source(setting: ConvSetting, at: int, tap: int) -> int | None:
    """Return the input row (or column) that kernel row ``tap`` meets for output row ``at``; None where a stride passes
    it by.
    """
    if setting.kind != "transposed":
        return at * setting.stride - setting.padding + tap * setting.dilation
    place = at + setting.padding - tap * setting.dilation
    return place // setting.stride if place % setting.stride == 0 else None


def value(setting: ConvSetting, inputs: list[Channel], output: int, row: int, column: int) -> float:
    """Return one output value."""
    return sum(term.product for term in terms(setting, inputs, output, row, column))


def convolve(setting: ConvSetting, inputs: list[Channel], output: int) -> Channel:
    """Return one output channel: the values of :func:`value`, added up weight by weight, which is a hundred times
    quicker.
    """
    s = setting.resolved
    side, out = len(inputs[0]), output_side(setting, len(inputs[0]))
    made = [[0.0] * out for _ in range(out)]
    # Output place and input place that each row, or column, of the kernel brings together.
    meets = [
        [(at, source) for at in range(out) if (source := _source(s, at, tap)) is not None and 0 <= source < side]
        for tap in range(s.size)
    ]
    for channel in channels_of(s, output):
        for y, kernel_row in enumerate(weights(s, output, channel)):
            for x, weight in enumerate(kernel_row):
                for row, source_row in meets[y]:
                    line, values = made[row], inputs[channel][source_row]
                    for column, source in meets[x]:
                        line[column] += weight * values[source]
    return made


def written_out(found: list[Product], max_terms: int = 9) -> str:
    """Return the sum with its numbers, the first products in full: ``6 = 12·1 + 3·(−2) + …``."""
    shown = [
        f"{part(term.value) if term.value is not None else 'pad'}·{part(term.weight)}" for term in found[:max_terms]
    ]
    more = f" + … ({len(found) - max_terms} more)" if len(found) > max_terms else ""
    return f"{number_text(sum(term.product for term in found))} = {' + '.join(shown) or '0'}{more}"


def number_text(number: float) -> str:
    """Return a whole number as it is, others with two digits after the point; a zero has no sign."""
    text = f"{number:.0f}" if number == round(number) else f"{number:.2f}"
    return "0" if text.strip("-0.") == "" else text.replace("-", "−")


def part(number: float) -> str:
    """Return a number inside a sum or product: in brackets where it is negative."""
    text = number_text(number)
    return f"({text})" if text.startswith("−") else text
