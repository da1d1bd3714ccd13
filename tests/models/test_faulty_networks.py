"""Faulty networks of one's own, each told in one line with its file and line; odd ones that work; both show and train."""

from __future__ import annotations

import importlib
import io
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import cnn_explorer as cx
import pytest
import torch
from cnn_explorer.cli import long_runs
from cnn_explorer.errors import UsageError, WorkError
from cnn_explorer.models.anatomy import server
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.catalogue import registry, user_code
from cnn_explorer.trainer.planning import planner
from cnn_explorer.tui.networks import layer_tree
from support.faulty_networks import CONV, FAULTY, HEAD, ODD, POOLED, Faulty, module
from support.training import asked, call, request_of_words, same, weights_of

QUICK = ("--threads", "1", "--device", "cpu", "--no-calibrate", "--plan")
IMAGE = ("--input", "1x28x28")


@pytest.fixture
def folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory for files of one's own, whose modules are forgotten afterwards."""
    work = home / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    path, known = list(sys.path), set(sys.modules)
    yield work
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(home)):
            del sys.modules[name]


def said_by(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout, and the last line of stderr of a command; no traceback is in it."""
    capsys.readouterr()
    code = call(monkeypatch, *words)
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err and "Traceback" not in printed.out
    return code, printed.out, (printed.err.splitlines() or [""])[-1]


def check_line(line: str, faulty: Faulty, name: str, words: str) -> None:
    assert line.startswith("cnn-explorer: ") and words in line, line
    assert f"({name}.py, line {faulty.line})" in line, line
    assert not re.search(r"[;:.]$|\.;|;;", line), line


RETURN_NO_TENSOR = ("returns_nothing", "returns_a_word", "yields")
"""Run all the same, so that torchinfo has a table of them."""


@pytest.mark.parametrize("name", [name for name, faulty in FAULTY.items() if not faulty.shows])
def test_show_tells_a_faulty_network_in_one_line(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = FAULTY[name]
    (folder / f"{name}.py").write_text(faulty.text)
    code, _, line = said_by(monkeypatch, capsys, "show", f"{name}.py:Net", *IMAGE)
    assert code == 2
    check_line(line, faulty, name, faulty.show)
    code, printed, line = said_by(monkeypatch, capsys, "show", f"{name}.py:Net", "--torchinfo", *IMAGE)
    if name not in RETURN_NO_TENSOR:
        assert code == 2 and printed == "" and f"({name}.py, line {faulty.line})" in line, line


@pytest.mark.parametrize("name", FAULTY)
def test_train_tells_a_faulty_network_in_one_line_and_writes_nothing(
    name: str, folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = FAULTY[name]
    (folder / f"{name}.py").write_text(faulty.text)
    code, printed, line = said_by(monkeypatch, capsys, "train", f"{name}.py:Net", *QUICK)
    assert code == 2 and printed == ""
    check_line(line, faulty, name, faulty.train or faulty.show.replace("1x1x28x28", "2x1x28x28"))
    assert not (home / "runs").exists()


@pytest.mark.parametrize("name", ODD)
def test_an_odd_network_is_shown_and_planned(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / f"{name}.py").write_text(ODD[name])
    code, printed, line = said_by(monkeypatch, capsys, "show", f"{name}.py:Net", "--layers", *IMAGE)
    assert (code == 0 and "conv" in printed) or name == "function", line
    assert planner.plan(asked(f"{name}.py:Net", recipe={"epochs": 1}), print).config.network.parameters > 0


OF_A_FOLDER = (
    "syntax",
    "needs_arguments",
    "endless_recursion",
    "factory_returns_list",
    "typo_in_forward",
    "wrong_linear",
)
OF_A_FOLDER += ("exit_in_forward", "returns_nothing", "softmax", "fails_in_training", "dictionary")


@pytest.mark.parametrize("name", OF_A_FOLDER)
def test_a_network_of_the_folder_of_ones_own_architectures_is_told_alike(
    name: str, folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = FAULTY[name]
    note = '+++\ntitle = "Odd"\nyear = 2026\ninput = [1, 28, 28]\nclasses = 10\n\n[variants.odd]\n+++\nOdd.\n'
    (home / "models" / "odd.md").write_text(note)
    builder = "\ndef odd(num_classes, in_channels, image_size): return Net()\n"
    if name in ("needs_arguments", "factory_returns_list"):
        builder = "\nodd = Net\n"
    (home / "models" / "odd.py").write_text(faulty.text + builder)
    registry.forget()
    for words in (("show", "odd"), ("compare", "odd", "tiny"), ("train", "odd", *QUICK)):
        if faulty.shows and words[0] != "train":
            continue
        code, _, line = said_by(monkeypatch, capsys, *words)
        assert code == 2 and f"(odd.py, line {faulty.line})" in line, line
    assert not (home / "runs").exists()
    if not faulty.shows:
        reply = server.answer(json.dumps({"id": 3, "ask": "layers", "network": "odd"}))
        told = reply.get("error") or reply["answer"]["problem"]
        assert reply["id"] == 3 and f"(odd.py, line {faulty.line})" in told and "\n" not in told


def test_the_helper_process_gives_the_table_up_to_the_failure(folder: Path) -> None:
    (folder / "wrong_linear.py").write_text(FAULTY["wrong_linear"].text)
    question = {"id": 1, "ask": "layers", "network": "wrong_linear.py:Net", "shape": [1, 28, 28]}
    answer = server.answer(json.dumps(question))["answer"]
    assert "2704 = 4×26×26 values arrive" in answer["problem"]
    rows = [(row["name"] or row["type"], row["failed"]) for row in answer["tree"]["children"]]
    assert rows == [("conv", False), ("flatten", False), ("head", True)]
    tree = layer_tree.of_network(answer)
    assert tree.problem == answer["problem"] and [layer_tree.cells(row, set())[1] for row in tree.children] == [
        "Conv2d",
        "lays all values out in one row",
        "Linear ← fails here",
    ]


def test_show_prints_the_table_up_to_the_failure_and_json_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "wrong_linear.py").write_text(FAULTY["wrong_linear"].text)
    words = ("show", "wrong_linear.py:Net", *IMAGE)
    code, printed, _ = said_by(monkeypatch, capsys, *words)
    rows = [row.split() for row in printed.splitlines() if row.strip()]
    assert code == 2 and rows[-1][:2] == ["head", "Linear"] and "fails here" in printed
    assert any(row[:4] == ["conv", "Conv2d", "3×3", "4×26×26"] for row in rows)
    for more in (("--json",), ("--output", str(folder / "table.txt"))):
        assert said_by(monkeypatch, capsys, *words, *more)[:2] == (2, "")
    assert not (folder / "table.txt").exists()


def test_traceback_shows_all_of_it_and_the_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "key_error.py").write_text(FAULTY["key_error"].text)
    for words in (("show", "key_error.py:Net", *IMAGE), ("train", "key_error.py:Net", *QUICK)):
        assert call(monkeypatch, *words, "--traceback") == 2
        printed = capsys.readouterr().err
        assert "Traceback (most recent call last)" in printed and "return self.layers['conv'](x)  # HERE" in printed
        assert printed.splitlines()[-1].startswith("cnn-explorer: network: 'key_error:Net'")
        assert call(monkeypatch, *words) == 2
        assert "Traceback" not in capsys.readouterr().err


def test_ctrl_c_is_no_fault_of_the_network(folder: Path) -> None:
    (folder / "interrupted.py").write_text(module(forward="raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        external.anatomy_of(external.network_spec("interrupted.py:Net", shape=(1, 28, 28)))


@pytest.mark.parametrize("command", ["show", "compare"])
def test_ctrl_c_is_one_line_and_130(
    folder: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "interrupted.py").write_text(module(forward="raise KeyboardInterrupt"))
    assert call(monkeypatch, command, "interrupted:Net", *(["lenet5"] if command == "compare" else [])) == 130
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == "cnn-explorer: interrupted\n"


class Clock:
    """A timer that rings when the test lets it."""

    made: ClassVar[list[Clock]] = []

    def __init__(self, seconds: float, ring: Callable[[], None]) -> None:
        self.ring, self.is_running, self.daemon = ring, False, False
        self.made.append(self)

    def start(self) -> None:
        self.is_running = True

    def cancel(self) -> None:
        self.is_running = False


def test_a_network_that_runs_for_long_is_told_with_its_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "patient.py").write_text("def runs(passes):\n    return passes()\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(long_runs.threading, "Timer", Clock)
    monkeypatch.setattr(Clock, "made", [])
    runs = importlib.import_module("patient").runs
    with long_runs.noted_when_long("patient.py:Net"), user_code.silent():
        [clock] = Clock.made
        assert clock.is_running and clock.daemon
        runs(clock.ring)
    assert not clock.is_running
    told = "patient.py:Net has been running for 10 s, now at patient.py, line 2; Ctrl-C stops it\n"
    assert capsys.readouterr() == ("", told)
    with long_runs.noted_when_long("resnet18"):
        assert Clock.made == [clock]


class Waiting(io.StringIO):
    """A stream that knows when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def flush(self) -> None:
        self.written.set()


def test_a_network_that_runs_for_long_is_told_while_a_training_is_planned(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "slow.py").write_text("def runs(passes):\n    return passes()\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(long_runs, "SECONDS", 0.02)
    monkeypatch.setattr(long_runs, "LOOK_EVERY_S", 0.005)
    stream, places, looked = Waiting(), iter(["", "", ""]), threading.Event()
    monkeypatch.setattr(sys, "stderr", stream)
    real = user_code.place_running

    def place(frame: FrameType | None) -> str:
        found = next(places, None)  # at first data are read
        if found is None:
            looked.set()
        return real(frame) if found is None else found

    monkeypatch.setattr(user_code, "place_running", place)
    with long_runs.noted_while_planning("slow.py:Net"), user_code.silent():
        assert looked.wait(60) and next(places, None) is None
        assert importlib.import_module("slow").runs(lambda: stream.written.wait(60))
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().startswith("slow.py:Net has been running for 0 s, now at ")


def test_the_script_that_started_the_program_is_no_code_of_a_network() -> None:
    frames: dict[str, Any] = {"__name__": "__main__", "sys": sys}
    exec(compile("frame = sys._getframe()", "/home/me/bin/cnn-explorer", "exec"), frames)
    script: FrameType = frames["frame"]
    assert user_code.place_running(script) == user_code.place_running(script.f_back)


def test_what_a_network_prints_stays_away_from_stdout(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(long_runs, "SECONDS", 3600.0)  # a busy machine is no reason to say more
    (folder / "prints.py").write_text("print('imported')\n" + ODD["prints"])
    assert call(monkeypatch, "show", "prints.py:Net", "--json", *IMAGE) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["parameters"] == 90
    assert printed.err.splitlines() == ["imported", "built", "runs"]
    assert call(monkeypatch, "train", "prints.py:Net", "--json", *QUICK) == 0
    assert json.loads(capsys.readouterr().out)["network"]["parameters"] == 90


def test_real_numbers_and_log_probabilities_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("reads_values", "rates", "log_softmax"):
        (folder / f"{name}.py").write_text(ODD[name])
        assert call(monkeypatch, "show", f"{name}.py:Net", *IMAGE) == 0
        is_told = "traced with real numbers: the forward depends on values" in capsys.readouterr().out
        assert is_told == (name == "reads_values")
    planned = planner.plan(asked("log_softmax.py:Net", recipe={"epochs": 1}), print)
    assert any("returns log-probabilities (log_softmax)" in remark for remark in planned.remarks)
    planned = planner.plan(asked("rates.py:Net", recipe={"epochs": 1}), print)
    assert not any("log-prob" in remark for remark in planned.remarks)


def test_trying_a_network_changes_nothing_random(folder: Path) -> None:
    (folder / "reads_values.py").write_text(ODD["reads_values"])
    state = torch.get_rng_state()
    external.anatomy_of(external.network_spec("reads_values.py:Net", shape=(1, 28, 28)))
    planner.plan(asked("reads_values.py:Net", recipe={"epochs": 1}), print)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (("mobile_former_26m", "--batch-size", "1"), True),
        (("mobile_former_26m", "--batch-size", "5", "--set", "accumulate=4"), True),
        (("mobile_former_26m", "--batch-size", "6", "--set", "accumulate=3"), False),
        (("resnet18", "--stem", "imagenet", "--image-size", "28", "--batch-size", "1"), True),
        (("lenet5", "--batch-size", "1"), False),
        (("own.py:Net", "--batch-size", "1"), True),
    ],
)
def test_a_single_image_that_a_norm_refuses_is_told_before_there_is_a_run(
    words: tuple[str, ...], refused: bool, folder: Path, home: Path
) -> None:
    (folder / "own.py").write_text(
        HEAD + "def Net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.BatchNorm1d(10))\n"
    )
    request = request_of_words([*words, "--threads", "1", "--device", "cpu", "--epochs", "1"])
    if not refused:
        planner.plan(request, print)
        return
    with pytest.raises(UsageError, match=r"batch-size: . leaves a single image.* and a norm of .* needs more values"):
        planner.plan(request, print)


def test_a_network_of_torch_jit_is_trained_and_not_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "def Net():\n    return torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)))\n"
    (folder / "compiled.py").write_text(HEAD + text)
    code, _, line = said_by(monkeypatch, capsys, "show", "compiled.py:Net", *IMAGE)
    assert code == 2 and "'compiled:Net' is compiled by torch.jit" in line
    assert said_by(monkeypatch, capsys, "train", "compiled.py:Net", *QUICK)[0] == 0
    (folder / "partly.py").write_text(HEAD + f"{text}\n\ndef Part():\n    return nn.Sequential(nn.Identity(), Net())\n")
    code, _, line = said_by(monkeypatch, capsys, "show", "partly.py:Part", *IMAGE)
    assert code == 2 and "'partly:Part' holds 1, which is compiled by torch.jit" in line


def test_the_helper_process_names_the_place_of_any_error(folder: Path) -> None:
    (folder / "over.py").write_text(FAULTY["parameters_written_over"].text)
    for ask, more in (("layers", {}), ("memory", {"batch": 2}), ("torchinfo", {"depth": 3, "columns": []})):
        question = {"id": 1, "ask": ask, "network": "over.py:Net", "shape": [1, 28, 28], **more}
        told = server.answer(json.dumps(question))["error"]
        assert f"(over.py, line {FAULTY['parameters_written_over'].line})" in told and "\n" not in told


@pytest.mark.parametrize("name", ["no_super", "wrong_linear", "exit_in_forward", "parameters_written_over"])
def test_python_raises_one_line(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty = FAULTY[name]
    (folder / f"{name}.py").write_text(faulty.text)
    monkeypatch.syspath_prepend(str(folder))
    made = vars(importlib.import_module(name))["Net"]
    for network in (f"{name}.py:Net", made):
        with pytest.raises(UsageError, match=re.escape(f"({name}.py, line {faulty.line})")):
            cx.anatomy(network, (1, 28, 28))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (":Net", "names no module; write torchvision:NAME"),
        ("odd_nets:", "has nothing to call named ''; choose one of Net"),
        ("odd_nets:nothere", "has nothing to call named 'nothere'; choose one of Net"),
        ("odd_nets.py", "is a file; name the class or function in it: file.py:Net"),
        ("gone.py:Net", "cannot be imported: there is no file gone.py"),
        ("timm:nonexist", "is not in timm"),
        ("ready.py:net", "is a network already; name the class or function that makes it"),
        ("ready.py:three", "three is of type int, and not a class or function that makes a network"),
        ("json.py:Net", "is the name of another module; rename the file"),
    ],
)
def test_names_that_are_none(
    name: str, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in ("odd_nets.py", "json.py"):
        (folder / file).write_text("class Net: pass\n")
    (folder / "ready.py").write_text(HEAD + "net = nn.Flatten()\nthree = 3\n")
    code, _, line = said_by(monkeypatch, capsys, "show", name)
    assert code == 2 and words in line and not line.rstrip().endswith(";")


@pytest.mark.parametrize("name", ["lazy", "shared", "reads_values", "tuple_in_training"])
def test_an_odd_network_is_trained_and_loaded(
    name: str, folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / f"{name}.py").write_text(ODD[name])
    words = ("--threads", "1", "--device", "cpu", "--no-calibrate", "--epochs", "1", "--batch-size", "640")
    assert call(monkeypatch, "train", f"{name}.py:Net", *words) == 0
    (run,) = (home / "runs").iterdir()
    assert json.loads((run / "run.json").read_text())["network"]["name"] == f"{name}:Net"
    assert same(dict(cx.load(run).state_dict()), weights_of(run, "best"))


def test_show_of_a_file_that_changes_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "moves.py").write_text("import os\nos.chdir('/')\n" + HEAD + "Net = lambda: nn.Conv2d(1, 4, 3)\n")
    code, printed, line = said_by(monkeypatch, capsys, "show", "moves.py:Net", "--layers", *IMAGE)
    assert code == 0 and "4×26×26" in printed, line


