"""Names of runs: ``20261120-143022-resnet18-cifar10-7f3a``: time in UTC, network, data set, random ending.

The names sort by time, are safe as file names, and can be shortened: any unique beginning, the ending, or ``last``.
A tag that only one run has names it as well, unless it is a part of the id of another one; so does its directory.
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from ...errors import UsageError
from ...settings import typed_path
from ..common.text_safe import clean
from .annotations import NEWEST, check_tag, read_notes

LONGEST = 128
# Crockford's digits: no i, l, o, u, so an ending can be read aloud and is never a word such as "last".
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_OURS = re.compile(r"(\d{8}-\d{6})-.+-([0-9a-z]{4})")
_MARKS = ("run.json", "status.json", "lock")


def new_id(network: str, dataset: str, now: datetime) -> str:
    """Return a new name for a run of ``network`` on ``dataset`` begun at ``now`` (any time zone; a naive time is UTC)."""
    when = now.astimezone(UTC) if now.tzinfo else now
    ending = "".join(secrets.choice(_DIGITS) for _ in range(4))
    return f"{when:%Y%m%d-%H%M%S}-{_word(network)}-{_word(dataset)}-{ending}"


def _word(text: str) -> str:
    """Turn ``folder:/images/My Cats`` into ``my_cats``: the last part of a path in lower case, without odd characters."""
    last = text.rstrip("/").replace(":", "/").rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9.-]+", "_", last).strip("_.-")[:32].rstrip("_.-") or "x"


def is_id(text: str) -> bool:
    """Return whether ``text`` can be a run's name; nothing that it accepts leads out of the runs folder."""
    return _ID.fullmatch(text) is not None


def check_id(text: str) -> str:
    """Return ``text`` itself when it can be a run's name, otherwise raise UsageError."""
    if not is_id(text):
        raise UsageError(
            "run", text[:LONGEST], "is not a run id: letters, digits, '.', '_' and '-', the first a letter or digit"
        )
    return text


def run_names(runs: Path) -> list[str]:
    """Return the names of the run directories in ``runs``, in no order; none when the folder does not exist.

    A directory counts when it bears a valid name and holds one of a run's files. Symbolic links are not followed.
    """
    try:
        with os.scandir(runs) as entries:
            return [entry.name for entry in entries if is_id(entry.name) and is_run(entry)]
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        what = (
            "is a file, not a folder" if os.path.lexists(runs) else "cannot be a folder: a part of this path is a file"
        )
        raise UsageError("--runs", str(runs), what) from None
    except OSError as error:
        raise UsageError("--runs", str(runs), f"cannot be read: {error.strerror}") from None


