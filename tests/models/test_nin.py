"""NiN: 1×1 convolutions are a network in each pixel, and the mean of a map is a class's score."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cnn_explorer.models import nin
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import nn


def plain_stack() -> nn.Module:
    """nin_nano layer by layer, from torch's own modules."""

    def block(channels: int, a: int, b: int, c: int, kernel: int) -> list[nn.Module]:
        first = nn.Conv2d(channels, a, kernel, padding=kernel // 2)
        return [first, nn.ReLU(), nn.Conv2d(a, b, 1), nn.ReLU(), nn.Conv2d(b, c, 1), nn.ReLU()]

    return nn.Sequential(
        *[*block(3, 64, 48, 32, 5), nn.MaxPool2d(3, 2, ceil_mode=True)],
        *[*block(32, 64, 64, 64, 5), nn.AvgPool2d(3, 2, ceil_mode=True)],
        *[*block(64, 64, 64, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()],
    )


def test_same_function_as_a_plain_stack() -> None:
    assert_same_function(nin.nin_nano(), plain_stack(), (3, 32, 32))


def _change_activation(network: Any) -> None:
    network.get_submodule("block2")[1] = nn.GELU()


def _change_pooling(network: Any) -> None:
    network.get_submodule("pool2")[0] = nn.MaxPool2d(3, 2, ceil_mode=True)


@pytest.mark.parametrize("spoil", [_change_activation, _change_pooling])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_comparison_can_fail(nin.nin_nano(), plain_stack(), (3, 32, 32), spoil)


def test_counts_by_closed_form() -> None:
    def block(c_in: int, widths: tuple[int, int, int], kernel: int) -> int:
        a, b, c = widths
        return kernel * kernel * c_in * a + a + a * b + b + b * c + c

    cifar = block(3, (192, 160, 96), 5) + block(96, (192, 192, 192), 5) + block(192, (192, 192, 10), 3)
    assert registry.find("nin_cifar").paper_stem.parameters == cifar == 966_986


def test_the_textbook_form_has_the_oracles_counts() -> None:
    network = counting.on_meta(lambda: nin.nin(textbook=True, image_size=224))
    count = counting.count(network, (3, 224, 224))
    assert (count.parameters, count.macs) == (7_439_608, 965_572_864)


def test_the_block_is_a_small_network_at_every_pixel() -> None:
    torch.manual_seed(0)
    block = nin.MlpConv(3, (8, 6, 4), 3, 1, 1).double()
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    conv = block[0]
    first: Any = block[2]
    second: Any = block[4]
    maps = torch.relu(conv(x))
    expected = torch.empty(2, 4, 5, 5, dtype=torch.float64)
    for row in range(5):
        for column in range(5):
            values = maps[:, :, row, column]
            hidden = torch.relu(values @ first.weight[:, :, 0, 0].T + first.bias)
            expected[:, :, row, column] = torch.relu(hidden @ second.weight[:, :, 0, 0].T + second.bias)
    assert torch.allclose(block(x), expected, rtol=1e-12)


def test_the_scores_are_the_means_of_the_last_maps() -> None:
    torch.manual_seed(0)
    network = nin.nin_nano().eval()
    caught: list[torch.Tensor] = []
    network.get_submodule("block3").register_forward_hook(lambda module, args, output: caught.append(output.clone()))
    scores = network(torch.randn(2, 3, 32, 32))
    assert caught[0].shape == (2, 10, 8, 8)
    assert torch.allclose(scores, caught[0].mean((2, 3)), atol=1e-6)


def test_there_is_no_fully_connected_layer() -> None:
    assert not any(isinstance(module, nn.Linear) for module in nin.nin_cifar().modules())


def test_pooling_kinds_of_the_published_cifar_model() -> None:
    network = nin.nin_cifar()
    assert isinstance(network.get_submodule("pool1.0"), nn.MaxPool2d)
    assert isinstance(network.get_submodule("pool2.0"), nn.AvgPool2d)


@pytest.mark.parametrize("name", ["nin", "nin_cifar"])
def test_the_smallest_size_named_is_the_smallest_that_runs(name: str) -> None:
    rows = nin.IMAGENET if name == "nin" else nin.CIFAR
    size = nin.smallest_size(rows)
    network = counting.on_meta(lambda: registry.build(name, image_size=size)).eval()
    network(torch.empty(1, 3, size, size, device="meta"))
    with pytest.raises(ValueError, match=f"image_size: {size - 1} is too small .* {size}"):
        registry.build(name, image_size=size - 1)
