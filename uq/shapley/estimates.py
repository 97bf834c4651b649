"""Shapley effects, first and total indices of one output from its values along the rows.

Notation
--------
n, d        rows, inputs
R           folds
f_k         (n,) output at point k = 0 .. d of a row, less its mean; see `permutation_chains`
k           the step at which input i is redrawn in a row: pi(k) = i
V           variance, the sum of N_i over all inputs
h, e        a polynomial fitted without the own fold, f - h; see `shapley_forms`

    N_i = E (f_(k-1) - f_k) (f_0 - (f_(k-1) + f_k) / 4)          dependent inputs                (1)
    N_i = E (f_(k-1) - f_k) (f_0 - f_d) / 2                      independent inputs              (2)
    Shapley effect i = N_i / V

With 1/2 in the place of 1/4 Eq. (1) is the step of E (f_0 - f_k)^2 / 2 (Song, Nelson & Staum 2016;
Goda 2021). What is taken off, f_(k-1)^2 - f_k^2, has mean zero whatever its coefficient, since all
points have one law; 1/4 gave the smallest errors in trials. Eq. (2) is the mean of that for a row
and for the same row read backwards, which is a row too where inputs are independent.

    first order i       E f_0 f_(d-1) / V, rows that redraw i last
    total order i       E (f_0 - f_1)^2 / (2 V), rows that redraw i first

and with independent inputs all other neighbours, and f_1 f_d. Dependent inputs: Var E[Y | X_i] / V
and E Var(Y | all but X_i) / V (Kucherenko, Tarantola & Annoni 2012).

All of these are quadratic forms Q, and Q(f) = Q(h) + 2 E[h_Q e] + Q(e): the first is exact, the
second a mean over all points, and only the last, small one is left to the rows. In all

    N = mean w A / mean w B + mean C

with B the number of times (0, 1, 2) that a row tells of a target, w its weight, and C what the
polynomial knows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uq import control_variates
from uq.control_variates import Candidate, fold_means, fold_sums
from uq.variance_parts import Parts

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

_ROUNDING = 64 * np.finfo(float).eps
_LEAST_FOLD = 4  # rows: with fewer, folds tell too little for a choice


@dataclass(frozen=True)
class Effects:
    """Indices of one output: Shapley, first order, total order, d each.

    Parameters
    ----------
    estimate, variance
        (3 d,); NaN where rows tell nothing.
    output_variance
        V that goes with the Shapley effects.
    names
        (3 d,) of the control variates.
    """

    estimate: Array
    variance: Array
    output_variance: float
    names: tuple[str, ...]


def effects(
    y: Array,
    weights: tuple[Array, Array],
    permutations: NDArray[np.int64],
    folds: Labels,
    dependent: bool,
    parts: Parts | None,
    random: bool,
) -> Effects:
    """Indices of one output, with its polynomial where that clearly wins.

    Parameters
    ----------
    y
        (n, d + 1) outputs, of mean 0 and variance 1 or so.
    weights
        (n, d + 1) of the points and (n,) of the rows.
    permutations
        (n, d) the order in which inputs are redrawn.
    folds
        (n,) labels; the rows of a fold stand together.
    dependent
        Whether the inputs are.
    parts
        What the polynomial knows, or None.
    random
        Whether rows of one fold are independent draws.
    """
    ways = [_Way.of(y, None, weights, permutations, folds, dependent)]
    if parts is not None and len(y) >= _LEAST_FOLD * (int(folds.max()) + 1):
        ways.append(_Way.of(y, parts, weights, permutations, folds, dependent))
    used = _chosen(ways, folds, random)
    columns = np.arange(len(used))
    return Effects(
        np.stack([one.estimate for one in ways])[used, columns],
        np.stack([one.variance(random) for one in ways])[used, columns],
        ways[used[0]].output_variance,
        tuple(ways[k].name for k in used),
    )


def row_forms(f: Array, permutations: NDArray[np.int64], dependent: bool) -> tuple[Array, Array]:
    """Numerators A (n, 3 d) of Eqs. (1) or (2), first and total order, and counts B (n, 3 d)."""
    n, d = permutations.shape
    start, end = f[:, :1], f[:, -1:]
    before, after = f[:, :-1], f[:, 1:]
    other = (start - (before + after) / 4) if dependent else (start - end) / 2  # (1), (2)
    A, B = np.zeros((3, n, d)), np.zeros((3, n, d))
    np.put_along_axis(A[0], permutations, (before - after) * other, axis=1)
    B[0] = 1.0
    row, first, last = np.arange(n), permutations[:, 0], permutations[:, -1]
    A[1, row, last] += f[:, 0] * f[:, d - 1]
    B[1, row, last] += 1.0
    if dependent:
        A[2, row, first] = np.square(f[:, 0] - f[:, 1]) / 2
        B[2, row, first] = 1.0
    else:
        A[1, row, first] += f[:, 1] * f[:, d]
        B[1, row, first] += 1.0
        np.put_along_axis(A[2], permutations, np.square(before - after) / 2, axis=1)
        B[2] = 1.0
    return np.concatenate(list(A), axis=1), np.concatenate(list(B), axis=1)


@dataclass(frozen=True)
class _Way:
    """Indices by one control variate."""

    name: str
    estimate: Array
    output_variance: float
    pseudo_values: Array
    contributions: Array
    extra_variance: Array

    @staticmethod
    def of(
        y: Array,
        parts: Parts | None,
        weights: tuple[Array, Array],
        permutations: NDArray[np.int64],
        folds: Labels,
        dependent: bool,
    ) -> "_Way":
        n, n_folds = len(y), int(folds.max()) + 1
        d = permutations.shape[1]
        f = _centred(y if parts is None else parts.residuals, weights[0], folds)
        A, B = (weights[1][:, None] * one for one in row_forms(f, permutations, dependent))
        C = np.zeros_like(A) if parts is None else (parts.known[folds] + parts.slopes)[:, :-1]
        M = np.stack([A, B, C])  # (3, n, 3 d)
        mean = M.mean(axis=1)
        by_fold = np.moveaxis(fold_means(np.moveaxis(M, 1, 0), folds), 1, 0)
        share = np.bincount(folds)[:, None] / n
        without = (mean[:, None] - share * by_fold) / (1.0 - share)
        estimate, variance = _indices(mean, d)
        left_out, _ = _indices(without, d)
        pseudo_values = n_folds * estimate - (n_folds - 1) * left_out
        with np.errstate(divide="ignore", invalid="ignore"):
            N = estimate + (A - mean[0] / mean[1] * B) / mean[1] / variance
            N += (C - mean[2]) / variance
        contributions = _less_variance(N - estimate, estimate) + estimate
        extra = np.square(_ROUNDING * (1.0 + np.abs(estimate)))
        if parts is not None:
            extra = extra + _shared_by_fits(parts, estimate, variance, pseudo_values)
        name = "none" if parts is None else parts.name
        return _Way(name, estimate, variance.item(), pseudo_values, contributions, extra)

    def variance(self, random: bool) -> Array:
        """(3 d,) of the estimates."""
        spread = self.contributions if random else self.pseudo_values
        variance: Array = spread.var(axis=0, ddof=1) / len(spread) + self.extra_variance
        return variance

    def as_control_variate(self, columns: slice) -> Candidate:
        """Its linearised contributions to some indices, for the choice."""
        family = "none" if self.name == "none" else "surrogate"
        contributions = self.contributions[:, columns]
        extra = self.extra_variance[columns]
        return Candidate(self.name, contributions, extra, np.ones(len(extra)), family)


def _indices(means: Array, d: int) -> tuple[Array, Array]:
    """(..., 3 d) indices and variance (..., 1) of the means (3, ..., 3 d) of A, B and C."""
    A, B, C = means
    with np.errstate(divide="ignore", invalid="ignore"):
        N = A / B + C
        variance = N[..., :d].sum(axis=-1, keepdims=True)
        variance = np.where(variance > 0.0, variance, np.nan)
        return N / variance, variance


def _less_variance(changes: Array, estimate: Array) -> Array:
    """Changes (..., 3 d) of N / V out of those of N, both over V: V is the sum of the first d."""
    d = len(estimate) // 3
    left: Array = changes - estimate * changes[..., :d].sum(axis=-1, keepdims=True)
    return left


def _centred(f: Array, W: Array, folds: Labels) -> Array:
    """Values (n, d + 1) less the mean of the other folds, which they do not depend on."""
    sums, masses = fold_sums((W * f).sum(axis=1), folds), fold_sums(W.sum(axis=1), folds)
    centred: Array = f - ((sums.sum() - sums) / (masses.sum() - masses))[folds, None]
    return centred


def _shared_by_fits(parts: Parts, estimate: Array, variance: Array, pseudo_values: Array) -> Array:
    """(3 d,) variance that the fits share, less what the folds show; see `variance_parts`."""
    n_folds = len(pseudo_values)
    hidden = _less_variance(parts.hidden[:, :-1] / variance, estimate)
    unseen = _less_variance(parts.unseen[:, :-1] / variance, estimate)
    changes = np.square(unseen).sum(axis=0) * (n_folds - 1) / n_folds
    shown = pseudo_values.var(axis=0, ddof=1) / n_folds
    extrapolated = _less_variance(parts.extrapolated[None, :-1] / variance, estimate)[0]
    beyond = np.maximum(changes, np.square(extrapolated))
    both: Array = np.square(hidden).mean(axis=0) + np.maximum(beyond - shown, 0.0)
    return both


def _chosen(ways: list[_Way], folds: Labels, random: bool) -> NDArray[np.int64]:
    """(3 d,) which way each index takes; Shapley effects all the same, so that they sum to one."""
    n_targets = len(ways[0].estimate)
    used = np.zeros(n_targets, dtype=np.int64)
    d = n_targets // 3
    if len(ways) == 1:
        return used
    for kind in (slice(0, d), slice(d, 2 * d), slice(2 * d, 3 * d)):
        each = [one.as_control_variate(kind) for one in ways]
        if not all(np.isfinite(one.contributions).all() for one in each):
            continue
        _, index = control_variates.choose(each, np.ones(d), folds, random)
        used[kind] = index if kind.start else int(2 * index.sum() > d)
    return used
