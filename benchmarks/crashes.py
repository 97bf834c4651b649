"""Searches where a part of the box crashes: which suggestions fail, and what is found all the same.

All searches of a problem and a seed have the same starting points, the crashed ones among them.
"""

from collections.abc import Callable
from time import process_time
from typing import Protocol, TypeAlias

import numpy as np
import optuna
import torch
from optuna.trial import TrialState, create_trial

from benchmarks import crash_problems
from benchmarks.crash_runs import CrashRun
from benchmarks.problems import Problem
from benchmarks.solvers import OURS, Spec
from benchmarks.solvers.bayesopt import OurStudy
from benchmarks.solvers.optuna import OptunaGP
from benchmarks.space import Params, from_unit, starting_points

OPTUNA = "Optuna GPSampler"
RANDOM = "random"
N_EVALS = 60
Task: TypeAlias = tuple[str, str, int, int]  # problem, method, evaluations in all, seed


class CrashSolver(Protocol):
    """An optimiser that is told a value, or ``None`` for a crash."""

    def add(self, params: Params, value: float | None) -> None:
        """Learn a point that this solver did not suggest."""

    def ask(self) -> Params:
        """Suggest the next point."""

    def end(self, params: Params, value: float | None) -> None:
        """Learn what became of the point that was suggested last."""


class Ours(OurStudy):
    """A study: crashes are failed trials."""

    def add(self, params: Params, value: float | None) -> None:  # type: ignore[override]
        self.asked = self.study.ask(params=params).number
        self.end(params, value)

    def end(self, params: Params, value: float | None) -> None:
        if value is None:
            self.study.fail(self.asked, "crashed")
        else:
            self.study.tell(self.asked, value)


class Optuna(OptunaGP):
    """`GPSampler`: crashes are told as failed, and it does not look at them."""

    def add(self, params: Params, value: float | None) -> None:  # type: ignore[override]
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        self.study.add_trial(
            create_trial(state=state, params=params, distributions=self.distributions, value=value)
        )

    def end(self, params: Params, value: float | None) -> None:
        assert self.trial is not None
        if value is None:
            self.study.tell(self.trial, state=TrialState.FAIL)
        else:
            self.study.tell(self.trial, value)


class Random:
    """Uniform points, the baseline."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.space = problem.space
        self.rng = np.random.default_rng(seed)

    def add(self, params: Params, value: float | None) -> None:
        pass

    def ask(self) -> Params:
        return from_unit(self.space, self.rng.random(len(self.space)).tolist())

    def end(self, params: Params, value: float | None) -> None:
        pass


METHODS: dict[str, Callable[[Problem, int], CrashSolver]] = {
    "ours": lambda problem, seed: Ours(problem, seed, ""),
    OPTUNA: Optuna,
    RANDOM: Random,
}


def play(task: Task) -> CrashRun:
    """One search from the start to so many evaluations in all, on one thread."""
    name, method, n_evals, seed = task
    torch.set_num_threads(1)
    problem, crashes = crash_problems.get(name)
    assert problem.optimum is not None

    def evaluated(params: Params) -> float | None:
        return None if crashes(params) else problem.value(params)

    points = starting_points(problem.space, seed)
    values = [evaluated(params) for params in points]
    seconds: list[float] = []
    error = ""
    try:
        solver = METHODS[method](problem, seed)
        for params, value in zip(points, values, strict=True):
            solver.add(params, value)
        while len(values) < n_evals:
            start = process_time()
            params = solver.ask()
            seconds.append(process_time() - start)
            values.append(evaluated(params))
            solver.end(params, values[-1])
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
    return CrashRun(
        problem=name,
        solver=method,
        seed=seed,
        version=_version(method),
        n_initial=len(points),
        optimum=problem.optimum,
        values=values,
        seconds=seconds,
        error=error,
    )


def _version(method: str) -> str:
    if method == OPTUNA:
        return f"optuna {optuna.__version__}"
    return Spec(method, OURS if method == "ours" else RANDOM).version
