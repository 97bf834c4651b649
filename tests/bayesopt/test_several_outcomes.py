"""Studies of several objectives and with outcome constraints: told, added, kept and refused."""

import logging
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import bayesopt as bo
from bayesopt.execution.progress import Progress
from bayesopt.loop_of_study import LoopOfStudy
from bayesopt.opening import read_settings
from bayesopt.settings import Settings
from bayesopt.trial import TrialState

SPACE = bo.Space(x=bo.Float(0.0, 1.0), n=bo.Int(0, 9))
LIMITS = {"latency": (None, 5.0), "power": (1.0, None)}
TWO = ["minimize", "maximize"]
LONG = {"n_initial": 100, "seed": 0}  # no model is asked here


def study_of(**options):
    return bo.Study(SPACE, **LONG | {"direction": TWO, "outcome_constraints": LIMITS} | options)


def result(value=(1.0, 2.0), **constraints):
    return bo.Evaluation(value, constraints={"latency": 4.0, "power": (2.0, 0.5)} | constraints)


def both(x, n):
    return result((x, 2 * x), latency=n)


# -- tell ------------------------------------------------------------------------------------------


def test_what_is_told_is_what_the_trials_hold(caplog):
    study = study_of()
    with caplog.at_level(logging.INFO, logger="bayesopt"):
        study.tell(study.ask(), result())
    (trial,) = study.trials
    assert trial.value == (1.0, 2.0) and trial.evaluation == result()
    assert "Trial 0 complete: (1.0, 2.0)" in caplog.text
    study.tell(trial, result())  # the same again
    with pytest.raises(ValueError, match="has ended already"):
        study.tell(trial, result(latency=3.0))
    trial.evaluation.constraints["latency"] = 9.0
    assert study.trials[0].evaluation == result()


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (1.0, "has 2 objectives, but 1 value came"),
        ((1.0, 2.0, 3.0), "has 2 objectives, but 3 values came"),
        ((1.0, 2.0), "no value of the constraints 'latency', 'power'"),
        (bo.Evaluation((1, 2), constraints={"latency": 1}), "no value of the constraint 'power'"),
        (result(lattency=1.0), "'lattency', .*; did you mean 'latency'"),
        ({"loss": 1.0}, r"return bayesopt.Evaluation\(value, constraints"),
    ],
)
def test_a_result_that_does_not_fit_leaves_the_trial_running(told, text):
    study = study_of()
    trial = study.ask()
    with pytest.raises((ValueError, TypeError), match=text):
        study.tell(trial, told)
    assert study.trials[0].state is TrialState.RUNNING
    study.tell(trial, result())


@pytest.mark.parametrize("values", [(1, np.nan), np.array([-np.inf, 0])])
def test_a_value_that_is_not_finite_is_a_failure(values):
    study = bo.Study(SPACE, direction=TWO, **LONG)
    study.tell(study.ask(), values)
    assert study.trials[0].state is TrialState.FAILED and "`value[" in study.trials[0].reason


def test_a_study_without_constraints_takes_none():
    study = bo.Study(SPACE, **LONG)
    with pytest.raises(ValueError, match=r"values of the constraints \['latency', 'power'\]"):
        study.tell(study.ask(), result(1.0))


# -- add -------------------------------------------------------------------------------------------


def test_results_from_elsewhere():
    study = study_of()
    X = [{"x": 0.1, "n": 1}, {"x": 0.2, "n": 2}, {"x": 0.3, "n": 3}]
    columns = {"latency": [4.0, 3.0, np.nan], "power": [2.0, 1.0, 1.0]}
    y, errors = [[1, 2], [3, 4], [5, 6]], {"power": [0.5, None, None]}
    study.add(X, y, constraints=columns, constraint_sd=errors)
    assert [t.evaluation for t in study.trials[:1]] == [result()]
    assert study.trials[2].reason == "The constraint 'latency' must be finite, but it is nan."
    study.add(X, y, constraints=columns, constraint_sd=errors, once=True)
    assert len(study.trials) == 3
    study.add(X[:1], [result(latency=1.0)], once=True)
    assert len(study.trials) == 4


