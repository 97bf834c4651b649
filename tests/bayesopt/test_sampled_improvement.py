"""Sampled improvement: golden values, limits, brute force, slopes, pending points, botorch."""

import math

import pytest
import torch
from botorch.acquisition.analytic import LogConstrainedExpectedImprovement
from botorch.models import ModelListGP
from botorch_twin import twin_of
from golden_instance import data_of
from processes import points, process

from bayesopt.acquisition.expected_improvement import ExpectedImprovement, expected_improvement
from bayesopt.acquisition.given_samples import GivenSamples
from bayesopt.acquisition.letham_expected_improvement import LethamExpectedImprovement
from bayesopt.acquisition.probability_of_feasibility import ProbabilityOfFeasibility
from bayesopt.acquisition.sampled_improvement import (
    ImprovementOverBest,
    SampledImprovement,
    build,
    met_in_samples,
)

INF = math.inf


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def outcome(seed=2, noise="exact", correlation="rbf", scale=1.0):
    """A process at the points of `processes.process` that observed other values."""
    model = process(correlation, noise)
    Y = scale * torch.cos(5.0 * model.X[:, :1] - 3.0 * model.X[:, 1:] + seed)
    return type(model)(model.X, Y, model.Yvar, model.hyperparameters)


def constraint(seed=2, low=-0.3, high=INF, **options):
    model = outcome(seed, **options)
    return model, data_of(model), low, high


def objective(noise="exact"):
    model = process("matern52", noise)
    return model, data_of(model)


class FixedMoments(GivenSamples):
    """A process of which the moments are given, whatever the candidate."""

    def __init__(self, mean, variance):
        super().__init__(process(), points(0, 2))
        self.mean, self.variance = mean, variance

    def moments(self, X):
        return tensor(self.mean).expand(len(X), 1), tensor(self.variance).expand(len(X))


# -- without noise and pending points: expected improvement times probability ----------------------


def test_golden_value():
    """EI(.2, .5) Phi(.1 / .3)."""
    alpha = SampledImprovement(
        ImprovementOverBest(tensor(0.0)),
        [FixedMoments(0.2, 0.25)],
        [(FixedMoments(0.1, 0.09), 0.0, INF)],
        log=False,
    )
    assert float(alpha(torch.zeros(1, 1, 1).double())) == pytest.approx(0.19876433, abs=5e-9)


def test_without_noise_it_is_improvement_on_the_best_feasible_value_times_probability():
    (f, data), c = objective(), constraint()
    X = points(30, 1, 2, seed=1)
    feasible = c[1].Y[:, 0] >= -0.3
    assert 0 < int(feasible.sum()) < 9
    best = float(data.Y[feasible].max())
    assert best < float(data.Y.max())
    mean, variance = c[0].marginals(X[:, 0])
    met = torch.special.log_ndtr((mean + 0.3) / variance.sqrt())
    alpha = build((f, data), [c])
    torch.testing.assert_close(alpha(X), ExpectedImprovement(f, best)(X) + met)


