"""Colour jitter and RandAugment on whole batches: every operation takes one strength per image, and 0 leaves it alone.

So a batch in which each image gets operations of its own is a few passes over all of it, without a loop over images.
Images are float (B, C, H, W) with values 0 … 255.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

OPERATIONS = (
    "identity",
    "rotate",
    "shear-x",
    "shear-y",
    "shift-x",
    "shift-y",
    "brightness",
    "contrast",
    "saturation",
    "solarize",
    "posterize",
)
PER_IMAGE = 2
"""Operations that each image gets, N of the paper."""

LARGEST_ANGLE = math.radians(30)
LARGEST_SHEAR = 0.3
LARGEST_SHIFT = 0.3  # of half the side, as the grid runs from -1 to 1
LARGEST_COLOUR = 0.9
WHITE = 255.0


def jitter(images: Tensor, changes: Tensor) -> Tensor:
    """Change brightness, contrast and saturation: ``changes`` (B, 3) is added to the factors 1, -1 … 1 each."""
    return colours(images, changes[:, 0], changes[:, 1], changes[:, 2])


def randaugment(images: Tensor, operations: Tensor, signs: Tensor, strength: float) -> Tensor:
    """Apply RandAugment (Cubuk et al., arXiv:1909.13719) with one strength in 0 … 1 for all operations.

    ``operations`` (B, 2) are numbers in OPERATIONS, ``signs`` (B, 2) are ±1. The geometric operations of an image become
    one sampling of it, the others follow; border pixels are mirrored outwards.
    """
    chosen = F.one_hot(operations, len(OPERATIONS)) * signs.unsqueeze(2)  # (B, 2, operations)
    amounts = strength * chosen.sum(1).clamp(-1, 1).to(images.dtype)  # (B, operations)
    by_name = dict(zip(OPERATIONS, amounts.unbind(1), strict=True))
    images = warped(
        images,
        by_name["rotate"] * LARGEST_ANGLE,
        (by_name["shear-x"] * LARGEST_SHEAR, by_name["shear-y"] * LARGEST_SHEAR),
        (by_name["shift-x"] * LARGEST_SHIFT, by_name["shift-y"] * LARGEST_SHIFT),
    )
    colour = [by_name[name] * LARGEST_COLOUR for name in ("brightness", "contrast", "saturation")]
    images = colours(images, *colour)
    return posterized(solarized(images, by_name["solarize"].abs()), by_name["posterize"].abs())


def warped(images: Tensor, angle: Tensor, shear: tuple[Tensor, Tensor], shift: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate (radians), shear and shift (1 is half the side) each image about its middle; all arguments are (B,)."""
    cosine, sine = angle.cos(), angle.sin()
    (shear_x, shear_y), (shift_x, shift_y) = shear, shift
    rows = [
        torch.stack([cosine + sine * shear_y, -sine + cosine * shear_x, shift_x], 1),
        torch.stack([sine + cosine * shear_y, cosine + sine * shear_x, shift_y], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def colours(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Multiply brightness, distance to the mean grey, and distance to each pixel's grey by 1 + the argument (B,)."""
    images = images * _per_image(1 + brightness)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * _per_image(1 + contrast)
    if images.shape[1] > 1:
        grey = images.mean(dim=1, keepdim=True)
        images = grey + (images - grey) * _per_image(1 + saturation)
    return images.clamp(0, WHITE)


def solarized(images: Tensor, amount: Tensor) -> Tensor:
    """Turn the brightest part of the range, ``amount`` (B,) of it, into its negative."""
    return torch.where(images > _per_image(WHITE * (1 - amount)), WHITE - images, images)


def posterized(images: Tensor, amount: Tensor) -> Tensor:
    """Leave fewer grey levels: 256 at amount 0 (nothing is done), 16 at amount 1; ``amount`` is (B,)."""
    step = _per_image(2 ** (4 * amount))
    return torch.where(step > 1, (images / step).floor() * step, images)


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
