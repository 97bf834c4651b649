"""Total-order indices from stars: variograms and covariograms along each input.

Notation
--------
n, k        centres, inputs
m           points of a cross section, h = 1 / m the lag between them in uniform scores
u_c         uniform scores of a centre
y_q         (m,) outputs of a cross section: one input at (u_c + q / m) mod 1, the others of u_c
mu          mean of a cross section

    gamma = mean of (y_{q+1} - y_q)^2 / 2                       variogram at lag h
    C     = mean of (y_{q+1} - mu)(y_q - mu)                    covariogram
    T_i   = E[gamma_i + C_i] / V                                                              (1)

over the pairs of neighbours of all cross sections of input i: Razavi & Gupta (2016), in the form
compared by Puy et al. (2022). A star costs k (m - 1) + 1 runs. V is the variance of all points of
the stars, each a draw from the input law.

The last point of a cross section and the first are a pair too: then both points of a pair have the
input's law, which Eq. (1) needs. Without this pair, as published, the ends count half, and at the
lag 0.1 indices of the Ishigami function are wrong by 0.05 however many the stars. On the circle
gamma + C is the variance in a cross section, of a grid with a random shift, so that the error comes
from the few centres. These are scrambled nets in independent folds, and the spread of the folds'
pseudo-values is the error of T_i (Tukey 1958).
"""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from bayesopt.arguments import check_name, whole_number
from uq.inputs import Inputs, Seed
from uq.model_runs import ModelRuns
from uq.pick_freeze import Factor, factors_of
from uq.sampling import Folds, Sampling, largest_folds
from uq.sobol_results import IndexEstimates, SobolIndices

Array = NDArray[np.float64]

_N_FOLDS = 8
_LEAST_CENTRES = 16
_END = 2.0**-53  # nearest score to 0 and to 1
_ROUNDING = 1e-13  # of the largest value: a spread that is none


def star_total_indices(
    runs: ModelRuns,
    inputs: Inputs,
    factors: Sequence[Factor] | None = None,
    *,
    n: int | None = None,
    budget: int | None = None,
    lag: float = 0.1,
    sampling: Sampling = "qmc",
    rng: Seed = None,
) -> SobolIndices:
    """Total-order indices by the estimator of Razavi & Gupta.

    Parameters
    ----------
    runs
        The model.
    inputs
        Independent inputs.
    factors
        Inputs that get indices, no groups; None: all of them.
    n
        Centres: a power of two, at least 16, for "qmc".
    budget
        Instead of it the most runs of the model.
    lag
        h, one over a whole number of at least 2.
    sampling
        "qmc": centres are scrambled nets in 7 to 13 folds; "mc": random numbers in 10.
    rng
        Seed or generator.

    Returns
    -------
    SobolIndices
        With total-order indices only. A star with a failed run is left out.

    Raises
    ------
    TypeError, ValueError
        When inputs are dependent, factors are groups, or a number is out of range.

    Warns
    -----
    UserWarning
        Once where stars have failed runs, and once where an output is constant.

    Notes
    -----
    With a fixed lag the estimate is not consistent: an index lacks the variance of the means of
    its cross sections. That is h^2 of the part of a linear input, 1 % of it at the lag 0.1.
    """
    chosen = _checked_factors(inputs, factors)
    m = _points_of_section(lag)
    cost = len(chosen) * (m - 1) + 1
    folds = _centres(n, budget, cost, sampling)
    u = folds.uniforms(inputs.dimension, np.random.default_rng(rng))
    scores, sections = _star(u, m, [factor.columns[0] for factor in chosen])
    points = inputs.from_normal(ndtri(scores.reshape(-1, inputs.dimension)))
    Y = runs(points).reshape(folds.n_points, cost, -1)
    kept = np.isfinite(Y).all(axis=(1, 2))
    labels = folds.labels[kept]
    if len(np.unique(labels)) < folds.n_folds:
        raise ValueError(
            f"Only {int(kept.sum())} of {folds.n_points} stars have no failed run, too few for an "
            "error: let the model return finite numbers more often, or ask for more stars."
        )
    Y = Y[kept]
    largest = np.abs(Y).max(axis=(0, 1))
    unit = Y / np.where(largest > 0.0, largest, 1.0)  # squares neither overflow nor vanish
    constant = np.ptp(unit, axis=(0, 1)) <= _ROUNDING
    centred = np.where(constant, 0.0, unit - unit.mean(axis=(0, 1)))
    estimate, error = _jackknife(_moments(centred, sections), labels)
    with np.errstate(over="ignore", under="ignore"):
        estimate[-1] *= np.square(largest)
    _warn(folds.n_points - len(Y), folds.n_points, constant)
    if Y.shape[2] == 1:
        estimate, error = estimate[:, 0], error[:, 0]
    failed = folds.n_points - len(Y)
    flags = (f"{failed} of {folds.n_points} stars have a failed run and were left out",)
    return SobolIndices(
        tuple(factor.name for factor in chosen),
        {"total_order": IndexEstimates(estimate[:-1], error[:-1], folds.n_folds - 1)},
        np.asarray(estimate[-1]),
        folds.n_points * cost,
        len(Y),
        f"Total-order indices by variograms and covariograms at the lag {1.0 / m:.3g} along "
        f"{len(chosen)} cross sections of {m} points from each of {len(Y)} centres.",
        flags if failed else (),
        method="star",
    )


