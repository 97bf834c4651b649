"""A first look by gradients (FORM): where the limit state fails nearest to the origin.

Notation
--------
z, x        points in standard normal space, and of the inputs
beta        distance of a design point; a density N(z, I) around it is looked at first
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import real_numbers
from uq.model_runs import ModelRuns
from uq.proposals import Gaussian
from uq.reliability.asked import Asked
from uq.reliability.design_points import design_points
from uq.reliability.learning_runs import Batch
from uq.reliability.procedure import Procedure

Array = NDArray[np.float64]

_SHARE = 0.1  # of the budget, at most
_MOST = 100  # runs


def look_at_design_points(
    procedure: Procedure,
    asked: Asked,
    runs: ModelRuns,
    gradient: Callable[[Array], ArrayLike],
) -> None:
    """Search, and tell the procedure what was run and where to look first.

    Parameters
    ----------
    procedure
        New; one limit state.
    asked
        Inputs, thresholds, budget.
    runs
        Runs of the limit state, (n, d) to (n, 1).
    gradient
        (n, d) points to (n, d) partial derivatives by the inputs.

    Raises
    ------
    ValueError
        When there are several limit states, or the gradient has another shape.
    """
    inputs, rng = asked.inputs, asked.rng
    most = min(int(_SHARE * asked.budget), _MOST)
    search = design_points(inputs, most, rng=rng)
    z_all, g_all = [], []
    answer = None
    try:
        while True:
            z = next(search) if answer is None else search.send(answer)
            x = inputs.from_normal(z)
            g = runs(x)
            if g.shape[1] != 1:
                raise ValueError(
                    f"`gradient` goes with one limit state, but `limit_state` returned {g.shape[1]}"
                    " outputs: search them one by one, or leave `gradient` out."
                )
            slopes = real_numbers(gradient(x.copy()), "gradient(x)")
            z_all.append(z)
            g_all.append(g)
            answer = g[:, 0] - asked.thresholds[0], slopes
    except StopIteration as stopped:
        found = stopped.value
    eye = np.eye(inputs.dimension)
    procedure.start = [Gaussian(point.z, eye) for point in found if point.beta > 0.0]
    batch = Batch(np.concatenate(z_all), np.concatenate(g_all), None, "design point search")
    procedure.learning.batches.append(batch)
    if not found:
        procedure.notes.append("The search by gradients found no design point.")
