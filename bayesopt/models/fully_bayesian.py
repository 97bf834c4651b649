"""Gaussian processes whose hyperparameters are drawn from their posterior, and their mixture.

Notation
--------
J           number of draws
eta_j       hyperparameters of draw j, mu_j and sigma_j^2 its posterior mean and variance

    p(f(x) | D)   = 1/J sum_j p(f(x) | D, eta_j)                        Frazier (2018), Section 3.2
    mean          = 1/J sum_j mu_j
    variance      = 1/J sum_j (sigma_j^2 + mu_j^2) - mean^2
                  = 1/J sum_j sigma_j^2 + 1/J sum_j (mu_j - mean)^2     without cancellation

eta is sampled by slices in theta = log eta, with the coefficients of the prior mean integrated out;
each member then takes their conditional mean. (The mean of the mixture is what drawing them would
give, without its noise; the variance leaves out their own, as that of a fitted process does.)
"""

from typing import Any

import numpy as np
import torch
from botorch.models.model import FantasizeMixin, Model
from botorch.posteriors import GPyTorchPosterior
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.data import Dataset
from bayesopt.models.derivatives.process import DerivativeGaussianProcess
from bayesopt.models.derivatives.rows import HyperparametersWithSlopes
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.models.fit import NegativeLogPosterior, mode, model_at
from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.models.posterior import ExactPosterior
from bayesopt.models.slice_sampling import slice_sample
from bayesopt.parameter import Array

_N_CHAINS = 8
# Rounds. From around the mode the chains forget where they began within about four (means within
# 0.05 standard deviations), and draws two rounds apart are all but independent.
_BURN_IN = 5
_THINNING = 2
_SPREAD = 0.3  # of the first points around the mode, in logarithms


Member = ExactGaussianProcess | DerivativeGaussianProcess


class FullyBayesianGaussianProcess(Model, FantasizeMixin):  # type: ignore[misc]
    """The mixture of several exact Gaussian processes, as an ensemble in the sense of botorch.

    Posteriors have the dimension of the members third from the end, as those of botorch's own
    fully Bayesian models, so that its acquisitions average over them.

    Parameters
    ----------
    models
        The J members: same observations, different hyperparameters.

    Raises
    ------
    ValueError
        If there is no member.
    """

    _is_ensemble = True

    def __init__(self, models: tuple[Member, ...]) -> None:
        super().__init__()
        if not models:
            raise ValueError("A mixture needs at least one member.")
        self.models = models
        self.eval()

    @property
    def num_outputs(self) -> int:
        """One output."""
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        """Batch shape of the observations, and J."""
        return torch.Size([*self.models[0].batch_shape, len(self.models)])

    @property
    def likelihood(self) -> None:
        """No likelihood module: the noise is part of the members."""
        return None

    @property
    def train_inputs(self) -> tuple[Tensor]:
        """The observed points."""
        return self.models[0].train_inputs

    @property
    def train_targets(self) -> Tensor:
        """The scores (*B, n)."""
        return self.models[0].train_targets

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The median of each hyperparameter over the draws."""
        all_of_them = [model.hyperparameters for model in self.models]
        first = all_of_them[0]

        def median(name: str) -> float:
            return float(np.median([getattr(h, name) for h in all_of_them]))

        slopes = {}
        if isinstance(first, HyperparametersWithSlopes):
            slopes = {"slope_noise": median("slope_noise")}
        trends = [h.trend for h in all_of_them if h.trend is not None]
        return type(first)(
            lengthscale=torch.stack([h.lengthscale for h in all_of_them]).quantile(0.5, dim=0),
            noise=median("noise"),
            mean=median("mean"),
            signal=median("signal"),
            kernel=first.kernel,
            shape=None if first.shape is None else median("shape"),
            trend=torch.stack(trends).quantile(0.5, dim=0) if trends else None,
            **slopes,
        )

    @property
    def new_noise(self) -> Tensor:
        """Noise variance of the next observation: the median over the members."""
        return torch.stack([model.new_noise for model in self.models]).quantile(0.5)

    def posterior(
        self,
        X: Shaped[Tensor, "*b q d"],
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Any = None,
    ) -> GPyTorchPosterior:
        """Joint posteriors (*b, J, q) of all members; see botorch's `Model.posterior`."""
        members = [model.posterior(X, None, observation_noise) for model in self.models]
        scale = torch.tensor([model.hyperparameters.signal for model in self.models])
        posterior = MixturePosterior(
            torch.stack([member.mean.squeeze(-1) for member in members], dim=-2),
            torch.stack([member.covariance for member in members], dim=-3),
            scale.to(X.dtype).unsqueeze(-1),
        )
        if posterior_transform is not None:
            return posterior_transform(posterior=posterior, X=X)
        return posterior

    def marginals(
        self, X: Shaped[Tensor, "*b d"]
    ) -> tuple[Shaped[Tensor, "*b"], Shaped[Tensor, "*b"]]:
        """Mean and variance of the mixture at every point on its own."""
        moments = [model.marginals(X) for model in self.models]
        return _mixture_moments(
            torch.stack([mean for mean, _ in moments]),
            torch.stack([variance for _, variance in moments]),
            dim=0,
        )

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **kwargs: Any
    ) -> "FullyBayesianGaussianProcess":
        """The same mixture after more observations; its weights stay equal.

        Parameters
        ----------
        X, noise
            (*b, m, d) points and (*b, m, 1) noise variances, the same for every member.
        Y
            (m, 1) scores for all members, or (*B, J, m, 1) for each its own, as a sample from
            `posterior` has them.
        **kwargs
            Ignored; botorch's fantasies pass options of other models.

        Raises
        ------
        ValueError
            If Y has a batch shape without the dimension of the members.
        """
        J = len(self.models)
        if Y.dim() > 2 and Y.shape[-3] != J:
            raise ValueError(f"Y must have the shape (..., {J}, m, 1), but got {tuple(Y.shape)}.")
        each = [Y] * J if Y.dim() == 2 else Y.unbind(-3)
        return FullyBayesianGaussianProcess(
            tuple(
                model.condition_on_observations(X, own, noise)
                for model, own in zip(self.models, each, strict=True)
            )
        )


