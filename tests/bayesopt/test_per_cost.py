"""Acquisitions per unit cost, and where they can be paid; the logarithm of a known cost."""

import math

import numpy as np
import pytest
import torch
from botorch.acquisition.logei import qLogExpectedImprovement
from processes import points, process

import bayesopt as bo
from bayesopt import optimize
from bayesopt.acquisition.expected_improvement import ExpectedImprovement
from bayesopt.acquisition.per_cost import Affordable, LogCost, PerCost, log_total
from bayesopt.cost import Cost
from bayesopt.known_log_cost import KnownLogCost
from bayesopt.space import Space

SPACE = Space(x=bo.Float(0.1, 10.0, log=True), z=bo.Float(-1.0, 3.0))
MIXED = Space(
    x=bo.Float(0, 2),
    n=bo.Int(1, 5),
    s=bo.Categorical(["a", "b", "c"], role="source", target="a"),
)
MODEL = process()
EI = ExpectedImprovement(MODEL, 0.4)
X = points(12, 2, seed=1)


def dear(x, z):
    return 0.02 + x**2 + (z + 1.0)


def known(given, space=SPACE):
    return KnownLogCost(Cost.of(given, space), space)


def expected(space, function, X):
    return [math.log(function(**space.from_unit(x))) for x in X.numpy()]


@pytest.mark.parametrize("inner", [EI, qLogExpectedImprovement(MODEL, best_f=0.4)])
def test_per_cost_is_the_difference_and_its_gradient_that_of_autograd(inner):
    per_cost = PerCost(inner, known(dear))
    value, gradient = per_cost.value_and_gradient(X)
    parts = inner(X.unsqueeze(1)) - torch.tensor(expected(SPACE, dear, X), dtype=torch.float64)
    torch.testing.assert_close(value, parts.detach())
    torch.testing.assert_close(per_cost(X.unsqueeze(1)).detach(), value)
    torch.testing.assert_close(optimize.by_autograd(per_cost, X)[1], gradient)


def test_the_gradient_of_a_function_is_its_slope_on_the_scales_of_the_parameters():
    value, gradient = known(dear).value_and_gradient(X)
    assert isinstance(known(dear), LogCost)
    x = torch.from_numpy(np.exp(np.log(0.1) + X[:, 0].numpy() * np.log(100.0)))
    c = value.exp()
    torch.testing.assert_close(gradient[:, 0], 2 * x * x * math.log(100.0) / c, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient[:, 1], 4.0 / c, rtol=1e-6, atol=0)


def test_at_the_border_the_step_stays_inside():
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)

    def strict(x, z):
        assert 0.1 <= x <= 10.0 and -1.0 <= z <= 3.0
        return 1.0 + x + z * z

    _, gradient = known(strict).value_and_gradient(corners)
    x, z = torch.tensor([0.1, 10.0, 0.1]), torch.tensor([-1.0, 3.0, 3.0])
    slope = torch.stack((x * math.log(100.0), 8.0 * z), 1) / (1.0 + x + z * z).unsqueeze(1)
    torch.testing.assert_close(gradient, slope.double(), rtol=1e-3, atol=1e-5)


def test_a_point_is_asked_for_once():
    asked = []

    def counted(x, z):
        asked.append((x, z))
        return 1.0 + x

    log_cost = known(counted)
    log_cost(X.unsqueeze(1))
    log_cost(X.reshape(4, 3, 1, 2))
    assert len(asked) == len(X)
    log_cost.value_and_gradient(X)
    assert len(asked) == len(set(asked)) == 5 * len(X)  # and two steps in each column


@pytest.mark.parametrize("given", [None, 7.5, {"a": 1.0, "b": 2.0, "c": 30.0}])
def test_known_numbers_have_no_slope(given):
    at = torch.from_numpy(MIXED.snap(points(20, 3, seed=4).numpy()))
    value, gradient = known(given, MIXED).value_and_gradient(at)
    cost = Cost.of(given, MIXED)
    exact = [math.log(cost.of_params(MIXED.from_unit(x))) for x in at.numpy()]
    np.testing.assert_allclose(value, exact, rtol=1e-15)
    assert bool((gradient == 0).all())


def test_at_the_target_the_cost_is_that_of_the_target():
    given = {"a": 5.0, "b": 2.0, "c": 30.0}
    log_cost = KnownLogCost(Cost.of(given, MIXED), MIXED.at_target())
    value, _ = log_cost.value_and_gradient(points(7, 3, seed=4))
    np.testing.assert_allclose(value, math.log(5.0), rtol=1e-15)


def test_only_real_columns_have_a_slope():
    at = torch.from_numpy(MIXED.snap(points(9, 3, seed=4).numpy()))
    log_cost = known(lambda x, n, s: (1.0 + x) * n * (3.0 if s == "b" else 1.0), MIXED)
    _, gradient = log_cost.value_and_gradient(at)
    torch.testing.assert_close(gradient[:, 0], 2.0 / (1.0 + 2.0 * at[:, 0]))
    assert bool((gradient[:, 1:] == 0).all())


def test_what_is_learnt_has_no_known_logarithm():
    with pytest.raises(ValueError, match="learnt"):
        known("learn")


def test_a_cost_that_is_none_is_told_with_its_point():
    with pytest.raises(ValueError, match=r"`cost` at \{'x': .*'z': .*must be positive"):
        known(lambda x, z: z)(torch.zeros(1, 1, 2, dtype=torch.float64))


def test_costs_of_several_points_are_added():
    pairs = X.reshape(6, 2, 2)
    log_cost = known(dear)
    total = log_cost(X.unsqueeze(1)).exp().reshape(6, 2).sum(1).log()
    torch.testing.assert_close(log_total(log_cost, pairs), total)
    inner = qLogExpectedImprovement(MODEL, best_f=0.4)
    torch.testing.assert_close(PerCost(inner, log_cost)(pairs), inner(pairs) - total)
    left = float(total.sort().values[2])
    affordable = Affordable(inner, log_cost, left)(pairs)
    assert torch.equal(affordable.isfinite(), total <= left) and int(affordable.isfinite().sum())


def test_what_cannot_be_paid_is_worth_nothing():
    log_cost = known(dear)
    log_c = log_cost(X.unsqueeze(1))
    left = float(log_c.median())  # a cost that is all that is left can be paid
    value, gradient = Affordable(EI, log_cost, left).value_and_gradient(X)
    paid = log_c <= left
    assert paid.any() and not paid.all()
    inner, slope = EI.value_and_gradient(X)
    assert torch.equal(value[paid], inner[paid]) and torch.equal(gradient[paid], slope[paid])
    assert bool((value[~paid] == -torch.inf).all()) and bool((gradient[~paid] == 0).all())
    torch.testing.assert_close(Affordable(EI, log_cost, left)(X.unsqueeze(1)).detach(), value)
    assert bool((Affordable(EI, log_cost, -math.inf)(X.unsqueeze(1)) == -torch.inf).all())


def test_a_search_finds_the_best_value_per_cost_inside_what_can_be_paid():
    log_cost = known(dear)
    for left in (math.inf, math.log(3.0)):
        acquisition = Affordable(PerCost(EI, log_cost), log_cost, left)
        rng = np.random.default_rng(0)
        found, v = optimize.maximize(acquisition, SPACE, X.numpy(), rng)
        axis = torch.linspace(0, 1, 101, dtype=torch.float64)
        grid = torch.cartesian_prod(axis, axis)
        best = acquisition(grid.unsqueeze(1)).detach().max()
        assert v[0] >= float(best) - 1e-3
        assert math.log(dear(**SPACE.from_unit(found[0]))) <= left + 1e-9
