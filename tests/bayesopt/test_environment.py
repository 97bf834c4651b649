"""Laws of random conditions: what is read, refused, stored and compared."""

import json
import re

import numpy as np
import pytest
import torch
from scipy import stats

import bayesopt as bo
from bayesopt.environment import CVaR, Environment

W = bo.Float(0, 1, role="environment")
N = bo.Int(0, 9, role="environment")
WIND = bo.Categorical(["calm", "storm"], role="environment")


def space(**random):
    return bo.Space(x=bo.Float(0, 1), **random)


GOOD = {
    "a normal law": ({"w": stats.norm(0.5, 0.1)}, {"w": W}),
    "a law by keywords": ({"w": stats.norm(scale=0.1, loc=0.5)}, {"w": W}),
    "a law with a shape": ({"w": stats.beta(2, b=5)}, {"w": W}),
    "a discrete law of a Float": ({"w": stats.randint(0, 2)}, {"w": W}),
    "a discrete law of an Int": ({"n": stats.binom(9, 0.3)}, {"n": N}),
    "values of a Float": ({"w": {0.25: 1, 0.5: 2, 0.75: 1}}, {"w": W}),
    "values of an Int": ({"n": dict.fromkeys(range(5), 1)}, {"n": N}),
    "choices": ({"wind": {"calm": 0.9, "storm": 0.1}}, {"wind": WIND}),
    "two laws": ({"w": stats.uniform(), "n": {1: 1, 2: 1}}, {"n": N, "w": W}),
    "a joint law": ({("w", "wind"): {(0.1, "calm"): 3, (0.9, "storm"): 1}}, {"w": W, "wind": WIND}),
}


@pytest.mark.parametrize("what", GOOD)
@pytest.mark.parametrize("goal", ["mean", CVaR(0.9)])
def test_a_law_fits_and_survives_json(what, goal):
    laws, random = GOOD[what]
    environment = Environment(laws, goal)
    environment.check(space(**random))
    again = Environment.from_json(json.loads(json.dumps(environment.to_json())))
    assert again == environment and hash(again) == hash(environment)
    assert again.to_json() == environment.to_json()
    again.check(space(**random))
    other = CVaR(0.5) if goal == "mean" else "mean"
    assert Environment(laws, other) != environment


def test_of_takes_none_a_dict_and_an_environment():
    given = Environment({"w": stats.norm(0.5, 0.1)})
    assert Environment.of(None) is None
    assert Environment.of(given) is given
    assert Environment.of({"w": stats.norm(0.5, 0.1)}) == given
    with pytest.raises(TypeError, match="must be a dict of laws"):
        Environment.of(stats.norm(0.5, 0.1))


def test_equal_laws_are_equal_however_they_were_written():
    assert Environment({"w": stats.norm(0.5)}) == Environment({"w": stats.norm(loc=0.5, scale=1)})
    assert Environment({"w": stats.norm(0.5)}) != Environment({"w": stats.norm(0.6)})
    assert Environment({"w": stats.norm(0.5)}) != Environment({"w": stats.cauchy(0.5)})
    assert Environment({"n": {1: 1, 2: 3}}) == Environment({"n": {1: 25, 2: 75}})
    one, two = {"a": stats.uniform()}, {"b": {1: 1}}
    assert Environment(one | two) == Environment(two | one)


def test_weights_are_normalised_whatever_their_size():
    (law,) = Environment({"n": {1: 1e308, 2: 1e308, 3: 0}}).laws.values()
    assert law.weights == (0.5, 0.5, 0.0)


def test_reprs_can_be_read():
    environment = Environment({"w": stats.beta(2, 5), "n": {1: 1, 2: 3}}, CVaR(0.9))
    assert repr(environment) == (
        "Environment({'w': scipy.stats.beta(a=2, b=5, loc=0.0, scale=1.0), "
        "'n': {1: 0.25, 2: 0.75}}, goal=CVaR(level=0.9))"
    )


WRONG_DIMENSION = {
    "several variables": {"w": stats.multivariate_normal([0, 0])},
    "a direction": {"w": stats.dirichlet([1, 1, 1])},
    "arrays of parameters": {"w": stats.norm([0.1, 0.2], 0.1)},
    "pairs for one": {"w": {(0.1, 0.2): 1}},
    "one for a pair": {("w", "v"): {0.1: 1}},
    "three for a pair": {("w", "v"): {(0.1, 0.2, 0.3): 1}},
    "a law of one for a pair": {("w", "v"): stats.norm(0.5, 0.1)},
}


@pytest.mark.parametrize("what", WRONG_DIMENSION)
def test_a_law_of_the_wrong_dimension_is_refused(what):
    with pytest.raises(ValueError, match=r"The law of 'w'.* in `environment` is of the wrong dim"):
        Environment(WRONG_DIMENSION[what])


