"""Public test cases for expectations of several quantities from one sample.

The three cases of Demange-Chryst, Bachoc & Morio (2023), "Efficient estimation of multiple
expectations with the same sample by adaptive importance sampling and control variates", each with
20,000 points: even moments of a standard normal, a cantilever beam under 100 input laws, and the
first-order Sobol' indices of that beam. Plain NumPy: a case depends on nothing that it measures.

Notation
--------
I_j         E_{f_j}[phi_j(X)], j = 1..J
func        (n, d) -> (n, J), or (n,) where one phi serves all laws
log f       (n, d) -> (n, L), L = 1 (one law) or J
start       the law that is sampled first: f itself, or the equal mixture of the laws
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtri
from scipy.stats import qmc

Array = NDArray[np.float64]
BUDGET = 20_000


@dataclass(frozen=True)
class ExpectationCase:
    """One sample, several expectations: what is asked, what is true, what was reached.

    `monte_carlo` holds the exact variances (J,) of plain Monte Carlo at `BUDGET` points (shared by
    the laws in equal parts where there are several), `published` the sum of weighted variances
    that the published procedure reached at `BUDGET` points.
    """

    name: str
    dimension: int
    func: Callable[[Array], Array]
    log_densities: Callable[[Array], Array]
    sample_start: Callable[[int, np.random.Generator], Array]
    weights: Array
    truth: Array
    monte_carlo: Array
    published: float

    def start_log_density(self, x: Array) -> Array:
        """Log density (n,) of the law that is sampled first."""
        log_f = self.log_densities(x)
        with np.errstate(divide="ignore"):  # where every law is zero, so is the mixture
            return logsumexp(log_f, axis=1) - math.log(log_f.shape[1])

    def weighted_variance(self, estimates: Array) -> float:
        """Sum of weighted variances over repetitions (R, J)."""
        return float(self.weights @ np.var(estimates, axis=0, ddof=1))

    def weighted_error(self, estimates: Array) -> float:
        """Sum of weighted mean squared errors over repetitions (R, J)."""
        return float(self.weights @ np.mean((estimates - self.truth) ** 2, axis=0))


def deflection(x: Array) -> Array:
    """Tip of a cantilever beam under two loads: F_X, F_Y in N, E in GPa, w, t, L in m."""
    load_x, load_y, young, width, thickness, length = x.T
    bending = np.hypot(load_x / width**2, load_y / thickness**2)
    return 4.0 * length**3 / (young * 1e9 * width * thickness) * bending


def _standard_normal_log_density(z: Array) -> Array:
    log_scale = -0.5 * z.shape[1] * math.log(2 * math.pi)
    log_f: Array = log_scale - 0.5 * (z**2).sum(axis=1, keepdims=True)
    return log_f


@cache
def gaussian_moments(n_moments: int = 10) -> ExpectationCase:
    """E[X^(2j)] = (2j - 1)!! of a standard normal, weighted by 1 / I_j^2."""
    powers = 2 * np.arange(1, n_moments + 1)
    truth = np.array([float(math.prod(range(1, p, 2))) for p in powers])
    squares = np.array([float(math.prod(range(1, 2 * p, 2))) for p in powers])
    return ExpectationCase(
        name="gaussian moments",
        dimension=1,
        func=lambda x: x**powers,
        log_densities=_standard_normal_log_density,
        sample_start=lambda n, rng: rng.standard_normal((n, 1)),
        weights=1.0 / truth**2,
        truth=truth,
        monte_carlo=(squares - truth**2) / BUDGET,
        published=1.6309e-3,
    )


# Beam laws: F_X, F_Y, E lognormal; w, t, L normal and correlated.
_LOWER = np.array([525.0, 425.0, 175.0, 0.06, 0.09, 4.0, -0.6, 0.0, 0.0])
_UPPER = np.array([575.0, 475.0, 225.0, 0.07, 0.1, 5.0, 0.0, 0.5, 0.5])
_LEAST_EIGENVALUE = 0.05  # of a correlation matrix: the ranges of delta hold some that are none


@cache
def beam_law_design(n_laws: int) -> tuple[Array, Array]:
    """Means (J, 6) and covariances (J, 6, 6) of (log F_X, log F_Y, log E, w, t, L).

    The first Latin hypercube, seeds 0, 1, ..., whose correlations are all positive definite.
    """
    seed = 0
    while True:
        design = qmc.scale(qmc.LatinHypercube(9, rng=seed).random(n_laws), _LOWER, _UPPER)
        correlation = np.broadcast_to(np.eye(3), (n_laws, 3, 3)).copy()
        for (row, column), values in zip([(0, 1), (0, 2), (1, 2)], design[:, 6:].T, strict=True):
            correlation[:, row, column] = correlation[:, column, row] = values
        if np.linalg.eigvalsh(correlation).min() > _LEAST_EIGENVALUE:
            break
        seed += 1
    log_variance = np.log1p(np.array([0.08, 0.08, 0.06]) ** 2)
    sd = 0.1 * design[:, 3:6]
    covariance = np.zeros((n_laws, 6, 6))
    covariance[:, :3, :3] = np.diag(log_variance)
    covariance[:, 3:, 3:] = correlation * sd[:, :, None] * sd[:, None, :]
    return np.hstack([np.log(design[:, :3]) - log_variance / 2, design[:, 3:6]]), covariance


@dataclass(frozen=True)
class DeflectionMoments:
    """Exact E phi, E phi^2, and for independent inputs E[E[phi | X_i]^2], i = 1..6."""

    mean: float
    second: float
    conditional: Array


def _deflection_moments(mean: Array, covariance: Array, n_nodes: int = 18) -> DeflectionMoments:
    """By quadrature, for a normal law of (log F_X, log F_Y, log E, w, t, L).

    phi = 4 L^3 / E * G(F_X, F_Y, w, t): the lognormal E and the length L given (w, t) are
    integrated by hand, the other four by a tensor product of Gauss-Hermite rules. More nodes would
    come near w t = 0, ten standard deviations out, where the moments do not exist.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    weights = weights / weights.sum()
    load_x, load_y = (np.exp(mean[k] + math.sqrt(covariance[k, k]) * nodes) for k in (0, 1))
    factor = np.linalg.cholesky(covariance[3:5, 3:5])
    width = mean[3] + factor[0, 0] * nodes[:, None]
    thickness = mean[4] + factor[1, 0] * nodes[:, None] + factor[1, 1] * nodes[None, :]
    slope = np.linalg.solve(covariance[3:5, 3:5], covariance[3:5, 5])
    length = mean[5] + slope[0] * (width - mean[3]) + slope[1] * (thickness - mean[4])
    left = covariance[5, 5] - slope @ covariance[3:5, 5]
    cube = length**3 + 3.0 * length * left  # E[L^3 | w, t], and below E[L^6 | w, t]
    sixth = length**6 + 15.0 * length**4 * left + 45.0 * length**2 * left**2 + 15.0 * left**3
    G = np.hypot(
        load_x[:, None, None, None] / width**2, load_y[None, :, None, None] / thickness**2
    ) / (width * thickness)  # (F_X, F_Y, w, t)
    young = [math.exp(-k * mean[2] + k**2 * covariance[2, 2] / 2.0) * 1e-9**k for k in (1, 2)]
    over = "xywt,x,y,w,t->"
    each = (weights,) * 4
    m = 4.0 * young[0] * float(np.einsum(over, G * cube, *each))
    second = 16.0 * young[1] * float(np.einsum(over, G**2 * sixth, *each))
    # For independent inputs cube and sixth are numbers.
    parts = [np.einsum(over + axis, G, *each) / weights for axis in "xywt"]
    level = 4.0 * young[0] * float(np.mean(cube))
    by_part = [level**2 * float(weights @ part**2) for part in parts]
    by_young = m**2 * young[1] / young[0] ** 2
    by_length = m**2 * float(np.mean(sixth)) / float(np.mean(cube)) ** 2
    conditional = np.array([*by_part[:2], by_young, *by_part[2:], by_length])
    return DeflectionMoments(m, second, conditional)


