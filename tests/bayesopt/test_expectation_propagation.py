"""Normal laws of values of which one is the largest, against exact moments and plain sampling."""

import numpy as np
import pytest
from scipy.stats import norm

from bayesopt.acquisition.expectation_propagation import largest_of_all


def test_one_constraint_is_exact():
    mean, V = np.array([0.3, 0.9]), np.array([[1.0, 0.4], [0.4, 0.8]])
    sites = largest_of_all(mean, V, np.array([0, 1]))
    for law, c in enumerate(([1.0, -1.0], [-1.0, 1.0])):  # c' f >= 0
        Vc, sd = V @ c, float(np.sqrt(np.array(c) @ V @ c))
        alpha = float(np.array(c) @ mean) / sd
        R = norm.pdf(alpha) / norm.cdf(alpha)
        np.testing.assert_allclose(sites.mean[law], mean + Vc / sd * R, rtol=1e-9)
        shrunk = V - np.outer(Vc, Vc) / sd**2 * R * (alpha + R)
        np.testing.assert_allclose(sites.covariance[law], shrunk, rtol=1e-8)
        precision = np.linalg.inv(V) + sites.precision[law]
        np.testing.assert_allclose(np.linalg.inv(precision), shrunk, rtol=1e-8)


def test_several_constraints_come_close_to_what_samples_say():
    rng = np.random.default_rng(0)
    x = np.array([0.0, 0.3, 0.5, 0.9])
    mean, V = np.array([0.0, 0.3, 0.2, -0.1]), np.exp(-8.0 * (x[:, None] - x) ** 2)
    f = rng.multivariate_normal(mean, V, size=200_000)
    for k in range(4):
        sites, kept = largest_of_all(mean, V, np.array([k])), f[f.argmax(1) == k]
        np.testing.assert_allclose(sites.mean[0], kept.mean(0), atol=0.03)
        np.testing.assert_allclose(sites.covariance[0], np.cov(kept.T), atol=0.05)


@pytest.mark.parametrize("seed", range(12))
def test_all_but_certain_and_all_but_equal_values_overflow_nothing(seed):
    """Warnings are errors; half of these overflowed where rounding left no law without a site."""
    rng = np.random.default_rng(seed)
    r, length = int(rng.integers(10, 30)), 10 ** rng.uniform(-1.0, 1.0)
    x = np.sort(rng.random(r))
    V = np.exp(-((x[:, None] - x) ** 2) / (2 * length**2)) * 10 ** rng.uniform(-12, 8)
    mean = rng.standard_normal(r) * 10 ** rng.uniform(-3, 3) * np.sqrt(V[0, 0])
    sites = largest_of_all(mean, V, rng.permutation(r)[:5])
    assert all(np.isfinite(part).all() for part in vars(sites).values())


def test_known_values_stay_as_they_are():
    sites = largest_of_all(np.array([1.0, 2.0]), np.zeros((2, 2)), np.array([0, 1]))
    np.testing.assert_array_equal(sites.mean, [[1.0, 2.0], [1.0, 2.0]])
    assert not sites.precision.any() and not sites.covariance.any()
