"""The expected maximum of lines: brute force, quadrature, 50 digits, and what cannot change it."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.stats import norm
from strategies import fixed

from bayesopt.acquisition.expected_max import envelope, expected_gain, log_expected_gain


def lines(B, m, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, m)), spread * rng.normal(size=(B, m))


def gain(a, b):
    return expected_gain(torch.from_numpy(a), torch.from_numpy(b)).numpy()


def by_pieces(a, b):
    """E[max] - max a for one set of lines: between two crossings one line wins."""
    i, j = np.triu_indices(len(a), 1)
    apart = b[i] != b[j]
    crossings = np.sort((a[j] - a[i])[apart] / (b[i] - b[j])[apart])
    ends = np.concatenate(([-60.0], crossings[np.abs(crossings) < 60.0], [60.0]))
    middle = (ends[:-1] + ends[1:]) / 2
    best = np.argmax(a + b * middle[:, None], axis=1)
    mass, density = np.diff(norm.cdf(ends)), norm.pdf(ends)
    total = np.sum(a[best] * mass + b[best] * -np.diff(density))
    return total - a.max()


@pytest.mark.parametrize("m", [1, 2, 3, 10, 60])
@pytest.mark.parametrize("spread", [0.05, 1.0, 20.0])
def test_random_lines_agree_with_piecewise_integration(m, spread):
    a, b = lines(20, m, seed=m, spread=spread)
    expected = [by_pieces(*pair) for pair in zip(a, b, strict=True)]
    np.testing.assert_allclose(gain(a, b), expected, rtol=1e-9, atol=1e-13)  # the pieces cancel


def test_quadrature():
    a, b = lines(5, 7, seed=1)
    for one, other in zip(a, b, strict=True):

        def integrand(z, one=one, other=other):
            return (one + other * z).max() * math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)

        cells = zip(np.linspace(-12, 12, 241)[:-1], np.linspace(-12, 12, 241)[1:], strict=True)
        total = sum(quad(integrand, low, high, epsabs=1e-12)[0] for low, high in cells)
        assert gain(one[None], other[None])[0] == pytest.approx(total - one.max(), abs=1e-8)


def test_two_lines_are_expected_improvement():
    """max(a_1, a_2 + b_2 Z) is improvement on the incumbent a_1."""
    mean, sd = 0.3, 0.7
    for best in (-1.0, 0.3, 2.0):
        z = (mean - best) / sd
        expected = sd * norm.pdf(z) + (mean - best) * norm.cdf(z) - max(mean - best, 0.0)
        found = gain(np.array([[best, mean]]), np.array([[0.0, sd]]))
        assert found[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("distance", [1.0, 12.0, 40.0, 300.0])
def test_the_logarithm_has_ten_digits_where_the_value_underflows(distance):
    """One line far below on the right, another farther on the left."""
    a, b = np.array([0.0, -distance, -1.3 * distance]), np.array([0.1, 1.1, -0.9])
    value = log_expected_gain(torch.from_numpy(a), torch.from_numpy(b))
    with mpmath.workdps(80):

        def zeta(c):
            return mpmath.npdf(c) - mpmath.mpf(c) * mpmath.ncdf(-c)

        steps = [mpmath.mpf(b[1]) - mpmath.mpf(b[0]), mpmath.mpf(b[0]) - mpmath.mpf(b[2])]
        edges = [mpmath.mpf(-a[1]) / steps[0], mpmath.mpf(-a[2]) / steps[1]]
        expected = mpmath.log(sum(s * zeta(c) for s, c in zip(steps, edges, strict=True)))
        assert value.item() == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("m", [2, 5, 30])
@pytest.mark.parametrize("spread", [0.05, 1.0])
def test_gradients_agree_with_finite_differences(m, spread):
    a, b = (torch.from_numpy(x).requires_grad_() for x in lines(6, m, seed=3, spread=spread))
    for of in (log_expected_gain, expected_gain):
        by_a, by_b = torch.autograd.grad(of(a, b).sum(), (a, b))
        generator = torch.Generator().manual_seed(0)
        for _ in range(5):
            da, db = (torch.randn(6, m, dtype=torch.float64, generator=generator) for _ in "ab")
            step = 1e-6
            with torch.no_grad():
                ahead, behind = of(a + step * da, b + step * db), of(a - step * da, b - step * db)
            expected = (by_a * da + by_b * db).sum(1)
            torch.testing.assert_close(
                (ahead - behind) / (2 * step), expected, rtol=1e-5, atol=1e-7
            )


def test_gradients_are_right_far_out():
    """Where h is about exp(-1250): the logarithm still has a slope, h itself has none."""
    a = torch.tensor([0.0, -50.0, -60.0], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([0.2, 1.2, -0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_expected_gain, (a, b), eps=1e-6, rtol=1e-6)
    assert expected_gain(a, b).item() == 0.0


def test_the_derivatives_in_the_intercepts_are_probabilities():
    """dE[max]/da_i is the probability that line i wins: they sum to one, and the gain's to zero."""
    a, b = (torch.from_numpy(x).requires_grad_() for x in lines(50, 8, seed=4))
    (by_a,) = torch.autograd.grad(expected_gain(a, b).sum(), a)
    torch.testing.assert_close(by_a.sum(1), torch.zeros(50).double(), rtol=0, atol=1e-14)
    Z = torch.randn(200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wins = torch.bincount((a[0] + b[0] * Z[:, None]).argmax(1), minlength=8) / len(Z)
    wins[a[0].argmax()] -= 1.0
    assert float((by_a[0] - wins).abs().max()) < 4 * 0.5 / len(Z) ** 0.5


@pytest.mark.parametrize("slope", [0.0, 0.7, -2.0])
def test_equal_slopes_gain_nothing(slope):
    a, _ = lines(5, 6)
    assert (gain(a, np.full_like(a, slope)) == 0.0).all()
    tensor = torch.from_numpy(a).requires_grad_()
    value = log_expected_gain(tensor, torch.full_like(tensor, slope))
    assert bool((value == -torch.inf).all())
    (slope_of_it,) = torch.autograd.grad(value.sum(), tensor)
    assert bool((slope_of_it == 0).all())


def test_of_several_lines_with_one_slope_only_the_highest_counts():
    a, b = np.array([[0.0, 0.5, -1.0, 0.4]]), np.array([[1.0, 1.0, 1.0, 0.0]])
    assert gain(a, b) == pytest.approx(gain(a[:, [1, 3]], b[:, [1, 3]]), rel=1e-14)


numbers = st.floats(-5.0, 5.0).map(lambda x: round(x, 3))
pairs = st.integers(1, 8).flatmap(
    lambda m: st.tuples(*[arrays(float, (1, m), elements=numbers)] * 2)
)


@fixed
@given(pairs, st.randoms(use_true_random=False), numbers)
def test_order_repetition_and_a_constant_do_not_matter(pair, random, constant):
    a, b = pair
    value = gain(a, b)
    assert value[0] == pytest.approx(max(by_pieces(a[0], b[0]), 0.0), abs=1e-12)
    order = list(range(a.shape[1])) + [random.randrange(a.shape[1])]
    random.shuffle(order)
    np.testing.assert_allclose(gain(a[:, order], b[:, order]), value, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gain(a + constant, b), value, rtol=1e-9, atol=1e-12)
    # A slope that all lines share adds a multiple of Z, whose mean is zero.
    np.testing.assert_allclose(gain(a, b + constant), value, rtol=1e-9, atol=1e-12)
    assert value[0] >= 0.0


@fixed
@given(pairs)
def test_the_envelope_is_the_highest_line_everywhere(pair):
    a, b = pair
    active, c = envelope(a, b)
    assert (np.diff(b[0, active[0]])[np.isfinite(c[0])] > 0).all()
    assert (np.diff(c[0][np.isfinite(c[0])]) >= -1e-9).all()
    for z in np.linspace(-8, 8, 41):
        line = active[0, np.searchsorted(c[0], z)]
        highest = (a[0] + b[0] * z).max()
        assert a[0, line] + b[0, line] * z == pytest.approx(highest, abs=1e-9)


def test_candidates_are_independent_of_each_other():
    a, b = lines(40, 9, seed=5)
    together = gain(a, b)
    alone = np.array([gain(a[i : i + 1], b[i : i + 1])[0] for i in range(40)])
    np.testing.assert_allclose(together, alone, rtol=1e-13)


def test_leading_shapes_are_batches():
    a, b = lines(6, 4, seed=6)
    a, b = torch.from_numpy(a).reshape(2, 3, 4), torch.from_numpy(b).reshape(2, 3, 4)
    torch.testing.assert_close(expected_gain(a, b)[1, 2], expected_gain(a[1, 2], b[1, 2]))


def test_second_derivatives_are_refused_and_never_wrong():
    a, b = (torch.from_numpy(x).requires_grad_() for x in lines(1, 3))
    with pytest.raises(RuntimeError, match="Second derivatives"):
        torch.autograd.grad(log_expected_gain(a, b).sum(), a, create_graph=True)


@pytest.mark.parametrize("slope", [1e-186, 1e-300, 5e-324])
def test_a_line_that_hardly_rises_is_no_overflow(slope):
    a = torch.tensor([[4e5, 0.0], [0.0, 4e5]], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([[0.0, slope], [0.0, slope]], dtype=torch.float64, requires_grad=True)
    value = log_expected_gain(a, b)
    assert value.tolist() == [-math.inf, -math.inf]
    assert all(bool((g == 0.0).all()) for g in torch.autograd.grad(value.sum(), (a, b)))
