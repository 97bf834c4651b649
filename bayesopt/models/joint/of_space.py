"""The process of a space whose parameters have a role: which structure, over which columns."""

from dataclasses import replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from bayesopt.data import Dataset
from bayesopt.models.fit import Method
from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.models.joint.covariance import Columns, Integrals
from bayesopt.models.joint.fit import fit_joint
from bayesopt.models.joint.integrals import double_mean_over_law, mean_over_law
from bayesopt.models.joint.process import JointGaussianProcess
from bayesopt.models.joint.structure import Structure
from bayesopt.models.joint.structures import (
    Accuracy,
    Decay,
    Environment,
    Increments,
    Sources,
    Tasks,
)
from bayesopt.models.kernels import Features
from bayesopt.parameter import Categorical, Int
from bayesopt.space import Space
from bayesopt.target import Target

_MOST_INCREMENTS = 4  # each has a process of its own
_DECADES = 8.0  # times the median distance from the best: a normal law has 2
_LIKE_OTHERS = 5.0  # observations that a task is worth having the scale of all


def joint_surrogate(
    data: Dataset,
    space: Space,
    sought: Target,
    process: GaussianProcess,
    method: Method = "map",
    start: tuple[float, ...] | None = None,
) -> tuple[JointGaussianProcess, tuple[float, ...]]:
    """Fit the process of a space with roles.

    Parameters
    ----------
    data
        At least one observation.
    space, sought
        The parameters, and what is sought of them.
    process
        Kernel and priors of the design columns, and what a fidelity or sources are.
    method, start
        As in `bayesopt.models.joint.fit.fit_joint`.
    """
    structure = structure_of(space, sought, data, process)
    return fit_joint(
        data,
        columns_of(space),
        structure,
        sought,
        process,
        method=method,
        start=start,
        integrals=_integrals(sought),
        warped=space.role == "environment" and sought.level is None and _spans_decades(data),
    )


def _spans_decades(data: Dataset) -> bool:
    """Whether the worst score is much farther from the best than most are."""
    below = data.Y.max() - data.Y
    return bool(below.max() > _DECADES * below.median())


def _integrals(sought: Target) -> Integrals | None:
    """The integrals of an environment's kernel in closed form, where all its laws have one."""
    if not sought.has_closed_forms:
        return None
    laws = [law for law in sought.laws if law is not None]

    def mean(h: Tensor, r: Tensor) -> Tensor:
        factors = (
            mean_over_law(law, r[..., j], h[..., j].exp().expand(r.shape[:-2]))
            for j, law in enumerate(laws)
        )
        return reduce(torch.mul, factors)

    def double(h: Tensor) -> Tensor:
        factors = (double_mean_over_law(law, h[..., j].exp()) for j, law in enumerate(laws))
        return reduce(torch.mul, factors)

    return mean, double


def columns_of(space: Space) -> Columns:
    """Design and role columns of a space."""
    role = list(space.role_columns)
    design = [column for column in range(len(space)) if column not in role]
    return Columns(design, role, _features(space, design))


def _features(space: Space, columns: list[int]) -> Features:
    size_of = dict(space.categories)
    categories = tuple((i, size_of[c]) for i, c in enumerate(columns) if c in size_of)
    return Features(len(columns), categories)


def structure_of(
    space: Space, sought: Target, data: Dataset, process: GaussianProcess
) -> Structure:
    """What the role columns do."""
    if space.role == "environment":
        return Environment(_features(space, list(space.role_columns)))
    (column,) = space.role_columns
    parameter = space[space.names[column]]
    if space.role == "fidelity":
        assert not isinstance(parameter, Categorical)
        return _fidelity(float(sought.nodes), parameter, process)
    assert isinstance(parameter, Categorical)
    if space.role == "task":
        of_tasks = Tasks(parameter.size, _scales(parameter, column, data))
        if not sought.is_one:
            return of_tasks
        task = int(parameter.index_of(sought.nodes[:, 0].numpy())[0])
        n_plain = len(columns_of(space).features.plain)
        return replace(of_tasks, sought=task, n_shifted=n_plain)
    index = {choice: i for i, choice in enumerate(parameter.choices)}
    groups = tuple(tuple(index[name] for name in names) for names in process.bias_groups)
    return Sources(parameter.size, index[parameter.target], groups)


def _fidelity(target: float, parameter: object, process: GaussianProcess) -> Structure:
    if process.fidelity == "noise":
        return Accuracy(float(target))
    few = isinstance(parameter, Int) and parameter.size <= _MOST_INCREMENTS + 1
    if process.fidelity == "increments" or (process.fidelity == "auto" and few):
        assert isinstance(parameter, Int)
        units = parameter.unit_of(np.arange(parameter.size))
        nearest = sorted(units.tolist(), key=lambda unit: abs(unit - target))
        return Increments(tuple(nearest))
    return Decay(float(target))


def _scales(parameter: Categorical, column: int, data: Dataset) -> tuple[float, ...]:
    """Spread of the scores of each task; of few, near that of all."""
    task = torch.from_numpy(parameter.index_of(data.X[:, column].numpy()))
    found = []
    for i in range(parameter.size):
        Y = data.Y[task == i]
        spread = float(Y.var(correction=0)) if len(Y) > 0 else 0.0
        found.append(((len(Y) * spread + _LIKE_OTHERS) / (len(Y) + _LIKE_OTHERS)) ** 0.5)
    return tuple(found)
