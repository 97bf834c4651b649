"""Averages over models: the formula, its gradient, and terms that promise nothing."""

import pytest
import torch
from processes import points, process
from test_noisy_expected_improvement import data_of

from bayesopt.acquisition.average import Average
from bayesopt.acquisition.expected_improvement import ExpectedImprovement
from bayesopt.acquisition.noisy_expected_improvement import build
from bayesopt.acquisition.posterior_mean import PosteriorMeanWithGradient

MODELS = [process("matern52"), process("rbf"), process("rbf", signal=2.0)]
X = points(12, 2, seed=1)


@pytest.mark.parametrize("log", [True, False])
def test_it_is_the_mean_of_the_plain_values(log):
    average = Average([ExpectedImprovement(m, 0.4, log=log) for m in MODELS], log=log)
    plain = torch.stack([ExpectedImprovement(m, 0.4, log=False)(X.unsqueeze(1)) for m in MODELS])
    value = average(X.unsqueeze(1))
    torch.testing.assert_close(value.exp() if log else value, plain.mean(0), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(
    "terms",
    [
        [ExpectedImprovement(m, 0.4) for m in MODELS],
        [build(m, data_of(m)) for m in MODELS],
    ],
    ids=["ei", "noisy_ei"],
)
def test_its_gradient_is_that_of_autograd(terms):
    average = Average(terms)
    value, gradient = average.value_and_gradient(X)
    variable = X.clone().requires_grad_()
    plain = average(variable.unsqueeze(1))
    (expected,) = torch.autograd.grad(plain.sum(), variable)
    torch.testing.assert_close(value, plain.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=1e-9)


def test_means_are_averaged_as_they_are():
    average = Average([PosteriorMeanWithGradient(m) for m in MODELS], log=False)
    value, gradient = average.value_and_gradient(X)
    pairs = [PosteriorMeanWithGradient(m).value_and_gradient(X) for m in MODELS]
    torch.testing.assert_close(value, torch.stack([v for v, _ in pairs]).mean(0))
    torch.testing.assert_close(gradient, torch.stack([g for _, g in pairs]).mean(0))


def test_a_term_without_a_promise_does_not_spoil_the_others():
    model = process(noise="exact")
    at = model.X[:1]
    certain = ExpectedImprovement(model, 1e9)
    average = Average([certain, ExpectedImprovement(MODELS[0], 0.4)])
    value, gradient = average.value_and_gradient(at)
    assert value.isfinite().all() and gradient.isfinite().all()


def test_one_term_is_itself_and_none_is_refused():
    term = ExpectedImprovement(MODELS[0], 0.4)
    torch.testing.assert_close(Average([term])(X.unsqueeze(1)), term(X.unsqueeze(1)))
    with pytest.raises(ValueError, match="at least one"):
        Average([])
