"""Learning-rate schedules: never zero, of the stated shape, and a function of the step alone."""

from __future__ import annotations

import math

import pytest
from cnn_explorer.trainer.config.lr_schedule import curve, learning_rate
from cnn_explorer.trainer.config.recipe import SCHEDULES, Recipe
from hypothesis import given
from hypothesis import strategies as st


@given(
    schedule=st.sampled_from(SCHEDULES),
    epochs=st.integers(1, 20),
    per_epoch=st.integers(1, 50),
    warm=st.floats(0, 0.99),
    lr=st.floats(1e-6, 10),
)
def test_no_step_has_rate_zero_or_more_than_asked_for(
    schedule: str, epochs: int, per_epoch: int, warm: float, lr: float
) -> None:
    recipe = Recipe(schedule=schedule, epochs=epochs, warmup=warm * epochs, lr=lr)
    rates = [learning_rate(recipe, step, per_epoch) for step in range(epochs * per_epoch)]
    assert all(0 < rate <= lr * (1 + 1e-9) for rate in rates)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 2.0])
def test_the_rate_is_near_its_peak_somewhere(schedule: str, warmup: float) -> None:
    recipe = Recipe(schedule=schedule, epochs=10, warmup=warmup, lr=0.3)
    assert max(learning_rate(recipe, step, 20) for step in range(200)) == pytest.approx(0.3, rel=0.01)


@pytest.mark.parametrize("schedule", ["constant", "step", "linear", "cosine"])
def test_warm_up_rises_evenly_from_the_first_step(schedule: str) -> None:
    recipe = Recipe(schedule=schedule, epochs=10, warmup=1, lr=1.0)
    rates = [learning_rate(recipe, step, 9) for step in range(9)]
    assert rates == pytest.approx([(step + 1) / 10 for step in range(9)])


def test_step_multiplies_at_the_milestones() -> None:
    recipe = Recipe(schedule="step", epochs=4, lr=1.0, milestones=(0.5, 0.75), gamma=0.1)
    rates = [learning_rate(recipe, step, 10) for step in range(40)]
    assert rates == pytest.approx([1.0] * 20 + [0.1] * 10 + [0.01] * 10)


def test_an_update_whose_middle_is_the_milestone_comes_after_it() -> None:
    recipe = Recipe(schedule="step", epochs=1, lr=1.0, milestones=(0.5,), gamma=0.1)
    assert [learning_rate(recipe, step, 5) for step in range(5)] == pytest.approx([1.0] * 2 + [0.1] * 3)


def test_milestones_are_parts_of_the_whole_run_with_a_warm_up_as_without() -> None:
    recipe = Recipe(schedule="step", epochs=4, lr=1.0, milestones=(0.5,), gamma=0.1, warmup=1)
    rates = [learning_rate(recipe, step, 10) for step in range(40)]
    assert rates[10:] == pytest.approx([1.0] * 10 + [0.1] * 20)


def test_linear_falls_by_the_same_amount_in_every_step() -> None:
    rates = [learning_rate(Recipe(schedule="linear", epochs=2, lr=1.0), step, 10) for step in range(20)]
    assert rates == pytest.approx([1 - (step + 0.5) / 20 for step in range(20)])
    triangle = [learning_rate(Recipe(schedule="linear", epochs=5, lr=1.0, warmup=1), step, 10) for step in range(50)]
    assert triangle[:11] == sorted(triangle[:11]) and triangle[10:] == sorted(triangle[10:], reverse=True)
    assert min(triangle) > 0.01


def test_cosine_falls_all_the_way() -> None:
    recipe = Recipe(schedule="cosine", epochs=10, lr=1.0)
    rates = [learning_rate(recipe, step, 10) for step in range(100)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 1e-3
    assert rates[0] + rates[-1] == pytest.approx(1.0)


def test_one_cycle_rises_then_falls() -> None:
    recipe = Recipe(schedule="one-cycle", epochs=10, lr=1.0)
    rates = [learning_rate(recipe, step, 10) for step in range(100)]
    peak = rates.index(max(rates))
    assert 28 <= peak <= 31
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    # The first update is half a step into the rise from 1/25 to 1, which takes 30 steps.
    assert rates[0] == pytest.approx(0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * 0.5 / 30)))


def test_the_curve_to_draw_spans_the_run() -> None:
    recipe = Recipe(schedule="cosine", epochs=10, lr=1.0)
    points = curve(recipe, 100, points=50)
    assert len(points) == 50
    assert points[0] > 0.99 and points[-1] < 0.01
    assert len(curve(Recipe(epochs=1), 3)) == 3
