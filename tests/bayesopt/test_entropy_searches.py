"""What the four entropy searches have in common, and what each of them equals."""

import numpy as np
import pytest
import torch
from botorch_twin import twin_of
from golden_instance import data_of
from processes import MIXED, points, process
from scipy.optimize import LinearConstraint

import bayesopt as bo
from bayesopt.acquisition import (
    entropy_search,
    joint_entropy_search,
    max_value_entropy_search,
    predictive_entropy_search,
)
from bayesopt.acquisition.default_region import cube_of
from bayesopt.acquisition.entropy_search import EntropySearch
from bayesopt.acquisition.information import resolved_noise
from bayesopt.acquisition.joint_entropy_search import JointEntropySearch
from bayesopt.acquisition.max_value_entropy_search import MaxValueEntropySearch
from bayesopt.acquisition.optimal_samples import OptimalSamples, optimal_samples
from bayesopt.acquisition.predictive_entropy_search import PredictiveEntropySearch
from bayesopt.acquisition.truncated_entropy import log_entropy_lost
from bayesopt.models.exact import ExactGaussianProcess
from bayesopt.models.fully_bayesian import FullyBayesianGaussianProcess
from bayesopt.region import Region

ROOMS = {
    "es": entropy_search,
    "pes": predictive_entropy_search,
    "mes": max_value_entropy_search,
    "jes": joint_entropy_search,
}


@pytest.fixture(params=ROOMS)
def name(request):
    return request.param


def of(name, model, noise, d=2, categories=(), log=True):
    """A search over fixed samples, some of them at observed points."""
    X = torch.cat((model.train_inputs[0][:2], points(8, d, categories=categories, seed=31)))
    samples = OptimalSamples(X, torch.linspace(1.2, 2.5, 10, dtype=torch.float64))
    if name == "es":
        return EntropySearch(model, X, noise, log=log)
    if name == "pes":
        shares = torch.full((8,), 0.125, dtype=torch.float64)
        return PredictiveEntropySearch(model, X[2:], shares, noise, log=log)
    if name == "mes":
        return MaxValueEntropySearch(model, samples.f, noise, log=log)
    return JointEntropySearch(model, samples, noise, log=log)


