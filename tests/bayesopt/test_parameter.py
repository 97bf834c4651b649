"""Parameters: round trips to [0, 1], lattices with equal shares, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import UNIT, categoricals, fixed, floats, ints

from bayesopt.parameter import Categorical, Float, Int

EPS = float(np.finfo(float).eps)


@fixed
@given(floats(), UNIT)
def test_float_round_trip(parameter, u):
    value = parameter.from_unit(u)
    assert parameter.low <= value <= parameter.high
    unit = parameter.to_unit(value)
    assert 0.0 <= unit <= 1.0
    if parameter.log:  # rounding of log(value) is a relative error of the value
        largest_log = max(abs(math.log(parameter.low)), abs(math.log(parameter.high)))
        tolerance = 8 * EPS * (1 + largest_log) * value
    else:
        tolerance = 4 * EPS * max(abs(parameter.low), abs(parameter.high))
    assert parameter.from_unit(unit) == pytest.approx(value, rel=0, abs=tolerance + 5e-324)


@fixed
@given(floats())
def test_float_bounds_are_the_ends_of_the_unit_interval(parameter):
    assert parameter.to_unit(parameter.low) == 0.0
    assert parameter.to_unit(parameter.high) == 1.0
    ends = np.array([parameter.from_unit(0.0), parameter.from_unit(1.0)])
    np.testing.assert_allclose(ends, [parameter.low, parameter.high], rtol=1e-12)
    assert parameter.check(ends[0]) == ends[0] and parameter.check(ends[1]) == ends[1]


def test_float_middle():
    assert Float(-5, 15).from_unit(0.25) == 0.0
    assert Float(1e-4, 1e2, log=True).from_unit(0.5) == pytest.approx(0.1, rel=1e-14)
    assert Float(1e-300, 1e300, log=True).to_unit(1.0) == pytest.approx(0.5, abs=1e-15)


@fixed
@given(ints(), st.data())
def test_int_round_trip_is_exact(parameter, data):
    value = data.draw(st.integers(parameter.low, parameter.high))
    unit = parameter.to_unit(value)
    assert 0.0 <= unit <= 1.0
    assert parameter.from_unit(unit) == value
    assert type(parameter.from_unit(unit)) is int


@fixed
@given(st.integers(-(2**53), 2**53), st.integers(-(2**53), 2**53), st.booleans(), UNIT)
def test_wide_int_round_trip(low, high, log, u):
    low, high = min(low, high), max(low, high)
    if log:
        low, high = abs(low) + 1, abs(low) + 1 + abs(high)
    assume(low < high <= 2**53)
    parameter = Int(low, high, log)
    value = parameter.from_unit(u)
    assert parameter.check(value) == value
    back = parameter.from_unit(parameter.to_unit(value))
    size = value * math.log(high) if log else parameter.size
    assert back == pytest.approx(value, rel=0, abs=max(8 * EPS * size, 0.5))


@fixed
@given(categoricals)
def test_categorical_round_trip_keeps_value_and_type(parameter):
    for choice in parameter.choices:
        back = parameter.from_unit(parameter.to_unit(choice))
        assert back == choice and type(back) is type(choice)


@fixed
@given(ints(largest=10**4) | categoricals)
def test_snap_leaves_every_lattice_point_where_it_is(parameter):
    lattice = parameter.unit_of(np.arange(parameter.size))
    np.testing.assert_array_equal(parameter.snap(lattice), lattice)


@pytest.mark.parametrize(
    "parameter", [Int(0, 1), Int(-3, 6), Int(1, 50), Categorical(["a"]), Categorical([1, 2, 3])]
)
def test_values_of_a_lattice_get_equal_shares(parameter):
    n = 100 * parameter.size
    snapped = parameter.snap((np.arange(n) + 0.5) / n)
    counts = np.bincount(parameter.index_of(snapped), minlength=parameter.size)
    np.testing.assert_array_equal(counts, 100)


@pytest.mark.parametrize("parameter", [Int(1, 10, log=True), Int(5, 200, log=True)])
def test_shares_of_a_logarithmic_int_are_equal_on_its_scale(parameter):
    n = 100_000
    counts = np.bincount(parameter.index_of(parameter.snap((np.arange(n) + 0.5) / n)))
    value = np.arange(parameter.low, parameter.high + 1)
    shares = np.log((value + 1) / value) / np.log((parameter.high + 1) / parameter.low)
    np.testing.assert_allclose(counts / n, shares, atol=2 / n)


def test_choices_of_numpy_become_plain_values():
    parameter = Categorical(np.array([1, 2, 4]))
    assert parameter.choices == (1, 2, 4)
    assert {type(choice) for choice in parameter.choices} == {int}


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Float(1, 1), ValueError, "smaller"),
        (lambda: Float(2, 1), ValueError, r"Float\(2, 1\).*`low` must be smaller than `high`"),
        (lambda: Float(np.nan, 1), ValueError, "finite"),
        (lambda: Float(0, np.nan), ValueError, "finite"),
        (lambda: Float(-np.inf, 0), ValueError, "finite"),
        (lambda: Float(-1e308, 1e308), ValueError, "wider than a float64"),
        (lambda: Float(0, 1, log=True), ValueError, "low > 0.*low=0"),
        (lambda: Float(-1, 1, log=True), ValueError, "low > 0"),
        (lambda: Float(1e300, np.nextafter(1e300, np.inf), log=True), ValueError, "narrow"),
        (lambda: Float(True, 2), TypeError, "`low` must be a number"),
        (lambda: Float(0, "1"), TypeError, "`high` must be a number"),
        (lambda: Int(3, 3), ValueError, "smaller"),
        (lambda: Int(0.5, 3), ValueError, "whole number.*0.5"),
        (lambda: Int(0, np.inf), ValueError, "finite"),
        (lambda: Int(0, 10, log=True), ValueError, "low >= 1.*low=0"),
        (lambda: Int(0, 2**53 + 1), ValueError, r"2\*\*53"),
        (lambda: Int(0, 10**400), TypeError, "must be a number"),
        (lambda: Categorical([]), ValueError, "at least one choice"),
        (lambda: Categorical(["a", "b", "a"]), ValueError, "'a' stands twice"),
        (lambda: Categorical([1, True]), ValueError, "stands twice"),
        (lambda: Categorical(["a", np.nan]), ValueError, "NaN"),
        (lambda: Categorical("abc"), TypeError, "list of choices.*'abc'"),
        (lambda: Categorical([("a", 1)]), TypeError, r"\('a', 1\); name your objects"),
    ],
)
def test_what_is_not_a_parameter(make, error, text):
    with pytest.raises(error, match=text):
        make()
