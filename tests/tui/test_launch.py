"""Launching runs from the app: the form and its words, what the command is told, what comes of it."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cnn_explorer import machine
from cnn_explorer.errors import UsageError
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.config import recipe, recipe_layers
from cnn_explorer.trainer.data.dataset_info import DataInfo
from cnn_explorer.tui.launch import commands, hints
from cnn_explorer.tui.launch import form as form_module
from cnn_explorer.tui.launch.commands import CommandCall, CommandOutcome, Device, LaunchCommand, Preview
from cnn_explorer.tui.launch.form import LaunchForm, LaunchRequest, fill, settings, words
from cnn_explorer.tui.launch.values import stepped
from cnn_explorer.tui.screens.run import RunScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from cnn_explorer.tui.widgets.loss_chart import LossChart
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rich.markup import escape
from support.launch_form import PLAN, RUN, answered, open_launch, said, type_value
from support.patience import PATIENCE_S
from support.training import request_of_words
from support.tui import FakeRun, catalogue, make_app, screen_text, until

SIZE = (100, 30)


def form(*networks: str, dataset: str = "digits", **changed: str) -> LaunchForm:
    return LaunchForm(LaunchRequest(networks or ("lenet5",), dataset), changed)


def shown(made: LaunchForm, tmp_path: Path) -> dict[str, form_module.FormField]:
    return {setting.key: setting for setting in settings(made, fill(made, tmp_path), everything=True)}


# The form


def test_values_and_origins_are_those_of_the_recipe(tmp_path: Path) -> None:
    lines = shown(form("resnet20", dataset="mnist", lr="0.3"), tmp_path)
    note = registry.find("resnet20").recipe
    expected = recipe_layers.resolve("mnist", [recipe_layers.RecipeLayer("resnet.md", note, general=True)]).recipe
    assert lines["epochs"].value == str(expected.epochs)
    assert lines["momentum"].value == f"{expected.momentum:g}"
    assert (lines["lr"].value, lines["lr"].origin) == ("0.3", "you")
    assert set(recipe.FIELDS) <= set(lines)
    without = shown(form("resnet20", dataset="mnist", optimizer="adam"), tmp_path)
    assert without["momentum"].origin == "no effect here" != lines["momentum"].origin


def test_networks_that_differ_show_each_value(tmp_path: Path) -> None:
    lines = shown(form("resnet20", "lenet5"), tmp_path)
    assert " · " in lines["optimizer"].value
    lines = shown(form("resnet20", "lenet5", optimizer="adamw"), tmp_path)
    assert (lines["optimizer"].value, lines["optimizer"].origin) == ("adamw", "you")


def test_settings_without_an_effect_are_left_out(tmp_path: Path) -> None:
    made = form("resnet20", optimizer="sgd", schedule="cosine", augment="none")
    keys = {setting.key for setting in settings(made, fill(made, tmp_path))}
    assert "momentum" in keys and not {"betas", "milestones", "cutout_size"} & keys
    made = form("resnet20", optimizer="adam", schedule="step", augment="cutout")
    keys = {setting.key for setting in settings(made, fill(made, tmp_path))}
    assert {"betas", "milestones", "gamma", "cutout_size"} <= keys and "momentum" not in keys


@pytest.mark.parametrize(
    ("key", "typed", "problem"),
    [
        ("lr", "-3", "must be above 0"),
        ("lr", "fast", "must be a number"),
        ("epochs", "2.5", "must be a whole number"),
        ("optimizer", "sdg", "'sdg' is unknown; did you mean 'sgd'"),
        ("optimizer", "abc", "'abc' is unknown; choose one of adam, adamw, lamb"),
        ("lr", "1e300", "1e+300 must be at most 1e+30"),
        ("class_weights", "1,2", "1, 2 must be 10 numbers, one for each class"),
        ("class_weights", "1,2,3,4,5,6,7,8,9,0", "0 must be above 0"),
        ("layer_decay", "0.5", "0.5 needs weights to begin with: pretrained, init-from or grow-from"),
        ("betas", "0.9", "must be a list of 2 numbers"),
        ("augment", "crop, flop", "did you mean 'flip'"),
        ("augment", "crop, translate", "shifts twice"),
        ("batch_size", "99999", "the largest that works is 1294"),
        ("nesterov", "perhaps", "'perhaps' must be yes or no"),
        ("networks", "lenet6", "or 'lenet5'"),
        ("networks", "qqqq", "'qqqq' is unknown; the list of architectures has them all"),
        ("dataset", "mnits", "did you mean 'mnist'"),
        ("dataset", "folder:", "which folder?"),
        ("seed", "-1", "at least 0"),
        ("seed", "auto", "must be a whole number"),
        ("validation", "1.5", "a share below 1"),
        ("device", "gpu", "there are auto, cpu"),
        ("precision", "bf61", "did you mean 'bf16'"),
        ("preset", "sprint", "did you mean 'speedrun'"),
        ("compile", "maybe", "'maybe' must be yes or no"),
        ("freeze", "bone", "did you mean 'none'"),
        ("stem", "big", "choose one of"),
        ("threads", "0", "at least 1"),
    ],
)
def test_what_is_wrong_stands_at_its_setting(tmp_path: Path, key: str, typed: str, problem: str) -> None:
    assert problem in shown(form(**{key: typed}), tmp_path)[key].problem


@hypothesis_settings(deadline=None)
@given(st.sampled_from(["networks", "dataset", "preset", *form_module.PLAIN, *recipe.FIELDS]), st.text(max_size=12))
def test_whatever_is_typed_gives_a_form(key: str, typed: str) -> None:
    made = form().with_value(key, typed)
    filled = fill(made, Path("/nonexistent"))
    assert settings(made, filled, everything=True)
    words(made)
    form_module.curve(filled)


def test_the_words_hold_the_changes_alone() -> None:
    assert words(form("vgg11", "lenet5", dataset="mnist")) == ["train", "vgg11", "lenet5", "--dataset", "mnist"]
    made = form(lr="0.2", augment="translate, cutout", nesterov="no", schedule="cosine", device="cpu", stem="auto")
    assert words(made)[4:] == [
        *("--lr", "0.2", "--no-nesterov", "--schedule", "cosine", "--augment", "translate,cutout", "--device", "cpu")
    ]


def test_a_named_recipe_stands_under_what_was_typed(tmp_path: Path) -> None:
    made = form("resnet18", dataset="cifar10", preset="baseline", epochs="7", compile="no", channels_last="yes")
    lines = shown(made, tmp_path)
    assert (lines["batch_size"].value, lines["epochs"].value) == ("128", "7") and lines["batch_size"].origin != ""
    assert words(made)[2:] == [
        *("--dataset", "cifar10", "--recipe", "baseline", "--epochs", "7"),
        *("--channels-last", "--no-compile"),
    ]


def test_what_is_taken_over_has_settings_of_its_own(tmp_path: Path) -> None:
    untouched = form("resnet18", dataset="cifar10")
    assert "backbone_lr" not in {setting.key for setting in settings(untouched, fill(untouched, tmp_path))}
    made = untouched.with_value("pretrained", "yes").with_value("freeze", "backbone")
    lines = {setting.key: setting for setting in settings(made, fill(made, tmp_path))}
    assert (lines["backbone_lr"].value, lines["backbone_lr"].origin) == ("0.1", "fine-tuning")
    assert words(made)[2:] == ["--dataset", "cifar10", "--pretrained", "--freeze", "backbone"]


def test_the_command_takes_the_words(tmp_path: Path) -> None:
    """What the form hands over comes back as the same request from the command's own reading."""
    made = form(lr="0.2", augment="translate, cutout", nesterov="no", milestones="0.3, 0.6", threads="1", keep="2")
    assert request_of_words(words(made)[1:]) == form_module.request(made)
    filled = fill(made, tmp_path).recipes["lenet5"]
    values = form_module.request(made).recipe.values
    assert values == {key: getattr(filled, key) for key in ("lr", "augment", "nesterov", "milestones")}


