"""A density that looks in all directions, at growing radii: it trusts nothing that was found.

Notation
--------
z, d        points (n, d)
rho         |z|, the radius of a point
r_k         radii that bound the shells,                    0 <= r_0 < r_1 < ... < r_K
a_k         share of shell k, the one from r_{k-1} to r_k,  sum_k a_k = 1
S_d         area of the unit sphere of R^d,                 2 pi^(d/2) / Gamma(d/2)
p_k         probability of a standard normal point farther out than r_k

    f(rho) = a_k / (r_k - r_{k-1})                          uniform in radius inside a shell
    log g(z) = log f(rho) - log S_d - (d - 1) log rho       the direction is uniform

The first column of `u` turns into the radius, the others into the direction, so that of a net every
shell gets its share of the points, and in every shell every orthant gets as many.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainccinv, gammaln, ndtri

from bayesopt.arguments import finite_number, whole_number

Array = NDArray[np.float64]

_NEAREST = 0.5  # p_0: half of the normal points lie nearer than the innermost shell
_DECADE = 0.1
_ROUNDING = 1e-12  # by so much of its length the radius of a point on the edge may be off
_LEAST_UNIFORM, _LARGEST_UNIFORM = 2.0**-54, 1.0 - 2.0**-53


@dataclass(frozen=True, eq=False)
class Shells:
    """Uniform direction, and a radius that is uniform inside each of K shells.

    Parameters
    ----------
    dimension
        Number of coordinates d.
    radii
        (K + 1,) r, rising; the innermost and the outermost belong to the shells.
    shares
        (K,) a, positive numbers that sum to one.

    Raises
    ------
    TypeError, ValueError
        If the dimension is no whole number >= 1, the radii do not rise from a number >= 0, or the
        shares do not fit to them.
    """

    dimension: int
    radii: Array
    shares: Array

    def __post_init__(self) -> None:
        dimension = whole_number(self.dimension, "dimension", 1)
        radii, shares = np.array(self.radii, float), np.array(self.shares, float)
        if radii.ndim != 1 or len(radii) < 2 or shares.shape != (len(radii) - 1,):
            raise ValueError(
                "K shells take K + 1 `radii` and K `shares`, at least one, but got the shapes "
                f"{radii.shape} and {shares.shape}."
            )
        if not (np.isfinite(radii).all() and radii[0] >= 0.0 and (np.diff(radii) > 0.0).all()):
            raise ValueError(f"`radii` must be finite and rise from a number >= 0, got {radii}.")
        if not (shares.min() > 0.0 and abs(shares.sum() - 1.0) < 1e-6):
            raise ValueError(f"`shares` must be positive and sum to one, but got {shares}.")
        shares /= shares.sum()
        radii.flags.writeable = shares.flags.writeable = False
        object.__setattr__(self, "dimension", dimension)
        object.__setattr__(self, "radii", radii)
        object.__setattr__(self, "shares", shares)

    @classmethod
    def standard(cls, dimension: int, least_probability: float) -> "Shells":
        """Shells for the standard normal law, from its median radius outwards.

        About one shell for each decade of probability, all with one share: events that are a
        thousand times rarer get as many points.

        Parameters
        ----------
        dimension
            Number of coordinates d.
        least_probability
            Probability p_K of a standard normal point beyond the outermost shell, above 0 and
            below 1/2.

        Raises
        ------
        TypeError, ValueError
            If an argument is out of its range.
        """
        dimension = whole_number(dimension, "dimension", 1)
        least = finite_number(least_probability, "`least_probability`")
        if not 0.0 < least < _NEAREST:
            raise ValueError(
                f"`least_probability` must be above 0 and below {_NEAREST}, but got "
                f"{least_probability!r}."
            )
        n_shells = math.ceil(math.log(least / _NEAREST) / math.log(_DECADE))
        beyond = np.geomspace(_NEAREST, least, n_shells + 1)
        radii = np.sqrt(2.0 * gammainccinv(0.5 * dimension, beyond))
        return cls(dimension, radii, np.full(n_shells, 1.0 / n_shells))

    @property
    def n_uniforms(self) -> int:
        """One uniform number for the radius; for the direction 1 up to the plane, then d."""
        return 2 if self.dimension <= 2 else 1 + self.dimension

    def log_density(self, z: Array) -> Array:
        """Logarithm (n,) of the density at points (n, d); -inf outside the shells."""
        with np.errstate(over="ignore"):
            rho = np.sqrt(np.square(z).sum(axis=1))
        innermost, outermost = self.radii[0], self.radii[-1]
        is_inside = (rho >= innermost * (1.0 - _ROUNDING)) & (rho <= outermost * (1.0 + _ROUNDING))
        is_inside &= rho > 0.0  # there no direction is defined
        rho = np.where(is_inside, rho, outermost)
        shell = np.clip(np.searchsorted(self.radii, rho), 1, len(self.shares)) - 1
        log_f = np.log(self.shares / np.diff(self.radii))[shell]
        d = self.dimension
        log_area = math.log(2.0) + 0.5 * d * math.log(math.pi) - float(gammaln(0.5 * d))
        return np.where(is_inside, log_f - log_area - (d - 1) * np.log(rho), -np.inf)

    def transform(self, u: Array) -> Array:
        """Points (n, d) of uniform numbers (n, n_uniforms)."""
        cumulated = np.concatenate([[0.0], np.cumsum(self.shares)])
        rho = np.interp(u[:, 0] * cumulated[-1], cumulated, self.radii)
        z: Array = rho[:, None] * self._directions(u[:, 1:])
        return z

    def _directions(self, u: Array) -> Array:
        """Unit vectors (n, d): a sign, an angle, or normals over their length."""
        if self.dimension == 1:
            return np.where(u < 0.5, -1.0, 1.0)
        if self.dimension == 2:
            angle = 2.0 * math.pi * u
            return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
        normals: Array = ndtri(np.clip(u, _LEAST_UNIFORM, _LARGEST_UNIFORM))
        length = np.sqrt(np.square(normals).sum(axis=1, keepdims=True))
        # The second point of a net that is not scrambled is the centre of the cube.
        diagonal = 1.0 / math.sqrt(self.dimension)
        directions: Array = np.where(
            length > 0.0, normals / np.where(length > 0.0, length, 1.0), diagonal
        )
        return directions

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw points (n, d)."""
        return self.transform(rng.random((n, self.n_uniforms)))
