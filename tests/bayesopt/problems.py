"""Cheap functions whose minimum is known."""

import math

import bayesopt as bo

SQUARE = [(0.0, 1.0), (0.0, 1.0)]


def bowl(x):
    """Minimum 0 at (0.3, 0.6); between 0 and 0.85 on `SQUARE`."""
    return float((x[0] - 0.3) ** 2 + (x[1] - 0.6) ** 2)


MIXED = bo.Space(
    rate=bo.Float(1e-3, 1e1, log=True),
    depth=bo.Int(1, 12),
    kind=bo.Categorical(["a", "b", "c"]),
)


def mixed_bowl(rate, depth, kind):
    """Minimum 0 at depth 7 and kind "b", where the rate is 10**-1.5."""
    from_best = {"a": 0.5, "b": 0.0, "c": 1.0}[kind]
    return (math.log10(rate) + 1.5) ** 2 / 4 + (depth - 7) ** 2 / 36 + from_best
