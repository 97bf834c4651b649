"""Hartmann's function in six dimensions with a continuous fidelity, of `botorch.test_functions`.

The fidelity s in [0, 1] bends one of the four hills; s = 1 is the truth, and an evaluation costs
0.02 + 0.98 s.
"""

from functools import cache
from typing import Any

from benchmarks.role_problems import RoleProblem
from benchmarks.space import Params, box, numbers

DESIGN = box([(0.0, 1.0)] * 6)
MINIMUM = -3.3223680044401855  # polished; the library keeps its constants in single precision


@cache
def _function() -> Any:
    from botorch.test_functions.multi_fidelity import AugmentedHartmann

    return AugmentedHartmann()


def _value(params: Params) -> float:
    import torch

    point = [*numbers(DESIGN, params), float(params["s"])]
    return float(_function()._evaluate_true(torch.tensor(point, dtype=torch.float64)))


HARTMANN = RoleProblem(
    "hartmann6-fidelity",
    "fidelity",
    DESIGN,
    {"s": (1.0, 0.0)},
    _value,
    lambda params: _value({**params, "s": 1.0}),
    optimum=MINIMUM,
    cost=lambda params: 0.02 + 0.98 * float(params["s"]),
)
PROBLEMS = {HARTMANN.name: HARTMANN}