def test_a_run_is_repeated_with_its_own_values(tmp_path: Path) -> None:
    run = {
        "recipe": {"epochs": 77, "lr": 0.5, "unheard_of": 1},
        "seed": 9,
        "network": {"stem": None},
        "engine": {"device": "cpu", "threads": 1},
    }
    made = LaunchForm(LaunchRequest(("lenet5",), "digits", tmp_path / "run.json", run), {"lr": "0.25"})
    lines = shown(made, tmp_path)
    assert (lines["epochs"].value, lines["epochs"].origin) == ("77", "the run")
    assert (lines["seed"].value, lines["device"].value) == ("9", "cpu")
    assert (lines["lr"].value, lines["lr"].origin) == ("0.25", "you")
    assert words(made) == ["train", "lenet5", "--lr", "0.25", "--config", str(tmp_path / "run.json")]


@pytest.mark.parametrize(
    ("key", "value", "up", "down"),
    [
        ("lr", "0.1", "0.2", "0.05"),
        ("weight_decay", "0", "0.1", "0"),
        ("epochs", "9", "10", "8"),
        ("epochs", "1", "2", None),
        ("batch_size", "128", "256", "64"),
        ("optimizer", "sgd", recipe.OPTIMIZERS[1], recipe.OPTIMIZERS[-1]),
        ("nesterov", "yes", "no", "no"),
        ("seed", "0", "1", None),
        ("seed", str(2**60), str(2**60 + 1), str(2**60 - 1)),
        ("seed", "9" * 400, None, None),
        ("threads", "auto", "1", None),
        ("threads", "inf", None, None),
        ("weight_decay", "nan", None, None),
        ("cuda_graphs", "auto", "yes", "no"),
        ("keep", "0", "1", None),
        ("networks", "lenet5", None, None),
    ],
)
def test_plus_and_minus(key: str, value: str, up: str | None, down: str | None) -> None:
    assert stepped(key, value, 1) == up
    assert stepped(key, value, -1) == down


