"""Search of an acquisition under constraints: maxima on boundaries, corners and lattices."""

import math
import time

import numpy as np
import pytest
import torch
from regions import INF, REGIONS, built, reals
from scipy.optimize import LinearConstraint, NonlinearConstraint, minimize

import bayesopt as bo
from bayesopt.optimize import Effort, maximize
from bayesopt.region import Region

SQUARE = bo.Space(x=bo.Float(-1, 1), y=bo.Float(-1, 1))
CUBE = reals(3)
LOG = bo.Space(a=bo.Float(1e-4, 1, log=True), b=bo.Float(0, 1))
INTS = bo.Space(a=bo.Int(0, 50), b=bo.Int(0, 50), c=bo.Int(0, 50), d=bo.Int(0, 50))
WIDE = bo.Space(a=bo.Int(0, 1000), b=bo.Int(0, 1000), c=bo.Int(0, 1000))
MIXED = bo.Space(
    k=bo.Int(0, 10), x=bo.Float(0, 10), y=bo.Float(0, 10), kind=bo.Categorical(["u", "v"])
)


def near(space, *target):
    """Minus the squared distance, in the unit cube, to a point in the user's units."""
    parameters = space.parameters.values()
    t = torch.tensor([p.to_unit(v) for p, v in zip(parameters, target, strict=True)]).double()
    return lambda X: -(X.squeeze(-2) - t).square().sum(-1)


def along(*slope):
    return lambda X: X.squeeze(-2) @ torch.tensor(slope, dtype=torch.float64)


def disc(x, y):
    return x * x + y * y


def disc_slope(x, y):
    return [[2 * x, 2 * y]]


def sums_to(total, *weights):
    return LinearConstraint(weights, total, total)


