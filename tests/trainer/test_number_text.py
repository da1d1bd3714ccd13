"""Numbers as people read them, and the one rule of which evaluation is the best."""

from __future__ import annotations

import itertools
import math

import pytest
from cnn_explorer.trainer.analysis.best import merit
from cnn_explorer.trainer.common import number_text
from cnn_explorer.trainer.loop.evaluate import Evaluation
from cnn_explorer.trainer.loop.trainer import BestEvaluation
from cnn_explorer.tui.charts.history import History
from support.tui import eval_record


@pytest.mark.parametrize(
    ("share", "figure"), [(0.0, "0.0"), (0.9731, "97.3"), (1.0, "100.0"), (1 + 1e-9, "100.0"), (-1e-9, "0.0")]
)
def test_a_share_in_per_cent_with_and_without_its_sign(share: float, figure: str) -> None:
    assert number_text.percent(share) == f"{figure} %" and number_text.percentage(share) == figure


@pytest.mark.parametrize("share", [None, math.nan, math.inf, -0.01, 1.01])
def test_what_is_no_share_is_missing(share: float | None) -> None:
    assert (number_text.percent(share), number_text.percent(share, "-")) == ("–", "-")
    assert (number_text.percentage(share), number_text.percentage(share, "–")) == ("", "–")


def test_durations_for_a_sentence() -> None:
    written = [number_text.duration(seconds) for seconds in (-1, 0.4, 59.4, 60, 200, 7530)]
    assert written == ["0 s", "0 s", "59 s", "1 min 00 s", "3 min 20 s", "2 h 05 min"]
    assert [number_text.about(seconds) for seconds in (0.44, 9.9, 10.4)] == ["0.4 s", "9.9 s", "10 s"]


def test_durations_for_a_narrow_column() -> None:
    written = [number_text.clock(seconds) for seconds in (None, -1, 0, 95, 3599, 7300, 90_000)]
    assert written == ["", "", "0:00", "1:35", "59:59", "2 h 01", "1 d 1 h"]


def test_durations_in_a_single_unit() -> None:
    written = [number_text.rough_duration(seconds) for seconds in (None, -5, 45, 119, 720, 10_800, 432_000, math.inf)]
    assert written == ["–", "0 s", "45 s", "119 s", "12 min", "3 h", "5 d", "–"]


def test_speeds_have_three_or_four_figures() -> None:
    assert [number_text.speed(value) for value in (12.34, 412.3, 15030.0)] == ["12.3", "412", "15,030"]


# From worst to best.
RANKED = [(0.4, 0.1), (0.9, math.nan), (0.9, 0.8), (0.9, 0.5), (0.95, math.inf), (0.95, 3.0)]


def test_the_higher_accuracy_is_better_and_of_equal_ones_the_smaller_loss() -> None:
    for worse, better in itertools.combinations(RANKED, 2):
        assert merit(*worse) < merit(*better)
    assert merit(0.9, math.nan) == merit(0.9, math.inf)


@pytest.mark.parametrize("order", [RANKED, RANKED[::-1], [*RANKED, RANKED[-1]]])
def test_the_star_and_the_weights_that_are_kept_agree(order: list[tuple[float, float]]) -> None:
    history, best = History(), None
    for epoch, (accuracy, loss) in enumerate(order, 1):
        history.add([eval_record(epoch, accuracy, loss=loss)])
        if best is None or best.beaten_by(Evaluation(loss, accuracy, [], [], 1)):
            best = BestEvaluation(accuracy, loss, epoch, step=epoch)
    assert best is not None and history.best("epoch") == (best.epoch, best.accuracy)
    assert best.epoch == order.index((0.95, 3.0)) + 1
