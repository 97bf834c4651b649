"""The cases of several expectations: laws that are densities, and truths that sampling finds."""

import numpy as np
import pytest
from scipy.stats import lognorm, multivariate_normal

from benchmarks.expectation_cases import CASES, beam_law_design, beam_laws, beam_sobol, deflection


@pytest.mark.parametrize("name", CASES)
def test_weighted_points_of_the_start_give_the_truth(name):
    case = CASES[name]()
    x = case.sample_start(20_000, np.random.default_rng(0))
    values = case.func(x).reshape(len(x), -1)
    terms = values * np.exp(case.log_densities(x) - case.start_log_density(x)[:, None])
    z = (terms.mean(axis=0) - case.truth) / (terms.std(axis=0) / np.sqrt(len(x)))
    assert np.abs(z).max() < 4.5
    assert x.shape == (20_000, case.dimension)


def test_beam_laws_are_lognormal_and_normal():
    mean, covariance = beam_law_design(5)
    case = beam_laws(5)
    x = case.sample_start(10, np.random.default_rng(0))
    for j in range(5):
        sd = np.sqrt(np.diag(covariance[j]))[:3]
        log_f = lognorm(sd, scale=np.exp(mean[j, :3])).logpdf(x[:, :3]).sum(axis=1)
        log_f += multivariate_normal(mean[j, 3:], covariance[j, 3:, 3:]).logpdf(x[:, 3:])
        np.testing.assert_allclose(case.log_densities(x)[:, j], log_f, rtol=1e-10)
    outside = x[:1] * [-1.0, 1, 1, 1, 1, 1]
    assert case.start_log_density(outside)[0] == -np.inf


def test_deflection_at_the_mean_by_hand():
    x = np.array([[500.0, 400.0, 200.0, 0.06, 0.1, 4.0]])
    bending = np.sqrt((500.0 / 0.0036) ** 2 + (400.0 / 0.01) ** 2)
    assert deflection(x)[0] == pytest.approx(4 * 64 / (2e11 * 0.006) * bending)


def test_the_beam_has_the_known_moments():
    truth = beam_sobol().truth
    assert truth[6] == pytest.approx(0.04385686, rel=1e-5)
    assert truth[7] - truth[6] ** 2 == pytest.approx(4.234525e-4, rel=1e-3)
