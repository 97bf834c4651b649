"""Fit an epidemic to its weekly case counts, with the gradients of automatic differentiation.

A model of susceptible, infected and recovered people (SIR) is solved for 140 days; four numbers are
sought for which it reports the cases that were counted: how fast people infect each other, how long
they are ill, how many were ill on the first day, and which share of the cases is reported. The
misfit has a long curved valley. torch differentiates the solver: every run brings the misfit and
its four partial derivatives, and the search learns from both. A function returns
``bo.Evaluation(value, gradient=...)``; nothing else changes.

    python examples/derivatives.py            # half a minute
    python examples/derivatives.py --help
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.optimize import OptimizeResult

import bayesopt as bo

PEOPLE, WEEKS, STEPS_A_DAY = 1e6, 20, 2
SPACE = bo.Space(
    infections_a_day=bo.Float(0.1, 0.6),
    days_ill=bo.Float(3.0, 20.0),
    ill_at_start=bo.Float(1.0, 1000.0, log=True),
    share_reported=bo.Float(0.05, 1.0, log=True),
)
TRUTH = {"infections_a_day": 0.32, "days_ill": 6.5, "ill_at_start": 40.0, "share_reported": 0.3}


def weekly_cases(p: torch.Tensor) -> torch.Tensor:
    """Reported cases (WEEKS,), differentiable in the four parameters."""
    infections_a_day, days_ill, ill_at_start, share_reported = p
    healthy, ill = PEOPLE - ill_at_start, ill_at_start
    reported = []
    for _ in range(WEEKS):
        before = healthy
        for _ in range(7 * STEPS_A_DAY):
            infected = infections_a_day * healthy * ill / PEOPLE / STEPS_A_DAY
            healthy, ill = healthy - infected, ill + infected - ill / days_ill / STEPS_A_DAY
        reported.append(share_reported * (before - healthy))
    return torch.stack(reported)


def counted() -> torch.Tensor:
    """What was counted: Poisson noise around the truth."""
    expected = weekly_cases(torch.tensor(list(TRUTH.values()), dtype=torch.float64))
    return torch.from_numpy(np.random.default_rng(1).poisson(expected).astype(float))


def misfit(cases: torch.Tensor, params: dict[str, float]) -> bo.Evaluation:
    """Mean square of the difference of logarithms, and its gradient."""
    p = torch.tensor(list(params.values()), dtype=torch.float64, requires_grad=True)
    value = (torch.log1p(weekly_cases(p)) - torch.log1p(cases)).square().mean()
    (gradient,) = torch.autograd.grad(value, p)
    return bo.Evaluation(float(value.detach()), gradient=gradient)


def searched(cases: torch.Tensor, n_evals: int, seed: int, gradient: bool) -> OptimizeResult:
    """One search, with or without the partial derivatives."""

    def fun(**params: float) -> bo.Evaluation | float:
        evaluation = misfit(cases, params)
        return evaluation if gradient else evaluation.value

    return bo.minimize(fun, SPACE, n_evals, noise=False, seed=seed, progress=False)


def median_search(results: list[OptimizeResult]) -> OptimizeResult:
    """The search whose last misfit is the median."""
    return sorted(results, key=lambda result: float(result.fun))[len(results) // 2]


def picture(cases: torch.Tensor, found: dict[str, list[OptimizeResult]], path: Path) -> None:
    """Left: the misfit by runs of the model. Right: the cases of the median searches."""
    _, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    colors = {"with gradients": "#0b6e99", "values alone": "#d1495b"}
    weeks = np.arange(1, WEEKS + 1)
    right.plot(weeks, cases, "o", color="black", markersize=4, label="counted")
    for name, results in found.items():
        best = np.minimum.accumulate([result.func_vals for result in results], axis=1)
        runs = np.arange(1, best.shape[1] + 1)
        left.plot(runs, best.T, color=colors[name], alpha=0.3, linewidth=1)
        left.plot(runs, np.median(best, axis=0), color=colors[name], linewidth=2.5, label=name)
        p = torch.tensor(list(median_search(results).params.values()), dtype=torch.float64)
        right.plot(weeks, weekly_cases(p), color=colors[name], linewidth=2, label=name)
    left.set_yscale("log")
    left.set(
        xlabel="runs of the model", ylabel="smallest misfit", title="each thin line is one search"
    )
    right.set(xlabel="week", ylabel="reported cases", title="the median search of each kind")
    for ax in (left, right):
        ax.legend(frameon=False)
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def main() -> None:
    """Search with and without gradients, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=30)
    parser.add_argument("--n-searches", type=int, default=5)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/derivatives.png"))
    arguments = parser.parse_args()
    cases = counted()
    found = {
        name: [
            searched(cases, arguments.n_evals, seed, gradient)
            for seed in range(arguments.n_searches)
        ]
        for name, gradient in (("with gradients", True), ("values alone", False))
    }
    print(f"{arguments.n_searches} searches of {arguments.n_evals} runs of the model each")
    print(f"{'':18}{'misfit':>10}   (median)    what the median search found")
    for name, results in found.items():
        one = median_search(results)
        print(f"{name:18}{float(one.fun):10.4f}{'':15}{shown(one.params)}")
    print(f"{'the truth':18}{misfit(cases, TRUTH).value:10.4f}{'':15}{shown(TRUTH)}")
    picture(cases, found, arguments.picture)


def shown(params: dict[str, float]) -> str:
    """Parameters in one line."""
    return ", ".join(f"{name} {value:.3g}" for name, value in params.items())


if __name__ == "__main__":
    main()
