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

Where values are not known, because they were observed with noise or are pending, the front is that
of a sample s of them, and the moments are those given s (see `sampled_improvement`):

    alpha(x) = E over s of EHVI_s(x) prod over c of P_s,c(x)              Daulton et al. (2021)

Many levels are sides of several boxes: psi is evaluated at the levels, and the boxes read it there.
Arrays are (rows, b) within, since all that is read and summed is whole rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Bool as Mask
from jaxtyping import Float as Shaped
from numpy.typing import NDArray
from torch import Tensor

from bayesopt.acquisition.given_samples import GivenSamples
from bayesopt.acquisition.normal_tail import log_zeta_and_ratios
from bayesopt.acquisition.probability_of_feasibility import Bounded, ProbabilityOfFeasibility
from bayesopt.acquisition.sampled_improvement import (
    Constraint,
    Outcome,
    SampledImprovement,
    known_to_be_feasible,
    met_in_samples,
)
from bayesopt.pareto import Array, boxes, non_dominated
from bayesopt.pareto import reference_point as automatic_reference

_N_SAMPLES = 16
_BEYOND = 4.0  # Phi(-4) is 3e-5: what is as unlikely happens in none of so few samples
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


def build(
    objectives: Sequence[Outcome],
    constraints: Sequence[Constraint] = (),
    X_pending: Shaped[Tensor, "p d"] | None = None,
    reference_point: Sequence[float] | None = None,
    *,
    n_samples: int = _N_SAMPLES,
) -> AcquisitionFunction:
    """Log expected hypervolume improvement of feasible points, on fitted models.

    Parameters
    ----------
    objectives
        A model and its data for each, to be maximised.
    constraints
        A model, its data and an interval of scores for each.
    X_pending
        Points that are being evaluated: they have to be improved on, whatever they return.
    reference_point
        In the scores of each objective; None takes it from the front so far.
    n_samples
        Size of the quasi-Monte Carlo sample of values that are not known.

    Returns
    -------
    acquisition
        As long as no observed point is feasible, under noise by the posterior means, and none is
        pending, the probability of feasibility alone.

    Raises
    ------
    ValueError
        If there is no objective, objectives and constraints were not observed at the same points,
        or the reference point has not one finite number per objective.
    """
    X = _points_of(objectives)
    known = known_to_be_feasible(X, constraints)
    every = [data for _, data in objectives] + [each[1] for each in constraints]
    noisy = any(not bool((data.Yvar == 0).all()) for data in every)
    observed = (_beliefs if noisy else _facts)(objectives, constraints, known)
    pending = X[:0] if X_pending is None else X_pending
    if len(pending) == 0 and not bool(observed.feasible.any()):
        return ProbabilityOfFeasibility([Bounded(each[0], *each[2:]) for each in constraints])
    reference = _reference(observed, reference_point)
    A = torch.cat((X[observed.may_count(reference)], pending)) if noisy else pending
    sampled = [
        GivenSamples(model, A, n_samples=n_samples, number=number)
        for number, (model, *_) in enumerate((*objectives, *constraints))
    ]
    values, limited = sampled[: len(objectives)], sampled[len(objectives) :]
    bounded = [(f, low, high) for f, (*_, low, high) in zip(limited, constraints, strict=True)]
    Y = torch.stack([f.values for f in values], dim=-1)
    counts = met_in_samples(bounded, values[0].values)
    if not noisy:
        fixed = observed.mean[known]
        fixed = fixed[torch.from_numpy(non_dominated(fixed))].expand(len(Y), -1, -1)
        Y = torch.cat((Y, fixed), dim=1)
        counts = torch.cat((counts, counts.new_ones(fixed.shape[:2])), dim=1)
    return SampledImprovement(HypervolumeImprovement(Y, reference, counts), values, bounded)


def _points_of(objectives: Sequence[Outcome]) -> Tensor:
    """The points (n, d) of all objectives; raises ValueError where they differ."""
    if not objectives:
        raise ValueError("A hypervolume needs at least one objective, but got none.")
    X = objectives[0][1].X
    for _, data in objectives:
        if data.X.shape != X.shape or not bool((data.X == X).all()):
            raise ValueError("All objectives must be observed at the same points, in one order.")
    return X


@dataclass(frozen=True)
class _Observed:
    """What is believed of the objectives at the observed points.

    Parameters
    ----------
    mean, variance
        (n, m) moments of the objectives.
    feasible
        (n,) whether the means meet all constraints.
    surely, hardly
        (n,) whether it is feasible beyond doubt, infeasible beyond doubt.
    """

    mean: Tensor
    variance: Tensor
    feasible: Tensor
    surely: Tensor
    hardly: Tensor

    def may_count(self, reference: Tensor) -> Tensor:
        """Which points (n,) may be on the front: the others change no sample that is drawn.

        What differences of correlated values vary is less than taken here, where it matters.
        """
        sd = self.variance.sqrt()
        too_low = (reference - self.mean > _BEYOND * sd).any(-1)
        lead = self.mean - self.mean.unsqueeze(1)  # of the second point over the first
        doubt = _BEYOND * (self.variance + self.variance.unsqueeze(1)).sqrt()
        beaten = ((lead > doubt).all(-1) & self.surely).any(-1)
        may: Tensor = ~(too_low | beaten | self.hardly)
        return may


def _facts(
    objectives: Sequence[Outcome], constraints: Sequence[Constraint], known: Tensor
) -> _Observed:
    """Without noise: the observed values."""
    Y = torch.cat([data.Y for _, data in objectives], dim=-1)
    return _Observed(Y, torch.zeros_like(Y), known, known, ~known)


def _beliefs(
    objectives: Sequence[Outcome], constraints: Sequence[Constraint], known: Tensor
) -> _Observed:
    """Under noise: the posterior."""
    X = objectives[0][1].X
    moments = [_marginals(model, X) for model, _ in objectives]
    feasible, surely = torch.ones_like(known), torch.ones_like(known)
    hardly = torch.zeros_like(known)
    for model, _, low, high in constraints:
        mean, variance = _marginals(model, X)
        inside = torch.minimum(mean - low, high - mean)  # negative where the bound is crossed
        doubt = _BEYOND * variance.sqrt()
        feasible &= inside >= 0.0
        surely &= inside > doubt
        hardly |= inside < -doubt
    mean, variance = (torch.stack(each, dim=-1) for each in zip(*moments, strict=True))
    return _Observed(mean, variance, feasible, surely, hardly)


def _marginals(model: Model, X: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior means and variances (n,), (n,) at points (n, d)."""
    with torch.no_grad():
        posterior = model.posterior(X.unsqueeze(-2))
        return posterior.mean[:, 0, 0], posterior.variance[:, 0, 0].clamp_min(0.0)


def _reference(observed: _Observed, given: Sequence[float] | None) -> Tensor:
    """The reference point (m,): that given, or from the feasible points, or else from all."""
    if given is not None:
        point, m = torch.as_tensor(given, dtype=observed.mean.dtype), observed.mean.shape[1]
        if point.shape != (m,) or not bool(point.isfinite().all()):
            raise ValueError(
                f"`reference_point` must be {m} finite scores, one per objective, but got {given}."
            )
        return point
    some = observed.feasible if bool(observed.feasible.any()) else slice(None)
    return torch.from_numpy(automatic_reference(observed.mean[some]))
