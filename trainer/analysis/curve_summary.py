"""What a run's records tell of its course, kept small however many there are: the material for curve_findings.py.

A million training records become at most a few thousand means; the evaluations are kept one by one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..common.text_safe import clean
from ..runs import train_longer
from ..runs.run import RunSnapshot, number, part, whole
from ..runs.tail import TRAIN, MetricsTail, skim

MOST_POINTS = 2000
MOST_PER_CLASS = 64
LARGE = 8 << 20
"""From this size of metrics.jsonl on, the training records are sampled at first and only the newest are read whole."""
NEAR_END = 1 << 20
LONGEST_NAME = 30
MARKS = re.compile(r"[\[\]`*<>\\]")


@dataclass(frozen=True)
class CurvePoint:
    """Loss and accuracy at a moment of the training; ``epoch`` counts passes made, NaN stands for what is not known.

    ``loss_error`` is the standard error of the loss of an evaluation, NaN where the record does not tell it.
    """

    epoch: float
    loss: float
    accuracy: float
    loss_error: float = math.nan


@dataclass(frozen=True)
class Answers:
    """What the newest evaluation of the validation split tells beside loss and accuracy.

    ``largest_class`` is the share of the images that are of the most frequent class, ``most_predicted`` the share that
    is taken for one class, ``taken_for`` the number of that class. ``outputs`` is "probabilities" or "0 to 1" where the
    network returns such in the place of scores. ``not_a_number``: the loss was NaN or infinite. NaN, None, "" and
    false where the record tells nothing of it.
    """

    per_class: tuple[float, ...] = ()
    largest_class: float = math.nan
    most_predicted: float = math.nan
    taken_for: int | None = None
    outputs: str = ""
    not_a_number: bool = False


@dataclass(frozen=True)
class CurveSummary:
    """The course of a run. ``train`` are means over equally many records, ``validation`` one point an evaluation.

    ``epochs`` and ``rate`` are the recipe's, ``images`` the size of the validation split; None where that is not known.
    ``rate_now`` is the learning rate of the newest step. ``train_longer`` is the command that goes on from the end.
    """

    classes: int
    epochs: int | None = None
    images: int | None = None
    rate: float | None = None
    train: tuple[CurvePoint, ...] = ()
    validation: tuple[CurvePoint, ...] = ()
    diverged_step: int | None = None
    over: bool = False
    answers: Answers = Answers()
    names: tuple[str, ...] = ()
    optimizer: str = ""
    schedule: str = ""
    rate_now: float | None = None
    ema: float = 0.0
    train_longer: str = ""

    @property
    def complete(self) -> bool:
        """Whether the run made all the passes of its recipe."""
        return self.over and self.epochs is not None and self.trained >= self.epochs * (1 - 1e-6)

    @property
    def trained(self) -> float:
        """Passes over the training split made so far."""
        return max((point.epoch for point in (*self.train[-1:], *self.validation[-1:])), default=0.0)

    def train_in(self, first: float, last: float) -> CurvePoint:
        """Return the means of the training after ``first`` and up to ``last`` epochs; NaN where there was none."""
        inside = [point for point in self.train if first < point.epoch <= last + 1e-9]
        return CurvePoint(last, mean(point.loss for point in inside), mean(point.accuracy for point in inside))

    def pieces(self, count: int) -> list[CurvePoint]:
        """Return the training so far in ``count`` stretches of equal length; stretches without a record are left out."""
        length = self.train[-1].epoch / count if self.train else 0.0
        if length <= 0:
            return []
        inside: list[list[CurvePoint]] = [[] for _ in range(count)]
        for point in self.train:
            index = math.ceil((point.epoch - 1e-9) / length) - 1
            if 0 <= index < count:
                inside[index].append(point)
        means = (
            CurvePoint(
                (index + 1) * length, mean(point.loss for point in piece), mean(point.accuracy for point in piece)
            )
            for index, piece in enumerate(inside)
        )
        return [point for point in means if math.isfinite(point.loss)]


def mean(values: Iterable[float]) -> float:
    """Return the mean of the finite values; NaN without any."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


@dataclass
class Evaluations:
    """Gathers the evaluations of a run, in the order in which they were written.

    ``points`` are those of the validation; ``per_class`` are (epoch, accuracy of each class) of up to MOST_PER_CLASS of
    them, the first and the newest among them; ``test`` is the record of the test, {} before it. ``answers`` are those of
    the newest evaluation.
    """

    points: list[CurvePoint] = field(default_factory=list)
    per_class: list[tuple[float, tuple[float, ...]]] = field(default_factory=list)
    test: dict = field(default_factory=dict)
    answers: Answers = Answers()

    def add(self, record: dict) -> None:
        """Take in one more record; those of other kinds are passed over."""
        if record.get("kind") != "eval":
            return
        if record.get("split") == "test":
            self.test = record
        elif record.get("split") == "validation":
            point = _point(record)
            self.points.append(point)
            self.answers = _answers(record)
            values = record.get("per_class")
            if isinstance(values, list):
                self.per_class.append((point.epoch, tuple(map(_or_nan, values))))
            if len(self.per_class) > MOST_PER_CLASS:
                del self.per_class[1:-1:2]


