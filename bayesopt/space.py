"""The search space: named parameters, and the map from their values to the unit cube.

Notation
--------
d       number of parameters, one column each
U       (..., d) points of the unit cube, anywhere in it
X       (..., d) points of the unit cube that stand for a value: U after `Space.snap`

Every model and every acquisition sees X.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.parameter import Array, Categorical, Fixed, Float, Parameter, from_json, to_json
from bayesopt.roles import Role, check_roles

Params = dict[str, Any]


class Space:
    """Named parameters in a fixed order.

    Parameters
    ----------
    **parameters
        ``name=Float(...)``, ``Int(...)`` or ``Categorical(...)``. At most one of them has a role,
        but for an environment, which may have several parameters.

    Raises
    ------
    ValueError
        If there is no parameter, or none without a role, or there are roles that do not go
        together.
    TypeError
        If something else than a parameter is given.

    Examples
    --------
    >>> space = Space(C=Float(1e-3, 1e3, log=True), kernel=Categorical(["rbf", "poly"]))
    >>> space.from_unit([0.5, 1.0])
    {'C': 1.0, 'kernel': 'poly'}
    """

    def __init__(self, /, **parameters: Parameter) -> None:
        if not parameters:
            raise ValueError("A space needs at least one parameter, but got none.")
        for name, parameter in parameters.items():
            if not isinstance(parameter, Parameter):
                raise TypeError(
                    f"Parameter '{name}' must be a Float, an Int or a Categorical, "
                    f"but got {parameter!r}."
                )
        check_roles(parameters)
        self.parameters: dict[str, Parameter] = parameters
        self.names: tuple[str, ...] = tuple(parameters)
        self.takes_vector = False
        """True when the space came from plain bounds, so that a function takes one vector."""

    @classmethod
    def of(cls, space: object) -> "Space":
        """Accept a Space, a list of (low, high) pairs, or `scipy.optimize.Bounds`.

        Raises
        ------
        TypeError, ValueError
            If it is none of them, empty, or a pair is not one.
        """
        if isinstance(space, Space):
            return space
        if isinstance(space, Mapping):
            raise TypeError("A dict of parameters is given as Space(**parameters).")
        if hasattr(space, "lb") and hasattr(space, "ub"):
            low, high = np.broadcast_arrays(np.atleast_1d(space.lb), np.atleast_1d(space.ub))
            space = list(zip(low.tolist(), high.tolist(), strict=True))
        if isinstance(space, str | bytes) or not isinstance(space, Sequence | np.ndarray):
            raise TypeError(
                "`space` must be a Space, a list of (low, high) pairs or scipy.optimize.Bounds, "
                f"but got {type(space).__name__}."
            )
        return cls._from_bounds(space)

    @classmethod
    def _from_bounds(cls, bounds: Sequence[Any] | NDArray[Any]) -> "Space":
        parameters: dict[str, Parameter] = {}
        for column, pair in enumerate(bounds):
            try:
                low, high = pair
            except (TypeError, ValueError) as error:
                raise ValueError(f"Bounds must be (low, high) pairs, but got {pair!r}.") from error
            parameters[f"x{column}"] = Float(low, high)
        space = cls(**parameters)
        space.takes_vector = True
        return space

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, name: str) -> Parameter:
        return self.parameters[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and (
            list(self.parameters.items()) == list(other.parameters.items())
            and self.takes_vector == other.takes_vector
        )

    def __hash__(self) -> int:
        return hash(tuple(self.parameters.items()))

    def __repr__(self) -> str:
        return f"Space({', '.join(f'{name}={p!r}' for name, p in self.parameters.items())})"

    @property
    def size(self) -> int | None:
        """Number of points, or None when a parameter is real."""
        sizes = [parameter.size for parameter in self.parameters.values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def columns(self, *kinds: str) -> list[int]:
        """Columns of the parameters of these kinds: "float", "int", "categorical"."""
        return [j for j, p in enumerate(self.parameters.values()) if p.kind in kinds]

    @property
    def categories(self) -> tuple[tuple[int, int], ...]:
        """(column, number of choices) of every categorical parameter."""
        return tuple(
            (j, p.size)
            for j, p in enumerate(self.parameters.values())
            if isinstance(p, Categorical)
        )

    @property
    def role(self) -> Role | None:
        """The role of those parameters that have one; None where none has."""
        roles = (parameter.role for parameter in self.parameters.values())
        return next((role for role in roles if role is not None), None)

    @property
    def role_columns(self) -> tuple[int, ...]:
        """Columns of the parameters that have a role."""
        return tuple(j for j, p in enumerate(self.parameters.values()) if p.role is not None)

    @property
    def design_names(self) -> tuple[str, ...]:
        """Names of the parameters without a role: what there is to choose."""
        return tuple(name for name, p in self.parameters.items() if p.role is None)

    def at_target(self) -> "Space":
        """The same columns with each parameter that has a role fixed, as points are reported.

        At its target; at its first value where there is none, as nothing depends on it then.
        """
        fixed: dict[str, Parameter] = {}
        for name, p in self.parameters.items():
            if p.role is None or isinstance(p, Fixed):
                fixed[name] = p
            else:
                fixed[name] = Fixed(p, p.from_unit(0.0) if p.target is None else p.target)
        space = Space(**fixed)
        space.takes_vector = self.takes_vector
        return space

    @property
    def is_observable(self) -> bool:
        """Whether an evaluation can show what is sought: no mean over tasks or environments."""
        return all(p.role is None or p.target is not None for p in self.parameters.values())

    def is_at_target(self, params: Mapping[str, Any]) -> bool:
        """Whether an evaluation at a point shows what is sought."""
        return self.role is None or self.reported(params) == dict(params)

    def reported(self, params: Mapping[str, Any]) -> Params:
        """What is said of a point that is recommended.

        A parameter that has a role is at its target, and left out where there is none: the point
        is then for all environments, or for all tasks.
        """
        shown: Params = {}
        for name, parameter in self.parameters.items():
            if parameter.role is None:
                shown[name] = params[name]
            elif parameter.target is not None:
                shown[name] = parameter.target
        return shown

    def check(self, point: Mapping[str, Any] | Sequence[Any] | NDArray[Any]) -> Params:
        """Return `point`, a dict or a vector in the order of the space, as checked parameters.

        Raises
        ------
        ValueError, TypeError
            If a parameter is missing, unknown, of the wrong type or out of its range.
        """
        if isinstance(point, str | bytes) or not isinstance(point, Mapping | Sequence | np.ndarray):
            raise TypeError(f"A point must be a dict or a vector, but got {point!r}.")
        if not isinstance(point, Mapping):
            values = list(point)
            if len(values) != len(self):
                raise ValueError(f"A point needs {len(self)} values, but got {len(values)}.")
            point = dict(zip(self.names, values, strict=True))
        missing = [name for name in self.names if name not in point]
        unknown = [name for name in point if name not in self.parameters]
        if missing or unknown:
            raise ValueError(
                f"A point must give {list(self.names)}; missing {missing}, unknown {unknown}."
            )
        params: Params = {}
        for name, parameter in self.parameters.items():
            try:
                params[name] = parameter.check(point[name])
            except (TypeError, ValueError) as error:
                raise type(error)(f"Parameter '{name}': {error}") from None
        return params

    def check_asked(self, point: Mapping[str, Any] | Sequence[Any] | NDArray[Any]) -> Params:
        """`check` for a point that a model is asked about, which may leave out all role parameters.

        Without them the target is asked for, and they stay left out. With a target of their own
        that is the same as a point at it.
        """
        designs = self.design_names
        if self.role is None or isinstance(point, str | bytes):
            return self.check(point)
        if isinstance(point, Mapping):
            is_design = not any(
                p.role is not None and n in point for n, p in self.parameters.items()
            )
        else:
            is_design = isinstance(point, Sequence | np.ndarray) and len(point) == len(designs)
        if not is_design:
            return self.check(point)
        return Space(**{name: self[name] for name in designs}).check(point)

    def contains(self, point: Mapping[str, Any] | Sequence[Any] | NDArray[Any]) -> bool:
        """Whether `point` is a point of this space."""
        try:
            self.check(point)
        except (TypeError, ValueError):
            return False
        return True

    def to_unit(self, params: Mapping[str, Any]) -> Array:
        """Map checked parameters to their point of the unit cube, shape (d,)."""
        return np.array([p.to_unit(params[name]) for name, p in self.parameters.items()])

    def to_units(self, points: Sequence[Mapping[str, Any]]) -> Array:
        """`to_unit` of many points at once, shape (n, d), bit for bit the same."""
        X = np.empty((len(points), len(self)))
        for column, (name, parameter) in enumerate(self.parameters.items()):
            X[:, column] = parameter.to_units([params[name] for params in points])
        return X

    def from_unit(self, unit: ArrayLike) -> Params:
        """Map a point of the unit cube, shape (d,), to parameters."""
        coordinates = np.asarray(unit, dtype=np.float64).tolist()
        return {
            name: parameter.from_unit(coordinate)
            for (name, parameter), coordinate in zip(
                self.parameters.items(), coordinates, strict=True
            )
        }

    def snap(self, U: Array) -> Array:
        """Move points (..., d) of the cube to points that stand for a value."""
        X = np.array(U, dtype=np.float64)
        for column, parameter in enumerate(self.parameters.values()):
            if parameter.kind != "float":
                X[..., column] = parameter.snap(X[..., column])
        return X

    def grid(self) -> Array:
        """All points (size, d) of a finite space.

        Raises
        ------
        ValueError
            If a parameter is real.
        """
        if self.size is None:
            raise ValueError("A space with a Float has no grid.")
        axes = [
            parameter.unit_of(np.arange(parameter.size))
            for parameter in self.parameters.values()
            if not isinstance(parameter, Float)
        ]
        return np.array(list(product(*axes)))

    def to_json(self) -> dict[str, Any]:
        """Plain dict that `from_json` turns back into an equal space."""
        described = [{"name": name} | to_json(p) for name, p in self.parameters.items()]
        return {"parameters": described, "takes_vector": self.takes_vector}

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "Space":
        """Inverse of `to_json`."""
        parameters: dict[str, Parameter] = {}
        for entry in described["parameters"]:
            parameters[entry["name"]] = from_json(entry)
        space = cls(**parameters)
        space.takes_vector = bool(described["takes_vector"])
        return space
