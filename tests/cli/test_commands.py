"""The command line as a whole: exit codes, one line for a mistake, data on stdout alone."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cnn_explorer.cli import show_text
from support.training import Here


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own: for what a process alone can show, and for commands that load no torch."""
    arguments = [sys.executable, "-m", "cnn_explorer", *words]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["frobnicate"], "COMMAND: 'frobnicate' is unknown; choose one of bench, compare, "),
        (["runs", "resme"], "COMMAND: 'resme' is unknown; did you mean 'resume'"),
        (["runs", "show"], "RUN: is missing; "),
        (["list", "--sort", "yaer"], "did you mean 'year'"),
        (["list", "--tag", "residul"], "did you mean 'residual'"),
        (["show", "resnt18"], "did you mean 'resnet18'"),
        (["show"], "NAME: is missing; "),
        (["show", "lenet5", "--image-size", "0"], "--image-size"),
        (["show", "lenet5", "--image-size", "3"], "smallest that works is 12"),
        (["show", "lenet5", "--input", "28"], "such as 1x28x28"),
        (["compare", "lenet5"], "NAME: 'lenet5' is one network; name two to four networks"),
        (["compare", *"abcde"], "NAME: 'a b c d e' are 5 networks; name two to four networks"),
        (["train", "lenet5", "--epochs", "many"], "--epochs"),
        (["train", "resnt18"], "did you mean 'resnet18'"),
        (["train", "lenet5", "--dataset", "digts"], "did you mean 'digits'"),
        (["train", "lenet5", "--no-such-option"], "--no-such-option"),
        (["--runs", "elsewhere", "list"], "write it behind 'list'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(here: Here, words: list[str], told: str) -> None:
    done = here(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert told in done.stderr


def test_a_process_leaves_with_the_code_of_a_mistake() -> None:
    done = command("frobnicate")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("cnn-explorer: ") and done.stderr.count("\n") == 1


def test_a_bad_value_is_told_under_the_flag_or_the_key_that_held_it(here: Here, tmp_path: Path) -> None:
    def told(*words: str) -> str:
        return here(*words).stderr.removeprefix("cnn-explorer: ")

    file = tmp_path / "mine.toml"
    file.write_text("[recipe]\nlr = -1\n")
    assert told("train", "lenet", "--plan", "--lr", "-1").startswith("--lr: -1.0 must")
    assert told("train", "lenet", "--plan", "--batch-size=0").startswith("--batch-size: 0 must")
    assert told("show", "lenet", "--stem", "nope").startswith("--stem: 'nope' is unknown")
    assert told("train", "lenet", "--plan", "--set", "lr=-2").startswith("--set lr: -2 must")
    assert re.search(r"(?<!-)\blr: ", told("train", "lenet", "--plan", "--config", str(file)))
    assert told("train", "nope", "--plan", "--lr", "0.1").startswith("network: 'nope'")
    assert told("show", "lenet", "--input", "1x3x3").startswith("--input: '1x3x3' cannot go through lenet5: too small")
    assert told("show", "lenet", "--image-size", "3").startswith("--image-size: 3 cannot go through lenet5: too small")
    planned = told("train", "lenet", "--plan", "--image-size=3")
    assert planned.startswith("--image-size: 3 does not work for lenet5: too small for two")


def test_a_bad_value_of_an_earlier_option_is_told_under_the_present_one(here: Here) -> None:
    *_, last = here("train", "lenet", "--plan", "--rest-lr", "-1").stderr.splitlines()
    assert last.startswith("cnn-explorer: --adamw-lr: -1.0 must")
    *_, last = here("train", "lenet", "--plan", "--set", "adamw_lr=-1").stderr.splitlines()
    assert last.startswith("cnn-explorer: --set adamw_lr: -1 must")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["runs", "--limit", "x"], "--limit: 'x' must be a whole number"),
        (["runs", "--limit", "0"], "--limit: 0 must be 1 or more"),
        (["bench", "--seconds=x"], "--seconds: 'x' must be a number"),
        (["train", "lenet5", "--device"], "--device: needs a value"),
        (["train", "lenet5", "--epoch", "3"], "--epoch: there is no such option; did you mean '--epochs'"),
        (["show", "lenet5", "--stm=small"], "--stm: there is no such option; did you mean '--stem'"),
        (["list", "--json=1"], "--json: takes no value"),
        (["lineage", "lenet5"], "command line: 'lenet5' is more than this command takes; "),
    ],
)
def test_what_the_parser_refuses_is_told_under_its_flag(here: Here, words: list[str], told: str) -> None:
    done = here(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"cnn-explorer: {told}")


