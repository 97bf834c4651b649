"""A cheap model of one's own as control variate of the parts of a variance.

Notation
--------
g           the cheap model, g' = g less its mean
e           f - g
(P, Q)      a pair of blocks, N(f) its part of the variance, see `sobol_estimators`

    Cov(f_P, f_Q)           = N(g) + E[g'_P e_Q + e_P g'_Q] + Cov(e_P, e_Q)
    E[(f_P - f_Q)^2] / 2    = N(g) + E[(g_P - g_Q)(e_P - e_Q)] + E[(e_P - e_Q)^2] / 2
    Var f                   = Var g + 2 E[g' e] + Var e

g is scaled by the slope of f on it, fitted on the other folds of the design. N(g) comes from many
cheap runs of g on replicated designs; its error is counted.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import real_numbers
from uq.factors import Factor
from uq.inputs import Inputs
from uq.pick_freeze import SobolDesign, Targets, blocks_of
from uq.sampling import Folds
from uq.sobol_analysis import weights_of_pairs
from uq.variance_parts import Parts

Array = NDArray[np.float64]

_REPLICATES, _ROWS = 16, 4096  # of the designs of the cheap model


def cheap_model_parts(
    model: Callable[[Array], ArrayLike],
    inputs: Inputs,
    z: Array,
    values: Array,
    Y: Array,
    folds: NDArray[np.int64],
    W: Array,
    log_weights: Array | None,
    targets: Targets,
    factors: tuple[Factor, ...],
    seed: int,
) -> list[Parts]:
    """Control variates by a cheap model for each output.

    Parameters
    ----------
    model
        Points (n, d) to (n,) or (n, J), J as many as the outputs, or one.
    inputs
        Law of its points.
    z
        (n, n_blocks, d) normal variables behind the points of the design.
    values, Y
        (n, n_blocks, J) outputs, and the same shifted and scaled.
    folds
        (n,) labels of the rows.
    W, log_weights
        Weights of blocks (n, n_blocks), and logarithms of those of factors (n, 2, k) or None.
    targets, factors
        Of the design.
    seed
        For the cheap points.

    Raises
    ------
    TypeError, ValueError
        When the cheap model returns something else than finite numbers of these shapes.
    """
    n, n_blocks, d = z.shape
    scale, shift = _scales(values, Y)
    order = 1 if n_blocks == len(factors) + 2 else 2
    own = evaluated(model, inputs.from_normal(z.reshape(-1, d)), Y.shape[2])
    own = (own.reshape(n, n_blocks, -1) - shift) / scale
    replicates = Folds(_REPLICATES, _ROWS, "qmc")
    rng = np.random.default_rng([seed, 1])
    cheap = SobolDesign(
        inputs, factors, order, replicates.uniforms(2 * d, rng), replicates.labels, "qmc", False, 0
    )
    far = evaluated(model, cheap.points, Y.shape[2]).reshape(cheap.n, n_blocks, -1)
    far = (far - shift) / scale
    weights = np.ones((n, len(targets.total) + 1, targets.pairs.shape[1]))
    if log_weights is not None:
        weights = weights_of_pairs(log_weights, blocks_of(len(factors), order), targets)
    return [
        _of_output(own[..., j], far[..., j], Y[..., j], folds, W, weights, targets)
        for j in range(Y.shape[2])
    ]


def _scales(values: Array, Y: Array) -> tuple[Array, Array]:
    """What turned the values into Y: (values - shift) / scale, each (J,)."""
    scale = np.ptp(values, axis=(0, 1)) / np.ptp(Y, axis=(0, 1))
    return scale, values[0, 0] - scale * Y[0, 0]


def evaluated(model: Callable[[Array], ArrayLike], x: Array, n_outputs: int | None) -> Array:
    """(n, J) finite values of the cheap model; None takes as many outputs as it has.

    Raises
    ------
    TypeError, ValueError
        When it returns something else than finite numbers, one row a point.
    """
    values = real_numbers(model(x.copy()), "surrogate(x)")
    columns = values[:, None] if values.ndim == 1 else values
    n_outputs = n_outputs or (columns.shape[1] if columns.ndim == 2 else 1)
    if columns.shape not in ((len(x), 1), (len(x), n_outputs)):
        raise ValueError(
            f"`surrogate` must return ({len(x)},) or ({len(x)}, {n_outputs}) values for {len(x)} "
            f"points, but returned the shape {values.shape}."
        )
    if not np.isfinite(columns).all():
        raise ValueError("`surrogate` returned NaN or infinite values; it must be finite.")
    return np.broadcast_to(columns, (len(x), n_outputs))


def _of_output(
    own: Array,
    far: Array,
    y: Array,
    folds: NDArray[np.int64],
    W: Array,
    pair_weights: Array,
    targets: Targets,
) -> Parts:
    mean = far.mean()
    slope = _slopes(own - mean, y, folds, W)
    g = slope[folds, None] * (own - mean)
    e = y - g
    known = _known(far - mean, targets).reshape(_REPLICATES, _ROWS, -1).mean(axis=1)
    one, other = targets.pairs[..., 0], targets.pairs[..., 1]
    cross = np.where(
        targets.total[:, None],
        (g[:, one] - g[:, other]) * (e[:, one] - e[:, other]),
        g[:, one] * e[:, other] + e[:, one] * g[:, other],
    )
    slopes = np.empty((len(y), len(targets.total) + 1))
    slopes[:, :-1] = (cross * pair_weights[:, :-1]).mean(axis=2)
    slopes[:, -1] = 2.0 * (W * g * e).mean(axis=1)
    hidden = (slope**2).mean() * (known - known.mean(axis=0)) / np.sqrt(_REPLICATES - 1.0)
    exact = np.outer(slope**2, known.mean(axis=0))
    return Parts("cheap model", e, exact, slopes, hidden, 0.0 * hidden, 0.0 * hidden[0])


def _slopes(g: Array, y: Array, folds: NDArray[np.int64], W: Array) -> Array:
    """(R,) slope of y on g without each fold."""
    above = np.bincount(folds, (W * g * y).sum(axis=1))
    below = np.bincount(folds, (W * g * g).sum(axis=1))
    above, below = above.sum() - above, below.sum() - below
    slopes: Array = above / np.where(below > 0.0, below, 1.0)
    return slopes


def _known(g: Array, targets: Targets) -> Array:
    """(n, T + 1) rows whose means are N(g) of every target, and Var g."""
    one, other = g[:, targets.pairs[..., 0]], g[:, targets.pairs[..., 1]]
    rows = np.where(targets.total[:, None], 0.5 * (one - other) ** 2, one * other).mean(axis=2)
    return np.concatenate([rows, np.square(g).mean(axis=1, keepdims=True)], axis=1)
