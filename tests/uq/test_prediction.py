"""Foretold variances: closed forms for Gaussians, brute force, and points held out."""

import math

import numpy as np
import pytest

from uq.prediction import LearningPoints, predicted_variance
from uq.proposals import Gaussian, TooFewWeighted

ONE = np.ones(1)


def normal(mean=0.0, sd=1.0):
    return Gaussian(np.atleast_1d(mean), np.atleast_2d(sd**2))


def learnt(values, laws, h, n, seed=0):
    """Points of h with the values and the laws there."""
    z = h.sample(n, np.random.default_rng(seed))
    log_f = np.stack([law.log_density(z) for law in laws], axis=1)
    return LearningPoints(z, values(z), log_f, h.log_density(z))


def always(density):
    return lambda points: density


def second_moment(a, f, g):
    """int exp(a z) f_1 f_2 / g of normal densities, given as pairs (mean, sd)."""
    (m1, s1), (m2, s2), (m, s) = *f, g
    A = s1**-2 + s2**-2 - s**-2
    B = a + m1 / s1**2 + m2 / s2**2 - m / s**2
    C = -0.5 * ((m1 / s1) ** 2 + (m2 / s2) ** 2 - (m / s) ** 2)
    assert A > 0.0
    return s / (s1 * s2) * math.exp(B**2 / (2 * A) + C) / math.sqrt(A)


def mean(a, f):
    """E[exp(a Z)]."""
    return math.exp(a * f[0] + 0.5 * (a * f[1]) ** 2)


@pytest.mark.parametrize("g", [(0.0, 1.0), (0.7, 1.0), (0.5, 1.4), (-0.2, 0.9)])
def test_independent_draws_have_the_exact_variance(g):
    """phi = exp(a z) under N(0, 1), points of N(0, 1.5^2); 4 standard errors."""
    a, w = np.array([0.5, 1.0, -0.3]), np.array([2.0, 0.5, 3.0])
    points = learnt(lambda z: np.exp(a * z), [normal()], normal(0.0, 1.5), 40_000)
    foretold = predicted_variance(points, w, always(normal(*g)), False)
    f = (0.0, 1.0)
    exact = [second_moment(2 * k, (f, f), g) - mean(k, f) ** 2 for k in a]
    r = np.exp(normal(*g).log_density(points.z) - points.log_h)
    each = r * (np.square(points.T / r[:, None] - [mean(k, f) for k in a]) @ w)
    assert abs(foretold - w @ exact) < 4 * each.std() / math.sqrt(len(each))
    assert foretold == pytest.approx(w @ exact, rel=0.05)


def test_own_control_variate_of_several_laws_is_counted():
    """Where W varies from law to law: E_g[((phi - I_j) f_j / g)^2], if that is the smaller one."""
    laws, g, c = [(0.0, 1.0), (0.5, 1.1)], (0.2, 1.3), 5.0
    points = learnt(
        lambda z: c + np.exp(0.5 * z), [normal(*f) for f in laws], normal(0.0, 1.5), 40_000
    )
    exact = 0.0
    for f in laws:
        centre = mean(0.5, f)  # of phi less its constant
        exact += second_moment(1.0, (f, f), g) - 2 * centre * second_moment(0.5, (f, f), g)
        exact += centre**2 * second_moment(0.0, (f, f), g)
    foretold = predicted_variance(points, np.ones(2), always(normal(*g)), False)
    assert foretold == pytest.approx(exact, rel=0.05)
    constant = LearningPoints(points.z, np.full((40_000, 1), c), points.log_f, points.log_h)
    assert predicted_variance(constant, np.ones(2), always(normal(*g)), False) < 1e-20
    # Where W makes the spread larger, it is not used.
    ratio = LearningPoints(points.z, 1.0 / points.W, points.log_f, points.log_h)
    plain = predicted_variance(ratio, np.ones(2), always(normal(0.0, 1.5)), False)
    assert plain < 1e-20


def test_one_law_has_no_such_control_variate():
    points = learnt(lambda z: np.full_like(z, 5.0), [normal()], normal(0.0, 1.5), 40_000)
    g = (0.2, 1.3)
    exact = 25.0 * (second_moment(0.0, ((0.0, 1.0), (0.0, 1.0)), g) - 1.0)
    foretold = predicted_variance(points, ONE, always(normal(*g)), False)
    assert foretold == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("h", [normal(), normal(0.0, 1.3)])
def test_nets_leave_what_a_quadratic_does_not_explain(h):
    """z^3 = (z^3 - 3 z) + 3 z under N(0, 1): the first part has the variance 6."""
    points = learnt(lambda z: np.concatenate([1 - z + z**2, z**3], 1), [normal()], h, 60_000)
    foretold = [predicted_variance(points, w, always(normal()), True) for w in np.eye(2)]
    assert foretold[0] < 1e-20
    # The residual squared has a standard deviation of about 40 under N(0, 1).
    assert foretold[1] == pytest.approx(6.0, abs=4 * 60 / math.sqrt(60_000))
    independent = predicted_variance(points, np.array([1.0, 0.0]), always(normal()), False)
    assert independent == pytest.approx(3.0, rel=0.1)  # Var[z^2 - z]


