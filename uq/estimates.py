"""What `expectations` returns: estimates with their errors, and the sample for further use.

Notation
--------
n, J, L     final sample, quantities, laws (L = 1 or J)
W_il        likelihood ratio f_l(X_i) / g(X_i) under the sampling density g
R           folds of the final sample
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bayesopt.arguments import finite_number
from uq import control_variates, plots
from uq.density_search import Stage
from uq.importance_sampling import effective_sample_size, max_weight_share
from uq.joint_laws import Law, law_of

Array = NDArray[np.float64]

FEW, FEW_RUNS = 50, 20
"""Below so many effective points of a law, and effective runs of a quantity, it is flagged."""
_FORMAT = 1


class ConfidenceInterval(NamedTuple):
    """Ends of an interval for each quantity, arrays of shape (J,)."""

    low: Array
    high: Array


def share_outside(confidence_level: float) -> float:
    """One less the level, which is checked.

    Raises
    ------
    TypeError, ValueError
        When it is no number between 0 and 1.
    """
    level = finite_number(confidence_level, "`confidence_level`")
    if not 0.0 < level < 1.0:
        raise ValueError(f"`confidence_level` must lie between 0 and 1, but got {level!r}.")
    return 1.0 - level


@dataclass(frozen=True, eq=False)
class Expectations:
    """Estimates of J expectations, and how they came about.

    Parameters
    ----------
    estimate
        (J,).
    covariance
        (J, J) of the estimates. From R folds of quasi-random points it has rank R - 1 at most.
    n_free
        Degrees of freedom of the Student quantile in the intervals.
    n_evaluations
        Runs of the model, failed ones included: the budget.
    failed_points
        (m, d) points at which the model gave NaN or infinity; left out, all outputs at once.
    history
        Stages, the final sample last.
    sample, values
        (n, d) final sample and (n, 1 or J) values there, NaN where a run failed.
    log_density
        (n,) of the density the final sample was drawn from.
    log_weights
        (n, L) log f_l - log g.
    folds
        (n,) labels of independent folds.
    independent
        Whether the points of one fold are independent draws.
    message
        What was done, in words.
    flags
        What to be careful about; empty when there is nothing.
    method
        "auto" or "published".
    """

    estimate: Array
    covariance: Array
    n_free: float
    n_evaluations: int
    failed_points: Array
    history: Sequence[Stage]
    sample: Array
    values: Array
    log_density: Array
    log_weights: Array
    folds: NDArray[np.int64]
    independent: bool
    message: str
    flags: Sequence[str] = ()
    method: str = "auto"

    @property
    def standard_error(self) -> Array:
        """(J,) standard errors; NaN where every run gave the same value."""
        return np.sqrt(np.diagonal(self.covariance))

    @property
    def ess(self) -> Array:
        """(L,) effective sample sizes of the final sample under each law."""
        return effective_sample_size(self.log_weights)

    @property
    def max_weight_share(self) -> Array:
        """(L,) share of the largest weight in the sum of weights under each law."""
        return max_weight_share(self.log_weights)

    @property
    def n_failed(self) -> int:
        """Number of failed runs."""
        return len(self.failed_points)

    def confidence_interval(
        self, confidence_level: float = 0.95, *, simultaneous: bool = False
    ) -> ConfidenceInterval:
        """Student intervals for each quantity.

        Parameters
        ----------
        confidence_level
            Between 0 and 1.
        simultaneous
            Whether all intervals together hold at that level (Bonferroni).
        """
        outside = share_outside(confidence_level) / (len(self.estimate) if simultaneous else 1)
        half = stats.t.isf(outside / 2, self.n_free) * self.standard_error
        return ConfidenceInterval(self.estimate - half, self.estimate + half)

    def reweight(self, law: Any) -> "Expectations":
        """The same runs under another law: reverse importance sampling, at no evaluation.

        Parameters
        ----------
        law
            One law, or a list of laws: as many as the values have columns, or any number when
            they have one column. See `uq.Inputs`.

        Returns
        -------
        Expectations
            Flagged where the sample hardly reaches a law.
        """
        laws = [law_of(one) for one in law] if isinstance(law, list | tuple) else [law_of(law)]
        if not laws:
            raise ValueError("`law` is an empty list; give at least one law.")
        n_outputs = self.values.shape[1]
        if len(laws) > 1 and n_outputs not in (1, len(laws)):
            raise ValueError(
                f"Got {len(laws)} laws for {n_outputs} functions: give one law, or one a function."
            )
        log_f = np.stack([_log_density(one, self.sample) for one in laws], axis=1)
        log_weights = log_f - self.log_density[:, None]
        W = np.exp(log_weights)
        ok = np.isfinite(self.values).all(axis=1, keepdims=True)
        T = W * np.where(ok, self.values, 0.0)
        flags = reach_flags(log_weights, T)
        if ok.all():
            candidates = [
                control_variates.without(T),
                control_variates.constant(T, W, self.folds),
            ]
            chosen, index = control_variates.choose(
                candidates, np.ones(T.shape[1]), self.folds, self.independent
            )
            kept = int((index == 1).sum())
        else:
            chosen = control_variates.conditional(T, np.broadcast_to(W * ok, T.shape))
            kept = T.shape[1]
            flags.append("Runs failed: the estimates are expectations given that a run does not.")
        means = control_variates.fold_means(chosen.contributions, self.folds)
        cov = control_variates.covariance(chosen, self.folds, self.independent)
        without_error(cov, T)
        return replace(
            self,
            estimate=means.mean(axis=0),
            covariance=cov,
            log_weights=log_weights,
            message=f"Reweighted, no new evaluation; the ratio as control variate for {kept} of "
            f"{T.shape[1]} quantities.",
            flags=flags,
        )

    def to_dataframe(self, confidence_level: float = 0.95) -> Any:
        """A pandas data frame, one row a quantity (pandas is imported on use)."""
        import pandas

        interval = self.confidence_interval(confidence_level)
        each = np.ones(len(self.estimate))
        return pandas.DataFrame(
            {
                "estimate": self.estimate,
                "standard_error": self.standard_error,
                "low": interval.low,
                "high": interval.high,
                "ess": self.ess * each,
                "max_weight_share": self.max_weight_share * each,
            }
        )

    def plot(self, ax: Any = None) -> Any:
        """Relative half-width of every 95 % interval and effective sample sizes.

        Parameters
        ----------
        ax
            matplotlib axes to draw on; new ones when None.

        Returns
        -------
        matplotlib.axes.Axes
        """
        interval = self.confidence_interval()
        half = (interval.high - interval.low) / 2
        return plots.relative_errors(self.estimate, half, self.ess, len(self.sample), ax)

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything to one file (NumPy's npz, nothing pickled)."""
        content: dict[str, Any] = dict(
            format=_FORMAT,
            estimate=self.estimate,
            covariance=self.covariance,
            n_free=self.n_free,
            n_evaluations=self.n_evaluations,
            failed_points=self.failed_points,
            stage_sizes=[stage.n for stage in self.history],
            stage_sources=np.array([stage.source for stage in self.history], dtype=np.str_),
            stage_numbers=[stage[2:] for stage in self.history],
            sample=self.sample,
            values=self.values,
            log_density=self.log_density,
            log_weights=self.log_weights,
            folds=self.folds,
            independent=self.independent,
            message=self.message,
            flags=np.array(list(self.flags), dtype=np.str_),
            method=self.method,
        )
        with open(path, "wb") as file:  # under the name that was asked for, no suffix added
            np.savez_compressed(file, **content)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Expectations":
        """Read what `save` wrote; raises ValueError for anything else."""
        try:
            with np.load(path, allow_pickle=False) as file:
                read = dict(file)
        except (OSError, TypeError, ValueError, EOFError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"{path} is not a saved result of uq.expectations.") from error
        if int(read.pop("format", -1)) != _FORMAT:
            raise ValueError(f"{path} is not a saved result of uq.expectations (format {_FORMAT}).")
        stages = zip(
            read.pop("stage_sizes"),
            read.pop("stage_sources"),
            read.pop("stage_numbers"),
            strict=True,
        )
        history = [Stage(int(n), str(source), *map(float, rest)) for n, source, rest in stages]
        plain = {
            "n_free": float(read.pop("n_free")),
            "n_evaluations": int(read.pop("n_evaluations")),
            "independent": bool(read.pop("independent")),
            "message": str(read.pop("message")),
            "method": str(read.pop("method")),
            "flags": [str(flag) for flag in read.pop("flags")],
        }
        return cls(history=history, **plain, **read)  # type: ignore[arg-type]


