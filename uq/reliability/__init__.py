"""Failure probabilities: where a limit state fails, and how probable that is."""
