"""Problems in which one parameter, or several, have a role. Every one of them is minimised.

What is sought is a point of the design. An evaluation is at a full point: the design and a value
for each parameter with a role. `goal` is the true, noise-free value of a design: what a method is
judged by. Problems of one kind stand in a file of their own: `source_problems`,
`fidelity_problems`, `environment_problems`, `transfer_problems`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from benchmarks.space import Params, Space

Role = Literal["source", "fidelity", "environment", "task"]


def free(params: Params) -> float:
    """Every evaluation costs 1."""
    return 1.0


def exact(params: Params) -> float:
    """No evaluation is noisy."""
    return 0.0


@dataclass(frozen=True)
class RoleProblem:
    """A function of a full point, the design's true goal, and what an evaluation costs.

    `role_values` are the values of the one parameter with a role, the first of them the target; or
    of each parameter of a random environment, whose laws are `laws`; or the two bounds of a
    continuous fidelity, the target first.
    """

    name: str
    role: Role
    design: Space
    role_values: dict[str, tuple[Any, ...]]
    value: Callable[[Params], float]
    goal: Callable[[Params], float]
    optimum: float
    cost: Callable[[Params], float] = free
    noise_sd: Callable[[Params], float] = exact
    laws: dict[str, dict[float, float]] | None = None

    @property
    def noisy(self) -> bool:
        return self.noise_sd(self.target) > 0.0

    @property
    def target(self) -> Params:
        """The target of the parameter with a role."""
        return {name: values[0] for name, values in self.role_values.items()}

    def at_target(self, params: Params) -> bool:
        """Whether a full point is the truth; of a random environment no point is."""
        return self.role != "environment" and all(params[k] == v for k, v in self.target.items())

    def design_of(self, params: Params) -> Params:
        """A point without the parameters that have a role."""
        return {p.name: params[p.name] for p in self.design}

    def observe(self, params: Params, seed: int, index: int) -> float:
        """The observation number ``index``; its noise depends on the seed and the index only."""
        noise = self.noise_sd(params)
        value = self.value(params)
        return value + noise * float(np.random.default_rng([seed, index]).normal())