def reach_flags(log_weights: Array, T: Array) -> list[str]:
    """What to say where the sample does not carry the estimates.

    Parameters
    ----------
    log_weights
        (n, L) log f_l - log g.
    T
        (n, J) weighted values.
    """
    n = len(log_weights)
    ess = effective_sample_size(log_weights)
    flags = [
        f"Law {k}: only {ess[k]:.1f} effective points of {n}; its estimates are not to be trusted."
        for k in np.flatnonzero(ess < min(FEW, n / 4))
    ]
    with np.errstate(over="ignore"):
        W = np.exp(log_weights)
    mean, error = W.mean(axis=0), W.std(axis=0) / np.sqrt(n)
    flags += [
        f"Law {k}: its weights average {mean[k]:.3g} and not 1. The sample does not cover it, or "
        "its density is not normalised."
        for k in np.flatnonzero(np.abs(mean - 1.0) > np.maximum(6.0 * error, 0.05))
    ]
    with np.errstate(divide="ignore"):
        effective = effective_sample_size(np.log(np.abs(T)))
    for j, runs in enumerate(effective):
        if runs == 0.0:
            flags.append(f"Quantity {j}: every run gave the same value; its error is not known.")
        elif runs < min(FEW_RUNS, n / 8):
            flags.append(
                f"Quantity {j}: it rests on {runs:.1f} effective runs; its error may be larger "
                "than it looks."
            )
    return flags


def without_error(covariance: Array, T: Array) -> None:
    """Make NaN in place what is not known: errors of quantities whose T (n, J) are all 0."""
    unseen = np.logical_not(np.any(T != 0.0, axis=0))
    covariance[unseen] = np.nan
    covariance[:, unseen] = np.nan


def _log_density(law: Law, x: Array) -> Array:
    if law.dimension != x.shape[1]:
        raise ValueError(
            f"The sample has {x.shape[1]} columns, but the law has dimension {law.dimension}."
        )
    return law.log_density(x)
