"""What a search has not seen: shares of the law, bounds, and directions that were looked at."""

import numpy as np
import pytest
from scipy import stats

from uq.proposals import Gaussian, Mixture
from uq.reliability.failure_density import Defence
from uq.reliability.learning_runs import Batch
from uq.reliability.unseen import law_share, unseen, upper_bound

DEFENCE = Defence.of(2)
ELSEWHERE = Gaussian(np.array([3.0, 0.0]), np.eye(2))


def batch(density, n):
    return Batch(np.zeros((n, 2)), np.ones((n, 1)), density, "")


def test_shares_of_the_law():
    assert law_share(DEFENCE.law) == 1.0
    assert law_share(ELSEWHERE) == 0.0
    assert law_share(Gaussian(np.zeros(2), 1.1 * np.eye(2))) == 0.0
    assert law_share(DEFENCE.shells) == 0.0
    nested = Mixture(np.array([0.25, 0.75]), (DEFENCE.law, DEFENCE.start))
    assert law_share(nested) == pytest.approx(0.25 + 0.75 * 0.5)
    assert law_share(DEFENCE.around([Mixture(np.ones(1), (ELSEWHERE,))])) == pytest.approx(1 / 16)


@pytest.mark.parametrize("n_met", [0, 1, 5])
def test_the_bound_is_that_of_poisson(n_met):
    """So many failures or fewer have just the chance alpha at the bound."""
    bound = upper_bound(400.0, n_met, 0.05)
    assert stats.poisson.cdf(n_met, 400.0 * bound) == pytest.approx(0.05, rel=1e-9)


def test_the_bound_is_no_more_than_certain():
    assert upper_bound(1.0, 0, 0.05) == 1.0
    assert upper_bound(1000.0, 0, 0.05) == pytest.approx(-np.log(0.05) / 1000.0)


def test_a_region_below_the_bound_is_missed_more_often_than_alpha_and_above_it_less():
    """Brute force: 300 runs of a density that is law to a quarter, 4,000 times."""
    rng, n, share = np.random.default_rng(0), 300, 0.25
    for factor, below in ((1.5, True), (0.5, False)):
        p = factor * upper_bound(n * share, 0, 0.05)
        missed = np.mean(rng.binomial(n, share * p, 4000) == 0)
        assert (missed < 0.05) == below


def test_runs_of_all_stages_are_added():
    q = DEFENCE.around([Mixture(np.ones(1), (ELSEWHERE,))])
    picked = Batch(np.zeros((50, 2)), np.ones((50, 1)), None, "picked")
    seen = unseen([batch(DEFENCE.start, 100), picked, batch(q, 160)], 2, 3.0)
    assert seen.by_law == pytest.approx(50.0 + 10.0)
    assert seen.by_shells == pytest.approx(50.0 + 10.0)
    assert seen.radius == DEFENCE.shells.radii[-1] and seen.distance == 3.0


def test_the_share_of_directions_by_hand():
    """Shells uniform in the radius within each: those beyond the distance count in part."""
    shells, distance = DEFENCE.shells, 3.0
    seen = unseen([batch(DEFENCE.start, 400)], 2, distance)
    radii = shells.transform(
        np.random.default_rng(1).random((40_000, shells.n_uniforms))
    )  # brute force
    beyond = (np.linalg.norm(radii, axis=1) > distance).mean()
    assert seen.share_of_directions == pytest.approx(-np.log(0.05) / (200.0 * beyond), rel=0.05)
    of_sphere = seen.share_of_directions * stats.chi2.sf(distance**2, 2)
    assert seen.probability == pytest.approx(min(of_sphere, -np.log(0.05) / 200.0), rel=1e-12)


def test_more_runs_leave_less():
    few, many = (unseen([batch(DEFENCE.start, n)], 2, 3.0) for n in (100, 1000))
    assert many.share_of_directions < few.share_of_directions
    assert many.probability < few.probability
    far = unseen([batch(DEFENCE.start, 100)], 2, 5.0)
    assert far.probability < few.probability


def test_where_nothing_was_met_and_nothing_was_looked_at():
    nothing = unseen([batch(DEFENCE.start, 100)], 2, None)
    assert nothing.distance == nothing.radius and nothing.share_of_directions == 1.0
    no_shells = unseen([batch(DEFENCE.law, 100)], 2, 2.0)
    assert no_shells.share_of_directions == 1.0
    assert no_shells.probability == pytest.approx(min(stats.chi2.sf(4.0, 2), -np.log(0.05) / 100))
    neither = unseen([batch(ELSEWHERE, 100)], 2, 2.0)
    assert neither.probability == pytest.approx(stats.chi2.sf(4.0, 2))
