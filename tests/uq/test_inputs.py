"""Inputs: the copula against exact joint laws, transforms out to 30 sigma, what is refused."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.special import ndtr

from uq.inputs import Inputs, checked_points

CORRELATION = np.array([[1.0, -0.35, 0.2], [-0.35, 1.0, 0.15], [0.2, 0.15, 1.0]])


def lognormal(mean, cv):
    sigma = math.sqrt(math.log1p(cv**2))
    return stats.lognorm(sigma, scale=mean / math.sqrt(1 + cv**2))


def beam(row=(527.4911, 473.3313, 215.5188, 0.06911062, 0.09322180, 4.261959, -0.352, 0.22, 0.17)):
    """Law of the cantilever beam, first row of its published design."""
    return Inputs(
        {
            "FX": lognormal(row[0], 0.08),
            "FY": lognormal(row[1], 0.08),
            "E": lognormal(row[2], 0.06),
            "w": stats.norm(row[3], 0.1 * row[3]),
            "t": stats.norm(row[4], 0.1 * row[4]),
            "L": stats.norm(row[5], 0.1 * row[5]),
        },
        correlation={("w", "t"): row[6], ("L", "w"): row[7], ("t", "L"): row[8]},
    )


def mixed(correlation=CORRELATION, **options):
    laws = {"a": stats.gamma(2.0), "b": stats.gumbel_r(1.0, 2.0), "c": stats.t(5.0)}
    return Inputs(laws, correlation, **options)


def test_normal_marginals_are_a_multivariate_normal_law():
    mean, sd = np.array([1.0, -2.0, 0.5]), np.array([0.5, 3.0, 1.0])
    laws = {name: stats.norm(m, s) for name, m, s in zip("abc", mean, sd, strict=True)}
    inputs = Inputs(laws, CORRELATION)
    exact = stats.multivariate_normal(mean, CORRELATION * np.outer(sd, sd))
    x = mean + 4.0 * sd * np.random.default_rng(0).normal(size=(200, 3))
    np.testing.assert_allclose(inputs.log_density(x), exact.logpdf(x), rtol=1e-12)
    np.testing.assert_allclose(inputs.mean, mean)
    np.testing.assert_allclose(inputs.sd, sd)


def test_beam_law_is_normal_and_lognormal():
    """Its density is that of a multivariate normal law of (log F, log E, w, t, L)."""
    inputs = beam()
    x = inputs.sample(500, rng=1)
    np.testing.assert_allclose(inputs.mean[:3], [527.4911, 473.3313, 215.5188], rtol=1e-12)
    np.testing.assert_allclose(inputs.sd[:3] / inputs.mean[:3], [0.08, 0.08, 0.06], rtol=1e-12)
    logs = np.concatenate([np.log(x[:, :3]), x[:, 3:]], axis=1)
    pairs = [law.log_gaussian or law.gaussian for law in inputs.marginals]
    mean, sd = np.array(pairs).T
    exact = stats.multivariate_normal(mean, inputs.correlation * np.outer(sd, sd)).logpdf(logs)
    expected = exact - np.log(x[:, :3]).sum(axis=1)
    np.testing.assert_allclose(inputs.log_density(x), expected, rtol=1e-11)


def test_beam_mean_deflection():
    """Reference 0.0297616 of the first law, 6 x 2^15 scrambled Sobol' points."""
    row = (527.4911, 473.3313, 215.5188, 0.06911062, 0.09322180, 4.261959)
    inputs = beam((*row, -0.3522680, 0.2212224, 0.1699392))
    FX, FY, E, w, t, L = inputs.sample(200_000, rng=5).T
    D = 4 * L**3 / (E * 1e9 * w * t) * np.sqrt((FX / w**2) ** 2 + (FY / t**2) ** 2)
    error = D.std() / math.sqrt(len(D))
    assert abs(D.mean() - 0.0297616) < 4 * error
    assert error < 5e-5


