"""Fit the policy's models to what was observed, and put them together with what is sought.

No formula lives here.
"""

from collections.abc import Sequence

import numpy as np
import torch

from bayesopt.composition import Composition
from bayesopt.models.outcomes import Theta, fit_outcomes
from bayesopt.observations import observations
from bayesopt.region import Region
from bayesopt.settings import Settings
from bayesopt.spending import Spending
from bayesopt.target import Target, seeks_one_task, target_of
from bayesopt.target_search import TargetSearch
from bayesopt.trial import Trial

_LATER_IN_TASKS = 4.0  # times as far out, see `_of_roles`


def fitted(
    settings: Settings,
    trials: Sequence[Trial],
    region: Region,
    truncate: float | None,
    rng: np.random.Generator,
) -> tuple[Composition, Theta]:
    """Fit the policy's models to the trials, from where the last fit ended.

    Parameters
    ----------
    settings, trials, region
        The study; at least one trial is complete.
    truncate
        How poor values count (see `data.dataset`).
    rng
        Nothing is drawn from it unless hyperparameters are sampled.

    Returns
    -------
    composition, theta
        The fitted models with what they were fitted to, and where the next fit starts from.

    Raises
    ------
    ValueError
        If there are partial derivatives, which the policy's model cannot learn from.
    """
    if settings.space.role is not None:
        search, theta = fitted_with_roles(settings, trials, region, truncate, rng)
        return search.target, theta
    seen = observations(
        settings.space,
        trials,
        settings.directions,
        settings.noise,
        settings.outcome_constraints,
        truncate,
    )
    policy = settings.policy.where_noise(settings.noise_varies)
    if seen.objectives[0].dY is not None:
        settings.check_takes_derivatives()
    models, theta = fit_outcomes(
        seen,
        policy.process,
        policy.hyperparameters,
        rng,
        _last_fit(trials),
        noise_varies=settings.noise_varies,
    )
    reference = settings.reference_point
    if reference is not None:
        pairs = zip(seen.objectives, reference, strict=True)
        reference = tuple(
            float(data.scaling.score_bound(np.array([value]))[0]) for data, value in pairs
        )
    return Composition(policy, region, seen, models, reference), theta


def fitted_with_roles(
    settings: Settings,
    trials: Sequence[Trial],
    region: Region,
    truncate: float | None,
    rng: np.random.Generator,
    *,
    each_task: bool = False,
) -> tuple[TargetSearch, Theta]:
    """The same for a space with roles; its `target` is the composition of what is sought.

    Where the target is a mean, poor values count as they are, since they are parts of it.
    `each_task` is that of `models.outcomes.fit_outcomes`.
    """
    space, policy = settings.space, settings.policy
    sought = target_of(space, settings.environment)
    seen = observations(
        space,
        trials,
        settings.directions,
        settings.noise,
        settings.outcome_constraints,
        _of_roles(truncate, space.role, sought),
        traces=True,
    )
    models, theta = fit_outcomes(
        seen,
        policy.process,
        policy.hyperparameters,
        rng,
        _last_fit(trials),
        with_roles=(space, sought),
        truncate=truncate,
        each_task=each_task,
    )
    reports = region.at_target
    of_trials = seen.of_trials
    X = torch.from_numpy(reports.space.snap(of_trials.X.numpy()))
    of_role = of_trials.X[:, list(space.role_columns)]
    at_target = (of_role == sought.nodes[0]).all(-1) & sought.is_one
    target = Composition(
        policy,
        reports,
        of_trials.moved(X, at_target),
        models.target,
        counting=at_target if seeks_one_task(space) else None,
    )
    spending = Spending.of(settings, trials)
    return TargetSearch(target, models, seen, region, sought, spending), theta


def _of_roles(truncate: float | None, role: str | None, sought: Target) -> float | None:
    """How poor values count where there are roles; in tasks less soon, since each is cut off at
    another height, and what they have in common would be lost."""
    if truncate is None or not sought.is_one:
        return None
    return truncate * _LATER_IN_TASKS if role == "task" else truncate


def _last_fit(trials: Sequence[Trial]) -> Theta:
    fits = [trial.hyperparameters for trial in trials if trial.hyperparameters is not None]
    return fits[-1] if fits else ()
