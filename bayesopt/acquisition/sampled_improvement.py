"""Improvement under noise, constraints and pending points, exact given samples of the unknown.

Notation
--------
b, r, S     candidates, points, samples
A           (r, d) points whose values are not known: evaluated with noise, or being evaluated
s           a sample of the values of all objectives and constraints at A (see `given_samples`)
I_s(x)      expected improvement of x given sample s, over what is best at A in it
P_s,c(x)    probability given sample s that constraint c is met at x
best_s      the largest objective of a point of A whose constraints are all met in s, or the
            `floor`, the best value that is known for sure, where that is more

    alpha(x) = E over s of I_s(x) prod over c of P_s,c(x)          Letham et al. (2019), Section 3.4
    I_s      = EI(x | s) over best_s

With nothing noisy and nothing pending there is one sample of nothing: expected improvement times
the probability of feasibility (Gardner et al. 2014). Without constraints it is noisy expected
improvement; without noise either, expected improvement where the pending points' values are
averaged over (Snoek et al. 2012, Section 3.2).

Where no point is feasible in s, any feasible one is an improvement: best_s is then a value so low
that nearly all points are above it, and I_s all but a constant, mean_s(x) - best_s.
"""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.expected_improvement import log_ei_and_partials
from bayesopt.acquisition.given_samples import GivenSamples
from bayesopt.acquisition.observed import check_one_candidate, with_partials
from bayesopt.acquisition.probability_of_feasibility import (
    Bounded,
    ProbabilityOfFeasibility,
    check_interval,
    log_probability_and_partials,
)
from bayesopt.data import Dataset

_SDS_BELOW = 3.0
_LIKELY = 0.5

Outcome = tuple[Model, Dataset]
"""A process and what it was fitted to: the objective."""

Constraint = tuple[Model, Dataset, float, float]
"""The same of a constraint, and its interval in scores."""


@runtime_checkable  # the tests check types as they run
class Improvement(Protocol):
    """What a candidate is expected to improve given every sample, as a function of moments."""

    def log_value_and_partials(
        self, means: Sequence[Tensor], variances: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]:
        """log I_s (b, S), and its derivatives in every objective's means and variance.

        Parameters
        ----------
        means, variances
            Of every objective (b, S) and (b,).

        Returns
        -------
        value, by_means, by_variances
            (b, S), and for every objective (b, S) and (b, S).
        """


class ImprovementOverBest:
    """Expected improvement of one objective, in every sample over a best value of its own.

    Parameters
    ----------
    best
        (S,) finite values.
    """

    def __init__(self, best: Shaped[Tensor, " S"]) -> None:
        self.best = best

    def log_value_and_partials(
        self, means: Sequence[Tensor], variances: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]:
        """log EI (b, S), and its derivatives; see `Improvement`."""
        (mean,), (variance,) = means, variances
        value, by_mean, by_variance = log_ei_and_partials(mean, variance.unsqueeze(-1), self.best)
        return value, (by_mean,), (by_variance,)


class SampledImprovement(AcquisitionFunction):  # type: ignore[misc]
    """Mean over samples of improvement times probability of feasibility, one candidate at a time.

    Parameters
    ----------
    improvement
        What is gained by a feasible point, given every sample.
    objectives
        At least one process, in the order in which `improvement` takes them.
    constraints
        Processes of outcomes, each with the interval that it has to lie in; sampled at the same
        points as the objectives, each with a number of its own.
    log
        Return the logarithm, which has the same maximiser and a usable gradient everywhere.

    Raises
    ------
    ValueError
        If there is no objective, the numbers of samples differ, or an interval is empty.
    """

    def __init__(
        self,
        improvement: Improvement,
        objectives: Sequence[GivenSamples],
        constraints: Sequence[tuple[GivenSamples, float, float]] = (),
        *,
        log: bool = True,
    ) -> None:
        if not objectives:
            raise ValueError("An improvement needs at least one objective, but got none.")
        super().__init__(objectives[0].model)
        self.improvement, self.log = improvement, log
        self.objectives, self.constraints = tuple(objectives), tuple(constraints)
        self._processes = (*objectives, *(outcome for outcome, _, _ in constraints))
        sizes = {process.n_samples for process in self._processes}
        if len(sizes) > 1:
            raise ValueError(
                f"Objectives and constraints must have as many samples, but have {sorted(sizes)}."
            )
        for _, low, high in constraints:
            check_interval(low, high)

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate, in closed form where the models have one."""
        moments = [process.moments_with_pull_back(X) for process in self._processes]
        value, *partials = self._log_value_and_partials(
            *(means for means, _, _ in moments), *(variance for _, variance, _ in moments)
        )
        gradient = torch.zeros_like(X)
        m = len(moments)
        for (_, _, pull_back), by_means, by_variance in zip(
            moments, partials[:m], partials[m:], strict=True
        ):
            gradient += pull_back(by_means, by_variance)
        return (value, gradient) if self.log else (value.exp(), gradient * value.exp()[:, None])

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate.

        Raises
        ------
        ValueError
            If more than one point is asked jointly.
        """
        check_one_candidate(X)
        moments = [process.moments(X.reshape(-1, 1, X.shape[-1])) for process in self._processes]
        means, variances = zip(*moments, strict=True)
        value = with_partials(self._log_value_and_partials, *means, *variances)
        value = value.reshape(X.shape[:-2])
        return value if self.log else value.exp()

    def _log_value_and_partials(self, *moments: Tensor) -> tuple[Tensor, ...]:
        """The logarithm (b,), and its derivatives in all means (b, S) and all variances (b,)."""
        m, k = len(self._processes), len(self.objectives)
        means, variances = moments[:m], moments[m:]
        log_terms, by_means, by_variances = self.improvement.log_value_and_partials(
            means[:k], variances[:k]
        )
        by_means, by_variances = list(by_means), list(by_variances)
        for (_, low, high), mean, variance in zip(
            self.constraints, means[k:], variances[k:], strict=True
        ):
            log_p, by_mean, by_variance = log_probability_and_partials(
                mean, variance.unsqueeze(-1), low, high
            )
            log_terms = log_terms + log_p
            by_means.append(by_mean)
            by_variances.append(by_variance)
        value = torch.logsumexp(log_terms, dim=-1)
        share = (log_terms - value.unsqueeze(-1)).exp()
        return (
            value - math.log(log_terms.shape[-1]),
            *(share * by_mean for by_mean in by_means),
            *((share * by_variance).sum(-1) for by_variance in by_variances),
        )


