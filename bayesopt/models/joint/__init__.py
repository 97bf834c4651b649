"""One process for f at all values of the role columns, and for the target that is sought."""
