"""DenseNet against torchvision, the CIFAR form by a closed form and a second computation, and what concatenation means."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from cnn_explorer.models import densenet
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function, relative_difference
from support.tensors import randomise
from torch import Tensor, nn


def torchvision_densenet() -> nn.Module:
    return torchvision.models.densenet121(num_classes=10)


def test_same_function_as_torchvision() -> None:
    assert_same_function(
        registry.build("densenet121", num_classes=10, image_size=48), torchvision_densenet(), (3, 48, 48)
    )


def _reverse_the_new_features(network: Any) -> None:
    first = network.block2.layers[0]
    first.register_forward_hook(lambda module, inputs, output: output.flip(1))


def _shift_epsilon(network: Any) -> None:
    network.transition2.compress.norm.eps = 1e-3


def _pool_by_maximum(network: Any) -> None:
    network.transition1.pool = nn.MaxPool2d(2)


@pytest.mark.parametrize("spoil", [_reverse_the_new_features, _shift_epsilon, _pool_by_maximum])
def test_the_comparison_catches_a_change(spoil) -> None:
    ours = registry.build("densenet121", num_classes=10, image_size=48)
    assert_comparison_can_fail(ours, torchvision_densenet(), (3, 48, 48), spoil)


def closed_form(depth: int, growth: int, bottleneck: bool, classes: int = 10) -> int:
    """Parameters of a DenseNet for CIFAR, from section 3 of the paper."""
    layers = (depth - 4) // (6 if bottleneck else 3)
    channels = 2 * growth if bottleneck else 16
    total = 3 * channels * 9
    for block in range(3):
        for _ in range(layers):
            if bottleneck:
                total += 2 * channels + channels * 4 * growth + 8 * growth + 4 * growth * growth * 9
            else:
                total += 2 * channels + channels * growth * 9
            channels += growth
        if block < 2:
            kept = channels // 2 if bottleneck else channels
            total += 2 * channels + channels * kept
            channels = kept
    return total + 2 * channels + channels * classes + classes


@pytest.mark.parametrize(
    ("name", "depth", "growth", "bottleneck"),
    [
        ("densenet_bc_100_12", 100, 12, True),
        ("densenet_bc_190_40", 190, 40, True),
        ("densenet_40_12", 40, 12, False),
        ("densenet_nano", 28, 12, True),
    ],
)
def test_parameters_of_the_cifar_networks(name: str, depth: int, growth: int, bottleneck: bool) -> None:
    assert registry.find(name).paper_stem.parameters == closed_form(depth, growth, bottleneck)


def by_hand(network: nn.Module, x: Tensor, layers: int) -> Tensor:
    """DenseNet-BC for CIFAR written down a second time, with a list of all outputs as in the paper's equation 2."""
    weights = iter([v for key, v in network.state_dict().items() if not key.endswith("num_batches_tracked")])

    def norm_relu_conv(x: Tensor) -> Tensor:
        scale, shift, mean, variance, kernel = (next(weights) for _ in range(5))
        x = F.batch_norm(x, mean, variance, scale, shift).clamp_min(0)
        return F.conv2d(x, kernel, padding=kernel.shape[-1] // 2)

    outputs = [F.conv2d(x, next(weights), padding=1)]
    for block in range(3):
        for _ in range(layers):
            outputs.append(norm_relu_conv(norm_relu_conv(torch.cat(outputs, 1))))
        if block < 2:
            outputs = [F.avg_pool2d(norm_relu_conv(torch.cat(outputs, 1)), 2)]
    x = torch.cat(outputs, 1)
    scale, shift, mean, variance = (next(weights) for _ in range(4))
    x = F.batch_norm(x, mean, variance, scale, shift).clamp_min(0).mean((2, 3))
    return F.linear(x, next(weights), next(weights))


def test_the_cifar_network_is_the_papers() -> None:
    network = registry.build("densenet_nano").double().eval()
    randomise(network)
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        assert relative_difference(network(image), by_hand(network, image, layers=4)) < 1e-9


@pytest.mark.parametrize(("name", "layers"), [("densenet121", 121), ("densenet201", 201), ("densenet_bc_100_12", 100)])
def test_layers_are_counted_as_the_name_says(name: str, layers: int) -> None:
    network = counting.on_meta(lambda: registry.build(name))
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in network.modules()) == layers


def test_a_block_keeps_all_that_was_found() -> None:
    block = densenet.DenseBlock(8, 4, 3).eval()
    x = torch.randn(1, 8, 6, 6)
    y = block(x)
    assert y.shape == (1, 8 + 3 * 4, 6, 6)
    assert torch.equal(y[:, :8], x)
    assert torch.equal(y[:, 8:12], block.layers[0](x))
    assert torch.equal(y[:, 16:], block.layers[2](y[:, :16]))


def test_the_widespread_small_stem() -> None:
    small = registry.find("densenet121").small_stem
    assert small is not None
    assert (small.parameters, small.macs) == (6_956_298, 888_350_720)


@pytest.mark.parametrize(("stem", "smallest"), [("imagenet", 29), ("small", 8)])
def test_the_smallest_image(stem: str, smallest: int) -> None:
    with pytest.raises(ValueError, match=f"image_size: {smallest - 1} is too small.*works is {smallest}$"):
        densenet.densenet121(stem=stem, image_size=smallest - 1)
    network = counting.on_meta(lambda: densenet.densenet121(stem=stem, image_size=smallest)).eval()
    assert network(torch.empty(1, 3, smallest, smallest, device="meta")).shape == (1, 1000)
    with pytest.raises(RuntimeError):
        network(torch.empty(1, 3, smallest - 1, smallest - 1, device="meta"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: densenet.densenet121(compression=0.0), "compression: 0.0"),
        (lambda: densenet.densenet_nano(compression=1.5), "compression: 1.5"),
        (lambda: densenet.densenet_nano(image_size=3), "image_size: 3 is too small.*works is 4"),
        (lambda: densenet.cifar_layout(41, 12), "depth: 41 is not 6n"),
        (lambda: densenet.cifar_layout(4, 12, bottleneck=False), "depth: 4 .* works is 7"),
        (lambda: densenet.cifar_layout(40, 0), "growth: 0"),
    ],
)
def test_bad_arguments_are_named(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
