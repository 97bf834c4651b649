"""Find where failures are: learning runs, stage by stage, and the density that they lead to.

Notation
--------
z, g, d     points, values of the limit states, dimension
E           events that the density is made for, at most 8 of the Q that are asked for
m_e         margins g_j - t of an event e: it happens where m_e < 0
W           weights of the runs so far, see `learning_runs`
s           softness; an event counts with Phi(-m / s)
gamma       tempering exponent

Without a cheap model a mixture is fitted to the runs themselves, with the weights

    t_i = W_i^gamma 1{m_i < 0}          where many fail, the largest gamma <= 1 ...           (1)
    t_i = W_i Phi(-m_i / s)             where few do, the smallest s ...                      (2)

... that leaves enough effective points. With a cheap model it is fitted to points that cost no
runs: in few dimensions to weighted points of law and shells, and where these are not enough to
tempered ones (`tempering`). Half of a stage's runs are then those whose failing the cheap limit
state is least sure of. Every stage keeps the defence of `failure_density`.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from uq.proposals import Density, Mixture, TooFewWeighted, fit_spiked_mixture
from uq.reliability.cheap_limit_states import CheapLimitStates, CheapModels
from uq.reliability.events import Events
from uq.reliability.failure_density import (
    Defence,
    FailureDensity,
    joined,
    net,
    refined,
    standard_normal_log_density,
)
from uq.reliability.learning_runs import Batch, LearningRuns
from uq.reliability.tempering import Particles, tempered
from uq.surrogates.limit_state_trend import TERMS_PER_RUN
from uq.weighted_points import effective_size

Array = NDArray[np.float64]
Exploration = Generator[Array, Array, "Explored"]

_MOST_EVENTS = 8
_STAGES, _STAGES_BY_RUNS = 3, 5  # after the first one, with a cheap model and without
_FIRST = 1 / 3  # share of the learning runs that are spent before anything is known
_FIRST_IN_MANY_DIMENSIONS = 1 / 2
_PARTICLES, _LAST_PARTICLES = 1000, 2000  # of all events, in a stage and before the rounds
_LEAST_SOFTNESS = 1e-3  # of the scale of an output
_LAST_FITS = 3  # at most, before the rounds; one in a stage
_SEARCH_POINTS = 700  # of a process that is only searched
_CANDIDATES = 4096  # for the runs that are picked
_CHEAP = 8192  # points of law and shells
_ENOUGH = 200.0  # effective points that need no others
_SHARP = 0.02  # of the scale: softness of an event that is searched on a cheap limit state
_FEW_DIMENSIONS = 10  # up to which points of law and shells tell of failures
_UNSURE = 0.5  # share of a stage's runs that are picked where the cheap model is least sure
_EFFECTIVE = 40.0  # points that a mixture is fitted to, at least
_LEAST_WEIGHTED = 10  # failures that tell of a scale, or of a variance
_MISLED = 2.0  # times the variance that a density has which the runs have a part in
_MISTAKEN = 0.1  # runs, of those that fail: too many to trust the cheap limit states alone


@dataclass(frozen=True, eq=False)
class Explored:
    """What the learning runs led to.

    Parameters
    ----------
    found
        Density for the runs that are averaged.
    scale
        (J,) on which the limit states vary near their thresholds.
    reached
        Whether each of the events was met, by a run or the cheap limit states.
    cheap
        The cheap limit states themselves, or None.
    """

    found: FailureDensity
    scale: Array
    reached: bool
    cheap: CheapLimitStates | None


@dataclass(eq=False)
class Explorer:
    """The search for failures.

    Parameters
    ----------
    events
        What is asked for.
    defence
        phi and shells.
    models
        Make cheap limit states; None searches without.
    rng
        Source of random numbers.
    """

    events: Events
    defence: Defence
    models: CheapModels | None
    rng: np.random.Generator

    def learn(self, runs: LearningRuns, n: int, known: Sequence[Density] = ()) -> Exploration:
        """Spend `n` runs, and say what to draw from.

        Parameters
        ----------
        runs
            What was run before; what is run now is added.
        n
            Learning runs to spend, at least 3.
        known
            Densities around design points, to be looked at first.

        Yields
        ------
        (m, d) points, to be answered with (m, J) values.

        Returns
        -------
        What all the runs led to.
        """
        fresh = all(batch.density is None for batch in runs.batches)
        sizes = self._sizes(n, fresh)
        if fresh:
            first = self.defence.start
            if known:
                shares = np.array([0.25, 0.25, *np.full(len(known), 0.5 / len(known))])
                first = Mixture(shares, (self.defence.law, self.defence.shells, *known))
            yield from _run(runs, first, net(first, sizes.pop(0), self.rng), "law and shells")
        explored = self._explored(runs, last=not sizes)
        for k, size in enumerate(sizes):
            q = explored.found.density
            picked = self._least_sure(explored, q, int(_UNSURE * size))
            if len(picked):
                yield from _run(runs, None, picked, "where failing is least sure")
            drawn = net(q, size - len(picked), self.rng)
            source = "failures so far, law and shells"
            yield from _run(runs, q, drawn, source, explored.found.variance)
            explored = self._explored(runs, last=k == len(sizes) - 1)
        return explored

    def _sizes(self, n: int, fresh: bool) -> list[int]:
        """Sizes of the stages; in many dimensions the first one must fit a trend with squares."""
        if not fresh:
            return [n] if n else []
        d = self.defence.law.dimension
        first = int(_FIRST * n)
        if TERMS_PER_RUN * first < 2 * d + 1:
            first = int(_FIRST_IN_MANY_DIMENSIONS * n)
        rest = n - first
        stages = _STAGES_BY_RUNS if self.models is None else _STAGES
        return [first, *(rest * (k + 1) // stages - rest * k // stages for k in range(stages))]

    def _explored(self, runs: LearningRuns, last: bool) -> Explored:
        scale = self._scale(runs)
        if self.models is None:
            return self._by_runs(runs, scale)
        z, g = runs.usable()
        cheap = self.models.fitted(z, g, scale, _SEARCH_POINTS)
        looked = self._by_cheap_model(cheap, scale, last)
        return self._not_misled(looked, runs)

    def _scale(self, runs: LearningRuns) -> Array:
        """(J,) how far from the threshold a failure typically is: median over the rarest event.

        Where too few failed, over the runs that came nearest. Runs that were picked near the
        threshold do not count.
        """
        _, g, _ = runs.weighted()
        scale = np.empty(g.shape[1])
        for j, margin in enumerate((g - self.events.thresholds[0]).T):
            failing = margin[margin < 0.0]
            if len(failing) < _LEAST_WEIGHTED:
                failing = np.sort(np.abs(margin))[: max(len(margin) // 10, _LEAST_WEIGHTED)]
            spread = float(np.ptp(margin)) or 1.0
            scale[j] = max(float(np.median(np.abs(failing))), 1e-6 * spread)
        return scale

    def _by_runs(self, runs: LearningRuns, scale: Array) -> Explored:
        """Fit to the runs themselves."""
        z, g, W = runs.weighted()
        mixtures, reached = [], True
        for e in self.events.some(_MOST_EVENTS):
            margin = self.events.margins(g)[:, e]
            t, met = _tempered_weights(margin, W, scale[self.events.limit_state_of[e]])
            reached &= met
            try:
                mixtures.append(fit_spiked_mixture(z, t, self.rng))
            except TooFewWeighted:
                mixtures.append(Mixture(np.ones(1), (self.defence.law,)))
        q = self.defence.around(mixtures)
        ratio = np.exp(standard_normal_log_density(z) - q.log_density(z))
        variance = _foretold(W, ratio, self.events.margins(g))
        return Explored(FailureDensity(q, mixtures, variance), scale, reached, None)

    def _by_cheap_model(self, cheap: CheapLimitStates, scale: Array, last: bool) -> Explored:
        """Fit to points at which the cheap limit states say that it fails."""
        chosen = self.events.some(_MOST_EVENTS)
        sharp = _SHARP * scale[self.events.limit_state_of[chosen]]

        def margins(z: Array) -> Array:
            some: Array = self.events.margins(cheap(z))[:, chosen]
            return some

        in_all_directions = self._in_all_directions(margins, sharp)
        mixtures, reached = [], True
        n = _LAST_PARTICLES if last else _PARTICLES
        for e, (s, (mixture, effective)) in enumerate(zip(sharp, in_all_directions, strict=True)):
            parts = [mixture] if mixture is not None else []
            if effective < _ENOUGH:
                particles = self._tempered(margins, e, max(n // len(chosen), n // 4), s)
                reached &= particles.reached or mixture is not None
                equal = np.ones(len(particles.z))
                parts.append(fit_spiked_mixture(particles.z, equal, self.rng))
            mixtures.append(joined(parts))
        if not reached:  # the points follow no event: there is nothing to fit again to
            found = FailureDensity(self.defence.around(mixtures), mixtures, np.inf)
        else:
            fits = _LAST_FITS if last else 1
            found = refined(mixtures, margins, sharp, self.defence, self.rng, fits)
        return Explored(found, scale, reached, cheap)

    def _in_all_directions(
        self, margins: Callable[[Array], Array], sharp: Array
    ) -> list[tuple[Mixture | None, float]]:
        """Mixtures fitted to cheap points of the start density, and their effective points.

        In few dimensions shells find every region of failure that the cheap limit states show;
        tempered points may leave one behind on the way.
        """
        start = self.defence.start
        if start.dimension > _FEW_DIMENSIONS:
            return [(None, 0.0)] * len(sharp)
        z = net(start, _CHEAP, self.rng)
        W = np.exp(standard_normal_log_density(z) - start.log_density(z))
        fits: list[tuple[Mixture | None, float]] = []
        for t in (W[:, None] * ndtr(-margins(z) / sharp)).T:
            effective = effective_size(t)
            enough = effective >= _EFFECTIVE
            fits.append((fit_spiked_mixture(z, t, self.rng) if enough else None, effective))
        return fits

    def _tempered(
        self, margins: Callable[[Array], Array], e: int, n: int, softness: float
    ) -> Particles:
        def margin(z: Array) -> Array:
            one: Array = margins(z)[:, e]
            return one

        return tempered(margin, self.defence.law.dimension, n, softness, self.rng)

    def _least_sure(self, looked: Explored, q: Mixture, n: int) -> Array:
        """Points of q whose failing the cheap limit states are least sure of."""
        if looked.cheap is None or n == 0:
            return np.empty((0, q.dimension))
        z = net(q, _CANDIDATES, self.rng)
        softness = looked.cheap.error + _LEAST_SOFTNESS * looked.scale
        margins = self.events.margins(looked.cheap(z)) / softness[self.events.limit_state_of]
        unsure = np.exp(-0.5 * np.square(margins)).max(axis=1) + 1e-12
        picked = self.rng.choice(len(z), n, p=unsure / unsure.sum(), replace=False)
        return z[picked]

    def _not_misled(self, looked: Explored, runs: LearningRuns) -> Explored:
        """Add what the runs say where they show failures that the cheap limit states miss."""
        share = self._mistaken(looked, runs)
        z, g, W = runs.weighted()
        margins = self.events.margins(g)
        few = ((margins < 0.0).sum(axis=0) < _LEAST_WEIGHTED).any()
        if few and share < _MISTAKEN:
            return looked
        by_runs = self._by_runs(runs, looked.scale)
        mixtures = [*looked.found.mixtures, *by_runs.found.mixtures]
        both = self.defence.around(mixtures)
        log_phi = standard_normal_log_density(z)
        one, two = (
            _foretold(W, np.exp(log_phi - q.log_density(z)), margins)
            for q in (looked.found.density, both)
        )
        if one <= _MISLED * two and share < _MISTAKEN:
            return looked
        return replace(looked, found=FailureDensity(both, mixtures, two))

    def _mistaken(self, looked: Explored, runs: LearningRuns) -> float:
        """Largest share of an event's failures, of any runs, that the cheap limit states miss."""
        assert looked.cheap is not None
        z, g = runs.usable()
        fails = self.events.margins(g) < 0.0
        missed = fails & ~(self.events.margins(looked.cheap(z)) < 0.0)
        return float((missed.sum(axis=0) / np.maximum(fails.sum(axis=0), 1)).max())


