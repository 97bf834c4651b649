"""Densities of proposals: SciPy's, their integrals, and points that come from uniform numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest, multivariate_normal, multivariate_t, qmc

from uq.proposals import Gaussian, Mixture, StudentT, log_densities, log_sum_exp


def covariance(d, seed=0):
    root = np.random.default_rng(seed).normal(size=(d, d))
    return root @ root.T + 0.1 * np.eye(d)


def gaussians(K, d, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    return [Gaussian(spread * rng.normal(size=d), covariance(d, seed + k)) for k in range(K)]


@pytest.mark.parametrize("d", [1, 2, 5])
def test_densities_are_those_of_scipy(d):
    z = np.random.default_rng(1).normal(size=(50, d)) * 4.0
    mean, C = np.arange(d) / 2.0, covariance(d)
    ours = Gaussian(mean, C).log_density(z)
    np.testing.assert_allclose(ours, multivariate_normal(mean, C).logpdf(z), rtol=1e-10)
    for df in (0.7, 3.0, 40.0):
        ours = StudentT(mean, C, df).log_density(z)
        np.testing.assert_allclose(ours, multivariate_t(mean, C, df=df).logpdf(z), rtol=1e-10)


def test_mixture_in_one_dimension_integrates_to_one():
    parts = (Gaussian([0.0], [[1.0]]), StudentT([3.0], [[0.25]], 2.5), Gaussian([-5.0], [[4.0]]))
    mixture = Mixture([0.2, 0.5, 0.3], parts)

    def density(x):
        return float(np.exp(mixture.log_density(np.array([[x]])))[0])

    total = sum(quad(density, low, low + 10.0)[0] for low in range(-1000, 1000, 10))
    assert total == pytest.approx(1.0, abs=1e-6)


def test_many_gaussians_are_evaluated_as_one_by_one_also_far_from_zero():
    parts = [*gaussians(7, 3), StudentT(np.zeros(3), np.eye(3), 4.0)]
    z = np.random.default_rng(0).normal(size=(5000, 3))
    one_by_one = np.stack([part.log_density(z) for part in parts], axis=1)
    np.testing.assert_allclose(log_densities(parts, z), one_by_one, rtol=1e-11)
    far = [Gaussian(part.mean + 1e7, part.covariance) for part in parts[:7]]
    np.testing.assert_allclose(log_densities(far, z + 1e7), one_by_one[:, :7], rtol=1e-5)


def test_logarithms_hold_where_densities_underflow():
    mixture = Mixture([0.5, 0.5], (Gaussian([0.0], [[1.0]]), Gaussian([1.0], [[1.0]])))
    x = 1000.0
    nearer = -0.5 * (x - 1.0) ** 2 - 0.5 * np.log(2 * np.pi) + np.log(0.5)
    assert mixture.log_density(np.array([[x]]))[0] == pytest.approx(nearer, rel=1e-14)
    assert log_sum_exp(np.full((1, 3), -np.inf))[0] == -np.inf


def test_a_component_without_a_share_is_neither_drawn_nor_counted():
    far = Gaussian([1e3], [[1e-4]])
    mixture = Mixture([0.0, 1.0, 0.0], (far, Gaussian([0.0], [[1.0]]), far))
    z = mixture.transform(np.random.default_rng(0).random((1000, 2)))
    assert np.abs(z).max() < 10.0
    assert mixture.log_density(np.array([[1e3]]))[0] < -1e5


@pytest.mark.parametrize(
    "density",
    [
        Gaussian([1.0], [[4.0]]),
        StudentT([1.0], [[4.0]], 3.0),
        Mixture([0.3, 0.7], (Gaussian([-3.0], [[1.0]]), StudentT([2.0], [[0.5]], 4.0))),
    ],
)
def test_points_follow_the_density(density):
    z = density.sample(4000, np.random.default_rng(0))[:, 0]
    grid = np.linspace(-400.0, 400.0, 400_001)
    cdf = np.cumsum(np.exp(density.log_density(grid[:, None]))) * (grid[1] - grid[0])
    assert kstest(z, lambda x: np.interp(x, grid, cdf)).pvalue > 1e-4


def test_a_net_gives_every_component_its_share_of_the_points():
    parts = [Gaussian([k * 100.0, 0.0], np.eye(2)) for k in range(3)]
    mixture = Mixture([0.25, 0.5, 0.25], parts)
    z = mixture.transform(qmc.Sobol(mixture.n_uniforms, rng=0).random(256))
    assert np.bincount(np.rint(z[:, 0] / 100.0).astype(int)).tolist() == [64, 128, 64]
    plain = mixture.transform(qmc.Sobol(mixture.n_uniforms, scramble=False).random(256))
    assert np.bincount(np.rint(plain[:, 0] / 100.0).astype(int)).tolist() == [64, 128, 64]
    # A net also integrates: the mean of a smooth function is far better than by chance.
    assert abs(z[:, 1].mean()) < 0.2 * z[:, 1].std() / np.sqrt(256)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_uniforms_on_the_edge_give_finite_points(first, second):
    mixture = Mixture([0.5, 0.5], (Gaussian([0.0], [[1.0]]), StudentT([0.0], [[1.0]], 1.5)))
    z = mixture.transform(np.array([[first, second, second]]))
    assert np.isfinite(z).all() and np.isfinite(mixture.log_density(z)).all()


def test_arrays_are_copied_and_cannot_be_changed():
    mean = np.zeros(2)
    density = Gaussian(mean, np.eye(2))
    mean[0] = 5.0
    assert density.mean[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        density.mean[0] = 1.0


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Gaussian([0.0, 0.0], [[1.0]]), "shapes"),
        (lambda: Gaussian([0.0], [[-1.0]]), "positive definite"),
        (lambda: Gaussian([np.nan], [[1.0]]), "finite"),
        (lambda: StudentT([0.0], [[1.0]], 0.0), "df"),
        (lambda: Mixture([0.5, 0.6], (Gaussian([0.0], [[1.0]]),) * 2), "sum to one"),
        (lambda: Mixture([1.0], (Gaussian([0.0], [[1.0]]),) * 2), "one share per component"),
        (lambda: Mixture([0.5, 0.5], (Gaussian([0], [[1]]), Gaussian([0, 0], np.eye(2)))), "same"),
    ],
)
def test_what_is_no_density_is_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()
