"""Moments given samples: conditioning by other means, gradients, sampling, no points at all."""

import pytest
import torch
from botorch_twin import twin_of
from processes import KERNELS, points, process

from bayesopt.acquisition.given_samples import GivenSamples, normal_sample


def through_a_function(process_given, X):
    """Some smooth function of the moments, and its gradient by `pull_back`."""
    means, variance, pull_back = process_given.moments_with_pull_back(X)
    value = means.sin().sum(-1) + variance.log()
    return value, pull_back(means.cos(), 1.0 / variance)


@pytest.mark.parametrize("noise", ["inferred", "known", "exact"])
@pytest.mark.parametrize("correlation", KERNELS)
def test_they_are_those_of_a_process_that_has_observed_the_sample(correlation, noise):
    """Exact observations of f_s at A."""
    model, A, X = process(correlation, noise, 1.3), points(4, 2, seed=1), points(6, 2, seed=2)
    given = GivenSamples(model, A, n_samples=8)
    means, variance, _ = given.moments_with_pull_back(X)
    for s in (0, 5):
        told = model.condition_on_observations(
            A, given.values[s].unsqueeze(-1), noise=torch.zeros(4, 1).double()
        )
        mean, left = told.marginals(X)
        torch.testing.assert_close(means[:, s], mean, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(variance, left, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("of", [lambda m: m, twin_of], ids=["ours", "botorch"])
@pytest.mark.parametrize("r", [0, 5])
def test_gradients_agree_with_finite_differences(r, of):
    given = GivenSamples(of(process(noise="known")), points(r, 2, seed=3), n_samples=4)
    X = points(7, 2, seed=4)
    _, gradient = through_a_function(given, X)
    for j, move in enumerate(1e-6 * torch.eye(2).double()):
        ahead, behind = (through_a_function(given, at)[0] for at in (X + move, X - move))
        torch.testing.assert_close((ahead - behind) / 2e-6, gradient[:, j], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("r", [0, 5])
def test_the_differentiable_moments_are_the_same(r):
    given, X = GivenSamples(process(), points(r, 2, seed=3)), points(7, 2, seed=4)
    means, variance, _ = given.moments_with_pull_back(X)
    shaped = given.moments(X.reshape(7, 1, 1, 2))
    torch.testing.assert_close(shaped[0].squeeze(1), means)
    torch.testing.assert_close(shaped[1].squeeze(1), variance)


def test_any_model_will_do():
    model, A, X = process(noise="known"), points(5, 2, seed=5), points(9, 2, seed=6)
    ours, theirs = (GivenSamples(m, A).moments_with_pull_back(X) for m in (model, twin_of(model)))
    torch.testing.assert_close(ours[:2], theirs[:2], rtol=1e-4, atol=1e-4)


def test_samples_have_the_moments_of_the_posterior():
    model, A = process(), points(5, 2, seed=7)
    values, posterior = GivenSamples(model, A, n_samples=4096).values, model.posterior(A)
    torch.testing.assert_close(values.mean(0), posterior.mean[:, 0], rtol=0, atol=2e-3)
    torch.testing.assert_close(
        values.T.cov(), posterior.distribution.covariance_matrix, rtol=0, atol=5e-3
    )


def test_values_stand_in_the_order_of_the_points_also_of_repeated_ones():
    model, A = process(), points(4, 2, seed=8)
    order = torch.tensor([3, 0, 3, 2, 1, 0])
    given, once = GivenSamples(model, A[order]), GivenSamples(model, A)
    torch.testing.assert_close(given.values, once.values[:, order], rtol=0, atol=0)
    means, _, _ = given.moments_with_pull_back(A)
    torch.testing.assert_close(means.T, once.values, rtol=0, atol=1e-3)


def test_every_process_has_columns_of_its_own():
    samples = [normal_sample(1024, 5, after=5 * number) for number in range(3)]
    correlation = torch.cat(samples, dim=1).T.corrcoef()
    torch.testing.assert_close(correlation, torch.eye(15).double(), rtol=0, atol=0.05)
    model, A = process(), points(5, 2, seed=9)
    one, other = (GivenSamples(model, A, number=number).values for number in (0, 1))
    assert float((one - other).abs().max()) > 0.1


def test_without_points_they_are_those_of_the_posterior():
    model, X = process(), points(9, 2, seed=10)
    given = GivenSamples(model, points(0, 2))
    means, variance, _ = given.moments_with_pull_back(X)
    mean, expected = model.marginals(X)
    assert given.values.shape == (1, 0)
    torch.testing.assert_close((means[:, 0], variance), (mean, expected), rtol=0, atol=1e-15)


def test_known_values_stay_as_they_are():
    """Of an exact observation there is nothing to sample."""
    model = process(noise="exact")
    values = GivenSamples(model, torch.cat((model.X, points(2, 2, seed=11)))).values
    torch.testing.assert_close(values[:, :9], model.Y.T.expand(32, 9), rtol=0, atol=5e-4)
    assert bool((values[:, 9:].std(0) > 1e-3).all())
