"""A study by hand: ask, tell, fail, add, run, predict."""

import numpy as np
import pytest
from problems import MIXED, SQUARE, bowl, mixed_bowl

import bayesopt as bo
from bayesopt.trial import TrialState


def observed(noise="auto", seed=0, n=6, **options):
    """A study that has seen `n` values of the bowl."""
    study = bo.Study(SQUARE, noise=noise, seed=seed, **options)
    for _ in range(n):
        trial = study.ask()
        study.tell(trial, bowl([trial.params["x0"], trial.params["x1"]]))
    return study


def test_ask_gives_running_trials_with_points_of_the_space():
    study = bo.Study(MIXED, seed=0)
    first = study.ask()
    more = study.ask(3)
    assert [trial.number for trial in (first, *more)] == [0, 1, 2, 3]
    assert study.trials == [first, *more]
    for trial in study.trials:
        assert trial.state is TrialState.RUNNING
        assert MIXED.check(trial.params) == trial.params
        assert trial.origin == "initial"
    assert len({str(trial.params) for trial in study.trials}) == 4


def test_ask_for_a_point_of_ones_own():
    study = bo.Study(SQUARE, seed=0)
    trial = study.ask(params=np.array([0.25, 0.5]))
    assert trial.params == {"x0": 0.25, "x1": 0.5}
    assert trial.origin == "given"
    with pytest.raises(ValueError, match="outside"):
        study.ask(params={"x0": 0.25, "x1": 1.5})
    assert len(study.trials) == 1


def test_the_model_takes_over_after_the_initial_design():
    study = observed(n=6, n_initial=4)
    assert [t.origin for t in study.trials] == ["initial"] * 4 + ["acquisition"] * 2
    assert study.trials[3].hyperparameters is None
    assert len(study.trials[4].hyperparameters) > 0


@pytest.mark.parametrize("space", [SQUARE, MIXED, [(0, 1)] * 12])
def test_the_initial_design_has_twice_the_dimension_and_two(space):
    study = bo.Study(space, seed=0)
    assert study.n_initial == min(2 * (len(study.space) + 1), 20)


@pytest.mark.parametrize("result", [0.5, (0.5, 0.1), bo.Evaluation(0.5, 0.1)])
@pytest.mark.parametrize("by_number", [True, False])
def test_tell_completes_a_trial(result, by_number):
    study = bo.Study(SQUARE, seed=0)
    trial = study.ask()
    study.tell(trial.number if by_number else trial, result)
    (done,) = study.trials
    assert done.state is TrialState.COMPLETE
    assert done.params == trial.params
    assert done.value == 0.5
    assert done.evaluation.sd == (None if result == 0.5 else 0.1)


def test_trials_may_be_told_in_any_order():
    study = bo.Study(SQUARE, seed=0)
    trials = study.ask(3)
    for trial in reversed(trials):
        study.tell(trial, float(trial.number))
    assert [trial.value for trial in study.trials] == [0.0, 1.0, 2.0]


def test_telling_the_same_again_changes_nothing_and_another_is_refused():
    study = bo.Study(SQUARE, seed=0)
    trial = study.ask()
    study.tell(trial, 0.5)
    before = study.trials
    study.tell(trial, 0.5)
    study.tell(study.trials[0], 0.5)
    assert study.trials == before
    for other in (0.6, (0.5, 0.1), np.nan):
        with pytest.raises(ValueError, match="Trial 0 has ended already"):
            study.tell(trial, other)
    with pytest.raises(ValueError, match="Trial 0 has ended already"):
        study.fail(trial, "no")
    assert study.trials == before


@pytest.mark.parametrize("result", [np.nan, np.inf, -np.inf, (np.nan, 0.1)])
def test_a_value_that_is_not_finite_fails_the_trial(result):
    study = bo.Study(SQUARE, seed=0)
    trial = study.ask()
    study.tell(trial, result)
    (failed,) = study.trials
    assert failed.state is TrialState.FAILED
    assert failed.value is None
    assert "must be finite" in failed.reason
    study.tell(trial, result)
    with pytest.raises(ValueError, match="has ended already"):
        study.tell(trial, 1.0)


