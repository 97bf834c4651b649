"""What evaluations will cost, learnt from what they have cost: a Gaussian process of log cost.

Notation
--------
n, d        paid evaluations, columns
X, y        (n, d) their points in the unit cube, (n,) logarithms of their costs
h(x)        basis: 1, a slope in every column of numbers, a level for every category of a role
v           prior variances of its coefficients
r           columns of numbers that have a role
lambda      variance of the noise of a log cost
theta       (S, d + 2) logarithms of d length-scales, of a and of lambda
m, s^2      (*b,) posterior mean and variance of the log cost of another evaluation, with its noise

    y ~ h(x)' beta + b(r) + g(x) + N(0, lambda)
    beta ~ N(0, v),   b ~ GP(0, k_b),   g ~ GP(0, a k),   k, k_b Matern-5/2, k_b as it is
    cov(y, y') = h(x)' diag(v) h(x') + k_b(r, r') + a k(x, x') + lambda 1{same}
                                                                         R&W (2006), Eq. (2.40)
    mean c = exp(m + s^2 / 2),   95 % quantile = exp(m + t s)
    t: 95 % quantile of Student's law of n + 2 degrees of freedom, since theta is a mode
    of an approximation r that was never paid, c the mean or the quantile:
        min(c(x, r), c(x, target))

Costs of fidelities and sources differ by factors of ten to a thousand, more or less as powers. The
coefficients of a role are therefore uncertain by such factors, and their variance is part of s^2:
where only cheap evaluations have been paid, the cost of a dear one is not foreseen, but its mean
and its quantile are large. A stationary process alone would fall back to what it has seen, and a
trend whose coefficients count as known would be sure of any line through two points. b is not
learnt: cheap evaluations of the same cost, that of a start, say nothing of how it bends later.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float as Shaped
from scipy.special import stdtrit
from torch import Tensor

from bayesopt.data import complete
from bayesopt.models.kernels import Features, correlate, kernel_named
from bayesopt.models.posterior import cholesky
from bayesopt.models.prior import JointPrior, LogNormal
from bayesopt.optimize import by_autograd
from bayesopt.parameter import Array
from bayesopt.quasi_newton import minimize_from
from bayesopt.space import Space
from bayesopt.target import has_approximations, target_of
from bayesopt.trial import Trial

_PROBABILITY = 0.95
_LEVEL_SD = 3.0  # around the mean of what was paid
_ROLE_SLOPE_SD = 1.5  # half of what lies between the ends of the range: a factor of 20
_ROLE_LEVEL_SD = 2.0  # between two categories a factor of 17
_BEND_SD, _BEND_LENGTHSCALE = 1.0, 0.7
_SLOPE_SD = 0.5  # of a column without a role
_MOST_SLOPES = 4  # of more columns than these each slope is smaller: together they say no more
_SIGNAL = LogNormal(math.log(0.25), 1.0)
_NOISE = LogNormal(-4.0, 2.0)
_BOUNDS = {"lengthscale": (0.02, 1e2), "signal": (1e-4, 1e2), "noise": (1e-4, 1e2)}
_LARGEST_FIT = 250  # evaluations that hyperparameters are learnt from
_LEAST_SHARE = 0.1  # of the smallest cost that was paid: nothing is thought cheaper
_KERNEL = kernel_named("matern52")


@dataclass(frozen=True)
class _Columns:
    """How points enter: features of the process, and the basis scaled by sqrt(v)."""

    features: Features
    role: tuple[int, ...]

    def basis(self, X: Shaped[Tensor, "*b n d"]) -> Shaped[Tensor, "*b n k"]:
        """h(x)' diag(v)^(1/2), differentiable in the columns of numbers."""
        plain = self.features.plain
        n_free = sum(column not in self.role for column in plain)
        free = _SLOPE_SD * math.sqrt(min(1.0, _MOST_SLOPES / max(n_free, 1)))
        sd = [_ROLE_SLOPE_SD if column in self.role else free for column in plain]
        slopes = (2.0 * X[..., plain] - 1.0) * torch.tensor(sd, dtype=X.dtype)
        of_role = [c in self.role for c in self.features.column_of[len(plain) :]]
        one_hot = self.features.of(X)[..., len(plain) :][..., of_role] * math.sqrt(2.0)
        level = torch.full_like(X[..., :1], _LEVEL_SD)
        return torch.cat((level, slopes, _ROLE_LEVEL_SD * one_hot), dim=-1)

    def covariance(self, X1: Tensor, X2: Tensor) -> Tensor:
        """h' diag(v) h' + k_b (n, m), the part without hyperparameters, differentiable in X1."""
        linear = self.basis(X1) @ self.basis(X2).mT
        of_role = [column for column in self.features.plain if column in self.role]
        r1, r2 = X1[..., of_role] / _BEND_LENGTHSCALE, X2[..., of_role] / _BEND_LENGTHSCALE
        return linear + self._bend_variance * correlate(_KERNEL, r1, r2)

    def variance(self, X: Tensor) -> Tensor:
        """The diagonal (n,) of `covariance`."""
        return (self.basis(X) ** 2).sum(-1) + self._bend_variance

    @property
    def _bend_variance(self) -> float:
        return _BEND_SD**2 if any(column in self.role for column in self.features.plain) else 0.0


