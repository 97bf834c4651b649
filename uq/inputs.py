"""Random inputs of a model: named marginal laws with a Gaussian copula.

Notation
--------
n, d        points, inputs
x           (n, d) inputs, column k with the law F_k, density f_k
y           (n, d) normal scores, Phi(y_k) = F_k(x_k);     y ~ N(0, R)
R           (d, d) correlation of the scores, R = L L'
z           (n, d) independent standard normal variables, y = L z

    log f(x) = sum_k log f_k(x_k) - log|R| / 2 - (|z|^2 - |y|^2) / 2       Gaussian copula
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from bayesopt.arguments import check_name, finite_number, real_numbers, whole_number
from uq.marginal_sources import marginal_of
from uq.marginals import Marginal
from uq.nataf import score_correlation

Array = NDArray[np.float64]
Seed = int | np.random.Generator | None


def checked_points(x: ArrayLike, dimension: int, name: str = "x") -> Array:
    """Return `x` as (n, dimension) floats; raises TypeError or ValueError by `name`."""
    points = real_numbers(x, name)
    if points.ndim == 2 and points.shape[1] == dimension:
        return points
    advice = "one row for each point, one column for each input"
    if points.ndim == 2 and points.shape[0] == dimension:
        advice = f"it looks transposed: give {name}.T"
    elif points.ndim == 1 and len(points) == dimension:
        advice = f"a single point is {name}[None, :]"
    elif points.ndim == 1 and dimension == 1:
        advice = f"values of a single input are {name}[:, None]"
    raise ValueError(f"`{name}` has the shape {points.shape}, not (n, {dimension}); {advice}.")


class Inputs:
    """Named inputs, each with a law of its own, dependent by a Gaussian copula.

    Parameters
    ----------
    marginals
        Mapping of names to laws, or a list of laws that get the names x1, x2, ... A law is a
        frozen one of scipy.stats, one of SciPy's new kind, of torch.distributions or of OpenTURNS.
    correlation
        None (independent), a (d, d) matrix, or a mapping of pairs of names to numbers, such as
        ``{("w", "t"): -0.35}``; pairs left out are uncorrelated.
    correlation_of
        Whether `correlation` is that of the normal "scores" Phi^-1(F(x)), or of the "values" x
        themselves (Pearson), from which that of the scores is found by Nataf's equation.

    Raises
    ------
    TypeError, ValueError
        When a law is not known, discrete or of several variables; when the correlation has the
        wrong shape, unknown names, is not symmetric and positive definite with a diagonal of
        ones, or cannot be reached by these laws.

    Attributes
    ----------
    names
        Names of the inputs, in the order of the columns.
    dimension
        Number d of inputs.
    marginals
        The laws, as `uq.marginals.Marginal`.
    correlation
        (d, d) correlation of the normal scores.
    is_independent
        Whether all the correlations are zero.
    """

    def __init__(
        self,
        marginals: Mapping[str, Any] | Sequence[Any],
        correlation: ArrayLike | Mapping[tuple[str, str], float] | None = None,
        *,
        correlation_of: str = "scores",
    ) -> None:
        check_name("correlation_of", correlation_of, ("scores", "values"))
        named = _named(marginals)
        self.names: tuple[str, ...] = tuple(named)
        self.dimension = len(named)
        self.marginals: tuple[Marginal, ...] = tuple(
            marginal_of(law, name) for name, law in named.items()
        )
        matrix = _correlation_matrix(correlation, self.names)
        if correlation_of == "values":
            matrix = _scores_of_values(matrix, self.marginals, self.names)
        self.correlation: Array = matrix
        self._root = _cholesky(matrix, correlation_of)
        self.correlation.setflags(write=False)
        self.is_independent = bool(np.array_equal(matrix, np.eye(self.dimension)))

    def sample(self, n: int, rng: Seed = None) -> Array:
        """Draw (n, d) points.

        Parameters
        ----------
        n
            Number of points.
        rng
            Seed or NumPy generator.
        """
        n = whole_number(n, "n", 0)
        return self.from_normal(np.random.default_rng(rng).standard_normal((n, self.dimension)))

    def log_density(self, x: ArrayLike) -> Array:
        """Logarithm (n,) of the joint density at (n, d) points; -inf outside the support."""
        points = checked_points(x, self.dimension)
        value = np.zeros(len(points))
        for k, marginal in enumerate(self.marginals):
            value += marginal.log_density(points[:, k])
        if self.is_independent:
            return value
        inside = np.isfinite(value)
        y = self.to_scores(points[inside])
        known = np.isfinite(y).all(axis=1)  # an end of the support has no finite score
        z = self._whiten(y[known])
        copula = np.full(len(y), -np.inf)
        log_volume = float(np.log(np.diag(self._root)).sum())
        copula[known] = -log_volume - 0.5 * np.sum((z - y[known]) * (z + y[known]), axis=1)
        value[inside] += copula
        return value

    def to_scores(self, x: ArrayLike) -> Array:
        """Correlated normal scores (n, d) of (n, d) points."""
        points = checked_points(x, self.dimension)
        columns = [law.to_score(points[:, k]) for k, law in enumerate(self.marginals)]
        return np.stack(columns, axis=1)

    def from_scores(self, y: ArrayLike) -> Array:
        """Points (n, d) of the correlated normal scores `y`."""
        scores = checked_points(y, self.dimension, "y")
        columns = [law.from_score(scores[:, k]) for k, law in enumerate(self.marginals)]
        return np.stack(columns, axis=1)

    def to_normal(self, x: ArrayLike) -> Array:
        """Independent standard normal variables (n, d) of (n, d) points.

        Raises
        ------
        ValueError
            When the inputs are dependent and a point lies outside the support.
        """
        y = self.to_scores(x)
        if self.is_independent:
            return y
        if not np.isfinite(y).all():
            row = int(np.argmin(np.isfinite(y).all(axis=1)))
            raise ValueError(
                f"Row {row} of `x` is not inside the support of the inputs: "
                f"{dict(zip(self.names, np.asarray(x)[row].tolist(), strict=True))}."
            )
        return self._whiten(y)

    def from_normal(self, z: ArrayLike) -> Array:
        """Points (n, d) of independent standard normal variables `z`."""
        normal = checked_points(z, self.dimension, "z")
        return self.from_scores(normal if self.is_independent else normal @ self._root.T)

    def _whiten(self, y: Array) -> Array:
        whitened: Array = solve_triangular(self._root, y.T, lower=True).T
        return whitened

    @property
    def mean(self) -> Array:
        """Means (d,)."""
        return np.array([law.mean for law in self.marginals])

    @property
    def sd(self) -> Array:
        """Standard deviations (d,)."""
        return np.array([law.sd for law in self.marginals])

    def __repr__(self) -> str:
        laws = ", ".join(
            f"{name}: {law.mean:.4g} +- {law.sd:.3g}"
            for name, law in zip(self.names, self.marginals, strict=True)
        )
        return f"Inputs({laws}{'' if self.is_independent else '; correlated'})"


def _named(marginals: object) -> dict[str, Any]:
    """Names and laws; raises TypeError or ValueError."""
    if isinstance(marginals, Mapping):
        named = dict(marginals)
    elif isinstance(marginals, Sequence) and not isinstance(marginals, str):
        named = {f"x{k + 1}": law for k, law in enumerate(marginals)}
    else:
        raise TypeError(
            "`marginals` must map names to laws, such as {'F': stats.norm(0, 1)}, or list laws, "
            f"but got {marginals!r}."
        )
    if not named:
        raise ValueError("`marginals` is empty; give at least one law.")
    for name in named:
        if not isinstance(name, str) or not name:
            raise TypeError(f"The names of inputs are strings, but got {name!r}.")
    return named


def _correlation_matrix(correlation: Any, names: tuple[str, ...]) -> Array:
    """(d, d) matrix out of None, a matrix or a mapping of pairs; raises by what is wrong."""
    d = len(names)
    if correlation is None:
        return np.eye(d)
    matrix = (
        _matrix_of_pairs(correlation, names)
        if isinstance(correlation, Mapping)
        else real_numbers(correlation, "correlation").copy()
    )
    if matrix.shape != (d, d):
        raise ValueError(f"`correlation` has the shape {matrix.shape}, not ({d}, {d}).")
    if not np.isfinite(matrix).all():
        raise ValueError("`correlation` must be finite numbers, but has NaN or infinite ones.")
    if not np.allclose(np.diag(matrix), 1.0, rtol=0.0, atol=1e-12):
        raise ValueError(
            f"`correlation` must have a diagonal of ones, but got {np.diag(matrix).tolist()}; a "
            "covariance is divided by the standard deviations of its row and of its column."
        )
    gap = float(np.abs(matrix - matrix.T).max())
    if gap > 1e-10:
        raise ValueError(f"`correlation` must be symmetric, but differs by {gap:.3g} across.")
    matrix = 0.5 * (matrix + matrix.T)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _matrix_of_pairs(pairs: Mapping[Any, Any], names: tuple[str, ...]) -> Array:
    matrix = np.eye(len(names))
    seen: set[frozenset[str]] = set()
    for pair, value in pairs.items():
        if not isinstance(pair, tuple) or len(pair) != 2 or pair[0] == pair[1]:
            raise ValueError(f"`correlation` maps pairs of two names to numbers, but got {pair!r}.")
        for name in pair:
            check_name("input in `correlation`", name, names)
        if frozenset(pair) in seen:
            raise ValueError(f"`correlation` has the pair {pair!r} twice.")
        seen.add(frozenset(pair))
        i, j = names.index(pair[0]), names.index(pair[1])
        matrix[i, j] = matrix[j, i] = finite_number(value, f"The correlation of {pair!r}")
    return matrix


def _scores_of_values(matrix: Array, laws: tuple[Marginal, ...], names: tuple[str, ...]) -> Array:
    result = matrix.copy()
    for i, j in zip(*np.triu_indices(len(names), 1), strict=True):
        try:
            rho = score_correlation(laws[i], laws[j], float(matrix[i, j]))
        except ValueError as error:
            raise ValueError(
                f"The correlation {matrix[i, j]:g} of the values of '{names[i]}' and "
                f"'{names[j]}' cannot be had: {error}."
            ) from None
        result[i, j] = result[j, i] = rho
    return result


def _cholesky(matrix: Array, correlation_of: str) -> Array:
    smallest = float(np.linalg.eigvalsh(matrix)[0])
    if not smallest > len(matrix) * math.ulp(1.0):
        which = "`correlation`" if correlation_of == "scores" else "The correlation of the scores"
        raise ValueError(
            f"{which} must be positive definite, but its smallest eigenvalue is {smallest:.3g}; "
            "make the correlations smaller."
        )
    root: Array = np.linalg.cholesky(matrix).astype(np.float64, copy=False)
    return root
