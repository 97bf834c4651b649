"""Shapley effects: closed forms, brute force over all subsets, rows, weights, errors."""

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import uq
from uq.inputs import Inputs
from uq.polynomials import basis, index_set
from uq.sampling import Folds
from uq.shapley.estimates import row_forms
from uq.shapley.forms import GaussianForms, independent_forms
from uq.shapley.permutation_chains import chain_design, permutations_of_rank

ISHIGAMI = np.array([0.435747023179, 0.44241114479, 0.121841832031])  # a = 7, b = 0.1
ANGLES = Inputs([stats.uniform(-np.pi, 2 * np.pi)] * 3)
R3 = np.array([[1.0, 0.6, 0.2], [0.6, 1.0, -0.3], [0.2, -0.3, 1.0]])
NORMAL = stats.norm()
DEPENDENT = Inputs([NORMAL] * 3, correlation=R3)
SLOPES = np.array([1.0, 2.0, -1.5])


def ishigami(x):
    return np.sin(x[:, 0]) * (1 + 0.1 * x[:, 2] ** 4) + 7 * np.sin(x[:, 1]) ** 2


def linear(x):
    return x @ SLOPES


def explained_by_linear(v):
    """Var E[Y | X_v] of the linear model, by the conditional mean of normal variables."""
    v = list(v)
    if not v:
        return 0.0
    covariance = R3[:, v] @ np.linalg.solve(R3[np.ix_(v, v)], R3[v])
    return float(SLOPES @ covariance @ SLOPES)


def shapley_by_all_orders(explained, d):
    phi = np.zeros(d)
    for order in itertools.permutations(range(d)):
        for k, i in enumerate(order):
            phi[i] += explained(order[: k + 1]) - explained(order[:k])
    return phi / math.factorial(d) / explained(range(d))


LINEAR = shapley_by_all_orders(explained_by_linear, 3)


def effects(func, inputs, n=256, **more):
    return uq.shapley_effects(func=func, inputs=inputs, n=n, rng=0, **more)


def assert_within_errors(estimate, truth, error, errors=4.0):
    assert (np.abs(estimate - truth) < errors * error).all(), (estimate - truth) / error


def test_ishigami_is_known_far_better_with_the_polynomial():
    result = effects(ishigami, ANGLES, n=1024)
    np.testing.assert_allclose(result.shapley, ISHIGAMI, atol=2e-4)
    np.testing.assert_allclose(result.first_order, [0.3139051912, 0.4424111448, 0.0], atol=2e-4)
    np.testing.assert_allclose(
        result.total_order, [0.5575888552, 0.4424111448, 0.2436836641], atol=2e-4
    )
    assert result.variance == pytest.approx(13.8445879407, rel=1e-3)
    assert result.method == "shapley" and "polynomial" in result.message
    plain = effects(ishigami, ANGLES, n=1024, surrogate=None)
    assert_within_errors(plain.shapley, ISHIGAMI, plain.standard_error.shapley)
    assert plain.standard_error.shapley.max() > 100 * result.standard_error.shapley.max()


@pytest.mark.parametrize("surrogate", ["auto", None])
@pytest.mark.parametrize("sampling", ["qmc", "mc"])
def test_effects_sum_to_one(surrogate, sampling):
    for func, inputs in ((ishigami, ANGLES), (lambda x: np.exp(x[:, 0]) * x[:, 1], DEPENDENT)):
        result = effects(func, inputs, surrogate=surrogate, sampling=sampling)
        assert result.shapley.sum() == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("rho", [-0.8, 0.0, 0.5, 0.99])
def test_two_normal_inputs_as_owen_and_prieur(rho):
    b, s = np.array([2.0, 1.0]), np.array([1.0, 3.0])
    inputs = Inputs([stats.norm(1, s[0]), stats.norm(-2, s[1])], {("x1", "x2"): rho})
    one, two, both = (b * s)[0] ** 2, (b * s)[1] ** 2, rho * np.prod(b * s)
    V = one + two + 2 * both
    first = (one * (1 - rho**2 / 2) + both + two * rho**2 / 2) / V
    result = effects(lambda x: x @ b, inputs)
    np.testing.assert_allclose(result.shapley, [first, 1 - first], atol=1e-12)
    plain = effects(lambda x: x @ b, inputs, n=1024, surrogate=None)
    assert_within_errors(plain.shapley, [first, 1 - first], plain.standard_error.shapley)


