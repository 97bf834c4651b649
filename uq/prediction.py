"""What the learning points foretell: the variance a density would leave, before it is paid for.

Notation
--------
X_i, h      learning points and the mixture they were drawn from
T_ij        phi_j(X_i) f_j(X_i) / h(X_i), values weighted under h
g, r_i      a density that is considered, and g(X_i) / h(X_i)
w_j         weights of the quantities
p           full quadratic polynomials of z, or linear ones where points are few

    independent draws   sum_j w_j E_g[(phi_j f_j/g - I_j)^2]  = sum_j w_j E_h[r (T_j/r - I_j)^2]
    scrambled nets      sum_j w_j min_p E_h[r (T_j/r - p)^2]

Nets integrate the smooth part of what is averaged all but exactly; what a quadratic does not
explain stands for the rest. It compares densities, it does not tell the error to come.

A density is judged on points that it was not fitted on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uq.proposals import Density

Array = NDArray[np.float64]

_PARTS = 4
_POINTS_PER_TERM = 4


@dataclass(frozen=True)
class LearningPoints:
    """What has been learnt so far.

    Parameters
    ----------
    z
        (n, d) points.
    Y
        (n, J) values.
    log_f
        (n, L) log densities of the laws, L = 1 or J.
    log_h
        (n,) log density of the mixture that the points come from.
    """

    z: Array
    Y: Array
    log_f: Array
    log_h: Array

    @property
    def W(self) -> Array:
        """(n, L) likelihood ratios f / h."""
        return np.exp(self.log_f - self.log_h[:, None])

    @property
    def T(self) -> Array:
        """(n, J) weighted values."""
        return self.W * self.Y

    def rows(self, kept: NDArray[np.bool_]) -> "LearningPoints":
        """Some of the points."""
        return LearningPoints(self.z[kept], self.Y[kept], self.log_f[kept], self.log_h[kept])


def predicted_variance(
    points: LearningPoints,
    weights: Array,
    fit: Callable[[LearningPoints], Density],
    nets: bool,
) -> float:
    """sum_j w_j Var_j n of the density that `fit` makes, judged across parts of the points.

    Parameters
    ----------
    points
        Learning points.
    weights
        (J,) w.
    fit
        Makes the density from points.
    nets
        Whether scrambled nets or independent draws are meant.
    """
    part = np.arange(len(points.z)) % _PARTS
    T, W = points.T, points.W
    p = _polynomials(points.z) if nets else np.ones((len(points.z), 1))
    total = np.zeros(T.shape[1])
    for k in range(_PARTS):
        held_out, rest = part == k, part != k
        r = np.exp(fit(points.rows(rest)).log_density(points.z) - points.log_h)
        r = np.maximum(r, np.finfo(float).tiny)
        left = _left_over(p, T, r, held_out, rest)
        if W.shape[1] > 1:  # W differs from law to law: its own control variate is worth having
            mass = W[rest].mean(axis=0)
            centred = T - W * (T[rest].mean(axis=0) / np.where(mass > 0.0, mass, 1.0))
            left = np.minimum(left, _left_over(p, centred, r, held_out, rest))
        total += left
    asked = weights > 0.0  # what has no weight may be infinite
    return float(weights[asked] @ total[asked]) / len(points.z)


def _left_over(
    p: Array, T: Array, r: Array, held_out: NDArray[np.bool_], rest: NDArray[np.bool_]
) -> Array:
    """(J,) sum over the points held out of r (T/r - p)^2, p fitted on the rest."""
    root = np.sqrt(r)[:, None]
    A, B = p * root, T / root
    coefficients = np.linalg.lstsq(A[rest], B[rest], rcond=None)[0]
    with np.errstate(over="ignore"):  # where g is all but 0 the variance is infinite
        left: Array = np.square(B[held_out] - A[held_out] @ coefficients).sum(axis=0)
    return left


def _polynomials(z: Array) -> Array:
    """(n, k) one, z, and where the points are enough all products of two columns."""
    n, d = z.shape
    columns = [np.ones((n, 1)), z]
    if n >= _POINTS_PER_TERM * (d + 1) * (d + 2) // 2:
        first, second = np.triu_indices(d)
        columns.append(z[:, first] * z[:, second])
    elif n < _POINTS_PER_TERM * (d + 1):
        columns.pop()
    return np.concatenate(columns, axis=1)
