"""When an evaluated point is asked for again: where the noise varies, if it is worth as much."""

from collections.abc import Sequence

import numpy as np

from bayesopt import optimize
from bayesopt.composition import Composition
from bayesopt.data import complete
from bayesopt.parameter import Array
from bayesopt.space import Params, Space
from bayesopt.trial import Trial

_AS_GOOD = 0.01  # of a logarithm: a repetition may be worth so much less
_ROUNDING = 1e-12


def or_again(found: Composition, acquisition: optimize.Acquisition, X: Array, best: float) -> Array:
    """X (k, d), after the evaluated point that is worth most, if that is as good as the best of X.

    A search that climbs ends beside it, and what is observed at one point costs the models less.
    """
    again = np.unique(found.seen.X[found.inside()].numpy(), axis=0)
    value = optimize.values(acquisition, again)
    top = int(np.argmax(value))
    if not value[top] >= best - _AS_GOOD:
        return X
    return np.concatenate((again[top : top + 1], X))


def as_evaluated(params: Params, space: Space, trials: Sequence[Trial]) -> Params:
    """The same point as it was asked for before: the way to the unit cube and back may round."""
    done = complete(trials)
    apart = np.abs(space.to_units([trial.params for trial in done]) - space.to_unit(params))
    same = np.flatnonzero((apart <= _ROUNDING).all(axis=1))
    return dict(done[int(same[0])].params) if len(same) > 0 else params
