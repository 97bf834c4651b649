"""One task out of several: with what is known of the others, unless that misleads.

Notation
--------
n_t         observations of the task that is sought
joint       the process of all tasks
alone       a process of that task, fitted to its own observations

    sum over its observations of log p(y_i | all others)        R&W (2006), Eq. (5.11)

is compared. Another task that is not related costs the joint process more than nothing: it shares
its length-scales. The task is learnt alone where that foresees its observations 20 times as well:
what is known of others is much, and observations that lie close together, as those of a search do,
foresee each other well without saying anything of the rest. With two observations there is nothing
to compare; with none of another task there is nothing to learn from.
"""

import math
from dataclasses import replace

import torch

from bayesopt.data import Dataset, poor_from
from bayesopt.models.calibration import leave_one_out
from bayesopt.models.exact import ExactGaussianProcess
from bayesopt.models.fit import Method, fit
from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.models.joint.of_space import joint_surrogate
from bayesopt.models.joint.process import JointGaussianProcess
from bayesopt.space import Space
from bayesopt.target import Target

_ENOUGH = 3  # observations of the task
_STRONG_EVIDENCE = math.log(20.0)  # Kass & Raftery (1995), Section 3.2


def transferred(
    data: Dataset,
    space: Space,
    sought: Target,
    process: GaussianProcess,
    method: Method = "map",
    start: tuple[float, ...] | None = None,
    truncate: float | None = None,
) -> tuple[JointGaussianProcess | ExactGaussianProcess, tuple[float, ...]]:
    """Fit the joint process, and that of the task alone where there is something to compare.

    Returns the joint one unless the other is 20 times as good, and the theta of the joint one:
    `start`, or an empty one, where nothing is known of other tasks.

    Parameters
    ----------
    data, space, sought, process, method, start
        As in `bayesopt.models.joint.of_space.joint_surrogate`; the target is one task.
    truncate
        How poor values count where the task is alone (see `bayesopt.data.dataset`).
    """
    (column,) = space.role_columns
    rows = data.X[:, column] == sought.nodes[0, 0]
    own = data.at(rows)
    if bool(rows.all()):
        return _alone(_truncated(own, truncate), process, method), start or ()
    joint, theta = joint_surrogate(data, space, sought, process, method, start)
    if len(own) < _ENOUGH:
        return joint, theta
    alone = _alone(own, process, method)
    with torch.no_grad():
        by_joint = leave_one_out(joint).log_density[rows].sum()
        by_itself = leave_one_out(alone).log_density.sum()
    if by_itself <= by_joint + _STRONG_EVIDENCE:
        return joint, theta
    return alone if truncate is None else _alone(_truncated(own, truncate), process, method), theta


def _truncated(own: Dataset, truncate: float | None) -> Dataset:
    """With poor values as in a search of this task alone (see `bayesopt.data`)."""
    if truncate is None:
        return own
    limit = float(poor_from(own.Y.numpy(), truncate))
    return replace(own, Y=own.Y.clamp_min(limit))


def _alone(data: Dataset, process: GaussianProcess, method: Method) -> ExactGaussianProcess:
    """The process of one task, whose scores are standardised for its fit and come back after it."""
    shift, spread = data.Y.mean(), data.Y.std(correction=0)
    scale = spread if bool(spread > 0.0) else torch.ones_like(spread)
    own = replace(data, Y=(data.Y - shift) / scale, Yvar=data.Yvar / scale.square())
    fitted, _ = fit(own, process, method=method)
    h, square = fitted.hyperparameters, float(scale.square())
    h = replace(
        h,
        signal=h.signal * square,
        noise=h.noise * square,
        mean=float(shift + scale * h.mean),
    )
    return ExactGaussianProcess(data.X, data.Y, data.Yvar, h, data.categories)
