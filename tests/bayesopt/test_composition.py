"""What a study seeks under outcome constraints, and what it reports: limits, and by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from botorch.acquisition import PosteriorMean
from problems import SQUARE, bowl

import bayesopt as bo
from bayesopt import suggestion
from bayesopt.acquisition import expected_improvement
from bayesopt.acquisition.with_probability import MeanProbability
from bayesopt.models.exact import ExactGaussianProcess
from bayesopt.optimize import Effort
from bayesopt.policy import Search

QUICK = Search(effort=Effort(n_global=64, n_local=64, n_starts=2, max_calls=10))
ALL_VALUES = bo.Policy(search=Search(truncate=None))
LINE = [(0.0, 1.0)]


def told(study, n, outcome=None):
    """The bowl, with an outcome or none."""
    for _ in range(n):
        trial = study.ask()
        x = list(trial.params.values())
        constraints = None if outcome is None else {"a": outcome(x)}
        study.tell(trial, bo.Evaluation(bowl(x), constraints=constraints))
    return study


def composed(study):
    """What the policy of a study fits to its trials."""
    rng = np.random.default_rng(0)
    return suggestion.fitted(study._settings, study.trials, study.region, None, rng)[0]


def points(study):
    return np.array([list(trial.params.values()) for trial in study.trials])


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", ["greedy", "constant_liar"])
def test_a_constraint_that_is_surely_met_changes_no_point(batch):
    def asked(outcome, limits):
        search = replace(QUICK, exploit_every=None)  # rarer under outcome constraints
        policy = bo.Policy(search=search, batch=batch)
        study = bo.Study(SQUARE, noise=False, policy=policy, outcome_constraints=limits, seed=0)
        told(study, 9, outcome).ask(2)
        return points(study)

    without = asked(None, None)
    met = asked(lambda x: math.sin(5 * x[0]), {"a": (-1e6, 1e6)})
    np.testing.assert_allclose(met, without, atol=1e-5)


@pytest.mark.parametrize("noise", [False, 0.01])
def test_what_is_impossible_is_missed_by_as_little_as_possible(noise):
    """The outcome is at least 1, at (0.8, 0.2), and ought to be at most 0.9."""

    def outcome(x):
        return 1.0 + (x[0] - 0.8) ** 2 + (x[1] - 0.2) ** 2

    found = bo.minimize(
        lambda x: bo.Evaluation(bowl(x), constraints={"a": outcome(x)}),
        SQUARE,
        12,
        noise=noise,
        outcome_constraints={"a": (None, 0.9)},
        policy=bo.Policy(search=QUICK),
        seed=0,
    )
    assert found.success is False and found.feasibility < 0.01
    assert "No point is known to meet the outcome constraints." in found.message
    outcomes = [trial.evaluation.constraints["a"] for trial in found.study.trials]
    assert outcome(found.x) == min(outcomes) if noise is False else outcome(found.x) < 1.05
    assert min(outcomes) < 1.03 < min(outcomes[:6])  # looked for, unlike the bowl's minimum


def test_as_long_as_nothing_is_feasible_the_probability_alone_is_sought():
    study = bo.Study(SQUARE, noise=False, outcome_constraints={"a": (0.9, None)}, seed=0)
    X = np.random.default_rng(0).uniform(0.0, 0.8, (8, 2))
    study.add(X, [bo.Evaluation(bowl(x), constraints={"a": x[0] * x[1]}) for x in X])
    found, at = composed(study), torch.rand(20, 2, dtype=torch.float64)
    value = found.acquisition(None)(at.unsqueeze(-2)).exp()
    torch.testing.assert_close(value, found.probability_of_feasibility(at))
    np.testing.assert_allclose(study.feasibility(at.numpy()), value, rtol=1e-6)
    assert not bool(found.feasible().any())


def test_noise_free_acquisition_is_improvement_on_the_best_feasible_times_probability():
    """Gardner et al. (2014), from the two posteriors."""
    study = bo.Study(SQUARE, noise=False, outcome_constraints={"a": (0.4, None)}, seed=0)
    X = np.random.default_rng(1).random((9, 2))
    study.add(X, [bo.Evaluation(bowl(x), constraints={"a": x[0]}) for x in X])
    found, at = composed(study), torch.rand(20, 2, dtype=torch.float64)
    feasible = X[:, 0] >= 0.4
    best = min(bowl(x) for x in X[feasible])
    mean, sd = (torch.from_numpy(moment) for moment in study.predict(at.numpy()))
    normal, z = torch.distributions.Normal(0.0, 1.0), (best - mean) / sd
    improvement = sd * (z * normal.cdf(z) + normal.log_prob(z).exp())
    expected = improvement * found.probability_of_feasibility(at)
    scaling = found.seen.objectives[0].scaling
    value = found.acquisition(None)(at.unsqueeze(-2)).exp()
    np.testing.assert_allclose(
        scaling.value_sd(value.detach().numpy()), expected, rtol=1e-4, atol=1e-15
    )
    assert found.feasible().tolist() == feasible.tolist()


# -- running points --------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [False, 0.05])
def test_a_constant_liar_takes_running_points_to_return_their_means(noise):
    """The first point is that of expected improvement; of the next one, by hand."""
    policy = bo.Policy(batch="constant_liar", acquisition="ei", search=Search(exploit_every=None))
    study = told(bo.Study(SQUARE, noise=noise, policy=policy, seed=0), 8)
    alone = bo.Policy(acquisition="ei", search=Search(exploit_every=None))
    same = told(bo.Study(SQUARE, noise=noise, policy=alone, seed=0), 8)
    first, second = study.ask(2)
    assert first.params == same.ask().params and first.params != second.params
    found = composed(study)
    model, data = found.models.objectives[0], found.seen.objectives[0]
    P = torch.tensor([list(first.params.values())], dtype=torch.float64)
    at = torch.rand(20, 2, dtype=torch.float64)
    X, lie = torch.cat((data.X, P)), PosteriorMean(model)(P.unsqueeze(-2)).detach()
    Yvar = torch.full((len(X), 1), float(data.Yvar[0]), dtype=torch.float64)
    believer = ExactGaussianProcess(
        X, torch.cat((data.Y, lie.unsqueeze(-1))), Yvar, model.hyperparameters
    )
    best = float(believer.posterior(X.unsqueeze(-2)).mean.max())
    by_hand = expected_improvement.ExpectedImprovement(believer, best, noise=float(data.Yvar[0]))
    value = found.acquisition(P)(at.unsqueeze(-2))
    torch.testing.assert_close(value, by_hand(at.unsqueeze(-2)), atol=1e-5, rtol=1e-5)


def test_what_runs_may_break_a_constraint():
    """Beside a point whose outcome is open, others stay worth their improvement."""
    study = bo.Study(SQUARE, noise=False, outcome_constraints={"a": (0.4, None)}, seed=0)
    X = np.random.default_rng(1).random((9, 2))
    study.add(X, [bo.Evaluation(bowl(x), constraints={"a": x[0]}) for x in X])
    found = composed(study)
    P = torch.tensor([[0.5, 0.6]], dtype=torch.float64)
    at = torch.cat((P, torch.rand(20, 2, dtype=torch.float64))).unsqueeze(-2)
    alone, beside = found.acquisition(None)(at), found.acquisition(P)(at)
    assert float(beside[0]) < float(alone[0]) - 3.0  # nothing is gained there twice
    assert bool((beside[1:] < alone[1:] + 0.05).all())


# -- drawn hyperparameters -------------------------------------------------------------------------


class Likely:
    """A probability exp(-(x - c)^2), of the first parameter."""

    def __init__(self, c):
        self.c = c

    def log_probability(self, X):
        return -((X[..., 0] - self.c) ** 2)

    def log_probability_and_gradient(self, X):
        slope = torch.zeros_like(X)
        slope[:, 0] = -2.0 * (X[:, 0] - self.c)
        return self.log_probability(X), slope


def test_a_mean_of_probabilities_and_its_slope():
    X = torch.rand(6, 2, dtype=torch.float64, requires_grad=True)
    mean = MeanProbability([Likely(0.2), Likely(3.0)])
    value, gradient = mean.log_probability_and_gradient(X.detach())
    by_hand = sum(Likely(c).log_probability(X).exp() for c in (0.2, 3.0)) / 2
    torch.testing.assert_close(value, by_hand.log().detach())
    (slope,) = torch.autograd.grad(by_hand.log().sum(), X)
    torch.testing.assert_close(gradient, slope)
    torch.testing.assert_close(mean.log_probability(X).detach(), value)
    with pytest.raises(ValueError, match="at least one"):
        MeanProbability([])


# -- recommendations -------------------------------------------------------------------------------


def falling_study(noise, sd=None):
    """Falls to the right, where the outcome rises: allowed up to 0.5."""
    study = bo.Study(
        LINE, noise=noise, outcome_constraints={"a": (None, 0.5)}, policy=ALL_VALUES, seed=0
    )
    x = np.linspace(0.0, 1.0, 13)
    rng = np.random.default_rng(3)
    scatter = 0.0 if sd is None else sd
    outcomes = x + scatter * rng.normal(size=len(x))
    values = -x + scatter * rng.normal(size=len(x))
    study.add(
        x[:, None],
        [
            bo.Evaluation(value, sd, constraints={"a": a if sd is None else (a, sd)})
            for value, a in zip(values, outcomes, strict=True)
        ],
    )
    return study, x


def test_without_noise_the_best_feasible_observation_is_reported():
    study, x = falling_study(False)
    best = study.recommend()
    assert (best.rule, best.params["x0"], best.feasibility) == ("best_observed", 0.5, 1.0)
    assert best.mean == -0.5 and best.sd == 0.0


def test_under_noise_it_must_be_feasible_with_95_percent():
    study, x = falling_study("auto", sd=0.05)
    mean, _ = study.predict(x[:, None])
    feasibility = study.feasibility(x[:, None])
    best = study.recommend()
    assert best.rule == "best_evaluated_mean"
    sure = feasibility >= 0.95
    assert best.params["x0"] == x[sure][np.argmin(mean[sure])] < x[np.argmin(mean)]
    assert 0.95 <= best.feasibility == pytest.approx(feasibility[x == best.params["x0"]][0])
    assert ((feasibility > 0.05) & ~sure).any()  # some might have been, and are better


@pytest.mark.parametrize(("noise", "sd"), [(False, None), ("auto", 0.05)])
def test_the_best_mean_anywhere_stays_where_it_is_feasible(noise, sd):
    study, _ = falling_study(noise, sd)
    grid = np.linspace(0.0, 1.0, 2001)[:, None]
    mean, feasibility = study.predict(grid)[0], study.feasibility(grid)
    best = study.recommend("best_mean")
    assert best.feasibility >= 0.95
    allowed = feasibility >= 0.95
    assert best.params["x0"] == pytest.approx(grid[allowed][np.argmin(mean[allowed])][0], abs=2e-3)
    assert best.mean == pytest.approx(mean[allowed].min(), abs=2e-3)


def test_where_nothing_is_likely_enough_the_likeliest_is_reported():
    study = bo.Study(LINE, outcome_constraints={"a": (None, 0.0)}, policy=ALL_VALUES, seed=0)
    x = np.linspace(0.1, 1.0, 10)
    given = [bo.Evaluation(-v, 0.01, constraints={"a": (v, 0.05)}) for v in x]
    study.add(x[:, None], given)
    best, likely = study.recommend(), study.feasibility(x[:, None])
    assert best.params["x0"] == x[np.argmax(likely)] == 0.1
    assert best.feasibility == pytest.approx(likely.max()) and best.feasibility < 0.95


# -- refusals --------------------------------------------------------------------------------------


def never(*_, **__):
    raise AssertionError


TWO = {"direction": ["minimize", "maximize"]}
LIMITED = {"outcome_constraints": {"a": (0, None)}}


@pytest.mark.parametrize(
    ("policy", "options", "text"),
    [
        ({"acquisition": "kg"}, TWO, "by acquisition='nehvi' or 'random', not by 'kg'"),
        ({"acquisition": never}, TWO, "not by 'an acquisition of your own'"),
        ({"acquisition": "nehvi"}, {}, "is for several objectives, but there is one"),
        ({"batch": "joint"}, TWO, "'joint' does not support several objectives; use batch='cons"),
        (
            {"batch": "joint"},
            LIMITED,
            "does not support outcome constraints; use batch='constant_liar'",
        ),
    ],
)
def test_a_policy_that_does_not_fit_is_refused_before_anything(policy, options, text, tmp_path):
    path = tmp_path / "runs.db"
    policy = bo.Policy(**policy) if policy.get("acquisition") is not never else own()
    for start in (bo.Study, lambda *a, **o: bo.minimize(never, *a, 5, **o)):
        with pytest.raises(ValueError, match=text):
            start(LINE, policy=policy, storage=path, **options)
    assert not path.exists()


def own():
    return bo.Policy(acquisition=lambda model, data, X_pending: None)


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ({"batch": "liar"}, "Unknown batch 'liar'; known are 'greedy', 'joint', 'constant_liar'"),
        ({"batch": "joint", "acquisition": "mes"}, "batch='joint' is for .*, not for 'mes'"),
        ({"batch": "joint", "acquisition": "nei"}, "not for 'nei'; use batch='constant_liar'"),
        ({"batch": "joint", "acquisition": lambda m, d, p: None}, "not for <function"),
        ({"batch": "joint", "hyperparameters": "slice"}, "support hyperparameters='slice'; use"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(policy, text):
    with pytest.raises(ValueError, match=text):
        bo.Policy(**policy)


def test_joint_batches_take_no_partial_derivatives():
    study = bo.Study(LINE, policy=bo.Policy(batch="joint"), seed=0)
    trial = study.ask()
    with pytest.raises(ValueError, match="'joint' does not support partial derivatives: use"):
        study.tell(trial, bo.Evaluation(1.0, gradient=[0.5]))
    study.tell(trial, 1.0)
