"""Two steps ahead: dynamic programming on small spaces, limits, gradients, dense grids."""

import numpy as np
import pytest
import torch
from botorch_twin import twin_of
from exact_two_steps import Problem
from golden_instance import data_of, golden_model
from processes import KERNELS, MIXED, points, process
from regions import built

import bayesopt as bo
from bayesopt import optimize
from bayesopt.acquisition.default_region import cube_of
from bayesopt.acquisition.expected_improvement import ExpectedImprovement
from bayesopt.acquisition.lookahead import Lookahead, build
from bayesopt.acquisition.noisy_expected_improvement import NoisyExpectedImprovement
from bayesopt.acquisition.second_candidates import log_bound
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.region import Region


def column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64).unsqueeze(-1)


def grid_of(n, d):
    return torch.cartesian_prod(*[torch.linspace(0, 1, n).double()] * d).reshape(-1, d)


def gain(model, A, B, noise, **options):
    return Lookahead(model, A, B, noise, **({"log": False} | options))


def programmed(model, others, noise, n_nodes=241):
    """The finite problem of all observed points and others, and the points (M, d)."""
    space = torch.cat((model.X, others))
    posterior = model.posterior(space)
    covariance = posterior.distribution.covariance_matrix.numpy()
    reported = tuple(range(len(model.X)))
    return Problem(posterior.mean[:, 0].numpy(), covariance, noise, reported, n_nodes), space


def wavy(n, d, lengthscale, noise):
    X = points(n, d, seed=n)
    Y = torch.sin(7 * X.sum(-1, keepdim=True) + n) + noise**0.5 * points(n, 1, seed=n + 1)
    h = Hyperparameters(torch.full((d,), lengthscale).double(), 0.0, mean=0.0)
    return ExactGaussianProcess(X, Y, torch.full_like(Y, noise), h)


def found_by(acquisition, region, model):
    X, v = optimize.maximize(acquisition, region, model.X[:3].numpy(), np.random.default_rng(0))
    return torch.from_numpy(X[:1]), float(v[0])


# -- dynamic programming ---------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 1e-4, 0.01, 0.1, 1.0])
def test_it_equals_dynamic_programming(noise):
    model = golden_model(noise)
    problem, space = programmed(model, column(0.25, 0.55, 0.95), noise)
    exact = problem.gains(2)
    every = gain(model, model.X, space, noise, n_nodes=161, n_compared=len(space))
    np.testing.assert_allclose(every(space.unsqueeze(-2)), exact, rtol=1e-3, atol=2e-5)
    default = gain(model, model.X, space, noise)(space.unsqueeze(-2))
    np.testing.assert_allclose(default, exact, rtol=0.03 if noise == 1.0 else 0.005)


def test_it_equals_dynamic_programming_where_only_old_observations_were_noisy():
    golden = golden_model(0.0)
    Yvar = column(0.0, 0.2, 0.1)
    model = ExactGaussianProcess(golden.X, golden.Y, Yvar, golden.hyperparameters)
    problem, space = programmed(model, column(0.25, 0.55, 0.95), 0.0)
    values = gain(model, model.X, space, 0.0)(space.unsqueeze(-2))
    np.testing.assert_allclose(values, problem.gains(2), rtol=0.01)


@pytest.mark.parametrize("noise", ["exact", "known"])
def test_it_equals_dynamic_programming_in_two_dimensions(noise):
    model = process(noise=noise, n=3)
    variance = 0.0 if noise == "exact" else 0.02
    problem, space = programmed(model, points(4, 2, seed=2), variance)
    exact = problem.gains(2)
    values = gain(model, model.X, space, variance)(space.unsqueeze(-2))
    np.testing.assert_allclose(values, exact, rtol=0.01)
    assert int(values.argmax()) == int(exact.argmax())


@pytest.mark.parametrize(
    ("noise", "others"), [(0.0, (0.29, 0.33, 0.62, 0.89)), (0.1, (0.02, 0.28, 0.66, 0.85))]
)
def test_where_one_step_chooses_another_point_two_steps_are_worth_more(noise, others):
    model = golden_model(noise)
    problem, space = programmed(model, column(*others), noise)
    two_steps = problem.gains(2)
    ours = int(gain(model, model.X, space, noise)(space.unsqueeze(-2)).argmax())
    one_step = NoisyExpectedImprovement(model, model.X, noise)
    greedy = int(one_step(space.unsqueeze(-2)).argmax())
    assert greedy == int(problem.gains(1).argmax())
    assert ours == int(two_steps.argmax())
    assert two_steps[ours] > 1.05 * two_steps[greedy]


