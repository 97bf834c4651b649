"""Importance indices: rare events in closed form, exact budgets, flags, failures, the way back."""

import re
import warnings

import numpy as np
import pytest
from scipy import integrate, stats

import uq
from uq.factors import factors_of
from uq.model_runs import ModelRuns
from uq.proposals import Gaussian
from uq.target_sensitivity.importance import importance_indices
from uq.target_sensitivity.redrawn_copies import GaussianMixture, Plan, Redrawing, drawn, log_law
from uq.target_sensitivity.weighted_pairs import PairWeights, pair_indices

BETA = 3.5
EXACT = {
    2: (0.0314851985256, 0.968514801474),
    10: (6.13221417855e-4, 0.609984659327),
}


def normal(d):
    return uq.Inputs({f"x{i}": stats.norm() for i in range(d)})


def event(d, beta=BETA):
    return lambda x: (x.sum(axis=1) > beta * np.sqrt(d)).astype(float)


def indices_of(func, inputs, budget, seed=0, **given):
    runs = ModelRuns(func, inputs.dimension, None, budget, progress=False)
    return importance_indices(runs, inputs, budget=budget, rng=seed, **given)


def both(indices):
    return np.concatenate([indices.first_order, indices.total_order])


def errors(indices):
    return np.concatenate(indices.standard_error[:2])


def of_event(d, beta):
    """First and total index of the linear limit state, by a quadrature over the shared part."""
    p = stats.norm.sf(beta)

    def closed(shared):
        def integrand(u):
            rest = (beta - np.sqrt(shared) * u) / np.sqrt(1.0 - shared)
            return stats.norm.pdf(u) * stats.norm.sf(rest) ** 2

        product, _ = integrate.quad(integrand, -10.0, 12.0, epsabs=1e-16, epsrel=1e-10, limit=400)
        return (product - p * p) / (p - p * p)

    return closed(1 / d), 1.0 - closed(1.0 - 1 / d)


# Rare events


@pytest.mark.parametrize("d", [2, 10])
def test_the_quadrature_gives_the_stored_values(d):
    np.testing.assert_allclose(of_event(d, BETA), EXACT[d], rtol=1e-8)


@pytest.mark.parametrize(("d", "largest"), [(2, (0.06, 0.01)), (10, (0.6, 0.1))])
def test_a_rare_event_is_resolved(d, largest):
    s = indices_of(event(d), normal(d), 20_000)
    exact = np.repeat(EXACT[d], d)
    assert (np.abs(both(s) - exact) < 4 * errors(s)).all()
    relative = errors(s) / exact
    assert relative[:d].max() < largest[0]
    assert relative[d:].max() < largest[1]
    p = stats.norm.sf(BETA)
    assert s.variance == pytest.approx(p * (1 - p), rel=0.15)
    assert s.method == "importance"
    assert s.names == tuple(f"x{i}" for i in range(d))


def test_a_design_of_the_law_sees_nothing_of_it():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = uq.sobol_indices(
            func=event(10), inputs=normal(10), budget=20_000, rng=0, progress=False
        )
    exact = np.repeat(EXACT[10], 10)
    assert np.abs(both(plain) - exact)[10:].max() > 0.2


@pytest.mark.parametrize("n_seeds", [6, pytest.param(12, marks=pytest.mark.slow)])
@pytest.mark.parametrize("sampling", ["qmc", pytest.param("mc", marks=pytest.mark.slow)])
def test_errors_are_what_they_say(sampling, n_seeds):
    exact = np.repeat(of_event(3, 3.0), 3)
    z = []
    for seed in range(n_seeds):
        s = indices_of(event(3, 3.0), normal(3), 2000, seed, sampling=sampling)
        z.append((both(s) - exact) / errors(s))
    z = np.array(z)
    assert 0.5 < np.sqrt(np.mean(z**2)) < 1.8
    assert np.abs(z.mean(axis=0)).max() < 4 * 1.4 / np.sqrt(n_seeds)


