"""Two steps ahead: what two evaluations are expected to gain, the second chosen after the first.

Notation
--------
A           (r, d) points that may be reported: those evaluated, and pending ones
B           (m, d) candidates of the second evaluation (see `second_candidates`)
x, x'       a candidate of the first evaluation and one of the second
mu, Sigma   posterior mean and covariance after n evaluations
lambda      variance of the noise of either observation
v           Sigma(x, x) + lambda
z_k, w_k    nodes and weights of the standard normal law

    V_0(D) = max over A of mu,   V_k(D) = max over x of E[V_{k-1}(D + (x, y))]
                                                                     Frazier (2018), Section 4.4
    after x and z:   mu_1(p) = mu(p) + s(p) z,   s(p) = Sigma(p, x) / sqrt(v)
                     Sigma_1(p, p') = Sigma(p, p') - s(p) s(p')
    E[V_1(D + (x, y))] - V_0(D) = g_0(x) + sum_k w_k max over x' of g_1(x' | x, z_k)

g is the gain of one evaluation, Eq. (13) of Frazier (2018) (see `noisy_expected_improvement`),
before the first one and after it. Without noise both are expected improvements. g_0 is exact.

The candidates x' are B, and x once more where there is noise. The best ones are told by a bound in
closed form: of all that may be reported, only x' and what is best after x are compared,

    g_1 >= E[(mu_2(x') - mu_2(p))^+],   p best after x:   expected improvement of variance
           (Sigma_1(x', x') - Sigma_1(x', p))^2 / (Sigma_1(x', x') + lambda).

Without noise that is no bound but g_1 itself. Under noise g_1 is computed for the few whose bounds
are largest. While x moves, x' stays as it is: by the envelope theorem that is also the gradient
of the maximum over the whole space, wherever B holds its maximisers.

Asked after every evaluation it always counts on one more, and prefers what tells where that should
be: it explores first. A search must take its gains by other means (see `policy.Search`).
"""

from collections.abc import Iterator

import torch
from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.average import Average
from bayesopt.acquisition.default_region import cube_of
from bayesopt.acquisition.expected_improvement import log_expected_improvement
from bayesopt.acquisition.expected_max import log_expected_gain
from bayesopt.acquisition.normal_quadrature import evenly_spaced
from bayesopt.acquisition.observed import FunctionOfMoments, Observed, check_one_candidate
from bayesopt.acquisition.pending import believe, fantasies, same_noise
from bayesopt.acquisition.second_candidates import log_bound, second_candidates
from bayesopt.data import Dataset
from bayesopt.region import Region

_N_FANTASIES = 4
_N_NODES = 25
_N_NODES_UNDER_NOISE = 17  # the more there is to compute at each; kinks are softer, too
_N_ROUGH_NODES = 9
_REACH = 4.0  # of the nodes
_BEYOND = 6.0  # Phi(-6) is 1e-9: what happens farther out hardly counts
_N_COMPARED = 3
_NOTHING = -1e15  # stands for the logarithm of zero, which has no slope
_KNOWN = 1e-6  # share of a variance
_CHUNK = 64
_SMALLEST_VARIANCE = 1e-15  # a second candidate may be the first one, up to rounding


