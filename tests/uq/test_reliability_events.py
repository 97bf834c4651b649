"""Which failures are asked for: thresholds that are refused, and events in their order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uq.reliability.events import Events, checked_thresholds


def test_one_threshold_and_several():
    t, several = checked_thresholds(-1.5, None)
    assert t.tolist() == [-1.5] and t.dtype == np.float64 and several is False
    t, several = checked_thresholds(0.0, [-2, 0, 1])
    assert t.tolist() == [-2.0, 0.0, 1.0] and t.dtype == np.float64 and several is True
    assert checked_thresholds(0.0, (3,))[0].tolist() == [3.0]


@pytest.mark.parametrize(
    "thresholds, message",
    [
        ([], "finite numbers in a row"),
        (1.0, "finite numbers in a row"),
        ([[0.0, 1.0]], "finite numbers in a row"),
        ([0.0, np.nan], "finite numbers in a row"),
        ([0.0, np.inf], "finite numbers in a row"),
        ([1.0, 0.0], r"must increase.*np.unique"),
        ([0.0, 0.0], r"must increase.*np.unique"),
    ],
)
def test_thresholds_that_are_refused(thresholds, message):
    with pytest.raises(ValueError, match=message):
        checked_thresholds(0.0, thresholds)


def test_wrong_types_and_both_at_once():
    with pytest.raises(TypeError, match="`thresholds` must be real numbers"):
        checked_thresholds(0.0, ["a"])
    with pytest.raises(TypeError, match="`threshold` must be a number"):
        checked_thresholds("a", None)
    with pytest.raises(ValueError, match="`threshold` must be finite"):
        checked_thresholds(np.nan, None)
    with pytest.raises(TypeError, match="either `threshold`"):
        checked_thresholds(1.0, [0.0, 1.0])


def test_margins_of_all_events_limit_state_by_limit_state():
    events = Events(2, np.array([-1.0, 0.0, 2.0]))
    assert events.n_events == 6
    g = np.array([[0.5, -3.0], [np.nan, 1.0]])
    expected = [
        [1.5, 0.5, -1.5, -2.0, -3.0, -5.0],
        [np.nan, np.nan, np.nan, 2.0, 1.0, -1.0],
    ]
    np.testing.assert_array_equal(events.margins(g), expected)
    assert events.limit_state_of.tolist() == [0, 0, 0, 1, 1, 1]
    assert events.threshold_of.tolist() == [-1.0, 0.0, 2.0] * 2


@given(st.integers(1, 20), st.integers(1, 30), st.integers(1, 12))
def test_some_events(n_limit_states, n_thresholds, most):
    events = Events(n_limit_states, np.arange(n_thresholds) * 1.0)
    some = events.some(most)
    assert 1 <= len(some) <= most and (np.diff(some) > 0).all()
    assert some[0] >= 0 and some[-1] < events.n_events
    limit_states = events.limit_state_of[some]
    if n_limit_states <= most:
        assert set(limit_states) == set(range(n_limit_states))
    thresholds = events.threshold_of[some]
    if 2 * n_limit_states <= most and n_thresholds > 1:
        for j in range(n_limit_states):
            own = thresholds[limit_states == j]
            assert own[0] == 0.0 and own[-1] == n_thresholds - 1
    if n_limit_states > most:  # the rarest event of some of them
        assert (thresholds == 0.0).all()


def test_all_events_are_taken_where_they_are_few():
    assert Events(2, np.arange(4.0)).some(8).tolist() == list(range(8))
    assert Events(1, np.zeros(1)).some(8).tolist() == [0]
