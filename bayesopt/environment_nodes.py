"""Nodes and weights that stand for the laws of an environment.

Notation
--------
c       number of random columns
K       number of nodes, at most 128

A finite law has its values as nodes. Continuous laws, one or two of them, have the nodes of their
own Gauss quadratures, 12 and 10 each, fewer beside finite laws; independent laws multiply. More
continuous laws, and those under CVaR, whose integrand has a kink, have quasi-Monte Carlo nodes of
equal weights: Sobol' points in the quantiles, moved by half a step so that each coordinate alone
has the midpoints of equal shares. So have finite laws where their product would be too large.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.quasirandom import SobolEngine

from bayesopt.environment import Environment, parameters_of
from bayesopt.environment_law import FiniteLaw, Law, ScipyLaw
from bayesopt.parameter import Array, Float, Int, Parameter
from bayesopt.space import Space
from bayesopt.unit_law import ClosedForm, closed_form, gauss, quantiles

_MOST = 128
_N_GAUSS = (12, 10)  # nodes for one and for two continuous laws
_FEWEST_GAUSS = 5
_N_FOR_MEAN = 128
_N_FOR_TAIL = 64  # fewer, as the weights of a tail come from joint samples over all nodes
_FEWEST_SAMPLED = 8


@dataclass(frozen=True)
class _Rule:
    """Points (n, .) of some columns, and their weights (n,)."""

    columns: list[int]
    points: Array
    weights: Array


@dataclass(frozen=True)
class _Source:
    """Columns under one law, and how its nodes come about.

    Parameters
    ----------
    columns
        Positions among the random columns.
    quantiles
        Maps q (n,) to points (n, .).
    exact
        All the values, if they are few.
    gauss
        Maps n to the points (n,) and weights of a Gauss quadrature, for a continuous law.
    closed
        The law, if it is normal or uniform.
    """

    columns: list[int]
    quantiles: Callable[[Array], Array]
    exact: _Rule | None = None
    gauss: Callable[[int], tuple[Array, Array]] | None = None
    closed: ClosedForm | None = None


def nodes_of(
    space: Space, environment: Environment
) -> tuple[Array, Array, tuple[ClosedForm | None, ...]]:
    """Nodes (K, c) in the unit cube, weights (K,) and the law of each column in closed form.

    Parameters
    ----------
    space
        Its random parameters are those of the environment, checked before.
    environment
        The laws, and the level of CVaR.
    """
    sources = [_source(space, names, law) for names, law in environment.laws.items()]
    sources.sort(key=lambda source: source.columns)  # the order of a dict means nothing
    rules = _rules(sources, environment.level)
    index = np.indices([len(rule.weights) for rule in rules]).reshape(len(rules), -1)
    weights = np.ones(index.shape[1])
    nodes = np.empty((len(weights), len(space.role_columns)))
    for rule, at in zip(rules, index, strict=True):
        nodes[:, rule.columns] = rule.points[at]
        weights *= rule.weights[at]
    closed = {source.columns[0]: source.closed for source in sources}
    return nodes, weights / weights.sum(), tuple(closed.get(j) for j in range(nodes.shape[1]))


def _rules(sources: list[_Source], level: float | None) -> list[_Rule]:
    """Rules of independent columns; the nodes are their product."""
    exact = [source.exact for source in sources if source.exact is not None]
    others = [source for source in sources if source.exact is None]
    n_exact = math.prod(len(rule.weights) for rule in exact)
    if n_exact <= _MOST:
        if not others:
            return exact
        if level is None and (rules := _gauss_rules(others, _MOST // n_exact)):
            return exact + rules
        most = _N_FOR_MEAN if level is None else _N_FOR_TAIL
        if (share := most // n_exact) >= _FEWEST_SAMPLED:
            return [*exact, _sampled(others, 2 ** int(math.log2(share)))]
    return [_sampled(sources, _MOST)]


def _gauss_rules(sources: list[_Source], most: int) -> list[_Rule]:
    """A Gauss quadrature of each, of at most so many nodes together; none where it does not fit."""
    if len(sources) > len(_N_GAUSS):
        return []
    n = min(_N_GAUSS[len(sources) - 1], int(most ** (1.0 / len(sources)) + 1e-9))
    rules = []
    for source in sources:
        if source.gauss is None or n < _FEWEST_GAUSS:
            return []
        points, weights = source.gauss(n)
        rules.append(_Rule(source.columns, points[:, None], weights))
    return rules


def _sampled(sources: list[_Source], n: int) -> _Rule:
    """Quasi-Monte Carlo points of all of them together, n a power of two."""
    engine = SobolEngine(len(sources))  # type: ignore[no-untyped-call]
    q = engine.draw(n, dtype=torch.float64).numpy() + 0.5 / n
    points = [source.quantiles(q[:, j]) for j, source in enumerate(sources)]
    columns = [column for source in sources for column in source.columns]
    return _Rule(columns, np.concatenate(points, axis=1), np.full(n, 1.0 / n))


def _source(space: Space, names: tuple[str, ...], law: Law) -> _Source:
    columns = [space.role_columns.index(space.names.index(name)) for name in names]
    parameters = parameters_of(space, names)
    if isinstance(law, FiniteLaw):
        return _finite(columns, parameters, law.on(names, parameters))
    (parameter,) = parameters
    assert isinstance(parameter, Float | Int)  # `Environment.check` has seen it
    if not law.is_discrete:
        assert isinstance(parameter, Float)
        rule, closed = partial(gauss, law, parameter), closed_form(law, parameter)
        return _Source(columns, _of_one(law, parameter), gauss=rule, closed=closed)
    atoms = law.atoms(parameter, _MOST)
    if atoms is None:
        return _Source(columns, _of_one(law, parameter))
    return _finite(columns, parameters, atoms.on(names, parameters))


def _of_one(law: ScipyLaw, parameter: Float | Int) -> Callable[[Array], Array]:
    return lambda q: quantiles(law, parameter, q)[:, None]


def _finite(columns: list[int], parameters: tuple[Parameter, ...], law: FiniteLaw) -> _Source:
    values = list(zip(*law.values, strict=True))
    units = np.stack([p.to_units(of_p) for p, of_p in zip(parameters, values, strict=True)], axis=1)
    weights = np.array(law.weights)
    units, weights = units[weights > 0.0], weights[weights > 0.0]
    ends = np.cumsum(weights)

    def of_share(q: Array) -> Array:
        return units[np.minimum(np.searchsorted(ends, q, side="right"), len(ends) - 1)]

    few = _Rule(columns, units, weights) if len(weights) <= _MOST else None
    return _Source(columns, of_share, exact=few)
