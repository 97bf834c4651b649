"""What a search for failures has not seen, and how likely that may be.

Notation
--------
q_k, n_k    densities of all stages and rounds, and their numbers of runs
a_k         share of the law phi in q_k, so that q_k >= a_k phi
N           sum_k n_k a_k, runs that the law itself can be said to have made
m           failures that were met
alpha       chance of a bound that is too low

A failing set of probability p was missed by all runs with a chance of at most

    prod_k (1 - a_k p)^n_k <= exp(-p N)                                                       (1)

whatever the search did, as the density of every stage is fixed before it is drawn. So at the level
1 - alpha

    p <= -log(alpha) / N                    where nothing was met                             (2)
    p <= chi2_{1-alpha}(2m + 2) / 2N        after m failures, the bound of a Poisson law      (3)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from uq.proposals import Density, Gaussian, Mixture, Shells
from uq.reliability.learning_runs import Batch

Array = NDArray[np.float64]

_ALPHA = 0.05


@dataclass(frozen=True)
class Unseen:
    """Where the search has looked, beside the failures that it found.

    Parameters
    ----------
    by_law
        N: runs that count as draws of the inputs' law.
    by_shells
        Runs on spheres of growing radius, in all directions.
    radius
        Largest radius of these, in standard normal space.
    distance
        From the origin to the nearest design point that was found; the outermost sphere where none
        was.
    share_of_directions
        A further region of failure from there outward, a cone that fills this share of all
        directions or more, would have been met with a chance of 95 %.
    probability
        What such a cone would add at most.
    anywhere
        What a region of any shape, anywhere, may have to be missed with a chance of 5 %: Eq. (2).
    """

    by_law: float
    by_shells: float
    radius: float
    distance: float
    share_of_directions: float
    probability: float
    anywhere: float


def unseen(batches: Sequence[Batch], dimension: int, distance: float | None) -> Unseen:
    """What all runs so far have looked at.

    Parameters
    ----------
    batches
        All stages and rounds.
    dimension
        d.
    distance
        From the origin to the nearest design point that was found; None where none was.
    """
    by_law = by_shells = beyond = radius = 0.0
    shells: Shells | None = None
    for batch in batches:
        if batch.density is None:
            continue
        by_law += len(batch.z) * law_share(batch.density)
        share, found = _shell_share(batch.density)
        shells = shells or found
        by_shells += len(batch.z) * share
    if shells is not None:
        radius = float(shells.radii[-1])
    distance = radius if distance is None else distance
    if shells is not None:
        widths = np.diff(shells.radii)
        outside = np.clip((shells.radii[1:] - distance) / widths, 0.0, 1.0)
        beyond = by_shells * float(shells.shares @ outside)
    share = min(-np.log(_ALPHA) / beyond, 1.0) if beyond > 0.0 else 1.0
    of_sphere = share * float(stats.chi2.sf(distance**2, dimension))
    anywhere = min(-np.log(_ALPHA) / by_law, 1.0) if by_law > 0.0 else 1.0  # (2)
    probability = min(of_sphere, anywhere)
    return Unseen(
        by_law, by_shells, radius, distance, float(share), float(probability), float(anywhere)
    )


def upper_bound(by_law: float, n_met: int, outside: float) -> float:
    """Largest probability of failing at the level 1 - outside, Eq. (3).

    Parameters
    ----------
    by_law
        N.
    n_met
        Failures that were met in any run: an upper bound of those the law itself would have met.
    outside
        alpha.
    """
    return min(float(stats.chi2.isf(outside, 2 * n_met + 2)) / (2.0 * by_law), 1.0)  # (3)


def law_share_of_rounds(batches: Sequence[Batch]) -> float:
    """N of those runs alone that are averaged."""
    return sum(
        len(batch.z) * law_share(batch.density)
        for batch in batches
        if batch.averaged and batch.density is not None
    )


def law_share(density: Density) -> float:
    """a: the share of the standard normal law in a density."""
    if isinstance(density, Mixture):
        parts = zip(density.shares, density.components, strict=True)
        return float(sum(share * law_share(part) for share, part in parts))
    if not isinstance(density, Gaussian):
        return 0.0
    is_law = not density.mean.any() and np.array_equal(
        density.covariance, np.eye(len(density.mean))
    )
    return float(is_law)


def _shell_share(density: Density) -> tuple[float, Shells | None]:
    if isinstance(density, Shells):
        return 1.0, density
    if not isinstance(density, Mixture):
        return 0.0, None
    total, found = 0.0, None
    for share, part in zip(density.shares, density.components, strict=True):
        of_part, shells = _shell_share(part)
        total += float(share) * of_part
        found = found or shells
    return total, found
