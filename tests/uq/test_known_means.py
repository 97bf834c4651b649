"""Means of cheap models: exact moments in each branch, and stated variances that are true."""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

import uq
from uq import known_means
from uq.coordinates import Coordinates
from uq.known_means import KnownMeans, function_means, polynomial_means
from uq.polynomials import index_set

LINE = np.arange(5)[:, None]  # degrees 0..4 in one column


def means_of(laws, indices, seed=0):
    coordinates = Coordinates.of(laws, np.random.default_rng(seed))
    return coordinates, polynomial_means(coordinates, laws, indices, np.random.default_rng(seed))


def hermite(z, k):
    """he_k by SciPy's, of length one."""
    return special.eval_hermitenorm(k, z) / math.sqrt(math.factorial(k))


def legendre(u, k):
    return math.sqrt(2 * k + 1) * special.eval_legendre(k, 2 * u - 1)


def exponential(rate=1.0):
    def log_density(x):
        with np.errstate(divide="ignore"):
            return np.log(rate * (x > 0.0).all(axis=1)) - rate * x[:, 0]

    return uq.JointLaw(lambda n, rng: rng.exponential(1.0 / rate, (n, 1)), log_density, 1)


def test_one_law_has_orthonormal_polynomials():
    law = uq.Inputs([stats.gamma(2.0), stats.uniform()], np.array([[1.0, 0.5], [0.5, 1.0]]))
    _, known = means_of([law], index_set(2, 10))
    np.testing.assert_array_equal(known.means, np.eye(10)[:1])
    np.testing.assert_array_equal(known.variance(np.ones((10, 3))), np.zeros(3))


def test_normal_laws_by_a_two_dimensional_quadrature():
    """Normal and lognormal columns, correlated: z is normal under each of the laws."""
    laws = [
        uq.Inputs([stats.norm(m, s), stats.lognorm(t, scale=2.0)], np.array([[1, r], [r, 1]]))
        for m, s, t, r in [(0.0, 1.0, 0.3, 0.0), (0.5, 1.5, 0.2, -0.7), (-1.0, 0.7, 0.4, 0.4)]
    ]
    indices = index_set(2, 25)
    coordinates, known = means_of(laws, indices)
    nodes, w = np.polynomial.hermite_e.hermegauss(40)
    y = np.stack([g.ravel() for g in np.meshgrid(nodes, nodes)], axis=1)
    mass = np.outer(w, w).ravel() / w.sum() ** 2
    for k, law in enumerate(laws):
        mean, C = coordinates.gaussian_in_z(law)
        z = mean + y @ np.linalg.cholesky(C).T
        expected = [mass @ (hermite(z[:, 0], a) * hermite(z[:, 1], b)) for a, b in indices]
        np.testing.assert_allclose(known.means[k], expected, rtol=1e-9, atol=1e-10)
    assert known.replicates == [None] * 3


def test_second_moments_of_normal_laws_by_hand():
    laws = [uq.Inputs([stats.norm(m, s)]) for m, s in [(0.0, 1.0), (1.0, 2.0)]]
    coordinates, known = means_of(laws, LINE[:3])
    for k, (m, s) in enumerate([(0.0, 1.0), (1.0, 2.0)]):
        m, s = (m - coordinates.centre[0]) / coordinates.scale[0], s / coordinates.scale[0]
        expected = [1.0, m, (m**2 + s**2 - 1.0) / math.sqrt(2.0)]
        np.testing.assert_allclose(known.means[k], expected, atol=1e-12)


