"""Muon and LAMB: their updates by hand, which weights they take, and that they go on from a saved state bit for bit."""

from __future__ import annotations

import copy

import pytest
import torch
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.config.recipe import Recipe
from cnn_explorer.trainer.optim.build import build_optimizer, set_rate
from cnn_explorer.trainer.optim.lamb import Lamb, trust_ratio
from cnn_explorer.trainer.optim.muon import Muon, hidden_matrices, orthogonalised
from support.tensors import gradient as gradient_of
from torch import nn


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def with_gradient(*shape: int) -> nn.Parameter:
    parameter = nn.Parameter(torch.randn(shape, dtype=torch.float64, generator=generator()))
    parameter.grad = torch.randn(shape, dtype=torch.float64, generator=generator().manual_seed(4))
    return parameter


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8), (3, 5, 9)])
def test_orthogonalised_matrices_have_singular_values_near_one_and_the_same_directions(shape: tuple) -> None:
    matrices = torch.randn(shape, dtype=torch.float64, generator=generator())
    found = orthogonalised(matrices)
    assert found.shape == matrices.shape and found.dtype == matrices.dtype
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.5 and values.max() < 1.3
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    assert (torch.linalg.matrix_norm(found - u @ v) < 0.5 * torch.linalg.matrix_norm(u @ v)).all()


def test_a_matrix_of_zeros_stays_one() -> None:
    assert not orthogonalised(torch.zeros(4, 6)).any()


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (8, 3, 2, 2)])
def test_a_step_of_muon_by_hand(shape: tuple) -> None:
    weight = with_gradient(*shape)
    start, gradient = weight.detach().clone(), gradient_of(weight).clone()
    group = {"params": [weight], "weight_decay": 0.1, "lr_scale": 1.0}
    optimizer = Muon([group], [], momentum=0.9, nesterov=True, lr=0.5)
    optimizer.step()
    rows, columns = start.flatten(1).shape
    momentum = 0.1 * gradient
    direction = orthogonalised((0.1 * gradient + 0.9 * momentum).flatten(1)).view_as(start)
    expected = start * (1 - 0.5 * 0.1) - 0.5 * max(1, rows / columns) ** 0.5 * direction
    assert torch.allclose(weight, expected, atol=1e-12)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9")
def test_matrices_move_as_with_the_muon_of_torch() -> None:
    ours, theirs = (nn.Parameter(torch.randn(24, 16, generator=generator())) for _ in range(2))
    mine = Muon([{"params": [ours], "weight_decay": 0.1, "lr_scale": 1.0}], [], momentum=0.95, nesterov=True, lr=0.02)
    reference = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, momentum=0.95, nesterov=True)
    numbers = generator()
    for _ in range(5):
        ours.grad = torch.randn(24, 16, generator=numbers)
        theirs.grad = ours.grad.clone()
        mine.step()
        reference.step()
    moved = ours - torch.randn(24, 16, generator=generator())
    # torch computes in bf16, which has three digits.
    assert torch.linalg.matrix_norm(ours - theirs) < 0.02 * torch.linalg.matrix_norm(moved)


def names_of(network: nn.Module) -> set[str]:
    hidden = hidden_matrices(network)
    return {name for name, parameter in network.named_parameters() if id(parameter) in hidden}


def on_meta(name: str) -> nn.Module:
    return counting.on_meta(lambda: registry.build(name, num_classes=10))


def test_muon_takes_filters_between_the_first_layer_and_the_classifier() -> None:
    network = on_meta("resnet18")
    hidden = names_of(network)
    filters = [name for name, parameter in network.named_parameters() if parameter.ndim > 1]
    assert set(filters) - hidden == {filters[0], filters[-1]}
    assert "fc.weight" in filters[-1] or "head" in filters[-1]


def left_over(name: str) -> set[str]:
    """Return the names of what has more than one axis and is none of Muon's matrices."""
    network = on_meta(name)
    return {name for name, parameter in network.named_parameters() if parameter.ndim > 1} - names_of(network)


def test_muon_leaves_tables_tokens_depthwise_filters_and_auxiliary_classifiers_alone() -> None:
    assert left_over("vit_nano") == {"stem.project.weight", "tokens.class_token", "tokens.positions", "head.weight"}
    others = {name for name in left_over("swin_nano") if not name.endswith(".bias_table")}
    assert others == {"stem.conv.weight", "head.weight"} and len(left_over("swin_nano")) == len(others) + 10
    others = {name for name in left_over("mobilenet_v1") if not name.endswith(".depthwise.conv.weight")}
    assert others == {"stem.conv.weight", "head.weight"} and len(left_over("mobilenet_v1")) == len(others) + 13
    network = on_meta("googlenet_aux")
    classifiers = {
        name for name, parameter in network.named_parameters() if parameter.ndim == 2 and len(parameter) == 10
    }
    assert len(classifiers) == 3
    assert not classifiers & names_of(network)
    assert any(name.startswith("head1") for name in names_of(network)), "its hidden layer is one like others"


