"""f at points of all columns in scores, where the process is of what a warp makes of them.

Notation
--------
m, v        mean and variance of the process at a point
E[y], E'    what is expected of a score there, and its derivative in m (see `warp`)

    mean = E[y],    variance = E'^2 v,    noise = E'^2 lambda    to the first order, as of a target
"""

from typing import Any

from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.models.joint.process import JointGaussianProcess
from bayesopt.models.joint.warp import Warp


class PointProcess(Model):  # type: ignore[misc]
    """What is expected of scores at points; no joint posterior.

    Parameters
    ----------
    of
        The process of f.
    warp
        Its warp.
    """

    def __init__(self, of: JointGaussianProcess, warp: Warp) -> None:
        super().__init__()
        self.joint, self.warp = of, warp
        self.eval()

    @property
    def num_outputs(self) -> int:
        """One output."""
        return 1

    def marginals(
        self, X: Shaped[Tensor, "*b d"]
    ) -> tuple[Shaped[Tensor, "*b"], Shaped[Tensor, "*b"]]:
        """Mean and variance at every point on its own."""
        mean, variance = self.joint.marginals(X)
        expected, slope = self.warp.mean_and_slope(mean, variance)
        return expected, slope.square() * variance

    def noise_at(self, X: Shaped[Tensor, "*b d"]) -> Shaped[Tensor, "*b"]:
        """Noise variance of the next observation at points."""
        _, slope = self.warp.mean_and_slope(*self.joint.marginals(X))
        noise: Tensor = slope.square() * self.joint.noise_at(X)
        return noise

    @property
    def new_noise(self) -> Tensor:
        """Median noise variance of the observations."""
        return self.noise_at(self.joint.X).median()

    def posterior(self, X: Tensor, *args: object, **kwargs: object) -> None:
        """There is none."""
        raise NotImplementedError("A warped process has marginals of scores only.")


def in_scores(model: Any) -> Any:
    """A model of scores: itself, unless it is a process of what a warp makes of them."""
    warp = model.hyperparameters.warp if isinstance(model, JointGaussianProcess) else None
    return model if warp is None else PointProcess(model, warp)
