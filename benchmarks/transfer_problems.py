"""Tasks to be learnt from: a new one, an earlier one that is like it, and one that is not.

The new task is Branin's or Hartmann's function moved by 2 to 5 % of the range of each parameter, in
a direction of its own for each seed. The minimum stays in the box, and its value stays.

- `related`: the function where it was, in another unit and from another zero: a f + b, with a
  between 1/2 and 2 and b up to twice the spread of f. Its correlation with the new task is 0.91 to
  0.99, by the seed.
- `unrelated`: Ackley's function, of about the same spread, its minimum somewhere in the box; its
  correlation is -0.4 to 0.8, by chance.
"""

from collections.abc import Callable
from functools import cache
from math import exp
from typing import Any

import numpy as np

from benchmarks.problems import CLASSICS, _spread
from benchmarks.role_problems import RoleProblem
from benchmarks.space import Params, box

NEW, EARLIER = "new", "earlier"
# Polished; the library keeps Hartmann's constants in single precision.
MINIMA = {"branin": CLASSICS["branin"][2], "hartmann3": -3.862779860974306}
KINDS = ("related", "unrelated")
_HALF = 5.0  # half the width of Ackley's box
_ACKLEY_SPREAD = 2.3


@cache
def _function(name: str) -> tuple[Any, tuple[tuple[float, float], ...]]:
    from botorch import test_functions

    kind, arguments, _ = CLASSICS[name]
    function = getattr(test_functions, kind)(**arguments)
    return function, tuple((float(low), float(high)) for low, high in function._bounds)


def shift(name: str, seed: int) -> list[float]:
    """How far the new task is moved, as parts of the range of each parameter."""
    rng = np.random.default_rng([seed, 0])
    d = len(_function(name)[1])
    moved = rng.choice([-1.0, 1.0], d) * rng.uniform(0.02, 0.05, d)
    return [float(by) for by in moved]


def get(name: str, kind: str, seed: int) -> RoleProblem:
    """The tasks of a seed: the new one, and an earlier one of a kind."""
    function, bounds = _function(name)
    moved = shift(name, seed)
    earlier = (_rescaled if kind == "related" else _ackley)(name, seed)

    def unit(params: Params) -> list[float]:
        values = [float(params[f"x{i}"]) for i in range(len(bounds))]
        return [(x - low) / (high - low) for x, (low, high) in zip(values, bounds, strict=True)]

    def goal(params: Params) -> float:
        return _at(function, bounds, [u - by for u, by in zip(unit(params), moved, strict=True)])

    def value(params: Params) -> float:
        return earlier(unit(params)) if params["task"] == EARLIER else goal(params)

    return RoleProblem(
        f"{name}-shifted",
        "task",
        box(bounds),
        {"task": (NEW, EARLIER)},
        value,
        goal,
        optimum=MINIMA[name],
    )


def _at(function: Any, bounds: tuple[tuple[float, float], ...], u: list[float]) -> float:
    import torch

    x = [low + ui * (high - low) for ui, (low, high) in zip(u, bounds, strict=True)]
    return float(function._evaluate_true(torch.tensor(x, dtype=torch.float64)))


def _rescaled(name: str, seed: int) -> Callable[[list[float]], float]:
    function, bounds = _function(name)
    rng = np.random.default_rng([seed, 1])
    scale = float(2.0 ** rng.uniform(-1.0, 1.0))
    offset = 2.0 * _spread(name) * float(rng.uniform(-1.0, 1.0))
    return lambda u: scale * _at(function, bounds, u) + offset


def _ackley(name: str, seed: int) -> Callable[[list[float]], float]:
    rng = np.random.default_rng([seed, 2])
    centre = rng.uniform(0.1, 0.9, len(_function(name)[1]))
    scale = _spread(name) / _ACKLEY_SPREAD

    def value(u: list[float]) -> float:
        z = 2.0 * _HALF * (np.array(u) - centre)
        far = -20.0 * exp(-0.2 * float(np.sqrt(np.mean(z**2))))
        return scale * (far - exp(float(np.mean(np.cos(2.0 * np.pi * z)))) + 20.0 + np.e)

    return value
