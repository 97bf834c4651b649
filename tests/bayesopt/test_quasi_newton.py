"""Batched quasi-Newton: bound-constrained minima, steps too far, and starts beside each other."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear, minimize, rosen, rosen_der

from bayesopt.quasi_newton import minimize_from


def quadratic(d, seed, condition=100.0):
    """1/2 x' A x - b' x with eigenvalues from 1 to `condition`; the minimum is off the centre."""
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.normal(size=(d, d)))
    A = Q * np.geomspace(1.0, condition, d) @ Q.T
    b = A @ rng.uniform(-0.5, 1.5, d)

    def value_and_gradient(x):
        return 0.5 * np.einsum("bi,ij,bj->b", x, A, x) - x @ b, x @ A - b

    value_and_gradient.A, value_and_gradient.b = A, b
    return value_and_gradient


def exact_minimum(function, low, high):
    """Minimum of a `quadratic` in a box, as bounded least squares."""
    L = np.linalg.cholesky(function.A)
    found = lsq_linear(L.T, np.linalg.solve(L, function.b), (low, high), "bvls", tol=1e-15)
    return found.x, function(found.x[None])[0][0]


def rosenbrock(x):
    return rosen(x.T), rosen_der(x.T).T


def counted(function):
    """The same function, with the number of its calls and of the rows that came."""

    def value_and_gradient(x):
        value_and_gradient.calls += 1
        value_and_gradient.points.append(x.copy())
        return function(x)

    value_and_gradient.calls, value_and_gradient.points = 0, []
    return value_and_gradient


# -- minima ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 5, 12])
@pytest.mark.parametrize("seed", range(5))
def test_convex_quadratics_in_a_box(d, seed):
    """About half of the bounds are active. SciPy's L-BFGS-B may stop early, never below."""
    function, start = quadratic(d, seed), np.full((1, d), 0.5)
    expected_x, expected_f = exact_minimum(function, np.zeros(d), np.ones(d))
    x, f = minimize_from(function, start, value_tolerance=1e-14, max_calls=300)
    assert f[0] == pytest.approx(expected_f, abs=1e-9)
    np.testing.assert_allclose(x[0], expected_x, atol=1e-4)
    scipy = minimize(
        lambda x: tuple(part[0] for part in function(x[None])),
        start[0],
        jac=True,
        bounds=[(0.0, 1.0)] * d,
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1000},
    )
    assert f[0] < scipy.fun + 1e-9


def test_the_quadratics_meet_active_bounds():
    x, _ = minimize_from(quadratic(12, seed=0), np.full((1, 12), 0.5), max_calls=300)
    assert ((x == 0.0) | (x == 1.0)).sum() >= 3


@pytest.mark.parametrize(("d", "max_calls"), [(2, 100), (6, 200), (15, 400)])
def test_rosenbrock_from_many_starts(d, max_calls):
    starts = np.random.default_rng(d).uniform(-1.5, 1.5, (8, d))
    x, f = minimize_from(rosenbrock, starts, -2.0, 2.0, max_calls=max_calls, value_tolerance=1e-12)
    assert f.min() < 1e-8
    np.testing.assert_allclose(x[f.argmin()], np.ones(d), atol=1e-3)


