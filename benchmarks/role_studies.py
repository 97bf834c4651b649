"""Studies of problems with roles, through the face that users have."""

from typing import Any

import bayesopt as bo
from benchmarks.role_problems import RoleProblem
from benchmarks.solvers.bayesopt import _parameter
from benchmarks.transfer_problems import EARLIER

N_HISTORY = 30
_SEED_OF_HISTORY = 1000  # added to the seed: an earlier search has another one


def plain_study(problem: RoleProblem, seed: int) -> bo.Study:
    """The default search of the design alone."""
    space = bo.Space(**{p.name: _parameter(p) for p in problem.design})
    return bo.Study(space, noise="auto" if problem.noisy else False, seed=seed)


def roles_study(problem: RoleProblem, seed: int, cost_budget: float | None) -> bo.Study:
    """The default search of the design and the parameters with a role; history is added."""
    design: dict[str, Any] = {p.name: _parameter(p) for p in problem.design}
    given: dict[str, Any] = {}
    if problem.role == "environment":
        given["environment"] = problem.laws
    if problem.role in ("source", "fidelity"):
        given["cost"] = _cost(problem)
        given["cost_budget"] = cost_budget
    study = bo.Study(
        bo.Space(**design, **_role_parameters(problem)),
        noise="auto" if problem.noisy else False,
        seed=seed,
        **given,
    )
    if problem.role == "task":
        points, values = history(problem, seed)
        study.add([{**point, "task": EARLIER} for point in points], values)
    return study


def _role_parameters(problem: RoleProblem) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, values in problem.role_values.items():
        if problem.role == "fidelity":
            target, cheapest = values
            made[name] = _with_role(bo.Float, cheapest, target, role="fidelity", target=target)
        elif problem.role == "environment":
            made[name] = _with_role(bo.Float, min(values), max(values), role="environment")
        else:
            made[name] = _with_role(
                bo.Categorical, list(values), role=problem.role, target=values[0]
            )
    return made


def _with_role(kind: Any, *args: Any, **kwargs: Any) -> Any:
    return kind(*args, **kwargs)


def _cost(problem: RoleProblem) -> Any:
    """By the values of the source, or a function of the full point."""
    if problem.role == "fidelity":
        return lambda **params: problem.cost(params)
    ((name, values),) = problem.role_values.items()
    return {value: problem.cost({name: value}) for value in values}


def history(problem: RoleProblem, seed: int) -> tuple[list[dict[str, Any]], list[float]]:
    """The trials of an earlier search of the earlier task, with a seed of its own."""
    study = plain_study(problem, seed + _SEED_OF_HISTORY)
    points: list[dict[str, Any]] = []
    values: list[float] = []

    def evaluate(**params: Any) -> float:
        points.append(params)
        values.append(problem.value({**params, "task": EARLIER}))
        return values[-1]

    study.run(evaluate, N_HISTORY, progress=False)
    return points, values
