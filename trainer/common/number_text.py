"""Numbers as people read them: shares in per cent, durations, speeds. One definition each for the commands and the app."""

from __future__ import annotations

from ...models.catalogue.share_text import share_text

NONE = "–"
"""What stands where a figure is missing."""


def percent(share: float | None, missing: str = NONE) -> str:
    """Write a share, 0.9731, as ``97.3 %``; ``missing`` for None and for what is no share."""
    return share_text(abs(share), 1) if share is not None and percentage(share) else missing


def percentage(share: float | None, missing: str = "") -> str:
    """Write a share, 0.9731, as ``97.3``, for a column that has the sign in its title."""
    # The rounded figure is looked at, because a mean of many shares may lie a rounding beyond the ends.
    figure = None if share is None else round(100 * share, 1)
    return f"{abs(figure):.1f}" if figure is not None and 0 <= figure <= 100 else missing


def speed(images_per_s: float) -> str:
    """Write images per second in three or four figures: 87.3, 412, 15,030."""
    return f"{images_per_s:,.0f}" if images_per_s >= 100 else f"{images_per_s:.1f}"


def about(seconds: float) -> str:
    """Write an estimate in seconds: to a tenth below ten, then as :func:`duration`."""
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def duration(seconds: float) -> str:
    """Write seconds for a sentence: ``8 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock(seconds: float | None) -> str:
    """Write seconds for a narrow column: ``1:35``, ``2 h 01``, ``1 d 1 h``; nothing where they are not known."""
    if seconds is None or seconds < 0:
        return ""
    whole = round(seconds)
    if whole >= 86_400:
        return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02}"
    return f"{whole // 60}:{whole % 60:02}"


def rough_duration(seconds: float | None) -> str:
    """Write seconds in a single unit: ``45 s``, ``12 min``, ``3 h``, ``5 d``; ``–`` where they are not known."""
    if seconds is None:
        return NONE
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{max(seconds, 0) / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d" if seconds < 86_400 * 100_000 else NONE
