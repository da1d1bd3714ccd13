"""EfficientNetV2 against torchvision, and the facts that its note tells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from cnn_explorer.models import efficientnet, efficientnet_v2
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from support.weekly import first_of
from torch import nn


def torchvision_s() -> nn.Module:
    return torchvision.models.efficientnet_v2_s(num_classes=10)


def ours() -> nn.Module:
    return registry.build("efficientnet_v2_s", num_classes=10, image_size=40)


def test_same_function_as_torchvision() -> None:
    assert_same_function(ours(), torchvision_s(), (3, 40, 40))


def _change_activation(network: Any) -> None:
    network.stage2[1].expand.act = nn.ReLU()


def _shift_epsilon(network: Any) -> None:
    network.stage5[2].depthwise.norm.eps = 1e-5


def _move_stride(network: Any) -> None:
    network.stage2[0].expand.conv.stride, network.stage3[0].expand.conv.stride = (1, 1), (4, 4)


@pytest.mark.parametrize("spoil", first_of([_shift_epsilon, _change_activation, _move_stride], 1))
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_comparison_can_fail(ours(), torchvision_s(), (3, 40, 40), spoil)


@pytest.mark.parametrize(("name", "size"), [("s", 384), ("m", 480), ("l", 480)])
def test_counts_are_those_of_torchvision(name: str, size: int) -> None:
    counts = registry.find(f"efficientnet_v2_{name}").paper_stem
    reference = counting.on_meta(getattr(torchvision.models, f"efficientnet_v2_{name}"))
    theirs = counting.count(reference, (3, size, size))
    assert (counts.parameters, counts.macs) == (theirs.parameters, theirs.macs)
    recorded = torchvision.models.get_model_weights(f"efficientnet_v2_{name}")["DEFAULT"].meta
    assert counts.parameters == recorded["num_params"]
    assert counts.macs / 1e9 == pytest.approx(recorded["_ops"], abs=1e-3)


def test_stochastic_depth_and_dropout_are_those_of_torchvision() -> None:
    network: Any = counting.on_meta(efficientnet_v2.efficientnet_v2_s)
    reference: Any = counting.on_meta(torchvision_s)
    rates = [module.rate for name, module in network.named_modules() if name.endswith("drop_path")]
    theirs = [m.p for m in reference.modules() if isinstance(m, torchvision.ops.StochasticDepth)]
    assert rates == pytest.approx(theirs)
    assert network.dropout.p == reference.classifier[0].p


def test_fusing_costs_more_work_and_saves_layers() -> None:
    """The point of the paper: more MACs in the first stages, and yet a faster network."""
    fused = counting.count(counting.on_meta(efficientnet_v2.efficientnet_v2_s), (3, 384, 384))
    plain: Any = counting.on_meta(lambda: efficientnet_v2.efficientnet_v2_s(fused=False))
    separate = counting.count(plain, (3, 384, 384))
    assert fused.macs > 1.5 * separate.macs
    assert fused.parameters > separate.parameters
    block = efficientnet_v2.FusedMBConv(24, 48, 2)
    other = efficientnet.MBConv(24, 48, 2, 4)
    convolutions = [sum(isinstance(layer, nn.Conv2d) for layer in network.modules()) for network in (block, other)]
    assert convolutions == [2, 3]
    assert all(isinstance(b, efficientnet.MBConv) for b in plain.stage1)


def test_a_fused_convolution_can_do_what_the_two_did() -> None:
    """1×1 then depthwise 3×3, nothing in between, is a 3×3 whose kernels are products: the fused one can learn it."""
    pointwise = nn.Conv2d(3, 8, 1, bias=False).double()
    depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False).double()
    fused = nn.Conv2d(3, 8, 3, padding=1, bias=False).double()
    with torch.no_grad():
        fused.weight.copy_(depthwise.weight * pointwise.weight)
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    assert torch.allclose(fused(x), depthwise(pointwise(x)))


def test_doing_nothing_is_easy() -> None:
    block: Any = efficientnet_v2.FusedMBConv(8, 8).eval()
    nn.init.zeros_(block.project.norm.weight)
    x = torch.randn(1, 8, 6, 6)
    assert torch.equal(block(x), x)


def test_expansion_one_is_a_single_convolution() -> None:
    block = efficientnet_v2.FusedMBConv(8, 16, expansion=1)
    assert [tuple(m.weight.shape) for m in block.modules() if isinstance(m, nn.Conv2d)] == [(16, 8, 3, 3)]


@pytest.mark.parametrize("fused", [True, False])
def test_the_weights_that_cannot_learn_are_those_declared(fused: bool) -> None:
    torch.manual_seed(0)
    network = efficientnet_v2.efficientnet_v2_nano(fused=fused, dropout=0.0).double().train()
    F.cross_entropy(network(torch.randn(4, 3, 32, 32, dtype=torch.float64)), torch.arange(4)).backward()
    declared = {name for name, _ in network.declaration.null_gradients}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad.abs().max().item() < 1e-13) == (name in declared), name
