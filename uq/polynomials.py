"""Orthonormal polynomials in many variables: which ones, their values, their expectations.

Notation
--------
n, d        points, columns
z           (n, d) unbounded coordinates, standard normal and independent under the reference law
u           Phi(z), uniform under the reference law
a           a multi-index: one degree for every column
K           multi-indices in a set
J           laws of which expectations are wanted
he_k, p_k   orthonormal polynomials of degree k: Hermite under N(0, 1), Legendre under U(0, 1)
psi_a(z)    prod_i he_{a_i}(z_i), for a bounded column p_{a_i}(u_i) in its place

    he_{k+1}(z) = (z he_k - sqrt(k) he_{k-1}) / sqrt(k + 1)     Abramowitz & Stegun (1964), 22.7.14
    p_{k+1}(u)  = ((2u - 1) p_k - b_k p_{k-1}) / b_{k+1},  b_k = k / sqrt(4 k^2 - 1)       22.7.10

both scaled to length one, so that no factorial appears and degree 40 stays finite at |z| = 40.

Sets are *downward closed*: a multi-index stands behind every one that is nowhere larger. So a
product is its parent (the last column's degree made zero) times one column, and the recursion of
the expectations always finds what it needs.
"""

import heapq
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from bayesopt.arguments import whole_number

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_ROWS_AT_ONCE = 1024  # of the products: a few columns of them stay in the fastest cache


def index_set(
    dimension: int,
    n_terms: int,
    max_degree: int = 40,
    norm: float = 0.75,
    weights: Sequence[float] | None = None,
) -> Indices:
    """First multi-indices in the order of the hyperbolic norm sum_i w_i a_i^norm.

    Ties go to the smaller total degree, then to the larger degree in the first column that differs.
    The set is downward closed, and the first k rows of a larger set are the smaller set.

    Parameters
    ----------
    dimension
        Columns d, at least one.
    n_terms
        Size K of the set.
    max_degree
        Largest total degree.
    norm
        Exponent; 1 orders by total degree, smaller ones prefer few columns at high degrees
        (Blatman & Sudret 2011, there with the root taken).
    weights
        (d,) positive w; a column of larger weight gets lower degrees. None: all 1.

    Returns
    -------
    indices
        (K, d) degrees; the first row is zero.

    Raises
    ------
    ValueError
        When there are fewer than `n_terms` multi-indices up to `max_degree`, or an argument is
        out of range.
    """
    d = whole_number(dimension, "dimension", 1)
    wanted = whole_number(n_terms, "n_terms", 1)
    top = whole_number(max_degree, "max_degree", 0)
    if not (math.isfinite(norm) and norm > 0):
        raise ValueError(f"`norm` must be a positive exponent, but got {norm!r}.")
    if wanted > math.comb(d + top, d):
        raise ValueError(
            f"`n_terms` is {wanted}, but {d} columns have {math.comb(d + top, d)} polynomials up "
            f"to degree {top}; ask for fewer terms or raise `max_degree`."
        )
    columns, powers = _powers(d, top, norm, weights)
    terms: list[tuple[int, ...]] = []
    queue = [_queued((0,) * d, powers)]
    while len(terms) < wanted:
        a = tuple(-degree for degree in heapq.heappop(queue)[2])
        terms.append(a)
        for successor in _successors(a):
            if sum(successor) <= top:
                heapq.heappush(queue, _queued(successor, powers))
    indices = np.empty((wanted, d), dtype=np.int64)
    indices[:, columns] = terms
    return indices


def _powers(
    d: int, top: int, norm: float, weights: Sequence[float] | None
) -> tuple[NDArray[np.intp], list[list[float]]]:
    """Columns by increasing weight, and w_i k^norm of each: no successor comes too late then."""
    w = np.ones(d) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != (d,) or not (np.isfinite(w).all() and (w > 0.0).all()):
        raise ValueError(f"`weights` must be {d} positive numbers, but got {weights!r}.")
    columns = np.argsort(w, kind="stable")
    return columns, [[float(w[i]) * float(k) ** norm for k in range(top + 1)] for i in columns]


def _queued(a: tuple[int, ...], powers: list[list[float]]) -> tuple[float, int, tuple[int, ...]]:
    """Place of `a` in the order; rounded, since a sum depends on the order of its terms."""
    size = sum(power[k] for power, k in zip(powers, a, strict=True))
    return round(size, 9), sum(a), tuple(-k for k in a)


