"""Spaces with integers and categories: no repetition without noise, an end, no forgotten choice."""

import numpy as np
import pytest

import bayesopt as bo

FOUR = bo.Space(n=bo.Int(0, 1), kind=bo.Categorical(["a", "b"]))


def small(n, kind):
    return n + (kind == "a")


def keys(result):
    return [tuple(trial.params.values()) for trial in result.study.trials]


def test_a_space_of_four_points_ends_after_four_and_says_why():
    result = bo.minimize(small, FOUR, 10, noise=False, seed=0)
    assert result.nfev == 4 and len(set(keys(result))) == 4
    assert result.success is True
    assert "All 4 points of the space have been tried." in result.message
    assert result.params == {"n": 0, "kind": "b"} and result.fun == 0.0


def test_under_noise_points_may_be_repeated():
    result = bo.minimize(small, FOUR, 10, noise=0.5, seed=0)
    assert result.nfev == 10 and len(set(keys(result))) <= 4
    assert result.params == {"n": 0, "kind": "b"}


@pytest.mark.parametrize("space", [bo.Space(only=bo.Categorical(["x"]))])
def test_a_space_of_one_point(space):
    assert bo.minimize(lambda only: 1.0, space, 3, noise=False, seed=0).nfev == 1
    assert bo.minimize(lambda only: 1.0, space, 3, noise=0.1, seed=0).nfev == 3


def test_asking_an_exhausted_space_raises():
    study = bo.Study(FOUR, noise=False, seed=0)
    assert len({tuple(trial.params.values()) for trial in study.ask(4)}) == 4
    with pytest.raises(bo.SpaceExhausted, match="All 4 points"):
        study.ask()
    assert len(study.trials) == 4


@pytest.mark.parametrize("seed", range(3))
def test_no_point_twice_without_noise(seed):
    space = bo.Space(n=bo.Int(0, 9), log=bo.Int(1, 6, log=True), kind=bo.Categorical(["a", "b"]))
    result = bo.minimize(
        lambda n, log, kind: abs(n - 4) + abs(log - 3) + (kind == "a"),
        space,
        45,
        noise=False,
        seed=seed,
    )
    assert len(set(keys(result))) == 45
    assert result.fun == 0.0


def test_no_point_twice_in_a_real_space_whose_minimum_is_at_a_corner():
    result = bo.minimize(lambda x: x[0] + x[1], [(0, 1), (0, 1)], 25, noise=False, seed=0)
    assert len(set(keys(result))) == 25
    assert result.fun < 1e-6


def test_an_interval_of_three_numbers_ends():
    low = 1.0
    high = np.nextafter(np.nextafter(low, 2.0), 2.0)
    result = bo.minimize(lambda x: x[0] - low, [(low, high)], 9, noise=False, seed=0)
    assert len(set(keys(result))) == result.nfev <= 3
    assert "not among the" in result.message


def test_a_wide_int_is_crossed():
    space = bo.Space(n=bo.Int(1, 2**40, log=True))
    result = bo.minimize(lambda n: abs(np.log2(n) - 23.0), space, 25, noise=False, seed=0)
    assert result.fun < 0.05


@pytest.mark.parametrize("noise", [False, "auto"])
@pytest.mark.parametrize("seed", range(4))
def test_a_choice_that_was_never_tried_stays_attractive(noise, seed):
    space = bo.Space(x=bo.Float(0, 1), kind=bo.Categorical(["a", "b", "c"]))
    offset = {"a": 1.0, "b": 1.2, "c": 0.0}

    def fun(x, kind):
        return (x - 0.3) ** 2 + offset[kind]

    rng = np.random.default_rng(seed)
    known = [{"x": x, "kind": "ab"[k % 2]} for k, x in enumerate(rng.random(10))]
    y = [fun(**point) for point in known]
    result = bo.minimize(fun, space, 16, x0=known, y0=y, noise=noise, seed=seed)
    assert result.params["kind"] == "c"
    assert "c" in [trial.params["kind"] for trial in result.study.trials[10:14]]
