"""Points that are being evaluated, and the noise of the evaluation that comes next.

Notation
--------
m, S        pending points, fantasies
lambda      variance of the noise of the next observation

A fantasy is the model after one draw of what the pending points may return. What a candidate is
worth beside them is the average over fantasies, all from one fixed quasi-Monte Carlo sample, so
that it stays a smooth function of the candidate.
"""

import torch
from botorch.models.model import Model
from botorch.sampling import SobolQMCNormalSampler
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.data import Dataset


def noise_of_next(model: Model, data: Dataset) -> float | None:
    """lambda: inferred by the model, or the median of the known ones.

    The median, since one observation may be known hardly at all. None where the noise varies and
    the model says it at every point (it has ``noise_at``).
    """
    if hasattr(model, "noise_at"):
        return None
    if not data.noise_is_inferred:
        return float(data.Yvar.median())
    with torch.no_grad():
        at = data.X[:1]
        noisy = model.posterior(at, observation_noise=True).variance
        return float((noisy - model.posterior(at).variance).clamp_min(0.0))


def noise_at(
    model: Model, noise: float | None, X: Shaped[Tensor, "*b d"]
) -> float | Shaped[Tensor, "*b"]:
    """lambda of an observation at every point: `noise`, or what the model says where it is None."""
    if noise is not None:
        return noise
    varying: Tensor = model.noise_at(X)
    return varying


def same_noise(model: Model, data: Dataset, acquisition: str) -> float:
    """lambda for an acquisition that takes it to be the same everywhere.

    Raises
    ------
    ValueError
        If the noise varies.
    """
    noise = noise_of_next(model, data)
    if noise is None:
        raise ValueError(
            f"{acquisition} does not support noise='heteroscedastic'; use 'ei', 'noisy_ei', "
            "'kgcp', 'kg' or 'nei'."
        )
    return noise


def believe(model: Model, data: Dataset, X_pending: Shaped[Tensor, "m d"]) -> Model:
    """The model after every pending point has returned its posterior mean ("kriging believer")."""
    with torch.no_grad():
        return _conditioned(model, data, X_pending, model.posterior(X_pending).mean)


def fantasies(
    model: Model, data: Dataset, X_pending: Shaped[Tensor, "m d"], n_samples: int, seed: int = 0
) -> list[Model]:
    """S models, each after one draw of what the pending points may return."""
    sampler = SobolQMCNormalSampler(torch.Size([n_samples]), seed=seed)
    with torch.no_grad():
        noise = noise_at(model, noise_of_next(model, data), X_pending)
        each = torch.as_tensor(noise, dtype=X_pending.dtype).expand(len(X_pending)).unsqueeze(-1)
        posterior = model.posterior(X_pending, observation_noise=each)
        return [_conditioned(model, data, X_pending, Y) for Y in sampler(posterior)]


def _conditioned(model: Model, data: Dataset, X: Tensor, Y: Tensor) -> Model:
    says_it = data.noise_is_inferred or hasattr(model, "noise_at")
    known = {} if says_it else {"noise": data.Yvar.median().expand(len(X), 1)}
    return model.condition_on_observations(X, Y, **known)
