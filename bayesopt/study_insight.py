"""What a study tells of what it has learnt: points to use, predictions, explanations."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from numpy.typing import NDArray

from bayesopt.ask_tell import AskTell, Point
from bayesopt.explanation import Explanation
from bayesopt.insight import Insight
from bayesopt.parameter import Array
from bayesopt.pareto_front import ParetoFront
from bayesopt.recommend import Recommendation, Rule
from bayesopt.space import Params


class StudyInsight(AskTell):
    """A study that answers from the models of all its trials."""

    def recommend(self, rule: Rule | Literal["auto"] = "auto") -> Recommendation:
        """The point to use.

        Parameters
        ----------
        rule
            "best_observed", "best_evaluated_mean" or "best_mean" (see `bayesopt.recommend`);
            "auto" is the first when `noise` is False and no value has a standard error, the second
            otherwise, and the third where no evaluated point satisfies the constraints on the
            parameters.

        Raises
        ------
        ValueError
            If nothing has been observed yet, the rule is not known, or there are several
            objectives (see `pareto_front`).
        """
        return self._insight.recommend(rule)

    def predict(
        self, points: Sequence[Point] | NDArray[Any], *, observation_noise: bool = False
    ) -> tuple[Array, Array]:
        """Mean (n,) and standard deviation (n,) of the function, without noise, at n points.

        Of m > 1 objectives (n, m) and (n, m). With `observation_noise` of a new observation
        there: ``mean - 1.96 sd`` to ``mean + 1.96 sd`` should hold 95 % of them.

        Where parameters have a role: at a point that gives them, of the function there, whatever
        is sought; at a point that leaves all of them out, of what is sought, which is the function
        at the target, or its mean or its bad cases over tasks or an environment. These cannot be
        observed, and have no `observation_noise`.

        Fitted to all values as they are. The search and `recommend` look harder at the good values
        and count the poor ones only as poor, so that their numbers differ a little from these.

        Raises
        ------
        ValueError, TypeError
            If nothing has been observed yet, or a point is not in the space.
        """
        return self._insight.predict(self._asked(points), observation_noise)

    def predict_constraints(
        self, points: Sequence[Point] | NDArray[Any]
    ) -> dict[str, tuple[Array, Array]]:
        """By name: mean (n,) and standard deviation (n,) of the outcome constraints at n points.

        Where parameters have a role points are as in `predict`.

        Raises
        ------
        ValueError, TypeError
            If nothing has been observed yet, or a point is not in the space.
        """
        return self._insight.predict_constraints(self._asked(points))

    def feasibility(self, points: Sequence[Point] | NDArray[Any]) -> Array:
        """Probability (n,) that n points meet the outcome constraints and do not fail.

        Where parameters have a role points are as in `predict`: what is sought meets the outcome
        constraints at its target, or on average.

        Raises
        ------
        ValueError, TypeError
            If nothing has been observed yet, or a point is not in the space.
        """
        return self._insight.feasibility(self._asked(points))

    def pareto_front(self) -> ParetoFront:
        """The evaluated points of several objectives that no other one dominates.

        Raises
        ------
        ValueError
            If there is one objective, or nothing has been observed yet.
        """
        return self._insight.pareto_front()

    @property
    def description(self) -> str:
        """Model and acquisition that choose the points, in words.

        Raises
        ------
        ValueError
            If nothing has been observed yet.
        """
        return self._insight.description

    def explain(self) -> Explanation:
        """What the model behind the search has learnt, and how far to trust it; print it.

        Raises
        ------
        ValueError
            If nothing has been observed yet.
        """
        return self._insight.explain()

    def _asked(self, points: Sequence[Point] | NDArray[Any]) -> list[Params]:
        if isinstance(points, Mapping):
            raise TypeError(f"A list of points is needed, but one point came: {points!r}.")
        return [self.space.check_asked(point) for point in points]

    @property
    def _insight(self) -> Insight:
        return Insight(self._settings, self.region, self.trials)
