"""Nataf's equation: closed forms, brute-force double integrals, what cannot be reached."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from uq.marginal_sources import marginal_of
from uq.nataf import hermite_coefficients, score_correlation, value_correlation

NORMAL = marginal_of(stats.norm(3.0, 2.0))
LOGNORMAL = marginal_of(stats.lognorm(0.6, scale=4.0))
OTHER = marginal_of(stats.lognorm(0.25, loc=7.0))
UNIFORM = marginal_of(stats.uniform(2.0, 5.0))
EXPONENTIAL = marginal_of(stats.expon(scale=3.0))
GUMBEL = marginal_of(stats.gumbel_r(1.0, 2.0))


def by_double_integral(one, other, rho):
    """E[h_1(y_1) h_2(rho y_1 + sqrt(1 - rho^2) u)] by the trapezoidal rule on a fine grid."""
    y = np.linspace(-8.0, 8.0, 801)
    mass = np.exp(-0.5 * y * y) / math.sqrt(2 * math.pi) * (y[1] - y[0])
    first = one.from_score(y) - one.mean
    second = other.from_score(rho * y[:, None] + math.sqrt(1 - rho * rho) * y) - other.mean
    return (first * mass) @ second @ mass / (one.sd * other.sd)


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.5, 0.99])
def test_two_uniform_laws(rho):
    """r = (6 / pi) arcsin(rho / 2): the rank correlation of a normal pair."""
    expected = 6.0 / math.pi * math.asin(rho / 2.0)
    assert value_correlation(UNIFORM, UNIFORM, rho) == pytest.approx(expected, rel=1e-9)
    assert score_correlation(UNIFORM, UNIFORM, expected) == pytest.approx(rho, rel=1e-9)


def test_uniform_and_normal_law():
    """Only the first coefficient of the uniform law counts: r = rho sqrt(3 / pi)."""
    slope = math.sqrt(3.0 / math.pi)
    assert score_correlation(UNIFORM, NORMAL, 0.4 * slope) == pytest.approx(0.4, rel=1e-9)
    assert score_correlation(NORMAL, UNIFORM, 0.4 * slope) == pytest.approx(0.4, rel=1e-9)


def test_two_exponential_laws_reach_from_one_minus_pi_squared_over_six():
    """With the opposite scores E[x_1 x_2] = 2 - pi^2 / 6."""
    lowest = 1.0 - math.pi**2 / 6.0
    assert value_correlation(EXPONENTIAL, EXPONENTIAL, -1.0) == pytest.approx(lowest, rel=1e-7)
    assert value_correlation(EXPONENTIAL, EXPONENTIAL, 1.0) == pytest.approx(1.0, rel=1e-12)
    with pytest.raises(ValueError, match="from -0.6449 to 1"):
        score_correlation(EXPONENTIAL, EXPONENTIAL, -0.7)


def test_hermite_coefficients_of_a_lognormal_law():
    """E[exp(s y) He_k(y)] = s^k exp(s^2 / 2)."""
    k = np.arange(1, 12)
    factorials = np.array([math.factorial(int(i)) for i in k])
    expected = 0.6**k / np.sqrt(factorials) / math.sqrt(math.expm1(0.36))
    np.testing.assert_allclose(hermite_coefficients(LOGNORMAL)[1:12], expected, rtol=1e-9)


def test_closed_forms_agree_with_the_series():
    """The quadrature is told nothing of normal and lognormal laws."""
    for one, other in ((LOGNORMAL, OTHER), (NORMAL, LOGNORMAL), (OTHER, NORMAL), (NORMAL, NORMAL)):
        for rho in (-1.0, -0.6, 0.2, 0.9):
            terms = hermite_coefficients(one) * hermite_coefficients(other)
            series = float(np.polynomial.polynomial.polyval(rho, terms))
            assert value_correlation(one, other, rho) == pytest.approx(series, rel=1e-9)


@pytest.mark.parametrize("pair", [(LOGNORMAL, UNIFORM), (EXPONENTIAL, GUMBEL)])
def test_brute_force(pair):
    expected = by_double_integral(*pair, -0.55)
    assert value_correlation(*pair, -0.55) == pytest.approx(expected, abs=1e-9)


def test_a_quantile_with_two_modes_and_one_with_corners():
    """Against the double sum over a fine grid of both scores."""
    corners = marginal_of(stats.rv_histogram(([1, 5, 2, 8], [0.0, 1.0, 2.0, 3.0, 4.0])))
    modes = marginal_of(stats.Mixture([stats.Normal(), stats.Normal(mu=5.0)]))
    y = np.linspace(-9.0, 9.0, 1201)
    for rho in (-0.4, 0.7):
        density = np.exp(-(y[:, None] ** 2 - 2 * rho * y[:, None] * y + y**2) / 2 / (1 - rho**2))
        density /= density.sum()
        for one, other in ((corners, corners), (corners, modes), (modes, modes)):
            first = (one.from_score(y) - one.mean) / one.sd
            second = (other.from_score(y) - other.mean) / other.sd
            found = value_correlation(one, other, rho)
            assert found == pytest.approx(first @ density @ second, abs=2e-5)


def test_the_ends_are_reached_where_the_series_is_cut():
    """At rho = 1 a law is fully correlated with itself; at -1 E[x(u) x(1 - u)] by midpoints."""
    corners = marginal_of(stats.rv_histogram(([1, 0, 0, 1], [0.0, 1.0, 2.0, 3.0, 4.0])))
    assert 1.0 - np.sum(hermite_coefficients(corners) ** 2) > 1e-3
    assert value_correlation(corners, corners, 1.0) == pytest.approx(1.0, rel=1e-12)
    skewed = marginal_of(stats.rv_histogram(([3, 0, 0, 1], [0.0, 1.0, 2.0, 3.0, 4.0])))
    u = (np.arange(200_000) + 0.5) / 200_000
    x = (skewed.from_score(stats.norm.ppf(u)) - skewed.mean) / skewed.sd
    found = value_correlation(skewed, skewed, -1.0)
    assert found == pytest.approx(np.mean(x * x[::-1]), abs=0.01)


LAWS = [NORMAL, LOGNORMAL, OTHER, UNIFORM, EXPONENTIAL, GUMBEL]


@settings(derandomize=True, deadline=None)
@given(st.sampled_from(LAWS), st.sampled_from(LAWS), st.floats(-0.999, 0.999))
def test_there_and_back(one, other, rho):
    value = value_correlation(one, other, rho)
    assert score_correlation(one, other, value) == pytest.approx(rho, abs=1e-9)
    assert value_correlation(other, one, rho) == pytest.approx(value, abs=1e-12)


def test_monte_carlo():
    rng = np.random.default_rng(3)
    rho = score_correlation(GUMBEL, EXPONENTIAL, 0.5)
    y = rng.standard_normal((2, 200_000))
    y[1] = rho * y[0] + math.sqrt(1 - rho * rho) * y[1]
    x = np.stack([GUMBEL.from_score(y[0]), EXPONENTIAL.from_score(y[1])])
    products = (x[0] - GUMBEL.mean) * (x[1] - EXPONENTIAL.mean) / (GUMBEL.sd * EXPONENTIAL.sd)
    assert abs(products.mean() - 0.5) < 4.0 * products.std() / math.sqrt(200_000)


def test_no_correlation_of_values_without_a_variance():
    with pytest.raises(ValueError, match="finite variance"):
        score_correlation(marginal_of(stats.cauchy()), NORMAL, 0.1)
