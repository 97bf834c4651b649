"""Where the best point may lie and how good it may be: maxima of sampled functions.

Notation
--------
S           number of samples
P           (p, d) points all over the region and around good ones
L           Cholesky factor of the posterior covariance of f(P)
f_s         one sampled function
x*_s, f*_s  its maximiser and maximum

    f_s(x) = mu(x) + Sigma(x, P) L^-T z_s,    z_s standard normal

is the posterior sample at P, and between these points its conditional mean. It is a smooth function
whose maximum is climbed from the best of many points. Everything is drawn from a fixed seed.
"""

from dataclasses import dataclass

import numpy as np
import torch
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt import optimize
from bayesopt.acquisition.observed import Observed
from bayesopt.acquisition.posterior_mean import PosteriorMeanWithGradient, best_by_mean
from bayesopt.acquisition.report_set import hypothetical_maximisers
from bayesopt.data import Dataset
from bayesopt.region import Region

_LARGEST_GRID = 256
_N_INCUMBENTS = 5
_N_OF_MEAN = 2
_EFFORT_FOR_THE_MEAN = optimize.Effort(n_global=128, n_local=128, n_starts=3)
_EFFORT_FOR_SUPPORT = optimize.Effort(n_global=256, n_local=256)
_JITTERS = tuple(10.0**exponent for exponent in range(-12, 4))  # relative to the largest variance
_ROUNDING = 1e-14  # of covariances of scores


@dataclass(frozen=True)
class OptimalSamples:
    """Maximisers X (S, d) of sampled functions, and their maxima f (S,)."""

    X: Shaped[Tensor, "S d"]
    f: Shaped[Tensor, " S"]

    def distinct(self) -> tuple[Shaped[Tensor, "k d"], Shaped[Tensor, " k"]]:
        """Different maximisers, and the share of the samples that each of them has."""
        X, times = np.unique(self.X.numpy(), axis=0, return_counts=True)
        return torch.from_numpy(X), torch.from_numpy(times / len(self.f))


def optimal_samples(
    model: Model, data: Dataset, region: Region, n: int, seed: int = 0
) -> OptimalSamples:
    """Maximise n functions that are drawn from the posterior, over a region.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised. Between the points of the sample only
        one that has closed forms is climbed.
    data
        Its best points are looked around.
    region
        Where the maximum may lie; a small finite one is sampled as a whole.
    n
        Number of samples.
    seed
        Of the samples.
    """
    rng = np.random.default_rng(seed)
    if region.size is not None and region.size <= _LARGEST_GRID:
        P = good = torch.from_numpy(region.grid())
    else:
        good = good_points(model, data, region)
        spread = optimize.candidates(region, good.numpy(), _EFFORT_FOR_SUPPORT, rng)
        P = torch.from_numpy(np.unique(np.concatenate((good.numpy(), spread)), axis=0))
    z = torch.from_numpy(rng.standard_normal((n, len(P))))
    mean, L = sampled_at(model, P)
    f = mean + z @ L.T
    best = f.argmax(1)
    on_P = OptimalSamples(P[best], f.gather(1, best.unsqueeze(1)).squeeze(1))
    if good is P:
        return on_P
    observed = Observed(model, P)
    if observed.weights is None:
        return on_P
    W = torch.linalg.solve_triangular(L.T, z.T, upper=True).T
    X = torch.from_numpy(hypothetical_maximisers(observed, W, region, good))
    with torch.no_grad():
        at_X, _, covariance = observed.moments(X.unsqueeze(-2))
    value = at_X + (covariance * W).sum(-1)
    higher = value > on_P.f
    return OptimalSamples(
        torch.where(higher.unsqueeze(-1), X, on_P.X), torch.where(higher, value, on_P.f)
    )


def sampled_at(
    model: Model, P: Shaped[Tensor, "p d"]
) -> tuple[Shaped[Tensor, " p"], Shaped[Tensor, "p p"]]:
    """Mean and Cholesky factor of f(P): mean + L z is a sample."""
    with torch.no_grad():
        posterior = model.posterior(P)
        covariance = posterior.distribution.covariance_matrix
        return posterior.mean.squeeze(-1), _root(covariance)


def _root(covariance: Tensor) -> Tensor:
    """Lower Cholesky factor, with as little jitter as it takes.

    Where exact observations are all but on one another, rounding makes a covariance indefinite.
    """
    scale = float(covariance.diagonal().max()) + _ROUNDING
    eye = torch.eye(len(covariance), dtype=covariance.dtype)
    for jitter in (0.0, *_JITTERS):
        L: Tensor
        L, info = torch.linalg.cholesky_ex(covariance + jitter * scale * eye)
        if not info.any():
            break
    return L


def good_points(model: Model, data: Dataset, region: Region) -> Tensor:
    """The best observed points (k, d) of the region, and the maximisers of the posterior mean."""
    mean = PosteriorMeanWithGradient(model)
    incumbents = best_by_mean(model, data.X, _N_INCUMBENTS)
    rng = np.random.default_rng(0)
    X, v = optimize.maximize(mean, region, incumbents, rng, effort=_EFFORT_FOR_THE_MEAN)
    found = X[optimize.spread_out(X, v, _N_OF_MEAN)]
    return torch.from_numpy(np.concatenate((found, incumbents[region.holds(incumbents)])))
