"""What weighted points make of the start density: moved, widened, tempered, mixed.

Notation
--------
T_ij        phi_j f_j / h at point i
w_j         weights of the quantities
t_i         sqrt(sum_j w_j T_ij^2)                                                  Eq. (6)
gamma       tempering exponent
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from uq.importance_sampling import effective_sample_size
from uq.prediction import LearningPoints
from uq.proposals import Density, Gaussian, Mixture, TooFewWeighted

Array = NDArray[np.float64]

SHARE_QUANTUM = 16
"""Shares of a mixture are multiples of 1/16, so that each part of a net is a net again."""
_SOME = 8


def atoms(Y: Array) -> Array:
    """(k,) the value of more than half of the runs, column by column, or 0."""
    found = np.zeros(Y.shape[1])
    for k, column in enumerate(Y[np.isfinite(Y).all(axis=1)].T):
        values, counts = np.unique(column, return_counts=True)
        if len(column) >= _SOME and counts.max() > len(column) / 2:
            found[k] = values[counts.argmax()]
    return found


def overall_weights(points: LearningPoints, weights: Array) -> Array:
    """(n,) t, Eq. (6) over h."""
    return np.sqrt(np.square(points.T) @ weights)


def effective_size(t: Array) -> float:
    """Effective points (sum t)^2 / sum t^2 of weights (n,)."""
    with np.errstate(divide="ignore"):
        return float(effective_sample_size(np.log(t)))


def tempering(t: Array, least: float) -> float:
    """The largest exponent in (0, 1] that leaves `least` effective points, to 2^-10."""
    if effective_size(t) >= least:
        return 1.0
    scaled = t / t.max()
    low, high = 0.0, 1.0
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if effective_size(scaled**middle) >= least else (low, middle)
    return max(low, 2.0**-10)


def moved(start: Density, points: LearningPoints, weights: Array) -> Density:
    """The start density moved to the mean of t, each coordinate shrunk by what is noise in it."""
    assert isinstance(start, Gaussian)
    t = overall_weights(points, weights)
    if effective_size(t) < 2.0:
        raise TooFewWeighted(np.array([0]), np.array([effective_size(t)]))
    mean, noise = weighted_mean(points.z, t)
    step = mean - start.mean
    kept = np.maximum(1.0 - noise / np.maximum(np.square(step), np.finfo(float).tiny), 0.0)
    return Gaussian(start.mean + kept * step, start.covariance)


def weighted_mean(z: Array, t: Array) -> tuple[Array, Array]:
    """(d,) mean of z weighted by t, and the variance of that mean."""
    share = t / t.sum()
    mean = share @ z
    return mean, np.square(share) @ np.square(z - mean)


def widened(start: Density, width: float, rng: np.random.Generator) -> Density:
    """The start density with standard deviations `width` times as large."""
    if isinstance(start, Gaussian):
        return Gaussian(start.mean, width**2 * start.covariance)
    z = start.transform(rng.random((4096, start.n_uniforms)))
    return Gaussian(z.mean(axis=0), width**2 * np.atleast_2d(np.cov(z.T)))


def of_quanta(shares: Array, components: Sequence[Density]) -> Density:
    """A mixture whose shares are multiples of 1/16; what gets none is left out."""
    quanta = np.floor(shares * SHARE_QUANTUM).astype(int)
    left = SHARE_QUANTUM - quanta.sum()
    for k in np.argsort(quanta - shares * SHARE_QUANTUM)[:left]:
        quanta[k] += 1
    kept = [k for k, quantum in enumerate(quanta) if quantum > 0]
    if len(kept) == 1:
        return components[kept[0]]
    return Mixture(quanta[kept] / SHARE_QUANTUM, tuple(components[k] for k in kept))
