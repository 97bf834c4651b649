"""Plain BoTorch loops for constraints and for several objectives, as its tutorials write them.

One Gaussian process per outcome (the outputs of a `SingleTaskGP`, each with hyperparameters of its
own; standardised, tiny known noise) on the unit cube in float64, fit from scratch at each
suggestion. A `ModelListGP` is the same model and takes ten times as long for twelve outcomes. All
outcomes are maximised here: constraints are met where they are zero or more. Integers:
`optimize_acqf_mixed_alternating`.
"""

from typing import Any

import torch
from botorch import fit_gpytorch_mll
from botorch.acquisition import AcquisitionFunction, qLogNoisyExpectedImprovement
from botorch.acquisition.analytic import (
    LogConstrainedExpectedImprovement,
    LogProbabilityOfFeasibility,
)
from botorch.acquisition.multi_objective import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import IdentityMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.models import SingleTaskGP
from botorch.models.transforms import Standardize
from botorch.optim import optimize_acqf, optimize_acqf_mixed_alternating
from botorch.sampling import SobolQMCNormalSampler
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor

from benchmarks.outcomes import OutcomeProblem, Outcomes
from benchmarks.space import Params, from_unit

N_RESTARTS, RAW_SAMPLES = 10, 512
RELATIVE_NOISE = 1e-6


class AnalyticLoop:
    """LogConstrainedExpectedImprovement; LogProbabilityOfFeasibility until a point is feasible."""

    def __init__(self, problem: OutcomeProblem, seed: int) -> None:
        torch.manual_seed(seed)
        self.problem = problem
        d = len(problem.space)
        self.cube = torch.tensor([[0.0, 1.0]] * d, dtype=torch.float64).T
        self.X = torch.empty(0, d, dtype=torch.float64)
        self.Y = torch.empty(0, problem.n_objectives + problem.n_constraints, dtype=torch.float64)
        self.grid = {
            i: torch.linspace(0.0, 1.0, int(p.high - p.low) + 1, dtype=torch.float64).tolist()
            for i, p in enumerate(problem.space)
            if p.kind == "int"
        }

    def add(self, points: list[Params], outcomes: list[Outcomes]) -> None:
        for params, outcome in zip(points, outcomes, strict=True):
            self.tell(params, outcome)

    def ask(self) -> Params:
        acquisition = self._acquisition(self._fit())
        search: dict[str, Any] = {"num_restarts": N_RESTARTS, "raw_samples": RAW_SAMPLES, "q": 1}
        if self.grid:
            found, _ = optimize_acqf_mixed_alternating(
                acquisition,
                self.cube,
                discrete_dims=self.grid,
                post_processing_func=self._on_grid,
                **search,
            )
            return self._params(self._on_grid(found)[0])
        found, _ = optimize_acqf(acquisition, self.cube, **search)
        return self._params(found[0])

    def tell(self, params: Params, outcome: Outcomes) -> None:
        x = [[p.to_unit(params[p.name]) for p in self.problem.space]]
        y = [[-v for v in (*outcome.objectives, *outcome.constraints)]]
        self.X = torch.cat([self.X, torch.tensor(x, dtype=torch.float64)])
        self.Y = torch.cat([self.Y, torch.tensor(y, dtype=torch.float64)])

    def _acquisition(self, model: SingleTaskGP) -> AcquisitionFunction:
        bounds: dict[int, tuple[float | None, float | None]] = {
            1 + i: (0.0, None) for i in range(self.problem.n_constraints)
        }
        feasible = (self.Y[:, 1:] >= 0.0).all(dim=1)
        if not feasible.any():
            return LogProbabilityOfFeasibility(model, bounds)
        best = self.Y[feasible, 0].max()
        return LogConstrainedExpectedImprovement(model, best, 0, bounds)

    def _fit(self) -> SingleTaskGP:
        noise = RELATIVE_NOISE * self.Y.var(dim=0).clamp_min(1e-12).expand_as(self.Y)
        transform = Standardize(m=self.Y.shape[1])
        model = SingleTaskGP(self.X, self.Y, noise.contiguous(), outcome_transform=transform)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return model

    def _on_grid(self, X: Tensor) -> Tensor:
        X = X.clone()
        for i, values in self.grid.items():
            n_steps = len(values) - 1
            X[..., i] = (X[..., i] * n_steps).round() / n_steps
        return X

    def _params(self, x: Tensor) -> Params:
        params = from_unit(self.problem.space, x.tolist())
        for i in self.grid:
            p = self.problem.space[i]
            params[p.name] = round(p.low + float(x[i]) * (p.high - p.low))
        return params


class NoisyLoop(AnalyticLoop):
    """qLogNoisyExpectedImprovement over the evaluated points with `constraints=`."""

    n_samples = 256

    def _acquisition(self, model: SingleTaskGP) -> AcquisitionFunction:
        return qLogNoisyExpectedImprovement(
            model,
            X_baseline=self.X,
            sampler=SobolQMCNormalSampler(torch.Size([self.n_samples])),
            objective=GenericMCObjective(lambda Z, X=None: Z[..., 0]),
            constraints=_violations(1, self.problem.n_constraints),
            prune_baseline=True,
        )


class HypervolumeLoop(AnalyticLoop):
    """qLogNoisyExpectedHypervolumeImprovement with the reference point known."""

    n_samples = 128

    def _acquisition(self, model: SingleTaskGP) -> AcquisitionFunction:
        n = self.problem.n_objectives
        return qLogNoisyExpectedHypervolumeImprovement(
            model,
            ref_point=[-r for r in self.problem.reference],
            X_baseline=self.X,
            sampler=SobolQMCNormalSampler(torch.Size([self.n_samples])),
            objective=IdentityMCMultiOutputObjective(outcomes=list(range(n))),
            constraints=_violations(n, self.problem.n_constraints) or None,
            prune_baseline=True,
        )


def _violations(first: int, n: int) -> list[Any]:
    return [lambda Z, i=first + i: -Z[..., i] for i in range(n)]
