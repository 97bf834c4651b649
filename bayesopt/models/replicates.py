"""Repeated observations of the same points, without loss: counts, means, and sums of squares.

Notation
--------
N, n        observations, distinct points of them
c, s        (n,) how often each point was observed, and sum of squares around its mean
lambda      (n,) variance of the noise of one observation

    p(all) = p(means) prod (2 pi lambda)^-((c - 1) / 2) c^-1/2 exp(-s / (2 lambda))
                                                        Binois, Gramacy & Ludkovski (2018)

where a mean has noise of variance lambda / c: the cost is that of n observations.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.data import Dataset

JITTER = 1e-10
"""What every observation has of noise besides, in scores: it keeps covariances regular."""


@dataclass(frozen=True)
class Replicates:
    """The means of repeated observations, and what has to be known of them besides.

    Parameters
    ----------
    data
        n means. Variances that are known are those of the means; NaN still says "inferred".
    count, within
        (n,) c and s.
    """

    data: Dataset
    count: Shaped[Tensor, " n"]
    within: Shaped[Tensor, " n"]

    def negative_log_factor(self, noise: Shaped[Tensor, "S n"]) -> Shaped[Tensor, " S"]:
        """Minus the logarithm of what p(all) has beside p(means).

        Parameters
        ----------
        noise
            (S, n) or (S, 1): lambda where it is not known.
        """
        known = self.data.Yvar.squeeze(-1) * self.count
        noise = torch.where(known.isnan(), noise, known) + JITTER
        repeated = (self.count - 1.0) * (2.0 * math.pi * noise).log() + self.within / noise
        factor: Tensor = 0.5 * (repeated + self.count.log())[:, self.count > 1].sum(-1)
        return factor

    def slope_of_factor(self, noise: Shaped[Tensor, "S _"]) -> Shaped[Tensor, "S n"]:
        """Its derivatives in log lambda, 0 where that is known."""
        slope = 0.5 * (self.count - 1.0 - self.within / (noise + JITTER)) * noise / (noise + JITTER)
        return torch.where(self.data.Yvar.squeeze(-1).isnan(), slope, 0.0)


def replicates(data: Dataset) -> Replicates:
    """Gather what was observed at the same point with the same known variance, or an inferred one.

    Parameters
    ----------
    data
        N values, without partial derivatives.
    """
    rows = torch.cat((data.X, data.Yvar.nan_to_num(-1.0)), dim=-1).numpy()
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    at, member = torch.from_numpy(first[order]), torch.from_numpy(rank[inverse.reshape(-1)])

    def total(value: Tensor) -> Tensor:
        return torch.zeros(len(at), dtype=value.dtype).index_add_(0, member, value)

    y = data.Y.squeeze(-1)
    count = total(torch.ones_like(y))
    mean = total(y) / count
    within = total((y - mean[member]).square())
    means = replace(data.at(at), Y=mean.unsqueeze(-1), Yvar=data.Yvar[at] / count.unsqueeze(-1))
    return Replicates(means, count, within)
