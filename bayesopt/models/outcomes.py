"""The models of all that an evaluation gives: objectives, outcome constraints, or nothing at all.

Every outcome has a process of its own, fitted from where its last fit ended. Where evaluations have
failed, a classifier learns where they do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from bayesopt.models.feasibility import Feasibility, fit_feasibility
from bayesopt.models.fully_bayesian import FullyBayesianGaussianProcess
from bayesopt.models.gaussian_process import GaussianProcess
from bayesopt.models.joint.of_space import joint_surrogate
from bayesopt.models.joint.points import PointProcess, in_scores
from bayesopt.models.joint.process import JointGaussianProcess, TargetProcess
from bayesopt.models.joint.transfer import transferred
from bayesopt.models.success_of_target import SuccessOfTarget
from bayesopt.models.surrogate import HyperparametersName, Surrogate, surrogate
from bayesopt.observations import Observations
from bayesopt.space import Space
from bayesopt.target import Target, seeks_one_task

Process = Surrogate | JointGaussianProcess | TargetProcess | PointProcess
Theta = tuple[tuple[float, ...], ...]
"""Logarithms of the hyperparameters of every model: objectives, constraints, the classifier."""


@dataclass(frozen=True)
class OutcomeModels:
    """What is believed of every outcome.

    Parameters
    ----------
    objectives, constraints
        Processes of their scores, in the order of the observations.
    success
        Says how likely an evaluation gives anything, at points or for the target that they belong
        to; None where none has failed.
    """

    objectives: tuple[Process, ...]
    constraints: tuple[Process, ...]
    success: Feasibility | SuccessOfTarget | None

    @property
    def members(self) -> "list[OutcomeModels]":
        """One for each draw of the hyperparameters, the same draw of every outcome; itself where
        they are fitted."""
        everything = [_members(model) for model in (*self.objectives, *self.constraints)]
        m = len(self.objectives)
        return [
            replace(self, objectives=models[:m], constraints=models[m:])
            for models in zip(*everything, strict=True)
        ]

    @property
    def target(self) -> "OutcomeModels":
        """Of processes over role columns: the same of the target of every outcome."""
        return replace(
            self,
            objectives=tuple(_target(model) for model in self.objectives),
            constraints=tuple(_target(model) for model in self.constraints),
            success=self._success_of_target(),
        )

    def _success_of_target(self) -> Feasibility | SuccessOfTarget | None:
        process = self.objectives[0]
        if not isinstance(self.success, Feasibility) or not isinstance(
            process, JointGaussianProcess
        ):
            return self.success
        return SuccessOfTarget(self.success, process.columns.role, process.sought)

    @property
    def in_scores(self) -> "OutcomeModels":
        """For predictions at points: of scores, also where processes are of something else."""
        return replace(
            self,
            objectives=tuple(in_scores(model) for model in self.objectives),
            constraints=tuple(in_scores(model) for model in self.constraints),
        )


def _target(model: Process) -> Process:
    return model.target if isinstance(model, JointGaussianProcess) else model


def _members(model: Process) -> tuple[Process, ...]:
    return model.models if isinstance(model, FullyBayesianGaussianProcess) else (model,)


def fit_outcomes(
    seen: Observations,
    process: GaussianProcess,
    hyperparameters: HyperparametersName,
    rng: np.random.Generator,
    start: Theta = (),
    *,
    noise_varies: bool = False,
    with_roles: tuple[Space, Target] | None = None,
    each_task: bool = False,
    truncate: float | None = None,
) -> tuple[OutcomeModels, Theta]:
    """Fit all models.

    Parameters
    ----------
    seen
        At least one complete trial.
    process
        Kernel, mean and priors, for every outcome.
    hyperparameters, rng
        As in `models.surrogate`.
    start
        What an earlier call for this study returned; the classifier may be missing in it.
    noise_varies
        As in `models.surrogate`, for every outcome by itself.
    with_roles
        The space and what is sought of it, where parameters have a role: every outcome gets a
        process over design and role columns. Hyperparameters cannot be drawn then.
    each_task
        Whether other tasks than the target are asked about, too: a process of the target alone
        (see `models.joint.transfer`) says nothing of them.
    truncate
        How poor values of an objective count where a task is learnt alone.

    Returns
    -------
    models, theta
        The models, and where the next fit starts from.
    """
    everything = [*seen.objectives, *(constraint.data for constraint in seen.constraints)]
    starts = [start[i] if i < len(start) else None for i in range(len(everything))]
    fitted: list[tuple[Process, tuple[float, ...]]]
    if with_roles is None:
        fitted = [
            surrogate(data, process, hyperparameters, rng, begin, noise_varies=noise_varies)
            for data, begin in zip(everything, starts, strict=True)
        ]
    else:
        assert hyperparameters != "slice"
        m, of_roles = len(seen.objectives), [joint_surrogate] * len(everything)
        if seeks_one_task(with_roles[0]) and not each_task:
            of_roles = [
                partial(transferred, truncate=truncate if i < m else None)
                for i in range(len(everything))
            ]
        fitted = [
            of_one(data, *with_roles, process, hyperparameters, begin)
            for of_one, data, begin in zip(of_roles, everything, starts, strict=True)
        ]
    models, theta = [model for model, _ in fitted], [found for _, found in fitted]
    success = None
    if len(seen.X_failed) > 0:
        success, of_success = _classifier(seen, start[len(everything) :])
        theta.append(of_success)
    m = len(seen.objectives)
    return OutcomeModels(tuple(models[:m]), tuple(models[m:]), success), tuple(theta)


def _classifier(
    seen: Observations, start: Sequence[tuple[float, ...]]
) -> tuple[Feasibility, tuple[float, ...]]:
    X = torch.cat((seen.of_trials.X, seen.X_failed))
    succeeded = torch.arange(len(X)) < len(seen.met)
    categories = seen.objectives[0].categories
    return fit_feasibility(X, succeeded, categories, start[0] if start else None)
