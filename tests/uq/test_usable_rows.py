"""Rows that are left: labels, scales, units, what is said of them."""

import numpy as np
import pytest

from uq.usable_rows import (
    binary_unit,
    constant_outputs,
    labels_without_gaps,
    standardised,
    variance,
    warn_of_constant_outputs,
    warn_of_failed_rows,
)


def plain_mean(values):
    return values.mean(axis=(0, 1))


def test_labels_close_the_gaps_of_lost_folds():
    folds = np.array([0, 0, 1, 1, 2, 2, 3])
    assert labels_without_gaps(folds[[0, 1, 4, 6]], folds, 5).tolist() == [0, 0, 1, 2]
    with pytest.raises(ValueError, match="Only 3 of 7 rows .* in 2 of 4 folds.*all its 5 runs"):
        labels_without_gaps(folds[[0, 1, 4]], folds, 5)
    assert labels_without_gaps(folds[[0, 1]], folds, 5, 1).tolist() == [0, 0]
    with pytest.raises(ValueError, match="Only 0 of 7 rows"):
        labels_without_gaps(folds[:0], folds, 5)


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_outputs_of_any_size_are_standardised(scale):
    y = np.random.default_rng(0).standard_normal((40, 3, 2))
    Y = scale * np.concatenate([y, np.full((40, 3, 1), 0.3)], axis=2)
    scaled, constant = standardised(Y, plain_mean)
    assert constant.tolist() == [False, False, True]
    assert scaled[..., :2].mean(axis=(0, 1)) == pytest.approx(0.0, abs=1e-13)
    assert scaled[..., :2].std(axis=(0, 1)) == pytest.approx(1.0)
    assert np.abs(scaled[..., 2]).max() < 1e-12
    assert scaled[..., 0] == pytest.approx((y[..., 0] - y[..., 0].mean()) / y[..., 0].std())


def test_zero_outputs_are_constant_and_huge_ones_have_an_infinite_variance():
    assert standardised(np.zeros((4, 2, 1)), plain_mean)[1].all()
    y = np.random.default_rng(0).standard_normal((40, 3, 2))
    assert variance(y, plain_mean) == pytest.approx(y.var(axis=(0, 1)))
    assert np.isinf(variance(1e200 * y, plain_mean)).all()


def test_constant_but_for_rounding():
    Y = np.zeros((5, 2, 4))
    Y[..., 1] = 0.1 + np.array([0.0, 1e-17])
    Y[..., 2] = 1e200
    Y[0, 0, 3] = 1e-300
    assert constant_outputs(Y).tolist() == [True, True, True, False]
    assert constant_outputs(Y[:0]).all()


def test_units_are_powers_of_two_at_or_below():
    largest = np.array([1.0, 1.9, 2.0, 3e-300, 1.7e308])
    unit = binary_unit(largest)
    assert ((unit <= largest) & (largest < 2.0 * unit.astype(np.longdouble))).all()
    assert (np.frexp(unit)[0] == 0.5).all()
    assert binary_unit(np.zeros(1)) > 0.0  # a divisor


def test_warnings_say_how_many_and_which():
    with pytest.warns(UserWarning, match="2 of 10 rows .*all 5 runs of each; 8 rows are left") as w:
        warn_of_failed_rows(8, 10, 5)
    assert w[0].filename == __file__
    with pytest.warns(UserWarning, match="Output 1 is constant.*its effects are given as 0"):
        warn_of_constant_outputs(np.array([False, True]), "effects")
    with pytest.warns(UserWarning, match="Output 0, 2 is constant"):
        warn_of_constant_outputs(np.array([True, False, True]))
    warn_of_failed_rows(10, 10, 5)  # says nothing: warnings are errors here
    warn_of_constant_outputs(np.array([False]))
