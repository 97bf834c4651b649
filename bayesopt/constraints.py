"""Known constraints on the inputs: what users write, checked and brought to two plain forms.

Notation
--------
d       number of parameters
z       (d,) values in the user's own units; 0 in the columns of categories

    Linear       lower <= A z <= upper
    Nonlinear    lower <= c(parameters) <= upper
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint

from bayesopt.parameter import Array, Fixed, Float, is_number, numeric_range, whose_values
from bayesopt.space import Params, Space
from bayesopt.user_values import parameters_of

_THIN = 1e-7  # a nonlinear gap of less, relative to the spread of the values, is an equality
_N_SAMPLES = 32  # points where that spread is seen
_ACCURACY = 1e-10  # of linear constraints, before rounding; where they are small: of their size
_ROUNDING = 16 * float(np.finfo(np.float64).eps)
_FORGIVEN = 10.0  # a point that the user computed may miss by so many times as much
_KINDS = "scipy.optimize.LinearConstraint, scipy.optimize.NonlinearConstraint or bayesopt.Simplex"


class Simplex:
    """Parameters that are parts of a whole: none is negative, and they sum to the total.

    Parameters
    ----------
    *names
        Names of at least two `Float` parameters without ``log``.
    total
        What they sum to, in the user's units.

    Raises
    ------
    TypeError, ValueError
        If a name is not a string or stands twice, or `total` is not a positive number.

    Examples
    --------
    >>> Simplex("water", "sand", "cement")
    Simplex('water', 'sand', 'cement')
    """

    def __init__(self, *names: str, total: float = 1.0) -> None:
        if not all(isinstance(name, str) for name in names):
            raise TypeError(
                f"Simplex takes names of parameters, as in Simplex('a', 'b'), but got {names!r}."
            )
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"Simplex needs at least two different names, but got {names!r}.")
        if isinstance(total, bool) or not isinstance(total, int | float | np.number):
            raise TypeError(f"`total` of a Simplex must be a number, but got {total!r}.")
        if not (math.isfinite(total) and total > 0):
            raise ValueError(f"`total` of a Simplex must be positive, but got {total!r}.")
        self.names = names
        self.total = float(total)

    def __repr__(self) -> str:
        total = "" if self.total == 1.0 else f", total={self.total!r}"
        return f"Simplex({', '.join(map(repr, self.names))}{total})"


@dataclass(frozen=True)
class Linear:
    """``lower <= A z <= upper``.

    Parameters
    ----------
    label
        What the user calls it.
    A
        (m, d) coefficients.
    lower, upper
        (m,) bounds, infinite where there is none.
    size
        (m,) largest sum of the |a_j z_j| over the space, from which rounding follows.
    parts
        Columns that make a whole, when it came as a Simplex.
    """

    label: str
    A: Array
    lower: Array
    upper: Array
    size: Array
    parts: tuple[int, ...] = ()

    @property
    def rounding(self) -> Array:
        """What rounding of the sums may add up to, (m,)."""
        return _ROUNDING * self.size

    @property
    def tolerance(self) -> Array:
        """How much a suggestion may miss the bounds by, (m,)."""
        return _ACCURACY * np.minimum(1.0, self.size) + self.rounding

    @property
    def promised(self) -> Array:
        """What a suggestion may miss by after its way through the parameters, (m,)."""
        return 2.0 * self.tolerance

    @property
    def forgiven(self) -> Array:
        """What may be rounding of a point that the user computed, (m,)."""
        return _FORGIVEN * self.tolerance

    def violations(self, z: Array, params: Params) -> Array:
        """How much z misses each of the bounds by, (m,); 0 where it does not."""
        product = self.A @ z
        missed: Array = np.maximum(self.lower - product, product - self.upper)
        return np.maximum(missed, 0.0)


@dataclass(frozen=True)
class Nonlinear:
    """``lower <= c(parameters) <= upper`` with a cheap function of the user's.

    Parameters
    ----------
    label
        What the user calls it.
    space
        Says how the function is called.
    fun, jac
        The function, and its Jacobian (m, d) in the user's units or None.
    lower, upper
        (m,) bounds, infinite where there is none.
    spread
        (m,) how far the values spread over the space, the unit of a violation inside a search.
    """

    label: str
    space: Space
    fun: Any
    jac: Any
    lower: Array
    upper: Array
    spread: Array

    def values(self, params: Params) -> Array:
        """Values (m,) at a point.

        Raises
        ------
        RuntimeError
            If the function raises.
        ValueError, TypeError
            If it does not return m numbers.
        """
        returned = _returned(_call(self.fun, self.space, params, self.label), self.label)
        return _shaped(returned, len(self.lower), self.label)

    def jacobian(self, params: Params) -> Array | None:
        """Derivatives (m, d) in the user's units when the user gave them."""
        if not callable(self.jac):
            return None
        what = f"The Jacobian of {self.label}"
        returned = _call(self.jac, self.space, params, what)
        dense = returned.toarray() if hasattr(returned, "toarray") else returned
        J = np.atleast_2d(_numbers(dense, what, flat=False))
        if J.shape != (len(self.lower), len(self.space)):
            raise ValueError(
                f"The Jacobian of {self.label} must have the shape "
                f"{(len(self.lower), len(self.space))}, but has {J.shape}."
            )
        return J

    @property
    def promised(self) -> Array:
        """What a suggestion may miss by: nothing, (m,)."""
        return np.zeros_like(self.lower)

    @property
    def forgiven(self) -> Array:
        """What may be rounding of a point that the user computed, (m,)."""
        return np.full_like(self.lower, _FORGIVEN * _ACCURACY)

    def violations(self, z: Array, params: Params) -> Array:
        """How much it misses each of the bounds by, (m,); 0 where it does not, inf for NaN."""
        value = self.values(params)
        with np.errstate(invalid="ignore"):
            missed: Array = np.maximum(self.lower - value, value - self.upper)
        return np.where(np.isnan(value), np.inf, np.maximum(missed, 0.0))


