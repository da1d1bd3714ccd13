"""Xception against timm, closed-form counts, and the facts that its note tells."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from cnn_explorer.models import xception
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import differences, relative_difference
from torch import nn

# Odd and even sides on the way down, as with 299; small enough for float64.
SIZE = 43


@pytest.fixture(scope="module")
def twins() -> tuple[nn.Module, nn.Module, float, float]:
    """Ours and timm's with the same random weights, and the relative differences of outputs and gradients."""
    theirs = timm.create_model("legacy_xception", num_classes=10)
    ours = registry.build("xception", num_classes=10, image_size=SIZE)
    return ours, theirs, *differences(ours, theirs, (3, SIZE, SIZE), batch=1)


def test_same_function_as_timm(twins) -> None:
    _, _, output, gradient = twins
    assert output < 1e-9 and gradient < 1e-7


def _epsilon(network: Any) -> None:
    network.entry2.residual[1].norm.eps = 1e-3


def _pooling(network: Any) -> None:
    network.entry1.residual[-1] = nn.AvgPool2d(3, 2, padding=1)


def _activation_between(network: Any) -> None:
    conv = network.middle[3].residual[1]
    conv.depthwise.register_forward_hook(lambda module, inputs, output: output.relu())


@pytest.mark.parametrize("spoil", [_epsilon, _pooling, _activation_between])
def test_the_comparison_catches_a_change(spoil, twins) -> None:
    ours, theirs = copy.deepcopy(twins[0]), twins[1]
    image = torch.randn(1, 3, SIZE, SIZE, dtype=torch.float64)
    with torch.no_grad():
        assert relative_difference(ours(image), theirs(image)) < 1e-9
        spoil(ours)
        assert relative_difference(ours(image), theirs(image)) > 1e-6


def _separable(n: int, m: int) -> int:
    return 9 * n + n * m


@pytest.mark.parametrize("name", ["xception", "xception_nano"])
def test_closed_form_of_the_parameters(name: str) -> None:
    """Stem, separable convolutions (9·n + n·m weights), projections where the shape changes, two values of BN a channel."""
    size = {"xception": xception.PAPER, "xception_nano": xception.NANO}[name]
    classes = {"xception": 1000, "xception_nano": 10}[name]
    (first, second), wide = size.stem, size.entry[2]
    total = 9 * 3 * first + 2 * first + 9 * first * second + 2 * second
    for n, m in zip((second, *size.entry[:2]), size.entry, strict=True):
        total += _separable(n, m) + _separable(m, m) + n * m + 3 * 2 * m
    total += size.repeats * 3 * (_separable(wide, wide) + 2 * wide)
    a, b, c, d = size.exit
    total += _separable(a, a) + 2 * a + _separable(a, b) + 2 * b + a * b + 2 * b
    total += _separable(b, c) + 2 * c + _separable(c, d) + 2 * d
    total += d * classes + classes
    assert counting.count_parameters(counting.on_meta(lambda: registry.build(name))) == total


def test_the_small_stem_has_the_same_weights() -> None:
    """Only strides and paddings differ, so weights can be carried from one stem to the other."""
    build: dict[str, Any] = {"num_classes": 10, "in_channels": 3}
    paper = counting.on_meta(lambda: registry.build("xception", **build))
    small = counting.on_meta(lambda: registry.build("xception", stem="small", **build))
    assert [p.shape for p in paper.parameters()] == [p.shape for p in small.parameters()]


def test_the_small_stem_does_the_work_of_the_usual_one() -> None:
    """CIFAR versions of Xception that halve in the first two entry blocks: 1.13 G MACs with 100 classes."""
    network = counting.on_meta(lambda: registry.build("xception", stem="small", num_classes=100))
    assert counting.count(network, (3, 32, 32)).macs == 1_129_865_728


def test_what_separating_saves() -> None:
    """1/N + 1/9 of the weights of a standard convolution, for N output channels."""
    layer = xception.SeparableConv(728, 728)
    weights = layer.depthwise.weight.numel() + layer.pointwise.weight.numel()
    assert weights / (9 * 728 * 728) == pytest.approx(1 / 728 + 1 / 9)


def test_separable_is_a_standard_convolution_with_tied_weights() -> None:
    """Without an activation between the two, each of the n·m windows is a multiple of the one window of its channel."""
    layer = xception.SeparableConv(4, 6).double().eval()
    tied = layer.pointwise.weight * layer.depthwise.weight[:, 0]  # (6, 4, 1, 1) · (4, 3, 3) → (6, 4, 3, 3)
    x = torch.randn(2, 4, 7, 7, dtype=torch.float64)
    assert torch.allclose(layer.pointwise(layer.depthwise(x)), F.conv2d(x, tied, padding=1))


def test_an_inception_tower_of_one_channel_is_a_depthwise_convolution() -> None:
    """The paper's section 1: 1×1 first, then 3×3 windows in g groups of its output; with g = channels, depthwise."""
    mixed = torch.randn(1, 8, 6, 6, dtype=torch.float64)
    windows = torch.randn(8, 1, 3, 3, dtype=torch.float64)
    towers = [F.conv2d(mixed[:, i : i + 1], windows[i : i + 1], padding=1) for i in range(8)]
    assert torch.allclose(torch.cat(towers, 1), F.conv2d(mixed, windows, padding=1, groups=8))


def test_no_activation_and_no_bias_inside_a_separable_convolution() -> None:
    layer = xception.SeparableConv(4, 6)
    assert [type(module).__name__ for module in layer] == ["Conv2d", "Conv2d", "BatchNorm2d"]
    assert layer.depthwise.bias is None and layer.pointwise.bias is None


def test_standard_convolutions_are_two_and_the_shortcuts() -> None:
    network = counting.on_meta(lambda: registry.build("xception"))
    standard = [
        name
        for name, m in network.named_modules()
        if isinstance(m, nn.Conv2d) and m.groups == 1 and m.kernel_size != (1, 1)
    ]
    assert standard == ["stem.0.conv", "stem.1.conv"]
    separable = [m for m in network.modules() if isinstance(m, xception.SeparableConv)]
    assert len(separable) == 3 * 2 + 8 * 3 + 4
    assert len(separable) + len(standard) == 36  # the paper's count of convolutional layers


def test_the_middle_flow_can_do_nothing() -> None:
    network: Any = xception.xception_nano().eval()
    for block in network.middle:
        nn.init.zeros_(block.residual[-1].norm.weight)
    x = torch.randn(1, 128, 8, 8)
    assert torch.equal(network.middle(x), x)


def test_the_smallest_images_work() -> None:
    assert xception.xception(image_size=7, num_classes=2).eval()(torch.randn(1, 3, 7, 7)).shape == (1, 2)
    assert xception.xception_nano(image_size=1).eval()(torch.randn(1, 3, 1, 1)).shape == (1, 10)
