"""Trials as a table: the names of its columns, and a data frame of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bayesopt.gradient import gradient_columns
from bayesopt.parameter import Categorical, Float, Parameter
from bayesopt.space import Space
from bayesopt.trial import Trial

_OURS = (
    *("number", "state", "value", "sd", "cost"),
    *("origin", "attempt", "reason", "started", "ended", "seconds"),
)
SLOPES = ("gradient", "gradient_sd")
"""Kinds of columns with the name of a parameter after a dot."""

OUTCOMES = ("constraint", "constraint_sd")
"""Kinds of columns with the name of a constraint after a dot."""

_INT64 = 2**63


@dataclass(frozen=True)
class Columns:
    """What the columns of the trials of a study are called.

    Parameters
    ----------
    space
        Its parameters.
    n_values
        Number of objectives.
    constraints
        Names of its outcome constraints.
    """

    space: Space
    n_values: int = 1
    constraints: Sequence[str] = ()

    def of_objectives(self, name: str) -> list[str]:
        """One for each objective: the name itself, or name_0, name_1 and so on."""
        return [name] if self.n_values == 1 else [f"{name}_{i}" for i in range(self.n_values)]

    @property
    def params(self) -> dict[str, str]:
        """The column of every parameter: its name, behind "params." where that is another's."""
        ours = {*_OURS, *self.of_objectives("value"), *self.of_objectives("sd")}
        ours |= {f"{kind}.{name}" for kind in SLOPES for name in self.space}
        ours |= {f"{kind}.{name}" for kind in OUTCOMES for name in self.constraints}
        columns: dict[str, str] = {}
        for name in self.space:
            column = name
            while column in ours or (column != name and column in self.space.parameters):
                column = f"params.{column}"
            columns[name] = column
        return columns


def to_dataframe(
    trials: Sequence[Trial], space: Space, n_values: int = 1, constraints: Sequence[str] = ()
) -> Any:
    """A pandas data frame with one row for each trial (pandas is imported on use).

    The index is the number of the trial; `value` and `sd` are NaN and `reason` is None where there
    is none. A parameter with the name of another column gets "params." before its own. Where there
    are partial derivatives, they are in columns "gradient." and the name of the parameter, their
    standard errors in "gradient_sd." and the name; costs that were told are in `cost`. Several
    objectives (`n_values` of them) are in "value_0", "sd_0", "value_1" and so on, the values of
    outcome constraints (of the names `constraints`) in "constraint." and the name, their standard
    errors, if any, in "constraint_sd." and the name.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "A data frame needs pandas: pip install 'bayesopt-uq[dataframe]'."
        ) from error

    def times(values: list[float | None]) -> Any:
        seconds = pandas.Series(values, index=index, dtype="float64")
        return pandas.to_datetime(seconds, unit="s", utc=True).astype("datetime64[ns, UTC]")

    index = pandas.Index([trial.number for trial in trials], dtype="int64", name="number")
    started = [trial.started for trial in trials]
    ended = [trial.ended for trial in trials]
    named = Columns(space, n_values, constraints)
    columns: dict[str, tuple[list[Any], str]] = {
        "state": ([trial.state.value for trial in trials], "object")
    }
    columns |= {c: (column, "float64") for c, column in _outcomes(trials, named).items()}
    for name, column in named.params.items():
        columns[column] = ([trial.params[name] for trial in trials], _dtype(space[name]))
    columns |= {c: (column, "float64") for c, column in _slopes(trials, space).items()}
    columns["origin"] = ([trial.origin for trial in trials], "object")
    columns["attempt"] = ([trial.attempt for trial in trials], "int64")
    columns["reason"] = ([trial.reason for trial in trials], "object")
    frame = {
        name: pandas.Series(values, index=index, dtype=dtype)
        for name, (values, dtype) in columns.items()
    }
    frame["started"], frame["ended"] = times(started), times(ended)
    seconds = [
        None if a is None or b is None else b - a for a, b in zip(started, ended, strict=True)
    ]
    frame["seconds"] = pandas.Series(seconds, index=index, dtype="float64")
    return pandas.DataFrame(frame, index=index)


def _outcomes(trials: Sequence[Trial], named: Columns) -> dict[str, list[float | None]]:
    """Columns of values, of constraints, of their standard errors and of costs."""
    columns: dict[str, list[float | None]] = {}
    evaluations = [trial.evaluation for trial in trials]
    both = zip(named.of_objectives("value"), named.of_objectives("sd"), strict=True)
    for i, (value, sd) in enumerate(both):
        columns[value] = [None if e is None else e.values[i] for e in evaluations]
        columns[sd] = [None if e is None else e.sds[i] for e in evaluations]
    for name in named.constraints:
        for kind, attribute in zip(OUTCOMES, ("constraints", "constraint_sd"), strict=True):
            of_trials = [getattr(e, attribute, None) or {} for e in evaluations]
            if kind == "constraint" or any(name in given for given in of_trials):
                columns[f"{kind}.{name}"] = [given.get(name) for given in of_trials]
    costs = [None if e is None else e.cost for e in evaluations]
    if any(cost is not None for cost in costs):
        columns["cost"] = costs
    return columns


def _slopes(trials: Sequence[Trial], space: Space) -> dict[str, list[float | None]]:
    """Columns of partial derivatives and of their standard errors that hold anything."""
    columns: dict[str, list[float | None]] = {}
    for kind in SLOPES:
        of_trials = [getattr(trial.evaluation, kind, None) or {} for trial in trials]
        for name in gradient_columns(space):
            if any(name in given for given in of_trials):
                columns[f"{kind}.{name}"] = [given.get(name) for given in of_trials]
    return columns


def _dtype(parameter: Parameter) -> str:
    if not isinstance(parameter, Categorical):
        return "float64" if isinstance(parameter, Float) else "int64"
    kinds = {type(choice) for choice in parameter.choices}
    if kinds == {int} and all(-_INT64 <= int(c or 0) < _INT64 for c in parameter.choices):
        return "int64"
    if kinds in ({bool}, {float}):
        return "bool" if kinds == {bool} else "float64"
    return "object"
