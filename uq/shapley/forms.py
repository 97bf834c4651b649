"""What Shapley effects, first and total indices are of a polynomial: quadratic forms, exactly.

Notation
--------
d           inputs
h           sum_a c_a psi_a, orthonormal products of independent standard normal variables z
y           L z, normal scores of the inputs, R = L L'
v           a set of inputs;  P_v projects z on the span of the rows v of L
M_v         (K, K) Var E[h | X_v] = c' M_v c

    M_v[a, b] = E psi_a(z) psi_b(z*),    z* = P_v z + (1 - P_v) z',    z' independent of z
    exp(s' P_v t) = sum_ab s^a t^b M_v[a, b] / sqrt(a! b!)                                       (1)
    sqrt(a_i) M_v[a, b] = sum_j P_v[i, j] sqrt(b_j) M_v[a - 1_i, b - 1_j]                        (2)

    Shapley effect i        sum over v without i of |v|! (d - |v| - 1)! / d! (M_(v + i) - M_v)   (3)
    first order i           M_i
    total order i           1 - M_(all but i)

Eq. (1) is the product of the generating functions of Hermite polynomials, and Eq. (2) its
derivative by s_i. Degrees do not mix, so that the forms of polynomials of complete degrees stay in
their span. For independent inputs M_v is 1 where all inputs of a = b are in v, and the share in
Eq. (3) of a multi-index is one over the number of its inputs (Owen 2014).

No polynomial has a higher degree than the points reach: a larger one had smaller residuals in
trials, but its squares beyond the points were too large, and so were its effects.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from uq.inputs import Inputs
from uq.polynomial_fits import complete_fit, polynomial_fit
from uq.polynomials import Indices
from uq.variance_parts import Parts, Shares, parts_of

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

MOST_DEPENDENT = 10
"""Dependent inputs whose 2^d sets are worth going through."""
_NUMBERS = 1 << 22  # of the matrices made at once


def polynomial_corrections(
    z: Array, Y: Array, W: Array, folds: Labels, inputs: Inputs
) -> list[Parts] | None:
    """Polynomials of each output with all forms of Eq. (3), first and total order.

    Parameters
    ----------
    z
        (n, d + 1, d) independent standard normal variables behind the points.
    Y
        (n, d + 1, J) outputs, of mean 0 and variance 1 or so.
    W
        (n, d + 1) weights of the points.
    folds
        (n,) labels; the rows of a fold stand together.
    inputs
        Their law.

    Returns
    -------
    parts
        Targets in the order of Eq. (3), first, total, d each; None where runs are too few, or
        dependent inputs too many.
    """
    if inputs.is_independent:
        bounded = np.array([law.bounded for law in inputs.marginals])
        fit = polynomial_fit(z, Y, W, folds, bounded, beyond=0)
        return parts_of(fit, z, Y, W, folds, independent_forms(fit.index)) if fit else None
    if inputs.dimension > MOST_DEPENDENT:
        return None
    fit = complete_fit(z, Y, W, folds)
    if fit is None:
        return None
    return parts_of(fit, z, Y, W, folds, GaussianForms(fit.index, inputs.correlation))


class GaussianForms:
    """Forms of Eq. (3), first and total order, for polynomials of complete degrees.

    Parameters
    ----------
    indices
        (K, d) multi-indices, all of each total degree, by degree.
    correlation
        (d, d) R.
    """

    def __init__(self, indices: Indices, correlation: Array) -> None:
        self._blocks = _degrees(indices)
        d = len(correlation)
        self.n_targets = 3 * d
        sets = np.arange(1 << d)[:, None] >> np.arange(d) & 1 == 1  # (2^d, d)
        weights = _weights(sets)
        sizes = [len(rows) for rows in self._blocks]
        self._matrices = [np.zeros((k, k, 3 * d + 1)) for k in sizes]
        step = max(1, _NUMBERS // max(sizes) ** 2)
        for start in range(0, len(sets), step):
            some = slice(start, start + step)
            self._add(indices, _projections(correlation, sets[some]), weights[some])
        for k, A in zip(sizes, self._matrices, strict=True):
            A[..., 2 * d :] += np.eye(k)[..., None]  # total orders, and the whole variance
        self._matrices[0][:] = 0.0

    def _add(self, indices: Indices, P: Array, weights: Array) -> None:
        M = np.ones((1, 1, len(weights)))
        for p in range(1, len(self._blocks)):
            M = _next_degree(indices, self._blocks[p - 1], self._blocks[p], M, P)
            self._matrices[p] += M @ weights

    def half_gradient(self, c: Array) -> Array:
        """(..., K, T + 1) A_t c, T = 3 d; see `variance_parts.Forms`."""
        halves = np.zeros((*c.shape, self.n_targets + 1))
        for rows, A in zip(self._blocks, self._matrices, strict=True):
            if rows[-1] < c.shape[-1]:
                halves[..., rows, :] = np.einsum("...l,klt->...kt", c[..., rows], A)
        return halves

    def paired(self, a: Array, b: Array) -> Array:
        """(m, T + 1) a' A_t b of coefficients (m, K)."""
        paired: Array = np.einsum("mk,mkt->mt", a, self.half_gradient(b))
        return paired


