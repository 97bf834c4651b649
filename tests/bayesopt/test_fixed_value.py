"""A parameter that stays at one value: in lattices, constraints, searches and designs."""

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, NonlinearConstraint

from bayesopt import optimize
from bayesopt.constraints import Simplex, checked_constraints
from bayesopt.design import Taken, space_filling, start
from bayesopt.fixed_value import Fixed
from bayesopt.lattice import coupled_neighbours, neighbours
from bayesopt.parameter import Categorical, Float, Int
from bayesopt.polytope import Polytope
from bayesopt.region import Region
from bayesopt.space import Space
from bayesopt.user_values import parameters_of, user_values

INSIDE = [
    (Float(1e-2, 1e2, log=True), 1.0, 0.5),
    (Int(2, 12), 7, 0.5),
    (Categorical(["a", "b", "c"]), "c", 1.0),
]


@pytest.mark.parametrize(("parameter", "value", "unit"), INSIDE)
def test_every_way_leads_to_the_value(parameter, value, unit):
    fixed = Fixed(parameter, value)
    u = np.linspace(0, 1, 5)
    assert fixed.to_unit(value) == pytest.approx(unit) and fixed.size == 1
    assert fixed.from_unit(0.0) == fixed.from_unit(1.0) == fixed.check(value) == value
    for there in (fixed.snap(u), fixed.to_units([value] * 5), fixed.unit_of(np.arange(5))):
        np.testing.assert_array_equal(there, np.full(5, fixed.unit))
    np.testing.assert_array_equal(fixed.index_of(u), np.zeros(5))


@pytest.mark.parametrize(("parameter", "value", "unit"), INSIDE)
def test_no_other_value_is_in_it(parameter, value, unit):
    with pytest.raises(ValueError, match="only value here"):
        Fixed(parameter, value).check(parameter.from_unit(0.0))


MIXED = Space(
    x=Float(0, 10),
    s=Float(0.1, 10, role="fidelity", target=4.0),
    n=Int(0, 9),
    kind=Categorical(["a", "b"]),
)
COUNTS = Space(k=Int(0, 6), m=Int(0, 6, role="fidelity", target=2), kind=Categorical(["a", "b"]))
SHARES = Space(a=Float(0, 1), b=Float(0, 1), c=Float(0, 1, role="environment"))


def test_a_grid_has_one_value_of_it():
    space = COUNTS.at_target()
    assert space.size == 14 == len(space.grid())
    assert {row["m"] for row in map(space.from_unit, space.grid())} == {2}


def test_it_is_no_column_of_any_search_and_has_no_neighbours():
    space = MIXED.at_target()
    assert space.columns("float") == [0] and space.columns("int", "categorical") == [2, 3]
    x = space.snap(np.full(4, 0.4))
    beside = neighbours(space, x)
    assert len(beside) > 0 and (beside[:, 1] == x[1]).all()
    only_real = Space(x=Float(0, 1), s=Float(0, 1, role="fidelity", target=1.0)).at_target()
    assert neighbours(only_real, np.array([0.3, 1.0])).shape == (0, 2)
    assert space.categories == ((3, 2),)


def test_units_and_values_go_both_ways():
    space = MIXED.at_target()
    params = {"x": 2.5, "s": 4.0, "n": 3, "kind": "b"}
    X = space.to_units([params, params])
    np.testing.assert_array_equal(X, MIXED.to_units([params, params]))
    assert parameters_of(space, X) == [params, params] == [space.from_unit(row) for row in X]
    np.testing.assert_array_equal(user_values(space, X), [[2.5, 4.0, 3.0, 0.0]] * 2)
    elsewhere = user_values(space, np.full((1, 4), 0.9))
    assert elsewhere[0, 1] == 4.0  # whatever the coordinate
    assert space.contains(params) and not space.contains(params | {"s": 5.0})


