"""The one call: what comes back, what is counted, how it ends."""

import time

import numpy as np
import pytest
from problems import MIXED, SQUARE, bowl, mixed_bowl
from scipy.optimize import Bounds, OptimizeResult

import bayesopt as bo
from bayesopt.trial import TrialState


@pytest.mark.parametrize("noise", [False, "auto", 0.01])
def test_it_finds_the_minimum(noise):
    result = bo.minimize(bowl, SQUARE, 20, noise=noise, seed=0)
    assert bowl(result.x) < 5e-3
    np.testing.assert_allclose(result.x, [0.3, 0.6], atol=0.08)
    assert result.fun == pytest.approx(bowl(result.x), abs=0.02)


def test_it_finds_the_minimum_of_a_mixed_space():
    result = bo.minimize(mixed_bowl, MIXED, 30, noise=False, seed=0)
    assert result.params["kind"] == "b"
    assert abs(result.params["depth"] - 7) <= 1
    assert result.fun < 0.05


@pytest.mark.parametrize("space", [SQUARE, np.array(SQUARE), Bounds([0, 0], [1, 1])])
def test_result_of_a_vector_space(space):
    seen = []
    result = bo.minimize(lambda x: seen.append(x) or bowl(x), space, 8, noise=False, seed=0)
    assert isinstance(result, OptimizeResult)
    assert isinstance(result.x, np.ndarray) and result.x.shape == (2,)
    assert result.params == {"x0": result.x[0], "x1": result.x[1]}
    np.testing.assert_array_equal(result.x_iters, seen)
    np.testing.assert_array_equal(result.func_vals, [bowl(x) for x in seen])
    assert result.fun == result.observed == result.func_vals.min() == bowl(result.x)
    assert result.sd == 0.0
    assert result.nfev == 8 and result.success is True
    assert isinstance(result.study, bo.Study) and len(result.study.trials) == 8
    assert "8 evaluations are done." in result.message
    assert "log expected improvement" in result.message and "best observed" in result.message


def test_result_of_a_space_with_categories_is_a_list_in_its_order():
    result = bo.minimize(mixed_bowl, MIXED, 9, noise=False, seed=0)
    assert result.x == [result.params[name] for name in ("rate", "depth", "kind")]
    assert [type(value) for value in result.x] == [float, int, str]
    assert result.x_iters[0] == list(result.study.trials[0].params.values())


def test_numbers_by_name_come_back_as_an_array():
    space = bo.Space(rate=bo.Float(1e-3, 1e1, log=True), depth=bo.Int(1, 12))
    result = bo.minimize(lambda rate, depth: depth + rate, space, 6, seed=0)
    assert isinstance(result.x, np.ndarray)
    assert result.params["depth"] == result.x[1] and type(result.params["depth"]) is int


def test_under_noise_fun_is_what_the_model_expects():
    rng = np.random.default_rng(0)
    result = bo.minimize(lambda x: bowl(x) + 0.1 * rng.normal(), SQUARE, 15, noise=0.1, seed=0)
    assert result.fun == pytest.approx(result.study.recommend().mean, abs=1e-12)
    assert 0.0 < result.sd < 0.2
    row = [list(x) for x in result.x_iters].index(list(result.x))
    assert result.observed == result.func_vals[row]
    assert result.fun != result.observed
    assert "best evaluated mean" in result.message


def test_a_mean_with_its_standard_error_and_an_evaluation():
    for fun in (lambda x: (bowl(x), 0.01), lambda x: bo.Evaluation(bowl(x), 0.01)):
        result = bo.minimize(fun, SQUARE, 12, seed=0)
        assert {trial.evaluation.sd for trial in result.study.trials} == {0.01}
        assert bowl(result.x) < 0.05


@pytest.mark.parametrize("noise", [False, "auto"])
def test_maximising_is_minimising_the_negative(noise):
    low = bo.minimize(bowl, SQUARE, 10, noise=noise, seed=3)
    high = bo.maximize(lambda x: -bowl(x), SQUARE, 10, noise=noise, seed=3)
    np.testing.assert_array_equal(high.x_iters, low.x_iters)
    np.testing.assert_array_equal(high.func_vals, -low.func_vals)
    np.testing.assert_array_equal(high.x, low.x)
    assert high.fun == pytest.approx(-low.fun, rel=1e-12)
    assert (high.sd, high.observed) == (pytest.approx(low.sd, rel=1e-12), -low.observed)
    points = [[0.1, 0.2], [0.3, 0.6], [0.9, 0.9]]
    mean, sd = low.study.predict(points)
    np.testing.assert_allclose(high.study.predict(points)[0], -mean, rtol=1e-12)
    np.testing.assert_allclose(high.study.predict(points)[1], sd, rtol=1e-12)
    assert (high.study.direction, low.study.direction) == ("maximize", "minimize")