def independent_forms(indices: Indices) -> Shares:
    """The forms for independent inputs, any multi-indices (K, d)."""
    used = indices > 0
    count = used.sum(axis=1, keepdims=True)
    shares = used / np.maximum(count, 1)
    return Shares(np.hstack([shares, used & (count == 1), used, count > 0]).astype(np.float64))


def _degrees(indices: Indices) -> list[NDArray[np.intp]]:
    degree = indices.sum(axis=1)
    return [np.flatnonzero(degree == p) for p in range(int(degree.max()) + 1)]


def _weights(sets: NDArray[np.bool_]) -> Array:
    """(2^d, 3 d + 1) coefficients of M_v in the forms of all targets."""
    d = sets.shape[1]
    size = sets.sum(axis=1)
    factorial = [math.factorial(k) for k in range(d + 1)]
    share = np.array([factorial[k] * factorial[d - k - 1] / factorial[d] for k in range(d)] + [0.0])
    shapley = np.where(sets, share[size - 1][:, None], -share[size][:, None])  # (3)
    first = sets & (size == 1)[:, None]
    total = np.where(~sets & (size == d - 1)[:, None], -1.0, 0.0)
    return np.hstack([shapley, first, total, np.zeros((len(sets), 1))])


def _projections(correlation: Array, sets: NDArray[np.bool_]) -> Array:
    """(d, d, 2^d) P_v."""
    d = len(correlation)
    root = np.linalg.cholesky(correlation)
    P = np.zeros((d, d, len(sets)))
    for k, v in enumerate(sets):
        if v.any():
            span = solve_triangular(
                np.linalg.cholesky(correlation[np.ix_(v, v)]), root[v], lower=True
            )
            P[..., k] = span.T @ span
    return P


def _next_degree(
    indices: Indices,
    below: NDArray[np.intp],
    rows: NDArray[np.intp],
    M: Array,
    P: Array,
) -> Array:
    """(K_p, K_p, 2^d) Eq. (2) for the multi-indices of one degree from those of the one below."""
    d = indices.shape[1]
    place = {tuple(a): k for k, a in enumerate(indices[below].tolist())}
    lowered = np.full((len(rows), d), -1)
    for k, a in enumerate(indices[rows].tolist()):
        for j in range(d):
            if a[j]:
                lowered[k, j] = place[tuple(a[:j] + [a[j] - 1] + a[j + 1 :])]
    result = np.zeros((len(rows), len(rows), M.shape[2]))
    roots = np.sqrt(indices[rows])
    columns = [np.flatnonzero(lowered[:, j] >= 0) for j in range(d)]
    for k in range(len(rows)):
        i = int(np.argmax(lowered[k] >= 0))
        lower = M[lowered[k, i]]
        for j, at in enumerate(columns):
            result[k, at] += roots[at, j, None] * P[i, j] * lower[lowered[at, j]]  # (2)
        result[k] /= roots[k, i]
    return result
