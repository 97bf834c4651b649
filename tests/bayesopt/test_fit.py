"""Fitting: density and gradient, its maximum, and data that a fit has to survive."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from processes import KERNELS, MEANS, MIXED, NOISES, SHAPES, noise_variances, points
from scipy.optimize import minimize
from scipy.special import gamma, kv
from scipy.stats import multivariate_normal, norm, truncnorm

from bayesopt.data import Dataset, Scaling
from bayesopt.models.fit import NegativeLogPosterior, fit
from bayesopt.models.gaussian_process import GaussianProcess, Priors
from bayesopt.models.prior import LogNormal, Uniform

FLAT = Priors(lengthscale=Uniform(5e-3, 1e3), noise=Uniform(1e-8, 1e2))
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
    theta = objective.centre + rng.uniform(-1, 1, (n, len(objective.centre)))
    # Next to p = 2 a covariance without noise is all but singular, and no difference is exact.
    return np.clip(theta, objective.low, objective.high - 0.3)


def correlations(data, kernel, lengthscale, shape=None):
    """k(X, X) written out from the formulas."""
    X, s = data.X.numpy(), 0.0
    p = shape if kernel == "power_exponential" else 2.0
    for j in range(X.shape[1]):
        if j in dict(data.categories):  # one-hot over sqrt 2: two coordinates differ
            apart = (X[:, [j]] != X[:, j]) * 2.0 ** (1 - p / 2)
        else:
            apart = np.abs(X[:, [j]] - X[:, j]) ** p
        s = s + apart / lengthscale[j] ** p
    if kernel in ("rbf", "power_exponential"):
        return np.exp(-s / 2 if kernel == "rbf" else -s)
    nu = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5, "matern": shape}[kernel]
    z = np.sqrt(2 * nu * s) + np.eye(len(X))
    return np.where(s == 0, 1.0, 2 ** (1 - nu) / gamma(nu) * z**nu * kv(nu, z))


def covariance(data, kernel, theta, learns_signal, learns_noise):
    """K, where everything that can be learnt is part of theta."""
    d = data.X.shape[1]
    h = np.exp(theta)
    k = correlations(data, kernel, h[:d], h[-1])
    unknown = h[d + learns_signal] if learns_noise else 0.0
    noise = np.nan_to_num(data.Yvar.squeeze(-1).numpy(), nan=unknown) + JITTER
    return (h[d] if learns_signal else 1.0) * k + np.diag(noise)


def basis(data, mean):
    """Columns of the prior mean, the constant first."""
    real = [j for j in range(data.X.shape[1]) if j not in dict(data.categories)]
    u = 2 * data.X.numpy()[:, real] - 1
    return np.column_stack((np.ones(len(u)), u, u**2))[:, : 1 + MEANS.index(mean) * len(real)]


def best_beta(K, Y, H):
    """Generalised least squares with normal priors of sd 2, by solving for data that say so."""
    k = H.shape[1]
    L = np.linalg.cholesky(K)
    rows = np.vstack((np.linalg.solve(L, H), np.eye(k)[1:] / 2))
    return np.linalg.lstsq(rows, np.concatenate((np.linalg.solve(L, Y), np.zeros(k - 1))))[0]


def penalised_density(K, Y, H):
    beta = best_beta(K, Y, H)
    return multivariate_normal(H @ beta, K).logpdf(Y) - 0.5 * np.sum((beta[1:] / 2) ** 2)


# -- the density -----------------------------------------------------------------------------------


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_value_is_the_normal_density_times_the_priors(kernel, noise, categories):
    data = smooth_data(noise, categories)
    d, Y = data.X.shape[1], data.Y.squeeze(-1).numpy()
    lengthscale = norm(np.log(0.35) + np.log(d) / 2, 1.0)  # the default, scaled with d
    signal, other = LogNormal(0.5, 1.5), LogNormal(-3.0, 0.7)
    for mean in MEANS:
        process = GaussianProcess(kernel, mean=mean, priors=Priors(noise=other))
        if noise == "exact":
            process = replace(process, priors=Priors(noise=other, signal=signal))
        objective = NegativeLogPosterior(data, process)
        thetas = several_thetas(objective)
        values, _ = objective(thetas)
        likelihoods, _ = NegativeLogPosterior(data, process, "mle")(thetas)
        learns_signal, learns_noise = noise == "exact", noise in ("inferred", "mixed")
        shape = process.learns_shape
        for theta, value, likelihood in zip(thetas, values, likelihoods, strict=True):
            K = covariance(data, kernel, theta, learns_signal, learns_noise)
            density = penalised_density(K, Y, basis(data, mean))
            assert likelihood == pytest.approx(-density, rel=1e-6, abs=1e-6)
            density += lengthscale.logpdf(theta[:d]).sum()
            density += norm(0.5, 1.5).logpdf(theta[d]) if learns_signal else 0.0
            density += norm(-3.0, 0.7).logpdf(theta[-1 - shape]) if learns_noise else 0.0
            if kernel == "matern":
                density += norm(np.log(2.5), 0.75).logpdf(theta[-1])
            elif kernel == "power_exponential":
                density += truncnorm(-3.8, 0.0, 2.0, 0.5).logpdf(np.exp(theta[-1]))
            assert value == pytest.approx(-density, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_gradient_agrees_with_finite_differences(kernel, mean, noise, categories):
    for method in ("mle", "map"):
        process = GaussianProcess(kernel, mean=mean)
        objective = NegativeLogPosterior(smooth_data(noise, categories), process, method)
        step = 1e-5
        thetas = several_thetas(objective)
        _, gradient = objective(thetas)
        n, p = thetas.shape
        moves = step * np.eye(p)
        moved = thetas[:, None] + np.concatenate((moves, -moves))
        ahead, behind = np.split(objective(moved.reshape(-1, p))[0].reshape(n, 2 * p), 2, axis=1)
        np.testing.assert_allclose(gradient, (ahead - behind) / (2 * step), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("noise", NOISES)
def test_the_prior_mean_is_the_best_one(noise, mean):
    data, process = smooth_data(noise), GaussianProcess(mean=mean)
    objective = NegativeLogPosterior(data, process, "mle")
    theta = several_thetas(objective, 1)[0]
    K = covariance(data, "matern52", theta, noise == "exact", noise in ("inferred", "mixed"))
    Y, H = data.Y.squeeze(-1).numpy(), basis(data, mean)

    def negative_log_density(beta):
        return 0.5 * np.sum((beta[1:] / 2) ** 2) - multivariate_normal(H @ beta, K).logpdf(Y)

    best = minimize(negative_log_density, np.zeros(H.shape[1]), tol=1e-12)
    h = objective.likelihood.hyperparameters(theta)
    found = [h.mean] + ([] if h.trend is None else h.trend.tolist())
    np.testing.assert_allclose(found, best.x, atol=3e-4)
    assert objective(theta[None])[0][0] == pytest.approx(best.fun, rel=1e-6)


@pytest.mark.parametrize("mean", ["linear", "quadratic"])
def test_one_observation_does_not_break_a_trend(mean):
    data = data_of(points(1, 2), points(1, 1), noise_variances("inferred", 1))
    model, theta = fit(data, GaussianProcess(mean=mean))
    assert np.isfinite(theta).all()
    assert float(model.hyperparameters.trend.abs().max()) < 1e-6


def test_a_trend_is_found_and_followed():
    """A plane: the linear mean goes on along it where the constant one falls back."""
    X = 0.5 * points(20, 2, seed=1)
    Y = 2.0 * X[:, :1] - X[:, 1:]
    data = data_of(X, (Y - Y.mean()) / Y.std(), noise_variances("known", 20))
    corner = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    truth = float((2.0 - Y.mean()) / Y.std())
    short = Priors(lengthscale=LogNormal(np.log(0.3), 0.1))
    error = {}
    for mean in MEANS:
        model, _ = fit(data, GaussianProcess(mean=mean, priors=short))
        error[mean] = abs(float(model.marginals(corner)[0]) - truth)
    assert error["linear"] < 0.5 * error["constant"]
    assert error["quadratic"] < 0.7 * error["constant"]


def test_categories_alone_leave_a_constant_mean():
    categories = ((0, 3), (1, 2))
    X = points(9, 2, categories=categories, seed=1)
    data = data_of(X, points(9, 1, seed=2), noise_variances("inferred", 9), categories)
    model, _ = fit(data, GaussianProcess(mean="quadratic"))
    plain, _ = fit(data)
    torch.testing.assert_close(model.marginals(X)[0], plain.marginals(X)[0], rtol=0, atol=1e-9)


def test_starts_are_independent_of_each_other():
    objective = NegativeLogPosterior(smooth_data("mixed"), GaussianProcess("rbf"))
    thetas = several_thetas(objective, 5)
    values, gradients = objective(thetas)
    for i in range(5):
        value, gradient = objective(thetas[i : i + 1])
        np.testing.assert_allclose(values[i], value[0], rtol=1e-12)
        np.testing.assert_allclose(gradients[i], gradient[0], rtol=1e-9, atol=1e-11)


def test_a_singular_covariance_counts_as_infinitely_bad():
    X = points(1, 2).expand(40, 2).contiguous()
    data = data_of(X, torch.zeros(40, 1).double(), torch.zeros(40, 1).double())
    objective = NegativeLogPosterior(data, GaussianProcess("rbf"))
    theta = objective.centre.copy()
    theta[-1] = np.log(1e8)  # a signal so large that the jitter is lost in it
    value, gradient = objective(theta[None])
    assert value[0] == np.inf
    assert np.isfinite(gradient).all()


def test_what_is_learnt_depends_on_the_noise():
    def names(noise):
        return NegativeLogPosterior(smooth_data(noise), GaussianProcess("rbf")).names[2:]

    assert [names(noise) for noise in ("exact", "inferred", "mixed", "known")] == [
        ["signal"],
        ["noise"],
        ["noise"],
        [],
    ]
    model, _ = fit(smooth_data("known"))
    assert (model.hyperparameters.signal, model.hyperparameters.noise) == (1.0, 0.0)


# -- the maximum -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_maximum_of_the_likelihood_is_found(kernel):
    data = smooth_data("known", n=15, d=1)
    shape = SHAPES.get(kernel)
    given = {"matern": {"nu": shape}, "power_exponential": {"power": shape}}.get(kernel, {})
    process = GaussianProcess(kernel, **given)
    model, theta = fit(data, process, method="mle")
    objective = NegativeLogPosterior(data, process, "mle")
    grid = np.linspace(np.log(0.02), np.log(20.0), 2000)
    values, _ = objective(grid[:, None])
    found, _ = objective(objective.learnt(theta)[None])
    assert found[0] < values.min() + 0.02
    assert theta[0] == pytest.approx(grid[values.argmin()], abs=0.1)
    assert float(model.hyperparameters.lengthscale) == pytest.approx(np.exp(theta[0]))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_flat_priors_give_back_maximum_likelihood(kernel, noise):
    """The same up to a constant, everywhere, and the same maximum."""
    data = smooth_data(noise)
    learnt = GaussianProcess(kernel).learns_shape
    shape = {"matern": Uniform(0.2, 20.0), "power_exponential": Uniform(0.1, 2.0)}.get(kernel)
    flat = replace(FLAT, shape=shape if learnt else None)
    if noise == "exact":
        flat = replace(flat, signal=Uniform(1e-3, 1e4))
    by_map = NegativeLogPosterior(data, GaussianProcess(kernel, priors=flat))
    by_mle = NegativeLogPosterior(data, GaussianProcess(kernel), "mle")
    np.testing.assert_allclose(by_map.low, by_mle.low, rtol=1e-12)
    np.testing.assert_allclose(by_map.high, by_mle.high, rtol=1e-12)
    thetas = several_thetas(by_mle)
    (value, gradient), (value_mle, gradient_mle) = by_map(thetas), by_mle(thetas)
    np.testing.assert_allclose(value - value[0], value_mle - value_mle[0], atol=1e-9)
    np.testing.assert_allclose(gradient, gradient_mle, rtol=1e-12)
    _, theta = fit(data, GaussianProcess(kernel, priors=flat))
    _, theta_mle = fit(data, GaussianProcess(kernel), method="mle")
    found = by_mle(np.array([by_mle.learnt(theta), by_mle.learnt(theta_mle)]))[0]
    assert found[0] == pytest.approx(found[1], abs=0.05)


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_fit_is_never_worse_than_where_it_starts(kernel, noise, categories):
    data = smooth_data(noise, categories)
    objective = NegativeLogPosterior(data, GaussianProcess(kernel))
    _, theta = fit(data, GaussianProcess(kernel))
    centre = objective.centre
    assert objective(objective.learnt(theta)[None])[0][0] <= objective(centre[None])[0][0]
    for start in several_thetas(objective, 2):
        _, theta = fit(data, GaussianProcess(kernel), start=objective.everything(start))
        assert objective(objective.learnt(theta)[None])[0][0] <= objective(start[None])[0][0]


def test_the_gradient_vanishes_where_the_fit_ends():
    data = smooth_data(n=40)
    _, theta = fit(data)
    objective = NegativeLogPosterior(data, GaussianProcess())
    _, gradient = objective(objective.learnt(theta)[None])
    assert np.abs(gradient).max() < 0.3  # a standard deviation of the posterior is about 1 / 3


def standard_errors(objective, theta, step=1e-4):
    """From the curvature of the likelihood at its maximum."""
    p = len(theta)
    _, gradient = objective(theta + step * np.concatenate((np.eye(p), -np.eye(p))))
    hessian = (gradient[:p] - gradient[p:]) / (2 * step)
    return np.sqrt(np.linalg.inv((hessian + hessian.T) / 2).diagonal())


def drawn(process, theta, n, seed, d=2):
    """n noisy observations of a function that was drawn from the process."""
    rng = np.random.default_rng(seed)
    X = points(n, d, seed=seed + 3)
    data = data_of(X, torch.zeros(n, 1).double(), torch.full((n, 1), torch.nan).double())
    K = covariance(data, process.kernel, theta, False, True)
    Y = torch.from_numpy(rng.multivariate_normal(np.zeros(n), K)).unsqueeze(-1)
    return data_of(X, Y, data.Yvar)


@pytest.mark.parametrize(
    ("kernel", "largest_error"),
    [("matern12", 0.6), ("matern32", 0.5), ("matern52", 0.5), ("rbf", 0.5)],
)
def test_true_hyperparameters_are_recovered(kernel, largest_error):
    """Within 4 standard errors, from the curvature of the likelihood at the estimate."""
    truth, process = np.log([0.2, 0.5, 0.05]), GaussianProcess(kernel)
    data = drawn(process, truth, 200, seed=0)
    _, theta = fit(data, process, method="mle")
    objective = NegativeLogPosterior(data, process, "mle")
    theta = objective.learnt(theta)
    error = standard_errors(objective, theta)
    assert (error < largest_error).all()
    assert (np.abs(theta - truth) < 4 * error).all()


@pytest.mark.parametrize(
    ("kernel", "shape", "low", "high"),
    [
        ("matern", 0.5, 0.35, 0.75),
        ("matern", 1.5, 1.0, 2.3),
        ("matern", 3.5, 2.3, 7.0),
        ("power_exponential", 1.0, 0.8, 1.2),
        ("power_exponential", 1.7, 1.5, 1.9),
    ],
)
def test_the_shape_is_recovered(kernel, shape, low, high):
    """The smoothness of a sampled function: within 4 standard errors, and in an interval."""
    truth, process = np.log([0.3, 1e-4, shape]), GaussianProcess(kernel)
    data = drawn(process, truth, 100, seed=1, d=1)
    model, theta = fit(data, process, method="mle")
    objective = NegativeLogPosterior(data, process, "mle")
    assert low < model.hyperparameters.shape < high
    theta = objective.learnt(theta)
    error = standard_errors(objective, theta)
    assert error[-1] < 0.4
    assert (np.abs(theta - truth) < 4 * error).all()


@pytest.mark.parametrize("noise", NOISES)
def test_a_warm_start_stays_where_it_was(noise):
    data = smooth_data(noise, n=13)
    objective = NegativeLogPosterior(data, GaussianProcess())
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
    exact = NegativeLogPosterior(smooth_data("exact"), GaussianProcess())
    inferred = NegativeLogPosterior(smooth_data("inferred"), GaussianProcess())
    _, theta = fit(smooth_data("exact"))
    np.testing.assert_array_equal(inferred.learnt(theta)[:-1], exact.learnt(theta)[:-1])
    assert inferred.learnt(theta)[-1] == inferred.centre[-1]


def test_a_bad_start_is_left_again_now_and_then():
    """Fifteen observations of two waves may be noise, too: that is another maximum."""
    X = points(16, 1, seed=1)
    Y = torch.sin(15.0 * X) + 0.2 * points(16, 1, seed=2)
    noise = (np.log(0.5), 0.0, np.log(0.9))
    value = {}
    for n in (14, 15):
        data = data_of(X[:n], (Y - Y.mean())[:n] / Y.std(), torch.full((n, 1), torch.nan).double())
        objective = NegativeLogPosterior(data, GaussianProcess("rbf"))
        fits = [fit(data, GaussianProcess("rbf"), start=start)[1] for start in (None, noise)]
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
@pytest.mark.parametrize("kernel", KERNELS)
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
def test_difficult_data_are_survived(name, kernel, noise):
    """No error, no warning, and a posterior between what the data say and the prior."""
    X, Y = difficult(name)
    model, theta = fit(data_of(X, Y, noise_variances(noise, len(Y))), GaussianProcess(kernel))
    assert np.isfinite(theta).all()
    mean, variance = model.marginals(torch.cat((X, points(50, X.shape[1], seed=8))))
    spread = float(Y.max() - Y.min())
    assert float(mean.max()) < float(Y.max()) + 2 * spread + 1e-6
    assert float(mean.min()) > float(Y.min()) - 2 * spread - 1e-6
    assert 0 < float(variance.min())
    assert float(variance.max()) <= model.hyperparameters.signal * (1 + 1e-9)
