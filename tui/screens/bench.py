"""The convolution bench: a window goes over an image, the sum is written out, everything can be changed."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Static

from ...models.catalogue.notes import quantity
from ..core import key_bindings, screen_export
from ..core.screen_export import Export
from ..networks import catalogue_list, conv_lab, digits, images, quiz
from ..networks.conv_lab import KERNELS, KINDS, MOST_CHANNELS, ConvSetting
from ..widgets.image_view import LARGEST, ImageView
from ..widgets.rows import Column, ListRow, RowList
from .base import BaseScreen

TICK_S = 0.25
SMALL_SIDE = 16
LARGEST_OUTPUT = 64
LEAST_CELLS = 8
WORD_LINES = 10
"""Lines that the titles of the images and the words below them need."""
NARROW_LINES = (12, 8)
"""The same with some of the settings, where these stand below: beside small images, and beside large ones."""
KERNEL_CELLS = 18
MARGIN_CELLS = 6
SOBEL = ("vertical edges", "horizontal edges")
IMAGES = ("scanned digit 8×8", "scanned digit 28×28", "MNIST digit 28×28")
LIMITS = {
    "size": (1, 7),
    "stride": (1, 4),
    "padding": (0, 6),
    "dilation": (1, 4),
    "groups": (1, MOST_CHANNELS),
    "inputs": (1, MOST_CHANNELS),
    "outputs": (1, MOST_CHANNELS),
}
WORDS = {
    "kind": "kind",
    "size": "kernel size k",
    "stride": "stride s",
    "padding": "padding p",
    "dilation": "dilation d",
    "groups": "groups",
    "inputs": "channels in",
    "outputs": "channels out",
    "kernel": "kernel",
    "image": "image",
    "digit": "which digit",
}


class SettingList(RowList):
    """What can be changed; + and − change the row under the cursor, the arrows to the side move the window."""

    opens = False

    def __init__(self) -> None:
        super().__init__((Column("", 13), Column("")), titles=False, id="settings")


class BenchScreen(BaseScreen):
    """Input, kernel and output side by side; below them the sum and the formulas."""

    PLACE = "bench"
    LEADS_HERE = "show_bench"
    HEADING = "convolution bench"
    TERMS: ClassVar = (
        "kernel",
        "window",
        "stride",
        "padding",
        "dilation",
        "groups",
        "channels in",
        "channels out",
        "weights",
        "MACs",
    )
    BINDINGS: ClassVar = key_bindings.bindings("bench")
    CSS_PATH = "bench.tcss"

    def __init__(self) -> None:
        super().__init__()
        self.setting = ConvSetting()
        self.image = IMAGES[0]
        self.place = (0, 0)
        self.channel = 0
        self._timer: Timer | None = None
        self._instead = False
        self._image: list[list[float]] = []
        self._output: list[list[float]] = []

    # Layout

    def compose_body(self) -> ComposeResult:
        with Vertical(id="body"):
            with Horizontal(id="bench-board"):
                for name, title in (("input", "input"), ("kernel", "kernel"), ("output", "output")):
                    with Vertical(classes="bench-part"):
                        yield Static(title, id=f"{name}-title", markup=False)
                        yield Static("", id="kernel", markup=False) if name == "kernel" else ImageView(id=name)
            yield Static("", id="bench-words", markup=False)
            yield SettingList()

    def on_mount(self) -> None:
        super().on_mount()
        self.table.focus()
        self._load()

    @property
    def table(self) -> SettingList:
        """The settings."""
        return self.query_one(SettingList)

    # State

    def _load(self) -> None:
        """Get the image that was chosen."""
        number = self.explorer.saved_state.digit
        if self.image == IMAGES[2]:
            found = images.mnist(self.explorer.paths.data, number)
            self._instead = found is None
            self._image = found or [[float(value) for value in row] for row in digits.image(number)]
        elif self.image == IMAGES[1]:
            self._image = [[float(value) for value in row] for row in digits.image(number)]
        else:
            self._image = [[float(value) for value in row] for row in digits.raw(number)]
        self._recompute()

    @property
    def side(self) -> int:
        """Pixels of the side of the image."""
        return len(self._image)

    @property
    def problem(self) -> str:
        """Why there is no output to show; "" where there is one."""
        impossible = conv_lab.problem(self.setting, self.side)
        if impossible:
            return f"impossible: {impossible}"
        out = conv_lab.output_side(self.setting, self.side)
        return (
            f"not shown: {out}×{out} pixels, more than {LARGEST_OUTPUT}×{LARGEST_OUTPUT}"
            if out > LARGEST_OUTPUT
            else ""
        )

    @property
    def inputs(self) -> list[list[list[float]]]:
        """The input channels."""
        return conv_lab.make_input(self._image, self.setting.resolved.inputs)

    def _recompute(self) -> None:
        self.channel = min(self.channel, self.setting.resolved.outputs - 1)
        self._output = [] if self.problem else conv_lab.convolve(self.setting, self.inputs, self.channel)
        self.set_class(max(self.side, len(self._output)) > SMALL_SIDE, "-large-image")
        last = max(len(self._output) - 1, 0)
        self.place = (min(self.place[0], last), min(self.place[1], last))
        self._show_settings()
        self._show()

    # What is shown

    def _values(self) -> dict[str, str]:
        resolved = self.setting.resolved
        values = {name: str(getattr(resolved, name)) for name in WORDS if hasattr(resolved, name)}
        number = self.explorer.saved_state.digit
        values["image"] = self.image
        values["digit"] = f"number {number}"
        if self.image != IMAGES[2] or self._instead:
            values["digit"] += f", a {digits.label(number)}"
        if resolved.size == 1:
            values["kernel"] = "a single weight"
        return values

    def _show_settings(self) -> None:
        values = self._values()
        self.table.set_rows(ListRow(name, (words, values[name])) for name, words in WORDS.items())

    def _show(self) -> None:
        """Show everything but the settings."""
        for name in ("input", "kernel", "output"):
            self.query_one(f"#{name}-title", Static).update(self._title(name))
        if self.problem:
            self.query_one("#input", ImageView).show(self._image)
            self.query_one("#output", ImageView).show([[0.0]])
            self.query_one("#kernel", Static).update(self._kernel_text(0))
            self._show_text([self.problem, conv_lab.formula(self.setting, self.side)])
            self._fit()
            return
        row, column = self.place
        found = conv_lab.terms(self.setting, self.inputs, self.channel, row, column)
        first = conv_lab.channels_of(self.setting, self.channel)[0]
        framed = {(term.row, term.column) for term in found if term.channel == first}
        self.query_one("#input", ImageView).show(self.inputs[first], framed)
        self.query_one("#output", ImageView).show(self._output, {self.place})
        self.query_one("#kernel", Static).update(self._kernel_text(first))
        self._show_text(self._words(found))
        self._fit()

    def on_resize(self) -> None:
        # The settings move below or beside the images first: that is decided by the same change of size.
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        """Draw the images as large as the room beside words and settings allows; of one that is too large show a part."""
        body, narrow = self.query_one("#body"), self.has_class("-narrow")
        height = body.size.height - (NARROW_LINES[self.has_class("-large-image")] if narrow else WORD_LINES)
        width = body.size.width - (0 if narrow else self.table.outer_size.width)
        kernel = max(KERNEL_CELLS, *(len(line) for line in self._kernel_text(0).plain.splitlines()))
        views = [self.query_one(f"#{name}", ImageView) for name in ("input", "output")]
        lines = self._lines_of_a_pixel(height, width - kernel - MARGIN_CELLS)
        for view in views:
            view.enlarge(lines)
        taken = kernel + max(views[0].cells, len(self._title("input")))
        for view, room in zip(views, (width - 2, width - taken - MARGIN_CELLS), strict=True):
            view.styles.max_height = max(height, LEAST_CELLS)
            view.styles.max_width = max(room, LEAST_CELLS)

    def _lines_of_a_pixel(self, height: int, width: int) -> int:
        """Return the most that lets both images stand whole in the room; 0 where even one is too many."""
        sides = self.side, len(self._output)
        fitting = (n for n in range(LARGEST, 0, -1) if max(sides) * n <= height and 2 * n * sum(sides) <= width)
        return next(fitting, 0)

    def _title(self, name: str) -> str:
        if name == "kernel":
            size, kernel = self.setting.resolved.size, self.setting.resolved.kernel
            return f"kernel {size}×{size}{' (Sobel)' if size == 3 and kernel in SOBEL else ''}"
        if name == "input":
            seen = conv_lab.channels_of(self.setting, self.channel) if not self.problem else range(1)
            which = f" channel {seen[0]}" if self.setting.resolved.inputs > 1 else ""
            return f"input{which} {self.side}×{self.side}"
        out = conv_lab.output_side(self.setting, self.side)
        which = f" channel {self.channel}" if self.setting.resolved.outputs > 1 else ""
        return f"output{which} {out}×{out}" if not self.problem else "no output"

    def _kernel_text(self, channel: int) -> Text:
        rows = conv_lab.weights(self.setting, self.channel, channel)
        whole = all(value == round(value) for row in rows for value in row)
        lines = ["".join(f"{conv_lab.number_text(value):>{4 if whole else 6}}" for value in row) for row in rows]
        return Text("\n".join(lines), no_wrap=True)

    def _words(self, found: list[conv_lab.Product]) -> list[str]:
        row, column = self.place
        resolved = self.setting.resolved
        seen = conv_lab.channels_of(self.setting, self.channel)
        flat = [value for line in self._output for value in line]
        lines = [
            f"output row {row}, column {column} = {conv_lab.written_out(found)}",
            conv_lab.formula(self.setting, self.side),
            f"weights: {resolved.size}·{resolved.size}·{resolved.inputs}/{resolved.groups}·{resolved.outputs} = "
            f"{conv_lab.parameters(self.setting)}; "
            f"MACs: {quantity(conv_lab.macs(self.setting, self.side))}",
            f"output from {conv_lab.number_text(min(flat))} (black) to {conv_lab.number_text(max(flat))} (white)",
        ]
        if resolved.inputs > 1:
            which = ", ".join(map(str, seen))
            lines.append(f"output channel {self.channel} sees the input channel{'s' if len(seen) > 1 else ''} {which}")
            sums = [sum(t.product for t in found if t.channel == channel) for channel in seen]
            lines.append(f"sums by channel: {' + '.join(map(conv_lab.part, sums))} = {conv_lab.number_text(sum(sums))}")
        if resolved.kind == "transposed":
            lines.append("each input pixel is spread over the kernel's size; where the spreads overlap they add up")
        if self._instead and self.image == IMAGES[2]:
            lines.append("MNIST is not on disk (training on it fetches it): a scanned digit instead")
        return lines

    def _show_text(self, lines: list[str]) -> None:
        self.query_one("#bench-words", Static).update(Text("\n".join(lines)))

    # Commands

    def action_window(self, down: int, right: int) -> None:
        """Move the window; at the end of a row it goes on in the next one."""
        side = len(self._output)
        if not side:
            return
        place = (self.place[0] + down) * side + self.place[1] + right
        self.place = divmod(place % (side * side), side)
        self._show()

    def action_play(self) -> None:
        """Let the window go by itself, or stop it."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        else:
            self._timer = self.set_interval(TICK_S, self._tick)

    def _tick(self) -> None:
        if self.is_current:
            self.action_window(0, 1)

    def action_change(self, by: int) -> None:
        """Change the setting under the cursor."""
        name = self.table.key
        if name == "digit":
            self.explorer.saved_state.digit = (self.explorer.saved_state.digit + by) % digits.count()
            self._load()
        elif name == "image":
            self.image = IMAGES[(IMAGES.index(self.image) + by) % len(IMAGES)]
            self._load()
        else:
            other = changed(self.setting, name, by)
            why = conv_lab.without_effect(self.setting, name)
            if why or other == self.setting:
                self.explorer.show_message(
                    why or f"{WORDS[name]}: {LIMITS[name][0]} to {LIMITS[name][1]} on this bench", "warning"
                )
                return
            self.setting = other
            self._recompute()

    def action_channel(self, by: int) -> None:
        """Show another output channel."""
        self.channel = (self.channel + by) % self.setting.resolved.outputs
        self._recompute()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "predict" and not self.explorer.asks_questions:
            return False
        return super().check_action(action, parameters)

    def action_predict(self) -> None:
        """Ask a question about this setting, or one near it."""

        def make(rng: random.Random) -> quiz.Question | None:
            other = changed(self.setting, rng.choice(["size", "stride", "padding", "dilation"]), rng.choice([-1, 1]))
            return quiz.about_window(other, self.side, rng) or quiz.about_window(self.setting, self.side, rng)

        self.explorer.ask_person(make)

    def export(self) -> Export:
        values = self._values()
        text = str(self.query_one("#bench-words", Static).render())
        rows = [(WORDS[name], values[name]) for name in WORDS]
        resolved = self.setting.resolved
        setting = {name: getattr(resolved, name) for name in WORDS if hasattr(resolved, name)}
        setting |= {"image": self.image, "digit": self.explorer.saved_state.digit}
        data = {"setting": setting, "output": self._output, "window": list(self.place)}
        return Export("convolution", screen_export.table_text(("setting", "value"), rows) + "\n\n" + text, data)


def changed(setting: ConvSetting, name: str, by: int) -> ConvSetting:
    """Return the setting with one of its values a step further, within its limits."""
    if name in LIMITS:
        low, high = LIMITS[name]
        value = min(max(getattr(setting, name) + by, low), high)
        kind = setting.kind
        if name == "size" and kind == "pointwise":
            kind = "standard"
        if name == "groups" and kind != "grouped":
            kind = "grouped"
        return replace(setting, **{name: value}, kind=kind)
    names = KINDS if name == "kind" else tuple(KERNELS)
    current = getattr(setting, name)
    following = catalogue_list.following(current, names) if by > 0 else names[(names.index(current) - 1) % len(names)]
    made = replace(setting, **{name: following})
    if name == "kind" and following != "standard" and following != "transposed" and made.inputs == 1:
        # With a single channel these three look alike.
        made = replace(made, inputs=MOST_CHANNELS, outputs=MOST_CHANNELS, groups=2)
    return made
