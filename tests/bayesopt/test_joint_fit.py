"""Hyperparameters of joint processes: the gradient of their density, recovery, the warp."""

import numpy as np
import pytest
import torch
from joint_processes import CASES, candidates, observations, one, tensor

import bayesopt as bo
from bayesopt.data import Dataset, Scaling
from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.models.joint.covariance import Columns
from bayesopt.models.joint.fit import JointLikelihood, fit_joint
from bayesopt.models.joint.of_space import _integrals
from bayesopt.models.joint.structures import Accuracy, Sources, Tasks
from bayesopt.models.joint.warp import Warp
from bayesopt.models.kernels import Features

PROCESS = GaussianProcess(fidelity="auto")
LINE = Columns([0], [1], Features(1))


def same(a, b, **tolerances):
    torch.testing.assert_close(a, b, **({"rtol": 0, "atol": 1e-9} | tolerances))


def dataset(X, Y, Yvar=None):
    Yvar = torch.full_like(Y, torch.nan) if Yvar is None else Yvar
    return Dataset(X, Y, Yvar, (), Scaling(1.0, 1.0, 0.0, 1.0))


def density(name, noise="inferred", method="map", kernel="matern52"):
    case = CASES[name]
    X, Y, Yvar = observations(case, 8, "known")
    if noise == "inferred":
        Yvar[:] = torch.nan
    elif noise == "mixed":
        Yvar[::2] = torch.nan
    data, process = dataset(X, Y, Yvar), GaussianProcess(kernel)
    integrals = _integrals(case.sought)
    return JointLikelihood(
        data, case.columns, case.structure, process, method, integrals, case.warped
    )


def some_theta(of, rows=2):
    rng = np.random.default_rng(0)
    return of.centre + 0.3 * of.sd * rng.standard_normal((rows, len(of.centre)))


# -- the density -----------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["inferred", "known", "mixed"])
@pytest.mark.parametrize("name", [name for name in CASES if name != "tail"])
def test_the_gradient_of_the_density_is_a_finite_difference(name, noise):
    of = density(name, noise)
    theta, step = some_theta(of), 1e-5
    value, gradient = of(theta)
    assert gradient.shape == theta.shape and np.isfinite(value).all()
    for j in range(theta.shape[1]):
        move = step * np.eye(theta.shape[1])[j]
        expected = (of(theta + move)[0] - of(theta - move)[0]) / (2 * step)
        np.testing.assert_allclose(gradient[:, j], expected, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["groups", "decay", "tasks", "environment"])
def test_the_density_is_that_of_the_fitted_process(name):
    """log N(Y | H beta, K), with the prior of beta at its best value and that of theta."""
    of = density(name)
    (theta,) = some_theta(of, rows=1)
    h = of.hyperparameters(theta)
    covariance, noise = h.covariance, h.noise
    structure, r = covariance.structure, of.sites.r
    K = covariance.between(of.sites, of.sites) + torch.diag(noise[structure.group(r)] + 1e-10)
    mean = h.mean + structure.offsets(r) @ h.offsets
    log_density = torch.distributions.MultivariateNormal(mean, K).log_prob(of.Y)
    penalty = 0.5 * (h.offsets.square().sum() + (((theta - of.centre) / of.sd) ** 2).sum())
    constant = 0.5 * len(of.Y) * np.log(2 * np.pi)
    assert of(theta[None])[0][0] == pytest.approx(float(penalty - log_density - constant))
    # beta is where nothing gets better
    values = []
    for moved in (1e-3, -1e-3):
        shifted = torch.distributions.MultivariateNormal(mean + moved, K).log_prob(of.Y)
        values.append(float(shifted))
    assert max(values) <= float(log_density)


def test_the_priors_are_left_out_of_the_likelihood():
    of_map, of_mle = density("decay"), density("decay", method="mle")
    theta = some_theta(of_map)
    z = (theta - of_map.centre) / of_map.sd
    np.testing.assert_allclose(of_map(theta)[0] - of_mle(theta)[0], 0.5 * (z**2).sum(1))
    np.testing.assert_allclose(of_map(theta)[1] - of_mle(theta)[1], z / of_map.sd)


def test_what_is_singular_is_infinitely_bad():
    of = density("decay", "known")
    of.known = torch.full_like(of.known, -2.0)
    value, gradient = of(some_theta(of))
    assert np.isposinf(value).all() and np.isfinite(gradient).all()


# -- the fit ---------------------------------------------------------------------------------------


def sine(x, shift=0.0):
    return torch.sin(6.0 * x + shift)


