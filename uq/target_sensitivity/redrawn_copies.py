"""Copies of points that keep some coordinates, the others drawn anew from a Gaussian mixture.

Notation
--------
n, d        points, coordinates
k           components of the mixture; in a plan, factors
f           N(0, I), the law of the inputs in normal scores
g           sum_k a_k N(mu_k, C_k)
K, F        coordinates that a copy keeps, and the others
g_K         marginal density of g, a Gaussian mixture again
e           share of the law in what is drawn anew

    q(z_F | z_K) = e f_F(z_F) + (1 - e) g(z) / g_K(z_K)                                          (1)

Given z_K, component k has the share a_k N(z_K; mu_k,K, C_k,KK) / g_K(z_K), and z_F in it the mean
mu_k,F + C_k,FK C_k,KK^-1 (z_K - mu_k,K) and the covariance C_k,FF - C_k,FK C_k,KK^-1 C_k,KF.

Far from all components g(z_F | z_K) says little of f(z_F), even where the law is one of them: the
share e alone bounds f_F / q, by 1 / e.

Likelihood ratios of a point B drawn from g, of its copy C by itself, and of all that they hold:

    w = f(B) / g(B)     w' = f(C) / (g_K(C_K) q(C_F | C_K))     v = w f_F(C_F) / q(C_F | C_K)    (2)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from uq.factors import Factor
from uq.inputs import Inputs
from uq.proposals import Gaussian, Mixture, log_densities, log_sum_exp
from uq.target_sensitivity.weighted_pairs import PairWeights

Array = NDArray[np.float64]
Columns = NDArray[np.bool_]

DEFENSIVE = 1 / 8
"""Share of the law in the density of B, and in what is drawn anew."""

_LEAST_UNIFORM, _LARGEST_UNIFORM = 2.0**-54, 1.0 - 2.0**-53


def log_law(z: Array, columns: Columns) -> Array:
    """Logarithm (n,) of the standard normal density of some coordinates of points (n, d)."""
    kept = z[:, columns]
    squares = np.einsum("ni,ni->n", kept, kept)
    value: Array = -0.5 * (squares + kept.shape[1] * np.log(2.0 * np.pi))
    return value


@dataclass(frozen=True)
class GaussianMixture:
    """sum_k a_k N(mu_k, C_k), with its marginals and conditionals.

    Parameters
    ----------
    shares
        (k,) a, which sum to one.
    components
        The Gaussians.
    """

    shares: Array
    components: tuple[Gaussian, ...]

    @property
    def dimension(self) -> int:
        """Number of coordinates d."""
        dimension: int = self.components[0].dimension
        return dimension

    @property
    def density(self) -> Mixture:
        """The same as a density that nets can be turned into."""
        return Mixture(self.shares, self.components)

    def log_parts(self, z: Array, columns: Columns) -> Array:
        """(n, k) logarithms of a_k N(z; mu_k, C_k) of some coordinates of points (n, d)."""
        if not columns.any():
            return np.tile(np.log(self.shares), (len(z), 1))
        block = np.ix_(columns, columns)
        parts = [Gaussian(c.mean[columns], c.covariance[block]) for c in self.components]
        return np.log(self.shares) + log_densities(parts, z[:, columns])

    def log_density(self, z: Array, columns: Columns) -> Array:
        """Logarithm (n,) of the marginal density of some coordinates."""
        return log_sum_exp(self.log_parts(z, columns))


@dataclass(frozen=True)
class Redrawing:
    """Draws the coordinates F of a copy, Eq. (1).

    Parameters
    ----------
    mixture
        g.
    kept
        (d,) whether a coordinate is in K.
    share
        e, above 0 and below 1.
    """

    mixture: GaussianMixture
    kept: Columns
    share: float = DEFENSIVE

    @property
    def n_uniforms(self) -> int:
        """Numbers that one copy takes: one for the component, one a coordinate."""
        return 1 + self.mixture.dimension

    def copies(self, z: Array, u: Array) -> Array:
        """Copies (n, d) of points (n, d), by uniform numbers (n, n_uniforms).

        The first number selects the component, the others belong to the coordinates.
        """
        K, F = self.kept, ~self.kept
        copies = z.copy()
        normals = ndtri(np.clip(u[:, 1:], _LEAST_UNIFORM, _LARGEST_UNIFORM))[:, F]
        component = self._selected(z, u[:, 0])
        copies[:, F] = normals  # of the law, unless a component follows
        for k, one in enumerate(self.mixture.components):
            rows = np.flatnonzero(component == k)
            if not len(rows) or not F.any():
                continue
            C_FK = one.covariance[np.ix_(F, K)]
            slope = np.linalg.solve(one.covariance[np.ix_(K, K)], C_FK.T).T
            mean = one.mean[F] + (z[np.ix_(rows, K)] - one.mean[K]) @ slope.T
            factor = np.linalg.cholesky(one.covariance[np.ix_(F, F)] - slope @ C_FK.T)
            copies[np.ix_(rows, F)] = mean + normals[rows] @ factor.T
        return copies

    def log_density(self, copies: Array) -> Array:
        """Logarithm (n,) of q at the coordinates F of copies (n, d)."""
        every = np.ones_like(self.kept)
        g = self.mixture.log_density(copies, every) - self.mixture.log_density(copies, self.kept)
        law = np.log(self.share) + log_law(copies, ~self.kept)
        density: Array = np.logaddexp(law, np.log1p(-self.share) + g)  # (1)
        return density

    def _selected(self, z: Array, u: Array) -> NDArray[np.int64]:
        """(n,) components by numbers (n,); -1 is the law."""
        parts = self.mixture.log_parts(z, self.kept)
        given = np.exp(parts - parts.max(axis=1, keepdims=True))
        ends = np.cumsum(given, axis=1)
        ends /= ends[:, -1:]
        inside = (u - self.share) / (1.0 - self.share)
        selected = (inside[:, None] >= ends[:, :-1]).sum(axis=1)
        return np.where(u < self.share, -1, selected)


@dataclass(frozen=True)
class Plan:
    """The copies of a row, and which of them each target needs.

    Parameters
    ----------
    names
        Of the k factors.
    kept
        (c, d) what each copy keeps.
    copy_of
        (2 k,) copies of the first-order and then the total indices.
    total
        (2 k,) whether the complement is wanted.
    """

    names: tuple[str, ...]
    kept: Columns
    copy_of: NDArray[np.int64]
    total: Columns

    @staticmethod
    def of(inputs: Inputs, factors: tuple[Factor, ...]) -> "Plan":
        """Copies that keep one factor, and all but one; what is the same is drawn once."""
        own = np.zeros((len(factors), inputs.dimension), bool)
        for row, factor in zip(own, factors, strict=True):
            row[list(factor.columns)] = True
        kept, copy_of = np.unique(np.concatenate([own, ~own]), axis=0, return_inverse=True)
        total = np.repeat([False, True], len(factors))
        return Plan(tuple(f.name for f in factors), kept, copy_of.ravel(), total)

    @property
    def n_blocks(self) -> int:
        """Runs of one row."""
        return 1 + len(self.kept)

    @property
    def n_uniforms(self) -> int:
        """Numbers that one row takes."""
        return 2 * (1 + int(self.kept.shape[1]))

    @property
    def factors(self) -> Columns:
        """(k, d) what the copies of the first-order indices keep."""
        return self.kept[self.copy_of[~self.total]]


def drawn(plan: Plan, g: GaussianMixture, u: Array) -> tuple[Array, PairWeights]:
    """Points with their copies (n, 1 + c, d), and the ratios of Eq. (2).

    Parameters
    ----------
    plan
        What the copies keep.
    g
        Density of the points.
    u
        (n, plan.n_uniforms) numbers; the copies of a row share theirs.
    """
    half = plan.n_uniforms // 2
    every = np.ones(g.dimension, bool)
    B = g.density.transform(u[:, :half])
    w = np.exp(log_law(B, every) - g.log_density(B, every))  # (2)
    points, copies, pairs = [B], [], []
    for kept in plan.kept:
        redrawing = Redrawing(g, kept)
        C = redrawing.copies(B, u[:, half:])
        anew = np.exp(log_law(C, ~kept) - redrawing.log_density(C))
        points.append(C)
        copies.append(anew * np.exp(log_law(C, kept) - g.log_density(C, kept)))  # (2)
        pairs.append(w * anew)  # (2)
    weights = PairWeights(w, np.stack(copies, axis=1), np.stack(pairs, axis=1))
    return np.stack(points, axis=1), weights
