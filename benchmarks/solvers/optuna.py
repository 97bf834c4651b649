"""Optuna's Gaussian-process sampler, as its documentation says to use it.

It reports the best observed value, under noise too: that is what ``study.best_params`` is.
"""

import warnings

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import create_trial

from benchmarks.problems import Problem
from benchmarks.space import Parameter, Params


class OptunaGP:
    """`GPSampler` from the first suggestion on; the starting points are added trials."""

    def __init__(self, problem: Problem, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.distributions = {p.name: _distribution(p) for p in problem.space}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.GPSampler(
                seed=seed, n_startup_trials=0, deterministic_objective=not problem.noisy
            )
        self.study = optuna.create_study(direction="minimize", sampler=sampler)
        self.trial: optuna.Trial | None = None

    def add(self, points: list[Params], values: list[float]) -> None:
        for params, value in zip(points, values, strict=True):
            self.study.add_trial(
                create_trial(params=params, distributions=self.distributions, value=value)
            )

    def ask(self) -> Params:
        self.trial = self.study.ask(self.distributions)
        return dict(self.trial.params)

    def tell(self, params: Params, value: float) -> None:
        assert self.trial is not None and self.trial.params == params
        self.study.tell(self.trial, value)

    def recommend(self) -> Params:
        return dict(self.study.best_params)


def make(problem: Problem, seed: int, n_evals: int, policy: str) -> OptunaGP:
    return OptunaGP(problem, seed)


def _distribution(p: Parameter) -> BaseDistribution:
    if p.kind == "categorical":
        return CategoricalDistribution(p.choices)
    if p.kind == "int":
        return IntDistribution(int(p.low), int(p.high), log=p.log)
    return FloatDistribution(p.low, p.high, log=p.log)
