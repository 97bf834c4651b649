"""What `input_impact` returns: quantities under many laws, against those under a reference law.

Notation
--------
L, Q        laws, quantities
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesopt.arguments import check_name
from uq import plots
from uq.density_search import Stage
from uq.estimates import ConfidenceInterval, Expectations, share_outside
from uq.impact.compared_estimates import ComparedEstimates, What
from uq.impact.law_labels import LawLabel, axis_label, lines
from uq.impact.law_quantities import Quantities
from uq.impact.law_reach import reach, reach_flags
from uq.importance_sampling import effective_sample_size, max_weight_share
from uq.joint_laws import Law, law_of

Array = NDArray[np.float64]

_PREFIXES: dict[What, str] = {"estimate": "", "index": "index_", "difference": "difference_"}


@dataclass(frozen=True, eq=False)
class InputImpact:
    """Quantities of the output under L laws of the inputs.

    Arrays that are said to be (L,) are (Q, L) when `quantity` is a list of Q names.

    Parameters
    ----------
    quantity
        Name or names of what was asked for.
    labels
        L, which law each is.
    estimates
        Q, each of the reference law first and then the L laws, with their covariance.
    quantities
        Level, threshold, and how the output was scaled.
    reference
        The law all are compared with.
    sample, values
        (n, d) final sample and (n,) outputs there, NaN where a run failed.
    log_density
        (n,) of the density the sample was drawn from.
    log_weights
        (n, 1 + L) log f_l - log g, the reference first.
    in_reach
        (L,) whether the sample carries what is said of the law; one row, whatever was asked for.
    folds
        (n,) labels of independent folds.
    independent
        Whether the points of one fold are independent draws.
    n_evaluations
        Runs of the model, failed ones included: the budget.
    failed_points
        (m, d) points at which the model gave NaN or infinity.
    history
        Stages, the final sample last.
    message
        What was done, in words.
    flags
        What to be careful about; empty when there is nothing.
    """

    quantity: str | tuple[str, ...]
    labels: tuple[LawLabel, ...]
    estimates: tuple[ComparedEstimates, ...]
    quantities: Quantities
    reference: Law
    sample: Array
    values: Array
    log_density: Array
    log_weights: Array
    in_reach: NDArray[np.bool_]
    folds: NDArray[np.int64]
    independent: bool
    n_evaluations: int
    failed_points: Array
    history: Sequence[Stage]
    message: str
    flags: Sequence[str] = ()

    @property
    def estimate(self) -> Array:
        """(L,) the quantity under each law."""
        return self._shaped([one.values[1:] for one in self.estimates])

    @property
    def standard_error(self) -> Array:
        """(L,) of the estimates; NaN where it is not known."""
        return self._shaped([one.standard_error[1:] for one in self.estimates])

    @property
    def reference_estimate(self) -> Array:
        """The quantity under the reference law: a number, or (Q,)."""
        return self._shaped([one.values[0] for one in self.estimates])

    @property
    def reference_standard_error(self) -> Array:
        """Its standard error: a number, or (Q,)."""
        return self._shaped([one.standard_error[0] for one in self.estimates])

    @property
    def index(self) -> Array:
        """(L,) perturbed-law index I_l / I_0 - 1; NaN where I_0 is 0."""
        return self._shaped([one.compared("index")[0] for one in self.estimates])

    @property
    def index_standard_error(self) -> Array:
        """(L,) of the indices."""
        return self._shaped([one.compared("index")[1] for one in self.estimates])

    @property
    def difference(self) -> Array:
        """(L,) I_l - I_0."""
        return self._shaped([one.compared("difference")[0] for one in self.estimates])

    @property
    def difference_standard_error(self) -> Array:
        """(L,) of the differences."""
        return self._shaped([one.compared("difference")[1] for one in self.estimates])

    def _shaped(self, rows: Sequence[Array]) -> Array:
        return rows[0] if isinstance(self.quantity, str) else np.stack(rows)

    @property
    def ess(self) -> Array:
        """(L,) effective sample sizes under the laws; one row, whatever was asked for."""
        return effective_sample_size(self.log_weights)[1:]

    @property
    def max_weight_share(self) -> Array:
        """(L,) share of the largest weight in the sum of weights; one row."""
        return max_weight_share(self.log_weights)[1:]

    @property
    def n_failed(self) -> int:
        """Number of failed runs."""
        return len(self.failed_points)

    def confidence_interval(
        self,
        confidence_level: float = 0.95,
        *,
        of: What = "estimate",
        simultaneous: bool = False,
    ) -> ConfidenceInterval:
        """Student intervals under each law.

        Parameters
        ----------
        confidence_level
            Between 0 and 1.
        of
            "estimate", "index" or "difference".
        simultaneous
            Whether those of all laws together hold at that level (Bonferroni), for each quantity.

        Returns
        -------
        ConfidenceInterval
            Its ends are (L,).
        """
        check_name("of", of, ("estimate", "index", "difference"))
        outside = share_outside(confidence_level) / (len(self.labels) if simultaneous else 1)
        low, high = zip(*(one.interval(of, outside) for one in self.estimates), strict=True)
        return ConfidenceInterval(self._shaped(low), self._shaped(high))

    def reweight(self, law: Any) -> "InputImpact":
        """The same runs under other laws, at no evaluation.

        Parameters
        ----------
        law
            One law, or a list of laws. See `uq.Inputs`.

        Returns
        -------
        InputImpact
            Of these laws alone, flagged where the sample hardly reaches one. The reference is
            weighted in the same way, without a surrogate, so that its error is shared.
        """
        laws = [law_of(one) for one in law] if isinstance(law, list | tuple) else [law_of(law)]
        if not laws:
            raise ValueError("`law` is an empty list; give at least one law.")
        functions = self.quantities.of(self.values)
        n, F = functions.shape
        K = 1 + len(laws)
        message = f"{len(laws)} laws by the weights of the {n} runs at hand; no new evaluation."
        weighted = Expectations(
            estimate=np.zeros(F * K),
            covariance=np.zeros((F * K, F * K)),
            n_free=min(one.n_free for one in self.estimates),
            n_evaluations=self.n_evaluations,
            failed_points=self.failed_points,
            history=self.history,
            sample=self.sample,
            values=np.repeat(functions, K, axis=1),
            log_density=self.log_density,
            log_weights=np.zeros((n, F * K)),
            folds=self.folds,
            independent=self.independent,
            message=message,
        ).reweight([self.reference, *laws] * F)
        labels = tuple(LawLabel("", "law", float(k)) for k in range(len(laws)))
        return impact(
            weighted, self.values, self.quantity, self.quantities, labels, self.reference,
            np.arange(K), message,
        )  # fmt: skip

    def to_dataframe(self, confidence_level: float = 0.95) -> Any:
        """A pandas data frame, one row a quantity and law (pandas is imported on use)."""
        import pandas

        outside = share_outside(confidence_level)
        laws = {
            "law": [str(label) for label in self.labels],
            "input": [label.input for label in self.labels],
            "kind": [label.kind for label in self.labels],
            "delta": [label.delta for label in self.labels],
        }
        reach = {
            "ess": self.ess,
            "max_weight_share": self.max_weight_share,
            "in_reach": self.in_reach,
        }
        frames = []
        for name, one in zip(self.quantities.names, self.estimates, strict=True):
            columns: dict[str, Any] = {"quantity": name, **laws}
            for what, prefix in _PREFIXES.items():
                columns[what], columns[f"{prefix}standard_error"] = one.compared(what)
                columns[f"{prefix}low"], columns[f"{prefix}high"] = one.interval(what, outside)
            frames.append(pandas.DataFrame(columns | reach))
        return pandas.concat(frames, ignore_index=True)

    def plot(self, ax: Any = None) -> Any:
        """Indices with 95 % intervals, a line an input over delta, or a point a law.

        Parameters
        ----------
        ax
            matplotlib axes, a sequence of Q of them for Q quantities; new ones when None.

        Returns
        -------
        matplotlib.axes.Axes
            Or an array (Q,) of them.
        """
        Q = len(self.estimates)
        if ax is None and Q > 1:
            import matplotlib.pyplot as plt

            ax = plt.subplots(1, Q, figsize=(5.2 * Q, 4.0), layout="constrained")[1]
        axes = [ax] if isinstance(self.quantity, str) else np.atleast_1d(ax)
        if len(axes) != Q:
            raise ValueError(f"`ax` must be {Q} axes, one a quantity, but got {len(axes)}.")
        drawn = [self._drawn(k, given) for k, given in enumerate(axes)]
        return drawn[0] if isinstance(self.quantity, str) else np.array(drawn)

    def _drawn(self, k: int, ax: Any) -> Any:
        """Indices of the k-th quantity."""
        one, name = self.estimates[k], self.quantities.names[k].replace("_", " ")
        columns = (
            np.array([label.delta for label in self.labels]),
            one.compared("index")[0],
            *one.interval("index", 0.05),
            self.in_reach,
        )
        groups = {
            line: tuple(column[rows] for column in columns)
            for line, rows in lines(self.labels).items()
        }
        shown = f"{self.quantities.level:g}-quantile" if name == "quantile" else name
        return plots.impacts(groups, axis_label(self.labels), f"{shown} / reference - 1", ax)

    def plot_weights(self, ax: Any = None) -> Any:
        """Effective share of the sample and largest weight under each law, by its number.

        Parameters
        ----------
        ax
            matplotlib axes to draw on; new ones when None.

        Returns
        -------
        matplotlib.axes.Axes
        """
        share = self.ess / len(self.sample)
        return plots.weights_of_laws(share, self.max_weight_share, self.in_reach, ax)


def impact(
    r: Expectations,
    y: Array,
    quantity: str | tuple[str, ...],
    quantities: Quantities,
    labels: tuple[LawLabel, ...],
    reference: Law,
    columns: NDArray[np.int64],
    message: str,
) -> InputImpact:
    """The result out of expectations of all functions under K different laws.

    Parameters
    ----------
    r, y
        See `Quantities.estimates`.
    quantity, quantities
        What was asked for.
    labels, reference
        The L laws and the law 0.
    columns
        (1 + L,) which of the K laws the reference and each law is.
    message
        What was done.
    """
    estimates = tuple(one.of_laws(columns) for one in quantities.estimates(r, y))
    log_weights = r.log_weights[:, columns]
    names = ["the reference", *map(str, labels)]
    reasons = reach(quantities, estimates, y, log_weights)
    flags = reach_flags(quantities, estimates, y, log_weights, reasons, names)
    if len(r.failed_points):
        flags.append(
            f"{len(r.failed_points)} of {r.n_evaluations} runs failed: all is given that a run "
            "does not fail."
        )
    in_reach = np.array([reason is None for reason in reasons[1:]])
    return InputImpact(
        quantity, labels, estimates, quantities, reference, r.sample, y, r.log_density,
        log_weights, in_reach, r.folds, r.independent, r.n_evaluations, r.failed_points,
        r.history, message, flags,
    )  # fmt: skip
