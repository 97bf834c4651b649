"""The model of a study's data: with or without slopes, fitted or drawn.

A process of N values and partial derivatives costs N^3. Where there are very many, all values count
and the partial derivatives of the best points: those of poor ones hardly change what the model
says of good ones (Rosenbrock's function in 20 dimensions, 100 points: 900 rows of 2,100 foresee
others as well, and are fitted 15 times as fast).
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from bayesopt.data import Dataset
from bayesopt.models.derivatives.draws import sample_with_derivatives
from bayesopt.models.derivatives.fit import fit_with_derivatives
from bayesopt.models.derivatives.process import DerivativeGaussianProcess
from bayesopt.models.exact import ExactGaussianProcess
from bayesopt.models.fit import fit
from bayesopt.models.fully_bayesian import FullyBayesianGaussianProcess, sample
from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.models.heteroscedastic import fit_heteroscedastic

HyperparametersName = Literal["map", "mle", "slice"]
_MOST_ROWS = 900

Surrogate = ExactGaussianProcess | DerivativeGaussianProcess | FullyBayesianGaussianProcess


def surrogate(
    data: Dataset,
    process: GaussianProcess,
    hyperparameters: HyperparametersName,
    rng: np.random.Generator,
    start: tuple[float, ...] | None = None,
    *,
    noise_varies: bool = False,
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
    noise_varies
        Whether the noise is another one from place to place (see `models.heteroscedastic`).

    Returns
    -------
    model, theta
        The process or the mixture, and the logarithms of the hyperparameters that were found, of
        the mode where they are drawn.

    Raises
    ------
    ValueError
        If there are partial derivatives and the process cannot learn from them, or the noise varies
        and hyperparameters are drawn.
    """
    if noise_varies:
        if data.dY is not None or hyperparameters == "slice":
            raise ValueError("Noise that varies takes no partial derivatives and no draws.")
        return fit_heteroscedastic(data, process, method=hyperparameters, start=start)
    if data.dY is None or data.dYvar is None:
        if hyperparameters == "slice":
            return sample(data, process, rng, start=start)
        return fit(data, process, method=hyperparameters, start=start)
    slopes = (data.dY, data.dYvar)
    if hyperparameters == "slice":
        return sample_with_derivatives(data, *slopes, process, rng, start=start)
    return fit_with_derivatives(data, *slopes, process, method=hyperparameters, start=start)


def with_affordable_slopes(data: Dataset, most: int = _MOST_ROWS) -> Dataset:
    """The data with as many partial derivatives as a fit can afford, those of the best points.

    Parameters
    ----------
    data
        Values and perhaps partial derivatives.
    most
        Largest number of both together; all values are kept in any case.
    """
    if data.dY is None:
        return data
    n_at = (~data.dY.isnan()).sum(1)
    order = torch.argsort(data.Y.squeeze(-1), descending=True, stable=True)
    too_many = len(data) + n_at[order].cumsum(0) > most
    if not bool(too_many.any()):
        return data
    dropped = torch.zeros_like(too_many)
    dropped[order] = too_many
    dY = data.dY.masked_fill(dropped.unsqueeze(-1), torch.nan)
    if bool(dY.isnan().all()):
        return replace(data, dY=None, dYvar=None)
    return replace(data, dY=dY)
