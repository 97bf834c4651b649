"""Perturbed laws: closed forms, quadrature, what becomes of tails, and their charts."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad
from scipy.special import ndtr

from uq.coordinates import Coordinates
from uq.inputs import Inputs
from uq.marginal_sources import marginal_of
from uq.marginals import LogNormalMarginal, NormalMarginal
from uq.perturbed_marginals import PerturbedMarginal, perturbed

LAWS = {
    "uniform": stats.uniform(2.0, 3.0),
    "gamma": stats.gamma(2.3, scale=2.0),
    "triangular": stats.triang(0.3),
    "gumbel": stats.gumbel_r(1.0, 2.0),
    "t": stats.t(7.0),
    "smallest": stats.gumbel_l(1.0, 2.0),
    "weibull": stats.weibull_min(1.7),
}
CHANGES = [(0.7, 1.0), (-1.3, 1.0), (0.0, math.sqrt(2.0)), (0.4, 0.6)]


def law(name, shift, factor):
    return perturbed(marginal_of(LAWS[name]), shift, factor)


def test_a_normal_law_stays_one():
    one = perturbed(NormalMarginal(3.0, 2.0), 0.5, 1.5)
    assert one == NormalMarginal(4.0, 3.0) and one.gaussian == (4.0, 3.0)


def test_a_lognormal_law_stays_one():
    one = perturbed(LogNormalMarginal(1.0, 0.3, 5.0), -0.5, 2.0)
    assert one == LogNormalMarginal(0.85, 0.6, 5.0)
    assert perturbed(LogNormalMarginal(1.0, 0.3), 1.0).log_gaussian == (1.3, 0.3)


def test_nothing_changed_is_the_law_itself():
    base = marginal_of(LAWS["gamma"])
    assert perturbed(base) is base


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize(("shift", "factor"), CHANGES)
def test_distribution_function(name, shift, factor):
    """P(X <= x) = Phi((Phi^-1(F(x)) - m) / s), and the density is its derivative."""
    one = law(name, shift, factor)
    base = LAWS[name]
    low, high = one.from_score(np.array([-2.5, 1.8]))
    mass, _ = quad(lambda x: math.exp(one.log_density(np.array([x]))[0]), low, high, limit=200)
    assert mass == pytest.approx(ndtr(1.8) - ndtr(-2.5), abs=1e-7)
    x = base.ppf([0.02, 0.4, 0.9])
    score = (stats.norm.ppf(base.cdf(x)) - shift) / factor
    np.testing.assert_allclose(one.to_score(x), score, rtol=1e-9, atol=1e-9)


@given(st.sampled_from(sorted(LAWS)), st.floats(-2, 2), st.floats(0.5, 2.0), st.floats(-3.0, 3.0))
def test_round_trip(name, shift, factor, z):
    one = law(name, shift, factor)
    back = one.to_score(one.from_score(np.array([z])))[0]
    far = abs(shift + factor * z)  # next to an end of the support numbers are far apart
    if far < 6.0:
        assert back == pytest.approx(z, abs=1e-5)


@pytest.mark.parametrize(("shift", "factor"), CHANGES)
def test_moments_of_a_uniform_law(shift, factor):
    """E[Phi(m + s Z)] = Phi(m / sqrt(1 + s^2)); the second moment by 30 digits."""
    one = law("uniform", shift, factor)
    mean = ndtr(shift / math.sqrt(1.0 + factor**2))
    assert one.mean == pytest.approx(2.0 + 3.0 * mean, rel=1e-9)
    mpmath.mp.dps = 30
    second = mpmath.quad(
        lambda z: mpmath.ncdf(shift + factor * z) ** 2 * mpmath.npdf(z), [-12, -4, 0, 4, 12]
    )
    assert one.sd == pytest.approx(3.0 * math.sqrt(float(second) - mean**2), rel=1e-9)


@pytest.mark.parametrize("name", ["gamma", "triangular", "gumbel", "t", "weibull"])
def test_moments_by_adaptive_quadrature(name):
    one = law(name, 0.5, 0.8)
    parts = [(one.from_score(a), one.from_score(b)) for a, b in [(-9, -2), (-2, 0), (0, 2), (2, 9)]]

    def moment(k):
        def integrand(x):
            return (x - one.mean) ** k * math.exp(one.log_density(np.array([x]))[0])

        return sum(quad(integrand, float(a), float(b), limit=200)[0] for a, b in parts)

    assert moment(1) == pytest.approx(0.0, abs=1e-5 * one.sd)
    assert math.sqrt(moment(2)) == pytest.approx(one.sd, rel=1e-5)


def test_moments_that_do_not_exist_are_nan():
    """Under t(4), x^2 grows like exp(y^2 / 4): a factor of 2 in the variance is the limit."""
    t = marginal_of(stats.t(4.0))
    assert perturbed(t, 0.0, 1.2).sd > t.sd
    assert math.isnan(perturbed(t, 0.0, math.sqrt(2.1)).sd)
    assert math.isfinite(perturbed(t, 0.3, math.sqrt(2.1)).mean)
    cauchy = perturbed(marginal_of(stats.cauchy()), 0.5)
    assert math.isnan(cauchy.mean) and math.isnan(cauchy.sd)
    # A law stretched less than its tail is heavy may have what the law itself has not.
    assert perturbed(marginal_of(stats.cauchy()), 0.0, 0.5).mean == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", LAWS)
def test_the_support_stays(name):
    one = law(name, -0.7, 1.4)
    base = marginal_of(LAWS[name])
    assert one.support == base.support
    ends = np.array([*base.support, -1e300, 1e300, np.nan])
    with np.errstate(all="raise"):
        value = one.log_density(ends)
    assert not np.isnan(value).any() and not np.isposinf(value).any()
    assert np.isneginf(value[:2]).all()


def test_perturbed_twice():
    one = perturbed(law("gamma", 0.5, 1.5), 0.4, 0.8)
    other = law("gamma", 0.5 + 1.5 * 0.4, 1.5 * 0.8)
    assert isinstance(one, PerturbedMarginal) and one == other
    assert perturbed(law("gamma", 1.0, 1.0), -1.0, 1.0) == law("gamma", 0.0, 1.0)


@pytest.mark.parametrize("name", ["uniform", "gamma", "t", "triangular"])
def test_in_the_coordinates_of_a_study_they_are_normal(name):
    """All perturbed laws of one law are normal in its scores; the density agrees with f(x)."""
    base = marginal_of(LAWS[name])
    laws = [Inputs({"a": perturbed(base, m, s), "b": stats.norm()}) for m, s in CHANGES]
    laws = [Inputs({"a": base, "b": stats.norm()}), *laws]
    coordinates = Coordinates.of(laws)
    z = np.random.default_rng(0).normal(size=(50, 2))
    x = coordinates.to_x(z)
    log_f = coordinates.log_densities(laws, z, x)
    slope = coordinates.log_slope(z, x)
    for k, one in enumerate(laws):
        assert coordinates.gaussian_in_z(one) is not None
        np.testing.assert_allclose(log_f[:, k], one.log_density(x) + slope, atol=1e-7)


@pytest.mark.parametrize(("shift", "factor"), [(np.nan, 1.0), (0.0, 0.0), (0.0, -1.0), (np.inf, 1)])
def test_refusals(shift, factor):
    with pytest.raises(ValueError, match="finite `shift` and a positive `factor`"):
        perturbed(marginal_of(LAWS["gamma"]), shift, factor)