@pytest.mark.parametrize("result", ["0.5", None, [1.0], (1.0, 2.0, 3.0), 1j, True, np.ones(1)])
def test_a_result_of_the_wrong_type_leaves_the_trial_running(result):
    study = bo.Study(SQUARE, seed=0)
    trial = study.ask()
    with pytest.raises(TypeError, match="came"):
        study.tell(trial, result)
    assert study.trials == [trial]
    study.tell(trial, 1.0)


def test_a_failed_trial_keeps_its_reason():
    study = bo.Study(SQUARE, seed=0)
    study.fail(study.ask(), "diverged")
    (failed,) = study.trials
    assert (failed.state, failed.reason) == (TrialState.FAILED, "diverged")


def test_a_trial_of_another_study_is_refused():
    study, other = bo.Study(SQUARE, seed=0), bo.Study(SQUARE, seed=1)
    study.ask()
    strangers = [other.ask(), other.ask(), -1, 1, 99, "0", None, 0.0, True]
    for stranger in strangers:
        with pytest.raises((ValueError, TypeError), match="[Tt]rial"):
            study.tell(stranger, 1.0)
    assert study.trials[0].state is TrialState.RUNNING
    study.tell(np.int64(0), 1.0)
    assert study.trials[0].value == 1.0


@pytest.mark.parametrize(
    "X", [[[0.1, 0.2], [0.3, 0.4]], np.array([[0.1, 0.2], [0.3, 0.4]]), "dicts"]
)
@pytest.mark.parametrize("sd", [None, 0.5, [0.5, 0.5]])
def test_add_takes_arrays_and_dicts(X, sd):
    if isinstance(X, str):
        X = [{"x1": 0.2, "x0": 0.1}, {"x0": 0.3, "x1": 0.4}]
    study = bo.Study(SQUARE, seed=0)
    study.add(X, [1.0, 2.0], sd=sd)
    assert [trial.params for trial in study.trials] == [
        {"x0": 0.1, "x1": 0.2},
        {"x0": 0.3, "x1": 0.4},
    ]
    assert [trial.number for trial in study.trials] == [0, 1]
    assert [trial.value for trial in study.trials] == [1.0, 2.0]
    assert {trial.origin for trial in study.trials} == {"added"}
    assert {trial.evaluation.sd for trial in study.trials} == {None if sd is None else 0.5}


def test_add_records_values_that_are_not_finite_as_failures():
    study = bo.Study(SQUARE, seed=0)
    study.add([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], [1.0, np.nan, np.inf])
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.FAILED, TrialState.FAILED]
    assert "nan" in study.trials[1].reason and "inf" in study.trials[2].reason


@pytest.mark.parametrize(
    ("X", "y", "sd", "text"),
    [
        ([[0.1, 0.2]], [1.0, 2.0], None, r"1 points need as many values, but y is \(2,\)"),
        ([[0.1, 0.2], [0.3, 0.4]], 1.0, None, "as many values"),
        ([[0.1, 0.2]], [[1.0]], None, "as many values"),
        ([[0.1], [0.3]], [1.0, 2.0], None, "needs 2 values, but got 1"),
        ([[0.1, 0.2], [0.3, 1.4]], [1.0, 2.0], None, "'x1'.*outside"),
        ([{"x0": 0.1}], [1.0], None, "missing"),
        ({"x0": 0.1, "x1": 0.2}, [1.0], None, "list"),
        ([0.1, 0.2], [1.0, 2.0], None, "dict or a vector"),
        ([[0.1, 0.2]], ["a"], None, "y"),
        ([[0.1, 0.2]], [1j], None, "y"),
        ([[0.1, 0.2], [0.3, 0.4]], [1.0, 2.0], [0.1, 0.2, 0.3], "sd"),
        ([[0.1, 0.2], [0.3, 0.4]], [1.0, 2.0], [0.1, -0.2], "sd"),
        ([[0.1, 0.2], [0.3, 0.4]], [1.0, 2.0], "a", "sd"),
    ],
)
def test_add_adds_all_or_nothing(X, y, sd, text):
    study = bo.Study(SQUARE, seed=0)
    with pytest.raises((ValueError, TypeError), match=text):
        study.add(X, y, sd=sd)
    assert study.trials == []


