"""Recipes: what overrides what, what is refused and how, and that every note's recipe can be used."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from cnn_explorer.errors import UsageError
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.batches import augment
from cnn_explorer.trainer.config import config_file, recipe, recipe_layers
from cnn_explorer.trainer.config.recipe import Recipe
from cnn_explorer.trainer.config.recipe_layers import RecipeLayer, Resolved
from cnn_explorer.trainer.data import dataset_info

DATASETS = [*dataset_info.names(), "folder:/images"]


def flags(**values: object) -> RecipeLayer:
    return RecipeLayer("", values)


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_note_has_a_recipe_that_can_be_used(dataset: str) -> None:
    for variant in registry.variants().values():
        layers = [RecipeLayer(f"{variant.family}.md", variant.recipe, general=True)]
        resolved = recipe_layers.resolve(dataset, layers)
        assert recipe.from_dict(resolved.recipe.to_dict()) == resolved.recipe
        if dataset in ("digits", "mnist"):
            assert "flip" not in resolved.recipe.augment, f"{variant.name} would be shown mirrored digits"


def test_later_layers_win() -> None:
    note = RecipeLayer("note.md", {"lr": 0.2, "epochs": 7, "batch_size": 32}, general=True)
    file = RecipeLayer("mine.toml", {"epochs": 8, "batch_size": 16})
    resolved = recipe_layers.resolve("cifar10", [note, file, flags(batch_size=8)])
    assert (resolved.recipe.lr, resolved.recipe.epochs, resolved.recipe.batch_size) == (0.2, 8, 8)
    assert resolved.recipe.augment == ("crop", "flip")
    assert [resolved.origins[key] for key in ("lr", "epochs", "batch_size", "augment")] == [
        "note.md",
        "mine.toml",
        "",
        "default",
    ]
    assert resolved.asked == {"epochs", "batch_size"}


def test_a_note_may_have_a_table_for_one_data_set() -> None:
    note = RecipeLayer("note.md", {"epochs": 5, "mnist": {"epochs": 3}, "folder": {"lr": 0.5}}, general=True)
    assert recipe_layers.resolve("mnist", [note]).recipe.epochs == 3
    assert recipe_layers.resolve("digits", [note]).recipe.epochs == 5
    assert recipe_layers.resolve("folder:/cats", [note]).recipe.lr == 0.5
    with pytest.raises(UsageError, match=r"'minst' is not a data set.*mnist"):
        recipe_layers.resolve("mnist", [RecipeLayer("note.md", {"minst": {"epochs": 3}})])


def test_another_optimiser_brings_its_own_rate_and_decay() -> None:
    note = RecipeLayer("note.md", {"lr": 0.1, "weight_decay": 5e-4}, general=True)
    adam = recipe_layers.resolve("cifar10", [note, flags(optimizer="adam")]).recipe
    assert (adam.lr, adam.weight_decay) == (1e-3, 0.0)
    assert recipe_layers.resolve("cifar10", [note, flags(optimizer="adam", lr=0.01)]).recipe.lr == 0.01
    assert recipe_layers.resolve("cifar10", [note, flags(optimizer="sgd")]).recipe.lr == 0.1


def test_the_warm_up_of_a_note_is_cut_for_a_short_run() -> None:
    note = RecipeLayer("note.md", {"warmup": 5}, general=True)
    assert recipe_layers.resolve("cifar10", [note]).recipe.warmup == 5
    assert recipe_layers.resolve("cifar10", [note, flags(epochs=2)]).recipe.warmup == pytest.approx(0.6)
    assert recipe_layers.resolve("cifar10", [note, flags(epochs=2, warmup=1)]).recipe.warmup == 1


def test_digits_are_flipped_only_if_somebody_insists() -> None:
    note = RecipeLayer("note.md", {"augment": ["crop", "flip"]}, general=True)
    assert recipe_layers.resolve("mnist", [note]).recipe.augment == ("crop",)
    assert recipe_layers.resolve("mnist", [flags(augment=["crop", "flip"])]).recipe.augment == ("crop", "flip")
    assert recipe_layers.resolve("fashion-mnist", [note]).recipe.augment == ("crop", "flip")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rate": 0.1}, "recipe: 'learning_rate' is not a value of a recipe"),
        ({"optimiser": "sgd"}, "did you mean 'optimizer'"),
        ({"lr": 0}, "lr: 0 must be above 0"),
        ({"lr": -0.1}, "lr: -0.1 must be above 0"),
        ({"lr": float("nan")}, "lr: nan must be finite"),
        ({"lr": "fast"}, "lr: 'fast' must be a number"),
        ({"lr": True}, "lr: True must be a number"),
        ({"epochs": 0}, "epochs: 0 must be at least 1"),
        ({"epochs": 2.5}, "epochs: 2.5 must be a whole number"),
        ({"batch_size": 0}, "batch-size: 0 must be a number of images, at least 1"),
        ({"momentum": 1}, "momentum: 1 must be at least 0 and below 1"),
        ({"nesterov": 1}, "nesterov: 1 must be true or false"),
        ({"betas": [0.9]}, "betas: .* must be a list of 2 numbers"),
        ({"betas": 0.9}, "betas: 0.9 must be a list"),
        ({"schedule": "cosin"}, "schedule: 'cosin' is unknown; did you mean 'cosine'"),
        ({"augment": ["flip", "crp"]}, "augment: 'crp' is unknown; did you mean 'crop'"),
        ({"augment": ["crop", "translate"]}, "shifts twice"),
        ({"augment": ["flip", "flip"]}, "names an augmentation twice"),
        ({"warmup": 5, "epochs": 5}, "warmup: 5.0 must be shorter than the run of 5 epochs"),
        ({"accumulate": 9, "batch_size": 8}, "accumulate: 9 is more parts than a batch of 8 images has"),
    ],
)
def test_what_is_refused(values: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipe_layers.resolve("cifar10", [flags(**values)])


def test_what_changes_nothing_is_told_where_somebody_asked_for_it() -> None:
    asked = flags(optimizer="adam", momentum=0.5, lr=0.1, gamma=0.2, schedule="cosine", rho=0.1, cutout_size=3)
    assert recipe_layers.remarks(recipe_layers.resolve("digits", [asked])) == [
        "momentum has no effect with optimizer adam; it works with sgd, rmsprop or muon",
        "rho has no effect with sam none; it works with sam or asam",
        "gamma has no effect with schedule cosine; it works with step",
        "cutout-size has no effect with augment translate; it works with cutout",
    ]
    used = flags(optimizer="muon", adamw_lr=0.1, momentum=0.5, betas=[0.9, 0.9], sam="sam", rho=0.1, augment=["crop"])
    note = RecipeLayer("note.md", {"milestones": [0.1], "eps": 0.1}, general=True)
    assert recipe_layers.remarks(recipe_layers.resolve("digits", [note, used, flags(crop_padding=2)])) == []
    in_a_file = recipe_layers.resolve("digits", [RecipeLayer("mine.toml", {"rho": 0.2})])
    assert recipe_layers.remarks(in_a_file) == ["rho has no effect with sam none; it works with sam or asam"]
    whole = RecipeLayer("run.json", recipe.Recipe().to_dict())
    assert recipe_layers.remarks(recipe_layers.resolve("digits", [whole, flags(rho=0.2)]), flags_only=True) == [
        "rho has no effect with sam none; it works with sam or asam"
    ]


def test_a_length_of_an_augmentation_as_large_as_the_images_is_told() -> None:
    every = Recipe(augment=("crop", "translate", "cutout"), crop_padding=28, translate_pixels=28, cutout_size=28)
    assert recipe_layers.too_large(every, 28) == [
        "crop-padding 28 shows some images from beyond their mirrored border: the images have 28 pixels a side",
        "translate-pixels 28 shifts some images out of sight: the images have 28 pixels a side",
        "cutout-size 28 blanks some images wholly: the images have 28 pixels a side",
    ]
    assert recipe_layers.too_large(every, 29) == []
    assert recipe_layers.too_large(dataclasses.replace(every, augment=()), 28) == []
    [line] = recipe_layers.too_large(Recipe(augment=("cutout",), cutout_size=56), 28)
    assert line.startswith("cutout-size 56 blanks every image")
    images = torch.ones(200, 1, 28, 28)
    whole, middle = torch.arange(200) % 28, torch.full((200,), 14)
    assert augment.cut_out(images, whole, whole.flip(0), 56).sum() == 0
    assert augment.cut_out(images, middle, middle, 28).sum() == 0 < augment.cut_out(images, middle, middle, 27).sum()


def test_an_error_names_the_file_it_comes_from() -> None:
    with pytest.raises(UsageError, match=r"^mine.toml: batch_size: 0 must be a number of images, at least 1"):
        recipe_layers.resolve("cifar10", [RecipeLayer("mine.toml", {"batch_size": 0})])


def fitted(images: int, **asked: object) -> tuple[Recipe, str]:
    return recipe_layers.fit_to(recipe_layers.resolve("cifar10", [flags(**asked)]), images)


def test_batches_shrink_for_small_sets_where_nobody_asked_for_a_size() -> None:
    whole, remark = fitted(45_000)
    assert (whole.batch_size, whole.lr, remark) == (128, 0.05, "")
    small, remark = fitted(1280)
    assert (small.batch_size, small.lr) == (64, 0.025)
    assert "64" in remark and "0.025" in remark
    assert fitted(1280, lr=0.05)[0].lr == 0.05
    assert fitted(40)[0].batch_size == 16
    assert fitted(3)[0].batch_size == 1


def test_both_rates_of_muon_go_with_the_batch() -> None:
    whole, small = (fitted(images, optimizer="muon")[0] for images in (45_000, 640))
    assert (whole.lr, whole.adamw_lr) == (0.02, 0.001)
    assert (small.lr, small.adamw_lr) == (0.01, 0.0005)
    assert fitted(640, optimizer="muon", adamw_lr=0.001)[0].adamw_lr == 0.001
    assert fitted(640)[0].adamw_lr == fitted(45_000)[0].adamw_lr


def test_what_belongs_to_an_optimiser_goes_with_it() -> None:
    note = RecipeLayer("note.md", {"optimizer": "rmsprop", "momentum": 0.5, "eps": 1e-3}, general=True)
    sgd = recipe_layers.resolve("cifar10", [note, flags(optimizer="sgd")]).recipe
    assert (sgd.momentum, sgd.nesterov) == (0.9, True)
    resolved = recipe_layers.resolve("cifar10", [note, flags(optimizer="adam", eps=1e-4)])
    assert [resolved.origins[key] for key in ("optimizer", "eps", "betas")] == ["", "", "usual with adam"]
    adam = resolved.recipe
    assert (adam.eps, adam.betas) == (1e-4, (0.9, 0.999))
    for kind, rho in (("sam", 0.05), ("asam", 0.5)):
        assert recipe_layers.resolve("cifar10", [flags(sam=kind)]).recipe.rho == rho
        assert recipe_layers.resolve("cifar10", [flags(sam=kind, rho=0.2)]).recipe.rho == 0.2


def test_every_value_can_be_set_in_a_note_and_in_a_file(tmp_path: Path) -> None:
    other = {
        "optimizer": "muon",
        "sam": "asam",
        "schedule": "linear",
        "class_weights": [1, 2, 3],
        "sampling": "balanced",
        "tta": "flip",
        "augment": ["flip-alternating"],
        "adamw_lr": 0.5,
        "rho": 0.25,
    }
    note = recipe_layers.resolve("cifar10", [RecipeLayer("note.md", {"cifar10": other}, general=True)]).recipe
    path = tmp_path / "mine.toml"
    path.write_text("[recipe]\n" + "".join(f"{key} = {value!r}\n" for key, value in other.items()))
    file = recipe_layers.resolve("cifar10", [RecipeLayer("mine.toml", config_file.read(path).recipe.values)]).recipe
    for found in (note, file):
        assert {key: recipe.renamed(found.to_dict())[key] for key in other} == other
        assert recipe.from_dict(found.to_dict()) == found


def test_a_batch_larger_than_the_training_part_is_an_error_where_it_was_asked_for() -> None:
    assert fitted(100, batch_size=100)[0].batch_size == 100
    with pytest.raises(UsageError, match=r"batch-size: 101 is more .* the largest that works is 100"):
        fitted(100, batch_size=101)
    with pytest.raises(UsageError, match="no images"):
        recipe_layers.fit_to(Resolved(Recipe(), {}), 0)


def test_a_configuration_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('network = "resnet20"\ndataset = "mnist"\nseed = 4\n[recipe]\nlr = 1\n[engine]\nthreads = 2\n')
    request = config_file.read(path)
    assert (request.networks, request.data.dataset, request.run.seed) == (("resnet20",), "mnist", 4)
    assert (request.recipe.values, request.engine.values, request.complete) == ({"lr": 1}, {"threads": 2}, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = 1", "'lr' belongs into the table"),
        ("netwrk = 'a'", "did you mean 'network'"),
        ("network = 3", "network: 3 must be a text"),
        ("seed = 'x'", "seed: 'x' must be a whole number"),
        ("recipe = 3", "recipe: 3 must be a table"),
        ("[engine]\ndevise = 'cpu'", "did you mean 'device'"),
        ("[engine]\ncalibration = 1", "'calibration' cannot be chosen; choose one of channels_last, compile"),
        ("[engine]\nthreads = 0", "engine: threads: 0 must be at least 1 and at most 4,096"),
        ("seed = ", "is not TOML"),
        ("{", "is not JSON"),
        ("{}", "is not a run.json"),
        ('{"recipe": 3}', "recipe: 3 must be a table"),
    ],
)
def test_a_configuration_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        config_file.read(path)


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        config_file.read(tmp_path / "mine.toml")


def test_the_earlier_name_of_a_field_is_read_for_ever(tmp_path: Path) -> None:
    """As a key of a note, of a file by hand and of run.json, and run.json goes on to have the name that 0.1.0 wrote."""
    note = RecipeLayer("note.md", {"optimizer": "muon", "rest_lr": 0.5, "cifar10": {"rest_lr": 0.25}}, general=True)
    assert recipe_layers.resolve("cifar10", [note]).recipe.adamw_lr == 0.25
    assert recipe_layers.resolve("mnist", [note]).recipe.adamw_lr == 0.5
    by_hand, said = tmp_path / "mine.toml", []
    by_hand.write_text("[recipe]\nrest_lr = 0.5\n")
    assert config_file.read(by_hand, said.append).recipe.values == {"adamw_lr": 0.5}
    assert said == ["mine.toml: rest_lr is now called adamw_lr"]
    written = Recipe(adamw_lr=0.5).to_dict()
    assert written["rest_lr"] == 0.5 and "adamw_lr" not in written
    assert recipe.from_dict(written) == recipe.from_dict(recipe.renamed(written)) == Recipe(adamw_lr=0.5)
    assert list(recipe.renamed(written)) == list(recipe.FIELDS)
    assert (
        recipe.renamed({"adamw_lr": 1, "rest_lr": 2})
        == recipe.renamed({"rest_lr": 2, "adamw_lr": 1})
        == {"adamw_lr": 1}
    )
    run = tmp_path / "run.json"
    run.write_text(json.dumps({"recipe": written, "network": {"name": "lenet5"}, "data": {"name": "digits"}}))
    assert config_file.read(run).recipe.values["adamw_lr"] == 0.5