CONSTRAINTS = {
    "linear": (MIXED, LinearConstraint([[1, 1, 0, 0]], -np.inf, 6.0)),
    "thin": (MIXED, LinearConstraint([[1, 1, 0, 0]], 4.5, 4.55)),
    "equality": (MIXED, LinearConstraint([[1, 1, 1, 0]], 9, 9)),
    "nonlinear": (MIXED, NonlinearConstraint(lambda x, s, n, kind: x * s, 8, 12)),
    "counts": (COUNTS, LinearConstraint([[1, 1, 0]], 0, 5)),
    "simplex": (SHARES, Simplex("a", "b", "c")),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_region_at_the_target_is_the_slice_of_the_region_there(name):
    space, constraint = CONSTRAINTS[name]
    whole, region = Region(space, constraint), Region(space.at_target(), constraint)
    (column,) = space.role_columns
    rng = np.random.default_rng(0)
    found = [region.draw(64, rng)]
    found.append(region.around(found[0][:3], 64, rng))
    found.append(region.design(found[0][:2], rng))
    found += [region.neighbours(x) for x in found[0][:3]]
    X = np.concatenate(found)
    unit = space.at_target()[space.names[column]].unit
    assert len(found[0]) >= (8 if name == "counts" else 64)
    assert (X[:, column] == unit).all()
    assert whole.holds(X).all() and region.holds(X).all()
    for row in X[:40]:
        params = space.from_unit(row)
        whole.must_hold(params)
        region.must_hold(params)
    real = space.columns("float")
    assert len(np.unique(found[0], axis=0)) > (8 if real else 5)


def test_a_search_inside_finds_the_best_point_of_the_slice():
    region = Region(MIXED.at_target(), LinearConstraint([[1, 1, 0, 0]], -np.inf, 6.0))

    def score(X):
        return -((X[..., 0, 0] - 0.9).square()) - (X[..., 0, 2] - 1.0).square()

    X, _ = optimize.maximize(score, region, np.empty((0, 4)), np.random.default_rng(0))
    best = region.space.from_unit(X[0])
    assert best["x"] == pytest.approx(2.0) and best["s"] == 4.0 and best["n"] == 9


def test_without_constraints_too():
    region = Region(MIXED.at_target())
    X = start(region, np.empty((0, 4)), 0, 0)
    np.testing.assert_array_equal(X, space_filling(region.space, 0, 0))
    assert (X[:, 1] == region.space["s"].unit).all()
    params = Taken(region, np.empty((0, 4))).first_free(X, np.random.default_rng(0))
    assert params["s"] == 4.0


def test_a_polytope_has_no_room_in_its_column():
    space = MIXED.at_target()
    A, low, high = np.array([[1.0, 1.0, 1.0, 0.0]]), np.array([13.0]), np.array([13.0])
    polytope = Polytope.of(space, A, low, high)
    z = polytope.nearest()
    assert z[1] == pytest.approx(4.0) and z[0] + z[2] == pytest.approx(9.0)
    assert Polytope.of(space, A, low + 11, high + 11).nearest() is None  # 10 + 4 + 9 < 24


def test_a_slice_that_is_empty_says_so():
    constraint = LinearConstraint([[0, 1, 0, 0]], 5, 9)
    Region(MIXED, constraint)
    with pytest.raises(ValueError, match="leaves no point"):
        Region(MIXED.at_target(), constraint)


def test_a_category_that_is_fixed_has_no_size_either():
    space = Space(x=Float(0, 1), kind=Categorical(["a", "b"], role="source", target="b"))
    with pytest.raises(ValueError, match=r"\['kind'\] are categories"):
        checked_constraints(space.at_target(), LinearConstraint([[1, 1]], 0, 1))
    region = Region(space.at_target(), LinearConstraint([[1, 0]], 0, 0.5))
    assert (region.draw(32, np.random.default_rng(0))[:, 1] == 1.0).all()


def test_whole_numbers_move_together_around_it():
    space = Space(k=Int(0, 9), m=Int(0, 9), s=Int(0, 9, role="fidelity", target=3)).at_target()
    region = Region(space, LinearConstraint([[1, 1, 1]], 8, 8))
    X = region.grid()
    assert len(X) == 6 and {tuple(space.from_unit(x).values()) for x in X} == {
        (k, 5 - k, 3) for k in range(6)
    }
    beside = coupled_neighbours(space, X[0], region._moves)
    assert len(beside) > 0 and (beside[:, 2] == X[0, 2]).all()