def test_run_counts_everything_that_has_ended():
    study = bo.Study(SQUARE, seed=0)
    study.add([[0.1, 0.2]], [bowl([0.1, 0.2])])
    study.fail(study.ask(), "no")
    running = study.ask()
    calls = []
    message = study.run(lambda x: calls.append(x) or bowl(x), 5)
    assert message == "5 evaluations are done."
    assert len(calls) == 3
    assert study.trials[running.number].state is TrialState.RUNNING
    assert study.run(lambda x: calls.append(x) or bowl(x), 5) == "5 evaluations are done."
    assert len(calls) == 3
    study.run(lambda x: calls.append(x) or bowl(x), 7)
    assert len(calls) == 5


def test_run_calls_back_after_each_evaluation():
    study, seen = bo.Study(SQUARE, seed=0), []
    study.run(bowl, 4, callback=lambda *heard: seen.append(heard))
    assert [heard[0] for heard in seen] == [study] * 4
    assert [heard[1] for heard in seen] == study.trials


def test_predict_interpolates_what_is_exact_and_keeps_the_units():
    study = bo.Study(SQUARE, direction="maximize", noise=False, seed=0)
    X = np.random.default_rng(0).random((10, 2))
    y = 1e5 + 1e3 * np.array([bowl(x) for x in X])
    study.add(X, y)
    mean, sd = study.predict(X)
    assert mean.shape == sd.shape == (10,)
    np.testing.assert_allclose(mean, y, rtol=1e-9)
    assert (sd < 1e-3 * np.ptp(y)).all()
    points = [{"x0": 0.5, "x1": 0.5}, [0.31, 0.62]]
    mean, sd = study.predict(points)
    assert mean == pytest.approx([1e5 + 1e3 * bowl(x) for x in ([0.5, 0.5], [0.31, 0.62])], abs=50)
    assert (sd > 0).all() and (sd < np.ptp(y)).all()


def test_predict_under_noise_does_not_chase_it():
    study = bo.Study([(0.0, 1.0)], noise=0.5, seed=0)
    X = np.linspace(0, 1, 40)[:, None]
    truth = 3.0 * X[:, 0]
    y = truth + 0.5 * np.random.default_rng(0).normal(size=40)
    study.add(X, y)
    mean, sd = study.predict(X)
    assert np.abs(mean - truth).mean() < 0.6 * np.abs(y - truth).mean()
    assert (np.abs(mean - truth) < 4 * sd).all()
    assert (sd < 0.5).all()


@pytest.mark.parametrize(
    ("points", "text"),
    [
        ([[0.5, 1.5]], "outside"),
        ([[0.5]], "needs 2 values"),
        ([0.5, 0.5], "dict or a vector"),
        ({"x0": 0.5, "x1": 0.5}, "list"),
    ],
)
def test_predict_refuses_what_is_not_a_list_of_points(points, text):
    with pytest.raises((ValueError, TypeError), match=text):
        observed().predict(points)


def test_nothing_can_be_said_before_the_first_observation():
    study = bo.Study(SQUARE, seed=0)
    study.fail(study.ask(), "no")
    for question in (study.recommend, lambda: study.predict([[0.5, 0.5]])):
        with pytest.raises(ValueError, match="Nothing has been observed yet"):
            question()


def test_predict_takes_no_points_too():
    mean, sd = observed().predict([])
    assert mean.shape == sd.shape == (0,)


def test_a_study_of_a_mixed_space():
    study = bo.Study(MIXED, seed=1)
    study.run(mixed_bowl, 8)
    mean, sd = study.predict([trial.params for trial in study.trials])
    assert np.isfinite(mean).all() and (sd >= 0).all()
    assert MIXED.contains(study.recommend().params)
