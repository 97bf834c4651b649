"""The user's model: counted, never exceeded, its shapes and failures named."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from uq.model_runs import ModelRuns

X = np.random.default_rng(0).normal(size=(7, 3))


def runs_of(func, dimension=3, n_outputs=None, budget=100, **kwargs):
    return ModelRuns(func, dimension, n_outputs, budget, progress=False, **kwargs)


def two(x):
    return np.stack([x.sum(axis=1), x[:, 0] ** 2], axis=1)


@pytest.mark.parametrize("batch_size", [None, 1, 2, 7, 50])
@pytest.mark.parametrize("threads", [False, True])
def test_values_and_counts_do_not_depend_on_batches(batch_size, threads):
    sizes = []

    def func(x):
        sizes.append(len(x))
        return two(x)

    with ThreadPoolExecutor(2) as pool:
        runs = runs_of(func, batch_size=batch_size, executor=pool if threads else None)
        np.testing.assert_array_equal(runs(X), two(X))
        np.testing.assert_array_equal(runs(X[:2]), two(X[:2]))
    assert runs.n_done == 9 and runs.n_left == 91 and sum(sizes) == 9
    assert max(sizes) <= (batch_size or 7)
    assert runs.n_outputs == 2 and runs.n_failed == 0 and runs.failed_points.shape == (0, 3)


def test_one_output_is_a_column_and_booleans_are_numbers():
    np.testing.assert_array_equal(runs_of(lambda x: x[:, 0] > 0)(X)[:, 0], (X[:, 0] > 0) * 1.0)
    assert runs_of(lambda x: x[:, :1], n_outputs=1)(X).shape == (7, 1)
    assert runs_of(lambda x: [float(v) for v in x[:, 0]])(X).shape == (7, 1)


def test_the_budget_is_never_exceeded():
    calls = []
    runs = runs_of(lambda x: calls.append(len(x)) or x[:, 0], budget=10)
    runs(X)
    with pytest.raises(RuntimeError, match="3 of 10 are left"):
        runs(X)
    assert sum(calls) == 7


def test_points_are_neither_changed_nor_shared():
    kept = []

    def func(x):
        y = x[:, 0]
        kept.append(y)
        x += 1.0
        return y

    own = np.full((7, 2), np.inf)
    own[3:] = 1.0
    runs_of(lambda x: own)(X)
    assert np.isinf(own[:3]).all()  # and not NaN, as they are for us
    before, runs = X.copy(), runs_of(func)
    values = runs(X)
    np.testing.assert_array_equal(X, before)
    kept[0][:] = 99.0
    assert 99.0 not in values


def test_failed_runs_are_rows_of_nan_and_their_points_are_kept():
    def func(x):
        y = two(x)
        y[x[:, 0] > 0.5, 1] = np.inf
        y[x[:, 0] < -0.5, 0] = np.nan
        return y

    runs = runs_of(func, batch_size=3)
    values = runs(X)
    bad = np.abs(X[:, 0]) > 0.5
    assert 0 < bad.sum() < 7
    assert np.isnan(values[bad]).all() and np.isfinite(values[~bad]).all()
    assert runs.n_failed == bad.sum() and runs.n_done == 7
    np.testing.assert_array_equal(runs.failed_points, X[bad])


def test_a_model_that_fails_everywhere_is_refused_with_the_first_point():
    def func(x):
        return np.stack([x[:, 0], np.full(len(x), np.nan)], axis=1)

    named = runs_of(func, output_names=["load", "stress"])
    assert np.isnan(named(X)).all()  # seven may be bad luck
    with pytest.raises(ValueError, match="first 14 runs.*look at stress there") as caught:
        named(X)
    assert str(X[0]) in str(caught.value)
    runs = runs_of(func, batch_size=4)
    with pytest.raises(ValueError, match="first 12 runs.*look at output 1 there"):
        runs(np.ones((100, 3)))
    assert runs.n_done == 12  # and the other 88 are not spent


def test_a_first_batch_of_one_may_fail():
    runs = runs_of(lambda x: np.where(x[:, 0] == X[0, 0], np.nan, x[:, 0]), batch_size=1)
    assert np.isnan(runs(X)[:, 0]).tolist() == [True] + [False] * 6


def test_none_is_a_failed_run_and_no_result_at_all_is_told():
    runs = runs_of(lambda x: [None] + x[1:, 0].tolist())
    assert np.isnan(runs(X)[0, 0]) and runs.n_failed == 1
    with pytest.raises(TypeError, match="does it end with `return`"):
        runs_of(lambda x: None)(X)


def test_a_later_batch_may_fail_as_a_whole():
    runs = runs_of(lambda x: np.where(len(x) == 7, x[:, 0], np.nan))
    runs(X)
    assert np.isnan(runs(X[:2])).all() and runs.n_failed == 2


@pytest.mark.parametrize("threads", [False, True])
def test_what_the_model_raises_comes_with_its_batch(threads):
    def func(x):
        if len(x) == 1:
            raise ZeroDivisionError("by zero")
        return x[:, 0]

    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError) as caught:
        runs = runs_of(func, batch_size=2, executor=pool if threads else None)
        runs(X)
    (note,) = caught.value.__notes__
    assert "(1, 3)" in note and str(X[6]) in note and "6 evaluations were done" in note
    assert runs.n_done == 6


@pytest.mark.parametrize(
    ("func", "told"),
    [
        (lambda x: two(x).T, "transposed"),
        (lambda x: x[0] + x[1], "coordinates first"),  # SciPy's (d, n)
        (lambda x: x[0], "one point at a time"),
        (lambda x: 3.0, "one point at a time"),
        (lambda x: np.ones((7, 2, 2)), r"\(7, 2, 2\)"),
        (lambda x: np.ones(5), r"\(5,\)"),
        (lambda x: np.ones((7, 0)), r"\(7, 0\)"),
    ],
)
@pytest.mark.parametrize("n", [7, 3, 2])
def test_a_wrong_shape_is_told_with_the_way_out(func, told, n):
    """Also where there are as many points as coordinates or outputs."""
    if n == 7 or not told.startswith(r"\("):
        with pytest.raises(ValueError, match=told):
            runs_of(func, n_outputs=2 if told == "transposed" else None)(X[:n])


def test_another_number_of_outputs_is_told():
    runs = runs_of(lambda x: two(x) if len(x) == 7 else x[:, 0])
    runs(X)
    with pytest.raises(ValueError, match=r"\(4, 2\)"):
        runs(X[:4])
    with pytest.raises(ValueError, match=r"\(7, 4\)"):
        runs_of(two, n_outputs=4)(X)


@pytest.mark.parametrize("value", ["a", 1j, {}])
def test_a_wrong_type_is_told(value):
    with pytest.raises(TypeError, match="real numbers"):
        runs_of(lambda x: [value] * len(x))(X)


def test_ragged_values_are_told():
    with pytest.raises(TypeError, match="real numbers"):
        runs_of(lambda x: [[1.0], [1.0, 2.0]] + [[1.0]] * (len(x) - 2))(X)


def test_an_executor_gets_batches_and_what_is_left_is_cancelled_after_an_error():
    futures = []

    class Later:
        def submit(self, fn, /, *args):
            future = Future()
            if len(futures) < 2:
                future.set_result(fn(*args))
            elif len(futures) == 2:
                future.set_exception(OSError("lost"))
            futures.append(future)
            return future

    with pytest.raises(OSError, match="lost"):
        runs_of(lambda x: x[:, 0], batch_size=1, executor=Later())(X)
    assert len(futures) == 7 and all(future.cancelled() for future in futures[3:])


def test_no_points_are_no_runs():
    runs = runs_of(two, n_outputs=2)
    assert runs(X[:0]).shape == (0, 2) and runs.n_done == 0


def test_progress_is_shown_when_asked_for(capsys):
    with ModelRuns(two, 3, None, 7, progress=True) as runs:
        runs(X)
    assert "7/7" in capsys.readouterr().err
    with ModelRuns(two, 3, None, 7) as runs:
        runs(X)
    assert capsys.readouterr().err == ""


def test_batches_are_cancelled_where_the_executor_takes_no_more():
    futures = []

    class Full:
        def submit(self, fn, /, *args):
            if len(futures) == 3:
                raise OSError("the pool is gone")
            futures.append(Future())
            return futures[-1]

    with pytest.raises(OSError, match="the pool is gone"):
        runs_of(lambda x: x[:, 0], batch_size=1, executor=Full())(X)
    assert all(future.cancelled() for future in futures)
