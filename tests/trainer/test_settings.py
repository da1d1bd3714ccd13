"""The definitions of the settings: what follows from them for the command line, the form, files and the docs."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.cli import train_options
from cnn_explorer.cli.train_command import TrainCommand
from cnn_explorer.cli.train_options import options_of, request_of
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.common.value_checks import LARGEST, Rule
from cnn_explorer.trainer.config import config_file, recipe
from cnn_explorer.trainer.config.checkpoint_policy import CheckpointPolicy
from cnn_explorer.trainer.config.engine_config import Engine
from cnn_explorer.trainer.config.recipe import Recipe
from cnn_explorer.trainer.config.request import TrainRequest, all_settings, of_groups
from cnn_explorer.trainer.config.setting import GROUPS, RECIPE, Needs, Setting, setting, settings_of, without_effect
from cnn_explorer.tui.launch import form as form_module
from hypothesis import given, settings
from hypothesis import strategies as st
from support.training import request_of_words

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = [defined for _, defined in all_settings().values()]


def table_script() -> Any:
    path = ROOT / "scripts" / "settings_table.py"
    spec = importlib.util.spec_from_file_location("settings_table", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_page_on_training_are_up_to_date() -> None:
    script = table_script()
    text = script.PAGE.read_text(encoding="utf-8")
    assert script.filled(text) == text, "python scripts/settings_table.py"
    for defined in SETTINGS:
        assert f"| `--{defined.name}`" in text, defined.key


@pytest.mark.parametrize("defined", SETTINGS, ids=lambda defined: defined.key)
def test_a_definition_is_whole(defined: Setting) -> None:
    assert re.fullmatch(r"[A-Z].{10,}[.]", defined.help), "a complete sentence"
    assert defined.group in GROUPS
    assert not defined.page or (ROOT / "docs" / "concepts" / f"{defined.page}.md").is_file()
    if defined.needs is not None:
        other = settings_of(Recipe)[defined.needs.key]
        assert set(defined.needs.values) < set(other.rule.choices)


def test_each_setting_has_an_option_of_its_group() -> None:
    options = {option.name: option for option in TrainCommand("train").params}
    names = [name for option in options.values() for name in (*option.opts, *option.secondary_opts)]
    assert len(names) == len(set(names))
    for key, (_, defined) in all_settings().items():
        assert options[key].opts == [f"--{defined.name}"]
        assert options[key].rich_help_panel == defined.group


def values_of(defined: Setting) -> st.SearchStrategy:
    """Values that the setting takes."""
    rule = defined.rule
    low, high = max(rule.low, rule.above), min(rule.high, rule.below)
    number = st.floats(
        max(low, -LARGEST),
        min(high, LARGEST),
        exclude_min=rule.above > -1e300,
        exclude_max=rule.below < 1e300,
        allow_nan=False,
        allow_infinity=False,
    )
    if defined.kind is bool:
        return st.just(True) if defined.is_action else st.booleans()
    if rule.choices and defined.is_list:
        return st.lists(st.sampled_from(rule.choices)).map(tuple)
    if rule.choices:
        numbers = st.lists(number, min_size=1).map(tuple)
        return st.sampled_from(rule.choices) | (numbers if rule.or_numbers else st.nothing())
    if defined.is_list:
        return st.lists(number, min_size=rule.length or 0, max_size=rule.length).map(tuple)
    if defined.kind is int:
        return st.integers(int(low), int(min(high, 2**63)) - 1)
    if defined.kind is float:
        return number
    text = st.text("abcxyz019._/", min_size=1)
    return text.map(Path) if defined.kind is Path else text


SOME = st.fixed_dictionaries({}, optional={defined.key: values_of(defined) for defined in SETTINGS})


@settings(deadline=None)
@given(st.lists(st.sampled_from(["lenet5", "vgg11"])), SOME)
def test_a_request_survives_its_words(networks: list[str], values: dict[str, Any]) -> None:
    """What `to_argv` writes, the command reads as the same request, value for value."""
    if len({key for key in ("pretrained", "init_from", "grow_from", "weights") if values.get(key)}) > 1:
        for key in ("init_from", "grow_from", "weights"):
            values.pop(key, None)
    request = TrainRequest.of(*networks, **values)
    assert {defined.key: value for defined, value in request.values()} == values
    assert request_of_words(request.to_argv()[1:]) == request


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("lr", 1e9, "1e+09 is unusual; people train with 1e-06 to 10"),
        ("lr", 1e-9, "1e-09 is unusual; people train with 1e-06 to 10"),
        ("lr", 0.1, ""),
        ("weight_decay", 1e9, "1e+09 is unusual; people train with at most 1"),
        ("weight_decay", 0.0, ""),
        ("clip_norm", 0.0, ""),
        ("class_weights", (1.0, 5000.0), "5,000 is unusual; people train with 0.001 to 1,000"),
        ("class_weights", "balanced", ""),
        ("image_size", 30_000, "30,000 is unusual; people train with at most 1,024"),
        ("minutes", 5.0, ""),
        ("minutes", 1e-30, "1e-30 is unusual; people train with 0.01 to 1,440"),
        ("momentum", 0.9999999, "0.9999999 is unusual; people train with at most 0.999"),
        ("betas", (0.9, 0.999), ""),
        ("layer_decay", 1e-30, "1e-30 is unusual; people train with 0.1 to 1"),
    ],
)
def test_a_value_with_which_nobody_trains_is_remarked_on(key: str, value: Any, words: str) -> None:
    assert all_settings()[key][1].unusual(value) == words


FRACTIONS = [defined for defined in SETTINGS if 1 in (defined.rule.high, defined.rule.below)]


@pytest.mark.parametrize("defined", FRACTIONS, ids=lambda defined: defined.key)
def test_a_part_of_a_whole_is_remarked_on_next_to_0_or_next_to_1(defined: Setting) -> None:
    """The bounds 0 and 1 alone let 1e-30 and 0.9999999 through, with which nothing is learned."""
    told = [defined.unusual((value,) * 2 if defined.rule.length else value) for value in (1e-30, 0.9999999)]
    assert any(told) or defined.key == "milestones"


@pytest.mark.parametrize("defined", SETTINGS, ids=lambda defined: defined.key)
def test_no_default_is_unusual(defined: Setting) -> None:
    kind = next(
        kind
        for kind in (Recipe, Engine, CheckpointPolicy)
        if defined.key in settings_of(kind) or kind is CheckpointPolicy
    )
    assert defined.unusual(getattr(kind, defined.key, None)) == ""


def test_numbers_beyond_single_precision_are_refused() -> None:
    for key in ("lr", "weight_decay", "eps", "class_weights"):
        value = (1e300,) if key == "class_weights" else 1e300
        with pytest.raises(UsageError, match="must be at most 1e\\+30"):
            all_settings()[key][1].check(value)


def test_a_request_for_nothing_asks_for_nothing() -> None:
    assert request_of_words([]) == TrainRequest() == TrainRequest.of(lr=None)
    assert TrainRequest().to_argv() == ["train"]


def test_a_key_that_is_no_setting_is_named() -> None:
    with pytest.raises(UsageError, match="setting: 'epoch' is not a setting of a training; did you mean 'epochs'"):
        TrainRequest.of("lenet5", epoch=3)


def test_short_ways_to_write_a_recipe() -> None:
    assert request_of_words(["--set", "gamma=0.2", "--set", "augment=['crop']"]).recipe.values == {
        "gamma": 0.2,
        "augment": ("crop",),
    }
    assert request_of_words(["--no-augment"]) == request_of_words(["--augment", "none"]) == TrainRequest.of(augment=[])
    assert request_of_words(["--class-weights", "none"]).recipe.values == {"class_weights": "none"}
    for empty in ("1,,2", "1,2,", ",1"):
        with pytest.raises(UsageError, match="class-weights: '' must be a number"):
            request_of_words(["--class-weights", empty])
    with pytest.raises(UsageError, match="augment: '' is unknown"):
        request_of_words(["--augment", "crop,,flip"])
    assert request_of_words(["--class-weights", "1,2.5,1"]).recipe.values == {"class_weights": (1.0, 2.5, 1.0)}
    assert request_of_words(["--lr", "0.1", "--set", "lr=0.3"]).recipe.values == {"lr": 0.3}


@dataclass(frozen=True)
class Toy:
    kind: str = setting("a", "Kind of the thing that is measured.", RECIPE, Rule(choices=("a", "b")))
    size: int = setting(
        3, "Size of the thing that is measured.", RECIPE, needs=Needs("kind", ("b",)), aliases=("width",)
    )
    wide: bool = setting(True, "Whether the thing is a wide one.", RECIPE, aliases=("broad",))


TOY = settings_of(Toy)


def toy_request(monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, object]:
    """What the command makes of words where its settings are those of Toy."""
    monkeypatch.setattr(
        "cnn_explorer.trainer.config.request.all_settings", lambda: {key: ("", TOY[key]) for key in TOY}
    )
    taken: dict[str, object] = {}
    monkeypatch.setattr(TrainRequest, "of", lambda *networks, **values: taken.update(values))
    command = train_options.GroupedCommand("toy", params=options_of({}, TOY.values()))
    request_of(command.make_context("toy", list(words)).params)
    return taken


def test_an_earlier_name_of_an_option_works_and_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert toy_request(monkeypatch, "--width", "7", "--no-broad") == {"size": 7, "wide": False}
    assert capsys.readouterr().err == "--width is now called --size\n--broad is now called --wide\n"


def test_an_earlier_name_brings_no_default_and_loses_against_the_new_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert toy_request(monkeypatch, "--size", "5") == {"size": 5}
    assert capsys.readouterr().err == ""
    assert toy_request(monkeypatch, "--width", "7", "--size", "5") == {"size": 5}


def test_an_earlier_key_of_the_recipe_can_still_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    """0.1.0 had no option for it: `--set` was the one way on the command line."""
    assert request_of_words(["lenet5", "--set", "rest_lr=0.25"]) == TrainRequest.of("lenet5", adamw_lr=0.25)
    assert "rest_lr is now called adamw_lr" in capsys.readouterr().err


def test_earlier_names_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    command = train_options.GroupedCommand("toy", params=options_of({}, TOY.values()), rich_markup_mode=None)
    shown = command.get_help(command.make_context("toy", []))
    assert "--size" in shown and "--width" not in shown and "--broad" not in shown


def test_what_has_no_effect_follows_from_the_definition() -> None:
    assert without_effect(Toy()) == {"size": "size has no effect with kind a; it works with b"}
    assert without_effect(Toy("b")) == {}


def test_what_a_setting_takes_in_words() -> None:
    takes = {key: defined.takes for key, (_, defined) in all_settings().items()}
    assert takes["optimizer"].startswith("sgd, adam, ")
    assert takes["betas"] == "2 numbers, each at least 0 and below 1"
    assert takes["image_size"] == "pixels, at least 1 and at most 65,536"
    assert takes["seed"] == "at least 0 and below 2^63"
    assert takes["class_weights"] == "none, balanced, or a number per class"


def test_every_setting_of_the_form_has_a_row_with_a_hint(tmp_path: Path) -> None:
    form = form_module.LaunchForm(form_module.LaunchRequest(("lenet5",)))
    rows = form_module.settings(form, form_module.fill(form, tmp_path), everything=True)
    expected = {defined.key for defined in of_groups(GROUPS) if defined.in_form}
    assert {row.key for row in rows} == expected | {"networks"}
    for row in rows[1:]:
        assert row.hint.startswith(all_settings()[row.key][1].help.rstrip("."))


def test_a_file_makes_the_same_request_as_the_command(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'network = "lenet5"\ndataset = "mnist"\nseed = 3\nstem = "small"\nimage_size = 32\nvalidation = 0.2\n'
        'init_from = "last"\n[recipe]\nlr = 0.5\n[engine]\nthreads = 2\n[checkpoints]\nminutes = 1.5\n'
    )
    words = ["lenet5", "--dataset", "mnist", "--seed", "3", "--stem", "small", "--image-size", "32", "--lr", "0.5"]
    words += ["--validation", "0.2", "--init-from", "last", "--threads", "2", "--checkpoint-minutes", "1.5"]
    assert dataclasses.replace(config_file.read(path), origin="") == request_of_words(words)


def test_an_earlier_key_of_a_file_works_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = dataclasses.replace(recipe.SETTINGS["warmup"], aliases=("warm-up",))
    monkeypatch.setitem(recipe.SETTINGS, "warmup", renamed)
    path = tmp_path / "mine.toml"
    for text, value in (("warm_up = 2\n", 2), ("warm_up = 2\nwarmup = 3\n", 3)):
        said: list[str] = []
        path.write_text(f"[recipe]\n{text}")
        assert config_file.read(path, said.append).recipe.values == {"warmup": value}
        assert said == ["mine.toml: warm_up is now called warmup"]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 10**400])
def test_what_is_not_finite_is_refused_and_not_called_unusual(value: float) -> None:
    assert Rule(usual=(0, 1)).unusual(value) == ""
    assert Rule(usual=(0, 1)).unusual(2.0).startswith("2 is unusual")