def test_rosenbrock_with_its_minimum_cut_off():
    x, f = minimize_from(
        rosenbrock, np.array([[-1.0, 0.2]]), -1.5, np.array([0.5, 2.0]), max_calls=200
    )
    np.testing.assert_allclose(x, [[0.5, 0.25]], atol=1e-5)
    assert f[0] == pytest.approx(0.25, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_size_of_the_values_matters_little(scale):
    function = quadratic(4, seed=3)

    def scaled(x):
        value, gradient = function(x)
        return scale * value, scale * gradient

    start = np.full((1, 4), 0.5)
    tolerance = 1e-6 * min(scale, 1.0)
    x, _ = minimize_from(
        scaled, start, max_calls=200, value_tolerance=0.0, gradient_tolerance=tolerance
    )
    expected, _ = exact_minimum(function, np.zeros(4), np.ones(4))
    np.testing.assert_allclose(x[0], expected, atol=1e-4)


def test_a_maximum_between_two_minima_is_left():
    def double_well(x):
        return ((x**2 - 0.25) ** 2).sum(axis=1), 4 * x * (x**2 - 0.25)

    x, f = minimize_from(double_well, np.array([[1e-3], [-1e-3]]), -1.0, 1.0)
    np.testing.assert_allclose(x, [[0.5], [-0.5]], atol=1e-4)


# -- what is never done ----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["value", "gradient"])
def test_what_is_not_finite_is_a_step_too_far(bad, where):
    """The forbidden half begins right beside the minimum; the first step leaps into it."""

    def cliff(x):
        value, gradient = ((x - 0.58) ** 2).sum(axis=1), 2 * (x - 0.58)
        beyond = (x > 0.6).any(axis=1)
        if where == "value":
            value = np.where(beyond, bad, value)
        else:
            gradient = np.where(beyond[:, None], bad, gradient)
        return value, gradient

    starts = np.array([[0.1, 0.3], [0.55, 0.0]])
    x, f = minimize_from(cliff, starts, first_step=0.9)
    assert np.isfinite(f).all()
    np.testing.assert_allclose(x[f.argmin()], [0.58, 0.58], atol=1e-3)


def test_a_start_that_is_not_finite_hinders_no_other():
    def half(x):
        value = np.where(x[:, 0] < 0.5, np.nan, ((x - 0.7) ** 2).sum(axis=1))
        return value, 2 * (x - 0.7)

    x, f = minimize_from(half, np.array([[0.1, 0.1], [0.9, 0.9]]))
    np.testing.assert_array_equal(x[0], [0.1, 0.1])
    assert np.isnan(f[0])
    np.testing.assert_allclose(x[1], [0.7, 0.7], atol=1e-4)


@pytest.mark.parametrize("max_calls", [1, 2, 3, 7, 50])
def test_never_worse_than_the_start_and_never_outside(max_calls):
    def rough(x):
        wave = np.sin(40 * x)
        return (wave + (x - 0.3) ** 2).sum(axis=1), 40 * np.cos(40 * x) + 2 * (x - 0.3)

    starts = np.random.default_rng(0).uniform(-0.2, 1.2, (50, 3))
    function = counted(rough)
    x, f = minimize_from(function, starts, max_calls=max_calls)
    assert function.calls <= max_calls
    assert all(((0 <= points) & (points <= 1)).all() for points in function.points)
    assert (f <= rough(np.clip(starts, 0, 1))[0]).all()
    np.testing.assert_array_equal(f, rough(x)[0])


def test_a_wrong_gradient_ends_and_does_no_harm():
    def uphill(x):
        return (x**2).sum(axis=1), -2 * x

    start = np.array([[0.4, 0.6]])
    x, f = minimize_from(uphill, start, max_calls=200)
    np.testing.assert_array_equal(x, start)


def test_where_the_gradient_is_zero_the_start_comes_back():
    def flat(x):
        return np.full(len(x), 3.0), np.zeros_like(x)

    function, start = counted(flat), np.array([[0.2, 0.9], [0.5, 0.5]])
    x, f = minimize_from(function, start)
    np.testing.assert_array_equal(x, start)
    np.testing.assert_array_equal(f, [3.0, 3.0])
    assert function.calls == 1


def test_a_corner_that_the_gradient_points_out_of_is_kept():
    function = counted(lambda x: (x.sum(axis=1), np.ones_like(x)))
    x, _ = minimize_from(function, np.zeros((1, 3)))
    np.testing.assert_array_equal(x, np.zeros((1, 3)))
    assert function.calls == 1


# -- starts and bounds -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_a_batch_is_the_best_of_single_runs(seed):
    def waves(x):
        return (
            (np.cos(9 * x) + (x - 0.4) ** 2).sum(axis=1),
            -9 * np.sin(9 * x) + 2 * (x - 0.4),
        )

    starts = np.random.default_rng(seed).random((20, 2))
    _, together = minimize_from(waves, starts)
    alone = [minimize_from(waves, start[None])[1][0] for start in starts]
    assert together.min() == pytest.approx(min(alone), abs=1e-7)


def test_every_row_may_have_its_own_bounds():
    """The real search freezes integer columns: bounds without room between them."""
    function = quadratic(3, seed=1)
    starts = np.array([[0.2, 0.3, 0.4], [0.6, 0.7, 0.1], [0.5, 0.5, 0.5]])
    low, high = np.zeros((3, 3)), np.ones((3, 3))
    low[0, 1] = high[0, 1] = 0.3
    low[1, :] = high[1, :] = starts[1]
    high[2, 0] = 0.4
    x, f = minimize_from(function, starts, low, high, value_tolerance=1e-14)
    assert x[0, 1] == 0.3
    np.testing.assert_array_equal(x[1], starts[1])
    assert x[2, 0] <= 0.4
    for row in (0, 2):
        low[row], high[row] = np.minimum(low[row], high[row] - 1e-12), high[row]  # bvls needs room
        _, best = exact_minimum(function, low[row], high[row])
        assert f[row] >= best - 1e-9
        if f[row] == f.min():  # one that cannot become the best is left early
            assert f[row] == pytest.approx(best, abs=1e-8)


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_start_that_is_behind_but_on_its_way_is_not_left(seed):
    """A frozen column tells a start that is at its minimum from one that needs 30 steps to pass."""
    bowl = quadratic(12, seed, condition=1000.0)
    _, lowest = exact_minimum(bowl, np.zeros(12), np.ones(12))

    def function(x):
        (value, gradient), arrived = bowl(x[:, :12]), x[:, 12:] > 0.5
        gradient = np.concatenate((np.where(arrived, 0.0, gradient), np.zeros((len(x), 1))), axis=1)
        return np.where(arrived[:, 0], lowest + 1.0, value), gradient

    starts = np.full((2, 13), 0.5)
    low, high = np.zeros((2, 13)), np.ones((2, 13))
    starts[:, 12] = low[:, 12] = high[:, 12] = [1.0, 0.0]
    _, f = minimize_from(function, starts, low, high, max_calls=300)
    np.testing.assert_allclose(f, [lowest + 1.0, lowest], atol=1e-6)


def test_a_start_that_is_hopeless_is_left():
    function = counted(rosenbrock)
    starts = np.concatenate((np.ones((1, 6)) + 1e-3, np.full((5, 6), -1.9)))
    minimize_from(function, starts, -2.0, 2.0, max_calls=200)
    assert len(function.points[0]) == 6
    assert len(function.points[-1]) == 1


def test_the_first_step_is_no_longer_than_asked():
    function = counted(lambda x: (1e6 * ((x - 0.9) ** 2).sum(axis=1), 2e6 * (x - 0.9)))
    minimize_from(function, np.array([[0.1, 0.1]]), first_step=0.02, max_calls=2)
    first, second = function.points
    assert np.abs(second - first).max() == pytest.approx(0.02)


def test_scalar_bounds_bounds_by_column_and_by_row_agree():
    function, starts = quadratic(3, seed=2), np.random.default_rng(0).random((4, 3))
    expected = minimize_from(function, starts, 0.2, 0.8)
    for low, high in (
        (np.full(3, 0.2), np.full(3, 0.8)),
        (np.full((4, 3), 0.2), np.full((4, 3), 0.8)),
    ):
        for one, other in zip(minimize_from(function, starts, low, high), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_starts_that_mean_different_functions_all_end_at_their_minimum():
    """What a row minimises is told by a variable that stays: here how deep its valley lies."""
    depth = np.array([0.0, 50.0, 100.0])

    def valleys(x):
        gap = x[:, :2] - 0.3
        slope = np.concatenate((200.0 * gap * np.abs(gap), np.zeros((len(x), 1))), axis=1)
        return 200.0 / 3.0 * (np.abs(gap) ** 3).sum(1) - x[:, 2], slope

    start = np.column_stack((np.full((3, 2), 0.9), depth))
    bounds = np.array([0.0, 0.0, np.nan]), np.array([1.0, 1.0, np.nan])
    low, high = (np.where(np.isnan(end), start, end) for end in bounds)
    every, _ = minimize_from(valleys, start, low, high, only_best=False)
    np.testing.assert_allclose(every[:, :2], 0.3, atol=5e-3)
    np.testing.assert_array_equal(every[:, 2], depth)
    best, _ = minimize_from(valleys, start, low, high)
    np.testing.assert_allclose(best[2, :2], 0.3, atol=5e-3)
    assert np.abs(best[0, :2] - 0.3).max() > 5e-3