class LogCostProcess:
    """The process given what was paid.

    Parameters
    ----------
    X, y, columns
        The points, their log costs less the mean of these, and how points enter.
    mean
        That mean.
    theta
        (d + 2,) hyperparameters.
    """

    def __init__(self, X: Tensor, y: Tensor, columns: _Columns, mean: float, theta: Array) -> None:
        h = torch.from_numpy(np.exp(theta))
        self.columns, self.mean = columns, mean
        self.signal, self.noise = float(h[-2]), float(h[-1])
        self.scale = h[:-2][list(columns.features.column_of)]
        self.X, self.Z = X, columns.features.of(X) / self.scale
        K = columns.covariance(X, X) + self.signal * correlate(_KERNEL, self.Z, self.Z)
        K.diagonal().add_(self.noise)
        self.L = cholesky(K, 1.0)
        self.alpha = torch.cholesky_solve(y.unsqueeze(-1), self.L).squeeze(-1)
        self.least = mean + float(y.min()) + math.log(_LEAST_SHARE)

    def moments(self, X: Shaped[Tensor, "*b d"]) -> tuple[Tensor, Tensor]:
        """m and s^2 (*b,) at every point on its own, differentiable."""
        flat = X.reshape(-1, X.shape[-1])
        Z = self.columns.features.of(flat) / self.scale
        k = self.columns.covariance(flat, self.X) + self.signal * correlate(_KERNEL, Z, self.Z)
        V = torch.linalg.solve_triangular(self.L, k.mT, upper=False)
        prior = self.columns.variance(flat) + self.signal
        variance = (prior - (V * V).sum(0)).clamp_min(0.0) + self.noise
        shape = X.shape[:-1]
        return (self.mean + k @ self.alpha).reshape(shape), variance.reshape(shape)


@dataclass(frozen=True)
class LogStatistic:
    """m + by_variance s^2 + by_sd s at every point; 0, a cost of 1, where nothing was paid yet.

    Parameters
    ----------
    process
        None: nothing was paid.
    by_variance, by_sd
        Which statistic of the cost it is the logarithm of.
    """

    process: LogCostProcess | None
    by_variance: float = 0.0
    by_sd: float = 0.0

    def __call__(self, X: Shaped[Tensor, "*b 1 d"]) -> Shaped[Tensor, "*b"]:
        """Its value, differentiable."""
        if self.process is None:
            return 0.0 * X.sum((-2, -1))
        mean, variance = self.process.moments(X.squeeze(-2))
        value = mean + self.by_variance * variance + self.by_sd * variance.sqrt()
        return value.clamp_min(self.process.least)

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Its value and its gradient."""
        return by_autograd(self, X)


@dataclass(frozen=True)
class NoMoreThanTarget:
    """The same as a statistic, but of approximations that were never paid at most the target's.

    Nobody approximates by what is dearer. Without that the first evaluation, at a dear target,
    would leave all others too uncertain to be paid from any usual budget.

    Parameters
    ----------
    statistic
        Logarithm of a mean or a quantile.
    column, target
        That of the role, and its coordinate at the target.
    paid
        (p,) coordinates that were paid.
    """

    statistic: LogStatistic
    column: int
    target: float
    paid: Tensor

    def __call__(self, X: Shaped[Tensor, "*b 1 d"]) -> Shaped[Tensor, "*b"]:
        """Its value, differentiable."""
        at_target = X.clone()
        at_target[..., self.column] = self.target
        own: Tensor = self.statistic(X)
        known = torch.isin(X[..., 0, self.column].detach(), self.paid)
        return own.where(known, torch.minimum(own, self.statistic(at_target)))

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Its value and its gradient."""
        return by_autograd(self, X)


