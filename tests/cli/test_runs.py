"""`cnn-explorer runs`: what it prints, what it refuses, and that it stays light."""

import csv
import io
import json
import math
import os
import re
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.cli import runs_text, runs_watch
from cnn_explorer.cli.runs import runs_app
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.common.number_text import rough_duration
from cnn_explorer.trainer.common.text_safe import width
from cnn_explorer.trainer.launch import spawn
from cnn_explorer.trainer.runs import requests
from cnn_explorer.trainer.runs.ids import new_id
from cnn_explorer.trainer.runs.reader import list_runs, read_run
from cnn_explorer.trainer.runs.run_writer import Notes, RunWriter, write_notes
from support.patience import PATIENCE_S
from typer.testing import CliRunner, Result

CONFIG = {
    "argv": ["train", "resnet18", "--dataset", "cifar10"],
    "network": {"name": "resnet18", "stem": "small", "parameters": 11_173_962},
    "data": {"name": "cifar10", "train": 45_000, "classes": ["cat", "dog"]},
    "recipe": {"optimizer": "sgd", "lr": 0.1, "epochs": 30},
    "engine": {"device": "cpu", "calibration": {"origin": "none", "why": "it is too short"}},
    "seed": 1234567,
}


def make(runs: Path, minutes: int = 0, network: str = "resnet18", dataset: str = "cifar10", **status: Any) -> RunWriter:
    began = datetime.now(UTC) - timedelta(minutes=minutes)
    named = {"network": CONFIG["network"] | {"name": network}, "data": CONFIG["data"] | {"name": dataset}}
    config = CONFIG | named | {"created": began.isoformat()}
    writer = RunWriter.create(runs, new_id(network, dataset, began), config)
    writer.status(**status)
    return writer


def finished(runs: Path, **more: Any) -> RunWriter:
    best = {"best": {"accuracy": 0.83, "epoch": 14}, "test": {"accuracy": 0.82}}
    status: dict[str, Any] = {"state": "finished", "progress": 1.0} | best | more
    writer = make(runs, **status)
    for step in (1, 2):
        writer.record(
            {"kind": "train", "step": step, "epoch": step / 2, "time": 0.5, "loss": 1 / step, "accuracy": 0.5}
        )
    writer.record(
        {"kind": "eval", "split": "validation", "step": 2, "epoch": 1, "loss": math.nan, "per_class": [0.25, 1.0]}
    )
    writer.event("checkpoint", "best", step=2)
    (writer.path / "train.log").write_text("loading\n\r10 %\r20 %\n")
    writer.close()
    writer.lock.release()
    return writer


def call(runs: Path, *words: str, **options: Any) -> Result:
    return CliRunner().invoke(
        runs_app, [words[0], "--runs", str(runs), *words[1:]] if words else ["--runs", str(runs)], **options
    )


def test_a_list_in_a_pipe_is_whole_and_without_colour(tmp_path):
    live = make(tmp_path, state="training", phase="epoch 14 of 30", eta_s=95)
    finished(tmp_path, minutes=90, network="a-network-with-a-very-long-name-indeed-it-is-long")
    result = call(tmp_path)
    lines = result.stdout.splitlines()
    assert "\x1b" not in result.stdout
    assert lines[0].split() == ["id", "state", "network", "dataset", "epoch", "best", "test", "age", "left"]
    assert re.search(r"► training +resnet18 +cifar10 +14/30 +– +– +\d+ s +95 s$", lines[2])
    assert re.search(
        r"✓ finished +a-network-with-a-very-long-name-indeed-it-is-long +cifar10 +30/30 +83.0 % +82.0 % +9[01] min",
        lines[3],
    )
    assert lines[2].startswith(live.path.name)
    live.lock.release()


