"""The points where the posterior mean may come to be largest after the next evaluations.

Notation
--------
A           (m, d) the report set
P           (p, d) points that may be evaluated next, Sigma(P, P) + lambda I = L L'
W           (R, p) coefficients of hypothetical observations at them: rows L^-T z, z normal
mu, Sigma   posterior mean and covariance

    f_W(x) = mu(x) + Sigma(x, P) W'        the posterior mean after those observations

A holds the maximisers of mu and of f_W, for promising candidates one by one and some quantiles z of
the normal law. Which candidates promise something is asked of the acquisition over the report set
so far: a few rounds of looking for candidates and for the reports they may lead to. Everything is
drawn from a fixed seed.

All f_W are climbed at once, as one function of x and of the number of W, which stays as it is.
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
from bayesopt.acquisition.observed import Observed
from bayesopt.acquisition.posterior_mean import PosteriorMeanWithGradient
from bayesopt.data import Dataset
from bayesopt.parameter import Array, Categorical, Float, Parameter
from bayesopt.quasi_newton import minimize_from
from bayesopt.region import Region
from bayesopt.space import Space

_LARGEST_GRID = 256
_N_ROUNDS = 2
_N_CANDIDATES = 10
_N_INCUMBENTS = 5
_QUANTILES = (-2.5, -1.5, -0.75, -0.25, 0.25, 0.75, 1.5, 2.5)
_EFFORT_FOR_THE_MEAN = optimize.Effort(n_global=128, n_local=128, n_starts=3)
_EFFORT_FOR_POOL = optimize.Effort(n_global=256, n_local=256)
_EFFORT_FOR_ROUGH = optimize.Effort(n_global=128, n_local=64)
_EFFORT_FOR_CANDIDATES = optimize.Effort(n_global=256, n_local=128, n_starts=10, max_calls=8)
_EFFORT_UNDER_CONSTRAINTS = replace(_EFFORT_FOR_CANDIDATES, n_starts=3)  # one after the other
_N_OF_MEAN = 3
_N_ZOOMS = 3
_N_AROUND = 256
_MAX_CALLS = 20
_JITTER = 1e-10  # points that are asked twice at once, without noise
_ROUNDING = 1e-14  # of covariances of scores
_SEEN = 0.01  # a report that adds a smaller share to a gain is not worth its line

OfReports = Callable[[Tensor], optimize.Acquisition]
"""Maps a report set (m, d) to the acquisition over it."""

Hypothetical = Callable[[Tensor], Tensor]
"""Maps points (p, d) to coefficients W (R, p r) of observations at each of them alone."""


def report_set(
    model: Model,
    noise: float,
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
        Variance of the noise of the next observation.
    data
        Its points are looked around first.
    region
        Where reportable points lie. All of them are reported where they are few.
    of_reports
        What tells promising candidates, over a report set.
    with_slopes
        The hypothetical observations, where they have slopes; None: some quantiles of the values.
    """
    if region.size is not None and region.size <= _LARGEST_GRID:
        return torch.from_numpy(region.grid())
    rng = np.random.default_rng(0)
    mean = PosteriorMeanWithGradient(model)
    incumbents = _incumbents(mean, data)
    X, v = optimize.maximize(mean, region, incumbents, rng, effort=_EFFORT_FOR_THE_MEAN)
    A = torch.from_numpy(X[optimize.spread_out(X, v, _N_OF_MEAN)])
    # The first candidates are judged by many rough reports, or all would be next to known ones.
    rough = optimize.candidates(region, A.numpy(), _EFFORT_FOR_ROUGH, rng)
    over = torch.cat((A, torch.from_numpy(rough)))
    effort = _EFFORT_UNDER_CONSTRAINTS if region.constrained else _EFFORT_FOR_CANDIDATES
    for _ in range(_N_ROUNDS):
        X, v = optimize.maximize(of_reports(over), region, incumbents, rng, effort=effort)
        rows = optimize.spread_out(X, v, _N_CANDIDATES)
        if not rows:  # nothing is worth anything
            break
        P = torch.from_numpy(X[rows])
        W = with_slopes(P) if with_slopes else _one_by_one(model, noise, P)
        A = over = extended(model, P, W, region, A, slopes=with_slopes is not None)
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
    observed = Observed(model, P, slopes)
    both = torch.cat((A, torch.from_numpy(maximisers(observed, W, region, A))))
    f, mean = _hypothetical(observed, W, both)
    now, best = f[int(mean[: len(A)].argmax())], f[: len(A)].amax(0)
    kept = list(range(len(A)))
    for row in range(len(W)):
        value = f[len(A) + row, row]
        if value - best[row] > _SEEN * (value - now[row]):
            kept.append(len(A) + row)
            best = torch.maximum(best, f[kept[-1]])
    return both[kept]


