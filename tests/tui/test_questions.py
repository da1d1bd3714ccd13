"""Predict, then reveal: what is covered while a question is open, what a wrong answer is told, what is asked."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.models.anatomy import server
from cnn_explorer.models.catalogue import registry
from cnn_explorer.models.catalogue.notes import shape_text
from cnn_explorer.tui.networks import layer_quiz, layer_tree, quiz
from cnn_explorer.tui.networks.conv_lab import ConvSetting
from cnn_explorer.tui.networks.layer_tree import LayerNode
from cnn_explorer.tui.screens.question import QuestionScreen
from cnn_explorer.tui.widgets.walk_pane import WalkPane
from support.tui import layer_node, make_app, screen_text, until
from support.weekly import first_of
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


def body(app: Any) -> str:
    """Return what is to be seen between the line at the top, whose status may change, and the keys."""
    return "\n".join(screen_text(app).splitlines()[1:-1])


async def go(pilot: Pilot, way: str) -> None:
    """Go to a place of which one can be asked, with figures in sight."""
    app: Any = pilot.app
    await until(pilot, lambda: "lenet5_paper" in body(app), "the list is drawn")
    await pilot.press(*WAYS[way])
    if way in ("layers", "walk"):
        await until(pilot, lambda: "body" in screen_text(app), "the layers are there")
        pane = app.screen.panes.pane
        await until(pilot, lambda: pane.selection is not None and pane.table.rows and not pane.waiting)
        if not app.screen.in_panes:
            await pilot.press("enter")
        await pilot.press(*("jj" if way == "layers" else ["enter"]))


def test_one_kernel_is_no_kernels() -> None:
    node = layer_node(output=[1, 1, 16, 16])
    questions = (layer_quiz.about_layer(node, random.Random(seed)) for seed in range(9))
    texts = [question.text for question in questions if question and "What comes out" in question.text]
    assert texts and all("1 kernel," in text for text in texts)


@pytest.mark.parametrize("size", first_of(SIZES, 1))
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
        # Neither the answer nor the figures it follows from, nor the title of a frame.
        await until(pilot, lambda: not behind(app).split(), "the screen behind is covered")
        assert screen_text(app).splitlines()[0].split()[:2] == seen.splitlines()[0].split()[:2], "the screen's name"
        await pilot.press("a")
        await until(pilot, lambda: set(behind(app).split()) & set(seen.split()), "shown again with the answer")
        await pilot.press("enter")
        await until(pilot, lambda: body(app).splitlines()[1] in seen, "as it was")


async def test_the_screen_behind_is_there_however_early_it_is_looked_at(tmp_path: Path) -> None:
    """A look before the app has painted must not keep what it saw, in which nothing is seen through the question."""
    app: Any = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await go(pilot, "list")
        await pilot.press("p")
        await until(pilot, lambda: "lenet5_paper" not in body(app), "the screen behind is covered")
        app.screen._reveal(0)
        for _ in range(300):
            await asyncio.sleep(0)
            body(app)
        await until(pilot, lambda: "lenet5_paper" in body(app), "shown again")


async def test_escape_shows_the_screen_again_and_counts_nothing(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await go(pilot, "list")
        focused = app.focused
        await until(pilot, lambda: "lenet5_paper" in body(app))
        await pilot.press("p")
        assert "lenet5_paper" not in behind(app)
        await pilot.press("escape")
        await until(pilot, lambda: "lenet5_paper" in body(app))
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
        assert "4×4×4 → 4×4×4" not in detail, "nothing of the step ahead"
        await pilot.press("j")
        assert "4×4×4 → 4×4×4" in screen_text(app)


# Wrong answers


def node(**changes: Any) -> LayerNode:
    """Return a convolution of two groups, from 8 channels to 64."""
    settings = {
        "kernel_size": [3, 3],
        "stride": [2, 2],
        "padding": [1, 1],
        "dilation": [1, 1],
        "groups": 2,
        "bias": True,
    }
    values: dict[str, Any] = {"inputs": [[1, 8, 32, 32]], "parameters": 2368, "settings": settings, "formulas": []}
    return layer_node(**values | changes)


def told(one: LayerNode) -> dict[str, str]:
    """Return what each answer of many questions about a layer is told, wrong and right ones."""
    found: dict[str, str] = {}
    for seed in range(60):
        question = layer_quiz.about_layer(one, random.Random(seed))
        if question is not None:
            found |= dict(zip(question.options, question.mistakes, strict=True))
    return found


def test_a_wrong_answer_says_by_which_mistake_it_comes_about() -> None:
    mistakes = told(node())
    assert mistakes["64×15×15"] == "the padding is forgotten"  # (32 - 3) // 2 + 1
    assert mistakes["64×32×32"] == "the stride is forgotten"  # 32 + 2 - 3 + 1
    assert mistakes["8×16×16"].startswith("the channels of the input are kept")
    assert mistakes["16×16×64"].startswith("channels and side are swapped")
    assert mistakes["2,304"] == "the bias is forgotten"  # 3 · 3 · 4 · 64
    assert mistakes["4,672"].startswith("the groups are ignored")  # 3 · 3 · 8 · 64 + 64
    assert [answer for answer, mistake in mistakes.items() if not mistake] in (
        ["64×16×16", "2,368"],
        ["2,368", "64×16×16"],
    )


def test_what_cannot_be_predicted_is_not_asked() -> None:
    inside = {**vars(node()), "inputs": [[1, 8, 32, 32]], "output": [1, 64, 16, 16], "formulas": [], "children": []}
    kept = {name: inside[name] for name in ("receptive_field", "is_global", "executed", "times", "phrase", "settings")}
    child = {"name": "a", "kind": "module", "type": "Conv2d", "parameters": 1, "macs": 1, "output_bytes": 1} | {
        name: inside[name] for name in ("inputs", "output", "formulas", "children")
    }
    assert told(node(type="Sequential", settings={}, children=[child | kept])) == {}
    assert told(node(children=[child | kept])) == {}, "the inside may do anything"
    assert told(node(type="Mystery")) == {}
    assert "64×17×17" not in told(node(output=[1, 64, 17, 17])), "a table that the rule does not explain"


@pytest.mark.parametrize("network", ["lenet5", "resnet20", "googlenet_nano"])
def test_every_usual_layer_of_a_network_can_be_asked_about_and_each_wrong_answer_has_its_mistake(network: str) -> None:
    answer = server.answer(json.dumps({"id": 1, "ask": "layers", "network": network}))["answer"]
    tree = layer_tree.of_network(answer)
    asked = 0
    for one in tree.walk():
        mistakes = told(one)
        right = {answer for answer, mistake in mistakes.items() if not mistake}
        assert right <= {shape_text(one.output), f"{one.parameters:,}"}
        rounds_up = any("⌈" in formula.filled for formula in one.formulas)  # which the settings do not tell
        if one.type in layer_quiz.SHAPES and not one.children and not rounds_up:
            assert shape_text(one.output) in right, one
            asked += 1
        if one.type in layer_quiz.PARAMETERS and not one.children:
            assert f"{one.parameters:,}" in right, one
    assert asked > 5


@pytest.mark.parametrize("seed", range(30))
def test_wrong_answers_about_networks_and_windows_give_the_reason(seed: int) -> None:
    rng = random.Random(seed)
    everything = list(registry.variants().values())
    setting = ConvSetting("grouped", 3, 2, 1, 2, 2, 4, 4)
    for question in (quiz.about_network(rng.choice(everything), everything, rng), quiz.about_window(setting, 9, rng)):
        assert question is not None and len(question.mistakes) == len(question.options)
        assert [place for place, mistake in enumerate(question.mistakes) if not mistake] == [question.right]


async def test_the_answer_names_the_mistake(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    question = quiz.Question("What comes out?", ("64", "32"), 0, "because", ("", "the stride is forgotten"))
    async with app.run_test(size=(80, 24)) as pilot:
        app.ask_person(lambda rng: question)
        await pilot.press("b")
        assert "no, the answer is 64" in screen_text(app) and "32: the stride is forgotten" in screen_text(app)
