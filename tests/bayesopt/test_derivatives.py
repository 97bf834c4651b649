"""A Gaussian process on values and partial derivatives: posterior, fit, what the next one tells."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.sampling import SobolQMCNormalSampler
from processes import points

from bayesopt import optimize
from bayesopt.acquisition import (
    expected_improvement,
    letham_expected_improvement,
    noisy_expected_improvement,
)
from bayesopt.acquisition.expected_max import log_gain_and_partials
from bayesopt.data import Dataset, Scaling
from bayesopt.models.derivative_fit import DerivativeMarginalLikelihood, fit_with_derivatives
from bayesopt.models.derivative_kernels import SMOOTH, Functionals, covariances
from bayesopt.models.derivative_rows import HyperparametersWithSlopes, rows
from bayesopt.models.derivatives import DerivativeGaussianProcess
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.models.fit import fit
from bayesopt.models.gaussian_process import GaussianProcess, Priors
from bayesopt.models.prior import LogNormal
from bayesopt.space import Float, Space

KERNELS = list(SMOOTH)
NOISES = ["inferred", "known", "exact", "mixed"]
MIXED = ((1, 3),)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def same(a, b, atol=1e-9):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def some_function(X):
    return torch.sin(4.0 * X[..., 0]) + X[..., 0] * X[..., -1] ** 2


def observations(n=7, d=3, noise="known", categories=(), absent=0.3, seed=0):
    """X, Y, Yvar, dY, dYvar, with some partials that are not there."""
    X = points(n, d, categories=categories, seed=seed).requires_grad_(True)
    Y = some_function(X)
    (dY,) = torch.autograd.grad(Y.sum(), X)
    dY[points(n, d, seed=seed + 1) < absent] = torch.nan
    for column, _ in categories:
        dY[:, column] = torch.nan
    Yvar = torch.linspace(0.01, 0.05, n, dtype=torch.float64).unsqueeze(-1)
    dYvar = Yvar * torch.linspace(2.0, 9.0, d, dtype=torch.float64)
    if noise == "inferred":
        Yvar, dYvar = torch.full_like(Yvar, torch.nan), torch.full_like(dYvar, torch.nan)
    elif noise == "exact":
        Yvar, dYvar = torch.zeros_like(Yvar), torch.zeros_like(dYvar)
    elif noise == "mixed":
        Yvar[::2], dYvar[1::2] = torch.nan, torch.nan
    return X.detach(), Y.detach().unsqueeze(-1), Yvar, dY, dYvar


def hyperparameters(kernel, d=3, signal=1.3):
    lengthscale = torch.linspace(0.4, 0.9, d, dtype=torch.float64)
    return HyperparametersWithSlopes(lengthscale, 0.02, 0.3, signal, kernel, slope_noise=0.07)


def process(kernel="matern52", **options):
    seen, categories = observations(**options), options.get("categories", ())
    h = hyperparameters(kernel, seen[0].shape[-1])
    return DerivativeGaussianProcess(rows(*seen), h, categories)


def dataset(X, Y, Yvar, *_, categories=()):
    return Dataset(X, Y, Yvar, categories, Scaling(1.0, 1.0, 0.0, 1.0))


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
    for process in (GaussianProcess("matern32"), GaussianProcess(mean="linear")):
        with pytest.raises(ValueError, match="Derivatives need a kernel of 'rbf', 'matern52'"):
            fit_with_derivatives(dataset(X, Y, Yvar), dY, dYvar, process)


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


@pytest.mark.parametrize("noise", ["exact", "inferred"])
def test_acquisitions_work_on_it_as_on_any_model(noise):
    seen = observations(noise=noise)
    model, data = process(noise=noise), dataset(*seen)
    at, pending = points(6, 3, seed=3), points(2, 3, seed=4)
    for build in (
        expected_improvement.build,
        noisy_expected_improvement.build,
        letham_expected_improvement.build,
    ):
        for X_pending in (None, pending):
            acquisition = build(model, data, X_pending)
            value, gradient = acquisition.value_and_gradient(at)
            theirs, by_autograd = optimize.by_autograd(acquisition, at)
            same(value, theirs, 1e-7)
            same(gradient, by_autograd, 1e-6)
    best = float(data.Y.max())
    ours = expected_improvement.ExpectedImprovement(model, best)
    same(ours(at.unsqueeze(-2)), LogExpectedImprovement(model, best)(at.unsqueeze(-2)), 1e-5)
    space = Space(a=Float(0, 1), b=Float(0, 1), c=Float(0, 1))
    rng = np.random.default_rng(0)
    X, v = optimize.maximize(ours, space, data.X[:2].numpy(), rng)
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


def test_expected_observations_with_slopes_change_no_mean_and_drawn_ones_are_conditioned_on():
    seen, X, at = observations(), points(2, 3, seed=5), points(4, 3, seed=4)
    model = DerivativeGaussianProcess(rows(*seen), hyperparameters("matern52"))
    (expected,) = model.after_next(X, torch.zeros(1, 8, dtype=torch.float64))
    same(expected.marginals(at)[0], model.marginals(at)[0], 1e-9)
    Z = points(3, 8, seed=6) - 0.5
    for after in model.after_next(X, Z, noise=0.02, slope_noise=0.03):
        own = after.rows.y[-8:].reshape(2, 4)
        noise = torch.full_like(X, 0.03)
        new = (X, own[:, :1], torch.full_like(X[:, :1], 0.02), own[:, 1:], noise)
        together = [torch.cat(pair) for pair in zip(seen, new, strict=True)]
        theirs = DerivativeGaussianProcess(rows(*together), model.hyperparameters)
        same(after.marginals(at)[0], theirs.marginals(at)[0], 1e-8)
        same(after.marginals(at)[1], theirs.marginals(at)[1], 1e-8)


# -- fit -------------------------------------------------------------------------------------------


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


# -- what the next observation tells ---------------------------------------------------------------


def golden_model():
    X, Y, dY = (tensor(v).mT for v in ([0.1, 0.4, 0.75], [0.2, 0.9, 0.5], [3.0, 0.0, -2.0]))
    seen = rows(X, Y, torch.full_like(Y, 1e-4), dY, torch.full_like(dY, 1e-2))
    h = HyperparametersWithSlopes(tensor(0.25), 0.0, 0.0, kernel="rbf")
    return DerivativeGaussianProcess(seen, h)


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
