"""Sobol' indices by the peers, in the form that the benchmark wants.

Each takes n rows of a design of n (d + 2) runs, on independent uniform numbers that the inputs'
quantiles turn into points: so all run the same model on the same law.
"""

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtri

import uq
from benchmarks.expectation_cases import first_order_indices, pick_freeze_products
from benchmarks.sobol_cases import SobolCase

Array = NDArray[np.float64]
Estimates = tuple[Array, Array, str]  # S and T (2 d,), half-widths or NaN, message

_INSIDE = 2.0**-40


def on_uniforms(case: SobolCase, func: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The model of uniform numbers (n, d)."""
    return lambda u: func(case.inputs.from_normal(ndtri(np.clip(u, _INSIDE, 1.0 - _INSIDE))))


def salib(case: SobolCase, func: Callable[[Array], Array], n: int, seed: int) -> Estimates:
    """SALib: scrambled Sobol' rows, its own bootstrap of 100 samples."""
    from SALib.analyze import sobol as analyze
    from SALib.sample import sobol as sample

    d = case.dimension
    problem = {"num_vars": d, "names": list(case.inputs.names), "bounds": [[0.0, 1.0]] * d}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u = sample.sample(problem, n, calc_second_order=False, scramble=True, seed=seed)
        found = analyze.analyze(
            problem, on_uniforms(case, func)(u), calc_second_order=False, seed=seed
        )
    estimate = np.concatenate([found["S1"], found["ST"]])
    return estimate, np.concatenate([found["S1_conf"], found["ST_conf"]]), ""


def scipy_indices(case: SobolCase, func: Callable[[Array], Array], n: int, seed: int) -> Estimates:
    """SciPy: scrambled Sobol' rows, no interval (its bootstrap takes a minute at n = 8192)."""
    found = _scipy(case, func, n, seed)
    estimate = np.concatenate([found.first_order, found.total_order])
    return estimate, np.full(2 * case.dimension, np.nan), ""


def scipy_bootstrap(
    case: SobolCase, func: Callable[[Array], Array], n: int, seed: int
) -> Estimates:
    """SciPy with the intervals of its bootstrap."""
    found = _scipy(case, func, n, seed)
    estimate = np.concatenate([found.first_order, found.total_order])
    drawn = found.bootstrap()
    half = [
        (kind.confidence_interval.high - kind.confidence_interval.low) / 2
        for kind in (drawn.first_order, drawn.total_order)
    ]
    return estimate, np.concatenate(half), ""


def _scipy(case: SobolCase, func: Callable[[Array], Array], n: int, seed: int):
    model = on_uniforms(case, func)
    return stats.sobol_indices(
        func=lambda u: model(u.T), n=n, dists=[stats.uniform()] * case.dimension, rng=seed
    )


def openturns(case: SobolCase, func: Callable[[Array], Array], n: int, seed: int) -> Estimates:
    """OpenTURNS: randomised Sobol' rows, Martinez, asymptotic intervals."""
    import openturns as ot

    ot.RandomGenerator.SetSeed(seed)
    d = case.dimension
    net = ot.LowDiscrepancyExperiment(
        ot.SobolSequence(2 * d), ot.JointDistribution([ot.Uniform(0.0, 1.0)] * (2 * d)), n
    )
    net.setRandomize(True)
    rows = np.array(net.generate())
    A, B = rows[:, :d], rows[:, d:]
    blocks = [A, B]
    for i in range(d):
        mixed = A.copy()
        mixed[:, i] = B[:, i]
        blocks.append(mixed)
    u = np.concatenate(blocks)
    values = on_uniforms(case, func)(u)[:, None]
    algorithm = ot.MartinezSensitivityAlgorithm(ot.Sample(u), ot.Sample(values), n)
    algorithm.setUseAsymptoticDistribution(True)
    estimate, half = [], []
    for kind in ("FirstOrder", "TotalOrder"):
        estimate.append(np.array(getattr(algorithm, f"get{kind}Indices")()))
        interval = getattr(algorithm, f"get{kind}IndicesInterval")()
        low, high = np.array(interval.getLowerBound()), np.array(interval.getUpperBound())
        half.append((high - low) / 2)
    return np.concatenate(estimate), np.concatenate(half), ""


def published(case: SobolCase, func: Callable[[Array], Array], n: int, seed: int) -> Estimates:
    """Adaptive importance sampling of Demange-Chryst et al. (2023), n points of d + 1 runs each.

    As they have it: first-order indices of the beam alone, in 12 standard normals, by the delta
    method from eight expectations.
    """
    if case.name != "beam":
        raise ValueError(f"The published case is the beam, not {case.name!r}.")
    r = uq.expectations(
        pick_freeze_products, [stats.norm()] * 12, budget=n, weights="equal", method="published",
        rng=seed, progress=False,
    )  # fmt: skip
    first = first_order_indices(r.estimate)
    m, variance = r.estimate[6], r.estimate[7] - r.estimate[6] ** 2
    slope = np.zeros((6, 8))
    slope[:, :6] = np.eye(6) / variance
    slope[:, 6] = -2 * m * (1 - first) / variance
    slope[:, 7] = -first / variance
    half = 1.96 * np.sqrt(np.einsum("ij,jk,ik->i", slope, r.covariance, slope))
    missing = np.full(6, np.nan)
    return np.concatenate([first, missing]), np.concatenate([half, missing]), r.message