@pytest.mark.parametrize("pair", [((2, 3), (1.5, 4)), ((1, 1), (30, 30)), ((0.5, 0.5), (2, 2))])
def test_bounded_columns_up_to_degree_40(pair):
    """u = Phi((Phi^-1(x) - c) / s), by Gauss-Legendre quadrature in y on 400 pieces."""
    laws = [uq.Inputs([stats.beta(*shape)]) for shape in pair]
    coordinates, known = means_of(laws, np.arange(41)[:, None])
    nodes, w = np.polynomial.legendre.leggauss(10)
    ends = np.linspace(-9.0, 9.0, 401)
    y = (ends[:-1, None] + 0.0225 * (1.0 + nodes)).ravel()
    mass = np.tile(0.0225 * w, 400) * stats.norm.pdf(y)
    for k, shape in enumerate(pair):
        upper = stats.beta(*shape).isf(stats.norm.sf(np.abs(y)))
        x = np.where(y > 0, upper, stats.beta(*shape).ppf(stats.norm.cdf(y)))
        x = np.clip(x, 1e-300, 1.0 - 2.0**-53)
        u = stats.norm.cdf((stats.norm.ppf(x) - coordinates.centre[0]) / coordinates.scale[0])
        expected = [mass @ legendre(u, degree) for degree in range(41)]
        np.testing.assert_allclose(known.means[k], expected, atol=1e-9)
    assert known.replicates == [None] * 2


def test_a_uniform_column_beside_one_that_is_not():
    """Of the uniform column every polynomial but the constant has the mean 0."""
    laws = [uq.Inputs([stats.uniform(-1, 2), stats.beta(2, b)]) for b in (2, 3)]
    indices = index_set(2, 150)
    _, known = means_of(laws, indices)
    assert indices[:, 0].max() > 12
    assert np.abs(known.means[:, indices[:, 0] > 0]).max() < 1e-12
    assert np.abs(known.means[:, indices[:, 0] == 0]).min() > 1e-12


def test_independent_unbounded_columns_that_are_not_normal():
    """z is a score under one gamma law, by quadrature under the other."""
    laws = [uq.Inputs([stats.gamma(k), stats.norm()]) for k in (2.0, 3.0)]
    coordinates, known = means_of(laws, np.array([[0, 0], [1, 0], [2, 0], [0, 1], [0, 2], [1, 1]]))

    def z(x):
        return coordinates.to_z(np.array([[x, 0.0]]))[0, 0]

    for row, k in enumerate((2.0, 3.0)):
        law = stats.gamma(k)
        mean, square = (
            integrate.quad(
                lambda x, p=p, law=law: z(x) ** p * law.pdf(x), 0, 60, points=[1, 3], limit=200
            )[0]
            for p in (1, 2)
        )
        expected = [1, mean, (square - 1.0) / math.sqrt(2.0), 0, 0, 0]
        np.testing.assert_allclose(known.means[row], expected, atol=1e-6)


def test_each_law_takes_its_own_way():
    """A normal one, one of independent columns and one with a copula, in any order."""
    normal = uq.Inputs([stats.norm(0.2, 1.1), stats.norm(0.0, 0.9)], np.array([[1, 0.5], [0.5, 1]]))
    logistic = uq.Inputs([stats.logistic(0.0, 0.5), stats.norm()])
    copula = uq.Inputs([stats.logistic(0.3, 0.5), stats.norm()], np.array([[1, 0.5], [0.5, 1]]))
    indices = index_set(2, 6)
    for laws in ([normal, logistic, copula, normal], [copula, normal, normal, logistic]):
        coordinates, known = means_of(laws, indices)
        for k, law in enumerate(laws):
            cheap = not law.is_independent and coordinates.gaussian_in_z(law) is None
            assert (known.replicates[k] is None) != cheap
            z = coordinates.to_z(law.sample(200_000, np.random.default_rng(9)))
            for column, (a, b) in enumerate(indices):
                values = hermite(z[:, 0], a) * hermite(z[:, 1], b)
                error = 4 * values.std() / math.sqrt(len(z))
                assert abs(known.means[k, column] - values.mean()) <= error + 1e-12


