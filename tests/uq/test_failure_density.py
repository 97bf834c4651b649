"""The density that failures are drawn from, and the weights of runs of several densities."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from uq.proposals import Gaussian, Mixture, fit_spiked_mixture
from uq.reliability import failure_density
from uq.reliability.failure_density import (
    DEFENCE,
    Defence,
    refined,
    standard_normal_log_density,
)
from uq.reliability.learning_runs import Batch, LearningRuns
from uq.reliability.tempering import tempered


def one(mean, variance, d=None):
    """A mixture of one Gaussian."""
    mean = np.atleast_1d(mean).astype(float) if d is None else np.full(d, float(mean))
    return Mixture(np.ones(1), (Gaussian(mean, variance * np.eye(len(mean))),))


def half_space(beta):
    """Margins (n, 1) of the first coordinate above beta."""
    return lambda z: beta - z[:, :1]


def found_of(mixtures, margins, d, most_fits, softness=1e-2, seed=0):
    s = np.full(len(mixtures), softness)
    rng = np.random.default_rng(seed)
    return refined(mixtures, margins, s, Defence.of(d), rng, most_fits)


def plain_cv2(q, fails, n=200_000, seed=1):
    """Variance over p^2 of phi/q at failures, by random points of q."""
    z = q.sample(n, np.random.default_rng(seed))
    T = np.exp(standard_normal_log_density(z) - q.log_density(z)) * fails(z)
    return T.var() / T.mean() ** 2, T.mean(), T.std() / np.sqrt(n)


@pytest.mark.parametrize("d", [1, 2, 30])
def test_the_law_is_standard_normal(d):
    z = np.random.default_rng(0).normal(size=(20, d))
    expected = norm.logpdf(z).sum(axis=1)
    np.testing.assert_allclose(standard_normal_log_density(z), expected, rtol=1e-12)
    np.testing.assert_allclose(Defence.of(d).law.log_density(z), expected, rtol=1e-12)


def test_the_density_integrates_to_one_on_the_line():
    q = Defence.of(1).around([one(4.0, 0.05), one(-3.0, 0.2)])
    edges = q.components[1].radii
    # The shells jump at their edges.
    cuts = np.unique(np.concatenate([-edges, [-3.0, 4.0], edges, [-12.0, 12.0]]))
    total = sum(
        quad(lambda x: np.exp(q.log_density(np.array([[x]]))[0]), a, b)[0]
        for a, b in zip(cuts[:-1], cuts[1:], strict=True)
    )
    assert total == pytest.approx(1.0, abs=1e-8)


def test_the_density_integrates_to_one_in_the_plane():
    q = Defence.of(2).around([one([3.0, 0.0], 0.1)])
    cell = 0.02
    axis = np.arange(-10.0, 10.0, cell) + cell / 2
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    total = np.exp(q.log_density(grid)).sum() * cell**2
    assert total == pytest.approx(1.0, abs=1e-3)


def test_shares_of_the_defence_and_of_what_was_found():
    defence = Defence.of(2)
    two = Mixture(
        np.array([0.25, 0.75]),
        (Gaussian(np.zeros(2), np.eye(2)), Gaussian(np.full(2, 4.0), np.eye(2))),
    )
    q = defence.around([two, one([-4.0, 0.0], 0.5)])
    assert q.components[0] is defence.law and q.components[1] is defence.shells
    np.testing.assert_array_equal(q.shares[:3], 1.0 / 16.0)
    assert q.shares.sum() == pytest.approx(1.0, abs=1e-12)
    # 13/16 are shared by two mixtures: 6.5 each, in sixteenths 1.625, 4.875 and 6.5.
    np.testing.assert_array_equal(q.shares[3:] * 16, [2, 5, 6])
    assert q.components[3:] == (*two.components, q.components[5])
    assert DEFENCE == 1.0 / 16.0


def test_more_components_than_sixteenths_keep_all_their_shares():
    mixtures = [one([float(k), 0.0], 0.5) for k in range(20)]
    q = Defence.of(2).around(mixtures)
    assert len(q.components) == 23
    np.testing.assert_allclose(q.shares, np.r_[[1 / 16] * 3, [13 / 16 / 20] * 20], rtol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 100])
def test_weights_are_at_most_sixteen(d):
    q = Defence.of(d).around([one(5.0 / np.sqrt(d), 0.05, d)])
    rng = np.random.default_rng(2)
    z = np.concatenate([q.sample(4000, rng), 3.0 * rng.normal(size=(1000, d))])
    W = np.exp(standard_normal_log_density(z) - q.log_density(z))
    assert W.max() <= 16.0 * (1.0 + 1e-12)
    assert W.max() > 8.0  # where only the law reaches


def test_the_wide_mixture_has_half_of_what_every_variance_lacks():
    """Variances above one stay, and so do means."""
    axes = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    C = (axes * [0.04, 0.5, 2.0]) @ axes.T
    mean = np.array([1.0, 2.0, 3.0])
    q = Defence.of(3).around([Mixture(np.ones(1), (Gaussian(mean, C),))])
    wide = q.components[2].components[0]
    expected = (axes * [0.52, 0.75, 2.0]) @ axes.T
    np.testing.assert_allclose(wide.covariance, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(wide.mean, mean)
    np.testing.assert_allclose(q.components[3].covariance, C)


def test_in_many_dimensions_an_equal_bulk_stays_and_the_spike_is_lifted():
    variances = np.r_[0.04, np.full(39, 0.9)]
    fitted = Mixture(np.ones(1), (Gaussian(np.zeros(40), np.diag(variances)),))
    wide = Defence.of(40).around([fitted]).components[2].components[0]
    expected = np.diag(np.r_[0.52, np.full(39, 0.9)])
    np.testing.assert_allclose(wide.covariance, expected, atol=1e-12)


def test_the_wide_mixture_holds_the_variance_where_the_narrow_one_alone_has_none():
    """A Gaussian as narrow as the failures beyond beta: without defence phi / M explodes."""
    beta = 5.0
    narrow = one([beta + 0.19, 0.0], 0.034)
    narrow = Mixture(np.ones(1), (Gaussian([5.19, 0.0], np.diag([0.034, 1.0])),))
    q = Defence.of(2).around([narrow])

    def second_moment(density):
        """E_phi[phi / density 1{x > beta}] along the first coordinate, up to 12."""

        def integrand(x):
            z = np.array([[x, 0.0]])
            log_ratio = 2.0 * standard_normal_log_density(z) - density.log_density(z)
            return np.exp(log_ratio[0]) * np.sqrt(2.0 * np.pi)

        return quad(integrand, beta, 12.0, limit=200)[0] / norm.sf(beta) ** 2

    assert second_moment(narrow) > 100.0
    assert second_moment(q) < 3.0


def test_refining_lowers_the_variance():
    """From a Gaussian that is far too wide, to about the best that one Gaussian can do."""
    crude = [one([2.0, 0.0], 4.0)]
    before = found_of(crude, half_space(4.0), 2, 0)
    after = found_of(crude, half_space(4.0), 2, 3)
    assert before.mixtures is crude
    assert after.variance < 0.3 * before.variance
    fitted = after.mixtures[0]
    ratio = norm.pdf(4.0) / norm.sf(4.0)
    mean = sum(a * part.mean for a, part in zip(fitted.shares, fitted.components, strict=True))
    np.testing.assert_allclose(mean, [ratio, 0.0], atol=0.15)


@pytest.mark.parametrize("seed", range(4))
def test_noise_of_weighted_points_makes_no_axis_too_narrow(seed):
    """50 dimensions: one axis kept too narrow by chance would bring the variance above 2."""
    start = one(np.r_[4.2, np.zeros(49)], 1.0)
    found = found_of([start], half_space(4.0), 50, 2, seed=seed)
    assert found.variance < 1.1
    cv2, p, error = plain_cv2(found.density, lambda z: z[:, 0] > 4.0, 20_000)
    assert cv2 < 1.3 and abs(p - norm.sf(4.0)) < 4.0 * error


@pytest.mark.parametrize("d", [2, 50])
def test_the_foretold_variance_is_the_true_one(d):
    start = one(np.r_[4.2, np.zeros(d - 1)], 1.0)
    found = found_of([start], half_space(4.0), d, 2, softness=1e-4)
    cv2, p, error = plain_cv2(found.density, lambda z: z[:, 0] > 4.0, 100_000)
    assert abs(p - norm.sf(4.0)) < 4.0 * error
    assert found.variance == pytest.approx(cv2, rel=0.15)


@pytest.mark.parametrize("opposite", [False, True])
def test_two_regions_in_a_hundred_dimensions_get_a_density_each(opposite):
    """One wide Gaussian for both has a variance above 14."""

    def h(z):
        return 4.0 - (np.abs(z[:, 0]) if opposite else np.maximum(z[:, 0], z[:, 1]))

    rng = np.random.default_rng(0)
    particles = tempered(h, 100, 1000, 1e-2, rng)
    start = [fit_spiked_mixture(particles.z, np.ones(1000), rng)]
    found = found_of(start, lambda z: h(z)[:, None], 100, 2)
    cv2, p, error = plain_cv2(found.density, lambda z: h(z) < 0.0, 20_000)
    # Both regions: 2 Phi(-4), and for two axes less their square.
    assert abs(p - 2.0 * norm.sf(4.0)) < 4.0 * error
    assert cv2 < 5.0 and found.variance < 5.0


def test_a_soft_event_is_foretold_as_a_soft_one():
    beta, s = 3.0, 0.8
    found = found_of([one([3.0, 0.0], 1.0)], half_space(beta), 2, 2, softness=s)
    cv2, p, error = plain_cv2(found.density, lambda z: norm.cdf((z[:, 0] - beta) / s), 100_000)
    assert abs(p - norm.sf(beta / np.sqrt(1.0 + s**2))) < 4.0 * error
    assert found.variance == pytest.approx(cv2, rel=0.1)


def test_a_worse_fit_is_not_taken(monkeypatch):
    far = one([-8.0, 0.0], 0.1)
    monkeypatch.setattr(failure_density, "fit_spiked_mixture", lambda z, weights, rng: far)
    start = [one([4.2, 0.0], 0.3)]
    assert found_of(start, half_space(4.0), 2, 3).mixtures is start


def test_more_fits_never_raise_the_variance():
    start = [one([4.2, 0.0], 0.3)]
    variances = [found_of(start, half_space(4.0), 2, n, seed=4).variance for n in range(4)]
    assert (np.diff(variances) <= 0.0).all()


def test_several_events_share_the_density():
    def margins(z):
        return np.stack([3.0 - z[:, 0], 3.5 + z[:, 1]], axis=1)

    start = [one([3.0, 0.0], 1.0), one([0.0, -3.0], 1.0)]
    found = found_of(start, margins, 2, 2, softness=1e-4)
    assert len(found.mixtures) == 2
    cv2 = [
        plain_cv2(found.density, fails)[0]
        for fails in (lambda z: z[:, 0] > 3.0, lambda z: z[:, 1] < -3.5)
    ]
    assert found.variance == pytest.approx(np.mean(cv2), rel=0.15)
    assert max(cv2) < 8.0


def test_an_event_that_no_cheap_point_meets_has_no_variance_and_no_fit():
    start = [one([0.0, 0.0], 1.0)]
    found = found_of(start, half_space(60.0), 2, 3)
    assert found.variance == np.inf and found.mixtures is start


def fake(z):
    return (3.0 - z[:, :1]) + 0.0


def test_weights_of_one_density_are_its_ratio():
    q = Gaussian(np.array([2.0, 0.0]), np.eye(2))
    z = q.sample(50, np.random.default_rng(5))
    runs = LearningRuns([Batch(z, fake(z), q, "q")])
    z_back, g, W = runs.weighted()
    np.testing.assert_array_equal(z_back, z)
    np.testing.assert_array_equal(g, fake(z))
    expected = np.exp(multivariate_normal.logpdf(z, np.zeros(2)) - q.log_density(z))
    np.testing.assert_allclose(W, expected, rtol=1e-12)


def two_stages(sizes=(100, 300), seed=6):
    law = Gaussian(np.zeros(2), np.eye(2))
    moved = Gaussian(np.array([3.0, 0.0]), 0.8 * np.eye(2))
    rng = np.random.default_rng(seed)
    batches = []
    for q, n in zip((law, moved), sizes, strict=True):
        z = q.sample(n, rng)
        batches.append(Batch(z, fake(z), q, "stage"))
    return LearningRuns(batches)


def test_the_balance_heuristic_by_hand():
    z, _, W = two_stages().weighted()
    one_, two = (
        multivariate_normal.pdf(z, mean, c * np.eye(2))
        for mean, c in (([0.0, 0.0], 1.0), ([3.0, 0.0], 0.8))
    )
    np.testing.assert_allclose(W, one_ / (0.25 * one_ + 0.75 * two), rtol=1e-10)
    assert W.max() <= 4.0


def test_weights_average_to_one_and_to_the_probability():
    ones, p = [], []
    for seed in range(100):
        _, g, W = two_stages(seed=seed).weighted()
        ones.append(W.mean())
        p.append((W * (g[:, 0] < 0.0)).mean())
    for values, expected in ((ones, 1.0), (p, norm.sf(3.0))):
        error = np.std(values, ddof=1) / 10.0
        assert abs(np.mean(values) - expected) < 4.0 * error
        assert error < 0.02 * expected


def test_picked_runs_teach_but_do_not_weigh():
    runs = two_stages()
    before = runs.weighted()
    picked = np.array([[3.0, 0.0], [3.0, 1.0]])
    runs.batches.insert(1, Batch(picked, fake(picked), None, "picked"))
    for one_, other in zip(before, runs.weighted(), strict=True):
        np.testing.assert_array_equal(one_, other)
    assert runs.n == 402
    assert runs.z.shape == (402, 2) and runs.g.shape == (402, 1)
    np.testing.assert_array_equal(runs.z[100:102], picked)
    assert len(runs.usable()[0]) == 402


def test_failed_runs_are_left_out_but_count_as_drawn():
    runs = two_stages()
    _, _, W = runs.weighted()
    runs.batches[0].g[7] = np.nan
    z, g, left = runs.weighted()
    np.testing.assert_array_equal(left, np.delete(W, 7))
    assert len(z) == len(g) == 399 and np.isfinite(g).all()
    assert len(runs.usable()[0]) == 399 and runs.n == 400


def test_a_stage_without_runs_changes_nothing():
    runs = two_stages()
    before = runs.weighted()
    nothing = Batch(np.empty((0, 2)), np.empty((0, 1)), Gaussian(np.zeros(2), np.eye(2)), "none")
    runs.batches.append(nothing)
    for one_, other in zip(before, runs.weighted(), strict=True):
        np.testing.assert_array_equal(one_, other)
