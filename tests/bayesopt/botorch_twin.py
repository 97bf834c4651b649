"""The botorch model that an ExactGaussianProcess has to agree with: same data, kernel and noise."""

from functools import partial

import torch
from botorch.models import SingleTaskGP
from gpytorch.kernels import MaternKernel, RBFKernel, ScaleKernel
from gpytorch.means import ConstantMean

from bayesopt.models.exact import ExactGaussianProcess

TWINS = {
    "matern12": partial(MaternKernel, 0.5),
    "matern32": partial(MaternKernel, 1.5),
    "matern52": partial(MaternKernel, 2.5),
    "rbf": RBFKernel,
}


def twin_of(model: ExactGaussianProcess) -> SingleTaskGP:
    """SingleTaskGP with the hyperparameters of `model`; categories have to be features already."""
    h = model.hyperparameters
    mean, signal, noise = torch.tensor([h.mean, h.signal, h.noise], dtype=torch.float64)
    kernel = TWINS[h.kernel]
    kernel = kernel(ard_num_dims=model.X.shape[-1]).double()
    kernel.lengthscale = h.lengthscale
    if h.signal != 1.0:
        kernel = ScaleKernel(kernel).double()
        kernel.outputscale = signal
    inferred = bool(model.Yvar.isnan().all())
    twin = SingleTaskGP(
        model.X,
        model.Y,
        None if inferred else model.Yvar,
        covar_module=kernel,
        mean_module=ConstantMean().double(),
        outcome_transform=None,
    )
    twin.mean_module.constant = mean
    if inferred:
        twin.likelihood.noise = noise
    return twin.eval().requires_grad_(False)
