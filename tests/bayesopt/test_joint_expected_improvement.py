"""q-EI: the golden number, an exact reference for two points, limits, slopes, botorch, pending."""

import math

import numpy as np
import pytest
import torch
from botorch.acquisition import qLogExpectedImprovement
from botorch.sampling import SobolQMCNormalSampler
from botorch_twin import twin_of
from golden_instance import data_of
from processes import KERNELS, MIXED, points, process
from regions import built
from scipy.integrate import quad
from scipy.special import ndtr

from bayesopt.acquisition.expected_improvement import ExpectedImprovement
from bayesopt.acquisition.given_samples import GivenSamples
from bayesopt.acquisition.joint_expected_improvement import JointExpectedImprovement, build
from bayesopt.acquisition.joint_search import maximize_jointly
from bayesopt.acquisition.letham_expected_improvement import LethamExpectedImprovement
from bayesopt.acquisition.noisy_expected_improvement import NoisyExpectedImprovement
from bayesopt.acquisition.pending import noise_of_next
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.optimize import Effort


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def of_two(m, S, best):
    """E[(max(f_1, f_2) - best)^+] exactly: given f_1, that of f_2 over max(f_1, best) is known."""
    slope, sd = S[0][1] / S[0][0], math.sqrt(S[1][1] - S[0][1] ** 2 / S[0][0])

    def given(z):
        f1 = m[0] + math.sqrt(S[0][0]) * z
        over = max(f1, best)
        u = (m[1] + slope * (f1 - m[0]) - over) / sd
        density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        improved = sd * (u * ndtr(u) + math.exp(-0.5 * u * u) / math.sqrt(2 * math.pi))
        return density * (improved + over - best)

    kink = (best - m[0]) / math.sqrt(S[0][0])
    parts = sorted({-9.0, min(max(kink, -9.0), 9.0), 9.0})
    return sum(quad(given, *part, epsabs=1e-12)[0] for part in zip(parts, parts[1:], strict=False))


GOLDEN = (0.1, 0.3), ((0.5, 0.2), (0.2, 0.4)), 0.5


def test_the_reference_has_the_golden_value():
    assert of_two(*GOLDEN) == pytest.approx(0.23682632, abs=6e-9)


def test_golden_value():
    class Golden(GivenSamples):
        def joint_moments(self, X):
            return tensor(GOLDEN[0]), tensor(*GOLDEN[1])

    model = process()
    alpha = JointExpectedImprovement(model, points(0, 2), 0.5, log=False, n_samples=2**15)
    alpha.given = Golden(model, points(0, 2))
    assert float(alpha(points(2, 2))) == pytest.approx(0.23682632, abs=1e-5)


@pytest.mark.parametrize("correlation", KERNELS)
def test_two_points_agree_with_the_exact_value(correlation):
    model, X = process(correlation), points(4, 2, 2, seed=1)
    values = JointExpectedImprovement(model, points(0, 2), 0.8, log=False, n_samples=4096)(X)
    posterior = model.posterior(X)
    for i in range(4):
        S = posterior.distribution.covariance_matrix[i].tolist()
        exact = of_two(posterior.mean[i, :, 0].tolist(), S, 0.8)
        assert float(values[i]) == pytest.approx(exact, abs=1e-4)


def test_one_point_is_expected_improvement_and_its_sample_agrees():
    model, X = process(noise="exact"), points(20, 1, 2, seed=2)
    alpha, best = build(model, data_of(model)), float(model.Y.max())
    torch.testing.assert_close(
        alpha(X), ExpectedImprovement(model, best)(X), rtol=1e-12, atol=1e-12
    )
    alpha.n_samples = 4096
    torch.testing.assert_close(alpha._log_sampled(X).exp(), alpha(X).exp(), rtol=0, atol=5e-5)


def test_one_point_under_noise_is_lethams_improvement():
    model, X = process(noise="known"), points(20, 1, 2, seed=3)
    letham = LethamExpectedImprovement(model, model.X, n_samples=256)
    torch.testing.assert_close(build(model, data_of(model))(X), letham(X), rtol=0, atol=0)


@pytest.mark.parametrize(("noise", "m"), [("exact", 0), ("exact", 2), ("known", 0), ("known", 2)])
def test_it_is_the_mean_improvement_of_the_best_of_all(noise, m):
    """Against joint draws of f at A and X, within 4 standard errors."""
    model, pending, X, n = (
        process(noise=noise),
        points(m, 2, seed=4),
        points(5, 3, 2, seed=5),
        40_000,
    )
    alpha = build(model, data_of(model), pending)
    A, floor = alpha.given.A, float(alpha.best.min()) if len(alpha.given.A) == 0 else -math.inf
    floor = float(model.Y.max()) if noise == "exact" else floor
    alpha = JointExpectedImprovement(model, A, floor, log=False, n_samples=4096)
    torch.manual_seed(0)
    joint = torch.cat((A.expand(5, *A.shape), X), dim=1)
    f = model.posterior(joint).rsample(torch.Size([n])).squeeze(-1)
    before = torch.full((n, 5), floor).double()
    if len(A) > 0:
        before = torch.maximum(before, f[..., : len(A)].amax(-1))
    gain = (f[..., len(A) :].amax(-1) - before).clamp_min(0.0)
    assert bool(((alpha(X) - gain.mean(0)).abs() < 4 * gain.std(0) / n**0.5 + 3e-4).all())