def _successors(a: tuple[int, ...]) -> list[tuple[int, ...]]:
    """At most three multi-indices later in the order; everyone but zero follows exactly one."""
    last = max((i for i, degree in enumerate(a) if degree), default=-1)
    following = last + 1
    raised = [a[:last] + (a[last] + 1,) + a[following:]] if last >= 0 else []
    if following == len(a):
        return raised
    rest = a[following + 1 :]
    widened = a[:following] + (1,) + rest
    moved = [a[:last] + (0, 1) + rest] if last >= 0 and a[last] == 1 else []
    return [*raised, widened, *moved]


def one_dimensional(x: Array, degree: int, bounded: bool) -> Array:
    """Orthonormal polynomials of one column, all degrees up to `degree`.

    Parameters
    ----------
    x
        Unbounded coordinates, any shape.
    degree
        Largest degree.
    bounded
        Legendre polynomials of Phi(x) in the place of Hermite polynomials of x.

    Returns
    -------
    values
        (degree + 1, ...) one row for every degree, in the shape of `x`.
    """
    values = np.ones((degree + 1, *x.shape))
    if bounded:
        x = np.asarray(erf(x / math.sqrt(2.0)))  # 2 Phi(x) - 1
        b = [0.0, *(k / math.sqrt(4.0 * k * k - 1.0) for k in range(1, degree + 1))]
    else:
        b = [math.sqrt(k) for k in range(degree + 1)]
    for k in range(degree):
        values[k + 1] = x * values[k]
        if k > 0:
            values[k + 1] -= b[k] * values[k - 1]
        values[k + 1] /= b[k + 1]
    return values


