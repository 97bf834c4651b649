"""Start densities: which one is taken, that it covers all laws, laws as densities in z."""

import math

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import ndtri

import uq
from uq.coordinates import Coordinates
from uq.proposals import Gaussian, Mixture
from uq.start import EqualMixture, LawDensity, start_density

SCALES = (1.0, 1.25, 1.6, 2.0, 2.5)


def normals(*pairs):
    return [uq.Inputs([stats.norm(mean, sd)]) for mean, sd in pairs]


def exponential(rate=1.0):
    def log_density(x):
        with np.errstate(divide="ignore"):
            return np.log(rate * (x[:, 0] > 0.0)) - rate * x[:, 0]

    return uq.JointLaw(lambda n, rng: rng.exponential(1.0 / rate, (n, 1)), log_density, 1)


def student(df, shift):
    law = stats.t(df, loc=shift)
    return uq.JointLaw(
        lambda n, rng: rng.standard_t(df, (n, 1)) + shift, lambda x: law.logpdf(x[:, 0]), 1
    )


def started(laws, seed=0):
    coordinates = Coordinates.of(laws, np.random.default_rng(seed))
    return coordinates, *start_density(laws, coordinates, np.random.default_rng(seed))


def ratios(laws, coordinates, density, n, seed=1):
    """(n, L) likelihood ratios at independent draws of the density."""
    z = density.sample(n, np.random.default_rng(seed))
    log_f = coordinates.log_densities(laws, z, coordinates.to_x(z))
    return np.exp(log_f - density.log_density(z)[:, None])


def test_one_law_of_inputs_is_standard_normal():
    law = uq.Inputs({"a": stats.gamma(2.0), "b": stats.uniform()}, {("a", "b"): 0.5})
    _, density, moments = started([law])
    assert isinstance(density, Gaussian) and moments is None
    np.testing.assert_array_equal(density.mean, np.zeros(2))
    np.testing.assert_array_equal(density.covariance, np.eye(2))


def test_one_law_of_ones_own_is_drawn_by_its_sampler():
    law = exponential()
    coordinates, density, moments = started([law])
    assert isinstance(density, LawDensity) and not density.is_driven and moments is None
    W = ratios([law], coordinates, density, 1000)
    np.testing.assert_allclose(W, 1.0, rtol=1e-12)


def cases():
    a = uq.Inputs({"w": stats.norm(1, 0.1), "F": stats.lognorm(0.3)}, {("w", "F"): -0.4})
    b = uq.Inputs({"w": stats.norm(1.1, 0.12), "F": stats.lognorm(0.25, scale=1.2)})
    yield "normal", normals((0.0, 1.0), (0.5, 1.0), (0.0, 1.3))
    yield "beam kind", [a, b]
    yield "bounded", [uq.Inputs([stats.beta(2, 3), stats.gamma(k)]) for k in (3.0, 3.5)]
    yield "far apart", normals((-12.0, 1.0), (0.0, 2.0), (30.0, 1.0))
    yield "joint", [exponential(1.0), exponential(0.8)]
    yield "joint and inputs", [exponential(1.0), *normals((1.0, 1.0))]
    yield "heavy tails", [student(3.0, 0.0), student(3.0, 1.0)]


@pytest.mark.parametrize(("laws"), [pytest.param(laws, id=name) for name, laws in cases()])
def test_every_law_is_covered(laws):
    """E_g[f_l / g] = 1 at 4 standard errors, and E_g[(f_l / g)^2] is no cause for alarm."""
    coordinates, density, (means, covariances) = started(laws)
    W = ratios(laws, coordinates, density, 100_000)
    error = W.std(axis=0) / math.sqrt(len(W))
    assert (np.abs(W.mean(axis=0) - 1.0) < 4 * error + 1e-12).all()
    assert (np.square(W).mean(axis=0) < 2.0 * len(laws)).all()
    # The moments that are said are those of the laws.
    for law, mean, covariance in zip(laws, means, covariances, strict=True):
        z = coordinates.to_z(law.sample(100_000, np.random.default_rng(2)))
        sd = np.sqrt(np.diag(covariance))
        assert (np.abs(z.mean(axis=0) - mean) < 6 * sd / math.sqrt(4096)).all()
        shape = np.cov(z.T).reshape(covariance.shape) / np.outer(sd, sd)
        # The heaviest of these laws has no fourth moment.
        assert np.abs(shape - covariance / np.outer(sd, sd)).max() < 0.35


