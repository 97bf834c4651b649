"""Small processes whose noise grows along the first column, and data that are observed so."""

import numpy as np
import torch
from processes import points, process

from bayesopt.data import Dataset, Scaling
from bayesopt.models.heteroscedastic import HeteroscedasticGaussianProcess
from bayesopt.models.noise_law import LatentNoise


def law(X, categories=()):
    """log lambda = -5 + 3 x_0, known at X."""
    return LatentNoise(X, categories).known(3.0 * X[:, 0] - 5.0)


def uneven_process(correlation="matern52", categories=(), n=9):
    plain = process(correlation, "known", categories=categories, n=n)
    noise_law = law(plain.X, categories)
    Yvar = noise_law.at(plain.X).unsqueeze(-1)
    return HeteroscedasticGaussianProcess(
        plain.X, plain.Y, Yvar, plain.hyperparameters, noise_law, categories
    )


def repeated(noise="inferred", n=5, repeats=3, d=2, seed=0, categories=()):
    """Observations of n points, some of them repeated, in an order of no meaning."""
    X = points(n, d, categories=categories, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.cat(
        (torch.arange(n), torch.randint(n - 1, (n * (repeats - 1),), generator=generator))
    )
    rows = rows[torch.randperm(len(rows), generator=generator)]
    sd = torch.exp(1.5 * X[rows, 0] - 2.5)
    Y = torch.sin(5.0 * X[rows].sum(-1)) + sd * torch.randn(len(rows), generator=generator).double()
    Yvar = torch.full((len(rows), 1), torch.nan, dtype=torch.float64)
    if noise in ("known", "mixed"):
        known = torch.linspace(0.01, 0.04, n, dtype=torch.float64)[rows].unsqueeze(-1)
        Yvar = known if noise == "known" else torch.where(rows.unsqueeze(-1) % 2 == 0, known, Yvar)
    return Dataset(X[rows], Y.unsqueeze(-1), Yvar, categories, Scaling(1.0, 1.0, 0.0, 1.0))


def forrester(x):
    """Forrester et al. (2008): the minimum is -6.02074 at 0.757249."""
    return (6.0 * x - 2.0) ** 2 * np.sin(12.0 * x - 4.0)


def forrester_sd(x):
    """Standard deviation of noise that grows near the minimum."""
    return 0.1 + 1.5 * np.exp(-(((x - 0.757) / 0.2) ** 2))
