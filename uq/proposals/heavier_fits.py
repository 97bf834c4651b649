"""Gaussian mixtures and Student t densities fitted to weighted samples by EM.

Notation
--------
z, w_i      points (n, d) and weights >= 0 (n,)
r_ik        responsibility of component k for point i
a_k, g_k    share and density of component k
u_i         (nu + d) / (nu + delta_i), delta_i the squared distance of point i from the location

Both are expectation-maximisation (EM) on sum_i w_i log g(z_i). Starts, floors and choices are made
in units of the pooled covariance, so that a fit follows an affine change of the points.
"""

import numpy as np
from numpy.typing import NDArray

from uq.proposals.densities import Density, Mixture, StudentT, log_sum_exp
from uq.proposals.gaussian_fits import Covariance, TooFewWeighted, fit_gaussian, fit_gaussians

Array = NDArray[np.float64]

_RIDGE = 1e-9
_FLOOR = 1e-6  # least variance of a component, relative to the pooled one: no point is a peak
_DEGREES = (2.5, 4.0, 6.0, 10.0, 20.0, 50.0)
_MOST_COMPONENTS = 5
_STARTS = 2
_FOLDS = 3


def fit_student_t(
    z: Array,
    weights: Array,
    df: float | None = None,
    covariance: Covariance = "auto",
    ridge: float = _RIDGE,
) -> StudentT:
    """Fit a Student t to points (n, d) with weights (n,).

    Parameters
    ----------
    z, weights
        Points (n, d) and weights >= 0 (n,).
    df
        Degrees of freedom; None takes the most likely of a few between 2.5 and 50.
    covariance, ridge
        As in `fit_gaussians`.

    Raises
    ------
    TooFewWeighted
        If fewer than 2 effective points carry the weight.
    """
    start = fit_gaussian(z, weights, covariance, ridge)
    fits = [
        _student_t_of(z, weights, nu, StudentT(start.mean, start.covariance, nu), covariance, ridge)
        for nu in (_DEGREES if df is None else (df,))
    ]
    return max(fits, key=lambda fit: float(weights @ fit.log_density(z)))


def _student_t_of(
    z: Array, weights: Array, nu: float, fit: StudentT, covariance: Covariance, ridge: float
) -> StudentT:
    shares = weights / weights.sum()
    likelihood = -np.inf
    for _ in range(100):
        u = (nu + z.shape[1]) / (nu + fit.squared_distance(z))
        # Divided by sum w u, not by sum w: the fixed point is the same, and sooner reached.
        gaussian = fit_gaussian(z, shares * u, covariance, ridge)  # Kent, Tyler & Vardi (1994)
        fit = StudentT(gaussian.mean, gaussian.covariance, nu)
        improved = float(shares @ fit.log_density(z))
        if improved - likelihood < 1e-6:
            break
        likelihood = improved
    return fit


def fit_gaussian_mixture(
    z: Array,
    weights: Array,
    n_components: int | None = None,
    *,
    rng: np.random.Generator,
    covariance: Covariance = "auto",
    ridge: float = _RIDGE,
) -> Mixture:
    """Fit a mixture of Gaussians to points (n, d) with weights (n,).

    Parameters
    ----------
    z, weights
        Points (n, d) and weights >= 0 (n,).
    n_components
        Number of components to start with; None takes the number, at most 5, whose fits give
        held-out points the largest weighted likelihood.
    rng
        Draws the starts (k-means++, in units of the pooled covariance).
    covariance, ridge
        Of each component, as in `fit_gaussians`.

    Returns
    -------
    Mixture
        It may have fewer components than were asked for: those on too few points are dropped.

    Raises
    ------
    TooFewWeighted
        If fewer than 2 effective points carry the weight.
    """
    if n_components is None:
        n_components = _number_of_components(z, weights, rng, covariance, ridge)
    pooled = fit_gaussian(z, weights, covariance, ridge)
    if n_components == 1:
        return Mixture(np.ones(1), (pooled,))
    white = (z - pooled.mean) @ pooled.inverse_factor.T
    floor = _FLOOR * np.diagonal(pooled.covariance)
    fits = []
    for _ in range(_STARTS):
        start = _nearest_centre(white, weights, n_components, rng)
        fits.append(
            expectation_maximization(
                z, weights, start, covariance=covariance, ridge=ridge, absolute_ridge=floor
            )
        )
    return max(fits, key=lambda fit: float(weights @ fit.log_density(z)))


def expectation_maximization(
    z: Array,
    weights: Array,
    responsibilities: Array,
    *,
    covariance: Covariance,
    ridge: float,
    absolute_ridge: float | Array,
    least_effective: float = 2.0,
    tolerance: float = 1e-5,
    most_rounds: int = 200,
) -> Mixture:
    """EM from given responsibilities (n, K) until the likelihood gains less than `tolerance`.

    The tolerance is relative to the weighted mean of log g. Components whose weight lies on fewer
    than `least_effective` points are dropped.

    Raises
    ------
    TooFewWeighted
        If no component is left.
    """
    shares = weights / weights.sum()
    likelihood = -np.inf
    for _ in range(most_rounds):
        of_component = shares[:, None] * responsibilities
        while True:
            try:
                components = fit_gaussians(
                    z,
                    of_component,
                    covariance,
                    ridge,
                    absolute_ridge=absolute_ridge,
                    least_effective=least_effective,
                )
                break
            except TooFewWeighted as few:
                of_component = np.delete(of_component, few.columns, axis=1)
                if of_component.shape[1] == 0:
                    raise
        a = of_component.sum(axis=0)
        mixture = Mixture(a / a.sum(), tuple[Density, ...](components))
        log_parts = np.log(np.maximum(mixture.shares, 1e-300)) + mixture.component_log_densities(z)
        log_g = log_sum_exp(log_parts)
        improved = float(shares @ log_g)
        if improved - likelihood <= tolerance * abs(improved):
            break
        likelihood, responsibilities = improved, np.exp(log_parts - log_g[:, None])
    return mixture


def _nearest_centre(white: Array, weights: Array, k: int, rng: np.random.Generator) -> Array:
    """Responsibilities (n, k), 0 or 1, by the nearest of k centres drawn far from each other."""
    shares = weights / weights.sum()
    distance = np.full((len(white), k), np.inf)
    nearest = np.ones(len(white))
    for centre in range(k):
        probability = shares * nearest
        if not probability.sum() > 0.0:
            break
        drawn = white[rng.choice(len(white), p=probability / probability.sum())]
        distance[:, centre] = ((white - drawn) ** 2).sum(axis=1)
        nearest = distance.min(axis=1)
    responsibilities: Array = np.eye(k)[distance.argmin(axis=1)]
    return responsibilities


def _number_of_components(
    z: Array, weights: Array, rng: np.random.Generator, covariance: Covariance, ridge: float
) -> int:
    """The number from which one more component is no gain on points held out."""
    fold_of = rng.permutation(len(z)) % _FOLDS
    best, best_score = 1, -np.inf
    for k in range(1, _MOST_COMPONENTS + 1):
        score = 0.0
        for f in range(_FOLDS):
            held, rest = fold_of == f, fold_of != f
            try:
                fit = fit_gaussian_mixture(
                    z[rest], weights[rest], k, rng=rng, covariance=covariance, ridge=ridge
                )
            except TooFewWeighted:
                return best
            score += float(weights[held] @ fit.log_density(z[held]))
        if not score > best_score:
            break
        best, best_score = k, score
    return best
