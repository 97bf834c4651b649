"""Pictures from plain arrays; matplotlib is imported on use."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_INCHES_PER_LETTER = 0.1  # of a label in matplotlib's usual size


def relative_errors(
    estimate: Array, half_width: Array, ess: Array, n_points: int, ax: Any = None
) -> Any:
    """Half-widths of intervals over the estimates, and effective sample sizes beside them.

    Parameters
    ----------
    estimate, half_width
        (J,).
    ess
        (L,) effective sample sizes, L = 1 or J.
    n_points
        Size of the sample.
    ax
        matplotlib axes; new ones when None.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    number = np.arange(len(estimate))
    size = np.abs(estimate)
    shown = (size > 0.0) & (half_width > 0.0)
    ax.semilogy(
        number[shown], half_width[shown] / size[shown], "o", color="C0", markersize=4,
        label="half-width of the 95 % interval / |estimate|",
    )  # fmt: skip
    if len(ess) == len(number):
        ax.semilogy(
            number, ess / n_points, "_", color="C1", label="effective / drawn points of its law"
        )
    ax.set_xlabel("quantity")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def index_bars(names: Sequence[str], bars: Mapping[str, tuple[Array, ...]], ax: Any = None) -> Any:
    """Bars of indices with their intervals, one group for each factor.

    Parameters
    ----------
    names
        Of the k factors.
    bars
        Kinds of indices to (estimate, low, high), each (k,).
    ax
        matplotlib axes; new ones when None.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax, max(6.4, 0.55 * len(names)))
    place, width = np.arange(len(names)), 0.8 / max(len(bars), 1)
    for k, (kind, (estimate, low, high)) in enumerate(bars.items()):
        at = place + (k - (len(bars) - 1) / 2) * width
        ax.bar(at, estimate, 0.9 * width, color=f"C{k}", label=kind)
        ends = np.maximum(np.stack([estimate - low, high - estimate]), 0.0)
        ax.errorbar(at, estimate, ends, fmt="none", ecolor="0.2", elinewidth=1.0, capsize=2.5)
    ax.axhline(0.0, color="0.2", linewidth=0.8)
    inches = ax.get_position().width * ax.figure.get_figwidth()
    turned = _INCHES_PER_LETTER * max(len(name) + 1 for name in names) * len(names) > inches
    ax.set_xticks(place, names, rotation=45 if turned else 0, ha="right" if turned else "center")
    ax.set_ylabel("share of the variance")
    ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def index_convergence(
    runs: NDArray[np.int64],
    names: Sequence[str],
    lines: Mapping[str, tuple[Array, ...]],
    ax: Any = None,
) -> Any:
    """Indices and their intervals by runs of the model, one colour for each factor.

    Parameters
    ----------
    runs
        (m,) runs behind each estimate.
    names
        Of the k factors.
    lines
        Kinds of indices to (estimate, low, high), each (m, k); the first kind is drawn solid, the
        second dashed.
    ax
        matplotlib axes; new ones when None.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    for style, (kind, (estimate, low, high)) in zip(("-", "--", ":"), lines.items(), strict=False):
        for i, name in enumerate(names):
            label = name if style == "-" else None
            ax.plot(runs, estimate[:, i], style, color=f"C{i % 10}", marker=".", label=label)
            ax.fill_between(runs, low[:, i], high[:, i], color=f"C{i % 10}", alpha=0.15, lw=0)
        ax.plot([], [], style, color="0.4", label=kind)
    ax.set_xscale("log", base=2)
    ax.set_xticks(runs, [str(run) for run in runs])
    ax.set(xlabel="runs of the model", ylabel="share of the variance")
    ax.legend(frameon=False, fontsize="small", ncols=2)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def impacts(
    groups: Mapping[str, Sequence[NDArray[Any]]],
    x_label: str,
    y_label: str,
    ax: Any = None,
) -> Any:
    """Indices over the size of a perturbation, a line and a band each; or of single laws.

    Parameters
    ----------
    groups
        Name to positions, indices, low and high ends of intervals, and whether the sample carries
        the law (if not its marker is hollow), each (m,).
    x_label, y_label
        Of the axes. Without `x_label` the positions are those of separate laws.
    ax
        matplotlib axes; new ones when None.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    ax.axhline(0.0, color="0.7", linewidth=0.8)
    for k, (name, (position, index, low, high, reach)) in enumerate(groups.items()):
        style = {"color": f"C{k % 10}", "markersize": 4}
        line, marker = ("-", "--", ":")[k // 10 % 3], "osv"[k // 10 % 3]
        ends = np.stack([index - low, high - index])
        if x_label:
            ax.fill_between(position, low, high, color=style["color"], alpha=0.2, linewidth=0)
            ax.plot(position, index, line, color=style["color"], label=name)
        else:
            ax.errorbar(position, index, ends, fmt="none", ecolor=style["color"])
        ax.plot(position[reach], index[reach], marker, **style)
        ax.plot(position[~reach], index[~reach], marker, markerfacecolor="white", **style)
    if x_label and len(groups) > 1:
        ax.legend(frameon=False, fontsize="small")
    ax.set(xlabel=x_label or "law", ylabel=y_label)
    if not x_label:
        ax.xaxis.get_major_locator().set_params(integer=True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def weights_of_laws(
    ess_share: Array, largest_share: Array, in_reach: NDArray[np.bool_], ax: Any = None
) -> Any:
    """Effective over drawn points, and the largest weight over the sum, law by law.

    Parameters
    ----------
    ess_share, largest_share
        (L,).
    in_reach
        (L,); laws out of reach are shaded.
    ax
        matplotlib axes; new ones when None.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    number = np.arange(len(ess_share))
    for k in number[~in_reach]:
        first = "out of reach" if k == number[~in_reach][0] else None
        ax.axvspan(k - 0.5, k + 0.5, color="0.9", linewidth=0, label=first)
    for share, marker, name in (
        (ess_share, "o", "effective / drawn points"),
        (largest_share, "s", "largest weight / sum of weights"),
    ):
        shown = share > 0.0
        ax.semilogy(number[shown], share[shown], marker, markersize=4, label=name)
    ax.set(xlabel="law", ylabel="share")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(
        frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3
    )
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _axes(ax: Any, width: float = 6.4) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, 3.6), layout="constrained")[1]


