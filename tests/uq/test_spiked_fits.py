"""Gaussians with spiked covariances: what is kept, what is smoothed, and mixtures of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from uq.proposals import TooFewWeighted, fit_spiked_gaussian, fit_spiked_mixture

BANANA = np.array([[1.0, 0.6], [0.6, 0.5]])


def two_clusters(n=600, d=2, seed=0):
    """Half of the points at (5, 0, ...), half at (-5, 0, ...), variances 1 and 0.25."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, d))
    right = np.arange(n) < n // 2
    z[~right] *= 0.5
    z[:, 0] += np.where(right, 5.0, -5.0)
    return z, right


def in_order(mixture):
    """Shares, means and covariances of a mixture, by the first coordinate of the mean."""
    parts = sorted(zip(mixture.shares, mixture.components, strict=True), key=lambda p: p[1].mean[0])
    shares = np.array([share for share, _ in parts])
    return shares, [part.mean for _, part in parts], [part.covariance for _, part in parts]


def test_many_points_in_few_dimensions_keep_their_weighted_covariance():
    rng = np.random.default_rng(0)
    z = rng.multivariate_normal([1.0, -2.0], BANANA, 500)
    weights = rng.exponential(size=500)
    fit = fit_spiked_gaussian(z, weights)
    np.testing.assert_allclose(fit.mean, np.average(z, axis=0, weights=weights), rtol=1e-12)
    expected = np.cov(z.T, aweights=weights, ddof=0)
    np.testing.assert_allclose(fit.covariance, expected, rtol=1e-9)


