"""Whatever is typed behind an option or stands in the place of an argument: one line and exit code 2, never a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from cnn_explorer.cli import main
from cnn_explorer.trainer.runs.run_writer import RunWriter
from cnn_explorer.trainer.weights import checkpoint
from support.training import call
from support.weekly import first_of

RUN = "20261120-143024-tiny-digits-9f3a"
LONG = "x" * 5000

PATHS = ("~nosuchuser/x", LONG, "x/" * 4000, "/dev/null/x", "", "a\udcffb")
NUMBERS = ("1" + "0" * 20, "999999999999", "9" * 5000, "1e20", "1e400", "nan", "-inf", "-1", "0", "", "zwei")
TEXTS = ("", " ", "~nosuchuser/x", LONG, "a:b:c", ":", "\x1b[31mred", "1" + "0" * 20, ",", "=", "a\udcffb", "../..")
"""The surrogate is a byte that is no UTF-8, as Python hands it over."""

NAMES = (
    *TEXTS,
    "os:system",
    "json:loads",
    "os:path",
    "builtins:exit",
    "timm:",
    "torchvision:",
    "own:",
    f"{LONG}.py:Net",
)
NAMES += (
    "~nosuchuser/net.py:Net",
    "/dev/null:Net",
    "/dev/null.pth",
    f"{LONG}.pth",
    "~nosuchuser/x.pth",
    "a.py",
    "folder:x",
)


def commands(command: Any, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found = {words: command}
    for name, below in getattr(command, "commands", {}).items():
        found |= commands(below, (*words, name))
    return found


COMMANDS = commands(typer.main.get_command(main.app))
QUICK = ("--threads", "1", "--no-calibrate")
GIVEN = {
    ("show",): ("tiny", "--layers"),
    ("compare",): ("tiny", "tiny_plain"),
    ("train",): ("tiny", "--plan", *QUICK),
    ("bench",): ("tiny", "--parts", "", "--repeats", "1", "--seconds", "0.01", *QUICK),
    ("runs", "tag"): (RUN, "a-tag"),
    ("runs", "note"): (RUN, "a remark"),
    ("runs", "rm"): (RUN, "--yes"),
}
ENDLESS = {"--repeats", "--seconds"}
"""What is asked for is done, however long it takes."""
LATER = {"--lock-fd", "--run", "--as-rank"}
"""What our own processes are told."""
SAMPLED = {"--dataset", "--image-size", "--data", "--init-from", "--config", "--set", "--batch-size", "--devices"}
"""Options of `train` and `bench`, whose plan takes a second, that stand for all: one of each kind."""


def given_of(words: tuple[str, ...]) -> tuple[str, ...]:
    return GIVEN.get(words, (RUN,) if len(words) == 2 else ())


def cases() -> list[Any]:
    """Every command with each of its options that takes a value."""
    found = []
    for words, command in COMMANDS.items():
        for option in command.params:
            flags = [flag for flag in option.opts if flag.startswith("--")]
            takes = not getattr(option, "is_flag", False) and flags and not ENDLESS & set(flags)
            if takes and not LATER & set(flags):
                slow = words in (("train",), ("bench",)) and flags[0] not in SAMPLED
                name = " ".join([*words, flags[0]])
                found.append(pytest.param(words, flags[0], id=name, marks=[pytest.mark.slow] if slow else []))
    return found


def values_of(words: tuple[str, ...], flag: str) -> tuple[str, ...]:
    option = next(option for option in COMMANDS[words].params if flag in option.opts)
    kind = option.type.name.lower()
    return PATHS if "path" in kind or "file" in kind else NUMBERS if kind.startswith(("int", "float")) else TEXTS


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run, and no app that opens."""
    monkeypatch.setattr("cnn_explorer.tui.app.run", lambda options, runs, data: 0)
    config = {"network": {"name": "tiny"}, "data": {"name": "digits"}, "recipe": {"epochs": 1}}
    with RunWriter.create(home / "runs", RUN, config) as writer:
        writer.status(state="finished")
        writer.lock.release()
    return home


