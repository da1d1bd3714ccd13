"""The texts of one run: its stages, its configuration, its files. No Textual."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...trainer.common.text_safe import clean
from ...trainer.config.recipe import SETTINGS, renamed
from ...trainer.config.request import all_settings
from ...trainer.config.setting import Needs
from ...trainer.runs.run import RunSnapshot
from ...trainer.runs.states import STATES

STAGES = ("queued", "starting", "training", "testing", "finished")
PARTS = ("network", "data", "recipe", "engine", "versions")
FILES = (
    ("run.json", "the configuration"),
    ("metrics.jsonl", "the curves, a record a line"),
    ("status.json", "where it stands"),
    ("train.log", "what it printed"),
    ("notes.json", "tags and remark"),
    ("checkpoints/best.pt", "the best weights"),
    ("checkpoints/last.pt", "where it would go on"),
)
WORDS = {
    ("network", "in_channels"): "channels",
    ("network", "num_classes"): "classes",
    ("data", "train"): "training images",
    ("data", "validation"): "validation images",
    ("data", "test"): "test images",
    ("data", "size"): "size of the images",
    ("data", "folder"): "folder",
}
"""What run.json names in the words of a program."""
SETTING_OF = {("data", "held_out"): "validation", ("data", "name"): "dataset"}
"""Settings that run.json has under another name."""
NONE = "–"
MOST_ITEMS = 20
LONG_NUMBER = 10_000


def stages(run: RunSnapshot) -> str:
    """Return the way of a run with the place where it is: ``✓ queued  [◐ starting: compiling]  training  testing
    finished``.
    """
    if run.state not in STAGES:
        return ""
    place = STAGES.index(run.state)
    words = []
    for number, name in enumerate(STAGES):
        if number < place or run.state == "finished":
            words.append(f"✓ {name}")
        elif number == place:
            phase = f": {run.phase}" if run.phase else ""
            words.append(f"[{STATES[name].symbol} {name}{phase}]")
        else:
            words.append(name)
    return "  ".join(words)


def setup(run: RunSnapshot) -> list[tuple[str, str]]:
    """Name and value of everything that decides a run, in sections; a section begins with (its name, "")."""
    rows = [("run", ""), *_head(run)]
    for part in PARTS:
        values = run.config.get(part)
        if isinstance(values, dict) and values:
            rows += [(part, ""), *flat(_with_effect(values) if part == "recipe" else values, part=part)]
    known = {*PARTS, "schema", "id", "created", "argv", "host"}
    others = {key: value for key, value in run.config.items() if key not in known}
    if others:
        rows += [("further", ""), *flat(others)]
    return [*rows, ("files", ""), *files(run.path)]


def _head(run: RunSnapshot) -> Iterator[tuple[str, str]]:
    yield "id", run.id
    if run.created:
        yield "created", f"{run.created.astimezone():%Y-%m-%d %H:%M:%S}"
    yield "tags", ", ".join(run.notes.tags) or NONE
    yield "remark", clean(run.notes.remark) or NONE
    if run.host:
        yield "host", run.host + (f", process {run.pid}" if run.live and run.pid is not None else "")
    argv = run.config.get("argv")
    if isinstance(argv, list):
        yield "command", shlex.join(["cnn-explorer", *map(str, argv)])
    if run.error:
        yield "error", run.error
    for problem in run.problems:
        yield "problem", problem


def _with_effect(values: dict) -> dict:
    """Return the values of a recipe, under their present names, that change anything: SGD has no betas."""
    known = renamed(values)
    useless = [
        key
        for key, defined in SETTINGS.items()
        if defined.needs is not None and not _meets(defined.needs, known.get(defined.needs.key))
    ]
    return {key: value for key, value in known.items() if key not in useless}


def _meets(needs: Needs, value: object) -> bool:
    return value is None or needs.met_by(tuple(value) if isinstance(value, list) else value)


def _name(part: str, key: str) -> str:
    """Return the name of a value of run.json, the same as in the training form where it is a setting."""
    if (part, key) in WORDS:
        return WORDS[part, key]
    defined = all_settings().get(SETTING_OF.get((part, key), key))
    return defined[1].words if defined is not None else key.replace("_", " ")


def flat(values: dict, part: str = "") -> Iterator[tuple[str, str]]:
    """Yield name and text of each item of a part of run.json."""
    return ((name, text(value)) for name, value in items(values, part=part))


def items(values: dict, before: str = "", part: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of each item of a part of run.json; those of a part within it have both names."""
    for key, value in values.items():
        is_setting = not before or before == "checkpoints "
        name = _name(part, key) if is_setting else f"{before}{key}".replace("_", " ")
        if isinstance(value, dict) and value:
            yield from items(value, f"{before}{key} ")
        else:
            yield name, value


def text(value: object) -> str:
    """Return a value of run.json for a person."""
    if value is None or value == [] or value == "" or value == {}:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= LONG_NUMBER else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        more = f" … ({len(value)})" if len(value) > MOST_ITEMS else ""
        return ", ".join(text(item) for item in value[:MOST_ITEMS]) + more
    return clean(str(value))


def files(path: Path) -> list[tuple[str, str]]:
    """Return what lies where."""
    return [("folder", str(path)), *((Path(name).name, f"{path / name}  ({what})") for name, what in FILES)]
