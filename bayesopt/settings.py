"""What a study is besides its trials: to and from plain data, and what differs between two."""

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args

from bayesopt.arguments import checked_noise, checked_seed, whole_number
from bayesopt.data import Direction, Noise
from bayesopt.parameter import Categorical, Parameter
from bayesopt.plain_data import NewerVersion, check_entries, decode, encode, functions_in, plain
from bayesopt.policy import Policy
from bayesopt.space import Space

FORMAT = 1

_MAIN = ("__main__", "__mp_main__")  # the same script as its own process and as a worker names it
_SHORT = reprlib.Repr()
_SHORT.maxlist, _SHORT.maxstring, _SHORT.maxother = 12, 200, 200


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a study is besides its trials.

    Parameters
    ----------
    space
        The parameters.
    direction
        "minimize" or "maximize".
    noise
        "auto", False or a standard deviation.
    constraints
        As users write them (see `bayesopt.constraints`): one, or a list of them.
    policy
        How points are chosen.
    n_initial
        Number of space-filling points.
    seed
        What makes everything repeatable.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it has to be. Whether constraints fit the space is not looked at.
    """

    space: Space
    direction: Direction = "minimize"
    noise: Noise = "auto"
    constraints: tuple[Any, ...] = ()
    policy: Policy = field(default_factory=Policy)
    n_initial: int
    seed: int

    def __post_init__(self) -> None:
        if not isinstance(self.space, Space):
            raise TypeError(f"`space` must be a bayesopt.Space, but got {self.space!r}.")
        if self.direction not in get_args(Direction):
            raise ValueError(
                f"`direction` is 'minimize' or 'maximize', but got {self.direction!r}."
            )
        if not isinstance(self.policy, Policy):
            raise TypeError(f"`policy` must be a bayesopt.Policy, but got {self.policy!r}.")
        several = isinstance(self.constraints, Sequence)
        constraints = tuple(self.constraints) if several else (self.constraints,)
        object.__setattr__(self, "constraints", constraints)
        object.__setattr__(self, "noise", checked_noise(self.noise))
        object.__setattr__(self, "n_initial", whole_number(self.n_initial, "n_initial", 1))
        object.__setattr__(self, "seed", checked_seed(self.seed))

    def to_json(self) -> dict[str, Any]:
        """Plain dict for `from_json`; functions are described by their names.

        Raises
        ------
        TypeError
            If something is of a class that is not known here, such as a subclass of Policy.
        """
        return {
            "format": FORMAT,
            "space": plain(self.space.to_json()),
            "direction": self.direction,
            "noise": self.noise,
            "constraints": encode(self.constraints),
            "policy": encode(self.policy),
            "n_initial": self.n_initial,
            "seed": self.seed,
        }

    @classmethod
    def from_json(
        cls,
        described: Mapping[str, Any],
        *,
        constraints: Any = None,
        policy: Policy | None = None,
    ) -> "Settings":
        """Inverse of `to_json`.

        Parameters
        ----------
        described
            What `to_json` gave.
        constraints, policy
            Taken instead of the stored ones; needed where these hold a function.

        Raises
        ------
        ValueError
            If a function is needed, or the description is damaged or of a newer version.
        TypeError
            If `constraints` or `policy` is not what it has to be.
        """
        _check_keys(described)
        _check_functions(described, constraints, policy)
        stored = dict(described)
        del stored["format"]
        try:
            stored["space"] = Space.from_json(described["space"])
            stored["constraints"] = decode(described["constraints"]) if constraints is None else ()
            stored["policy"] = decode(described["policy"]) if policy is None else Policy()
            settings = cls(**stored)
        except NewerVersion:
            raise
        except Exception as error:  # whatever a damaged description leads to
            raise ValueError(
                "The stored settings of this study are damaged, or of a newer version of "
                f"bayesopt: {type(error).__name__}: {error}"
            ) from error
        if constraints is not None:
            settings = replace(settings, constraints=constraints)
        return settings if policy is None else replace(settings, policy=policy)


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
    _check_keys(stored)
    other = given.to_json()
    try:
        was = Space.from_json(stored["space"])
    except Exception as error:  # whatever a damaged description leads to
        raise ValueError(f"The stored space of this study cannot be read: {error}") from error
    lines = _between_spaces(was, Space.from_json(other["space"]))
    for name in other:
        if name not in ("format", "space"):
            lines += _between(name, stored[name], other[name])
    return lines


def _check_keys(described: Mapping[str, Any]) -> None:
    """Raise ValueError unless there is one entry for each part of the settings."""
    if not isinstance(described, Mapping):
        raise ValueError(f"Settings of a study are a dict, but got {_SHORT.repr(described)}.")
    version = described.get("format")
    if type(version) is not int or version < 1:
        raise ValueError(f"These are no settings of a study: their format is {version!r}.")
    if version > FORMAT:
        raise NewerVersion(f"its format is {version}, and this version reads {FORMAT}")
    check_entries("the settings", described, {"format", *(f.name for f in fields(Settings))})


def _check_functions(described: Mapping[str, Any], constraints: Any, policy: Any) -> None:
    """Raise ValueError where a function was stored, and its argument is not given again."""
    missing = [
        f"`{name}=` (with {', '.join(names)})"
        for name, given in (("constraints", constraints), ("policy", policy))
        if given is None and (names := functions_in(described[name]))
    ]
    if missing:
        raise ValueError(
            "This study was made with functions of your own, which cannot be stored; "
            f"pass {' and '.join(missing)} again."
        )


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
    if isinstance(parameter, Categorical):
        return f"Categorical({list(parameter.choices)!r})"
    log = ", log=True" if parameter.log else ""
    return f"{type(parameter).__name__}({parameter.low!r}, {parameter.high!r}{log})"


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
    if isinstance(described, list) and any(isinstance(part, Mapping) for part in described):
        return f"[{', '.join(map(_spoken, described))}]"
    return _SHORT.repr(described)
