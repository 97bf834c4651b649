"""The classifier of failed trials: against quadrature, another library and limiting cases."""

import numpy as np
import pytest
import torch
from processes import MIXED, points
from scipy.special import log_ndtr
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.models.feasibility import Feasibility, NegativeLogEvidence, fit_feasibility
from bayesopt.models.probit_sites import sites_of_labels

D = torch.float64


def ball(X):
    """Whether each point lies outside of a ball around (0.3, 0.3, ...)."""
    return ((X[:, :2] - 0.3) ** 2).sum(1) > 0.05


def of_given(X, y, c, a, lengthscale=0.4):
    """The classifier with these hyperparameters, and its sites."""
    h = Hyperparameters(torch.full((X.shape[1],), lengthscale, dtype=D), 0.0, c, a)
    prior = ExactGaussianProcess(X[:1], c + 0.0 * X[:1, :1], X[:1, :1] * 0.0 + 1e12, h)
    K = prior.posterior(X).distribution.covariance_matrix
    sites = sites_of_labels(K[None], torch.tensor([c], dtype=D), y)
    tau, nu = (site[0].unsqueeze(-1) for site in (sites.precision, sites.linear))
    return Feasibility(ExactGaussianProcess(X, c + nu / tau, 1.0 / tau, h)), sites, K


@pytest.mark.parametrize("labels", [(1, 1), (1, -1), (-1, -1), (1, -1, 1)])
@pytest.mark.parametrize("a", [1.0, 9.0])
def test_probability_and_evidence_are_those_of_quadrature(labels, a):
    X = torch.tensor([[0.2], [0.45], [0.9]], dtype=D)[: len(labels)]
    y, c, at = torch.tensor(labels, dtype=D), 0.4, torch.tensor([[0.35]], dtype=D)
    model, sites, K = of_given(X, y, c, a)
    axis = np.linspace(-6.0, 6.0, 61 if len(labels) == 3 else 201) * np.sqrt(a)
    f = np.stack(np.meshgrid(*[axis + c] * len(labels), indexing="ij"), -1).reshape(-1, len(labels))
    weight = multivariate_normal(np.full(len(labels), c), K.numpy()).pdf(f)
    weight *= (axis[1] - axis[0]) ** len(labels)
    weight *= np.exp(log_ndtr(f * y.numpy()).sum(1))
    s = Feasibility(of_given(torch.cat((X, at)), torch.ones(len(X) + 1, dtype=D), c, a)[0].latent)
    joint = a * s.latent.kernel(s.latent.Z, s.latent.Z)[0].numpy()
    k = np.linalg.solve(joint[:-1, :-1], joint[:-1, -1])
    mean, variance = c + (f - c) @ k, a - joint[-1, :-1] @ k
    exact = (weight * np.exp(log_ndtr(mean / np.sqrt(1.0 + variance)))).sum() / weight.sum()
    weight_of = weight / weight.sum()
    true_mean = weight_of @ f
    true_variance = weight_of @ (f - true_mean) ** 2
    EP_mean, EP_variance = (moment.numpy() for moment in model.latent.marginals(X))
    np.testing.assert_allclose(EP_mean, true_mean, atol=0.02 * np.sqrt(a))
    np.testing.assert_allclose(EP_variance, true_variance, rtol=0.06)
    assert float(sites.log_evidence) == pytest.approx(
        np.log(weight.sum()), abs=4e-3 if a == 1.0 else 0.01
    )
    # f is skew given labels, and a normal law of the same moments is a little less sure, the more
    # so the larger a is (at one label and a = inf: 0.907 instead of 1).
    assert float(model.probability(at)) == pytest.approx(exact, abs=3e-3 if a == 1.0 else 0.015)


def test_one_label_is_exact():
    X, one = torch.tensor([[0.5]], dtype=D), torch.ones(1, dtype=D)
    for c, a, y in ((0.0, 1.0, 1.0), (0.7, 5.0, -1.0)):
        _, sites, _ = of_given(X, y * one, c, a)
        expected = log_ndtr(y * c / np.sqrt(1.0 + a))
        assert float(sites.log_evidence) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("categories", [(), MIXED])
@pytest.mark.parametrize("shift", [-1.0, 0.0, 1.0])
def test_gradient_of_the_evidence(categories, shift):
    X = points(25, 4, categories=categories, seed=3)
    objective = NegativeLogEvidence(X, 2.0 * ball(X).double() - 1.0, categories, 0.8)
    theta = objective.prior.centre + shift
    _, gradient = objective(theta[None])
    for j in range(5):
        step = np.eye(5)[j] * 1e-3
        (ahead,), _ = objective((theta + step)[None])
        (behind,), _ = objective((theta - step)[None])
        assert gradient[0, j] == pytest.approx((ahead - behind) / 2e-3, abs=2e-3)


