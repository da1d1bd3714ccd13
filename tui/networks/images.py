"""Images in cells: how a grey value is drawn with colours, with shades, or with letters. No Textual."""

from __future__ import annotations

import gzip
from pathlib import Path

SHADES = " ░▒▓█"
LETTERS = " .:-=+*#%@"
MNIST = "MNIST/raw/t10k-images-idx3-ubyte"
MNIST_HEADER, MNIST_SIDE = 16, 28
MNIST_COUNT = 10_000


def levels(image: list[list[float]]) -> list[list[float]]:
    """Return the values between 0 (smallest) and 1 (largest); an even image is all 0."""
    values = [value for row in image for value in row]
    low, high = min(values, default=0.0), max(values, default=0.0)
    span = high - low
    return [[(value - low) / span if span else 0.0 for value in row] for row in image]


def shade(level: float, ramp: str = SHADES) -> str:
    """Return a character as dark or bright as the level."""
    return ramp[min(int(level * len(ramp)), len(ramp) - 1)]


def grey(level: float) -> str:
    """Return a colour between black and white as #rrggbb."""
    value = round(255 * min(max(level, 0.0), 1.0))
    return f"#{value:02x}{value:02x}{value:02x}"


def mnist(data_folder: Path, number: int) -> list[list[float]] | None:
    """Return a test digit of MNIST where the set is on disk, as 28×28 grey values; None otherwise.

    The file is the set's own format: a header of 16 bytes, then 784 bytes an image.
    """
    start = MNIST_HEADER + number % MNIST_COUNT * MNIST_SIDE * MNIST_SIDE
    for path, opener in ((data_folder / MNIST, open), (data_folder / f"{MNIST}.gz", gzip.open)):
        try:
            with opener(path, "rb") as file:
                file.seek(start)
                data = file.read(MNIST_SIDE * MNIST_SIDE)
        except OSError:
            continue
        if len(data) == MNIST_SIDE * MNIST_SIDE:
            return [[float(value) for value in data[row * 28 : row * 28 + 28]] for row in range(MNIST_SIDE)]
    return None
