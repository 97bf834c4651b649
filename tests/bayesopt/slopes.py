"""Small processes on values and partial derivatives, with hyperparameters that are given."""

import torch
from processes import points

from bayesopt.data import Dataset, Scaling
from bayesopt.models.derivatives.process import DerivativeGaussianProcess
from bayesopt.models.derivatives.rows import HyperparametersWithSlopes, rows


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def some_function(X):
    return torch.sin(4.0 * X[..., 0]) + X[..., 0] * X[..., -1] ** 2


def observations(n=7, d=3, noise="known", categories=(), absent=0.3, seed=0):
    """X, Y, Yvar, dY, dYvar, with some partials that are not there."""
    X = points(n, d, categories=categories, seed=seed).requires_grad_(True)
    Y = some_function(X)
    (dY,) = torch.autograd.grad(Y.sum(), X)
    dY[points(n, d, seed=seed + 1) < absent] = torch.nan
    for column, _ in categories:
        dY[:, column] = torch.nan
    Yvar = torch.linspace(0.01, 0.05, n, dtype=torch.float64).unsqueeze(-1)
    dYvar = Yvar * torch.linspace(2.0, 9.0, d, dtype=torch.float64)
    if noise == "inferred":
        Yvar, dYvar = torch.full_like(Yvar, torch.nan), torch.full_like(dYvar, torch.nan)
    elif noise == "exact":
        Yvar, dYvar = torch.zeros_like(Yvar), torch.zeros_like(dYvar)
    elif noise == "mixed":
        Yvar[::2], dYvar[1::2] = torch.nan, torch.nan
    return X.detach(), Y.detach().unsqueeze(-1), Yvar, dY, dYvar


def hyperparameters(kernel, d=3, signal=1.3):
    lengthscale = torch.linspace(0.4, 0.9, d, dtype=torch.float64)
    return HyperparametersWithSlopes(lengthscale, 0.02, 0.3, signal, kernel, slope_noise=0.07)


def process(kernel="matern52", **options):
    seen, categories = observations(**options), options.get("categories", ())
    h = hyperparameters(kernel, seen[0].shape[-1])
    return DerivativeGaussianProcess(rows(*seen), h, categories)


def dataset(X, Y, Yvar, *_, categories=()):
    return Dataset(X, Y, Yvar, categories, Scaling(1.0, 1.0, 0.0, 1.0))


def golden_model():
    X, Y, dY = (tensor(v).mT for v in ([0.1, 0.4, 0.75], [0.2, 0.9, 0.5], [3.0, 0.0, -2.0]))
    seen = rows(X, Y, torch.full_like(Y, 1e-4), dY, torch.full_like(dY, 1e-2))
    h = HyperparametersWithSlopes(tensor(0.25), 0.0, 0.0, kernel="rbf")
    return DerivativeGaussianProcess(seen, h)
