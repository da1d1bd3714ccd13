"""The loop that an engineer writes by hand when nothing but speed counts, with the loss and the accuracy kept.

No records, no checkpoints, no stops, no schedule: what the engine is measured against. The images lie on the device as
bytes, a batch is an indexing, and the two metrics are summed up there without being waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Pixels:
    """The images, uint8 (N, C, H, W), with their classes (N,) on the device, and what is done to them.

    ``mean`` and ``std`` are in 0 … 1; ``crop`` is the border in pixels of random crops (0: none).
    """

    images: Tensor
    labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    crop: int = 0
    flip: bool = False


def loss_of(network: nn.Module) -> Loss:
    """Return what is minimised, from outputs, images and classes: the network's own loss, or the cross-entropy of its
    scores.
    """
    own = getattr(network, "training_loss", None)
    if own is not None:
        return lambda outputs, images, targets: own(outputs, images, targets, F.cross_entropy)
    return lambda outputs, images, targets: F.cross_entropy(outputs, targets)


class BareLoop:
    """Trains ``network`` on resident images. ``order`` gives the order of an epoch; by default a new one each time."""

    least_steps = 1

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        pixels: Pixels,
        batch_size: int,
        *,
        precision: torch.dtype = torch.float32,
        layout: torch.memory_format = torch.contiguous_format,
        compiled: bool = False,
        order: Callable[[int], Tensor] | None = None,
    ) -> None:
        device = pixels.images.device
        network.train()
        self.network = network
        self.loss_sum = torch.zeros((), device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self._forward = torch.compile(network) if compiled else network
        self._optimizer = optimizer
        self._loss = loss_of(network)
        self._pixels = pixels
        self._batch_size = batch_size
        self._autocast = {"device_type": device.type, "dtype": precision, "enabled": precision != torch.float32}
        self._layout = layout
        self._order_of = order or (lambda number: torch.randperm(len(pixels.labels), device=device))
        deviations = torch.tensor(pixels.std, dtype=torch.float64)
        means = torch.tensor(pixels.mean, dtype=torch.float64)
        self._scale = (1 / (255 * deviations)).float().view(-1, 1, 1).to(device)
        self._shift = (-means / deviations).float().view(-1, 1, 1).to(device)
        # Of one channel the strides are open to choice, and with some a convolution takes the batch for channels last.
        self._images = pixels.images.clone(memory_format=torch.contiguous_format)
        self._windows = _windows(self._images, pixels.crop)
        self._epoch = 0
        self._left: list[Tensor] = []

    def prepare(self) -> None:
        """Do nothing: all is on the device."""

    def run(self, steps: int) -> None:
        """Train for ``steps`` steps."""
        for _ in range(steps):
            if not self._left:
                order = self._order_of(self._epoch)
                whole = len(order) // self._batch_size * self._batch_size
                self._left = list(order[:whole].split(self._batch_size))[::-1]
                self._epoch += 1
            self._step(self._left.pop())

    def _step(self, index: Tensor) -> None:
        images, targets = self._batch(index), self._pixels.labels[index]
        self._optimizer.zero_grad()
        with torch.autocast(**self._autocast):
            outputs = self._forward(images)
            loss = self._loss(outputs, images, targets)
        loss.backward()
        self._optimizer.step()
        scores = outputs if isinstance(outputs, Tensor) else outputs[0]
        self.loss_sum += loss.detach()
        self.correct += (scores.detach().argmax(1) == targets).sum()

    def _batch(self, index: Tensor) -> Tensor:
        """Return the images ``index`` (B,), cropped and flipped at random: float32 (B, C, size, size)."""
        pixels, shifts = self._pixels, 2 * self._pixels.crop + 1
        if pixels.crop:
            row, column = torch.randint(shifts, (2, len(index)), device=index.device)
            images = self._windows[index, row, column]
        else:
            images = self._images[index]
        if pixels.flip:
            flipped = torch.rand(len(index), 1, 1, 1, device=index.device) < 0.5
            images = torch.where(flipped, images.flip(3), images)
        images = images.to(torch.float32, copy=True).mul_(self._scale).add_(self._shift)
        if images.shape[-1] != pixels.size:
            images = F.interpolate(images, size=(pixels.size, pixels.size), mode="bilinear", antialias=True)
        return images.contiguous(memory_format=self._layout)


def _windows(images: Tensor, crop: int) -> Tensor:
    """Return all shifted images as a view (N, 2·crop + 1, 2·crop + 1, C, H, W) of the images with a black border."""
    height, width = images.shape[2:]
    bordered = F.pad(images, (crop,) * 4)
    return bordered.unfold(2, height, 1).unfold(3, width, 1).permute(0, 2, 3, 1, 4, 5)