BAD = {
    "no law": ({}, ValueError, "has no law"),
    "a number": ({"w": 0.5}, TypeError, "must be a law, but got 0.5"),
    "a list": ({"w": [0.5, 0.6]}, TypeError, "must be a law"),
    "a law of torch": ({"w": torch.distributions.Normal(0.0, 1.0)}, TypeError, "must be a law"),
    "not frozen": ({"w": stats.norm}, TypeError, r"call it, like scipy.stats.norm\(...\)"),
    "a scale of zero": ({"w": stats.norm(0.5, 0)}, ValueError, "its parameters are not allowed"),
    "no values": ({"w": {}}, ValueError, "has no value"),
    "a negative weight": ({"n": {1: 1, 2: -1}}, ValueError, "that of 2 is -1.0"),
    "a NaN weight": ({"n": {1: np.nan}}, ValueError, "that of 1 is nan"),
    "an infinite weight": ({"n": {1: np.inf}}, ValueError, "that of 1 is inf"),
    "weights of zero": ({"n": {1: 0, 2: 0}}, ValueError, "at least one weight must be positive"),
    "a weight that is none": ({"n": {1: "a"}}, TypeError, "a weight must be a number"),
    "a name that is none": ({3: {1: 1}}, TypeError, "by the name of a parameter"),
    "a name twice": ({("w", "w"): {(1, 2): 1}}, ValueError, "names a parameter twice"),
    "two laws": ({"w": {1: 1}, ("w", "v"): {(1, 2): 1}}, ValueError, "two laws of 'w'"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_law_is_refused(what):
    laws, error, text = BAD[what]
    with pytest.raises(error, match=text):
        Environment(laws)


@pytest.mark.parametrize("goal", ["median", None, 0.9, CVaR])
def test_an_unknown_goal_names_the_known_ones(goal):
    with pytest.raises(ValueError, match=r"Unknown goal .*known are 'mean' and CVaR\(level\)"):
        Environment({"w": stats.uniform()}, goal)


@pytest.mark.parametrize("level", [-0.1, 1.0, np.nan, np.inf])
def test_a_level_outside_of_its_range_is_refused(level):
    with pytest.raises(ValueError, match="The `level` of CVaR must be"):
        CVaR(level)
    with pytest.raises(TypeError):
        CVaR("0.9")


MISFITS = {
    "no law of a random one": ({"w": stats.uniform()}, {"w": W, "n": N}, "has no law of ['n']"),
    "a law of another": (
        {"w": stats.uniform(), "x": stats.uniform()},
        {"w": W},
        "has laws of ['x'], but the parameters with role='environment' are ['w']",
    ),
    "no role at all": ({"w": stats.uniform()}, {"w": bo.Float(0, 1)}, "has laws of ['w']"),
    "a value out of range": ({"w": {1.5: 1}}, {"w": W}, "1.5 is outside [0.0, 1.0]"),
    "no choice": ({"wind": {"gale": 1}}, {"wind": WIND}, "'gale' is not one of"),
    "not whole": ({"n": {1.5: 1}}, {"n": N}, "must be a whole number"),
    "a continuous law of an Int": ({"n": stats.norm(4, 1)}, {"n": N}, "a continuous law, but 'n'"),
    "a law of choices": ({"wind": stats.norm()}, {"wind": WIND}, "give {choice: weight}"),
    "atoms that are not whole": ({"n": stats.binom(3, 0.5, 0.5)}, {"n": N}, "are not whole"),
    "mass below": ({"w": stats.norm(0.1, 0.1)}, {"w": W}, "which has 15.9 % of its mass outside"),
    "mass above": ({"w": stats.norm(0.9, 0.1)}, {"w": W}, "Float(0, 1.26) is wide enough"),
    "atoms above": ({"n": stats.poisson(8)}, {"n": N}, "Int(0, 20) is wide enough"),
    "no mass inside": ({"w": stats.norm(9, 0.1)}, {"w": W}, "which has 100 % of its mass outside"),
}


@pytest.mark.parametrize("what", MISFITS)
def test_a_law_that_does_not_fit_its_parameter_is_refused(what):
    laws, random, text = MISFITS[what]
    with pytest.raises((ValueError, TypeError), match=re.escape(text)):
        Environment(laws).check(space(**random))


@pytest.mark.parametrize(
    "law, parameter",
    [(stats.norm(0.9, 0.1), bo.Float), (stats.poisson(8), bo.Int), (stats.cauchy(), bo.Float)],
)
def test_the_bounds_that_are_proposed_would_do(law, parameter):
    environment = Environment({"w": law})
    with pytest.raises(ValueError) as error:
        environment.check(space(w=parameter(0, 1, role="environment")))
    low, high = re.search(r"\w+\((\S+), (\S+)\) is wide enough", str(error.value)).groups()
    environment.check(space(w=parameter(float(low), float(high), role="environment")))


class Ramp(stats.rv_continuous):
    def _pdf(self, x):
        return 2 * x


@pytest.mark.parametrize(
    "law",
    [
        Ramp(a=0, b=1, name="ramp")(),
        Ramp(a=0, b=1, name="norm")(),
        stats.rv_histogram((np.array([1, 2]), np.array([0.0, 0.5, 1.0]))).freeze(),
        stats.rv_discrete(values=([0, 1], [0.5, 0.5]))(),
    ],
)
def test_a_law_without_a_name_works_and_cannot_be_stored(law):
    environment = Environment({"w": law})
    environment.check(space(w=W))
    assert environment == Environment({"w": law})
    with pytest.raises(TypeError, match="cannot be stored with a study"):
        environment.to_json()


def test_a_stored_name_that_is_no_law_is_refused():
    stored = {"laws": [{"names": ["w"], "law": "qmc", "parameters": {}}], "level": None}
    with pytest.raises(ValueError, match="has no law 'qmc'"):
        Environment.from_json(stored)
