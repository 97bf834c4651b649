"""A Gaussian process whose noise varies from place to place: a second process on its logarithm.

Notation
--------
n, d        distinct points that were observed, columns
c           (n,) how often each of them was (see `replicates`)
lambda(x)   variance of the noise of one observation at x (see `noise_law`)
u           (k,) standard normal: log lambda = m + B u where the noise is not known
Y, K        (n,) means of what was observed, (n, n) covariance of f at the points
theta       logarithms of the hyperparameters of f, and the level m
F           (k, k) expected information on log lambda

    Y | u, theta  ~  N(mean, K + D),   D = diag(lambda / c)
    fit           =  argmax log p(all observations | u, theta) + log p(theta) - 1/2 |u|^2
    F             =  1/2 D ((K + D)^-1)^2 D + 1/2 diag(c - 1),   the square entry by entry

The variances are latent variables, found together with theta from the likelihood of all replicates:
Binois, Gramacy & Ludkovski (2018). Their prior is the same from the first observation
on: with few of them u stays near 0, and the noise near the same everywhere.

lambda(x) counts the uncertainty that is left by Laplace's method, and is the noise of the process
itself too, so that one law holds for what was observed and for what comes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from botorch.posteriors import GPyTorchPosterior
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.data import Dataset
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.models.fit import Method, NegativeLogPosterior
from bayesopt.models.gaussian_process import BOUNDS, GaussianProcess
from bayesopt.models.marginal_likelihood import MarginalLikelihood
from bayesopt.models.noise_law import LatentNoise, NoiseLaw
from bayesopt.models.replicates import Replicates, replicates
from bayesopt.parameter import Array
from bayesopt.quasi_newton import minimize_from

_FARTHEST = 8.0  # entries of u, which are standard normal


class HeteroscedasticGaussianProcess(ExactGaussianProcess):
    """An exact process that knows the noise of an observation anywhere.

    Parameters
    ----------
    X, Y, Yvar, hyperparameters, categories, L
        As in `ExactGaussianProcess`; every variance is known.
    noise_law
        lambda.
    """

    def __init__(
        self,
        X: Shaped[Tensor, "*B n d"],
        Y: Shaped[Tensor, "*B n 1"],
        Yvar: Shaped[Tensor, "*B n 1"],
        hyperparameters: Hyperparameters,
        noise_law: NoiseLaw,
        categories: tuple[tuple[int, int], ...] = (),
        L: Shaped[Tensor, "*B n n"] | None = None,
    ) -> None:
        super().__init__(X, Y, Yvar, hyperparameters, categories, L)
        self.noise_law = noise_law

    @property
    def new_noise(self) -> Tensor:
        """Noise variance that is typical of an observation: the median over the points so far."""
        return self.noise_law.typical

    def noise_at(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """lambda at every point, differentiable."""
        return self.noise_law.at(X)

    def noise_with_pull_back(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Callable[[Tensor], Tensor]]:
        """lambda (b,) without a graph, and the map from derivatives in it (b,) to gradients."""
        return self.noise_law.with_pull_back(X)

    def posterior(
        self,
        X: Shaped[Tensor, "*b q d"],
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Any = None,
    ) -> GPyTorchPosterior:
        """Joint posterior at the q points of every batch; see botorch's `Model.posterior`."""
        if observation_noise is True:
            observation_noise = self.noise_at(X).unsqueeze(-1)
        return super().posterior(X, output_indices, observation_noise, posterior_transform)

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **kwargs: Any
    ) -> "HeteroscedasticGaussianProcess":
        """The same process after more observations; `noise` None takes lambda at their points."""
        noise = self.noise_at(X).unsqueeze(-1) if noise is None else noise
        more = super().condition_on_observations(X, Y, noise)
        return HeteroscedasticGaussianProcess(
            more.X,
            more.Y,
            more.Yvar,
            more.hyperparameters,
            self.noise_law,
            more.features.categories,
            more.L,
        )


