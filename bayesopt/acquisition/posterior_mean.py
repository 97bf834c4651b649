"""The posterior mean, to be maximised: the risk-neutral choice of a point to report or exploit."""

import torch
from botorch.acquisition import PosteriorMean
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.optimize import by_autograd
from bayesopt.parameter import Array


class PosteriorMeanWithGradient(PosteriorMean):  # type: ignore[misc]
    """botorch's posterior mean, with a closed-form gradient where the model has one."""

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate."""
        if not hasattr(self.model, "marginals_with_gradients"):
            return by_autograd(self, X)
        mean, _, slope, _ = self.model.marginals_with_gradients(X)
        return mean, slope

    def forward(self, X: Shaped[Tensor, "*b 1 d"]) -> Shaped[Tensor, "*b"]:
        """Value at every candidate."""
        if hasattr(self.model, "marginals"):  # those of a mixture have no dimension of members
            mean: Tensor = self.model.marginals(X.squeeze(-2))[0]
            return mean
        value: Tensor = self.model.posterior(X).mean[..., 0, 0]
        return value


def best_by_mean(model: Model, X: Shaped[Tensor, "n d"], most: int) -> Array:
    """The points (k, d) of X with the largest posterior mean, at most so many, best first."""
    with torch.no_grad():
        mean = PosteriorMeanWithGradient(model)(X.unsqueeze(-2))
    best: Array = X[torch.argsort(mean, descending=True, stable=True)[:most]].numpy()
    return best
