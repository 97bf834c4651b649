"""Estimates of one quantity under several laws, against the first of them.

Notation
--------
L           laws beside the reference
I_l, I_0    the quantity under law l and under the reference; C covariance of their estimates

    index       r - 1,          r = I_l / I_0,
                                variance (C_ll - 2 r C_l0 + r^2 C_00) / I_0^2                (1)
    difference  I_l - I_0,      variance  C_ll - 2 C_l0 + C_00                               (2)

One sample serves all laws, so that C_l0 takes away most of the error: an index is often far better
known than the quantities it compares. Index (1) is that of Lemaitre et al. (2015) as Iooss, Verges
& Larget (2022) write it, for any quantity.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
What = Literal["estimate", "index", "difference"]


@dataclass(frozen=True, eq=False)
class ComparedEstimates:
    """One quantity under 1 + L laws.

    Parameters
    ----------
    values
        (1 + L,), the reference first.
    covariance
        (1 + L, 1 + L).
    n_free
        Degrees of freedom of the Student quantile in its intervals.
    """

    values: Array
    covariance: Array
    n_free: float

    def of_laws(self, columns: NDArray[np.int64]) -> "ComparedEstimates":
        """The same of other laws out of these; one may come several times."""
        covariance = self.covariance[np.ix_(columns, columns)]
        return ComparedEstimates(self.values[columns], covariance, self.n_free)

    @property
    def standard_error(self) -> Array:
        """(1 + L,)."""
        return _root(np.diagonal(self.covariance))

    def compared(self, what: What) -> tuple[Array, Array]:
        """(L,) values and (L,) standard errors of estimates, indices or differences."""
        C, reference = self.covariance, self.values[0]
        if what == "estimate":
            return self.values[1:], self.standard_error[1:]
        if what == "difference":
            variance = np.diagonal(C) - 2.0 * C[0] + C[0, 0]  # (2)
            return self.values[1:] - reference, _root(variance)[1:]
        ratio = self.values / (reference if reference != 0.0 else np.nan)
        variance = np.diagonal(C) - 2.0 * ratio * C[0] + ratio**2 * C[0, 0]
        error = _root(variance / reference**2 if reference else variance)
        return ratio[1:] - 1.0, error[1:]  # (1)

    def interval(self, what: What, outside: float) -> tuple[Array, Array]:
        """(L,) ends of Student intervals that miss with the probability `outside`."""
        centre, error = self.compared(what)
        half = stats.t.isf(outside / 2.0, self.n_free) * error
        return centre - half, centre + half


def _root(variance: Array) -> Array:
    """Standard errors; what rounding made negative is 0."""
    return np.sqrt(np.maximum(variance, 0.0))
