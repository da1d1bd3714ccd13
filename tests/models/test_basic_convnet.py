"""Basic ConvNet against plain stacks of torch's own layers, closed forms, and the facts that its note tells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cnn_explorer.models import basic_convnet
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import nn


def plain_stack(channels: int, head: list[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (32, 64, 128):
        convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
        channels = width
    return nn.Sequential(*layers, *head)


def fully_connected(side: int) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(128 * side * side, 128), nn.ReLU(), nn.Linear(128, 10)]


@pytest.mark.parametrize(("channels", "size", "side"), [(3, 32, 4), (1, 28, 4), (3, 40, 5)])
def test_same_function_as_a_plain_stack(channels: int, size: int, side: int) -> None:
    ours = basic_convnet.basic_convnet(in_channels=channels, image_size=size)
    assert_same_function(ours, plain_stack(channels, fully_connected(side)), (channels, size, size))


def test_allconv_head_is_a_linear_layer_over_the_whole_map() -> None:
    """A convolution as large as the map computes what a fully connected layer computes, with the same weights."""
    ours = basic_convnet.basic_convnet_allconv()
    reference = plain_stack(3, [nn.Flatten(), nn.Linear(128 * 16, 10)])
    ours.double().eval()
    reference.double().eval()
    for mine, theirs in zip(ours.parameters(), reference.parameters(), strict=True):
        theirs.data = mine.data.reshape(theirs.shape).clone()
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    assert torch.allclose(ours(image), reference(image), rtol=1e-10)


def test_allconv_slides_over_a_larger_map() -> None:
    network = basic_convnet.basic_convnet_allconv().eval()
    features = network.stage3(network.stage2(network.stage1(torch.randn(1, 3, 64, 64))))
    assert network.head[0](features).shape == (1, 10, 5, 5)  # 8 - 4 + 1 places a side, ten scores at each


def _change_epsilon(network: Any) -> None:
    network.stage2[0].norm.eps = 1e-3


def _change_activation(network: Any) -> None:
    network.head[2] = nn.GELU()


def _change_stride(network: Any) -> None:
    network.stage1[1] = nn.MaxPool2d(3, 2, padding=1)


@pytest.mark.parametrize("spoil", [_change_epsilon, _change_activation, _change_stride])
def test_the_comparison_catches_a_change(spoil) -> None:
    reference = plain_stack(3, fully_connected(4))
    assert_comparison_can_fail(basic_convnet.basic_convnet(), reference, (3, 32, 32), spoil)


def _stages(in_channels: int, size: int) -> tuple[int, int]:
    """Parameters and MACs of the three stages: 9·C_in weights per output channel, and two values of BN."""
    parameters = macs = 0
    side = size
    for width in (32, 64, 128):
        weights = 9 * in_channels * width
        parameters += weights + 2 * width
        macs += weights * side * side
        in_channels, side = width, side // 2
    return parameters, macs


def test_closed_forms() -> None:
    parameters, macs = _stages(3, 32)
    for name, head in (
        ("basic_convnet", [(2048, 128), (128, 10)]),
        ("basic_convnet_allconv", [(2048, 10)]),
    ):
        count = counting.count(counting.on_meta(lambda name=name: registry.build(name)), (3, 32, 32))
        assert count.parameters == parameters + sum(n * m + m for n, m in head)
        assert count.macs == macs + sum(n * m for n, m in head)


def test_no_bias_before_a_normalisation() -> None:
    """Whatever is added to all pixels of a channel, the normalisation takes it away again."""
    network = basic_convnet.basic_convnet().train()
    image = torch.randn(4, 3, 32, 32)
    block: Any = network.stage1[0]
    assert block.conv.bias is None
    shifted = block.act(block.norm(block.conv(image) + 3.0))
    assert torch.allclose(shifted, block(image), atol=1e-4)


def test_names() -> None:
    assert registry.find("cnn").name == registry.find("Basic-ConvNet").name == "basic_convnet"
