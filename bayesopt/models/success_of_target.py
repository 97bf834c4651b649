"""Where evaluations succeed for what is sought, in a space whose parameters have a role.

Notation
--------
x           design columns
r_k, w_k    node k of the target and its weight

    P(x) = sum_k w_k P(success | x, r_k)
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.models.feasibility import Feasibility
from bayesopt.target import Target


class SuccessOfTarget:
    """Probability that an evaluation succeeds under the roles that are sought.

    Parameters
    ----------
    success
        Over all columns.
    role
        The columns with a role.
    sought
        The nodes of the target, and their weights.
    """

    def __init__(self, success: Feasibility, role: Sequence[int], sought: Target) -> None:
        self.success, self.role, self.sought = success, list(role), sought

    def probability(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """P at the designs of points, whose role columns are not looked at."""
        return self.log_probability(X).exp()

    def log_probability(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """Its logarithm, differentiable."""
        at_nodes = self.sought.at_nodes(X, self.role)
        weighted = self.success.log_probability(at_nodes) + self.sought.weights.log()
        return torch.logsumexp(weighted, dim=-1)

    def log_probability_and_gradient(
        self, X: Shaped[Tensor, "b d"]
    ) -> tuple[Shaped[Tensor, " b"], Shaped[Tensor, "b d"]]:
        """Its logarithm and the gradient of that, in closed form."""
        b, d = X.shape
        at_nodes = self.sought.at_nodes(X, self.role).reshape(-1, d)
        log_p, slope = self.success.log_probability_and_gradient(at_nodes)
        weighted = log_p.reshape(b, -1) + self.sought.weights.log()
        share = torch.softmax(weighted, dim=-1).unsqueeze(-1)
        gradient = (share * slope.reshape(b, -1, d)).sum(-2)
        gradient[:, self.role] = 0.0
        return torch.logsumexp(weighted, dim=-1), gradient
