"""Noise that grows near the optimum: intervals of new observations, and points that are reported.

``python -m benchmarks.heteroscedastic --report file`` writes both tables.

The functions are public, the noise is ours: with u in the unit cube and the minima u_k,

    Forrester (2008), d = 1    sd(u) = 0.2 + 3 max_k exp(-|u - u_k|^2 / 0.2^2)
    Branin, d = 2              sd(u) = 1 + 15 max_k exp(-|u - u_k|^2 / 0.25^2)

All searches of a problem and a seed draw the same noise by the number of the evaluation.
"""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import qmc

import bayesopt as bo
from benchmarks.paired_differences import interval
from benchmarks.report import header, markdown

Array = NDArray[np.float64]

METHODS = {
    "heteroscedastic": ("heteroscedastic", "auto"),
    "auto": ("auto", "auto"),
    "auto, noisy_ei": ("auto", "noisy_ei"),
}
_WITHIN = 1.959964


@dataclass(frozen=True)
class Uneven:
    """A function (n, d) -> (n,) of the unit cube, its minima, and noise that is large near them."""

    value: Callable[[Array], Array]
    minima: Array
    minimum: float
    quiet: float
    loud: float
    width: float
    n_evals: int

    def sd(self, u: Array) -> Array:
        """Standard deviations (n,) of the noise."""
        square = ((u[:, None] - self.minima) ** 2).sum(-1).min(1)
        noise: Array = self.quiet + self.loud * np.exp(-square / self.width**2)
        return noise


def forrester(u: Array) -> Array:
    """Forrester et al. (2008)."""
    x = u[:, 0]
    value: Array = (6.0 * x - 2.0) ** 2 * np.sin(12.0 * x - 4.0)
    return value


def branin(u: Array) -> Array:
    """Branin, with x in [-5, 10] and y in [0, 15]."""
    x, y = 15.0 * u[:, 0] - 5.0, 15.0 * u[:, 1]
    bowl = y - 5.1 / (4.0 * np.pi**2) * x**2 + 5.0 / np.pi * x - 6.0
    value: Array = bowl**2 + 10.0 * (1.0 - 1.0 / (8.0 * np.pi)) * np.cos(x) + 10.0
    return value


_MINIMA_OF_BRANIN = np.array([[-np.pi, 12.275], [np.pi, 2.275], [3.0 * np.pi, 2.475]])
PROBLEMS = {
    "forrester": Uneven(
        forrester, np.array([[0.7572487]]), -6.020740055767, 0.2, 3.0, 0.2, n_evals=40
    ),
    "branin": Uneven(
        branin,
        (_MINIMA_OF_BRANIN + np.array([5.0, 0.0])) / 15.0,
        0.39788735772973816,
        1.0,
        15.0,
        0.25,
        n_evals=60,
    ),
}

# -- intervals -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Coverage:
    """Shares of new observations in their 95 % intervals, in both halves of a space."""

    problem: str
    noise: str
    n: int
    quiet_half: float
    loud_half: float


def coverage(problem: str, noise: str, n: int, seed: int) -> Coverage:
    """Intervals of a study that was told n values at quasi-random points."""
    torch.set_num_threads(1)
    case, rng = PROBLEMS[problem], np.random.default_rng([seed, n])
    d = case.minima.shape[1]
    u = qmc.Sobol(d, rng=rng).random_base2(int(np.ceil(np.log2(n))))[:n]
    study = bo.Study([(0.0, 1.0)] * d, noise=noise, seed=seed)  # type: ignore[arg-type]
    study.add(u, case.value(u) + case.sd(u) * rng.standard_normal(n))
    new = np.random.default_rng(99).random((2000, d))
    observed = case.value(new) + case.sd(new) * np.random.default_rng(98).standard_normal(2000)
    mean, sd = study.predict(new, observation_noise=True)
    inside = np.abs(observed - mean) <= _WITHIN * sd
    loud = case.sd(new) > np.median(case.sd(new))
    return Coverage(problem, noise, n, float(inside[~loud].mean()), float(inside[loud].mean()))


