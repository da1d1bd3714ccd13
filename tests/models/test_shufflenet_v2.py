"""ShuffleNet V2 against torchvision, and what its units promise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from cnn_explorer.models import shufflenet_v2
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import nn

PAIRS = [("shufflenet_v2_050", "shufflenet_v2_x0_5"), ("shufflenet_v2_200", "shufflenet_v2_x2_0")]


@pytest.mark.parametrize(("name", "theirs"), PAIRS)
def test_same_function_as_torchvision(name: str, theirs: str) -> None:
    reference = getattr(torchvision.models, theirs)(num_classes=10)
    assert_same_function(registry.build(name, num_classes=10, image_size=64), reference, (3, 64, 64))


def _drop_shuffle(network: Any) -> None:
    network.stage3[2].shuffle = nn.Identity()


def _shift_epsilon(network: Any) -> None:
    network.stage2[0].branch[1].norm.eps = 1e-3


def _activate_depthwise(network: Any) -> None:
    network.stage4[1].branch[1].act = nn.ReLU()


def _move_stride(network: Any) -> None:
    # Only here: between a linear depthwise layer and the 1×1 behind it the stride may stand on either.
    unit = network.stage2[0]
    unit.branch[0].conv.stride, unit.branch[1].conv.stride = (2, 2), (1, 1)


@pytest.mark.parametrize("spoil", [_drop_shuffle, _shift_epsilon, _activate_depthwise, _move_stride])
def test_the_comparison_catches_a_change(spoil) -> None:
    reference = torchvision.models.shufflenet_v2_x0_5(num_classes=10)
    ours = registry.build("shufflenet_v2_050", num_classes=10, image_size=64)
    assert_comparison_can_fail(ours, reference, (3, 64, 64), spoil)


def test_half_of_the_channels_pass_untouched() -> None:
    unit = shufflenet_v2.SplitUnit(12).eval()
    x = torch.randn(2, 12, 6, 6)
    y = unit(x)
    assert torch.equal(y[:, 0::2], x[:, :6])
    assert torch.equal(y[:, 1::2], unit.branch(x[:, 6:]))


def test_what_passes_fades_with_distance() -> None:
    """After n units C / 2ⁿ channels are still those of the input: reuse of features as in section 3."""
    units = nn.Sequential(*(shufflenet_v2.SplitUnit(16) for _ in range(3))).eval()
    x = torch.randn(1, 16, 5, 5)
    for count, left in [(1, 8), (2, 4), (3, 2)]:
        y = units[:count](x)
        untouched = [c for c in range(16) if any(torch.equal(y[:, c], x[:, k]) for k in range(16))]
        assert len(untouched) == left


def test_widths_inside_a_unit_are_equal() -> None:
    """Guideline 1, and no group but the depthwise ones: guideline 2."""
    network = counting.on_meta(lambda: registry.build("shufflenet_v2_150"))
    units = [unit for unit in network.modules() if isinstance(unit, shufflenet_v2.SplitUnit)]
    assert units
    for unit in units:
        convolutions = [layer for layer in unit.branch.modules() if isinstance(layer, nn.Conv2d)]
        widths = {c for conv in convolutions for c in (conv.in_channels, conv.out_channels)}
        assert len(convolutions) == 3 and widths == {convolutions[0].in_channels}
        assert [conv.groups for conv in convolutions][::2] == [1, 1]


def accesses(c1: int, c2: int, pixels: int) -> int:
    """Values that a 1×1 convolution reads and writes: input, output and weights (section 2, G1)."""
    layer = nn.Conv2d(c1, c2, 1, bias=False)
    x = torch.randn(1, c1, pixels, 1)
    return x.numel() + layer(x).numel() + layer.weight.numel()


def test_equal_widths_touch_the_fewest_values() -> None:
    same_work = [(24, 384), (48, 192), (96, 96), (192, 48), (384, 24)]
    assert len({a * b for a, b in same_work}) == 1
    touched = [accesses(a, b, 49) for a, b in same_work]
    assert min(touched) == touched[2]
    assert touched[0] - touched[2] == 49 * (24 + 384 - 2 * 96)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0.0}, r"scale: 0\.0"),
        ({"scale": 3.0}, r"scale: 3\.0 is unknown"),
    ],
)
def test_bad_arguments_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shufflenet_v2.ShuffleNetV2(**arguments)
