"""Kernels against Bessel functions, their derivatives, and what a category has to be."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gamma, kv

from bayesopt.models.correlations import matern, matern_by_nu
from bayesopt.models.kernels import (
    Features,
    PowerExponential,
    correlate,
    kernel_named,
    squared_distance,
)

RADIAL = ["matern12", "matern32", "matern52", "rbf", "matern 0.3", "matern 1.2", "matern 7.7"]
KERNELS = [*RADIAL, "power 0.6", "power 1.0", "power 1.5", "power 2.0"]
DISTANCES = [1e-9, 1e-4, 0.03, 0.5, 1.0, 2.0, 7.5, 40.0]
SLOPE_AT_ZERO = {
    "matern12": 0.0,
    "matern32": -3 / 2,
    "matern52": -5 / 6,
    "rbf": -1 / 2,
    "matern 0.3": 0.0,
    "matern 1.2": -1.2 / (2 * 0.2),
    "matern 7.7": -7.7 / (2 * 6.7),
}


def kernel_of(name):
    name, *shape = name.split()
    name = {"power": "power_exponential"}.get(name, name)
    return kernel_named(name, *map(float, shape))


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def closed_form(name, r):
    """Kernel at the distance r with 50 digits, the Matern ones from their Bessel function."""
    if name == "rbf":
        return mpmath.exp(-(r**2) / 2)
    if name.startswith("power"):
        return mpmath.exp(-(r ** mpmath.mpf(name.split()[1])))
    known = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}
    return bessel_form(mpmath.mpf(known[name] if name in known else name.split()[1]), r)


def bessel_form(nu, r):
    z = mpmath.sqrt(2 * nu) * r
    return 2 ** (1 - nu) / mpmath.gamma(nu) * z**nu * mpmath.besselk(nu, z)


def correlation_at(name, r):
    """k and dk/ds of two points in one dimension."""
    k, slope = kernel_of(name)(tensor([r]), tensor([0.0]))
    return float(k), float(slope)


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("r", DISTANCES)
def test_values_agree_with_the_closed_formulas(name, r):
    with mpmath.workdps(50):
        expected = float(closed_form(name, mpmath.mpf(r)))
    assert correlation_at(name, r)[0] == pytest.approx(expected, rel=5e-13)


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
def test_the_bessel_form_equals_the_closed_ones(nu):
    s = torch.linspace(0, 6, 200, dtype=torch.float64).square().unsqueeze(0)
    closed = kernel_named("matern", nu)
    assert closed == kernel_named({0.5: "matern12", 1.5: "matern32", 2.5: "matern52"}[nu])
    for one, other in zip(matern(s, nu), closed.correlation(s), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("r", [1e-3, 0.1, 1.0, 3.0, 20.0])
def test_matern_agrees_with_its_bessel_form(r):
    nu = 2.5
    z = math.sqrt(2 * nu) * r
    bessel = 2 ** (1 - nu) / gamma(nu) * z**nu * kv(nu, z)
    assert correlation_at("matern52", r)[0] == pytest.approx(bessel, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("matern52", 0.5239941088318203),
        ("rbf", 0.6065306597126334),
        ("matern12", 0.36787944117144233),
        ("matern32", (1 + math.sqrt(3)) * math.exp(-math.sqrt(3))),
        ("power 1.5", 0.36787944117144233),
    ],
)
def test_values_at_one_length_scale(name, expected):
    assert correlation_at(name, 1.0)[0] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(("nu", "expected"), [(2.0, 0.5075195091), (0.7, 0.4061818404)])
def test_golden_values_of_the_general_matern_kernel(nu, expected):
    assert correlation_at(f"matern {nu}", 1.0)[0] == pytest.approx(expected, abs=5.1e-11)


def test_length_scales_of_the_tutorial():
    """Frazier weighs squared distances by alpha: l = 1 / sqrt(2 alpha) for RBF, else 1 / sqrt."""
    alpha, x = 2.3, 0.4
    rbf, _ = correlation_at("rbf", x * math.sqrt(2 * alpha))
    assert rbf == pytest.approx(math.exp(-alpha * x**2), rel=1e-14)
    nu, r = 1.2, math.sqrt(alpha) * x
    z = math.sqrt(2 * nu) * r
    tutorial = 2 ** (1 - nu) / gamma(nu) * z**nu * kv(nu, z)
    assert correlation_at("matern 1.2", x * math.sqrt(alpha))[0] == pytest.approx(tutorial)


@pytest.mark.parametrize("nu", [0.05, 0.5, 0.999, 1.0, 1.001, 2.5, 20.0, 50.0])
def test_the_general_matern_kernel_neither_over_nor_underflows(nu):
    s = 10.0 ** torch.linspace(-320, 300, 500, dtype=torch.float64).unsqueeze(0)
    s[0, 0] = 0.0
    k, slope = matern(s, nu)
    assert bool(k.isfinite().all()) and bool(slope.isfinite().all())
    assert float(k[0, 0]) == 1.0 and float(k[0, -1]) == float(slope[0, -1]) == 0.0
    assert bool((k.diff() <= 1e-12).all()) and bool((slope <= 0).all())


def test_a_large_nu_is_nearly_the_rbf_kernel():
    s = torch.linspace(0, 4, 50, dtype=torch.float64).unsqueeze(0)
    for one, other in zip(matern(s, 50.0), kernel_named("rbf").correlation(s), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.011)  # -nu / (2 (nu - 1)) at s = 0


def test_power_two_is_the_rbf_kernel_and_power_one_a_product_of_exponentials():
    Z1, Z2 = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    k, _ = PowerExponential(2.0)(Z1, Z2)
    torch.testing.assert_close(k, kernel_named("rbf")(Z1 * math.sqrt(2), Z2 * math.sqrt(2))[0])
    k, _ = PowerExponential(1.0)(Z1, Z2)
    torch.testing.assert_close(k, torch.exp(-(Z1.unsqueeze(-2) - Z2).abs().sum(-1)))


# -- slopes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RADIAL)
@pytest.mark.parametrize("r", DISTANCES[1:-1])
def test_slopes_are_the_derivatives_in_the_squared_distance(name, r):
    with mpmath.workdps(50):
        slope = mpmath.diff(lambda s: closed_form(name, mpmath.sqrt(s)), mpmath.mpf(r**2))
    assert correlation_at(name, r)[1] == pytest.approx(float(slope), rel=1e-11)


@pytest.mark.parametrize(("name", "slope"), SLOPE_AT_ZERO.items())
def test_coinciding_points_have_correlation_one_and_a_finite_slope(name, slope):
    assert correlation_at(name, 0.0) == pytest.approx((1.0, slope), rel=1e-12)


@pytest.mark.parametrize("name", KERNELS)
def test_points_far_apart_are_uncorrelated(name):
    assert correlation_at(name, 1e5) == (0.0, 0.0)


@pytest.mark.parametrize("name", KERNELS)
def test_the_gradient_at_coinciding_points_is_zero(name):
    Z = tensor([0.3, -1.2], [0.5, 0.1])
    variable = Z.clone().requires_grad_()
    k = correlate(kernel_of(name), variable, Z).diagonal().sum()
    (gradient,) = torch.autograd.grad(k, variable)
    assert torch.equal(gradient, torch.zeros_like(Z))


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("gap", [1e-300, 1e-17, 1e-12, 1e-9])
def test_gradients_right_beside_a_point_are_finite(name, gap):
    Z = tensor([0.3, 200.0], [0.3 + gap, 200.0])
    Z1, Z2 = Z.clone().requires_grad_(), Z.clone().requires_grad_()
    gradients = torch.autograd.grad(correlate(kernel_of(name), Z1, Z2).sum(), (Z1, Z2))
    assert all(bool(g.isfinite().all()) and float(g.abs().max()) < 1e9 for g in gradients)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("shape", [(2, 4, 3), (3,)])
def test_gradients_agree_with_finite_differences(name, shape):
    """Also where one set of points serves a batch of others."""
    generator = torch.Generator().manual_seed(0)
    Z1 = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    Z2 = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    Z2 = Z2.expand(2, 5, 3).clone() if len(shape) > 1 else Z2
    assert torch.autograd.gradcheck(
        lambda a, b: correlate(kernel_of(name), a, b),
        (Z1.requires_grad_(), Z2.requires_grad_()),
        eps=1e-6,
        atol=1e-8,
    )


@pytest.mark.parametrize("name", ["matern", "power_exponential"])
def test_derivatives_in_the_shape_agree_with_finite_differences(name):
    """For several shapes at once, as a fit has them."""
    Z = torch.randn(6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    Z = Z.expand(3, 6, 3)
    shape = tensor(0.4, 1.0, 1.7).view(3, 1, 1)
    step = 1e-5
    ahead, behind = (kernel_named(name, shape + move)(Z, Z)[0] for move in (step, -step))
    ours = kernel_named(name, shape).by_shape(Z, Z)
    torch.testing.assert_close(ours, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-8)
    for i in range(3):
        alone = kernel_named(name, float(shape[i]))
        torch.testing.assert_close(ours[i], alone.by_shape(Z[i], Z[i]), rtol=1e-9, atol=1e-10)


def test_the_derivative_in_nu_agrees_with_50_digits():
    with mpmath.workdps(50):
        for nu, r in ((0.7, 0.3), (1.9, 1.1), (6.0, 2.0)):
            expected = mpmath.diff(lambda nu, r=r: bessel_form(nu, mpmath.mpf(r)), nu)
            ours = float(matern_by_nu(tensor([r**2]), nu))
            assert ours == pytest.approx(float(expected), rel=1e-7)


def test_a_kernel_without_a_shape_says_so():
    with pytest.raises(ValueError, match="no shape parameter"):
        kernel_named("rbf").by_shape(tensor([0.0]), tensor([1.0]))


def test_second_derivatives_are_refused_and_never_wrong():
    Z = tensor([0.3], [0.9]).requires_grad_()
    k = correlate(kernel_named("rbf"), Z, Z.detach()).sum()
    with pytest.raises(RuntimeError, match="Second derivatives"):
        torch.autograd.grad(k, Z, create_graph=True)


# -- distances, and what a category has to be --------------------------------------------------


def test_squared_distances_agree_with_the_sum_of_squares():
    generator = torch.Generator().manual_seed(1)
    Z1 = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    Z2 = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    direct = (Z1.unsqueeze(-2) - Z2).square().sum(-1)
    torch.testing.assert_close(squared_distance(Z1, Z2), direct, rtol=0, atol=1e-13)
    own = squared_distance(1e3 * Z2, 1e3 * Z2)
    assert bool((own >= 0).all())
    assert float(own.diagonal().max()) < 1e-8


@pytest.mark.parametrize("name", ["matern12", "matern 0.7", "power 1.0"])
def test_rough_kernels_do_not_see_the_rounding_of_distances(name):
    """Where coordinates are large, the same point has still the correlation 1 with itself."""
    Z = 300.0 + torch.rand(20, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    k, _ = kernel_of(name)(Z, Z.clone())
    assert torch.equal(k.diagonal(), torch.ones(20, dtype=torch.float64))


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
    K = correlate(kernel_of(name), Z, Z)
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