def test_three_dependent_inputs_by_all_subsets():
    V = explained_by_linear(range(3))
    first = np.array([explained_by_linear([i]) for i in range(3)]) / V
    total = 1 - np.array([explained_by_linear({0, 1, 2} - {i}) for i in range(3)]) / V
    result = effects(linear, DEPENDENT, n=1024)
    np.testing.assert_allclose(result.shapley, LINEAR, atol=1e-12)
    np.testing.assert_allclose(result.first_order, first, atol=1e-12)
    np.testing.assert_allclose(result.total_order, total, atol=1e-12)
    assert (result.first_order > result.total_order).any()  # what dependence can do
    plain = effects(linear, DEPENDENT, n=1024, surrogate=None)
    errors = plain.standard_error
    assert_within_errors(plain.shapley, LINEAR, errors.shapley)
    assert_within_errors(plain.first_order, first, errors.first_order)
    assert_within_errors(plain.total_order, total, errors.total_order)


def test_an_interaction_of_dependent_inputs_by_its_conditional_means():
    rho = 0.4  # E[Y | x1] = (rho + rho^2) x1^2 + 1 - rho^2, E[Y | x2] = (1 + rho) x2^2
    inputs = Inputs([NORMAL] * 2, {("x1", "x2"): rho})
    V = 1 + rho**2 + 2 + 4 * rho
    one, two = 2 * (rho + rho**2) ** 2 / V, 2 * (1 + rho) ** 2 / V
    result = effects(lambda x: x[:, 0] * x[:, 1] + x[:, 1] ** 2, inputs)
    np.testing.assert_allclose(result.shapley, [(1 + one - two) / 2, (1 + two - one) / 2], 1e-12)
    np.testing.assert_allclose(result.first_order, [one, two], 1e-12)
    np.testing.assert_allclose(result.total_order, [1 - two, 1 - one], 1e-12)


def test_a_copy_of_an_input_gets_half_of_its_effect():
    rho = 0.99999
    inputs = Inputs([NORMAL] * 3, {("x1", "x2"): rho})
    result = effects(lambda x: x[:, 0] + x[:, 2], inputs)
    expected = np.array([1 - rho**2 / 2, rho**2 / 2, 1.0]) / 2
    np.testing.assert_allclose(result.shapley, expected, atol=1e-9)


def test_an_input_without_influence_has_none_unless_it_depends():
    result = effects(lambda x: np.exp(x[:, 0] / 4), Inputs([NORMAL] * 2), n=1024)
    assert abs(result.shapley[1]) < 1e-3
    rho = 0.7
    told = effects(lambda x: x[:, 0], Inputs([NORMAL] * 2, {("x1", "x2"): rho}))
    np.testing.assert_allclose(told.shapley[1], rho**2 / 2, atol=1e-12)


def test_forms_of_uncorrelated_inputs_are_those_of_independent_ones():
    index = index_set(3, math.comb(3 + 4, 3), norm=1.0)
    c = np.random.default_rng(0).normal(size=(5, len(index)))
    expected = independent_forms(index).half_gradient(c)
    np.testing.assert_allclose(
        GaussianForms(index, np.eye(3)).half_gradient(c), expected, atol=1e-12
    )


def test_forms_agree_with_conditional_means_by_quadrature():
    rho, degree = -0.6, 4
    R = np.array([[1.0, rho], [rho, 1.0]])
    index = index_set(2, math.comb(2 + degree, 2), norm=1.0)
    c = np.random.default_rng(1).normal(size=len(index))
    x, w = np.polynomial.hermite_e.hermegauss(12)
    w = w / w.sum()
    tail = math.sqrt(1 - rho**2)
    explained = []
    for own in (0, 1):  # the score that is known, and the other one around its conditional mean
        y = np.empty((12, 12, 2))
        y[..., own] = x[:, None]
        y[..., 1 - own] = rho * x[:, None] + tail * x
        z = y.reshape(-1, 2) @ np.linalg.inv(np.linalg.cholesky(R)).T
        h = (basis(z, index, np.zeros(2, dtype=bool)) @ c).reshape(12, 12)
        mean = h @ w
        explained.append(w @ mean**2 - (w @ mean) ** 2)
    V = np.square(c[1:]).sum()
    one, two = explained
    expected = [(V + one - two) / 2, (V + two - one) / 2, one, two, V - two, V - one, V]
    np.testing.assert_allclose(c @ GaussianForms(index, R).half_gradient(c), expected, rtol=1e-11)


def test_rows_redraw_inputs_given_those_that_are_left():
    design = chain_design(DEPENDENT, Folds(8, 4000, "mc"), False, np.random.default_rng(0))
    y = design.scores.reshape(design.n, 4, 3)
    for order in itertools.permutations(range(3)):
        rows = (design.permutations == order).all(axis=1)
        assert rows.sum() == pytest.approx(design.n / 6, abs=4 * math.sqrt(design.n / 6))
        for k in range(4):
            kept = list(order[k:])
            np.testing.assert_allclose(y[rows, 0][:, kept], y[rows, k][:, kept], atol=1e-12)
            expected = R3[:, kept] @ np.linalg.solve(R3[np.ix_(kept, kept)], R3[kept])
            error = 4 * math.sqrt(2 / rows.sum())  # a product of two has a variance up to 2
            np.testing.assert_allclose(np.cov(y[rows, k].T), R3, atol=error)
            both = y[rows, 0].T @ y[rows, k] / rows.sum()
            np.testing.assert_allclose(both, expected, atol=error)


