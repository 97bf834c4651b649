"""The posterior of an exact Gaussian process at some points: its moments, and samples from it.

Notation
--------
b, q    batches, points asked jointly
mean, covariance    (*b, q), (*b, q, q)
L       (*b, q, q) lower Cholesky factor of a covariance
"""

from functools import cached_property

import torch
from botorch.posteriors import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from jaxtyping import Float as Shaped
from linear_operator.operators import DenseLinearOperator
from torch import Tensor

_JITTERS = tuple(10.0**exponent for exponent in range(-12, -3))  # relative to the signal
SMALLEST_VARIANCE = 1e-15  # relative to the signal; rounding leaves nothing true below it


class SingularCovariance(ArithmeticError):
    """No jitter made the covariance positive definite; `matrix` holds it."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__("The covariance of the observations is not positive definite.")
        self.matrix = matrix


def cholesky(K: Shaped[Tensor, "*b n n"], scale: float | Tensor) -> Shaped[Tensor, "*b n n"]:
    """Lower Cholesky factor, with as little jitter on the diagonal as it takes.

    Parameters
    ----------
    K
        Covariances; the jitter goes to those of a batch that need it.
    scale
        Prior variance, a number, (*b, 1), or (*b, n) where it is not the same for all. It is what
        rounding errors are proportional to, also where observations have left hardly any variance.

    Raises
    ------
    SingularCovariance
        If even a jitter of 1e-4 of `scale` does not help.
    """
    return _with_jitter(K, scale)[1]


def positive_definite(
    K: Shaped[Tensor, "*b n n"], scale: float | Tensor
) -> Shaped[Tensor, "*b n n"]:
    """K with the jitter that `cholesky` takes, so that others can factorise it."""
    return _with_jitter(K, scale)[0]


def _with_jitter(K: Tensor, scale: float | Tensor) -> tuple[Tensor, Tensor]:
    L, info = torch.linalg.cholesky_ex(K)
    if not info.any():
        return K, L
    singular = (info > 0).to(K.dtype).unsqueeze(-1) * scale
    by_scale = torch.diag_embed(singular.expand(K.shape[:-1]))
    for jitter in _JITTERS:
        raised = K + by_scale * jitter
        L, info = torch.linalg.cholesky_ex(raised)
        if not info.any():
            return raised, L
    raise SingularCovariance(K)


class ExactPosterior(GPyTorchPosterior):  # type: ignore[misc]
    """A botorch posterior that hands out its moments as computed.

    gpytorch raises variances below 1e-10 and warns; near the data of a noise-free function the
    true ones are smaller, and a search that ends needs them. It also warns whenever points that
    are sampled jointly are all but the same.

    Parameters
    ----------
    mean, covariance
        (*b, q) and (*b, q, q).
    scale
        Prior variance; a tensor that broadcasts with the mean where a batch has several.
    """

    _is_mt = False

    def __init__(self, mean: Tensor, covariance: Tensor, scale: float | Tensor) -> None:
        self._mean, self._covariance, self._scale = mean, covariance, scale
        self._device, self._dtype = mean.device, mean.dtype

    @cached_property
    def distribution(self) -> MultivariateNormal:
        """The joint normal law; most acquisitions never look at it."""
        return MultivariateNormal(self._mean, DenseLinearOperator(self._covariance))

    @property
    def covariance(self) -> Tensor:
        """Posterior covariance (*b, q, q), as computed."""
        return self._covariance

    @property
    def base_sample_shape(self) -> torch.Size:
        """Shape (*b, q) of what `rsample_from_base_samples` takes for one sample."""
        return self._mean.shape

    def rsample_from_base_samples(self, sample_shape: torch.Size, base_samples: Tensor) -> Tensor:
        """Samples (*sample_shape, *b, q, 1) from standard normal ones (*sample_shape, *b, q)."""
        L = cholesky(self._covariance, self._scale)
        return self._mean.unsqueeze(-1) + L @ base_samples.unsqueeze(-1)

    def rsample(self, sample_shape: torch.Size | None = None) -> Tensor:
        """Samples (*sample_shape, *b, q, 1), differentiable; one when `sample_shape` is None."""
        sample_shape = torch.Size([1]) if sample_shape is None else sample_shape
        base_samples = torch.randn(*sample_shape, *self._mean.shape, dtype=self._dtype)
        return self.rsample_from_base_samples(sample_shape, base_samples)

    @property
    def mean(self) -> Tensor:
        """Posterior mean (*b, q, 1)."""
        return self._mean.unsqueeze(-1)

    @property
    def variance(self) -> Tensor:
        """Posterior variance (*b, q, 1)."""
        variance = self._covariance.diagonal(dim1=-2, dim2=-1)
        return variance.clamp_min(SMALLEST_VARIANCE * self._scale).unsqueeze(-1)
