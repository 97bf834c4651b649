"""Points that are asked for together: distinct, chosen again by a replay, never too many."""

import numpy as np
import pytest
import torch
from problems import MIXED, SQUARE, bowl, mixed_bowl
from scipy.optimize import LinearConstraint

import bayesopt as bo
from bayesopt import composition, suggestion
from bayesopt.acquisition import joint_search
from bayesopt.acquisition.joint_expected_improvement import JointExpectedImprovement
from bayesopt.acquisition.joint_expected_improvement import build as joint_value
from bayesopt.trial import TrialState


def evaluate(trial):
    return mixed_bowl(**trial.params) if "kind" in trial.params else bowl([*trial.params.values()])


def told(study, n):
    for _ in range(n):
        trial = study.ask()
        study.tell(trial, evaluate(trial))
    return study


def study_of(space=SQUARE, noise=False, n_initial=6, acquisition="auto", **options):
    policy = bo.Policy(batch="joint", acquisition=acquisition)
    return bo.Study(space, noise=noise, policy=policy, n_initial=n_initial, seed=1, **options)


def points(trials):
    return [tuple(trial.params.values()) for trial in trials]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Searches that are no better than the tests need."""
    effort = bo.optimize.Effort(n_global=32, n_local=32, n_starts=1, max_calls=5)
    monkeypatch.setattr(joint_search, "_EFFORT", effort)
    monkeypatch.setattr(joint_search, "_MAX_CALLS", 4)


@pytest.mark.parametrize("noise", [False, "auto"])
@pytest.mark.parametrize("space", [SQUARE, MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("q", [2, 8])
def test_points_differ_and_come_again(space, noise, q):
    study = told(study_of(space, noise), 6)
    study.ask(params=study.space.from_unit(np.full(len(study.space), 0.5)))  # runs beside them
    asked = study.ask(q)
    assert len({*points(study.trials)}) == len(study.trials) == 7 + q
    assert {trial.origin for trial in asked} == {"acquisition"}
    numbers = tuple(trial.number for trial in asked)
    for trial in (asked[0], asked[-1]):
        assert study.trials[trial.number].seen.together == numbers
        assert study.space.check(trial.params) == study.replay(trial) == trial.params
    for trial in reversed(asked):
        study.tell(trial, evaluate(trial))
    assert study.replay(asked[1]) == asked[1].params  # from what was known then
    again = told(study_of(space, noise), 6)
    again.ask(params=study.space.from_unit(np.full(len(study.space), 0.5)))
    assert points(again.ask(q)) == points(asked)


@pytest.mark.parametrize("acquisition", ["ei", "noisy_ei", "kgcp", "kg"])
def test_every_acquisition_that_takes_several(acquisition):
    study = told(study_of(acquisition=acquisition, noise=0.05), 6)
    asked = study.ask(3)
    assert len(set(points(asked))) == 3
    assert {trial.origin for trial in asked} == {"acquisition"}
    assert study.replay(asked[2]) == asked[2].params


def test_together_they_are_worth_more_than_the_greedy_ones(monkeypatch):
    monkeypatch.undo()
    study = told(study_of(), 7)
    greedy = told(bo.Study(SQUARE, noise=False, n_initial=6, seed=1), 7)
    assert points(study.trials) == points(greedy.trials)  # one by one nothing differs
    found = suggestion.fitted(
        study._settings, study.trials, study.region, None, np.random.default_rng(0)
    )[0]
    model, data = found.models.objectives[0], found.seen.objectives[0]
    value = joint_value(model, data, data.X[:0])
    assert isinstance(value, JointExpectedImprovement)
    X = [torch.tensor(points(one.ask(3)), dtype=torch.float64) for one in (study, greedy)]
    together, one_by_one = (float(value(x)) for x in X)
    assert together > one_by_one - 1e-3


def test_during_the_design_they_are_its_points():
    study, other = study_of(), bo.Study(SQUARE, noise=False, n_initial=6, seed=1)
    asked = study.ask(6)
    assert {trial.origin for trial in asked} == {"initial"}
    assert points(asked) == points(other.ask(6))
    assert all(study.replay(trial) == trial.params for trial in asked)


def test_random_points_are_not_chosen_together():
    with pytest.raises(ValueError, match="not for 'random'"):
        bo.Policy(batch="joint", acquisition="random")


@pytest.mark.parametrize("noise", [False, 0.1])
def test_a_finite_space_may_have_fewer(noise):
    """Without noise no point comes twice, and a space of five has two left after three."""
    study = study_of(bo.Space(n=bo.Int(0, 4)), noise, n_initial=2)
    for n in (0, 2, 4):
        study.tell(study.ask(params={"n": n}), (n - 1.2) ** 2)
    asked = study.ask(4)
    if noise is False:
        assert sorted(points(asked)) == [(1,), (3,)]
        with pytest.raises(bo.SpaceExhausted, match="All 5 points"):
            study.ask(2)
        for trial in asked:
            study.tell(trial, 1.0)
        with pytest.raises(bo.SpaceExhausted, match="All 5 points"):
            study.ask(2)
    else:
        assert len(asked) == 4
    assert all(study.replay(trial) == trial.params for trial in asked)
    assert [trial.number for trial in study.trials] == list(range(len(study.trials)))


def test_constraints_on_the_parameters_hold_for_each():
    below = LinearConstraint([[1.0, 1.0]], -np.inf, 0.7)
    study = told(study_of(constraints=below), 6)
    assert all(sum(x) <= 0.7 + 1e-10 for x in points(study.ask(4)))


def test_they_keep_away_from_where_evaluations_fail():
    """All of them: the right half has failed everywhere."""
    study = study_of()
    X = np.random.default_rng(0).random((24, 2))
    study.add(X, [bowl(x) if x[0] < 0.5 else np.nan for x in X])
    asked = np.array(points(study.ask(4)))
    assert (asked[:, 0] < 0.6).all()
    assert len({*points(study.trials)}) == len(study.trials)


def test_a_search_that_breaks_gives_its_numbers_back(monkeypatch):
    study = told(study_of(), 6)

    def broken(*args, **kwargs):
        raise ArithmeticError("no")

    with monkeypatch.context() as during:
        during.setattr(composition, "maximize_jointly", broken)
        with pytest.raises(ArithmeticError):
            study.ask(3)
    assert len(study.trials) == 6
    asked = study.ask(3)
    assert [trial.number for trial in asked] == [9, 10, 11]  # new ones, to be chosen together
    assert [study.ask().number for _ in range(3)] == [6, 7, 8]
    assert all(study.replay(trial) == trial.params for trial in study.trials)


def test_they_are_gone_on_with_from_a_file(tmp_path):
    path = tmp_path / "runs.db"
    asked = told(study_of(storage=path), 6).ask(3)
    again = study_of(storage=path)
    assert points(again.trials) == points(told(study_of(), 6).trials) + points(asked)
    assert again.replay(asked[1].number) == asked[1].params
    for trial in asked:
        again.tell(trial.number, evaluate(trial))
    assert {trial.state for trial in again.trials} == {TrialState.COMPLETE}
