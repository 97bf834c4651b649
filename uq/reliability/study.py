"""Failure probabilities: the one call, and the same by asking and telling.

Notation
--------
n, d        points, inputs
J, T        limit states, thresholds
x, z        points of the inputs, and in standard normal space, where a `Procedure` works
g           (n, J) values of the limit states
"""

import copy
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from bayesopt.arguments import real_numbers, whole_number
from uq.inputs import Inputs
from uq.model_runs import ModelRuns
from uq.reliability.asked import Asked, Numbers, Surrogate
from uq.reliability.cheap_limit_states import CheapModels
from uq.reliability.combined_rounds import combined
from uq.reliability.events import Events
from uq.reliability.failure_probabilities import FailureProbability
from uq.reliability.gradient_start import look_at_design_points
from uq.reliability.outcome import outcome
from uq.reliability.procedure import LEAST_BUDGET, Points, Procedure

Array = NDArray[np.float64]
_LARGEST = 1e150
"""Beyond it a value, such as the penalty of a solver that broke down, is no more than a sign."""


def failure_probability(
    limit_state: Callable[[Array], ArrayLike],
    inputs: Inputs,
    *,
    threshold: float = 0.0,
    thresholds: ArrayLike | None = None,
    budget: int,
    target_cv: float | None = None,
    surrogate: Surrogate = "auto",
    gradient: Callable[[Array], ArrayLike] | None = None,
    batch_size: int | None = None,
    executor: Any = None,
    rng: int | np.random.Generator | None = None,
    progress: bool | Literal["auto"] = "auto",
) -> FailureProbability:
    """Probability that a limit state falls below a threshold.

    Parameters
    ----------
    limit_state
        Vectorised: (n, d) points to (n,) values, or (n, J) for J limit states. It fails where the
        value is below the threshold.
    inputs
        Law of the inputs, `uq.Inputs`.
    threshold
        Below which it fails.
    thresholds
        Instead, several, increasing: all from the same runs.
    budget
        Most runs of the limit state, at least 160.
    target_cv
        Stop as soon as all standard errors are at most this part of their estimates; None spends
        the budget.
    surrogate
        Cheap limit state h, used to find failures and as control variate, 1{h < 0} or softened,
        where it clearly wins: a Gaussian process fitted across folds ("auto", "gaussian_process"),
        a "polynomial", your own vectorised function of x with outputs as of `limit_state`, or None.
    gradient
        (n, d) points to (n, d) partial derivatives of the only limit state by the inputs; design
        points are then searched first, by at most a tenth of the budget and 100 runs.
    batch_size
        At most so many points in one call of `limit_state`.
    executor
        Anything with `submit(fn, *args) -> future`; batches run on it.
    rng
        Seed or generator.
    progress
        Show a line of progress: True, False, or "auto" for terminals only.

    Returns
    -------
    FailureProbability

    Raises
    ------
    ValueError, TypeError
        For arguments that cannot be used, before a run is spent; after the first ones when
        `limit_state` returns another shape or nothing but NaN.

    Notes
    -----
    Sources: Papaioannou, Papadimitriou & Straub (2016) for the tempering; Veach & Guibas (1995) for
    the weights of several densities; Zhang & Der Kiureghian (1995) for design points; the
    cheap limit state as a control variate is `uq`'s own.
    """
    asked = Asked(inputs, threshold, thresholds, budget, target_cv, surrogate, rng)
    if gradient is not None and not callable(gradient):
        raise TypeError(f"`gradient` must be callable or None, but got {gradient!r}.")

    func = Numbers(limit_state) if callable(limit_state) else limit_state

    def runs_of(further: int) -> ModelRuns:
        return ModelRuns(
            func, inputs.dimension, None, further,
            batch_size=batch_size, executor=executor, progress=progress, name="limit_state",
        )  # fmt: skip

    with runs_of(asked.budget) as runs:
        state = _State(asked)
        if gradient is not None:
            state.look_first(runs, gradient)
        return _driven(state, runs, asked.budget - runs.n_done, runs_of)


