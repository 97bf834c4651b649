"""Kernels against Bessel functions, their derivatives, and what a category has to be."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gamma, kv

from bayesopt.models.kernels import CORRELATIONS, Features, correlate, squared_distance

KERNELS = sorted(CORRELATIONS)
DISTANCES = [1e-9, 1e-4, 0.03, 0.5, 1.0, 2.0, 7.5, 40.0]


def closed_form(name, r):
    """Kernel at the distance r with 50 digits."""
    if name == "rbf":
        return mpmath.exp(-(r**2) / 2)
    root = mpmath.sqrt(5) * r
    return (1 + root + root**2 / 3) * mpmath.exp(-root)


def correlation_at(name, r):
    k, slope = CORRELATIONS[name](torch.tensor([[r**2]], dtype=torch.float64))
    return float(k), float(slope)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("r", DISTANCES)
def test_values_agree_with_the_closed_formulas(name, r):
    with mpmath.workdps(50):
        assert correlation_at(name, r)[0] == pytest.approx(float(closed_form(name, r)), rel=1e-13)


@pytest.mark.parametrize("r", [1e-3, 0.1, 1.0, 3.0, 20.0])
def test_matern_agrees_with_its_bessel_form(r):
    nu = 2.5
    z = math.sqrt(2 * nu) * r
    bessel = 2 ** (1 - nu) / gamma(nu) * z**nu * kv(nu, z)
    assert correlation_at("matern52", r)[0] == pytest.approx(bessel, rel=1e-12)


def test_values_at_one_length_scale():
    assert correlation_at("matern52", 1.0)[0] == pytest.approx(0.5239941088318203, rel=1e-14)
    assert correlation_at("rbf", 1.0)[0] == pytest.approx(0.6065306597126334, rel=1e-14)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("r", DISTANCES[1:-1])
def test_slopes_are_the_derivatives_in_the_squared_distance(name, r):
    with mpmath.workdps(50):
        slope = mpmath.diff(lambda s: closed_form(name, mpmath.sqrt(s)), mpmath.mpf(r**2))
    assert correlation_at(name, r)[1] == pytest.approx(float(slope), rel=1e-12)


@pytest.mark.parametrize(("name", "slope"), [("matern52", -5 / 6), ("rbf", -1 / 2)])
def test_coinciding_points_have_correlation_one_and_a_finite_slope(name, slope):
    assert correlation_at(name, 0.0) == pytest.approx((1.0, slope), rel=1e-15)


@pytest.mark.parametrize("name", KERNELS)
def test_points_far_apart_are_uncorrelated(name):
    assert correlation_at(name, 1e5) == (0.0, 0.0)


@pytest.mark.parametrize("name", KERNELS)
def test_the_gradient_at_coinciding_points_is_zero(name):
    Z = torch.tensor([[0.3, -1.2], [0.5, 0.1]], dtype=torch.float64)
    variable = Z.clone().requires_grad_()
    k = correlate(CORRELATIONS[name], variable, Z).diagonal().sum()
    (gradient,) = torch.autograd.grad(k, variable)
    assert torch.equal(gradient, torch.zeros_like(Z))


@pytest.mark.parametrize("name", KERNELS)
def test_gradients_agree_with_finite_differences(name):
    generator = torch.Generator().manual_seed(0)
    Z1, Z2 = torch.randn(2, 2, 4, 3, generator=generator, dtype=torch.float64)
    Z1.requires_grad_()
    Z2.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: correlate(CORRELATIONS[name], a, b), (Z1, Z2), eps=1e-6, atol=1e-8
    )


def test_second_derivatives_are_refused_and_never_wrong():
    Z = torch.tensor([[0.3], [0.9]], dtype=torch.float64, requires_grad=True)
    k = correlate(CORRELATIONS["rbf"], Z, Z.detach()).sum()
    with pytest.raises(RuntimeError, match="Second derivatives"):
        torch.autograd.grad(k, Z, create_graph=True)


def test_squared_distances_agree_with_the_sum_of_squares():
    generator = torch.Generator().manual_seed(1)
    Z1 = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    Z2 = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    direct = (Z1.unsqueeze(-2) - Z2).square().sum(-1)
    torch.testing.assert_close(squared_distance(Z1, Z2), direct, rtol=0, atol=1e-13)
    own = squared_distance(1e3 * Z2, 1e3 * Z2)
    assert bool((own >= 0).all())
    assert float(own.diagonal().max()) < 1e-8


def mixed_points(n, d, categories, seed):
    """Random points of the unit cube, categorical columns on their choices."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, d))
    for column, size in categories:
        X[:, column] = rng.integers(size, size=n) / max(size - 1, 1)
    return torch.from_numpy(X)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), sizes=st.lists(st.integers(1, 6), max_size=3))
@pytest.mark.parametrize("name", KERNELS)
def test_mixed_covariances_are_positive_definite(name, seed, sizes):
    rng = np.random.default_rng(seed)
    d = 2 + len(sizes)
    categories = tuple(zip(rng.permutation(d)[: len(sizes)].tolist(), sizes, strict=True))
    features = Features(d, categories)
    lengthscale = torch.from_numpy(10.0 ** rng.uniform(-2, 1.5, d))
    X = mixed_points(25, d, categories, seed)
    Z = features.of(X) / lengthscale[features.column_of]
    K = correlate(CORRELATIONS[name], Z, Z)
    torch.testing.assert_close(K, K.mT, rtol=0, atol=1e-9)
    assert float(K.diagonal().min()) > 1 - 1e-10
    assert float(torch.linalg.eigvalsh(K).min()) > -1e-9


def test_two_choices_are_at_distance_one_whatever_their_order():
    size = 5
    X = torch.linspace(0, 1, size, dtype=torch.float64).unsqueeze(-1)
    F = Features(1, ((0, size),)).of(X)
    expected = 1.0 - torch.eye(size, dtype=torch.float64)
    torch.testing.assert_close(squared_distance(F, F), expected, rtol=0, atol=1e-15)


def test_renaming_the_choices_changes_no_covariance():
    categories = ((1, 4),)
    features = Features(3, categories)
    X = mixed_points(20, 3, categories, seed=2)
    renamed = X.clone()
    renamed[:, 1] = torch.tensor([2, 0, 3, 1])[(X[:, 1] * 3).round().long()] / 3
    K, K_renamed = (squared_distance(F, F) for F in (features.of(X), features.of(renamed)))
    torch.testing.assert_close(K, K_renamed, rtol=0, atol=1e-14)


def test_features_keep_track_of_their_columns():
    features = Features(4, ((0, 3), (2, 2)))
    assert features.plain == [1, 3]
    assert features.column_of == [1, 3, 0, 0, 0, 2, 2]
    corner = math.sqrt(0.5)
    F = features.of(torch.tensor([[0.5, 0.1, 1.0, 0.7]], dtype=torch.float64))
    expected = torch.tensor([[0.1, 0.7, 0, corner, 0, 0, corner]], dtype=torch.float64)
    torch.testing.assert_close(F, expected, rtol=0, atol=1e-15)
    plain = torch.rand(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert Features(4).of(plain) is plain