def gpu(index: int, name: str = "a GPU", *pids: int) -> machine.Gpu:
    uuid = f"GPU-{index}abc"
    return machine.Gpu(
        index, uuid, name, 80 << 30, 20 << 30, 0.5, 100.0, 400.0, 50.0, tuple((pid, None) for pid in pids)
    )


@pytest.mark.parametrize(
    ("visible", "names", "expected"),
    [
        (None, "aa", ["a, 21.5 GB free, nobody uses it", "a, 21.5 GB free, used by"]),
        (None, "ab", ["a,", "b,"]),
        ("1", "aa", ["a, 21.5 GB free, used by"]),
        ("GPU-1abc,0", "aa", ["a, 21.5 GB free, used by", "a, 21.5 GB free, nobody"]),
        ("", "aa", []),
        ("0", "ab", []),
    ],
)
def test_devices_under_the_numbers_of_cuda(monkeypatch, visible: str | None, names: str, expected: list[str]) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(machine, "gpus", lambda: [gpu(0, names[0]), gpu(1, names[1], os.getpid())])
    found = commands.devices()
    assert [device.name for device in found] == [f"cuda:{number}" for number in range(len(expected))]
    assert all(device.words.startswith(start) for device, start in zip(found, expected, strict=True))
    assert commands.environment().get("CUDA_DEVICE_ORDER") == ("PCI_BUS_ID" if visible is None else None)


def test_devices_are_choices() -> None:
    assert stepped("device", "cpu", 1, ("cuda:0",)) == "cuda:0"
    assert stepped("device", "auto", -1, ("cuda:0",)) == "cuda:0"


def test_words_below_the_settings(tmp_path: Path) -> None:
    filled = fill(form("resnet20", dataset="cifar10"), tmp_path)
    gpu = Device("cuda:1", "a GPU, 20.0 GB free, nobody uses it")
    text = hints.facts(filled, (gpu,), "auto", 30)
    assert "45,000 images to train on" in text and f"will be put into {tmp_path}" in text
    assert "▁" in text and "machine   cuda:1: a GPU, 20.0 GB free" in text
    assert "the CPU" in hints.facts(filled, (gpu,), "cpu", 30)
    text = hints.estimate(Preview(PLAN))
    assert "4.2 s an epoch, 2 min 10 s in all (15,030 images/s" in text and "cpu, fp32, channels last" in text
    assert "warning   an epoch takes hours" in text
    assert "4 min 20 s for all 2" in hints.estimate(Preview({"plans": [PLAN, PLAN]}))
    assert "not known" in hints.estimate(Preview({"estimate": None, "engine": 3}))
    assert hints.estimate(Preview(problem="no")) == "no"


# The command


def script(tmp_path: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> LaunchCommand:
    path = tmp_path / "train"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(commands, "python_module", lambda module: [str(path)])
    return LaunchCommand(("train", "lenet5"), tmp_path / "runs", tmp_path)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("echo narration >&2; echo id-1; echo id-2", CommandOutcome(("id-1", "id-2"))),
        (
            "echo some; echo 'cnn-explorer: epochs: 0 is too few' >&2; exit 2",
            CommandOutcome(problem="epochs: 0 is too few"),
        ),
        ("printf '\\033[31mred\\033[0m problem' >&2; exit 1", CommandOutcome(problem="red problem")),
        ("exit 1", CommandOutcome(problem="`train` ended with exit code 1")),
        ("exit 0", CommandOutcome(problem="`train` ended with exit code 0")),
    ],
)
def test_answers_of_the_command(tmp_path: Path, monkeypatch, body: str, outcome: CommandOutcome) -> None:
    request = script(tmp_path, body, monkeypatch)
    assert commands.start(commands.call_start(request, lambda text: None)) == outcome


