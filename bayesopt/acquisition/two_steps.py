"""Where a parameter has a role: the design by one rule, then the role by another.

Notation
--------
x, r        design and role columns of a candidate
F_j         target of outcome j
lambda_j    variance of the noise of the next observation of outcome j
rho_j^2     share of the variance of F_j(x) that an evaluation at (x, r) takes away
c           cost of an evaluation

    x = argmax of an acquisition of F, such as its expected improvement
    r = argmax of sum_j rho_j^2(x, r) / c(x, r)
    rho_j^2 = Cov(F_j(x), f_j(x, r))^2 / (Var F_j(x) (Var f_j(x, r) + lambda_j))

Lam, Allaire & Willcox (2015) choose x as if the target were observed, and a source of information
by what it tells for its cost. With a random environment it is the rule of Williams, Santner & Notz
(2000): the prediction error of F(x) after the evaluation is smallest.
"""

from collections.abc import Sequence

from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

_SMALLEST = 1e-300


class LearntOfTarget(AcquisitionFunction):  # type: ignore[misc]
    """log sum_j rho_j^2, one candidate at a time.

    Parameters
    ----------
    models
        Models of every outcome with a target (see `target_knowledge_gradient.WithTarget`).
    """

    def __init__(self, models: Sequence[Model]) -> None:
        super().__init__(models[0])
        self.models = tuple(models)

    def forward(self, X: Shaped[Tensor, "*b 1 d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate."""
        points = X.reshape(-1, X.shape[-1])
        total = sum(self._share(model, points) for model in self.models)
        assert isinstance(total, Tensor)
        value: Tensor = total.clamp_min(_SMALLEST).log().reshape(X.shape[:-2])
        return value

    def _share(self, model: Model, X: Tensor) -> Tensor:
        covariance = model.with_target(X)
        _, variance = model.marginals(X)
        _, of_target = model.target.marginals(X)
        share: Tensor = covariance.square() / (of_target * (variance + model.noise_at(X)))
        return share
