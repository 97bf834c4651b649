"""Bad input gets an error that says what came and what is allowed, before anything is evaluated."""

import numpy as np
import pytest
from problems import SQUARE
from scipy.optimize import Bounds

import bayesopt as bo

NAMED = bo.Space(C=bo.Float(1e-3, 1e3, log=True), depth=bo.Int(1, 6))


class Counted:
    """An objective that must never be called."""

    calls = 0

    def __call__(self, x):
        Counted.calls += 1
        return 0.0


class CountedByName(Counted):
    def __call__(self, C, depth):
        return super().__call__(C)


def one_vector(x):
    Counted.calls += 1
    return 0.0


def two_numbers(x, y):
    Counted.calls += 1
    return 0.0


SPACES = {
    "low above high": (lambda: [(1, 0)], ValueError, "`low` must be smaller than `high`"),
    "low equals high": (lambda: [(1, 1)], ValueError, "`low` must be smaller than `high`"),
    "NaN bound": (lambda: [(0, np.nan)], ValueError, "must be finite"),
    "infinite bound": (lambda: [(-np.inf, 0)], ValueError, "must be finite"),
    "infinite SciPy bound": (lambda: Bounds([0, 0], [1, np.inf]), ValueError, "must be finite"),
    "log of zero": (lambda: bo.Space(x=bo.Float(0, 1, log=True)), ValueError, "low > 0"),
    "log below zero": (lambda: bo.Space(x=bo.Float(-1, 1, log=True)), ValueError, "low=-1"),
    "log of an int": (lambda: bo.Space(x=bo.Int(0, 9, log=True)), ValueError, "low >= 1"),
    "int bound": (lambda: bo.Space(x=bo.Int(0, 2.5)), ValueError, "whole number.*2.5"),
    "no choices": (lambda: bo.Space(x=bo.Categorical([])), ValueError, "at least one choice"),
    "twice": (lambda: bo.Space(x=bo.Categorical(["a", "a"])), ValueError, "'a' stands twice"),
    "a string of choices": (lambda: bo.Space(x=bo.Categorical("ab")), TypeError, "list of"),
    "empty space": (lambda: bo.Space(), ValueError, "at least one parameter"),
    "empty list": (lambda: [], ValueError, "at least one parameter"),
    "pairs of three": (lambda: [(0, 1, 2)], ValueError, r"\(low, high\) pairs"),
    "a plain pair": (lambda: (0, 1), ValueError, r"\(low, high\) pairs"),
    "a dict": (lambda: {"x": (0, 1)}, TypeError, r"Space\(\*\*parameters\)"),
    "a number": (lambda: 3, TypeError, "`space` must be a Space.*int"),
}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("optimise", [bo.minimize, bo.maximize])
def test_spaces(name, optimise):
    make, error, text = SPACES[name]
    Counted.calls = 0
    with pytest.raises(error, match=text):
        optimise(Counted(), make(), 10)
    assert Counted.calls == 0


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"n_evals": 0}, ValueError, "`n_evals` must be at least 1, but got 0"),
        ({"n_evals": -3}, ValueError, "`n_evals` must be at least 1"),
        ({"n_evals": 10.5}, TypeError, "`n_evals` must be a whole number, but got 10.5"),
        ({"n_evals": "10"}, TypeError, "`n_evals` must be a whole number"),
        ({"n_evals": True}, TypeError, "`n_evals` must be a whole number"),
        ({"n_evals": None}, TypeError, "`n_evals` must be a whole number"),
        ({"n_initial": 0}, ValueError, "`n_initial` must be at least 1"),
        ({"n_initial": 2.5}, TypeError, "`n_initial` must be a whole number"),
        ({"noise": -0.1}, ValueError, "`noise`.*standard deviation >= 0.*-0.1"),
        ({"noise": np.nan}, ValueError, "`noise` must be a finite"),
        ({"noise": np.inf}, ValueError, "`noise` must be a finite"),
        (
            {"noise": True},
            TypeError,
            "`noise` is 'auto', 'heteroscedastic', False or a standard deviation.*True",
        ),
        (
            {"noise": "x"},
            TypeError,
            "`noise` is 'auto', 'heteroscedastic', False or a standard deviation.*'x'",
        ),
        ({"noise": None}, TypeError, "`noise` is 'auto'"),
        ({"noise": [0.1, 0.1]}, TypeError, "`noise` is 'auto'"),
        ({"noise": np.array([0.1, 0.1])}, TypeError, "`noise` is 'auto'"),
        ({"policy": "ei"}, TypeError, "`policy` must be a bayesopt.Policy, but got 'ei'"),
        ({"policy": bo.Policy}, TypeError, "`policy` must be a bayesopt.Policy"),
        ({"seed": -1}, ValueError, "`seed` must be at least 0"),
        ({"seed": 1.5}, TypeError, "`seed` must be a whole number"),
        ({"seed": "a"}, TypeError, "`seed` must be a whole number"),
        ({"seed": 2**70}, ValueError, "`seed` must be"),
        ({"timeout": 0}, ValueError, "`timeout` must be positive seconds, but got 0"),
        ({"timeout": -1.0}, ValueError, "`timeout` must be positive"),
        ({"timeout": np.nan}, ValueError, "`timeout` must be positive"),
        ({"timeout": "1"}, TypeError, "`timeout` must be positive seconds"),
        ({"callback": 3}, TypeError, "`callback` must be callable, but got 3"),
        ({"x0": [0.5]}, ValueError, "needs 2 values, but got 1"),
        ({"x0": [0.5, 1.5]}, ValueError, r"'x1': 1.5 is outside \[0.0, 1.0\]"),
        ({"x0": [[0.5, 0.5], [0.5, -0.1]]}, ValueError, "'x1': -0.1 is outside"),
        ({"x0": [0.5, np.nan]}, ValueError, "outside"),
        ({"x0": {"x0": 0.5}}, ValueError, r"missing \['x1'\]"),
        ({"x0": {"x0": 0.5, "x1": 0.5, "z": 0}}, ValueError, r"unknown \['z'\]"),
        ({"x0": [0.5, "a"]}, TypeError, "'x1'.*must be a number"),
        ({"x0": [True, 0.5]}, TypeError, "'x0'.*must be a number"),
        ({"x0": 0.5}, TypeError, "dict or a vector, but got 0.5"),
        ({"x0": "ab"}, TypeError, "dict or a vector, but got 'ab'"),
        ({"x0": [[0.5, 0.5]], "y0": [1.0, 2.0]}, ValueError, r"1 points.*y is \(2,\)"),
        ({"x0": [[0.5, 0.5], [0.1, 0.1]], "y0": 1.0}, ValueError, r"2 points.*y is \(1,\)"),
        ({"y0": [1.0, 2.0]}, ValueError, "`y0` holds the values at the points `x0`"),
        ({"x0": [0.5, 0.5], "y0": "a"}, TypeError, "`y` must be real numbers"),
        ({"x0": [0.5, 0.5], "y0": 1j}, TypeError, "`y` must be real numbers"),
        ({"fun": None}, TypeError, "must be callable, but got None"),
        ({"fun": 3.0}, TypeError, "must be callable"),
        ({"fun": two_numbers}, TypeError, "two_numbers.*called with one vector.*'y'"),
        ({"fun": lambda: 0.0}, TypeError, "called with one vector"),
        ({"fun": one_vector, "space": NAMED}, TypeError, "one_vector.*keywords C, depth"),
        ({"fun": lambda C: 0.0, "space": NAMED}, TypeError, "keywords C, depth.*'depth'"),
        (
            {"fun": CountedByName(), "space": NAMED, "x0": {"C": 1.0, "depth": 7}},
            ValueError,
            r"'depth': 7 is outside \[1, 6\]",
        ),
        (
            {"fun": CountedByName(), "space": NAMED, "x0": {"C": 1.0, "depth": 2.5}},
            ValueError,
            "'depth'.*whole number",
        ),
    ],
)
def test_arguments(options, error, text):
    Counted.calls = 0
    arguments = {"fun": Counted(), "space": SQUARE, "n_evals": 10, "progress": False} | options
    for optimise in (bo.minimize, bo.maximize):
        with pytest.raises(error, match=text):
            optimise(**arguments)
    assert Counted.calls == 0


