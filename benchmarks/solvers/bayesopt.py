"""Ours, through `Study`: ask and tell. A variant is a `Policy` given as JSON text."""

import json

import bayesopt as bo
from benchmarks.problems import Problem
from benchmarks.space import Parameter, Params


class OurStudy:
    """A study with the default policy, or with the policy of a variant."""

    def __init__(self, problem: Problem, seed: int, policy: str) -> None:
        options = {"policy": bo.Policy(**json.loads(policy))} if policy else {}
        self.study = bo.Study(
            bo.Space(**{p.name: _parameter(p) for p in problem.space}),
            direction="minimize",
            noise="auto" if problem.noisy else False,
            seed=seed,
            **options,
        )
        self.trial: bo.Trial | None = None

    def add(self, points: list[Params], values: list[float]) -> None:
        self.study.add(points, values)

    def ask(self) -> Params:
        self.trial = self.study.ask()
        return dict(self.trial.params)

    def tell(self, params: Params, value: float) -> None:
        self.study.tell(self.trial, value)

    def recommend(self) -> Params:
        return dict(self.study.recommend().params)


def make(problem: Problem, seed: int, n_evals: int, policy: str) -> OurStudy:
    return OurStudy(problem, seed, policy)


def _parameter(p: Parameter) -> bo.Float | bo.Int | bo.Categorical:
    if p.kind == "categorical":
        return bo.Categorical(list(p.choices))
    if p.kind == "int":
        return bo.Int(int(p.low), int(p.high), log=p.log)
    return bo.Float(p.low, p.high, log=p.log)
