"""Values of which a push tries the first ones; the marker ``slow`` has the others, which `.ci/weekly` tries as well."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def first_of(values: Iterable[Any], number: int) -> list[Any]:
    """Return ``values`` for `parametrize`, all but the first ``number`` marked as slow; a tuple fills several arguments."""
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)), marks=() if index < number else pytest.mark.slow
        )
        for index, value in enumerate(values)
    ]
