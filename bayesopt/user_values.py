"""Points of the unit cube as values in the user's own units, many at once.

Notation
--------
d       number of parameters
u       coordinate of the cube
z       value in the user's own units; 0 in the columns of categories

    Float           z = (1 - u) low + u high,       dz/du = high - low
    Float, log      log z = (1 - u) log low + u log high,   dz/du = z (log high - log low)
    Int             z = low + index of u,           dz/du = 0
"""

import math
from typing import Any

import numpy as np

from bayesopt.parameter import Array, Fixed, Float, Int, is_number, numeric_range
from bayesopt.space import Params, Space


def user_values(space: Space, X: Array) -> Array:
    """Values (n, d) in the user's units at points X (n, d); 0 in the columns of categories."""
    Z = np.zeros_like(X)
    for j, parameter in enumerate(space.parameters.values()):
        if isinstance(parameter, Float):
            low, high = parameter.low, parameter.high
            if parameter.log:
                low, high = math.log(low), math.log(high)
            z = (1.0 - X[:, j]) * low + X[:, j] * high
            Z[:, j] = np.clip(np.exp(z) if parameter.log else z, parameter.low, parameter.high)
        elif isinstance(parameter, Int):
            Z[:, j] = parameter.low + parameter.index_of(X[:, j])
        elif isinstance(parameter, Fixed):
            Z[:, j] = numeric_range(parameter)[0]
    return Z


def user_slopes(space: Space, Z: Array) -> Array:
    """Derivatives (n, d) of the user's values in the coordinates of the cube; 0 on lattices."""
    slope = np.zeros_like(Z)
    for j, parameter in enumerate(space.parameters.values()):
        if isinstance(parameter, Float):
            if parameter.log:
                slope[:, j] = Z[:, j] * (math.log(parameter.high) - math.log(parameter.low))
            else:
                slope[:, j] = parameter.high - parameter.low
    return slope


def parameters_of(space: Space, X: Array) -> list[Params]:
    """`Space.from_unit` of every row of X (n, d), column by column because that is faster."""
    columns: list[list[Any]] = []
    for j, parameter in enumerate(space.parameters.values()):
        if isinstance(parameter, Float):
            columns.append([parameter.from_unit(unit) for unit in X[:, j].tolist()])
        elif isinstance(parameter, Int):
            columns.append((parameter.low + parameter.index_of(X[:, j])).tolist())
        elif isinstance(parameter, Fixed):
            columns.append([parameter.value] * len(X))
        else:
            columns.append([parameter.choices[i] for i in parameter.index_of(X[:, j]).tolist()])
    return [dict(zip(space.names, row, strict=True)) for row in zip(*columns, strict=True)]


def values_of(space: Space, params: Params) -> Array:
    """Values z (d,) of checked parameters."""
    numeric = [is_number(p) for p in space.parameters.values()]
    pairs = zip(space.names, numeric, strict=True)
    return np.array([float(params[name]) if is_number else 0.0 for name, is_number in pairs])
