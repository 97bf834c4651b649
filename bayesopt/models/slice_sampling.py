"""Slice sampling: draws from any density that can be evaluated, up to a constant.

Notation
--------
C, p    number of chains, of variables
x       (C, p) where the chains stand
y       (C,) logarithm of the height of the slice: log density(x) - Exp(1)
l, r    (C,) ends of the interval around x_j
w       (p,) widths: the length of a first interval

One variable x_j after the other is drawn from the slice {x_j : log density > y}: an interval of
length w_j, placed at random around x_j, steps out until both ends lie outside of the slice, and a
uniform point of it is drawn until one lies inside; each one outside becomes an end of the interval
(Neal 2003, Figs. 3 and 5). That leaves the density invariant whatever the widths are, as long as
they do not depend on where the chains have been; so they are adapted during burn-in only.

All chains advance together, and one call of the density evaluates both ends of all intervals and a
first point of each, which counts if the ends turn out to lie outside: a Gaussian process with 24
hyperparameter vectors costs little more than with one.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bayesopt.parameter import Array

LogDensity = Callable[[Array], Array]

_MAX_STEPS = 1000  # to each side; no density with a finite integral comes near it
_WIDTH = 2.0
_NARROWEST = 1e-12  # an interval shrunk to this share of its width holds nothing but x itself


def slice_sample(
    log_density: LogDensity,
    start: Array,
    width: Array | float,
    rng: np.random.Generator,
    *,
    n_samples: int,
    burn_in: int,
    thinning: int = 1,
) -> Array:
    """Draw from a density.

    Parameters
    ----------
    log_density
        Maps (m, p) to (m,), for any m; minus infinity outside of the support.
    start
        (C, p) where the C chains begin; the density must be positive there.
    width
        Typical spread of every variable, (p,) or one for all; right within a factor of ten is
        enough.
    rng
        Source of all randomness.
    n_samples
        Draws of every chain.
    burn_in
        Rounds over all variables that are thrown away first, and adapt the widths.
    thinning
        Rounds from one draw to the next.

    Returns
    -------
    (n_samples, C, p) draws.

    Raises
    ------
    ValueError
        If a chain begins where the density is zero or not a number.
    """
    x = np.array(start, dtype=np.float64)
    w = np.broadcast_to(np.asarray(width, dtype=np.float64), x.shape[1:]).copy()
    value = log_density(x)
    if not (np.isfinite(value)).all():
        raise ValueError(f"Every chain must begin where the density is positive, not at {value}.")
    for _ in range(burn_in):
        for j in range(len(w)):
            value, length = _update(log_density, x, value, j, w[j], rng)
            # On average an interval is longer than the slice by w. A first one of about twice
            # the slice seldom needs to step out, and its first point is often good.
            of_slice = float(length.mean()) - w[j]
            w[j] = 0.5 * w[j] + 0.5 * max(_WIDTH * of_slice, 0.25 * w[j])
    draws = np.empty((n_samples, *x.shape))
    for i in range(n_samples):
        for _ in range(thinning):
            for j in range(len(w)):
                value, _ = _update(log_density, x, value, j, w[j], rng)
        draws[i] = x
    return draws


def _update(
    log_density: LogDensity, x: Array, value: Array, j: int, w: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw variable j of every chain anew, in place; values there, and lengths of the intervals."""
    C = len(x)
    level = value - rng.standard_exponential(C)

    def at(points: Array, which: NDArray[np.int64]) -> Array:
        moved = x[which]
        moved[:, j] = points
        return log_density(moved)

    everyone = np.arange(C)
    left = x[:, j] - w * rng.random(C)
    right = left + w
    candidate = left + w * rng.random(C)
    first = at(np.concatenate((left, right, candidate)), np.tile(everyone, 3))
    go_left, go_right = first[:C] > level, first[C : 2 * C] > level
    stepped = go_left | go_right
    _step_out(at, left, right, go_left, go_right, level, w)
    length = right - left

    new, new_value = x[:, j].copy(), value.copy()
    candidate_value = np.where(stepped, -np.inf, first[2 * C :])
    # Where the interval has grown the first candidate was not a uniform point of it.
    fresh = everyone[stepped]
    todo = everyone[~stepped]
    while True:
        inside = candidate_value[todo] > level[todo]
        new[todo[inside]] = candidate[todo[inside]]
        new_value[todo[inside]] = candidate_value[todo[inside]]
        outside = todo[~inside]
        below = candidate[outside] < x[outside, j]
        left[outside[below]] = candidate[outside[below]]
        right[outside[~below]] = candidate[outside[~below]]
        # Rounding may leave nothing of the slice but x itself.
        outside = outside[right[outside] - left[outside] > _NARROWEST * w]
        todo = np.sort(np.concatenate((outside, fresh)))
        fresh = fresh[:0]
        if len(todo) == 0:
            break
        candidate[todo] = left[todo] + (right - left)[todo] * rng.random(len(todo))
        candidate_value[todo] = at(candidate[todo], todo)
    x[:, j] = new
    return new_value, length


def _step_out(
    at: Callable[[Array, NDArray[np.int64]], Array],
    left: Array,
    right: Array,
    go_left: NDArray[np.bool_],
    go_right: NDArray[np.bool_],
    level: Array,
    w: float,
) -> None:
    """Move the ends outwards by w, in place, until they lie outside of the slice."""
    for _ in range(_MAX_STEPS):
        to_left, to_right = np.flatnonzero(go_left), np.flatnonzero(go_right)
        if len(to_left) + len(to_right) == 0:
            return
        left[to_left] -= w
        right[to_right] += w
        which = np.concatenate((to_left, to_right))
        inside = at(np.concatenate((left[to_left], right[to_right])), which) > level[which]
        go_left[to_left] = inside[: len(to_left)]
        go_right[to_right] = inside[len(to_left) :]