@pytest.mark.parametrize(
    "x0",
    [
        [0.25, 0.5],
        (0.25, 0.5),
        np.array([0.25, 0.5]),
        {"x1": 0.5, "x0": 0.25},
        [[0.25, 0.5], [0.75, 0.5]],
        np.array([[0.25, 0.5], [0.75, 0.5]]),
        [{"x0": 0.25, "x1": 0.5}, (0.75, 0.5)],
    ],
)
def test_starting_points_come_first(x0):
    result = bo.minimize(bowl, SQUARE, 5, x0=x0, seed=0)
    origins = [trial.origin for trial in result.study.trials]
    n = origins.count("given")
    assert n in (1, 2) and origins == ["given"] * n + ["initial"] * (5 - n)
    np.testing.assert_array_equal(result.x_iters[:n], [[0.25, 0.5], [0.75, 0.5]][:n])


def test_starting_point_of_one_parameter():
    space = bo.Space(kind=bo.Categorical(["rbf", "poly"]))
    for x0 in (["poly"], {"kind": "poly"}, [["poly"]]):
        result = bo.minimize(lambda kind: float(len(kind)), space, 2, x0=x0, seed=0)
        assert result.x_iters[0] == ["poly"]
    result = bo.minimize(lambda x: x[0], [(0, 1)], 2, x0=[0.5], seed=0)
    assert result.x_iters[0] == [0.5]


def test_known_values_count_and_are_not_evaluated_again():
    calls = []
    X = np.random.default_rng(0).random((6, 2))
    y = [bowl(x) for x in X]
    result = bo.minimize(
        lambda x: calls.append(list(x)) or bowl(x), SQUARE, 9, x0=X, y0=y, noise=False, seed=0
    )
    assert len(calls) == 3 and result.nfev == 9
    assert not {tuple(call) for call in calls} & {tuple(x) for x in X}
    np.testing.assert_array_equal(result.func_vals[:6], y)
    assert [t.origin for t in result.study.trials] == ["added"] * 6 + ["acquisition"] * 3


def test_one_known_value():
    result = bo.minimize(bowl, SQUARE, 4, x0=[0.3, 0.6], y0=0.0, noise=False, seed=0)
    assert result.fun == 0.0
    np.testing.assert_array_equal(result.x, [0.3, 0.6])


def test_nothing_is_evaluated_when_enough_is_known():
    result = bo.minimize(bowl, SQUARE, 2, x0=[[0.3, 0.6], [0.5, 0.5]], y0=[0.0, 1.0], seed=0)
    assert result.nfev == 2 and {t.origin for t in result.study.trials} == {"added"}


def test_the_callback_may_end_the_search():
    def callback(study, trial):
        assert trial == study.trials[-1] and trial.state is TrialState.COMPLETE
        if trial.number == 3:
            raise StopIteration

    result = bo.minimize(bowl, SQUARE, 10, callback=callback, seed=0)
    assert result.nfev == 4 and result.success is True
    assert "callback ended the search" in result.message


def test_the_timeout_ends_the_search():
    def slow(x):
        time.sleep(0.02)
        return bowl(x)

    result = bo.minimize(slow, SQUARE, 10_000, timeout=0.1, seed=0)
    assert 1 <= result.nfev < 10_000
    assert "timeout of 0.1 s was reached" in result.message


def test_progress_writes_a_line_on_the_error_stream(capsys):
    bo.minimize(bowl, SQUARE, 3, progress=True, seed=0)
    out, err = capsys.readouterr()
    assert out == "" and "3/3" in err and "best " in err
    bo.minimize(bowl, SQUARE, 3, seed=0)
    bo.minimize(bowl, SQUARE, 3, progress=False, seed=0)
    assert capsys.readouterr() == ("", "")


def test_no_seed_draws_one_and_keeps_it():
    first, second = (bo.minimize(bowl, SQUARE, 3) for _ in range(2))
    assert first.study.seed != second.study.seed
    again = bo.minimize(bowl, SQUARE, 3, seed=first.study.seed)
    np.testing.assert_array_equal(again.x_iters, first.x_iters)


def test_policies_say_what_they_are():
    for policy, text in (
        (bo.Policy(acquisition="random"), "random search"),
        (bo.Policy(model="rbf"), "RBF"),
        (bo.Policy(model="matern52", acquisition="ei"), "Matern-5/2"),
    ):
        result = bo.minimize(bowl, SQUARE, 7, policy=policy, seed=0)
        assert text in result.message
    assert {
        t.origin
        for t in bo.minimize(
            bowl, SQUARE, 7, policy=bo.Policy(acquisition="random"), seed=0
        ).study.trials
    } == {"random"}


def test_values_without_points_are_refused():
    with pytest.raises(ValueError, match="`y0` holds the values at the points `x0`"):
        bo.minimize(bowl, SQUARE, 5, y0=[1.0])


def test_the_study_is_in_the_error_also_after_the_last_evaluation():
    def broken(x):
        raise ArithmeticError("no solution here")

    with pytest.raises(bo.AllEvaluationsFailed) as caught:
        bo.minimize(broken, SQUARE, 3, seed=0)
    assert len(caught.value.study.trials) == 3


def test_a_result_can_be_printed():
    result = bo.minimize(lambda x: (x[0] - 0.3) ** 2, [(0, 1)], 5, noise=False, progress=False)
    assert "fun: " in str(result) and "failures" not in repr(result)
    fails = bo.minimize(lambda x: 1 / int(x[0] > 0.4), [(0, 1)], 7, noise=False, progress=False)
    assert "raised ZeroDivisionError" in str(fails)
