"""Importance sampling with control variates: estimates, variances and weights of one sample.

One sample of independent points, coefficients from elsewhere: what the published procedure is made
of, and the figures of any weighted sample. Estimates fitted across folds are in
`control_variates`.

Notation
--------
X_i ~ g     i = 1..n, drawn independently of g and beta
values      phi_j(X_i) (n, J)
log_weights log f_j(X_i) / g(X_i) (n, L), L = 1 (one law) or J
products    P_ij = phi_j(X_i) f_j(X_i) / g(X_i) (n, J)
ratios      Q_ij = g_j(X_i) / g(X_i) (n, J), the control variates: their mean is 1
shares      a_k, where g = sum_k a_k g_k

Equation numbers are those of Demange-Chryst, Bachoc & Morio (2023) in their order:

    I_j        = beta_j + mean_i (P_ij - beta_j Q_ij)                                     (1)
    n Var I_j  = int (phi_j f_j - beta_j g_j)^2 / g dx - (I_j - beta_j)^2                 (2)
    beta_j     = Cov_g(P_j, Q_j) / Var_g(Q_j)                                             (4)

The regression on all components is that of Owen & Zhou (2000), "Safe and effective importance
sampling"; since sum_k a_k Q_k = 1 its design is singular, which a pseudo-inverse takes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_RANK = 1e-10  # relative singular value below which a direction of the regression is none


def effective_sample_size(log_weights: Array) -> Array:
    """(sum w)^2 / sum w^2 of every column (L,), or of one vector (); 0 where all weights are 0."""
    w = _relative_weights(log_weights)
    total, squares = w.sum(axis=0), np.square(w).sum(axis=0)
    size: Array = np.where(squares > 0.0, total**2 / np.where(squares > 0.0, squares, 1.0), 0.0)
    return size


def max_weight_share(log_weights: Array) -> Array:
    """Largest weight over the sum of weights of every column (L,); 1 where all weights are 0."""
    w = _relative_weights(log_weights)
    total = w.sum(axis=0)
    share: Array = np.where(total > 0.0, w.max(axis=0) / np.where(total > 0.0, total, 1.0), 1.0)
    return share


def _relative_weights(log_weights: Array) -> Array:
    largest = log_weights.max(axis=0)
    w: Array = np.exp(log_weights - np.where(np.isfinite(largest), largest, 0.0))
    return w


def weighted_values(values: Array, log_weights: Array) -> Array:
    """P (n, J) from phi (n, J) and log weights (n, L); 0 wherever a value is 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        products: Array = np.exp(log_weights) * values
    if not np.isfinite(products).all():  # a weight that overflows, by a value that is small
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            products = np.sign(values) * np.exp(log_weights + np.log(np.abs(values)))
    return products


@dataclass(frozen=True, eq=False)
class SampleEstimate:
    """Estimates of J expectations from one sample.

    Parameters
    ----------
    estimate
        I (J,).
    contributions
        (n, J) per-point vectors whose mean is the estimate.
    beta
        Coefficients of the control variates: (J,) of own ones, (K, J) of all components.
    degrees_of_freedom
        By which squares of the contributions are divided: n - 1, less what a regression took.
    """

    estimate: Array
    contributions: Array
    beta: Array
    degrees_of_freedom: int

    @property
    def covariance(self) -> Array:
        """Covariance (J, J) of the estimates."""
        centred = self.contributions - self.estimate
        n = len(centred)
        covariance: Array = centred.T @ centred / (max(self.degrees_of_freedom, 1) * n)
        return covariance

    @property
    def standard_error(self) -> Array:
        """Standard errors (J,) of the estimates."""
        centred = self.contributions - self.estimate
        squares = np.einsum("nj,nj->j", centred, centred)
        error: Array = np.sqrt(squares / (max(self.degrees_of_freedom, 1) * len(centred)))
        return error


def plain_estimate(products: Array) -> SampleEstimate:
    """Importance sampling without control variates, (1) with beta = 0."""
    J = products.shape[1]
    return SampleEstimate(products.mean(axis=0), products, np.zeros(J), len(products) - 1)


