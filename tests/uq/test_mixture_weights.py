"""Shares of a mixture: quadrature, the optimality conditions, and what cannot change them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uq.mixture_weights import mixture_weights, objective, slsqp_weights
from uq.proposals import Gaussian, Mixture, log_densities


def problem(n=500, K=6, d=2, seed=0):
    """log c and log g_k of points drawn from an equal mixture; the numerator has several peaks."""
    rng = np.random.default_rng(seed)
    parts = [Gaussian(2.0 * rng.normal(size=d), rng.uniform(0.5, 2) * np.eye(d)) for _ in range(K)]
    h = Mixture(np.full(K, 1.0 / K), parts)
    z = h.sample(n, rng)
    log_g = log_densities(parts, z)
    wanted = Mixture(rng.dirichlet(np.ones(K)), parts)
    return 2.0 * wanted.log_density(z) + 0.5 * rng.normal(size=n) - h.log_density(z), log_g


def gap(shares, log_c, log_g):
    """How far F is above its minimum at most, relative to F."""
    F, gradient = objective(shares, np.exp(log_c - log_c.max()), np.exp(log_g))
    return (-gradient.min() + gradient @ shares) / F


def test_gradient_is_that_of_finite_differences():
    log_c, log_g = problem()
    c, g = np.exp(log_c), np.exp(log_g)
    shares = np.random.default_rng(1).dirichlet(np.ones(6))
    _, gradient = objective(shares, c, g)
    for k in range(6):
        step = 1e-6 * np.eye(6)[k]
        slope = (objective(shares + step, c, g)[0] - objective(shares - step, c, g)[0]) / 2e-6
        assert gradient[k] == pytest.approx(slope, rel=1e-6)


@given(st.integers(0, 10_000), st.integers(2, 12), st.sampled_from([20, 300]))
@settings(max_examples=40, deadline=None)
def test_the_optimality_conditions_hold(seed, K, n):
    log_c, log_g = problem(n=n, K=K, seed=seed)
    shares = mixture_weights(log_c, log_g)
    assert shares.min() >= 0.0 and shares.sum() == pytest.approx(1.0)
    assert gap(shares, log_c, log_g) < 2e-6


def test_no_other_shares_are_better():
    log_c, log_g = problem()
    c, g = np.exp(log_c), np.exp(log_g)
    best = objective(mixture_weights(log_c, log_g), c, g)[0]
    for other in np.random.default_rng(0).dirichlet(np.full(6, 0.5), size=300):
        assert objective(other, c, g)[0] >= best * (1 - 2e-6)


def test_where_the_numerator_is_a_mixture_squared_its_shares_are_found():
    """int (sum_k a_k g_k)^2 / g_b is least at b = a."""
    x = np.linspace(-30.0, 30.0, 6001)[:, None]
    parts = [Gaussian([m], [[v]]) for m, v in ((-3.0, 1.0), (0.0, 2.0), (4.0, 0.5), (9.0, 1.0))]
    truth = np.array([0.1, 0.5, 0.4, 0.0])
    log_c = 2.0 * Mixture(truth, parts).log_density(x)
    np.testing.assert_allclose(mixture_weights(log_c, log_densities(parts, x)), truth, atol=2e-3)


@pytest.mark.parametrize("log_scale", [-1000.0, -20.0, 20.0, 1000.0])
def test_the_unit_of_the_quantities_has_no_influence(log_scale):
    log_c, log_g = problem()
    shares = mixture_weights(log_c, log_g)
    np.testing.assert_allclose(mixture_weights(log_c + log_scale, log_g), shares, atol=1e-9)
    np.testing.assert_allclose(mixture_weights(log_c, log_g + log_scale), shares, atol=1e-9)


def test_the_published_solver_depends_on_the_unit():
    """The defect that `mixture_weights` is there for: an absolute tolerance."""
    log_c, log_g = problem()
    c, g, start = np.exp(log_c), np.exp(log_g), np.full(6, 1.0 / 6.0)
    moved = slsqp_weights(c / objective(start, c, g)[0], g, start)
    assert np.abs(moved - start).max() > 0.01
    np.testing.assert_allclose(slsqp_weights(1e-9 * c, g, start), start, atol=1e-6)
    best = mixture_weights(log_c, log_g)
    assert objective(moved, c, g)[0] == pytest.approx(objective(best, c, g)[0], rel=1e-3)


def test_bounds_and_fixed_shares_are_kept_and_the_rest_is_optimal():
    log_c, log_g = problem()
    shares = mixture_weights(log_c, log_g, minimum=0.05, fixed={2: 0.2})
    assert shares[2] == pytest.approx(0.2)
    assert shares.min() >= 0.05 - 1e-12 and shares.sum() == pytest.approx(1.0)
    _, gradient = objective(shares, np.exp(log_c - log_c.max()), np.exp(log_g))
    others = np.delete(np.arange(6), 2)
    raised = others[shares[others] > 0.05 + 1e-6]
    assert np.ptp(gradient[raised]) < 1e-3 * np.abs(gradient).max()
    assert gradient[others].min() >= gradient[raised].min() - 1e-6 * np.abs(gradient).max()
    np.testing.assert_allclose(mixture_weights(log_c, log_g, minimum=1 / 6), np.full(6, 1 / 6))


def test_a_start_has_no_influence():
    log_c, log_g = problem()
    start = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    by_start, plain = mixture_weights(log_c, log_g, start=start), mixture_weights(log_c, log_g)
    np.testing.assert_allclose(by_start, plain, atol=5e-3)
    assert gap(by_start, log_c, log_g) < 2e-6


def test_awkward_numerators():
    log_c, log_g = problem()
    np.testing.assert_allclose(mixture_weights(np.full(500, -np.inf), log_g), np.full(6, 1 / 6))
    np.testing.assert_allclose(mixture_weights(log_c, log_g[:, :1]), [1.0])
    twins = mixture_weights(log_c, np.hstack([log_g, log_g]))
    assert gap(twins[:6] + twins[6:], log_c, log_g) < 2e-6
    spread = log_c + 1e3 * np.random.default_rng(0).normal(size=500)  # all on one point
    assert gap(mixture_weights(spread, log_g), spread, log_g) < 2e-6
    with pytest.raises(ValueError, match="every component"):
        mixture_weights(log_c, np.full_like(log_g, -np.inf))
    with pytest.raises(ValueError, match="sums? to"):
        mixture_weights(log_c, log_g, minimum=0.5)


def test_a_hundred_components():
    log_c, log_g = problem(n=4000, K=102, d=6)
    shares = mixture_weights(log_c, log_g)
    assert gap(shares, log_c, log_g) < 2e-6
