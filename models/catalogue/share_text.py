"""Shares in per cent. One definition, here because the notes of the networks write shares as the app does."""

from __future__ import annotations


def share_text(share: float, digits: int = 0, *, signed: bool = False, tight: bool = False) -> str:
    """Write a share, 0.9731, as ``97 %``; ``signed``: ``+3 %``; ``tight``: ``97%``, in the title of a chart."""
    return f"{100 * share:{'+' if signed else ''}.{digits}f}{'' if tight else ' '}%"
