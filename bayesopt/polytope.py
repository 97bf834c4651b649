"""Linear constraints on real and whole numbers: is there a point, and which lies near another.

Notation
--------
z       (d,) values in the user's own units
A       (m, d) coefficients:  lower <= A z <= upper
t, w    (d,) a point to come close to, and the unit in which each column is measured

    min sum_j s_j   over   lower <= A z <= upper,  |z_j - t_j| <= w_j s_j,  z in its bounds

is a mixed-integer linear program, which HiGHS solves exactly to its tolerance of 1e-7; also with
parameters that are searched on a logarithmic scale, because it is written in the user's units.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, OptimizeResult, linprog, milp

from bayesopt.parameter import Array, numeric_range
from bayesopt.space import Space

_SLACK = 1e-9  # an inequality that can never be slack by more, relative to its row, is an equality
_DENOMINATOR = 10**6


@dataclass(frozen=True)
class Polytope:
    """``lower <= A y <= upper`` within bounds, where z = scale y has the user's units.

    Parameters
    ----------
    A, lower, upper
        (m, d), (m,), (m,); every row has entries of at most 1.
    low, high
        (d,) bounds of y; both 0 for categories, both the value of what is fixed.
    whole
        (d,) 1 where a column holds whole numbers, else 0.
    scale
        (d,) width of the range of a real parameter, else 1.
    """

    A: Array
    lower: Array
    upper: Array
    low: Array
    high: Array
    whole: Array
    scale: Array

    @classmethod
    def of(cls, space: Space, A: Array, lower: Array, upper: Array) -> "Polytope":
        """Constraints in the user's units, brought to the scale of the solver's tolerance."""
        ends = [numeric_range(p) for p in space.parameters.values()]
        low, high = np.array(ends).T
        whole, scale = np.zeros(len(space)), np.ones(len(space))
        whole[space.columns("int")] = 1
        real = space.columns("float")
        scale[real] = (high - low)[real]
        largest = np.abs(A * scale).max(axis=1)
        unit = np.where(largest > 0, largest, 1.0)
        rows = A * scale / unit[:, None]
        return cls(rows, lower / unit, upper / unit, low / scale, high / scale, whole, scale)

    def nearest(self, target: Array | None = None, unit: Array | None = None) -> Array | None:
        """A point z of the polytope near `target`, in units of `unit`; None when it is empty.

        Raises
        ------
        RuntimeError
            If the solver gives up.
        """
        d = self.A.shape[1]
        if target is None or unit is None:
            solved = milp(
                np.zeros(d),
                integrality=self.whole,
                bounds=(self.low, self.high),
                constraints=LinearConstraint(self.A, self.lower, self.upper),
            )
        else:
            solved = self._toward(target / self.scale, unit / self.scale)
        if solved.x is None:
            if solved.status in (2, 4):  # infeasible; or "infeasible or unbounded", inside bounds
                return None
            raise RuntimeError(f"The linear constraints could not be solved: {solved.message}")
        y = np.clip(solved.x[:d], self.low, self.high)
        z: Array = np.where(self.whole > 0, np.rint(y), y * self.scale)
        return z

    def _toward(self, target: Array, unit: Array) -> OptimizeResult:
        m, d = self.A.shape
        eye, far, distance = np.eye(d), np.full(d, np.inf), np.diag(unit)
        return milp(
            np.concatenate((np.zeros(d), np.ones(d))),
            integrality=np.concatenate((self.whole, np.zeros(d))),
            bounds=(
                np.concatenate((self.low, np.zeros(d))),
                np.concatenate((self.high, far)),
            ),
            constraints=[
                LinearConstraint(np.hstack((self.A, np.zeros((m, d)))), self.lower, self.upper),
                LinearConstraint(np.hstack((eye, -distance)), -far, target),
                LinearConstraint(np.hstack((eye, distance)), target, far),
            ],
        )

    def never_slack(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which lower and which upper bounds (m,) of rows hold with equality at every point."""
        found = []
        for sign, bound in ((1.0, self.lower), (-1.0, -self.upper)):
            tight = np.zeros(len(self.A), dtype=np.bool_)
            for i, row in enumerate(self.A):
                if np.isfinite(bound[i]):
                    reached = self._largest(sign * row)
                    size = np.abs(row) @ np.maximum(np.abs(self.low), np.abs(self.high))
                    tight[i] = reached - bound[i] <= _SLACK * max(size, abs(bound[i]))
            found.append(tight)
        return found[0], found[1]

    def _largest(self, row: Array) -> float:
        """Largest value of row . y over the polytope, whole numbers relaxed."""
        upper, lower = np.isfinite(self.upper), np.isfinite(self.lower)
        solved = linprog(
            -row,
            A_ub=np.concatenate((self.A[upper], -self.A[lower])),
            b_ub=np.concatenate((self.upper[upper], -self.lower[lower])),
            bounds=np.stack((self.low, self.high), axis=1),
        )
        return np.inf if solved.x is None else -float(solved.fun)


def whole_moves(A: Array) -> Array:
    """Integer vectors (k, d) along which A z stays the same: a basis of the lattice they form,
    with sums and differences of its vectors.

    Coefficients are taken as fractions with denominators of at most 10**6. The basis comes from
    Euclid's algorithm on the columns (the Hermite normal form; Cohen 1993, Algorithm 2.4.4).
    """
    d = A.shape[1]
    rows = [[Fraction(a).limit_denominator(_DENOMINATOR) for a in row] for row in A.tolist()]
    columns = [[row[j] for row in rows] for j in range(d)]
    basis = [[int(i == j) for i in range(d)] for j in range(d)]
    done = 0
    for i in range(len(rows)):
        while True:
            rest = [j for j in range(done, d) if columns[j][i] != 0]
            if len(rest) <= 1:
                break
            pivot = min(rest, key=lambda j: abs(columns[j][i]))
            for j in rest:
                if j != pivot:
                    times = round(columns[j][i] / columns[pivot][i])
                    _subtract(columns[j], columns[pivot], times)
                    _subtract(basis[j], basis[pivot], times)
        if rest:
            columns[done], columns[rest[0]] = columns[rest[0]], columns[done]
            basis[done], basis[rest[0]] = basis[rest[0]], basis[done]
            done += 1
    kernel = np.array(basis[done:], dtype=np.float64).reshape(-1, d)
    pairs = [
        kernel[i] + sign * kernel[j]
        for i in range(len(kernel))
        for j in range(i)
        for sign in (1.0, -1.0)
    ]
    return np.concatenate((kernel, np.array(pairs).reshape(-1, d)))


def _subtract(column: list, other: list, times: int) -> None:  # type: ignore[type-arg]
    column[:] = [a - times * b for a, b in zip(column, other, strict=True)]
