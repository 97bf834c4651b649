"""Random conditions: the laws of parameters that nobody sets, and what is sought under them.

    F(x) = E[f(x, W)]                                                     goal "mean"
    F(x) = the mean of the worst share 1 - level of f(x, W)               goal CVaR(level)

Laws of different names are independent; those of several parameters together are finite.
"""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bayesopt.arguments import finite_number
from bayesopt.environment_law import Law, law_from_json, law_of
from bayesopt.parameter import Parameter
from bayesopt.space import Space


@dataclass(frozen=True)
class CVaR:
    """Conditional value at risk: the mean of the worst share ``1 - level`` of the outcomes.

    The worst are the largest values where they are minimised, and the smallest where they are
    maximised. ``CVaR(0)`` is the mean; the closer to 1, the closer to the worst case.

    Parameters
    ----------
    level
        From 0 up to 1, without 1; usual are 0.9 and 0.95.

    Raises
    ------
    TypeError, ValueError
        If it is no such number.
    """

    level: float

    def __post_init__(self) -> None:
        level = finite_number(self.level, "The `level` of CVaR")
        if not 0.0 <= level < 1.0:
            raise ValueError(
                f"The `level` of CVaR must be at least 0 and below 1, but got {self.level!r}: "
                "CVaR(0.9) is the mean of the worst tenth."
            )
        object.__setattr__(self, "level", level)


Goal = Literal["mean"] | CVaR


@dataclass(frozen=True)
class Environment:
    """Laws of the parameters with ``role="environment"``, and what is sought under them.

    Parameters
    ----------
    laws
        A law by the name of a parameter: a frozen law of scipy.stats in one variable (continuous
        for a Float, discrete for a Float or an Int), or ``{value: weight}``; weights of any
        positive sum. For several parameters together ``{("a", "b"): {(1.0, 2.0): weight, ...}}``.
        Laws of different keys are independent. What lies outside of the range of a parameter, at
        most 0.1 % of the mass, is cut off.
    goal
        "mean", or CVaR(level) for the mean of the worst outcomes.

    Raises
    ------
    TypeError, ValueError
        If a law is none or of the wrong dimension, weights are negative, not finite or all zero, a
        parameter has two laws, or the goal is not known.

    Attributes
    ----------
    laws
        The laws as they were read, each by a tuple of names.

    Examples
    --------
    >>> Environment({"wind": {"calm": 3, "storm": 1}}, goal=CVaR(0.5))
    Environment({'wind': {'calm': 0.75, 'storm': 0.25}}, goal=CVaR(level=0.5))
    """

    laws: Mapping[Any, Any]
    goal: Goal = "mean"

    def __post_init__(self) -> None:
        if not isinstance(self.laws, Mapping):
            raise TypeError(
                "`environment` must be a dict of laws by the names of parameters, like "
                f"{{'w': scipy.stats.norm(0.5, 0.1)}}, but got {reprlib.repr(self.laws)}."
            )
        if not self.laws:
            raise ValueError("`environment` has no law: leave it out, or name a parameter.")
        if self.goal != "mean" and not isinstance(self.goal, CVaR):
            raise ValueError(
                f"Unknown goal {self.goal!r} of an Environment; known are 'mean' and CVaR(level)."
            )
        read: dict[tuple[str, ...], Law] = {}
        for key, given in self.laws.items():
            names = _names(key)
            twice = [name for name in names if any(name in other for other in read)]
            if twice:
                raise ValueError(f"`environment` has two laws of {twice[0]!r}; give one of them.")
            read[names] = law_of(names, given)
        object.__setattr__(self, "laws", read)

    @classmethod
    def of(cls, given: object) -> "Environment | None":
        """Accept None, a dict of laws, or an Environment; raises TypeError or ValueError."""
        if given is None or isinstance(given, Environment):
            return given
        return cls(given)  # type: ignore[arg-type]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters that have a law."""
        return tuple(name for names in self.laws for name in names)

    @property
    def level(self) -> float | None:
        """The level of CVaR; None for the mean."""
        return self.goal.level if isinstance(self.goal, CVaR) else None

    def check(self, space: Space) -> None:
        """Raise ValueError or TypeError unless the laws are those of the parameters of a space.

        Raises
        ------
        ValueError, TypeError
            If a parameter with the role "environment" has no law, or another one has; if a value
            is not one of its parameter, a law does not fit its type, or more than 0.1 % of the
            mass lies outside of its range.
        """
        wanted = [space.names[column] for column in _columns(space)]
        missing = [name for name in wanted if name not in self.names]
        unknown = [name for name in self.names if name not in wanted]
        if missing:
            raise ValueError(
                f"`environment` has no law of {missing}, whose role is 'environment'; it has laws "
                f"of {list(self.names)}."
            )
        if unknown:
            raise ValueError(
                f"`environment` has laws of {unknown}, but the parameters with "
                f"role='environment' are {wanted}; give that role to those that are random."
            )
        for names, law in self.laws.items():
            law.check(names, parameters_of(space, names))

    def to_json(self) -> dict[str, Any]:
        """Plain dict that `from_json` turns back into an equal environment.

        Raises
        ------
        TypeError
            If a law of scipy.stats is not one that its name and parameters describe.
        """
        laws = [{"names": list(names), **law.to_json()} for names, law in self.laws.items()]
        return {"laws": laws, "level": self.level}

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "Environment":
        """Inverse of `to_json`; raises KeyError, TypeError or ValueError if it cannot be."""
        laws = {tuple(entry["names"]): law_from_json(entry) for entry in described["laws"]}
        level = described["level"]
        return cls(laws, "mean" if level is None else CVaR(level))

    def __hash__(self) -> int:
        return hash((frozenset(self.laws.items()), self.goal))

    def __repr__(self) -> str:
        keys = [names[0] if len(names) == 1 else names for names in self.laws]
        laws = dict(zip(keys, self.laws.values(), strict=True))
        return f"Environment({laws!r}, goal={self.goal!r})"


def parameters_of(space: Space, names: tuple[str, ...]) -> tuple[Parameter, ...]:
    """The parameters of these names."""
    return tuple(space[name] for name in names)


def _columns(space: Space) -> tuple[int, ...]:
    return space.role_columns if space.role == "environment" else ()


def _names(key: object) -> tuple[str, ...]:
    names = key if isinstance(key, tuple) else (key,)
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError(
            "`environment` has laws by the name of a parameter, or by a tuple of names, but "
            f"{key!r} came."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"`environment` names a parameter twice in {key!r}.")
    return names
