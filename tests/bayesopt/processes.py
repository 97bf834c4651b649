"""Small Gaussian processes on simple data, with hyperparameters that nothing hides behind."""

import torch

from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters

KERNELS = ["matern52", "rbf", "matern12", "matern32", "matern", "power_exponential"]
SHAPES = {"matern": 1.2, "power_exponential": 1.4}
MEANS = ["constant", "linear", "quadratic"]
NOISES = ["inferred", "known", "exact", "mixed"]
MIXED = ((1, 3), (3, 2))


def points(*shape, categories=(), seed=0):
    X = torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for column, size in categories:
        X[..., column] = (X[..., column] * size).floor() / (size - 1)
    return X


def noise_variances(noise, n):
    Yvar = torch.linspace(0.01, 0.05, n, dtype=torch.float64).unsqueeze(-1)
    if noise == "inferred":
        Yvar = torch.full_like(Yvar, torch.nan)
    elif noise == "exact":
        Yvar = torch.zeros_like(Yvar)
    elif noise == "mixed":
        Yvar[::2] = torch.nan
    return Yvar


def process(
    correlation="matern52",
    noise="inferred",
    signal=1.0,
    categories=(),
    n=9,
    d=None,
    mean="constant",
):
    """Nine observations of a smooth function in the unit square, or in a mixed space."""
    d = d or (2 if not categories else 4)
    X = points(n, d, categories=categories, seed=1)
    Y = torch.sin(4.0 * X.sum(-1, keepdim=True)) + X[:, :1]
    lengthscale = torch.linspace(0.3, 0.8, d, dtype=torch.float64)
    k = MEANS.index(mean) * (d - len(categories))
    h = Hyperparameters(
        lengthscale,
        0.02,
        mean=0.3,
        signal=signal,
        kernel=correlation,
        shape=SHAPES.get(correlation),
        trend=torch.linspace(-0.8, 0.5, k, dtype=torch.float64) if k else None,
    )
    return ExactGaussianProcess(X, Y, noise_variances(noise, n), h, categories)