def is_run(entry: os.DirEntry[str] | Path) -> bool:
    """Return whether a path is a real directory, not a link to one, that holds one of a run's files."""
    path = os.fspath(entry)
    try:
        is_directory = entry.is_dir(follow_symlinks=False) if isinstance(entry, os.DirEntry) else _is_directory(entry)
        return is_directory and any(os.path.lexists(f"{path}/{mark}") for mark in _MARKS)
    except (OSError, ValueError):
        return False


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def age_key(name: str, written_ns: int) -> tuple[str, int, str]:
    """Return a key that sorts runs, oldest first, by the time in the name (else that of run.json), then that of writing.

    The second part orders the runs of one queue, which are all created within the same second.
    """
    ours = _OURS.fullmatch(name)
    seconds = min(max(written_ns // 10**9, 0), 2**33)
    stamp = ours[1] if ours else f"{datetime.fromtimestamp(seconds, UTC):%Y%m%d-%H%M%S}"
    return stamp, written_ns, name


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return for each name the shortest text that :func:`resolve` takes among ``names``: mostly the four last characters.

    A name that does not look like ours stays whole.
    """
    known = list(names)
    endings = Counter(ending for name in known for ending in _endings(name))
    beginnings = {name[:4] for name in known}
    short = {}
    for name in known:
        fitting = (end for end in _endings(name) if endings[end] == 1 and end[:4] not in beginnings and end != NEWEST)
        short[name] = next(fitting, name) if _OURS.fullmatch(name) else name
    return short


def _endings(name: str) -> list[str]:
    """Return the endings of a name that begin after a hyphen, shortest first: ``7f3a``, ``cifar10-7f3a`` …"""
    parts = name.split("-")
    return ["-".join(parts[-count:]) for count in range(1, len(parts))]


def resolve(runs: Path, text: str) -> Path:
    """Find the run directory that ``text`` names: the directory itself, a whole id, ``last``, a unique beginning or
    ending, or a unique tag.

    The first of these that fits decides. A directory is written with a ``/``, or is ``.`` or ``..``; one inside ``runs`` is
    returned as such. Raises UsageError when none fits, naming the nearest run, when several runs fit, and when a part of
    the id of one run is a tag of another: a new run may get such an id, and nobody would notice.
    """
    is_path = "/" in text or text in (".", "..")
    if is_path and is_run(path := Path(os.path.normpath(typed_path(text, "run")))):
        return runs / path.name if _is_same(path.parent, runs) else path
    names = run_names(runs)
    if text in names:
        return runs / text
    if not names and is_id(text):
        raise UsageError("run", text, f"is not there: {runs} holds no runs")
    if text == NEWEST:
        return runs / _newest(runs, names)
    fitting = with_the_part(text, names)
    if len(fitting) > 1:
        raise UsageError("run", text, f"fits {len(fitting)} runs: {some(fitting)}; give more of the id")
    tags = {name: [clean(tag) for tag in read_notes(runs / name).tags] for name in names}  # as they are shown
    tagged = [name for name in names if text in tags[name]]
    if fitting and set(tagged) - set(fitting):
        raise UsageError("run", text, f"is a part of the id of {fitting[0]} and a tag of {some(tagged)}; give an id")
    if len(tagged) > 1:
        raise UsageError("run", text, f"is a tag of {len(tagged)} runs: {some(tagged)}; give an id")
    if fitting or tagged:
        return runs / (fitting or tagged)[0]
    if is_path:
        raise UsageError("run", text, "is not the directory of a run")
    if names and (close := nearest_word(text, names, tags)):
        raise UsageError("run", text, f"is neither a run nor a tag in {runs}; did you mean {close!r}?")
    check_id(text)
    raise UsageError("run", text, f"is neither a run nor a tag in {runs}; the newest is {_newest(runs, names)!r}")


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def with_the_part(text: str, names: list[str]) -> list[str]:
    """Return the names that begin with ``text``; where there are none, those that end with it."""
    if not is_id(text):
        return []
    return [name for name in names if name.startswith(text)] or [name for name in names if name.endswith("-" + text)]


def check_new_tags(path: Path, tags: Iterable[str]) -> None:
    """Raise UsageError for a tag that the run in ``path`` cannot get: it is a part of the id of another run."""
    names = [name for name in run_names(path.parent) if name != path.name]
    for tag in tags:
        if fitting := with_the_part(check_tag(tag), names):
            raise UsageError("tag", tag, f"is a part of the id of {some(fitting)}; choose another word")


def _written_ns(runs: Path, name: str) -> int:
    try:
        return os.lstat(f"{runs}/{name}/run.json").st_mtime_ns
    except OSError:
        return 0


def _newest(runs: Path, names: list[str]) -> str:
    return max(names, key=lambda name: age_key(name, _written_ns(runs, name)))


def some(names: list[str]) -> str:
    """Return the newest three of the names, and whether there are more."""
    shown = sorted(names, reverse=True)[:3]
    return ", ".join(shown) + (" …" if len(names) > len(shown) else "")


def nearest_word(text: str, names: Iterable[str], tags: Mapping[str, Iterable[str]] | None = None) -> str:
    """Return what ``text`` was meant to be: an id of ``names``, a tag that one run has, or ``last``; "" where none is near.

    An id is like a word that it contains, and like one that its beginning or its ending is like. Of several it is the one
    whose name sorts last, which is mostly the newest. ``tags`` are those of each name.
    """
    wanted = text[:LONGEST].lower()
    found = Counter(tag for some_tags in (tags or {}).values() for tag in some_tags)
    words = {}
    for name in sorted(names):
        if wanted and wanted in name.lower():
            words[wanted] = name
        words |= {part.lower(): name for part in (name, name[: len(wanted)], *_endings(name)[:1]) if part}
    words |= {tag.lower(): tag for tag, count in found.items() if count == 1} | {NEWEST: NEWEST}
    close = difflib.get_close_matches(wanted, words, n=1, cutoff=0.6)
    return words[close[0]] if close else ""
