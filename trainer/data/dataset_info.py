"""Which data sets there are, told in milliseconds: no torch, no numpy, no image is opened.

A data set is named `digits`, `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, or `folder:PATH` for one's own images.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ... import settings
from ...errors import UsageError, nearest
from .folder_scan import DEFAULT_IMAGE_SIZE, absolute, in_full, list_folder, shown

FOLDER = "folder:"
CACHE_SUFFIX = ".images"

_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100 = """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm"""
_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class DataInfo:
    """What is known of a data set without loading it. ``train`` counts the images before validation is held out."""

    name: str
    title: str
    channels: int
    size: int
    classes: tuple[str, ...]
    train: int
    test: int
    on_disk: bool
    folder: Path
    source: str
    validation: int = 0
    """Images of a validation split that a folder brings itself; the others have theirs held out of ``train``."""


@dataclass(frozen=True)
class NamedSet:
    """A published data set: its facts, and the files it consists of, in the layout that torchvision uses."""

    name: str
    title: str
    channels: int
    size: int
    classes: tuple[str, ...]
    train: int
    test: int
    source: str
    folder: str = ""
    files: tuple[str, ...] = ()
    archive: str | None = None
    """One archive beside the folder from which the files can be unpacked; None: each file may itself end in .gz."""

    def files_on_disk(self, data_folder: Path) -> tuple[Path, ...]:
        """Return the files that are on disk, or () when one is missing: unpacked ones first, then packed ones."""
        folder = data_folder / self.folder
        plain = tuple(folder / file for file in self.files)
        if self.archive is not None:
            packed = data_folder / self.archive
            if all(map(os.path.isfile, plain)):
                return plain
            return (packed,) if os.path.isfile(packed) else ()
        found = tuple(path if os.path.isfile(path) else path.with_name(path.name + ".gz") for path in plain)
        return found if all(map(os.path.isfile, found)) else ()

    def missing(self, data_folder: Path) -> tuple[str, ...]:
        """Return the names of the files that are neither in their folder nor, as one archive, beside it."""
        ending = ".gz" if self.archive is None else ""
        folder = data_folder / self.folder
        return tuple(
            name
            for name in self.files
            if not os.path.isfile(folder / name) and not (ending and os.path.isfile(folder / (name + ending)))
        )

    def by_hand(self, data_folder: Path) -> str:
        """Return what a person without a network can do, as half a sentence; only files that are missing are named."""
        files = ", ".join(self.missing(data_folder) or self.files)
        if self.archive is None:
            return f"put {files} (each may end in .gz) into {data_folder / self.folder}"
        return f"put {self.archive} into {data_folder}, or its files ({files}) into {data_folder / self.folder}"


NAMED = {
    entry.name: entry
    for entry in (
        NamedSet(
            "digits",
            "Optical Recognition of Handwritten Digits",
            1,
            28,
            _DIGITS,
            1438,
            359,
            "E. Alpaydin and C. Kaynak, UCI, 1998, CC BY 4.0; comes with the program, scaled from 8x8 to 28x28",
        ),
        NamedSet(
            "mnist",
            "MNIST handwritten digits",
            1,
            28,
            _DIGITS,
            60000,
            10000,
            "Y. LeCun, C. Cortes and C. Burges, 1998",
            "MNIST/raw",
            _IDX,
        ),
        NamedSet(
            "fashion-mnist",
            "Fashion-MNIST articles of clothing",
            1,
            28,
            _CLOTHES,
            60000,
            10000,
            "H. Xiao, K. Rasul and R. Vollgraf, Zalando, 2017, MIT licence",
            "FashionMNIST/raw",
            _IDX,
        ),
        NamedSet(
            "cifar10",
            "CIFAR-10 tiny colour photographs",
            3,
            32,
            _CIFAR10,
            50000,
            10000,
            "A. Krizhevsky, University of Toronto, 2009",
            "cifar-10-batches-py",
            (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"),
            "cifar-10-python.tar.gz",
        ),
        NamedSet(
            "cifar100",
            "CIFAR-100 tiny colour photographs, fine labels",
            3,
            32,
            tuple(_CIFAR100.split()),
            50000,
            10000,
            "A. Krizhevsky, University of Toronto, 2009",
            "cifar-100-python",
            ("train", "test", "meta"),
            "cifar-100-python.tar.gz",
        ),
    )
}


def names() -> tuple[str, ...]:
    """Return the data sets that have a name, smallest first."""
    return tuple(NAMED)


def find(name: str) -> NamedSet:
    """Return the data set called ``name``; `CIFAR-10` and `fashion_mnist` are understood. UsageError otherwise."""
    plain = _letters(name)
    for entry in NAMED.values():
        if _letters(entry.name) == plain:
            return entry
    if os.path.isdir(os.path.expanduser(name)):  # False for what can be no path
        raise UsageError("dataset", name, f"is a folder; write {FOLDER}{name}")
    hint = nearest(name, [*NAMED, FOLDER + "PATH"])
    known = f"there are {', '.join(NAMED)} and {FOLDER}PATH"
    raise UsageError("dataset", name, f"is not a data set; {hint + ' ' if hint.startswith('did') else ''}{known}")


def describe(
    name: str,
    data_folder: Path,
    image_size: int | None = None,
    *,
    channels: int | None = None,
    cache_folder: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> DataInfo:
    """Return what ``name`` is and whether it is on disk, as original files or as the decoded copy in ``cache_folder``.

    ``image_size`` and ``channels`` say how the images of `folder:PATH` would be scaled and read; a named set has its
    own. UsageError naming "dataset": no such set, or what is wrong with the folder. Counts of a folder are those of
    the files that are images by their names; how many can be read is known only after decoding. A large folder takes
    seconds, and ``stop`` ends that.
    """
    if name.startswith(FOLDER):
        return _describe_folder(name, image_size, channels, stop)
    entry = find(name)
    check_channels(channels, entry)
    if entry.name == "digits":
        folder, on_disk = Path(__file__).parent, True
    else:
        folder = data_folder / entry.folder
        caches = settings.cache_folder() if cache_folder is None else cache_folder
        on_disk = bool(entry.files_on_disk(data_folder)) or os.path.isfile(cache_path(caches, entry.name))
    return DataInfo(
        entry.name,
        entry.title,
        entry.channels,
        entry.size,
        entry.classes,
        entry.train,
        entry.test,
        on_disk,
        folder,
        entry.source,
    )


def _describe_folder(name: str, image_size: int | None, channels: int | None, stop: Callable[[], bool]) -> DataInfo:
    size, channels = check_image_size(image_size), check_channels(channels)
    text = name.removeprefix(FOLDER)
    listing = list_folder(text, stop)
    return DataInfo(
        FOLDER + in_full(text),
        f"images in {shown(listing.root.name)}",
        channels,
        size,
        listing.classes,
        len(listing.train),
        len(listing.test),
        True,
        listing.root,
        f"your own images in {shown(str(listing.root))}",
        len(listing.validation),
    )


def check_image_size(image_size: int | None) -> int:
    """Return the side to which the images of a folder are scaled; UsageError when it is no size."""
    if image_size is None:
        return DEFAULT_IMAGE_SIZE
    if not 1 <= image_size <= 4096:
        raise UsageError("image-size", image_size, "must be between 1 and 4096 pixels")
    return image_size


def check_channels(channels: int | None, entry: NamedSet | None = None) -> int:
    """Return 1 (grey) or 3 (RGB, the default of a folder); UsageError for other channels of a named set than its own."""
    if entry is not None:
        if channels not in (None, entry.channels):
            raise UsageError("channels", channels, f"does not fit {entry.name}, which has {entry.channels}")
        return entry.channels
    if channels not in (None, 1, 3):
        raise UsageError("channels", channels, "must be 1 (grey) or 3 (colour)")
    return 3 if channels is None else channels


def cache_path(cache_folder: Path, name: str, image_size: int | None = None, channels: int | None = None) -> Path:
    """Return where the decoded copy of a data set lies; a folder has one for each size and number of channels."""
    if not name.startswith(FOLDER):
        return cache_folder / (name + CACHE_SUFFIX)
    root = absolute(name.removeprefix(FOLDER))
    place = hashlib.sha256(str(root).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    title = re.sub(r"[^A-Za-z0-9_-]+", "_", root.name)[:40]
    return (
        cache_folder / f"folder-{title}-{place}-{check_image_size(image_size)}x{check_channels(channels)}{CACHE_SUFFIX}"
    )


def _letters(name: str) -> str:
    return re.sub(r"[-_\s]", "", name).lower()
