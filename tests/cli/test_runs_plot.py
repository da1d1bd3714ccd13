"""`runs plot`, `runs watch --plot` and `train --plot`: curves in a pipe and in a terminal."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cnn_explorer.trainer.runs.run_writer import RunWriter
from support.patience import PATIENCE_S
from support.terminal import InTerminal
from support.training import Here
from support.tui import FakeRun, eval_record, train_record
from support.weekly import first_of

ONE, OTHER, EMPTY = (f"20261120-14302{number}-lenet5-digits-7f3{number}" for number in range(3))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs with curves and one without."""
    folder = tmp_path / "runs"
    for number, name in enumerate((ONE, OTHER)):
        run = FakeRun(folder, name, "finished", network=f"net{number}")
        run.curve(300)
        run.write(eval_record(1, 0.5), eval_record(2, 0.75, 0.5))
        run.write(eval_record(3, 0.7, 0.25) | {"split": "test", "best_epoch": 2})
    FakeRun(folder, EMPTY, "finished")
    return folder


def plot(runs: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, for what depends on its pipe and its environment."""
    command = [sys.executable, "-m", "cnn_explorer", "runs", *words, "--runs", str(runs)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8", **environment},
        timeout=PATIENCE_S,
    )


def test_a_chart_in_a_pipe_is_80_by_20_without_colour(runs: Path) -> None:
    done = plot(runs, "plot", ONE)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout and len(lines) == 20 and max(map(len, lines)) == 80
    assert lines[0].startswith("loss over epochs") and "validation" in lines[0]
    assert any("★ best 0.5 epoch 2" in line for line in lines[:3])


def test_without_utf8_it_is_ascii_and_several_runs_have_letters(runs: Path) -> None:
    done = plot(runs, "plot", ONE, OTHER, "--metric", "accuracy", "--size", "60x12", PYTHONIOENCODING="ascii")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and done.stdout.isascii()
    assert len(lines) in (11, 12) and max(map(len, lines)) <= 60
    assert "A net0 7f30" in lines[0] and "B net1 7f31" in lines[0]


def test_json_is_data_and_a_file_gets_the_chart(runs: Path, tmp_path: Path, here: Here) -> None:
    into = ("--runs", str(runs))
    value = json.loads(here("runs", "plot", ONE, OTHER, "--json", "--size", "40x10", *into).stdout)
    assert (value["schema"], value["metric"], value["axis"]) == (1, "loss", "epoch")
    assert [run["id"] for run in value["runs"]] == [ONE, OTHER]
    first = value["runs"][0]
    assert 1 < len(first["train"]) <= 40 and set(first["train"][0]) == {"epoch", "mean", "low", "high"}
    assert first["validation"] == [{"epoch": 1, "value": 1.0}, {"epoch": 2, "value": 0.5}]
    assert first["best"] == {"epoch": 2, "value": 0.5} and first["test"] == {"epoch": 2, "value": 0.25}
    target = tmp_path / "chart.txt"
    assert here("runs", "plot", ONE, "-o", str(target), *into).stdout == ""
    assert target.read_text() == here("runs", "plot", ONE, *into).stdout


def test_json_has_a_null_where_the_loss_was_not_a_number(runs: Path, here: Here) -> None:
    """Of a run that never had a number as well: its chart is refused, its data are not."""
    lost = FakeRun(runs, "20261120-143029-lenet5-digits-7f39", "finished")
    lost.write(*(train_record(step, math.nan) for step in range(1, 50)), eval_record(1, 0.5, math.nan))
    into = ("--runs", str(runs))
    done = here("runs", "plot", lost.path.name, "--json", "--size", "40x10", *into)
    assert (done.returncode, done.stderr) == (0, "") and "NaN" not in done.stdout
    (run,) = json.loads(done.stdout)["runs"]
    assert 1 < len(run["train"]) <= 40 and {row["mean"] for row in run["train"]} == {None}
    assert run["validation"] == [{"epoch": 1, "value": None}] and run["diverged_epoch"] == 0.01
    drawn = here("runs", "plot", lost.path.name, *into)
    assert drawn.returncode == 2 and "not a number" in drawn.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("plot", ONE, "--metric", "los"), "--metric: 'los' is unknown; did you mean 'loss'?"),
        (("plot", ONE, "--size", "80"), "--size: '80' must be COLUMNSxROWS such as 80x20"),
        (("plot", ONE, "--size", "5x900"), "--size: '5x900' must be"),
        (("plot", ONE, EMPTY), f"run: '{EMPTY}' has no values of loss to draw; it has no records yet"),
        (("plot", ONE, "--metric", "grad_norm"), "--metric loss or accuracy or images_per_s has some"),
        (("plot", "nothing"), "run: 'nothing' is neither a run"),
        (("watch", ONE, "--plot", "--json"), "--plot: draws a chart, and --json prints records"),
        (("watch", ONE, "--metric", "loss"), "--metric: 'loss' says what --plot draws; give both"),
        (("watch", ONE, "--plot", "--metric", "los"), "--metric: 'los' is unknown; did you mean 'loss'?"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(runs: Path, here: Here, words: tuple[str, ...], told: str) -> None:
    done = here("runs", *words, "--runs", str(runs))
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr and len(done.stderr.splitlines()) == 1


def test_watch_draws_one_final_chart_in_a_pipe(runs: Path) -> None:
    done = plot(runs, "watch", ONE, "--plot")
    assert done.returncode == 0 and "\x1b" not in done.stdout
    assert done.stdout.count("loss over epochs") == 1
    assert done.stdout.splitlines()[-1] == "finished"
    assert plot(runs, "watch", EMPTY, "--plot").stdout == "finished\n"


def test_watch_draws_in_place_on_a_terminal(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path / "runs", ONE, {"network": {"name": "lenet5"}})
    writer.status(state="training", phase="epoch 1 of 3")
    writer.record(train_record(100))
    with InTerminal(tmp_path, command=("-m", "cnn_explorer", "runs", "watch", ONE, "--plot")) as terminal:
        terminal.read_until(b"loss over epochs")
        terminal.read_until(b"training")
        writer.record(train_record(200, 0.5))
        writer.record(eval_record(2, 0.75, 0.25))
        terminal.read_until("★ best 0.25 epoch 2".encode())
        writer.status(state="finished")
        terminal.read_until(b"finished")
        assert terminal.wait() == 0
        assert re.search(rb"\x1b\[\d+F\x1b\[J", terminal.seen), "the chart before is painted over"
        assert b"\x1b[36m" in terminal.seen and b"\x1b[38;" not in terminal.seen
    writer.lock.release()


def test_watch_draws_the_metric_that_is_asked_for(runs: Path, here: Here) -> None:
    into = ("--runs", str(runs))
    done = here("runs", "watch", ONE, "--plot", "--metric", "accuracy", *into)
    assert done.returncode == 0 and done.stdout.startswith("accuracy over epochs")
    assert "★ best 75.0 % epoch 2" in done.stdout and done.stdout.splitlines()[-1] == "finished"
    assert here("runs", "watch", ONE, "--plot", "--metric", "lr", *into).stdout == "finished\n"


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_in_the_locale_c_a_chart_is_ascii(runs: Path, locale: str) -> None:
    cleared = {"PYTHONIOENCODING": "", "PYTHONUTF8": ""}
    done = plot(runs, "plot", ONE, **cleared, LC_ALL=locale)
    assert done.returncode == 0 and done.stdout.isascii() and "* best 0.5 epoch 2" in done.stdout
    assert "★ best 0.5 epoch 2" in plot(runs, "plot", ONE, **cleared, LC_ALL="C.UTF-8").stdout


def test_no_color_leaves_out_colours_on_a_terminal(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", value)
        with InTerminal(tmp_path, command=("-m", "cnn_explorer", "runs", "plot", ONE, OTHER)) as terminal:
            terminal.read_until(b"loss over epochs")
            assert terminal.wait() == 0
        assert (b"\x1b[" in terminal.seen) == coloured


@pytest.mark.parametrize("words", [("plot", ONE), ("plot", ONE, OTHER, "--json"), ("watch", ONE, "--plot")])
def test_a_pipe_that_nobody_reads_is_no_failure(runs: Path, words: tuple[str, ...]) -> None:
    assert into_closed_pipe("runs", *words, "--runs", str(runs)) == (0, "")


def into_closed_pipe(*words: str) -> tuple[int, str]:
    """Return the exit code and stderr of a command whose stdout nobody reads any more."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        command = [sys.executable, "-m", "cnn_explorer", *words]
        done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    finally:
        os.close(write_end)
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [("--plan",), ("--find-lr",), ("--detach",)])
def test_train_plot_is_refused_where_nothing_is_trained_here(
    tmp_path: Path, here: Here, words: tuple[str, ...]
) -> None:
    done = here("train", "lenet5", "--plot", *words, "--runs", str(tmp_path / "r"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("cnn-explorer: --plot: draws a training") and not (tmp_path / "r").exists()


def test_train_plot_draws_once_in_a_pipe_and_keeps_json_whole(tmp_path: Path, here: Here) -> None:
    """The pipe that breaks is one of a process; in the others the streams of the tests are no terminal either."""
    words = ("train", "lenet5", "--dataset", "digits", "--epochs", "1", "--threads", "1")
    words += ("--no-calibrate", "--plot", "--runs", str(tmp_path / "runs"))
    done = here(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("loss over epochs") == 1 and "\x1b" not in done.stdout + done.stderr
    assert "finished: test accuracy" in done.stdout.splitlines()[-1]
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 80
    done = here(*words, "--json")
    assert json.loads(done.stdout)["state"] == "finished"
    assert done.stderr.count("loss over epochs") == 1
    code, said = into_closed_pipe(*words)
    assert code == 0 and "Traceback" not in said and "BrokenPipe" not in said


@pytest.mark.parametrize("devices", first_of(["cpu", "cpu,cpu"], 1))
def test_train_plot_draws_above_the_bar_on_a_terminal(tmp_path: Path, devices: str) -> None:
    words = ("train", "lenet5", "--dataset", "digits", "--epochs", "3", "--no-calibrate", "--plot")
    words += ("--devices", devices, "--threads", "1")
    with InTerminal(tmp_path, command=("-m", "cnn_explorer", *words)) as terminal:
        terminal.read_until(b"finished: test accuracy")
        assert terminal.wait() == 0
    drawn = terminal.seen.count(b"loss over epochs")
    assert drawn >= 2, "after an epoch, and at the end"
    assert terminal.seen.index(b"loss over epochs") < terminal.seen.index(b"finished: test accuracy")
