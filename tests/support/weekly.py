"""Values of which a push tries the first ones; the marker ``slow`` has the others, which `.ci/weekly` tries as well."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def first_of(values: Iterable[Any], number: int) -> list[Any]:
    """Return ``values`` of one argument for `parametrize`, all but the first ``number`` of them marked as slow."""
    return [pytest.param(value, marks=() if index < number else pytest.mark.slow) for index, value in enumerate(values)]