def test_show_of_a_layer_too_large_to_be_run_says_what_arrives(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = module("self.first = nn.Linear(784, 28)\nself.wide = nn.Linear(10**7, 10**7)",
                  "return self.wide(self.first(x.flatten(1)))")  # fmt: skip
    (folder / "wide.py").write_text(text)
    code, printed, line = said_by(monkeypatch, capsys, "show", "wide.py:Net", *IMAGE)
    assert code == 2 and "28 values arrive, this Linear expects 10000000" in line
    assert re.search(r"first +Linear +28 ", printed) and re.search(r"wide +Linear ← fails here", printed)


def test_an_async_forward_is_one_line_without_warnings(folder: Path) -> None:
    text = module("self.head = nn.Linear(28, 10)", "return self.head(x)").replace("def forward", "async def forward")
    (folder / "waits.py").write_text(text)
    words = [sys.executable, "-m", "cnn_explorer", "show", "waits.py:Net", *IMAGE]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "cnn-explorer: network: 'waits:Net' returns a coroutine without a tensor (waits.py, line 9)"
    ]


def test_what_cannot_be_followed_is_refused_and_not_counted_in_part(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    in_thread = "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(1) as pool:\n"
    in_thread += f"    x = pool.submit(self.conv, x).result()\nreturn {POOLED.replace('self.conv(x)', 'x')}"
    packed = "\n    return torch.ao.quantization.quantize_dynamic(Inner(), {nn.Linear}, dtype=torch.qint8)\n"
    inner = module(CONV, f"return {POOLED}").replace("class Net", "class Inner")
    for name, text, words in (
        ("threaded", module(CONV, in_thread, at_forward="  # HERE"), "layer 'conv' in a thread of its own"),
        ("packed", inner + "def Net():" + packed, "is quantised: the weights of head (Linear) are packed"),
    ):
        (folder / f"{name}.py").write_text(text)
        code, printed, line = said_by(monkeypatch, capsys, "show", f"{name}.py:Net", "--layers", *IMAGE)
        assert (code, printed) == (2, "") and words in line, line
    assert planner.plan(asked("threaded.py:Net", recipe={"epochs": 1}), print).config.network.parameters == 90


def test_an_error_in_a_thread_is_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "import threading\nthread = threading.Thread(target=lambda: self.conv2(x))\nthread.start()\nthread.join()"
    (folder / "threaded.py").write_text(module(CONV, f"{lines}\nreturn {POOLED}"))
    before = threading.excepthook
    assert call(monkeypatch, "show", "threaded.py:Net", "--layers", *IMAGE) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "in a thread: AttributeError: 'Net' object has no attribute 'conv2' (threaded.py, line 12)"
    assert threading.excepthook is before


def test_a_field_that_numpy_hides_is_told_as_unknown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "hides.py").write_text(
        module(CONV, f"x = torch.from_numpy(x.detach().numpy().clip(-1, 1))\nreturn {POOLED}")
    )
    assert call(monkeypatch, "show", "hides.py:Net", "--layers", *IMAGE) == 0
    printed = capsys.readouterr().out
    assert re.search(r"input +Net +10 +90 +24.4 k +– ", printed), printed
    assert "the receptive field is unknown: values leave PyTorch on their way, by numpy() for example" in printed


