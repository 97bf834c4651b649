"""Where to evaluate next in a space with roles, so that the best target is found for little cost.

    "kg", "auto"    knowledge gradient of the target, per unit cost; where evaluations had traces,
                    that of an evaluation with its trace, beyond what the cheapest tells
    "ei"            the design by expected improvement of the target, its role by what it tells of
                    the target, per unit cost
    own             a callable of the user's gets the process over all columns; per unit cost

Outcome constraints are those of the target: each of these is multiplied by the probability that
they are met there, and while nothing is feasible it is the design where that is most likely, and
the role that tells most of all outcomes. Where evaluations fail is learnt over all columns.

A fidelity or a source is asked at the target, at the best design that is foreseen, at the latest
when the evaluations elsewhere have cost as much, or are ten: without that a bias that cheap ones do
not show would never be seen (`docs/benchmarks`). Until it was asked once, what that costs is kept
back (see `bayesopt.suggestion`). No formula lives here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction
from torch import Tensor

from bayesopt import optimize
from bayesopt.acquisition import target_knowledge_gradient, trace_knowledge_gradient
from bayesopt.acquisition.expected_improvement import ExpectedImprovement
from bayesopt.acquisition.pending import believe
from bayesopt.acquisition.trace_knowledge_gradient import Curve
from bayesopt.acquisition.two_steps import LearntOfTarget
from bayesopt.acquisition.with_probability import Certain, WithProbability
from bayesopt.composition import Composition
from bayesopt.models.outcomes import OutcomeModels
from bayesopt.observations import Observations
from bayesopt.parameter import Array, Parameter
from bayesopt.region import Region
from bayesopt.spending import Spending
from bayesopt.target import Target, has_approximations
from bayesopt.trial import Trial

_MOST_ELSEWHERE = 10  # evaluations in a row
_N_ROLES = 33  # values of a Float that are compared
_MOST_ROLES = 100  # of another parameter


@dataclass(frozen=True)
class TargetSearch:
    """What is known of f over all columns, beside what is known of its target.

    Parameters
    ----------
    target
        The designs, and the processes of the target.
    models, seen
        The processes of f over all columns, and the observations they were fitted to.
    everywhere
        Where evaluations may be made.
    sought
        Nodes and weights of the target.
    spending
        What evaluations cost, and what is left.
    """

    target: Composition
    models: OutcomeModels
    seen: Observations
    everywhere: Region
    sought: Target
    spending: Spending

    def candidates(
        self, X_pending: Tensor | None, incumbents: Array, rng: np.random.Generator
    ) -> Array:
        """Points (k, d) to evaluate, best first, beside running ones (m, d)."""
        effort = self.target.policy.search.effort
        search = self._beside(X_pending)
        name = self.target.policy.acquisition
        feasible = search._something_feasible()
        if name == "ei" or not feasible:
            return search._two_steps(search._of_design(feasible), incumbents, rng)
        acquisition = search.spending.affordable(search._acquisition())
        X, v = optimize.maximize(acquisition, self.everywhere, incumbents, rng, effort=effort)
        return X[np.isfinite(v)]

    def is_turn_of_target(self, trials: Sequence[Trial], x: Array) -> bool:
        """Whether enough was spent elsewhere since the target was asked.

        Parameters
        ----------
        trials
            All that are known.
        x
            (d,) what would be asked.

        Raises
        ------
        BudgetSpent
            If it was asked long ago, and cannot be paid any more: what is learnt elsewhere could
            not be checked.
        """
        if not has_approximations(self.everywhere.space):
            return False
        since = self._costs_since_target(trials)
        if self.spending.can_pay(x):
            return len(since) >= _MOST_ELSEWHERE or sum(since) >= self.spending.cost(x)
        if len(since) >= _MOST_ELSEWHERE:
            raise self.spending.too_dear(x)
        return False

    def _costs_since_target(self, trials: Sequence[Trial]) -> list[float]:
        """What the evaluations since the last one at the target cost."""
        costs: list[float] = []
        for trial in sorted(trials, key=lambda trial: trial.number):
            at_target = self.everywhere.space.is_at_target(trial.params)
            costs = [] if at_target else [*costs, self.spending.paid(trial)]
        return costs

    def _beside(self, X_pending: Tensor | None) -> "TargetSearch":
        """The same after the running evaluations have returned what is expected of them."""
        if X_pending is None:
            return self
        with_traces, curve = X_pending, self._curve()
        if curve is not None:
            points, there = curve.points(X_pending.unsqueeze(-2))
            with_traces = points[there]
        believed = replace(
            self.models,
            objectives=tuple(
                believe(model, data, with_traces)
                for model, data in zip(self.models.objectives, self.seen.objectives, strict=True)
            ),
            constraints=tuple(
                believe(model, each.data, X_pending)
                for model, each in zip(self.models.constraints, self.seen.constraints, strict=True)
            ),
        )
        return replace(self, models=believed, target=replace(self.target, models=believed.target))

    def _something_feasible(self) -> bool:
        if not self.seen.constraints:
            return True
        return bool((self.target.inside() & self.target.feasible()).any())

    def _acquisition(self) -> AcquisitionFunction:
        model = self.models.objectives[0]
        if callable(self.target.policy.acquisition):
            build = self.target.policy.builder(self.everywhere)
            own = build(model, self.seen.objectives[0], None)
            return self._with_chances(self.spending.per_cost(own))
        where = model, self.seen.of_trials.X, self.target.region, self.everywhere
        curve = self._curve()
        if curve is None:
            wanted = target_knowledge_gradient.build(*where, self.spending.per_cost)
        else:
            wanted = trace_knowledge_gradient.build(*where, curve, self.spending.per_cost)
        return self._with_chances(wanted)

    def _curve(self) -> Curve | None:
        """What comes along with an evaluation, where evaluations had traces."""
        of_traces = self.seen.X[len(self.seen.met) :]
        if len(of_traces) == 0:
            return None
        (column,) = self.everywhere.space.role_columns
        target = float(self.sought.nodes)
        farthest = of_traces.new_tensor([0.0 if target >= 0.5 else 1.0])
        return Curve(column, target, torch.cat((of_traces[:, column], farthest)))

    def _of_design(self, feasible: bool) -> AcquisitionFunction:
        """What the design is chosen by."""
        chances = self.target.factors()
        if not feasible:
            return WithProbability(Certain(self.target.models.objectives[0]), chances)
        model = self.target.models.objectives[0]
        rows = self.target.inside() & self.target.feasible()
        with torch.no_grad():
            best = float(model.marginals(self.target.seen.X[rows])[0].max())
        wanted = ExpectedImprovement(model, best)
        return WithProbability(wanted, chances) if chances else wanted

    def _two_steps(
        self, of_design: AcquisitionFunction, incumbents: Array, rng: np.random.Generator
    ) -> Array:
        effort = self.target.policy.search.effort
        reports = self.target.region
        X, _ = optimize.maximize(of_design, reports, incumbents, rng, effort=effort)
        learnt = LearntOfTarget([*self.models.objectives, *self.models.constraints])
        per_cost = self.spending.per_cost(learnt)
        success = self._at_points.success()
        worth = WithProbability(per_cost, success) if success else per_cost
        acquisition = self.spending.affordable(worth)
        found = []
        for x in X[:3]:
            at = self._in_all_roles(x)
            with torch.no_grad():
                v = acquisition(torch.from_numpy(at).unsqueeze(-2)).numpy()
            order = np.argsort(-v, kind="stable")
            found.append(at[order][np.isfinite(v[order])])
        return np.concatenate(found)

    def _in_all_roles(self, x: Array) -> Array:
        """A design (d,) with every value of the role columns, or many."""
        space, columns = self.everywhere.space, list(self.everywhere.space.role_columns)
        if space.role == "environment":
            roles = self.sought.nodes.numpy()
        else:
            roles = _values(space[space.names[columns[0]]])[:, None]
        at = np.repeat(x[None], len(roles), axis=0)
        at[:, columns] = roles
        inside: Array = at[self.everywhere.holds(at)]
        return inside

    @property
    def _at_points(self) -> Composition:
        """The constraints of the target, and where evaluations fail over all columns."""
        models = replace(self.target.models, success=self.models.success)
        return replace(self.target, models=models, seen=self.seen)

    def _with_chances(self, wanted: AcquisitionFunction) -> AcquisitionFunction:
        chances = self._at_points.factors()
        return WithProbability(wanted, chances) if chances else wanted


def _values(parameter: Parameter) -> Array:
    """Coordinates (k,) of all values of a parameter, or of many."""
    if parameter.size is None:
        return np.linspace(0.0, 1.0, _N_ROLES)
    return parameter.unit_of(np.unique(np.linspace(0, parameter.size - 1, _MOST_ROLES).round()))
