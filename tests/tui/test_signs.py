"""Which signs the app draws with, and whether fonts have them; no colour where none is wanted."""

from __future__ import annotations

import ast
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer import tui
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.runs.states import STATES
from cnn_explorer.tui.charts import markers
from cnn_explorer.tui.core import ascii_filter, options, shades_filter, signs
from cnn_explorer.tui.core.colourless import colourless
from cnn_explorer.tui.core.options import AppOptions
from cnn_explorer.tui.core.signs import Fitting, TerminalFacts
from cnn_explorer.tui.widgets.chart_grid import ChartGrid
from cnn_explorer.tui.widgets.loss_chart import LossChart
from hypothesis import given
from hypothesis import strategies as st
from rich.style import Style
from support.common_glyphs import BRAILLE, DEJAVU_SANS_MONO
from support.terminal import FIRST_NETWORK, InTerminal
from support.tui import FakeRun, make_app, screen_text, until
from support.weekly import first_of

TUI = Path(tui.__file__).parent


@pytest.mark.parametrize(
    ("encoding", "term", "expected"),
    [
        ("utf-8", "xterm-256color", "unicode"),
        ("UTF8", "tmux-256color", "unicode"),
        ("utf-8", "screen", "unicode"),
        ("utf-8", "alacritty", "unicode"),
        ("utf-8", "linux", "shades"),
        ("utf-8", "linux-16color", "shades"),
        ("utf-8", "screen.linux", "shades"),
        ("utf-8", "dumb", "ascii"),
        ("utf-8", "vt100", "ascii"),
        ("utf-8", "vt220", "ascii"),
        ("utf-8", "", "ascii"),
        ("iso8859-1", "xterm-256color", "ascii"),
        ("ISO8859-15", "linux", "ascii"),
        ("ANSI_X3.4-1968", "xterm", "ascii"),
        ("no-such-encoding", "xterm", "ascii"),
    ],
)
def test_signs_fit_the_terminal(encoding: str, term: str, expected: str) -> None:
    found = signs.fitting(TerminalFacts(encoding, term))
    assert found.signs == expected
    assert bool(found.reason) == (expected != "unicode")


@pytest.mark.parametrize(
    ("asked", "remembered", "fits", "expected"),
    [
        ("", {}, "unicode", "unicode"),
        ("", {}, "ascii", "ascii"),
        ("", {"unicode": "shades"}, "unicode", "shades"),
        ("", {"unicode": "shades"}, "ascii", "ascii"),
        ("", {"shades": "unicode"}, "shades", "unicode"),
        ("", {"shades": "hieroglyphs"}, "shades", "shades"),
        ("unicode", {"ascii": "shades"}, "ascii", "unicode"),
        ("ascii", {"unicode": "unicode"}, "unicode", "ascii"),
    ],
)
def test_what_was_asked_for_wins_then_what_was_chosen_in_such_a_terminal(
    asked: str, remembered: dict[str, str], fits: str, expected: str
) -> None:
    assert signs.chosen(asked, remembered, Fitting(fits)) == expected


def test_signs_come_from_the_flags_then_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(written: str, **flags: Any) -> str:
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.toml"
        file.write_text(written)
        monkeypatch.setenv("CNN_EXPLORER_CONFIG", str(file))
        return options.resolve(**flags).asked_signs

    assert asked("") == ""
    assert asked("ascii = true") == "ascii"
    assert asked("ascii = false") == "unicode"
    assert asked('signs = "shades"') == "shades"
    assert asked('signs = "shades"', ascii=True) == "ascii"
    assert asked('signs = "shades"', ascii=False) == "unicode"
    assert asked("ascii = true", signs="unicode") == "unicode"
    with pytest.raises(UsageError, match=r"--signs: 'shade' is unknown; did you mean 'shades'"):
        asked("", signs="shade")
    with pytest.raises(UsageError, match="config file: signs"):
        asked('signs = "pretty"')
    with pytest.raises(UsageError, match="config file: ascii"):
        asked('ascii = "yes"')


def test_the_line_of_the_first_start_fits_and_says_why_and_how() -> None:
    for found in (
        Fitting("unicode"),
        Fitting("shades", "TERM is linux"),
        signs.fitting(TerminalFacts("ANSI_X3.4-1968")),
    ):
        said = signs.line(found.signs, found, "Y")
        assert len(said) <= 79 and "Y changes them" in said and found.reason in said
    assert signs.line("ascii", Fitting("unicode"), "Y").isascii()


# What the signs are


