"""The published adaptive procedure for several expectations from one sample.

J. Demange-Chryst, F. Bachoc, J. Morio (2023), "Efficient estimation of multiple expectations with
the same sample by adaptive importance sampling and control variates", step by step and with its
weak points: it learns on half of the budget, its shares of the mixture depend on the unit of the
quantities, nothing guards it against a proposal that misses. It is here to be compared with.

Notation
--------
N, N_1, N_k     budget, largest learning budget floor(N / 2), points of one stage floor(N_1 / 5)
n_e             evaluations spent so far
h               sum_k (N_k / n_e) q_k, the mixture of all densities that were sampled so far
P_ij, W_ij      phi_j(X_i) f_j(X_i) / h(X_i), f_j(X_i) / h(X_i)
g_j, g_a        auxiliary density of expectation j,    g_a = sum_j a_j g_j
S               sum_j w_j n Var(I_j), as the points of one stage show it

    I_j    = beta_j + mean_i (phi_j f_j - beta_j g_j)(X_i) / g_a(X_i)                     (1)
    g*_j   = phi_j f_j / I_j, what g_j is fitted to                                       (3)
    beta_j = Cov(phi_j f_j / g_a, g_j / g_a) / Var(g_j / g_a)                             (4)
    a      = argmin mean_i sum_j w_j (phi_j f_j - beta_j g_j)^2 / (g_a h) (X_i)           (5)
    stop where S_old / (N - n_old) <= S_new / (N - n_new)                                 (7)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from uq.importance_sampling import (
    optimal_beta,
    own_control_estimate,
    sample_variances,
    weighted_values,
)
from uq.mixture_weights import slsqp_weights
from uq.proposals import (
    Density,
    Mixture,
    expectation_maximization,
    fit_gaussians,
    log_sum_exp,
)
from uq.proposals import (
    log_densities as all_log_densities,
)
from uq.stopping import predicted_variance_rises

Array = NDArray[np.float64]
Family = Literal["gaussian", "gaussian_mixture"]

LEAST_BUDGET = 40
_RIDGE = 1e-6  # in squared units of z, whatever they are
_EM_TOLERANCE, _EM_ROUNDS = 1e-5, 500


class SampledDensity(Protocol):
    """What points are drawn from."""

    def log_density(self, z: Array) -> Array:
        """Logarithm (n,) of the density at points (n, d)."""

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw points (n, d)."""


@dataclass(frozen=True, eq=False)
class PublishedStage:
    """One adaptation.

    Parameters
    ----------
    n_evaluations
        n_e after it.
    variance_before, variance
        S of the points before and of its own.
    alpha, beta
        Shares (J,) of the mixture that it sampled, coefficients (J,) of the control variates.
    """

    n_evaluations: int
    variance_before: float
    variance: float
    alpha: Array
    beta: Array


@dataclass(frozen=True, eq=False)
class PublishedOutcome:
    """What the procedure returns.

    Parameters
    ----------
    estimate, covariance
        I (J,), and its covariance (J, J) given what was learned.
    contributions
        Per-point vectors (n, J) of the final sample, whose mean is the estimate.
    n_evaluations
        N: all of the budget.
    alpha, beta
        Shares and coefficients (J,) of the final estimate.
    proposal
        g_a, its components g_j in the order of the quantities.
    history
        The adaptations.
    z, values, ok, log_weights
        Final sample (n, d), phi there (n, 1 or J), 0 where a run failed, whether it did not (n,),
        and log f / g_a (n, L).
    """

    estimate: Array
    covariance: Array
    contributions: Array
    n_evaluations: int
    alpha: Array
    beta: Array
    proposal: Mixture
    history: tuple[PublishedStage, ...]
    z: Array
    values: Array
    ok: NDArray[np.bool_]
    log_weights: Array


@dataclass(frozen=True, eq=False)
class _Draws:
    """Points (n, d) with phi (n, J), 0 where a run failed, and log f (n, L)."""

    z: Array
    values: Array
    ok: NDArray[np.bool_]
    log_f: Array

    def under(self, mixture: Mixture) -> tuple[Array, Array, Array]:
        """phi_j f_j / g_a and g_j / g_a (n, J), log f / g_a (n, L)."""
        log_parts = mixture.component_log_densities(self.z)
        log_g = mixture.log_density_of(log_parts)[:, None]
        log_weights = self.log_f - log_g
        return weighted_values(self.values, log_weights), np.exp(log_parts - log_g), log_weights


