"""Knowledge gradient with slopes: golden values, sampling, limits, report set, one direction."""

import math

import numpy as np
import pytest
import torch
from golden_instance import data_of
from processes import points
from processes import process as process_without_slopes
from slopes import dataset, golden_model, hyperparameters, observations, process, tensor

from bayesopt import optimize
from bayesopt.acquisition import derivative_knowledge_gradient, directional_knowledge_gradient
from bayesopt.acquisition.default_region import cube_of
from bayesopt.acquisition.derivative_knowledge_gradient import DerivativeKnowledgeGradient, build
from bayesopt.acquisition.directional_knowledge_gradient import DirectionalKnowledgeGradient
from bayesopt.acquisition.expected_max import log_expected_gain
from bayesopt.acquisition.expected_max_of_planes import log_expected_gain_of_planes
from bayesopt.acquisition.knowledge_gradient import KnowledgeGradient
from bayesopt.models.derivatives.process import DerivativeGaussianProcess
from bayesopt.models.derivatives.rows import rows

MIXED = ((1, 3),)
GRID = torch.linspace(0.0, 1.0, 201, dtype=torch.float64).unsqueeze(-1)
GOLDEN = [(0.55, 3.295e-5, 6.580e-5), (0.95, 6.3819e-4, 6.8332e-4), (0.25, 1.471e-5, 3.703e-5)]


def d_kg(model, A, noise=0.02, slope_noise=0.07, **options):
    return DerivativeKnowledgeGradient(model, A, noise, slope_noise, **({"log": False} | options))


def same(a, b, rtol=0.0, atol=1e-9):
    torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


# -- planes ----------------------------------------------------------------------------------------


def planes(b=5, r=3, m=12, seed=0):
    return points(b, m, seed=seed), 0.6 * (points(b, r, m, seed=seed + 1) - 0.5)


@pytest.mark.parametrize("r", [2, 3, 6])
def test_the_gain_of_planes_agrees_with_plain_monte_carlo(r):
    a, B = planes(r=r)
    gain = log_expected_gain_of_planes(a, B, 2048).exp()
    Z = normal(100_000, r)
    for i in range(len(a)):
        heights = (a[i] + Z @ B[i]).amax(1) - a[i].max()
        assert float(gain[i]) == pytest.approx(
            float(heights.mean()), abs=4 * float(heights.std()) / 100_000**0.5
        )


def test_planes_in_one_variable_are_lines_and_others_gain_at_least_as_much():
    a, B = planes(b=40)
    lines = log_expected_gain(a, B[:, 0])
    same(log_expected_gain_of_planes(a, B[:, :1], 8), lines)
    for n in (2, 8, 32):
        assert bool((log_expected_gain_of_planes(a, B, n) >= lines - 1e-12).all())
    flat = torch.cat((B[:, :1], 0.0 * B[:, 1:]), dim=1)
    same(log_expected_gain_of_planes(a, flat, 8), lines)


def test_the_gain_is_that_of_a_rotated_set_of_planes():
    a, B = planes(r=2)
    rotation, _ = torch.linalg.qr(normal(2, 2))
    gain, rotated = (log_expected_gain_of_planes(a, x, 128) for x in (B, rotation @ B))
    same(gain, rotated, atol=1e-2)


