"""BoTorch's knowledge gradient and noisy expected improvement under noise, once and for all.

python -m benchmarks.knowledge_gradient_peers      # an hour; goes on where it was stopped

What they find is kept in `recommendation_traces.TRACES`, with the versions and the settings, so
that ours can be compared to it without these hours.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch
from botorch.acquisition import (
    AcquisitionFunction,
    PosteriorMean,
    qKnowledgeGradient,
    qLogNoisyExpectedImprovement,
)
from botorch.models import SingleTaskGP
from botorch.optim import optimize_acqf
from torch import Tensor

from benchmarks import record
from benchmarks.problems import Problem
from benchmarks.recommendation_traces import (
    N_AFTER_START,
    PROBLEMS,
    SEEDS,
    TRACES,
    trace,
)
from benchmarks.solvers.botorch import BoTorchLoop
from benchmarks.space import Params, from_unit

NOISY_EI = "BoTorch qLogNEI"
KNOWLEDGE_GRADIENT = "BoTorch qKnowledgeGradient"
N_FANTASIES = 64


class NoisyExpectedImprovement(BoTorchLoop):
    """qLogNoisyExpectedImprovement over the evaluated points, fit from scratch every time."""

    n_restarts, raw_samples = 10, 512

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, seed)
        self.n_fitted = 0

    def ask(self) -> Params:
        """The maximiser of the acquisition."""
        model, _, best_mean = self._fitted()
        self.asked, _ = self._maximised(self._acquisition(model, best_mean))
        return from_unit(self.problem.space, self.asked[0].tolist())

    def recommend(self) -> Params:
        """The maximiser of the posterior mean over the box."""
        _, best, _ = self._fitted()
        return from_unit(self.problem.space, best[0].tolist())

    def _acquisition(self, model: SingleTaskGP, best_mean: Tensor) -> AcquisitionFunction:
        return qLogNoisyExpectedImprovement(model, X_baseline=self.X, prune_baseline=True)

    def _fitted(self) -> tuple[SingleTaskGP, Tensor, Tensor]:
        """The model of the data so far and the maximiser and maximum of its mean."""
        if self.n_fitted != len(self.X):
            self.n_fitted = len(self.X)
            self.model = self._fit()
            self.best, self.best_mean = self._maximised(PosteriorMean(self.model))
        return self.model, self.best, self.best_mean

    def _maximised(self, acquisition: AcquisitionFunction) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = optimize_acqf(
            acquisition,
            self.cube,
            q=1,
            num_restarts=self.n_restarts,
            raw_samples=self.raw_samples,
        )
        return found


class OneShotKnowledgeGradient(NoisyExpectedImprovement):
    """qKnowledgeGradient as its tutorial writes it."""

    def _acquisition(self, model: SingleTaskGP, best_mean: Tensor) -> AcquisitionFunction:
        return qKnowledgeGradient(model, num_fantasies=N_FANTASIES, current_value=best_mean)


PEERS = {NOISY_EI: NoisyExpectedImprovement, KNOWLEDGE_GRADIENT: OneShotKnowledgeGradient}


def settings(label: str) -> str:
    """Versions, date and settings, as they are kept with each trace."""
    packages = [f"{name} {version(name)}" for name in ("botorch", "gpytorch", "torch")]
    peer = PEERS[label]
    search = [f"num_restarts={peer.n_restarts}", f"raw_samples={peer.raw_samples}"]
    fantasies = [f"num_fantasies={N_FANTASIES}"] if label == KNOWLEDGE_GRADIENT else []
    return ", ".join([*packages, date.today().isoformat(), *search, *fantasies])


def main(argv: Sequence[str] | None = None) -> None:
    """Do what is not in the file yet: the cheap searches first, the seeds one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=TRACES)
    parser.add_argument("--evals", type=int, default=N_AFTER_START, help="after the start")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # numerical warnings of the peers
    there = {(run.problem, run.solver, run.seed) for run in record.read(arguments.output)}
    tasks = [(s, p, label) for label in PEERS for s in range(arguments.seeds) for p in PROBLEMS]
    for seed, problem, label in tasks:
        if (problem, label, seed) in there:
            continue
        run = trace(problem, label, PEERS[label], seed, arguments.evals, settings(label))
        if run.error:
            raise RuntimeError(f"{problem} {label} seed {seed}: {run.error}")
        record.append(arguments.output, [run])
        line = f"{problem} {label} seed {seed}: {run.final:.4g} in {sum(run.seconds):.0f} s"
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
