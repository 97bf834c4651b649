"""The acquisition of a policy, composed for all that a study observes.

    one objective           the acquisition that the policy names
    outcome constraints     it, over what is feasible, times the probability of feasibility; that
                            probability alone while nothing is feasible  Frazier (2018), Section 5.3
    several objectives      noisy expected hypervolume improvement
    failed evaluations      any of these, times the probability that an evaluation gives something
    running evaluations     one objective under "ei": taken to return their posterior mean (the
                            default, `batch="constant_liar"`), or averaged over what they may
                            return ("greedy", "joint"); all else: as it does by itself
    drawn hyperparameters   the average over their members

What counts as feasible: without noise what was observed to be; under noise what is so with
probability 1 - delta, the rule by which points are reported too. Where improvement is averaged over
samples (`sampled_improvement`, `hypervolume_improvement`) each sample has feasible points of its
own, and those modules say when there are too few.

No formula lives here.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from torch import Tensor

from bayesopt.acquisition import hypervolume_improvement, sampled_improvement
from bayesopt.acquisition.average import Average
from bayesopt.acquisition.feasible_mean import FeasibleMean
from bayesopt.acquisition.joint_search import maximize_jointly
from bayesopt.acquisition.pending import believe
from bayesopt.acquisition.posterior_mean import PosteriorMeanWithGradient
from bayesopt.acquisition.probability_of_feasibility import Bounded, ProbabilityOfFeasibility
from bayesopt.acquisition.with_probability import (
    Cautious,
    LogProbability,
    MeanProbability,
    WithProbability,
)
from bayesopt.data import Dataset
from bayesopt.models.outcomes import OutcomeModels
from bayesopt.models.surrogate import Surrogate
from bayesopt.observations import Observations
from bayesopt.parameter import Array
from bayesopt.policy import Policy
from bayesopt.region import Region

RISK = 0.05
"""delta: a point to report meets all outcome constraints with probability 1 - delta."""

_FEW_MEMBERS = 4  # of drawn hyperparameters
_LEAST_VIOLATION = 1e-300
# Shares of the surest success that are worth a try, while a study is young and later.
_BOLD, _CAUTIOUS = 0.5, 0.99
_YOUNG = 4  # times d + 1 evaluations


@dataclass(frozen=True)
class Composition:
    """What is observed of a study, what is believed of it, and what is sought.

    Parameters
    ----------
    policy, region
        How points are sought, and where.
    seen
        All observations.
    models
        Fitted to them.
    reference_point
        Of several objectives, in their scores; None: chosen from what was observed.
    counting
        (n,) which observed points may be the best, where parameters have roles; None: all.
    """

    policy: Policy
    region: Region
    seen: Observations
    models: OutcomeModels
    reference_point: tuple[float, ...] | None = None
    counting: Tensor | None = None

    @property
    def X_counting(self) -> Tensor:
        """(m, d) observed points that may be the best, wherever they lie."""
        return self.seen.X if self.counting is None else self.seen.X[self.counting]

    def inside(self) -> Tensor:
        """Which observed points (n,) lie in the region; all of them where none does.

        The models learn from the others too, but nobody can improve on them by an allowed point.
        """
        mask = torch.from_numpy(self.region.holds(self.seen.X.numpy()))
        if self.counting is not None and bool((mask & self.counting).any()):
            mask = mask & self.counting
        return mask if bool(mask.any()) else torch.ones_like(mask)

    def log_feasibility(self) -> Tensor:
        """Log probability (n,) that the observed points meet the outcome constraints.

        Where nothing is noisy it is known: 0 or minus infinity.
        """
        return self._log_feasibility

    @cached_property  # each of many drawn models asks for it
    def _log_feasibility(self) -> Tensor:
        if self.seen.exact or not self.seen.constraints:
            return torch.where(self.seen.met, 0.0, -math.inf)
        with torch.no_grad():
            likely: Tensor = self._mean_feasibility().log_probability(self.seen.X)
        return likely

    def feasible(self) -> Tensor:
        """Which observed points (n,) are feasible, as observed or likely enough (`RISK`)."""
        return self.log_feasibility() >= math.log1p(-RISK)

    def probability_of_feasibility(self, X: Tensor) -> Tensor:
        """Probability (k,) that points (k, d) meet the outcome constraints."""
        if not self.seen.constraints:
            return torch.ones(len(X), dtype=X.dtype)
        with torch.no_grad():
            likely: Tensor = self._mean_feasibility().log_probability(X).exp()
        return likely

    def ranked(self, merit: Array | None = None) -> Tensor:
        """Rows of the observed points, best first: feasible ones, then the almost feasible.

        Only those inside of the region. What is best is said by `merit` (n,), by the scores if it
        is None.
        """
        merit = self._merit() if merit is None else merit
        order = np.lexsort((-merit, self._shortfall()))
        rows = torch.from_numpy(order)
        return rows[self.inside()[rows]]

    def _merit(self) -> Array:
        """Scores (n,) of one objective; of several, minus how many points dominate each."""
        pairs = zip(self.models.objectives, self.seen.objectives, strict=True)
        scores: Array = torch.stack([_scores(*pair) for pair in pairs], dim=-1).numpy()
        if scores.shape[1] == 1:
            only: Array = scores[:, 0]
            return only
        better = (scores >= scores[:, None]).all(-1) & (scores > scores[:, None]).any(-1)
        dominating: Array = better.sum(1).astype(np.float64)
        return -dominating

    def _shortfall(self) -> Array:
        """How far (n,) from being feasible: observed without noise, else by the model."""
        if self.seen.exact:
            # A violation may be lost to rounding, where values of the constraint are huge.
            missed = self.seen.violation().clamp_min(_LEAST_VIOLATION)
            return torch.where(self.seen.met, 0.0, missed).numpy()
        likely = self.log_feasibility()
        return torch.where(likely >= math.log1p(-RISK), 0.0, -likely).numpy()

    def shows_nothing_new(self, negligible: float) -> bool:
        """Whether an evaluation that is repeated gives the same again, noise being inferred."""
        everything = (*self.models.objectives, *self.models.constraints)
        return all(
            0.0 < float(torch.as_tensor(model.hyperparameters.noise).max()) < negligible
            for model in everything
        )

    def chances(self) -> list[LogProbability]:
        """Probabilities that a point is feasible, and gives anything, where that is not sure."""
        factors: list[LogProbability] = []
        if self.seen.constraints:
            factors.append(self._mean_feasibility())
        if self.models.success is not None:
            factors.append(self.models.success)
        return factors

    def factors(self) -> list[LogProbability]:
        """What an acquisition is multiplied by: `chances`, wary of what seldom succeeds."""
        feasibility: list[LogProbability] = []
        if self.seen.constraints:
            feasibility.append(self._mean_feasibility())
        return [*feasibility, *self.success()]

    def mean(self) -> AcquisitionFunction:
        """The posterior mean of the only objective, where points are feasible likely enough."""
        limits: list[tuple[LogProbability, float]] = []
        if self.seen.constraints:
            limits.append((self._mean_feasibility(), 1.0 - RISK))
        if self.models.success is not None:
            limits.append((self.models.success, self._least_success()))
        mean = PosteriorMeanWithGradient(self.models.objectives[0])
        return FeasibleMean(mean, limits) if limits else mean

    def acquisition(self, X_pending: Tensor | None) -> AcquisitionFunction:
        """What the next point maximises, beside pending ones (k, d)."""
        members = self.models.members
        if len(members) == 1 or callable(self.policy.acquisition):  # these average for themselves
            return self._of_one(self.models, X_pending)
        # Where each has fantasies of its own, or points of its own to look for, fewer members do.
        if X_pending is not None or self.policy.needs_region or len(self.seen.objectives) > 1:
            members = members[:: max(1, len(members) // _FEW_MEMBERS)]
        return Average([self._of_one(member, X_pending) for member in members])

    def together(
        self, q: int, incumbents: Array, X_pending: Tensor, rng: np.random.Generator
    ) -> Array:
        """The q points (q, d) that are worth most together, beside pending ones (k, d)."""
        name = "ei" if self.policy.acquisition == "auto" else self.policy.acquisition
        return maximize_jointly(
            self.models.objectives[0],
            self.seen.objectives[0].at(self.inside()),
            q,
            incumbents,
            rng,
            acquisition=name,  # type: ignore[arg-type]
            X_pending=X_pending,
            region=self.region,
            factors=self.success(),
        )

    def _of_one(self, models: OutcomeModels, X_pending: Tensor | None) -> AcquisitionFunction:
        wanted = self._wanted(models, X_pending)
        return WithProbability(wanted, self.success()) if models.success else wanted

    def success(self) -> list[LogProbability]:
        """The probability of success, where that is not sure, with a barrier below the least."""
        success = self.models.success
        return [] if success is None else [Cautious(success, self._least_success())]

    def _least_success(self) -> float:
        """What is well below the probability of success where evaluations succeeded is not tried.

        While little is known more is tried: every failure still teaches where they are.
        """
        success = self.models.success
        assert success is not None
        n_ended = len(self.seen.X) + len(self.seen.X_failed)
        is_young = n_ended < _YOUNG * (self.seen.X.shape[1] + 1)
        share = _BOLD if is_young else _CAUTIOUS
        with torch.no_grad():
            return share * float(success.probability(self.seen.X).max())

    def _wanted(self, models: OutcomeModels, X_pending: Tensor | None) -> AcquisitionFunction:
        """What an evaluation that gives something is worth."""
        seen = self.seen.at(self.inside())
        objectives = list(zip(models.objectives, seen.objectives, strict=True))
        constraints = [
            (model, each.data, each.low, each.high)
            for model, each in zip(models.constraints, seen.constraints, strict=True)
        ]
        if len(objectives) > 1:
            return hypervolume_improvement.build(
                objectives, constraints, X_pending, self.reference_point
            )
        if self.policy.samples_outcomes(X_pending is not None, bool(constraints)):
            return sampled_improvement.build(objectives[0], constraints, X_pending)
        return self._weighted(models, X_pending)

    def _weighted(self, models: OutcomeModels, X_pending: Tensor | None) -> AcquisitionFunction:
        """The named acquisition over feasible points, times the probability of feasibility."""
        model, data = models.objectives[0], self.seen.objectives[0]
        rows = self.inside()
        if not self.seen.constraints:
            return self.policy.builder(self.region)(model, data.at(rows), X_pending)
        feasibility = self._feasibility(models, X_pending)
        rows = rows & self.feasible()
        if not bool(rows.any()):
            return feasibility
        wanted = self.policy.builder(self.region)(model, data.at(rows), X_pending)
        return WithProbability(wanted, [feasibility])

    def _bounded(self, models: OutcomeModels) -> list[Bounded]:
        return [
            Bounded(model, constraint.low, constraint.high)
            for model, constraint in zip(models.constraints, self.seen.constraints, strict=True)
        ]

    def _mean_feasibility(self) -> MeanProbability:
        """Probability that the outcome constraints are met, averaged over drawn hyperparameters."""
        return MeanProbability([self._feasibility(member) for member in self.models.members])

    def _feasibility(
        self, models: OutcomeModels, X_pending: Tensor | None = None
    ) -> ProbabilityOfFeasibility:
        bounded = self._bounded(models)
        if X_pending is not None:
            bounded = [
                replace(one, model=believe(one.model, constraint.data, X_pending))
                for one, constraint in zip(bounded, self.seen.constraints, strict=True)
            ]
        return ProbabilityOfFeasibility(bounded)


def _scores(model: Surrogate, data: Dataset) -> Tensor:
    """Scores (n,) of the observed points: observed without noise, else by the model."""
    if bool((data.Yvar == 0).all()):
        return data.Y.squeeze(-1)
    with torch.no_grad():
        mean: Tensor = model.marginals(data.X)[0]
    return mean
