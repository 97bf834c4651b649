"""Expected improvement: golden values, 50 digits in the far tail, gradients, and the incumbent."""

import math

import mpmath
import pytest
import torch
from botorch.acquisition import LogExpectedImprovement
from botorch_twin import TWINS, twin_of
from processes import KERNELS, MIXED, NOISES, points, process
from scipy.integrate import quad
from scipy.stats import norm

from bayesopt.acquisition.expected_improvement import (
    AD_HOC,
    ExpectedImprovement,
    build,
    expected_improvement,
    log_augmentation,
    log_expected_improvement,
)
from bayesopt.data import Dataset, Scaling
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters

# Gain over the incumbent, standard deviation, expected improvement
GOLDEN = [
    (1.0, 1.0, 1.0833155),
    (-1.0, 1.0, 0.0833155),
    (0.0, 2.0, 0.7978846),
    (0.5, 0.3, 0.505948),
]
TAIL = [-0.999, -1.0, -1.001, -5.0, -40.0, -99.9, -100.1, -1e3, -1e5]

# Noise variance, point, expected improvement over the best posterior mean
GOLDEN_POSTERIOR = [
    (0.1, 0.4, 0.11763996),
    (0.1, 0.5, 0.15102570),
    (0.1, 0.55, 0.14427626),
    (0.1, 0.95, 0.07307542),
    (0.01, 0.55, 0.10295827),
    (1e-6, 0.5, 0.09511592),
]


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def data_of(model):
    categories = model.features.categories
    return Dataset(model.X, model.Y, model.Yvar, categories, Scaling(1.0, 1.0, 0.0, 1.0))


def log_h(z):
    """Logarithm of phi(z) + z Phi(z); 60 digits are lost at z = -1e30, far beyond the tests."""
    return mpmath.log(mpmath.npdf(z) + z * mpmath.ncdf(z))


# -- the formula -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("gain", "sd", "expected"), GOLDEN)
def test_golden_values(gain, sd, expected):
    mean, variance = tensor(2.0 + gain), tensor(sd**2)
    assert float(expected_improvement(mean, variance, 2.0)) == pytest.approx(expected, abs=6e-8)
    log_value = log_expected_improvement(mean, variance, 2.0)
    assert float(log_value.exp()) == pytest.approx(expected, abs=6e-8)


@pytest.mark.parametrize(("noise", "x", "expected"), GOLDEN_POSTERIOR)
@pytest.mark.parametrize("log", [True, False])
def test_golden_values_of_a_gaussian_process(log, noise, x, expected):
    X, Y = tensor(0.1, 0.4, 0.75).unsqueeze(-1), tensor(0.2, 0.9, 0.5).unsqueeze(-1)
    h = Hyperparameters(tensor(0.25), noise, mean=0.0, kernel="rbf")
    model = ExactGaussianProcess(X, Y, torch.full_like(Y, torch.nan), h)
    acquisition = ExpectedImprovement(model, build(model, data_of(model)).best, log=log)
    value = acquisition(tensor([[x]]))
    assert float(value.exp() if log else value) == pytest.approx(expected, abs=5.1e-9)


@pytest.mark.parametrize(("gain", "expected"), [(0.7, 0.7), (0.0, 0.0), (-0.7, 0.0)])
def test_without_variance_the_gain_itself_is_left(gain, expected):
    mean, variance = tensor(gain, gain), tensor(0.0, 1e-30)
    value = expected_improvement(mean, variance, 0.0)
    torch.testing.assert_close(value, tensor(expected, expected), rtol=0, atol=1e-14)
    log_value = log_expected_improvement(mean, variance, 0.0)
    torch.testing.assert_close(log_value.exp(), tensor(expected, expected), rtol=0, atol=1e-14)
    assert not log_value.isnan().any()


