"""The learning-rate range test: what it infers from losses, and the command that runs it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.config import presets, recipe, recipe_layers
from cnn_explorer.trainer.config.request import place_of
from cnn_explorer.trainer.data import dataset_info
from cnn_explorer.trainer.loop.session import build_session
from cnn_explorer.trainer.loop.trainer import Session
from cnn_explorer.trainer.planning import lr_finder, planner
from hypothesis import given
from hypothesis import strategies as st
from support.training import asked, call

RATES = [10 ** (-6 + 7 * number / 119) for number in range(120)]


def losses(bottom: float) -> list[float]:
    """2.3 far below 1e-3, falling around it, lowest at 10^bottom, then rising."""
    powers = [math.log10(rate) for rate in RATES]
    return [2.3 - 1.5 / (1 + math.exp(-4 * (x + 3))) + max(0.0, x - bottom) ** 2 for x in powers]


def test_the_suggestion_is_a_tenth_of_the_rate_of_the_smallest_loss() -> None:
    found = lr_finder.find_range(RATES, losses(-1), blew_up=True)
    assert found.lowest is not None and 0.05 < found.lowest < 0.2
    assert found.suggested == pytest.approx(found.lowest / 10, rel=0.05)
    assert found.steepest == pytest.approx(1e-3, rel=0.3)
    assert "a tenth of" in found.verdict


def test_noise_of_one_rate_does_not_decide() -> None:
    values = losses(-1)
    values[20] = 0.1
    lowest = lr_finder.find_range(RATES, values, blew_up=True).lowest
    assert lowest is not None and 0.05 < lowest < 0.2


def test_losses_are_smoothed_over_as_many_neighbours_on_either_side() -> None:
    found = lr_finder.find_range(RATES[:5], [1.0, 2.0, 6.0, 4.0, 0.0], blew_up=False)
    assert lr_finder.NEIGHBOURS >= 2
    assert found.smoothed == pytest.approx([1.0, 3.0, 13 / 5, 10 / 3, 0.0])


@pytest.mark.parametrize("values", [[], [2.3], [2.3] * 120, [2.3 + rate for rate in RATES], [2.3, 2.2]])
def test_nothing_is_suggested_where_the_loss_does_not_fall(values: list[float]) -> None:
    found = lr_finder.find_range(RATES[: len(values)], values, blew_up=False)
    assert found.suggested is None and "none is suggested" in found.verdict


@given(st.lists(st.floats(0, 1e6), max_size=120))
def test_whatever_the_losses_the_rates_named_are_among_those_tried(values: list[float]) -> None:
    found = lr_finder.find_range(RATES[: len(values)], values, blew_up=False)
    assert len(found.smoothed) == len(values)
    if found.suggested is not None:
        assert found.steepest is not None and found.lowest is not None
        assert found.steepest <= found.lowest <= RATES[len(values) - 1]


def test_updates_are_made_in_training_mode(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, modes = planner.plan(asked(), print), []

    def left_in_eval_mode(*values: Any) -> Session:
        session = build_session(*values)
        session.network.eval().register_forward_hook(lambda network, *_: modes.append(network.training))
        return session

    monkeypatch.setattr(lr_finder, "build_session", left_in_eval_mode)
    monkeypatch.setattr(lr_finder, "STEPS", 2)
    lr_finder.range_test(made.config, made.data)
    assert modes == [True, True]


def test_the_command_draws_the_losses_and_makes_no_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert call(monkeypatch, "train", "tiny", "--find-lr", "--threads", "1") == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == "tiny on digits, sgd, batches of 64"
    assert lines[-1].startswith("suggested learning rate 0.") and "the run would take 0.05" in lines[-1]
    assert lines[1].startswith("loss over the learning rate  ★ suggested 0.")
    assert "1e-6" in lines[-2] and "0.01" in lines[-2] and max(map(len, lines[1:-1])) <= 80
    assert "\x1b" not in out
    assert not (home / "runs").exists()


def test_the_command_gives_json(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "train", "tiny", "--find-lr", "--json", "--sam", "sam", "--threads", "1") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["network"], found["dataset"], found["batch_size"]) == (1, "tiny", "digits", 64)
    assert len(found["rates"]) == len(found["losses"]) == len(found["smoothed"])
    assert found["rates"] == sorted(found["rates"]) and found["rates"][0] == pytest.approx(1e-6)
    assert 1e-3 < found["suggested"] < 1
    assert found["losses"][0] == pytest.approx(math.log(10), rel=0.3)


def test_it_goes_with_nothing_that_trains(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "train", "tiny", "--find-lr", "--detach") == 2
    assert "goes neither with --plan nor with --detach" in capsys.readouterr().err


@pytest.mark.parametrize("name", presets.PRESETS)
def test_named_recipes_can_be_used_on_all_data_and_over_any_note(name: str) -> None:
    note = recipe_layers.RecipeLayer(
        "note.md", {"optimizer": "adamw", "lr": 1e-3, "warmup": 5, "augment": ["crop"]}, general=True
    )
    for dataset in (*dataset_info.names(), "folder:/images"):
        found = recipe_layers.resolve(dataset, [note, presets.layer(name)]).recipe
        assert found.optimizer == "sgd" and found.lr == presets.PRESETS[name].values["lr"]
        mirrored = set(recipe.FLIPS) & set(found.augment)
        assert bool(mirrored) == (dataset not in recipe_layers.MIRRORED_MEANS_SOMETHING_ELSE)
    assert name in place_of("preset")[1].takes


def test_the_speedrun_gives_way_to_flags_and_to_small_data(home: Path) -> None:
    said: list[str] = []
    found = planner.plan(asked(preset="speedrun", epochs=2), said.append)
    plan = found.config.recipe
    assert (plan.schedule, plan.label_smoothing, plan.ema, plan.epochs) == ("linear", 0.2, 0.99, 2)
    assert (plan.augment, plan.tta) == (("crop", "cutout"), "none")
    assert plan.batch_size < 512 and plan.warmup == pytest.approx(0.6)
    assert found.origins["label_smoothing"] == "recipe speedrun"


def test_a_recipe_that_does_not_exist_or_contradicts_a_whole_one(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"recipe: 'sprint' is not the name of a recipe; .*speedrun"):
        presets.layer("sprint")
    whole = tmp_path / "run.json"
    whole.write_text('{"network": {"name": "tiny"}, "data": {"name": "digits"}, "recipe": {}, "engine": {}, "seed": 0}')
    with pytest.raises(UsageError, match=r"recipe: 'speedrun' and run.json, which holds a whole recipe, contradict"):
        planner.plan(asked(None, config=whole, preset="speedrun"), print)
