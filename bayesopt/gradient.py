"""Partial derivatives that evaluations bring: by the names of parameters, and in the unit cube.

Notation
--------
n, d    number of trials, of parameters
v, x    an observed value and its point, in the user's units
u       the same point in the unit cube

    dv/du_j    = dv/dx_j dx_j/du_j
    dx_j/du_j  = high - low, or x_j log(high / low) on the logarithmic scale
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bayesopt.parameter import Array, Float
from bayesopt.space import Space
from bayesopt.trial import Evaluation, Trial


def by_name(evaluation: Evaluation, space: Space) -> Evaluation:
    """The evaluation with its partial derivatives by name; those that are NaN are left out.

    Parameters
    ----------
    evaluation
        Its `gradient` is a dict or an array in the order of the space. In an array there is a
        number for each parameter, NaN where there is no derivative.
    space
        Whose parameters they are.

    Raises
    ------
    ValueError
        If an array has another length than the space, a name is not known, or there is a partial
        derivative in a parameter that is not real.
    """
    if evaluation.gradient is None:
        return evaluation
    gradient = _named(evaluation.gradient, space, "gradient")
    sd = evaluation.gradient_sd
    if isinstance(sd, float):
        sd = dict.fromkeys(gradient, sd)
    known = {} if sd is None else _named(sd, space, "gradient_sd")
    known = {name: known[name] for name in gradient if name in known}
    return replace(evaluation, gradient=gradient or None, gradient_sd=known or None)


def gradient_columns(space: Space) -> list[str]:
    """Names of the parameters that a partial derivative can be in."""
    return [name for name in space if isinstance(space[name], Float)]


def in_unit_cube(space: Space, trials: Sequence[Trial]) -> tuple[Array, Array] | None:
    """Partial derivatives dv/du (n, d) and the standard errors (n, d) that came with them.

    NaN stands for what did not come. None: no trial has a partial derivative.
    """
    if not any(trial.evaluation and trial.evaluation.gradient for trial in trials):
        return None
    partials, sd = np.full((2, len(trials), len(space)), np.nan)
    for row, trial in enumerate(trials):
        evaluation = trial.evaluation
        if evaluation is None or not isinstance(evaluation.gradient, Mapping):
            continue
        errors = evaluation.gradient_sd if isinstance(evaluation.gradient_sd, Mapping) else {}
        for column, name in enumerate(space):
            parameter = space[name]
            if name in evaluation.gradient and isinstance(parameter, Float):
                slope = parameter.slope(trial.params[name])
                partials[row, column] = evaluation.gradient[name] * slope
                sd[row, column] = errors.get(name, np.nan) * slope
    return partials, sd


def _named(given: Any, space: Space, what: str) -> dict[str, float]:
    """Numbers by the names of real parameters, without NaN."""
    if not isinstance(given, Mapping):
        if len(given) != len(space):
            raise ValueError(
                f"`{what}` needs a number for each of the {len(space)} parameters {list(space)}, "
                f"NaN where there is none, but {len(given)} came."
            )
        given = dict(zip(space, given, strict=True))
    unknown = [name for name in given if name not in space.parameters]
    if unknown:
        raise ValueError(f"`{what}` names {unknown}, but the parameters are {list(space)}.")
    present = {name: number for name, number in given.items() if number == number}
    refused = [name for name in present if name not in gradient_columns(space)]
    if refused:
        raise ValueError(
            f"`{what}` has numbers for {_kinds(refused, space)}, but only a Float has a partial "
            "derivative: leave the others out, or give NaN for them."
        )
    return {name: present[name] for name in space if name in present}


def _kinds(names: Iterable[str], space: Space) -> str:
    return ", ".join(f"{name!r} ({type(space[name]).__name__})" for name in names)
