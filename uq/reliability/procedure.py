"""From limit states to probabilities: learn, draw rounds, average; as a generator of points.

Notation
--------
z, g        (n, d) points in standard normal space, (n, J) values there
J, Q        limit states, events
L           levels of the exceedance curve of each limit state
phi, q      law of the inputs, density that a round is drawn from
W           phi / q

Learning runs teach the cheap limit states and the density q; runs of earlier rounds do so for later
ones. So every round is unbiased given what was run before it; `final_runs` makes its estimates, and
`combined_rounds` one of all.

The generator yields (m, d) points and is answered with (m, J) values, so that the limit states can
run anywhere.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from uq.proposals import Density, Mixture
from uq.reliability.cheap_limit_states import CheapModels
from uq.reliability.cheap_probabilities import cheap_probabilities
from uq.reliability.events import Events
from uq.reliability.exploration import Explored, Explorer
from uq.reliability.failure_density import Defence, standard_normal_log_density
from uq.reliability.final_runs import Control, Round, RoundEstimate, estimate
from uq.reliability.learning_runs import Batch, LearningRuns
from uq.sampling import LEAST_FOLDS, Folds, largest_folds

Array = NDArray[np.float64]
Points = Generator[Array, Array, None]

LEAST_BUDGET = 160
"""Runs below which there is neither enough to learn from nor enough to average."""
_LEARNT, _LEARNT_OF_FEW = 0.3, 0.5  # share of the budget that is learnt from ...
_MANY, _FEW = 2000, 500  # ... when the budget is that large, that small
_MOST_LEARNT = 2000
_LEAST_FINAL = LEAST_FOLDS * 16  # runs of a round
_FIRST_ROUND = 1 / 4  # of the runs left, where a cv is asked for
_LEVELS = 41  # of the exceedance curve
_LARGEST_LEVEL = 0.5
_BELOW = 30.0  # times rarer than the rarest event: where the curve ends
_WHERE_NOT_MET = (0.3125, 0.1875, 0.5)  # shares of q, shells and law


@dataclass(frozen=True, eq=False)
class FinishedRound:
    """A round and what is made of it.

    Parameters
    ----------
    runs
        Points, values, weights.
    estimate
        All events, and the levels of the curve after them.
    levels
        (J, L) levels of the curve.
    foretold
        Variance over p^2 of one plain run, as foretold before they were drawn.
    """

    runs: Round
    estimate: RoundEstimate
    levels: Array
    foretold: float


@dataclass(eq=False)
class Procedure:
    """Everything that is known so far, and how to go on.

    Parameters
    ----------
    events
        What is asked for.
    dimension
        d.
    models
        Make cheap limit states; None goes without.
    rng
        Source of random numbers.
    start
        Densities to look at first.
    learning
        All runs so far, those of the rounds included.
    rounds
        What is averaged.
    explored, explorer
        What the learning runs led to, and the search that is on; None before it.
    notes
        What to be careful about in what was done so far.
    """

    events: Events
    dimension: int
    models: CheapModels | None
    rng: np.random.Generator
    start: Sequence[Density] = ()
    learning: LearningRuns = field(default_factory=LearningRuns)
    rounds: list[FinishedRound] = field(default_factory=list)
    explored: Explored | None = None
    explorer: Explorer | None = None
    notes: list[str] = field(default_factory=list)

    def spend(self, budget: int, enough: Callable[[], bool] | None = None) -> Points:
        """Spend `budget` further runs, or fewer when a round was enough.

        Parameters
        ----------
        budget
            At least `LEAST_BUDGET`.
        enough
            Looked at after each round; None spends everything in one.

        Yields
        ------
        (m, d) points, to be answered with (m, J) values.
        """
        defence = Defence.of(self.dimension)
        self.explorer = Explorer(self.events, defence, self.models, self.rng)
        n_learn = self._learning_share(budget)
        self.explored = yield from self.explorer.learn(self.learning, n_learn, self.start)
        left = budget - n_learn
        while left >= _LEAST_FINAL:
            n = left if enough is None else max(int(_FIRST_ROUND * left), _LEAST_FINAL)
            if left - n < _LEAST_FINAL:
                n = left
            folds = largest_folds(n, "qmc")
            yield from self._round(folds, defence)
            left -= folds.n_points
            if enough is None or enough():
                break

    def set_limit_states(self, n: int) -> None:
        """Say how many there are, once the first values have told."""
        self.events = Events(n, self.events.thresholds)
        if self.models is not None:
            self.models = replace(self.models, events=self.events)
        if self.explorer is not None:
            self.explorer.events, self.explorer.models = self.events, self.models

    def _learning_share(self, budget: int) -> int:
        few = np.clip(np.log(_MANY / budget) / np.log(_MANY / _FEW), 0.0, 1.0)
        n = int(min((_LEARNT + few * (_LEARNT_OF_FEW - _LEARNT)) * budget, _MOST_LEARNT))
        if self.rounds:
            n //= 2
        # What no net has room for is learnt from too.
        return budget - largest_folds(max(budget - n, _LEAST_FINAL), "qmc").n_points

    def is_averaged(self, batch: Batch) -> bool:
        """Whether its runs enter the estimates: rounds; without cheap models fitted stages too."""
        fitted = batch.density is not None and bool(np.isfinite(batch.foretold))
        return batch.averaged or (self.models is None and fitted)

    def weighted_runs(self, batch: Batch) -> Round:
        """The runs of one stage as a round, each a fold of its own."""
        assert batch.density is not None
        log_ratio = standard_normal_log_density(batch.z) - batch.density.log_density(batch.z)
        return Round(batch.z, batch.g, np.exp(log_ratio), np.arange(len(batch.z)))

    def plain_estimate(self, runs: Round, levels: Array) -> RoundEstimate:
        """Estimates by weights alone, of all events and the levels of the curve."""
        margins = self._margins(runs.g, levels)
        return estimate(runs, margins, np.zeros(margins.shape[1], dtype=bool), None)

    def _density(self, defence: Defence) -> Mixture:
        """q as found; half of it is phi where a limit state never failed, or all always did."""
        assert self.explored is not None
        q = self.explored.found.density
        _, g = self.learning.usable()
        fails = g < self.events.thresholds[-1]
        if fails.any(axis=0).all() and not fails.all():
            return q
        return Mixture(np.array(_WHERE_NOT_MET), (q, defence.shells, defence.law))

    def _round(self, folds: Folds, defence: Defence) -> Points:
        assert self.explored is not None
        q = self._density(defence)
        z = q.transform(folds.uniforms(q.n_uniforms, self.rng))
        g = yield z
        W = np.exp(standard_normal_log_density(z) - q.log_density(z))
        runs = Round(z, g, W, folds.labels)
        levels = self._levels(runs)
        frequent = self._frequent(levels)
        control = (
            self._control(runs, q, levels, frequent) if np.isfinite(g).all(axis=1).any() else None
        )
        found = estimate(runs, self._margins(g, levels), frequent, control)
        variance = self.explored.found.variance
        self.rounds.append(FinishedRound(runs, found, levels, variance))
        self.learning.batches.append(Batch(z, g, q, "failures, law and shells", averaged=True))

    def _levels(self, runs: Round) -> Array:
        """(J, L) levels from below the least threshold up to the median, by the first round."""
        if self.rounds:
            return self.rounds[0].levels
        levels = []
        ok = np.isfinite(runs.g).all(axis=1)
        for g in runs.g[ok].T:
            order = np.argsort(g)
            below = np.cumsum(runs.W[ok][order]) / len(runs.W)
            at = np.searchsorted(g[order], self.events.thresholds[0])
            least = below[min(at, len(below) - 1)] / _BELOW if len(below) else 1e-3
            least = np.clip(least, 1e-300, _LARGEST_LEVEL / 2)
            chances = np.geomspace(least, _LARGEST_LEVEL, _LEVELS)
            rows = np.minimum(np.searchsorted(below, chances), max(len(below) - 1, 0))
            levels.append(g[order][rows] if len(g) else np.zeros(_LEVELS))
        return np.stack(levels)

    def _frequent(self, levels: Array) -> NDArray[np.bool_]:
        """(Q + J L,) events that the runs before this round show to be more likely than not."""
        _, g, W = self.learning.weighted()
        chance = W @ (self._margins(g, levels) < 0.0) / W.sum()
        return np.asarray(chance > _LARGEST_LEVEL)

    def _control(
        self, runs: Round, q: Density, levels: Array, frequent: NDArray[np.bool_]
    ) -> Control | None:
        """Cheap limit states fitted without each fold, and their expectations."""
        if self.models is None:
            return None
        assert self.explored is not None
        ok = np.isfinite(runs.g).all(axis=1)
        own = runs.z[ok], runs.g[ok], runs.folds[ok]
        cheap = self.models.cross_fitted(self.learning.usable(), own, self.explored.scale)

        def margins(z: Array) -> Array:
            return self._margins(cheap.without_folds(z), levels)

        softness = cheap.errors[:, self.events.limit_state_of]
        known = cheap_probabilities(margins, q, cheap.cost, softness, frequent, self.rng)
        h = margins(runs.z)
        fit_of = np.minimum(runs.folds, h.shape[1] - 1)
        softness_of = softness[np.minimum(runs.folds, len(softness) - 1)]
        exact = (cheap.errors == 0.0).all(axis=0)
        own_exact = exact[np.concatenate([self.events.limit_state_of, self._of_levels(levels)])]
        return Control(h[np.arange(len(h)), fit_of], softness_of, known, own_exact)

    @staticmethod
    def _of_levels(levels: Array) -> NDArray[np.int64]:
        """(J L,) limit state of every level."""
        return np.repeat(np.arange(len(levels)), levels.shape[1])

    def _margins(self, g: Array, levels: Array) -> Array:
        """(..., Q + J L) values (..., J) less the thresholds, and less the levels of the curve."""
        asked = g[..., self.events.limit_state_of] - self.events.threshold_of
        of_levels = g[..., self._of_levels(levels)] - levels.ravel()
        return np.concatenate([asked, of_levels], axis=-1)
