"""From what was seen to the next point: fits the policy's model, maximises its acquisition.

Asking is a pure function of the space, the policy, the trials, the seed and the trial's number.
No formula lives here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from torch import Tensor

from bayesopt import optimize
from bayesopt.acquisition.average import Average
from bayesopt.acquisition.posterior_mean import PosteriorMeanWithGradient
from bayesopt.data import Dataset, Direction, Noise, complete, dataset
from bayesopt.design import SpaceExhausted, Taken, start, uniform
from bayesopt.models.fully_bayesian import FullyBayesianGaussianProcess
from bayesopt.models.surrogate import Surrogate, surrogate, with_affordable_slopes
from bayesopt.parameter import Array
from bayesopt.policy import Policy
from bayesopt.region import Region
from bayesopt.space import Params, Space
from bayesopt.trial import Trial, TrialState

_N_INCUMBENTS = 5
_EFFORT_FOR_THE_MEAN = optimize.Effort(n_global=128, n_local=128, n_starts=2)  # it has few peaks
_LEAST_PROMISE = 1e-7  # in standard deviations of the observed scores
_NEGLIGIBLE_NOISE = 1e-6  # in the same unit, squared: repeating a point shows nothing new
_FEW_MEMBERS = 4
_FAILURE_NOISE = 1e-3  # variance of a score


@dataclass(frozen=True)
class Suggestion:
    """A point to evaluate, where it comes from, and the hyperparameters that led to it."""

    params: Params
    origin: str
    hyperparameters: tuple[float, ...] | None = None


def default_n_initial(space: Space) -> int:
    """Size of the space-filling design when the user does not say: 2 (d + 1), at most 20."""
    return min(2 * (len(space) + 1), 20)


def suggest(
    space: Space,
    policy: Policy,
    trials: Sequence[Trial],
    *,
    direction: Direction,
    noise: Noise,
    seed: int,
    number: int,
    n_initial: int,
    region: Region | None = None,
) -> Suggestion:
    """Choose the next point.

    Parameters
    ----------
    space, policy, trials, direction, noise
        The study so far; running trials are pending points.
    seed, number
        Seed of the study and number of the trial that asks.
    n_initial
        Number of complete or running trials before the model takes over.
    region
        The part of the space that satisfies the constraints; None: all of it.

    Raises
    ------
    SpaceExhausted
        If `noise` is False and every point of a finite space is taken.
    """
    rng = np.random.default_rng([seed, number])
    region = region or Region(space)
    taken = _taken(region, trials, noise)
    if taken.all_of_the_space():
        where = (
            "points that satisfy the constraints" if region.constrained else "points of the space"
        )
        raise SpaceExhausted(f"All {region.size} {where} have been tried.")
    if policy.acquisition == "random":
        return Suggestion(taken.first_free(uniform(region, rng), rng), "random")
    n_known = sum(trial.state is not TrialState.FAILED for trial in trials)
    if n_known < n_initial or not complete(trials):
        known = _points(space, trials, *TrialState).numpy()
        return Suggestion(taken.first_free(start(region, known, seed, number), rng), "initial")
    with torch.random.fork_rng(devices=[]):  # for acquisitions that draw samples of their own
        torch.default_generator.manual_seed(int(rng.integers(2**63)))
        return _by_model(region, policy, trials, direction, noise, taken, rng)


def fit_model(
    space: Space,
    policy: Policy,
    trials: Sequence[Trial],
    direction: Direction,
    noise: Noise,
    truncate: float | None,
    rng: np.random.Generator,
) -> tuple[Surrogate, Dataset, tuple[float, ...]]:
    """Fit the policy's model to the complete trials, from where the last fit ended.

    Nothing is drawn from `rng` unless hyperparameters are sampled.
    """
    data = with_affordable_slopes(dataset(space, trials, direction, noise, truncate))
    if data.dY is not None:
        policy.check_takes_derivatives()
    fits = [trial.hyperparameters for trial in trials if trial.hyperparameters is not None]
    start = fits[-1] if fits else None
    model, theta = surrogate(data, policy.process, policy.hyperparameters, rng, start)
    return model, data, theta


def _by_model(
    region: Region,
    policy: Policy,
    trials: Sequence[Trial],
    direction: Direction,
    noise: Noise,
    taken: Taken,
    rng: np.random.Generator,
) -> Suggestion:
    search, space = policy.search, region.space
    model, data, theta = fit_model(space, policy, trials, direction, noise, search.truncate, rng)
    data = _inside(region, data)
    incumbents = _incumbents(model, data, noise)
    model = _with_failures(model, data, _points(space, trials, TrialState.FAILED))
    pending = _points(space, trials, TrialState.RUNNING)
    X = None
    n_ended = sum(trial.state is not TrialState.RUNNING for trial in trials)
    if _is_turn_to_exploit(policy, n_ended, pending):
        X = _promising(model, region, incumbents, rng)
    if X is None:
        beside = pending if len(pending) > 0 else None
        acquisition = _acquisition(policy, region, model, data, beside)
        X, _ = optimize.maximize(acquisition, region, incumbents, rng, effort=search.effort)
    if noise == "auto" and 0.0 < model.hyperparameters.noise < _NEGLIGIBLE_NOISE:
        everything = _taken(region, trials, False)
        if not everything.all_of_the_space():  # else a repetition is all that is left
            taken = everything
    return Suggestion(taken.first_free(X, rng), "acquisition", theta)


def _acquisition(
    policy: Policy, region: Region, model: Surrogate, data: Dataset, X_pending: Tensor | None
) -> AcquisitionFunction:
    """Built-in ones are averaged over drawn hyperparameters; those of botorch do so themselves."""
    build = policy.builder(region)
    if isinstance(model, FullyBayesianGaussianProcess) and not callable(policy.acquisition):
        members = model.models
        # Where each has fantasies of its own, or points of its own to look for, fewer members do.
        if X_pending is not None or policy.needs_region:
            members = members[:: max(1, len(members) // _FEW_MEMBERS)]
        return Average([build(member, data, X_pending) for member in members])
    acquisition = build(model, data, X_pending)
    if callable(policy.acquisition):
        _check_own(acquisition, data.X[:1].unsqueeze(-2))
    return acquisition


def _check_own(acquisition: object, X: Tensor) -> None:
    """Raise TypeError when what the user's builder returned cannot score X (1, 1, d)."""
    if not callable(acquisition):
        raise TypeError(
            "Your acquisition must return an AcquisitionFunction, which scores candidates "
            f"(b, 1, d) by a tensor (b,), but it returned {acquisition!r}."
        )
    with torch.no_grad():
        value = acquisition(X)
    if not isinstance(value, Tensor) or value.shape != (1,):
        came = tuple(value.shape) if isinstance(value, Tensor) else repr(value)
        raise TypeError(
            f"Your acquisition must score candidates (b, 1, d) by a tensor (b,), but for b = 1 it "
            f"gave {came}."
        )