# -- values and gradients --------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.05, 1e-6])
@pytest.mark.parametrize("mean", ["constant", "linear"])
def test_gradients_agree_with_finite_differences(name, mean, noise):
    acquisition = of(name, process(mean=mean), noise)
    X = points(8, 2, seed=32)
    value, closed = acquisition.value_and_gradient(X)
    torch.testing.assert_close(value, acquisition(X.unsqueeze(-2)))
    variable = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(acquisition(variable.unsqueeze(-2)).sum(), variable)
    torch.testing.assert_close(closed, gradient)
    for j in range(2):
        step = 1e-6 * torch.eye(2, dtype=torch.float64)[j]
        ahead, behind = (acquisition((X + s * step).unsqueeze(-2)) for s in (1, -1))
        torch.testing.assert_close((ahead - behind) / 2e-6, closed[:, j], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
def test_the_closed_form_agrees_with_the_joint_posterior(name, categories):
    model = process(categories=categories)
    d = model.X.shape[-1]
    X = points(20, d, categories=categories, seed=33)
    acquisition = of(name, model, 0.02, d, categories)
    value, gradient = acquisition.value_and_gradient(X)
    acquisition.observed.weights = None
    slow_value, slow_gradient = acquisition.value_and_gradient(X)
    torch.testing.assert_close(value, slow_value, rtol=1e-6, atol=1e-6)
    plain = model.features.plain
    torch.testing.assert_close(gradient[:, plain], slow_gradient[:, plain], rtol=1e-4, atol=1e-5)


def test_it_works_on_a_model_of_botorch(name):
    model = process(noise="known")
    X = points(20, 1, 2, seed=34)
    values = [of(name, m, 0.02)(X) for m in (model, twin_of(model))]
    torch.testing.assert_close(*(v.detach() for v in values), rtol=1e-4, atol=1e-4)
    built = ROOMS[name].build(twin_of(model), data_of(model))
    assert bool(torch.isfinite(built(X)).all())


def test_more_noise_tells_less_and_in_the_end_nothing(name):
    model, X = process(), points(20, 1, 2, seed=35)
    values = torch.stack([of(name, model, v, log=False)(X) for v in (0.01, 0.1, 10.0, 1e9)])
    assert bool((values >= 0.0).all())
    assert bool((values.diff(dim=0) <= 1e-9).all())
    assert float(values[-1].max()) < 1e-6


def test_what_is_known_tells_nothing(name):
    model = process(noise="exact")
    acquisition = ROOMS[name].build(model, data_of(model))
    at_data = acquisition(model.X.unsqueeze(-2)).exp()
    anywhere = acquisition(points(200, 1, 2, seed=36)).exp()
    assert float(at_data.max()) < 1e-3 * float(anywhere.max())


def test_max_value_entropy_is_the_mean_of_plain_monte_carlo():
    """y = f + noise, of draws with f below each maximum, in a histogram."""
    model, noise, rng = process(), 0.05, np.random.default_rng(0)
    x = points(1, 2, seed=37)
    mean, variance = (float(m) for m in model.marginals(x))
    maxima = mean + np.sqrt(variance) * np.array([0.3, 1.5])
    f = mean + np.sqrt(variance) * rng.standard_normal(2_000_000)
    y = f + np.sqrt(noise) * rng.standard_normal(len(f))
    expected = []
    for maximum in maxima:
        p, edges = np.histogram(y[f <= maximum], bins=400, density=True)
        entropy = -(p[p > 0] * np.log(p[p > 0])).sum() * np.diff(edges)[0]
        expected.append(0.5 * np.log(2 * np.pi * np.e * (variance + noise)) - entropy)
    mes = MaxValueEntropySearch(model, torch.from_numpy(maxima), noise, log=False)
    assert float(mes(x.unsqueeze(0))) == pytest.approx(np.mean(expected), rel=0.02)


def test_joint_entropy_conditions_on_optimum_and_value():
    model, noise, X = process(noise="known"), 0.05, points(10, 2, seed=38)
    samples = OptimalSamples(
        points(3, 2, seed=39), torch.tensor([1.5, 2.0, 2.5], dtype=torch.float64)
    )
    _, variance = model.marginals(X)
    terms = []
    for x, f in zip(samples.X, samples.f, strict=True):
        _, at_x = model.marginals(x[None])
        given = model.condition_on_observations(x[None], f[None, None], 0.01 * at_x[:, None])
        m, v = given.marginals(X)
        _, q = (f - m) / v.sqrt(), v / (v + noise)
        lost = np.exp(log_entropy_lost(((f - m) / v.sqrt()).numpy(), q.numpy())[0])
        terms.append(0.5 * ((variance + noise) / (v + noise)).log() + torch.from_numpy(lost))
    jes = JointEntropySearch(model, samples, noise, log=False)(X.unsqueeze(-2))
    torch.testing.assert_close(jes, torch.stack(terms).mean(0), rtol=1e-8, atol=1e-10)


# -- samples of the optimum ------------------------------------------------------------------------


def test_the_maxima_are_those_of_joint_samples_on_a_fine_grid():
    model = process(n=6, d=1)
    grid = torch.linspace(0, 1, 401, dtype=torch.float64).unsqueeze(-1)
    generator = torch.Generator().manual_seed(0)
    covariance = model.posterior(grid).distribution.covariance_matrix
    L = torch.linalg.cholesky(covariance + 1e-8 * torch.eye(401, dtype=torch.float64))
    f = model.posterior(grid).mean[:, 0] + (
        torch.randn(4000, 401, dtype=torch.float64, generator=generator) @ L.T
    )
    data = data_of(model)
    found = optimal_samples(model, data, cube_of(data), 500)
    standard_error = float(f.amax(1).std()) / 500**0.5
    assert abs(float(found.f.mean() - f.amax(1).mean())) < 4 * standard_error
    assert float(found.f.std() / f.amax(1).std()) == pytest.approx(1.0, abs=0.15)
    best = grid[f.argmax(1), 0]
    for t in (0.1, 0.4, 0.7):
        share = float((best < t).double().mean())
        assert abs(float((found.X[:, 0] < t).double().mean()) - share) < 0.09
    again = optimal_samples(model, data, cube_of(data), 500)
    assert torch.equal(found.X, again.X) and torch.equal(found.f, again.f)


def test_optima_lie_in_the_region():
    space = bo.Space(x0=bo.Float(0, 1), x1=bo.Float(0, 1))
    region = Region(space, LinearConstraint([1, 1], 0.2, 0.6))
    model = process()
    samples = optimal_samples(model, data_of(model), region, 16)
    assert region.holds(samples.X.numpy()).all()
    finite = Region(bo.Space(x0=bo.Int(0, 3), x1=bo.Int(0, 4)))
    X, shares = optimal_samples(model, data_of(model), finite, 64).distinct()
    assert (X[:, None] == torch.from_numpy(finite.grid())).all(-1).any(1).all()
    assert len(X) <= 20 and float(shares.sum()) == pytest.approx(1.0)


def test_observations_all_but_on_one_another_can_be_sampled(name):
    """As a search without noise ends: variances of rounding, a covariance that is indefinite."""
    model = process(noise="exact")
    near = model.X[:1] + 10.0 ** -torch.arange(6, 10, dtype=torch.float64).unsqueeze(-1)
    worse = model.condition_on_observations(near, model.Y[:1].expand(4, 1))
    acquisition = ROOMS[name].build(worse, data_of(worse))
    X = torch.cat((near, points(20, 2, seed=40)))
    value, gradient = acquisition.value_and_gradient(X)
    assert bool(torch.isfinite(value).all()) and bool(torch.isfinite(gradient).all())


def test_the_noise_is_at_least_a_little_of_the_spread():
    spread = OptimalSamples(points(3, 2), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    assert resolved_noise(spread, 0.3) == 0.3
    assert resolved_noise(spread, 0.0) == pytest.approx(1e-6 * 2.0 / 3.0)


def test_one_sure_optimum_leaves_nothing_to_learn_however_large_values_are():
    model = process(noise="exact")
    large = ExactGaussianProcess(model.X, 1e14 * model.Y, 0.0 * model.Y, model.hyperparameters)
    value = EntropySearch(large, points(1, 2, seed=3), 1e-6, log=False)(points(4, 1, 2, seed=5))
    assert bool((value <= 1e-14).all())


# -- pending points and mixtures ------------------------------------------------------------------


def test_a_pending_point_promises_less(name):
    model, X = process(noise="exact"), points(60, 1, 2, seed=41)
    data = data_of(model)
    build = ROOMS[name].build
    free = build(model, data)(X)
    pending = X[free.argmax()]
    busy = build(model, data, pending)(X)
    assert float(busy[free.argmax()]) < float(busy.max()) - 1.0


def test_a_mixture_is_averaged_over_its_members(name):
    members = (process(), process("rbf"))
    data, X = data_of(members[0]), points(10, 1, 2, seed=42)
    build = ROOMS[name].build
    mixed = build(FullyBayesianGaussianProcess(members), data)(X)
    each = torch.stack([build(member, data)(X) for member in members])
    torch.testing.assert_close(mixed.exp(), each.exp().mean(0))


def test_several_candidates_together_are_refused(name):
    model = process(noise="inferred")
    with pytest.raises(ValueError, match=r"one candidate at a time, q=1, .* \(3, 2, 2\)"):
        of(name, model, 0.05)(points(3, 2, 2))
