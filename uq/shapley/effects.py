"""Shapley effects: how the variance of an output is shared out among inputs that may be dependent.

Notation
--------
n, d, J     rows, inputs, outputs
val(u)      E Var(Y | all inputs but X_u)
V           variance of the output

    Shapley effect i    mean over all orders of the inputs of (val(those before i, and i) -
                        val(those before i)) / V                                      Owen (2014)

Rows of d + 1 points redraw one input after the other (`permutation_chains`), in independent
scrambled nets; a polynomial fitted on the other nets is taken off where that wins
(`shapley_forms`); the spread of the nets is the error (`shapley_estimates`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from bayesopt.arguments import check_name
from uq.control_variates import fold_sums
from uq.factors import given_inputs
from uq.inputs import Inputs
from uq.model_runs import ModelRuns
from uq.sampling import Sampling, asked_folds
from uq.shapley.estimates import Effects, effects, row_forms
from uq.shapley.forms import MOST_DEPENDENT, polynomial_corrections
from uq.shapley.permutation_chains import ChainDesign, chain_design
from uq.sobol_results import IndexEstimates, SobolIndices, how_often, squeezed
from uq.usable_rows import (
    labels_without_gaps,
    standardised,
    variance,
    warn_of_constant_outputs,
    warn_of_failed_rows,
)
from uq.variance_parts import Parts

Array = NDArray[np.float64]

_KINDS = ("shapley", "first_order", "total_order")
_LEAST_SEEN = 8  # rows of a fold: with fewer the spread of the folds is too skewed for intervals


def shapley_effects(
    *,
    func: Callable[[Array], ArrayLike],
    inputs: Any = None,
    dists: Sequence[Any] | None = None,
    budget: int | None = None,
    n: int | None = None,
    surrogate: Literal["auto"] | None = "auto",
    sampling: Sampling = "qmc",
    batch_size: int | None = None,
    executor: Any = None,
    rng: int | np.random.Generator | None = None,
    progress: bool | Literal["auto"] = "auto",
) -> SobolIndices:
    """Estimate Shapley effects of inputs that may be dependent, with intervals that are true.

    They sum to one exactly. Inputs that depend on each other share what they explain together.

    Parameters
    ----------
    func
        The model, vectorised: (n, d) points to (n,) or (n, J) values.
    inputs
        `Inputs`, correlated or not, or a mapping or list of laws.
    dists
        The same, by the name that SciPy has for it.
    budget
        Most runs of the model: as many rows of d + 1 runs as it pays for, in 7 to 13 folds.
    n
        Instead of it the number of rows, in 8 folds; a power of two for "qmc".
    surrogate
        "auto": a polynomial chaos fitted across folds is the control variate where it clearly
        wins. None: no control variate. More than ten dependent inputs have none.
    sampling
        "qmc": independent scrambled nets; "mc": independent random points.
    batch_size
        At most so many points in one call of `func`.
    executor
        Anything with `submit(fn, *args) -> future`; batches run on it.
    rng
        Seed or generator.
    progress
        Show a line of progress: True, False, or "auto" for terminals only.

    Returns
    -------
    SobolIndices
        With `shapley`; with `first_order` and `total_order`, Var E[Y | X_i] / V and
        E Var(Y | all but X_i) / V, where every fold has 8 rows that tell of every input. Of
        dependent inputs a first-order index may be larger than the total one (Kucherenko et al.
        2012).

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, before a run is spent; after the first runs when `func`
        returns another shape or nothing but NaN.

    Warns
    -----
    UserWarning
        Once where runs failed, and once where an output is constant.

    Notes
    -----
    Sources: Owen (2014); Song, Nelson & Staum (2016), random permutations; Goda (2021), d + 1 runs
    a row; Owen & Prieur (2017), dependent inputs.
    """
    law = given_inputs(inputs, dists)
    check_name("sampling", sampling, ("qmc", "mc"))
    if surrogate is not None:
        check_name("surrogate", surrogate, ("auto",), "or None")
    folds = asked_folds(law.dimension + 1, budget, n, sampling)
    widened = surrogate is not None and _has_polynomial(law)
    design = chain_design(law, folds, widened, np.random.default_rng(rng))
    points = design.points
    with ModelRuns(
        func, law.dimension, None, len(points),
        batch_size=batch_size, executor=executor, progress=progress,
    ) as runs:  # fmt: skip
        values = runs(points)
    return _result(design, values, surrogate is not None)


def _has_polynomial(law: Inputs) -> bool:
    return law.is_independent or law.dimension <= MOST_DEPENDENT


@dataclass(frozen=True)
class _Rows:
    """Rows that did not fail.

    Outputs Y (n, d + 1, J), weights of the points (n, d + 1) and of the rows (n,), which of all
    rows they are `kept`, labels (n,) without gaps.
    """

    design: ChainDesign
    Y: Array
    weights: tuple[Array, Array]
    kept: NDArray[np.bool_]
    folds: NDArray[np.int64]

    @staticmethod
    def of(design: ChainDesign, values: Array) -> "_Rows":
        Y = values.reshape(design.n, design.n_blocks, -1)
        kept: NDArray[np.bool_] = np.all(np.isfinite(Y), axis=(1, 2))
        labels = labels_without_gaps(design.folds[kept], design.folds, design.n_blocks)
        points, rows = design.weights
        return _Rows(design, Y[kept], (points[kept], rows[kept]), kept, labels)

    @property
    def permutations(self) -> NDArray[np.int64]:
        """(n, d) of the rows."""
        return self.design.permutations[self.kept]

    @property
    def n_failed(self) -> int:
        """Rows left out."""
        return int((~self.kept).sum())

    def mean(self, values: Array) -> Array:
        """(J,) weighted means of values (n, d + 1, J) at the points."""
        W = self.weights[0]
        mean: Array = np.einsum("nkj,nk->j", values, W) / W.sum()
        return mean


def _result(design: ChainDesign, values: Array, with_surrogate: bool) -> SobolIndices:
    rows = _Rows.of(design, values)
    scaled, constant = standardised(rows.Y, rows.mean)
    of_rows = rows.weights, rows.permutations, rows.folds
    dependent, random = not design.inputs.is_independent, design.sampling == "mc"
    with threadpool_limits(limits=1, user_api="blas"):
        parts = _parts(rows, scaled, constant, with_surrogate)
        found = [
            None if flat else effects(y, *of_rows, dependent, one, random)
            for y, flat, one in zip(np.moveaxis(scaled, 2, 0), constant, parts, strict=True)
        ]
    warn_of_failed_rows(len(rows.Y), design.n, design.n_blocks)
    warn_of_constant_outputs(constant, "effects")
    return SobolIndices(
        names=design.inputs.names,
        estimates=_of_each_kind(rows, found, _kinds(rows, dependent)),
        variance=squeezed(_variance(rows, found)),
        n_evaluations=len(values),
        n_effective=len(rows.Y),
        message=_message(rows, found),
        flags=_flags(rows, found, with_surrogate),
        method="shapley",
    )


def _variance(rows: _Rows, found: list[Effects | None]) -> Array:
    """(J,) variances of the outputs, as exact as their effects."""
    shares = [1.0 if one is None else one.output_variance for one in found]
    known = np.where(np.isfinite(shares), shares, 1.0)
    with np.errstate(over="ignore"):
        scaled: Array = known * variance(rows.Y, rows.mean)
    return scaled


def _parts(
    rows: _Rows, Y: Array, constant: NDArray[np.bool_], with_surrogate: bool
) -> list[Parts | None]:
    parts: list[Parts | None] = [None] * len(constant)
    if not with_surrogate or constant.all():
        return parts
    live = np.flatnonzero(~constant)
    z = rows.design.normal_points[rows.kept]
    found = polynomial_corrections(z, Y[..., live], rows.weights[0], rows.folds, rows.design.inputs)
    for j, one in zip(live, found or [], strict=False):
        parts[j] = one
    return parts


def _kinds(rows: _Rows, dependent: bool) -> tuple[str, ...]:
    """First and total order only where every fold has enough rows for every input."""
    counts = row_forms(np.zeros(rows.Y.shape[:2]), rows.permutations, dependent)[1]
    of_fold = fold_sums(counts, rows.folds).min(axis=0).reshape(3, -1).min(axis=1)
    least = (1, _LEAST_SEEN, _LEAST_SEEN)
    return tuple(kind for kind, k, m in zip(_KINDS, of_fold, least, strict=True) if k >= m)


def _of_each_kind(
    rows: _Rows, found: list[Effects | None], kinds: tuple[str, ...]
) -> dict[str, IndexEstimates]:
    d, n_folds = rows.design.inputs.dimension, int(rows.folds[-1]) + 1
    random = rows.design.sampling == "mc"
    n_free = float(len(rows.Y) - n_folds if random else n_folds - 1)
    none = np.zeros(3 * d)
    estimate = np.stack([none if one is None else one.estimate for one in found], axis=-1)
    error = np.sqrt(np.stack([none if one is None else one.variance for one in found], axis=-1))
    each = {}
    for k, kind in enumerate(_KINDS):
        if kind in kinds:
            here = slice(k * d, (k + 1) * d)
            each[kind] = IndexEstimates(squeezed(estimate[here]), squeezed(error[here]), n_free)
    return each


def _flags(rows: _Rows, found: list[Effects | None], with_surrogate: bool) -> list[str]:
    flags = []
    d = rows.design.inputs.dimension
    if rows.n_failed:
        flags.append(
            f"{rows.n_failed} of {rows.design.n} rows failed; their runs are left out. The effects "
            "are those of the other rows."
        )
    for j, one in enumerate(found):
        if one is not None and np.isnan(one.estimate[:d]).any():
            flags.append(f"Output {j}: no row shows its variance; its effects are not known.")
        elif one is not None and np.isnan(one.variance[:d]).any():
            flags.append(
                f"Output {j}: one fold alone shows its variance; the errors of its effects are not "
                "known."
            )
    if with_surrogate and not _has_polynomial(rows.design.inputs):
        flags.append(
            f"No control variate: it is made for at most {MOST_DEPENDENT} dependent inputs, and "
            f"these are {d}."
        )
    return flags


def _message(rows: _Rows, found: list[Effects | None]) -> str:
    design = rows.design
    kind = "scrambled nets" if design.sampling == "qmc" else "random folds"
    used = [one.names[0] for one in found if one is not None]
    return (
        f"{len(rows.Y)} rows of {design.n_blocks} runs in {int(design.folds[-1]) + 1} {kind}. "
        f"Control variates of the Shapley effects: {how_often(used) or 'none'} of {len(used)} "
        "outputs."
    )
