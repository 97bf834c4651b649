"""Coordinates: round trips, densities in z against those in x, Gaussian forms, quadrature."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from uq.charts import Chart
from uq.coordinates import ChartCoordinates, Coordinates, NormalCoordinates
from uq.inputs import Inputs
from uq.joint_laws import JointLaw
from uq.marginal_sources import marginal_of

PAIR = np.array([[1.0, 0.5], [0.5, 1.0]])
NORMAL_LOGNORMAL = [
    Inputs([stats.norm(m, s), stats.lognorm(0.3, scale=c)], PAIR)
    for m, s, c in ((1.0, 2.0, 5.0), (2.0, 1.0, 6.0), (-1.0, 1.5, 4.0))
]
SIX_KINDS = [
    Inputs(
        [
            stats.gumbel_r(0.0, scale),
            stats.gamma(2.0 * scale),
            stats.beta(2.0, 3.0 * scale),
            stats.weibull_max(1.5, scale=scale),
            stats.uniform(0.0, 1.0),
            stats.triang(0.5, loc=1.0),
        ]
    )
    for scale in (1.0, 1.5)
]


def normal_law():
    exact = stats.multivariate_normal([1.0, 2.0], [[2.0, 0.5], [0.5, 1.0]])
    return JointLaw(lambda n, rng: exact.rvs(n, random_state=rng).reshape(n, 2), exact.logpdf, 2)


def volume_in_z(coordinates, z):
    """log|det dx/dz| (n,) by differences."""
    step = 1e-6
    d = z.shape[1]
    columns = [
        (coordinates.to_x(z + step * e) - coordinates.to_x(z - step * e)) / (2 * step)
        for e in np.eye(d)
    ]
    return np.linalg.slogdet(np.stack(columns, axis=2))[1]


CASES = {
    "one": [SIX_KINDS[0]],
    "one dependent": [NORMAL_LOGNORMAL[0]],
    "gaussian": NORMAL_LOGNORMAL,
    "six kinds": SIX_KINDS,
    "mixed": [NORMAL_LOGNORMAL[0], Inputs([stats.t(4.0), stats.gamma(3.0)], -PAIR + 2 * np.eye(2))],
    "joint": [normal_law(), Inputs([stats.norm(), stats.norm(1.0, 2.0)])],
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_densities_in_z_are_those_in_x_times_the_volume(case):
    laws = CASES[case]
    coordinates = Coordinates.of(laws, rng=0)
    z = 0.7 * np.random.default_rng(1).normal(size=(40, laws[0].dimension))
    x = coordinates.to_x(z)
    found = coordinates.log_densities(laws, z, x)
    assert found.shape == (40, len(laws))
    volume = volume_in_z(coordinates, z)
    for column, law in enumerate(laws):
        np.testing.assert_allclose(found[:, column], law.log_density(x) + volume, atol=2e-6)


@pytest.mark.parametrize("case", sorted(CASES))
def test_points_come_back(case):
    laws = CASES[case]
    coordinates = Coordinates.of(laws, rng=0)
    x = laws[-1].sample(50, rng=2)
    z = coordinates.to_z(x)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(coordinates.to_x(z), x, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(coordinates.to_z(coordinates.to_x(z)), z, rtol=1e-9, atol=1e-9)
    assert coordinates.dimension == laws[0].dimension and coordinates.names == laws[0].names


@settings(derandomize=True, deadline=None)
@given(arrays(np.float64, (3, 2), elements=st.floats(-30.0, 30.0)))
def test_coordinates_come_back_out_to_thirty(z):
    for case in ("one dependent", "gaussian", "joint"):
        coordinates = Coordinates.of(CASES[case], rng=0)
        np.testing.assert_allclose(coordinates.to_z(coordinates.to_x(z)), z, atol=1e-9)


@pytest.mark.parametrize("case", ["one", "one dependent"])
def test_one_law_is_standard_normal(case):
    laws = CASES[case]
    coordinates = Coordinates.of([laws[0], laws[0]])
    assert isinstance(coordinates, NormalCoordinates)
    d = laws[0].dimension
    z = np.array([np.zeros(d), np.full(d, 3.0), np.full(d, -7.0)])
    expected = stats.norm.logpdf(z).sum(axis=1)
    found = coordinates.log_densities(laws, z, coordinates.to_x(z))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-14)
    mean, covariance = coordinates.gaussian_in_z(laws[0])
    assert not mean.any() and np.array_equal(covariance, np.eye(d))


def test_another_law_in_the_normal_space_of_one():
    one, other = NORMAL_LOGNORMAL[:2]
    coordinates = Coordinates.of([one])
    z = np.random.default_rng(0).normal(size=(20, 2))
    x = coordinates.to_x(z)
    found = coordinates.log_densities([other], z, x)[:, 0]
    np.testing.assert_allclose(found, other.log_density(x) + volume_in_z(coordinates, z), atol=1e-6)


def test_gaussian_form_is_that_of_a_sample():
    coordinates = Coordinates.of(NORMAL_LOGNORMAL)
    for law in NORMAL_LOGNORMAL:
        mean, covariance = coordinates.gaussian_in_z(law)
        z = coordinates.to_z(law.sample(20_000, rng=1))
        sd = np.sqrt(np.diag(covariance))
        assert np.all(np.abs(z.mean(axis=0) - mean) < 4 * sd / math.sqrt(20_000))
        product = (z[:, 0] - mean[0]) * (z[:, 1] - mean[1])
        assert abs(product.mean() - covariance[0, 1]) < 4 * product.std() / math.sqrt(20_000)
        np.testing.assert_allclose(z.std(axis=0), sd, rtol=4 / math.sqrt(40_000))


def test_the_mixture_is_standardised():
    """Exactly where the laws are normal in z, roughly elsewhere."""
    coordinates = Coordinates.of(NORMAL_LOGNORMAL)
    means, covariances = zip(*map(coordinates.gaussian_in_z, NORMAL_LOGNORMAL), strict=True)
    second = np.mean([m**2 + np.diag(c) for m, c in zip(means, covariances, strict=True)], axis=0)
    np.testing.assert_allclose(np.mean(means, axis=0), 0.0, atol=1e-14)
    np.testing.assert_allclose(second, 1.0, rtol=1e-13)
    for case in ("six kinds", "joint"):
        coordinates = Coordinates.of(CASES[case], rng=0)
        z = np.concatenate([coordinates.to_z(law.sample(4000, rng=3)) for law in CASES[case]])
        assert np.all(np.abs(z.mean(axis=0)) < 0.05)
        np.testing.assert_allclose(z.std(axis=0), 1.0, atol=0.05)


def test_gaussian_laws_keep_their_densities_where_x_overflows():
    laws = [Inputs([stats.lognorm(3.0)]), Inputs([stats.lognorm(2.0, scale=2.0)])]
    coordinates = Coordinates.of(laws)
    z = np.array([[-400.0], [400.0]])
    found = coordinates.log_densities(laws, z, coordinates.to_x(z))
    for column, law in enumerate(laws):
        mean, covariance = coordinates.gaussian_in_z(law)
        expected = stats.norm.logpdf(z[:, 0], mean[0], math.sqrt(covariance[0, 0]))
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-12)


def test_charts_follow_the_union_of_the_supports():
    laws = [
        Inputs([stats.uniform(0, 1), stats.expon(), stats.beta(2, 2), stats.norm()]),
        Inputs([stats.uniform(2, 1), stats.norm(), stats.expon(), stats.norm(1)]),
    ]
    coordinates = Coordinates.of(laws)
    interval, first, second, line = coordinates.charts
    assert (interval.kind, interval.low, interval.high) == ("interval", 0.0, 3.0)
    assert (line.kind, line.low, line.high) == ("identity", -np.inf, np.inf)
    # No chart of the support makes both normal: the scores of the one that lives on all of it.
    assert first.reference is laws[1].marginals[1]
    assert second.reference is laws[1].marginals[2]
    assert coordinates.bounded_columns.tolist() == [True, False, False, False]
    z = np.zeros((1, 4))
    densities = coordinates.log_densities(laws, z, coordinates.to_x(z))
    assert np.all(densities == -np.inf)  # between the two uniform laws
    assert Coordinates.of([SIX_KINDS[0]]).bounded_columns.tolist() == [0, 0, 1, 0, 1, 1]


def test_uniform_laws_on_one_interval_keep_their_scores():
    laws = SIX_KINDS
    coordinates = Coordinates.of(laws)
    x = laws[0].sample(10, rng=0)
    np.testing.assert_allclose(stats.norm.cdf(coordinates.to_z(x)[:, 4]), x[:, 4], rtol=1e-12)


def test_nodes_give_expectations():
    """E[z] and E[z^2] of a column, against a quadrature of its density."""
    for case in ("six kinds", "mixed", "gaussian"):
        coordinates = Coordinates.of(CASES[case])
        law = CASES[case][-1]
        for k, marginal in enumerate(law.marginals):
            nodes, weights = coordinates.score_nodes(law, k, 97)
            assert weights.sum() == pytest.approx(1.0)
            y = np.linspace(-9.0, 9.0, 4001)
            x = np.tile(law.mean, (len(y), 1))
            x[:, k] = marginal.from_score(y)
            z = coordinates.to_z(x)[:, k]
            share = stats.norm.pdf(y) * (y[1] - y[0])
            np.testing.assert_allclose(weights @ nodes, share @ z, atol=1e-4)
            np.testing.assert_allclose(weights @ nodes**2, share @ z**2, rtol=2e-2)
    one = Coordinates.of([SIX_KINDS[0]])
    nodes, weights = one.score_nodes(SIX_KINDS[0], 2, 97)
    assert weights @ nodes**4 == pytest.approx(3.0, rel=1e-12)


@pytest.mark.parametrize("ends", [(-np.inf, np.inf), (1.0, np.inf), (-np.inf, 2.0), (0.0, 3.0)])
def test_charts(ends):
    chart = Chart.on(*ends)
    t = np.linspace(-4.0, 4.0, 9)
    x = chart.from_line(t)
    np.testing.assert_allclose(chart.to_line(x), t, rtol=1e-11, atol=1e-12)
    step = 1e-6
    slope = (chart.from_line(t + step) - chart.from_line(t - step)) / (2 * step)
    np.testing.assert_allclose(chart.log_slope(t), np.log(slope), atol=1e-5)
    far = chart.from_line(np.array([-1e4, 1e4]))
    assert far[0] > ends[0] and far[1] < ends[1]
    assert np.isfinite(chart.to_line(far)).all()


def test_charts_know_which_laws_are_normal_in_them():
    lower = Chart.on(0.0, np.inf)
    assert lower.gaussian(marginal_of(stats.lognorm(0.5))) == (0.0, 0.5)
    assert lower.gaussian(marginal_of(stats.lognorm(0.5, loc=1.0))) is None
    assert lower.gaussian(marginal_of(stats.gamma(2.0))) is None
    assert Chart.on(0.0, 1.0).gaussian(marginal_of(stats.uniform())) == (0.0, 1.0)
    assert Chart.on(0.0, 2.0).gaussian(marginal_of(stats.uniform())) is None


def test_a_hundred_beam_laws_at_once():
    rng = np.random.default_rng(0)
    laws = [
        Inputs(
            [*(stats.lognorm(0.08, scale=s) for s in 500 + 50 * rng.random(3))]
            + [stats.norm(m, 0.1 * m) for m in 1 + rng.random(3)],
            np.eye(6) - 0.3 * (np.eye(6, k=1) + np.eye(6, k=-1)),
        )
        for _ in range(100)
    ]
    coordinates = Coordinates.of(laws)
    z = rng.normal(size=(20_000, 6))
    x = coordinates.to_x(z)
    found = coordinates.log_densities(laws, z, x)
    expected = laws[42].log_density(x)
    in_logs = np.log(x[:, :3]).sum(axis=1) + np.log(coordinates.scale).sum()
    np.testing.assert_allclose(found[:, 42], expected + in_logs, rtol=1e-10)


def test_pickle():
    for laws in (SIX_KINDS, [NORMAL_LOGNORMAL[0]]):
        again, z = (
            pickle.loads(pickle.dumps(Coordinates.of(laws))),
            np.full((2, laws[0].dimension), 0.3),
        )
        np.testing.assert_array_equal(again.to_x(z), Coordinates.of(laws).to_x(z))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="is empty"):
        Coordinates.of([])
    with pytest.raises(ValueError, match=r"same inputs.*\['x1', 'x2'\] \(2\) and .* \(6\)"):
        Coordinates.of([NORMAL_LOGNORMAL[0], SIX_KINDS[0]])
    one, other = Inputs({"a": stats.norm()}), Inputs({"b": stats.norm()})
    with pytest.raises(ValueError, match=r"\['a'\] \(1\) and \['b'\] \(1\)"):
        Coordinates.of([one, other])
    still = JointLaw(lambda n, rng: np.ones((n, 1)), lambda x: np.zeros(len(x)), 1, ["a"])
    with pytest.raises(ValueError, match=r"Inputs \['a'\] do not vary"):
        Coordinates.of([still], rng=0)
    joint = Coordinates.of(CASES["joint"], rng=0)
    with pytest.raises(ValueError, match="no scores"):
        joint.score_nodes(CASES["joint"][0], 0, 5)
    with pytest.raises(ValueError, match="made for"):
        Coordinates.of([one]).score_nodes(other, 0, 5)
    assert isinstance(joint, ChartCoordinates) and joint.gaussian_in_z(CASES["joint"][0]) is None


def test_heavy_tails_are_normal_in_the_scores_of_a_reference():
    laws = [Inputs([stats.t(3, m), stats.lognorm(0.3)]) for m in (0.0, 0.5)]
    coordinates = Coordinates.of(laws)
    assert [chart.kind for chart in coordinates.charts] == ["scores", "lower"]
    z = np.array([[-6.0, 0.0], [-1.0, 0.3], [0.0, 0.0], [2.0, -1.0], [6.0, 1.0]])
    x = coordinates.to_x(z)
    np.testing.assert_allclose(coordinates.to_z(x), z, rtol=1e-9, atol=1e-9)
    for column, law in enumerate(laws):
        step = 1e-6
        moved = coordinates.to_x(z + [step, 0.0])[:, 0] - coordinates.to_x(z - [step, 0.0])[:, 0]
        other = coordinates.to_x(z + [0.0, step])[:, 1] - coordinates.to_x(z - [0.0, step])[:, 1]
        expected = law.log_density(x) + np.log(moved * other / (2 * step) ** 2)
        found = coordinates.log_densities(laws, z, x)[:, column]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    # Far out the ratio to a normal density stays bounded, for both of them.
    far = coordinates.log_densities(
        laws, np.array([[12.0, 0.0]]), coordinates.to_x(np.array([[12.0, 0.0]]))
    )
    assert np.abs(np.diff(far)).max() < 0.5
