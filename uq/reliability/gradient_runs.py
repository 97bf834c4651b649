"""Runs of a limit state with its gradient, asked for in standard normal space.

Notation
--------
x           (d,) inputs, x = inputs.from_normal(z)
z           (d,) independent standard normal variables
y, L        scores y = L z with the correlation L L' of the inputs
phi, f_k    standard normal density, density of input k
g           limit state, fails where g < 0
a           dg/dz

    dx_k/dy_k = phi(y_k) / f_k(x_k)                                                           (1)
    a         = L' (dx/dy dg/dx)                                                              (2)

Slopes of the inputs are known by their densities and take no runs.
"""

import math
from collections.abc import Generator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import real_numbers
from uq.inputs import Inputs, checked_points

Array = NDArray[np.float64]
Answer = tuple[ArrayLike, ArrayLike]

_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)
_FARTHEST = 1e9  # a tangent that is zero only beyond shows nothing


class Run(NamedTuple):
    """A point with the limit state and its gradient, both NaN where the run failed.

    Parameters
    ----------
    z
        (d,).
    value
        g.
    gradient
        (d,) a.
    """

    z: Array
    value: float
    gradient: Array

    @property
    def slope(self) -> float:
        """|a|."""
        return math.hypot(*self.gradient.tolist())  # for any unit of g, also 1e200

    @property
    def is_usable(self) -> bool:
        """Whether the run succeeded and shows where the surface may lie."""
        # NaN passes no comparison.
        return 0.0 < self.slope < math.inf and abs(self.value) < _FARTHEST * self.slope

    @property
    def distance(self) -> float:
        """|g| / |a|, how far the surface is by the tangent."""
        return abs(self.value) / self.slope

    @property
    def tangent(self) -> tuple[Array, float]:
        """Unit vector n (d,) and number b: the tangent of g is below zero where n.z < b."""
        normal = self.gradient / self.slope
        return normal, float(normal @ self.z) - self.value / self.slope


def normal_gradients(inputs: Inputs, z: ArrayLike, gradients: ArrayLike) -> Array:
    """Gradients in standard normal space.

    Parameters
    ----------
    inputs
        Law of the inputs.
    z
        (m, d) points in standard normal space.
    gradients
        (m, d) gradients of a function of the inputs x at ``inputs.from_normal(z)``.

    Returns
    -------
    (m, d) gradients in z. An input at the end of its support has no slope left.

    Raises
    ------
    TypeError, ValueError
        If the points or the gradients are no (m, d) numbers.
    """
    points = checked_points(z, inputs.dimension, "z")
    given = checked_points(gradients, inputs.dimension, "gradients")
    root = None if inputs.is_independent else np.linalg.cholesky(inputs.correlation)
    y = points if root is None else points @ root.T
    x = inputs.from_scores(y)
    slopes = np.empty_like(y)
    with np.errstate(all="ignore"):
        for k, law in enumerate(inputs.marginals):
            log_slope = -0.5 * y[:, k] ** 2 - _LOG_ROOT_2PI - law.log_density(x[:, k])
            slopes[:, k] = np.exp(log_slope)  # (1)
        slopes[~np.isfinite(slopes)] = 0.0
        in_scores = slopes * given
        in_z: Array = in_scores if root is None else in_scores @ root  # (2)
    return in_z


def run_at(inputs: Inputs, z: Array) -> Generator[Array, Answer, Run]:
    """One run at z (d,), which is yielded as (1, d).

    Raises
    ------
    TypeError, ValueError
        If what is sent back is no pair of values (1,) and of gradients (1, d) in the inputs.
    """
    answer = yield z[None, :].copy()
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise TypeError(
            "Send back a pair (values, gradients) for the points that were yielded, but got "
            f"{type(answer).__name__}."
        )
    values = real_numbers(answer[0], "values")
    gradients = real_numbers(answer[1], "gradients")
    d = inputs.dimension
    if values.shape != (1,):
        raise ValueError(
            f"`values` for 1 point must have the shape (1,), but has the shape {values.shape}."
        )
    if gradients.shape != (1, d):
        advice = "one row for each point, one column for each input"
        if gradients.shape == (d, 1):
            advice = "it looks transposed: send gradients.T"
        elif gradients.shape == (d,):
            advice = "a single gradient is gradients[None, :]"
        raise ValueError(
            f"`gradients` for 1 point must have the shape (1, {d}), but has the shape "
            f"{gradients.shape}; {advice}."
        )
    return Run(z, float(values[0]), normal_gradients(inputs, z[None, :], gradients)[0])
