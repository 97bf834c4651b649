"""Scores with more of the tails: their law against quadrature, weights, the uniform way back."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from uq.widened_tails import REACH, SHARE, from_uniform, log_weight


def density(z):
    return norm.pdf(z) / np.exp(log_weight(np.asarray(z)))


def test_the_density_integrates_to_one_and_bounds_the_weights():
    mass = sum(quad(density, a, b)[0] for a, b in ((-12, -REACH), (-REACH, REACH), (REACH, 12)))
    assert mass == pytest.approx(1.0, abs=1e-10)
    z = np.linspace(-30, 30, 4001)
    assert np.exp(log_weight(z)).max() <= 1 / (1 - SHARE) + 1e-15
    assert log_weight(z[np.abs(z) > REACH]) == pytest.approx(-np.log(1 - SHARE))


@pytest.mark.parametrize("u", [1e-12, 1e-7, 2.9e-6, 3.1e-6, 1e-3, 0.2, 0.5, 0.73])
def test_quantiles_by_quadrature(u):
    z = float(from_uniform(np.array([u]))[0])
    tail = quad(density, -38, -REACH)[0] if z > -REACH else 0.0
    below = tail + quad(density, max(-REACH, -38) if z > -REACH else -38, z, epsabs=1e-14)[0]
    assert below == pytest.approx(u, rel=1e-7)
    assert from_uniform(np.array([1 - u]))[0] == pytest.approx(-z, rel=1e-4, abs=1e-15)


def test_weighted_moments_are_those_of_a_normal_variable():
    u = (np.arange(200_000) + 0.5) / 200_000
    z = from_uniform(u)
    w = np.exp(log_weight(z))
    for power, exact in ((0, 1), (2, 1), (4, 3), (6, 15)):
        assert (w * z**power).mean() == pytest.approx(exact, rel=2e-3)
    assert (np.abs(z) > 3).mean() > 2.5 * 2 * norm.sf(3)
