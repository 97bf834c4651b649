"""Two problems where 12 % of the box crashes, in regions of different shapes.

- `branin-corner`: a corner that is cut off straight, with one of Branin's three minima in it;
- `hartmann6-ball`: a ball in the middle of the box, whose edge passes the minimum at a distance of
  0.03. A search that only knows that crashes are poor values is drawn into it again and again.
"""

from collections.abc import Callable
from math import dist, sqrt

from benchmarks import problems
from benchmarks.problems import Problem
from benchmarks.space import Params

SHARE = 0.12
_CUT = 1.0 - sqrt(2.0 * SHARE)  # the triangle u1 - u0 > cut has the area (1 - cut)^2 / 2
_RADIUS = 0.5343  # the part of the ball in the cube, measured with 2^20 Sobol' points


def _unit(problem: Problem, params: Params) -> list[float]:
    return [p.to_unit(params[p.name]) for p in problem.space]


def _in_corner(u: list[float]) -> bool:
    return u[1] - u[0] > _CUT


def _in_ball(u: list[float]) -> bool:
    return dist(u, [0.5] * len(u)) < _RADIUS


_REGIONS: dict[str, tuple[str, Callable[[list[float]], bool]]] = {
    "branin-corner": ("branin", _in_corner),
    "hartmann6-ball": ("hartmann6", _in_ball),
}
PROBLEMS = tuple(_REGIONS)


def get(name: str) -> tuple[Problem, Callable[[Params], bool]]:
    """The problem behind a name, and whether a point of it crashes."""
    base, inside = _REGIONS[name]
    problem = problems.get(base)
    return problem, lambda params: inside(_unit(problem, params))
