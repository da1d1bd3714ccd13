"""Mixup and CutMix: each image is mixed with its partner, the one at its place when the batch is read from the end.

The targets become class probabilities (B, classes), mixed as the images are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mixup(images: Tensor, targets: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Blend (Zhang et al., arXiv:1710.09412): ``share`` (B,) of each image (B, C, H, W), the rest of its partner.

    ``targets`` are probabilities (B, classes).
    """
    keep = share.view(-1, 1, 1, 1)
    return torch.lerp(images.flip(0), images, keep), torch.lerp(targets.flip(0), targets, share.view(-1, 1))


def cutmix(images: Tensor, targets: Tensor, share: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Paste a box of the partner (Yun et al., arXiv:1905.04899) that covers 1 - ``share`` of each image.

    ``rows`` and ``columns`` (B,) are the middle of the box in 0 … 1 of the side; where it hangs over the edge it is cut,
    and the targets (B, classes) follow the area that was really pasted.
    """
    half = (1 - share).sqrt() / 2
    inside_y, height = _inside(images.shape[2], rows, half)
    inside_x, width = _inside(images.shape[3], columns, half)
    box = (inside_y[:, :, None] & inside_x[:, None, :]).unsqueeze(1)  # (B, 1, H, W)
    kept = 1 - height * width / (images.shape[2] * images.shape[3])
    return torch.where(box, images.flip(0), images), torch.lerp(targets.flip(0), targets, kept.view(-1, 1))


def _inside(size: int, middle: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of ``size`` pixels lie within ``half`` of the middle, both in parts of the side: (B, size), and how
    many.
    """
    place = (torch.arange(size, device=middle.device) + 0.5) / size
    inside = (place - middle[:, None]).abs() < half[:, None]
    return inside, inside.sum(1).to(middle.dtype)


def probabilities(targets: Tensor, num_classes: int) -> Tensor:
    """Return the classes (B,) as probabilities (B, classes)."""
    return F.one_hot(targets, num_classes).to(torch.float32)
