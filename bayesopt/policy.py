"""From what was seen to the next point: composes model, acquisition and search.

Asking is a pure function of the space, the policy, the trials, the seed and the trial's number.
No formula lives here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from torch import Tensor
from torch.quasirandom import SobolEngine

from bayesopt import optimize
from bayesopt.acquisition import expected_improvement
from bayesopt.data import Dataset, Direction, Noise, complete, dataset
from bayesopt.models.exact import ExactGaussianProcess
from bayesopt.models.fit import Priors, fit
from bayesopt.parameter import Array
from bayesopt.space import Params, Space
from bayesopt.trial import Trial, TrialState

Builder = Callable[[Model, Dataset, Tensor | None], AcquisitionFunction]
ModelName = Literal["auto", "matern52", "rbf"]
AcquisitionName = Literal["auto", "ei", "random"]

_N_INCUMBENTS = 5
_N_DRAWS = 1000
_LARGEST_GRID = 100_000
_FAILURE_NOISE = 1e-3  # variance of a score


class SpaceExhausted(Exception):
    """Every point of a finite space has been evaluated, and repeating one shows nothing new."""


@dataclass(frozen=True)
class Search:
    """What the default search adds to the plain acquisition.

    Parameters
    ----------
    truncate
        Poor values count as ``median + truncate (median - best)``; None keeps them all.
    exploit_every
        Every so many suggestions one is the maximiser of the posterior mean, if that promises more
        than the best point so far: expected improvement alone goes on looking around long after
        the model knows the optimum. Not while points are pending, which may be that maximiser,
        and not with an acquisition of the user's own. None: never.
    priors
        Priors of the hyperparameters.
    effort
        How hard the acquisition is searched.
    """

    truncate: float | None = 2.0
    exploit_every: int | None = 3
    priors: Priors = field(default_factory=Priors)
    effort: optimize.Effort = field(default_factory=optimize.Effort)


@dataclass(frozen=True)
class Policy:
    """How the next point is chosen.

    Parameters
    ----------
    model
        Gaussian process with the kernel "matern52" (nu = 5/2) or "rbf"; "auto" is "matern52".
    acquisition
        "ei": log expected improvement; under noise the incumbent is a posterior mean, and the
        criterion the augmented one.
        "random": uniform, the baseline. "auto" is "ei". Or a callable
        ``(model, data, X_pending) -> AcquisitionFunction`` that is maximised.
    search
        What the search adds to the plain acquisition.

    Raises
    ------
    ValueError
        If a name is not known; the text lists the known ones.
    """

    model: ModelName = "auto"
    acquisition: AcquisitionName | Builder = "auto"
    search: Search = field(default_factory=Search)

    def __post_init__(self) -> None:
        _check_name("model", self.model, get_args(ModelName))
        if not callable(self.acquisition):
            _check_name("acquisition", self.acquisition, get_args(AcquisitionName))

    @property
    def correlation(self) -> str:
        """Name of the kernel, with "auto" resolved."""
        return "matern52" if self.model == "auto" else self.model

    def __str__(self) -> str:
        if self.acquisition == "random":
            return "random search"
        kernel = {"matern52": "Matern-5/2", "rbf": "RBF"}[self.correlation]
        acquisition = (
            "own acquisition" if callable(self.acquisition) else "log expected improvement"
        )
        return f"Gaussian process ({kernel}), {acquisition}"


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

    Raises
    ------
    SpaceExhausted
        If `noise` is False and every point of a finite space is taken.
    """
    taken = _taken(space, trials, noise)
    if space.size is not None and len(taken) >= space.size:
        raise SpaceExhausted(f"All {space.size} points of the space have been tried.")
    rng = np.random.default_rng([seed, number])
    n_known = sum(trial.state is not TrialState.FAILED for trial in trials)
    if policy.acquisition == "random":
        U = rng.random((_N_DRAWS, len(space)))
        return Suggestion(_fresh(space, taken, space.snap(U), rng), "random")
    if n_known < n_initial or not complete(trials):
        design = SobolEngine(len(space), scramble=True, seed=seed)  # type: ignore[no-untyped-call]
        U = design.draw(number + _N_DRAWS, dtype=torch.float64)[number:].numpy()
        return Suggestion(_fresh(space, taken, space.snap(U), rng), "initial")
    return _by_model(space, policy, trials, direction, noise, taken, rng)


