"""Gaussians fitted to weighted samples: many columns of weights at once.

Notation
--------
z, w_ij     points (n, d) and weights >= 0 of point i for fit j, (n, J)
m_jf, C_jf  weighted mean and covariance of fit j on fold f, mass M_jf = sum_{i in f} w_ij
ESS_j       (sum_i w_ij)^2 / sum_i w_ij^2

The fit is the cross-entropy one: it maximises sum_i w_ij log g_j(z_i), so that

    mu_j = sum_i w_ij z_i / sum_i w_ij,   C_j = sum_i w_ij (z_i - mu_j)(z_i - mu_j)^T / sum_i w_ij

Between the full covariance and its diagonal lies (1 - s) C + s diag(C). "auto" takes the s whose
fit on all folds but one gives that fold the largest weighted log likelihood, which needs of a fold
nothing but its mass, mean and covariance.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from uq.proposals.densities import Gaussian

Array = NDArray[np.float64]
Covariance = Literal["full", "diagonal", "auto"]

_FOLDS = 4
_SHRINKAGES = np.array([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
_RIDGE = 1e-9
_LEAST_EIGENVALUE = 1e-12  # of a correlation matrix


class TooFewWeighted(ValueError):
    """Too few points carry the weight of a fit.

    Attributes
    ----------
    columns
        Columns of the weights that cannot be fitted.
    effective
        Effective sample sizes of all columns.
    """

    def __init__(self, columns: NDArray[np.intp], effective: Array) -> None:
        self.columns, self.effective = columns, effective
        worst = effective[columns]
        super().__init__(
            f"Too few points carry the weight of fit {columns.tolist()}: effective sample sizes "
            f"{np.round(worst, 2).tolist()}, and at least 2 are needed; take more points or "
            "flatten the weights."
        )


def weighted_moments(z: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted means (J, d) and covariances (J, d, d), divided by the sum of weights.

    A column of weights whose sum is zero has mean and covariance zero.
    """
    mass = weights.sum(axis=0)
    shares = weights / np.where(mass > 0.0, mass, 1.0)
    means = shares.T @ z
    covariances = np.empty((weights.shape[1], z.shape[1], z.shape[1]))
    for j in range(weights.shape[1]):  # centred one by one: sums of squares would cancel
        centred = z - means[j] if mass[j] > 0.0 else np.zeros_like(z)
        covariances[j] = (centred * shares[:, j, None]).T @ centred
    return means, covariances


def fit_gaussians(
    z: Array,
    weights: Array,
    covariance: Covariance = "auto",
    ridge: float = _RIDGE,
    *,
    absolute_ridge: float | Array = 0.0,
    least_effective: float = 2.0,
) -> list[Gaussian]:
    """Fit one Gaussian to the same points for every column of weights.

    Parameters
    ----------
    z, weights
        Points (n, d) and weights >= 0 (n, J); the scale of a column has no influence.
    covariance
        "full", "diagonal", or "auto": what gives held-out points the largest weighted likelihood.
        A full covariance of fewer than d + 2 effective points becomes diagonal.
    ridge
        Added to the diagonal, relative to the variance of each coordinate.
    absolute_ridge
        Added to the diagonal, number or (d,), in squared units of z.
    least_effective
        Effective sample size that a column must have.

    Raises
    ------
    TooFewWeighted
        If the weight of a column lies on fewer than `least_effective` points.
    """
    d = z.shape[1]
    largest = weights.max(axis=0, initial=0.0)
    weights = weights / np.where(largest > 0.0, largest, 1.0)
    effective = weights.sum(axis=0) ** 2 / np.maximum((weights**2).sum(axis=0), 1e-300)
    few = np.flatnonzero((effective < least_effective) | (largest == 0.0))
    if len(few) > 0:
        raise TooFewWeighted(few, effective)
    if covariance == "auto" and d > 1:
        means, covariances, shrinkage = _shrunk_moments(z, weights, ridge)
    else:
        means, covariances = weighted_moments(z, weights)
        shrinkage = np.full(weights.shape[1], 1.0 if covariance == "diagonal" else 0.0)
    shrinkage = np.where((effective < d + 2) & (least_effective > 0.0), 1.0, shrinkage)
    covariances = _shrunk(covariances, shrinkage, ridge)
    covariances += absolute_ridge * np.eye(d)
    return [Gaussian(*moments) for moments in zip(means, covariances, strict=True)]


