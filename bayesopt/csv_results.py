"""Earlier results from a CSV file, with the columns that a table of trials has."""

import csv
import io
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bayesopt.evaluation import Evaluation, NotFinite
from bayesopt.gradient import gradient_columns
from bayesopt.parameter import Categorical, Choice, Parameter
from bayesopt.space import Params, Space
from bayesopt.trial import TrialState
from bayesopt.trial_table import OUTCOMES, SLOPES, Columns

_DELIMITERS = (",", ";", "\t")
_NOTHING = ("", "nan", "na", "null", "none")  # cells that hold no value, in small letters


def read_csv(
    path: str | os.PathLike[str],
    space: Space,
    value: str = "value",
    sd: str | None = "sd",
    *,
    n_values: int = 1,
    constraints: Sequence[str] = (),
) -> list[tuple[Params, Evaluation | str]]:
    """Read earlier results from a CSV file.

    The first row names the columns: one for each parameter (or "params." and its name), one of
    values and perhaps one of standard errors. Others are left aside, but for these: where `state`
    is "failed" a row is a failure, and `reason` says why; where it is "running" it is left out. A
    value that is empty or NaN is a failure too. What an evaluation has cost is read from a column
    "cost", partial derivatives from columns "gradient." and the name of a parameter, their standard
    errors from "gradient_sd." and the name.
    Cells are divided by comma, semicolon or tab; with semicolons numbers may have a decimal comma.
    The encoding is UTF-8.

    Parameters
    ----------
    path
        The file.
    space
        Its parameters say how cells are read.
    value, sd
        Columns of values and of their standard errors; of several objectives, what they begin
        with: "value_0", "value_1" and so on. A column "sd" may be missing.
    n_values
        Number of objectives.
    constraints
        Names of outcome constraints. Their values are in columns "constraint." and the name, their
        standard errors may be in "constraint_sd." and the name. Where a value is missing, the row
        is a failure.

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
    columns = Columns(space, n_values, constraints)
    found = {
        mark: _Layout.of(_header(text, mark), columns, value, sd, name) for mark in _DELIMITERS
    }
    mark = min(found, key=lambda mark: (len(found[mark].missing), -len(found[mark].header)))
    layout = found[mark]
    if layout.missing:
        raise ValueError(
            f"{name!r}, line 1: no column {' and none '.join(map(repr, layout.missing))} among "
            f"{layout.header}. A first row must name the parameters {list(space)} and "
            f"{', '.join(map(repr, layout.outcomes_needed))}."
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
    values, sds
        Columns of the values and of their standard errors; None where there is none.
    cost, state, reason
        Columns of these; None where there is none.
    constraints
        Columns of values of constraints and of their standard errors, by names.
    slopes
        Columns of partial derivatives and of their standard errors, by parameters.
    missing
        Names of columns that are needed and not there.
    outcomes_needed
        Names of the columns that are needed besides the parameters.
    """

    name: str
    header: list[str]
    params: dict[str, int]
    values: list[int | None]
    sds: list[int | None]
    cost: int | None
    state: int | None
    reason: int | None
    constraints: dict[str, dict[str, int]]
    slopes: dict[str, dict[str, int]]
    missing: list[str]
    outcomes_needed: list[str]

    @classmethod
    def of(
        cls, header: list[str], columns: Columns, value: str, sd: str | None, name: str
    ) -> "_Layout":
        """Find the columns."""

        def find(column: str, taken: Sequence[int | None] = ()) -> int | None:
            exact = [at for at, cell in enumerate(header) if cell == column]
            places = exact or [at for at, cell in enumerate(header) if cell.strip() == column]
            if len(places) > 1:
                raise ValueError(f"{name!r}, line 1: the column {column!r} stands twice.")
            return places[0] if places and places[0] not in taken else None

        def by_name(kind: str, names: Sequence[str], taken: Sequence[int | None]) -> dict[str, int]:
            places = {each: find(f"{kind}.{each}", taken) for each in names}
            return {each: at for each, at in places.items() if at is not None}

        needed = columns.of_objectives(value)
        values = [find(column) for column in needed]
        sd_names = [] if sd is None else columns.of_objectives(sd)
        sds = [find(column) for column in sd_names] or [None] * len(values)
        outcomes = {kind: by_name(kind, columns.constraints, ()) for kind in OUTCOMES}
        missing = [column for column, at in zip(needed, values, strict=True) if at is None]
        if sd not in (None, "sd"):
            missing += [column for column, at in zip(sd_names, sds, strict=True) if at is None]
        of_constraints = [f"constraint.{each}" for each in columns.constraints]
        missing += [column for column in of_constraints if find(column) is None]
        ends = [*values, *sds, *(at for places in outcomes.values() for at in places.values())]
        params: dict[str, int] = {}
        for parameter, column in columns.params.items():
            at = find(column, ends)
            at = find(parameter, ends) if at is None else at
            if at is None:
                missing.append(parameter if find(parameter) is None else column)
            else:
                params[parameter] = at
        taken = (*ends, *params.values())
        said = (find("cost", taken), find("state", taken), find("reason", taken))
        real = gradient_columns(columns.space) if columns.n_values == 1 else []
        slopes = {kind: by_name(kind, real, taken) for kind in SLOPES}
        needed += of_constraints
        return cls(name, header, params, values, sds, *said, outcomes, slopes, missing, needed)

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

    def by_name(places: Mapping[str, int]) -> dict[str, float]:
        return {name: x for name, at in places.items() if (x := number(at)) is not None}

    reason = "" if layout.reason is None else cells[layout.reason]
    values, sds = [number(at) for at in layout.values], [number(at) for at in layout.sds]
    constraints, constraint_sd = (by_name(layout.constraints[kind]) for kind in OUTCOMES)
    if failed:
        return reason or "It failed, and no reason was given."
    if None in values:
        return reason or "No value was given."
    for name in layout.constraints["constraint"]:
        if name not in constraints:
            return reason or f"No value of the constraint {name!r} was given."
    gradient, errors = (by_name(layout.slopes[kind]) for kind in SLOPES)
    gradient = {name: x for name, x in gradient.items() if math.isfinite(x)}
    errors = {name: x for name, x in errors.items() if name in gradient}
    at_errors = [
        *((layout.slopes["gradient_sd"][name], x) for name, x in errors.items()),
        *((layout.constraints["constraint_sd"][name], x) for name, x in constraint_sd.items()),
    ]
    for at, x in at_errors:
        if not 0.0 <= x < math.inf:
            why = f"a standard error must be finite and >= 0, but is {x}."
            raise layout.refuse(line, at, why)
    cost = number(layout.cost)
    if cost is not None and not 0.0 < cost < math.inf:
        why = f"a cost must be positive and finite, but is {cost}."
        raise layout.refuse(line, layout.cost, why)
    one = len(values) == 1
    value, sd = (values[0], sds[0]) if one else (values, sds)
    try:
        return Evaluation(
            value,  # type: ignore[arg-type]
            sd,
            gradient or None,
            errors or None,
            constraints or None,
            constraint_sd or None,
            cost,
        )
    except NotFinite as error:
        return reason or str(error)
    except ValueError as error:
        raise layout.refuse(line, layout.sds[0], error) from None


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