def test_botorch_agrees():
    models = [process("matern52", "known"), outcome(2, "known"), outcome(1, "known")]
    f, one, other = (GivenSamples(model, model.X[:0]) for model in models)
    alpha = SampledImprovement(
        ImprovementOverBest(tensor(0.7)), [f], [(one, -0.3, INF), (other, -0.9, 0.6)]
    )
    twins, intervals = ModelListGP(*map(twin_of, models)), {1: (-0.3, None), 2: (-0.9, 0.6)}
    X = points(30, 1, 2, seed=2)
    theirs = LogConstrainedExpectedImprovement(twins, 0.7, 0, intervals)(X)
    torch.testing.assert_close(alpha(X), theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("noise", ["exact", "known", "inferred"])
def test_a_constraint_that_is_surely_met_changes_nothing(noise):
    f, X = objective(noise), points(30, 1, 2, seed=3)
    sure = constraint(2, -1e3, 1e3, noise=noise)
    torch.testing.assert_close(build(f, [sure])(X), build(f)(X), rtol=1e-12, atol=1e-12)


def test_without_constraints_it_is_plain_or_lethams():
    X = points(30, 1, 2, seed=4)
    (f, data), (noisy, noisy_data) = objective(), objective("known")
    plain = ExpectedImprovement(f, float(data.Y.max()))(X)
    torch.testing.assert_close(build((f, data))(X), plain, rtol=1e-12, atol=1e-12)
    letham = LethamExpectedImprovement(noisy, noisy_data.X)(X)
    torch.testing.assert_close(build((noisy, noisy_data))(X), letham, rtol=0, atol=0)


def test_little_noise_is_nearly_none():
    (f, data), c = objective(), constraint()
    X, Yvar = points(30, 1, 2, seed=5), torch.full_like(data.Y, 1e-9)
    slightly = [type(m)(m.X, m.Y, Yvar, m.hyperparameters) for m in (f, c[0])]
    alpha = build(
        (slightly[0], data_of(slightly[0])), [(slightly[1], data_of(slightly[1]), *c[2:])]
    )
    assert alpha.objectives[0].n_samples > 1
    expected = build((f, data), [c])(X).exp()
    torch.testing.assert_close(alpha(X).exp(), expected, rtol=1e-2, atol=1e-3)


# -- the definition --------------------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "m"), [("known", 0), ("known", 2), ("exact", 2)])
def test_it_is_the_mean_improvement_of_feasible_points(noise, m):
    """Against joint draws of all processes at A and x, within 4 standard errors."""
    (f, data), c = objective(noise), constraint(noise=noise)
    pending, X, n = points(m, 2, seed=6), points(5, 2, seed=7), 40_000
    alpha = build((f, data), [c], pending)
    worse = float(alpha.improvement.best.min())
    A = torch.cat((data.X, pending))
    sampled = [
        GivenSamples(model, A, n_samples=2048, number=k) for k, model in enumerate((f, c[0]))
    ]
    best = torch.where(sampled[1].values >= -0.3, sampled[0].values, worse).amax(1)
    alpha = SampledImprovement(
        ImprovementOverBest(best), sampled[:1], [(sampled[1], -0.3, INF)], log=False
    )
    torch.manual_seed(0)
    joint = torch.cat((A.expand(5, *A.shape), X.unsqueeze(1)), dim=1)
    value, of_c = (
        model.posterior(joint).rsample(torch.Size([n])).squeeze(-1) for model in (f, c[0])
    )
    met = of_c >= -0.3
    best = torch.where(met, value, worse)[..., :-1].amax(-1)
    gain = (value[..., -1] - best).clamp_min(0.0) * met[..., -1]
    error = 4 * gain.std(0) / n**0.5 + 3e-3
    assert bool(((alpha(X.unsqueeze(1)) - gain.mean(0)).abs() < error).all())


def test_pending_points_without_noise_are_averaged_over():
    """As if each had returned what the sample says: q-EI, greedily."""
    (f, data), pending, X = objective(), points(2, 2, seed=8), points(10, 1, 2, seed=9)
    alpha = build((f, data), X_pending=pending)
    values, total = alpha.objectives[0].values, torch.zeros(10).double()
    for y in values:
        told = f.condition_on_observations(
            pending, y.unsqueeze(-1), noise=torch.zeros(2, 1).double()
        )
        mean, variance = told.marginals(X[:, 0])
        total += expected_improvement(mean, variance, float(torch.cat((data.Y[:, 0], y)).max()))
    torch.testing.assert_close(alpha(X).exp(), total / len(values), rtol=1e-3, atol=1e-5)


def test_more_samples_change_little():
    """And less and less: 32 of them choose a point that is as good by 4096."""
    (f, data), c = objective("known"), constraint(noise="known")
    X, values = points(300, 1, 2, seed=17), []
    for n in (32, 512, 4096):
        sampled = [
            GivenSamples(model, data.X, n_samples=n, number=k) for k, model in enumerate((f, c[0]))
        ]
        best = torch.where(sampled[1].values >= -0.3, sampled[0].values, -3.0).amax(1)
        alpha = SampledImprovement(
            ImprovementOverBest(best), sampled[:1], [(sampled[1], -0.3, INF)]
        )
        values.append(alpha(X).exp())
    few, more, most = values
    assert float((more - most).abs().max()) < 0.5 * float((few - most).abs().max())
    assert float(most[few.argmax()]) > 0.9 * float(most.max())


# -- pending points, and nothing feasible yet ------------------------------------------------------


@pytest.mark.parametrize("low", [-0.3, 2.0])
@pytest.mark.parametrize("noise", ["exact", "known"])
def test_a_pending_point_promises_almost_nothing(noise, low):
    """Also as long as nothing feasible is known: a second try has to lie elsewhere."""
    f, c = objective(noise), constraint(2, low, noise=noise)
    X = points(300, 1, 2, seed=10)
    free = build(f, [c])(X)
    pending = X[free.argmax()]
    busy = build(f, [c], pending)
    assert float(busy(pending.unsqueeze(0)).exp()) < 1e-3 * float(busy(X).exp().max())
    assert float((X[busy(X).argmax()] - pending).abs().max()) > 0.02


@pytest.mark.parametrize("noise", ["exact", "known"])
def test_while_nothing_is_feasible_the_probability_alone_counts(noise):
    f, c = objective(noise), constraint(2, 1.5, noise=noise)
    alpha, X = build(f, [c]), points(20, 1, 2, seed=11)
    assert isinstance(alpha, ProbabilityOfFeasibility)
    mean, variance = c[0].marginals(X[:, 0])
    met = torch.special.log_ndtr((mean - 1.5) / variance.sqrt())
    torch.testing.assert_close(alpha(X), met, rtol=1e-9, atol=1e-9)


def test_in_samples_without_a_feasible_point_any_feasible_one_is_an_improvement():
    f, c = objective("known"), constraint(2, -0.12, noise="known")
    alpha = build(f, [c])
    assert isinstance(alpha, SampledImprovement)
    best = alpha.improvement.best
    poor = best == best.min()
    assert 0 < int(poor.sum()) < len(best)
    assert float(best.min()) < float(f[1].Y.min()) - 0.2
    met = met_in_samples(alpha.constraints, alpha.objectives[0].values)
    assert bool((poor == ~met.any(1)).all())


def test_what_is_impossible_keeps_a_finite_slope():
    f, c = objective(), constraint()
    sampled = [GivenSamples(model, f[1].X[:0]) for model in (f[0], c[0])]
    alpha = SampledImprovement(
        ImprovementOverBest(tensor(0.0)), sampled[:1], [(sampled[1], 1e6, INF)]
    )
    value, gradient = alpha.value_and_gradient(torch.cat((points(20, 2, seed=12), f[1].X)))
    assert bool((value < -1e9).all()) and bool(torch.isfinite(value).all())
    assert bool(torch.isfinite(gradient).all()) and bool((gradient[:20] != 0).any())
    assert bool((alpha(points(20, 1, 2, seed=12)).exp() == 0).all())


# -- slopes and shapes -----------------------------------------------------------------------------


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize(("noise", "m"), [("exact", 0), ("exact", 2), ("known", 2)])
@pytest.mark.parametrize("of", [lambda m: m, twin_of], ids=["ours", "botorch"])
def test_gradients_agree_with_finite_differences(of, noise, m, log):
    (_, data), c = objective(noise), constraint(noise=noise)
    f, g = (of(model) for model in (objective("known")[0], outcome(noise="known")))
    alpha = build((f, data), [(g, *c[1:])], points(m, 2, seed=13))
    alpha.log = log
    X = points(8, 2, seed=14)
    value, gradient = alpha.value_and_gradient(X)
    variable = X.unsqueeze(-2).requires_grad_()
    (by_graph,) = torch.autograd.grad(alpha(variable).sum(), variable)
    torch.testing.assert_close(gradient, by_graph.squeeze(-2), rtol=1e-6, atol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(value, alpha(X.unsqueeze(-2)), rtol=1e-9, atol=1e-9)
        for j, move in enumerate(1e-6 * torch.eye(2).double()):
            ahead, behind = (alpha((X + s * move).unsqueeze(-2)) for s in (1, -1))
            torch.testing.assert_close(
                (ahead - behind) / 2e-6, gradient[:, j], rtol=1e-3, atol=1e-4
            )


def test_any_batch_shape_and_one_candidate_at_a_time():
    alpha, X = build(objective(), [constraint()]), points(6, 1, 2, seed=15)
    torch.testing.assert_close(alpha(X.reshape(2, 3, 1, 2)), alpha(X).reshape(2, 3))
    with pytest.raises(ValueError, match="q=1"):
        alpha(X.reshape(3, 2, 2))


def test_the_samples_are_fixed():
    f, c, X = objective("known"), constraint(noise="known"), points(5, 1, 2, seed=16)
    torch.manual_seed(1)
    one = build(f, [c])(X)
    torch.manual_seed(2)
    torch.testing.assert_close(build(f, [c])(X), one, rtol=0, atol=0)


def test_what_does_not_fit_together_is_refused():
    (f, data), (c, c_data, low, high) = objective(), constraint()
    nothing, some = GivenSamples(f, data.X[:0]), GivenSamples(c, data.X, n_samples=8)
    best = ImprovementOverBest(tensor(0.0))
    with pytest.raises(ValueError, match=r"as many samples, but have \[1, 8\]"):
        SampledImprovement(best, [nothing], [(some, low, high)])
    with pytest.raises(ValueError, match="at least one objective"):
        SampledImprovement(best, [])
    with pytest.raises(ValueError, match="below its upper one"):
        SampledImprovement(best, [nothing], [(nothing, 1.0, 1.0)])
    with pytest.raises(ValueError, match="at the same points"):
        build((f, data), [(c, c_data.at(torch.arange(8)), low, high)])