def fit_heteroscedastic(
    data: Dataset,
    process: GaussianProcess | None = None,
    *,
    method: Method = "map",
    start: tuple[float, ...] | None = None,
) -> tuple[HeteroscedasticGaussianProcess, tuple[float, ...]]:
    """Fit a process and the noise that varies.

    Parameters
    ----------
    data
        At least one observation, without partial derivatives. What has a known variance keeps it;
        lambda is learnt from the others, or from the known variances where there are no others.
    process
        Kernel, mean and priors of f; None takes the defaults of `GaussianProcess`.
    method
        As in `bayesopt.models.fit`; the prior of u counts in any case.
    start
        What an earlier fit of this study returned as `theta`: another start beside the usual ones.

    Returns
    -------
    model, theta
        The process, over distinct points, and what `fit` returns for that of the typical noise.
    """
    found = replicates(data)
    unknown = found.data.Yvar.isnan().squeeze(-1)
    latent = _latent(found, unknown)
    objective = _Penalised(found, process or GaussianProcess(), method, latent, unknown)
    theta, u = objective.mode(start)
    h = objective.likelihood.hyperparameters(np.concatenate((theta, u)))
    if latent is None:
        log_variance = (found.data.Yvar.squeeze(-1) * found.count).clamp_min(BOUNDS["noise"][0])
        law = LatentNoise(found.data.X, found.data.categories).known(log_variance.log())
    else:
        law = _law(found, unknown, latent, h, torch.from_numpy(u))
    return _process(found, unknown, h, law), objective.of_theta.everything(theta)


def _latent(found: Replicates, unknown: Tensor) -> LatentNoise | None:
    if not bool(unknown.any()):
        return None
    return LatentNoise(found.data.X[unknown], found.data.categories)


def _process(
    found: Replicates, unknown: Tensor, h: Hyperparameters, law: NoiseLaw
) -> HeteroscedasticGaussianProcess:
    data, Yvar = found.data, found.data.Yvar.clone()
    with torch.no_grad():
        Yvar[unknown, 0] = law.at(data.X[unknown]) / found.count[unknown]
    return HeteroscedasticGaussianProcess(data.X, data.Y, Yvar, h, law, data.categories)


def _law(
    found: Replicates, unknown: Tensor, latent: LatentNoise, h: Hyperparameters, u: Tensor
) -> NoiseLaw:
    """lambda around the most likely u, with the information F."""
    data, Yvar, count = found.data, found.data.Yvar.clone(), found.count[unknown]
    Yvar[unknown, 0] = h.noise * (latent.B @ u).exp() / count
    at_mode = ExactGaussianProcess(data.X, data.Y, Yvar, h, data.categories)
    inverse = torch.cholesky_inverse(at_mode.L)[unknown][:, unknown]
    D = Yvar[unknown, 0]
    F = 0.5 * D.unsqueeze(-1) * inverse.square() * D + 0.5 * torch.diag(count - 1.0)
    return latent.found(float(np.log(h.noise)), u, F)


class _Penalised:
    """Minus the log density of theta and u together, and its gradient."""

    def __init__(
        self,
        found: Replicates,
        process: GaussianProcess,
        method: Method,
        latent: LatentNoise | None,
        unknown: Tensor,
    ) -> None:
        variation = None
        if latent is not None:
            variation = torch.zeros(len(found.data), latent.B.shape[1], dtype=latent.B.dtype)
            variation[unknown] = latent.B
        self.likelihood = MarginalLikelihood(found.data, process, found, variation)
        self.of_theta = NegativeLogPosterior(found.data, process, method, self.likelihood)
        self.p = len(self.of_theta.centre)
        self.k = 0 if variation is None else variation.shape[1]

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Values (S,) and gradients (S, p + k) at theta and u (S, p + k)."""
        value, gradient = self.likelihood.value_and_gradient(x)
        theta, u = x[:, : self.p], x[:, self.p :]
        if self.of_theta.method == "map":
            of_prior, slope = self.of_theta.prior.negative_log_density(theta)
            value, gradient[:, : self.p] = value + of_prior, gradient[:, : self.p] + slope
        gradient[:, self.p :] += u
        return value + 0.5 * (u * u).sum(1), gradient

    def mode(self, start: tuple[float, ...] | None) -> tuple[Array, Array]:
        """theta (p,) and u (k,) of the largest density that the search finds."""
        starts, wall = self.of_theta.starts(), np.full(self.k, _FARTHEST)
        if start is not None:
            starts = np.vstack((self.of_theta.learnt(start), starts))
        x, value = minimize_from(
            self,
            np.hstack((starts, np.zeros((len(starts), self.k)))),
            np.concatenate((self.of_theta.low, -wall)),
            np.concatenate((self.of_theta.high, wall)),
            first_step=1.0,
            max_calls=100,
            value_tolerance=1e-2,
            gradient_tolerance=2e-2,
        )
        best: Array = x[int(np.argmin(value))]
        return best[: self.p], best[self.p :]
