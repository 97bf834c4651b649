"""Public problems with one objective and constraints on other outcomes, found by their names.

- `gardner1`, `gardner2`: the first and the second simulation of Gardner et al. (2014), in the box
  [0, 6]^2; the feasible part of the second is 1.5 % of the box, in two pieces;
- `gramacy`: the toy problem of Gramacy et al. (2016);
- `townsend`: the modified Townsend function, inside a curve like a heart;
- `pressure-vessel`: Coello Coello and Mezura Montes (2002), thicknesses in sixteenths of an inch;
- `speed-reducer`: seven sizes, one of them a number of teeth, eleven constraints. The box has
  x5 >= 7.3 as Golinski's; that of BoTorch has x5 >= 7.8, where the minimum is 2996.35.
"""

from collections.abc import Callable
from functools import cache
from math import atan2, cos, sin
from typing import Any

from benchmarks.outcomes import OutcomeProblem, Outcomes
from benchmarks.space import Parameter, Params, box, numbers

SIXTEENTH = 0.0625


def get(name: str) -> OutcomeProblem:
    """The problem of this name; a ``ValueError`` says which names there are."""
    if name not in PROBLEMS:
        raise ValueError(f"Problem {name!r} is unknown; known are {', '.join(PROBLEMS)}.")
    return PROBLEMS[name]


def of_library(kind: str, x: list[float]) -> Outcomes:
    """A constrained function of `botorch.test_functions`, where slack >= 0 is feasible."""
    import torch

    point = torch.tensor(x, dtype=torch.float64)
    function = _function(kind)
    slack = function._evaluate_slack_true(point).tolist()
    return Outcomes((float(function._evaluate_true(point)),), tuple(-s for s in slack))


@cache
def _function(kind: str) -> Any:
    from botorch.test_functions import synthetic

    return getattr(synthetic, kind)()


def _in_plane(evaluate: Callable[[float, float], Outcomes]) -> Callable[[Params], Outcomes]:
    return lambda params: evaluate(float(params["x0"]), float(params["x1"]))


def _gardner1(x: float, y: float) -> Outcomes:
    return Outcomes((cos(2 * x) * cos(y) + sin(x),), (cos(x) * cos(y) - sin(x) * sin(y) - 0.5,))


def _gardner2(x: float, y: float) -> Outcomes:
    return Outcomes((sin(x) + y,), (sin(x) * sin(y) + 0.95,))


def _townsend(x: float, y: float) -> Outcomes:
    t = atan2(x, y)
    width = 2 * cos(t) - cos(2 * t) / 2 - cos(3 * t) / 4 - cos(4 * t) / 8
    value = -(cos((x - 0.1) * y) ** 2) - x * sin(3 * x + y)
    return Outcomes((value,), (x**2 + y**2 - width**2 - (2 * sin(t)) ** 2,))


def _pressure_vessel(params: Params) -> Outcomes:
    shell, head = (SIXTEENTH * float(params[name]) for name in ("shell", "head"))
    return of_library("PressureVessel", [shell, head, *map(float, (params["r"], params["l"]))])


_VESSEL = (
    Parameter("shell", "int", 1, 99),
    Parameter("head", "int", 1, 99),
    Parameter("r", "float", 10.0, 200.0),
    Parameter("l", "float", 10.0, 200.0),
)
_REDUCER = (
    Parameter("x1", "float", 2.6, 3.6),
    Parameter("x2", "float", 0.7, 0.8),
    Parameter("x3", "int", 17, 28),
    Parameter("x4", "float", 7.3, 8.3),
    Parameter("x5", "float", 7.3, 8.3),
    Parameter("x6", "float", 2.9, 3.9),
    Parameter("x7", "float", 5.0, 5.5),
)
_SQUARE = box([(0, 6), (0, 6)])
_OF = OutcomeProblem
PROBLEMS: dict[str, OutcomeProblem] = {
    problem.name: problem
    for problem in (
        _OF("gardner1", _SQUARE, _in_plane(_gardner1), 1, -2.0),
        _OF("gardner2", _SQUARE, _in_plane(_gardner2), 1, 0.2532358975),
        _OF(
            "gramacy",
            box([(0, 1), (0, 1)]),
            _in_plane(lambda x, y: of_library("ConstrainedGramacy", [x, y])),
            2,
            0.5997880,
        ),
        _OF("townsend", box([(-2.25, 2.25), (-2.5, 1.75)]), _in_plane(_townsend), 1, -2.0239884),
        _OF("pressure-vessel", _VESSEL, _pressure_vessel, 4, 6059.714335),
        _OF(
            "speed-reducer",
            _REDUCER,
            lambda params: of_library("SpeedReducer", numbers(_REDUCER, params)),
            11,
            2994.471066,
        ),
    )
}
