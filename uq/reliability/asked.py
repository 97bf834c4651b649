"""What is asked for, checked before a run is spent.

Notation
--------
n, d        points, inputs
J           limit states
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import check_name, finite_number, whole_number
from uq.inputs import Inputs
from uq.reliability.events import checked_thresholds
from uq.reliability.procedure import LEAST_BUDGET

Array = NDArray[np.float64]
Surrogate = Callable[[Array], ArrayLike] | Literal["auto", "gaussian_process", "polynomial"] | None


@dataclass(frozen=True)
class Numbers:
    """A limit state that must return numbers: True and False never lie below 0.

    Parameters
    ----------
    limit_state
        The user's own.
    """

    limit_state: Callable[[Array], ArrayLike]

    def __call__(self, x: Array) -> ArrayLike:
        """Values at points (n, d); raises TypeError for True and False."""
        values = self.limit_state(x)
        if np.asarray(values).dtype == bool:
            raise TypeError(
                "`limit_state` returned True and False: return numbers that are negative where it "
                "fails, such as np.where(fails, -1.0, 1.0)."
            )
        return values


class Asked:
    """Arguments, checked."""

    def __init__(
        self,
        inputs: Inputs,
        threshold: float,
        thresholds: ArrayLike | None,
        budget: int,
        target_cv: float | None,
        surrogate: Surrogate,
        rng: int | np.random.Generator | None,
    ) -> None:
        if not isinstance(inputs, Inputs):
            raise TypeError(
                "`inputs` must be a uq.Inputs, which has a standard normal space, but got "
                f"{inputs!r}."
            )
        self.inputs = inputs
        self.thresholds, self.several = checked_thresholds(threshold, thresholds)
        self.budget = whole_number(budget, "budget", LEAST_BUDGET)
        self.target_cv = None if target_cv is None else finite_number(target_cv, "`target_cv`")
        if self.target_cv is not None and not self.target_cv > 0.0:
            raise ValueError(f"`target_cv` must be positive, such as 0.05, but got {target_cv!r}.")
        if surrogate is not None and not callable(surrogate):
            also = "or None or a function"
            check_name("surrogate", surrogate, ("auto", "gaussian_process", "polynomial"), also)
        self.surrogate = surrogate
        # A generator of our own: what its owner draws later has no influence on `extend`.
        self.rng = np.random.default_rng(np.random.default_rng(rng).integers(2**63))