@pytest.mark.parametrize("gain", [-3.0, -1.2, -0.9, 0.0, 0.4, 5.0])
@pytest.mark.parametrize("sd", [0.3, 1.0, 4.0])
def test_quadrature(gain, sd):
    law = norm(gain, sd)
    integral, _ = quad(lambda f: f * law.pdf(f), 0.0, max(gain, 0.0) + 12 * sd, epsabs=1e-14)
    value = expected_improvement(tensor(gain), tensor(sd**2), 0.0)
    assert float(value) == pytest.approx(integral, rel=1e-9, abs=1e-13)
    log_value = log_expected_improvement(tensor(gain), tensor(sd**2), 0.0)
    assert float(log_value.exp()) == pytest.approx(integral, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("z", [*TAIL, -0.3, 0.0, 2.0, 10.0])
@pytest.mark.parametrize("sd", [1.0, 0.02])
def test_logarithm_and_gradient_have_ten_digits(z, sd):
    """The gradient tells whether the tail 1 - |z| M(|z|), hidden beside -z^2 / 2, is right too."""
    mean, variance = tensor(z * sd).requires_grad_(), tensor(sd**2).requires_grad_()
    value = log_expected_improvement(mean, variance, 0.0)
    by_mean, by_variance = torch.autograd.grad(value, (mean, variance), torch.ones(1).double())
    with mpmath.workdps(60):
        at, scale = mpmath.mpf(mean.item()), mpmath.sqrt(mpmath.mpf(variance.item()))
        exact_z = at / scale
        slope = mpmath.ncdf(exact_z) / mpmath.exp(log_h(exact_z))
        expected = log_h(exact_z) + mpmath.log(scale)
        by_variance_expected = (1 - exact_z * slope) / (2 * scale**2)
        assert value.item() == pytest.approx(float(expected), rel=1e-10)
        assert float(by_mean) == pytest.approx(float(slope / scale), rel=1e-10)
        assert float(by_variance) == pytest.approx(float(by_variance_expected), rel=1e-10)
        if -1e4 < z < 0:
            tail = value.item() - float(mpmath.log(scale) + mpmath.log(mpmath.npdf(exact_z)))
            tail_expected = log_h(exact_z) - mpmath.log(mpmath.npdf(exact_z))
            assert tail == pytest.approx(float(tail_expected), rel=1e-10)


@pytest.mark.parametrize("of", [expected_improvement, log_expected_improvement])
def test_gradients_agree_with_finite_differences(of):
    mean = tensor(-3.0, -1.01, -0.99, 0.0, 0.7, 4.0).requires_grad_()
    variance = tensor(1.0, 1.0, 1.0, 0.2, 2.0, 9.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda m, v: of(m, v, 0.1), (mean, variance), eps=1e-6)


@pytest.mark.parametrize("of", [expected_improvement, log_expected_improvement])
def test_it_grows_with_the_mean_and_with_the_variance(of):
    lowest = -130.0 if of is log_expected_improvement else -37.0  # exp(-37^2 / 2) underflows
    z = torch.linspace(lowest, 10.0, 5_001, dtype=torch.float64)
    assert bool((of(z, torch.ones_like(z), 0.0).diff() > 0).all())
    variance = torch.logspace(2.0, -2.0 * math.log10(-lowest), 5_001, dtype=torch.float64)
    for gain, strictly in ((-1.0, True), (0.0, True), (0.3, False)):
        growth = -of(torch.full_like(variance, gain), variance, 0.0).diff()
        assert bool((growth > 0 if strictly else growth > -1e-14).all())


@pytest.mark.parametrize("z", [-1.0, -6.0, -8.0, -20.0, -37.0])
def test_the_plain_value_has_digits_in_the_tail(z):
    with mpmath.workdps(60):
        expected = float(mpmath.exp(log_h(mpmath.mpf(z))))
    value = expected_improvement(tensor(z), tensor(1.0), 0.0)
    assert float(value) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("noise", [1e-12, 0.1, 1e3])
@pytest.mark.parametrize("variance", [1e-14, 1e-3, 0.5, 40.0])
def test_augmentation_has_ten_digits(variance, noise):
    """1 - tau / sqrt(sd^2 + tau^2) of Huang et al. (2006), and its slope in the variance."""

    def log_factor(v):
        return mpmath.log(1 - mpmath.sqrt(mpmath.mpf(noise) / (v + mpmath.mpf(noise))))

    with mpmath.workdps(60):
        expected, slope = log_factor(mpmath.mpf(variance)), mpmath.diff(log_factor, variance)
    value = log_augmentation(tensor(variance), noise)
    assert value[0].item() == pytest.approx(float(expected), rel=1e-10)
    assert value[1].item() == pytest.approx(float(slope), rel=1e-8)


def test_second_derivatives_are_refused_and_never_wrong():
    mean = tensor(0.3).requires_grad_()
    value = log_expected_improvement(mean, tensor(1.0), 0.0)
    with pytest.raises(RuntimeError, match="Second derivatives"):
        torch.autograd.grad(value, mean, create_graph=True)


# -- on a model ------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["inferred", "known"])
@pytest.mark.parametrize("correlation", TWINS)
def test_it_equals_that_of_botorch(correlation, noise):
    model = process(correlation, noise, 1.3)
    X = points(50, 1, 2, seed=1)
    ours = ExpectedImprovement(model, 0.4)(X)
    torch.testing.assert_close(
        ours, LogExpectedImprovement(twin_of(model), 0.4)(X), rtol=1e-7, atol=1e-7
    )
    on_twin = ExpectedImprovement(twin_of(model), 0.4)(X)
    torch.testing.assert_close(ours, on_twin, rtol=1e-8, atol=1e-8)


def agrees_with_autograd(acquisition, X):
    value, gradient = acquisition.value_and_gradient(X)
    variable = X.clone().requires_grad_()
    plain = acquisition(variable.unsqueeze(-2))
    (by_autograd,) = torch.autograd.grad(plain.sum(), variable)
    torch.testing.assert_close(value, plain.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, by_autograd, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("augmented", [0.0, 0.2])
def test_value_and_gradient_agree_with_autograd(augmented, log, categories, noise):
    model = process(noise=noise, signal=1.3, categories=categories)
    acquisition = ExpectedImprovement(model, 0.4, log=log, noise=augmented)
    agrees_with_autograd(acquisition, points(20, model.X.shape[-1], categories=categories, seed=2))


# What stands in for f(x), and its variance beside that of f(x), v, and the noise, t
CRITERIA = {
    "function": lambda v, t: v,
    "next_mean": lambda v, t: v**2 / (v + t),
    "next_observation": lambda v, t: v + t,
}


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_ad_hoc_variants_are_improvements_of_their_law(criterion):
    """And with no noise they are all the plain one."""
    model, X = process(), points(30, 1, 2, seed=8)
    mean, variance = model.marginals(X.squeeze(1))
    for noise in (0.0, 0.3):
        value = ExpectedImprovement(model, 0.4, log=False, noise=noise, criterion=criterion)(X)
        expected = expected_improvement(mean, CRITERIA[criterion](variance, noise), 0.4)
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-15)
        if noise == 0.0:
            torch.testing.assert_close(value, ExpectedImprovement(model, 0.4, log=False)(X))


def test_the_next_mean_has_the_law_that_the_next_observation_gives_it():
    """Var mu_{n+1}(x) is what conditioning on an observation at x takes from the variance."""
    model, X = process(), points(8, 2, seed=9)
    _, variance = model.marginals(X)
    for x, v in zip(X, variance, strict=True):
        after = model.condition_on_observations(x.unsqueeze(0), tensor([0.0]))
        reduction = v - after.marginals(x.unsqueeze(0))[1]
        assert float(reduction) == pytest.approx(float(CRITERIA["next_mean"](v, 0.02)), rel=1e-7)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_gradients_of_the_ad_hoc_variants_agree_with_autograd(criterion):
    model = process(signal=1.3)
    acquisition = ExpectedImprovement(model, 0.4, noise=0.2, criterion=criterion)
    agrees_with_autograd(acquisition, points(20, 2, seed=10))


@pytest.mark.parametrize("name", AD_HOC)
def test_the_ad_hoc_variants_by_name(name):
    criterion = {"ei_posterior_mean": "function"}.get(name, name.removeprefix("ei_"))
    model = process()
    acquisition = AD_HOC[name](model, data_of(model), None)
    assert (acquisition.criterion, acquisition.noise) == (criterion, pytest.approx(0.02))
    assert acquisition.best == pytest.approx(float(model.marginals(model.X)[0].max()))


def test_value_and_gradient_work_on_any_model():
    model = process()
    X = points(20, 2, seed=3)
    ours = ExpectedImprovement(model, 0.4).value_and_gradient(X)
    theirs = ExpectedImprovement(twin_of(model), 0.4).value_and_gradient(X)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-8)