def test_muon_has_two_rates_and_a_network_without_hidden_layers_is_all_adamw() -> None:
    network = registry.build("lenet5", num_classes=10, in_channels=1, image_size=28)
    optimizer = build_optimizer(network, Recipe(optimizer="muon", lr=0.02, adamw_lr=0.001))
    set_rate(optimizer, 0.01)
    assert {(group["hidden"], round(group["lr"], 9)) for group in optimizer.param_groups} == {
        (True, 0.01),
        (False, 0.0005),
    }
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))
    flat = build_optimizer(nn.Linear(3, 2), Recipe(optimizer="muon"))
    assert not any(group["hidden"] for group in flat.param_groups)


def test_the_rest_moves_as_with_adamw() -> None:
    ours, theirs = (nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3)) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    recipe = Recipe(optimizer="muon", lr=0.02, adamw_lr=0.003, weight_decay=0.1)
    mine = build_optimizer(ours, recipe)
    reference = build_optimizer(theirs, Recipe(optimizer="adamw", weight_decay=0.1))
    images = torch.randn(6, 5, generator=generator())
    for network, optimizer, rate in ((ours, mine, 0.02), (theirs, reference, 0.003)):
        for _ in range(3):
            optimizer.zero_grad()
            network(images).square().sum().backward()
            set_rate(optimizer, rate)
            optimizer.step()
    for first, second in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(first, second, atol=1e-7)


@pytest.mark.parametrize("name", ["muon", "lamb"])
def test_a_saved_state_goes_on_bit_for_bit(name: str) -> None:
    torch.manual_seed(0)
    network = registry.build("lenet5", num_classes=10, in_channels=1, image_size=28)
    images = torch.randn(8, 1, 28, 28, generator=generator())
    recipe = Recipe(optimizer=name, lr=0.01)

    def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            model(images).square().sum().backward()
            set_rate(optimizer, 0.01)
            optimizer.step()

    optimizer = build_optimizer(network, recipe)
    train(network, optimizer, 3)
    resumed = copy.deepcopy(network)
    other = build_optimizer(resumed, recipe)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(network, optimizer, 3)
    train(resumed, other, 3)
    for first, second in zip(network.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(first, second)


def test_a_step_of_lamb_by_hand() -> None:
    weight, bias = with_gradient(4, 3), with_gradient(4)
    groups = [
        {"params": [weight], "weight_decay": 0.1, "adapt": True},
        {"params": [bias], "weight_decay": 0.0, "adapt": False},
    ]
    optimizer = Lamb(groups, lr=0.01, betas=(0.9, 0.99), eps=1e-6)
    for step in (1, 2):
        expected = []
        for parameter, decay in ((weight, 0.1), (bias, 0.0)):
            # The same gradient each time: the corrected moments are the gradient and its square.
            direction = gradient_of(parameter) / (gradient_of(parameter).abs() + 1e-6) + decay * parameter.detach()
            ratio = parameter.detach().norm() / direction.norm() if parameter is weight else 1.0
            expected.append(parameter.detach() - 0.01 * ratio * direction)
        optimizer.step()
        assert torch.allclose(weight, expected[0], atol=1e-9), step
        assert torch.allclose(bias, expected[1], atol=1e-9), step


def test_lamb_moves_a_weight_by_a_part_of_its_length_whatever_the_gradient() -> None:
    for factor in (1e-3, 1.0, 1e3):
        weight = with_gradient(6, 5)
        gradient_of(weight).mul_(factor)
        before = weight.detach().clone()
        Lamb([{"params": [weight]}], lr=0.02, betas=(0.9, 0.999), eps=1e-12).step()
        assert (weight - before).norm().item() == pytest.approx(0.02 * before.norm().item(), rel=1e-6)


def test_the_trust_ratio_is_one_where_a_length_is_zero() -> None:
    zero, some = torch.zeros(3), torch.tensor([3.0, 4.0, 0.0])
    assert trust_ratio(zero, some) == 1 and trust_ratio(some, zero) == 1
    assert trust_ratio(some, 2 * some).item() == 0.5
