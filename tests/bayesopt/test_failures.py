"""Evaluations that fail: recorded with their reason, not repeated, never the end of a study."""

import itertools

import numpy as np
import pytest
from problems import MIXED, SQUARE, bowl, mixed_bowl

import bayesopt as bo
from bayesopt.trial import TrialState


class Diverged(RuntimeError):
    pass


def raises(error):
    raise error


BAD = {
    "a string": (lambda: "0.5", "str '0.5' came"),
    "a wrong shape": (lambda: np.ones(2), r"shape (2,)"),
    "None": (lambda: None, "NoneType"),
    "NaN": (lambda: np.nan, "it is nan"),
    "inf": (lambda: np.inf, "it is inf"),
    "a complex": (lambda: 1j, "complex"),
    "a 3-tuple": (lambda: (1.0, 2.0, 3.0), "one of 3 values"),
    "a negative sd": (lambda: (1.0, -1.0), "`sd` must be finite and >= 0"),
    "an exception": (lambda: raises(Diverged("step size")), "raised Diverged: step size"),
}


def failed(study):
    return [trial for trial in study.trials if trial.state is TrialState.FAILED]


@pytest.mark.parametrize(("what", "noise"), list(zip(BAD, itertools.cycle([False, "auto"]))))
def test_the_search_goes_on_and_finds_the_optimum_elsewhere(what, noise):
    bad, text = BAD[what]

    def fun(x):
        return bad() if x[0] > 0.6 else bowl(x)

    result = bo.minimize(fun, SQUARE, 22, noise=noise, seed=1)
    failures = failed(result.study)
    assert 1 <= len(failures) < 15 and result.nfev == 22 and result.success is True
    for trial in result.study.trials:
        assert (trial.state is TrialState.FAILED) == (trial.params["x0"] > 0.6)
    for trial in failures:
        assert text in trial.reason and trial.value is None
    points = [tuple(trial.params.values()) for trial in result.study.trials]
    assert all(points.count(tuple(trial.params.values())) == 1 for trial in failures)
    is_nan = [trial.state is TrialState.FAILED for trial in result.study.trials]
    np.testing.assert_array_equal(np.isnan(result.func_vals), is_nan)
    assert bowl(result.x) < 0.01


@pytest.mark.parametrize("noise", [False, "auto", 0.1])
def test_a_failed_point_of_a_finite_space_is_not_asked_for_again(noise):
    space = bo.Space(n=bo.Int(0, 7))

    def fun(n):
        return raises(Diverged()) if n == 3 else abs(n - 3.2)

    result = bo.minimize(fun, space, 20, noise=noise, seed=0)
    assert [trial.params["n"] for trial in failed(result.study)] == [3]
    assert result.params == {"n": 4}


def test_when_every_point_of_a_finite_space_fails_the_search_ends():
    space = bo.Space(n=bo.Int(0, 2))
    with pytest.raises(bo.AllEvaluationsFailed, match="raised ValueError: no 0; .*no 1; .*no 2"):
        bo.minimize(lambda n: raises(ValueError(f"no {n}")), space, 20, noise=0.1, seed=0)


def test_failures_of_a_mixed_space():
    def fun(rate, depth, kind):
        return np.nan if kind == "c" or depth > 10 else mixed_bowl(rate, depth, kind)

    result = bo.minimize(fun, MIXED, 24, noise=False, seed=0)
    assert result.params["kind"] == "b" and result.fun < 0.1


def test_five_alike_stop_the_search_with_the_original_error():
    calls = []

    def fun(x):
        calls.append(x)
        raise Diverged(f"attempt {len(calls)}")

    with pytest.raises(bo.AllEvaluationsFailed, match="first 5.*raised Diverged: attempt 5") as end:
        bo.minimize(fun, SQUARE, 30, seed=0)
    assert isinstance(end.value.__cause__, Diverged)
    assert str(end.value.__cause__) == "attempt 5"
    assert end.value.__cause__.__traceback__ is not None
    assert len(calls) == 5


def test_five_useless_results_stop_the_search_too():
    with pytest.raises(bo.AllEvaluationsFailed, match="NoneType None came") as end:
        bo.minimize(lambda x: None, SQUARE, 30, seed=0)
    assert isinstance(end.value.__cause__, TypeError)


