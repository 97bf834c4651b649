"""Run the user's model: in batches, within a budget, and what came back is looked at once.

Notation
--------
x           points (n, d)
Y           what the model returned, (n, J), one column for each output
failed      a row of Y in which any output is NaN or infinite; all of it becomes NaN
"""

import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bayesopt.arguments import whole_number

Array = NDArray[np.float64]

_PIECES = 16  # batches for an executor, where the user names no size
_ALIKE = 10  # runs that may fail before the first one that does not


class Executor(Protocol):
    """What runs batches elsewhere: anything with `submit`, such as `concurrent.futures`."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
        """Start `fn(*args)` and return its future."""


class ModelRuns:
    """A model that counts its runs.

    Parameters
    ----------
    func
        Points (n, d) -> outputs (n,) or (n, J). It gets a copy, which it may change.
    dimension
        d.
    n_outputs
        J; None takes what the first batch returns.
    budget
        Points that may be evaluated in all.
    batch_size
        Most points of one call; None hands over all at once, or 16 equal batches to an executor.
    executor
        Runs the batches, by `submit(func, x)`; results keep the order of the points.
    progress
        Show a line of progress; "auto": when the error stream is a terminal.
    output_names
        Names of the outputs in errors; None counts them.
    name
        What the model is called in errors.

    Attributes
    ----------
    n_done
        Points evaluated so far, failed ones included.
    n_failed
        Points at which the model returned NaN or an infinite number.
    n_outputs
        J, None before the first run.

    Raises
    ------
    TypeError, ValueError
        When `func`, `executor` or `batch_size` cannot be used: before a run is spent.
    """

    def __init__(
        self,
        func: Callable[[Array], Any],
        dimension: int,
        n_outputs: int | None,
        budget: int,
        *,
        batch_size: int | None = None,
        executor: Executor | None = None,
        progress: bool | Literal["auto"] = "auto",
        output_names: Sequence[str] | None = None,
        name: str = "func",
    ) -> None:
        if not callable(func):
            raise TypeError(f"`{name}` must be callable, but got {func!r}.")
        if executor is not None and not hasattr(executor, "submit"):
            raise TypeError(f"`executor` must have a method `submit`, but got {executor!r}.")
        if batch_size is not None:
            batch_size = whole_number(batch_size, "batch_size", 1)
        self.dimension, self.n_outputs, self.budget = dimension, n_outputs, budget
        self.n_done = self.n_failed = 0
        self._func, self._batch_size, self._executor = func, batch_size, executor
        self._output_names, self._name = output_names, name
        self._failed: list[Array] = []
        self._has_succeeded = False
        no_terminal = sys.stderr is None or not sys.stderr.isatty()
        hidden = no_terminal if progress == "auto" else not progress
        self._bar = tqdm(
            total=budget,
            unit="run",
            disable=hidden,
            file=sys.stderr,
        )

    def __enter__(self) -> "ModelRuns":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the line of progress away."""
        self._bar.close()

    @property
    def n_left(self) -> int:
        """Points that may still be evaluated."""
        return self.budget - self.n_done

    @property
    def failed_points(self) -> Array:
        """Points (n_failed, d) at which the model failed."""
        return np.concatenate([np.empty((0, self.dimension)), *self._failed])

    def __call__(self, x: Array) -> Array:
        """Outputs (n, J) at points (n, d); a failed run is a row of NaN.

        Raises
        ------
        TypeError, ValueError
            If what `func` returned has a wrong type or shape, or the first 10 runs or more all
            failed. What `func` raises comes with a note of the batch and of the runs done so far.
        """
        if len(x) > self.n_left:
            raise RuntimeError(
                f"{len(x)} runs were asked for, but {self.n_left} of {self.budget} are left."
            )
        batches = self._batches(x)
        values = [np.empty((0, self.n_outputs or 0))] if len(x) == 0 else []
        if self._executor is None:
            for batch in batches:
                values.append(self._checked(batch, self._noted(batch, self._func, batch.copy())))
        else:
            values.extend(self._by_executor(self._executor, batches))
        return np.concatenate(values)

    def _by_executor(self, executor: Executor, batches: list[Array]) -> list[Array]:
        futures: list[Any] = []
        values = []
        try:
            for batch in batches:
                futures.append(executor.submit(self._func, batch.copy()))
            for batch, future in zip(batches, futures, strict=True):
                values.append(self._checked(batch, self._noted(batch, future.result)))
        except BaseException:
            for future in futures:
                if hasattr(future, "cancel"):
                    future.cancel()
            raise
        return values

    def _batches(self, x: Array) -> list[Array]:
        size = self._batch_size or len(x)
        if self._executor is not None and self._batch_size is None:
            size = -(-len(x) // _PIECES)
        size = max(size, 1)
        batches = [x[first : first + size] for first in range(0, len(x), size)]
        # As many points as coordinates or outputs would hide that the two were exchanged.
        if batches and self.n_done == 0 and len(batches[0]) in (self.dimension, self.n_outputs):
            if len(batches[0]) > 1:
                batches[:1] = [batches[0][:-1], batches[0][-1:]]
        return batches

    def _noted(self, batch: Array, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except Exception as error:
            error.add_note(
                f"It was raised by `{self._name}` on a batch of {len(batch)} points, an array of "
                f"the shape {batch.shape} whose first row is {batch[0]}; {self.n_done} evaluations "
                f"were done before. {self._how_to_vectorize()}"
            )
            raise

    def _checked(self, batch: Array, returned: Any) -> Array:
        values = self._shaped(batch, self._numbers(returned))
        failed = ~np.isfinite(values).all(axis=1)
        if failed.any():
            if not self._failed:
                self._first_failure = values[failed][0]
            values[failed] = np.nan
            self._failed.append(batch[failed].copy())
        self.n_outputs = values.shape[1]
        self.n_done += len(batch)
        self.n_failed += int(failed.sum())
        self._bar.update(len(batch))
        self._has_succeeded |= not failed.all()
        if not self._has_succeeded and self.n_done >= _ALIKE:
            self._refuse_all_failed()
        return values

    def _numbers(self, returned: Any) -> Array:
        if returned is None:
            raise TypeError(f"`{self._name}` returned None: does it end with `return`?")
        try:
            array = np.asarray(returned)
        except ValueError as error:  # ragged
            raise TypeError(
                f"`{self._name}` must return real numbers, but got {returned!r}."
            ) from error
        if array.dtype.kind == "O":
            try:
                return array.astype(np.float64)
            except (TypeError, ValueError):
                pass
        if array.dtype.kind not in "biuf":
            raise TypeError(
                f"`{self._name}` must return an array of real numbers, but it returned "
                f"{type(returned).__name__} of the type {array.dtype}."
            )
        return array.astype(np.float64)  # a copy, whatever the model keeps

    def _shaped(self, batch: Array, values: Array) -> Array:
        n, d, J = len(batch), self.dimension, self.n_outputs
        if values.ndim == 1 and len(values) == n and J in (None, 1):
            return values[:, None]
        if values.ndim == 2 and len(values) == n and values.shape[1] > 0:
            if J in (None, values.shape[1]):
                return values
        wanted = f"({n},)" if J == 1 else f"({n}, {J or 'J'})"
        told = (
            f"`{self._name}` must return an array of the shape {wanted} for {n} points, given as "
            f"an array of the shape {batch.shape}, but it returned the shape {values.shape}."
        )
        if values.ndim == 2 and values.shape[1] == n and (J is None or len(values) == J):
            raise ValueError(
                f"{told} It looks transposed: return `values.T`, or pass "
                f"`lambda x: {self._name}(x).T`."
            )
        if values.ndim == 0 or (values.ndim == 1 and len(values) in (d, J)) or len(values) == d:
            raise ValueError(
                f"{told} If it takes coordinates first, (d, n) as in SciPy, pass "
                f"`lambda x: func(x.T)`. {self._how_to_vectorize()}"
            )
        raise ValueError(told)

    def _how_to_vectorize(self) -> str:
        return (
            "If it takes one point at a time, pass "
            f"`lambda x: np.array([{self._name}(point) for point in x])`."
        )

    def _refuse_all_failed(self) -> None:
        names = self._output_names or [f"output {j}" for j in range(len(self._first_failure))]
        bad = np.flatnonzero(~np.isfinite(self._first_failure))
        raise ValueError(
            f"Every one of the first {self.n_done} runs of `{self._name}` returned NaN or an "
            f"infinite number. The first point is {self._failed[0][0]}, where it returned "
            f"{self._first_failure}: look at {', '.join(names[int(j)] for j in bad)} there."
        )
