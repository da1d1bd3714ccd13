"""The bundled data set: 1,797 handwritten digits, scanned, 8x8, scaled to 28x28 so that MNIST's networks take them.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49, CC BY 4.0 (see digits.LICENSE.txt). `scripts/make_digits.py` writes the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .channel_statistics import ChannelStatistics
from .decoded_cache import Decoded
from .split import counts_of, hold_out, seeded_keys, shares_for_test

FILE = Path(__file__).with_name("digits.npz")
SIDE = 28
SPLIT_SEED = 1998
"""Chooses the test split: fixed, so that two runs with different seeds are measured on the same digits."""


def load() -> Decoded:
    """Return the digits as uint8 (N, 1, 28, 28) with int64 labels: 1,438 to train on, 359 to test on, stratified."""
    images, labels = read()
    scaled = enlarge(images)[:, None]
    numbers = labels.tolist()
    held = shares_for_test(counts_of(numbers, 10))
    rows = dict(zip(("train", "test"), hold_out(numbers, held, seeded_keys(len(numbers), SPLIT_SEED)), strict=True))
    statistics = ChannelStatistics(channels=1)
    statistics.add(scaled[rows["train"]])
    arrays = {}
    for part in rows:
        arrays[f"{part}.images"] = torch.from_numpy(scaled[rows[part]])
        arrays[f"{part}.labels"] = torch.from_numpy(labels[rows[part]].astype(np.int64))
    return Decoded(arrays, {"mean": statistics.mean(), "std": statistics.std(), "skipped": []})


def read() -> tuple[np.ndarray, np.ndarray]:
    """Read the file as it is: uint8 (1797, 8, 8) with values 0 … 16, and uint8 (1797,) labels."""
    with np.load(FILE, allow_pickle=False) as file:
        return file["images"], file["labels"]


def enlarge(images: np.ndarray) -> np.ndarray:
    """Scale (N, 8, 8) of 0 … 16 to (N, 28, 28) of 0 … 255 by bilinear interpolation, in whole numbers.

    Pixel i of 28 lies at (4i - 5) / 14 between the centres of the 8, so every weight is a multiple of 1/14 and the
    result is exact: the same bytes on every machine, which no floating-point resize promises. Bilinear, because a value
    of the original is the ink in a 4x4 block and between two blocks nothing sharper is known; filling all 28 pixels
    (rather than MNIST's 20 with a margin) keeps the little detail there is.
    """
    weights = np.zeros((SIDE, 8), dtype=np.int32)
    for pixel in range(SIDE):
        low, share = divmod(min(max(4 * pixel - 5, 0), 14 * 7), 14)
        weights[pixel, low] = 14 - share
        if share:
            weights[pixel, low + 1] = share
    sums = weights @ images.astype(np.int32) @ weights.T
    brightest = 16 * 14 * 14
    return ((sums * 255 + brightest // 2) // brightest).astype(np.uint8)
