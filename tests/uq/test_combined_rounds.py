"""One estimate from several rounds: weights, variances and degrees of freedom by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm

from uq.reliability.combined_rounds import combined, running
from uq.reliability.events import Events
from uq.reliability.final_runs import RoundEstimate
from uq.reliability.learning_runs import Batch, LearningRuns
from uq.reliability.procedure import Procedure


def estimate_of(mean, variance, n_free=7.0, n_folds=8):
    """A round of two events; runs that failed are worth 10 % either way."""
    mean = np.array(mean)
    by_fold = mean + 0.1 * np.linspace(-1.0, 1.0, n_folds)[:, None]
    return RoundEstimate(
        mean, 0.9 * mean, 1.1 * mean, np.array(variance), np.full(len(mean), n_free),
        np.zeros(len(mean), dtype=int), by_fold, np.full(len(mean), np.nan),
    )  # fmt: skip


def finished(n, foretold, *args, **settings):
    return SimpleNamespace(
        runs=SimpleNamespace(z=np.zeros((n, 1))), foretold=foretold, levels=np.zeros((1, 0)),
        estimate=estimate_of(*args, **settings),
    )  # fmt: skip


def procedure_of(*rounds, models="some"):
    return SimpleNamespace(rounds=list(rounds), models=models)


def test_one_round_is_itself():
    found = combined(procedure_of(finished(100, 2.0, [0.1, 0.2], [0.01, 0.02])))
    np.testing.assert_allclose(found.mean, [0.1, 0.2])
    np.testing.assert_allclose([found.low, found.high], [[0.09, 0.18], [0.11, 0.22]])
    np.testing.assert_allclose(found.variance, [0.01, 0.02])
    np.testing.assert_allclose(found.n_free, 7.0)


def test_two_rounds_by_hand():
    """Shares n / v: 100 / 2 and 300 / 1, so 1/7 and 6/7."""
    found = combined(
        procedure_of(
            finished(100, 2.0, [0.1, 0.2], [0.01, 0.02]),
            finished(300, 1.0, [0.3, 0.1], [0.004, 0.001], n_free=15.0),
        )
    )
    c = np.array([1.0, 6.0]) / 7.0
    np.testing.assert_allclose(found.mean, [c @ [0.1, 0.3], c @ [0.2, 0.1]])
    parts = np.square(c)[:, None] * [[0.01, 0.02], [0.004, 0.001]]
    np.testing.assert_allclose(found.variance, parts.sum(axis=0))
    free = parts.sum(axis=0) ** 2 / (np.square(parts) / [[7.0], [15.0]]).sum(axis=0)
    np.testing.assert_allclose(found.n_free, free)


def test_shares_do_not_look_at_what_came_out():
    one = finished(100, 2.0, [0.1, 0.2], [0.01, 0.02])
    calm, wild = (finished(100, 2.0, [0.3, 0.1], [v, v]) for v in (1e-12, 1.0))
    np.testing.assert_array_equal(
        combined(procedure_of(one, calm)).mean, combined(procedure_of(one, wild)).mean
    )


@pytest.mark.parametrize("foretold", [0.0, 1e-300, np.inf])
def test_what_was_foretold_too_well_or_not_at_all_does_not_rule(foretold):
    found = combined(
        procedure_of(
            finished(100, 1.0, [0.1, 0.2], [0.01, 0.02]),
            finished(100, foretold, [0.3, 0.1], [0.004, 0.001]),
        )
    )
    assert np.isfinite(found.mean).all()
    assert (found.mean[0] > 0.1) and (found.mean[0] < 0.1 + 0.2 * 2 / 3 + 1e-9)


def test_rounds_without_variance_have_the_largest_freedom():
    found = combined(procedure_of(finished(100, 1.0, [0.0, 0.2], [0.0, 0.02])))
    assert found.variance[0] == 0.0 and found.n_free[0] == 7.0 and np.isfinite(found.n_free).all()


def test_some_events():
    found = combined(procedure_of(finished(100, 2.0, [0.1, 0.2], [0.01, 0.02])))
    assert found.some(slice(1, 2)).mean.tolist() == [0.2]
    assert found.some(slice(1, 2)).variance.tolist() == [0.02]


def drawn(density, n, foretold, rng, averaged=False):
    z = density.transform(rng.random((n, density.n_uniforms)))
    return Batch(z, 2.0 - z[:, :1], density, "", averaged, foretold)


def test_learning_runs_count_where_there_is_no_surrogate():
    """The mean of a round and a stage, n / v by which a run of a net counts four times."""
    from uq.reliability.failure_density import Defence

    rng, law = np.random.default_rng(0), Defence.of(1).law
    stage = drawn(law, 400, 3.0, rng)
    picked = Batch(stage.z, stage.g, None, "picked")
    first = drawn(Defence.of(1).start, 100, np.inf, rng)
    own = finished(100, 1.0, [0.02, 0.5], [1e-6, 1e-6])
    own.estimate = estimate_of([0.02], [1e-6])
    procedure = Procedure(Events(1, np.array([0.0])), 1, None, rng)
    procedure.learning = LearningRuns([first, picked, stage])
    procedure.rounds.append(own)
    found = combined(procedure)
    shares = np.array([4.0 * 100 / 1.0, 400 / 3.0])
    c = shares / shares.sum()
    of_stage = (stage.g[:, 0] < 0.0).mean()
    assert abs(of_stage - norm.sf(2.0)) < 4.0 * np.sqrt(norm.sf(2.0) / 400)
    assert found.mean[0] == pytest.approx(c @ [0.02, of_stage], rel=1e-9)
    procedure.models = "some"
    assert combined(procedure).mean[0] == pytest.approx(0.02)


def test_running_means_end_at_the_estimate():
    one = finished(100, 2.0, [0.1, 0.2], [0.01, 0.02])
    means, error = running(one, 1)
    assert len(means) == len(error) == 7
    assert means[-1] == pytest.approx(0.2) and error[-1] == pytest.approx(np.sqrt(0.02))
    assert means[0] == pytest.approx(one.estimate.by_fold[:2, 1].mean())
    assert (np.diff(error) < 0.0).all()
