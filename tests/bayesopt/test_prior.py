"""Priors: densities against SciPy, slopes, what they do to a fit, and what they refuse."""

import math

import numpy as np
import pytest
import torch
from processes import noise_variances, points
from scipy.integrate import quad
from scipy.stats import lognorm, norm, truncnorm, uniform

import bayesopt as bo
from bayesopt.data import Dataset, Scaling
from bayesopt.models.fit import NegativeLogPosterior, fit
from bayesopt.models.gaussian_process import GaussianProcess, Priors
from bayesopt.models.prior import JointPrior, LogNormal, Normal, TruncatedNormal, Uniform

# prior: (SciPy's law of eta, whether q is a density of eta itself)
LAWS = {
    LogNormal(-0.5, 0.8): (lognorm(0.8, scale=math.exp(-0.5)), False),
    Normal(1.2, 0.4): (norm(1.2, 0.4), True),
    Uniform(0.2, 3.0): (uniform(0.2, 2.8), True),
    Uniform(0.0, 3.0): (uniform(0.0, 3.0), True),
    TruncatedNormal(1.0, 0.5, 0.4, 2.0): (truncnorm(-1.2, 2.0, 1.0, 0.5), True),
    TruncatedNormal(-3.0, 0.5, 0.2, 1.0): (truncnorm(6.4, 8.0, -3.0, 0.5), True),
}
GRID = np.log(np.linspace(0.0513, 4.007, 80))


