"""The published data sets as their authors ship them: found, downloaded by torchvision where missing, and decoded.

The IDX files of MNIST and Fashion-MNIST are read here, packed or not. CIFAR is read by torchvision, which compares
the checksum of each file first: they are pickles, and a pickle from elsewhere could run anything.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import re
import socket
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ...errors import WorkError
from .dataset_info import NamedSet

Log = Callable[[str], None]
Parts = dict[str, tuple[np.ndarray, np.ndarray]]
"""Part ("train", "test") -> uint8 (N, C, H, W) and int64 (N,)."""

ANSWER_WITHIN_S = 30.0
"""A server that is silent for so long is taken for absent; a firewall that drops packets would keep us for ever."""

_PERCENT = re.compile(r"(\d{1,3})%")
_FAILURES = (OSError, RuntimeError, ValueError, EOFError, http.client.HTTPException, tarfile.TarError, zlib.error)


def read(entry: NamedSet, data_folder: Path, download: bool, log: Log) -> Parts:
    """Decode ``entry`` from the files in ``data_folder``, after a download where they are missing and it is allowed.

    WorkError: not there and not to be had (says where to put the files by hand), or a file is damaged (says which).
    """
    return (
        _read_cifar(entry, data_folder, download, log)
        if entry.archive
        else _read_idx(entry, data_folder, download, log)
    )


def fingerprint(files: tuple[Path, ...]) -> str:
    """Return what tells whether a decoded copy was made from these files: names, sizes and times of change."""
    facts = [(file, file.stat()) for file in files]
    return "; ".join(f"{file.name} {fact.st_size} {fact.st_mtime_ns}" for file, fact in facts)


def _read_idx(entry: NamedSet, data_folder: Path, download: bool, log: Log) -> Parts:
    if not entry.files_on_disk(data_folder):
        _download(entry, data_folder, download, log)
    folder = data_folder / entry.folder
    arrays = [
        _read_idx_file(folder / file, dimensions) for file, dimensions in zip(entry.files, (3, 1, 3, 1), strict=True)
    ]
    parts = {"train": (arrays[0], arrays[1]), "test": (arrays[2], arrays[3])}
    for images, labels in parts.values():
        fits = images.shape[1:] == (entry.size, entry.size) and len(images) == len(labels) > 0
        if not fits or labels.max() >= len(entry.classes):
            raise WorkError(f"the files in {folder} do not fit together as {entry.name}; {entry.by_hand(data_folder)}")
    return {part: (images[:, None], labels.astype(np.int64)) for part, (images, labels) in parts.items()}


def _read_idx_file(path: Path, dimensions: int) -> np.ndarray:
    """Return an IDX file of unsigned bytes: 0 0 8 D, D big-endian sizes, the values. Plain first, then packed as .gz."""
    failure: Exception | None = None
    for file, opened in ((path, open), (path.with_name(path.name + ".gz"), gzip.open)):
        try:
            with opened(file, "rb") as stream:
                return _idx(stream.read(), dimensions)
        except FileNotFoundError:
            continue
        except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
            failure = failure or WorkError(f"{file} is damaged ({error}); remove it or put a whole one there")
    raise failure or WorkError(f"{path} does not exist, nor does {path.name}.gz")


def _idx(data: bytes, dimensions: int) -> np.ndarray:
    head = struct.Struct(f">I{dimensions}I")
    magic, *shape = head.unpack_from(data)
    if magic != 0x800 + dimensions:
        raise ValueError(f"it does not begin as an IDX file of {dimensions} dimensions")
    expected = head.size + int(np.prod(shape, dtype=np.int64))
    if len(data) != expected:
        raise ValueError(f"it has {len(data)} bytes instead of {expected}")
    return np.frombuffer(data, np.uint8, offset=head.size).reshape(shape)


def _read_cifar(entry: NamedSet, data_folder: Path, download: bool, log: Log) -> Parts:
    folder = _torchvision_class(entry, data_folder)
    try:
        sets = [folder(data_folder, train=train) for train in (True, False)]
    except RuntimeError:
        # Missing or not whole: torchvision unpacks an archive that lies there, or fetches it.
        _download(entry, data_folder, download, log)
        try:
            sets = [folder(data_folder, train=train) for train in (True, False)]
        except _FAILURES as error:
            raise _not_there(entry, data_folder, error) from None
    except _FAILURES as error:
        raise _not_there(entry, data_folder, error) from None
    return {
        part: (np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)), np.asarray(data.targets, dtype=np.int64))
        for part, data in zip(("train", "test"), sets, strict=True)
    }


def _download(entry: NamedSet, data_folder: Path, download: bool, log: Log) -> None:
    """Let torchvision fetch, check and unpack the files; WorkError when that fails, whatever the reason."""
    source = _torchvision_class(entry, data_folder)
    unpack_only = entry.archive is not None and _is_whole(data_folder / entry.archive, source.tgz_md5)
    if not (download or unpack_only):
        raise _not_there(entry, data_folder, "downloading is switched off")
    place = data_folder / entry.folder
    log(f"unpacking {entry.archive}" if unpack_only else f"downloading {entry.name} to {place}")
    new = [folder for folder in (place, *place.parents) if not folder.exists()]
    try:
        with _patience(ANSWER_WITHIN_S), _progress_logged(entry.name, log):
            source(data_folder, train=True, download=True)
    except _FAILURES as error:
        for folder in new:  # torchvision makes them first
            with contextlib.suppress(OSError):
                folder.rmdir()  # refuses a folder with something in it
        raise _not_there(entry, data_folder, error) from None


def _torchvision_class(entry: NamedSet, data_folder: Path) -> Any:
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError, OSError) as error:
        # A torchvision that belongs to another torch fails while it registers its operators.
        raise _not_there(entry, data_folder, f"torchvision cannot be imported: {error}") from None
    classes = {
        "mnist": datasets.MNIST,
        "fashion-mnist": datasets.FashionMNIST,
        "cifar10": datasets.CIFAR10,
        "cifar100": datasets.CIFAR100,
    }
    return classes[entry.name]


def _is_whole(archive: Path, md5: str) -> bool:
    from torchvision.datasets.utils import check_integrity

    try:
        return check_integrity(archive, md5)
    except OSError:
        return False


def _not_there(entry: NamedSet, data_folder: Path, cause: object) -> WorkError:
    reason = " ".join(str(cause).split())
    reason = reason if len(reason) <= 200 else reason[:199] + "…"
    missing = entry.missing(data_folder)
    part = "" if len(missing) == len(entry.files) else f" as a whole ({', '.join(missing)} missing)"
    return WorkError(
        f"{entry.name} is not in {data_folder}{part} and could not be fetched ({reason}); {entry.by_hand(data_folder)},"
        " or take --dataset digits, which needs no download"
    )


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _progress_logged(name: str, log: Log) -> Iterator[None]:
    """Log a line for each tenth of a download where there is no terminal, in which torchvision draws a bar."""
    if sys.stderr is not None and sys.stderr.isatty():
        yield
        return
    with contextlib.redirect_stderr(_Tenths(name, sys.stderr, log)):
        yield


class _Tenths(io.TextIOBase):
    """In the place of stderr: takes the text of a bar, and says how far it is; each file has a bar of its own.

    What is said goes to ``stderr`` as it was: narration may lead there.
    """

    def __init__(self, name: str, stderr: TextIO | None, log: Log) -> None:
        self._name = name
        self._stderr = stderr
        self._log = log
        self._file = 1
        self._tenth = 0

    def write(self, text: str) -> int:
        for found in _PERCENT.findall(text):
            tenth = int(found) // 10
            if tenth < self._tenth:
                self._file += 1
            elif tenth > self._tenth:
                with contextlib.redirect_stderr(self._stderr):
                    self._log(f"downloading {self._name}, file {self._file}: {10 * tenth} %")
            self._tenth = tenth
        return len(text)
