"""The slice sampler against laws that are known: Kolmogorov-Smirnov, moments, strange densities.

A rejected hypothesis of 4 standard errors has the p-value 6e-5. Draws count as independent after
a thinning that leaves no correlation from one to the next, which is asserted too.
"""

import numpy as np
import pytest
from scipy.stats import expon, kstest, norm, uniform
from scipy.stats import gamma as gamma_law

from bayesopt.models.slice_sampling import slice_sample

FOUR_SE = 6e-5


def sampled(log_density, start, *, width=1.0, n=4, burn_in=15, thinning=5, seed=0, chains=1000):
    """Draws (n * chains, p), and a check that one does not tell of the next."""
    start = np.tile(np.atleast_1d(np.asarray(start, dtype=float)), (chains, 1))
    rng = np.random.default_rng(seed)
    draws = slice_sample(
        log_density, start, width, rng, n_samples=n, burn_in=burn_in, thinning=thinning
    )
    assert draws.shape == (n, chains, start.shape[1])
    for x in np.moveaxis(draws, 2, 0):
        correlation = np.corrcoef(x[:-1].ravel(), x[1:].ravel())[0, 1]
        assert abs(correlation) < 4 / np.sqrt((n - 1) * chains)
    return draws.reshape(-1, start.shape[1])


def normal(x, mean=0.0, sd=1.0):
    return -0.5 * ((x - mean) / sd) ** 2


# name: (SciPy's law or None, log density up to a constant)
LAWS = {
    "normal": (norm(3.0, 0.2), lambda x: normal(x, 3.0, 0.2)),
    # The logarithm of a gamma variable has a long tail to the left.
    "log gamma": (None, lambda x: 0.7 * x - np.exp(x)),
    "two humps": (None, lambda x: np.logaddexp(normal(x, -1.0), normal(x, 1.0, 0.5))),
    "one-sided": (expon(), lambda x: np.where(x >= 0, -x, -np.inf)),
    "flat": (uniform(0.0, 2.0), lambda x: np.where((x >= 0) & (x <= 2), 0.0, -np.inf)),
}


def cdf_of(name):
    if name == "log gamma":
        return lambda x: gamma_law(0.7).cdf(np.exp(x))
    if name == "two humps":  # masses sqrt(2 pi) and sqrt(2 pi) / 2
        return lambda x: (2 * norm(-1.0, 1.0).cdf(x) + norm(1.0, 0.5).cdf(x)) / 3
    return LAWS[name][0].cdf


@pytest.mark.parametrize("width", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("name", LAWS)
def test_draws_follow_the_law(name, width):
    """However wide the first intervals are."""
    log_density = LAWS[name][1]
    x = sampled(lambda X: log_density(X[:, 0]), 1.0, width=width)[:, 0]
    assert kstest(x, cdf_of(name)).pvalue > FOUR_SE


def test_a_law_that_is_wrong_is_noticed():
    x = sampled(lambda X: normal(X[:, 0], 3.0, 0.2), 3.0)[:, 0]
    assert kstest(x, norm(3.0, 0.23).cdf).pvalue < FOUR_SE
    assert kstest(x, norm(3.03, 0.2).cdf).pvalue < FOUR_SE


def test_correlated_variables_have_the_right_margins_and_covariance():
    covariance = np.array([[1.0, -0.8 * 3], [-0.8 * 3, 9.0]])
    precision = np.linalg.inv(covariance)

    def log_density(X):
        x = X - [1.0, -2.0]
        return -0.5 * np.einsum("ci,ij,cj->c", x, precision, x)

    x = sampled(log_density, [0.0, 0.0], burn_in=25, thinning=15)
    assert kstest(x[:, 0], norm(1.0, 1.0).cdf).pvalue > FOUR_SE
    assert kstest(x[:, 1], norm(-2.0, 3.0).cdf).pvalue > FOUR_SE
    white = np.linalg.solve(np.linalg.cholesky(covariance), (x - [1.0, -2.0]).T)
    assert kstest(white[1], "norm").pvalue > FOUR_SE
    sd = np.sqrt(covariance.diagonal())
    error = np.sqrt((np.outer(sd, sd) ** 2 + covariance**2) / len(x))
    assert (np.abs(np.cov(x.T) - covariance) < 4 * error).all()


def test_draws_depend_on_the_generator_alone():
    def run(seed):
        start = np.zeros((3, 2))
        rng = np.random.default_rng(seed)
        return slice_sample(lambda X: -0.5 * (X**2).sum(1), start, 1.0, rng, n_samples=4, burn_in=3)

    np.testing.assert_array_equal(run(1), run(1))
    assert not np.allclose(run(1), run(2))


def test_few_calls_serve_all_chains():
    calls = []

    def log_density(X):
        calls.append(len(X))
        return -0.5 * ((X / [1e-3, 1.0, 50.0]) ** 2).sum(1)

    rng = np.random.default_rng(0)
    slice_sample(log_density, np.zeros((8, 3)), 1.0, rng, n_samples=1, burn_in=15)
    calls.clear()
    slice_sample(
        log_density, np.zeros((8, 3)), np.array([4e-3, 4.0, 200.0]), rng, n_samples=30, burn_in=5
    )
    updates = 35 * 3
    assert len(calls) < 7 * updates
    assert sum(calls) < 8 * 6 * updates


def test_a_start_outside_of_the_support_is_refused():
    with pytest.raises(ValueError, match="must begin where the density is positive"):
        sampled(lambda X: np.where(X[:, 0] > 0, 0.0, -np.inf), -1.0)


def test_a_spike_keeps_its_chain():
    """Where floating-point numbers leave nothing but the point itself, the chain stays there."""
    x = slice_sample(
        lambda X: np.where(X[:, 0] == 1.0, 0.0, -np.inf),
        np.ones((2, 1)),
        1.0,
        np.random.default_rng(0),
        n_samples=3,
        burn_in=2,
    )
    assert (x == 1.0).all()