@pytest.mark.parametrize("cells", [80, 100, 132, 200])
def test_a_list_fits_the_terminal_and_grows_with_it(tmp_path, cells):
    write_notes(
        finished(tmp_path, network="mobile_former_508m", dataset="folder:猫の写真").path, Notes(("good", "wide"))
    )
    make(tmp_path, 5, "efficientnet_v2_s", "fashion-mnist", state="failed").lock.release()
    runs = list_runs(tmp_path)
    text = runs_text.table(runs, runs_text.Screen(cells))
    assert max(map(width, text.splitlines())) <= cells
    whole = all(run.id in text for run in runs)
    assert whole == (cells == 200)
    assert ("good wide" in text) == (cells >= 100)
    for run in runs:
        assert run.id[-4:] in text


def test_colour_is_beside_the_words_only(tmp_path):
    finished(tmp_path, state="failed")
    runs = list_runs(tmp_path)
    plain, coloured = (runs_text.table(runs, runs_text.Screen(80, colour=colour)) for colour in (False, True))
    assert "\x1b[31m✗ failed" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain


def test_a_screen_of_ascii(tmp_path, monkeypatch):
    writer = finished(tmp_path, network="x" * 100)
    monkeypatch.chdir(tmp_path)  # whose own name may have any letters
    run = read_run(writer.path.relative_to(tmp_path))
    screen = runs_text.Screen(80, signs=False)
    runs_text.table([run], screen).encode("ascii")
    metrics = runs_text.NewestMetrics({}, {}, {}, [])
    runs_text.details(run, metrics, [], screen).encode("ascii")


