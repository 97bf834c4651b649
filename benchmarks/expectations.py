"""Several expectations from one sample, side by side: ``python -m benchmarks.expectations``.

Notation
--------
N, S        evaluations of one run, seeds
w_j, I_j    weights of the quantities and their exact values
loss        sum_j w_j mean_seeds (I_j estimated - I_j)^2
cover       share of the 95 % intervals that hold I_j: over all j, and of the worst and best j
bias        the largest |mean over seeds - I_j|, in standard errors of that mean
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import uq
from benchmarks import expectation_cases as cases
from benchmarks.hard_for_polynomials import hard_cases
from benchmarks.many_runs import play_all, read_all
from benchmarks.report import header
from uq.sampling import largest_folds

Array = NDArray[np.float64]
OUTPUT = Path(__file__).parent / "output"


@dataclass(frozen=True)
class Run:
    """One estimate of all quantities: errors against the exact values, half-widths, seconds."""

    case: str
    method: str
    n: int
    seed: int
    errors: list[float]
    half_widths: list[float]
    seconds: float
    message: str = ""


@dataclass(frozen=True)
class Problem:
    """A case in the form that `uq` takes."""

    func: Callable[[Array], Array]
    laws: Sequence[uq.Inputs]
    weights: Array
    truth: Array
    unit: float  # the loss is given in this unit


@cache
def problem(name: str, seed: int = 0) -> Problem:
    """By name; the seed decides the noise of a noisy model."""
    if name == "gaussian moments":
        one = cases.gaussian_moments()
        laws = [uq.Inputs([stats.norm()])]
        return Problem(one.func, laws, one.weights, one.truth, 1.0)
    if name == "beam sobol":
        one = cases.beam_sobol()
        return Problem(one.func, [uq.Inputs([stats.norm()] * 12)], one.weights, one.truth, 1.0)
    if name == "beam laws":
        one = cases.beam_laws()
        unit = float(one.monte_carlo.sum()) / 1.31e-4
        return Problem(one.func, beam_law_inputs(), one.weights, one.truth, unit)
    hard = {case.name: case for case in hard_cases()}[name]
    rng = np.random.default_rng([seed, 99])
    weight = np.array([1.0 / hard.truth**2])
    truth = np.array([hard.truth])
    return Problem(lambda x: hard.func(x, rng), [hard.inputs], weight, truth, 1.0)


def beam_law_inputs() -> list[uq.Inputs]:
    """The 100 laws of the beam as marginals and correlations."""
    laws = []
    for mean, covariance in zip(*cases.beam_law_design(100), strict=True):
        sd = np.sqrt(np.diag(covariance))
        marginals = {
            name: stats.lognorm(sd[k], scale=np.exp(mean[k]))
            for k, name in enumerate(("F_X", "F_Y", "E"))
        }
        marginals |= {
            name: stats.norm(mean[k], sd[k]) for k, name in enumerate(("w", "t", "L"), start=3)
        }
        laws.append(uq.Inputs(marginals, correlation=covariance / sd[:, None] / sd))
    return laws


Estimates = tuple[Array, Array, str]  # estimate, half-widths, message


def _ours(**options: object) -> Callable[[Problem, int, int], Estimates]:
    def run(p: Problem, n: int, seed: int) -> Estimates:
        given = {"inputs": p.laws[0]} if len(p.laws) == 1 else {"laws": p.laws}
        r = uq.expectations(
            p.func, **given, budget=n, weights=p.weights, rng=seed, progress=False, **options
        )
        low, high = r.confidence_interval()
        return r.estimate, (high - low) / 2, r.message

    return run


def _of_values(values: Array) -> tuple[Array, Array]:
    """Mean and half-width of independent rows."""
    return values.mean(axis=0), 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values))


def _of_folds(values: Array, n_folds: int) -> tuple[Array, Array]:
    means = values.reshape(n_folds, -1, values.shape[1]).mean(axis=1)
    quantile = stats.t.isf(0.025, n_folds - 1)
    return means.mean(axis=0), quantile * means.std(axis=0, ddof=1) / np.sqrt(n_folds)


def _values(p: Problem, law: uq.Inputs, x: Array) -> Array:
    Y = np.asarray(p.func(x))
    return Y[:, None] if Y.ndim == 1 else Y


def monte_carlo(p: Problem, n: int, seed: int) -> Estimates:
    """Independent draws; several laws share them in equal parts."""
    rng = np.random.default_rng(seed)
    each = n // len(p.laws)
    parts = [_of_values(_values(p, law, law.sample(each, rng))) for law in p.laws]
    return np.concatenate([e for e, _ in parts]), np.concatenate([h for _, h in parts]), ""


def mixture_monte_carlo(p: Problem, n: int, seed: int) -> Estimates:
    """Draws from the equal mixture of the laws, weighted."""
    rng = np.random.default_rng(seed)
    each = n // len(p.laws)
    x = np.concatenate([law.sample(each, rng) for law in p.laws])
    log_f = np.stack([law.log_density(x) for law in p.laws], axis=1)
    largest = log_f.max(axis=1, keepdims=True)
    f = np.exp(log_f - largest)
    return *_of_values(_values(p, p.laws[0], x) * f / f.mean(axis=1, keepdims=True)), ""


def scrambled_nets(p: Problem, n: int, seed: int) -> Estimates:
    """As many replicates as ours: 7 to 13 scrambled nets; several laws share the budget."""
    rng = np.random.default_rng(seed)
    each = n // len(p.laws)
    folds = largest_folds(each, "qmc")
    estimates, half = [], []
    for law in p.laws:
        u = folds.uniforms(law.dimension, rng)
        x = law.from_normal(stats.norm.ppf(u))
        e, h = _of_folds(_values(p, law, x), folds.n_folds)
        estimates.append(e)
        half.append(h)
    return np.concatenate(estimates), np.concatenate(half), ""


def one_scramble(p: Problem, n: int, seed: int) -> Estimates:
    """One scrambled Sobol' sequence of all points: no interval."""
    rng = np.random.default_rng(seed)
    each = n // len(p.laws)
    estimates = []
    for law in p.laws:
        sobol = stats.qmc.Sobol(law.dimension, rng=rng)
        u = np.maximum(sobol.random_base2(each.bit_length() - 1), 2.0**-31)
        estimates.append(_values(p, law, law.from_normal(stats.norm.ppf(u))).mean(axis=0))
    estimate = np.concatenate(estimates)
    return estimate, np.full(len(estimate), np.nan), ""


