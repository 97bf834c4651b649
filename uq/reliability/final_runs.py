"""From the runs that are averaged to probabilities: plain weights, or a cheap model beside them.

Notation
--------
n, R, Q     runs of one round, folds (independent nets), events
phi, q      law of the inputs, density that the runs were drawn from
W, i        phi / q at a run, and 1 where an event happens in it, else 0; one of each an event
r           the fold of the run
h_r, s_r    cheap limit state less the threshold, fitted without fold r, and its softness
E[.]        expectations under phi that cost no runs, see `cheap_probabilities`
V           what is averaged over the runs

    none    V = W i, or 1 - W (1 - i) where failing is more likely than not                   (1)
    hard    V = E[1{h_r < 0}]      + W (i - 1{h_r < 0})                                       (2)
    soft    V = E[Phi(-h_r / s_r)] + W (i - Phi(-h_r / s_r))                                  (3)

Given the learning runs and the other folds each is unbiased, however wrong h_r is: only runs whose
failing it mistakes count in (2). The variance of (1) is read off the folds, whose nets integrate
W better than random numbers do, and is a quarter of what single runs show at least. What is left by
(2) and (3) is rough, and read off the single runs, with the variance of E[.] added. Where hardly a
run was mistaken, their number is known badly: a quarter of a run, of the weight of those nearest to
the limit state, is counted at least, unless the cheap limit state meets all learning runs exactly.

Which of the three is taken is decided by variances of the same runs, and asks for a clear win.

A run that failed to give a number may or may not be a failure of the structure: `low` counts it as
none, `high` as one, and the estimate goes by the share of the others, or by the cheap limit state.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from uq.control_variates import LEAST_WIN, fold_means
from uq.importance_sampling import effective_sample_size
from uq.reliability.cheap_probabilities import N_NETS, CheapProbabilities, soft_indicator

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

NAMES = ("none", "cheap limit state", "softened cheap limit state")
"""Of (1), (2) and (3) as control variates."""
_LEAST_MISTAKEN = 0.25  # runs
_LEAST_OF_SINGLE = 0.25
"""Of the variance by single runs: few folds of heavy weights may agree by luck."""
_CLEAR_WIN = 0.25
"""Of the variance of the plain runs, each by itself: a cheap limit state must stay below, as nets
make plain runs better by about as much. Single runs tell it well. The few folds would not: rounds
whose fold means happen to lie close together would go without the cheap limit state.
"""
_NEAREST = 0.02  # of the runs: those that the cheap limit state is least sure of
_LEAST_NEAREST = 20
_LEAST_FREE = 4.0  # degrees of freedom of a variance that rests on few mistaken runs


@dataclass(frozen=True, eq=False)
class Round:
    """Runs of one round.

    Parameters
    ----------
    z
        (n, d) points.
    g
        (n, J) values, NaN where a run failed.
    W
        (n,) likelihood ratios.
    folds
        (n,) labels 0 .. R - 1.
    """

    z: Array
    g: Array
    W: Array
    folds: Labels


@dataclass(frozen=True, eq=False)
class Control:
    """The cheap limit states at the runs of a round, and what is known of them.

    Parameters
    ----------
    h
        (n, Q) h_r at the runs of fold r.
    softness
        (n, Q') of the first Q' events, by the fold of the run.
    known
        Expectations of the hard and the soft events.
    is_exact
        (Q,) whether they meet all learning runs.
    """

    h: Array
    softness: Array
    known: CheapProbabilities
    is_exact: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RoundEstimate:
    """Estimates of all events from one round.

    Parameters
    ----------
    mean, low, high
        (Q,) with failed runs left out, counted as no failure, counted as one.
    variance, n_free
        (Q,) of the means, and degrees of freedom of the variances.
    used
        (Q,) index in `NAMES` of what was used.
    by_fold
        (R, Q) means of the folds.
    mistaken
        (Q,) runs whose failing the cheap limit state mistook; NaN without one.
    """

    mean: Array
    low: Array
    high: Array
    variance: Array
    n_free: Array
    used: NDArray[np.int64]
    by_fold: Array
    mistaken: Array


def estimate(
    runs: Round, margins: Array, frequent: NDArray[np.bool_], control: Control | None
) -> RoundEstimate:
    """Estimates of all events with what clearly wins.

    Parameters
    ----------
    runs
        One round.
    margins
        (n, Q) limit states less the thresholds at the runs; NaN where a run failed.
    frequent
        (Q,) events more likely than not: one less the weights of the runs that miss them.
    control
        Cheap limit states; None for none.
    """
    ok = np.asarray(np.isfinite(margins).all(axis=1))[:, None]
    W = runs.W[:, None]
    happens = np.where(ok, margins < 0.0, 0.0)
    mass = (W * ok).sum(axis=0)
    share = (W * happens).sum(axis=0) / np.where(mass > 0.0, mass, 1.0)
    guess = np.where(ok, happens, share)  # left out: as likely a failure as the other runs
    V = np.where(frequent, 1.0 - W * (1.0 - guess), W * guess)  # (1)
    best = _without(V, runs.folds)
    assumed = W * guess * ~ok
    if control is not None:
        predicted = (control.h < 0.0).astype(np.float64)
        known = np.where(ok, happens, predicted)  # the cheap limit state knows better
        best = _with_control(best, V, known, runs, control)
        assumed = np.where(best.used == 0, assumed, W * predicted * ~ok)
    low = fold_means(assumed, runs.folds).mean(axis=0)
    high = fold_means(W * ~ok - assumed, runs.folds).mean(axis=0)
    return replace(best, low=best.mean - low, high=best.mean + high)


def _without(V: Array, folds: Labels) -> RoundEstimate:
    """Estimates by V of (1)."""
    by_fold = fold_means(V, folds)
    n_folds, n_events = by_fold.shape
    mean = by_fold.mean(axis=0)
    of_folds = by_fold.var(axis=0, ddof=1) / n_folds
    variance = np.maximum(of_folds, _LEAST_OF_SINGLE * _of_single_runs(V, folds))
    with np.errstate(divide="ignore"):
        effective = effective_sample_size(np.log(np.abs(np.where(mean > 0.5, 1.0 - V, V))))
    # What rests on a few runs knows its own variance no better than they do.
    n_free = np.minimum(n_folds - 1.0, np.maximum(effective - 1.0, 1.0))
    return RoundEstimate(
        mean, mean, mean, variance, n_free,
        np.zeros(n_events, dtype=np.int64), by_fold, np.full(n_events, np.nan),
    )  # fmt: skip


def _with_control(
    none: RoundEstimate, V: Array, happens: Array, runs: Round, control: Control
) -> RoundEstimate:
    """Take (2) or (3) for each event where it clearly wins; V is that of (1)."""
    predicted = (control.h < 0.0).astype(np.float64)
    hard = _controlled(happens, predicted, control.known.hard, runs)  # (2)
    near = _nearest(control.h)
    W_near = np.square(runs.W)[near].mean(axis=0)
    few = np.where(control.is_exact, 0.0, _LEAST_MISTAKEN * W_near / len(runs.W) ** 2)
    best = replace(hard, left=np.maximum(hard.left, few))
    used = np.ones(happens.shape[1], dtype=np.int64)
    n_soft = control.softness.shape[1]
    softened = soft_indicator(control.h[:, :n_soft], control.softness)
    soft = _controlled(happens[:, :n_soft], softened, control.known.soft, runs)  # (3)
    soft = replace(soft, left=np.maximum(soft.left, few[:n_soft]))
    softer = np.zeros(happens.shape[1], dtype=bool)
    softer[:n_soft] = soft.variance < LEAST_WIN * best.variance[:n_soft]
    best = best.replaced(soft, softer)
    used[softer] = 2
    wins = best.variance < _CLEAR_WIN * _of_single_runs(V, runs.folds)
    mean = np.where(wins, best.by_fold.mean(axis=0), none.mean)
    return RoundEstimate(
        mean, mean, mean,
        np.where(wins, best.variance, none.variance),
        np.where(wins, best.free(), none.n_free),
        np.where(wins, used, 0),
        np.where(wins, best.by_fold, none.by_fold),
        (happens != predicted).sum(axis=0).astype(np.float64),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Controlled:
    """(2) or (3) of all events, in parts."""

    by_fold: Array  # (R, Q)
    left: Array  # (Q,) variance of what the cheap limit state leaves
    of_known: Array  # (Q,) variance of its expectations
    n_free: Array  # (Q,) of `left`

    @property
    def variance(self) -> Array:
        return self.left + self.of_known

    def free(self) -> Array:
        """Degrees of freedom of the sum (Satterthwaite 1946)."""
        below = np.square(self.left) / self.n_free + np.square(self.of_known) / (N_NETS - 1)
        return np.square(self.variance) / np.where(below > 0.0, below, 1.0)

    def replaced(self, other: "_Controlled", where: NDArray[np.bool_]) -> "_Controlled":
        """With the events at `where` from another one, whose events are the first of ours."""
        arrays = []
        for own, new in zip(vars(self).values(), vars(other).values(), strict=True):
            own = own.copy()
            own[..., where] = new[..., where[: new.shape[-1]]]
            arrays.append(own)
        return _Controlled(*arrays)


def _controlled(happens: Array, predicted: Array, known: Array, runs: Round) -> _Controlled:
    """By i and what is predicted of it (n, Q), and by expectations (S, R, Q) of that."""
    left = runs.W[:, None] * (happens - predicted)
    by_fold = known.mean(axis=0) + fold_means(left, runs.folds)
    of_nets = known.mean(axis=1)  # (S, Q)
    largest = np.abs(left).max(axis=0)
    square = np.square(left / np.where(largest > 0.0, largest, 1.0))
    mean = square.mean(axis=0)
    kurtosis = np.square(square).mean(axis=0) / np.where(mean > 0.0, np.square(mean), 1.0)
    n_free = 2.0 * len(left) / np.maximum(kurtosis - 1.0, 2.0)
    return _Controlled(
        by_fold,
        _of_single_runs(left, runs.folds),
        of_nets.var(axis=0, ddof=1) / len(of_nets),
        np.where(mean > 0.0, np.maximum(n_free, _LEAST_FREE), _LEAST_FREE),
    )


def _of_single_runs(V: Array, folds: Labels) -> Array:
    """(Q,) variance of the mean by the spread of the single runs around their fold's mean.

    Zero where each run is a fold of its own: there the folds are the single runs.
    """
    means = fold_means(V, folds)
    spread = np.square(V - means[folds]).sum(axis=0)
    variance: Array = spread / (max(len(V) - len(means), 1) * len(V))
    return variance


def _nearest(h: Array) -> NDArray[np.intp]:
    """(k, Q) rows of the runs nearest to each cheap limit state."""
    k = min(max(int(_NEAREST * len(h)), _LEAST_NEAREST), len(h))
    return np.argpartition(np.abs(h), k - 1, axis=0)[:k]