@cache
def beam_laws(n_laws: int = 100) -> ExpectationCase:
    """Mean deflection of the beam under `n_laws` input laws, weights 1, in physical space.

    The published design is not ours: its target is scaled by the ratio of the exact sums of
    variances of separate Monte Carlo.
    """
    mean, covariance = beam_law_design(n_laws)
    factor = np.linalg.cholesky(covariance)
    inverse = np.linalg.inv(factor)
    log_scale = -np.log(np.einsum("jii->ji", factor)).sum(axis=1) - 3.0 * math.log(2 * math.pi)
    whitened_mean = np.einsum("jab,jb->ja", inverse, mean)

    def log_densities(x: Array) -> Array:
        positive = (x[:, :3] > 0.0).all(axis=1)
        logs = np.log(np.where(positive[:, None], x[:, :3], 1.0))
        y = np.hstack([logs, x[:, 3:]])
        log_f = np.empty((len(x), n_laws))
        for j in range(n_laws):
            white = y @ inverse[j].T - whitened_mean[j]
            log_f[:, j] = log_scale[j] - 0.5 * np.einsum("na,na->n", white, white)
        log_f -= logs.sum(axis=1, keepdims=True)  # Jacobian of the logarithms
        log_f[~positive] = -np.inf
        return log_f

    def physical(law: NDArray[np.int64] | int, z: Array) -> Array:
        y = mean[law] + np.einsum("...ab,...b->...a", factor[law], z)
        return np.hstack([np.exp(y[:, :3]), y[:, 3:]])

    def sample_start(n: int, rng: np.random.Generator) -> Array:
        return physical(rng.integers(n_laws, size=n), rng.standard_normal((n, 6)))

    moments = [_deflection_moments(m, c) for m, c in zip(mean, covariance, strict=True)]
    truth = np.array([one.mean for one in moments])
    variance = np.array([one.second - one.mean**2 for one in moments])
    monte_carlo = variance / (BUDGET / n_laws)
    return ExpectationCase(
        name="beam laws",
        dimension=6,
        func=deflection,
        log_densities=log_densities,
        sample_start=sample_start,
        weights=np.ones(n_laws),
        truth=truth,
        monte_carlo=monte_carlo,
        published=4.37856e-6 * float(monte_carlo.sum()) / 1.30934e-4,
    )