def test_a_download_is_heard_as_it_goes(tmp_path: Path, monkeypatch) -> None:
    body = "printf '10 %%\\r' >&2; sleep 0.1; printf '90 %%\\r' >&2; sleep 0.1; echo done >&2; echo id"
    heard: list[str] = []
    commands.start(commands.call_start(script(tmp_path, body, monkeypatch), heard.append))
    assert heard == ["10 %", "90 %", "done"]


def test_a_plan_is_read(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))
    found = commands.plan(commands.call_plan(script(tmp_path, f"cat {tmp_path}/plan.json", monkeypatch)))
    assert found == Preview(PLAN)
    assert "no plan" in commands.plan(commands.call_plan(script(tmp_path, "echo '[['", monkeypatch))).problem
    refused = script(tmp_path, "echo 'cnn-explorer: lr: no' >&2; exit 2", monkeypatch)
    assert commands.plan(commands.call_plan(refused)).problem == "lr: no"


def test_a_call_can_be_ended(tmp_path: Path, monkeypatch) -> None:
    heard = threading.Event()
    call = CommandCall(
        script(tmp_path, "echo begun >&2; exec sleep 600", monkeypatch).command(), lambda text: heard.set()
    )
    ended: list[CommandOutcome] = []
    thread = threading.Thread(target=lambda: ended.append(commands.start(call)))
    thread.start()
    assert heard.wait(PATIENCE_S)
    call.cancel()
    thread.join(PATIENCE_S)
    assert ended and not ended[0].run_ids
    assert commands.start(call).problem


def test_runs_that_were_let_go_are_named_though_the_command_is_ended(tmp_path: Path, monkeypatch) -> None:
    calls: list[CommandCall] = []
    said = "echo \"run-7 is trained in process 9; 'cnn-explorer runs watch run-7' follows it\" >&2; exec sleep 600"
    call = commands.call_start(script(tmp_path, said, monkeypatch), lambda text: calls[0].cancel())
    calls.append(call)
    assert commands.start(call) == CommandOutcome(("run-7",))


def test_a_command_that_cannot_be_started_is_one_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(commands, "python_module", lambda module: [str(tmp_path / "missing")])
    request = LaunchCommand(("train",), tmp_path, tmp_path)
    assert "cannot be started" in commands.start(commands.call_start(request, lambda text: None)).problem
    assert "cannot be started" in commands.plan(commands.call_plan(request)).problem


def test_the_real_command_names_what_is_wrong(tmp_path: Path) -> None:
    request = LaunchCommand(("train", "lenet6"), tmp_path / "runs", tmp_path)
    problem = commands.start(commands.call_start(request, lambda text: None)).problem
    assert "lenet6" in problem and "did you mean" in problem
    assert not list((tmp_path / "runs").glob("*"))


def test_the_form_needs_no_torch() -> None:
    import subprocess

    code = "import sys, cnn_explorer.tui.launch.form, cnn_explorer.tui.launch.hints; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


# The screen


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[LaunchCommand]:
    """Requests that would have been started."""
    return answered(monkeypatch)


async def test_a_run_is_started_as_it_is_and_shown(tmp_path: Path, requests: list[LaunchCommand]) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        network = catalogue(app).table.key
        screen = await open_launch(pilot)
        await until(pilot, lambda: "cuda:0: a GPU, 20.0 GB free" in said(screen, "#launch-facts"))
        await until(pilot, lambda: "4.2 s an epoch" in said(screen, "#estimate"))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        shown = app.screen
        assert isinstance(shown, RunScreen) and shown.run_id == RUN and shown.tabs.current == "overview"
        await until(pilot, lambda: "reading …" in screen_text(app), "not: there is no such run")
        assert requests[0].words == ("train", network, "--dataset", "digits")
        assert requests[0].runs == tmp_path / "runs"
        FakeRun(tmp_path / "runs", "20261120-153022-other-digits-aaaa", "finished")
        FakeRun(tmp_path / "runs", RUN, alive=True)
        await until(pilot, lambda: shown.selected is not None and "lenet5 on digits" in screen_text(app))
        await pilot.press("escape")
        runs = app.screen
        assert isinstance(runs, RunsScreen)
        await until(pilot, lambda: runs.table.key == RUN, "the cursor goes to the new run once it is found")