def test_moments_of_normal_laws_are_exact():
    laws = [
        uq.Inputs([stats.norm(m, s), stats.lognorm(0.3, scale=3.0)], np.array([[1, r], [r, 1]]))
        for m, s, r in [(0.0, 1.0, 0.0), (1.0, 2.0, 0.6)]
    ]
    coordinates, density, (means, covariances) = started(laws)
    sd = 0.3 / coordinates.scale[1]
    for k, (m, s, r) in enumerate([(0.0, 1.0, 0.0), (1.0, 2.0, 0.6)]):
        assert means[k] == pytest.approx(
            [
                (m - coordinates.centre[0]) / coordinates.scale[0],
                (math.log(3.0) - coordinates.centre[1]) / coordinates.scale[1],
            ]
        )
        t = s / coordinates.scale[0]
        np.testing.assert_allclose(covariances[k], [[t**2, r * t * sd], [r * t * sd, sd**2]])
    assert isinstance(density, Gaussian)
    # Mean and covariance of the equal mixture, by hand, times one of the scales.
    np.testing.assert_allclose(density.mean, means.mean(axis=0), atol=1e-12)
    centred = means - means.mean(axis=0)
    C = covariances.mean(axis=0) + centred.T @ centred / 2
    scale = density.covariance / C
    np.testing.assert_allclose(scale, scale[0, 0])
    assert np.abs(np.array(SCALES) - scale[0, 0]).min() < 1e-9


def costs_by_quadrature(pairs):
    """V of all scales and of the mixture of the laws, for normal laws in x."""
    m = np.mean([mean for mean, _ in pairs])
    C = np.mean([sd**2 + (mean - m) ** 2 for mean, sd in pairs])
    laws = [stats.norm(*pair) for pair in pairs]

    def cost(g):
        def integrand(x):
            return sum(np.exp(2 * f.logpdf(x) - np.log(g(x))) for f in laws) / len(laws)

        low, high = min(p[0] - 9 * p[1] for p in pairs), max(p[0] + 9 * p[1] for p in pairs)
        return integrate.quad(integrand, low, high, limit=500, epsabs=1e-9)[0]

    smooth = [cost(stats.norm(m, math.sqrt(s * C)).pdf) for s in SCALES]
    return smooth, cost(lambda x: np.mean([f.pdf(x) for f in laws], axis=0)), C


@pytest.mark.parametrize(
    "pairs",
    [
        [(0.0, 1.0), (0.5, 1.0)],
        [(0.0, 1.0), (1.0, 0.5), (-1.0, 2.0)],
        [(-2.0, 1.0), (2.0, 1.0)],
        [(-5.0, 1.0), (5.0, 1.0)],
        [(-9.0, 1.0), (9.0, 1.0)],
    ],
)
def test_the_widest_of_the_cheap_ones_is_taken(pairs):
    """V by quadrature instead of points."""
    laws = normals(*pairs)
    coordinates, density, _ = started(laws)
    smooth, mixture, C = costs_by_quadrature(pairs)
    if min(smooth) > 3.0 * mixture:
        assert isinstance(density, Mixture)
        np.testing.assert_allclose(density.shares, 1.0 / len(laws))
        return
    chosen = max(k for k in range(len(SCALES)) if smooth[k] <= 1.6 * min(smooth))
    variance = density.covariance[0, 0] * coordinates.scale[0] ** 2
    assert variance == pytest.approx(SCALES[chosen] * C, rel=1e-6)


@pytest.mark.parametrize(("d", "scale"), [(1, 2.5), (3, 2.0), (6, 1.6), (12, 1.25)])
def test_in_more_dimensions_narrower_ones_are_taken(d, scale):
    """N(-1/2, 1) and N(1/2, 1) in one column, N(0, 1) in all others: V is a product."""
    others = [stats.norm()] * (d - 1)
    laws = [uq.Inputs([stats.norm(m), *others]) for m in (-0.5, 0.5)]

    def cost(s):
        """int f^2 / g for f = N(m, 1) and g = N(0, v) is v exp(m^2 / (2 v - 1)) / sqrt(2 v - 1)."""
        v = 1.25 * s
        value = v * math.exp(0.25 / (2 * v - 1)) / math.sqrt(2 * v - 1)
        return value * (s / math.sqrt(2 * s - 1)) ** (d - 1)

    costs = [cost(s) for s in SCALES]
    expected = max(s for s, one in zip(SCALES, costs, strict=True) if one <= 1.6 * min(costs))
    assert expected == scale
    coordinates, density, _ = started(laws)
    variance = np.diag(density.covariance) * coordinates.scale**2
    np.testing.assert_allclose(variance, scale * np.array([1.25, *[1.0] * (d - 1)]), rtol=1e-6)


def test_both_kinds_of_start_are_in_the_test_above():
    near, far = ([(-d, 1.0), (d, 1.0)] for d in (2.0, 9.0))
    for pairs, kind in ((near, Gaussian), (far, Mixture)):
        smooth, mixture, _ = costs_by_quadrature(pairs)
        assert (min(smooth) > 3.0 * mixture) == (kind is Mixture)
        assert isinstance(started(normals(*pairs))[1], kind)


def test_laws_with_heavy_tails_are_not_covered_by_a_gaussian():
    _, density, _ = started([student(3.0, 0.0), student(3.0, 1.0)])
    assert isinstance(density, Mixture)


