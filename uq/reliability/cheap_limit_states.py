"""Cheap limit states of every kind behind one face.

Notation
--------
J           limit states
z, g        (n, d) points in standard normal space, (n, J) values of the limit states
c           (J,) scales on which they are looked at near the thresholds
R           folds; R' is R, or 1 where all folds share one function
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from uq.reliability.events import Events
from uq.surrogates.fixed_limit_states import given_limit_state, polynomial_limit_state
from uq.surrogates.limit_state_trend import Warp

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Given = Callable[[Array], Array]
Kind = Literal["auto", "gaussian_process", "polynomial"] | Given


@dataclass(frozen=True, eq=False)
class CheapLimitStates:
    """One cheap model for every limit state, cross-fitted or not.

    Parameters
    ----------
    fits
        J functions (n, d) to (n, R'), each with an `error` (R',) and a `cost`.
    """

    fits: Sequence[Any]

    def __call__(self, z: Array) -> Array:
        """(n, J) values by the first fit of each: for models without folds."""
        return np.stack([fit(z)[:, 0] for fit in self.fits], axis=1)

    def without_folds(self, z: Array) -> Array:
        """(n, R', J) values by the fits without each fold."""
        values = [fit(z) for fit in self.fits]
        width = max(one.shape[1] for one in values)
        return np.stack([np.broadcast_to(one, (len(z), width)) for one in values], axis=2)

    @property
    def error(self) -> Array:
        """(J,) what they are off by near the thresholds, mean over the fits."""
        return np.array([float(fit.error.mean()) for fit in self.fits])

    @property
    def errors(self) -> Array:
        """(R', J) the same of each fit."""
        width = max(len(fit.error) for fit in self.fits)
        return np.stack([np.broadcast_to(fit.error, width) for fit in self.fits], axis=1)

    @property
    def cost(self) -> int:
        """About how many numbers one point costs."""
        return sum(fit.cost for fit in self.fits)


@dataclass(frozen=True, eq=False)
class CheapModels:
    """How cheap limit states are made.

    Parameters
    ----------
    kind
        "auto" and "gaussian_process": a process; "polynomial"; or the user's own function of z,
        (n, d) to (n, J).
    events
        Whose thresholds matter.
    rng
        Source of random numbers.
    """

    kind: Kind
    events: Events
    rng: np.random.Generator

    def fitted(self, z: Array, g: Array, scale: Array, most_points: int) -> CheapLimitStates:
        """One fit to all the runs: points (n, d) and finite values (n, J).

        Parameters
        ----------
        z, g
            (n, d) and (n, J).
        scale
            (J,) c.
        most_points
            That a process may rest on.
        """
        fits: list[Any] = []
        nobody = np.full(len(z), -1)
        for j, warp in enumerate(self._warps(scale)):
            if callable(self.kind) or self.kind == "polynomial":
                fits.append(self._fixed(j, z, g, warp))
            else:
                process = self._process(z, g[:, j], warp)
                fits.append(process.without_folds(z, g[:, j], nobody, most_points))
        return CheapLimitStates(fits)

    def cross_fitted(
        self, learning: tuple[Array, Array], runs: tuple[Array, Array, Labels], scale: Array
    ) -> CheapLimitStates:
        """Fits to learning runs (z, g) and to all folds but one of runs (z, g, labels).

        What is no process is fitted to the learning runs alone, and is the same for all folds.
        """
        z, g = learning
        if callable(self.kind) or self.kind == "polynomial":
            return CheapLimitStates(
                [self._fixed(j, z, g, warp) for j, warp in enumerate(self._warps(scale))]
            )
        labels = np.concatenate([np.full(len(z), -1), runs[2]])
        both = np.concatenate([z, runs[0]])
        fits = []
        for j, warp in enumerate(self._warps(scale)):
            process = self._process(z, g[:, j], warp)
            values = np.concatenate([g[:, j], runs[1][:, j]])
            fits.append(process.without_folds(both, values, labels))
        return CheapLimitStates(fits)

    def _fixed(self, j: int, z: Array, g: Array, warp: Warp) -> Any:
        if not callable(self.kind):
            return polynomial_limit_state(z, g[:, j], warp)
        given = self.kind

        def function(at: Array) -> Array:
            return given(at)[:, j]

        return given_limit_state(function, z, g[:, j], warp)

    def _warps(self, scale: Array) -> list[Warp]:
        low, high = self.events.thresholds[[0, -1]]
        return [Warp(float(low), float(high), float(c)) for c in scale]

    def _process(self, z: Array, g: Array, warp: Warp) -> Any:
        from uq.surrogates.limit_state_process import LimitStateProcess  # loads torch

        return LimitStateProcess(z, g, warp, self.rng)
