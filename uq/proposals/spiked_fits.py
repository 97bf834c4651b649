"""Gaussian mixtures whose covariances are learnt only where the points tell them from a sphere.

Notation
--------
z, w_i      points (n, d) and weights >= 0 (n,)
n_eff       (sum w)^2 / sum w^2
C           weighted covariance, eigenvalues lambda_a, axes v_a
gamma       d / n_eff
c           common variance of the bulk of the axes

In d dimensions the eigenvalues of the covariance of n_eff points of variance c spread over

    c (1 - sqrt(gamma))^2  to  c (1 + sqrt(gamma))^2               Marchenko & Pastur (1967)

Those between say nothing but c; the spikes outside are kept (Johnstone 2001):

    C_spiked = c I + sum_{a a spike} (lambda_a - c) v_a v_a^T

In standard normal space this is what a rare event does to a normal law: it changes few directions
and leaves, or shrinks alike, all others. Where gamma is small every eigenvalue is kept.
"""

import numpy as np
from numpy.typing import NDArray

from uq.proposals.densities import Density, Gaussian, Mixture, log_sum_exp
from uq.proposals.gaussian_fits import TooFewWeighted, weighted_moments

Array = NDArray[np.float64]

_ALL_KEPT = 0.02  # gamma below which no eigenvalue is taken for noise
_SLACK = 0.05  # of the edges of the bulk, which hold for many dimensions
_RIDGE = 1e-9
_LEAST_VARIANCE = 1e-6  # of a component in units of the pooled variance
_LEAST_EFFECTIVE = 8.0
_ROUNDS = 60
_TOLERANCE = 1e-4
_STARTS = 2


def fit_spiked_gaussian(z: Array, weights: Array, least_variance: float = 0.0) -> Gaussian:
    """One Gaussian with a spiked covariance.

    Parameters
    ----------
    z, weights
        Points (n, d) and weights >= 0 (n,).
    least_variance
        Of every direction.

    Raises
    ------
    TooFewWeighted
        When fewer than two effective points carry the weight.
    """
    effective = _effective(weights)
    if not effective >= 2.0:
        raise TooFewWeighted(np.array([0]), np.array([effective]))
    means, covariances = weighted_moments(z, weights[:, None])
    eigenvalues, axes = np.linalg.eigh(covariances[0])
    eigenvalues = _without_noise(np.maximum(eigenvalues, 0.0), len(eigenvalues) / effective)
    least = max(least_variance, _RIDGE * float(eigenvalues.mean()), np.finfo(float).tiny)
    kept = np.maximum(eigenvalues, least)
    return Gaussian(means[0], (axes * kept) @ axes.T)


def _without_noise(eigenvalues: Array, gamma: float) -> Array:
    """Eigenvalues (d,), ascending, with those of the bulk replaced by their mean c."""
    if gamma < _ALL_KEPT:
        return eigenvalues
    high = (1.0 + np.sqrt(gamma)) ** 2 * (1.0 + _SLACK)
    low = max(1.0 - np.sqrt(gamma), 0.0) ** 2 * (1.0 - _SLACK)
    c = float(np.median(eigenvalues)) if gamma < 1.0 else float(eigenvalues.mean())
    for _ in range(10):
        bulk = (eigenvalues >= c * low) & (eigenvalues <= c * high)
        if not bulk.any():
            return eigenvalues
        moved = float(eigenvalues[bulk].mean())
        if abs(moved - c) <= 1e-3 * c:
            break
        c = moved
    return np.where(bulk, c, eigenvalues)


def fit_spiked_mixture(
    z: Array, weights: Array, rng: np.random.Generator, most_components: int = 8
) -> Mixture:
    """A mixture of Gaussians with spiked covariances, as many as points held out ask for.

    Parameters
    ----------
    z, weights
        Points (n, d) and weights >= 0 (n,).
    rng
        Draws the starts and the halves that are held out.
    most_components
        Largest number K.

    Raises
    ------
    TooFewWeighted
        When fewer than two effective points carry the weight.
    """
    carried = weights > 0.0
    z, weights = z[carried], weights[carried]
    pooled = fit_spiked_gaussian(z, weights)
    half = rng.permutation(len(z)) % 2 == 0
    best, best_score = 1, -np.inf
    for k in range(1, most_components + 1):
        score = 0.0
        for rest in (half, ~half):
            try:
                fit = _fitted(z[rest], weights[rest], k, pooled, rng)
            except TooFewWeighted:
                score = -np.inf
                break
            score += float(weights[~rest] @ fit.log_density(z[~rest]))
        if score > best_score:
            best, best_score = k, score
        elif k > best + 1 or not np.isfinite(score):
            break
    return _fitted(z, weights, best, pooled, rng)


def _fitted(z: Array, weights: Array, k: int, pooled: Gaussian, rng: np.random.Generator) -> Mixture:
    """The more likely of a few EM fits of at most k components."""
    if k == 1:
        return Mixture(np.ones(1), (fit_spiked_gaussian(z, weights),))
    white = (z - pooled.mean) @ pooled.inverse_factor.T
    least = _LEAST_VARIANCE * float(np.diagonal(pooled.covariance).min())
    fits = []
    for _ in range(_STARTS):
        start = _nearest_centre(white, weights, k, rng)
        fits.append(_expectation_maximization(z, weights, start, least))
    return max(fits, key=lambda fit: fit[0])[1]


def _expectation_maximization(
    z: Array, weights: Array, responsibilities: Array, least_variance: float
) -> tuple[float, Mixture]:
    """Weighted mean of log g and the mixture; components on too few points are dropped."""
    shares = weights / weights.sum()
    likelihood = -np.inf
    for _ in range(_ROUNDS):
        parts = shares[:, None] * responsibilities
        effective = np.array([_effective(part) for part in parts.T])
        kept = effective >= _LEAST_EFFECTIVE
        if not kept.any():
            raise TooFewWeighted(np.arange(len(effective)), effective)
        parts = parts[:, kept]
        components = [fit_spiked_gaussian(z, part, least_variance) for part in parts.T]
        a = parts.sum(axis=0)
        mixture = Mixture(a / a.sum(), tuple[Density, ...](components))
        log_parts = np.log(mixture.shares) + mixture.component_log_densities(z)
        log_g = log_sum_exp(log_parts)
        improved = float(shares @ log_g)
        if improved - likelihood <= _TOLERANCE * abs(improved):
            break
        likelihood, responsibilities = improved, np.exp(log_parts - log_g[:, None])
    return improved, mixture


def _nearest_centre(white: Array, weights: Array, k: int, rng: np.random.Generator) -> Array:
    """Responsibilities (n, k), 0 or 1, by the nearest of k centres drawn far from each other."""
    distance = np.full((len(white), k), np.inf)
    nearest = np.ones(len(white))
    for centre in range(k):
        chance = weights * nearest
        if not chance.sum() > 0.0:
            break
        drawn = white[rng.choice(len(white), p=chance / chance.sum())]
        distance[:, centre] = ((white - drawn) ** 2).sum(axis=1)
        nearest = distance.min(axis=1)
    responsibilities: Array = np.eye(k)[distance.argmin(axis=1)]
    return responsibilities


def _effective(weights: Array) -> float:
    largest = float(weights.max(initial=0.0))
    if not largest > 0.0:
        return 0.0
    scaled = weights / largest
    return float(scaled.sum() ** 2 / np.square(scaled).sum())
