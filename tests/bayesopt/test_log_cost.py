"""Costs that are learnt: the closed forms, what is said far from all that was paid, coverage."""

import math

import numpy as np
import pytest
import torch
from processes import points
from scipy.optimize import approx_fprime
from scipy.stats import t
from sklearn.gaussian_process.kernels import Matern

import bayesopt as bo
from bayesopt.acquisition.per_cost import LogCost
from bayesopt.models.kernels import Features
from bayesopt.models.log_cost import (
    LearntCost,
    LogCostProcess,
    LogStatistic,
    _Columns,
    _NegativeLogPosterior,
    fit_log_cost,
    learn_cost,
)
from bayesopt.space import Space
from bayesopt.trial import Evaluation, Trial, TrialState

FIDELITY = Space(x=bo.Float(0, 1), s=bo.Float(0.0, 1.0, role="fidelity", target=1.0))
SOURCES = Space(
    x=bo.Float(0, 1), s=bo.Categorical(["truth", "b", "c"], role="source", target="truth")
)
PLAIN = Space(x=bo.Float(0, 1), n=bo.Int(1, 8), k=bo.Categorical(["p", "q"]))


def trial(number, params, cost=None, state=TrialState.COMPLETE):
    evaluation = Evaluation(0.0, cost=cost) if state is TrialState.COMPLETE else None
    return Trial(number, params, state, evaluation)


def learnt(space, pairs):
    return learn_cost(space, [trial(i, params, cost) for i, (params, cost) in enumerate(pairs)])


def at(space, *points):
    return torch.from_numpy(space.to_units(points)).unsqueeze(1)


def log_median(cost):
    """m, as far as nothing is thought cheaper than a share of what was paid."""
    return LogStatistic(getattr(cost.log_mean, "statistic", cost.log_mean).process)


def costs(cost, space, *points):
    """Median, mean and 95 % quantile (3, n)."""
    X = at(space, *points)
    return [s(X).exp().numpy() for s in (log_median(cost), cost.log_mean, cost.log_upper)]


def data(space, n, seed=0):
    X = torch.from_numpy(space.snap(points(n, len(space), seed=seed).numpy()))
    rng = np.random.default_rng(seed)
    y = 2.0 * X[:, 0] + torch.sin(5.0 * X[:, -1]) + torch.from_numpy(0.1 * rng.normal(size=n))
    return X, y


@pytest.mark.parametrize("space", [FIDELITY, SOURCES, PLAIN])
def test_the_gradient_of_the_evidence(space):
    X, y = data(space, 9)
    columns = _Columns(Features(len(space), space.categories), space.role_columns)
    objective = _NegativeLogPosterior(X, y - y.mean(), columns)
    for shift in (0.0, 0.7):
        theta = objective.prior.centre + shift * np.linspace(-1, 1, len(objective.prior.centre))
        slope = approx_fprime(theta, lambda at: objective(at[None])[0][0], 1e-6)
        np.testing.assert_allclose(objective(theta[None])[1][0], slope, rtol=1e-4, atol=1e-4)


def test_moments_and_evidence_are_those_of_the_joint_normal_law():
    X, y = data(FIDELITY, 8)
    new = points(3, 2, seed=9)
    theta = np.log([0.4, 0.9, 0.3, 0.02])
    columns = _Columns(Features(2), (1,))
    model = LogCostProcess(X, y - y.mean(), columns, float(y.mean()), theta)
    both = torch.cat((X, new)).numpy()
    u = 2.0 * both - 1.0
    K = 9.0 + 0.25 * np.outer(u[:, 0], u[:, 0]) + 2.25 * np.outer(u[:, 1], u[:, 1])
    K = K + Matern(0.7, nu=2.5)(both[:, 1:]) + 0.3 * Matern([0.4, 0.9], nu=2.5)(both)
    K = K + 0.02 * np.eye(11)
    known, cross = K[:8, :8], K[8:, :8]
    weights = np.linalg.solve(known, cross.T)
    mean, variance = model.moments(new)
    centred = (y - y.mean()).numpy()
    np.testing.assert_allclose(mean, float(y.mean()) + weights.T @ centred, rtol=1e-8)
    np.testing.assert_allclose(variance, np.diag(K[8:, 8:] - cross @ weights), rtol=1e-7)
    objective = _NegativeLogPosterior(X, y - y.mean(), columns)
    of_prior = objective.prior.negative_log_density(theta[None])[0][0]
    evidence = 0.5 * (centred @ np.linalg.solve(known, centred) + np.linalg.slogdet(known)[1])
    assert objective(theta[None])[0][0] - of_prior == pytest.approx(evidence, rel=1e-9)


