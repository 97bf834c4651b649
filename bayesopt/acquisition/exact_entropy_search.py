"""Both forms of entropy search on a finite set of points, by plain quadrature: a reference.

Notation
--------
f, mu, S    (M,) values on the set, their mean, their covariance (M, M)
i           the point that is observed,    y = f_i + noise of variance lambda
x*          the point of the set where f is largest
p_j         P(x* = j), which `probabilities` gives for a mean and a covariance
w_k, y_k    weights and nodes of a quadrature over y ~ N(mu_i, S_ii + lambda)

    f | y ~ N(mu + S_i (y - mu_i) / (S_ii + lambda), S - S_i S_i' / (S_ii + lambda))
    ES    = H(p) - sum_k w_k H(p | y_k)                                 Frazier (2018), Section 4.3
    PES   = H(y) - sum_j p_j H(y | x* = j),    p(y | x* = j) = p(y) P(x* = j | y) / p_j

They are the same mutual information, and agree if `probabilities` is exact. It is for two points
(`of_two_points`); for more there is a sample (`Sampled`), whose error both have alike.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, xlogy

from bayesopt.acquisition.normal_quadrature import gauss_hermite
from bayesopt.parameter import Array

Probabilities = Callable[[Array, Array], Array]
"""Maps means (K, M), and a covariance (M, M), to the probabilities (K, M) of being the best."""


def of_two_points(mean: Array, covariance: Array) -> Array:
    """Exact probabilities (K, 2)."""
    variance = covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1]
    gap = mean[:, 0] - mean[:, 1]
    z = gap / np.sqrt(variance) if variance > 0.0 else np.copysign(np.inf, gap)
    return np.stack((ndtr(z), ndtr(-z)), axis=1)


class Sampled:
    """Shares (K, M) of n samples in which each point is the best, from a fixed seed.

    Parameters
    ----------
    n
        Number of samples.
    seed
        Of the samples.
    """

    def __init__(self, n: int = 10_000, seed: int = 0) -> None:
        self.n, self.seed = n, seed

    def __call__(self, mean: Array, covariance: Array) -> Array:
        """Probabilities, by a root of the covariance that may be singular."""
        value, vector = np.linalg.eigh(covariance)
        root = vector * np.sqrt(np.maximum(value, 0.0)) @ vector.T
        f = np.random.default_rng(self.seed).standard_normal((self.n, len(root))) @ root
        best = [(f + of_one).argmax(1) for of_one in mean]
        return np.array([np.bincount(row, minlength=len(root)) / self.n for row in best])


def exact_entropy_search(
    mean: Array,
    covariance: Array,
    i: int,
    noise: float,
    probabilities: Probabilities,
    n_nodes: int = 64,
) -> float:
    """ES in nats: entropy of x* before less the expected one after observing point i.

    Parameters
    ----------
    mean, covariance
        (M,) and (M, M), of f.
    i
        Number of the point.
    noise
        Variance of the noise of the observation.
    probabilities
        `of_two_points` or a `Sampled`.
    n_nodes
        Number of nodes of the quadrature over y.
    """
    before = _entropy(probabilities(mean[None], covariance))
    _, w, after = _given_observations(mean, covariance, i, noise, probabilities, n_nodes)
    return float(before[0] - w @ _entropy(after))


def exact_predictive_entropy_search(
    mean: Array,
    covariance: Array,
    i: int,
    noise: float,
    probabilities: Probabilities,
    n_nodes: int = 64,
) -> float:
    """PES in nats: entropy of the observation less the mean one where x* is known.

    Parameters are those of `exact_entropy_search`.
    """
    p = probabilities(mean[None], covariance)[0]
    z, w, after = _given_observations(mean, covariance, i, noise, probabilities, n_nodes)
    log_density = -0.5 * z**2 - 0.5 * np.log(2.0 * np.pi * (covariance[i, i] + noise))
    # H(y | x* = j) = -E[r log(p(y) r)] with r = P(x* = j | y) / p_j and y ~ p(y)
    r = after / np.where(p > 0.0, p, 1.0)
    given = -(w @ (r * log_density[:, None] + xlogy(r, r)))
    return float(-(w @ log_density) - p @ given)


def _given_observations(
    mean: Array,
    covariance: Array,
    i: int,
    noise: float,
    probabilities: Probabilities,
    n_nodes: int,
) -> tuple[Array, Array, Array]:
    """Standardised y (K,), their weights (K,), and P(x* = j | y) (K, M)."""
    z, w = gauss_hermite(n_nodes)
    slope = covariance[i] / np.sqrt(covariance[i, i] + noise)
    after = probabilities(mean + z[:, None] * slope, covariance - np.outer(slope, slope))
    return z, w, after


def _entropy(p: Array) -> Array:
    entropy: Array = -xlogy(p, p).sum(-1)
    return entropy
