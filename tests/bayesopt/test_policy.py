"""From what was seen to the next point: names, designs, pending points, failures, warm starts."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from botorch.acquisition import UpperConfidenceBound, qLogNoisyExpectedImprovement
from problems import MIXED, SQUARE, bowl, mixed_bowl
from scipy.optimize import LinearConstraint
from scipy.stats import kstest, qmc

import bayesopt as bo
from bayesopt import suggestion
from bayesopt.data import Dataset, dataset
from bayesopt.models.exact import ExactGaussianProcess
from bayesopt.models.fit import fit
from bayesopt.models.gaussian_process import KernelName
from bayesopt.optimize import Effort
from bayesopt.policy import AcquisitionName, Search
from bayesopt.suggestion import suggest

NAMED = [name for name in get_args(AcquisitionName) if name not in ("auto", "nehvi", "random")]
QUICK = Search(effort=Effort(n_global=64, n_local=64, n_starts=2, max_calls=10))
IN_A_REGION = [name for name in NAMED if bo.Policy(acquisition=name).needs_region]  # take longer
SEARCHED_WITHOUT_NOISE = ("es", "pes", "mes", "jes")  # in `test_entropy_studies`
MANY_KINDS = bo.Space(
    a=bo.Float(0.0, 1.0),
    kind=bo.Categorical(["a", "b", "c", "d"]),
    flag=bo.Categorical([True, False]),
    n=bo.Int(1, 3),
)


def asked(study, fun, n):
    """Ask and tell n times."""
    for _ in range(n):
        trial = study.ask()
        study.tell(trial, fun([trial.params[name] for name in study.space]))
    return study


def unit(study, trials):
    return np.array([study.space.to_unit(trial.params) for trial in trials])


def next_one(study, number=None, **changes):
    """What `ask` would suggest, without asking; with other settings if there are changes."""
    (one,) = suggest(
        replace(study._settings, **changes),
        study.trials,
        (len(study.trials) if number is None else number,),
    )
    return one


def sampled(model, data, X_pending):
    """An acquisition that draws samples of its own."""
    return qLogNoisyExpectedImprovement(model, data.X, X_pending=X_pending)


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"model": "gp"}, "Unknown model 'gp'; known are 'auto', 'matern52', 'rbf'"),
        (
            {"acquisition": "ucb"},
            "Unknown acquisition 'ucb'; known are 'auto', 'ei', 'noisy_ei', 'kgcp'",
        ),
        ({"model": None}, "Unknown model None"),
        (
            {"hyperparameters": "mcmc"},
            "Unknown hyperparameters 'mcmc'; known are 'map', 'mle', 'slice'",
        ),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(wrong, text):
    with pytest.raises(ValueError, match=text):
        bo.Policy(**wrong)


@pytest.mark.parametrize(
    ("policy", "noise", "text"),
    [
        ({}, False, "(Matern-5/2), maximum a posteriori, log expected improvement"),
        ({"model": "rbf", "acquisition": "ei"}, "auto", "process (RBF), maximum a posteriori, log"),
        ({}, "auto", "log expected improvement (augmented for noise)"),
        ({"acquisition": "noisy_ei"}, 0.1, "decision-theoretic"),
        ({"acquisition": "nei"}, "auto", "Letham"),
        ({"acquisition": "kgcp"}, "auto", "knowledge gradient"),
        ({"acquisition": "ei_next_mean"}, "auto", "next posterior mean"),
        ({"hyperparameters": "mle"}, "auto", "maximum likelihood"),
        ({"acquisition": "random"}, "auto", "no model, random search"),
        ({"acquisition": lambda model, data, X_pending: None}, "auto", "own acquisition"),
        (
            {"model": bo.GaussianProcess("matern", nu=1.0), "hyperparameters": "mle"},
            "auto",
            "Gaussian process (Matern, nu = 1), maximum likelihood, log",
        ),
    ],
)
def test_a_study_says_what_chooses_its_points(policy, noise, text):
    study = bo.Study(SQUARE, policy=bo.Policy(**policy), noise=noise, seed=0)
    study.add([[0.1, 0.2], [0.3, 0.4]], [1.0, 2.0])
    assert text in study.description


@pytest.mark.parametrize(
    ("name", "noise"),
    [
        *((name, "auto") for name in NAMED),
        *((name, False) for name in NAMED if name not in SEARCHED_WITHOUT_NOISE),
        *((name, 0.05) for name in NAMED if name not in IN_A_REGION),
    ],
)
def test_every_acquisition_works_from_end_to_end(name, noise):
    """And what is asked while others run lies apart from them."""
    policy = bo.Policy(acquisition=name, search=QUICK)
    study = bo.Study(SQUARE, policy=policy, n_initial=8, noise=noise, seed=0)
    asked(study, bowl, 9)
    X = unit(study, study.ask(2))
    assert np.linalg.norm(X[0] - X[1]) > 1e-5
    assert study.recommend().mean < 0.1


@pytest.mark.parametrize("name", ["ei", "noisy_ei", "nei"])
def test_acquisitions_are_averaged_over_drawn_hyperparameters(name):
    policy = bo.Policy(acquisition=name, hyperparameters="slice", search=QUICK)
    study = asked(bo.Study(SQUARE, policy=policy, n_initial=6, seed=0), bowl, 6)
    expected = next_one(study).params
    best = study.recommend("best_mean")
    assert bowl(list(best.params.values())) < 0.05
    first, second = study.ask(2)
    assert first.params == expected != second.params


@pytest.mark.parametrize("name", get_args(KernelName))
def test_the_named_kernel_is_used(name):
    seen = []

    def acquisition(model, data, X_pending):
        seen.append(model.hyperparameters.kernel)
        return UpperConfidenceBound(model, 2.0)

    policy = bo.Policy(model=name, acquisition=acquisition)
    result = bo.minimize(bowl, SQUARE, 8, policy=policy, seed=0)
    assert set(seen) == {name}
    assert result.fun < 0.1


@pytest.mark.parametrize("hyperparameters", ["map", "mle"])
def test_a_gaussian_process_of_the_user_is_used(hyperparameters):
    priors = bo.Priors(lengthscale=bo.Uniform(0.4, 0.5))
    model = bo.GaussianProcess("power_exponential", power=1.9, mean="quadratic", priors=priors)
    seen = []

    def acquisition(model, data, X_pending):
        seen.append(model.hyperparameters)
        return UpperConfidenceBound(model, 2.0)

    policy = bo.Policy(model=model, acquisition=acquisition, hyperparameters=hyperparameters)
    result = bo.minimize(bowl, SQUARE, 9, policy=policy, seed=0)
    assert result.fun < 0.1
    for h in seen:
        assert (h.kernel, h.shape, len(h.trend)) == ("power_exponential", 1.9, 4)
    lengthscale = np.concatenate([h.lengthscale.numpy() for h in seen])
    inside = (lengthscale > 0.4 - 1e-9) & (lengthscale < 0.5 + 1e-9)
    assert inside.all() if hyperparameters == "map" else not inside.all()


@pytest.mark.parametrize("kernel", ["matern", "power_exponential"])
def test_a_learnt_shape_is_carried_with_the_trial(kernel):
    study = asked(bo.Study(SQUARE, policy=bo.Policy(model=kernel), seed=0), bowl, 8)
    (theta,) = study.trials[-1].hyperparameters
    assert isinstance(theta, tuple) and all(isinstance(entry, float) for entry in theta)
    assert len(theta) == 5  # two length-scales, signal, noise, shape
    data = dataset(study.space, study.trials, "minimize", "auto", study.policy.search.truncate)
    assert next_one(study).hyperparameters == (fit(data, study.policy.process, start=theta)[1],)


# -- own acquisitions ------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["auto", False, 0.05])
def test_an_acquisition_of_botorch_works_from_end_to_end(noise):
    policy = bo.Policy(acquisition=lambda model, data, X_pending: UpperConfidenceBound(model, 2.0))
    result = bo.minimize(bowl, SQUARE, 16, policy=policy, noise=noise, seed=0)
    assert result.fun < 0.05
    assert "own acquisition" in result.message


def test_a_sampled_acquisition_of_botorch_works_on_a_mixed_space():
    policy = bo.Policy(acquisition=sampled, search=QUICK)
    result = bo.minimize(mixed_bowl, MIXED, 18, policy=policy, noise=False, seed=0)
    assert result.params["kind"] == "b"
    assert result.fun < 0.5


def test_an_own_acquisition_decides_every_point_after_the_design():
    """In data of every number: the search adds nothing of its own to it."""
    found = []

    def acquisition(model, data, X_pending):
        assert isinstance(model, ExactGaussianProcess) and isinstance(data, Dataset)
        found.append(UpperConfidenceBound(model, 9.0))
        return found[-1]

    study = bo.Study(SQUARE, policy=bo.Policy(acquisition=acquisition), seed=0)
    asked(study, bowl, 14)
    X = torch.from_numpy(unit(study, study.trials))
    after = X[study.n_initial :]
    assert len(found) == len(after)
    axis = torch.linspace(0, 1, 41, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis).unsqueeze(-2)
    for one, x in zip(found, after, strict=True):
        assert float(one(x.view(1, 1, 2))) > float(one(grid).max()) - 1e-3


def test_an_own_acquisition_hears_of_pending_points():
    pending = []

    def acquisition(model, data, X_pending):
        pending.append(X_pending)
        return UpperConfidenceBound(model, 2.0)

    study = asked(bo.Study(SQUARE, policy=bo.Policy(acquisition=acquisition), seed=0), bowl, 6)
    trials = study.ask(3)
    assert pending[0] is None
    for i in (1, 2):
        np.testing.assert_array_equal(pending[i], unit(study, trials[:i]))


# -- random search and the initial design ----------------------------------------------------------


def test_random_search_is_uniform():
    study = bo.Study(MIXED, policy=bo.Policy(acquisition="random"), seed=0)
    n = 600
    X = unit(study, study.ask(n))
    assert kstest(X[:, 0], "uniform").pvalue > 6e-5  # 4 standard errors
    for column, size in ((1, 12), (2, 3)):
        share = np.unique(X[:, column], return_counts=True)[1] / n
        assert len(share) == size
        assert np.abs(share - 1 / size).max() < 4 * np.sqrt((1 - 1 / size) / size / n)
    assert {trial.origin for trial in study.trials} == {"random"}


def test_random_search_learns_nothing():
    study = bo.Study(SQUARE, policy=bo.Policy(acquisition="random"), seed=3)
    asked(study, bowl, 12)
    other = bo.Study(SQUARE, policy=bo.Policy(acquisition="random"), seed=3)
    asked(other, lambda x: -bowl(x), 12)
    np.testing.assert_array_equal(unit(study, study.trials), unit(other, other.trials))


@pytest.mark.parametrize("seed", range(10))
def test_the_initial_design_covers_every_choice(seed):
    study = bo.Study(MANY_KINDS, seed=seed)
    trials = study.ask(study.n_initial)
    assert {trial.origin for trial in trials} == {"initial"}
    for name, parameter in MANY_KINDS.parameters.items():
        if isinstance(parameter, bo.Categorical):
            assert {trial.params[name] for trial in trials} == set(parameter.choices)


@pytest.mark.parametrize("d", [1, 2, 6])
def test_the_initial_design_fills_the_space(d):
    """Its discrepancy is below that of nearly every random design."""
    rng = np.random.default_rng(0)
    n = 16
    random = [qmc.discrepancy(rng.random((n, d))) for _ in range(200)]
    for seed in range(5):
        study = bo.Study([(0.0, 1.0)] * d, n_initial=n, seed=seed)
        X = unit(study, study.ask(n))
        assert qmc.discrepancy(X) < np.quantile(random, 0.2)
        for column in X.T:
            assert set((column * 8).astype(int)) == set(range(8))


# -- the model takes over --------------------------------------------------------------------------


@pytest.mark.parametrize("acquisition", ["ei", sampled])
def test_asking_depends_on_nothing_but_its_arguments(acquisition):
    policy = bo.Policy(acquisition=acquisition)
    study = asked(bo.Study(SQUARE, policy=policy, seed=0), bowl, 8)
    one = next_one(study)
    torch.manual_seed(5)
    np.random.seed(5)
    state = torch.get_rng_state()
    assert next_one(study) == one
    assert torch.equal(torch.get_rng_state(), state)
    assert next_one(study, seed=1) != one
    assert next_one(study, number=99).hyperparameters == one.hyperparameters


def test_hyperparameters_are_kept_with_the_trial_and_start_the_next_fit():
    study = asked(bo.Study(SQUARE, seed=0), bowl, 11)
    kept = [trial.hyperparameters for trial in study.trials]
    assert kept[: study.n_initial] == [None] * study.n_initial
    assert all(len(theta) == 1 and len(theta[0]) == 4 for theta in kept[study.n_initial :])
    search = study.policy.search
    data = dataset(study.space, study.trials, "minimize", "auto", search.truncate)
    _, theta = fit(data, start=kept[-1][0])
    assert next_one(study).hyperparameters == (theta,)


@pytest.mark.parametrize("noise", ["auto", False])
@pytest.mark.parametrize("n_known", [6, 7, 8, 9])
def test_points_asked_together_are_not_next_to_each_other(noise, n_known):
    study = asked(bo.Study(SQUARE, noise=noise, seed=0), bowl, n_known)
    X = unit(study, study.ask(4))
    distance = np.linalg.norm(X[:, None] - X, axis=-1)[np.triu_indices(4, 1)]
    assert distance.min() > 2e-3


def test_now_and_then_the_best_mean_is_asked_for():
    """With 9 observations it is the third one's turn; the bowl is known well by then."""
    exploiting = bo.Policy(search=Search(exploit_every=3, truncate=None))
    study = asked(bo.Study(SQUARE, policy=exploiting, n_initial=9, noise=False, seed=0), bowl, 9)
    best = study.recommend("best_mean")
    chosen = next_one(study).params
    assert np.allclose(list(chosen.values()), list(best.params.values()), atol=1e-2)


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["auto", False, 0.01])
def test_failures_push_the_search_away(noise):
    study = asked(bo.Study(SQUARE, noise=noise, seed=0), bowl, 8)
    failed = []
    for _ in range(6):
        trial = study.ask()
        study.fail(trial, "it broke")
        failed.append(trial)
    X = unit(study, failed)
    distance = np.linalg.norm(X[:, None] - X, axis=-1)[np.triu_indices(6, 1)]
    assert distance.min() > 0.02
    assert distance.max() > 0.2