class _Model:
    """The quantities and their laws, as this procedure can take them."""

    def __init__(
        self,
        runs: Callable[[Array], Array],
        log_densities: Callable[[Array], Array],
        names: tuple[str, ...] | None,
    ) -> None:
        self._runs, self._log_densities, self._names = runs, log_densities, names

    def draw(self, density: SampledDensity, n: int, rng: np.random.Generator) -> _Draws:
        """Draw and evaluate `n` points; raises ValueError where a value cannot be used."""
        z = density.sample(n, rng)
        values, log_f = self._runs(z), self._log_densities(z)
        ok = np.asarray(np.isfinite(values).all(axis=1))
        values = np.where(ok[:, None], values, 0.0)  # nothing is to be had where a run fails
        negative = (values < 0.0) & np.isfinite(log_f)
        if negative.any():
            i, j = np.argwhere(negative)[0]
            raise ValueError(
                f'method="published" takes quantities >= 0 only, but quantity {self.name_of(j)} '
                f'is {values[i, j]:.6g} at {z[i]}; use method="auto", or add a constant to the '
                "quantity and take it off again."
            )
        return _Draws(z, values, ok, log_f)

    def name_of(self, j: int) -> str:
        """Name of quantity j, or its number."""
        return repr(self._names[j]) if self._names else f"number {j}"


class _Past:
    """All points of the learning, as points of the mixture h of all that was sampled."""

    def __init__(self) -> None:
        self._counts: list[int] = []
        self._densities: list[SampledDensity] = []
        self._draws: list[_Draws] = []
        self._log_q: list[Array] = []  # of one density each, at all points

    def add(self, density: SampledDensity, draws: _Draws) -> None:
        """Take points that were drawn from `density`."""
        self._log_q = [
            np.append(log_q, past.log_density(draws.z))
            for log_q, past in zip(self._log_q, self._densities, strict=True)
        ]
        self._counts.append(len(draws.z))
        self._densities.append(density)
        self._draws.append(draws)
        self.z = np.concatenate([one.z for one in self._draws])
        self.values = np.concatenate([one.values for one in self._draws])
        self.log_f = np.concatenate([one.log_f for one in self._draws])
        self._log_q.append(density.log_density(self.z))
        shares = np.array(self._counts) / sum(self._counts)
        self.log_h = log_sum_exp(np.stack(self._log_q, axis=1) + np.log(shares))

    @property
    def products(self) -> Array:
        """P = phi_j f_j / h (n_e, J)."""
        return weighted_values(self.values, self.log_f - self.log_h[:, None])


