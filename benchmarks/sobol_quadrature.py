"""Sobol' indices of a model of independent inputs by tensor products of Gauss rules.

Notation
--------
f           model, (n, d) -> (n,)
x_i, w_i    nodes and weights of the rule of input i, the weights sum to 1
V           Var f(X)
S_i         Var E[f | X_i] / V                                  first order
T_i         E Var[f | X_j, j != i] / V                          total order

Where f is affine in x^p for an input, f^2 and the squares of all conditional means are of degree 2
in x^p: two nodes with the mean and the variance of x^p then give the indices without error.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Rule(NamedTuple):
    """Nodes (n,) and weights (n,) of the expectation over one input."""

    nodes: Array
    weights: Array


class Indices(NamedTuple):
    """Mean, variance, first-order indices (d,) and total-order indices (d,)."""

    mean: float
    variance: float
    first_order: Array
    total_order: Array


def uniform_rule(low: float, high: float, n: int) -> Rule:
    """Gauss-Legendre rule of the uniform law."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return Rule(low + (high - low) * (nodes + 1.0) / 2.0, weights / 2.0)


def normal_rule(mean: float, sd: float, n: int) -> Rule:
    """Gauss-Hermite rule of the normal law."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return Rule(mean + sd * nodes, weights / weights.sum())


def lognormal_rule(mu: float, sigma: float, n: int) -> Rule:
    """Gauss-Hermite rule of the law of exp(mu + sigma Z)."""
    nodes, weights = normal_rule(mu, sigma, n)
    return Rule(np.exp(nodes), weights)


def density_rule(log_density: Callable[[Array], Array], edges: Sequence[float], n: int) -> Rule:
    """Gauss-Legendre rule with `n` nodes between neighbouring edges, weighted by a density.

    The density may lack its constant. It is smooth between the edges and negligible beyond.
    """
    parts = [uniform_rule(low, high, n) for low, high in zip(edges, edges[1:], strict=False)]
    nodes = np.concatenate([part.nodes for part in parts])
    widths = np.repeat(np.diff(edges), n)
    weights = np.concatenate([part.weights for part in parts]) * widths * np.exp(log_density(nodes))
    return Rule(nodes, weights / weights.sum())


def affine_in_power(rule: Rule, power: float) -> Rule:
    """Two nodes that replace `rule` for a model affine in x^power."""
    powers = rule.nodes**power
    mean = rule.weights @ powers
    sd = np.sqrt(rule.weights @ (powers - mean) ** 2)
    return Rule(np.array([mean - sd, mean + sd]) ** (1.0 / power), np.array([0.5, 0.5]))


def indices_by_quadrature(func: Callable[[Array], Array], rules: Sequence[Rule]) -> Indices:
    """Indices of `func`, evaluated at all the combinations of the nodes."""
    weights = [rule.weights for rule in rules]
    mesh = np.meshgrid(*(rule.nodes for rule in rules), indexing="ij")
    shape = mesh[0].shape
    grid = np.stack([one.ravel() for one in mesh], axis=1)
    del mesh
    values = func(grid).reshape(shape)
    mean = float(_average(values, weights))
    values = values - mean
    variance = float(_average(values**2, weights))
    first, total = [], []
    for i, weight in enumerate(weights):
        first.append(weight @ _average(values, weights, keep=i) ** 2)
        centre = np.expand_dims(np.tensordot(values, weight, (i, 0)), i)
        total.append(_average((values - centre) ** 2, weights))
    return Indices(mean, variance, np.array(first) / variance, np.array(total) / variance)


def _average(values: Array, weights: Sequence[Array], keep: int | None = None) -> Array:
    """Mean over all axes, or over all but one."""
    for axis in reversed(range(len(weights))):
        if axis != keep:
            values = np.tensordot(values, weights[axis], (axis, 0))
    return values
