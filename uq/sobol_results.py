"""What the sensitivity calls return: indices with their errors and intervals.

Notation
--------
k           factors: inputs or groups of inputs
J           outputs; arrays have a last axis for them where there are several
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from uq import plots
from uq.estimates import ConfidenceInterval, share_outside
from uq.pick_freeze import SobolDesign

Array = NDArray[np.float64]

KINDS = ("first_order", "total_order", "second_order", "closed_second_order", "shapley")
_LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class IndexEstimates:
    """Estimates of one kind of index.

    Parameters
    ----------
    estimate, standard_error
        (k,) or (k, k), and a last axis J for several outputs; NaN where there is no such index.
    n_free
        Degrees of freedom of the Student quantile in the intervals.
    resampled
        (n_resamples, ...) indices of bootstrap samples, whose quantiles are the intervals then.
    """

    estimate: Array
    standard_error: Array
    n_free: float
    resampled: Array | None = None

    def confidence_interval(self, confidence_level: float = _LEVEL) -> ConfidenceInterval:
        """Ends of an interval for each index, in the shape of the estimates.

        Raises
        ------
        TypeError, ValueError
            When `confidence_level` is no number between 0 and 1.
        """
        outside = share_outside(confidence_level) / 2
        if self.resampled is not None:
            low, high = np.quantile(self.resampled, [outside, 1.0 - outside], axis=0)
            return ConfidenceInterval(low, high)
        half = stats.t.isf(outside, self.n_free) * self.standard_error
        return ConfidenceInterval(self.estimate - half, self.estimate + half)


class OfEachKind(NamedTuple):
    """Something for each kind of index; None where a call does not estimate it."""

    first_order: Any = None
    total_order: Any = None
    second_order: Any = None
    closed_second_order: Any = None
    shapley: Any = None


class Again(NamedTuple):
    """How a result is made anew: with more rows, or with fewer of the same."""

    extend: Callable[[int], "SobolIndices"] | None
    history: Callable[[], "list[SobolIndices]"]


@dataclass(frozen=True, eq=False)
class SobolIndices:
    """Sobol' indices of a model, and how they came about.

    Parameters
    ----------
    names
        Of the k factors.
    estimates
        Kinds of indices to their estimates, see `KINDS`.
    variance
        Of the output, () or (J,).
    n_evaluations
        Runs of the model, failed ones included.
    n_effective
        Rows or stars of a design, or runs of given data, that the estimates rest on; the others
        failed.
    message
        What was done, in words.
    flags
        What to be careful about; empty when there is nothing.
    method
        "pick_freeze", "star", "importance", "given_data" or "shapley".
    design, values
        Pick-freeze design and the outputs (n_runs,) or (n_runs, J) at its points.
    diagnostics
        Further arrays by name, such as the weights of an importance sample.

    Notes
    -----
    Indices are unbiased estimates: one near zero may come out negative, and one near one above it.
    It is then not told apart from zero or one, as its interval says.

    A pickled result, and a copy, cannot be extended, for the model is not in it;
    ``uq.sobol_estimate(result.design, result.values)`` makes it anew from its runs.
    """

    names: tuple[str, ...]
    estimates: Mapping[str, IndexEstimates]
    variance: Array
    n_evaluations: int
    n_effective: int
    message: str
    flags: Sequence[str] = ()
    method: str = "pick_freeze"
    design: SobolDesign | None = None
    values: Array | None = None
    diagnostics: Mapping[str, Array] = field(default_factory=dict)
    _again: Again | None = None

    def __getstate__(self) -> dict[str, Any]:
        """All but the ways to make it anew, for these hold the model, its executor and the like."""
        return {**self.__dict__, "_again": None}

    @property
    def first_order(self) -> Array:
        """(k,) or (k, J) shares of the variance that each factor explains alone."""
        return self._of("first_order").estimate

    @property
    def total_order(self) -> Array:
        """(k,) or (k, J) shares in which each factor has a part."""
        return self._of("total_order").estimate

    @property
    def second_order(self) -> Array:
        """(k, k) or (k, k, J) shares of the interaction of two factors; NaN on the diagonal."""
        return self._of("second_order").estimate

    @property
    def closed_second_order(self) -> Array:
        """(k, k) or (k, k, J) shares that two factors explain together; NaN on the diagonal."""
        return self._of("closed_second_order").estimate

    @property
    def shapley(self) -> Array:
        """(k,) or (k, J) Shapley effects, which sum to one."""
        return self._of("shapley").estimate

    S1, ST, S2 = first_order, total_order, second_order

    @property
    def S1_conf(self) -> Array:
        """Half-widths of the 95 % intervals of the first-order indices."""
        return self._half_width("first_order")

    @property
    def ST_conf(self) -> Array:
        """Half-widths of the 95 % intervals of the total indices."""
        return self._half_width("total_order")

    @property
    def S2_conf(self) -> Array:
        """Half-widths of the 95 % intervals of the second-order indices."""
        return self._half_width("second_order")

    @property
    def standard_error(self) -> OfEachKind:
        """Standard errors, by kind: ``s.standard_error.first_order``."""
        return OfEachKind(**{kind: one.standard_error for kind, one in self.estimates.items()})

    def confidence_interval(self, confidence_level: float = _LEVEL) -> OfEachKind:
        """Intervals, by kind: ``s.confidence_interval(0.95).first_order.low``."""
        each = {k: one.confidence_interval(confidence_level) for k, one in self.estimates.items()}
        return OfEachKind(**each)

    def extend(self, n: int) -> "SobolIndices":
        """The same indices from n rows; the runs so far are kept, only the others are made.

        Parameters
        ----------
        n
            Rows of the new design, see `SobolDesign.extend`.

        Raises
        ------
        ValueError
            When there is no model or no design to extend.
        """
        if self._again is None or self._again.extend is None:
            raise ValueError(
                "Only a result of `uq.sobol_indices` by pick-freeze can be extended. With "
                "`uq.sobol_design`, run the model on design.extend(n).points[len(design.points):] "
                "and call `uq.sobol_estimate` again."
            )
        return self._again.extend(n)

    def to_dataframe(self, confidence_level: float = _LEVEL) -> Any:
        """A pandas data frame, one row an index and an output (pandas is imported on use)."""
        import pandas

        parts = []
        for kind, one in self.estimates.items():
            interval = one.confidence_interval(confidence_level)
            columns = (one.estimate, one.standard_error, interval.low, interval.high)
            parts += _rows(kind, self.names, columns)
        frame = pandas.DataFrame(
            parts,
            columns=["index", "factor", "output", "estimate", "standard_error", "low", "high"],
        )
        return frame if self.variance.ndim else frame.drop(columns="output")

    def plot(self, ax: Any = None, *, output: int = 0, confidence_level: float = _LEVEL) -> Any:
        """Bars of the indices with their intervals; returns the matplotlib axes.

        Parameters
        ----------
        ax
            matplotlib axes to draw on; new ones when None.
        output
            Which of several outputs.
        confidence_level
            Of the intervals.
        """
        bars = {}
        for kind, one in self.estimates.items():
            if kind in ("first_order", "total_order", "shapley"):
                interval = one.confidence_interval(confidence_level)
                ends = (one.estimate, interval.low, interval.high)
                bars[kind.replace("_", " ")] = tuple(self._one_output(end, output) for end in ends)
        return plots.index_bars(self.names, bars, ax)

    def plot_convergence(self, ax: Any = None, *, output: int = 0) -> Any:
        """Total and first-order indices with their intervals by runs; returns the axes.

        The earlier estimates are those of the first rows of every fold, which are nets themselves.
        """
        if self._again is None:
            advice = ""
            if self.design is not None and self.values is not None:
                advice = " Make this one anew: `uq.sobol_estimate(result.design, result.values)`."
            raise ValueError(
                f"Only indices of a pick-freeze design have a convergence to show.{advice}"
            )
        history = [*self._again.history(), self]
        lines = {}
        for kind in ("first_order", "total_order"):
            if kind in self.estimates:
                one = [past.estimates[kind] for past in history]
                interval = [each.confidence_interval() for each in one]
                ends = (
                    [each.estimate for each in one],
                    [each.low for each in interval],
                    [each.high for each in interval],
                )
                lines[kind.replace("_", " ")] = tuple(
                    np.stack([self._one_output(value, output) for value in end]) for end in ends
                )
        runs = np.array([past.n_evaluations for past in history])
        return plots.index_convergence(runs, self.names, lines, ax)

    def _one_output(self, values: Array, output: int) -> Array:
        return values[..., output] if self.variance.ndim else values

    def _half_width(self, kind: str) -> Array:
        low, high = self._of(kind).confidence_interval()
        half: Array = (high - low) / 2
        return half

    def _of(self, kind: str) -> IndexEstimates:
        if kind in self.estimates:
            return self.estimates[kind]
        advice = "; call with order=2" if "second" in kind else ""
        advice = "; call `uq.shapley_effects`" if kind == "shapley" else advice
        raise AttributeError(
            f"This result has no {kind.replace('_', ' ')} indices, only "
            f"{', '.join(self.estimates)}{advice}."
        )


def squeezed(values: Array) -> Array:
    """Values (..., J) without their last axis where there is one output."""
    return values[..., 0] if values.shape[-1] == 1 else values


def how_often(names: Sequence[str]) -> str:
    """Each of the names and its count, in words, such as "none for 2; polynomial for 1"."""
    return "; ".join(f"{name} for {names.count(name)}" for name in dict.fromkeys(names))


def pair_matrix(values: Array, k: int) -> Array:
    """Symmetric (..., k, k, J) of values (..., k (k - 1) / 2, J) of pairs, NaN on the diagonal."""
    matrix = np.full((*values.shape[:-2], k, k, values.shape[-1]), np.nan)
    i, j = np.triu_indices(k, 1)
    matrix[..., i, j, :] = matrix[..., j, i, :] = values
    return matrix


def _rows(kind: str, names: tuple[str, ...], columns: tuple[Array, ...]) -> list[tuple[Any, ...]]:
    """(index, factor, output, estimate, standard error, low, high) of all indices of one kind."""
    pairs = "second" in kind
    if pairs:
        i, j = np.triu_indices(len(names), 1)
        labels = [f"{names[a]}, {names[b]}" for a, b in zip(i, j, strict=True)]
        columns = tuple(values[i, j] for values in columns)
    else:
        labels = list(names)
    flat = [values.reshape(len(labels), -1) for values in columns]
    return [
        (kind, label, output, *(float(values[row, output]) for values in flat))
        for row, label in enumerate(labels)
        for output in range(flat[0].shape[1] if labels else 0)
    ]
