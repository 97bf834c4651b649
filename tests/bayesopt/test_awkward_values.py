"""Values that break a naive model: tiny, huge, constant, of every size at once, one far out.

Warnings are errors here, so that none of it passes by overflow.
"""

import functools
import math
import sys

import numpy as np
import pytest
from problems import SQUARE, bowl

import bayesopt as bo

N_INITIAL, N_EVALS = 6, 13
NOISES = [False, "auto"]


def penalised(penalty):
    """The bowl, where a quarter of the square is forbidden by a large value."""
    return lambda x: penalty if x[0] > 0.7 else bowl(x)


AWKWARD = {
    "around 1e-300": lambda x: 1e-300 * bowl(x),
    "denormal": lambda x: 1e-310 * bowl(x),
    "around 1e300": lambda x: 1e300 * bowl(x),
    "up to the largest": lambda x: sys.float_info.max * bowl(x),
    "negative and huge": lambda x: -1e300 * (1.0 - bowl(x)),
    "from 1e-300 to 1e300": lambda x: 10.0 ** (600.0 * math.sqrt(bowl(x)) - 300.0),
    "far from zero": lambda x: 1e9 + bowl(x),
    "a penalty of 1e6": penalised(1e6),
    "a penalty of 1e20": penalised(1e20),
    "a penalty of 1e300": penalised(1e300),
    "the largest as a penalty": penalised(sys.float_info.max),
    "a plateau": lambda x: min(bowl(x), 0.2),
    "whole numbers": lambda x: round(200.0 * bowl(x)),
}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("what", AWKWARD)
def test_the_search_improves_on_its_initial_design(what, noise):
    fun = AWKWARD[what]
    result = bo.minimize(fun, SQUARE, N_EVALS, noise=noise, n_initial=N_INITIAL, seed=0)
    assert result.nfev == N_EVALS and np.isfinite(result.func_vals).all()
    assert result.func_vals[N_INITIAL:].min() < result.func_vals[:N_INITIAL].min()
    assert math.isfinite(result.fun) and math.isfinite(result.sd) and result.sd >= 0.0
    if noise is False:
        assert result.fun == result.func_vals.min() == fun(result.x)


@functools.cache
def search_of_the_bowl(noise):
    return bo.minimize(bowl, SQUARE, N_EVALS, noise=noise, seed=0)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("unit", [1e-300, 1e-5, 1e5, 1e300])
def test_the_unit_of_the_values_does_not_matter(unit, noise):
    plain = search_of_the_bowl(noise)
    scaled = bo.minimize(lambda x: unit * bowl(x), SQUARE, N_EVALS, noise=noise, seed=0)
    np.testing.assert_allclose(scaled.x_iters[:10], plain.x_iters[:10], atol=1e-4)
    assert bowl(scaled.x) < 5e-3
    assert scaled.fun == pytest.approx(unit * bowl(scaled.x), abs=0.02 * unit)


@pytest.mark.parametrize("noise", [*NOISES, 0.1])
@pytest.mark.parametrize("value", [0.0, 1.0, -3e5, 1e-300, -1e300])
def test_a_constant(value, noise):
    result = bo.minimize(lambda x: value, SQUARE, 10, noise=noise, seed=0)
    assert result.nfev == 10 and result.success is True
    assert result.fun == pytest.approx(value, rel=1e-6, abs=1e-300)
    points = {tuple(x) for x in result.x_iters}
    assert len(points) == 10
    mean, sd = result.study.predict([[0.5, 0.5]])
    assert mean[0] == pytest.approx(value, rel=1e-6, abs=1e-300) and np.isfinite(sd).all()


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_one_outlier_a_million_times_larger(sign, noise):
    study = bo.Study(SQUARE, noise=noise, seed=0, direction="minimize" if sign > 0 else "maximize")
    calls = iter(range(100))
    study.run(lambda x: sign * (bowl(x) if next(calls) != 2 else 1e6 * bowl(x)), 20)
    best = study.recommend()
    assert bowl([best.params["x0"], best.params["x1"]]) < 0.01