@pytest.mark.parametrize("categories", [(), MIXED])
def test_gradient_of_the_logarithm_is_that_of_autograd_and_of_differences(categories):
    X = points(25, 4, categories=categories, seed=3)
    model, _ = fit_feasibility(X, ball(X), categories)
    at = points(8, 4, categories=categories, seed=5).requires_grad_(True)
    value = model.log_probability(at)
    (expected,) = torch.autograd.grad(value.sum(), at)
    closed, gradient = model.log_probability_and_gradient(at.detach())
    torch.testing.assert_close(closed, value.detach(), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-8)
    step = torch.tensor([1e-5, 0.0, 0.0, 0.0], dtype=D)
    with torch.no_grad():
        ahead, behind = (model.log_probability(at + s * step) for s in (1.0, -1.0))
    torch.testing.assert_close(gradient[:, 0], (ahead - behind) / 2e-5, rtol=1e-4, atol=1e-6)


def test_it_agrees_with_another_library():
    """That one has a logistic link and Laplace's approximation: alike but for scale."""
    X = points(60, 2, seed=2)
    success = ball(X)
    kernel = ConstantKernel(10.0) * Matern([0.5, 0.5], nu=2.5)
    theirs = GaussianProcessClassifier(kernel, random_state=0).fit(X.numpy(), success.numpy())
    model, _ = fit_feasibility(X, success)
    at = points(200, 2, seed=8)
    ours, other = model.probability(at).numpy(), theirs.predict_proba(at.numpy())[:, 1]
    assert np.corrcoef(ours, other)[0, 1] > 0.9
    assert ((ours > 0.5) == (other > 0.5)).mean() > 0.93
    truth = ball(at).numpy()
    assert ((ours > 0.5) == truth).mean() >= 0.9


def test_by_symmetry_the_middle_is_a_coin():
    X = torch.tensor([[0.2, 0.5], [0.8, 0.5]], dtype=D)
    model, _ = fit_feasibility(X, torch.tensor([True, False]))
    middle = torch.tensor([[0.5, 0.5], [0.5, 0.1]], dtype=D)
    torch.testing.assert_close(model.probability(middle), torch.full((2,), 0.5, dtype=D))


def test_duplicates_with_different_labels_are_a_coin():
    X = torch.full((2, 2), 0.4, dtype=D)
    model, _ = fit_feasibility(X, torch.tensor([True, False]))
    assert float(model.probability(X[:1])) == pytest.approx(0.5, abs=1e-6)


def test_the_order_of_trials_does_not_matter():
    X = points(20, 2, seed=4)
    order, at = torch.randperm(20, generator=torch.Generator().manual_seed(0)), points(5, 2)
    model, _ = fit_feasibility(X, ball(X))
    other, _ = fit_feasibility(X[order], ball(X)[order])
    torch.testing.assert_close(other.probability(at), model.probability(at), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("n_failed", [0, 3, 12])
def test_far_from_all_trials_stands_the_base_rate(n_failed):
    X = points(12, 2, seed=6)
    model, _ = fit_feasibility(X, torch.arange(12) >= n_failed)
    far = torch.full((1, 2), 1e4, dtype=D)
    assert float(model.probability(far)) == pytest.approx((13 - n_failed) / 14, abs=1e-6)


@pytest.mark.parametrize("success", [True, False])
@pytest.mark.parametrize("n", [1, 15])
def test_labels_that_are_all_alike(n, success):
    X = points(n, 2, seed=6)
    model, theta = fit_feasibility(X, torch.full((n,), success))
    P = model.probability(points(30, 2, seed=7))
    assert np.isfinite(theta).all() and bool(((P > 0.5) == success).all())


def test_a_category_that_fails_is_told_from_the_others():
    categories = ((1, 3),)
    X = points(40, 2, categories=categories, seed=9)
    model, _ = fit_feasibility(X, X[:, 1] != 0.5, categories)
    at = torch.tensor([[0.31, 0.0], [0.31, 0.5], [0.31, 1.0]], dtype=D)
    P = model.probability(at)
    assert P[0] > 0.9 and P[1] < 0.1 and P[2] > 0.9


def test_a_sharp_region_is_learnt_and_accidents_close_little():
    X = points(80, 2, seed=10)
    at = points(300, 2, seed=11)
    P = fit_feasibility(X, ball(X))[0].probability(at)
    errors = ((P > 0.5) != ball(at)).sum()
    assert errors < 0.7 * (~ball(at)).sum()  # of what never expects a failure
    assert bool((P[((at - 0.3) ** 2).sum(1) < 0.015] < 0.5).all())
    accidents = torch.rand(80, generator=torch.Generator().manual_seed(1)) > 0.12
    P = fit_feasibility(X, accidents)[0].probability(at)
    assert float((P > 0.5).double().mean()) > 0.95 and float(P.median()) > 0.85


def test_it_is_deterministic_and_a_warm_start_finds_the_same():
    X, at = points(40, 3, seed=12), points(9, 3, seed=13)
    cold, theta = fit_feasibility(X, ball(X))
    again, same = fit_feasibility(X, ball(X))
    assert theta == same and torch.equal(cold.probability(at), again.probability(at))
    warm, _ = fit_feasibility(X, ball(X), (), theta)
    torch.testing.assert_close(warm.probability(at), cold.probability(at), rtol=0.0, atol=0.02)
