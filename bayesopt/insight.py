"""What the models of all trials say: the points to use, predictions, feasibility, explanations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesopt.acquisition.pending import noise_at, noise_of_next
from bayesopt.composition import Composition
from bayesopt.data import Dataset, complete
from bayesopt.explanation import Explanation, explain
from bayesopt.fitted import fitted, fitted_with_roles
from bayesopt.in_words import described
from bayesopt.models.outcomes import OutcomeModels
from bayesopt.observations import Observations, observations
from bayesopt.parameter import Array
from bayesopt.pareto_front import ParetoFront, pareto_front
from bayesopt.recommend import Recommendation, Rule, recommend
from bayesopt.region import Region
from bayesopt.settings import Settings
from bayesopt.space import Params
from bayesopt.target import is_evaluated_elsewhere, target_of
from bayesopt.torch_settings import own_torch_settings
from bayesopt.trial import Trial, TrialState


@dataclass(frozen=True)
class Insight:
    """The trials of a study, and the models that its policy fits to them.

    Parameters
    ----------
    settings, region
        The study.
    trials
        What is known.

    Raises
    ------
    ValueError
        If nothing has been observed yet.
    """

    settings: Settings
    region: Region
    trials: Sequence[Trial]

    def __post_init__(self) -> None:
        if not any(trial.state is TrialState.COMPLETE for trial in self.trials):
            raise ValueError("Nothing has been observed yet; tell or add a result first.")

    def recommend(self, rule: Rule | Literal["auto"]) -> Recommendation:
        """The point to use, by the rule."""
        if len(self.settings.directions) > 1:
            raise ValueError(
                f"This study has {len(self.settings.directions)} objectives, of which no single "
                "point is the best: choose one of `study.pareto_front()`."
            )
        if rule == "auto":
            rule = self._automatic_rule()
        if rule == "best_observed" and is_evaluated_elsewhere(self.settings.space):
            raise ValueError(
                "The rule 'best_observed' is for observations of what is sought, but those of a "
                f"{self.settings.space.role} are of something else; use 'best_mean' or "
                "'best_evaluated_mean'."
            )
        with own_torch_settings():
            found = self._fitted(self.settings.policy.search.truncate)
            best = recommend(found, complete(self.trials), rule, self.settings.seed)
        return replace(best, params=self.settings.space.reported(best.params))

    def _automatic_rule(self) -> Rule:
        if is_evaluated_elsewhere(self.settings.space):
            return "best_mean"
        done = complete(self.trials)
        X = self.settings.space.to_units([trial.params for trial in done])
        if not self.region.holds(X).any():
            return "best_mean"
        exact = not any(trial.evaluation and any(trial.evaluation.sds) for trial in done)
        return "best_observed" if self.settings.noise is False and exact else "best_evaluated_mean"

    def pareto_front(self) -> ParetoFront:
        """The points to choose from."""
        if len(self.settings.directions) == 1:
            raise ValueError(
                "This study has one objective: ask `study.recommend()` for its best point, or make "
                "it with a list of directions, as in direction=['minimize', 'maximize']."
            )
        with own_torch_settings():
            found = self._fitted(None)
            return pareto_front(found, self.trials, self.settings.reference_point)

    def predict(
        self, points: Sequence[Params], observation_noise: bool = False
    ) -> tuple[Array, Array]:
        """Mean and standard deviation at n points, in the user's units: (n,), or (n, m) of m > 1
        objectives; of the function, or of a new observation of it.

        A point without parameters that have a role stands for what is sought of them.
        """
        m = len(self.settings.directions)
        means, sds = np.empty((2, len(points), m))
        with own_torch_settings(), torch.no_grad():
            for asked in self._asked(points):
                if observation_noise and asked.is_of_many:
                    raise ValueError(
                        "`observation_noise` is for what can be observed, but what is sought here "
                        "is made of many values: leave it out, or give each point the parameters "
                        "that have a role."
                    )
                models, seen = asked.found.models, asked.found.seen
                pairs = zip(models.objectives, seen.objectives, strict=True)
                for j, (model, data) in enumerate(pairs):
                    mean, variance = model.marginals(asked.X)
                    if observation_noise:
                        noise = noise_at(model, noise_of_next(model, data), asked.X)
                        variance = variance + noise
                    means[asked.rows, j], sds[asked.rows, j] = _in_units(data, mean, variance)
        return (means[:, 0], sds[:, 0]) if m == 1 else (means, sds)

    def predict_constraints(self, points: Sequence[Params]) -> dict[str, tuple[Array, Array]]:
        """Mean (n,) and standard deviation (n,) of each outcome constraint at n points."""
        names = self.settings.outcome_constraints.names
        predicted = {name: (np.empty(len(points)), np.empty(len(points))) for name in names}
        with own_torch_settings(), torch.no_grad():
            for asked in self._asked(points):
                models, seen = asked.found.models, asked.found.seen
                parts = zip(names, models.constraints, seen.constraints, strict=True)
                for name, model, each in parts:
                    moments = _in_units(each.data, *model.marginals(asked.X))
                    for whole, part in zip(predicted[name], moments, strict=True):
                        whole[asked.rows] = part
        return predicted

    def feasibility(self, points: Sequence[Params]) -> Array:
        """Probability (n,) that points meet the outcome constraints and do not fail."""
        found = np.empty(len(points))
        with own_torch_settings(), torch.no_grad():
            for asked in self._asked(points):
                likely = torch.ones(len(asked.X), dtype=asked.X.dtype)
                for chance in asked.found.chances():
                    likely *= chance.log_probability(asked.X).exp()
                found[asked.rows] = likely.numpy()
        return found

    def _asked(self, points: Sequence[Params]) -> "list[_Asked]":
        """What is sought at those points that are at the target or leave the roles out, and f at
        the others."""
        space = self.settings.space
        if space.role is None:
            X = torch.from_numpy(space.to_units(points))
            return [_Asked(np.arange(len(points)), X, self._fitted(None))]
        first = space.at_target().from_unit(np.zeros(len(space)))
        shows = [len(point) < len(space) or space.is_at_target(point) for point in points]
        sought = [i for i, it_does in enumerate(shows) if it_does]
        others = [i for i, it_does in enumerate(shows) if not it_does]
        parts = []
        if sought:
            at = space.to_units([first | points[i] for i in sought])
            of_many = not target_of(space, self.settings.environment).is_one
            found = self._fitted(None)
            parts.append(_Asked(np.array(sought, int), torch.from_numpy(at), found, of_many))
        if others:
            at = space.to_units([points[i] for i in others])
            parts.append(_Asked(np.array(others), torch.from_numpy(at), self._everywhere()))
        return parts

    def _everywhere(self) -> Composition:
        """The models of f over all columns."""
        search, _ = fitted_with_roles(
            self.settings, self.trials, self.region, None, self._rng(), each_task=True
        )
        return Composition(self.settings.policy, self.region, search.seen, search.models.in_scores)

    @property
    def description(self) -> str:
        """Models and acquisition in words."""
        settings = self.settings
        seen = observations(
            settings.space,
            self.trials,
            settings.directions,
            settings.noise,
            settings.outcome_constraints,
        )
        return ", ".join(described(settings, seen))

    def explain(self) -> Explanation:
        """What the models have learnt."""
        with own_torch_settings():
            seen, models = self._observed(self.settings.policy.search.truncate)
            return explain(
                seen,
                models,
                self.settings.outcome_constraints.names,
                self.settings.space,
                list(self.trials),
                described(self.settings, seen),
            )

    def _observed(self, truncate: float | None) -> tuple[Observations, OutcomeModels]:
        """What was observed, and its models: with roles those over all columns."""
        if self.settings.space.role is None:
            found = self._fitted(truncate)
            return found.seen, found.models
        search, _ = fitted_with_roles(
            self.settings, self.trials, self.region, truncate, self._rng()
        )
        return search.seen, search.models

    def _fitted(self, truncate: float | None) -> Composition:
        """The models of all trials so far; the same as long as no trial comes or ends."""
        return fitted(self.settings, self.trials, self.region, truncate, self._rng())[0]

    def _rng(self) -> np.random.Generator:
        n_ended = sum(trial.state is not TrialState.RUNNING for trial in self.trials)
        return np.random.default_rng([self.settings.seed, n_ended, 1])


@dataclass(frozen=True)
class _Asked:
    """Some of the points that predictions are asked for, and what they are asked of.

    Parameters
    ----------
    rows
        (k,) which of the points.
    X
        (k, d) in the unit cube.
    found
        The models.
    is_of_many
        Whether it is made of many values, none of which shows it.
    """

    rows: NDArray[np.int64]
    X: Tensor
    found: Composition
    is_of_many: bool = False


def _in_units(data: Dataset, mean: Tensor, variance: Tensor) -> tuple[Array, Array]:
    """Means and standard deviations in the user's units."""
    scaling = data.scaling
    return scaling.value(mean.numpy()), scaling.value_sd(variance.sqrt().numpy())
