"""Which charts are shown."""

from __future__ import annotations

from collections.abc import Collection

from ..charts.view import METRICS, TITLES
from .choose_several import ChooseSeveralScreen


class ChooseChartsScreen(ChooseSeveralScreen):
    """Ends with the metrics that were chosen, in their usual order."""

    HEADING = "Charts"
    ONE = "one chart"

    def __init__(self, shown: Collection[str]) -> None:
        super().__init__({name: TITLES[name] for name in METRICS}, shown)
