"""Solvers: every library behind the same four verbs, each in the file of its name.

A solver is first given the shared starting points (`add`), then asked and told in turn, and says
at any time which of the points it would report (`recommend`). All of them minimise.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Protocol, cast

from benchmarks.problems import Problem
from benchmarks.space import Params

OURS = "bayesopt"
LIBRARIES = (OURS, "optuna", "botorch", "random")


class Solver(Protocol):
    """An optimiser between two evaluations."""

    def add(self, points: list[Params], values: list[float]) -> None:
        """Learn points that this solver did not suggest."""

    def ask(self) -> Params:
        """Suggest the next point."""

    def tell(self, params: Params, value: float) -> None:
        """Learn the value at the point that was suggested last."""

    def recommend(self) -> Params:
        """The point that a user of this library would report now."""


class Unsupported(Exception):
    """The library has no sensible way to search this space."""


@dataclass(frozen=True)
class Spec:
    """Which solver to make: a library and, for a variant of ours, the policy as JSON text."""

    label: str
    library: str
    policy: str = ""

    @property
    def is_peer(self) -> bool:
        return self.library != OURS

    @property
    def version(self) -> str:
        """What a stored result depends on besides the problem, the seed and the budget."""
        package = {OURS: "bayesopt-uq", "random": "numpy"}.get(self.library, self.library)
        return version(package)


def make(spec: Spec, problem: Problem, seed: int, n_evals: int) -> Solver:
    """A fresh solver for ``n_evals`` evaluations, the starting points among them."""
    module = import_module(f"benchmarks.solvers.{spec.library}")
    return cast(Solver, module.make(problem, seed, n_evals, spec.policy))
