"""Repeated observations: gathered without loss, in the likelihood, the fit and the posterior."""

import sys

import numpy as np
import pytest
import torch
from processes import points
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal
from uneven_noise import repeated

from bayesopt.models.exact import ExactGaussianProcess
from bayesopt.models.fit import NegativeLogPosterior, fit
from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.models.kernels import Features, correlate, kernel_named
from bayesopt.models.marginal_likelihood import MarginalLikelihood
from bayesopt.models.replicates import JITTER, replicates

FIT = sys.modules["bayesopt.models.fit"]  # the package has a function of this name
THETA = np.log([0.4, 0.7, 0.05])


def many(noise="inferred"):
    return repeated(noise, n=10, repeats=12)


def test_counts_means_and_sums_of_squares():
    data = repeated(n=4, repeats=4)
    found = replicates(data)
    assert int(found.count.sum()) == len(data) > len(found.data) == 4
    for i, x in enumerate(found.data.X):
        y = data.Y[(data.X == x).all(1), 0]
        assert found.count[i] == len(y)
        assert float(found.data.Y[i]) == pytest.approx(float(y.mean()), abs=1e-14)
        assert float(found.within[i]) == pytest.approx(float(y.var(correction=0)) * len(y))
    first = [int((data.X == x).all(1).double().argmax()) for x in found.data.X]
    assert first == sorted(first)


def test_what_is_known_differently_stays_apart():
    data = repeated("mixed", n=4, repeats=4)
    data.Yvar[0] = 0.5
    found = replicates(data)
    assert len(found.data) == 4 + 1
    assert bool(
        (found.data.Yvar.squeeze(-1) * found.count).isclose(torch.tensor(0.5).double()).any()
    )


@pytest.mark.parametrize("varies", [False, True])
@pytest.mark.parametrize("noise", ["inferred", "mixed"])
def test_the_likelihood_is_that_of_all_rows(noise, varies):
    data = repeated(noise, n=6, repeats=4)
    found = replicates(data)
    unknown = found.data.Yvar.isnan()
    B = points(len(found.data), 3, seed=5) * unknown if varies else None
    likelihood = MarginalLikelihood(found.data, GaussianProcess(), found, B)
    theta = np.concatenate((THETA, [0.5, -1.0, 0.7])) if varies else THETA
    h = likelihood.hyperparameters(theta)
    factor = (
        torch.exp(B @ torch.from_numpy(theta[3:]))
        if varies
        else torch.ones(len(found.data)).double()
    )
    row = [int((found.data.X == x).all(1).double().argmax()) for x in data.X]
    inferred = (h.noise * factor)[row].unsqueeze(-1)
    variance = torch.where(data.Yvar.isnan(), inferred, data.Yvar).squeeze(-1) + JITTER
    Z = Features(2, ()).of(data.X) / h.lengthscale
    K = correlate(kernel_named("matern52", None), Z, Z) + torch.diag(variance)
    dense = multivariate_normal(np.full(len(data), h.mean), K.numpy()).logpdf(data.Y[:, 0].numpy())
    value, gradient = likelihood.value_and_gradient(theta[None])
    assert -value[0] == pytest.approx(dense, rel=1e-10, abs=1e-9)
    slope = approx_fprime(theta, lambda t: likelihood.value_and_gradient(t[None])[0][0], 1e-6)
    np.testing.assert_allclose(gradient[0], slope, rtol=1e-4, atol=1e-3)


def test_integrated_coefficients_are_those_of_all_rows():
    data, process = repeated("inferred", n=6, repeats=4), GaussianProcess(mean="linear")
    found = replicates(data)
    theta = np.stack((THETA, THETA + 0.3))
    of_all = MarginalLikelihood(data, process).log_integrated(theta)
    gathered = MarginalLikelihood(found.data, process, found).log_integrated(theta)
    assert np.ptp(gathered - of_all) < 1e-9  # up to a constant


@pytest.mark.parametrize("noise", ["inferred", "mixed"])
def test_a_fit_over_distinct_points_is_the_fit_to_all_rows(noise, monkeypatch):
    data = many(noise)
    model, theta = fit(data)
    monkeypatch.setattr(FIT, "_MANY", len(data) + 1)
    dense, of_all = fit(data)
    assert len(model.X) == 10 and len(dense.X) == len(data)
    np.testing.assert_allclose(theta, of_all, atol=1e-6)
    assert float(model.new_noise) == pytest.approx(float(dense.new_noise), rel=1e-6)
    X = points(20, 2, seed=3)
    for ours, theirs in zip(model.marginals(X), dense.marginals(X), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_the_process_over_distinct_points_is_the_one_over_all_rows():
    data = repeated("mixed", n=6, repeats=4)
    found, h = replicates(data), fit(data)[0].hyperparameters
    count = found.count.unsqueeze(-1)
    dense = ExactGaussianProcess(data.X, data.Y, data.Yvar, h)
    model = ExactGaussianProcess(found.data.X, found.data.Y, found.data.Yvar, h, count=count)
    X, new = points(7, 1, 2, seed=4), points(2, 2, seed=6)
    for ours, theirs in (
        (model, dense),
        *[tuple(m.condition_on_observations(new, new[:, :1]) for m in (model, dense))],
    ):
        a, b = (m.posterior(X, observation_noise=True) for m in (ours, theirs))
        torch.testing.assert_close(a.mean, b.mean, rtol=0, atol=1e-11)
        torch.testing.assert_close(a.variance, b.variance, rtol=0, atol=1e-11)
    rows = torch.arange(6)
    ours = model.marginals_and_covariances(X[:, 0], model.covariance_weights(rows))[2]
    first = torch.tensor([int((data.X == x).all(1).double().argmax()) for x in found.data.X])
    theirs = dense.posterior(torch.cat((X[:, 0], data.X[first]))).covariance[:7, 7:]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


def test_few_repetitions_are_left_as_they_are():
    data = repeated(n=10, repeats=3)
    assert len(fit(data)[0].X) == len(data)


def test_exact_values_that_differ_leave_the_likelihood_finite():
    data = repeated("known", n=4, repeats=3)
    data.Yvar.zero_()
    found = replicates(data)
    likelihood = MarginalLikelihood(found.data, GaussianProcess(), found)
    objective = NegativeLogPosterior(found.data, GaussianProcess(), "map", likelihood)
    assert np.isfinite(objective(objective.centre[None])[0]).all()
