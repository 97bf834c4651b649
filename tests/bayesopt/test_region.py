"""Regions: draws and steps stay inside and spread out; finite ones are counted; hypothesis."""

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regions import INF, REGIONS, built, reals
from scipy.optimize import LinearConstraint, NonlinearConstraint, linprog
from strategies import fixed

import bayesopt as bo
from bayesopt.polytope import whole_moves
from bayesopt.region import Region
from bayesopt.user_values import parameters_of, user_slopes, user_values


def worst(region, violation, X):
    return max(violation(**region.space.from_unit(x)) for x in X)


# -- inside, everywhere ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGIONS)
def test_everything_that_comes_out_lies_inside(name):
    region, violation = built(name)
    rng = np.random.default_rng(0)
    X = region.draw(64, rng)
    assert len(X) == min(64, region.size or 64)
    assert len(np.unique(X, axis=0)) > 0.7 * len(X)
    assert region.holds(X).all()
    assert worst(region, violation, X) <= 1e-9
    around = region.around(X[:3], 64, rng)
    assert len(around) > 15 and worst(region, violation, around) <= 1e-9
    beside = region.neighbours(X[0])
    assert len(beside) == 0 or worst(region, violation, beside) <= 1e-9
    for x in (*X, *around, *beside):
        np.testing.assert_allclose(region.space.to_unit(region.space.from_unit(x)), x, atol=1e-12)


@pytest.mark.parametrize("name", REGIONS)
def test_membership_is_that_of_the_users_units(name):
    region, violation = built(name)
    rng = np.random.default_rng(1)
    X = region.space.snap(rng.random((200, len(region.space))))
    expected = [violation(**region.space.from_unit(x)) <= 1e-10 for x in X]
    np.testing.assert_array_equal(region.holds(X), expected)


@pytest.mark.parametrize("name", ["bounds", "log, equality", "thin annulus"])
def test_the_same_seed_draws_the_same(name):
    space, constraints, _ = REGIONS[name]
    one = built(name)[0].draw(20, np.random.default_rng(5))
    other = Region(bo.Space.of(space), constraints).draw(20, np.random.default_rng(5))
    np.testing.assert_array_equal(one, other)


def test_user_values_and_slopes_are_those_of_the_space():
    space = bo.Space(a=bo.Float(-3, 7), b=bo.Float(1e-3, 1e2, log=True), n=bo.Int(1, 99, log=True))
    X = space.snap(np.random.default_rng(0).random((30, 3)))
    Z = user_values(space, X)
    assert parameters_of(space, X) == [space.from_unit(x) for x in X]
    for x, z in zip(X, Z, strict=True):
        np.testing.assert_allclose(list(space.from_unit(x).values()), z, rtol=1e-15)
    for j in range(2):
        step = np.zeros(3)
        step[j] = 1e-6
        slope = (user_values(space, X + step) - user_values(space, X - step))[:, j] / 2e-6
        inside = (X[:, j] > 1e-6) & (X[:, j] < 1 - 1e-6)
        np.testing.assert_allclose(user_slopes(space, Z)[inside, j], slope[inside], rtol=1e-6)
    assert (user_slopes(space, Z)[:, 2] == 0).all()


@pytest.mark.parametrize("unit", [1e-12, 1e-3, 1e4, 1e12])
def test_the_unit_of_the_user_does_not_matter(unit):
    """As exact as rounding allows in large units, and no looser in small ones."""
    space = bo.Space(a=bo.Float(0, unit), b=bo.Float(0, unit), c=bo.Float(-unit, unit))
    region = Region(space, LinearConstraint([[1, 1, 1], [1, 0, -1]], [unit, -INF], [unit, 0]))
    rng = np.random.default_rng(0)
    X = region.draw(50, rng)
    for x in np.concatenate((X, region.around(X[:2], 50, rng))):
        a, b, c = space.from_unit(x).values()
        assert abs(a + b + c - unit) <= 1e-13 * unit
        assert a - c <= 1e-9 * min(unit, 1.0) + 1e-13 * unit
    with pytest.raises(ValueError, match="violates"):
        region.check(space.check({"a": unit / 4, "b": unit / 4, "c": unit / 2 * (1 + 1e-7)}))


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_an_empty_region_is_known_in_any_unit(unit):
    with pytest.raises(ValueError, match="That is certain"):
        Region(reals(2, 0.0, unit), LinearConstraint([1, 1], 2.001 * unit, INF))


