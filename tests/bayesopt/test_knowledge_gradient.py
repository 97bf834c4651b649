"""Knowledge gradient on a finite report set: golden values, quadrature, simulation, many points."""

import numpy as np
import pytest
import torch
from botorch_twin import twin_of
from golden_instance import GOLDEN, data_of, golden_model
from problems import bowl
from processes import KERNELS, MIXED, points, process
from simulated_knowledge_gradient import Simulation

import bayesopt as bo
from bayesopt.acquisition.knowledge_gradient import KnowledgeGradient, build
from bayesopt.acquisition.noisy_expected_improvement import NoisyExpectedImprovement

GRID = torch.linspace(0, 1, 2001, dtype=torch.float64).unsqueeze(-1)


def kg(model, A, noise, **options):
    return KnowledgeGradient(model, A, noise, **({"log": False} | options))


def lines(model, A, x, noise):
    """Intercepts and slopes (m,) of the points A when x (1, d) is measured next."""
    posterior = model.posterior(torch.cat((A, x)))
    covariance = posterior.distribution.covariance_matrix
    slopes = covariance[:-1, -1] / (covariance[-1, -1] + noise).sqrt()
    return posterior.mean[:-1, 0].numpy(), slopes.numpy()


def by_quadrature(a, b):
    """E[max of the lines] - max a: Gauss-Legendre between any two crossings."""
    i, j = np.triu_indices(len(a), 1)
    crossings = (a[j] - a[i]) / (b[i] - b[j])
    ends = np.unique(np.concatenate((np.arange(-12.0, 12.5), crossings[np.abs(crossings) < 12])))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = np.diff(ends)[:, None] / 2
    z = ends[:-1, None] + half * (nodes + 1)
    gain = (a + b * z[..., None]).max(-1) - a.max()
    return float((half * weights * gain * np.exp(-0.5 * z * z)).sum() / np.sqrt(2 * np.pi))


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "x", "_", "expected"), GOLDEN)
@pytest.mark.parametrize("of", [lambda m: m, twin_of], ids=["ours", "botorch"])
def test_golden_values(of, noise, x, _, expected):
    model = of(golden_model(noise))
    X = torch.tensor([[x]], dtype=torch.float64)
    for with_candidate in (False, True):  # x is a point of the grid
        value = kg(model, GRID, noise, with_candidate=with_candidate)(X)
        assert float(value) == pytest.approx(expected, abs=6e-9)


@pytest.mark.parametrize("noise", [0.02, 0.0])
@pytest.mark.parametrize("correlation", KERNELS)
def test_it_equals_quadrature(correlation, noise):
    model, A = process(correlation, signal=1.3), points(15, 2, seed=3)
    for x in points(5, 1, 2, seed=4):
        value = kg(model, A, noise, with_candidate=False)(x)
        with_x = kg(model, A, noise)(x)
        assert float(value) == pytest.approx(by_quadrature(*lines(model, A, x, noise)), abs=1e-10)
        a, b = lines(model, torch.cat((A, x)), x, noise)
        assert float(with_x) == pytest.approx(by_quadrature(a, b), abs=1e-10)