def test_two_points_at_once_are_refused():
    with pytest.raises(ValueError, match="q=1"):
        ExpectedImprovement(process(), 0.0)(points(3, 2, 2))


@pytest.mark.parametrize("correlation", KERNELS)
def test_nothing_is_gained_at_points_that_were_evaluated_exactly(correlation):
    model = process(correlation, "exact")
    acquisition = build(model, data_of(model))
    assert acquisition.best == float(model.Y.max())
    at_data = acquisition(model.X.unsqueeze(-2)).exp()
    elsewhere = acquisition(points(100, 1, 2, seed=4)).exp()
    assert float(at_data.max()) < 1e-6 * float(elsewhere.max())


@pytest.mark.parametrize("noise", ["inferred", "known", "mixed"])
def test_under_noise_the_incumbent_is_the_best_posterior_mean(noise):
    model = process(noise=noise)
    best = build(model, data_of(model)).best
    assert best == pytest.approx(float(model.marginals(model.X)[0].max()), abs=1e-14)
    assert abs(best - float(model.Y.max())) > 1e-4


def test_a_lucky_observation_is_no_incumbent():
    h = Hyperparameters(tensor(0.3), 0.5, mean=0.0)
    X, Y = tensor(0.5, 0.5, 0.5, 0.5).unsqueeze(-1), tensor(-0.2, 0.1, 3.0, 0.0).unsqueeze(-1)
    model = ExactGaussianProcess(X, Y, torch.full_like(Y, torch.nan), h)
    assert build(model, data_of(model)).best < 1.0