@pytest.mark.parametrize("prior", LAWS, ids=repr)
def test_densities_agree_with_scipy(prior):
    law, of_eta = LAWS[prior]
    value, _ = prior.log_density(GRID)
    jacobian = prior.log_jacobian(GRID)
    np.testing.assert_allclose(jacobian, GRID if of_eta else 0.0 * GRID)
    expected = law.logpdf(np.exp(GRID))
    # A log-normal counts as a normal density of theta, which has the Jacobian in it already.
    np.testing.assert_allclose(value, expected if of_eta else expected + GRID, rtol=1e-10)
    np.testing.assert_allclose(value + jacobian, expected + GRID, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("prior", LAWS, ids=repr)
def test_slopes_agree_with_finite_differences(prior):
    inside = GRID[np.isfinite(prior.log_density(GRID)[0])]
    ahead, behind = prior.log_density(inside + 1e-6)[0], prior.log_density(inside - 1e-6)[0]
    both = np.isfinite(ahead) & np.isfinite(behind)
    slope = prior.log_density(inside)[1][both]
    np.testing.assert_allclose(slope, (ahead - behind)[both] / 2e-6, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("prior", LAWS, ids=repr)
def test_limits_and_centres(prior):
    low, high = prior.limits
    assert 0.0 <= low < high
    assert np.isfinite(prior.log_density(np.array([prior.centre]))[0]).all()
    for limit, outwards in ((low, -1e-9), (high, 1e-9)):
        if 0.0 < limit < math.inf:
            at, beyond = np.log([limit]), np.log([limit]) + outwards
            assert np.isfinite(prior.log_density(at)[0]).all()
            assert np.isneginf(prior.log_density(beyond)[0]).all()


def test_a_joint_prior_is_the_sum():
    priors = list(LAWS)
    joint = JointPrior(priors)
    theta = np.log(np.random.default_rng(0).uniform(0.5, 0.9, (7, len(priors))))
    value, gradient = joint.negative_log_density(theta)
    each = [prior.log_density(theta[:, j]) for j, prior in enumerate(priors)]
    np.testing.assert_allclose(value, -sum(q for q, _ in each), rtol=1e-12)
    np.testing.assert_allclose(gradient, -np.stack([slope for _, slope in each], 1), rtol=1e-12)
    jacobian = theta[:, 1:].sum(axis=1)
    np.testing.assert_allclose(joint.log_density_of_theta(theta), jacobian - value, rtol=1e-12)


# -- what a prior does to a fit ----------------------------------------------------------------


def one_dimensional():
    X = points(12, 1, seed=1)
    Y = torch.sin(9.0 * X) + 0.1 * points(12, 1, seed=2)
    Y = (Y - Y.mean()) / Y.std()
    return Dataset(X, Y, noise_variances("known", 12), (), Scaling(1.0, 1.0, 0.0, 1.0))


@pytest.mark.parametrize(
    "prior",
    [
        LogNormal(math.log(2.0), 0.1),
        LogNormal(math.log(0.05), 0.2),
        Normal(0.05, 0.02),
        Normal(1.0, 0.1),
        Uniform(0.5, 2.0),
        Uniform(0.01, 0.1),
        TruncatedNormal(0.05, 0.02, 0.03, 0.5),
        TruncatedNormal(1.0, 0.1, 0.01, 0.9),
    ],
    ids=repr,
)
def test_a_prior_moves_the_fit_to_where_a_grid_has_its_maximum(prior):
    data = one_dimensional()
    plain = NegativeLogPosterior(data, GaussianProcess(), "mle")
    grid = np.log(np.linspace(0.01, 3.0, 30_000))
    negative, _ = plain(grid[::10, None])
    likelihood = np.interp(grid, grid[::10], negative)
    expected = grid[np.argmin(likelihood - prior.log_density(grid)[0])]
    _, theta = fit(data, GaussianProcess(priors=Priors(lengthscale=prior)))
    _, without = fit(data, method="mle")
    assert theta[0] == pytest.approx(expected, abs=0.02)
    assert abs(theta[0] - without[0]) > 0.2
    low, high = prior.limits
    assert low * (1 - 1e-12) <= math.exp(theta[0]) <= high * (1 + 1e-12)


def test_a_prior_of_the_signal_makes_it_learnt_under_noise():
    data = one_dimensional()
    process = GaussianProcess(priors=Priors(signal=LogNormal(math.log(4.0), 0.05)))
    model, theta = fit(data, process)
    assert model.hyperparameters.signal == pytest.approx(4.0, rel=0.15)
    assert theta[1] == pytest.approx(math.log(model.hyperparameters.signal))
    assert fit(data)[0].hyperparameters.signal == 1.0


def test_only_the_default_of_the_length_scales_grows_with_the_dimension():
    assert Priors().of("lengthscale", 1) == LogNormal(math.log(0.35), 1.0)
    assert Priors().of("lengthscale", 9).mean == pytest.approx(math.log(0.35 * 3))
    own = LogNormal(math.log(0.35), 1.0)
    assert Priors(lengthscale=own).of("lengthscale", 9) == own


@pytest.mark.parametrize("kernel", ["matern", "power_exponential"])
def test_a_prior_of_the_shape_is_used(kernel):
    for shape in (0.6, 1.3):
        priors = Priors(shape=TruncatedNormal(shape, 0.01, 0.1, 2.0))
        model, _ = fit(one_dimensional(), GaussianProcess(kernel, priors=priors))
        assert model.hyperparameters.shape == pytest.approx(shape, abs=0.02)


def test_the_density_of_theta_is_the_same_law_whatever_it_is_written_in():
    """A TruncatedNormal of eta, integrated over theta: the Jacobian makes it one."""
    for prior, (law, _) in LAWS.items():
        joint = JointPrior([prior])
        low = max(law.ppf(0.0), 1e-9)
        total, _ = quad(
            lambda t, joint=joint: float(np.exp(joint.log_density_of_theta(np.array([[t]])))[0]),
            math.log(low),
            math.log(min(law.ppf(1 - 1e-13), 1e9)),
            limit=200,
        )
        assert total == pytest.approx(law.sf(0.0), abs=1e-6)  # what a Normal has above 0


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: bo.LogNormal(0.0, 0.0), ValueError, "`sd` of LogNormal must be positive"),
        (lambda: bo.Normal("a", 1.0), TypeError, "`mean` of Normal must be a number, but got 'a'"),
        (lambda: bo.Normal(math.nan, 1.0), ValueError, "`mean` of Normal must be finite"),
        (lambda: bo.Uniform(1.0, 1.0), ValueError, "0 <= low < high"),
        (lambda: bo.Uniform(-1.0, 1.0), ValueError, "hyperparameters are positive"),
        (lambda: bo.Uniform(True, 2.0), TypeError, "`low` of Uniform must be a number"),
        (lambda: bo.TruncatedNormal(0.0, -1.0, 0.0, 1.0), ValueError, "must be positive"),
        (lambda: bo.TruncatedNormal(0.0, 1.0, 2.0, 1.0), ValueError, "low=2.0 and high=1.0"),
        (lambda: bo.Priors(noise=3.0), TypeError, "Prior of the noise must be a Uniform"),
        (lambda: bo.Priors(lengthscale=(0.0, 1.0)), TypeError, "Prior of the lengthscale"),
        (lambda: bo.GaussianProcess("matern72"), ValueError, "Unknown kernel 'matern72'; known"),
        (lambda: bo.GaussianProcess(mean="cubic"), ValueError, "Unknown mean 'cubic'; known"),
        (lambda: bo.GaussianProcess(nu=1.5), ValueError, "`nu` belongs to the kernel 'matern'"),
        (lambda: bo.GaussianProcess("rbf", power=1.5), ValueError, "belongs to the kernel 'power"),
        (lambda: bo.GaussianProcess("matern", nu=0.0), ValueError, "above 0 and at most 50"),
        (lambda: bo.GaussianProcess("matern", nu="x"), TypeError, "`nu` must be a number"),
        (lambda: bo.GaussianProcess("power_exponential", power=2.1), ValueError, "at most 2"),
        (lambda: bo.GaussianProcess(priors={}), TypeError, "must be a bayesopt.Priors"),
        (
            lambda: bo.GaussianProcess("matern", nu=2.0, priors=bo.Priors(shape=Uniform(1, 2))),
            ValueError,
            "needs a shape that is learnt",
        ),
        (
            lambda: bo.GaussianProcess(
                "power_exponential", priors=bo.Priors(shape=Uniform(1.0, 3.0))
            ),
            ValueError,
            "prior of `power` may reach up to 2",
        ),
    ],
)
def test_wrong_models_are_refused_with_what_is_allowed(build, error, text):
    with pytest.raises(error, match=text):
        build()


def test_models_say_what_they_are():
    assert str(GaussianProcess()) == "Gaussian process (Matern-5/2)"
    assert str(GaussianProcess("matern")) == "Gaussian process (Matern, nu learnt)"
    process = GaussianProcess("power_exponential", power=1.5, mean="linear")
    assert str(process) == "Gaussian process (power exponential, power = 1.5, linear mean)"
