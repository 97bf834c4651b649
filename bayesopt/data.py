"""Trials to tensors: the only room where the sign and the units turn.

Notation
--------
n, d    number of complete trials, of parameters
v       (n,) observed values in the user's units; small or large is good as `direction` says
X       (n, d) their points in the unit cube
Y       (n, 1) their scores: standardised, and larger is always better
Yvar    (n, 1) variances of the noise in Y, NaN where it has to be inferred
dY      (n, d) partial derivatives of the scores in the unit cube, NaN where there is none
dYvar   (n, d) variances of the noise in dY, likewise

    Y  = sign (v / unit - shift) / scale
    dY = sign dv/du / unit / scale

`unit` is the largest absolute value after truncation: it keeps squares of values near 1e300 or
1e-300 inside the range of a float64.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float as Shaped
from numpy.typing import NDArray
from torch import Tensor

from bayesopt.gradient import in_unit_cube
from bayesopt.parameter import Array
from bayesopt.space import Space
from bayesopt.trace_rows import trace_rows
from bayesopt.trial import Trial, TrialState

_STEEPEST = 1e15  # in scores: the rounding of a point would change its value as much as all do
_FARTHER_WITH_SLOPES = 500.0
_FARTHER_ON_CURVES = 10.0

Noise = Literal["auto", "heteroscedastic", False] | float
Direction = Literal["minimize", "maximize"]
Outcome = int | str
"""One of the numbers that an evaluation gives: an objective by its position, or an outcome
constraint by its name."""
_FARTHEST_BOUND = 1e15  # in scores, which are some tens at most


@dataclass(frozen=True)
class Scaling:
    """The map between the user's values and scores, one line in each direction."""

    sign: float
    unit: float
    shift: float
    scale: float

    def score(self, value: Array) -> Array:
        """Scores of values."""
        return self.sign * (value / self.unit - self.shift) / self.scale

    def score_bound(self, bound: Array) -> Array:
        """Scores of bounds: a finite one that no value comes near is as far as can be reckoned."""
        with np.errstate(over="ignore"):
            score = self.score(bound)
        near = np.clip(score, -_FARTHEST_BOUND, _FARTHEST_BOUND)
        return np.where(np.isfinite(bound), near, score)

    def score_sd(self, sd: Array) -> Array:
        """Standard deviations of scores."""
        return sd / self.unit / self.scale

    def score_slope(self, slope: Array) -> Array:
        """Derivatives of scores from those of values."""
        return self.sign * slope / self.unit / self.scale

    def value(self, score: Array) -> Array:
        """Values in the user's units."""
        with np.errstate(over="ignore"):
            return _finite((self.sign * score * self.scale + self.shift) * self.unit)

    def value_sd(self, sd: Array) -> Array:
        """Standard deviations in the user's units."""
        with np.errstate(over="ignore"):
            return _finite(sd * self.scale * self.unit)


def _finite(value: Array) -> Array:
    """What is beyond the largest float64 is as large as that."""
    largest = np.finfo(np.float64).max
    return np.clip(value, -largest, largest)


