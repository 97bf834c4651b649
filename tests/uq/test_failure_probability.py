"""The call as a user sees it: true errors, thresholds, surrogates, spent runs, gradients."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr
from scipy.stats import norm

import uq
from benchmarks.reliability_cases import CASES, linear, rp75

PLANE = uq.Inputs([stats.norm()] * 2)


def normals(d):
    return uq.Inputs([stats.norm()] * d)


def half_plane(x):
    """Fails with the probability Phi(-2.5)."""
    return 2.5 - (x[:, 0] + x[:, 1]) / np.sqrt(2.0)


def crude(limit_state=half_plane, inputs=PLANE, budget=300, rng=0, **settings):
    """The quickest way: without a surrogate."""
    settings.setdefault("surrogate", None)
    return uq.failure_probability(limit_state, inputs, budget=budget, rng=rng, **settings)


def is_true(found, exact, largest_cv):
    """Inside the 99.9 % interval, and no error is larger than it should be.

    That is 5.4 standard errors where they rest on 7 degrees of freedom: 4 would be left by one
    estimate in 200."""
    low, high = (np.asarray(end) for end in found.confidence_interval(0.999))
    assert (low <= exact).all() and (exact <= high).all()
    assert (np.asarray(found.standard_error) < largest_cv * np.asarray(exact)).all()


class Counted:
    """A limit state that counts its points and its calls."""

    def __init__(self, limit_state=half_plane):
        self.limit_state, self.n, self.sizes = limit_state, 0, []

    def __call__(self, x):
        self.n += len(x)
        self.sizes.append(len(x))
        return self.limit_state(x)


# --- estimates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["four_branch", "rp22", "rp75", "r_minus_s"])
def test_known_probabilities_without_a_surrogate(name):
    case = CASES[name]
    found = crude(case.limit_state, case.inputs, 1000, rng=1)
    is_true(found, case.exact, 0.15)
    assert found.reliability_index == pytest.approx(-norm.ppf(found.estimate))
    assert found.n_evaluations <= 1000 and found.n_failed == 0


@pytest.mark.parametrize("name", ["four_branch", "rp22", "rp75"])
@pytest.mark.usefixtures("few_cheap_points")
def test_known_probabilities_by_default(name):
    case = CASES[name]
    found = uq.failure_probability(case.limit_state, case.inputs, budget=400, rng=2)
    is_true(found, case.exact, 0.1)
    low, high = found.confidence_interval()
    assert low < found.estimate < high


@pytest.mark.parametrize("surrogate", [None, "polynomial"])
@pytest.mark.usefixtures("few_cheap_points")
def test_twenty_inputs(surrogate):
    found = crude(linear(3.5), normals(20), 800, surrogate=surrogate)
    is_true(found, norm.sf(3.5), 0.6)


@pytest.mark.parametrize(
    ("n_seeds", "least", "largest"),
    [(20, 15, 0.1), pytest.param(40, 31, 0.05, marks=pytest.mark.slow)],
)
def test_the_mean_of_many_estimates_is_the_probability(n_seeds, least, largest):
    """And 95 % intervals that hold the truth `least` times (less has a chance below 1e-3)."""
    exact, estimates, held = CASES["rp75"].exact, [], 0
    for seed in range(n_seeds):
        found = crude(rp75, PLANE, 320, rng=seed)
        low, high = found.confidence_interval()
        estimates.append(found.estimate)
        held += low <= exact <= high
    error = np.std(estimates, ddof=1) / np.sqrt(n_seeds)
    assert abs(np.mean(estimates) - exact) < 4.0 * error
    assert error < largest * exact
    assert held >= least


@pytest.mark.parametrize("name", ["r_minus_s_correlated", "lognormal_product"])
def test_correlated_and_non_normal_inputs(name):
    case = CASES[name]
    found = crude(case.limit_state, case.inputs, 800, rng=3)
    is_true(found, case.exact, 0.2)
    np.testing.assert_allclose(case.inputs.from_normal(found.sample.z), found.sample.x, rtol=1e-12)
    np.testing.assert_allclose(
        case.limit_state(found.sample.x), found.sample.values[:, 0], rtol=1e-12
    )


def test_a_frequent_failure():
    """0.977: the error is a part of what misses it."""
    found = crude(lambda x: x[:, 0] - 2.0, budget=400)
    is_true(found, norm.cdf(2.0), 0.01)
    assert found.estimate < 1.0


# --- thresholds and limit states ------------------------------------------------------------------


def test_several_thresholds_of_one_run():
    """Down from the threshold t, g has the reliability index 2.5 - t."""
    thresholds = [-1.5, -0.5, 0.0, 1.0]
    found = crude(budget=800, thresholds=thresholds)
    exact = norm.cdf(np.array(thresholds) - 2.5)
    assert found.estimate.shape == (4,) and found.cv.shape == (4,)
    assert (np.diff(found.estimate) > 0.0).all()
    is_true(found, exact, 0.3)


def test_one_threshold_and_a_list_of_one():
    one = crude(threshold=-0.5, budget=600)
    listed = crude(thresholds=[-0.5], budget=600)
    assert isinstance(one.estimate, float) and listed.estimate.shape == (1,)
    assert listed.estimate[0] == one.estimate
    is_true(one, norm.sf(3.0), 0.5)


def two_planes(x):
    return np.stack([2.0 - x[:, 0], 3.0 - x[:, 1]], axis=1)


TWO = norm.sf([2.0, 3.0])


@pytest.mark.usefixtures("few_cheap_points")
@pytest.mark.parametrize("surrogate", [None, "polynomial"])
def test_several_limit_states(surrogate):
    found = crude(two_planes, budget=500, surrogate=surrogate)
    assert found.estimate.shape == (2,)
    is_true(found, TWO, 0.3)
    low, high = found.confidence_interval()
    assert low.shape == high.shape == (2,) and (low < high).all()


def test_several_limit_states_and_thresholds():
    thresholds = [-0.5, 0.0, 0.5]
    found = crude(two_planes, budget=800, thresholds=thresholds)
    exact = norm.sf(np.array([[2.0], [3.0]]) - thresholds)
    for shaped in (found.estimate, found.standard_error, found.cv, found.reliability_index):
        assert shaped.shape == (2, 3)
    is_true(found, exact, 0.4)
    frame = found.to_dataframe()
    assert frame["limit_state"].tolist() == [0, 0, 0, 1, 1, 1]
    assert frame["threshold"].tolist() == thresholds * 2
    np.testing.assert_array_equal(frame["estimate"], found.estimate.ravel())
    np.testing.assert_array_equal(frame["low"], found.confidence_interval().low.ravel())


def test_one_column_is_one_limit_state():
    column = crude(lambda x: half_plane(x)[:, None])
    assert column.estimate == crude().estimate


# --- surrogates -----------------------------------------------------------------------------------


def wavy(x):
    """No polynomial. P(fail) = E[Phi(-(2.5 + 0.3 sin 2y))], an integral."""
    return 2.5 - x[:, 0] + 0.3 * np.sin(2.0 * x[:, 1])


def wavy_probability():
    y, w = np.polynomial.hermite_e.hermegauss(80)
    return float(w @ ndtr(-2.5 - 0.3 * np.sin(2.0 * y)) / w.sum())


@pytest.mark.usefixtures("few_cheap_points")
@pytest.mark.parametrize(
    "surrogate, largest_cv",
    [
        ("auto", 0.05),
        ("polynomial", 0.5),
        (lambda x: wavy(x) + 0.02 * np.cos(3.0 * x[:, 0]), 0.1),
        (half_plane, 0.5),
        (lambda x: x[:, 0] + 1e3, 1.0),  # it knows nothing of failures
    ],
    ids=["auto", "polynomial", "good", "poor", "useless"],
)
def test_every_kind_of_surrogate(surrogate, largest_cv):
    found = uq.failure_probability(wavy, PLANE, budget=300, surrogate=surrogate, rng=4)
    is_true(found, wavy_probability(), largest_cv)


@pytest.mark.usefixtures("few_cheap_points")
def test_a_good_surrogate_pays_and_a_useless_one_is_left_out():
    good = crude(wavy, surrogate=wavy)
    assert "cheap limit state for 1 of 1" in good.message
    useless = crude(wavy, surrogate=lambda x: x[:, 0] + 1e3)
    assert "none for 1 of 1" in useless.message
    assert good.cv < 0.3 * useless.cv


@pytest.mark.usefixtures("few_cheap_points")
def test_auto_is_the_gaussian_process():
    auto, process = (crude(wavy, budget=160, surrogate=s) for s in ("auto", "gaussian_process"))
    assert auto.estimate == process.estimate and auto.standard_error == process.standard_error


@pytest.mark.usefixtures("few_cheap_points")
def test_a_surrogate_of_several_limit_states():
    found = crude(two_planes, budget=300, surrogate=lambda x: two_planes(x) + 0.01 * x[:, :1])
    is_true(found, TWO, 0.2)


@pytest.mark.usefixtures("few_cheap_points")
def test_a_noisy_limit_state():
    """g + 0.2 N(0, 1) of its own fails with Phi(-2.5 / sqrt(1.04))."""
    noise = np.random.default_rng(5)
    found = uq.failure_probability(
        lambda x: half_plane(x) + 0.2 * noise.normal(size=len(x)), PLANE, budget=600, rng=5
    )
    is_true(found, norm.sf(2.5 / np.sqrt(1.04)), 0.6)


@pytest.mark.usefixtures("few_cheap_points")
@pytest.mark.parametrize("surrogate", [None, "auto"])
def test_a_limit_state_that_only_says_yes_or_no(surrogate):
    found = crude(
        lambda x: np.where(half_plane(x) < 0.0, -1.0, 1.0), budget=400, surrogate=surrogate, rng=1
    )
    is_true(found, norm.sf(2.5), 0.4)


# --- how runs are spent ---------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [160, 161, 500, 999])
def test_the_budget_is_kept(budget):
    g = Counted()
    found = crude(g, budget=budget)
    assert found.n_evaluations == g.n <= budget
    assert g.n > 0.9 * budget
    assert sum(stage.n for stage in found.history) == g.n


def test_a_target_stops_early():
    g = Counted()
    found = crude(g, budget=4000, target_cv=0.2)
    assert found.cv <= 0.2 and found.n_evaluations == g.n < 3200
    is_true(found, norm.sf(2.5), 0.2)
    whole = crude(budget=600, target_cv=1e-9)
    assert whole.n_evaluations > 540 and len(whole.rounds) > 1


def test_the_same_seed_and_the_same_generator_give_the_same():
    one, two, other = crude(rng=6), crude(rng=np.random.default_rng(6)), crude(rng=7)
    np.testing.assert_array_equal(one.sample.x, two.sample.x)
    assert one.estimate == two.estimate != other.estimate


def test_batches_and_executors_change_nothing():
    whole = crude(budget=200)
    g = Counted()
    batched = crude(g, budget=200, batch_size=7)
    assert max(g.sizes) == 7
    with ThreadPoolExecutor(2) as pool:
        elsewhere = crude(budget=200, executor=pool)
        both = crude(budget=200, executor=pool, batch_size=11)
    for found in (batched, elsewhere, both):
        assert found.estimate == whole.estimate
        np.testing.assert_array_equal(found.sample.values, whole.sample.values)


def test_the_points_that_a_limit_state_gets_are_its_own():
    def spoils(x):
        g = half_plane(x)
        x[:] = np.nan
        return g

    assert crude(spoils).estimate == crude().estimate


# --- extend ---------------------------------------------------------------------------------------


def test_extending_keeps_every_run():
    first = crude(budget=300)
    before = first.estimate, first.standard_error, first.n_evaluations, len(first.history)
    more = first.extend(200)
    assert (
        first.estimate, first.standard_error, first.n_evaluations, len(first.history)
    ) == before  # fmt: skip
    n = first.n_evaluations
    assert n + 180 < more.n_evaluations <= n + 200
    np.testing.assert_array_equal(more.sample.x[:n], first.sample.x)
    np.testing.assert_array_equal(more.sample.weights[:n], first.sample.weights)
    assert len(more.rounds) == 2
    np.testing.assert_array_equal(more.rounds[0].estimate.mean, first.rounds[0].estimate.mean)
    is_true(more, norm.sf(2.5), 0.3)


def test_extending_twice_gives_the_same():
    first = crude(budget=200)
    one, two = first.extend(160), first.extend(160)
    assert one.estimate == two.estimate
    np.testing.assert_array_equal(one.sample.x, two.sample.x)
    again = one.extend(160)
    assert again.n_evaluations > one.n_evaluations and len(again.rounds) == 3


def test_extending_pays():
    """Ten times as many runs: an error of half or less."""
    first = crude(budget=200)
    assert first.extend(2000).cv < 0.5 * first.cv


@pytest.mark.usefixtures("few_cheap_points")
def test_extending_leaves_the_surrogate_alone():
    """One that cannot be copied, such as a model that holds a lock, is not."""

    class Locked:
        def __init__(self):
            self.lock = threading.Lock()

        def __call__(self, x):
            with self.lock:
                return half_plane(x)

    found = crude(budget=160, surrogate=Locked()).extend(160)
    is_true(found, norm.sf(2.5), 0.2)


def test_extending_by_too_little_is_refused():
    g = Counted()
    found = crude(g)
    n = g.n
    with pytest.raises(ValueError, match=r"`budget`.*160.*159"):
        found.extend(159)
    assert g.n == n


# --- gradients ------------------------------------------------------------------------------------


def rp75_gradient(x):
    return -x[:, ::-1]


def test_design_points_are_looked_at_first():
    calls = Counted(rp75)
    found = crude(calls, budget=500, gradient=rp75_gradient)
    first = found.history[0]
    assert first.source == "design point search" and not first.averaged
    assert 1 <= first.n <= 50 and found.n_evaluations == calls.n <= 500
    is_true(found, CASES["rp75"].exact, 0.3)


def test_a_gradient_and_the_least_budget():
    found = crude(budget=160, gradient=lambda x: np.full((len(x), 2), -np.sqrt(0.5)))
    assert found.n_evaluations <= 160
    is_true(found, norm.sf(2.5), 0.6)
    assert found.design_points[0].beta == pytest.approx(2.5, abs=0.5)


def test_a_gradient_goes_with_one_limit_state():
    with pytest.raises(ValueError, match="`gradient` goes with one limit state.*2 outputs"):
        crude(two_planes, gradient=rp75_gradient)


@pytest.mark.parametrize(
    "gradient, says",
    [
        (lambda x: np.ones(len(x)), r"\(1, 2\).*\(1,\)"),
        (lambda x: np.ones((2, len(x))), r"\(1, 2\).*\(2, 1\).*transposed"),
        (lambda x: np.ones((len(x), 3)), r"\(1, 2\).*\(1, 3\)"),
    ],
)
def test_gradients_of_other_shapes(gradient, says):
    with pytest.raises(ValueError, match=says):
        crude(gradient=gradient)