def test_botorch_agrees():
    model, X = process(noise="known"), points(10, 4, 2, seed=6)
    sampler = SobolQMCNormalSampler(torch.Size([4096]), seed=0)
    theirs = qLogExpectedImprovement(twin_of(model), 0.8, sampler, tau_max=1e-3)(X)
    ours = JointExpectedImprovement(model, points(0, 2), 0.8, n_samples=4096)(X)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.02)


@pytest.mark.parametrize("q", [1, 2, 5, 32])
@pytest.mark.parametrize("noise", ["exact", "inferred"])
def test_gradients_agree_with_finite_differences(noise, q):
    model = process(noise=noise)
    alpha, X = build(model, data_of(model), points(2, 2, seed=7)), points(3, q, 2, seed=8)
    X.requires_grad_()
    value = alpha(X)
    (gradient,) = torch.autograd.grad(value.sum(), X)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(3):
            direction = torch.randn(*X.shape, dtype=torch.float64, generator=generator)
            ahead, behind = (alpha(X + step * direction) for step in (1e-7, -1e-7))
            expected = (gradient * direction).sum((-2, -1))
            torch.testing.assert_close((ahead - behind) / 2e-7, expected, rtol=2e-3, atol=1e-4)


def test_where_no_sample_improves_a_slope_is_left():
    model = process()
    alpha = JointExpectedImprovement(model, points(0, 2), 30.0)
    X = points(5, 3, 2, seed=9).requires_grad_()
    value = alpha(X)
    (gradient,) = torch.autograd.grad(value.sum(), X)
    assert bool(torch.isfinite(value).all()) and bool((gradient.abs().amax((1, 2)) > 1e-6).all())
    with torch.no_grad():
        assert bool((alpha(X + 0.01 * gradient / gradient.norm()) > value).all())


def test_another_point_never_hurts_and_the_same_one_adds_nothing():
    model = process(noise="exact")
    alpha, X = build(model, data_of(model)), points(20, 3, 2, seed=10)
    two, three = alpha(X[:, :2]).exp(), alpha(X).exp()
    assert bool((three > two - 1e-3).all())
    twice = alpha(torch.cat((X, X[:, :1]), dim=1)).exp()
    torch.testing.assert_close(twice, three, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("noise", ["exact", "known"])
def test_a_pending_point_adds_nothing(noise):
    model, X = process(noise=noise), points(10, 1, 2, seed=11)
    pending = points(1, 2, seed=12)
    alpha = build(model, data_of(model), pending)
    beside = torch.cat((X, pending.expand(10, 1, 2)), dim=1)
    of_x = alpha._log_sampled(X).exp()
    torch.testing.assert_close(alpha(beside).exp(), of_x, rtol=1e-2, atol=1e-4)


def test_something_must_be_improved_on():
    with pytest.raises(ValueError, match="nothing to improve on"):
        JointExpectedImprovement(process(), points(0, 2))


# -- the joint search ------------------------------------------------------------------------------


def found(model, q, **options):
    effort = Effort(n_global=128, n_local=64, n_starts=3, max_calls=12)
    rng, incumbents = np.random.default_rng(0), model.X[:3].numpy()
    X = maximize_jointly(model, data_of(model), q, incumbents, rng, effort=effort, **options)
    return torch.from_numpy(X)


@pytest.mark.parametrize("noise", ["exact", "known"])
def test_points_of_a_joint_search_are_worth_more_than_any_drawn(noise):
    model, pending = process(noise=noise), points(1, 2, seed=13)
    alpha = build(model, data_of(model), pending)
    one_by_one, moved = (
        found(model, 3, acquisition="ei", X_pending=pending, move=move) for move in (False, True)
    )
    values = [float(alpha(X.unsqueeze(0))) for X in (one_by_one, moved)]
    assert values[1] >= values[0] > float(alpha(points(300, 3, 2, seed=14)).max()) - 0.02
    assert values[1] > float(alpha(points(300, 3, 2, seed=14)).max())
    assert bool(((moved >= 0) & (moved <= 1)).all())
    everything = torch.cat((moved, pending))
    assert float(torch.pdist(everything).min()) > 0.05


def test_one_point_of_a_joint_search_is_the_maximiser():
    model, grid = process(noise="exact"), points(4096, 1, 2, seed=15)
    alpha = build(model, data_of(model))
    assert float(alpha(found(model, 1, acquisition="ei"))) > float(alpha(grid).max()) - 1e-3


@pytest.mark.parametrize("name", ["noisy_ei", "kgcp"])
def test_gains_of_the_best_mean_are_searched_jointly_too(name):
    model, baseline = process(noise="known"), "observed_and_candidate"
    baseline = baseline if name == "kgcp" else "observed"
    alpha = NoisyExpectedImprovement(
        model, model.X, noise_of_next(model, data_of(model)), baseline=baseline
    )
    X = found(model, 2, acquisition=name)
    assert float(alpha(X.unsqueeze(0))) > float(alpha(points(300, 2, 2, seed=16)).max())


def test_categories_and_constraints_stay_as_they_are():
    model = process(categories=MIXED)
    X = found(model, 2, acquisition="ei")
    assert bool((X[:, 1] * 2 % 1 == 0).all()) and bool((X[:, 3] % 1 == 0).all())
    region, _ = built("simplex")
    X = torch.from_numpy(region.draw(8, np.random.default_rng(0)))
    h = Hyperparameters(torch.full((4,), 0.5).double(), 0.01, mean=0.0)
    Y = torch.sin(4 * X[:, :1])
    model = ExactGaussianProcess(X, Y, torch.full_like(Y, torch.nan), h)
    inside = found(model, 2, acquisition="ei", region=region)
    assert bool(region.holds(inside.numpy()).all()) and float(torch.pdist(inside).min()) > 1e-3
