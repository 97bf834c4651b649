"""Policies and constraints to and from plain data, as JSON has it.

Known classes are written with their names and read back from a table of the same names; nothing
is ever imported or run for a name that a file holds. A function is written as its name alone, and
is not read back.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import numpy as np
from scipy.optimize import LinearConstraint, NonlinearConstraint

from bayesopt.constraints import Simplex
from bayesopt.models.gaussian_process import GaussianProcess, Priors
from bayesopt.models.prior import LogNormal, Normal, TruncatedNormal, Uniform
from bayesopt.optimize import Effort
from bayesopt.policy import Policy, Search
from bayesopt.user_function import name_of

_DATACLASSES: dict[str, Any] = {
    known.__name__: known
    for known in (
        *(Policy, Search, Effort, GaussianProcess, Priors),
        *(LogNormal, Normal, TruncatedNormal, Uniform),
    )
}


class NewerVersion(ValueError):
    """The stored settings hold what this version does not know."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"This study was written by a newer version of bayesopt: {what}. Install that version."
        )


def functions_in(described: Any) -> list[str]:
    """Names of the functions that were written."""
    if isinstance(described, Mapping):
        if "callable" in described:
            return [str(described["callable"])]
        described = list(described.values())
    if not isinstance(described, list):
        return []
    return [name for part in described for name in functions_in(part)]


def encode(value: Any) -> Any:
    """Plain data of a policy, a sequence of constraints, or a part of them.

    Raises
    ------
    TypeError
        If something is of a class that is not known here, such as a subclass of Policy.
    """
    kind = type(value)
    if kind in _DATACLASSES.values():
        values = {f.name: encode(getattr(value, f.name)) for f in fields(value)}
        return {"kind": kind.__name__, **values}
    if kind in _WRITERS:
        return {"kind": kind.__name__, **_WRITERS[kind](value)}
    if callable(value):
        return {"callable": name_of(value)}
    return plain(value)


def plain(value: Any) -> Any:
    """Lists, dicts and scalars of Python alone; raises TypeError for anything else."""
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [encode(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    exact: dict[type, Any] = {int: int.__int__, float: float.__float__, str: str.__str__}
    for kind, convert in exact.items():
        if isinstance(value, kind):  # members of an Enum become what they stand for
            return convert(value)
    raise TypeError(
        f"{value!r} cannot be stored with a study: {type(value).__name__} is not one of "
        f"{[*_DATACLASSES, *_READERS]}, a number, a string or a function."
    )


def decode(described: Any) -> Any:
    """Inverse of `encode`, for what holds no function.

    Raises
    ------
    NewerVersion
        If a class or one of its fields is not known here.
    TypeError, ValueError, KeyError
        If it is damaged.
    """
    if isinstance(described, list):
        return [decode(part) for part in described]
    if not isinstance(described, Mapping):
        return described
    values = {name: decode(value) for name, value in described.items() if name != "kind"}
    name = described.get("kind")
    if name in _READERS:
        return _READERS[name](values)
    if name not in _DATACLASSES:
        raise NewerVersion(f"the settings hold {name!r}")
    check_entries(f"the settings of {name}", values, {f.name for f in fields(_DATACLASSES[name])})
    return _DATACLASSES[name](**values)


def with_defaults(described: Any) -> Any:
    """What an older version wrote, with the fields that its classes had not yet."""
    if isinstance(described, list):
        return [with_defaults(part) for part in described]
    if not isinstance(described, Mapping):
        return described
    filled = {name: with_defaults(value) for name, value in described.items()}
    known = _DATACLASSES.get(filled["kind"]) if isinstance(filled.get("kind"), str) else None
    for field in () if known is None else fields(known):
        if field.name not in filled and field.default is not MISSING:
            filled[field.name] = encode(field.default)
        elif field.name not in filled and field.default_factory is not MISSING:
            filled[field.name] = encode(field.default_factory())
    return filled


def _write_linear(constraint: LinearConstraint) -> dict[str, Any]:
    A = constraint.A.toarray() if hasattr(constraint.A, "toarray") else constraint.A
    return {"A": np.atleast_2d(A).astype(float).tolist(), **_write_bounds(constraint)}


def _write_nonlinear(constraint: NonlinearConstraint) -> dict[str, Any]:
    jac = encode(constraint.jac) if callable(constraint.jac) else None  # names are not looked at
    return {"fun": encode(constraint.fun), "jac": jac, **_write_bounds(constraint)}


def _write_bounds(constraint: Any) -> dict[str, Any]:
    return {end: np.ravel(getattr(constraint, end)).astype(float).tolist() for end in ("lb", "ub")}


_WRITERS: dict[type, Any] = {
    LinearConstraint: _write_linear,
    NonlinearConstraint: _write_nonlinear,
    Simplex: lambda simplex: {"names": list(simplex.names), "total": simplex.total},
}
_READERS: dict[str, Any] = {
    "LinearConstraint": lambda values: LinearConstraint(**values),
    "Simplex": lambda values: Simplex(*values["names"], total=values["total"]),
}


def check_entries(what: str, described: Mapping[str, Any], known: set[str]) -> None:
    """Raise NewerVersion or ValueError unless exactly the known entries are there."""
    if unknown := described.keys() - known:
        raise NewerVersion(f"{what} have {sorted(unknown)}")
    if missing := known - described.keys():
        raise ValueError(f"The stored settings are damaged: {what} lack {sorted(missing)}.")
