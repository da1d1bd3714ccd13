"""Images to calculate with: the bundled scanned digits, read without numpy, as rows of grey values 0 to 255."""

from __future__ import annotations

import ast
import zipfile
from functools import cache
from pathlib import Path

from ...trainer.data import dataset_info

FILE = Path(dataset_info.__file__).with_name("digits.npz")
SIDE = 28
RAW_SIDE = 8
RAW_BRIGHTEST = 16


@cache
def _array(name: str) -> tuple[tuple[int, ...], bytes]:
    """Return the shape and bytes of an array of unsigned bytes in the file (NumPy format version 1: magic, header,
    data).
    """
    with zipfile.ZipFile(FILE) as archive:
        data = archive.read(f"{name}.npy")
    length = int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10 : 10 + length].decode("latin-1"))
    return tuple(header["shape"]), data[10 + length :]


def count() -> int:
    """Return how many digits there are."""
    return _array("images")[0][0]


def label(number: int) -> int:
    """Return which digit image ``number`` shows."""
    return _array("labels")[1][number % count()]


def raw(number: int) -> list[list[int]]:
    """Return the image ``number`` as scanned: 8×8, 0 to 16."""
    start = number % count() * RAW_SIDE * RAW_SIDE
    data = _array("images")[1][start : start + RAW_SIDE * RAW_SIDE]
    return [list(data[row * RAW_SIDE : (row + 1) * RAW_SIDE]) for row in range(RAW_SIDE)]


@cache
def _weights() -> list[list[int]]:
    """Return bilinear weights in fourteenths from 8 to 28 pixels, as trainer/data/digits.py does with numpy."""
    rows = []
    for pixel in range(SIDE):
        low, share = divmod(min(max(4 * pixel - 5, 0), 14 * (RAW_SIDE - 1)), 14)
        row = [0] * RAW_SIDE
        row[low] = 14 - share
        if share:
            row[low + 1] = share
        rows.append(row)
    return rows


def image(number: int) -> list[list[int]]:
    """Return the image ``number`` scaled to 28×28, 0 to 255, byte for byte as the networks are given it."""
    small, weights = raw(number), _weights()
    rows = [[sum(w * small[y][x] for y, w in enumerate(row)) for x in range(RAW_SIDE)] for row in weights]
    brightest = RAW_BRIGHTEST * 14 * 14
    return [
        [(sum(w * row[x] for x, w in enumerate(column)) * 255 + brightest // 2) // brightest for column in weights]
        for row in rows
    ]
