"""Augmentation of whole batches: what is drawn for an epoch, and how it is put on a batch of images.

Drawing and applying are apart: all random numbers of an epoch are drawn at its start from a generator that depends on
nothing but seed and epoch, one row per place in the order of the images. So a resumed run, or a process that works on
a part of each batch, has the very same ones. Shifts need no arithmetic at all: images are kept with a border, and a
shifted image is a window of the bordered one, taken in the same indexing that gathers the batch (`windows`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..config.recipe import Recipe
from . import mixup_cutmix, randaugment

Draws = dict[str, Tensor]


def border(recipe: Recipe) -> tuple[int, str]:
    """Return the width in pixels and kind ("mirror" or "black") of the border that the recipe's shifts need; width 0
    without one.
    """
    if "crop" in recipe.augment:
        return recipe.crop_padding, "mirror"
    if "translate" in recipe.augment:
        return recipe.translate_pixels, "black"
    return 0, "black"


def with_border(images: Tensor, width: int, kind: str) -> Tensor:
    """Return the images with a border: (N, C, H, W) → (N, C, H + 2·width, W + 2·width), any dtype.

    "mirror" reflects about the outermost pixels, which are not repeated; it needs ``width`` < H. "black" fills with 0.
    """
    if width == 0:
        return images
    if kind == "mirror":
        rows = _mirrored(images.shape[2], width, images.device)
        columns = _mirrored(images.shape[3], width, images.device)
        return images.index_select(2, rows).index_select(3, columns)
    return torch.nn.functional.pad(images, (width,) * 4)


def _mirrored(size: int, width: int, device: torch.device) -> Tensor:
    """Return the indices -width … size + width - 1 folded back into 0 … size - 1: (size + 2·width,)."""
    period = max(1, 2 * (size - 1))
    folded = torch.arange(-width, size + width, device=device) % period
    return torch.where(folded < size, folded, period - folded)


def windows(bordered: Tensor, width: int) -> Tensor:
    """Return all shifted images as a view: (N, C, H + 2w, W + 2w) → (N, 2w + 1, 2w + 1, C, H, W), no memory.

    Indexing it with an image, a row and a column of each gathers a cropped batch in one go.
    """
    height, columns = bordered.shape[2] - 2 * width, bordered.shape[3] - 2 * width
    return bordered.unfold(2, height, 1).unfold(3, columns, 1).permute(0, 2, 3, 1, 4, 5)


def draw(recipe: Recipe, count: int, size: int, generator: torch.Generator) -> Draws:
    """Draw random numbers for ``count`` images of ``size`` pixels a side, each a tensor (count, …)."""
    width, _ = border(recipe)
    draws: Draws = {}

    def whole(limit: int, *more: int) -> Tensor:
        return torch.randint(0, limit, (count, *more), generator=generator, device=generator.device)

    def uniform(columns: int) -> Tensor:
        return torch.rand((count, columns), generator=generator, device=generator.device)

    if width:
        draws["row"], draws["column"] = whole(2 * width + 1), whole(2 * width + 1)
    if "flip" in recipe.augment:
        draws["flip"] = whole(2).bool()
    if "jitter" in recipe.augment:
        draws["jitter"] = recipe.jitter_strength * (2 * uniform(3) - 1)
    if "randaugment" in recipe.augment:
        draws["operations"] = whole(len(randaugment.OPERATIONS), randaugment.PER_IMAGE)
        draws["signs"] = 2 * whole(2, randaugment.PER_IMAGE) - 1
    if "cutout" in recipe.augment:
        draws["hole_row"], draws["hole_column"] = whole(size), whole(size)
    if "mixup" in recipe.augment or "cutmix" in recipe.augment:
        draws["mix"] = uniform(4)
    return draws


def alternating_flips(order: Tensor, epoch: int, generator: torch.Generator) -> Tensor:
    """Return which places of an order (N,) of the images are mirrored in ``epoch``: bool (N,).

    Each image is mirrored in every other epoch, half of them in the even ones, so that two epochs show all images both
    ways (Jordan, arXiv:2404.00498). ``generator`` decides which half and must be the same in every epoch.
    """
    at_first = torch.randint(0, 2, order.shape, generator=generator).bool()
    return at_first[order] ^ bool(epoch % 2)


def select(draws: Draws, start: int, stop: int) -> Draws:
    """Return the rows ``start`` to ``stop`` of all draws."""
    return {name: values[start:stop] for name, values in draws.items()}


def select_rows(draws: Draws, start: int, rows: Tensor) -> Draws:
    """Return the rows ``start + rows`` of all draws. The coin that decides for a whole batch is that of its first image."""
    chosen = {name: values[start + rows] for name, values in draws.items()}
    if "mix" in chosen:
        chosen["mix"][:, -1] = draws["mix"][start, -1]
    return chosen


def gather(bordered: Tensor, index: Tensor, draws: Draws, width: int) -> Tensor:
    """Return the images ``index`` (B,) of a bordered set, shifted as drawn: (B, C, H, W) in the dtype of the set."""
    if width == 0:
        return bordered.index_select(0, index)
    return windows(bordered, width)[index, draws["row"], draws["column"]]


def flip(images: Tensor, flipped: Tensor) -> Tensor:
    """Mirror the images where ``flipped`` (B,) is true, left to right: (B, C, H, W), any dtype, in new memory."""
    columns = torch.arange(images.shape[3], device=images.device)
    source = torch.where(flipped[:, None], columns.flip(0), columns)  # (B, W)
    return images.gather(3, source[:, None, None, :].expand_as(images))


def cut_out(images: Tensor, rows: Tensor, columns: Tensor, size: int) -> Tensor:
    """Put a square hole of 0 with its middle at (rows, columns) into each image: (B, C, H, W), floating point.

    DeVries and Taylor, "Cutout", arXiv:1708.04552: the hole may hang over the edge. On normalised images 0 is the mean.
    """
    away_y = torch.arange(images.shape[2], device=images.device) - rows[:, None] + size // 2  # (B, H)
    away_x = torch.arange(images.shape[3], device=images.device) - columns[:, None] + size // 2  # (B, W)
    inside_y, inside_x = (away_y >= 0) & (away_y < size), (away_x >= 0) & (away_x < size)
    return images.masked_fill((inside_y[:, :, None] & inside_x[:, None, :])[:, None], 0.0)


def on_bytes(images: Tensor, draws: Draws) -> Tensor:
    """Return what moves whole pixels about, on uint8 images, where a byte moves instead of four: (B, C, H, W)."""
    return flip(images, draws["flip"]) if "flip" in draws else images


def on_values(images: Tensor, draws: Draws, recipe: Recipe) -> Tensor:
    """Return what changes brightness and shape, on images (B, C, H, W) with values 0 … 255; bytes come back as float."""
    if "jitter" in draws:
        images = randaugment.jitter(images.to(torch.float32), draws["jitter"])
    if "operations" in draws:
        images = images.to(torch.float32)
        images = randaugment.randaugment(images, draws["operations"], draws["signs"], recipe.randaugment_strength)
    return images


def on_normalised(images: Tensor, draws: Draws, recipe: Recipe) -> Tensor:
    """Return what treats the mean as nothing, on normalised images: (B, C, H, W)."""
    if "hole_row" in draws:
        images = cut_out(images, draws["hole_row"], draws["hole_column"], recipe.cutout_size)
    return images


def mix(images: Tensor, targets: Tensor, draws: Draws, recipe: Recipe, num_classes: int) -> tuple[Tensor, Tensor]:
    """Apply mixup or CutMix, or for each batch one of them where the recipe has both; targets (B,) → (B, classes) then.

    The share is uniform in 0 … 1, Beta(1, 1), as both papers use for CIFAR.
    """
    if "mix" not in draws:
        return images, targets
    share, row, column, coin = draws["mix"].unbind(1)
    mixed = mixup_cutmix.probabilities(targets, num_classes)
    blended = mixup_cutmix.mixup(images, mixed, share) if "mixup" in recipe.augment else None
    pasted = mixup_cutmix.cutmix(images, mixed, share, row, column) if "cutmix" in recipe.augment else None
    if blended is None or pasted is None:
        one = blended or pasted
        assert one is not None, "draws for mixing are made for one of the two"
        return one
    # The first image's coin decides for all of them, on the device.
    heads = coin[0] < 0.5
    return torch.where(heads, blended[0], pasted[0]), torch.where(heads, blended[1], pasted[1])
