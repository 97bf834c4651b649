"""Cheap models of limit states: warp, trend, the process without each fold by brute force."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uq.reliability.cheap_limit_states import CheapLimitStates, CheapModels
from uq.reliability.events import Events
from uq.surrogates.fixed_limit_states import given_limit_state, polynomial_limit_state
from uq.surrogates.limit_state_process import LEARNING, LimitStateProcess
from uq.surrogates.limit_state_trend import Warp, fit_trend, pieces

WARP = Warp(0.0, 0.0, 1.0)


def normals(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def wavy(z):
    """No polynomial: a curved limit state that is 0 about 2 to 3 away from the origin."""
    return 2.5 - z[:, 0] - 0.3 * np.square(z[:, 1]) + 0.4 * np.sin(2.0 * z[:, 1])


def process_of(g=wavy, n=60, d=2, warp=WARP, seed=0):
    z = 1.5 * normals(n, d, seed)
    return LimitStateProcess(z, g(z), warp, np.random.default_rng(seed))


def with_folds(n_learning=40, n_folds=4, size=15, d=2, seed=1):
    z = 1.5 * normals(n_learning + n_folds * size, d, seed)
    labels = np.r_[np.full(n_learning, LEARNING), np.repeat(np.arange(n_folds), size)]
    return z, labels


def matern(process, z, other):
    """a k(z, z') by differences, Rasmussen & Williams (2006), Eq. (4.17)."""
    off = (z[:, None, :] - other) / process._lengthscale
    r = np.sqrt(5.0 * np.square(off).sum(axis=2))
    return process._signal * (1.0 + r + r**2 / 3.0) * np.exp(-r)


def conditioned(process, z, g, at):
    """h(at) of Eq. (1): a process conditioned on (z, g) by solving its equations."""
    y = (process.targets(z, g) - process._mean) / process._sd
    K = matern(process, z, z) + process._noise * np.eye(len(z))
    mean = matern(process, at, z) @ np.linalg.solve(K, y)
    return process.warp(process.trend(at)) + process._mean + process._sd * mean


# --- warp -----------------------------------------------------------------------------------------


@given(
    st.floats(-50.0, 50.0, allow_subnormal=False),  # 5e-324 away is no distance to the warp
    st.floats(0.0, 20.0, allow_subnormal=False),
    st.floats(0.01, 30.0),
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=2, max_size=20),
)
def test_the_warp_increases_and_is_the_identity_near_the_thresholds(low, range_, scale, values):
    warp = Warp(low, low + range_, scale)
    g = np.unique(values)
    w = warp(g)
    assert (np.diff(w) >= 0.0).all()
    inside = np.linspace(low - 0.999 * scale, low + range_ + 0.999 * scale, 23)
    np.testing.assert_allclose(warp(inside), inside, rtol=1e-12, atol=1e-9)
    for t in (low, low + range_):
        assert warp(np.array([t]))[0] == t
        np.testing.assert_array_equal(w < t, g < t)


def test_the_warp_far_away_is_a_logarithm():
    warp = Warp(-1.0, 2.0, 0.5)
    g = np.array([2.0 + 0.5 * np.e**3, -1.0 - 0.5 * np.e**5])
    np.testing.assert_allclose(warp(g), [2.0 + 0.5 * 4.0, -1.0 - 0.5 * 6.0], rtol=1e-12)
    np.testing.assert_allclose(warp.distance(g), [np.e**3, np.e**5], rtol=1e-12)
    assert warp.distance(np.array([-1.0, 0.0, 2.0])).tolist() == [0.0, 0.0, 0.0]


def test_the_warp_increases_strictly_by_one_slope_where_it_bends():
    warp = Warp(0.0, 0.0, 1.0)
    g = np.array([1.0 - 1e-6, 1.0 + 1e-6])
    np.testing.assert_allclose(warp(g), g, atol=1e-11)


# --- trend ----------------------------------------------------------------------------------------

POLYNOMIALS = {
    "constant": (lambda z: 0.0 * z[:, 0] + 2.0, 1),
    "linear": (lambda z: 3.0 - z[:, 0] + 0.5 * z[:, 2], 4),
    "squares": (lambda z: 3.0 - z[:, 0] - 0.2 * np.square(z[:, 1]), 7),
    "products": (lambda z: 3.0 - z[:, 0] * z[:, 1] + z[:, 2], 10),
    "cubes": (lambda z: 3.0 - z[:, 0] + 0.1 * z[:, 2] ** 3, 13),
}