def beam_inputs(z: Array) -> Array:
    """Physical inputs (n, 6) of independent standard normals (n, 6)."""
    log_mean = np.log([556.8, 453.6, 200.0])
    log_variance = np.log1p(np.array([0.08, 0.08, 0.06]) ** 2)
    loads = np.exp(log_mean - log_variance / 2 + np.sqrt(log_variance) * z[:, :3])
    lengths = np.array([0.062, 0.0987, 4.29]) + np.array([0.0062, 0.00987, 0.429]) * z[:, 3:]
    return np.hstack([loads, lengths])


def pick_freeze_products(z: Array) -> Array:
    """phi phi^1 .. phi phi^6, phi, phi^2 (n, 8) of doubled standard normals (n, 12)."""
    x, other = beam_inputs(z[:, :6]), beam_inputs(z[:, 6:])
    y = deflection(x)
    columns = []
    for i in range(6):
        mixed = other.copy()
        mixed[:, i] = x[:, i]
        columns.append(y * deflection(mixed))
    return np.stack([*columns, y, y**2], axis=1)


def first_order_indices(expectations: Array) -> Array:
    """S_i = (I_i - m^2) / (q - m^2) from expectations (..., 8)."""
    mean_square = expectations[..., 6:7] ** 2
    indices: Array = (expectations[..., :6] - mean_square) / (expectations[..., 7:8] - mean_square)
    return indices


@cache
def beam_sobol() -> ExpectationCase:
    """The eight expectations behind the beam's first-order indices, in 12 standard normals."""
    log_variance = np.log1p(np.array([0.08, 0.08, 0.06]) ** 2)
    log_mean = np.log([556.8, 453.6, 200.0]) - log_variance / 2
    mean = np.concatenate([log_mean, [0.062, 0.0987, 4.29]])
    sd = np.concatenate([np.sqrt(log_variance), [0.0062, 0.00987, 0.429]])
    one = _deflection_moments(mean, np.diag(sd**2))
    truth = np.concatenate([one.conditional, [one.mean, one.second]])
    # Only the variances of Monte Carlo need the model's fourth moments: a plain estimate will do.
    values = pick_freeze_products(ndtri(qmc.Sobol(12, rng=0).random_base2(16)))
    return ExpectationCase(
        name="beam sobol",
        dimension=12,
        func=pick_freeze_products,
        log_densities=_standard_normal_log_density,
        sample_start=lambda n, rng: rng.standard_normal((n, 12)),
        weights=np.ones(8),
        truth=truth,
        monte_carlo=values.var(axis=0) / BUDGET,
        published=2.24355e-9,
    )


PUBLISHED_INDEX_VARIANCE = 1.73307e-4  # sum over the six indices of "beam sobol"
CASES = {case.__name__: case for case in (gaussian_moments, beam_laws, beam_sobol)}
