"""Integrals of an RBF factor over normal and uniform laws, by quadrature and in their limits."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from bayesopt.models.joint.integrals import double_mean_over_law, mean_over_law
from bayesopt.unit_law import UnitNormal, UnitUniform

NORMAL, NARROW = UnitNormal(0.45, 0.12), UnitNormal(0.3, 1e-3)
UNIT, SHORT = UnitUniform(0.0, 1.0), UnitUniform(0.2, 0.35)
LAWS = [NORMAL, NARROW, UNIT, SHORT, UnitUniform(0.4, 0.4 + 1e-7)]
LENGTHSCALES = [0.02, 0.1, 0.3, 0.31, 1.0, 1.99, 2.01, 20.0, 1e4]
W = np.array([0.0, 0.21, 0.4, 0.98])


def scipy_law(law):
    if isinstance(law, UnitNormal):
        return stats.norm(law.mean, law.sd), 12 * law.sd
    width = law.high - law.low
    return stats.uniform(law.low, width), width


def by_quadrature(law, function, lengthscale):
    """E function(W), in panels that are finer than the length-scale and the law."""
    frozen, reach = scipy_law(law)
    low, high = (
        (law.low, law.high)
        if isinstance(law, UnitUniform)
        else (law.mean - reach, law.mean + reach)
    )
    n = 40 + int((high - low) / lengthscale)
    return sum(
        integrate.fixed_quad(lambda u: function(u) * frozen.pdf(u), a, b, n=16)[0]
        for a, b in zip(*(np.linspace(low, high, n + 1)[k:][:n] for k in (0, 1)), strict=True)
    )


def ends(law):
    return torch.tensor(W), torch.tensor(LENGTHSCALES, dtype=torch.float64)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_they_are_the_integrals(law):
    w, lengthscales = ends(law)
    batch = w.expand(len(lengthscales), len(w))
    means = mean_over_law(law, batch, lengthscales).numpy()
    doubles = double_mean_over_law(law, lengthscales).numpy()
    for k, length in enumerate(LENGTHSCALES):
        for j, at in enumerate(W):
            exact = by_quadrature(law, lambda u: np.exp(-0.5 * ((u - at) / length) ** 2), length)  # noqa: B023
            assert means[k, j] == pytest.approx(exact, abs=1e-10)

        def inner(u):
            scale = torch.tensor(length, dtype=torch.float64)  # noqa: B023
            return mean_over_law(law, torch.from_numpy(u), scale).numpy()

        assert doubles[k] == pytest.approx(by_quadrature(law, inner, length), abs=1e-10)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_gradients_by_finite_differences(law):
    w, lengthscales = ends(law)
    batch = w.expand(len(lengthscales), len(w)).clone().requires_grad_()
    scales = lengthscales.clone().requires_grad_()
    mean_over_law(law, batch, scales).sum().backward()
    by_w, by_scale = batch.grad, scales.grad
    (by_double,) = torch.autograd.grad(double_mean_over_law(law, scales).sum(), scales)
    h = 1e-6
    with torch.no_grad():
        step = h * lengthscales
        ups, downs = (mean_over_law(law, batch, lengthscales + sign * step) for sign in (1, -1))
        torch.testing.assert_close(
            by_scale, (ups - downs).sum(-1) / (2 * step), rtol=1e-6, atol=1e-8
        )
        ups, downs = (double_mean_over_law(law, lengthscales + sign * step) for sign in (1, -1))
        torch.testing.assert_close(by_double, (ups - downs) / (2 * step), rtol=1e-6, atol=1e-8)
        ups, downs = (mean_over_law(law, batch + sign * h, lengthscales) for sign in (1, -1))
        torch.testing.assert_close(by_w, (ups - downs) / (2 * h), rtol=1e-6, atol=2e-7)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_long_and_short_lengthscales(law):
    w = torch.tensor(W)
    tensor = torch.tensor(1e8, dtype=torch.float64)
    torch.testing.assert_close(mean_over_law(law, w, tensor), torch.ones_like(w))
    torch.testing.assert_close(double_mean_over_law(law, tensor), torch.ones_like(tensor))
    tensor = torch.tensor(1e-9, dtype=torch.float64)
    # What is left is the density of W at w, and that of W - W' at 0, times l sqrt(2 pi).
    frozen, _ = scipy_law(law)
    inside = torch.tensor(frozen.pdf(0.27) * 1e-9 * math.sqrt(2 * math.pi))
    torch.testing.assert_close(
        mean_over_law(law, torch.tensor([0.27], dtype=torch.float64), tensor)[0], inside
    )
    same = (
        1 / (2 * law.sd * math.sqrt(math.pi))
        if isinstance(law, UnitNormal)
        else 1 / (law.high - law.low)
    )
    double = float(double_mean_over_law(law, tensor))
    assert double == pytest.approx(1e-9 * same * math.sqrt(2 * math.pi), rel=0.02)


@pytest.mark.parametrize("point", [UnitNormal(0.4, 0.0), UnitUniform(0.4, 0.4)])
def test_a_point_mass_is_the_kernel(point):
    w, lengthscales = ends(point)
    batch = w.expand(len(lengthscales), len(w)).clone().requires_grad_()
    scales = lengthscales.clone().requires_grad_()
    kernel = torch.exp(-0.5 * ((batch - 0.4) / scales.unsqueeze(-1)) ** 2)
    mean = mean_over_law(point, batch, scales)
    torch.testing.assert_close(mean, kernel)
    double = double_mean_over_law(point, scales)
    torch.testing.assert_close(double, torch.ones_like(scales))
    by_mean, by_kernel = (torch.autograd.grad(each.sum(), scales)[0] for each in (mean, kernel))
    torch.testing.assert_close(by_mean, by_kernel)
    (by_double,) = torch.autograd.grad(double.sum(), scales)
    torch.testing.assert_close(by_double, torch.zeros_like(scales))


def test_batches_are_what_single_ones_are():
    w, lengthscales = ends(UNIT)
    lengthscales = lengthscales[:6].reshape(2, 3)
    batch = mean_over_law(UNIT, w.expand(2, 3, len(w)), lengthscales)
    doubles = double_mean_over_law(UNIT, lengthscales)
    assert batch.shape == (2, 3, len(w)) and doubles.shape == (2, 3)
    torch.testing.assert_close(batch[1, 2], mean_over_law(UNIT, w, lengthscales[1, 2]))
    torch.testing.assert_close(doubles[1, 2], double_mean_over_law(UNIT, lengthscales[1, 2]))


def test_the_formula_of_the_tutorial_for_the_uniform_law():
    """2 l^2 sqrt(2 pi) / L^2 [g(L / l) - g(0) - L / (2 l)],  g(u) = u Phi(u) + phi(u)."""
    L, length = 0.8, 0.3

    def g(u):
        return u * stats.norm.cdf(u) + stats.norm.pdf(u)

    exact = (
        2 * length**2 * math.sqrt(2 * math.pi) / L**2 * (g(L / length) - g(0) - L / (2 * length))
    )
    double = double_mean_over_law(UnitUniform(0.1, 0.9), torch.tensor(length, dtype=torch.float64))
    assert float(double) == pytest.approx(exact, rel=1e-13)