def basis(z: Array, indices: Indices, bounded: NDArray[np.bool_]) -> Array:
    """Values of the orthonormal products at points.

    Parameters
    ----------
    z
        (n, d) unbounded coordinates.
    indices
        (K, d) downward closed set, smaller multi-indices first, as `index_set` gives it.
    bounded
        (d,) columns with Legendre polynomials of Phi(z).

    Returns
    -------
    psi
        (n, K) values, each column contiguous.

    Raises
    ------
    ValueError
        When a parent is missing or comes later, or shapes do not fit.
    """
    check_shapes(z, indices, bounded)
    parents, columns = _parents(indices)
    degrees = indices.max(axis=0)
    psi = np.ones((len(indices), len(z)))
    for start in range(0, len(z), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        powers = [
            one_dimensional(z[rows, i], degrees[i], bool(bounded[i])) for i in range(z.shape[1])
        ]
        block = psi[:, rows]
        for k in range(1, len(indices)):
            i = columns[k]
            np.multiply(block[parents[k]], powers[i][indices[k, i]], out=block[k])
    return psi.T


def check_shapes(z: Array, indices: Indices, bounded: NDArray[np.bool_]) -> None:
    """Raise ValueError unless points, multi-indices and the kinds of columns fit together."""
    if z.ndim != 2 or indices.ndim != 2 or indices.shape[1] != z.shape[1] or not len(indices):
        raise ValueError(
            f"Points (n, d) and multi-indices (K, d) must have the same columns, but got the "
            f"shapes {z.shape} and {indices.shape}."
        )
    if bounded.shape != z.shape[1:]:
        raise ValueError(
            f"`bounded` must have one entry for each of the {z.shape[1]} columns, but got the "
            f"shape {bounded.shape}."
        )


def _parents(indices: Indices) -> tuple[list[int], list[int]]:
    """Rows that lack only the last column's degree, and that column; rows before their children."""
    position = _positions(indices)
    parents, columns = [0], [0]
    for a in list(position)[1:]:
        last = max(i for i, degree in enumerate(a) if degree)
        parents.append(_row(position, a[:last] + (0,) * (len(a) - last), a))
        columns.append(last)
    return parents, columns


def _positions(indices: Indices) -> dict[tuple[int, ...], int]:
    position = {tuple(a): k for k, a in enumerate(indices.tolist())}
    if len(position) < len(indices) or indices.min() < 0 or indices[0].any():
        raise ValueError(
            "The multi-indices must be different, not negative and begin with zero; "
            "`index_set` makes such a set."
        )
    return position


def _row(
    position: dict[tuple[int, ...], int], a: tuple[int, ...], needed_by: tuple[int, ...]
) -> int:
    """Row of `a`, which must stand before the row of `needed_by`."""
    if position.get(a, math.inf) >= position[needed_by]:
        raise ValueError(
            f"The multi-indices are not downward closed: {needed_by} needs {a} before it; "
            "`index_set` makes such a set."
        )
    return position[a]


def gaussian_expectations(indices: Indices, mean: Array, covariance: Array) -> Array:
    """Exact expectations of Hermite products under normal laws of z.

    With he_{k+1} as above and E[(z_k - m_k) g(z)] = sum_l C_kl E[dg/dz_l] (Stein 1981, Lemma 2),

        M_{a+e_k} sqrt(a_k + 1) = m_k M_a + sum_l (C_kl - delta_kl) sqrt(a_l) M_{a-e_l},   M_0 = 1.

    Parameters
    ----------
    indices
        (K, d) downward closed set, smaller multi-indices first.
    mean
        (d,) means m, or (J, d) for J laws.
    covariance
        (d, d) covariances C, or (J, d, d).

    Returns
    -------
    expectations
        (K,) or (J, K). Under N(0, I) they are (1, 0, ..., 0).

    Raises
    ------
    ValueError
        When the set is not downward closed, or shapes do not fit.
    """
    d = indices.shape[1]
    if mean.shape[-1:] != (d,) or mean.ndim > 2 or covariance.shape != (*mean.shape, d):
        raise ValueError(
            f"Laws of {d} columns have means ({d},) and covariances ({d}, {d}), or (J, {d}) and "
            f"(J, {d}, {d}), but got the shapes {mean.shape} and {covariance.shape}."
        )
    m = np.ascontiguousarray(np.atleast_2d(mean).T)
    excess = np.atleast_3d(covariance.T if covariance.ndim == 3 else covariance)
    excess = excess - np.eye(d)[:, :, None]
    position = _positions(indices)
    M = np.ones((len(indices), m.shape[1]))
    for a in list(position)[1:]:
        k = max(i for i, degree in enumerate(a) if degree)
        lower = _lowered(a, k)
        total = m[k] * M[_row(position, lower, a)]
        for i, degree in enumerate(lower):
            if degree:
                lowest = M[_row(position, _lowered(lower, i), a)]
                total += excess[k, i] * (math.sqrt(degree) * lowest)
        M[position[a]] = total / math.sqrt(a[k])
    return M.T if mean.ndim == 2 else M[:, 0]


def _lowered(a: tuple[int, ...], i: int) -> tuple[int, ...]:
    return (*a[:i], a[i] - 1, *a[i + 1 :])


def product_expectations(
    indices: Indices,
    nodes: Sequence[Array],
    weights: Sequence[Array],
    bounded: NDArray[np.bool_],
) -> Array:
    """Expectations of the products under laws with independent columns, by quadrature.

    Parameters
    ----------
    indices
        (K, d) multi-indices, in any order.
    nodes
        For every column the nodes of a rule in the coordinate z, (Q,), or (J, Q) for J laws. A rule
        with Q nodes of Gauss is exact for a column's law up to degree 2 Q - 1.
    weights
        For every column its weights, in the shape of its nodes; they sum to one.
    bounded
        (d,) columns with Legendre polynomials of Phi(z).

    Returns
    -------
    expectations
        (K,), or (J, K) where a column has rules for J laws.

    Raises
    ------
    ValueError
        When there is not one rule for every column, or shapes do not fit.
    """
    d = indices.shape[1]
    if not len(nodes) == len(weights) == len(bounded) == d:
        raise ValueError(
            f"{d} columns need as many rules, but got {len(nodes)} of nodes and {len(weights)} of "
            f"weights, and {len(bounded)} kinds of columns."
        )
    expectations: Array = np.ones(len(indices))
    for i, (x, w) in enumerate(zip(nodes, weights, strict=True)):
        if x.shape != w.shape:
            raise ValueError(
                f"Nodes and weights of column {i} must have one shape, but have {x.shape} and "
                f"{w.shape}."
            )
        values = one_dimensional(x, int(indices[:, i].max()), bool(bounded[i]))
        column = np.einsum("k...q,...q->...k", values, w)
        expectations = expectations * column[..., indices[:, i]]
    return expectations