def met_in_samples(
    constraints: Sequence[tuple[GivenSamples, float, float]], like: Shaped[Tensor, "S r"]
) -> Tensor:
    """Where (S, r), as `like`, the samples of all constraints lie in their intervals."""
    met = torch.ones_like(like, dtype=torch.bool)
    for outcome, low, high in constraints:
        met &= (outcome.values >= low) & (outcome.values <= high)
    return met


def known_to_be_feasible(X: Tensor, constraints: Sequence[Constraint]) -> Tensor:
    """Which of the observed points X (n, d) meet all constraints (n,), by the observed outcomes.

    Raises
    ------
    ValueError
        If a constraint was observed at other points.
    """
    met = torch.ones(len(X), dtype=torch.bool)
    for _, data, low, high in constraints:
        if data.X.shape != X.shape or not bool((data.X == X).all()):
            raise ValueError(
                "Objectives and constraints must be observed at the same points, in one order."
            )
        met &= (data.Y[:, 0] >= low) & (data.Y[:, 0] <= high)
    return met


def unknown_points(
    datasets: Sequence[Dataset], X_pending: Shaped[Tensor, "m d"] | None
) -> tuple[Shaped[Tensor, "r d"], bool]:
    """A: the pending points, and under noise the observed ones before them; and whether there is
    noise in any of the data."""
    X = datasets[0].X
    noisy = any(not bool((data.Yvar == 0).all()) for data in datasets)
    pending = X[:0] if X_pending is None else X_pending
    return (torch.cat((X, pending)) if noisy else pending), noisy


def build(
    objective: Outcome,
    constraints: Sequence[Constraint] = (),
    X_pending: Shaped[Tensor, "m d"] | None = None,
) -> AcquisitionFunction:
    """Log improvement of feasible points, on fitted models.

    Parameters
    ----------
    objective
        A model and its data, to be maximised.
    constraints
        A model, its data and an interval of scores for each; observed where the objective is.
    X_pending
        Points that are being evaluated: they have to be improved on, whatever they return.

    Returns
    -------
    acquisition
        As long as more likely than not no observed point is feasible, and none is pending, the
        probability of feasibility alone.

    Raises
    ------
    ValueError
        If objective and constraints were not observed at the same points.
    """
    model, data = objective
    A, noisy = unknown_points([data, *(each[1] for each in constraints)], X_pending)
    f = GivenSamples(model, A)
    sampled = [
        (GivenSamples(each[0], A, number=number), each[2], each[3])
        for number, each in enumerate(constraints, start=1)
    ]
    best = torch.full((f.n_samples,), -torch.inf, dtype=data.X.dtype)
    known = known_to_be_feasible(data.X, constraints)
    if not noisy and bool(known.any()):
        best[:] = data.Y[known, 0].max()
    if len(A) > 0:
        feasible = torch.where(met_in_samples(sampled, f.values), f.values, -torch.inf)
        best = torch.maximum(best, feasible.amax(1))
    found = best.isfinite()
    nothing_pending = X_pending is None or len(X_pending) == 0
    if nothing_pending and float(found.double().mean()) < _LIKELY:
        return ProbabilityOfFeasibility([Bounded(each[0], *each[2:]) for each in constraints])
    best = torch.where(found, best, poor_value(model, torch.cat((data.X, A))))
    return SampledImprovement(ImprovementOverBest(best), [f], sampled)


def poor_value(model: Model, X: Shaped[Tensor, "n d"]) -> float:
    """What feasible points are compared with while there is none: three standard deviations
    below the posterior mean, at the point where that is least."""
    with torch.no_grad():
        posterior = model.posterior(X.unsqueeze(-2))
        lowest = posterior.mean - _SDS_BELOW * posterior.variance.clamp_min(0.0).sqrt()
    return float(lowest.min())
