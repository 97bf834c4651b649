"""BoTorch and Optuna on problems with constraints and with several objectives, once and for all.

python -m benchmarks.outcome_peers      # an hour; goes on where it was stopped

What they find is kept in `traces/`, with the versions and the settings, so that ours can be
compared to it without this hour.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks import constrained_problems, several_objectives_problems
from benchmarks import outcome_traces as traces
from benchmarks.outcomes import OutcomeProblem
from benchmarks.solvers import botorch_outcomes as botorch
from benchmarks.solvers.optuna_outcomes import OptunaOutcomes

TRACES = Path(__file__).parent / "traces"
CONSTRAINED = TRACES / "constrained_peers.jsonl"
SEVERAL = TRACES / "several_objectives_peers.jsonl"
N_SEEDS = 10
# Evaluations after the start.
BUDGETS = {
    "gardner1": 30,
    "gardner2": 30,
    "gramacy": 30,
    "townsend": 30,
    "pressure-vessel": 60,
    "speed-reducer": 60,
    "zdt1": 30,
    "dtlz2": 30,
    "bnh": 30,
}
ANALYTIC = "BoTorch LogCEI"
NOISY = "BoTorch qLogNEI"
HYPERVOLUME = "BoTorch qLogNEHVI"
OPTUNA = "Optuna GPSampler"
MAKERS: dict[str, traces.Maker] = {
    ANALYTIC: botorch.AnalyticLoop,
    NOISY: botorch.NoisyLoop,
    HYPERVOLUME: botorch.HypervolumeLoop,
    OPTUNA: OptunaOutcomes,
}
# The dear searches have fewer seeds; qLogNEI takes 7 s a suggestion on the last two.
SEEDS = {
    **{(name, NOISY): 6 for name in ("gardner1", "gardner2", "gramacy", "townsend")},
    ("speed-reducer", ANALYTIC): 6,
    ("pressure-vessel", NOISY): 0,
    ("speed-reducer", NOISY): 0,
}


def get(name: str) -> OutcomeProblem:
    """A problem of either kind by its name."""
    if name in several_objectives_problems.PROBLEMS:
        return several_objectives_problems.get(name)
    return constrained_problems.get(name)


def peers(problem: OutcomeProblem) -> tuple[str, ...]:
    """Who searches this problem."""
    return (HYPERVOLUME, OPTUNA) if problem.reference else (ANALYTIC, NOISY, OPTUNA)


def settings(label: str) -> str:
    """Versions, date and settings, as they are kept with each trace."""
    if label == OPTUNA:
        return f"optuna {version('optuna')}, {date.today().isoformat()}, deterministic_objective"
    packages = [f"{name} {version(name)}" for name in ("botorch", "gpytorch", "torch")]
    search = [f"num_restarts={botorch.N_RESTARTS}", f"raw_samples={botorch.RAW_SAMPLES}"]
    loop = {NOISY: botorch.NoisyLoop, HYPERVOLUME: botorch.HypervolumeLoop}.get(label)
    samples = [f"samples={loop.n_samples}"] if loop else []
    return ", ".join([*packages, date.today().isoformat(), *search, *samples])


def main(argv: Sequence[str] | None = None) -> None:
    """Do what is not in the files yet, one seed after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=TRACES)
    parser.add_argument("--problem", nargs="*", default=list(BUDGETS))
    parser.add_argument("--solver", nargs="*", default=list(MAKERS))
    parser.add_argument("--seeds", type=int, nargs="*", default=list(range(N_SEEDS)))
    parser.add_argument("--evals", type=int, help="after the start; by default by the problem")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # numerical warnings of the peers
    for seed in arguments.seeds:
        for problem in map(get, arguments.problem):
            path = arguments.output / (SEVERAL if problem.reference else CONSTRAINED).name
            there = {(run.problem, run.solver, run.seed) for run in traces.read(path)}
            for label in peers(problem):
                skipped = seed >= SEEDS.get((problem.name, label), N_SEEDS)
                if skipped or label not in arguments.solver or (problem.name, label, seed) in there:
                    continue
                n_after = arguments.evals or BUDGETS[problem.name]
                run = traces.trace(problem, label, MAKERS[label], seed, n_after, settings(label))
                traces.append(path, run)
                print(described(run, problem), file=sys.stderr, flush=True)


def described(run: traces.OutcomeRun, problem: OutcomeProblem) -> str:
    """A line for the person who waits."""
    final = run.hypervolumes(problem.reference)[-1] if problem.reference else run.best[-1]
    seconds = sum(run.seconds)
    return f"{run.problem} {run.solver} seed {run.seed}: {final} in {seconds:.0f} s {run.error}"


if __name__ == "__main__":
    main()
