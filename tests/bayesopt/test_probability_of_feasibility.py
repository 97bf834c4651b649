"""Probability of feasibility: mpmath, both tails, narrow intervals, slopes, limits."""

import math

import mpmath
import pytest
import torch
from botorch.acquisition.analytic import LogProbabilityOfFeasibility
from botorch.models import ModelListGP
from botorch_twin import twin_of
from processes import points, process

from bayesopt.acquisition.probability_of_feasibility import (
    Bounded,
    ProbabilityOfFeasibility,
    log_probability_and_partials,
)

INF = math.inf


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def by_mpmath(mean, variance, low, high):
    """log P and its derivatives in mean and variance, with so many digits that none cancel."""
    with mpmath.workdps(400):
        sd = mpmath.sqrt(mpmath.mpf(variance))
        a, b = ((mpmath.mpf(bound) - mpmath.mpf(mean)) / sd for bound in (low, high))
        P = mpmath.ncdf(b) - mpmath.ncdf(a)
        of_a, of_b = (0 if mpmath.isinf(z) else mpmath.npdf(z) / P for z in (a, b))
        z_of_a, z_of_b = (0 if mpmath.isinf(z) else z * of for z, of in ((a, of_a), (b, of_b)))
        all_of_them = mpmath.log(P), (of_a - of_b) / sd, (z_of_a - z_of_b) / (2 * sd * sd)
        return [float(each) for each in all_of_them]


CASES = [
    (mean, variance, low, high)
    for variance in (1.0, 0.04)
    for z in (-40.0, -8.0, -1.0, 0.0, 0.3, 3.0, 12.0, 40.0)
    for mean in [z * variance**0.5]
    for low, high in [(0.0, INF), (-INF, 0.0), (-0.1, 0.1), (-1e-7, 1e-7), (0.0, 3.0), (-2.0, 0.5)]
]


@pytest.mark.parametrize("case", CASES)
def test_value_and_partials_agree_with_mpmath(case):
    mean, variance, low, high = case
    ours = log_probability_and_partials(tensor(mean), tensor(variance), low, high)
    expected = by_mpmath(*case)
    got = [float(each) for each in ours]
    assert got[0] == pytest.approx(expected[0], rel=1e-12, abs=1e-300)
    # A slope of 1e-300 is none; narrow intervals are worth their middles.
    assert got[1:] == pytest.approx(expected[1:], rel=2e-11, abs=1e-12)


def test_golden_value():
    """Phi(.1 / .3)."""
    value, _, _ = log_probability_and_partials(tensor(0.1), tensor(0.09), 0.0, INF)
    assert math.exp(float(value)) == pytest.approx(0.6305586598, abs=1e-10)


def test_the_two_sides_add_up():
    mean, variance = tensor(0.3, -2.0), tensor(0.5, 2.0)
    parts = [(-INF, -1.0), (-1.0, -0.9999), (-0.9999, 2.0), (2.0, INF)]
    total = sum(log_probability_and_partials(mean, variance, *part)[0].exp() for part in parts)
    torch.testing.assert_close(total, torch.ones(2).double(), rtol=1e-14, atol=0)


def test_no_bound_is_always_met():
    value, by_mean, by_variance = log_probability_and_partials(tensor(-9.0), tensor(1.0), -INF, INF)
    assert (float(value), float(by_mean), float(by_variance)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("mean", "expected"), [(0.5, 0.0), (1.0, 0.0), (1.1, -INF), (-0.1, -INF)])
def test_without_variance_it_is_met_or_not(mean, expected):
    value, *slopes = log_probability_and_partials(tensor(mean), tensor(0.0), 0.0, 1.0)
    assert float(value) == expected and all(float(slope) == 0.0 for slope in slopes)


@pytest.mark.parametrize(
    ("low", "high"), [(1e3, INF), (-INF, -1e3), (1e3, 1e3 + 1e-9), (-9e3, -1e3)]
)
def test_what_is_impossible_has_a_finite_slope_that_points_to_it(low, high):
    mean, variance = tensor(0.0), tensor(1e-15)
    value, by_mean, by_variance = log_probability_and_partials(mean, variance, low, high)
    assert -1e25 < float(value) < -1e15
    assert math.isfinite(float(by_mean)) and math.isfinite(float(by_variance))
    assert float(by_mean) * low > 0 or float(by_mean) * high > 0


# -- the acquisition -------------------------------------------------------------------------------


def two_constraints():
    one, other = process(noise="known"), process("rbf", signal=1.4)
    return [Bounded(one, -0.2, 0.9), Bounded(other, 0.5, INF)]


def test_it_is_the_product_of_all():
    constraints, X = two_constraints(), points(20, 1, 2, seed=1)
    product = torch.ones(20).double()
    for each in constraints:
        posterior = each.model.posterior(X)
        law = torch.distributions.Normal(
            posterior.mean.flatten(), posterior.variance.flatten().sqrt()
        )
        low, high = (law.cdf(torch.full((20,), b).double()) for b in (each.low, each.high))
        product *= high - low
    torch.testing.assert_close(ProbabilityOfFeasibility(constraints, log=False)(X), product)
    torch.testing.assert_close(ProbabilityOfFeasibility(constraints)(X).exp(), product)


def test_botorch_agrees():
    constraints, X = two_constraints(), points(20, 1, 2, seed=2)
    model = ModelListGP(*(twin_of(each.model) for each in constraints))
    theirs = LogProbabilityOfFeasibility(model, {0: [-0.2, 0.9], 1: [0.5, None]})
    torch.testing.assert_close(
        ProbabilityOfFeasibility(constraints)(X), theirs(X), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("of", [lambda m: m, twin_of], ids=["ours", "botorch"])
def test_gradients_agree_with_finite_differences(of, log):
    constraints = [Bounded(of(each.model), each.low, each.high) for each in two_constraints()]
    acquisition, X = ProbabilityOfFeasibility(constraints, log=log), points(8, 2, seed=3)
    value, gradient = acquisition.value_and_gradient(X)
    variable = X.unsqueeze(-2).requires_grad_()
    (by_graph,) = torch.autograd.grad(acquisition(variable).sum(), variable)
    torch.testing.assert_close(gradient, by_graph.squeeze(-2))
    with torch.no_grad():
        torch.testing.assert_close(value, acquisition(X.unsqueeze(-2)))
        for j, move in enumerate(1e-6 * torch.eye(2).double()):
            ahead, behind = (acquisition((X + s * move).unsqueeze(-2)) for s in (1, -1))
            slope = (ahead - behind) / 2e-6
            torch.testing.assert_close(slope, gradient[:, j], rtol=1e-5, atol=1e-6)


def test_bad_bounds_and_several_candidates_are_refused():
    with pytest.raises(ValueError, match=r"below its upper one, but got 1.0 and 0.0"):
        Bounded(process(), 1.0, 0.0)
    with pytest.raises(ValueError, match="but got nan"):
        Bounded(process(), math.nan, 0.0)
    with pytest.raises(ValueError, match="at least one constraint"):
        ProbabilityOfFeasibility([])
    with pytest.raises(ValueError, match="q=1"):
        ProbabilityOfFeasibility(two_constraints())(points(3, 2, 2))