@pytest.mark.parametrize(
    ("y", "options", "text"),
    [
        ([1.0, 2.0], {}, "2 points and 2 objectives"),
        ([[1.0, 2.0]] * 2, {}, "no value of the constraints"),
        ([[1.0, 2.0]] * 2, {"constraints": {"latency": [1, 2]}}, "constraint 'power'"),
        ([result(), (1.0, 2.0)], {}, "no value of the constraints"),
    ],
)
def test_adding_what_does_not_fit_adds_nothing(y, options, text):
    study = study_of()
    with pytest.raises(ValueError, match=text):
        study.add([[0.5, 1], [0.6, 2]], y, **options)
    assert study.trials == []


# -- kept ------------------------------------------------------------------------------------------


def test_it_is_resumed_exported_and_loaded(tmp_path):
    path = tmp_path / "runs.db"
    study = study_of(storage=path, reference_point=(9, 0))
    study.run(both, 3)
    told = study.trials
    again = study_of(storage=path)
    assert again.trials == told and again._settings.reference_point == (9.0, 0.0)
    assert again.direction == ("minimize", "maximize")
    study.export(tmp_path / "study.json")
    copies = [bo.Study.load(tmp_path / "study.json"), bo.Study.load(storage=path)]
    for copy in copies:
        assert [copy.replay(trial) for trial in told] == [trial.params for trial in told]
        assert copy.trials == told and copy.direction == ("minimize", "maximize")
        assert copy.outcome_constraints == study.outcome_constraints
    with pytest.raises(ValueError, match="outcome_constraints: 'power' is gone"):
        study_of(storage=path, outcome_constraints={"latency": (None, 5.0)})
    with pytest.raises(ValueError, match="direction: was"):
        study_of(storage=path, direction="minimize")


def test_a_stored_study_of_the_first_format_is_gone_on_with(tmp_path, monkeypatch):
    now = Settings.to_json

    def before(settings):
        described = now(settings) | {"format": 1}
        del described["outcome_constraints"], described["reference_point"]
        return described

    monkeypatch.setattr(Settings, "to_json", before)
    study = bo.Study(SPACE, storage=tmp_path / "old.db", **LONG)
    study.tell(study.ask(), (1.0, 0.5))
    monkeypatch.undo()
    _, stored = read_settings(tmp_path / "old.db", None)
    assert stored["format"] == 1 and "outcome_constraints" not in stored
    again = bo.Study(SPACE, storage=tmp_path / "old.db", **LONG)
    assert again.trials == study.trials
    with pytest.raises(ValueError, match="outcome_constraints: 'latency' is new"):
        bo.Study(SPACE, storage=tmp_path / "old.db", outcome_constraints=LIMITS, **LONG)


def test_a_table_is_read_back(tmp_path):
    study = study_of()
    study.run(lambda x, n: np.nan if n > 5 else both(x, n), 6)
    study.to_dataframe().to_csv(tmp_path / "runs.csv")
    copy = study_of()
    copy.add_csv(tmp_path / "runs.csv")
    assert [t.evaluation for t in copy.trials] == [t.evaluation for t in study.trials]
    assert {t.state for t in copy.trials} == {TrialState.COMPLETE, TrialState.FAILED}
    copy.add_csv(tmp_path / "runs.csv")
    assert len(copy.trials) == 6


# -- run -------------------------------------------------------------------------------------------


EXECUTORS = {
    "here": lambda: None,
    "process": lambda: "process",
    "threads": lambda: ThreadPoolExecutor(1),
    "pool": lambda: ProcessPoolExecutor(1),
}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_every_executor_reads_as_many_values_as_there_are_objectives(executor):
    def fun(x, n):
        return [x, n, 0.5] if n > 4 else [x, n]

    study = bo.Study(SPACE, direction=TWO, **LONG)
    study.run(fun, 4, executor=EXECUTORS[executor](), progress=False)
    assert {trial.params["n"] > 4 for trial in study.trials} == {True, False}
    for trial in study.trials:
        if trial.params["n"] > 4:
            assert "has 2 objectives, but 3 values came" in trial.reason
        else:
            assert trial.value == tuple(trial.params.values())


def test_a_search_records_an_evaluation_that_does_not_fit_as_failed():
    study = study_of()
    study.run(lambda x, n: both(x, n) if n > 4 else (x, x), 4)
    reasons = {trial.reason for trial in study.trials if trial.params["n"] <= 4}
    (reason,) = reasons
    assert reason.startswith("returned an unusable result: The evaluation has no value of the")
    assert sum(trial.state is TrialState.COMPLETE for trial in study.trials) > 0


