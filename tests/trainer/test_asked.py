"""What a run is asked for: the request wins over its configuration file, value by value."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.config.recipe_layers import RecipeLayer
from cnn_explorer.trainer.config.request import TrainRequest
from cnn_explorer.trainer.planning.asked import Asked, read_file

NOTE = RecipeLayer("resnet.md", {"lr": 0.1}, general=True)


def file_of(*names: str, complete: bool = False, stored: Path | None = None, **values: object) -> TrainRequest:
    """A request as ``e.toml`` or a run.json asks for it."""
    return dataclasses.replace(TrainRequest.of(*names, **values), origin="e.toml", complete=complete, stored=stored)


def test_the_request_wins_and_the_file_fills_in_value_by_value() -> None:
    file = file_of("vgg11", dataset="mnist", seed=3, stem="small", image_size=40, validation=0.2, keep=2, minutes=7.0)
    asked = Asked(TrainRequest.of("lenet5", seed=0, validation=0, keep=5), file)
    assert (asked.network, asked.seed, asked.images.held_out) == ("lenet5", 0, 0)
    assert (asked.images.dataset, asked.stem, asked.image_size) == ("mnist", "small", 40)
    assert (asked.checkpoints.keep, asked.checkpoints.minutes) == (5, 7.0)


def test_where_nobody_asks_there_are_defaults() -> None:
    asked = Asked(TrainRequest.of("lenet5"), TrainRequest())
    assert (asked.images.dataset, asked.seed, asked.stem, asked.image_size, asked.images.held_out) == (
        "digits",
        0,
        "auto",
        None,
        None,
    )
    with pytest.raises(UsageError, match="give the name of a network"):
        _ = Asked(TrainRequest(), TrainRequest()).network


def test_the_image_size_of_a_run_is_not_repeated_on_other_images() -> None:
    for complete, dataset, size in (
        (True, "mnist", None),
        (True, "digits", 40),
        (True, None, 40),
        (False, "mnist", 40),
    ):
        file = file_of("lenet5", dataset="digits", image_size=40, complete=complete)
        assert Asked(TrainRequest.of(dataset=dataset), file).image_size == size


def test_a_stored_network_is_taken_for_the_network_of_its_run_alone(tmp_path: Path) -> None:
    file = file_of("nets:Small", complete=True, stored=tmp_path)
    assert Asked(TrainRequest(), file).stored == tmp_path
    assert Asked(TrainRequest.of("nets:Other"), file).stored is None


def test_weights_are_those_of_the_request_unless_it_names_none(tmp_path: Path) -> None:
    file = tmp_path / "e.toml"
    file.write_text('init_from = "a.pt"\n[recipe]\nfreeze = "backbone"\nlr = 0.5\n')
    for values, kind, recipe in (
        ({}, "file", {"freeze": "backbone", "lr": 0.5}),
        ({"grow_from": "b.pt"}, "grown", {"freeze": "backbone", "lr": 0.5}),
        ({"pretrained": False}, "", {"lr": 0.5}),
    ):
        request = TrainRequest.of("vgg13", config=file, **values)
        asked = Asked(request, read_file(request, lambda line: None))
        assert asked.weights.kind == kind
        assert asked.recipe_layers(NOTE, None)[-2] == RecipeLayer("e.toml", recipe)


def test_a_whole_recipe_takes_the_place_of_the_note_and_allows_no_other_recipe() -> None:
    fine_tuning = RecipeLayer("fine-tuning", {"epochs": 10}, general=True)
    hand, run = file_of(lr=0.2), file_of(lr=0.2, complete=True)
    flags = TrainRequest.of("resnet18", lr=0.3)
    last = [RecipeLayer("e.toml", {"lr": 0.2}), RecipeLayer("", {"lr": 0.3})]
    assert Asked(flags, hand).recipe_layers(NOTE, fine_tuning) == [NOTE, fine_tuning, *last]
    assert Asked(flags, run).recipe_layers(NOTE, fine_tuning) == [fine_tuning, *last]
    preset = TrainRequest.of("resnet18", preset="speedrun")
    assert [layer.origin for layer in Asked(preset, hand).recipe_layers(NOTE, None)] == [
        "resnet.md",
        "recipe speedrun",
        "e.toml",
        "",
    ]
    with pytest.raises(UsageError, match=r"recipe: 'speedrun' and e\.toml, which holds a whole recipe, contradict"):
        Asked(preset, run).recipe_layers(NOTE, None)


def test_an_unusual_value_is_told_once_for_request_and_file_and_never_for_a_run_that_is_repeated() -> None:
    file = file_of("lenet5", lr=1e8, weight_decay=1e9)
    lines = Asked(TrainRequest.of(lr=1e9, epochs=3), file).unusual()
    assert lines == [
        "lr 1e+09 is unusual; people train with 1e-06 to 10",
        "weight-decay 1e+09 is unusual; people train with at most 1",
    ]
    assert Asked(TrainRequest.of(lr=0.1), file_of("lenet5", lr=1e8)).unusual() == []
    assert Asked(TrainRequest(), dataclasses.replace(file, complete=True)).unusual() == []
