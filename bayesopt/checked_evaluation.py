"""Whether an evaluation fits a study: its values, its constraints, and what models can learn."""

from dataclasses import replace
from typing import cast

from bayesopt.evaluation import Evaluation, check_n_values
from bayesopt.gradient import by_name
from bayesopt.settings import Settings
from bayesopt.space import Space


def checked_evaluation(evaluation: Evaluation, settings: Settings) -> Evaluation:
    """The evaluation as a study keeps it, with partial derivatives by name.

    Raises
    ------
    ValueError
        If it does not fit the study; the text says how to mend it.
    """
    check_n_values(len(evaluation.values), settings.n_values)
    settings.outcome_constraints.check(evaluation)
    named = by_name(evaluation, settings.space)
    if named.gradient:
        settings.check_takes_derivatives()
    return _with_checked_trace(named, settings.space)


def _with_checked_trace(evaluation: Evaluation, space: Space) -> Evaluation:
    if evaluation.trace is None:
        return evaluation
    if space.role != "fidelity":
        raise ValueError(
            "A `trace` has values at other fidelities, but no parameter of this study is one: give "
            "it role='fidelity', or leave the trace out."
        )
    name = space.names[space.role_columns[0]]
    pairs = []
    for fidelity, value in cast(tuple[tuple[float, float], ...], evaluation.trace):
        try:
            pairs.append((float(cast(float, space[name].check(fidelity))), value))
        except (TypeError, ValueError) as error:
            raise ValueError(f"`trace`: parameter {name!r}: {error}") from None
    return replace(evaluation, trace=tuple(pairs))
