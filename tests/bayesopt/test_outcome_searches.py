"""Searches from end to end: every kind of outcome, of noise, of space, beside running points."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from problems import MIXED, SQUARE, bowl, mixed_bowl
from scipy.optimize import LinearConstraint

import bayesopt as bo
from bayesopt.models import fully_bayesian
from bayesopt.optimize import Effort
from bayesopt.policy import Search
from bayesopt.trial import TrialState

QUICK = Search(effort=Effort(n_global=32, n_local=32, n_starts=1, max_calls=6))
LIMITS = {"size": (0.2, None), "sum": (None, 1.1)}
N_FEW = 4  # points of the design


def evaluated(params, n_objectives, limits, gradient=False):
    """One evaluation of a bowl, of one that falls where the first grows, and of two limits."""
    if "kind" in params:
        value, size = mixed_bowl(**params), params["depth"] / 12
    else:
        value, size = bowl(list(params.values())), params["x0"]
    outcomes = {"size": size, "sum": value + 1.0 - size}
    x = np.array(list(params.values())) if gradient else None
    return bo.Evaluation(
        (value, size - value) if n_objectives == 2 else value,
        gradient=tuple(2 * (x - [0.3, 0.6])) if gradient else None,
        constraints={name: outcomes[name] for name in limits} or None,
    )


def study_of(
    noise=False, limits=(), n_objectives=1, space=SQUARE, storage=None, constraints=(), **policy
):
    return bo.Study(
        space,
        direction=["minimize", "maximize"] if n_objectives == 2 else "minimize",
        noise=noise,
        constraints=constraints,
        outcome_constraints={name: LIMITS[name] for name in limits},
        policy=bo.Policy(search=QUICK, **policy),
        n_initial=N_FEW,
        seed=3,
        storage=storage,
    )


def searched(study, evaluate, n_alone=1, fails=(), n_running=3):
    """The design, then points one by one, and some that run at once."""
    for number in range(N_FEW + n_alone):
        trial = study.ask()
        if number in fails:
            study.fail(trial, "it broke")
        else:
            study.tell(trial, evaluate(trial.params))
    running = study.ask(n_running)
    for trial in reversed(running):
        study.tell(trial, evaluate(trial.params))
    return study


def check(study, n_running=3):
    """What holds of every search: no repetition beside what ran, a point again by a replay."""
    trials = study.trials
    points = [tuple(trial.params.values()) for trial in trials]
    together = points[-n_running:]
    assert len(set(together)) == n_running
    if study.noise is False:
        assert len(set(points)) == len(points)
    chosen = [trial for trial in trials if trial.origin == "acquisition"]
    assert len(trials) - N_FEW - study.explain().n_failed == len(chosen) >= n_running
    assert all(study.region.space.check(trial.params) == trial.params for trial in chosen)
    assert study.replay(trials[-2]) == trials[-2].params


@pytest.mark.parametrize("noise", [False, "auto"])
@pytest.mark.parametrize("limits", [(), ("size", "sum")])
@pytest.mark.parametrize("n_objectives", [1, 2])
@pytest.mark.parametrize("space", [SQUARE, MIXED], ids=["real", "mixed"])
def test_every_combination(noise, limits, n_objectives, space, request):
    case = sum(map(bool, (noise, limits, n_objectives == 2, space is MIXED)))
    batch = ("greedy", "constant_liar")[case % 2]
    study = study_of(noise, limits, n_objectives, space, batch=batch)
    searched(study, partial(evaluated, n_objectives=n_objectives, limits=limits))
    check(study)
    said = str(study.explain())
    assert [name in said for name in LIMITS] == [name in limits for name in LIMITS]
    assert ("objective 1" in said) == (n_objectives == 2)
    if n_objectives == 2:
        assert len(study.pareto_front()) > 0
    else:
        assert study.recommend().feasibility == 1.0 or noise


@pytest.mark.parametrize("batch", ["greedy", "constant_liar"])
@pytest.mark.parametrize("n_objectives", [1, 2])
@pytest.mark.parametrize("limits", [(), ("size", "sum")])
def test_beside_failures(limits, n_objectives, batch):
    study = study_of("auto", limits, n_objectives, batch=batch)
    searched(study, partial(evaluated, n_objectives=n_objectives, limits=limits), fails=(1, 4), n_alone=2)
    check(study)
    theta = study.trials[-1].hyperparameters
    assert len(theta) == n_objectives + len(limits) + 1  # and the classifier
    assert "probability of success" in study.description
    assert 0.0 < study.feasibility([study.trials[1].params])[0] < 0.9


@pytest.mark.parametrize(("limits", "n_objectives"), [(("size",), 1), ((), 2)])
def test_averaged_over_drawn_hyperparameters(limits, n_objectives, monkeypatch):
    monkeypatch.setattr(fully_bayesian, "_N_CHAINS", 2)
    study = study_of("auto", limits, n_objectives, hyperparameters="slice")
    searched(study, partial(evaluated, n_objectives=n_objectives, limits=limits), n_running=2)
    check(study, n_running=2)


@pytest.mark.parametrize("noise", [False, "auto"])
def test_partial_derivatives_beside_constraints(noise):
    study = study_of(noise, ("size", "sum"))
    limits = ("size", "sum")
    searched(study, partial(evaluated, n_objectives=1, limits=limits, gradient=True))
    check(study)
    assert study.explain().n_partials > 0


@pytest.mark.parametrize("n_objectives", [1, 2])
def test_constraints_on_the_parameters_too(n_objectives):
    below = LinearConstraint([[1.0, 1.0]], -np.inf, 0.8)
    study = study_of(False, ("size",), n_objectives, constraints=below)
    searched(study, partial(evaluated, n_objectives=n_objectives, limits=("size",)))
    check(study)
    assert all(sum(trial.params.values()) <= 0.8 + 1e-10 for trial in study.trials)


@pytest.mark.parametrize("name", ["kg", "mes", "noisy_ei", "nei"])
def test_named_acquisitions_under_a_constraint(name):
    study = study_of("auto", ("size",), acquisition=name)
    searched(study, partial(evaluated, n_objectives=1, limits=("size",)), n_alone=1, n_running=2)
    check(study, n_running=2)
    assert "times the probability of feasibility" in study.description


@pytest.mark.parametrize(("limits", "n_objectives"), [(("size", "sum"), 1), (("size",), 2)])
def test_it_is_gone_on_with_from_a_file(tmp_path, limits, n_objectives):
    """The same points as without a break, failures and running points included."""
    evaluate = partial(evaluated, n_objectives=n_objectives, limits=limits)
    whole = searched(study_of("auto", limits, n_objectives), evaluate, fails=(2, 4), n_alone=2)
    path = tmp_path / "runs.db"
    for number in range(N_FEW + 2):
        study = study_of("auto", limits, n_objectives, storage=path)
        trial = study.ask()
        if number in (2, 4):
            study.fail(trial, "it broke")
        else:
            study.tell(trial, evaluate(trial.params))
    again = study_of("auto", limits, n_objectives, storage=path)
    for trial in reversed(again.ask(3)):
        again.tell(trial, evaluate(trial.params))
    assert again.trials == whole.trials


def test_the_best_found_is_feasible_and_near_the_best_there_is():
    """The bowl where x0 >= 0.5, which the search is told of by an outcome only."""
    limits = {"x0": (0.5, None)}

    def fun(x):
        return bo.Evaluation(bowl(x), constraints={"x0": x[0]})

    found = bo.minimize(fun, SQUARE, 16, noise=False, outcome_constraints=limits, seed=0)
    assert found.success and found.feasibility == 1.0
    assert found.constraints["x0"] >= 0.5 and found.constraints == {"x0": found.x[0]}
    assert found.fun == found.observed < bowl([0.5, 0.6]) + 0.002


def test_several_running_searches_do_not_wait_for_an_order():
    """What is told in another order is the same knowledge: the next point is a function of it."""
    evaluate = partial(evaluated, n_objectives=2, limits=("size",))
    chosen = []
    for order in (1, -1):
        study = study_of(False, ("size",), 2)
        for trial in study.ask(N_FEW + 2)[::order]:
            study.tell(trial, evaluate(trial.params))
        chosen.append(study.ask().params)
    assert chosen[0] == chosen[1]
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials[:-1])


def test_another_seed_gives_other_points():
    evaluate = partial(evaluated, n_objectives=2, limits=("size",))
    study = study_of(False, ("size",), 2)
    other = study_of(False, ("size",), 2)
    other._settings = replace(other._settings, seed=4)
    assert searched(study, evaluate).trials[-1].params != searched(other, evaluate).trials[-1].params
