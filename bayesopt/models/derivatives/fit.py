"""Hyperparameters of a Gaussian process on values and slopes, with the closed-form gradient.

Notation
--------
N, d, S     rows (values and partial derivatives), columns, hyperparameter vectors together
theta       (S, p) logarithms: d length-scales, then the signal variance if it is learnt, and the
            noise variances of values and of slopes where they are inferred;  h = exp(theta)
Z, U        (S, N, F) scaled features and directions of the rows (see `kernels`)
y, w        (N,) observations, and 1 for a value, 0 for a slope
c           prior mean of a value
K, alpha    (S, N, N), (S, N) as in `posterior`

    log p(y | theta)   = -1/2 r' alpha - 1/2 log|K| - N/2 log 2 pi,   r = y - c w
    d log p / d K      = 1/2 (alpha alpha' - K^-1)                      R&W (2006), Eq. (5.9)
    c                  = w' K^-1 y / w' K^-1 w

Z and U are both proportional to 1 / lengthscale, so that the derivative in the logarithm of one is
minus the sum of derivatives in its columns of Z and U, times these columns.

A partial derivative counts in the unit cube and in units of scores. There a slope is about as
large as a score divided by a length-scale, which is of the order of 1: the noise of slopes has the
prior of the noise of values. One variance serves for all columns.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.data import Dataset
from bayesopt.models.derivatives.kernels import SMOOTH, CrossCovariance, Functionals
from bayesopt.models.derivatives.process import DerivativeGaussianProcess
from bayesopt.models.derivatives.rows import HyperparametersWithSlopes, rows
from bayesopt.models.fit import Method, NegativeLogPosterior, mode
from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.models.kernels import Features
from bayesopt.parameter import Array

_JITTER = 1e-10  # relative to the prior variances of the rows


class DerivativeMarginalLikelihood:
    """Likelihood of theta for values and partial derivatives; see `MarginalLikelihood`.

    Parameters
    ----------
    data
        Points and values.
    dY, dYvar
        (n, d) partial derivatives of the scores in the unit cube, NaN where one is absent, and
        the variances of their noise, NaN where it is inferred.
    process
        Kernel, "rbf" or "matern52", and a constant mean; its priors only say whether the signal
        variance is learnt.

    Raises
    ------
    ValueError
        If the kernel has no slopes or the mean is no constant.
    """

    def __init__(self, data: Dataset, dY: Tensor, dYvar: Tensor, process: GaussianProcess) -> None:
        if not process.takes_derivatives:
            raise ValueError(
                f"Derivatives need a kernel of {', '.join(map(repr, SMOOTH))} and a constant mean, "
                f"but the model is a {process}."
            )
        self.process, self.d = process, data.X.shape[1]
        self.rows = rows(data.X, data.Y, data.Yvar, dY, dYvar)
        self.features = Features(self.d, data.categories)
        self.column_of = torch.tensor(self.features.column_of)
        self.unscaled = self.rows.functionals(self.features, torch.ones(len(self.column_of)))
        self.correlation = SMOOTH[process.kernel]
        self.targets = torch.stack((self.rows.y, self.rows.weight), dim=-1)
        unknown, is_value = self.rows.noise.isnan(), self.rows.weight > 0.0
        self.known_noise = self.rows.noise.nan_to_num(0.0)
        self.unknown = {
            "noise": (unknown & is_value).to(data.X.dtype),
            "slope_noise": (unknown & ~is_value).to(data.X.dtype),
        }
        exact = bool((data.Yvar == 0.0).all())
        learnt = [True] * self.d + [exact or process.priors.signal is not None]
        learnt += [bool(unknown.any()) for unknown in self.unknown.values()]
        self.learnt = learnt
        names = ["lengthscale"] * self.d + ["signal", *self.unknown]
        self.everything = ["noise" if name == "slope_noise" else name for name in names]
        self.position = {
            name: sum(learnt[:j]) for j, name in enumerate(names) if learnt[j] and j >= self.d
        }

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        """Minus the log likelihood (S,) with the best c, and its gradient (S, p).

        The value is infinite where K is singular.
        """
        h = torch.from_numpy(np.exp(theta))
        scaled, pair, K = self._covariance(h)
        L, solved = self._factor(K)
        c = self._best_mean(solved)
        y, w = self.targets.unbind(-1)
        alpha = solved[..., 0] - c * solved[..., 1]
        value = 0.5 * torch.linalg.vecdot(y - c * w, alpha)
        value = value + L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        value = value + 0.5 * len(y) * math.log(2.0 * math.pi)

        W = torch.cholesky_inverse(L).nan_to_num_()
        W.sub_(alpha.unsqueeze(-1) * alpha.unsqueeze(-2)).mul_(0.5)  # -d log p / d K, Eq. (5.9)
        by_Z, by_U = pair.pull_back(W)
        assert by_U is not None and scaled.direction is not None
        by_feature = (by_Z * scaled.Z).sum(-2) + (by_U * scaled.direction).sum(-2)
        by_feature = by_feature * self._signal(h)[..., 0]
        gradient = torch.zeros_like(h)
        gradient[:, : self.d].index_add_(1, self.column_of, -2.0 * by_feature)
        for name, j in self.position.items():
            if name == "signal":
                gradient[:, j] = (W * pair.value).sum((-2, -1)) * h[:, j]
            else:
                diagonal = W.diagonal(dim1=-2, dim2=-1)
                gradient[:, j] = (diagonal * self.unknown[name]).sum(-1) * h[:, j]
        return value.nan_to_num(nan=torch.inf).numpy(), gradient.nan_to_num().numpy()

    def log_integrated(self, theta: Array) -> Array:
        """log p(y | theta) (S,) up to a constant, with c integrated out; no gradient.

        Minus infinite where K is singular.
        """
        h = torch.from_numpy(np.exp(theta))
        *_, K = self._covariance(h)
        L, solved = self._factor(K)
        y, w = self.targets.unbind(-1)
        c = self._best_mean(solved)
        square = torch.linalg.vecdot(y - c * w, solved[..., 0] - c * solved[..., 1])
        information = solved[..., 1] @ w
        value = -0.5 * square - L.diagonal(dim1=-2, dim2=-1).log().sum(-1) - 0.5 * information.log()
        log_density: Array = value.nan_to_num(nan=-torch.inf).numpy()
        return log_density

    def hyperparameters(self, theta: Array) -> HyperparametersWithSlopes:
        """What one theta (p,) stands for, with its best prior mean."""
        h = torch.from_numpy(np.exp(theta))
        *_, K = self._covariance(h[None])
        c = float(self._best_mean(self._factor(K)[1]).nan_to_num(posinf=0.0, neginf=0.0))
        known = {name: float(h[j]) for name, j in self.position.items()}
        return HyperparametersWithSlopes(
            lengthscale=h[: self.d],
            noise=known.get("noise", 0.0),
            mean=c,
            signal=known.get("signal", 1.0),
            kernel=self.process.kernel,
            slope_noise=known.get("slope_noise", 0.0),
        )

    def _signal(self, h: Shaped[Tensor, "S p"]) -> Shaped[Tensor, "S 1 1"]:
        j = self.position.get("signal")
        return torch.ones_like(h[:, :1, None]) if j is None else h[:, j, None, None]

    def _covariance(self, h: Tensor) -> tuple[Functionals, CrossCovariance, Tensor]:
        """Scaled rows, their covariance for a signal of 1, and K."""
        scale = h[:, None, self.column_of]
        assert self.unscaled.direction is not None
        scaled = replace(
            self.unscaled, Z=self.unscaled.Z / scale, direction=self.unscaled.direction / scale
        )
        pair = CrossCovariance(self.correlation, scaled, scaled)
        K = self._signal(h) * pair.value
        noise = self.known_noise.expand(len(h), -1)
        for name, unknown in self.unknown.items():
            if name in self.position:
                noise = noise + h[:, self.position[name], None] * unknown
        diagonal = K.diagonal(dim1=-2, dim2=-1)
        diagonal.mul_(1.0 + _JITTER).add_(noise)
        return scaled, pair, K

    def _factor(self, K: Tensor) -> tuple[Tensor, Tensor]:
        """L and K^-1 [y, w]; NaN where K is singular."""
        L, info = torch.linalg.cholesky_ex(K)
        if bool(info.any()):
            L = torch.where((info > 0)[:, None, None], torch.nan, L)
        return L, torch.cholesky_solve(self.targets, L)

    def _best_mean(self, solved: Shaped[Tensor, "S N 2"]) -> Shaped[Tensor, "S 1"]:
        sums = self.rows.weight @ solved
        return sums[:, :1] / sums[:, 1:]


def fit_with_derivatives(
    data: Dataset,
    dY: Shaped[Tensor, "n d"],
    dYvar: Shaped[Tensor, "n d"],
    process: GaussianProcess | None = None,
    *,
    method: Method = "map",
    start: tuple[float, ...] | None = None,
) -> tuple[DerivativeGaussianProcess, tuple[float, ...]]:
    """Fit a Gaussian process to values and partial derivatives.

    Parameters
    ----------
    data
        At least one observation.
    dY
        (n, d) partial derivatives of the scores in the unit cube, NaN where one is absent.
    dYvar
        (n, d) variances of their noise, NaN where it is inferred.
    process, method
        As in `bayesopt.models.fit`; the kernel is "rbf" or "matern52", the mean constant.
    start
        What an earlier fit of this study returned as `theta`, one without slopes included.

    Returns
    -------
    model, theta
        The fitted process, and the logarithms of its d length-scales, signal variance, and noise
        variances of values and of slopes; where one was not learnt, the centre of its prior.

    Raises
    ------
    ValueError
        If the kernel has no slopes or the mean is no constant.
    """
    process = process or GaussianProcess()
    likelihood = DerivativeMarginalLikelihood(data, dY, dYvar, process)
    objective = NegativeLogPosterior(data, process, method, likelihood)
    best = mode(objective, len(likelihood.rows.y), start)
    model = DerivativeGaussianProcess(
        likelihood.rows, likelihood.hyperparameters(best), data.categories
    )
    return model, objective.everything(best)
