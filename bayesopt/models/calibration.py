"""How well a Gaussian process foresees each observation from all the others, in closed form.

Notation
--------
n           observations
K           (n, n) covariance of the observations, noise included
y, m(X)     (n,) scores and their prior mean

    variance_i = 1 / [K^-1]_ii                                     R&W (2006), Eq. (5.12)
    mean_i     = y_i - [K^-1 (y - m(X))]_i variance_i              R&W, Eq. (5.12)
    log p(y_i | the others)                                        R&W, Eq. (5.10)

Where partial derivatives were observed at the point too, they are left out with the value: with B
the rows of the point,

    covariance = ([K^-1]_BB)^-1,    mean = y_B - covariance [K^-1 (y - m(X))]_B

The hyperparameters and the prior mean stay those of all observations: nothing is fitted again.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.models.derivatives.process import DerivativeGaussianProcess
from bayesopt.models.exact import ExactGaussianProcess
from bayesopt.models.joint.process import JointGaussianProcess


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


def leave_one_out(
    model: ExactGaussianProcess | DerivativeGaussianProcess | JointGaussianProcess,
) -> LeaveOneOut:
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
        eye = torch.eye(len(model.alpha), dtype=model.L.dtype)
        L_inverse = torch.linalg.solve_triangular(model.L, eye, upper=False)
        if isinstance(model, DerivativeGaussianProcess):
            y, variance, error = _without_points(model, L_inverse)
        else:
            y = model.Y.squeeze(-1)
            variance = 1.0 / L_inverse.square().sum(0)  # of L^-T L^-1
            error = model.alpha * variance
        sd = variance.sqrt()
        residual = error / sd
        log_density = -0.5 * residual.square() - sd.log() - 0.5 * math.log(2.0 * math.pi)
        return LeaveOneOut(y - error, variance, residual, log_density)


def _without_points(
    model: DerivativeGaussianProcess, L_inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Values (n,), and variances and errors of what the rows at other points say of them."""
    rows, of_values = model.rows, model.rows.of_values
    variance, error = torch.empty(2, len(of_values), dtype=L_inverse.dtype)
    for point, value in enumerate(of_values.tolist()):
        B = torch.cat((of_values[point : point + 1], _slopes_at(rows.at, value)))
        of_value = torch.linalg.solve(L_inverse[:, B].T @ L_inverse[:, B], _first(len(B)))
        variance[point], error[point] = of_value[0], of_value @ model.alpha[B]
    return rows.y[of_values], variance, error


def _slopes_at(at: Tensor, value: int) -> Tensor:
    """Rows of partial derivatives at the point of a row of a value."""
    rows = (at == value).nonzero().squeeze(-1)
    return rows[rows != value]


def _first(n: int) -> Tensor:
    unit = torch.zeros(n, dtype=torch.float64)
    unit[0] = 1.0
    return unit
