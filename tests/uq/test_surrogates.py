"""Cross-fits: against plain least squares without the fold, exactness, and what must not leak."""

import math
import tracemalloc

import numpy as np
import pytest
from scipy.special import ndtr

from uq.polynomials import basis, index_set
from uq.surrogates import Chaos, CrossFit, offered_sizes


def smooth(z):
    return np.stack([np.exp(0.3 * z[:, 0]) * np.cos(z[:, -1]), np.sin(z.sum(axis=1))], axis=1)


def runs(n=600, d=3, R=5, seed=0):
    """Points, values, weights over six decades, labels in no order."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, d))
    return z, smooth(z), 10 ** rng.uniform(-6, 0, n), rng.permutation(np.arange(n) % R)


KINDS = np.array([False, True, False])
SIZES = (1, 4, 11, 40)


def fitted(z, y, omega, folds, sizes=SIZES, bounded=KINDS):
    return CrossFit(z, y, omega, folds, index_set(z.shape[1], sizes[-1]), bounded, sizes)


def test_every_size_agrees_with_least_squares_without_the_fold():
    z, y, omega, folds = runs()
    fit = fitted(z, y, omega, folds)
    roots = np.sqrt(omega)[:, None]
    for size in SIZES:
        psi = basis(z, index_set(3, size), KINDS)
        coefficients, predicted = fit.coefficients(size), fit.predictions(size)
        assert coefficients.shape == (5, size, 2) and predicted.shape == y.shape
        for r in range(5):
            rest, own = folds != r, folds == r
            expected = np.linalg.lstsq((roots * psi)[rest], (roots * y)[rest])[0]
            np.testing.assert_allclose(coefficients[r], expected, rtol=1e-8, atol=1e-10)
            np.testing.assert_allclose(predicted[own], psi[own] @ expected, 1e-8, 1e-10)


def test_large_folds_are_worked_through_in_pieces():
    z, y, omega, folds = runs(n=9000, R=2)
    fit = fitted(z, y, omega, folds)  # four pieces and a half a fold
    psi, roots = basis(z, index_set(3, 40), KINDS), np.sqrt(omega)[:, None]
    for r in range(2):
        expected = np.linalg.lstsq((roots * psi)[folds != r], (roots * y)[folds != r])[0]
        np.testing.assert_allclose(fit.coefficients(40)[r], expected, rtol=1e-9, atol=1e-11)


def test_neither_values_nor_points_nor_weights_of_a_fold_reach_the_fit_without_it():
    z, y, omega, folds = runs()
    before = fitted(z, y, omega, folds).coefficients(40)
    own = folds == 2
    z, y, omega = z.copy(), y.copy(), omega.copy()
    z[own], y[own], omega[own] = 5.0 * z[own], 1e6, 1e3
    after = fitted(z, y, omega, folds).coefficients(40)
    np.testing.assert_array_equal(after[2], before[2])
    for r in (0, 1, 3, 4):
        assert np.abs(after[r] - before[r]).max() > 1.0


def test_outputs_together_equal_one_by_one():
    z, y, omega, folds = runs()
    y = np.concatenate([y, 1e6 * y[:, :1], np.ones((len(y), 1))], axis=1)
    together = fitted(z, y, omega, folds)
    for j in range(4):
        alone = fitted(z, y[:, [j]], omega, folds).predictions(40)
        scale = np.abs(y[:, j]).max()
        np.testing.assert_allclose(together.predictions(40)[:, [j]] / scale, alone / scale, 1e-11)


def test_sizes_alone_equal_sizes_nested():
    z, y, omega, folds = runs()
    nested = fitted(z, y, omega, folds)
    for size in SIZES:
        alone = fitted(z, y, omega, folds, (size,))
        np.testing.assert_allclose(
            alone.coefficients(size), nested.coefficients(size), rtol=1e-9, atol=1e-12
        )


def weights(kind, z, rng):
    """Twelve decades: at random, heavy in the middle, falling from left to right."""
    share = {
        "random": rng.uniform(size=len(z)),
        "middle": np.clip(1 - np.abs(z[:, 0]) / 3, 0, 1),
        "left": np.clip((3 - z[:, 0]) / 6, 0, 1),
    }[kind]
    return 10 ** (12 * (share - 1))


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("kind", ["random", "middle", "left"])
def test_degree_twenty_is_exact_under_weights_over_twelve_decades(bounded, kind):
    """Gram matrices lose it: their predictions are wrong by 1e-7 to 1e-2 here."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2000, 1))
    kinds = np.array([bounded])
    y = basis(z, index_set(1, 21), kinds) @ rng.normal(size=(21, 1))
    fit = fitted(z, y, weights(kind, z, rng), np.arange(2000) % 8, (21,), kinds)
    np.testing.assert_allclose(fit.predictions(21) / np.abs(y).max(), y / np.abs(y).max(), 0, 1e-9)


