"""EfficientNet against torchvision; the gate, the rounding rules and the compound coefficient."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torchvision
from cnn_explorer.models import efficientnet
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import nn


def reference(name: str) -> nn.Module:
    return getattr(torchvision.models, name)(num_classes=10)


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_b2"])
def test_same_function_as_torchvision(name: str) -> None:
    assert_same_function(registry.build(name, num_classes=10, image_size=64), reference(name), (3, 64, 64))


@pytest.mark.parametrize("name", [f"efficientnet_b{n}" for n in (0, 1, 4, 5, 7)])
def test_epsilon_and_dropped_branches_are_those_of_torchvision(name: str) -> None:
    ours: Any = counting.on_meta(lambda: registry.build(name))
    theirs: Any = counting.on_meta(lambda: getattr(torchvision.models, name)())
    assert {m.eps for m in ours.modules() if isinstance(m, nn.BatchNorm2d)} == {
        m.eps for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)
    }
    rates = [m.drop_path.rate for m in ours.modules() if isinstance(m, efficientnet.MBConv)]
    assert rates == [m.p for m in theirs.modules() if isinstance(m, torchvision.ops.StochasticDepth)]
    assert ours.dropout.p == theirs.classifier[0].p


def _change_activation(network: Any) -> None:
    network.stage3[0].expand.act = nn.ReLU6()


def _change_gate(network: Any) -> None:
    network.stage2[1].gate.act = nn.ReLU()


def _shift_epsilon(network: Any) -> None:
    network.stage4[2].project.norm.eps = 1e-3


def _move_stride(network: Any) -> None:
    network.stage4[0].depthwise.conv.stride, network.stage5[0].depthwise.conv.stride = (1, 1), (2, 2)


@pytest.mark.parametrize("spoil", [_change_activation, _change_gate, _shift_epsilon, _move_stride])
def test_the_comparison_catches_a_change(spoil) -> None:
    ours = registry.build("efficientnet_b0", num_classes=10, image_size=64)
    assert_comparison_can_fail(ours, reference("efficientnet_b0"), (3, 64, 64), spoil)


def test_gates_lie_between_0_and_1_and_are_narrowed_by_the_block_input() -> None:
    block = efficientnet.MBConv(16, 24, 2)
    assert block.gate.reduce.out_features == 4
    x = 100 * torch.randn(3, 96, 5, 5)
    gates = block.gate.weights(x)
    assert gates.shape == (3, 96) and (gates >= 0).all() and (gates <= 1).all()
    assert torch.allclose(block.gate(x), x * gates[:, :, None, None])


def test_depth_is_rounded_up_and_width_to_eights() -> None:
    for name in ("b1", "b4", "b7"):
        size = efficientnet.SIZES[name]
        network = counting.on_meta(lambda name=name: registry.build(f"efficientnet_{name}"))
        for index, row in enumerate(efficientnet.B0, start=1):
            stage = getattr(network, f"stage{index}")
            assert len(stage) == math.ceil(size.depth * row.depth)
            channels = stage[-1].project.conv.out_channels
            assert channels % 8 == 0 and channels >= 0.9 * size.width * row.channels


def test_one_step_of_phi_doubles_the_work() -> None:
    depth, width, resolution = efficientnet.compound(1)
    assert depth * width**2 * resolution**2 == pytest.approx(2, rel=0.05)
    # Near the published rows B3 to B7: each is that power of the three bases that its depth says.
    for size in list(efficientnet.SIZES.values())[3:]:
        phi = math.log(size.depth) / math.log(efficientnet.ALPHA)
        assert size.width == pytest.approx(efficientnet.BETA**phi, rel=0.12)
        assert size.image_size / 224 == pytest.approx(efficientnet.GAMMA**phi, rel=0.15)


def test_stochastic_depth_leaves_whole_branches_out_in_training_alone() -> None:
    torch.manual_seed(0)
    block = efficientnet.MBConv(8, 8, drop_path=0.5).train()
    x = torch.randn(64, 8, 4, 4)
    left_out = [torch.equal(y, image) for y, image in zip(block(x), x, strict=True)]
    assert 16 < sum(left_out) < 48
    assert not any(torch.equal(y, image) for y, image in zip(block.eval()(x), x, strict=True))


def test_bad_arguments_of_a_class_are_named() -> None:
    with pytest.raises(ValueError, match="depth: -1"):
        efficientnet.EfficientNet(1.0, -1)
