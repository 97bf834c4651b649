"""Knowledge gradient of a value and one slope, along the direction that is worth most.

Notation
--------
a, B, L     planes of d-KG, and S = L L' (see `derivative_knowledge_gradient`): row 0 of B and of L
            is the value, the other ones are the k slopes
theta       (d,) direction of the slope that is observed
u           (k,) of length 1: the same in independent variables, theta = L_11^-T u, where L_11 is L
            without row and column 0
w           (m,) weights of the planes

    value along theta  = gain of the planes a, (B_0, u' B_(1..k))        Wu et al. (2017), Section 3
    value              = max over u

To keep one slope of a gradient is an idea of Ahmed et al. (2016): a process of N evaluations has
2 N rows then, whatever the dimension.

Noise counts in S, and does so along theta. The best u begins as the direction in which the planes
differ most, the leading eigenvector of sum_i w_i (B_i - B_now) (B_i - B_now)', and then climbs. By
the envelope theorem the gradient in the candidate is that with the best u held fixed.
"""

import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition import derivative_knowledge_gradient
from bayesopt.acquisition.average import Average
from bayesopt.acquisition.derivative_knowledge_gradient import DerivativeKnowledgeGradient
from bayesopt.acquisition.expected_max_of_planes import (
    distances,
    log_expected_gain_of_planes,
)
from bayesopt.acquisition.observed import check_one_candidate
from bayesopt.data import Dataset
from bayesopt.optimize import by_autograd
from bayesopt.parameter import Array
from bayesopt.quasi_newton import minimize_from
from bayesopt.region import Region

_N_SAMPLES = 16  # of one variable beside the exact one
_MAX_CALLS = 4
_TOLERANCE = 1e-4
_CHUNK = 256


class DirectionalKnowledgeGradient(AcquisitionFunction):  # type: ignore[misc]
    """Expected gain of the best mean from a value and the slope in the best direction.

    Parameters
    ----------
    whole
        The same with all slopes; at least one is expected.

    Raises
    ------
    ValueError
        If no partial derivative has come so far.
    """

    def __init__(self, whole: DerivativeKnowledgeGradient) -> None:
        super().__init__(whole.model)
        self.whole = whole
        self.columns = whole.model.rows.columns
        if len(self.columns) == 0:
            raise ValueError(
                "A direction needs partial derivatives, but none has been observed so far."
            )

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
        chunks = torch.split(X.reshape(-1, X.shape[-1]), _CHUNK)
        values = [self._log_value(chunk) for chunk in chunks]
        log_value = torch.cat(values).reshape(X.shape[:-2])
        return log_value if self.whole.log else log_value.exp()

    def directions(self, X: Shaped[Tensor, "b d"]) -> Shaped[Tensor, "b d"]:
        """The best theta of every candidate, of length 1."""
        with torch.no_grad():
            a, B, L = self.whole.planes(X)
            u = _best(a, B)
            by_column = torch.linalg.solve_triangular(
                L[:, 1:, 1:].mT, u.unsqueeze(-1), upper=True
            ).squeeze(-1)
            theta = torch.zeros_like(X)
            theta[:, self.columns] = torch.nn.functional.normalize(by_column, dim=-1)
        return theta

    def _log_value(self, X: Tensor) -> Tensor:
        a, B, _ = self.whole.planes(X)
        return _log_gain(a, B, _best(a.detach(), B.detach()))


def _log_gain(a: Tensor, B: Tensor, u: Tensor) -> Tensor:
    """Logarithm (b,) of the gain by the value and the slope along u (b, k)."""
    along = u.unsqueeze(1) @ B[:, 1:]
    planes = torch.cat((B[:, :1], along), dim=1)
    return log_expected_gain_of_planes(a, planes, _N_SAMPLES)


def _best(a: Tensor, B: Tensor) -> Tensor:
    """The u (b, k) that are worth most."""
    start = _most_different(a, B)
    if start.shape[-1] == 1:
        return start

    def negative(at: Array) -> tuple[Array, Array]:
        rows = torch.from_numpy(at[:, -1].astype(int))
        with torch.enable_grad():
            free = torch.from_numpy(at[:, :-1].copy()).requires_grad_(True)
            u = torch.nn.functional.normalize(free, dim=-1)
            value = _log_gain(a[rows], B[rows], u)
            (gradient,) = torch.autograd.grad(value.sum(), free)
        return -value.detach().numpy(), -torch.cat((gradient, gradient[:, :1] * 0.0), 1).numpy()

    number = torch.arange(len(a), dtype=a.dtype).unsqueeze(-1)
    begin = torch.cat((start, number), dim=-1).numpy()
    low, high = begin.copy(), begin.copy()
    low[:, :-1], high[:, :-1] = -2.0, 2.0
    found, _ = minimize_from(
        negative,
        begin,
        low,
        high,
        max_calls=_MAX_CALLS,
        value_tolerance=_TOLERANCE,
        only_best=False,
    )
    return torch.nn.functional.normalize(torch.from_numpy(found[:, :-1]), dim=-1)


def _most_different(a: Tensor, B: Tensor) -> Tensor:
    """Leading eigenvectors (b, k) of what slopes change, by planes that may be the highest."""
    now = a.argmax(-1)[:, None, None].expand(-1, B.shape[1], 1)
    w = torch.exp(-0.5 * distances(a, B).square())
    change = (B - B.gather(-1, now))[:, 1:]
    _, vectors = torch.linalg.eigh((change * w.unsqueeze(1)) @ change.mT)
    leading: Tensor = vectors[..., -1]
    return leading


def build(
    model: Model,
    data: Dataset,
    X_pending: Shaped[Tensor, "m d"] | None = None,
    *,
    region: Region | None = None,
) -> AcquisitionFunction:
    """Log knowledge gradient of a value and one slope on a fitted process.

    Its `directions` tell which slope is to be observed at a candidate; beside pending points the
    best direction is found for every fantasy on its own.

    Parameters
    ----------
    model, data, X_pending, region
        As in `derivative_knowledge_gradient.build`.

    Raises
    ------
    TypeError, ValueError
        If the model knows nothing of slopes, or no partial derivative has come so far.
    """
    whole = derivative_knowledge_gradient.build(model, data, X_pending, region=region)
    if isinstance(whole, Average):
        return Average([DirectionalKnowledgeGradient(term) for term in whole.terms])
    return DirectionalKnowledgeGradient(whole)