def test_a_stream_tells_what_it_can_show(monkeypatch):
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "91")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert runs_text.Screen.of(Terminal()) == runs_text.Screen(91, colour=True, signs=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not runs_text.Screen.of(Terminal()).colour
    assert runs_text.Screen.of(io.TextIOWrapper(io.BytesIO(), "latin-1")) == runs_text.Screen(None, signs=False)


def test_no_runs_is_no_error(tmp_path):
    result = call(tmp_path / "missing")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no runs in" in result.stderr
    result = CliRunner().invoke(runs_app, ["--json", "--runs", str(tmp_path / "missing")])
    assert json.loads(result.stdout)["runs"] == []


def test_the_list_as_json(tmp_path):
    writer = finished(tmp_path)
    result = CliRunner().invoke(runs_app, ["--json", "--runs", str(tmp_path)])
    answer = json.loads(result.stdout)
    assert answer["schema"] == 1
    [run] = answer["runs"]
    assert (run["id"], run["state"], run["best_accuracy"], run["test_accuracy"]) == (
        writer.path.name,
        "finished",
        0.83,
        0.82,
    )


def test_the_documented_keys_are_those_that_are_printed(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "run-directory.md"
    finished(tmp_path)
    result = CliRunner().invoke(runs_app, ["--json", "--runs", str(tmp_path)])
    listed = re.search(r"## `runs --json`.*?```json\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    assert listed is not None
    assert json.loads(listed[1])["runs"][0].keys() == json.loads(result.stdout)["runs"][0].keys()


def test_only_the_newest_are_listed_when_asked(tmp_path):
    ids = {}
    for minutes in (5, 1, 9):
        writer = make(tmp_path, minutes, state="stopped")
        writer.lock.release()
        ids[minutes] = writer.path.name
    asked = ["--runs", str(tmp_path), "--limit", "2"]
    lines = CliRunner().invoke(runs_app, asked).stdout.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [ids[1], ids[5]]
    listed = json.loads(CliRunner().invoke(runs_app, [*asked, "--json"]).stdout)["runs"]
    assert [run["id"] for run in listed] == [ids[1], ids[5]]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (-1, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172_799, "48 h"),
        (172_800, "2 d"),
        (30 * 86_400, "30 d"),
        (1e12, "–"),
    ],
)
def test_a_duration_has_the_unit_that_fits(seconds, text):
    assert rough_duration(seconds) == text


def test_show_tells_everything(tmp_path):
    writer = finished(tmp_path)
    write_notes(writer.path, Notes(("good",), "first try"))
    text = call(tmp_path, "show", "last").stdout
    for part in (
        writer.path.name,
        "✓ finished",
        f"folder       {writer.path}",
        "tags         good",
        "remark       first try",
        "network      name resnet18, stem small, parameters 11,173,962",
        "recipe       optimizer sgd, lr 0.1, epochs 30",
        "engine       device cpu, calibration (origin none, why it is too short)",
        "seed         1234567",
        "command      cnn-explorer train resnet18 --dataset cifar10",
        "training     loss 0.5000, accuracy 50.0 %, epoch 1, step 2",
        "validation   loss nan, epoch 1, step 2",
        "best         validation accuracy 83.0 % in epoch 14",
        "cat           25.0 % █████",
        "dog          100.0 % ████████████████████",
        "checkpoint: best (step 2)",
        "  20 %",
    ):
        assert part in text, part
    assert "10 %\r" not in text


def test_show_lists_the_checkpoints_and_counts_a_file_with_two_names_once(tmp_path):
    writer = finished(tmp_path)
    paths = writer.checkpoints
    for file in (paths.last, paths.best):
        file.write_bytes(b"x" * 600)
    for epoch in (2, 11):
        os.link(paths.last, paths.of_epoch(epoch))
    (paths.folder / "epoch-12.pt").write_bytes(b"not one of ours")
    assert "checkpoints  last, best, after epoch 2 11; 1 kB" in call(tmp_path, "show", "last").stdout


def test_show_as_json_is_valid_also_with_nan(tmp_path):
    finished(tmp_path)
    answer = json.loads(call(tmp_path, "show", "last", "--json").stdout, parse_constant=pytest.fail)
    assert answer["schema"] == 1
    assert answer["config"]["network"]["name"] == "resnet18"
    assert answer["newest"]["validation"]["loss"] is None
    assert answer["newest"]["train"]["step"] == 2
    assert answer["log"] == ["loading", "20 %"]


def test_show_of_a_crashed_run_says_why(tmp_path):
    make(tmp_path, state="training", phase="epoch 2 of 30").lock.release()
    assert "† crashed: its process is gone" in call(tmp_path, "show", "last").stdout


def test_hostile_names_do_nothing_to_the_terminal(tmp_path):
    writer = make(tmp_path, state="failed", error="\x1b]0;owned\x07boom\nsecond line")
    (writer.path / "run.json").write_text(json.dumps(CONFIG | {"network": {"name": "\x1b[2Jevil\r"}}))
    (writer.path / "train.log").write_bytes(b"\x1b[31mred \x9b2J \xff\n")
    writer.record({"kind": "event", "name": "\x1b[5mblink"})
    for result in (call(tmp_path), call(tmp_path, "show", "last"), call(tmp_path, "watch", "last")):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", result.stdout)
    assert "boom second line" in call(tmp_path, "show", "last").stdout
    writer.lock.release()


def test_watch_follows_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(runs_watch, "POLL_S", 0.01)
    writer = make(tmp_path, state="starting", phase="loading data")
    said: list[str] = []
    watcher = threading.Thread(target=runs_watch.follow, args=(writer.path, said.append))
    watcher.start()

    def wait(words: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not any(words in line for line in said):
            assert time.monotonic() < deadline, said
            time.sleep(0.01)

    wait("starting: loading data")
    writer.status(state="training", phase="epoch 1 of 3")
    wait("training")
    for epoch in (1, 2, 3):
        writer.record({"kind": "train", "step": 10 * epoch, "epoch": epoch, "loss": 0.5, "accuracy": 0.8})
        writer.record(
            {"kind": "eval", "split": "validation", "step": 10 * epoch, "epoch": epoch, "loss": 0.6, "accuracy": 0.7}
        )
        wait(f"epoch {epoch}:")
    writer.drop_records_after(20)
    writer.record({"kind": "eval", "split": "validation", "step": 30, "epoch": 3, "loss": 0.4, "accuracy": 0.9})
    wait("epoch 3: train loss 0.5000, accuracy 80.0 %; validation loss 0.4000, accuracy 90.0 %")
    writer.event("resumed", "from epoch 2")
    wait("resumed: from epoch 2")
    writer.status(state="finished", test={"accuracy": 0.9})
    watcher.join(PATIENCE_S)
    assert said[-1] == "finished; test accuracy 90.0 %"
    assert sum(line.startswith("epoch 1:") for line in said) == 1, "what was said is not said again"
    writer.lock.release()


@pytest.mark.parametrize(
    ("state", "code"), [("finished", 0), ("stopped", 0), ("failed", 1), ("diverged", 1), ("training", 1)]
)
def test_watch_tells_the_end_by_its_exit_code(tmp_path, state, code):
    make(tmp_path, state=state, error="boom").lock.release()
    result = call(tmp_path, "watch", "last")
    assert result.exit_code == code
    words = {"training": "crashed: boom", "failed": "failed: boom", "diverged": "diverged: boom"}.get(state, state)
    assert result.stdout.splitlines() == [words]


def test_watch_shows_the_last_evaluations_only(tmp_path):
    writer = make(tmp_path, state="stopped")
    for epoch in range(100):
        writer.record({"kind": "eval", "split": "validation", "step": epoch, "epoch": epoch, "loss": 1})
    writer.lock.release()
    lines = call(tmp_path, "watch", "last").stdout.splitlines()
    assert len(lines) == runs_watch.HISTORY + 1
    assert lines[-2].startswith("epoch 99:")


def test_leaving_watch_leaves_the_run_alone(tmp_path, monkeypatch):
    writer = make(tmp_path, state="training")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs_watch.time, "sleep", interrupt)
    result = call(tmp_path, "watch", "last")
    assert result.exit_code == 130
    assert "it goes on" in result.stderr
    assert read_run(writer.path).state == "training"
    assert not requests.is_requested(writer.path, requests.STOP)
    writer.lock.release()


def test_stop_asks(tmp_path, monkeypatch):
    writer = make(tmp_path, state="queued")
    result = call(tmp_path, "stop", "last")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "was asked to stop" in result.stderr
    assert requests.is_requested(writer.path, requests.STOP)
    monkeypatch.setattr(requests.time, "sleep", lambda _: (writer.status(state="stopped"), writer.lock.release()))
    assert "has ended" in call(tmp_path, "stop", "last", "--wait").stderr


def test_skip_asks_and_keep_best_leaves_another_request(tmp_path):
    writer = make(tmp_path, state="training")
    assert "was asked to end its training" in call(tmp_path, "stop", "last", "--keep-best").stderr
    assert requests.is_requested(writer.path, requests.FINISH) and not requests.is_requested(writer.path, requests.STOP)
    writer.status(state="queued")
    assert "was asked to leave its queue" in call(tmp_path, "skip", "last").stderr
    assert requests.is_requested(writer.path, requests.STOP)
    writer.lock.release()


def test_an_early_end_is_said(tmp_path):
    writer = make(tmp_path, state="finished", ended_early=True, epoch=2, test={"accuracy": 0.5})
    assert "finished: ended early, after 2 of 30 epochs" in call(tmp_path, "show", "last").stdout
    assert runs_text.result(read_run(writer.path)).endswith("  ended early: test accuracy 50.0 %")


def test_resume_goes_on_here_or_elsewhere(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(spawn, "resume", lambda path, *, detach, devices: called.append((path, detach)) or 3)
    writer = make(tmp_path, state="stopped", best={"accuracy": 0.5, "epoch": 2})
    here = call(tmp_path, "resume", "last")
    assert (here.exit_code, here.stdout) == (3, f"{writer.path.name}  stopped: validation 50.0 % (epoch 2)\n")
    assert call(tmp_path, "resume", "last", "--detach").stdout == f"{writer.path.name}\n"
    assert called == [(writer.path, False), (writer.path, True)]
    writer.lock.release()


def test_rm_asks_and_needs_somebody_to_ask(tmp_path, monkeypatch):
    writer = finished(tmp_path)
    result = call(tmp_path, "rm", "last")
    assert isinstance(result.exception, UsageError)
    assert "--yes" in str(result.exception)
    assert writer.path.exists()
    assert call(tmp_path, "rm", "last", "--yes").exit_code == 0
    assert not writer.path.exists()


def test_rm_on_a_terminal_takes_no_for_an_answer(tmp_path):
    writer = finished(tmp_path)
    for answer in (b"n\n", b"\n"):
        assert b"Remove" in on_terminal(["runs", "rm", "last", "--runs", str(tmp_path)], answer)
        assert writer.path.exists()
    on_terminal(["runs", "rm", "last", "--runs", str(tmp_path)], b"y\n")
    assert not writer.path.exists()


def on_terminal(words: list[str], typed: bytes) -> bytes:
    """Run the command with a terminal of its own; returns what it printed."""
    ours, theirs = os.openpty()
    code = "import sys; from cnn_explorer.cli.runs import runs_app; runs_app(sys.argv[2:])"
    child = subprocess.Popen([sys.executable, "-c", code, *words], stdin=theirs, stdout=theirs, stderr=theirs)
    os.write(ours, typed)
    child.wait(PATIENCE_S)
    os.set_blocking(ours, False)
    printed = os.read(ours, 10_000)
    os.close(ours)
    os.close(theirs)
    return printed


def test_export_writes_csv(tmp_path):
    writer = finished(tmp_path)
    rows = list(csv.DictReader(io.StringIO(call(tmp_path, "export", "last", "--format", "csv").stdout)))
    assert list(rows[0]) == (
        [
            "kind",
            "split",
            "step",
            "epoch",
            "time",
            "loss",
            "accuracy",
            "per_class[cat]",
            "per_class[dog]",
            "name",
            "detail",
        ]
    )
    assert [row["kind"] for row in rows] == ["train", "train", "eval", "event"]
    assert (rows[2]["loss"], rows[2]["per_class[cat]"], rows[2]["accuracy"]) == ("nan", "0.25", "")
    target = tmp_path / "out.csv"
    assert "4 records" in call(tmp_path, "export", writer.path.name, "-o", str(target)).stderr
    assert list(csv.DictReader(target.open())) == rows


def test_export_refuses_what_it_cannot_do(tmp_path):
    finished(tmp_path)
    result = call(tmp_path, "export", "last", "--format", "cvs")
    assert isinstance(result.exception, UsageError)
    assert "did you mean 'csv'?" in str(result.exception)
    result = call(tmp_path, "export", "last", "-o", str(tmp_path / "missing" / "out.csv"))
    assert isinstance(result.exception, UsageError)
    assert f"cannot be written: there is no folder {tmp_path / 'missing'}" in str(result.exception)


def test_a_tag_that_means_another_run_is_refused_and_nothing_is_written(tmp_path):
    run, other = finished(tmp_path).path, finished(tmp_path).path
    result = call(tmp_path, "tag", run.name, "good", other.name[-4:])
    assert isinstance(result.exception, UsageError)
    assert f"tag: '{other.name[-4:]}' is a part of the id of {other.name}" in str(result.exception)
    assert not (run / "notes.json").exists()
    assert call(tmp_path, "tag", run.name, "good", run.name[-4:]).exit_code == 0
    assert call(tmp_path, "tag", run.name, "--remove", run.name[-4:]).exit_code == 0
    assert read_run(run).notes.tags == ("good",)


@pytest.mark.parametrize("command", ["show", "watch", "stop", "skip", "resume", "rm", "export"])
def test_a_wrong_id_names_the_nearest(tmp_path, command):
    name = finished(tmp_path).path.name
    result = call(tmp_path, command, "resnet18")
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith("run: 'resnet18' is neither a run nor a tag in")
    assert f"did you mean '{name}'?" in str(result.exception)
    assert isinstance(call(tmp_path, command, "../" + tmp_path.name).exception, UsageError)


def test_the_folder_may_stand_before_the_command(tmp_path):
    finished(tmp_path)
    assert CliRunner().invoke(runs_app, ["--runs", str(tmp_path), "show", "last"]).exit_code == 0


def test_listing_imports_no_torch_textual_numpy_or_rich(tmp_path):
    finished(tmp_path)
    code = (
        "import sys; from cnn_explorer.cli.runs import runs_app; runs_app(sys.argv[1:], standalone_mode=False);"
        "heavy = {'torch', 'textual', 'numpy', 'rich', 'psutil'} & sys.modules.keys(); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, "--runs", str(tmp_path)], check=True, stdout=subprocess.DEVNULL)
