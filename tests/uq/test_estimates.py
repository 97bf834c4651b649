"""The result: intervals, reverse importance sampling, table, picture, file."""

import dataclasses
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import uq


def _linear(x: np.ndarray) -> np.ndarray:
    return np.stack([x[:, 0] + 2.0 * x[:, 1], np.exp(0.3 * x[:, 0])], axis=1)


@pytest.fixture(scope="module")
def result() -> uq.Expectations:
    inputs = uq.Inputs({"a": stats.norm(1.0, 2.0), "b": stats.norm(0.0, 0.5)})
    return uq.expectations(_linear, inputs, budget=2000, surrogate=None, rng=1)


def test_intervals(result: uq.Expectations) -> None:
    low, high = result.confidence_interval(0.9)
    quantile = stats.t.ppf(0.95, result.n_free)
    assert np.allclose((high - low) / 2, quantile * result.standard_error)
    assert np.allclose((high + low) / 2, result.estimate)
    together = result.confidence_interval(0.9, simultaneous=True)
    wider = stats.t.ppf(0.975, result.n_free) / quantile
    assert np.allclose(together.high - together.low, wider * (high - low))
    assert np.allclose(np.diagonal(result.covariance), result.standard_error**2)
    for level in (0.0, 1.0, 95):
        with pytest.raises(ValueError, match="between 0 and 1"):
            result.confidence_interval(level)


def test_reweight_to_the_same_law_and_to_another(result: uq.Expectations) -> None:
    same = result.reweight({"a": stats.norm(1.0, 2.0), "b": stats.norm(0.0, 0.5)})
    assert same.n_evaluations == result.n_evaluations
    assert np.abs(same.estimate - result.estimate).max() < 1e-2
    other = uq.Inputs({"a": stats.norm(1.2, 1.8), "b": stats.norm(0.1, 0.5)})
    moved = result.reweight(other)
    exact = np.array([1.2 + 0.2, np.exp(0.3 * 1.2 + 0.045 * 1.8**2)])
    assert np.abs(moved.estimate - exact).max() < 5 * moved.standard_error.max()
    assert not moved.flags


def test_reweight_says_when_a_law_is_out_of_reach(result: uq.Expectations) -> None:
    far = result.reweight({"a": stats.norm(12.0, 0.2), "b": stats.norm(0.0, 0.5)})
    assert "effective points" in far.flags[0]
    with pytest.raises(ValueError, match="dimension 1"):
        result.reweight(stats.norm())
    with pytest.raises(ValueError, match="3 laws for 2 functions"):
        result.reweight([uq.Inputs([stats.norm(), stats.norm()])] * 3)


def test_one_function_under_many_new_laws() -> None:
    inputs = uq.Inputs([stats.norm(0.0, 1.0)])
    r = uq.expectations(lambda x: x[:, 0] ** 2, inputs, budget=4000, surrogate=None, rng=0)
    means = [-0.2, 0.0, 0.3]
    many = r.reweight([uq.Inputs([stats.norm(m, 0.9)]) for m in means])
    exact = np.square(means) + 0.81
    assert (np.abs(many.estimate - exact) < 5 * many.standard_error).all()
    assert many.ess.shape == (3,)


def test_table(result: uq.Expectations) -> None:
    frame = result.to_dataframe()
    assert list(frame["estimate"]) == list(result.estimate)
    assert (frame["low"] < frame["estimate"]).all() and (frame["estimate"] < frame["high"]).all()
    assert len(frame) == 2


def test_picture(result: uq.Expectations) -> None:
    ax = result.plot()
    assert ax.get_ylabel() or ax.get_legend()
    figure, mine = plt.subplots()
    assert result.plot(ax=mine) is mine
    plt.close("all")


def test_saved_and_loaded(result: uq.Expectations, tmp_path: Path) -> None:
    path = tmp_path / "moments.npz"
    result.save(path)
    again = uq.Expectations.load(path)
    for field in dataclasses.fields(result):
        before, after = getattr(result, field.name), getattr(again, field.name)
        if isinstance(before, np.ndarray):
            assert np.array_equal(before, after, equal_nan=True), field.name
        else:
            assert (
                list(before) == list(after) if field.name == "flags" else str(before) == str(after)
            ), field.name
    law = uq.Inputs([stats.norm(), stats.norm()])
    assert np.array_equal(again.reweight(law).estimate, result.reweight(law).estimate)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, a=1)
    with pytest.raises(ValueError, match="not a saved result"):
        uq.Expectations.load(path)
    path.write_text("no file of NumPy")
    with pytest.raises(ValueError, match="not a saved result"):
        uq.Expectations.load(path)
    with pytest.raises(FileNotFoundError):
        uq.Expectations.load(tmp_path / "none.npz")