def test_a_copula_with_uniform_margins():
    """E[p_1(u) p_1(v)] is Spearman's correlation, 6 / pi asin(rho / 2)."""
    rho = np.array([0.3, -0.8])
    laws = [
        uq.Inputs([stats.uniform(0, 1), stats.uniform(2, 3)], np.array([[1, r], [r, 1]]))
        for r in rho
    ]
    indices = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [1, 1]])
    coordinates = Coordinates.of(laws, 0)
    # A normal copula with uniform margins is normal in z, but its polynomials are of Phi(z).
    assert coordinates.gaussian_in_z(laws[0]) is not None
    _, known = means_of(laws, indices)
    for k in range(2):
        error = 5 * np.sqrt([known.variance(c[:, None])[k] for c in np.eye(5)]) + 1e-9
        exact = [1.0, 0.0, 0.0, 0.0, 6 / math.pi * math.asin(rho[k] / 2)]
        assert (np.abs(known.means[k] - exact) < error).all()
        assert 0.0 < error[4] < 1e-3
        assert known.replicates[k].shape == (16, 5)


def test_a_law_of_ones_own():
    laws = [exponential(1.0), exponential(0.5)]
    coordinates, known = means_of(laws, LINE[:3])
    for k, rate in enumerate((1.0, 0.5)):
        c, s = coordinates.centre[0], coordinates.scale[0]
        mean, sd = (1 / rate - c) / s, 1 / rate / s
        exact = [1.0, mean, (mean**2 + sd**2 - 1) / math.sqrt(2)]
        error = 5 * np.sqrt([known.variance(one[:, None])[k] for one in np.eye(3)]) + 1e-12
        assert (np.abs(known.means[k] - exact) < error).all()
        assert 0.0 < error[2] < 0.1
        np.testing.assert_allclose(known.means[k], known.replicates[k].mean(axis=0))


def test_replicates_are_independent_sets():
    """Nets of one law, draws of another: no two replicates are alike, none depends on another."""
    copula = uq.Inputs([stats.uniform(), stats.uniform()], np.array([[1, 0.5], [0.5, 1]]))
    other = uq.Inputs([stats.uniform(), stats.uniform()])
    _, known = means_of([copula, other], index_set(2, 5))
    assert known.replicates[1] is None
    assert len(np.unique(known.replicates[0][:, 1])) == 16


@pytest.mark.parametrize("kind", ["own sampler", "nets"])
def test_the_stated_variance_is_true(kind, monkeypatch):
    """Mean of the stated variances against the squared errors of 120 seeds, 4 standard errors."""
    monkeypatch.setattr(known_means, "_ALL_LAWS", 0)  # the least number of points, 2^13 a law
    if kind == "own sampler":
        laws, indices = [exponential(1.0), exponential(0.8)], LINE[:3]
        coordinates = Coordinates.of(laws, 0)
        m, s = (1.25 - coordinates.centre[0]) / coordinates.scale[0], 1.25 / coordinates.scale[0]
        exact = np.array([1.0, m, (m**2 + s**2 - 1) / math.sqrt(2)])
    else:
        laws = [
            uq.Inputs([stats.uniform(), stats.uniform()], np.array([[1, r], [r, 1]]))
            for r in (0.3, 0.7)
        ]
        indices = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [2, 0]])
        coordinates = Coordinates.of(laws, 0)
        exact = np.array([1.0, 0.0, 0.0, 6 / math.pi * math.asin(0.35), 0.0])
    c = np.array([[2.0], [1.0], [-1.5], [3.0], [0.5]])[: len(indices)]
    seeds = 120
    errors, stated = np.empty(seeds), np.empty(seeds)
    for seed in range(seeds):
        known = polynomial_means(coordinates, laws, indices, np.random.default_rng(seed))
        errors[seed] = known.means[1] @ c[:, 0] - exact @ c[:, 0]
        stated[seed] = known.variance(c)[1]
    assert abs(errors.mean()) < 4 * errors.std() / math.sqrt(seeds)
    each = np.square(errors) - stated
    assert abs(each.mean()) < 4 * each.std() / math.sqrt(seeds)
    assert stated.mean() == pytest.approx(np.square(errors).mean(), rel=4 * math.sqrt(2 / seeds))