def fit_gaussian(
    z: Array, weights: Array, covariance: Covariance = "auto", ridge: float = _RIDGE
) -> Gaussian:
    """Fit one Gaussian to points (n, d) with weights (n,), as `fit_gaussians` does."""
    return fit_gaussians(z, weights[:, None], covariance, ridge)[0]


def _shrunk(covariances: Array, shrinkage: Array, ridge: float) -> Array:
    """(1 - s) C + s diag(C) with the ridge on its diagonal, for stacks (..., d, d)."""
    diagonal = np.einsum("...aa->...a", covariances)
    shrunk: Array = (1.0 - shrinkage)[..., None, None] * covariances
    # A coordinate that does not vary at all gets a variance that only a division would notice.
    variance = np.maximum(diagonal, np.finfo(float).tiny / np.finfo(float).eps)
    np.einsum("...aa->...a", shrunk)[...] = variance * (1.0 + ridge)
    return shrunk


def _shrunk_moments(z: Array, weights: Array, ridge: float) -> tuple[Array, Array, Array]:
    """Moments of all points, and the shrinkage (J,) that held-out folds like best."""
    # A fixed order of its own: neighbours in a sequence of quasi-random points are no fold.
    fold_of = np.random.default_rng(0).permutation(len(z)) % _FOLDS
    moments = [weighted_moments(z[fold_of == f], weights[fold_of == f]) for f in range(_FOLDS)]
    mass = np.stack([weights[fold_of == f].sum(axis=0) for f in range(_FOLDS)])
    means = np.stack([mean for mean, _ in moments])
    covariances = np.stack([covariance for _, covariance in moments])
    score = np.zeros((weights.shape[1], len(_SHRINKAGES)))
    for held in range(_FOLDS):
        rest = [f for f in range(_FOLDS) if f != held]
        mean, covariance = _pooled(mass[rest], means[rest], covariances[rest])
        usable = mass[rest].sum(axis=0) > 0.0
        off = means[held] - mean
        around = covariances[held] + off[:, :, None] * off[:, None, :]
        shrinkages = np.broadcast_to(_SHRINKAGES, score.shape)
        candidates = _shrunk(covariance[:, None], shrinkages, ridge)
        # In units of the standard deviations, so that no scale of a coordinate is singular.
        sd = np.sqrt(np.einsum("jkaa->jka", candidates))
        scaled = candidates / (sd[..., :, None] * sd[..., None, :])
        target = around[:, None] / (sd[..., :, None] * sd[..., None, :])
        eigenvalues, axes = np.linalg.eigh(scaled)
        eigenvalues = np.maximum(eigenvalues, _LEAST_EIGENVALUE)
        along = np.einsum("jkab,jkac,jkcb->jkb", axes, target, axes)
        loss = 2.0 * np.log(sd).sum(axis=-1)
        loss += (np.log(eigenvalues) + along / eigenvalues).sum(axis=-1)
        score -= np.where(usable[:, None], mass[held][:, None] * loss, 0.0)
    mean, covariance = _pooled(mass, means, covariances)
    return mean, covariance, _SHRINKAGES[np.argmax(score, axis=1)]


def _pooled(mass: Array, means: Array, covariances: Array) -> tuple[Array, Array]:
    """Moments (J, d), (J, d, d) of several folds together."""
    total = mass.sum(axis=0)
    share = mass / np.where(total > 0.0, total, 1.0)
    mean = np.einsum("fj,fja->ja", share, means)
    off = means - mean
    spread = covariances + off[..., :, None] * off[..., None, :]
    return mean, np.einsum("fj,fjab->jab", share, spread)
