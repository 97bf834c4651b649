"""Where evaluations succeed for what is sought: the mean over the nodes of a target."""

import pytest
import torch

from bayesopt.models.feasibility import fit_feasibility
from bayesopt.models.success_of_target import SuccessOfTarget
from bayesopt.target import Target


@pytest.fixture(scope="module")
def success():
    X = torch.rand(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model, _ = fit_feasibility(X, X[:, 0] + X[:, 2] < 1.1, ())
    nodes = torch.tensor([[0.1], [0.5], [0.9]], dtype=torch.float64)
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    return model, SuccessOfTarget(model, [2], Target(nodes, weights))


def test_it_is_the_mean_over_the_nodes(success):
    model, of_target = success
    X = torch.tensor([[0.3, 0.4, 0.0], [0.8, 0.1, 1.0]], dtype=torch.float64)
    expected = torch.zeros(2, dtype=torch.float64)
    for node, weight in zip((0.1, 0.5, 0.9), (0.2, 0.3, 0.5), strict=True):
        at = X.clone()
        at[:, 2] = node
        expected += weight * model.probability(at)
    torch.testing.assert_close(of_target.probability(X), expected, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(of_target.probability(X[:, None]), expected[:, None])
    assert expected[1] < 0.5 < expected[0]


def test_its_gradient_is_that_of_autograd(success):
    _, of_target = success
    X = torch.tensor([[0.3, 0.4, 0.7], [0.6, 0.1, 0.2]], dtype=torch.float64)
    value, gradient = of_target.log_probability_and_gradient(X)
    variable = X.clone().requires_grad_(True)
    log_p = of_target.log_probability(variable)
    (slope,) = torch.autograd.grad(log_p.sum(), variable)
    torch.testing.assert_close(value, log_p.detach(), rtol=1e-12, atol=0.0)
    torch.testing.assert_close(gradient, slope, rtol=1e-8, atol=1e-10)
    assert gradient[:, 2].tolist() == [0.0, 0.0] and (gradient[:, :2] != 0.0).any()
