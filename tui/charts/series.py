"""The records of a run as columns of numbers, in bounded memory.

A column holds three kinds of value: a finite number; infinity, where the run wrote NaN or an infinity (a gap in the curve);
and NaN, where the record had no such key (no gap: the line goes on to the next record that has one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .view import AXES

Floats = NDArray[np.float64]
MOST_ROWS = 1 << 17
"""A track with more rows than this merges its rows two by two: 20 MB for a run, however long it is."""
LOW, HIGH, MEAN = range(3)
_NEGLIGIBLE = 1e-12
_FOR_SPACING = 1000
_PLAIN_TYPES = frozenset((int, float, type(None)))


@dataclass(frozen=True)
class PlottedCurve:
    """One metric over one axis, all of the same length (n,); ``spacing`` is the usual distance of two records."""

    x: Floats
    low: Floats
    high: Floats
    mean: Floats
    spacing: float = 1.0

    def __len__(self) -> int:
        return len(self.x)


def column(records: Sequence[dict], name: str) -> Floats:
    """Return the values under ``name``, shape (n,); whatever is not a number counts as missing."""
    values = [record.get(name) for record in records]
    if not set(map(type, values)) <= _PLAIN_TYPES:
        values = [value if type(value) in (int, float) else None for value in values]
    found = np.array(values, dtype=np.float64)
    for place in np.flatnonzero(np.isnan(found)):
        if values[place] is not None:
            found[place] = np.inf
    found[np.isinf(found)] = np.inf
    return found


class Track:
    """The columns of one kind of record. ``stride`` records make a row: their smallest, largest and mean value."""

    def __init__(self, metrics: Sequence[str], most_rows: int = MOST_ROWS) -> None:
        self.metrics = tuple(metrics)
        self.stride = 1
        self._most = max(most_rows, 2)
        self._rows = 0
        self._x = np.empty((len(AXES), 0))
        self._values = np.empty((len(self.metrics), 3, 0))
        self._tail_x = np.empty((len(AXES), 0))
        self._tail = np.empty((len(self.metrics), 3, 0))

    def __len__(self) -> int:
        return self._rows + self._tail_x.shape[1]

    def add(self, records: Sequence[dict]) -> None:
        """Append records."""
        if not records:
            return
        x = np.stack([column(records, name) for name in AXES])
        values = np.stack([column(records, name) for name in self.metrics])
        self._tail_x = np.concatenate([self._tail_x, x], axis=1)
        self._tail = np.concatenate([self._tail, np.repeat(values[:, None, :], 3, axis=1)], axis=2)
        whole = self._tail_x.shape[1] // self.stride * self.stride
        self._append(self._tail_x[:, : whole : self.stride], merge(self._tail[:, :, :whole], self.stride))
        self._tail_x, self._tail = self._tail_x[:, whole:], self._tail[:, :, whole:]
        while self._rows > self._most:
            self._halve()

    def _append(self, x: Floats, values: Floats) -> None:
        rows = self._rows + x.shape[1]
        capacity = self._x.shape[1]
        if rows > capacity:
            room = max(rows, 2 * capacity) - capacity
            self._x = np.concatenate([self._x, np.empty((self._x.shape[0], room))], axis=1)
            self._values = np.concatenate([self._values, np.empty((*self._values.shape[:2], room))], axis=2)
        self._x[:, self._rows : rows] = x
        self._values[:, :, self._rows : rows] = values
        self._rows = rows

    def _halve(self) -> None:
        """Merge the rows two by two; an odd last one stays as it is."""
        even = self._rows // 2 * 2
        odd = slice(even, self._rows)
        self._x = np.concatenate([self._x[:, :even:2], self._x[:, odd]], axis=1)
        self._values = np.concatenate([merge(self._values[:, :, :even], 2), self._values[:, :, odd]], axis=2)
        self._rows = self._x.shape[1]
        self.stride *= 2

    def axis(self, name: str) -> Floats:
        """Return all places on an axis, shape (n,)."""
        place = AXES.index(name)
        return _joined(self._x[place, : self._rows], self._tail_x[place])

    def means(self, metric: str) -> Floats:
        """Return the mean of a metric in each row, in the order in which the rows were written; shape (n,), no number:
        missing.
        """
        place = self.metrics.index(metric)
        return _joined(self._values[place, MEAN, : self._rows], self._tail[place, MEAN])

    @property
    def nbytes(self) -> int:
        """Memory that the columns take."""
        return sum(part.nbytes for part in (self._x, self._values, self._tail_x, self._tail))

    def curve(self, metric: str, axis: str) -> PlottedCurve:
        """Return one metric over an axis, in the order of the axis, without the records that lack either."""
        place = self.metrics.index(metric)
        x = self.axis(axis)
        values = _joined(self._values[place, :, : self._rows], self._tail[place])
        kept = np.isfinite(x) & ~np.isnan(values[LOW])
        if not kept.all():
            x, values = x[kept], values[:, kept]
        if len(x) > 1 and (np.diff(x) < 0).any():
            order = np.argsort(x, kind="stable")
            x, values = x[order], values[:, order]
        return PlottedCurve(x, values[LOW], values[HIGH], values[MEAN], self._spacing(x))

    def _spacing(self, x: Floats) -> float:
        steps = np.diff(x[-_FOR_SPACING:])
        steps = steps[steps > 0]
        return float(np.median(steps)) / self.stride if len(steps) else 1.0


def _joined(rows: Floats, tail: Floats) -> Floats:
    """Return the rows and what comes after them; what was handed out stays as it is, since rows are only appended or
    replaced.
    """
    return np.concatenate([rows, tail], axis=-1) if tail.shape[-1] else rows


def merge(values: Floats, by: int) -> Floats:
    """Merge smallest, largest and mean of each ``by`` neighbours in ``values``: (…, 3, n) → (…, 3, n // by)."""
    if by == 1:
        return values
    parts = values.reshape(*values.shape[:-1], values.shape[-1] // by, by)
    low, high, mean = parts[..., LOW, :, :], parts[..., HIGH, :, :], parts[..., MEAN, :, :]
    finite = np.isfinite(low)
    count = finite.sum(axis=-1)
    with np.errstate(over="ignore", invalid="ignore"):
        merged = np.stack(
            [
                np.where(finite, low, np.inf).min(axis=-1),
                np.where(finite, high, -np.inf).max(axis=-1),
                (np.where(finite, mean, 0.0) / np.maximum(count, 1)[..., None]).sum(axis=-1),
            ],
            axis=-2,
        )
    gap = np.where(np.isinf(low).any(axis=-1), np.inf, np.nan)
    return np.where((count > 0)[..., None, :], merged, gap[..., None, :])


def block_means(values: Floats, by: int) -> Floats:
    """Return the means of each ``by`` neighbours, of those that are finite; NaN where none is. The last block may be
    shorter.
    """
    padded = np.full(-(-len(values) // by) * by, np.nan)
    padded[: len(values)] = values
    parts = padded.reshape(-1, by)
    finite = np.isfinite(parts)
    count = finite.sum(axis=1)
    total = (np.where(finite, parts, 0.0) / np.maximum(count, 1)[:, None]).sum(axis=1)
    return np.where(count > 0, total, np.nan)


def smoothed(curve: PlottedCurve, weight: float) -> PlottedCurve:
    """Return the exponential moving average of ``curve``; the past has the ``weight`` from one record to the next.

    That holds at the usual distance of two records; over a longer one the past counts less, weight^(distance / usual
    distance), so that a pause, or rows of several records, are smoothed like the rest. It is debiased: the average starts
    at zero and is divided by the sum of its weights, so the first values are not dragged down (Kingma and Ba, Adam, 2015,
    section 3). Gaps stay gaps.
    """
    if not 0 < weight < 1 or not len(curve):
        return curve
    finite = np.isfinite(curve.mean)
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.diff(curve.x, prepend=curve.x[0] - curve.spacing) / curve.spacing
        keep = weight ** np.clip(np.nan_to_num(distance, nan=1.0), 0.0, 1e6)
        added = np.where(finite, 1.0 - weight, 0.0)
        total = scan(keep, np.where(finite, curve.mean, 0.0) * added)
        average = np.where(finite, total / scan(keep, added), np.inf)
    return PlottedCurve(curve.x, average, average, average, curve.spacing)


def scan(keep: Floats, added: Floats) -> Floats:
    """Return the recurrence s[i] = keep[i] · s[i - 1] + fresh[i] from zero, shape (n,), in log n passes over the arrays."""
    keep, total, shift = keep.copy(), added.copy(), 1
    while shift < len(total) and keep[shift:].max(initial=0.0) > _NEGLIGIBLE:
        total[shift:] += keep[shift:] * total[:-shift]
        keep[shift:] *= keep[:-shift].copy()
        keep[:shift] = 0.0
        shift *= 2
    return total
