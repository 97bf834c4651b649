"""Hyperparameters of processes on values and slopes, drawn from their posterior."""

import numpy as np
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.data import Dataset
from bayesopt.models.derivatives.fit import DerivativeMarginalLikelihood
from bayesopt.models.derivatives.process import DerivativeGaussianProcess
from bayesopt.models.fit import NegativeLogPosterior, mode
from bayesopt.models.fully_bayesian import FullyBayesianGaussianProcess, draw
from bayesopt.models.gaussian_process import GaussianProcess


def sample_with_derivatives(
    data: Dataset,
    dY: Shaped[Tensor, "n d"],
    dYvar: Shaped[Tensor, "n d"],
    process: GaussianProcess | None = None,
    rng: np.random.Generator | None = None,
    *,
    n_draws: int = 16,
    start: tuple[float, ...] | None = None,
) -> tuple[FullyBayesianGaussianProcess, tuple[float, ...]]:
    """Draw hyperparameters from their posterior given values and partial derivatives.

    Parameters
    ----------
    data, dY, dYvar, process
        As in `bayesopt.models.derivatives.fit.fit_with_derivatives`.
    rng, n_draws
        As in `bayesopt.models.fully_bayesian.sample`.
    start
        What an earlier call or fit for this study returned as `theta`.

    Returns
    -------
    model, theta
        The mixture, and the mode of the posterior that the chains began around.

    Raises
    ------
    ValueError
        If the kernel has no slopes or the mean is no constant.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    process = process or GaussianProcess()
    likelihood = DerivativeMarginalLikelihood(data, dY, dYvar, process)
    objective = NegativeLogPosterior(data, process, "map", likelihood)
    best = mode(objective, len(likelihood.rows.y), start)
    members = tuple(
        DerivativeGaussianProcess(
            likelihood.rows, likelihood.hyperparameters(theta), data.categories
        )
        for theta in draw(objective, best, rng, n_draws)
    )
    return FullyBayesianGaussianProcess(members), objective.everything(best)
