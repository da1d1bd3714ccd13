"""Where the training images are kept: on the device as a whole, or in main memory, from where batches are copied.

Both give the same bytes. Copies are made by a thread while the device works on the batch before: into page-locked memory,
from which the device fetches them on a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..config.recipe import Recipe
from ..data.datasets import LabelledImages
from ..devices import hardware
from . import augment

COPIES = 3
"""Times the images are on the device while their border is put around them."""

SHARE_OF_FREE = 0.6
"""Part of the free memory that they may take then; the rest is for the network and what it computes."""


@dataclass(frozen=True)
class Epoch:
    """The order of the images in one pass, int64 (N,), and the random numbers of each place in it, on the device.

    ``shuffled`` is the order in main memory.
    """

    order: Tensor
    draws: augment.Draws
    shuffled: Tensor


class ImageStore(Protocol):
    """Gives the images of a batch, cropped or shifted as drawn."""

    def take(self, epoch: Epoch, position: int, index: Tensor, draws: augment.Draws) -> Tensor:
        """Return the images of batch ``position`` on the device, uint8 (B, C, H, W); ``index`` (B,) are their numbers."""
        ...


class OnDevice:
    """All images on the device, with the border that the recipe's shifts need: a batch is one indexing."""

    def __init__(self, samples: LabelledImages, recipe: Recipe, device: torch.device) -> None:
        self._border, kind = augment.border(recipe)
        images = samples.source if samples.rows is None else samples.source.index_select(0, samples.rows)
        self._bordered = augment.with_border(images.to(device), self._border, kind)

    def take(self, epoch: Epoch, position: int, index: Tensor, draws: augment.Draws) -> Tensor:
        """See `ImageStore`."""
        return augment.gather(self._bordered, index, draws, self._border)


class InMainMemory:
    """The images stay where they are, memory-mapped perhaps; each batch is copied while the one before is worked on.

    ``indices`` gives the numbers of a batch's images, int64 (B,) in main memory, or None behind the end of the epoch.
    """

    def __init__(
        self,
        samples: LabelledImages,
        recipe: Recipe,
        device: torch.device,
        indices: Callable[[Epoch, int], Tensor | None],
    ) -> None:
        self._images = samples
        self._border, self._kind = augment.border(recipe)
        self._device = device
        self._indices = indices
        self._thread = ThreadPoolExecutor(1, "copies")
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._coming: tuple[Epoch, int, Future] | None = None

    def take(self, epoch: Epoch, position: int, index: Tensor, draws: augment.Draws) -> Tensor:
        """See `ImageStore`. The copy of the next batch is under way afterwards, unless this is the last one of the epoch."""
        images = self._arrived(epoch, position)
        self._begin(epoch, position + 1)
        bordered = augment.with_border(images, self._border, self._kind)
        return augment.gather(bordered, torch.arange(len(images), device=self._device), draws, self._border)

    def _arrived(self, epoch: Epoch, position: int) -> Tensor:
        coming = self._coming
        if coming is None or coming[0] is not epoch or coming[1] != position:
            self._begin(epoch, position)
            coming = self._coming
        assert coming is not None
        images = coming[2].result()
        if self._stream is not None:
            present = torch.cuda.current_stream(self._device)
            present.wait_stream(self._stream)
            images.record_stream(present)  # so that its memory is not given to the next copy too early
        return images

    def _begin(self, epoch: Epoch, position: int) -> None:
        indices = self._indices(epoch, position)
        self._coming = None if indices is None else (epoch, position, self._thread.submit(self._copy, indices))

    def _copy(self, indices: Tensor) -> Tensor:
        images = self._images.batch(indices)
        if self._stream is None:
            return images.to(self._device)
        with torch.cuda.stream(self._stream):
            return images.pin_memory().to(self._device, non_blocking=True)


def fits(samples: LabelledImages, recipe: Recipe, device: torch.device) -> bool:
    """Return whether the images fit on the device, beside a network."""
    return COPIES * size(samples, recipe) <= SHARE_OF_FREE * hardware.free_memory(device)


def size(samples: LabelledImages, recipe: Recipe) -> int:
    """Return the bytes of the images with their border."""
    channels, height, width = samples.source.shape[1:]
    border = augment.border(recipe)[0]
    return len(samples) * channels * (height + 2 * border) * (width + 2 * border)
