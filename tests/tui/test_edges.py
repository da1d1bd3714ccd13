"""Lines that go on beyond the edge say so, and one press moves what is cut by eight columns, the prose by none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.tui.core import ascii_filter
from cnn_explorer.tui.networks import source_code
from cnn_explorer.tui.widgets import edges
from cnn_explorer.tui.widgets.code_pane import CodeView
from cnn_explorer.tui.widgets.line_view import LineView
from cnn_explorer.tui.widgets.text_view import TextView
from rich.segment import Segment
from rich.style import Style
from support.tui import screen_text
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widget import Widget

SIZE = (40, 12)
WIDE_LINE = "".join(f"{number:03} " for number in range(16)) + "end"
"""67 columns: 000 001 002 …"""
TEXT = f"""# Title

Prose that is folded to the width and stays where it is, whatever moves beside it.

```text
short
{WIDE_LINE}
```

```text
a little wider than the view: 40 cells
```

The last words.
"""


class Alone(App[None]):
    """One widget that has the screen to itself, with the scroll bars of the app."""

    CSS = "TextView, LineView, CodeView { scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }"

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


def lines(pilot: Pilot) -> list[str]:
    return [line.rstrip() for line in screen_text(pilot.app).splitlines()]


@pytest.mark.parametrize(
    "text, left, cells, shown",
    [
        ("abcdef", 0, 6, "abcdef"),
        ("abcdef", 0, 5, "abcd›"),
        ("abcdef", 2, 4, "‹def"),
        ("abcdef", 1, 4, "‹cd›"),
        ("    ef", 3, 3, " ef"),
        ("ab    ", 0, 4, "ab  "),
        ("", 3, 4, "    "),
        ("日本語", 0, 5, "日本›"),
        ("日本語", 0, 4, "日 ›"),
        ("abcdef", 2, 1, " "),
        ("abcdef", 0, 0, ""),
    ],
)
def test_a_line_has_a_sign_where_something_but_blanks_is_cut(text: str, left: int, cells: int, shown: str) -> None:
    strip = edges.window([Segment(text)], left, cells, Style())
    assert (strip.text, strip.cell_length) == (shown, cells)


async def test_a_diagram_moves_by_eight_and_the_prose_by_nothing() -> None:
    view = TextView(TEXT)
    async with Alone(view).run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press("end")
        before = lines(pilot)
        wide = next(place for place, line in enumerate(before) if "000" in line)
        assert before[wide].startswith("   000 001") and "›" in before[wide] and "‹" not in before[wide]
        assert "›" not in before[wide - 1] and before[wide - 1] == "   short"
        prose = [line for line in before if "words" in line or "Prose" in line]
        await pilot.press("right")
        after = lines(pilot)
        assert after[wide].startswith("‹1 002") and after[wide].rstrip(" ▁▂▃▄▅▆▇█").endswith("›")
        assert after[wide - 1] == "‹", "the short line of a diagram moves with it"
        assert [line for line in after if "words" in line or "Prose" in line] == prose
        narrow = next(line for line in after if "little" in line)
        assert "40 cells" in narrow and "›" not in narrow, "it ends at its own end"
        for _ in range(12):
            await pilot.press("right")
        assert "end" in lines(pilot)[wide] and "›" not in lines(pilot)[wide]
        for _ in range(12):
            await pilot.press("left")
        assert lines(pilot) == before


@pytest.mark.parametrize("height", [3, 40])
async def test_no_line_of_prose_is_cut_by_the_scroll_bar(height: int) -> None:
    """The first text comes before there is a scroll bar."""
    view = TextView()
    async with Alone(view).run_test(size=(40, height)) as pilot:
        await pilot.pause()
        view.show("abcdefg " * 40)
        await pilot.pause()
        assert view.show_vertical_scrollbar == (height == 3)
        assert "abcdefg" in lines(pilot)[0] and not any("›" in line for line in lines(pilot))


async def test_keys_to_the_side_are_offered_only_where_something_is_cut(tmp_path: Path) -> None:
    view = TextView("Only prose, which is folded.")
    async with Alone(view).run_test(size=SIZE) as pilot:
        await pilot.pause()
        assert not view.check_action("scroll_side", (1,))
        view.show(TEXT)
        await pilot.pause()
        assert view.check_action("scroll_side", (1,))


async def test_lines_of_a_log_that_are_cut_have_a_sign_beside_the_scroll_bar() -> None:
    view = LineView()
    async with Alone(view).run_test(size=SIZE) as pilot:
        view.set_lines([WIDE_LINE, "short", *("x" * 40 for _ in range(20))])
        await pilot.pause()
        first, second, *_ = lines(pilot)
        last = view.scrollable_content_region.width - 1
        assert view.show_vertical_scrollbar and first[last] == "›" and "›" not in second
        await pilot.press("right")
        assert lines(pilot)[0].startswith("‹02 003") and lines(pilot)[1] == "‹"
        for _ in range(8):
            await pilot.press("right")
        assert "end" in lines(pilot)[0] and "›" not in lines(pilot)[0]


@pytest.mark.parametrize(("cells", "name"), [(80, "size of the images "), (48, "size of the ima… ")])
async def test_names_are_cut_only_where_they_would_take_more_than_a_third_of_the_room(cells: int, name: str) -> None:
    view = LineView()
    async with Alone(view).run_test(size=(cells, 8)) as pilot:
        view.set_pairs([("data", ""), ("size of the images", "28"), ("classes", "0, 1, 2")])
        await pilot.pause()
        assert lines(pilot)[:3] == ["data", f"{name}28", f"{'classes':<{len(name)}}0, 1, 2"]


async def test_the_model_file_has_signs_beside_its_line_numbers(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(f"x = 1\nwords = '{WIDE_LINE}'\n")
    view: Any = CodeView()
    async with Alone(view).run_test(size=SIZE) as pilot:
        view.show(source_code.find(file, "")[0], 0)
        await pilot.pause()
        assert lines(pilot)[1].startswith("   2 words") and lines(pilot)[1].endswith("›")
        await pilot.press("right")
        assert lines(pilot)[1].startswith("   2 ‹") and "words" not in lines(pilot)[1]


def test_the_signs_have_stand_ins_in_ascii() -> None:
    assert ascii_filter.plain(edges.MORE_LEFT + edges.MORE_RIGHT) == "<>"
