"""All commands in the same manner: exit codes by one rule, `--json`, `--output`, and a run named in any way."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from cnn_explorer.cli import main
from cnn_explorer.trainer.config.setting import GROUPS
from cnn_explorer.trainer.runs import deleted_runs
from cnn_explorer.trainer.runs.lock import RunLock
from cnn_explorer.trainer.runs.reader import read_run
from cnn_explorer.trainer.runs.run_writer import Notes, RunWriter, write_notes
from support.training import call, create_run

NEWEST = "20261120-143024-tiny-digits-9f3a"
OTHER = "20261120-143022-tiny-digits-7f3a"
GONE = "/proc/cnn-explorer"
"""A file that cannot be written, whoever tries."""


def command_names(command: Any, words: str = "") -> dict[str, Any]:
    """Every command by the words that call it; a group that does something of its own counts as well."""
    found = {words: command} if words else {}
    for name, below in getattr(command, "commands", {}).items():
        found |= command_names(below, f"{words} {name}".strip())
    return found


COMMANDS = command_names(typer.main.get_command(main.app))
PRODUCING = {
    "list",
    "show",
    "compare",
    "lineage",
    "train",
    "bench",
    "runs",
    "runs show",
    "runs plot",
    "runs export",
    "runs bin",
}
QUICK = ("--threads", "1", "--no-calibrate")
BENCH = ("bench", "tiny", "--parts", "", "--repeats", "1", "--seconds", "0.01", *QUICK)


def options(name: str) -> set[str]:
    return {word for option in COMMANDS[name].params for word in option.opts}


def test_every_command_can_print_json() -> None:
    without = {name for name in COMMANDS if "--json" not in options(name)}
    assert without == {"runs clone"}, "which takes the options of train"


def test_what_produces_something_can_write_it_into_a_file() -> None:
    assert {name for name in COMMANDS if {"--output", "-o"} <= options(name)} == PRODUCING


def headings(text: str) -> dict[str, list[str]]:
    """The first words of the rows of a help, by their headings."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.endswith(":") and line[0] != " ":
            found[line[:-1]] = rows = []
        elif line.startswith("  ") and line[2] != " " and found:
            rows.append(line.split()[0].rstrip(","))
    return found


