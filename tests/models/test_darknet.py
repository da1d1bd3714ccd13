"""Darknet-53 against timm, and what sets its block apart from ResNet's."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
from cnn_explorer.models import darknet
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from timm.models import cspnet
from torch import nn


def reference(width: int) -> nn.Module:
    """timm's network with ``width`` channels in its stem and the slope of Darknet's own files (timm's is 0.01)."""
    layout = copy.deepcopy(cspnet.model_cfgs["darknet53"])
    layout.stem.out_chs = width
    layout.stages.out_chs = tuple(width * 2**i for i in range(1, 6))
    network = cspnet.CspNet(layout, num_classes=10)
    for module in network.modules():
        if isinstance(module, nn.LeakyReLU):
            module.negative_slope = 0.1
    return network


def test_same_function_as_timm() -> None:
    """All 53 layers at a quarter of the width, which is a sixteenth of the time; the counts hold the full width."""
    ours = darknet.Darknet(width=8, num_classes=10, image_size=64)
    assert_same_function(ours, reference(8), (3, 64, 64))
    full = counting.on_meta(lambda: timm.create_model("darknet53"))
    paper = counting.on_meta(lambda: registry.build("darknet53"))
    convolutions = [[m.weight.shape for m in n.modules() if isinstance(m, nn.Conv2d)] for n in (paper, full)]
    assert convolutions[0] == convolutions[1]


def _change_slope(network: Any) -> None:
    network.stage3[2].conv1.act = nn.LeakyReLU(0.01)


def _shift_epsilon(network: Any) -> None:
    network.stage2[1].conv2.norm.eps = 1e-3


def _move_stride(network: Any) -> None:
    network.stage1[0].conv.stride, network.stem.conv.stride = (1, 1), (2, 2)


@pytest.mark.parametrize("spoil", [_change_slope, _shift_epsilon, _move_stride])
def test_the_comparison_catches_a_change(spoil) -> None:
    ours = darknet.Darknet(darknet.DEPTHS, 4, num_classes=10, image_size=64)
    assert_comparison_can_fail(ours, reference(4), (3, 64, 64), spoil)


def test_fifty_three_layers_and_no_projection() -> None:
    network = counting.on_meta(lambda: registry.build("darknet53"))
    weights = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weights) == 53
    assert sum(m.stride == (2, 2) for m in weights if isinstance(m, nn.Conv2d)) == 5
    assert not any(isinstance(m, nn.MaxPool2d | nn.AvgPool2d) for m in network.modules())


def test_nothing_stands_behind_the_sum() -> None:
    block = darknet.Residual(8).eval()
    nn.init.zeros_(block.conv2.norm.weight)
    x = torch.randn(1, 8, 5, 5)
    assert (x < 0).any()
    assert torch.equal(block(x), x)


def test_a_block_costs_the_same_in_every_stage() -> None:
    network = counting.on_meta(lambda: registry.build("darknet53"))
    work = counting.module_macs(network, (3, 256, 256))
    assert len({work[f"stage{index}.1"] for index in range(1, 6)}) == 1


def test_paper_counts_two_operations_for_a_multiply_add() -> None:
    assert 2 * registry.find("darknet53").paper_stem.macs == pytest.approx(18.7e9, rel=0.01)


def test_bad_arguments_of_a_class_are_named() -> None:
    with pytest.raises(ValueError, match="width: 0"):
        darknet.Darknet(width=0)
