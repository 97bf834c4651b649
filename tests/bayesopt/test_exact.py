"""The exact Gaussian process: closed forms, botorch's SingleTaskGP, gradients, trouble."""

from dataclasses import replace

import mpmath
import pytest
import torch
from botorch.acquisition.objective import ScalarizedPosteriorTransform
from botorch_twin import TWINS, twin_of
from processes import KERNELS, MEANS, MIXED, NOISES, points, process

from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.models.posterior import SingularCovariance, cholesky

SIGNALS = [1.7, 1.0, 1.7, 1.0]


def same(a, b, atol=1e-8):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def finite_differences(f, X, step=1e-6):
    """Gradient of f, (n, d) to (n,), where row i of X moves only value i."""
    columns = []
    for column in range(X.shape[-1]):
        move = torch.zeros_like(X)
        move[..., column] = step
        columns.append((f(X + move) - f(X - move)) / (2 * step))
    return torch.stack(columns, dim=-1).detach()


# -- closed forms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 1e-6, 0.1])
def test_posterior_agrees_with_an_explicit_solution_of_50_digits(noise):
    X, Y, x = [0.1, 0.4, 0.75], [0.2, 0.9, 0.5], [0.5, 0.55]

    def k(a, b):
        return mpmath.exp(-((mpmath.mpf(a) - mpmath.mpf(b)) ** 2) / (2 * mpmath.mpf(0.25) ** 2))

    with mpmath.workdps(50):
        K = mpmath.matrix([[k(a, b) + (mpmath.mpf(noise) if a == b else 0) for b in X] for a in X])
        k_star = mpmath.matrix([[k(a, b) for b in X] for a in x])
        mean = k_star * mpmath.lu_solve(K, mpmath.matrix(Y))
        covariance = mpmath.matrix([[k(a, b) for b in x] for a in x]) - k_star * K**-1 * k_star.T
        mean = torch.tensor([float(v) for v in mean], dtype=torch.float64)
        covariance = torch.tensor(
            [[float(covariance[i, j]) for j in range(2)] for i in range(2)], dtype=torch.float64
        )
    h = Hyperparameters(torch.tensor([0.25], dtype=torch.float64), noise, 0.0, 1.0, "rbf")
    column = torch.tensor([X, Y], dtype=torch.float64).unsqueeze(-1)
    model = ExactGaussianProcess(column[0], column[1], torch.full_like(column[1], torch.nan), h)
    posterior = model.posterior(torch.tensor(x, dtype=torch.float64).unsqueeze(-1))
    same(posterior.mean.squeeze(-1), mean, 1e-13)
    same(posterior.distribution.covariance_matrix, covariance, 1e-13)


@pytest.mark.parametrize("correlation", KERNELS)
def test_exact_observations_are_interpolated_without_variance(correlation):
    model = process(correlation, "exact", categories=MIXED)
    mean, variance = model.marginals(model.X)
    same(mean, model.Y.squeeze(-1), 1e-9)
    assert float(variance.max()) < 1e-9
    assert float(variance.min()) > 0


@pytest.mark.parametrize("mean", ["linear", "quadratic"])
@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
def test_a_trend_is_a_process_on_what_it_leaves(categories, mean):
    """Subtract the polynomial, regress on the rest, and add it again."""
    model = process(categories=categories, mean=mean)
    h = model.hyperparameters

    def trend(X):
        u = 2.0 * X[..., model.features.plain] - 1.0
        columns = torch.cat((u, u.square()), dim=-1)[..., : len(h.trend)]
        return (columns * h.trend).sum(-1)

    rest = model.Y - trend(model.X).unsqueeze(-1)
    plain = replace(h, trend=None)
    without = ExactGaussianProcess(model.X, rest, model.Yvar, plain, categories)
    for shape in ((7,), (3, 2)):
        X = points(*shape, model.X.shape[-1], categories=categories, seed=21)
        ours, theirs = model.posterior(X), without.posterior(X)
        same(ours.mean.squeeze(-1), theirs.mean.squeeze(-1) + trend(X), 1e-12)
        same(ours.distribution.covariance_matrix, theirs.distribution.covariance_matrix, 1e-14)
    same(model.marginals(X)[0], without.marginals(X)[0] + trend(X), 1e-12)


