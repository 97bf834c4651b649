"""The role of the first evaluations, before a model can say.

Notation
--------
X       (k, d) points of the unit cube
v       a coordinate of a role column, as the space-filling design has it

    fidelity      two of a default start at the target, the others far from it: at the distance
                  1 - v^3 of the largest one
    source        two at the target, the others by turns
    both          none at the target where that is known to cost more than twice as much as others:
                  it is asked where the first models expect most of it
    task          by turns, where there is no target
    environment   at the node of the law that v stands for
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from bayesopt.parameter import Array, Categorical
from bayesopt.region import Region
from bayesopt.settings import Settings
from bayesopt.target import Target, target_of
from bayesopt.trial import Trial, TrialState

_LEAST_APART = 4  # evaluations, from one at the target to the next
_DEAR = 2.0
_IN_VAIN = 3  # failures


def in_roles(
    X: Array, region: Region, settings: Settings, number: int, trials: Sequence[Trial] = ()
) -> Array:
    """Points with the role columns that suit the trial of this number, where they may be so.

    A source or task that has only failed in `trials`, three times or more, has no turn.
    """
    space = settings.space
    columns = list(space.role_columns)
    sought = target_of(space, settings.environment)
    moved = X.copy()
    if space.role == "environment":
        moved[:, columns] = _by_law(X[:, columns[0]], sought)
    else:
        moved[:, columns[0]] = _by_turns(X[:, columns[0]], settings, sought, number, trials)
    allowed: Array = moved[region.holds(moved)]
    return allowed if len(allowed) > 0 else X


def _by_law(v: Array, sought: Target) -> Array:
    """Nodes (k, c) of the law."""
    ends = np.cumsum(sought.weights.numpy())
    chosen = np.minimum(np.searchsorted(ends, v), len(ends) - 1)
    nodes: Array = sought.nodes.numpy()[chosen]
    return nodes


def _by_turns(
    v: Array, settings: Settings, sought: Target, number: int, trials: Sequence[Trial]
) -> Array:
    """Coordinates (k,) of one role column."""
    space = settings.space
    parameter = space[space.names[space.role_columns[0]]]
    if not sought.is_one:
        assert isinstance(parameter, Categorical)
        some = _that_succeed(parameter, space.names[space.role_columns[0]], trials)
        return np.full_like(v, some[number % len(some)])
    target = float(sought.nodes)
    every = max(_LEAST_APART, settings.n_initial // 2)
    if _is_dear(settings, target):
        every = settings.n_initial + 1
        number += 1
    elif number % every == 0:
        return np.full_like(v, target)
    if isinstance(parameter, Categorical):
        units = _that_succeed(parameter, space.names[space.role_columns[0]], trials)
        others = units[units != target]
        turn = number - 1 - number // every  # of those that are not at the target
        return np.full_like(v, others[turn % len(others)] if len(others) > 0 else target)
    far = 0.0 if target >= 0.5 else 1.0
    return parameter.snap(target + (far - target) * (1.0 - v**3))


def _that_succeed(parameter: Categorical, name: str, trials: Sequence[Trial]) -> Array:
    """Coordinates (k,) of the values that have not failed alone; of all where each has."""
    failed = Counter(t.params[name] for t in trials if t.state is TrialState.FAILED)
    succeeded = {t.params[name] for t in trials if t.state is TrialState.COMPLETE}
    hopeful = [value in succeeded or failed[value] < _IN_VAIN for value in parameter.choices]
    units = parameter.unit_of(np.arange(parameter.size))
    return units[np.array(hopeful)] if any(hopeful) else units


def _is_dear(settings: Settings, target: float) -> bool:
    """Whether the target is known to cost much more than what is farthest from it."""
    space, cost = settings.space, settings.cost
    if cost.is_constant or cost.is_learnt:
        return False
    (column,) = space.role_columns
    x = space.snap(np.full((2, len(space)), 0.5))
    x[:, column] = target, 0.0 if target >= 0.5 else 1.0
    at_target, elsewhere = (cost.of_params(space.from_unit(row)) for row in x)
    return at_target > _DEAR * elsewhere
