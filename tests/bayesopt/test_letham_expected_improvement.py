"""Letham's noisy expected improvement: golden values, limits, gradients, botorch's own sample."""

import pytest
import torch
from botorch.acquisition import qLogNoisyExpectedImprovement
from botorch.sampling import SobolQMCNormalSampler
from botorch_twin import twin_of
from processes import KERNELS, points, process
from test_noisy_expected_improvement import data_of, golden_model, tensor

from bayesopt.acquisition.expected_improvement import ExpectedImprovement
from bayesopt.acquisition.letham_expected_improvement import LethamExpectedImprovement, build

# lambda, x, value with a standard error of about 2e-4
GOLDEN = [
    (0.1, 0.4, 0.0),
    (0.1, 0.5, 0.0808),
    (0.1, 0.55, 0.0904),
    (0.1, 0.95, 0.0726),
    (0.01, 0.55, 0.0996),
    (1e-6, 0.5, 0.0955),
]


@pytest.mark.parametrize(("noise", "x", "expected"), GOLDEN)
def test_golden_values(noise, x, expected):
    model = golden_model(noise)
    value = LethamExpectedImprovement(model, model.X, log=False, n_samples=8192)(tensor([[x]]))
    assert float(value) == pytest.approx(expected, abs=4 * 2e-4)


@pytest.mark.parametrize("correlation", KERNELS)
def test_it_is_the_mean_improvement_on_hidden_values(correlation):
    """Against joint draws of f(A) and f(x), within 4 standard errors."""
    model, X = process(correlation, "known"), points(5, 1, 2, seed=1)
    values = LethamExpectedImprovement(model, model.X, log=False, n_samples=4096)(X)
    torch.manual_seed(0)
    joint = torch.cat((model.X.expand(5, *model.X.shape), X), dim=1)
    f = model.posterior(joint).rsample(torch.Size([40_000])).squeeze(-1)
    gain = (f[..., -1] - f[..., :-1].amax(-1)).clamp_min(0.0)
    error = gain.std(0) / 40_000**0.5
    assert bool(((values - gain.mean(0)).abs() < 4 * error + 1e-4).all())


def test_botorch_agrees():
    model, X = process(noise="known"), points(20, 1, 2, seed=2)
    sampler = SobolQMCNormalSampler(torch.Size([4096]), seed=0)
    theirs = qLogNoisyExpectedImprovement(
        model, model.X, sampler, cache_root=False, prune_baseline=False
    )
    ours = LethamExpectedImprovement(model, model.X, log=False, n_samples=4096)(X)
    torch.testing.assert_close(ours, theirs(X).exp(), rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("noise", ["inferred", "known", "mixed"])
@pytest.mark.parametrize("correlation", KERNELS)
def test_gradients_agree_with_finite_differences(correlation, noise):
    model = process(correlation, noise, 1.3)
    acquisition, X = LethamExpectedImprovement(model, model.X), points(6, 2, seed=3)
    value, gradient = acquisition.value_and_gradient(X)
    with torch.no_grad():
        for move in 1e-6 * torch.eye(2).double():
            ahead, behind = (
                acquisition((X + move).unsqueeze(1)),
                acquisition((X - move).unsqueeze(1)),
            )
            slope = (gradient * move).sum(-1)
            torch.testing.assert_close((ahead - behind) / 2, slope, rtol=1e-3, atol=1e-10)


@pytest.mark.parametrize("of", [lambda m: m, twin_of], ids=["ours", "botorch"])
def test_any_model_will_do(of):
    model, X = process(noise="known"), points(10, 1, 2, seed=4)
    value = LethamExpectedImprovement(of(model), model.X)(X)
    torch.testing.assert_close(
        value, LethamExpectedImprovement(model, model.X)(X), rtol=1e-4, atol=1e-4
    )


def test_without_noise_it_is_expected_improvement():
    model, X = process(noise="exact"), points(30, 1, 2, seed=5)
    acquisition = build(model, data_of(model))
    assert isinstance(acquisition, ExpectedImprovement)
    torch.testing.assert_close(
        acquisition(X), ExpectedImprovement(model, model.Y.max().item())(X), rtol=0, atol=0
    )


@pytest.mark.parametrize("noise", ["inferred", "exact"])
def test_a_pending_point_promises_nothing(noise):
    model, X = process(noise=noise), points(200, 1, 2, seed=6)
    free = build(model, data_of(model))(X)
    pending = X[free.argmax()]
    busy = build(model, data_of(model), pending)
    assert float(busy(pending.unsqueeze(0)).exp()) < 1e-4 * float(free.exp().max())
    assert bool((busy(X).exp() < free.exp() + 0.02 * float(free.exp().max())).all())


def test_repeated_points_do_no_harm():
    model = process()
    X, at = torch.cat((model.X, model.X[:4])), points(10, 1, 2, seed=7)
    once, twice = LethamExpectedImprovement(model, model.X), LethamExpectedImprovement(model, X)
    torch.testing.assert_close(once(at), twice(at), rtol=0, atol=0)


@pytest.mark.parametrize("noise", [1e-30, 1e-18, 1e-12])
def test_noise_that_is_lost_in_rounding_is_survived(noise):
    model, X = golden_model(noise), points(50, 1, 1, seed=8)
    value = LethamExpectedImprovement(model, model.X)(X)
    best = float(model.marginals(model.X)[0].max())
    expected = ExpectedImprovement(model, best)(X)
    torch.testing.assert_close(value.exp(), expected.exp(), rtol=1e-3, atol=1e-6)
