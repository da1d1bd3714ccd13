"""ResNet against torchvision, and the facts that its note tells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from cnn_explorer.models import resnet
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import nn


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_same_function_as_torchvision(name: str) -> None:
    reference = getattr(torchvision.models, name)(num_classes=10)
    assert_same_function(registry.build(name, num_classes=10, image_size=64), reference, (3, 64, 64))


def _shift_epsilon(network: Any) -> None:
    network.stage2[0].conv1.norm.eps = 1e-3


def _move_stride(network: Any) -> None:
    block = network.stage2[0]
    block.conv1.conv.stride, block.conv2.conv.stride = (1, 1), (2, 2)


def _change_activation(network: Any) -> None:
    network.stage3[0].relu = nn.GELU()


@pytest.mark.parametrize("spoil", [_shift_epsilon, _move_stride, _change_activation])
def test_the_comparison_catches_a_change(spoil) -> None:
    reference = torchvision.models.resnet18(num_classes=10)
    ours = registry.build("resnet18", num_classes=10, image_size=64)
    assert_comparison_can_fail(ours, reference, (3, 64, 64), spoil)


def test_v1_halves_in_the_first_convolution() -> None:
    network: Any = resnet.resnet50_v1(image_size=64)
    block = network.stage2[0]
    assert (block.conv1.conv.stride, block.conv2.conv.stride) == ((2, 2), (1, 1))


def test_plain_twin_has_the_same_parameters_without_the_sum() -> None:
    with_skip = registry.build("resnet20")
    plain: Any = registry.build("plain20")
    assert [p.shape for p in with_skip.parameters()] == [p.shape for p in plain.parameters()]
    block = plain.stage1[0].eval()
    x = torch.randn(1, 16, 8, 8)
    assert torch.equal(block(x), torch.relu(block.conv2(block.conv1(x))))


def test_pad_shortcut_keeps_every_second_pixel_and_fills_with_zeros() -> None:
    x = torch.randn(2, 16, 8, 8)
    y = resnet.PadShortcut(16, 32, 2)(x)
    assert y.shape == (2, 32, 4, 4)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any() and not y[:, 24:].any()


def test_doing_nothing_is_easy() -> None:
    block = resnet.BasicBlock(8, 8).eval()
    nn.init.zeros_(block.conv2.norm.weight)
    x = torch.rand(1, 8, 6, 6)
    assert torch.equal(block(x), x)
