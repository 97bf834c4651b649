"""Cheap models of the model: polynomial chaos, fitted once for every fold that is left out.

Notation
--------
n, d        runs, columns
J, K        outputs, terms
R           folds
z, y        (n, d) unbounded coordinates of the runs, (n, J) values
omega       (n,) weights of the rows, >= 0; for importance samples squared likelihood ratios
psi         (n, K) orthonormal products, see `uq.polynomials`
T_r, s_r    (K, K) triangle and (K, J) of fold r's factorisation Q_r T_r = sqrt(omega) psi, with
            s_r = Q_r' sqrt(omega) y

    c_{-r} = argmin_c sum_{i not in r} omega_i |y_i - psi_i' c|^2

The triangles of the folds, one below the other and factorised again, give the triangle without a
fold: what sums of Gram matrices give, at twice the digits (Golub & Van Loan 2013, 5.3). Leading
blocks of one triangle are the fits of all smaller sizes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack, solve_triangular

from bayesopt.arguments import whole_number
from uq.polynomials import Array, Indices, basis, check_shapes

_System = tuple[Array, Array]  # T and s

_LARGEST_DEGREE = 40  # of `index_set`
_RUNS_PER_TERM = 12
_RUNS_PER_CHECKED_TERM = 6
_ROWS_PER_TERM = 4  # of a chunk
_LEAST_ROWS = 1024
_PANEL = 16  # columns that LAPACK turns at once
_DEPENDENT = 1e-13  # of a column's length: what rounding leaves of one that the others span


def offered_sizes(n_rows: int, dimension: int, cap: int = 500) -> tuple[int, ...]:
    """Sizes of fits worth trying: a constant, a plane, then about twice as many terms each time.

    Parameters
    ----------
    n_rows
        Runs n. No size but the constant is larger than n / 12.
    dimension
        Columns d. A single column goes up by four degrees instead, to degree 40.
    cap
        Largest size.

    Returns
    -------
    sizes
        Increasing numbers of terms, the first is 1.
    """
    n = whole_number(n_rows, "n_rows", 1)
    d = whole_number(dimension, "dimension", 1)
    available = math.comb(d + _LARGEST_DEGREE, d)
    most = min(n // _RUNS_PER_TERM, whole_number(cap, "cap", 1), available)
    if d == 1:
        return tuple(k for k in (1, 2, 3, *range(5, available + 1, 4)) if k == 1 or k <= most)
    sizes = [1]
    size = d + 1
    while size <= most:
        sizes.append(size)
        size *= 2
    if most > 1.4 * sizes[-1] and most > d:
        sizes.append(most)
    return tuple(sizes)


def check_size(n_rows: int, dimension: int, sizes: tuple[int, ...]) -> int | None:
    """A size larger than all that are offered, to see whether the largest of them has settled.

    Parameters
    ----------
    n_rows, dimension
        Runs n and columns d.
    sizes
        What `offered_sizes` gave.

    Returns
    -------
    size
        About a quarter more terms, where n is at least six times as large, else None.
    """
    size = sizes[-1] + (4 if dimension == 1 else max(sizes[-1] // 4, dimension))
    available = math.comb(dimension + _LARGEST_DEGREE, dimension)
    return size if size <= min(n_rows // _RUNS_PER_CHECKED_TERM, available) else None


@dataclass(frozen=True, eq=False)
class Chaos:
    """A polynomial in orthonormal products.

    Parameters
    ----------
    indices
        (K, d) multi-indices, the first is zero; see `uq.polynomials.index_set`.
    bounded
        (d,) columns with Legendre polynomials of Phi(z), the others have Hermite polynomials of z.
    coefficients
        (K, J) one column for every output.
    """

    indices: Indices
    bounded: NDArray[np.bool_]
    coefficients: Array

    def __call__(self, z: Array) -> Array:
        """Values (n, J) at the unbounded coordinates z (n, d)."""
        values = np.empty((len(z), self.coefficients.shape[1]))
        for rows in _chunks(len(z), len(self.indices)):
            values[rows] = basis(z[rows], self.indices, self.bounded) @ self.coefficients
        return values

    @property
    def mean(self) -> Array:
        """Exact means (J,) under the reference law."""
        mean: Array = self.coefficients[0]
        return mean


class CrossFit:
    """Least squares without each fold, all outputs and all sizes from one pass over the runs.

    Parameters
    ----------
    z
        (n, d) unbounded coordinates.
    values
        (n, J) outputs.
    omega
        (n,) weights of the rows, finite and >= 0.
    folds
        (n,) labels in 0..R-1, each used, R at least two. Labels need no order.
    indices
        (K, d) multi-indices, K at least the largest size; see `uq.polynomials.index_set`.
    bounded
        (d,) columns with Legendre polynomials of Phi(z).
    sizes
        Increasing numbers of terms, see `offered_sizes`.

    Raises
    ------
    ValueError
        When shapes do not fit, numbers are not finite, a weight is negative, a fold is empty or
        sizes do not increase.

    Notes
    -----
    Neither points nor values of fold r touch the fit without it. Where rows are too few or too
    alike, terms that earlier ones span get coefficients of zero. There is no ridge: in trials with
    importance samples none made residuals smaller.
    """

    def __init__(
        self,
        z: Array,
        values: Array,
        omega: Array,
        folds: NDArray[np.integer],
        indices: Indices,
        bounded: NDArray[np.bool_],
        sizes: tuple[int, ...],
    ) -> None:
        _check_sizes(sizes, len(indices))
        check_shapes(z, indices, bounded)
        _check_rows(z, values, omega)
        self._rows = _rows_of_folds(folds, len(z))
        self.sizes = sizes
        self.indices = indices[: sizes[-1]]
        self.bounded = bounded
        self._z = z
        self._without = self._fit(values, np.sqrt(omega))

    def _fit(self, values: Array, roots: Array) -> list[_System]:
        """(T, s) without each fold; `roots` are square roots of the weights."""
        terms = len(self.indices)
        folds = []
        for rows in self._rows:
            system = np.zeros((terms, terms)), np.zeros((terms, values.shape[1]))
            for chunk in _chunks(len(rows), terms):
                at = rows[chunk]
                psi = basis(self._z[at], self.indices, self.bounded)
                weights = roots[at, None]
                system = _stacked(system, (weights * psi, weights * values[at]), triangular=False)
            folds.append(system)
        return [_independent(system) for system in _leave_one_out(folds)]

    def coefficients(self, size: int) -> Array:
        """Coefficients (R, size, J) of the fits without each fold.

        Raises
        ------
        ValueError
            When `size` is not one of the sizes.
        """
        self._check_size(size)
        fits = []
        for triangle, right in self._without:
            lead = triangle[:size, :size]
            fits.append(solve_triangular(lead, right[:size], check_finite=False))
        return np.stack(fits)

    def predictions(self, size: int) -> Array:
        """Predictions (n, J) at every run by the fit without the run's own fold.

        Raises
        ------
        ValueError
            When `size` is not one of the sizes.
        """
        coefficients = self.coefficients(size)
        predicted = np.empty((len(self._z), coefficients.shape[2]))
        for rows, fit in zip(self._rows, coefficients, strict=True):
            predicted[rows] = Chaos(self.indices[:size], self.bounded, fit)(self._z[rows])
        return predicted

    def chaos(self, size: int) -> tuple[Chaos, ...]:
        """Return the R fitted polynomials, each without its fold.

        Raises
        ------
        ValueError
            When `size` is not one of the sizes.
        """
        indices = self.indices[:size]
        return tuple(Chaos(indices, self.bounded, fit) for fit in self.coefficients(size))

    def _check_size(self, size: int) -> None:
        if size not in self.sizes:
            raise ValueError(f"`size` must be one of {self.sizes}, but got {size!r}.")


def _chunks(n: int, terms: int) -> Iterator[slice]:
    """Pieces of n rows: memory is bounded by them."""
    step = max(_LEAST_ROWS, _ROWS_PER_TERM * terms)
    return (slice(start, start + step) for start in range(0, n, step))


def _stacked(above: _System, below: _System, triangular: bool = True) -> _System:
    """Triangle (K, K) and right-hand sides (K, J) of a triangular system with rows below it.

    Rows that are not `triangular` are (m, K), and are lost.
    """
    depth, panel = (len(below[0]) if triangular else 0), min(_PANEL, len(above[0]))
    own = not triangular
    triangle, reflectors, blocks, _ = lapack.dtpqrt(
        depth, panel, above[0], below[0], overwrite_b=own
    )
    right, _, _ = lapack.dtpmqrt(
        depth, reflectors, blocks, above[1], below[1], trans="T", overwrite_b=own
    )
    return triangle, right


def _leave_one_out(folds: list[_System]) -> list[_System]:
    """Systems of all folds but one: those before it above those after it."""
    before, after = folds[:1], folds[:-2:-1]
    for ahead, behind in zip(folds[1:-1], folds[-2:0:-1], strict=True):
        before.append(_stacked(before[-1], ahead))
        after.append(_stacked(after[-1], behind))
    inner = zip(before[:-1], after[-2::-1], strict=True)
    return [after[-1], *(_stacked(*pair) for pair in inner), before[-1]]


def _independent(system: _System) -> _System:
    """The system with coefficients of zero for columns that earlier ones span.

    Such a column is taken out, and a row that says c_k = 0 stands in for it, so that what the
    column held of the later ones is theirs again.
    """
    triangle, right = system
    dependent = np.abs(np.diag(triangle)) <= _DEPENDENT * np.linalg.norm(triangle, axis=0)
    if not dependent.any():
        return system
    kept = np.where(dependent, 0.0, triangle)
    return _stacked((kept, right), (np.diag(dependent.astype(np.float64)), np.zeros_like(right)))


def _check_sizes(sizes: tuple[int, ...], terms: int) -> None:
    increasing = all(a < b for a, b in zip((0, *sizes), sizes, strict=False))
    if not sizes or not increasing or sizes[-1] > terms:
        raise ValueError(
            f"`sizes` must be positive, increasing and at most {terms}, the number of "
            f"multi-indices, but got {sizes}."
        )


def _check_rows(z: Array, values: Array, omega: Array) -> None:
    if values.ndim != 2 or len(values) != len(z) or omega.shape != (len(z),):
        raise ValueError(
            f"{len(z)} points need values ({len(z)}, J) and weights ({len(z)},), but got the "
            f"shapes {values.shape} and {omega.shape}."
        )
    for name, numbers in (("z", z), ("values", values), ("omega", omega)):
        if not np.isfinite(numbers).all():
            raise ValueError(f"`{name}` must be finite; leave out rows that are not.")
    if (omega < 0.0).any():
        raise ValueError(f"`omega` must not be negative, but got {omega.min()}.")


def _rows_of_folds(folds: NDArray[np.integer], n: int) -> list[NDArray[np.intp]]:
    if folds.shape != (n,) or folds.dtype.kind not in "iu":
        raise ValueError(
            f"`folds` must be {n} whole numbers, but got the shape {folds.shape} of {folds.dtype}."
        )
    labels = np.unique(folds)
    if len(labels) < 2 or (labels != np.arange(len(labels))).any():
        raise ValueError(
            f"`folds` must use every label in 0..R-1, R at least 2, but got {labels.tolist()}."
        )
    return [np.flatnonzero(folds == label) for label in labels]
