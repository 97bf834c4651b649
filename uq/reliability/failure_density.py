"""The density that failures are sampled from, and what defends it against what was not found.

Notation
--------
phi         standard normal density of z, the law of the inputs
M           mixture of Gaussians fitted to the failure points that are known
M_wide      the same with wider components
lambda      an eigenvalue of the covariance of a component
beta, u     distance of the limit state from the origin, and of a point from the limit state
q           density that is drawn from

    q = 1/16 phi + 1/16 shells + 1/16 M_wide + 13/16 M                                        (1)

Fitted components are as narrow as the failure points, whose density falls like exp(-beta u) away
from the limit state, slower than any narrow Gaussian: phi / M has no finite variance there. M_wide,
with lambda + (1 - lambda) / 2 in place of every lambda below 1, bounds what is near, phi what is
frequent, and the shells what is far and has not been seen: all directions, growing radii. In many
dimensions M_wide leaves the bulk of equal lambdas as it is: widened in all of them at once it would
lie nowhere near the failures.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import qmc

from uq.proposals import (
    Density,
    Gaussian,
    Mixture,
    Shells,
    TooFewWeighted,
    fit_spiked_mixture,
)
from uq.weighted_points import SHARE_QUANTUM, of_quanta

Array = NDArray[np.float64]

DEFENCE = 1.0 / SHARE_QUANTUM
"""Share of phi, of the shells and of the wide mixture, each."""
_LIFT = 0.5
_ALIKE = 1e-6  # relative difference of eigenvalues that were made one
_FEW_DIMENSIONS = 10
_LEAST_PROBABILITY = 1e-14  # beyond the outermost shell
_CHEAP = 4096  # points of q that judge it
_BETTER = 0.97  # a fit that does not lower the variance below this share of it is the last
_LEAST_UNIFORM = 2.0**-53


@dataclass(frozen=True)
class Defence:
    """What looks everywhere.

    Parameters
    ----------
    law
        phi.
    shells
        All directions at growing radii.
    """

    law: Gaussian
    shells: Shells

    @staticmethod
    def of(dimension: int) -> "Defence":
        """For d dimensions."""
        law = Gaussian(np.zeros(dimension), np.eye(dimension))
        return Defence(law, Shells.standard(dimension, _LEAST_PROBABILITY))

    @property
    def start(self) -> Mixture:
        """Half the law, half the shells: where a search begins."""
        return Mixture(np.array([0.5, 0.5]), (self.law, self.shells))

    def around(self, mixtures: Sequence[Mixture]) -> Mixture:
        """q for several mixtures M, which share what the defence leaves."""
        fitted = [part for mixture in mixtures for part in mixture.components]
        shares = np.concatenate([mixture.shares / len(mixtures) for mixture in mixtures])
        wide = Mixture(shares, tuple(_lifted(part) for part in fitted))
        shares = np.concatenate([np.full(3, DEFENCE), (1.0 - 3.0 * DEFENCE) * shares])  # (1)
        parts: tuple[Density, ...] = (self.law, self.shells, wide, *fitted)
        if len(parts) > SHARE_QUANTUM:
            return Mixture(shares, parts)
        mixture = of_quanta(shares, parts)
        assert isinstance(mixture, Mixture)
        return mixture


def _lifted(part: Density) -> Gaussian:
    """With half of what every variance lacks to 1; a bulk of equal ones stays as it is."""
    assert isinstance(part, Gaussian)
    eigenvalues, axes = np.linalg.eigh(part.covariance)
    bulk = np.abs(eigenvalues / np.median(eigenvalues) - 1.0) < _ALIKE
    if len(eigenvalues) <= _FEW_DIMENSIONS:
        bulk[:] = False
    lift = np.where(bulk, 0.0, _LIFT * np.maximum(1.0 - eigenvalues, 0.0))
    return Gaussian(part.mean, (axes * (eigenvalues + lift)) @ axes.T)


@dataclass(frozen=True, eq=False)
class FailureDensity:
    """q, what it was made of, and what it promises.

    Parameters
    ----------
    density
        q.
    mixtures
        M of every event that it was made for; of some twice, where the runs showed more than the
        cheap limit states.
    variance
        Foretold variance of one weighted failure run over p^2, mean over the events.
    """

    density: Mixture
    mixtures: Sequence[Mixture]
    variance: float


def net(density: Density, n: int, rng: np.random.Generator) -> Array:
    """The first n points (n, d) of a scrambled net of a density."""
    u = qmc.Sobol(density.n_uniforms, rng=rng).random_base2(max(n - 1, 0).bit_length())
    return density.transform(np.maximum(u[:n], _LEAST_UNIFORM))


def standard_normal_log_density(z: Array) -> Array:
    """log phi (n,)."""
    log_phi: Array = -0.5 * np.einsum("na,na->n", z, z) - 0.5 * z.shape[1] * math.log(2 * math.pi)
    return log_phi


def refined(
    mixtures: Sequence[Mixture],
    margins: Callable[[Array], Array],
    softness: Array,
    defence: Defence,
    rng: np.random.Generator,
    most_fits: int,
) -> FailureDensity:
    """Fit again to points drawn from q itself, as long as its variance falls.

    Points of a chain depend on each other, and hold little of a region that few of them reached;
    weighted points of q do not.

    Parameters
    ----------
    mixtures
        M of E events.
    margins
        Cheap (n, d) to (n, E): negative where the event happens.
    softness
        (E,) s > 0: an event counts with Phi(-margin / s).
    defence
        phi and shells.
    rng
        Source of random numbers.
    most_fits
        Fits that are tried.
    """
    best, z, t = _judged(mixtures, margins, softness, defence, rng)
    for _ in range(most_fits):
        try:
            fits = [fit_spiked_mixture(z, column, rng) for column in t.T]
        except TooFewWeighted:
            break
        trial, z_trial, t_trial = _judged(fits, margins, softness, defence, rng)
        if not trial.variance < best.variance:
            break
        settled = trial.variance > _BETTER * best.variance
        best, z, t = trial, z_trial, t_trial
        if settled:
            break
    return best


def _judged(
    mixtures: Sequence[Mixture],
    margins: Callable[[Array], Array],
    softness: Array,
    defence: Defence,
    rng: np.random.Generator,
) -> tuple[FailureDensity, Array, Array]:
    """q, cheap points of it (n, d), and their weights (n, E)."""
    q = defence.around(mixtures)
    z = net(q, _CHEAP, rng)
    ratio = np.exp(standard_normal_log_density(z) - q.log_density(z))
    t = ratio[:, None] * ndtr(-margins(z) / softness)
    mean = t.mean(axis=0)
    if not (mean > 0.0).all():
        return FailureDensity(q, mixtures, math.inf), z, t
    variance = float((t / mean).var(axis=0).mean())
    return FailureDensity(q, mixtures, variance), z, t


def joined(mixtures: Sequence[Mixture]) -> Mixture:
    """One mixture of all, in equal shares."""
    shares = np.concatenate([mixture.shares / len(mixtures) for mixture in mixtures])
    return Mixture(shares, tuple(part for mixture in mixtures for part in mixture.components))
