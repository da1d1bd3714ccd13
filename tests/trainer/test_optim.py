"""Optimisers: where weight decay acts, which kernels are used, moving average, gradient norm."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.config.recipe import OPTIMIZERS, Recipe
from cnn_explorer.trainer.optim.build import (
    Average,
    build_optimizer,
    clip_gradients,
    gradient_norm,
    parameter_groups,
    set_rate,
)
from support.tensors import gradient
from torch import nn


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 10))


def test_decay_is_on_weights_and_not_on_norms_and_biases() -> None:
    net: Any = network()
    decayed, free = parameter_groups(net, 0.5)
    assert [id(p) for p in decayed["params"]] == [id(net[0].weight), id(net[3].weight)]
    assert [id(p) for p in free["params"]] == [id(net[0].bias), id(net[1].weight), id(net[1].bias), id(net[3].bias)]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.5, 0.0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_network_may_have_nothing_but_weights(name: str) -> None:
    optimizer = build_optimizer(nn.Linear(3, 2, bias=False), Recipe(optimizer=name))
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_a_gradient_only_decayed_weights_move(name: str) -> None:
    net = network()
    before = copy.deepcopy(net.state_dict())
    optimizer = build_optimizer(net, Recipe(optimizer=name, lr=0.1, weight_decay=0.5))
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moved = {name for name, value in net.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"0.weight", "3.weight"}


def test_frozen_parameters_are_left_out() -> None:
    net: Any = network()
    net[0].requires_grad_(False)
    net[1].requires_grad_(False)
    optimizer = build_optimizer(net, Recipe())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_fused_kernels_are_used_and_never_foreach_on_the_cpu(name: str) -> None:
    optimizer = build_optimizer(network(), Recipe(optimizer=name))
    assert all(group["fused"] and not group["foreach"] for group in optimizer.param_groups)


def test_rmsprop_has_no_fused_kernel_and_runs_as_a_loop_on_the_cpu() -> None:
    assert all(
        group["foreach"] is False for group in build_optimizer(network(), Recipe(optimizer="rmsprop")).param_groups
    )


def test_the_values_of_the_recipe_arrive() -> None:
    sgd = build_optimizer(network(), Recipe(lr=0.3, momentum=0.8, nesterov=True)).param_groups[0]
    assert (sgd["lr"], sgd["momentum"], sgd["nesterov"]) == (0.3, 0.8, True)
    assert not build_optimizer(network(), Recipe(momentum=0.0, nesterov=True)).param_groups[0]["nesterov"]
    adam = build_optimizer(network(), Recipe(optimizer="adamw", betas=(0.8, 0.9), eps=1e-6)).param_groups[0]
    assert (adam["betas"], adam["eps"]) == ((0.8, 0.9), 1e-6)


def test_the_rate_is_set_for_all_groups() -> None:
    optimizer = build_optimizer(network(), Recipe())
    set_rate(optimizer, 0.125)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.125]


def test_a_group_may_have_a_rate_of_its_own_and_a_checkpoint_without_one_can_be_loaded() -> None:
    net = network()
    groups = parameter_groups(net, 0.5)
    assert [group["lr_scale"] for group in groups] == [1.0, 1.0]
    groups[1]["lr_scale"] = 0.25
    optimizer = torch.optim.SGD(groups, lr=1.0)
    set_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.125]
    earlier = optimizer.state_dict()
    for group in earlier["param_groups"]:
        del group["lr_scale"]
    optimizer.load_state_dict(earlier)
    set_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("name", "free"),
    [
        ("vit_nano", {"class_token", "positions"}),
        ("swin_nano", {"bias_table"}),
        ("swin_v2_nano", {"log_scale"}),
        ("nat_nano", {"bias"}),
        ("mobile_former_26m", {"vectors"}),
        ("capsnet", set()),
        ("cnn_lstm", set()),
    ],
)
def test_tokens_and_tables_do_not_decay_and_every_weight_does(name: str, free: set[str]) -> None:
    net = counting.on_meta(lambda: registry.build(name, num_classes=10))
    decayed = {id(p) for p in parameter_groups(net, 0.5)[0]["params"]}
    several_axes = {key.rpartition(".")[2] for key, p in net.named_parameters() if p.ndim > 1 and id(p) not in decayed}
    assert several_axes == free


def test_gradient_norm_and_clipping() -> None:
    net = network()
    net(torch.randn(8, 1, 8, 8)).square().mean().backward()
    expected = math.sqrt(sum(gradient(p).square().sum().item() for p in net.parameters()))
    assert gradient_norm(net).item() == pytest.approx(expected, rel=1e-5)
    assert clip_gradients(net, expected / 4).item() == pytest.approx(expected, rel=1e-5)
    assert gradient_norm(net).item() == pytest.approx(expected / 4, rel=1e-4)


def test_average_follows_its_formula_and_copies_counters() -> None:
    net: Any = network()
    average: Any = Average(net, copy.deepcopy(net), decay=0.5)
    expected = net[3].weight.detach().clone()
    for number in (1, 2, 3):
        with torch.no_grad():
            net[3].weight.add_(1.0)
        net[1](torch.randn(2, 4, 3, 3))  # counts a batch
        average.update()
        decay = min(0.5, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * net[3].weight.detach()
    assert torch.allclose(average.network[3].weight, expected, atol=1e-6)
    assert average.network[1].num_batches_tracked == net[1].num_batches_tracked == 3
    assert not average.network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())


def test_average_goes_on_after_loading() -> None:
    net: Any = network()
    first: Any = Average(net, copy.deepcopy(net), 0.9)
    for _ in range(3):
        with torch.no_grad():
            net[3].weight.mul_(1.5)
        first.update()
    second: Any = Average(net, copy.deepcopy(net), 0.9)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for average in (first, second):
        average.update()
    assert torch.equal(first.network[3].weight, second.network[3].weight)
