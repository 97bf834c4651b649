"""Densities on shells: their integrals, the law of their points, and every orthant seen."""

from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import chi, chisquare, kstest, qmc

from uq.proposals import Gaussian, Mixture, Shells

UNEVEN = ([0.5, 1.0, 3.0, 3.5], [0.2, 0.5, 0.3])


def at_radius(shells, rho, seed=0):
    """A point of this radius in some direction."""
    direction = np.random.default_rng(seed).normal(size=shells.dimension)
    return rho * direction[None, :] / np.linalg.norm(direction)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_density_integrates_to_one(d):
    shells = Shells(d, *UNEVEN)
    area = {1: 2.0, 2: 2.0 * np.pi, 3: 4.0 * np.pi}[d]  # of the unit sphere

    def integrand(rho):
        return area * rho ** (d - 1) * np.exp(shells.log_density(at_radius(shells, rho))[0])

    parts = [quad(integrand, low, high)[0] for low, high in pairwise(UNEVEN[0])]
    np.testing.assert_allclose(parts, UNEVEN[1], rtol=1e-12)


def test_the_density_in_the_plane_integrates_to_one_on_a_grid():
    shells = Shells(2, *UNEVEN)
    axis = (np.arange(1600) + 0.5) * (8.0 / 1600) - 4.0
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    total = np.exp(shells.log_density(grid)).sum() * (8.0 / 1600) ** 2
    assert total == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_boxes_get_the_share_of_points_that_the_density_says(d):
    """Volumes by points from elsewhere: a box holds as many as the density integrates to there."""
    shells = Shells(d, *UNEVEN)
    rng = np.random.default_rng(d)
    low, high = np.full(d, -0.4), np.full(d, 2.2)
    z = shells.sample(40_000, rng)
    share = np.all((z > low) & (z < high), axis=1).mean()
    inside = rng.uniform(low, high, (40_000, d))
    mass = np.exp(shells.log_density(inside)) * np.prod(high - low)
    error = np.sqrt(mass.var() / len(mass) + share * (1.0 - share) / len(z))
    assert abs(share - mass.mean()) < 4.0 * error
    assert 4.0 * error < 0.25 * share


@pytest.mark.parametrize("d", [1, 2, 3, 100, 1000])
def test_radii_follow_their_law(d):
    shells = Shells(d, *UNEVEN)
    rho = np.linalg.norm(shells.sample(2000, np.random.default_rng(0)), axis=1)
    cumulated = np.concatenate([[0.0], np.cumsum(UNEVEN[1])])
    assert kstest(rho, lambda r: np.interp(r, UNEVEN[0], cumulated)).pvalue > 1e-4


def test_all_orthants_get_as_many_points_and_no_direction_is_preferred():
    shells = Shells(3, *UNEVEN)
    z = shells.sample(16_000, np.random.default_rng(1))
    counts = np.bincount((z > 0.0) @ np.array([1, 2, 4]), minlength=8)
    assert chisquare(counts).pvalue > 1e-4
    # Archimedes: the coordinate of a uniform point of the sphere along any axis is uniform.
    axis = np.array([1.0, -2.0, 0.5]) / np.sqrt(5.25)
    along = z @ axis / np.linalg.norm(z, axis=1)
    assert kstest(along, "uniform", args=(-1.0, 2.0)).pvalue > 1e-4