def test_widened_rows_have_weights_of_mean_one():
    design = chain_design(DEPENDENT, Folds(8, 2048, "qmc"), True, np.random.default_rng(0))
    y = design.scores.reshape(design.n, 4, 3)
    points, rows = design.weights
    assert rows.mean() == pytest.approx(1.0, abs=0.02)
    for k in range(4):
        second = np.einsum("n,ni,nj->ij", points[:, k], y[:, k], y[:, k]) / design.n
        np.testing.assert_allclose(second, R3, atol=0.05)
    assert (np.cov(y[:, 0].T).diagonal() > 1.05).all()


@pytest.mark.parametrize("inputs", [DEPENDENT, Inputs([NORMAL] * 3)])
def test_numerators_are_unbiased_at_few_rows(inputs):
    def func(y):
        return y[..., 0] + 2 * y[..., 1] * y[..., 2]

    exact = effects(func, inputs)  # a polynomial: no error
    V = 1 + 4 * (1 + R3[1, 2] ** 2 * (not inputs.is_independent))
    estimates = []
    for seed in range(400):
        design = chain_design(inputs, Folds(8, 2, "qmc"), False, np.random.default_rng(seed))
        f = func(design.scores).reshape(design.n, 4)
        f = f - 2 * inputs.correlation[1, 2]  # its mean
        A, _ = row_forms(f, design.permutations, not inputs.is_independent)
        estimates.append(A[:, :3].mean(axis=0))
    mean, error = np.mean(estimates, axis=0), np.std(estimates, axis=0) / 20
    assert_within_errors(mean, exact.shapley * V, error)


