"""What the result tells: design points, exceedance, weights, intervals, tables, pictures."""

import numpy as np
import pytest
from test_failure_probability import crude

from benchmarks.reliability_cases import four_branch


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