def coverage_table(found: Sequence[Coverage]) -> str:
    """Means over the seeds."""
    rows = []
    for problem in PROBLEMS:
        for n in sorted({each.n for each in found}):
            for noise in ("heteroscedastic", "auto"):
                of = [x for x in found if (x.problem, x.n, x.noise) == (problem, n, noise)]
                halves = (np.mean([x.quiet_half for x in of]), np.mean([x.loud_half for x in of]))
                rows.append([problem, str(n), noise, *(f"{share:.1%}" for share in halves)])
    return markdown(["problem", "n", "noise", "quiet half", "loud half"], rows)


# -- searches --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Search:
    """Regret of the point that a search reports, half way and in the end."""

    problem: str
    method: str
    seed: int
    half_way: float
    regret: float
    n_distinct: int


def search(problem: str, method: str, seed: int) -> Search:
    """One search; the true value of what it recommends."""
    torch.set_num_threads(1)
    case = PROBLEMS[problem]
    noise, acquisition = METHODS[method]
    study = bo.Study(
        [(0.0, 1.0)] * case.minima.shape[1],
        noise=noise,  # type: ignore[arg-type]
        seed=seed,
        policy=bo.Policy(acquisition=acquisition),  # type: ignore[arg-type]
    )
    regrets = {}
    for i in range(case.n_evals):
        trial = study.ask()
        u = np.array([list(trial.params.values())])
        draw = np.random.default_rng([seed, i]).standard_normal()
        study.tell(trial, float(case.value(u)[0] + case.sd(u)[0] * draw))
        if i + 1 in (case.n_evals // 2, case.n_evals):
            best = np.array([list(study.recommend().params.values())])
            regrets[i + 1] = float(case.value(best)[0]) - case.minimum
    distinct = len({tuple(trial.params.values()) for trial in study.trials})
    half_way, end = regrets.values()
    return Search(problem, method, seed, half_way, end, distinct)


def search_table(found: Sequence[Search]) -> str:
    """Medians over the seeds, and paired differences to heteroscedastic noise."""
    rows = []
    for problem, case in PROBLEMS.items():
        mine = {x.seed: x for x in found if (x.problem, x.method) == (problem, "heteroscedastic")}
        for method in METHODS:
            of = {x.seed: x for x in found if (x.problem, x.method) == (problem, method)}
            seeds = sorted(mine.keys() & of.keys())
            ratio = np.array([np.log10(mine[s].regret / of[s].regret) for s in seeds])
            better = sum(mine[s].regret < of[s].regret for s in seeds)
            is_mine = method == "heteroscedastic"
            rows.append(
                [
                    f"{problem}, {case.n_evals}",
                    method,
                    f"{np.median([x.half_way for x in of.values()]):.3g}",
                    f"{np.median([x.regret for x in of.values()]):.3g}",
                    f"{np.mean([x.n_distinct for x in of.values()]):.0f}",
                    "" if is_mine else f"{better} of {len(seeds)}",
                    "" if is_mine else str(interval(ratio, np.median)),
                ]
            )
    columns = ["problem, evaluations", "noise", "regret half way", "regret", "distinct points"]
    return markdown([*columns, "heteroscedastic better", "log10 ratio, median [95 %]"], rows)


def main() -> None:
    """Both tables, to a file or to the screen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:
        cases = [
            (problem, noise, n, seed)
            for problem in PROBLEMS
            for noise in ("heteroscedastic", "auto")
            for n in (40, 80, 120)
            for seed in range(given.seeds)
        ]
        covered = list(pool.map(coverage, *zip(*cases, strict=True), chunksize=10))
        tasks = [(p, m, s) for s in range(given.seeds) for p in PROBLEMS for m in METHODS]
        searched = list(pool.map(search, *zip(*tasks, strict=True)))
    text = "\n\n".join(
        [
            header("Noise that grows near the optimum"),
            f"Seeds 0 to {given.seeds - 1}; the noise is that of `benchmarks/heteroscedastic.py`.",
            "## 95 % intervals of new observations (mean share inside)",
            coverage_table(covered),
            "## True value of the recommended point above the minimum (median)",
            search_table(searched),
        ]
    )
    if given.report:
        given.report.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
