"""Acquisition functions: a botorch Model in, a value for every candidate out. One file an idea.

Every acquisition maps (*batch, q, d) in the unit cube to (*batch,), is maximised, and is
differentiable. It sees a model only through botorch's ``posterior`` and
``condition_on_observations``. Where a model also offers closed forms (``marginals``,
``marginals_with_gradients``, ``beside`` with ``moments_with_pull_back``), they are
used for speed; every acquisition works, and gives the same, without them.
"""
