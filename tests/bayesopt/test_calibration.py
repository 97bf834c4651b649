"""Leave-one-out predictions against refits without each observation."""

from dataclasses import replace

import pytest
import torch
from processes import KERNELS, MEANS, MIXED, NOISES, points, process
from scipy.stats import kstest, norm

from bayesopt.models.calibration import leave_one_out
from bayesopt.models.derivatives.process import DerivativeGaussianProcess
from bayesopt.models.derivatives.rows import HyperparametersWithSlopes, rows
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters


def same(a, b, atol=1e-8):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_it_agrees_with_leaving_each_one_out(kernel, noise, mean):
    model = process(kernel, noise, 1.3, MIXED, mean=mean)
    ours = leave_one_out(model)
    for i in range(len(model.X)):
        rest = [j for j in range(len(model.X)) if j != i]
        X, Y, Yvar = (t[rest] for t in (model.X, model.Y, model.Yvar))
        other = ExactGaussianProcess(X, Y, Yvar, model.hyperparameters, MIXED)
        mu, variance = other.marginals(model.X[i : i + 1])
        own = torch.where(model.Yvar[i].isnan(), model.hyperparameters.noise, model.Yvar[i])
        same(ours.mean[i], mu[0], 1e-7)
        same(ours.variance[i], (variance + own)[0], 1e-7)
        expected = norm(float(ours.mean[i]), float(ours.variance[i]) ** 0.5)
        assert float(ours.log_density[i]) == pytest.approx(expected.logpdf(float(model.Y[i])))
    same(ours.residual, (model.Y.squeeze(-1) - ours.mean) / ours.variance.sqrt(), 1e-6)


def test_one_observation_leaves_the_prior():
    h = Hyperparameters(torch.ones(1, dtype=torch.float64), noise=0.1, mean=0.5, signal=2.0)
    Y = torch.tensor([[1.7]], dtype=torch.float64)
    ours = leave_one_out(ExactGaussianProcess(Y, Y, torch.full_like(Y, torch.nan), h))
    same(ours.mean, torch.tensor([0.5], dtype=torch.float64), 1e-14)
    same(ours.variance, torch.tensor([2.1], dtype=torch.float64), 1e-14)


def test_residuals_are_standard_normal_where_the_model_is_right():
    """And too wide where it believes in too little noise."""
    torch.manual_seed(0)
    plain = process(noise="known", n=300)
    prior = plain.L @ torch.randn(300, 1, dtype=torch.float64)
    model = ExactGaussianProcess(
        plain.X, plain.hyperparameters.mean + prior, plain.Yvar, plain.hyperparameters
    )
    assert kstest(leave_one_out(model).residual.numpy(), "norm").pvalue > 1e-3
    sure = ExactGaussianProcess(model.X, model.Y, model.Yvar / 9, replace(model.hyperparameters))
    assert float(leave_one_out(sure).residual.std()) > 2.0


def test_batches_are_refused():
    batched = process().condition_on_observations(points(2, 1, 2), points(2, 1, 1))
    with pytest.raises(ValueError, match=r"without a batch shape, but this model has \(2,\)"):
        leave_one_out(batched)


def test_partial_derivatives_are_left_out_with_their_value():
    torch.manual_seed(1)
    X, Y = points(6, 2), torch.randn(6, 1, dtype=torch.float64)
    noise, dY = torch.full_like(Y, 0.01), torch.randn(6, 2, dtype=torch.float64)
    dY[1, 0] = dY[3] = torch.nan
    h = HyperparametersWithSlopes(torch.tensor([0.4, 0.6]).double(), 0.1, 0.3, 1.3, slope_noise=0.2)
    dYvar = torch.full_like(dY, torch.nan)

    def model_of(kept):
        return DerivativeGaussianProcess(
            rows(X[kept], Y[kept], noise[kept], dY[kept], dYvar[kept]), h
        )

    ours = leave_one_out(model_of(list(range(6))))
    for i in range(6):
        mu, variance = model_of([j for j in range(6) if j != i]).marginals(X[i : i + 1])
        same(ours.mean[i], mu[0])
        same(ours.variance[i], (variance + 0.01)[0])
