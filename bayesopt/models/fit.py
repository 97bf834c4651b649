"""Hyperparameters by maximum a posteriori or maximum likelihood, with the closed-form gradient.

Notation
--------
d, p, S     columns, hyperparameters that are learnt, starts that are fitted together
theta       (S, p) their logarithms, in the order of `MarginalLikelihood`
q           log prior densities (see `bayesopt.models.prior`)

    MAP = argmax log p(Y | theta) + sum_j q_j(theta_j)                Frazier (2018), Section 3.2
    MLE = argmax log p(Y | theta)                                     ibid.

The default priors have one mode that the data soon agree with, and the search begins there, or
where the last one of the same study ended. Without priors, or with priors that are flat somewhere,
the surface may have flat stretches and several modes; then the search begins at several places.
"""

import math
from itertools import compress
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.data import Dataset
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters
from bayesopt.models.gaussian_process import BOUNDS, LARGEST_SHAPE, GaussianProcess, Priors
from bayesopt.models.marginal_likelihood import MarginalLikelihood
from bayesopt.models.prior import JointPrior, Prior
from bayesopt.models.replicates import Replicates, replicates
from bayesopt.parameter import Array
from bayesopt.quasi_newton import minimize_from

Method = Literal["map", "mle"]

_MANY = 100  # observations: gathering the replicates of fewer saves hardly any time
_FRESH_START_EVERY = 5
_BOUNDS = BOUNDS | {"nu": (0.2, 20.0), "power": (0.1, 2.0)}
# Moves of all log length-scales and of the log noise variance from the first start: rough
# functions, smooth ones, and mostly noise.
_MOVES = ((-1.5, -2.0), (1.0, -2.0), (0.5, 3.0))


@runtime_checkable
class Likelihood(Protocol):
    """What a posterior density of hyperparameters is made from, beside their priors.

    Attributes
    ----------
    d
        Number of columns.
    everything
        What kind of hyperparameter ("lengthscale", "signal", "noise", "shape") each one is that
        such a process may learn, d length-scales first.
    learnt
        Which of them are learnt from these data: they are the entries of theta.
    """

    d: int
    everything: list[str]
    learnt: list[bool]

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        """Minus the log likelihood (S,) at theta (S, p), and its gradient (S, p)."""

    def log_integrated(self, theta: Array) -> Array:
        """Log likelihood (S,) with the coefficients of the prior mean integrated out."""

    def hyperparameters(self, theta: Array) -> Hyperparameters:
        """What one theta (p,) stands for."""


class NegativeLogPosterior:
    """Negative log posterior density of theta for one dataset, and its gradient.

    Parameters
    ----------
    data
        The observations.
    process
        Kernel, mean and priors.
    method
        "mle" leaves the likelihood alone.
    likelihood
        That of another process for the same data; None: `MarginalLikelihood`.
    """

    def __init__(
        self,
        data: Dataset,
        process: GaussianProcess,
        method: Method = "map",
        likelihood: Likelihood | None = None,
    ) -> None:
        self.likelihood: Likelihood = likelihood or MarginalLikelihood(data, process)
        self.method, self.d = method, self.likelihood.d
        everything, learnt = self.likelihood.everything, self.likelihood.learnt
        self.names = list(compress(everything, learnt))
        self.shape_name = process.shape_name or "nu"
        # Without priors the defaults still say where to start.
        has_priors = method == "map"
        priors = process.priors if has_priors else Priors()
        self.prior = JointPrior([priors.of(name, self.d, self.shape_name) for name in self.names])
        limits = [
            self._bounds(name, prior if has_priors else None)
            for name, prior in zip(self.names, self.prior.priors, strict=True)
        ]
        self.low, self.high = np.log(limits).T
        self.centre = np.clip(self.prior.centre, self.low, self.high)
        # All that a fit may learn, whatever the noise of the data: what is not learnt here stands
        # at the centre of its prior.
        self._among_all = np.flatnonzero(learnt)
        self._all_centres = [priors.of(name, self.d, self.shape_name).centre for name in everything]

    def _bounds(self, name: str, prior: Prior | None) -> tuple[float, float]:
        """Where to search; the limits of a prior that has some, else our own."""
        name = self.shape_name if name == "shape" else name
        low, high = _BOUNDS[name]
        if prior is None or not math.isfinite(prior.limits[1]):
            return low, high
        largest = min(prior.limits[1], LARGEST_SHAPE.get(name, math.inf))
        return prior.limits[0] or min(low, 1e-3 * largest), largest

    def learnt(self, everything: tuple[float, ...]) -> Array:
        """The part (p,) that is learnt here of what `everything` returned."""
        known = np.array(self._all_centres)
        n = min(len(everything), len(known))
        known[:n] = everything[:n]
        learnt: Array = known[self._among_all]
        return learnt

    def everything(self, theta: Array) -> tuple[float, ...]:
        """All logarithms: those of theta (p,), and centres of priors where none is learnt.

        d length-scales, signal variance, noise variance, and the shape if the process learns it.
        """
        entries = np.array(self._all_centres)
        entries[self._among_all] = theta
        return tuple(entries.tolist())

    def __call__(self, theta: Array) -> tuple[Array, Array]:
        """Values (S,) and gradients (S, p) at theta (S, p); infinite where K is singular."""
        value, gradient = self.likelihood.value_and_gradient(theta)
        if self.method == "map":
            of_prior, slope = self.prior.negative_log_density(theta)
            value, gradient = value + of_prior, gradient + slope
        return value, gradient

    def log_density(self, theta: Array) -> Array:
        """Log posterior density (S,) of theta (S, p), up to a constant, to sample from.

        The coefficients of the prior mean are integrated out, and the Jacobians of priors of eta
        are in it. Zero density outside of the bounds.
        """
        inside = ((theta >= self.low) & (theta <= self.high)).all(axis=1)
        value = np.full(len(theta), -np.inf)
        if inside.any():
            x = theta[inside]
            value[inside] = self.likelihood.log_integrated(x) + self.prior.log_density_of_theta(x)
        return value

    def starts(self) -> Array:
        """Where a search begins (S, p): the centre of the priors, and more if that is not safe."""
        if self.method == "map" and self.prior.is_log_normal:
            return np.array([self.centre])
        moves = np.zeros((len(_MOVES), len(self.names)))
        for move, (lengthscale, noise) in zip(moves, _MOVES, strict=True):
            move[: self.d] = lengthscale
            move[[name == "noise" for name in self.names]] = noise
        starts: Array = np.vstack((self.centre, self.centre + moves))
        return np.clip(starts, self.low, self.high)


