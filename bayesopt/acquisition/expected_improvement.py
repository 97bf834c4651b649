"""Expected improvement and its logarithm, in closed form and safe far from the incumbent.

Notation
--------
mean, sd    posterior mean and standard deviation of f(x), to be maximised
best        incumbent: the value that has to be improved on
z           (mean - best) / sd
phi, Phi    density and distribution function of the standard normal law

    EI = sd zeta(z),    zeta(z) = phi(z) + z Phi(z),    zeta' = Phi    Jones et al. (1998), Eq. (15)

Under noise of variance tau^2 (at x, where it varies) the incumbent is a posterior mean, and the
infill criterion (Picheny et al. 2013) says what is to improve on it:
    "function"          f(x),                  variance sd^2
    "next_mean"         mu_{n+1}(x),           variance sd^4 / (sd^2 + tau^2)
    "next_observation"  y_{n+1},               variance sd^2 + tau^2     Frazier (2018), Section 5.1
    "augmented"         f(x), and EI is multiplied by 1 - tau / r = sd^2 / (r (r + tau)), where
                        r^2 = sd^2 + tau^2                                      Huang et al. (2006)
None of them knows that measuring x also revises the means at the old points.

(Frazier 2018, Eq. (8), prints another last term; this one agrees with quadrature.) EI and its
gradient underflow over most of a space, their logarithms do not (Ament et al. 2023).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.normal_tail import log_zeta_and_ratios
from bayesopt.acquisition.pending import believe, noise_at, noise_of_next
from bayesopt.data import Dataset
from bayesopt.optimize import by_autograd

Criterion = Literal["function", "next_mean", "next_observation", "augmented"]

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_SQRT_HALF = math.sqrt(0.5)


def log_ei_and_partials(
    mean: Tensor, variance: Tensor, best: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """log EI = log zeta(z) + log sd with d / d mean and d / d variance, for positive variances.

    d log EI / d sd = (1 - z zeta'/zeta) / sd = (phi / zeta) / sd: the second form does not cancel.
    """
    v = variance.numpy()
    sd = np.sqrt(v)
    log_zeta, by_Phi, by_phi = log_zeta_and_ratios((mean - best).numpy() / sd)
    return (
        torch.from_numpy(log_zeta + np.log(sd)),
        torch.from_numpy(by_Phi / sd),
        torch.from_numpy(by_phi / (2.0 * v)),
    )


class _LogExpectedImprovement(torch.autograd.Function):
    @staticmethod
    def forward(ctx, mean: Tensor, variance: Tensor, best: float | Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        log_ei, by_mean, by_variance = log_ei_and_partials(mean, variance, best)
        ctx.save_for_backward(by_mean, by_variance)
        return log_ei

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():  # create_graph=True: they would come out wrong
            raise RuntimeError("Second derivatives of log EI are not implemented.")
        by_mean, by_variance = ctx.saved_tensors
        return grad * by_mean, grad * by_variance, None


def log_expected_improvement(mean: Tensor, variance: Tensor, best: float | Tensor) -> Tensor:
    """Logarithm of the expected improvement; -inf where it is zero (no variance, mean <= best).

    Parameters
    ----------
    mean, variance
        Posterior means and variances, of one shape.
    best
        Incumbent, or several that broadcast with them.
    """
    certain = variance <= 0.0
    if bool(certain.any()):
        positive = torch.where(certain, 1.0, variance)
        log_ei: Tensor = _LogExpectedImprovement.apply(mean, positive, best)  # type: ignore[no-untyped-call]
        return torch.where(certain, (mean - best).clamp_min(0.0).log(), log_ei)
    result: Tensor = _LogExpectedImprovement.apply(mean, variance, best)  # type: ignore[no-untyped-call]
    return result


def expected_improvement(mean: Tensor, variance: Tensor, best: float | Tensor) -> Tensor:
    """Expected improvement E[max(f - best, 0)] for f ~ N(mean, variance), Jones et al. Eq. (15)."""
    gain = mean - best
    certain = variance <= 0.0
    sd = torch.where(certain, 1.0, variance).sqrt()
    z = gain / sd
    phi = torch.exp(-0.5 * z * z - _LOG_SQRT_2PI)
    Phi = 0.5 * torch.erfc(z * -_SQRT_HALF)  # torch's ndtr has no digits left below z = -8
    return torch.where(certain, gain.clamp_min(0.0), sd * phi + gain * Phi)


def log_augmentation(variance: Tensor, noise: float | Tensor) -> tuple[Tensor, Tensor]:
    """log(1 - tau / r) and its derivative in the variance, for positive variances."""
    tau = noise.sqrt() if isinstance(noise, Tensor) else math.sqrt(noise)
    r = (variance + noise).sqrt()
    value = variance.log() - r.log() - (r + tau).log()
    return value, variance.reciprocal() - 0.5 / (r * r) - 0.5 / (r * (r + tau))


def _augmentation_by_noise(variance: Tensor, noise: Tensor) -> Tensor:
    """Derivative of log(1 - tau / r) in tau^2."""
    r = (variance + noise).sqrt()
    return -0.5 / (r * r) - 0.5 / (r * noise.sqrt())


def _law(
    variance: Tensor, noise: float | Tensor, criterion: Criterion
) -> tuple[Tensor, Tensor | float]:
    """Variance of what is to improve on the incumbent, and its derivative in that of f(x)."""
    if criterion == "next_mean":
        share = variance / (variance + noise)
        return variance * share, share * (2.0 - share)
    if criterion == "next_observation":
        return variance + noise, 1.0
    return variance, 1.0


def _law_by_noise(variance: Tensor, noise: Tensor, criterion: Criterion) -> Tensor | float:
    """Derivative of the same variance in that of the noise."""
    if criterion == "next_mean":
        return -(variance / (variance + noise)).square()
    return 1.0 if criterion == "next_observation" else 0.0


class ExpectedImprovement(AcquisitionFunction):  # type: ignore[misc]
    """Expected improvement over a fixed incumbent, one candidate at a time.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised.
    best
        Incumbent, in the units of the model.
    log
        Return the logarithm, which has the same maximiser and a usable gradient everywhere.
    noise
        Variance of the noise of the next observation; at 0 all criteria are one. None: it varies,
        and the model says it (``noise_at``).
    criterion
        What is to improve on the incumbent (see the top of this file).
    """

    def __init__(
        self,
        model: Model,
        best: float,
        log: bool = True,
        noise: float | None = 0.0,
        criterion: Criterion = "augmented",
    ) -> None:
        super().__init__(model)
        self.best = best
        self.log = log
        self.noise = noise
        self.criterion: Criterion = criterion

    @property
    def _is_augmented(self) -> bool:
        return self.criterion == "augmented" and self.noise != 0.0

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate, in closed form where the model has one."""
        if not (self.log and hasattr(self.model, "marginals_with_gradients")):
            return by_autograd(self, X)
        mean, variance, mean_slope, variance_slope = self.model.marginals_with_gradients(X)
        noise = self.noise
        if noise is None:
            noise, to_gradient = self.model.noise_with_pull_back(X)
        of_law, factor = _law(variance, noise, self.criterion)
        value, by_mean, by_law = log_ei_and_partials(mean, of_law, self.best)
        by_variance = by_law * factor
        if self._is_augmented:
            augmentation, slope = log_augmentation(variance, noise)
            value, by_variance = value + augmentation, by_variance + slope
        gradient = by_mean.unsqueeze(-1) * mean_slope
        gradient.addcmul_(by_variance.unsqueeze(-1), variance_slope)
        if isinstance(noise, Tensor):
            by_noise = by_law * _law_by_noise(variance, noise, self.criterion)
            if self._is_augmented:
                by_noise = by_noise + _augmentation_by_noise(variance, noise)
            gradient += to_gradient(by_noise)
        return value, gradient

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate.

        Raises
        ------
        ValueError
            If more than one point is asked jointly.
        """
        if X.shape[-2] != 1:
            raise ValueError(f"Expected improvement takes q=1, but X has the shape {X.shape}.")
        posterior = self.model.posterior(X)
        mean, variance = posterior.mean[..., 0, 0], posterior.variance[..., 0, 0]
        of = log_expected_improvement if self.log else expected_improvement
        noise = noise_at(self.model, self.noise, X.squeeze(-2))
        value = of(mean, _law(variance, noise, self.criterion)[0], self.best)
        if not self._is_augmented:
            return value
        factor, _ = log_augmentation(variance, noise)
        return value + factor if self.log else value * factor.exp()


def build(
    model: Model,
    data: Dataset,
    X_pending: Shaped[Tensor, "m d"] | None = None,
    *,
    criterion: Criterion = "augmented",
) -> ExpectedImprovement:
    """Log expected improvement on a fitted model.

    Parameters
    ----------
    model
        Fitted to `data`.
    data
        The incumbent is its best score when there is no noise, else the best posterior mean at
        its points: the luckiest observation would promise what no point holds.
    X_pending
        Points that are being evaluated. Each is taken to return its posterior mean, so that
        nothing can be gained by asking for it again.
    criterion
        What is to improve on the incumbent under noise.
    """
    X, exact = data.X, bool((data.Yvar == 0).all())
    if X_pending is not None and len(X_pending) == 0:
        X_pending = None
    if exact and X_pending is None:
        return ExpectedImprovement(model, float(data.Y.max()))
    with torch.no_grad():
        if X_pending is not None:
            model = believe(model, data, X_pending)
            X = torch.cat((X, X_pending))
        best = float(model.posterior(X.unsqueeze(-2)).mean.max())
    return ExpectedImprovement(model, best, noise=noise_of_next(model, data), criterion=criterion)


Builder = Callable[[Model, Dataset, Tensor | None], AcquisitionFunction]

AD_HOC: dict[str, Builder] = {
    "ei_posterior_mean": partial(build, criterion="function"),
    "ei_next_mean": partial(build, criterion="next_mean"),
    "ei_next_observation": partial(build, criterion="next_observation"),
}
"""The three ad hoc ways to save expected improvement under noise, Frazier (2018), Section 5.1."""