def best(study):
    return LoopOfStudy(study, 9, (), None).best_value()


@pytest.mark.parametrize(("direction", "value"), [("minimize", 2.0), ("maximize", 3.0)])
def test_the_best_value_is_that_of_a_trial_that_meets_the_constraints(direction, value):
    study = study_of(direction=direction)
    assert best(study) is None
    study.tell(study.ask(), result(1.0, latency=5.1))
    assert best(study) is None
    study.tell(study.ask(), result(2.0, latency=5.0))
    study.tell(study.ask(), result(3.0, power=1.0))
    study.tell(study.ask(), result(4.0, power=0.9))
    assert best(study) == value


def test_several_objectives_have_no_best_value_and_progress_shows_none(capsys):
    study = bo.Study(SPACE, direction=TWO, **LONG)
    study.run(lambda x, n: (x, n), 3, progress=True)
    assert best(study) is None
    said = capsys.readouterr().err
    assert "3/3" in said and "function" in said and "best" not in said
    line = Progress(3, 0, True)
    line.advance(None, 0.0)
    line.close()
    assert "best none yet" in capsys.readouterr().err


def test_after_the_timeout_one_result_is_enough():
    study = study_of()
    study.tell(study.ask(), result(latency=9.0))  # and none of them need be the best
    assert "timeout" in study.run(both, 9, timeout=1e-9) and len(study.trials) == 1


# -- minimize --------------------------------------------------------------------------------------


def never(*_, **__):
    raise AssertionError


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"outcome_constraints": {"a": (5, 3)}}, ValueError, r"did you mean \(3, 5\)"),
        ({"direction": ["minimize"]}, ValueError, "Write direction='minimize'"),
        ({"direction": "maximize"}, ValueError, "call `maximize`"),
        ({"direction": "down"}, ValueError, "`direction` is 'minimize' or"),
        ({"reference_point": (1, 2)}, ValueError, "is for several objectives"),
        ({"direction": TWO, "reference_point": (1,)}, ValueError, "of the 2 objectives, but 1"),
        ({"direction": TWO, "x0": [0.5], "y0": 1.0}, ValueError, "1 points and 2 objectives"),
        (
            {"outcome_constraints": LIMITS, "x0": [[0.5]], "y0": [1.0]},
            ValueError,
            "no value of the constraints 'latency', 'power'",
        ),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_evaluated(options, error, text):
    with pytest.raises(error, match=text):
        bo.minimize(never, [(0.0, 1.0)], 5, **options)


@pytest.mark.parametrize("direction", [TWO, ["maximize"] * 2, "minimize"])
def test_maximize_has_one_direction(direction):
    with pytest.raises(ValueError, match="call `minimize`, whose `direction` may be a list"):
        bo.maximize(never, [(0.0, 1.0)], 5, direction=direction)


@pytest.mark.parametrize("call", [bo.minimize, bo.maximize])
def test_one_call_with_outcome_constraints(call):
    found = call(
        lambda x: bo.Evaluation(float(x[0]), constraints={"latency": 4.0}),
        [(0.0, 1.0)],
        3,
        outcome_constraints={"latency": (None, 5.0)},
        x0=[[0.25], [0.5]],
        y0=[bo.Evaluation(v, constraints={"latency": 9}) for v in (0.25, 0.5)],
        seed=0,
    )
    assert found.nfev == 3 and found.study.direction == call.__name__
    latencies = [trial.evaluation.constraints["latency"] for trial in found.study.trials]
    assert latencies == [9.0, 9.0, 4.0]


def test_what_is_worse_than_the_reference_point_counts_for_nothing():
    study = bo.Study(
        [(0.0, 1.0)], direction=TWO, noise=False, reference_point=(0.5, 0.5), n_initial=1, seed=0
    )
    x = np.array([[0.1], [0.4], [0.9]])
    study.add(x, np.hstack([x, 1.5 * x]))  # the second is the only one below 0.5 and above it
    assert study.ask().origin != "initial"
    front = study.pareto_front()
    np.testing.assert_allclose(front.reference_point, (0.5, 0.5))
    assert front.hypervolume == pytest.approx(0.1 * 0.1)
    np.testing.assert_allclose(front.hypervolume_trace, (0.0, 0.01, 0.01), atol=1e-12)
