"""Pictures: what is shown, and that nothing impossible is drawn on a logarithmic axis."""

import numpy as np
import pytest

from uq.plots import impacts, relative_errors, weights_of_laws

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


def test_relative_half_widths_and_effective_sizes():
    import matplotlib.pyplot as plt

    estimate, half = np.array([2.0, -4.0, 0.0, 1.0]), np.array([0.2, 0.1, 0.1, 0.0])
    ax = relative_errors(estimate, half, np.array([50.0, 25.0, 100.0, 10.0]), 100)
    error, size = ax.get_lines()
    # An estimate of 0 and an error of 0 have no place on the axis.
    np.testing.assert_array_equal(error.get_xdata(), [0, 1])
    np.testing.assert_allclose(error.get_ydata(), [0.1, 0.025])
    np.testing.assert_allclose(size.get_ydata(), [0.5, 0.25, 1.0, 0.1])
    assert ax.get_yscale() == "log"
    plt.close(ax.figure)


def test_one_law_for_all_and_given_axes():
    import matplotlib.pyplot as plt

    given = plt.subplots()[1]
    ax = relative_errors(np.ones(3), np.full(3, 0.1), np.array([50.0]), 100, ax=given)
    assert ax is given and len(ax.get_lines()) == 1
    plt.close(ax.figure)


def test_an_error_that_is_not_known_is_left_out():
    import matplotlib.pyplot as plt

    ax = relative_errors(np.array([1.0, 0.0]), np.array([0.1, np.nan]), np.array([50.0]), 100)
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), [0])
    ax.figure.canvas.draw()
    plt.close(ax.figure)


def test_a_line_and_a_band_an_input_and_hollow_markers_out_of_reach():
    import matplotlib.pyplot as plt

    delta, index = np.array([-1.0, 0.0, 1.0]), np.array([-0.2, 0.0, 0.3])
    reach = np.array([True, True, False])
    ax = impacts({"E": (delta, index, index - 0.1, index + 0.1, reach)}, "shift", "mean")
    _, line, inner, outer = ax.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), index)
    np.testing.assert_array_equal(inner.get_xdata(), [-1.0, 0.0])
    np.testing.assert_array_equal(outer.get_xdata(), [1.0])
    assert outer.get_markerfacecolor() == "white"
    assert len(ax.collections) == 1 and ax.get_legend() is None
    plt.close(ax.figure)


def test_separate_laws_are_points_with_intervals():
    import matplotlib.pyplot as plt

    number, index = np.arange(3.0), np.array([0.1, np.nan, 0.3])
    given = plt.subplots()[1]
    columns = (number, index, index - 0.1, index + 0.1, np.ones(3, dtype=bool))
    ax = impacts({"laws": columns}, "", "mean", given)
    assert ax is given and ax.get_xlabel() == "law" and len(ax.containers) == 1
    ax.figure.canvas.draw()
    plt.close(ax.figure)


def test_laws_out_of_reach_are_shaded():
    import matplotlib.pyplot as plt

    ax = weights_of_laws(
        np.array([0.5, 0.0, 0.1]), np.array([0.01, 1.0, 0.4]), np.array([True, False, False])
    )
    assert len(ax.patches) == 2
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names[0] == "out of reach" and len(names) == 3
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), [0, 2])
    plt.close(ax.figure)
