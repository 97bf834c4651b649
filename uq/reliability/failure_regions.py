"""Regions of failure that were found, their design points, and what they say of the inputs.

Notation
--------
z, W        (n, d) failing runs in standard normal space, and their likelihood ratios
u*          design point of a region: its failing run nearest to the origin, beta = |u*|
y_k, F_k    normal score of input k and its distribution function, Phi(y_k) = F_k(x_k)
m_k, s_k    weighted mean and standard deviation of y_k over the failing runs

    I_k = (m_k^2 + s_k^2 - 1) / 2 - log s_k                                                   (1)

is the Kullback-Leibler divergence from N(0, 1) to N(m_k, s_k^2): how much failing tells of input k,
whether it shifts its law, narrows it, or splits it into two ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from uq.inputs import Inputs
from uq.proposals import Mixture

Array = NDArray[np.float64]

_ON_THE_WAY = np.linspace(0.1, 0.9, 9)  # from one centre to another
_NEIGHBOURS = 3  # of each place there, which vote
_LEAST_SHARE = 0.01  # of a region that is told


@dataclass(frozen=True, eq=False)
class FoundDesignPoint:
    """The most probable failure of one region, among the runs.

    Parameters
    ----------
    x
        (d,) inputs.
    z
        (d,) the same in standard normal space.
    beta
        Distance from the origin.
    share
        Of the probability of failing, that lies in this region.
    """

    x: Array
    z: Array
    beta: float
    share: float


@dataclass(frozen=True, eq=False)
class InputImportance:
    """What failing tells of each input.

    Parameters
    ----------
    names
        d names.
    mean, sd
        (d,) of the normal score given failure; 0 and 1 for an input that plays no part.
    information
        (d,) divergence of Eq. (1), in nats.
    """

    names: Sequence[str]
    mean: Array
    sd: Array
    information: Array

    @property
    def share(self) -> Array:
        """(d,) shares of the sum of all information."""
        total = float(self.information.sum())
        share: Array = self.information / total if total > 0.0 else 0.0 * self.information
        return share

    def to_dataframe(self) -> Any:
        """A pandas data frame, one row an input (pandas is imported on use)."""
        import pandas

        columns = {"mean": self.mean, "sd": self.sd, "information": self.information}
        return pandas.DataFrame({**columns, "share": self.share}, index=list(self.names))


def found_design_points(
    z: Array, fails: NDArray[np.bool_], W: Array, mixture: Mixture, inputs: Inputs
) -> tuple[FoundDesignPoint, ...]:
    """One design point a region, the region of the largest share first.

    Regions are told apart by the components of the mixture that the failures were drawn from; two
    of them are one region when the runs nearest to the way between their centres fail as well.
    Regions that hold less than 1 % of the probability are left out.

    Parameters
    ----------
    z, fails, W
        (n, d) runs, (n,) whether each fails, (n,) likelihood ratios.
    mixture
        Fitted to failures, one component or more a region.
    inputs
        Law of the inputs.
    """
    if not fails.any():
        return ()
    failing, weights = z[fails], W[fails] / W[fails].sum()
    parts = mixture.component_log_densities(failing) + np.log(np.maximum(mixture.shares, 1e-300))
    labels = np.unique(parts.argmax(axis=1), return_inverse=True)[1]
    labels = _merged(labels, failing, weights, z, fails)
    points = []
    for label in np.unique(labels):
        own = labels == label
        share = float(weights[own].sum())
        nearest = failing[own][np.square(failing[own]).sum(axis=1).argmin()]
        if share >= _LEAST_SHARE:
            x = inputs.from_normal(nearest[None])[0]
            points.append(FoundDesignPoint(x, nearest, float(np.linalg.norm(nearest)), share))
    return tuple(sorted(points, key=lambda point: -point.share))


def _merged(
    labels: NDArray[np.int64], failing: Array, weights: Array, z: Array, fails: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Labels (m,) with one label where failures lead from one centre to the other."""
    tree = KDTree(z)
    merged = labels.copy()
    centres = {k: _centre(failing[labels == k], weights[labels == k]) for k in np.unique(labels)}
    for k, one in centres.items():
        for other, two in centres.items():
            if other <= k:
                continue
            way = one + _ON_THE_WAY[:, None] * (two - one)
            _, near = tree.query(way, k=min(_NEIGHBOURS, len(z)))
            votes = fails[np.reshape(near, (len(way), -1))].mean(axis=1)
            if (votes > 0.5).all():
                merged[merged == merged[labels == other][0]] = merged[labels == k][0]
    return merged


def _centre(z: Array, weights: Array) -> Array:
    total = weights.sum()
    centre: Array = weights @ z / total if total > 0.0 else z.mean(axis=0)
    return centre


def input_importance(z: Array, W: Array, inputs: Inputs) -> InputImportance:
    """Weighted scores of the failing runs (n, d), (n,); NaN where there is none."""
    d = inputs.dimension
    if not W.sum() > 0.0:
        nothing = np.full(d, np.nan)
        return InputImportance(inputs.names, nothing, nothing, nothing)
    y = inputs.to_scores(inputs.from_normal(z)) if not inputs.is_independent else z
    w = W / W.sum()
    mean = w @ y
    sd = np.sqrt(np.maximum(w @ np.square(y - mean), np.finfo(float).tiny))
    information = 0.5 * (np.square(mean) + np.square(sd) - 1.0) - np.log(sd)  # (1)
    return InputImportance(inputs.names, mean, sd, information)
