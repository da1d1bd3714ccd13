"""Plugin of pytest for `mutants.py`: notes how long each test takes, and runs tests in a wanted order.

MUTANT_TIMES names the JSON file to write: the seconds of each test that passed, and the tests that did not.
MUTANT_ORDER names the JSON file with the tests to run, in their order; all others are left out.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

_seconds: dict[str, float] = {}
_failed: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] = round(_seconds.get(report.nodeid, 0.0) + report.duration, 3)
    if report.failed:
        _failed.add(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    order = os.environ.get("MUTANT_ORDER")
    if order:
        place = {test: number for number, test in enumerate(json.loads(Path(order).read_text()))}
        left_out = [item for item in items if item.nodeid not in place]
        items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])
        config.hook.pytest_deselected(items=left_out)


def pytest_sessionfinish() -> None:
    times = os.environ.get("MUTANT_TIMES")
    if times:
        passed = {test: seconds for test, seconds in _seconds.items() if test not in _failed}
        Path(times).write_text(json.dumps({"seconds": passed, "failed": sorted(_failed)}))
