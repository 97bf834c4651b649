"""The search for failures: what it spends, what it looks at first, and regions it must find."""

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks.reliability_cases import four_branch, rp75
from uq.proposals import Gaussian
from uq.reliability.cheap_limit_states import CheapModels
from uq.reliability.events import Events
from uq.reliability.exploration import Explorer
from uq.reliability.failure_density import Defence, standard_normal_log_density
from uq.reliability.learning_runs import LearningRuns


def explored_by(function, n, *, d=2, kind=None, thresholds=(0.0,), n_states=1, known=(), seed=0):
    """What a search with n runs finds, and the runs."""
    events, rng = Events(n_states, np.array(thresholds)), np.random.default_rng(seed)
    models = None if kind is None else CheapModels(kind, events, rng)
    explorer, runs = Explorer(events, Defence.of(d), models, rng), LearningRuns()
    found = answered(explorer.learn(runs, n, known), function)
    return found, runs, explorer


def answered(search, function):
    """Drive a search to its end."""
    try:
        z = next(search)
        while True:
            g = function(z)
            z = search.send(g[:, None] if g.ndim == 1 else g)
    except StopIteration as stopped:
        return stopped.value


def linear(z):
    return 3.0 - z[:, 0]


def shares_of(density, events, n=20_000):
    """Share of the density in each of several events (n, k)."""
    rng = np.random.default_rng(99)
    return events(density.transform(rng.random((n, density.n_uniforms)))).mean(axis=0)


@pytest.mark.parametrize("kind", [None, "polynomial"])
@pytest.mark.parametrize("n", [40, 97, 300])
@pytest.mark.usefixtures("few_cheap_points")
def test_every_run_is_spent_and_kept(kind, n):
    found, runs, _ = explored_by(linear, n, kind=kind)
    assert runs.n == n and len(runs.g) == n
    np.testing.assert_array_equal(runs.g[:, 0], linear(runs.z))
    assert runs.batches[0].density is not None and not any(b.averaged for b in runs.batches)
    assert found.scale.shape == (1,) and found.scale[0] > 0.0


@pytest.mark.parametrize("kind", [None, "polynomial"])
@pytest.mark.usefixtures("few_cheap_points")
def test_a_half_space_is_sampled_well(kind):
    """Half of the runs fail, and the variance foretold is the true one (brute force)."""
    found, _, _ = explored_by(linear, 200, kind=kind)
    q = found.found.density
    z = q.transform(np.random.default_rng(1).random((40_000, q.n_uniforms)))
    T = np.exp(standard_normal_log_density(z) - q.log_density(z)) * (linear(z) < 0.0)
    assert found.reached and (linear(z) < 0.0).mean() > 0.3
    assert abs(T.mean() - norm.sf(3.0)) < 4.0 * T.std() / 200.0
    variance = T.var() / norm.sf(3.0) ** 2
    assert variance < 6.0  # 740 by the law itself
    assert found.found.variance == pytest.approx(variance, rel=1.0)


@pytest.mark.parametrize("kind", [None, "polynomial"])
@pytest.mark.usefixtures("few_cheap_points")
def test_both_quadrants_are_found(kind):
    found, _, _ = explored_by(rp75, 300, kind=kind)

    def quadrants(z):
        fails = rp75(z) < 0.0
        return np.stack([fails & (z[:, 0] > 0.0), fails & (z[:, 0] < 0.0)], axis=1)

    assert (shares_of(found.found.density, quadrants) > 0.08).all()


@pytest.mark.usefixtures("few_cheap_points")
def test_all_four_branches_are_found_by_a_process():
    found, _, _ = explored_by(four_branch, 150, kind="auto")

    def branches(z):
        u, v = (z[:, 0] + z[:, 1]) / np.sqrt(2.0), (z[:, 0] - z[:, 1]) / np.sqrt(2.0)
        fails = four_branch(z) < 0.0
        sides = [np.abs(u) > np.abs(v), np.abs(u) < np.abs(v)]
        ways = [u > 0.0, u < 0.0], [v > 0.0, v < 0.0]
        return np.stack(
            [fails & side & way for side, pair in zip(sides, ways, strict=True) for way in pair],
            axis=1,
        )

    assert (shares_of(found.found.density, branches) > 0.02).all()


def test_events_of_every_limit_state_and_threshold_are_sampled():
    def two(z):
        return np.stack([3.0 - z[:, 0], 3.0 - z[:, 1]], axis=1)

    found, _, explorer = explored_by(two, 400, thresholds=(-0.5, 0.0), n_states=2)

    def events(z):
        return explorer.events.margins(two(z)) < 0.0

    assert found.scale.shape == (2,) and len(found.found.mixtures) == 4
    assert (shares_of(found.found.density, events) > 0.05).all()


def test_what_is_known_is_looked_at_first():
    there = Gaussian(np.array([0.0, -6.0]), 0.01 * np.eye(2))
    _, runs, _ = explored_by(linear, 120, known=[there])
    near = np.linalg.norm(runs.batches[0].z - there.mean, axis=1) < 1.0
    assert near.mean() == pytest.approx(0.5, abs=0.1)


def test_a_later_search_starts_from_what_was_learnt():
    _, runs, explorer = explored_by(linear, 120)
    n_batches = len(runs.batches)
    answered(explorer.learn(runs, 50), linear)
    assert runs.n == 170
    assert all(b.source != "law and shells" for b in runs.batches[n_batches:])
    answered(explorer.learn(runs, 0), linear)
    assert runs.n == 170


@pytest.mark.parametrize("kind", [None, "polynomial"])
@pytest.mark.usefixtures("few_cheap_points")
def test_nothing_to_be_found(kind):
    found, runs, _ = explored_by(lambda z: 5.0 + 0.0 * z[:, 0], 100, kind=kind)
    assert runs.n == 100 and not found.reached
    q = found.found.density
    z = q.transform(np.random.default_rng(0).random((64, q.n_uniforms)))
    assert np.isfinite(q.log_density(z)).all()


@pytest.mark.usefixtures("few_cheap_points")
def test_a_misled_surrogate_does_not_hide_what_the_runs_met():
    """Its failures lie on the other side: the density keeps those of the runs."""
    found, runs, _ = explored_by(lambda z: 1.5 - z[:, 0], 200, kind=lambda z: 3.0 + z[:, :1])

    def fails(z):
        return z[:, :1] > 1.5

    assert (runs.g < 0.0).sum() > 10
    assert shares_of(found.found.density, fails)[0] > 0.15


@pytest.mark.usefixtures("few_cheap_points")
def test_half_of_a_later_stage_is_where_failing_is_least_sure():
    _, runs, _ = explored_by(rp75, 300, kind="polynomial")
    picked = [b for b in runs.batches if b.density is None]
    assert picked and all(b.source == "where failing is least sure" for b in picked)
    drawn = [b for b in runs.batches if b.density is not None]
    nearness = [np.median(np.abs(np.concatenate([b.g for b in some]))) for some in (picked, drawn)]
    assert nearness[0] < 0.5 * nearness[1]


def test_failed_runs_are_no_failures():
    def holed(z):
        return np.where(z[:, 0] > 3.4, np.nan, linear(z))

    found, runs, _ = explored_by(holed, 300)
    z, _ = runs.usable()
    assert len(z) < 300 and (z[:, 0] <= 3.4).all()
    assert shares_of(found.found.density, lambda at: (linear(at) < 0.0)[:, None])[0] > 0.1
