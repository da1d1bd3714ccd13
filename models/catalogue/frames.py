"""Rows of plain data as a pandas DataFrame, where pandas is installed. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...errors import WorkError

if TYPE_CHECKING:
    import pandas


def data_frame(rows: Sequence[dict[str, Any]]) -> pandas.DataFrame:
    """Return a DataFrame with a column for each key. WorkError where pandas is not installed."""
    try:
        import pandas
    except ImportError:
        raise WorkError("to_pandas: needs the package pandas, which is not installed: pip install pandas") from None
    return pandas.DataFrame(list(rows))
