"""How well a Gaussian process foresees each observation from all the others, in closed form.

Notation
--------
n           observations
K           (n, n) covariance of the observations, noise included
y, m(X)     (n,) scores and their prior mean

    variance_i = 1 / [K^-1]_ii                                     R&W (2006), Eq. (5.12)
    mean_i     = y_i - [K^-1 (y - m(X))]_i variance_i              R&W, Eq. (5.12)
    log p(y_i | the others)                                        R&W, Eq. (5.10)

The hyperparameters and the prior mean stay those of all observations: nothing is fitted again.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.models.exact import ExactGaussianProcess


@dataclass(frozen=True)
class LeaveOneOut:
    """What the others say of each observation, in scores.

    Parameters
    ----------
    mean, variance
        (n,) predictive moments of the observation, its noise included.
    residual
        (n,) observation minus mean, in standard deviations: about standard normal where the model
        is right.
    log_density
        (n,) logarithm of the predictive density at the observation.
    """

    mean: Shaped[Tensor, " n"]
    variance: Shaped[Tensor, " n"]
    residual: Shaped[Tensor, " n"]
    log_density: Shaped[Tensor, " n"]


def leave_one_out(model: ExactGaussianProcess) -> LeaveOneOut:
    """Predict each observation of a fitted process from all the others.

    Parameters
    ----------
    model
        Its observations must have no batch shape; n = 1 gives the prior back.

    Raises
    ------
    ValueError
        If the observations have a batch shape.
    """
    if len(model.batch_shape) > 0:
        raise ValueError(
            "Leave-one-out takes observations without a batch shape, "
            f"but this model has {tuple(model.batch_shape)}."
        )
    with torch.no_grad():
        eye = torch.eye(len(model.X), dtype=model.L.dtype)
        L_inverse = torch.linalg.solve_triangular(model.L, eye, upper=False)
        precision = L_inverse.square().sum(0)  # the diagonal of K^-1 = L^-T L^-1
        y = model.Y.squeeze(-1)
        sd = precision.rsqrt()
        residual = model.alpha * sd
        log_density = -0.5 * residual.square() - sd.log() - 0.5 * math.log(2.0 * math.pi)
        return LeaveOneOut(y - residual * sd, sd.square(), residual, log_density)
