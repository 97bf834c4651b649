"""What the next observation with slopes tells of values elsewhere."""

import math

import numpy as np
import pytest
import torch
from processes import points
from slopes import golden_model, hyperparameters, observations, process, tensor

from bayesopt.acquisition.expected_max import log_gain_and_partials
from bayesopt.models.derivatives.process import DerivativeGaussianProcess
from bayesopt.models.derivatives.rows import HyperparametersWithSlopes, rows

MIXED = ((1, 3),)


def same(a, b, atol=1e-9):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def with_next(model, A, X, directions=None):
    """C of A alone, and S."""
    _, C, S = model.moments_with_next(A)(X, directions)
    return C[..., :-1, :], S


def expected_gain(a, b):
    """h(a, b) (n,) of n sets of lines (n, m)."""
    return np.exp(log_gain_and_partials(a.numpy(), b.numpy())[0])


def knowledge_gradients(model, A, X, slope_noise=None):
    """KG of the value alone, and of value and slope by quadrature over one of two normals."""
    C, S = with_next(model, A, X)
    if slope_noise is not None:
        S[:, 1, 1] += slope_noise - model.new_slope_noise
    a, _ = model.marginals(A)
    b = torch.linalg.solve_triangular(torch.linalg.cholesky(S), C.mT, upper=False)
    z = torch.linspace(-8.0, 8.0, 801, dtype=torch.float64).unsqueeze(-1)
    density = torch.exp(-0.5 * z.square()).squeeze(-1) / math.sqrt(2 * math.pi) * 0.02
    alone = expected_gain(a.expand(len(X), -1), b[:, 0])
    together = []
    for of_value, of_slope in b:
        lines = a + z * of_slope
        gain = expected_gain(lines, of_value.expand_as(lines))
        rise = lines.max(-1).values - a.max()
        together.append(float((torch.from_numpy(gain) + rise) @ density))
    return alone, np.array(together)


def test_golden_numbers_of_the_knowledge_gradient_with_slopes():
    A = torch.linspace(0.0, 1.0, 201, dtype=torch.float64).unsqueeze(-1)
    X = tensor([0.55], [0.95], [0.25])
    alone, together = knowledge_gradients(golden_model(), A, X)
    np.testing.assert_allclose(alone, [3.295e-5, 6.3819e-4, 1.471e-5], rtol=2e-4)
    np.testing.assert_allclose(together, [6.580e-5, 6.8332e-4, 3.703e-5], rtol=2e-4)
    alone, together = knowledge_gradients(golden_model(), A, X, slope_noise=1e9)
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_an_exact_observation_that_is_known_changes_nothing():
    X, Y, Yvar, dY, dYvar = observations(noise="exact", absent=0.0)
    model = DerivativeGaussianProcess(rows(X, Y, Yvar, dY, dYvar), hyperparameters("matern52"))
    C, S = with_next(model, points(6, 3, seed=4), X)
    changes = torch.linalg.solve_triangular(torch.linalg.cholesky(S), C.mT, upper=False)
    assert float(changes.abs().max()) < 1e-6


def test_covariances_with_the_next_observation_are_those_of_the_joint_posterior():
    model, A, X = process(noise="mixed"), points(4, 3, seed=4), points(2, 3, seed=5)
    C, S = with_next(model, A, X)
    assert (C.shape, S.shape) == ((2, 4, 4), (2, 4, 4))
    noise = torch.diag(tensor(0.02, 0.07, 0.07, 0.07))
    for i in range(2):
        _, covariance = model.joint_values_and_slopes(torch.cat((X[[i]], A)))
        same(C[i], covariance[4::4, :4], 1e-10)
        same(S[i], covariance[:4, :4] + noise, 1e-10)


def test_one_slope_along_a_direction_is_that_combination_of_the_partials():
    model, A, X = process(), points(4, 3, seed=4), points(5, 2, 3, seed=5)
    theta = points(5, 2, 3, seed=6) - 0.5
    C, S = with_next(model, A, X, theta.unsqueeze(-2))
    C_all, S_all = with_next(model, A, X)
    same(C[..., 0], C_all[..., 0], 1e-10)
    same(C[..., 1], (C_all[..., 1:] @ theta.unsqueeze(-1)).squeeze(-1), 1e-10)
    T = torch.zeros(5, 2, 2, 4, dtype=torch.float64)
    T[..., 0, 0], T[..., 1, 1:] = 1.0, theta
    same(S, T @ S_all @ T.mT, 1e-10)
    mean, covariance = model.values_and_slopes(X, theta.unsqueeze(-2))
    all_means, all_covariances = model.values_and_slopes(X)
    same(mean, (T @ all_means.unsqueeze(-1)).squeeze(-1), 1e-10)
    same(covariance, T @ all_covariances @ T.mT, 1e-10)


