"""Design points of limit states whose nearest zero is known in closed form."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import beta, expon, gumbel_r, lognorm, norm, uniform

from uq import Inputs
from uq.reliability.design_point_search import design_point_search
from uq.reliability.design_points import design_points
from uq.reliability.gradient_runs import normal_gradients
from uq.reliability.least_distance import nearest_to_origin

ROOT_2 = math.sqrt(2.0)


def standard(d):
    return Inputs([norm(0.0, 1.0)] * d)


def linear(offset, slopes):
    """g = offset - slopes.x with its gradient."""
    b = np.asarray(slopes, dtype=float)
    return lambda x: (offset - x @ b, np.tile(-b, (len(x), 1)))


def parabola(sign):
    def limit_state(x):
        gap, to_corner = x[:, 0] - x[:, 1], sign / ROOT_2
        value = 3.0 + 0.1 * gap**2 - to_corner * (x[:, 0] + x[:, 1])
        return value, np.stack([0.2 * gap - to_corner, -0.2 * gap - to_corner], axis=1)

    return limit_state


def of_parts(parts, choose):
    """Lowest (union of failures) or highest (intersection) of the parts."""

    def limit_state(x):
        values, gradients = map(np.stack, zip(*(part(x) for part in parts), strict=True))
        part, row = choose(values, axis=0), np.arange(len(x))
        return values[part, row], gradients[part, row]

    return limit_state


def four_branch(k):
    ends = [linear(k / ROOT_2, [-1.0, 1.0]), linear(k / ROOT_2, [1.0, -1.0])]
    return of_parts([parabola(1.0), parabola(-1.0), *ends], np.argmin)


def product(x):
    """RP75, 3 - x1 x2: at the origin it has no slope."""
    return 3.0 - x[:, 0] * x[:, 1], -x[:, ::-1]


def quartic(x):
    """RP31, 2 - x2 + 256 x1^4."""
    gradient = np.stack([1024.0 * x[:, 0] ** 3, np.full(len(x), -1.0)], axis=1)
    return 2.0 - x[:, 1] + 256.0 * x[:, 0] ** 4, gradient


def finished(search, inputs, limit_state):
    """What a search returns, and the points (n, d) that it asked for."""
    asked = []
    z = next(search)
    while True:
        assert z.shape == (1, inputs.dimension)
        asked.append(z[0].copy())
        try:
            answer = limit_state(inputs.from_normal(z))
            z[:] = np.nan  # the points are the caller's
            z = search.send(answer)
        except StopIteration as end:
            return end.value, np.array(asked)


def found_from(start, limit_state, inputs=None, max_runs=200):
    inputs = inputs or standard(len(start))
    point, asked = finished(design_point_search(inputs, start, max_runs), inputs, limit_state)
    assert point.n_runs == len(asked) <= max_runs
    return point


@pytest.mark.parametrize(("d", "index"), [(1, 3.5), (2, 5.0), (100, 5.0), (100, 0.01), (2, 8.0)])
def test_a_linear_limit_state_takes_two_runs(d, index):
    slopes = np.cos(np.arange(d))
    limit_state = linear(index * np.linalg.norm(slopes), slopes)
    point = found_from(np.zeros(d), limit_state)
    assert point.converged and point.n_runs == 2
    assert point.beta == pytest.approx(index, rel=1e-12)
    np.testing.assert_allclose(point.z, index * slopes / np.linalg.norm(slopes), atol=1e-12)
    np.testing.assert_allclose(point.gradient_z, -slopes)
    assert abs(point.value) < 1e-10
    elsewhere = np.sin(np.arange(d) + 1.0)
    assert found_from(elsewhere, limit_state).n_runs == 2


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_any_unit_of_the_limit_state(unit):
    point = found_from([0.0, 0.0], linear(3.0 * unit, [unit, 0.0]))
    assert point.converged and point.n_runs == 2 and point.beta == pytest.approx(3.0)


def test_a_point_far_away_is_reached_in_steps_that_can_be_believed():
    inputs = standard(2)
    point, asked = finished(
        design_point_search(inputs, [0, 0], 50), inputs, linear(25.0, [0.6, 0.8])
    )
    assert point.converged and point.beta == pytest.approx(25.0, rel=1e-9)
    assert np.linalg.norm(np.diff(asked, axis=0), axis=1).max() < 10.0 + 1e-9


def test_an_origin_that_fails_has_a_negative_index():
    point = found_from([0.0, 0.0], linear(-2.0 * ROOT_2, [1.0, 1.0]))
    assert point.converged and point.beta == pytest.approx(-2.0)
    np.testing.assert_allclose(point.z, [-ROOT_2, -ROOT_2])


def test_a_limit_state_without_a_slope_at_the_start():
    point = found_from([0.0, 0.0], product)
    assert point.converged and point.beta == pytest.approx(math.sqrt(6.0), rel=1e-5)
    np.testing.assert_allclose(np.abs(point.z), math.sqrt(3.0), atol=2e-3)
    assert point.z.prod() > 0.0


@pytest.mark.parametrize(
    ("limit_state", "indices"),
    [
        (product, [math.sqrt(6.0)]),
        (four_branch(7.0), [3.0, 3.5]),
        (lambda x: (12.5 - np.abs(x).prod(axis=1), -np.sign(x) * np.abs(x[:, ::-1])), [5.0]),
        (quartic, [2.0]),
    ],
)
def test_starts_anywhere_end_at_a_design_point(limit_state, indices):
    for start in np.random.default_rng(0).normal(size=(30, 2)) * 2.0:
        point = found_from(start, limit_state)
        assert point.converged and point.n_runs < 70
        assert min(abs(point.beta - index) for index in indices) < 1e-4


def test_the_nearest_point_of_a_curved_surface_is_that_of_a_minimizer():
    def limit_state(x):
        value = 6.0 - x[:, 0] - 0.3 * x[:, 1] ** 2 - np.exp(0.5 * x[:, 2])
        slopes = [np.full(len(x), -1.0), -0.6 * x[:, 1], -0.5 * np.exp(0.5 * x[:, 2])]
        return value, np.stack(slopes, axis=1)

    point = found_from([0.1, 0.4, 0.2], limit_state)
    best = minimize(
        lambda z: 0.5 * z @ z,
        point.z + 0.1,
        jac=lambda z: z,
        constraints={"type": "eq", "fun": lambda z: limit_state(z[None])[0][0]},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    assert point.converged
    assert point.beta == pytest.approx(np.linalg.norm(best.x), abs=1e-5)
    np.testing.assert_allclose(point.z, best.x, atol=5e-3)


@pytest.mark.parametrize(("index", "steepness"), [(3.0, 4.0), (4.0, 4.0), (6.0, 2.0)])
def test_a_limit_state_that_is_nearly_flat_at_the_origin(index, steepness):
    """Its tangent there is zero only millions of standard deviations away."""

    def saturated(x):
        value = np.tanh(steepness * (index - x @ [0.6, 0.8]))
        return value, -steepness * (1.0 - value**2)[:, None] * [0.6, 0.8]

    point = found_from([0.0, 0.0], saturated)
    assert point.converged and point.beta == pytest.approx(index, abs=1e-5)


def test_correlated_lognormal_inputs():
    """log(x1 x2) is normal: its index is that of one variable."""
    sigma, rho, limit = np.array([0.3, 0.5]), 0.5, 4.0
    inputs = Inputs([lognorm(0.3, scale=1.2), lognorm(0.5)], [[1.0, rho], [rho, 1.0]])
    sd = math.sqrt(sigma @ sigma + 2.0 * rho * sigma.prod())
    index = (math.log(limit) - math.log(1.2)) / sd
    point = found_from(
        [0.0, 0.0], lambda x: (limit - x[:, 0] * x[:, 1], -x[:, ::-1]), inputs=inputs
    )
    root = np.linalg.cholesky([[1.0, rho], [rho, 1.0]])
    assert point.converged and point.beta == pytest.approx(index, rel=1e-6)
    np.testing.assert_allclose(point.z, index * root.T @ sigma / sd, atol=2e-3)


def test_exponential_inputs_are_alike_at_the_design_point_of_their_sum():
    """RP54, by symmetry x_k = 8.951 / 20."""
    inputs = Inputs([expon()] * 20)
    point = found_from(np.zeros(20), linear(-8.951, -np.ones(20)), inputs=inputs)
    score = norm.ppf(-math.expm1(-8.951 / 20.0))
    assert point.converged and point.beta == pytest.approx(-score * math.sqrt(20.0), rel=1e-5)
    np.testing.assert_allclose(point.z, score, atol=1e-3)


def test_correlated_resistance_and_load():
    inputs = Inputs([norm(4.0, 1.0), norm(2.0, 1.0)], {("x1", "x2"): 0.6})
    point = found_from([0.0, 0.0], linear(0.0, [-1.0, 1.0]), inputs=inputs)
    assert point.n_runs == 2 and point.beta == pytest.approx(2.0 / math.sqrt(2.0 - 1.2))


@pytest.mark.parametrize("correlation", [None, [[1.0, 0.4, 0.1], [0.4, 1.0, -0.3], [0.1, -0.3, 1]]])
def test_gradients_in_normal_space_are_those_of_differences(correlation):
    inputs = Inputs([gumbel_r(1.0, 2.0), beta(2.0, 3.0), expon()], correlation)
    weights = np.array([1.0, -2.0, 0.5])

    def function(z):
        return np.sin(inputs.from_normal(z)) @ weights

    z = np.random.default_rng(0).normal(size=(20, 3)) * 2.0
    step = 1e-5
    differences = np.stack(
        [(function(z + e) - function(z - e)) / (2.0 * step) for e in step * np.eye(3)], axis=1
    )
    exact = normal_gradients(inputs, z, np.cos(inputs.from_normal(z)) * weights)
    np.testing.assert_allclose(exact, differences, atol=1e-8)


def test_gradients_are_finite_at_the_ends_of_the_supports():
    inputs = Inputs([uniform(0.0, 1.0), lognorm(2.0), beta(0.5, 0.5)])
    z = np.array([[50.0] * 3, [-50.0] * 3, [9.0] * 3, [0.0] * 3])
    gradients = normal_gradients(inputs, z, np.ones((4, 3)))
    assert np.isfinite(normal_gradients(standard(1), [[1e200]], [[1.0]])).all()
    assert np.isfinite(gradients).all()
    assert gradients[0, 0] == 0.0 and gradients[3, 0] == pytest.approx(norm.pdf(0.0))
    assert gradients[2, 0] == pytest.approx(norm.pdf(9.0), rel=1e-12)


def test_failed_runs_make_the_steps_shorter():
    def fails_far_out(x):
        value, gradient = product(x)
        return np.where(np.linalg.norm(x, axis=1) > 3.0, np.nan, value), gradient

    for start in ([0.6, 0.1], [0.0, 0.0]):
        point = found_from(start, fails_far_out)
        assert point.converged and point.beta == pytest.approx(math.sqrt(6.0), rel=1e-5)


def test_a_failed_gradient_is_a_failed_run():
    def limit_state(x):
        value, gradient = product(x)
        return value, np.where(np.linalg.norm(x, axis=1, keepdims=True) > 3.0, np.inf, gradient)

    assert found_from([0.6, 0.1], limit_state).converged


def test_a_start_that_fails_is_moved():
    def fails_at_the_origin(x):
        value, gradient = linear(3.0, [1.0, 0.0])(x)
        return np.where(np.linalg.norm(x, axis=1) < 0.2, np.nan, value), gradient

    point = found_from([0.0, 0.0], fails_at_the_origin)
    assert point.converged and point.n_runs == 3 and point.beta == pytest.approx(3.0)


@pytest.mark.parametrize("max_runs", [1, 2, 3, 5])
def test_too_few_runs_end_without_convergence(max_runs):
    point = found_from([0.6, 0.1], product, max_runs=max_runs)
    assert not point.converged and point.n_runs == max_runs
    assert abs(point.value) <= product(np.array([[0.6, 0.1]]))[0][0]


def test_what_never_fails_and_what_has_no_slope_do_not_converge():
    def never(x):
        return 1.0 + x[:, 0] ** 2, np.stack([2.0 * x[:, 0], 0.0 * x[:, 1]], axis=1)

    def indicator(x):
        return np.where(x[:, 0] > 3.0, -1.0, 1.0), np.zeros_like(x)

    def broken(x):
        return np.full(len(x), np.nan), np.full_like(x, np.nan)

    assert not found_from([0.0, 0.0], never).converged
    point = found_from([0.0, 0.0], indicator)
    assert not point.converged and point.n_runs == 7 and math.isnan(point.beta)
    point = found_from(
        [0.0, 0.0], lambda x: (np.ones(len(x)), np.tile([1e-17, -3e-17], (len(x), 1)))
    )
    assert not point.converged and point.n_runs == 7
    point = found_from([0.0, 0.0], broken)
    assert not point.converged and math.isnan(point.value) and math.isnan(point.beta)
    for limit_state in (never, indicator, broken):
        points, asked = finished(design_points(standard(2), 100, rng=0), standard(2), limit_state)
        assert points == () and len(asked) <= 100


@pytest.mark.parametrize(
    ("parts", "corner"),
    [
        ([linear(3.0, [1.0, 0.0]), linear(3.0, [0.0, 1.0])], [3.0, 3.0]),
        ([linear(2.0, [1.0, 0.0]), linear(1.0, [1.0, -1.0]), linear(1.0, [0.0, 1.0])], [2.0, 1.0]),
        ([linear(k + 1.0, np.eye(4)[k]) for k in range(4)], [1.0, 2.0, 3.0, 4.0]),
    ],
)
def test_the_corner_of_an_intersection(parts, corner):
    limit_state = of_parts(parts, np.argmax)
    point = found_from(np.zeros(len(corner)), limit_state)
    assert point.converged and point.n_runs < 70
    np.testing.assert_allclose(point.z, corner, atol=1e-3)
    assert point.beta == pytest.approx(np.linalg.norm(corner), abs=2e-3)


@pytest.mark.parametrize("k", [6.0, 7.0])
def test_all_branches_of_the_four_branch_limit_state(k):
    inputs = standard(2)
    for seed in range(10):
        points, asked = finished(design_points(inputs, 200, rng=seed), inputs, four_branch(k))
        assert len(asked) < 30
        np.testing.assert_allclose([point.beta for point in points], [3.0, 3.0, k / 2.0, k / 2.0])
        ends = sorted(np.rint(ROOT_2 * point.z / point.beta).tolist() for point in points)
        assert ends == [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]


def test_both_design_points_of_a_product_and_of_a_system():
    for seed in range(5):
        points, asked = finished(design_points(standard(2), 300, rng=seed), standard(2), product)
        assert len(points) == 2 and len(asked) < 150
        np.testing.assert_allclose([point.beta for point in points], math.sqrt(6.0), rtol=1e-5)
        assert points[0].z @ points[1].z == pytest.approx(-6.0, abs=1e-2)
        system = of_parts(
            [linear(3.0 * math.sqrt(3.0), np.ones(3)), linear(3, [0, 0, 1])], np.argmin
        )
        points, _ = finished(design_points(standard(3), 100, rng=seed), standard(3), system)
        np.testing.assert_allclose([point.beta for point in points], [3.0, 3.0])


def test_two_sides_in_twenty_dimensions_and_one_in_a_hundred():
    first = np.eye(20)[0]
    limit_state = of_parts([linear(3.3, first), linear(3.0, -first)], np.argmin)
    points, asked = finished(design_points(standard(20), 100, rng=0), standard(20), limit_state)
    np.testing.assert_allclose([point.beta for point in points], [3.0, 3.3])
    points, asked = finished(
        design_points(standard(100), 100, rng=0), standard(100), linear(50.0, np.ones(100))
    )
    assert len(points) == 1 and len(asked) <= 9


def test_later_searches_start_opposite_and_then_orthogonal_farther_out():
    u = np.array([2.0, 0.0, 2.0, 1.0])
    _, asked = finished(design_points(standard(4), 50, rng=0), standard(4), linear(9.0, u))
    np.testing.assert_allclose(asked[:3], [np.zeros(4), u, -u], atol=1e-12)
    np.testing.assert_allclose(asked[3:] @ u, 0.0, atol=1e-12)
    np.testing.assert_allclose(asked[3:8:2], -asked[4:9:2])
    np.testing.assert_allclose(np.linalg.norm(asked[3:], axis=1), 4.5)


def test_a_search_that_starts_at_a_known_point_finds_nothing_new():
    limit_state = of_parts([linear(3.0, [1.0]), linear(4.5, [-1.0])], np.argmin)
    points, asked = finished(design_points(standard(1), 50, rng=0), standard(1), limit_state)
    assert (asked == -4.5).sum() > 1
    np.testing.assert_allclose([point.z[0] for point in points], [3.0, -4.5])


def test_the_far_side_of_a_failing_layer_is_no_design_point():
    def layer(x):
        gradient = np.stack([np.sign(x[:, 0] - 3.0), 0.0 * x[:, 1]], axis=1)
        return np.abs(x[:, 0] - 3.0) - 0.5, gradient

    for seed in range(5):
        points, _ = finished(design_points(standard(2), 100, rng=seed), standard(2), layer)
        assert [point.beta for point in points] == pytest.approx([2.5])


@pytest.mark.parametrize("max_runs", [1, 2, 7, 20])
def test_several_searches_keep_to_the_runs_they_have(max_runs):
    inputs = standard(2)
    _, asked = finished(design_points(inputs, max_runs, rng=0), inputs, product)
    assert len(asked) <= max_runs


def test_one_seed_gives_one_answer():
    inputs = standard(2)
    first, second = (
        finished(design_points(inputs, 100, rng=3), inputs, four_branch(7.0))[1] for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_the_nearest_point_of_half_spaces():
    square = nearest_to_origin(np.array([[-1.0, 0.0], [0.0, -1.0]]), np.array([-2.0, -3.0]))
    np.testing.assert_allclose(square, [2.0, 3.0])
    redundant = nearest_to_origin(np.array([[-1.0, 0.0], [-1.0, 0.0]]), np.array([-2.0, -30.0]))
    np.testing.assert_allclose(redundant, [30.0, 0.0])
    inside = nearest_to_origin(np.array([[1.0, 0.0]]), np.array([1.0]))
    np.testing.assert_allclose(inside, 0.0, atol=1e-12)
    assert nearest_to_origin(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([-1.0, -1.0])) is None


def test_random_half_spaces_by_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(20):
        A = rng.normal(size=(3, 2))
        b = A @ rng.normal(size=2) * 3.0 + 0.1
        z = nearest_to_origin(A, b)
        assert (A @ z <= b + 1e-9).all()
        tried = z + rng.normal(size=(20_000, 2)) * 0.3
        feasible = tried[(tried @ A.T <= b).all(axis=1)]
        assert (np.linalg.norm(feasible, axis=1) >= np.linalg.norm(z) - 1e-9).all()
        assert len(feasible) > 10


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (
            ([1.0], [1.0, 0.0, 0.0]),
            ValueError,
            r"\(3,\); a single gradient is gradients\[None, :\]",
        ),
        (([1.0], np.ones((3, 1))), ValueError, r"\(1, 3\).*\(3, 1\); it looks transposed"),
        (([1.0], np.ones((1, 2))), ValueError, r"\(1, 3\).*\(1, 2\); one row for each point"),
        (([[1.0]], np.ones((1, 3))), ValueError, r"`values`.*\(1,\).*\(1, 1\)"),
        ((1.0, np.ones((1, 3))), ValueError, r"`values`"),
        ((["a"], np.ones((1, 3))), TypeError, "`values` must be real numbers"),
        (([1.0], None), ValueError, r"\(1, 3\).*\(\);"),
        (None, TypeError, "pair"),
        (np.ones(3), TypeError, "pair"),
    ],
)
def test_a_wrong_answer_is_refused(answer, error, told):
    for search in (design_point_search(standard(3), np.zeros(3), 9), design_points(standard(3), 9)):
        next(search)
        with pytest.raises(error, match=told):
            search.send(answer)


@pytest.mark.parametrize(
    ("search", "error", "told"),
    [
        (lambda: design_point_search(standard(2), [0.0], 9), ValueError, "`start` must be 2"),
        (lambda: design_point_search(standard(2), [0.0, np.nan], 9), ValueError, "finite"),
        (lambda: design_point_search(standard(2), "ab", 9), TypeError, "start"),
        (lambda: design_point_search(standard(2), [0.0, 0.0], 0), ValueError, "max_runs"),
        (lambda: design_points(standard(2), 0), ValueError, "max_runs"),
        (lambda: design_points(standard(2), 9, 0), ValueError, "n_starts"),
        (lambda: design_points(standard(2), 9.5), TypeError, "max_runs"),
    ],
)
def test_wrong_arguments_are_refused_before_a_run(search, error, told):
    with pytest.raises(error, match=told):
        search()
