"""Ours with constraints and with several objectives, through `Study`: ask and tell."""

import bayesopt as bo
from benchmarks.outcomes import OutcomeProblem, Outcomes
from benchmarks.solvers.bayesopt import _parameter, policy_of
from benchmarks.space import Params


class OutcomeStudy:
    """A study with the default policy, or with the policy that JSON text asks for."""

    def __init__(self, problem: OutcomeProblem, seed: int, policy: str = "") -> None:
        self.problem = problem
        n = problem.n_objectives
        self.study = bo.Study(
            bo.Space(**{p.name: _parameter(p) for p in problem.space}),
            direction="minimize" if n == 1 else ["minimize"] * n,
            outcome_constraints={name: (None, 0.0) for name in problem.constraint_names} or None,
            noise=False,
            seed=seed,
            policy=policy_of(policy),
            **({"reference_point": list(problem.reference)} if n > 1 else {}),
        )

    def add(self, points: list[Params], outcomes: list[Outcomes]) -> None:
        for params, outcome in zip(points, outcomes, strict=True):
            self.asked = self.study.ask(params=params).number
            self.tell(params, outcome)

    def ask(self) -> Params:
        trial = self.study.ask()
        self.asked = trial.number
        return dict(trial.params)

    def tell(self, params: Params, outcome: Outcomes) -> None:
        named = dict(zip(self.problem.constraint_names, outcome.constraints, strict=True))
        values = outcome.objectives
        value = values[0] if len(values) == 1 else values
        self.study.tell(self.asked, bo.Evaluation(value, constraints=named or None))
