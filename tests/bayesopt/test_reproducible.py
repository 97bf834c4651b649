"""The same seed gives the same trials: twice, in another process, whatever else was asked."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from problems import MIXED, SQUARE, bowl, mixed_bowl

import bayesopt as bo

HERE = Path(__file__).parent


def seen(noise, mixed):
    """Every point and value of one short search, in JSON."""
    space, fun = (MIXED, mixed_bowl) if mixed else (SQUARE, bowl)
    result = bo.minimize(fun, space, 11, noise=noise, seed=5)
    return json.dumps(
        [[dict(trial.params), trial.value, trial.hyperparameters] for trial in result.study.trials]
        + [result.params, result.fun, result.sd]
    )


CASES = [(False, False), ("auto", False), (False, True), ("auto", True)]


@pytest.fixture(scope="module")
def of_another_process():
    """The same searches in a fresh process, with other hashes and another number of threads."""
    code = "import test_reproducible as t\nfor case in t.CASES: print(t.seen(*case))"
    environment = os.environ | {
        "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}",
        "PYTHONHASHSEED": "12345",
        "OMP_NUM_THREADS": "1" if torch.get_num_threads() > 1 else "2",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return dict(zip(CASES, done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize(("noise", "mixed"), CASES)
def test_the_same_seed_gives_the_same_trials(noise, mixed, of_another_process):
    first = seen(noise, mixed)
    assert seen(noise, mixed) == first
    assert of_another_process[noise, mixed] == first


def test_another_seed_gives_other_trials():
    first, second = (bo.minimize(bowl, SQUARE, 8, seed=seed).x_iters for seed in (0, 1))
    assert not np.isin(np.array(first), np.array(second)).any()


def told(study, trial):
    """Evaluate and tell one trial of a study of the bowl."""
    study.tell(trial, bowl([trial.params["x0"], trial.params["x1"]]))


@pytest.mark.parametrize("noise", [False, "auto"])
def test_asking_twice_gives_two_points_and_a_replay_gives_the_same_two(noise):
    def play():
        study = bo.Study(SQUARE, noise=noise, seed=7)
        for _ in range(8):
            told(study, study.ask())
        return study, study.ask(), study.ask()

    study, first, second = play()
    assert first.params != second.params
    assert first.origin == second.origin == "acquisition"
    distance = np.linalg.norm(np.subtract(*[list(t.params.values()) for t in (first, second)]))
    assert distance > 1e-3
    assert play()[0].trials == study.trials
    told(study, second)
    told(study, first)
    assert study.ask().params not in [trial.params for trial in study.trials[:-1]]


@pytest.mark.parametrize("noise", [False, "auto"])
def test_a_study_resumed_from_its_trials_goes_on_alike(noise):
    whole = bo.Study(SQUARE, noise=noise, seed=3)
    whole.run(bowl, 12)
    halves = bo.Study(SQUARE, noise=noise, seed=3)
    halves.run(bowl, 4)
    halves.run(bowl, 9)
    halves.run(bowl, 12)
    assert halves.trials == whole.trials


@pytest.mark.parametrize("noise", [False, "auto"])
def test_questions_between_asks_change_nothing(noise):
    def play(curious):
        study = bo.Study(MIXED, noise=noise, seed=2)
        for _ in range(12):
            trial = study.ask()
            study.tell(trial, mixed_bowl(**trial.params))
            if curious:
                before = study.trials
                for rule in ("auto", "best_mean"):
                    study.recommend(rule)
                study.predict([trial.params])
                assert study.trials == before
        return study.trials

    assert play(curious=True) == play(curious=False)


def test_questions_have_one_answer():
    study = bo.Study(SQUARE, noise=0.1, seed=0)
    study.run(bowl, 9)
    for rule in ("best_observed", "best_evaluated_mean", "best_mean"):
        assert study.recommend(rule) == study.recommend(rule)
    first, second = (study.predict([[0.2, 0.7]]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.fixture
def without_run_time_type_checks():
    """beartype looks at random items of a list and draws them from `random`."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("seed", [0, None])
@pytest.mark.usefixtures("without_run_time_type_checks")
def test_the_generators_of_numpy_torch_and_random_are_not_touched(seed):
    np.random.seed(1)
    torch.manual_seed(1)
    random.seed(1)
    before = np.random.get_state(), torch.get_rng_state(), random.getstate()
    result = bo.minimize(mixed_bowl, MIXED, 12, seed=seed)
    result.study.recommend("best_mean")
    result.study.predict([result.params])
    bo.minimize(bowl, SQUARE, 3, seed=seed, policy=bo.Policy(acquisition="random"))
    after = np.random.get_state(), torch.get_rng_state(), random.getstate()
    np.testing.assert_array_equal(after[0][1], before[0][1])
    assert after[0][2:] == before[0][2:]
    assert torch.equal(after[1], before[1])
    assert after[2] == before[2]


def test_what_the_users_function_draws_does_not_matter():
    def restless(x):
        np.random.seed(int(1e6 * x[0]))
        torch.rand(3)
        return bowl(x)

    quiet = bo.minimize(bowl, SQUARE, 10, seed=0)
    np.testing.assert_array_equal(bo.minimize(restless, SQUARE, 10, seed=0).x_iters, quiet.x_iters)


def fails_to_build(model, data, X_pending):
    raise ZeroDivisionError


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_the_number_of_threads_of_torch_is_restored(n_threads):
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        seen_inside = []
        result = bo.minimize(
            lambda x: seen_inside.append(torch.get_num_threads()) or bowl(x), SQUARE, 9, seed=0
        )
        result.study.recommend("best_mean")
        result.study.predict([[0.5, 0.5]])
        assert torch.get_num_threads() == n_threads
        assert set(seen_inside) == {n_threads}
        broken = bo.Study(SQUARE, n_initial=1, seed=0, policy=bo.Policy(acquisition=fails_to_build))
        told(broken, broken.ask())
        with pytest.raises(ZeroDivisionError):
            broken.ask()
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
