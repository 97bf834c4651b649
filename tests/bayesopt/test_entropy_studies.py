"""Studies that ask by entropy searches: real and mixed spaces, pending points."""

import numpy as np
import pytest
from problems import MIXED, SQUARE, bowl, mixed_bowl

import bayesopt as bo
from bayesopt.acquisition import (
    entropy_search,
    joint_entropy_search,
    max_value_entropy_search,
    predictive_entropy_search,
)

ROOMS = {
    "es": entropy_search,
    "pes": predictive_entropy_search,
    "mes": max_value_entropy_search,
    "jes": joint_entropy_search,
}


@pytest.fixture(params=ROOMS)
def name(request):
    return request.param


def test_a_search_without_noise_comes_near_the_minimum(name):
    policy = bo.Policy(acquisition=ROOMS[name].build)
    result = bo.minimize(
        bowl, SQUARE, 10, policy=policy, noise=False, seed=0, n_initial=6, progress=False
    )
    assert result.fun < 1.5e-2


def test_a_mixed_space_is_searched(name):
    policy = bo.Policy(acquisition=ROOMS[name].build)
    result = bo.minimize(
        mixed_bowl, MIXED, 10, policy=policy, noise=False, seed=0, n_initial=9, progress=False
    )
    *before, last = result.study.trials
    assert last.origin == "acquisition"
    assert last.value < max(trial.value for trial in before) / 2


@pytest.mark.parametrize("name", ["mes", "jes"])
def test_a_study_asks_by_it_beside_running_trials(name):
    policy = bo.Policy(acquisition=ROOMS[name].build)
    study = bo.Study(SQUARE, policy=policy, n_initial=4, noise=False, seed=0)
    for _ in range(4):
        trial = study.ask()
        study.tell(trial, bowl([trial.params[key] for key in study.space]))
    running = [study.ask() for _ in range(2)]
    assert all(trial.origin == "acquisition" for trial in running)
    x, y = (study.space.to_unit(trial.params) for trial in running)
    assert np.abs(x - y).max() > 1e-2
