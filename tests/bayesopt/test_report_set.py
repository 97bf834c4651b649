"""The report set: the maximiser over a dense grid, every kind of region, and joint search."""

import numpy as np
import pytest
import torch
from golden_instance import GOLDEN, data_of, golden_model
from processes import points, process
from regions import built

import bayesopt as bo
from bayesopt import optimize
from bayesopt.acquisition.default_region import cube_of
from bayesopt.acquisition.joint_search import maximize_jointly
from bayesopt.acquisition.knowledge_gradient import KnowledgeGradient, build
from bayesopt.acquisition.report_set import coefficients, extended
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.region import Region

MIXED = bo.Space(
    x=bo.Float(0, 1), kind=bo.Categorical(["a", "b", "c"]), n=bo.Int(0, 4), y=bo.Float(0, 1)
)


def grid_of(n, d):
    return torch.cartesian_prod(*[torch.linspace(0, 1, n).double()] * d).reshape(-1, d)


def one(n, d, lengthscale, noise, kernel, seed):
    X = points(n, d, seed=seed)
    Y = torch.sin(7 * X.sum(-1, keepdim=True) + seed) + noise**0.5 * points(n, 1, seed=seed + 1)
    h = Hyperparameters(torch.full((d,), lengthscale).double(), 0.0, mean=0.0, kernel=kernel)
    return ExactGaussianProcess(X, Y, torch.full_like(Y, noise), h)


def found_by(acquisition, region, model, seed=0):
    X, v = optimize.maximize(acquisition, region, model.X[:3].numpy(), np.random.default_rng(seed))
    return torch.from_numpy(X[:1]), float(v[0])


# -- agreement with dense grids --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("d", "n", "lengthscale", "noise", "kernel"),
    [
        (1, 3, 0.1, 1e-4, "matern52"),
        (1, 6, 0.25, 0.01, "rbf"),
        (1, 12, 0.1, 0.1, "matern52"),
        (1, 30, 0.5, 0.5, "rbf"),
        (2, 6, 0.25, 1e-4, "rbf"),
        (2, 12, 0.2, 0.1, "matern52"),
        (2, 30, 0.5, 0.5, "matern52"),
    ],
)
def test_the_maximiser_is_that_of_a_dense_grid(d, n, lengthscale, noise, kernel):
    model = one(n, d, lengthscale, noise, kernel, seed=n)
    grid = grid_of(201 if d == 1 else 29, d)
    dense = KnowledgeGradient(model, grid, noise)
    x, v = found_by(build(model, data_of(model)), cube_of(data_of(model)), model)
    largest = float(dense(grid[:: 1 if d == 1 else 3].unsqueeze(-2)).max())
    assert float(dense(x.unsqueeze(0))) > largest - 0.01
    assert v == pytest.approx(largest, abs=0.06)


@pytest.mark.parametrize(("noise", "x", "_", "expected"), GOLDEN)
def test_golden_values_by_the_maximisers_after_hypothetical_observations(noise, x, _, expected):
    model, P = golden_model(noise), torch.tensor([[x]], dtype=torch.float64)
    cube = cube_of(data_of(model))
    nothing = torch.zeros(1, 1, dtype=torch.float64)  # the maximiser of the mean as it is
    W = torch.cat((nothing, coefficients(model, noise, P, 64)))
    A = extended(model, P, W, cube, model.X)
    value = float(KnowledgeGradient(model, A, noise, log=False)(P))
    assert value == pytest.approx(expected, rel=0.02)


def test_after_any_observation_the_best_report_is_as_good_as_that_of_a_grid():
    model, P, grid = process(), points(3, 2, seed=1), grid_of(41, 2)
    W = coefficients(model, 0.02, P, 16)

    def means_after(X):
        posterior = model.posterior(torch.cat((X, P)))
        return posterior.mean[:-3] + posterior.distribution.covariance_matrix[:-3, -3:] @ W.T

    top = grid[model.marginals(grid)[0].argmax()].unsqueeze(0)
    A = extended(model, P, W, cube_of(data_of(model)), top)
    now = means_after(top)[0]
    gain, of_grid = means_after(A).amax(0) - now, means_after(grid).amax(0) - now
    assert bool((gain > 0.985 * of_grid).all())
    assert 2 < len(A) <= 17


def test_the_report_set_is_the_same_every_time():
    model, X = process(), points(5, 1, 2, seed=3)
    torch.manual_seed(1)
    first = build(model, data_of(model))
    torch.manual_seed(2)
    second = build(model, data_of(model))
    torch.testing.assert_close(first.A, second.A, rtol=0, atol=0)
    torch.testing.assert_close(first(X), second(X), rtol=0, atol=0)


