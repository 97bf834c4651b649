"""Several points that are worth most together, by the knowledge gradient.

Notation
--------
q       points to find
C       (c, d) points that are being evaluated, and those found already
A       (m, d) the report set

The points are found one after the other: each is worth most together with C. Then all q of them
move at once, where their columns are real and no constraint is in the way. Before every search A
gets the maximisers of the posterior means after some hypothetical observations at all of C.
"""

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt import optimize
from bayesopt.acquisition.default_region import cube_of
from bayesopt.acquisition.knowledge_gradient import KnowledgeGradient, build
from bayesopt.acquisition.pending import noise_of_next
from bayesopt.acquisition.report_set import coefficients, extended
from bayesopt.data import Dataset
from bayesopt.parameter import Array
from bayesopt.quasi_newton import minimize_from
from bayesopt.region import Region

_N_HYPOTHETICAL = 16
_MAX_CALLS = 20
_EFFORT = optimize.Effort(n_global=256, n_local=128, n_starts=4, max_calls=15)


class Beside(AcquisitionFunction):  # type: ignore[misc]
    """What a candidate and fixed points are worth together.

    Parameters
    ----------
    acquisition
        Takes several points at once.
    C
        (c, d) the fixed points.
    """

    def __init__(self, acquisition: AcquisitionFunction, C: Shaped[Tensor, "c d"]) -> None:
        super().__init__(acquisition.model)
        self.acquisition, self.C = acquisition, C

    def forward(self, X: Shaped[Tensor, "*b 1 d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate."""
        beside = self.C.expand(*X.shape[:-2], *self.C.shape)
        value: Tensor = self.acquisition(torch.cat((X, beside), dim=-2))
        return value


def maximize_jointly(
    model: Model,
    data: Dataset,
    q: int,
    incumbents: Array,
    rng: np.random.Generator,
    *,
    X_pending: Shaped[Tensor, "m d"] | None = None,
    region: Region | None = None,
    effort: optimize.Effort | None = None,
) -> Array:
    """Find q points (q, d) whose joint knowledge gradient is largest.

    Parameters
    ----------
    model
        Fitted to `data`.
    data
        The observations.
    q
        Number of points, at least 1.
    incumbents
        (k, d) good points so far; the search looks around them too.
    rng
        Source of the starting points.
    X_pending
        Points that are being evaluated.
    region
        Where to look: the space and its constraints. None: the unit cube, with the categories of
        `data`.
    effort
        How hard every point is searched.
    """
    region, effort = region or cube_of(data), effort or _EFFORT
    noise = noise_of_next(model, data)
    alone = build(model, data, region=region)
    assert isinstance(alone, KnowledgeGradient)
    A, C = alone.A, data.X[:0] if X_pending is None else X_pending
    n_pending = len(C)
    for _ in range(q):
        acquisition: optimize.Acquisition = alone
        if len(C) > 0:
            acquisition = Beside(
                KnowledgeGradient(model, _reports(model, noise, C, region, A), noise), C
            )
        X, _ = optimize.maximize(acquisition, region, incumbents, rng, effort=effort)
        C = torch.cat((C, torch.from_numpy(X[:1])))
    real = region.space.columns("float")
    if len(C) > 1 and real and not region.constrained:
        joint = KnowledgeGradient(model, _reports(model, noise, C, region, A), noise)
        C = _moved_together(joint, C, n_pending, real)
    found: Array = C[n_pending:].numpy()
    return found


def _reports(model: Model, noise: float, C: Tensor, region: Region, A: Tensor) -> Tensor:
    return extended(model, C, coefficients(model, noise, C, _N_HYPOTHETICAL), region, A)


def _moved_together(joint: KnowledgeGradient, C: Tensor, fixed: int, real: list[int]) -> Tensor:
    """C (c, d) after a climb in the real columns of all points but the first `fixed` ones."""
    low, high = C.clone(), C.clone()
    low[fixed:, real], high[fixed:, real] = 0.0, 1.0

    def negative(at: Array) -> tuple[Array, Array]:
        X = torch.from_numpy(at).reshape(-1, *C.shape).requires_grad_()
        with torch.enable_grad():
            value = joint(X)
            (gradient,) = torch.autograd.grad(value.sum(), X)
        return -value.detach().numpy(), -gradient.reshape(at.shape).numpy()

    start, bounds = C.reshape(1, -1).numpy(), (low.reshape(-1).numpy(), high.reshape(-1).numpy())
    moved, _ = minimize_from(negative, start, *bounds, max_calls=_MAX_CALLS, first_step=0.05)
    return torch.from_numpy(moved).reshape(C.shape)
