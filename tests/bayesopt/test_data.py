"""Trials to tensors: sign, units, noise and truncation against their closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import fixed

from bayesopt.data import (
    Dataset,
    Scaling,
    complete,
    dataset,
    observed_values,
    poor_from,
)
from bayesopt.parameter import Categorical, Float
from bayesopt.space import Space
from bayesopt.trial import Evaluation, Trial, TrialState

SPACE = Space(x=Float(0, 10), kind=Categorical(["a", "b", "c"]))


def _truncated(score, c):
    return np.maximum(score, poor_from(score, c))


def trials_of(values, sds=None):
    sds = sds or [None] * len(values)
    return [
        Trial(k, {"x": float(k), "kind": "abc"[k % 3]}, TrialState.COMPLETE, Evaluation(v, sd))
        for k, (v, sd) in enumerate(zip(values, sds, strict=True))
    ]


def test_only_complete_trials_in_the_order_of_their_numbers():
    first, second, third = trials_of([3.0, 1.0, 2.0])
    running = Trial(3, {"x": 3.0, "kind": "a"})
    failed = Trial(4, {"x": 4.0, "kind": "a"}, TrialState.FAILED, reason="boom")
    everything = [failed, third, running, first, second]
    assert complete(everything) == [first, second, third]
    np.testing.assert_array_equal(observed_values(everything), [3.0, 1.0, 2.0])
    data = dataset(SPACE, everything, "minimize", False)
    expected = torch.tensor([[0.0, 0.0], [0.1, 0.5], [0.2, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(data.X, expected)
    assert data.categories == ((1, 3),)
    assert len(data) == 3


@pytest.mark.parametrize(("direction", "sign"), [("minimize", -1.0), ("maximize", 1.0)])
def test_scores_are_standardised_and_larger_is_better(direction, sign):
    values = np.array([1.0, 2.0, 6.0])
    data = dataset(SPACE, trials_of(values), direction, "auto")
    expected = sign * (values - 3.0) / math.sqrt(14.0 / 3.0)
    np.testing.assert_allclose(data.Y[:, 0].numpy(), expected, rtol=1e-14)


@fixed
@given(
    st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=8),
    st.sampled_from([1e-300, 1e-5, 1.0, 1e12, 1e300]),
    st.sampled_from(["minimize", "maximize"]),
)
def test_values_come_back_in_their_own_units(relative, unit, direction):
    values = unit * np.array(relative)
    data = dataset(SPACE, trials_of(values), direction, False)
    assert bool(torch.isfinite(data.Y).all())
    tolerance = 1e-14 * np.abs(values).max()
    np.testing.assert_allclose(data.scaling.value(data.Y[:, 0].numpy()), values, 0, tolerance)
    np.testing.assert_allclose(data.scaling.score(values), data.Y[:, 0].numpy(), 0, 1e-9)
    sd = np.array([1e-3 * unit])
    np.testing.assert_allclose(data.scaling.value_sd(data.scaling.score_sd(sd)), sd, rtol=1e-12)


def test_scaling_in_numbers():
    scaling = Scaling(sign=-1.0, unit=10.0, shift=0.5, scale=0.25)
    np.testing.assert_array_equal(scaling.score(np.array([0.0, 5.0])), [2.0, 0.0])
    np.testing.assert_array_equal(scaling.value(np.array([2.0, 0.0])), [0.0, 5.0])
    np.testing.assert_array_equal(scaling.score_sd(np.array([5.0])), [2.0])
    np.testing.assert_array_equal(scaling.value_sd(np.array([2.0])), [5.0])


@pytest.mark.parametrize("value", [0.0, 0.1, -1e300, 1e-300, 3.0])
@pytest.mark.parametrize("n", [1, 3, 7])
def test_equal_values_have_score_zero(value, n):
    data = dataset(SPACE, trials_of([value] * n), "minimize", "auto", truncate=2.0)
    assert float(data.Y.abs().max()) < 1e-14
    np.testing.assert_allclose(data.scaling.value(data.Y[:, 0].numpy()), value, rtol=1e-14)


def test_noise_is_unknown_none_or_in_units_of_the_scores():
    trials = trials_of([0.0, 4.0])  # standard deviation 2

    def sd(noise, trials=trials):
        return dataset(SPACE, trials, "minimize", noise).Yvar.sqrt().squeeze(-1).numpy()

    assert np.isnan(sd("auto")).all()
    np.testing.assert_array_equal(sd(False), [0.0, 0.0])
    np.testing.assert_allclose(sd(0.5), [0.25, 0.25], rtol=1e-14)
    own = trials_of([0.0, 4.0], [1.0, None])
    np.testing.assert_allclose(sd(0.5, own), [0.5, 0.25], rtol=1e-14)
    np.testing.assert_allclose(sd("auto", own), [0.5, np.nan], rtol=1e-14)
    np.testing.assert_allclose(sd(False, own), [0.5, 0.0], rtol=1e-14)
    assert dataset(SPACE, own, "minimize", "auto").noise_is_inferred
    assert not dataset(SPACE, own, "minimize", False).noise_is_inferred


@pytest.mark.parametrize("unit", [1e-310, 1e-300, 1.0])
@pytest.mark.parametrize("values", [[0.0, 1.0], [1.0, 1.0 + 1e-13]])
def test_noise_far_beyond_the_values_stays_finite(unit, values):
    data = dataset(SPACE, trials_of([unit * v for v in values]), "minimize", 1e3)
    variance = data.Yvar.numpy()
    assert np.isfinite(variance).all() and (variance > 0).all()


@fixed
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=9), st.sampled_from([0.5, 2.0]))
def test_truncation_raises_the_poor_ones_and_keeps_the_order(scores, c):
    score = np.array(scores)
    median, best = np.median(score), score.max()
    floor = median - c * (best - median)
    assume(best > median)
    np.testing.assert_array_equal(_truncated(score, c), np.where(score < floor, floor, score))


def test_truncation_in_numbers():
    np.testing.assert_array_equal(_truncated(np.array([-1e6, -2.0, 0.0]), 2.0), [-6, -2, 0])
    more_than_half_best = np.array([-1e6, 0.0, 0.0])
    np.testing.assert_array_equal(_truncated(more_than_half_best, 2.0), more_than_half_best)


def test_a_hopeless_value_does_not_flatten_the_others():
    data = dataset(SPACE, trials_of([0.0, 1.0, 2.0, 1e300]), "minimize", False, truncate=2.0)
    Y = data.Y[:, 0].numpy()
    # median 1.5, best 0: everything above 1.5 + 2 * 1.5 = 4.5 counts as 4.5
    expected = -np.array([0.0, 1.0, 2.0, 4.5])
    np.testing.assert_allclose(Y, (expected - expected.mean()) / expected.std(), rtol=1e-12)
    np.testing.assert_allclose(data.scaling.value(Y), -expected, rtol=1e-12, atol=1e-14)


def test_truncation_at_the_end_of_the_range():
    largest = np.finfo(float).max
    score = np.array([-largest, -largest, 1.0, 2.0, 3.0])
    np.testing.assert_array_equal(_truncated(score, 2.0), [-3.0, -3.0, 1.0, 2.0, 3.0])
    score = np.array([-largest, -largest, -largest, largest])
    np.testing.assert_array_equal(_truncated(score, 2.0), score)


def test_a_dataset_is_checked():
    X, Y = torch.zeros(2, 1, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
    scaling = Scaling(1.0, 1.0, 0.0, 1.0)
    with pytest.raises((TypeError, ValueError), match="Y"):
        Dataset(X, Y[:1], Y, (), scaling)
    with pytest.raises(ValueError, match="finite"):
        Dataset(X, Y.log(), Y, (), scaling)


def test_what_is_beyond_the_largest_number_comes_back_as_that():
    data = Scaling(-1.0, 1.7e308, 0.2, 0.9)
    largest = np.finfo(np.float64).max
    assert data.value(np.array([3.0, -3.0, 0.0])).tolist() == [-largest, largest, 0.2 * 1.7e308]
    assert data.value_sd(np.array([9.0])).tolist() == [largest]