def test_angles_in_the_plane_are_uniform_and_signs_on_the_line_are_even():
    z = Shells(2, *UNEVEN).sample(4000, np.random.default_rng(2))
    angle = np.arctan2(z[:, 1], z[:, 0])
    assert kstest(angle, "uniform", args=(-np.pi, 2.0 * np.pi)).pvalue > 1e-4
    signs = np.sign(Shells(1, *UNEVEN).sample(4000, np.random.default_rng(2)))
    assert abs(signs.mean()) < 4.0 / np.sqrt(4000)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_net_gives_every_orthant_of_every_shell_as_many_points(d):
    shells = Shells(d, np.arange(1.0, 6.0), np.full(4, 0.25))
    z = shells.transform(qmc.Sobol(shells.n_uniforms, rng=0).random(512))
    shell = np.floor(np.linalg.norm(z, axis=1)).astype(int) - 1
    counts = np.zeros((4, 2**d), dtype=int)
    np.add.at(counts, (shell, (z > 0.0) @ 2 ** np.arange(d)), 1)
    assert counts.tolist() == np.full((4, 2**d), 512 // 4 // 2**d).tolist()


@pytest.mark.parametrize("d", [1, 2, 3, 30, 100, 1000])
def test_standard_shells_begin_at_the_median_and_end_at_the_least_probability(d):
    shells = Shells.standard(d, 1e-12)
    assert chi.sf(shells.radii[0], d) == pytest.approx(0.5, rel=1e-10)
    assert chi.sf(shells.radii[-1], d) == pytest.approx(1e-12, rel=1e-8)
    beyond = chi.sf(shells.radii, d)
    np.testing.assert_allclose(beyond[1:] / beyond[:-1], beyond[1] / beyond[0], rtol=1e-8)
    assert 0.1 <= beyond[1] / beyond[0] < 0.2
    np.testing.assert_allclose(shells.shares, 1.0 / len(shells.shares))


def test_the_outermost_radius_is_right_far_beyond_the_normal_table():
    with mpmath.workdps(30):
        beyond = mpmath.gammainc(
            0.5, mpmath.mpf(Shells.standard(1, 1e-200).radii[-1]) ** 2 / 2, regularized=True
        )
    assert float(beyond / mpmath.mpf("1e-200")) == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("d", [1, 2, 3, 100, 1000])
def test_weights_to_the_normal_law_add_up_to_what_lies_between_the_radii(d):
    shells = Shells.standard(d, 1e-6)
    z = shells.sample(4000, np.random.default_rng(3))
    log_normal = -0.5 * np.square(z).sum(axis=1) - 0.5 * d * np.log(2.0 * np.pi)
    weights = np.exp(log_normal - shells.log_density(z))
    assert abs(weights.mean() - (0.5 - 1e-6)) < 4.0 * weights.std() / np.sqrt(len(z))
    assert weights.std() < 5.0


def test_the_density_is_finite_on_the_shells_only():
    for d in (1, 2, 3, 1000):
        shells = Shells(d, *UNEVEN)
        points = np.concatenate([at_radius(shells, rho) for rho in (0.5, 1.0, 2.0, 3.5)])
        assert np.isfinite(shells.log_density(points)).all()
        away = np.concatenate([at_radius(shells, rho) for rho in (0.0, 0.499, 3.501, 1e200)])
        assert np.isneginf(shells.log_density(away)).all()
    filled = Shells(2, [0.0, 1.0], [1.0])
    assert np.isneginf(filled.log_density(np.zeros((1, 2)))[0])
    assert np.isneginf(filled.log_density(np.full((1, 2), np.nan))[0])


@pytest.mark.parametrize("d", [1, 2, 3, 1000])
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_any_uniforms_give_points_on_the_shells(d, first, second):
    shells = Shells.standard(d, 1e-12)
    u = np.full((1, shells.n_uniforms), second)
    u[0, 0] = first
    z = shells.transform(u)
    assert np.isfinite(z).all() and np.isfinite(shells.log_density(z)).all()


def test_a_net_that_is_not_scrambled_has_its_centre_on_the_shells_too():
    shells = Shells.standard(3, 1e-3)
    z = shells.transform(qmc.Sobol(4, scramble=False).random(4))
    assert np.isfinite(shells.log_density(z)).all()


def test_shells_are_a_component_of_a_mixture():
    mixture = Mixture([0.9, 0.1], (Gaussian(np.zeros(4), np.eye(4)), Shells.standard(4, 1e-9)))
    z = mixture.sample(2000, np.random.default_rng(0))
    assert np.isfinite(mixture.log_density(z)).all()
    assert np.linalg.norm(z, axis=1).max() > 6.0


def test_arrays_are_copied_and_cannot_be_changed():
    radii = np.array([1.0, 2.0])
    shells = Shells(2, radii, [1.0])
    radii[0] = 1.5
    assert shells.radii[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        shells.radii[0] = 1.5


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Shells(0, [0.0, 1.0], [1.0]), "dimension"),
        (lambda: Shells(2, [0.0, 1.0], [0.5, 0.5]), "K \\+ 1"),
        (lambda: Shells(2, [1.0], []), "K \\+ 1"),
        (lambda: Shells(2, [1.0, 1.0], [1.0]), "rise"),
        (lambda: Shells(2, [-1.0, 1.0], [1.0]), "rise"),
        (lambda: Shells(2, [0.0, np.inf], [1.0]), "finite"),
        (lambda: Shells(2, [0.0, 1.0, 2.0], [1.0, 0.0]), "positive"),
        (lambda: Shells(2, [0.0, 1.0, 2.0], [0.6, 0.6]), "sum to one"),
        (lambda: Shells(2, [0.0, 1.0], [np.nan]), "sum to one"),
        (lambda: Shells.standard(2, 0.5), "least_probability"),
        (lambda: Shells.standard(2, 0.0), "least_probability"),
    ],
)
def test_what_are_no_shells_is_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()
