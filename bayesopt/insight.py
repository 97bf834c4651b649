"""What the model of all trials says: the point to use, predictions, explanations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from bayesopt.data import Dataset, complete, dataset
from bayesopt.explanation import Explanation, explain
from bayesopt.models.surrogate import Surrogate
from bayesopt.parameter import Array
from bayesopt.recommend import Recommendation, Rule, recommend
from bayesopt.region import Region
from bayesopt.settings import Settings
from bayesopt.space import Params
from bayesopt.suggestion import fit_model
from bayesopt.torch_settings import own_torch_settings
from bayesopt.trial import Trial, TrialState


@dataclass(frozen=True)
class Insight:
    """The trials of a study, and the model that its policy fits to them.

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
        if rule == "auto":
            rule = self._automatic_rule()
        space, trials = self.settings.space, complete(self.trials)
        with own_torch_settings():
            model, data = self._fitted(self.settings.policy.search.truncate)
            return recommend(model, data, space, trials, rule, self.settings.seed, self.region)

    def _automatic_rule(self) -> Rule:
        done = complete(self.trials)
        X = self.settings.space.to_units([trial.params for trial in done])
        if not self.region.holds(X).any():
            return "best_mean"
        exact = not any(trial.evaluation is not None and trial.evaluation.sd for trial in done)
        return "best_observed" if self.settings.noise is False and exact else "best_evaluated_mean"

    def predict(self, points: Sequence[Params]) -> tuple[Array, Array]:
        """Mean (n,) and standard deviation (n,) of the function at n points, in user's units."""
        X = torch.from_numpy(self.settings.space.to_units(points))
        with own_torch_settings(), torch.no_grad():
            model, data = self._fitted(None)
            mean, variance = model.marginals(X)
        return data.scaling.value(mean.numpy()), data.scaling.value_sd(variance.sqrt().numpy())

    @property
    def description(self) -> str:
        """Model and acquisition in words."""
        settings = self.settings
        data = dataset(settings.space, self.trials, settings.direction, settings.noise)
        return ", ".join(settings.policy.described(data))

    def explain(self) -> Explanation:
        """What the model has learnt."""
        policy = self.settings.policy
        with own_torch_settings():
            model, data = self._fitted(policy.search.truncate)
            described = policy.described(data)
            return explain(model, data, self.settings.space, list(self.trials), described)

    def _fitted(self, truncate: float | None) -> tuple[Surrogate, Dataset]:
        """The model of all trials so far; the same as long as no trial comes or ends."""
        settings = self.settings
        n_ended = sum(trial.state is not TrialState.RUNNING for trial in self.trials)
        rng = np.random.default_rng([settings.seed, n_ended, 1])
        model, data, _ = fit_model(
            settings.space,
            settings.policy,
            self.trials,
            settings.direction,
            settings.noise,
            truncate,
            rng,
        )
        return model, data
