"""Long runs: intervals that are true and variances that are small, over many seeds."""

import numpy as np
import pytest
from scipy import stats

import uq
from benchmarks import expectation_cases

pytestmark = pytest.mark.slow


def _runs(case: expectation_cases.ExpectationCase, seeds: int, **options: object) -> tuple:
    inputs = uq.Inputs([stats.norm()] * case.dimension)
    errors, covered = [], []
    for seed in range(seeds):
        r = uq.expectations(
            case.func, inputs, budget=20_000, weights=case.weights, rng=seed, **options
        )
        low, high = r.confidence_interval()
        errors.append(r.estimate - case.truth)
        covered.append((low <= case.truth) & (case.truth <= high))
    return np.array(errors), np.array(covered)


@pytest.mark.parametrize(("name", "loss"), [("gaussian_moments", 2e-8), ("beam_sobol", 4e-12)])
def test_without_surrogates(name: str, loss: float) -> None:
    case = expectation_cases.CASES[name]()
    errors, covered = _runs(case, 300, surrogate=None)
    assert np.mean(np.square(errors) @ case.weights) < loss
    per_run = covered.mean(axis=1)  # quantities of one run are not independent
    assert abs(per_run.mean() - 0.95) < 4 * per_run.std() / np.sqrt(len(per_run))
    z = errors.mean(axis=0) / (errors.std(axis=0) / np.sqrt(len(errors)))
    assert np.abs(z).max() < 4.5


def test_surrogates_are_exact_in_their_span() -> None:
    case = expectation_cases.gaussian_moments()
    errors, covered = _runs(case, 50)
    assert np.mean(np.square(errors) @ case.weights) < 1e-26
    assert covered.all()


def test_published() -> None:
    case = expectation_cases.gaussian_moments()
    errors, _ = _runs(case, 300, method="published")
    loss = np.mean(np.square(errors) @ case.weights)
    assert loss == pytest.approx(case.published, rel=0.25)