@pytest.mark.parametrize("noise", ["auto", False])
def test_a_forbidden_half_is_left_in_the_end(noise):
    """The bowl has its minimum at (0.3, 0.6); where x0 < 0.4 nothing can be evaluated."""

    def half(x):
        if x[0] < 0.4:
            raise ArithmeticError("no solution here")
        return bowl(x)

    result = bo.minimize(half, SQUARE, 30, noise=noise, seed=0)
    assert result.observed < bowl([0.4, 0.6]) + 0.02
    failures = np.isnan(result.func_vals)
    assert failures[-10:].sum() < 10


@pytest.mark.parametrize("gap", [1e-12, 1e-9, 1e-6, 1e-3])
def test_a_failure_right_beside_an_exact_observation_does_no_harm(gap):
    study = bo.Study(SQUARE, noise=False, seed=0)
    X = np.random.default_rng(0).random((12, 2))
    study.add(X, [bowl(x) for x in X])
    plain = next_one(study).params
    best = X[np.argmin([bowl(x) for x in X])]
    study.fail(study.ask(params=best + gap), "it broke")
    chosen = next_one(study)
    assert np.linalg.norm(np.array(list(chosen.params.values())) - [0.3, 0.6]) < 0.3
    assert np.linalg.norm(np.array(list(plain.values())) - [0.3, 0.6]) < 0.3


