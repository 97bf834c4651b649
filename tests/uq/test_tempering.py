"""Tempered points: closed forms of half-spaces, shares of separate regions, what never fails."""

import numpy as np
import pytest
from scipy.stats import kstest, norm

from uq.reliability.tempering import tempered

SHARP = 1e-3


def along(d, seed=0):
    """A unit vector (d,) that is no axis."""
    u = np.random.default_rng(seed).normal(size=d)
    return u / np.linalg.norm(u)


def soft_moments(beta, s):
    """Mean and variance of u under phi(u) Phi((u - beta) / s), by a fine sum."""
    u = np.linspace(-10.0, beta + 10.0, 200_001)
    density = norm.pdf(u) * norm.cdf((u - beta) / s)
    density /= density.sum()
    mean = density @ u
    return mean, density @ np.square(u - mean)


def replications(h, d, n, softness, of, n_replications=12, seed=0):
    """Mean of a statistic over independent runs, and its standard error."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_replications):
        particles = tempered(h, d, n, softness, rng)
        assert particles.reached
        found.append(of(particles.z))
    found = np.array(found)
    return found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(n_replications)


@pytest.mark.parametrize("d, beta", [(2, 1.0), (2, 4.0), (100, 4.0)])
def test_a_half_space_has_the_moments_of_the_truncated_normal(d, beta):
    u = along(d)

    def moments(z):
        x = z @ u
        return x.mean(), np.square(x - x.mean()).mean() * 500 / 499

    mean, error = replications(lambda z: beta - z @ u, d, 500, SHARP, moments)
    ratio = norm.pdf(beta) / norm.sf(beta)
    expected = [ratio, 1.0 + ratio * (beta - ratio)]
    np.testing.assert_allclose(soft_moments(beta, SHARP), expected, rtol=1e-4)
    assert np.all(np.abs(mean - expected) < 4.0 * error)
    assert np.all(error < 0.05 * np.abs(expected))


def test_a_soft_half_space_has_its_own_moments():
    beta, s = 3.0, 1.0

    def moments(z):
        return z[:, 0].mean(), z[:, 0].var() * 500 / 499

    mean, error = replications(lambda z: beta - z[:, 0], 2, 500, s, moments)
    assert np.all(np.abs(mean - soft_moments(beta, s)) < 4.0 * error)
    # The sharp event has others: the test can tell.
    assert abs(mean[0] - soft_moments(beta, SHARP)[0]) > 20.0 * error[0]


@pytest.mark.parametrize("d", [2, pytest.param(100, marks=pytest.mark.slow)])
def test_other_directions_stay_standard_normal(d):
    u, other = along(d), along(d, 1)
    other -= (other @ u) * u
    other /= np.linalg.norm(other)

    def moments(z):
        x = z @ other
        return x.mean(), np.square(x).mean(), np.square(z - np.outer(z @ u, u)).sum(1).mean()

    mean, error = replications(lambda z: 4.0 - z @ u, d, 500, SHARP, moments)
    assert np.all(np.abs(mean - [0.0, 1.0, d - 1.0]) < 4.0 * error)
    assert np.all(error < 0.05 * d)


def test_the_points_follow_the_law_and_their_values_are_those_of_the_limit_state():
    def h(z):
        return 3.0 - z[:, 0]

    particles = tempered(h, 2, 2000, SHARP, np.random.default_rng(3))
    np.testing.assert_array_equal(particles.h, h(particles.z))
    conditional = norm.sf(particles.z[:, 0]) / norm.sf(3.0)
    inside = conditional[particles.h < 0.0]
    # Copies that have not moved count twice: every fourth point, a level for dependent points.
    assert kstest(inside[::4], "uniform").pvalue > 1e-4
    assert len(inside) > 1950


def test_two_separate_regions_keep_their_shares():
    def h(z):
        return np.minimum(3.0 - z[:, 0], 3.3 + z[:, 0])

    def share(z):
        return (z[:, 0] > 0.0).mean()

    mean, error = replications(h, 2, 400, SHARP, share, 30)
    expected = norm.sf(3.0) / (norm.sf(3.0) + norm.sf(3.3))
    assert abs(mean - expected) < 4.0 * error
    assert error < 0.05


def test_a_jump_is_followed():
    """An indicator shows no way downhill; the points that fail from the start are multiplied."""

    def h(z):
        return np.where(z[:, 0] > 1.5, -1.0, 1.0)

    particles = tempered(h, 2, 1000, SHARP, np.random.default_rng(4))
    assert particles.reached
    assert (particles.z[:, 0] > 1.5).all()


def test_what_always_fails_leaves_the_law_as_it_is():
    particles = tempered(lambda z: np.full(len(z), -1.0), 3, 4000, SHARP, np.random.default_rng(5))
    assert particles.reached
    for column in particles.z.T:
        assert kstest(column, "norm").pvalue > 1e-4


@pytest.mark.parametrize(
    "h",
    [
        lambda z: np.ones(len(z)),
        lambda z: 1.0 + np.square(z[:, 0]),
        lambda z: 1e-4 + np.abs(z[:, 0]),
        lambda z: np.exp(-z[:, 0]),
        lambda z: np.zeros(len(z)),
    ],
    ids=["one", "parabola", "nearly", "never quite", "zero"],
)
def test_what_never_fails_is_not_reached(h):
    assert not tempered(h, 2, 300, SHARP, np.random.default_rng(6)).reached


def test_what_is_too_far_is_not_reached():
    assert tempered(lambda z: 8.0 - z[:, 0], 2, 1000, 0.01, np.random.default_rng(7)).reached
    assert not tempered(lambda z: 30.0 - z[:, 0], 2, 300, 0.01, np.random.default_rng(7)).reached


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_the_unit_of_the_limit_state_does_not_matter(factor):
    def h(z):
        return 3.0 - z[:, 0] - 0.2 * np.square(z[:, 1])

    plain = tempered(h, 2, 300, 0.1, np.random.default_rng(8))
    scaled = tempered(lambda z: factor * h(z), 2, 300, 0.1 * factor, np.random.default_rng(8))
    np.testing.assert_allclose(scaled.z, plain.z, rtol=1e-9)


def test_the_same_seed_gives_the_same_points():
    one, other = (
        tempered(lambda z: 2.0 - z[:, 0], 2, 100, 0.1, np.random.default_rng(9)).z for _ in range(2)
    )
    np.testing.assert_array_equal(one, other)