def test_a_long_error_ends_with_a_whole_sentence_or_word() -> None:
    sentences = "Given that. " * 40
    assert user_code.first_line(ValueError(sentences)) == "Given that. " * 23 + "Given that"
    told = user_code.first_line(ValueError("No. " + "word " * 90))
    assert told.endswith("word…") and 250 < len(told) <= user_code.LONGEST
    assert user_code.first_line(ValueError("x" * 900)) == "x" * (user_code.LONGEST - 1) + "…"


def test_control_characters_of_an_error_are_spelled_out_in_python_too() -> None:
    class Red(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise ValueError("\x1b[31mred\x07")

    with pytest.raises(UsageError, match=r"run with 1x8x8: Red was given 1x1x8x8: \\x1b\[31mred\\x07 \(test_faulty"):
        cx.anatomy(Red(), input=(1, 8, 8))
    assert str(WorkError("cannot write a\x1b[2Jb")) == r"cannot write a\x1b[2Jb"
    assert str(UsageError("data", "a\x9bb", "has\ttwo\nlines of ü")) == "data: 'a\\x9bb' has\\ttwo\nlines of ü"


DELETED = """
from torch import nn


class Part:
    def __del__(self):
        raise ValueError("no \\x1b[31mway")


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.part, self.head = Part(), nn.Linear(784, num_classes)

    def forward(self, images):
        return self.head(images.flatten(1))
"""


def test_an_error_that_python_ignores_is_one_line_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "deleted_net.py").write_text(DELETED)
    words = [sys.executable, "-m", "cnn_explorer", "train", "deleted_net:Net", "--plan", "--runs", "runs"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert "ignored: ValueError: no \\x1b[31mway (deleted_net.py, line 7)\n" in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
