"""Expected hypervolume improvement: how much a candidate is expected to add to a Pareto front.

Notation
--------
b, S, m     candidates, samples of the front, objectives
K, N        boxes of all samples, levels at which they begin or end in one objective
r           (m,) reference point
l, u        (K, m) corners of disjoint boxes that cover what the front does not dominate above r
mean, sd    moments of the objectives at x, which are independent of each other
z           (mean - a) / sd at a level a
zeta        the expected excess of the normal law (see `normal_tail`)

    HVI(y)  = volume of what y dominates and the front does not
            = sum over boxes of prod_j [(y_j - l_j)^+ - (y_j - u_j)^+]
    EHVI(x) = sum over boxes of prod_j [psi_j(l_j) - psi_j(u_j)]              Yang et al. (2019)
    psi_j(a) = E[(f_j(x) - a)^+] = sd_j zeta(z),    psi_j(inf) = 0

In logarithms, since products of tails underflow early. What the difference of two psi loses where
a box is narrow cannot be seen: whatever lies beyond a box in one direction is not dominated either,
so that the sum holds psi_j(l_j) times the other sides of that box.

Many levels are sides of several boxes: psi is evaluated at the levels, and the boxes read it there.
Arrays are (rows, b) within, since all that is read and summed is whole rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool as Mask
from jaxtyping import Float as Shaped
from numpy.typing import NDArray
from torch import Tensor

from bayesopt.acquisition.normal_tail import log_zeta_and_ratios
from bayesopt.pareto import Array, boxes

_SMALLEST = 1e-100  # relative height of a box that rounding makes vanish

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class _Sides:
    """The sides of all boxes in one objective.

    Parameters
    ----------
    levels, sample
        (N,) each level, and which sample it belongs to.
    endless
        (N,) whether the level is infinite.
    low, high
        (K,) the levels at which each box begins and ends.
    bounded
        Whether any box ends.
    """

    levels: Array
    sample: Indices
    endless: NDArray[np.bool_]
    low: Indices
    high: Indices
    bounded: bool

    @classmethod
    def of(cls, corners: Sequence[tuple[Array, Array]]) -> "_Sides":
        """Of the low and high ends (K_s,), (K_s,) of every sample."""
        levels: list[Array] = []
        lows: list[Indices] = []
        highs: list[Indices] = []
        n = 0
        for low, high in corners:
            own, index = np.unique(np.concatenate((low, high)), return_inverse=True)
            levels.append(own)
            lows.append(n + index[: len(low)])
            highs.append(n + index[len(low) :])
            n += len(own)
        flat = np.concatenate(levels)
        endless = np.isinf(flat)
        end = np.concatenate(highs)
        return cls(
            np.where(endless, 0.0, flat),
            np.repeat(np.arange(len(levels)), [len(own) for own in levels]),
            endless,
            np.concatenate(lows),
            end,
            not endless[end].all(),
        )

    def log_lengths_and_partials(self, mean: Array, variance: Array) -> tuple[Array, Array, Array]:
        """log [psi(l) - psi(u)] (K, b), with d / d mean and d / d variance.

        `mean` is (S, b), `variance` (b,).
        """
        sd = np.sqrt(variance)
        z = (mean[self.sample] - self.levels[:, None]) / sd
        log_zeta, by_Phi, by_phi = log_zeta_and_ratios(z)
        log_low, Phi, phi = log_zeta[self.low], by_Phi[self.low], by_phi[self.low]
        log_sd = np.log(sd)
        if not self.bounded:
            return log_low + log_sd, Phi / sd, phi / (2.0 * variance)
        log_zeta[self.endless], by_Phi[self.endless], by_phi[self.endless] = -np.inf, 0.0, 0.0
        left = -np.expm1(log_zeta[self.high] - log_low)  # 1 - psi(u) / psi(l)
        np.maximum(left, _SMALLEST, out=left)
        gone = 1.0 - left
        Phi -= gone * by_Phi[self.high]
        phi -= gone * by_phi[self.high]
        log_low += np.log(left) + log_sd
        return log_low, Phi / (left * sd), phi / (left * (2.0 * variance))


class HypervolumeImprovement:
    """Expected hypervolume improvement of independent Gaussian objectives over S fronts.

    Parameters
    ----------
    Y
        (S, r, m) samples of the objectives at r points, to be maximised.
    reference
        (m,) reference point: what does not exceed it in every objective counts for nothing.
    counts
        (S, r) which of the points count in each sample, where some may be infeasible; by default
        all do. Without any, all that lies above the reference point is gained.
    """

    def __init__(
        self,
        Y: Shaped[Tensor, "S r m"],
        reference: Shaped[Tensor, " m"],
        counts: Mask[Tensor, "S r"] | None = None,
    ) -> None:
        fronts = Y.numpy()
        kept = np.ones(fronts.shape[:2], dtype=np.bool_) if counts is None else counts.numpy()
        corners = [
            boxes(front[mask], reference.numpy()) for front, mask in zip(fronts, kept, strict=True)
        ]
        self._sides = [
            _Sides.of([(low[:, j], high[:, j]) for low, high in corners])
            for j in range(fronts.shape[2])
        ]
        self._sizes = np.array([len(low) for low, _ in corners])
        self._first = np.cumsum(self._sizes) - self._sizes

    def log_value_and_partials(
        self, means: Sequence[Shaped[Tensor, "b S"]], variances: Sequence[Shaped[Tensor, " b"]]
    ) -> tuple[Shaped[Tensor, "b S"], list[Shaped[Tensor, "b S"]], list[Shaped[Tensor, "b S"]]]:
        """The logarithm (b, S), and its derivatives in every mean and variance.

        Parameters
        ----------
        means, variances
            (b, S) and (b,) moments of each of the m objectives; the variances are positive.
        """
        terms = [
            sides.log_lengths_and_partials(np.ascontiguousarray(mean.numpy().T), variance.numpy())
            for sides, mean, variance in zip(self._sides, means, variances, strict=True)
        ]
        log_boxes = terms[0][0]
        for log_lengths, *_ in terms[1:]:
            log_boxes += log_lengths
        peak = np.maximum.reduceat(log_boxes, self._first)
        share = np.exp(log_boxes - np.repeat(peak, self._sizes, axis=0))
        total = np.add.reduceat(share, self._first)
        by_means = [self._weighted(share, by_mean) / total for _, by_mean, _ in terms]
        by_variances = [self._weighted(share, by_variance) / total for *_, by_variance in terms]
        value = peak + np.log(total)
        return _rows_last(value), [*map(_rows_last, by_means)], [*map(_rows_last, by_variances)]

    def _weighted(self, share: Array, partial: Array) -> Array:
        """Sums (S, b) over the boxes of every sample."""
        sums: Array = np.add.reduceat(share * partial, self._first)
        return sums


def _rows_last(values: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.T))
