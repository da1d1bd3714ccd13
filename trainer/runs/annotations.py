"""Tags and a remark that a person gives a run: notes.json, the one file that others than the trainer write."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError, WorkError
from ..common.files import read_bytes, remove_abandoned, replace_file
from ..common.json_safe import encode_json
from ..common.text_safe import clean, has_hidden

NEWEST = "last"
"""Names the newest run in every command, so it is no tag."""
LARGEST = 1 << 20
LONGEST_TAG, MOST_TAGS, LONGEST_REMARK = 40, 50, 10_000


@dataclass(frozen=True)
class Notes:
    """What a person has added to a run."""

    tags: tuple[str, ...] = ()
    remark: str = ""

    @property
    def tags_text(self) -> str:
        """The tags as one text. What another program wrote into the file may be of any length: it is cut."""
        return " ".join(tag if len(tag) <= LONGEST_TAG else tag[: LONGEST_TAG - 1] + "…" for tag in self.tags)


def read_notes(path: Path) -> Notes:
    """Read notes.json of a run directory; empty notes where there is none or it is damaged. Not cleaned for showing."""
    try:
        return notes_from(json.loads(read_bytes(path / "notes.json", LARGEST)))
    except (OSError, ValueError, RecursionError):
        return Notes()


def notes_from(value: object) -> Notes:
    """Return the notes in the contents of notes.json; whatever has a wrong type is left out."""
    if not isinstance(value, dict):
        return Notes()
    tags, remark = value.get("tags"), value.get("remark")
    kept = tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()
    return Notes(kept, remark if isinstance(remark, str) else "")


def add_tags(path: Path, tags: Iterable[str]) -> Notes:
    """Give the run ``tags`` beside those it has; returns what it has now. UsageError for a tag that cannot be one."""
    kept = read_notes(path)
    changed = Notes(tuple(dict.fromkeys((*kept.tags, *map(check_tag, tags)))), kept.remark)
    if len(changed.tags) > MOST_TAGS:
        raise UsageError("tag", len(changed.tags), f"are too many; a run has at most {MOST_TAGS}")
    write_notes(path, changed)
    return changed


def remove_tags(path: Path, tags: Iterable[str]) -> Notes:
    """Take ``tags`` from the run; returns what it has now. UsageError for a tag that it does not have."""
    kept, gone = read_notes(path), [clean(tag.strip()) for tag in tags]
    shown = [clean(tag) for tag in kept.tags]  # a tag is named as it is shown
    for tag in gone:
        if tag not in shown:
            has = f"it has {', '.join(shown)}" if shown else "it has none"
            raise UsageError("tag", tag, clean(f"is not a tag of {path.name}; {has}"))
    changed = Notes(tuple(tag for tag in kept.tags if clean(tag) not in gone), kept.remark)
    write_notes(path, changed)
    return changed


def set_remark(path: Path, text: str) -> Notes:
    """Replace the remark on the run, "" for none; returns what it has now. UsageError for one that is too long."""
    remark = clean(text.strip())
    if len(remark) > LONGEST_REMARK:
        raise UsageError("note", remark[:40] + "…", f"has {len(remark):,} characters; {LONGEST_REMARK:,} is the most")
    changed = Notes(read_notes(path).tags, remark)
    write_notes(path, changed)
    return changed


def check_tag(tag: str) -> str:
    """Return ``tag`` without blanks around it. UsageError where it is empty, too long, or has a comma, a line break or
    a character that nobody sees.

    ``last`` is refused as well: it names the newest run, so that it could never name the run that has the tag.
    """
    plain = clean(tag.strip())
    if has_hidden(tag):
        raise UsageError("tag", plain[:LONGEST_TAG], "has a character that nobody sees; leave it out")
    if not plain or len(plain) > LONGEST_TAG or "," in plain or "\n" in plain:
        raise UsageError("tag", tag[:LONGEST_TAG], f"must have 1 to {LONGEST_TAG} characters and no comma")
    if plain == NEWEST:
        raise UsageError("tag", tag, "names the newest run in every command; choose another word")
    return plain


def write_notes(path: Path, notes: Notes) -> None:
    """Replace notes.json, while the trainer runs or not. Raises WorkError."""
    if not path.is_dir():
        raise UsageError("run", path.name, f"is no longer there: {path} is missing")
    contents = {"schema": 1, "tags": list(notes.tags), "remark": notes.remark}
    try:
        remove_abandoned(path / "notes.json")
        replace_file(path / "notes.json", encode_json(contents), sync=True)
    except OSError as error:
        raise WorkError(f"run {path.name}: the notes cannot be written: {error.strerror}") from None