def test_the_bound_is_exact_without_noise_and_below_the_gain_with_it():
    for noise in (0.0, 0.1):
        model, X = golden_model(noise), column(0.2, 0.5, 0.9)
        gains = NoisyExpectedImprovement(model, model.X, noise, log=False)(X.unsqueeze(-2))
        posterior = model.posterior(torch.cat((model.X, X)))
        mean, S = posterior.mean[:, 0], posterior.distribution.covariance_matrix
        top = int(mean[:3].argmax())
        bound = log_bound(mean[3:], S.diagonal()[3:], S[3:, top], mean[top], noise).exp()
        assert bool((bound <= gains + 1e-12).all())
        if noise == 0.0:
            torch.testing.assert_close(bound, gains)


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_two_steps_are_worth_at_least_one(noise):
    model = process(noise="exact" if noise == 0.0 else "inferred")
    X, B = points(30, 1, 2, seed=3), points(15, 2, seed=4)
    one = NoisyExpectedImprovement(model, model.X, noise, log=False)
    two = gain(model, model.X, B, noise)(X)
    assert bool((two >= one(X)).all())
    assert bool((two >= 0.99 * one(B.unsqueeze(-2)).max()).all())
    more = gain(model, model.X, torch.cat((B, points(15, 2, seed=5))), noise, n_compared=30)(X)
    fewer = gain(model, model.X, B, noise, n_compared=15)(X)
    assert bool((more >= fewer - 1e-12).all())


def test_where_no_second_evaluation_teaches_it_is_expected_improvement():
    model, X = process(noise="exact"), points(30, 1, 2, seed=6)
    ei = ExpectedImprovement(model, float(model.Y.max()))
    two = gain(model, model.X, model.X, 0.0)
    log_value, slope = ei.value_and_gradient(X.squeeze(-2))
    value, gradient = two.value_and_gradient(X.squeeze(-2))
    torch.testing.assert_close(value, log_value.exp(), rtol=0, atol=1e-7)
    expected = slope * log_value.exp().unsqueeze(-1)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-6)


def test_what_is_known_without_noise_leaves_the_best_single_step():
    model, B = process(noise="exact"), points(40, 2, seed=7)
    ei = ExpectedImprovement(model, float(model.Y.max()))(B.unsqueeze(-2)).max()
    two = Lookahead(model, model.X, B, 0.0)
    value, gradient = two.value_and_gradient(model.X)
    torch.testing.assert_close(value, ei.expand(9), rtol=0, atol=1e-5)
    assert bool(gradient.isfinite().all())


def test_far_from_all_data_nothing_is_infinite():
    X = column(0.1, 0.2)
    h = Hyperparameters(torch.tensor([5e-3]).double(), 0.0, mean=-40.0, signal=1e-2)
    for noise in (0.0, 1e-8, 1e-3):
        model = ExactGaussianProcess(X, column(0.0, 1.0), torch.full((2, 1), noise).double(), h)
        acquisition = Lookahead(model, X, column(0.5, 0.9), noise)
        value, gradient = acquisition.value_and_gradient(column(0.1, 0.2, 0.201, 0.5, 0.7, 1.0))
        assert bool(value.isfinite().all()) and bool(gradient.isfinite().all())


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_the_first_point_may_be_measured_again_under_noise(noise):
    """All others are all but known."""
    model, x = golden_model(1e-6), column(0.95)
    problem, space = programmed(model, x, noise)
    twice = gain(model, model.X, space[:3], noise, n_nodes=161, n_compared=4)(x.unsqueeze(0))
    assert float(twice) == pytest.approx(problem.gains(2)[3], rel=1e-3)


