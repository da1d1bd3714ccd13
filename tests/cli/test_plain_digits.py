"""Numbers are plain digits: what Python would read beyond that, 1_0 and digits of other scripts, is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cnn_explorer as cx
import pytest
import typer
from cnn_explorer.cli import main
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.common.value_checks import number_of
from cnn_explorer.trainer.config.request import all_settings
from cnn_explorer.trainer.devices import device_list, hardware
from cnn_explorer.tui.launch import values
from cnn_explorer.tui.networks import selection
from support.training import Here

ODD = ("1_0", "١", "５", "1_0.5", "1e1_0", "²", "0x10", "1,5")
WORDS = {
    ("show",): ("lenet5",),
    ("compare",): ("lenet5", "alexnet"),
    ("train",): ("lenet5", "--dataset", "digits"),
    ("bench",): ("lenet5",),
    ("runs",): (),
    ("runs", "watch"): ("x",),
}


def numeric(command: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    """Return all options of all commands that the parser reads as numbers."""
    options = [flag for one in command.params for flag in one.opts if one.type.name.startswith(("int", "float"))]
    found = [(path, flag) for flag in options if flag.startswith("--")]
    for name, below in getattr(command, "commands", {}).items():
        found += numeric(below, (*path, name))
    return found


OPTIONS = numeric(typer.main.get_command(main.app))


@pytest.mark.parametrize(("path", "flag"), OPTIONS)
def test_no_option_takes_a_number_that_is_not_in_plain_digits(
    path: tuple[str, ...], flag: str, tmp_path: Path, here: Here
) -> None:
    for text in ODD:
        done = here(*path, *WORDS.get(path, ()), f"{flag}={text}")
        assert (done.returncode, done.stdout) == (2, ""), (flag, text, done)
        assert "must be a" in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not list(tmp_path.rglob("run.json"))


def test_the_options_of_all_commands_are_among_them() -> None:
    assert {path for path, _ in OPTIONS} >= {("train",), ("bench",), ("show",), ("runs",)}
    assert {"--epochs", "--lr", "--seed", "--threads", "--image-size", "--limit"} <= {flag for _, flag in OPTIONS}


@pytest.mark.parametrize("text", ODD)
def test_neither_form_nor_python_nor_devices_take_them(text: str, here: Here) -> None:
    for key, (_, defined) in all_settings().items():
        if defined.kind in (int, float) and defined.in_form:
            assert values.wrong(key, text), (key, text)
    with pytest.raises(UsageError, match="whole number"):
        selection._number("batch", text, 1000)
    with pytest.raises(UsageError):
        cx.train("lenet5", epochs=text, dataset="digits")  # pyright: ignore[reportArgumentType] what is refused
    with pytest.raises(UsageError):
        device_list.choose(text, "cpu")
    with pytest.raises(UsageError):
        hardware.choose_device(f"cuda:{text}")
    assert values.wrong("device", f"cuda:{text}")
    assert here("show", "lenet5", "--into", "c1", "--at", f"{text},0,0").returncode == 2


def test_lists_of_numbers_as_well() -> None:
    defined = all_settings()["betas"][1]
    with pytest.raises(UsageError, match="must be a number"):
        defined.check(defined.parse("0.9,0.9_9"))
    assert defined.check(defined.parse("0.9,0.99")) == (0.9, 0.99)


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [("10", int, 10), (" -3 ", int, -3), ("+2", int, 2), ("1.5", float, 1.5), (".5", float, 0.5), ("1.", float, 1.0)],
)
def test_what_people_write_is_read_as_before(text: str, kind: type, number: float) -> None:
    assert number_of(text, kind) == number
    assert number_of("1e-3", float) == 0.001 and number_of("1E5", float) == 1e5 and number_of("1.0", int) is None
    assert number_of("inf", float) == float("inf") and number_of("9" * 5000, int) is None
