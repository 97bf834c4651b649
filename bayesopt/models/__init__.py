"""Surrogate models: a Dataset in, a botorch Model out. One file a model."""
