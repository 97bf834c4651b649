"""Marginal likelihood of an exact Gaussian process, with its closed-form gradient.

Notation
--------
n, d, S     observations, columns, hyperparameter vectors that are evaluated together
theta       (S, p) logarithms: d length-scales, then the signal variance if it is learnt, the noise
            variance if it is inferred, and nu or p if it is learnt;    h = exp(theta)
u           (S, k) behind them, where the noise varies: log lambda_i = log noise + (B u)_i
a           signal variance
K           (S, n, n) = a k(Z, Z) + diag(noise),    L L' = K
c, s        (n,) how often each point was observed, and sum of squares around its mean
H, beta     (n, k) basis of the prior mean, the constant first, and its coefficients (S, k)
B           prior covariance of beta: 2^2 for every coefficient but the constant, whose is infinite
r           Y - H beta,    alpha = K^-1 r

    log p(Y | theta, beta) = -1/2 r' alpha - 1/2 log|K| - n/2 log 2 pi  Frazier (2018), Section 3.2
    d log p / d K          = 1/2 (alpha alpha' - K^-1)                  R&W (2006), Eq. (5.9)
    A                      = H' K^-1 H + B^-1
    beta                   = A^-1 H' K^-1 Y                             R&W, Eq. (2.41)

This beta maximises log p(Y | theta, beta) - 1/2 beta' B^-1 beta for its theta, so that the gradient
in theta is that at a fixed beta. With a constant mean it is c = 1' K^-1 Y / 1' K^-1 1. A sampler
integrates beta out instead: log p(Y | theta) = the above - 1/2 log|A| + a constant.

Of repeated points the means are observations with the noise lambda / c, and the likelihood of all
rows is that of the means times a factor              Binois, Gramacy & Ludkovski (2018)

    log p(all) = log p(means) - 1/2 sum [(c - 1) log(2 pi lambda) + log c + s / lambda]
"""

import math
from itertools import compress

import numpy as np
import torch
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.data import Dataset
from bayesopt.models.exact import Hyperparameters
from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.models.kernels import Features, Kernel, kernel_named
from bayesopt.models.replicates import JITTER, Replicates
from bayesopt.models.trend import DEGREES, PRIOR_SD, polynomial_basis
from bayesopt.parameter import Array


