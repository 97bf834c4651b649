"""Densities that proposals are made of, and their fits to weighted samples."""

from uq.proposals.densities import (
    Density,
    Gaussian,
    Mixture,
    StudentT,
    log_densities,
    log_sum_exp,
)
from uq.proposals.gaussian_fits import (
    Covariance,
    TooFewWeighted,
    fit_gaussian,
    fit_gaussians,
    weighted_moments,
)
from uq.proposals.heavier_fits import expectation_maximization, fit_gaussian_mixture, fit_student_t
from uq.proposals.shells import Shells
from uq.proposals.spiked_fits import fit_spiked_gaussian, fit_spiked_mixture

__all__ = [
    "Covariance",
    "Density",
    "Gaussian",
    "Mixture",
    "Shells",
    "StudentT",
    "TooFewWeighted",
    "expectation_maximization",
    "fit_gaussian",
    "fit_gaussian_mixture",
    "fit_gaussians",
    "fit_spiked_gaussian",
    "fit_spiked_mixture",
    "fit_student_t",
    "log_densities",
    "log_sum_exp",
    "weighted_moments",
]
