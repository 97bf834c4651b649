"""The exact failure probabilities, computed again by other ways than those that gave the digits."""

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from benchmarks.reliability_cases import CASES, NINE

Q = stats.norm.sf
phi = stats.norm.pdf

# Digits that were known before this repository, as far as they go.
KNOWN = {
    "four_branch": 2.22279506619443988721e-3,
    "linear_3.5_d2": 2.32629079035525e-4,
    "linear_5_d2": 2.866515718791940e-7,
    "linear_5_d100": 2.866515718791940e-7,
    "rp22": 4.20730551129961794e-3,
    "rp31": 3.22668120958769e-3,
    "rp33": 2.57559779080025e-3,
    "rp75": 9.81929872154689e-3,
    "rp111": 8.03508596496e-7,
    "r_minus_s": 7.864960352514e-2,
}


def over_normal(f, low=-12.0, high=12.0, points=()):
    """E[f(z); low < z < high] by adaptive quadrature."""
    edges = [low, *points, high]
    parts = [
        integrate.quad(lambda z: phi(z) * f(z), a, b, epsabs=0.0, epsrel=1e-12)[0]
        for a, b in zip(edges, edges[1:], strict=False)
    ]
    return sum(parts)


def one_minus_the_safe_strip():
    """Four branches on the rotated axes: safe are |v| < 3.5 and |u| < 3 + v^2 / 5."""
    inside, _ = integrate.dblquad(
        lambda u, v: phi(u) * phi(v),
        0.0, 3.5, 0.0, lambda v: 3.0 + 0.2 * v**2,
        epsabs=1e-13, epsrel=1e-13,
    )  # fmt: skip
    return 1.0 - 4.0 * inside


def chi_square_mixture():
    """RP63 over the sum of squares, which has the chi-square law of 99 degrees."""
    law = stats.chi2(99)
    edges = [1e-6, 30.0, 50.0, 70.0, 90.0, 120.0, 200.0, 400.0]
    return sum(
        integrate.quad(lambda c: law.pdf(c) * Q(0.1 * c - 4.5), a, b, epsabs=0.0, epsrel=1e-12)[0]
        for a, b in zip(edges, edges[1:], strict=False)
    )


def product_tail(a):
    """P(z1 z2 > a), given z1; the density K0(|y|) / pi of the product gave the digits."""
    return 2.0 * over_normal(lambda z: Q(a / z), 1e-300, 30.0, (0.5, 1.0, 2.0, 4.0, 8.0))


def two_planes():
    """RP33: inclusion and exclusion; z3 and the sum over sqrt 3 have the correlation 1/sqrt 3."""
    rho = 1.0 / math.sqrt(3.0)
    both = over_normal(lambda z: Q((3.0 - rho * z) / math.sqrt(1.0 - rho**2)), 3.0, 12.0)
    return 2.0 * Q(3.0) - both


def linear_form(name, slopes, offset):
    """P(offset + slopes . y < 0) of the correlated normal scores of a case."""
    covariance = CASES[name].inputs.correlation
    return special.ndtr(-offset / math.sqrt(slopes @ covariance @ slopes))


AGAIN = {
    "four_branch": one_minus_the_safe_strip,
    "linear_3.5_d2": lambda: special.erfc(3.5 / math.sqrt(2.0)) / 2.0,
    "linear_5_d2": lambda: special.erfc(5.0 / math.sqrt(2.0)) / 2.0,
    "linear_5_d100": lambda: special.erfc(5.0 / math.sqrt(2.0)) / 2.0,
    "rp22": lambda: 2.0 * over_normal(lambda v: Q(2.5 + 0.2 * v**2), 0.0),
    "rp31": lambda: 2.0 * over_normal(lambda z: Q(2.0 + 256.0 * z**4), 0.0, 1.0, (0.1, 0.2, 0.3)),
    "rp33": two_planes,
    "rp54": lambda: stats.gamma(20).cdf(8.951),
    "rp63": chi_square_mixture,
    "rp75": lambda: product_tail(3.0),
    "rp111": lambda: 2.0 * product_tail(12.5),
    "r_minus_s": lambda: linear_form("r_minus_s", np.array([1.0, -1.0]), 2.0),
    "r_minus_s_correlated": lambda: linear_form(
        "r_minus_s_correlated", np.array([20.0, -15.0]), 80.0
    ),
    "lognormal_product": lambda: linear_form(
        "lognormal_product", np.array([0.2, 0.3, 0.5]), math.log(10.0)
    ),
}
# One less the safe probability leaves 1e-16 of 2e-3; quadratures are asked for 1e-12.
TOLERANCE = 3e-11


@pytest.mark.parametrize("name", CASES)
def test_exact_value_computed_again(name):
    assert CASES[name].exact == pytest.approx(AGAIN[name](), rel=TOLERANCE)


