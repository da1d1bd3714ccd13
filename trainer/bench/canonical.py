"""The training loop of tutorials: PIL transforms one image at a time in a DataLoader, and the metrics fetched at every step.

The images are decoded already and lie in memory as arrays, as torchvision's MNIST and CIFAR10 hold them; each is made a
PIL image, transformed, and made a tensor. Reading and decoding files would come on top.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from ...models.own.modes import training
from ..config.recipe import Recipe
from ..data.datasets import LabelledImages
from ..optim.build import build_optimizer
from .bare import loss_of


class PilImages(Dataset):
    """A data set as torchvision has them: uint8 arrays (N, H, W[, 3]), given out as transformed PIL images."""

    def __init__(self, samples: LabelledImages, transform: Any) -> None:
        images = samples.images.permute(0, 2, 3, 1).contiguous().numpy()
        self._images = images[..., 0] if images.shape[3] == 1 else images
        self._labels = samples.labels.tolist()
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self._transform(Image.fromarray(self._images[index])), self._labels[index]


def transform_of(
    mean: tuple[float, ...], std: tuple[float, ...], own_size: int, size: int, crop: int = 0, flip: bool = False
) -> Any:
    """Return torchvision's transforms: random crop with a black border of ``crop`` pixels, flip, resize, normalise."""
    from torchvision import transforms

    steps: list[Any] = []
    if crop:
        steps.append(transforms.RandomCrop(own_size, padding=crop))
    if flip:
        steps.append(transforms.RandomHorizontalFlip())
    if size != own_size:
        steps.append(transforms.Resize(size))
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(mean, std)])


class Loader:
    """A DataLoader as an endless stream of batches on the device: (B, C, H, W) and (B,)."""

    def __init__(self, samples: Dataset, batch_size: int, workers: int, device: torch.device) -> None:
        self.ahead = 2 * workers
        """Batches that the workers make in advance: two each, torch's default."""
        loader = DataLoader(
            samples,
            batch_size=batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            prefetch_factor=2 if workers else None,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
        )
        # The workers end at once when this object goes, unless a cycle of references leaves that to the garbage collector,
        # which may take their queues away before them: then each of them is waited for five seconds.
        self._batches = _endless(loader, device)

    def __next__(self) -> tuple[Tensor, Tensor]:
        return next(self._batches)

    def drain(self) -> None:
        """Take what the workers have made in advance, so that the clock does not start with batches that cost nothing."""
        for _ in range(self.ahead):
            next(self._batches)


def _endless(loader: DataLoader, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        for images, targets in loader:
            yield images.to(device, non_blocking=True), targets.to(device, non_blocking=True)


class LoaderOnly:
    """The data path of the canonical loop alone: batches are made, and nothing is done with them."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self.least_steps = max(1, 4 * loader.ahead)

    def prepare(self) -> None:
        """Begin with empty hands."""
        self._loader.drain()

    def run(self, steps: int) -> None:
        """Make ``steps`` batches."""
        for _ in range(steps):
            next(self._loader)


class CanonicalLoop:
    """Trains ``network`` in fp32 from a DataLoader, as the tutorials do."""

    least_steps = 1

    def __init__(self, network: nn.Module, optimizer: Optimizer, loader: Loader) -> None:
        self.network = training(network)
        self.running_loss = 0.0
        self.correct = 0
        self._optimizer = optimizer
        self._criterion = loss_of(network)
        self._loader = loader

    def prepare(self) -> None:
        """Bring the workers to where they are in the midst of a training: as far ahead as one step gives them time."""
        if self._loader.ahead:
            self._loader.drain()
            self.run(1)

    def run(self, steps: int) -> None:
        """Train for ``steps`` steps."""
        for _ in range(steps):
            images, targets = next(self._loader)
            self._optimizer.zero_grad()
            outputs = self.network(images)
            loss = self._criterion(outputs, images, targets)
            loss.backward()
            self._optimizer.step()
            scores = outputs if isinstance(outputs, Tensor) else outputs[0]
            self.running_loss += loss.item() * len(targets)
            self.correct += (scores.argmax(1) == targets).sum().item()


def plain_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Return the recipe's optimiser as one writes it down: one group, and the kernels that torch chooses by itself.

    What torch does not have is the engine's.
    """
    values: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), momentum=recipe.momentum, **values)
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), momentum=recipe.momentum, **values)
    if recipe.optimizer in ("adam", "adamw"):
        kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
        return kind(network.parameters(), betas=(recipe.betas[0], recipe.betas[1]), **values)
    return build_optimizer(network, recipe)