def fault_of(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str | None:
    """What is wrong with how the command answers: a traceback, or more than one line, or an exit code of its own."""
    try:
        code = call(monkeypatch, *words)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        said = capsys.readouterr().err
    told = [line for line in said.splitlines() if line.startswith("cnn-explorer: ")]
    if code == 0:
        return None
    if code not in (1, 2):
        return f"exit code {code}"
    if len(told) != 1 or not said.endswith(told[0] + "\n"):
        return f"not one line: {said[:300]!r}"
    return f"not to be read: {told[0][:300]!r}" if len(told[0]) > 1600 or not told[0].isprintable() else None


@pytest.mark.parametrize(("words", "flag"), cases())
def test_no_value_of_an_option_ends_in_a_traceback(
    words: tuple[str, ...], flag: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run)
    faults = {}
    for value in values_of(words, flag):
        fault = fault_of((*words, *given_of(words), f"{flag}={value}"), monkeypatch, capsys)
        if fault is not None:
            faults[value[:40]] = fault
    assert not faults


@pytest.mark.parametrize("name", ["lenet5", "vit_mini_28"])
def test_no_size_of_an_image_ends_in_a_traceback(
    name: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for size in ("65537", "999999999999", "1" + "0" * 20):
        for words in (("train", name, "--plan", *QUICK), ("show", name, "--layers"), ("compare", name, name)):
            assert fault_of((*words, "--image-size", size), monkeypatch, capsys) is None, words


@pytest.mark.parametrize(
    "words", [("show",), ("compare", "tiny"), ("train", "--plan", *QUICK), ("bench",), ("runs", "show")]
)
def test_no_name_ends_in_a_traceback(
    words: tuple[str, ...], run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run)
    faults = {}
    for name in NAMES:
        fault = fault_of((*words, "--", name), monkeypatch, capsys)
        if fault is not None:
            faults[name[:40]] = fault
    assert not faults


FILES = {
    "nothing": b"",
    "text": b"a text\n",
    "deep.json": b'{"recipe": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep-key.json": b'{"recipe": {}, "data": ' + b"[" * 900 + b"]" * 900 + b"}",
    "deep-dict.json": b'{"recipe": {"lr": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}}",
    "deep.toml": b"network = " + b"[" * 5000 + b"]" * 5000,
    "digits.toml": b"seed = " + b"9" * 6000,
    "digits.json": b'{"recipe": {}, "seed": ' + b"9" * 6000 + b"}",
    "tables.json": b'{"recipe": 3}',
    "data.json": b'{"recipe": {}, "data": 3}',
    "names.json": b'{"recipe": {}, "network": {"name": 5}, "data": {"name": ["a"]}}',
    "nul.toml": b'network = "tiny"\ndataset = "folder:a\\u0000b"',
    "nul-file.toml": b'network = "tiny"\ninit_from = "a\\u0000b.pt"',
    "numbers.toml": b'network = "tiny"\n[recipe]\nlr = inf\nepochs = 1e20\n',
    "text.pt": b"a text\n",
    "text.safetensors": b"a text\n",
    "zip.pt": b"PK\x05\x06" + bytes(18),
    "cut.pt": b"PK\x03\x04" + bytes(30),
    "huge.safetensors": (2**62).to_bytes(8, "little") + b"{}",
    "pickle.pt": b"\x80\x04K\x01.",
    "latin.toml": b"network = '\xe9'",
    "net.py": b"def net(:\n",
}


@pytest.mark.parametrize("option", ["--config", "--init-from"])
def test_no_file_ends_in_a_traceback(
    option: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run)
    faults = {}
    for name, contents in FILES.items():
        (run / name).write_bytes(contents)
        words = ("train", "tiny", "--plan", *QUICK, option, str(run / name))
        if (fault := fault_of(words, monkeypatch, capsys)) is not None:
            faults[name] = fault
    for name in ("/dev/zero", "/proc/self/mem", "/"):
        if (fault := fault_of(("train", "tiny", "--plan", *QUICK, option, name), monkeypatch, capsys)) is not None:
            faults[name] = fault
    assert not faults


def test_no_file_that_is_shown_ends_in_a_traceback(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = {}
    for name, contents in FILES.items():
        (run / name).write_bytes(contents)
        for shown in (str(run / name), f"{run / name}:net"):
            if (fault := fault_of(("show", shown), monkeypatch, capsys)) is not None:
                faults[shown] = fault
    assert not faults


PLAN = ("train", "tiny", "--plan", *QUICK)
READERS = {
    "runs": (("runs",), PLAN, ()),
    "data": (PLAN, ()),
    "cache": (PLAN,),
    "state": (PLAN,),
    "models": (("list",), ("show", "lenet5")),
    "config": (("list",), ("runs",), ()),
}
"""The commands that read a folder of the settings; none stands for the app."""


@pytest.mark.parametrize("key", first_of(sorted(READERS, key=lambda key: key not in ("runs", "config")), 2))
def test_no_variable_ends_in_a_traceback(
    key: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cnn_explorer.models.catalogue import registry

    faults = {}
    for value in (*PATHS, "/dev/null", "/dev/zero"):
        monkeypatch.setenv(f"CNN_EXPLORER_{key.upper()}", value)
        registry.forget()
        for words in READERS[key]:
            if (fault := fault_of(words, monkeypatch, capsys)) is not None:
                faults[f"{value[:40]} {words}"] = fault
    assert not faults


@pytest.mark.parametrize("key", [key for key in READERS if key != "config"])
def test_no_folder_in_the_settings_ends_in_a_traceback(
    key: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cnn_explorer import settings
    from cnn_explorer.models.catalogue import registry

    monkeypatch.delenv(f"CNN_EXPLORER_{key.upper()}", raising=False)
    faults = {}
    for value in ("~nosuchuser/x", LONG, "a\\u0000b", "/dev/null/x", "/dev/null"):
        (run / "config.toml").write_text(f'{key} = "{value}"\n')
        settings._read.cache_clear()
        registry.forget()
        for words in READERS[key]:
            if (fault := fault_of(words, monkeypatch, capsys)) is not None:
                faults[f"{value[:40]} {words}"] = fault
    settings._read.cache_clear()
    assert not faults


RUN_FILES = {
    "data no table": '{"network": {"name": "tiny"}, "data": 3, "recipe": {}}',
    "data a list": '{"network": {"name": "tiny"}, "data": ["classes"], "recipe": {}}',
    "network no table": '{"network": [], "data": {}, "recipe": {}}',
    "recipe no table": '{"network": {"name": "tiny"}, "data": {"name": "digits"}, "recipe": "fast"}',
    "names no texts": '{"network": {"name": 7}, "data": {"name": {}}, "recipe": {"epochs": "many"}}',
    "nothing": "{}",
    "deep": '{"recipe": {}, "data": ' + "[" * 900 + "]" * 900 + "}",
}
OF_RUN = (
    ("runs",),
    ("runs", "show", RUN),
    ("runs", "plot", RUN),
    ("runs", "export", RUN),
    ("runs", "export", RUN, "--format", "safetensors", "--force"),
    ("runs", "clone", RUN, "--plan", *QUICK),
    ("runs", "resume", RUN),
    ("show", RUN),
)


@pytest.mark.parametrize("contents", RUN_FILES.values(), ids=RUN_FILES)
def test_no_run_json_ends_in_a_traceback(
    contents: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run)
    path = run / "runs" / RUN
    checkpoint.write({"model": {"layer.weight": torch.ones(3)}}, path / "checkpoints" / "best.pt")
    (path / "status.json").write_text('{"schema": 1, "state": "stopped"}')
    (path / "run.json").write_text(contents)
    faults = {words: fault for words in OF_RUN if (fault := fault_of(words, monkeypatch, capsys)) is not None}
    assert not faults
