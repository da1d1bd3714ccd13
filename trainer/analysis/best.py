"""Which evaluation is the best: one rule for the weights that are kept, the star in the charts and the sentences."""

from __future__ import annotations

import math


def merit(accuracy: float, loss: float) -> tuple[float, float]:
    """Rank an evaluation: the higher accuracy wins, of equal ones the smaller loss; one that is no finite number loses.

    Whoever compares takes the first of those that rank equally.
    """
    return accuracy, -loss if math.isfinite(loss) else -math.inf
