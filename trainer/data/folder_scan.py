"""What images a folder holds: its classes and its files, from their names alone (none is opened).

Two layouts are understood (folder_layout.py). With parts: `train/CLASS/…`, `test/CLASS/…` and, where there is one,
`val/CLASS/…`. Without: `CLASS/…`, from which about a fifth of every class becomes the test split, always the same images.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ...errors import UsageError
from ...settings import typed_path
from .folder_layout import CLASSES, SUFFIXES, Tree, find_layout, is_visible, natural, shown
from .split import counts_of, hold_out, name_keys, shares_for_test

DEFAULT_IMAGE_SIZE = 32
MOST_ENTRIES = 2_000_000
"""More files than any set that is decoded into one tensor has: whoever writes `folder:/` hears of it in seconds."""


class Item(NamedTuple):
    """A file: its path below the root, its class, and what tells whether it has changed."""

    path: str
    label: int
    size: int
    modified: int


@dataclass(frozen=True)
class Listing:
    """The images of a folder by part; ``remarks`` are sentences on what was left out or decided."""

    root: Path
    classes: tuple[str, ...]
    train: tuple[Item, ...]
    validation: tuple[Item, ...]
    test: tuple[Item, ...]
    remarks: tuple[str, ...]


class _Found(NamedTuple):
    path: str
    size: int
    modified: int


def absolute(text: str) -> Path:
    """Return the folder that a person wrote after `folder:`, with `~` and relative paths resolved."""
    path = text.removeprefix(CLASSES)
    if not path.strip():
        raise UsageError("dataset", "folder:", "names no folder; write folder:PATH")
    return Path(os.path.abspath(typed_path(path, "dataset")))


def in_full(text: str) -> str:
    """Return what a person wrote after `folder:` with an absolute path."""
    return (CLASSES if text.startswith(CLASSES) else "") + str(absolute(text))


def list_folder(text: str, stop: Callable[[], bool] = lambda: False, classes: Sequence[str] = ()) -> Listing:
    """Return the images below the folder ``text``; UsageError naming "dataset" says what keeps it from being a data
    set.

    ``stop`` is asked at each folder: nobody wants to know any more. That ends in a UsageError too. ``classes`` are those
    of a run that goes on, in its order; where the folder was read otherwise when the run began, it is read so again.
    """
    try:
        found = _list(text, stop, classes)
    except UsageError:
        if not classes:
            raise
        found = None
    if found is None or (classes and set(found.classes) != set(classes)):
        with contextlib.suppress(UsageError):
            before = _list(text, stop, classes, as_before=True)
            if set(before.classes) == set(classes):
                return before
    return found or _list(text, stop, classes)


def _list(text: str, stop: Callable[[], bool], classes: Sequence[str], *, as_before: bool = False) -> Listing:
    walk = _Walk(Tree(absolute(text), text), stop, classes)
    layout = find_layout(walk.tree, all_classes=text.startswith(CLASSES), as_before=as_before)
    walk.remarks += layout.remarks
    if not layout.parts:
        return _split(walk, _classes(walk, layout.classes))
    found = {part: _classes(walk, folders) for part, folders in layout.parts.items()}
    return _split(walk, found["train"]) if len(found) == 1 else _with_parts(walk, layout.folders, found)


def _classes(walk: _Walk, folders: Sequence[str]) -> dict[str, list[_Found]]:
    """Return the image files of each class, sorted by path; classes without one are left out with a remark."""
    classes: dict[str, list[_Found]] = {}
    for folder in folders:
        found = sorted(walk.images(folder))
        if found:
            classes[folder.rsplit("/", 1)[-1]] = found
        else:
            walk.remarks.append(f"the folder {shown(folder)} holds no image and was left out")
    return classes


class _Walk:
    """Goes through the class folders below ``root`` and gathers what there is to remark."""

    def __init__(self, tree: Tree, stop: Callable[[], bool], classes: Sequence[str]) -> None:
        self.tree = tree
        self.root = tree.root
        self.stop = stop
        self._order = {name: number for number, name in enumerate(classes)}
        self.remarks: list[str] = []
        self._strangers = 0
        self._stranger = ""
        self._entries = 0
        self._seen: set[tuple[int, int]] = set()

    def images(self, folder: str) -> list[_Found]:
        """Return the visible image files in a class folder and the folders in it. Links are followed, each folder once.

        A link back up, to a folder that holds the class folder, is not followed: the other classes are no part of this one.
        """
        self._seen = set()
        for above in (self.root / folder).parents:
            with contextlib.suppress(OSError):
                facts = os.stat(above)
                self._seen.add((facts.st_dev, facts.st_ino))
        return list(self._images(folder))

    def sorted(self, names: Iterable[str]) -> list[str]:
        """Return classes in the order of their labels: that of the run that goes on, else numbers as numbers."""
        known = self._order
        return sorted(names, key=lambda name: (known.get(shown(name), len(known)), natural(name)))

    def labels(self, names: Iterable[str]) -> list[str]:
        """Return classes in the order of their labels, with a remark on those that differ by capitals alone."""
        classes = self.sorted(names)
        alike: dict[str, list[str]] = {}
        for name in classes:
            alike.setdefault(name.casefold(), []).append(shown(name))
        for same in alike.values():
            if len(same) > 1:
                told = f"{', '.join(same[:-1])} and {same[-1]}"
                self.remarks.append(f"the classes {told} differ by capital letters alone and are classes of their own")
        return classes

    def all_remarks(self) -> tuple[str, ...]:
        """Return the remarks, with one on the files that are no images by their names."""
        if not self._strangers:
            return tuple(self.remarks)
        number = "one file is" if self._strangers == 1 else f"{self._strangers} files are"
        return (*self.remarks, f"{number} no image by name and left out, such as {shown(self._stranger)}")

    def _images(self, folder: str) -> Iterator[_Found]:
        for entry in self._entries_of(folder):
            path = f"{folder}/{entry.name}"
            try:
                if entry.is_dir():
                    yield from self._images(path)
                    continue
                facts = entry.stat()
            except OSError:
                # A link to nowhere: it stays in the list, so that the decoder reports it by name.
                facts = None
            suffix = os.path.splitext(entry.name)[1].lower()
            if suffix and suffix not in SUFFIXES:
                self._strangers += 1
                self._stranger = self._stranger or path
            elif facts is None:
                yield _Found(path, -1, 0)
            elif stat.S_ISREG(facts.st_mode):
                yield _Found(path, facts.st_size, facts.st_mtime_ns)

    def _entries_of(self, folder: str) -> list[os.DirEntry[str]]:
        if self.stop():
            self.tree.wrong("was not read to its end")
        try:
            here = os.stat(self.root / folder)
            if (here.st_dev, here.st_ino) in self._seen:
                return []
            self._seen.add((here.st_dev, here.st_ino))
            with os.scandir(self.root / folder) as entries:
                visible = [entry for entry in entries if is_visible(entry.name)]
        except OSError as error:
            self.remarks.append(f"the folder {shown(folder)} cannot be read ({error.strerror}) and was left out")
            return []
        self._entries += len(visible)
        if self._entries > MOST_ENTRIES:
            self.tree.wrong(f"holds more than {MOST_ENTRIES:,} files; is it the right folder?")
        return visible


def _check(tree: Tree, path: str, classes: Sequence[str], found: Iterable[list[_Found]]) -> None:
    """Raise UsageError unless there are two classes; ``path`` is where their folders should be."""
    if len(classes) >= 2:
        return
    if classes:
        where = os.path.commonpath([os.path.dirname(file.path) for files in found for file in files])
        deeper = tree.root / where if len(tree.inside(where)) > 1 else None
        meant = f"; folder:{shown(str(deeper))} may be meant" if deeper else ""
        tree.wrong(f"has images of one class only ({shown(classes[0])}); a classifier needs two or more{meant}")
    if tree.holds_images(path):
        tree.wrong("holds images but no class folders; put the images of each class into a folder of its own")
    tree.wrong("holds no image; it needs a folder of images for each class, or train/ and test/ with such folders")


def _items(found: dict[str, list[_Found]], classes: Sequence[str]) -> list[Item]:
    label_of = {name: label for label, name in enumerate(classes)}
    return [Item(file.path, label_of[name], file.size, file.modified) for name in sorted(found) for file in found[name]]


def _split(walk: _Walk, found: dict[str, list[_Found]]) -> Listing:
    """Class folders only: about a fifth of every class, chosen by the names of the files, is the test split."""
    classes = walk.labels(found)
    _check(walk.tree, "", classes, found.values())
    items = _items(found, classes)
    labels = [item.label for item in items]
    counts = counts_of(labels, len(classes))
    for name, count in zip(classes, counts, strict=True):
        if count < 2:
            walk.tree.wrong(f"has one image of class {shown(name)}, which cannot be split into training and test")
    kept, held = hold_out(labels, shares_for_test(counts), name_keys([item.path for item in items]))
    walk.remarks.append(f"there is no test split: {len(held)} of the {len(items)} images are held out for it")
    train, test = (tuple(items[row] for row in rows) for rows in (kept, held))
    return Listing(walk.root, tuple(shown(name) for name in classes), train, (), test, walk.all_remarks())


def _with_parts(walk: _Walk, parts: dict[str, str], found: dict[str, dict[str, list[_Found]]]) -> Listing:
    classes = walk.labels(found["train"])
    _check(walk.tree, parts["train"], classes, found["train"].values())
    for part in parts:
        strange = sorted(set(found[part]) - set(classes))
        if strange:
            names = ", ".join(shown(name) for name in strange[:3]) + (", …" if len(strange) > 3 else "")
            walk.tree.wrong(f"has classes in {shown(parts[part])} that are not in {shown(parts['train'])}: {names}")
        if not found[part]:
            walk.tree.wrong(f"has no class folders with images in {shown(parts[part])}")
    items = {part: tuple(_items(found[part], classes)) for part in parts}
    return Listing(
        walk.root,
        tuple(shown(name) for name in classes),
        items["train"],
        items.get("validation", ()),
        items["test"],
        walk.all_remarks(),
    )
