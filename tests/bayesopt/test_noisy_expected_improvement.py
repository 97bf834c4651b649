"""Noisy expected improvement and KGCP: the golden instance, limits, brute force, many points."""

import numpy as np
import pytest
import torch
from botorch_twin import twin_of
from golden_instance import GOLDEN, data_of, golden_model
from processes import KERNELS, MIXED, points, process

from bayesopt.acquisition.expected_improvement import ExpectedImprovement
from bayesopt.acquisition.expected_max import expected_gain
from bayesopt.acquisition.letham_expected_improvement import LethamExpectedImprovement
from bayesopt.acquisition.noisy_expected_improvement import NoisyExpectedImprovement, build
from bayesopt.acquisition.pending import fantasies

BASELINES = ["observed", "observed_and_candidate"]


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def noisy_ei(model, noise, **options):
    return NoisyExpectedImprovement(model, model.X, noise, **({"log": False} | options))


def lines(model, A, x, noise):
    """Intercepts and slopes of the points A when x (1, d) is measured next."""
    posterior = model.posterior(torch.cat((A, x)))
    covariance = posterior.distribution.covariance_matrix
    return posterior.mean[:-1, 0], covariance[:-1, -1] / (covariance[-1, -1] + noise).sqrt()


# -- the golden instance ---------------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "x", "expected", "_"), GOLDEN)
@pytest.mark.parametrize("of", [lambda m: m, twin_of], ids=["ours", "botorch"])
def test_golden_values(of, noise, x, expected, _):
    model = golden_model(noise)
    value = NoisyExpectedImprovement(of(model), model.X, noise, log=False)(tensor([[x]]))
    assert float(value) == pytest.approx(expected, abs=6e-9)
    log_value = NoisyExpectedImprovement(of(model), model.X, noise)(tensor([[x]]))
    assert float(log_value.exp()) == pytest.approx(float(value), rel=1e-12)


@pytest.mark.parametrize(("noise", "x", "_", "expected"), GOLDEN)
def test_golden_knowledge_gradient(noise, x, _, expected):
    """The lines of a whole grid: the exact knowledge gradient (Frazier et al. 2009)."""
    model, grid = golden_model(noise), torch.linspace(0, 1, 2001).double().unsqueeze(-1)
    a, b = lines(model, grid, tensor([x]), noise)
    assert float(expected_gain(a, b)) == pytest.approx(expected, abs=6e-9)


@pytest.mark.parametrize(
    ("x", "expected"), [(0.3, 0.0181455), (0.55, -0.05003597), (0.9, 0.43632144)]
)
def test_golden_gradients(x, expected):
    model = golden_model(0.1)
    value, gradient = noisy_ei(model, 0.1).value_and_gradient(tensor([x]))
    assert float(gradient) == pytest.approx(expected, abs=1.1e-8)
    log_value, log_gradient = noisy_ei(model, 0.1, log=True).value_and_gradient(tensor([x]))
    assert float(log_gradient * log_value.exp()) == pytest.approx(expected, abs=1.1e-8)


@pytest.mark.parametrize(
    ("noise", "eq13", "kgcp"), [(1e10, 0.02445621, 0.0), (0.1, 0.03010118, 0.00564497)]
)
def test_golden_noise_of_the_next_observation(noise, eq13, kgcp):
    """However noisy, measuring x permits to report it: Eq. (13) tends to [mu(x) - mu**]^+."""
    model, x = golden_model(0.1), tensor([[0.45]])
    values = [float(noisy_ei(model, noise, baseline=baseline)(x)) for baseline in BASELINES]
    assert values == pytest.approx([eq13, kgcp], abs=6e-9)
    lead = float(model.posterior(x).mean) - float(model.posterior(model.X).mean.max())
    assert values[0] - values[1] == pytest.approx(lead, abs=1e-12)


# -- limits and inequalities -----------------------------------------------------------------------


@pytest.mark.parametrize("correlation", KERNELS)
def test_without_noise_it_is_expected_improvement(correlation):
    model = process(correlation, "exact", 1.3)
    X = points(50, 1, 2, seed=1)
    ours, plain = (
        noisy_ei(model, 0.0, log=True)(X),
        ExpectedImprovement(model, model.Y.max().item())(X),
    )
    torch.testing.assert_close(ours, plain, rtol=1e-7, atol=1e-9)


def test_little_noise_is_nearly_expected_improvement():
    model = golden_model(1e-6)
    best = float(model.posterior(model.X).mean.max())
    plain = ExpectedImprovement(model, best, log=False)(tensor([[0.5]]))
    assert 0 < float(plain - noisy_ei(model, 1e-6)(tensor([[0.5]]))) < 5e-6


