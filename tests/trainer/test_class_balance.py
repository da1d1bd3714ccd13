"""Class weights, over-sampling, alternating flips and test-time flips."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.batches import augment, class_balance
from cnn_explorer.trainer.batches.batches import InputTransform, TrainingBatches
from cnn_explorer.trainer.common import rng
from cnn_explorer.trainer.config import recipe_layers
from cnn_explorer.trainer.config.recipe import Recipe
from cnn_explorer.trainer.config.recipe_layers import RecipeLayer
from cnn_explorer.trainer.data.datasets import LabelledImages
from cnn_explorer.trainer.loop.evaluate import evaluate
from cnn_explorer.trainer.loop.train_step import Updater
from cnn_explorer.trainer.optim.build import build_optimizer
from cnn_explorer.trainer.planning import planner
from hypothesis import given
from hypothesis import strategies as st
from support.training import asked
from torch import Tensor, nn

CPU = torch.device("cpu")


def test_balanced_weights_give_classes_equal_shares_and_images_the_mean_of_one() -> None:
    counts = [60, 30, 10]
    weights = class_balance.class_weights(Recipe(class_weights="balanced"), counts)
    assert weights == pytest.approx([100 / (3 * count) for count in counts])
    own = class_balance.class_weights(Recipe(class_weights=(1.0, 2.0, 4.0)), counts)
    assert own is not None
    assert own[1] / own[0] == pytest.approx(2) and own[2] / own[0] == pytest.approx(4)
    assert sum(w * c for w, c in zip(own, counts, strict=True)) == pytest.approx(100)
    assert class_balance.class_weights(Recipe(), counts) is None
    assert class_balance.class_weights(Recipe(class_weights="balanced"), [4, 0]) == [1.0, 0.0]


def test_own_weights_with_balanced_sampling_have_the_mean_of_one_over_what_is_shown() -> None:
    """Each class with images is shown equally often then, whatever the counts are."""
    recipe = Recipe(class_weights=(1.0, 2.0, 6.0), sampling="balanced")
    assert class_balance.class_weights(recipe, [60, 30, 10]) == pytest.approx([1 / 3, 2 / 3, 2.0])
    assert class_balance.class_weights(recipe, [60, 30, 0]) == pytest.approx([2 / 3, 4 / 3, 4.0])


def updater(net: nn.Module, weights: Tensor | None, **options) -> Updater:
    values = Recipe(**({"momentum": 0.0, "weight_decay": 0.0, "batch_size": 12} | options))
    return Updater(net, build_optimizer(net, values), values, class_weights=weights)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_weights_are_those_of_torch(smoothing: float) -> None:
    net = nn.Linear(6, 3)
    weights = torch.tensor([0.5, 1.0, 2.5])
    images, targets = torch.randn(12, 6), torch.tensor([0, 1, 1, 2] * 3)
    loss = updater(net, weights, label_smoothing=smoothing).criterion(net(images), targets)
    reference = nn.CrossEntropyLoss(weight=weights, label_smoothing=smoothing)
    # torch divides by the weights that are in the batch, the updater by the number of images.
    assert loss.item() == pytest.approx(
        reference(net(images), targets).item() * weights[targets].mean().item(), rel=1e-5
    )
    soft = F.one_hot(targets, 3).float()
    assert updater(net, weights).criterion(net(images), soft).item() == pytest.approx(
        nn.CrossEntropyLoss(weight=weights)(net(images), soft).item(), rel=1e-5
    )


def test_class_weights_of_a_batch_in_parts_are_those_of_the_whole() -> None:
    torch.manual_seed(0)
    whole, split = nn.Linear(6, 3), nn.Linear(6, 3)
    split.load_state_dict(whole.state_dict())
    weights, images = torch.tensor([0.1, 1.0, 5.0]), torch.randn(12, 6)
    targets = torch.tensor([0] * 4 + [1] * 4 + [2] * 4)
    updater(whole, weights)(images, targets, 0.1)
    updater(split, weights, accumulate=3)(images, targets, 0.1)
    assert torch.allclose(whole.weight, split.weight, atol=1e-6)


@given(st.lists(st.integers(0, 40), min_size=2, max_size=6).filter(any), st.integers(0, 99))
def test_over_sampling_shows_classes_equally_often_and_repeats_no_image_too_early(counts: list, seed: int) -> None:
    labels = torch.cat([torch.full((count,), number) for number, count in enumerate(counts)])
    order = class_balance.balanced_order(labels, len(counts), torch.Generator().manual_seed(seed))
    assert len(order) == len(labels)
    shown = torch.bincount(labels[order], minlength=len(counts))[torch.tensor(counts) > 0]
    assert shown.max() - shown.min() <= 1
    for number, count in enumerate(counts):
        if count:
            times = torch.bincount(order, minlength=len(labels))[labels == number]
            assert times.max() - times.min() <= 1
    again = class_balance.balanced_order(labels, len(counts), torch.Generator().manual_seed(seed))
    assert torch.equal(order, again)


def batches(**options: Any) -> TrainingBatches:
    labels = torch.tensor([0] * 30 + [1] * 6 + [2] * 4)
    samples = LabelledImages(torch.arange(40 * 4, dtype=torch.uint8).view(40, 1, 2, 2), labels)
    wanted: dict[str, Any] = {"batch_size": 8} | options
    values = Recipe(**wanted)
    return TrainingBatches(samples, InputTransform([0.0], [1.0], 2, CPU), values, seed=3, num_classes=3)


def test_a_balanced_epoch_is_as_long_and_its_batches_carry_the_right_labels() -> None:
    made = batches(sampling="balanced")
    assert made.steps_per_epoch == batches().steps_per_epoch == 5
    epoch = made.epoch(0)
    targets = torch.cat([made.batch(epoch, position)[1] for position in range(5)])
    assert torch.bincount(targets).sort().values.tolist() == [13, 13, 14]
    images = torch.cat([made.batch(epoch, position)[0] for position in range(5)])
    assert torch.equal((images[:, 0, 0, 0] * 255 / 4).round().long(), epoch.order)
    assert torch.equal(made.epoch(0).order, epoch.order)
    assert not torch.equal(made.epoch(1).order, epoch.order)


def test_every_image_is_mirrored_in_every_other_epoch() -> None:
    made = batches(augment=("flip-alternating",), batch_size=40)
    mirrored = []
    for number in range(4):
        epoch = made.epoch(number)
        mirrored.append(epoch.draws["flip"][epoch.order.argsort()])
        images, _ = made.batch(epoch, 0)
        left_is_larger = images[:, 0, 0, 0] > images[:, 0, 0, 1]
        assert torch.equal(left_is_larger, epoch.draws["flip"])
    assert torch.equal(mirrored[0], ~mirrored[1]) and torch.equal(mirrored[0], mirrored[2])
    assert torch.equal(mirrored[1], mirrored[3])
    assert 8 < mirrored[0].sum() < 32


def test_which_half_begins_mirrored_follows_from_the_seed() -> None:
    order = torch.arange(100)
    first, second = (augment.alternating_flips(order, 0, rng.generator(seed, "flip")) for seed in (1, 2))
    assert not torch.equal(first, second)


def test_the_scores_of_an_image_and_its_mirror_image_are_averaged() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
    images, targets = torch.randn(20, 1, 2, 4), torch.arange(20) % 3
    scores = (net(images) + net(torch.flip(images, (3,)))) / 2
    found = evaluate(net, [(images, targets)], 3, mirrored=True)
    assert found.loss == pytest.approx(F.cross_entropy(scores, targets).item(), rel=1e-5)
    assert found.accuracy == pytest.approx((scores.argmax(1) == targets).float().mean().item())
    assert found.loss != evaluate(net, [(images, targets)], 3).loss


def flags(**values: object) -> list[RecipeLayer]:
    return [RecipeLayer("", values)]


def test_digits_are_not_mirrored_at_the_test() -> None:
    with pytest.raises(UsageError, match=r"tta: 'flip' mirrors digits, and a mirrored 3 is no 3"):
        recipe_layers.resolve("mnist", flags(tta="flip"))
    note = RecipeLayer("note.md", {"tta": "flip", "augment": ["flip-alternating"]}, general=True)
    resolved = recipe_layers.resolve("digits", [note]).recipe
    assert (resolved.tta, resolved.augment) == ("none", ())
    insisted = recipe_layers.resolve("mnist", flags(tta="flip", augment=["flip"])).recipe
    assert (insisted.tta, insisted.augment) == ("flip", ("flip",))
    assert recipe_layers.resolve("cifar10", [note]).recipe.tta == "flip"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"class_weights": "balance"},
            r"class-weights: 'balance' is unknown; did you mean 'balanced'\?.*list of numbers",
        ),
        ({"class_weights": [1, 0]}, "class-weights: 0 must be above 0"),
        ({"class_weights": [1, "a"]}, "class-weights: 'a' must be a number"),
        ({"class_weights": 3}, "class-weights: 3 is unknown"),
        ({"sampling": "balanced", "class_weights": "balanced"}, "class-weights: 'balanced' with sampling 'balanced'"),
        ({"augment": ["flip", "flip-alternating"]}, "augment: .* flips twice"),
        ({"lr": 10**400}, "lr: 10+… \\(401 characters\\) must be finite"),
        ({"epochs": float("nan")}, "epochs: nan must be finite"),
    ],
)
def test_what_is_refused(values: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipe_layers.resolve("cifar10", flags(**values))


@pytest.mark.parametrize("values", [{"class_weights": "balanced"}, {"label_smoothing": 0.1}])
def test_what_would_have_no_effect_on_a_loss_is_refused(values: dict) -> None:
    def planned(network: str, **options: Any) -> None:
        planner.plan(asked(network, **options), lambda line: None)

    with pytest.raises(UsageError, match="has no effect on capsnet_nano, whose loss is its own"):
        planned("capsnet_nano", recipe=values)
    planned("capsnet_nano", recipe={"sampling": "balanced"})
    planned("lenet5_paper", recipe=values)


def test_class_weights_must_be_as_many_as_the_classes() -> None:
    resolved = recipe_layers.resolve("cifar10", flags(class_weights=[1, 2, 3]))
    assert resolved.recipe.class_weights == (1.0, 2.0, 3.0)
    recipe_layers.check_classes(resolved, ["a", "b", "c"])
    with pytest.raises(UsageError, match=r"class-weights: \[1.0, 2.0, 3.0\] must be 2 numbers, one for each class"):
        recipe_layers.check_classes(resolved, ["a", "b"])
