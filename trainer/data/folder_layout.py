"""What the folders of one's own images are, splits or classes: told from their names and what folders they hold.

No file is opened. Splits may be called `train` and `test`, `training_set` and `test_set`, `seg_train` and `seg_test`,
`train` and `dev`. Folders under other names that hold the same class folders are neither guessed to be splits nor taken
for classes: a person says which. A folder that holds nothing but another one is looked into.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from ...errors import UsageError

CLASSES = "classes:"
"""Before a path: every folder in it is a class, whatever it is called and holds."""

PART_NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What a split is called, whatever stands beside it."""

WORDS = {word: part for part, words in PART_NAMES.items() for word in words}
WORDS |= {"dev": "validation", "eval": "test", "evaluation": "test", "holdout": "test", "heldout": "test"}
"""Words in the names of splits: `Test-Set`, `seg_train`, `dev`."""

FILLERS = ("dataset", "set", "data", "images", "image", "imgs", "img", "pictures", "photos", "split", "folder")
"""Words beside them that say nothing."""

_SUFFIXES = """.apng .avif .bmp .cur .dds .dib .fits .gif .heic .heif .hif .icns .ico .j2k .jfif .jp2 .jpe .jpeg .jpg .jpx
.mpo .msp .pbm .pcx .pgm .png .pnm .ppm .psd .qoi .ras .rgb .sgi .svg .tga .tif .tiff .webp .xbm .xpm"""

SUFFIXES = frozenset(_SUFFIXES.split())
"""Files of these names are taken for images, and files without a suffix; those that cannot be read are reported."""

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")

MOST_COMPARED = 100
MOST_NAMED = 10
ALIKE = 2
"""So many class folders have to be the same for two folders to look like splits of one set, and half of the fewer."""


def shown(name: str) -> str:
    """Return ``name`` as it may be printed and stored: bytes that are no UTF-8 and control characters are escaped."""
    readable = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in readable)


def natural(name: str) -> tuple:
    """Return a key by which names are sorted as people do: 2 before 10, a2 before a10, -10 before -5, 0.25 before 0.5."""
    if _NUMBER.fullmatch(name):
        return ((0, float(name), ""),), name
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part), name


@dataclass(frozen=True)
class Tree:
    """The folders below ``root``, which a person wrote as ``text``; paths are below the root, "" is the root itself."""

    root: Path
    text: str

    def wrong(self, hint: str) -> NoReturn:
        """Raise the UsageError for this folder."""
        raise UsageError("dataset", f"folder:{self.text}", hint)

    def inside(self, path: str) -> list[str]:
        """Return the paths of the visible folders in a folder, sorted. UsageError."""
        folder = self.root / path
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if is_visible(entry.name) and _is_folder(entry))
        except FileNotFoundError:
            self.wrong(f"does not exist ({shown(str(folder))})")
        except NotADirectoryError:
            self.wrong("is a file, not a folder")
        except (OSError, ValueError) as error:
            self.wrong(f"cannot be read: {error}")
        return [f"{path}/{name}" if path else name for name in names]

    def holds_images(self, path: str) -> bool:
        """Return whether an image lies in a folder itself, by its name."""
        try:
            return any(os.path.splitext(name)[1].lower() in SUFFIXES for name in os.listdir(self.root / path))
        except OSError:
            return False


def is_visible(name: str) -> bool:
    """Return whether a file or folder counts; those of macOS and hidden ones do not."""
    return not name.startswith(".") and name != "__MACOSX"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder; a link that leads to itself is none, as one that leads nowhere."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise


