"""CycleMLP: CycleFC against torchvision's deformable convolution, the block against a plain one, and the note's facts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cnn_explorer.models import cyclemlp
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import relative_difference
from support.tensors import randomise
from torch import Tensor, nn
from torchvision.ops import deform_conv2d


class DeformableFC(nn.Module):
    """CycleFC as the paper defines it: a deformable 1×1 convolution with one fixed offset per input channel."""

    def __init__(self, ours: cyclemlp.CycleFC) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        offset = x.new_zeros(batch, channels, 2, height, width)  # (rows, columns) for each channel
        half = self.ours.size // 2
        for channel in range(channels):
            offset[:, channel, self.ours.axis - 1] = (channel + half) % self.ours.size - half
        weight = self.ours.linear.weight[:, :, None, None]
        y = deform_conv2d(x.permute(0, 3, 1, 2).contiguous(), offset.flatten(1, 2), weight, self.ours.linear.bias)
        return y.permute(0, 2, 3, 1)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_cyclefc_equals_the_deformable_convolution_in_value_and_gradient(axis: int, size: int) -> None:
    torch.manual_seed(0)
    layer = cyclemlp.CycleFC(10, 4, size, axis).double()
    x = torch.randn(2, 5, 6, 10, dtype=torch.float64, requires_grad=True)
    ours, theirs = layer(x), DeformableFC(layer)(x)
    assert relative_difference(ours, theirs) < 1e-12
    weights = torch.randn_like(ours)
    parameters = (x, layer.linear.weight, layer.linear.bias)
    our_gradients = torch.autograd.grad((ours * weights).sum(), parameters)
    their_gradients = torch.autograd.grad((theirs * weights).sum(), parameters)
    for a, b in zip(our_gradients, their_gradients, strict=True):
        assert relative_difference(a, b) < 1e-12


def test_cyclefc_is_what_the_note_draws() -> None:
    """A brute-force loop over pixels and channels, written from the definition."""
    layer = cyclemlp.CycleFC(7, 2, 3, axis=2).double()
    x = torch.randn(1, 3, 4, 7, dtype=torch.float64)
    expected = layer.linear.bias.detach().expand(1, 3, 4, 2).clone()
    for row in range(3):
        for column in range(4):
            for channel in range(7):
                there = column + (0, 1, -1)[channel % 3]
                if 0 <= there < 4:
                    expected[0, row, column] += layer.linear.weight[:, channel].detach() * x[0, row, there, channel]
    assert torch.allclose(layer(x), expected)


def test_cyclefc_of_size_one_is_a_linear_layer() -> None:
    layer = cyclemlp.CycleFC(6, 5, 1, axis=1)
    x = torch.randn(2, 4, 4, 6)
    assert torch.equal(layer(x), layer.linear(x))


def plain_mixing(mixing: cyclemlp.CycleMixing, x: Tensor) -> Tensor:
    """The three branches and their shares, one channel after another."""
    h, w = DeformableFC(mixing.along_width)(x), DeformableFC(mixing.along_height)(x)
    c = x @ mixing.on_the_spot.weight.T
    first, _, second = mixing.reweight
    mean = (h + w + c).flatten(1, 2).mean(1)
    logits = second(nn.functional.gelu(first(mean)))
    mixed = torch.zeros_like(c)
    for batch in range(x.shape[0]):
        for channel in range(x.shape[3]):
            share = torch.softmax(logits[batch, 3 * channel : 3 * channel + 3], dim=0)
            for part, branch in zip(share, (h, w, c), strict=True):
                mixed[batch, :, :, channel] += part * branch[batch, :, :, channel]
    return mixing.project(mixed)


def test_the_block_equals_a_plain_one() -> None:
    block = cyclemlp.CycleBlock(12, 4).double()
    randomise(block)
    x = torch.randn(2, 5, 4, 12, dtype=torch.float64)
    y = x + plain_mixing(block.mixing, block.norm1(x))
    hidden = nn.functional.gelu(nn.functional.linear(block.norm2(y), block.mlp.linear1.weight, block.mlp.linear1.bias))
    y = y + nn.functional.linear(hidden, block.mlp.linear2.weight, block.mlp.linear2.bias)
    assert relative_difference(block(x), y) < 1e-12


def with_deformable_convolutions(network: nn.Module) -> nn.Module:
    mixings: list[Any] = [module for module in network.modules() if isinstance(module, cyclemlp.CycleMixing)]
    for mixing in mixings:
        mixing.along_width = DeformableFC(mixing.along_width)
        mixing.along_height = DeformableFC(mixing.along_height)
    return network


@pytest.mark.parametrize(("stem", "size"), [("imagenet", 64), ("small", 28)])
def test_the_network_is_the_same_with_deformable_convolutions(stem: str, size: int) -> None:
    network: Any = registry.build("cyclemlp_b1", stem=stem, num_classes=10, image_size=size).double().eval()
    randomise(network)
    x = torch.randn(1, 3, size, size, dtype=torch.float64)
    with torch.no_grad():
        expected = network(x)
        assert relative_difference(with_deformable_convolutions(network)(x), expected) < 1e-9
        network.stage2[1].mixing.along_height.ours.size = 5
        assert relative_difference(network(x), expected) > 1e-6, "the comparison must be able to fail"


def test_counters_see_the_work_of_cyclefc_and_not_that_of_the_deformable_convolution() -> None:
    network = counting.on_meta(cyclemlp.cyclemlp_b1)
    macs = counting.module_macs(network, (3, 224, 224))
    layers = [name for name, module in network.named_modules() if isinstance(module, cyclemlp.CycleFC)]
    seen = sum(macs[name] for name in layers)
    assert len(layers) == 20 and seen == 314_703_872
    assert macs[""] - seen == 1_806_819_328
    plain = counting.on_meta(lambda: nn.Linear(64, 64))
    cycle = counting.on_meta(lambda: cyclemlp.CycleFC(64, 64, 7, axis=2))
    assert counting.count_parameters(plain) == counting.count_parameters(cycle)


def test_shares_of_the_branches_sum_to_one() -> None:
    mixing: Any = cyclemlp.CycleMixing(8)
    same = nn.Linear(8, 8, bias=False)
    mixing.along_width = mixing.along_height = mixing.on_the_spot = same
    x = torch.randn(2, 3, 3, 8)
    assert torch.allclose(mixing(x), mixing.project(same(x)), atol=1e-6)


def test_any_input_size_and_moved_features_for_a_moved_image() -> None:
    torch.manual_seed(0)
    network = cyclemlp.cyclemlp_nano().eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, 40, 72)).shape == (1, 10)
    layer = cyclemlp.CycleFC(9, 4, 3, axis=2).double()
    x = torch.zeros(1, 5, 9, 9, dtype=torch.float64)
    x[:, :, 2:6] = torch.randn(1, 5, 4, 9, dtype=torch.float64)
    assert torch.allclose(layer(x.roll(1, dims=2)), layer(x).roll(1, dims=2))


def test_parameters_do_not_depend_on_the_image() -> None:
    small = counting.on_meta(lambda: cyclemlp.cyclemlp_b1(image_size=64))
    large = counting.on_meta(lambda: cyclemlp.cyclemlp_b1(image_size=512))
    assert counting.count_parameters(small) == counting.count_parameters(large)
    ratio = counting.count(large, (3, 512, 512)).macs / counting.count(small, (3, 64, 64)).macs
    assert ratio == pytest.approx(64, rel=0.02)


def test_the_smallest_image_works() -> None:
    assert cyclemlp.cyclemlp_b1(image_size=3).eval()(torch.randn(1, 3, 3, 3)).shape == (1, 1000)