def test_a_polynomial_in_the_span_is_exact():
    rng = np.random.default_rng(1)
    z, kinds = rng.normal(size=(6000, 6)), np.array([False, True] * 3)
    truth = Chaos(index_set(6, 200), kinds, rng.normal(size=(200, 3)))
    fit = fitted(z, truth(z), np.ones(6000), np.arange(6000) % 8, (50, 200, 400), kinds)
    for size in (200, 400):
        np.testing.assert_allclose(fit.predictions(size), truth(z), rtol=0, atol=1e-10)
        for coefficients in fit.coefficients(size):
            np.testing.assert_allclose(coefficients[:200], truth.coefficients, 1e-9, 1e-10)
            assert np.abs(coefficients[200:]).max(initial=0.0) < 1e-10
    assert np.abs(fit.predictions(50) - truth(z)).max() > 1.0


def test_without_the_own_fold_noise_is_not_explained():
    """Predictions of pure noise are independent of it: the residual is larger, never smaller."""
    rng = np.random.default_rng(2)
    n, size = 4000, 40
    z, y = rng.normal(size=(n, 3)), rng.normal(size=(n, 50))
    fit = fitted(z, y, np.ones(n), np.arange(n) % 8, (size,))
    residual = ((y - fit.predictions(size)) ** 2).mean(axis=0)
    # 1 + size / rows of the fit for normal designs, a little more for Hermite products.
    assert 1.0 + size / n < residual.mean() / (y**2).mean() < 1.0 + 2 * size / (n * 7 / 8)


def test_columns_that_rows_cannot_tell_apart_get_zero():
    """Two values of the first column: its polynomials from degree two on say nothing new."""
    rng = np.random.default_rng(3)
    z = np.stack([np.sign(rng.normal(size=400)), rng.normal(size=400)], axis=1)
    y = 2.0 + 3.0 * z[:, :1] + z[:, 1:] ** 2
    indices = index_set(2, 20)
    fit = fitted(z, y, np.ones(400), np.arange(400) % 4, (20,), np.zeros(2, bool))
    np.testing.assert_allclose(fit.predictions(20), y, rtol=1e-11)
    assert (fit.coefficients(20)[:, indices[:, 0] > 1] == 0.0).all()


def test_more_terms_than_rows_keep_the_first_terms():
    z, y, omega, folds = runs(n=30, R=3)
    coefficients = fitted(z, y, np.ones(30), folds).coefficients(40)
    assert np.isfinite(coefficients).all()
    assert (coefficients[:, 20:] == 0.0).all()
    for r in range(3):
        psi = basis(z, index_set(3, 40), KINDS)[folds != r]
        np.testing.assert_allclose(psi @ coefficients[r], y[folds != r], rtol=0, atol=1e-8)


def test_rows_without_weight_do_not_count():
    z, y, omega, folds = runs()
    gone = np.arange(len(z)) % 3 == 0
    y, omega = y.copy(), omega.copy()
    y[gone], omega[gone] = 1e9, 0.0
    kept = fitted(z[~gone], y[~gone], omega[~gone], folds[~gone]).coefficients(11)
    np.testing.assert_allclose(fitted(z, y, omega, folds).coefficients(11), kept, 1e-8, 1e-11)
    nothing = fitted(z, y, np.zeros(len(z)), folds)
    assert (nothing.predictions(40) == 0.0).all()


def test_the_scale_of_weights_does_not_matter():
    z, y, omega, folds = runs()
    expected = fitted(z, y, omega, folds).coefficients(40)
    for scale in (1e-150, 1e150):
        found = fitted(z, y, scale * omega, folds).coefficients(40)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


def test_polynomials_of_the_folds_predict_and_know_their_means():
    z, y, omega, folds = runs()
    fit = fitted(z, y, omega, folds)
    for r, chaos in enumerate(fit.chaos(11)):
        own = folds == r
        np.testing.assert_allclose(chaos(z[own]), fit.predictions(11)[own], rtol=1e-12)
        np.testing.assert_array_equal(chaos.mean, fit.coefficients(11)[r, 0])