def test_a_trend_needs_as_many_coefficients_as_there_are_numbers():
    model = process()
    h = replace(model.hyperparameters, trend=torch.ones(3, dtype=torch.float64))
    with pytest.raises(ValueError, match="2 or 4 coefficients, not 3"):
        ExactGaussianProcess(model.X, model.Y, model.Yvar, h)


def test_far_from_the_data_the_prior_is_left():
    model = process(signal=1.7)
    mean, variance = model.marginals(torch.full((1, 2), 1e3, dtype=torch.float64))
    same(mean, torch.full_like(mean, model.hyperparameters.mean), 1e-14)
    same(variance, torch.full_like(variance, 1.7), 1e-14)


# -- agreement with botorch ------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["inferred", "known"])
@pytest.mark.parametrize(("correlation", "signal"), list(zip(TWINS, SIGNALS, strict=True)))
@pytest.mark.parametrize("shape", [(1,), (4,), (3, 2), (2, 3, 4)])
def test_posterior_agrees_with_single_task_gp(correlation, signal, noise, shape):
    model = process(correlation, noise, signal)
    twin = twin_of(model)
    X = points(*shape, 2, seed=2)
    for observation_noise in (False, True, torch.full((*shape, 1), 0.3, dtype=torch.float64)):
        if noise == "inferred" and observation_noise is not False:
            observation_noise = True  # a GaussianLikelihood of gpytorch knows no other noise
        ours = model.posterior(X, observation_noise=observation_noise)
        theirs = twin.posterior(X, observation_noise=observation_noise)
        same(ours.mean, theirs.mean)
        same(ours.variance, theirs.variance)
        same(ours.distribution.covariance_matrix, theirs.distribution.covariance_matrix)