@dataclass
class FolderLayout:
    """The class folders of each part, or those of all images where there are no parts. ``folders`` are the parts' own."""

    folders: dict[str, str] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def find_layout(tree: Tree, *, all_classes: bool = False, as_before: bool = False) -> FolderLayout:
    """Return what the folders are. UsageError where they could be splits as well as classes.

    ``all_classes``: a person has said that they are classes. ``as_before``: as version 0.1.0 read them, which knew the
    splits by their exact names, looked into nothing and doubted nothing.
    """
    found = FolderLayout()
    top = "" if all_classes or as_before else _unwrapped(tree, "")
    if top:
        found.remarks.append(f"the images lie in {shown(top)}")
    folders = tree.inside(top)
    parts = {} if all_classes else _by_exact_names(tree, folders)
    if not parts and not (all_classes or as_before):
        parts = _by_words(folders)
        if not parts:
            _check_not_alike(tree, folders)
            _check_no_splits_inside(tree, folders)
    if not parts:
        found.classes = folders
        return found
    for folder in folders:
        if folder not in parts.values():
            found.remarks.append(f"the folder {shown(folder)} is none of train, validation and test and was left out")
    if "test" not in parts and "validation" in parts:
        parts["test"] = parts.pop("validation")
        found.remarks.append(f"there is no test split: {shown(parts['test'])} is taken for it")
    found.folders = parts if as_before else {part: _unwrapped(tree, folder) for part, folder in parts.items()}
    found.parts = {part: tree.inside(folder) for part, folder in found.folders.items()}
    if len(parts) > 1 and not found.parts["train"]:
        where = found.folders["train"]
        names = " and ".join(map(shown, found.folders.values()))
        hint = f"if {names} are themselves classes, write folder:{CLASSES}{shown(tree.text)}"
        tree.wrong(
            f"has no class folders in {shown(where)}; put the images of each class into a folder of its own; {hint}"
        )
    return found


