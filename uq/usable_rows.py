"""Rows without a failed run: what all estimates from rows of runs ask of them.

Notation
--------
n, b, J     rows, runs of a row, outputs
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from uq.user_warnings import warn

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]

LEAST_FOLDS = 3
"""Folds without which nothing is said of an error."""
_CONSTANT = 1e-13  # of the largest value: a spread that is rounding


def labels_without_gaps(
    left: Labels, folds: Labels, n_blocks: int, least_folds: int = LEAST_FOLDS
) -> Labels:
    """Labels 0, 1, ... of the folds of the rows that are left.

    Parameters
    ----------
    left, folds
        Labels of the rows without a failed run, and of all rows.
    n_blocks
        Runs of a row.
    least_folds
        So many must be left.

    Raises
    ------
    ValueError
        When too few folds are.
    """
    labels = np.unique(left, return_inverse=True)[1]
    n_left, n_folds = int(labels.max(initial=-1)) + 1, int(folds.max()) + 1
    if n_left < least_folds:
        raise ValueError(
            f"Only {len(left)} of {len(folds)} rows are without failed runs, in {n_left} of "
            f"{n_folds} folds: too few for an estimate. A row needs all its {n_blocks} runs."
        )
    return labels


def standardised(Y: Array, mean: Callable[[Array], Array]) -> tuple[Array, Mask]:
    """Outputs of mean 0 and variance 1, and (J,) which of them are constant: these are all 0.

    Parameters
    ----------
    Y
        (n, b, J) finite outputs, of any size.
    mean
        (n, b, J) to (J,): a mean over rows and runs, weighted or not.
    """
    largest = np.abs(Y).max(axis=(0, 1))
    unit = Y / np.where(largest > 0.0, largest, 1.0)
    constant = np.asarray(np.ptp(unit, axis=(0, 1)) <= _CONSTANT)
    centred = unit - mean(unit)
    sd = np.sqrt(mean(centred**2))
    return centred / np.where(constant, 1.0, sd), constant


def binary_unit(largest: Array) -> Array:
    """(J,) the power of two at or below the largest values (J,): dividing by it rounds nothing."""
    unit: Array = np.ldexp(1.0, np.frexp(largest)[1] - 1)
    return unit


def constant_outputs(Y: Array) -> Mask:
    """(J,) which outputs vary by no more than rounding; all where there are no rows (n, ..., J)."""
    flat = Y.reshape(-1, Y.shape[-1])
    if not len(flat):
        return np.ones(Y.shape[-1], dtype=bool)
    unit = binary_unit(np.abs(flat).max(axis=0))
    return np.asarray(np.ptp(flat / unit, axis=0) <= _CONSTANT)


def variance(Y: Array, mean: Callable[[Array], Array]) -> Array:
    """(J,) of outputs (n, b, J); infinite where it is too large a number."""
    with np.errstate(over="ignore"):
        return mean(np.square(Y - mean(Y)))


def warn_of_failed_rows(n_left: int, n: int, n_blocks: int) -> None:
    """Warn where fewer rows are left than there were."""
    if n_left < n:
        warn(
            f"{n - n_left} of {n} rows have failed runs (NaN or infinite) and are left out, all "
            f"{n_blocks} runs of each; {n_left} rows are left."
        )


def warn_of_constant_outputs(constant: Mask, indices: str = "indices") -> None:
    """Warn where an output is constant (J,), whose indices, or what they are called, are 0."""
    if constant.any():
        still = ", ".join(map(str, np.flatnonzero(constant)))
        which = "The output" if len(constant) == 1 else f"Output {still}"
        warn(
            f"{which} is constant: it has no variance to share out, and its {indices} are given "
            "as 0."
        )