def test_a_pipe_that_is_closed_early_is_no_failure() -> None:
    """The list of all networks is larger than the buffer of a stream."""
    shown = subprocess.Popen(
        [sys.executable, "-m", "cnn_explorer", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert shown.stdout and shown.stderr
    shown.stdout.close()
    told = shown.stderr.read()
    assert (shown.wait(), told) == (0, b"")


def test_list_as_text_and_json_agree() -> None:
    rows = command("list").stdout.splitlines()[2:]
    listed = json.loads(command("list", "--json").stdout)
    assert listed["schema"] == 1
    assert [row.split()[1] for row in rows] == [network["name"] for network in listed["networks"]]
    by_name = {network["name"]: network for network in listed["networks"]}
    assert by_name["resnet18"]["forms"]["paper"]["parameters"] == 11_689_512
    assert by_name["resnet18"]["forms"]["small"]["input"] == [3, 32, 32]
    for network in by_name.values():
        earlier = {"paper" if name == "imagenet" else name: stem for name, stem in network["stems"].items()}
        assert earlier == network["forms"] and set(network["stems"]) in ({"imagenet"}, {"imagenet", "small"})


def test_list_sorts_and_filters() -> None:
    by_size = json.loads(command("list", "--json", "--sort", "params", "--tag", "residual").stdout)["networks"]
    counts = [network["forms"]["paper"]["parameters"] for network in by_size]
    assert counts == sorted(counts)
    everything = json.loads(command("list", "--json").stdout)["networks"]
    tagged = {network["name"] for network in everything if "residual" in network["tags"]}
    assert {network["name"] for network in by_size} == tagged and 0 < len(tagged) < len(everything)


@pytest.mark.parametrize(
    ("sort", "figure"),
    [
        ("year", lambda network: network["year"]),
        ("params", lambda network: network["forms"]["paper"]["parameters"]),
        ("macs", lambda network: network["forms"]["paper"]["multiply_adds"]),
    ],
)
def test_each_order_of_the_list_is_by_its_own_figure(sort: str, figure) -> None:
    """SqueezeNet has the fewest parameters of the three and more work than MobileNetV2; AlexNet is the oldest."""
    three = {"alexnet": "year", "squeezenet1_0": "params", "mobilenet_v2_100": "macs"}
    listed = json.loads(command("list", "--json", "--sort", sort).stdout)["networks"]
    figures = [figure(network) for network in listed]
    assert figures == sorted(figures)
    first = next(network["name"] for network in listed if network["name"] in three)
    assert three[first] == sort


def test_the_earlier_name_of_an_order_works_and_is_told() -> None:
    earlier, now = (command("list", "--sort", name) for name in ("flops", "macs"))
    assert earlier.stdout == now.stdout and earlier.stderr == "--sort flops is now called --sort macs\n"
    assert now.stderr == ""


def test_no_colour_codes_in_a_pipe(here: Here) -> None:
    asked = ((command, ["list"]), (here, ["show", "lenet5"]), (here, ["compare", "lenet5", "resnet20"]))
    for way, words in (*asked, (command, ["lineage"])):
        done = way(*words)
        assert done.returncode == 0, done.stderr
        assert done.stdout and "\x1b" not in done.stdout


def test_show_tells_note_layers_and_exact_work() -> None:
    text = command("show", "lenet5").stdout
    assert "\x1b" not in text
    assert "The idea in one sentence" in text and "61,706" in text and "416,520" in text
    assert text.splitlines()[-1].endswith("show lenet5 --torchinfo")
    assert "Total mult-adds" not in text, "a second total, which is another one"


def test_show_torchinfo_says_what_it_counts_otherwise(here: Here) -> None:
    text = here("show", "vit_tiny_16", "--torchinfo").stdout
    assert "3-1" in text and "4-1" not in text and "Total mult-adds" in text
    assert "no attention" in text.splitlines()[-1]
    flat = here("show", "vit_tiny_16", "--torchinfo", "--depth", "1", "--image-size", "32").stdout
    assert "1-1" in flat and "2-1" not in flat and "[1, 3, 32, 32]" not in flat
    chosen = here("show", "lenet5", "--torchinfo-columns", "input_size,mult_adds").stdout
    assert "[1, 1, 28, 28]" in chosen and "Param #" not in chosen and "The idea in one sentence" not in chosen


def test_show_torchinfo_of_a_detector(here: Here) -> None:
    done = here("show", "torchvision:ssdlite320_mobilenet_v3_large", "--torchinfo")
    assert done.returncode == 0 and "MACs; torchinfo counts" in done.stdout


def test_an_unknown_column_of_torchinfo_is_one_line(here: Here, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    done = here("show", "lenet5", "--torchinfo-columns", "macs", "-o", str(kept))
    assert done.returncode == 2 and not kept.exists() and done.stdout == ""
    assert "--torchinfo-columns: 'macs' is unknown" in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_bar_shows_the_largest_parts_and_their_share_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "84")  # 20 cells for the bars
    parts = [("a", 10), ("b", 500), ("c", 30), ("d", 200), ("e", 0), ("f", 160), ("g", 100)]
    bars = [("b", 10, 50), ("d", 4, 20), ("f", 3, 16), ("g", 2, 10)]
    assert show_text.bar(parts) == "  ".join(f"{name} {'█' * cells} {share} %" for name, cells, share in bars)
    assert show_text.bar([("a", 0)]) == "none"


def test_show_as_json_is_the_anatomy(here: Here) -> None:
    shown = json.loads(here("show", "resnet18", "--small", "--json", "--batch", "2").stdout)
    assert (shown["parameters"], shown["input"], shown["batch"]) == (11_173_962, [3, 32, 32], 2)
    assert shown["layers"]["inputs"] == [[2, 3, 32, 32]]
    assert [step["after"] for step in shown["walk"]][-1] == [10]
    assert shown["memory"]["fp32"]["peak"] > shown["memory"]["bf16"]["peak"] > 0


def test_compare_as_json_names_the_difference(here: Here) -> None:
    compared = json.loads(here("compare", "plain20", "resnet20", "--json").stdout)
    assert [network["name"] for network in compared["networks"]] == ["plain20", "resnet20"]
    assert {"kind": "+ (sum of branches)", "verdict": "added"}.items() <= compared["difference"][0].items()


def test_lineage_leads_from_parent_to_child() -> None:
    families = {f["name"]: f for f in json.loads(command("lineage", "--json").stdout)["families"]}
    assert "preact_resnet" in families["resnet"]["children"]
    assert "├─" in command("lineage").stdout
    assert command("lineage", "--timeline").stdout.splitlines()[0].startswith("1998")


def test_the_app_opens_the_folders_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnn_explorer.tui import app
    from cnn_explorer.tui.core import terminal

    opened = []
    monkeypatch.setattr(terminal, "check", lambda: None)
    monkeypatch.setattr(terminal, "watchdog", contextlib.nullcontext)
    monkeypatch.setattr(app.ExplorerApp, "run", lambda self, **_: opened.append(self.paths))
    assert app.run(runs=tmp_path / "mine", data=tmp_path / "images") == 0
    assert (opened[0].runs, opened[0].data) == (tmp_path / "mine", tmp_path / "images")


def test_without_a_terminal_the_app_says_what_to_use_instead() -> None:
    done = command()
    assert done.returncode == 2
    assert "cnn-explorer list" in done.stderr and "Traceback" not in done.stderr


def test_a_narrow_terminal_gets_question_marks_and_no_traceback() -> None:
    arguments = [sys.executable, "-m", "cnn_explorer", "lineage"]
    narrow = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=narrow)
    assert (done.returncode, done.stderr) == (0, "")
    assert "? AlexNet" in done.stdout


def test_closed_streams_are_as_good_as_dev_null() -> None:
    probe = "import os; from cnn_explorer.cli import main; main._configure_streams(); print('x'); os._exit(os.dup(0))"
    arguments = [sys.executable, "-c", probe]
    done = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *arguments], check=False)
    assert done.returncode == 3, "the next file that is opened gets the number of no stream"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_output_for_which_there_is_no_room_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        arguments = [sys.executable, "-m", "cnn_explorer", "list"]
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "cnn-explorer: No space left on device\n")


@pytest.mark.parametrize("words", [(), ("runs",)])
def test_sentences_of_the_help_fit_into_80_columns(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = command(*words, "--help").stdout
    assert "show" in shown and "..." not in shown.partition("[ARGS]...")[2]


def test_the_help_of_clone_says_how_options_of_train_are_given() -> None:
    shown = command("runs", "clone", "--help").stdout
    assert "--json" in shown and " -o" in shown and "--lr 0.01" in shown
