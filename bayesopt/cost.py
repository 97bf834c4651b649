"""What an evaluation costs: the same everywhere, by a function of its point, or to be learnt."""

import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from bayesopt.arguments import finite_number, real_number
from bayesopt.parameter import Categorical, Choice, Int
from bayesopt.space import Space
from bayesopt.user_function import at_point, check_takes_point, name_of

CostGiven = float | Mapping[Any, float] | Callable[..., float] | Literal["learn"] | None
"""What users write."""

LEARN = "learn"
_SHOWN = 5  # missing values in an error

_KINDS = (
    "a positive number, a dict of them by the values of the parameter that has a role, a function "
    "of the parameters, or 'learn'"
)


@dataclass(frozen=True)
class Cost:
    """What an evaluation costs. `Cost.of` makes one.

    Parameters
    ----------
    number
        The cost of every evaluation, unless one of the others says it.
    name, by_value
        A parameter, and a pair of each of its values and the cost there.
    function, vector_of
        What is called with the parameters, and their names in the order of the vector where it
        takes one.
    is_learnt
        Whether costs are learnt from those that evaluations bring.
    """

    number: float = 1.0
    name: str | None = None
    by_value: tuple[tuple[Choice, float], ...] = ()
    function: Callable[..., Any] | None = None
    vector_of: tuple[str, ...] | None = None
    is_learnt: bool = False

    @classmethod
    def of(cls, given: object, space: Space) -> "Cost":
        """Read what the user gave.

        Parameters
        ----------
        given
            None: every evaluation costs 1. A positive number: every one costs that. A dict: costs
            by the values of the one parameter that has a role, which is no Float. A function,
            called like the one to optimise. "learn": evaluations bring their costs.
        space
            The parameters.

        Raises
        ------
        TypeError, ValueError
            If it is none of them, a cost is not positive and finite, a dict has other keys than
            the values of that parameter, or the function does not take the parameters.
        """
        if isinstance(given, Cost):
            return given
        if given is None:
            return cls()
        if isinstance(given, str):
            if given != LEARN:
                raise ValueError(f"`cost` is {_KINDS}, but got {given!r}.")
            return cls(is_learnt=True)
        if isinstance(given, Mapping):
            name, by_value = _by_value(given, space)
            return cls(name=name, by_value=by_value)
        if callable(given):
            try:
                check_takes_point(given, space)
            except TypeError as error:
                raise TypeError(f"`cost`: {error}") from None
            return cls(function=given, vector_of=tuple(space.names) if space.takes_vector else None)
        if hasattr(given, "__len__"):
            raise TypeError(f"`cost` is {_KINDS}, but got {reprlib.repr(given)}.")
        return cls(number=_positive(finite_number(given, "`cost`"), "`cost`"))

    @property
    def is_constant(self) -> bool:
        """Whether every evaluation costs the same, which is known."""
        return not (self.by_value or self.function is not None or self.is_learnt)

    def of_params(self, params: Mapping[str, Any]) -> float:
        """The cost of a point of the space, positive and finite.

        Raises
        ------
        ValueError
            If the user's function raises there, or gives what is no cost; the text has the point.
            If costs are learnt, so that nobody knows it.
        """
        if self.is_learnt:
            raise ValueError("Costs are learnt (cost='learn'); none is known beforehand.")
        if self.function is not None:
            return self._by_function(params)
        if self.name is None:
            return self.number
        return next(cost for value, cost in self.by_value if value == params[self.name])

    def _by_function(self, params: Mapping[str, Any]) -> float:
        assert self.function is not None
        try:
            came = at_point(self.function, params, self.vector_of)
        except Exception as error:
            raise ValueError(
                f"`cost` raised {type(error).__name__} at {dict(params)}: {error}"
            ) from error
        what = f"`cost` at {dict(params)}"
        try:
            number = real_number(came, what)
        except TypeError as error:
            raise ValueError(str(error)) from error
        return _positive(number, what)

    def to_json(self) -> Any:
        """Plain data for `from_json`; a function is described by its name."""
        if self.is_learnt:
            return LEARN
        if self.function is not None:
            return {"callable": name_of(self.function)}
        if self.name is not None:
            return {"name": self.name, "by_value": [list(pair) for pair in self.by_value]}
        return self.number

    @classmethod
    def from_json(cls, described: Any, space: Space) -> "Cost":
        """Inverse of `to_json`.

        Raises
        ------
        ValueError
            If it is a function, which is not stored, or damaged.
        """
        if isinstance(described, Mapping) and "callable" in described:
            raise ValueError(
                f"The cost of this study is a function, {described['callable']}, which cannot be "
                "stored; pass `cost=` again."
            )
        if not isinstance(described, Mapping):
            return cls.of(described, space)
        try:
            name, by_value = described["name"], dict(described["by_value"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"The stored cost is damaged: {reprlib.repr(described)}.") from error
        read = cls.of(by_value, space)
        if read.name != name:
            raise ValueError(f"The stored cost is by {name!r}, but the role is of {read.name!r}.")
        return read


def _by_value(
    given: Mapping[Any, Any], space: Space
) -> tuple[str, tuple[tuple[Choice, float], ...]]:
    """The parameter that a dict is for, and its costs in the order of the values."""
    name, parameter = _finite_role(space)
    values = _values(parameter)
    known: dict[Choice, float] = {}
    for key, cost in given.items():
        try:
            value = parameter.check(key)
        except (TypeError, ValueError):
            raise ValueError(
                f"`cost` has {key!r}, which is no value of {name!r}: {parameter!r}."
            ) from None
        what = f"`cost` of {name}={value!r}"
        known[value] = _positive(finite_number(cost, what), what)
    if missing := list(islice((value for value in values if value not in known), _SHOWN)):
        raise ValueError(
            f"`cost` needs every value of {name!r}, but lacks {missing}; give a "
            "function of the parameters instead of a dict if there are many."
        )
    return name, tuple((value, known[value]) for value in values)


def _finite_role(space: Space) -> tuple[str, Int | Categorical]:
    """The one parameter that has a role, where it has finitely many values."""
    with_role = [space.names[column] for column in space.role_columns]
    if len(with_role) != 1:
        has = f"{len(with_role)} have: {with_role}" if with_role else "none has"
        raise ValueError(
            "A dict of `cost` is by the values of the one parameter that has a role, but "
            f"{has}; give a function of the parameters instead."
        )
    name = with_role[0]
    parameter = space[name]
    if not isinstance(parameter, Int | Categorical):
        raise ValueError(
            f"A dict of `cost` is by the values of a parameter that has a role, but {name!r} is a "
            "Float; give a function of the parameters instead."
        )
    return name, parameter


def _values(parameter: Int | Categorical) -> Sequence[Choice]:
    """All of them, in order; an Int may have more than fit into a list."""
    if isinstance(parameter, Int):
        return range(parameter.low, parameter.high + 1)
    return parameter.choices


def _positive(cost: float, what: str) -> float:
    if not (math.isfinite(cost) and cost > 0):
        raise ValueError(f"{what} must be positive and finite, but is {cost!r}.")
    return cost
