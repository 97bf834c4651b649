"""Traces of evaluations: the rows they add, and the knowledge gradient of what comes along."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from joint_processes import candidates, joint_process, tensor
from test_joint_process import same
from test_target_knowledge_gradient import agrees_with_differences, is_of_botorch
from test_target_search import chosen, search_of

import bayesopt as bo
from bayesopt import optimize
from bayesopt.acquisition.target_knowledge_gradient import TargetKnowledgeGradient
from bayesopt.acquisition.trace_knowledge_gradient import Curve, TraceKnowledgeGradient, build
from bayesopt.data import dataset
from bayesopt.observations import observations
from bayesopt.outcome_constraints import OutcomeConstraints
from bayesopt.space import Space
from bayesopt.trace_rows import MOST_OF_ONE, spread, trace_rows
from bayesopt.trial import Evaluation, Trial, TrialState

FIDELITY = {"s": bo.Float(0, 1, role="fidelity", target=1.0)}
SPACE = Space.of(bo.Space(x=bo.Float(0, 1), **FIDELITY))
EPOCHS = Space.of(bo.Space(x=bo.Float(0, 1), s=bo.Int(1, 100, role="fidelity", target=100)))


def trials_of(*given, space=SPACE):
    """Complete trials of (x, s, value, trace) or (x, s, value, trace, sd)."""
    return [
        Trial(
            i,
            {"x": x, "s": s},
            TrialState.COMPLETE,
            Evaluation(v, sd[0] if sd else None, trace=trace),
        )
        for i, (x, s, v, trace, *sd) in enumerate(given)
    ]


TWO = (
    (0.3, 1.0, 2.0, {0.5: 3.0, 0.2: 6.0, 1.0: 2.0}),
    (0.9, 0.4, 5.0, None),
    (0.6, 0.6, 4.0, {0.1: 8.0}),
)

# -- rows ------------------------------------------------------------------------------------------


def test_rows_are_the_designs_at_the_other_fidelities():
    rows = trace_rows(SPACE, trials_of(*TWO))
    np.testing.assert_array_equal(rows.X, [[0.3, 0.2], [0.3, 0.5], [0.6, 0.1]])
    np.testing.assert_array_equal(rows.value, [6.0, 3.0, 8.0])
    np.testing.assert_array_equal(rows.trial, [0, 0, 2])
    assert trace_rows(SPACE, trials_of(TWO[1])).X.shape == (0, 2)


def test_epochs_are_whole_numbers():
    rows = trace_rows(EPOCHS, trials_of((0.5, 34, 1.0, {1: 3.0, 12: 2.0, 34: 1.0})))
    np.testing.assert_allclose(rows.X, [[0.5, 0.0], [0.5, 1 / 9]], rtol=1e-15)
    np.testing.assert_array_equal(rows.value, [3.0, 2.0])


def test_of_a_long_trace_some_rows_are_spread_evenly_and_the_ends_are_kept():
    trace = {s: 100.0 - s for s in range(1, 91)}
    rows = trace_rows(EPOCHS, trials_of((0.5, 90, 1.0, trace)))
    epoch = 1.0 + 99.0 * rows.X[:, 1]
    assert len(epoch) == MOST_OF_ONE and epoch[0] == 1.0 and epoch[-1] == pytest.approx(89.0)
    assert np.ptp(np.diff(epoch)) < 1.5
    np.testing.assert_allclose(rows.value, 100.0 - epoch)


@given(st.lists(st.floats(0, 1), max_size=40, unique=True), st.integers(2, 10))
def test_what_is_spread_are_different_ones_with_both_ends(u, most):
    u = np.array(u, dtype=np.float64)
    kept = spread(u, most)
    assert len(kept) == len(np.unique(kept)) <= most
    assert len(kept) == len(u) or {u[kept].min(), u[kept].max()} == {u.min(), u.max()}
    assert len(u) > most or len(kept) == len(u)


def test_they_follow_after_the_trials_and_share_their_scale():
    trials = trials_of(*TWO)
    data = dataset(SPACE, trials, "minimize", "auto", traces=True)
    values = np.array([2.0, 5.0, 4.0, 6.0, 3.0, 8.0])
    np.testing.assert_allclose(data.Y[:, 0], (values.mean() - values) / values.std(), atol=1e-14)
    np.testing.assert_allclose(data.scaling.value(data.Y[:, 0].numpy()), values, rtol=1e-14)
    without = dataset(SPACE, trials, "minimize", "auto")
    assert len(without) == 3 and torch.equal(data.X[:3], without.X)
    none = trials_of(*TWO[1:2])
    same(dataset(SPACE, none, "minimize", False, traces=True).Y, tensor([0.0]))


@pytest.mark.parametrize(("noise", "expected"), [("auto", np.nan), (False, 0.0), (0.5, 0.25)])
def test_the_standard_error_of_the_value_is_not_that_of_its_trace(noise, expected):
    trials = trials_of((0.3, 1.0, 2.0, {0.5: 3.0}, 0.1), (0.9, 1.0, 1.0, {0.5: 7.0}))
    data = dataset(SPACE, trials, "minimize", noise, traces=True)
    variance = data.scaling.value_sd(data.Yvar[:, 0].sqrt().numpy()) ** 2
    np.testing.assert_allclose(variance, [0.01, expected, expected, expected], rtol=1e-12)


def test_curves_are_cut_much_farther_out_than_values_alone():
    curves = [{0.1: 1e6, 0.2: 20.0, 0.5: 3.0}, {0.1: 1e5, 0.5: 4.0}]
    trials = trials_of((0.3, 1.0, 1.0, curves[0]), (0.9, 1.0, 2.0, curves[1]))
    data = dataset(SPACE, trials, "minimize", False, 2.0, traces=True)
    poor = 4.0 + 10.0 * 2.0 * (4.0 - 1.0)  # of the median and the best
    values = data.scaling.value(data.Y[:, 0].numpy())
    np.testing.assert_allclose(values, [1.0, 2.0, poor, 20.0, 3.0, poor, 4.0], rtol=1e-12)


def test_constraints_have_the_trials_alone_and_their_verdict_is_that_of_the_trace():
    trials = [
        Trial(
            i,
            {"x": x, "s": 1.0},
            TrialState.COMPLETE,
            Evaluation(x, constraints={"g": x}, trace={0.5: x + 1}),
        )
        for i, x in enumerate((0.1, 0.5, 0.9))
    ]
    limits = OutcomeConstraints.of({"g": (0.4, None)})
    seen = observations(SPACE, trials, ("minimize",), False, limits, 2.0, traces=True)
    assert len(seen.X) == 6 and len(seen.met) == len(seen.constraints[0].data) == 3
    assert torch.equal(seen.of_trials.X, seen.X[:3])
    without = observations(SPACE, trials, ("minimize",), False, limits, 2.0)
    assert without.of_trials is without


# -- what is fitted --------------------------------------------------------------------------------


def curve_of(x, s):
    return (x - 0.4) ** 2 + (1.0 + 0.3 * x) * np.exp(-3.0 * s)


def with_trace(x, s):
    grid = (0.05, 0.2, 0.4, 0.6, 0.8)
    return Evaluation(curve_of(x, s), trace={g: curve_of(x, g) for g in grid if g < s})


def traced(**given):
    return search_of(FIDELITY, value=with_trace, **given)


def test_the_processes_have_seen_the_traces_and_the_composition_only_the_trials():
    search = traced()
    assert len(search.target.seen.X) == len(search.seen.met) == 8 < len(search.seen.X)
    model, data = search.models.objectives[0], search.seen.objectives[0]
    mean, _ = model.marginals(data.X)
    same(mean, data.Y.squeeze(-1), atol=1e-3)
    values = data.scaling.value(data.Y.squeeze(-1).numpy())
    np.testing.assert_allclose(values, curve_of(*data.X.numpy().T), rtol=1e-9)


def test_they_foresee_the_target_better_than_the_last_values_alone():
    at = torch.stack((torch.linspace(0, 1, 21), torch.ones(21)), dim=-1).double()
    error = {}
    for value in (with_trace, curve_of):
        search = search_of(FIDELITY, value=value, n=7)
        scaling = search.seen.objectives[0].scaling
        mean = search.target.models.objectives[0].marginals(at)[0]
        truth = curve_of(*at.numpy().T)
        error[value] = np.sqrt(np.mean((scaling.value(mean.detach().numpy()) - truth) ** 2))
    assert error[with_trace] < 0.5 * error[curve_of]


def test_a_study_counts_evaluations_and_not_their_traces():
    study = bo.Study(SPACE, noise=False, seed=0, n_initial=4)
    study.run(with_trace, 5, progress=False)
    explained = study.explain()
    assert explained.n_complete == 5 and explained.n_truncated <= 5
    best = study.recommend()
    assert best.params["s"] == 1.0 and curve_of(**best.params) < curve_of(0.8, 1.0)
    again = bo.Study(SPACE, noise=False, seed=0, n_initial=4)
    again.run(with_trace, 5, progress=False)
    assert [t.params for t in again.trials] == [t.params for t in study.trials]


def test_failures_are_learnt_beside_traces():
    def fails(x, s):
        if x > 0.8:
            raise ArithmeticError("diverged")
        return with_trace(x, s)

    study = bo.Study(SPACE, noise=False, seed=0, n_initial=6)
    study.run(fails, 7, progress=False)
    assert {t.state for t in study.trials} == {TrialState.COMPLETE, TrialState.FAILED}
    assert study.recommend().params["x"] < 0.9


# -- the points of a trace -------------------------------------------------------------------------


def fidelities(curve, s):
    points, there = curve.points(tensor([0.1, s, 0.7]))
    assert (points[:, 0] == 0.1).all() and (points[:, 2] == 0.7).all() and there[0]
    return points[there][:, 1].tolist()


def test_a_trace_has_the_fidelities_that_are_farther_from_the_target():
    curve = Curve(1, 1.0, tensor(0.5, 0.0, 0.25, 0.5))
    assert fidelities(curve, 1.0) == [1.0, 0.0, 0.25, 0.5]
    assert fidelities(curve, 0.5) == [0.5, 0.0, 0.25]
    assert fidelities(curve, 0.1) == [0.1, 0.0]
    assert fidelities(curve, 0.0) == [0.0]
    assert fidelities(Curve(1, 0.0, tensor(0.5, 1.0)), 0.2) == [0.2, 1.0, 0.5]


def test_of_many_fidelities_three_stand_for_all():
    curve = Curve(1, 1.0, torch.arange(10, dtype=torch.float64) / 10)
    assert fidelities(curve, 1.0) == [1.0, 0.0, 0.3, 0.7]
    assert fidelities(curve, 0.6) == [0.6, 0.0, 0.2, 0.4]
    assert fidelities(curve, 0.35) == [0.35, 0.0, 0.1, 0.3]
    assert fidelities(curve, 0.3) == [0.3, 0.0, 0.1, 0.2]


# -- the acquisition -------------------------------------------------------------------------------

NAMES = ["decay", "increments", "accuracy"]
LEVELS = Curve(1, 1.0, tensor(0.1, 0.45, 0.7))


def curve_for(name):
    return Curve(1, 1.0, tensor(0.0, 0.5)) if name == "increments" else LEVELS


def trace_kg(name, A=None, **options):
    model = joint_process(name)
    A = candidates(name, 12, seed=3) if A is None else A
    return TraceKnowledgeGradient(model, A, curve_for(name), **({"log": False} | options))


def with_a_trace(name, X):
    """Those of the candidates that come with one."""
    return X[X[..., 1].flatten() > float(curve_for(name).fidelities.min()) + 1e-3]


def starts_of(name, X):
    """The same designs at the farthest fidelity of a trace."""
    at_start = X.clone()
    at_start[..., 1] = curve_for(name).fidelities.min()
    return at_start


@pytest.mark.parametrize("name", NAMES)
def test_what_has_no_trace_goes_beyond_nothing(name):
    X = candidates(name, 20, 1)
    X[..., 1] = 0.0 if name == "increments" else X[..., 1] * 0.1
    assert (trace_kg(name)(X) == 0.0).all() and (trace_kg(name, log=True)(X) == -torch.inf).all()


@pytest.mark.parametrize("name", NAMES)
def test_with_what_its_start_gains_it_is_never_less_than_what_the_candidate_gains(name):
    model, A, X = joint_process(name), candidates(name, 12, seed=3), candidates(name, 200, 1)
    X = with_a_trace(name, X)
    gain = TargetKnowledgeGradient(model, A, log=False)
    value, at_start = gain(X), gain(starts_of(name, X))
    beyond = trace_kg(name, n_samples=2048)(X)
    some = 0.005 * value.max()  # the start is a mean over samples in one, and exact in the other
    assert (beyond >= 0.0).all() and (beyond + at_start >= value - some).all()
    assert (beyond + at_start > value + 2.0 * some).any()
    same(trace_kg(name, log=True)(X).exp(), trace_kg(name)(X), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_mean_gain_of_models_that_have_seen_curves_beyond_their_start(name):
    model, A, curve = joint_process(name), candidates(name, 12, seed=3), curve_for(name)
    X = candidates(name, 60, 1, seed=4)
    value = trace_kg(name, n_samples=256)(X)
    rng = np.random.default_rng(0)

    def best(model):
        return float(model.target.marginals(A)[0].max())

    for i in value.topk(2).indices:
        points, there = curve.points(X[i])
        P = points[there]
        P[[0, 1]] = P[[1, 0]]
        posterior = model.posterior(P, observation_noise=True)
        mean, L = posterior.mean, torch.linalg.cholesky(posterior.distribution.covariance_matrix)
        gains = []
        for z in torch.from_numpy(rng.standard_normal((60, len(P), 1))):
            y = [mean + sign * L @ z for sign in (1, -1)]
            start = [model.condition_on_observations(P[:1], each[:1]) for each in y]
            whole = [model.condition_on_observations(P, each) for each in y]
            gains.append(np.mean([best(m) for m in whole]) - np.mean([best(m) for m in start]))
        error = np.std(gains) / np.sqrt(len(gains))
        assert 0.0 < float(value[i]) == pytest.approx(np.mean(gains), abs=4.0 * error)


@pytest.mark.parametrize("name", NAMES)
def test_few_samples_say_what_very_many_lines_do(name):
    model, A = joint_process(name), candidates(name, 12, seed=3)
    X = candidates(name, 40, 1, seed=4)
    ours = trace_kg(name)
    X = with_a_trace(name, X)
    B, _ = ours._slopes(X)
    Z = torch.from_numpy(np.random.default_rng(1).standard_normal((20_000, B.shape[-2])))
    a = model.target.marginals(A)[0]
    start = a + Z[:, :1] * B[..., :1, :]
    lines = start + Z[:, 1:] @ B[..., 1:, :]
    i = start.argmax(-1, keepdim=True)
    gain = lines.amax(-1) - lines.gather(-1, i).squeeze(-1)
    assert gain.std(-1).max() > 0.0
    error = 4.0 * gain.std(-1) / 20_000**0.5 + 0.1 * gain.mean(-1).max()
    assert ((ours(X) - gain.mean(-1)).abs() <= error).all()
    assert torch.corrcoef(torch.stack((ours(X), gain.mean(-1))))[0, 1] > 0.99


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_differences(name):
    acquisition = trace_kg(name, log=True)
    X = with_a_trace(name, candidates(name, 12, seed=4))
    assert len(X) >= 4
    real = [0, 2] if name == "increments" else [0, 1, 2]
    agrees_with_differences(acquisition, X, real, rtol=1e-4, atol=1e-4)


def test_it_is_an_acquisition_of_botorch():
    acquisition = trace_kg("decay", log=True)
    is_of_botorch(acquisition, candidates("decay", 2, 3, 1), atol=1e-9)
    with pytest.raises(ValueError, match="one candidate at a time"):
        acquisition(candidates("decay", 3, 2))


def test_where_everything_is_known_it_is_nothing_and_still_a_number():
    search = traced(n=12)
    model, X = search.models.objectives[0], search.seen.X
    acquisition = TraceKnowledgeGradient(model, X[:12], search._curve(), log=False)
    near = torch.cat((X, (X + 1e-9).clamp_max(1.0))).unsqueeze(-2).requires_grad_(True)
    value = acquisition(near)
    (gradient,) = torch.autograd.grad(value.sum(), near)
    assert value.isfinite().all() and gradient.isfinite().all() and (value[:12] < 1e-3).all()


def test_one_report_alone_gains_nothing():
    acquisition = trace_kg("decay", A=candidates("decay", 1, seed=3))
    X = candidates("decay", 5, 1).requires_grad_(True)
    value = acquisition(X)
    assert (value == 0.0).all()
    (gradient,) = torch.autograd.grad(value.sum(), X)
    assert (gradient == 0.0).all()


# -- the search ------------------------------------------------------------------------------------


def test_the_search_finds_the_best_point_of_a_dense_grid():
    search = traced(n=6)
    model, region = search.models.objectives[0], search.everywhere
    assert isinstance(search._acquisition(), TraceKnowledgeGradient)
    assert not isinstance(search_of(FIDELITY)._acquisition(), TraceKnowledgeGradient)
    where = model, search.seen.of_trials.X, region.at_target, region
    acquisition = build(*where, search._curve())
    found, v = optimize.maximize(acquisition, region, model.X.numpy(), np.random.default_rng(0))
    side = torch.linspace(0, 1, 21, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side).unsqueeze(-2)
    assert v[0] > float(acquisition(grid).max()) - 0.02


def test_a_trace_that_begins_late_leaves_cheaper_evaluations_their_worth():
    def late(x, s):
        return Evaluation(curve_of(x, s), trace={0.5: curve_of(x, 0.5)} if s > 0.5 else None)

    search = search_of(FIDELITY, value=late, n=6)
    assert search._curve().fidelities.tolist()[-1] == 0.0
    acquisition = search._acquisition()
    X = tensor([0.5, 0.3], [0.5, 0.0]).unsqueeze(-2)
    middle, start = acquisition(X).tolist()
    assert np.isfinite(middle) and start == -np.inf


def test_running_evaluations_are_expected_to_come_with_their_traces():
    search = traced(n=6)
    running = torch.tensor([[0.95, 1.0]], dtype=torch.float64)
    beside = search._beside(running).models.objectives[0]
    curve = search._curve()
    points, there = curve.points(running.unsqueeze(-2))
    known = beside.X[len(search.seen.X) :]
    assert torch.equal(known, points[there]) and len(known) == 4
    X = chosen(search, running)
    assert len(X) > 0 and np.abs(X[0] - running[0].numpy()).max() > 1e-3
