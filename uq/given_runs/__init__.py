"""Sobol' indices from runs that exist already."""
