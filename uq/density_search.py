"""Find a density to draw the final sample from, with few runs and without trusting them too far.

Notation
--------
z           coordinates in which the start density is wide enough for all laws
h_0         the start density: the law itself, or a density over all laws
h           the mixture of all densities drawn from so far, in proportion to their points
T_ij        phi_j f_j / h at point i
w_j         weights of the quantities
t_i         sqrt(sum_j w_j T_ij^2): points weighted by t follow the best density without
            control variates                                                       Eq. (6)
gamma       tempering exponent: points are weighted by t^gamma, gamma the largest one that
            leaves enough effective points; 0 while a quantity is 0 at all points but a few, and
            the start density is made wider until it meets that quantity

The candidates beside h_0: h_0 moved to the weighted mean; one density of the chosen family fitted
to the weighted points; a mixture of one Gaussian a quantity, its shares from Eq. (5). h_0 stays
unless the points held out foretell a clear win.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uq.mixture_weights import mixture_weights
from uq.prediction import LearningPoints, predicted_variance
from uq.proposals import (
    Density,
    Gaussian,
    Mixture,
    TooFewWeighted,
    fit_gaussian,
    fit_gaussian_mixture,
    fit_gaussians,
    fit_student_t,
    log_densities,
)
from uq.weighted_points import (
    SHARE_QUANTUM,
    atoms,
    effective_size,
    moved,
    of_quanta,
    overall_weights,
    tempering,
    weighted_mean,
    widened,
)

Array = NDArray[np.float64]
Covariance = Literal["auto", "full", "diagonal"]
Family = Literal["gaussian", "gaussian_mixture", "student_t"]

HANDICAP = {True: 4.0, False: 1.3}
"""By so much a fitted density must be foretold to beat the start, with and without nets: nets gain
more from a smooth integrand than can be foretold."""
HANDICAP_MOVED = 1.3
"""The same for the moved start, which has few ways to go wrong."""
INFLATION = 1.25
"""A fitted covariance is made wider: too wide costs little, too narrow may cost everything."""
DEFENSIVE = 1 / 8
_WIDENING = 1.5
_FEW_HITS = 5
_WANTED = 4
_SETTLED = 0.4  # change of a mean in standard deviations, or of the logarithm of a variance
_NARROWER = 1.5
_MOVED = "moved start"


class Stage(NamedTuple):
    """One stage of a run.

    Parameters
    ----------
    n
        Points drawn.
    source
        What they were drawn from.
    effective_sample_size
        Of t over all points so far.
    tempering
        gamma; 1 when the target itself is in reach, 0 when some quantity was all zeros.
    """

    n: int
    source: str
    effective_sample_size: float
    tempering: float


@dataclass(frozen=True)
class Found:
    """What the search ends with.

    Parameters
    ----------
    density
        To draw the final sample from.
    source
        Its name.
    moved
        Whether it is another density than the start.
    ratio_densities
        g_j of the own control variates, one a quantity; empty where none could be fitted.
    gain
        Foretold variance of the start density over that of this one.
    """

    density: Density
    source: str
    moved: bool
    ratio_densities: Sequence[Gaussian]
    gain: float


class Search:
    """Learn from points, stage by stage, where the runs are worth most.

    Parameters
    ----------
    values
        (n, d) points in z to (n, 1 or J) values; rows with NaN are failed runs.
    log_laws
        (n, d) points in z to (n, L) log densities of the laws, L = 1 or J.
    start
        The start density.
    weights
        (J,) w, "equal", or "relative" to the sizes of the quantities.
    family, covariance
        Of the fitted density.
    defensive
        Share of the start density in any other one; None: 1/8 where it is needed.
    nets
        Whether the final sample is made of scrambled nets.
    rng
        Source of random numbers.
    law_moments
        (J, d) means and (J, d, d) covariances of the laws in z, where there are several.

    Attributes
    ----------
    stages
        What was done.
    atom
        (1 or J,) the value that most runs of the first stage gave alike, else 0. What is searched
        for is the rest: a rare event stays one when a constant is added.
    blind
        Whether some quantity was its atom in all runs so far.
    """

    def __init__(
        self,
        values: Callable[[Array], Array],
        log_laws: Callable[[Array], Array],
        start: Density,
        weights: Array | Literal["relative", "equal"],
        family: Family,
        covariance: Covariance,
        defensive: float | None,
        nets: bool,
        rng: np.random.Generator,
        law_moments: tuple[Array, Array] | None = None,
    ) -> None:
        self._values, self._log_laws = values, log_laws
        self._start, self._given_weights = start, weights
        self._family, self._covariance = family, covariance
        self._defensive, self._nets, self._rng = defensive, nets, rng
        self._law_moments = law_moments
        self._drawn: list[tuple[Density, Array, Array]] = []
        self._next: tuple[Density, str] = (start, "start")
        self.atom: Array = np.zeros(1)
        self._width = 1.0
        self.blind = False
        self._target: tuple[Array, Array] | None = None
        self._settled = True
        self.stages: list[Stage] = []

    @property
    def in_reach(self) -> bool:
        """Whether the points tell enough of the target for a last fit."""
        if not self.stages:
            return False
        last = self.stages[-1]
        if not self._settled:
            return False
        wanted = min(_WANTED * (self._start.dimension + 4), sum(s.n for s in self.stages) / 5)
        enough: bool = last.tempering == 1.0 and last.effective_sample_size >= wanted
        return enough

    def stage(self, n: int) -> None:
        """Spend `n` runs on the density that looks best so far, and learn from them."""
        density, source = self._next
        z = density.transform(self._rng.random((n, density.n_uniforms)))
        Y = self._values(z)
        if not self._drawn:
            self.atom = atoms(Y)
        # A failed run tells nothing but that nothing is to be had there.
        ok = np.isfinite(Y).all(axis=1, keepdims=True)
        self._drawn.append((density, z, np.where(ok, Y, self.atom) - self.atom))
        points = self.points()
        t = overall_weights(points, self.weights(points))
        least = min(points.z.shape[1] + 8.0, len(points.z) / 4)
        scarce = self._asked(points) & ((points.T != 0.0).sum(axis=0) < least)
        gamma = 0.0 if scarce.any() else tempering(t, least)
        self.stages.append(Stage(n, source, effective_size(t), gamma))
        self._settle(points, t)
        self.blind = bool((~(points.T != 0.0).any(axis=0) & scarce).any())
        if scarce.any():
            fresh = (self._drawn[-1][2] != 0.0).sum(axis=0)
            if np.broadcast_to(fresh, scarce.shape)[scarce].min() < _FEW_HITS:
                self._width *= _WIDENING
        self._next = self._following(points, t, gamma, scarce)

    def _settle(self, points: LearningPoints, t: Array) -> None:
        """Compare what the points say of the target with what they said a stage ago."""
        if effective_size(t) < 2.0:
            self._settled = False
            return
        mean, _ = weighted_mean(points.z, t)
        variance = t @ np.square(points.z - mean) / t.sum()
        if self._target is not None:
            step = np.abs(mean - self._target[0]) / np.sqrt(variance)
            change = np.abs(np.log(variance / self._target[1]))
            self._settled = bool(max(step.max(), change.max()) < _SETTLED)
        self._target = mean, variance

    def points(self) -> LearningPoints:
        """All points so far, values less their atoms."""
        z = np.concatenate([z for _, z, _ in self._drawn])
        Y = np.concatenate([Y for _, _, Y in self._drawn])
        shares = np.log([len(one) / len(z) for _, one, _ in self._drawn])
        parts = [s + q.log_density(z) for s, (q, _, _) in zip(shares, self._drawn, strict=True)]
        return LearningPoints(z, Y, self._log_laws(z), np.logaddexp.reduce(parts, axis=0))

    def weights(self, points: LearningPoints) -> Array:
        """(J,) w; relative ones are 1 / E|phi_j|^2, free of the units of phi_j."""
        return self.weights_for(points.T)

    def weights_for(self, T: Array) -> Array:
        """(J,) w by weighted values (n, J)."""
        if isinstance(self._given_weights, np.ndarray):
            return self._given_weights
        if self._given_weights == "equal":
            return np.ones(T.shape[1])
        size = np.abs(T).mean(axis=0)
        return np.where(size > 0.0, 1.0 / np.where(size > 0.0, size, 1.0) ** 2, 0.0)

    def found(self) -> Found:
        """The density for the final sample."""
        if not self.stages:
            return Found(self._start, "start", False, (), 1.0)
        points = self.points()
        weights = self.weights(points)
        ratio_densities = self._ratio_densities(points)
        best, name = self._start, "start"
        here = predicted_variance(points, weights, lambda _: self._start, self._nets)
        least = foretold = here
        for source, fit in self._fits(weights).items():
            handicap = HANDICAP_MOVED if source == _MOVED else HANDICAP[self._nets]
            try:
                variance = predicted_variance(points, weights, fit, self._nets)
                if handicap * variance < least:
                    best, name = fit(points), source
                    least, foretold = handicap * variance, variance
            except TooFewWeighted:
                continue
        moved = best is not self._start
        gain = here / foretold if moved and foretold > 0.0 else 1.0
        return Found(best, name, moved, ratio_densities, gain)

    def _fits(self, weights: Array) -> dict[str, Callable[[LearningPoints], Density]]:
        """Candidates by name, the safest first."""
        fits: dict[str, Callable[[LearningPoints], Density]] = {}
        if isinstance(self._start, Gaussian) and self._is_narrower(self._start):
            fits[_MOVED] = lambda p: self._guarded(moved(self._start, p, weights))
        fits[self._family.replace("_", " ")] = lambda p: self._guarded(
            self._fitted(p.z, overall_weights(p, weights))
        )
        if len(weights) > 1 and self._family == "gaussian":
            fits["mixture over quantities"] = lambda p: self._mixture(p, weights)
        return fits

    def _is_narrower(self, start: Gaussian) -> bool:
        """Whether the target has nowhere a much larger variance than the start density."""
        if self._target is None:
            return False
        ratio = self._target[1] / np.diagonal(start.covariance)
        return bool(ratio.max() < _NARROWER)

    def _fitted(self, z: Array, t: Array) -> Density:
        if not np.isfinite(t).all():
            raise TooFewWeighted(np.array([0]), np.zeros(1))
        if self._family == "student_t":
            return fit_student_t(z, t, covariance=self._covariance)
        if self._family == "gaussian_mixture":
            return fit_gaussian_mixture(z, t, rng=self._rng, covariance=self._covariance)
        one = fit_gaussian(z, t, covariance=self._covariance)
        return Gaussian(one.mean, INFLATION * one.covariance)

    def _mixture(self, points: LearningPoints, weights: Array) -> Density:
        """One Gaussian a quantity and the start density, shares by Eq. (5)."""
        T = points.T[:, weights > 0.0]
        fits = fit_gaussians(points.z, np.abs(T), covariance=self._covariance)
        fits = [Gaussian(one.mean, INFLATION * one.covariance) for one in fits]
        with np.errstate(divide="ignore"):
            log_numerator = np.log(np.square(T) @ weights[weights > 0.0])
        logs = log_densities([self._start, *fits], points.z) - points.log_h[:, None]
        least = np.zeros(len(fits) + 1)
        least[0] = math.ceil(self._defensive_share * SHARE_QUANTUM) / SHARE_QUANTUM
        shares = mixture_weights(log_numerator, logs, minimum=least)
        return of_quanta(shares, [self._start, *fits])

    def _ratio_densities(self, points: LearningPoints) -> Sequence[Gaussian]:
        """g_j, near |phi_j| f_j; under several laws each law moved by what phi_j changes.

        The difference of the two weighted means is far less noisy than either of them.
        """
        T, W = np.abs(points.T), points.W
        if self._law_moments is None:
            try:
                return fit_gaussians(points.z, T, covariance=self._covariance)
            except TooFewWeighted:
                return ()
        if not ((T > 0.0).any(axis=0) & (W > 0.0).any(axis=0)).all():
            return ()
        means, covariances = self._law_moments
        step = (T / T.sum(axis=0) - W / W.sum(axis=0)).T @ points.z
        return [Gaussian(m + s, C) for m, s, C in zip(means, step, covariances, strict=True)]

    @property
    def _defensive_share(self) -> float:
        return DEFENSIVE if self._defensive is None else self._defensive

    def _guarded(self, density: Density) -> Density:
        """With the start density as a component, where likelihood ratios could grow large."""
        if self._defensive == 0.0:
            return density
        if self._defensive is None and self._covers(density):
            return density
        share = self._defensive_share
        return Mixture(np.array([share, 1.0 - share]), (self._start, density))

    def _covers(self, density: Density) -> bool:
        """Whether E_h0[h0/g], the mean square of the ratio under g, is small."""
        u = np.random.default_rng(0).random((2048, self._start.n_uniforms))
        z = self._start.transform(u)
        log_ratio = self._start.log_density(z) - density.log_density(z)
        mean_square = float(np.logaddexp.reduce(log_ratio)) - math.log(len(z))
        return mean_square < math.log(2 / DEFENSIVE)

    def _asked(self, points: LearningPoints) -> NDArray[np.bool_]:
        """(J,) quantities that have a weight."""
        if isinstance(self._given_weights, np.ndarray):
            return self._given_weights > 0.0
        return np.ones(points.T.shape[1], bool)

    def _following(
        self, points: LearningPoints, t: Array, gamma: float, scarce: NDArray[np.bool_]
    ) -> tuple[Density, str]:
        """What the next stage draws from."""
        if scarce.any():
            wider = widened(self._start, self._width, self._rng)
            if scarce.all():
                return wider, f"start, {self._width:g} times as wide"
            inner = self._fitted_or_start(points.z, t)
            return Mixture(np.array([0.5, 0.5]), (wider, inner)), "fit and wider start"
        name = "fit" if gamma == 1.0 else f"fit, tempered {gamma:.2g}"
        return self._fitted_or_start(points.z, t**gamma), name

    def _fitted_or_start(self, z: Array, t: Array) -> Density:
        try:
            return self._guarded(self._fitted(z, t))
        except TooFewWeighted:
            return self._start
