"""Problems whose evaluations have several outcomes: objectives, all minimised, and constraints, all
met where they are zero or less.

Solvers of such problems stand behind three verbs: they are given the common starting points
(`add`), then asked and told in turn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from benchmarks.space import Params, Space


@dataclass(frozen=True)
class Outcomes:
    """What one evaluation says."""

    objectives: tuple[float, ...]
    constraints: tuple[float, ...] = ()

    @property
    def feasible(self) -> bool:
        return all(c <= 0.0 for c in self.constraints)


@dataclass(frozen=True)
class OutcomeProblem:
    """One objective with its known minimum, or several with the reference point of their
    hypervolume and the largest hypervolume there is."""

    name: str
    space: Space
    evaluate: Callable[[Params], Outcomes]
    n_constraints: int = 0
    optimum: float | None = None
    reference: tuple[float, ...] = ()
    largest_hypervolume: float | None = None

    @property
    def n_objectives(self) -> int:
        return len(self.reference) or 1

    @property
    def constraint_names(self) -> list[str]:
        return [f"c{i}" for i in range(self.n_constraints)]


class OutcomeSolver(Protocol):
    """An optimiser between two evaluations."""

    def add(self, points: list[Params], outcomes: list[Outcomes]) -> None:
        """Learn points that this solver did not suggest."""

    def ask(self) -> Params:
        """Suggest the next point."""

    def tell(self, params: Params, outcomes: Outcomes) -> None:
        """Learn what the point that was suggested last says."""
