"""No pixel of an image is left unread without a word: a size is refused, or the note says that it happens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from cnn_explorer.errors import UsageError
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from cnn_explorer.models.layers import check_whole_patches, margin_allowed
from support.families import SAMPLED_FAMILIES
from torch import nn

LARGEST = 30e6
"""Parameters: larger networks have the layout of a smaller one of their family."""


TOLD = {"lenet", "alexnet", "nin", "squeezenet", "inception_v3", "xception", "capsnet", "cvt", "cyclemlp"}
"""Families whose paper has convolutions and poolings that leave a margin; their notes say where."""


def fill(network: nn.Module) -> None:
    """Draw what a network begins with as zero, so that no path is closed."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.uniform_(parameter, 0.1, 0.5)


def unread(network: nn.Module, channels: int, size: int) -> set[int]:
    """Return the rows and columns of an image that have no influence on the scores, by the gradient."""
    image = torch.rand(1, channels, size, size, requires_grad=True)
    scores = network(image)
    (scores * torch.randn_like(scores)).sum().backward()
    assert image.grad is not None
    seen = image.grad.abs().sum((0, 1))
    rows, columns = (seen.sum(1) == 0).nonzero().flatten(), (seen.sum(0) == 0).nonzero().flatten()
    return {*rows.tolist(), *columns.tolist()}


def layouts(family: registry.Family) -> Iterator[tuple[registry.Variant, str, list[int]]]:
    """The smallest network of each layout, and sizes at which it is tried: its own if that is small, and odd ones."""
    made_small = [variant for variant in family.variants if variant.paper_stem.input[1] <= 64]
    large = [variant for variant in family.variants if variant not in made_small]
    larger = sorted(large, key=lambda variant: variant.paper_stem.macs)
    if made_small:
        smallest = min(made_small, key=lambda variant: variant.paper_stem.macs)
        own = smallest.paper_stem.input[1]
        yield smallest, "imagenet", [own, own + 1]
    if larger and larger[0].paper_stem.parameters < LARGEST:
        yield larger[0], "imagenet", [98, 103]
        if larger[0].small_stem is not None:
            yield larger[0], "small", [33]


@pytest.mark.parametrize("name", SAMPLED_FAMILIES)
def test_pixels_are_read_or_the_note_says_that_they_are_not(name: str) -> None:
    family = registry.family(name)
    told = name in TOLD
    assert not told or any("unread" in deviation for deviation in family.deviations)
    tried = 0
    for variant, stem, sizes in layouts(family):
        for size in sizes:
            try:
                network = registry.build(variant.name, stem=stem, num_classes=5, image_size=size).eval()
            except ValueError:
                continue  # refused, as it should be
            fill(network)
            tried += 1
            rows = unread(network, variant.counts(stem).input[0], size)
            assert told or not rows, f"{variant.name} ({stem}) at {size} pixels does not read {sorted(rows)}"
    assert tried, "every size was refused"


def test_the_probe_sees_a_margin() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 4, 4), nn.Flatten(), nn.LazyLinear(3))
    network(torch.rand(1, 1, 10, 10))
    assert unread(network, 1, 10) == {8, 9}
    padded = nn.Sequential(nn.Conv2d(1, 2, 3, 2, padding=1), nn.Flatten(), nn.LazyLinear(3))
    padded(torch.rand(1, 1, 10, 10))
    assert unread(padded, 1, 10) == set()


OF_PATCHES = [
    ("vit_base_16", "imagenet", 100, "is not a multiple of the patch 16; 96 or 112 works"),
    ("vit_huge_14", "imagenet", 225, "is not a multiple of the patch 14; 224 or 238 works"),
    ("vit_tiny_16", "small", 30, "is not a multiple of the patch 4; 28 or 32 works"),
    ("vit_nano", "imagenet", 33, "is not a multiple of the patch 4; 32 or 36 works"),
    ("mixer_s32", "imagenet", 240, "is not a multiple of the patch 32; 224 or 256 works"),
    ("mixer_nano", "imagenet", 35, "is not a multiple of the patch 4; 32 or 36 works"),
    ("gmlp_s16", "imagenet", 100, "is not a multiple of the patch 16; 96 or 112 works"),
    ("resmlp_s12", "small", 29, "is not a multiple of the patch 4; 28 or 32 works"),
    ("swin_tiny", "imagenet", 225, "is not a multiple of the patch 4; 224 or 228 works"),
    ("swin_tiny", "small", 29, "is not a multiple of the patch 2; 28 or 30 works"),
    ("swin_v2_tiny", "imagenet", 254, "is not a multiple of the patch 4; 252 or 256 works"),
    ("convnext_tiny", "imagenet", 99, "is not a multiple of the patch 4; 96 or 100 works"),
    ("convnext_nano", "imagenet", 33, "is not a multiple of the patch 2; 32 or 34 works"),
]


@pytest.mark.parametrize(("name", "stem", "size", "told"), OF_PATCHES)
def test_a_size_that_is_no_multiple_of_the_patch_is_refused(name: str, stem: str, size: int, told: str) -> None:
    def build(pixels: int) -> nn.Module:
        return counting.on_meta(lambda: registry.build(name, stem=stem, image_size=pixels))

    with pytest.raises(UsageError) as caught:
        build(size)
    assert str(caught.value) == f"image_size: {size} {told}"
    nearest = told.partition("; ")[2].split()
    build(int(nearest[0]))
    build(int(nearest[2]))


def test_an_image_smaller_than_the_patch() -> None:
    with pytest.raises(ValueError, match="15 is too small for patches of 16 pixels; the smallest that works is 16"):
        check_whole_patches(15, 16)


def test_a_margin_is_allowed_only_where_it_is_asked_for() -> None:
    with margin_allowed():
        check_whole_patches(100, 16)
    with pytest.raises(UsageError):
        check_whole_patches(100, 16)
    with pytest.raises(RuntimeError), margin_allowed():
        raise RuntimeError
    with pytest.raises(UsageError):
        check_whole_patches(100, 16)