# -- spread ----------------------------------------------------------------------------------------


def simplex_moments(S, n_independent):
    """Means and covariances of uniform points of a simplex: Dirichlet(1, ..., 1)."""
    k = S.shape[1]
    variance = (k - 1) / (k * k * (k + 1))
    np.testing.assert_allclose(S.mean(axis=0), 1 / k, atol=4 * (variance / n_independent) ** 0.5)
    np.testing.assert_allclose(S.var(axis=0), variance, rtol=4 * (3 / n_independent) ** 0.5)


@pytest.mark.parametrize("k", [2, 3, 6])
def test_a_simplex_is_drawn_uniformly(k):
    region = Region(reals(k), bo.Simplex(*(f"x{j}" for j in range(k))))
    simplex_moments(region.draw(2000, np.random.default_rng(0)), 2000)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_a_walk_on_a_plane_is_uniform_too(k):
    region = Region(reals(k), LinearConstraint(np.ones(k), 1, 1))
    simplex_moments(region.draw(2000, np.random.default_rng(0)), 500)  # of 512 chains


def test_a_walk_in_a_thin_corner_is_uniform():
    """The corner is a simplex with a part that is left out."""
    region, _ = built("six-dimensional corner")
    X = 10.0 * region.draw(2000, np.random.default_rng(0))
    simplex_moments(np.column_stack((X, 1.0 - X.sum(axis=1))), 500)


def test_a_walk_goes_all_around_an_annulus():
    region, _ = built("thin annulus")
    Z = user_values(region.space, region.draw(512, np.random.default_rng(0)))
    quadrant = 2 * (Z[:, 0] > 0) + (Z[:, 1] > 0)
    assert np.bincount(quadrant.astype(int), minlength=4).min() > 60
    assert np.quantile(Z[:, 2], [0.1, 0.9]) == pytest.approx([0.1, 0.9], abs=0.1)


def test_every_integer_and_category_is_reached():
    region, _ = built("integers and reals in one equality")
    X = region.draw(512, np.random.default_rng(0))
    assert len(np.unique(X[:, 0])) == 11
    region, _ = built("integers, log and categories")
    X = region.draw(512, np.random.default_rng(0))
    assert len(np.unique(X[:, 3])) == 3
    assert np.quantile(X[:, 2], [0.1, 0.9]) == pytest.approx([0.1, 0.85], abs=0.1)


def test_the_initial_design_keeps_its_distance():
    """Better than random points of the region, and it leaves room to what is known already."""
    region, _ = built("simplex")

    def smallest(X):
        return min(np.linalg.norm(a - b) for a, b in itertools.combinations(X, 2))

    for seed in range(5):
        known = np.empty((0, 4))
        for number in range(10):
            x = region.design(known, np.random.default_rng([seed, number]))[0]
            known = np.vstack((known, x))
        random = [smallest(region.draw(10, np.random.default_rng([seed, r]))) for r in range(50)]
        assert smallest(known) > np.quantile(random, 0.95)


# -- finite regions --------------------------------------------------------------------------------


def test_a_small_finite_region_is_counted():
    region, _ = built("few integers")
    by_hand = [(a, b, 10 - a - b) for a, b in itertools.product(range(11), repeat=2) if a + b <= 10]
    assert region.size == len(by_hand) == 66
    found = {tuple(region.space.from_unit(x).values()) for x in region.grid()}
    assert found == set(by_hand)
    drawn = region.draw(100, np.random.default_rng(0))
    assert len(np.unique(drawn, axis=0)) == len(drawn) == 66


def test_without_constraints_a_region_is_the_space():
    space = bo.Space(n=bo.Int(0, 3), kind=bo.Categorical(["a", "b"]))
    region = Region(space)
    assert not region.constrained and region.size == space.size == 8
    np.testing.assert_array_equal(region.grid(), space.grid())
    assert region.holds(space.grid()).all()
    assert region.check({"n": 1, "kind": "a"}) == {"n": 1, "kind": "a"}


def test_a_region_without_own_functions_can_be_pickled():
    region, violation = built("equality")
    again = pickle.loads(pickle.dumps(region))
    np.testing.assert_array_equal(
        again.draw(5, np.random.default_rng(0)), region.draw(5, np.random.default_rng(0))
    )


# -- hypothesis ------------------------------------------------------------------------------------

