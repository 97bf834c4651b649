"""Rosenbrock's function and a cheap source with a wavy bias, of Poloczek et al. (2017), misoKG.

- `rosenbrock-miso`: exact values; the truth costs 1000, the source with the bias of height 0.1
  costs 1;
- `rosenbrock-miso-noisy`: the truth has noise of variance 1 and costs 50, the exact source with the
  bias of height 2 costs 1.

Both in the box [-2, 2]^2, in which the minimum is 0 at (1, 1).
"""

from math import sin

from benchmarks.role_problems import RoleProblem
from benchmarks.space import Parameter, Params

TRUTH, CHEAP = "truth", "cheap"
DESIGN = tuple(Parameter(name, "float", -2.0, 2.0) for name in ("x1", "x2"))


def rosenbrock(params: Params) -> float:
    x1, x2 = float(params["x1"]), float(params["x2"])
    return (1.0 - x1) ** 2 + 100.0 * (x2 - x1**2) ** 2


def _problem(name: str, cost: float, bias: float, noise_sd: float) -> RoleProblem:
    def value(params: Params) -> float:
        wave = sin(10.0 * float(params["x1"]) + 5.0 * float(params["x2"]))
        return rosenbrock(params) + (bias * wave if params["source"] == CHEAP else 0.0)

    return RoleProblem(
        name,
        "source",
        DESIGN,
        {"source": (TRUTH, CHEAP)},
        value,
        rosenbrock,
        optimum=0.0,
        cost=lambda params: cost if params["source"] == TRUTH else 1.0,
        noise_sd=lambda params: noise_sd if params["source"] == TRUTH else 0.0,
    )


PROBLEMS = {
    problem.name: problem
    for problem in (
        _problem("rosenbrock-miso", cost=1000.0, bias=0.1, noise_sd=0.0),
        _problem("rosenbrock-miso-noisy", cost=50.0, bias=2.0, noise_sd=1.0),
    )
}