def n_terms_of(trend):
    """Columns that it has, counted by the largest family of them."""
    d = len(trend.linear)
    n_pairs = d * (d - 1) // 2
    if trend.cubes is not None:
        return 3 * d + 1 + n_pairs
    if trend.products is None:
        return 1 + d * bool(trend.linear.any())
    has_pairs = (trend.products != np.diag(np.diag(trend.products))).any()
    return 2 * d + 1 + n_pairs * bool(has_pairs)


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials_are_met_with_the_terms_they_need(name):
    g, n_terms = POLYNOMIALS[name]
    z = normals(80, 3)
    trend = fit_trend(z, g(z), WARP)
    assert n_terms_of(trend) == n_terms
    fresh = 3.0 * normals(200, 3, 1)
    np.testing.assert_allclose(trend(fresh), g(fresh), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_noise_needs_no_terms(seed):
    """13 terms leave two thirds of the square of 40 random values, but not of others."""
    z = normals(40, 3, seed)
    g = 2.0 + np.random.default_rng(100 + seed).normal(size=40)
    assert n_terms_of(fit_trend(z, g, Warp(0.0, 0.0, 10.0))) == 1


def test_terms_are_at_most_a_share_of_the_runs():
    """12 runs of 10 columns pay for a constant alone, 20 for a linear trend."""
    g = POLYNOMIALS["linear"][0]
    for n, most in ((12, 1), (20, 11), (50, 21)):
        z = normals(n, 10)
        assert n_terms_of(fit_trend(z, g(z), WARP)) <= most
    assert n_terms_of(fit_trend(normals(20, 10), g(normals(20, 10)), WARP)) == 11


def test_what_is_far_from_failing_hardly_matters():
    """A plateau of another size at a thousand scales leaves the slope at the threshold alone."""
    z = normals(400, 1)
    g = np.where(z[:, 0] < -1.5, 1000.0, 2.0 - z[:, 0])
    trend = fit_trend(z, g, Warp(0.0, 0.0, 0.5))
    near = np.array([[1.8], [2.0], [2.2]])
    np.testing.assert_allclose(trend(near), [0.2, 0.0, -0.2], atol=0.3)


def test_many_rows_are_evaluated_in_pieces():
    assert [len(range(*p.indices(5000))) for p in pieces(5000)] == [2048, 2048, 904]
    z = normals(60, 3)
    trend = fit_trend(z, POLYNOMIALS["cubes"][0](z), WARP)
    many = normals(5000, 3, 3)
    one_by_one = np.concatenate([trend(many[k : k + 1000]) for k in range(0, 5000, 1000)])
    np.testing.assert_allclose(trend(many), one_by_one, rtol=1e-12)


# --- process --------------------------------------------------------------------------------------


def test_all_fits_without_a_fold_equal_brute_force():
    """Eq. (2) beside a process conditioned on the other runs, hyperparameters unchanged."""
    process = process_of()
    z, labels = with_folds()
    g, at = wavy(z), 1.5 * normals(200, 2, 5)
    h = process.without_folds(z, g, labels)(at)
    assert h.shape == (200, 4)
    for r in range(4):
        rest = labels != r
        expected = conditioned(process, z[rest], g[rest], at)
        np.testing.assert_allclose(h[:, r], expected, rtol=1e-5, atol=1e-6)
    # The folds do differ: the test can tell.
    assert np.abs(h[:, 0] - h[:, 1]).max() > 1e-3


def test_the_error_is_that_of_fits_with_one_point_left_out():
    """Root mean square over the 40 nearest to the threshold, by as many refits."""
    process = process_of()
    z, labels = with_folds(20, 3, 10)
    g = wavy(z)
    error = process.without_folds(z, g, labels).error
    for r in range(3):
        rest = np.flatnonzero(labels != r)
        missed = []
        for i in rest:
            others = rest[rest != i]
            missed.append(process.warp(g[[i]]) - conditioned(process, z[others], g[others], z[[i]]))
        near = np.argsort(np.abs(g[rest]), kind="stable")[:40]
        expected = np.sqrt(np.mean(np.square(np.array(missed)[near])))
        assert error[r] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("most_points", [1500, 50])
def test_values_of_a_fold_have_no_influence_on_its_fit(most_points):
    """Neither on the fit, nor on its error, nor on the points that are kept for it."""
    z, labels = with_folds()
    g = wavy(z)
    changed = np.where(labels == 2, 5.0 * np.random.default_rng(3).normal(size=len(z)), g)
    at = 1.5 * normals(100, 2, 5)
    one, other = (
        process_of().without_folds(z, values, labels, most_points) for values in (g, changed)
    )
    np.testing.assert_allclose(one(at)[:, 2], other(at)[:, 2], rtol=1e-8, atol=1e-8)
    assert one.error[2] == pytest.approx(other.error[2], rel=1e-6)
    assert np.abs(one(at)[:, 1] - other(at)[:, 1]).max() > 1e-2


def test_points_of_a_fold_have_no_influence_on_its_fit():
    z, labels = with_folds()
    g = wavy(z)
    moved = np.where((labels == 1)[:, None], z + 0.7, z)
    at = 1.5 * normals(100, 2, 5)
    one, other = (process_of().without_folds(points, g, labels)(at) for points in (z, moved))
    np.testing.assert_allclose(one[:, 1], other[:, 1], rtol=1e-6, atol=1e-6)


def test_without_folds_there_is_one_fit_to_all():
    process = process_of()
    z, _ = with_folds()
    fit = process.without_folds(z, wavy(z), np.full(len(z), LEARNING))
    assert fit.error.shape == (1,) and fit(z).shape == (len(z), 1)
    np.testing.assert_allclose(fit(z)[:, 0], WARP(wavy(z)), atol=5e-3)


def test_of_many_points_those_near_the_threshold_are_kept():
    process = process_of()
    z, labels = with_folds(100, 4, 50)
    g = wavy(z)
    fit = process.without_folds(z, g, labels, 80)
    assert 76 <= len(fit.points) <= 80
    kept = (z[:, None, :] == fit.points).all(axis=2).any(axis=1)
    # Three quarters of each group of runs are the nearest.
    for label in range(-1, 4):
        own = np.flatnonzero(labels == label)
        nearest = own[np.argsort(np.abs(g[own]))[: int(0.7 * 80 * len(own) / 300)]]
        assert kept[nearest].all()
    assert fit(z).shape == (300, 4) and np.isfinite(fit.error).all()


@pytest.mark.parametrize("name", ["linear", "squares", "products"])
def test_polynomials_are_exact(name):
    g = POLYNOMIALS[name][0]
    process = process_of(g, d=3)
    assert process.is_exact
    z, labels = with_folds(d=3)
    fit = process.without_folds(z, g(z), labels)
    fresh = 3.0 * normals(100, 3, 6)
    assert fit(fresh).shape == (100, 1)
    np.testing.assert_array_equal(fit(fresh)[:, 0] < 0.0, g(fresh) < 0.0)
    assert fit.error.tolist() == [0.0] and fit.weights is None


def test_what_is_nearly_a_polynomial_is_not_exact():
    def g(z):
        return 3.0 - z[:, 0] + 1e-4 * np.sin(3.0 * z[:, 1])

    assert not process_of(g).is_exact


def test_a_smooth_limit_state_is_learnt():
    """Signs of fresh points, and an error that is of the size of the true one."""
    z = 1.5 * normals(200, 2, 7)
    process = LimitStateProcess(z, wavy(z), WARP, np.random.default_rng(0))
    fit = process.without_folds(z, wavy(z), np.full(200, LEARNING))
    fresh = 1.5 * normals(4000, 2, 8)
    g = wavy(fresh)
    wrong = (fit(fresh)[:, 0] < 0.0) != (g < 0.0)
    assert wrong.mean() < 0.004 and (g < 0.0).mean() > 0.03
    near = np.abs(g) < 0.5
    true = np.sqrt(np.square(fit(fresh)[near, 0] - g[near]).mean())
    assert true / 5.0 < fit.error[0] < 5.0 * true


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_the_unit_of_the_limit_state_does_not_matter(factor):
    z, labels = with_folds()
    at = 1.5 * normals(500, 2, 9)
    plain = process_of().without_folds(z, wavy(z), labels)
    scaled = process_of(lambda z: factor * wavy(z), warp=Warp(0.0, 0.0, factor))
    scaled = scaled.without_folds(z, factor * wavy(z), labels)
    np.testing.assert_allclose(scaled(at) / factor, plain(at), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(scaled(at) < 0.0, plain(at) < 0.0)
    np.testing.assert_allclose(scaled.error / factor, plain.error, rtol=1e-3)


def test_a_jump_is_no_number_that_breaks_it():
    """-1 and 1: finite values, of the right sign away from the jump, and an error that owns up."""

    def g(z):
        return np.where(z[:, 0] + 0.5 * z[:, 1] > 1.0, -1.0, 1.0)

    z, labels = with_folds(100, 4, 25)
    process = process_of(g, n=100)
    fit = process.without_folds(z, g(z), labels)
    at = 1.5 * normals(1000, 2, 10)
    far = np.abs(at[:, 0] + 0.5 * at[:, 1] - 1.0) > 1.0
    h = fit(at)
    assert np.isfinite(h).all()
    assert ((h[far] < 0.0) == (g(at)[far] < 0.0)[:, None]).mean() > 0.97
    assert (fit.error > 0.1).all()


@pytest.mark.parametrize("value", [3.0, -3.0])
def test_a_limit_state_that_does_not_vary(value):
    process = process_of(lambda z: np.full(len(z), value))
    assert process.is_exact
    z, labels = with_folds()
    h = process.without_folds(z, np.full(len(z), value), labels)(z)
    np.testing.assert_array_equal(h < 0.0, value < 0.0)


def test_points_that_repeat_are_no_singular_matrix():
    z = np.repeat(1.5 * normals(30, 2, 11), 2, axis=0)
    process = LimitStateProcess(z, wavy(z), WARP, np.random.default_rng(0))
    fit = process.without_folds(z, wavy(z), np.repeat(np.arange(3), 20))
    assert np.isfinite(fit(z)).all() and np.isfinite(fit.error).all()


def test_residuals_come_in_pieces():
    process = process_of()
    z, labels = with_folds()
    fit = process.without_folds(z, wavy(z), labels)
    at = normals(4100, 2, 12)
    parts = np.concatenate([fit(at[k : k + 500]) for k in range(0, 4100, 500)])
    np.testing.assert_allclose(fit(at), parts, rtol=1e-9, atol=1e-9)
    assert fit.cost == 16 + 100  # eight numbers a column of the trend, and one a point


# --- without folds --------------------------------------------------------------------------------


def test_a_polynomial_alone():
    g = POLYNOMIALS["squares"][0]
    z = normals(80, 3)
    fit = polynomial_limit_state(z, g(z), WARP)
    fresh = 3.0 * normals(50, 3, 1)
    np.testing.assert_allclose(fit(fresh)[:, 0], WARP(g(fresh)), rtol=1e-8, atol=1e-8)
    assert fit.error.shape == (1,) and fit.error[0] < 1e-9 and fit.cost == 8 * 3


def test_the_error_of_a_given_limit_state_is_that_near_the_threshold():
    """Off by a quarter where |g| < 1 and by much more elsewhere, which does not count."""
    z = normals(1000, 1)

    def g(at):
        return 3.0 * at[:, 0]

    def off(at):
        return np.where(np.abs(g(at)) < 1.0, g(at) + 0.25, -50.0)

    fit = given_limit_state(off, z, g(z), WARP)
    assert fit.error[0] == pytest.approx(0.25, rel=1e-6)
    np.testing.assert_array_equal(fit(z)[:, 0], off(z))
    assert fit.cost == 16


def test_limit_states_with_and_without_folds_stand_together():
    fixed = SimpleNamespace(error=np.array([0.5]), cost=3)
    folded = SimpleNamespace(error=np.array([0.1, 0.2, 0.3]), cost=4)

    class One(SimpleNamespace):
        def __call__(self, z):
            return z[:, :1] * np.arange(1, 1 + len(self.error))

    cheap = CheapLimitStates([One(**vars(fixed)), One(**vars(folded))])
    z = normals(5, 2)
    assert cheap.without_folds(z).shape == (5, 3, 2)
    np.testing.assert_array_equal(cheap.without_folds(z)[:, :, 0], z[:, [0, 0, 0]])
    np.testing.assert_array_equal(cheap.without_folds(z)[:, :, 1], z[:, :1] * [1, 2, 3])
    np.testing.assert_array_equal(cheap(z), z[:, [0, 0]])
    np.testing.assert_allclose(cheap.error, [0.5, 0.2])
    np.testing.assert_allclose(cheap.errors, [[0.5, 0.1], [0.5, 0.2], [0.5, 0.3]])
    assert cheap.cost == 7


def two(z):
    return np.stack([wavy(z), 3.0 - z[:, 1]], axis=1)


@pytest.mark.parametrize("kind", ["auto", "gaussian_process", "polynomial", two])
def test_models_of_every_kind(kind):
    """Two limit states, each by its own values: fitted to all, and without each fold."""
    models = CheapModels(kind, Events(2, np.array([-0.5, 0.5])), np.random.default_rng(0))
    z, labels = with_folds(60, 3, 20)
    g, scale = two(z), np.array([1.0, 2.0])
    fresh = normals(300, 2, 13)
    for cheap, width in (
        (models.fitted(z, g, scale, 700), 1),
        (
            models.cross_fitted((z[:60], g[:60]), (z[60:], g[60:], labels[60:]), scale),
            1 if kind in ("polynomial", two) else 3,
        ),
    ):
        values = cheap.without_folds(fresh)
        assert values.shape == (300, width, 2) and cheap.errors.shape == (width, 2)
        sure = np.abs(two(fresh)) > 0.6
        signs = (values < 0.0) == (two(fresh) < 0.0)[:, None]
        assert signs.all(axis=1)[sure].all()
        assert cheap.error[1] < 1e-8
