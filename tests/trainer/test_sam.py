"""SAM and ASAM against their formulas, and what they do to norms, dropout, accumulation, clipping, averages and scalers."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.trainer.config.recipe import OPTIMIZERS, Recipe
from cnn_explorer.trainer.loop.train_step import Updater, autocast
from cnn_explorer.trainer.optim.build import Average, build_optimizer
from cnn_explorer.trainer.optim.sam import ASAM_FLOOR
from torch import Tensor, nn


def network(*, dropout: float = 0.0, norm: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(12, 16), nn.BatchNorm1d(16) if norm else nn.Identity(), nn.Tanh(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(16, 4)).double()


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(12, 12, generator=generator, dtype=torch.float64), torch.arange(12) % 4


def updater(net: nn.Module, **options: Any) -> Updater:
    values: dict[str, Any] = {
        "momentum": 0.0,
        "weight_decay": 0.0,
        "sam": "sam",
        "rho": 0.3,
        "batch_size": 12,
    } | options
    recipe = Recipe(**values)
    average = Average(net, copy.deepcopy(net), recipe.ema) if recipe.ema else None
    return Updater(net, build_optimizer(net, recipe), recipe, average=average)


def gradients(net: nn.Module) -> list[Tensor]:
    images, targets = batch()
    return list(torch.autograd.grad(F.cross_entropy(net(images), targets), list(net.parameters())))


@pytest.mark.parametrize("kind", ["sam", "asam"])
def test_a_step_is_the_gradient_at_the_worst_point_by_hand(kind: str) -> None:
    net = network()
    start = copy.deepcopy(net)
    sizes = [torch.ones_like(p) if kind == "sam" else p.detach().abs() + ASAM_FLOOR for p in start.parameters()]
    first = gradients(start)
    squares = [(size * g).square().sum() for size, g in zip(sizes, first, strict=True)]
    length = sum(squares, torch.zeros(())).sqrt()
    worst = copy.deepcopy(start)
    with torch.no_grad():
        for parameter, size, gradient in zip(worst.parameters(), sizes, first, strict=True):
            parameter += 0.3 * size**2 * gradient / length
    second = gradients(worst)
    metrics = updater(net, sam=kind)(*batch(), 0.1)
    for mine, before, gradient in zip(net.parameters(), start.parameters(), second, strict=True):
        # The criterion computes in float32.
        assert torch.allclose(mine, before - 0.1 * gradient, rtol=0, atol=1e-7)
    assert not torch.allclose(second[0], first[0], atol=1e-4)
    images, targets = batch()
    assert metrics.loss.item() == pytest.approx(F.cross_entropy(start(images), targets).item(), rel=1e-5)


def test_the_first_gradients_are_gone_in_the_second_pass() -> None:
    net: Any = network()
    update = updater(net)
    first: list[Callable[[], object]] = []

    def look(*_: object) -> None:
        if first:
            assert [reference() for reference in first] == [None] * len(first)
            first.append(lambda: "seen")
        else:
            net[-1].weight.register_post_accumulate_grad_hook(lambda p: first.append(weakref.ref(p.grad)))

    net.register_forward_hook(look)
    update(*batch(), 0.1)
    assert first[1]() == "seen"


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["sam", "asam"])
def test_two_passes_with_any_optimiser_move_every_weight_to_another_place(name: str, kind: str) -> None:
    ends, passes = [], []
    for sam in ("none", kind):
        net = network()
        counted = []
        net[0].register_forward_hook(lambda *_, counted=counted: counted.append("forward"))
        net[-1].register_full_backward_hook(lambda *_, counted=counted: counted.append("backward"))
        update = updater(net, optimizer=name, sam=sam)
        for _ in range(2):
            update(*batch(), 0.01)
        ends.append([p.detach().clone() for p in net.parameters()])
        passes.append((counted.count("forward"), counted.count("backward")))
    assert passes == [(2, 2), (4, 4)]
    start = list(network().parameters())
    assert all(not torch.equal(mine, before) for mine, before in zip(ends[1], start, strict=True))
    assert any(not torch.equal(mine, plain) for mine, plain in zip(*ends, strict=True))


def test_without_a_rate_the_weights_are_where_they_were_to_the_last_bit() -> None:
    net = network(norm=True)
    before = [p.detach().clone() for p in net.parameters()]
    updater(net)(*batch(), 0.0)
    assert all(torch.equal(p, b) for p, b in zip(net.parameters(), before, strict=True))


def test_running_statistics_are_those_of_the_first_pass() -> None:
    net: Any = network(norm=True)
    plain: Any = network(norm=True)
    images, _ = batch()
    plain(images)
    updater(net)(*batch(), 0.1)
    assert torch.equal(net[1].running_mean, plain[1].running_mean)
    assert torch.equal(net[1].running_var, plain[1].running_var)
    assert net[1].num_batches_tracked == 1
    assert net[1].track_running_stats


def test_both_passes_drop_the_same_and_the_next_update_drops_others() -> None:
    net = network(dropout=0.5)
    masks: list[Tensor] = []
    net[3].register_forward_hook(lambda module, inputs, output: masks.append(output.eq(0)))
    update = updater(net)
    for _ in range(2):
        update(*batch(), 0.0)
    assert torch.equal(masks[0], masks[1]) and torch.equal(masks[2], masks[3])
    assert not torch.equal(masks[0], masks[2])


def test_parts_of_a_batch_give_the_step_of_the_whole() -> None:
    whole, split = network(), network()
    updater(whole)(*batch(), 0.1)
    updater(split, accumulate=3)(*batch(), 0.1)
    for mine, theirs in zip(split.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-7)


def test_the_second_gradient_is_clipped_and_averaged_weights_follow_the_step() -> None:
    net: Any = network()
    start = copy.deepcopy(net)
    update: Any = updater(net, clip_norm=0.01, ema=0.5)
    update(*batch(), 1.0)
    squares = [(a - b).square().sum() for a, b in zip(net.parameters(), start.parameters(), strict=True)]
    moved = sum(squares, torch.zeros(())).sqrt()
    assert moved.item() == pytest.approx(0.01, rel=1e-3)
    assert update.gradient_norm() > 0.01
    decay = min(0.5, 2 / 11)
    expected = decay * start[0].weight + (1 - decay) * net[0].weight
    assert torch.allclose(update.average.network[0].weight, expected, atol=1e-9)


def scaled(net: nn.Module, precision=None) -> Updater:
    recipe = Recipe(momentum=0.0, weight_decay=0.0, sam="sam", rho=0.3, clip_norm=10.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    return Updater(net, build_optimizer(net, recipe), recipe, *([precision] if precision else []), scaler=scaler)


def test_a_scaler_changes_nothing() -> None:
    net, plain = network(), network()
    updater(plain, clip_norm=10.0)(*batch(), 0.1)
    scaled(net)(*batch(), 0.1)
    for mine, theirs in zip(net.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-7)


def test_an_overflow_leaves_the_update_out_and_lowers_the_scale() -> None:
    net = network()
    before = [p.detach().clone() for p in net.parameters()]
    update = scaled(net)
    criterion = update.criterion
    update.criterion = lambda scores, targets: (
        criterion(scores, targets) * 1e38
    )  # times the scale: more than float32 holds
    update(*batch(), 0.1)
    assert all(torch.equal(p, b) for p, b in zip(net.parameters(), before, strict=True))
    assert update.scaler is not None
    assert update.scaler.get_scale() == 512.0


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_autocast_and_sam_learn(precision: str) -> None:
    net = network().float()
    images, targets = batch()
    opened = autocast(precision, torch.device("cpu"))
    update = scaled(net, opened)
    losses = [update(images.float(), targets, 0.5).loss.item() for _ in range(30)]
    assert losses[-1] < losses[0] / 2
