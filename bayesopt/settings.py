"""What a study is besides its trials: to and from plain data, and what differs between two."""

import reprlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast, get_args

from bayesopt.arguments import checked_noise, checked_seed, finite_number, whole_number
from bayesopt.data import Direction, Noise
from bayesopt.outcome_constraints import OutcomeConstraints
from bayesopt.parameter import Categorical, Parameter
from bayesopt.plain_data import (
    NewerVersion,
    check_entries,
    decode,
    encode,
    functions_in,
    plain,
    with_defaults,
)
from bayesopt.policy import Policy
from bayesopt.space import Space

FORMAT = 2
"""2: several objectives, outcome constraints."""

Directions = Direction | tuple[Direction, ...]

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
        "minimize" or "maximize"; for several objectives a list with one for each.
    noise
        "auto", "heteroscedastic", False or a standard deviation.
    constraints
        As users write them (see `bayesopt.constraints`): one, or a list of them.
    outcome_constraints
        Bounds on other outcomes by their names (see `bayesopt.outcome_constraints`).
    reference_point
        A value for each of several objectives: what is worse in one of them counts for nothing in
        the hypervolume. None: chosen from what was observed.
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
    direction: Directions = "minimize"
    noise: Noise = "auto"
    constraints: tuple[Any, ...] = ()
    outcome_constraints: OutcomeConstraints = OutcomeConstraints()
    reference_point: tuple[float, ...] | None = None
    policy: Policy = field(default_factory=Policy)
    n_initial: int
    seed: int

    def __post_init__(self) -> None:
        if not isinstance(self.space, Space):
            raise TypeError(f"`space` must be a bayesopt.Space, but got {self.space!r}.")
        if not isinstance(self.policy, Policy):
            raise TypeError(f"`policy` must be a bayesopt.Policy, but got {self.policy!r}.")
        several = isinstance(self.constraints, Sequence)
        constraints = tuple(self.constraints) if several else (self.constraints,)
        object.__setattr__(self, "constraints", constraints)
        object.__setattr__(self, "direction", checked_direction(self.direction))
        outcome_constraints = OutcomeConstraints.of(self.outcome_constraints)
        object.__setattr__(self, "outcome_constraints", outcome_constraints)
        point = _checked_reference_point(self.reference_point, self.n_values)
        object.__setattr__(self, "reference_point", point)
        self.policy.check_fits(self.n_values, bool(outcome_constraints))
        object.__setattr__(self, "noise", checked_noise(self.noise))
        if self.noise_varies:
            self.policy.check_takes_varying_noise()
        object.__setattr__(self, "n_initial", whole_number(self.n_initial, "n_initial", 1))
        object.__setattr__(self, "seed", checked_seed(self.seed))

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The direction of each objective, also where there is only one."""
        return self.direction if isinstance(self.direction, tuple) else (self.direction,)

    @property
    def n_values(self) -> int:
        """Number of objectives."""
        return len(self.directions)

    @property
    def noise_varies(self) -> bool:
        """Whether the noise is to be another one from place to place."""
        return self.noise == "heteroscedastic"

    def check_takes_derivatives(self) -> None:
        """Raise ValueError where the model cannot learn from partial derivatives."""
        if self.noise_varies:
            raise ValueError(
                "noise='heteroscedastic' does not support partial derivatives: use noise='auto', "
                "or leave the gradient out."
            )
        self.policy.check_takes_derivatives()

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
            "direction": plain(self.direction),
            "noise": self.noise,
            "constraints": encode(self.constraints),
            "outcome_constraints": self.outcome_constraints.to_json(),
            "reference_point": plain(self.reference_point),
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
        described = _checked_keys(described)
        _check_functions(described, constraints, policy)
        stored = dict(described)
        del stored["format"]
        try:
            stored["outcome_constraints"] = OutcomeConstraints.of(stored["outcome_constraints"])
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
    stored = _checked_keys(stored)
    other = given.to_json()
    try:
        was = Space.from_json(stored["space"])
    except Exception as error:  # whatever a damaged description leads to
        raise ValueError(f"The stored space of this study cannot be read: {error}") from error
    lines = _between_spaces(was, Space.from_json(other["space"]))
    for name in other:
        if name == "outcome_constraints":
            lines += _between_outcome_constraints(stored[name], other[name])
        elif name not in ("format", "space"):
            lines += _between(name, stored[name], other[name])
    return lines


def checked_direction(direction: Any) -> Directions:
    """Return a direction, or a tuple of two or more; raises ValueError."""
    known = get_args(Direction)
    if isinstance(direction, str) and direction in known:
        return cast(Direction, direction)
    if not isinstance(direction, list | tuple):
        raise ValueError(
            f"`direction` is 'minimize' or 'maximize', but got {direction!r}; for several "
            "objectives it is a list of these."
        )
    for one in direction:
        if not isinstance(one, str) or one not in known:
            raise ValueError(
                f"Each `direction` is 'minimize' or 'maximize', but got {one!r} in {direction!r}."
            )
    if len(direction) < 2:
        one = f" Write direction={direction[0]!r}." if direction else ""
        raise ValueError(
            f"A list of `direction` is for two or more objectives, but got {direction!r}.{one}"
        )
    return tuple(direction)


def _checked_reference_point(point: Any, n_values: int) -> tuple[float, ...] | None:
    if point is None:
        return None
    if n_values == 1:
        raise ValueError(
            f"A `reference_point` is for several objectives, but there is one: leave it out, or "
            f"give a `direction` for each; got {point!r}."
        )
    if isinstance(point, str | Mapping | Set) or not hasattr(point, "__len__"):
        raise TypeError(f"`reference_point` must be {n_values} numbers, but got {point!r}.")
    if len(point) != n_values:
        raise ValueError(
            f"`reference_point` needs a number for each of the {n_values} objectives, but "
            f"{len(point)} came: {point!r}."
        )
    return tuple(finite_number(x, f"`reference_point[{i}]`") for i, x in enumerate(point))


def _checked_keys(described: Mapping[str, Any]) -> Mapping[str, Any]:
    """The description as this format has it, with an entry for each part of the settings.

    Raises ValueError where it is not one.
    """
    if not isinstance(described, Mapping):
        raise ValueError(f"Settings of a study are a dict, but got {_SHORT.repr(described)}.")
    version = described.get("format")
    if type(version) is not int or version < 1:
        raise ValueError(f"These are no settings of a study: their format is {version!r}.")
    if version > FORMAT:
        raise NewerVersion(f"its format is {version}, and this version reads {FORMAT}")
    if version == 1:
        of_format_2: dict[str, Any] = {"outcome_constraints": {}, "reference_point": None}
        policy = with_defaults(described.get("policy"))
        described = {**of_format_2, **described, "policy": policy}
    check_entries("the settings", described, {"format", *(f.name for f in fields(Settings))})
    return described


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


def _between_outcome_constraints(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    what = "outcome_constraints:"
    lines = [f"{what} {name!r} is gone" for name in was if name not in now]
    lines += [f"{what} {name!r} is new" for name in now if name not in was]
    return lines + [
        f"{what} {name!r} was {tuple(was[name])}, now {tuple(now[name])}"
        for name in now
        if name in was and list(was[name]) != now[name]
    ]


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
