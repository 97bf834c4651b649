"""From a design and its outputs to a result: failed rows, scales, all outputs, all kinds.

Notation
--------
n, k, J     rows of the design, factors, outputs
R           folds;  pseudo-values and contributions: see `sobol_analysis`

    Var(index) = sum_r (pseudo-value_r - mean)^2 / (R (R - 1))              nets, R - 1 degrees
    Var(index) = sum_i (contribution_i - mean)^2 / (n (n - 1))              random numbers
    S_ij = closed_ij - S_i - S_j

and what the fits of a surrogate share, beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from uq.cheap_models import cheap_model_parts
from uq.pick_freeze import SobolDesign, Targets, targets_of
from uq.sobol_analysis import Analysis, analyse, weights_of_blocks, weights_of_pairs
from uq.sobol_results import Again, IndexEstimates, SobolIndices, how_often, pair_matrix, squeezed
from uq.usable_rows import (
    LEAST_FOLDS,
    labels_without_gaps,
    standardised,
    variance,
    warn_of_constant_outputs,
    warn_of_failed_rows,
)
from uq.variance_parts import Parts, polynomial_parts

Array = NDArray[np.float64]
Surrogate = Callable[[Array], ArrayLike] | str | None


@dataclass(frozen=True)
class Options:
    """How indices are estimated.

    Parameters
    ----------
    estimator
        "auto" or one of `sobol_estimators.ESTIMATORS`.
    surrogate
        "auto", "polynomial", a cheap model of the inputs, or None.
    n_resamples
        Bootstrap samples of the rows; 0 for intervals from the folds.
    seed
        For these, and for points of a cheap model.
    """

    estimator: str
    surrogate: Surrogate
    n_resamples: int
    seed: int


def estimate(
    design: SobolDesign, Y: Array, options: Options, again: Again | None = None
) -> SobolIndices:
    """Indices of all outputs (n_runs, J) of a design; warns once of what failed.

    Raises
    ------
    ValueError
        When fewer than three folds have rows that did not fail.
    """
    rows = _Rows.of(design, Y)
    targets = targets_of(len(design.factors), design.order)
    scaled, constant = standardised(rows.Y, rows.mean)
    with threadpool_limits(limits=1, user_api="blas"):
        parts = _parts(rows, scaled, constant, targets, options)
        analyses = [
            None if constant[j] else _analysed(rows, scaled[..., j], targets, parts[j], options)
            for j in range(Y.shape[1])
        ]
    warn_of_failed_rows(len(rows.Y), design.n, design.n_blocks)
    warn_of_constant_outputs(constant)
    failed = [f"{rows.n_failed} of {design.n} rows failed; their runs are left out."]
    return SobolIndices(
        names=design.names,
        estimates=_of_each_kind(analyses, len(rows.Y), len(design.factors), design),
        variance=squeezed(variance(rows.Y, rows.mean)),
        n_evaluations=len(Y),
        n_effective=len(rows.Y),
        message=_message(design, rows, analyses, options),
        flags=(failed if rows.n_failed else []) + _few_rows(analyses, rows.folds, design.names),
        design=design,
        values=squeezed(Y),
        _again=again,
    )


def _few_rows(
    analyses: list[Analysis | None], folds: NDArray[np.int64], names: tuple[str, ...]
) -> list[str]:
    """What to say of heavy tails, whose errors are larger than nets can show."""
    flags = []
    for j, one in enumerate(analyses):
        if one is None:
            continue
        few = np.asarray(one.rests_on_few(folds)[: 2 * len(names)].reshape(2, -1).any(axis=0))
        if few.any():
            of = ", ".join(name for name, rests in zip(names, few, strict=True) if rests)
            output = f" of output {j}" if len(analyses) > 1 else ""
            flags.append(
                f"A few rows carry the errors of the indices{output} of {of}: they may be larger "
                "than the intervals say. Look at the output's tail, or at its logarithm."
            )
    return flags


def prefixes(design: SobolDesign) -> list[NDArray[np.bool_]]:
    """First rows of each fold, a sixteenth of them to a half: nets where the folds are nets."""
    place = np.empty(design.n, dtype=np.int64)
    order = np.argsort(design.folds, kind="stable")
    size = design.n // design.n_folds
    place[order] = np.tile(np.arange(size), design.n_folds)
    return [place < size // part for part in (16, 8, 4, 2) if size // part >= 2]


@dataclass(frozen=True)
class _Rows:
    """Rows that did not fail, fold after fold.

    z (n, n_blocks, d), Y (n, n_blocks, J), weights of blocks W (n, n_blocks), logarithms of the
    weights of factors (n, 2, k) or None, labels (n,) without gaps.
    """

    design: SobolDesign
    z: Array
    Y: Array
    W: Array
    log_weights: Array | None
    folds: NDArray[np.int64]
    n_failed: int

    @staticmethod
    def of(design: SobolDesign, Y: Array) -> "_Rows":
        values = Y.reshape(design.n, design.n_blocks, -1)
        ok = np.asarray(np.isfinite(values).all(axis=(1, 2)))
        order = np.argsort(design.folds, kind="stable")
        order = order[ok[order]]
        labels = labels_without_gaps(
            design.folds[order], design.folds, design.n_blocks, min(LEAST_FOLDS, design.n_folds)
        )
        z = design.normal_points.reshape(design.n, design.n_blocks, -1)[order]
        log_weights = design.log_weights
        W = np.ones((len(order), design.n_blocks))
        if log_weights is not None:
            log_weights = log_weights[order]
            W = weights_of_blocks(log_weights, design.blocks)
        return _Rows(design, z, values[order], W, log_weights, labels, int((~ok).sum()))

    def mean(self, values: Array) -> Array:
        """(J,) weighted means of values (n, n_blocks, J)."""
        weights = np.broadcast_to(self.W[..., None], values.shape)
        mean: Array = np.average(values, axis=(0, 1), weights=weights)
        return mean


def _parts(
    rows: _Rows, Y: Array, constant: NDArray[np.bool_], targets: Targets, options: Options
) -> list[Parts | None]:
    none: list[Parts | None] = [None] * Y.shape[2]
    if options.surrogate is None or constant.all():
        return none
    design = rows.design
    live = np.flatnonzero(~constant)
    found: list[Parts] | None
    if callable(options.surrogate):
        found = cheap_model_parts(
            options.surrogate, design.inputs, rows.z, rows.Y[..., live], Y[..., live], rows.folds,
            rows.W, rows.log_weights, targets, design.factors, options.seed,
        )  # fmt: skip
    else:
        shared = np.zeros((len(targets.total), design.inputs.dimension), dtype=bool)
        for i, factor in enumerate(design.factors):
            shared[:, factor.columns] = targets.shared[:, [i]]
        found = polynomial_parts(
            rows.z, Y[..., live], rows.W, rows.folds, design.bounded, shared, targets.total
        )
    for j, one in zip(live, found or [], strict=False):
        none[j] = one
    return none


def _analysed(
    rows: _Rows, y: Array, targets: Targets, parts: Parts | None, options: Options
) -> Analysis:
    pair_weights = None
    if rows.log_weights is not None:
        pair_weights = weights_of_pairs(rows.log_weights, rows.design.blocks, targets)
    independent = rows.design.sampling == "mc"
    rng = np.random.default_rng(options.seed)
    return analyse(
        y, rows.folds, targets, pair_weights, options.estimator, parts, independent,
        options.n_resamples, rng,
    )  # fmt: skip


@dataclass(frozen=True)
class _OneOutput:
    """Estimates (m,), variances (m,) and bootstrap samples (B, m) of m indices of one output."""

    estimate: Array
    variance: Array
    resampled: Array | None


def _of_each_kind(
    analyses: list[Analysis | None], n: int, k: int, design: SobolDesign
) -> dict[str, IndexEstimates]:
    independent = design.sampling == "mc"
    n_free = float(n - design.n_folds if independent else design.n_folds - 1)
    identity = np.eye(k * 2 if design.order == 1 else k * 2 + k * (k - 1) // 2)
    wanted = {"first_order": identity[:k], "total_order": identity[k : 2 * k]}
    if design.order == 2:
        i, j = np.triu_indices(k, 1)
        closed = identity[2 * k :]
        wanted["second_order"] = closed - identity[i] - identity[j]
        wanted["closed_second_order"] = closed
    return {
        kind: _shaped([_combined(one, L, independent) for one in analyses], k, kind, n_free)
        for kind, L in wanted.items()
    }


def _combined(analysis: Analysis | None, L: Array, independent: bool) -> _OneOutput:
    """Linear combinations L (m, T) of the targets; zeros for a constant output."""
    if analysis is None:
        return _OneOutput(np.zeros(len(L)), np.zeros(len(L)), None)
    spread = (analysis.contributions if independent else analysis.pseudo_values) @ L.T
    variance = spread.var(axis=0, ddof=1) / len(spread) + np.abs(L) @ analysis.extra_variance
    resampled = None if analysis.resampled is None else analysis.resampled @ L.T
    return _OneOutput(L @ analysis.estimate, variance, resampled)


def _shaped(outputs: list[_OneOutput], k: int, kind: str, n_free: float) -> IndexEstimates:
    """All outputs together, pairs as symmetric matrices with NaN on their diagonals."""

    def arranged(values: list[Array]) -> Array:
        stacked = np.stack(values, axis=-1)  # (..., m, J)
        return squeezed(pair_matrix(stacked, k) if "second" in kind else stacked)

    estimate = arranged([one.estimate for one in outputs])
    error = np.sqrt(arranged([one.variance for one in outputs]))
    drawn = [one.resampled for one in outputs]
    count = max((len(one) for one in drawn if one is not None), default=0)
    if not count:
        return IndexEstimates(estimate, error, n_free)
    none = np.zeros((count, len(outputs[0].estimate)))
    return IndexEstimates(
        estimate, error, n_free, arranged([none if one is None else one for one in drawn])
    )


def _message(
    design: SobolDesign, rows: _Rows, analyses: list[Analysis | None], options: Options
) -> str:
    kind = "scrambled nets" if design.sampling == "qmc" else "random folds"
    told = f"{len(rows.Y)} rows of {design.n_blocks} runs in {design.n_folds} {kind}"
    live = [one for one in analyses if one is not None]
    used = [one.names[k] for one in live for k in one.used]
    estimator = "" if options.estimator == "auto" else f" Estimator {options.estimator}."
    return (
        f"{told}. Control variates: {how_often(used) or 'none'} of {len(used)} indices.{estimator}"
    )
