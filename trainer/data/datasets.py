"""A data set ready to train on: `load` gives its images as uint8 tensors, split into train, validation and test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...errors import UsageError
from . import (
    dataset_info,
    decoded_cache,
    digits,
    image_folder,
    published_sets,
)
from .channel_statistics import ChannelStatistics
from .decoded_cache import Decoded, Log
from .split import counts_of, hold_out, seeded_keys, shares, validation_size


class LabelledImages:
    """Some images of a data set with their labels.

    ``source`` holds the images of the whole part they come from, uint8 (M, C, H, W), often memory-mapped, and
    ``rows`` says which of them these are, int64 (N,) ascending; None means all of them. ``labels`` is int64 (N,).
    """

    def __init__(self, images: Tensor, labels: Tensor, rows: Tensor | None = None) -> None:
        self.source = images
        self.rows = rows
        self.labels = labels
        self._images = images if rows is None else None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def images(self) -> Tensor:
        """These images, uint8 (N, C, H, W): the memory-mapped source itself where it is all of it, else a copy that
        is made at the first use. What cannot afford the copy takes ``source`` and ``rows``, or `batch`.
        """
        if self._images is None:
            assert self.rows is not None
            self._images = self.source[self.rows]
        return self._images

    def batch(self, index: Tensor) -> Tensor:
        """Return the images ``index``, int64 (B,) with values 0 … N - 1, as uint8 (B, C, H, W); copies these alone."""
        if self._images is not None:
            return self._images[index]
        assert self.rows is not None
        return self.source[self.rows[index]]


@dataclass(frozen=True)
class DataSet:
    """``mean`` and ``std`` are those of each channel, in 0 … 1, over the whole training set with the validation split.

    ``skipped`` names the files of a folder that could not be read, each with the reason. ``decoded`` false: no file
    was opened, and the images are black.
    """

    name: str
    classes: tuple[str, ...]
    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    mean: tuple[float, ...]
    std: tuple[float, ...]
    skipped: tuple[str, ...] = ()
    decoded: bool = True

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return self.train.source.shape[1]

    @property
    def image_size(self) -> int:
        """Side of the square images in pixels."""
        return self.train.source.shape[-1]


def load(
    name: str,
    data_folder: Path,
    cache_folder: Path,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    validation: float | None = None,
    seed: int = 0,
    classes: Sequence[str] = (),
    most_bytes: int | None = None,
    download: bool = True,
    log: Log = lambda line: None,
    progress: Callable[[int, int], None] | None = None,
) -> DataSet:
    """Load the data set ``name`` (see `datainfo.names`, or `folder:PATH`).

    Files are looked for in ``data_folder`` and downloaded to it where they are missing and ``download`` allows it; the
    decoded copy is kept in ``cache_folder``. ``image_size`` (default 32) and ``channels`` (default 3) hold for folders:
    a named set keeps its own size. ``validation`` is a share (0 < v < 1), a number of images, or 0 for none; by
    default 5,000 of a training set of 50,000 or more and a tenth of a smaller one. It is stratified and chosen by
    ``seed``; the test split is the same whatever the seed. ``classes`` are those of a run on a folder that goes on,
    ``most_bytes`` what may be decoded of a folder (see `image_folder.load`).
    ``log`` gets a line on what takes long or is out of the ordinary, ``progress`` the number of images decoded and
    their total.

    UsageError: no such set, a folder that is none, a validation split that cannot be. WorkError: the data cannot be had.
    """
    if name.startswith(dataset_info.FOLDER):
        text = dataset_info.in_full(name.removeprefix(dataset_info.FOLDER))
        size, planes = dataset_info.check_image_size(image_size), dataset_info.check_channels(channels)
        path = dataset_info.cache_path(cache_folder, name, size, planes)
        stored = image_folder.load(text, path, size, planes, log, progress, classes, most_bytes)
        return _assemble(dataset_info.FOLDER + text, tuple(stored.facts["classes"]), stored, validation, seed, log)
    entry = dataset_info.find(name)
    dataset_info.check_channels(channels, entry)
    stored = digits.load() if entry.name == "digits" else _named(entry, data_folder, cache_folder, download, log)
    return _assemble(entry.name, entry.classes, stored, validation, seed, log)


def _named(entry: dataset_info.NamedSet, data_folder: Path, cache_folder: Path, download: bool, log: Log) -> Decoded:
    """Return a published set from its decoded copy, or decoded from its files and then kept."""
    path = dataset_info.cache_path(cache_folder, entry.name)
    found = entry.files_on_disk(data_folder)
    stored = decoded_cache.read(path, published_sets.fingerprint(found) if found else None, log)
    if stored is not None:
        return stored
    parts = published_sets.read(entry, data_folder, download, log)
    statistics = ChannelStatistics(entry.channels)
    statistics.add(parts["train"][0])
    facts = {"mean": statistics.mean(), "std": statistics.std(), "skipped": []}
    with decoded_cache.Writer(path, log) as writer:
        for part, (images, labels) in parts.items():
            writer.add(f"{part}.images", images)
            writer.add(f"{part}.labels", labels)
        return writer.finish(published_sets.fingerprint(entry.files_on_disk(data_folder)), facts)


def _assemble(
    name: str, classes: tuple[str, ...], stored: Decoded, validation: float | None, seed: int, log: Log
) -> DataSet:
    arrays, facts = stored.arrays, stored.facts
    images, labels = arrays["train.images"], arrays["train.labels"]
    if "validation.images" in arrays:
        if validation is not None:
            log("the folder brings its own validation split; the one that was asked for is not held out")
        train = LabelledImages(images, labels)
        held = LabelledImages(arrays["validation.images"], arrays["validation.labels"])
    else:
        train, held = _hold_out(images, labels, len(classes), validation, seed)
    return DataSet(
        name,
        classes,
        train,
        held,
        LabelledImages(arrays["test.images"], arrays["test.labels"]),
        tuple(facts["mean"]),
        tuple(facts["std"]),
        tuple(facts["skipped"]),
        not facts.get("undecoded"),
    )


def _hold_out(
    images: Tensor, labels: Tensor, classes: int, validation: float | None, seed: int
) -> tuple[LabelledImages, LabelledImages]:
    """Train and validation split of the training set, as rows of the same tensor."""
    wanted = validation_size(validation, len(labels))
    if wanted == 0:
        return LabelledImages(images, labels), LabelledImages(images[:0], labels[:0])
    numbers = labels.tolist()
    held = shares(counts_of(numbers, classes), wanted)
    if sum(held) < wanted and validation is not None and validation >= 1:
        raise UsageError(
            "validation", validation, f"is too many: of {len(labels)} images {sum(held)} can be spared at most"
        )
    parts = [torch.tensor(rows, dtype=torch.int64) for rows in hold_out(numbers, held, seeded_keys(len(numbers), seed))]
    train, out = (LabelledImages(images, labels[rows], rows) for rows in parts)
    return train, out
