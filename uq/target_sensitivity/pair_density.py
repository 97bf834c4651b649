"""Learn the density from which weighted pairs are worth most.

Notation
--------
z           (d,) normal scores of the inputs; their law f is N(0, I)
y           output less its centre, the value of most runs or the mean of the first ones
h           mixture of the densities that the learning points were drawn from
t           sizes |y| f / h of the learning points, all outputs together
g           Gaussian mixture with a share of the law: what is learnt
g_i, f_i    densities of factor i under g and under the law

The mean of y given factor i is near g_i / f_i times a constant, by Bayes' rule, where g follows the
points weighted by t. Pairs that share factor i are worth most where t g_i / f_i is large, and all
kinds of pairs together where

    t sqrt(1 + mean_i (g_i / f_i)^2)       with each ratio divided by its mean over t            (1)

is. A mixture is fitted to the points with these weights, and made wider: too narrow may cost
everything.
"""

import numpy as np
from numpy.typing import NDArray

from uq.density_search import Found, Search
from uq.inputs import Inputs
from uq.model_runs import ModelRuns
from uq.proposals import Density, Gaussian, TooFewWeighted, fit_gaussian_mixture
from uq.target_sensitivity.redrawn_copies import DEFENSIVE, GaussianMixture, log_law
from uq.weighted_points import effective_size, overall_weights

Array = NDArray[np.float64]

LEAST_GAIN = 4.0
"""By so much the search must foretell to win over the law."""
AT_MOST_LEARNT = 0.5
"""Share of the budget."""
_STAGE = 0.05
_BLIND = 0.25  # at most learnt while some output has shown one value only
_WIDER = 3.0
_ALIKE = 1e-4  # of the largest distance from the median: nearer values count as the same


class PairSearch:
    """Learns a density from runs of the model.

    Parameters
    ----------
    runs
        The model.
    inputs
        Independent inputs.
    nets
        Whether the final sample is made of scrambled nets.
    rng
        Source of random numbers.
    """

    def __init__(
        self, runs: ModelRuns, inputs: Inputs, nets: bool, rng: np.random.Generator
    ) -> None:
        self._quantities = _Quantities(runs, inputs)
        self._rng, every = rng, np.ones(inputs.dimension, dtype=bool)
        self._search = Search(
            self._quantities, lambda z: log_law(z, every)[:, None], _law(inputs.dimension),
            "relative", "gaussian", "auto", None, nets, rng,
        )  # fmt: skip

    @property
    def centre(self) -> Array:
        """(J,) constants taken off the outputs."""
        assert self._quantities.centre is not None
        return self._quantities.centre

    def stage(self, n: int) -> None:
        """Spend `n` runs."""
        self._search.stage(n)

    def learn(self, budget: int) -> int:
        """Spend a stage, and more while something is out of reach; returns the runs spent.

        One stage is enough where the law is to be kept.
        """
        search = self._search
        size, spent = max(int(_STAGE * budget), 1), 0
        while True:
            search.stage(size)
            spent += size
            most = int((_BLIND if search.blind else AT_MOST_LEARNT) * budget)
            if spent + size > most or not self._quantities.has_atom:
                return spent
            if search.in_reach and (len(search.stages) > 1 or self.gain < LEAST_GAIN):
                return spent

    @property
    def gain(self) -> float:
        """Foretold variance of moments under the law over that under another density, or 1.

        Always 1 where no output has a value that most runs share: nets and surrogates under the
        law then tell far more than any density, even of outputs with heavy tails.
        """
        if not self._quantities.has_atom:
            return 1.0
        found: Found = self._search.found()
        return found.gain if found.moved else 1.0

    def density(self, factors: NDArray[np.bool_]) -> GaussianMixture:
        """g by Eq. (1).

        Parameters
        ----------
        factors
            (k, d) inputs of each factor.
        """
        points = self._search.points()
        z, t = points.z, overall_weights(points, self._search.weights(points))
        z, t = z[t > 0.0], t[t > 0.0]
        first = _fitted(z, t, None, self._rng)
        ratios = np.stack([np.exp(first.log_density(z, i) - log_law(z, i)) for i in factors])
        ratios /= (ratios @ t / t.sum())[:, None]
        tilted = t * np.sqrt(1.0 + np.square(ratios).mean(axis=0))  # (1)
        try:
            return _fitted(z, tilted, len(first.components) - 1, self._rng)
        except TooFewWeighted:
            return first


class _Quantities:
    """What the density is sought for: y and its square, of every output."""

    def __init__(self, runs: ModelRuns, inputs: Inputs) -> None:
        self._runs, self._inputs = runs, inputs
        self.centre: Array | None = None
        self.has_atom = True
        self._scale = np.ones(1)

    def __call__(self, z: Array) -> Array:
        """(n, 2 J) of points (n, d); the first call finds the centres."""
        Y = self._runs(self._inputs.from_normal(z))
        seen = Y[np.isfinite(Y).all(axis=1)]
        if self.centre is None and len(seen):
            median = np.quantile(seen, 0.5, axis=0, method="lower")  # a value, not between two
            apart = np.abs(seen - median)
            is_atom = (apart <= _ALIKE * apart.max(axis=0)).mean(axis=0) > 0.5
            self.has_atom = bool(is_atom.any())
            self.centre = np.where(is_atom, median, seen.mean(axis=0))
            size = np.abs(seen - self.centre).max(axis=0)
            self._scale = np.where(size > 0.0, size, 1.0)
        y = Y if self.centre is None else (Y - self.centre) / self._scale
        return np.concatenate([y, np.square(y)], axis=1)


def _law(dimension: int) -> Gaussian:
    return Gaussian(np.zeros(dimension), np.eye(dimension))


def _fitted(
    z: Array, t: Array, n_components: int | None, rng: np.random.Generator
) -> GaussianMixture:
    """A mixture, widened and with a share of the law."""
    fit = fit_gaussian_mixture(z, t, n_components, rng=rng, covariance="full")
    effective = effective_size(t)
    parts = [
        _widened(one, effective * share)
        for one, share in zip(fit.components, fit.shares, strict=True)
        if share > 0.0
    ]
    shares = fit.shares[fit.shares > 0.0]
    shares = np.concatenate([[DEFENSIVE], (1.0 - DEFENSIVE) * shares])
    return GaussianMixture(shares, (_law(z.shape[1]), *parts))


def _widened(one: Density, effective: float) -> Gaussian:
    """Made wider where it is narrower than the law; the law's variance where nothing else is shown.

    The eigenvalues of the covariance of m normal points lie within (1 -+ sqrt(d / m))^2 where all
    variances are 1 (Marchenko & Pastur 1967).
    """
    assert isinstance(one, Gaussian)
    values, vectors = np.linalg.eigh(one.covariance)
    noise = np.sqrt(one.dimension / effective)
    is_law = ((1.0 - min(noise, 1.0)) ** 2 < values) & (values < (1.0 + noise) ** 2)
    wider = np.where(values < 1.0, np.minimum(_WIDER * values, 1.0), values)
    return Gaussian(one.mean, (vectors * np.where(is_law, 1.0, wider)) @ vectors.T)
