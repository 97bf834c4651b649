"""The mean of the worst outcomes of a process over random conditions, and what it depends on.

Notation
--------
K, S        number of conditions, of samples
q           number of columns of a root of the covariance, at most K where it is of low rank
f           (K,) scores under the conditions, larger is better:    f ~ N(mean, R R')
R           (K, q) a root of their covariance, such as its Cholesky factor
p           (K,) weights of the conditions, of sum 1
alpha       level; the worst share of the conditions is 1 - alpha
f_s         mean + R Z_s and mean - R Z_s, Z_s of a fixed quasi-Monte Carlo sample of N(0, I)
w_s         (K,) weights of the worst share in sample s: those of the smallest scores, up to
            1 - alpha together, the last one in part, divided by 1 - alpha

    CVaR(f)   = min over w of w' f,   0 <= w <= p / (1 - alpha),  sum w = 1
              = w_s' f_s in a sample                            Rockafellar & Uryasev (2000, 2002)
    E CVaR(f) = mean of w_s' f_s
    w         = mean of w_s           =  d E CVaR(f) / d mean                      (envelope)
    M         = mean of w_s (+-Z_s)'  =  d E CVaR(f) / d R                         (envelope)

A change of the mean by b moves E CVaR by w'b to first order: the lines of the knowledge gradient of
a tail. Samples come in pairs of opposite sign, so that alpha = 0 is the mean exactly, and where
they suffice their second moments are made those of N(0, I), which leaves two thirds of the error.
A root of fewer columns is sampled in fewer dimensions, which is both faster and more exact.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from botorch.utils.sampling import draw_sobol_normal_samples
from jaxtyping import Float as Shaped
from torch import Tensor

N_SAMPLES = 128


@dataclass(frozen=True)
class Tail:
    """The mean of the worst outcomes, without a graph.

    Parameters
    ----------
    expected
        (*b,) what is expected of it.
    worst
        (*b, S, K) the weights w_s, those of +Z_s first; S = 1 where no sample is needed.
    Z
        (S / 2, q) the sample; none of it where S = 1.
    """

    expected: Tensor
    worst: Tensor
    Z: Tensor

    @property
    def weights(self) -> Tensor:
        """(*b, K) its derivative in the means of the scores: not negative, of sum 1."""
        return self.worst.mean(-2)

    @property
    def by_root(self) -> Tensor:
        """(*b, K, q) its derivative M in the root."""
        half = len(self.Z)
        difference = self.worst[..., :half, :] - self.worst[..., self.worst.shape[-2] - half :, :]
        return difference.mT @ self.Z / self.worst.shape[-2]


def expected_tail(
    mean: Shaped[Tensor, "*b K"],
    R: Shaped[Tensor, "*b K q"],
    p: Shaped[Tensor, " K"],
    level: float | None,
    n_samples: int = N_SAMPLES,
) -> Tail:
    """Expected mean of the worst scores under a joint normal law, and its derivatives.

    Parameters
    ----------
    mean
        (*b, K) means of the scores, which are maximised: the worst are the smallest.
    R
        (*b, K, q) a root R R' of their covariance.
    p
        (K,) weights of the conditions, of sum 1.
    level
        From 0 up to 1, without 1; None (or 0) is the mean over all conditions, which needs no
        sample.
    n_samples
        Size S of the fixed sample, an even number.
    """
    mean, R = mean.detach(), R.detach()
    if not level:
        return Tail(mean @ p, p.expand(*mean.shape[:-1], 1, len(p)), R.new_empty(0, R.shape[-1]))
    Z = _sample(R.shape[-1], n_samples // 2).to(mean)
    shift = Z @ R.mT
    f = mean.unsqueeze(-2) + torch.cat((shift, -shift), dim=-2)
    worst = tail_weights(f, p, level)
    return Tail(torch.linalg.vecdot(worst, f).mean(-1), worst, Z)


@lru_cache(maxsize=8)
def _sample(q: int, n: int) -> Shaped[Tensor, "n q"]:
    Z: Tensor = draw_sobol_normal_samples(q, n, dtype=torch.float64, seed=0)
    if n < 2 * q:  # second moments of so few are not near enough to be put right
        return Z
    l, Q = torch.linalg.eigh(Z.T @ Z / n)  # noqa: E741
    matched: Tensor = Z @ (Q / l.sqrt()) @ Q.T
    return matched


def tail_weights(
    f: Shaped[Tensor, "*b K"], p: Shaped[Tensor, " K"], level: float
) -> Shaped[Tensor, "*b K"]:
    """Weights (*b, K) of the worst scores: those of the smallest ones, the last one in part."""
    share = 1.0 - level
    # Even the lightest conditions fill the share with so many.
    n = min(int((p.sort().values.cumsum(0) < share).sum()) + 1, len(p))
    # NumPy sorts and selects in less than half the time of torch.
    if bool((p == p[0]).all()) and n < len(p):
        order = torch.from_numpy(np.argpartition(f.numpy(), n - 1, axis=-1)[..., :n])
        in_order = p[:n]
    else:
        order = torch.from_numpy(np.argsort(f.numpy(), axis=-1)[..., :n])
        in_order = p[order]
    before = in_order.cumsum(-1) - in_order
    taken = torch.minimum(in_order, (share - before).clamp_min(0.0))
    taken = taken / taken.sum(-1, keepdim=True)
    return torch.zeros_like(f).scatter_(-1, order, taken.expand(order.shape))
