"""One acquisition averaged over several models: draws of hyperparameters, or fantasies.

Notation
--------
J       acquisitions of one kind, each on its own model
v_j     their values

    average      = 1/J sum_j v_j                                   Snoek et al. (2012), Section 3.2
    log average  = logsumexp_j log v_j - log J,    its gradient is that of log v_j, weighted by the
                   share of v_j in the sum
"""

import math
from collections.abc import Sequence

import torch
from botorch.acquisition import AcquisitionFunction
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.optimize import value_and_gradient


class Average(AcquisitionFunction):  # type: ignore[misc]
    """Mean of acquisitions: each is a term of one expectation.

    Parameters
    ----------
    terms
        At least one acquisition.
    log
        The terms are logarithms, and so is the average.

    Raises
    ------
    ValueError
        If there is no term.
    """

    def __init__(self, terms: Sequence[AcquisitionFunction], log: bool = True) -> None:
        if not terms:
            raise ValueError("An average needs at least one acquisition, but got none.")
        super().__init__(terms[0].model)
        self.terms = tuple(terms)
        self.log = log

    def value_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Value and gradient at every candidate."""
        pairs = [value_and_gradient(term, X) for term in self.terms]
        values = torch.stack([value for value, _ in pairs])
        gradients = torch.stack([gradient for _, gradient in pairs])
        if not self.log:
            return values.mean(0), gradients.mean(0)
        share = torch.softmax(values, dim=0).nan_to_num(0.0)  # all -inf: no slope anywhere
        return self._mean(values), (share.unsqueeze(-1) * gradients.nan_to_num(0.0)).sum(0)

    def forward(self, X: Shaped[Tensor, "*b q d"]) -> Shaped[Tensor, "*b"]:
        """Value of every candidate."""
        return self._mean(torch.stack([term(X) for term in self.terms]))

    def _mean(self, values: Tensor) -> Tensor:
        if not self.log:
            return values.mean(0)
        return torch.logsumexp(values, dim=0) - math.log(len(values))
