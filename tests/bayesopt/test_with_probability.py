"""Acquisitions times probabilities: the sum of logarithms, its gradient, and the barrier."""

import math

import pytest
import torch
from botorch.acquisition.logei import qLogExpectedImprovement
from processes import points, process

from bayesopt.acquisition.average import Average
from bayesopt.acquisition.expected_improvement import ExpectedImprovement
from bayesopt.acquisition.with_probability import Cautious, WithProbability
from bayesopt.models.feasibility import fit_feasibility

MODEL = process()
SEEN = points(25, 2, seed=3)
FACTOR, _ = fit_feasibility(SEEN, ((SEEN - 0.3) ** 2).sum(1) > 0.1)
X = points(12, 2, seed=1)
ACQUISITIONS = {
    "ei": ExpectedImprovement(MODEL, 0.4),
    "average": Average([ExpectedImprovement(process(signal=s), 0.4) for s in (1.0, 2.0)]),
    "botorch": qLogExpectedImprovement(MODEL, best_f=0.4),
}


@pytest.mark.parametrize("name", ACQUISITIONS)
@pytest.mark.parametrize("least", [None, 0.9])
def test_it_is_the_sum_of_logarithms_and_its_gradient_that_of_autograd(name, least):
    factor = FACTOR if least is None else Cautious(FACTOR, least)
    inner = ACQUISITIONS[name]
    product = WithProbability(inner, [factor, FACTOR])
    variable = X.clone().requires_grad_(True)
    plain = product(variable.unsqueeze(1))
    parts = inner(X.unsqueeze(1)) + factor.log_probability(X) + FACTOR.log_probability(X)
    torch.testing.assert_close(plain, parts, rtol=1e-10, atol=1e-10)
    (expected,) = torch.autograd.grad(plain.sum(), variable)
    value, gradient = product.value_and_gradient(X)
    torch.testing.assert_close(value, plain.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-8)


def test_probabilities_of_several_points_are_multiplied():
    pairs = X.reshape(6, 2, 2)
    inner = ACQUISITIONS["botorch"]
    value = WithProbability(inner, [FACTOR])(pairs)
    expected = inner(pairs) + FACTOR.log_probability(X).reshape(6, 2).sum(1)
    torch.testing.assert_close(value, expected)


def test_no_factor_changes_nothing():
    value, gradient = WithProbability(ACQUISITIONS["ei"], []).value_and_gradient(X)
    expected, slope = ACQUISITIONS["ei"].value_and_gradient(X)
    assert torch.equal(value, expected) and torch.equal(gradient, slope)


def test_caution_leaves_large_probabilities_and_makes_small_ones_hopeless():
    log_p = FACTOR.log_probability(SEEN)
    value = Cautious(FACTOR, 0.9).log_probability(SEEN)
    likely = log_p >= math.log(0.9)
    assert likely.any() and not likely.all()
    assert torch.equal(value[likely], log_p[likely])
    assert bool((value[log_p < math.log(0.5)] < -50.0).all())


@pytest.mark.parametrize("least", [0.0, -0.1, 1.1, math.nan])
def test_least_is_a_probability(least):
    with pytest.raises(ValueError, match="above 0"):
        Cautious(FACTOR, least)