def test_a_constant_beside_the_event_and_its_scale_change_nothing():
    plain = indices_of(event(2), normal(2), 2000, 3)
    moved = indices_of(lambda x: 7.0 + 4.0 * event(2)(x), normal(2), 2000, 3)
    np.testing.assert_allclose(both(moved), both(plain), rtol=1e-6)
    assert moved.variance == pytest.approx(16.0 * plain.variance, rel=1e-6)


def test_an_event_on_two_sides_is_found():
    s = indices_of(lambda x: (np.abs(x.sum(axis=1)) > 3.0 * np.sqrt(2.0)) * 1.0, normal(2), 6000, 1)
    # Two equal events that share nothing: the variance of the conditional mean adds up.
    p = stats.norm.sf(3.0)
    one = of_event(2, 3.0)[0] * p * (1 - p) + p * p
    cross = stats.multivariate_normal([0, 0], [[1, -0.5], [-0.5, 1]]).cdf([-3.0, -3.0])
    exact = (2 * one + 2 * cross - 4 * p * p) / (2 * p * (1 - 2 * p))
    assert (np.abs(s.first_order - exact) < 4 * s.standard_error.first_order).all()
    assert (s.standard_error.first_order < 0.5 * exact).all()


def test_a_tail_output():
    t = 3.5

    def tail(x):
        return np.maximum(x @ [0.8, 0.6] - t, 0.0)

    s = indices_of(tail, normal(2), 6000, 2)
    p, density = stats.norm.sf(t), stats.norm.pdf(t)
    moments = [density - t * p, (1.0 + t * t) * p - t * density]
    variance = moments[1] - moments[0] ** 2
    exact = []
    for a, b in ((0.8, 0.6), (0.6, 0.8)):

        def squared(u, a=a, b=b):
            h = (t - a * u) / b
            mean = b * (stats.norm.pdf(h) - h * stats.norm.sf(h))
            return mean**2 * stats.norm.pdf(u)

        part = integrate.quad(squared, -10, 12, epsabs=1e-20, limit=300)[0]
        exact.append((part - moments[0] ** 2) / variance)
    assert s.variance == pytest.approx(variance, rel=0.2)
    assert (np.abs(s.first_order - exact) < 4 * s.standard_error.first_order).all()
    assert (np.abs(s.total_order - 1 + exact[::-1]) < 4 * s.standard_error.total_order).all()


def test_a_group_is_one_factor():
    s = indices_of(event(3), normal(3), 6000, 0, groups={"both": ["x0", "x2"]})
    assert s.names == ("both", "x1")
    first = of_event(3, BETA)[0]
    total = of_event(3, BETA)[1]
    exact = np.array([1.0 - total, first, 1.0 - first, total])
    assert (np.abs(both(s) - exact) < 4 * errors(s)).all()


def test_a_group_of_all_inputs_has_index_one():
    s = indices_of(event(2), normal(2), 2000, 0, groups={"all": ["x0", "x1"]})
    assert s.first_order[0] == pytest.approx(1.0, abs=1e-9)
    assert np.abs(s.total_order[0] - 1.0) <= 4 * s.standard_error.total_order[0] + 1e-9


# Budget, flags, failures


@pytest.mark.parametrize("budget", [500, 1234, 4001])
@pytest.mark.parametrize("beta", [0.0, 3.0, 40.0])
def test_never_more_runs_than_the_budget(budget, beta):
    seen = []

    def counted(x):
        seen.append(len(x))
        return event(3, beta)(x)

    s = indices_of(counted, normal(3), budget)
    assert sum(seen) == s.n_evaluations <= budget
    if beta == 3.0:
        assert s.n_evaluations == budget
    assert re.match(rf"\d+ of {budget} runs spent on learning", s.message)


def test_an_event_that_is_never_met_is_unknown():
    s = indices_of(event(2, 60.0), normal(2), 1000)
    assert np.isnan(both(s)).all()
    assert np.isnan(errors(s)).all()
    assert any("unknown" in flag for flag in s.flags)