def test_only_failures_leave_the_design_going_on():
    study = bo.Study(SQUARE, n_initial=3, seed=0)
    for _ in range(6):
        study.fail(study.ask(), "it broke")
    assert {trial.origin for trial in study.trials} == {"initial"}
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 6


# -- what a review found ---------------------------------------------------------------------------


def test_failures_count_however_badly_one_value_is_known():
    study = bo.Study([(0.0, 1.0)], seed=0)
    X = [0.05, 0.1, 0.15, 0.2, 0.3, 0.95]
    study.add([[x] for x in X], [1.0, 0.9, 0.8, 0.7, 0.5, 1.0], sd=[0.01] * 5 + [1e4])
    failed = []
    for _ in range(6):
        trial = study.ask()
        failed.append(trial.params["x0"])
        study.fail(trial, "it broke")
    assert np.abs(np.subtract.outer(failed, failed))[np.triu_indices(6, 1)].min() > 5e-3
    assert np.ptp(failed) > 0.1


def test_failures_do_not_stop_the_turns(monkeypatch):
    """One suggestion in three exploits, also while none of them gives a value."""
    turns = []
    study = asked(bo.Study(SQUARE, seed=0, policy=bo.Policy(acquisition="ei")), bowl, 6)
    plain = suggestion._promising
    monkeypatch.setattr(suggestion, "_promising", lambda *args: turns.append(1) or plain(*args))
    for _ in range(6):
        study.fail(study.ask(), "it broke")
    assert len(turns) == 2


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"exploit_every": 0}, ValueError),
        ({"exploit_every": 1.5}, TypeError),
        ({"truncate": "a"}, TypeError),
        ({"truncate": -3.0}, ValueError),
        ({"effort": 3}, TypeError),
    ],
)
def test_a_search_that_cannot_be_is_refused(wrong, error):
    with pytest.raises(error, match=next(iter(wrong))):
        Search(**wrong)


