"""Impact of input laws: closed forms, intervals, the guard, what it spends and what it refuses."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats
from scipy.stats import norm

import uq
from uq.impact.impact_of_inputs import input_impact

EVERY = ["mean", "variance", "sd", "quantile", "failure_probability"]
NAMES = "abc"
SLOPES = np.array([1.0, 2.0, 0.5])
MEANS = np.array([1.0, 2.0, 0.0])
SDS = np.array([1.0, 0.5, 2.0])
NORMAL = uq.Inputs({n: stats.norm(m, s) for n, m, s in zip(NAMES, MEANS, SDS, strict=True)})
THRESHOLD = 7.0


def linear(x):
    return x @ SLOPES


def moments_of_output(label=None):
    """Mean and variance of the linear model under a perturbed law."""
    m, v = MEANS @ SLOPES, np.sum((SDS * SLOPES) ** 2)
    if label is not None:
        k = NAMES.index(label.input)
        scale = SLOPES[k] * SDS[k]
        if label.kind == "mean":
            m += scale * label.delta
        else:
            v += scale**2 * (2.0**label.delta - 1.0)
    return m, v


def truth(name, label=None, level=0.95, threshold=THRESHOLD):
    m, v = moments_of_output(label)
    sd = np.sqrt(v)
    return {
        "mean": m, "variance": v, "sd": sd, "quantile": norm.ppf(level, m, sd),
        "failure_probability": norm.sf(threshold, m, sd),
    }[name]  # fmt: skip


def exact(name, labels):
    return np.array([truth(name, label) for label in labels])


def within(found, expected, error, times=4.5):
    return bool((np.abs(found - expected) <= times * error + 1e-10).all())


class Counted:
    """A model that counts its runs."""

    def __init__(self, func=linear):
        self.func, self.n = func, 0

    def __call__(self, x):
        self.n += len(x)
        return self.func(x)


@pytest.fixture(scope="module")
def study():
    perturb = {"a": ["mean", "sd"], "b": "mean", "c": "sd"}
    return uq.input_impact(
        linear, NORMAL, perturb=perturb, quantity=EVERY, threshold=THRESHOLD, budget=2000, rng=0
    )


def test_a_mean_is_shifted_exactly():
    """a_k sd_k delta: a linear model is in the span of the surrogate."""
    r = uq.input_impact(linear, NORMAL, budget=500, rng=0)
    assert r.estimate.shape == r.index.shape == (27,)
    assert [str(label) for label in r.labels[:2]] == ["a mean -1", "a mean -0.75"]
    np.testing.assert_allclose(r.estimate, exact("mean", r.labels), rtol=1e-10)
    np.testing.assert_allclose(r.difference, exact("mean", r.labels) - truth("mean"), atol=1e-10)
    assert r.standard_error.max() < 1e-8


def test_variance_under_stretched_laws_is_exact():
    r = uq.input_impact(
        linear, NORMAL, perturb=dict.fromkeys(NAMES, "sd"), deltas=[-2.0, 1.0, 2.0],
        quantity=["variance", "sd"], budget=500, rng=0,
    )  # fmt: skip
    for k, name in enumerate(("variance", "sd")):
        np.testing.assert_allclose(r.estimate[k], exact(name, r.labels), rtol=1e-9)
        np.testing.assert_allclose(r.index[k], exact(name, r.labels) / truth(name) - 1.0, atol=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_every_quantity_of_a_linear_model(study, name):
    k = EVERY.index(name)
    expected = exact(name, study.labels)
    assert within(study.estimate[k], expected, study.standard_error[k])
    assert within(study.reference_estimate[k], truth(name), study.reference_standard_error[k])
    index = expected / truth(name) - 1.0
    assert within(study.index[k], index, study.index_standard_error[k])
    apart = expected - truth(name)
    assert within(study.difference[k], apart, study.difference_standard_error[k])
    assert study.in_reach.all() and not study.flags
    assert study.index_standard_error[k].max() < 0.1


def test_the_unperturbed_law_is_the_reference(study):
    at = [k for k, label in enumerate(study.labels) if label.delta == 0.0]
    assert len(at) == 4
    assert (study.index[:, at] == 0.0).all() and (study.index_standard_error[:, at] == 0.0).all()
    assert (study.estimate[:, at] == study.reference_estimate[:, None]).all()


@pytest.mark.parametrize("budget", [1000, 3000])
def test_rare_failures_are_found(budget):
    """P = 3e-4 under the reference; a sample drawn for failures is in reach of their laws."""
    beta = 3.4
    threshold = truth("mean") + beta * truth("sd")
    r = uq.input_impact(
        linear, NORMAL, deltas=[-0.5, 0.5], quantity="failure_probability", threshold=threshold,
        budget=budget, rng=1,
    )  # fmt: skip
    assert r.in_reach.all() and not r.flags
    expected = np.array([
        truth("failure_probability", label, threshold=threshold) for label in r.labels
    ])  # fmt: skip
    assert r.reference_estimate == pytest.approx(norm.sf(beta), rel=0.2)
    assert within(r.estimate, expected, r.standard_error)
    assert (r.standard_error < 0.1 * expected).all()


@pytest.mark.parametrize("level", [0.01, 0.99])
def test_far_quantiles(level):
    r = uq.input_impact(
        linear, NORMAL, deltas=[-0.5, 0.5], quantity="quantile", level=level, budget=3000, rng=2
    )
    expected = [truth("quantile", label, level=level) for label in r.labels]
    assert within(r.estimate, expected, r.standard_error)
    sd = truth("sd")
    plain = np.sqrt(0.01 * 0.99 / 3000) / (norm.pdf(norm.ppf(level)) / sd)
    assert np.median(r.standard_error) < 0.5 * plain


def test_a_lognormal_and_a_bounded_input():
    """E[A B], A lognormal, B a perturbed uniform law with E = 2 + 3 Phi(delta / sqrt 2)."""
    inputs = uq.Inputs({"A": stats.lognorm(0.2, scale=3.0), "B": stats.uniform(2.0, 3.0)})
    r = uq.input_impact(lambda x: x[:, 0] * x[:, 1], inputs, budget=1000, rng=0)
    mean_a, mean_b = 3.0 * np.exp(0.02), 3.5
    for label, index, error in zip(r.labels, r.index, r.index_standard_error, strict=True):
        if label.input == "A":
            expected = np.exp(0.2 * label.delta) - 1.0
        else:
            expected = (2.0 + 3.0 * norm.cdf(label.delta / np.sqrt(2.0))) / mean_b - 1.0
        assert within(index, expected, error)
    assert r.reference_estimate == pytest.approx(mean_a * mean_b, rel=1e-4)
    assert r.index_standard_error.max() < 1e-3


def test_dependent_inputs_keep_their_copula():
    """Var(A + B) = 2 + 2 rho under shifts, whatever they are."""
    inputs = uq.Inputs({"A": stats.norm(), "B": stats.norm()}, correlation={("A", "B"): 0.6})
    r = uq.input_impact(
        lambda x: x.sum(axis=1), inputs, deltas=[-1.0, 1.0], quantity=["mean", "variance"],
        budget=600, rng=0,
    )  # fmt: skip
    np.testing.assert_allclose(r.estimate, [[-1.0, 1.0, -1.0, 1.0], [3.2] * 4], atol=1e-8)


def test_laws_of_ones_own():
    laws = [uq.Inputs([stats.norm(m, s)]) for m, s in [(0.0, 1.0), (0.5, 1.0), (0.2, 1.3)]]
    mine = uq.JointLaw(
        lambda n, rng: rng.normal(0.3, 1.1, (n, 1)), lambda x: norm.logpdf(x[:, 0], 0.3, 1.1), 1
    )
    r = uq.input_impact(
        lambda x: np.exp(0.5 * x[:, 0]), laws=[*laws, mine, laws[1]], budget=1500, rng=0
    )
    moments = np.array([(0.0, 1.0), (0.5, 1.0), (0.2, 1.3), (0.3, 1.1), (0.5, 1.0)]).T
    expected = np.exp(0.5 * moments[0] + moments[1] ** 2 / 8.0)
    assert within(r.estimate, expected, r.standard_error)
    assert r.index[0] == 0.0 and r.index[1] == r.index[4]
    assert within(r.index, expected / expected[0] - 1.0, r.index_standard_error)
    assert [str(label) for label in r.labels] == [f"law {k}" for k in range(5)]
    other = uq.input_impact(
        lambda x: np.exp(0.5 * x[:, 0]), laws[2], laws=laws[:2], budget=1500, rng=0
    )
    assert within(other.index, expected[:2] / expected[2] - 1.0, other.index_standard_error)


@pytest.mark.parametrize("n_seeds", [20, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("surrogate", [None, "auto"])
def test_intervals_hold(surrogate, n_seeds):
    """95 % intervals of estimates and indices of exp(x a), all quantities."""
    a = np.array([0.3, 0.5])
    inputs = uq.Inputs([stats.norm(), stats.norm()])
    hits = []
    for seed in range(n_seeds):
        r = uq.input_impact(
            lambda x: np.exp(x @ a), inputs, perturb={"x1": "mean", "x2": "sd"},
            deltas=[-1.0, 1.0], quantity=EVERY, threshold=1.8, budget=400, surrogate=surrogate,
            rng=seed,
        )  # fmt: skip
        rows = []
        for label in [None, *r.labels]:
            m, v = 0.0, a @ a
            if label is not None and label.kind == "mean":
                m = a[0] * label.delta
            elif label is not None:
                v += a[1] ** 2 * (2.0**label.delta - 1.0)
            variance = np.expm1(v) * np.exp(2.0 * m + v)
            rows.append([
                np.exp(m + v / 2.0), variance, np.sqrt(variance),
                np.exp(norm.ppf(0.95, m, np.sqrt(v))), norm.sf(np.log(1.8), m, np.sqrt(v)),
            ])  # fmt: skip
        values = np.array(rows).T
        wanted = {"estimate": values[:, 1:], "index": values[:, 1:] / values[:, :1] - 1.0}
        for of, expected in wanted.items():
            low, high = r.confidence_interval(of=of)
            hits.append(((low <= expected) & (expected <= high)).mean(axis=1))
    share = np.array(hits).reshape(n_seeds, 2, 5)
    # Four standard errors of independent seeds, the laws of a seed taken as one.
    assert (share.mean(axis=0) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / n_seeds)).all()
    assert share.mean() > 0.91


def test_confidence_intervals(study):
    low, high = study.confidence_interval(0.95, of="index")
    wide = study.confidence_interval(0.95, of="index", simultaneous=True)
    narrow = study.confidence_interval(0.5)
    assert low.shape == high.shape == (5, len(study.labels))
    assert (wide.low <= low).all() and (wide.high >= high).all()
    np.testing.assert_allclose((narrow.low + narrow.high) / 2, study.estimate, rtol=1e-12)
    with pytest.raises(ValueError, match="between 0 and 1"):
        study.confidence_interval(95)
    with pytest.raises(ValueError, match="'estimate', 'index', 'difference'"):
        study.confidence_interval(of="ratio")


@pytest.mark.parametrize("budget", [28, 100, 777])
@pytest.mark.parametrize("sampling", ["qmc", "mc"])
def test_exactly_the_budget(budget, sampling):
    model = Counted()
    r = uq.input_impact(
        model, NORMAL, deltas=[0.3], quantity=EVERY, threshold=5.0, budget=budget,
        sampling=sampling, rng=0,
    )  # fmt: skip
    assert model.n == r.n_evaluations == budget
    assert np.isfinite(r.estimate).all()
    np.testing.assert_array_equal(linear(r.sample), r.values)


def test_batches_and_an_executor_change_nothing():
    options = {"budget": 600, "rng": 3, "quantity": EVERY, "threshold": 5.0}
    one = uq.input_impact(linear, NORMAL, **options)
    sizes = []

    def watched(x):
        sizes.append(len(x))
        return linear(x)[:, None]

    with ThreadPoolExecutor(2) as pool:
        other = uq.input_impact(watched, NORMAL, batch_size=64, executor=pool, **options)
    assert max(sizes) == 64 and sum(sizes) == 600
    np.testing.assert_array_equal(one.estimate, other.estimate)


def test_a_constant_and_a_unit_change_nothing_but_rounding():
    """y + 1e8 loses 1.5e-8 of each output, 2^20 y loses nothing."""

    def func(x):
        return np.exp(0.4 * x[:, 0]) + x[:, 1] * x[:, 2]

    options = {"budget": 600, "rng": 1, "quantity": EVERY[:4], "deltas": [-1.0, 1.0]}
    one = uq.input_impact(func, NORMAL, **options)
    far = uq.input_impact(lambda x: func(x) + 1e8, NORMAL, **options)
    large = uq.input_impact(lambda x: 2.0**20 * func(x), NORMAL, **options)
    shift = np.array([1e8, 0.0, 0.0, 1e8])[:, None]
    np.testing.assert_allclose(far.estimate - shift, one.estimate, atol=1e-6)
    np.testing.assert_allclose(far.standard_error, one.standard_error, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(far.difference, one.difference, atol=1e-6)
    units = 2.0 ** np.array([20, 40, 20, 20])[:, None]
    np.testing.assert_allclose(large.estimate, units * one.estimate, rtol=1e-12)
    np.testing.assert_allclose(large.index, one.index, rtol=1e-9, atol=1e-12)


def test_ones_own_cheap_model():
    def func(x):
        return np.abs(x[:, 0]) + 0.01 * np.exp(x[:, 1])

    options = {"budget": 500, "rng": 0, "quantity": ["mean", "failure_probability"]}
    options |= {"threshold": 2.5, "deltas": [-1.0, 1.0]}
    inputs = uq.Inputs([stats.norm(), stats.norm()])
    plain = uq.input_impact(func, inputs, surrogate=None, **options)
    cheap = uq.input_impact(func, inputs, surrogate=lambda x: np.abs(x[:, 0]), **options)
    assert (cheap.standard_error[0] < 0.3 * plain.standard_error[0]).all()
    gap = np.hypot(cheap.standard_error, plain.standard_error)
    assert within(cheap.estimate, plain.estimate, gap)
    with pytest.raises(ValueError, match="`surrogate` must return values of the shape"):
        uq.input_impact(func, inputs, surrogate=lambda x: x, **options)


def test_further_laws_from_the_same_runs(study):
    laws = [
        uq.Inputs({"a": stats.norm(m, 1.0), "b": stats.norm(2.0, 0.5), "c": stats.norm(0.0, 2.0)})
        for m in (1.7, 6.0)
    ]
    r = study.reweight(laws)
    assert r.in_reach.tolist() == [True, False]
    assert any("Few effective points" in flag and "law 1 (" in flag for flag in r.flags)
    assert not any("law 0" in flag for flag in r.flags)
    assert r.ess[1] < 20 < r.ess[0] and r.max_weight_share[1] > 0.05
    assert r.n_evaluations == 2000 and "no new evaluation" in r.message
    for k, name in enumerate(EVERY):
        label = study.labels[0]._replace(kind="mean", delta=0.7)
        assert within(r.estimate[k, 0], truth(name, label), r.standard_error[k, 0])
        index = truth(name, label) / truth(name) - 1.0
        assert within(r.index[k, 0], index, r.index_standard_error[k, 0])
    one = study.reweight(laws[0])
    np.testing.assert_allclose(one.index[:, 0], r.index[:, 0], rtol=1e-10)
    with pytest.raises(ValueError, match="3 columns, but the law has dimension 1"):
        study.reweight(stats.norm())
    with pytest.raises(ValueError, match="empty list"):
        study.reweight([])


def test_a_density_that_is_not_normalised_is_said(study):
    half = uq.JointLaw(
        lambda n, rng: NORMAL.sample(n, rng), lambda x: NORMAL.log_density(x) - 0.7, 3, NAMES
    )
    r = study.reweight(half)
    assert not r.in_reach[0]
    assert any("Weights that do not average 1" in flag and "(0.49" in flag for flag in r.flags)


@pytest.mark.parametrize("quantity", ["mean", "quantile", "failure_probability"])
def test_one_quantity_is_one_row(quantity):
    threshold = 5.0 if quantity == "failure_probability" else None
    r = uq.input_impact(
        linear, NORMAL, quantity=quantity, threshold=threshold, deltas=[0.5], budget=400, rng=0
    )
    assert r.estimate.shape == r.index.shape == r.difference.shape == (3,)
    assert np.ndim(r.reference_estimate) == np.ndim(r.reference_standard_error) == 0
    assert r.confidence_interval().low.shape == r.in_reach.shape == r.ess.shape == (3,)
    assert r.reweight(NORMAL).index.shape == (1,)
    listed = uq.input_impact(
        linear, NORMAL, quantity=[quantity], threshold=threshold, deltas=[0.5], budget=400, rng=0
    )
    np.testing.assert_array_equal(listed.estimate, r.estimate[None])


def test_failed_runs_are_left_out_and_said():
    """Given a < 2: the mean of a truncated normal variable."""

    def failing(x):
        return np.where(x[:, 0] > 2.0, np.nan, x[:, 0])

    r = uq.input_impact(
        failing, NORMAL, perturb={"a": "mean"}, deltas=[-0.5, 0.5],
        quantity=["mean", "sd", "quantile"], level=0.5, budget=2000, rng=0,
    )  # fmt: skip
    assert r.n_failed == np.sum(r.failed_points[:, 0] > 2.0) > 0
    assert any(f"{r.n_failed} of 2000 runs failed" in flag for flag in r.flags)
    for k, m in enumerate((0.5, 1.5)):
        law = stats.truncnorm(-np.inf, 2.0 - m, loc=m)
        expected = np.array([law.mean(), law.std(), law.median()])
        assert within(r.estimate[:, k], expected, r.standard_error[:, k])
    assert np.isfinite(r.reweight(NORMAL).estimate).all()


def test_a_reference_of_zero_has_no_index():
    inputs = uq.Inputs([stats.norm()])
    r = uq.input_impact(lambda x: x[:, 0], inputs, deltas=[1.0], budget=300, surrogate=None, rng=0)
    assert any("not clear of 0" in flag for flag in r.flags)
    assert r.difference[0] == pytest.approx(1.0, abs=0.1)


def test_an_event_that_never_happens_is_said():
    r = uq.input_impact(
        lambda x: np.tanh(x[:, 0]), NORMAL, quantity=["failure_probability", "mean"],
        threshold=2.0, deltas=[0.5], budget=400, rng=0,
    )  # fmt: skip
    assert (r.estimate[0] == 0.0).all() and np.isnan(r.standard_error[0]).all()
    assert np.isnan(r.index[0]).all() and np.isfinite(r.index[1]).all()
    assert any("failure_probability" in flag for flag in r.flags)
    constant = uq.input_impact(
        lambda x: np.full(len(x), 3.0), NORMAL, quantity=EVERY[:4], deltas=[0.5], budget=400, rng=0
    )
    np.testing.assert_allclose(constant.estimate[[0, 3]], 3.0, rtol=1e-12)
    assert np.isnan(constant.standard_error).all() and constant.flags


def test_data_frame(study):
    pytest.importorskip("pandas")
    frame = study.to_dataframe()
    assert len(frame) == 5 * len(study.labels)
    row = frame[(frame.quantity == "variance") & (frame.law == "c sd +1")].iloc[0]
    at = [str(label) for label in study.labels].index("c sd +1")
    assert (row.input, row.kind, row.delta, row.in_reach) == ("c", "sd", 1.0, True)
    assert row.estimate == study.estimate[1, at] and row["index"] == study.index[1, at]
    low, high = study.confidence_interval(of="difference")
    assert (row.difference_low, row.difference_high) == (low[1, at], high[1, at])
    with pytest.raises(ValueError, match="between 0 and 1"):
        study.to_dataframe(2.0)


def test_pictures(study):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    axes = study.plot()
    assert axes.shape == (5,) and axes[3].get_ylabel() == "0.95-quantile / reference - 1"
    names = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert names == ["a, mean", "a, sd", "b, mean", "c, sd"]
    with pytest.raises(ValueError, match="`ax` must be 5 axes"):
        study.plot(axes[:2])
    plt.close("all")
    one = uq.input_impact(linear, NORMAL, budget=200, rng=0)
    given = plt.subplots()[1]
    assert one.plot(given) is given and given.get_xlabel().startswith("shift of the normal score")
    further = study.reweight([NORMAL, uq.Inputs([stats.norm(50.0)] * 3)])
    for ax in (further.plot()[0], further.plot_weights(), one.plot_weights()):
        ax.figure.canvas.draw()
    plt.close("all")


def test_same_seed_same_result_and_pickled():
    one, two = (uq.input_impact(linear, NORMAL, budget=300, rng=4) for _ in range(2))
    np.testing.assert_array_equal(one.estimate, two.estimate)
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(again.index, one.index)


def test_what_the_model_raises_is_told_once():
    def broken(x):
        raise KeyError("mesh")

    with pytest.raises(KeyError, match="mesh") as caught:
        uq.input_impact(broken, NORMAL, budget=100, rng=0)
    assert len(caught.value.__notes__) == 1 and "batch of" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"perturb": {"q": "mean"}}, ValueError, "known are 'a', 'b', 'c'"),
        ({"perturb": {"a": "median"}}, ValueError, "known are 'mean', 'sd' or a list"),
        ({"perturb": {"a": []}}, ValueError, "names no perturbation"),
        ({"perturb": {"a": 1.0}}, ValueError, "Unknown perturbation of 'a' 1.0"),
        ({"perturb": {}}, TypeError, "must map names"),
        ({"perturb": ["a"]}, TypeError, "must map names"),
        ({"deltas": [0.0, np.nan]}, ValueError, "finite numbers"),
        ({"deltas": 1.0}, ValueError, "finite numbers"),
        ({"deltas": []}, ValueError, "finite numbers"),
        ({"laws": [NORMAL], "perturb": {"a": "mean"}}, TypeError, "not both"),
        ({"laws": [NORMAL], "deltas": [1.0]}, TypeError, "not both"),
        ({"laws": []}, TypeError, "list of laws"),
        ({"laws": [uq.Inputs([stats.norm()])]}, ValueError, "law 0 has 1 and the reference 3"),
        ({"laws": [uq.Inputs([stats.norm()] * 3)]}, ValueError, "same inputs"),
        ({"quantity": "median"}, ValueError, "known are 'mean', 'variance', 'sd', 'quantile'"),
        ({"quantity": ["mean", "mean"]}, ValueError, "different quantities"),
        ({"quantity": []}, ValueError, "different quantities"),
        ({"quantity": 3}, ValueError, "Unknown quantity 3"),
        ({"quantity": "failure_probability"}, TypeError, "needs `threshold`"),
        ({"threshold": 1.0}, ValueError, "that of 'failure_probability'"),
        (
            {"quantity": "failure_probability", "threshold": np.nan},
            ValueError, "`threshold` must be finite",
        ),
        ({"level": 1.0}, ValueError, "`level` of the quantile"),
        ({"level": "high"}, TypeError, "`level` must be a number"),
        ({"budget": 27}, ValueError, "`budget` must be at least 28"),
        ({"budget": 1e3}, TypeError, "`budget` must be a whole number"),
        ({"batch_size": 0}, ValueError, "`batch_size`"),
        ({"executor": 2}, TypeError, "`submit`"),
        ({"sampling": "lhs"}, ValueError, "'qmc', 'mc'"),
        ({"surrogate": "forest"}, ValueError, "Unknown surrogate"),
    ],
)  # fmt: skip
def test_refusals(options, error, match):
    model = Counted()
    with pytest.raises(error, match=match):
        uq.input_impact(model, NORMAL, **({"budget": 100} | options))
    assert model.n == 0


def test_refusals_of_laws_and_models():
    mine = uq.JointLaw(lambda n, rng: rng.normal(size=(n, 1)), lambda x: -(x[:, 0] ** 2), 1)
    with pytest.raises(TypeError, match="one marginal of `uq.Inputs`"):
        uq.input_impact(linear, mine, budget=100)
    with pytest.raises(TypeError, match="Give `inputs`"):
        uq.input_impact(linear, budget=100)
    with pytest.raises(TypeError, match="`func` must be callable"):
        uq.input_impact("linear", NORMAL, budget=100)
    with pytest.raises(ValueError, match=r"must return an array of the shape \(\d+,\)"):
        uq.input_impact(lambda x: x[:, :2], NORMAL, budget=100)
    with pytest.raises(ValueError, match="Every one of the first"):
        uq.input_impact(lambda x: np.full(len(x), np.nan), NORMAL, budget=100)


def test_the_function_is_the_room_s():
    assert uq.input_impact is input_impact


@pytest.mark.parametrize("kind, size", [("mean", 10.5), ("sd", -6.5)])
def test_perturbations_without_floating_point_probability_are_refused(kind, size):
    with pytest.raises(ValueError, match=f"`deltas` of '{kind}' must lie between"):
        uq.input_impact(
            lambda x: 1 / 0, [stats.gumbel_r()], perturb={"x1": kind}, deltas=[size], budget=99
        )


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_outputs_whose_squares_are_no_numbers_are_refused_at_once(scale):
    spent = []

    def func(x):
        spent.append(len(x))
        return scale * x[:, 0]

    with pytest.raises(ValueError, match="in other units"):
        uq.input_impact(func, [stats.norm()], quantity=["mean", "variance"], budget=2000, rng=0)
    assert len(spent) == 1
