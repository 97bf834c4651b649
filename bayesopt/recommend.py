"""Which point to report: three rules, none of which trusts the luckiest observation under noise.

Notation
--------
X       (n, d) evaluated points
mu      posterior mean of the score
p       probability that all outcome constraints are met; 0 or 1 at X where nothing is noisy
delta   accepted risk (see `composition`)

    "best_observed"         argmax of the observed scores (exact observations only)
    "best_evaluated_mean"   argmax over X of mu           Frazier (2018), the rule behind Eq. (13)
    "best_mean"             argmax over the whole space of mu                   ibid., Section 2

all of them among points with p >= 1 - delta. Where there is none, the point that misses its
constraints by least is taken where nothing is noisy, else the one of the largest p; "best_mean"
trades p for mu by the penalty of `feasible_mean`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch

from bayesopt import optimize
from bayesopt.arguments import check_name
from bayesopt.composition import RISK, Composition
from bayesopt.data import Dataset, observed_values
from bayesopt.trial import Trial

Rule = Literal["best_observed", "best_evaluated_mean", "best_mean"]


@dataclass(frozen=True)
class Recommendation:
    """The point to use, in the user's units.

    Parameters
    ----------
    params
        Parameter values by name. One that has a role is at its target; an environment is left out,
        and so is a task that has no target.
    mean, sd
        What the model expects there and how unsure it is; the observed value and 0 when
        observations are exact and the point was observed.
    rule
        Which rule chose it.
    feasibility
        Probability that it meets the outcome constraints; 1 where there are none.
    """

    params: Mapping[str, Any]
    mean: float
    sd: float
    rule: Rule
    feasibility: float = 1.0


def recommend(found: Composition, trials: Sequence[Trial], rule: Rule, seed: int) -> Recommendation:
    """Apply one rule, for one objective.

    Parameters
    ----------
    found
        The study, and the models that were fitted to it.
    trials
        The complete trials, the rows of the observations.
    rule
        One of the three above.
    seed
        Seed of the search over the whole space.

    Raises
    ------
    ValueError
        If the rule is not known, or it chooses among evaluated points and none of them satisfies
        the constraints on the parameters.
    """
    check_name("rule", rule, get_args(Rule))
    if rule == "best_mean":
        return _best_mean(found, seed)
    data = found.seen.objectives[0]
    with torch.no_grad():
        mean, variance = found.models.objectives[0].marginals(data.X)
    observed = observed_values(trials)
    score = data.scaling.sign * observed if rule == "best_observed" else mean.numpy()
    if not found.region.holds(data.X.numpy()).any():
        raise ValueError(
            "No evaluated point satisfies the constraints; tell one that does, or use the rule "
            "'best_mean'."
        )
    best = int(found.ranked(score)[0])
    params, feasibility = trials[best].params, float(found.log_feasibility()[best].exp())
    if bool(data.Yvar[best] == 0):
        return Recommendation(params, float(observed[best]), 0.0, rule, feasibility)
    value, sd = _in_units(data, float(mean[best]), float(variance[best]))
    return Recommendation(params, value, sd, rule, feasibility)


def _best_mean(found: Composition, seed: int) -> Recommendation:
    posterior_mean, region = found.mean(), found.region
    data, model = found.seen.objectives[0], found.models.objectives[0]
    with torch.no_grad():
        order = torch.argsort(posterior_mean(data.X.unsqueeze(-2)), descending=True, stable=True)
    incumbents = data.X[order[:5]].numpy()
    rng = np.random.default_rng([seed, 0, 1])
    X, _ = optimize.maximize(posterior_mean, region, incumbents, rng)
    likely = found.probability_of_feasibility(torch.from_numpy(X)) >= 1.0 - RISK
    x = X[int(likely.double().argmax())]  # the first one, or none is
    at = torch.from_numpy(x[None])
    with torch.no_grad():
        mean, variance = model.marginals(at)
    value, sd = _in_units(data, float(mean), float(variance))
    params = region.must_hold(region.space.from_unit(x))
    feasibility = float(found.probability_of_feasibility(at))
    return Recommendation(params, value, sd, "best_mean", feasibility)


def _in_units(data: Dataset, mean: float, variance: float) -> tuple[float, float]:
    value = data.scaling.value(np.array([mean]))
    sd = data.scaling.value_sd(np.array([variance]) ** 0.5)
    return float(value[0]), float(sd[0])
