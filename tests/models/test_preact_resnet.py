"""Pre-activation ResNet against timm, the CIFAR networks computed a second time, and the clean sum that is its idea."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from cnn_explorer.models import preact_resnet, resnet
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function, relative_difference
from support.tensors import gradient, randomise
from torch import Tensor, nn


def timm_network(layers: int) -> nn.Module:
    """timm's network. Its first norm stands behind the pooling, the paper's before it: one function for positive scales.

    With basic blocks timm's first shortcut takes the raw input; in the paper both paths start behind the activation.
    """
    network: Any = timm.create_model(f"resnetv2_{layers}", num_classes=10)
    if layers == 18:
        network.stages[0].blocks[0].downsample = nn.Identity()
    return network


@pytest.mark.parametrize("layers", [18, 50])
def test_same_function_as_timm(layers: int) -> None:
    ours = registry.build(f"preact_resnet{layers}", num_classes=10, image_size=64)
    assert_same_function(ours, timm_network(layers), (3, 64, 64))


def _activate_the_sum(network: Any) -> None:
    network.stages[1].append(nn.ReLU())


def _shift_epsilon(network: Any) -> None:
    network.norm.norm.eps = 1e-3


def _project_the_raw_input(network: Any) -> None:
    block = network.stages[2][0]
    block.forward = lambda x: block.shortcut(x) + block.conv2(block.conv1(block.before(x)))


@pytest.mark.parametrize("spoil", [_activate_the_sum, _shift_epsilon, _project_the_raw_input])
def test_the_comparison_catches_a_change(spoil) -> None:
    ours = registry.build("preact_resnet18", num_classes=10, image_size=64)
    assert_comparison_can_fail(ours, timm_network(18), (3, 64, 64), spoil)


def cifar_164(network: nn.Module, x: Tensor) -> Tensor:
    """The authors' network for CIFAR written down a second time, on weights taken in order of use."""
    weights = iter([v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")])

    def norm_relu(x: Tensor) -> Tensor:
        scale, shift, mean, variance = (next(weights) for _ in range(4))
        per_channel = [v.view(1, -1, 1, 1) for v in (scale, shift, mean, (variance + 1e-5).sqrt())]
        return ((x - per_channel[2]) / per_channel[3] * per_channel[0] + per_channel[1]).clamp_min(0)

    def conv(x: Tensor, stride: int = 1) -> Tensor:
        weight = next(weights)
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    x = norm_relu(conv(x))
    for stage, width in enumerate((64, 128, 256)):
        for index in range(18):
            stride = 2 if stage and index == 0 else 1
            activated = x if stage == 0 and index == 0 else norm_relu(x)
            y = conv(norm_relu(conv(norm_relu(conv(activated, stride)))))
            x = y + (conv(activated, stride) if index == 0 else x)
            assert x.shape[1] == width
    x = norm_relu(x).mean((2, 3))
    return F.linear(x, next(weights), next(weights))


def test_164_layers_are_the_authors_network() -> None:
    network = registry.build("preact_resnet164").double().eval()
    randomise(network)
    image = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        assert relative_difference(network(image), cifar_164(network, image)) < 1e-9


def test_the_widespread_small_stem_has_no_last_norm() -> None:
    network = counting.on_meta(lambda: registry.build("preact_resnet18", stem="small", final_norm=False))
    count = counting.count(network, (3, 32, 32))
    assert (count.parameters, count.macs) == (11_171_146, 555_422_720)
    with_norm = counting.on_meta(lambda: registry.build("preact_resnet18", stem="small"))
    assert counting.count_parameters(with_norm) == 11_171_146 + 2 * 512


@pytest.mark.parametrize("layers", [20, 110])
def test_the_order_costs_nothing(layers: int) -> None:
    new = counting.on_meta(lambda: registry.build(f"preact_resnet{layers}"))
    old = counting.on_meta(lambda: registry.build(f"resnet{layers}"))
    assert counting.count_parameters(new) == counting.count_parameters(old)


@pytest.mark.parametrize("layers", [164, 1001])
def test_layers_are_counted_as_the_name_says(layers: int) -> None:
    network = counting.on_meta(lambda: registry.build(f"preact_resnet{layers}"))
    weighted = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear) and "shortcut" not in n]
    assert len(weighted) == layers


def test_the_raw_input_passes_through_blocks_that_do_nothing() -> None:
    stage: Any = nn.Sequential(*(preact_resnet.PreActBlock(8, 8) for _ in range(5))).eval()
    for block in stage:
        nn.init.zeros_(block.conv2.conv.weight)
    x = torch.randn(1, 8, 6, 6)  # negative values too: a ReLU on the way would be seen
    assert torch.equal(stage(x), x)
    old = resnet.BasicBlock(8, 8).eval()
    nn.init.zeros_(old.conv2.norm.weight)
    assert not torch.equal(old(x), x)


def test_the_gradient_comes_back_unchanged_along_the_sum() -> None:
    stage: Any = nn.Sequential(*(preact_resnet.PreActBlock(4, 4) for _ in range(50))).eval()
    for block in stage:
        nn.init.zeros_(block.conv2.conv.weight)
    x = torch.randn(1, 4, 5, 5, requires_grad=True)
    stage(x).sum().backward()
    assert torch.equal(gradient(x), torch.ones_like(x))


def test_bad_arguments_of_the_cifar_form_are_named() -> None:
    with pytest.raises(ValueError, match="num_classes: 0"):
        preact_resnet.preact_resnet20(num_classes=0)