def on_a_line(n, r, seed=0):
    """Points (n, 2) all over the design, with a role column."""
    x = torch.from_numpy(np.random.default_rng(seed).permutation(n) + 0.5) / n
    return torch.stack((x, torch.as_tensor(r, dtype=x.dtype).expand(n)), dim=-1)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_correlation_of_tasks_is_found(sign):
    X = torch.cat((on_a_line(12, 0.0), on_a_line(12, 1.0, seed=1)))
    Y = torch.where(X[:, 1] == 0.0, sine(X[:, 0]), sign * 2.0 * sine(X[:, 0]))[:, None]
    structure = Tasks(2, (1.0, 1.0))
    model, _ = fit_joint(dataset(X, Y, 0.0 * Y), LINE, structure, one(0.0), PROCESS)
    of = model.hyperparameters.covariance
    B = structure.covariance(of.role[0, 0])
    assert float(B[0, 1] / (B[0, 0] * B[1, 1]).sqrt()) * sign > 0.95
    assert 1.2 < float((B[1, 1] / B[0, 0]).sqrt()) < 3.3


@pytest.mark.parametrize("bias", [0.0, 2.0])
def test_a_biased_source_is_told_from_one_that_is_none(bias):
    X = torch.cat((on_a_line(10, 0.0), on_a_line(14, 1.0, seed=1)))
    Y = (sine(X[:, 0]) + bias * X[:, 1] * torch.cos(4.0 * X[:, 0]))[:, None]
    model, _ = fit_joint(dataset(X, Y, 0.0 * Y), LINE, Sources(2, 0), one(0.0), PROCESS)
    signal = model.hyperparameters.covariance.signal[:, 0, 0]
    assert (signal[1] > 0.2) if bias else (signal[1] < 1e-2)
    at = on_a_line(50, 1.0)
    error = (model.target.marginals(at)[0] - sine(at[:, 0])).abs().max()
    assert float(error) < 0.1  # the target is known, whatever the other source says


def test_noise_that_grows_away_from_the_target_is_found():
    X = torch.cat([on_a_line(15, r, seed=int(10 * r)) for r in (0.0, 0.5, 1.0)])
    noise = torch.from_numpy(np.random.default_rng(2).normal(size=len(X)))
    sd = 0.05 + 0.8 * (1.0 - X[:, 1])
    Y = (sine(X[:, 0]) + sd * noise)[:, None]
    model, _ = fit_joint(dataset(X, Y), LINE, Accuracy(1.0), one(1.0), PROCESS)
    at_target, half, far = (
        model.noise_at(tensor([0.5, 1.0], [0.5, 0.5], [0.5, 0.0])).sqrt().tolist()
    )
    assert at_target < 0.15 and 0.2 < half < 0.7 and 0.5 < far < 1.3


@pytest.mark.parametrize("structure", [Sources(2, 0), Tasks(2, (1.0, 1.0))])
def test_every_source_and_every_task_has_noise_of_its_own(structure):
    X = torch.cat((on_a_line(20, 0.0), on_a_line(20, 1.0, seed=1)))
    noise = torch.from_numpy(np.random.default_rng(3).normal(size=len(X)))
    Y = (sine(X[:, 0]) + (0.02 + 0.4 * X[:, 1]) * noise)[:, None]
    model, _ = fit_joint(dataset(X, Y), LINE, structure, one(0.0), PROCESS)
    low, high = model.hyperparameters.noise.sqrt().tolist()
    assert low < 0.1 and 0.25 < high < 0.7


def test_the_end_of_a_fit_is_a_start_of_the_next():
    case = CASES["sources"]
    data = dataset(*observations(case, 9))

    def fit(**options):
        return fit_joint(data, case.columns, case.structure, case.sought, PROCESS, **options)

    of = JointLikelihood(data, case.columns, case.structure, PROCESS)
    model, theta = fit()
    again, theta_again = fit(start=theta)
    at_first, at_second = (of(np.array([t]))[0][0] for t in (theta, theta_again))
    assert at_second <= at_first + 1e-9
    same(again.marginals(data.X)[0], model.marginals(data.X)[0], atol=2e-2)
    assert fit(start=(0.0, 1.0))[1] == theta  # of another model: not used
    far = tuple(of.high + 5.0)
    assert all(
        low <= t <= high for t, low, high in zip(fit(start=far)[1], of.low, of.high, strict=True)
    )


