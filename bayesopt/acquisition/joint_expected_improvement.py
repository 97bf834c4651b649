"""Expected improvement of several points together (q-EI), by a fixed quasi-Monte Carlo sample.

Notation
--------
q, S        candidates that are evaluated together, samples
A           (r, d) points whose values are not known (see `sampled_improvement`)
s           a sample: of f(A), which gives best_s, and z_s (q,) standard normal
tau         temperatures, far below any difference of scores that matters
alpha       weight of a tail that falls slowly

    q-EI(X)  = E[(max_i f(x_i) - best)^+]     Ginsbourger et al. (2010), Frazier (2018), Section 5.2
             ~ 1/S sum_s (max_i f_s(x_i) - best_s)^+
    f_s(X)   = mean_s(X) + C z_s,    C C' = covariance of f(X) given f(A)       Wilson et al. (2018)
    max_i    ~ tau log sum_i exp(f_i / tau)
    (u)^+    ~ tau (log(1 + exp(u / tau)) + alpha / (1 + (u / tau)^2))   after Ament et al. (2023)

The last term, seen only where no sample improves, falls so slowly that its logarithm has a usable
slope there; the bias of both is of the order tau^2. One candidate is not sampled: its expectation
given f(A) is known.

Under noise the hidden values have to be improved on, as for one point in Letham et al. (2019): an
improvement on the best posterior mean would credit q measurements of one point with the largest
of q draws of noise-free values there, and the augmentation of one point has no counterpart for q.
"""

import math

import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.given_samples import GivenSamples, normal_sample
from bayesopt.acquisition.sampled_improvement import (
    ImprovementOverBest,
    SampledImprovement,
    unknown_points,
)
from bayesopt.data import Dataset

_N_SAMPLES = 256
_TAU = 1e-4  # of the positive part, in scores
_TAU_OF_MAX = 1e-3  # likewise, of the maximum
_FAT = 0.1  # alpha
_JITTERS = (1e-10, 1e-8, 1e-6, 1e-4)  # relative to the largest variance: points asked twice at once
_ROUNDING = 1e-14  # of covariances of scores


class JointExpectedImprovement(AcquisitionFunction):  # type: ignore[misc]
    """Expected improvement of the best of several candidates.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised.
    A
        (r, d) points whose hidden values have to be improved on; maybe none.
    floor
        A value that has to be improved on for sure; finite where A is empty.
    log
        Return the logarithm, which has the same maximiser and a usable gradient everywhere.
    n_samples
        Size of the quasi-Monte Carlo sample.

    Raises
    ------
    ValueError
        If there is nothing to improve on.
    """

    def __init__(
        self,
        model: Model,
        A: Shaped[Tensor, "r d"],
        floor: float = -torch.inf,
        *,
        log: bool = True,
        n_samples: int = _N_SAMPLES,
    ) -> None:
        if len(A) == 0 and floor == -torch.inf:
            raise ValueError("Give points A or a finite `floor`: there is nothing to improve on.")
        super().__init__(model)
        self.log, self.n_samples = log, n_samples
        self.given = GivenSamples(model, A, n_samples=n_samples)
        best = torch.full((self.given.n_samples,), floor, dtype=A.dtype)
        self.best = torch.maximum(best, self.given.values.amax(1)) if len(A) > 0 else best
        self.alone = SampledImprovement(ImprovementOverBest(self.best), [self.given])

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate alone, in closed form where the model has one."""
        value, gradient = self.alone.value_and_gradient(X)
        return (value, gradient) if self.log else (value.exp(), gradient * value.exp()[:, None])

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every q candidates."""
        log_value: Tensor = self.alone(X) if X.shape[-2] == 1 else self._log_sampled(X)
        return log_value if self.log else log_value.exp()

    def _log_sampled(self, X: Tensor) -> Tensor:
        """The logarithm of the mean over samples."""
        means, covariance = self.given.joint_moments(X)
        C = _cholesky(covariance)
        Z = normal_sample(self.n_samples, X.shape[-2], after=len(self.given.A))
        gain = means + Z @ C.mT - self.best.unsqueeze(-1)  # (*b, S, q)
        most = _TAU_OF_MAX * torch.logsumexp(gain / _TAU_OF_MAX, dim=-1)
        log_mean: Tensor = _log_positive_part(most).logsumexp(-1)
        return log_mean - math.log(self.n_samples)


def _log_positive_part(u: Tensor) -> Tensor:
    """log of (u)^+, smooth and with a slope for negative u too."""
    x = u / _TAU
    soft = torch.nn.functional.softplus(x, threshold=40.0)
    return (_TAU * (soft + _FAT / (1.0 + x * x))).log()


def _cholesky(covariance: Tensor) -> Tensor:
    """Lower factors (*b, q, q) of covariances that may have lost their rank to rounding."""
    q = covariance.shape[-1]
    largest = covariance.diagonal(dim1=-2, dim2=-1).amax(-1).clamp_min(0.0)[..., None, None]
    eye = torch.eye(q, dtype=covariance.dtype)
    for jitter in _JITTERS:
        L, info = torch.linalg.cholesky_ex(covariance + (jitter * largest + _ROUNDING) * eye)
        if not info.any():
            break
    else:
        # Rounding has left no covariance: what remains is far below what can be gained.
        L = torch.diag_embed(covariance.diagonal(dim1=-2, dim2=-1).clamp_min(_ROUNDING).sqrt())
    factor: Tensor = L
    return factor


def build(
    model: Model, data: Dataset, X_pending: Shaped[Tensor, "m d"] | None = None
) -> JointExpectedImprovement:
    """Log expected improvement of several candidates together, on a fitted model.

    Parameters
    ----------
    model
        Fitted to `data`.
    data
        Its best score has to be improved on; under noise its hidden values.
    X_pending
        Points that are being evaluated: what they return has to be improved on too.
    """
    A, noisy = unknown_points([data], X_pending)
    return JointExpectedImprovement(model, A, -torch.inf if noisy else float(data.Y.max()))