async def test_settings_are_changed_typed_and_taken_back(tmp_path: Path, requests: list[LaunchCommand]) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        screen.table.go_to("dataset")
        await pilot.press("+")
        assert screen.form.dataset == "mnist"
        assert "is downloaded first" in screen_text(app) and "once the data is here" in said(screen, "#estimate")
        await pilot.press("-", "-", "delete")
        assert screen.form.dataset == "digits"
        await type_value(pilot, screen, "lr", "0.x")
        assert "lr: '0.x' must be a number" in said(screen, "#entry-problem")
        await pilot.press("backspace", *"25", "enter")
        assert not said(screen, "#entry-problem") and screen.table.has_focus
        await pilot.press("v")
        screen.table.go_to("milestones")
        assert screen.table.key == "milestones"
        chart = screen.query_one(LossChart)
        before = chart.data
        await type_value(pilot, screen, "seed", "7")
        assert chart.data is before  # it is not drawn again for what does not change it
        await pilot.press("ctrl+s")
        await until(pilot, lambda: requests)
        assert requests[0].words[-2:] == ("--seed", "7") and "0.25" in requests[0].words


async def test_a_folder_is_looked_at_in_a_thread_which_ends_with_the_form(tmp_path: Path, monkeypatch) -> None:
    """Half a path may name the whole disk: that must not hold up the keyboard, nor the end of the app."""
    begun, ended = threading.Event(), threading.Event()
    real = form_module.look

    def look(dataset: str, stop: Callable[[], bool]) -> DataInfo | UsageError:
        if dataset == "folder:/":
            begun.set()
            while not stop():
                ended.wait(0.01)
            ended.set()
        return real(dataset, stop)

    monkeypatch.setattr(form_module, "look", look)
    monkeypatch.chdir(tmp_path)  # a path of few letters: each is a key pressed
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(20):
            (tmp_path / "pets" / name / f"{number}.png").touch()
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        await type_value(pilot, screen, "dataset", "folder:pets")
        assert "is looked at …" in screen_text(app)
        await until(pilot, lambda: "2 classes, 29 images to train on, 8 to test" in screen_text(app))
        await pilot.press("enter")
        await type_value(pilot, screen, "dataset", "folder:none")
        await until(pilot, lambda: "does not exist" in said(screen, "#entry-problem"))
        await pilot.press("enter")
        await type_value(pilot, screen, "dataset", "folder:/")
        await until(pilot, begun.is_set)
        await pilot.press("enter", "escape")
        await until(pilot, ended.is_set)


def test_what_is_held_out_counts(tmp_path: Path) -> None:
    def images(text: str) -> int:
        return fill(LaunchForm(LaunchRequest(("lenet5",)), {"validation": text}), tmp_path).training_images

    assert [images(text) for text in ("auto", "0", "0.5", "438")] == [1294, 1438, 719, 1000]
    filled = fill(LaunchForm(LaunchRequest(("lenet5",)), {"validation": "1438"}), tmp_path)
    assert filled.problems == {"validation": "leaves nothing of 1,438 images to train on"}


async def test_what_is_wrong_is_not_started(tmp_path: Path, requests: list[LaunchCommand]) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        await type_value(pilot, screen, "epochs", "0")
        await pilot.press("enter")
        screen.table.go_to("seed")
        await pilot.press("ctrl+s")
        assert screen.table.key == "epochs" and "must be at least 1" in said(screen, "#entry-problem")
        assert app.screen is screen and not requests
        assert str(screen.query_one("#dialog").border_title) == "Train lenet5"
        await type_value(pilot, screen, "networks", "lenet5 [b")
        assert screen.query_one("#dialog").border_title == escape("Train lenet5 [b")


async def test_marked_networks_make_a_queue(tmp_path: Path, requests: list[LaunchCommand]) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        first = catalogue(app).table.key
        await pilot.press("m", "j", "m")
        second = catalogue(app).table.key
        screen = await open_launch(pilot)
        assert set(screen.form.networks) == {first, second}
        await pilot.press("ctrl+s")
        await until(pilot, lambda: requests)
        assert set(requests[0].words[1:3]) == {first, second}


async def test_refusal_of_the_command_is_one_line_in_the_dialog(
    tmp_path: Path, requests: list[LaunchCommand], monkeypatch
) -> None:
    monkeypatch.setattr(commands, "start", lambda call: CommandOutcome(problem="disk [full] at /x"))
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_launch(pilot)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "disk [full] at /x" in screen_text(app))
        await pilot.press("enter", "escape")
        assert app.screen is screen, "escape closes the line in which one types first"
        await pilot.press("escape")
        assert app.screen is not screen