# -- regions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["box and plane", "simplex", "few integers", "many integers"])
def test_only_points_of_the_region_are_reported(name):
    region, _ = built(name)
    d, rng = len(region.space), np.random.default_rng(0)
    X = torch.from_numpy(region.draw(12, rng))
    Y = torch.sin(4 * X.sum(-1, keepdim=True))
    h = Hyperparameters(torch.full((d,), 0.5).double(), 0.01, mean=0.0)
    model = ExactGaussianProcess(X, Y, torch.full_like(Y, torch.nan), h, region.space.categories)
    acquisition = build(model, data_of(model), region=region)
    assert bool(region.holds(acquisition.A.numpy()).all())
    x, v = found_by(acquisition, region, model)
    assert bool(region.holds(x.numpy()).all()) and np.isfinite(v)


def test_the_maximiser_over_a_mixed_space_is_that_of_a_dense_grid():
    space, region = MIXED, Region(MIXED)
    X = torch.from_numpy(space.snap(points(12, 4, seed=4).numpy()))
    Y = torch.sin(5 * X.sum(-1, keepdim=True))
    h = Hyperparameters(torch.tensor([0.4, 0.8, 0.6, 0.5]).double(), 0.05, mean=0.0)
    model = ExactGaussianProcess(X, Y, torch.full_like(Y, torch.nan), h, space.categories)
    acquisition = build(model, data_of(model), region=region)
    np.testing.assert_array_equal(space.snap(acquisition.A.numpy()), acquisition.A.numpy())
    x, v = found_by(acquisition, region, model)
    fine, three = torch.linspace(0, 1, 9).double(), torch.linspace(0, 1, 3).double()
    grid = torch.cartesian_prod(fine, three, torch.linspace(0, 1, 5).double(), fine)
    dense = KnowledgeGradient(model, grid, 0.05)
    largest = float(dense(grid[::5].unsqueeze(-2)).max())
    assert float(dense(x.unsqueeze(0))) > largest - 0.02
    assert v > largest - 0.06


def test_a_small_finite_space_is_reported_as_a_whole():
    region = Region(bo.Space(a=bo.Int(0, 6), b=bo.Categorical(["u", "v"])))
    X = torch.from_numpy(region.grid()[::4])
    Y = torch.sin(3 * X.sum(-1, keepdim=True))
    h = Hyperparameters(torch.tensor([0.4, 1.0]).double(), 0.1, mean=0.0)
    model = ExactGaussianProcess(X, Y, torch.full_like(Y, torch.nan), h, region.space.categories)
    acquisition = build(model, data_of(model), region=region)
    np.testing.assert_array_equal(acquisition.A.numpy(), region.grid())
    exact = KnowledgeGradient(model, acquisition.A, 0.1, with_candidate=False)
    X = acquisition.A.unsqueeze(-2)
    torch.testing.assert_close(acquisition(X), exact(X), rtol=1e-8, atol=1e-8)


# -- several points at once ------------------------------------------------------------------------


def test_one_point_of_a_joint_search_is_the_maximiser():
    model = process()
    data, cube = data_of(process()), cube_of(data_of(process()))
    x, v = found_by(build(model, data), cube, model)
    X = maximize_jointly(model, data, 1, model.X[:3].numpy(), np.random.default_rng(0))
    value = float(build(model, data)(torch.from_numpy(X).unsqueeze(0)))
    assert value == pytest.approx(v, abs=1e-3)


@pytest.mark.parametrize("pending", [0, 2])
def test_points_of_a_joint_search_are_worth_more_than_any_drawn(pending):
    model, noise = process(noise="known"), 0.03
    data, C = data_of(model), points(pending, 2, seed=5)
    X = maximize_jointly(model, data, 3, model.X[:3].numpy(), np.random.default_rng(0), X_pending=C)
    assert X.shape == (3, 2) and (X >= 0).all() and (X <= 1).all()
    judge = KnowledgeGradient(model, grid_of(17, 2), noise, n_samples=256)
    some = torch.cat((points(300, 3, 2, seed=6), C.expand(300, pending, 2)), dim=1)
    ours = torch.cat((torch.from_numpy(X), C)).unsqueeze(0)
    assert float(judge(ours)) > float(judge(some).max())


def test_a_joint_search_stays_in_its_region():
    region, _ = built("simplex")
    X = torch.from_numpy(region.draw(8, np.random.default_rng(0)))
    Y = torch.sin(4 * X[:, :1])
    h = Hyperparameters(torch.full((4,), 0.5).double(), 0.01, mean=0.0)
    model = ExactGaussianProcess(X, Y, torch.full_like(Y, torch.nan), h)
    effort = optimize.Effort(n_global=64, n_local=32, n_starts=2, max_calls=5)
    found = maximize_jointly(
        model, data_of(model), 2, X[:2].numpy(), np.random.default_rng(0),
        region=region, effort=effort,
    )  # fmt: skip
    assert bool(region.holds(found).all()) and np.abs(found[0] - found[1]).max() > 1e-3
