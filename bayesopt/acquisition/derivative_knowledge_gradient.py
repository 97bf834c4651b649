"""Knowledge gradient of an evaluation that returns the value and its slopes (d-KG).

Notation
--------
A           (m, d) points that may be reported, the *report set*
x           a candidate
k, r        number of slopes observed there (partial derivatives or others), r = 1 + k
mu, Cov     posterior mean and covariance after n evaluations
S           (r, r) = Cov((f, grad f)(x)) + noise = L L'
a, B        (m + 1,), (r, m + 1) planes of A and x (see `expected_max_of_planes`)
theta       (d,) a direction

    mu_{n+1}(p) = mu(p) + (L^-1 Cov((f, grad f)(x), f(p)))' Z,    Z ~ N(0, I)
    d-KG        = E[max over A of mu_{n+1}] - max over A of mu        Wu et al. (2017), Section 3.2

The value comes first: without the other variables of Z these are the lines of the knowledge
gradient, and d-KG is at least as large, for every sample of them. A slope theta' grad f may stand
for the gradient (see `directional_knowledge_gradient`).

Only slopes in columns where some have come so far are expected of the next evaluation.
"""

from collections.abc import Callable
from functools import partial

import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from botorch.utils.sampling import draw_sobol_normal_samples
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.average import Average
from bayesopt.acquisition.default_region import cube_of
from bayesopt.acquisition.expected_max_of_planes import (
    log_expected_gain_of_planes,
    mirrored_sample,
)
from bayesopt.acquisition.observed import check_one_candidate
from bayesopt.acquisition.pending import same_noise
from bayesopt.acquisition.report_set import extended, report_set
from bayesopt.data import Dataset
from bayesopt.optimize import by_autograd
from bayesopt.region import Region

_N_SAMPLES = 32
_N_HYPOTHETICAL = 12
_N_FANTASIES = 8
_N_SAMPLES_OF_EACH = 16
_LARGEST_CHUNK = 1 << 21  # numbers in one array, when no graph is built


class DerivativeKnowledgeGradient(AcquisitionFunction):  # type: ignore[misc]
    """Expected gain of the best mean over a finite report set from a value and its slopes.

    Parameters
    ----------
    model
        A process on values and slopes, `bayesopt.models.derivatives`, without batch.
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
        Size of the sample, even; the value is integrated exactly.
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

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate.

        Raises
        ------
        ValueError
            If more than one point is asked jointly.
        """
        check_one_candidate(X)
        flat = X.reshape(-1, X.shape[-1])
        size = len(flat)
        if not (torch.is_grad_enabled() and X.requires_grad):
            size = max(1, _LARGEST_CHUNK // (self.n_samples * (len(self.A) + 1)))
        values = [self.along(chunk) for chunk in torch.split(flat, max(1, size))]
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
        a, B, _ = self.planes(X, directions)
        log_value = log_expected_gain_of_planes(a, B, self.n_samples)
        return log_value if self.log else log_value.exp()

    def planes(
        self, X: Shaped[Tensor, "b d"], directions: Shaped[Tensor, "*#b k d"] | None = None
    ) -> tuple[Shaped[Tensor, "b m"], Shaped[Tensor, "b r m"], Shaped[Tensor, "b r r"]]:
        """The planes a, B of every candidate, and L; see `along`."""
        mean, C, S = self.of_next(X, directions)
        a = self.mean.expand(len(X), -1)
        if self.with_candidate:
            a = torch.cat((a, mean.unsqueeze(-1)), dim=-1)
        else:
            C = C[:, :-1]
        L = torch.linalg.cholesky(S)
        return a, torch.linalg.solve_triangular(L, C.mT, upper=False), L


def build(
    model: Model,
    data: Dataset,
    X_pending: Shaped[Tensor, "m d"] | None = None,
    *,
    region: Region | None = None,
) -> AcquisitionFunction:
    """Log d-KG on a fitted process, over a report set that is found first.

    Parameters
    ----------
    model
        A process on values and slopes, fitted to `data` and their partial derivatives.
    data
        Its points are where the search for reportable ones looks first.
    X_pending
        Points that are being evaluated: what they return, slopes included, is averaged over.
    region
        Where a point may be reported: the space and its constraints. None: anywhere in the unit
        cube, with the categories of `data`.

    Raises
    ------
    TypeError
        If the model knows nothing of slopes.
    """
    if not hasattr(model, "moments_with_next"):
        raise TypeError(
            "The knowledge gradient with derivatives needs a process on values and slopes, but "
            f"the model is a {type(model).__name__}; take `knowledge_gradient.build` for it."
        )
    region = region or cube_of(data)
    noises = (
        same_noise(model, data, "The knowledge gradient with slopes"),
        float(model.new_slope_noise),
    )
    if X_pending is None or len(X_pending) == 0:
        A = _report_set(model, noises, data, region)
        return DerivativeKnowledgeGradient(model, A, *noises)
    with torch.no_grad():
        mean, L = model.law_of_next(X_pending, *noises)
        Z = draw_sobol_normal_samples(len(mean), _N_FANTASIES, dtype=L.dtype, seed=0)
        (believed,) = model.after_next(X_pending, mean.unsqueeze(0), *noises)
        fantasies = model.after_next(X_pending, mean + Z @ L.T, *noises)
    A = _report_set(believed, noises, data, region)
    W = torch.linalg.solve_triangular(L.T, Z.T, upper=True).T
    A = extended(model, X_pending, W, region, A, slopes=True)
    each = partial(DerivativeKnowledgeGradient, n_samples=_N_SAMPLES_OF_EACH)
    return Average([each(m, A, *noises) for m in fantasies])


def _report_set(
    model: Model, noises: tuple[float, float], data: Dataset, region: Region
) -> Shaped[Tensor, "m d"]:
    told = model.moments_with_next(data.X[:0], *noises)

    def hypothetical(P: Tensor) -> Tensor:
        with torch.no_grad():
            _, _, S = told(P, None)
            Z = mirrored_sample(_N_HYPOTHETICAL, S.shape[-1]).z
            each = torch.linalg.solve_triangular(torch.linalg.cholesky(S).mT, Z.T, upper=True)
            W: Tensor = torch.block_diag(*each.mT)  # type: ignore[no-untyped-call]
            return W

    return report_set(
        model,
        noises[0],
        data,
        region,
        lambda A: DerivativeKnowledgeGradient(model, A, *noises, n_samples=_N_SAMPLES_OF_EACH),
        hypothetical,
    )
