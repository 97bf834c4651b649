"""Searches that say after every evaluation which point they would report.

All searches of a problem and a seed have the same starting points and see the same noise. A method
is a policy of ours by its name (`ei`, `kg`, ...), with `d-` before it where the gradient comes with
the value, or `random`. Ours report the maximiser of the posterior mean over the whole space.
"""

import json
from collections.abc import Callable
from pathlib import Path
from time import process_time

import torch

import bayesopt as bo
from benchmarks import problems
from benchmarks.problems import Problem
from benchmarks.record import Run
from benchmarks.solvers import OURS, Solver, Spec
from benchmarks.solvers.bayesopt import OurStudy
from benchmarks.solvers.random import RandomSearch
from benchmarks.space import Params, starting_points

TRACES = Path(__file__).parent / "traces" / "noisy_knowledge_gradient.jsonl"
PROBLEMS = ("branin+noise10", "hartmann3+noise0.1")
SEEDS = range(8)
N_AFTER_START = 20
WITH_GRADIENTS = "d-"

Maker = Callable[[Problem, int], Solver]
Task = tuple[str, str, int, int]  # problem, method, evaluations after the start, seed


class NamedPolicy(OurStudy):
    """A study whose acquisition is given by its name."""

    def __init__(self, problem: Problem, seed: int, acquisition: str) -> None:
        super().__init__(problem, seed, json.dumps({"acquisition": acquisition}))

    def recommend(self) -> Params:
        """The maximiser of the posterior mean."""
        return dict(self.study.recommend("best_mean").params)


class WithGradients(NamedPolicy):
    """The same, where all partial derivatives come with the value."""

    def __init__(self, problem: Problem, seed: int, acquisition: str) -> None:
        super().__init__(problem, seed, acquisition)
        self.gradient_of = problem.name

    def add(self, points: list[Params], values: list[float]) -> None:
        """Points that this study did not suggest."""
        for params, value in zip(points, values, strict=True):
            self.asked = self.study.ask(params=params).number
            self.tell(params, value)

    def tell(self, params: Params, value: float) -> None:
        """The value and the exact partial derivatives at the point that was asked for last."""
        partials = problems.gradient(self.gradient_of, params)
        self.study.tell(self.asked, bo.Evaluation(value, gradient=partials))


def method(label: str) -> Maker:
    """How a searcher of this name is made."""
    if label == "random":
        return RandomSearch
    kind = WithGradients if label.startswith(WITH_GRADIENTS) else NamedPolicy
    name = label.removeprefix(WITH_GRADIENTS)
    return lambda problem, seed: kind(problem, seed, name)


def play(task: Task) -> Run:
    """One search of a method, on one thread."""
    problem, label, n_after, seed = task
    torch.set_num_threads(1)
    return trace(problem, label, method(label), seed, n_after, Spec(label, OURS).version)


def trace(name: str, label: str, make: Maker, seed: int, n_after: int, version: str) -> Run:
    """One search from the start to `n_after` evaluations after it.

    `recommended` has an entry for every number of evaluations, the start's among them. A search
    that breaks down ends there and says why.
    """
    problem = problems.get(name)
    points = starting_points(problem.space, seed)
    values = [problem.value(params) for params in points]
    recommended: dict[str, float] = {}
    seconds: list[float] = []
    error = ""
    try:
        solver = make(problem, seed)
        solver.add(points, [problem.observe(v, seed, i) for i, v in enumerate(values)])
        recommended[str(len(points))] = problem.value(solver.recommend())
        for index in range(len(points), len(points) + n_after):
            start = process_time()
            params = solver.ask()
            seconds.append(process_time() - start)
            values.append(problem.value(params))
            solver.tell(params, problem.observe(values[-1], seed, index))
            recommended[str(index + 1)] = problem.value(solver.recommend())
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
    return Run(
        problem=name,
        solver=label,
        seed=seed,
        n_evals=len(points) + n_after,
        version=version,
        n_initial=len(points),
        optimum=problem.optimum,
        noise_sd=problem.noise_sd,
        values=values,
        recommended=recommended,
        seconds=seconds,
        error=error,
    )


def regret_after(run: Run, n_after: int) -> float:
    """Regret after so many evaluations after the start: of the best point seen, under noise of the
    point reported."""
    n = run.n_initial + n_after
    optimum = 0.0 if run.optimum is None else run.optimum
    return (run.recommended[str(n)] if run.noise_sd else min(run.values[:n])) - optimum
