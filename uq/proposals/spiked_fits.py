"""Gaussian mixtures whose covariances are learnt only where the points tell them from a sphere.

Notation
--------
z, w_i      points (n, d) and weights >= 0 (n,)
n_eff       (sum w)^2 / sum w^2
C           weighted covariance, eigenvalues lambda_a, axes v_a
K           components of a mixture
gamma       d / n_eff
c           common variance of the bulk of the axes

In d dimensions the eigenvalues of the covariance of n_eff points of variance c spread over

    c (1 - sqrt(gamma))^2  to  c (1 + sqrt(gamma))^2               Marchenko & Pastur (1967)

Those between say nothing but c; the spikes outside are kept (Johnstone 2001):

    C_spiked = c I + sum_{a a spike} (lambda_a - c) v_a v_a^T                                 (1)

In standard normal space this is what a rare event does to a normal law: it changes few directions
and leaves, or shrinks alike, all others. Where gamma is small every eigenvalue is kept.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from uq.proposals.densities import Density, Gaussian, Mixture, log_sum_exp
from uq.proposals.gaussian_fits import TooFewWeighted, weighted_moments

Array = NDArray[np.float64]

_ALL_KEPT = 0.02  # gamma below which no eigenvalue is taken for noise
_SLACK_ABOVE = 0.05  # of the edges of the bulk, which hold for many dimensions
# Weights that differ spread the bulk farther; an axis that is kept too narrow costs the most.
_SLACK_BELOW = 0.3
_RIDGE = 1e-9  # least eigenvalue, of the mean of all
_ALIKE = 1e-6  # relative difference of eigenvalues that were made one
_LEAST_VARIANCE = 1e-6  # of a component in units of the pooled variance
_LEAST_EFFECTIVE = 4.0  # points of a component that is kept
_ROUNDS, _ROUNDS_OF_CHOICE = 40, 12  # of EM at most, at last and while K is chosen
_TOLERANCE = 2e-4  # of the log likelihood: a round that adds less is the last
_STARTS = 2
_ENOUGH = 900  # points that choose the number of components
_PARTS = 3  # of these, each held out once
_MORE = 1  # components more than the best so far that are tried, beside the next one


def fit_spiked_gaussian(z: Array, weights: Array) -> Gaussian:
    """One Gaussian with a spiked covariance.

    Parameters
    ----------
    z, weights
        Points (n, d) and weights >= 0 (n,).

    Raises
    ------
    TooFewWeighted
        When fewer than two effective points carry the weight.
    """
    effective = _effective(weights)
    if not effective >= 2.0:
        raise TooFewWeighted(np.array([0]), np.array([effective]))
    means, covariances = weighted_moments(z, weights[:, None])
    return Gaussian(means[0], _spiked(covariances, np.array([effective]), 0.0)[0])


def _spiked(covariances: Array, effective: Array, least_variance: float) -> Array:
    """(K, d, d) with the bulk of the eigenvalues of each made one, and a floor."""
    eigenvalues, axes = np.linalg.eigh(covariances)
    eigenvalues = np.maximum(eigenvalues, 0.0)
    d = covariances.shape[-1]
    for k, n in enumerate(effective):
        eigenvalues[k] = _without_noise(eigenvalues[k], d / n)
    floor = np.maximum(_RIDGE * eigenvalues.mean(axis=1), np.finfo(float).tiny)
    kept = np.maximum(eigenvalues, np.maximum(floor, least_variance)[:, None])
    spiked: Array = (axes * kept[:, None, :]) @ np.swapaxes(axes, 1, 2)
    return spiked


def _without_noise(eigenvalues: Array, gamma: float) -> Array:
    """Eigenvalues (d,), ascending, with those of the bulk replaced by their mean c."""
    if gamma < _ALL_KEPT:
        return eigenvalues
    high = (1.0 + np.sqrt(gamma)) ** 2 * (1.0 + _SLACK_ABOVE)
    low = max(1.0 - np.sqrt(gamma), 0.0) ** 2 * (1.0 - _SLACK_BELOW)
    c = float(np.median(eigenvalues)) if gamma < 1.0 else float(eigenvalues.mean())
    for _ in range(10):
        bulk = (eigenvalues >= c * low) & (eigenvalues <= c * high)
        if not bulk.any():
            return eigenvalues
        moved = float(eigenvalues[bulk].mean())
        if abs(moved - c) <= 1e-3 * c:
            break
        c = moved
    return np.where(bulk, c, eigenvalues)  # (1)


def fit_spiked_mixture(
    z: Array, weights: Array, rng: np.random.Generator, most_components: int = 8
) -> Mixture:
    """A mixture of Gaussians with spiked covariances, as many as points held out ask for.

    Parameters
    ----------
    z, weights
        Points (n, d) and weights >= 0 (n,).
    rng
        Draws the starts and the points that are held out.
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
    most = _number_of_components(z, weights, pooled, rng, most_components)
    return _fitted(z, weights, most, pooled, rng, _STARTS, _ROUNDS).mixture()


