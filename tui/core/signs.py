"""Which signs the app draws with: found out from the terminal, chosen by flag, setting or key, remembered. No Textual.

No program can find out which signs a font has. So the first start shows some of them, and names the key that changes them.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from ...trainer.common.ascii_locale import asks_for_ascii

SIGNS = ("unicode", "shades", "ascii")
"""Everything, curves in braille dots; what the console of Linux has, code page 437; ASCII."""
SAMPLES = {
    "unicode": "⡠⠔⠊⠉⠢⣀ ▁▃▅█ ●◆▲ ✓✗★",
    "shades": "░▒▓█ ▀▄ ♦►√",
    "ascii": ".:*#+-|",
}
"""Signs of each kind: curves, bars, marks."""
WITHOUT_BRAILLE = ("linux",)
"""Terminals whose own font has no braille, by the first part of TERM."""
PLAIN_TERMINALS = ("", "dumb", "unknown", "ansi", "vt52", "vt100", "vt102", "vt220")


@dataclass(frozen=True)
class TerminalFacts:
    """What is known of a terminal: the ``encoding`` of what is written to it, and TERM."""

    encoding: str = "utf-8"
    term: str = "xterm-256color"


@dataclass(frozen=True)
class Fitting:
    """The signs that fit a terminal, and why where these are not all of them."""

    signs: str
    reason: str = ""


def facts(environment: Mapping[str, str]) -> TerminalFacts:
    """Return what is known of the terminal on stderr, on which Textual draws."""
    encoding = "ascii" if asks_for_ascii(environment) else getattr(sys.__stderr__, "encoding", None) or "ascii"
    return TerminalFacts(encoding, environment.get("TERM", ""))


def fitting(known: TerminalFacts) -> Fitting:
    """Return the signs that fit a terminal."""
    if not _is_utf8(known.encoding):
        return Fitting("ascii", f"not UTF-8: {known.encoding}")
    # Inside tmux and screen, TERM is screen.linux.
    names = known.term.lower().replace("-", ".").split(".")
    if known.term.lower() in PLAIN_TERMINALS:
        return Fitting("ascii", f"TERM is {known.term or 'empty'}")
    if any(name in WITHOUT_BRAILLE for name in names):
        return Fitting("shades", f"TERM is {known.term}")
    return Fitting("unicode")


def _is_utf8(encoding: str) -> bool:
    try:
        return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    except LookupError:
        return False


def chosen(asked: str, remembered: Mapping[str, str], fits: Fitting) -> str:
    """Return the signs to use: those ``asked`` for, else those chosen by key in such a terminal, else those that fit.

    What was chosen is remembered by what fits the terminal: who takes braille in xterm wants none on the Linux console.
    """
    known = remembered.get(fits.signs, "")
    return asked or (known if known in SIGNS else "") or fits.signs


def line(signs: str, fits: Fitting, key: str) -> str:
    """Return the line that shows the signs at the first start, or says why there are others than usual."""
    names = {"unicode": "Signs", "shades": "Shades", "ascii": "ASCII"}
    why = f" ({fits.reason})" if fits.reason and signs == fits.signs else ""
    ask = "not all clear? " if signs == "unicode" else ""
    return f"{names[signs]}{why}: {SAMPLES[signs]} {ask}{key} changes them, esc hides this"