def separate_importance_sampling(p: Problem, n: int, seed: int) -> Estimates:
    """Every expectation has its own share of the budget: half to fit a Gaussian, half to use it."""
    rng = np.random.default_rng(seed)
    J = len(p.truth)
    half = max(n // J // 2, 4)
    estimates, widths = [], []
    for j in range(J):
        law = p.laws[j % len(p.laws)]
        column = 0 if len(p.laws) > 1 else j
        z = rng.standard_normal((half, law.dimension))
        weights = np.abs(_values(p, law, law.from_normal(z))[:, column])
        if weights.sum() == 0.0:
            weights = np.ones(half)
        mean = weights @ z / weights.sum()
        sd = np.sqrt(weights @ np.square(z - mean) / weights.sum() + 1e-6)
        y = mean + sd * rng.standard_normal((half, law.dimension))
        log_ratio = np.log(sd).sum() + 0.5 * (np.square((y - mean) / sd) - np.square(y)).sum(axis=1)
        products = np.exp(log_ratio) * _values(p, law, law.from_normal(y))[:, column]
        e, h = _of_values(products[:, None])
        estimates.append(e)
        widths.append(h)
    return np.concatenate(estimates), np.concatenate(widths), ""


METHODS: dict[str, Callable[[Problem, int, int], Estimates]] = {
    "auto": _ours(),
    "auto, no surrogate": _ours(surrogate=None),
    "auto, random draws": _ours(surrogate=None, sampling="mc"),
    "published": _ours(method="published"),
    "published, diagonal": _ours(method="published", covariance="diagonal"),
    "Monte Carlo": monte_carlo,
    "mixture Monte Carlo": mixture_monte_carlo,
    "replicated scrambled nets": scrambled_nets,
    "one scramble, no interval": one_scramble,
    "separate importance sampling": separate_importance_sampling,
}
CASES = ("gaussian moments", "beam laws", "beam sobol")


def play(task: tuple[str, str, int, int]) -> Run:
    """One run."""
    case, method, n, seed = task
    p = problem(case) if case in CASES else problem(case, seed)
    start = time.perf_counter()
    estimate, half, message = METHODS[method](p, n, seed)
    seconds = time.perf_counter() - start
    errors = (estimate - p.truth).tolist()
    return Run(case, method, n, seed, errors, half.tolist(), seconds, message)


def table(runs: Sequence[Run]) -> str:
    """Markdown: one line a case, N and method."""
    lines = [
        "| case | N | method | seeds | loss (standard error) | cover | worst, best | bias "
        "| seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, int, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.case, run.n, run.method), []).append(run)
    order = [*CASES, *(case.name for case in hard_cases())]
    for case, n, method in sorted(groups, key=lambda key: (order.index(key[0]), -key[1])):
        some, p = groups[case, n, method], problem(case)
        errors = np.array([run.errors for run in some])
        half = np.array([run.half_widths for run in some])
        loss = np.square(errors) @ p.weights / p.unit
        covered = np.mean(np.abs(errors) <= half, axis=0)
        sd = errors.std(axis=0, ddof=1)
        exact = sd <= 1e-13 * np.abs(p.truth)
        bias = np.abs(errors.mean(axis=0)) / np.where(exact, np.inf, sd / np.sqrt(len(some)))
        cover = "-"
        ends = "-"
        if not np.isnan(half).all():
            cover, ends = f"{covered.mean():.3f}", f"{covered.min():.3f}, {covered.max():.3f}"
        seconds = float(np.median([run.seconds for run in some]))
        lines.append(
            f"| {case} | {n} | {method} | {len(some)} | {loss.mean():.2e} "
            f"({loss.std() / np.sqrt(len(some)):.0e}) | {cover} | {ends} | {bias.max():.1f} "
            f"| {seconds:.2f} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.expectations", description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--hard", action="store_true", help="cases that polynomials fit badly")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--n", nargs="+", type=int, default=[cases.BUDGET])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--read", nargs="+", type=Path, default=[], help="tables of saved runs")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(argv)
    runs = read_all(Run, args.read)
    if not args.read:
        names = [case.name for case in hard_cases()] if args.hard else args.cases
        seeds = range(args.first_seed, args.first_seed + args.seeds)
        tasks = [(c, m, n, s) for c in names for n in args.n for m in args.methods for s in seeds]
        runs = play_all(play, tasks, args.jobs, args.output, "expectations")
    print(f"{header('Expectations')}\n\n{table(runs)}")


if __name__ == "__main__":
    main()
