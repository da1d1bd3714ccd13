"""The training form in the hands of a person: nothing typed is lost, every setting is explained, "auto" is resolved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.config import recipe
from cnn_explorer.trainer.config.request import TrainRequest
from cnn_explorer.trainer.planning import planner
from cnn_explorer.tui.launch import commands, explained, hints, resolved, values
from cnn_explorer.tui.launch import form as form_module
from cnn_explorer.tui.launch.commands import CommandOutcome, LaunchCommand, Preview
from cnn_explorer.tui.launch.form import LaunchForm, LaunchRequest, fill, settings
from cnn_explorer.tui.launch.kept_forms import KeptForms
from cnn_explorer.tui.screens.help import HelpScreen
from cnn_explorer.tui.screens.launch import LaunchScreen
from cnn_explorer.tui.screens.page import PageScreen
from cnn_explorer.tui.widgets.loss_chart import LossChart
from cnn_explorer.tui.widgets.shell import KeyLine
from cnn_explorer.tui.widgets.text_view import TextView
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support.launch_form import PLAN, answered, open_launch, said, type_value
from support.training import request_of_words
from support.tui import make_app, screen_text, until
from textual.widgets import Input

SIZE = (100, 30)
KEYS = ["networks", "dataset", "preset", *form_module.PLAIN, *recipe.FIELDS]
TIMED = PLAN | {
    "network": {"stem": "small", "image_size": 28},
    "engine": PLAN["engine"] | {"calibration": {"origin": "none", "why": "is done when the run starts"}},
}


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[LaunchCommand]:
    """Requests that would have been started."""
    return answered(monkeypatch)


def form(**changed: str) -> LaunchForm:
    return LaunchForm(LaunchRequest(("lenet5",)), changed)


def value_in(screen: LaunchScreen, key: str) -> str:
    """The value of a setting as it stands in its line."""
    return next(row.cells[1] for row in screen.table.rows if row.key == key)


# Kept changes


async def test_a_form_that_was_left_comes_back_with_its_changes_and_a_key_takes_them_back(
    tmp_path: Path, requests: list[LaunchCommand]
) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        before = value_in(screen, "epochs")
        await type_value(pilot, screen, "epochs", "13")
        await pilot.press("enter")
        await type_value(pilot, screen, "lr", "0.5")
        await pilot.press("enter", "escape")
        screen = await open_launch(pilot)
        assert (value_in(screen, "epochs"), value_in(screen, "lr")) == ("13", "0.5")
        assert "2 changes kept · U takes them back" in screen_text(app)
        await pilot.press("U")
        assert value_in(screen, "epochs") == before and "kept" not in screen_text(app)
        await pilot.press("escape")
        screen = await open_launch(pilot)
        assert value_in(screen, "epochs") == before, "what was taken back stays so"
        await pilot.press("escape", "j")
        await pilot.pause(0.2)
        other = await open_launch(pilot)
        assert other.form.networks != screen.form.networks and not other.form.changed


async def test_what_was_started_is_kept_no_longer(tmp_path: Path, requests: list[LaunchCommand]) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        await type_value(pilot, screen, "epochs", "13")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.screen is not screen)
        assert requests[0].words[-2:] == ("--epochs", "13")
        assert not app.kept_forms.form(screen.form.request).changed


def test_forms_are_kept_by_their_networks_and_the_run_that_they_repeat() -> None:
    kept = KeptForms()
    plain, again = LaunchRequest(("lenet5",)), LaunchRequest(("lenet5",), config=Path("run.json"))
    kept.keep(LaunchForm(plain, {"lr": "1"}))
    kept.keep(LaunchForm(again, {"lr": "2"}))
    assert [kept.form(one).changed for one in (plain, again)] == [{"lr": "1"}, {"lr": "2"}]
    kept.forget(again)
    assert not kept.form(again).changed and kept.form(plain).changed
    assert not kept.form(LaunchRequest(("vgg11",))).changed


async def test_escape_takes_back_what_was_typed_and_enter_keeps_it(
    tmp_path: Path, requests: list[LaunchCommand]
) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        before = value_in(screen, "epochs")
        await type_value(pilot, screen, "epochs", "77")
        assert value_in(screen, "epochs") == "77"
        foot = str(screen.query_one(KeyLine).render())
        assert "esc take back" in foot and "enter keep" in foot
        assert "i explain" not in foot and "v all" not in foot, "they would be typed"
        await pilot.press("escape")
        assert value_in(screen, "epochs") == before and app.screen is screen and screen.table.has_focus
        await type_value(pilot, screen, "epochs", "77")
        await pilot.press("enter")
        await type_value(pilot, screen, "epochs", "78")
        await pilot.press("escape")
        assert value_in(screen, "epochs") == "77", "an earlier change stays"


async def test_a_click_on_another_row_ends_typing_in_the_first(tmp_path: Path, requests: list[LaunchCommand]) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        await type_value(pilot, screen, "epochs", "77")
        place = [row.key for row in screen.table.rows].index("lr")
        await pilot.click(screen.table, offset=(5, place + 1))
        await pilot.press("9")
        assert not screen.query_one("#launch-entry").display
        assert screen.form.changed == {"epochs": "77"}


# Explained


async def test_help_opens_from_the_list_and_while_a_value_is_typed(
    tmp_path: Path, requests: list[LaunchCommand]
) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        for key in ("question_mark", "f1"):
            await pilot.press(key)
            assert isinstance(app.screen, HelpScreen) and "Take all changes back" in screen_text(app)
            await pilot.press("escape")
            assert app.screen is screen
        await type_value(pilot, screen, "epochs", "7")
        await pilot.press("f1")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape", "7", "enter")
        assert screen.form.changed == {"epochs": "77"}


async def test_each_setting_has_its_sentence_also_while_something_is_wrong(
    tmp_path: Path, requests: list[LaunchCommand]
) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        await type_value(pilot, screen, "lr", "-1")
        await pilot.press("enter")
        assert "lr: -1 must be above 0" in said(screen, "#entry-problem")
        await pilot.press("v")
        for line in settings(screen.form, screen.filled, everything=True):
            assert screen.table.go_to(line.key)
            await pilot.pause()
            shown = said(screen, "#setting-hint")
            assert shown == line.hint and shown.endswith(".") and screen.query_one("#setting-hint").display, line.key


async def test_a_key_opens_the_concept_page_and_escape_comes_back_to_the_same_form(
    tmp_path: Path, requests: list[LaunchCommand]
) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        await type_value(pilot, screen, "lr", "0.5")
        await pilot.press("enter", "i")
        page = app.screen
        assert isinstance(page, PageScreen)
        await until(pilot, lambda: "# Learning rate" in page.query_one(TextView).source)
        await pilot.press("escape")
        assert app.screen is screen and screen.table.key == "lr" and screen.form.changed == {"lr": "0.5"}
        assert screen.table.has_focus


def test_every_setting_has_a_page() -> None:
    for key in KEYS:
        page, _ = explained.page_of(key, ("nonsense", "resnet20"))
        assert page is not None, key
    note, _ = explained.page_of("networks", ("nonsense", "resnet20"))
    assert note is not None and note.key == "note/resnet"
    page, _ = explained.page_of("validation", ())
    assert page is not None and page.name == "validation"
    page, words = explained.page_of("threads", ())
    assert page is not None and page.name == "glossary" and words == "threads"


# Auto


async def test_auto_is_resolved_once_the_command_has_told_and_not_before(
    tmp_path: Path, requests: list[LaunchCommand], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_answer = threading.Event()

    def plan(call) -> Preview:
        may_answer.wait(60)
        return Preview(TIMED)

    monkeypatch.setattr(commands, "plan", plan)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        try:
            assert value_in(screen, "device") == "auto: reading …" == value_in(screen, "image_size")
            assert value_in(screen, "validation") == "auto: 144 images" and value_in(screen, "pretrained") == "auto: no"
            assert value_in(screen, "preset") == "auto: none"
            epochs = screen.filled.recipes["lenet5"].epochs
            assert value_in(screen, "warmup") == f"0: rises for {0.3 * epochs:g} epochs"
        finally:
            may_answer.set()
        await until(pilot, lambda: value_in(screen, "device") == "auto: cpu")
        assert value_in(screen, "image_size") == "auto: 28" and value_in(screen, "stem") == "auto: small"
        assert value_in(screen, "precision") == "auto: fp32, or what is timed as faster", "the start may choose another"
        assert value_in(screen, "threads") == "auto", "of what the plan does not tell nothing is said"
        screen.table.go_to("device")
        await pilot.press("+")
        assert value_in(screen, "device") == "cpu", "a value that was chosen is no auto"
        assert value_in(screen, "image_size") == "auto: reading …", "another form has another plan"


def test_what_nobody_asks_stays_auto(tmp_path: Path) -> None:
    made = form()
    filled = fill(made, tmp_path)
    assert "device" not in resolved.known(made, filled, [], reading=False)
    two = [TIMED, TIMED | {"network": {"stem": "imagenet", "image_size": 224}}]
    assert resolved.known(made, filled, two, reading=False)["image_size"] == "28 · 224"
    assert resolved.known(made, filled, [{"network": {"stem": None}}], reading=False)["stem"] == "the only one"
    assert (
        resolved.known(form(schedule="cosine"), fill(form(schedule="cosine"), tmp_path), [], reading=False).get(
            "warmup"
        )
        is None
    )
    assert resolved.known(form(pretrained="yes"), filled, [], reading=False)["weights"] == "the default ones"
    repeated = {"network": {"pretrained": {"kind": "torchvision", "name": "IMAGENET1K_V1"}}}
    again = LaunchForm(LaunchRequest(("resnet18",), run=repeated))
    found = resolved.known(again, filled, [], reading=False)
    assert (found["pretrained"], found["weights"]) == ("yes", "IMAGENET1K_V1")


def test_the_real_plan_tells_what_auto_stands_for(tmp_path: Path, home: Path) -> None:
    """The JSON of `train --plan` has each value under the name that is looked up."""
    from cnn_explorer.trainer.planning import preview
    from cnn_explorer.trainer.planning.estimate import Forecast

    made = form(device="auto")
    plan = planner.plan(TrainRequest.of("lenet5"), lambda line: None)
    told = json.loads(json.dumps(preview.as_dict(plan, Forecast(None, ()))))
    found = resolved.known(made, fill(made, tmp_path), [told], reading=True)
    engine = plan.config.engine
    assert found["device"] == engine.device and found["threads"] == str(engine.threads)
    assert found["image_size"] == str(plan.config.network.image_size)
    unknown = [key for key, words in found.items() if words == resolved.READING]
    assert unknown == ["calibrate"], "only what was not timed yet"


async def test_what_the_command_refuses_stands_at_its_setting(
    tmp_path: Path, requests: list[LaunchCommand], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = Preview(problem="device: 'cuda:7' is not here; choose cpu")
    monkeypatch.setattr(commands, "plan", lambda call: refusal)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        await until(pilot, lambda: value_in(screen, "device") == "✗ auto")
        assert "device: 'cuda:7' is not here; choose cpu" in said(screen, "#entry-problem")
        assert not screen.filled.problems, "the start decides: what was wrong may be over"
    assert hints.refused(Preview(problem="recipe: 'x' is unknown"))[0] == "preset"
    assert hints.refused(Preview(problem="checkpoint-minutes: no"))[0] == "minutes"
    assert hints.refused(Preview(problem="no colon")) == ("", "") == hints.refused(Preview(PLAN))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            "'x' is unknown; `cnn-explorer list` names them all",
            "'x' is unknown; the list of architectures has them all",
        ),
        (
            "--set accumulate=4 works them off in parts, or --stem small",
            "accumulate 4 works them off in parts, or stem small",
        ),
        ("give --batch-size or --recipe", "give batch size or recipe"),
        ("--no-such-option stays", "--no-such-option stays"),
    ],
)
def test_what_the_command_says_is_told_in_the_words_of_the_app(told: str, words: str) -> None:
    assert values.in_app(told) == words
    assert words in hints.estimate(Preview(PLAN | {"warnings": [told]}))


# Wrong and absurd values


async def test_an_absurd_value_is_told_while_it_is_typed_and_taken(
    tmp_path: Path, requests: list[LaunchCommand]
) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        await type_value(pilot, screen, "lr", "1e9")
        assert said(screen, "#entry-remark") == "lr: 1e+09 is unusual; people train with 1e-06 to 10"
        assert value_in(screen, "lr") == "! 1e+09"
        await pilot.press("enter", "ctrl+s")
        await until(pilot, lambda: requests)


@pytest.mark.parametrize("dataset", ["DIGITS", "Cifar-10", "fashion_mnist"])
def test_a_data_set_is_known_however_its_name_is_written(dataset: str) -> None:
    """The command takes these names, too; the recipe has values of its own for each data set."""
    known = {"DIGITS": "digits", "Cifar-10": "cifar10", "fashion_mnist": "fashion-mnist"}[dataset]
    filled, usual = (fill(form(dataset=name), Path("/nonexistent")) for name in (dataset, known))
    assert filled == usual and filled.recipes and not filled.problems


def test_a_value_close_to_another_is_not_shown_as_that() -> None:
    made = form(momentum="0.9999999")
    lines = settings(made, fill(made, Path("/nonexistent")), everything=True)
    assert next(line.value for line in lines if line.key == "momentum") == "0.9999999"


NASTY = st.sampled_from(
    [
        "0",
        "-1",
        "1e9",
        "1e300",
        "-inf",
        "nan",
        "9" * 400,
        "9" * 5000,
        "1,2",
        ",",
        "none",
        "auto",
        "yes",
        "[1",
        "\x00",
        "é",
    ]
)


@hypothesis_settings(deadline=None, max_examples=300)
@given(st.sampled_from(KEYS), NASTY | st.text(max_size=8))
def test_what_the_form_takes_the_command_takes_too(key: str, typed: str) -> None:
    made = form().with_value(key, typed)
    filled = fill(made, Path("/nonexistent"))
    lines = settings(made, filled, everything=True)
    assert all(line.hint and line.shown({}) is not None for line in lines)
    if filled.problems or key == "networks":
        return
    words = form_module.words(made)[1:]
    asked = request_of_words(words)
    assert asked == form_module.request(made)
    if key in made.changed and typed.strip() != "auto" and key != "dataset":
        assert key in {defined.key for defined, _ in asked.values()}, "what was typed is handed over"


TOLD_BY_THE_PLAN = (
    *("image_size", "device", "devices", "cuda_graphs", "tf32", "threads"),
    *("pretrained", "weights", "init_from", "grow_from"),
)
"""What only the command can find out, with torch and on this machine; its refusal stands at the setting."""


@pytest.mark.parametrize("key", [key for key in KEYS if key not in (*TOLD_BY_THE_PLAN, "networks", "dataset")])
def test_what_the_form_takes_the_start_takes_too(key: str, home: Path) -> None:
    taken = 0
    for typed in ("0", "0.5", "-1", "1e9", "1e300", "1", "1,2", "0.3, 0.6", "yes", "balanced", "none"):
        made = form().with_value(key, typed)
        filled = fill(made, Path("/nonexistent"))
        if not filled.problems:
            taken += 1
            planner.plan(form_module.request(made), lambda line: None)
        elif key in filled.problems:
            with pytest.raises(UsageError):
                value = form_module.definition(key).parse(typed)
                planner.plan(TrainRequest.of("lenet5", **{key: value}), lambda line: None)
    names = (
        "preset",
        "stem",
        "precision",
        "optimizer",
        "schedule",
        "keep_head",
    )  # the last needs weights from elsewhere
    assert taken or key in names, "of the others some value is right"


# Timing and starting


async def test_timing_ends_when_the_run_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that times batches would compete with the start for the cores."""
    pid_file = tmp_path / "pid"
    timing = tmp_path / "timing"
    timing.write_text(f"#!/bin/sh\necho $$ > {pid_file}.new\nmv {pid_file}.new {pid_file}\nexec sleep 600\n")
    timing.chmod(0o755)
    monkeypatch.setattr(commands, "python_module", lambda module: [str(timing)])
    started: list[bool] = []

    def start(call) -> CommandOutcome:
        started.append(True)
        while not call.cancelled:
            time.sleep(0.01)
        return CommandOutcome(problem="no")

    monkeypatch.setattr(commands, "start", start)

    def lives() -> bool:
        try:
            os.kill(int(pid_file.read_text()), 0)
        except ProcessLookupError:
            return False
        return True

    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        await until(pilot, pid_file.exists)
        assert lives()
        await pilot.press("ctrl+s")
        await until(pilot, lambda: started and not lives(), "the process that times is ended")
        pid_file.unlink()
        screen.table.go_to("epochs")
        await pilot.press("+")
        assert screen.is_starting and not screen.is_planning, "nothing is timed while a run starts"
        await pilot.press("escape")
        await until(pilot, pid_file.exists, "after a refusal it is timed again")
        await pilot.press("escape")
        await until(pilot, lambda: not lives(), "and it ends with the form")