@pytest.mark.parametrize("noise", ["inferred", "known"])
@pytest.mark.parametrize(("correlation", "signal"), list(zip(TWINS, SIGNALS, strict=True)))
@pytest.mark.parametrize("q", [1, 3])
def test_gradients_agree_with_single_task_gp(correlation, signal, noise, q):
    model = process(correlation, noise, signal)
    X = points(5, q, 2, seed=3)
    weight = torch.randn(q, q, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradients = []
    for gp in (model, twin_of(model)):
        variable = X.clone().requires_grad_()
        posterior = gp.posterior(variable)
        total = posterior.mean.square().sum()
        total = total + (posterior.distribution.covariance_matrix * weight).sum()
        gradients += torch.autograd.grad(total, variable)
    same(*gradients)


def test_posterior_transforms_are_applied():
    model = process()
    X = points(3, 2, 2, seed=4)
    transform = ScalarizedPosteriorTransform(torch.tensor([-2.0], dtype=torch.float64), offset=0.5)
    plain, turned = model.posterior(X), model.posterior(X, posterior_transform=transform)
    same(turned.mean, 0.5 - 2.0 * plain.mean, 1e-14)
    same(turned.variance, 4.0 * plain.variance, 1e-14)


def test_samples_have_the_moments_of_the_posterior():
    posterior = process().posterior(points(3, 2, seed=5))
    torch.manual_seed(0)
    n = 40_000
    draws = posterior.rsample(torch.Size([n])).squeeze(-1)
    covariance = posterior.distribution.covariance_matrix
    error = (draws.mean(0) - posterior.mean.squeeze(-1)) / (posterior.variance[:, 0] / n).sqrt()
    assert float(error.abs().max()) < 4
    # var of a sample covariance: (S_ii S_jj + S_ij^2) / n
    diagonal = covariance.diagonal()
    se = ((diagonal[:, None] * diagonal + covariance.square()) / n).sqrt()
    assert float(((draws.T.cov() - covariance) / se).abs().max()) < 4


# -- gradients -------------------------------------------------------------------------------------


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("correlation", KERNELS)
@pytest.mark.parametrize("trend", MEANS)
def test_closed_form_gradients(trend, correlation, noise, categories):
    """Of `marginals`, `marginals_with_gradients`, the joint posterior and finite differences."""
    model = process(correlation, noise, 1.3, categories, mean=trend)
    X = points(6, model.X.shape[-1], categories=categories, seed=6)
    values = model.marginals_with_gradients(X)
    joint = model.posterior(X)
    for position in (0, 1):
        variable = X.clone().requires_grad_()
        moment = model.marginals(variable)[position]
        (closed,) = torch.autograd.grad(moment.sum(), variable)
        same(values[position], moment.detach(), 1e-14)
        same(values[position], (joint.mean, joint.variance)[position].squeeze(-1), 1e-12)
        same(values[position + 2], closed, 1e-12)

        variable = X.clone().requires_grad_()
        posterior = model.posterior(variable)
        moment = (posterior.mean, posterior.variance)[position]
        same(closed, *torch.autograd.grad(moment.sum(), variable), 1e-9)
        real = model.features.plain
        fd = finite_differences(lambda X, of=position: model.marginals(X)[of], X)
        same(closed[:, real], fd[:, real], 1e-7)
        assert not closed[:, [column for column, _ in categories]].any()


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("correlation", KERNELS)
def test_gradients_at_the_data_are_finite(correlation, noise):
    model = process(correlation, noise)
    assert all(bool(t.isfinite().all()) for t in model.marginals_with_gradients(model.X))


# -- numerical trouble -----------------------------------------------------------------------------


def test_duplicates_of_exact_observations_are_survived():
    model = process("rbf", "exact")
    X, Y = torch.cat((model.X, model.X)), torch.cat((model.Y, model.Y))
    doubled = ExactGaussianProcess(X, Y, torch.zeros_like(Y), model.hyperparameters)
    mean, variance = doubled.marginals(model.X)
    same(mean, model.Y.squeeze(-1), 1e-4)
    assert 0 < float(variance.min()) <= float(variance.max()) < 1e-4


def test_a_singular_covariance_is_named_and_carries_its_matrix():
    matrix = torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
    with pytest.raises(SingularCovariance, match="not positive definite") as caught:
        cholesky(matrix, 1.0)
    assert caught.value.matrix is matrix


def test_only_singular_members_of_a_batch_get_jitter():
    eye = torch.eye(2, dtype=torch.float64)
    K = torch.stack((2.0 * eye, torch.ones_like(eye), 0.0 * eye, -1e-15 * eye))
    L = cholesky(K, 1.0)
    same(L[0] @ L[0].mT, K[0], 1e-15)
    same(L @ L.mT, K, 2e-12)


def test_closed_form_gradients_are_refused_for_batches():
    model = process()
    batched = model.condition_on_observations(points(2, 1, 2), points(2, 1, 1))
    with pytest.raises(ValueError, match="without batch and graph"):
        batched.marginals_with_gradients(points(1, 2))
    mean, variance = batched.marginals(points(2, 2, seed=1))
    posterior = batched.posterior(points(2, 2, seed=1).unsqueeze(-2))
    same(mean, posterior.mean[:, 0, 0], 1e-14)
    same(variance, posterior.variance[:, 0, 0], 1e-14)


def test_the_signal_scales_the_prior_and_nothing_else():
    model = process("rbf", "exact")
    louder = ExactGaussianProcess(
        model.X, model.Y, model.Yvar, replace(model.hyperparameters, signal=4.0)
    )
    at = points(5, 2, seed=20)
    same(louder.marginals(at)[0], model.marginals(at)[0], 1e-9)
    same(louder.marginals(at)[1], 4.0 * model.marginals(at)[1], 1e-9)
