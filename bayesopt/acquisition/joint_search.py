"""Several points that are worth most together, by any acquisition that takes several.

Notation
--------
q       points to find
P       (m, d) points that are being evaluated
C       (c, d) points of the q that are found already

The points are found one after the other: each is worth most beside P and C. Then all q of them
move at once, where their columns are real and no constraint is in the way.

What finds one more point, and what moves them, is a `JointValue`: each kind finds the next point
in the cheapest way that is true to it. Expected improvement and its noisy kinds average over what
P and C may return; the knowledge gradient asks for all of them together, over a report set that
before every search gets the maximisers of the posterior means after some hypothetical observations
at all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt import optimize
from bayesopt.acquisition import (
    joint_expected_improvement,
    knowledge_gradient,
    noisy_expected_improvement,
    sampled_improvement,
)
from bayesopt.acquisition.default_region import cube_of
from bayesopt.acquisition.knowledge_gradient import KnowledgeGradient
from bayesopt.acquisition.noisy_expected_improvement import Baseline, NoisyExpectedImprovement
from bayesopt.acquisition.pending import noise_of_next
from bayesopt.acquisition.report_set import coefficients, extended
from bayesopt.acquisition.with_probability import LogProbability, WithProbability
from bayesopt.data import Dataset
from bayesopt.parameter import Array
from bayesopt.quasi_newton import minimize_from
from bayesopt.region import Region

JointName = Literal["ei", "nei", "noisy_ei", "kgcp", "kg"]

_N_HYPOTHETICAL = 16
_MAX_CALLS = 20
_VALUE_TOLERANCE = 1e-4  # of a logarithm
_EFFORT = optimize.Effort(n_global=256, n_local=128, n_starts=4, max_calls=15)


@dataclass(frozen=True)
class JointValue:
    """What several points are worth together.

    Parameters
    ----------
    one_more
        Maps the points (c, d) that are being evaluated or found to an acquisition of one candidate
        beside them.
    together
        Maps the points (m, d) that are being evaluated, and first guesses (q, d), to an
        acquisition of q candidates (*b, q, d).
    """

    one_more: Callable[[Tensor], AcquisitionFunction]
    together: Callable[[Tensor, Tensor], AcquisitionFunction]


class Beside(AcquisitionFunction):  # type: ignore[misc]
    """What candidates and fixed points are worth together.

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

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate, or of every q of them."""
        beside = self.C.expand(*X.shape[:-2], *self.C.shape)
        value: Tensor = self.acquisition(torch.cat((X, beside), dim=-2))
        return value


def expected_improvement(model: Model, data: Dataset, region: Region) -> JointValue:
    """Expected improvement; on the hidden values under noise."""
    return JointValue(
        lambda C: sampled_improvement.build((model, data), X_pending=C),
        lambda P, _: joint_expected_improvement.build(model, data, P),
    )


def noisy_improvement(
    model: Model, data: Dataset, region: Region, *, baseline: Baseline
) -> JointValue:
    """Gain of the best reportable mean."""
    noise = noise_of_next(model, data)
    value = NoisyExpectedImprovement(model, data.X, noise, baseline=baseline)
    return JointValue(
        lambda C: noisy_expected_improvement.build(model, data, C, baseline=baseline),
        lambda P, _: Beside(value, P),
    )


def gain_of_best_mean(model: Model, data: Dataset, region: Region) -> JointValue:
    """Knowledge gradient."""
    noise = noise_of_next(model, data)
    alone = knowledge_gradient.build(model, data, region=region)
    assert isinstance(alone, KnowledgeGradient)
    A = alone.A

    def beside(C: Tensor, fixed: Tensor) -> AcquisitionFunction:
        W = coefficients(model, noise, C, _N_HYPOTHETICAL)
        return Beside(KnowledgeGradient(model, extended(model, C, W, region, A), noise), fixed)

    return JointValue(
        lambda C: beside(C, C) if len(C) > 0 else alone,
        lambda P, C: beside(torch.cat((C, P)), P),
    )


_KINDS: dict[JointName, Callable[[Model, Dataset, Region], JointValue]] = {
    "ei": expected_improvement,
    "nei": expected_improvement,
    "noisy_ei": partial(noisy_improvement, baseline="observed"),
    "kgcp": partial(noisy_improvement, baseline="observed_and_candidate"),
    "kg": gain_of_best_mean,
}


def maximize_jointly(
    model: Model,
    data: Dataset,
    q: int,
    incumbents: Array,
    rng: np.random.Generator,
    *,
    acquisition: JointName = "kg",
    X_pending: Shaped[Tensor, "m d"] | None = None,
    region: Region | None = None,
    effort: optimize.Effort | None = None,
    move: bool = True,
    factors: Sequence[LogProbability] = (),
) -> Array:
    """Find q points (q, d) that are worth most together.

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
    acquisition
        What they are worth: "ei" or "nei" (the same for several points), "noisy_ei", "kgcp" or
        "kg", as in `bayesopt.policy.Policy`.
    X_pending
        Points that are being evaluated.
    region
        Where to look: the space and its constraints. None: the unit cube, with the categories of
        `data`.
    effort
        How hard every point is searched.
    move
        Whether all of them move at once in the end. False: they stay as found one by one.
    factors
        Probabilities of every point that what they are worth is multiplied by.
    """
    region, effort = region or cube_of(data), effort or _EFFORT
    value = _KINDS[acquisition](model, data, region)
    P = data.X[:0] if X_pending is None else X_pending
    C = data.X[:0]
    for _ in range(q):
        one_more = _times(value.one_more(torch.cat((C, P))), factors)
        X, _ = optimize.maximize(one_more, region, incumbents, rng, effort=effort)
        C = torch.cat((C, torch.from_numpy(X[:1])))
    real = region.space.columns("float")
    if move and q > 1 and real and not region.constrained:
        C = _moved_together(_times(value.together(P, C), factors), C, real)
    found: Array = C.numpy()
    return found


def _times(
    acquisition: AcquisitionFunction, factors: Sequence[LogProbability]
) -> AcquisitionFunction:
    return WithProbability(acquisition, factors) if factors else acquisition


def _moved_together(joint: AcquisitionFunction, C: Tensor, real: list[int]) -> Tensor:
    """C (q, d) after a climb in the real columns of all points."""
    low, high = C.clone(), C.clone()
    low[:, real], high[:, real] = 0.0, 1.0

    def negative(at: Array) -> tuple[Array, Array]:
        X = torch.from_numpy(at).reshape(-1, *C.shape).requires_grad_()
        with torch.enable_grad():
            value = joint(X)
            (gradient,) = torch.autograd.grad(value.sum(), X)
        return -value.detach().numpy(), -gradient.reshape(at.shape).numpy()

    start, bounds = C.reshape(1, -1).numpy(), (low.reshape(-1).numpy(), high.reshape(-1).numpy())
    moved, _ = minimize_from(
        negative,
        start,
        *bounds,
        max_calls=_MAX_CALLS,
        first_step=0.05,
        value_tolerance=_VALUE_TOLERANCE,
    )
    return torch.from_numpy(moved).reshape(C.shape)