def test_several_outputs_share_one_density():
    def outputs(x):
        return np.stack([event(2)(x), np.zeros(len(x)), event(2, 3.0)(x)], axis=1)

    s = indices_of(outputs, normal(2), 6000, 1)
    assert s.first_order.shape == s.standard_error.total_order.shape == (2, 3)
    assert s.variance.shape == (3,)
    assert np.isnan(s.first_order[:, 1]).all()
    assert any(flag.startswith("Output 1") for flag in s.flags)
    for j, beta in ((0, 3.5), (2, 3.0)):
        error = np.abs(s.first_order[:, j] - of_event(2, beta)[0])
        assert (error < 4 * s.standard_error.first_order[:, j]).all()


def test_an_unknown_output_beside_a_smooth_one():
    def outputs(x):
        return np.stack([x @ [1.0, 2.0], np.zeros(len(x))], axis=1)

    s = indices_of(outputs, normal(2), 1000)
    np.testing.assert_allclose(s.first_order[:, 0], [0.2, 0.8], atol=0.01)
    assert np.isnan(s.total_order[:, 1]).all()
    assert np.isnan(s.standard_error.total_order[:, 1]).all()


def test_failed_rows_are_left_out_whole():
    """A run fails by an input that nothing depends on: the indices stay what they are."""

    def fails(x):
        return np.where(x[:, 2] > 1.0, np.nan, event(2)(x[:, :2]))

    with pytest.warns(UserWarning, match="are left out"):
        s = indices_of(fails, normal(3), 10_000, 1)
    assert 0 < s.n_effective < len(s.diagnostics["normal_points"]) + 10_000 // 7
    assert any("left out" in flag for flag in s.flags)
    exact = EXACT[2][0]
    assert (np.abs(s.first_order[:2] - exact) < 5 * s.standard_error.first_order[:2]).all()


def test_few_effective_pairs_are_flagged():
    flags = indices_of(event(6, 4.5), normal(6), 1500, 0).flags
    assert any("effective pairs" in flag or "unknown" in flag for flag in flags)


def test_a_budget_that_is_too_small():
    with pytest.raises(ValueError, match=r"`budget` must pay for learning .* but got 100\."):
        indices_of(event(3), normal(3), 100)


# The way back to the law


def test_a_smooth_model_keeps_the_law():
    def smooth(x):
        return x[:, 0] + 0.5 * x[:, 1] ** 2 + 0.3 * x[:, 0] * x[:, 2]

    s = indices_of(smooth, normal(3), 4000)
    variance = 1.0 + 0.5 + 0.09
    exact = np.array([1.0, 0.5, 0.0, 1.09, 0.5, 0.09]) / variance
    np.testing.assert_allclose(both(s), exact, atol=0.01)
    assert "no density foretold to win" in s.message
    assert s.design is not None
    assert s.method == "importance"


def test_a_smooth_model_with_heavy_tails_keeps_the_law():
    """A density for its moments is foretold to win hundredfold, and would lose as much."""
    a = np.array([0.8, 0.6])
    s = indices_of(lambda x: np.exp(x @ a), normal(2), 4000)
    first = np.expm1(a**2) / np.expm1(a @ a)
    np.testing.assert_allclose(s.first_order, first, atol=2e-3)
    assert "no density foretold to win" in s.message


def test_an_event_that_is_nearly_one_counts_as_one():
    def steep(x):
        return 1.0 / (1.0 + np.exp(np.clip(-40.0 * (x.sum(axis=1) - 3.0 * np.sqrt(2.0)), -50, 500)))

    s = indices_of(steep, normal(2), 3000)
    assert "density, foretold" in s.message
    assert s.first_order[0] == pytest.approx(of_event(2, 3.0)[0], rel=0.2)


# Copies and weights


def mixture():
    return GaussianMixture(
        np.array([0.25, 0.45, 0.3]),
        (
            Gaussian(np.zeros(3), np.eye(3)),
            Gaussian(np.array([1.0, 0.5, -0.5]), np.diag([0.5, 0.8, 1.0]) + 0.1),
            Gaussian(np.array([-1.0, 0.2, 0.3]), np.eye(3) * 0.6 + 0.2),
        ),
    )