def _foretold(W: Array, ratio: Array, margins: Array) -> float:
    """Variance over p^2 of phi/q at the failures, mean over the events that were met."""
    failing = margins < 0.0
    p = (W[:, None] * failing).mean(axis=0)
    second = ((W * ratio)[:, None] * failing).mean(axis=0)
    met = p > 0.0
    if not met.any():
        return np.inf
    return float((second[met] / np.square(p[met]) - 1.0).mean())


def _run(
    runs: LearningRuns, density: Density | None, z: Array, source: str, foretold: float = np.inf
) -> Generator[Array, Array, None]:
    g = yield z
    runs.batches.append(Batch(z, g, density, source, foretold=foretold))


def _tempered_weights(margin: Array, W: Array, scale: float) -> tuple[Array, bool]:
    """t (n,) of (1) or (2), and whether the event was met."""
    failing = margin < 0.0
    n_failing = int(failing.sum())
    wanted = min(_EFFECTIVE, len(W) / 8)
    if n_failing >= 1.5 * wanted:
        wanted = max(wanted, min(_ENOUGH, n_failing / 3))
        log_W = np.log(np.maximum(W[failing], np.finfo(float).tiny))
        gamma = _largest(lambda g: effective_size(np.exp(g * (log_W - log_W.max()))) >= wanted)
        t = np.zeros(len(W))
        t[failing] = np.exp(gamma * (log_W - log_W.max()))  # (1)
        return t, True
    low, high = np.log(1e-6 * scale), np.log(1e6 * scale)
    sharpness = _largest(
        lambda part: (
            effective_size(W * ndtr(-margin / np.exp(high + part * (low - high)))) >= wanted
        )
    )
    s = np.exp(high + sharpness * (low - high))
    return W * ndtr(-margin / s), n_failing > 0  # (2)


def _largest(holds: Callable[[float], bool]) -> float:
    """The largest number in [0, 1] up to which a condition holds, by bisection."""
    if holds(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
