"""The curves of charts as data for an export: every value in sight, as numbers. No Textual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import chart
from .chart import ChartLine
from .series import Floats
from .view import Limits, View


def of_charts(found: Mapping[str, Sequence[ChartLine]], view: View, x: Limits) -> dict[str, Any]:
    """Return the curves of each chart within the limits of the x axis."""
    charts = [
        {
            "metric": metric,
            "log": metric in view.log,
            "curves": [_of_line(metric, line, view, x) for line in lines],
        }
        for metric, lines in found.items()
    ]
    return {"axis": view.axis, "from": x[0], "to": x[1], "charts": charts}


def _of_line(metric: str, line: ChartLine, view: View, x: Limits) -> dict[str, Any]:
    """Return one curve. ``smallest`` and ``largest`` differ from ``value`` where a row stands for several records."""
    curve = line.curve
    inside = (curve.x >= x[0]) & (curve.x <= x[1])
    smoothing = view.smoothing if line.role == "train" and metric in chart.SMOOTHED else 0.0
    columns = {"x": curve.x, "value": curve.mean, "smallest": curve.low, "largest": curve.high}
    return {
        "run": line.run.path.name,
        "curve": line.role,
        "smoothing": smoothing,
        **{name: _numbers(values[inside]) for name, values in columns.items()},
        **({"weights_epoch": line.weights_epoch} if line.role == "test" else {}),
    }


def _numbers(values: Floats) -> list[float | None]:
    finite = np.isfinite(values).tolist()
    return [value if known else None for value, known in zip(values.tolist(), finite, strict=True)]
