"""What one evaluation may give, and what a trial says about it."""

import json
import pickle
from dataclasses import FrozenInstanceError
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from bayesopt.trial import Evaluation, Trial, TrialState


@pytest.mark.parametrize(
    "returned",
    [
        2,
        2.0,
        np.float32(2),
        np.int64(2),
        np.array(2.0),
        torch.tensor(2.0),
        torch.tensor(2.0, requires_grad=True),
        Decimal(2),
        Fraction(4, 2),
        (2.0, None),
        Evaluation(2.0),
    ],
)
def test_one_number_of_any_kind(returned):
    evaluation = Evaluation.of(returned)
    assert evaluation == Evaluation(2.0, None)
    assert type(evaluation.value) is float


@pytest.mark.parametrize("returned", [(2, 0), (2, 0.0), (np.float32(2), np.array(0))])
def test_mean_and_standard_error(returned):
    evaluation = Evaluation.of(returned)
    assert (evaluation.value, evaluation.sd) == (2.0, 0.0)
    assert type(evaluation.sd) is float


@pytest.mark.parametrize("value", [1e300, -1e300, 1e-300, 5e-324, 0.0, -0.0])
def test_extreme_values_stay_as_they_are(value):
    assert Evaluation.of(value).value == value


@pytest.mark.parametrize(
    ("returned", "error", "text"),
    [
        ("0.5", TypeError, "must be a number, but str '0.5' came"),
        (None, TypeError, "must be a number, but NoneType None came"),
        (True, TypeError, "must be a number, but bool True came"),
        (np.True_, TypeError, "must be a number"),
        (1 + 2j, TypeError, "must be a number, but complex"),
        (np.complex64(1), TypeError, "must be a number"),
        (np.array(1j), TypeError, "must be a number"),
        (np.array("3"), TypeError, "must be a number"),
        (np.array(True), TypeError, "must be a number"),
        (object(), TypeError, "must be a number, but object"),
        ([1.0], TypeError, "must be a number, but list"),
        ({"loss": 1.0}, TypeError, "must be a number, but dict"),
        (np.ones(1), TypeError, r"must be one number, but an array of shape \(1,\) came"),
        (np.ones((2, 3)), TypeError, r"shape \(2, 3\)"),
        (torch.ones(1), TypeError, r"shape \(1,\)"),
        ((1.0,), TypeError, r"must be \(mean, sd\), but one of 1 values"),
        ((1.0, 2.0, 3.0), TypeError, "one of 3 values"),
        (("a", 1.0), TypeError, "The value must be a number"),
        ((1.0, "a"), TypeError, "`sd` must be a number"),
        (np.nan, ValueError, "must be finite, but it is nan"),
        (np.inf, ValueError, "must be finite, but it is inf"),
        (-np.inf, ValueError, "must be finite"),
        ((np.nan, 1.0), ValueError, "The value must be finite"),
        ((1.0, -0.1), ValueError, "`sd` must be finite and >= 0, but is -0.1"),
        ((1.0, np.nan), ValueError, "`sd` must be finite"),
        ((1.0, np.inf), ValueError, "`sd` must be finite"),
        (10**400, ValueError, "beyond the range of a float64"),
    ],
)
def test_everything_else_is_refused_with_what_came(returned, error, text):
    with pytest.raises(error, match=text):
        Evaluation.of(returned)


def test_a_trial_knows_its_value():
    running = Trial(3, {"x": 1.0})
    assert running.state is TrialState.RUNNING
    assert running.value is None and running.reason is None
    assert Trial(3, {"x": 1.0}, TrialState.COMPLETE, Evaluation(2.0, 0.1)).value == 2.0


def test_states_read_as_words():
    assert [str(state) for state in TrialState] == ["running", "complete", "failed"]


def test_a_trial_cannot_be_rewritten_but_can_be_sent_elsewhere():
    trial = Trial(0, {"x": 1.0}, TrialState.COMPLETE, Evaluation(2.0))
    with pytest.raises(FrozenInstanceError):
        trial.state = TrialState.FAILED
    assert pickle.loads(pickle.dumps(trial)) == trial


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ([0.1, -2.5], ((0.1, -2.5),)),
        ([[0.1, -2.5]], ((0.1, -2.5),)),
        ([[0.1], [0.2, 0.3]], ((0.1,), (0.2, 0.3))),
        ([], ()),
    ],
)
def test_hyperparameters_are_those_of_every_model_and_old_ones_of_the_only_one(stored, read):
    described = Trial(0, {"x": 1.0}).to_json() | {"hyperparameters": stored}
    assert Trial.from_json(described).hyperparameters == read
    again = Trial.from_json(json.loads(json.dumps(Trial.from_json(described).to_json())))
    assert again.hyperparameters == read
