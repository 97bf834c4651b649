"""Where the second of two evaluations may be worth most, after the first one.

Notation
--------
A           (r, d) points that may be reported
B           (m, d) the second candidates
P           (p, d) promising points of the first evaluation
mu, Sigma   posterior mean and covariance; after the first evaluation mu_1, Sigma_1
lambda      variance of the noise of either observation
R           rows: a first point P_j and a quantile z of what it returns

    mu_1(x)       = mu(x) + s_j(x) z,    s_j(x) = Sigma(x, P_j) / sqrt(Sigma(P_j, P_j) + lambda)
    Sigma_1(x, p) = Sigma(x, p) - s_j(x) s_j(p)

B holds the maximisers of the gain of one evaluation as things are and in every row, by the bound
of `lookahead`. Which first points promise something is asked of two steps with the B so far: a few
rounds. Everything is drawn from a fixed seed, and all rows are climbed at once (see
`many_functions`).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt import optimize
from bayesopt.acquisition.expected_improvement import log_expected_improvement
from bayesopt.acquisition.many_functions import maximisers
from bayesopt.acquisition.noisy_expected_improvement import NoisyExpectedImprovement
from bayesopt.acquisition.observed import Observed
from bayesopt.acquisition.posterior_mean import best_by_mean
from bayesopt.parameter import Array
from bayesopt.region import Region

_LARGEST_GRID = 256
_N_ROUNDS = 2
_N_FIRST = 8
_N_INCUMBENTS = 5
_QUANTILES = (-2.0, -1.0, -0.3, 0.3, 1.0, 2.0)
_N_NOW = 5
_EFFORT_NOW = optimize.Effort(n_global=256, n_local=128, n_starts=5, max_calls=15)
_EFFORT_FOR_POOL = optimize.Effort(n_global=256, n_local=256)
_EFFORT_FOR_ROUGH = optimize.Effort(n_global=64, n_local=64)
_EFFORT_FOR_FIRST = optimize.Effort(n_global=128, n_local=128, n_starts=8, max_calls=8)
_SMALLEST_VARIANCE = 1e-15  # of a difference
_SEEN = 0.02  # a candidate that is better by a smaller share is not worth its column

OfSeconds = Callable[[Tensor], optimize.Acquisition]
"""Maps second candidates (m, d) to the gain of two steps."""


def log_bound(
    mean: Tensor, variance: Tensor, with_best: Tensor, best: Tensor, noise: float
) -> Tensor:
    """log E[(mu(x') - mu(p))^+] after measuring x', differentiable.

    Parameters
    ----------
    mean, variance
        Of f(x').
    with_best
        Covariances of f(x') with f(p), where the best reportable point is p.
    best
        Mean of f(p).
    noise
        Variance of the noise at x'.
    """
    difference = variance - with_best
    total = (variance + noise).clamp_min(_SMALLEST_VARIANCE)
    of_difference = (difference * difference / total).clamp_min(_SMALLEST_VARIANCE**2)
    log_gain: Tensor = log_expected_improvement(mean, of_difference, best)
    return log_gain


def second_candidates(
    model: Model, noise: float, A: Shaped[Tensor, "r d"], region: Region, of_seconds: OfSeconds
) -> Shaped[Tensor, "m d"]:
    """Points of a region that may be the best ones to measure after one more evaluation.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised.
    noise
        Variance of the noise of either observation.
    A
        Points that may be reported; the best ones are looked around first.
    region
        Where the second evaluation may be. All of it where its points are few.
    of_seconds
        What tells promising first points, with second candidates.
    """
    if region.size is not None and region.size <= _LARGEST_GRID:
        return torch.from_numpy(region.grid())
    rng = np.random.default_rng(0)
    incumbents = best_by_mean(model, A, _N_INCUMBENTS)
    now = NoisyExpectedImprovement(model, A, noise)
    X, v = optimize.maximize(now, region, incumbents, rng, effort=_effort(_EFFORT_NOW, region))
    B = torch.from_numpy(X[optimize.spread_out(X, v, _N_NOW)])
    if noise > 0.0:  # what is best so far may be worth another look
        B = torch.cat((B, torch.from_numpy(incumbents[region.holds(incumbents)])))
    rough = optimize.candidates(region, incumbents, _EFFORT_FOR_ROUGH, rng)
    over = torch.cat((B, torch.from_numpy(rough)))
    effort = _effort(_EFFORT_FOR_FIRST, region)
    for _ in range(_N_ROUNDS):
        X, v = optimize.maximize(of_seconds(over), region, incumbents, rng, effort=effort)
        P = torch.from_numpy(X[optimize.spread_out(X, v, _N_FIRST)])
        B = over = _extended(_Rows(model, noise, A, P), region, incumbents, B)
    return B


class _Rows:
    """The gain of one evaluation after every first point and quantile, as `ManyFunctions`."""

    def __init__(self, model: Model, noise: float, A: Tensor, P: Tensor) -> None:
        self.noise, self.P, self.observed = noise, P, Observed(model, torch.cat((P, A)))
        z = torch.tensor(_QUANTILES, dtype=P.dtype)
        n, first = len(P), torch.arange(len(P))
        with torch.no_grad():
            mean = model.posterior(self.observed.A.unsqueeze(-2)).mean[:, 0, 0]
            _, variance, covariance = self.observed.moments(P.unsqueeze(-2))
            root = (variance + noise).sqrt()
            s = covariance / root.unsqueeze(-1)
            after = mean + z[:, None, None] * s
            after[..., :n] = torch.where(torch.eye(n, dtype=torch.bool), after[..., :n], -torch.inf)
            best, column = after.flatten(0, 1).max(-1)
        self.best, self.column = best, column
        self.z, self.first = z.repeat_interleave(n), first.repeat(len(z))
        self.root, self.slope_of_best = root[self.first], s[self.first, column]

    def log_gain(
        self, mean: Tensor, variance: Tensor, with_first: Tensor, with_best: Tensor, row: Tensor
    ) -> Tensor:
        """By the bound, from moments of second candidates that broadcast with the rows (k,)."""
        s = with_first / self.root[row]
        return log_bound(
            mean + s * self.z[row],
            variance - s * s,
            with_best - s * self.slope_of_best[row],
            self.best[row],
            self.noise,
        )

    def everywhere(self, X: Array) -> Tensor:
        """Of every point (N, d) in every row (N, R)."""
        with torch.no_grad():
            mean, variance, covariance = self.observed.moments(torch.from_numpy(X).unsqueeze(-2))
            return self.log_gain(
                mean.unsqueeze(-1),
                variance.unsqueeze(-1),
                covariance[:, self.first],
                covariance[:, self.column],
                torch.arange(len(self.z)),
            )

    def value_and_gradient(self, X: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        """Of points (k, d) in one row each: (k,) and (k, d)."""
        *of_model, pull_back = self.observed.moments_with_pull_back(X)
        with torch.enable_grad():
            moments = [moment.detach().requires_grad_() for moment in of_model]
            mean, variance, covariance = moments
            with_first, with_best = (
                covariance.gather(1, column[row].unsqueeze(1)).squeeze(1)
                for column in (self.first, self.column)
            )
            value = self.log_gain(mean, variance, with_first, with_best, row)
            partials = torch.autograd.grad(value.sum(), moments)
        return value.detach(), pull_back(*partials)


def _effort(effort: optimize.Effort, region: Region) -> optimize.Effort:
    """Under constraints the starts are climbed one after the other: few of them."""
    return replace(effort, n_starts=3) if region.constrained else effort


def _extended(rows: _Rows, region: Region, incumbents: Array, B: Tensor) -> Tensor:
    """B and the maximisers of the rows that are worth more there than any point before them."""
    both = np.concatenate((B.numpy(), _maximisers(rows, region, incumbents, B.numpy())))
    value = rows.everywhere(both)
    gain = (value - value.max()).exp()
    kept, best = list(range(len(B))), gain[: len(B)].amax(0)
    for row in range(len(rows.z)):
        own = gain[len(B) + row, row]
        if own - best[row] > _SEEN * max(float(own), _SEEN):
            kept.append(len(B) + row)
            best = torch.maximum(best, gain[kept[-1]])
    return torch.from_numpy(both[kept])


def _maximisers(rows: _Rows, region: Region, incumbents: Array, B: Array) -> Array:
    """Where the gain of every row is largest (R, d)."""
    rng = np.random.default_rng(1)
    around = np.concatenate((incumbents, rows.P.numpy()))
    pool = np.concatenate((B, optimize.candidates(region, around, _EFFORT_FOR_POOL, rng)))
    return maximisers(rows, region, pool, rng)
