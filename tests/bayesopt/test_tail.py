"""The mean of the worst outcomes: closed forms of two conditions, order statistics, limits."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats

from bayesopt.models.joint.tail import expected_tail, tail_weights

torch_f64 = {"dtype": torch.float64}


def tensor(values):
    return torch.tensor(values, **torch_f64)


def problem(m, K, seed=0):
    """Means, Cholesky factors and weights that are not equal."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(m, K, K + 2)) / math.sqrt(K)
    L = torch.linalg.cholesky(torch.from_numpy(A @ A.swapaxes(1, 2)))
    p = rng.dirichlet(np.full(K, 3.0))
    return torch.from_numpy(rng.normal(size=(m, K))), L, torch.from_numpy(p)


def tail_mean(f, p, level):
    """The mean of the worst of known scores."""
    return (tail_weights(f, p, level) * f).sum(-1)


def test_the_worst_share_of_known_scores():
    f, p = tensor([3.0, 1.0, 2.0, 0.0]), tensor([0.1, 0.2, 0.3, 0.4])
    for level, worst in ((0.6, 0.0), (0.5, 0.1 / 0.5), (0.4, 0.2 / 0.6), (0.0, 1.1)):
        assert float(tail_mean(f, p, level)) == pytest.approx(worst, abs=1e-15)
    torch.testing.assert_close(tail_weights(f, p, 0.3), tensor([0.0, 2 / 7, 1 / 7, 4 / 7]))


@pytest.mark.parametrize("level", [0.05, 0.37, 0.9, 0.999])
def test_it_solves_the_problem_of_rockafellar_and_uryasev(level):
    rng = np.random.default_rng(1)
    f, p = torch.from_numpy(rng.normal(size=(7, 11))), torch.from_numpy(rng.dirichlet(np.ones(11)))
    # max over t of t - E (t - f)^+ / (1 - level), which is attained at one of the scores
    t = f.unsqueeze(-1)
    short = ((t - f.unsqueeze(-2)).clamp_min(0.0) * p).sum(-1)
    best = (f - short / (1 - level)).amax(-1)
    torch.testing.assert_close(tail_mean(f, p, level), best, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mean", [(0.0, 0.0), (0.3, -0.5), (2.0, 0.0)])
@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.8])
def test_two_conditions_have_a_closed_form(mean, rho):
    """E min(f_1, f_2) by Clark (1961), for weights 1/2 and the worse half."""
    sds = np.array([1.0, 0.7])
    covariance = np.array([[1.0, rho], [rho, 1.0]]) * np.outer(sds, sds)
    L = torch.from_numpy(np.linalg.cholesky(covariance))
    theta = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    z = (mean[1] - mean[0]) / theta
    first, density = stats.norm.cdf(z), stats.norm.pdf(z)
    exact = mean[0] * first + mean[1] * (1 - first) - theta * density
    tail = expected_tail(tensor(mean), L, tensor([0.5, 0.5]), 0.5, n_samples=4096)
    assert float(tail.expected) == pytest.approx(exact, abs=2e-3)
    np.testing.assert_allclose(tail.weights, [first, 1 - first], atol=2e-3)


@pytest.mark.parametrize("p_first", [0.3, 0.6])
def test_two_conditions_of_unequal_weights(p_first):
    """With p_1 < 1 - level < p_2 the worse one is taken as far as it goes."""
    level, p = 0.55, tensor([p_first, 1 - p_first])
    share = 1 - level
    low = (max(share - (1 - p_first), 0.0) / share, min(p_first, share) / share)
    L = torch.eye(2, **torch_f64)
    tail = expected_tail(tensor([0.4, 0.0]), L, p, level, n_samples=4096)
    is_first = stats.norm.cdf(-0.4 / math.sqrt(2))
    expected = low[1] * is_first + low[0] * (1 - is_first)
    assert float(tail.weights[0]) == pytest.approx(expected, abs=2e-3)


def order_statistic(rank, K):
    """E of the rank-th smallest of K standard normal numbers."""
    factor = rank * special.comb(K, rank)

    def integrand(x):
        F = stats.norm.cdf(x)
        return x * factor * F ** (rank - 1) * (1 - F) ** (K - rank) * stats.norm.pdf(x)

    return integrate.quad(integrand, -9, 9)[0]


@pytest.mark.parametrize("level, K", [(0.9, 20), (0.5, 8), (0.75, 6)])
def test_independent_conditions_have_order_statistics(level, K):
    share, worst, rank = (1 - level) * K, 0.0, 1
    while share > 1e-12:
        worst += min(share, 1.0) * order_statistic(rank, K)
        share, rank = share - 1.0, rank + 1
    p = torch.full((K,), 1 / K, **torch_f64)
    tail = expected_tail(torch.zeros(K, **torch_f64), torch.eye(K, **torch_f64), p, level)
    assert float(tail.expected) == pytest.approx(worst / ((1 - level) * K), abs=0.03)


