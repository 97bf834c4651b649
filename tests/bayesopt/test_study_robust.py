"""What users do to a study without meaning harm: shared dicts, threads, settings of torch."""

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import bayesopt as bo

SQUARE = [(0.0, 1.0), (0.0, 1.0)]


def bowl(x):
    return float((x[0] - 0.3) ** 2 + (x[1] - 0.6) ** 2)


def points(study):
    return [tuple(trial.params.values()) for trial in study.trials]


def test_parameters_of_a_trial_may_be_changed():
    study = bo.Study(SQUARE, seed=0)
    trial = study.ask()
    before = dict(trial.params)
    trial.params.pop("x0")
    study.trials[0].params["x1"] = 99.0
    study.tell(trial.number, 1.0)
    assert study.trials[0].params == before
    with pytest.raises(ValueError, match="other parameters"):
        study.tell(trial, 1.0)


def test_threads_that_ask_at_once_get_different_trials():
    study = bo.Study(SQUARE, seed=0)
    study.run(bowl, 8)
    with ThreadPoolExecutor(4) as pool:
        asked = list(pool.map(lambda _: study.ask(), range(12)))
    assert len({trial.number for trial in asked}) == 12
    assert len(study.trials) == 20
    assert len(set(points(study))) == 20


@pytest.mark.parametrize("noise", [False, "auto", 0.1])
def test_points_asked_at_once_lie_apart(noise):
    study = bo.Study(SQUARE, noise=noise, seed=0)
    study.run(bowl, 9)
    X = np.array([list(trial.params.values()) for trial in study.ask(4)])
    gap = np.abs(X[:, None] - X[None]).max(axis=-1) + np.eye(4)
    assert gap.min() > 1e-3


@pytest.mark.parametrize("through", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_a_copy_goes_on_alike(through):
    study = bo.Study(SQUARE, seed=0)
    study.run(bowl, 8)
    other = through(study)
    assert other.ask() == study.ask()


def test_settings_of_torch_change_nothing_and_come_back():
    plain = bo.Study(SQUARE, seed=3)
    plain.run(bowl, 10)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    try:
        with torch.inference_mode():
            study = bo.Study(SQUARE, seed=3)
            study.run(bowl, 10)
        assert torch.get_default_dtype() is torch.float64 and torch.get_num_threads() == 2
    finally:
        torch.set_default_dtype(torch.float32)
    assert study.trials == plain.trials


def test_no_grad_is_no_obstacle():
    with torch.no_grad():
        assert bo.minimize(bowl, SQUARE, 12, noise=False, seed=0).nfev == 12
        assert not torch.is_grad_enabled()


def test_a_random_acquisition_is_repeatable_and_leaves_torch_alone():
    from botorch.acquisition import qLogExpectedImprovement

    def build(model, data, X_pending):
        return qLogExpectedImprovement(model, data.Y.max())

    def run():
        study = bo.Study(SQUARE, policy=bo.Policy(acquisition=build), seed=0)
        study.run(bowl, 9)
        return points(study)

    torch.manual_seed(1)
    first, state = run(), torch.random.get_rng_state()
    torch.manual_seed(2)
    assert run() == first
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_corner_is_not_evaluated_again_and_again():
    result = bo.minimize(lambda x: x[0] + x[1], SQUARE, 30, seed=0)
    assert len({tuple(x) for x in result.x_iters}) >= 25  # once it was 20 times the corner


@pytest.mark.parametrize("noise", [False, 0.1])
def test_a_bad_standard_error_is_an_error_and_the_value_is_not_lost(noise):
    study = bo.Study(SQUARE, noise=noise, seed=0)
    trial = study.ask()
    with pytest.raises(ValueError, match="standard error"):
        study.tell(trial, (1.0, -0.1))
    study.tell(trial, (1.0, 0.1))
    assert study.trials[0].value == 1.0


def test_one_value_known_hardly_at_all_does_not_glue_points_together():
    rng = np.random.default_rng(0)
    study = bo.Study(SQUARE, seed=0)
    X = rng.random((16, 2))
    study.add(X, [bowl(x) for x in X], sd=[1e-3] * 15 + [1e6])
    asked = np.array([list(trial.params.values()) for trial in study.ask(4)])
    assert len(np.unique(asked.round(4), axis=0)) == 4


def test_a_penalty_beside_a_plateau_does_not_swallow_the_values():
    def f(x):
        return 1e10 if x[0] > 0.9 else max(0.0, x[1] - 0.6)

    result = bo.minimize(f, SQUARE, 25, seed=0)
    assert abs(result.fun) < 1.0


def test_both_calls_are_there_in_any_order():
    """Each order in a package that is imported anew."""
    code = """
import sys
for order in (["maximize", "minimize"], ["minimize", "maximize"]):
    for name in [name for name in sys.modules if name.partition(".")[0] == "bayesopt"]:
        del sys.modules[name]
    import bayesopt as bo
    from bayesopt import maximize
    assert all(callable(getattr(bo, name)) for name in order), order
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_acquisition_with_another_signature_is_refused_at_once():
    with pytest.raises(TypeError, match=r"\(model, data, X_pending\)"):
        bo.Policy(acquisition=lambda model: None)
    with pytest.raises(TypeError, match="search"):
        bo.Policy(search=None)
