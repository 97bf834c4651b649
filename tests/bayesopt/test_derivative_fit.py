"""Hyperparameters of a process on values and partial derivatives: fitted, and drawn."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from processes import points
from slopes import dataset, observations, tensor

from bayesopt.models.derivatives.draws import sample_with_derivatives
from bayesopt.models.derivatives.fit import DerivativeMarginalLikelihood, fit_with_derivatives
from bayesopt.models.derivatives.kernels import SMOOTH
from bayesopt.models.derivatives.process import DerivativeGaussianProcess
from bayesopt.models.derivatives.rows import HyperparametersWithSlopes, rows
from bayesopt.models.fit import NegativeLogPosterior, fit
from bayesopt.models.gaussian_process import GaussianProcess, KernelName, Priors
from bayesopt.models.prior import LogNormal

KERNELS = list(SMOOTH)
NOISES = ["inferred", "known", "exact", "mixed"]
MIXED = ((1, 3),)


def axis(low, high, n):
    return np.linspace(low, high, n)


def same(a, b, atol=1e-9):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_likelihood_is_that_of_the_normal_law_and_has_its_gradient(kernel, noise):
    seen = observations(noise=noise, categories=MIXED)
    data = dataset(*seen, categories=MIXED)
    likelihood = DerivativeMarginalLikelihood(data, *seen[3:], GaussianProcess(kernel))
    p = sum(likelihood.learnt)
    theta = np.log(0.5) + 0.3 * points(2, p, seed=6).numpy()
    value, gradient = likelihood.value_and_gradient(theta)
    for s in range(2):
        model = DerivativeGaussianProcess(
            likelihood.rows, likelihood.hyperparameters(theta[s]), MIXED
        )
        law = torch.distributions.MultivariateNormal(
            model.hyperparameters.mean * model.rows.weight, scale_tril=model.L
        )
        assert value[s] == pytest.approx(-float(law.log_prob(model.rows.y)), rel=1e-6)
        for j in range(p):
            step = np.zeros((1, p))
            step[0, j] = 1e-5
            ahead, behind = (
                likelihood.value_and_gradient(theta[[s]] + e)[0] for e in (step, -step)
            )
            assert gradient[s, j] == pytest.approx(
                (ahead - behind).item() / 2e-5, rel=1e-5, abs=1e-5
            )


def test_integrating_the_mean_out_agrees_with_a_sum_over_means():
    X, Y, Yvar, dY, dYvar = observations(noise="known")
    data = dataset(X, Y, Yvar)
    likelihood = DerivativeMarginalLikelihood(data, dY, dYvar, GaussianProcess())
    theta = np.log([[0.5, 0.6, 0.7], [0.9, 0.4, 1.2]])
    totals = []
    for row in theta:
        h = likelihood.hyperparameters(row)
        L = DerivativeGaussianProcess(likelihood.rows, h).L
        c = torch.linspace(-30, 30, 4001, dtype=torch.float64).unsqueeze(-1)
        law = torch.distributions.MultivariateNormal(c * likelihood.rows.weight, scale_tril=L)
        totals.append(float(law.log_prob(likelihood.rows.y).logsumexp(0)))
    ours = likelihood.log_integrated(theta)
    assert ours[1] - ours[0] == pytest.approx(totals[1] - totals[0], abs=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_without_any_slope_the_fit_is_the_usual_one(kernel):
    X, Y, Yvar, dY, dYvar = observations(n=12, noise="inferred", absent=1.1)
    ours, theta = fit_with_derivatives(dataset(X, Y, Yvar), dY, dYvar, GaussianProcess(kernel))
    theirs, other = fit(dataset(X, Y, Yvar), GaussianProcess(kernel))
    np.testing.assert_allclose(theta[:-1], other, atol=1e-6)
    assert theta[-1] == -4.0  # the centre of its prior
    same(ours.hyperparameters.lengthscale, theirs.hyperparameters.lengthscale, 1e-6)
    again, _ = fit_with_derivatives(dataset(X, Y, Yvar), dY, dYvar, start=other)
    assert again.hyperparameters.slope_noise == 0.0


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_fit_recovers_what_the_data_were_drawn_with(kernel):
    n, lengthscale = 80, tensor(0.25, 0.6)
    truth = HyperparametersWithSlopes(lengthscale, 1e-3, 0.0, 1.0, kernel, slope_noise=0.05)
    X = points(n, 2, seed=3)
    nan = torch.full_like(X, torch.nan)
    L = DerivativeGaussianProcess(
        rows(X, nan[:, :1], nan[:, :1], torch.zeros_like(X), nan), truth
    ).L
    draw = L @ torch.randn(len(L), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    data, dY = dataset(X, draw[:n].unsqueeze(-1), nan[:, :1]), draw[n:].reshape(n, 2)
    vague = LogNormal(0.0, 3.0)
    process = GaussianProcess(kernel, priors=Priors(lengthscale=vague, signal=vague))
    model, theta = fit_with_derivatives(data, dY, nan, process)
    h = model.hyperparameters
    np.testing.assert_allclose(h.lengthscale, lengthscale, rtol=0.2)
    assert 0.5 < h.signal < 2.0
    assert 0.5e-3 < h.noise < 2e-3
    assert 0.025 < h.slope_noise < 0.1
    likelihood = DerivativeMarginalLikelihood(data, dY, nan, process)
    of_truth, of_fit = likelihood.value_and_gradient(
        np.array([[math.log(v) for v in (0.25, 0.6, 1.0, 1e-3, 0.05)], theta])
    )[0]
    assert 0.0 < of_truth - of_fit < 8.0  # half a chi-squared of 5 degrees of freedom


def test_drawn_hyperparameters_scatter_around_the_mode_as_the_posterior_says():
    X, Y, Yvar, dY, dYvar = observations(n=5, d=1, noise="inferred", absent=0.0)
    data = dataset(X, Y, Yvar)
    mixture, theta = sample_with_derivatives(data, dY, dYvar, n_draws=160)
    likelihood = DerivativeMarginalLikelihood(data, dY, dYvar, GaussianProcess())
    objective = NegativeLogPosterior(data, GaussianProcess(), "map", likelihood)
    fitted, of_fit = fit_with_derivatives(data, dY, dYvar)
    np.testing.assert_allclose(theta, of_fit)
    drawn = [math.log(float(m.hyperparameters.lengthscale)) for m in mixture.models]
    others = [axis(-14.0, 2.0, 17) for _ in range(sum(likelihood.learnt) - 1)]
    grid = np.stack(np.meshgrid(axis(-3.0, 2.0, 41), *others, indexing="ij"), -1)
    log_density = objective.log_density(grid.reshape(-1, grid.shape[-1])).reshape(grid.shape[:-1])
    density = np.exp(log_density - log_density.max()).reshape(41, -1).sum(1)
    mean = float(density @ axis(-3.0, 2.0, 41) / density.sum())
    sd = float((density @ (axis(-3.0, 2.0, 41) - mean) ** 2 / density.sum()) ** 0.5)
    assert np.mean(drawn) == pytest.approx(mean, abs=0.35 * sd)
    assert np.std(drawn) == pytest.approx(sd, rel=0.3)
    at = points(4, 1, seed=6)
    same(
        mixture.marginals(at)[0], torch.stack([m.marginals(at)[0] for m in mixture.models]).mean(0)
    )
    assert mixture.hyperparameters.slope_noise >= 0.0


AWKWARD = {
    "nothing varies": lambda X, Y, dY: (X, 0 * Y, 0 * dY),
    "one point": lambda X, Y, dY: (X[:1], Y[:1], dY[:1]),
    "far too steep": lambda X, Y, dY: (X, Y, 1e6 * dY),
    "wrong sign": lambda X, Y, dY: (X, Y, -dY),
    "contradictions": lambda X, Y, dY: (torch.cat((X, X)), torch.cat((Y, Y)), torch.cat((dY, -dY))),
    "all but the same": lambda X, Y, dY: (
        torch.cat((X, X + 1e-9)),
        torch.cat((Y, Y)),
        torch.cat((dY, dY)),
    ),
}


@pytest.mark.parametrize("noise", [0.0, math.nan], ids=["exact", "inferred"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("what", AWKWARD)
def test_awkward_data_are_fitted_all_the_same(what, kernel, noise):
    X, Y, _, dY, _ = observations(n=10, d=2, absent=0.0)
    X, Y, dY = AWKWARD[what](X, Y, dY)
    Yvar, dYvar = torch.full_like(Y, noise), torch.full_like(dY, noise)
    model, theta = fit_with_derivatives(
        dataset(X, Y, Yvar), dY, dYvar, GaussianProcess(kernel), start=(0.0, 0.0, 0.0, -4.0)
    )
    at = torch.cat((X[:2], points(5, 2, seed=6)))
    moments = [*model.marginals_with_gradients(at), *model.values_and_slopes(at)]
    moments += model.moments_with_next(at)(at, None)
    assert all(bool(moment.isfinite().all()) for moment in moments)
    assert np.isfinite(theta).all() and float(moments[1].min()) > 0.0


def test_the_kernels_that_take_derivatives_are_those_that_have_slopes():
    takes = {k for k in get_args(KernelName) if GaussianProcess(k).takes_derivatives}
    assert takes == set(SMOOTH)
