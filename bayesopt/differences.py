"""What differs between a stored study and the settings that are given for it, in words."""

import reprlib
from collections.abc import Mapping
from typing import Any

from bayesopt.parameter import Categorical, Float, Int, Parameter
from bayesopt.settings import Settings, checked_description, environment_of
from bayesopt.space import Space

_MAIN = ("__main__", "__mp_main__")  # the same script as its own process and as a worker names it
_SHORT = reprlib.Repr()
_SHORT.maxlist, _SHORT.maxstring, _SHORT.maxother = 12, 200, 200


def differences(stored: Mapping[str, Any], given: Settings) -> list[str]:
    """What differs between a study and other settings for it, in words.

    Parameters
    ----------
    stored
        What `Settings.to_json` gave. Numbers are compared exactly, functions by their names.
    given
        The other settings.

    Returns
    -------
    list of str
        One line for each difference; empty when there is none.

    Raises
    ------
    ValueError
        If `stored` is damaged or of a newer version.
    """
    stored = checked_description(stored)
    other = given.to_json()
    try:
        was = Space.from_json(stored["space"])
    except Exception as error:  # whatever a damaged description leads to
        raise ValueError(f"The stored space of this study cannot be read: {error}") from error
    lines = _between_spaces(was, Space.from_json(other["space"]))
    for name in other:
        if name == "outcome_constraints":
            lines += _between_outcome_constraints(stored[name], other[name])
        elif name == "environment":
            lines += _between_environments(stored[name], other[name])
        elif name not in ("format", "space"):
            lines += _between(name, stored[name], other[name])
    return lines


def _between_spaces(was: Space, now: Space) -> list[str]:
    lines = [f"space: parameter {name!r} is gone" for name in was if name not in now.parameters]
    for name in now:
        if name not in was.parameters:
            lines.append(f"space: parameter {name!r} is new")
        elif _spoken_parameter(was[name]) != _spoken_parameter(now[name]):
            old, new = _spoken_parameter(was[name]), _spoken_parameter(now[name])
            lines.append(f"space: parameter {name!r} was {old}, now {new}")
    if not lines and was.names != now.names:
        lines.append(f"space: the order was {list(was.names)}, now {list(now.names)}")
    if was.takes_vector != now.takes_vector:
        calls = {True: "one vector, from plain bounds", False: "keywords, from a Space"}
        lines.append(
            f"space: functions took {calls[was.takes_vector]}, now {calls[now.takes_vector]}"
        )
    return lines


def _spoken_parameter(parameter: Parameter) -> str:
    said = []
    if isinstance(parameter, Categorical):
        said.append(repr(list(parameter.choices)))
    elif isinstance(parameter, Float | Int):
        said += [repr(parameter.low), repr(parameter.high)]
        said += ["log=True"] * parameter.log
    if parameter.role is not None:
        said.append(f"role={parameter.role!r}")
    if parameter.target is not None:
        said.append(f"target={parameter.target!r}")
    return f"{type(parameter).__name__}({', '.join(said)})"


def _between_outcome_constraints(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    what = "outcome_constraints:"
    lines = [f"{what} {name!r} is gone" for name in was if name not in now]
    lines += [f"{what} {name!r} is new" for name in now if name not in was]
    return lines + [
        f"{what} {name!r} was {tuple(was[name])}, now {tuple(now[name])}"
        for name in now
        if name in was and list(was[name]) != now[name]
    ]


def _between_environments(was: Any, now: Any) -> list[str]:
    if was == now:
        return []
    try:
        return [f"environment: was {environment_of(was)}, now {environment_of(now)}"]
    except Exception as error:  # whatever a damaged description leads to
        raise ValueError(f"The stored environment of this study cannot be read: {error}") from error


def _between(what: str, was: Any, now: Any) -> list[str]:
    """Lines for what differs between two encoded values."""
    if isinstance(was, Mapping) and isinstance(now, Mapping) and was.keys() == now.keys():
        if "callable" in was and _same_function(str(was["callable"]), str(now["callable"])):
            return []
        if "kind" in was and was["kind"] == now["kind"]:
            return [
                line for name in now for line in _between(f"{what}.{name}", was[name], now[name])
            ]
    if what == "constraints" and isinstance(was, list) and len(was) == len(now):
        pairs = enumerate(zip(was, now, strict=True))
        return [line for i, pair in pairs for line in _between(f"{what}[{i}]", *pair)]
    if isinstance(was, bool) == isinstance(now, bool) and was == now:
        return []
    return [f"{what}: was {_spoken(was)}, now {_spoken(now)}"]


def _same_function(was: str, now: str) -> bool:
    """A script has another name where it is the main one than where it is imported."""
    for one, other in ((was, now), (now, was)):
        module, _, name = one.partition(".")
        if module in _MAIN and other.endswith(f".{name}"):
            return True
    return was == now


def _spoken(described: Any) -> str:
    if isinstance(described, Mapping) and "callable" in described:
        return str(described["callable"])
    if isinstance(described, Mapping) and "kind" in described:
        values = [f"{k}={_spoken(v)}" for k, v in described.items() if k != "kind"]
        return f"{described['kind']}({', '.join(values)})"
    if isinstance(described, Mapping) and "by_value" in described:
        return _SHORT.repr(dict(described["by_value"]))
    if isinstance(described, list) and any(isinstance(part, Mapping) for part in described):
        return f"[{', '.join(map(_spoken, described))}]"
    return _SHORT.repr(described)
