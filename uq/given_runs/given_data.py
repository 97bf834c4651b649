"""Sobol' indices from runs that exist already: any points, drawn independently from the input law.

The runs are dealt to folds at random, each output gets a cross-fitted polynomial, and
`one_step_indices` puts both together.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import check_name, whole_number
from uq.factors import Factor, factors_of
from uq.given_runs.one_step_indices import (
    NeighbourSearch,
    OneOutput,
    Polynomial,
    Targets,
    one_output,
)
from uq.given_runs.runs import GivenRuns, given_runs, input_names
from uq.inputs import Inputs, Seed
from uq.polynomial_fits import polynomial_fit
from uq.sobol_results import IndexEstimates, SobolIndices, pair_matrix, squeezed
from uq.usable_rows import binary_unit, warn_of_constant_outputs
from uq.variance_parts import Shares, families, parts_of

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

_MUCH = 0.9  # explained: with less the rest is worth a flag
_ROUNDING = 64 * np.finfo(float).eps


def given_data_indices(
    X: ArrayLike,
    Y: ArrayLike,
    inputs: Inputs | None = None,
    factors: Sequence[Factor] | None = None,
    *,
    order: int = 1,
    surrogate: Literal["auto"] | None = "auto",
    n_folds: int = 10,
    rng: Seed = None,
) -> SobolIndices:
    """Sobol' indices from given runs of a model with independent inputs.

    Parameters
    ----------
    X
        (n, d) points, drawn independently from the law of the inputs (or a net of such points).
    Y
        (n,) or (n, J) outputs. Runs with NaN in any place are left out.
    inputs
        Independent inputs. None: their laws are not known, and ranks are used.
    factors
        Inputs or groups that get indices; None: every input.
    order
        1: first and total indices; 2: those of pairs too.
    surrogate
        "auto": a polynomial where it explains any of the variance. None: nearest neighbours alone,
        as they are published.
    n_folds
        Folds of the cross-fitting, at least three.
    rng
        Seed or generator: deals runs to folds, and breaks ties.

    Returns
    -------
    SobolIndices

    Raises
    ------
    TypeError, ValueError
        When an argument is out of range; see also `given_runs.given_runs`.
    """
    _check_choices(order, surrogate)
    names = input_names(inputs, X)
    runs = given_runs(X, Y, inputs, names)
    whole_number(n_folds, "n_folds", 3)
    if n_folds > len(runs.z) // 4:
        raise ValueError(
            f"`n_folds` must leave four runs to every fold, at most {len(runs.z) // 4} folds, but "
            f"got {n_folds}."
        )
    chosen = tuple(factors or factors_of(names, None))
    targets = Targets.of(chosen, len(names), order)
    generator = np.random.default_rng(rng)
    place = generator.permutation(len(runs.z))
    runs = replace(runs, z=runs.z[place], Y=runs.Y[place])
    folds = np.sort(np.arange(len(place)) % n_folds)
    outputs = _each_output(runs, folds, targets, surrogate, generator)
    return _result(outputs, runs, chosen, order)


def _check_choices(order: object, surrogate: object) -> None:
    """Raise ValueError unless both are among the known ones."""
    if isinstance(order, bool) or order not in (1, 2):
        raise ValueError(f"`order` must be 1 or 2, but got {order!r}.")
    if surrogate is not None:
        check_name("surrogate", surrogate, ("auto",), "None")


def _each_output(
    runs: GivenRuns,
    folds: Labels,
    targets: Targets,
    surrogate: str | None,
    rng: np.random.Generator,
) -> list[OneOutput]:
    unit = binary_unit(np.abs(runs.Y).max(axis=0))
    Y = runs.Y / unit
    centre, scale = Y.mean(axis=0), Y.std(axis=0)
    constant = scale <= _ROUNDING * np.abs(Y).max(axis=0)
    warn_of_constant_outputs(constant)
    scale = np.where(constant, 1.0, scale)
    Y = (Y - centre) / scale
    fitted: list[Polynomial] = []
    if surrogate == "auto" and not constant.all():
        fitted = _polynomials(runs, Y[:, ~constant], folds, targets)
    none: list[Polynomial | None] = [None] * len(scale)
    left = iter(fitted or none)
    search = NeighbourSearch(runs, targets, rng)
    outputs = []
    for j, size in enumerate(unit * scale):
        if constant[j]:
            zeros = np.zeros(len(targets.combination))
            outputs.append(OneOutput(zeros, zeros, zeros + len(Y) - 1.0, 0.0, 0.0, "none"))
            continue
        found = one_output(Y[:, j], next(left), runs, folds, targets, search)
        with np.errstate(over="ignore"):
            variance = found.variance * np.square(size)
        outputs.append(replace(found, variance=float(variance)))
    return outputs


def _polynomials(runs: GivenRuns, Y: Array, folds: Labels, targets: Targets) -> list[Polynomial]:
    """One for each output (n, J); none where runs are too few."""
    one = runs.z[:, None], Y[:, None], np.ones((len(Y), 1)), folds
    fit = polynomial_fit(*one, runs.bounded)
    if fit is None:
        return []
    parts = parts_of(fit, *one, Shares(families(fit.index, targets.shared, targets.total)))
    coefficients = fit.coefficients
    return [
        Polynomial(part, fit.index[: c.shape[1]], c)
        for part, c in zip(parts, coefficients, strict=True)
    ]


def _result(
    outputs: list[OneOutput], runs: GivenRuns, factors: tuple[Factor, ...], order: int
) -> SobolIndices:
    n, k = len(runs.z), len(factors)
    index = np.stack([one.index for one in outputs], axis=-1)
    error = np.sqrt(np.stack([one.variance_of_index for one in outputs], axis=-1))
    free = np.stack([one.n_free for one in outputs], axis=-1)
    pairs = k * (k - 1) // 2
    places = {"first_order": slice(0, k), "total_order": slice(k, 2 * k)}
    if order == 2 and pairs:
        places["second_order"] = slice(2 * k + pairs, 2 * k + 2 * pairs)
        places["closed_second_order"] = slice(2 * k, 2 * k + pairs)
    estimates = {}
    for kind, rows in places.items():
        both = index[rows], error[rows]
        one, other = (pair_matrix(v, k) for v in both) if "second" in kind else both
        estimates[kind] = IndexEstimates(
            squeezed(one), squeezed(other), float(np.median(free[rows]))
        )
    return SobolIndices(
        tuple(factor.name for factor in factors),
        estimates,
        squeezed(np.array([one.variance for one in outputs])),
        runs.n_given,
        n,
        _message(outputs, runs),
        (*runs.flags, *_residual_flags(outputs)),
        method="given_data",
    )


def _message(outputs: list[OneOutput], runs: GivenRuns) -> str:
    laws = "" if runs.laws_known else "The laws of the inputs are not known; ranks were used. "
    how = "; ".join(
        (f"output {j}: " if len(outputs) > 1 else "")
        + (
            "nearest neighbours alone"
            if one.name == "none"
            else f"a {one.name}, which explains {100.0 * one.explained:.4g} % of the variance, and "
            "nearest neighbours for the rest"
        )
        for j, one in enumerate(outputs)
    )
    return f"{laws}Indices from {len(runs.z)} given runs by {how}."


def _residual_flags(outputs: list[OneOutput]) -> tuple[str, ...]:
    much = [j for j, one in enumerate(outputs) if one.variance and one.explained < _MUCH]
    if not much:
        return ()
    which = "" if len(outputs) == 1 else f" of the outputs {', '.join(map(str, much))}"
    return (
        f"the polynomial leaves more than {100.0 * (1.0 - _MUCH):.0f} % of the variance{which} to "
        "nearest neighbours, whose bias the intervals count only roughly",
    )
