"""Means of cheap models under the laws: exact where there is a formula, else counted errors.

Notation
--------
L, K        laws, polynomials
M_lk        E_l[psi_k], mean of the k-th polynomial under law l
S           independent replicates of the cheap points

    one law, whose own scores the polynomials take:         M = (1, 0, ..., 0)
    a law that is Gaussian in z, no bounded column:         recursion over the indices
    independent columns:                                    products of one-dimensional quadratures
    any other law:                                          cheap points, error by replicates
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from uq.coordinates import Coordinates, NormalCoordinates
from uq.inputs import Inputs
from uq.joint_laws import Law
from uq.polynomials import basis, gaussian_expectations, product_expectations
from uq.sampling import Folds

Array = NDArray[np.float64]

_REPLICATES = 16
_ONE_LAW = 2**17
_ALL_LAWS = 2**20
_NODES = 769  # one every 1/32: degree 40 of a law five times as wide as all laws together


@dataclass(frozen=True)
class KnownMeans:
    """Means of all polynomials under all laws.

    Parameters
    ----------
    means
        (L, K).
    replicates
        For each law (S, K) independent estimates where the mean is one, else None.
    """

    means: Array
    replicates: Sequence[Array | None]

    def variance(self, coefficients: Array) -> Array:
        """(J,) variance of sum_k c_kj M_lk for coefficients (K, 1 or J), l = j or 0."""
        n_laws = len(self.means)
        n_outputs = max(coefficients.shape[1], n_laws)
        out = np.zeros(n_outputs)
        for j in range(n_outputs):
            replicates = self.replicates[j % n_laws]
            if replicates is not None:
                each = (
                    replicates[:, : len(coefficients)] @ coefficients[:, j % coefficients.shape[1]]
                )
                out[j] = each.var(ddof=1) / len(each)
        return out


def polynomial_means(
    coordinates: Coordinates,
    laws: Sequence[Law],
    indices: NDArray[np.int64],
    rng: np.random.Generator,
) -> KnownMeans:
    """Means of polynomials in z under each law.

    Parameters
    ----------
    coordinates
        Where z comes from.
    laws
        L of them.
    indices
        (K, d) downward closed.
    rng
        For cheap points.

    Returns
    -------
    KnownMeans
        Of moments that a heavy tail does not have, the means are huge or NaN.
    """
    bounded = coordinates.bounded_columns
    means = np.zeros((len(laws), len(indices)))
    replicates: list[Array | None] = [None] * len(laws)
    gaussian = {}
    for k, law in enumerate(laws):
        if isinstance(coordinates, NormalCoordinates):
            means[k, 0] = 1.0
            continue
        moments = None if bounded.any() else coordinates.gaussian_in_z(law)
        if moments is not None:
            gaussian[k] = moments
        elif isinstance(law, Inputs) and law.is_independent:
            nodes = [coordinates.score_nodes(law, c, _NODES) for c in range(law.dimension)]
            with np.errstate(over="ignore", invalid="ignore"):  # moments that do not exist
                means[k] = product_expectations(
                    indices, [z for z, _ in nodes], [w for _, w in nodes], bounded
                )
        else:
            drawn = _replicated(law, _points_each(len(laws)), rng)
            each = np.stack(
                [basis(coordinates.to_z(x), indices, bounded).mean(axis=0) for x in drawn]
            )
            means[k], replicates[k] = each.mean(axis=0), each
    if gaussian:
        rows = list(gaussian)
        means[rows] = gaussian_expectations(
            indices,
            np.stack([gaussian[k][0] for k in rows]),
            np.stack([gaussian[k][1] for k in rows]),
        )
    return KnownMeans(means, replicates)


def function_means(
    h: Callable[[Array], Array], laws: Sequence[Law], rng: np.random.Generator
) -> tuple[Array, Array]:
    """(L, k) means of a cheap function (n, d) -> (n, k) under each law, and their variances."""
    means, variances = [], []
    for law in laws:
        drawn = _replicated(law, _points_each(len(laws)), rng)
        each = np.stack([h(x).mean(axis=0) for x in drawn])
        means.append(each.mean(axis=0))
        variances.append(each.var(axis=0, ddof=1) / len(each))
    return np.stack(means), np.stack(variances)


def _points_each(n_laws: int) -> int:
    return _ONE_LAW if n_laws == 1 else max(2**13, _ALL_LAWS // n_laws)


def _replicated(law: Law, n: int, rng: np.random.Generator) -> list[Array]:
    """S independent sets of points, quasi-random where the law can be driven by scores."""
    size = 1 << (n // _REPLICATES).bit_length() - 1
    if not isinstance(law, Inputs):
        return [law.sample(size, rng) for _ in range(_REPLICATES)]
    uniforms = Folds(_REPLICATES, size, "qmc").uniforms(law.dimension, rng)
    return np.split(law.from_normal(ndtri(uniforms)), _REPLICATES)