Constraint = Linear | Nonlinear


def checked_constraints(space: Space, constraints: object) -> tuple[Constraint, ...]:
    """Read one constraint or a sequence of them.

    Raises
    ------
    TypeError, ValueError
        If something is not a constraint, or does not fit the space.
    """
    if isinstance(constraints, Bounds):
        raise TypeError("Bounds belong into the space: Float(low, high) or Int(low, high).")
    if isinstance(constraints, LinearConstraint | NonlinearConstraint | Simplex):
        constraints = (constraints,)
    if isinstance(constraints, str | Mapping) or not isinstance(constraints, Sequence):
        raise TypeError(
            f"`constraints` takes {_KINDS}, or a list of them, not {constraints!r}; a function g "
            "becomes NonlinearConstraint(g, lb, ub), and without constraints it is left out."
        )
    read: list[Constraint] = []
    for position, constraint in enumerate(constraints):
        label = f"constraints[{position}] ({type(constraint).__name__})"
        if isinstance(constraint, Simplex):
            read.append(_simplex(space, constraint, f"constraints[{position}] ({constraint!r})"))
        elif isinstance(constraint, LinearConstraint):
            read.append(_linear(space, constraint, label))
        elif isinstance(constraint, NonlinearConstraint):
            read.append(_nonlinear(space, constraint, label))
        else:
            raise TypeError(f"{label} must be {_KINDS}, but is {constraint!r}.")
    return tuple(read)


def _simplex(space: Space, simplex: Simplex, label: str) -> Linear:
    unknown = [name for name in simplex.names if name not in space.parameters]
    if unknown:
        raise ValueError(f"{label} names {unknown}, but the space has {list(space.names)}.")
    parameters = [space[name] for name in simplex.names]
    for name, given in zip(simplex.names, parameters, strict=True):
        parameter = whose_values(given)
        if not isinstance(parameter, Float) or parameter.log:
            raise ValueError(f"{label}: '{name}' must be a Float without log, not {parameter!r}.")
        if parameter.low < 0:
            raise ValueError(f"{label}: '{name}' must not be negative; give it low >= 0.")
    least, most = (math.fsum(ends) for ends in zip(*map(numeric_range, parameters), strict=True))
    if not least <= simplex.total <= most:
        raise ValueError(
            f"{label}: by their bounds the parameters sum to between {least} and {most}, "
            f"which leaves out {simplex.total}."
        )
    A = np.array([[float(name in simplex.names) for name in space.names]])
    bound = np.array([simplex.total])
    parts = tuple(space.names.index(name) for name in simplex.names)
    if any(isinstance(parameter, Fixed) for parameter in parameters):
        parts = ()  # what is left of the whole is an equality as any other
    return Linear(label, A, bound, bound, _size(space, A), parts)