COEFFICIENT = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.3, 1.0, 1.7, 3.0])
small = settings(fixed, max_examples=12)


@st.composite
def linear_systems(draw):
    d, m = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    A = np.array(
        draw(st.lists(st.lists(COEFFICIENT, min_size=d, max_size=d), min_size=m, max_size=m))
    )
    lower = np.array(draw(st.lists(st.floats(-4, 4), min_size=m, max_size=m)))
    width = draw(st.lists(st.sampled_from([0.0, 1e-5, 0.1, 2.0, np.inf]), min_size=m, max_size=m))
    kinds = draw(st.lists(st.sampled_from(["float", "log", "int"]), min_size=d, max_size=d))
    made = {"float": bo.Float(-1, 2), "log": bo.Float(0.01, 10, log=True), "int": bo.Int(-3, 4)}
    space = bo.Space(**{f"x{j}": made[kind] for j, kind in enumerate(kinds)})
    return space, A, lower, lower + np.array(width)


@small
@given(linear_systems())
def test_random_linear_constraints_hold_or_are_empty(system):
    space, A, lower, upper = system
    try:
        region = Region(space, LinearConstraint(A, lower, upper))
    except ValueError as error:
        assert "leaves no point" in str(error)
        assert is_empty(space, A, lower, upper)
        return
    X = region.draw(40, np.random.default_rng(0))
    assert len(X) > 0
    product = np.array([list(space.from_unit(x).values()) for x in X]) @ A.T
    assert (np.maximum(lower - product, product - upper) <= 1e-9).all()


def is_empty(space, A, lower, upper):
    """No real point for any choice of the integers, by trying them all."""
    whole = [p.kind == "int" for p in space.parameters.values()]
    choices = [
        range(p.low, p.high + 1) if p.kind == "int" else [None] for p in space.parameters.values()
    ]
    finite = np.isfinite(upper)
    for chosen in itertools.product(*choices):
        bounds = [
            (value, value) if is_whole else (p.low, p.high)
            for value, is_whole, p in zip(chosen, whole, space.parameters.values(), strict=True)
        ]
        ends = A[:, :, None] * np.array(bounds)
        if (ends.min(-1).sum(-1) > upper).any() or (ends.max(-1).sum(-1) < lower).any():
            continue  # no point of the box reaches the bounds: most choices need no program
        solved = linprog(
            np.zeros(len(space)),
            A_ub=np.concatenate((A[finite], -A)),
            b_ub=np.concatenate((upper[finite], -lower)),
            bounds=bounds,
        )
        if solved.status == 0:
            return False
    return True


@small
@given(st.lists(st.lists(st.integers(-6, 6), min_size=4, max_size=4), min_size=1, max_size=3))
def test_moves_of_whole_numbers_span_the_kernel(rows):
    A = np.array(rows, dtype=float)
    moves = whole_moves(A)
    assert (moves == np.rint(moves)).all()
    np.testing.assert_array_equal(moves @ A.T, 0)
    rank = np.linalg.matrix_rank(A)
    assert np.linalg.matrix_rank(moves) == 4 - rank if len(moves) else rank == 4


def test_moves_reach_every_solution():
    """They generate the whole lattice of solutions, not a part of it."""
    A = np.array([[2.0, 3.0, 5.0]])
    moves = whole_moves(A)
    box = range(-4, 5)
    solutions = {s for s in itertools.product(box, repeat=3) if A[0] @ s == 0}
    reached, frontier = {(0, 0, 0)}, [(0, 0, 0)]
    while frontier:
        here = np.array(frontier.pop())
        for move in (*moves, *-moves):
            there = tuple((here + move).astype(int).tolist())
            if there not in reached and max(map(abs, there)) <= 12:
                reached.add(there)
                frontier.append(there)
    assert solutions <= reached


@small
@given(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9), st.floats(0.02, 0.9))
def test_a_disc_anywhere_is_found(x, y, radius):
    region = Region(
        bo.Space(x=bo.Float(-1, 1), y=bo.Float(-1, 1)),
        NonlinearConstraint(lambda **p: (p["x"] - x) ** 2 + (p["y"] - y) ** 2, -INF, radius**2),
    )
    X = region.draw(20, np.random.default_rng(0))
    Z = user_values(region.space, X)
    assert len(np.unique(Z, axis=0)) == 20
    assert (((Z - [x, y]) ** 2).sum(axis=1) <= radius**2 + 1e-15).all()
