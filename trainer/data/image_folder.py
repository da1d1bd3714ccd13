"""One's own images: every file that Pillow can read becomes a square uint8 image; the rest is named and skipped.

image_file.py says how a file is read and scaled.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import UsageError
from .channel_statistics import ChannelStatistics
from .decoded_cache import Decoded, Log, Writer, read
from .folder_scan import Item, Listing, list_folder, shown
from .image_file import FEWEST_LEVELS, formats, read_image, read_with_levels, reason

__all__ = ["PLAN_BYTES", "DecodedImages", "listing_key", "load", "read_image"]

LAYOUT_VERSION = 1
"""Part of the key of the decoded copies: to be raised when images come out differently than before."""

BATCH = 16
BATCH_BYTES = 4 << 20
"""A batch is as many decoded images as fit in this, ``BATCH`` at most and one at least."""

AHEAD = 32
LOG_EVERY_S = 10.0

PLAN_BYTES = 512 << 20
"""What a plan decodes at most, as decoded images; of more it takes the names of the files alone."""
PLAN_FILE_BYTES = 4 * PLAN_BYTES
"""What a plan reads at most: small images may be made of large files."""


Progress = Callable[[int, int], None]


class DecodedImages(NamedTuple):
    """Images uint8 (N, C, S, S), labels int64 (N,), the files that could not be read, each with the reason, and the
    files of more than 8 bits of which little is left.
    """

    images: np.ndarray
    labels: np.ndarray
    failed: list[str]
    narrow: list[str]


def load(
    text: str,
    path: Path,
    size: int,
    channels: int,
    log: Log,
    progress: Progress | None = None,
    classes: Sequence[str] = (),
    most_bytes: int | None = None,
) -> Decoded:
    """Return the images of a folder, from the decoded copy at ``path`` if nothing has changed since it was made.

    Arrays `train.images`, `train.labels` and so on for test and, where the folder has one, validation. Facts: classes,
    mean, std, skipped. Where more than ``most_bytes`` would have to be decoded, the images are black and nothing is
    known of the files but their names; the fact ``undecoded`` says so. UsageError naming "dataset" when the folder is no
    data set.
    """
    listing = list_folder(text, classes=classes)
    for remark in listing.remarks:
        log(remark)
    key = listing_key(listing, size, channels)
    stored = read(path, key, log)
    total = len(listing.train) + len(listing.validation) + len(listing.test)
    if stored is None and most_bytes is not None and _is_much(listing, total * channels * size**2, most_bytes):
        log(f"{total:,} images are not decoded for a plan: their numbers are those of the files")
        return _undecoded(listing, size, channels)
    if stored is None:
        with Writer(path, log) as writer, warnings.catch_warnings():
            # Pillow warns of odd EXIF data and very large images; what matters is whether it can read the file.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            stored = _decode(listing, writer, key, size, channels, log, progress)
    _report_narrow(stored.facts.get("narrow", []), total, log)
    _report(stored.facts["skipped"], log)
    return stored


def _is_much(listing: Listing, decoded: int, most_bytes: int) -> bool:
    """Return whether a plan had too much to decode, or to read from the files."""
    files = sum(max(item.size, 0) for items in (listing.train, listing.validation, listing.test) for item in items)
    return decoded > most_bytes or files > PLAN_FILE_BYTES


def _undecoded(listing: Listing, size: int, channels: int) -> Decoded:
    """Return black images that take no memory, with the labels of the files."""
    import torch

    black = torch.zeros((1, channels, size, size), dtype=torch.uint8)
    arrays = {}
    for part, items in (("train", listing.train), ("validation", listing.validation), ("test", listing.test)):
        if items:
            arrays[f"{part}.images"] = black.expand(len(items), -1, -1, -1)
            arrays[f"{part}.labels"] = torch.tensor([item.label for item in items])
    even = {"mean": [0.5] * channels, "std": [0.25] * channels}
    return Decoded(arrays, {"classes": listing.classes, **even, "skipped": [], "undecoded": True})


def listing_key(listing: Listing, size: int, channels: int) -> str:
    """Return a hash that changes when a file is added, removed, renamed, moved or written, and with the image size."""
    digest = hashlib.sha256(f"{LAYOUT_VERSION} {size} {channels} {listing.classes!r}".encode())
    for part in (listing.train, listing.validation, listing.test):
        digest.update(b"\0\0")
        for item in part:
            digest.update(f"{item.path}\0{item.size}\0{item.modified}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _decode(
    listing: Listing, writer: Writer, key: str, size: int, channels: int, log: Log, progress: Progress | None
) -> Decoded:
    parts = {"train": listing.train, "validation": listing.validation, "test": listing.test}
    total = sum(map(len, parts.values()))
    log(f"decoding {total} images of {shown(str(listing.root))} to {size}x{size}; the result is kept for later runs")
    progress_log = _ProgressLog(total, log, progress)
    statistics = ChannelStatistics(channels)
    skipped: list[str] = []
    narrow: list[str] = []
    labels: dict[str, np.ndarray] = {}
    pool = _workers()
    try:
        for part, items in parts.items():
            kept = [np.zeros(0, np.int64)]
            for images, numbers, failed, few_levels in _batches(pool, listing.root, items, size, channels):
                if part == "train":
                    statistics.add(images)
                if len(images):
                    writer.add(f"{part}.images", images)
                kept.append(numbers)
                skipped += failed
                narrow += few_levels
                progress_log.more(len(images) + len(failed))
            labels[part] = np.concatenate(kept)
    finally:
        pool.shutdown(cancel_futures=True)
    _check(listing, labels, skipped)
    for part, numbers in labels.items():
        if len(numbers):
            writer.add(f"{part}.labels", numbers)
    facts = {"classes": listing.classes, "mean": statistics.mean(), "std": statistics.std(), "skipped": skipped}
    facts["narrow"] = narrow
    progress_log.done()
    return writer.finish(key, facts)


def _workers() -> ThreadPoolExecutor:
    """Start threads that decode: Pillow does not hold Python's lock. At most one for each core this process may use."""
    formats()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(max(1, min(usable, 16)), thread_name_prefix="decode")


