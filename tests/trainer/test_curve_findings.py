"""Reading the curve: every rule speaks when its numbers are there and is silent when they are just missed."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.cli.runs import runs_app
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.analysis import curve_findings, curve_summary, finding
from cnn_explorer.trainer.analysis.curve_findings import diagnose_curve
from cnn_explorer.trainer.analysis.curve_summary import (
    MOST_PER_CLASS,
    MOST_POINTS,
    CurvePoint,
    CurveSummary,
    CurveSummaryBuilder,
    read_curve_summary,
)
from cnn_explorer.trainer.runs.annotations import Notes
from cnn_explorer.trainer.runs.run import RunSnapshot
from cnn_explorer.tui.charts.history import History
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tui import FakeRun, eval_record, train_record
from typer.testing import CliRunner

CONCEPTS = registry.NOTES.parent / "concepts"


def summary(
    losses: list[float],
    accuracies: Sequence[float] = (),
    validation: Sequence[tuple[float, float]] = (),
    **more: Any,
) -> CurveSummary:
    """Twenty training records an epoch, with the loss and accuracy of that epoch; ``validation``: (loss, accuracy)."""
    train = [
        CurvePoint(epoch + (index + 1) / 20, loss, accuracies[epoch] if accuracies else 0.5)
        for epoch, loss in enumerate(losses)
        for index in range(20)
    ]
    evaluations = tuple(CurvePoint(epoch, *pair) for epoch, pair in enumerate(validation, start=1))
    values: dict[str, Any] = {"classes": 10, "train": tuple(train), "validation": evaluations} | more
    return CurveSummary(**values)


def rules(told: CurveSummary) -> list[str]:
    return [finding.rule for finding in diagnose_curve(told)]


def text(told: CurveSummary, rule: str) -> str:
    return next(finding.text for finding in diagnose_curve(told) if finding.rule == rule)


def test_divergence_speaks_alone_and_names_step_and_rate() -> None:
    told = summary([1.0, 0.5], validation=[(1.0, 0.6)] * 2, diverged_step=1234, rate=0.3)
    assert rules(told) == ["Diverged"]
    assert "1,234" in text(told, "Diverged") and "0.3" in text(told, "Diverged") and "try 0.1" in text(told, "Diverged")


def test_a_record_of_many_steps_names_the_one_that_was_wrong() -> None:
    named = train_record(40, loss=math.nan) | {"nonfinite_step": 23}
    gradient = train_record(40) | {"grad_norm": math.inf, "nonfinite_step": 40}
    for records, step in (([named], 23), ([train_record(7, loss=math.inf), named], 7), ([gradient], 40)):
        builder, history = CurveSummaryBuilder(), History()
        builder.add(records)
        history.add(records)
        assert builder.diverged_step == history.diverged_step == step
    history = History()
    history.add([train_record(40) | {"grad_norm": math.inf}])
    assert history.diverged_step is None  # with fp16 the scaler leaves such an update out


def test_the_newest_points_say_how_far_a_run_is_whatever_is_unknown_of_older_ones() -> None:
    points = [CurvePoint(epoch, 1.0, 0.5) for epoch in (math.nan, 1.0, 2.0, 3.0)]
    assert CurveSummary(10, train=tuple(points[:3]), validation=tuple(points[:2])).trained == 2.0
    assert CurveSummary(10, train=tuple(points[:2]), validation=tuple(points)).trained == 3.0
    assert CurveSummary(10).trained == 0.0


def test_too_early_until_an_epoch_or_an_evaluation() -> None:
    assert rules(CurveSummary(10)) == ["Too early"]
    half = tuple(CurvePoint(index / 40, 2.3 - index / 40, 0.1) for index in range(1, 20))
    assert rules(CurveSummary(10, train=half)) == ["Too early"]
    assert "2.27 to 1.82" in text(CurveSummary(10, train=half), "Too early")
    assert "before the run ended" in text(CurveSummary(10, over=True), "Too early")
    assert rules(summary([2.0])) != ["Too early"]


@pytest.mark.parametrize(
    ("classes", "loss", "accuracy", "speaks"),
    [(10, 2.302, 0.1, True), (10, 2.22, 0.1, False), (10, 2.302, 0.16, False), (100, 4.6, 0.012, True)],
)
def test_not_learning_at_ln_of_the_classes(classes: int, loss: float, accuracy: float, speaks: bool) -> None:
    told = summary([loss, loss], validation=[(loss, accuracy)] * 2, classes=classes)
    assert (rules(told) == ["Not learning"]) == speaks
    if speaks:
        assert f"ln {classes} = {math.log(classes):.3f}" in text(told, "Not learning")


@pytest.mark.parametrize(("last", "speaks"), [(0.76, True), (0.74, False)])
def test_a_rising_loss(last: float, speaks: bool) -> None:
    told = summary([1.0, 0.5, last, last], rate=0.1)
    assert ("The loss rises" in rules(told)) == speaks
    if speaks:
        assert "0.5" in text(told, "The loss rises") and "1.5 times" in text(told, "The loss rises")


def test_advice_without_a_rate_and_epochs_beyond_a_hundred_are_written_out() -> None:
    words = text(summary([1.0] * 150 + [0.5] * 20 + [0.9] * 30), "The loss rises")
    assert "around epoch 160 and" in words and "is too high; try a smaller one, a longer warm-up" in words


def test_of_equal_accuracies_the_smaller_loss_is_best() -> None:
    told = summary([1.0, 0.9, 0.8], validation=[(1.0, 0.5), (0.8, 0.5), (0.9, 0.5)])
    assert "50.0 % (epoch 2)" in text(told, "Nothing unusual")


@pytest.mark.parametrize(("peak", "speaks"), [(1.01, True), (0.99, False)])
def test_a_jump_that_came_down(peak: float, speaks: bool) -> None:
    told = summary([1.0, 0.5, peak, 0.4])
    assert ("The loss jumps" in rules(told)) == speaks


def overfitted(newest: float, train: float = 0.1) -> CurveSummary:
    return summary([1.0, 0.5, 0.3, train], [0.9] * 4, [(0.8, 0.7), (0.5, 0.88), (0.52, 0.88), (newest, 0.88)])


def test_overfitting_names_both_losses() -> None:
    assert rules(overfitted(0.56))[0] == "Over-fitting"
    words = text(overfitted(0.56), "Over-fitting")
    assert "epoch 2 (0.5)" in words and "12 % higher" in words and "from 0.5 to 0.1" in words
    assert "Over-fitting" not in rules(overfitted(0.54))
    assert "Over-fitting" not in rules(overfitted(0.56, train=0.6))


@pytest.mark.parametrize(("train", "size"), [(0.84, ""), (0.86, "mild"), (0.96, "large")])
def test_gap_of_accuracies(train: float, size: str) -> None:
    told = summary([1.0, 0.5], [0.5, train], [(0.6, 0.5), (0.6, 0.8)])
    assert ("Gap" in rules(told)) == bool(size)
    if size:
        assert size in text(told, "Gap") and "80.0 %" in text(told, "Gap")


def test_a_gap_is_not_said_twice() -> None:
    told = dataclasses.replace(overfitted(0.9), train=summary([1.0, 0.5, 0.3, 0.1], [1.0] * 4).train)
    assert "Over-fitting" in rules(told) and "Gap" not in rules(told)


def test_validation_ahead_is_explained() -> None:
    told = summary([1.0, 0.9], [0.6, 0.7], [(0.8, 0.7), (0.7, 0.74)])
    assert "Validation is ahead" in rules(told)
    assert "Validation is ahead" not in rules(summary([1.0, 0.9], [0.6, 0.72], [(0.8, 0.7), (0.7, 0.74)]))


def test_still_improving_and_plateau_exclude_each_other() -> None:
    better = [(1.0, 0.5 + 0.05 * epoch) for epoch in range(6)]
    told = summary([1.0] * 6, [0.7] * 6, better, epochs=6, over=True)
    assert "Still improving" in rules(told) and "Plateau" not in rules(told)
    words = text(told, "Still improving")
    assert "75.0 %" in words and "epoch 6 of 6" in words and "last 2 evaluations gained 10.0 points" in words
    assert "More epochs" in words
    flat = [*better[:4], (1.0, 0.65), (1.0, 0.6505)]
    told = summary([1.0] * 6, [0.82] * 6, flat)
    assert "Plateau" in rules(told) and "Still improving" not in rules(told)
    assert "65.0 % of epoch 4" in text(told, "Plateau")
    assert "Plateau" not in rules(summary([1.0] * 6, [0.82] * 6, [*better[:4], (1.0, 0.65), (1.0, 0.652)]))
    assert "Plateau" not in rules(summary([0.1] * 6, [1.0] * 6, [(0.1, 0.996)] * 6))


def test_underfitting_needs_an_end_or_a_plateau() -> None:
    validation = [(1.0, 0.6), (1.0, 0.62), (1.0, 0.61)]
    assert "Under-fitting" in rules(summary([1.2, 1.1, 1.0], [0.6] * 3, validation, over=True))
    assert "Under-fitting" not in rules(summary([1.2, 1.1, 1.0], [0.6] * 3, validation))
    assert "Under-fitting" not in rules(summary([1.2, 1.1, 1.0], [0.85] * 3, [(1.0, 0.85)] * 3, over=True))


@pytest.mark.parametrize(("images", "speaks"), [(300, True), (30_000, False), (None, False)])
def test_noise_of_a_small_validation_part(images: int | None, speaks: bool) -> None:
    accuracies = [0.9, 0.88, 0.91, 0.89, 0.9]
    told = summary([0.3] * 5, [0.9] * 5, [(0.4, value) for value in accuracies], images=images)
    assert ("Noisy validation" in rules(told)) == speaks
    if speaks:
        assert "±3.5 points" in text(told, "Noisy validation") and "fell 2 times" in text(told, "Noisy validation")


def test_a_run_without_fault_gets_its_figures() -> None:
    told = summary([2.0, 0.5, 0.1], [0.5, 0.9, 0.97], [(1.0, 0.98), (0.3, 0.981), (0.1, 0.982)])
    assert rules(told) == ["Nothing unusual"]
    assert "2 to 0.1" in text(told, "Nothing unusual") and "98.2 % (epoch 3)" in text(told, "Nothing unusual")


def test_every_rule_and_threshold_is_stated_in_the_concept_page() -> None:
    page = (CONCEPTS / "reading-curves.md").read_text(encoding="utf-8")
    folder = Path(curve_findings.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
    stated = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert set(re.findall(r'Finding\("([^"]+)"', source)) == set(stated)
    thresholds = ("0.97", "five points", "1.5 times", "0.1 more", "0.3 more", "10 %", "80 %", "99.5 %", "twenty times")
    for number in (*thresholds, "0.02", "three wrong", "2 points", "25 points", "40 points", "0.01", "fewer than 100"):
        assert number in " ".join(page.split()), number
    for name in (finding.CURVES, finding.RATE, finding.OVERFITTING, finding.VALIDATION, finding.IMBALANCE):
        text = (CONCEPTS / f"{name}.md").read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+\.md)", text):
            assert (CONCEPTS / target).is_file(), f"{name} links to {target}"


numbers = st.floats(allow_nan=True, allow_infinity=True)
points = st.lists(st.builds(CurvePoint, st.floats(0, 1e6), numbers, numbers), max_size=30).map(
    lambda found: tuple(sorted(found, key=lambda point: point.epoch))
)


@settings(max_examples=150, deadline=None)
@given(points, points, st.integers(0, 1000), st.one_of(st.none(), st.integers(0, 10**6)), st.booleans())
def test_any_figures_give_one_to_three_sentences(train, validation, classes, images, over) -> None:
    told = CurveSummary(classes, train=train, validation=validation, images=images, over=over)
    found = diagnose_curve(told)
    assert 1 <= len(found) <= 3
    assert all(finding.text.endswith(".") and "\n" not in finding.text for finding in found)


# The summary


def run_of(path: Path, **status: object) -> RunSnapshot:
    config = {
        "data": {"name": "digits", "validation": 300, "classes": list("0123456789")},
        "recipe": {"epochs": 9, "lr": 0.1},
    }
    return RunSnapshot(path.name, path, config, dict(status), Notes(), "training")


def test_a_million_records_stay_few_points_with_the_right_means() -> None:
    builder = CurveSummaryBuilder()
    builder.add(train_record(step, loss=float(step)) for step in range(10_000))
    told = builder.summary(run_of(Path("run")))
    assert MOST_POINTS / 2 <= len(told.train) <= 2 * MOST_POINTS
    assert told.train_in(0, 1000).loss == pytest.approx(4999.5, rel=0.01)
    assert (told.classes, told.epochs, told.images, told.rate) == (10, 9, 300, 0.1)


def test_what_is_no_number_is_left_out_and_divergence_noticed() -> None:
    builder = CurveSummaryBuilder()
    builder.add(
        [train_record(1), {"kind": "train", "step": 7, "epoch": 0.1, "loss": math.nan}, {"kind": "train", "loss": "x"}]
    )
    told = builder.summary(run_of(Path("run")))
    assert told.diverged_step == 7 and len(told.train) == 2


def test_per_class_figures_keep_the_first_and_the_newest() -> None:
    builder = CurveSummaryBuilder()
    builder.add(eval_record(epoch, 0.5) | {"per_class": [epoch / 1000, None]} for epoch in range(1, 301))
    assert len(builder.evaluations.per_class) <= MOST_PER_CLASS
    assert builder.evaluations.per_class[0][0] == 1 and builder.evaluations.per_class[-1][0] == 300
    assert builder.evaluations.per_class[-1][1][0] == 0.3 and math.isnan(builder.evaluations.per_class[-1][1][1])


def write(path: Path, *records: dict) -> None:
    with open(path / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def test_a_curve_is_read_from_the_file_with_its_evaluations_in_order(tmp_path: Path) -> None:
    assert read_curve_summary(run_of(tmp_path)).train == ()
    write(tmp_path, train_record(1, loss=2.0), eval_record(1, 0.5), train_record(150, loss=1.0), eval_record(2, 0.6))
    write(tmp_path, {"kind": "eval", "split": "test", "accuracy": 0.1})
    told = read_curve_summary(run_of(tmp_path))
    assert [point.loss for point in told.train] == [2.0, 1.0]
    assert [(point.epoch, point.accuracy) for point in told.validation] == [(1.0, 0.5), (2.0, 0.6)]


def test_of_a_large_file_every_evaluation_is_read_and_the_training_sampled(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(curve_summary, "LARGE", 1 << 18)
    monkeypatch.setattr(curve_summary, "NEAR_END", 1 << 16)
    lines = [json.dumps(train_record(step, loss=1.0)) for step in range(6000)]
    lines[::600] = [json.dumps(eval_record(epoch, epoch / 10)) for epoch in range(10)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    told = read_curve_summary(run_of(tmp_path))
    assert [point.epoch for point in told.validation] == list(range(10))
    assert told.train[0].epoch < 10 and told.train[-1].epoch > 59 and len(told.train) < 4000
    assert [point.epoch for point in told.train] == sorted(point.epoch for point in told.train)


@pytest.mark.parametrize("count", [1, 3999, 4001, 9000])
def test_the_app_shows_the_same_figures_as_the_commands(count: int) -> None:
    records = [train_record(step, loss=3.0 - step / 9000) for step in range(count)]
    records += [eval_record(1, 0.5), eval_record(2, 0.7), train_record(count, loss=math.nan)]
    builder, history = CurveSummaryBuilder(), History()
    builder.add(records)
    history.add(records)
    run = run_of(Path("run"))
    told, shown = builder.summary(run), history.curve_summary(run, history.evaluations)
    assert shown.validation == told.validation and shown.diverged_step == told.diverged_step == count
    assert len(shown.train) == len(told.train) <= 2 * MOST_POINTS
    for mine, theirs in zip(shown.train, told.train, strict=True):
        assert (mine.epoch, mine.loss, mine.accuracy) == pytest.approx(
            (theirs.epoch, theirs.loss, theirs.accuracy), nan_ok=True
        )


def test_runs_show_reads_the_curve_as_text_and_as_json(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, "20261120-143022-lenet5-digits-7f3a", "diverged")
    run.write(train_record(1), train_record(2) | {"loss": None, "nonfinite": {"loss": "nan"}})
    words = ["show", "last", "--runs", str(tmp_path)]
    shown = CliRunner().invoke(runs_app, words)
    assert "reading the curve" in shown.stdout and "Diverged: at step 2" in shown.stdout
    data = json.loads(CliRunner().invoke(runs_app, [*words, "--json"]).stdout)
    assert [(item["rule"], item["page"]) for item in data["reading"]] == [("Diverged", "learning-rate")]


def test_an_accuracy_in_per_cent_or_below_zero_is_no_accuracy() -> None:
    builder = CurveSummaryBuilder()
    for epoch, accuracy in enumerate((95.0, -0.1, 0.9), 1):
        builder.add([{"kind": "eval", "split": "validation", "epoch": epoch, "loss": 1.0, "accuracy": accuracy}])
    assert [math.isnan(point.accuracy) for point in builder.evaluations.points] == [True, True, False]
