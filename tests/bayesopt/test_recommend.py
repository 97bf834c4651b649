"""Which point is recommended: the rules, their differences under noise, their honesty."""

import numpy as np
import pytest
from problems import MIXED, SQUARE, bowl, mixed_bowl

import bayesopt as bo
from bayesopt.policy import Search

RULES = ["best_observed", "best_evaluated_mean", "best_mean"]


def lucky_study(direction="minimize"):
    """A valley around 0.32 and one lucky value far from it, among poor ones at 0.8."""
    X = np.array([0.1, 0.2, 0.25, 0.39, 0.44, 0.55, 0.7, 0.79, 0.8, 0.81, 0.9])
    y = np.array([0.6, 0.1, -0.8, -0.8, -0.5, 0.5, 1.0, 1.2, -1.5, 1.1, 1.3])
    study = bo.Study([(0.0, 1.0)], direction=direction, noise=0.7, seed=0)
    study.add(X[:, None], y if direction == "minimize" else -y)
    return study


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_three_rules_differ_under_noise(direction):
    study = lucky_study(direction)
    sign = 1.0 if direction == "minimize" else -1.0
    by_rule = {rule: study.recommend(rule) for rule in RULES}
    x = {rule: by_rule[rule].params["x0"] for rule in RULES}
    assert x["best_observed"] == 0.8
    assert x["best_evaluated_mean"] in (0.25, 0.39)
    assert 0.25 < x["best_mean"] < 0.39
    mean = {rule: sign * by_rule[rule].mean for rule in RULES}
    assert mean["best_mean"] < mean["best_evaluated_mean"] < mean["best_observed"]
    assert mean["best_observed"] > -1.0  # not the lucky -1.5
    for rule in RULES:
        assert by_rule[rule].rule == rule
        assert 0.0 < by_rule[rule].sd < 0.7


def test_under_noise_the_luckiest_observation_is_not_recommended():
    study = lucky_study()
    assert study.recommend() == study.recommend("best_evaluated_mean")
    assert study.recommend().params["x0"] != 0.8


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_without_noise_the_best_observation_is_recommended(direction):
    values = np.array([3.0, 1.0, 2.0, 1.5])
    study = bo.Study([(0, 1)], direction=direction, noise=False, seed=0)
    study.add([[0.1], [0.4], [0.6], [0.9]], values)
    best = study.recommend()
    assert best.rule == "best_observed"
    assert best.params == {"x0": 0.4 if direction == "minimize" else 0.1}
    assert best.mean == (1.0 if direction == "minimize" else 3.0)
    assert best.sd == 0.0


@pytest.mark.parametrize("values", [[1e300, 3e-300, 1e-300], [1e20, 1 + 1e-9, 1.0]])
def test_the_recommended_value_is_the_observed_one_to_the_last_digit(values):
    study = bo.Study([(0, 1)], noise=False, seed=0)
    study.add([[0.1], [0.5], [0.9]], values)
    best = study.recommend()
    assert (best.params["x0"], best.mean, best.sd) == (0.9, values[2], 0.0)


def test_the_mean_of_the_whole_space_may_lie_where_nobody_looked():
    study = bo.Study([(0, 1)], noise=False, seed=0)
    X = np.array([[0.05], [0.2], [0.4], [0.7], [0.95]])
    study.add(X, (X[:, 0] - 0.3) ** 2)
    best = study.recommend("best_mean")
    assert best.params["x0"] == pytest.approx(0.3, abs=0.02)
    assert best.mean < 0.01 and best.sd > 0.0


def test_the_mean_of_a_mixed_space_is_searched_on_its_lattice():
    study = bo.Study(MIXED, noise=False, seed=0)
    study.run(mixed_bowl, 20)
    best = study.recommend("best_mean")
    assert MIXED.check(best.params) == best.params
    assert best.mean <= study.recommend("best_evaluated_mean").mean + 1e-3


def test_the_evaluated_mean_is_that_of_predict():
    study = bo.Study(SQUARE, noise=0.05, seed=0, policy=bo.Policy(search=Search(truncate=None)))
    rng = np.random.default_rng(0)
    study.run(lambda x: bowl(x) + 0.05 * rng.normal(), 12)
    best = study.recommend()
    X = [list(trial.params.values()) for trial in study.trials]
    mean, sd = study.predict(X)
    assert best.params == study.trials[int(np.argmin(mean))].params
    assert best.mean == pytest.approx(mean.min(), rel=1e-9)
    assert best.sd == pytest.approx(sd[np.argmin(mean)], rel=1e-9)


def test_failed_trials_are_never_recommended():
    study = bo.Study([(0, 1)], noise=False, seed=0)
    study.add([[0.1], [0.3], [0.5], [0.9]], [2.0, np.nan, 1.0, 3.0])
    for rule in RULES[:2]:
        assert study.recommend(rule).params == {"x0": 0.5}


@pytest.mark.parametrize("rule", ["best", None, 3])
def test_an_unknown_rule_gets_the_known_ones(rule):
    with pytest.raises(ValueError) as refused:
        lucky_study().recommend(rule)
    for known in RULES:
        assert known in str(refused.value)
