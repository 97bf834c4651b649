"""The trials of an earlier study as results of another one: points, and what came of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bayesopt.evaluation import Evaluation
from bayesopt.settings import Settings
from bayesopt.space import Params
from bayesopt.trial import Trial


def results_for(
    settings: Settings, earlier: Settings, trials: Sequence[Trial], values: Mapping[str, Any]
) -> tuple[list[Params], list[Evaluation | str]]:
    """Points of a study at which an earlier one has results, and these: an evaluation or a reason.

    Parameters
    ----------
    settings
        The study.
    earlier, trials
        The earlier one. Trials that are running are left out.
    values
        Values of the parameters that the earlier one had not.

    Raises
    ------
    ValueError, TypeError
        If the parameters or the directions of both do not go together, or a point is not in the
        space.
    """
    space = settings.space
    _check_names(settings, earlier, values)
    if earlier.direction != settings.direction:
        raise ValueError(
            f"The earlier study has direction={earlier.direction!r}, this one "
            f"{settings.direction!r}: its values mean something else. Turn them round and give "
            "them to `add` if they do not."
        )
    points: list[Params] = []
    results: list[Evaluation | str] = []
    for trial in trials:
        if trial.evaluation is None and trial.reason is None:
            continue
        try:
            points.append(space.check({**trial.params, **values}))
        except (TypeError, ValueError) as error:
            raise type(error)(f"Trial {trial.number} of the earlier study: {error}") from None
        results.append(_result(trial, keep_gradient=space.role is None))
    return points, results


def _check_names(settings: Settings, earlier: Settings, values: Mapping[str, Any]) -> None:
    space, had = settings.space, earlier.space.names
    twice = [name for name in values if name in had]
    if twice:
        raise ValueError(
            f"The earlier study has {twice} itself: its trials keep their values, leave yours out."
        )
    unknown = [name for name in (*had, *values) if name not in space.names]
    if unknown:
        raise ValueError(
            f"The earlier study, with the values given here, has {unknown}, which is no parameter "
            f"of this study; these are {list(space)}."
        )
    missing = [name for name in space if name not in had and name not in values]
    if missing:
        example = ", ".join(f"{name}=..." for name in missing)
        raise ValueError(
            f"The earlier study has no {missing}: say its value, as in add_study(earlier, "
            f"{example})."
        )
    roles = [space.names[column] for column in space.role_columns]
    other = [name for name in values if name not in roles]
    if other:
        raise ValueError(
            f"A value for a whole study is that of a parameter with a role, here {roles}, but got "
            f"{other}."
        )


def _result(trial: Trial, keep_gradient: bool) -> Evaluation | str:
    if trial.evaluation is None:
        return str(trial.reason)
    if keep_gradient:
        return trial.evaluation
    return replace(trial.evaluation, gradient=None, gradient_sd=None)
