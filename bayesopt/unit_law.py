"""The law of one coordinate of the unit cube, and the nodes that stand for it.

Notation
--------
u           coordinate in [0, 1] of a value w of the parameter
F           distribution function of w, cut off at the ends of the range and renormalised
q           F(w), uniform on (0, 1)
z, p        (N,) many points of u and their weights, a fine quadrature in q
a, b        (n,), (n-1,) recurrence coefficients of the polynomials that are orthogonal under p
t, v        (n,) nodes and weights:    E[g(u)] = sum_k v_k g(t_k) for polynomials of degree < 2 n

    t are the eigenvalues of the Jacobi matrix (a on its diagonal, b beside it), v the squares of
    the first components of its eigenvectors                             Golub & Welsch (1969)
    a, b by Lanczos' iteration on z and p                              Gautschi (2004), Sec. 2.2.3
"""

import math
from dataclasses import dataclass

import numpy as np

from bayesopt.environment_law import ScipyLaw
from bayesopt.parameter import Array, Float, Int

_NEGLIGIBLE = 1e-6  # mass outside of the range that leaves a normal law a normal one
_N_PANELS = 40  # each half as long as the one before, towards either end
_N_PER_PANEL = 10


@dataclass(frozen=True)
class UnitNormal:
    """A normal law of a coordinate of the unit cube.

    Parameters
    ----------
    mean, sd
        Of the coordinate.
    """

    mean: float
    sd: float


@dataclass(frozen=True)
class UnitUniform:
    """A uniform law of a coordinate of the unit cube.

    Parameters
    ----------
    low, high
        Ends of the interval, inside [0, 1].
    """

    low: float
    high: float


ClosedForm = UnitNormal | UnitUniform


def closed_form(law: ScipyLaw, parameter: Float | Int) -> ClosedForm | None:
    """The normal or uniform law of the coordinate, None where it is neither.

    Parameters
    ----------
    law
        A law of scipy.stats; lognormal and log-uniform ones are normal and uniform on a Float
        with log=True.
    parameter
        Its range cuts the law off: a normal law that loses 1e-6 or more is not normal any more.
    """
    if not isinstance(parameter, Float) or law.is_discrete:
        return None
    given = law.parameters
    names = ("lognorm", ("loguniform", "reciprocal")) if parameter.log else ("norm", ("uniform",))
    if parameter.log and given["loc"] != 0.0:
        return None
    if law.name == names[0] and sum(law.outside(parameter)) < _NEGLIGIBLE:
        if parameter.log:
            mean, sd = math.log(given["scale"]), given["s"]
        else:
            mean, sd = given["loc"], given["scale"]
        low, high = (_warp(parameter, end) for end in (parameter.low, parameter.high))
        return UnitNormal((mean - low) / (high - low), sd / (high - low))
    if law.name in names[1]:
        low, high = law.frozen.support()
        return UnitUniform(parameter.to_unit(float(low)), parameter.to_unit(float(high)))
    return None


def quantiles(law: ScipyLaw, parameter: Float | Int, q: Array) -> Array:
    """Coordinates (n,) of the quantiles q (n,) of a law cut off at the ends of the range."""
    below, above = law.outside(parameter)
    kept = 1.0 - below - above
    is_low = q <= 0.5
    values = np.empty_like(q)
    values[is_low] = law.frozen.ppf(below + q[is_low] * kept)
    values[~is_low] = law.frozen.isf(above + (1.0 - q[~is_low]) * kept)
    inside = np.clip(values, parameter.low, parameter.high)
    if isinstance(parameter, Int):
        return parameter.to_units(np.rint(inside).astype(np.int64).tolist())
    return parameter.to_units(inside.tolist())


def gauss(law: ScipyLaw, parameter: Float, n: int) -> tuple[Array, Array]:
    """Nodes t and weights v (n,) of the coordinate, by the Gauss quadrature of its own law."""
    q, p = _graded_quadrature()
    z = quantiles(law, parameter, np.concatenate((q, 1.0 - q)))
    return gauss_of_points(z, np.concatenate((p, p)), n)


def gauss_of_points(z: Array, p: Array, n: int) -> tuple[Array, Array]:
    """Gauss quadrature of points z (N,) with weights p (N,): at most n nodes t and weights v.

    There are fewer where the points are nearly fewer.
    """
    a, b = [], []
    basis = [np.sqrt(p / p.sum())]
    for k in range(n):
        current = basis[-1]
        following = z * current
        a.append(float(current @ following))
        for _ in range(2):  # twice is enough to stay orthogonal
            for vector in basis:
                following = following - (vector @ following) * vector
        size = float(np.linalg.norm(following))
        if k == n - 1 or size < 1e-12:
            break
        b.append(size)
        basis.append(following / size)
    t, vectors = np.linalg.eigh(np.diag(a) + np.diag(b, 1) + np.diag(b, -1))
    return np.clip(t, 0.0, 1.0), vectors[0] ** 2


def _graded_quadrature() -> tuple[Array, Array]:
    """Points and weights (N,) on (0, 1/2), fine towards 0, where quantiles are steep."""
    nodes, weights = np.polynomial.legendre.leggauss(_N_PER_PANEL)
    ends = np.concatenate(([0.0], 0.5 ** np.arange(_N_PANELS, 0, -1)))
    lengths = np.diff(ends)[:, None]
    points = ends[:-1, None] + lengths * (1.0 + nodes) / 2.0
    return points.ravel(), (lengths * weights / 2.0).ravel()


def _warp(parameter: Float, value: float) -> float:
    return math.log(value) if parameter.log else value
