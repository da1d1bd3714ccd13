"""Which places of the key table are together in one full screen, and how the help and docs/app.md call them. No Textual."""

from __future__ import annotations

from collections.abc import Iterable

from .key_bindings import COMMANDS, Command

PLACES = {
    "app": "everywhere",
    "list": "in a list",
    "filter": "while filtering",
    "text": "in a text",
    "found": "in a text that was searched",
    "chart": "in the chart of networks",
    "layers": "in the layer table",
    "torchinfo": "in torchinfo's summary",
    "walk": "in the walk",
    "pixel": "at one output value",
    "code": "in the model file",
    "diff": "in the difference",
    "catalogue": "architectures",
    "two-panes": "a list and its panes",
    "compare": "comparing",
    "bench": "convolution bench",
    "pages": "concepts",
    "charts": "charts",
    "grid": "in a chart",
    "lines": "in the log and the files",
    "runs": "runs",
    "run": "with a run",
    "differences": "what differs",
    "one-run": "one run",
    "launch": "train",
    "entry": "where a value is typed",
    "dialog": "in a dialog",
    "confirm": "in a question of yes or no",
    "bin": "in the bin",
    "help": "in the help",
}
"""What each place of the key table is called."""

GENERAL = ("dialog", "two-panes", "list", "text", "found", "lines", "app")
"""Places whose keys are the same on many screens; the help lists them behind the screen's own."""


def ordered(places: Iterable[str]) -> list[str]:
    """Return places as they are listed: the screen's own first, in the order of PLACES the general ones last."""
    return sorted(places, key=lambda place: GENERAL.index(place) if place in GENERAL else -1)


def table() -> str:
    """Return all keys of all places as the Markdown table of docs/app.md."""
    own = {place: [command for command in COMMANDS if command.where == place] for place in PLACES}
    rows = [_row(place, command) for place in ordered(PLACES) for command in own[place]]
    return "\n".join(["| Where | Key | What it does |", "|---|---|---|", *rows])


def _row(place: str, command: Command) -> str:
    keys = " ".join(f"`{key}`" for key in command.shown_keys.replace("page ", "page\u00a0").split(" "))
    return f"| {PLACES[place]} | {keys.replace(chr(0xA0), ' ')} | {command.help.replace('|', chr(92) + '|')} |"
