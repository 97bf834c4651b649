"""Expected maximum of planes in several standard normal variables: the cellar of d-KG.

Notation
--------
b, m, r     candidates, planes, variables
a, B        (b, m), (b, r, m): the planes a_i + B_i' Z,    Z ~ N(0, I)
z_s         (N, r - 1) a quasi-Monte Carlo sample of the variables but the first, with its mirror
            image
now         the plane that is highest at Z = 0

    E[max_i (a_i + B_i' Z)] - max_i a_i
             = 1/N sum_s (h(a + B_(2..r)' z_s, B_1) + rise_s)
    rise_s   = max_i (a_i + B_i(2..r)' z_s) - (a_now + B_now(2..r)' z_s)

The first variable is integrated exactly (h, see `expected_max`): that leaves smooth functions of
the others, of which a few samples are enough, and a logarithm that does not underflow. The sample
has the mean 0, so that the plane that is subtracted has its true mean, and no term is negative.
Since the integrand is convex, the sum is at least its value at z = 0: h(a, B_1).
"""

import numpy as np
import torch
from botorch.utils.sampling import draw_sobol_normal_samples
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.expected_max import log_expected_gain, log_gain_and_partials

_WITHIN_REACH = 8.0  # standard deviations in which a plane must overtake the highest one
_AT_LEAST = 8  # planes are kept whatever their reach, for logarithms of what is hardly there


def mirrored_sample(n: int, r: int) -> Shaped[Tensor, "n r"]:
    """A quasi-Monte Carlo sample of n/2 normal vectors, always the same, and its mirror image."""
    if r == 0:
        return torch.zeros(1, 0, dtype=torch.float64)
    half: Tensor = draw_sobol_normal_samples(r, n // 2, dtype=torch.float64, seed=0)
    return torch.cat((half, -half))


def log_expected_gain_of_planes(
    a: Shaped[Tensor, "b m"], B: Shaped[Tensor, "b r m"], z: Shaped[Tensor, "N k"]
) -> Shaped[Tensor, " b"]:
    """The logarithm of the gain, differentiable; -inf where no plane overtakes the highest one.

    Parameters
    ----------
    a, B
        Planes.
    z
        Sample of the variables but the first, from `mirrored_sample`.
    """
    if B.shape[1] == 1:
        return log_expected_gain(a, B[:, 0])
    a, B = _within_reach(a, B)
    lines = a.unsqueeze(1) + z @ B[:, 1:]
    gain: Tensor = _LogMeanGain.apply(lines, B[:, 0], a.detach().argmax(-1))  # type: ignore[no-untyped-call]
    return gain


def _within_reach(a: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """The planes that may be the highest one, as many for every candidate."""
    with torch.no_grad():
        top = a.argmax(-1)
        of_top = B.gather(-1, top[:, None, None].expand(*B.shape[:-1], 1))
        distance = (a.amax(-1, keepdim=True) - a) / (B - of_top).norm(dim=-2)
        distance[torch.arange(len(a)), top] = 0.0
        count = int((distance <= _WITHIN_REACH).sum(-1).amax())
        count = min(max(count, _AT_LEAST), a.shape[-1])
        kept = distance.nan_to_num(nan=torch.inf).topk(count, largest=False).indices
    return a.gather(-1, kept), B.gather(-1, kept.unsqueeze(1).expand(*B.shape[:-1], count))


class _LogMeanGain(torch.autograd.Function):
    """log mean over samples of h + rise, from lines (b, N, m) and slopes (b, m) in Z_1."""

    @staticmethod
    def forward(ctx, lines: Tensor, slopes: Tensor, now: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
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
        total = torch.logaddexp(log_h, rise.log()).logsumexp(-1)
        finite = total.nan_to_num(neginf=0.0)[:, None, None]
        share = (log_h.unsqueeze(-1) - finite).exp()
        by_lines = share * by_a
        of_rise = torch.where(rise > 0.0, (-finite[..., 0]).exp(), 0.0).unsqueeze(-1)
        by_lines.scatter_add_(-1, top.unsqueeze(-1), of_rise)
        by_lines.scatter_add_(-1, at_now, -of_rise)
        ctx.save_for_backward(by_lines, (share * by_b).sum(1))
        return total - np.log(N)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():  # create_graph=True: they would come out wrong
            raise RuntimeError("Second derivatives of an expected maximum are not implemented.")
        by_lines, by_slopes = ctx.saved_tensors
        return grad[:, None, None] * by_lines, grad[:, None] * by_slopes, None
