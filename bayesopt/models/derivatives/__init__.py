"""Gaussian processes on values and partial derivatives together, and their fits."""