THIN = math.sqrt(0.5001 / 2)
KNOWN = {
    "half-plane": (
        SQUARE,
        LinearConstraint([1, 1], -INF, 0),
        near(SQUARE, 0.5, 0.8),
        (-0.15, 0.15),
    ),
    "vertex": (
        SQUARE,
        LinearConstraint([[1, 1], [1, -1]], -INF, [0, 0.3]),
        along(1.0, 0.2),
        (0.15, -0.15),
    ),
    "not active": (SQUARE, LinearConstraint([1, 1], -INF, 0), near(SQUARE, -0.4, 0.1), (-0.4, 0.1)),
    "disc": (SQUARE, NonlinearConstraint(disc, -INF, 0.5), along(1.0, 1.0), (0.5, 0.5)),
    "disc with its Jacobian": (
        SQUARE,
        NonlinearConstraint(disc, -INF, 0.5, jac=disc_slope),
        along(1.0, 1.0),
        (0.5, 0.5),
    ),
    "hole": (
        SQUARE,
        NonlinearConstraint(disc, 0.25, 0.8),
        near(SQUARE, 0.06, 0.08),
        (0.3, 0.4),
    ),
    "thin annulus": (
        SQUARE,
        NonlinearConstraint(disc, 0.5, 0.5001),
        along(1.0, 1.0),
        (THIN, THIN),
    ),
    "disc and line": (
        SQUARE,
        [NonlinearConstraint(disc, -INF, 0.25), sums_to(0.7, 1, 1)],
        along(1.0, 0.0),
        (0.4, 0.3),
    ),
    "corner of a simplex": (CUBE, bo.Simplex("x0", "x1", "x2"), along(1.0, 0.2, 0.5), (1, 0, 0)),
    "edge of a simplex": (
        CUBE,
        bo.Simplex("x0", "x1", "x2"),
        near(CUBE, 0.8, 0.6, 0),
        (0.6, 0.4, 0),
    ),
    "inside a simplex": (
        CUBE,
        bo.Simplex("x0", "x1", "x2"),
        near(CUBE, 0.2, 0.3, 0.5),
        (0.2, 0.3, 0.5),
    ),
    "equality with a logarithm": (LOG, sums_to(0.5, 1, 1), near(LOG, 0.01, 0.49), (0.01, 0.49)),
    "inequality with a logarithm": (
        LOG,
        LinearConstraint([1, 1], -INF, 0.01),
        along(1.0, 0.001),
        (0.01, 0.0),
    ),
    "integers that sum to 60": (
        INTS,
        sums_to(60, 1, 1, 1, 1),
        near(INTS, 31, 7, 20, 2),
        (31, 7, 20, 2),
    ),
    "a knapsack": (INTS, sums_to(60, 2, 3, 5, 7), near(INTS, 10, 5, 5, 0), (10, 5, 5, 0)),
    "wide integers": (WIDE, sums_to(1000, 1, 1, 1), near(WIDE, 631, 7, 362), (631, 7, 362)),
    "an integer and reals": (
        MIXED,
        sums_to(10, 1, 1, 1, 0),
        near(MIXED, 3, 2.5, 4.5, "v"),
        (3, 2.5, 4.5, "v"),
    ),
    "an integer that gives way to reals": (
        MIXED,
        LinearConstraint([1, 1, 1, 0], -INF, 6.5),
        near(MIXED, 6, 2.5, 4.5, "v"),
        (4, 0.25, 2.25, "v"),
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_maximum_is_found(name):
    space, constraints, acquisition, best = KNOWN[name]
    region = Region(space, constraints)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        X, v = maximize(acquisition, region, region.draw(3, rng), rng)
        found = region.must_hold(space.from_unit(X[0]))
        for value, expected in zip(found.values(), best, strict=True):
            assert value == (
                expected if isinstance(expected, str) else pytest.approx(expected, abs=1e-4)
            )


@pytest.mark.parametrize("name", REGIONS)
def test_every_result_lies_inside_best_first(name):
    region, violation = built(name)
    shift = torch.linspace(0.2, 0.8, len(region.space), dtype=torch.float64)

    def rough(X):
        x = X.squeeze(-2)
        value = (torch.cos(13.0 * (x - shift)) - 4.0 * (x - shift) ** 2).mean(-1)
        return torch.where(x[:, 0] > 0.7, torch.nan, value)

    rng = np.random.default_rng(0)
    X, v = maximize(rough, region, region.draw(2, rng), rng, effort=Effort(64, 32, 2))
    assert (v[:-1] >= v[1:]).all() and not np.isnan(v).any()
    assert region.holds(X).all()
    assert max(violation(**region.space.from_unit(x)) for x in X[:50]) <= 1e-9


def test_incumbents_may_lie_outside():
    region = Region(SQUARE, LinearConstraint([1, 1], -INF, 0))
    rng = np.random.default_rng(0)
    X, _ = maximize(along(1.0, 1.0), region, np.array([[1.0, 1.0]]), rng)
    assert region.holds(X).all()
    region = Region(SQUARE, NonlinearConstraint(disc, -INF, 0.5))
    X, _ = maximize(along(1.0, 1.0), region, np.array([[1.0, 1.0]]), rng)
    assert region.holds(X).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_curved_acquisition_agrees_with_scipy_from_many_starts(seed):
    """Six reals, an equality and two inequalities."""
    rng = np.random.default_rng(seed)
    space = reals(6)
    A = np.vstack((np.ones(6), rng.normal(size=(2, 6))))
    low, high = np.array([2.0, -INF, -INF]), np.array([2.0, 0.3, 0.3])
    weights, centre = rng.uniform(0.5, 3.0, 6), rng.random(6)

    def f(x):
        return float((weights * (x - centre) ** 2).sum() - 0.3 * math.cos(4 * x[0] * x[1]))

    def acquisition(X):
        x = X.squeeze(-2)
        w, c = torch.from_numpy(weights), torch.from_numpy(centre)
        return -(w * (x - c) ** 2).sum(-1) + 0.3 * torch.cos(4 * x[:, 0] * x[:, 1])

    region = Region(space, LinearConstraint(A, low, high))
    _, v = maximize(acquisition, region, region.draw(3, rng), rng)
    best = min(
        minimize(
            f,
            start,
            method="SLSQP",
            bounds=[(0, 1)] * 6,
            constraints=[sums_to(2.0, *A[0]), LinearConstraint(A[1:], low[1:], high[1:])],
            options={"ftol": 1e-12, "maxiter": 300},
        ).fun
        for start in region.draw(20, rng)
    )
    assert v[0] == pytest.approx(-best, abs=1e-6)


def test_the_search_takes_a_fraction_of_a_second():
    region, _ = built("two equalities")
    rng = np.random.default_rng(0)
    incumbents = region.draw(5, rng)
    maximize(along(1.0, 0.5, 0.2, -0.3, 0.1), region, incumbents, rng)
    start = time.process_time()
    maximize(along(1.0, 0.5, 0.2, -0.3, 0.1), region, incumbents, rng)
    assert time.process_time() - start < 0.3