class MarginalLikelihood:
    """Likelihood of theta for one dataset and one kind of process.

    Parameters
    ----------
    data
        The observations.
    process
        Kernel and mean; its priors only say whether the signal variance is learnt.
    replicates
        What `data` are the means of; None: every row counts once.
    variation
        B, where the logarithm of the inferred noise varies: (n, k), and theta ends with k entries
        u more. They are no logarithms, and have no part in `everything` and `learnt`.
    """

    def __init__(
        self,
        data: Dataset,
        process: GaussianProcess,
        replicates: Replicates | None = None,
        variation: Shaped[Tensor, "n k"] | None = None,
    ) -> None:
        self.process, self.replicates, self.variation = process, replicates, variation
        self.n, self.d = data.X.shape
        self.features = Features(self.d, data.categories)
        self.F = self.features.of(data.X)
        self.column_of = torch.tensor(self.features.column_of)
        self.unknown = data.Yvar.isnan().squeeze(-1).double()
        self.known_noise = data.Yvar.nan_to_num(0.0).squeeze(-1) + JITTER
        if replicates is not None:
            self.unknown = self.unknown / replicates.count
            self.known_noise = data.Yvar.nan_to_num(0.0).squeeze(-1) + JITTER / replicates.count
        self.learns_noise = data.noise_is_inferred
        exact = bool((data.Yvar == 0.0).all())
        self.learns_signal = exact or process.priors.signal is not None
        self.learns_shape = process.learns_shape
        self.everything = ["lengthscale"] * self.d + ["signal", "noise"]
        self.everything += ["shape"] * self.learns_shape
        self.learnt = [True] * self.d + [self.learns_signal, self.learns_noise]
        self.learnt += [True] * self.learns_shape
        names = list(compress(self.everything, self.learnt))
        self.position = {name: names.index(name) for name in set(names)}
        self.n_logarithms = len(names)
        basis = polynomial_basis(data.X, self.features.plain, DEGREES[process.mean])
        self.H = torch.cat((torch.ones_like(data.Y), basis), dim=-1)
        self.targets = torch.cat((data.Y, self.H), dim=-1)
        self.fixed_kernel = (
            None if self.learns_shape else kernel_named(process.kernel, process.shape)
        )

    def value_and_gradient(self, theta: Array) -> tuple[Array, Array]:
        """Minus the log likelihood (S,), with the best beta and its prior, and gradient (S, p).

        The value is infinite where K is singular. The normalising constant of the prior of beta
        is left out.
        """
        h = torch.from_numpy(np.exp(theta))
        Z, kernel, ak, aslope, L, solved = self._factor(h)
        beta, penalty = self._best_beta(solved)
        residual = self.targets[:, 0] - beta @ self.H.T
        alpha = solved[..., 0] - (solved[..., 1:] @ beta.unsqueeze(-1)).squeeze(-1)
        value = 0.5 * torch.linalg.vecdot(residual, alpha)
        value = value + L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        value = value + 0.5 * self.n * math.log(2.0 * math.pi) + penalty
        if self.replicates is not None:
            value = value + self.replicates.negative_log_factor(self._lambda(h))

        W = torch.cholesky_inverse(L).nan_to_num()
        W = 0.5 * W.sub_(alpha.unsqueeze(-1) * alpha.unsqueeze(-2))  # -d log p / d K, Eq. (5.9)
        by_feature = -2.0 * (kernel.pull_back(W * aslope, Z, Z) * Z).sum(-2)
        gradient = torch.zeros_like(h)
        gradient[:, : self.d].index_add_(1, self.column_of, by_feature)
        if self.learns_signal:
            gradient[:, self.position["signal"]] = (W * ak).sum((-2, -1))
        if self.learns_noise:
            diagonal = W.diagonal(dim1=-2, dim2=-1)
            j = self.position["noise"]
            if self.replicates is None:
                gradient[:, j] = (diagonal * self.unknown).sum(-1) * h[:, j]
            else:
                each = diagonal * self.unknown * self._lambda(h)
                each = each + self.replicates.slope_of_factor(self._lambda(h))
                gradient[:, j] = each.sum(-1)
                if self.variation is not None:
                    gradient[:, self.n_logarithms :] = each @ self.variation
        if self.learns_shape:
            j = self.position["shape"]
            by_shape = self._signal(h) * kernel.by_shape(Z, Z)
            gradient[:, j] = (W * by_shape).sum((-2, -1)) * h[:, j]
        return value.nan_to_num(nan=torch.inf).numpy(), gradient.nan_to_num().numpy()

    def log_integrated(self, theta: Array) -> Array:
        """log p(Y | theta) (S,) up to a constant, with beta integrated out; no gradient.

        Minus infinite where K is singular.
        """
        h = torch.from_numpy(np.exp(theta))
        *_, K = self._covariance(h)
        L, info = torch.linalg.cholesky_ex(K)
        half = torch.linalg.solve_triangular(L, self.targets, upper=False)  # L^-1 [Y, H]
        G = half.mT @ half
        A = self._with_prior(G[..., 1:, 1:])
        C, _ = torch.linalg.cholesky_ex(A)
        beta = torch.cholesky_solve(G[..., 1:, :1], C)
        residual = half[..., :1] - half[..., 1:] @ beta
        square = residual.square().sum((-2, -1))
        square = square + PRIOR_SD**-2 * beta[..., 1:, :].square().sum((-2, -1))
        log_determinants = sum(t.diagonal(dim1=-2, dim2=-1).log().sum(-1) for t in (L, C))
        value = -0.5 * square - log_determinants
        if self.replicates is not None:
            value = value - self.replicates.negative_log_factor(self._lambda(h))
        singular = (info > 0) | ~value.isfinite()
        log_density: Array = value.masked_fill(singular, -torch.inf).numpy()
        return log_density

    def hyperparameters(self, theta: Array) -> Hyperparameters:
        """What one theta (p,) stands for, with its best prior mean."""
        h = torch.from_numpy(np.exp(theta))
        *_, solved = self._factor(h[None])
        beta = self._best_beta(solved)[0][0].nan_to_num(posinf=0.0, neginf=0.0)
        return Hyperparameters(
            lengthscale=h[: self.d],
            noise=float(h[self.position["noise"]]) if self.learns_noise else 0.0,
            mean=float(beta[0]),
            signal=float(h[self.position["signal"]]) if self.learns_signal else 1.0,
            kernel=self.process.kernel,
            shape=float(h[self.position["shape"]]) if self.learns_shape else self.process.shape,
            trend=None if self.process.mean == "constant" else beta[1:],
        )

    def _signal(self, h: Tensor) -> Tensor | float:
        return h[:, self.position["signal"], None, None] if self.learns_signal else 1.0

    def _learnt_kernel(self, h: Tensor) -> Kernel:
        return kernel_named(self.process.kernel, h[:, self.position["shape"], None, None])

    def _lambda(self, h: Tensor) -> Tensor:
        """Inferred variance of the noise of one observation, (S, 1), or (S, n) where it varies."""
        level = h[:, self.position["noise"], None] if self.learns_noise else h.new_zeros(len(h), 1)
        if self.variation is None:
            return level
        return level * (h[:, self.n_logarithms :].log() @ self.variation.T).exp()

    def _covariance(self, h: Tensor) -> tuple[Tensor, Kernel, Tensor, Tensor, Tensor]:
        """Z, the kernel, a k, a dk/ds and K for hyperparameters h = exp(theta)."""
        Z = self.F / h[:, None, self.column_of]
        kernel = self.fixed_kernel or self._learnt_kernel(h)
        k, slope = kernel(Z, Z)
        signal = self._signal(h)
        noise = self.known_noise.expand(len(h), -1)
        if self.learns_noise:
            noise = noise + self._lambda(h) * self.unknown
        K = signal * k
        K.diagonal(dim1=-2, dim2=-1).add_(noise)
        return Z, kernel, signal * k, signal * slope, K

    def _factor(self, h: Tensor) -> tuple[Tensor, Kernel, Tensor, Tensor, Tensor, Tensor]:
        """Z, the kernel, a k, a dk/ds, L and [K^-1 Y, K^-1 H]; NaN where K is singular."""
        Z, kernel, ak, aslope, K = self._covariance(h)
        L, info = torch.linalg.cholesky_ex(K)
        L = torch.where((info > 0)[:, None, None], torch.nan, L)
        return Z, kernel, ak, aslope, L, torch.cholesky_solve(self.targets, L)

    def _with_prior(self, information: Shaped[Tensor, "S k k"]) -> Shaped[Tensor, "S k k"]:
        """A = H' K^-1 H + B^-1."""
        inverse_variance = torch.full(self.H.shape[1:], PRIOR_SD**-2, dtype=self.H.dtype)
        inverse_variance[0] = 0.0
        return information + torch.diag(inverse_variance)

    def _best_beta(
        self, solved: Shaped[Tensor, "S n m"]
    ) -> tuple[Shaped[Tensor, "S k"], Shaped[Tensor, " S"] | float]:
        """A^-1 H' K^-1 Y, R&W Eq. (2.41), and minus the logarithm of its prior."""
        if self.H.shape[1] == 1:
            sums = solved.sum(-2)
            return sums[:, :1] / sums[:, 1:], 0.0
        G = self.H.T @ solved
        L, _ = torch.linalg.cholesky_ex(self._with_prior(G[..., 1:]))
        beta = torch.cholesky_solve(G[..., :1], L).squeeze(-1)
        return beta, 0.5 * PRIOR_SD**-2 * beta[:, 1:].square().sum(-1)
