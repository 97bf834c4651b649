"""What is sought where parameters have a role: a functional of f over their columns.

Notation
--------
c       number of columns with a role
r_k     (c,) node k of K: coordinates of the role columns
w_k     its weight, of sum 1

    F(x) = sum_k w_k f(x, r_k)              the mean over tasks or random conditions
    F(x) = f(x, r_1)                        a fidelity, a source or a task with a target
    F(x) = CVaR of f(x, r_k) under w        where an environment asks for it (`acquisition.risk`)

Nodes of an environment: the values of finite laws, all of them; Gauss quadratures of continuous
laws, one or two of them (12 and 10 nodes each, fewer beside finite laws); else quasi-Monte Carlo
points, Sobol' points in the quantiles that are moved by half a step so that each coordinate alone
has the midpoints of equal shares. There are at most 128 of them: finite laws of more values are
sampled too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float as Shaped
from torch import Tensor
from torch.quasirandom import SobolEngine

from bayesopt.environment import Environment, parameters_of
from bayesopt.environment_law import FiniteLaw, Law
from bayesopt.parameter import Array, Float, Int, Parameter
from bayesopt.space import Space
from bayesopt.unit_law import ClosedForm, closed_form, gauss, quantiles

_MOST = 128
_N_GAUSS = (12, 10)  # nodes for one and for two continuous laws
_FEWEST_GAUSS = 5
_N_SAMPLED = 128  # quasi-Monte Carlo nodes for a mean,
_N_OF_TAIL = 64  # and for a tail, whose weights come from joint samples over all nodes
_FEWEST_SAMPLED = 8


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
        return _of_environment(space, environment)
    if space.role is None:
        raise ValueError("No parameter of the space has a role, so that f itself is sought.")
    if space.role == "environment":
        names = [space.names[column] for column in space.role_columns]
        raise ValueError(f"`environment` must have the law of {names}.")
    (column,) = space.role_columns
    parameter = space[space.names[column]]
    if parameter.target is not None:
        nodes = np.array([[parameter.to_unit(parameter.target)]])
    else:
        assert not isinstance(parameter, Float)
        nodes = parameter.unit_of(np.arange(parameter.size))[:, None]
    return _target(nodes, np.full(len(nodes), 1.0 / len(nodes)))


@dataclass(frozen=True)
class _Group:
    """Columns with one law: its atoms, or its Gauss quadrature, and its quantiles."""

    columns: list[int]
    quantiles: Callable[[Array], Array]
    atoms: tuple[Array, Array] | None = None
    gauss: Callable[[int], tuple[Array, Array]] | None = None
    closed: ClosedForm | None = None


def _of_environment(space: Space, environment: Environment) -> Target:
    groups = [_group(space, names, law) for names, law in environment.laws.items()]
    groups.sort(key=lambda group: group.columns)  # the order of a dict means nothing
    parts, weights = _nodes(groups, environment.level)
    nodes = np.empty((len(weights), len(space.role_columns)))
    laws: list[ClosedForm | None] = [None] * nodes.shape[1]
    for group, part in zip(groups, parts, strict=True):
        nodes[:, group.columns] = part
        laws[group.columns[0]] = group.closed
    return _target(nodes, weights, environment.level, tuple(laws))


def _group(space: Space, names: tuple[str, ...], law: Law) -> _Group:
    columns = [space.role_columns.index(space.names.index(name)) for name in names]
    parameters = parameters_of(space, names)
    if not isinstance(law, FiniteLaw):
        (parameter,) = parameters
        assert isinstance(parameter, Float | Int)  # `check` has seen it
        of_law = partial(quantiles, law, parameter)
        if not law.is_discrete:
            assert isinstance(parameter, Float)
            rule = partial(gauss, law, parameter)
            closed = closed_form(law, parameter)
            return _Group(columns, lambda q: of_law(q)[:, None], gauss=rule, closed=closed)
        atoms = law.atoms(parameter, _MOST)
        if atoms is None:
            return _Group(columns, lambda q: of_law(q)[:, None])
        law = atoms
    units, weights = _atoms(law.on(names, parameters), parameters)
    ends = np.cumsum(weights)
    few = (units, weights) if len(weights) <= _MOST else None
    return _Group(columns, lambda q: units[_at(ends, q)], atoms=few)


def _at(ends: Array, q: Array) -> Array:
    """Which share each q falls into."""
    return np.minimum(np.searchsorted(ends, q, side="right"), len(ends) - 1)


def _atoms(law: FiniteLaw, parameters: tuple[Parameter, ...]) -> tuple[Array, Array]:
    """Coordinates (K, c) and weights (K,) of the values that have a weight."""
    units = np.empty((len(law.values), len(parameters)))
    for j, parameter in enumerate(parameters):
        units[:, j] = parameter.to_units([row[j] for row in law.values])  # type: ignore[misc]
    weights = np.array(law.weights)
    return units[weights > 0.0], weights[weights > 0.0]


def _nodes(groups: list[_Group], level: float | None) -> tuple[list[Array], Array]:
    """Coordinates of every group at the nodes (K, .), and the weights (K,)."""
    finite = [group for group in groups if group.atoms is not None]
    others = [group for group in groups if group.atoms is None]
    n_finite = math.prod(len(group.atoms[1]) for group in finite if group.atoms is not None)
    if n_finite > _MOST:
        finite, others, n_finite = [], groups, 1
    rules = {id(group): group.atoms for group in finite}
    n_gauss = _n_gauss(others, n_finite) if level is None else 0
    if n_gauss:
        rules |= {id(g): g.gauss(n_gauss) for g in others if g.gauss is not None}
        return _product([_rule(rules, group) for group in groups])
    if not others:
        return _product([_rule(rules, group) for group in groups])
    most = _N_SAMPLED if level is None else _N_OF_TAIL
    n = 2 ** int(math.log2(most // n_finite)) if n_finite <= most else 0
    if n < _FEWEST_SAMPLED:
        finite, others, n = [], groups, most
    sampled = _sampled(others, n)
    joint = (np.arange(n)[:, None].astype(float), np.full(n, 1.0 / n))
    parts, weights = _product([*(_rule(rules, group) for group in finite), joint])
    which = parts.pop()[:, 0].astype(int)
    of_group = {id(group): part for group, part in zip(finite, parts, strict=True)}
    of_group |= {id(g): part[which] for g, part in zip(others, sampled, strict=True)}
    return [of_group[id(group)] for group in groups], weights


def _rule(rules: dict[int, tuple[Array, Array] | None], group: _Group) -> tuple[Array, Array]:
    rule = rules[id(group)]
    assert rule is not None
    points, weights = rule
    return points.reshape(len(weights), -1), weights


def _n_gauss(others: list[_Group], n_finite: int) -> int:
    """How many Gauss nodes each continuous law gets; 0 if they are to be sampled."""
    if not 1 <= len(others) <= len(_N_GAUSS) or any(group.gauss is None for group in others):
        return 0
    fits = int((_MOST / n_finite) ** (1.0 / len(others)) + 1e-9)
    n = min(_N_GAUSS[len(others) - 1], fits)
    return n if n >= _FEWEST_GAUSS else 0


def _sampled(groups: list[_Group], n: int) -> list[Array]:
    """Coordinates (n, .) of every group at n quasi-Monte Carlo points."""
    engine = SobolEngine(len(groups))  # type: ignore[no-untyped-call]
    q = engine.draw(n, dtype=torch.float64).numpy() + 0.5 / n
    return [group.quantiles(q[:, j]) for j, group in enumerate(groups)]


def _product(rules: list[tuple[Array, Array]]) -> tuple[list[Array], Array]:
    """Points (K, .) of every rule in their product, and the products (K,) of the weights."""
    grids = np.meshgrid(*(np.arange(len(weights)) for _, weights in rules), indexing="ij")
    index = [grid.ravel() for grid in grids]
    weights = np.ones(len(index[0]))
    for (_, of_rule), at in zip(rules, index, strict=True):
        weights = weights * of_rule[at]
    return [points[at] for (points, _), at in zip(rules, index, strict=True)], weights


def _target(
    nodes: Array,
    weights: Array,
    level: float | None = None,
    laws: tuple[ClosedForm | None, ...] = (),
) -> Target:
    return Target(torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum()), level, laws)
