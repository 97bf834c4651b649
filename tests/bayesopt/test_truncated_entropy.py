"""What a normal variable loses: quadrature, the known special case, derivatives, both ends."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from bayesopt.acquisition.truncated_entropy import log_entropy_lost

GAMMAS = [-20.0, -3.0, -0.5, 0.0, 1.0, 4.0]


def lost(gamma, q):
    return float(np.exp(log_entropy_lost(np.array([gamma]), np.array([q]))[0])[0])


def by_quadrature(gamma, q):
    """0.5 log(2 pi e) less the entropy of phi(u) Phi((gamma + sqrt(q) u) / c) / Phi(gamma)."""
    rho, c = np.sqrt(q), np.sqrt(1.0 - q)

    def integrand(u):
        log_density = norm.logpdf(u) + norm.logcdf((gamma + rho * u) / c) - norm.logcdf(gamma)
        return -np.exp(log_density) * log_density

    centre = rho * np.exp(norm.logpdf(gamma) - norm.logcdf(gamma))
    halves = [(centre - 12, centre), (centre, centre + 12)]
    entropy = sum(quad(integrand, *half, limit=200, epsabs=1e-12)[0] for half in halves)
    return 0.5 * np.log(2.0 * np.pi * np.e) - entropy


@pytest.mark.parametrize("q", [1e-3, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("gamma", GAMMAS)
def test_it_equals_quadrature(gamma, q):
    assert lost(gamma, q) == pytest.approx(by_quadrature(gamma, q), rel=1e-7)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_with_full_correlation_it_is_the_entropy_lost_by_truncation(gamma):
    """Wang & Jegelka (2017), Eq. (6)."""
    ratio = np.exp(norm.logpdf(gamma) - norm.logcdf(gamma))
    expected = 0.5 * gamma * ratio - norm.logcdf(gamma)
    assert lost(gamma, 1.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("gamma", [-5.0, -0.5, 2.0, 30.0, 1e3])
def test_derivatives_agree_with_finite_differences(gamma, q):
    at, shares = np.array([gamma]), np.array([q])
    _, by_gamma, by_q = log_entropy_lost(at, shares)
    h = 1e-6
    ends = [log_entropy_lost(at + s * h, shares)[0] for s in (1, -1)]
    assert by_gamma == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5)
    ends = [log_entropy_lost(at, shares + s * h)[0] for s in (1, -1)]
    # Of values near 5e5 a difference keeps few digits.
    assert by_q == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5 + 1e-9 * gamma**2)


def test_everything_is_finite_and_never_less_than_the_normal_law_loses():
    gamma, q = np.meshgrid(
        np.concatenate((-np.logspace(8, -3, 60), np.logspace(-3, 8, 60))),
        np.concatenate((np.logspace(-15, -1, 30), 1.0 - np.logspace(-1, -15, 30), [1.0])),
    )
    value, by_gamma, by_q = log_entropy_lost(gamma, q)
    assert np.isfinite(value).all() and np.isfinite(by_gamma).all() and np.isfinite(by_q).all()
    inside = np.abs(gamma) < 30
    ratio = np.exp(norm.logpdf(gamma[inside]) - norm.logcdf(gamma[inside]))
    least = 0.5 * q[inside] * ratio * (gamma[inside] + ratio)
    assert (np.exp(value[inside]) >= least * (1.0 - 1e-9)).all()