def test_over_the_evaluated_points_and_the_candidate_it_is_kgcp():
    model, X = process(), points(20, 1, 2, seed=5)
    kgcp = NoisyExpectedImprovement(model, model.X, 0.02, baseline="observed_and_candidate")
    torch.testing.assert_close(
        KnowledgeGradient(model, model.X, 0.02)(X), kgcp(X), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("noise", [0.0, 1e-4, 0.3])
def test_it_is_never_negative_and_more_reports_promise_more(noise):
    model, X = process(), points(100, 1, 2, seed=6)
    many = points(60, 2, seed=7)
    few = torch.cat((many[:5], many[model.marginals(many)[0].argmax()].unsqueeze(0)))
    with_few, with_many = (kg(model, A, noise, with_candidate=False)(X) for A in (few, many))
    assert bool((with_few >= 0.0).all())
    assert bool((with_many >= with_few - 1e-15).all())


def test_what_is_known_without_noise_teaches_nothing():
    model = process(noise="exact")
    values = kg(model, points(50, 2, seed=8), 0.0)(model.X.unsqueeze(-2))
    assert 0.0 <= float(values.min()) <= float(values.max()) < 1e-7
    again = kg(process(noise="known"), points(50, 2, seed=8), 0.02)(model.X.unsqueeze(-2))
    assert float(again.max()) > 1e-3


def test_more_noise_teaches_less_and_in_the_end_nothing():
    model, A, X = process(), points(40, 2, seed=9), points(30, 1, 2, seed=10)
    values = torch.stack([kg(model, A, v)(X) for v in (1e-3, 0.1, 10.0, 1e12)])
    assert bool((values.diff(dim=0) <= 1e-12).all())
    assert float(values[-1].max()) < 1e-6


def test_the_logarithm_and_its_gradient_survive_where_the_value_underflows():
    model = golden_model(1e-4)
    far = torch.cat((model.X[1:2], torch.tensor([[0.75]], dtype=torch.float64)))
    x = torch.tensor([[0.75]], dtype=torch.float64)
    acquisition = KnowledgeGradient(model, far, 1e-4, with_candidate=False)
    value, gradient = acquisition.value_and_gradient(x)
    assert float(value) < -750.0
    assert kg(model, far, 1e-4, with_candidate=False)(x.unsqueeze(0)) == 0.0
    ahead, behind = (float(acquisition(x.unsqueeze(0) + h)) for h in (1e-6, -1e-6))
    assert float(gradient) == pytest.approx((ahead - behind) / 2e-6, rel=1e-4)


# -- gradients -------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [1, 3])
@pytest.mark.parametrize("with_candidate", [False, True])
@pytest.mark.parametrize("mean", ["constant", "quadratic"])
@pytest.mark.parametrize("correlation", KERNELS)
def test_gradients_agree_with_finite_differences(correlation, mean, with_candidate, q):
    model = process(correlation, mean=mean)
    acquisition = KnowledgeGradient(
        model, points(20, 2, seed=11), 0.05, with_candidate=with_candidate
    )
    X = points(6, q, 2, seed=12).requires_grad_()
    (gradient,) = torch.autograd.grad(acquisition(X).sum(), X)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        if q == 1:
            value, closed = acquisition.value_and_gradient(X.squeeze(-2))
            torch.testing.assert_close(closed, gradient.squeeze(-2))
            torch.testing.assert_close(value, acquisition(X))
        for _ in range(3):
            direction = torch.randn(*X.shape, dtype=torch.float64, generator=generator)
            ahead, behind = acquisition(X + 1e-6 * direction), acquisition(X - 1e-6 * direction)
            expected = (gradient * direction).sum((-2, -1))
            # Now and then a sample has its kink within the step.
            rtol = 1e-4 if q == 1 else 5e-3
            torch.testing.assert_close((ahead - behind) / 2e-6, expected, rtol=rtol, atol=1e-5)


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("noise", ["inferred", "known"])
def test_the_closed_form_agrees_with_the_joint_posterior(noise, categories):
    """Of points of the report set that are observed, and others."""
    model = process(noise=noise, categories=categories)
    d = model.X.shape[-1]
    A = torch.cat((model.X[:3], points(12, d, categories=categories, seed=13)))
    acquisition = KnowledgeGradient(model, A, 0.02)
    X = points(30, d, categories=categories, seed=14)
    value, gradient = acquisition.value_and_gradient(X)
    acquisition.observed.weights = None
    slow_value, slow_gradient = acquisition.value_and_gradient(X)
    torch.testing.assert_close(value, slow_value, rtol=1e-9, atol=1e-9)
    plain = model.features.plain
    torch.testing.assert_close(gradient[:, plain], slow_gradient[:, plain], rtol=1e-6, atol=1e-8)


# -- simulation ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulation():
    model = golden_model(0.1)
    return Simulation(
        model.X.numpy(), model.Y[:, 0].numpy(), 0.25, 0.1, np.linspace(0, 1, 401)[:, None]
    )


@pytest.mark.parametrize("x", [0.4, 0.55, 0.95])
def test_the_mean_simulated_gain_is_the_exact_one(simulation, x):
    """Algorithm 2, each of 4000 draws with its mirror image."""
    Z = np.random.default_rng(0).standard_normal(4000)
    exact = kg(golden_model(0.1), torch.from_numpy(simulation.A), 0.1)
    pairs = (simulation.gains(np.array([x]), Z) + simulation.gains(np.array([x]), -Z)) / 2
    error = float(exact(torch.tensor([[x]], dtype=torch.float64))) - pairs.mean()
    assert abs(error) < 4 * pairs.std() / len(Z) ** 0.5
    assert pairs.std() / len(Z) ** 0.5 < 0.05 * pairs.mean()


@pytest.mark.parametrize("x", [0.3, 0.55, 0.9])
def test_the_mean_simulated_gradient_is_the_finite_difference(simulation, x):
    """Algorithm 4, 10^4 draws; the standard error is a few percent of the gradient."""
    exact = kg(golden_model(0.1), torch.from_numpy(simulation.A), 0.1, with_candidate=False)
    ends = torch.tensor([[[x + 1e-5]], [[x - 1e-5]]], dtype=torch.float64)
    expected = float(exact(ends).diff()) / -2e-5
    G = simulation.gradients(np.array([x]), np.random.default_rng(1).standard_normal(10_000))
    assert abs(G.mean() - expected) < 4 * G.std() / 100
    assert G.std() / 100 < 0.1 * abs(expected)


def test_stochastic_ascent_ends_at_the_maximiser_of_the_grid(simulation):
    """Algorithm 3, projected on to the cube."""
    A = torch.from_numpy(simulation.A)
    exact = kg(golden_model(0.1), A, 0.1, with_candidate=False)(A[::4].unsqueeze(-2))
    x = simulation.ascent(np.random.default_rng(2), n_starts=5, n_steps=60)
    assert x[0] == pytest.approx(float(A[::4][exact.argmax()]), abs=0.03)


# -- several points at once ------------------------------------------------------------------------


@pytest.mark.parametrize("with_candidate", [False, True])
def test_the_sample_agrees_with_the_exact_value_at_one_point(with_candidate):
    model, A, X = process(), points(20, 2, seed=15), points(20, 1, 2, seed=16)
    exact = kg(model, A, 0.02, with_candidate=with_candidate)(X)
    sampled = kg(model, A, 0.02, with_candidate=with_candidate, n_samples=4096)._log_sampled(X)
    assert float((sampled.exp() - exact).abs().max()) < 2e-5


def test_two_points_agree_with_plain_monte_carlo():
    model, A, X, noise = process(), points(20, 2, seed=17), points(2, 2, seed=18), 0.05
    posterior = model.posterior(torch.cat((A, X)))
    covariance = posterior.distribution.covariance_matrix
    among = covariance[-2:, -2:] + noise * torch.eye(2).double()
    slopes = covariance[:, -2:] @ torch.linalg.inv(torch.linalg.cholesky(among)).T
    Z = torch.randn(400_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gain = (posterior.mean[:, 0] + Z @ slopes.T).amax(1) - posterior.mean.max()
    value = float(kg(model, A, noise, n_samples=4096)(X))
    assert value == pytest.approx(float(gain.mean()), abs=4 * float(gain.std()) / 400_000**0.5)


def test_a_second_point_never_hurts_and_a_copy_without_noise_never_helps():
    model, X = process(), points(20, 2, 2, seed=20)
    A = torch.cat((points(20, 2, seed=19), X.reshape(-1, 2)))  # now the best mean is in A
    alone = kg(model, A, 0.02)(X[:, :1])
    together = kg(model, A, 0.02, n_samples=4096)(X)
    assert bool((together > alone - 5e-5).all()) and float((together - alone).max()) > 0.01
    alone = kg(model, A, 0.0)(X[:, :1])
    twice = kg(model, A, 0.0, n_samples=4096)(X[:, :1].expand(20, 2, 2))
    torch.testing.assert_close(twice, alone, rtol=0, atol=5e-5)


# -- pending points --------------------------------------------------------------------------------


def test_beside_a_pending_point_it_is_what_both_gain_together():
    """Up to what the pending point gains alone, which no candidate changes."""
    model = process(noise="known")
    pending, X = points(1, 2, seed=21), points(12, 1, 2, seed=22)
    acquisition = build(model, data_of(model), pending)
    joint = kg(model, acquisition.terms[0].A, acquisition.terms[0].noise, n_samples=8192)
    together = joint(torch.cat((X, pending.expand(12, 1, 2)), dim=1))
    beside, gained = acquisition(X).exp(), float(joint(pending.unsqueeze(0)))
    assert float((together - gained - beside).abs().max()) < 0.15 * float(beside.max())
    assert float(np.corrcoef(together, beside)[0, 1]) > 0.99


def test_a_pending_point_promises_less():
    model = process()
    X = points(200, 1, 2, seed=23)
    free = build(model, data_of(model))(X)
    pending = X[free.argmax()]
    busy = build(model, data_of(model), pending)(X)
    assert float(busy[free.argmax()]) < float(free.max()) - 0.1
    same = build(model, data_of(model), points(0, 2))(X)
    torch.testing.assert_close(same, free, rtol=0, atol=0)


def test_a_study_asks_by_it_beside_running_trials():
    policy = bo.Policy(acquisition=build)
    study = bo.Study([(0.0, 1.0), (0.0, 1.0)], policy=policy, n_initial=4, seed=0)
    for _ in range(5):
        trial = study.ask()
        study.tell(trial, bowl([trial.params[name] for name in study.space]))
    running = [study.ask() for _ in range(2)]
    assert all(trial.origin == "acquisition" for trial in running)
    x, y = (study.space.to_unit(trial.params) for trial in running)
    assert np.abs(x - y).max() > 1e-2
