"""Calling the user's function: the signature, what it returns or raises, what a failure tells."""

import functools
import math
import pickle
import threading

import numpy as np
import pytest
import torch

from bayesopt.execution.objective import (
    AllEvaluationsFailed,
    Calling,
    Failure,
    Finished,
    call,
    check_signature,
    stop_if_hopeless,
    timed_call,
)
from bayesopt.execution.workers import Here
from bayesopt.parameter import Categorical, Float
from bayesopt.space import Space
from bayesopt.trial import Evaluation

NAMED = Space(x=Float(0, 1), kind=Categorical(["a", "b"]))
VECTOR = Space.of([(0, 1), (0, 2)])
POINT = {"x0": 0.5, "x1": 1.5}


class Model:
    def score(self, x, kind="a"):
        return x

    def __call__(self, x, kind):
        return x


@pytest.mark.parametrize(
    "fun",
    [
        lambda x, kind: 0.0,
        lambda kind, x: 0.0,
        lambda *, x, kind, verbose=False: 0.0,
        lambda **params: 0.0,
        lambda x, **rest: 0.0,
        functools.partial(lambda data, x, kind: 0.0, 1),
        Model().score,
        Model(),
    ],
)
def test_a_function_that_takes_the_names_fits(fun):
    check_signature(fun, NAMED)


@pytest.mark.parametrize(
    ("fun", "text"),
    [
        (lambda x: 0.0, "keywords x, kind.*unexpected keyword argument 'kind'"),
        (lambda x, kind, more: 0.0, "missing a required.*'more'"),
        (lambda vector: 0.0, "keywords x, kind"),
        (lambda x, kind, /: 0.0, "does not fit the space"),
        (lambda: 0.0, r"<lambda>\(\) does not fit the space"),
        (Model, "does not fit the space"),
        (3.0, "must be callable, but got 3.0"),
        (None, "must be callable, but got None"),
    ],
)
def test_a_function_that_does_not_take_the_names_is_refused(fun, text):
    with pytest.raises(TypeError, match=text):
        check_signature(fun, NAMED)


def test_only_a_function_of_one_argument_fits_a_vector():
    for fun in (lambda x: 0.0, lambda *x: 0.0, lambda x, verbose=False: 0.0, sum, math.fsum, max):
        check_signature(fun, VECTOR)
    for fun in (lambda: 0.0, lambda x, y: 0.0, lambda *, x: 0.0):
        with pytest.raises(TypeError, match="called with one vector"):
            check_signature(fun, VECTOR)


def test_a_vector_is_a_fresh_array_in_the_order_of_the_space():
    seen = []

    def fun(x):
        seen.append(x.copy())
        x[:] = -1.0
        return 1.0

    for _ in range(2):
        assert call(fun, Calling.of(VECTOR), POINT) == Evaluation(1.0)
    np.testing.assert_array_equal(seen, [[0.5, 1.5], [0.5, 1.5]])
    assert seen[0].dtype == np.float64


def test_names_are_passed_as_keywords():
    outcome = call(lambda **params: (params["x"], 0.5), Calling.of(NAMED), {"x": 2.0, "kind": "b"})
    assert outcome == Evaluation(2.0, 0.5)


class Unfloatable:
    def __float__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ("0.5", "must be a number, but str '0.5' came"),
        (None, "NoneType None came"),
        (np.ones(2), r"array of shape \(2,\)"),
        (np.nan, "must be finite, but it is nan"),
        (-np.inf, "must be finite, but it is -inf"),
        (1j, "complex"),
        ((1.0, 2.0, 3.0), "one of 3 values"),
        (torch.tensor(1j), "must be a number"),
        (Unfloatable(), "must be a number, but Unfloatable"),
    ],
)
def test_what_cannot_be_used_is_a_failure(returned, text):
    failure = call(lambda x: returned, Calling.of(VECTOR), POINT)
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("returned an unusable result: ")
    assert isinstance(failure.error, TypeError | ValueError)
    with pytest.raises(type(failure.error), match=text):
        raise failure.error


def test_a_reason_stays_short():
    failure = call(lambda x: list(range(10_000)), Calling.of(VECTOR), POINT)
    assert len(failure.reason) < 300


@pytest.mark.parametrize("error", [ValueError("bad C"), StopIteration(), MemoryError("too big")])
def test_what_is_raised_is_a_failure(error):
    def fun(x):
        raise error

    failure = call(fun, Calling.of(VECTOR), POINT)
    kind = type(error).__name__
    assert (failure.kind, failure.reason) == (kind, f"raised {kind}: {error}")
    assert failure.error is error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_who_wants_to_leave_may_leave(error):
    def fun(x):
        raise error

    with pytest.raises(error):
        call(fun, Calling.of(VECTOR), POINT)


def test_a_traceback_begins_with_the_frames_of_the_user():
    def inner():
        raise ValueError("too deep")

    failure = call(lambda x: inner(), Calling.of(VECTOR), POINT)
    lines = failure.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert __file__ in lines[1] and "in <lambda>" in lines[1]
    assert "in inner" in failure.traceback and lines[-1] == "ValueError: too deep"
    assert "objective.py" not in failure.traceback


def test_an_unusable_result_has_no_traceback():
    assert call(lambda x: None, Calling.of(VECTOR), POINT).traceback is None


class Untold(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def test_an_exception_without_a_text_is_a_failure():
    def fun(x):
        raise Untold

    assert "cannot be shown" in call(fun, Calling.of(VECTOR), POINT).reason


class CannotBeLoaded(Exception):
    def __reduce__(self):
        return raise_again, ("no",)


def raise_again(text):
    raise ValueError(text)


class HoldsALock(Exception):
    def __init__(self):
        super().__init__("held")
        self.lock = threading.Lock()


@pytest.mark.parametrize("error", [CannotBeLoaded("held"), HoldsALock()])
def test_a_failure_travels_without_an_exception_that_cannot(error):
    failure = Failure.of(error, "the traceback")
    arrived = pickle.loads(pickle.dumps(failure))
    assert arrived == Failure(failure.kind, failure.reason, "the traceback", None)


def test_a_failure_travels_with_its_exception():
    arrived = pickle.loads(pickle.dumps(Failure.of(KeyError("x"))))
    assert isinstance(arrived.error, KeyError) and arrived.error.args == ("x",)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_who_wants_to_leave_a_worker_leaves_the_trial(error):
    def fun(x):
        raise error

    outcome, seconds = timed_call(fun, Calling(), {"x": 1})
    assert outcome.kind == type(error).__name__ and seconds >= 0.0


def test_the_end_of_a_hopeless_search_shows_the_traceback_of_the_worker():
    failure = Failure("ValueError", "raised ValueError: no", "Traceback: line 7")
    with pytest.raises(AllEvaluationsFailed, match="raised ValueError: no") as end:
        stop_if_hopeless([failure] * 5)
    assert "line 7" in end.value.__notes__[0]


def test_here_evaluates_while_it_is_waited_for():
    calls = []
    workers = Here(lambda x: calls.append(x) or 2.0, Calling.of(VECTOR))
    assert workers.finished(None) == [] and workers.capacity == 1
    workers.start(7, POINT)
    assert calls == [] and workers.running == {7}
    (done,) = workers.finished(0.0)
    assert done == Finished(7, Evaluation(2.0), done.seconds) and workers.running == set()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_here_lets_pass_who_wants_to_leave(error):
    def fun(x):
        raise error

    workers = Here(fun, Calling.of(VECTOR))
    workers.start(0, POINT)
    with pytest.raises(error):
        workers.finished(None)
    assert workers.running == {0}
    workers.close()
    assert workers.running == set()
