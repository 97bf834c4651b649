"""What `failure_probability` returns: probabilities with their errors, and what was found.

Notation
--------
J, T        limit states, thresholds
Q           events, J T of them, see `events`
L           levels of an exceedance curve
beta        reliability index, Phi(-beta) = probability of failing
S           shape of the results: () for one limit state and one threshold, (T,) for thresholds,
            (J,) for limit states, (J, T) for both
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from uq import plots
from uq.estimates import ConfidenceInterval, share_outside
from uq.inputs import Inputs
from uq.reliability.combined_rounds import Combined, running
from uq.reliability.events import Events
from uq.reliability.exceedance_curves import ExceedanceCurve, interval
from uq.reliability.failure_regions import FoundDesignPoint, InputImportance
from uq.reliability.procedure import FinishedRound
from uq.reliability.unseen import Unseen, upper_bound

Array = NDArray[np.float64]


class ReliabilityStage(NamedTuple):
    """One stage of a search.

    Parameters
    ----------
    n
        Runs.
    source
        What they were drawn from.
    n_failures
        (Q,) runs that met each event.
    averaged
        Whether they are a round.
    """

    n: int
    source: str
    n_failures: NDArray[np.int64]
    averaged: bool


@dataclass(frozen=True, eq=False)
class Sample:
    """All runs that were made, failed ones included.

    Parameters
    ----------
    x, z
        (n, d) inputs, and in standard normal space.
    values
        (n, J) limit states, NaN where a run failed.
    weights
        (n,) likelihood ratios of the runs of all rounds, NaN for the others.
    """

    x: Array
    z: Array
    values: Array
    weights: Array


@dataclass(frozen=True, eq=False)
class FailureProbability:
    """Probabilities of failing, and how they came about.

    Parameters
    ----------
    inputs
        Law of the inputs.
    events
        Limit states and thresholds.
    shape
        S.
    estimates
        All Q events, from all rounds.
    curves
        J exceedance curves.
    n_met
        (Q,) runs that met each event.
    n_safe
        (Q,) runs that gave a number and did not.
    n_averaged
        (Q,) runs of the rounds that met each event.
    rarest
        The event of the smallest estimate among those that a round met.
    by_law_averaged
        Runs of the rounds that count as draws of the inputs' law.
    sample
        All runs.
    rounds
        Rounds of runs that are averaged; without a cheap limit state learning runs are so as well.
    design_points
        Of the rarest event, the region of the largest share first.
    importance
        What failing, the rarest event, tells of each input.
    history
        Stages.
    unseen
        Where the search has looked, and what a region that it missed would add at most.
    message
        What was done, in words.
    flags
        What to be careful about; empty when there is nothing.
    cheap
        Cheap limit states of z, (n, d) to (n, J), or None: those the failures were sought with.
    """

    inputs: Inputs
    events: Events
    shape: tuple[int, ...]
    estimates: Combined
    curves: Sequence[ExceedanceCurve]
    n_met: NDArray[np.int64]
    n_safe: NDArray[np.int64]
    n_averaged: NDArray[np.int64]
    rarest: int
    by_law_averaged: float
    sample: Sample
    rounds: Sequence[FinishedRound]
    design_points: Sequence[FoundDesignPoint]
    importance: InputImportance
    history: Sequence[ReliabilityStage]
    unseen: Unseen
    message: str
    flags: Sequence[str]
    cheap: Callable[[Array], Array] | None = field(default=None, repr=False)
    _again: Callable[[int], "FailureProbability"] | None = field(default=None, repr=False)

    @property
    def estimate(self) -> Any:
        """S: probabilities; 0 or 1 where no round met an event, or no run missed it."""
        return self._shaped(self._mean)

    @property
    def standard_error(self) -> Any:
        """S: standard errors; NaN where no round met an event, or no run missed it."""
        return self._shaped(self._error)

    @property
    def cv(self) -> Any:
        """S: standard errors over estimates; NaN where the errors are."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._shaped(np.where(self._mean > 0.0, self._error / self._mean, np.nan))

    @property
    def reliability_index(self) -> Any:
        """S: beta of the estimates; infinite where these are 0 or 1."""
        return self._shaped(-ndtri(np.clip(self._mean, 0.0, 1.0)))

    @property
    def n_evaluations(self) -> int:
        """Runs of the limit states, failed ones included."""
        return len(self.sample.z)

    @property
    def n_failed(self) -> int:
        """Runs that gave no number."""
        return len(self.failed_points)

    @property
    def failed_points(self) -> Array:
        """(m, d) inputs at which a run gave NaN or infinity."""
        return self.sample.x[~np.isfinite(self.sample.values).all(axis=1)]

    def confidence_interval(self, confidence_level: float = 0.95) -> ConfidenceInterval:
        """Student intervals, in the logarithm where the relative error is large.

        Failed runs count as safe in the lower ends and as failures in the upper ones. An event
        that no round met has 0 and an upper confidence bound, one that no run missed a lower bound
        and 1; see `uq.reliability.unseen`.

        Parameters
        ----------
        confidence_level
            Between 0 and 1.
        """
        outside = share_outside(confidence_level)
        low, high = interval(self.estimates, outside)
        bound = np.minimum(
            [self._bound(int(n), outside) for n in self.n_met],
            upper_bound(self.by_law_averaged, 0, outside),
        )
        of_safe = [self._bound(int(n), outside) for n in self.n_safe]
        unknown = self.estimates.high - self.estimates.low
        low = np.where(self._never_met, 0.0, low)
        high = np.where(self._never_met, np.minimum(bound + unknown, 1.0), high)
        low = np.where(self._never_missed, np.maximum(1.0 - (of_safe + unknown), 0.0), low)
        high = np.where(self._never_missed, 1.0, high)
        return ConfidenceInterval(self._shaped(low), self._shaped(high))

    def extend(self, budget: int) -> "FailureProbability":
        """The same probabilities with `budget` further runs; every run so far is used again.

        Earlier rounds stay in the estimate, and teach the new ones.

        Parameters
        ----------
        budget
            Further runs, at least 160.

        Raises
        ------
        TypeError, ValueError
            If `budget` is no such number, or the result is one of a study.
        """
        if self._again is None:
            raise ValueError(
                "A result of `uq.ReliabilityStudy` is extended by `study.extend(budget)`, and "
                "asked and told again."
            )
        return self._again(budget)

    def exceedance(self, limit_state: int = 0) -> ExceedanceCurve:
        """Probability of falling below each of many levels, from the same runs."""
        return self.curves[self._checked_limit_state(limit_state)]

    def to_dataframe(self, confidence_level: float = 0.95) -> Any:
        """A pandas data frame, one row an event (pandas is imported on use)."""
        import pandas

        low, high = (np.ravel(end) for end in self.confidence_interval(confidence_level))
        return pandas.DataFrame(
            {
                "limit_state": self.events.limit_state_of,
                "threshold": self.events.threshold_of,
                "estimate": np.ravel(self.estimate),
                "standard_error": np.ravel(self.standard_error),
                "cv": np.ravel(self.cv),
                "low": low,
                "high": high,
                "reliability_index": np.ravel(self.reliability_index),
                "n_met": self.n_met,
            }
        )

    def plot(
        self, x: str | int = 0, y: str | int = 1, ax: Any = None, *, limit_state: int = 0
    ) -> Any:
        """Failures and other runs in two inputs, and the cheap limit state.

        The line is where the cheap limit state is at the lowest threshold, all other inputs at the
        first design point.

        Parameters
        ----------
        x, y
            Names or numbers of two inputs.
        ax
            matplotlib axes to draw on; new ones when None.
        limit_state
            Which of several.

        Returns
        -------
        The matplotlib axes.
        """
        j = self._checked_limit_state(limit_state)
        if self.inputs.dimension < 2:
            raise ValueError(
                "`plot` shows two inputs, and there is only one: see `plot_exceedance` and "
                "`plot_convergence`."
            )
        columns = [self._column(x, "x"), self._column(y, "y")]
        if columns[0] == columns[1]:
            raise ValueError(f"`x` and `y` must be two inputs, but got {x!r} and {y!r}.")
        margin = self.sample.values[:, j] - self.events.thresholds[0]
        ok = np.isfinite(margin)
        at = self.sample.x[:, columns]
        stars = np.array([point.x[columns] for point in self.design_points])
        contour = self._contour(j, columns) if self.cheap is not None else None
        names = [self.inputs.names[k] for k in columns]
        return plots.failures(
            at[ok & (margin >= 0.0)], at[ok & (margin < 0.0)], stars.reshape(-1, 2), names,
            contour, ax,
        )  # fmt: skip

    def plot_exceedance(self, ax: Any = None, *, limit_state: int = 0) -> Any:
        """Exceedance curve with its 95 % band; returns the matplotlib axes."""
        curve = self.exceedance(limit_state)
        T = len(self.events.thresholds)
        asked = slice(limit_state * T, (limit_state + 1) * T)
        return plots.exceedance(
            curve.levels, curve.probability, curve.low, curve.high,
            self.events.thresholds, self._mean[asked], ax,
        )  # fmt: skip

    def plot_convergence(self, ax: Any = None, *, event: int = 0) -> Any:
        """Estimate and 95 % band by runs, over the folds of the last round."""
        if not 0 <= event < self.events.n_events:
            raise ValueError(
                f"`event` must lie in 0..{self.events.n_events - 1}, but got {event!r}."
            )
        last = self.rounds[-1]
        means, error = running(last, event)
        size = len(last.runs.z) // (len(means) + 1)
        before = self.n_evaluations - len(last.runs.z)
        runs = before + size * np.arange(2, len(means) + 2)
        return plots.probability_convergence(runs, means, 1.96 * error, ax)

    @property
    def _never_met(self) -> NDArray[np.bool_]:
        """(Q,) in no round: the estimate is 0, whatever the learning runs met."""
        return np.asarray(self.n_averaged == 0)

    @property
    def _never_missed(self) -> NDArray[np.bool_]:
        """(Q,) in no run at all."""
        return np.asarray(self.n_safe == 0)

    @property
    def _mean(self) -> Array:
        mean = np.clip(self.estimates.mean, 0.0, 1.0)
        return np.where(self._never_met, 0.0, np.where(self._never_missed, 1.0, mean))

    @property
    def _error(self) -> Array:
        unknown = self._never_met | self._never_missed
        return np.where(unknown, np.nan, np.sqrt(self.estimates.variance))

    def _bound(self, n_met: int, outside: float) -> float:
        return upper_bound(self.unseen.by_law, n_met, outside)

    def _shaped(self, flat: Array) -> Any:
        shaped = np.reshape(flat, self.shape)
        return float(shaped) if not self.shape else shaped

    def _checked_limit_state(self, j: int) -> int:
        if not isinstance(j, int) or not 0 <= j < self.events.n_limit_states:
            raise ValueError(
                f"`limit_state` must lie in 0..{self.events.n_limit_states - 1}, but got {j!r}."
            )
        return j

    def _column(self, which: str | int, name: str) -> int:
        names = self.inputs.names
        if which in names:
            return names.index(str(which))
        if isinstance(which, int) and 0 <= which < len(names):
            return which
        raise ValueError(
            f"`{name}` must be one of the inputs {list(names)} or its number, but got {which!r}."
        )

    def _contour(self, j: int, columns: list[int]) -> tuple[Array, Array, Array]:
        """Grid (k,), (k,) and the cheap limit state less the threshold there (k, k)."""
        assert self.cheap is not None
        k = 80
        z = self.sample.z
        centre = self.inputs.from_normal(0.0 * z[:1])[0]
        if self.design_points:
            centre = self.design_points[0].x
        low, high = self.sample.x[:, columns].min(axis=0), self.sample.x[:, columns].max(axis=0)
        first, second = np.linspace(low[0], high[0], k), np.linspace(low[1], high[1], k)
        x = np.tile(centre, (k * k, 1))
        x[:, columns[0]], x[:, columns[1]] = (one.ravel() for one in np.meshgrid(first, second))
        values = self.cheap(self.inputs.to_normal(x))[:, j] - self.events.thresholds[0]
        return first, second, values.reshape(k, k)