@pytest.mark.parametrize("direction", ["min", "MINIMIZE", None, 1])
def test_directions(direction):
    with pytest.raises(ValueError, match="`direction` is 'minimize' or 'maximize', but got"):
        bo.Study(SQUARE, direction=direction)


@pytest.mark.parametrize("name", ["ucb", "EI", "", None, 3])
def test_unknown_names_of_a_policy_get_the_known_ones(name):
    with pytest.raises(ValueError, match="Unknown acquisition.*known are 'auto', 'ei', 'noisy_ei'"):
        bo.Policy(acquisition=name)
    with pytest.raises(ValueError, match="Unknown model.*known are 'auto', 'matern52', 'rbf'"):
        bo.Policy(model=name)


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True])
def test_numbers_of_points_to_ask_for(n):
    study = bo.Study(SQUARE, seed=0)
    with pytest.raises((TypeError, ValueError), match="`n` must be"):
        study.ask(n)
    assert study.trials == []


@pytest.mark.parametrize("noise", [0, 0.0, np.float64(0.0), False])
def test_no_noise_may_be_written_as_a_number(noise):
    assert bo.Study(SQUARE, noise=noise).noise is False


@pytest.mark.parametrize("noise", [1, np.int64(1), np.float32(1.0)])
def test_known_noise_may_be_any_number(noise):
    assert bo.Study(SQUARE, noise=noise).noise == 1.0
    result = bo.minimize(lambda x: x[0], SQUARE, 8, noise=noise, seed=np.int64(0))
    assert result.nfev == 8


def test_a_name_that_is_not_there_says_which_are():
    with pytest.raises(AttributeError, match="no attribute 'minimise'; it has .*'minimize'"):
        _ = bo.minimise
