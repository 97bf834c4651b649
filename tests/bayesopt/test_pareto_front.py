"""The points to choose from among several objectives, and how far a search has got."""

import numpy as np
import pytest
from problems import SQUARE
from scipy.optimize import LinearConstraint

import bayesopt as bo
from bayesopt import pareto
from bayesopt.optimize import Effort
from bayesopt.policy import Search

QUICK = bo.Policy(search=Search(effort=Effort(n_global=32, n_local=32, n_starts=1, max_calls=6)))
TWO = ["minimize", "maximize"]
LINE = [(0.0, 1.0)]
LOWER_HALF = LinearConstraint([[1.0, 1.0]], -np.inf, 1.0)


def study_of(**options):
    return bo.Study(**{"space": LINE, "direction": TWO, "noise": False, "seed": 0} | options)


def given(study, values, outcomes=None, sd=None):
    """Results at even points of the line."""
    x = np.linspace(0.0, 1.0, len(values))[:, None]
    if outcomes is None:
        study.add(x, values, sd=sd)
    else:
        pairs = zip(values, outcomes, strict=True)
        study.add(x, [bo.Evaluation(tuple(v), sd, constraints={"a": a}) for v, a in pairs])
    return study, x[:, 0]


VALUES = [[1, 1], [2, 4], [3, 3], [4, 9], [0, 0], [2, 4], [5, 9]]
"""Of the first objective the least, of the second the most: rows 0, 1, 3, 4, 5 are the front."""


def test_nobody_beats_its_points_and_the_best_in_the_first_comes_first():
    study, x = given(study_of(), VALUES)
    front = study.pareto_front()
    assert len(front) == 5
    assert [params["x0"] for params in front.params] == x[[4, 0, 1, 5, 3]].tolist()
    np.testing.assert_array_equal(front.values, np.array(VALUES)[[4, 0, 1, 5, 3]])
    np.testing.assert_array_equal(front.sd, np.zeros((5, 2)))


def test_its_hypervolume_by_hand():
    study, _ = given(study_of(reference_point=(5.0, 0.5)), VALUES)
    front = study.pareto_front()
    # Above (5, 0.5): 4 by 0.5, then 3 by 3, then 1 by 5.
    np.testing.assert_allclose(front.hypervolume_trace, [2, 11, 11, 16, 16, 16, 16])
    assert front.hypervolume == 16.0
    np.testing.assert_array_equal(front.reference_point, [5.0, 0.5])


def test_a_reference_point_that_nobody_gave_lies_below_the_front():
    study, _ = given(study_of(), VALUES)
    front = study.pareto_front()
    np.testing.assert_allclose(front.reference_point, [4.4, -0.9])  # a tenth of its range
    assert front.hypervolume == front.hypervolume_trace[-1] > 0.0


def test_failed_and_infeasible_evaluations_are_no_part_of_it():
    limits = {"a": (0.0, None)}
    values = [[1, 1], [2, 4], [3, 3], [np.nan, 0], [0, 9]]
    study = study_of(outcome_constraints=limits, reference_point=(5, 0))
    x = np.linspace(0.0, 1.0, 5)[:, None]
    study.add(x, values, constraints={"a": [1, 1, 1, 1, -1]})
    study.ask()  # what runs does not count
    front = study.pareto_front()
    assert [params["x0"] for params in front.params] == [0.0, 0.25]
    np.testing.assert_allclose(front.hypervolume_trace, [4, 13, 13, 13, 13])


def test_constraints_on_the_parameters_too():
    above = bo.Study(
        SQUARE, direction=TWO, noise=False, constraints=LOWER_HALF, n_initial=3, seed=0
    )
    above.add([[0.1, 0.1], [0.9, 0.9]], [[3.0, 1.0], [1.0, 9.0]])
    front = above.pareto_front()
    assert front.params == ({"x0": 0.1, "x1": 0.1},)


@pytest.mark.parametrize("reference", [None, (5.0, 0.0)])
def test_where_nothing_is_feasible_it_is_empty(reference):
    options = {"outcome_constraints": {"a": (2.0, None)}, "reference_point": reference}
    study, _ = given(study_of(**options), VALUES[:4], [0.0, 1.0, 0.5, 1.0])
    front = study.pareto_front()
    assert len(front) == 0 and front.params == () and front.values.shape == (0, 2)
    assert front.hypervolume == 0.0 and front.hypervolume_trace.tolist() == [0.0] * 4


