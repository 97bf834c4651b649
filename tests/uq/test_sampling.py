"""Folds of uniform numbers: sizes, independence, and what nets gain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uq.sampling import LEAST_FOLDS, Folds, largest_folds


@given(st.integers(LEAST_FOLDS, 10**7))
def test_largest_nets(n: int) -> None:
    folds = largest_folds(n, "qmc")
    assert 7 * n / 8 < folds.n_points <= n
    assert LEAST_FOLDS <= folds.n_folds < 2 * LEAST_FOLDS
    assert folds.size & (folds.size - 1) == 0


def test_folds_of_random_numbers() -> None:
    folds = largest_folds(1009, "mc")
    assert (folds.n_folds, folds.size) == (10, 100)
    assert np.array_equal(folds.labels, np.repeat(np.arange(10), 100))


@pytest.mark.parametrize("sampling", ["qmc", "mc"])
def test_uniform_inside_and_reproducible(sampling: str) -> None:
    folds = Folds(8, 64, sampling)
    u = folds.uniforms(3, np.random.default_rng(1))
    assert u.shape == (512, 3)
    assert ((u > 0.0) & (u < 1.0)).all()
    assert np.array_equal(u, folds.uniforms(3, np.random.default_rng(1)))
    # Mean and variance of a uniform number at 4 standard errors of independent draws.
    assert np.abs(u.mean(axis=0) - 0.5).max() < 4 * np.sqrt(1 / 12 / 512)
    assert np.abs(u.var(axis=0) - 1 / 12).max() < 4 * np.sqrt(1 / 180 / 512)


def test_each_net_is_balanced_and_scrambled_on_its_own() -> None:
    u = Folds(7, 32, "qmc").uniforms(2, np.random.default_rng(0)).reshape(7, 32, 2)
    counts = [np.bincount((net[:, 0] * 32).astype(int), minlength=32) for net in u]
    assert (np.array(counts) == 1).all()
    assert len({net.tobytes() for net in u}) == 7


def test_means_of_nets_spread_less_than_those_of_random_numbers() -> None:
    rng = np.random.default_rng(3)

    def spread(sampling: str) -> float:
        u = Folds(200, 64, sampling).uniforms(2, rng)
        return float(np.exp(u).prod(axis=1).reshape(200, 64).mean(axis=1).var())

    assert spread("qmc") < spread("mc") / 100
