"""Studies that ask by entropy searches: real and mixed spaces."""

import pytest
from problems import MIXED, SQUARE, bowl, mixed_bowl

import bayesopt as bo
from bayesopt.optimize import Effort
from bayesopt.policy import Search

NAMES = ["es", "pes", "mes", "jes"]


@pytest.mark.parametrize("name", NAMES)
def test_a_search_without_noise_comes_near_the_minimum(name):
    quick = Search(effort=Effort(n_global=64, n_local=64, n_starts=2, max_calls=10))
    policy = bo.Policy(acquisition=name, search=quick)
    result = bo.minimize(
        bowl, SQUARE, 10, policy=policy, noise=False, seed=0, n_initial=6, progress=False
    )
    assert result.fun < 1.5e-2


@pytest.mark.parametrize("name", NAMES)
def test_a_mixed_space_is_searched(name):
    policy = bo.Policy(acquisition=name)
    result = bo.minimize(
        mixed_bowl, MIXED, 10, policy=policy, noise=False, seed=0, n_initial=9, progress=False
    )
    *before, last = result.study.trials
    assert last.origin == "acquisition"
    assert last.value < max(trial.value for trial in before) / 2
