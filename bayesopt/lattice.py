"""Steps between points of integer and categorical columns.

Notation
--------
x       (d,) a point of the unit cube that stands for a value
move    (d,) whole numbers to add to the positions of integer columns, all at once

Constraints couple integers: where ``k1 + k2`` may not grow, k1 goes up only together with k2 going
down. `coupled_moves` lists such steps.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bayesopt.parameter import Array, Float, Int
from bayesopt.polytope import whole_moves
from bayesopt.space import Space


def neighbours(space: Space, x: Array) -> Array:
    """Points (k, d) that differ from x in one integer or categorical column.

    A category moves to every other choice, an integer by 1, 2, 4, 8, ... steps both ways, so
    that a wide range is crossed in few rounds and the last step is exact.
    """
    rows = []
    for column, parameter in enumerate(space.parameters.values()):
        if isinstance(parameter, Float):
            continue
        here = int(parameter.index_of(x[column : column + 1])[0])
        if parameter.kind == "categorical":
            index = np.arange(parameter.size)
        else:
            steps = 2 ** np.arange(int(parameter.size - 1).bit_length())
            index = here + np.concatenate((-steps, steps))
        index = index[(index >= 0) & (index < parameter.size) & (index != here)]
        unit = parameter.unit_of(index)
        block = np.tile(x, (len(unit), 1))
        block[:, column] = unit
        rows.append(block)
    return np.concatenate(rows) if rows else np.empty((0, len(x)))


def coupled_moves(space: Space, A: Array, equal: NDArray[np.bool_]) -> Array:
    """Moves (k, d) of several integers that leave linear constraints as they are, or ease them.

    Parameters
    ----------
    space
        The space.
    A, equal
        (m, d) coefficients in the user's units, and (m,) which rows are equalities.
    """
    ints, real = space.columns("int"), space.columns("float")
    found = []
    if ints:
        only_ints = equal & ~A[:, real].any(axis=1) & A[:, ints].any(axis=1)
        if only_ints.any():
            found.append(whole_moves(A[only_ints][:, ints]))
        for row in A[~only_ints][:, ints]:
            for i, j in combinations(np.flatnonzero(row), 2):
                pair = np.zeros((3, len(ints)))
                pair[:2, i], pair[:2, j] = 1.0, (1.0, -1.0)
                exchange = whole_moves(row[None, [i, j]])
                if len(exchange) > 0:
                    pair[2, [i, j]] = exchange[0]
                found.append(pair)
    moves = np.zeros((sum(map(len, found)), len(space)))
    if found:
        moves[:, ints] = np.concatenate(found)
    moves = moves[moves.any(axis=1)]
    return np.unique(moves, axis=0)


def moved(space: Space, X: Array, moves: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Points X (n, d) after one move (n, d) each, and which of them stay within the bounds."""
    Y, inside = X.copy(), np.ones(len(X), dtype=np.bool_)
    for j, parameter in enumerate(space.parameters.values()):
        if isinstance(parameter, Int) and moves[:, j].any():
            index = parameter.index_of(X[:, j]) + moves[:, j]
            inside &= (index >= 0) & (index < parameter.size)
            changed = parameter.unit_of(np.clip(index, 0, parameter.size - 1))
            Y[:, j] = np.where(moves[:, j] != 0, changed, X[:, j])
    return Y, inside


def coupled_neighbours(space: Space, x: Array, moves: Array) -> Array:
    """Points (k, d) that 1, 2, 4, 8, ... times a move, forward or back, lead to from x."""
    if len(moves) == 0:
        return np.empty((0, len(x)))
    widest = max(p.size for p in space.parameters.values() if isinstance(p, Int))
    times = 2.0 ** np.arange(int(widest - 1).bit_length())
    several = np.concatenate([sign * t * moves for t in times for sign in (1.0, -1.0)])
    Y, inside = moved(space, np.tile(x, (len(several), 1)), several)
    return Y[inside]
