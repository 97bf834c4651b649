"""Hyperparameters by maximum a posteriori, with the closed-form gradient.

Notation
--------
n, d, S     observations, columns, starts that are fitted together
theta       (S, p) logarithms: d length-scales, then the signal variance if observations are
            exact, then the noise variance if it is inferred
a, c        signal variance, constant mean
K           (S, n, n) = a k(Z, Z) + diag(noise),    r = Y - c,    alpha = K^-1 r

    log p(Y | theta) = -1/2 r' alpha - 1/2 log|K| - n/2 log 2 pi       Frazier (2018), Section 3.2
    d log p / d K    = 1/2 (alpha alpha' - K^-1)                       R&W (2006), Eq. (5.9)
    c                = 1' K^-1 Y / 1' K^-1 1                           its best value

Priors are normal in theta. The length-scale prior grows with the dimension as sqrt(d), so that
distances stay comparable to the length-scales as d grows (Hvarfner, Hellsten & Nardi 2024).
Under noise the signal variance stays 1, that of the standardised scores: as a search gathers
near the optimum, what varies there is mostly noise, and a learnt one shrinks until nothing seems
worth exploring.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.data import Dataset
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.models.kernels import CORRELATIONS, Features, squared_distance
from bayesopt.quasi_newton import Array, minimize_from

_JITTER = 1e-10
_FRESH_START_EVERY = 5


@dataclass(frozen=True)
class Priors:
    """Normal priors on logarithms, as (mean, standard deviation).

    Parameters
    ----------
    lengthscale
        Prior of a log length-scale, before log(d) / 2 is added to its mean.
    signal
        Prior of the log signal variance; scores are standardised.
    noise
        Prior of the log noise variance.
    """

    lengthscale: tuple[float, float] = (math.log(0.35), 1.0)
    signal: tuple[float, float] = (0.0, 1.0)
    noise: tuple[float, float] = (-4.0, 4.0)


_BOUNDS = {
    "lengthscale": (math.log(5e-3), math.log(1e3)),
    "signal": (math.log(1e-3), math.log(1e4)),
    "noise": (math.log(1e-8), math.log(1e2)),
}


class NegativeLogPosterior:
    """Negative log posterior density of theta for one dataset, and its gradient.

    Parameters
    ----------
    data
        The observations.
    correlation
        Name of the kernel.
    priors
        Priors of theta; None leaves the likelihood alone.
    """

    def __init__(self, data: Dataset, correlation: str, priors: Priors | None) -> None:
        self.features = Features(data.X.shape[1], data.categories)
        self.F = self.features.of(data.X)
        self.column_of = torch.tensor(self.features.column_of)
        self.correlation = CORRELATIONS[correlation]
        self.n, self.d = data.X.shape
        self.unknown = data.Yvar.isnan().squeeze(-1).double()
        self.known_noise = data.Yvar.nan_to_num(0.0).squeeze(-1) + _JITTER
        self.targets = torch.cat((data.Y, torch.ones_like(data.Y)), dim=-1)
        self.learns_signal = bool((data.Yvar == 0.0).all())
        self.learns_noise = data.noise_is_inferred
        self.names = ["lengthscale"] * self.d
        self.names += ["signal"] * self.learns_signal + ["noise"] * self.learns_noise
        self.priors = priors
        moments = [getattr(priors or Priors(), name) for name in self.names]
        self.prior_mean, self.prior_sd = np.array(moments).T
        self.prior_mean[: self.d] += 0.5 * math.log(self.d)
        self.low, self.high = np.array([_BOUNDS[name] for name in self.names]).T
        # Where the learnt ones stand among all d + 2, whatever the noise of the data.
        learnt = [True] * self.d + [self.learns_signal, self.learns_noise]
        self.among_all = np.flatnonzero(learnt)

    def learnt(self, everything: tuple[float, ...]) -> Array:
        """The part (p,) that is learnt here of all d + 2 logarithms."""
        return np.array(everything)[self.among_all]

    def everything(self, theta: Array) -> tuple[float, ...]:
        """All d + 2 logarithms: those of theta (p,), and prior means where none is learnt."""
        priors = self.priors or Priors()
        entries = np.append(np.zeros(self.d), (priors.signal[0], priors.noise[0]))
        entries[self.among_all] = theta
        return tuple(entries.tolist())

    def __call__(self, theta: Array) -> tuple[Array, Array]:
        """Values (S,) and gradients (S, p) at theta (S, p); infinite where K is singular."""
        of_data = self._negative_log_likelihood(torch.from_numpy(np.exp(theta)))
        value: Array = of_data[0].numpy()
        gradient: Array = of_data[1].numpy()
        if self.priors is not None:
            standard = (theta - self.prior_mean) / self.prior_sd
            normaliser = np.log(self.prior_sd).sum() + 0.5 * len(standard.T) * math.log(2 * math.pi)
            value = value + 0.5 * (standard**2).sum(axis=1) + normaliser
            gradient = gradient + standard / self.prior_sd
        return value, gradient

    def _factor(self, h: Tensor) -> tuple[Tensor, ...]:
        """Z, k, slope, L and [K^-1 Y, K^-1 1] for hyperparameters h = exp(theta)."""
        Z = self.F / h[:, None, self.column_of]
        k, slope = self.correlation(squared_distance(Z, Z))
        signal = h[:, self.d, None, None] if self.learns_signal else 1.0
        noise = self.known_noise.expand(len(h), -1)
        if self.learns_noise:
            noise = noise + h[:, -1:] * self.unknown
        K = signal * k
        K.diagonal(dim1=-2, dim2=-1).add_(noise)
        L, info = torch.linalg.cholesky_ex(K)
        L = torch.where((info > 0)[:, None, None], torch.nan, L)
        return Z, signal * k, signal * slope, L, torch.cholesky_solve(self.targets, L)

    def _negative_log_likelihood(self, h: Tensor) -> tuple[Tensor, Tensor]:
        Z, ak, aslope, L, solved = self._factor(h)
        mean = _profiled_mean(solved)
        residual = self.targets[:, 0] - mean[:, None]
        alpha = solved[..., 0] - mean[:, None] * solved[..., 1]
        value = 0.5 * torch.linalg.vecdot(residual, alpha)
        value = value + L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        value = value + 0.5 * self.n * math.log(2.0 * math.pi)

        W = torch.cholesky_inverse(L).nan_to_num()
        W = 0.5 * W.sub_(alpha.unsqueeze(-1) * alpha.unsqueeze(-2))  # -d log p / d K, Eq. (5.9)
        P = W * aslope
        by_feature = -4.0 * ((P.sum(-1, keepdim=True) * Z - P @ Z) * Z).sum(-2)
        gradient = torch.zeros_like(h)
        gradient[:, : self.d].index_add_(1, self.column_of, by_feature)
        if self.learns_signal:
            gradient[:, self.d] = (W * ak).sum((-2, -1))
        if self.learns_noise:
            diagonal = W.diagonal(dim1=-2, dim2=-1)
            gradient[:, -1] = (diagonal * self.unknown).sum(-1) * h[:, -1]
        return value.nan_to_num(nan=torch.inf), gradient.nan_to_num()

    def hyperparameters(self, theta: Array, correlation: str) -> Hyperparameters:
        """What one theta (p,) stands for, with its best constant mean."""
        h = torch.from_numpy(np.exp(theta))
        mean = float(_profiled_mean(self._factor(h[None])[-1]))
        return Hyperparameters(
            lengthscale=h[: self.d],
            noise=float(h[-1]) if self.learns_noise else 0.0,
            mean=mean if math.isfinite(mean) else 0.0,
            signal=float(h[self.d]) if self.learns_signal else 1.0,
            correlation=correlation,
        )


def _profiled_mean(solved: Shaped[Tensor, "S n 2"]) -> Shaped[Tensor, " S"]:
    """c = 1' K^-1 Y / 1' K^-1 1, which maximises the likelihood for any theta."""
    sums = solved.sum(-2)
    return sums[:, 0] / sums[:, 1]


def fit(
    data: Dataset,
    correlation: str = "matern52",
    *,
    priors: Priors | None = None,
    start: tuple[float, ...] | None = None,
) -> tuple[ExactGaussianProcess, tuple[float, ...]]:
    """Fit an exact Gaussian process by maximum a posteriori.

    Parameters
    ----------
    data
        At least one observation.
    correlation
        "matern52" or "rbf".
    priors
        Priors of the hyperparameters; None takes the defaults of `Priors`.
    start
        What an earlier fit of this study returned as `theta`: another start beside the middle of
        the priors.

    Returns
    -------
    model, theta
        The fitted process, and the logarithms of its d length-scales, signal variance and noise
        variance; where one was not learnt, the middle of its prior.
    """
    priors = priors or Priors()
    objective = NegativeLogPosterior(data, correlation, priors)
    centre = objective.prior_mean
    starts = [centre]
    if start is not None:
        # The posterior may have several modes, but from one result to the next the best one
        # seldom changes.
        every = _FRESH_START_EVERY * (1 + len(data) // 100)
        starts = [objective.learnt(start)] + [centre] * (len(data) % every == 0)
    theta, value = minimize_from(
        objective,
        np.array(starts),
        objective.low,
        objective.high,
        first_step=1.0,
        max_calls=50,
        value_tolerance=1e-2,
        gradient_tolerance=2e-2,
    )
    best = theta[int(np.argmin(value))]
    model = ExactGaussianProcess(
        data.X, data.Y, data.Yvar, objective.hyperparameters(best, correlation), data.categories
    )
    return model, objective.everything(best)