@pytest.mark.parametrize("name", KNOWN)
def test_exact_value_has_the_known_digits(name):
    assert CASES[name].exact == pytest.approx(KNOWN[name], rel=2e-12)


def test_correlations_matter():
    """Independent inputs would give other answers, far outside the tolerance."""
    assert CASES["r_minus_s_correlated"].exact < 0.1 * Q(80.0 / math.hypot(20.0, 15.0))
    independent = Q(math.log(10.0) / math.sqrt(0.2**2 + 0.3**2 + 0.5**2))
    assert CASES["lognormal_product"].exact > 1.3 * independent


def widened(name, rng, n):
    """Failure indicators times weights of n draws that fail often: exact means, by case.

    The score that decides is moved or widened, and the ratio of densities makes up for it.
    """
    case = CASES[name]
    d = case.dimension
    if name in SHIFTS:
        shift = SHIFTS[name](d)
        z = rng.standard_normal((n, d)) + shift
        log_weight = 0.5 * shift @ shift - z @ shift
    else:
        sd = 2.0
        z = sd * rng.standard_normal((n, d))
        log_weight = d * math.log(sd) - 0.5 * (1.0 - sd**-2) * np.square(z).sum(axis=1)
    return np.exp(log_weight) * (case.limit_state(case.inputs.from_normal(z)) < 0.0)


SHIFTS = {
    "linear_3.5_d2": lambda d: np.full(d, 3.5 / math.sqrt(d)),
    "linear_5_d2": lambda d: np.full(d, 5.0 / math.sqrt(d)),
    "linear_5_d100": lambda d: np.full(d, 5.0 / math.sqrt(d)),
    "rp54": lambda d: np.full(d, -2.9 / math.sqrt(d)),
    "rp63": lambda d: np.concatenate([[2.5], np.zeros(d - 1)]),
    "r_minus_s": lambda d: np.array([-1.0, 1.0]),
    "r_minus_s_correlated": lambda d: np.array([-2.8, 3.0]),
    "lognormal_product": lambda d: np.array([-2.0, -1.5, -2.5]),
}


@pytest.mark.parametrize("name", CASES)
def test_limit_state_and_inputs_fail_as_often_as_said(name):
    """By importance sampling: an error in the limit state or in the laws shows here."""
    rng = np.random.default_rng(5)
    terms = widened(name, rng, 20_000 if CASES[name].dimension == 100 else 200_000)
    error = terms.std() / math.sqrt(len(terms))
    assert error < (0.15 if name == "rp63" else 0.05) * CASES[name].exact
    assert abs(terms.mean() - CASES[name].exact) < 4.0 * error


# As published, one point at a time.
FORMULAS = {
    "four_branch": lambda a, b: min(
        3 + 0.1 * (a - b) ** 2 - (a + b) / 2**0.5, 3 + 0.1 * (a - b) ** 2 + (a + b) / 2**0.5,
        a - b + 7 / 2**0.5, b - a + 7 / 2**0.5,
    ),
    "linear_3.5_d2": lambda a, b: 3.5 * 2**0.5 - (a + b),
    "linear_5_d2": lambda a, b: 5 * 2**0.5 - (a + b),
    "linear_5_d100": lambda *x: 50 - math.fsum(x),
    "rp22": lambda a, b: 2.5 - (a + b) / 2**0.5 + 0.1 * (a - b) ** 2,
    "rp31": lambda a, b: 2 - b + (4 * a) ** 4,
    "rp33": lambda a, b, c: min(-a - b - c + 27**0.5, 3 - c),
    "rp54": lambda *x: math.fsum(x) - 8.951,
    "rp63": lambda a, *x: 0.1 * math.fsum(c * c for c in x) - a - 4.5,
    "rp75": lambda a, b: 3 - a * b,
    "rp111": lambda a, b: 12.5 - abs(a * b),
    "r_minus_s": lambda r, s: r - s,
    "r_minus_s_correlated": lambda r, s: r - s,
    "lognormal_product": lambda a, b, c: a * b * c - 0.1,
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_limit_state_is_the_published_one(name):
    x = CASES[name].inputs.sample(50, 3)
    expected = [FORMULAS[name](*row) for row in x.tolist()]
    np.testing.assert_allclose(CASES[name].limit_state(x), expected, rtol=1e-11, atol=1e-12)


def test_cases_are_what_they_are_called():
    assert all(case.name == name for name, case in CASES.items())
    assert len(NINE) == 9 and set(NINE) <= set(CASES)
    assert [CASES[name].dimension for name in ("linear_5_d100", "rp63", "rp54", "rp33")] == [
        100, 100, 20, 3,
    ]  # fmt: skip
    assert not CASES["r_minus_s_correlated"].inputs.is_independent
    assert not CASES["lognormal_product"].inputs.is_independent
