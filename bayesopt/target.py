"""What is sought where parameters have a role: a functional of f over their columns.

Notation
--------
c       number of columns with a role
r_k     (c,) node k of K: coordinates of the role columns
w_k     its weight, of sum 1

    F(x) = f(x, r_1)                        a fidelity, a source or a task with a target
    F(x) = sum_k w_k f(x, r_k)              the mean over tasks or random conditions
    F(x) = CVaR of f(x, r_k) under w        where an environment asks for it, see
                                            `bayesopt.models.joint.tail`

Where evaluations are made depends on the role:

    fidelity, source    anywhere: the others are approximations of the target
    task with a target  there alone; what is known of other tasks is history (transfer)
    all others          at every node: no evaluation shows what is sought
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.environment import Environment
from bayesopt.environment_nodes import nodes_of
from bayesopt.parameter import Array, Float
from bayesopt.space import Space
from bayesopt.unit_law import ClosedForm


@dataclass(frozen=True, eq=False)
class Target:
    """Nodes and weights of the functional that is sought.

    Parameters
    ----------
    nodes
        (K, c) coordinates in the unit cube, a column for each of `Space.role_columns`.
    weights
        (K,) positive, of sum 1.
    level
        The level of CVaR; None for the mean.
    laws
        For each column its normal or uniform law, for integrals in closed form; None where it has
        another one. Empty for other roles than an environment.
    """

    nodes: Shaped[Tensor, "K c"]
    weights: Shaped[Tensor, " K"]
    level: float | None = None
    laws: tuple[ClosedForm | None, ...] = ()

    @property
    def is_one(self) -> bool:
        """Whether it is f at one node."""
        return len(self.weights) == 1

    def at_nodes(
        self, X: Shaped[Tensor, "*b d"], columns: Sequence[int]
    ) -> Shaped[Tensor, "*b K d"]:
        """Designs at every node; `columns` are those with a role."""
        full = X.unsqueeze(-2).repeat(*[1] * (X.dim() - 1), len(self.nodes), 1)
        full[..., columns] = self.nodes
        return full

    @property
    def has_closed_forms(self) -> bool:
        """Whether it is a mean under independent normal or uniform laws alone."""
        return self.level is None and bool(self.laws) and None not in self.laws


def target_of(space: Space, environment: Environment | None = None) -> Target:
    """What is sought in a space whose parameters have a role.

    Parameters
    ----------
    space
        Its role says what: f at the target of a fidelity, a source or a task; the mean over all
        tasks where there is none; the mean or CVaR under the laws of an environment.
    environment
        The laws, for a space with the role "environment" and no other one.

    Raises
    ------
    ValueError, TypeError
        If no parameter has a role, or the environment is not that of the space.
    """
    if environment is not None:
        environment.check(space)
        nodes, weights, laws = nodes_of(space, environment)
        return _target(nodes, weights, environment.level, laws)
    if space.role is None:
        raise ValueError("No parameter of the space has a role: f itself is sought.")
    if space.role == "environment":
        names = [space.names[column] for column in space.role_columns]
        raise ValueError(f"`environment` must have the law of {names}.")
    nodes = _nodes_of_role(space)
    return _target(nodes, np.full(len(nodes), 1.0 / len(nodes)))


def has_approximations(space: Space) -> bool:
    """Whether other values of a role are evaluated in the place of the target."""
    return space.role in ("fidelity", "source")


def seeks_one_task(space: Space) -> bool:
    """Whether one task alone is evaluated, and what is known of others is history."""
    return space.role == "task" and target_of(space).is_one


def is_evaluated_elsewhere(space: Space) -> bool:
    """Whether evaluations are also made of something else than what is sought."""
    return space.role is not None and not seeks_one_task(space)


def _nodes_of_role(space: Space) -> Array:
    """The target, or all the values (K, 1) where there is none."""
    (column,) = space.role_columns
    parameter = space[space.names[column]]
    if parameter.target is not None:
        return parameter.to_units([parameter.target])[:, None]  # type: ignore[list-item]
    assert not isinstance(parameter, Float)  # a fidelity has a target
    return parameter.unit_of(np.arange(parameter.size))[:, None]


def _target(
    nodes: Array,
    weights: Array,
    level: float | None = None,
    laws: tuple[ClosedForm | None, ...] = (),
) -> Target:
    return Target(torch.from_numpy(nodes), torch.from_numpy(weights), level, laws)
