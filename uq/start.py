"""The density the search starts from: the law itself, or one density over all laws.

Notation
--------
f_l         laws, in the coordinates z
g_s         N(m, s C): m and C the mean and covariance of the equal mixture of the laws
V(g)        mean over l of E_g[(f_l / g)^2]: what a constant phi costs, known without a run

One smooth density suits scrambled nets better than a mixture of the laws does, whose components
cut every net in pieces. Of the g_s the widest is taken whose V is near the smallest one; where
all are far worse than the mixture of the laws, that is the start. Laws that are not normal in z may
have heavier tails than g_s: an eighth of the points then comes from the mixture of the laws, which
bounds every f_l / g.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtri

from uq.coordinates import Coordinates
from uq.inputs import Inputs
from uq.joint_laws import Law
from uq.proposals import Density, Gaussian, Mixture

Array = NDArray[np.float64]

_SCALES = (1.0, 1.25, 1.6, 2.0, 2.5)
_NEAR = 1.6
_FAR = 3.0
_POINTS = 4096
_GUARD = 1 / 8


class LawDensity:
    """A law as a density in z.

    Parameters
    ----------
    law
        The law. Inputs are driven by uniform numbers; any other law has its own sampler, which
        ignores them.
    coordinates
        Of z.
    rng
        For laws that have their own sampler.
    """

    def __init__(self, law: Law, coordinates: Coordinates, rng: np.random.Generator) -> None:
        self._law, self._coordinates, self._rng = law, coordinates, rng
        self.dimension = self.n_uniforms = law.dimension

    @property
    def is_driven(self) -> bool:
        """Whether uniform numbers decide its points."""
        return isinstance(self._law, Inputs)

    def transform(self, u: Array) -> Array:
        """(n, d) points in z."""
        if isinstance(self._law, Inputs):
            x = self._law.from_normal(ndtri(u))
        else:
            x = self._law.sample(len(u), self._rng)
        return self._coordinates.to_z(x)

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """(n, d) points in z."""
        return self._coordinates.to_z(self._law.sample(n, rng))

    def log_density(self, z: Array) -> Array:
        """(n,) in z."""
        x = self._coordinates.to_x(z)
        return self._coordinates.log_densities([self._law], z, x)[:, 0]


def law_mixture(laws: Sequence[Law], coordinates: Coordinates, rng: np.random.Generator) -> Mixture:
    """The equal mixture of laws as a density in z."""
    parts = tuple(LawDensity(law, coordinates, rng) for law in laws)
    return Mixture(np.full(len(laws), 1.0 / len(laws)), parts)


def start_density(
    laws: Sequence[Law], coordinates: Coordinates, rng: np.random.Generator
) -> tuple[Density, tuple[Array, Array] | None]:
    """Start density, and the means (L, d) and covariances (L, d, d) of several laws in z.

    Parameters
    ----------
    laws
        At least one.
    coordinates
        Of z.
    rng
        For cheap points of the laws; the model is not run.
    """
    d = laws[0].dimension
    if len(laws) == 1:
        if isinstance(laws[0], Inputs):  # z are its own normal scores
            return Gaussian(np.zeros(d), np.eye(d)), None
        return LawDensity(laws[0], coordinates, rng), None
    means, covariances = _moments(laws, coordinates, rng)
    m = means.mean(axis=0)
    C = covariances.mean(axis=0) + np.atleast_2d(np.cov(means.T, bias=True))
    each = -(-_POINTS // len(laws))
    x = np.concatenate([law.sample(each, rng) for law in laws])
    z = coordinates.to_z(x)
    log_f = coordinates.log_densities(laws, z, x)
    log_mixture = logsumexp(log_f, axis=1) - np.log(len(laws))

    def cost(log_g: Array) -> float:
        """V by points of the mixture of the laws: E_mixture[f_l^2 / (g mixture)]."""
        with np.errstate(over="ignore"):
            return float(np.exp(2.0 * log_f - (log_g + log_mixture)[:, None]).mean())

    smooth = [Gaussian(m, s * C) for s in _SCALES]
    costs = [cost(one.log_density(z)) for one in smooth]
    if min(costs) > _FAR * cost(log_mixture):
        return law_mixture(laws, coordinates, rng), (means, covariances)
    widest = smooth[max(k for k, one in enumerate(costs) if one <= _NEAR * min(costs))]
    if all(coordinates.gaussian_in_z(law) is not None for law in laws):
        return widest, (means, covariances)
    guard = law_mixture(laws, coordinates, rng)
    return Mixture(np.array([_GUARD, 1.0 - _GUARD]), (guard, widest)), (means, covariances)


def _moments(
    laws: Sequence[Law], coordinates: Coordinates, rng: np.random.Generator
) -> tuple[Array, Array]:
    means, covariances = [], []
    for law in laws:
        moments = coordinates.gaussian_in_z(law)
        if moments is None:
            z = coordinates.to_z(law.sample(_POINTS, rng))
            moments = z.mean(axis=0), np.atleast_2d(np.cov(z.T))
        means.append(moments[0])
        covariances.append(moments[1])
    return np.stack(means), np.stack(covariances)


class EqualMixture:
    """The equal mixture of laws in their own space, drawn by their own samplers.

    Parameters
    ----------
    laws
        At least one.
    """

    def __init__(self, laws: Sequence[Law]) -> None:
        self._laws = laws

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """(n, d) independent points."""
        counts = rng.multinomial(n, np.full(len(self._laws), 1.0 / len(self._laws)))
        drawn = [law.sample(int(k), rng) for law, k in zip(self._laws, counts, strict=True) if k]
        return rng.permutation(np.concatenate(drawn))

    def log_densities(self, x: Array) -> Array:
        """(n, L) of the laws."""
        return np.stack([law.log_density(x) for law in self._laws], axis=1)

    def log_density(self, x: Array) -> Array:
        """(n,)."""
        mixed: Array = logsumexp(self.log_densities(x), axis=1) - np.log(len(self._laws))
        return mixed