def test_the_covariance_of_importance_weights_is_the_one_of_the_target():
    """Points of N(0, I) weighted by a Gaussian density ratio, at 4 standard errors."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(40_000, 2))
    target = norm([0.5, 0.0], [0.7, 0.9])
    weights = np.exp((target.logpdf(z) - norm.logpdf(z)).sum(axis=1))
    fit = fit_spiked_gaussian(z, weights)
    effective = weights.sum() ** 2 / np.square(weights).sum()
    assert np.all(np.abs(fit.mean - [0.5, 0.0]) < 4.0 * np.array([0.7, 0.9]) / effective**0.5)
    variance = np.array([0.49, 0.81])
    assert np.all(
        np.abs(np.diagonal(fit.covariance) - variance) < 4.0 * variance * (2.0 / effective) ** 0.5
    )


@pytest.mark.parametrize("spike", [0.02, 0.1, 2.2, 9.0])
def test_in_many_dimensions_the_bulk_is_one_number_and_the_spike_stays(spike):
    """500 points of 100 dimensions: plain eigenvalues spread from 0.3 to 2.1."""
    rng = np.random.default_rng(2)
    axis = rng.normal(size=100)
    axis /= np.linalg.norm(axis)
    z = rng.normal(size=(500, 100))
    z += np.outer(z @ axis, axis) * (np.sqrt(spike) - 1.0)
    plain = np.linalg.eigvalsh(np.cov(z.T))
    assert plain[5] < 0.5 and plain[-5] > 1.7
    eigenvalues, axes = np.linalg.eigh(fit_spiked_gaussian(z, np.ones(500)).covariance)
    apart = 0 if spike < 1.0 else -1
    bulk = np.delete(eigenvalues, apart)
    np.testing.assert_allclose(bulk, bulk[0], rtol=1e-9)
    assert bulk[0] == pytest.approx(1.0, abs=4.0 * np.sqrt(2.0 / (500 * 99)) + 1.0 / 500)
    # A spike of l is seen as l (1 + gamma / (l - 1)), and its axis at an angle (Paul 2007).
    seen = spike * (1.0 + 0.2 / (spike - 1.0))
    assert eigenvalues[apart] == pytest.approx(seen, rel=4.0 * np.sqrt(2.0 / 500))
    cosine = (1.0 - 0.2 / (spike - 1.0) ** 2) / (1.0 + 0.2 / (spike - 1.0))
    assert (axes[:, apart] @ axis) ** 2 == pytest.approx(cosine, abs=0.1)


def test_fewer_points_than_dimensions_make_a_positive_definite_covariance():
    z = np.random.default_rng(3).normal(size=(40, 100))
    fit = fit_spiked_gaussian(z, np.ones(40))
    eigenvalues = np.linalg.eigvalsh(fit.covariance)
    # 1 - 1/n by the mean that is taken off; the traces agree.
    assert eigenvalues.min() > 0.5 and eigenvalues.max() < 2.0
    assert np.trace(fit.covariance) == pytest.approx(np.square(z - z.mean(axis=0)).sum() / 40)


def test_points_on_a_line_make_a_density():
    along = np.linspace(-1.0, 1.0, 400)
    z = np.stack([along, 2.0 * along], axis=1)
    fit = fit_spiked_gaussian(z, np.ones(400))
    assert np.isfinite(fit.log_density(z)).all()
    assert fit.covariance[0, 0] == pytest.approx(along.var())


@pytest.mark.parametrize(
    "weights", [np.zeros(9), np.eye(9)[3], np.r_[1.0, 0.4, np.zeros(7)]], ids=["0", "1", "1.7"]
)
def test_fewer_than_two_effective_points_are_refused(weights):
    z = np.random.default_rng(4).normal(size=(9, 2))
    for fit in (
        lambda: fit_spiked_gaussian(z, weights),
        lambda: fit_spiked_mixture(z, weights, np.random.default_rng(0)),
    ):
        with pytest.raises(TooFewWeighted, match="at least 2 are needed") as error:
            fit()
        assert error.value.effective[0] < 2.0


@pytest.mark.parametrize("d", [1, 2, 3])
def test_separated_components_are_recovered(d):
    z, right = two_clusters(d=d)
    mixture = fit_spiked_mixture(z, np.ones(len(z)), np.random.default_rng(0))
    shares, means, covariances = in_order(mixture)
    np.testing.assert_allclose(shares, [0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(means, [z[~right].mean(axis=0), z[right].mean(axis=0)], atol=1e-6)
    for covariance, variance in zip(covariances, [0.25, 1.0], strict=True):
        error = variance * np.sqrt(2.0 / 300)
        diagonal = np.diagonal(covariance)
        assert np.all(np.abs(diagonal - variance) < 4.5 * error)


def test_in_twenty_dimensions_new_points_are_met_nearly_as_well_as_by_the_truth():
    """A cluster may be split there; the loss per point stays far below that of one Gaussian."""
    z, _ = two_clusters(d=20)
    fresh, right = two_clusters(4000, 20, seed=9)
    mixture = fit_spiked_mixture(z, np.ones(len(z)), np.random.default_rng(0))
    sd, mean = np.where(right, 1.0, 0.5), np.where(right, 5.0, -5.0)
    true = norm.logpdf(fresh[:, 0], mean, sd) + norm.logpdf(fresh[:, 1:], 0.0, sd[:, None]).sum(1)
    true += np.log(0.5)  # the other cluster adds nothing
    assert 0.0 < (true - mixture.log_density(fresh)).mean() < 0.2
    left = [part.mean[0] < 0.0 for part in mixture.components]
    assert mixture.shares[left].sum() == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("d, n, lost", [(50, 300, 1.0), (100, 600, 1.5)])
@pytest.mark.parametrize("seed", range(4))
def test_clusters_part_in_many_dimensions(d, n, lost, seed):
    """One Gaussian for both would lose 7 and 13 per point."""
    z, _ = two_clusters(n, d, seed)
    fresh, right = two_clusters(1000, d, seed=99)
    mixture = fit_spiked_mixture(z, np.ones(n), np.random.default_rng(seed))
    sd, mean = np.where(right, 1.0, 0.5), np.where(right, 5.0, -5.0)
    true = norm.logpdf(fresh[:, 0], mean, sd) + norm.logpdf(fresh[:, 1:], 0.0, sd[:, None]).sum(1)
    assert (true + np.log(0.5) - mixture.log_density(fresh)).mean() < lost


def test_weights_decide_the_shares():
    z, right = two_clusters()
    mixture = fit_spiked_mixture(z, np.where(right, 3.0, 1.0), np.random.default_rng(0))
    np.testing.assert_allclose(in_order(mixture)[0], [0.25, 0.75], atol=1e-6)


def test_one_cluster_needs_one_component():
    z = np.random.default_rng(5).normal(size=(800, 3))
    mixture = fit_spiked_mixture(z, np.ones(800), np.random.default_rng(0))
    assert len(mixture.components) == 1
    np.testing.assert_allclose(mixture.components[0].covariance, np.cov(z.T, ddof=0), rtol=1e-8)


def test_four_branches_need_four_and_no_more_than_are_allowed():
    rng = np.random.default_rng(6)
    angle = rng.integers(0, 4, 1000) * np.pi / 2.0
    z = 4.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.3 * rng.normal(size=(1000, 2))
    for most, expected in ((8, 4), (2, 2)):
        mixture = fit_spiked_mixture(z, np.ones(1000), np.random.default_rng(0), most)
        assert len(mixture.components) == expected


@settings(max_examples=10, deadline=None)
@given(st.integers(-60, 60))
def test_the_unit_of_the_weights_does_not_matter(power):
    z, right = two_clusters(200)
    weights = np.where(right, 2.0, 1.0)
    plain = in_order(fit_spiked_mixture(z, weights, np.random.default_rng(0)))
    scaled = in_order(fit_spiked_mixture(z, 2.0**power * weights, np.random.default_rng(0)))
    for one, other in zip(plain, scaled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_points_without_weight_do_not_matter():
    z, _ = two_clusters(200)
    elsewhere = np.full((50, 2), 100.0)
    plain = fit_spiked_mixture(z, np.ones(200), np.random.default_rng(0))
    with_others = fit_spiked_mixture(
        np.concatenate([z, elsewhere]), np.r_[np.ones(200), np.zeros(50)], np.random.default_rng(0)
    )
    for one, other in zip(in_order(plain), in_order(with_others), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_of_probabilities_as_small_as_doubles_hold():
    z, right = two_clusters(200)
    mixture = fit_spiked_mixture(z, np.where(right, 3e-250, 1e-250), np.random.default_rng(0))
    np.testing.assert_allclose(in_order(mixture)[0], [0.25, 0.75], atol=1e-6)


def test_the_same_seed_gives_the_same_mixture():
    z, _ = two_clusters(300)
    one, other = (
        fit_spiked_mixture(z, np.ones(300), np.random.default_rng(7)).log_density(z)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, other)


def test_the_mixture_is_a_density_in_the_plane():
    z, right = two_clusters(400)
    mixture = fit_spiked_mixture(z, np.ones(400), np.random.default_rng(0))
    axis = np.linspace(-12.0, 12.0, 961)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    total = np.exp(mixture.log_density(grid)).sum() * (axis[1] - axis[0]) ** 2
    assert total == pytest.approx(1.0, abs=1e-3)  # a component may be narrower than the grid