@pytest.mark.parametrize("name", ["sources", "decay", "tasks", "warped"])
def test_the_order_of_observations_does_not_matter(name):
    case, order = CASES[name], torch.from_numpy(np.random.default_rng(4).permutation(9))
    X, Y, Yvar = observations(case, 9)
    at = candidates(name, 5)
    moments = []
    for rows in (torch.arange(9), order):
        model, _ = fit_joint(
            dataset(X[rows], Y[rows], Yvar[rows]),
            case.columns,
            case.structure,
            case.sought,
            PROCESS,
            warped=case.warped,
        )
        moments.append(model.target.marginals(at))
    for a, b in zip(*moments, strict=True):
        same(a, b, atol=1e-6)


# -- the warp --------------------------------------------------------------------------------------

SCORES = -torch.logspace(-2, 4, 15, dtype=torch.float64)


def test_the_warp_and_its_inverse():
    warp = Warp.of(SCORES, tensor(-1.0))
    h = warp.latent(SCORES)
    assert float(h.mean()) == pytest.approx(0.0, abs=1e-12)
    assert float(h.var(correction=0)) == pytest.approx(1.0)
    mean, _ = warp.mean_and_slope(h, torch.zeros_like(h))
    same(mean, SCORES, atol=1e-9)
    assert torch.equal(warp.latent(SCORES[:1] + 3.0), h[:1])  # no better than the best


def test_slopes_of_the_warp_are_finite_differences():
    warp, step = Warp.of(SCORES, tensor(-1.0)), 1e-6
    y = SCORES[1:]
    slope = (warp.latent(y + step) - warp.latent(y - step)) / (2 * step)
    same(warp.slope(y), slope, rtol=1e-5, atol=1e-11)
    assert float(warp.log_jacobian(SCORES)) == pytest.approx(float(warp.slope(SCORES).log().sum()))


@pytest.mark.parametrize("v", [0.0, 0.3, 2.0])
def test_the_expected_score_is_an_integral_and_its_slope_a_finite_difference(v):
    warp = Warp.of(SCORES, tensor(-1.0))
    m = torch.linspace(-2, 2, 7, dtype=torch.float64)
    z, weights = np.polynomial.hermite_e.hermegauss(80)
    h = m[:, None] + v**0.5 * torch.from_numpy(z)
    by_h = warp.best + warp.c - warp.c * torch.exp(-(warp.t + warp.s * h))
    expected = by_h @ torch.from_numpy(weights / weights.sum())
    variance = torch.full_like(m, v)
    mean, slope = warp.mean_and_slope(m, variance)
    same(mean, expected, rtol=1e-9, atol=1e-9)
    step = 1e-6
    moved = [warp.mean_and_slope(m + sign * step, variance)[0] for sign in (1.0, -1.0)]
    same(slope, (moved[0] - moved[1]) / (2 * step), rtol=1e-6, atol=1e-6)


def test_a_warp_that_bends_nothing_is_a_shift_and_a_scale():
    y = torch.linspace(-1.0, 2.0, 9, dtype=torch.float64)
    warp = Warp.of(y, tensor(np.log(1e7)))
    same(warp.latent(y), (y - y.mean()) / y.var(correction=0).sqrt(), atol=1e-5)
    sd = float(y.var(correction=0).sqrt())
    mean, slope = warp.mean_and_slope(tensor(0.7), tensor(0.2))
    assert float(mean) == pytest.approx(float(y.mean()) + 0.7 * sd, abs=1e-4)
    assert float(slope) == pytest.approx(sd, rel=1e-5)


def test_known_noise_is_carried_over_by_the_slope_of_the_warp():
    case = CASES["warped"]
    X, Y, _ = observations(case, 12)
    Yvar = torch.full_like(Y, 1e-4)
    model, _ = fit_joint(
        dataset(X, Y, Yvar), case.columns, case.structure, case.sought, PROCESS, warped=True
    )
    warp, y = model.hyperparameters.warp, Y.squeeze(-1)
    step = 1e-6
    inner = y < y.max()
    slope = (warp.latent(y + step) - warp.latent(y - step))[inner] / (2 * step)
    same(model.Yvar[inner, 0], 1e-4 * slope.square(), rtol=1e-6, atol=0)
    same(model.Y.squeeze(-1), warp.latent(y))
    same(model.noise_at(X[:1]), model.Yvar.mean().expand(1))


@pytest.mark.parametrize("kernel, shape", [("matern", "nu"), ("power_exponential", "power")])
def test_the_shape_of_a_kernel_is_to_be_given(kernel, shape):
    space = bo.Space(x=bo.Float(0, 1), s=bo.Categorical(["t", "c"], role="source", target="t"))
    with pytest.raises(ValueError, match=f"needs a given '{shape}' where a parameter is a source"):
        bo.Study(space, policy=bo.Policy(model=GaussianProcess(kernel)))
    bo.Study(space, policy=bo.Policy(model=GaussianProcess(kernel, **{shape: 1.5})))