def coefficients(
    model: Model, noise: float, P: Shaped[Tensor, "p d"], n: int
) -> Shaped[Tensor, "n p"]:
    """W of n quasi-random observations at all points together."""
    with torch.no_grad():
        covariance = model.posterior(P).distribution.covariance_matrix
        L = cholesky_with_noise(covariance, noise)
        Z = draw_sobol_normal_samples(len(P), n, dtype=P.dtype, seed=0)
        W: Tensor = torch.linalg.solve_triangular(L.T, Z.T, upper=True).T
    return W


def cholesky_with_noise(covariance: Shaped[Tensor, "*b q q"], noise: float) -> Tensor:
    """L (*b, q, q) of q observations, also where points are the same or known without noise."""
    largest = covariance.diagonal(dim1=-2, dim2=-1).amax(-1)
    diagonal = (noise + _JITTER * largest + _ROUNDING)[..., None, None]
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype)
    L: Tensor = torch.linalg.cholesky(covariance + diagonal * eye)
    return L


def cube_of(data: Dataset) -> Region:
    """The unit cube with the categories of the data."""
    sizes = dict(data.categories)
    parameters: dict[str, Parameter] = {
        f"x{j}": Categorical(list(range(sizes[j]))) if j in sizes else Float(0.0, 1.0)
        for j in range(data.X.shape[1])
    }
    return Region(Space(**parameters))


def _incumbents(mean: PosteriorMeanWithGradient, data: Dataset) -> Array:
    with torch.no_grad():
        order = torch.argsort(mean(data.X.unsqueeze(-2)), descending=True, stable=True)
    best: Array = data.X[order[:_N_INCUMBENTS]].numpy()
    return best


def _one_by_one(model: Model, noise: float, P: Tensor) -> Tensor:
    """W (p k, p) of every quantile at every point alone."""
    with torch.no_grad():
        sd = (model.posterior(P.unsqueeze(-2)).variance[:, 0, 0] + noise).sqrt()
    z = torch.tensor(_QUANTILES, dtype=P.dtype)
    return torch.diag(1.0 / sd).repeat_interleave(len(z), 0) * z.repeat(len(P)).unsqueeze(-1)


def maximisers(observed: Observed, W: Tensor, region: Region, A: Tensor) -> Array:
    """Where every f_W is largest (R, d), looking from A and from the points P of the model."""
    rng = np.random.default_rng(1)
    P = observed.A.numpy()
    guesses = np.concatenate((A.numpy(), P[region.holds(P)]))
    pool = np.concatenate((guesses, optimize.candidates(region, guesses, _EFFORT_FOR_POOL, rng)))
    X = _best_of(observed, W, pool)
    real = region.space.columns("float")
    if not real:
        return X
    if not region.constrained:
        return _climbed(observed, W, X, real)
    for _ in range(_N_ZOOMS):
        X = _best_of(observed, W, np.concatenate((X, region.around(X, _N_AROUND, rng))))
    return X


def _hypothetical(observed: Observed, W: Tensor, X: Tensor) -> tuple[Tensor, Tensor]:
    """Every f_W (N, R), and mu (N,), at points (N, d)."""
    with torch.no_grad():
        mean, _, covariance = observed.moments(X.unsqueeze(-2))
    return mean.unsqueeze(-1) + covariance @ W.T, mean


def _best_of(observed: Observed, W: Tensor, pool: Array) -> Array:
    """The row (R, d) of the pool where every f_W is largest."""
    f, _ = _hypothetical(observed, W, torch.from_numpy(pool))
    best: Array = pool[f.argmax(0).numpy()]
    return best


def _climbed(observed: Observed, W: Tensor, X: Array, real: list[int]) -> Array:
    """Local maximisers (R, d) of f_W from X (R, d), in the real columns.

    Every start carries the number of its W, as a column that stays where it is.
    """
    d = X.shape[1]
    start = np.column_stack((X, np.arange(len(X), dtype=np.float64)))
    low, high = start.copy(), start.copy()
    low[:, real], high[:, real] = 0.0, 1.0

    def negative(at: Array) -> tuple[Array, Array]:
        x, w = torch.from_numpy(np.ascontiguousarray(at[:, :d])), W[at[:, d].astype(np.int64)]
        mean, variance, covariance, pull_back = observed.moments_with_pull_back(x)
        slope = pull_back(torch.ones_like(mean), torch.zeros_like(variance), w)
        value = mean + (covariance * w).sum(-1)
        return -value.numpy(), -np.pad(slope.numpy(), ((0, 0), (0, 1)))

    found, _ = minimize_from(
        negative, start, low, high, max_calls=_MAX_CALLS, first_step=0.05, only_best=False
    )
    return found[:, :d]
