"""How much a search spends until what it recommends is good enough.

Steps are pairs (cost so far, regret of the point recommended then), of one run; what was
recommended last stands until the next step. Nothing is recommended before the first step.
"""

from collections.abc import Sequence
from math import inf
from typing import TypeAlias

import numpy as np

Steps: TypeAlias = Sequence[tuple[float, float]]
ROUNDING = 1e-9  # of sums of costs


def regret_at(steps: Steps, cost: float) -> float:
    """Regret of what is recommended when this has been spent; infinite before the first step."""
    known = [regret for spent, regret in steps if spent <= cost * (1.0 + ROUNDING)]
    return known[-1] if known else inf


def cost_to_reach(steps: Steps, regret: float) -> float:
    """What was spent when the regret was first no larger than this; infinite if it never was."""
    return next((spent for spent, now in steps if now <= regret), inf)


def median_at(runs: Sequence[Steps], cost: float) -> float:
    """The median over runs of the regret at a cost."""
    return float(np.median([regret_at(steps, cost) for steps in runs]))


def cost_of_median(runs: Sequence[Steps], regret: float) -> float:
    """The cost at which the median over runs is first no larger than this.

    A run may recommend a worse point later. So this is not the median of `cost_to_reach`, and it
    is no smaller where every run becomes worse again.
    """
    moments = sorted({spent for steps in runs for spent, _ in steps})
    return next((cost for cost in moments if median_at(runs, cost) <= regret), inf)
