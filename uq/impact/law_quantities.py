"""Quantities of the output under many laws, from expectations of a few functions of it.

Notation
--------
y           output of the model
c, s        its centre and scale in the first runs: t = (y - c) / s
Q, K        quantities, laws
a, b        b_k = E_k[t], a_k = E_k[t^2]; C the covariance of the estimates under all laws

    mean                    c + s b_k
    variance                s^2 (a_k - b_k^2 + Var b_k)                                      (1)
    sd                      root of it
    failure probability     E_k[1{y > threshold}]
    quantile                of the weighted runs themselves (`weighted_quantiles`)

Errors of the second and third are those of their linearisation. Since c is near all the means,
nothing cancels; Var b_k takes the bias of b_k^2 away. The quantile is no expectation: what the
density is sought for in its place is P(y > q), q a quantile of the first runs. These lie wider than
the laws do, so that q leaves out more of them than the level says.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bayesopt.arguments import check_name, finite_number
from uq.estimates import Expectations
from uq.impact.compared_estimates import ComparedEstimates
from uq.impact.weighted_quantiles import quantiles_and_covariance

Array = NDArray[np.float64]
Quantity = Literal["mean", "variance", "sd", "quantile", "failure_probability"]
QUANTITIES: tuple[str, ...] = get_args(Quantity)
Covariances = Callable[[str, str], Array]

_FUNCTIONS = {
    "mean": ("t",),
    "variance": ("t", "t^2"),
    "sd": ("t", "t^2"),
    "quantile": ("y > q",),
    "failure_probability": ("y > threshold",),
}
_NEARER = 3.0  # q leaves out so many times the tail; 2 to 4 do for levels from 0.7 to 0.98
_BEYOND = 5  # of the first runs lie beyond q


@dataclass(frozen=True)
class Quantities:
    """What is asked of the output, and the functions of it whose expectations tell.

    Parameters
    ----------
    names
        Q of "mean", "variance", "sd", "quantile", "failure_probability".
    level
        Of the quantile, between 0 and 1.
    threshold
        The model fails where its output is larger.
    centre, scale
        c and s.
    first_quantile
        q.
    """

    names: tuple[str, ...]
    level: float = 0.95
    threshold: float = math.nan
    centre: float = 0.0
    scale: float = 1.0
    first_quantile: float = 0.0

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the functions, each once."""
        return tuple(dict.fromkeys(f for name in self.names for f in _FUNCTIONS[name]))

    def seen(self, y: Array) -> "Quantities":
        """The same, centred and scaled by first runs `y`, at least one and finite.

        Raises
        ------
        ValueError
            When squares of such outputs are no floating-point numbers.
        """
        centre = float(np.median(y))
        with np.errstate(over="ignore"):
            size = float(np.abs(y - centre).max())
        known = 0.0 < size < math.inf
        # A power of two: dividing by it rounds nothing.
        scale = math.ldexp(1.0, math.frexp(size)[1] - 1) if known else 1.0
        highest = 4 if {"variance", "sd"} & set(self.names) else 2  # a variance of a variance
        if "t" in self.functions and known and not -1000 < highest * math.log2(scale) < 1000:
            raise ValueError(
                f"The first outputs differ by about {size:.2g}, and powers of that are no "
                "floating-point numbers: let `func` return them in other units."
            )
        tail = _NEARER * min(self.level, 1.0 - self.level)
        tail = min(max(tail, _BEYOND / len(y)), 0.5)
        level = tail if self.level < 0.5 else 1.0 - tail
        return replace(
            self, centre=centre, scale=scale, first_quantile=float(np.quantile(y, level))
        )

    def of(self, y: Array) -> Array:
        """(n, F) the functions of outputs (n,); NaN where these are not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            t = (y - self.centre) / self.scale
            columns = {
                "t": t,
                "t^2": t * t,
                "y > q": (y > self.first_quantile).astype(np.float64),
                "y > threshold": (y > self.threshold).astype(np.float64),
            }
        values = np.stack([columns[name] for name in self.functions], axis=1)
        values[~np.isfinite(y)] = np.nan
        return values

    def estimates(self, r: Expectations, y: Array) -> list[ComparedEstimates]:
        """Each quantity under all laws.

        Parameters
        ----------
        r
            Expectations of all functions under all K laws, those of one function together;
            log weights (n, F K) or, of one function, (n, K).
        y
            (n,) outputs of its sample.
        """
        F = len(self.functions)
        K = len(r.estimate) // F
        mean = dict(zip(self.functions, r.estimate.reshape(F, K), strict=True))
        blocks = r.covariance.reshape(F, K, F, K)
        at = {name: k for k, name in enumerate(self.functions)}

        def cov(one: str, other: str) -> Array:
            block: Array = blocks[at[one], :, at[other], :]
            return block

        found = []
        for name in self.names:
            if name == "mean":
                values = self.centre + self.scale * mean["t"]
                one = ComparedEstimates(values, self.scale**2 * cov("t", "t"), r.n_free)
            elif name == "failure_probability":
                e = "y > threshold"
                one = ComparedEstimates(mean[e], cov(e, e), r.n_free)
            elif name == "quantile":
                one = self._quantile(y, r.log_weights[:, :K], r.folds)
            else:
                one = self._variance(mean["t"], mean["t^2"], cov, r.n_free)
                one = _root(one) if name == "sd" else one
            found.append(one)
        return found

    def _variance(self, b: Array, a: Array, cov: Covariances, n_free: float) -> ComparedEstimates:
        """Eq. (1), and its linearisation: t^2 - 2 b t."""
        own = cov("t", "t")
        values = a - b * b + np.nan_to_num(np.diagonal(own))  # (1)
        slope = -2.0 * b
        mixed = slope[:, None] * cov("t", "t^2")
        covariance = slope[:, None] * own * slope + mixed + mixed.T + cov("t^2", "t^2")
        return ComparedEstimates(self.scale**2 * values, self.scale**4 * covariance, n_free)

    def _quantile(
        self, y: Array, log_weights: Array, folds: NDArray[np.int64]
    ) -> ComparedEstimates:
        ok = np.isfinite(y)
        largest = log_weights.max(axis=0)
        largest = np.where(np.isfinite(largest), largest, 0.0)
        weights = np.exp(log_weights - largest)[ok]
        mass = None
        if ok.all():  # else the weights of what did not fail have no known sum
            with np.errstate(over="ignore"):
                mass = len(y) * np.exp(-largest)
        values, covariance = quantiles_and_covariance(y[ok], weights, self.level, folds[ok], mass)
        return ComparedEstimates(values, covariance, float(len(np.unique(folds[ok])) - 1))


def _root(variance: ComparedEstimates) -> ComparedEstimates:
    """Standard deviations; NaN where a variance is not positive."""
    positive = variance.values > 0.0
    sd = np.sqrt(np.where(positive, variance.values, np.nan))
    slope = 0.5 / sd
    return ComparedEstimates(sd, slope[:, None] * variance.covariance * slope, variance.n_free)


def checked_quantities(
    quantity: str | Sequence[str], level: float, threshold: float | None
) -> Quantities:
    """What is asked for; raises TypeError or ValueError."""
    also = "or a list of them"
    if isinstance(quantity, str):
        check_name("quantity", quantity, QUANTITIES, also)
        names: tuple[str, ...] = (quantity,)
    elif isinstance(quantity, Sequence):
        for name in quantity:
            check_name("quantity", name, QUANTITIES)
        names = tuple(quantity)
    else:
        check_name("quantity", quantity, QUANTITIES, also)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"`quantity` must name different quantities, but got {quantity!r}.")
    level = finite_number(level, "`level`")
    if not 0.0 < level < 1.0:
        raise ValueError(f"`level` of the quantile must lie between 0 and 1, but got {level!r}.")
    if "failure_probability" not in names:
        if threshold is not None:
            raise ValueError(
                f"`threshold` is that of 'failure_probability', but `quantity` is {quantity!r}."
            )
        return Quantities(names, level)
    if threshold is None:
        raise TypeError("'failure_probability' needs `threshold`: a run fails when y > threshold.")
    return Quantities(names, level, finite_number(threshold, "`threshold`"))
