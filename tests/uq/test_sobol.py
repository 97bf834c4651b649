"""Sobol' indices as users call them: exact values, designs, failures, bad input."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats

import uq
from benchmarks.sobol_cases import CASES
from uq.sobol_estimators import ESTIMATORS


def ishigami(x):
    return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


DISTS = [stats.uniform(-np.pi, 2 * np.pi)] * 3
S = np.array([0.3139051911478115, 0.4424111447900408, 0.0])
T = np.array([0.5575888552099592, 0.4424111447900408, 0.2436836640621477])
S13 = 0.2436836640621477


def within(s, first, total, errors=4.0):
    """Whether every index lies within so many standard errors of its exact value."""
    se = s.standard_error
    off = np.concatenate([(s.first_order - first).ravel(), (s.total_order - total).ravel()])
    size = np.concatenate([se.first_order.ravel(), se.total_order.ravel()])
    return (np.abs(off) <= errors * size + 1e-14).all()


# --- exact values -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_exact_values_of_every_case(name):
    case = CASES[name]()
    s = uq.sobol_indices(func=case.func, inputs=case.inputs, n=1024, rng=1)
    assert within(s, case.first_order, case.total_order, errors=7.0)  # t with 7 degrees
    worst = max(
        np.abs(s.first_order - case.first_order).max(),
        np.abs(s.total_order - case.total_order).max(),
    )
    # Three functions are not smooth, and the product of eight has few rows that matter.
    bound = {"g_function": 5e-3, "jump": 0.03, "g0": 0.15}.get(name, 1.5e-3)
    assert worst < bound


@pytest.mark.parametrize("estimator", ["auto", *ESTIMATORS])
@pytest.mark.parametrize("surrogate", ["auto", None])
@pytest.mark.parametrize("sampling", ["qmc", "mc"])
def test_every_estimator(estimator, surrogate, sampling):
    s = uq.sobol_indices(
        func=ishigami, dists=DISTS, n=2048, estimator=estimator, surrogate=surrogate,
        sampling=sampling, rng=3,
    )  # fmt: skip
    assert within(s, S, T, errors=5.5 if sampling == "qmc" else 4.0)
    widest = max(s.standard_error.first_order.max(), s.standard_error.total_order.max())
    assert widest < {("auto", "qmc"): 1e-6, ("auto", "mc"): 1e-6, (None, "qmc"): 0.06}.get(
        (surrogate, sampling), 0.09
    )


def test_second_order_closed_and_groups():
    s = uq.sobol_indices(func=ishigami, dists=DISTS, n=512, order=2, rng=0)
    assert s.n_evaluations == 512 * 8
    assert s.second_order[0, 2] == pytest.approx(S13, abs=1e-4)
    assert s.second_order[0, 1] == pytest.approx(0.0, abs=1e-4)
    assert np.array_equal(s.second_order, s.second_order.T, equal_nan=True)
    assert np.isnan(np.diag(s.second_order)).all()
    assert s.closed_second_order[0, 2] == pytest.approx(S[0] + S[2] + S13, abs=1e-4)
    g = uq.sobol_indices(func=ishigami, dists=DISTS, n=512, groups={"pair": ["x1", "x3"]}, rng=0)
    assert g.names == ("pair", "x2")
    assert g.n_evaluations == 512 * 4
    assert g.first_order == pytest.approx([1 - S[1], S[1]], abs=1e-3)
    assert g.total_order == pytest.approx([1 - S[1], S[1]], abs=1e-3)


def test_a_polynomial_in_the_span_is_exact_and_its_rounding_is_counted():
    s = uq.sobol_indices(
        func=lambda x: x[:, 0] * x[:, 1] + x[:, 2], dists=[stats.uniform()] * 3, n=128, rng=0
    )
    assert within(s, np.array([3, 3, 12]) / 19, np.array([4, 4, 12]) / 19)
    assert s.standard_error.total_order.max() < 1e-12


@pytest.mark.parametrize("n_seeds", [150, pytest.param(400, marks=pytest.mark.slow)])
def test_hardly_biased_at_few_rows(n_seeds):
    """Mean over seeds: indices are ratios, whose bias at 16 rows is some hundredths at most."""
    errors = []
    for seed in range(n_seeds):
        s = uq.sobol_indices(func=ishigami, dists=DISTS, n=16, surrogate=None, rng=seed)
        errors.append(np.concatenate([s.first_order - S, s.total_order - T]))
    mean, sd = np.mean(errors, axis=0), np.std(errors, axis=0)
    assert (np.abs(mean) < 4 * sd / np.sqrt(n_seeds) + 0.02).all()  # 0.02: the ratios'


def test_intervals_hold():
    """48 seeds x 6 indices, pooled; the full check is in benchmarks/sobol.py."""
    held = []
    for seed in range(48):
        s = uq.sobol_indices(func=ishigami, dists=DISTS, n=128, rng=seed)
        for exact, interval in zip((S, T), s.confidence_interval(0.9)[:2], strict=True):
            held.append((interval.low <= exact) & (exact <= interval.high))
    share = np.mean(held)
    assert abs(share - 0.9) < 4 * np.sqrt(0.09 / 48 / 2)  # indices of one seed go together


# --- invariances ------------------------------------------------------------------------------


@pytest.mark.parametrize("surrogate", ["auto", None])
@pytest.mark.parametrize("scale, shift", [(1.0, 1e6), (1e-200, 0.0), (-3e150, 0.0), (1e-3, 7.0)])
def test_shift_and_scale_change_nothing(surrogate, scale, shift):
    options = dict(dists=DISTS, n=256, surrogate=surrogate, rng=5)
    one = uq.sobol_indices(func=ishigami, **options)
    other = uq.sobol_indices(func=lambda x: scale * ishigami(x) + shift, **options)
    assert other.first_order == pytest.approx(one.first_order, abs=1e-7)
    assert other.total_order == pytest.approx(one.total_order, abs=1e-7)


def test_columns_and_their_names_go_together():
    law = {"a": DISTS[0], "b": stats.norm(), "c": stats.gamma(2.0)}
    turned = {"c": law["c"], "a": law["a"], "b": law["b"]}
    one = uq.sobol_indices(
        func=lambda x: np.sin(x[:, 0]) + x[:, 1] * x[:, 2], inputs=law, n=512, rng=1
    )
    other = uq.sobol_indices(
        func=lambda x: np.sin(x[:, 1]) + x[:, 2] * x[:, 0], inputs=turned, n=512, rng=2
    )
    assert one.names == ("a", "b", "c") and other.names == ("c", "a", "b")
    scale = one.standard_error.total_order + other.standard_error.total_order[[1, 2, 0]]
    assert (np.abs(one.total_order - other.total_order[[1, 2, 0]]) < 5 * scale + 1e-12).all()


def test_several_outputs_are_what_each_of_them_is():
    def three(x):
        return np.stack([ishigami(x), x[:, 0] + x[:, 1], 1e5 * x[:, 2] ** 2 + 3], axis=1)

    s = uq.sobol_indices(func=three, dists=DISTS, n=256, rng=7)
    assert s.first_order.shape == s.total_order.shape == (3, 3)
    for j in range(3):
        one = uq.sobol_indices(func=lambda x, j=j: three(x)[:, j], dists=DISTS, n=256, rng=7)
        size = one.standard_error.total_order + s.standard_error.total_order[:, j]
        assert (np.abs(one.total_order - s.total_order[:, j]) <= 6 * size + 1e-12).all()
    assert s.total_order[:, 1] == pytest.approx([0.5, 0.5, 0.0], abs=1e-12)
    assert len(s.to_dataframe()) == 2 * 3 * 3


# --- designs: ask, tell, extend ---------------------------------------------------------------


def test_ask_and_tell_is_the_one_call():
    design = uq.sobol_design(dists=DISTS, n=128, order=2, rng=11)
    s = uq.sobol_estimate(design, ishigami(design.points))
    one = uq.sobol_indices(func=ishigami, dists=DISTS, n=128, order=2, rng=11)
    assert np.allclose(s.first_order, one.first_order, rtol=0, atol=1e-13)
    assert np.array_equal(design.points, one.design.points)


def test_exactly_the_runs_of_the_design_and_no_more():
    seen = []

    def counted(x):
        seen.append(len(x))
        return ishigami(x)

    s = uq.sobol_indices(func=counted, dists=DISTS, budget=1003, rng=0)
    assert sum(seen) == s.n_evaluations <= 1003
    assert s.n_evaluations > 7 / 8 * 1003 - 5
    more = s.extend(2 * s.design.n)
    assert sum(seen) == more.n_evaluations == 2 * s.n_evaluations


@pytest.mark.parametrize("sampling", ["qmc", "mc"])
def test_an_extended_design_keeps_every_run(sampling):
    rows = 200 if sampling == "mc" else 128
    small = uq.sobol_indices(func=ishigami, dists=DISTS, n=rows, sampling=sampling, rng=2)
    large = small.extend(4 * rows)
    assert np.array_equal(large.values[: len(small.values)], small.values)
    assert np.array_equal(large.design.points[: len(small.values)], small.design.points)
    told = uq.sobol_estimate(small.design.extend(4 * rows), large.values)
    assert np.allclose(told.total_order, large.total_order, rtol=0, atol=1e-13)
    assert within(large, S, T, errors=6.0)
    assert large.standard_error.total_order.max() < small.standard_error.total_order.max()


def test_executor_and_batches_change_nothing():
    plain = uq.sobol_indices(func=ishigami, dists=DISTS, n=64, rng=0)
    with ThreadPoolExecutor(2) as pool:
        other = uq.sobol_indices(
            func=ishigami, dists=DISTS, n=64, rng=0, executor=pool, batch_size=17
        )
    assert np.array_equal(plain.total_order, other.total_order)


def test_a_design_can_be_sent_elsewhere():
    design = uq.sobol_design(dists=DISTS, n=64, rng=0)
    again = pickle.loads(pickle.dumps(design))
    assert np.array_equal(again.points, design.points)
    assert np.array_equal(again.extend(128).points, design.extend(128).points)


# --- failures, constants ----------------------------------------------------------------------


@pytest.mark.parametrize("n_seeds", [6, pytest.param(12, marks=pytest.mark.slow)])
@pytest.mark.parametrize("surrogate", ["auto", None])
def test_failed_runs_drop_whole_rows_and_the_intervals_hold(surrogate, n_seeds):
    rng = np.random.default_rng(0)
    held = []
    for seed in range(n_seeds):
        design = uq.sobol_design(dists=DISTS, n=1024, rng=seed)
        Y = ishigami(design.points)
        Y[rng.random(len(Y)) < 0.01] = np.nan
        with pytest.warns(UserWarning, match="rows have failed runs") as caught:
            s = uq.sobol_estimate(design, Y, surrogate=surrogate)
        assert len(caught) == 1
        failed_rows = np.isnan(Y).reshape(1024, 5).any(axis=1).sum()
        assert s.n_effective == 1024 - failed_rows and s.n_evaluations == 5120
        assert len(s.flags) == 1
        interval = s.confidence_interval(0.95)
        held.append((interval.first_order.low <= S) & (S <= interval.first_order.high))
        held.append((interval.total_order.low <= T) & (T <= interval.total_order.high))
    assert np.mean(held) > 0.95 - 4 * np.sqrt(0.05 * 0.95 / (2 * n_seeds))


def test_constant_output_is_zeros_and_one_warning():
    with pytest.warns(UserWarning, match="is constant") as caught:
        s = uq.sobol_indices(func=lambda x: np.full(len(x), 3.7), dists=DISTS, n=64, order=2, rng=0)
    assert len(caught) == 1
    assert not s.first_order.any() and not s.total_order.any()
    assert not s.second_order[~np.eye(3, dtype=bool)].any()
    with pytest.warns(UserWarning, match="Output 1 is constant"):
        two = uq.sobol_indices(
            func=lambda x: np.stack([x[:, 0], np.ones(len(x))], axis=1), dists=DISTS, n=64, rng=0
        )
    assert two.first_order[:, 0] == pytest.approx([1, 0, 0], abs=1e-12)
    assert not two.first_order[:, 1].any()


DEPENDENT = uq.Inputs([stats.norm()] * 3, np.full((3, 3), 0.5) + 0.5 * np.eye(3))


@pytest.mark.parametrize(
    "options",
    [
        dict(dists=DISTS, n=64),
        dict(dists=DISTS, n=64, estimator="razavi_gupta"),
        dict(dists=DISTS, budget=2_000, method="importance"),
        dict(dists=[stats.norm()] * 3, budget=6_000, method="importance", rare=True),
        dict(inputs=DEPENDENT, n=64),
        dict(X=np.random.default_rng(0).uniform(-3, 3, (200, 3)), func=None),
    ],
)
def test_warnings_point_at_the_line_of_the_user(options):
    given = dict(rng=0) | options
    rare = given.pop("rare", False)

    def failing(x):
        y = (x.sum(axis=1) > 5.0).astype(float) if rare else ishigami(x)
        return np.where(np.abs(x[:, 0] - 1.5) < 0.05, np.nan, y)

    given.setdefault("func", failing)
    if "X" in given:
        given["Y"] = failing(given["X"])
    with pytest.warns(UserWarning, match="left out") as caught:
        uq.sobol_indices(**given)
    assert [one.filename for one in caught] == [__file__]


def test_warnings_of_halves_and_of_extensions_point_at_them_too():
    design = uq.sobol_design(dists=DISTS, n=64, rng=0)
    with pytest.warns(UserWarning, match="constant") as told:
        uq.sobol_estimate(design, np.ones(320))
    with pytest.warns(UserWarning, match="constant") as caught:
        s = uq.sobol_indices(func=lambda x: np.ones(len(x)), dists=DISTS, n=64, rng=0)
    with pytest.warns(UserWarning, match="constant") as extended:
        s.extend(128)
    for one in (told, caught, extended):
        assert [w.filename for w in one] == [__file__]


def test_inert_inputs_and_white_noise():
    rng = np.random.default_rng(1)
    s = uq.sobol_indices(func=lambda x: rng.standard_normal(len(x)), dists=DISTS, n=1024, rng=0)
    assert within(s, np.zeros(3), np.ones(3), errors=6.0)
    inert = uq.sobol_indices(func=lambda x: np.exp(x[:, 0]), dists=DISTS, n=256, rng=0)
    assert np.abs(inert.total_order[1:]).max() < 1e-5


def test_heavy_tails_are_flagged_and_light_ones_are_not():
    """A lognormal output of variation 9; sums of Cauchy variables have no variance at all."""
    heavy, cauchy, light = 0, 0, 0
    for seed in range(8):
        s = uq.sobol_indices(
            func=lambda x: np.exp(1.5 * x.sum(axis=1)), dists=[stats.norm()] * 2, n=128, rng=seed
        )
        heavy += any("few rows" in flag for flag in s.flags)
        s = uq.sobol_indices(
            func=lambda x: x.sum(axis=1), dists=[stats.cauchy()] * 2, n=128, rng=seed
        )
        cauchy += any("few rows" in flag for flag in s.flags)
        s = uq.sobol_indices(func=ishigami, dists=DISTS, n=128, rng=seed)
        light += any("few rows" in flag for flag in s.flags)
    assert heavy >= 3 and cauchy >= 6 and light <= 1


# --- intervals, bootstrap, results ------------------------------------------------------------


def test_bootstrap_on_random_rows_agrees_with_the_closed_form():
    options = dict(func=ishigami, dists=DISTS, n=2000, surrogate=None, sampling="mc", rng=4)
    closed = uq.sobol_indices(**options).confidence_interval(0.9)
    drawn = uq.sobol_indices(**options, n_resamples=2000).confidence_interval(0.9)
    for kind in ("first_order", "total_order"):
        one, other = getattr(closed, kind), getattr(drawn, kind)
        assert (other.high - other.low) / (one.high - one.low) == pytest.approx(1.0, abs=0.12)
        assert np.abs(other.low - one.low).max() < 0.2 * (one.high - one.low).max()


def test_result_names_aliases_and_frames():
    s = uq.sobol_indices(func=ishigami, dists=DISTS, n=64, order=2, rng=0)
    assert s.S1 is s.first_order and s.ST is s.total_order and s.S2 is s.second_order
    interval = s.confidence_interval(0.95)
    assert s.ST_conf == pytest.approx((interval.total_order.high - interval.total_order.low) / 2)
    frame = s.to_dataframe()
    assert len(frame) == 3 + 3 + 3 + 3
    row = frame[(frame["index"] == "second_order") & (frame["factor"] == "x1, x3")].iloc[0]
    assert row["estimate"] == s.second_order[0, 2]
    assert interval.shapley is None
    wide, narrow = s.confidence_interval(0.99).first_order, s.confidence_interval(0.5).first_order
    assert (wide.high - wide.low > narrow.high - narrow.low).all()
    with pytest.raises(AttributeError, match="shapley"):
        print(s.shapley)


def test_cheap_model_of_ones_own():
    cheap = lambda x: 0.5 * ishigami(x) + 0.3 * x[:, 0]  # noqa: E731
    plain = uq.sobol_indices(func=ishigami, dists=DISTS, n=1024, surrogate=None, rng=0)
    s = uq.sobol_indices(func=ishigami, dists=DISTS, n=1024, surrogate=cheap, rng=0)
    assert within(s, S, T, errors=6.0)
    assert "cheap model" in s.message
    assert s.standard_error.total_order.sum() < 0.5 * plain.standard_error.total_order.sum()
    useless = uq.sobol_indices(
        func=ishigami, dists=DISTS, n=1024, surrogate=lambda x: np.cos(40 * x[:, 2]), rng=0
    )
    assert useless.standard_error.total_order.sum() < 1.3 * plain.standard_error.total_order.sum()


def test_plots_return_their_axes():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    s = uq.sobol_indices(func=ishigami, dists=DISTS, n=128, rng=0)
    ax = s.plot()
    heights = [bar.get_height() for bar in ax.patches]
    assert heights == pytest.approx([*s.first_order, *s.total_order])
    _, own = plt.subplots()
    assert s.plot(own) is own
    drawn = s.plot_convergence()
    lines = [line for line in drawn.lines if len(line.get_xdata()) > 1]
    assert lines[0].get_ydata()[-1] == pytest.approx(s.first_order[0])
    assert list(lines[0].get_xdata()) == sorted(lines[0].get_xdata())
    plt.close("all")


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, error, told",
    [
        (dict(estimator="sobol"), ValueError, "janon_monod.*martinez.*saltelli_2010.*jansen"),
        (dict(n=1000), ValueError, "power of two.*1024"),
        (dict(n=600), ValueError, "nearest is 512"),
        (dict(n=8), ValueError, "at least 16"),
        (dict(budget=40), ValueError, "`budget` must pay for 16 rows of 5 runs, 80"),
        (dict(n=64, budget=100), TypeError, "either `budget`"),
        (dict(), TypeError, "either `budget`"),
        (dict(n=64, groups={"a": ["x1", "x2"], "b": ["x2"]}), ValueError, "must not overlap"),
        (dict(n=64, groups={"a": ["x1", "y"]}), ValueError, "Unknown input in the group 'a' 'y'"),
        (dict(n=64, groups={"a": "x1"}), ValueError, "must list its inputs"),
        (dict(n=64, groups={"a": 5}), ValueError, "must list its inputs, but got 5"),
        (dict(n=64, groups={"a": []}), ValueError, "must list its inputs"),
        (dict(n=64, surrogate=lambda x: 1.0), ValueError, "`surrogate` must return"),
        (dict(n=64, groups={"x1": ["x2", "x3"]}), ValueError, "has the name of an input"),
        (dict(n=64, order=3), ValueError, "`order` must be 1 or 2"),
        (dict(n=64, method="fast"), ValueError, "Unknown method 'fast'"),
        (dict(n=64, surrogate="kriging"), ValueError, "Unknown surrogate"),
        (dict(n=64, sampling="lhs"), ValueError, "Unknown sampling"),
        (dict(n=64, func="f"), TypeError, "`func` must be callable"),
        (dict(n=64, executor=3), TypeError, "`submit`"),
        (dict(n=64, inputs=DISTS), TypeError, "either as `inputs` or as `dists`"),
        (dict(n=64, dists=None), TypeError, "either as `inputs` or as `dists`"),
        (dict(n=64, surrogate=lambda x: np.ones(3)), ValueError, "`surrogate` must return"),
    ],
)
def test_bad_input_is_refused_before_a_run(options, error, told):
    def never(x):
        raise AssertionError("a run was spent")

    with pytest.raises(error, match=told):
        uq.sobol_indices(**{"func": never, "dists": DISTS, "rng": 0, **options})


@pytest.mark.parametrize("surrogate", [None, "auto"])
def test_dependent_inputs_are_refused_by_methods_for_independent_ones(surrogate):
    def never(x):
        raise AssertionError("a run was spent")

    options = dict(func=never, inputs=DEPENDENT, surrogate=surrogate)
    for more in (
        dict(method="importance", budget=6_000),
        dict(method="pick_freeze", n=64),
        dict(method="pick_freeze", n=64, estimator="razavi_gupta"),
    ):
        with pytest.raises(ValueError, match=r"dependent.*shapley_effects"):
            uq.sobol_indices(**options, **more)
    for more in (dict(n_resamples=5), dict(order=2), dict(estimator="razavi_gupta")):
        with pytest.raises(ValueError, match="not used with dependent inputs"):
            uq.sobol_indices(**options, n=64, **more)


def test_laws_without_quantiles_and_dependent_inputs():
    joint = uq.JointLaw(lambda n, rng: rng.standard_normal((n, 2)), lambda x: -(x**2).sum(1) / 2, 2)
    with pytest.raises(TypeError, match="each input with a law of its own"):
        uq.sobol_design(joint, n=64)
    dependent = uq.Inputs([stats.norm(), stats.norm()], correlation={("x1", "x2"): 0.5})
    with pytest.raises(ValueError, match="dependent"):
        uq.sobol_design(dependent, n=64)

    class NoQuantile:
        def rvs(self, size):
            return np.zeros(size)

        def logpdf(self, x):
            return -(x**2)

    with pytest.raises(ValueError, match="ppf.*without quantiles"):
        uq.sobol_design([NoQuantile(), stats.norm()], n=64)


def test_wrong_outputs_and_wrong_designs():
    design = uq.sobol_design(dists=DISTS, n=64, rng=0)
    with pytest.raises(ValueError, match="one row for each of the 320 points"):
        uq.sobol_estimate(design, np.zeros(319))
    with pytest.raises(ValueError, match="transposed"):
        uq.sobol_estimate(design, np.zeros((2, 320)))
    with pytest.raises(ValueError, match="Unknown estimator 'razavi_gupta'"):
        uq.sobol_estimate(design, np.zeros(320), estimator="razavi_gupta")
    with pytest.raises(TypeError, match="sobol_design"):
        uq.sobol_estimate(np.zeros((320, 3)), np.zeros(320))
    with pytest.raises(ValueError, match="extended to 64 times a power of two.*128 and 256"):
        design.extend(100)
    with pytest.raises(ValueError, match="too few for an estimate"):
        uq.sobol_estimate(design, np.full(320, np.nan))
    told = uq.sobol_estimate(design, ishigami(design.points))
    with pytest.raises(ValueError, match=r"design\.extend\(n\)"):
        told.extend(128)
    with pytest.raises(ValueError, match="transposed|lambda x"):
        uq.sobol_indices(func=lambda x: x[:3], dists=DISTS, n=64)


# --- other methods by the same call -------------------------------------------------------------


def test_given_runs_are_enough():
    X = uq.Inputs(DISTS).sample(2000, 0)
    s = uq.sobol_indices(X=X, Y=ishigami(X), dists=DISTS, rng=0)
    assert s.method == "given_data" and s.n_evaluations == 2000
    assert within(s, S, T, errors=5.0)
    ranks = uq.sobol_indices(X=X, Y=ishigami(X), rng=0)
    assert "not known" in ranks.message and within(ranks, S, T, errors=5.0)
    grouped = uq.sobol_indices(X=X, Y=ishigami(X), dists=DISTS, groups={"g": ["x1", "x3"]}, rng=0)
    assert grouped.names == ("g", "x2")


def test_dependent_inputs_have_shapley_effects():
    law = uq.Inputs([stats.norm(), stats.norm()], correlation={("x1", "x2"): 0.5})
    s = uq.sobol_indices(func=lambda x: x[:, 0] + 2 * x[:, 1], inputs=law, n=256, rng=0)
    # Owen & Prieur (2017): V = 1 + 4 + 2; the shared 2 rho b1 b2 is halved, rho^2 terms swapped.
    first = (1 * (1 - 0.125) + 0.5 * 2 + 4 * 0.125) / 7
    assert s.method == "shapley"
    assert s.shapley == pytest.approx([first, 1 - first], abs=1e-10)


def test_rare_events_by_importance():
    s = uq.sobol_indices(
        func=lambda x: (x.sum(axis=1) > 3.5 * np.sqrt(2)).astype(float),
        inputs=[stats.norm(), stats.norm()], budget=6_000, method="importance", rng=1,
    )  # fmt: skip
    assert s.n_evaluations <= 6_000
    assert within(s, np.full(2, 0.0314851985256), np.full(2, 0.968514801474), errors=4.5)
    assert s.standard_error.first_order.max() < 0.005


def test_stars_by_name():
    s = uq.sobol_indices(func=ishigami, dists=DISTS, n=512, estimator="razavi_gupta", rng=0)
    assert s.n_evaluations == 512 * 28 and list(s.estimates) == ["total_order"]
    assert np.abs(s.total_order - T).max() < 0.05


@pytest.mark.parametrize(
    "options, error, told",
    [
        (dict(X=np.zeros((50, 3))), TypeError, "both `X`, points, and `Y`"),
        (dict(X=np.zeros((50, 3)), Y=np.zeros(50), func=ishigami), ValueError, "`func` is not"),
        (dict(X=np.zeros((50, 3)), Y=np.zeros(50), budget=3), ValueError, "`budget` is not used"),
        (dict(X=np.zeros((50, 3)), Y=np.zeros(50), method="importance"), ValueError, "not used"),
        (dict(func=ishigami, n=64, method="importance"), ValueError, "`n` is not used"),
        (dict(func=ishigami, method="importance"), TypeError, "`budget` must be a whole number"),
        (dict(func=ishigami, budget=99, method="importance", order=2), ValueError, "`order`"),
        (dict(func=ishigami, n=64, estimator="razavi_gupta", order=2), ValueError, "`order`"),
        (
            dict(func=ishigami, n=64, estimator="razavi_gupta", surrogate=ishigami),
            ValueError,
            "`surrogate` is not used with stars",
        ),
        (
            dict(func=ishigami, budget=999, estimator="razavi_gupta", method="importance"),
            ValueError,
            "`estimator` is not used",
        ),
        (dict(X=np.zeros((50, 3)), Y=np.zeros(50), n_resamples=9), ValueError, "`n_resamples`"),
        (dict(X=np.zeros((50, 3)), Y=np.zeros(50), sampling="mc"), ValueError, "`sampling`"),
        (dict(X=np.zeros((50, 3)), Y=np.zeros(50), batch_size=9), ValueError, "`batch_size`"),
        (dict(n=64), TypeError, "Give `func`, the model; or `X` and `Y`"),
    ],
)
def test_arguments_that_would_not_be_used_are_refused(options, error, told):
    with pytest.raises(error, match=told):
        uq.sobol_indices(dists=DISTS, rng=0, **options)


@pytest.mark.parametrize("options", [dict(surrogate=ishigami), dict(n_resamples=9)])
def test_shapley_effects_refuse_what_they_would_not_use(options):
    inputs = uq.Inputs(DISTS, {("x1", "x2"): 0.5})
    with pytest.raises(ValueError, match="not used with dependent inputs"):
        uq.sobol_indices(func=ishigami, inputs=inputs, n=64, rng=0, **options)


def test_result_can_be_pickled_whatever_the_model_is():
    s = uq.sobol_indices(
        func=lambda x: ishigami(x), dists=DISTS, n=64, surrogate=lambda x: ishigami(x), rng=0
    )
    again = pickle.loads(pickle.dumps(s))
    assert np.array_equal(again.first_order, s.first_order)
    assert again.to_dataframe().equals(s.to_dataframe())
    with pytest.raises(ValueError, match="can be extended"):
        again.extend(128)
    with pytest.raises(ValueError, match=r"sobol_estimate\(result.design, result.values\)"):
        again.plot_convergence()
    anew = uq.sobol_estimate(again.design, again.values)
    assert len(anew._again.history()) > 1


def test_convergence_of_failed_runs_is_drawn_without_another_warning():
    def often_fails(x):
        return np.where(np.abs(np.sin(1e4 * x[:, 0])) < 0.8, np.nan, ishigami(x))

    with pytest.warns(UserWarning, match="59 of 64 rows"):
        s = uq.sobol_indices(func=often_fails, dists=DISTS, n=64, rng=0)
    assert all(past.n_evaluations < 320 for past in s._again.history())  # warnings are errors here


def test_warning_names_every_constant_output_and_points_at_the_caller():
    def func(x):
        return np.stack([0 * x[:, 0], ishigami(x), 0 * x[:, 0] + 0.1], axis=1)

    with pytest.warns(UserWarning, match="Output 0, 2 is constant") as told:
        uq.sobol_indices(func=func, dists=DISTS, n=64, rng=0)
    assert told[0].filename == __file__


def test_outputs_told_may_be_truth_values_or_masked():
    design = uq.sobol_design(DISTS, n=64, rng=0)
    Y = ishigami(design.points)
    of_truth = uq.sobol_estimate(design, Y > 5)
    assert np.array_equal(
        of_truth.total_order, uq.sobol_estimate(design, 1.0 * (Y > 5)).total_order
    )
    with pytest.warns(UserWarning, match="1 of 64 rows"):
        uq.sobol_estimate(design, np.ma.array(Y, mask=np.arange(len(Y)) == 7))
