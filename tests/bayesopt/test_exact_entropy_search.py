"""Both forms of entropy search by quadrature: golden values, brute force, and the fast forms."""

import numpy as np
import pytest
import torch
from golden_instance import golden_model

from bayesopt.acquisition.entropy_search import EntropySearch
from bayesopt.acquisition.exact_entropy_search import (
    Sampled,
    exact_entropy_search,
    exact_predictive_entropy_search,
    of_two_points,
)
from bayesopt.acquisition.predictive_entropy_search import PredictiveEntropySearch

MEAN, COVARIANCE = np.array([0.3, 0.0]), np.array([[1.0, 0.4], [0.4, 0.8]])
FORMS = [exact_entropy_search, exact_predictive_entropy_search]
GRID = torch.linspace(0, 1, 16, dtype=torch.float64).unsqueeze(-1)


@pytest.mark.parametrize(("noise", "golden"), [(0.0, 0.12602104), (0.25, 0.09797176)])
@pytest.mark.parametrize("form", FORMS)
def test_golden_values_of_two_points(form, noise, golden):
    value = form(MEAN, COVARIANCE, 0, noise, of_two_points, 128)
    assert value == pytest.approx(golden, abs=5e-9)


@pytest.mark.parametrize("form", FORMS)
def test_more_noise_tells_less_and_in_the_end_nothing(form):
    values = [form(MEAN, COVARIANCE, 1, noise, of_two_points) for noise in (0.01, 0.1, 1.0, 1e6)]
    assert values == sorted(values, reverse=True)
    assert 0.0 <= values[-1] < 1e-6


def test_exact_probabilities_are_the_limit_of_the_sampled_ones():
    mean = np.array([[0.3, 0.0], [-1.0, 0.5]])
    sampled = Sampled(200_000)(mean, COVARIANCE)
    np.testing.assert_allclose(sampled, of_two_points(mean, COVARIANCE), atol=5e-3)
    # A covariance of rank one: the second point is the best one for every y below 1.
    singular = np.array([[1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(of_two_points(np.zeros((1, 2)), singular), [[0.5, 0.5]])
    np.testing.assert_array_equal(of_two_points(np.array([[0.0, 1.0]]), 0 * singular), [[0.0, 1.0]])


def test_three_points_agree_with_brute_force():
    """The mutual information of y, sorted into bins, and the best point, of two million draws."""
    mean = np.array([0.0, 0.2, -0.1])
    covariance = np.array([[1.0, 0.5, 0.1], [0.5, 0.7, 0.2], [0.1, 0.2, 0.9]])
    noise, rng = 0.1, np.random.default_rng(0)
    f = rng.multivariate_normal(mean, covariance, 1_000_000)
    y = f[:, 0] + np.sqrt(noise) * rng.standard_normal(len(f))
    table, _, _ = np.histogram2d(y, f.argmax(1), bins=(np.linspace(-5, 5, 101), [0, 1, 2, 3]))
    p = table / table.sum()
    ratio = p / (p.sum(0) * p.sum(1, keepdims=True) + (p == 0))
    expected = (p * np.log(np.where(p > 0, ratio, 1.0))).sum()
    for form in FORMS:
        value = form(mean, covariance, 0, noise, Sampled(50_000), 24)
        assert value == pytest.approx(expected, abs=3e-3)


# -- the fast forms --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1e-4, 0.1], ids=["little noise", "much noise"])
def exact(request):
    """A model on a grid, and ES of every point of it."""
    noise = request.param
    model = golden_model(noise)
    posterior = model.posterior(GRID)
    mean, S = posterior.mean[:, 0].numpy(), posterior.distribution.covariance_matrix.numpy()
    draws = Sampled(3000)
    values = [exact_entropy_search(mean, S, i, noise, draws, 16) for i in range(len(GRID))]
    return model, noise, draws(mean[None], S)[0], np.array(values)


def test_entropy_search_approaches_the_exact_one(exact):
    model, noise, _, expected = exact
    error = []
    for options in (
        {},
        {"n_samples": 1024, "n_nodes": 12, "temperature": 0.02},
    ):
        value = EntropySearch(model, GRID, noise, log=False, **options)(GRID.unsqueeze(-2)).numpy()
        error.append(np.abs(value - expected).max())
        assert np.corrcoef(value, expected)[0, 1] > 0.95
        assert value.min() >= 0.0
    assert error[1] < 0.15 * expected.max() and error[1] < error[0]


def test_predictive_entropy_search_orders_points_as_the_exact_one(exact):
    model, noise, p, expected = exact
    A = torch.cat((GRID[p > 0], GRID[p == 0]))
    pes = PredictiveEntropySearch(model, A, torch.from_numpy(p[p > 0]), noise, log=False)
    value = pes(GRID.unsqueeze(-2)).numpy()
    assert np.corrcoef(value, expected)[0, 1] > 0.98
    assert np.abs(value - expected).max() < 0.4 * expected.max()
    assert value.min() >= 0.0
