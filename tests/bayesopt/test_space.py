"""Spaces: points, snapping, JSON, what counts as a point and what as a space."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds
from strategies import fixed, spaces

from bayesopt.parameter import Categorical, Float, Int
from bayesopt.space import Space

SPACE = Space(C=Float(0.5, 8.0), depth=Int(1, 6), kernel=Categorical(["rbf", 2, None]))
POINT = {"C": 1.0, "depth": 3, "kernel": "rbf"}


@fixed
@given(spaces, st.integers(0, 2**32 - 1))
def test_snapped_points_are_values(space, seed):
    X = space.snap(np.random.default_rng(seed).random((20, len(space))))
    np.testing.assert_array_equal(space.snap(X), X)
    lattice = space.columns("int", "categorical")
    for x in X:
        params = space.from_unit(x)
        assert space.check(params) == params
        assert space.contains(params)
        np.testing.assert_array_equal(space.to_unit(params)[lattice], x[lattice])


@fixed
@given(spaces, st.booleans())
def test_json_round_trip(space, takes_vector):
    space.takes_vector = takes_vector
    back = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert back == space and hash(back) == hash(space)
    assert back.names == space.names
    assert back.parameters == space.parameters
    assert back.takes_vector is takes_vector


def test_spaces_differ_by_any_field():
    space = Space(a=Float(0, 1), b=Int(1, 5))
    assert space == Space(a=Float(0.0, 1.0), b=Int(1, 5))
    for other in (
        Space(b=Int(1, 5), a=Float(0, 1)),
        Space(a=Float(0, 2), b=Int(1, 5)),
        Space(a=Float(0, 1), b=Int(1, 5, log=True)),
        Space(a=Float(0, 1), c=Int(1, 5)),
        [(0, 1), (1, 5)],
    ):
        assert space != other


def test_size_grid_and_columns():
    space = Space(n=Int(1, 3), kind=Categorical(["a", "b"]))
    assert space.size == 6 and len(space) == 2 and list(space) == ["n", "kind"]
    points = [tuple(space.from_unit(x).values()) for x in space.grid()]
    assert points == [(n, kind) for n in (1, 2, 3) for kind in "ab"]
    real = Space(kind=Categorical(["a", "b", "c"]), x=Float(0, 1), n=Int(0, 9))
    assert real.size is None
    assert real.columns("float") == [1] and real.columns("int", "categorical") == [0, 2]
    assert real.categories == ((0, 3),)
    assert real["n"] == Int(0, 9)
    assert repr(real).startswith("Space(kind=Categorical(")
    with pytest.raises(ValueError, match="no grid"):
        real.grid()


@pytest.mark.parametrize(
    "given",
    [
        {"C": 1, "depth": 3.0, "kernel": "rbf"},
        {"kernel": np.str_("rbf"), "depth": np.int32(3), "C": np.float32(1.0)},
        {"C": np.array(1.0), "depth": np.float64(3.0), "kernel": "rbf"},
        [1.0, 3, "rbf"],
        (1.0, 3, "rbf"),
        np.array([1.0, 3, "rbf"], dtype=object),
    ],
)
def test_points_may_be_dicts_or_vectors_of_any_real_numbers(given):
    params = SPACE.check(given)
    assert params == POINT
    assert list(params) == ["C", "depth", "kernel"]
    assert [type(value) for value in params.values()] == [float, int, str]
    assert SPACE.contains(given)


@pytest.mark.parametrize("kernel", ["rbf", np.int64(2), 2.0, None])
def test_a_choice_is_found_by_equality_and_returned_as_it_was_given(kernel):
    choice = SPACE.check(POINT | {"kernel": kernel})["kernel"]
    assert choice == kernel
    assert any(choice is own for own in ("rbf", 2, None))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"C": 0.49}, ValueError, r"'C'.*0\.49 is outside \[0\.5, 8\.0\]"),
        ({"C": 8.01}, ValueError, "outside"),
        ({"C": np.nan}, ValueError, "outside"),
        ({"C": np.inf}, ValueError, "outside"),
        ({"C": True}, TypeError, "'C'.*must be a number.*True"),
        ({"C": np.True_}, TypeError, "must be a number"),
        ({"C": "1.0"}, TypeError, "must be a number"),
        ({"C": None}, TypeError, "must be a number"),
        ({"C": 1 + 0j}, TypeError, "must be a number"),
        ({"C": np.complex128(1)}, TypeError, "must be a number"),
        ({"C": [1.0]}, TypeError, "must be a number"),
        ({"C": np.array([1.0])}, TypeError, "must be a number"),
        ({"depth": 0}, ValueError, r"'depth'.*0 is outside \[1, 6\]"),
        ({"depth": 7}, ValueError, "outside"),
        ({"depth": 2.5}, ValueError, "whole number.*2.5"),
        ({"depth": np.nan}, ValueError, "whole number"),
        ({"depth": np.inf}, ValueError, "whole number"),
        ({"depth": True}, TypeError, "must be a number"),
        ({"kernel": "poly"}, ValueError, r"'kernel'.*'poly' is not one of \['rbf', 2, None\]"),
        ({"gamma": 1.0}, ValueError, r"missing \[\], unknown \['gamma'\]"),
    ],
)
def test_what_is_not_a_point_is_refused_by_name(change, error, text):
    with pytest.raises(error, match=text):
        SPACE.check(POINT | change)
    assert not SPACE.contains(POINT | change)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"C": 1.0}, ValueError, r"missing \['depth', 'kernel'\]"),
        ([1.0, 3], ValueError, "needs 3 values, but got 2"),
        (np.ones((2, 3)), ValueError, "needs 3 values, but got 2"),
        (1.0, TypeError, "dict or a vector.*1.0"),
        (None, TypeError, "dict or a vector"),
        ("abc", TypeError, "dict or a vector.*'abc'"),
    ],
)
def test_what_is_not_even_shaped_like_a_point(given, error, text):
    with pytest.raises(error, match=text):
        SPACE.check(given)
    assert not SPACE.contains(given)


@pytest.mark.parametrize(
    "bounds",
    [
        [(-5, 10), (0, 15)],
        ((-5, 10), (0, 15)),
        [[-5.0, 10.0], [0.0, 15.0]],
        np.array([[-5, 10], [0, 15]]),
        [np.array([-5, 10]), np.array([0, 15])],
        Bounds([-5, 0], [10, 15]),
    ],
)
def test_bounds_become_a_space_that_takes_a_vector(bounds):
    space = Space.of(bounds)
    assert space.parameters == {"x0": Float(-5.0, 10.0), "x1": Float(0.0, 15.0)}
    assert space.takes_vector


def test_bounds_with_one_number_for_all_are_broadcast():
    assert Space.of(Bounds(0, [1, 2])) == Space.of([(0, 1), (0, 2)])
    assert len(Space.of(Bounds(0, 1))) == 1


def test_a_space_stays_itself():
    assert Space.of(SPACE) is SPACE
    assert not SPACE.takes_vector


def test_names_may_be_anything_a_keyword_may_be():
    space = Space(self=Float(0, 1), cls=Int(0, 1))
    assert space.names == ("self", "cls")


@pytest.mark.parametrize(
    ("space", "error", "text"),
    [
        ({"a": Float(0, 1)}, TypeError, r"Space\(\*\*parameters\)"),
        ("ab", TypeError, "`space` must be a Space"),
        (5, TypeError, "`space` must be a Space.*int"),
        (None, TypeError, "`space` must be a Space.*NoneType"),
        ([], ValueError, "at least one parameter"),
        ([(0, 1, 2)], ValueError, r"\(low, high\) pairs.*\(0, 1, 2\)"),
        ([0, 1], ValueError, r"\(low, high\) pairs"),
        ((0, 1), ValueError, r"\(low, high\) pairs"),
        ([("a", "b")], TypeError, "`low` must be a number"),
        (Bounds(), ValueError, "finite"),
        (Bounds([0, 0], [1, np.inf]), ValueError, "finite"),
    ],
)
def test_what_is_not_a_space(space, error, text):
    with pytest.raises(error, match=text):
        Space.of(space)


@pytest.mark.parametrize(
    ("parameters", "error", "text"),
    [
        ({}, ValueError, "at least one parameter"),
        ({"a": (0, 1)}, TypeError, r"'a' must be a Float.*\(0, 1\)"),
        ({"a": Float(0, 1), "b": "x"}, TypeError, "'b' must be a Float.*'x'"),
    ],
)
def test_a_space_needs_parameters(parameters, error, text):
    with pytest.raises(error, match=text):
        Space(**parameters)


def test_many_points_have_the_coordinates_of_each_to_the_last_bit():
    space = Space(
        a=Float(-3.0, 0.7),
        b=Float(1e-9, 37.0, log=True),
        c=Int(-5, 90),
        e=Int(3, 10**9, log=True),
        k=Categorical(["x", 2, None, True, 0.5]),
    )
    points = [space.from_unit(u) for u in np.random.default_rng(0).random((200, 5))]
    np.testing.assert_array_equal(
        space.to_units(points), np.array([space.to_unit(point) for point in points])
    )
    assert space.to_units([]).shape == (0, 5)