def test_many_candidates_are_those_one_by_one():
    a, B = planes(b=150, m=40, seed=3)
    B = B * torch.linspace(0.01, 1.0, 150, dtype=torch.float64)[:, None, None]
    together = log_expected_gain_of_planes(a, B, 8)
    alone = torch.cat([log_expected_gain_of_planes(a[[i]], B[[i]], 8) for i in range(150)])
    same(together, alone, atol=1e-8)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_the_logarithm_of_the_gain_has_its_gradient_also_where_it_underflows(scale):
    a, B = planes()
    B = (B * scale).requires_grad_(True)
    a.requires_grad_(True)
    gain = log_expected_gain_of_planes(a, B, 16)
    assert bool(gain.isfinite().all()) and (scale == 1.0 or float(gain.detach().min()) < -750.0)
    for part, gradient in zip((a, B), torch.autograd.grad(gain.sum(), (a, B)), strict=True):
        step = 1e-7 * scale * normal(*part.shape)
        with torch.no_grad():
            part += step
            ahead = log_expected_gain_of_planes(a, B, 16).sum()
            part -= 2.0 * step
            behind = log_expected_gain_of_planes(a, B, 16).sum()
            part += step
        expected = float((gradient * step).detach().sum())
        assert float(ahead - behind) / 2 == pytest.approx(expected, rel=1e-4)


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_candidate", [False, True])  # x is a point of the grid
@pytest.mark.parametrize(("x", "of_value", "expected"), GOLDEN)
def test_golden_values(x, of_value, expected, with_candidate):
    X = tensor([[x]])
    options = {"noise": 1e-4, "with_candidate": with_candidate}
    assert float(d_kg(golden_model(), GRID, slope_noise=1e-2, **options)(X)) == pytest.approx(
        expected, rel=2e-4
    )
    assert float(d_kg(golden_model(), GRID, slope_noise=1e12, **options)(X)) == pytest.approx(
        of_value, rel=2e-4
    )


def test_it_agrees_with_plain_monte_carlo():
    model, A, X = process(d=2), points(20, 2, seed=17), points(3, 2, seed=18)
    _, C, S = model.moments_with_next(A, 0.02, 0.07)(X, None)
    values = d_kg(model, A, with_candidate=False, n_samples=2048)(X.unsqueeze(-2))
    mean, Z = model.marginals(A)[0], normal(200_000, 3)
    for i in range(3):
        surprise = Z @ torch.linalg.cholesky(S[i]).T
        shift = surprise @ torch.linalg.solve(S[i], C[i, :-1].T)
        gain = (mean + shift).amax(1) - mean.max()
        assert float(values[i]) == pytest.approx(
            float(gain.mean()), abs=4 * float(gain.std()) / 200_000**0.5
        )


@pytest.mark.parametrize("n_samples", [2, 32])
@pytest.mark.parametrize("with_candidate", [False, True])
def test_it_is_at_least_the_knowledge_gradient_which_it_is_when_slopes_are_all_noise(
    with_candidate, n_samples
):
    model, A, X = process(), points(30, 3, seed=5), points(60, 1, 3, seed=6)
    options = {"with_candidate": with_candidate, "log": True}
    of_value = KnowledgeGradient(model, A, 0.02, **options)(X)
    values = [
        d_kg(model, A, slope_noise=noise, n_samples=n_samples, **options)(X)
        for noise in (1e-3, 0.1, 1e14)
    ]
    assert bool((values[0] >= of_value - 1e-9).all()) and bool((values[1] >= of_value - 1e-9).all())
    assert float((values[0] - of_value).median()) > 0.02
    assert float((values[0] - values[1]).max()) > 0.01
    same(values[2], of_value, atol=1e-5)


def test_what_is_known_exactly_teaches_nothing():
    seen = observations(noise="exact", absent=0.0)
    model = DerivativeGaussianProcess(rows(*seen), hyperparameters("matern52"))
    acquisition = d_kg(model, points(50, 3, seed=8), 0.0, 0.0)
    assert 0.0 <= float(acquisition(model.X.unsqueeze(-2)).max()) < 1e-6
    assert float(acquisition(points(20, 1, 3, seed=9)).max()) > 1e-2


def test_before_any_partial_derivative_has_come_it_is_the_knowledge_gradient():
    X, Y, Yvar, dY, dYvar = observations()
    model = DerivativeGaussianProcess(
        rows(X, Y, Yvar, torch.full_like(dY, math.nan), dYvar), hyperparameters("matern52")
    )
    A, at = points(20, 3, seed=5), points(10, 1, 3, seed=6)
    same(d_kg(model, A)(at), KnowledgeGradient(model, A, 0.02, log=False)(at))
    with pytest.raises(ValueError, match="none has been observed so far"):
        DirectionalKnowledgeGradient(d_kg(model, A))


