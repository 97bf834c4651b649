"""Orthonormal polynomials: sets by brute force, bases by SciPy, expectations by quadrature."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from uq.polynomials import (
    basis,
    gaussian_expectations,
    index_set,
    one_dimensional,
    product_expectations,
)


def brute_force_set(d, n_terms, top, norm):
    """All multi-indices up to a total degree, sorted."""
    everything = [a for a in itertools.product(range(top + 1), repeat=d) if sum(a) <= top]
    everything.sort(key=lambda a: (round(sum(k**norm for k in a), 9), sum(a), [-k for k in a]))
    return everything[:n_terms]


@pytest.mark.parametrize("d, top, n_terms", [(1, 9, 10), (2, 12, 91), (3, 8, 100), (5, 5, 252)])
@pytest.mark.parametrize("norm", [0.4, 0.5, 0.75, 1.0])
def test_sets_agree_with_brute_force(d, top, n_terms, norm):
    found = index_set(d, n_terms, max_degree=top, norm=norm)
    assert [tuple(a) for a in found] == brute_force_set(d, n_terms, top, norm)


def test_the_first_terms_of_two_columns():
    expected = [(0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1), (3, 0), (0, 3), (2, 1), (1, 2)]
    assert [tuple(a) for a in index_set(2, 10)] == expected


def test_total_degree_is_the_norm_one():
    degrees = index_set(4, math.comb(4 + 5, 4), norm=1.0).sum(axis=1)
    assert degrees.tolist() == sorted(degrees)
    assert degrees.max() == 5 and len(degrees) == (degrees <= 5).sum() == 126


@settings(derandomize=True, deadline=None, database=None, max_examples=40)
@given(st.integers(1, 50), st.integers(2, 300), st.sampled_from([0.5, 0.75, 1.0]), st.data())
def test_sets_are_nested_downward_closed_and_without_repetition(d, n_terms, norm, data):
    n_terms = min(n_terms, math.comb(d + 40, d))
    large = index_set(d, n_terms, norm=norm)
    k = data.draw(st.integers(1, n_terms))
    np.testing.assert_array_equal(index_set(d, k, norm=norm), large[:k])
    position = {tuple(a): i for i, a in enumerate(large.tolist())}
    assert len(position) == n_terms
    for a, i in position.items():
        for column in np.flatnonzero(a):
            lower = (*a[:column], a[column] - 1, *a[column + 1 :])
            assert position[lower] < i


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((0, 3), ValueError, "`dimension` must be at least 1"),
        ((2, 0), ValueError, "`n_terms` must be at least 1"),
        ((2, 1.5), TypeError, "`n_terms` must be a whole number"),
        ((1, 42), ValueError, "1 columns have 41 polynomials up to degree 40; ask for fewer"),
        ((2, 3, -1), ValueError, "`max_degree` must be at least 0"),
        ((2, 3, 4, 0.0), ValueError, "`norm` must be a positive exponent"),
        ((2, 3, 4, math.nan), ValueError, "`norm` must be a positive exponent"),
    ],
)
def test_bad_sets_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        index_set(*arguments)


def test_hermite_polynomials_agree_with_mpmath():
    z = np.array([-40.0, -7.5, -0.3, 0.0, 1.0, 5.0, 40.0])
    found = one_dimensional(z, 40, bounded=False)
    with mpmath.workdps(60):
        for k in range(41):
            scale = mpmath.sqrt(mpmath.factorial(k) * 2**k)
            expected = [mpmath.hermite(k, mpmath.mpf(x) / mpmath.sqrt(2)) / scale for x in z]
            np.testing.assert_allclose(found[k], [float(e) for e in expected], 1e-12, 1e-14)


def test_legendre_polynomials_agree_with_scipy():
    z = np.linspace(-9.0, 9.0, 51)
    found = one_dimensional(z, 40, bounded=True)
    for k in range(41):
        expected = math.sqrt(2 * k + 1) * special.eval_legendre(k, 2 * special.ndtr(z) - 1)
        np.testing.assert_allclose(found[k], expected, rtol=0, atol=1e-11)


def test_at_the_ends_legendre_polynomials_are_their_lengths():
    found = one_dimensional(np.array([-40.0, 40.0]), 12, bounded=True)
    lengths = np.sqrt(2 * np.arange(13) + 1)
    np.testing.assert_allclose(found[:, 1], lengths, rtol=1e-13)
    np.testing.assert_allclose(found[:, 0], lengths * (-1.0) ** np.arange(13), rtol=1e-13)


def rules(bounded, Q):
    """Nodes in z and weights of Gauss rules under the reference law of each column."""
    nodes, weights = [], []
    for flag in bounded:
        if flag:
            x, w = np.polynomial.legendre.leggauss(Q)
            nodes.append(special.ndtri((1 + x) / 2))
        else:
            x, w = np.polynomial.hermite_e.hermegauss(Q)
            nodes.append(x)
        weights.append(w / w.sum())
    return nodes, weights


def tensor(nodes, weights):
    points = np.stack([x.ravel() for x in np.meshgrid(*nodes, indexing="ij")], axis=1)
    return points, math.prod(np.ix_(*weights)).ravel()


@pytest.mark.parametrize("bounded", [[False], [True], [False, True, False], [True, True, False]])
def test_products_are_orthonormal(bounded):
    d = len(bounded)
    points, weights = tensor(*rules(bounded, 42 if d == 1 else 16))
    indices = index_set(d, 41 if d == 1 else 120)
    psi = basis(points, indices, np.array(bounded))
    gram = psi.T @ (weights[:, None] * psi)
    np.testing.assert_allclose(gram, np.eye(len(indices)), rtol=0, atol=1e-11)


def test_products_are_products_of_columns():
    rng = np.random.default_rng(0)
    z, bounded = rng.normal(size=(3000, 4)), np.array([True, False, False, True])
    indices = index_set(4, 90)
    psi = basis(z, indices, bounded)
    for k in (0, 1, 17, 60, 89):
        columns = [one_dimensional(z[:, i], 40, bool(bounded[i])) for i in range(4)]
        expected = math.prod(columns[i][indices[k, i]] for i in range(4))
        np.testing.assert_allclose(psi[:, k], expected, rtol=1e-12, atol=1e-14)


def test_no_points_no_rows():
    assert basis(np.empty((0, 2)), index_set(2, 5), np.zeros(2, bool)).shape == (0, 5)


def test_far_out_everything_stays_finite():
    indices = index_set(2, 500)
    corner = np.array([[40.0, 40.0], [-40.0, 40.0]])
    assert np.isfinite(basis(corner, indices, np.array([False, False]))).all()
    assert np.isfinite(basis(corner, indices, np.array([False, True]))).all()


@pytest.mark.parametrize(
    "indices, message",
    [
        ([[0, 0], [0, 2]], None),
        ([[0, 0], [1, 1]], r"\(1, 1\) needs \(1, 0\) before it"),
        ([[0, 0], [1, 1], [1, 0]], r"\(1, 1\) needs \(1, 0\) before it"),
        ([[1, 0], [0, 0]], "begin with zero"),
        ([[0, 0], [1, 0], [1, 0]], "must be different"),
        ([[0, 0], [-1, 0]], "not negative"),
        ([[0], [1]], "must have the same columns"),
    ],
)
def test_sets_that_have_no_parents_are_refused(indices, message):
    z, bounded = np.ones((3, 2)), np.zeros(2, bool)
    if message is None:  # a product needs only its parent
        assert basis(z, np.array(indices), bounded).shape == (3, 2)
        return
    with pytest.raises(ValueError, match=message):
        basis(z, np.array(indices), bounded)


def test_a_wrong_number_of_kinds_is_refused():
    with pytest.raises(ValueError, match="one entry for each of the 2 columns"):
        basis(np.ones((3, 2)), index_set(2, 3), np.zeros(3, bool))


def laws(J, d, seed=0):
    rng = np.random.default_rng(seed)
    factors = 0.5 * rng.normal(size=(J, d, d))
    return rng.normal(size=(J, d)), factors @ factors.transpose(0, 2, 1) + 0.2 * np.eye(d)


def test_under_the_reference_law_only_the_constant_stays():
    indices = index_set(5, 300)
    expected = np.eye(1, 300)[0]
    found = gaussian_expectations(indices, np.zeros(5), np.eye(5))
    np.testing.assert_array_equal(found, expected)
    kinds = np.array([True, False, False, True, False])
    by_rules = product_expectations(indices, *rules(kinds, 12), kinds)
    np.testing.assert_allclose(by_rules, expected, rtol=0, atol=1e-13)


def test_one_column_has_the_closed_form_of_a_shift_and_of_a_scale():
    """E[he_k] under N(m, 1) is m^k / sqrt(k!); under N(0, C) the even ones are powers of C - 1."""
    k = np.arange(21)
    factorials = special.factorial(k)
    shifted = gaussian_expectations(index_set(1, 21), np.array([1.7]), np.eye(1))
    np.testing.assert_allclose(shifted, 1.7**k / np.sqrt(factorials), rtol=1e-13)
    scaled = gaussian_expectations(index_set(1, 21), np.zeros(1), np.array([[0.3]]))
    halves = (-0.7 / 2) ** (k // 2) * np.sqrt(factorials) / special.factorial(k // 2)
    np.testing.assert_allclose(scaled, np.where(k % 2 == 0, halves, 0.0), rtol=1e-12)


def test_correlated_laws_agree_with_tensor_quadrature():
    d = 3
    indices = index_set(d, 150)
    means, covariances = laws(4, d)
    found = gaussian_expectations(indices, means, covariances)
    x, w = tensor(*rules([False] * d, 12))
    for j in range(4):
        points = means[j] + x @ np.linalg.cholesky(covariances[j]).T
        expected = w @ basis(points, indices, np.zeros(d, bool))
        np.testing.assert_allclose(found[j], expected, rtol=1e-10, atol=1e-11)
        alone = gaussian_expectations(indices, means[j], covariances[j])
        np.testing.assert_allclose(alone, found[j], rtol=1e-14)


def test_correlated_laws_agree_with_monte_carlo():
    d = 6
    indices = index_set(d, 60)
    means, covariances = laws(2, d, seed=1)
    found = gaussian_expectations(indices, means / 2, covariances / 2)
    for j in range(2):
        law = stats.multivariate_normal(means[j] / 2, covariances[j] / 2, seed=3)
        psi = basis(law.rvs(100_000), indices, np.zeros(d, bool))
        error = psi.std(axis=0) / math.sqrt(len(psi))
        assert (np.abs(psi.mean(axis=0) - found[j]) <= 4 * error + 1e-12).all()


def test_a_point_mass_gives_the_values_there():
    z = np.array([0.4, -1.3, 2.2])
    indices = index_set(3, 200)
    found = gaussian_expectations(indices, z, np.zeros((3, 3)))
    expected = basis(z[None], indices, np.zeros(3, bool))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


def test_independent_normal_laws_agree_with_the_product_of_rules():
    d, J = 6, 100
    indices = index_set(d, 500)
    means, covariances = laws(J, d, seed=2)
    variances = covariances.diagonal(axis1=1, axis2=2)
    diagonal = variances[:, :, None] * np.eye(d)
    x, w = rules([False], 30)
    nodes = [means[:, [i]] + np.sqrt(variances[:, [i]]) * x[0] for i in range(d)]
    found = gaussian_expectations(indices, means, diagonal)
    by_rules = product_expectations(indices, nodes, [np.tile(w[0], (J, 1))] * d, np.zeros(d, bool))
    assert found.shape == by_rules.shape == (J, 500)
    np.testing.assert_allclose(found, by_rules, rtol=1e-9, atol=1e-10)


def test_bounded_columns_under_another_law():
    """u ~ Beta(2, 3), then E[p_1] = sqrt(3) (2 E[u] - 1), beside a column that stays."""
    x, w = np.polynomial.legendre.leggauss(20)
    u = (1 + x) / 2
    weights = w / 2 * stats.beta(2, 3).pdf(u)
    kinds = np.array([True, False])
    nodes, reference = rules(kinds, 20)
    found = product_expectations(index_set(2, 6), nodes, [weights, reference[1]], kinds)
    second = np.sqrt(5) * (6 * (2 / 5 * 3 / 6) - 6 * 2 / 5 + 1)  # E[u^2] = a(a+1)/((a+b)(a+b+1))
    expected = [1.0, np.sqrt(3) * (4 / 5 - 1), 0.0, second, 0.0, 0.0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_laws_of_wrong_shapes_are_refused():
    indices = index_set(2, 6)
    with pytest.raises(ValueError, match=r"have means \(2,\) and covariances \(2, 2\)"):
        gaussian_expectations(indices, np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match=r"but got the shapes \(4, 2\) and \(2, 2\)"):
        gaussian_expectations(indices, np.zeros((4, 2)), np.eye(2))
    with pytest.raises(ValueError, match=r"\(0, 2\) needs \(0, 1\)"):
        gaussian_expectations(np.array([[0, 0], [0, 2]]), np.zeros(2), np.eye(2))
    x, w = np.zeros(3), np.ones(3) / 3
    with pytest.raises(ValueError, match="2 columns need as many rules, but got 1 of nodes"):
        product_expectations(indices, [x], [w, w], np.zeros(2, bool))
    with pytest.raises(ValueError, match="Nodes and weights of column 1"):
        product_expectations(indices, [x, x], [w, w[:2]], np.zeros(2, bool))


@given(st.lists(st.floats(0.3, 8.0), min_size=2, max_size=4), st.integers(1, 40))
@settings(deadline=None, max_examples=40)
def test_weighted_order_by_brute_force(weights: list[float], n_terms: int) -> None:
    d = len(weights)
    indices = index_set(d, n_terms, max_degree=12, weights=weights)
    grid = np.stack(np.meshgrid(*[np.arange(13)] * d, indexing="ij"), axis=-1).reshape(-1, d)
    grid = grid[grid.sum(axis=1) <= 12]
    sizes = np.sort((grid**0.75) @ np.array(weights))
    own = (indices**0.75) @ np.array(weights)
    assert own == pytest.approx(sizes[: len(own)], abs=1e-8)
    seen = {tuple(a) for a in indices}
    assert len(seen) == len(indices)
    for a in seen:  # downward closed
        for i in range(d):
            if a[i]:
                assert (*a[:i], a[i] - 1, *a[i + 1 :]) in seen


def test_bad_weights() -> None:
    with pytest.raises(ValueError, match="2 positive numbers"):
        index_set(2, 3, weights=[1.0, 0.0])
