"""What images a folder holds: its layout, its classes and its files, from their names alone (none is opened).

Two layouts are understood. With parts: `train/CLASS/…`, `test/CLASS/…` and, where there is one, `val/CLASS/…`. Without:
`CLASS/…`, from which about a fifth of every class becomes the test split, always the same images.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

from ...errors import UsageError
from .split import counts_of, hold_out, name_keys, shares_for_test

DEFAULT_IMAGE_SIZE = 32
MOST_ENTRIES = 2_000_000
"""More files than any set that is decoded into one tensor has: whoever writes `folder:/` hears of it in seconds."""

PART_NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}

_SUFFIXES = """.apng .avif .bmp .cur .dds .dib .fits .gif .heic .heif .icns .ico .j2k .jfif .jp2 .jpe .jpeg .jpg .jpx
.mpo .msp .pbm .pcx .pgm .png .pnm .ppm .psd .qoi .ras .rgb .sgi .svg .tga .tif .tiff .webp .xbm .xpm"""

SUFFIXES = frozenset(_SUFFIXES.split())
"""Files of these names are taken for images, and files without a suffix; those that cannot be read are reported."""


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
    if not text.strip():
        raise UsageError("dataset", "folder:", "names no folder; write folder:PATH")
    return Path(os.path.abspath(os.path.expanduser(text)))


def shown(name: str) -> str:
    """Return ``name`` as it may be printed and stored: bytes that are no UTF-8 and control characters are escaped."""
    readable = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in readable)


def list_folder(text: str, stop: Callable[[], bool] = lambda: False) -> Listing:
    """Return the images below the folder ``text``; UsageError naming "dataset" says what keeps it from being a data
    set.

    ``stop`` is asked at each folder: nobody wants to know any more. That ends in a UsageError too.
    """
    root = absolute(text)
    folders = _folders_in(root, text)
    parts = _parts(root, text, folders)
    walk = _Walk(root, text, stop)
    if not parts:
        return _split(walk, _classes(walk, folders))
    for folder in folders:
        if folder not in parts.values():
            walk.remarks.append(f"the folder {shown(folder)} is none of train, validation and test and was left out")
    if "test" not in parts and "validation" in parts:
        parts["test"] = parts.pop("validation")
        walk.remarks.append(f"there is no test split: {shown(parts['test'])} is taken for it")
    found_in = {
        part: _classes(walk, [f"{folder}/{name}" for name in _folders_in(root / folder, text)])
        for part, folder in parts.items()
    }
    return _split(walk, found_in["train"]) if len(parts) == 1 else _with_parts(walk, parts, found_in)


def _wrong(text: str, hint: str) -> NoReturn:
    raise UsageError("dataset", f"folder:{text}", hint)


def _folders_in(folder: Path, text: str) -> list[str]:
    """Return the names of the visible folders in ``folder``, sorted."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if _visible(entry.name) and entry.is_dir())
    except FileNotFoundError:
        _wrong(text, f"does not exist ({shown(str(folder))})")
    except NotADirectoryError:
        _wrong(text, "is a file, not a folder")
    except (OSError, ValueError) as error:
        _wrong(text, f"cannot be read: {error}")