@pytest.mark.parametrize("space", [FIDELITY, SOURCES, PLAIN])
def test_statistics_and_their_gradients(space):
    X, y = data(space, 12)
    process = fit_log_cost(X, y, space.categories, space.role_columns)
    cost = LearntCost(process)
    new = torch.from_numpy(space.snap(points(7, len(space), seed=5).numpy()))
    mean, variance = process.moments(new)
    for statistic, value in (
        (log_median(cost), mean),
        (cost.log_mean, mean + variance / 2),
        (cost.log_upper, mean + t.ppf(0.95, 14) * variance.sqrt()),
    ):
        assert isinstance(statistic, LogCost)
        torch.testing.assert_close(statistic(new.unsqueeze(1)), value)
        torch.testing.assert_close(statistic(new.reshape(1, 7, 1, -1)), value.reshape(1, 7))
        got, gradient = statistic.value_and_gradient(new)
        torch.testing.assert_close(got, value)
        for column in space.columns("float"):
            step = torch.zeros(len(space), dtype=torch.float64)
            step[column] = 1e-6
            above, below = statistic((new + step)[:, None]), statistic((new - step)[:, None])
            torch.testing.assert_close(
                gradient[:, column], (above - below) / 2e-6, rtol=1e-5, atol=1e-6
            )
        for column in space.columns("categorical"):
            assert bool((gradient[:, column] == 0).all())


def test_before_anything_was_paid_every_cost_is_one():
    running = trial(1, {"x": 0.5, "s": 0.5}, state=TrialState.RUNNING)
    cost = learn_cost(FIDELITY, [trial(0, {"x": 0.1, "s": 1.0}), running])
    X = points(3, 2).requires_grad_(True)
    for statistic in (cost.log_mean, cost.log_upper):
        assert bool((statistic(X.unsqueeze(1)) == 0).all())
        value, gradient = statistic.value_and_gradient(X)
        assert bool((value == 0).all()) and bool((gradient == 0).all())


def test_what_was_paid_comes_back():
    pairs = [({"x": x, "s": s}, 10.0 ** (2 * s)) for x in (0.1, 0.9) for s in (0.0, 0.5, 1.0)]
    cost = learnt(FIDELITY, pairs)
    median, mean, upper = costs(cost, FIDELITY, *[params for params, _ in pairs])
    np.testing.assert_allclose(median, [c for _, c in pairs], rtol=0.1)
    assert (median < mean).all() and (mean < upper).all() and (upper < 1.6 * median).all()


@pytest.mark.parametrize("n", [1, 2, 5, 20])
@pytest.mark.parametrize("ratio", [1.0, 30.0, 1000.0])
def test_the_target_is_not_thought_cheap_where_only_cheap_fidelities_were_paid(n, ratio):
    rng = np.random.default_rng(n)
    pairs = [({"x": x, "s": 0.1 * s}, ratio ** (0.1 * s)) for x, s in rng.random((n, 2))]
    cost = learnt(FIDELITY, pairs)
    paid = max(c for _, c in pairs)
    _, mean, upper = costs(cost, FIDELITY, {"x": 0.5, "s": 1.0})
    assert mean > 2.5 * paid and upper > 10.0 * paid and upper > ratio / 2


@pytest.mark.parametrize("n", [1, 3, 20])
def test_a_source_that_was_never_paid_is_not_thought_cheap(n):
    rng = np.random.default_rng(n)
    pairs = [({"x": x, "s": s}, {"b": 1.0, "c": 1.3}[s]) for s in "bc" for x in rng.random(n)]
    cost = learnt(SOURCES, pairs)
    median, mean, upper = costs(cost, SOURCES, {"x": 0.5, "s": "truth"}, {"x": 0.5, "s": "b"})
    assert mean[0] > 5.0 and upper[0] > 20.0
    assert 0.5 < median[1] < 2.0 and upper[1] < (20.0 if n == 1 else 4.0)
    # And once it was paid, that is what it costs.
    cost = learnt(SOURCES, [*pairs, ({"x": 0.2, "s": "truth"}, 1000.0)])
    median, _, upper = costs(cost, SOURCES, {"x": 0.5, "s": "truth"})
    assert 300.0 < median[0] < 2000.0 and 1000.0 < upper[0] < 20_000.0


def test_two_fidelities_tell_the_third():
    pairs = [({"x": x, "s": s}, 100.0**s) for x in (0.1, 0.5, 0.9) for s in (0.2, 0.4, 0.6)]
    cost = learnt(FIDELITY, pairs)
    median, _, upper = costs(cost, FIDELITY, {"x": 0.3, "s": 1.0})
    assert 50.0 < median[0] < 200.0 and upper[0] > 100.0


def test_a_cost_without_any_pattern_has_a_narrow_quantile_after_a_while():
    rng = np.random.default_rng(0)
    pairs = [
        ({"x": x, "n": int(rng.integers(1, 9)), "k": "pq"[i % 2]}, 5.0 * math.exp(0.1 * z))
        for i, (x, z) in enumerate(zip(rng.random(25), rng.normal(size=25), strict=True))
    ]
    cost = learnt(PLAIN, pairs)
    median, mean, upper = costs(cost, PLAIN, {"x": 0.5, "n": 4, "k": "q"})
    assert 4.2 < median[0] < 6.0 and 5.0 < upper[0] < 8.0 and mean[0] < 6.2


