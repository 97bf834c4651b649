"""Cheap models of the model. The Gaussian process, which loads torch, is imported where needed."""

from uq.surrogates.polynomial_chaos import Chaos, CrossFit, check_size, offered_sizes

__all__ = ["Chaos", "CrossFit", "check_size", "offered_sizes"]
