"""One task out of several: led by the others, or started anew where they say nothing of it."""

import numpy as np
import pytest
from role_spaces import QUICK
from scipy.optimize import LinearConstraint

import bayesopt as bo
from bayesopt.design import space_filling
from bayesopt.models.exact import ExactGaussianProcess
from bayesopt.models.joint.process import TargetProcess
from bayesopt.models.joint.structures import Tasks
from bayesopt.space import Space
from bayesopt.suggestion import fitted

SPACE = Space(
    x=bo.Float(0, 1),
    y=bo.Float(0, 1),
    task=bo.Categorical(["old", "new"], role="task", target="new"),
)
N_INITIAL = 7


def bowl(x, y):
    return (x - 0.3) ** 2 + 2.0 * (y - 0.6) ** 2 + 0.3 * np.sin(6.0 * x * y)


def related(x, y, task):
    return bowl(x, y) if task == "new" else 3.0 * bowl(x + 0.03, y - 0.02) - 5.0


def unrelated(x, y, task):
    if task == "new":
        return 4.0 * (x - 0.2) ** 2 + 3.0 * (y - 0.7) ** 2
    return np.hypot(x - 0.8, y - 0.2) ** 0.5 + 0.2 * np.cos(20.0 * x) * np.cos(20.0 * y)


def study_of(f, n_history=20, n_initial=N_INITIAL, **given):
    policy = bo.Policy(search=QUICK)
    study = bo.Study(SPACE, noise=False, seed=4, n_initial=n_initial, policy=policy, **given)
    points = np.random.default_rng(0).random((n_history, 2)).tolist()
    if points:
        old = [{"x": x, "y": y, "task": "old"} for x, y in points]
        study.add(old, [f(**params) for params in old])
    return study


def run(study, f, n):
    for _ in range(n):
        trial = study.ask()
        study.tell(trial, f(**trial.params))
    return [trial for trial in study.trials if trial.origin != "added"]


def misled(**given):
    """A study that knows enough of the new task to tell that the old one says nothing of it."""
    study = study_of(unrelated, **given)
    known = [(0.2, 0.3), (0.5, 0.7), (0.8, 0.4), (0.4, 0.55)]
    points = [{"x": x, "y": y, "task": "new"} for x, y in known]
    study.add(points, [unrelated(**params) for params in points])
    return study, len(known)


def model_of(study):
    found, _ = fitted(study._settings, study.trials, study.region, None, np.random.default_rng(0))
    return found.models.objectives[0]


def test_related_tasks_lead_from_the_first_evaluation_on():
    study = study_of(related)
    trials = run(study, related, 8)
    assert {trial.origin for trial in trials} == {"acquisition"}
    assert isinstance(model_of(study), TargetProcess)
    exact = min(bowl(x, y) for x in np.linspace(0, 1, 201) for y in np.linspace(0, 1, 201))
    assert min(trial.value for trial in trials) < exact + 1e-3


def test_where_they_say_nothing_the_space_is_filled_as_in_a_first_search():
    study, n_known = misled()
    n_new = N_INITIAL - n_known
    trials = run(study, unrelated, n_new + 1)
    assert [trial.origin for trial in trials] == [*["initial"] * n_new, "acquisition"]
    assert isinstance(model_of(study), ExactGaussianProcess)
    design = SPACE.at_target()
    for trial, x in zip(trials[:n_new], space_filling(design, 4, n_known), strict=False):
        assert dict(trial.params) == design.from_unit(x)


def test_the_new_start_satisfies_constraints_and_running_points_are_not_asked_again():
    below = LinearConstraint([[1.0, 1.0, 0.0]], -np.inf, 1.2)
    study, _ = misled(constraints=below)
    asked = [study.ask() for _ in range(3)]
    assert [trial.origin for trial in asked[:2]] == ["initial"] * 2
    X = np.array([[trial.params["x"], trial.params["y"]] for trial in asked])
    assert (X.sum(1) <= 1.2 + 1e-9).all() and all(t.params["task"] == "new" for t in asked)
    assert min(np.abs(a - b).max() for i, a in enumerate(X) for b in X[:i]) > 1e-3


def test_without_other_tasks_it_is_a_search_of_its_own():
    study = study_of(related, n_history=0, n_initial=5)
    trials = run(study, related, 9)
    assert [trial.origin for trial in trials] == ["initial"] * 5 + ["acquisition"] * 4
    assert isinstance(model_of(study), ExactGaussianProcess)


def test_points_of_another_task_are_not_taken_in_a_finite_space():
    space = bo.Space(k=bo.Int(0, 5), task=SPACE["task"])
    study = bo.Study(space, noise=False, seed=1, policy=bo.Policy(search=QUICK))
    study.add([{"k": k, "task": "old"} for k in range(6)], [(k - 2.0) ** 2 for k in range(6)])
    study.run(lambda k, task: (k - 3.0) ** 2, 20, progress=False)
    assert sorted(t.params["k"] for t in study.trials if t.params["task"] == "new") == [*range(6)]


@pytest.mark.parametrize("with_costs", [True, False])
def test_costs_of_a_history_are_not_thought_to_differ_by_task(with_costs):
    old = bo.Study(bo.Space(x=bo.Float(0, 1), y=bo.Float(0, 1)), seed=0, noise=False, cost="learn")
    for _ in range(6):
        trial = old.ask()
        value = bowl(**trial.params)
        old.tell(trial, bo.Evaluation(value, cost=2.0) if with_costs else value)
    policy = bo.Policy(search=QUICK)
    study = bo.Study(SPACE, seed=1, noise=False, cost="learn", cost_budget=30.0, policy=policy)
    study.add_study(old, task="old")

    def paid(x, y, task):
        return bo.Evaluation(bowl(x, y), cost=2.0)

    study.run(paid, 11, progress=False)
    assert sum(trial.params["task"] == "new" for trial in study.trials) == 5


def test_a_replay_asks_for_the_same():
    study, _ = misled()
    for trial in run(study, unrelated, N_INITIAL):
        assert dict(study.replay(trial.number)) == dict(trial.params)


@pytest.mark.parametrize("sought", [0, None])
def test_strong_correlations_are_expected_where_one_task_is_sought(sought):
    tasks = Tasks(2, (1.0, 1.0), sought, 0 if sought is None else 2)
    below = tasks.learnt[2]
    correlation = below.centre / np.hypot(1.0, below.centre)
    assert correlation == pytest.approx(0.71 if sought is None else 0.95, abs=0.01)
    # One that is all but perfect is within reach, and none at all is not far.
    assert below.low < 0.0 and (sought is None or below.high / np.hypot(1, below.high) > 0.998)
    assert tasks.has_many_optima == (sought is not None)