def test_variances_of_combinations_by_hand():
    rng = np.random.default_rng(0)
    each = rng.standard_normal((16, 4)) @ rng.standard_normal((4, 4))
    one_law = KnownMeans(each.mean(axis=0)[None], [each])
    c = rng.standard_normal((4, 3))
    np.testing.assert_allclose(one_law.variance(c), np.diag(c.T @ np.cov(each.T) @ c) / 16)
    # A smaller surrogate takes the first terms.
    cut = np.diag(c[:2].T @ np.cov(each[:, :2].T) @ c[:2]) / 16
    np.testing.assert_allclose(one_law.variance(c[:2]), cut)
    # Of three laws the second is exact; one function, then one each.
    laws = KnownMeans(np.zeros((3, 4)), [each, None, 2.0 * each])
    v = np.diag(c.T @ np.cov(each.T) @ c) / 16
    np.testing.assert_allclose(laws.variance(c), [v[0], 0.0, 4.0 * v[2]])
    np.testing.assert_allclose(laws.variance(c[:, :1]), [v[0], 0.0, 4.0 * v[0]])


@pytest.mark.parametrize("n_laws", [1, 3])
def test_means_of_functions(n_laws):
    """E[exp(X)] and E[sin(X)] under normal laws and laws of ones own."""
    rates = [2.0, 3.0, 4.0][:n_laws]
    normals = [uq.Inputs([stats.norm(m, 0.5)]) for m in (0.1, -0.4, 0.7)[:n_laws]]

    def h(x):
        return np.concatenate([np.exp(0.5 * x), np.sin(x)], axis=1)

    for laws, exact in (
        (
            normals,
            [[math.exp(0.5 * m + 0.03125), math.sin(m) * math.exp(-0.125)]
             for m in (0.1, -0.4, 0.7)],
        ),
        ([exponential(k) for k in rates], [[k / (k - 0.5), k / (k * k + 1)] for k in rates]),
    ):  # fmt: skip
        means, variances = function_means(h, laws, np.random.default_rng(0))
        assert means.shape == variances.shape == (n_laws, 2)
        assert (np.abs(means - exact[:n_laws]) < 5 * np.sqrt(variances)).all()
        assert (np.sqrt(variances) < 0.01).all()


def test_stated_variance_of_function_means_is_true(monkeypatch):
    monkeypatch.setattr(known_means, "_ONE_LAW", 2**10)
    seeds = 250
    for law, exact in ((exponential(), 0.5), (uq.Inputs([stats.expon()] * 3), 0.5)):
        found = [
            function_means(lambda x: np.sin(x[:, :1]), [law], np.random.default_rng(seed))
            for seed in range(seeds)
        ]
        means, stated = (np.array(part)[:, 0, 0] for part in zip(*found, strict=True))
        errors = means - exact
        assert abs(errors.mean()) < 4 * errors.std() / math.sqrt(seeds)
        ratio = stated.mean() / np.square(errors).mean()
        assert ratio == pytest.approx(1.0, abs=4 * math.sqrt(2 / seeds))


def test_nets_know_a_smooth_mean_far_better_than_draws():
    law = uq.Inputs([stats.norm(), stats.norm()])
    _, variance = function_means(
        lambda x: np.exp(0.3 * x).sum(axis=1)[:, None], [law], np.random.default_rng(0)
    )
    assert variance[0, 0] < 1e-4 * 0.2 / 2**17  # Var is about 0.2 a point


@pytest.mark.parametrize(("n_laws", "points"), [(1, 2**17), (2, 2**19), (100, 2**13), (300, 2**13)])
def test_cheap_points_are_shared_among_laws(n_laws, points):
    seen = []

    def h(x):
        seen.append(len(x))
        return x

    function_means(h, [exponential()] * n_laws, np.random.default_rng(0))
    assert len(seen) == 16 * n_laws
    assert set(seen) == {points // 16}
