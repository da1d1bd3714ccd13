"""ShuffleNet v1 against a plain re-computation with dense weights, and the properties of the shuffle.

No library ships the network, so the test computes each unit again in another way: grouped convolutions as dense ones whose
weights are zero outside the groups, the shuffle as an explicit list of channel numbers.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from cnn_explorer.models import shufflenet_v1
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_equals_recomputation, assert_recomputation_can_fail
from support.tensors import gradient, randomise
from torch import Tensor, nn


def dense(convolution: nn.Conv2d) -> Tensor:
    """The weights of the ungrouped convolution that does the same: zeros between groups."""
    rows, columns = convolution.out_channels // convolution.groups, convolution.in_channels // convolution.groups
    weight = torch.zeros(convolution.out_channels, convolution.in_channels, *convolution.kernel_size).double()
    for group in range(convolution.groups):
        inside = slice(group * rows, (group + 1) * rows)
        weight[inside, group * columns : (group + 1) * columns] = convolution.weight[inside]
    return weight


def normalise(x: Tensor, norm: Any) -> Tensor:
    scale = norm.weight / torch.sqrt(norm.running_var + 1e-5)
    return x * scale[:, None, None] + (norm.bias - norm.running_mean * scale)[:, None, None]


def block(x: Tensor, layer: Any, stride: int = 1) -> Tensor:
    padding = layer.conv.kernel_size[0] // 2
    return normalise(nn.functional.conv2d(x, dense(layer.conv), stride=stride, padding=padding), layer.norm)


def unit_by_hand(unit: shufflenet_v1.ShuffleUnit, x: Tensor, groups: int, stride: int) -> Tensor:
    y = block(x, unit.reduce).clamp_min(0)
    n = y.shape[1] // groups
    y = y[:, [group * n + position for position in range(n) for group in range(groups)]]
    y = block(block(y, unit.depthwise, stride), unit.restore)
    if stride == 1:
        return (x + y).clamp_min(0)
    kept = nn.functional.avg_pool2d(x, 3, 2, 1)
    return torch.cat((kept.clamp_min(0), y.clamp_min(0)), dim=1)


def network_by_hand(network: Any, x: Tensor, groups: int) -> Tensor:
    x = block(x, network.stem[0], 2).clamp_min(0)
    x = nn.functional.max_pool2d(x, 3, 2, 1)
    for stage in (network.stage2, network.stage3, network.stage4):
        for index, unit in enumerate(stage):
            x = unit_by_hand(unit, x, groups, 2 if index == 0 else 1)
    return x.mean((2, 3)) @ network.head.weight.T + network.head.bias


def build_random(name: str) -> nn.Module:
    network = registry.build(name, num_classes=10, image_size=64).double().eval()
    randomise(network)
    return network


@pytest.mark.parametrize(("name", "groups"), [("shufflenet_v1_050_g3", 3), ("shufflenet_v1_050_g8", 8)])
def test_same_function_as_the_plain_computation(name: str, groups: int) -> None:
    assert_equals_recomputation(build_random(name), partial(network_by_hand, groups=groups), (3, 64, 64))


def _drop_shuffle(network: Any) -> None:
    network.stage3[1].shuffle = nn.Identity()


def _activate_depthwise(network: Any) -> None:
    network.stage2[1].depthwise.act = nn.ReLU()


def _shift_epsilon(network: Any) -> None:
    network.stage4[0].restore.norm.eps = 1e-3


@pytest.mark.parametrize("spoil", [_drop_shuffle, _activate_depthwise, _shift_epsilon])
def test_the_comparison_catches_a_change(spoil) -> None:
    network = build_random("shufflenet_v1_050_g3")
    assert_recomputation_can_fail(network, partial(network_by_hand, groups=3), (3, 64, 64), spoil)


@pytest.mark.parametrize(("channels", "groups"), [(12, 3), (12, 4), (96, 8), (5, 1), (5, 5)])
def test_shuffle_is_a_permutation_with_a_known_inverse(channels: int, groups: int) -> None:
    x = torch.arange(channels, dtype=torch.float32)[None, :, None, None].expand(2, channels, 3, 3)
    shuffled = shufflenet_v1.channel_shuffle(x, groups)
    assert sorted(shuffled[0, :, 0, 0].tolist()) == list(range(channels))
    assert torch.equal(shufflenet_v1.channel_shuffle(shuffled, channels // groups), x)


def test_shuffle_deals_every_group_out_to_all_groups() -> None:
    channels, groups = 24, 3
    x = torch.arange(channels)[None, :, None, None]
    came_from = (shufflenet_v1.channel_shuffle(x, groups)[0, :, 0, 0] // (channels // groups)).reshape(groups, -1)
    for row in came_from:
        assert set(row.tolist()) == set(range(groups))


def receptive_field(shuffle: bool) -> int:
    """Of 24 input channels, how many does one output see through two grouped 1×1 convolutions with 3 groups?"""
    first, second = nn.Conv2d(24, 24, 1, groups=3), nn.Conv2d(24, 24, 1, groups=3)
    middle = shufflenet_v1.ChannelShuffle(3) if shuffle else nn.Identity()
    x = torch.randn(1, 24, 1, 1, requires_grad=True)
    second(middle(first(x)))[0, 0].sum().backward()
    return int(gradient(x).count_nonzero())


def test_without_the_shuffle_groups_never_talk() -> None:
    assert (receptive_field(False), receptive_field(True)) == (8, 24)


@pytest.mark.parametrize("groups", [2, 3, 4, 8])
def test_cost_of_a_unit_is_that_of_section_3_2(groups: int) -> None:
    channels = 96
    unit = counting.on_meta(lambda: shufflenet_v1.ShuffleUnit(channels, channels, 1, groups))
    middle = channels // 4
    expected = 14 * 14 * (2 * channels * middle // groups + 9 * middle)
    assert counting.module_macs(unit, (channels, 14, 14))[""] == expected


def test_halving_keeps_the_old_channels() -> None:
    unit = shufflenet_v1.ShuffleUnit(24, 48, 2, 3).eval()
    x = torch.rand(1, 24, 8, 8)
    assert torch.allclose(unit(x)[:, :24], nn.functional.avg_pool2d(x, 3, 2, 1))


def test_unshuffled_twin_has_the_same_parameters() -> None:
    pair = [
        counting.on_meta(lambda n=n: registry.build(n))
        for n in ("shufflenet_v1_100_g8", "shufflenet_v1_100_g8_unshuffled")
    ]
    assert [p.shape for p in pair[0].parameters()] == [p.shape for p in pair[1].parameters()]
    assert not any(isinstance(m, shufflenet_v1.ChannelShuffle) for m in pair[1].modules())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0.0}, r"scale: 0\.0"),
        ({"scale": 0.7}, r"scale: 0\.7 is unknown"),
        ({"groups": 5}, "groups: 5 is unknown"),
    ],
)
def test_bad_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shufflenet_v1.ShuffleNetV1(**arguments)