def drawn_signs() -> dict[str, set[str]]:
    """Characters beyond ASCII in the strings of the app, without docstrings; by the file that has them."""
    found: dict[str, set[str]] = {}
    for path in TUI.rglob("*.py"):
        if path.name in ("ascii_filter.py", "shades_filter.py"):
            continue  # they also name what they replace
        tree = ast.parse(path.read_text(encoding="utf-8"))
        words = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in words
        ]
        for character in {sign for text in texts for sign in text if not sign.isascii()}:
            found.setdefault(character, set()).add(path.name)
    return found


def test_common_fonts_have_every_sign_of_the_app() -> None:
    found = drawn_signs()
    assert {"◆", "█", "✚", "→"} <= set(found)
    known = DEJAVU_SANS_MONO | BRAILLE
    assert {sign: files for sign, files in found.items() if ord(sign) not in known} == {}
    assert {state.symbol for state in STATES.values() if ord(state.symbol) not in known} == set()


def test_the_list_of_common_signs_is_not_everything() -> None:
    assert {"⬦", "🔎", "⭐", "⎽"}.isdisjoint(map(chr, DEJAVU_SANS_MONO)) and 0x25CA in DEJAVU_SANS_MONO
    assert 1500 < len(DEJAVU_SANS_MONO) < 3400


def test_eight_runs_have_sixteen_markers() -> None:
    signs_of = "".join(markers.MARKERS)
    assert len(set(signs_of)) == 16


@given(st.text())
def test_shades_are_in_code_page_437_and_keep_the_width(text: str) -> None:
    drawn = shades_filter.shaded(text)
    assert all(sign.isascii() or sign in shades_filter.CODE_PAGE for sign in drawn)
    assert len(drawn) == len(ascii_filter.plain(text))


def test_shades_show_where_the_dots_of_a_curve_are() -> None:
    assert shades_filter.shaded("⠉⣀⡇⢸⣿⠤ ⠀") == "▀▄▌▐█░".replace("░", shades_filter.shade_of(0x24)) + "  "
    assert shades_filter.shade_of(0x24) in "▄░▒"
    assert shades_filter.shaded("▁▂▃▄▅▆▇█") == "_░░▄▄▓▓█"
    assert shades_filter.shaded("╭─╮ ● ✓ ★") == "┌─┐ • √ ☼"


def test_the_shades_keep_states_apart() -> None:
    found = [shades_filter.shaded(state.symbol) for state in STATES.values()]
    assert len(set(found)) == len(found)


# In the app


async def test_the_key_changes_the_signs_of_all_that_is_drawn_and_is_remembered(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", "20261120-143022-lenet5-digits-7f3a", "finished")
    run.curve(300)
    app: Any = make_app(tmp_path, facts=TerminalFacts())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: "⠤" in screen_text(app) or any(ord(sign) in BRAILLE for sign in screen_text(app)))
        await pilot.press("Y")
        await until(pilot, lambda: not any(ord(sign) in BRAILLE for sign in screen_text(app)))
        assert "█" in screen_text(app) or "─" in screen_text(app)
        grid = app.screen.query_one(ChartGrid)
        await until(pilot, lambda: grid.drawn.wanted.view.ascii)
        await pilot.press("Y")
        await until(pilot, lambda: screen_text(app).isascii(), "all of it in ASCII")
        await pilot.press("Y")
        await until(pilot, lambda: any(ord(sign) in BRAILLE for sign in screen_text(app)))
        await pilot.press("Y")
    assert json.loads((tmp_path / "state" / "app.json").read_text())["signs"] == {"unicode": "shades"}
    again = make_app(tmp_path, facts=TerminalFacts())
    assert again.options.signs == "shades" and not again.signs_line
    assert make_app(tmp_path, facts=TerminalFacts(term="dumb")).options.signs == "ascii"
    assert make_app(tmp_path, facts=TerminalFacts(), options=AppOptions(signs="unicode")).options.signs == "unicode"


async def test_the_curves_of_a_run_change_with_the_key(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", "20261120-143022-lenet5-digits-7f3a", "finished")
    run.curve(300)
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: app.screen.table.rows)
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query(LossChart) and "⠤" in app.screen.query(LossChart).first().plain)
        await pilot.press("Y")
        await until(pilot, lambda: app.screen.query(LossChart).first().plain.isascii())


