"""One update of the weights, the evaluation, and the window that collects figures."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.config.recipe import OPTIMIZERS, Recipe
from cnn_explorer.trainer.loop import metrics_window
from cnn_explorer.trainer.loop.evaluate import evaluate
from cnn_explorer.trainer.loop.metrics_window import MetricsWindow
from cnn_explorer.trainer.loop.train_step import StepMetrics, Updater, autocast
from cnn_explorer.trainer.optim.build import build_optimizer
from support.tensors import gradient
from torch import Tensor, nn

CPU = torch.device("cpu")


def batch(count: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, 1, 28, 28, generator=generator), torch.arange(count) % 10


def lenet() -> nn.Module:
    torch.manual_seed(0)
    return registry.build("lenet5", num_classes=10, in_channels=1, image_size=28)


def updater(network: nn.Module, **options: Any) -> Updater:
    values: dict[str, Any] = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0} | options
    recipe = Recipe(**values)
    return Updater(network, build_optimizer(network, recipe), recipe)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_update_changes_every_parameter(name: str) -> None:
    network = lenet()
    before = copy.deepcopy(network.state_dict())
    updater(network, optimizer=name)(*batch(64), 0.01)
    unchanged = [key for key, value in network.state_dict().items() if torch.equal(value, before[key])]
    assert not unchanged


def test_weights_are_converted_once_unless_kernels_are_recorded() -> None:
    with autocast("bf16", CPU)():
        assert torch.is_autocast_cache_enabled()
    with autocast("bf16", CPU, cache=False)():
        assert not torch.is_autocast_cache_enabled()


def test_plain_descent_by_hand() -> None:
    network, images, targets = lenet(), *batch()
    expected = copy.deepcopy(network)
    F.cross_entropy(expected(images), targets).backward()
    metrics = updater(network)(images, targets, 0.25)
    for mine, theirs in zip(network.parameters(), expected.parameters(), strict=True):
        assert torch.allclose(mine, theirs - 0.25 * gradient(theirs), atol=1e-6)
    assert metrics.loss.item() == pytest.approx(F.cross_entropy(expected(images), targets).item(), rel=1e-5)
    assert metrics.correct.item() == (expected(images).argmax(1) == targets).sum().item()


@pytest.mark.parametrize(("count", "parts", "sizes"), [(12, 3, [4, 4, 4]), (13, 3, [5, 5, 3]), (11, 4, [3, 3, 3, 2])])
def test_accumulated_parts_give_the_gradient_of_the_whole_batch(count: int, parts: int, sizes: list[int]) -> None:
    """Also where the last part is smaller, and would count for too much if all parts counted alike."""
    whole, split = lenet().double(), lenet().double()
    images, targets = batch(count)
    seen: list[int] = []
    split.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    first = updater(whole)(images.double(), targets, 0.1)
    second = updater(split, accumulate=parts, batch_size=count)(images.double(), targets, 0.1)
    assert seen == sizes
    for mine, theirs in zip(whole.parameters(), split.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-8)
    assert second.loss.item() == pytest.approx(first.loss.item(), rel=1e-6)
    assert second.correct.item() == first.correct.item()


def test_ranks_exchange_their_gradients_once_with_the_last_part() -> None:
    class Ranked(nn.Module):
        """Stands in for DistributedDataParallel: inside ``no_sync`` nothing is exchanged."""

        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network, self.quiet, self.exchanged = network, False, []

        @contextlib.contextmanager
        def no_sync(self) -> Iterator[None]:
            self.quiet = True
            yield
            self.quiet = False

        def forward(self, images: Tensor) -> Tensor:
            self.exchanged.append(not self.quiet)
            return self.network(images)

    network = lenet()
    ranked = Ranked(network)
    recipe = Recipe(accumulate=3, batch_size=12)
    update = Updater(network, build_optimizer(network, recipe), recipe, forward=ranked)
    for _ in range(2):
        update(*batch(), 0.1)
    assert ranked.exchanged == [False, False, True] * 2


def test_gradients_do_not_pile_up_over_updates() -> None:
    network = lenet()
    update = updater(network)
    update(*batch(), 0.0)
    once = update.gradient_norm()
    update(*batch(), 0.0)
    assert update.gradient_norm() == pytest.approx(once, rel=1e-5)


def test_clipping_bounds_the_step_and_the_norm_before_is_told() -> None:
    network, free = lenet(), lenet()
    before = copy.deepcopy(network)
    clipped, plain = updater(network, clip_norm=0.01), updater(free)
    clipped(*batch(), 1.0)
    plain(*batch(), 1.0)
    squares = [(a - b).square().sum() for a, b in zip(network.parameters(), before.parameters(), strict=True)]
    moved = sum(squares, torch.zeros(())).sqrt()
    assert moved.item() == pytest.approx(0.01, rel=1e-3)
    assert clipped.gradient_norm() == pytest.approx(plain.gradient_norm(), rel=1e-5)


def test_a_network_may_bring_its_own_loss_and_more_outputs_than_scores() -> None:
    class WithAuxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main, self.side = nn.Linear(784, 10), nn.Linear(784, 10)

        def forward(self, x: Tensor):
            return (self.main(x.flatten(1)), self.side(x.flatten(1))) if self.training else self.main(x.flatten(1))

        def training_loss(self, outputs, images: Tensor, targets: Tensor, criterion) -> Tensor:
            assert images.shape == (12, 1, 28, 28)
            return criterion(outputs[0], targets) + 0.3 * criterion(outputs[1], targets)

    network = WithAuxiliary()
    images, targets = batch()
    expected = F.cross_entropy(network.main(images.flatten(1)), targets)
    expected += 0.3 * F.cross_entropy(network.side(images.flatten(1)), targets)
    metrics = updater(network)(images, targets, 0.1)
    assert metrics.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert network.side.weight.grad is not None


def test_targets_may_be_probabilities_and_smoothing_acts() -> None:
    images, targets = batch()
    hard = updater(lenet())(images, targets, 0.0)
    soft = updater(lenet())(images, F.one_hot(targets, 10).float(), 0.0)
    assert soft.loss.item() == pytest.approx(hard.loss.item(), rel=1e-5)
    assert soft.correct.item() == hard.correct.item()
    smoothed = updater(lenet(), label_smoothing=0.2)(images, targets, 0.0)
    expected = F.cross_entropy(lenet()(images), targets, label_smoothing=0.2).item()
    assert smoothed.loss.item() == pytest.approx(expected, rel=1e-5)


def test_bf16_computes_in_bf16_and_updates_in_fp32() -> None:
    network: Any = lenet()
    seen: list[torch.dtype] = []
    network.head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    recipe = Recipe()
    metrics = Updater(network, build_optimizer(network, recipe), recipe, autocast("bf16", CPU))(*batch(), 0.1)
    assert seen == [torch.bfloat16]
    assert metrics.loss.dtype == torch.float32
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_evaluation_by_hand() -> None:
    scores = torch.tensor([[2.0, 0, 0], [0, 2, 0], [0, 2, 0], [0, 0, 2], [2, 0, 0]])
    targets = torch.tensor([0, 1, 0, 0, 0])
    network = nn.Identity()
    found = evaluate(network, [(scores[:3], targets[:3]), (scores[3:], targets[3:])], 3)
    assert found.confusion == [[2, 1, 1], [0, 1, 0], [0, 0, 0]]
    assert found.per_class == [0.5, 1.0, None]
    assert (found.accuracy, found.count) == (0.6, 5)
    assert found.loss == pytest.approx(F.cross_entropy(scores, targets).item(), rel=1e-6)


def test_evaluation_is_in_eval_mode_without_gradients_and_puts_the_mode_back() -> None:
    seen: list[tuple[bool, bool]] = []
    network = nn.Linear(4, 3)
    network.register_forward_hook(lambda module, inputs, output: seen.append((module.training, output.requires_grad)))
    for training in (True, False):
        network.train(training)
        evaluate(network, [(torch.randn(2, 4), torch.tensor([0, 1]))], 3)
        assert network.training is training
    assert seen == [(False, False), (False, False)]


def test_evaluation_of_nothing() -> None:
    found = evaluate(nn.Identity(), [], 2)
    assert math.isnan(found.accuracy) and found.per_class == [None, None] and found.count == 0


def metrics(loss: float, correct: int = 1) -> StepMetrics:
    return StepMetrics(torch.tensor(loss), torch.tensor(correct))


def test_window_gives_means_and_the_first_bad_update() -> None:
    window = MetricsWindow(batch_size=4, total_steps=10)
    window.add(metrics(1.0, 4))
    window.add(metrics(2.0, 0))
    means = window.close()
    assert (means.loss, means.accuracy, means.steps, means.bad) == (1.5, 0.5, 2, None)
    assert len(window) == 0
    for loss in (1.0, math.inf, math.nan):
        window.add(metrics(loss))
    assert window.close().bad == 1


def test_window_is_due_after_a_second_or_a_part_of_a_short_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(metrics_window.time, "perf_counter", lambda: now[0])
    short, long = MetricsWindow(4, total_steps=800), MetricsWindow(4, total_steps=10**9)
    for window in (short, long):
        window.add(metrics(1.0))
        window.add(metrics(1.0))
        assert not window.due()
    now[0] += 0.06
    assert short.due() and not long.due()
    now[0] += 1.0
    assert long.due()


def test_records_that_take_long_come_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(metrics_window.time, "perf_counter", lambda: now[0])
    window = MetricsWindow(4, total_steps=400)
    window.add(metrics(1.0))
    window.charge(0.002)
    now[0] += 0.19
    assert not window.due()
    now[0] += 0.02
    assert window.due()
    window.charge(0.0001)
    window.restart()
    window.add(metrics(1.0))
    now[0] += 0.06
    assert window.due()
