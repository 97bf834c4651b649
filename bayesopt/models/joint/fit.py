"""Hyperparameters of a process over design and role columns, by maximum a posteriori.

Notation
--------
n, S, T     observations, starts that are fitted together, terms of the covariance
theta       (S, p): for every term the logarithms of its length-scales and of its prior variance,
            the hyperparameters of the structure, and the logarithms of the noise variances
H, beta     (n, k) basis of the prior mean, the constant first, and its coefficients (S, k)
B           prior covariance of beta, infinite for the constant
K           (S, n, n) covariance of the observations, noise included
r, alpha    (S, n) Y - H beta,    K^-1 r

    log p(Y | theta, beta) = -1/2 r' alpha - 1/2 log|K| - n/2 log 2 pi  Frazier (2018), Section 3.2
    beta                   = (H' K^-1 H + B^-1)^-1 H' K^-1 Y            R&W (2006), Eq. (2.41)

The gradient in K is in closed form, W = 1/2 (K^-1 - alpha alpha'), that of K in theta by automatic
differentiation. Length-scales have the prior of other processes here (see `gaussian_process`);
what a bias adds is thought to be a tenth of the variance of the target.
"""

import math

import numpy as np
import torch
from torch import Tensor

from bayesopt.data import Dataset
from bayesopt.models.fit import Method
from bayesopt.models.gaussian_process import BOUNDS, GaussianProcess
from bayesopt.models.joint.covariance import Columns, Covariance, Integrals
from bayesopt.models.joint.process import JointGaussianProcess
from bayesopt.models.joint.regression import JointHyperparameters
from bayesopt.models.joint.structure import Learnt, Structure
from bayesopt.models.joint.warp import Warp
from bayesopt.models.kernels import kernel_named
from bayesopt.parameter import Array
from bayesopt.quasi_newton import minimize_from
from bayesopt.target import Target

_JITTER = 1e-10
_OFFSET_SD = 1.0  # of what differs by role from the prior mean
_BIAS = Learnt(math.log(0.1), 1.5, math.log(1e-6), math.log(1e2))
_SIGNAL = Learnt(0.0, 1.0, math.log(BOUNDS["signal"][0]), math.log(BOUNDS["signal"][1]))
_NOISE = Learnt(-4.0, 4.0, math.log(BOUNDS["noise"][0]), math.log(BOUNDS["noise"][1]))
_WARP = Learnt(math.log(1.0), 2.0, math.log(1e-4), math.log(1e3))
_FRESH_START_EVERY = 5