@pytest.mark.parametrize("kept", [[True, False, False], [False, True, True], [False] * 3])
def test_copies_follow_the_density_they_say(kept):
    g, kept = mixture(), np.array(kept)
    redrawing = Redrawing(g, kept, 0.2)
    rng = np.random.default_rng(0)
    n = 40_000
    z = g.density.sample(n, rng)
    copies = redrawing.copies(z, rng.random((n, 4)))
    np.testing.assert_array_equal(copies[:, kept], z[:, kept])
    # E[f(z_F) s(z_F) / q] over the copies is E_f[s], whatever is kept.
    ratio = np.exp(log_law(copies, ~kept) - redrawing.log_density(copies))
    assert ratio.max() <= 1.0 / 0.2 + 1e-9
    free = copies[:, ~kept]
    one = np.ones((n, 1))
    first, beside = free[:, :1], z[:, kept]
    statistics = np.concatenate([one, free, free**2, beside * first**2], axis=1)
    known = np.concatenate([one, 0.0 * free, 1.0 + 0.0 * free, beside], axis=1)
    values = ratio[:, None] * statistics - known
    error = values.std(axis=0) / np.sqrt(n)
    assert (np.abs(values.mean(axis=0)) < 4 * error).all()


def test_weighted_means_of_pairs_are_unbiased():
    """E[v y y'] is the integral over what is shared, whatever the mixture is."""
    inputs = normal(3)
    plan = Plan.of(inputs, factors_of(inputs.names, None))
    u = np.random.default_rng(1).random((20_000, plan.n_uniforms))
    z, weights = drawn(plan, mixture(), u)
    y = z[..., 0] * (1.0 + z[..., 1]) + z[..., 2]
    v = weights.pairs
    each = [v, v * y[:, :1] * y[:, 1:], weights.copies, weights.copies * y[:, 1:] ** 2]
    values = np.concatenate(each, axis=1)
    kept = plan.kept.astype(float)
    closed = kept[:, 0] + kept[:, 2] + kept[:, 0] * kept[:, 1]
    exact = np.concatenate([np.ones(6), closed, np.ones(6), np.full(6, 3.0)])
    error = values.std(axis=0) / np.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - exact) < 4 * error).all()


def test_a_copy_that_keeps_everything_is_the_point():
    kept = np.ones(3, dtype=bool)
    rng = np.random.default_rng(0)
    z = mixture().density.sample(50, rng)
    redrawing = Redrawing(mixture(), kept)
    copies = redrawing.copies(z, rng.random((50, 4)))
    np.testing.assert_array_equal(copies, z)
    np.testing.assert_allclose(redrawing.log_density(copies), 0.0, atol=1e-12)


def test_a_plan_draws_equal_copies_once():
    two, three = normal(2), normal(3)
    assert Plan.of(two, factors_of(two.names, None)).n_blocks == 3
    assert Plan.of(three, factors_of(three.names, None)).n_blocks == 7


def test_controls_make_the_centre_of_the_output_matter_little():
    rng = np.random.default_rng(2)
    inputs = normal(3)
    plan = Plan.of(inputs, factors_of(inputs.names, None))
    z, weights = drawn(plan, mixture(), rng.random((8000, plan.n_uniforms)))
    y = z[..., 0] + 0.5 * z[..., 1]
    folds = np.repeat(np.arange(20), 400)
    results = [
        pair_indices(y - c, weights, plan.copy_of, plan.total, folds, True, True)
        for c in (0.0, 1.0)
    ]
    exact = np.array([0.8, 0.2, 0.0, 0.8, 0.2, 0.0])
    for one in results:
        assert (np.abs(one.estimate - exact) < 4 * one.standard_error).all()
    np.testing.assert_allclose(results[1].standard_error, results[0].standard_error, rtol=0.5)


def test_unit_weights_and_complete_or_not_agree():
    rng = np.random.default_rng(3)
    y = rng.standard_normal((64, 3))
    weights = PairWeights(np.ones(64), np.ones((64, 2)), np.ones((64, 2)))
    given = (
        y,
        weights,
        np.array([0, 1]),
        np.array([False, True]),
        np.repeat(np.arange(8), 8),
        False,
    )
    one, other = pair_indices(*given, True), pair_indices(*given, False)
    np.testing.assert_allclose(one.estimate, other.estimate, rtol=1e-10)
    np.testing.assert_allclose(one.standard_error, other.standard_error, rtol=1e-6)
