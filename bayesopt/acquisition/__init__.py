"""Acquisition functions: a botorch Model in, a value for every candidate out. One file an idea.

Every acquisition maps (*batch, q, d) in the unit cube to (*batch,), is maximised, and is
differentiable. It sees a model only through ``model.posterior(X)``.
"""
