"""Three observations in one dimension whose acquisitions are known by other means."""

import torch

from bayesopt.data import Dataset, Scaling
from bayesopt.models.exact import ExactGaussianProcess, Hyperparameters

# lambda, x, noisy EI, knowledge gradient on a grid of 2001 points
GOLDEN = [
    (0.1, 0.4, 0.00318275, 0.00530230),
    (0.1, 0.5, 0.04984126, 0.03797594),
    (0.1, 0.55, 0.05668229, 0.05549943),
    (0.1, 0.95, 0.06338905, 0.09444862),
    (0.01, 0.55, 0.08721736, 0.08553145),
    (1e-6, 0.5, 0.09511336, 0.09719371),
]


def golden_model(noise):
    X = torch.tensor([[0.1], [0.4], [0.75]], dtype=torch.float64)
    Y = torch.tensor([[0.2], [0.9], [0.5]], dtype=torch.float64)
    h = Hyperparameters(torch.tensor([0.25], dtype=torch.float64), 0.0, mean=0.0, kernel="rbf")
    return ExactGaussianProcess(X, Y, torch.full_like(Y, noise), h)


def data_of(model):
    categories = model.features.categories
    return Dataset(model.X, model.Y, model.Yvar, categories, Scaling(1.0, 1.0, 0.0, 1.0))
