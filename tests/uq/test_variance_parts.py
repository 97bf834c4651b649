"""Parts of a variance: families, exact parts of known polynomials, and the identity behind them."""

import numpy as np
import pytest

from uq.pick_freeze import blocks_of, targets_of
from uq.polynomials import basis, index_set
from uq.sampling import Folds
from uq.sobol_analysis import row_moments
from uq.variance_parts import families, polynomial_parts
from uq.widened_tails import from_uniform, log_weight

TARGETS = targets_of(3, 2)


def design(n_folds, size, bounded, seed, wide=False):
    """(n, n_blocks, 3) normal variables of a pick-freeze design, its weights and folds."""
    from scipy.special import ndtri

    folds = Folds(n_folds, size, "mc")
    u = folds.uniforms(6, np.random.default_rng(seed))
    z = ndtri(u)
    weights = np.zeros_like(z)
    if wide:
        free = np.tile(~bounded, 2)
        z[:, free] = from_uniform(u[:, free])
        weights[:, free] = log_weight(z[:, free])
    mask = blocks_of(3, 2)
    blocks = np.where(mask, z[:, None, 3:], z[:, None, :3])
    W = np.where(mask, weights[:, None, 3:], weights[:, None, :3]).sum(axis=2)
    return blocks, np.exp(W), folds.labels


def test_families_by_hand():
    index = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [1, 1, 0], [1, 0, 3], [1, 1, 1]])
    members = families(index, TARGETS.shared, TARGETS.total)
    assert members.shape == (6, 3 + 3 + 3 + 1)
    columns = {name: members[:, k].tolist() for k, name in enumerate("S1 S2 S3 T1 T2 T3".split())}
    assert columns["S1"] == [False, True, False, False, False, False]
    assert columns["S2"] == [False, False, True, False, False, False]
    assert columns["T1"] == [False, True, False, True, True, True]
    assert columns["T3"] == [False, False, False, False, True, True]
    closed_12, closed_13 = members[:, 6].tolist(), members[:, 7].tolist()
    assert closed_12 == [False, True, True, True, False, False]
    assert closed_13 == [False, True, False, False, True, False]
    assert members[:, -1].tolist() == [False, True, True, True, True, True]


@pytest.mark.parametrize("wide", [False, True])
def test_a_polynomial_of_the_set_is_known_without_error(wide):
    bounded = np.array([True, False, True])
    z, W, folds = design(8, 32, bounded, seed=1, wide=wide)
    index = index_set(3, 10)
    c = np.random.default_rng(2).standard_normal(10)
    Y = (basis(z.reshape(-1, 3), index, bounded) @ c).reshape(*z.shape[:2], 1)
    (parts,) = polynomial_parts(z, Y, W, folds, bounded, TARGETS.shared, TARGETS.total)
    exact = np.square(c) @ families(index, TARGETS.shared, TARGETS.total)
    assert parts.known == pytest.approx(np.broadcast_to(exact, parts.known.shape), rel=1e-8)
    assert np.abs(parts.residuals).max() < 1e-9
    assert np.abs(parts.slopes).max() < 1e-8 and np.abs(parts.hidden).max() < 1e-9


@pytest.mark.parametrize("n_seeds", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_known_parts_slopes_and_residuals_add_up_for_any_model(n_seeds):
    """Eq. (2) in the mean over many seeds, at few runs where the fits are bad."""
    bounded = np.array([True, True, False])
    targets, totals = TARGETS, TARGETS.total
    errors = []
    for seed in range(n_seeds):
        z, W, folds = design(8, 16, bounded, seed)
        x = z.reshape(-1, 3)
        Y = (np.abs(x[:, 0]) * x[:, 2] + np.sign(x[:, 1])).reshape(*z.shape[:2], 1)
        (parts,) = polynomial_parts(z, Y, W, folds, bounded, targets.shared, totals)
        M = row_moments(parts.residuals, parts, folds, targets, None).mean(axis=0)
        product, squares = M[:, 0], (M[:, 3] + M[:, 4]) / 2
        errors.append(M[:, 10] + np.where(totals, squares - product, product))
    # Parts of |a| b + sign(c): E|a| b has 2/pi, the rest of |a| b is the interaction, sign has 1.
    first = np.array([0.0, 1.0, 2 / np.pi])
    total = np.array([1 - 2 / np.pi, 1.0, 1.0])
    closed = np.array([1.0, 1.0, 1.0 + 2 / np.pi])
    exact = np.concatenate([first, total, closed])
    mean, sd = np.mean(errors, axis=0), np.std(errors, axis=0)
    # 1/n: the residuals are centred by their own mean
    assert (np.abs(mean - exact) < 4 * sd / np.sqrt(n_seeds) + 0.01).all()


def test_too_few_runs_have_no_surrogate():
    bounded = np.ones(3, dtype=bool)
    z, W, folds = design(8, 2, bounded, 0)
    few = z[:4, :2]
    Y = np.zeros((4, 2, 1))
    assert polynomial_parts(
        few, Y, W[:4, :2], np.arange(4), bounded, TARGETS.shared, TARGETS.total
    ) is None  # fmt: skip


def test_an_output_that_leaves_nothing_warns_of_nothing():
    bounded = np.zeros(3, dtype=bool)
    z, W, folds = design(8, 32, bounded, 0)
    Y = np.stack([np.zeros(z.shape[:2]), z[..., 0]], axis=2)
    nothing, linear = polynomial_parts(z, Y, W, folds, bounded, TARGETS.shared, TARGETS.total)
    assert not nothing.known.any() and not nothing.residuals.any()
    assert linear.known[:, 0] == pytest.approx(np.ones(8))


def test_several_outputs_take_sizes_of_their_own():
    bounded = np.ones(3, dtype=bool)
    z, W, folds = design(8, 64, bounded, 3)
    x = z[..., 0] + z[..., 1]
    noise = np.random.default_rng(0).standard_normal(x.shape)
    plane, wave = (x - x.mean()) / x.std(), np.sin(3 * x)
    both = polynomial_parts(
        z, np.stack([noise, wave, plane], axis=2), W, folds, bounded, TARGETS.shared, TARGETS.total
    )
    sizes = [int(one.name.split()[2]) for one in both]
    assert sizes[0] == 4 and sizes[1] > 30
    assert both[2].residuals.std() < 0.3


@pytest.mark.parametrize("n_seeds", [200, pytest.param(400, marks=pytest.mark.slow)])
def test_variance_that_the_folds_do_not_show(n_seeds):
    """Pure noise: 2 c_r g_r of the folds spread less than their mean does; Eq. (3) makes up."""
    bounded = np.ones(3, dtype=bool)
    total = 3  # of the first input
    means, shown, hidden = [], [], []
    for seed in range(n_seeds):
        z, W, folds = design(8, 8, bounded, seed)
        z, W = z[:, :2], W[:, :2]
        noise = np.random.default_rng(seed).standard_normal((*z.shape[:2], 1))
        (parts,) = polynomial_parts(z, noise, W, folds, bounded, TARGETS.shared, TARGETS.total)
        products = (
            (parts.slopes + 2.0 * parts.known[folds]).reshape(8, 8, -1).mean(axis=1)[:, total]
        )
        means.append(products.mean())
        shown.append(products.var(ddof=1) / 8)
        hidden.append(np.square(parts.hidden[:, total]).mean())
    true = np.var(means)
    assert np.mean(shown) < 0.75 * true
    assert (np.mean(shown) + np.mean(hidden)) / true == pytest.approx(
        1.0, abs=4.0 * np.sqrt(2.0 / n_seeds)
    )
