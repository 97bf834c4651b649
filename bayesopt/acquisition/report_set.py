"""The points where the posterior mean may come to be largest after the next evaluations.

Notation
--------
A           (m, d) the report set
P           (p, d) points that may be evaluated next, Sigma(P, P) + lambda I = L L'
W           (R, p) coefficients of R hypothetical observations at them: rows L^-T z, z normal
mu, Sigma   posterior mean and covariance
lambda      variance of the noise of the next observation, at P where it varies

    f_W(x) = mu(x) + Sigma(x, P) W'      the posterior mean after those observations

A holds the maximisers of mu and of f_W, for promising candidates one by one and some quantiles z of
the normal law. Which candidates promise something is asked of the acquisition over the report set
so far: a few rounds of looking for candidates and for the reports they may lead to. Everything is
drawn from a fixed seed, and all f_W are climbed at once (see `many_functions`).

Where slopes are observed too, P, L and W are those of the values and slopes at every point, p r of
them (see `derivative_knowledge_gradient`).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from botorch.models.model import Model
from botorch.utils.sampling import draw_sobol_normal_samples
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt import optimize
from bayesopt.acquisition import many_functions
from bayesopt.acquisition.observed import Observed
from bayesopt.acquisition.pending import noise_at
from bayesopt.acquisition.posterior_mean import PosteriorMeanWithGradient, best_by_mean
from bayesopt.data import Dataset
from bayesopt.parameter import Array
from bayesopt.region import Region

LARGEST_GRID = 256
N_ROUNDS = 2
N_CANDIDATES = 10
_N_INCUMBENTS = 5
_QUANTILES = (-2.5, -1.5, -0.75, -0.25, 0.25, 0.75, 1.5, 2.5)
EFFORT_FOR_THE_MEAN = optimize.Effort(n_global=128, n_local=128, n_starts=3)
_EFFORT_FOR_POOL = optimize.Effort(n_global=256, n_local=256)
EFFORT_FOR_ROUGH = optimize.Effort(n_global=128, n_local=64)
EFFORT_FOR_CANDIDATES = optimize.Effort(n_global=256, n_local=128, n_starts=10, max_calls=8)
EFFORT_UNDER_CONSTRAINTS = replace(EFFORT_FOR_CANDIDATES, n_starts=3)  # one after the other
N_OF_MEAN = 3
_JITTER = 1e-10  # points that are asked twice at once, without noise
_ROUNDING = 1e-14  # of covariances of scores
_SEEN = 0.01  # a report that adds a smaller share to a gain is not worth its line

OfReports = Callable[[Tensor], optimize.Acquisition]
"""Maps a report set (m, d) to the acquisition over it."""

Hypothetical = Callable[[Tensor], Tensor]
"""Maps points (p, d) to coefficients W (R, p r) of observations at each of them alone."""


def report_set(
    model: Model,
    noise: float | None,
    data: Dataset,
    region: Region,
    of_reports: OfReports,
    with_slopes: Hypothetical | None = None,
) -> Shaped[Tensor, "m d"]:
    """Points of a region that one of the next evaluations may make the best one.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised.
    noise
        Variance of the noise of the next observation; None: the model says it (``noise_at``).
    data
        Its points are looked around first.
    region
        Where reportable points lie. All of them are reported where they are few.
    of_reports
        What tells promising candidates, over a report set.
    with_slopes
        The hypothetical observations, where they have slopes; None: some quantiles of the values.
    """

    def after(P: Tensor, A: Tensor) -> Tensor:
        W = with_slopes(P) if with_slopes else one_by_one(model, noise, P)
        return extended(model, P, W, region, A, slopes=with_slopes is not None)

    return found_in_rounds(model, data.X, region, region, of_reports, after)


def found_in_rounds(
    model: Model,
    X: Shaped[Tensor, "n d"],
    reports: Region,
    everywhere: Region,
    of_reports: OfReports,
    after: Callable[[Tensor, Tensor], Tensor],
) -> Shaped[Tensor, "m d"]:
    """A report set by rounds of looking for candidates and for the reports they may lead to.

    Parameters
    ----------
    model
        A botorch Model of what is reported, with one output.
    X
        Evaluated points, which are looked around first.
    reports, everywhere
        Where reportable points lie, all of them reported where they are few; and candidates.
    of_reports
        What tells promising candidates, over a report set.
    after
        Maps candidates (p, d) and a report set to one with those that they may lead to.
    """
    if reports.size is not None and reports.size <= LARGEST_GRID:
        return torch.from_numpy(reports.grid())
    rng = np.random.default_rng(0)
    mean = PosteriorMeanWithGradient(model)
    incumbents = best_by_mean(model, X, _N_INCUMBENTS)
    starts = incumbents if reports is everywhere else reports.space.snap(incumbents)
    found, v = optimize.maximize(mean, reports, starts, rng, effort=EFFORT_FOR_THE_MEAN)
    A = torch.from_numpy(found[optimize.spread_out(found, v, N_OF_MEAN)])
    # The first candidates are judged by many rough reports, or all would be next to known ones.
    rough = optimize.candidates(reports, A.numpy(), EFFORT_FOR_ROUGH, rng)
    over = torch.cat((A, torch.from_numpy(rough)))
    effort = EFFORT_UNDER_CONSTRAINTS if everywhere.constrained else EFFORT_FOR_CANDIDATES
    for _ in range(N_ROUNDS):
        found, v = optimize.maximize(of_reports(over), everywhere, incumbents, rng, effort=effort)
        rows = optimize.spread_out(found, v, N_CANDIDATES)
        if not rows:  # nothing is worth anything
            break
        A = over = after(torch.from_numpy(found[rows]), A)
    return A


def extended(
    model: Model,
    P: Shaped[Tensor, "p d"],
    W: Shaped[Tensor, "R s"],
    region: Region,
    A: Shaped[Tensor, "m d"],
    *,
    slopes: bool = False,
) -> Shaped[Tensor, "k d"]:
    """A report set and the maximisers of f_W that are worth more than any point before them.

    A gain is counted from where the point that is best now comes to lie.

    Parameters
    ----------
    model
        A botorch Model with one output.
    P, W
        Points of the hypothetical observations, and their coefficients.
    region
        Where to look.
    A
        The report set; the search looks at its points and around them.
    slopes
        At every point the value and its slopes are observed, in this order (see `Observed`).
    """
    return extended_by(Observed(model, P, slopes), W, region, A)


def extended_by(
    observed: Observed, W: Shaped[Tensor, "R s"], region: Region, A: Shaped[Tensor, "m d"]
) -> Shaped[Tensor, "k d"]:
    """`extended` by whatever is observed at its points."""
    both = torch.cat((A, torch.from_numpy(hypothetical_maximisers(observed, W, region, A))))
    f, mean = _Hypothetical(observed, W).with_mean(both)
    now, best = f[int(mean[: len(A)].argmax())], f[: len(A)].amax(0)
    kept = list(range(len(A)))
    for row in range(len(W)):
        value = f[len(A) + row, row]
        if value - best[row] > _SEEN * (value - now[row]):
            kept.append(len(A) + row)
            best = torch.maximum(best, f[kept[-1]])
    return both[kept]


def coefficients(
    model: Model, noise: float | None, P: Shaped[Tensor, "p d"], n: int
) -> Shaped[Tensor, "n p"]:
    """W of n quasi-random observations at all points together."""
    with torch.no_grad():
        covariance = model.posterior(P).distribution.covariance_matrix
        L = cholesky_with_noise(covariance, noise_at(model, noise, P))
        Z = draw_sobol_normal_samples(len(P), n, dtype=P.dtype, seed=0)
        W: Tensor = torch.linalg.solve_triangular(L.T, Z.T, upper=True).T
    return W


def cholesky_with_noise(
    covariance: Shaped[Tensor, "*b q q"], noise: float | Shaped[Tensor, "*b q"]
) -> Tensor:
    """L (*b, q, q) of q observations, also where points are the same or known without noise."""
    largest = covariance.diagonal(dim1=-2, dim2=-1).amax(-1, keepdim=True)
    diagonal = (noise + _JITTER * largest + _ROUNDING).expand(covariance.shape[:-1])
    L: Tensor = torch.linalg.cholesky(covariance + torch.diag_embed(diagonal))
    return L


def one_by_one(
    model: Model, noise: float | None, P: Shaped[Tensor, "p d"]
) -> Shaped[Tensor, "k p"]:
    """W of every quantile at every point alone; None: with the noise that the model says."""
    with torch.no_grad():
        variance = model.posterior(P.unsqueeze(-2)).variance[:, 0, 0]
        sd = (variance + noise_at(model, noise, P)).sqrt()
    z = torch.tensor(_QUANTILES, dtype=P.dtype)
    return torch.diag(1.0 / sd).repeat_interleave(len(z), 0) * z.repeat(len(P)).unsqueeze(-1)


def hypothetical_maximisers(observed: Observed, W: Tensor, region: Region, A: Tensor) -> Array:
    """Where every f_W is largest (R, d), looking from A and from the points P of the model."""
    rng = np.random.default_rng(1)
    P = region.space.snap(observed.A.numpy())  # where columns are fixed, those may be elsewhere
    guesses = np.concatenate((A.numpy(), P[region.holds(P)]))
    pool = np.concatenate((guesses, optimize.candidates(region, guesses, _EFFORT_FOR_POOL, rng)))
    return many_functions.maximisers(_Hypothetical(observed, W), region, pool, rng)


class _Hypothetical:
    """All f_W, as `many_functions.ManyFunctions`."""

    def __init__(self, observed: Observed, W: Tensor) -> None:
        self.observed, self.W = observed, W

    def with_mean(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Every f_W (N, R), and mu (N,), at points (N, d)."""
        with torch.no_grad():
            mean, _, covariance = self.observed.moments(X.unsqueeze(-2))
        return mean.unsqueeze(-1) + covariance @ self.W.T, mean

    def everywhere(self, X: Array) -> Tensor:
        return self.with_mean(torch.from_numpy(X))[0]

    def value_and_gradient(self, X: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        w = self.W[r]
        mean, variance, covariance, pull_back = self.observed.moments_with_pull_back(X)
        gradient = pull_back(torch.ones_like(mean), torch.zeros_like(variance), w)
        return mean + (covariance * w).sum(-1), gradient
