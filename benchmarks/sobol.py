"""Sobol' indices side by side: ``python -m benchmarks.sobol``.

Notation
--------
n, S        rows of one design (n (d + 2) runs), seeds
RMSE        root mean squared error over all first and total indices and all seeds
cover       share of the 95 % intervals that hold the exact value, over indices that are not zero,
            and of the worst and best index above 0.01
width       mean half-width over 1.96 RMSE
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import uq
from benchmarks import sobol_peers as peers
from benchmarks.many_runs import play_all, read_all
from benchmarks.report import header
from benchmarks.sobol_cases import CASES, SobolCase
from uq.pick_freeze import SobolDesign, sobol_design
from uq.sampling import Folds

Array = NDArray[np.float64]
OUTPUT = Path(__file__).parent / "output"

SIX = ("ishigami", "g_function", "piston", "borehole", "flood", "beam")
_NOISE = 0.05  # of the standard deviation of the output
_ZERO = 1e-10


@dataclass(frozen=True)
class Run:
    """Errors of S_1 .. S_d, T_1 .. T_d, half-widths of their intervals, seconds of the analysis."""

    case: str
    method: str
    n: int
    seed: int
    errors: list[float]
    half_widths: list[float]
    seconds: float
    message: str = ""


@cache
def truth(name: str) -> Array:
    """(2 d,) exact first and total indices; noise has a part in every total index."""
    case = CASES[name.removesuffix(" + noise")]()
    first, total = case.first_order, case.total_order
    if name.endswith("noise"):
        first, total = first / (1 + _NOISE**2), (total + _NOISE**2) / (1 + _NOISE**2)
    return np.concatenate([first, total])


def model(name: str, case: SobolCase, seed: int) -> Callable[[Array], Array]:
    """The model, with noise drawn anew at each run where the case says so."""
    if not name.endswith("noise"):
        return case.func
    rng = np.random.default_rng([seed, 7])
    sd = _NOISE * np.sqrt(case.variance)
    return lambda x: case.func(x) + sd * rng.standard_normal(len(x))


Method = Callable[[SobolCase, Callable[[Array], Array], int, int], peers.Estimates]


def ours(**options: object) -> Method:
    """`uq.sobol_indices` with options."""

    def run(case: SobolCase, func: Callable[[Array], Array], n: int, seed: int) -> peers.Estimates:
        s = uq.sobol_indices(
            func=func, inputs=case.inputs, n=n, rng=seed, progress=False, **options
        )
        interval = s.confidence_interval(0.95)
        low = np.concatenate([interval.first_order.low, interval.total_order.low])
        high = np.concatenate([interval.first_order.high, interval.total_order.high])
        return np.concatenate([s.first_order, s.total_order]), (high - low) / 2, s.message

    return run


def one_scramble(
    case: SobolCase, func: Callable[[Array], Array], n: int, seed: int
) -> peers.Estimates:
    """Our estimator on one scrambled net of all rows: no interval."""
    base = sobol_design(case.inputs, n=16, widened=False, rng=0)
    u = Folds(1, n, "qmc").uniforms(2 * case.dimension, np.random.default_rng(seed))
    # The labels only serve the coefficients of the estimator: eight pieces of one net.
    pieces = np.arange(n) * 8 // n
    design = SobolDesign(case.inputs, base.factors, 1, u, pieces, "qmc", False, 0)
    s = uq.sobol_estimate(design, func(design.points), surrogate=None)
    estimate = np.concatenate([s.first_order, s.total_order])
    return estimate, np.full(len(estimate), np.nan), ""


METHODS: dict[str, Method] = {
    "uq": ours(),
    "uq, no surrogate": ours(surrogate=None),
    "one scramble, no interval": one_scramble,
    "SALib": peers.salib,
    "SciPy": peers.scipy_indices,
    "SciPy, bootstrap": peers.scipy_bootstrap,
    "OpenTURNS, Martinez": peers.openturns,
    "published": peers.published,
}


def play(task: tuple[str, str, int, int]) -> Run:
    """One run."""
    name, method, n, seed = task
    case = CASES[name.removesuffix(" + noise")]()
    start = time.perf_counter()
    estimate, half, message = METHODS[method](case, model(name, case, seed), n, seed)
    seconds = time.perf_counter() - start
    errors = (estimate - truth(name)).tolist()
    return Run(name, method, n, seed, errors, half.tolist(), seconds, message)


def table(runs: Sequence[Run]) -> str:
    """Markdown: one line a case, n and method."""
    lines = [
        "| case | n | method | seeds | RMSE | cover | worst, best | zeros | width | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, int, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.case, run.n, run.method), []).append(run)
    cases = [*SIX, *sorted({run.case for run in runs} - set(SIX))]
    methods = list(METHODS)

    def place(key: tuple[str, int, str]) -> tuple[int, int, int]:
        return key[1], cases.index(key[0]), methods.index(key[2])

    for name, n, method in sorted(groups, key=place):
        some = groups[name, n, method]
        errors = np.array([run.errors for run in some])
        half = np.array([run.half_widths for run in some])
        rmse = float(np.sqrt(np.nanmean(np.square(errors))))
        known = ~np.isnan(errors).any(axis=0)
        exact, large = known & (truth(name) <= _ZERO), known & (truth(name) > 0.01)
        cover = ends = zeros = width = "-"
        if not np.isnan(half).all():
            covered = np.mean(np.abs(errors) <= half, axis=0)
            cover = f"{covered[known & ~exact].mean():.3f}"
            ends = f"{covered[large].min():.3f}, {covered[large].max():.3f}"
            zeros = f"{covered[exact].mean():.2f}" if exact.any() else "-"
            width = f"{np.nanmean(half) / 1.96 / rmse:.2f}"
        seconds = float(np.median([run.seconds for run in some]))
        lines.append(
            f"| {name} | {n} | {method} | {len(some)} | {rmse:.2e} | {cover} | {ends} | {zeros} "
            f"| {width} | {seconds:.3f} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.sobol", description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(SIX))
    usual = [method for method in METHODS if method not in ("SciPy, bootstrap", "published")]
    parser.add_argument("--methods", nargs="+", default=usual, choices=METHODS)
    parser.add_argument("--n", nargs="+", type=int, default=[128, 1024])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--read", nargs="+", type=Path, default=[], help="tables of saved runs")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(argv)
    runs = read_all(Run, args.read)
    if not args.read:
        seeds = range(args.first_seed, args.first_seed + args.seeds)
        tasks = [
            (c, m, n, s) for n in args.n for c in args.cases for m in args.methods for s in seeds
        ]
        runs = play_all(play, tasks, args.jobs, args.output, "sobol")
    print(f"{header('Sobol indices')}\n\n{table(runs)}")


if __name__ == "__main__":
    main()