class ReliabilityStudy:
    """Failure probabilities of limit states that run elsewhere: ask for points, tell the values.

    The same seed and the same values lead to the same points: a study that was lost is brought
    back by telling again what was told.

    Parameters
    ----------
    inputs, threshold, thresholds, budget, target_cv, surrogate, rng
        As of `failure_probability`.

    Examples
    --------
    >>> study = ReliabilityStudy(inputs, budget=1_000, rng=0)  # doctest: +SKIP
    >>> while not study.is_finished:  # doctest: +SKIP
    ...     study.tell(run_elsewhere(study.ask()))
    >>> study.result().estimate  # doctest: +SKIP
    """

    def __init__(
        self,
        inputs: Inputs,
        *,
        threshold: float = 0.0,
        thresholds: ArrayLike | None = None,
        budget: int,
        target_cv: float | None = None,
        surrogate: Surrogate = "auto",
        rng: int | np.random.Generator | None = None,
    ) -> None:
        asked = Asked(inputs, threshold, thresholds, budget, target_cv, surrogate, rng)
        self._state = _State(asked)
        self._state.begin(asked.budget)

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to run."""
        return self._state.points is None

    def ask(self) -> Array:
        """(n, d) points to run; the same ones until they were told."""
        if self._state.points is None:
            raise ValueError("The budget is spent: look at `result()`, or `extend(budget)` first.")
        return self._state.inputs.from_normal(self._state.points)

    def tell(self, values: ArrayLike) -> None:
        """Take the values at the points that `ask` gave; NaN where a run failed.

        Parameters
        ----------
        values
            (n,), or (n, J) for J limit states.
        """
        if self._state.points is None:
            raise ValueError("There is nothing to tell: the budget is spent.")
        Y = real_numbers(values, "values")
        Y = Y[:, None] if Y.ndim == 1 else Y
        n, J = len(self._state.points), self._state.n_limit_states
        if Y.ndim != 2 or len(Y) != n or not Y.shape[1] or J not in (None, Y.shape[1]):
            wanted = f"({n},)" if J == 1 else f"({n}, {J or 'J'})"
            raise ValueError(
                f"`values` must have the shape {wanted} for the {n} points that were asked, but "
                f"has the shape {np.shape(values)}."
            )
        ok = np.isfinite(Y).all(axis=1, keepdims=True)
        if J is None and not ok.any():
            raise ValueError(
                f"All the {n} first runs failed: there is nothing to learn from. `ask` gives the "
                "same points again; tell them when the limit state works."
            )
        self._state.tell(np.where(ok, Y, np.nan))

    def extend(self, budget: int) -> None:
        """Ask for `budget` further runs; every run so far is used again."""
        if self._state.points is not None:
            raise ValueError("Tell the points that were asked first.")
        self._state.begin(whole_number(budget, "budget", LEAST_BUDGET))

    def result(self) -> FailureProbability:
        """What the runs told so far show.

        Raises
        ------
        ValueError
            Before the first round was told.
        """
        return self._state.result(None)


class _State:
    """A procedure on its way: which points wait for values, and what came of the others."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.inputs = asked, asked.inputs
        self.procedure: Procedure | None = None
        self.n_limit_states: int | None = None
        self.points: Array | None = None
        self._generator: Points | None = None

    def look_first(self, runs: ModelRuns, gradient: Callable[[Array], ArrayLike]) -> None:
        """Search design points, before the procedure."""
        self.procedure, self.n_limit_states = self.new_procedure(), 1
        look_at_design_points(self.procedure, self.asked, runs, gradient)

    def begin(self, budget: int) -> None:
        """Start to spend; the number of limit states is not known before the first values."""
        self.procedure = self.procedure or self.new_procedure()
        self._generator = self.procedure.spend(budget, self._enough)
        self._advance(None)

    def tell(self, g: Array) -> None:
        """Values (n, J) at the points."""
        assert self.procedure is not None
        g = np.clip(g, -_LARGEST, _LARGEST)
        if self.n_limit_states is None:
            self.n_limit_states = g.shape[1]
            self.procedure.set_limit_states(g.shape[1])
        self._advance(g)

    def _advance(self, g: Array | None) -> None:
        assert self._generator is not None
        try:
            with threadpool_limits(limits=1, user_api="blas"):
                self.points = next(self._generator) if g is None else self._generator.send(g)
        except StopIteration:
            self.points = self._generator = None

    def new_procedure(self) -> Procedure:
        """One without runs; it takes one limit state until the first values say how many."""
        rng = self.asked.rng
        events = Events(1, self.asked.thresholds)
        surrogate = self.asked.surrogate
        models = None
        if callable(surrogate):
            given = surrogate

            def of_z(z: Array) -> Array:
                x = self.inputs.from_normal(z)
                values, J = np.asarray(given(x.copy()), dtype=float), self.n_limit_states
                shape, finite = values.shape, bool(np.isfinite(values).all())
                values = values[:, None] if values.ndim == 1 else values
                if values.shape != (len(x), J) or not finite:
                    wanted = f"({len(x)},)" if J == 1 else f"({len(x)}, {J})"
                    raise ValueError(
                        f"`surrogate` must return finite values of the shape {wanted} for "
                        f"{len(x)} points, but returned the shape {shape}"
                        f"{'' if finite else ' with NaN or infinity'}."
                    )
                return values

            models = CheapModels(of_z, events, rng)
        elif surrogate is not None:
            models = CheapModels(surrogate, events, rng)
        return Procedure(events, self.inputs.dimension, models, rng)

    @property
    def _enough(self) -> Callable[[], bool] | None:
        """Whether all errors are as small as asked for; NaN, where nothing was met, is not."""
        target = self.asked.target_cv
        if target is None:
            return None

        def enough() -> bool:
            assert self.procedure is not None
            events = combined(self.procedure).some(slice(self.procedure.events.n_events))
            error = np.sqrt(events.variance)
            return bool(((error > 0.0) & (error <= target * events.mean)).all())

        return enough

    def result(self, again: Callable[[int], FailureProbability] | None) -> FailureProbability:
        """All that is known so far."""
        procedure = self.procedure
        if procedure is None or not procedure.rounds:
            raise ValueError("No round of runs was told yet: ask and tell until there is one.")
        with threadpool_limits(limits=1, user_api="blas"):
            return outcome(procedure, self.inputs, self._shape(), again)

    def _shape(self) -> tuple[int, ...]:
        """A dimension for limit states where there are several, one for thresholds if asked for."""
        J = self.n_limit_states or 1
        of_limit_states = (J,) if J > 1 else ()
        return of_limit_states + ((len(self.asked.thresholds),) if self.asked.several else ())


def _driven(
    state: _State,
    runs: ModelRuns,
    budget: int,
    runs_of: Callable[[int], ModelRuns],
) -> FailureProbability:
    """Run what is asked until nothing is; the result can be extended any number of times."""
    state.begin(budget)
    while state.points is not None:
        state.tell(runs(state.inputs.from_normal(state.points)))

    def again(further: int) -> FailureProbability:
        further = whole_number(further, "budget", LEAST_BUDGET)
        users = state.asked.surrogate  # which may hold what cannot be copied
        following = copy.deepcopy(state, {id(users): users})
        with runs_of(further) as more:
            return _driven(following, more, further, runs_of)

    return state.result(again)
