"""Tags and a remark that a person gives a run: notes.json, the one file that others than the trainer write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError, WorkError
from .files import read_bytes, replace_file
from .jsonsafe import encode_json

LARGEST = 1 << 20


@dataclass(frozen=True)
class Notes:
    """What a person has added to a run."""

    tags: tuple[str, ...] = ()
    remark: str = ""


def read_notes(path: Path) -> Notes:
    """notes.json of a run directory; empty notes where there is none or it is damaged. Not cleaned for showing."""
    try:
        return notes_from(json.loads(read_bytes(path / "notes.json", LARGEST)))
    except (OSError, ValueError, RecursionError):
        return Notes()


def notes_from(value: object) -> Notes:
    """Notes from the contents of notes.json; whatever has a wrong type is left out."""
    if not isinstance(value, dict):
        return Notes()
    tags, remark = value.get("tags"), value.get("remark")
    kept = tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()
    return Notes(kept, remark if isinstance(remark, str) else "")


def write_notes(path: Path, notes: Notes) -> None:
    """Replace notes.json; done by whoever watches, while the trainer runs or not. Raises WorkError."""
    if not path.is_dir():
        raise UsageError("run", path.name, f"is no longer there: {path} is missing")
    contents = {"schema": 1, "tags": list(notes.tags), "remark": notes.remark}
    try:
        replace_file(path / "notes.json", encode_json(contents), sync=True)
    except OSError as error:
        raise WorkError(f"run {path.name}: the notes cannot be written: {error.strerror}") from None
