"""Weighted quantiles: NumPy, invariances, and errors against those of many samples."""

import numpy as np
import pytest
from scipy import stats

from uq.impact.weighted_quantiles import quantiles_and_covariance, weighted_quantiles


@pytest.mark.parametrize("level", [0.001, 0.1, 0.5, 0.93, 0.999])
def test_equal_weights(level):
    y = np.random.default_rng(0).normal(size=57)
    expected = np.quantile(y, level, method="hazen")
    found = weighted_quantiles(y, np.full((57, 2), [[1.0, 1e-200]]), level)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_whole_weights_are_repetitions():
    y, w = np.array([3.0, 1.0, 2.0, 5.0]), np.array([1.0, 400.0, 300.0, 299.0])
    for level in (0.2, 0.55, 0.9):
        many = np.quantile(np.repeat(y, w.astype(int)), level)
        found = weighted_quantiles(y, w[:, None], level)[0]
        assert abs(found - many) < 1.0  # between the same neighbours
    assert weighted_quantiles(y, w[:, None], 0.2)[0] == 1.0


def test_no_weight_is_no_quantile():
    y = np.arange(20.0)
    weights = np.stack([np.ones(20), np.zeros(20)], axis=1)
    q, covariance = quantiles_and_covariance(y, weights, 0.5, np.arange(20) // 4)
    assert np.isfinite(q[0]) and np.isnan(q[1])
    assert np.isfinite(covariance[0, 0]) and np.isnan(covariance[1]).all()


def test_covariance_against_many_samples():
    """Two laws from one sample of N(0, 1.5^2): variances and the correlation."""
    rng = np.random.default_rng(1)
    folds = np.repeat(np.arange(10), 60)
    found = []
    for _ in range(400):
        y = 1.5 * rng.normal(size=600)
        weights = np.exp(
            stats.norm.logpdf(y[:, None], [0.0, 0.5], 1.0) - stats.norm.logpdf(y[:, None], 0.0, 1.5)
        )
        found.append(quantiles_and_covariance(y, weights, 0.8, folds))
    q = np.stack([one for one, _ in found])
    mean = np.mean([covariance for _, covariance in found], axis=0)
    spread = np.cov(q.T)
    # 400 samples: a variance is known to 7 %; the slope adds a bias of the second order.
    np.testing.assert_allclose(mean, spread, rtol=0.3)
    exact = stats.norm.ppf(0.8) + np.array([0.0, 0.5])
    assert (np.abs(q.mean(axis=0) - exact) < 4 * q.std(axis=0) / 20 + 0.005).all()


def test_units_do_not_matter():
    rng = np.random.default_rng(2)
    y, weights, folds = rng.normal(size=200), rng.random((200, 3)), np.arange(200) // 20
    q, covariance = quantiles_and_covariance(y, weights, 0.7, folds)
    r, scaled = quantiles_and_covariance(1e3 * y + 5.0, 1e-9 * weights, 0.7, folds)
    np.testing.assert_allclose(r, 1e3 * q + 5.0)
    np.testing.assert_allclose(scaled, 1e6 * covariance, rtol=1e-9)


def test_folds_that_agree_leave_an_error():
    """Each fold has the same values: the level is reached alike in all of them."""
    y = np.tile(np.arange(16.0), 8)
    _, covariance = quantiles_and_covariance(
        y + 1e-9 * np.arange(128), np.ones((128, 1)), 0.6, np.arange(128) // 16
    )
    error = np.sqrt(covariance[0, 0])
    assert 0.02 < error < 1.0  # a spacing of 1, of which a uniform part, in eight folds


def test_a_value_of_many_runs_has_no_known_error():
    y = np.round(np.random.default_rng(3).normal(size=400))
    q, covariance = quantiles_and_covariance(y, np.ones((400, 1)), 0.5, np.arange(400) // 40)
    assert q[0] == 0.0 and np.isnan(covariance[0, 0])


def test_a_known_mass_saves_a_tail_from_the_bulk():
    """A sample drawn for the upper tail of N(0, 1): few runs carry most of the mass."""
    rng = np.random.default_rng(5)
    folds = np.repeat(np.arange(10), 100)
    errors = {True: [], False: []}
    claimed = []
    for _ in range(200):
        y = rng.normal(2.3, 0.8, size=1000)
        weights = np.exp(stats.norm.logpdf(y) - stats.norm.logpdf(y, 2.3, 0.8))[:, None]
        for known in (True, False):
            mass = np.array([1000.0]) if known else None
            q, covariance = quantiles_and_covariance(y, weights, 0.99, folds, mass)
            errors[known].append(q[0] - stats.norm.ppf(0.99))
            if known:
                claimed.append(covariance[0, 0])
    spread = {known: np.sqrt(np.mean(np.square(one))) for known, one in errors.items()}
    assert spread[True] < 0.5 * spread[False]
    assert np.sqrt(np.mean(claimed)) == pytest.approx(spread[True], rel=0.25)


def test_a_mass_that_cannot_be_is_not_used():
    """The sample misses the law: its weights sum to a thousandth of what they should."""
    rng = np.random.default_rng(6)
    y, weights, folds = rng.normal(size=100), rng.random((100, 1)), np.arange(100) // 10
    for mass in (1e5, np.inf):
        q, covariance = quantiles_and_covariance(y, weights, 0.7, folds, np.array([mass]))
        assert q[0] == weighted_quantiles(y, weights, 0.7)[0] and np.isfinite(covariance).all()