@dataclass(frozen=True)
class Dataset:
    """Everything a model sees of a study, checked once.

    Parameters
    ----------
    X
        (n, d) points of the unit cube.
    Y
        (n, 1) scores.
    Yvar
        (n, 1) noise variances of the scores, NaN where the noise has to be inferred.
    categories
        (column, number of choices) of the columns that hold categories, whose order means nothing.
    scaling
        How to get back to the user's values.
    dY, dYvar
        (n, d) partial derivatives of the scores, NaN where there is none, and their noise
        variances, NaN where the noise has to be inferred. Both None: no derivatives at all.
    """

    X: Shaped[Tensor, "n d"]
    Y: Shaped[Tensor, "n 1"]
    Yvar: Shaped[Tensor, "n 1"]
    categories: tuple[tuple[int, int], ...]
    scaling: Scaling
    dY: Shaped[Tensor, "n d"] | None = None
    dYvar: Shaped[Tensor, "n d"] | None = None

    def __post_init__(self) -> None:
        if not (len(self.X) == len(self.Y) == len(self.Yvar)):
            raise ValueError(
                f"Dataset: X has {len(self.X)} rows, Y {len(self.Y)} and Yvar {len(self.Yvar)}."
            )
        if not (bool(torch.isfinite(self.X).all()) and bool(torch.isfinite(self.Y).all())):
            raise ValueError("Dataset: X and Y must be finite.")
        slopes = [None if each is None else each.shape for each in (self.dY, self.dYvar)]
        if slopes not in ([None, None], [self.X.shape, self.X.shape]):
            raise ValueError(
                "Dataset: dY and dYvar are both None or both of the shape of X, "
                f"{tuple(self.X.shape)}, but are {slopes}."
            )

    def __len__(self) -> int:
        return len(self.X)

    def at(self, rows: Tensor) -> "Dataset":
        """Some of the observations, by a mask or by their numbers."""
        return replace(
            self,
            X=self.X[rows],
            Y=self.Y[rows],
            Yvar=self.Yvar[rows],
            dY=None if self.dY is None else self.dY[rows],
            dYvar=None if self.dYvar is None else self.dYvar[rows],
        )

    @property
    def noise_is_inferred(self) -> bool:
        """Whether at least one observation has an unknown noise variance."""
        return bool(self.Yvar.isnan().any())


def complete(trials: Iterable[Trial]) -> list[Trial]:
    """Complete trials in the order of their numbers."""
    return sorted(
        (trial for trial in trials if trial.state is TrialState.COMPLETE),
        key=lambda trial: trial.number,
    )


def observed_values(trials: Iterable[Trial], outcome: Outcome = 0) -> Array:
    """What the complete trials gave (n,), in the user's units."""
    return np.array([_observed(trial, outcome)[0] for trial in complete(trials)], dtype=np.float64)


def _observed(trial: Trial, outcome: Outcome) -> tuple[float, float | None]:
    """One of the numbers that a complete trial gave, and its standard error."""
    evaluation = trial.evaluation
    assert evaluation is not None
    if isinstance(outcome, int):
        return evaluation.values[outcome], evaluation.sds[outcome]
    assert evaluation.constraints is not None
    return evaluation.constraints[outcome], (evaluation.constraint_sd or {}).get(outcome)


def dataset(
    space: Space,
    trials: Iterable[Trial],
    direction: Direction,
    noise: Noise,
    truncate: float | None = None,
    *,
    outcome: Outcome = 0,
    allowed: NDArray[np.bool_] | None = None,
    within: tuple[float, float] | None = None,
    group: NDArray[np.int64] | None = None,
    traces: bool = False,
) -> Dataset:
    """Gather the complete trials.

    Parameters
    ----------
    space, trials, direction
        The study; at least one trial must be complete.
    noise
        "auto", "heteroscedastic": inferred where a trial has no standard error of its own; False:
        none; a number: the known standard deviation, in the user's units.
    truncate
        If c: every value worse than ``median + c (median - best)`` counts as that bad. What lies
        far behind the median need only be known to be bad, and one huge value would flatten all
        the others. A value that brings partial derivatives counts as it is much farther out: they
        tell how steeply it gets better, and would be lost with it. So do all where there are
        traces: curves begin far from where they end, and one that is cut has a kink.
    outcome
        Which of the numbers that they gave.
    allowed
        (n,) the complete trials that meet all outcome constraints, None for all of them. What is
        not poor among these counts as it is.
    within
        Values outside of this interval count as its ends.
    group
        (n,) what is poor is said for each group of evaluations by itself; None: they are one.
    traces
        Whether rows of their traces follow after those of the trials. Where noise is inferred it is
        so of these, since a standard error is that of the value alone. Not with groups.
    """
    done = complete(trials)
    value, X = observed_values(done, outcome), space.to_units([trial.params for trial in done])
    given = [_observed(trial, outcome)[1] for trial in done]
    if traces:
        assert group is None
        rows = trace_rows(space, done)
        value, X = np.concatenate((value, rows.value)), np.concatenate((X, rows.X))
        given += [None] * len(rows.X)
        allowed = None if allowed is None else np.concatenate((allowed, allowed[rows.trial]))
    if within is not None:
        value = np.clip(value, *within)
    sign = -1.0 if direction == "minimize" else 1.0
    score = raw = sign * value
    if truncate is not None:
        with_slopes = np.zeros(len(value), dtype=np.bool_)
        with_slopes[: len(done)] = [bool(t.evaluation and t.evaluation.gradient) for t in done]
        otherwise = _FARTHER_ON_CURVES if len(value) > len(done) else 1.0
        c = truncate * np.where(with_slopes, _FARTHER_WITH_SLOPES, otherwise)
        score = np.maximum(raw, _limits(raw, c, allowed, group))
    counts = score == raw
    unit = float(np.abs(score).max()) or 1.0
    score = score / unit
    mean, scale = float(score.mean()), float(score.std())
    # Rounding alone spreads equal values by about 1e-16 of their size, which `unit` made one.
    scaling = Scaling(sign, unit, sign * mean, scale if scale > 1e-14 else 1.0)
    Y = (score - mean) / scaling.scale
    # Partial derivatives are those of the only objective.
    slopes = _slopes(space, done, noise, scaling, counts) if outcome == 0 else (None, None)
    return Dataset(
        X=torch.from_numpy(X),
        Y=torch.from_numpy(Y).unsqueeze(-1),
        Yvar=torch.from_numpy(_noise_variance(given, noise, scaling)).unsqueeze(-1),
        categories=space.categories,
        scaling=scaling,
        dY=slopes[0],
        dYvar=slopes[1],
    )


