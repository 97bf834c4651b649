"""Knowledge gradient of a target: what the best F is expected to gain from one evaluation of f.

Notation
--------
x, r        design and role columns of a candidate
F           the target, a linear functional of f over the role columns
A           (m, d) designs that may be reported;    p one of them
mu^F, Cov   posterior mean of F, posterior covariance
lambda      variance of the noise of the next observation at (x, r)
v           Var f(x, r) + lambda
Z           a standard normal number

    mu^F_{n+1}(p) = mu^F(p) + s(p) Z,   s(p) = Cov(F(p), f(x, r)) / sqrt(v)
    KG(x, r)      = E[max over A of mu^F_{n+1}] - max over A of mu^F
                                                       Frazier (2018), Sections 5.4 and 5.5
                  = h(a, b),    a = mu^F(A),   b = s(A)          (see `expected_max`)

The report set A stays as it is while a candidate moves, as in `knowledge_gradient`. It is found by
asking where F may come to be largest after evaluations that promise something.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.expected_max import log_gain_and_partials
from bayesopt.acquisition.observed import FunctionOfMoments, Observed
from bayesopt.acquisition.report_set import (
    OfReports,
    extended_by,
    found_in_rounds,
    one_by_one,
)
from bayesopt.region import Region


@runtime_checkable  # the tests check types as they run
class WithTarget(Protocol):
    """A botorch Model of f that also knows its target."""

    @property
    def target(self) -> Any:
        """A botorch Model of F; it has ``beside_values``, its covariances with f at points."""

    def beside_target(self, A: Tensor) -> tuple[Any, Tensor]:
        """What covariances of f with F at designs are asked with."""

    def noise_at(self, X: Tensor) -> Tensor:
        """Variance of the noise of the next observation at points (*b, d)."""


class TargetKnowledgeGradient(FunctionOfMoments):
    """Expected gain of the best target over a finite report set.

    Parameters
    ----------
    model
        A botorch Model of f with a target (`WithTarget`), to be maximised.
    A
        (m, d) designs that may be reported.
    log
        Return the logarithm, which has the same maximiser and a usable gradient everywhere.
    """

    def __init__(self, model: Model, A: Shaped[Tensor, "m d"], *, log: bool = True) -> None:
        super().__init__(model)
        self.A, self.log = A, log
        with torch.no_grad():
            self.mean = model.target.marginals(A)[0]
            self.observed = Observed(model, A, beside=model.beside_target(A), with_noise=True)

    def _log_value_and_partials(
        self, mean: Tensor, variance: Tensor, covariance: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        assert noise is not None  # `observed` has it
        v = variance + noise
        root = v.sqrt().numpy()[:, None]
        a = np.broadcast_to(self.mean.numpy(), covariance.shape)
        b = covariance.numpy() / root
        value, _, by_b = log_gain_and_partials(a, b)
        by_v = torch.from_numpy(-0.5 * (by_b * b).sum(axis=1) / v.numpy())
        nothing = torch.zeros_like(mean)
        return torch.from_numpy(value), nothing, by_v, torch.from_numpy(by_b / root), by_v


def target_report_set(
    model: Model,
    X: Shaped[Tensor, "n d"],
    reports: Region,
    everywhere: Region,
    of_reports: OfReports,
) -> Shaped[Tensor, "m d"]:
    """Designs that one of the next evaluations may make the best one.

    Parameters
    ----------
    model
        See `TargetKnowledgeGradient`.
    X
        Evaluated points, which are looked around first.
    reports, everywhere
        Where designs may be reported, their role columns fixed; where evaluations may be made.
    of_reports
        What tells promising evaluations, over a report set.
    """
    target = model.target

    def after(P: Tensor, A: Tensor) -> Tensor:
        observed = Observed(target, P, beside=target.beside_values(P))
        return extended_by(observed, one_by_one(model, None, P), reports, A)

    return found_in_rounds(target, X, reports, everywhere, of_reports, after)


def build(
    model: Model,
    X: Shaped[Tensor, "n d"],
    reports: Region,
    everywhere: Region,
    per_cost: Callable[[AcquisitionFunction], AcquisitionFunction] = lambda of: of,
) -> AcquisitionFunction:
    """Log knowledge gradient of the target, per unit cost, over a report set that is found first.

    Parameters
    ----------
    model, X, reports, everywhere
        See `target_report_set`; points that are running belong to the model and to X.
    per_cost
        Divides an acquisition by the cost of a candidate.
    """

    def of_reports(A: Tensor) -> AcquisitionFunction:
        return per_cost(TargetKnowledgeGradient(model, A))

    return of_reports(target_report_set(model, X, reports, everywhere, of_reports))
