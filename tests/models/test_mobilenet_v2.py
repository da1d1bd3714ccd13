"""MobileNetV2 against torchvision, and the properties of its block."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from cnn_explorer.models import mobilenet_v2
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import nn


def reference(width: float) -> nn.Module:
    return torchvision.models.mobilenet_v2(width_mult=width, num_classes=10)


@pytest.mark.parametrize(("name", "width"), [("mobilenet_v2_035", 0.35), ("mobilenet_v2_140", 1.4)])
def test_same_function_as_torchvision(name: str, width: float) -> None:
    assert_same_function(registry.build(name, num_classes=10, image_size=64), reference(width), (3, 64, 64))


def _unclip(network: Any) -> None:
    for stage in (network.stage2, network.stage3, network.stage4, network.stage5):
        for block in stage:
            block.expand.act = block.depthwise.act = nn.ReLU()


def _shift_epsilon(network: Any) -> None:
    network.stage3[0].project.norm.eps = 1e-3


def _activate_the_bottleneck(network: Any) -> None:
    network.stage4[1].project.act = nn.ReLU6()


def _move_stride(network: Any) -> None:
    network.stage4[0].depthwise.conv.stride, network.stage4[1].depthwise.conv.stride = (1, 1), (2, 2)
    network.stage4[1].has_shortcut = False


def _drop_shortcut(network: Any) -> None:
    network.stage6[2].has_shortcut = False


@pytest.mark.parametrize("spoil", [_unclip, _shift_epsilon, _activate_the_bottleneck, _move_stride, _drop_shortcut])
def test_the_comparison_catches_a_change(spoil) -> None:
    ours = registry.build("mobilenet_v2_050", num_classes=10, image_size=64)
    assert_comparison_can_fail(ours, reference(0.5), (3, 64, 64), spoil)


def test_shortcut_exists_exactly_where_the_shapes_agree() -> None:
    network = counting.on_meta(lambda: registry.build("mobilenet_v2_100"))
    blocks = [block for index in range(1, 8) for block in getattr(network, f"stage{index}")]
    assert len(blocks) == 17
    for block in blocks:
        same = block.depthwise.conv.stride == (1, 1)
        same &= block.project.conv.out_channels == getattr(block.expand, "conv", block.depthwise.conv).in_channels
        assert block.has_shortcut == same
    assert sum(block.has_shortcut for block in blocks) == 10


def test_the_block_ends_linear() -> None:
    """Its output takes both signs, and the projection obeys superposition."""
    block = mobilenet_v2.InvertedResidual(8, 8, skip=False).double().eval()
    x, y = torch.randn(2, 1, 48, 5, 5, dtype=torch.float64)
    assert torch.allclose(block.project(x + y), block.project(x) + block.project(y), atol=1e-12)
    out = block(torch.randn(4, 8, 5, 5, dtype=torch.float64))
    assert (out < 0).any() and (out > 0).any()
    bent = mobilenet_v2.InvertedResidual(8, 8, skip=False, linear=False).eval()
    assert (bent(torch.randn(4, 8, 5, 5)) >= 0).all()


def test_thin_thick_thin_and_depthwise_keeps_the_channels() -> None:
    block = mobilenet_v2.InvertedResidual(32, 32, expansion=6)
    layers = [block.expand.conv, block.depthwise.conv, block.project.conv]
    assert [(c.in_channels, c.out_channels) for c in layers] == [(32, 192), (192, 192), (192, 32)]
    assert block.depthwise.conv.groups == 192


def test_doing_nothing_is_easy() -> None:
    block = mobilenet_v2.InvertedResidual(8, 8).eval()
    nn.init.zeros_(block.project.norm.weight)
    x = torch.randn(1, 8, 6, 6)
    assert torch.equal(block(x), x)


def test_switches_leave_the_parameters_alone() -> None:
    shapes = [p.shape for p in registry.build("mobilenet_v2_035", stem="small").parameters()]
    for switch in ({"linear": False}, {"skip": False}):
        network = registry.build("mobilenet_v2_035", stem="small", **switch)
        assert [p.shape for p in network.parameters()] == shapes


def test_few_channels_lose_to_a_relu_what_many_keep() -> None:
    """The argument of section 3.2: points of a plane, sent into n dimensions, clipped, and sent back."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, 500, generator=generator, dtype=torch.float64)

    def loss(n: int) -> float:
        matrix = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        clipped = torch.relu(matrix @ points)
        back = torch.linalg.lstsq(clipped.T, points.T)
        return (clipped.T @ back.solution - points.T).norm().item() / points.norm().item()

    few, many = (sum(loss(n) for _ in range(20)) / 20 for n in (2, 30))
    assert few > 0.4 and many < 0.1


def test_bad_arguments_of_a_class_are_named() -> None:
    with pytest.raises(ValueError, match=r"width: -1"):
        mobilenet_v2.MobileNetV2(-1)
    with pytest.raises(ValueError, match="expansion: 0"):
        mobilenet_v2.InvertedResidual(8, 8, expansion=0)
