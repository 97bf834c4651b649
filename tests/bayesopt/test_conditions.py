"""What is expected of the worst conditions: the joint posterior at all of them, large samples."""

import math

import pytest
import torch
from joint_processes import CASES, joint_process, tensor
from processes import points
from test_joint_process import central_differences

from bayesopt.models.joint.covariance import Columns, Covariance
from bayesopt.models.joint.process import JointGaussianProcess
from bayesopt.models.joint.regression import JointHyperparameters
from bayesopt.models.joint.structures import Environment
from bayesopt.models.joint.tail import expected_tail
from bayesopt.models.kernels import Features, kernel_named
from bayesopt.target import Target


def along_one_column(lengthscale, n=20, K=64):
    """A process of one design column under a condition with K equal nodes."""
    nodes = (torch.arange(K, dtype=torch.float64).unsqueeze(-1) + 0.5) / K
    sought = Target(nodes, torch.full((K,), 1.0 / K, dtype=torch.float64), 0.9)
    covariance = Covariance(
        kernel_named("matern52"),
        Environment(Features(1)),
        tensor([[3.0]]),
        tensor([[1.7]]),
        tensor(math.log(lengthscale))[None, None],
    )
    h = JointHyperparameters(covariance, 0.3, tensor(), tensor(1e-6))
    X = points(n, 2, seed=2)
    Y = torch.sin(5.0 * X[:, :1]) * torch.cos(3.0 * X[:, 1:])
    columns = Columns([0], [1], Features(1))
    return JointGaussianProcess(X, Y, torch.full_like(Y, torch.nan), h, columns, sought)


MODELS = {
    "mixed": lambda: joint_process("tail"),
    "smooth": lambda: along_one_column(0.35),
    "rough": lambda: along_one_column(0.03),
}
RANKS = {"mixed": (4, 4), "smooth": (8, 12), "rough": (40, 64)}


def asked(name, n=9):
    model = MODELS[name]()
    X = points(n, CASES["tail"].d if name == "mixed" else 2, seed=4)
    return model, X, X[:, model.columns.design]


@pytest.mark.parametrize("name", MODELS)
def test_its_moments_are_those_of_the_joint_posterior(name):
    model, X, F = asked(name)
    posterior = model.posterior(model.target.at_nodes(X))
    mean, R = model.target._conditions.moments(F)
    torch.testing.assert_close(mean, posterior.mean.squeeze(-1), rtol=0.0, atol=1e-9)
    torch.testing.assert_close(R @ R.mT, posterior.covariance, rtol=0.0, atol=1e-7)
    low, high = RANKS[name]
    assert low <= R.shape[-1] <= high


@pytest.mark.parametrize("name", MODELS)
def test_what_is_expected_is_a_large_sample_of_the_joint_posterior(name):
    model, X, _ = asked(name)
    posterior = model.posterior(model.target.at_nodes(X))
    eigenvalues, Q = torch.linalg.eigh(posterior.covariance)
    R = Q * eigenvalues.clamp_min(0.0).sqrt().unsqueeze(-2)
    of = model.sought
    exact = expected_tail(posterior.mean.squeeze(-1), R, of.weights, of.level, 2**13)
    expected, weights, _ = model.target._mean_and_weights(X)
    sd = float(posterior.variance.mean().sqrt())
    torch.testing.assert_close(expected, exact.expected, rtol=0.0, atol=0.06 * sd)
    assert float((weights - exact.weights).abs().sum(-1).max()) < 0.25


@pytest.mark.parametrize("name", MODELS)
def test_its_gradient_is_that_of_differences(name):
    model, X, _ = asked(name, n=4)
    slope = model.target._mean_and_weights(X)[2](torch.ones(4, dtype=X.dtype))
    design = model.columns.design
    by_differences = central_differences(lambda at: model.target.marginals(at)[0], X, design, 1e-7)
    torch.testing.assert_close(slope[:, design].T, by_differences, rtol=0.0, atol=1e-5)
    assert (slope[:, model.columns.role] == 0.0).all()


def test_many_designs_are_what_single_ones_are():
    model, X, F = asked("smooth", n=300)
    conditions = model.target._conditions
    expected, weights, pull_back = conditions.tail(F)
    slopes = torch.linspace(-1.0, 1.0, 300, dtype=X.dtype)
    by_F = pull_back(slopes)
    for i in (0, 127, 128, 299):
        one, w, back = conditions.tail(F[i : i + 1])
        torch.testing.assert_close(expected[i], one[0])
        torch.testing.assert_close(weights[i], w[0])
        torch.testing.assert_close(by_F[i], back(slopes[i : i + 1])[0])