@pytest.mark.parametrize("noise", NOISES)
def test_a_pending_point_promises_less(noise):
    model = process(noise=noise)
    free = build(model, data_of(model))
    X = points(200, 1, 2, seed=5)
    value = free(X)
    pending = X[value.argmax()]
    busy = build(model, data_of(model), pending)
    assert float(busy(pending.unsqueeze(0))) < float(value.max()) - 0.1
    if noise == "exact":
        assert float(busy(pending.unsqueeze(0)).exp()) < 1e-6 * float(value.max().exp())
        assert float((X[busy(X).argmax()] - pending).norm()) > 0.05


@pytest.mark.parametrize(
    ("noise", "expected"), [("inferred", 0.02), ("known", 0.03), ("mixed", 0.02), ("exact", 0.0)]
)
def test_under_noise_it_is_augmented_by_that_of_the_next_observation(noise, expected):
    model = process(noise=noise)
    acquisition = build(model, data_of(model))
    assert acquisition.noise == pytest.approx(expected, abs=1e-12)
    X = points(50, 1, 2, seed=7)
    plain = ExpectedImprovement(model, acquisition.best)(X).exp()
    variance = model.posterior(X).variance.squeeze()
    factor = 1 - (expected / (expected + variance)).sqrt()
    torch.testing.assert_close(acquisition(X).exp(), plain * factor, rtol=1e-9, atol=1e-15)


def test_no_pending_points_are_no_difference():
    model = process()
    X = points(5, 1, 2, seed=6)
    plain = build(model, data_of(model))(X)
    empty = build(model, data_of(model), points(0, 2))(X)
    torch.testing.assert_close(plain, empty, rtol=0, atol=0)