def fit_model(
    space: Space,
    policy: Policy,
    trials: Sequence[Trial],
    direction: Direction,
    noise: Noise,
    truncate: float | None,
) -> tuple[ExactGaussianProcess, Dataset, tuple[float, ...]]:
    """Fit the policy's model to the complete trials, from where the last fit ended."""
    data = dataset(space, trials, direction, noise, truncate)
    fits = [trial.hyperparameters for trial in trials if trial.hyperparameters is not None]
    model, theta = fit(
        data,
        policy.correlation,
        priors=policy.search.priors,
        start=fits[-1] if fits else None,
    )
    return model, data, theta


def _by_model(
    space: Space,
    policy: Policy,
    trials: Sequence[Trial],
    direction: Direction,
    noise: Noise,
    taken: set[tuple[Any, ...]],
    rng: np.random.Generator,
) -> Suggestion:
    search = policy.search
    model, data, theta = fit_model(space, policy, trials, direction, noise, search.truncate)
    incumbents = _incumbents(model, data, noise)
    failed = _points(space, trials, TrialState.FAILED)
    if failed is not None:
        # Until failures are modelled for themselves, a failed point counts as the worst one. The
        # noise leaves an exact observation right beside it as it is.
        worst = data.Y.min().expand(len(failed), 1)
        variance = model.new_noise.clamp_min(_FAILURE_NOISE)
        model = model.condition_on_observations(failed, worst, noise=variance)
    pending = _points(space, trials, TrialState.RUNNING)
    own = policy.acquisition if callable(policy.acquisition) else None
    turn = search.exploit_every is not None and len(data) % search.exploit_every == 0
    if turn and own is None and pending is None:
        promised = _maximize_mean(model, space, incumbents, rng, search)
        if promised is not None:
            return Suggestion(_fresh(space, taken, promised, rng), "acquisition", theta)
    build = own or expected_improvement.build
    acquisition: optimize.Acquisition = build(model, data, pending)
    X, _ = optimize.maximize(acquisition, space, incumbents, rng, effort=search.effort)
    return Suggestion(_fresh(space, taken, X, rng), "acquisition", theta)


def _maximize_mean(
    model: Model, space: Space, incumbents: Array, rng: np.random.Generator, search: Search
) -> Array | None:
    def mean(X: Tensor) -> Tensor:
        value: Tensor = model.posterior(X).mean.squeeze(-1, -2)
        return value

    X, v = optimize.maximize(mean, space, incumbents, rng, effort=search.effort)
    with torch.no_grad():
        best = float(mean(torch.from_numpy(incumbents[:1]).unsqueeze(-2)))
    return X if v[0] > best + 1e-7 else None


def _incumbents(model: Model, data: Dataset, noise: Noise) -> Array:
    """The best points (m, d) so far, best first: observed without noise, else by the model."""
    score = data.Y.squeeze(-1)
    if noise is not False:
        with torch.no_grad():
            score = model.posterior(data.X.unsqueeze(-2)).mean.squeeze(-1, -2)
    order = torch.argsort(score, descending=True, stable=True)
    best: Array = data.X[order[:_N_INCUMBENTS]].numpy()
    return best


def _points(space: Space, trials: Sequence[Trial], state: TrialState) -> Tensor | None:
    rows = [space.to_unit(trial.params) for trial in trials if trial.state is state]
    return torch.from_numpy(np.array(rows)) if rows else None


def _taken(space: Space, trials: Sequence[Trial], noise: Noise) -> set[tuple[Any, ...]]:
    """Points that may not be asked for: all known ones without noise, failed ones with it.

    Under noise a running point of a real space is taken too; in a finite space a repetition may
    be all that is left.
    """
    states = {TrialState.FAILED}
    if space.size is None or noise is False:
        states.add(TrialState.RUNNING)
    if noise is False:
        states.add(TrialState.COMPLETE)
    return {_key(space, trial.params) for trial in trials if trial.state in states}


def _key(space: Space, params: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(params[name] for name in space.names)


def _fresh(space: Space, taken: set[tuple[Any, ...]], X: Array, rng: np.random.Generator) -> Params:
    """The first row of X that is not taken, else any point that is not."""
    for row in X:
        params = space.from_unit(row)
        if _key(space, params) not in taken:
            return params
    if space.size is not None and space.size <= _LARGEST_GRID:
        rest = space.grid()
    else:
        rest = space.snap(rng.random((_N_DRAWS, len(space))))
    for row in rng.permutation(rest):
        params = space.from_unit(row)
        if _key(space, params) not in taken:
            return params
    raise SpaceExhausted(f"No point was found that is not among the {len(taken)} taken ones.")


def _check_name(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ValueError(f"Unknown {what} {name!r}; known are {', '.join(map(repr, known))}.")