@pytest.mark.parametrize("n_seeds", [6, pytest.param(12, marks=pytest.mark.slow)])
def test_tails_that_no_point_sees_do_not_make_effects_too_large(n_seeds):
    def func(x):  # of polynomials as high as points would pay for, squares are too large
        return np.exp(0.4 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.5 * np.sin(2 * x[:, 1])

    own = np.array([math.exp(0.32) - math.exp(0.16), 0.125 * (1 - math.exp(-8)), 0.0])
    truth = (own + [0.0, 0.5, 0.5]) / (own.sum() + 1.0)
    inputs = Inputs([NORMAL] * 3)
    found = [
        uq.shapley_effects(func=func, inputs=inputs, n=4096, rng=seed) for seed in range(n_seeds)
    ]
    shapley = np.array([one.shapley for one in found])
    error = shapley.std(axis=0, ddof=1) / math.sqrt(n_seeds)
    assert_within_errors(shapley.mean(axis=0), truth, error)


def test_intervals_cover_as_often_as_they_say():
    for inputs, func, truth in ((DEPENDENT, linear, LINEAR), (ANGLES, ishigami, ISHIGAMI)):
        covered = []
        for seed in range(100):
            result = uq.shapley_effects(
                func=func, inputs=inputs, n=128, surrogate=None, rng=seed, progress=False
            )
            low, high = result.confidence_interval().shapley
            covered.append((low <= truth) & (truth <= high))
        share = np.mean(covered)
        assert abs(share - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 100), share


def test_runs_are_counted_exactly():
    counted = []

    def func(x):
        counted.append(len(x))
        return linear(x)

    result = effects(func, DEPENDENT, n=64, batch_size=50)
    assert sum(counted) == result.n_evaluations == 64 * 4 and max(counted) <= 50
    assert result.n_effective == 64
    spent = uq.shapley_effects(func=linear, inputs=DEPENDENT, budget=1000, rng=0)
    assert spent.n_evaluations == 224 * 4  # 7 nets of 32 rows; 250 rows would pay


def test_the_order_of_inputs_does_not_matter():
    order = [2, 0, 1]
    inputs = Inputs([NORMAL] * 3, R3[np.ix_(order, order)])
    result = effects(lambda x: x @ SLOPES[order], inputs)
    np.testing.assert_allclose(result.shapley, LINEAR[order], atol=1e-12)


@pytest.mark.parametrize("inputs", [DEPENDENT, ANGLES])
def test_a_constant_added_and_a_scale_change_nothing(inputs):
    def func(x):
        return np.sin(x[:, 0]) + x[:, 1] * x[:, 2]

    one = effects(func, inputs)
    other = effects(lambda x: 1000 + 1e-3 * func(x), inputs)
    np.testing.assert_allclose(other.shapley, one.shapley, rtol=1e-7)
    np.testing.assert_allclose(
        other.standard_error.shapley, one.standard_error.shapley, rtol=1e-5, atol=1e-9
    )


def test_several_outputs_are_each_as_if_alone():
    def func(x):
        return np.stack([linear(x), np.sin(x[:, 0]) * x[:, 1]], axis=1)

    both = effects(func, DEPENDENT)
    assert both.shapley.shape == both.standard_error.shapley.shape == (3, 2)
    assert both.variance.shape == (2,)
    for j in range(2):
        alone = effects(lambda x, j=j: func(x)[:, j], DEPENDENT)
        np.testing.assert_allclose(both.shapley[:, j], alone.shapley, atol=1e-12)


def test_failed_runs_take_their_rows_with_them():
    def func(x):
        return np.where(x[:, 0] > 2.3, np.nan, linear(x))

    with pytest.warns(UserWarning, match="rows have failed runs") as caught:
        result = effects(func, DEPENDENT, n=256)
    assert len(caught) == 1
    assert 200 < result.n_effective < 256 and result.n_evaluations == 1024
    assert result.shapley.sum() == pytest.approx(1.0) and "failed" in result.flags[0]


def test_a_constant_output_has_no_effects():
    with pytest.warns(UserWarning, match="constant") as caught:
        result = effects(lambda x: np.full(len(x), 3.0), DEPENDENT)
    assert len(caught) == 1
    np.testing.assert_array_equal(result.shapley, 0.0)


def test_what_hardly_varies_is_flagged():
    result = effects(lambda x: (x[:, 0] > 2.8) * 1.0, Inputs([NORMAL] * 3), n=16)
    assert "errors of its effects are not known" in result.flags[0]
    assert np.isnan(result.standard_error.shapley).all()


def test_huge_outputs_raise_no_warning():
    result = effects(lambda x: 1e200 * linear(x), DEPENDENT)
    np.testing.assert_allclose(result.shapley, LINEAR, atol=1e-12)


def test_first_and_total_order_are_left_out_where_few_rows_tell_of_them():
    result = effects(linear, DEPENDENT, n=128)
    assert set(result.estimates) == {"shapley"}
    assert set(effects(linear, Inputs([NORMAL] * 3), n=128).estimates) > {"total_order"}


def test_many_inputs():
    d = 12
    R = 0.3 + 0.7 * np.eye(d)
    inputs = Inputs([NORMAL] * d, R)
    result = effects(lambda x: x.sum(axis=1), inputs, n=256)
    assert "at most 10 dependent inputs" in result.flags[0]
    assert_within_errors(result.shapley, 1 / d, result.standard_error.shapley)
    exact = effects(lambda x: x.sum(axis=1), Inputs([NORMAL] * d), n=256)
    np.testing.assert_allclose(exact.shapley, 1 / d, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**32))
def test_ranks_number_all_permutations(d, seed):
    count = math.factorial(d)
    u = (np.arange(count) + np.random.default_rng(seed).random(count)) / count
    found = permutations_of_rank(u, d)
    assert found.tolist() == [list(p) for p in itertools.permutations(range(d))]


def test_more_inputs_are_redrawn_at_every_place_equally_often():
    inputs = Inputs([NORMAL] * 6)
    design = chain_design(inputs, Folds(8, 12, "mc"), False, np.random.default_rng(0))
    assert (np.sort(design.permutations, axis=1) == np.arange(6)).all()
    for r in range(8):
        for place in range(6):
            column = design.permutations[design.folds == r, place]
            assert (np.bincount(column, minlength=6) == 2).all()


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"n": 100}, ValueError, "power of two"),
        ({"n": None}, TypeError, "either `budget`"),
        ({"n": None, "budget": 10}, ValueError, "must pay for"),
        ({"inputs": None}, TypeError, "laws of the inputs"),
        ({"surrogate": "kriging"}, ValueError, "Unknown surrogate"),
        ({"sampling": "lhs"}, ValueError, "Unknown sampling"),
        ({"func": 3}, TypeError, "callable"),
        ({"executor": 3}, TypeError, "submit"),
    ],
)
def test_what_cannot_be_used_is_refused_before_a_run(change, error, match):
    def never(x):
        raise AssertionError("a run was spent")

    arguments = {"func": never, "inputs": DEPENDENT, "n": 64} | change
    with pytest.raises(error, match=match):
        uq.shapley_effects(**arguments)


def test_too_many_failures_are_told():
    def func(x):
        return np.where(np.arange(len(x)) < 20, linear(x), np.nan)

    with pytest.raises(ValueError, match="too few for an estimate"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        effects(func, DEPENDENT, n=64)
