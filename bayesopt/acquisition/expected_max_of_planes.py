"""Expected maximum of planes in several standard normal variables: the cellar of d-KG.

Notation
--------
b, m, r     candidates, planes, variables
a, B        (b, m), (b, r, m): the planes a_i + B_i' Z,    Z ~ N(0, I)
z_s, w_s    (N, r - 1), (N,) a symmetric sample of the variables but the first, and its weights:
            Gauss-Hermite for one variable, else quasi-Monte Carlo with its mirror image
now         the plane that is highest at Z = 0

    E[max_i (a_i + B_i' Z)] - max_i a_i
             = sum_s w_s (h(a + B_(2..r)' z_s, B_1) + rise_s)
    rise_s   = max_i (a_i + B_i(2..r)' z_s) - (a_now + B_now(2..r)' z_s)

The first variable is integrated exactly (h, see `expected_max`): that leaves smooth functions of
the others, of which a few samples are enough, and a logarithm that does not underflow. The sample
has the mean 0, so that the plane that is subtracted has its true mean, and no term is negative.
Since the integrand is convex, the sum is at least its value at z = 0: h(a, B_1).
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from botorch.utils.sampling import draw_sobol_normal_samples
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.expected_max import log_expected_gain, log_gain_and_partials
from bayesopt.acquisition.normal_quadrature import gauss_hermite

_BEYOND = 40.0  # a plane whose squared distance is larger by this adds exp(-20) of the gain
_GROUPS = 8  # of candidates that move about as many planes
_MOST_NODES = 64


@dataclass(frozen=True)
class Sample:
    """Vectors that stand for a normal one, and their weights.

    Parameters
    ----------
    z
        (N, k), symmetric.
    log_weight
        (N,) of sum 1.
    """

    z: Shaped[Tensor, "N k"]
    log_weight: Shaped[Tensor, " N"]


@cache
def mirrored_sample(n: int, k: int) -> Sample:
    """Gauss-Hermite nodes for k = 1, at most 64; else n/2 quasi-random vectors, mirrored."""
    if k == 1:
        nodes, weight = gauss_hermite(min(n, _MOST_NODES))
        return Sample(torch.from_numpy(nodes).unsqueeze(-1), torch.from_numpy(np.log(weight)))
    half = draw_sobol_normal_samples(k, n // 2, dtype=torch.float64, seed=0)
    equal = torch.full((2 * len(half),), -math.log(2 * len(half)), dtype=torch.float64)
    return Sample(torch.cat((half, -half)), equal)


def log_expected_gain_of_planes(
    a: Shaped[Tensor, "b m"], B: Shaped[Tensor, "b r m"], n_samples: int
) -> Shaped[Tensor, " b"]:
    """The logarithm of the gain, differentiable; -inf where no plane overtakes the highest one.

    Parameters
    ----------
    a, B
        Planes.
    n_samples
        Size of the sample of the variables but the first, even.
    """
    if B.shape[1] == 1:
        return log_expected_gain(a, B[:, 0])
    sample = mirrored_sample(n_samples, B.shape[1] - 1)
    distance = distances(a.detach(), B.detach())
    nearest = distance.topk(min(2, a.shape[-1]), largest=False).values[:, -1:]
    count = (distance.square() <= nearest.square() + _BEYOND).sum(-1)
    # Candidates that move many planes come together: they would hold up the others.
    order = torch.argsort(count, stable=True)
    parts = []
    for group in order.tensor_split(max(1, min(_GROUPS, len(a) // _GROUPS))):
        most = int(count[group].amax())
        kept = distance[group].topk(most, largest=False).indices
        of_planes = kept.unsqueeze(1).expand(-1, B.shape[1], -1)
        parts.append(_of_planes(a[group].gather(-1, kept), B[group].gather(-1, of_planes), sample))
    return torch.cat(parts)[torch.argsort(order)]


def _of_planes(a: Tensor, B: Tensor, sample: Sample) -> Tensor:
    lines = a.unsqueeze(1) + sample.z @ B[:, 1:]
    now = a.detach().argmax(-1)
    gain: Tensor = _LogMeanGain.apply(lines, B[:, 0], now, sample.log_weight)  # type: ignore[no-untyped-call]
    return gain


def distances(a: Tensor, B: Tensor) -> Tensor:
    """How far every plane (b, m) is from being the highest one, in standard deviations."""
    top = a.argmax(-1, keepdim=True)
    of_top = B.gather(-1, top.unsqueeze(1).expand(-1, B.shape[1], 1))
    distance: Tensor = (a.amax(-1, keepdim=True) - a) / torch.linalg.vector_norm(B - of_top, dim=-2)
    return distance.nan_to_num(nan=torch.inf).scatter(-1, top, 0.0)


class _LogMeanGain(torch.autograd.Function):
    """log mean over samples of h + rise, from lines (b, N, m) and slopes (b, m) in Z_1."""

    @staticmethod
    def forward(ctx, lines: Tensor, slopes: Tensor, now: Tensor, log_weight: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        b, N, m = lines.shape
        flat = lines.reshape(-1, m).numpy()
        each_slope = slopes.unsqueeze(1).expand(b, N, m).reshape(-1, m).numpy()
        log_h, by_a, by_b = (
            torch.from_numpy(part).reshape(b, N, *part.shape[1:])
            for part in log_gain_and_partials(flat, each_slope)
        )
        highest, top = lines.max(-1)
        at_now = now[:, None, None].expand(b, N, 1)
        rise = highest - lines.gather(-1, at_now).squeeze(-1)
        log_h = log_h + log_weight
        total = torch.logaddexp(log_h, rise.log() + log_weight).logsumexp(-1)
        finite = total.nan_to_num(neginf=0.0).unsqueeze(-1)
        share = (log_h - finite).exp().unsqueeze(-1)
        by_lines = share * by_a
        of_rise = torch.where(rise > 0.0, (log_weight - finite).exp(), 0.0).unsqueeze(-1)
        by_lines.scatter_add_(-1, top.unsqueeze(-1), of_rise)
        by_lines.scatter_add_(-1, at_now, -of_rise)
        ctx.save_for_backward(by_lines, (share * by_b).sum(1))
        return total

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():  # create_graph=True: they would come out wrong
            raise RuntimeError("Second derivatives of an expected maximum are not implemented.")
        by_lines, by_slopes = ctx.saved_tensors
        return grad[:, None, None] * by_lines, grad[:, None] * by_slopes, None, None