def test_only_partials_that_came_before_are_expected_of_the_next_observation():
    X, Y, Yvar, dY, dYvar = observations(noise="exact", categories=MIXED)
    dY[:, 2] = torch.nan
    h, A = hyperparameters("matern52"), points(4, 3, categories=MIXED, seed=4)
    at = points(2, 3, categories=MIXED, seed=5)
    model = DerivativeGaussianProcess(rows(X, Y, Yvar, dY, dYvar), h, MIXED)
    C, S = with_next(model, A, at)
    given = with_next(model, A, at, tensor([1.0, 0.0, 0.0]))
    same(C, given[0], 0)
    same(S, given[1], 0)
    assert (C.shape, S.shape) == ((2, 4, 2), (2, 2, 2))
    alone = DerivativeGaussianProcess(rows(X, Y, Yvar, dY * torch.nan, dYvar), h, MIXED)
    C, S = with_next(alone, A, at)
    assert (C.shape, S.shape) == ((2, 4, 1), (2, 1, 1))
    joint = alone.posterior(torch.cat((at[:1], A))).distribution.covariance_matrix
    same(C[0, :, 0], joint[0, 1:], 1e-10)


@pytest.mark.parametrize("along", [False, True])
def test_covariances_with_the_next_observation_are_differentiable(along):
    model, A = process("rbf"), points(3, 3, seed=4)
    of_next = model.moments_with_next(A)
    X = points(2, 3, seed=5).requires_grad_(True)
    theta = (points(2, 3, seed=6) - 0.5).requires_grad_(True) if along else None

    def total():
        mean, C, S = of_next(X, None if theta is None else theta.unsqueeze(-2))
        return mean.sum() + C.sum() + S.square().sum()

    parts = [X] if theta is None else [X, theta]
    for part, gradient in zip(parts, torch.autograd.grad(total(), parts), strict=True):
        for entry in np.ndindex(part.shape):
            totals = []
            with torch.no_grad():
                for step in (1e-5, -2e-5, 1e-5):
                    part[entry] += step
                    totals.append(float(total()))
            assert (totals[0] - totals[1]) / 2e-5 == pytest.approx(float(gradient[entry]), rel=1e-5)


def test_the_next_mean_is_that_of_the_process_with_the_observation():
    """mean + C S^-1 (observed - expected), whatever is observed."""
    seen, X, A = observations(), points(1, 3, seed=5), points(4, 3, seed=4)
    model = DerivativeGaussianProcess(rows(*seen), hyperparameters("matern52"))
    C, S = with_next(model, A, X)
    surprise = tensor(0.3, -1.0, 0.5, 2.0)
    expected = model.values_and_slopes(X)[0][0]
    observed = expected + surprise
    noise = S[0].diagonal() - model.values_and_slopes(X)[1][0].diagonal()
    new = (X, observed[None, :1], noise[None, :1], observed[None, 1:], noise[None, 1:])
    together = [torch.cat(pair) for pair in zip(seen, new, strict=True)]
    updated = DerivativeGaussianProcess(rows(*together), model.hyperparameters)
    shift = C[0] @ torch.linalg.solve(S[0], surprise)
    same(updated.marginals(A)[0], model.marginals(A)[0] + shift, 1e-9)


def test_what_is_known_up_to_rounding_can_be_factorised():
    """In a narrow cluster of exact observations rounding would leave variances below zero."""
    X = 0.5 + 1e-5 * points(20, 2, seed=6)
    Y, dY = torch.cos(X.sum(1, keepdim=True)), -torch.sin(X.sum(1, keepdim=True)).expand(-1, 2)
    h = HyperparametersWithSlopes(torch.full((2,), 0.2).double(), 0.0, 0.0)
    zero = torch.zeros_like(X)
    model = DerivativeGaussianProcess(rows(X, Y, zero[:, :1], dY, zero), h)
    _, C, S = model.moments_with_next(X[:5], 0.0, 0.0)(X + 1e-4, None)
    L, info = torch.linalg.cholesky_ex(S)
    assert not info.any()
    assert torch.isfinite(torch.linalg.solve_triangular(L, C.mT, upper=False)).all()
