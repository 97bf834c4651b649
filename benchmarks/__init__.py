"""Side-by-side benchmarks with peers, on public problems only: ``python -m benchmarks --help``."""
