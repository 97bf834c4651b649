"""Densities that proposals are made of: each is evaluated, and driven by uniform numbers.

Notation
--------
z, d        points (n, d)
u           (n, n_uniforms) uniform numbers in (0, 1), pseudo-random or quasi-random
mu, C       mean and covariance of a Gaussian, location and scale matrix of a Student t
R           lower Cholesky factor, C = R R^T
nu          degrees of freedom
a_k, g_k    share and density of component k of a mixture,    g = sum_k a_k g_k

One column of `u` turns into one coordinate, so that a net in u stays one in the proposal. The first
column selects the component of a mixture: of a net every component gets its share of the points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv, gammaln, ndtri

Array = NDArray[np.float64]

_ROWS = 4096  # evaluated at once, so that what is in work stays in the processor's cache
_LEAST_UNIFORM, _LARGEST_UNIFORM = 2.0**-54, 1.0 - 2.0**-53


class Density(Protocol):
    """What a proposal has to offer; any object with these names is one."""

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""

    @property
    def n_uniforms(self) -> int:
        """Number of uniform numbers that one point takes."""

    def log_density(self, z: Array) -> Array:
        """Logarithm (n,) of the density at points (n, d)."""

    def transform(self, u: Array) -> Array:
        """Points (n, d) of the density from uniform numbers (n, n_uniforms)."""

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw points (n, d)."""


def log_sum_exp(a: Array) -> Array:
    """log sum_k exp(a_ik) of every row (n,); -inf where all of a row are."""
    largest = a.max(axis=1)
    finite = np.where(np.isfinite(largest), largest, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        logarithm: Array = finite + np.log(np.exp(a - finite[:, None]).sum(axis=1))
    return logarithm


def _normals(u: Array) -> Array:
    normals: Array = ndtri(np.clip(u, _LEAST_UNIFORM, _LARGEST_UNIFORM))
    return normals


def _location_and_scale(location: ArrayLike, scale: ArrayLike, name: str) -> tuple[Array, Array]:
    """Read-only copies (d,) and (d, d); raises ValueError unless `scale` is a covariance."""
    mu, matrix = np.array(location, dtype=np.float64), np.array(scale, dtype=np.float64)
    if mu.ndim != 1 or matrix.shape != (len(mu), len(mu)):
        raise ValueError(
            f"A density in d dimensions takes `mean` (d,) and `{name}` (d, d), but got the shapes "
            f"{mu.shape} and {matrix.shape}."
        )
    if not (np.isfinite(mu).all() and np.isfinite(matrix).all()):
        raise ValueError(f"`mean` and `{name}` must be finite, but got {mu} and {matrix}.")
    mu.flags.writeable = matrix.flags.writeable = False
    return mu, matrix


def _factor(matrix: Array, name: str) -> Array:
    try:
        factor = np.linalg.cholesky(matrix).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        raise ValueError(f"`{name}` must be positive definite, but got {matrix}.") from None
    return factor


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Normal density.

    Parameters
    ----------
    mean
        (d,).
    covariance
        (d, d), positive definite.

    Raises
    ------
    ValueError
        If the shapes do not fit or the covariance is not positive definite.
    """

    mean: Array
    covariance: Array
    factor: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mean, covariance = _location_and_scale(self.mean, self.covariance, "covariance")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "covariance", covariance)
        object.__setattr__(self, "factor", _factor(covariance, "covariance"))

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        return len(self.mean)

    @property
    def n_uniforms(self) -> int:
        """One uniform number for each coordinate."""
        return len(self.mean)

    @cached_property
    def inverse_factor(self) -> Array:
        """R^-1, which turns points into standard normals."""
        return np.linalg.inv(self.factor).astype(np.float64, copy=False)

    @cached_property
    def log_scale(self) -> float:
        """Logarithm of the density at the mean."""
        log_determinant = float(np.log(np.diagonal(self.factor)).sum())
        return -log_determinant - 0.5 * self.dimension * math.log(2.0 * math.pi)

    def log_density(self, z: Array) -> Array:
        """Logarithm (n,) of the density at points (n, d)."""
        white = (z - self.mean) @ self.inverse_factor.T
        log_g: Array = self.log_scale - 0.5 * np.einsum("na,na->n", white, white)
        return log_g

    def transform(self, u: Array) -> Array:
        """Points mu + R Phi^-1(u) (n, d)."""
        z: Array = self.mean + _normals(u) @ self.factor.T
        return z

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw points (n, d)."""
        return self.transform(rng.random((n, self.n_uniforms)))


@dataclass(frozen=True, eq=False)
class StudentT:
    """Multivariate Student t: tails like |z|^-(nu + d).

    Parameters
    ----------
    mean
        (d,) location.
    scale
        (d, d) scale matrix, positive definite; the covariance is nu / (nu - 2) times as large.
    df
        Degrees of freedom nu > 0.
    """

    mean: Array
    scale: Array
    df: float
    factor: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mean, scale = _location_and_scale(self.mean, self.scale, "scale")
        if not (math.isfinite(self.df) and self.df > 0.0):
            raise ValueError(f"`df` must be finite and positive, but got {self.df!r}.")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "factor", _factor(scale, "scale"))

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        return len(self.mean)

    @property
    def n_uniforms(self) -> int:
        """One uniform number for each coordinate and one for the length."""
        return len(self.mean) + 1

    @cached_property
    def inverse_factor(self) -> Array:
        """R^-1."""
        return np.linalg.inv(self.factor).astype(np.float64, copy=False)

    @cached_property
    def log_scale(self) -> float:
        """Logarithm of the density at the location."""
        d, nu = self.dimension, self.df
        gammas = float(gammaln((nu + d) / 2.0) - gammaln(nu / 2.0))
        log_determinant = float(np.log(np.diagonal(self.factor)).sum())
        return gammas - 0.5 * d * math.log(nu * math.pi) - log_determinant

    def squared_distance(self, z: Array) -> Array:
        """(z - mu)^T C^-1 (z - mu) (n,)."""
        white = (z - self.mean) @ self.inverse_factor.T
        distance: Array = np.einsum("na,na->n", white, white)
        return distance

    def log_density(self, z: Array) -> Array:
        """Logarithm (n,) of the density at points (n, d)."""
        power = 0.5 * (self.df + self.dimension)
        return self.log_scale - power * np.log1p(self.squared_distance(z) / self.df)

    def transform(self, u: Array) -> Array:
        """Points (n, d): normals over sqrt(chi^2_nu / nu), whose number is the last column."""
        inside = np.clip(u[:, -1], _LEAST_UNIFORM, _LARGEST_UNIFORM)
        half_chi = np.maximum(gammaincinv(self.df / 2.0, inside), np.finfo(float).tiny)
        stretch = np.sqrt(0.5 * self.df / half_chi)
        z: Array = self.mean + stretch[:, None] * (_normals(u[:, :-1]) @ self.factor.T)
        return z

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw points (n, d)."""
        return self.transform(rng.random((n, self.n_uniforms)))


@dataclass(frozen=True, eq=False)
class Mixture:
    """sum_k a_k g_k.

    Parameters
    ----------
    shares
        (K,) numbers >= 0 that sum to one; a component with share 0 is never drawn.
    components
        K densities of one dimension.

    Raises
    ------
    ValueError
        If shares and components do not fit, or the shares are not on the simplex.
    """

    shares: Array
    components: tuple[Density, ...]

    def __post_init__(self) -> None:
        shares, components = np.array(self.shares, dtype=np.float64), tuple(self.components)
        if len(components) == 0 or shares.shape != (len(components),):
            raise ValueError(
                f"A mixture takes one share per component, at least one, but got "
                f"{len(components)} components and shares of the shape {shares.shape}."
            )
        if not (shares.min() >= 0.0 and abs(shares.sum() - 1.0) < 1e-6):
            raise ValueError(f"`shares` must be >= 0 and sum to one, but got {shares}.")
        if len({component.dimension for component in components}) > 1:
            raise ValueError("All components of a mixture must have the same dimension.")
        shares /= shares.sum()
        shares.flags.writeable = False
        object.__setattr__(self, "shares", shares)
        object.__setattr__(self, "components", components)

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        return self.components[0].dimension

    @property
    def n_uniforms(self) -> int:
        """What the component takes that takes most, and one that selects the component."""
        return 1 + max(component.n_uniforms for component in self.components)

    def component_log_densities(self, z: Array) -> Array:
        """Logarithms (n, K) of all g_k at points (n, d)."""
        return log_densities(self.components, z)

    def log_density(self, z: Array) -> Array:
        """Logarithm (n,) of the density at points (n, d)."""
        return self.log_density_of(self.component_log_densities(z))

    def log_density_of(self, component_log_densities: Array) -> Array:
        """Logarithm (n,) of the density from those of all components (n, K)."""
        drawn = self.shares > 0.0
        return log_sum_exp(component_log_densities[:, drawn] + np.log(self.shares[drawn]))

    def transform(self, u: Array) -> Array:
        """Points (n, d); the first column of `u` selects the component."""
        cumulated = np.cumsum(self.shares)
        cumulated /= cumulated[-1]
        inside = np.clip(u[:, 0], _LEAST_UNIFORM, _LARGEST_UNIFORM)
        selected = np.searchsorted(cumulated, inside, side="right")
        z = np.empty((len(u), self.dimension))
        for k, component in enumerate(self.components):
            rows = np.flatnonzero(selected == k)
            if len(rows) > 0:
                z[rows] = component.transform(u[rows, 1 : 1 + component.n_uniforms])
        return z

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw points (n, d), components at random."""
        return self.transform(rng.random((n, self.n_uniforms)))