def failures(
    safe: Array,
    failing: Array,
    design_points: Array,
    names: Sequence[str],
    contour: tuple[Array, Array, Array] | None,
    ax: Any = None,
) -> Any:
    """Runs in two inputs: those that fail, those that do not, design points, the limit state.

    Parameters
    ----------
    safe, failing, design_points
        (n, 2), (m, 2), (k, 2).
    names
        Of the two inputs.
    contour
        Grid (k,), (k,) and values (k, k) whose zero line is drawn; None for none.
    ax
        matplotlib axes; new ones when None.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    ax.plot(*safe.T, ".", color="0.7", markersize=2.5, label=f"{len(safe)} safe runs")
    ax.plot(*failing.T, ".", color="C3", markersize=2.5, label=f"{len(failing)} failures")
    if contour is not None and contour[2].min() < 0.0 < contour[2].max():
        ax.contour(*contour, levels=[0.0], colors="C0", linewidths=1.5)
        ax.plot([], [], color="C0", label="cheap limit state")
    if len(design_points):
        ax.plot(
            *design_points.T, "*", color="gold", markeredgecolor="0.2", markersize=11,
            label="design points",
        )  # fmt: skip
    ax.set(xlabel=names[0], ylabel=names[1])
    ax.legend(frameon=True, fontsize="small", markerscale=1.5)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def exceedance(
    levels: Array,
    probability: Array,
    low: Array,
    high: Array,
    thresholds: Array,
    asked: Array,
    ax: Any = None,
) -> Any:
    """Probability of falling below each level, its band, and what was asked for.

    Parameters
    ----------
    levels, probability, low, high
        (L,).
    thresholds, asked
        (T,) thresholds and their probabilities.
    ax
        matplotlib axes; new ones when None.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    seen = probability > 0.0
    least = probability[seen].min() / 10.0 if seen.any() else 1e-3
    ax.semilogy(levels[seen], probability[seen], color="C0", label="P(limit state < level)")
    ax.fill_between(
        levels[seen], np.maximum(low[seen], least), high[seen], color="C0", alpha=0.25, lw=0,
        label="95 % interval",
    )  # fmt: skip
    shown = asked > 0.0
    ax.semilogy(thresholds[shown], asked[shown], "o", color="C3", label="asked for")
    ax.set(xlabel="level of the limit state", ylabel="probability")
    ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def probability_convergence(
    runs: NDArray[np.int64], probability: Array, half_width: Array, ax: Any = None
) -> Any:
    """A probability and its interval by runs.

    Parameters
    ----------
    runs, probability, half_width
        (m,).
    ax
        matplotlib axes; new ones when None.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    ax.plot(runs, probability, color="C0", marker=".", label="estimate")
    ax.fill_between(
        runs, probability - half_width, probability + half_width, color="C0", alpha=0.25, lw=0,
        label="95 % interval",
    )  # fmt: skip
    ax.set(xlabel="runs of the limit state", ylabel="probability of failing")
    ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
