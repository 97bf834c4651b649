"""Fronts, hypervolumes and boxes against brute force on small sets, ties among them."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from strategies import fixed

from bayesopt.pareto import (
    boxes,
    hypervolume,
    hypervolume_trace,
    non_dominated,
    reference_point,
)

# Few different numbers: many ties, duplicates and points on the reference point.
LATTICE = st.tuples(st.integers(0, 7), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(-1, 4).map(float))
)


def dominates(a, b):
    return bool((a >= b).all() and (a > b).any())


def inclusion_exclusion(Y):
    """Volume above zero of what is below some row."""
    Y = np.maximum(Y, 0.0)
    return sum(
        (-1) ** (size + 1) * sum(np.prod(np.min(rows, axis=0)) for rows in combinations(Y, size))
        for size in range(1, len(Y) + 1)
    )


def trade_offs(n, m, seed):
    """Points on a sphere, none of which dominates another."""
    Y = np.abs(np.random.default_rng(seed).normal(size=(n, m)))
    return Y / np.linalg.norm(Y, axis=1, keepdims=True)


# -- fronts ----------------------------------------------------------------------------------------


@fixed
@given(LATTICE)
def test_a_point_is_on_the_front_unless_another_one_dominates_it(Y):
    expected = [not any(dominates(other, y) for other in Y) for y in Y]
    np.testing.assert_array_equal(non_dominated(Y), expected)


def test_equal_points_are_all_kept():
    Y = [[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [1.0, 1.0]]
    assert non_dominated(Y).tolist() == [True, True, True, False]


def test_a_row_that_is_not_finite_is_no_point():
    Y = np.array([[1.0, 2.0], [np.nan, 9.0], [np.inf, 0.0], [0.0, 1.0]])
    assert non_dominated(Y).tolist() == [True, False, False, False]
    assert hypervolume(Y, [0.0, 0.0]) == 2.0


def test_a_whole_sphere_is_a_front():
    assert non_dominated(trade_offs(500, 3, seed=0)).all()


# -- hypervolume -----------------------------------------------------------------------------------


@fixed
@given(LATTICE)
def test_hypervolume_is_that_of_inclusion_and_exclusion(Y):
    assert hypervolume(Y, np.zeros(Y.shape[1])) == inclusion_exclusion(Y)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_hypervolume_agrees_with_the_share_of_random_points(m):
    Y = trade_offs(15, m, seed=1)
    U = np.random.default_rng(2).uniform(size=(20_000, m))
    inside = (U[:, None] <= Y).all(axis=2).any(axis=1)
    assert hypervolume(Y, np.zeros(m)) == pytest.approx(
        inside.mean(), abs=4 * inside.std() / 20_000**0.5
    )


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_order_units_duplicates_and_dominated_points_change_nothing(m):
    rng = np.random.default_rng(m)
    Y, r = rng.normal(size=(12, m)), np.full(m, -1.0)
    expected = hypervolume(Y, r)
    worse = np.concatenate((Y, Y[:5] - rng.uniform(0, 1, (5, m)), Y[3:6]))
    assert hypervolume(rng.permutation(worse), r) == pytest.approx(expected, rel=1e-12)
    columns = rng.permutation(m)
    assert hypervolume(Y[:, columns], r[columns]) == pytest.approx(expected, rel=1e-12)
    unit, shift = rng.uniform(0.1, 10.0, m), rng.normal(size=m)
    moved = hypervolume(Y * unit + shift, r * unit + shift)
    assert moved == pytest.approx(expected * np.prod(unit), rel=1e-10)


def test_nothing_is_dominated_without_points_or_below_the_reference():
    assert hypervolume(np.empty((0, 3)), np.zeros(3)) == 0.0
    assert hypervolume([[1.0, 0.0, 5.0], [-1.0, 2.0, 2.0]], np.zeros(3)) == 0.0


@fixed
@given(LATTICE)
def test_the_trace_is_the_hypervolume_of_the_first_rows(Y):
    Y[::3] = np.nan
    r = np.full(Y.shape[1], 0.5)
    expected = [hypervolume(Y[: i + 1], r) for i in range(len(Y))]
    np.testing.assert_allclose(hypervolume_trace(Y, r), expected, rtol=1e-12)


def test_a_long_trace_never_falls_and_ends_at_the_hypervolume():
    Y = trade_offs(500, 2, seed=3) - np.random.default_rng(4).exponential(0.1, size=(500, 1))
    trace = hypervolume_trace(Y, [0.0, 0.0])
    assert (np.diff(trace) >= 0).all()
    assert trace[-1] == pytest.approx(hypervolume(Y, [0.0, 0.0]), rel=1e-12)


# -- the automatic reference point -----------------------------------------------------------------


def test_the_reference_lies_a_tenth_below_the_worst_of_the_front():
    Y = [[0.0, 10.0], [1.0, 6.0], [4.0, 0.0], [-50.0, -50.0], [np.nan, 0.0]]
    np.testing.assert_allclose(reference_point(Y), [-0.4, -1.0])


@pytest.mark.parametrize(
    ("Y", "expected"),
    [
        ([[2.0, 3.0], [1.0, -1.0]], [1.9, 2.6]),  # one point: the range of all
        ([[2.0, 3.0]], [1.8, 2.7]),
        ([[-2.0, 0.0], [-2.0, 0.0]], [-2.2, -0.1]),
        ([[1e9, 1.0], [1e9, 2.0]], [0.9e9, 1.9]),
    ],
)
def test_without_a_range_the_reference_still_lies_below(Y, expected):
    np.testing.assert_allclose(reference_point(Y), expected)


def test_the_whole_front_counts_above_the_automatic_reference():
    Y = np.random.default_rng(5).normal(size=(40, 3))
    r, mask = reference_point(Y), non_dominated(Y)
    front = Y[mask]
    assert (front > r).all()
    without = [hypervolume(np.delete(front, i, axis=0), r) for i in range(len(front))]
    assert max(without) < hypervolume(front, r)


# -- boxes -----------------------------------------------------------------------------------------


@fixed
@given(LATTICE)
def test_boxes_are_disjoint_and_cover_what_is_not_dominated(Y):
    """Every cell of the lattice lies in one box or, below some point, in none."""
    m = Y.shape[1]
    low, high = boxes(Y, np.zeros(m))
    cells = np.stack(np.meshgrid(*[np.arange(5) + 0.5] * m), axis=-1).reshape(-1, m)
    inside = ((cells[:, None] > low) & (cells[:, None] < high)).all(axis=2).sum(axis=1)
    points = Y[(Y > 0).all(axis=1)]
    dominated = (cells[:, None] < points).all(axis=2).any(axis=1)
    np.testing.assert_array_equal(inside, ~dominated)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_boxes_and_hypervolume_fill_the_space(m):
    Y, top = trade_offs(10, m, seed=6), np.full(m, 2.0)
    low, high = boxes(Y, np.zeros(m))
    rest = np.prod(np.minimum(high, top) - low, axis=1).sum()
    assert rest + hypervolume(Y, np.zeros(m)) == pytest.approx(2.0**m, rel=1e-12)


def test_there_are_few_boxes():
    """In two objectives one more than points; in three two a point, and one (general position)."""
    for n in (1, 5, 30):
        assert len(boxes(trade_offs(n, 2, seed=n), np.zeros(2))[0]) == n + 1
        assert len(boxes(trade_offs(n, 3, seed=n), np.zeros(3))[0]) == 2 * n + 1


@pytest.mark.parametrize("m", [1, 2, 3])
def test_without_points_one_box_is_all(m):
    low, high = boxes(np.empty((0, m)), np.arange(m))
    np.testing.assert_array_equal(low, [np.arange(m)])
    assert np.isinf(high).all() and high.shape == (1, m)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [hypervolume, hypervolume_trace, boxes])
def test_references_that_do_not_fit_are_refused(function):
    for reference in ([0.0], [0.0, np.nan], 0.0, [0.0, -np.inf]):
        with pytest.raises(ValueError, match="2 finite numbers, one per objective"):
            function(np.ones((3, 2)), reference)


def test_scores_of_another_shape_are_refused():
    for function in (non_dominated, reference_point):
        with pytest.raises(ValueError, match=r"must have the shape \(points, objectives\)"):
            function([1.0, 2.0])
    with pytest.raises(ValueError, match="`front` must have the shape"):
        boxes(np.ones(3), [0.0])
    with pytest.raises(ValueError, match="at least one finite row"):
        reference_point([[np.nan, 1.0]])