def test_ratios_of_a_mixture_of_laws_are_bounded():
    laws = normals((-12.0, 1.0), (0.0, 2.0), (30.0, 1.0))
    coordinates, density, _ = started(laws)
    assert ratios(laws, coordinates, density, 10_000).max() <= 3.0 + 1e-9


def test_a_law_as_a_density_in_z():
    """x ~ gamma beside another one: z = (t - c) / s, t the score under one of them."""
    laws = [uq.Inputs([stats.gamma(k)]) for k in (2.0, 3.0)]
    coordinates = Coordinates.of(laws, 0)
    density = LawDensity(laws[1], coordinates, np.random.default_rng(0))
    assert density.is_driven and density.dimension == density.n_uniforms == 1
    z = np.linspace(-3.0, 2.0, 11)[:, None]
    reference = stats.gamma(
        2.0 + [law.marginals[0] for law in laws].index(coordinates.charts[0].reference)
    )
    t = coordinates.centre[0] + coordinates.scale[0] * z[:, 0]
    x = reference.ppf(stats.norm.cdf(t))
    slope = stats.norm.pdf(t) / reference.pdf(x) * coordinates.scale[0]
    expected = stats.gamma(3.0).logpdf(x) + np.log(slope)
    np.testing.assert_allclose(density.log_density(z), expected, rtol=1e-9)
    mass = integrate.quad(lambda z: np.exp(density.log_density(np.array([[z]]))[0]), -12, 6)[0]
    assert mass == pytest.approx(1.0, abs=1e-8)
    u = np.array([[0.1], [0.5], [0.9]])
    expected = coordinates.to_z(stats.gamma(3.0).ppf(u))
    np.testing.assert_allclose(density.transform(u), expected, rtol=1e-9)
    drawn = density.sample(20_000, np.random.default_rng(1))[:, 0]
    assert stats.kstest(coordinates.to_x(drawn[:, None])[:, 0], "gamma", (3.0,)).pvalue > 1e-4


def test_a_driven_law_keeps_its_correlation():
    law = uq.Inputs([stats.norm(), stats.norm(1.0, 2.0)], np.array([[1.0, 0.8], [0.8, 1.0]]))
    coordinates = Coordinates.of([law, uq.Inputs([stats.norm(), stats.norm()])], 0)
    u = np.random.default_rng(0).random((20_000, 2))
    z = LawDensity(law, coordinates, np.random.default_rng(0)).transform(u)
    assert np.corrcoef(z.T)[0, 1] == pytest.approx(0.8, abs=4 * 0.36 / math.sqrt(20_000))
    np.testing.assert_allclose(coordinates.to_x(z)[:, 0], ndtri(u[:, 0]), rtol=1e-12)


def test_a_law_of_ones_own_as_a_density_ignores_uniform_numbers():
    law = exponential(2.0)
    coordinates = Coordinates.of([law], 0)
    density = LawDensity(law, coordinates, np.random.default_rng(0))
    x = coordinates.to_x(density.transform(np.full((20_000, 1), 0.5)))[:, 0]
    assert stats.kstest(x, "expon", (0.0, 0.5)).pvalue > 1e-4
    z = np.array([[0.0], [0.5]])
    expected = law.log_density(coordinates.to_x(z)) + math.log(coordinates.scale[0])
    np.testing.assert_allclose(density.log_density(z), expected)


def test_the_equal_mixture():
    laws = [*normals((0.0, 1.0), (4.0, 1.0)), exponential(2.0)]
    mixture = EqualMixture(laws)
    x = np.array([[-1.0], [0.5], [3.0]])
    logs = [stats.norm(0, 1).logpdf(x), stats.norm(4, 1).logpdf(x), law_logs(x)]
    logs = np.concatenate(logs, axis=1)
    np.testing.assert_allclose(mixture.log_densities(x), logs)
    np.testing.assert_allclose(np.exp(mixture.log_density(x)), np.exp(logs).mean(axis=1))
    drawn = mixture.sample(30_000, np.random.default_rng(0))
    assert drawn.shape == (30_000, 1)

    def cdf(x):
        parts = [stats.norm.cdf(x), stats.norm.cdf(x - 4.0), stats.expon.cdf(2.0 * x)]
        return np.mean(parts, axis=0)

    # The whole and each part of it: the laws do not stand one after the other.
    for part in (drawn, drawn[:10_000], drawn[20_000:]):
        assert stats.kstest(part[:, 0], cdf).pvalue > 1e-4
    assert mixture.sample(1, np.random.default_rng(0)).shape == (1, 1)


def law_logs(x):
    with np.errstate(divide="ignore"):
        return np.log(2.0 * (x > 0.0)) - 2.0 * x


def test_same_seed_same_start():
    laws = [exponential(1.0), exponential(0.8)]
    one, other = started(laws, 3)[1], started(laws, 3)[1]
    z = np.linspace(-1, 2, 5)[:, None]
    np.testing.assert_array_equal(one.log_density(z), other.log_density(z))