def test_expected_improvement_is_the_same_whether_a_slope_will_come_or_not():
    """Averaged over the slope, the improvement given the slope is what it is without."""
    model, X, best = golden_model(), tensor([0.6]), 0.85
    (mean,), (covariance,) = model.values_and_slopes(X)

    def improvement(mean, variance):
        law, sd = torch.distributions.Normal(0.0, 1.0), variance**0.5
        u = (mean - best) / sd
        return (mean - best) * law.cdf(u) + sd * torch.exp(law.log_prob(u))

    nodes, weights = (torch.from_numpy(x) for x in np.polynomial.hermite_e.hermegauss(60))
    slope_variance = float(covariance[1, 1]) + 1e-2
    given = mean[0] + covariance[0, 1] / slope_variance**0.5 * nodes
    left = covariance[0, 0] - covariance[0, 1] ** 2 / slope_variance
    averaged = float((weights * improvement(given, left)).sum() / weights.sum())
    assert averaged == pytest.approx(float(improvement(mean[0], covariance[0, 0])), rel=1e-8)
    assert float(left) < 0.95 * float(covariance[0, 0])


@pytest.mark.parametrize("with_candidate", [False, True])
@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("kernel", ["rbf", "matern52"])
def test_gradients_agree_with_finite_differences(kernel, categories, with_candidate):
    model = process(kernel, categories=categories)
    A = torch.cat((model.X[:3], points(12, 3, categories=categories, seed=13)))
    acquisition = d_kg(model, A, with_candidate=with_candidate, log=True)
    X = points(6, 3, categories=categories, seed=14)
    value, gradient = acquisition.value_and_gradient(X)
    same(value, acquisition(X.unsqueeze(-2)))
    for j in model.features.plain:
        move = torch.zeros(3, dtype=torch.float64)
        move[j] = 1e-6
        ahead, behind = (acquisition((X + sign * move).unsqueeze(-2)) for sign in (1, -1))
        same((ahead - behind) / 2e-6, gradient[:, j], rtol=1e-4, atol=1e-5)


def test_many_candidates_are_scored_in_parts(monkeypatch):
    acquisition, X = d_kg(process(), points(10, 3, seed=5)), points(7, 2, 1, 3, seed=6)
    whole = acquisition(X)
    monkeypatch.setattr(derivative_knowledge_gradient, "_LARGEST_CHUNK", 1)
    same(acquisition(X), whole, atol=1e-12)
    assert whole.shape == (7, 2)


# -- report set ------------------------------------------------------------------------------------