@pytest.mark.parametrize("noise", NOISES)
def test_a_huge_value_says_that_its_region_is_bad_and_no_more(noise):
    result = bo.minimize(penalised(1e20), SQUARE, 25, noise=noise, seed=0)
    assert bowl(result.x) < 1e-2
    assert sum(x[0] > 0.7 for x in result.x_iters[N_INITIAL:]) < 10


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("unit", [1e-300, 1.0, 1e300])
def test_predictions_keep_awkward_units(unit, noise):
    study = bo.Study([(0.0, 1.0)], noise=noise, seed=0)
    X = np.linspace(0, 1, 9)
    study.add(X[:, None], unit * (X - 0.3) ** 2)
    mean, sd = study.predict(X[:, None])
    np.testing.assert_allclose(mean / unit, (X - 0.3) ** 2, atol=0.02)
    assert (sd / unit < 0.1).all()
    assert (sd >= 0).all()


@pytest.mark.parametrize("sd", [0.0, 1e-300, 1e-9, 1e9, 1e300])
@pytest.mark.parametrize("unit", [1e-300, 1.0, 1e300])
def test_standard_errors_of_any_size(sd, unit):
    result = bo.minimize(lambda x: (unit * bowl(x), sd), SQUARE, 9, seed=0)
    assert result.nfev == 9 and math.isfinite(result.fun)


@pytest.mark.parametrize("noise", [1e-300, 1e-9, 1e9, 1e300])
@pytest.mark.parametrize("unit", [1e-300, 1.0, 1e300])
def test_known_noise_of_any_size(noise, unit):
    result = bo.minimize(lambda x: unit * bowl(x), SQUARE, 9, noise=noise, seed=0)
    assert result.nfev == 9 and math.isfinite(result.fun)


LIMITS = {
    "a bound far beyond all values": (lambda x: 1e-300 * x[0], (None, 1e10)),
    "an interval that rounds to nothing": (lambda x: 1e300 * (x[0] - 0.5), (0.0, 1.0)),
    "one value of 1e20": (lambda x: 1e20 if x[0] > 0.7 else x[1], (0.0, 0.5)),
    "the largest floats": (lambda x: sys.float_info.max * (2 * x[0] - 1), (-1e308, 1e308)),
}


@pytest.mark.parametrize("what", LIMITS)
def test_outcome_constraints_of_any_size(what):
    outcome, bounds = LIMITS[what]
    result = bo.minimize(
        lambda x: bo.Evaluation(bowl(x), constraints={"c": outcome(x)}),
        SQUARE,
        N_INITIAL + 1,
        n_initial=N_INITIAL,
        outcome_constraints={"c": bounds},
        noise=False,
        seed=0,
    )
    assert math.isfinite(result.fun) and result.feasibility in (0.0, 1.0)


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_several_objectives_and_a_reference_point_of_any_size(size):
    result = bo.minimize(
        lambda x: (size * bowl(x), size * x[0]),
        SQUARE,
        N_INITIAL + 1,
        n_initial=N_INITIAL,
        direction=["minimize", "maximize"],
        reference_point=(1e300, -1e300),
        noise=False,
        seed=0,
    )
    assert len(result.pareto_front) > 0 and not math.isnan(result.pareto_front.hypervolume)


def diverging(x):
    diverged = x[0] > 0.75
    return bo.Evaluation(-x[0] - x[1], constraints={"c": 1e20 if diverged else x[0] + x[1]})


def test_a_constraint_that_diverges_does_not_hide_its_border():
    result = bo.minimize(
        diverging, SQUARE, 18, outcome_constraints={"c": (None, 0.9)}, noise=False, seed=0
    )
    assert result.success and result.fun < -0.85  # -0.78 where one value flattens the others
