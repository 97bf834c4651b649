"""Limit states that are hard to answer: runs that fail, nothing or everything fails, one input."""

import numpy as np
import pytest
from scipy.stats import norm
from test_failure_probability import (
    crude,
    half_plane,
    is_true,
    normals,
)

from benchmarks.reliability_cases import CASES, four_branch


def with_holes(limit_state, share=0.01):
    """NaN where the digits of a point are low: at random, and always at the same points."""

    def holed(x):
        g = limit_state(x)
        return np.where(np.modf(np.abs(x[:, 0]) * 1e6)[0] < share, np.nan, g)

    return holed


@pytest.mark.usefixtures("few_cheap_points")
@pytest.mark.parametrize("surrogate", [None, "polynomial", "auto"])
def test_runs_that_fail(surrogate):
    found = crude(with_holes(four_branch), budget=600, surrogate=surrogate, rng=1)
    n_failed = int(np.isnan(found.sample.values).any(axis=1).sum())
    assert 0 < found.n_failed == n_failed < 25 and found.failed_points.shape == (n_failed, 2)
    assert found.flags[0].startswith(f"{n_failed} of {found.n_evaluations} runs failed")
    low, high = found.confidence_interval(0.999)
    assert low < CASES["four_branch"].exact < high
    assert found.estimates.low[0] <= found.estimates.mean[0] <= found.estimates.high[0]


def test_infinite_values_are_failed_runs():
    found = crude(lambda x: np.where(x[:, 0] < -1.0, np.inf, half_plane(x)))
    assert found.n_failed == (found.sample.x[:, 0] < -1.0).sum() > 0


@pytest.mark.usefixtures("few_cheap_points")
@pytest.mark.parametrize("surrogate", [None, "polynomial", "auto"])
@pytest.mark.parametrize("level", [lambda x: 5.0 + 0.0 * x[:, 0], lambda x: 50.0 + x[:, 0]])
def test_what_never_fails_has_a_bound(level, surrogate):
    """-log(0.05) / N, N the runs that count as draws of the law: at least half of the last ones."""
    found = crude(level, budget=200, surrogate=surrogate)
    assert found.estimate == 0.0 and np.isnan(found.standard_error) and np.isnan(found.cv)
    low, high = found.confidence_interval()
    assert low == 0.0
    N = -np.log(0.05) / high
    assert 0.5 * len(found.rounds[0].runs.z) <= N <= found.n_evaluations
    assert high == pytest.approx(-np.log(0.05) / found.unseen.by_law, rel=1e-12)
    assert found.confidence_interval(0.99).high == pytest.approx(-np.log(0.01) / N, rel=1e-9)
    assert found.reliability_index == np.inf and found.design_points == ()
    assert any("never met" in flag for flag in found.flags)


@pytest.mark.usefixtures("few_cheap_points")
@pytest.mark.parametrize("surrogate", [None, "polynomial", "auto"])
def test_what_always_fails_has_a_bound(surrogate):
    found = crude(lambda x: -1.0 + 0.0 * x[:, 0], budget=200, surrogate=surrogate)
    assert found.estimate == 1.0 and np.isnan(found.standard_error)
    low, high = found.confidence_interval()
    assert high == 1.0 and 0.9 < low < 1.0
    assert found.reliability_index == -np.inf


def test_a_limit_state_that_never_fails_beside_one_that_does():
    found = crude(lambda x: np.stack([half_plane(x), 50.0 + x[:, 0]], axis=1), budget=500)
    assert found.estimate[1] == 0.0 and np.isnan(found.standard_error[1])
    assert abs(found.estimate[0] - norm.sf(2.5)) < 4.0 * found.standard_error[0]
    assert found.confidence_interval().low[1] == 0.0


@pytest.mark.usefixtures("few_cheap_points")
@pytest.mark.parametrize("surrogate", [None, "polynomial"])
def test_one_of_twenty_inputs(surrogate):
    found = crude(lambda x: 2.5 - x[:, 7], normals(20), 800, surrogate=surrogate)
    is_true(found, norm.sf(2.5), 0.3)
    assert found.importance.share.argmax() == 7 and found.importance.share[7] > 0.5


@pytest.mark.parametrize("d", [1, 2])
def test_a_single_input(d):
    found = crude(lambda x: 2.5 - x[:, 0], normals(d), 400)
    is_true(found, norm.sf(2.5), 0.3)
