"""Optuna's Gaussian-process sampler with constraints and with several objectives.

`Trial.set_constraint` tells the constraints: Optuna 5 has no longer `constraints_func`.
"""

import warnings

import optuna
from optuna.trial import create_trial

from benchmarks.outcomes import OutcomeProblem, Outcomes
from benchmarks.solvers.optuna import _distribution
from benchmarks.space import Params


class OptunaOutcomes:
    """`GPSampler` from the first suggestion on; the starting points are added trials."""

    def __init__(self, problem: OutcomeProblem, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.problem = problem
        self.distributions = {p.name: _distribution(p) for p in problem.space}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.GPSampler(
                seed=seed, n_startup_trials=0, deterministic_objective=True
            )
        self.study = optuna.create_study(
            directions=["minimize"] * problem.n_objectives, sampler=sampler
        )
        self.trial: optuna.Trial | None = None

    def add(self, points: list[Params], outcomes: list[Outcomes]) -> None:
        for params, outcome in zip(points, outcomes, strict=True):
            self.study.add_trial(
                create_trial(
                    params=params,
                    distributions=self.distributions,
                    values=outcome.objectives,
                    constraints=self._named(outcome) or None,
                )
            )

    def ask(self) -> Params:
        self.trial = self.study.ask(self.distributions)
        return dict(self.trial.params)

    def tell(self, params: Params, outcome: Outcomes) -> None:
        assert self.trial is not None and self.trial.params == params
        for name, value in self._named(outcome).items():
            self.trial.set_constraint(name, value)
        self.study.tell(self.trial, list(outcome.objectives))

    def _named(self, outcome: Outcomes) -> dict[str, float]:
        return dict(zip(self.problem.constraint_names, outcome.constraints, strict=True))
