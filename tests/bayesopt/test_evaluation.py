"""Evaluations of several objectives and with constraints: what is kept, stored and refused."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import fixed

from bayesopt.evaluation import Evaluation, NotFinite
from bayesopt.given_results import given_results
from bayesopt.trial import Trial, TrialState


@pytest.mark.parametrize(
    "value",
    [
        (1, 2.5),
        [1.0, 2.5],
        [np.float32(1), torch.tensor(2.5)],
        np.array([1, 2.5]),
        np.array([1, 2.5], dtype=object),
        torch.tensor([1, 2.5], requires_grad=True),
    ],
)
def test_several_values_of_any_kind_are_kept_as_a_tuple_of_floats(value):
    for evaluation in (Evaluation(value), Evaluation.of(value, 2)):
        assert evaluation == Evaluation((1.0, 2.5)) and not evaluation.is_one
        assert evaluation.values == evaluation.value == (1.0, 2.5)
        assert [type(one) for one in evaluation.value] == [float, float]
        assert evaluation.sd is None and evaluation.sds == (None, None)


def test_one_value_can_be_read_like_several():
    assert Evaluation(2.0).values == (2.0,) and Evaluation(2.0).sds == (None,)
    assert Evaluation(2.0, 0.5).sds == (0.5,) and Evaluation(2.0).is_one


@pytest.mark.parametrize(
    ("sd", "kept"),
    [
        (0.5, (0.5, 0.5)),
        (np.array(0.5), (0.5, 0.5)),
        ([0.5, None], (0.5, None)),
        (np.array([np.nan, 0]), (None, 0.0)),
        ([None, np.nan], None),
        (None, None),
    ],
)
def test_standard_errors_of_several_values(sd, kept):
    assert Evaluation((1, 2), sd).sd == kept


def test_constraints_are_kept_as_numbers_and_known_standard_errors():
    given_pairs = {"a": 1, "b": (np.float32(2), 0.5), "c": (3.0, None), "d": [4, np.nan]}
    evaluation = Evaluation(0.0, constraints=given_pairs)
    assert evaluation.constraints == {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    assert {type(number) for number in evaluation.constraints.values()} == {float}
    assert evaluation.constraint_sd == {"b": 0.5}
    apart = Evaluation(0.0, constraints={"a": 1, "b": 2, "c": 3, "d": 4}, constraint_sd={"b": 0.5})
    assert apart == evaluation == replace(evaluation) and hash(apart) == hash(evaluation)
    assert Evaluation(0.0, constraints={}) == Evaluation(0.0)
    assert Evaluation(0.0, constraints={"a": 1}) != Evaluation(0.0, constraints={"a": 2})
    given_pairs["a"] = 7
    assert evaluation.constraints["a"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"value": (1, np.nan)}, NotFinite, r"`value\[1\]` must be finite, but it is nan"),
        ({"value": (1, "a")}, TypeError, r"`value\[1\]` must be a number, but str"),
        ({"value": (1, (2, 0.1))}, TypeError, r"`value\[1\]` must be a number, but tuple"),
        ({"value": np.array([True, False])}, TypeError, "must be a number"),
        ({"value": np.ones((2, 2))}, TypeError, r"shape \(2, 2\)"),
        ({"value": [1.0]}, TypeError, "must be a number, but list"),
        ({"value": (1, 2), "sd": [1, 2, 3]}, ValueError, "2 values need one `sd` .* but 3 came"),
        ({"value": (1, 2), "sd": [1, -1]}, ValueError, r"`sd\[1\]` must be finite and >= 0"),
        ({"value": (1, 2), "sd": np.nan}, ValueError, "`sd` must be finite"),
        ({"value": 1, "sd": [1, 2]}, TypeError, "`sd` must be a number"),
        ({"value": (1, 2), "gradient": [1.0]}, ValueError, "one objective, but 2 values"),
        ({"constraints": {"a": np.inf}}, NotFinite, "constraint 'a' must be finite, but it is inf"),
        ({"constraints": {"a": None}}, TypeError, "constraint 'a' must be a number"),
        ({"constraints": {"a": (1, 2, 3)}}, TypeError, r"'a' must be a number or \(number"),
        ({"constraints": {"a": (1, -2)}}, ValueError, "error of 'a' must be finite and >= 0"),
        ({"constraints": {1: 2}}, TypeError, "names that are no strings"),
        ({"constraints": {"": 2}}, TypeError, "names that are no strings"),
        ({"constraints": [1.0]}, TypeError, "dict of numbers by the names of the constraints"),
        ({"constraint_sd": {"a": 1}}, ValueError, r"has 'a', but the `constraints` are \[\]"),
        ({"constraints": {"a": (1, 2)}, "constraint_sd": {"a": 1}}, ValueError, "'a' came twice"),
    ],
)
def test_what_cannot_be_is_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        Evaluation(**{"value": 0.0} | arguments)


@pytest.mark.parametrize(
    ("returned", "n_values", "error", "text"),
    [
        ((1, 2, 3), 2, ValueError, "has 2 objectives, but 3 values came"),
        (1.0, 2, ValueError, "has 2 objectives, but 1 value came"),
        (Evaluation((1, 2)), 3, ValueError, "has 3 objectives, but 2 values came"),
        (Evaluation((1, 2)), 1, ValueError, "has 1 objective, but 2 values came"),
        ([1, 2], 1, TypeError, r"must be one number, but \[1, 2\] came.*`direction` for each"),
        (torch.ones(2), 1, TypeError, r"array of shape \(2,\) came.*`direction` for each"),
        ((1, 2, 3), 1, TypeError, "one of 3 values came.*`direction` for each"),
        ({"loss": 1}, 1, TypeError, r"dict .* came; return bayesopt.Evaluation\(value, constraint"),
        ({"loss": 1, "b": 2}, 2, TypeError, r"return bayesopt.Evaluation\(value, constraints"),
        ("ab", 2, TypeError, "must be a number, but str"),
    ],
)
def test_another_number_of_values_is_refused(returned, n_values, error, text):
    with pytest.raises(error, match=text):
        Evaluation.of(returned, n_values)


numbers = st.floats(allow_nan=False, allow_infinity=False)
sds = st.none() | st.floats(0.0, 1e308)
constraints = st.none() | st.dictionaries(st.text(min_size=1), st.tuples(numbers, sds), max_size=3)
one = st.builds(
    Evaluation,
    numbers,
    sds,
    gradient=st.none() | st.dictionaries(st.text(), numbers, max_size=2),
    constraints=constraints,
)
evaluations = one | st.lists(st.tuples(numbers, sds), min_size=2, max_size=4).flatmap(
    lambda rows: st.builds(
        Evaluation,
        st.just([value for value, _ in rows]),
        st.just([sd for _, sd in rows]),
        constraints=constraints,
    )
)


@fixed
@given(evaluations)
def test_round_trips(evaluation):
    trial = Trial(0, {"x": 1.0}, TrialState.COMPLETE, evaluation)
    read = Trial.from_json(json.loads(json.dumps(trial.to_json())))
    assert read == trial == pickle.loads(pickle.dumps(trial))
    assert type(read.value) is type(trial.value) and trial.value == evaluation.value
    assert hash(evaluation) == hash(read.evaluation)


@pytest.mark.parametrize(
    ("evaluation", "written"),
    [
        (Evaluation(1.0), [1.0, None]),
        (Evaluation(1.0, 0.5, {"x": 2.0}), [1.0, 0.5, {"x": 2.0}]),
        (Evaluation((1.0, 2.0)), [[1.0, 2.0], None]),
        (Evaluation(1.0, constraints={"a": 2}), [1.0, None, None, None, {"a": 2.0}]),
    ],
)
def test_it_is_written_short(evaluation, written):
    trial = Trial(0, {}, TrialState.COMPLETE, evaluation)
    assert json.loads(json.dumps(trial.to_json()))["evaluation"] == written


@pytest.mark.parametrize("written", [[1.0, 0.5], [1.0, 0.5, {"x": 2.0}, None]])
def test_what_earlier_versions_wrote_is_read(written):
    trial = Trial.from_json({"number": 0, "params": {}, "state": "complete", "evaluation": written})
    assert trial.evaluation == Evaluation(*written)


# -- many at once ----------------------------------------------------------------------------------


def results(*arguments, **options):
    ended = given_results(*arguments, **options)
    return [fields.get("evaluation", fields.get("reason")) for fields in ended]


def test_many_values_with_constraints_at_once():
    expected = [
        Evaluation((1.0, 2.0), (0.1, None), constraints={"a": (5.0, 0.5), "b": 7.0}),
        Evaluation((3.0, 4.0), constraints={"a": 6.0, "b": 8.0}),
        "`value[0]` must be finite, but it is nan.",
        "The constraint 'b' must be finite, but it is nan.",
    ]
    y = [[1, 2], [3, 4], [np.nan, 1], [1, 1]]
    sd = [[0.1, None], [np.nan, np.nan], [1, 1], [1, 1]]
    columns = {"a": [5, 6, 7, 8], "b": np.array([7, 8, np.nan, np.nan])}
    errors = {"a": [0.5, None, np.nan, 1]}
    rows = [{"a": (5, 0.5), "b": 7}, {"a": 6, "b": 8}, {}, {"b": np.nan}]
    by_name = results(4, y, sd, n_values=2, constraints=columns, constraint_sd=errors)
    assert by_name == results(4, y, sd, n_values=2, constraints=rows) == expected
    assert results(2, expected[:2], n_values=2) == expected[:2]


def test_one_standard_error_for_all_of_a_constraint():
    (first, second) = results(2, [1, 2], constraints={"a": [3, 4]}, constraint_sd={"a": 0.5})
    assert first.constraint_sd == second.constraint_sd == {"a": 0.5}


@pytest.mark.parametrize(
    ("y", "options", "text"),
    [
        (
            [1, 2],
            {"n_values": 2},
            r"2 points and 2 objectives need \(2, 2\) values, but y is \(2,\)",
        ),
        ([[1, 2], [3, 4]], {}, r"2 points need as many values, but y is \(2, 2\)"),
        ([[1, 2, 3]] * 2, {"n_values": 2}, r"y is \(2, 3\)"),
        ([[1, 2]] * 2, {"n_values": 2, "sd": [1, 1]}, r"one `sd` or as many as values, not \(2,\)"),
        ([1, 2], {"constraints": {"a": [1]}}, r"2 points .*`constraints\['a'\]`, but \(1,\) came"),
        ([1, 2], {"constraints": {"a": 1}}, r"2 points .*, but \(\) came"),
        ([1, 2], {"constraints": [{"a": 1}]}, "as many rows or dicts of `constraints`, but 1 came"),
        ([Evaluation(1)] * 2, {"sd": 1}, "brings its standard error"),
        ([Evaluation(1)], {}, "2 points need as many .* of `y`, but 1 came"),
        ([Evaluation(1), Evaluation((1, 2))], {}, "1 objective, but 2 values"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(y, options, text):
    with pytest.raises(ValueError, match=text):
        given_results(2, y, **options)


# -- cost and trace ------------------------------------------------------------------------------


def test_a_cost_and_a_trace_are_kept_and_come_back():
    given = Evaluation(1.0, cost=np.float32(2), trace=np.array([[0.5, 3.0], [0.1, 9.0]]))
    assert given.cost == 2.0 and given.trace == ((0.1, 9.0), (0.5, 3.0))
    assert (
        given
        == Evaluation(1.0, cost=2, trace={0.5: 3, 0.1: 9})
        == Evaluation.from_json(json.loads(json.dumps(given.to_json())))
    )
    assert hash(given) == hash(Evaluation(1.0, cost=2, trace={0.5: 3, 0.1: 9}))
    assert Evaluation(1.0, cost=3).to_json() == [1.0, None, None, None, None, None, 3.0]
    assert Evaluation(1.0, trace={}).to_json() == [1.0, None]


def test_what_is_no_number_in_a_trace_is_absent():
    assert Evaluation(1.0, trace={1: np.nan, 2: 5.0, 3: None, 4: np.inf}).trace == ((2.0, 5.0),)
    assert Evaluation(1.0, trace={1: np.nan}).trace is None


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"cost": 0}, ValueError, "cost of an evaluation must be positive and finite, but is 0.0"),
        ({"cost": -1.5}, ValueError, "must be positive and finite, but is -1.5"),
        ({"cost": np.nan}, ValueError, "must be positive"),
        ({"cost": "3"}, TypeError, "cost of an evaluation must be a number"),
        ({"trace": [1.0, 2.0]}, TypeError, r"\(fidelity, value\) pairs, but 1.0 came in it"),
        ({"trace": 3.0}, TypeError, r"\(fidelity, value\) pairs, but 3.0 came"),
        ({"trace": "ab"}, TypeError, "pairs, but 'ab' came"),
        ({"trace": [(1, 2), (1.0, 3)]}, ValueError, "fidelity 1.0 stands twice"),
        ({"trace": [(np.nan, 2)]}, ValueError, "fidelity in `trace` must be finite"),
        ({"trace": [(1, "2")]}, TypeError, "`trace` value must be a number"),
        ({"value": [1, 2], "trace": [(1, 2)]}, ValueError, "`trace` is that of one objective, but"),
    ],
)
def test_what_is_no_cost_and_no_trace(given, error, text):
    with pytest.raises(error, match=text):
        Evaluation(**{"value": 1.0} | given)