def _limits(
    raw: Array, c: Array, allowed: NDArray[np.bool_] | None, group: NDArray[np.int64] | None
) -> Array:
    """Below which scores (n,) are poor, among those of a group, of what is allowed in it too."""
    limit = np.empty_like(raw)
    for one in [None] if group is None else np.unique(group):
        rows = np.ones(len(raw), dtype=np.bool_) if one is None else group == one
        limit[rows] = poor_from(raw[rows], c[rows])
        inside = rows if allowed is None else rows & allowed
        if inside.any():
            limit[rows] = np.minimum(limit[rows], poor_from(raw[inside], c[rows]))
    return limit


def poor_from(score: Array, c: float | Array) -> float | Array:
    """``median - c (best - median)`` of scores (k,), for one c or (n,): what is below is poor.

    When at least half of them share the best score, the median is that of the others.
    """
    quarter = 0.25 * score  # sums and differences of its entries cannot overflow
    best, median = float(quarter.max()), float(np.median(quarter))
    if median == best and quarter.min() < best:
        median = float(np.median(quarter[quarter < best]))
    with np.errstate(over="ignore"):  # what is beyond all floats is below all of them
        return 4.0 * (median - c * (best - median))


def _slopes(
    space: Space, trials: list[Trial], noise: Noise, scaling: Scaling, counts: NDArray[np.bool_]
) -> tuple[Tensor | None, Tensor | None]:
    """dY and dYvar, where the value `counts` as it is: a slope does not belong to another one."""
    observed = in_unit_cube(space, trials)
    if observed is None:
        return None, None
    partials, sd = observed
    with np.errstate(over="ignore"):
        dY, variance = scaling.score_slope(partials), _squared(scaling.score_sd(sd))
    if noise is False:
        variance[np.isnan(variance)] = 0.0
    usable = counts[:, None] & (np.abs(dY) <= _STEEPEST)
    if not usable.any():
        return None, None
    dY[~usable] = variance[~usable] = np.nan
    return torch.from_numpy(dY), torch.from_numpy(variance)


def _noise_variance(given: list[float | None], noise: Noise, scaling: Scaling) -> Array:
    default = np.nan if isinstance(noise, str) else float(noise)
    sd = [default if each is None else each for each in given]
    with np.errstate(over="ignore"):
        return _squared(scaling.score_sd(np.array(sd, dtype=np.float64)))


def _squared(sd: Array) -> Array:
    """A standard error far beyond the spread of the values says "unknown"; 1e6 keeps its square."""
    variance: Array = np.minimum(sd, 1e6) ** 2
    return variance