def published(
    runs: Callable[[Array], Array],
    log_densities: Callable[[Array], Array],
    start: SampledDensity,
    budget: int,
    weights: Array | Literal["relative", "equal"],
    *,
    family: Family = "gaussian",
    covariance: Literal["full", "diagonal"] = "full",
    rng: np.random.Generator,
    names: tuple[str, ...] | None = None,
) -> PublishedOutcome:
    """Estimate J expectations with exactly `budget` evaluations, as published.

    Parameters
    ----------
    runs
        Points (n, d) -> values phi >= 0 (n, J).
    log_densities
        Points (n, d) -> log f (n, L), L = 1 or J, normalised.
    start
        h_0: f itself, or the equal mixture of the f_j.
    budget
        N, at least 40.
    weights
        w (J,) >= 0 of the variances; "equal": 1, "relative": 1 / I_j^2 by the first points.
    family
        Of each g_j: "gaussian", or "gaussian_mixture" with two components.
    covariance
        "full" or "diagonal".
    rng
        Draws all points.
    names
        Names of the quantities in errors.

    Raises
    ------
    ValueError
        If a quantity is negative somewhere, if no point of the first stage hits one, or if the
        budget is too small.
    """
    if budget < LEAST_BUDGET:
        raise ValueError(
            f'method="published" needs a budget of at least {LEAST_BUDGET}, but got {budget}.'
        )
    model, past, history = _Model(runs, log_densities, names), _Past(), list[PublishedStage]()
    learning = budget // 2  # N_1
    n_stage = learning // 5  # N_k

    past.add(start, model.draw(start, n_stage, rng))
    n_e = n_stage
    alpha, beta, w = _first_guess(past.products, weights, model)
    s_old = float(w @ np.var(past.products, axis=0, ddof=1))

    while n_e < learning:
        components = _fitted(past, family, covariance, rng)
        alpha = _shares(past, components, beta, w, alpha)
        proposal = Mixture(alpha, components)
        draws = model.draw(proposal, n_stage, rng)
        past.add(proposal, draws)
        products, ratios, _ = draws.under(proposal)
        fresh = optimal_beta(products, ratios, divisor="published")  # (4)
        beta = np.where(fresh == 0.0, beta, fresh)  # a ratio that is constant says nothing
        n_e += n_stage
        s_new = float(w @ sample_variances(products, ratios, beta))
        history.append(PublishedStage(n_e, s_old, s_new, alpha, beta))
        if predicted_variance_rises(s_old, n_e - n_stage, s_new, n_e, budget):  # (7)
            break
        s_old = s_new

    # Fresh points from the last mixture, whatever (7) said of it.
    draws = model.draw(proposal, budget - n_e, rng)
    products, ratios, log_weights = draws.under(proposal)
    final = own_control_estimate(products, ratios, beta)  # (1)
    return PublishedOutcome(
        estimate=final.estimate,
        covariance=final.covariance,
        contributions=final.contributions,
        n_evaluations=budget,
        alpha=alpha,
        beta=beta,
        proposal=proposal,
        history=tuple(history),
        z=draws.z,
        values=draws.values,
        ok=draws.ok,
        log_weights=log_weights,
    )


def _first_guess(
    products: Array, weights: Array | Literal["relative", "equal"], model: _Model
) -> tuple[Array, Array, Array]:
    """alpha, beta and w (J,) from the first points: shares as of disjoint phi_j f_j, beta = I."""
    expectations = products.mean(axis=0)
    if not expectations.min() > 0.0:
        raise ValueError(
            f"None of the first {len(products)} points hits quantity "
            f"{model.name_of(int(np.argmin(expectations)))}: it is 0 at all of them, and "
            'method="published" has nothing to fit. Use method="auto", which tempers rare events, '
            "or a larger budget."
        )
    if isinstance(weights, np.ndarray):
        w = weights
    else:
        w = expectations**-2.0 if weights == "relative" else np.ones(len(expectations))
    alpha = np.sqrt(w) * expectations
    if not alpha.sum() > 0.0:
        alpha = np.ones(len(alpha))
    return alpha / alpha.sum(), expectations, w


def _fitted(
    past: _Past, family: Family, covariance: Literal["full", "diagonal"], rng: np.random.Generator
) -> tuple[Density, ...]:
    """g_j of every quantity: fits to (3) by cross-entropy, on all points so far."""
    if family == "gaussian":
        return tuple[Density, ...](
            fit_gaussians(
                past.z,
                past.products,
                covariance,
                ridge=0.0,
                absolute_ridge=_RIDGE,
                least_effective=0.0,
            )
        )
    fits = []
    for weights in past.products.T:
        first, second = past.z[rng.choice(len(past.z), size=2, replace=False)]
        nearer = ((past.z - first) ** 2).sum(axis=1) <= ((past.z - second) ** 2).sum(axis=1)
        fits.append(
            expectation_maximization(
                past.z,
                weights,
                np.stack([nearer, ~nearer], axis=1).astype(np.float64),
                covariance=covariance,
                ridge=0.0,
                absolute_ridge=_RIDGE,
                least_effective=0.0,
                tolerance=_EM_TOLERANCE,
                most_rounds=_EM_ROUNDS,
            )
        )
    return tuple(fits)


def _shares(
    past: _Past, components: tuple[Density, ...], beta: Array, weights: Array, alpha: Array
) -> Array:
    """Shares of the mixture by (5), over all points so far, from `alpha` on."""
    log_parts = all_log_densities(components, past.z)
    log_scale = 0.5 * past.log_h[:, None]
    # (phi f - beta g) / sqrt(h): its square is over h, as (5) has it.
    residuals = weighted_values(past.values, past.log_f - log_scale)
    residuals -= beta * np.exp(log_parts - log_scale)
    return slsqp_weights(np.square(residuals) @ weights, np.exp(log_parts), alpha)
