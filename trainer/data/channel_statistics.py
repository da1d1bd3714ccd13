"""Mean and standard deviation of images, exact: every value of a uint8 image is one of 256, so they are counted."""

from __future__ import annotations

import numpy as np

CHUNK = 1024
"""Images counted at a time; the result does not depend on it."""

SMALLEST_STD = 1 / 255
"""A channel that never changes has deviation 0, by which nothing can be divided: one grey level stands in for it."""


class ChannelStatistics:
    """Counts the values of each channel of uint8 images, chunk by chunk, in integers: no rounding can gather."""

    def __init__(self, channels: int) -> None:
        self.counts = np.zeros((channels, 256), dtype=np.int64)

    def add(self, images: np.ndarray) -> None:
        """Count ``images``, uint8 (N, C, H, W)."""
        for start in range(0, len(images), CHUNK):
            chunk = images[start : start + CHUNK]
            for channel, counts in enumerate(self.counts):
                counts += np.bincount(chunk[:, channel].ravel(), minlength=256)

    def mean(self) -> tuple[float, ...]:
        """Return the mean of each channel, in 0 … 1."""
        return tuple(float(mean) for mean in self._mean())

    def std(self) -> tuple[float, ...]:
        """Return the standard deviation of each channel over all pixels (not the mean of the images'), in 0 … 1."""
        values = np.arange(256) / 255
        centred = (values[None, :] - self._mean()[:, None]) ** 2
        variance = (self.counts * centred).sum(axis=1) / self._pixels()
        return tuple(max(float(std), SMALLEST_STD) for std in np.sqrt(variance))

    def _pixels(self) -> np.ndarray:
        return np.maximum(self.counts.sum(axis=1), 1)

    def _mean(self) -> np.ndarray:
        return (self.counts * (np.arange(256) / 255)).sum(axis=1) / self._pixels()
