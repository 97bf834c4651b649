"""What one evaluation gave: one value or several, with what else came along, read and checked."""

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import real_number
from bayesopt.evaluation_parts import NotFinite as NotFinite
from bayesopt.evaluation_parts import (
    entries_of,
    finite_value,
    gradient_errors,
    outcomes_by_name,
    partial_derivatives,
    positive_cost,
    standard_error,
    standard_errors,
    trace_pairs,
)


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation gave, in the user's units.

    Parameters
    ----------
    value
        The observed value, a finite number. For several objectives a sequence of at least two, in
        the order of the study's `direction`; it is kept as a tuple.
    sd
        Standard error of `value`, or None when it is not known. For several objectives one for
        all, or a sequence, in which None and NaN stand for those that are not known.
    gradient
        Partial derivatives of the function in its parameters, in the user's units: a dict by name
        of all or some of them, or an array in the order of the space. One that is NaN, infinite or
        None is absent. A study keeps a dict of those that are there. Only for one objective.
    gradient_sd
        Their standard errors: one for all, or as `gradient`. None or NaN: not known; then they are
        exact where the study is told that there is no noise, and their noise is inferred else.
    constraints
        The observed values of the study's `outcome_constraints`, by their names: numbers, or
        (number, standard error) pairs. Kept as a dict of the numbers.
    constraint_sd
        Standard errors of those whose are known, by their names.
    cost
        What the evaluation has cost, where a study learns costs.
    trace
        Values of the one objective that the same evaluation gave at other fidelities on its way, as
        after fewer epochs: (fidelity, value) pairs, or a dict. Kept as a tuple of pairs in the
        order of the fidelities, without those that are NaN or infinite. Of a long trace the models
        learn from 8 values that are spread evenly over it.

    Raises
    ------
    TypeError
        If something is not a number, or not by name where it has to be.
    ValueError
        If a value or a constraint is NaN or infinite (`NotFinite`), a standard error is negative
        or infinite, an array is not flat, there are partial derivatives or a trace of several
        objectives, there are standard errors of what is not there, the cost is not positive, or a
        fidelity stands twice in the trace.

    Examples
    --------
    >>> Evaluation(2.0, gradient={"x": 0.5, "y": None}).gradient
    {'x': 0.5, 'y': nan}
    >>> Evaluation([2, 3], sd=[0.1, None], constraints={"latency": (4.5, 0.2)})
    ... # doctest: +NORMALIZE_WHITESPACE
    Evaluation(value=(2.0, 3.0), sd=(0.1, None), gradient=None, gradient_sd=None,
               constraints={'latency': 4.5}, constraint_sd={'latency': 0.2}, cost=None,
               trace=None)
    """

    value: float | Sequence[float] | NDArray[Any]
    sd: float | Sequence[float | None] | NDArray[Any] | None = None
    gradient: Mapping[str, float] | ArrayLike | None = field(default=None, hash=False)
    gradient_sd: Mapping[str, float] | ArrayLike | None = field(default=None, hash=False)
    constraints: Mapping[str, Any] | None = field(default=None, hash=False)
    constraint_sd: Mapping[str, float] | None = field(default=None, hash=False)
    cost: float | None = None
    trace: Mapping[float, float] | Sequence[tuple[float, float]] | None = None

    def __post_init__(self) -> None:
        several = entries_of(self.value)
        if several is None:
            value = finite_value(self.value, "The value")
            sd = None if self.sd is None else standard_error(self.sd, "The standard error `sd`")
            self._keep(value=value, sd=sd)
        else:
            numbers = tuple(finite_value(x, f"`value[{i}]`") for i, x in enumerate(several))
            self._keep(value=numbers, sd=standard_errors(self.sd, len(numbers)))
        self._read_gradient()
        constraints, errors = outcomes_by_name(self.constraints, self.constraint_sd)
        self._keep(constraints=constraints, constraint_sd=errors)
        if self.cost is not None:
            self._keep(cost=positive_cost(self.cost))
        self._read_trace()

    def _keep(self, **kept: Any) -> None:
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    def _read_gradient(self) -> None:
        if self.gradient is None:
            if self.gradient_sd is not None:
                raise ValueError("There is a `gradient_sd`, but no `gradient`.")
            return
        if not self.is_one:
            raise ValueError(
                f"A `gradient` is that of one objective, but {len(self.values)} values came; leave "
                "it out."
            )
        self._keep(gradient=partial_derivatives(self.gradient, "gradient"))
        if self.gradient_sd is not None:
            self._keep(gradient_sd=gradient_errors(self.gradient_sd))

    def _read_trace(self) -> None:
        if self.trace is None:
            return
        if not self.is_one:
            raise ValueError(
                f"A `trace` is that of one objective, but {len(self.values)} values came; leave it "
                "out."
            )
        self._keep(trace=trace_pairs(self.trace) or None)

    @property
    def is_one(self) -> bool:
        """Whether the value is that of one objective."""
        return isinstance(self.value, float)

    @property
    def values(self) -> tuple[float, ...]:
        """The values, one for each objective, also where there is only one."""
        kept = cast(float | tuple[float, ...], self.value)
        return (kept,) if isinstance(kept, float) else kept

    @property
    def sds(self) -> tuple[float | None, ...]:
        """Their standard errors; None for one that is not known."""
        kept = cast(float | tuple[float | None, ...] | None, self.sd)
        return kept if isinstance(kept, tuple) else (kept,) * len(self.values)

    @classmethod
    def of(cls, returned: object, n_values: int = 1) -> "Evaluation":
        """Read what a function returned.

        Parameters
        ----------
        returned
            An Evaluation; or a number or a ``(mean, sd)`` tuple for one objective, and a sequence
            with a number for each of several.
        n_values
            Number of objectives.

        Raises
        ------
        TypeError, ValueError
            If it is none of them; the text says what came.
        """
        if isinstance(returned, Mapping):
            raise TypeError(
                f"The value must be a number, but {type(returned).__name__} "
                f"{reprlib.repr(returned)} came; return bayesopt.Evaluation(value, "
                "constraints={...}) to give more than the value."
            )
        if not isinstance(returned, Evaluation):
            returned = cls._of_one(returned) if n_values == 1 else cls(returned)  # type: ignore[arg-type]
        check_n_values(len(returned.values), n_values)
        return returned

    @classmethod
    def _of_one(cls, returned: object) -> "Evaluation":
        if isinstance(returned, tuple):
            if len(returned) != 2:
                raise TypeError(
                    f"A tuple must be (mean, sd), but one of {len(returned)} values came. A study "
                    "of several objectives needs a `direction` for each."
                )
            mean, sd = returned
            return cls(real_number(mean, "The value"), sd)
        if (entries := entries_of(returned)) is not None:
            shape = getattr(returned, "shape", None)
            came = reprlib.repr(entries) if shape is None else f"an array of shape {tuple(shape)}"
            raise TypeError(
                f"The value must be one number, but {came} came. A study of several objectives "
                "needs a `direction` for each."
            )
        return cls(real_number(returned, "The value"))

    def to_json(self) -> list[Any]:
        """Plain list for `from_json`: value, sd and what else there is; it ends with the last."""
        kept = [getattr(self, f.name) for f in fields(self)]
        while len(kept) > 2 and kept[-1] is None:
            kept.pop()
        return kept

    @classmethod
    def from_json(cls, described: Sequence[Any]) -> "Evaluation":
        """Inverse of `to_json`; raises TypeError or ValueError if it cannot be."""
        return cls(*described)


def check_n_values(n: int, n_values: int) -> None:
    """Raise ValueError unless as many values came as the study has objectives."""
    if n != n_values:
        objectives = "1 objective" if n_values == 1 else f"{n_values} objectives"
        raise ValueError(
            f"This study has {objectives}, but {n} value{'s' * (n != 1)} came; it needs a "
            "`direction` for each value."
        )
