"""Knowledge gradient of an evaluation that returns the value and its slopes (d-KG).

Notation
--------
A           (m, d) points that may be reported, the *report set*
x           a candidate
k, r        partial derivatives or other slopes that are observed there; r = 1 + k
mu, Cov     posterior mean and covariance after n evaluations
S           (r, r) = Cov((f, grad f)(x)) + noise = L L'
a, B        (m + 1,), (r, m + 1) planes of A and x (see `expected_max_of_planes`)
theta       (d,) a direction

    mu_{n+1}(p) = mu(p) + (L^-1 Cov((f, grad f)(x), f(p)))' Z,    Z ~ N(0, I)
    d-KG        = E[max over A of mu_{n+1}] - max over A of mu             Wu et al. (2017), Eq. (3)

The value comes first: without the other variables of Z these are the lines of the knowledge
gradient, and d-KG is at least as large, for every sample of them. With a slope theta' grad f alone
r = 2; the best theta is part of the search.

Only slopes in columns where some have come so far are expected of the next evaluation.
"""

from collections.abc import Callable

import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.expected_max_of_planes import (
    log_expected_gain_of_planes,
    mirrored_sample,
)
from bayesopt.optimize import by_autograd

_N_SAMPLES = 32
_LARGEST_CHUNK = 1 << 21  # numbers in one array, when no graph is built


class DerivativeKnowledgeGradient(AcquisitionFunction):  # type: ignore[misc]
    """Expected gain of the best mean over a finite report set from a value and its slopes.

    Parameters
    ----------
    model
        A process on values and slopes, ``bayesopt.models.derivatives``, without batch.
    A
        (m, d) points that may be reported.
    noise
        Variance of the noise of the next value.
    slope_noise
        Variance of the noise of its partial derivatives; None: that of the model.
    with_candidate
        Whether the candidate may be reported too, as on a continuous space. A report set that is
        the whole of a finite space holds it already.
    log
        Return the logarithm, which has the same maximiser and a usable gradient everywhere.
    n_samples
        Size of the quasi-Monte Carlo sample, even; one variable is exact.
    """

    def __init__(
        self,
        model: Model,
        A: Shaped[Tensor, "m d"],
        noise: float,
        slope_noise: float | None = None,
        *,
        with_candidate: bool = True,
        log: bool = True,
        n_samples: int = _N_SAMPLES,
    ) -> None:
        super().__init__(model)
        self.A, self.with_candidate, self.log, self.n_samples = A, with_candidate, log, n_samples
        with torch.no_grad():
            self.mean = model.marginals(A)[0]
            self.of_next: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor]]
            self.of_next = model.moments_with_next(A, noise, slope_noise)

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate."""
        return by_autograd(self, X)

    def forward(self, X: Shaped[Tensor, "*b 1 d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate."""
        flat = X.reshape(-1, X.shape[-1])
        size = len(flat)
        if not (torch.is_grad_enabled() and X.requires_grad):
            size = max(1, _LARGEST_CHUNK // (self.n_samples * (len(self.A) + 1)))
        values = [self.along(chunk) for chunk in flat.split(max(1, size))]
        return torch.cat(values).reshape(X.shape[:-2])

    def along(
        self, X: Shaped[Tensor, "b d"], directions: Shaped[Tensor, "*#b k d"] | None = None
    ) -> Shaped[Tensor, " b"]:
        """Value of every candidate when slopes along some directions are observed there.

        Parameters
        ----------
        X
            (b, d) candidates.
        directions
            (k, d) or (b, k, d), of any length: the noise of a slope grows with it. None: all
            partial derivatives that are expected.
        """
        mean, C, S = self.of_next(X, directions)
        a = self.mean.expand(len(X), -1)
        if self.with_candidate:
            a = torch.cat((a, mean.unsqueeze(-1)), dim=-1)
        else:
            C = C[:, :-1]
        B = torch.linalg.solve_triangular(torch.linalg.cholesky(S), C.mT, upper=False)
        z = mirrored_sample(self.n_samples, B.shape[1] - 1)
        log_value = log_expected_gain_of_planes(a, B, z)
        return log_value if self.log else log_value.exp()
