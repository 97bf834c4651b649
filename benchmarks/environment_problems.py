"""The product of two Branin functions in a random environment, of Toscano-Palmerin & Frazier, BQO.

    F(x) = sum_w p(w) f(x, w),     f = B(15 x1 - 5, 15 w1) B(15 w2 - 5, 15 x2)

where w1 and w2 take three and four values, independently. The minimum, 323.0117, is at
(0.20263, 0.25445); a point of 0.9 % of the square is within 10 % of it, one of 0.1 % within 1 %.
"""

from math import cos, pi

from benchmarks.role_problems import RoleProblem
from benchmarks.space import Parameter, Params

DESIGN = tuple(Parameter(name, "float", 0.0, 1.0) for name in ("x1", "x2"))
LAWS = {
    "w1": {0.25: 0.25, 0.5: 0.5, 0.75: 0.25},
    "w2": {0.2: 0.15, 0.4: 0.35, 0.6: 0.35, 0.8: 0.15},
}
MINIMUM = 323.0117385006
N_CONDITIONS = 12


def _branin(u: float, v: float) -> float:
    bowl = v - 5.1 / (4.0 * pi**2) * u**2 + 5.0 / pi * u - 6.0
    return bowl**2 + 10.0 * (1.0 - 1.0 / (8.0 * pi)) * cos(u) + 10.0


def _value(params: Params) -> float:
    x1, x2, w1, w2 = (float(params[name]) for name in ("x1", "x2", "w1", "w2"))
    return _branin(15.0 * x1 - 5.0, 15.0 * w1) * _branin(15.0 * w2 - 5.0, 15.0 * x2)


def _goal(params: Params) -> float:
    return sum(
        p1 * p2 * _value({**params, "w1": w1, "w2": w2})
        for w1, p1 in LAWS["w1"].items()
        for w2, p2 in LAWS["w2"].items()
    )


BRANIN_PRODUCT = RoleProblem(
    "branin-product",
    "environment",
    DESIGN,
    {name: tuple(law) for name, law in LAWS.items()},
    _value,
    _goal,
    optimum=MINIMUM,
    laws=LAWS,
)
PROBLEMS = {BRANIN_PRODUCT.name: BRANIN_PRODUCT}
