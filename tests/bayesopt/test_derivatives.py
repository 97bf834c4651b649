"""A Gaussian process on values and partial derivatives: its posterior, and as a Model."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.sampling import SobolQMCNormalSampler
from processes import points
from slopes import dataset, golden_model, hyperparameters, observations, process, tensor

from bayesopt import optimize
from bayesopt.acquisition import (
    derivative_knowledge_gradient,
    expected_improvement,
    knowledge_gradient,
    letham_expected_improvement,
    noisy_expected_improvement,
)
from bayesopt.models.derivatives.fit import fit_with_derivatives
from bayesopt.models.derivatives.kernels import SMOOTH, Functionals, covariances
from bayesopt.models.derivatives.process import DerivativeGaussianProcess
from bayesopt.models.derivatives.rows import HyperparametersWithSlopes, rows
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.space import Float, Space

KERNELS = list(SMOOTH)
NOISES = ["inferred", "known", "exact", "mixed"]
MIXED = ((1, 3),)


def same(a, b, atol=1e-9):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


# -- covariances -----------------------------------------------------------------------------------


def block(kernel, x, y, i, j, lengthscale):
    """Cov of d^i f(x) and d^j f(y) as in the books; i or j is None for the value itself."""
    difference = [(float(a) - float(b)) for a, b in zip(x, y, strict=True)]
    w = [d / float(scale) ** 2 for d, scale in zip(difference, lengthscale, strict=True)]
    r = math.sqrt(sum(d * v for d, v in zip(difference, w, strict=True)))
    root = math.sqrt(5.0) * r
    decay = math.exp(-root) if kernel == "matern52" else math.exp(-(r**2) / 2)
    first = 5 / 3 * (1 + root) * decay if kernel == "matern52" else decay
    second = 25 / 3 * decay if kernel == "matern52" else decay
    if i is None and j is None:
        return (1 + root + root**2 / 3) * decay if kernel == "matern52" else decay
    if i is None:
        return first * w[j]
    if j is None:
        return -first * w[i]
    return first * (i == j) / float(lengthscale[i]) ** 2 - second * w[i] * w[j]


def by_hand(seen, h, asked):
    """Posterior mean and covariance of (point, column or None) by explicit inversion."""
    X, Y, Yvar, dY, dYvar = seen
    there = [(i, None) for i in range(len(X))]
    there += [(i, j) for i in range(len(X)) for j in range(X.shape[1]) if not dY[i, j].isnan()]

    def known(variance, inferred):
        return inferred if math.isnan(variance) else float(variance)

    noise = [
        known(Yvar[i, 0], h.noise) if j is None else known(dYvar[i, j], h.slope_noise)
        for i, j in there
    ]
    y = [float(Y[i, 0]) - h.mean if j is None else float(dY[i, j]) for i, j in there]

    def matrix(rows, columns):
        return h.signal * np.array(
            [[block(h.kernel, x, z, i, j, h.lengthscale) for z, j in columns] for x, i in rows]
        )

    at = [(X[i], j) for i, j in there]
    K, k = matrix(at, at) + np.diag(noise), matrix(asked, at)
    prior = np.array([h.mean if j is None else 0.0 for _, j in asked])
    mean = prior + k @ np.linalg.solve(K, np.array(y))
    covariance = matrix(asked, asked) - k @ np.linalg.solve(K, k.T)
    return torch.from_numpy(mean), torch.from_numpy(covariance)


def values_and_all_slopes(X):
    """Values of (n, F) points, then the slopes of the first, of the second, and so on."""
    n, F = X.shape
    eye = torch.eye(F, dtype=X.dtype).repeat(n, 1)
    weight = torch.cat((torch.ones(n), torch.zeros(n * F))).double()
    return Functionals(
        torch.cat((X, X.repeat_interleave(F, 0))), weight, torch.cat((torch.zeros_like(X), eye))
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_blocks_are_the_derivatives_of_the_kernel(kernel):
    A, B, h = points(4, 3, seed=1), points(5, 3, seed=2), 1e-5
    B[0] = A[0]

    def values(X):
        return Functionals(X, torch.ones(len(X), dtype=X.dtype))

    def between(first, second):
        return covariances(SMOOTH[kernel], first, second)

    full = between(values_and_all_slopes(A), values_and_all_slopes(B))
    same(full[:4, :5], between(values(A), values(B)), 1e-15)
    same(full[:4], between(values(A), values_and_all_slopes(B)), 1e-15)
    same(full[:, :5], between(values_and_all_slopes(A), values(B)), 1e-15)
    for j in range(3):
        move = torch.zeros(3, dtype=torch.float64)
        move[j] = h
        by_B = (between(values(A), values(B + move)) - between(values(A), values(B - move))) / 2 / h
        same(full[:4, 5 + j :: 3], by_B, 1e-7)
        ahead, behind = (
            between(values(A + sign * move), values_and_all_slopes(B)) for sign in (1.0, -1.0)
        )
        same(full[4 + j :: 3], (ahead - behind) / (2 * h), 1e-7)


@pytest.mark.parametrize("of_A", ["values", "slopes"])
@pytest.mark.parametrize("of_B", ["values", "slopes"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_covariances_have_gradients_in_points_and_directions(kernel, of_A, of_B):
    def some(of, n, seed):
        Z = points(n, 2, seed=seed)
        direction = points(n, 2, seed=seed + 7) - 0.5 if of == "slopes" else None
        return Functionals(Z, points(n, seed=seed + 8), direction)

    A, B, P = some(of_A, 4, 1), some(of_B, 5, 2), points(4, 5, seed=3)
    B.Z[0] = A.Z[0]
    parts = [part for part in (A.Z, A.direction, B.Z, B.direction) if part is not None]
    for part in parts:
        part.requires_grad_(True)
    total = (P * covariances(SMOOTH[kernel], A, B)).sum()
    for part, gradient in zip(parts, torch.autograd.grad(total, parts), strict=True):
        for entry in np.ndindex(part.shape):
            totals = []
            with torch.no_grad():
                for step in (1e-6, -2e-6, 1e-6):
                    part[entry] += step
                    totals.append(float((P * covariances(SMOOTH[kernel], A, B)).sum()))
            assert (totals[0] - totals[1]) / 2e-6 == pytest.approx(float(gradient[entry]), abs=1e-7)


# -- posterior -------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_posterior_is_the_formula_inverted_by_hand(kernel, noise):
    seen, h, at = observations(noise=noise), hyperparameters(kernel), points(2, 3, seed=5)
    model = DerivativeGaussianProcess(rows(*seen), h)
    asked = [(x, j) for x in at for j in (None, 0, 1, 2)]
    mean, covariance = by_hand(seen, h, asked)
    ours = model.joint_values_and_slopes(at)
    same(ours[0], mean, 1e-8)
    same(ours[1], covariance, 1e-8)
    alone = model.values_and_slopes(at)
    same(alone[0].reshape(-1), mean, 1e-8)
    same(alone[1][1], covariance[4:, 4:], 1e-8)
    posterior = model.posterior(at)
    same(posterior.mean.squeeze(-1), mean[::4], 1e-8)
    same(posterior.distribution.covariance_matrix, covariance[::4, ::4], 1e-8)
    marginals = model.marginals(at)
    same(marginals[0], mean[::4], 1e-8)
    same(marginals[1], covariance.diagonal()[::4], 1e-8)


def test_golden_numbers():
    mean, variance = golden_model().marginals(tensor([0.55]))
    assert float(mean) == pytest.approx(0.78782224, abs=1e-8)
    assert float(variance) == pytest.approx(0.00067661, abs=1e-8)


@pytest.mark.parametrize("kernel", KERNELS)
def test_slopes_say_what_pairs_of_close_values_say(kernel):
    X, h = tensor([0.1, 0.4, 0.75]).mT, 1e-3
    zero, lengthscale = torch.zeros_like(X), tensor(0.3)
    seen = rows(X, torch.sin(6 * X), zero, 6 * torch.cos(6 * X), zero)
    slopes = DerivativeGaussianProcess(
        seen, HyperparametersWithSlopes(lengthscale, 0.0, 0.0, kernel=kernel)
    )
    pairs = torch.cat((X - h, X + h))
    values = ExactGaussianProcess(
        pairs,
        torch.sin(6 * pairs),
        torch.zeros_like(pairs),
        Hyperparameters(lengthscale, 0.0, 0.0, kernel=kernel),
    )
    at = torch.linspace(0.0, 1.0, 101, dtype=torch.float64).unsqueeze(-1)
    atol = {"rbf": 5e-6, "matern52": 3e-5}[kernel]
    same(slopes.marginals(at)[0], values.marginals(at)[0], atol)
    same(slopes.marginals(at)[1], values.marginals(at)[1], atol)
    slope_mean = slopes.values_and_slopes(X)[0][:, 1:]
    same(slope_mean, 6 * torch.cos(6 * X), 1e-7)


@pytest.mark.parametrize("kernel", KERNELS)
def test_without_any_slope_it_is_the_exact_process(kernel):
    X, Y, Yvar, dY, dYvar = observations(noise="mixed", absent=1.1)
    h = hyperparameters(kernel)
    ours = DerivativeGaussianProcess(rows(X, Y, Yvar, dY, dYvar), h)
    theirs = ExactGaussianProcess(X, Y, Yvar, h)
    at = points(6, 3, seed=4)
    for a, b in zip(
        ours.marginals_with_gradients(at), theirs.marginals_with_gradients(at), strict=True
    ):
        same(a, b, 1e-12)


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_moments_come_with_their_gradients(kernel, categories):
    model, at = process(kernel, categories=categories), points(5, 3, categories=categories, seed=4)
    mean, variance, by_mean, by_variance = model.marginals_with_gradients(at)
    slopes, _ = model.values_and_slopes(at)
    plain = model.features.plain
    same(by_mean[:, plain], slopes[:, 1:][:, plain], 1e-10)
    variable = at.clone().requires_grad_(True)
    moments = model.marginals(variable)
    for moment, expected, gradient in zip(
        moments, (mean, variance), (by_mean, by_variance), strict=True
    ):
        same(moment.detach(), expected, 1e-12)
        same(torch.autograd.grad(moment.sum(), variable, retain_graph=True)[0], gradient, 1e-10)
    for j in plain:
        move = torch.zeros(3, dtype=torch.float64)
        move[j] = 1e-6
        ahead, behind = model.marginals(at + move), model.marginals(at - move)
        same((ahead[0] - behind[0]) / 2e-6, by_mean[:, j], 1e-7)
        same((ahead[1] - behind[1]) / 2e-6, by_variance[:, j], 1e-7)


def test_covariances_with_observed_values_are_those_of_the_joint_posterior():
    model, at, chosen = process(), points(2, 3, seed=4), torch.tensor([4, 1])
    X = torch.cat((model.X[chosen], at))
    expected = model.posterior(X).distribution.covariance_matrix[2:, :2]
    weights = model.covariance_weights(chosen)
    same(model.marginals_and_covariances(at, weights)[2], expected, 1e-10)


@pytest.mark.parametrize("kernel", KERNELS)
def test_exact_observations_are_met_in_value_and_slope(kernel):
    X, Y, Yvar, dY, dYvar = observations(noise="exact", absent=0.0)
    model = DerivativeGaussianProcess(rows(X, Y, Yvar, dY, dYvar), hyperparameters(kernel))
    mean, covariance = model.values_and_slopes(X)
    same(mean, torch.cat((Y, dY), dim=-1), 1e-6)
    assert float(covariance.diagonal(dim1=-2, dim2=-1).max()) < 1e-6


def test_a_kernel_without_slopes_and_a_trend_are_refused():
    h = hyperparameters("matern12")
    with pytest.raises(ValueError, match="'matern52'.*but got the kernel 'matern12'"):
        DerivativeGaussianProcess(rows(*observations()), h)
    with_trend = replace(hyperparameters("rbf"), trend=tensor(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="and a trend"):
        DerivativeGaussianProcess(rows(*observations()), with_trend)
    X, Y, Yvar, dY, dYvar = observations()
    for refused in (GaussianProcess("matern32"), GaussianProcess(mean="linear")):
        with pytest.raises(ValueError, match="Derivatives need a kernel of 'rbf', 'matern52'"):
            fit_with_derivatives(dataset(X, Y, Yvar), dY, dYvar, refused)


# -- as a Model ------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("batch", [(), (4,)])
def test_conditioning_on_values_agrees_with_all_rows_at_once(batch, noise):
    seen = observations(noise=noise)
    model = DerivativeGaussianProcess(rows(*seen), hyperparameters("matern52"))
    X, Y, at = points(2, 3, seed=7), points(*batch, 2, 1, seed=8), points(3, 3, seed=9)
    variance = torch.full((2, 1), torch.nan if seen[2].isnan().any() else float(seen[2].mean()))
    nothing = torch.full((2, 3), torch.nan, dtype=torch.float64)
    ours = model.condition_on_observations(X, Y)
    assert ours.batch_shape == torch.Size(batch)
    for i in np.ndindex(batch):
        new = (X, Y[i], variance.double(), nothing, nothing)
        together = [torch.cat(pair) for pair in zip(seen, new, strict=True)]
        theirs = DerivativeGaussianProcess(rows(*together), model.hyperparameters)
        same(ours.posterior(at).mean[i], theirs.posterior(at).mean)
        covariance = theirs.posterior(at).distribution.covariance_matrix
        same(ours.posterior(at).distribution.covariance_matrix[i], covariance)
    same(ours.X[..., -2:, :], X.expand(*batch, 2, 3))
    same(ours.train_targets[..., -2:], Y.squeeze(-1))


def test_fantasies_keep_the_mean_on_average():
    model, at = process(noise="inferred"), points(4, 3, seed=3)
    fantasies = model.fantasize(points(2, 3, seed=4), SobolQMCNormalSampler(torch.Size([128])))
    same(fantasies.posterior(at).mean.mean(0), model.posterior(at).mean, 5e-3)


BUILDERS = {
    "ei": expected_improvement.build,
    "noisy_ei": noisy_expected_improvement.build,
    "kgcp": partial(noisy_expected_improvement.build, baseline="observed_and_candidate"),
    "nei": letham_expected_improvement.build,
    "kg": knowledge_gradient.build,
    "d-KG": derivative_knowledge_gradient.build,
    **expected_improvement.AD_HOC,
}


@pytest.mark.parametrize(("noise", "n_pending"), [("exact", 0), ("inferred", 1)])
@pytest.mark.parametrize("name", BUILDERS)
def test_acquisitions_have_their_gradients_on_it(name, noise, n_pending):
    categories = MIXED if n_pending else ()
    seen = observations(noise=noise, categories=categories)
    model = process(noise=noise, categories=categories)
    pending = points(n_pending, 3, categories=categories, seed=4)
    acquisition = BUILDERS[name](model, dataset(*seen, categories=categories), pending)
    at = points(4, 3, categories=categories, seed=3)
    value, gradient = acquisition.value_and_gradient(at)
    theirs, by_autograd = optimize.by_autograd(acquisition, at)
    same(value, theirs, 1e-7)
    same(gradient, by_autograd, 1e-6)
    for j in model.features.plain:
        move = torch.zeros(3, dtype=torch.float64)
        move[j] = 1e-6
        with torch.no_grad():
            ahead, behind = (acquisition((at + sign * move).unsqueeze(-2)) for sign in (1, -1))
        torch.testing.assert_close((ahead - behind) / 2e-6, gradient[:, j], rtol=1e-4, atol=1e-4)


def test_expected_improvement_on_it_is_that_of_botorch_and_can_be_searched():
    model, best = process(noise="exact"), float(observations()[1].max())
    ours = expected_improvement.ExpectedImprovement(model, best)
    at = points(6, 1, 3, seed=3)
    same(ours(at), LogExpectedImprovement(model, best)(at), 1e-5)
    space = Space(a=Float(0, 1), b=Float(0, 1), c=Float(0, 1))
    X, v = optimize.maximize(ours, space, model.X[:2].numpy(), np.random.default_rng(0))
    assert v[0] >= float(ours(points(200, 1, 3, seed=6)).max())


def test_what_covariances_are_asked_with_may_be_observed_or_not_and_have_slopes():
    model, at = process("rbf"), points(4, 3, seed=3)
    A = torch.cat((model.X[[2]], points(2, 3, seed=4), model.X[[0]]))
    joint = model.posterior(torch.cat((at, A))).distribution.covariance_matrix[:4, 4:]
    factors, weights = model.beside(A)
    same(model.marginals_and_covariances(at, weights, factors)[2], joint, 1e-10)
    factors, weights = model.beside_slopes(A)
    _, all_at_once = model.joint_values_and_slopes(torch.cat((at, A)))
    mean, variance, cross = model.marginals_and_covariances(at, weights, factors)
    same(cross, all_at_once[0:16:4, 16:], 1e-10)
    same(mean, model.marginals(at)[0], 1e-12)
    same(variance, model.marginals(at)[1], 1e-12)


def test_expected_observations_with_slopes_change_no_mean_and_others_are_conditioned_on():
    seen, X, at = observations(), points(2, 3, seed=5), points(4, 3, seed=4)
    model = DerivativeGaussianProcess(rows(*seen), hyperparameters("matern52"))
    mean, L = model.law_of_next(X, 0.02, 0.03)
    expected, covariance = model.joint_values_and_slopes(X)
    same(mean, expected, 1e-10)
    same(L @ L.T - covariance, torch.diag(tensor(0.02, 0.03, 0.03, 0.03).repeat(2)), 1e-10)
    results = torch.stack((mean, mean + L @ points(8, seed=6), mean - L @ points(8, seed=7)))
    after = model.after_next(X, results, 0.02, 0.03)
    same(after[0].marginals(at)[0], model.marginals(at)[0], 1e-9)
    for ours, result in zip(after, results.reshape(3, 2, 4), strict=True):
        noise = torch.full_like(X, 0.03)
        new = (X, result[:, :1], torch.full_like(X[:, :1], 0.02), result[:, 1:], noise)
        together = [torch.cat(pair) for pair in zip(seen, new, strict=True)]
        theirs = DerivativeGaussianProcess(rows(*together), model.hyperparameters)
        same(ours.marginals(at)[0], theirs.marginals(at)[0], 1e-8)
        same(ours.marginals(at)[1], theirs.marginals(at)[1], 1e-8)