class MixturePosterior(ExactPosterior):
    """Normal laws (*b, J, q) of the J members of a mixture.

    Parameters
    ----------
    mean, covariance
        (*b, J, q) and (*b, J, q, q).
    scale
        (J, 1) prior variances.
    """

    @property
    def mixture_mean(self) -> Tensor:
        """Mean of the mixture (*b, q, 1)."""
        return self.mean.mean(-3)

    @property
    def mixture_variance(self) -> Tensor:
        """Variance of the mixture (*b, q, 1)."""
        return _mixture_moments(self.mean, self.variance, dim=-3)[1]


def _mixture_moments(mean: Tensor, variance: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of an equal mixture, Frazier (2018), Section 3.2."""
    return mean.mean(dim), variance.mean(dim) + mean.var(dim, correction=0)


def sample(
    data: Dataset,
    process: GaussianProcess | None = None,
    rng: np.random.Generator | None = None,
    *,
    n_draws: int = 16,
    start: tuple[float, ...] | None = None,
) -> tuple[FullyBayesianGaussianProcess, tuple[float, ...]]:
    """Draw hyperparameters from their posterior, and build the mixture.

    Parameters
    ----------
    data
        At least one observation.
    process
        Kernel, mean and priors; None takes the defaults of `GaussianProcess`.
    rng
        Source of all randomness; None is a generator of the seed 0.
    n_draws
        Number J of members.
    start
        What an earlier call for this study returned as `theta`.

    Returns
    -------
    model, theta
        The mixture, and the mode of the posterior that the chains began around: what `fit` would
        have returned as `theta`.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    objective = NegativeLogPosterior(data, process or GaussianProcess())
    best = mode(objective, len(data), start)
    draws = draw(objective, best, rng, n_draws)
    members = tuple(model_at(data, objective, theta) for theta in draws)
    return FullyBayesianGaussianProcess(members), objective.everything(best)


def draw(
    objective: NegativeLogPosterior, best: Array, rng: np.random.Generator, n_draws: int
) -> Array:
    """Draws (J, p) of theta from its posterior, by chains that begin around its mode (p,)."""
    if len(best) == 0:
        return np.tile(best, (n_draws, 1))
    chains = min(_N_CHAINS, n_draws)
    around = best + _SPREAD * rng.standard_normal((chains, len(best)))
    around = np.clip(around, objective.low, objective.high)
    possible = np.isfinite(objective.log_density(around))
    around[~possible] = best
    draws = slice_sample(
        objective.log_density,
        around,
        1.0,
        rng,
        n_samples=-(-n_draws // chains),
        burn_in=_BURN_IN,
        thinning=_THINNING,
    )
    return draws.reshape(-1, len(best))[:n_draws]
