"""The search: what it promises of stages, fits, shares and guards, against closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from uq import density_search, weighted_points
from uq.density_search import Search
from uq.prediction import LearningPoints
from uq.proposals import Gaussian, Mixture, StudentT

NORMAL = Gaussian(np.zeros(1), np.eye(1))


def gaussian(mean, sd=1.0):
    return Gaussian(np.atleast_1d(mean), np.atleast_2d(sd**2))


def search(values, laws=(NORMAL,), start=NORMAL, seed=0, law_moments=None, **given):
    settings = {
        "weights": "relative", "family": "gaussian", "covariance": "auto", "defensive": None,
        "nets": True,
    } | given  # fmt: skip

    def log_laws(z):
        return np.stack([law.log_density(z) for law in laws], axis=1)

    return Search(
        values, log_laws, start, rng=np.random.default_rng(seed), law_moments=law_moments,
        **settings,
    )  # fmt: skip


def tilts(*a):
    """exp(a z): the best density for one of them is N(a, 1)."""
    return lambda z: np.exp(np.array(a) * z)


def event(threshold):
    return lambda z: (z > threshold).astype(float)


def ess(t):
    return t.sum() ** 2 / (t**2).sum()


# Tempering


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 40.0), st.floats(0.02, 0.6))
def test_tempering_leaves_the_points_it_promises(seed, spread, share):
    t = np.exp(spread * np.random.default_rng(seed).standard_normal(400))
    least = share * 400
    gamma = weighted_points.tempering(t, least)
    assert 2.0**-10 <= gamma <= 1.0
    assert ess(t**gamma) >= least - 1e-6 or gamma == 2.0**-10
    if gamma < 1.0:  # and no larger exponent does
        larger = gamma + 2.0**-10
        assert ess((t / t.max()) ** larger) < least


def test_tempering_of_a_tilt_by_hand():
    """ESS / n of exp(g a z) is exp(-(g a)^2): here 1/4 at g = sqrt(log 4) / a."""
    z = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    gamma = weighted_points.tempering(np.exp(3.0 * z), 25_000)
    assert gamma == pytest.approx(math.sqrt(math.log(4.0)) / 3.0, abs=2e-3)
    assert weighted_points.tempering(np.exp(0.5 * z), 25_000) == 1.0


# Stages


def test_stages_are_recorded():
    one = search(tilts(1.0))
    assert not one.in_reach
    drawn = []
    for n in (200, 100, 50):
        one.stage(n)
        points = one.points()
        drawn.append(len(points.z))
        t = np.abs(points.T[:, 0])
        assert one.stages[-1].effective_sample_size == pytest.approx(ess(t))
    assert drawn == [200, 300, 350]
    assert [stage.n for stage in one.stages] == [200, 100, 50]
    assert [stage.source for stage in one.stages] == ["start", "fit", "fit"]
    assert [stage.tempering for stage in one.stages] == [1.0] * 3
    assert one.in_reach


def test_points_have_the_density_of_the_mixture_of_all_stages():
    """E_h[f / h] = 1, and h in proportion to the points, failed ones included."""
    given = []

    def values(z):
        given.append(z)
        return np.where(z > 1.5, np.nan, np.exp(z))

    one = search(values)
    densities = []
    for n in (4000, 1000):
        densities.append(one._next[0])
        one.stage(n)
    points = one.points()
    kept = points.z[:, 0] <= 1.5
    assert 0 < (~kept).sum()
    np.testing.assert_array_equal(points.z, np.concatenate(given))
    np.testing.assert_allclose(points.Y, np.where(kept[:, None], np.exp(points.z), 0.0))
    h = 0.8 * np.exp(densities[0].log_density(points.z))
    h += 0.2 * np.exp(densities[1].log_density(points.z))
    np.testing.assert_allclose(np.exp(points.log_h), h)
    W = points.W[:, 0]  # failed runs count as draws
    assert abs(W.mean() - 1.0) < 4 * W.std() / math.sqrt(len(W))


def test_a_tempered_fit_goes_part_of_the_way():
    """phi = exp(6 z): hardly a point of N(0, 1) tells of N(6, 1)."""
    one = search(tilts(6.0))
    one.stage(100)
    first = one.stages[0]
    assert 0.0 < first.tempering < 1.0 and not one.in_reach
    density, name = one._next
    assert name == f"fit, tempered {first.tempering:.2g}"
    z = density.sample(4000, np.random.default_rng(0))
    assert 1.0 < z.mean() < 4.5
    for _ in range(8):
        one.stage(100)
    assert one.stages[-1].tempering == 1.0 and one.in_reach
    found = one.found()
    assert found.moved
    near = found.density.sample(20_000, np.random.default_rng(0))
    assert np.median(near) == pytest.approx(6.0, abs=0.6)


@pytest.mark.parametrize("threshold", [4.0, 5.0, 6.5])
def test_widening_finds_a_rare_event(threshold):
    one = search(event(threshold), seed=1)
    stages = 0
    while not one.in_reach and stages < 30:
        one.stage(64)
        stages += 1
    assert one.in_reach
    widths = dict.fromkeys(s.source for s in one.stages if "times as wide" in s.source)
    assert list(widths) == [f"start, {1.5 ** (k + 1):g} times as wide" for k in range(len(widths))]
    assert widths
    assert one.stages[0].tempering == 0.0
    # The last fit stands where the event is, and an estimate from it is right.
    found = one.found()
    assert found.moved and found.gain > 3.0
    z = found.density.sample(20_000, np.random.default_rng(2))
    T = (z[:, 0] > threshold) * np.exp(NORMAL.log_density(z) - found.density.log_density(z))
    exact = stats.norm.sf(threshold)
    assert abs(T.mean() - exact) < 4 * T.std() / math.sqrt(len(z))
    assert T.std() < 5.0 * exact


def test_a_rare_event_beside_a_common_quantity():
    """Half of a stage is sent out for the one, half goes to what is known of the other."""
    one = search(lambda z: np.concatenate([np.exp(z), event(4.5)(z)], axis=1))
    one.stage(100)
    density, name = one._next
    assert name == "fit and wider start" and isinstance(density, Mixture)
    np.testing.assert_array_equal(density.shares, [0.5, 0.5])
    assert density.components[0].covariance == pytest.approx(1.5**2)
    # Enough points tell of the common one, but the search is not at its end.
    assert one.stages[0].effective_sample_size > 20.0 and not one.in_reach
    while not one.in_reach and len(one.stages) < 30:
        one.stage(100)
    assert one.in_reach


def test_a_quantity_without_a_weight_is_not_sought():
    def values(z):
        return np.concatenate([np.exp(z), event(50.0)(z)], axis=1)

    one = search(values, weights=np.array([1.0, 0.0]))
    one.stage(100)
    assert one.stages[0].tempering == 1.0 and one._next[1] == "fit"
    other = search(values, weights=np.array([1.0, 1.0]))
    other.stage(100)
    assert other.stages[0].tempering == 0.0


def test_the_start_grows_no_wider_where_the_event_is_met():
    one = search(event(2.0), seed=0)
    one.stage(200)
    hits = int(one.points().Y.sum())
    assert hits >= density_search._FEW_HITS
    assert one._width == 1.0


def test_only_fresh_hits_keep_the_width():
    """3 hits, then 4: together more than 5, but the second stage met few again."""
    hits = iter([3, 4])

    def values(z):
        return (np.arange(len(z)) < next(hits)).astype(float)[:, None]

    one = search(values)
    widths = []
    for n in (100, 100):
        one.stage(n)
        widths.append(one._width)
    assert widths == [1.5, 1.5**2]
    few = search(lambda z: (np.arange(len(z)) < 6).astype(float)[:, None])
    few.stage(100)
    assert few.stages[0].tempering == 0.0 and few._width == 1.0


def test_widened():
    wide = weighted_points.widened(gaussian(2.0, 0.5), 3.0, np.random.default_rng(0))
    assert wide.mean == pytest.approx(2.0) and wide.covariance == pytest.approx(2.25)
    two = Mixture(np.array([0.5, 0.5]), (gaussian(-3.0), gaussian(3.0)))
    wide = weighted_points.widened(two, 2.0, np.random.default_rng(0))
    assert wide.mean == pytest.approx(0.0, abs=4 * math.sqrt(10 / 4096))
    assert wide.covariance == pytest.approx(40.0, rel=0.1)


# Weights


def test_weights():
    T = np.array([[1.0, -4.0, 0.0], [3.0, 0.0, 0.0]])
    np.testing.assert_allclose(search(None).weights_for(T), [0.25, 0.25, 0.0])
    np.testing.assert_allclose(search(None, weights="equal").weights_for(T), [1.0, 1.0, 1.0])
    own = np.array([1.0, 0.0, 2.0])
    assert search(None, weights=own).weights_for(T) is own


def test_relative_weights_are_free_of_units():
    first, second = (
        search(lambda z, k=k: np.concatenate([k * np.exp(z), np.exp(-z)], axis=1))
        for k in (1.0, 2.0**40)
    )
    for one in (first, second):
        one.stage(200)
        one.stage(100)
    np.testing.assert_array_equal(first.points().z, second.points().z)


# Fits


def test_before_any_stage_the_start_is_found():
    found = search(tilts(1.0)).found()
    assert found.density is NORMAL and not found.moved and found.source == "start"
    assert len(found.ratio_densities) == 0 and found.gain == 1.0


def test_without_a_clear_win_the_start_stays():
    for nets in (True, False):
        one = search(lambda z: 3.0 + 0.01 * z, nets=nets)
        one.stage(300)
        found = one.found()
        assert found.density is NORMAL and not found.moved and found.gain == 1.0


@pytest.mark.parametrize(("nets", "clear"), [(True, 1.3), (False, 1.3)])
def test_a_win_is_clear_by_a_factor(nets, clear, monkeypatch):
    for gain in (0.95 * clear, 1.05 * clear):

        def foretold(points, weights, fit, on_nets, gain=gain):
            assert on_nets is nets
            return 8.0 if fit(points) is NORMAL else 8.0 / gain

        monkeypatch.setattr(density_search, "predicted_variance", foretold)
        one = search(tilts(1.0), nets=nets)
        one.stage(200)
        found = one.found()
        assert found.moved is (gain > clear)
        assert found.gain == pytest.approx(gain if gain > clear else 1.0)
        assert found.source == ("moved start" if found.moved else "start")  # the first that wins


def test_the_gain_is_that_of_the_closed_form():
    """exp(a z): variance exp(2 a^2) - exp(a^2) under N(0, 1), far less under N(a, s^2)."""
    one = search(tilts(1.5), nets=False)
    for n in (2000, 1000, 1000):
        one.stage(n)
    found = one.found()
    assert found.source == "moved start"
    m = found.density.mean[0]
    assert m == pytest.approx(1.5, abs=0.15)

    def variance(m):
        """Of exp(a z) f / g for g = N(m, 1), over E^2."""
        return math.exp((1.5 - m) ** 2) - 1.0

    exact = math.exp(2 * 2.25) - math.exp(2.25)
    z = found.density.sample(100_000, np.random.default_rng(0))
    T = np.exp(1.5 * z[:, 0] + NORMAL.log_density(z) - found.density.log_density(z))
    assert T.var() == pytest.approx(math.exp(2.25) * variance(m), rel=0.05, abs=1e-9)
    assert found.gain > 30.0 and exact / T.var() > 30.0


@pytest.mark.parametrize(
    ("family", "kind", "name"),
    [
        ("gaussian", Gaussian, "gaussian"),
        ("student_t", StudentT, "student t"),
        ("gaussian_mixture", (Gaussian, Mixture), "gaussian mixture"),
    ],
)
def test_families(family, kind, name):
    """z^8 lies on both sides; only a wider density or two parts help."""
    one = search(lambda z: z**8, family=family, nets=False, defensive=0.0)
    for n in (800, 400, 400):
        one.stage(n)
    assert isinstance(one._next[0], kind)
    found = one.found()
    assert found.source == name and isinstance(found.density, kind)
    z = found.density.sample(50_000, np.random.default_rng(0))
    T = z[:, 0] ** 8 * np.exp(NORMAL.log_density(z) - found.density.log_density(z))
    assert abs(T.mean() - 105.0) < 4 * T.std() / math.sqrt(len(z))
    assert T.std() < 2.0 * 105.0  # 13.5 times under the law itself


def test_fitted_gaussians_are_made_wider():
    rng = np.random.default_rng(0)
    z, t = rng.standard_normal((4000, 1)), np.ones(4000)
    fit = search(tilts(1.0))._fitted(z, t)
    assert fit.covariance[0, 0] == pytest.approx(1.25 * z.var(), rel=1e-3)


def test_points_of_a_fit_are_weighted_by_eq_6():
    points = LearningPoints(
        np.zeros((2, 1)), np.array([[1.0, 2.0], [3.0, -4.0]]), np.log([[2.0], [0.5]]), np.zeros(2)
    )
    t = weighted_points.overall_weights(points, np.array([2.0, 0.5]))
    np.testing.assert_allclose(t, [2 * math.sqrt(2.0 + 2.0), 0.5 * math.sqrt(18.0 + 8.0)])


# The moved start


def _weighted(tilt, n, seed):
    z = np.random.default_rng(seed).standard_normal((n, 2))
    Y = np.exp(tilt * z[:, :1])
    return LearningPoints(z, Y, np.zeros((n, 1)), np.zeros(n))


def test_the_stated_noise_of_a_weighted_mean_is_true():
    found = []
    for seed in range(2000):
        points = _weighted(0.7, 200, seed)
        found.append(weighted_points.weighted_mean(points.z, points.T[:, 0]))
    means, noise = (np.array(part) for part in zip(*found, strict=True))
    # Bias of the ratio is of order 1 / n.
    np.testing.assert_allclose(means.mean(axis=0), [0.7, 0.0], atol=0.03)
    np.testing.assert_allclose(noise.mean(axis=0) / means.var(axis=0), 1.0, atol=0.15)


def test_the_moved_start_shrinks_noise_and_keeps_what_is_clear():
    """exp(0.7 z_1): the mean moves to (0.7, 0), the second coordinate is noise."""
    start = Gaussian(np.zeros(2), np.array([[1.0, 0.3], [0.3, 2.0]]))
    moved, raw = [], []
    for seed in range(500):
        points = _weighted(0.7, 200, seed)
        moved.append(weighted_points.moved(start, points, np.ones(1)))
        raw.append(weighted_points.weighted_mean(points.z, points.T[:, 0])[0])
    means, raw = np.array([one.mean for one in moved]), np.array(raw)
    np.testing.assert_array_equal(moved[0].covariance, start.covariance)
    # In units of the noise what is kept of X ~ N(0, 1) is (X - 1 / X) where |X| > 1.
    x = np.linspace(1.0, 10.0, 100_001)
    rest = 2 * np.sum((x - 1 / x) ** 2 * stats.norm.pdf(x)) * (x[1] - x[0])
    ratio = np.square(means[:, 1]).mean() / np.square(raw[:, 1]).mean()
    assert ratio == pytest.approx(rest, abs=0.1)
    assert (means[:, 1] == 0.0).mean() == pytest.approx(stats.norm.cdf(1) * 2 - 1, abs=0.1)
    assert means[:, 0].mean() == pytest.approx(0.7, abs=0.06)
    assert (np.abs(means) <= np.abs(raw) + 1e-12).all() and (means * raw >= 0.0).all()


def test_the_start_moves_from_where_it_is():
    """A start at 5 and weights that do not care: it stays there."""
    z = 5.0 + np.random.default_rng(0).standard_normal((5000, 1))
    points = LearningPoints(z, np.exp(z - 5.0), np.zeros((5000, 1)), np.zeros(5000))
    moved = weighted_points.moved(gaussian(5.0), points, np.ones(1))
    assert moved.mean[0] == pytest.approx(6.0, abs=0.15)


# Mixtures and guards


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40).filter(lambda s: sum(s) > 1e-3))
def test_shares_are_sixteenths(parts):
    shares = np.array(parts) / sum(parts)
    components = [gaussian(float(k)) for k in range(len(shares))]
    mixed = weighted_points.of_quanta(shares, components)
    if isinstance(mixed, Gaussian):
        assert shares[int(mixed.mean[0])] == shares.max() and shares.max() >= 15 / 32
        return
    quanta = mixed.shares * 16
    np.testing.assert_array_equal(quanta, np.round(quanta))
    assert quanta.sum() == 16.0 and quanta.min() >= 1.0
    kept = [int(one.mean[0]) for one in mixed.components]
    assert kept == sorted(set(kept))
    given_shares = np.zeros(len(shares))
    given_shares[kept] = mixed.shares
    assert np.abs(given_shares - shares).max() < 1 / 16
    # What is rounded up had the larger remainders.
    remainder = shares * 16 - np.floor(shares * 16)
    up = given_shares * 16 > shares * 16 + 1e-9
    down = given_shares * 16 < shares * 16 - 1e-9
    if up.any() and down.any():
        assert remainder[up].min() >= remainder[down].max() - 1e-9


def opposite(defensive=None, seed=0, **given):
    one = search(tilts(3.0, -3.0), defensive=defensive, seed=seed, nets=False, **given)
    for n in (600, 300, 300):
        one.stage(n)
    return one


def test_a_mixture_over_quantities():
    """exp(3 z) and exp(-3 z): one Gaussian each, in equal shares, and the start."""
    found = opposite().found()
    assert found.source == "mixture over quantities" and isinstance(found.density, Mixture)
    assert found.density.components[0] is NORMAL
    means = [one.mean[0] for one in found.density.components[1:]]
    assert means == pytest.approx([3.0, -3.0], abs=0.4)
    for one in found.density.components[1:]:
        assert one.covariance[0, 0] == pytest.approx(1.25, rel=0.3)
    shares = found.density.shares
    assert shares[0] >= 1 / 8 and shares[1:] == pytest.approx([7 / 16, 7 / 16], abs=1.01 / 16)


def test_shares_minimise_the_weighted_variance():
    """w = (9, 1) and sizes 1 : 5; the shares by a search on a grid of quadratures."""
    w = np.array([9.0, 1.0])
    one = search(lambda z: np.exp([3.0, -3.0] * z) * [1.0, 5.0], weights=w, nets=False)
    for n in (4000, 2000, 2000):
        one.stage(n)
    mixed = one._mixture(one.points(), w)
    z = np.linspace(-12.0, 12.0, 4001)[:, None]
    parts = np.exp(mixed.component_log_densities(z))
    assert parts.shape[1] == 3
    squares = np.square(np.exp([3.0, -3.0] * z) * [1.0, 5.0]) @ w
    squares *= np.exp(2.0 * NORMAL.log_density(z))
    first = np.linspace(0.02, 0.85, 400)
    trial = np.stack([np.full(400, 1 / 8), first, 7 / 8 - first])
    best = first[np.argmin((squares[:, None] / (parts @ trial)).sum(axis=0))]
    assert best == pytest.approx(7 / 8 * 3 / 8, abs=0.03)  # as sqrt(w) I, all but disjoint
    assert mixed.shares[1] == pytest.approx(best, abs=1.01 / 16)


def test_shares_do_not_depend_on_where_the_points_came_from():
    """Nine of ten points on the left: what is equal on both sides gets equal shares."""
    h = Mixture(np.array([0.9, 0.1]), (gaussian(-3.0, 1.2), gaussian(3.0, 1.2)))
    z = h.sample(20_000, np.random.default_rng(0))
    points = LearningPoints(
        z, tilts(3.0, -3.0)(z), NORMAL.log_density(z)[:, None], h.log_density(z)
    )
    mixed = search(None)._mixture(points, np.ones(2))
    np.testing.assert_array_equal(mixed.shares, [2 / 16, 7 / 16, 7 / 16])


def test_a_weight_of_zero_takes_a_quantity_out_of_the_mixture():
    one = opposite(weights=np.array([1.0, 0.0]))
    mixed = one._mixture(one.points(), np.array([1.0, 0.0]))
    assert len(mixed.components) == 2 and mixed.components[1].mean[0] == pytest.approx(3.0, abs=0.3)


@pytest.mark.parametrize("defensive", [0.03, 0.1, 0.2, 0.45, 0.7, 0.97])
def test_the_defensive_share_is_respected_by_mixtures(defensive):
    """Though shares are sixteenths: f / g never exceeds 1 / defensive."""
    one = opposite(defensive)
    mixed = one._mixture(one.points(), one.weights(one.points()))
    z = np.linspace(-12.0, 12.0, 2001)[:, None]
    assert (NORMAL.log_density(z) - mixed.log_density(z)).max() <= -math.log(defensive) + 1e-9


@pytest.mark.parametrize("defensive", [None, 0.0, 0.05, 0.2, 0.9])
def test_the_defensive_share_is_respected_by_fits(defensive):
    narrow = gaussian(3.0, 0.5)
    guarded = search(tilts(3.0), defensive=defensive)._guarded(narrow)
    if defensive == 0.0:
        assert guarded is narrow
        return
    share = 1 / 8 if defensive is None else defensive
    assert isinstance(guarded, Mixture)
    np.testing.assert_allclose(guarded.shares, [share, 1.0 - share])
    assert guarded.components == (NORMAL, narrow)


@pytest.mark.parametrize(
    ("mean", "sd", "covers"),
    [(0.0, 1.0, True), (1.4, 1.0, True), (2.0, 1.0, False), (0.0, 3.0, True), (0.0, 0.6, False)],
)
def test_what_covers_the_start_needs_no_guard(mean, sd, covers):
    """E_h0[h0 / g] below 16: exp(m^2) for a shift, infinite for s^2 < 1/2."""
    one = search(tilts(1.0))
    density = gaussian(mean, sd)
    assert one._covers(density) is covers
    assert (one._guarded(density) is density) is covers
    always = search(tilts(1.0), defensive=0.1)
    assert isinstance(always._guarded(density), Mixture)


# Densities of the own control variates


def test_own_density_of_one_law():
    one = search(tilts(1.0, -2.0))
    one.stage(4000)
    for density, a in zip(one.found().ratio_densities, (1.0, -2.0), strict=True):
        assert density.mean[0] == pytest.approx(a, abs=0.5)
        assert density.covariance[0, 0] == pytest.approx(1.0, rel=0.4)


def test_own_densities_of_several_laws_are_the_laws_moved():
    laws = [gaussian(0.0), gaussian(0.5, 1.2), gaussian(-0.4, 0.8)]
    moments = (
        np.array([law.mean for law in laws]),
        np.array([law.covariance for law in laws]),
    )
    start = gaussian(0.0, 1.4)
    constant = search(lambda z: 7.0 + 1e-14 * np.sin(1e3 * z), laws, start, law_moments=moments)
    constant.stage(500)
    tilted = search(tilts(0.8), laws, start, law_moments=moments)
    tilted.stage(20_000)
    for k, law in enumerate(laws):
        same = constant.found().ratio_densities[k]
        np.testing.assert_allclose(same.mean, law.mean, atol=1e-12)
        np.testing.assert_allclose(same.covariance, law.covariance)
        moved = tilted.found().ratio_densities[k]
        expected = law.mean[0] + 0.8 * law.covariance[0, 0]
        assert moved.mean[0] == pytest.approx(expected, abs=0.08)
        np.testing.assert_allclose(moved.covariance, law.covariance)


def test_no_own_densities_where_a_quantity_is_never_met():
    one = search(lambda z: np.concatenate([np.exp(z), event(50.0)(z)], axis=1))
    one.stage(200)
    assert len(one.found().ratio_densities) == 0
    laws = [gaussian(0.0), gaussian(0.5)]
    moments = np.array([[0.0], [0.5]]), np.ones((2, 1, 1))
    other = search(event(50.0), laws, gaussian(0.2, 1.2), law_moments=moments)
    other.stage(200)
    assert len(other.found().ratio_densities) == 0