def _warn(n_failed: int, n: int, constant: NDArray[np.bool_]) -> None:
    if n_failed:
        warnings.warn(
            f"{n_failed} of {n} stars have a failed run (NaN or infinite) and are left out.",
            stacklevel=4,
        )
    if constant.any():
        still = np.flatnonzero(constant)
        which = "The output" if len(constant) == 1 else f"Output {', '.join(map(str, still))}"
        warnings.warn(
            f"{which} is constant: it has no variance to share out, and its indices are given as "
            "0.",
            stacklevel=4,
        )


def _checked_factors(inputs: Inputs, factors: Sequence[Factor] | None) -> tuple[Factor, ...]:
    if not inputs.is_independent:
        raise ValueError(
            "The inputs are dependent, and a cross section moves one input alone; "
            "`uq.shapley_effects` takes dependent inputs."
        )
    chosen = tuple(factors or factors_of(inputs.names, None))
    for factor in chosen:
        if len(factor.columns) > 1:
            raise ValueError(
                f"A cross section moves one input, but {factor.name!r} is a group of "
                f"{len(factor.columns)}; a pick-freeze design takes groups."
            )
    return chosen


def _points_of_section(lag: float) -> int:
    m = round(1.0 / lag) if isinstance(lag, float) and 0.0 < lag <= 0.5 else 0
    if m < 2 or abs(m * lag - 1.0) > 1e-6:
        raise ValueError(
            f"`lag` must be one over a whole number of at least 2, such as 0.1, but got {lag!r}."
        )
    return m


def _centres(n: int | None, budget: int | None, cost: int, sampling: Sampling) -> Folds:
    check_name("sampling", sampling, ("qmc", "mc"))
    if (n is None) == (budget is None):
        raise TypeError("Give either `budget`, runs of the model, or `n`, centres of stars.")
    if budget is not None:
        budget = whole_number(budget, "budget", 1)
        if budget < _LEAST_CENTRES * cost:
            raise ValueError(
                f"`budget` must pay for {_LEAST_CENTRES} stars of {cost} runs, "
                f"{_LEAST_CENTRES * cost} in all, but got {budget}."
            )
        return largest_folds(budget // cost, sampling)
    n = whole_number(n, "n", _LEAST_CENTRES)
    if sampling == "mc":
        return largest_folds(n, sampling)
    if n & (n - 1):
        low = 1 << (n.bit_length() - 1)
        raise ValueError(
            f"`n` must be a power of two for scrambled nets, but got {n}; next to it are {low} and "
            f'{2 * low}. `budget` takes any number of runs, sampling="mc" any number of centres.'
        )
    return Folds(_N_FOLDS, n // _N_FOLDS, sampling)


def _star(u: Array, m: int, inputs: Sequence[int]) -> tuple[Array, NDArray[np.intp]]:
    """Scores (n, cost, d) of all stars, centre first, and (k, m) points of cross sections."""
    k = len(inputs)
    star = np.repeat(u[:, None], k * (m - 1) + 1, axis=1)
    sections = np.zeros((k, m), dtype=np.intp)
    for i, column in enumerate(inputs):
        sections[i, 1:] = 1 + i * (m - 1) + np.arange(m - 1)
        star[:, sections[i, 1:], column] = (u[:, [column]] + np.arange(1, m) / m) % 1.0
    return np.clip(star, _END, 1.0 - _END), sections


def _moments(Y: Array, sections: NDArray[np.intp]) -> Array:
    """(n, k + 2, J) of every star: gamma + C of each input, mean and mean square of its points."""
    each = Y[:, sections]  # (n, k, m, J)
    apart = each - each.mean(axis=2, keepdims=True)
    following = np.roll(apart, -1, axis=2)
    gamma = np.square(following - apart).mean(axis=2) / 2
    C = (following * apart).mean(axis=2)
    own = each.mean(axis=(1, 2)), np.square(each).mean(axis=(1, 2))
    return np.concatenate([gamma + C, np.stack(own, axis=1)], axis=1)


def _indices(moments: Array) -> Array:
    """(k + 1, J) Eq. (1), and V below it, of mean moments (k + 2, J)."""
    V = np.maximum(moments[-1] - np.square(moments[-2]), 0.0)
    T = np.where(V > 0.0, moments[:-2], 0.0) / np.where(V > 0.0, V, 1.0)  # (1)
    return np.concatenate([T, V[None]])


def _jackknife(moments: Array, labels: NDArray[np.int64]) -> tuple[Array, Array]:
    """Eq. (1) (k + 1, J) of all stars, and its standard errors by leaving out folds."""
    n_folds = int(labels.max()) + 1
    estimate = _indices(moments.mean(axis=0))
    left_out = np.stack([_indices(moments[labels != r].mean(axis=0)) for r in range(n_folds)])
    pseudo_values = n_folds * estimate - (n_folds - 1) * left_out
    return estimate, pseudo_values.std(axis=0, ddof=1) / np.sqrt(n_folds)
