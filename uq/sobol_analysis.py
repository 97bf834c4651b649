"""From the outputs of a pick-freeze design to indices and their errors.

Notation
--------
n, R        rows, folds
T           targets: closed indices of what pairs share, or their complements
M           (n, T, 12) moments of every row, whose means `sobol_estimators` turns into indices
theta       (T,) indices of the mean moments, theta_(-r) those without fold r

    pseudo-value of fold r      R theta - (R - 1) theta_(-r)                Tukey (1958)
    estimator "auto"            janon_monod, with l a b taken off y y'

where a b, the product of the blocks that share nothing, has mean zero, and its coefficient l comes
from the other folds. It is near one less the total index of the factor: small indices are known
as well as by saltelli_2010, large ones as well as by janon_monod.

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
_RULES = 0.4  # (kurtosis - 3) / n, beside 2 / 7 of eight folds
_MATTERS = 1e-3  # of the variance: what an error of an index has to reach
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

    def rests_on_few(self, folds: Labels) -> NDArray[np.bool_]:
        """(T,) whether a few rows carry an error that matters, which may be larger than it looks.

        The variance of the logarithm of a variance from R fold means of n rows in all is
        2 / (R - 1) + (kurtosis - 3) / n: the second must not rule.
        """
        spread = np.square(self.contributions - fold_means(self.contributions, folds)[folds])
        mean = spread.mean(axis=0)
        kurtosis = np.square(spread).mean(axis=0) / np.where(mean > 0.0, mean, 1.0) ** 2
        matters = mean > _MATTERS**2 * len(folds)
        return np.asarray(matters & ((kurtosis - 3.0) / len(folds) > _RULES))


def analyse(
    Y: Array,
    folds: Labels,
    targets: Targets,
    pair_weights: Array | None,
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
    pair_weights
        (n, T + 1, P) weights of the pairs, that of A and B last; None where all are 1.
    estimator
        Its name, or "auto".
    parts
        Control variates, or None.
    independent
        Whether rows of one fold are independent draws.
    n_resamples
        Bootstrap samples of the rows; 0 for none.
    rng
        For these.
    """
    candidates = [_Candidate.of(Y, None, folds, targets, pair_weights, estimator)]
    if parts is not None:
        candidates.append(_Candidate.of(Y, parts, folds, targets, pair_weights, estimator))
    n_targets = len(targets.total)
    used = np.zeros(n_targets, dtype=np.int64)
    if len(candidates) > 1 and len(Y) >= _LEAST_FOLD * (int(folds.max()) + 1):
        each = [one.as_control_variate() for one in candidates]
        _, used = control_variates.choose(each, np.ones(n_targets), folds, independent)
    columns = np.arange(n_targets)
    resampled = None
    if n_resamples:
        counts = rng.multinomial(len(Y), np.full(len(Y), 1.0 / len(Y)), n_resamples) / len(Y)
        drawn = [one.resampled(counts, targets.total, estimator) for one in candidates]
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
        Y: Array,
        parts: Parts | None,
        folds: Labels,
        targets: Targets,
        pair_weights: Array | None,
        estimator: str,
    ) -> "_Candidate":
        M = row_moments(
            Y if parts is None else parts.residuals, parts, folds, targets, pair_weights
        )
        if estimator == "auto":
            M[..., 0] -= _coefficients(M, folds)[folds] * M[..., 5]
        formula = _formula(estimator)
        n, n_folds = len(M), int(folds.max()) + 1
        share = np.bincount(folds)[:, None, None] / n
        mean, by_fold = M.mean(axis=0), fold_means(M, folds)
        estimate = indices(mean, targets.total, formula)
        without = (mean - share * by_fold) / (1.0 - share)
        left_out = indices(without, targets.total, formula)
        pseudo_values = n_folds * estimate - (n_folds - 1) * left_out
        slope = gradient(mean, targets.total, formula)
        extra = np.square(_ROUNDING * (1.0 + np.abs(estimate)))
        if parts is not None:
            extra = extra + _shared_by_fits(parts, slope, pseudo_values)
        return _Candidate(
            "none" if parts is None else parts.name,
            M,
            estimate,
            pseudo_values,
            estimate + np.einsum("ntm,tm->nt", M - mean, slope),
            extra,
        )

    def as_control_variate(self) -> Candidate:
        """Its linearised contributions, for the choice."""
        family = "none" if self.name == "none" else "surrogate"
        scale = np.ones(len(self.estimate))
        return Candidate(self.name, self.contributions, self.extra_variance, scale, family)

    def resampled(self, counts: Array, total: NDArray[np.bool_], estimator: str) -> Array:
        """(n_resamples, T) indices where row i counts counts[:, i] times."""
        n, n_targets, _ = self.moments.shape
        means = counts @ self.moments.reshape(n, -1)
        return indices(means.reshape(-1, n_targets, MOMENTS), total, _formula(estimator))