def _batches(
    pool: ThreadPoolExecutor, root: Path, items: Sequence[Item], size: int, channels: int
) -> Iterator[DecodedImages]:
    """Yield the decoded batches in the order of ``items``, a few ahead of the reader and no more, so that memory stays
    small.
    """
    length = max(1, min(BATCH, BATCH_BYTES // (channels * size * size)))
    waiting: deque[Future[DecodedImages]] = deque()
    for start in range(0, len(items), length):
        waiting.append(pool.submit(_read_batch, root, items[start : start + length], size, channels))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _read_batch(root: Path, items: Sequence[Item], size: int, channels: int) -> DecodedImages:
    images = np.empty((len(items), channels, size, size), np.uint8)
    labels: list[int] = []
    failed: list[str] = []
    narrow: list[str] = []
    for item in items:
        try:
            images[len(labels)], levels = read_with_levels(root / item.path, size, channels)
        except Exception as error:
            # A broken file raises anything, struct.error and KeyError included.
            failed.append(f"{shown(item.path)} ({shown(reason(error, root / item.path))})")
        else:
            labels.append(item.label)
            if levels is not None and levels < FEWEST_LEVELS:
                narrow.append(shown(item.path))
    return DecodedImages(images[: len(labels)], np.array(labels, np.int64), failed, narrow)


def _check(listing: Listing, labels: dict[str, np.ndarray], skipped: Sequence[str]) -> None:
    example = f"; for example {skipped[0]}" if skipped else ""
    for label, name in enumerate(listing.classes):
        if not (labels["train"] == label).any():
            hint = f"has no readable image of class {name} to train on{example}"
            raise UsageError("dataset", f"folder:{listing.root}", hint)
    if not len(labels["test"]):
        raise UsageError("dataset", f"folder:{listing.root}", f"has no readable image to test on{example}")


def _report_narrow(narrow: Sequence[str], total: int, log: Log) -> None:
    if not narrow:
        return
    some = f"{len(narrow)} of {total} images have more than 8 bits a value and keep"
    if len(narrow) == 1:
        some = f"one image, {narrow[0]}, has more than 8 bits a value and keeps"
    log(f"{some} fewer than {FEWEST_LEVELS} of 256 grey levels; stretch such images over the whole range first")


def _report(skipped: Sequence[str], log: Log) -> None:
    if skipped:
        more = "; … (`train --plan --json` names them all)"
        some = "; ".join(_one_of_each_reason(skipped)) + (more if len(skipped) > 3 else "")
        files = (
            "one file could not be read and was"
            if len(skipped) == 1
            else f"{len(skipped)} files could not be read and were"
        )
        log(f"{files} skipped: {some}")


def _one_of_each_reason(skipped: Sequence[str], max_count: int = 3) -> list[str]:
    """Return ``max_count`` of the files, each with its reason in brackets behind it; as different reasons as there are."""
    reasons = [re.sub(r"\d+", "", line.rpartition(" (")[2]) for line in skipped]  # how many bytes are missing differs
    number_of = {words: number for number, words in reversed(list(enumerate(reasons)))}
    chosen = sorted(number_of.values())[:max_count]
    others = (number for number in range(len(skipped)) if number not in chosen)
    return [skipped[number] for number in sorted([*chosen, *itertools.islice(others, max_count - len(chosen))])]


class _ProgressLog:
    """Says how far the decoding is, every ten seconds."""

    def __init__(self, total: int, log: Log, progress: Progress | None) -> None:
        self.total, self.log, self.progress = total, log, progress
        self.number = 0
        self.began = self.said = time.monotonic()

    def more(self, number: int) -> None:
        """Count ``number`` further images as decoded."""
        self.number += number
        now = time.monotonic()
        if self.progress is not None:
            self.progress(self.number, self.total)
        if now - self.said >= LOG_EVERY_S and self.number < self.total:
            self.said = now
            left = (now - self.began) / self.number * (self.total - self.number)
            self.log(f"decoded {self.number} of {self.total} images, about {left:.0f} s left")

    def done(self) -> None:
        """Finish: all images are decoded."""
        self.log(f"decoded {self.number} images in {time.monotonic() - self.began:.1f} s")
