"""Searching under noise that varies: what a candidate's own noise makes it worth, and the face."""

from functools import partial

import numpy as np
import pytest
import torch
from golden_instance import data_of
from processes import MIXED, points
from uneven_noise import forrester, forrester_sd, uneven_process

import bayesopt as bo
from bayesopt.acquisition import (
    entropy_search,
    joint_entropy_search,
    knowledge_gradient,
    lookahead,
    max_value_entropy_search,
    noisy_expected_improvement,
    predictive_entropy_search,
)
from bayesopt.acquisition.expected_improvement import ExpectedImprovement
from bayesopt.acquisition.joint_search import maximize_jointly
from bayesopt.acquisition.knowledge_gradient import KnowledgeGradient
from bayesopt.acquisition.noisy_expected_improvement import NoisyExpectedImprovement
from bayesopt.acquisition.pending import believe, fantasies, noise_of_next
from bayesopt.acquisition.report_set import coefficients

KINDS = {
    **{
        criterion: partial(ExpectedImprovement, best=0.6, criterion=criterion)
        for criterion in ("function", "next_mean", "next_observation", "augmented")
    },
    "noisy_ei": lambda model, noise: NoisyExpectedImprovement(model, model.X, noise),
    "kgcp": lambda model, noise: NoisyExpectedImprovement(
        model, model.X, noise, baseline="observed_and_candidate"
    ),
    "kg": lambda model, noise: KnowledgeGradient(model, grid(model), noise),
    "kg of a grid": lambda model, noise: KnowledgeGradient(
        model, grid(model), noise, with_candidate=False
    ),
}


def grid(model):
    """Observed points and others."""
    categories = model.features.categories
    others = points(6, model.X.shape[-1], categories=categories, seed=8)
    return torch.cat((model.X[:4], others))