def test_density_integrates_to_one_with_a_copula():
    inputs = Inputs([stats.expon(), stats.beta(2.0, 3.0)], [[1.0, 0.6], [0.6, 1.0]])
    nodes, weights = np.polynomial.legendre.leggauss(400)
    u, v = np.meshgrid(12.5 * (nodes + 1), 0.5 * (nodes + 1), indexing="ij")
    density = np.exp(inputs.log_density(np.stack([u.ravel(), v.ravel()], axis=1)))
    total = np.outer(12.5 * weights, 0.5 * weights).ravel() @ density
    assert total == pytest.approx(1.0, abs=1e-4)


def test_density_is_that_of_the_transform():
    """log f(x) = log phi(z) - log|dx/dz|, the determinant by differences."""
    inputs = mixed()
    z = np.random.default_rng(2).normal(size=(20, 3))
    step = 1e-5
    columns = [
        (inputs.from_normal(z + step * e) - inputs.from_normal(z - step * e)) / (2 * step)
        for e in np.eye(3)
    ]
    _, log_volume = np.linalg.slogdet(np.stack(columns, axis=2))
    expected = stats.norm.logpdf(z).sum(axis=1) - log_volume
    np.testing.assert_allclose(inputs.log_density(inputs.from_normal(z)), expected, atol=1e-7)


@settings(derandomize=True, deadline=None)
@given(arrays(np.float64, (2, 3), elements=st.floats(-20.0, 20.0)))
def test_normal_space_comes_back(z):
    """The scores y = L z come back as they are; z through the condition of L."""
    for inputs in (mixed(), mixed(None)):
        y = z if inputs.is_independent else z @ np.linalg.cholesky(CORRELATION).T
        np.testing.assert_allclose(inputs.to_scores(inputs.from_normal(z)), y, atol=1e-9)
        np.testing.assert_allclose(inputs.to_normal(inputs.from_normal(z)), z, atol=1e-9)


def test_draws_have_the_marginals_and_the_correlation():
    inputs = mixed()
    x = inputs.sample(20_000, rng=4)
    y = inputs.to_scores(x)
    bound = 4.0 * (1.0 - CORRELATION**2) / math.sqrt(20_000)
    assert np.all(np.abs(np.corrcoef(y.T) - CORRELATION) <= bound + 1e-12)
    assert stats.kstest(x[:, 0], stats.gamma(2.0).cdf).pvalue > 1e-4
    assert stats.kstest(ndtr(inputs.to_normal(x)).ravel(), "uniform").pvalue > 1e-4


def test_correlation_of_values():
    inputs = mixed(CORRELATION, correlation_of="values")
    x = inputs.sample(200_000, rng=6)
    scaled = (x - inputs.mean) / inputs.sd
    for i, j in ((0, 1), (0, 2), (1, 2)):
        product = scaled[:, i] * scaled[:, j]
        error = product.std() / math.sqrt(len(product))
        assert abs(product.mean() - CORRELATION[i, j]) < 4 * error
    assert np.abs(inputs.correlation[0, 1]) > 0.36  # not the one that was given


def test_normal_values_have_the_correlation_of_their_scores():
    laws = [stats.norm(1, 2), stats.norm(0, 5)]
    inputs = Inputs(laws, [[1, 0.3], [0.3, 1]], correlation_of="values")
    np.testing.assert_array_equal(inputs.correlation, [[1, 0.3], [0.3, 1]])


def test_names_pairs_and_seeds():
    inputs = beam()
    assert inputs.names == ("FX", "FY", "E", "w", "t", "L") and inputs.dimension == 6
    assert inputs.correlation[3, 4] == inputs.correlation[4, 3] == -0.352
    assert inputs.correlation[3, 5] == 0.22 and not inputs.is_independent
    assert Inputs([stats.norm(), stats.expon()]).names == ("x1", "x2")
    np.testing.assert_array_equal(inputs.sample(5, rng=1), beam().sample(5, rng=1))
    np.testing.assert_array_equal(
        inputs.sample(5, rng=1), inputs.sample(5, rng=np.random.default_rng(1))
    )
    assert inputs.sample(0).shape == (0, 6)
    assert repr(inputs).startswith("Inputs(FX: 527.5 +- 42.2, ") and "correlated" in repr(inputs)
    with pytest.raises(ValueError):
        inputs.correlation[0, 1] = 0.5