def _number_of_components(
    z: Array, weights: Array, pooled: Gaussian, rng: np.random.Generator, most_components: int
) -> int:
    """The K whose fits give points held out the largest weighted likelihood.

    Two more than the best so far are tried before it is taken; of many points some are enough.
    """
    rows = rng.permutation(len(z))[:_ENOUGH]
    parts = [rows[k::_PARTS] for k in range(_PARTS)]
    splits = [(np.setdiff1d(rows, part), part) for part in parts]
    best, best_score = 1, -np.inf
    for k in range(1, most_components + 1):
        score = 0.0
        for one, other in splits:
            try:
                fit = _fitted(z[one], weights[one], k, pooled, rng, 1, _ROUNDS_OF_CHOICE)
            except TooFewWeighted:
                score = -np.inf
                break
            score += float(weights[other] @ fit.log_density(z[other]))
        if score > best_score:
            best, best_score = k, score
        elif k > best + _MORE or not np.isfinite(score):
            break
    return best


@dataclass(frozen=True, eq=False)
class _Components:
    """Shares (K,), means (K, d) and covariances (K, d, d) as arrays: all steps of EM at once."""

    shares: Array
    means: Array
    covariances: Array
    likelihood: float = -np.inf

    def log_parts(self, z: Array) -> Array:
        """(n, K) log of share times density."""
        roots = np.linalg.cholesky(self.covariances)
        inverses = np.linalg.inv(roots)
        log_scale = np.log(self.shares) - np.log(np.einsum("kaa->ka", roots)).sum(axis=1)
        parts = np.empty((len(z), len(self.shares)))
        for k, inverse in enumerate(inverses):
            white = (z - self.means[k]) @ inverse.T
            parts[:, k] = log_scale[k] - 0.5 * np.einsum("na,na->n", white, white)
        parts -= 0.5 * z.shape[1] * math.log(2.0 * math.pi)
        return parts

    def log_density(self, z: Array) -> Array:
        """(n,)."""
        return log_sum_exp(self.log_parts(z))

    def mixture(self) -> Mixture:
        """The same as a density of the room."""
        parts = zip(self.means, self.covariances, strict=True)
        return Mixture(self.shares, tuple[Density, ...](Gaussian(m, C) for m, C in parts))


def _fitted(
    z: Array,
    weights: Array,
    k: int,
    pooled: Gaussian,
    rng: np.random.Generator,
    n_starts: int,
    rounds: int,
) -> _Components:
    """The most likely of a few EM fits of at most k components."""
    if k == 1:
        one = fit_spiked_gaussian(z, weights)
        return _Components(np.ones(1), one.mean[None], one.covariance[None])
    white = _along_spikes(z, pooled)
    least = _LEAST_VARIANCE * float(np.diagonal(pooled.covariance).min())
    fits = []
    for _ in range(n_starts):
        start = _nearest_centre(white, weights, k, rng)
        fits.append(_expectation_maximization(z, weights, start, least, rounds))
    return max(fits, key=lambda fit: fit.likelihood)


def _along_spikes(z: Array, pooled: Gaussian) -> Array:
    """White coordinates, of the spikes alone where there is a bulk: it tells no centres apart."""
    eigenvalues, axes = np.linalg.eigh(pooled.covariance)
    spikes = np.abs(eigenvalues / np.median(eigenvalues) - 1.0) > _ALIKE
    if not spikes.any() or spikes.sum() > len(spikes) // 2:
        spikes[:] = True
    white: Array = (z - pooled.mean) @ (axes[:, spikes] / np.sqrt(eigenvalues[spikes]))
    return white


def _expectation_maximization(
    z: Array, weights: Array, responsibilities: Array, least_variance: float, rounds: int
) -> _Components:
    """EM; components on too few points are dropped."""
    shares = weights / weights.sum()
    components = None
    for _ in range(rounds):
        parts = shares[:, None] * responsibilities
        effective = parts.sum(axis=0) ** 2 / np.maximum(np.square(parts).sum(axis=0), 1e-300)
        kept = effective >= _LEAST_EFFECTIVE
        if not kept.any():
            raise TooFewWeighted(np.arange(len(effective)), effective)
        a = parts[:, kept].sum(axis=0)
        means, covariances = weighted_moments(z, parts[:, kept])
        covariances = _spiked(covariances, effective[kept], least_variance)
        fitted = _Components(a / a.sum(), means, covariances)
        log_parts = fitted.log_parts(z)
        log_g = log_sum_exp(log_parts)
        likelihood = float(shares @ log_g)
        before = -np.inf if components is None else components.likelihood
        components = replace(fitted, likelihood=likelihood)
        if likelihood - before <= _TOLERANCE * abs(likelihood):
            break
        responsibilities = np.exp(log_parts - log_g[:, None])
    assert components is not None
    return components


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
    """n_eff."""
    largest = float(weights.max(initial=0.0))
    if not largest > 0.0:
        return 0.0
    scaled = weights / largest
    return float(scaled.sum() ** 2 / np.square(scaled).sum())