def own_control_estimate(products: Array, ratios: Array, beta: Array) -> SampleEstimate:
    """Each expectation with its own control variate, (1).

    Unbiased where `beta` (J,) and the densities do not depend on the sample.
    """
    contributions = products - beta * ratios
    contributions += beta
    return SampleEstimate(contributions.mean(axis=0), contributions, beta, len(products) - 1)


def optimal_beta(products: Array, ratios: Array, divisor: Literal["n", "published"] = "n") -> Array:
    """Coefficients (J,) of own control variates, (4); 0 where a ratio does not vary.

    Parameters
    ----------
    products, ratios
        P and Q (n, J).
    divisor
        "published": as there, covariances are divided by n and variances by n - 1.
    """
    centred = ratios - ratios.mean(axis=0)
    squares = np.einsum("nj,nj->j", centred, centred)
    # What varies by rounding only is a constant.
    varies = squares > len(ratios) * 1e-20 * np.maximum(np.square(ratios).mean(axis=0), 1e-300)
    beta = np.einsum("nj,nj->j", centred, products) / np.where(varies, squares, 1.0)
    if divisor == "published":
        beta *= (len(ratios) - 1) / len(ratios)
    return np.where(varies, beta, 0.0)


def sample_variances(products: Array, ratios: Array, beta: Array) -> Array:
    """n Var I_j (J,) as the sample itself shows it."""
    variances: Array = np.var(products - beta * ratios, axis=0, ddof=1)
    return variances


def predicted_variances(
    products: Array, ratios: Array, beta: Array, expectations: Array, log_relative: Array
) -> Array:
    """n Var I_j (J,) under another density g', from a sample of g, (2).

    Parameters
    ----------
    products, ratios
        P and Q under g (n, J).
    beta, expectations
        (J,).
    log_relative
        log g' / g at the points (n,).
    """
    with np.errstate(over="ignore"):
        inverse = np.exp(-log_relative)
    second = np.einsum("nj,n->j", np.square(products - beta * ratios), inverse) / len(products)
    variances: Array = second - (expectations - beta) ** 2
    return variances


def regression_estimate(
    products: Array,
    ratios: Array,
    shares: Array | None = None,
    least_share: float = 0.02,
    own: Array | None = None,
) -> SampleEstimate:
    """Each expectation with the ratios of all components as control variates.

    Parameters
    ----------
    products
        P (n, J).
    ratios
        g_k / g of all components (n, K).
    shares, least_share
        Components whose share (K,) is below `least_share` are left out: their ratio may have a
        tail that spoils the regression. Without shares all are used.
    own
        One more control variate for each expectation alone, Q (n, J).

    Notes
    -----
    The coefficients come from the sample: the bias is of order 1 / n, the standard error counts
    the degrees of freedom that they take.
    """
    n, J = products.shape
    kept = np.ones(ratios.shape[1], dtype=bool) if shares is None else shares >= least_share
    controls = ratios[:, kept] - 1.0
    mean = controls.mean(axis=0)
    gram = controls.T @ controls - n * np.outer(mean, mean)
    slope = controls.T @ products - n * np.outer(mean, products.mean(axis=0))
    size = np.sqrt(np.maximum(np.diagonal(gram), np.finfo(float).tiny))
    inverse = np.linalg.pinv(gram / np.outer(size, size), rcond=_RANK, hermitian=True)
    inverse /= np.outer(size, size)
    coefficients = inverse @ slope
    rank = int(np.linalg.matrix_rank(gram / np.outer(size, size), tol=_RANK, hermitian=True))
    contributions = products - controls @ coefficients
    beta = np.zeros((ratios.shape[1], J))
    beta[kept] = coefficients
    if own is not None:
        # What of the own control variate the others leave over (Frisch, Waugh & Lovell).
        centred = own - 1.0
        by_others = inverse @ (controls.T @ centred - n * np.outer(mean, centred.mean(axis=0)))
        rest = centred - controls @ by_others
        contributions -= rest * optimal_beta(contributions, rest)
        rank += 1
    return SampleEstimate(contributions.mean(axis=0), contributions, beta, n - 1 - rank)
