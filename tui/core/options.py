"""How the app looks and behaves, from flags and config.toml; checked before anything is drawn. No Textual."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace

from ... import settings
from ...errors import UsageError, nearest
from .signs import SIGNS

THEMES = ("dark", "light", "ansi-dark", "ansi-light", "high-contrast", "colour-blind")
NOTIFY = ("none", "bell", "osc9")
COLORS = {"auto": "auto", "truecolor": "truecolor", "256": "256", "16": "standard", "none": ""}


@dataclass(frozen=True)
class AppOptions:
    """``theme`` "" leaves the choice to what the person had last, or to the terminal.

    ``notify``: what the terminal is told, besides the message in the app, when a run ends.
    """

    theme: str = ""
    color: str = "auto"
    ascii: bool = False
    mouse: bool = True
    quiz: bool = True
    notify: str = "none"
    signs: str = ""
    """One of SIGNS; "" leaves the choice to what the person had last in such a terminal, or to the terminal."""

    @property
    def asked_signs(self) -> str:
        """The signs that were asked for; "" where nothing was."""
        return self.signs or ("ascii" if self.ascii else "")

    def drawn_with(self, signs: str) -> AppOptions:
        """Return the options for these signs. Charts have letters in the place of markers where not all can be drawn."""
        return replace(self, signs=signs, ascii=signs != "unicode")


def resolve(
    theme: str | None = None,
    color: str | None = None,
    ascii: bool | None = None,
    mouse: bool = True,
    notify: str | None = None,
    signs: str | None = None,
) -> AppOptions:
    """Resolve the options: flags, then config.toml, then the defaults. UsageError names what is wrong and where."""
    named = _choice("signs", signs, SIGNS, "") if signs is not None or ascii is None else ""
    plain = _switch("ascii", None if named else ascii, default=None)
    return AppOptions(
        theme=_choice("theme", theme, THEMES, ""),
        color=_choice("color", color, COLORS, "auto"),
        ascii=bool(plain) and not named,
        mouse=mouse,
        quiz=bool(_switch("quiz", None, default=True)),
        notify=_choice("notify", notify, NOTIFY, "none"),
        signs=named or ("unicode" if plain is False else ""),
    )


def _choice(key: str, flag: str | None, choices: Collection[str], default: str) -> str:
    where, value = (f"--{key}", flag) if flag is not None else (f"config file: {key}", settings.setting(key, default))
    if value == default or value in choices:
        return str(value)
    raise UsageError(where, value, f"is unknown; {nearest(str(value), choices)}")


def _switch(key: str, flag: bool | None, *, default: bool | None) -> bool | None:
    value = settings.setting(key) if flag is None else flag
    if value is None:
        return default
    if not isinstance(value, bool):
        raise UsageError(f"config file: {key}", value, "must be true or false")
    return value


def set_colours(options: AppOptions) -> None:
    """Tell Textual how many colours there are; it reads that once, when it is imported.

    What is asked for here wins over NO_COLOR, which says nothing where it is empty (no-color.org).
    """
    if options.color == "none":
        os.environ["NO_COLOR"] = "1"
    elif options.color != "auto":
        os.environ["TEXTUAL_COLOR_SYSTEM"] = COLORS[options.color]
    if options.color not in ("auto", "none") or not os.environ.get("NO_COLOR"):
        os.environ.pop("NO_COLOR", None)
