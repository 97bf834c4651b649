"""Probabilities from the runs that are averaged: by hand, unbiased whatever the cheap model."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

from uq.proposals import Gaussian, Mixture
from uq.reliability.cheap_probabilities import N_NETS, CheapProbabilities
from uq.reliability.failure_density import Defence, standard_normal_log_density
from uq.reliability.final_runs import Control, Round, estimate
from uq.sampling import Folds

BETA = 3.0
P = norm.sf(BETA)
Q_DENSITY = Defence.of(2).around(
    [Mixture(np.ones(1), (Gaussian(np.array([3.3, 0.0]), np.diag([0.1, 1.0])),))]
)
NETS, RANDOM = Folds(8, 64, "qmc"), Folds(8, 256, "mc")


def round_of(folds, rng):
    """Runs of g = beta - x, and their margins."""
    z = Q_DENSITY.transform(folds.uniforms(Q_DENSITY.n_uniforms, rng))
    W = np.exp(standard_normal_log_density(z) - Q_DENSITY.log_density(z))
    g = BETA - z[:, :1]
    return Round(z, g, W, folds.labels), g


def rare(runs, margins, control):
    """Estimates of events that are less likely than not."""
    return estimate(runs, margins, np.zeros(margins.shape[1], dtype=bool), control)


class Wrong:
    """h_r = shift + r/200 + wave sin(4 y) + sign (beta - x), whose expectations are integrals."""

    def __init__(self, shift=0.0, wave=0.0, sign=1.0, softness=0.1, per_fold=0.005, n_folds=8):
        self.shift, self.wave, self.sign, self.softness = shift, wave, sign, softness
        self.shifts = shift + per_fold * np.arange(n_folds)
        y = np.linspace(-9.0, 9.0, 20_001)
        mass = norm.pdf(y) / norm.pdf(y).sum()
        off = self.shifts[:, None] + wave * np.sin(4.0 * y)
        above = sign * BETA + off  # h = above - sign x
        self.hard, self.soft = (ndtr(-above / np.sqrt(1.0 + s**2)) @ mass for s in (0.0, softness))

    def control(self, runs, rng, error=1e-3, is_exact=False):
        """Its values at the runs; each net knows the expectations but for an error."""
        x, y = runs.z.T
        h = self.sign * (BETA - x) + self.shifts[runs.folds] + self.wave * np.sin(4.0 * y)
        noise = 1.0 + error * rng.normal(size=(N_NETS, 1, 1))
        known = CheapProbabilities(
            noise * self.hard[None, :, None], noise * self.soft[None, :, None]
        )
        softness = np.full((len(x), 1), self.softness)
        return Control(h[:, None], softness, known, np.array([is_exact]))


CASES = {
    "exact": (Wrong(per_fold=0.0), RANDOM, 1),
    "good": (Wrong(0.0, 0.003, per_fold=0.0), RANDOM, 1),
    "soft": (Wrong(0.0, 0.015, softness=0.01, per_fold=0.0005), RANDOM, 2),
    "poor": (Wrong(0.3, 0.3), NETS, 0),
    "opposite": (Wrong(sign=-1.0), NETS, 0),
    "never": (Wrong(1e3), NETS, 0),
    "always": (Wrong(-1e3), RANDOM, 0),
}


@pytest.fixture(scope="module")
def repeated():
    """100 rounds of every case: means (100,), variances and what was used."""
    found = {}
    for name, (wrong, folds, _) in CASES.items():
        rng = np.random.default_rng(list(CASES).index(name))
        rows = []
        for _ in range(100):
            runs, margins = round_of(folds, rng)
            one = rare(runs, margins, wrong.control(runs, rng))
            rows.append((one.mean[0], one.variance[0], one.used[0], one.n_free[0]))
        found[name] = np.array(rows).T
    return found


@pytest.mark.parametrize("name", CASES)
def test_unbiased_however_wrong_the_cheap_limit_state(repeated, name):
    mean = repeated[name][0]
    error = mean.std(ddof=1) / np.sqrt(100)
    assert abs(mean.mean() - P) < 4.0 * error
    assert error < 0.014 * P


@pytest.mark.parametrize("name", CASES)
def test_what_is_used(repeated, name):
    """In doubt it is what needs no cheap limit state, a few times in a hundred."""
    assert (repeated[name][2] == CASES[name][2]).mean() > (0.7 if name == "soft" else 0.95)


@pytest.mark.parametrize("name", CASES)
def test_reported_variances_are_true_or_larger(repeated, name):
    mean, variance, _, n_free = repeated[name]
    t = (mean - P) / np.sqrt(variance)
    # The square of Student's t with f degrees of freedom has mean f / (f - 2).
    expected = np.mean(n_free / np.maximum(n_free - 2.0, 1.0))
    assert np.square(t).mean() < 1.5 * expected
    assert np.mean(variance) < (2.5 if name != "exact" else np.inf) * mean.var()


@pytest.mark.parametrize("softness", [1e-4, 1e-3, 1e-2])
def test_intervals_hold_where_hardly_a_run_is_mistaken(softness):
    """A soft limit state that is sharper than the runs are apart promises no more than a hard one:
    by its residuals alone the mean of t^2 would be above 50."""
    wrong, folds = Wrong(0.0, 0.003, softness=softness, per_fold=0.0005), Folds(8, 64, "mc")
    rng, t2 = np.random.default_rng(20), []
    for _ in range(200):
        runs, margins = round_of(folds, rng)
        found = rare(runs, margins, wrong.control(runs, rng))
        t2.append((found.mean[0] - P) ** 2 / found.variance[0])
    assert np.mean(t2) < 3.0
    assert (np.array(t2) < 9.0).mean() > 0.96


def test_a_good_cheap_limit_state_pays(repeated):
    sd = {name: rows[0].std() for name, rows in repeated.items()}
    assert sd["good"] < 0.3 * sd["always"]
    assert sd["soft"] < 0.6 * sd["always"]


def test_without_a_control_it_is_the_weighted_mean():
    runs, margins = round_of(NETS, np.random.default_rng(1))
    found = rare(runs, margins, None)
    T = runs.W * (margins[:, 0] < 0.0)
    by_fold = np.array([T[runs.folds == r].mean() for r in range(8)])
    np.testing.assert_allclose(found.by_fold[:, 0], by_fold, rtol=1e-12)
    assert found.mean[0] == pytest.approx(T.mean(), rel=1e-12)
    single = ((T - by_fold[runs.folds]) ** 2).sum() / (len(T) - 8) / len(T)
    expected = max(by_fold.var(ddof=1) / 8, 0.25 * single)
    assert found.variance[0] == pytest.approx(expected, rel=1e-12)
    assert found.n_free[0] == 7 and found.used[0] == 0 and np.isnan(found.mistaken[0])
    np.testing.assert_allclose([found.low[0], found.high[0]], found.mean[0], rtol=1e-12)


@pytest.mark.parametrize("name, used", [("good", 1), ("soft", 2)])
def test_controls_by_hand(name, used):
    """Equations (2) and (3), fold by fold."""
    rng = np.random.default_rng(2)
    runs, margins = round_of(RANDOM, rng)
    control = CASES[name][0].control(runs, rng)
    found = rare(runs, margins, control)
    assert found.used[0] == used
    h, s = control.h[:, 0], control.softness[:, 0]
    predicted = (h < 0.0).astype(float) if used == 1 else norm.cdf(-h / s)
    known = control.known.hard if used == 1 else control.known.soft
    happens = margins[:, 0] < 0.0
    left = runs.W * (happens - predicted)
    by_fold, spread = [], 0.0
    for r in range(8):
        own = left[runs.folds == r]
        by_fold.append(known[:, r, 0].mean() + own.mean())
        spread += np.square(own - own.mean()).sum()
    np.testing.assert_allclose(found.by_fold[:, 0], by_fold, rtol=1e-10)
    assert found.mean[0] == pytest.approx(np.mean(by_fold), rel=1e-10)
    of_known = known[:, :, 0].mean(axis=1).var(ddof=1) / N_NETS
    of_left = spread / (2048 - 8) / 2048
    nearest = np.argsort(np.abs(h))[:40]  # at least a quarter of a run
    of_left = max(of_left, 0.25 * np.square(runs.W[nearest]).mean() / 2048**2)
    assert found.variance[0] == pytest.approx(of_left + of_known, rel=1e-9)
    assert found.mistaken[0] == ((h < 0.0) != happens).sum()


def test_an_exact_cheap_limit_state_leaves_the_error_of_what_is_known():
    rng = np.random.default_rng(3)
    runs, margins = round_of(NETS, rng)
    control = Wrong(per_fold=0.0).control(runs, rng, is_exact=True)
    found = rare(runs, margins, control)
    known = control.known.hard.mean(axis=1)[:, 0]
    assert found.mean[0] == pytest.approx(known.mean(), rel=1e-12)
    assert found.variance[0] == pytest.approx(known.var(ddof=1) / N_NETS, rel=1e-12)
    assert found.n_free[0] == pytest.approx(N_NETS - 1)
    assert found.used[0] == 1 and found.mistaken[0] == 0


@pytest.mark.parametrize("softness", [0.5, 1e-4, 1e-12, 0.0])
def test_no_run_mistaken_is_not_no_error(softness):
    """A quarter of a run, of the weight of those nearest to the limit state."""
    rng = np.random.default_rng(4)
    runs, margins = round_of(RANDOM, rng)
    control = Wrong(per_fold=0.0, softness=softness).control(runs, rng, error=0.0)
    found = rare(runs, margins, control)
    nearest = np.argsort(np.abs(margins[:, 0]))[:40]
    expected = 0.25 * np.square(runs.W[nearest]).mean() / 2048**2
    assert found.mistaken[0] == 0
    assert found.used[0] == 1  # in doubt it is not softened
    assert found.variance[0] == pytest.approx(expected, rel=1e-9)
    assert found.n_free[0] < 7.0


def test_one_fit_for_all_folds():
    """Known expectations (S, 1, Q) of a cheap limit state without folds."""
    rng = np.random.default_rng(5)
    runs, margins = round_of(RANDOM, rng)
    control = Wrong(0.0, 0.003, per_fold=0.0).control(runs, rng)
    known = CheapProbabilities(control.known.hard[:, :1], control.known.soft[:, :1])
    one = rare(runs, margins, replace(control, known=known))
    all_ = rare(runs, margins, control)
    assert one.mean[0] == pytest.approx(all_.mean[0], rel=1e-12)
    assert one.by_fold.shape == (8, 1)


def test_events_do_not_touch_each_other():
    """Three events, two of them with a softness: each as if it were alone."""
    rng = np.random.default_rng(6)
    runs, margins = round_of(RANDOM, rng)
    parts = [CASES[name][0].control(runs, rng) for name in ("soft", "opposite", "good")]
    together = Control(
        np.concatenate([c.h for c in parts], axis=1),
        np.concatenate([c.softness for c in parts[:2]], axis=1),
        CheapProbabilities(
            np.concatenate([c.known.hard for c in parts], axis=2),
            np.concatenate([c.known.soft for c in parts[:2]], axis=2),
        ),
        np.zeros(3, dtype=bool),
    )
    found = rare(runs, np.repeat(margins, 3, axis=1), together)
    assert found.used.tolist() == [2, 0, 1]
    for q, control in enumerate(parts):
        alone = rare(runs, margins, control)
        for name in ("mean", "low", "high", "variance", "n_free", "used", "mistaken"):
            np.testing.assert_allclose(
                getattr(found, name)[q], getattr(alone, name)[0], rtol=1e-12, err_msg=name
            )


def with_failed_runs(margins, rng, share=0.05):
    failed = rng.random(len(margins)) < share
    return np.where(failed[:, None], np.nan, margins), failed


@pytest.mark.parametrize("name", ["none", "good", "soft"])
def test_failed_runs_are_counted_either_way(name):
    """`low` is what comes out where they do not fail, `high` where they do."""
    rng = np.random.default_rng(7)
    runs, margins = round_of(RANDOM, rng)
    holes, failed = with_failed_runs(margins, rng)
    T = runs.W * (margins[:, 0] < 0.0)
    control = None if name == "none" else CASES[name][0].control(runs, rng)
    found = rare(runs, holes, control)
    assert found.low[0] < found.mean[0] < found.high[0]
    assert found.high[0] - found.low[0] == pytest.approx((runs.W * failed).mean(), rel=1e-9)
    base = 0.0
    if found.used[0]:
        h = control.h[:, 0]
        hard = found.used[0] == 1
        predicted = (h < 0.0).astype(float) if hard else norm.cdf(-h / control.softness[:, 0])
        known = (control.known.hard if hard else control.known.soft).mean()
        base = known - (runs.W * predicted).mean()
    assert found.low[0] == pytest.approx(base + (T * ~failed).mean(), rel=1e-9)
    # The cheap limit state says whether a failed run would have been a failure.
    share = (T * ~failed).sum() / (runs.W * ~failed).sum()
    guess = control.h[:, 0] < 0.0 if found.used[0] else share
    expected = base + (T * ~failed + runs.W * failed * guess).mean()
    assert found.mean[0] == pytest.approx(expected, rel=1e-9)


def test_failed_runs_at_random_leave_the_estimate_unbiased():
    rng = np.random.default_rng(8)
    for wrong in (None, CASES["good"][0]):
        means = []
        for _ in range(200):
            runs, margins = round_of(NETS, rng)
            holes, _ = with_failed_runs(margins, rng, 0.02)
            control = None if wrong is None else wrong.control(runs, rng)
            means.append(rare(runs, holes, control).mean[0])
        error = np.std(means, ddof=1) / np.sqrt(200)
        assert abs(np.mean(means) - P) < 4.0 * error


def test_failed_runs_are_no_mistakes_of_the_cheap_limit_state():
    rng = np.random.default_rng(9)
    runs, margins = round_of(NETS, rng)
    holes, failed = with_failed_runs(margins, rng)
    found = rare(runs, holes, Wrong(per_fold=0.0).control(runs, rng))
    assert failed.sum() > 10 and found.mistaken[0] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_a_failed_run(bad):
    runs, margins = round_of(NETS, np.random.default_rng(10))
    margins[5] = bad
    found = rare(runs, margins, None)
    assert found.high[0] - found.low[0] == pytest.approx(runs.W[5] / 512, rel=1e-9)


def test_a_frequent_event_is_one_less_what_misses_it():
    """By hand and beside the exact 1 - p: the error is that of the opposite event."""
    rng = np.random.default_rng(13)
    runs, margins = round_of(RANDOM, rng)
    opposite = rare(runs, margins, None)
    found = estimate(runs, -margins, np.array([True]), None)
    assert found.mean[0] == pytest.approx(1.0 - opposite.mean[0], rel=1e-14)
    assert found.variance[0] == pytest.approx(opposite.variance[0], rel=1e-9)
    assert abs(found.mean[0] - (1.0 - P)) < 4.0 * np.sqrt(found.variance[0])
    assert rare(runs, -margins, None).variance[0] > 100.0 * found.variance[0]


@pytest.mark.parametrize("name", ["none", "good"])
def test_failed_runs_of_a_frequent_event(name):
    """1 - W (1 - i): counted as no failure where they failed, and as one."""
    rng = np.random.default_rng(14)
    runs, margins = round_of(RANDOM, rng)
    holes, failed = with_failed_runs(margins, rng)
    control = None
    if name == "good":
        control = CASES["good"][0].control(runs, rng)
        known = CheapProbabilities(1.0 - control.known.hard, 1.0 - control.known.soft)
        control = replace(control, h=-control.h, known=known)
    found = estimate(runs, -holes, np.array([True]), control)
    assert found.high[0] - found.low[0] == pytest.approx((runs.W * failed).mean(), rel=1e-9)
    assert found.low[0] <= found.mean[0] <= found.high[0]
    missed = runs.W * (margins[:, 0] < 0.0)
    if control is None:
        assert found.used[0] == 0
        assert found.high[0] == pytest.approx(1.0 - (missed * ~failed).mean(), rel=1e-12)
        lowest = 1.0 - (missed * ~failed + runs.W * failed).mean()
        assert found.low[0] == pytest.approx(lowest, rel=1e-12)
    else:
        assert found.used[0] == 1
        assert abs(found.mean[0] - (1.0 - P)) < 4.0 * np.sqrt(found.variance[0])


def test_where_all_runs_failed_nothing_is_known():
    runs, margins = round_of(NETS, np.random.default_rng(11))
    found = rare(runs, np.full_like(margins, np.nan), None)
    assert found.low[0] == 0.0 and found.mean[0] == 0.0
    assert found.high[0] == pytest.approx(runs.W.mean())


def test_an_event_that_was_not_met_has_no_mean_and_no_variance():
    """What calls it unlikely by a bound is not this room."""
    runs, margins = round_of(NETS, np.random.default_rng(12))
    found = rare(runs, margins + 100.0, None)
    assert found.mean[0] == 0.0 and found.variance[0] == 0.0
