"""Noisy expected improvement after Letham et al.: improvement on the hidden values themselves.

Notation
--------
A           (r, d) evaluated points, and pending ones
f_s         (r,) sample s of S of the true values there, f* its largest
mu, Sigma   posterior mean and covariance

    NEI(x)   = E[(f(x) - max over A of f)^+]
             = E over f_s of EI(x | f(A) = f_s)                     Letham et al. (2019), Eq. (6)
    mean_s   = mu(x) + Sigma(x, A) Sigma(A, A)^-1 (f_s - mu(A))
    variance = Sigma(x, x) - Sigma(x, A) Sigma(A, A)^-1 Sigma(A, x)

It credits the candidate with its true value, as if the noise would be taken away afterwards, and
needs no noise of the next observation; at an evaluated point it is zero.
"""

import math
from functools import lru_cache

import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from botorch.utils.sampling import draw_sobol_normal_samples
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition import expected_improvement
from bayesopt.acquisition.expected_improvement import log_ei_and_partials
from bayesopt.acquisition.observed import Observed
from bayesopt.data import Dataset

_N_SAMPLES = 32
_COLUMNS = 64
_SMALLEST_VARIANCE = 1e-15
_JITTERS = tuple(10.0**exponent for exponent in range(-9, 4))  # relative to the largest variance


@lru_cache(maxsize=8)
def _wide_sample(n: int, r: int) -> Tensor:
    sample: Tensor = draw_sobol_normal_samples(r, n, dtype=torch.float64, seed=0)
    return sample


def _normal_sample(n: int, r: int) -> Tensor:
    """The fixed standard normal sample (n, r): the first columns of a wider one that is kept."""
    return _wide_sample(n, _COLUMNS * (1 + (r - 1) // _COLUMNS))[:, :r]


def _cholesky(covariance: Tensor, largest: float) -> Tensor:
    """Lower factor, with as little jitter as it takes.

    Where the noise is tiny, all that is left of the variances may be rounding.
    """
    eye = torch.eye(len(covariance), dtype=covariance.dtype)
    L: Tensor
    for jitter in _JITTERS:
        L, info = torch.linalg.cholesky_ex(covariance + jitter * largest * eye)
        if not info.any():
            return L
    raise ArithmeticError("The posterior covariance of the evaluated points is no covariance.")


class LethamExpectedImprovement(AcquisitionFunction):  # type: ignore[misc]
    """Expected improvement of f(x) over the largest hidden value at points evaluated with noise.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised.
    A
        (r, d) evaluated points; pending ones count as evaluated.
    log
        Return the logarithm, which has the same maximiser and a usable gradient everywhere.
    n_samples
        Size of the fixed quasi-Monte Carlo sample of f(A).
    """

    def __init__(
        self,
        model: Model,
        A: Shaped[Tensor, "r d"],
        *,
        log: bool = True,
        n_samples: int = _N_SAMPLES,
    ) -> None:
        super().__init__(model)
        self.log = log
        with torch.no_grad():
            A = torch.unique(A, dim=0)
            posterior = model.posterior(A)
            mean, covariance = posterior.mean.squeeze(-1), posterior.distribution.covariance_matrix
            L = _cholesky(covariance, float(posterior.variance.max()))
            Z = _normal_sample(n_samples, len(A))
            self.best = (mean + Z @ L.T).amax(1)
            # Sigma^-1 (f_s - mu) = L^-T Z_s
            self.pull = torch.linalg.solve_triangular(L.T, Z.T, upper=True)
            self.L_inverse = torch.linalg.solve_triangular(
                L, torch.eye(len(A), dtype=A.dtype), upper=False
            )
            self.observed = Observed(model, A)

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate, in closed form where the model has one."""
        return self.observed.value_and_gradient(self._log_value_and_partials, X, self.log)

    def forward(self, X: Shaped[Tensor, "*b 1 d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate."""
        return self.observed.value(self._log_value_and_partials, X, self.log)

    def _log_value_and_partials(
        self, mean: Tensor, variance: Tensor, covariance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The logarithm (b,), and its derivatives in the three moments (b,), (b,), (b, r)."""
        V = covariance @ self.L_inverse.T
        left = (variance - torch.linalg.vecdot(V, V)).clamp_min(_SMALLEST_VARIANCE)
        means = mean.unsqueeze(-1) + covariance @ self.pull
        log_ei, by_means, by_left = log_ei_and_partials(means, left.unsqueeze(-1), self.best)
        value = torch.logsumexp(log_ei, dim=-1)
        share = (log_ei - value.unsqueeze(-1)).exp()
        by_means, by_variance = share * by_means, (share * by_left).sum(-1)
        by_covariance = by_means @ self.pull.T
        by_covariance -= 2.0 * by_variance.unsqueeze(-1) * (V @ self.L_inverse)
        return value - math.log(len(self.best)), by_means.sum(-1), by_variance, by_covariance


def build(
    model: Model, data: Dataset, X_pending: Shaped[Tensor, "m d"] | None = None
) -> AcquisitionFunction:
    """Log of Letham's noisy expected improvement on a fitted model; without noise it is plain.

    Parameters
    ----------
    model
        Fitted to `data`.
    data
        Its points, with their hidden values, are what has to be improved on.
    X_pending
        Points that are being evaluated; they have to be improved on too.
    """
    pending = X_pending is not None and len(X_pending) > 0
    if not pending and bool((data.Yvar == 0).all()):
        return expected_improvement.build(model, data)
    A = data.X if X_pending is None else torch.cat((data.X, X_pending))
    return LethamExpectedImprovement(model, A)
