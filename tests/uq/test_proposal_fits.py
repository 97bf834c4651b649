"""Fits to weighted samples: closed forms, recovery, and what an affine change does to them."""

import numpy as np
import pytest

from uq.proposals import (
    Gaussian,
    Mixture,
    StudentT,
    TooFewWeighted,
    fit_gaussian,
    fit_gaussian_mixture,
    fit_gaussians,
    fit_student_t,
    weighted_moments,
)

A = np.array([[2.0, 0.3, 0.0], [1e-3, 4e-3, 0.0], [50.0, 0.0, 700.0]])  # units far apart
B = np.array([1e3, -2.0, 0.5])


def points(n=400, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)), rng.exponential(size=n)


def test_moments_are_those_of_numpy():
    z, w = points()
    means, covariances = weighted_moments(z, np.stack([w, np.ones_like(w)], axis=1))
    np.testing.assert_allclose(means, [np.average(z, axis=0, weights=w), z.mean(axis=0)])
    np.testing.assert_allclose(covariances[0], np.cov(z.T, aweights=w, ddof=0), rtol=1e-12)
    np.testing.assert_allclose(covariances[1], np.cov(z.T, ddof=0), rtol=1e-12)


def test_repeated_points_are_weights():
    z, _ = points(n=50)
    counts = np.random.default_rng(1).integers(0, 4, size=50)
    weighted = fit_gaussian(z, counts.astype(float), "full")
    repeated = fit_gaussian(np.repeat(z, counts, axis=0), np.ones(counts.sum()), "full")
    np.testing.assert_allclose(weighted.mean, repeated.mean, rtol=1e-12)
    np.testing.assert_allclose(weighted.covariance, repeated.covariance, rtol=1e-12)


def test_the_fit_is_the_most_likely_gaussian():
    z, w = points()
    best = fit_gaussian(z, w, "full")
    likelihood = w @ best.log_density(z)
    rng = np.random.default_rng(2)
    for _ in range(20):
        shift = 0.05 * rng.normal(size=3)
        root = np.eye(3) + 0.05 * rng.normal(size=(3, 3))
        other = Gaussian(best.mean + shift, root @ best.covariance @ root.T)
        assert w @ other.log_density(z) < likelihood


@pytest.mark.parametrize("covariance", ["full", "auto"])
def test_columns_of_weights_are_fitted_as_one_by_one_whatever_their_scale(covariance):
    z, w = points()
    columns = np.stack([w, w**3, np.abs(z[:, 0])], axis=1)
    together = fit_gaussians(z, columns * [1.0, 1e-200, 1e200], covariance)
    for fit, column in zip(together, columns.T, strict=True):
        alone = fit_gaussian(z, column, covariance)
        np.testing.assert_allclose(fit.covariance, alone.covariance, rtol=1e-10)


def fits(z, w):
    rng = np.random.default_rng(5)
    yield fit_gaussian(z, w, "full")
    yield fit_student_t(z, w, covariance="full")
    yield fit_gaussian_mixture(z, w, 2, rng=rng, covariance="full")
    yield fit_gaussian_mixture(z, w, rng=np.random.default_rng(6), covariance="full")


def test_fits_follow_an_affine_change():
    z, w = points()
    z[:150] += 6.0
    log_jacobian = np.linalg.slogdet(A)[1]
    for before, after in zip(fits(z, w), fits(z @ A.T + B, w), strict=True):
        moved = after.log_density(z @ A.T + B) + log_jacobian
        np.testing.assert_allclose(moved, before.log_density(z), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("covariance", ["auto", "diagonal"])
def test_fits_follow_a_change_of_units(covariance):
    z, w = points()
    units = np.array([1e-6, 1.0, 1e5])
    before, after = fit_gaussian(z, w, covariance), fit_gaussian(z * units, w, covariance)
    np.testing.assert_allclose(after.covariance, before.covariance * np.outer(units, units))


def test_auto_keeps_the_correlation_that_many_points_show_and_drops_what_few_do_not():
    rng = np.random.default_rng(0)
    C = np.array([[1.0, 0.9], [0.9, 1.0]])
    many = rng.multivariate_normal(np.zeros(2), C, size=2000)
    assert fit_gaussian(many, np.ones(2000)).covariance[0, 1] > 0.85
    few = rng.normal(size=(40, 12))
    fit = fit_gaussian(few, np.ones(40))
    full = fit_gaussian(few, np.ones(40), "full")
    fresh = rng.normal(size=(5000, 12))
    assert fit.log_density(fresh).mean() > full.log_density(fresh).mean() + 0.5
    assert np.abs(np.triu(fit.covariance, 1)).max() < np.abs(np.triu(full.covariance, 1)).max()


@pytest.mark.parametrize("seed", range(6))
def test_auto_takes_the_shrinkage_that_points_held_out_like_best(seed):
    """Every fold and every shrinkage one by one, by the densities themselves."""
    z, w = points(n=int(8 + 6 * seed), d=4, seed=seed)
    fold_of = np.random.default_rng(0).permutation(len(z)) % 4
    full = fit_gaussian(z, w, "full").covariance
    candidates, scores = [], []
    for s in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0):
        candidates.append((1 - s) * full + s * np.diag(np.diag(full)))
        scores.append(0.0)
        for f in range(4):
            rest, held = fold_of != f, fold_of == f
            mean = np.average(z[rest], axis=0, weights=w[rest])
            C = np.cov(z[rest].T, aweights=w[rest], ddof=0)
            C = (1 - s) * C + s * np.diag(np.diag(C)) + 1e-9 * np.diag(np.diag(C))
            scores[-1] += w[held] @ Gaussian(mean, C).log_density(z[held])
    expected = candidates[int(np.argmax(scores))]
    np.testing.assert_allclose(fit_gaussian(z, w).covariance, expected, rtol=1e-6)


