"""Questions about ideas and curves: the answers follow from the glossary and from the records of runs."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.trainer.analysis.curve_findings import diagnose_curve
from cnn_explorer.trainer.runs.reader import read_run
from cnn_explorer.tui.networks import glossary, idea_quiz, pages
from cnn_explorer.tui.runs import curve_quiz
from cnn_explorer.tui.screens.page import PageScreen
from cnn_explorer.tui.screens.question import QuestionScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from support.tui import FakeRun, eval_record, make_app, screen_text, train_record, until

# Ideas


@pytest.mark.parametrize("seed", range(40))
def test_the_answer_about_an_idea_is_the_term_whose_sentence_was_shown(seed: int) -> None:
    rng = random.Random(seed)
    question = idea_quiz.about_text(pages.plain_text(rng.choice(pages.concepts())), rng)
    assert question is not None and len(question.options) == 4
    sentence = question.text.partition("“")[2].rstrip("”")
    for place, term in enumerate(question.options):
        entry = glossary.find(term)
        assert entry is not None and (entry.text == sentence) == (place == question.right)
        assert entry.text in (question.because if place == question.right else question.mistakes[place])
    assert question.options[question.right].lower() not in sentence.lower()


def test_every_page_has_a_term_to_ask_about_and_a_text_without_terms_has_none() -> None:
    for page in pages.concepts():
        assert idea_quiz.about_text(pages.plain_text(page), random.Random(0)) is not None, page
    assert idea_quiz.about_text("nothing of the kind", random.Random(0)) is None


def test_terms_that_may_both_fit_are_no_alternatives() -> None:
    for seed in range(200):
        question = idea_quiz.about_text("augmentation, CutMix, MixUp, dropout, regularisation", random.Random(seed))
        assert question is not None
        assert not {"augment", "CutMix"} <= set(question.options)
        assert not {"regularisation", "dropout"} <= set(question.options)


# Curves


def run(folder: Path, name: str, loss: Any, validation: Any, accuracy: Any, lr: float = 0.1) -> FakeRun:
    """Write a finished run of twenty epochs whose values are functions of the epoch."""
    made = FakeRun(folder, name, "finished")
    config = json.loads((made.path / "run.json").read_text())
    config["recipe"] = {"epochs": 20, "lr": lr, "optimizer": "sgd"}
    config["data"]["validation"] = 5000
    (made.path / "run.json").write_text(json.dumps(config))
    made.write(*(train_record(step, loss(step / 100), accuracy(step / 100)) for step in range(5, 2001, 5)))
    made.write(*(eval_record(epoch, accuracy(epoch), validation(epoch)) for epoch in range(1, 21)))
    return made


def read(*runs: FakeRun) -> list[curve_quiz.ReadRun]:
    return curve_quiz.read([read_run(one.path) for one in runs])


CURVES = {
    "over-fitting": (lambda e: 2 / e if e > 1 else 2.0, lambda e: 1 + abs(e - 6) / 8, lambda e: 0.8),
    "not learning": (lambda e: math.log(10), lambda e: math.log(10), lambda e: 0.1),
    "still improving": (lambda e: 2.3 - e / 20, lambda e: 2.3 - e / 20, lambda e: 0.1 + e / 30),
}
SURE_OF_NOTHING = (lambda e: 0.1 + 1 / (e + 1), lambda e: 0.1 + 1 / (e + 1), lambda e: 0.95 if e > 3 else 0.5)


@pytest.mark.parametrize("shown", CURVES)
def test_the_answer_about_a_curve_is_the_reading_of_the_program(tmp_path: Path, shown: str) -> None:
    (one,) = read(run(tmp_path, "a", *CURVES[shown]))
    question = curve_quiz.about_curve(one.summary, random.Random(1))
    assert question is not None and question.options[question.right] == shown
    assert question.because == diagnose_curve(one.summary)[0].text
    assert set(question.options) == set(CURVES) and len(question.drawing) == 3
    assert max(map(len, question.drawing)) <= 72, "the lines of the dialog"
    assert [not mistake for mistake in question.mistakes] == [option == shown for option in question.options]


def test_an_unsure_reading_is_not_asked_about(tmp_path: Path) -> None:
    (one,) = read(run(tmp_path, "a", *SURE_OF_NOTHING))
    assert curve_quiz.about_curve(one.summary, random.Random(1)) is None
    # Ten images: the same course, and nothing can be told apart from chance.
    few = run(tmp_path, "b", *CURVES["still improving"])
    text = (few.path / "run.json").read_text().replace('"validation": 5000', '"validation": 10')
    (few.path / "run.json").write_text(text)
    (one,) = read(few)
    assert len(diagnose_curve(one.summary)) > 1 or diagnose_curve(one.summary)[0].rule not in curve_quiz.SHOWN
    assert curve_quiz.about_curve(one.summary, random.Random(1)) is None


def rate_runs(folder: Path, large: float, small: float) -> tuple[curve_quiz.ReadRun, curve_quiz.ReadRun]:
    """Read two runs: the first falls fast, the second slowly."""
    fast = run(folder, "fast", lambda e: 2.3 * math.exp(-e / 3), lambda e: 1.0, lambda e: 0.8, large)
    slow = run(folder, "slow", lambda e: 2.3 * math.exp(-e / 20), lambda e: 1.0, lambda e: 0.8, small)
    first, second = read(fast, slow)
    return first, second


@pytest.mark.parametrize("seed", range(6))
def test_the_answer_about_rates_is_that_of_the_records(tmp_path: Path, seed: int) -> None:
    found = rate_runs(tmp_path, 0.1, 0.01)
    question = curve_quiz.about_rates(*found, random.Random(seed))
    assert question is not None
    right = question.options[question.right]
    assert f"{right} 0.1 (fast)" in question.because
    assert f"{right} training loss" in question.drawing[question.right]
    assert "0.01" in question.mistakes[1 - question.right]
    assert "fast" not in "".join((question.text, *question.options, *question.drawing)), "the name would tell"


def test_runs_whose_curves_tell_nothing_or_the_contrary_are_not_asked_about(tmp_path: Path) -> None:
    assert curve_quiz.about_rates(*rate_runs(tmp_path / "contrary", 0.01, 0.1), random.Random(1)) is None
    assert curve_quiz.about_rates(*rate_runs(tmp_path / "near", 0.1, 0.08), random.Random(1)) is None
    found = rate_runs(tmp_path / "other", 0.1, 0.01)
    assert curve_quiz.fitting_others(found[0].run, [one.run for one in found], ()) == [found[1].run]
    found[1].run.config["seed"] = 2
    assert curve_quiz.about_rates(*found, random.Random(1)) is None, "another seed"
    found[1].run.config.pop("seed")
    assert curve_quiz.about_rates(*found, random.Random(1)) is not None
    found[1].run.config["recipe"]["optimizer"] = "adamw"
    assert curve_quiz.fitting_others(found[0].run, [one.run for one in found], ()) == []
    assert curve_quiz.about_rates(*found, random.Random(1)) is None, "they differ in more than the rate"


# In the app


async def test_a_page_and_a_run_ask_and_cover_what_stands_behind(tmp_path: Path) -> None:
    run(tmp_path / "runs", "20261120-143022-lenet5-digits-7f3a", *CURVES["over-fitting"])
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("C")
        assert isinstance(app.screen, PageScreen)
        await pilot.press("p")
        assert isinstance(app.screen, QuestionScreen) and "Which term is this?" in screen_text(app)
        await pilot.press("escape", "w")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.selected is not None)
        await pilot.press("P")
        await until(pilot, lambda: isinstance(app.screen, QuestionScreen))
        assert "What does this curve show?" in screen_text(app) and "validation loss" in screen_text(app)
        assert "Over-fitting" not in screen_text(app), "the reading behind says it"
        await pilot.press("abc"[app.screen._question.right])
        assert "Over-fitting: validation loss was lowest at epoch 6" in screen_text(app)