async def test_the_first_start_shows_the_signs_until_they_were_read(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path, facts=TerminalFacts())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Y changes them" in screen_text(app))
        assert "✓✗★" in screen_text(app)
        await pilot.press("w")
        await until(pilot, lambda: "Runs" in screen_text(app) and "Y changes them" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "Y changes them" not in screen_text(app))
        assert app.screen.PLACE == "runs", "the line is what escape hides"
    assert not make_app(tmp_path, facts=TerminalFacts()).signs_line
    assert "not UTF-8: latin-1" in make_app(tmp_path, facts=TerminalFacts("latin-1")).signs_line
    assert not make_app(tmp_path, facts=TerminalFacts("latin-1"), options=AppOptions(ascii=True)).signs_line


def test_what_stands_out_is_reversed_and_has_no_colour() -> None:
    cursor = colourless(Style.parse("bold #101214 on #4c9be8"), 0.07)
    assert cursor.color is None and cursor.bgcolor is None and cursor.reverse and cursor.bold
    assert not colourless(Style.parse("#e4e6e8 on #262c33"), 0.07).reverse
    assert colourless(Style.parse("white on #005fb8"), 0.98).reverse
    assert not colourless(Style.parse("black on #dfe3e8"), 0.98).reverse
    assert colourless(Style.parse("underline on default"), 0.07) == Style(underline=True)


COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
CODES = re.compile(rb"(?:^|;)(?:[34][0-8]|9[0-7]|10[0-7])(?:;|$)")


def colour_codes(seen: bytes) -> list[bytes]:
    """The escapes that set a colour."""
    return [found for found in COLOUR.findall(seen) if CODES.search(found[2:-1])]


def test_colour_codes_are_found() -> None:
    assert len(colour_codes(b"\x1b[1;38;5;254m \x1b[30m \x1b[107mx\x1b[0m\x1b[7m\x1b[1;4;7m")) == 3


@pytest.mark.parametrize(
    "way", first_of(itertools.product(["NO_COLOR", "--color"], ["dark", "light", "ansi-dark"]), 1), ids=" ".join
)
def test_without_colours_none_is_sent_and_the_cursor_is_reversed(tmp_path: Path, way: tuple[str, str]) -> None:
    how, theme = way
    FakeRun(tmp_path / "runs", "20261120-143022-lenet5-digits-7f3a", "finished").curve(100)
    flags = ("--color", "none") if how == "--color" else ()
    more = {"COLORTERM": "truecolor"} | ({} if flags else {"NO_COLOR": "1"})
    with InTerminal(tmp_path, command=("-m", "cnn_explorer", "--theme", theme, *flags), more=more) as app:
        app.read_until(FIRST_NETWORK)
        for keys, shown in (
            (b"/res", b"resnet"),
            (b"\r?", b"Keys: "),
            (b"qb", b"onvolution bench"),
            (b"w", b"finished"),
        ):
            app.press(keys)
            app.read_until(shown)
        app.press(b"q")
        assert app.wait() == 0
    assert colour_codes(app.seen) == []
    assert re.search(rb"\x1b\[[0-9;]*\b7m[^\x1b]*lenet5", app.seen), "the cursor"
    assert b"alexnet" in app.seen
    assert not re.search(rb"\x1b\[[0-9;]*\b7m[^\x1b]*alexnet", app.seen), "all but the cursor is as it is"


def test_with_colours_some_are_sent(tmp_path: Path) -> None:
    with InTerminal(tmp_path, more={"NO_COLOR": ""}) as app:
        app.read_until(FIRST_NETWORK)
        app.press(b"q")
        assert app.wait() == 0
    assert colour_codes(app.seen)


@pytest.mark.parametrize(
    ("term", "more", "words"),
    [
        ("xterm-256color", {"LC_ALL": "C", "PYTHONUTF8": "", "PYTHONIOENCODING": ""}, b"not UTF-8"),
        ("dumb", {}, b"TERM is dumb"),
        ("vt100", {}, b"TERM is vt100"),
    ],
)
def test_a_terminal_without_unicode_gets_ascii_and_is_told(
    tmp_path: Path, term: str, more: dict[str, str], words: bytes
) -> None:
    with InTerminal(tmp_path, term, more=more) as app:
        app.read_until(FIRST_NETWORK)
        app.read_until(words)
        app.read_until(b"Y changes them")
        app.press(b"q")
        assert app.wait() == 0
    assert app.seen.isascii() and b"???" not in app.seen


def test_the_flag_wins_over_the_terminal(tmp_path: Path) -> None:
    with InTerminal(tmp_path, "vt100", command=("-m", "cnn_explorer", "--signs", "unicode")) as app:
        app.read_until(FIRST_NETWORK)
        app.read_until("─".encode())
        app.press(b"q")
        assert app.wait() == 0
    assert b"Y changes them" not in app.seen
