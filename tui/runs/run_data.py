"""Runs as data for an export: numbers, lists and dates, not the words of the tables. No Textual."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...trainer.analysis.curve_findings import Finding
from ...trainer.runs.run import RunSnapshot, summary
from .classes import ClassRow
from .run_previews import RunPreview


def of_row(run: RunSnapshot, preview: RunPreview | None, *, marked: bool, pinned: bool) -> dict[str, Any]:
    """Return a run as the list shows it: the keys of `runs --json`, and what was read of its records."""
    preview = preview or RunPreview()
    known = {"images_per_s": preview.pace, "accuracies": list(preview.accuracies)}
    return summary(run) | known | {"marked": marked, "pinned": pinned}


def of_run(run: RunSnapshot, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return a run with its configuration, and what is said of its curve."""
    reading = [{"rule": finding.rule, "text": finding.text, "page": finding.page} for finding in findings]
    return {"run": summary(run), "config": run.config, "status": run.status, "reading": reading}


def of_class(row: ClassRow) -> dict[str, Any]:
    """Return a class; accuracies are from 0 to 1, null where it has no image."""
    accuracies = {"now": row.now, "gained": row.gained, "course": list(row.course), "test": row.test}
    taken_for, count = row.mistaken or (None, 0)
    return {"class": row.name} | _or_null(accuracies) | {"taken_for": taken_for, "taken_for_count": count}


def of_confusion(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> dict[str, Any]:
    """Return the confusion counts of the test: a row for what it is, a column for what it was taken for."""
    return {"classes": list(names), "confusion": [list(row) for row in confusion]}


def _or_null(values: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}
