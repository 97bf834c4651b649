"""Public test problems. Every one of them is minimised.

A problem is found by its name, so that a worker process can build it again:

- ``branin``, ``hartmann6``, ``ackley5``, ... : the classics of `CLASSICS`;
- ``bbob-f08-i1-d5``: function 8 of the 24 BBOB functions, instance 1, dimension 5;
- ``rosenbrock4-int`` (two of the four are integers), ``svm-digits``, ``boosting-diabetes``: mixed
  spaces;
- any of these with noise of a given standard deviation: ``hartmann6+noise0.25``; a classic also
  with one in percent of the function's own standard deviation over its box: ``branin+noise5%``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from benchmarks import tasks
from benchmarks.space import Parameter, Params, Space, box, numbers

# name: (class in botorch.test_functions, its arguments, minimum). The minima are polished to
# machine precision, where the library rounds them.
CLASSICS: dict[str, tuple[str, dict[str, Any], float]] = {
    "branin": ("Branin", {}, 0.39788735772973816),
    "six-hump-camel": ("SixHumpCamel", {}, -1.0316284534898774),
    "hartmann3": ("Hartmann", {"dim": 3}, -3.862779787332663),
    "hartmann6": ("Hartmann", {"dim": 6}, -3.3223680114155147),
    "shekel4": ("Shekel", {"m": 10}, -10.53644315348353),
    "rosenbrock4": ("Rosenbrock", {"dim": 4}, 0.0),
    "levy4": ("Levy", {"dim": 4}, 0.0),
    "styblinski-tang4": ("StyblinskiTang", {"dim": 4}, -156.66466281508565),
    "ackley5": ("Ackley", {"dim": 5}, 0.0),
    "rastrigin4": ("Rastrigin", {"dim": 4}, 0.0),
    "griewank4": ("Griewank", {"dim": 4}, 0.0),
    "levy10": ("Levy", {"dim": 10}, 0.0),
}
# The boxes of Wu et al. (2017); those of the library are wider.
CLASSICS |= {
    f"{kind.lower()}{d}-box{half}": (kind, {"dim": d, "bounds": [(-half, half)] * d}, 0.0)
    for kind, half in (("Rosenbrock", 2), ("Levy", 5))
    for d in (2, 4, 6)
}
MIXED = ("rosenbrock4-int", "svm-digits", "boosting-diabetes")
BBOB = re.compile(r"bbob-f(\d+)-i(\d+)-d(\d+)")
BBOB_GROUPS = {
    "separable": range(1, 6),
    "moderate": range(6, 10),
    "ill-conditioned": range(10, 15),
    "multimodal": range(15, 20),
    "weak structure": range(20, 25),
}


@dataclass(frozen=True)
class Problem:
    """A function to minimise, its space, its known minimum and the noise of its observations."""

    name: str
    space: Space
    value: Callable[[Params], float]
    optimum: float | None = None
    noise_sd: float = 0.0

    @property
    def noisy(self) -> bool:
        return self.noise_sd > 0.0

    def observe(self, value: float, seed: int, index: int) -> float:
        """The observation number ``index`` of a point with this true value.

        The noise depends on the seed and the index only: every solver sees the same stream.
        """
        if not self.noisy:
            return value
        return value + self.noise_sd * float(np.random.default_rng([seed, index]).normal())


def get(name: str) -> Problem:
    """The problem of this name; a ``ValueError`` says which names there are."""
    base, _, noise = name.partition("+noise")
    if noise.endswith("%"):
        return replace(get(base), name=name, noise_sd=float(noise[:-1]) / 100 * _spread(base))
    if noise:
        return replace(get(base), name=name, noise_sd=float(noise))
    if name in CLASSICS:
        return _classic(name)
    if match := BBOB.fullmatch(name):
        return _bbob(name, *map(int, match.groups()))
    if name == "rosenbrock4-int":
        integers = tuple(Parameter(f"k{i}", "int", -5, 10) for i in range(2))
        return replace(_classic("rosenbrock4", box([(-5, 10)] * 2) + integers), name=name)
    if name == "svm-digits":
        return Problem(name, tasks.SVM_SPACE, tasks.svm_error)
    if name == "boosting-diabetes":
        return Problem(name, tasks.BOOSTING_SPACE, tasks.boosting_error)
    known = ", ".join([*CLASSICS, *MIXED, "bbob-f<1-24>-i<instance>-d<dimension>"])
    raise ValueError(f"Problem {name!r} is unknown; known are {known}, each with `+noise<sd>`.")


@cache
def _spread(name: str) -> float:
    """Standard deviation of a classic over its box, from 2^17 Sobol' points (three digits)."""
    import torch
    from torch.quasirandom import SobolEngine

    if name not in CLASSICS:
        raise ValueError(f"Noise in percent is for {', '.join(CLASSICS)}, but got {name!r}.")
    function = _function(name)
    low, high = torch.tensor(function._bounds, dtype=torch.float64).T
    U = SobolEngine(len(low), scramble=True, seed=0).draw(2**17, dtype=torch.float64)
    return float(function.evaluate_true(low + U * (high - low)).std())


def bbob_name(function: int, instance: int, dimension: int) -> str:
    return f"bbob-f{function:02d}-i{instance}-d{dimension}"


def bbob_group(name: str) -> str | None:
    """The group of a BBOB function and its dimension, as in ``separable d=2``; else ``None``."""
    if (match := BBOB.match(name)) is None:
        return None
    function, _, dimension = map(int, match.groups())
    group = next(g for g, members in BBOB_GROUPS.items() if function in members)
    return f"{group} d={dimension}"


def gradient(name: str, params: Params) -> dict[str, float]:
    """The partial derivatives of a classic by the names of its parameters."""
    import torch

    x = torch.tensor([float(v) for v in params.values()], dtype=torch.float64, requires_grad=True)
    (partials,) = torch.autograd.grad(_function(name).evaluate_true(x), x)
    return dict(zip(params, partials.tolist(), strict=True))


@cache
def _function(name: str) -> Any:
    from botorch import test_functions

    kind, arguments, _ = CLASSICS[name]
    return getattr(test_functions, kind)(**arguments)


def _classic(name: str, space: Space | None = None) -> Problem:
    import torch

    function, optimum = _function(name), CLASSICS[name][2]
    space = box(function._bounds) if space is None else space

    def value(params: Params) -> float:
        x = torch.tensor(numbers(space, params), dtype=torch.float64)
        return float(function.evaluate_true(x))

    return Problem(name, space, value, optimum)


def _bbob(name: str, function: int, instance: int, dimension: int) -> Problem:
    import ioh

    bbob: Any = ioh.get_problem(function, instance, dimension, ioh.ProblemClass.BBOB)
    space = box(list(zip(bbob.bounds.lb, bbob.bounds.ub, strict=True)))
    optimum = float(bbob.optimum.y)
    return Problem(name, space, lambda params: float(bbob(numbers(space, params))), optimum)
