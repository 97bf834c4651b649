"""Trials as a table: to a data frame, and from a CSV file of earlier results."""

import csv
import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bayesopt.gradient import gradient_columns
from bayesopt.parameter import Categorical, Choice, Float, Parameter
from bayesopt.space import Params, Space
from bayesopt.trial import Evaluation, NotFinite, Trial, TrialState

_OURS = (
    *("number", "state", "value", "sd"),
    *("origin", "attempt", "reason", "started", "ended", "seconds"),
)
_SLOPES = ("gradient", "gradient_sd")  # and the name of a parameter after a dot
_DELIMITERS = (",", ";", "\t")
_NOTHING = ("", "nan", "na", "null", "none")  # cells that hold no value, in small letters
_INT64 = 2**63


def to_dataframe(trials: Sequence[Trial], space: Space) -> Any:
    """A pandas data frame with one row for each trial (pandas is imported on use).

    The index is the number of the trial; `value` and `sd` are NaN and `reason` is None where there
    is none. A parameter with the name of another column gets "params." before its own. Where there
    are partial derivatives, they are in columns "gradient." and the name of the parameter, their
    standard errors in "gradient_sd." and the name.

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
    sds = [None if t.evaluation is None else t.evaluation.sd for t in trials]
    columns: dict[str, tuple[list[Any], str]] = {
        "state": ([trial.state.value for trial in trials], "object"),
        "value": ([trial.value for trial in trials], "float64"),
        "sd": (sds, "float64"),
    }
    for name, column in _columns(space).items():
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


def _slopes(trials: Sequence[Trial], space: Space) -> dict[str, list[float | None]]:
    """Columns of partial derivatives and of their standard errors that hold anything."""
    columns: dict[str, list[float | None]] = {}
    for kind in _SLOPES:
        of_trials = [getattr(trial.evaluation, kind, None) or {} for trial in trials]
        for name in gradient_columns(space):
            if any(name in given for given in of_trials):
                columns[f"{kind}.{name}"] = [given.get(name) for given in of_trials]
    return columns


def _columns(space: Space) -> dict[str, str]:
    """The column of every parameter."""
    columns: dict[str, str] = {}
    ours = {*_OURS, *(f"{kind}.{name}" for kind in _SLOPES for name in space)}
    for name in space:
        column = name
        while column in ours or (column != name and column in space.parameters):
            column = f"params.{column}"
        columns[name] = column
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


def read_csv(
    path: str | os.PathLike[str], space: Space, value: str = "value", sd: str | None = "sd"
) -> list[tuple[Params, Evaluation | str]]:
    """Read earlier results from a CSV file.

    The first row names the columns: one for each parameter (or "params." and its name), one of
    values and perhaps one of standard errors. Others are left aside, but for these: where `state`
    is "failed" a row is a failure, and `reason` says why; where it is "running" it is left out. A
    value that is empty or NaN is a failure too. Partial derivatives are read from columns
    "gradient." and the name of a parameter, their standard errors from "gradient_sd." and the name.
    Cells are divided by comma, semicolon or tab; with semicolons numbers may have a decimal comma.
    The encoding is UTF-8.

    Parameters
    ----------
    path
        The file.
    space
        Its parameters say how cells are read.
    value, sd
        Columns of values and of their standard errors. A column "sd" may be missing.

    Returns
    -------
    list of (params, Evaluation or str)
        What was observed at a point, or why nothing was.

    Raises
    ------
    ValueError
        If a column is missing or a cell cannot be read; the text names file, line and column.
    OSError
        If the file cannot be read.
    """
    name = os.fspath(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name!r} is not UTF-8 ({error}); save it as UTF-8.") from error
    found = {mark: _Layout.of(_header(text, mark), space, value, sd, name) for mark in _DELIMITERS}
    mark = min(found, key=lambda mark: (len(found[mark].missing), -len(found[mark].header)))
    layout = found[mark]
    if layout.missing:
        raise ValueError(
            f"{name!r}, line 1: no column {' and none '.join(map(repr, layout.missing))} among "
            f"{layout.header}. A first row must name the parameters {list(space)} and {value!r}."
        )
    rows = _rows(text, mark, name)
    read = (_read(cells, line, layout, space, mark == ";") for line, cells in rows)
    return [result for result in read if result is not None]


@dataclass(frozen=True)
class _Layout:
    """Where in a row everything stands.

    Parameters
    ----------
    name
        Of the file.
    header
        Cells of the first row.
    params
        Columns of the parameters.
    value, sd, state, reason
        Columns of these; None where there is none.
    slopes
        Columns of partial derivatives and of their standard errors, by parameters.
    missing
        Names of columns that are needed and not there.
    """

    name: str
    header: list[str]
    params: dict[str, int]
    value: int | None
    sd: int | None
    state: int | None
    reason: int | None
    slopes: dict[str, dict[str, int]]
    missing: list[str]

    @classmethod
    def of(
        cls, header: list[str], space: Space, value: str, sd: str | None, name: str
    ) -> "_Layout":
        """Find the columns."""

        def find(column: str, taken: Sequence[int | None] = ()) -> int | None:
            exact = [at for at, cell in enumerate(header) if cell == column]
            places = exact or [at for at, cell in enumerate(header) if cell.strip() == column]
            if len(places) > 1:
                raise ValueError(f"{name!r}, line 1: the column {column!r} stands twice.")
            return places[0] if places and places[0] not in taken else None

        ends = (find(value), None if sd is None else find(sd))
        params: dict[str, int] = {}
        missing = [value] if ends[0] is None else []
        if ends[1] is None and sd not in (None, "sd"):
            missing.append(str(sd))
        for parameter, column in _columns(space).items():
            at = find(column, ends)
            at = find(parameter, ends) if at is None else at
            if at is None:
                missing.append(parameter if find(parameter) is None else column)
            else:
                params[parameter] = at
        taken = (*ends, *params.values())
        said = (find("state", taken), find("reason", taken))
        slopes = {
            kind: {
                parameter: at
                for parameter in gradient_columns(space)
                if (at := find(f"{kind}.{parameter}", taken)) is not None
            }
            for kind in _SLOPES
        }
        return cls(name, header, params, *ends, *said, slopes, missing)

    def refuse(self, line: int, column: int | None, why: object) -> ValueError:
        """The error of a cell."""
        where = "" if column is None else f", column {self.header[column].strip()!r}"
        return ValueError(f"{self.name!r}, line {line}{where}: {why}")


def _header(text: str, mark: str) -> list[str]:
    """The first row under a delimiter that may be the wrong one."""
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=mark), [])
    except csv.Error:
        return []


def _rows(text: str, mark: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Rows below the header that are not blank, with the lines that they begin on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"{name!r}, line {line}: {error}.") from error
        if line > 1 and any(cell.strip() for cell in cells):
            yield line, cells


def _read(
    cells: list[str], line: int, layout: _Layout, space: Space, comma: bool
) -> tuple[Params, Evaluation | str] | None:
    """One row; None where the trial was running. With `comma` numbers may have a decimal comma."""
    n = len(layout.header)
    if len(cells) < n or any(cell.strip() for cell in cells[n:]):
        why = f"{len(cells)} cells, but the first row has {n}; a cell with a comma needs quotes."
        raise layout.refuse(line, None, why)
    state = "" if layout.state is None else cells[layout.state].strip().lower()
    if state == TrialState.RUNNING.value:
        return None
    params: Params = {}
    for name, at in layout.params.items():
        try:
            params[name] = _value_of(space[name], cells[at], comma)
        except (TypeError, ValueError) as error:
            raise layout.refuse(line, at, error) from None
    return params, _outcome(cells, line, layout, comma, state == TrialState.FAILED.value)


def _outcome(
    cells: list[str], line: int, layout: _Layout, comma: bool, failed: bool
) -> Evaluation | str:
    def number(at: int | None) -> float | None:
        if at is None or cells[at].strip().lower() in _NOTHING:
            return None
        try:
            return _number(cells[at], comma)
        except ValueError as error:
            raise layout.refuse(line, at, error) from None

    reason = "" if layout.reason is None else cells[layout.reason]
    value, sd = number(layout.value), number(layout.sd)
    if failed:
        return reason or "It failed, and no reason was given."
    if value is None:
        return reason or "No value was given."
    gradient, errors = (
        {name: x for name, at in layout.slopes[kind].items() if (x := number(at)) is not None}
        for kind in _SLOPES
    )
    gradient = {name: x for name, x in gradient.items() if math.isfinite(x)}
    errors = {name: x for name, x in errors.items() if name in gradient}
    for name, x in errors.items():
        if not 0.0 <= x < math.inf:
            why = f"a standard error must be finite and >= 0, but is {x}."
            raise layout.refuse(line, layout.slopes["gradient_sd"][name], why)
    try:
        return Evaluation(value, sd, gradient or None, errors or None)
    except NotFinite as error:
        return reason or str(error)
    except ValueError as error:
        raise layout.refuse(line, layout.sd, error) from None


def _value_of(parameter: Parameter, cell: str, comma: bool) -> Choice:
    """The value of a parameter that a cell stands for; raises TypeError or ValueError."""
    if isinstance(parameter, Categorical):
        return _choice_of(parameter.choices, cell, comma)
    return parameter.check(_number(cell, comma))


def _choice_of(choices: Sequence[Choice], cell: str, comma: bool) -> Choice:
    """The choice whose text is nearest to a cell: exact before spaces, capitals and numbers."""
    bare = cell.strip()
    tests: tuple[Callable[[Choice], bool], ...] = (
        lambda choice: cell == str(choice) or (choice is None and cell == ""),
        lambda choice: bare == str(choice) or (choice is None and bare == ""),
        lambda choice: isinstance(choice, bool | None) and bare.lower() == str(choice).lower(),
        lambda choice: isinstance(choice, int | float) and choice == _number(bare, comma),
    )
    for test in tests[: 4 if _is_number(bare, comma) else 3]:
        alike = [choice for choice in choices if test(choice)]
        if len(alike) > 1:
            raise ValueError(f"{cell!r} may be any of {alike}; give them names that differ.")
        if alike:
            return alike[0]
    raise ValueError(f"{cell!r} is not one of {list(choices)}.")


def _number(cell: str, comma: bool) -> float:
    text = cell.strip()
    if comma and "." not in text:
        text = text.replace(",", ".")
    if not text:
        raise ValueError("it is empty, but a number is needed.")
    try:
        if "_" in text:  # Python would read 1_000
            raise ValueError
        return float(text)
    except ValueError:
        hint = "; a decimal comma needs semicolons between cells" if "," in text else ""
        raise ValueError(f"{cell!r} is no number{hint}.") from None


def _is_number(cell: str, comma: bool) -> bool:
    try:
        _number(cell, comma)
    except ValueError:
        return False
    return True
