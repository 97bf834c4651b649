"""One search of a problem with roles: what each evaluation cost, and how good the point was that
was recommended then.

A method is `truth` (the target only, a plain study of the design), `integration` (the mean over
the whole random environment at every point, exactly), `new` (a task without its history), `roles`
(all that the problem offers), or `related` and `unrelated` (the kind of the earlier task).
"""

from dataclasses import dataclass, field
from time import process_time
from typing import Any

import bayesopt as bo
from benchmarks import environment_problems, fidelity_problems, source_problems, transfer_problems
from benchmarks.role_problems import RoleProblem
from benchmarks.role_studies import plain_study, roles_study
from benchmarks.solvers import OURS, Spec
from benchmarks.space import Params

EVERY = 3  # evaluations that are not of the target between two recommendations
PLAIN = ("truth", "integration", "new")
ROLES = "roles"
PEER = "BoTorch qMultiFidelityKnowledgeGradient"
PROBLEMS = source_problems.PROBLEMS | fidelity_problems.PROBLEMS | environment_problems.PROBLEMS


@dataclass(frozen=True)
class Task:
    """One search to do. It ends at the first of the two limits."""

    problem: str
    method: str
    seed: int
    n_evals: int
    cost_budget: float | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.problem, self.method, self.seed)


@dataclass(frozen=True)
class RoleRun:
    """One search done.

    `costs` and `at_target` have an entry for every evaluation, `n_history` ones of an earlier task
    not among them; `recommended` maps a number of evaluations to the true value of the point
    recommended there; `seconds` are the CPU seconds between two evaluations, without those of the
    recommendation.
    """

    problem: str
    solver: str
    seed: int
    version: str
    optimum: float
    n_history: int = 0
    costs: list[float] = field(default_factory=list)
    at_target: list[bool] = field(default_factory=list)
    recommended: dict[str, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.problem, self.solver, self.seed)

    @property
    def steps(self) -> list[tuple[float, float]]:
        """Cost so far and regret of the point recommended, where there is one."""
        spent, steps = 0.0, []
        for n, cost in enumerate(self.costs, start=1):
            spent += cost
            if str(n) in self.recommended:
                steps.append((spent, self.recommended[str(n)] - self.optimum))
        return steps


def problem_of(task: Task) -> RoleProblem:
    """The problem of a task; those of transfer differ by the seed and the kind of history."""
    if task.problem in PROBLEMS:
        return PROBLEMS[task.problem]
    kind = task.method if task.method in transfer_problems.KINDS else "related"
    return transfer_problems.get(task.problem.removesuffix("-shifted"), kind, task.seed)


def play(task: Task) -> RoleRun:
    """One search, on one thread. One that breaks down ends there and says why."""
    import torch

    torch.set_num_threads(1)
    problem = problem_of(task)
    trace = _Trace(problem, task)
    error = ""
    try:
        trace.search()
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
    return RoleRun(
        problem=task.problem,
        solver=task.method,
        seed=task.seed,
        version=f"bayesopt {Spec(OURS, OURS).version}",
        optimum=problem.optimum,
        n_history=trace.n_history,
        costs=trace.costs,
        at_target=trace.at_target,
        recommended=trace.recommended,
        seconds=trace.seconds,
        error=error,
    )


class _Trace:
    """What is written down while a study runs."""

    def __init__(self, problem: RoleProblem, task: Task) -> None:
        self.problem, self.task = problem, task
        self.n_history = 0
        self.costs: list[float] = []
        self.at_target: list[bool] = []
        self.recommended: dict[str, float] = {}
        self.seconds: list[float] = []

    def search(self) -> None:
        study = self._study()
        self.n_history = len(study.trials)
        self._since = process_time()
        study.run(
            self._evaluate,
            self.task.n_evals + self.n_history,
            callback=self._write_down,
            progress=False,
        )
        self._recommend(study)

    def _study(self) -> bo.Study:
        if self.task.method in PLAIN:
            return plain_study(self.problem, self.task.seed)
        return roles_study(self.problem, self.task.seed, self.task.cost_budget)

    def _evaluate(self, **params: Any) -> float:
        self.seconds.append(process_time() - self._since)
        full: Params = self.problem.target | params
        self.at_target.append(self.task.method in PLAIN or self.problem.at_target(full))
        if self.task.method == "integration":
            self.costs.append(float(environment_problems.N_CONDITIONS))
            return self.problem.goal(full)
        self.costs.append(self.problem.cost(full))
        return self.problem.observe(full, self.task.seed, len(self.costs) - 1)

    def _write_down(self, study: bo.Study, _: bo.Trial) -> None:
        if self.at_target[-1] or len(self.costs) % EVERY == 0:
            self._recommend(study)
        self._since = process_time()

    def _recommend(self, study: bo.Study) -> None:
        n = str(len(self.costs))
        if n not in self.recommended:
            params = dict(study.recommend().params)
            self.recommended[n] = self.problem.goal(self.problem.design_of(params))
