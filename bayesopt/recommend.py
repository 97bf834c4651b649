"""Which point to report: three rules, none of which trusts the luckiest observation under noise.

Notation
--------
X       (n, d) evaluated points
mu      posterior mean of the score

    "best_observed"         argmax of the observed scores (exact observations only)
    "best_evaluated_mean"   argmax over X of mu           Frazier (2018), the rule behind Eq. (13)
    "best_mean"             argmax over the whole space of mu                   ibid., Section 2
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch

from bayesopt import optimize
from bayesopt.acquisition.posterior_mean import PosteriorMeanWithGradient
from bayesopt.arguments import check_name
from bayesopt.data import Dataset, observed_values
from bayesopt.models.surrogate import Surrogate
from bayesopt.parameter import Array
from bayesopt.region import Region
from bayesopt.space import Space
from bayesopt.trial import Trial

Rule = Literal["best_observed", "best_evaluated_mean", "best_mean"]


@dataclass(frozen=True)
class Recommendation:
    """The point to use, in the user's units.

    Parameters
    ----------
    params
        Parameter values by name.
    mean, sd
        What the model expects there and how unsure it is; the observed value and 0 when
        observations are exact and the point was observed.
    rule
        Which rule chose it.
    """

    params: Mapping[str, Any]
    mean: float
    sd: float
    rule: Rule


def recommend(
    model: Surrogate,
    data: Dataset,
    space: Space,
    trials: Sequence[Trial],
    rule: Rule,
    seed: int,
    region: Region | None = None,
) -> Recommendation:
    """Apply one rule.

    Parameters
    ----------
    model
        Fitted to `data`.
    data, space
        The study.
    trials
        The complete trials, the rows of `data`.
    rule
        One of the three above.
    seed
        Seed of the search over the whole space.
    region
        The part of the space that satisfies the constraints; None: all of it.

    Raises
    ------
    ValueError
        If the rule is not known, or it chooses among evaluated points and none of them satisfies
        the constraints.
    """
    check_name("rule", rule, get_args(Rule))
    region = region or Region(space)
    if rule == "best_mean":
        x, mu, sd = _best_mean(model, data, region, seed)
        params: Mapping[str, Any] = region.must_hold(space.from_unit(x))
    else:
        with torch.no_grad():
            mean, variance = model.marginals(data.X)
        observed = observed_values(trials)
        score = data.scaling.sign * observed if rule == "best_observed" else mean.numpy()
        allowed = np.flatnonzero(region.holds(data.X.numpy()))
        if len(allowed) == 0:
            raise ValueError(
                "No evaluated point satisfies the constraints; tell one that does, or use the rule "
                "'best_mean'."
            )
        best = int(allowed[np.argmax(score[allowed])])
        params = trials[best].params
        if bool(data.Yvar[best] == 0):
            return Recommendation(params, float(observed[best]), 0.0, rule)
        mu, sd = float(mean[best]), float(variance[best].sqrt())
    value = data.scaling.value(np.array([mu]))
    value_sd = data.scaling.value_sd(np.array([sd]))
    return Recommendation(params, float(value[0]), float(value_sd[0]), rule)


def _best_mean(
    model: Surrogate,
    data: Dataset,
    region: Region,
    seed: int,
) -> tuple[Array, float, float]:
    posterior_mean = PosteriorMeanWithGradient(model)
    with torch.no_grad():
        order = torch.argsort(posterior_mean(data.X.unsqueeze(-2)), descending=True, stable=True)
    incumbents = data.X[order[:5]].numpy()
    X, v = optimize.maximize(
        posterior_mean, region, incumbents, np.random.default_rng([seed, 0, 1])
    )
    with torch.no_grad():
        _, variance = model.marginals(torch.from_numpy(X[:1]))
    return X[0], float(v[0]), float(variance.sqrt())
