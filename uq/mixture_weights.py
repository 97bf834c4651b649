"""Shares of a mixture under which a weighted sum of variances is least.

Notation
--------
c_i         >= 0 (n,), the numerator at point i over the density that the point was drawn from
g_k         components (n, K) at the points,    g_a = sum_k a_k g_k
F(a)        (1/n) sum_i c_i / g_a(X_i), convex in a
d_k         -dF/da_k = (1/n) sum_i c_i g_k(X_i) / g_a(X_i)^2
lambda      max_k d_k over the free components

    minimise F(a) over the simplex        Demange-Chryst, Bachoc & Morio (2023), problem of Eq. (5)

With residuals phi_j f_j - b_j g_j the numerator is sum_j w_j (phi_j f_j - b_j g_j)^2, and F is the
criterion sum_j w_j n Var(I_j) up to what does not depend on a. At the optimum d_k = lambda where
a_k > 0 and d_k <= lambda elsewhere; from any a, F(a) - min F <= lambda - sum_k a_k d_k.
"""

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, nnls

Array = NDArray[np.float64]

_TOLERANCE = 1e-6
_ROUNDS = 60
_FLOOR = 1e-18
_LEAST_SHARE = 9e-12  # of the published solver


def objective(shares: Array, numerator: Array, densities: Array) -> tuple[float, Array]:
    """F(a) and its gradient (K,), for numerators (n,) and densities (n, K)."""
    g = densities @ shares
    over_g = numerator / g
    return float(over_g.mean()), -(densities.T @ (over_g / g)) / len(numerator)


def slsqp_weights(numerator: Array, densities: Array, start: Array) -> Array:
    """Minimise F as published: SLSQP, analytic gradient, shares in [9e-12, 1].

    Its tolerance is SciPy's, 1e-6 and absolute: the shares depend on the unit of the quantities,
    and where F is small they stay what they were. `mixture_weights` has no such defect.

    Parameters
    ----------
    numerator, densities
        c (n,) and g_k (n, K).
    start
        Shares (K,) to start from.

    Returns
    -------
    (K,) shares that sum to one.
    """
    counted = numerator > 0.0
    # Points without a numerator add nothing, and may lie where no component does.
    c, g = numerator[counted], densities[counted]
    scale = len(c) / max(len(numerator), 1)

    def criterion(shares: Array) -> tuple[float, Array]:
        value, gradient = objective(shares, c, g)
        return scale * value, scale * gradient

    if len(c) == 0:
        return start
    inside = np.clip(start, _LEAST_SHARE, 1.0)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        found = minimize(
            criterion,
            inside,
            jac=True,
            method="SLSQP",
            bounds=[(_LEAST_SHARE, 1.0)] * len(start),
            constraints={
                "type": "eq",
                "fun": lambda shares: shares.sum() - 1.0,
                "jac": np.ones_like,
            },
        )
    shares: Array = np.clip(found.x, _LEAST_SHARE, 1.0)
    if not np.isfinite(shares).all():
        shares = inside
    shares /= shares.sum()
    return shares