def _linear(space: Space, constraint: LinearConstraint, label: str) -> Linear:
    dense = constraint.A.toarray() if hasattr(constraint.A, "toarray") else constraint.A
    A = np.atleast_2d(_numbers(dense, f"A of {label}", flat=False))
    if A.ndim != 2 or A.shape[1] != len(space):
        raise ValueError(
            f"{label}: A needs one column for each of {list(space.names)}, but has {A.shape}."
        )
    if not np.isfinite(A).all():
        raise ValueError(f"{label}: A must be finite.")
    numeric = [is_number(p) for p in space.parameters.values()]
    wrong = [name for j, name in enumerate(space) if A[:, j].any() and not numeric[j]]
    if wrong:
        raise ValueError(
            f"{label}: {wrong} are categories, which have no size; their columns of A must be 0. "
            "A NonlinearConstraint may look at categories."
        )
    lower, upper = _bounds(constraint, len(A), label)
    return Linear(label, A, lower, upper, _size(space, A))


def _nonlinear(space: Space, constraint: NonlinearConstraint, label: str) -> Nonlinear:
    if not callable(constraint.fun):
        raise TypeError(f"{label}: `fun` must be callable, but is {constraint.fun!r}.")
    samples = np.random.default_rng(0).random((_N_SAMPLES, len(space)))
    points = parameters_of(space, space.snap(samples))
    seen = [_returned(_call(constraint.fun, space, point, label), label) for point in points]
    size = max(value.size for value in seen)  # NaN alone stands for NaN in every one
    lower, upper = _bounds(constraint, size, label)
    values = np.array([_shaped(value, size, label) for value in seen])
    values = np.where(np.isfinite(values), values, np.nan)
    known = ~np.isnan(values).all(axis=0)
    spread = np.zeros(size)
    spread[known] = np.nanmax(values[:, known], axis=0) - np.nanmin(values[:, known], axis=0)
    thin = lower == upper
    if space.columns("float"):
        thin |= upper - lower < _THIN * spread
    if thin.any():
        raise ValueError(
            f"{label} is an equality (lb == ub, or nearly so), which no search can hit exactly. "
            "Solve it for one of its parameters, leave that one out of the space, and compute it "
            "inside your function; linear equalities may be given as a LinearConstraint, and a "
            "function that says yes or no gets the bounds lb=0.5, ub=inf."
        )
    unit = np.where(spread > 0, spread, 1.0)
    read = Nonlinear(label, space, constraint.fun, constraint.jac, lower, upper, unit)
    read.jacobian(points[0])  # what is wrong with it shows before anything is evaluated
    return read


def _returned(value: Any, label: str) -> Array:
    if value is None:
        raise TypeError(f"{label} returned None at a point; did it forget to return its value?")
    numbers = _numbers(value, f"What {label} returns")
    if numbers.size == 0:
        raise ValueError(f"{label} returned no value at a point; it needs at least one.")
    return numbers


def _shaped(returned: Array, size: int, label: str) -> Array:
    """One value for each bound; a single NaN stands for all of them."""
    if returned.size == 1 and np.isnan(returned[0]):
        return np.full(size, np.nan)
    if returned.size != size:
        raise ValueError(
            f"{label} returned {returned.size} values at one point, but {size} are expected: as "
            "many as at others, and as many as its bounds."
        )
    return returned


def _bounds(constraint: Any, size: int, label: str) -> tuple[Array, Array]:
    ends = []
    for name in ("lb", "ub"):
        bound = _numbers(getattr(constraint, name), f"`{name}` of {label}")
        if bound.size not in (1, size):
            raise ValueError(f"{label} has {size} values, but `{name}` has {bound.size}.")
        ends.append(np.broadcast_to(bound, (size,)).copy())
    lower, upper = ends
    if not (lower <= upper).all() or (lower == np.inf).any() or (upper == -np.inf).any():
        raise ValueError(f"{label} needs lb <= ub, but got lb={lower} and ub={upper}.")
    return lower, upper


def _size(space: Space, A: Array) -> Array:
    largest = [max(map(abs, numeric_range(p))) for p in space.parameters.values()]
    size: Array = np.abs(A) @ np.array(largest)
    return size


def _call(fun: Any, space: Space, params: Params, label: str) -> Any:
    try:
        if space.takes_vector:
            return fun(np.array([params[name] for name in space.names]))
        return fun(**params)
    except Exception as error:
        raise RuntimeError(
            f"{label} raised {type(error).__name__}: {error} at {params}. A constraint must give "
            "a number, or NaN for infeasible, at every point of the space."
        ) from error


def _numbers(value: Any, what: str, flat: bool = True) -> NDArray[np.float64]:
    if type(value) is float:  # the usual case, which is called often
        return np.array([value])
    try:
        array: NDArray[Any] = np.asarray(value)
        if array.dtype.kind not in "biufO":
            raise TypeError(f"the type is {array.dtype}")
        numbers = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} must be real numbers, but got {value!r}.") from error
    return np.atleast_1d(numbers).ravel() if flat else numbers
