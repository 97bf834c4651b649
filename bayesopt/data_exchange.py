"""What a study takes from elsewhere: results, files, earlier studies; and what others can read."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from numpy.typing import ArrayLike, NDArray

from bayesopt.ask_tell import AskTell, Point
from bayesopt.csv_results import read_csv
from bayesopt.earlier_study import results_for
from bayesopt.given_results import given_results
from bayesopt.study_file import write_study
from bayesopt.trial import Evaluation, TrialState
from bayesopt.trial_table import to_dataframe

Gradients = ArrayLike | Sequence[Mapping[str, float] | None]
ByName = Mapping[str, ArrayLike] | Sequence[Mapping[str, Any] | None]


class DataExchange(AskTell):
    """A study that brings in results of others, and writes its own."""

    def add(
        self,
        X: Sequence[Point] | NDArray[Any],
        y: ArrayLike | Sequence[Evaluation],
        sd: ArrayLike | None = None,
        *,
        gradient: Gradients | None = None,
        gradient_sd: Gradients | float | None = None,
        constraints: ByName | None = None,
        constraint_sd: ByName | None = None,
        once: bool = False,
    ) -> None:
        """Add results from elsewhere; NaN and infinite values become failed trials.

        They may violate constraints: the model learns from them, but none of them is recommended.

        Parameters
        ----------
        X
            (n, d) array or a list of dicts.
        y
            (n,) values in the user's units, (n, m) for m objectives; or n Evaluations, which bring
            all that follows themselves.
        sd
            Standard errors, a scalar or of the shape of y; None or NaN where one is not known.
        gradient
            (n, d) array of partial derivatives, or a list of dicts (see `bayesopt.Evaluation`);
            NaN where there is none.
        gradient_sd
            Their standard errors, one for all or likewise.
        constraints
            Values of the `outcome_constraints`: (n,) by their names, or a list of dicts. One that
            is NaN or None makes a failed trial.
        constraint_sd
            Their standard errors, likewise, or a scalar by name; NaN or None: not known.
        once
            Only those that the study does not hold already, so that a script can be run again.

        Raises
        ------
        ValueError, TypeError
            If shapes differ, a constraint is missing or a point is not in the space; then nothing
            is added.
        StorageError
            If they cannot be saved; then nothing is added.
        """
        points = self._checked(X)
        ended = given_results(
            len(points),
            y,
            sd,
            gradient,
            gradient_sd,
            n_values=self._settings.n_values,
            constraints=constraints,
            constraint_sd=constraint_sd,
        )
        for fields in ended:
            if "evaluation" in fields:
                fields["evaluation"] = self._checked_evaluation(fields["evaluation"])
        with self._lock:
            self._ledger.add(points, ended, once)

    def to_dataframe(self) -> Any:
        """A pandas DataFrame, one row for each trial, indexed by its number.

        Columns: state, value, sd, the parameters, origin, attempt, reason, started and ended (UTC),
        seconds. A parameter with the name of another column is ``params.<name>``. For several
        objectives they are value_0, sd_0, value_1 and so on; outcome constraints are in
        ``constraint.<name>``, and ``constraint_sd.<name>`` where one has a standard error. What
        evaluations have cost is in ``cost`` where it was told.

        Raises
        ------
        ImportError
            Without pandas (`pip install 'bayesopt-uq[dataframe]'`).
        """
        return to_dataframe(
            self.trials,
            self.space,
            n_values=self._settings.n_values,
            constraints=self.outcome_constraints.names,
        )

    def export(self, path: str | PathLike[str]) -> None:
        """Write a copy of the study as JSON, whole or not at all; `load` reads it.

        Raises
        ------
        OSError
            If it cannot be written; a file that was there stays as it was.
        ValueError
            If there is another file than such a copy; it stays as it is.
        """
        write_study(path, self._settings.to_json(), self.trials)

    def add_csv(self, path: str | PathLike[str], *, value: str = "value", sd: str = "sd") -> None:
        """Add earlier results from a CSV file: a column for each parameter, one for the value.

        Rows without a value, or with the state "failed", become failed trials. Partial derivatives
        are read from columns "gradient." and the name of a parameter, their standard errors from
        "gradient_sd." and the name. Several objectives, outcome constraints, their standard errors
        and costs are read from columns with the names that `to_dataframe` gives them. Other columns
        are ignored. What the study holds already is not added again.

        Parameters
        ----------
        path
            With a header; commas, semicolons or tabs between the columns.
        value, sd
            Names of the columns of the values, and of their standard errors if there is one; for
            several objectives, what their names begin with.

        Raises
        ------
        OSError
            If it cannot be read.
        ValueError
            If a column is missing or a cell cannot be read; then nothing is added.
        StorageError
            If they cannot be saved; then nothing is added.
        """
        rows = read_csv(
            path,
            self.space,
            value,
            sd,
            n_values=self._settings.n_values,
            constraints=self.outcome_constraints.names,
        )
        ended = [self._fields(result) for _, result in rows]
        with self._lock:
            self._ledger.add([params for params, _ in rows], ended, True)

    def add_study(self, other: AskTell, **values: Any) -> None:
        """Add what has ended in another study, as results of one task of this one.

        What the study holds already is not added again. Standard errors and failures are kept; of
        a study whose parameters have a role partial derivatives are not.

        Parameters
        ----------
        other
            A study of the same parameters, but for the one that has a role here.
        **values
            The value of that one, as in ``study.add_study(old, task="2024")``.

        Raises
        ------
        TypeError, ValueError
            If that is no study, its parameters are other ones, a value is missing, not known or out
            of range, or a result does not fit this study; then nothing is added.
        StorageError
            If they cannot be saved; then nothing is added.
        """
        if not isinstance(other, AskTell):
            raise TypeError(f"`add_study` takes a bayesopt.Study, but got {other!r}.")
        points, results = results_for(self._settings, other._settings, other.trials, values)
        ended = [self._fields(result) for result in results]
        with self._lock:
            self._ledger.add(points, ended, True)

    def _fields(self, result: Evaluation | str) -> dict[str, Any]:
        """How a trial ended, as fields of Trial."""
        if isinstance(result, Evaluation):
            evaluation = self._checked_evaluation(result)
            return {"state": TrialState.COMPLETE, "evaluation": evaluation}
        return {"state": TrialState.FAILED, "reason": result}
