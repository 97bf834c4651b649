"""Roles of parameters: what is special about one that is not simply searched for its best value.

"fidelity"      how exact an evaluation is; the best point is sought at the target
"source"        which of several models or machines evaluates; sought for the target
"task"          which of several related problems is evaluated; sought for the target, or, when
                there is none, for the mean of all
"environment"   what nobody will control later; sought for the mean over it or its bad cases

What that is in formulas, and where evaluations are made, says `bayesopt.target`.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

Choice = str | int | float | bool | None
Role = Literal["fidelity", "source", "task", "environment"]

_CARRIED_BY: dict[str, tuple[str, ...]] = {
    "fidelity": ("Float", "Int"),
    "source": ("Categorical",),
    "task": ("Categorical",),
    "environment": ("Float", "Int", "Categorical"),
}
WITH_ARTICLE: dict[str, str] = {
    "fidelity": "a fidelity",
    "source": "a source",
    "task": "a task",
    "environment": "an environment",
}
"""Roles with their articles, for messages."""

_NEED_A_TARGET = ("fidelity", "source")
_SEVERAL_AT_ONCE = ("environment",)


@dataclass(frozen=True, kw_only=True, repr=False)
class WithRole:
    """What every parameter has besides its values.

    Parameters
    ----------
    role
        One of the four, or None.
    target
        The value for which the best point is sought, where the role has one.
    """

    role: Role | None = None
    target: Choice = None

    def __repr__(self) -> str:
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        of_role = {name: shown.pop(name) for name in ("role", "target")}
        shown |= {name: value for name, value in of_role.items() if value is not None}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"

    def _check_role(self, check: Callable[[object], Choice]) -> None:
        """Raise where role and target do not fit this parameter, whose values `check` knows."""
        name = type(self).__name__
        one = f"An {name}" if name == "Int" else f"A {name}"
        role, target = self.role, self.target
        if role is None:
            if target is not None:
                raise ValueError(
                    f"{one} has a `target`, which belongs to a role, but there is none: "
                    f"target={target!r}."
                )
            return
        if not isinstance(role, str) or role not in _CARRIED_BY:
            near = difflib.get_close_matches(str(role), _CARRIED_BY, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"Unknown role {role!r}; known are {', '.join(map(repr, get_args(Role)))}.{hint}"
            )
        if name not in _CARRIED_BY[role]:
            able = " or ".join(_CARRIED_BY[role])
            raise ValueError(f"{one} cannot be {WITH_ARTICLE[role]}; only a {able} can.")
        if target is None:
            if role in _NEED_A_TARGET:
                raise ValueError(
                    f"{one} with role={role!r} needs a `target`: the value for which the best "
                    "point is sought."
                )
            return
        if role == "environment":
            raise ValueError(
                "An environment has no `target`: its values have a law, which `environment=` of "
                f"the search says; got target={target!r}."
            )
        try:
            object.__setattr__(self, "target", check(target))
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"`target` of {one[0].lower()}{one[1:]} with role={role!r}: {error}"
            ) from None


def check_roles(parameters: Mapping[str, Any]) -> None:
    """Raise ValueError unless the roles in a space go together."""
    names_of: dict[str, list[str]] = {}
    for name, parameter in parameters.items():
        if parameter.role is not None:
            names_of.setdefault(parameter.role, []).append(name)
    if not names_of:
        return
    if len(names_of) > 1:
        said = ", ".join(
            f"{names[0]!r} is {WITH_ARTICLE[role]}" for role, names in names_of.items()
        )
        raise ValueError(
            f"A space has one kind of role, but {said}; leave one of them out of the space."
        )
    ((role, names),) = names_of.items()
    if len(names) > 1 and role not in _SEVERAL_AT_ONCE:
        raise ValueError(
            f"A space has one {role}, but {', '.join(map(repr, names))} are; only an environment "
            "may have several parameters."
        )
    if len(names) == len(parameters):
        raise ValueError(
            "A space needs a parameter without a role, to be chosen, but each is "
            f"{WITH_ARTICLE[role]}: {names}."
        )