def test_the_mean_is_exact():
    """exp(z_1) + u_2^2: means e^(1/2) and 1/3, the fit's from its coefficient alone."""
    z = np.random.default_rng(4).normal(size=(20_000, 2))
    y = (np.exp(z[:, 0]) + ndtr(z[:, 1]) ** 2)[:, None]
    kinds = np.array([False, True])
    fit = fitted(z, y, np.ones(len(z)), np.arange(len(z)) % 8, (100,), kinds)
    means = [chaos.mean[0] for chaos in fit.chaos(100)]
    np.testing.assert_allclose(means, math.exp(0.5) + 1 / 3, rtol=1e-7)


def test_memory():
    n = 20_000
    z = np.random.default_rng(5).normal(size=(n, 6))
    arguments = z, smooth(z), np.ones(n), np.arange(n) % 8, (500,), np.zeros(6, bool)
    tracemalloc.start()
    fitted(*arguments).predictions(500)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6  # all products of all rows at once are 80e6 alone, and Q once more


@pytest.mark.parametrize("d", [1, 2, 3, 6, 12, 50])
@pytest.mark.parametrize("n", [1, 11, 12, 100, 2000, 10**6])
def test_offered_sizes(n, d):
    sizes = offered_sizes(n, d)
    assert sizes[0] == 1 and list(sizes) == sorted(set(sizes))
    assert all(size <= max(1, min(n / 12, 500)) for size in sizes)
    assert index_set(d, sizes[-1]).shape == (sizes[-1], d)
    if n >= 12 * (d + 1):
        assert d + 1 in sizes
    if n == 10**6 and d > 1:
        assert sizes[-1] > 500 / 2 and max(np.divide(sizes[2:], sizes[1:-1])) <= 2.0


def test_offered_sizes_in_one_column_go_by_degrees():
    assert offered_sizes(10**4, 1) == (1, 2, 3, 5, 9, 13, 17, 21, 25, 29, 33, 37, 41)
    assert offered_sizes(240, 1) == (1, 2, 3, 5, 9, 13, 17)
    assert offered_sizes(10**4, 6, cap=20) == (1, 7, 14, 20)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sizes": ()}, "`sizes` must be positive, increasing and at most 40"),
        ({"sizes": (0, 4)}, "`sizes` must be positive"),
        ({"sizes": (4, 4)}, "`sizes` must be positive"),
        ({"sizes": (4, 41)}, "`sizes` must be positive"),
        ({"values": np.ones(20)}, r"need values \(20, J\) and weights \(20,\)"),
        ({"omega": np.ones(19)}, r"shapes \(20, 2\) and \(19,\)"),
        ({"omega": -np.ones(20)}, "`omega` must not be negative, but got -1.0"),
        ({"omega": np.full(20, np.inf)}, "`omega` must be finite"),
        ({"values": np.full((20, 1), np.nan)}, "`values` must be finite"),
        ({"z": np.full((20, 3), np.inf)}, "`z` must be finite"),
        ({"z": np.ones((20, 2))}, "must have the same columns"),
        ({"bounded": np.zeros(2, bool)}, "one entry for each of the 3 columns"),
        ({"folds": np.zeros(20, int)}, "R at least 2, but got"),
        ({"folds": np.arange(20) % 2 + 1}, r"every label in 0..R-1, .* but got \[1, 2\]"),
        ({"folds": np.arange(20) % 2 * 1.0}, "`folds` must be 20 whole numbers"),
        ({"folds": np.arange(19) % 2}, "`folds` must be 20 whole numbers"),
    ],
)
def test_bad_input_is_refused(change, message):
    z = np.random.default_rng(6).normal(size=(20, 3))
    arguments = dict(z=z, values=smooth(z), omega=np.ones(20), folds=np.arange(20) % 2)
    arguments |= dict(indices=index_set(3, 40), bounded=KINDS, sizes=(1, 4))
    with pytest.raises(ValueError, match=message):
        CrossFit(**arguments | change)


def test_a_size_that_was_not_fitted_is_refused():
    fit = fitted(*runs())
    for method in (fit.coefficients, fit.predictions, fit.chaos):
        with pytest.raises(ValueError, match=r"`size` must be one of \(1, 4, 11, 40\), but got 5"):
            method(5)
