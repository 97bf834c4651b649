"""Fitting: density and gradient, its maximum, and data that a fit has to survive."""

import numpy as np
import pytest
import torch
from processes import KERNELS, MIXED, NOISES, noise_variances, points
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal, norm

from bayesopt.data import Dataset, Scaling
from bayesopt.models.fit import NegativeLogPosterior, Priors, fit

FLAT = Priors(lengthscale=(0.0, 1e6), signal=(0.0, 1e6), noise=(0.0, 1e6))
JITTER = 1e-10


def data_of(X, Y, Yvar, categories=()):
    return Dataset(X, Y, Yvar, categories, Scaling(1.0, 1.0, 0.0, 1.0))


def smooth_data(noise="inferred", categories=(), n=12, d=None):
    d = d or (4 if categories else 2)
    X = points(n, d, categories=categories, seed=1)
    Y = torch.sin(4.0 * X.sum(-1, keepdim=True)) + 0.1 * points(n, 1, seed=2)
    return data_of(X, (Y - Y.mean()) / Y.std(), noise_variances(noise, n), categories)


def several_thetas(objective, n=3):
    rng = np.random.default_rng(0)
    return objective.prior_mean + rng.uniform(-1, 1, (n, len(objective.prior_mean)))


def covariance(data, correlation, theta, learns_signal, learns_noise):
    """K written out from the formulas, point by point."""
    d = data.X.shape[1]
    lengthscale = np.exp(theta[:d])
    X, s = data.X.numpy(), 0.0
    for j in range(d):
        if j in dict(data.categories):
            s = s + (X[:, [j]] != X[:, j]) / lengthscale[j] ** 2
        else:
            s = s + cdist(X[:, [j]], X[:, [j]], "sqeuclidean") / lengthscale[j] ** 2
    root = np.sqrt(5 * s)
    k = (1 + root + root**2 / 3) * np.exp(-root) if correlation == "matern52" else np.exp(-s / 2)
    unknown = np.exp(theta[-1]) if learns_noise else 0.0
    noise = np.nan_to_num(data.Yvar.squeeze(-1).numpy(), nan=unknown) + JITTER
    return (np.exp(theta[d]) if learns_signal else 1.0) * k + np.diag(noise)


def best_mean(K, Y):
    ones = np.ones(len(Y))
    return ones @ np.linalg.solve(K, Y) / (ones @ np.linalg.solve(K, ones))


