"""A cross-fitted Gaussian process of a limit state: only where it crosses thresholds matters.

The door to `bayesopt`: this file alone loads torch, and is imported by the function that needs it.

Notation
--------
z, g        (n, d) points in standard normal space, (n,) values of the limit state
w, c, p     warp, its scale and the trend, see `limit_state_trend`
y           w(g) - w(p(z)), targets of the process
m           mean of the process, constant
k, a, s2    Matern-5/2 correlation, signal and noise variance, from `bayesopt.models`
Z, K        all points; their covariance matrix, a k(Z, Z) + s2 I
R           folds

    h_r(z) = w(p(z)) + m + a k(z, Z) K_{-r}^-1 (y - m)              fitted without fold r     (1)

The trend and the hyperparameters come from learning runs, which are in no fold. All h_r share one
K^-1: with B = K^-1 and the rows of fold r

    alpha_{-r} = (B - B_{.r} B_rr^-1 B_r.) (y - m)                                            (2)
    B_{-r}     =  B - B_{.r} B_rr^-1 B_r.       and from its diagonal the residuals of each
    e_i        = alpha_i / (B_{-r})_ii          point left out: R&W (2006), Eq. (5.12)

Cheap points then need one matrix k(z, Z) for all folds. R&W: Rasmussen & Williams.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesopt.data import Dataset, Scaling
from bayesopt.models.fit import NegativeLogPosterior, mode
from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.torch_settings import own_torch_settings
from uq.surrogates.limit_state_trend import EXACT, Array, Warp, error_near, fit_trend, pieces

Labels = NDArray[np.int64]

LEARNING = -1
"""Label of the runs that are in no fold."""
_UNIT = 8.0  # length of z that is taken for the side of a unit cube, by the priors of the process
_FOR_HYPERPARAMETERS = 350
_MOST_POINTS = 1500
_NEAR = 0.75  # share of the points kept that are the nearest to a threshold, the others are random
_LEAST_NOISE = 1e-8


class LimitStateProcess:
    """Trend and hyperparameters of the cheap limit state, learnt from runs that are in no fold.

    Parameters
    ----------
    z, g
        (n, d) learning points and (n,) finite values.
    warp
        Thresholds and scale.
    rng
        Picks the points that the hyperparameters are learnt from, beside those near a threshold.

    Attributes
    ----------
    is_exact
        Whether the trend alone meets all the values.
    """

    @own_torch_settings()
    def __init__(self, z: Array, g: Array, warp: Warp, rng: np.random.Generator) -> None:
        self.warp, self._rng = warp, rng
        self.trend = fit_trend(z, g, warp)
        rows = _nearest_and_random(warp.distance(g), _FOR_HYPERPARAMETERS, rng)
        y = self.targets(z[rows], g[rows])
        self.is_exact = not float(np.abs(self.targets(z, g)).max()) > EXACT * warp.scale
        if self.is_exact:
            return
        self._sd = float(y.std()) or 1.0
        X = torch.from_numpy(z[rows] / _UNIT + 0.5)
        Y = torch.from_numpy((y - y.mean()) / self._sd)[:, None]
        data = Dataset(X, Y, torch.full_like(Y, math.nan), (), Scaling(1.0, 1.0, 0.0, 1.0))
        objective = NegativeLogPosterior(data, GaussianProcess())
        h = objective.likelihood.hyperparameters(mode(objective, len(data), None))
        self._lengthscale = h.lengthscale.numpy() * _UNIT
        self._noise, self._signal = max(h.noise, _LEAST_NOISE), h.signal
        self._mean = h.mean * self._sd + float(y.mean())

    def targets(self, z: Array, g: Array) -> Array:
        """y (n,)."""
        y: Array = self.warp(g) - self.warp(self.trend(z))
        return y

    @own_torch_settings()
    def without_folds(
        self, z: Array, g: Array, folds: Labels, most_points: int = _MOST_POINTS
    ) -> "CrossFitted":
        """The fits h_r without each fold.

        Parameters
        ----------
        z, g
            (n, d) points and (n,) finite values.
        folds
            (n,) labels 0 .. R - 1 or `LEARNING`; without any fold there is one fit to all.
        most_points
            Of more points, those nearest to a threshold are kept, and some others, of each fold
            by its own values only.
        """
        n_folds = max(int(folds.max()) + 1, 1)
        if self.is_exact:
            return CrossFitted(self, np.empty((0, z.shape[1])), None, np.zeros(1))
        rows = self._kept(g, folds, most_points)
        z, g, folds = z[rows], g[rows], folds[rows]
        y = torch.from_numpy((self.targets(z, g) - self._mean) / self._sd)
        K = self._covariance(z, z) + self._noise * torch.eye(len(z), dtype=torch.float64)
        B = torch.cholesky_inverse(torch.linalg.cholesky(K))
        alpha, diagonal = B @ y, B.diagonal()
        columns, errors = [], []
        for r in range(n_folds):
            here = torch.from_numpy(np.flatnonzero(folds == r))
            alpha_r, diagonal_r = alpha.clone(), diagonal.clone()
            if len(here):
                root = torch.linalg.cholesky(B[here][:, here])
                V = torch.linalg.solve_triangular(root, B[here], upper=False)
                u = torch.linalg.solve_triangular(root, alpha[here][:, None], upper=False)
                alpha_r = alpha - (V.mT @ u)[:, 0]  # (2)
                diagonal_r = diagonal - V.square().sum(dim=0)  # (2)
                alpha_r[here], diagonal_r[here] = 0.0, 1.0
            columns.append(alpha_r)
            left_out = (alpha_r / diagonal_r).numpy() * self._sd  # (5.12)
            others = folds != r
            errors.append(error_near(left_out[others], g[others], self.warp))
        weights = torch.stack(columns, dim=1) * self._sd
        return CrossFitted(self, z, weights, np.array(errors))

    def _kept(self, g: Array, folds: Labels, most: int) -> NDArray[np.intp]:
        """Rows: of every fold the same share, so that no fold's values choose those of others."""
        if len(g) <= most:
            return np.arange(len(g))
        kept = []
        for label in np.unique(folds):
            own = np.flatnonzero(folds == label)
            share = max(most * len(own) // len(g), 1)
            kept.append(own[_nearest_and_random(self.warp.distance(g[own]), share, self._rng)])
        return np.sort(np.concatenate(kept))

    def _covariance(self, z: Array, other: Array) -> Tensor:
        """(n, m) a k(z, z')."""
        one = torch.from_numpy(z / self._lengthscale)
        two = torch.from_numpy(other / self._lengthscale)
        squared = one.square().sum(dim=1)[:, None] + two.square().sum(dim=1) - 2.0 * one @ two.mT
        s = squared.clamp_(min=1e-20).mul_(5.0).sqrt_()
        k = (s * s / 3.0).add_(s).add_(1.0)
        return k.mul_(s.neg_().exp_()).mul_(self._signal)

    @own_torch_settings()
    def residual(self, z: Array, points: Array, weights: Tensor) -> Array:
        """(m, R) what the process adds to the trend."""
        out = np.empty((len(z), weights.shape[1]))
        for rows in pieces(len(z)):
            out[rows] = (self._covariance(z[rows], points) @ weights).numpy()
        return out + self._mean


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """h_r of Eq. (1), all folds at once.

    Parameters
    ----------
    process
        Trend and hyperparameters.
    points, weights
        Z (n, d) and K_{-r}^-1 (y - m) (n, R), or None where the trend is all.
    error
        (R',) root mean square of the residuals near the thresholds, each point left out.
    """

    process: LimitStateProcess
    points: Array
    weights: Tensor | None
    error: Array

    def __call__(self, z: Array) -> Array:
        """(m, R') values at (m, d) points; R' is 1 where the trend is all."""
        trend = self.process.warp(self.process.trend(z))[:, None]
        if self.weights is None:
            return trend
        return trend + self.process.residual(z, self.points, self.weights)  # (1)

    @property
    def cost(self) -> int:
        """About how many numbers one point costs."""
        n, d = self.points.shape
        of_process: int = n * (1 + d // 40)
        return of_process + self.process.trend.cost


def _nearest_and_random(distance: Array, most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows in order: at most so many, most of them of the smallest distance."""
    n = len(distance)
    if n <= most:
        return np.arange(n)
    # A tie, as inside the range of the thresholds, is broken at random.
    order = np.lexsort((rng.random(n), distance))
    n_near = int(_NEAR * most)
    others = rng.choice(order[n_near:], most - n_near, replace=False)
    return np.sort(np.concatenate([order[:n_near], others]))