# What is not known yet, and small terminals


async def test_the_machine_is_read_before_anything_is_said_of_it(
    tmp_path: Path, requests: list[LaunchCommand], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_answer = threading.Event()

    def devices() -> tuple:
        may_answer.wait(60)
        return ()

    monkeypatch.setattr(commands, "devices", devices)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        try:
            assert "machine   reading …" in said(screen, "#launch-facts")
        finally:
            may_answer.set()
        await until(pilot, lambda: "no GPU is seen through NVML" in said(screen, "#launch-facts"))


async def test_a_small_terminal_shows_the_setting_that_is_typed(tmp_path: Path, requests: list[LaunchCommand]) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(40, 10)) as pilot:
        screen = await open_launch(pilot)
        assert not screen.query_one(LossChart).display
        await type_value(pilot, screen, "epochs", "-7")
        shown = screen_text(app)
        assert "▶ epochs" in shown and "epochs -7" in shown and "must be at least 1" in shown
        assert screen.query_one("#entry", Input).region.bottom <= 10


def test_the_app_loads_no_torch_for_any_of_this() -> None:
    modules = ("resolved", "explained", "kept_forms", "hints")
    code = (
        f"import sys, {', '.join(f'cnn_explorer.tui.launch.{name}' for name in modules)}; print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
