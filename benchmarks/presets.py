"""Named campaigns: which problems, with how many evaluations, from which seeds."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.problems import bbob_name


@dataclass(frozen=True)
class Task:
    """A problem, a budget and a seed, for every solver alike."""

    problem: str
    n_evals: int
    seed: int


def quick(seeds: Iterable[int] = range(5)) -> list[Task]:
    """Some of each kind: smooth, noisy, with integers, a real task. Minutes on two cores."""
    budgets = {
        "branin": 40,
        "hartmann6": 80,
        "hartmann6+noise0.25": 100,
        "rosenbrock4-int": 50,
        "boosting-diabetes": 40,
    }
    return seeded(budgets, seeds)


def acceptance(seeds: Iterable[int] = range(10)) -> list[Task]:
    """What a release must not lose on."""
    return seeded({"branin": 40, "hartmann6": 80, "hartmann6+noise0.25": 100}, seeds)


def noisy(seeds: Iterable[int] = range(100, 130)) -> list[Task]:
    """Noise of 1, 5 and 20 % of the function's standard deviation: which acquisition leads?"""
    budgets = {
        f"{name}+noise{percent}%": n_evals
        for name, n_evals in {"branin": 40, "hartmann6": 80, "ackley5": 60}.items()
        for percent in (1, 5, 20)
    }
    return seeded(budgets, seeds)


def tuning(instances: Iterable[int] = (1, 2)) -> list[Task]:
    """The 24 BBOB functions in two and five dimensions: to choose between policies.

    Check a choice on other instances than those it was made on.
    """
    instances = list(instances)
    return bbob(2, instances, 40) + bbob(5, instances, 70)


def bbob(dimension: int, instances: Iterable[int], n_evals: int) -> list[Task]:
    """The 24 BBOB functions in one dimension; the seed of a run is its instance."""
    return [
        Task(bbob_name(function, instance, dimension), n_evals, seed=instance)
        for function in range(1, 25)
        for instance in instances
    ]


def seeded(budgets: dict[str, int], seeds: Iterable[int]) -> list[Task]:
    """Each problem with its budget from each seed."""
    seeds = list(seeds)
    return [Task(problem, n, seed) for problem, n in budgets.items() for seed in seeds]