def test_many_independent_conditions_have_the_tail_of_the_normal_law():
    K, level = 128, 0.8
    p = torch.full((K,), 1 / K, **torch_f64)
    tail = expected_tail(torch.zeros(K, **torch_f64), torch.eye(K, **torch_f64), p, level)
    limit = -stats.norm.pdf(stats.norm.ppf(level)) / (1 - level)
    assert float(tail.expected) == pytest.approx(limit, abs=0.02)
    np.testing.assert_allclose(tail.weights, 1 / K, atol=0.4 / K)


def test_level_zero_is_the_mean():
    mean, L, p = problem(5, 9)
    for level in (None, 0.0, 1e-12):
        tail = expected_tail(mean, L, p, level)
        torch.testing.assert_close(tail.expected, mean @ p)
        torch.testing.assert_close(tail.weights, p.expand(5, 9))


def test_without_variance_it_is_that_of_the_means():
    mean, L, p = problem(5, 9)
    tail = expected_tail(mean, 0.0 * L, p, 0.7)
    torch.testing.assert_close(tail.expected, tail_mean(mean, p, 0.7))
    torch.testing.assert_close(tail.weights, tail_weights(mean, p, 0.7))


def test_close_to_one_it_is_the_worst_case():
    mean, L, p = problem(5, 9)
    tail = expected_tail(mean, 0.0 * L, p, 1 - 1e-9)
    torch.testing.assert_close(tail.expected, mean.amin(-1))


def test_it_falls_with_the_level_and_with_the_variance():
    mean, L, p = problem(5, 9)
    by_level = torch.stack([expected_tail(mean, L, p, a).expected for a in (0.0, 0.3, 0.6, 0.9)])
    assert (by_level.diff(dim=0) < 0).all()
    by_scale = torch.stack([expected_tail(mean, s * L, p, 0.7).expected for s in (0, 0.5, 1, 2)])
    assert (by_scale.diff(dim=0) < 0).all()


@pytest.mark.parametrize("level", [None, 0.2, 0.9])
def test_the_weights_are_those_of_a_law(level):
    mean, L, p = problem(5, 9)
    weights = expected_tail(mean, L, p, level).weights
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(5, **torch_f64))
    assert (weights <= p / (1 - (level or 0.0)) + 1e-12).all()


@pytest.mark.parametrize("level", [None, 0.6])
def test_derivatives_by_finite_differences(level):
    mean, L, p = problem(2, 4)
    tail = expected_tail(mean, L, p, level)
    h = 1e-7
    for index in np.ndindex(2, 4):
        step = torch.zeros_like(mean)
        step[index] = h
        up, down = (expected_tail(mean + s * step, L, p, level).expected.sum() for s in (1, -1))
        assert float(tail.weights[index]) == pytest.approx(float(up - down) / (2 * h), abs=1e-6)
    for index in np.ndindex(2, 4, 4):
        step = torch.zeros_like(L)
        step[index] = h
        up, down = (expected_tail(mean, L + s * step, p, level).expected.sum() for s in (1, -1))
        assert float(tail.by_root[index]) == pytest.approx(float(up - down) / (2 * h), abs=1e-6)


def test_a_root_of_few_columns_is_that_of_a_degenerate_law():
    mean, L, p = problem(5, 9)
    flat = L[..., :2]
    wide = torch.cat((flat, torch.zeros_like(L[..., 2:])), dim=-1)
    few, many = expected_tail(mean, flat, p, 0.8), expected_tail(mean, wide, p, 0.8, 2**12)
    torch.testing.assert_close(few.expected, many.expected, atol=0.01, rtol=0.0)
    torch.testing.assert_close(few.weights, many.weights, atol=0.05, rtol=0.0)


@pytest.mark.parametrize("q", [1, 7, 16, 32])
def test_samples_of_few_columns_have_the_moments_of_the_law(q):
    """The variance of a sum, which no sample of this size has by chance."""
    mean, p = torch.zeros(1, **torch_f64), torch.ones(1, **torch_f64)
    R = torch.linspace(0.5, 1.0, q, **torch_f64).unsqueeze(0)
    Z = expected_tail(mean, R, p, 0.5).Z
    assert float((Z @ R.T).square().mean()) == pytest.approx(float(R.square().sum()), rel=1e-12)


def test_a_batch_is_what_single_ones_are():
    mean, L, p = problem(6, 5)
    batch = expected_tail(mean.reshape(2, 3, 5), L.reshape(2, 3, 5, 5), p, 0.8)
    one = expected_tail(mean[4], L[4], p, 0.8)
    torch.testing.assert_close(batch.expected[1, 1], one.expected)
    torch.testing.assert_close(batch.weights[1, 1], one.weights)


def test_the_default_sample_is_close_to_a_large_one():
    mean, L, p = problem(8, 32)
    for level in (0.5, 0.9):
        few, many = (expected_tail(mean, L, p, level, n) for n in (128, 2**12))
        sd = (L @ L.mT).diagonal(dim1=-2, dim2=-1).mean().sqrt()
        assert float((few.expected - many.expected).abs().max() / sd) < 0.05
        assert float((few.weights - many.weights).abs().max()) < 0.06
