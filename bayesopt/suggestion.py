"""From what was seen to the next point: fits the policy's models, maximises its acquisition.

Before the models know enough points fill the space; in between the best posterior mean is tried,
and the target of cheap approximations; several points at once are chosen one by one, or together
where the policy says so. Where the noise varies a point may be repeated. A task is led by what is
known of others; where they turn out to say nothing of it, points fill the space anew. What a budget
does not pay for is not chosen.

Asking is a pure function of the settings of the study, the trials and the trial's number.
No formula lives here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bayesopt import optimize
from bayesopt.budget import BudgetSpent
from bayesopt.composition import Composition
from bayesopt.data import Noise, complete
from bayesopt.design import SpaceExhausted, Taken, start, uniform
from bayesopt.first_roles import in_roles
from bayesopt.fitted import fitted, fitted_with_roles
from bayesopt.fixed_value import Fixed
from bayesopt.models.joint.process import TargetProcess
from bayesopt.models.outcomes import Theta
from bayesopt.parameter import Array
from bayesopt.region import Region
from bayesopt.repetition import as_evaluated, or_again
from bayesopt.settings import Settings
from bayesopt.space import Params, Space
from bayesopt.spending import Spending
from bayesopt.target import has_approximations, is_evaluated_elsewhere, seeks_one_task
from bayesopt.trial import Trial, TrialState

_N_INCUMBENTS = 5
_EFFORT_FOR_THE_MEAN = optimize.Effort(n_global=128, n_local=128, n_starts=2)  # it has few peaks
_LEAST_PROMISE = 1e-7  # in standard deviations of the observed scores
# Where the best mean keeps away from a border that is not known yet, it is asked for in vain.
_RARER_UNDER_CONSTRAINTS = 2
# Other tasks have shown where to look, or have misled, which is to be made up for.
_SOONER_WITH_HISTORY = 1
_POLISHED_FROM = 4  # observations: where the others lead, they have decided among its basins then
_NEGLIGIBLE_NOISE = 1e-6  # in the same unit, squared: repeating a point shows nothing new


@dataclass(frozen=True)
class Suggestion:
    """A point to evaluate, where it comes from, and the hyperparameters that led to it."""

    params: Params
    origin: str
    hyperparameters: Theta | None = None


def default_n_initial(space: Space) -> int:
    """Size of the space-filling design when the user does not say: 2 (d + 1), at most 20."""
    return min(2 * (len(space) + 1), 20)


def suggest(
    settings: Settings,
    trials: Sequence[Trial],
    numbers: Sequence[int],
    region: Region | None = None,
) -> list[Suggestion]:
    """Choose the next point, or several that are to be evaluated together.

    Parameters
    ----------
    settings
        The study.
    trials
        What is known; running trials are pending points.
    numbers
        Numbers of the trials that ask; more than one where points are chosen jointly.
    region
        The part of the space that satisfies the constraints; None: all of it.

    Returns
    -------
    list of Suggestion
        One for each number; fewer where a finite space has no more.

    Raises
    ------
    SpaceExhausted
        If `noise` is False and every point of a finite space is taken.
    """
    region = region or Region(settings.space)
    if len(numbers) > 1 and _is_modelled(settings, trials):
        return _together(settings, trials, numbers, region)
    chosen: list[Suggestion] = []
    beside = list(trials)
    for number in numbers:
        try:
            one = _one(settings, beside, number, region)
        except SpaceExhausted:
            if not chosen:
                raise
            break
        chosen.append(one)
        beside.append(Trial(number, one.params, hyperparameters=one.hyperparameters))
    return chosen


def _together(
    settings: Settings, trials: Sequence[Trial], numbers: Sequence[int], region: Region
) -> list[Suggestion]:
    """Points that are worth most together; one that may not be asked for is chosen by itself."""
    rng = np.random.default_rng([settings.seed, *numbers])
    _free(region, trials, settings.noise)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(rng.integers(2**63)))
        found, theta = fitted(settings, trials, region, settings.policy.search.truncate, rng)
        pending = _points(settings.space, trials, TrialState.RUNNING)
        X = found.together(len(numbers), _incumbents(found), pending, rng)
    chosen: list[Suggestion] = []
    beside = list(trials)
    for number, x in zip(numbers, X, strict=True):
        params = settings.space.from_unit(x)
        spending = Spending.of(settings, beside)
        try:
            taken = _free(region, beside, settings.noise).holds(settings.space.to_unit(params))
            if taken or not spending.can_pay(x):
                one = _one(settings, beside, number, region)
            else:
                one = Suggestion(region.must_hold(params), "acquisition", theta)
        except (SpaceExhausted, BudgetSpent):
            break
        chosen.append(one)
        beside.append(Trial(number, one.params))
    return chosen


def _is_modelled(settings: Settings, trials: Sequence[Trial]) -> bool:
    """Whether enough is known for the models to choose."""
    n_known = sum(trial.state is not TrialState.FAILED for trial in trials)
    started = n_known >= settings.n_initial and bool(complete(trials))
    return started and settings.policy.acquisition != "random"


def _one(settings: Settings, trials: Sequence[Trial], number: int, region: Region) -> Suggestion:
    seed = settings.seed
    rng = np.random.default_rng([seed, number])
    if seeks_one_task(settings.space):
        region = region.at_target
    taken = _free(region, trials, settings.noise)
    if settings.policy.acquisition == "random":
        X = Spending.of(settings, trials).payable(uniform(region, rng), region, rng)
        return Suggestion(taken.first_free(X, rng), "random")
    if not _is_modelled(settings, trials):
        known = _points(settings.space, trials, *TrialState).numpy()
        X = start(region, known, seed, number)
        if settings.space.role is not None:
            X = in_roles(X, region, settings, number, trials)
        spending = Spending.of(settings, trials)
        if has_approximations(settings.space):
            X = _keep_back(settings.space, trials, spending, X, region.at_target.space.snap(X))
        X = spending.payable(X, region, rng)
        return Suggestion(taken.first_free(X, rng), "initial")
    with torch.random.fork_rng(devices=[]):  # for acquisitions that draw samples of their own
        torch.default_generator.manual_seed(int(rng.integers(2**63)))
        return _by_models(settings, trials, region, taken, rng)


def _free(region: Region, trials: Sequence[Trial], noise: Noise) -> Taken:
    """What may not be asked for again; raises SpaceExhausted where that is all of the space."""
    taken = _taken(region, trials, noise)
    if taken.all_of_the_space():
        where = (
            "points that satisfy the constraints" if region.constrained else "points of the space"
        )
        raise SpaceExhausted(f"All {region.size} {where} have been tried.")
    return taken


def _by_models(
    settings: Settings,
    trials: Sequence[Trial],
    region: Region,
    taken: Taken,
    rng: np.random.Generator,
) -> Suggestion:
    policy, space = settings.policy, settings.space
    if is_evaluated_elsewhere(space):
        return _in_all_roles(settings, trials, region, taken, rng)
    found, theta = fitted(settings, trials, region, policy.search.truncate, rng)
    incumbents = _incumbents(found)
    pending = _points(space, trials, TrialState.RUNNING)
    spending = Spending.of(settings, trials)
    inferred_exact = settings.noise == "auto" and found.shows_nothing_new(_NEGLIGIBLE_NOISE)
    if inferred_exact:
        everything = _taken(region, trials, False)
        if not everything.all_of_the_space():  # else a repetition is all that is left
            taken = everything
    if _starts_anew(settings, found):
        own = torch.cat((found.X_counting, pending)).numpy()
        fresh = start(region, own, settings.seed, len(own))
        return Suggestion(
            taken.first_free(spending.payable(fresh, region, rng), rng), "initial", theta
        )
    is_exact = settings.noise is False or inferred_exact
    X = None
    if _is_turn_to_exploit(found, len(trials), pending, is_exact):
        X = _promising(found, incumbents, rng)
    if X is None:
        acquisition = found.acquisition(pending if len(pending) > 0 else None)
        acquisition = spending.affordable(spending.per_cost(acquisition))
        X, v = optimize.maximize(acquisition, region, incumbents, rng, effort=policy.search.effort)
        if settings.noise_varies and not callable(policy.acquisition):
            X = or_again(found, acquisition, X, float(v[0]))
    params = taken.first_free(spending.payable(X, region, rng), rng)
    if settings.noise_varies:
        params = as_evaluated(params, space, trials)
    return Suggestion(params, "acquisition", theta)


def _in_all_roles(
    settings: Settings,
    trials: Sequence[Trial],
    region: Region,
    taken: Taken,
    rng: np.random.Generator,
) -> Suggestion:
    """Where f is evaluated at other values of the role columns than those that are sought."""
    search, theta = fitted_with_roles(
        settings, trials, region, settings.policy.search.truncate, rng
    )
    found = search.target
    incumbents = _incumbents(found)
    pending = _points(settings.space, trials, TrialState.RUNNING)
    X = None
    if has_approximations(settings.space):
        best, _ = optimize.maximize(
            found.mean(), found.region, incumbents, rng, effort=_EFFORT_FOR_THE_MEAN
        )
        if search.is_turn_of_target(trials, best[0]):
            X = best
    if X is None:
        X = search.candidates(pending if len(pending) > 0 else None, incumbents, rng)
    if has_approximations(settings.space):
        X = _keep_back(settings.space, trials, search.spending, X, best)
    X = search.spending.payable(X, region, rng)
    return Suggestion(taken.first_free(X, rng), "acquisition", theta)


def _keep_back(
    space: Space, trials: Sequence[Trial], spending: Spending, X: Array, at_target: Array
) -> Array:
    """X (k, d); or the target, not asked yet, where nothing would be left for it after X."""
    asked = any(space.is_at_target(t.params) for t in trials if t.state is not TrialState.FAILED)
    if asked or len(X) == 0 or not spending.can_pay(at_target[0]):
        return X
    return X if spending.pays_for_both(X[0], at_target[0]) else at_target


def _has_history(found: Composition) -> bool:
    """Whether one task is sought and there are observations of others."""
    return len(found.X_counting) < len(found.seen.X)


def _is_led_by_others(found: Composition) -> bool:
    """Whether the model of the task that is sought is that of all tasks."""
    models = found.models.objectives
    return _has_history(found) and any(isinstance(model, TargetProcess) for model in models)


def _starts_anew(settings: Settings, found: Composition) -> bool:
    """Whether others say nothing of the task, and it is not known enough for a model of its own."""
    if not _has_history(found) or _is_led_by_others(found):
        return False
    return len(found.X_counting) < settings.n_initial


def _is_turn_to_exploit(found: Composition, n_ended: int, pending: Tensor, is_exact: bool) -> bool:
    """Never beside running trials: two of them would get nearly the same point."""
    every = found.policy.search.exploit_every
    if every is None or callable(found.policy.acquisition) or len(found.seen.objectives) > 1:
        return False
    if _has_history(found):
        every = max(every - _SOONER_WITH_HISTORY, 1)
        if _is_led_by_others(found) and len(found.X_counting) >= _POLISHED_FROM and is_exact:
            every = 1
    if found.seen.constraints:
        every *= _RARER_UNDER_CONSTRAINTS
    return n_ended % every == 0 and len(pending) == 0


def _promising(found: Composition, incumbents: Array, rng: np.random.Generator) -> Array | None:
    """Points of the best posterior mean, or None when it is no better than the incumbent's."""
    mean = found.mean()
    X, v = optimize.maximize(mean, found.region, incumbents, rng, effort=_EFFORT_FOR_THE_MEAN)
    with torch.no_grad():
        best = float(mean(torch.from_numpy(incumbents[:1]).unsqueeze(-2)))
    return X if v[0] > best + _LEAST_PROMISE else None


def _incumbents(found: Composition) -> Array:
    """Good points (k, d) so far, best first, for the search to look around."""
    rows = found.ranked()[: _N_INCUMBENTS * min(len(found.seen.objectives), 2)]
    best: Array = found.seen.X[rows].numpy()
    return best


def _points(space: Space, trials: Sequence[Trial], *states: TrialState) -> Tensor:
    points = [trial.params for trial in trials if trial.state in states]
    return torch.from_numpy(space.to_units(points))


def _taken(region: Region, trials: Sequence[Trial], noise: Noise) -> Taken:
    """All known points without noise; with it the failed ones.

    Under noise a running point of a real space is taken too; in a finite space a repetition may
    be all that is left. Points of another task are none of the one that is sought.
    """
    states = {TrialState.FAILED}
    if region.size is None or noise is False:
        states.add(TrialState.RUNNING)
    if noise is False:
        states.add(TrialState.COMPLETE)
    fixed = {name: p.value for name, p in region.space.parameters.items() if isinstance(p, Fixed)}
    there = [t for t in trials if all(t.params[name] == fixed[name] for name in fixed)]
    return Taken(region, _points(region.space, there, *states).numpy())