class JointLikelihood:
    """Posterior density of theta for one dataset and one structure.

    Parameters
    ----------
    data, columns
        The observations, and which columns are the design.
    structure
        What the role columns do.
    process
        Kernel and prior of the length-scales.
    method
        "mle" leaves the likelihood alone.
    integrals
        See `Covariance`.
    warped
        Whether the process is of the logarithm of scores (see `warp`).
    """

    def __init__(
        self,
        data: Dataset,
        columns: Columns,
        structure: Structure,
        process: GaussianProcess,
        method: Method = "map",
        integrals: Integrals | None = None,
        warped: bool = False,
    ) -> None:
        self.structure, self.columns, self.integrals = structure, columns, integrals
        self.warped = warped
        self.weight_of_prior = 1.0 if method == "map" else 0.0
        self.kernel = kernel_named(process.kernel, process.shape)
        self.column_of = torch.tensor(columns.features.column_of)
        self.d, self.T = columns.features.d, structure.n_terms
        self.sites = columns.points(data.X)
        self.unknown = data.Yvar.isnan().squeeze(-1)
        self.known = data.Yvar.nan_to_num(0.0).squeeze(-1)
        self.group = structure.group(self.sites.r)
        self.Y = data.Y.squeeze(-1)
        self.H = torch.cat((torch.ones_like(data.Y), structure.offsets(self.sites.r)), dim=-1)
        self.learnt = self._learnt(process)
        self.centre, self.sd, self.low, self.high = np.array(
            [(p.centre, p.sd, p.low, p.high) for p in self.learnt]
        ).T

    def _learnt(self, process: GaussianProcess) -> list[Learnt]:
        prior = process.priors.of("lengthscale", self.d)
        low, high = np.log(BOUNDS["lengthscale"])
        # `models.joint.supported` has refused priors that are not log-normal.
        centre, sd = float(prior.centre), float(getattr(prior, "sd", 1.0))
        lengthscale = Learnt(centre, sd, low, high)
        found: list[Learnt] = []
        for t in range(self.T):
            found += [lengthscale] * self.d
            found += [_BIAS if t > 0 else _SIGNAL]
        noise = [_NOISE] * self.structure.n_noises
        return [*found, *self.structure.learnt, *noise, *[_WARP] * self.warped]

    def parts(self, theta: Tensor) -> tuple[Covariance, Tensor]:
        """The covariance and the noise variances (*S, g) of theta (*S, p)."""
        of_terms = theta[..., : self.T * (self.d + 1)]
        of_terms = of_terms.reshape(*theta.shape[:-1], self.T, self.d + 1)
        n_role = len(self.structure.learnt)
        role = theta[..., self.T * (self.d + 1) :][..., :n_role]
        scale = of_terms[..., : self.d][..., self.column_of].neg().exp()
        signal = of_terms[..., -1].exp()
        if self.structure.unit_signal:
            signal = torch.cat((torch.ones_like(signal[..., :1]), signal[..., 1:]), dim=-1)
        covariance = Covariance(
            self.kernel,
            self.structure,
            scale.movedim(-2, 0).unsqueeze(-2),
            signal.movedim(-1, 0)[..., None, None],
            role[..., None, None, :],
            self.integrals,
        )
        end = len(self.learnt) - self.warped
        return covariance, theta[..., end - self.structure.n_noises : end].exp()

    def warp(self, theta: Tensor) -> Warp | None:
        """The map of scores for theta (*S, p); None where they stay as they are."""
        return Warp.of(self.Y, theta[..., -1:]) if self.warped else None

    def _targets(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """What the process is of, (S, n), and minus the logarithm of the Jacobian (S,)."""
        warp = self.warp(theta)
        if warp is None:
            return self.Y.expand(len(theta), -1), torch.zeros(len(theta), dtype=theta.dtype)
        return warp.latent(self.Y), -warp.log_jacobian(self.Y)

    def _K(self, theta: Tensor) -> Tensor:
        covariance, noise = self.parts(theta)
        extra = self.structure.extra_noise(covariance.role[..., 0, :], self.sites.r)
        warp = self.warp(theta)
        known = self.known if warp is None else self.known * warp.slope(self.Y).square()
        diagonal = torch.where(self.unknown, noise[..., self.group] + extra, known) + _JITTER
        return covariance.between(self.sites, self.sites) + torch.diag_embed(diagonal)

    def __call__(self, theta: Array) -> tuple[Array, Array]:
        """Minus the log density (S,) and its gradient (S, p); infinite where K is singular."""
        with torch.enable_grad():
            variable = torch.from_numpy(np.ascontiguousarray(theta)).requires_grad_(True)
            K = self._K(variable)
            Y, jacobian = self._targets(variable)
        L, info = torch.linalg.cholesky_ex(K.detach())
        L = torch.where((info > 0)[:, None, None], torch.nan, L)
        beta, penalty, alpha = self._best_beta(L, Y.detach())
        residual = Y.detach() - beta @ self.H.T
        value = 0.5 * torch.linalg.vecdot(residual, alpha) + penalty + jacobian.detach()
        value = value + L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        W = torch.cholesky_inverse(L).sub_(alpha.unsqueeze(-1) * alpha.unsqueeze(-2)).mul_(0.5)
        outputs, slopes = [K], [W.nan_to_num_()]
        if self.warped:
            outputs += [Y, jacobian]
            slopes += [alpha.nan_to_num(), torch.ones_like(jacobian)]
        (gradient,) = torch.autograd.grad(outputs, variable, slopes)
        z = (theta - self.centre) / self.sd * self.weight_of_prior
        of_prior = 0.5 * (z**2).sum(1)
        bad = ~value.isfinite()
        total: Array = value.masked_fill(bad, torch.inf).numpy() + of_prior
        return total, gradient.nan_to_num_().numpy() + z / self.sd

    def _best_beta(self, L: Tensor, Y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        targets = torch.cat((Y.unsqueeze(-1), self.H.expand(len(Y), *self.H.shape)), dim=-1)
        solved = torch.cholesky_solve(targets, L)
        G = self.H.T @ solved
        precision = torch.full((self.H.shape[1],), _OFFSET_SD**-2, dtype=self.H.dtype)
        precision[0] = 0.0
        A = G[..., 1:] + torch.diag(precision)
        C, _ = torch.linalg.cholesky_ex(A)
        beta = torch.cholesky_solve(G[..., :1], C).squeeze(-1)
        alpha = solved[..., 0] - (solved[..., 1:] @ beta.unsqueeze(-1)).squeeze(-1)
        return beta, 0.5 * (precision * beta.square()).sum(-1), alpha

    def hyperparameters(self, theta: Array) -> JointHyperparameters:
        """What one theta (p,) stands for, with its best prior mean."""
        with torch.no_grad():
            one = torch.from_numpy(np.ascontiguousarray(theta))
            L, _ = torch.linalg.cholesky_ex(self._K(one[None]))
            beta = self._best_beta(L, self._targets(one[None])[0])[0][0].nan_to_num()
            covariance, noise = self.parts(one)
            warp = self.warp(one)
        return JointHyperparameters(covariance, float(beta[0]), beta[1:], noise, warp)


def fit_joint(
    data: Dataset,
    columns: Columns,
    structure: Structure,
    sought: Target,
    process: GaussianProcess,
    *,
    method: Method = "map",
    start: tuple[float, ...] | None = None,
    integrals: Integrals | None = None,
    warped: bool = False,
) -> tuple[JointGaussianProcess, tuple[float, ...]]:
    """Fit a process over design and role columns.

    Parameters
    ----------
    data, columns, structure, process, integrals, warped
        See `JointLikelihood`.
    sought
        The target, which the model will know.
    method
        "map": maximum a posteriori. "mle": maximum likelihood, which knows no priors.
    start
        What an earlier fit of this study returned as `theta`: another start beside the usual one.

    Returns
    -------
    model, theta
        The fitted process, and its hyperparameters as they are learnt.
    """
    density = JointLikelihood(data, columns, structure, process, method, integrals, warped)
    starts = density.centre[None]
    if start is not None and len(start) == len(density.learnt):
        anew = structure.has_many_optima or len(data) % _FRESH_START_EVERY == 0
        starts = np.vstack((np.array(start), starts[: int(anew)]))
    theta, value = minimize_from(
        density,
        np.clip(starts, density.low, density.high),
        density.low,
        density.high,
        first_step=1.0,
        max_calls=60,
        value_tolerance=1e-2,
        gradient_tolerance=2e-2,
    )
    best = theta[int(np.argmin(value))]
    h = density.hyperparameters(best)
    Y, Yvar = data.Y, data.Yvar
    if h.warp is not None:
        y = Y.squeeze(-1)
        Y, Yvar = h.warp.latent(y).unsqueeze(-1), Yvar * h.warp.slope(y).square().unsqueeze(-1)
    return JointGaussianProcess(data.X, Y, Yvar, h, columns, sought), tuple(best.tolist())
