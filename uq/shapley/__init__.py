"""Shapley effects of inputs that may be dependent, by permutation chains."""
