"""Pictures from plain arrays: nothing here knows a study. Needs matplotlib (the extra `plots`)."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

_OURS, _OTHERS, _POINT = "#0b6e99", ["#9a9a9a", "#c98b2b", "#7a5195"], "#d1495b"


def best_so_far(
    values: Mapping[str, ArrayLike],
    *,
    direction: Literal["minimize", "maximize"] = "minimize",
    ylabel: str = "best value so far",
    ax: Any = None,
) -> Any:
    """Best value after every evaluation, a line for each search.

    Parameters
    ----------
    values
        Observed values (n,) in the order of evaluation by the name of the search; NaN where an
        evaluation failed. The first one is drawn to stand out.
    direction
        Whether small or large is good.
    ylabel
        What the values are.
    ax
        Matplotlib axes; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or _new_axes()
    running = np.fmin if direction == "minimize" else np.fmax
    for position, (name, of_search) in enumerate(values.items()):
        seen = np.asarray(of_search, dtype=np.float64)
        color = _OURS if position == 0 else _OTHERS[(position - 1) % len(_OTHERS)]
        n = np.arange(1, len(seen) + 1)
        ax.plot(n, seen, "o", color=color, alpha=0.35, markersize=3, markeredgewidth=0)
        best = running.accumulate(seen)
        ax.step(n, best, where="post", color=color, label=name, linewidth=2 - 0.5 * (position > 0))
    ax.set(xlabel="evaluations", ylabel=ylabel)
    ax.legend(frameon=False)
    _open_frame(ax)
    return ax


def landscape(
    x: ArrayLike,
    y: ArrayLike,
    mean: ArrayLike,
    *,
    points: ArrayLike,
    best: ArrayLike,
    labels: tuple[str, str],
    title: str,
    log: tuple[bool, bool] = (False, False),
    ax: Any = None,
) -> Any:
    """What a model expects over two parameters, with the points that were tried.

    Parameters
    ----------
    x, y
        (a,) and (b,) grid values of the two parameters.
    mean
        (b, a) expected values.
    points
        (n, 2) tried points.
    best
        (2,) the recommended point.
    labels
        Names of the two parameters.
    title
        What is drawn, and in which unit.
    log
        Whether the axes are logarithmic.
    ax
        Matplotlib axes; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or _new_axes()
    filled = ax.contourf(x, y, np.asarray(mean), levels=20, cmap="GnBu_r")
    ax.figure.colorbar(filled, ax=ax)
    tried = np.asarray(points)
    ax.plot(tried[:, 0], tried[:, 1], "o", color="white", markeredgecolor="black", markersize=4)
    chosen = np.asarray(best)
    ax.plot(chosen[0], chosen[1], "*", color=_POINT, markeredgecolor="white", markersize=16)
    ax.set(xlabel=labels[0], ylabel=labels[1], title=title)
    ax.set_xscale("log" if log[0] else "linear")
    ax.set_yscale("log" if log[1] else "linear")
    return ax


def interval(
    x: ArrayLike,
    mean: ArrayLike,
    sd: ArrayLike,
    *,
    points: tuple[ArrayLike, ArrayLike],
    best: float,
    labels: tuple[str, str],
    ax: Any = None,
) -> Any:
    """What a model expects over one parameter: mean and 95 % band, observations, best point.

    Parameters
    ----------
    x, mean, sd
        (a,) grid, expected values and their standard deviations.
    points
        Parameter values (n,) and observed values (n,).
    best
        The recommended parameter value.
    labels
        Names of the two axes.
    ax
        Matplotlib axes; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or _new_axes()
    mu, width = np.asarray(mean), 1.96 * np.asarray(sd)
    ax.fill_between(x, mu - width, mu + width, color=_OURS, alpha=0.2, linewidth=0)
    ax.plot(x, mu, color=_OURS, linewidth=2)
    ax.plot(*points, "o", color="black", markersize=4)
    ax.axvline(best, color=_POINT, linestyle="--", linewidth=1)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    _open_frame(ax)
    return ax


def _new_axes() -> Any:
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(6, 4), layout="constrained")[1]


def _open_frame(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)
