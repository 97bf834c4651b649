"""The mean of the worst outcomes of a process over random conditions, and what it depends on.

Notation
--------
K, S        number of conditions, of samples
f           (K,) scores under the conditions, larger is better:    f ~ N(mean, L L')
p           (K,) weights of the conditions, of sum 1
alpha       level; the worst share of the conditions is 1 - alpha
f_s         mean + L Z_s and mean - L Z_s, Z_s of a fixed quasi-Monte Carlo sample of N(0, I)
w_s         (K,) weights of the worst share in sample s: those of the smallest scores, up to
            1 - alpha together, the last one in part, divided by 1 - alpha

    CVaR(f)   = min over w of w' f,   0 <= w <= p / (1 - alpha),  sum w = 1
              = w_s' f_s in a sample                            Rockafellar & Uryasev (2000, 2002)
    E CVaR(f) = mean of w_s' f_s
    w         = mean of w_s  =  d E CVaR(f) / d mean                               (envelope)

A change of the mean by b moves E CVaR by w'b to first order: the lines of the knowledge gradient of
a tail. Samples come in pairs of opposite sign, so that alpha = 0 is the mean exactly.
"""

from typing import NamedTuple

import torch
from botorch.utils.sampling import draw_sobol_normal_samples
from jaxtyping import Float as Shaped
from torch import Tensor

N_SAMPLES = 128


class Tail(NamedTuple):
    """The mean of the worst outcomes.

    Parameters
    ----------
    expected
        (*b,) what is expected of it, differentiable.
    weights
        (*b, K) its derivative in the means of the scores: not negative, of sum 1. Without a graph.
    """

    expected: Tensor
    weights: Tensor


def expected_tail(
    mean: Shaped[Tensor, "*b K"],
    L: Shaped[Tensor, "*b K K"],
    p: Shaped[Tensor, " K"],
    level: float | None,
    n_samples: int = N_SAMPLES,
) -> Tail:
    """Expected mean of the worst scores under a joint normal law, and its weights.

    Parameters
    ----------
    mean
        (*b, K) means of the scores, which are maximised: the worst are the smallest.
    L
        (*b, K, K) a root L L' of their covariance, such as its Cholesky factor.
    p
        (K,) weights of the conditions, of sum 1.
    level
        From 0 up to 1, without 1; None (or 0) is the mean over all conditions, which needs no
        sample.
    n_samples
        Size S of the fixed sample, an even number.
    """
    if not level:
        return Tail(mean @ p, p.expand(mean.shape))
    Z = draw_sobol_normal_samples(len(p), n_samples // 2, dtype=mean.dtype, seed=0)
    shift = Z @ L.mT
    f = mean.unsqueeze(-2) + torch.cat((shift, -shift), dim=-2)
    with torch.no_grad():
        w = tail_weights(f, p, level)
    return Tail((w * f).sum(-1).mean(-1), w.mean(-2))


def tail_weights(
    f: Shaped[Tensor, "*b K"], p: Shaped[Tensor, " K"], level: float
) -> Shaped[Tensor, "*b K"]:
    """Weights (*b, K) of the worst scores: those of the smallest ones, the last one in part."""
    share = 1.0 - level
    # Even the lightest conditions fill the share with so many.
    n = int((p.sort().values.cumsum(0) < share).sum()) + 1
    order = f.topk(min(n, len(p)), dim=-1, largest=False).indices
    in_order = p[order]
    before = in_order.cumsum(-1) - in_order
    taken = torch.minimum(in_order, (share - before).clamp_min(0.0))
    taken = taken / taken.sum(-1, keepdim=True)
    return torch.zeros_like(f).scatter_(-1, order, taken)