@pytest.mark.parametrize(
    ("n", "explained"), [(24, [1, 1, 1]), (23, [1, 1, 0]), (12, [1, 1, 0]), (11, [1, 0, 0])]
)
def test_quadratics_and_planes_only_where_points_are_enough(n, explained):
    """In two dimensions: 6 terms take 24 points, 3 terms take 12."""
    h = Gaussian(np.zeros(2), np.eye(2))
    points = learnt(
        lambda z: np.stack([np.ones(len(z)), z[:, 1], z[:, 0] * z[:, 1]], axis=1), [h], h, n
    )
    left = [predicted_variance(points, w, always(h), True) for w in np.eye(3)]
    assert [one < 1e-20 for one in left] == [bool(one) for one in explained]


@pytest.mark.parametrize("n_laws", [1, 2])
@pytest.mark.parametrize("nets", [False, True])
def test_brute_force(nets, n_laws):
    """Point by point, with normal equations, a density fitted anew for each part."""
    laws = [normal(0.0, 1.0), normal(0.4, 0.9)][:n_laws]
    points = learnt(
        lambda z: np.concatenate([np.sin(z), 2.0 + z**3], axis=1), laws, normal(0.1, 1.4), 42, 3
    )
    w = np.array([0.3, 2.0])

    def fit(rest):
        return normal(rest.z.mean(), 1.2)

    n, T, W = 42, points.T, points.W
    powers = 3 if nets else 1
    total = np.zeros(2)
    for part in range(4):
        rest = [i for i in range(n) if i % 4 != part]
        g = normal(points.z[rest].mean(), 1.2)
        r = np.exp(g.log_density(points.z) - points.log_h)
        P = points.z ** np.arange(powers)
        for j in range(2):
            law = min(j, n_laws - 1)
            slope = sum(T[i, j] for i in rest) / sum(W[i, law] for i in rest)
            tried = []
            for b in (0.0, slope)[:n_laws]:
                left = T[:, j] - b * W[:, law]
                gram = sum(r[i] * np.outer(P[i], P[i]) for i in rest)
                c = np.linalg.solve(gram, sum(P[i] * left[i] for i in rest))
                tried.append(
                    sum(r[i] * (left[i] / r[i] - P[i] @ c) ** 2 for i in range(part, n, 4))
                )
            total[j] += min(tried)
    expected = w @ total / n
    assert predicted_variance(points, w, fit, nets) == pytest.approx(expected, rel=1e-9)


def test_no_point_is_judged_by_a_density_fitted_on_it():
    points = learnt(np.sin, [normal()], normal(), 41)
    seen = []

    def fit(rest):
        seen.append(set(rest.z[:, 0]))
        assert len(rest.Y) == len(rest.log_f) == len(rest.log_h) == len(rest.z)
        return normal()

    predicted_variance(points, ONE, fit, False)
    everything = set(points.z[:, 0])
    left_out = [everything - rest for rest in seen]
    assert sorted(len(one) for one in left_out) == [10, 10, 10, 11]
    assert set.union(*left_out) == everything


def test_linear_in_the_weights_and_quadratic_in_the_values():
    points = learnt(np.exp, [normal()], normal(0.0, 1.5), 400)
    scaled = LearningPoints(points.z, 4.0 * points.Y, points.log_f, points.log_h)
    for nets in (False, True):
        one = predicted_variance(points, ONE, always(normal(1.0)), nets)
        assert predicted_variance(points, 3.0 * ONE, always(normal(1.0)), nets) == pytest.approx(
            3.0 * one
        )
        assert predicted_variance(scaled, ONE, always(normal(1.0)), nets) == pytest.approx(16 * one)


def test_a_density_far_from_some_points_is_judged_badly_and_warns_of_nothing():
    """g / h underflows at the points, (T/r)^2 overflows: the variance may be infinite."""
    points = learnt(lambda z: np.concatenate([np.exp(z), 0.0 * z], 1), [normal()], normal(), 400)
    near = predicted_variance(points, np.ones(2), always(normal(1.0)), False)
    for w in np.ones(2), np.array([1.0, 0.0]):
        assert predicted_variance(points, w, always(normal(1.0, 0.02)), False) > 1e100 * near
    # A quantity without a weight is not asked about.
    assert predicted_variance(points, np.eye(2)[1], always(normal(1.0, 0.02)), False) == 0.0


def test_a_fit_that_is_refused_is_passed_on():
    def refused(rest):
        raise TooFewWeighted(np.array([0]), np.array([1.0]))

    points = learnt(np.exp, [normal()], normal(), 40)
    with pytest.raises(TooFewWeighted):
        predicted_variance(points, ONE, refused, False)


def test_rows_and_weighted_values_by_hand():
    points = LearningPoints(
        np.array([[0.0], [1.0]]),
        np.array([[2.0], [3.0]]),
        np.log([[1.0, 4.0], [3.0, 2.0]]),
        np.log([2.0, 0.5]),
    )
    np.testing.assert_allclose(points.W, [[0.5, 2.0], [6.0, 4.0]])
    np.testing.assert_allclose(points.T, [[1.0, 4.0], [18.0, 12.0]])
    kept = points.rows(np.array([False, True]))
    np.testing.assert_allclose(kept.T, [[18.0, 12.0]])
    assert kept.z.shape == kept.Y.shape == (1, 1)
