"""What a model says of a candidate together with points that are observed already.

Notation
--------
b, r    candidates, observed points
A       (r, d) the observed points
mean, variance      (b,) posterior moments of f(x)
covariance          (b, r) posterior covariances of f(x) with f(A)

Both noisy expected improvements are functions of these moments alone.
"""

import torch
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

_SMALLEST_VARIANCE = 1e-15  # rounding of another model may leave less than nothing


class Observed:
    """Joint posterior moments of a candidate and fixed points.

    Parameters
    ----------
    model
        A botorch Model with one output. One that has ``marginals_and_covariances`` and was
        conditioned on the points answers in closed form; of another one the joint posterior of
        candidate and points is asked.
    A
        (r, d) points, without a graph.
    """

    def __init__(self, model: Model, A: Shaped[Tensor, "r d"]) -> None:
        self.model, self.A = model, A
        self.weights: Tensor | None = None
        if getattr(model, "L_inverse", None) is not None:
            same = (A.unsqueeze(1) == model.X).all(-1)
            if bool(same.any(1).all()):
                self.weights = model.covariance_weights(same.double().argmax(1))

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
        mean, variance, cross = self.model.marginals_and_covariances(flat, self.weights)
        return mean.reshape(batch), variance.reshape(batch), cross.reshape(*batch, r)

    def joint(
        self, X: Shaped[Tensor, "*b q d"]
    ) -> tuple[Shaped[Tensor, "*b p"], Shaped[Tensor, "*b p p"]]:
        """Mean and covariance of the p = r + q points of A and X, differentiable."""
        points = torch.cat((self.A.expand(*X.shape[:-2], *self.A.shape), X), dim=-2)
        posterior = self.model.posterior(points)
        mean, covariance = posterior.mean.squeeze(-1), posterior.distribution.covariance_matrix
        return mean, covariance
