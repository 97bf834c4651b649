"""Uniform random search."""

import numpy as np

from benchmarks.problems import Problem
from benchmarks.space import Params, from_unit


class RandomSearch:
    """Suggests a uniform point of the unit cube, reports the best observed one."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.space = problem.space
        self.rng = np.random.default_rng(seed)
        self.told: list[tuple[float, Params]] = []

    def add(self, points: list[Params], values: list[float]) -> None:
        self.told += zip(values, points, strict=True)

    def ask(self) -> Params:
        return from_unit(self.space, self.rng.random(len(self.space)).tolist())

    def tell(self, params: Params, value: float) -> None:
        self.told.append((value, params))

    def recommend(self) -> Params:
        return min(self.told, key=lambda pair: pair[0])[1]


def make(problem: Problem, seed: int, n_evals: int, policy: str) -> RandomSearch:
    return RandomSearch(problem, seed)