def test_few_effective_points_make_a_diagonal_fit_and_a_single_one_is_refused():
    z = np.random.default_rng(0).normal(size=(100, 6))
    four = np.where(np.arange(100) < 4, 1.0, 0.0)
    fit = fit_gaussian(z, four, "full")
    assert np.count_nonzero(fit.covariance) == 6
    one = np.where(np.arange(100) < 1, 1.0, 0.0)
    with pytest.raises(TooFewWeighted, match="effective") as caught:
        fit_gaussians(z, np.stack([four, one, 0.0 * one], axis=1))
    assert caught.value.columns.tolist() == [1, 2]
    assert caught.value.effective[0] == pytest.approx(4.0)


def test_a_coordinate_that_never_varies_is_fitted_without_a_warning():
    z, w = points()
    z[:, 1] = 7.0
    for covariance in ("full", "diagonal", "auto"):
        assert np.isfinite(fit_gaussian(z, w, covariance).log_density(z)).all()


def test_an_absolute_ridge_is_added_to_the_diagonal():
    z, w = points()
    (fit,) = fit_gaussians(z, w[:, None], "full", ridge=0.0, absolute_ridge=1e-6)
    expected = np.cov(z.T, aweights=w, ddof=0) + 1e-6 * np.eye(3)
    np.testing.assert_allclose(fit.covariance, expected, rtol=1e-12)


def test_student_t_is_recovered_from_weighted_points():
    """Points of a wide Gaussian, weighted to a t: as many as the closest Gaussian cannot be."""
    truth = StudentT(np.array([1.0, -1.0]), np.array([[1.0, 0.5], [0.5, 2.0]]), 4.0)
    drawn_from = StudentT(np.zeros(2), 3.0 * np.eye(2), 2.0)
    z = drawn_from.sample(40_000, np.random.default_rng(0))
    w = np.exp(truth.log_density(z) - drawn_from.log_density(z))
    fit = fit_student_t(z, w, covariance="full")
    assert fit.df == 4.0
    np.testing.assert_allclose(fit.mean, truth.mean, atol=0.05)
    np.testing.assert_allclose(fit.scale, truth.scale, atol=0.1)


def test_mixture_is_recovered_from_weighted_points():
    truth = Mixture(
        [0.3, 0.7],
        (Gaussian([-4.0, 0.0], np.eye(2)), Gaussian([3.0, 1.0], [[1.0, 0.8], [0.8, 1.0]])),
    )
    drawn_from = Gaussian(np.zeros(2), 16.0 * np.eye(2))
    z = drawn_from.sample(8000, np.random.default_rng(0))
    w = np.exp(truth.log_density(z) - drawn_from.log_density(z))
    fit = fit_gaussian_mixture(z, w, rng=np.random.default_rng(1))
    fresh = truth.sample(4000, np.random.default_rng(2))
    divergence = (truth.log_density(fresh) - fit.log_density(fresh)).mean()
    assert 0.0 < divergence < 0.02
    assert len(fit.components) in (2, 3)


def test_one_gaussian_takes_one_component():
    z = np.random.default_rng(0).normal(size=(3000, 2))
    fit = fit_gaussian_mixture(z, np.ones(3000), rng=np.random.default_rng(1))
    assert len(fit.components) == 1


def test_components_without_points_are_dropped():
    z = np.repeat(np.array([[0.0, 0.0], [5.0, 5.0]]), 20, axis=0)
    z = z + 1e-3 * np.random.default_rng(0).normal(size=z.shape)
    fit = fit_gaussian_mixture(z[:6], np.ones(6), 5, rng=np.random.default_rng(0))
    assert 1 <= len(fit.components) <= 3
    assert np.isfinite(fit.log_density(z)).all()
