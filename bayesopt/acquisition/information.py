"""What all entropy searches share: the scale of information, and points that are being evaluated.

Notation
--------
lambda      variance of the noise of the next observation
f*_s        maxima of sampled functions
"""

from collections.abc import Callable

from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition.average import Average
from bayesopt.acquisition.default_region import cube_of
from bayesopt.acquisition.optimal_samples import OptimalSamples
from bayesopt.acquisition.pending import fantasies
from bayesopt.data import Dataset
from bayesopt.region import Region

LEAST_INFORMATION = 1e-14
"""What rounding leaves of an information (in nats): below it nothing is told, and no slope is."""

_N_FANTASIES = 4
_RESOLUTION = 0.001
_LEAST_NOISE = 1e-10  # of scores, which are standardised


def resolved_noise(samples: OptimalSamples, noise: float) -> float:
    """lambda, raised to what is small beside the spread of the maxima.

    An exact observation at a place where hardly anything is left to know would tell as much as
    any other: information has no scale. The scale is how well the maximum is known.
    """
    spread = float(samples.f.var(correction=0))
    return max(noise, _RESOLUTION**2 * spread, _LEAST_NOISE)


def averaged_over_pending(
    model: Model,
    data: Dataset,
    X_pending: Shaped[Tensor, "m d"] | None,
    region: Region | None,
    of_model: Callable[[Model, Region], AcquisitionFunction],
) -> AcquisitionFunction:
    """An acquisition on the model, or its logarithmic mean over what pending points may return.

    That of a mixture is the mean over its members, which share nothing but the observations.
    """
    region = region or cube_of(data)
    models = list(getattr(model, "models", (model,)))
    if X_pending is not None and len(X_pending) > 0:
        n = max(1, _N_FANTASIES // len(models))
        models = [f for member in models for f in fantasies(member, data, X_pending, n)]
    terms = [of_model(member, region) for member in models]
    return terms[0] if len(terms) == 1 else Average(terms)