def _is_turn_to_exploit(policy: Policy, n_ended: int, pending: Tensor) -> bool:
    """Never beside running trials: two of them would get the same point."""
    every = policy.search.exploit_every
    own = callable(policy.acquisition)
    return every is not None and n_ended % every == 0 and len(pending) == 0 and not own


def _promising(
    model: Model, region: Region, incumbents: Array, rng: np.random.Generator
) -> Array | None:
    """Points of the best posterior mean, or None when it is no better than the incumbent's."""
    mean = PosteriorMeanWithGradient(model)
    X, v = optimize.maximize(mean, region, incumbents, rng, effort=_EFFORT_FOR_THE_MEAN)
    with torch.no_grad():
        best = float(mean(torch.from_numpy(incumbents[:1]).unsqueeze(-2)))
    return X if v[0] > best + _LEAST_PROMISE else None


def _with_failures(model: Surrogate, data: Dataset, failed: Tensor) -> Surrogate:
    """Until failures are modelled for themselves, a failed point counts as the worst one.

    That it failed is sure, however noisy values are; a little noise leaves an exact observation
    right beside it as it is.
    """
    if len(failed) == 0:
        return model
    worst = data.Y.min().expand(len(failed), 1)
    variance = torch.full_like(worst, _FAILURE_NOISE)
    return model.condition_on_observations(failed, worst, noise=variance)


def _incumbents(model: Surrogate, data: Dataset, noise: Noise) -> Array:
    """The best points (m, d) so far, best first: observed without noise, else by the model."""
    score = data.Y.squeeze(-1)
    if noise is not False:
        with torch.no_grad():
            score, _ = model.marginals(data.X)
    order = torch.argsort(score, descending=True, stable=True)
    best: Array = data.X[order[:_N_INCUMBENTS]].numpy()
    return best


def _points(space: Space, trials: Sequence[Trial], *states: TrialState) -> Tensor:
    points = [trial.params for trial in trials if trial.state in states]
    return torch.from_numpy(space.to_units(points))


def _inside(region: Region, data: Dataset) -> Dataset:
    """The observations that satisfy the constraints, all of them when none does.

    The model learns from the others too, but nobody can improve on them by an allowed point.
    """
    mask = torch.from_numpy(region.holds(data.X.numpy())) if region.constrained else None
    if mask is None or bool(mask.all()) or not bool(mask.any()):
        return data
    return data.at(mask)


def _taken(region: Region, trials: Sequence[Trial], noise: Noise) -> Taken:
    """All known points without noise; with it the failed ones.

    Under noise a running point of a real space is taken too; in a finite space a repetition may
    be all that is left.
    """
    states = {TrialState.FAILED}
    if region.size is None or noise is False:
        states.add(TrialState.RUNNING)
    if noise is False:
        states.add(TrialState.COMPLETE)
    return Taken(region, _points(region.space, trials, *states).numpy())