def _unwrapped(tree: Tree, path: str) -> str:
    """Return the folder that lies in a folder alone, and so on; a training split and a class are not looked into."""
    while True:
        inside = tree.inside(path)
        if len(inside) != 1 or tree.holds_images(path) or _name(inside[0]).lower() in PART_NAMES["train"]:
            return path
        if tree.holds_images(inside[0]) or not tree.inside(inside[0]):
            return path
        path = inside[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _by_exact_names(tree: Tree, folders: Sequence[str]) -> dict[str, str]:
    """Return the folder of each part by the usual names; empty where the folders may be classes."""
    parts: dict[str, str] = {}
    for part, known in PART_NAMES.items():
        for folder in folders:
            if _name(folder).lower() in known:
                parts.setdefault(part, folder)
    if len(parts) < 2:
        # A lone train/ with folders in it is a part; "train" among other folders may as well be a class.
        alone = list(parts) == ["train"] and len(folders) == 1
        return parts if alone and tree.inside(parts["train"]) else {}
    if "train" not in parts:
        tree.wrong(f"has {' and '.join(sorted(map(shown, parts.values())))} but no train")
    return parts


def _by_words(folders: Iterable[str]) -> dict[str, str]:
    """Return the folder of each part by a word in its name, where the names are otherwise alike; else empty."""
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    for folder in folders:
        part, rest = _reading(_name(folder))
        if part:
            groups.setdefault(rest, {}).setdefault(part, folder)
    fitting = [parts for parts in groups.values() if "train" in parts and len(parts) > 1]
    return fitting[0] if len(fitting) == 1 else {}


def _reading(name: str) -> tuple[str, tuple[str, ...]]:
    """Return which part a name means, "" for none or several, and the other words in it: seg_train is train and seg."""
    words = re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    found = [part for word in words if (part := _part_of(word))]
    rest = tuple(word for word in words if not _part_of(word) and word not in FILLERS)
    return (found[0], rest) if len(found) == 1 else ("", rest)


def _part_of(word: str) -> str:
    """Return the part that a word means, ``testset`` as well as ``test``; "" for none."""
    endings = (word.removesuffix(filler) for filler in FILLERS)
    return WORDS.get(word) or next((WORDS[ending] for ending in endings if ending in WORDS), "")


def _check_not_alike(tree: Tree, folders: Sequence[str]) -> None:
    """Raise UsageError where two folders hold the same folders: these may be the classes, or parts of a class."""
    some = sorted(folders, key=natural)[:MOST_COMPARED]
    inside = {folder: _alike_names(tree, folder) for folder in some}
    compared = [folder for folder, names in inside.items() if len(names) >= ALIKE]
    for number, first in enumerate(compared):
        for second in compared[number + 1 :]:
            if _are_alike(inside[first], inside[second]):
                both = inside[first].keys() & inside[second].keys()
                others = [folder for folder in compared[number + 1 :] if _are_alike(inside[first], inside[folder])]
                alike = {folder: inside[folder] for folder in (first, *others)}
                _refuse(tree, {folder: [held[key] for key in both if key in held] for folder, held in alike.items()})


def _are_alike(first: dict[object, str], second: dict[object, str]) -> bool:
    """Return whether two folders hold the same folders, or enough of them to be splits of one set."""
    both = first.keys() & second.keys()
    return len(both) >= ALIKE and 2 * len(both) >= min(len(first), len(second))


def _alike_names(tree: Tree, folder: str) -> dict[object, str]:
    """Return the names of the folders in a folder that may be a split, by what is the same in another split: Cat and cat,
    train_cat and test_cat; a folder that lies in it alone is looked into.
    """
    names = [_name(path) for path in tree.inside(_unwrapped(tree, folder))]
    return {(_reading(name)[1] if _reading(name)[0] else ()) or name.lower(): name for name in names}


def _check_no_splits_inside(tree: Tree, folders: Sequence[str]) -> None:
    """Raise UsageError where a folder holds splits: it is the set itself, beside others, or a class split by itself."""
    for folder in sorted(folders, key=natural)[:MOST_COMPARED]:
        where = _unwrapped(tree, folder)
        inside = tree.inside(where)
        parts = _by_words(inside)
        if parts and any(map(tree.inside, parts.values())):
            names, meant = " and ".join(shown(_name(path)) for path in parts.values()), shown(str(tree.root / where))
            tree.wrong(
                f"is not clear: {shown(where)} holds {names}. If these are the splits, write folder:{meant}; if "
                f"{shown(_name(folder))} is a class, write folder:{CLASSES}{shown(tree.text)}"
            )


def _refuse(tree: Tree, inside: dict[str, list[str]]) -> NoReturn:
    """Raise the UsageError for folders that hold the same folders: ``inside`` has what is the same in each of them."""
    first, *others = inside
    names = inside[first]
    listed = _joined([shown(folder) for folder in inside])
    same = f"{listed} {'both' if len(others) == 1 else 'all'} hold {_some(names)}"
    alike = all(set(inside[folder]) == set(names) for folder in others)
    if not alike:
        same = _joined([f"{shown(folder)} holds {_some(held)}" for folder, held in inside.items()], ", and ")
    classes = f"if {listed} are the classes, write folder:{CLASSES}{shown(tree.text)}"
    if alike and _by_words(names):
        place = f"{shown(_by_words(names)['train'])}/{shown(_name(first))}"
        wanted = f"If these are splits, put the folders of the classes into them ({place})"
        tree.wrong(f"is not clear: {same}. {wanted}; {classes}, and all images are taken and split anew")
    parts = {2: "train and test", 3: "train, validation and test"}.get(len(inside))
    wanted = f"rename {listed} to {parts}" if parts else "put them into folders train and test"
    tree.wrong(f"is not clear: {same}. If these are the classes, {wanted}; {classes}")


def _joined(words: Sequence[str], last: str = " and ") -> str:
    """Return words for the middle of a sentence, the first few of many: ``a, b and c``."""
    if len(words) > MOST_NAMED:
        return ", ".join(words[:MOST_NAMED]) + f" and {len(words) - MOST_NAMED} more"
    return last.join(filter(None, (", ".join(words[:-1]), words[-1])))


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(shown, sorted(names, key=natural)[:3])) + (", …" if len(names) > 3 else "")
