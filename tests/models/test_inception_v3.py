"""Inception v3 against torchvision, the auxiliary head in training, and the arithmetic of factorising."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from cnn_explorer.models import inception_v3
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.saved_weights.transplant import transplant
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function, relative_difference
from support.tensors import gradient, randomise
from support.weekly import first_of
from torch import nn
from torchvision.models.inception import InceptionAux


def torchvision_v3() -> nn.Module:
    return torchvision.models.inception_v3(num_classes=10, aux_logits=False, init_weights=False)


def test_same_function_as_torchvision() -> None:
    ours = registry.build("inception_v3", num_classes=10, image_size=96)
    assert_same_function(ours, torchvision_v3(), (3, 96, 96))


def _shift_epsilon(network: Any) -> None:
    network.c2.branches[0][0].norm.eps = 1e-5


def _count_no_padding(network: Any) -> None:
    network.a2.branches[3][0] = nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def _swap_the_fork(network: Any) -> None:
    fork = network.e1.branches[1][1]
    fork.horizontal, fork.vertical = fork.vertical, fork.horizontal


@pytest.mark.parametrize("spoil", first_of([_swap_the_fork, _shift_epsilon, _count_no_padding], 1))
def test_the_comparison_catches_a_change(spoil) -> None:
    ours = registry.build("inception_v3", num_classes=10, image_size=96)
    assert_comparison_can_fail(ours, torchvision_v3(), (3, 96, 96), spoil)


def test_the_auxiliary_head_in_training_is_torchvisions() -> None:
    ours = inception_v3.AuxiliaryHead(768, 10, 17, 1.0).double().train()
    theirs = InceptionAux(768, 10).double().train()
    randomise(theirs)
    x = torch.randn(3, 768, 17, 17, dtype=torch.float64, requires_grad=True)
    transplant(theirs, ours, x.detach())
    scores, reference = ours(x), theirs(x)
    assert relative_difference(scores, reference) < 1e-9
    (mine,) = torch.autograd.grad(scores.square().sum(), x)
    (their_own,) = torch.autograd.grad(reference.square().sum(), x)
    assert relative_difference(mine, their_own) < 1e-7


def test_with_the_head_the_oracle_counts_more_parameters_and_no_more_work() -> None:
    by_name = counting.count(counting.on_meta(inception_v3.inception_v3_aux), (3, 299, 299))
    assert (by_name.parameters, by_name.macs) == (27_161_264, 5_713_216_096)
    by_switch = counting.on_meta(lambda: inception_v3.inception_v3(auxiliary=True))
    assert counting.count_parameters(by_switch) == 27_161_264


def test_the_head_sits_on_the_last_c_module_and_counts_a_third() -> None:
    network: Any = inception_v3.inception_v3_nano(auxiliary=True).train()
    seen = {}
    network.c4.register_forward_hook(lambda module, inputs, output: seen.update(map=output))
    images, targets = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
    outputs = network(images)
    assert torch.equal(outputs[1], network.head1(seen["map"]))
    losses = [F.cross_entropy(output, targets) for output in outputs]
    total = network.training_loss(outputs, images, targets, F.cross_entropy)
    assert torch.allclose(total, losses[0] + 0.3 * losses[1])
    assert network.eval()(images).shape == (4, 10)


@pytest.mark.parametrize(
    ("chain", "kernel", "saved"),
    [
        ([3, 3], 5, 7 / 25),
        ([(3, 1), (1, 3)], 3, 1 / 3),
        ([2, 2], 3, 1 / 9),
        ([(1, 7), (7, 1)], 7, 35 / 49),
    ],
)
def test_what_factorising_saves(chain: list, kernel: int, saved: float) -> None:
    def weights(*kernels) -> int:
        return sum(nn.Conv2d(4, 4, each, bias=False).weight.numel() for each in kernels)

    assert 1 - weights(*chain) / weights(kernel) == pytest.approx(saved)


def test_1x7_and_7x1_see_what_7x7_sees() -> None:
    branch: Any = inception_v3.Chain(1, (1, (1, 7)), (1, (7, 1))).double().eval()
    for unit in branch:
        nn.init.ones_(unit.conv.weight)
    x = torch.ones(1, 1, 15, 15, dtype=torch.float64, requires_grad=True)
    branch(x)[0, 0, 7, 7].backward()
    seen = gradient(x)[0, 0].nonzero()
    assert len(seen) == 49
    assert seen.min(0).values.tolist() == [4, 4] and seen.max(0).values.tolist() == [10, 10]


@pytest.mark.parametrize("side", [7, 8, 14, 16])
def test_a_padded_grid_reduction_fits_every_size(side: int) -> None:
    module = inception_v3.inception_b(6, padding=1, scale=0.1).eval()
    assert module(torch.randn(1, 6, side, side)).shape == (1, module.out_channels, -(-side // 2), -(-side // 2))


def test_the_smallest_image_has_75_pixels() -> None:
    with pytest.raises(ValueError, match=r"image_size: 74 is too small.*works is 75$"):
        inception_v3.inception_v3(image_size=74)
    network = counting.on_meta(lambda: inception_v3.inception_v3(image_size=75)).eval()
    assert network(torch.empty(1, 3, 75, 75, device="meta")).shape == (1, 1000)
    with pytest.raises(RuntimeError):
        network(torch.empty(1, 3, 74, 74, device="meta"))