class LearntCost:
    """Costs that were learnt: logarithms of their mean and 95 % quantile.

    Parameters
    ----------
    process
        None: nothing was paid yet. Then nothing can be said, and both are those of 1.
    role
        Column and target of a fidelity or a source, where there is one.

    Attributes
    ----------
    log_mean, log_upper
        (*b, 1, d) points of the unit cube to (*b,), and ``value_and_gradient``.
    """

    def __init__(
        self, process: LogCostProcess | None, role: tuple[int, float] | None = None
    ) -> None:
        mean = LogStatistic(process, by_variance=0.5)
        n = 0 if process is None else len(process.X)
        upper = LogStatistic(process, by_sd=float(stdtrit(n + 2, _PROBABILITY)))
        self.log_mean: LogStatistic | NoMoreThanTarget = mean
        self.log_upper: LogStatistic | NoMoreThanTarget = upper
        if process is not None and role is not None:
            column, target = role
            paid = process.X[:, column]
            self.log_mean = NoMoreThanTarget(mean, column, target, paid)
            self.log_upper = NoMoreThanTarget(upper, column, target, paid)


class _NegativeLogPosterior:
    """Minus the log posterior density of theta up to a constant, with its gradient."""

    def __init__(self, X: Tensor, y: Tensor, columns: _Columns) -> None:
        d, self.y = X.shape[-1], y
        self.F, self.column_of = columns.features.of(X), torch.tensor(columns.features.column_of)
        self.fixed = columns.covariance(X, X)
        of_lengthscale = LogNormal(math.log(0.35) + 0.5 * math.log(d), 1.0)
        self.prior = JointPrior([of_lengthscale] * d + [_SIGNAL, _NOISE])
        limits = [_BOUNDS["lengthscale"]] * d + [_BOUNDS["signal"], _BOUNDS["noise"]]
        self.low, self.high = np.log(limits).T

    def __call__(self, theta: Array) -> tuple[Array, Array]:
        """Values (S,) and gradients (S, d + 2) at theta (S, d + 2)."""
        h = torch.from_numpy(np.exp(theta))
        a, noise = h[:, -2, None, None], h[:, -1:]
        Z = self.F / h[:, None, self.column_of]
        k, slope = _KERNEL(Z, Z)
        K = self.fixed + a * k
        K.diagonal(dim1=-2, dim2=-1).add_(noise)
        L = cholesky(K, 1.0)
        inverse = torch.cholesky_inverse(L)
        alpha = inverse @ self.y
        value = 0.5 * alpha @ self.y + L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        W = 0.5 * (inverse - alpha.unsqueeze(-1) * alpha.unsqueeze(-2))
        gradient = torch.zeros_like(h)
        by_feature = -2.0 * (_KERNEL.pull_back(W * a * slope, Z, Z) * Z).sum(-2)
        gradient.index_add_(1, self.column_of, by_feature)
        gradient[:, -2] = (W * a * k).sum((-2, -1))
        gradient[:, -1] = h[:, -1] * W.diagonal(dim1=-2, dim2=-1).sum(-1)
        of_prior, by_prior = self.prior.negative_log_density(theta)
        return value.numpy() + of_prior, gradient.numpy() + by_prior


def fit_log_cost(
    X: Shaped[Tensor, "n d"],
    log_cost: Shaped[Tensor, " n"],
    categories: tuple[tuple[int, int], ...] = (),
    role_columns: tuple[int, ...] = (),
) -> LogCostProcess:
    """Learn from at least one evaluation that was paid.

    Parameters
    ----------
    X, log_cost
        (n, d) points in the unit cube, (n,) logarithms of what was paid there.
    categories
        (column, number of choices) of the categorical columns.
    role_columns
        Columns that costs depend on most.
    """
    n, mean = len(X), float(log_cost.mean())
    columns = _Columns(Features(X.shape[-1], categories), role_columns)
    y = log_cost - mean
    rows = torch.linspace(0, n - 1, min(n, _LARGEST_FIT)).round().long()
    objective = _NegativeLogPosterior(X[rows], y[rows], columns)
    found, _ = minimize_from(
        objective,
        objective.prior.centre[None],
        objective.low,
        objective.high,
        first_step=1.0,
        max_calls=50,
        value_tolerance=1e-2,
        gradient_tolerance=2e-2,
    )
    return LogCostProcess(X, y, columns, mean, found[0])


def learn_cost(space: Space, trials: Iterable[Trial]) -> LearntCost:
    """Learn what evaluations cost from the complete trials that brought their cost.

    Parameters
    ----------
    space, trials
        The study.
    """
    paid = [
        (trial.params, trial.evaluation.cost)
        for trial in complete(trials)
        if trial.evaluation is not None and trial.evaluation.cost is not None
    ]
    if not paid:
        return LearntCost(None)
    X = torch.from_numpy(space.to_units([params for params, _ in paid]))
    log_cost = torch.tensor([math.log(cost) for _, cost in paid], dtype=torch.float64)
    if not has_approximations(space):  # tasks and conditions cost more or less alike
        return LearntCost(fit_log_cost(X, log_cost, space.categories, ()))
    (column,) = space.role_columns
    process = fit_log_cost(X, log_cost, space.categories, (column,))
    return LearntCost(process, (column, float(target_of(space).nodes)))
