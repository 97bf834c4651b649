"""CPU seconds per suggestion as the data grow: all solvers in one run, on one thread.

Each solver learns n uniform points of Hartmann's function in six dimensions. One suggestion warms
it up; then the median over a few, each followed by a tell, so that each has to fit again.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import process_time

import numpy as np

from benchmarks import problems, solvers
from benchmarks.report import markdown
from benchmarks.run import one_thread_pool
from benchmarks.solvers import Spec
from benchmarks.space import from_unit

PROBLEMS = {"noise-free": "hartmann6", "noisy": "hartmann6+noise0.25"}
SIZES = (20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Timing:
    """Median CPU seconds of a suggestion after n evaluations; an error where there is none."""

    mode: str
    n: int
    solver: str
    seconds: float
    error: str = ""


def measure(spec: Spec, mode: str, n: int) -> Timing:
    """Time one solver at one size."""
    problem = problems.get(PROBLEMS[mode])
    asks = 5 if n <= 200 else 3
    cube = np.random.default_rng(0).random((n, len(problem.space)))
    points = [from_unit(problem.space, u) for u in cube.tolist()]
    values = [problem.observe(problem.value(p), 0, i) for i, p in enumerate(points)]
    seconds = []
    try:
        solver = solvers.make(spec, problem, 0, n + asks + 1)
        solver.add(points, values)
        for index in range(n, n + asks + 1):
            start = process_time()
            params = solver.ask()
            asked = process_time()
            observed = problem.observe(problem.value(params), 0, index)
            tell = process_time()
            solver.tell(params, observed)
            seconds.append(process_time() - tell + asked - start)
    except Exception as failure:
        return Timing(mode, n, spec.label, float("nan"), f"{type(failure).__name__}: {failure}")
    return Timing(mode, n, spec.label, float(np.median(seconds[1:])))


def measure_all(specs: Sequence[Spec], sizes: Sequence[int] = SIZES) -> list[Timing]:
    """Every solver at every size, one after the other in one worker process."""
    timings = []
    with one_thread_pool(1) as pool:
        for mode in PROBLEMS:
            for n in sizes:
                for spec in specs:
                    timing = pool.submit(measure, spec, mode, n).result()
                    end = timing.error or f"{timing.seconds:.3g} s"
                    print(f"{mode}, n={n}, {spec.label}: {end}", file=sys.stderr, flush=True)
                    timings.append(timing)
    return timings


def table(timings: Sequence[Timing], reference: str) -> str:
    """Seconds of each solver with, in brackets, their ratio to those of the reference."""
    names = list(dict.fromkeys(t.solver for t in timings))
    cells: dict[tuple[str, int], dict[str, float]] = {}
    for t in timings:
        cells.setdefault((t.mode, t.n), {})[t.solver] = t.seconds
    rows = [
        [mode, str(n)] + [_cell(row[name], row.get(reference)) for name in names]
        for (mode, n), row in cells.items()
    ]
    caption = f"## CPU seconds per suggestion, d=6, one thread (times {reference})\n\n"
    return caption + markdown(["mode", "n", *names], rows)


def _cell(seconds: float, reference: float | None) -> str:
    if np.isnan(seconds):
        return "-"
    if reference is None or np.isnan(reference):
        return f"{seconds:.3f}"
    return f"{seconds:.3f} ({seconds / reference:.2g}x)"