def test_pickle():
    for inputs in (beam(), mixed()):
        again = pickle.loads(pickle.dumps(inputs))
        x = inputs.sample(7, rng=2)
        np.testing.assert_array_equal(again.sample(7, rng=2), x)
        np.testing.assert_array_equal(again.log_density(x), inputs.log_density(x))


def test_points_outside_the_support():
    for correlation in (None, CORRELATION):
        inputs = mixed(correlation)
        x = np.array([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        value = inputs.log_density(x)
        assert value[0] == -np.inf and np.isfinite(value[1]) and value[2] == -np.inf
    with pytest.raises(ValueError, match="Row 0 of `x` is not inside the support.*'a': -1.0"):
        inputs.to_normal(x)


def test_wrong_shapes_say_how_to_mend_them():
    inputs = mixed()
    with pytest.raises(ValueError, match="give x.T"):
        inputs.log_density(np.ones((3, 5)))
    with pytest.raises(ValueError, match=r"x\[None, :\]"):
        inputs.to_scores(np.ones(3))
    with pytest.raises(ValueError, match=r"x\[:, None\]"):
        Inputs([stats.norm()]).log_density(np.ones(4))
    with pytest.raises(ValueError, match=r"`z` has the shape \(5, 2\), not \(n, 3\)"):
        inputs.from_normal(np.ones((5, 2)))
    with pytest.raises(TypeError, match="real numbers"):
        inputs.log_density([["a", "b", "c"]])
    assert checked_points([[1, 2]], 2).dtype == np.float64


@pytest.mark.parametrize(
    ("correlation", "message"),
    [
        (np.eye(2), r"shape \(2, 2\), not \(3, 3\)"),
        (2 * np.eye(3), "diagonal of ones"),
        (np.eye(3) + np.eye(3, k=1) * 0.1, "symmetric"),
        (np.full((3, 3), np.nan), "finite"),
        ([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]], "smallest eigenvalue is -0.8"),
        (np.ones((3, 3)), "smallest eigenvalue"),
        ({("a", "q"): 0.1}, "Unknown input in `correlation` 'q'"),
        ({"ab": 0.1}, "pairs of two names"),
        ({("a", "a"): 0.1}, "pairs of two names"),
        ({("a", "b"): 0.1, ("b", "a"): 0.1}, "twice"),
        ({("a", "b"): math.nan}, "must be finite"),
    ],
)
def test_bad_correlations(correlation, message):
    with pytest.raises(ValueError, match=message):
        mixed(correlation)


def test_bad_laws_and_options():
    with pytest.raises(ValueError, match="is empty"):
        Inputs({})
    with pytest.raises(TypeError, match="`marginals` must map names to laws"):
        Inputs(stats.norm())
    with pytest.raises(TypeError, match="names of inputs are strings"):
        Inputs({1: stats.norm()})
    with pytest.raises(TypeError, match="The law of 'a' must be a frozen law"):
        Inputs({"a": 3.0})
    with pytest.raises(ValueError, match="Unknown correlation_of 'x'; known are 'scores', 'val"):
        mixed(correlation_of="x")
    laws = {"a": stats.expon(), "b": stats.expon()}
    with pytest.raises(ValueError, match="-0.9 of the values of 'a' and 'b'.*-0.6449 to 1"):
        Inputs(laws, {("a", "b"): -0.9}, correlation_of="values")
    with pytest.raises(ValueError, match="at least 0"):
        mixed().sample(-1)
