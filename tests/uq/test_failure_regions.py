"""Regions that were found, and what failing tells of the inputs: half-spaces in closed form."""

import numpy as np
import pytest
from scipy import stats
from scipy.stats import norm

import uq
from uq.proposals import Gaussian, Mixture
from uq.reliability.failure_regions import found_design_points, input_importance

PLANE = uq.Inputs([stats.norm()] * 2)


def parts(*means):
    """A mixture with one component about each."""
    n = len(means)
    return Mixture(
        np.full(n, 1.0 / n), tuple(Gaussian(np.array(m), 0.3 * np.eye(2)) for m in means)
    )


def runs_of(mixture, n=2000, seed=0):
    """Half of the runs by the law, so that the way between regions is known."""
    rng = np.random.default_rng(seed)
    law = Gaussian(np.zeros(2), np.eye(2))
    q = Mixture(np.array([0.5, 0.5]), (law, mixture))
    z = q.transform(rng.random((n, q.n_uniforms)))
    return z, np.exp(law.log_density(z) - q.log_density(z))


def test_two_opposite_half_planes_are_two_regions():
    """z_1 > 2 and z_1 < -2.5: shares by Phi, the larger first."""
    mixture = parts([2.3, 0.0], [-2.8, 0.0])
    z, W = runs_of(mixture, 20_000)
    fails = (z[:, 0] > 2.0) | (z[:, 0] < -2.5)
    one, two = found_design_points(z, fails, W, mixture, PLANE)
    total = norm.sf(2.0) + norm.sf(2.5)
    assert one.share == pytest.approx(norm.sf(2.0) / total, abs=0.05)
    assert one.share + two.share == pytest.approx(1.0)
    assert 2.0 <= one.beta < 2.1 and 2.5 <= two.beta < 2.6
    assert one.z[0] > 0.0 > two.z[0]


def test_the_design_point_is_the_nearest_failure():
    mixture = parts([2.3, 0.0])
    z, W = runs_of(mixture)
    fails = z[:, 0] > 2.0
    (point,) = found_design_points(z, fails, W, mixture, PLANE)
    radii = np.linalg.norm(z[fails], axis=1)
    assert point.beta == pytest.approx(radii.min()) and point.share == pytest.approx(1.0)
    np.testing.assert_array_equal(point.z, z[fails][radii.argmin()])


def test_two_components_of_one_region_are_one():
    mixture = parts([2.4, 1.0], [2.4, -1.0])
    z, W = runs_of(mixture)
    assert len(found_design_points(z, z[:, 0] > 2.0, W, mixture, PLANE)) == 1


def test_inputs_of_a_design_point_are_in_their_own_units():
    inputs = uq.Inputs({"load": stats.norm(100.0, 10.0), "life": stats.expon()})
    mixture = parts([2.3, 0.0])
    z, W = runs_of(mixture)
    (point,) = found_design_points(z, z[:, 0] > 2.0, W, mixture, inputs)
    assert point.x[0] == pytest.approx(100.0 + 10.0 * point.z[0])
    assert point.x[1] == pytest.approx(-np.log(norm.sf(point.z[1])))


def test_regions_of_hardly_any_share_are_left_out():
    """z_1 < -4 holds 0.14 % of the probability of failing."""
    mixture = parts([2.3, 0.0], [-4.2, 0.0])
    z, W = runs_of(mixture)
    fails = (z[:, 0] > 2.0) | (z[:, 0] < -4.0)
    assert fails[z[:, 0] < 0.0].any()
    (point,) = found_design_points(z, fails, W, mixture, PLANE)
    assert point.z[0] > 0.0


def test_no_failure_and_one_failure():
    mixture = parts([2.3, 0.0])
    z, W = runs_of(mixture, 64)
    none = np.zeros(64, dtype=bool)
    assert found_design_points(z, none, W, mixture, PLANE) == ()
    none[3] = True
    (point,) = found_design_points(z, none, W, mixture, PLANE)
    np.testing.assert_array_equal(point.z, z[3])


def test_importance_of_a_half_space():
    """Failing is z_1 > 2: a truncated normal of mean m and variance 1 + 2 m - m^2; no z_2."""
    z, W = runs_of(parts([2.3, 0.0]), 40_000)
    fails = z[:, 0] > 2.0
    found = input_importance(z[fails], W[fails], PLANE)
    m = norm.pdf(2.0) / norm.sf(2.0)
    sd = np.sqrt(1.0 + 2.0 * m - m**2)
    np.testing.assert_allclose(found.mean, [m, 0.0], atol=0.05)
    np.testing.assert_allclose(found.sd, [sd, 1.0], atol=0.05)
    information = 0.5 * (m**2 + sd**2 - 1.0) - np.log(sd)
    assert found.information[0] == pytest.approx(information, rel=0.05)
    assert found.share[0] > 0.99 and found.share.sum() == pytest.approx(1.0)
    assert list(found.to_dataframe().index) == list(PLANE.names)


def test_correlated_inputs_have_scores_of_their_own():
    """S fails R - S by its own law, whichever way the space is turned."""
    inputs = uq.Inputs({"a": stats.norm(), "b": stats.norm()}, correlation={("a", "b"): 0.9})
    z = np.random.default_rng(2).normal(size=(5000, 2))
    x = inputs.from_normal(z)
    found = input_importance(z, np.ones(5000), inputs)
    np.testing.assert_allclose(found.mean, x.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(found.sd, x.std(axis=0), rtol=1e-9)


def test_nothing_tells_nothing():
    empty = input_importance(np.empty((0, 2)), np.empty(0), PLANE)
    assert np.isnan(empty.mean).all() and np.isnan(empty.information).all()
    one = input_importance(np.array([[3.0, 0.0]]), np.ones(1), PLANE)
    assert np.isfinite(one.information).all()
