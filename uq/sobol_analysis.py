"""From the outputs of a pick-freeze design to indices and their errors.

Notation
--------
n, R        rows, folds
T           targets: closed indices of what pairs share, or their complements
M           (n, T, 12) moments of every row, whose means `sobol_estimators` turns into indices
theta       (T,) indices of the mean moments, theta_(-r) those without fold r

    pseudo-value of fold r      R theta - (R - 1) theta_(-r)                Tukey (1958)

The folds are independent scrambled nets, and each pseudo-value is an estimate from one of them but
for what the fits of a surrogate share: their spread is the error of theta, with R - 1 degrees of
freedom.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uq import control_variates
from uq.control_variates import Candidate, fold_means
from uq.pick_freeze import Targets
from uq.sobol_estimators import MOMENTS, gradient, indices
from uq.variance_parts import Parts

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

_ROUNDING = 64 * np.finfo(float).eps
_LEAST_FOLD = 4  # rows: with fewer, folds tell too little for a choice


@dataclass(frozen=True)
class Analysis:
    """Indices of one output.

    Parameters
    ----------
    estimate
        (T,).
    pseudo_values
        (R, T) of the folds.
    extra_variance
        (T,) what their spread does not show.
    contributions
        (n, T) linearised, of the rows; their mean is the estimate.
    resampled
        (n_resamples, T) indices of bootstrap samples of the rows, if asked for.
    used
        (T,) number of the candidate that each target took.
    names
        Of the candidates.
    """

    estimate: Array
    pseudo_values: Array
    extra_variance: Array
    contributions: Array
    resampled: Array | None
    used: NDArray[np.int64]
    names: tuple[str, ...]


def analyse(
    Y: Array,
    folds: Labels,
    targets: Targets,
    estimator: str,
    parts: Parts | None,
    independent: bool,
    n_resamples: int,
    rng: np.random.Generator,
) -> Analysis:
    """Indices of one output, with its surrogate where that clearly wins.

    Parameters
    ----------
    Y
        (n, n_blocks) outputs, of mean 0 and variance 1 or so.
    folds
        (n,) labels; the rows of a fold stand together.
    targets
        What the pairs of blocks estimate.
    estimator
        Its name.
    parts
        Control variates, or None.
    independent
        Whether rows of one fold are independent draws.
    n_resamples
        Bootstrap samples of the rows; 0 for none.
    rng
        For these.
    """
    candidates = [_Candidate.of(Y, None, folds, targets, estimator)]
    if parts is not None:
        candidates.append(_Candidate.of(Y, parts, folds, targets, estimator))
    n_targets = len(targets.total)
    used = np.zeros(n_targets, dtype=np.int64)
    if len(candidates) > 1 and len(Y) >= _LEAST_FOLD * (int(folds.max()) + 1):
        each = [one.as_control_variate() for one in candidates]
        _, used = control_variates.choose(each, np.ones(n_targets), folds, independent)
    columns = np.arange(n_targets)
    resampled = None
    if n_resamples:
        counts = rng.multinomial(len(Y), np.full(len(Y), 1.0 / len(Y)), n_resamples) / len(Y)
        drawn = [one.resampled(counts, targets, estimator) for one in candidates]
        resampled = np.stack(drawn)[used, :, columns].T
    return Analysis(
        np.stack([one.estimate for one in candidates])[used, columns],
        np.stack([one.pseudo_values for one in candidates])[used, :, columns].T,
        np.stack([one.extra_variance for one in candidates])[used, columns],
        np.stack([one.contributions for one in candidates])[used, :, columns].T,
        resampled,
        used,
        tuple(one.name for one in candidates),
    )


@dataclass(frozen=True)
class _Candidate:
    """Indices by one way of correcting the moments."""

    name: str
    moments: Array
    estimate: Array
    pseudo_values: Array
    contributions: Array
    extra_variance: Array

    @staticmethod
    def of(
        Y: Array, parts: Parts | None, folds: Labels, targets: Targets, estimator: str
    ) -> "_Candidate":
        M = row_moments(Y if parts is None else parts.residuals, parts, folds, targets)
        n, n_folds = len(M), int(folds.max()) + 1
        share = np.bincount(folds)[:, None, None] / n
        mean, by_fold = M.mean(axis=0), fold_means(M, folds)
        estimate = indices(mean, targets.total, estimator)
        without = (mean - share * by_fold) / (1.0 - share)
        left_out = indices(without, targets.total, estimator)
        slope = gradient(mean, targets.total, estimator)
        extra = np.square(_ROUNDING * (1.0 + np.abs(estimate)))
        if parts is not None:
            # A change of the part counts as slope[10] says, one of the whole as slope[11].
            own, whole = parts.coupling[:, :-1], parts.coupling[:, -1:]
            extra = extra + np.square(slope[:, 10] * own + slope[:, 11] * whole).mean(axis=0)
        return _Candidate(
            "none" if parts is None else parts.name,
            M,
            estimate,
            n_folds * estimate - (n_folds - 1) * left_out,
            estimate + np.einsum("ntm,tm->nt", M - mean, slope),
            extra,
        )

    def as_control_variate(self) -> Candidate:
        """Its linearised contributions, for the choice."""
        family = "none" if self.name == "none" else "surrogate"
        scale = np.ones(len(self.estimate))
        return Candidate(self.name, self.contributions, self.extra_variance, scale, family)

    def resampled(self, counts: Array, targets: Targets, estimator: str) -> Array:
        """(n_resamples, T) indices where row i counts counts[:, i] times."""
        n, n_targets, _ = self.moments.shape
        means = counts @ self.moments.reshape(n, -1)
        return indices(means.reshape(-1, n_targets, MOMENTS), targets.total, estimator)


def row_moments(y: Array, parts: Parts | None, folds: Labels, targets: Targets) -> Array:
    """(n, T, 12) moments of every row, see `sobol_estimators`; y are outputs or residuals."""
    y = y - y.mean()
    M = np.zeros((len(y), len(targets.total), MOMENTS))
    one, other = y[:, targets.pairs[..., 0]], y[:, targets.pairs[..., 1]]  # (n, T, P)
    for k, values in enumerate(_moments(one, other)):
        M[..., k] = values.mean(axis=2)
    for k, values in enumerate(_moments(y[:, 0], y[:, 1]), start=5):
        M[..., k] = values[:, None]
    if parts is not None:
        corrections = parts.known[folds] + parts.slopes
        M[..., 10], M[..., 11] = corrections[:, :-1], corrections[:, -1:]
    return M


def _moments(a: Array, b: Array) -> tuple[Array, ...]:
    return a * b, a, b, a * a, b * b
