"""Searches under noise that say after every evaluation which point they would report.

The points reported are the maximisers of the posterior mean over the whole box, whoever searches.
All searches of a problem and a seed have the same starting points and see the same noise.
"""

from collections.abc import Callable
from pathlib import Path
from time import process_time

from benchmarks import problems, record
from benchmarks.problems import Problem
from benchmarks.record import Run
from benchmarks.solvers import Solver
from benchmarks.space import starting_points

TRACES = Path(__file__).parent / "traces" / "noisy_knowledge_gradient.jsonl"
PROBLEMS = ("branin+noise10", "hartmann3+noise0.1")
SEEDS = range(8)
N_AFTER_START = 20

Maker = Callable[[Problem, int], Solver]


def trace(name: str, label: str, make: Maker, seed: int, n_after: int, version: str) -> Run:
    """One search from the start to `n_after` evaluations after it.

    `recommended` has an entry for every number of evaluations, the start's among them.
    """
    problem = problems.get(name)
    points = starting_points(problem.space, seed)
    values = [problem.value(params) for params in points]
    solver = make(problem, seed)
    solver.add(points, [problem.observe(v, seed, i) for i, v in enumerate(values)])
    recommended = {str(len(points)): problem.value(solver.recommend())}
    seconds = []
    for index in range(len(points), len(points) + n_after):
        start = process_time()
        params = solver.ask()
        seconds.append(process_time() - start)
        values.append(problem.value(params))
        solver.tell(params, problem.observe(values[-1], seed, index))
        recommended[str(index + 1)] = problem.value(solver.recommend())
    return Run(
        problem=name,
        solver=label,
        seed=seed,
        n_evals=len(values),
        version=version,
        n_initial=len(points),
        optimum=problem.optimum,
        noise_sd=problem.noise_sd,
        values=values,
        recommended=recommended,
        seconds=seconds,
    )


def known(path: Path) -> set[tuple[str, str, int]]:
    """Problem, solver and seed of the searches in a file."""
    return {(run.problem, run.solver, run.seed) for run in record.read(path)}
