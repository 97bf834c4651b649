"""Bounds on outcomes: how they are written, what meets them, which evaluations fit them."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from bayesopt.evaluation import Evaluation
from bayesopt.outcome_constraints import OutcomeConstraints

GIVEN = {"power": (1, None), "latency": (None, 5.0), "temperature": [20, np.float64(30)]}
CONSTRAINTS = OutcomeConstraints.of(GIVEN)


def test_bounds_are_read_in_an_order_of_their_own():
    assert CONSTRAINTS.names == ("latency", "power", "temperature") and len(CONSTRAINTS) == 3
    np.testing.assert_array_equal(CONSTRAINTS.low, [-np.inf, 1, 20])
    np.testing.assert_array_equal(CONSTRAINTS.high, [5, np.inf, 30])
    other = OutcomeConstraints.of(dict(reversed(GIVEN.items())) | {"latency": (-np.inf, 5)})
    assert other == CONSTRAINTS and hash(other) == hash(CONSTRAINTS)
    assert OutcomeConstraints.of(CONSTRAINTS) is CONSTRAINTS
    assert not OutcomeConstraints.of(None) and OutcomeConstraints.of({}) == OutcomeConstraints()


def test_they_come_back_from_text():
    described = json.loads(json.dumps(CONSTRAINTS.to_json(), allow_nan=False))
    assert described["latency"] == [None, 5.0]
    assert OutcomeConstraints.from_json(described) == CONSTRAINTS
    assert pickle.loads(pickle.dumps(CONSTRAINTS)) == CONSTRAINTS


def test_bounds_belong_to_what_is_allowed():
    values = np.array([[5.0, 1.0, 20.0], [5.1, 1.0, 25.0], [-9, 0.5, 32], [0, 9e9, 30]])
    assert CONSTRAINTS.holds(values).tolist() == [True, False, False, True]
    far = CONSTRAINTS.violations(values)
    np.testing.assert_allclose(far, [[0, 0, 0], [0.1, 0, 0], [0, 0.5, 2], [0, 0, 0]], atol=1e-12)
    np.testing.assert_array_equal((far == 0).all(axis=1), CONSTRAINTS.holds(values))


def test_without_constraints_everything_is_allowed():
    none = OutcomeConstraints()
    observed = none.observed([Evaluation(1.0), Evaluation(2.0)])
    assert observed.shape == (2, 0) and none.holds(observed).tolist() == [True, True]
    assert none.observed([]).shape == (0, 0) and CONSTRAINTS.observed([]).shape == (0, 3)


def test_observed_values_are_columns_by_name():
    one = Evaluation(0.0, constraints={"temperature": 3, "power": (2, 0.1), "latency": 1})
    np.testing.assert_array_equal(CONSTRAINTS.observed([one, one]), [[1, 2, 3]] * 2)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ([("a", 1)], TypeError, "must be a dict of bounds by name, like"),
        ("latency", TypeError, "must be a dict"),
        ({1: (0, 1)}, TypeError, "must be strings, but got 1"),
        ({"": (0, 1)}, ValueError, "is empty"),
        ({"a": 5.0}, TypeError, r"\['a'\]` must be two bounds, but got 5.0: write a \(low, high\)"),
        ({"a": (1, 2, 3)}, TypeError, "must be two bounds"),
        ({"a": "12"}, TypeError, "must be two bounds"),
        ({"a": {"low": 1, "high": 2}}, TypeError, "must be two bounds"),
        ({"a": (None, None)}, ValueError, "no bound at all: give at least one, or leave 'a' out"),
        ({"a": (-np.inf, np.inf)}, ValueError, "no bound at all"),
        ({"a": (5, 3)}, ValueError, r"the wrong way round, 5 > 3: did you mean \(3, 5\)\?"),
        ({"a": (np.inf, None)}, ValueError, "can never be met"),
        ({"a": (None, -np.inf)}, ValueError, "can never be met"),
        ({"a": (3, 3.0)}, ValueError, r"exactly 3, .*: allow a range, like \(3 - tolerance"),
        ({"a": ("0", 1)}, TypeError, "must be a number, but str"),
        ({"a": (True, 2)}, TypeError, "must be a number, but bool"),
        ({"a": (np.nan, 2)}, ValueError, "is NaN"),
    ],
)
def test_wrong_bounds_are_refused(given, error, text):
    with pytest.raises(error, match=text):
        OutcomeConstraints.of(given)


def test_an_evaluation_with_exactly_the_declared_names_fits():
    CONSTRAINTS.check(Evaluation(1.0, constraints=dict.fromkeys(GIVEN, 1.0)))
    OutcomeConstraints().check(Evaluation(1.0))


@pytest.mark.parametrize(
    ("came", "texts"),
    [
        (None, ["no value of the constraints 'latency', 'power', 'temperature'; return"]),
        ({"latency": 1, "power": 1}, ["no value of the constraint 'temperature'", "Evaluation("]),
        (
            {"lattency": 1, "power": 1, "temperature": 1},
            ["no value of the constraint 'latency'", "'lattency'", "did you mean 'latency'?"],
        ),
        ({**dict.fromkeys(GIVEN, 1), "xyz": 2}, ["a value of 'xyz', but the", "'temperature']."]),
    ],
)
def test_other_names_are_refused(came, texts):
    with pytest.raises(ValueError) as caught:
        CONSTRAINTS.check(Evaluation(1.0, constraints=came))
    assert all(text in str(caught.value) for text in texts)


def test_constraints_that_were_not_declared_are_refused():
    with pytest.raises(ValueError, match=r"values of the constraints \['a'\], but .* declare them"):
        OutcomeConstraints().check(Evaluation(1.0, constraints={"a": 1}))


def test_it_does_without_torch():
    code = "import sys, bayesopt.outcome_constraints; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