def _formula(estimator: str) -> str:
    return "janon_monod" if estimator == "auto" else estimator


def _coefficients(M: Array, folds: Labels) -> Array:
    """(R, T) least-squares coefficients of y y' on a b, each without its fold."""
    mean = M[..., [0, 5]].mean(axis=0)
    product, control = np.moveaxis(M[..., [0, 5]] - mean, -1, 0)
    above = fold_means(product * control, folds)
    below = fold_means(np.square(control), folds)
    above, below = above.sum(axis=0) - above, below.sum(axis=0) - below
    coefficients: Array = np.clip(above / np.where(below > 0.0, below, 1.0), 0.0, 1.0)
    return coefficients


def _shared_by_fits(parts: Parts, slope: Array, pseudo_values: Array) -> Array:
    """(T,) variance that the fits share, see `variance_parts`; what the folds show is taken off."""

    def of_indices(values: Array) -> Array:  # a part counts as slope[10] says, the whole as [11]
        counted: Array = slope[:, 10] * values[:, :-1] + slope[:, 11] * values[:, -1:]
        return counted

    n_folds = len(pseudo_values)
    hidden = np.square(of_indices(parts.hidden)).mean(axis=0)
    unseen = of_indices(parts.unseen)
    changes = np.square(unseen).sum(axis=0) * (n_folds - 1) / n_folds
    shown = pseudo_values.var(axis=0, ddof=1) / n_folds
    extrapolated = np.square(of_indices(parts.extrapolated[None])[0])
    variance: Array = hidden + np.maximum(np.maximum(changes, extrapolated) - shown, 0.0)
    return variance


def row_moments(
    y: Array, parts: Parts | None, folds: Labels, targets: Targets, pair_weights: Array | None
) -> Array:
    """(n, T, 12) moments of every row, see `sobol_estimators`; y are outputs or residuals."""
    y = y - y.mean()
    M = np.zeros((len(y), len(targets.total), MOMENTS))
    one, other = y[:, targets.pairs[..., 0]], y[:, targets.pairs[..., 1]]  # (n, T, P)
    for k, values in enumerate(_moments(one, other)):
        weighted = values if pair_weights is None else values * pair_weights[:, :-1]
        M[..., k] = weighted.mean(axis=2)
    for k, values in enumerate(_moments(y[:, 0], y[:, 1]), start=5):
        weighted = values if pair_weights is None else values * pair_weights[:, -1, 0]
        M[..., k] = weighted[:, None]
    if parts is not None:
        corrections = parts.known[folds] + parts.slopes
        M[..., 10], M[..., 11] = corrections[:, :-1], corrections[:, -1:]
    return M


def weights_of_pairs(log_weights: Array, blocks: NDArray[np.bool_], targets: Targets) -> Array:
    """(n, T + 1, P) weights of all pairs, that of A and B last.

    Parameters
    ----------
    log_weights
        (n, 2, k) logarithms of the weights of every factor in A and in B.
    blocks, targets
        Of the design.
    """
    of_blocks = np.where(blocks, log_weights[:, None, 1], log_weights[:, None, 0])  # (n, blocks, k)
    both = log_weights.sum(axis=1)
    weights = []
    for pair in np.moveaxis(targets.pairs, 1, 0):
        shared = np.einsum("ntk,tk->nt", of_blocks[:, pair[:, 0]], targets.shared)
        weights.append(np.exp(shared + both @ ~targets.shared.T))
    of_both = np.broadcast_to(np.exp(both.sum(axis=1))[:, None], (len(both), len(weights)))
    return np.concatenate([np.stack(weights, axis=2), of_both[:, None]], axis=1)


def weights_of_blocks(log_weights: Array, blocks: NDArray[np.bool_]) -> Array:
    """(n, n_blocks) weights of all points."""
    weights: Array = np.exp(log_weights[:, 0] @ ~blocks.T + log_weights[:, 1] @ blocks.T)
    return weights


def _moments(a: Array, b: Array) -> tuple[Array, ...]:
    return a * b, a, b, a * a, b * b
