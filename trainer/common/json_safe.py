"""The JSON of a run's files: numbers that JSON lacks, numbers of numpy and torch, and the way back.

JSON has no NaN and no infinity. In a record such a number is written as null, and the key ``nonfinite`` says which it was:
``{"loss": null, "nonfinite": {"loss": "nan"}}``; :func:`restore` gives the number back.
"""

from __future__ import annotations

import json
import math
import os


def short(value: float) -> float:
    """Return a figure in six significant digits: more would be noise, and fill the disk."""
    return float(f"{value:.6g}")


def encode_record(record: dict) -> bytes:
    """Return one line of metrics.jsonl, without the line break.

    NaN and infinities become null, and ``nonfinite`` names them. Raises TypeError for what JSON cannot hold.
    """
    try:
        return _FINITE.encode(record).encode()
    except ValueError:
        plain = {key: _plain(value) for key, value in record.items()}
        marks = {key: mark for key, value in plain.items() if (mark := _mark(value))}
        return _FINITE.encode({key: _without(value) for key, value in plain.items()} | {"nonfinite": marks}).encode()


def encode_json(value: dict, indent: int | None = None) -> bytes:
    """Return a whole JSON file. A NaN or an infinity in it becomes null."""
    try:
        text = json.dumps(value, default=_plain, allow_nan=False, indent=indent)
    except ValueError:
        text = json.dumps(_without(_plain(value)), allow_nan=False, indent=indent)
    return text.encode() + b"\n"


def _plain(value: object) -> object:
    """Turn containers and numbers of numpy and torch into Python's own; TypeError for what JSON cannot hold."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    as_list = getattr(value, "tolist", None)
    if as_list is not None:
        return as_list()
    raise TypeError(f"a run's files cannot hold a {type(value).__name__}")


def _mark(value: object) -> str:
    """Return ``nan``, ``inf`` or ``-inf`` where ``value`` is, or a list holds, such a number; otherwise nothing."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, list | dict):
        items = value.values() if isinstance(value, dict) else value
        return next((mark for item in items if (mark := _mark(item))), "")
    return ""


def _without(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


_FINITE = json.JSONEncoder(allow_nan=False, default=_plain, check_circular=False)


def restore(record: dict) -> dict:
    """Return the record with its NaN and infinities back in place, in lists too, and without the key ``nonfinite``."""
    marks = record.pop("nonfinite", None)
    if not isinstance(marks, dict):
        return record
    for key, mark in marks.items():
        number = _NUMBERS.get(mark) if isinstance(mark, str) else None
        value = record.get(key)
        if number is None:
            continue
        if isinstance(value, list):
            record[key] = [number if item is None else item for item in value]
        elif value is None and key in record:
            record[key] = number
    return record


_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
