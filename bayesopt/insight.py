"""What the models of all trials say: the points to use, predictions, feasibility, explanations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from bayesopt.acquisition.pending import noise_at, noise_of_next
from bayesopt.composition import Composition
from bayesopt.data import complete
from bayesopt.explanation import Explanation, explain
from bayesopt.fitted import fitted, fitted_with_roles
from bayesopt.models.outcomes import OutcomeModels
from bayesopt.observations import Observations, observations
from bayesopt.parameter import Array
from bayesopt.pareto_front import ParetoFront, pareto_front
from bayesopt.recommend import Recommendation, Rule, recommend
from bayesopt.region import Region
from bayesopt.settings import Settings
from bayesopt.space import Params
from bayesopt.target import target_of
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
        if rule == "best_observed" and self._seeks_elsewhere:
            raise ValueError(
                "The rule 'best_observed' is for observations of what is sought, but those of a "
                f"{self.settings.space.role} are of something else; use 'best_mean' or "
                "'best_evaluated_mean'."
            )
        with own_torch_settings():
            found = self._fitted(self.settings.policy.search.truncate)
            best = recommend(found, complete(self.trials), rule, self.settings.seed)
        return replace(best, params=self.settings.space.reported(best.params))

    @property
    def _seeks_elsewhere(self) -> bool:
        """Whether evaluations are also made of something else than what is sought."""
        space = self.settings.space
        return space.role is not None and not (space.role == "task" and target_of(space).is_one)

    def _automatic_rule(self) -> Rule:
        if self._seeks_elsewhere:
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
        objectives; of the function, or of a new observation of it."""
        space = self.settings.space
        if observation_noise and space.role is not None:
            if not target_of(space, self.settings.environment).is_one:
                raise ValueError(
                    "`observation_noise` is for what can be observed, but what is sought here is "
                    "made of many values: leave it out."
                )
        X = torch.from_numpy(space.to_units(points))
        with own_torch_settings(), torch.no_grad():
            found = self._fitted(None)
            pairs = zip(found.models.objectives, found.seen.objectives, strict=True)
            moments = []
            for model, data in pairs:
                mean, variance = model.marginals(X)
                if observation_noise:
                    variance = variance + noise_at(model, noise_of_next(model, data), X)
                moments.append((data.scaling, mean, variance))
        means = [scaling.value(mean.numpy()) for scaling, mean, _ in moments]
        sds = [scaling.value_sd(variance.sqrt().numpy()) for scaling, _, variance in moments]
        if len(means) == 1:
            return means[0], sds[0]
        return np.stack(means, axis=1), np.stack(sds, axis=1)

    def predict_constraints(self, points: Sequence[Params]) -> dict[str, tuple[Array, Array]]:
        """Mean (n,) and standard deviation (n,) of each outcome constraint at n points."""
        X = torch.from_numpy(self.settings.space.to_units(points))
        predicted = {}
        with own_torch_settings(), torch.no_grad():
            found = self._fitted(None)
            for name, model, each in zip(
                self.settings.outcome_constraints.names,
                found.models.constraints,
                found.seen.constraints,
                strict=True,
            ):
                mean, variance = model.marginals(X)
                scaling = each.data.scaling
                sd = scaling.value_sd(variance.sqrt().numpy())
                predicted[name] = (scaling.value(mean.numpy()), sd)
        return predicted

    def feasibility(self, points: Sequence[Params]) -> Array:
        """Probability (n,) that points meet the outcome constraints and do not fail."""
        X = torch.from_numpy(self.settings.space.to_units(points))
        with own_torch_settings(), torch.no_grad():
            likely = torch.ones(len(X), dtype=X.dtype)
            for chance in self._fitted(None).chances():
                likely *= chance.log_probability(X).exp()
        found: Array = likely.numpy()
        return found

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
        return ", ".join(self._described(seen))

    def _described(self, seen: Observations) -> tuple[str, str]:
        varies = self.settings.noise_varies
        policy = self.settings.policy.where_noise(varies)
        model, acquisition = policy.described(seen)
        if varies and policy.acquisition != "random":
            model += ", heteroscedastic noise"
        return model, acquisition

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
                self._described(seen),
            )

    def _observed(self, truncate: float | None) -> tuple[Observations, OutcomeModels]:
        """What was observed, and its models: with roles those over all columns."""
        if self.settings.space.role is None:
            found = self._fitted(truncate)
            return found.seen, found.models
        rng = np.random.default_rng(self.settings.seed)
        search, _ = fitted_with_roles(self.settings, self.trials, self.region, truncate, rng)
        return search.seen, search.models

    def _fitted(self, truncate: float | None) -> Composition:
        """The models of all trials so far; the same as long as no trial comes or ends."""
        n_ended = sum(trial.state is not TrialState.RUNNING for trial in self.trials)
        rng = np.random.default_rng([self.settings.seed, n_ended, 1])
        return fitted(self.settings, self.trials, self.region, truncate, rng)[0]