@pytest.mark.parametrize(
    "builder", [lambda m, d, X: None, lambda m, d, X: lambda x: 1.0, lambda m, d, X: torch.sum]
)
def test_an_own_acquisition_that_scores_nothing_is_named(builder):
    policy = bo.Policy(acquisition=builder)
    study = asked(bo.Study(SQUARE, seed=0, policy=policy, n_initial=3), bowl, 3)
    with pytest.raises(TypeError, match="Your acquisition must"):
        study.ask()


@pytest.mark.parametrize("wrong", [None, bo.GaussianProcess, np.array(["rbf", "matern"])])
def test_wrong_models_are_refused_with_all_that_is_taken(wrong):
    with pytest.raises(ValueError, match=r"or a bayesopt.GaussianProcess\(...\)"):
        bo.Policy(model=wrong)
    with pytest.raises(ValueError, match="or a callable of your own"):
        bo.Policy(acquisition=wrong if not callable(wrong) else None)


def test_priors_far_outside_are_refused():
    with pytest.raises(ValueError, match="must reach into"):
        bo.Priors(lengthscale=bo.Uniform(1e-300, 2e-300))
    assert bo.Priors(noise=bo.Uniform(0.0, 1.0)).noise is not None


def test_nothing_told_is_lost_when_only_forbidden_points_have_values():
    def broken(a, b):
        raise RuntimeError(f"{a} {b}")

    space = bo.Space(a=bo.Float(0, 3), b=bo.Float(0, 3))
    result = bo.minimize(
        broken, space, 4, x0=[[0, 0]], y0=[1.0], constraints=LinearConstraint([1, 1], 5, 6)
    )
    assert result.params["a"] + result.params["b"] >= 5 - 1e-9
    assert np.isnan(result.observed) and "best mean" in result.message
    assert len(result.study.trials) == 4
