"""Inception v2: the whole network computed a second time from its table, the stride-2 modules, the two 3×3 for one 5×5."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.models import inception_v2
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_equals_recomputation, assert_recomputation_can_fail
from support.tensors import gradient, randomise
from torch import Tensor, nn

# name: 1×1 | 1×1, 3×3 | 1×1, 3×3, 3×3 | pooling, 1×1
TABLE = (
    (64, (64, 64), (64, 96), "avg", 32),
    (64, (64, 96), (64, 96), "avg", 64),
    (0, (128, 160), (64, 96), "max", 0),
    (224, (64, 96), (96, 128), "avg", 128),
    (192, (96, 128), (96, 128), "avg", 128),
    (160, (128, 160), (128, 160), "avg", 128),
    (96, (128, 192), (160, 192), "avg", 128),
    (0, (128, 192), (192, 256), "max", 0),
    (352, (192, 320), (160, 224), "avg", 128),
    (352, (192, 320), (192, 224), "max", 128),
)


def by_hand(network: nn.Module, x: Tensor) -> Tensor:
    """The network in eval mode from the table above, on weights taken in order of use."""
    weights = iter([v for key, v in network.state_dict().items() if not key.endswith("num_batches_tracked")])

    def unit(x: Tensor, width: int, kernel: int, stride: int = 1) -> Tensor:
        weight, bias, scale, shift, mean, variance = (next(weights) for _ in range(6))
        assert weight.shape == (width, x.shape[1], kernel, kernel)
        x = F.conv2d(x, weight, bias, stride, kernel // 2)
        scale = scale / (variance + 1e-5).sqrt()
        return (x * scale.view(1, -1, 1, 1) + (shift - mean * scale).view(1, -1, 1, 1)).clamp_min(0)

    def halve(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    x = halve(unit(x, 64, 7, 2))
    x = halve(unit(unit(x, 64, 1), 192, 3))
    for one, (reduce, three), (reduce_double, double), pool, projection in TABLE:
        stride = 1 if one else 2
        branches = [unit(x, one, 1)] if one else []
        branches.append(unit(unit(x, reduce, 1), three, 3, stride))
        branches.append(unit(unit(unit(x, reduce_double, 1), double, 3), double, 3, stride))
        if not projection:
            branches.append(halve(x))
        elif pool == "avg":
            around = F.pad(x, (1, 1, 1, 1))  # zeros outside the image are averaged in, as Caffe does
            branches.append(unit(F.avg_pool2d(around, 3, 1), projection, 1))
        else:
            branches.append(unit(F.max_pool2d(x, 3, 1, 1), projection, 1))
        x = torch.cat(branches, 1)
    return F.linear(x.mean((2, 3)), next(weights), next(weights))


def build() -> nn.Module:
    network = registry.build("inception_v2", num_classes=10, image_size=64).double().eval()
    randomise(network)
    return network


def test_the_network_is_its_table() -> None:
    assert_equals_recomputation(build(), by_hand, (3, 64, 64))


def _shift_epsilon(network: Any) -> None:
    network.inception4a.branches[0].norm.eps = 1e-3


def _pool_by_maximum(network: Any) -> None:
    network.inception5a.branches[3][0] = nn.MaxPool2d(3, 1, 1)


def _move_the_stride(network: Any) -> None:
    double = network.inception4e.branches[1]
    double[1].conv.stride, double[2].conv.stride = (2, 2), (1, 1)


@pytest.mark.parametrize("spoil", [_shift_epsilon, _pool_by_maximum, _move_the_stride])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_recomputation_can_fail(build(), by_hand, (3, 64, 64), spoil)


def test_the_papers_table_by_switch() -> None:
    network = counting.on_meta(lambda: registry.build("inception_v2", paper_table=True))
    count = counting.count(network, (3, 224, 224))
    assert (count.parameters, count.macs) == (11_194_984, 2_018_851_840)
    assert [network.get_submodule(f"inception{n}").out_channels for n in ("4c", "4d", "4e")] == [576, 576, 1024]
    assert not any(name.endswith("conv.bias") for name, _ in network.named_parameters())


def test_a_bias_before_the_norm_learns_nothing() -> None:
    unit = inception_v2.Unit(3, 4, 3).double().train()
    (unit(torch.randn(2, 3, 8, 8, dtype=torch.float64)) ** 2).sum().backward()
    assert unit.conv.bias is not None
    assert gradient(unit.conv.bias).abs().max() < 1e-12
    assert gradient(unit.conv.weight).abs().max() > 1e-3


def test_two_3x3_see_what_one_5x5_sees() -> None:
    branch: Any = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(2))).double()
    for conv in branch:
        nn.init.ones_(conv.weight)
    x = torch.zeros(1, 1, 11, 11, dtype=torch.float64, requires_grad=True)
    branch(x)[0, 0, 5, 5].backward()
    seen = gradient(x)[0, 0].nonzero()
    assert seen.min(0).values.tolist() == [3, 3] and seen.max(0).values.tolist() == [7, 7]


@pytest.mark.parametrize("side", [4, 5, 7, 8])
def test_what_passes_through_has_the_size_of_the_convolutions(side: int) -> None:
    module = inception_v2.Module(3, inception_v2.Widths(0, 2, 2, 2, 2, "max", 0)).eval()
    x = torch.randn(1, 3, side, side)
    y = module(x)
    assert y.shape == (1, 7, -(-side // 2), -(-side // 2))
    if side % 2:  # windows stand around every second pixel, as the convolutions' do
        centred = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-1e9), 3, 2)
        assert torch.equal(y[:, 4:], centred)
    else:
        assert torch.equal(y[:, 4:], F.max_pool2d(x, 3, 2, ceil_mode=True))


@pytest.mark.parametrize(("stem", "smallest"), [("imagenet", 7), ("small", 2)])
def test_the_smallest_image(stem: str, smallest: int) -> None:
    with pytest.raises(ValueError, match=f"image_size: {smallest - 1} is too small.*works is {smallest}$"):
        inception_v2.inception_v2(stem=stem, image_size=smallest - 1)
    network = counting.on_meta(lambda: inception_v2.inception_v2(stem=stem, image_size=smallest)).eval()
    assert network(torch.empty(1, 3, smallest, smallest, device="meta")).shape == (1, 1000)
    with pytest.raises(RuntimeError):
        network(torch.empty(1, 3, smallest - 1, smallest - 1, device="meta"))
