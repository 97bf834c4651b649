"""Uniform numbers in independent folds: scrambled nets or plain random numbers.

Notation
--------
R, m        folds, and the logarithm of their size: a fold has 2^m points
N           points to spend

A scrambled Sobol' net integrates a smooth function far better than random numbers do, and far
better with 2^m points than with any other number near it. What one net leaves as its error cannot
be read off that net: R independent scramblings show it. More folds mean a better known error and
smaller, worse nets; with 7 to 13 folds the Student quantile of a 95 % interval is 2.45 to 2.18, and
some R 2^m lies within one eighth below any number.

Scrambling is Owen's (1995), nested and uniform, and not the cheaper matrix scrambling with a
digital shift: of equal variance, but then most nets are far better than their variance and a few
far worse, so that intervals from R of them are too wide or too narrow. The errors of nested
scramblings are close to normal (Loh 2003).

A fold can be doubled: the net of 2^m points is the first half of the net of 2^(m+1), and the coins
that scrambled it can be read off its points. So every run is kept, and the larger fold is a
scrambled net as any other.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from bayesopt.arguments import whole_number

Array = NDArray[np.float64]
Sampling = Literal["qmc", "mc"]

LEAST_FOLDS = 7
N_FOLDS = 8
"""Folds where the number of rows is a power of two."""
LEAST_ROWS = 16
"""Rows that a design of nets must have."""
LEAST_RANDOM_ROWS = 20
"""Random rows that a design must have: two in each fold."""
_LEAST_UNIFORM = 2.0**-53


@dataclass(frozen=True)
class Folds:
    """So many independent folds of so many points each.

    Parameters
    ----------
    n_folds
        R.
    size
        Points in a fold; a power of two for nets.
    sampling
        "qmc": every fold is a net, scrambled on its own. "mc": random numbers.
    """

    n_folds: int
    size: int
    sampling: Sampling

    @property
    def n_points(self) -> int:
        """Points in all folds."""
        return self.n_folds * self.size

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n_points,) the fold of every point."""
        return np.repeat(np.arange(self.n_folds), self.size)

    def uniforms(self, dimension: int, rng: np.random.Generator) -> Array:
        """(n_points, dimension) numbers inside (0, 1), fold after fold."""
        if self.sampling == "mc":
            return np.maximum(rng.random((self.n_points, dimension)), _LEAST_UNIFORM)
        log2 = self.size.bit_length() - 1
        net = qmc.Sobol(dimension, scramble=False).random_base2(log2)
        cells = np.floor(net * self.size).astype(np.int64)
        u = np.empty((self.n_folds, self.size, dimension))
        for fold in u:
            for k in range(dimension):
                fold[:, k] = _scrambled(cells[:, k], log2, rng)
        return u.reshape(self.n_points, dimension)

    def doubled(self, u: Array, rng: np.random.Generator) -> Array:
        """(n_points, d) further numbers, fold after fold, that make every fold twice as large.

        Parameters
        ----------
        u
            (n_points, d) the points of these folds, fold after fold. Each fold's own points are
            in the order in which they came.
        rng
            Source of random numbers.
        """
        n, d = u.shape
        if self.sampling == "mc":
            return np.maximum(rng.random((n, d)), _LEAST_UNIFORM)
        log2 = self.size.bit_length()
        net = qmc.Sobol(d, scramble=False).random_base2(log2)
        cells = np.floor(net * (2 * self.size)).astype(np.int64)
        old = u.reshape(self.n_folds, self.size, d)
        new = np.empty_like(old)
        for before, after in zip(old, new, strict=True):
            for k in range(d):
                after[:, k] = _second_half(cells[:, k], before[:, k], log2, rng)
        return new.reshape(n, d)


def largest_folds(n: int, sampling: Sampling) -> Folds:
    """The largest folds with at most `n` points in all: 7 to 13 nets, or 10 random ones.

    Parameters
    ----------
    n
        At least `LEAST_FOLDS` for nets and 10 for random numbers.
    sampling
        "qmc" or "mc".
    """
    if sampling == "mc":
        return Folds(10, n // 10, sampling)
    size = 1 << ((n // LEAST_FOLDS).bit_length() - 1)
    return Folds(n // size, size, sampling)


def asked_folds(
    cost: int, budget: int | None, n: int | None, sampling: Sampling, rows: str = "rows"
) -> Folds:
    """Folds of the rows that a user asks for.

    Parameters
    ----------
    cost
        Runs of one row.
    budget, n
        Most runs, or instead of it the number of rows: one of them is None.
    sampling
        "qmc" or "mc".
    rows
        What rows are called.

    Raises
    ------
    TypeError, ValueError
        When both or none are given, or one that cannot be had.
    """
    if (budget is None) == (n is None):
        raise TypeError(f"Give either `budget`, runs of the model, or `n`, the number of {rows}.")
    least = LEAST_ROWS if sampling == "qmc" else LEAST_RANDOM_ROWS
    if budget is not None:
        budget = whole_number(budget, "budget", 1)
        if budget < least * cost:
            raise ValueError(
                f"`budget` must pay for {least} {rows} of {cost} runs, {least * cost} in "
                f"all, but got {budget}."
            )
        return largest_folds(budget // cost, sampling)
    n = whole_number(n, "n", least)
    if sampling == "mc":
        return largest_folds(n, sampling)
    if n & (n - 1):
        low = 1 << (n.bit_length() - 1)
        nearest = low if n - low <= 2 * low - n else 2 * low
        raise ValueError(
            f"`n` must be a power of two for scrambled nets, but got {n}; the nearest is "
            f'{nearest}. `budget` takes any number of runs, sampling="mc" any number of {rows}.'
        )
    return Folds(N_FOLDS, n // N_FOLDS, sampling)


def _scrambled(cells: NDArray[np.int64], log2: int, rng: np.random.Generator) -> Array:
    """One coordinate of a net under nested uniform scrambling.

    Each of its 2^m cells of width 2^-m holds one point. Every binary digit of the cell is flipped
    by a coin of its own for each value of the digits before it; within its cell a point is uniform.
    """
    moved = np.zeros_like(cells)
    for level in range(log2):
        left = log2 - level - 1
        coins = rng.integers(0, 2, 1 << level)
        moved |= (((cells >> left) & 1) ^ coins[cells >> (left + 1)]) << left
    inside = np.maximum(rng.random(len(cells)), _LEAST_UNIFORM)
    # The largest number below one rounds to one when it is added to the last cell.
    return np.minimum((moved + inside) / (1 << log2), 1.0 - _LEAST_UNIFORM)


def _second_half(
    cells: NDArray[np.int64], first_half: Array, log2: int, rng: np.random.Generator
) -> Array:
    """One coordinate of the points that follow `first_half` in a net of 2^log2 points.

    `cells` are those of the whole net before scrambling. The first half has one point behind every
    prefix of log2 - 1 digits, so that it shows all coins, the one of the last digit included.
    """
    half = len(first_half)
    scrambled = np.floor(first_half * (1 << log2)).astype(np.int64)
    moved = np.zeros(half, dtype=np.int64)
    for level in range(log2):
        left = log2 - level - 1
        coins = np.zeros(1 << level, dtype=np.int64)
        coins[cells[:half] >> (left + 1)] = ((cells[:half] ^ scrambled) >> left) & 1
        moved |= (((cells[half:] >> left) & 1) ^ coins[cells[half:] >> (left + 1)]) << left
    inside = np.maximum(rng.random(half), _LEAST_UNIFORM)
    return np.minimum((moved + inside) / (1 << log2), 1.0 - _LEAST_UNIFORM)
