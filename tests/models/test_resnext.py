"""ResNeXt against torchvision, and the three forms of its block that are one function."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from cnn_explorer.models import resnext
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function, relative_difference
from support.tensors import randomise
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> tuple[nn.Module, nn.Module]:
    """Our ResNeXt-50 and torchvision's, both with one block per stage: all shapes occur, in a third of the time."""
    monkeypatch.setitem(resnext.DEPTHS, 50, (1, 1, 1, 1))
    reference = torchvision.models.ResNet(Bottleneck, [1, 1, 1, 1], num_classes=10, groups=32, width_per_group=4)
    return registry.build("resnext50_32x4d", num_classes=10, image_size=64), reference


def test_same_function_as_torchvision(pair: tuple[nn.Module, nn.Module]) -> None:
    assert_same_function(*pair, (3, 64, 64))


def _halve_the_groups(network: Any) -> None:
    conv = network.stage3[0].conv2.conv
    conv.groups = 16
    conv.weight = nn.Parameter(conv.weight.repeat(1, 2, 1, 1))


def _shift_epsilon(network: Any) -> None:
    network.stage2[0].conv3.norm.eps = 1e-3


def _change_activation(network: Any) -> None:
    network.stage4[0].conv2.act = nn.GELU()


@pytest.mark.parametrize("spoil", [_halve_the_groups, _shift_epsilon, _change_activation])
def test_the_comparison_catches_a_change(spoil, pair: tuple[nn.Module, nn.Module]) -> None:
    ours, reference = (network.double().eval() for network in pair)
    if spoil is _halve_the_groups:  # gradients have other shapes then: the outputs are compared alone
        randomise(reference)
        ours.load_state_dict(dict(zip(ours.state_dict(), reference.state_dict().values(), strict=True)))
        image = torch.randn(2, 3, 64, 64, dtype=torch.float64)
        with torch.no_grad():
            assert relative_difference(ours(image), reference(image)) < 1e-9
            spoil(ours)
            assert relative_difference(ours(image), reference(image)) > 1e-6
    else:
        assert_comparison_can_fail(ours, reference, (3, 64, 64), spoil)


@pytest.mark.parametrize("name", ["resnext50_32x4d", "resnext101_64x4d", "resnext101_32x8d"])
def test_counts_are_torchvisions(name: str) -> None:
    with torch.device("meta"):
        reference = getattr(torchvision.models, name)()
    assert counting.count_parameters(reference) == registry.find(name).paper_stem.parameters
    assert counting.module_macs(reference, (3, 224, 224))[""] == registry.find(name).paper_stem.macs


def norm_relu(x: Tensor, norm: Any, channels: slice, relu: bool = True) -> Tensor:
    """Batch normalisation in eval mode with a slice of its channels, then ReLU."""
    values = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    x = F.batch_norm(x, *(v[channels] for v in values), eps=norm.eps)
    return F.relu(x) if relu else x


def test_three_versions_are_one_function() -> None:
    """Figure 3 of the paper: (a) branches summed, (b) concatenated before a common 1×1, (c) one grouped convolution."""
    cardinality, wide = 8, 4
    block = resnext.ResNeXtBlock(256, 64, 1, cardinality, wide).double().eval()
    randomise(block)
    x = torch.randn(2, 256, 6, 6, dtype=torch.float64)
    first, second, third = (unit.conv.weight for unit in (block.conv1, block.conv2, block.conv3))
    middles = []
    for branch in range(cardinality):
        own = slice(branch * wide, (branch + 1) * wide)
        y = norm_relu(F.conv2d(x, first[own]), block.conv1.norm, own)
        middles.append(norm_relu(F.conv2d(y, second[own], padding=1), block.conv2.norm, own))
    terms = [F.conv2d(y, third[:, branch * wide : (branch + 1) * wide]) for branch, y in enumerate(middles)]
    summed = sum(terms, torch.zeros(()))
    concatenated = F.conv2d(torch.cat(middles, 1), third)
    with torch.no_grad():
        grouped = block(x)
        for form in (summed, concatenated):
            branch_sum = norm_relu(form, block.conv3.norm, slice(None), relu=False)
            assert relative_difference(F.relu(x + branch_sum), grouped) < 1e-12


@pytest.mark.parametrize(("cardinality", "width"), [(1, 64), (2, 40), (4, 24), (8, 14), (32, 4)])
def test_equal_cost_along_table_2(cardinality: int, width: int) -> None:
    block = resnext.ResNeXtBlock(256, 64, 1, cardinality, width)
    weights = sum(m.weight.numel() for m in block.modules() if isinstance(m, nn.Conv2d))
    assert weights == cardinality * (256 * width + 9 * width * width + width * 256)
    assert weights == pytest.approx(70_000, rel=0.03)


@pytest.mark.parametrize(
    ("name", "cardinality", "width"),
    [("resnext29_8x64d", 8, 64), ("resnext29_16x64d", 16, 64), ("resnext29_32x4d", 32, 4)],
)
def test_parameters_of_the_cifar_networks(name: str, cardinality: int, width: int) -> None:
    channels, total = 64, 3 * 64 * 9 + 2 * 64
    for stage in range(3):
        each, out = width * 2**stage, 256 * 2**stage
        inner = cardinality * each
        for block in range(3):
            total += channels * inner + 9 * inner * each + inner * out + 2 * (inner + inner + out)
            total += channels * out + 2 * out if block == 0 else 0
            channels = out
    assert registry.find(name).paper_stem.parameters == total + channels * 10 + 10


@pytest.mark.parametrize("name", ["resnext29_8x64d", "resnext50_32x4d"])
def test_layers_are_counted_as_the_name_says(name: str) -> None:
    network = counting.on_meta(lambda: registry.build(name))
    weighted = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear) and "shortcut" not in n]
    assert len(weighted) == int(name.removeprefix("resnext").split("_")[0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: resnext.resnext(50, 0, 4), "cardinality: 0"),
        (lambda: resnext.CifarResNeXt(8, 1, width=16), "branch_width: 1 .* works is 4"),
    ],
)
def test_bad_arguments_are_named(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
