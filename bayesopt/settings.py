"""What a study is besides its trials: to and from plain data."""

import reprlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast, get_args

from bayesopt.arguments import (
    checked_budget,
    checked_noise,
    checked_seed,
    finite_number,
    whole_number,
)
from bayesopt.cost import Cost
from bayesopt.data import Direction, Noise
from bayesopt.environment import Environment
from bayesopt.outcome_constraints import OutcomeConstraints
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

FORMAT = 3
"""2: several objectives, outcome constraints. 3: roles of parameters, environments, costs."""

_SINCE: dict[int, dict[str, Any]] = {
    2: {"outcome_constraints": {}, "reference_point": None},
    3: {"environment": None, "cost": 1.0, "cost_budget": None},
}
"""What each format brought, and what it is in older ones."""

Directions = Direction | tuple[Direction, ...]

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
    environment
        Laws of the parameters with the role "environment", and what is sought under them.
    cost
        What an evaluation costs.
    cost_budget
        What all evaluations may cost together; None: anything.
    policy
        How points are chosen.
    n_initial
        Number of space-filling points.
    seed
        What makes everything repeatable.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it has to be, or they do not go together. Whether constraints fit
        the space is not looked at.
    """

    space: Space
    direction: Directions = "minimize"
    noise: Noise = "auto"
    constraints: tuple[Any, ...] = ()
    outcome_constraints: OutcomeConstraints = OutcomeConstraints()
    reference_point: tuple[float, ...] | None = None
    environment: Environment | None = None
    cost: Cost = field(default_factory=Cost)
    cost_budget: float | None = None
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
        self.policy.check_fits(self.n_values, bool(outcome_constraints), self.space)
        object.__setattr__(self, "environment", _checked_environment(self.environment, self.space))
        object.__setattr__(self, "cost", Cost.of(self.cost, self.space))
        object.__setattr__(self, "cost_budget", checked_budget(self.cost_budget))
        object.__setattr__(self, "noise", checked_noise(self.noise))
        if self.noise_varies:
            self.policy.check_takes_varying_noise(self.space.role)
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
        self.policy.check_takes_derivatives(self.space.role)

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
            "environment": None if self.environment is None else plain(self.environment.to_json()),
            "cost": plain(self.cost.to_json()),
            "cost_budget": self.cost_budget,
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
        cost: Any = None,
    ) -> "Settings":
        """Inverse of `to_json`.

        Parameters
        ----------
        described
            What `to_json` gave.
        constraints, policy, cost
            Taken instead of the stored ones; needed where these hold a function.

        Raises
        ------
        ValueError
            If a function is needed, or the description is damaged or of a newer version.
        TypeError
            If `constraints`, `policy` or `cost` is not what it has to be.
        """
        described = checked_description(described)
        _check_functions(described, constraints=constraints, policy=policy, cost=cost)
        stored = dict(described)
        del stored["format"]
        try:
            stored["outcome_constraints"] = OutcomeConstraints.of(stored["outcome_constraints"])
            stored["space"] = Space.from_json(described["space"])
            stored["constraints"] = decode(described["constraints"]) if constraints is None else ()
            stored["environment"] = environment_of(described["environment"])
            stored["cost"] = Cost.from_json(
                described["cost"] if cost is None else 1.0, stored["space"]
            )
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
        if cost is not None:
            settings = replace(settings, cost=cost)
        return settings if policy is None else replace(settings, policy=policy)


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


def _checked_environment(given: Any, space: Space) -> Environment | None:
    environment = Environment.of(given)
    if environment is not None:
        environment.check(space)
    elif space.role == "environment":
        names = [space.names[column] for column in space.role_columns]
        raise ValueError(
            f"The parameters {names} are an environment: `environment` has to say their laws, "
            f"as in environment={{{names[0]!r}: scipy.stats.norm(0.5, 0.1)}}."
        )
    return environment


def environment_of(described: Any) -> Environment | None:
    """The environment of a description, which may be None."""
    return None if described is None else Environment.from_json(described)


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


def checked_description(described: Mapping[str, Any]) -> Mapping[str, Any]:
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
    for newer in range(version + 1, FORMAT + 1):
        policy = with_defaults(described.get("policy"))
        described = {**_SINCE[newer], **described, "policy": policy}
    check_entries("the settings", described, {"format", *(f.name for f in fields(Settings))})
    return described


def _check_functions(described: Mapping[str, Any], **given_again: Any) -> None:
    """Raise ValueError where a function was stored, and its argument is not given again."""
    missing = [
        f"`{name}=` (with {', '.join(names)})"
        for name, given in given_again.items()
        if given is None and (names := functions_in(described[name]))
    ]
    if missing:
        raise ValueError(
            "This study was made with functions of your own, which cannot be stored; "
            f"pass {' and '.join(missing)} again."
        )
