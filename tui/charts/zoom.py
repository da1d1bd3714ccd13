"""Which part of the x axis is shown next: windows at the end, zooming, moving, holding still. Plain numbers, no Textual."""

from __future__ import annotations

from .view import WINDOWS, Limits, Window

CLOSEST = 1e-9
"""The smallest part of the data that can be zoomed into."""


def following(window: Window) -> Window:
    """The next of the usual windows; everything after one that was zoomed or frozen."""
    return WINDOWS[(WINDOWS.index(window) + 1) % len(WINDOWS)] if window in WINDOWS else WINDOWS[0]


def frozen(window: Window, shown: Limits) -> Window:
    """What is shown, held still; and everything again when it was held."""
    return Window() if window.frozen else between(*shown, frozen=True)


def between(low: float, high: float, frozen: bool = False) -> Window:
    """A fixed part of the axis; everything, where there is no extent."""
    return Window(low=low, high=high, frozen=frozen) if high > low else Window()


def zoomed(shown: Limits, extent: Limits, factor: float, around: float | None) -> Window:
    """``factor`` times the extent that is shown, with the place ``around`` kept where it is.

    Without a place, or at the end of the data, the end is kept and followed. As much as all data, or more, is everything.
    """
    low, high = shown
    whole = extent[1] / 2 - extent[0] / 2
    span = (high / 2 - low / 2) * factor
    if span >= whole or whole <= 0:
        return Window()
    span = max(span, whole * CLOSEST)
    if around is None:
        return Window(span=2 * span)
    part = (around / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5
    start = around - 2 * span * part
    return _within(start, 2 * span, extent)


def panned(shown: Limits, extent: Limits, part: float) -> Window:
    """Moved by a part of what is shown; at the end of the data it follows them again."""
    low, high = shown
    if low <= extent[0] and high >= extent[1]:
        return Window()
    return _within(low + (high - low) * part, high - low, extent)


def _within(start: float, span: float, extent: Limits) -> Window:
    """A part of the axis, moved so that it lies over the data."""
    if start + span >= extent[1]:
        return Window(span=span)
    start = max(start, extent[0])
    return between(start, start + span)
