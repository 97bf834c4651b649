"""The model of a study's data: with or without slopes, fitted or drawn."""

from typing import Literal

import numpy as np

from bayesopt.data import Dataset
from bayesopt.models.derivative_draws import sample_with_derivatives
from bayesopt.models.derivative_fit import fit_with_derivatives
from bayesopt.models.derivatives import DerivativeGaussianProcess
from bayesopt.models.exact import ExactGaussianProcess
from bayesopt.models.fit import fit
from bayesopt.models.fully_bayesian import FullyBayesianGaussianProcess, sample
from bayesopt.models.gaussian_process import GaussianProcess

HyperparametersName = Literal["map", "mle", "slice"]
Surrogate = ExactGaussianProcess | DerivativeGaussianProcess | FullyBayesianGaussianProcess


def surrogate(
    data: Dataset,
    process: GaussianProcess,
    hyperparameters: HyperparametersName,
    rng: np.random.Generator,
    start: tuple[float, ...] | None = None,
) -> tuple[Surrogate, tuple[float, ...]]:
    """Fit a process to values, and to partial derivatives where there are any.

    Parameters
    ----------
    data
        At least one observation.
    process
        Kernel, mean and priors.
    hyperparameters
        "map" or "mle" fit them, "slice" draws them.
    rng
        What draws come from; nothing else does.
    start
        What an earlier call for this study returned as `theta`.

    Returns
    -------
    model, theta
        The process or the mixture, and the logarithms of the hyperparameters that were found, of
        the mode where they are drawn.

    Raises
    ------
    ValueError
        If there are partial derivatives and the process cannot learn from them.
    """
    if data.dY is None or data.dYvar is None:
        if hyperparameters == "slice":
            return sample(data, process, rng, start=start)
        return fit(data, process, method=hyperparameters, start=start)
    slopes = (data.dY, data.dYvar)
    if hyperparameters == "slice":
        return sample_with_derivatives(data, *slopes, process, rng, start=start)
    return fit_with_derivatives(data, *slopes, process, method=hyperparameters, start=start)
