"""Estimators from moments: against loops over rows, derivatives against differences, limits."""

import numpy as np
import pytest

from uq.sobol_estimators import ESTIMATORS, MOMENTS, gradient, indices

RNG = np.random.default_rng(0)


def moments(y, y2, a, b):
    """(12,) of one pair and of A and B, without a surrogate."""
    pair = [np.mean(v) for v in (y * y2, y, y2, y * y, y2 * y2)]
    both = [np.mean(v) for v in (a * b, a, b, a * a, b * b)]
    return np.array([*pair, *both, 0.0, 0.0])


def by_rows(name, y, y2, a, b):
    """(closed index, its complement), as the papers write them."""
    pooled = np.concatenate([a, b]).var()
    half = np.mean((y - y2) ** 2) / 2
    if name == "janon_monod":
        m = np.mean((y + y2) / 2)
        variance = np.mean((y**2 + y2**2) / 2) - m**2
        closed = (np.mean(y * y2) - m**2) / variance
        return closed, 1 - closed
    if name == "martinez":
        closed = np.corrcoef(y, y2)[0, 1]
        return closed, 1 - closed
    if name == "saltelli_2010":  # y = b, y2 = the mixed block
        return np.mean(b * (y2 - a)) / pooled, half / pooled
    return (pooled - half) / pooled, half / pooled


@pytest.mark.parametrize("name", ESTIMATORS)
def test_against_loops_over_rows(name):
    a, b = RNG.standard_normal((2, 500))
    a, b = a - a.mean(), b - b.mean()  # saltelli_2010 wants centred outputs
    mixed = 0.6 * b + 0.3 * a + 0.2 * RNG.standard_normal(500)
    M = moments(b, mixed, a, b)[None]
    for total in (False, True):
        got = indices(M, np.array([total]), name)[0]
        assert got == pytest.approx(by_rows(name, b, mixed, a, b)[int(total)], rel=1e-12)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("total", [False, True])
def test_derivatives_against_central_differences(name, total):
    a, b, y = RNG.standard_normal((3, 200))
    M = moments(b, 0.5 * b + y, a, b)
    M[10:] = 0.3, 0.7
    mask = np.array([total])
    exact = gradient(M[None], mask, name)[0]
    for k in range(MOMENTS):
        h = np.zeros(MOMENTS)
        h[k] = 1e-6
        rise = indices((M + h)[None], mask, name) - indices((M - h)[None], mask, name)
        assert exact[k] == pytest.approx(rise[0] / 2e-6, abs=1e-8)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_no_variance_gives_zero_and_identical_pairs_give_one(name):
    zero = np.zeros((1, MOMENTS))
    for total in (False, True):
        assert indices(zero, np.array([total]), name)[0] == 0.0
    a, b = RNG.standard_normal((2, 300))
    M = moments(b, b, a, b)[None]
    if name != "saltelli_2010":
        assert indices(M, np.array([False]), name)[0] == pytest.approx(1.0, abs=1e-12)
    assert indices(M, np.array([True]), name)[0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_parts_that_a_surrogate_knows_add_to_both(name):
    """No residual at all: the index is the ratio of what is known."""
    M = np.zeros((1, MOMENTS))
    M[0, 10:] = 0.2, 0.8
    assert indices(M, np.array([False]), name)[0] == pytest.approx(0.25)
    assert indices(M, np.array([True]), name)[0] == pytest.approx(0.25)
