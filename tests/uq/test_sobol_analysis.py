"""Analysis of one output: weights of pairs by loops, jackknife by brute force, the choice."""

import numpy as np
import pytest
from scipy import stats

from uq.pick_freeze import sobol_design, targets_of
from uq.sobol_analysis import analyse, row_moments, weights_of_blocks, weights_of_pairs
from uq.sobol_estimators import indices
from uq.variance_parts import polynomial_parts


def test_weights_of_pairs_and_blocks_by_loops():
    design = sobol_design([stats.norm()] * 3, n=16, order=2, rng=0)
    targets = targets_of(3, 2)
    log_w = design.log_weights
    got = weights_of_pairs(log_w, design.blocks, targets)
    of_blocks = weights_of_blocks(log_w, design.blocks)
    for row in range(16):
        for block, mask in enumerate(design.blocks):
            want = np.exp(sum(log_w[row, int(mask[i]), i] for i in range(3)))
            assert of_blocks[row, block] == pytest.approx(want)
        for t in range(len(targets.total)):
            for p, (P, Q) in enumerate(targets.pairs[t]):
                values = {(int(design.blocks[b][i]), i) for b in (P, Q) for i in range(3)}
                want = np.exp(sum(log_w[row, sample, i] for sample, i in values))
                assert got[row, t, p] == pytest.approx(want)
        assert got[row, -1, 0] == pytest.approx(np.exp(log_w[row].sum()))


def outputs(seed=0, n=128):
    design = sobol_design([stats.uniform()] * 3, n=n, rng=seed)
    x = design.points
    Y = (x[:, 0] * np.exp(x[:, 1]) + x[:, 2]).reshape(design.n, -1)
    return design, (Y - Y.mean()) / Y.std(), targets_of(3, 1)


def analysed(design, Y, targets, **options):
    given = dict(
        pair_weights=None, estimator="janon_monod", parts=None, independent=False, n_resamples=0,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    return analyse(Y, design.folds, targets, **{**given, **options})


def test_pseudo_values_by_brute_force():
    design, Y, targets = outputs()
    a = analysed(design, Y, targets)
    for r in range(8):
        kept = design.folds != r
        M = row_moments(Y, None, design.folds, targets, None)[kept]
        left_out = indices(M.mean(axis=0), targets.total, "janon_monod")
        assert a.pseudo_values[r] == pytest.approx(8 * a.estimate - 7 * left_out)
    assert a.contributions.mean(axis=0) == pytest.approx(a.estimate)


def test_contributions_are_the_linear_part():
    """Leaving out one row moves the estimate as its contribution says, up to 1/n^2."""
    design, Y, targets = outputs(n=1024)
    a = analysed(design, Y, targets)
    M = row_moments(Y, None, design.folds, targets, None)
    for row in (3, 500, 1000):
        rest = np.delete(M, row, axis=0).mean(axis=0)
        moved = indices(rest, targets.total, "janon_monod") - a.estimate
        linear = -(a.contributions[row] - a.estimate) / 1023
        assert moved == pytest.approx(linear, abs=2e-5)


def test_the_product_of_independent_blocks_helps_small_indices_and_hurts_none():
    """Five inert inputs beside one that counts: errors over seeds of "auto" and janon_monod."""
    errors = {"auto": [], "janon_monod": [], "saltelli_2010": []}
    for seed in range(60):
        design = sobol_design([stats.uniform()] * 6, n=128, widened=False, rng=seed)
        Y = np.exp(2 * design.points[:, 0]).reshape(128, -1)
        Y = (Y - Y.mean()) / Y.std()
        for name, some in errors.items():
            found = analyse(
                Y, design.folds, targets_of(6, 1), None, name, None, False, 0,
                np.random.default_rng(0),
            )  # fmt: skip
            some.append(found.estimate[:6] - np.array([1, 0, 0, 0, 0, 0]))
    rmse = {name: np.sqrt(np.square(some).mean(axis=0)) for name, some in errors.items()}
    assert (rmse["auto"][1:] < 0.3 * rmse["janon_monod"][1:]).all()
    assert rmse["auto"][0] < 0.5 * rmse["saltelli_2010"][0]


def test_a_surrogate_is_used_where_it_wins_and_not_on_noise():
    design, Y, targets = outputs()
    z = design.normal_points.reshape(design.n, -1, 3)
    W, bounded = np.ones(Y.shape), design.bounded
    used = {}
    for name, y in {
        "smooth": Y, "noise": np.random.default_rng(1).standard_normal(Y.shape)
    }.items():  # fmt: skip
        (parts,) = polynomial_parts(
            z, y[..., None], W, design.folds, bounded, targets.shared, targets.total
        )
        used[name] = analysed(design, y, targets, parts=parts).used
    assert used["smooth"].all()
    assert not used["noise"].any()


def test_bootstrap_means_are_the_estimates():
    design, Y, targets = outputs()
    a = analysed(design, Y, targets, n_resamples=4000)
    sd = a.resampled.std(axis=0)
    assert (np.abs(a.resampled.mean(axis=0) - a.estimate) < 4 * sd / np.sqrt(4000) + 0.02).all()