def test_help_shows_commands_and_options_in_groups(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--help") == 0
    groups = headings(capsys.readouterr().out)
    assert list(groups) == ["Options", "Learn", "Train"], "a group without commands is not shown"
    assert groups["Learn"] == ["list", "show", "compare", "lineage"]
    assert set(groups["Train"]) == {"train", "runs", "bench"}
    assert call(monkeypatch, "train", "--help") == 0
    groups = headings(capsys.readouterr().out)
    assert list(groups) == ["Arguments", *GROUPS, "Options"]
    for group, option in zip(GROUPS, ("--dataset", "--lr", "--pretrained", "--device", "--seed"), strict=True):
        assert option in groups[group]
    assert not any(word in found for found in groups.values() for word in ("--lock-fd", "--run"))


def test_the_options_of_a_clone_are_shown_by_its_help(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain(home, NEWEST)
    assert call(monkeypatch, "runs", "clone", "last", "--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: cnn-explorer runs clone RUN ") and "--lr" in headings(shown)["Recipe"]


def plain(home: Path, name: str, state: str = "finished", **status: object) -> Path:
    """A run that nobody trains."""
    config = {"network": {"name": "tiny"}, "data": {"name": "digits"}, "recipe": {"epochs": 1}}
    writer = RunWriter.create(home / "runs", name, config)
    writer.status(state=state, **status)
    writer.close()
    writer.lock.release()
    return home / "runs" / name


def trained(home: Path, network: str = "tiny") -> None:
    """A queued run that can be trained."""
    _, lock = create_run(home / "runs", network, epochs=1)
    lock.release()


def live(home: Path) -> None:
    """A run that waits for its turn in this process, which holds its lock until the process ends."""
    writer = RunWriter.create(home / "runs", NEWEST, {"network": {"name": "tiny"}})
    writer.status(state="queued")
    LOCKS.append(writer.lock)


LOCKS: list[RunLock] = []


def finished(home: Path) -> None:
    plain(home, NEWEST)


def with_a_curve(home: Path) -> None:
    (plain(home, NEWEST) / "metrics.jsonl").write_text('{"kind": "train", "step": 1, "epoch": 1, "loss": 0.5}\n')


def stopped_but_held(home: Path) -> None:
    LOCKS.append(RunLock.acquire(plain(home, NEWEST, "stopped")))


def live_without_control(home: Path) -> None:
    live(home)
    (home / "runs" / NEWEST / "control").rmdir()
    (home / "runs" / NEWEST / "control").write_text("a file")


def with_a_folder_for_notes(home: Path) -> None:
    (plain(home, NEWEST) / "notes.json").mkdir()


def with_a_grave(home: Path) -> None:
    finished(home)
    (home / "runs" / f".removed-{NEWEST}").write_text("a file")


def without_a_bin(home: Path) -> None:
    finished(home)
    (home / "runs" / deleted_runs.BIN).write_text("a file")


def deleted(home: Path) -> None:
    finished(home)
    deleted_runs.delete(home / "runs", NEWEST)


def deleted_but_held(home: Path) -> None:
    deleted(home)
    LOCKS.append(RunLock.acquire(deleted_runs.in_bin(home / "runs")[0].path))


def failed(home: Path) -> None:
    plain(home, NEWEST, "failed")


def trained_to_fail(home: Path) -> None:
    trained(home, "tiny_broken")


def nothing(home: Path) -> None:
    """No run at all."""


CASES: list[tuple[str, Callable[[Path], None], tuple[str, ...], int]] = [
    ("list", nothing, ("list", "--json"), 0),
    ("list", nothing, ("list", "-o", GONE), 1),
    ("list", nothing, ("list", "--sort", "name"), 2),
    ("show", nothing, ("show", "tiny", "--note"), 0),
    ("show", nothing, ("show", "tiny", "--note", "-o", GONE), 1),
    ("show", nothing, ("show", "tiny", "--stem", "big"), 2),
    ("compare", nothing, ("compare", "tiny", "tiny_plain"), 0),
    ("compare", nothing, ("compare", "tiny", "tiny_plain", "-o", GONE), 1),
    ("compare", nothing, ("compare", "tiny"), 2),
    ("lineage", nothing, ("lineage",), 0),
    ("lineage", nothing, ("lineage", "-o", GONE), 1),
    ("lineage", nothing, ("lineage", "-o", "missing/folder"), 2),
    ("train", nothing, ("train", "tiny", "--epochs", "1", *QUICK), 0),
    ("train", nothing, ("train", "tiny_broken", "--epochs", "1", *QUICK), 1),
    ("train", nothing, ("train", "tiny", "--lr", "-1"), 2),
    ("bench", nothing, BENCH, 0),
    ("bench", nothing, (*BENCH, "-o", GONE), 1),
    ("bench", nothing, (*BENCH, "--precision", "fp8"), 2),
    ("runs", nothing, ("runs",), 0),
    ("runs", nothing, ("runs", "-o", GONE), 1),
    ("runs", nothing, ("runs", "--limit", "0"), 2),
    ("runs show", finished, ("runs", "show", "last"), 0),
    ("runs show", finished, ("runs", "show", "last", "-o", GONE), 1),
    ("runs show", nothing, ("runs", "show", "last"), 2),
    ("runs plot", with_a_curve, ("runs", "plot", "last"), 0),
    ("runs plot", with_a_curve, ("runs", "plot", "last", "-o", GONE), 1),
    ("runs plot", finished, ("runs", "plot", "last"), 2),
    ("runs watch", finished, ("runs", "watch", "last"), 0),
    ("runs watch", failed, ("runs", "watch", "last"), 1),
    ("runs watch", nothing, ("runs", "watch", "last"), 2),
    ("runs stop", live, ("runs", "stop", "last"), 0),
    ("runs stop", live_without_control, ("runs", "stop", "last"), 1),
    ("runs stop", finished, ("runs", "stop", "last"), 2),
    ("runs skip", live, ("runs", "skip", "last"), 0),
    ("runs skip", live_without_control, ("runs", "skip", "last"), 1),
    ("runs skip", finished, ("runs", "skip", "last"), 2),
    ("runs resume", trained, ("runs", "resume", "last"), 0),
    ("runs resume", stopped_but_held, ("runs", "resume", "last"), 1),
    ("runs resume", finished, ("runs", "resume", "last"), 2),
    ("runs rm", finished, ("runs", "rm", "last", "-y"), 0),
    ("runs rm", without_a_bin, ("runs", "rm", "last", "-y"), 1),
    ("runs rm", live, ("runs", "rm", "last", "-y"), 2),
    ("runs delete", finished, ("runs", "delete", "last", "-y", "--for-good"), 0),
    ("runs delete", with_a_grave, ("runs", "delete", "last", "-y", "--for-good"), 1),
    ("runs delete", live, ("runs", "delete", "last", "-y", "--for-good"), 2),
    ("runs restore", deleted, ("runs", "restore", "last"), 0),
    ("runs restore", deleted_but_held, ("runs", "restore", "last"), 1),
    ("runs restore", finished, ("runs", "restore", NEWEST), 2),
    ("runs bin", deleted, ("runs", "bin", "--empty", "-y"), 0),
    ("runs bin", deleted_but_held, ("runs", "bin", "--empty", "-y"), 1),
    ("runs bin", deleted, ("runs", "bin", "--empty"), 2),
    ("runs export", finished, ("runs", "export", "last"), 0),
    ("runs export", finished, ("runs", "export", "last", "-o", GONE), 1),
    ("runs export", finished, ("runs", "export", "last", "--json"), 2),
    ("runs tag", finished, ("runs", "tag", "last", "good"), 0),
    ("runs tag", with_a_folder_for_notes, ("runs", "tag", "last", "good"), 1),
    ("runs tag", finished, ("runs", "tag", "last", "a,b"), 2),
    ("runs note", finished, ("runs", "note", "last", "good"), 0),
    ("runs note", with_a_folder_for_notes, ("runs", "note", "last", "good"), 1),
    ("runs note", nothing, ("runs", "note", "last", "good"), 2),
    ("runs clone", trained, ("runs", "clone", "last", *QUICK), 0),
    ("runs clone", trained_to_fail, ("runs", "clone", "last", *QUICK), 1),
    ("runs clone", trained, ("runs", "clone", "last", "--lr", "-1"), 2),
]


def test_the_table_has_every_command_with_every_exit_code() -> None:
    assert sorted({(name, code) for name, _, _, code in CASES}) == sorted(
        (name, code) for name in COMMANDS for code in (0, 1, 2)
    )


@pytest.mark.parametrize(("name", "prepare", "words", "code"), CASES, ids=[f"{case[0]} {case[3]}" for case in CASES])
def test_exit_codes_follow_one_rule(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    prepare: Callable[[Path], None],
    words: tuple[str, ...],
    code: int,
) -> None:
    prepare(home)
    before = sorted((home / "runs").rglob("*")) if code == 2 else []
    assert call(monkeypatch, *words) == code
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    if code == 2:
        assert shown.out == "" and shown.err.splitlines()[-1].startswith("cnn-explorer: ")
        assert sorted((home / "runs").rglob("*")) == before
    for lock in LOCKS:
        lock.release()
    LOCKS.clear()


@pytest.mark.parametrize("word", [NEWEST, NEWEST[:15], NEWEST[-4:], "good", "last", "größe"])
@pytest.mark.parametrize("more", [("show", "--json"), ("tag", "--json"), ("rm", "-y", "--json"), ("watch", "--json")])
def test_a_run_is_named_in_any_way_by_any_command(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str, more: tuple[str, ...]
) -> None:
    plain(home, OTHER)
    write_notes(plain(home, NEWEST), Notes(("good", "größe")))
    name, *rest = more
    assert call(monkeypatch, "runs", name, word, *(["new"] if name == "tag" else []), *rest) == 0
    shown = json.loads(capsys.readouterr().out.splitlines()[-1] if name == "watch" else capsys.readouterr().out)
    assert shown["schema"] == 1
    assert shown.get("run", shown)["id"] == NEWEST


def elsewhere(home: Path) -> Path:
    """A trained run of which the runs folder knows nothing, and a run there."""
    with_a_curve(home)
    plain(home, OTHER)
    (home / "old").mkdir()
    return (home / "runs" / NEWEST).rename(home / "old" / NEWEST)


@pytest.mark.parametrize(
    "words",
    [
        *(("runs", name) for name in ("show", "plot", "watch", "export")),
        ("runs", "note", "RUN", "mine"),
        ("runs", "tag", "RUN", "mine"),
        ("show",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("word", ["./old/ID", "old/ID/", "{home}/old/ID", "."])
def test_a_directory_is_a_run_for_every_command(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], word: str
) -> None:
    path = elsewhere(home)
    monkeypatch.chdir(path if word == "." else home)
    run = word.replace("ID", NEWEST).format(home=home)
    asked = [run if one == "RUN" else one for one in words] if "RUN" in words else [*words, run]
    assert call(monkeypatch, *asked) == 0
    if "RUN" in words:
        notes = read_run(path).notes
        assert notes.remark == "mine" or notes.tags == ("mine",)
    else:
        assert capsys.readouterr().out
    assert [one.name for one in (home / "runs").iterdir()] == [OTHER]


def test_a_run_that_was_moved_is_resumed_cloned_and_trained_on_by_its_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(home)
    [path] = [one.rename(home / "moved") for one in (home / "runs").iterdir()]
    assert call(monkeypatch, "runs", "resume", str(path)) == 0
    assert read_run(path).state == "finished" and not list((home / "runs").iterdir())
    assert call(monkeypatch, "runs", "resume", str(path)) == 2
    assert call(monkeypatch, "runs", "stop", str(path)) == 2 and call(monkeypatch, "runs", "skip", str(path)) == 2
    said = capsys.readouterr().err
    assert "there is nothing to stop" in said and "there is nothing to skip" in said
    assert (
        call(monkeypatch, "runs", "export", str(path), "--format", "safetensors", "-o", str(home / "w.safetensors"))
        == 0
    )
    assert call(monkeypatch, "runs", "clone", str(path), "--init-from", f"{path}/", "--json", *QUICK) == 0
    [clone] = (home / "runs").iterdir()
    assert read_run(clone).config["network"]["pretrained"]["source"] == str(path / "checkpoints" / "best.pt")


@pytest.mark.parametrize("more", [(), ("--for-good",)])
@pytest.mark.parametrize("name", ["rm", "delete"])
def test_a_directory_outside_the_runs_folder_is_never_removed(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, more: tuple[str, ...]
) -> None:
    path = elsewhere(home)
    assert call(monkeypatch, "runs", "rm", OTHER, "-y") == 0
    [binned] = (home / "runs" / deleted_runs.BIN).iterdir()
    before = sorted(home.rglob("*"))
    for directory in (path, binned, home / "old", home / "runs"):
        capsys.readouterr()
        assert call(monkeypatch, "runs", name, str(directory), "-y", *more) == 2
        [line] = capsys.readouterr().err.splitlines()
        is_run = directory in (path, binned)
        assert ("is not in the runs folder" if is_run else "is not the directory of a run") in line
        assert sorted(home.rglob("*")) == before
    assert call(monkeypatch, "runs", name, str(path), "-y", *more, "--runs", str(home / "old")) == 0
    assert not path.exists()


def test_a_directory_inside_the_runs_folder_is_removed_and_restored(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = plain(home, NEWEST)
    monkeypatch.chdir(home)
    assert call(monkeypatch, "runs", "rm", f"runs/{NEWEST}", "-y") == 0 and not path.exists()
    assert call(monkeypatch, "runs", "restore", str(path)) == 2
    assert call(monkeypatch, "runs", "restore", NEWEST) == 0 and path.exists()


@pytest.mark.parametrize("word", ["20261120", "same"])
def test_a_word_that_means_several_runs_is_one_line_with_their_names(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    for name in (OTHER, NEWEST):
        write_notes(plain(home, name), Notes(("same",)))
    assert call(monkeypatch, "runs", "rm", word, "-y") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert OTHER in line and NEWEST in line
    assert (home / "runs" / OTHER).is_dir()


def test_a_whole_id_and_last_count_before_a_tag(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_notes(plain(home, OTHER), Notes((NEWEST, "last")))
    plain(home, NEWEST)
    for word in (NEWEST, "last"):
        assert call(monkeypatch, "runs", "note", word, f"found by {word}") == 0
    assert read_run(home / "runs" / NEWEST).notes.remark == "found by last"
    assert read_run(home / "runs" / OTHER).notes.remark == ""


def test_a_part_of_an_id_that_is_a_tag_of_another_run_is_one_line_with_both(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_notes(plain(home, OTHER), Notes((NEWEST[-4:],)))
    plain(home, NEWEST)
    assert call(monkeypatch, "runs", "rm", NEWEST[-4:], "-y") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert OTHER in line and NEWEST in line
    assert (home / "runs" / OTHER).is_dir() and (home / "runs" / NEWEST).is_dir()


def test_several_trainings_are_one_json_object_with_a_list(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "train", "tiny", "tiny_broken", "--epochs", "1", "--json", *QUICK) == 1
    printed = json.loads(capsys.readouterr().out)
    first, second = printed["runs"]
    assert (printed["schema"], first["state"], second["state"]) == (1, "finished", "failed")
    run = read_run(Path(first["path"]))
    assert first["id"] == run.id
    assert first["best"] == {"accuracy": run.best_accuracy, "epoch": 1}
    assert first["test"] == {"accuracy": run.test_accuracy} and run.test_accuracy
    assert second["best"] is second["test"] is None


def test_what_is_written_into_a_file_is_what_stdout_would_have_had(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "out.txt"
    for words in (("list", "--json"), ("show", "tiny", "--layers"), ("train", "tiny", "--plan", *QUICK)):
        assert call(monkeypatch, *words) == 0
        expected = capsys.readouterr().out
        assert call(monkeypatch, *words, "-o", str(file), "--force") == 0
        assert capsys.readouterr().out == ""
        same = [line for line in expected.splitlines() if "images/s" not in line]  # a speed is measured anew
        assert [line for line in file.read_text().splitlines() if "images/s" not in line] == same
    assert call(monkeypatch, "list", "-o", str(file)) == 2
    assert "exists; --force replaces it" in capsys.readouterr().err
    assert "learning rate over" in file.read_text(), "what was there stays"
    assert call(monkeypatch, "train", "tiny", "-o", str(file), "--force") == 2
    assert not (home / "runs").exists()


def test_the_stem_of_a_network_and_its_earlier_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = {}
    for words in ((), ("--stem", "small"), ("--small",), ("--small", "--stem", "imagenet")):
        assert call(monkeypatch, "show", "resnet18", "--json", *words) == 0
        said = capsys.readouterr()
        found = json.loads(said.out)
        shown[words] = (found["form"], found["stem"], found["input"][1])
        assert ("--small is now called --stem small" in said.err) == ("--small" in words)
    small, paper = ("small", "small", 32), ("paper", "imagenet", 224)
    assert list(shown.values()) == [paper, small, small, paper]
    assert call(monkeypatch, "show", "lenet5", "--json") == 0
    assert json.loads(capsys.readouterr().out)["stem"] is None


@pytest.mark.parametrize("kind", ["link", "pipe", "stdout"])
def test_output_replaces_no_link_device_or_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "lineage") == 0
    expected = capsys.readouterr().out
    if kind == "link":
        Path("file").write_text("mine")
        Path("link").symlink_to("file")
        assert call(monkeypatch, "lineage", "-o", "link") == 2
        assert call(monkeypatch, "lineage", "-o", "link", "--force") == 0
        assert Path("link").is_symlink() and Path("file").read_text() == expected
    elif kind == "pipe":
        os.mkfifo("pipe")
        reader = os.open("pipe", os.O_RDWR)
        for more in ((), ("--force",)):
            assert call(monkeypatch, "lineage", "-o", "pipe", *more) == 0
            assert os.read(reader, 1 << 20).decode() == expected
        assert stat.S_ISFIFO(os.stat("pipe").st_mode)
        os.close(reader)
    else:
        assert call(monkeypatch, "lineage", "-o", "-") == 0
        assert capsys.readouterr().out == expected and not list(tmp_path.iterdir())


def test_an_export_goes_to_stdout_by_its_usual_name_too(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (plain(home, NEWEST) / "metrics.jsonl").write_text('{"kind": "train", "step": 1, "loss": 2.5}\n')
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "runs", "export", "last") == 0
    expected = capsys.readouterr().out
    assert call(monkeypatch, "runs", "export", "last", "-o", "-") == 0
    assert capsys.readouterr().out == expected and expected == "kind,step,loss\ntrain,1,2.5\n"
    assert call(monkeypatch, "runs", "export", "last", "-o", "-", "--format", "safetensors") == 2
    assert "is stdout, which takes csv alone" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"models", "runs"}


@pytest.mark.parametrize("option", [("--json",), ("--limit", "1"), ("-o", "x"), ("--force",)])
def test_an_option_of_the_list_of_runs_is_not_dropped_before_another_command(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: tuple[str, ...]
) -> None:
    finished(home)
    assert call(monkeypatch, "runs", *option, "show", "last") == 2
    assert "write it behind 'show'" in capsys.readouterr().err


def test_a_tag_that_nothing_is_like_is_answered_with_all_tags(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "list", "--tag", "zzzzzz") == 2
    assert "--tag: 'zzzzzz' is not the tag of any network; there are adaptation, attention, " in capsys.readouterr().err