def fit(
    data: Dataset,
    process: GaussianProcess | None = None,
    *,
    method: Method = "map",
    start: tuple[float, ...] | None = None,
) -> tuple[ExactGaussianProcess, tuple[float, ...]]:
    """Fit an exact Gaussian process.

    Parameters
    ----------
    data
        At least one observation. Many repetitions of few points are gathered first.
    process
        Kernel, mean and priors; None takes the defaults of `GaussianProcess`.
    method
        "map": maximum a posteriori. "mle": maximum likelihood, which knows no priors.
    start
        What an earlier fit of this study returned as `theta`: another start beside the usual ones.

    Returns
    -------
    model, theta
        The fitted process, and the logarithms of its d length-scales, signal variance, noise
        variance and shape (if the process learns one); where one was not learnt, the centre of its
        prior.
    """
    process = process or GaussianProcess()
    found = _worth_gathering(data)
    if found is None:
        objective = NegativeLogPosterior(data, process, method)
        best = mode(objective, len(data), start)
        return model_at(data, objective, best), objective.everything(best)
    likelihood = MarginalLikelihood(found.data, process, found)
    objective = NegativeLogPosterior(found.data, process, method, likelihood)
    best = mode(objective, len(data), start)
    count = found.count.unsqueeze(-1)
    return model_at(found.data, objective, best, count), objective.everything(best)


def _worth_gathering(data: Dataset) -> Replicates | None:
    """The replicates where they save much: the same process then, over few distinct points."""
    if len(data) < _MANY or not data.noise_is_inferred:
        return None
    found = replicates(data)
    return found if 2 * len(found.data) <= len(data) else None


def mode(objective: NegativeLogPosterior, n: int, start: tuple[float, ...] | None) -> Array:
    """The theta (p,) of the largest density that the search finds, for n observations."""
    starts = objective.starts()
    if start is not None:
        # The posterior may have several modes, but from one result to the next the best one
        # seldom changes.
        every = _FRESH_START_EVERY * (1 + n // 100)
        fresh = starts if n % every == 0 else starts[:0]
        starts = np.vstack((objective.learnt(start), fresh))
    theta, value = minimize_from(
        objective,
        starts,
        objective.low,
        objective.high,
        first_step=1.0,
        max_calls=50,
        value_tolerance=1e-2,
        gradient_tolerance=2e-2,
    )
    best: Array = theta[int(np.argmin(value))]
    return best


def model_at(
    data: Dataset,
    objective: NegativeLogPosterior,
    theta: Array,
    count: Shaped[Tensor, "n 1"] | None = None,
) -> ExactGaussianProcess:
    """The process with the hyperparameters of one theta (p,), and `count` of its observations."""
    h = objective.likelihood.hyperparameters(theta)
    return ExactGaussianProcess(data.X, data.Y, data.Yvar, h, data.categories, count=count)