def mixture_weights(
    log_numerator: Array,
    log_densities: Array,
    minimum: ArrayLike = 0.0,
    fixed: Mapping[int, float] | None = None,
    start: Array | None = None,
) -> Array:
    """Minimise F to 1e-6 of its value, whatever the units.

    Newton steps on the simplex, each a non-negative least squares problem, after a few steps
    a_k <- a_k sqrt(d_k) / sum_l a_l sqrt(d_l), which never raise F.

    Parameters
    ----------
    log_numerator, log_densities
        log c (n,), -inf where there is nothing, and log g_k (n, K).
    minimum
        Least share of every component, number or (K,).
    fixed
        Shares that are given: component -> share.
    start
        Shares (K,) to start from; None starts from equal ones.

    Returns
    -------
    (K,) shares that sum to one.

    Raises
    ------
    ValueError
        If the bounds leave nothing to share, or a point with a numerator lies where every
        component is zero.
    """
    K = log_densities.shape[1]
    least, free = _bounds(K, minimum, fixed or {})
    left = 1.0 - float(least.sum())
    counted = np.isfinite(log_numerator)
    if not free.any() or left <= 0.0 or not counted.any():
        return least + left * free / max(int(free.sum()), 1)
    log_c, log_g = log_numerator[counted], log_densities[counted]
    largest = log_g.max(axis=1)
    if not np.isfinite(largest).all():
        raise ValueError("Some points lie where every component of the mixture is zero.")
    # Each row in its own unit: F is unchanged up to one factor.
    log_c = log_c - largest
    c = np.exp(log_c - log_c.max())
    g = np.exp(log_g - largest[:, None])
    # In these units a mixture below the floor has no share left for what is largest there.
    base, g = g @ least + _FLOOR, left * g[:, free]
    if start is None:
        inner = np.full(g.shape[1], 1.0 / g.shape[1])
    else:
        inner = np.maximum((start[free] - least[free]) / left, 1e-3 / g.shape[1])
        inner /= inner.sum()
    shares = least.copy()
    shares[free] += left * _minimise(c, g, base, inner)
    shares /= shares.sum()
    return shares


def _bounds(
    K: int, minimum: ArrayLike, fixed: Mapping[int, float]
) -> tuple[Array, NDArray[np.bool_]]:
    """Shares that are given away before the rest is shared, and who takes part in the rest."""
    least = np.broadcast_to(np.asarray(minimum, dtype=np.float64), (K,)).copy()
    free = np.ones(K, dtype=bool)
    for component, share in fixed.items():
        least[component], free[component] = share, False
    total = float(least.sum())
    if least.min() < 0.0 or total > 1.0 + 1e-12 or (not free.any() and total < 1.0 - 1e-12):
        raise ValueError(
            f"Least and fixed shares must be >= 0 and leave a mixture that sums to one, but they "
            f"are {least}, which sum to {total:.6g}."
        )
    return least, free


def _minimise(c: Array, g: Array, base: Array, s: Array) -> Array:
    """Minimise mean(c / (base + g s)) over the simplex."""

    def value(s: Array) -> float:
        return float((c / (base + g @ s)).mean())

    for _ in range(5):
        d = _slopes(c, g, base, s)
        s = s * np.sqrt(d)
        s /= s.sum()
    F = value(s)
    for _ in range(_ROUNDS):
        d = _slopes(c, g, base, s)
        if d.max() - float(s @ d) <= _TOLERANCE * F:
            break
        target = _newton_target(c, g, base, s, d)
        descent = float(d @ (target - s))
        step = 1.0
        while step > 1e-6 and not value(s + step * (target - s)) <= F - 1e-4 * step * descent:
            step /= 2.0
        if step > 1e-6 and descent > 0.0:
            s = s + step * (target - s)
        else:
            s = s * np.sqrt(d)
            s /= s.sum()
        F = value(s)
    return s


def _slopes(c: Array, g: Array, base: Array, s: Array) -> Array:
    mixed = base + g @ s
    slopes: Array = g.T @ (c / mixed**2) / len(c)
    return slopes


def _newton_target(c: Array, g: Array, base: Array, s: Array, d: Array) -> Array:
    """Minimiser over the simplex of the quadratic model of F at s.

    The model 1/2 t^T H t - (d + H s)^T t is 1/2 |R t - b|^2 with H = R^T R, R^T b = d + H s; the
    sum of t is one by a row of large weight.
    """
    scaled = g * np.sqrt(2.0 * c / ((base + g @ s) ** 3 * len(c)))[:, None]
    H = scaled.T @ scaled
    size = float(np.trace(H)) / len(d)
    H[np.diag_indices_from(H)] += 1e-10 * size
    R = np.linalg.cholesky(H).T
    b = np.linalg.solve(R.T, d + H @ s)
    heavy = 1e3 * np.sqrt(size * len(d))
    rows = np.vstack([R, np.full((1, len(d)), heavy)])
    try:
        target, _ = nnls(rows, np.append(b, heavy))
    except RuntimeError:  # it ran out of its own rounds
        return s
    total = float(target.sum())
    return target / total if total > 0.0 else s