def _parts(root: Path, text: str, folders: Sequence[str]) -> dict[str, str]:
    """Return the folder of each part; empty where the folders are classes."""
    parts: dict[str, str] = {}
    for part, known in PART_NAMES.items():
        for folder in folders:
            if folder.lower() in known:
                parts.setdefault(part, folder)
    if len(parts) < 2:
        # A lone train/ with folders in it is a part; "train" among other folders may as well be a class.
        alone = list(parts) == ["train"] and len(folders) == 1
        return parts if alone and _folders_in(root / parts["train"], text) else {}
    if "train" not in parts:
        _wrong(text, f"has {' and '.join(sorted(parts.values()))} but no train")
    if not _folders_in(root / parts["train"], text):
        _wrong(text, f"has no class folders in {parts['train']}; put the images of each class into a folder of its own")
    return parts


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

    def __init__(self, root: Path, text: str, stop: Callable[[], bool]) -> None:
        self.root = root
        self.text = text
        self.stop = stop
        self.remarks: list[str] = []
        self._strangers = 0
        self._stranger = ""
        self._entries = 0
        self._seen: set[tuple[int, int]] = set()

    def images(self, folder: str) -> list[_Found]:
        """Return the visible image files in a class folder and the folders in it. Links are followed, each folder once."""
        self._seen = set()
        return list(self._images(folder))

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
            _wrong(self.text, "was not read to its end")
        try:
            here = os.stat(self.root / folder)
            if (here.st_dev, here.st_ino) in self._seen:
                return []
            self._seen.add((here.st_dev, here.st_ino))
            with os.scandir(self.root / folder) as entries:
                visible = [entry for entry in entries if _visible(entry.name)]
        except OSError as error:
            self.remarks.append(f"the folder {shown(folder)} cannot be read ({error.strerror}) and was left out")
            return []
        self._entries += len(visible)
        if self._entries > MOST_ENTRIES:
            _wrong(self.text, f"holds more than {MOST_ENTRIES:,} files; is it the right folder?")
        return visible


def _visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _check(folder: Path, text: str, classes: Sequence[str]) -> None:
    """Raise UsageError unless there are two classes; ``folder`` is where their folders should be."""
    if len(classes) >= 2:
        return
    if classes:
        _wrong(text, f"has images of one class only ({shown(classes[0])}); a classifier needs two or more")
    if any(os.path.splitext(entry)[1].lower() in SUFFIXES for entry in os.listdir(folder)):
        _wrong(text, "holds images but no class folders; put the images of each class into a folder of its own")
    _wrong(text, "holds no image; it needs a folder of images for each class, or train/ and test/ with such folders")


def _items(found: dict[str, list[_Found]], classes: Sequence[str]) -> list[Item]:
    label_of = {name: label for label, name in enumerate(classes)}
    return [Item(file.path, label_of[name], file.size, file.modified) for name in sorted(found) for file in found[name]]


def _split(walk: _Walk, found: dict[str, list[_Found]]) -> Listing:
    """Class folders only: about a fifth of every class, chosen by the names of the files, is the test split."""
    classes = sorted(found)
    _check(walk.root, walk.text, classes)
    items = _items(found, classes)
    labels = [item.label for item in items]
    counts = counts_of(labels, len(classes))
    for name, count in zip(classes, counts, strict=True):
        if count < 2:
            _wrong(walk.text, f"has one image of class {shown(name)}, which cannot be split into training and test")
    kept, held = hold_out(labels, shares_for_test(counts), name_keys([item.path for item in items]))
    walk.remarks.append(f"there is no test split: {len(held)} of the {len(items)} images are held out for it")
    train, test = (tuple(items[row] for row in rows) for rows in (kept, held))
    return Listing(walk.root, tuple(shown(name) for name in classes), train, (), test, walk.all_remarks())


def _with_parts(walk: _Walk, parts: dict[str, str], found: dict[str, dict[str, list[_Found]]]) -> Listing:
    classes = sorted(found["train"])
    _check(walk.root / parts["train"], walk.text, classes)
    for part in parts:
        strange = sorted(set(found[part]) - set(classes))
        if strange:
            names = ", ".join(shown(name) for name in strange[:3]) + (", …" if len(strange) > 3 else "")
            _wrong(walk.text, f"has classes in {parts[part]} that are not in {parts['train']}: {names}")
        if not found[part]:
            _wrong(walk.text, f"has no class folders with images in {parts[part]}")
    items = {part: tuple(_items(found[part], classes)) for part in parts}
    return Listing(
        walk.root,
        tuple(shown(name) for name in classes),
        items["train"],
        items.get("validation", ()),
        items["test"],
        walk.all_remarks(),
    )
