"""Ours, through `Study`: ask and tell. A variant is a `Policy` given as JSON text.

The text says what differs from the default, and may be nested: ``{"search": {"truncate": 2.0}}``.
"""

import json
from dataclasses import is_dataclass, replace
from typing import Any, cast

import bayesopt as bo
from benchmarks.problems import Problem
from benchmarks.space import Parameter, Params


class OurStudy:
    """A study with the default policy, or with the policy of a variant."""

    def __init__(self, problem: Problem, seed: int, policy: str) -> None:
        self.study = bo.Study(
            bo.Space(**{p.name: _parameter(p) for p in problem.space}),
            direction="minimize",
            noise="auto" if problem.noisy else False,
            seed=seed,
            policy=policy_of(policy),
        )

    def add(self, points: list[Params], values: list[float]) -> None:
        self.study.add(points, values)

    def ask(self) -> Params:
        trial = self.study.ask()
        self.asked = trial.number
        return dict(trial.params)

    def tell(self, params: Params, value: float) -> None:
        self.study.tell(self.asked, value)

    def recommend(self) -> Params:
        return dict(self.study.recommend().params)


def make(problem: Problem, seed: int, n_evals: int, policy: str) -> OurStudy:
    return OurStudy(problem, seed, policy)


def policy_of(text: str) -> bo.Policy:
    """The default policy with the changes that the JSON text asks for."""
    return cast(bo.Policy, _changed(bo.Policy(), json.loads(text or "{}")))


def _changed(default: Any, changes: Any) -> Any:
    """The new value of a field: an object of JSON changes the fields of the dataclass there."""
    if is_dataclass(type(default)) and isinstance(changes, dict):
        fields = {name: _changed(getattr(default, name, None), c) for name, c in changes.items()}
        return replace(default, **fields)
    return tuple(changes) if isinstance(changes, list) else changes


def _parameter(p: Parameter) -> bo.Float | bo.Int | bo.Categorical:
    if p.kind == "categorical":
        return bo.Categorical(list(p.choices))
    if p.kind == "int":
        return bo.Int(int(p.low), int(p.high), log=p.log)
    return bo.Float(p.low, p.high, log=p.log)
