"""Runs that exist already, looked at once: which rows count, and what their inputs are drawn from.

Notation
--------
n, d, J     runs, inputs, outputs
z           (n, d) independent standard normal variables behind the points
rho_s       rank correlation of two inputs (Spearman), about N(0, 1 / (n - 1)) of independent ones

Where the laws are not known, a rank k of n is the uniform score (k - 1/2) / n. An input whose
values are more nearly a line in the normal scores than in the uniform ones gets Hermite
polynomials.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from bayesopt.arguments import real_numbers
from uq.inputs import Inputs, checked_points
from uq.user_warnings import warn

Array = NDArray[np.float64]

LEAST_RUNS = 50
_LEAST_VALUES = 20  # different ones, of an input
_DEPENDENT = 4.0  # standard errors of a rank correlation
_OTHER_LAW = 2.3  # of sqrt(n) sup |F_n - F|: one sample in 20,000 (Kolmogorov)


@dataclass(frozen=True)
class GivenRuns:
    """Runs that did not fail.

    Parameters
    ----------
    z
        (n, d).
    Y
        (n, J) outputs.
    bounded
        (d,) inputs with Legendre polynomials.
    laws_known
        False where `z` are scores of ranks.
    n_given
        Runs, failed ones included.
    flags
        What to be careful about.
    """

    z: Array
    Y: Array
    bounded: NDArray[np.bool_]
    laws_known: bool
    n_given: int
    flags: tuple[str, ...]


def given_runs(
    X: ArrayLike, Y: ArrayLike, inputs: Inputs | None, names: tuple[str, ...]
) -> GivenRuns:
    """Checked runs; warns of those that failed.

    Parameters
    ----------
    X, Y
        (n, d) points and (n,) or (n, J) outputs.
    inputs
        Laws of the inputs; None where they are not known.
    names
        Of the inputs.

    Raises
    ------
    TypeError, ValueError
        When shapes do not fit, runs are too few, inputs are dependent, a point lies outside of
        their support, or an input has too few different values.
    """
    x, values = _rows(in_order(X, names), Y, len(names))
    kept = np.isfinite(np.hstack([x, values])).all(axis=1)
    n_failed = int((~kept).sum())
    if kept.sum() < LEAST_RUNS:
        raise ValueError(
            f"Indices from given runs need at least {LEAST_RUNS} of them, but got {len(x)}, of "
            f"which {n_failed} have NaN or infinite numbers."
        )
    if n_failed:
        warn(
            f"{n_failed} of {len(x)} runs have NaN or infinite numbers and were left out: the "
            "indices are those of the inputs where the model does not fail."
        )
    n_given, x = len(x), x[kept]
    _check_values(x, names)
    ranks = rankdata(x, axis=0)
    flags = _dependence(ranks, names) + _repeated(x)
    if inputs is None:
        z = ndtri((ranks - 0.5) / len(x))
        bounded = _nearer_to_uniform(x, z)
    else:
        z, bounded = _known(x, inputs), np.array([law.bounded for law in inputs.marginals])
        flags += _other_laws(z, ranks, names)
    return GivenRuns(z, values[kept], bounded, inputs is not None, n_given, flags)


def _rows(X: ArrayLike, Y: ArrayLike, d: int) -> tuple[Array, Array]:
    x, values = checked_points(X, d, "X"), real_outputs(Y, "Y")
    columns = values[:, None] if values.ndim == 1 else values
    if columns.ndim != 2 or len(columns) != len(x) or not columns.shape[1]:
        advice = ""
        if columns.ndim == 2 and columns.shape[1] == len(x):
            advice = " It looks transposed: give Y.T."
        raise ValueError(
            f"`Y` must have the shape ({len(x)},) or ({len(x)}, J), one row for each row of `X`, "
            f"but got {values.shape}.{advice}"
        )
    return x, columns


def _check_values(x: Array, names: tuple[str, ...]) -> None:
    for column, name in zip(x.T, names, strict=True):
        different = int(np.unique(column).size)
        if different == 1:
            raise ValueError(
                f"The input {name!r} is constant in `X` ({column[0]:g}), and so has no index; "
                "leave the column out."
            )
        if different < _LEAST_VALUES:
            raise ValueError(
                f"The input {name!r} has only {different} different values in `X`; at least "
                f"{_LEAST_VALUES} are needed, for inputs are continuous. Runs of a grid or of a "
                "discrete input are not given data of this kind."
            )


def _known(x: Array, inputs: Inputs) -> Array:
    if not inputs.is_independent:
        raise ValueError(
            "The inputs are dependent, and Sobol' indices from given runs need independent ones; "
            "`uq.shapley_effects` takes dependent inputs."
        )
    z = inputs.to_normal(x)
    outside = ~np.isfinite(z)
    if outside.any():
        row, column = (int(at[0]) for at in np.nonzero(outside))
        raise ValueError(
            f"`X` must lie inside the support of the inputs, but {inputs.names[column]!r} is "
            f"{x[row, column]:g} in a row ({int(outside.any(axis=1).sum())} such rows); do the "
            "columns stand in the order of the inputs? `inputs=None` takes the laws from `X`."
        )
    return z


def _nearer_to_uniform(x: Array, z: Array) -> NDArray[np.bool_]:
    """(d,) whether the values are more nearly a line in uniform than in normal scores."""

    def centred(values: Array) -> Array:
        middle = values - values.mean(axis=0)
        scaled: Array = middle / np.sqrt(np.square(middle).sum(axis=0))
        return scaled

    values = centred(x / np.abs(x).max(axis=0))
    by_uniform, by_normal = ((values * centred(s)).sum(axis=0) for s in (ndtr(z), z))
    nearer: NDArray[np.bool_] = by_uniform >= by_normal
    return nearer


def _dependence(ranks: Array, names: tuple[str, ...]) -> tuple[str, ...]:
    n, d = ranks.shape
    if d == 1:
        return ()
    rho = np.atleast_2d(np.corrcoef(ranks, rowvar=False))
    i, j = np.triu_indices(d, 1)
    errors = np.abs(rho[i, j]) * np.sqrt(n - 1)
    if errors.max() <= _DEPENDENT:
        return ()
    worst = int(errors.argmax())
    return (
        f"the inputs look dependent: {names[i[worst]]} and {names[j[worst]]} have the rank "
        f"correlation {rho[i[worst], j[worst]]:.2g}, {errors[worst]:.1f} standard errors; these "
        "indices are those of independent inputs",
    )


def _other_laws(z: Array, ranks: Array, names: tuple[str, ...]) -> tuple[str, ...]:
    n = len(z)
    distance = np.abs(ndtr(z) - (ranks - 0.5) / n).max(axis=0) * np.sqrt(n)
    other = [name for name, one in zip(names, distance, strict=True) if one > _OTHER_LAW]
    if not other:
        return ()
    return (f"the values of {', '.join(other)} do not look drawn from the given laws",)


def _repeated(x: Array) -> tuple[str, ...]:
    again = len(x) - len(np.unique(x, axis=0))
    if not again:
        return ()
    return (
        f"{again} of {len(x)} runs are at points of other runs, as in a bootstrap sample; the "
        "intervals count every run as drawn by itself",
    )


def real_outputs(Y: ArrayLike, name: str) -> Array:
    """Return outputs as floats, also truth values and masked ones; raises TypeError by name."""
    known = _unmasked(Y)
    array = np.asarray(known)
    return real_numbers(array.astype(np.float64) if array.dtype.kind == "b" else known, name)


def in_order(X: ArrayLike, names: tuple[str, ...]) -> ArrayLike:
    """Return the columns of a table by these names where it has them all, else X; masked as NaN."""
    columns = _columns(X)
    if not set(names) <= set(columns):
        return _unmasked(X)
    return real_numbers(X, "X")[:, [columns.index(name) for name in names]]


def _unmasked(values: ArrayLike) -> ArrayLike:
    """NaN for what is masked."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    return np.where(np.ma.getmaskarray(values), np.nan, np.ma.getdata(values).astype(np.float64))


def _columns(X: Any) -> tuple[str, ...]:
    """Names of the columns of a table, such as a data frame; none where they are no names."""
    columns = tuple(getattr(X, "columns", ()))
    named = all(isinstance(name, str) for name in columns) and len(set(columns)) == len(columns)
    return columns if named else ()


def input_names(inputs: Inputs | None, X: Any) -> tuple[str, ...]:
    """Names of the inputs: of the laws, else of the columns of a table, else x1, x2, ...

    Raises
    ------
    TypeError, ValueError
        Without laws, where `X` is no array of numbers (n, d).
    """
    if inputs is not None:
        return inputs.names
    points = real_numbers(X, "X")
    if points.ndim != 2 or not points.shape[1]:
        raise ValueError(
            f"`X` must have the shape (n, d), one column for each input, but got {points.shape}."
        )
    return _columns(X) or tuple(f"x{k + 1}" for k in range(points.shape[1]))