@pytest.mark.parametrize("noise", ["inferred", "known"])
@pytest.mark.parametrize("correlation", KERNELS)
def test_it_is_the_gain_of_the_lines_and_the_lead(correlation, noise):
    model = process(correlation, noise)
    X = points(20, 1, 2, seed=2)
    eq13, kgcp = (noisy_ei(model, 0.02, baseline=baseline)(X) for baseline in BASELINES)
    for i, x in enumerate(X):
        a, b = lines(model, torch.cat((model.X, x)), x, 0.02)
        lead = (a.max() - a[:-1].max()).clamp_min(0.0)
        torch.testing.assert_close(kgcp[i], expected_gain(a, b), rtol=1e-8, atol=1e-11)
        torch.testing.assert_close(eq13[i], expected_gain(a, b) + lead, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("noise", [0.3, 0.02, 1e-4])
def test_measuring_again_is_worth_something_and_letham_says_nothing(noise):
    model = golden_model(noise)
    best = model.X[model.posterior(model.X).mean.argmax()].reshape(1, 1, 1)
    assert float(noisy_ei(model, noise)(best)) > 0
    assert float(LethamExpectedImprovement(model, model.X)(best).exp()) < 1e-5


def test_no_more_is_gained_than_by_reporting_anywhere():
    """E max over P of mu' <= E max over the whole space of mu', grid points and x alike."""
    model, noise = golden_model(0.1), 0.1
    grid = torch.linspace(0, 1, 501).double().unsqueeze(-1)
    reportable = float(model.posterior(model.X).mean.max())
    for x in grid[::25]:
        a, b = lines(model, torch.cat((grid, model.X)), x.unsqueeze(0), noise)
        anywhere = float(expected_gain(a, b) + a.max())
        assert float(noisy_ei(model, noise)(x.reshape(1, 1, 1))) + reportable <= anywhere + 1e-12


def test_no_more_is_gained_than_by_knowing_all_values():
    """Jensen: E max over P of mu' <= E max over P of f."""
    model = golden_model(0.1)
    best = float(model.posterior(model.X).mean.max())
    for x in (0.2, 0.55, 0.95):
        P = torch.cat((model.X, tensor([x])))
        samples = model.posterior(P).rsample(torch.Size([20_000]))[..., 0].amax(-1)
        bound = float(samples.mean()) - best + 4 * float(samples.std()) / 20_000**0.5
        assert float(noisy_ei(model, 0.1)(tensor([[x]]))) <= bound


def test_more_noise_teaches_less():
    model, X = process(), points(30, 1, 2, seed=3)
    for baseline in BASELINES:
        values = torch.stack([noisy_ei(model, v, baseline=baseline)(X) for v in (1e-3, 0.1, 10.0)])
        assert bool((values.diff(dim=0) <= 1e-12).all())


# -- gradients, models, categories -----------------------------------------------------------------


@pytest.mark.parametrize("noise", ["inferred", "known", "mixed"])
@pytest.mark.parametrize("correlation", KERNELS)
@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("q", [1, 3])
def test_gradients_agree_with_finite_differences(q, baseline, correlation, noise):
    acquisition = noisy_ei(process(correlation, noise, 1.3), 0.05, baseline=baseline, log=True)
    X = points(6, q, 2, seed=4).requires_grad_()
    value = acquisition(X)
    (gradient,) = torch.autograd.grad(value.sum(), X)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(4):
            direction = torch.randn(*X.shape, dtype=torch.float64, generator=generator)
            ahead, behind = acquisition(X + 1e-6 * direction), acquisition(X - 1e-6 * direction)
            expected = (gradient * direction).sum((-2, -1))
            # Now and then a sample has its kink within the step.
            rtol = 1e-4 if q == 1 else 5e-3
            torch.testing.assert_close((ahead - behind) / 2e-6, expected, rtol=rtol, atol=1e-5)


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("baseline", BASELINES)
def test_the_closed_form_agrees_with_the_joint_posterior(baseline, categories):
    """A model that only has `posterior` is asked for candidate and points jointly."""
    model = process(categories=categories)
    acquisition = noisy_ei(model, 0.02, baseline=baseline, log=True)
    X = points(30, model.X.shape[-1], categories=categories, seed=5)
    value, gradient = acquisition.value_and_gradient(X)
    assert acquisition.observed.weights is not None
    acquisition.observed.weights = None
    slow_value, slow_gradient = acquisition.value_and_gradient(X)
    torch.testing.assert_close(value, slow_value, rtol=1e-9, atol=1e-9)
    plain = model.features.plain
    torch.testing.assert_close(gradient[:, plain], slow_gradient[:, plain], rtol=1e-6, atol=1e-8)


def test_points_far_below_the_best_cannot_matter():
    """They are left out of the lines; nothing changes in sixteen digits."""
    model = process(noise="inferred", n=40)
    acquisition = noisy_ei(model, 0.02)
    assert 0 < len(acquisition.mean) < 30
    X = points(20, 1, 2, seed=6)
    everything = noisy_ei(model, 0.02)
    everything.mean, everything.top = (
        model.marginals(model.X)[0].numpy(),
        int(model.marginals(model.X)[0].argmax()),
    )
    everything.observed.__init__(model, model.X)
    torch.testing.assert_close(acquisition(X), everything(X), rtol=1e-12, atol=1e-15)


def test_failed_points_are_not_reportable():
    model = process()
    conditioned = model.condition_on_observations(points(2, 2, seed=7), tensor([9.0], [9.0]))
    acquisition = NoisyExpectedImprovement(conditioned, model.X, 0.02)
    assert float(acquisition.mean.max()) < float(
        conditioned.posterior(points(2, 2, seed=7)).mean.max()
    )


# -- several points at once ------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_sample_agrees_with_the_exact_value_at_one_point(baseline):
    """And its error falls about as 1 / N for scrambled Sobol' points."""
    model, X = process(), points(20, 1, 2, seed=8)
    exact = noisy_ei(model, 0.02, baseline=baseline)(X)
    errors = []
    for n in (64, 4096):
        sampled = noisy_ei(model, 0.02, baseline=baseline, n_samples=n)._log_sampled(X).exp()
        errors.append(float((sampled - exact).abs().max()))
    assert errors[1] < 2e-5
    assert errors[1] < errors[0] / 12


def test_two_points_agree_with_plain_monte_carlo():
    model, X, noise = process(), points(1, 2, 2, seed=9), 0.05
    P = torch.cat((model.X, X[0]))
    posterior = model.posterior(P)
    covariance = posterior.distribution.covariance_matrix
    among = covariance[-2:, -2:] + noise * torch.eye(2).double()
    slopes = covariance[:, -2:] @ torch.linalg.inv(torch.linalg.cholesky(among)).T
    Z = torch.randn(400_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    best = (posterior.mean[:, 0] + Z @ slopes.T).amax(1) - posterior.mean[:-2, 0].max()
    value = float(noisy_ei(model, noise, n_samples=4096)(X))
    assert value == pytest.approx(float(best.mean()), abs=4 * float(best.std()) / 400_000**0.5)


def test_a_second_point_never_hurts():
    model, X = process(), points(20, 2, 2, seed=10)
    together = noisy_ei(model, 0.02, n_samples=4096)(X)
    alone = noisy_ei(model, 0.02)(X[:, :1])
    assert bool((together > alone - 2e-5).all())


@pytest.mark.parametrize("noise", ["inferred", "known"])
def test_beside_pending_points_it_is_what_both_gain_together(noise):
    """Up to what the pending points gain alone, which no candidate changes."""
    model = process(noise=noise)
    pending, X = points(2, 2, seed=11), points(12, 1, 2, seed=12)
    acquisition = build(model, data_of(model), pending)
    rest = float(acquisition.terms[0].noise)
    joint = noisy_ei(model, rest, n_samples=8192)
    together = joint(torch.cat((X, pending.expand(12, 2, 2)), dim=1))
    beside = acquisition(X).exp()
    gained = float(joint(pending.unsqueeze(0)))
    difference = together - gained - beside
    assert float(difference.abs().max()) < 0.15 * float(beside.max())
    assert float(np.corrcoef(together, beside)[0, 1]) > 0.99


def test_a_pending_point_promises_less():
    model = process()
    X = points(200, 1, 2, seed=13)
    free = build(model, data_of(model))(X)
    pending = X[free.argmax()]
    busy = build(model, data_of(model), pending)
    assert float(busy(pending.unsqueeze(0))) < float(free.max()) - 0.1
    same = build(model, data_of(model), points(0, 2))(X)
    torch.testing.assert_close(same, free, rtol=0, atol=0)


def test_fantasies_have_the_moments_of_the_posterior():
    model, pending = process(noise="known"), points(1, 2, seed=14)
    models = fantasies(model, data_of(model), pending, 256)
    Y = torch.cat([m.Y[-1:] for m in models]).squeeze(-1)
    noise = float(model.Yvar.median())
    predicted = model.posterior(pending)
    assert float(Y.mean()) == pytest.approx(float(predicted.mean), abs=0.01)
    assert float(Y.var()) == pytest.approx(float(predicted.variance) + noise, rel=0.05)
    assert all(float(m.Yvar[-1]) == noise for m in models)


def test_the_fantasised_observations_are_a_fixed_sample():
    model, X, pending = process(), points(5, 1, 2, seed=15), points(2, 2, seed=16)
    torch.manual_seed(1)
    one = build(model, data_of(model), pending)(X)
    torch.manual_seed(2)
    torch.testing.assert_close(build(model, data_of(model), pending)(X), one, rtol=0, atol=0)
