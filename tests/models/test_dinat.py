"""DiNAT against a plain re-computation with full attention and a mask, and the facts that its note tells."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from cnn_explorer.models import dinat, nat
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.neighbourhood import TINY, again
from support.same_function import assert_equals_recomputation, assert_recomputation_can_fail
from support.tensors import randomise
from torch import nn


def tiny() -> dinat.DiNAT:
    """Maps of 12, 6 and 3 pixels with 3×3 neighbours, 4, 2 and 1 pixels apart in the second block of each stage."""
    network = dinat.DiNAT(TINY, strides=(2, 1), kernel_size=3, num_classes=5, in_channels=3, image_size=24)
    randomise(network.double().eval(), 0)
    return network


def test_same_function_as_full_attention_with_a_mask() -> None:
    network: Any = tiny()
    assert [network.stage1[1].attention.dilation, network.stage2[2].attention.dilation] == [4, 2]
    assert_equals_recomputation(network, partial(again, strides=(2, 1)), (3, 24, 24))


def _undo_the_dilation(network: Any) -> None:
    network.stage1[1].attention.index = network.stage1[0].attention.index


def _change_activation(network: Any) -> None:
    network.stage2[1].mlp.gelu = nn.GELU(approximate="tanh")


def _shift_epsilon(network: Any) -> None:
    network.norm.eps = 1e-3


@pytest.mark.parametrize("spoil", [_undo_the_dilation, _change_activation, _shift_epsilon])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_recomputation_can_fail(tiny(), partial(again, strides=(2, 1)), (3, 24, 24), spoil)


def dilations(network: nn.Module) -> list[list[int]]:
    stages: list[Any] = [stage for name, stage in network.named_children() if name.startswith("stage")]
    return [[block.attention.dilation for block in stage if isinstance(block, nat.Block)] for stage in stages]


def test_dilations_at_224_are_those_of_the_paper() -> None:
    network = counting.on_meta(dinat.dinat_tiny)
    assert dilations(network) == [[1, 8, 1], [1, 4, 1, 4], [1, 2] * 9, [1] * 5]


def test_dilations_at_384_are_those_of_the_paper() -> None:
    far = counting.on_meta(lambda: dinat.dinat_large(image_size=384))
    assert dilations(far) == [[1, 13, 1], [1, 6, 1, 6], [1, 3] * 9, [1] * 5]
    wide = counting.on_meta(lambda: dinat.dinat_large(image_size=384, kernel_size=11))
    assert dilations(wide) == [[1, 8, 1], [1, 4, 1, 4], [1, 2] * 9, [1] * 5]


@pytest.mark.parametrize(("size", "expected"), [(32, [10, 5, 2, 1]), (28, [9, 4, 2, 1])])
def test_dilations_of_the_small_stem(size: int, expected: list[int]) -> None:
    network = counting.on_meta(lambda: registry.build("dinat_mini", stem="small", image_size=size))
    assert [stage[1] for stage in dilations(network)] == expected


@pytest.mark.parametrize("name", ["nano", "mini", "tiny", "base"])
def test_dilation_is_free(name: str) -> None:
    here, twin = registry.find(f"dinat_{name}").paper_stem, registry.find(f"nat_{name}").paper_stem
    assert (here.parameters, here.macs) == (twin.parameters, twin.macs)


def test_small_differs_from_its_twin_by_the_layer_scales_alone() -> None:
    network = counting.on_meta(nat.nat_small)
    scales = sum(module.factors.numel() for module in network.modules() if isinstance(module, nat.LayerScale))
    here, twin = registry.find("dinat_small").paper_stem, registry.find("nat_small").paper_stem
    assert (here.parameters + scales, here.macs) == (twin.parameters, twin.macs)


def seen_along_an_axis(network: Any, side: int, place: int) -> int:
    """How many places of an axis a place of stage 1's output depends on."""
    seen = {place}
    for block in reversed(network.stage1):
        index = nat.neighbours(side, 7, block.attention.dilation)
        seen = {int(near) for p in seen for near in index[p]}
    return len(seen)


def test_stage_one_sees_the_whole_map() -> None:
    local, dilated = counting.on_meta(nat.nat_mini), counting.on_meta(dinat.dinat_mini)
    assert seen_along_an_axis(local, 56, 28) == 19
    assert all(seen_along_an_axis(dilated, 56, place) == 56 for place in range(56))


def test_a_dilated_window_has_gaps_and_stays_inside() -> None:
    assert nat.neighbours(56, 7, 8)[20].tolist() == [4, 12, 20, 28, 36, 44, 52]
    assert nat.neighbours(10, 3, 2)[0].tolist() == [0, 2, 4]
    assert nat.neighbours(10, 3, 2)[9].tolist() == [5, 7, 9]