@pytest.mark.parametrize("n", [6, 15])
def test_the_quantile_is_exceeded_about_as_often_as_it_says(n):
    above, asked = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        slope, bend, noise = rng.normal(0, 2), rng.normal(0, 0.5), rng.uniform(0.02, 0.3)

        def log_cost(X, slope=slope, bend=bend, noise=noise, rng=rng):
            clean = slope * X[:, 1] + bend * np.sin(4.0 * X[:, 0] + 2.0 * X[:, 1])
            return clean + noise * rng.normal(size=len(X))

        X, new = rng.random((n, 2)), rng.random((50, 2))
        y = torch.from_numpy(log_cost(X))
        process = fit_log_cost(torch.from_numpy(X), y, role_columns=(1,))
        upper = LearntCost(process).log_upper(torch.from_numpy(new).unsqueeze(1)).numpy()
        above += int((log_cost(new) > upper).sum())
        asked += len(new)
    assert 0.01 <= above / asked <= 0.08


def test_nothing_is_thought_cheaper_than_a_share_of_the_smallest_cost():
    pairs = [({"x": x, "s": s}, 1e3 ** (s - 1.0)) for x in (0.1, 0.9) for s in (0.7, 0.8, 1.0)]
    cost = learnt(FIDELITY, pairs)
    median, _, _ = costs(cost, FIDELITY, {"x": 0.5, "s": 0.0})
    smallest = min(c for _, c in pairs)
    np.testing.assert_allclose(median, 0.1 * smallest)
    _, gradient = log_median(cost).value_and_gradient(at(FIDELITY, {"x": 0.5, "s": 0.0})[:, 0])
    assert bool((gradient == 0).all())


@pytest.mark.parametrize("unit", [1e-290, 1.0, 1e290])
def test_the_unit_of_costs_does_not_matter(unit):
    pairs = [({"x": x, "s": x}, 2.0 + x) for x in np.linspace(0, 1, 6)]
    cost = learnt(FIDELITY, [(params, unit * c) for params, c in pairs])
    exact = learnt(FIDELITY, pairs)
    X = points(4, 2).unsqueeze(1)
    torch.testing.assert_close(
        cost.log_upper(X) - math.log(unit), exact.log_upper(X), rtol=1e-6, atol=1e-6
    )


def test_equal_points_and_equal_costs_are_no_trouble():
    pairs = [({"x": 0.5, "s": 1.0}, 3.0)] * 30
    cost = learnt(FIDELITY, pairs)
    median, _, upper = costs(cost, FIDELITY, {"x": 0.5, "s": 1.0})
    assert median[0] == pytest.approx(3.0, rel=1e-3) and upper[0] < 3.5


@pytest.mark.parametrize("space", [FIDELITY, SOURCES])
def test_an_approximation_that_was_never_paid_is_not_thought_dearer_than_the_target(space):
    target = space.at_target()["s"].value
    low, other = (0.1, 0.3) if space is FIDELITY else ("b", "c")
    designs = (0.2, 0.7)
    cost = learnt(space, [({"x": x, "s": target}, 50.0) for x in designs])
    where = [{"x": 0.5, "s": s} for s in (target, low, other)]
    _, mean, upper = costs(cost, space, *where)
    assert upper[0] < 500.0 and (upper[1:] == upper[0]).all()
    assert mean[0] < upper[0] and (mean[1:] == mean[0]).all()
    # Once it was paid, that is what it costs, be it more.
    cost = learnt(
        space,
        [*(({"x": x, "s": s}, c) for x in designs for s, c in ((target, 50.0), (low, 400.0)))],
    )
    upper = costs(cost, space, *where)[2]
    assert upper[1] > 400.0 > upper[0] >= upper[2]


def test_its_gradient_is_that_of_what_is_smaller():
    cost = learnt(
        FIDELITY, [({"x": x, "s": s}, 10.0 ** (x + s)) for x, s in ((0.2, 1), (0.8, 1), (0.5, 0.9))]
    )
    X = torch.tensor([[0.3, 0.0], [0.3, 0.8], [0.3, 0.95], [0.3, 1.0]], dtype=torch.float64)
    value, gradient = cost.log_upper.value_and_gradient(X)
    torch.testing.assert_close(value, cost.log_upper(X.unsqueeze(1)))
    step = torch.tensor([1e-6, 0.0], dtype=torch.float64)
    above, below = cost.log_upper((X + step)[:, None]), cost.log_upper((X - step)[:, None])
    torch.testing.assert_close(gradient[:, 0], (above - below) / 2e-6, rtol=1e-5, atol=1e-6)
    assert gradient[0, 1] == 0.0