def test_a_study_keeps_what_failed():
    study = bo.Study(SQUARE, seed=0)
    with pytest.raises(bo.AllEvaluationsFailed):
        study.run(lambda x: raises(Diverged("no")), 30)
    assert [trial.reason for trial in study.trials] == ["raised Diverged: no"] * 5


def test_five_different_failures_do_not_stop_it():
    errors = iter([ValueError(), KeyError("x"), ZeroDivisionError(), OSError(), Diverged()])

    def fun(x):
        raise_now = next(errors, None)
        return raises(raise_now) if raise_now else bowl(x)

    result = bo.minimize(fun, SQUARE, 12, seed=0)
    assert len(failed(result.study)) == 5 and result.nfev == 12


def test_four_alike_and_a_success_do_not_stop_it():
    count = iter(range(100))
    result = bo.minimize(
        lambda x: np.nan if next(count) < 4 else bowl(x), SQUARE, 14, noise=False, seed=0
    )
    assert len(failed(result.study)) == 4 and result.nfev == 14


def test_failures_after_a_success_never_stop_it():
    returned = iter([1.0] + [np.nan] * 11)
    result = bo.minimize(lambda x: next(returned), SQUARE, 12, x0=[0.5, 0.5], seed=0)
    assert result.nfev == 12 and len(failed(result.study)) == 11
    assert result.params == {"x0": 0.5, "x1": 0.5}


def test_an_added_result_does_not_hide_that_the_function_is_broken():
    with pytest.raises(bo.AllEvaluationsFailed, match="nan") as raised:
        bo.minimize(lambda x: np.nan, SQUARE, 12, x0=[0.5, 0.5], y0=1.0, seed=0)
    assert len(raised.value.study.trials) == 6


@pytest.mark.parametrize("n_evals", [1, 4])
def test_fewer_than_five_that_all_fail_raise_too(n_evals):
    with pytest.raises(bo.AllEvaluationsFailed, match="Not one.*raised Diverged: no"):
        bo.minimize(lambda x: raises(Diverged("no")), SQUARE, n_evals, seed=0)


def interrupted_at(n, error=KeyboardInterrupt):
    count = iter(range(100))
    return lambda x: raises(error()) if next(count) == n else bowl(x)


def test_an_interrupt_gives_the_result_so_far():
    result = bo.minimize(interrupted_at(7), SQUARE, 30, noise=False, seed=0)
    assert result.success is False
    assert "Interrupted" in result.message
    assert result.nfev == 7 and result.fun == result.func_vals.min()


def test_an_interrupt_before_anything_is_complete_goes_through():
    with pytest.raises(KeyboardInterrupt):
        bo.minimize(interrupted_at(0), SQUARE, 30, seed=0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_study_keeps_everything_and_goes_on(error):
    study = bo.Study(SQUARE, seed=0)
    with pytest.raises(error):
        study.run(interrupted_at(7, error), 30)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 7
    study.run(bowl, 10)
    undisturbed = bo.Study(SQUARE, seed=0)
    undisturbed.run(bowl, 10)
    assert study.trials == undisturbed.trials


@pytest.mark.parametrize("n", [2, 9])
def test_a_broken_callback_loses_nothing(n):
    def callback(study, trial):
        if trial.number == n:
            raise RuntimeError("my plot failed")

    with pytest.raises(RuntimeError, match="my plot failed") as raised:
        bo.minimize(bowl, SQUARE, 12, callback=callback, seed=0)
    assert len(raised.value.study.trials) == n + 1


@pytest.mark.parametrize("noise", [False, "auto", 0.1])
@pytest.mark.parametrize("state", ["running", "failed"])
def test_a_point_may_run_or_fail_where_one_is_known_already(noise, state):
    study = bo.Study(SQUARE, noise=noise, seed=0)
    study.run(bowl, 8)
    for _ in range(2):
        again = study.ask(params=study.trials[6].params)
        if state == "failed":
            study.fail(again, "crashed this time")
    near = {name: value + 1e-9 for name, value in study.trials[5].params.items()}
    study.ask(params=near)
    assert study.ask().origin == "acquisition"


def test_endless_texts_of_failures_are_cut():
    study = bo.Study(SQUARE, seed=0)
    with pytest.raises(bo.AllEvaluationsFailed):
        study.run(lambda x: raises(Diverged("x" * 10**6)), 9)
    for trial in study.trials:
        assert trial.reason.startswith("raised Diverged: xxx") and len(trial.reason) < 10_100
        assert trial.traceback.startswith("... xxx") and len(trial.traceback) < 100_100