# -- gradients -------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["exact", "inferred"])
@pytest.mark.parametrize(
    ("correlation", "mean"), [*((kernel, "constant") for kernel in KERNELS), ("rbf", "quadratic")]
)
def test_gradients_agree_with_finite_differences(correlation, mean, noise):
    model = process(correlation, mean=mean, noise=noise)
    variance = 0.0 if noise == "exact" else 0.05
    acquisition = Lookahead(model, model.X, points(20, 2, seed=8), variance)
    X = points(6, 1, 2, seed=9).requires_grad_()
    (gradient,) = torch.autograd.grad(acquisition(X).sum(), X)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        value, closed = acquisition.value_and_gradient(X.squeeze(-2))
        torch.testing.assert_close(closed, gradient.squeeze(-2))
        torch.testing.assert_close(value, acquisition(X))
        for _ in range(3):
            direction = torch.randn(*X.shape, dtype=torch.float64, generator=generator)
            ahead, behind = acquisition(X + 1e-6 * direction), acquisition(X - 1e-6 * direction)
            expected = (gradient * direction).sum((-2, -1))
            torch.testing.assert_close((ahead - behind) / 2e-6, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("noise", ["exact", "known"])
def test_the_closed_form_agrees_with_the_joint_posterior(noise, categories):
    model = process(noise=noise, categories=categories)
    variance, d = 0.0 if noise == "exact" else 0.02, model.X.shape[-1]
    B = points(12, d, categories=categories, seed=10)
    acquisition = Lookahead(model, model.X, B, variance)
    X = points(30, d, categories=categories, seed=11)
    value, gradient = acquisition.value_and_gradient(X)
    acquisition.observed.weights = None
    slow_value, slow_gradient = acquisition.value_and_gradient(X)
    torch.testing.assert_close(value, slow_value, rtol=1e-6, atol=1e-6)
    plain = model.features.plain
    torch.testing.assert_close(gradient[:, plain], slow_gradient[:, plain], rtol=1e-4, atol=1e-5)


def test_it_works_on_a_model_of_botorch():
    model, B = golden_model(0.1), column(0.2, 0.55, 0.9)
    ours, theirs = (gain(m, model.X, B, 0.1)(B.unsqueeze(-2)) for m in (model, twin_of(model)))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_it_takes_one_point_at_a_time_in_batches_of_any_shape():
    model, X = process(), points(2, 3, 1, 2, seed=12)
    acquisition = Lookahead(model, model.X, points(5, 2, seed=13), 0.02)
    with torch.no_grad():
        torch.testing.assert_close(acquisition(X).reshape(-1), acquisition(X.reshape(6, 1, 2)))
    with pytest.raises(
        ValueError, match=r"takes one candidate at a time, q=1, but X has the shape \(3, 2, 2\)"
    ):
        acquisition(points(3, 2, 2))


# -- second candidates -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("d", "n", "lengthscale", "noise"),
    [(1, 3, 0.1, 0.0), (1, 12, 0.1, 0.1), (2, 6, 0.25, 0.0), (2, 12, 0.2, 0.1)],
)
def test_the_maximiser_is_that_of_a_dense_grid_of_second_candidates(d, n, lengthscale, noise):
    model = wavy(n, d, lengthscale, noise)
    grid = grid_of(101 if d == 1 else 17, d)
    with torch.no_grad():
        dense = Lookahead(model, model.X, grid, noise)
        x, v = found_by(build(model, data_of(model)), cube_of(data_of(model)), model)
        values = dense(grid[:: 1 if d == 1 else 4].unsqueeze(-2))
        assert float(dense(x.unsqueeze(0))) > float(values.max()) - 0.01
        assert v > float(values.max()) - 0.02
    assert float(values.max() - values.min()) > 0.2


@pytest.mark.parametrize(("d", "noise"), [(2, 0.3), (4, 0.0)])
def test_after_any_first_observation_the_best_second_one_is_among_them(d, noise):
    model = wavy(12, d, 0.2 * (d - 1) ** 0.5, noise)
    cube, acquisition = cube_of(data_of(model)), build(model, data_of(model))
    x, _ = found_by(acquisition, cube, model)
    posterior, A = model.posterior(x), torch.cat((model.X, x))
    for z in (-1.5, -0.5, 0.5, 1.5):
        y = posterior.mean + z * (posterior.variance + noise).sqrt()
        after = model.condition_on_observations(x, y, noise=torch.full_like(y, noise))
        one_more = NoisyExpectedImprovement(after, A, noise)
        _, largest = found_by(one_more, cube, after)
        with torch.no_grad():
            assert float(one_more(acquisition.B.unsqueeze(-2)).max()) > largest - 0.05


