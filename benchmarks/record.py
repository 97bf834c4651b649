"""What one run leaves behind, and the JSON-lines files that keep it."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

from benchmarks.solvers import Spec

Key: TypeAlias = tuple[str, str, int, int, str]


@dataclass(frozen=True)
class Case:
    """One run to do: a solver on a problem with one seed and one budget."""

    problem: str
    solver: Spec
    seed: int
    n_evals: int

    @property
    def key(self) -> Key:
        return (self.problem, self.solver.label, self.seed, self.n_evals, self.solver.version)


@dataclass(frozen=True)
class Run:
    """One run done.

    `values` are the true values of the evaluated points in order, the starting points first;
    `recommended` maps a number of evaluations to the true value of the point recommended there
    (under noise only); `seconds` are the CPU seconds of each suggestion, its ask and its tell.
    """

    problem: str
    solver: str
    seed: int
    n_evals: int
    version: str
    n_initial: int
    optimum: float | None = None
    noise_sd: float = 0.0
    values: list[float] = field(default_factory=list)
    recommended: dict[str, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def key(self) -> Key:
        return (self.problem, self.solver, self.seed, self.n_evals, self.version)

    @property
    def final(self) -> float:
        """The true value this run ends with: of the best point seen, or of the last recommended
        one under noise (of the worst one seen, if the run broke down before it recommended)."""
        if self.noise_sd == 0.0:
            return min(self.values)
        if not self.recommended:
            return max(self.values)
        return self.recommended[max(self.recommended, key=int)]


def read(path: Path) -> list[Run]:
    """The runs of a file; none when there is no file."""
    if not path.exists():
        return []
    return [Run(**json.loads(line)) for line in path.read_text().splitlines()]


def append(path: Path, runs: Iterable[Run]) -> None:
    """Write runs at the end of a file, one line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(json.dumps(asdict(run)) + "\n" for run in runs)
