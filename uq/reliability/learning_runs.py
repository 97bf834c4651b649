"""Runs that a search has learnt from, and the density that they come from all together.

Notation
--------
z, g        (n, d) points, (n, J) values, NaN where a run failed
q_k, n_k    densities of the stages and their sizes, n = sum_k n_k
phi         standard normal density, the law of the inputs

    W_i = phi(z_i) / sum_k (n_k / n) q_k(z_i)       balance heuristic, Veach & Guibas (1995)     (1)
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from uq.proposals import Density
from uq.reliability.failure_density import standard_normal_log_density

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Batch:
    """Runs of one stage.

    Parameters
    ----------
    z, g
        (n, d) points and (n, J) values.
    density
        What they were drawn from; None where they were picked, and tell of no probability.
    source
        The same in words.
    averaged
        Whether they are a round: it is averaged, and teaches what comes after as well.
    foretold
        Variance over p^2 of one plain run, as foretold before they were drawn.
    """

    z: Array
    g: Array
    density: Density | None
    source: str
    averaged: bool = False
    foretold: float = np.inf


@dataclass(eq=False)
class LearningRuns:
    """All runs so far, stage by stage.

    Parameters
    ----------
    batches
        In the order in which they were run.
    """

    batches: list[Batch] = field(default_factory=list)

    @property
    def n(self) -> int:
        """Number of runs."""
        return sum(len(batch.z) for batch in self.batches)

    @property
    def z(self) -> Array:
        """(n, d) all points."""
        return np.concatenate([batch.z for batch in self.batches])

    @property
    def g(self) -> Array:
        """(n, J) all values."""
        return np.concatenate([batch.g for batch in self.batches])

    def usable(self) -> tuple[Array, Array]:
        """Points and values of the runs that did not fail."""
        z, g = self.z, self.g
        ok = np.isfinite(g).all(axis=1)
        return z[ok], g[ok]

    def weighted(self) -> tuple[Array, Array, Array]:
        """z, g and W of the runs that were drawn from a density and did not fail."""
        drawn = [b for b in self.batches if b.density is not None and len(b.z)]
        z = np.concatenate([batch.z for batch in drawn])
        g = np.concatenate([batch.g for batch in drawn])
        W = np.exp(standard_normal_log_density(z) - _log_mixture(drawn, z))  # (1)
        ok = np.isfinite(g).all(axis=1)
        return z[ok], g[ok], W[ok]


def _log_mixture(batches: Sequence[Batch], z: Array) -> Array:
    """(n,) logarithm of the denominator of (1)."""
    n = sum(len(batch.z) for batch in batches)
    parts = [
        np.log(len(batch.z) / n) + batch.density.log_density(z)
        for batch in batches
        if batch.density is not None
    ]
    mixed: Array = np.logaddexp.reduce(parts, axis=0)
    return mixed
