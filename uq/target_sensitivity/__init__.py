"""Sobol' indices of tail outputs and rare events, under a density that is learnt."""
