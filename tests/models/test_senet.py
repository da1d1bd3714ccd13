"""SE-Net against timm in the published version and in v1.5, and what a gate may do."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import timm
import torch
from cnn_explorer.models import inception_v2, senet
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from timm.layers.squeeze_excite import SEModule
from timm.models.senet import SEBottleneck, SEResNetBottleneck, SEResNeXtBottleneck
from timm.models.senet import SENet as TimmSENet
from torch import nn

ONE_EACH = (1, 1, 1, 1)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One block per stage: all shapes occur, in a fraction of the time."""
    monkeypatch.setitem(senet.DEPTHS, 50, ONE_EACH)
    monkeypatch.setattr(senet, "DEPTHS_154", ONE_EACH)


def gates_before_shortcuts(network: Any) -> nn.Module:
    """timm's network with each gate run right behind the norm it follows, not after the shortcut: the same function.

    Weights are paired in the order of their use, so the order must agree where shapes do not tell tensors apart.
    """
    for block in [module for module in network.modules() if hasattr(module, "se_module")]:
        last = "bn3" if hasattr(block, "bn3") else "bn2"
        setattr(block, last, nn.Sequential(getattr(block, last), block.se_module))
        block.se_module = nn.Identity()
    return network


def timm_senet(block: type[nn.Module], groups: int, **options) -> nn.Module:
    return gates_before_shortcuts(TimmSENet(block, ONE_EACH, groups, senet.REDUCTION, num_classes=10, **options))


def timm_18() -> nn.Module:
    """timm's SE-ResNet-18 with hidden widths as published and Caffe's pooling.

    Not its legacy_seresnet18, whose blocks have one more ReLU, at the end of the residual branch.
    """
    gate = partial(SEModule, rd_ratio=1 / senet.REDUCTION, rd_divisor=1)
    network = timm.create_model("seresnet18", num_classes=10, block_args={"attn_layer": gate})
    network.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
    return network


def test_se_resnet18_is_timms() -> None:
    ours = registry.build("se_resnet18", num_classes=10, image_size=64)
    assert_same_function(ours, timm_18(), (3, 64, 64))


def test_se_resnet18_v1_5_is_timms() -> None:
    ours = registry.build("se_resnet18", num_classes=10, image_size=64, v1_5=True)
    assert_same_function(ours, timm.create_model("seresnet18", num_classes=10), (3, 64, 64))


@pytest.mark.usefixtures("short")
def test_bottlenecks_are_timms() -> None:
    ours = registry.build("se_resnet50", num_classes=10, image_size=64)
    assert_same_function(ours, timm_senet(SEResNetBottleneck, 1), (3, 64, 64))


@pytest.mark.usefixtures("short")
def test_resnext_blocks_are_timms() -> None:
    ours = registry.build("se_resnext50_32x4d", num_classes=10, image_size=64)
    assert_same_function(ours, timm_senet(SEResNeXtBottleneck, 32), (3, 64, 64))


@pytest.mark.usefixtures("short")
def test_senet154_is_timms() -> None:
    ours = registry.build("senet154", num_classes=10, image_size=64)
    options = {"downsample_kernel_size": 3, "downsample_padding": 1, "inplanes": 128, "input_3x3": True}
    assert_same_function(ours, timm_senet(SEBottleneck, 64, **options), (3, 64, 64))


def _gate_by_tanh(network: Any) -> None:
    network.stage2[0].conv2.gate.gate = nn.Tanh()


def _pool_with_padding(network: Any) -> None:
    network.stem[1] = nn.MaxPool2d(3, 2, padding=1)


def _gate_after_the_sum(network: Any) -> None:
    block = network.stage3[1]
    gate = block.conv2.gate
    block.conv2.gate = nn.Identity()
    block.register_forward_hook(lambda module, inputs, output: gate(output))


@pytest.mark.parametrize("spoil", [_gate_by_tanh, _pool_with_padding, _gate_after_the_sum])
def test_the_comparison_catches_a_change(spoil) -> None:
    ours = registry.build("se_resnet18", num_classes=10, image_size=64)
    assert_comparison_can_fail(ours, timm_18(), (3, 64, 64), spoil)


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("se_resnet18", 11_779_624, 1_814_161_408),
        ("se_resnet34", 21_960_416, 3_663_920_128),
        ("se_resnet50", 28_088_024, 4_091_699_200),
        ("se_resnet101", 49_326_872, 7_806_148_608),
        ("se_resnet152", 66_821_848, 11_520_204_800),
    ],
)
def test_the_v1_5_versions_in_the_oracle(name: str, parameters: int, macs: int) -> None:
    count = counting.count(counting.on_meta(lambda: registry.build(name, v1_5=True)), (3, 224, 224))
    assert (count.parameters, count.macs) == (parameters, macs)


def test_gates_on_inception_cost_what_the_formula_says() -> None:
    gated, plain = registry.find("se_inception_v2").paper_stem, registry.find("inception_v2").paper_stem
    network = counting.on_meta(inception_v2.inception_v2)
    channels: Any = [network.get_submodule(f"inception{name}").out_channels for name in inception_v2.MODULES]
    weights = sum(2 * c * (c // 16) for c in channels)
    assert gated.macs - plain.macs == weights
    assert gated.parameters - plain.parameters == weights + sum(c + c // 16 for c in channels)


def test_gates_lie_between_0_and_1_and_depend_on_the_image() -> None:
    gate = senet.SqueezeExcite(8, 4)
    x = torch.randn(5, 8, 6, 6) * 10
    s = gate.weights(x)
    assert s.shape == (5, 8) and (s > 0).all() and (s < 1).all()
    assert not torch.allclose(s[0], s[1])
    assert torch.equal(gate(x), x * s[:, :, None, None])


def test_a_gate_sees_the_whole_image_and_no_place() -> None:
    gate = senet.SqueezeExcite(8, 4).double()
    x = torch.randn(1, 8, 6, 6, dtype=torch.float64)
    shuffled = x.flatten(2)[:, :, torch.randperm(36)].view_as(x)
    assert torch.allclose(gate.weights(x), gate.weights(shuffled))
    x[0, 3, 5, 5] += 1.0
    assert not torch.allclose(gate.weights(x), gate.weights(shuffled))


def test_a_closed_gate_leaves_the_shortcut() -> None:
    block: Any = senet.add_gate(senet.BasicBlock(8, 8), "conv2", hidden=2).eval()
    nn.init.constant_(block.conv2.gate.expand.bias, -1e9)
    x = torch.rand(1, 8, 6, 6)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: senet.se_inception_v2(image_size=6), "image_size: 6 is too small.*works is 7"),
        (lambda: senet.SqueezeExcite(8, 0), "hidden: 0"),
    ],
)
def test_bad_arguments_are_named(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
