"""One search of a problem with constraints or several objectives, evaluation by evaluation."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import process_time
from typing import TypeAlias

from benchmarks.outcomes import OutcomeProblem, OutcomeSolver
from benchmarks.space import Params, starting_points

LARGEST_START = 20
Maker: TypeAlias = Callable[[OutcomeProblem, int], OutcomeSolver]


@dataclass(frozen=True)
class OutcomeRun:
    """One run done: all that was evaluated, in order, the common starting points first.

    `outside` counts suggestions outside the box or off the integers; `seconds` are the CPU seconds
    of each suggestion, its ask and its tell.
    """

    problem: str
    solver: str
    seed: int
    version: str
    n_initial: int
    points: list[Params] = field(default_factory=list)
    objectives: list[list[float]] = field(default_factory=list)
    constraints: list[list[float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    outside: int = 0
    error: str = ""

    @property
    def feasible(self) -> list[bool]:
        return [all(c <= 0.0 for c in values) for values in self.constraints]

    @property
    def best(self) -> list[float | None]:
        """The best feasible value so far (of the first objective); ``None`` before there is one."""
        so_far: float | None = None
        trace: list[float | None] = []
        for values, ok in zip(self.objectives, self.feasible, strict=True):
            if ok and (so_far is None or values[0] < so_far):
                so_far = values[0]
            trace.append(so_far)
        return trace

    def hypervolumes(self, reference: tuple[float, ...]) -> list[float]:
        """The hypervolume that feasible points dominate, after each evaluation (two objectives)."""
        kept = [tuple(v) for v in self.objectives]
        feasible = self.feasible
        return [
            hypervolume([kept[i] for i in range(n) if feasible[i]], reference)
            for n in range(1, len(kept) + 1)
        ]


def hypervolume(front: Iterable[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    """The area that points of the plane dominate, both coordinates minimised: a sum of strips."""
    right, top = reference
    area = 0.0
    for first, second in sorted(front):
        if first < right and second < top:
            area += (right - first) * (top - second)
            top = second
    return area


def starts(problem: OutcomeProblem, seed: int) -> list[Params]:
    """The common starting points: 2 (d + 1) scrambled Sobol' points, at most 20."""
    n = min(2 * (len(problem.space) + 1), LARGEST_START)
    return starting_points(problem.space, seed, n)


def trace(
    problem: OutcomeProblem, label: str, make: Maker, seed: int, n_after: int, version: str
) -> OutcomeRun:
    """One search from the start to `n_after` evaluations after it. A search that breaks down ends
    there and says why."""
    points = starts(problem, seed)
    outcomes = [problem.evaluate(params) for params in points]
    n_initial = len(points)
    seconds: list[float] = []
    outside, error = 0, ""
    try:
        solver = make(problem, seed)
        solver.add(list(points), list(outcomes))
        for _ in range(n_after):
            start = process_time()
            params = solver.ask()
            asked = process_time()
            outside += not inside(problem, params)
            outcome = problem.evaluate(params)
            points.append(params)
            outcomes.append(outcome)
            tell = process_time()
            solver.tell(params, outcome)
            seconds.append(process_time() - tell + asked - start)
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
    return OutcomeRun(
        problem=problem.name,
        solver=label,
        seed=seed,
        version=version,
        n_initial=n_initial,
        points=points,
        objectives=[list(o.objectives) for o in outcomes],
        constraints=[list(o.constraints) for o in outcomes],
        seconds=seconds,
        outside=outside,
        error=error,
    )


def inside(problem: OutcomeProblem, params: Params) -> bool:
    """Whether a point lies in the box, its integers being integers."""
    return all(
        p.low <= float(params[p.name]) <= p.high
        and (p.kind == "float" or float(params[p.name]).is_integer())
        for p in problem.space
    )


def read(path: Path) -> list[OutcomeRun]:
    """The runs of a file; none when there is no file."""
    if not path.exists():
        return []
    return [OutcomeRun(**json.loads(line)) for line in path.read_text().splitlines()]


def append(path: Path, run: OutcomeRun) -> None:
    """Write a run at the end of a file, as one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(run)) + "\n")
