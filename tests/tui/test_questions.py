"""Predict, then reveal: what is covered while a question is open, what a wrong answer is told, what is asked."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.tui.screens.question import QuestionScreen
from cnn_explorer.tui.widgets.walk_pane import WalkPane
from support.tui import make_app, screen_text, until
from textual.pilot import Pilot

WIDE = (160, 45)
SIZES = [WIDE, (80, 24)]
WAYS = {"list": "", "note": "1", "layers": "2", "walk": "3", "compare": "c", "bench": "b"}


def behind(app: Any) -> str:
    """Return what is to be seen around the dialog, between the line at the top and the keys."""
    box = app.screen.query_one("#dialog").region
    lines = screen_text(app).splitlines()
    around = [
        line[: box.x] + line[box.right :] if box.y <= number < box.bottom else line for number, line in enumerate(lines)
    ]
    return "\n".join(around[1:-1])


async def go(pilot: Pilot, way: str) -> None:
    """Go to a place of which one can be asked, with figures in sight."""
    app: Any = pilot.app
    await pilot.press(*WAYS[way])
    if way in ("layers", "walk"):
        await until(pilot, lambda: "body" in screen_text(app), "the layers are there")
        await pilot.press("enter", *("jj" if way == "layers" else ""))
        if way == "walk":
            await pilot.press("enter")
            await until(pilot, lambda: "body.conv" in app.screen.query_one(WalkPane).step.name, "inside the block")
    await until(pilot, lambda: "params" in screen_text(app) or "4×4×4" in screen_text(app) or "out" in screen_text(app))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_the_screen_behind_is_seen_until_one_has_answered(
    tmp_path: Path, way: str, size: tuple[int, int]
) -> None:
    app: Any = make_app(tmp_path)
    app.rng = random.Random(1)
    async with app.run_test(size=size) as pilot:
        await go(pilot, way)
        seen = screen_text(app)
        await pilot.press("p")
        assert isinstance(app.screen, QuestionScreen)
        assert behind(app).split() == [], "neither the answer nor the figures it follows from, nor a frame's title"
        assert screen_text(app).splitlines()[0].split()[:2] == seen.splitlines()[0].split()[:2], "the screen's name"
        await pilot.press("a")
        assert set(behind(app).split()) & set(seen.split()), "shown again with the answer"
        await pilot.press("enter")
        await until(pilot, lambda: screen_text(app) == seen, "as it was")


async def test_escape_shows_the_screen_again_and_counts_nothing(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await go(pilot, "list")
        seen, focused = screen_text(app), app.focused
        await pilot.press("p", "escape")
        await until(pilot, lambda: screen_text(app) == seen)
        assert app.focused is focused and app.saved_state.asked == 0


async def test_hide_mode_gives_the_reason_with_the_shape(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await go(pilot, "walk")
        await pilot.press("h")
        pane = app.screen.query_one(WalkPane)
        assert [row.cells[2] for row in pane.table.rows] == ["4×4×4", "?"]
        detail = screen_text(app)
        assert "3×8×8 → 4×4×4" in detail and "does something" in detail and "k·k·C_in·C_out" in detail
        assert "side" in detail and "channels " in detail, "the bars"
        assert "4×4×4 → 4×4×4" not in detail, "nothing of the step ahead"
        await pilot.press("j")
        assert "4×4×4 → 4×4×4" in screen_text(app)
