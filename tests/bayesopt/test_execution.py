"""Calling the user's function: the signature, what it returns or raises, the line of progress."""

import functools
import math

import numpy as np
import pytest
import torch

from bayesopt.execution import Failure, Progress, check_signature, evaluate
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
def test_functions_that_take_the_names(fun):
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
def test_functions_that_do_not_take_the_names(fun, text):
    with pytest.raises(TypeError, match=text):
        check_signature(fun, NAMED)


def test_a_function_of_one_vector():
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
        assert evaluate(fun, VECTOR, POINT) == Evaluation(1.0)
    np.testing.assert_array_equal(seen, [[0.5, 1.5], [0.5, 1.5]])
    assert seen[0].dtype == np.float64


def test_names_are_passed_as_keywords():
    outcome = evaluate(lambda **params: (params["x"], 0.5), NAMED, {"x": 2.0, "kind": "b"})
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
    failure = evaluate(lambda x: returned, VECTOR, POINT)
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("returned an unusable result: ")
    assert isinstance(failure.error, TypeError | ValueError)
    with pytest.raises(type(failure.error), match=text):
        raise failure.error


def test_a_reason_stays_short():
    failure = evaluate(lambda x: list(range(10_000)), VECTOR, POINT)
    assert len(failure.reason) < 300


@pytest.mark.parametrize("error", [ValueError("bad C"), StopIteration(), MemoryError("too big")])
def test_what_is_raised_is_a_failure(error):
    def fun(x):
        raise error

    failure = evaluate(fun, VECTOR, POINT)
    assert failure == Failure(
        type(error).__name__, f"raised {type(error).__name__}: {error}", error
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_who_wants_to_leave_may_leave(error):
    def fun(x):
        raise error

    with pytest.raises(error):
        evaluate(fun, VECTOR, POINT)


def test_progress_shows_count_best_and_both_clocks(capsys):
    line = Progress(5, 2, True)
    assert line.call(lambda x: 1.0, VECTOR, POINT) == Evaluation(1.0)
    line.advance(None)
    line.advance(0.123456789)
    line.close()
    err = capsys.readouterr().err
    assert "3/5" in err or "4/5" in err
    assert "best 0.123457, function " in err and "optimiser " in err
    assert line.seconds_in_function > 0.0


@pytest.mark.parametrize("show", [False, "auto"])
def test_no_progress_where_nobody_looks(capsys, show):
    line = Progress(5, 0, show)
    line.advance(1.0)
    line.close()
    assert capsys.readouterr() == ("", "")