class Lookahead(FunctionOfMoments):
    """Expected gain of two evaluations, the second one of a finite set or the first one again.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised.
    A
        (r, d) points that may be reported, usually all that were evaluated.
    B
        (m, d) candidates of the second evaluation.
    noise
        Variance of the noise of either observation.
    log
        Return the logarithm, which has the same maximiser.
    n_nodes
        Number of values of the first observation that the second step is averaged over.
    n_compared
        Number of second candidates whose gain is computed under noise, those of the largest bounds.
    """

    def __init__(
        self,
        model: Model,
        A: Shaped[Tensor, "r d"],
        B: Shaped[Tensor, "m d"],
        noise: float,
        *,
        log: bool = True,
        n_nodes: int = _N_NODES,
        n_compared: int = _N_COMPARED,
    ) -> None:
        super().__init__(model)
        self.noise, self.log, self.B = noise, log, B
        self.z, self.log_weight = map(torch.from_numpy, evenly_spaced(n_nodes, _REACH))
        with torch.no_grad():
            A = within_reach(model, A)
            self.r = len(A)
            self.observed = Observed(model, torch.cat((A, B)))
            self.mean, variance, _ = self.observed.moments(A.unsqueeze(-2))
            self.mean_of_B, self.variance_of_B, covariance = self.observed.moments(B.unsqueeze(-2))
            self.of_A_with_B = covariance[:, : self.r].T
            known = float(variance.max()) <= _KNOWN * float(self.variance_of_B.max())
            self.certain = noise == 0.0 and known  # no mean moves but that of the candidate
            self.n_compared = 1 if self.certain else n_compared

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate.

        Raises
        ------
        ValueError
            If more than one point is asked jointly.
        """
        check_one_candidate(X)
        if torch.is_grad_enabled():
            return self.observed.value(self._log_value_and_partials, X, self.log)
        mean, variance, covariance = self.observed.moments(X)
        flat = mean.reshape(-1), variance.reshape(-1), covariance.reshape(mean.numel(), -1)
        value = torch.cat([self._log_value(*chunk) for chunk in _chunks(*flat)])
        value = value.reshape(mean.shape)
        return value if self.log else value.exp()

    def _log_value_and_partials(
        self, mean: Tensor, variance: Tensor, covariance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The logarithm (b,), and its derivatives in the moments (b,), (b,), (b, r + m)."""
        parts = []
        for chunk in _chunks(mean, variance, covariance):
            with torch.enable_grad():
                moments = [moment.detach().requires_grad_() for moment in chunk]
                value = self._log_value(*moments)
                parts.append((value.detach(), *torch.autograd.grad(value.sum(), moments)))
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))  # type: ignore[return-value]

    def _log_value(self, mean: Tensor, variance: Tensor, covariance: Tensor) -> Tensor:
        """log of g_0 and the mean of g_1 (b,), from moments (b,), (b,), (b, r + m)."""
        root = (variance + self.noise).sqrt()
        slope, slope_of_B = (covariance / root.unsqueeze(-1)).tensor_split([self.r], dim=-1)
        a = torch.cat((self.mean.expand_as(slope), mean.unsqueeze(-1)), dim=-1)
        s = torch.cat((slope, (variance / root).unsqueeze(-1)), dim=-1)
        first = _log_gain(a, s, a[..., -1] - a[..., :-1].amax(-1))
        after = a.unsqueeze(-2) + self.z.unsqueeze(-1) * s.unsqueeze(-2)  # (b, K, r + 1)
        second = self._log_second(after, *self._seconds(mean, variance, covariance, root))
        return torch.logsumexp(
            torch.cat((first.unsqueeze(-1), second + self.log_weight), dim=-1), dim=-1
        )

    def _seconds(
        self, mean: Tensor, variance: Tensor, covariance: Tensor, root: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """mu, s and Sigma_1 (b, m') of the second candidates; Sigma_1 with A and x (b, r+1, m')."""
        s_of_A, s = (covariance / root.unsqueeze(-1)).tensor_split([self.r], dim=-1)
        left = (self.noise / (root * root)).unsqueeze(-1)  # share of what is not known after x
        with_x = (covariance * left).tensor_split([self.r], dim=-1)
        mean_2 = self.mean_of_B.expand_as(s)
        variance_2 = self.variance_of_B - s * s
        with_A = self.of_A_with_B - s_of_A.unsqueeze(-1) * s.unsqueeze(-2)
        beside = torch.cat((with_A, with_x[1].unsqueeze(-2)), dim=-2)
        if self.noise > 0.0:
            of_x = variance.unsqueeze(-1) * left
            mean_2 = torch.cat((mean_2, mean.unsqueeze(-1)), dim=-1)
            s = torch.cat((s, (variance / root).unsqueeze(-1)), dim=-1)
            variance_2 = torch.cat((variance_2, of_x), dim=-1)
            column = torch.cat((with_x[0], of_x), dim=-1)
            beside = torch.cat((beside, column.unsqueeze(-1)), dim=-1)
        return mean_2, s, variance_2, beside

    def _log_second(
        self, after: Tensor, mean: Tensor, s: Tensor, variance: Tensor, beside: Tensor
    ) -> Tensor:
        """log of max over x' of g_1 (b, K), from mu_1 of A and x (b, K, r + 1)."""
        best, p = after.max(-1)
        z = self.z.unsqueeze(-1)
        K, m = len(self.z), s.shape[-1]
        with torch.no_grad():
            with_best = beside.gather(-2, p.unsqueeze(-1).expand(-1, -1, m))
            bound = log_bound(
                mean.unsqueeze(-2) + z * s.unsqueeze(-2),
                variance.unsqueeze(-2).expand_as(with_best),
                with_best,
                best.unsqueeze(-1),
                self.noise,
            )
            chosen = bound.topk(min(self.n_compared, m), dim=-1).indices  # (b, K, J)
        J, r = chosen.shape[-1], after.shape[-1]
        flat = chosen.flatten(-2)
        mean, s, variance = (x.gather(-1, flat).reshape(chosen.shape) for x in (mean, s, variance))
        beside = beside.gather(-1, flat.unsqueeze(-2).expand(-1, r, -1)).reshape(-1, r, K, J)
        return self._log_second_of(after, best, mean + z * s, variance, beside).amax(-1)

    def _log_second_of(
        self, after: Tensor, best: Tensor, mean: Tensor, variance: Tensor, beside: Tensor
    ) -> Tensor:
        """log g_1 (b, K, J) of second candidates from mu_1 and Sigma_1 of all that is reported."""
        variance = variance.clamp_min(_SMALLEST_VARIANCE)
        if self.certain:
            return _floored(log_expected_improvement(mean - best.unsqueeze(-1), variance, 0.0))
        root = (variance + self.noise).sqrt().unsqueeze(-1)
        a = torch.cat((after.unsqueeze(-2).expand(*root.shape[:-1], -1), mean[..., None]), dim=-1)
        b = torch.cat((beside.movedim(1, -1), variance.unsqueeze(-1)), dim=-1) / root
        return _log_gain(a, b, mean - best.unsqueeze(-1))


def _chunks(*moments: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same moments of a few candidates at a time: what is made of them is large."""
    return zip(*(torch.split(moment, _CHUNK) for moment in moments), strict=True)


def _log_gain(a: Tensor, b: Tensor, lead: Tensor) -> Tensor:
    """log(h(a, b) + lead^+) (*b,), Eq. (13)."""
    of_lead = torch.where(lead > 0.0, lead, 1.0).log()
    of_lead = torch.where(lead > 0.0, of_lead, _NOTHING)
    return torch.logaddexp(_floored(log_expected_gain(a, b)), of_lead)


def _floored(logarithm: Tensor) -> Tensor:
    return torch.where(logarithm > _NOTHING, logarithm, _NOTHING)


def within_reach(model: Model, A: Shaped[Tensor, "r d"]) -> Shaped[Tensor, "k d"]:
    """The points whose mean may come to be the best one among A."""
    posterior = model.posterior(A.unsqueeze(-2))
    mean, sd = posterior.mean[:, 0, 0], posterior.variance[:, 0, 0].sqrt()
    top = int(mean.argmax())
    return A[mean[top] - mean <= _BEYOND * (sd + sd[top])]


def build(
    model: Model,
    data: Dataset,
    X_pending: Shaped[Tensor, "m d"] | None = None,
    *,
    region: Region | None = None,
) -> AcquisitionFunction:
    """Log of the gain that two evaluations promise, on a fitted model.

    The candidates of the second one are made once, from a fixed seed: what is returned is one
    function of the candidate, for any search.

    Parameters
    ----------
    model
        Fitted to `data`.
    data
        Its points may be reported.
    X_pending
        Points that are being evaluated: they may be reported too, and what they return is
        averaged over.
    region
        Where the second evaluation may be: the space and its constraints. None: anywhere in the
        unit cube, with the categories of `data`.
    """
    region = region or cube_of(data)
    noise = same_noise(model, data, "acquisition='lookahead'")
    n_nodes = _N_NODES if noise == 0.0 else _N_NODES_UNDER_NOISE
    if X_pending is None or len(X_pending) == 0:
        B = _seconds_of(model, data.X, noise, region)
        return Lookahead(model, data.X, B, noise, n_nodes=n_nodes)
    A = torch.cat((data.X, X_pending))
    B = _seconds_of(believe(model, data, X_pending), A, noise, region)
    models = fantasies(model, data, X_pending, _N_FANTASIES)
    return Average([Lookahead(m, A, B, noise, n_nodes=n_nodes) for m in models])


def _seconds_of(model: Model, A: Tensor, noise: float, region: Region) -> Tensor:
    def of_seconds(B: Tensor) -> Lookahead:
        return Lookahead(model, A, B, noise, n_nodes=_N_ROUGH_NODES, n_compared=1)

    with torch.no_grad():
        A = within_reach(model, A)
    return second_candidates(model, noise, A, region, of_seconds)