def test_the_report_set_is_as_good_as_a_dense_grid_and_leads_to_the_maximiser():
    seen = observations(n=8, d=2, noise="exact", absent=0.0)
    model = DerivativeGaussianProcess(rows(*seen), hyperparameters("matern52", 2))
    acquisition = build(model, dataset(*seen))
    side = torch.linspace(0.0, 1.0, 15, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    noises = float(seen[2].median()), float(model.new_slope_noise)
    dense = d_kg(model, torch.cat((grid, acquisition.A)), *noises, log=True)
    X, v = optimize.maximize(
        acquisition, cube_of(dataset(*seen)), seen[0].numpy(), np.random.default_rng(0)
    )
    over_grid = dense(grid.unsqueeze(-2))
    found = dense(torch.from_numpy(X[:1]).unsqueeze(-2))
    assert float(found) > float(over_grid.max()) - 0.01
    assert v[0] > float(found) - 0.1 and len(acquisition.A) < 150


def test_a_model_without_slopes_is_refused():
    model = process_without_slopes()
    with pytest.raises(TypeError, match="the model is a ExactGaussianProcess"):
        build(model, data_of(model))


# -- pending points --------------------------------------------------------------------------------


def test_a_pending_point_promises_less_and_its_slopes_count():
    seen = observations(n=5, d=2, noise="known", absent=0.0)
    model = DerivativeGaussianProcess(rows(*seen), hyperparameters("matern52", 2))
    data, X = dataset(*seen), points(10, 1, 2, seed=23)
    free = build(model, data)(X)
    top = X[free.argmax()]
    beside = build(model, data, top)
    assert float(beside(X)[free.argmax()]) < float(free.max()) - 0.3
    after = beside.terms[0].model
    assert len(after.rows.y) == len(model.rows.y) + 3
    same(build(model, data, points(0, 2))(X), free, atol=0.0)


# -- one direction ---------------------------------------------------------------------------------


def along_all(acquisition, X, n=60):
    """The largest value (b,) over directions drawn at random."""
    thetas = normal(n, 3)
    return torch.stack([acquisition.along(X, theta.unsqueeze(0)) for theta in thetas]).amax(0)


def test_the_best_direction_is_worth_more_than_others_and_less_than_all_slopes():
    whole = d_kg(process(absent=0.0), points(40, 3, seed=5), log=True, n_samples=512)
    one, X = DirectionalKnowledgeGradient(whole), points(12, 3, seed=6)
    value, theta = one(X.unsqueeze(-2)), one.directions(X)
    same(torch.linalg.vector_norm(theta, dim=-1), torch.ones(12).double())
    same(whole.along(X, theta.unsqueeze(-2)), value, atol=0.05)
    assert bool((value > along_all(whole, X) - 0.05).all())
    assert bool((value < whole(X.unsqueeze(-2)) + 0.05).all())
    assert bool((value > KnowledgeGradient(process(absent=0.0), whole.A, 0.02)(X[:, None])).all())


def test_the_best_direction_is_in_the_columns_that_have_slopes():
    X, Y, Yvar, dY, dYvar = observations(absent=0.0)
    dY[:, 1] = torch.nan
    model = DerivativeGaussianProcess(rows(X, Y, Yvar, dY, dYvar), hyperparameters("rbf"))
    one = DirectionalKnowledgeGradient(d_kg(model, points(20, 3, seed=5)))
    assert bool((one.directions(points(4, 3, seed=6))[:, 1] == 0.0).all())
    dY[:, 2] = torch.nan
    model = DerivativeGaussianProcess(rows(X, Y, Yvar, dY, dYvar), hyperparameters("rbf"))
    whole, at = d_kg(model, points(20, 3, seed=5), n_samples=16), points(4, 1, 3, seed=6)
    same(DirectionalKnowledgeGradient(whole)(at), whole(at), atol=1e-12)


def test_the_gradient_with_the_best_direction_is_that_with_this_direction_held_fixed(monkeypatch):
    monkeypatch.setattr(directional_knowledge_gradient, "_MAX_CALLS", 100)
    monkeypatch.setattr(directional_knowledge_gradient, "_TOLERANCE", 1e-13)
    one = DirectionalKnowledgeGradient(d_kg(process(), points(20, 3, seed=5), log=True))
    X = points(5, 3, seed=6)
    value, gradient = one.value_and_gradient(X)
    same(value, one(X.unsqueeze(-2)))
    for j in range(3):
        move = torch.zeros(3, dtype=torch.float64)
        move[j] = 1e-5
        ahead, behind = (one((X + sign * move).unsqueeze(-2)) for sign in (1, -1))
        same((ahead - behind) / 2e-5, gradient[:, j], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_one_direction_is_built_beside_pending_points_too():
    seen, model = observations(n=5, d=2), process(n=5, d=2)
    pending, X = points(1, 2, seed=4), points(3, 1, 2, seed=5)
    busy = directional_knowledge_gradient.build(model, dataset(*seen), pending)
    free = DirectionalKnowledgeGradient(d_kg(model, busy.terms[0].whole.A, log=True))
    assert bool(busy(X).isfinite().all()) and busy(X).shape == (3,)
    assert float(busy(pending.unsqueeze(0))) < float(free(pending.unsqueeze(0))) - 0.1


def test_several_candidates_together_are_refused():
    whole = d_kg(golden_model(), GRID)
    for acquisition in (whole, DirectionalKnowledgeGradient(whole)):
        with pytest.raises(ValueError, match=r"one candidate at a time, q=1, .* \(3, 2, 1\)"):
            acquisition(torch.rand(3, 2, 1, dtype=torch.float64))