def test_the_second_candidates_are_the_same_every_time():
    model, X = process(noise="exact"), points(5, 1, 2, seed=14)
    torch.manual_seed(1)
    first = build(model, data_of(model))
    torch.manual_seed(2)
    second = build(model, data_of(model), points(0, 2))
    torch.testing.assert_close(first.B, second.B, rtol=0, atol=0)
    torch.testing.assert_close(first(X), second(X), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["box and plane", "few integers", "many integers"])
def test_second_candidates_are_points_of_the_region(name):
    region, _ = built(name)
    d, rng = len(region.space), np.random.default_rng(0)
    X = torch.from_numpy(region.draw(8, rng))
    Y = torch.sin(4 * X.sum(-1, keepdim=True))
    h = Hyperparameters(torch.full((d,), 0.5).double(), 0.0, mean=0.0)
    model = ExactGaussianProcess(X, Y, torch.zeros_like(Y), h, region.space.categories)
    acquisition = build(model, data_of(model), region=region)
    assert bool(region.holds(acquisition.B.numpy()).all())
    x, v = found_by(acquisition, region, model)
    assert bool(region.holds(x.numpy()).all()) and np.isfinite(v)


def test_second_candidates_of_a_mixed_space_stand_for_values():
    space = bo.Space(
        x=bo.Float(0, 1), kind=bo.Categorical(["a", "b", "c"]), n=bo.Int(0, 4), y=bo.Float(0, 1)
    )
    X = torch.from_numpy(space.snap(points(8, 4, seed=15).numpy()))
    Y = torch.sin(5 * X.sum(-1, keepdim=True))
    h = Hyperparameters(torch.tensor([0.4, 0.8, 0.6, 0.5]).double(), 0.0, mean=0.0)
    model = ExactGaussianProcess(X, Y, torch.zeros_like(Y), h, space.categories)
    acquisition = build(model, data_of(model), region=Region(space))
    np.testing.assert_array_equal(space.snap(acquisition.B.numpy()), acquisition.B.numpy())
    x, v = found_by(acquisition, Region(space), model)
    some = torch.from_numpy(space.snap(points(100, 4, seed=16).numpy())).unsqueeze(-2)
    assert v > float(acquisition(some).max())


def test_a_small_finite_space_is_programmed_as_a_whole():
    region = Region(bo.Space(a=bo.Int(0, 2), b=bo.Categorical(["u", "v"])))
    X = torch.from_numpy(region.grid()[::3])
    Y = torch.sin(3 * X.sum(-1, keepdim=True))
    h = Hyperparameters(torch.tensor([0.4, 1.0]).double(), 0.1, mean=0.0)
    model = ExactGaussianProcess(X, Y, torch.full_like(Y, torch.nan), h, region.space.categories)
    acquisition = build(model, data_of(model), region=region)
    np.testing.assert_array_equal(acquisition.B.numpy(), region.grid())
    others = torch.from_numpy(np.delete(region.grid(), [0, 3], axis=0))
    problem, space = programmed(model, others, 0.1)
    exact = problem.gains(2)
    np.testing.assert_allclose(acquisition(space.unsqueeze(-2)).exp(), exact, rtol=0.02)


# -- pending points --------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["exact", "inferred"])
def test_a_pending_point_is_not_asked_again(noise):
    model = process(noise=noise, n=5)
    data, X = data_of(model), points(60, 1, 2, seed=17)
    with torch.no_grad():
        free = build(model, data)(X)
        pending = X[free.argmax()]
        busy = build(model, data, pending)(X)
    assert bool(busy.isfinite().all())
    assert float(busy[free.argmax()]) < float(busy.max()) - 0.02
    assert int(busy.argmax()) != int(free.argmax())


def test_beside_a_pending_point_it_averages_what_two_more_evaluations_gain():
    model = golden_model(0.0)
    acquisition = build(model, data_of(model), column(0.95))
    X = column(0.25, 0.55, 0.7).unsqueeze(-2)
    expected = torch.stack([term(X).exp() for term in acquisition.terms]).mean(0)
    torch.testing.assert_close(acquisition(X).exp(), expected)
    assert all(0.95 in term.model.X for term in acquisition.terms)
