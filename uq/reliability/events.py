"""Which failures are asked for: limit states below thresholds.

Notation
--------
J, T        limit states, thresholds
Q           events, J T of them, the thresholds of one limit state next to each other
g           (n, J) values of the limit states
e = (j, t)  event: g_j < t
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import finite_number, real_numbers

Array = NDArray[np.float64]


def checked_thresholds(threshold: float, thresholds: ArrayLike | None) -> tuple[Array, bool]:
    """(T,) thresholds, and whether `thresholds` was given, be it with a single one.

    Raises
    ------
    TypeError, ValueError
        When they are no finite numbers, none, not increasing, or given twice.
    """
    if thresholds is None:
        return np.array([finite_number(threshold, "`threshold`")]), False
    if threshold != 0.0:
        raise TypeError("Give either `threshold`, one number, or `thresholds`, several.")
    t = real_numbers(thresholds, "thresholds")
    if t.ndim != 1 or not len(t) or not np.isfinite(t).all():
        raise ValueError(f"`thresholds` must be finite numbers in a row, but got {thresholds!r}.")
    if not (np.diff(t) > 0.0).all():
        raise ValueError(
            f"`thresholds` must increase, from the rarest event to the most frequent one, but got "
            f"{t.tolist()}; np.unique(thresholds) brings them in order."
        )
    return t.astype(np.float64), True


@dataclass(frozen=True, eq=False)
class Events:
    """All events, limit state by limit state.

    Parameters
    ----------
    n_limit_states
        J.
    thresholds
        (T,), increasing.
    """

    n_limit_states: int
    thresholds: Array

    @property
    def n_events(self) -> int:
        """Q."""
        return self.n_limit_states * len(self.thresholds)

    @property
    def limit_state_of(self) -> NDArray[np.int64]:
        """(Q,) j of every event."""
        return np.repeat(np.arange(self.n_limit_states), len(self.thresholds))

    @property
    def threshold_of(self) -> Array:
        """(Q,) t of every event."""
        return np.tile(self.thresholds, self.n_limit_states)

    def margins(self, g: Array) -> Array:
        """(n, Q) g_j - t: negative where it fails; NaN stays NaN."""
        margins: Array = g[:, self.limit_state_of] - self.threshold_of
        return margins

    def some(self, most: int) -> NDArray[np.int64]:
        """Indices of at most so many events, spread over the thresholds of every limit state.

        Where each limit state gets one event it is the rarest; where there are more limit states
        than `most`, some of them get none.
        """
        n = len(self.thresholds)
        each = max(most // self.n_limit_states, 1)
        within = np.unique(np.linspace(0, n - 1, min(each, n)).round().astype(np.int64))
        chosen = (np.arange(self.n_limit_states)[:, None] * n + within).ravel()
        if len(chosen) <= most:
            return chosen
        kept: NDArray[np.int64] = chosen[np.linspace(0, len(chosen) - 1, most).astype(np.int64)]
        return kept