def test_under_noise_posterior_means_are_compared():
    """Two flat objectives: the luckiest values belong to nobody."""
    rng = np.random.default_rng(0)
    n = 24
    values = np.stack((np.linspace(0, 1, n), np.linspace(0, 1, n)), axis=1)
    noisy = values + 0.3 * rng.normal(size=(n, 2))
    study, x = given(study_of(noise=0.3), noisy)
    front = study.pareto_front()
    rows = [int(np.flatnonzero(x == params["x0"])[0]) for params in front.params]
    mean, sd = study.predict(x[:, None])
    np.testing.assert_allclose(front.values, mean[rows], rtol=1e-9)
    np.testing.assert_allclose(front.sd, sd[rows], rtol=1e-9)
    assert pareto.non_dominated([-1.0, 1.0] * mean)[rows].all()
    assert np.abs(front.values - values[rows]).mean() < np.abs(noisy - values)[rows].mean()
    assert np.isfinite(front.hypervolume_trace).all() and (front.sd > 0.0).all()


def two_valleys(x):
    """Minima at (0.2, 0.5) and (0.8, 0.5); the outcome says how far apart x[1] and 0.5 are."""
    near = [(x[0] - c) ** 2 + (x[1] - 0.5) ** 2 for c in (0.2, 0.8)]
    return bo.Evaluation((near[0], -near[1]), constraints={"a": abs(x[1] - 0.5)})


def test_a_search_returns_its_front():
    found = bo.minimize(
        two_valleys,
        SQUARE,
        14,
        direction=TWO,
        noise=False,
        outcome_constraints={"a": (None, 0.3)},
        policy=QUICK,
        seed=0,
    )
    front = found.pareto_front
    assert found.success and len(front) == len(found.x) == len(found.params) >= 3
    np.testing.assert_array_equal(found.fun, front.values)
    scores = [-1.0, 1.0] * found.func_vals
    met = [trial.evaluation.constraints["a"] <= 0.3 for trial in found.study.trials]
    assert found.func_vals.shape == (14, 2) and not all(met)
    alone = pareto.non_dominated(np.where(np.array(met)[:, None], scores, np.nan))
    assert sorted(map(tuple, found.fun)) == sorted(map(tuple, found.func_vals[alone]))
    for x in found.x:
        assert abs(x[1] - 0.5) <= 0.3
    trace = front.hypervolume_trace
    assert (np.diff(trace) >= 0.0).all() and trace[-1] == front.hypervolume
    assert trace[-1] == pytest.approx(
        pareto.hypervolume([-1.0, 1.0] * found.fun, [-1.0, 1.0] * front.reference_point)
    )
    assert "hypervolume improvement, times the probability of feasibility" in found.message


def test_a_search_that_meets_nothing_says_so():
    found = bo.minimize(
        two_valleys,
        SQUARE,
        7,
        direction=TWO,
        noise=False,
        outcome_constraints={"a": (9.0, None)},
        policy=QUICK,
        seed=0,
    )
    assert found.success is False and len(found.pareto_front) == 0 and found.x == []
    assert "No point is known to meet the outcome constraints." in found.message


def test_it_is_for_several_objectives_and_a_best_point_for_one():
    with pytest.raises(ValueError, match=r"has one objective: ask `study.recommend\(\)`"):
        one = bo.Study(LINE, seed=0)
        one.add([[0.5]], [1.0])
        one.pareto_front()
    study, _ = given(study_of(), VALUES)
    with pytest.raises(ValueError, match=r"2 objectives, .*choose one of `study.pareto_front\(\)"):
        study.recommend()
    with pytest.raises(ValueError, match="Nothing has been observed yet"):
        study_of().pareto_front()


def test_predictions_have_a_column_for_each_objective():
    study, x = given(study_of(), [[v, 100 - v * v] for v in range(6)])
    mean, sd = study.predict(x[:, None])
    assert mean.shape == sd.shape == (6, 2)
    np.testing.assert_allclose(mean, [[v, 100 - v * v] for v in range(6)], rtol=1e-6, atol=1e-6)


def test_predictions_of_constraints_are_by_name_and_in_their_units():
    def evaluated(x0):
        return bo.Evaluation(x0**2, constraints={"heat": 1e3 * x0, "age": 5.0 - x0})

    study = bo.Study(LINE, noise=False, outcome_constraints={"heat": (None, 400.0), "age": (0, 9)})
    x = np.linspace(0.0, 1.0, 9)
    study.add(x[:, None], [evaluated(each) for each in x])
    predicted = study.predict_constraints([[0.3], [0.9]])
    assert set(predicted) == {"heat", "age"}
    np.testing.assert_allclose(predicted["heat"][0], [300.0, 900.0], atol=3.0)
    np.testing.assert_allclose(predicted["age"][0], [4.7, 4.1], atol=0.003)
    assert (predicted["heat"][1] < 30.0).all()


def test_a_front_is_shown_in_a_line():
    study, _ = given(study_of(reference_point=(5.0, 0.5)), VALUES)
    assert repr(study.pareto_front()) == "<ParetoFront of 5 points, hypervolume 16>"
