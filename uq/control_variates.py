"""Control variates fitted across folds: what is subtracted never saw the points it is used on.

The estimators of method "auto"; those of one sample, as published, are in `importance_sampling`.

Notation
--------
R, J        folds, quantities
Y_ij        values phi_j(X_i)
W_ij        likelihood ratios f_j(X_i) / g(X_i), of mean 1
T_ij        W_ij Y_ij
h_r         a cheap model of phi, fitted without fold r, E_j[h_r] its known mean under law j
C_ijk       density ratios g_k(X_i) / g(X_i), of mean 1; their coefficients fitted without fold r
V_ij        contributions: the estimate of fold r is the mean of V_ij over i in r

    none                V = T                                                          plain weights
    constant, surrogate V = E_j[h_r] + W (Y - h_r)                                               (A)
    density ratios      V = T - sum_k beta_jk(r) (C_jk - 1)          Owen & Zhou (2000)

Given the other folds each is unbiased, whatever the quality of h_r or beta(r). The folds' means
are exchangeable; their spread is the error of the mean over the folds, but for what the fits share:
where no fold has points all h_r err alike, and no residual shows it. How much E_j[h_r] changes from
fit to fit does, less what the points of all folds see of h_r. The jackknife variance of that is
counted where it is larger:

    u_jr    = E_j[h_r] - mean_i W_ij h_r(X_i)
    known_j >= (R - 1)/R sum_r (u_jr - mean_r u_jr)^2 - spread                                  (B)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

CLEAR = 3.0
"""A candidate replaces a simpler one when the logarithm of the ratio of their variances is so many
of its standard errors below 0. A choice by variances that are hardly known would prefer samples
that lack their largest values; one that is always the same is free of that."""
LEAST_WIN = 0.8
"""And when it brings the variance at least below this share."""
_APART = 6.0  # 2.45 standard errors, squared
_ROUNDING = 4 * np.finfo(float).eps


@dataclass(frozen=True)
class Candidate:
    """One way to estimate all quantities from the same runs.

    Parameters
    ----------
    name
        What it is called in the message.
    contributions
        (n, J) V.
    known_variance
        (J,) variance of what was taken as known, E_j[h]; common to all folds.
    scale
        (J,) size of the numbers that were added and subtracted: their rounding is counted.
    family
        Candidates of one family differ in size only.
    """

    name: str
    contributions: Array
    known_variance: Array
    scale: Array
    family: str


def without(T: Array) -> Candidate:
    """The weighted values themselves."""
    return Candidate("none", T, np.zeros(T.shape[1]), _size(T), "none")


def constant(T: Array, W: Array, folds: Labels) -> Candidate:
    """Eq. (A) with h_r a constant: the mean of the other folds; the control is W itself.

    Parameters
    ----------
    T, W
        (n, J) and (n, J) or (n, 1).
    folds
        (n,) labels 0 .. R - 1.
    """
    mass = _others(fold_sums(W, folds))
    c = _others(fold_sums(T, folds)) / np.where(mass > 0.0, mass, 1.0)
    V = T + c[folds] * (1.0 - W)
    return Candidate("constant", V, np.zeros(T.shape[1]), _size(T), "constant")


def surrogate(
    name: str,
    Y: Array,
    W: Array,
    predictions: Array,
    known: Array,
    unseen: Array,
    known_variance: Array,
    folds: Labels,
) -> Candidate:
    """Eq. (A), with the variance of Eq. (B).

    Parameters
    ----------
    name
        What it is called.
    Y, W
        (n, J) or (n, 1) values and likelihood ratios.
    predictions
        (n, J) or (n, 1): h_r at the points of fold r.
    known
        (R, J): E_j[h_r].
    unseen
        (R, J): u of Eq. (B), what the points do not see of it.
    known_variance
        (J,) variance of `known` where it is itself an estimate.
    folds
        (n,) labels.
    """
    V = known[folds] + W * (Y - predictions)
    n_folds = len(known)
    means = fold_means(V, folds)
    spread = np.square(means - means.mean(axis=0)).sum(axis=0) / (n_folds * (n_folds - 1))
    changes = np.square(unseen - unseen.mean(axis=0)).sum(axis=0)
    jackknife = (n_folds - 1) / n_folds * changes
    shared = np.maximum(jackknife - spread, 0.0)  # (B)
    scale = _size(known) + _size(W * Y) + _size(W * predictions)
    return Candidate(name, V, known_variance + shared, scale, "surrogate")


def checked_by_the_next(sizes: Sequence[Candidate], folds: Labels) -> list[Candidate]:
    """All but the largest, each with the variance that the next one shows to be missing.

    Beyond the sample all fits of one size go the same way, and neither residuals nor the
    jackknife tell how wrong. A larger size goes another way there: where both estimates differ
    by more than the folds of their difference explain, its square is counted.
    """
    checked = []
    for one, following in zip(sizes[:-1], sizes[1:], strict=True):
        apart = fold_means(one.contributions, folds) - fold_means(following.contributions, folds)
        noise = apart.var(axis=0, ddof=1) / len(apart)
        beyond = np.square(apart.mean(axis=0)) - _APART * noise
        missing = np.maximum(beyond, one.known_variance)
        checked.append(replace(one, known_variance=missing))
    return checked


def conditional(T: Array, W: Array) -> Candidate:
    """Expectations given that a run does not fail: T and W are 0 where it does.

    The ratio of means, R = mean T / mean W, linearised: V = R + (T - R W) / mean W. Its bias is of
    the order of one over the number of runs.
    """
    mass = np.where(W.mean(axis=0) > 0.0, W.mean(axis=0), 1.0)
    ratio = T.mean(axis=0) / mass
    V = ratio + (T - ratio * W) / mass
    return Candidate("runs that did not fail", V, np.zeros(T.shape[1]), _size(T), "conditional")


def density_ratios(T: Array, controls: Array, folds: Labels) -> Candidate:
    """Regression of T on density ratios, coefficients from the other folds.

    Without an intercept, as in Eq. (4) of Owen & Zhou (2000): T - sum beta C is made small, and
    not only its variance, so that an exact combination leaves no error at all.

    Parameters
    ----------
    T
        (n, J).
    controls
        (n, J, k) the ratios C, each of mean 1 under the sampling density.
    folds
        (n,) labels 0 .. R - 1.
    """
    n_folds = int(folds.max()) + 1
    gram = np.stack([
        np.einsum("njk,njl->jkl", c, c) for c in (controls[folds == r] for r in range(n_folds))
    ])  # fmt: skip
    right = np.stack([
        np.einsum("njk,nj->jk", controls[folds == r], T[folds == r]) for r in range(n_folds)
    ])  # fmt: skip
    beta = _solve(_others(gram), _others(right))
    V = T.copy()
    for r in range(n_folds):
        here = folds == r
        V[here] -= np.einsum("njk,jk->nj", controls[here] - 1.0, beta[r])
    return Candidate("density ratios", V, np.zeros(T.shape[1]), _size(T), "density ratios")


def slopes(T: Array, H: Array, W: Array, folds: Labels) -> Array:
    """(R, J) coefficient b of a cheap model: T - b H - c W made small on the other folds.

    Parameters
    ----------
    T, H, W
        (n, J) weighted values, weighted cheap values and likelihood ratios.
    folds
        (n,) labels 0 .. R - 1.
    """
    products = np.stack([H * H, H * W, W * W, H * T, W * T])
    hh, hw, ww, ht, wt = _others(fold_sums(np.moveaxis(products, 1, 0), folds)).swapaxes(0, 1)
    determinant = hh * ww - hw * hw
    usable = determinant > 1e-12 * hh * ww
    return np.where(usable, (ht * ww - wt * hw) / np.where(usable, determinant, 1.0), 0.0)


def fold_sums(values: Array, folds: Labels) -> Array:
    """(R, ...) sums over the rows of each fold."""
    starts = np.flatnonzero(np.r_[True, folds[1:] != folds[:-1]])
    sums: Array = np.add.reduceat(values, starts, axis=0)
    return sums


def fold_means(values: Array, folds: Labels) -> Array:
    """(R, ...) means over the rows of each fold; the rows of a fold stand together."""
    counts = np.bincount(folds)
    return fold_sums(values, folds) / counts.reshape(-1, *[1] * (values.ndim - 1))


def variances(candidate: Candidate, folds: Labels, independent: bool) -> Array:
    """(J,) variance of the mean over all folds.

    Parameters
    ----------
    candidate
        What is averaged.
    folds
        (n,) labels.
    independent
        Whether the points of one fold are independent draws: then their own spread tells more
        than that of the folds.
    """
    return np.diagonal(covariance(candidate, folds, independent)).copy()


def covariance(candidate: Candidate, folds: Labels, independent: bool) -> Array:
    """(J, J) covariance of the mean over all folds; see `variances`.

    Where control variates are exact nothing is left but rounding, which all folds share: it is
    counted too.
    """
    means = fold_means(candidate.contributions, folds)
    if independent:
        spread = candidate.contributions - means[folds]
        n_free = len(folds) - len(means)
    else:
        spread = means - means.mean(axis=0)
        n_free = len(means) - 1
    cov = spread.T @ spread / (n_free * len(spread))
    rounding = _ROUNDING * candidate.scale
    return cov + np.diag(candidate.known_variance + np.square(rounding))


def choose(
    candidates: Sequence[Candidate], weights: Array, folds: Labels, independent: bool
) -> tuple[Candidate, NDArray[np.int64]]:
    """Keep what clearly wins.

    The candidates come from the simplest to the largest. The choice for all quantities is made
    by the mean of the logarithms of their variances; one whose own variance it would raise
    clearly takes what is best for itself.

    Parameters
    ----------
    candidates
        At least one; the first is what a later one has to beat.
    weights
        (J,) of the quantities; those of weight 0 have no vote.
    folds
        (n,) labels.
    independent
        See `variances`.

    Returns
    -------
    chosen, index
        The candidate that is composed, and (J,) which of `candidates` each quantity takes.
    """
    spread = np.stack([variances(one, folds, independent) for one in candidates])  # (c, J)
    logs = np.log(spread + np.finfo(float).tiny)
    voters = weights > 0.0 if (weights > 0.0).any() else np.ones(len(weights), bool)
    n_free = _free_of_points(candidates[0], folds) if independent else float(folds.max())
    together = _independent_quantities(candidates[0], folds, voters)
    vote = logs[:, voters].mean(axis=1)
    sizes = np.array([_point_vote(one, folds, voters) for one in candidates])
    families = [one.family for one in candidates]
    best = _clear_winner(vote, sizes, families, _margin(n_free * together))
    index = np.full(spread.shape[1], best)
    loses = logs[best] - logs.min(axis=0) > -_margin(n_free)
    index[loses] = logs.argmin(axis=0)[loses]
    if not loses.any():
        return candidates[best], index
    columns = np.arange(len(index))
    composed = Candidate(
        candidates[best].name,
        np.stack([one.contributions for one in candidates])[index, :, columns].T,
        np.stack([one.known_variance for one in candidates])[index, columns],
        np.stack([one.scale for one in candidates])[index, columns],
        candidates[best].family,
    )
    return composed, index


def _margin(n_free: float) -> float:
    """By how much the logarithm of a variance must fall; its variance is 2 / n_free, twice."""
    return float(min(-CLEAR * np.sqrt(4.0 / n_free), np.log(LEAST_WIN)))


def _free_of_points(candidate: Candidate, folds: Labels) -> float:
    """As how many normal points they tell a variance: the variance of its logarithm is 2 / n_free,
    and (kurtosis - 1) / n for points of any law."""
    spread = candidate.contributions - fold_means(candidate.contributions, folds)[folds]
    square = np.square(spread)
    mean = square.mean(axis=0)
    scale = np.where(mean > 0.0, mean, 1.0)
    kurtosis = np.maximum(np.square(square / scale).mean(axis=0), 3.0)
    return float(np.median(2.0 * len(folds) / (kurtosis - 1.0)))


def _independent_quantities(
    candidate: Candidate, folds: Labels, voters: NDArray[np.bool_]
) -> float:
    """As how many independent quantities the voters count: (sum lambda)^2 / sum lambda^2."""
    means = fold_means(candidate.contributions, folds)[:, voters]
    spread = means - means.mean(axis=0)
    length = np.sqrt(np.square(spread).sum(axis=0))
    unit = spread / np.where(length > 0.0, length, 1.0)
    gram = unit @ unit.T  # of the folds: the same eigenvalues as the correlations
    squares = float(np.square(gram).sum())
    return float(np.trace(gram)) ** 2 / squares if squares > 0.0 else 1.0


def _point_vote(candidate: Candidate, folds: Labels, voters: NDArray[np.bool_]) -> float:
    """Mean logarithm of the variances that the single points show."""
    return float(np.log(variances(candidate, folds, True)[voters] + np.finfo(float).tiny).mean())


def _clear_winner(vote: Array, point_vote: Array, families: Sequence[str], margin: float) -> int:
    """The best of each family, which has to beat those of the families before it clearly.

    Within a family the single points decide. There are many of them, and few folds: the smallest
    of many variances, each known from a few folds, would be smaller than it is.
    """
    best = 0
    for family in dict.fromkeys(families):
        members = [k for k, one in enumerate(families) if one == family]
        own = members[0]
        for k in members[1:]:
            if point_vote[k] < point_vote[own] + np.log(LEAST_WIN):
                own = k
        if vote[own] < vote[best] + margin:
            best = own
    return best


def _size(values: Array) -> Array:
    """(J,) mean absolute values."""
    size: Array = np.abs(values).mean(axis=0)
    return size


def _others(sums: Array) -> Array:
    """(R, ...) sums over all folds but one."""
    others: Array = sums.sum(axis=0) - sums
    return others


def _solve(gram: Array, right: Array) -> Array:
    """Least squares by normal equations, batched, with columns scaled and null directions left."""
    scale = np.sqrt(np.maximum(np.diagonal(gram, axis1=-2, axis2=-1), np.finfo(float).tiny))
    scaled = gram / scale[..., :, None] / scale[..., None, :]
    inverse = np.linalg.pinv(scaled, rcond=1e-12, hermitian=True)
    solved: Array = np.einsum("...kl,...l->...k", inverse, right / scale) / scale
    return solved