def log_densities(components: Sequence[Density], z: Array) -> Array:
    """Logarithms (n, K) of K densities at points (n, d); fast for many Gaussians."""
    log_g = np.empty((len(z), len(components)))
    gaussian = [k for k, component in enumerate(components) if isinstance(component, Gaussian)]
    if gaussian:
        group = [component for component in components if isinstance(component, Gaussian)]
        by_group = log_g if len(gaussian) == len(components) else np.empty((len(z), len(gaussian)))
        _gaussian_log_densities(group, z, by_group)
        if by_group is not log_g:
            log_g[:, gaussian] = by_group
    for k in set(range(len(components))).difference(gaussian):
        log_g[:, k] = components[k].log_density(z)
    return log_g


def _gaussian_log_densities(components: Sequence[Gaussian], z: Array, out: Array) -> None:
    means = np.stack([component.mean for component in components])
    inverses = np.stack([component.inverse_factor for component in components])
    centre = means.mean(axis=0)  # what is far from 0 would lose digits
    whitened = np.einsum("kab,kb->ak", inverses, means - centre)
    log_scale = np.array([component.log_scale for component in components])
    for first in range(0, len(z), _ROWS):
        rows = z[first : first + _ROWS] - centre
        squared = np.zeros((len(rows), len(components)))
        for a in range(means.shape[1]):  # row a of R^-1 has a + 1 entries
            white = rows[:, : a + 1] @ inverses[:, a, : a + 1].T - whitened[a]
            squared += np.square(white, out=white)
        out[first : first + _ROWS] = log_scale - 0.5 * squared
