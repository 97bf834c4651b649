"""The plain BoTorch loop, as its tutorials write it, on the unit cube in float64.

Noise-free: a Gaussian process with tiny known noise and log expected improvement. Under noise:
inferred noise and log noisy expected improvement over all evaluated points; the point reported is
the evaluated one with the best posterior mean. Floats only: for integers and categories BoTorch
has several ways and leaves the choice to the user.
"""

import torch
from botorch import fit_gpytorch_mll
from botorch.acquisition import LogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.models import SingleTaskGP
from botorch.models.transforms import Standardize
from botorch.optim import optimize_acqf
from botorch.utils import standardize
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor

from benchmarks.problems import Problem
from benchmarks.solvers import Unsupported
from benchmarks.space import Params, from_unit


class BoTorchLoop:
    """Fit from scratch and maximise the acquisition from ten starts, at each suggestion."""

    def __init__(self, problem: Problem, seed: int) -> None:
        if any(p.kind != "float" for p in problem.space):
            raise Unsupported("BoTorch is compared on spaces of floats only.")
        torch.manual_seed(seed)
        self.problem = problem
        self.cube = torch.tensor([[0.0, 1.0]] * len(problem.space), dtype=torch.float64).T
        self.X = torch.empty(0, len(problem.space), dtype=torch.float64)
        self.y = torch.empty(0, 1, dtype=torch.float64)
        self.points: list[Params] = []
        self.asked = torch.empty(0)

    def add(self, points: list[Params], values: list[float]) -> None:
        for params, value in zip(points, values, strict=True):
            u = [p.to_unit(params[p.name]) for p in self.problem.space]
            self._append(torch.tensor([u], dtype=torch.float64), params, value)

    def ask(self) -> Params:
        model = self._fit()
        acquisition = (
            qLogNoisyExpectedImprovement(model, X_baseline=self.X, prune_baseline=True)
            if self.problem.noisy
            else LogExpectedImprovement(model, best_f=model.train_targets.max())
        )
        self.asked, _ = optimize_acqf(acquisition, self.cube, q=1, num_restarts=10, raw_samples=512)
        return from_unit(self.problem.space, self.asked[0].tolist())

    def tell(self, params: Params, value: float) -> None:
        self._append(self.asked, params, value)

    def recommend(self) -> Params:
        scores = self._fit().posterior(self.X).mean if self.problem.noisy else self.y
        return self.points[int(scores.argmax())]

    def _append(self, x: Tensor, params: Params, value: float) -> None:
        self.X = torch.cat([self.X, x])
        self.y = torch.cat([self.y, torch.tensor([[-value]], dtype=torch.float64)])
        self.points.append(params)

    def _fit(self) -> SingleTaskGP:
        if self.problem.noisy:
            model = SingleTaskGP(self.X, self.y, outcome_transform=Standardize(m=1))
        else:
            y = standardize(self.y)
            variance = torch.full_like(y, 1e-6)
            model = SingleTaskGP(self.X, y, train_Yvar=variance, outcome_transform=None)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return model


def make(problem: Problem, seed: int, n_evals: int, policy: str) -> BoTorchLoop:
    return BoTorchLoop(problem, seed)
