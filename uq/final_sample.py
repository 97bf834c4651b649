"""From the final sample to estimates: candidates of control variates, and the choice among them.

Notation
--------
n, J, L     final sample, quantities, laws (L = 1 or J)
W, T        (n, L) likelihood ratios f / g; (n, J) W phi
omega_i     sum_j w_j W_ij^2, weights of the least-squares fits: what the residual will count
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uq import control_variates
from uq.control_variates import Candidate
from uq.coordinates import Coordinates
from uq.joint_laws import Law
from uq.known_means import function_means, polynomial_means
from uq.polynomials import basis, index_set
from uq.proposals import Density, Gaussian, Mixture, log_densities
from uq.surrogates import CrossFit, check_size, offered_sizes

Array = NDArray[np.float64]
Surrogate = Callable[[Array], ArrayLike] | str | None

_LEAST_SHARE = 0.02  # of a component whose ratio serves as a control variate
_LEAST_GUARD = 0.1  # of a component that stands for the width of all
_DEGREE = 40
_ROWS = 2048
_LEAST_FOLD = 16  # points of a fold
_FEW_VALUES = 32  # of an output: it is taken to be a function with jumps
_LARGEST_MEAN = 1e100  # beyond it a law has no such moment, or none that could be used


@dataclass(frozen=True)
class FinalSample:
    """The final sample and where it came from.

    Parameters
    ----------
    x, z
        (n, d) points, and in the coordinates of the search.
    Y
        (n, 1 or J) values, less their atoms; 0 where a run failed.
    ok
        (n,) whether a run gave values.
    log_jacobian
        (n,) log |dx / dz|.
    log_f
        (n, L) log densities of the laws in z.
    log_g
        (n,) of the density drawn from, in z.
    folds
        (n,) labels.
    independent
        Whether points of one fold are independent draws.
    """

    x: Array
    z: Array
    Y: Array
    ok: NDArray[np.bool_]
    log_jacobian: Array
    log_f: Array
    log_g: Array
    folds: NDArray[np.int64]
    independent: bool

    @property
    def W(self) -> Array:
        """(n, L) likelihood ratios."""
        return np.exp(self.log_f - self.log_g[:, None])


def estimate(
    sample: FinalSample,
    laws: Sequence[Law],
    coordinates: Coordinates,
    density: Density,
    ratio_densities: Sequence[Gaussian],
    weights: Array,
    surrogate: Surrogate,
    rng: np.random.Generator,
) -> tuple[Candidate, NDArray[np.int64], list[str]]:
    """Contributions of the final sample with the control variates that win.

    Parameters
    ----------
    sample
        Final sample.
    laws, coordinates
        What the expectations are under, and z.
    density
        What was drawn from.
    ratio_densities
        g_j of the own control variates, J or none.
    weights
        (J,) of the quantities.
    surrogate
        "polynomial" or "auto", a cheap model (n, d) -> (n, 1 or J) of x, or None.
    rng
        For cheap points.

    Returns
    -------
    chosen, index, names
        The composed candidate, (J,) which one each quantity took, and all names.
    """
    W, T = sample.W, sample.W * sample.Y
    if not sample.ok.all():  # what is known of h and of densities is known of all inputs
        ratio = np.broadcast_to(W * sample.ok[:, None], T.shape)
        one = control_variates.conditional(T, ratio)
        return one, np.zeros(T.shape[1], dtype=np.int64), [one.name]
    candidates = [control_variates.without(T)]
    if len(T) < _LEAST_FOLD * (int(sample.folds.max()) + 1):  # too few for a choice by variances
        if len(laws) > 1:
            candidates = [control_variates.constant(T, W, sample.folds)]
        return candidates[0], np.zeros(T.shape[1], dtype=np.int64), [candidates[0].name]
    if np.ptp(sample.log_f - sample.log_g[:, None]) > 1e-9:
        candidates.append(control_variates.constant(T, W, sample.folds))
    ratios = _ratios(sample, W, density, ratio_densities, T.shape[1])
    if ratios is not None:
        candidates.append(control_variates.density_ratios(T, ratios, sample.folds))
    if callable(surrogate):
        candidates.append(_cheap_model(sample, W, laws, surrogate, rng))
    elif surrogate is not None:
        candidates += _polynomials(sample, W, laws, coordinates, weights, rng)
    chosen, index = control_variates.choose(candidates, weights, sample.folds, sample.independent)
    if not sample.independent:
        chosen = _with_jumps(chosen, sample)
    return chosen, index, [one.name for one in candidates]


def _with_jumps(chosen: Candidate, sample: FinalSample) -> Candidate:
    """The error of nets on values that jump, where the folds happen to agree.

    A net leaves one jump undecided in each coordinate: a uniform part of one point's share.
    """
    n_folds = int(sample.folds.max()) + 1
    jump = np.ptp(chosen.contributions, axis=0) * n_folds / len(sample.x)
    discrete = np.array([len(np.unique(column)) <= _FEW_VALUES for column in sample.Y.T])
    least = np.where(discrete, np.square(jump) / (12 * n_folds), 0.0)
    spread = control_variates.variances(chosen, sample.folds, False)
    return replace(chosen, known_variance=chosen.known_variance + np.maximum(least - spread, 0.0))


def _ratios(
    sample: FinalSample,
    W: Array,
    density: Density,
    ratio_densities: Sequence[Gaussian],
    n_quantities: int,
) -> Array | None:
    """(n, J, k) density ratios: the law's, the quantity's own, those of the larger components."""
    n = len(W)
    columns = [np.broadcast_to(W, (n, n_quantities))]
    widest = _widest(density)
    if ratio_densities and widest is not None:
        tamed = [_no_wider(one, widest) for one in ratio_densities]
        columns.append(np.exp(log_densities(tamed, sample.z) - sample.log_g[:, None]))
    if isinstance(density, Mixture):
        logs = density.component_log_densities(sample.z) - sample.log_g[:, None]
        large = np.flatnonzero(density.shares >= _LEAST_SHARE)[:-1]  # all together sum to one
        columns += [np.broadcast_to(np.exp(logs[:, [k]]), (n, n_quantities)) for k in large]
    constant = len(columns) == 1
    return None if constant else np.stack(columns, axis=2)


def _widest(density: Density) -> Gaussian | None:
    """The Gaussian of the largest determinant that has a fair share in the density."""
    if isinstance(density, Gaussian):
        return density
    if not isinstance(density, Mixture):
        return None
    parts = [
        part
        for part, share in zip(density.components, density.shares, strict=True)
        if isinstance(part, Gaussian) and share >= _LEAST_GUARD
    ]
    return min(parts, key=lambda part: part.log_scale, default=None)


def _no_wider(one: Gaussian, than: Gaussian) -> Gaussian:
    """With a covariance of at most that of another one in every direction.

    Where g_j is wider than what is drawn from, g_j / g has no variance: its sample means lie
    below 1 all but always, and as a control variate it is worse than none.
    """
    white = than.inverse_factor @ one.covariance @ than.inverse_factor.T
    values, vectors = np.linalg.eigh((white + white.T) / 2.0)
    if values[-1] <= 1.0:
        return one
    root = than.factor @ vectors
    return Gaussian(one.mean, (root * np.minimum(values, 1.0)) @ root.T)


def _polynomials(
    sample: FinalSample,
    W: Array,
    laws: Sequence[Law],
    coordinates: Coordinates,
    weights: Array,
    rng: np.random.Generator,
) -> list[Candidate]:
    """Polynomials of several sizes; a last one only checks the one before it."""
    n, d = sample.z.shape
    sizes = offered_sizes(n, d)
    check = check_size(n, d, sizes)
    sizes = sizes[1:] if check is None else (*sizes[1:], check)  # the first one is the constant
    if not sizes:
        return []
    indices = index_set(d, sizes[-1], _DEGREE)
    omega = np.square(W) @ (weights if W.shape[1] > 1 else np.ones(1))
    omega = omega / omega.max() if omega.max() > 0.0 else np.ones(n)
    fit = CrossFit(
        sample.z, sample.Y, omega, sample.folds, indices, coordinates.bounded_columns, sizes
    )
    known = polynomial_means(coordinates, laws, indices, rng)
    seen = _seen_means(sample.z, W, indices, coordinates.bounded_columns)
    candidates = []
    for size in sizes:
        if not (np.abs(known.means[:, :size]) < _LARGEST_MEAN).all():
            break
        coefficients = fit.coefficients(size)  # (R, K, 1 or J)
        means = _under_laws(known.means[:, :size], coefficients)
        unseen = means - _under_laws(seen[:, :size], coefficients)
        variance = known.variance(coefficients.mean(axis=0))
        candidates.append(
            control_variates.surrogate(
                f"polynomial of {size} terms",
                sample.Y, W, fit.predictions(size), means, unseen, variance, sample.folds,
            )
        )  # fmt: skip
    return control_variates.checked_by_the_next(candidates, sample.folds)


def _under_laws(means: Array, coefficients: Array) -> Array:
    """(R, J) sum_k M_lk c_rkj for means (L, K) and coefficients (R, K, 1 or J)."""
    if len(means) == 1:
        one: Array = np.einsum("k,rkj->rj", means[0], coefficients)
        return one
    per_law = np.broadcast_to(coefficients, (*coefficients.shape[:2], len(means)))
    each: Array = np.einsum("lk,rkl->rl", means, per_law, optimize=True)
    return each


def _seen_means(
    z: Array, W: Array, indices: NDArray[np.int64], bounded: NDArray[np.bool_]
) -> Array:
    """(L, K) means of W psi_k over the sample."""
    total = np.zeros((W.shape[1], len(indices)))
    for first in range(0, len(z), _ROWS):
        rows = slice(first, first + _ROWS)
        total += W[rows].T @ basis(z[rows], indices, bounded)
    return total / len(z)


def _cheap_model(
    sample: FinalSample,
    W: Array,
    laws: Sequence[Law],
    model: Callable[[Array], ArrayLike],
    rng: np.random.Generator,
) -> Candidate:
    """The user's cheap model, its coefficient fitted on the other folds."""
    n_outputs = sample.Y.shape[1]

    def h(x: Array) -> Array:
        values = checked_surrogate(model, x)
        if values.shape[1] not in (1, n_outputs):
            raise ValueError(
                f"`surrogate` must return 1 or {n_outputs} outputs, but got {values.shape[1]}."
            )
        return values

    values = h(sample.x.copy())
    means, variances = function_means(h, laws, rng)  # (L, 1 or J)
    if len(laws) > 1 and values.shape[1] > 1:
        means, variances = np.diagonal(means), np.diagonal(variances)
    T = W * sample.Y
    J = T.shape[1]
    mean, variance = (np.broadcast_to(one.reshape(-1), (J,)) for one in (means, variances))
    H, ratio = np.broadcast_to(W * values, T.shape), np.broadcast_to(W, T.shape)
    slope = control_variates.slopes(T, H, ratio, sample.folds)  # (R, J)
    return Candidate(
        "your cheap model",
        T - slope[sample.folds] * (H - mean),
        variance * np.square(slope.mean(axis=0)),
        np.abs(T).mean(axis=0) + np.abs(H).mean(axis=0),
        "surrogate",
    )


def checked_surrogate(model: Callable[[Array], ArrayLike], x: Array) -> Array:
    """(len(x), k) values of a user's cheap model; raises ValueError unless they can be used."""
    values = np.asarray(model(x), dtype=float)
    if values.ndim not in (1, 2) or len(values) != len(x):
        raise ValueError(
            f"`surrogate` must return values of the shape ({len(x)},) or ({len(x)}, J) for "
            f"{len(x)} points, but got the shape {values.shape}."
        )
    values = values[:, None] if values.ndim == 1 else values
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"`surrogate` must return finite values, but got {values[np.argmin(finite)]} at "
            f"{x[np.argmin(finite)]}; what is not known there may be any number."
        )
    return values