# -- acquisitions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_candidate_is_worth_what_its_own_noise_makes_it_worth(kind):
    model = uneven_process()
    X = torch.cat((points(6, 2, seed=2), model.X[:3]))
    value = KINDS[kind](model, noise=None)(X.unsqueeze(1))
    for x, v in zip(X, value, strict=True):
        alone = KINDS[kind](model, noise=float(model.noise_at(x[None])))(x.reshape(1, 1, 2))
        torch.testing.assert_close(v, alone[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("categories", [(), MIXED], ids=["real", "mixed"])
@pytest.mark.parametrize("kind", KINDS)
def test_its_gradient_knows_that_the_noise_varies(kind, categories):
    model = uneven_process(categories=categories)
    d = model.X.shape[-1]
    acquisition = KINDS[kind](model, noise=None)
    X = points(8, d, categories=categories, seed=3)
    value, gradient = acquisition.value_and_gradient(X)
    torch.testing.assert_close(value, acquisition(X.unsqueeze(1)), rtol=1e-10, atol=1e-10)
    for column in model.features.plain:
        step = torch.zeros(d, dtype=torch.float64)
        step[column] = 1e-6
        slope = (acquisition((X + step)[:, None]) - acquisition((X - step)[:, None])) / 2e-6
        torch.testing.assert_close(gradient[:, column], slope, rtol=1e-4, atol=1e-5)
    variable = X.clone().unsqueeze(1).requires_grad_()
    (by_graph,) = torch.autograd.grad(acquisition(variable).sum(), variable)
    plain = model.features.plain
    torch.testing.assert_close(gradient[:, plain], by_graph[:, 0, plain], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", ["next_mean", "augmented", "noisy_ei", "kgcp", "kg"])
def test_it_is_worth_less_than_with_less_noise(kind):
    model, X = uneven_process(), points(20, 1, 2, seed=4)
    noise = model.noise_at(X)
    less, own, more = (
        KINDS[kind](model, noise=v)(X) for v in (float(noise.min()), None, float(noise.max()))
    )
    assert bool((own <= less + 1e-9).all()) and bool((own >= more - 1e-9).all())
    assert float((own - less).min()) < -1e-3 and float((own - more).max()) > 1e-3


@pytest.mark.parametrize("kind", ["noisy_ei", "kgcp", "kg"])
def test_several_candidates_have_noise_each(kind):
    """Against the posterior means that many observations of both would lead to."""
    model, X = uneven_process(), points(1, 2, 2, seed=9)
    A = model.X if kind != "kg" else grid(model)
    P = torch.cat((A, X[0]))
    posterior = model.posterior(P)
    mean, covariance = posterior.mean[:, 0], posterior.covariance
    among = covariance[-2:, -2:] + torch.diag(model.noise_at(X[0]))
    slopes = covariance[:, -2:] @ torch.linalg.inv(torch.linalg.cholesky(among)).T
    Z = torch.randn(200_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    best = (mean + Z @ slopes.T).amax(1)
    before = float(mean.max()) if kind != "noisy_ei" else float(mean[:-2].max())
    value = float(KINDS[kind](model, noise=None)(X).exp())
    expected = float(best.mean()) - before
    assert value == pytest.approx(expected, abs=4 * float(best.std()) / 200_000**0.5 + 1e-3)


def test_coefficients_of_several_observations_have_noise_each():
    model, P = uneven_process(), points(3, 2, seed=5)
    covariance = model.posterior(P).covariance + torch.diag(model.noise_at(P))
    W = coefficients(model, None, P, 4096)
    spread = W.T @ W / len(W)
    torch.testing.assert_close(spread, torch.linalg.inv(covariance), rtol=0.02, atol=0.05)


def test_what_is_imagined_at_pending_points_has_their_noise():
    model, pending = uneven_process(), points(2, 2, seed=6)
    data = data_of(model)
    assert noise_of_next(model, data) is None
    models = fantasies(model, data, pending, 256)
    Y = torch.stack([m.Y[-2:, 0] for m in models])
    law = model.posterior(pending, observation_noise=True)
    torch.testing.assert_close(Y.var(0), law.variance[:, 0], rtol=0.05, atol=0)
    for one in (models[0], believe(model, data, pending)):
        torch.testing.assert_close(one.Yvar[-2:, 0], model.noise_at(pending), rtol=0, atol=0)


@pytest.mark.parametrize("acquisition", ["ei", "noisy_ei", "kgcp", "kg"])
def test_points_are_found_together(acquisition):
    model, rng = uneven_process(), np.random.default_rng(0)
    data = data_of(model)
    C = maximize_jointly(model, data, 2, model.X[:2].numpy(), rng, acquisition=acquisition)
    assert C.shape == (2, 2) and np.linalg.norm(C[0] - C[1]) > 0.01


@pytest.mark.parametrize(
    "module",
    [
        entropy_search,
        joint_entropy_search,
        lookahead,
        max_value_entropy_search,
        predictive_entropy_search,
    ],
)
def test_acquisitions_that_take_one_noise_refuse_it(module):
    model = uneven_process()
    with pytest.raises(ValueError, match="does not support noise='heteroscedastic'"):
        module.build(model, data_of(model))


def test_a_process_with_one_noise_is_told_nothing_new():
    """Both of them are built with a number, which no candidate changes."""
    model = uneven_process().condition_on_observations(
        points(1, 2, seed=7), torch.ones(1, 1).double()
    )
    data = data_of(model)
    for module in (noisy_expected_improvement, knowledge_gradient):
        assert module.build(model, data).noise is None


# -- studies ---------------------------------------------------------------------------------------


def begun(acquisition="auto", **options):
    """A study that knows twelve values."""
    study = bo.Study(
        bo.Space(x=bo.Float(0.0, 1.0)),
        noise="heteroscedastic",
        seed=0,
        policy=bo.Policy(acquisition=acquisition),
        **options,
    )
    x = np.linspace(0.02, 0.98, 12)
    noise = forrester_sd(x) * np.random.default_rng(0).standard_normal(12)
    study.add(x.reshape(-1, 1), forrester(x) + noise)
    return study


def go_on(study, n):
    for _ in range(n):
        trial = study.ask()
        x, rng = trial.params["x"], np.random.default_rng([study.seed, trial.number])
        study.tell(trial, forrester(x) + forrester_sd(x) * rng.standard_normal())


@pytest.mark.parametrize("acquisition", ["ei", "noisy_ei"])
def test_points_are_repeated_exactly_where_that_is_best(acquisition):
    study = begun(acquisition)
    go_on(study, 8)
    x = [trial.params["x"] for trial in study.trials]
    assert len(set(x)) < 20
    assert forrester_sd(max(set(x), key=x.count)) > 0.5
    assert forrester(study.recommend().params["x"]) < -5.0
    assert "heteroscedastic noise" in study.explain().model
    assert "heteroscedastic noise" in study.description


def test_it_is_repeatable_and_goes_on_from_a_file(tmp_path):
    path = str(tmp_path / "study.db")
    whole = begun()
    go_on(whole, 3)
    go_on(begun(storage=path), 2)
    study = bo.Study.load(storage=path)
    assert study.noise == "heteroscedastic"
    go_on(study, 1)
    assert [t.params for t in study.trials] == [t.params for t in whole.trials]
    whole.export(tmp_path / "copy.json")
    assert bo.Study.load(tmp_path / "copy.json").noise == "heteroscedastic"


def test_predictions_of_new_observations_hold_the_noise():
    study = begun()
    study.add(np.full((4, 1), 0.75), [-8.0, -4.0, -7.0, -5.0])
    at = [[0.1], [0.75]]
    mean, sd = study.predict(at)
    again, wider = study.predict(at, observation_noise=True)
    np.testing.assert_array_equal(mean, again)
    noise = np.sqrt(wider**2 - sd**2)
    assert noise[1] > 1.3 * noise[0] > 0.0
    known = bo.Study([(0.0, 1.0)], noise=0.5, seed=0)
    known.add(np.linspace(0, 1, 6)[:, None], np.arange(6.0))
    sd, wider = known.predict(at)[1], known.predict(at, observation_noise=True)[1]
    np.testing.assert_allclose(wider**2 - sd**2, 0.25)


def test_every_outcome_has_noise_of_its_own():
    rng = np.random.default_rng(0)
    space = bo.Space(x=bo.Float(0.0, 1.0), kind=bo.Categorical(["a", "b"]))
    study = bo.Study(
        space,
        direction=["minimize", "maximize"],
        noise="heteroscedastic",
        outcome_constraints={"c": (None, 0.8)},
        n_initial=6,
        seed=0,
    )
    for _ in range(8):
        trial = study.ask()
        x = trial.params["x"]
        values = [x**2 + 0.1 * x * rng.normal(), x + 0.1 * (1 - x) * rng.normal()]
        study.tell(trial, bo.Evaluation(values, constraints={"c": x + 0.01 * rng.normal()}))
    assert len(study.pareto_front()) > 0
    assert study.predict([{"x": 0.5, "kind": "a"}], observation_noise=True)[1].shape == (1, 2)


def test_what_is_not_supported_says_so_before_anything_is_evaluated():
    for acquisition in ("es", "pes", "mes", "jes", "lookahead"):
        with pytest.raises(ValueError, match=f"'{acquisition}' does not support noise='hetero"):
            bo.minimize(
                lambda x: 1 / 0,
                [(0, 1)],
                5,
                noise="heteroscedastic",
                policy=bo.Policy(acquisition=acquisition),
            )
    with pytest.raises(ValueError, match="'slice' does not support noise='heteroscedastic'"):
        bo.Study([(0, 1)], noise="heteroscedastic", policy=bo.Policy(hyperparameters="slice"))
    study = bo.Study([(0, 1)], noise="heteroscedastic", seed=0)
    with pytest.raises(ValueError, match="does not support partial derivatives"):
        study.tell(study.ask(), bo.Evaluation(1.0, gradient=[0.0]))
    space = bo.Space(x=bo.Float(0, 1), s=bo.Float(0, 1, role="fidelity", target=1.0))
    with pytest.raises(ValueError, match="not supported where a parameter is a fidelity"):
        bo.Study(space, noise="heteroscedastic")
