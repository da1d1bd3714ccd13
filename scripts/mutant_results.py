"""The results of `mutants.py`: the file of JSON lines, the mutants that nobody could notice, and the table."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

Equivalent = Mapping[tuple[str, str, str, str], str]
"""The reason of each mutant that nobody could notice, by file, kind, and its lines before and after."""


def read_results(path: Path, header: Mapping[str, object]) -> list[dict]:
    """Read the records so far; a torn last line is cut off. SystemExit where they are of another draw."""
    if not path.exists():
        path.write_text(json.dumps(header) + "\n")
        return []
    lines = path.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        path.write_text("".join(lines[:-1]))
        lines = lines[:-1]
    first, *records = map(json.loads, lines) if lines else [{}]
    if first != header:
        raise SystemExit(f"mutants: {path}: holds the results of another draw, or of other sources: {first}")
    return list({json.dumps(record["key"]): record for record in records}.values())  # the last of each


def read_equivalent(path: Path) -> Equivalent:
    """Read which mutants nobody could notice."""
    if not path.exists():
        return {}
    entries = tomllib.loads(path.read_text()).get("equivalent", [])
    return {(e["file"], e["kind"], e["before"], e["after"]): e["reason"] for e in entries}


def table(records: Sequence[dict], equivalent: Equivalent) -> str:
    """Return what died, by which test, and what survived, as Markdown."""
    rows, counts = [], {"own": 0, "whole": 0, "survived": 0, "equivalent": 0}
    for record in sorted(records, key=lambda record: (record["file"], record["line"])):
        whole = record["whole"] or {"died_by": ""}
        reason = equivalent.get((record["file"], record["kind"], record["before"], record["after"]))
        if record["own"]["died_by"]:
            fate, text = "own", record["own"]["died_by"]
        elif whole["died_by"]:
            fate, text = "whole", f"{whole['died_by']} (whole suite)"
        elif reason:
            fate, text = "equivalent", f"equivalent: {reason}"
        else:
            fate, text = "survived", "**survived**"
        counts[fate] += 1
        change = " → ".join(map(_code, around_difference(record["before"], record["after"])))
        rows.append(f"| {record['file']}:{record['line']} | {record['kind']} | {change} | {_cell(text)} |")
    noticeable = len(records) - counts["equivalent"]
    dead = counts["own"] + counts["whole"]
    share = f" ({100 * dead / noticeable:.0f} %)" if noticeable else ""
    summary = (
        f"{len(records)} mutants: {counts['own']} died by the tests of their own folder, {counts['whole']} by the rest of "
        f"the suite, {counts['equivalent']} are equivalent; {dead} of the {noticeable} others died{share}."
    )
    head = ["| where | kind | change | died by |", "|---|---|---|---|"]
    return "\n".join([summary, "", *head, *rows])


def around_difference(before: str, after: str, beside: int = 30) -> tuple[str, str]:
    """Return what differs in two lines, with ``beside`` letters on either side and … for the rest."""
    first = _alike(before, after)
    last = _alike(before[first:][::-1], after[first:][::-1])
    begin, left_out = max(0, first - beside), max(0, last - beside)
    cut = [text[begin : len(text) - left_out] for text in (before, after)]
    before, after = (f"{'…' if begin else ''}{text}{'…' if left_out else ''}" for text in cut)
    return before, after


def _alike(one: str, other: str) -> int:
    """Return how many letters at the beginning are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (a, b) in pairs if a != b), min(len(one), len(other)))


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if "`" not in text else _cell(text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def died(record: Mapping) -> bool:
    """Return whether a test noticed the mutant."""
    return any(record[tests] and record[tests]["died_by"] for tests in ("own", "whole"))
