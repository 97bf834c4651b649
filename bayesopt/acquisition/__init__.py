"""Acquisition functions: a botorch Model in, a value for every candidate out. One file an idea.

Every acquisition maps (*batch, q, d) in the unit cube to (*batch,), is maximised, and is
differentiable. It sees a model only through botorch's ``posterior`` and
``condition_on_observations``. Where a model also offers closed forms (``marginals``,
``marginals_with_gradients``, ``beside`` with ``marginals_and_covariances`` and
``moments_with_pull_back``), they are used for speed; every acquisition works without them, and
gives the same, but for two things: what is sampled of the maximum then lies among fixed points
(`optimal_samples`), and the knowledge gradients that count on slopes need a process that has
slopes (``moments_with_next``).

A module that users may name has ``build(model, data, X_pending) -> AcquisitionFunction``. Those
that look for other points than the candidate also take ``region=``, where these may lie. `pending`
says what is made of points that are being evaluated. `sampled_improvement` and
`hypervolume_improvement` take all outcomes instead, each with its data, constraints with their
intervals. `with_probability` multiplies any acquisition by probabilities.
"""
