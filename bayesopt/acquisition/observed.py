"""What a model says of a candidate together with fixed points, observed ones or others.

Notation
--------
b, r    candidates, fixed points
A       (r, d) the fixed points
mean, variance      (b,) posterior moments of f(x)
covariance          (b, r) posterior covariances of f(x) with f(A)
lambda              (b,) variance of the noise at x, where it varies and counts

Noisy expected improvements, knowledge gradients, entropy searches and the lookahead are functions
of these moments alone.
"""

from collections.abc import Callable
from typing import Any

import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

_SMALLEST_VARIANCE = 1e-15  # rounding of another model may leave less than nothing

OfMoments = Callable[..., tuple[Tensor, ...]]
"""Maps the moments (b,), (b,), (b, r), and lambda (b,) where it is one of them, to a logarithm (b,)
and its derivatives in each of them."""


class Observed:
    """Joint posterior moments of a candidate and fixed points.

    Parameters
    ----------
    model
        A botorch Model with one output. One that has ``marginals_and_covariances`` answers in
        closed form; of another one the joint posterior of candidate and points is asked.
    A
        (r, d) points, without a graph.
    slopes
        Of a process that has slopes: covariances with the value and the slopes at each of them (r
        of them in all), instead of the values alone. Only the moments are to be asked then.
    beside
        Factors and weights of covariances with something else at A, as the model gave them; not
        for `joint`.
    with_noise
        Whether lambda is one more moment, as ``noise_at`` of the model has it.
    """

    def __init__(
        self,
        model: Model,
        A: Shaped[Tensor, "r d"],
        slopes: bool = False,
        beside: tuple[Any, Tensor] | None = None,
        with_noise: bool = False,
    ) -> None:
        self.model, self.A, self.with_noise = model, A, with_noise
        self.weights: Tensor | None = None
        if beside is not None:
            self.factors, self.weights = beside
        elif slopes:
            self.factors, self.weights = model.beside_slopes(A)
        elif getattr(model, "factors", None) is not None:
            self.factors, self.weights = model.beside(A)

    def moments(
        self, X: Shaped[Tensor, "*b 1 d"]
    ) -> tuple[Shaped[Tensor, "*b"], Shaped[Tensor, "*b"], Shaped[Tensor, "*b r"]]:
        """Mean, variance and covariances of every candidate, differentiable."""
        if self.weights is None:
            mean, covariance = self.joint(X)
            variance = covariance[..., -1, -1].clamp_min(_SMALLEST_VARIANCE)
            return mean[..., -1], variance, covariance[..., -1, :-1]
        batch, r = X.shape[:-2], self.weights.shape[1]
        flat = X.reshape(-1, X.shape[-1])
        mean, variance, cross = self.model.marginals_and_covariances(
            flat, self.weights, self.factors
        )
        return mean.reshape(batch), variance.reshape(batch), cross.reshape(*batch, r)

    def moments_with_pull_back(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor, Tensor, Tensor], Tensor]]:
        """`moments` of (b, d) points, and the map from derivatives in them to gradients in X."""
        if self.weights is not None and hasattr(self.model, "moments_with_pull_back"):
            of_model: tuple[Tensor, Tensor, Tensor, Callable[[Tensor, Tensor, Tensor], Tensor]]
            of_model = self.model.moments_with_pull_back(X, self.weights, self.factors)
            return of_model
        with torch.enable_grad():
            variable = X.detach().requires_grad_(True)
            moments = self.moments(variable.unsqueeze(-2))

        def pull_back(by_mean: Tensor, by_variance: Tensor, by_covariance: Tensor) -> Tensor:
            (gradient,) = torch.autograd.grad(
                moments, variable, (by_mean, by_variance, by_covariance)
            )
            return gradient

        mean, variance, covariance = (moment.detach() for moment in moments)
        return mean, variance, covariance, pull_back

    def value(
        self, of_moments: OfMoments, X: Shaped[Tensor, "*b q d"], log: bool
    ) -> Shaped[Tensor, "*b"]:
        """An acquisition of every candidate, differentiable; its exponential unless `log`."""
        check_one_candidate(X)
        mean, variance, covariance = self.moments(X)
        flat = [
            mean.reshape(-1),
            variance.reshape(-1),
            covariance.reshape(mean.numel(), len(self.A)),
        ]
        if self.with_noise:
            flat.append(self.model.noise_at(X.reshape(-1, X.shape[-1])))
        value = with_partials(of_moments, *flat).reshape(mean.shape)
        return value if log else value.exp()

    def value_and_gradient(
        self, of_moments: OfMoments, X: Shaped[Tensor, "b d"], log: bool
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """The same and its gradient, in closed form where the model has one."""
        mean, variance, covariance, pull_back = self.moments_with_pull_back(X)
        if self.with_noise:
            noise, to_gradient = self.model.noise_with_pull_back(X)
            value, *partials, by_noise = of_moments(mean, variance, covariance, noise)
            gradient = pull_back(*partials) + to_gradient(by_noise)
        else:
            value, *partials = of_moments(mean, variance, covariance)
            gradient = pull_back(*partials)
        return (value, gradient) if log else (value.exp(), gradient * value.exp().unsqueeze(-1))

    def joint(
        self, X: Shaped[Tensor, "*b q d"]
    ) -> tuple[Shaped[Tensor, "*b p"], Shaped[Tensor, "*b p p"]]:
        """Mean and covariance of the p = r + q points of A and X, differentiable."""
        points = torch.cat((self.A.expand(*X.shape[:-2], *self.A.shape), X), dim=-2)
        posterior = self.model.posterior(points)
        mean, covariance = posterior.mean.squeeze(-1), posterior.distribution.covariance_matrix
        return mean, covariance


def check_one_candidate(X: Shaped[Tensor, "*b q d"]) -> None:
    """Raise ValueError where several candidates are asked together."""
    if X.shape[-2] != 1:
        raise ValueError(
            f"This acquisition takes one candidate at a time, q=1, but X has the shape "
            f"{tuple(X.shape)}."
        )


class FunctionOfMoments(AcquisitionFunction):  # type: ignore[misc]
    """An acquisition that is a function of the moments of one candidate and fixed points.

    A kind of it sets `observed`, the fixed points, and `log`, whether the logarithm is returned,
    and says in `_log_value_and_partials` what the function is.
    """

    observed: Observed
    log: bool

    def _log_value_and_partials(
        self, mean: Tensor, variance: Tensor, covariance: Tensor
    ) -> tuple[Tensor, ...]:
        """The logarithm (b,), and its derivatives in the moments (b,), (b,), (b, r).

        One that takes lambda (b,) as a fourth argument has one more derivative (b,).
        """
        raise NotImplementedError

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate, in closed form where the model has one."""
        return self.observed.value_and_gradient(self._log_value_and_partials, X, self.log)

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate.

        Raises
        ------
        ValueError
            If more than one point is asked jointly.
        """
        return self.observed.value(self._log_value_and_partials, X, self.log)


def with_partials(f: Callable[..., tuple[Tensor, ...]], *moments: Tensor) -> Tensor:
    """The first of what f gives, differentiable in the moments by the others.

    Parameters
    ----------
    f
        Maps the moments to a value (*b,) and its derivative in each of them, of their shapes.
    *moments
        (*b,) or (*b, r) each.
    """
    value: Tensor = _FromPartials.apply(f, *moments)  # type: ignore[no-untyped-call]
    return value


class _FromPartials(torch.autograd.Function):
    """A function of moments that comes with its derivatives."""

    @staticmethod
    def forward(ctx, f, *moments):  # type: ignore[no-untyped-def]
        value, *partials = f(*moments)
        ctx.save_for_backward(*partials)
        return value

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():  # create_graph=True: they would come out wrong
            raise RuntimeError("Second derivatives of an acquisition are not implemented.")
        return None, *(
            (grad if partial.dim() == grad.dim() else grad.unsqueeze(-1)) * partial
            for partial in ctx.saved_tensors
        )