# -- the density -----------------------------------------------------------------------------------


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("correlation", KERNELS)
def test_value_is_the_normal_density_times_the_priors(correlation, noise, categories):
    data, priors = smooth_data(noise, categories), Priors(noise=(-3.0, 0.7), signal=(0.5, 1.5))
    objective = NegativeLogPosterior(data, correlation, priors)
    thetas = several_thetas(objective)
    values, _ = objective(thetas)
    likelihoods, _ = NegativeLogPosterior(data, correlation, None)(thetas)
    d, Y = data.X.shape[1], data.Y.squeeze(-1).numpy()
    learns_signal, learns_noise = noise == "exact", noise in ("inferred", "mixed")
    for theta, value, likelihood in zip(thetas, values, likelihoods, strict=True):
        K = covariance(data, correlation, theta, learns_signal, learns_noise)
        density = multivariate_normal(np.full(len(Y), best_mean(K, Y)), K).logpdf(Y)
        assert likelihood == pytest.approx(-density, rel=1e-6)
        prior = norm(priors.lengthscale[0] + np.log(d) / 2, priors.lengthscale[1])
        density += prior.logpdf(theta[:d]).sum()
        density += norm(*priors.signal).logpdf(theta[d]) if learns_signal else 0.0
        density += norm(*priors.noise).logpdf(theta[-1]) if learns_noise else 0.0
        assert value == pytest.approx(-density, rel=1e-6)


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("correlation", KERNELS)
@pytest.mark.parametrize("priors", [None, Priors()], ids=["likelihood", "posterior"])
def test_gradient_agrees_with_finite_differences(priors, correlation, noise, categories):
    objective = NegativeLogPosterior(smooth_data(noise, categories), correlation, priors)
    thetas = several_thetas(objective)
    _, gradient = objective(thetas)
    step = 1e-5
    for j in range(thetas.shape[1]):
        move = step * np.eye(thetas.shape[1])[j]
        difference = (objective(thetas + move)[0] - objective(thetas - move)[0]) / (2 * step)
        np.testing.assert_allclose(gradient[:, j], difference, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("noise", NOISES)
def test_the_constant_mean_is_the_best_one(noise):
    data = smooth_data(noise)
    objective = NegativeLogPosterior(data, "matern52", None)
    theta = several_thetas(objective, 1)[0]
    K = covariance(data, "matern52", theta, noise == "exact", noise in ("inferred", "mixed"))
    Y = data.Y.squeeze(-1).numpy()

    def negative_log_density(c):
        return -multivariate_normal(np.full(len(Y), c), K).logpdf(Y)

    best = minimize_scalar(negative_log_density, bracket=(-1, 1), tol=1e-12)
    assert objective.hyperparameters(theta, "matern52").mean == pytest.approx(best.x, abs=1e-5)
    assert objective(theta[None])[0][0] == pytest.approx(best.fun, rel=1e-6)


def test_starts_are_independent_of_each_other():
    objective = NegativeLogPosterior(smooth_data("mixed"), "rbf", Priors())
    thetas = several_thetas(objective, 5)
    values, gradients = objective(thetas)
    for i in range(5):
        value, gradient = objective(thetas[i : i + 1])
        np.testing.assert_allclose(values[i], value[0], rtol=1e-12)
        np.testing.assert_allclose(gradients[i], gradient[0], rtol=1e-9, atol=1e-11)


def test_a_singular_covariance_counts_as_infinitely_bad():
    X = points(1, 2).expand(40, 2).contiguous()
    data = data_of(X, torch.zeros(40, 1).double(), torch.zeros(40, 1).double())
    objective = NegativeLogPosterior(data, "rbf", Priors())
    theta = objective.prior_mean.copy()
    theta[-1] = np.log(1e8)  # a signal so large that the jitter is lost in it
    value, gradient = objective(theta[None])
    assert value[0] == np.inf
    assert np.isfinite(gradient).all()


def test_what_is_learnt_depends_on_the_noise():
    def names(noise):
        return NegativeLogPosterior(smooth_data(noise), "rbf", None).names[2:]

    assert [names(noise) for noise in ("exact", "inferred", "mixed", "known")] == [
        ["signal"],
        ["noise"],
        ["noise"],
        [],
    ]
    model, _ = fit(smooth_data("known"))
    assert (model.hyperparameters.signal, model.hyperparameters.noise) == (1.0, 0.0)


# -- the maximum -----------------------------------------------------------------------------------


@pytest.mark.parametrize("correlation", KERNELS)
def test_a_flat_prior_gives_the_maximum_of_the_likelihood(correlation):
    data = smooth_data("known", n=15, d=1)
    model, theta = fit(data, correlation, priors=FLAT)
    grid = np.linspace(np.log(0.02), np.log(20.0), 2000)
    values, _ = NegativeLogPosterior(data, correlation, None)(grid[:, None])
    objective = NegativeLogPosterior(data, correlation, None)
    found, _ = objective(objective.learnt(theta)[None])
    assert found[0] < values.min() + 0.02
    assert theta[0] == pytest.approx(grid[values.argmin()], abs=0.1)
    assert float(model.hyperparameters.lengthscale) == pytest.approx(np.exp(theta[0]))


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("correlation", KERNELS)
def test_a_fit_is_never_worse_than_where_it_starts(correlation, noise, categories):
    data = smooth_data(noise, categories)
    objective = NegativeLogPosterior(data, correlation, Priors())
    _, theta = fit(data, correlation)
    centre = objective.prior_mean
    assert objective(objective.learnt(theta)[None])[0][0] <= objective(centre[None])[0][0]
    for start in several_thetas(objective, 4):
        _, theta = fit(data, correlation, start=objective.everything(start))
        assert objective(objective.learnt(theta)[None])[0][0] <= objective(start[None])[0][0]


def test_the_gradient_vanishes_where_the_fit_ends():
    data = smooth_data(n=40)
    _, theta = fit(data)
    objective = NegativeLogPosterior(data, "matern52", Priors())
    _, gradient = objective(objective.learnt(theta)[None])
    assert np.abs(gradient).max() < 0.3  # a standard deviation of the posterior is about 1 / 3


@pytest.mark.parametrize("correlation", KERNELS)
def test_true_hyperparameters_are_recovered(correlation):
    """Within 4 standard errors, from the curvature of the likelihood at the estimate."""
    rng = np.random.default_rng(0)
    truth = np.log([0.2, 0.5, 0.05])
    X = points(200, 2, seed=3)
    data = data_of(X, torch.zeros(200, 1).double(), torch.full((200, 1), torch.nan).double())
    K = covariance(data, correlation, truth, False, True)
    Y = torch.from_numpy(rng.multivariate_normal(np.zeros(200), K)).unsqueeze(-1)
    data = data_of(X, Y, data.Yvar)
    _, theta = fit(data, correlation, priors=FLAT)
    objective, step = NegativeLogPosterior(data, correlation, None), 1e-4
    theta = objective.learnt(theta)
    moves = theta + step * np.concatenate((np.eye(3), -np.eye(3)))
    _, gradient = objective(moves)
    hessian = (gradient[:3] - gradient[3:]) / (2 * step)
    standard_error = np.sqrt(np.linalg.inv((hessian + hessian.T) / 2).diagonal())
    assert (standard_error < 0.5).all()
    assert (np.abs(theta - truth) < 4 * standard_error).all()


@pytest.mark.parametrize("noise", NOISES)
def test_a_warm_start_stays_where_it_was(noise):
    data = smooth_data(noise, n=13)
    objective = NegativeLogPosterior(data, "matern52", Priors())
    model, theta = fit(data)
    again_model, again = fit(data, start=theta)
    assert isinstance(theta, tuple) and all(isinstance(entry, float) for entry in theta)
    before, after = objective(np.array([objective.learnt(theta), objective.learnt(again)]))[0]
    assert before - 0.1 < after <= before
    at = points(20, 2, seed=4)
    for one, other in zip(model.marginals(at), again_model.marginals(at), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.02)


def test_a_start_from_another_kind_of_noise_gives_only_what_it_learnt():
    """An exact fit has learnt a signal variance, an inferred one a noise: they never mix."""
    exact = NegativeLogPosterior(smooth_data("exact"), "matern52", Priors())
    inferred = NegativeLogPosterior(smooth_data("inferred"), "matern52", Priors())
    _, theta = fit(smooth_data("exact"))
    np.testing.assert_array_equal(inferred.learnt(theta)[:-1], exact.learnt(theta)[:-1])
    assert inferred.learnt(theta)[-1] == inferred.prior_mean[-1]


def test_a_bad_start_is_left_again_now_and_then():
    """Fifteen observations of two waves may be noise, too: that is another maximum."""
    X = points(16, 1, seed=1)
    Y = torch.sin(15.0 * X) + 0.2 * points(16, 1, seed=2)
    noise = (np.log(0.5), 0.0, np.log(0.9))
    value = {}
    for n in (14, 15):
        data = data_of(X[:n], (Y - Y.mean())[:n] / Y.std(), torch.full((n, 1), torch.nan).double())
        objective = NegativeLogPosterior(data, "rbf", Priors())
        fits = [fit(data, "rbf", start=start)[1] for start in (None, noise)]
        value[n] = objective(np.array([objective.learnt(theta) for theta in fits]))[0]
    assert value[14][1] > value[14][0] + 3
    assert value[15][1] == pytest.approx(value[15][0], abs=0.02)


# -- data that a fit has to survive ----------------------------------------------------------------


def difficult(name):
    X, Y = points(10, 2, seed=5), points(10, 1, seed=6)
    if name == "one point":
        return X[:1], torch.zeros(1, 1).double()
    if name == "two equal points":
        return X[[0, 0]], torch.tensor([[1.0], [-1.0]]).double()
    if name == "constant":
        return X, torch.zeros_like(Y)
    if name == "duplicates":
        return torch.cat((X, X)), torch.cat((Y, Y))
    if name == "near duplicates":
        return torch.cat((X, X + 1e-9)), torch.cat((Y, Y))
    if name == "contradictions":
        return torch.cat((X, X)), torch.cat((Y, 1.0 - Y))
    if name == "on one line":
        return X * torch.tensor([1.0, 0.0]).double(), Y
    if name == "outlier":
        return X, torch.nn.functional.pad(Y[1:], (0, 0, 1, 0), value=1e3)
    return points(200, 3, seed=7), torch.sin(points(200, 3, seed=7).sum(-1, keepdim=True) * 5)


@pytest.mark.parametrize("noise", ["exact", "inferred", "known"])
@pytest.mark.parametrize("correlation", KERNELS)
@pytest.mark.parametrize(
    "name",
    [
        "one point",
        "two equal points",
        "constant",
        "duplicates",
        "near duplicates",
        "contradictions",
        "on one line",
        "outlier",
        "two hundred",
    ],
)
def test_difficult_data_are_survived(name, correlation, noise):
    """No error, no warning, and a posterior between what the data say and the prior."""
    X, Y = difficult(name)
    model, theta = fit(data_of(X, Y, noise_variances(noise, len(Y))), correlation)
    assert np.isfinite(theta).all()
    mean, variance = model.marginals(torch.cat((X, points(50, X.shape[1], seed=8))))
    spread = float(Y.max() - Y.min())
    assert float(mean.max()) < float(Y.max()) + 2 * spread + 1e-6
    assert float(mean.min()) > float(Y.min()) - 2 * spread - 1e-6
    assert 0 < float(variance.min())
    assert float(variance.max()) <= model.hyperparameters.signal * (1 + 1e-9)
