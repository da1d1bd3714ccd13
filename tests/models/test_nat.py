"""NAT against a plain re-computation with full attention and a mask, against a brute-force loop, and its note's facts."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.models import nat
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.anatomy import stage_shapes
from support.neighbourhood import TINY, again, nearest_places
from support.same_function import assert_equals_recomputation, assert_recomputation_can_fail, relative_difference
from support.tensors import gradient, randomise
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

ORACLE = {
    entry["variant"]: entry
    for entry in json.loads((Path(__file__).parent / "oracle.json").read_text())["entries"]
    if entry["canonical"]
}


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
@pytest.mark.parametrize("dilation", [1, 2, 3, 8])
def test_neighbours_are_those_of_the_definition(kernel_size: int, dilation: int) -> None:
    for side in range(kernel_size * dilation, kernel_size * dilation + 12):
        found = nat.neighbours(side, kernel_size, dilation)
        for place in range(side):
            assert found[place].tolist() == nearest_places(side, kernel_size, dilation, place)
            assert place in found[place]


@pytest.mark.parametrize(("side", "kernel_size", "dilation"), [(5, 3, 1), (7, 3, 2), (5, 5, 1)])
def test_attention_equals_a_loop_over_pixels_heads_and_neighbours(side: int, kernel_size: int, dilation: int) -> None:
    attention = nat.NeighbourhoodAttention(6, 2, side, kernel_size, dilation).double()
    randomise(attention, 0)
    x = torch.randn(1, side, side, 6, dtype=torch.float64)
    q, k, v = attention.qkv(x)[0].chunk(3, dim=-1)
    mixed = torch.zeros(side, side, 6, dtype=torch.float64)
    for i in range(side):
        for j in range(side):
            window = [
                (a, b)
                for a in nearest_places(side, kernel_size, dilation, i)
                for b in nearest_places(side, kernel_size, dilation, j)
            ]
            for head in range(2):
                own = slice(3 * head, 3 * head + 3)
                scores = []
                for a, b in window:
                    apart = ((a - i) // dilation + kernel_size - 1, (b - j) // dilation + kernel_size - 1)
                    scores.append((q[i, j, own] @ k[a, b, own]) / math.sqrt(3) + attention.bias[head][apart])
                shares = torch.softmax(torch.stack(scores), dim=0)
                mixed[i, j, own] = sum(share * v[a, b, own] for share, (a, b) in zip(shares, window, strict=True))
    assert relative_difference(attention(x)[0], attention.out(mixed)) < 1e-12


def tiny(strides: tuple[int, int] = (2, 1)) -> nat.NAT:
    network = nat.NAT(TINY, strides=strides, kernel_size=3, num_classes=5, in_channels=3, image_size=24)
    randomise(network.double().eval(), 0)
    return network


def test_same_function_as_full_attention_with_a_mask() -> None:
    assert_equals_recomputation(tiny(), partial(again, strides=(2, 1)), (3, 24, 24))


def _change_activation(network: Any) -> None:
    network.stage2[1].mlp.gelu = nn.GELU(approximate="tanh")


def _shift_epsilon(network: Any) -> None:
    network.stage1[0].norm1.eps = 1e-3


def _move_stride(network: Any) -> None:
    network.stem.conv1.stride, network.stem.conv2.stride = (1, 1), (2, 2)


def _shift_the_window(network: Any) -> None:
    attention = network.stage1[1].attention
    attention.index = attention.index.roll(9)


@pytest.mark.parametrize("spoil", [_change_activation, _shift_epsilon, _move_stride, _shift_the_window])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_recomputation_can_fail(tiny(), partial(again, strides=(2, 1)), (3, 24, 24), spoil)


def closed_form(size: nat.Size, kernel_size: int = 7, side: int = 56, classes: int = 1000) -> tuple[int, int]:
    """Parameters and MACs at 224×224, written out term by term."""
    c, k2 = size.width, kernel_size**2
    parameters = 27 * c // 2 + c // 2 + 9 * c // 2 * c + c + 2 * c
    macs = (2 * side) ** 2 * 27 * c // 2 + side**2 * 9 * c // 2 * c
    for index, depth in enumerate(size.depths):
        if index:
            c, side = 2 * c, side // 2
            parameters += 9 * c * c // 2 + 2 * c
            macs += side**2 * 9 * c * c // 2
        hidden = size.mlp_ratio * c
        attention = 4 * c * c + 4 * c + (c // 32) * (2 * kernel_size - 1) ** 2
        scales = 2 * c if size.layer_scale else 0
        parameters += depth * (attention + 2 * c * hidden + hidden + c + 4 * c + scales)
        macs += depth * side**2 * (4 * c * c + 2 * c * hidden + 2 * k2 * c)
    return parameters + 2 * c + c * classes + classes, macs + c * classes


@pytest.mark.parametrize("name", ["mini", "tiny", "small", "base"])
def test_counts_are_those_of_the_closed_form(name: str) -> None:
    count = counting.count(counting.on_meta(lambda: registry.build(f"nat_{name}")), (3, 224, 224))
    assert (count.parameters, count.macs) == closed_form(nat.SIZES[name])


@pytest.mark.parametrize("name", ["mini", "tiny", "base"])
def test_counts_are_those_of_the_dilated_twin(name: str) -> None:
    counts, twin = registry.find(f"nat_{name}").paper_stem, ORACLE[f"dinat_{name}"]
    assert (counts.parameters, counts.macs) == (twin["params"], twin["macs"])


def test_at_the_border_the_window_stops_and_keeps_its_size() -> None:
    found = nat.neighbours(10, 5)
    assert found[0].tolist() == found[1].tolist() == found[2].tolist() == [0, 1, 2, 3, 4]
    assert found[3].tolist() == [1, 2, 3, 4, 5]
    assert found[9].tolist() == found[7].tolist() == [5, 6, 7, 8, 9]


def test_a_window_as_large_as_the_map_is_ordinary_attention() -> None:
    attention = nat.NeighbourhoodAttention(8, 2, 5, 5).double()
    nn.init.zeros_(attention.bias)
    x = torch.randn(2, 5, 5, 8, dtype=torch.float64)
    q, k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in attention.qkv(x).flatten(1, 2).chunk(3, dim=-1))
    full = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, 5, 8)
    assert torch.allclose(attention(x), attention.out(full))


def test_far_from_the_border_the_output_moves_with_the_map() -> None:
    attention = nat.NeighbourhoodAttention(8, 2, 12, 3).double()
    randomise(attention, 1)
    x = torch.randn(1, 12, 12, 8, dtype=torch.float64)
    moved = attention(x.roll((1, 1), dims=(1, 2)))
    assert torch.allclose(moved[:, 3:-2, 3:-2], attention(x)[:, 2:-3, 2:-3])


def test_each_pixel_reads_its_neighbours_and_nobody_else() -> None:
    attention = nat.NeighbourhoodAttention(8, 2, 9, 3).double()
    x = torch.randn(1, 9, 9, 8, dtype=torch.float64, requires_grad=True)
    attention(x)[0, 0, 4].sum().backward()
    assert gradient(x).abs().sum(-1)[0].nonzero().tolist() == [[i, j] for i in (0, 1, 2) for j in (3, 4, 5)]


def test_work_grows_with_the_pixels_not_with_their_square() -> None:
    def macs(side: int) -> int:
        attention = counting.on_meta(lambda: nat.NeighbourhoodAttention(32, 1, side))
        with FlopCounterMode(display=False) as counter:
            attention(torch.empty(1, side, side, 32, device="meta"))
        return counter.get_total_flops()

    assert macs(28) == 4 * macs(14)


@pytest.mark.parametrize(("size", "last"), [(28, 4), (32, 4)])
def test_small_stem_ends_with_four_by_four(size: int, last: int) -> None:
    network: Any = counting.on_meta(lambda: registry.build("nat_mini", stem="small", image_size=size))
    assert stage_shapes(network, (3, size, size))["stage4"] == (last, last, 512)
    assert network.stage4[1].attention.kernel_size == 3


def test_stochastic_depth_acts_in_training_only() -> None:
    network: Any = nat.nat_nano(drop_path=0.9)
    assert network.stage3[-1].drop_path.rate == pytest.approx(0.9)
    image = torch.randn(1, 3, 32, 32)
    assert not torch.equal(network.train()(image), network(image))
    assert torch.equal(network.eval()(image), network(image))


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="40×40 pixels, but the network was built for image_size 32"):
        nat.nat_nano()(torch.zeros(1, 3, 40, 40))


def test_a_map_too_small_for_the_dilation_is_refused() -> None:
    with pytest.raises(ValueError, match="side: 13 holds no 7 places 2 apart; the smallest is 14"):
        nat.NeighbourhoodAttention(32, 1, 13, 7, 2)


def test_the_smallest_image_works() -> None:
    for size in (193, 194):
        network = counting.on_meta(lambda size=size: nat.nat_mini(image_size=size))
        assert network(torch.empty(1, 3, size, size, device="meta")).shape == (1, 1000)
    assert nat.nat_nano(image_size=17)(torch.zeros(1, 3, 17, 17)).shape == (1, 10)
