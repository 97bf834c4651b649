"""Pictures from plain arrays; matplotlib is imported on use."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")[1]
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
