"""The call as a user sees it: true errors, every kind of limit state, and clear refusals."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr
from scipy.stats import norm

import uq
from benchmarks.reliability_cases import CASES, four_branch, linear, rp75

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


# --- limit states that are hard to answer ---------------------------------------------------------


def with_holes(limit_state, share=0.01):
    """NaN where the digits of a point are low: at random, and always at the same points."""

    def holed(x):
        g = limit_state(x)
        return np.where(np.modf(np.abs(x[:, 0]) * 1e6)[0] < share, np.nan, g)

    return holed


@pytest.mark.usefixtures("few_cheap_points")
@pytest.mark.parametrize("surrogate", [None, "polynomial", "auto"])
def test_runs_that_fail(surrogate):
    found = crude(with_holes(four_branch), budget=600, surrogate=surrogate, rng=1)
    n_failed = int(np.isnan(found.sample.values).any(axis=1).sum())
    assert 0 < found.n_failed == n_failed < 25 and found.failed_points.shape == (n_failed, 2)
    assert found.flags[0].startswith(f"{n_failed} of {found.n_evaluations} runs failed")
    low, high = found.confidence_interval(0.999)
    assert low < CASES["four_branch"].exact < high
    assert found.estimates.low[0] <= found.estimates.mean[0] <= found.estimates.high[0]


def test_infinite_values_are_failed_runs():
    found = crude(lambda x: np.where(x[:, 0] < -1.0, np.inf, half_plane(x)))
    assert found.n_failed == (found.sample.x[:, 0] < -1.0).sum() > 0


@pytest.mark.usefixtures("few_cheap_points")
@pytest.mark.parametrize("surrogate", [None, "polynomial", "auto"])
@pytest.mark.parametrize("level", [lambda x: 5.0 + 0.0 * x[:, 0], lambda x: 50.0 + x[:, 0]])
def test_what_never_fails_has_a_bound(level, surrogate):
    """-log(0.05) / N, N the runs that count as draws of the law: at least half of the last ones."""
    found = crude(level, budget=200, surrogate=surrogate)
    assert found.estimate == 0.0 and np.isnan(found.standard_error) and np.isnan(found.cv)
    low, high = found.confidence_interval()
    assert low == 0.0
    N = -np.log(0.05) / high
    assert 0.5 * len(found.rounds[0].runs.z) <= N <= found.n_evaluations
    assert high == pytest.approx(-np.log(0.05) / found.unseen.by_law, rel=1e-12)
    assert found.confidence_interval(0.99).high == pytest.approx(-np.log(0.01) / N, rel=1e-9)
    assert found.reliability_index == np.inf and found.design_points == ()
    assert any("never met" in flag for flag in found.flags)


@pytest.mark.usefixtures("few_cheap_points")
@pytest.mark.parametrize("surrogate", [None, "polynomial", "auto"])
def test_what_always_fails_has_a_bound(surrogate):
    found = crude(lambda x: -1.0 + 0.0 * x[:, 0], budget=200, surrogate=surrogate)
    assert found.estimate == 1.0 and np.isnan(found.standard_error)
    low, high = found.confidence_interval()
    assert high == 1.0 and 0.9 < low < 1.0
    assert found.reliability_index == -np.inf


def test_a_limit_state_that_never_fails_beside_one_that_does():
    found = crude(lambda x: np.stack([half_plane(x), 50.0 + x[:, 0]], axis=1), budget=500)
    assert found.estimate[1] == 0.0 and np.isnan(found.standard_error[1])
    assert abs(found.estimate[0] - norm.sf(2.5)) < 4.0 * found.standard_error[0]
    assert found.confidence_interval().low[1] == 0.0


@pytest.mark.usefixtures("few_cheap_points")
@pytest.mark.parametrize("surrogate", [None, "polynomial"])
def test_one_of_twenty_inputs(surrogate):
    found = crude(lambda x: 2.5 - x[:, 7], normals(20), 800, surrogate=surrogate)
    is_true(found, norm.sf(2.5), 0.3)
    assert found.importance.share.argmax() == 7 and found.importance.share[7] > 0.5


@pytest.mark.parametrize("d", [1, 2])
def test_a_single_input(d):
    found = crude(lambda x: 2.5 - x[:, 0], normals(d), 400)
    is_true(found, norm.sf(2.5), 0.3)


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


# --- refusals -------------------------------------------------------------------------------------

REFUSED = {
    "budget": (dict(budget=159), ValueError, "`budget`.*160.*159"),
    "budget of half runs": (dict(budget=200.5), (TypeError, ValueError), "`budget`.*200.5"),
    "order": (dict(thresholds=[1.0, 0.0]), ValueError, r"increase.*\[1.0, 0.0\].*np.unique"),
    "twice the same": (dict(thresholds=[0.0, 0.0]), ValueError, "`thresholds` must increase"),
    "nan": (dict(thresholds=[0.0, np.nan]), ValueError, "`thresholds`.*finite.*nan"),
    "none": (dict(thresholds=[]), ValueError, r"`thresholds`.*\[\]"),
    "table": (dict(thresholds=[[0.0, 1.0]]), ValueError, "`thresholds`.*row"),
    "words": (dict(thresholds=["a"]), (TypeError, ValueError), "thresholds"),
    "both": (dict(threshold=1.0, thresholds=[0.0, 1.0]), TypeError, "either `threshold`"),
    "threshold": (dict(threshold=np.inf), ValueError, "`threshold`.*inf"),
    "target 0": (dict(target_cv=0.0), ValueError, "`target_cv` must be positive.*0.0"),
    "target -1": (dict(target_cv=-1.0), ValueError, "`target_cv` must be positive.*-1.0"),
    "target nan": (dict(target_cv=np.nan), ValueError, "`target_cv`.*nan"),
    "surrogate": (dict(surrogate="kriging"), ValueError, "'kriging'.*gaussian_process"),
    "surrogate 3": (dict(surrogate=3), (TypeError, ValueError), "surrogate.*3"),
    "gradient": (dict(gradient=1.0), TypeError, "`gradient` must be callable.*1.0"),
    "executor": (dict(executor=3), TypeError, "`executor`.*submit.*3"),
    "batches": (dict(batch_size=0), ValueError, "batch_size.*0"),
    "laws": (dict(inputs=[stats.norm()]), TypeError, "`inputs` must be a uq.Inputs"),
    "no inputs": (dict(inputs=None), TypeError, "`inputs` must be a uq.Inputs.*None"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_a_run_is_spent(name):
    settings, error, says = REFUSED[name]
    g = Counted()
    with pytest.raises(error) as raised:
        crude(g, **settings)
    assert re.search(says, str(raised.value), re.DOTALL), str(raised.value)
    assert g.n == 0


def test_a_limit_state_that_is_none():
    with pytest.raises(TypeError, match="callable.*None"):
        crude(None)


@pytest.mark.parametrize(
    "limit_state, error",
    [
        (lambda x: np.ones(len(x) + 1), ValueError),
        (lambda x: np.ones((len(x), 2, 2)), ValueError),
        (lambda x: np.ones((len(x), 0)), ValueError),
        (lambda x: 1.0, ValueError),
        (lambda x: None, TypeError),
        (lambda x: ["safe"] * len(x), (TypeError, ValueError)),
    ],
)
def test_limit_states_of_other_shapes(limit_state, error):
    g = Counted(limit_state)
    with pytest.raises(error, match="returned"):
        crude(g)
    assert len(g.sizes) == 1


def test_a_limit_state_that_gives_nothing():
    g = Counted(lambda x: np.full(len(x), np.nan))
    with pytest.raises(ValueError, match="NaN|nan|failed"):
        crude(g)
    assert g.n < 200


@pytest.mark.parametrize(
    "surrogate, says",
    [
        (lambda x: np.ones(len(x) + 1), "`surrogate` must return"),
        (lambda x: np.ones((len(x), 2, 2)), "`surrogate` must return"),
        (lambda x: np.full(len(x), np.nan), "with NaN"),
    ],
)
def test_surrogates_of_other_shapes(surrogate, says):
    with pytest.raises(ValueError, match=says):
        crude(surrogate=surrogate)


@pytest.mark.parametrize("n_columns", [1, 3])
def test_a_surrogate_of_another_number_of_limit_states(n_columns):
    with pytest.raises(ValueError, match=f"`surrogate` must return.*{n_columns}"):
        crude(two_planes, surrogate=lambda x: np.ones((len(x), n_columns)))


def test_an_error_of_the_limit_state_is_passed_on():
    def broken(x):
        raise ArithmeticError("no mesh")

    with pytest.raises(ArithmeticError, match="no mesh"):
        crude(broken)


# --- what the result tells ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def branches():
    return crude(four_branch, budget=1500, rng=9)


def test_design_points_of_all_regions(branches):
    """Four of them, at the distances 3 (twice) and 3.5 (twice)."""
    points = branches.design_points
    assert len(points) == 4
    assert sorted(round(point.beta, 1) for point in points) == pytest.approx(
        [3.0, 3.0, 3.5, 3.5], abs=0.25
    )
    shares = [point.share for point in points]
    assert shares == sorted(shares, reverse=True) and 0.98 < sum(shares) <= 1.0 + 1e-9
    assert (four_branch(np.array([point.x for point in points])) < 0.0).all()


def test_exceedance_increases_and_holds_the_threshold(branches):
    curve = branches.exceedance()
    for one in (curve.probability, curve.low, curve.high):
        assert (np.diff(one) >= 0.0).all()
    assert (curve.low <= curve.probability).all() and (curve.probability <= curve.high).all()
    assert curve.levels[0] < 0.0 < curve.levels[-1]
    at_zero = np.interp(0.0, curve.levels, np.log(curve.probability))
    assert np.exp(at_zero) == pytest.approx(branches.estimate, rel=0.2)


def test_weights_give_the_estimate_back(branches):
    """Without a surrogate the round is the mean of the weights of its failures.

    The learning runs that are averaged as well have weights too, the first ones have none.
    """
    weights, history = branches.sample.weights, branches.history
    assert np.isnan(weights[: history[0].n]).all() and np.isfinite(weights[history[0].n :]).all()
    last = history[-1].n
    fails = branches.sample.values[-last:, 0] < 0.0
    mean = (weights[-last:] * fails).mean()
    assert branches.rounds[0].estimate.mean[0] == pytest.approx(mean, rel=1e-10)
    assert branches.n_met[0] == (branches.sample.values < 0.0).sum()


def test_intervals_widen_with_the_level(branches):
    narrow, wide = branches.confidence_interval(0.5), branches.confidence_interval(0.99)
    assert wide.low < narrow.low < branches.estimate < narrow.high < wide.high
    with pytest.raises(ValueError, match="confidence_level"):
        branches.confidence_interval(1.5)


def test_a_table_of_one_row(branches):
    row = branches.to_dataframe().iloc[0]
    assert row["estimate"] == branches.estimate and row["n_met"] == branches.n_met[0]
    table = branches.importance.to_dataframe()
    assert list(table.index) == list(branches.inputs.names)
    assert table["share"].sum() == pytest.approx(1.0)


def test_pictures(branches):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    for draw in (branches.plot, branches.plot_exceedance, branches.plot_convergence):
        given = plt.subplots()[1]
        assert draw(ax=given) is given
        given.figure.canvas.draw()
        plt.close(given.figure)
        fresh = draw()
        assert fresh.get_xlabel() and fresh.get_ylabel()
        plt.close(fresh.figure)


@pytest.mark.usefixtures("few_cheap_points")
def test_pictures_of_a_surrogate_and_of_nothing_met():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with_cheap = crude(budget=160, surrogate="polynomial")
    never = crude(lambda x: 50.0 + x[:, 0], budget=160)
    for found in (with_cheap, never):
        for draw in (found.plot, found.plot_exceedance, found.plot_convergence):
            ax = draw()
            ax.figure.canvas.draw()
            plt.close(ax.figure)


def test_pictures_of_what_is_not_there(branches):
    with pytest.raises(ValueError, match="`x` must be one of the inputs.*'wind'"):
        branches.plot("wind")
    with pytest.raises(ValueError, match="two inputs"):
        branches.plot(1, 1)
    with pytest.raises(ValueError, match=r"`limit_state` must lie in 0..0, but got 1"):
        branches.plot_exceedance(limit_state=1)
    with pytest.raises(ValueError, match=r"`event` must lie in 0..0, but got 3"):
        branches.plot_convergence(event=3)
    with pytest.raises(ValueError, match="`limit_state` must lie"):
        branches.exceedance(-1)
