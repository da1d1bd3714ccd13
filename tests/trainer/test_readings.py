"""Reading the curve: for every rule a run that it is about and one that it must not take for such; no contradictions."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.trainer.analysis import curve_findings
from cnn_explorer.trainer.analysis.curve_findings import diagnose_curve
from cnn_explorer.trainer.analysis.curve_summary import Answers, CurvePoint, CurveSummary, CurveSummaryBuilder
from cnn_explorer.trainer.runs.annotations import Notes
from cnn_explorer.trainer.runs.run import RunSnapshot
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tui import eval_record, train_record

EPOCHS = 8
FALLING = [2.0, 1.0, 0.6, 0.4, 0.3, 0.2, 0.15, 0.12]
RISING = [0.4, 0.7, 0.8, 0.88, 0.92, 0.95, 0.96, 0.97]


def run(
    loss: list[float] | None = None,
    accuracy: list[float] | None = None,
    held_out: list[float] | None = None,
    held_out_loss: list[float] | None = None,
    **more: Any,
) -> CurveSummary:
    """A finished run of eight epochs that went well, except for what is given; figures are one an epoch."""
    loss, accuracy, held_out = loss or FALLING, accuracy or RISING, held_out or RISING
    train = tuple(
        CurvePoint(epoch + (part + 1) / 20, loss[epoch], accuracy[epoch])
        for epoch in range(len(loss))
        for part in range(20)
    )
    error = more.pop("loss_error", math.nan)
    points = tuple(
        CurvePoint(epoch, value, share, error)
        for epoch, (value, share) in enumerate(zip(held_out_loss or loss, held_out, strict=True), 1)
    )
    usual: dict[str, Any] = {
        "classes": 10,
        "epochs": EPOCHS,
        "images": 1000,
        "rate": 0.05,
        "rate_now": 0.0001,
        "optimizer": "sgd",
        "schedule": "one-cycle",
        "over": True,
        "train": train,
        "validation": points,
        "names": tuple("abcdefghij"),
    }
    return CurveSummary(**usual | more)


def two(**more: Any) -> dict[str, Any]:
    """Two classes, a cat and a dog."""
    return {"classes": 2, "names": ("cat", "dog"), **more}


ALL_CAT = Answers((1.0, 0.0), largest_class=0.95, most_predicted=1.0, taken_for=0)
SOME_DOGS = Answers((0.99, 0.2), largest_class=0.95, most_predicted=0.97, taken_for=0)
MOST_DOGS = Answers((0.99, 0.8), largest_class=0.95, most_predicted=0.95, taken_for=0)
ONE_OF_TEN = Answers((0.0,) * 9 + (1.0,), largest_class=0.1, most_predicted=1.0, taken_for=9)
EVEN = Answers((0.97,) * 10, largest_class=0.1, most_predicted=0.11, taken_for=3)
IN_TURN = [0.5, 0.55, 0.52, 0.56, 0.51, 0.55, 0.52, 0.54]
FLAT = [0.3, 0.5, 0.6, 0.62, 0.7, 0.7, 0.7, 0.7]
SETTLES = [0.3, 0.6, 0.8, 0.9, 0.96, 0.96, 0.96, 0.96]

# Rule: the name of the case, a run that it is about, and one that is nearly so.
CASES: dict[str, tuple[str, CurveSummary, CurveSummary]] = {
    "divergence": ("Diverged", run(diverged_step=7), run()),
    "NaN in validation": (
        "The validation loss is not a number",
        run(held_out_loss=[*FALLING[:-1], math.nan], answers=Answers(not_a_number=True)),
        run(held_out_loss=[*FALLING[:3], math.nan, *FALLING[4:]], answers=Answers()),
    ),
    "a beginning": (
        "Too early",
        CurveSummary(10, train=tuple(CurvePoint(part / 40, 2.0, 0.2) for part in range(1, 30))),
        run(),
    ),
    "softmax": (
        "Softmax before the loss",
        run([2.2, 2.1, 2.0, 1.9, 1.8, 1.7, 1.65, 1.6], answers=dataclasses.replace(EVEN, outputs="probabilities")),
        run(answers=EVEN),
    ),
    "sigmoid": (
        "Softmax before the loss",
        run([2.2, 2.1, 2.0, 1.9, 1.8, 1.7, 1.65, 1.6], answers=dataclasses.replace(EVEN, outputs="0 to 1")),
        run(answers=dataclasses.replace(EVEN, outputs="")),
    ),
    "guessing": (
        "Not learning",
        run([2.31] * 8, [0.1] * 8, [0.1] * 8),
        run([2.31] * 7 + [2.0], [0.1] * 7 + [0.25], [0.1] * 7 + [0.3]),
    ),
    "labels of validation swapped": (
        "Validation fails",
        run(**two(held_out=[0.5, 0.4, 0.3, 0.2, 0.1, 0.08, 0.08, 0.08], images=60)),
        run(**two(held_out=[0.5, 0.4, 0.6, 0.7, 0.75, 0.8, 0.8, 0.8], images=60)),
    ),
    "validation prepared otherwise": (
        "Validation fails",
        run(held_out=[0.1, 0.1, 0.12, 0.1, 0.11, 0.1, 0.09, 0.1]),
        run(held_out=[0.1, 0.1, 0.12, 0.1, 0.5, 0.7, 0.8, 0.9]),
    ),
    "validation half of what it should be": (
        "Validation fails",
        run(held_out=[0.3, 0.35, 0.4, 0.4, 0.42, 0.4, 0.41, 0.42]),
        run(held_out=[0.3, 0.35, 0.4, 0.5, 0.55, 0.6, 0.62, 0.62]),
    ),
    "every image is a cat": (
        "One class",
        run(accuracy=[0.95] * 8, held_out=[0.95] * 8, answers=ALL_CAT, **two(images=100)),
        run(accuracy=[0.95] * 8, held_out=[0.98] * 8, answers=MOST_DOGS, **two(images=100)),
    ),
    "nearly every image is a cat": (
        "One class",
        run(accuracy=[0.95] * 8, held_out=[0.95] * 8, answers=SOME_DOGS, **two(images=100)),
        run(accuracy=[0.95] * 8, held_out=[0.98] * 8, answers=MOST_DOGS, **two(images=100)),
    ),
    "one of ten equal classes": (
        "One class",
        run([2.0] * 8, [0.2] * 8, [0.1] * 8, answers=ONE_OF_TEN),
        run([2.0] * 8, [0.2] * 8, [0.2] * 8, answers=dataclasses.replace(ONE_OF_TEN, most_predicted=0.7)),
    ),
    "every image is a cat, by an old record": (
        "One class",
        run(accuracy=[0.95] * 8, held_out=[0.95] * 8, answers=Answers((1.0, 0.0)), **two(images=100)),
        run(accuracy=[0.95] * 8, held_out=[0.95] * 8, answers=Answers((0.97, 0.5)), **two(images=100)),
    ),
    "a loss that rises": (
        "The loss rises",
        run([2.0, 1.0, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9]),
        run([2.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.52, 0.59]),
    ),
    "a small loss that rises": (
        "The loss rises",
        run([0.5, 0.2, 0.05, 0.05, 0.1, 0.12, 0.14, 0.16]),
        run([0.5, 0.2, 0.05, 0.05, 0.1, 0.12, 0.13, 0.14]),
    ),
    "a jump": (
        "The loss jumps",
        run([1.0, 0.5, 0.4, 1.2, 0.8, 0.6, 0.5, 0.45]),
        run([1.0, 0.5, 0.4, 1.2, 0.8, 0.4, 0.3, 0.2]),  # it made up for it
    ),
    "a rate that is a hundred times too high": (
        "A very high rate",
        run([2.5] + [1.9] * 7, [0.3] * 8, [0.3] * 8, rate=5.0),
        run([2.5] + [1.9] * 7, [0.3] * 8, [0.3] * 8, rate=0.9),
    ),
    "a high rate that learns": (
        "A very high rate",
        run([2.5] + [1.9] * 7, [0.3] * 8, [0.3] * 8, rate=5.0),
        run(rate=5.0),
    ),
    "over-fitting": (
        "Over-fitting",
        run(held_out=[0.88] * 8, held_out_loss=[0.8, 0.5, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9]),
        run(held_out=[0.88] * 8, held_out_loss=[0.8, 0.5, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9], loss_error=0.15),
    ),
    "a tiny rise that is 11 per cent": (
        "Over-fitting",
        run(held_out=[0.88] * 8, held_out_loss=[0.8, 0.5, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9]),
        run(
            [2.0, 0.5, 0.1, 0.05, 0.02, 0.01, 0.008, 0.006],
            held_out=[0.97] * 8,
            held_out_loss=[0.8, 0.1, 0.02, 0.00262, 0.0027, 0.0028, 0.0029, 0.00291],
            images=144,
        ),
    ),
    "a rise by two images": (
        "Over-fitting",
        run(held_out=[0.9] * 8, held_out_loss=[0.8, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], loss_error=0.01, images=144),
        run(
            held_out=[142 / 144] * 8,
            held_out_loss=[0.8, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
            loss_error=0.01,
            images=144,
        ),
    ),
    "a gap": (
        "Gap",
        run(held_out=[0.3, 0.6, 0.7, 0.75, 0.78, 0.8, 0.81, 0.82]),
        run(held_out=[0.3, 0.6, 0.7, 0.75, 0.8, 0.9, 0.92, 0.93]),
    ),
    "a gap of few images": (
        "Gap",
        run(held_out=[0.91] * 8, images=5000),
        run(held_out=[0.91] * 8, images=100),
    ),
    "a validation that is ahead": (
        "Validation is ahead",
        run(accuracy=[value - 0.08 for value in RISING], images=1000),
        run(accuracy=[value - 0.08 for value in RISING], held_out=[value - 0.02 for value in RISING], images=30),
    ),
    "a rate that never fell": (
        "The rate never fell",
        run(held_out=[0.5, 0.7, 0.8, 0.92, 0.94, 0.92, 0.93, 0.92], schedule="constant", rate_now=0.05),
        run(held_out=[0.5, 0.7, 0.8, 0.92, 0.94, 0.92, 0.93, 0.92], rate_now=0.005),
    ),
    "a rate that need not fall": (
        "The rate never fell",
        run(held_out=[0.5, 0.7, 0.8, 0.92, 0.94, 0.92, 0.93, 0.92], schedule="constant", rate_now=0.05),
        run(held_out=[0.99, 0.99, 0.99, 0.995, 0.996, 0.996, 0.996, 0.997], schedule="constant", rate_now=0.05),
    ),
    "a run that was stopped at its peak": (
        "The rate never fell",
        run(held_out=[0.5, 0.7, 0.8, 0.92, 0.94, 0.92, 0.93, 0.92], schedule="constant", rate_now=0.05),
        run(held_out=[0.5, 0.7, 0.8, 0.92, 0.94, 0.92, 0.93, 0.92], epochs=30, rate_now=0.05),
    ),
    "under-fitting": (
        "Under-fitting",
        run([1.5] * 8, IN_TURN, IN_TURN),
        run([1.5] * 8, [0.82] * 8, [0.81] * 8),
    ),
    "progress": (
        "Still improving",
        run(held_out=[0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.93, 0.95]),
        run(held_out=[0.3, 0.5, 0.6, 0.7, 0.93, 0.935, 0.936, 0.938]),
    ),
    "a plateau": (
        "Plateau",
        run(accuracy=[0.82] * 8, held_out=FLAT, over=False),
        run(accuracy=[0.82] * 8, held_out=[*FLAT[:-1], 0.72], over=False),
    ),
    "a good run that stands still at its end": (
        "Plateau",
        run(held_out=SETTLES, over=False, schedule="constant", rate_now=0.05),
        run(held_out=SETTLES),
    ),
    "99.3 per cent of 144 images": (
        "Plateau",
        run(held_out=SETTLES, over=False),
        run(held_out=[143 / 144] * 8, images=144, over=False),
    ),
    "few images": (
        "Too little to tell",
        run(held_out=[0.8] * 8, accuracy=[0.84] * 8, images=40),
        run(held_out=[0.8] * 8, accuracy=[0.84] * 8, images=400),
    ),
    "no image": (
        "Too little to tell",
        run(images=0, validation=()),
        run(),
    ),
    "chance": (
        "Noisy validation",
        run(accuracy=[0.9] * 8, held_out=[0.9, 0.88, 0.91, 0.89, 0.9, 0.88, 0.9, 0.89], images=300),
        run(accuracy=[0.9] * 8, held_out=[0.9, 0.88, 0.91, 0.89, 0.9, 0.88, 0.9, 0.89], images=30_000),
    ),
    "nothing": ("Nothing unusual", run(held_out=SETTLES), run(diverged_step=3)),
}


def rules(told: CurveSummary) -> list[str]:
    return [finding.rule for finding in diagnose_curve(told)]


def reading(told: CurveSummary) -> str:
    return " ".join(finding.text for finding in diagnose_curve(told))


@pytest.mark.parametrize("case", CASES)
def test_a_rule_speaks_of_its_case_and_not_of_the_next_one(case: str) -> None:
    rule, speaks, silent = CASES[case]
    assert rule in rules(speaks), reading(speaks)
    assert rule not in rules(silent), reading(silent)


def test_every_rule_has_its_case() -> None:
    folder = Path(curve_findings.__file__).parent
    written = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    assert set(re.findall(r'Finding\("([^"]+)"', written)) == {rule for rule, _, _ in CASES.values()}


@pytest.mark.parametrize("images", [100, 144, 1000, 10_000])
@pytest.mark.parametrize("over", [True, False])
def test_a_good_run_gives_no_alarm(images: int, over: bool) -> None:
    told = run(held_out=[0.5, 0.75, 0.85, 0.92, 0.95, 0.965, 0.972, 0.975], images=images, over=over, answers=EVEN)
    assert set(rules(told)) <= {"Still improving", "Noisy validation", "Nothing unusual"}


def test_what_is_advised_depends_on_whether_the_run_is_over() -> None:
    course = {"accuracy": [0.82] * 8, "held_out": FLAT}
    constant = {"schedule": "constant", "rate_now": 0.05}
    assert "A lower learning rate, or stopping, would do" in reading(run(**course, **constant, over=False))
    assert "has still to fall by the schedule" in reading(run(**course, rate_now=0.04, over=False))
    assert "stopping loses nothing" in reading(run(**course, rate_now=0.001, over=False))
    over = reading(run(accuracy=[0.82] * 8, held_out=[0.3, 0.5, 0.6, 0.62, 0.79, 0.79, 0.79, 0.79]))
    assert "stopping" not in over and "More epochs of the same would not help" in over
    losses = [0.8, 0.5, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9]
    live, ended = (reading(run(held_out=[0.88] * 8, held_out_loss=losses, over=over)) for over in (False, True))
    assert "ending the run here loses nothing" in live and "ending" not in ended and "0.9 at the end" in ended


def test_more_epochs_are_advised_with_the_command_and_only_at_the_end() -> None:
    improving = {"held_out": [0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.93, 0.95]}
    assert "More epochs" not in reading(run(**improving, over=False))
    assert reading(run(held_out=[0.5, 0.6, 0.7, 0.9, 0.95, 0.96, 0.98, 0.99], images=144)).endswith(
        "gained 3.0 points."
    )
    assert reading(run(**improving, train_longer="cnn-explorer runs clone x")).endswith(
        "More epochs may gain more (cnn-explorer runs clone x)."
    )


def test_a_loss_of_zero_divides_nothing() -> None:
    told = run(held_out=[0.88] * 8, held_out_loss=[0.8, 0.0, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9])
    assert "lowest at epoch 2 (0) and is 0.9 at the end, while" in reading(told)


def test_softmax_in_evaluation_alone_is_told_apart() -> None:
    answers = dataclasses.replace(EVEN, outputs="probabilities")
    assert "in evaluation alone" in reading(run(answers=answers))
    both = reading(run([2.2, 2.1, 2.0, 1.9, 1.8, 1.7, 1.65, 1.6], answers=answers))
    assert "cannot fall below 1.461" in both and "alone" not in both


def test_a_class_is_named_and_its_advice_fits_the_shares() -> None:
    uneven = reading(run(accuracy=[0.95] * 8, held_out=[0.95] * 8, answers=ALL_CAT, **two(images=100)))
    assert "100.0 % of the validation images are taken for cat" in uneven and "0.0 % of dog are right" in uneven
    assert "--class-weights balanced" in uneven and "learning rate" not in uneven
    even = reading(run([2.0] * 8, [0.2] * 8, [0.1] * 8, answers=ONE_OF_TEN))
    assert "learning rate ten times smaller" in even and "--class-weights" not in even


def test_swapped_labels_are_told_as_below_chance() -> None:
    told = reading(CASES["labels of validation swapped"][1])
    assert "below chance, 50.0 %" in told and "folders or classes mixed up" in told and "Augmentation" not in told


def test_a_cause_silences_what_follows_from_it() -> None:
    assert rules(CASES["labels of validation swapped"][1]) == ["Validation fails", "Too little to tell"]
    for case in ("validation prepared otherwise", "every image is a cat", "softmax", "NaN in validation"):
        assert len(rules(CASES[case][1])) == 1, case


def test_early_epochs_at_chance_are_no_alarm() -> None:
    """Running statistics lag behind in the first epochs, and many networks first know one class."""
    young = run(FALLING[:2], [0.7, 0.85], [0.1, 0.12], over=False, answers=ONE_OF_TEN)
    assert "Validation fails" not in rules(young) and "One class" not in rules(young)


CONTRARY = (
    ("ore epochs may gain", "would not help"),
    ("ore epochs", "stopping"),
    ("ore epochs", "over-fitting: validation loss"),
    ("larger network", "over-fitting"),
    ("larger network", "smaller one"),
    ("larger network", "learning rate"),
    ("wait for it", "stopping"),
    ("wait for it", "ending the run"),
    ("less augmentation", "augmentation, weight decay"),
)

shares = st.floats(0, 1)
losses = st.one_of(st.floats(0, 5), st.just(math.nan))


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(losses, shares, losses, shares), min_size=1, max_size=12),
    st.sampled_from([None, 0, 20, 144, 5000]),
    st.booleans(),
    st.sampled_from(["constant", "one-cycle", ""]),
    st.sampled_from([0.0, 0.01, 0.05, None]),
    st.sampled_from([0.05, 5.0, None]),
)
def test_no_reading_contradicts_itself(course, images, over, schedule, now, rate) -> None:
    train_loss, accuracy, loss, held_out = (list(column) for column in zip(*course, strict=True))
    more = {"images": images, "over": over, "schedule": schedule, "rate_now": now, "rate": rate}
    told = reading(run(train_loss, accuracy, held_out, loss, epochs=len(course), **more)).lower()
    for one, other in CONTRARY:
        assert not (one in told and other in told), told


# From records


def summary_of(*records: dict, **status: object) -> CurveSummary:
    config = {
        "data": {"name": "folder:x", "validation": 100, "classes": ["cat](x)", "dog\x1b[31m"]},
        "recipe": {"epochs": 2, "lr": 0.1, "optimizer": "sgd", "schedule": "constant", "ema": 0.9},
    }
    builder = CurveSummaryBuilder()
    builder.add(records)
    return builder.summary(RunSnapshot("x", Path("x"), config, dict(status), Notes(), "finished"))


def test_what_the_records_tell_arrives() -> None:
    facts = {"loss_error": 0.02, "largest_class": 0.95, "most_predicted": 1.0, "most_predicted_class": 1}
    told = summary_of(
        train_record(1) | {"lr": 0.1},
        eval_record(1, 0.95) | facts | {"per_class": [0.0, 1.0], "outputs": "probabilities"},
        train_record(2) | {"lr": 0.03},
    )
    assert told.answers == Answers((0.0, 1.0), 0.95, 1.0, 1, "probabilities", False)
    assert told.validation[0].loss_error == 0.02
    assert (told.rate_now, told.schedule, told.optimizer, told.ema) == (0.03, "constant", "sgd", 0.9)
    assert told.names == ("cat(x)", "dog")


def test_records_of_earlier_versions_and_strange_ones_tell_nothing() -> None:
    told = summary_of(train_record(1), eval_record(1, 0.95))
    assert math.isnan(told.answers.largest_class) and told.answers.taken_for is None and not told.answers.outputs
    strange = {"loss": None, "largest_class": "x", "most_predicted": True, "most_predicted_class": 1.5, "outputs": 3}
    told = summary_of(train_record(1), eval_record(1, 0.95) | strange | {"per_class": "x"})
    assert repr(told.answers) == repr(Answers())  # NaN is not equal to itself
    assert summary_of(train_record(1), eval_record(1, 0.95) | {"loss": math.inf}).answers.not_a_number