@dataclass
class CurveSummaryBuilder:
    """Gathers records, in the order in which they were written."""

    points: list[CurvePoint] = field(default_factory=list)
    evaluations: Evaluations = field(default_factory=Evaluations)
    diverged_step: int | None = None
    rate_now: float | None = None
    _each: int = 1
    _waiting: list[CurvePoint] = field(default_factory=list)

    def add(self, records: Iterable[dict]) -> None:
        """Take in more records; those of other kinds are passed over."""
        for record in records:
            if record.get("kind") == "train":
                self._train(record)
            else:
                self.evaluations.add(record)

    def _train(self, record: dict) -> None:
        if self.diverged_step is None:
            self.diverged_step = diverged_step(record)
        self.rate_now = number(record.get("lr"))
        point = _point(record)
        if math.isfinite(point.epoch):
            self._waiting.append(point)
        if len(self._waiting) >= self._each:
            self.points.append(_average(self._waiting))
            self._waiting = []
        if len(self.points) >= 2 * MOST_POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=False)
            self.points = [_average(pair) for pair in pairs]
            self._each *= 2

    def summary(self, run: RunSnapshot) -> CurveSummary:
        """Return the summary so far of the run that wrote the records."""
        train = self.points + ([_average(self._waiting)] if self._waiting else [])
        return curve_summary_of(run, train, self.evaluations, self.diverged_step, self.rate_now)


def curve_summary_of(
    run: RunSnapshot,
    train: Sequence[CurvePoint],
    evaluations: Evaluations,
    diverged_step: int | None,
    rate_now: float | None = None,
) -> CurveSummary:
    """Put together what the records and the configuration of a run say."""
    data, recipe, network = (part(run.config, key) for key in ("data", "recipe", "network"))
    return CurveSummary(
        classes=len(run.classes) or whole(network.get("num_classes")) or 0,
        epochs=run.epochs,
        images=whole(data.get("validation")),
        rate=number(recipe.get("lr")),
        train=tuple(train),
        validation=tuple(evaluations.points),
        diverged_step=diverged_step if diverged_step is not None else _diverged_by_status(run),
        over=not run.live,
        answers=evaluations.answers,
        names=tuple(_name(name) for name in run.classes),
        optimizer=_word(recipe.get("optimizer")),
        schedule=_word(recipe.get("schedule")),
        rate_now=rate_now,
        ema=number(recipe.get("ema")) or 0.0,
        train_longer=train_longer.command(run),
    )


def diverged_step(record: dict) -> int | None:
    """Return the step at which loss or gradient became NaN or infinite, by a record of the training; None while they
    are finite.

    A record is about all steps since the one before; where it does not name the step, its own is the nearest known.
    """
    named, loss = whole(record.get("nonfinite_step")), record.get("loss")
    if named is not None:
        return named
    return (whole(record.get("step")) or 0) if isinstance(loss, float) and not math.isfinite(loss) else None


def read_curve_summary(run: RunSnapshot) -> CurveSummary:
    """Summarise the curves of a run as its files stand now.

    All evaluations are read; of a long history of training records those before the last megabyte are sampled.
    """
    builder = CurveSummaryBuilder()
    try:
        large = (run.path / "metrics.jsonl").stat().st_size > LARGE
    except OSError:
        large = False
    near_end = NEAR_END if large else None
    if large:
        first = MetricsTail(run.path, near_end, containing=(TRAIN,)).read(max_records=1).records
        builder.add(_training_before(first, skim(run.path)))
    for tail in (MetricsTail(run.path, containing=(b'"eval"',)), MetricsTail(run.path, near_end, containing=(TRAIN,))):
        more = True
        while more:
            batch = tail.read(budget_s=1.0)
            builder.add(batch.records)
            more = batch.more
    return builder.summary(run)


def _training_before(first: Sequence[dict], records: Sequence[dict]) -> list[dict]:
    """Return the training records of earlier steps than that of ``first``."""
    step = number(first[0].get("step")) or 0.0 if first else math.inf
    return [
        record for record in records if record.get("kind") == "train" and (number(record.get("step")) or 0.0) < step
    ]


def _point(record: dict) -> CurvePoint:
    epoch, loss, accuracy, error = (_or_nan(record.get(key)) for key in ("epoch", "loss", "accuracy", "loss_error"))
    return CurvePoint(epoch, loss, accuracy if 0 <= accuracy <= 1 else math.nan, error)


def _answers(record: dict) -> Answers:
    values, loss = record.get("per_class"), record.get("loss")
    return Answers(
        tuple(map(_or_nan, values)) if isinstance(values, list) else (),
        _or_nan(record.get("largest_class")),
        _or_nan(record.get("most_predicted")),
        whole(record.get("most_predicted_class")),
        _word(record.get("outputs")),
        isinstance(loss, float) and not math.isfinite(loss),
    )


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _name(name: str) -> str:
    """Return the name of a class as a sentence can hold it: in one line, without marks of Markdown, not too long."""
    shown = MARKS.sub("", clean(name))
    return shown if len(shown) <= LONGEST_NAME else shown[: LONGEST_NAME - 1] + "…"


def _or_nan(value: object) -> float:
    found = number(value)
    return math.nan if found is None else found


def _average(points: Sequence[CurvePoint]) -> CurvePoint:
    """Return the later epoch with the means of loss and accuracy."""
    return CurvePoint(points[-1].epoch, mean(point.loss for point in points), mean(point.accuracy for point in points))


def _diverged_by_status(run: RunSnapshot) -> int | None:
    """Return the step at which a run diverged by its own account, where no record shows it."""
    return (whole(run.status.get("step")) or 0) if run.state == "diverged" else None
