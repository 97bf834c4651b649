"""BoTorch's multi-fidelity knowledge gradient with two sources, once and for all.

python -m benchmarks.role_peers --seeds 5      # minutes a seed; goes on where it was stopped

The loop of the library's tutorial on discrete fidelities: `SingleTaskMultiFidelityGP` with the
truth at fidelity 1 and the cheap source at 0, `qMultiFidelityKnowledgeGradient` by cost. The start
is 2 (d + 1) scrambled Sobol' points of the cheap source, the first two of them also of the truth,
since a start of the truth alone would cost more than the whole search may. Recommended is the
maximiser of the posterior mean at the truth.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from time import process_time

import torch
from botorch import fit_gpytorch_mll
from botorch.acquisition import (
    FixedFeatureAcquisitionFunction,
    InverseCostWeightedUtility,
    PosteriorMean,
    qMultiFidelityKnowledgeGradient,
)
from botorch.models import SingleTaskMultiFidelityGP
from botorch.models.cost import AffineFidelityCostModel
from botorch.models.transforms import Standardize
from botorch.optim import optimize_acqf, optimize_acqf_mixed
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor

from benchmarks.many_runs import read_all
from benchmarks.role_problems import RoleProblem
from benchmarks.role_traces import PEER, RoleRun
from benchmarks.source_problems import CHEAP, PROBLEMS, TRUTH
from benchmarks.space import Params, from_unit, starting_points

TRACES = Path(__file__).parent / "traces" / "roles_peers.jsonl"
N_FANTASIES, N_RESTARTS, RAW_SAMPLES = 64, 5, 128
_N_OF_TRUTH = 2


class MultiFidelityLoop:
    """Fit from scratch and maximise the gain by cost, at each suggestion; on the unit cube."""

    def __init__(self, problem: RoleProblem, seed: int) -> None:
        torch.manual_seed(seed)
        self.problem = problem
        self.d = len(problem.design)
        self.cube = torch.tensor([[0.0, 1.0]] * (self.d + 1), dtype=torch.float64).T
        self.X = torch.empty(0, self.d + 1, dtype=torch.float64)
        self.y = torch.empty(0, 1, dtype=torch.float64)

    def tell(self, params: Params, value: float) -> None:
        u = [p.to_unit(params[p.name]) for p in self.problem.design]
        row = torch.tensor([[*u, float(params["source"] == TRUTH)]], dtype=torch.float64)
        self.X = torch.cat([self.X, row])
        self.y = torch.cat([self.y, torch.tensor([[-value]], dtype=torch.float64)])
        self.model: SingleTaskMultiFidelityGP | None = None

    def ask(self) -> Params:
        model = self._fitted()
        _, best = self._best_mean()
        cheap, truth = (self.problem.cost({"source": s}) for s in (CHEAP, TRUTH))
        cost = AffineFidelityCostModel({self.d: truth - cheap}, fixed_cost=cheap)
        acquisition = qMultiFidelityKnowledgeGradient(
            model,
            num_fantasies=N_FANTASIES,
            current_value=best,
            cost_aware_utility=InverseCostWeightedUtility(cost),
            project=self._at_truth,
        )
        x, _ = optimize_acqf_mixed(
            acquisition,
            self.cube,
            q=1,
            num_restarts=N_RESTARTS,
            raw_samples=RAW_SAMPLES,
            fixed_features_list=[{self.d: 0.0}, {self.d: 1.0}],
        )
        source = TRUTH if float(x[0, -1]) > 0.5 else CHEAP
        return self._design(x[0, :-1]) | {"source": source}

    def recommend(self) -> Params:
        return self._design(self._best_mean()[0][0])

    def _best_mean(self) -> tuple[Tensor, Tensor]:
        at_truth = FixedFeatureAcquisitionFunction(
            PosteriorMean(self._fitted()), d=self.d + 1, columns=[self.d], values=[1.0]
        )
        x, value = optimize_acqf(
            at_truth, self.cube[:, : self.d], q=1, num_restarts=10, raw_samples=512
        )
        return x, value

    def _at_truth(self, X: Tensor) -> Tensor:
        return torch.cat([X[..., : self.d], torch.ones_like(X[..., :1])], dim=-1)

    def _design(self, u: Tensor) -> Params:
        return from_unit(self.problem.design, u.tolist())

    def _fitted(self) -> SingleTaskMultiFidelityGP:
        if self.model is None:
            model = SingleTaskMultiFidelityGP(
                self.X, self.y, data_fidelities=[self.d], outcome_transform=Standardize(m=1)
            )
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
            self.model = model
        return self.model


def start(problem: RoleProblem, seed: int) -> list[Params]:
    """Points of the cheap source, and the first of them of the truth."""
    points = starting_points(problem.design, seed)
    truths = [{**point, "source": TRUTH} for point in points[:_N_OF_TRUTH]]
    return [*truths, *({**point, "source": CHEAP} for point in points)]


def trace(problem: RoleProblem, seed: int, n_after: int, cost_budget: float) -> RoleRun:
    """One search: the start, then suggestions up to one of the limits."""
    loop = MultiFidelityLoop(problem, seed)
    costs: list[float] = []
    at_target: list[bool] = []
    recommended: dict[str, float] = {}
    seconds: list[float] = []

    def evaluate(params: Params) -> None:
        loop.tell(params, problem.observe(params, seed, len(costs)))
        costs.append(problem.cost(params))
        at_target.append(problem.at_target(params))

    for params in start(problem, seed):
        evaluate(params)
    recommended[str(len(costs))] = problem.goal(loop.recommend())
    for _ in range(n_after):
        since = process_time()
        params = loop.ask()
        seconds.append(process_time() - since)
        if sum(costs) + problem.cost(params) > cost_budget:
            break
        evaluate(params)
        recommended[str(len(costs))] = problem.goal(loop.recommend())
    return RoleRun(
        problem.name,
        PEER,
        seed,
        _settings(),
        problem.optimum,
        costs=costs,
        at_target=at_target,
        recommended=recommended,
        seconds=seconds,
    )


def _settings() -> str:
    packages = [f"{name} {version(name)}" for name in ("botorch", "gpytorch", "torch")]
    search = [f"num_restarts={N_RESTARTS}", f"raw_samples={RAW_SAMPLES}"]
    return ", ".join([*packages, date.today().isoformat(), *search, f"num_fantasies={N_FANTASIES}"])


def main(argv: Sequence[str] | None = None) -> None:
    """Do what is not in the file yet, seed after seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=TRACES)
    parser.add_argument("--evals", type=int, default=60, help="after the start, at most")
    parser.add_argument("--truths", type=float, default=15.0, help="budget, in costs of the truth")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # numerical warnings of the peer
    there = {r.key for r in read_all(RoleRun, [p for p in (arguments.output,) if p.exists()])}
    for seed in range(arguments.seeds):
        for name, problem in PROBLEMS.items():
            if (name, PEER, seed) in there:
                continue
            budget = arguments.truths * problem.cost(problem.target)
            done = trace(problem, seed, arguments.evals, budget)
            with arguments.output.open("a") as file:
                file.write(json.dumps(asdict(done)) + "\n")
            regret = done.steps[-1][1]
            line = f"{name} seed {seed}: {regret:.4g} in {sum(done.seconds):.0f} s"
            print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
