"""Designs: what blocks share, weights, groups, doubling, exact counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from uq import Inputs
from uq.factors import factors_of
from uq.pick_freeze import blocks_of, sobol_design, targets_of

LAWS = {"a": stats.norm(), "b": stats.uniform(), "c": stats.gumbel_r(), "d": stats.beta(2, 3)}


@given(st.integers(1, 7), st.sampled_from([1, 2]))
@settings(deadline=None)
def test_pairs_share_what_they_say(k, order):
    blocks, targets = blocks_of(k, order), targets_of(k, order)
    assert len(blocks) == (k + 2 if order == 1 else 2 * k + 2)
    shared = blocks[targets.pairs[..., 0]] == blocks[targets.pairs[..., 1]]  # (T, P, k)
    assert (shared == targets.shared[:, None]).all()
    assert targets.total.tolist() == [False] * k + [True] * k + [False] * (len(shared) - 2 * k)
    sizes = targets.shared.sum(axis=1)
    assert (sizes[:k] == 1).all() and (sizes[k : 2 * k] == k - 1).all()
    if order == 2:
        assert len(shared) == 2 * k + k * (k - 1) // 2 and (sizes[2 * k :] == 2).all()


def test_blocks_hold_the_values_of_their_samples():
    design = sobol_design(LAWS, n=16, order=2, groups={"pair": ["a", "c"]}, rng=0)
    assert design.names == ("pair", "b", "d")
    rows = design.points.reshape(design.n, design.n_blocks, 4)
    A, B = rows[:, 0], rows[:, 1]
    assert not (A == B).any()
    first = rows[:, 2]  # the pair from B
    assert np.array_equal(first[:, [0, 2]], B[:, [0, 2]])
    assert np.array_equal(first[:, [1, 3]], A[:, [1, 3]])
    last = rows[:, -1]  # all but d from B
    assert np.array_equal(last[:, :3], B[:, :3]) and np.array_equal(last[:, 3], A[:, 3])


def test_points_follow_the_laws():
    plain = sobol_design(LAWS, n=4096, widened=False, rng=1)
    assert plain.log_weights is None
    wide = sobol_design(LAWS, n=4096, rng=1)
    w = np.exp(wide.log_weights[:, 0])  # of A
    assert np.array_equal(w[:, 1], np.ones(4096)) and np.array_equal(w[:, 3], np.ones(4096))
    for design, weight in ((plain, np.ones((4096, 4))), (wide, w)):
        A = design.points.reshape(4096, -1, 4)[:, 0]
        for i, law in enumerate(LAWS.values()):
            assert (weight[:, i] * A[:, i]).mean() == pytest.approx(law.mean(), abs=0.01)
            square = (weight[:, i] * (A[:, i] - law.mean()) ** 2).mean()
            assert square == pytest.approx(law.var(), rel=0.01)
    assert sobol_design({"b": stats.uniform()}, n=16).log_weights is None


def test_a_doubled_net_is_a_net():
    design = sobol_design([stats.uniform()] * 3, n=32, rng=4)
    large = design.extend(128)
    assert np.array_equal(large.uniforms[:32], design.uniforms)
    for fold in range(8):
        u = large.uniforms[large.folds == fold]
        for column in u.T:
            assert sorted(np.floor(column * 16)) == list(range(16))


def test_a_doubled_net_integrates_like_a_new_one():
    def spread(extended):
        means = []
        for seed in range(60):
            n = 64 if extended else 128
            design = sobol_design([stats.uniform()] * 2, n=n, rng=seed)
            u = (design.extend(128) if extended else design).uniforms
            folds = (design.extend(128) if extended else design).folds
            values = np.exp(u).prod(axis=1)
            means += [values[folds == r].mean() for r in range(8)]
        return np.var(means)

    assert spread(True) / spread(False) == pytest.approx(1.0, abs=4 * np.sqrt(4 / 480))


@pytest.mark.parametrize("budget", [80, 100, 999, 5000, 123_456])
def test_a_budget_is_nearly_spent_and_never_passed(budget):
    design = sobol_design([stats.uniform()] * 3, budget=budget, rng=0)
    assert 7 / 8 * budget - 5 < design.n_runs <= budget
    assert design.n_runs == len(design.points)


def test_inputs_in_no_group_are_factors_by_themselves():
    factors = factors_of(("a", "b", "c", "d"), {"g": ["d", "b"]})
    assert [(f.name, f.columns) for f in factors] == [("a", (0,)), ("g", (1, 3)), ("c", (2,))]
    with pytest.raises(TypeError, match="`groups` must map names"):
        factors_of(("a",), ["a"])


def test_random_rows():
    design = sobol_design(Inputs(LAWS), n=200, sampling="mc", rng=0)
    assert design.n == 200 and design.n_folds == 10
    more = design.extend(300)
    assert np.array_equal(more.points[: design.n_runs], design.points)
    assert (np.bincount(more.folds) == 30).all()
    with pytest.raises(ValueError, match="nearest is 210"):
        design.extend(205)
