"""Knowledge gradient of a target where an evaluation also shows what there was on its way.

Notation
--------
x, s        design of a candidate, its fidelity
s_j         fidelities that traces have, farther from the target than s, at most k of them;
            s_1 the farthest that there is
F, A        the target, (m, d) designs that may be reported
y           (1 + k,) what is observed: f(x, s_1), then f(x, s), then f(x, s_j) of the others
V           Cov(y), noise included, = L L'
B           (1 + k, m) = L^-1 Cov(y, F(A))
a           (m,) posterior mean of F(A)
S           number of samples

    mu^F_{n+1}(A) = a + B' Z,    Z ~ N(0, I)             Wu, Toscano-Palmerin, Frazier & Wilson
                                                         (2019), "Practical multi-fidelity Bayesian
                                                         optimization for hyperparameter tuning"
    KG(x, s) = E[max_A (a + B' Z)] - E[max_A a'],        their value that avoids fidelity zero
             = E[h(a'', B_1) + max_A a'' - a''_i],       a'  = a + B_0 Z_0
                                                         a'' = a' + B_2:' Z_2:

i is the report that is the best one after f(x, s_1), i = argmax a'. Only what goes beyond that
value counts: there is hardly anything cheaper, so per unit cost it would win nearly always, and a
search would buy one start of a curve after the other. At s = s_1 itself nothing goes beyond.
In Z_1, along what the candidate itself says, the expectation is exact (h is that of
`expected_max`). In the others it is the mean over a fixed quasi-Monte Carlo sample, with Z_2: and
-Z_2: for each Z_0. So a''_i has the mean of a'_i, and no term is negative.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from botorch.utils.sampling import draw_sobol_normal_samples
from jaxtyping import Bool
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.expected_max import log_expected_gain
from bayesopt.acquisition.observed import Observed, check_one_candidate
from bayesopt.acquisition.target_knowledge_gradient import (
    TargetKnowledgeGradient,
    target_report_set,
)
from bayesopt.region import Region

_N_SAMPLES = 32
_MOST = 3  # fidelities of one trace
_CANDIDATE = 1  # its place in y
_ORDER = [1, 0, *range(2, 1 + _MOST)]  # of the points of a curve in y
_SAME = 1e-9  # difference of coordinates
_LEAST_NOISE = 1e-8  # of traces, in scores: no slope in s is read from values that are all but one


@dataclass(frozen=True, eq=False)
class Curve:
    """At which fidelities an evaluation is seen on its way.

    Parameters
    ----------
    column
        Of the fidelity.
    target
        Its coordinate that is sought.
    fidelities
        (g,) coordinates that traces have had, and the farthest that there is.
    """

    column: int
    target: float
    fidelities: Shaped[Tensor, " g"]

    def points(
        self, X: Shaped[Tensor, "*b 1 d"]
    ) -> tuple[Shaped[Tensor, "*b p d"], Bool[Tensor, "*b p"]]:
        """Every candidate and the points of its trace, and which of these there are.

        A trace has the fidelities that are farther from the target than the candidate. Of many
        some stand for all: the farthest, and of the others those in the middles of equal shares.
        """
        levels = torch.unique(self.fidelities)
        far = levels[torch.argsort(-(levels - self.target).abs(), stable=True)]
        s = X[..., self.column].detach()
        before = ((far - self.target).abs() > (s - self.target).abs() + _SAME).sum(-1, keepdim=True)
        j = torch.arange(_MOST)
        share = (before - 1).clamp_min(0) * (2 * j - 1).clamp_min(0) // (2 * (_MOST - 1))
        some = torch.where(j == 0, 0, 1 + share)
        chosen = torch.where(before <= _MOST, j, some).clamp_max(len(far) - 1)
        trace = X.repeat(*[1] * (X.dim() - 2), _MOST, 1)
        trace[..., self.column] = far[chosen]
        there = torch.cat((torch.ones_like(before, dtype=torch.bool), j < before), dim=-1)
        return torch.cat((X, trace), dim=-2), there


class TraceKnowledgeGradient(AcquisitionFunction):  # type: ignore[misc]
    """Expected gain of the best target from an evaluation beyond the farthest point of its trace.

    Parameters
    ----------
    model
        A botorch Model of f with a target (see `target_knowledge_gradient.WithTarget`), to be
        maximised.
    A
        (m, d) designs that may be reported.
    curve
        What comes along with a candidate.
    log
        Return the logarithm, which has the same maximiser and a usable gradient everywhere.
    n_samples
        S, a multiple of four.
    """

    def __init__(
        self,
        model: Model,
        A: Shaped[Tensor, "m d"],
        curve: Curve,
        *,
        log: bool = True,
        n_samples: int = _N_SAMPLES,
    ) -> None:
        super().__init__(model)
        self.A, self.curve, self.log = A, curve, log
        drawn = draw_sobol_normal_samples(_MOST, n_samples // 4, dtype=A.dtype, seed=0)
        both = torch.cat((drawn, -drawn))
        start, others = both[:, :1], both[:, 1:]
        self.Z_0, self.Z_2 = torch.cat((start, start)), torch.cat((others, -others))
        with torch.no_grad():
            self.mean = model.target.marginals(A)[0]
            self.observed = Observed(model, A, beside=model.beside_target(A))

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate.

        Raises
        ------
        ValueError
            If more than one point is asked jointly.
        """
        check_one_candidate(X)
        B, has_trace = self._slopes(X)
        after_start = self.mean + self.Z_0 * B[..., :1, :]
        a = after_start + self.Z_2 @ B[..., 2:, :]
        i = after_start.detach().argmax(-1, keepdim=True)
        beyond = a.amax(-1) - a.gather(-1, i).squeeze(-1)
        is_beyond = beyond > 0.0
        log_beyond = torch.where(is_beyond, beyond, 1.0).log().where(is_beyond, -torch.inf)
        log_h = log_expected_gain(a, B[..., 1:2, :].expand_as(a))
        value = _log_mean_of_sums(log_h, log_beyond).where(has_trace, -torch.inf)
        return value if self.log else value.exp()

    def _slopes(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """B (*b, 1 + k, m), zero for a point that is not there; whether there is a trace (*b,)."""
        points, there = self.curve.points(X)
        points, there = points[..., _ORDER, :], there[..., _ORDER]
        has_trace = there[..., 0]
        flat = points.unsqueeze(-2).flatten(0, -3)
        _, variance, with_A = self.observed.moments(flat)
        v = variance.reshape(there.shape) + self.model.noise_at(points)
        is_candidate = torch.arange(v.shape[-1]) == _CANDIDATE
        v = v + _LEAST_NOISE * ~is_candidate
        among = self.model.posterior(points).distribution.covariance_matrix
        beside = among - torch.diag_embed(among.diagonal(dim1=-2, dim2=-1))
        _, failed = torch.linalg.cholesky_ex(_only(there, v, beside).detach())
        # What is known up to rounding has covariances that are nothing else.
        there = there & (is_candidate | (failed == 0).unsqueeze(-1))
        C = with_A.reshape(*there.shape, len(self.A)) * there.unsqueeze(-1)
        L = torch.linalg.cholesky(_only(there, v, beside))
        slopes: Tensor = torch.linalg.solve_triangular(L, C, upper=False)
        return slopes, has_trace


def _only(there: Tensor, variance: Tensor, beside: Tensor) -> Tensor:
    """V (*b, p, p) of variances and of the covariances beside them, without points not there."""
    pairs = there.unsqueeze(-1) & there.unsqueeze(-2)
    return torch.diag_embed(variance.where(there, 1.0)) + beside.where(pairs, 0.0)


def _log_mean_of_sums(one: Tensor, other: Tensor) -> Tensor:
    """log of the mean over samples of exp(one) + exp(other), (*b, S) each, also where all are 0."""
    both = torch.cat((one, other), dim=-1)
    largest = both.detach().amax(-1, keepdim=True)
    largest = largest.where(largest.isfinite(), 0.0)
    total = (both - largest).exp().sum(-1) / one.shape[-1]
    is_some = total > 0.0
    log_total = torch.where(is_some, total, 1.0).log() + largest.squeeze(-1)
    return log_total.where(is_some, -torch.inf)


def build(
    model: Model,
    X: Shaped[Tensor, "n d"],
    reports: Region,
    everywhere: Region,
    curve: Curve,
    per_cost: Callable[[AcquisitionFunction], AcquisitionFunction] = lambda of: of,
) -> AcquisitionFunction:
    """Log knowledge gradient of the target from evaluations with traces, per unit cost.

    The report set is that of evaluations without traces: these lead to the same designs.

    Parameters
    ----------
    model, X, reports, everywhere, per_cost
        See `target_knowledge_gradient.build`.
    curve
        What comes along with a candidate.
    """

    def of_reports(A: Tensor) -> AcquisitionFunction:
        return per_cost(TargetKnowledgeGradient(model, A))

    A = target_report_set(model, X, reports, everywhere, of_reports)
    return per_cost(TraceKnowledgeGradient(model, A, curve))
