"""What the model has learnt and how far to trust it, in numbers and in words.

Notation
--------
n           complete evaluations
y_i, m_i, s_i   observation i, and its mean and standard deviation predicted from all the others

    residual    (y_i - m_i) / s_i                     about standard normal for a calibrated model
    explained   1 - sum (y_i - m_i)^2 / sum (y_i - mean of y)^2
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch

from bayesopt.data import Dataset, observed_values
from bayesopt.models.calibration import leave_one_out
from bayesopt.models.fully_bayesian import FullyBayesianGaussianProcess
from bayesopt.models.joint.points import PointProcess, in_scores
from bayesopt.models.joint.process import JointGaussianProcess, TargetProcess
from bayesopt.models.outcomes import OutcomeModels, Process
from bayesopt.models.replicates import replicates
from bayesopt.observations import Observations
from bayesopt.space import Space
from bayesopt.trial import Trial

_WITHIN = 1.959964  # standard deviations of a 95 % interval
_ENOUGH = 8  # observations before a verdict on the model means something


@dataclass(frozen=True)
class Calibration:
    """How well each observation is foreseen from all the others, hyperparameters kept.

    Parameters
    ----------
    coverage
        Share of the observations inside their 95 % interval: 0.95 for a calibrated model.
    residual_mean, residual_sd
        Of the residuals in predicted standard deviations: 0 and 1 for a calibrated model.
    explained
        Share of the variance of the observations that is foreseen: 1 is perfect, 0 or less says
        that the model knows no more than their mean. Noise cannot be foreseen.
    """

    coverage: float
    residual_mean: float
    residual_sd: float
    explained: float


@dataclass(frozen=True)
class OutcomeExplanation:
    """What the model of an outcome constraint, or of another objective, has learnt.

    Parameters
    ----------
    n_met
        How many of the complete evaluations met the constraint; None for an objective.
    noise, noise_sd, lengthscales, calibration
        As in `Explanation`.
    """

    n_met: int | None
    noise: Literal["none", "known", "inferred"]
    noise_sd: float
    lengthscales: Mapping[str, float]
    calibration: Calibration


@dataclass(frozen=True)
class Explanation:
    """What the search believes; ``print`` it.

    Parameters
    ----------
    model, acquisition
        What chose the points, in words.
    n_complete, n_failed, n_truncated
        Evaluations that gave a value, that failed, and those of poor value that the model counts
        only as poor.
    n_partials
        Partial derivatives that the model learns from.
    noise
        "none", "known" or "inferred".
    noise_sd
        Standard deviation of the noise of one evaluation, in the user's units; where it differs
        from one to the next, the median of them.
    lengthscales
        By parameter: over which share of its range (on its scale, logarithmic or not) the function
        changes, beside the trend if the model has one; for a category in units of "another
        choice". What is short matters most; beyond about 2 a parameter hardly matters.
    has_trend
        Whether the model has a linear or quadratic mean, which length-scales say nothing of.
    calibration
        From leaving out the observations one by one, poor values as the model counts them.
    others
        By name: what is known of each outcome constraint, and of each objective after the first,
        which the entries above are about.
    """

    model: str
    acquisition: str
    n_complete: int
    n_failed: int
    n_truncated: int
    n_partials: int
    noise: Literal["none", "known", "inferred"]
    noise_sd: float
    lengthscales: Mapping[str, float]
    has_trend: bool
    calibration: Calibration
    others: Mapping[str, OutcomeExplanation] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """How far to trust the model, in a sentence."""
        c = self.calibration
        if self.n_complete < _ENOUGH:
            return f"Too few observations ({self.n_complete}) to judge the model."
        if c.explained < 0.1:
            return "The model foresees next to nothing yet: its suggestions are exploration."
        if c.coverage < 0.8 or c.residual_sd > 1.5:
            return "The model is too sure of itself: take its intervals as too narrow."
        if c.residual_sd < 0.5:
            return "The model is too cautious: its intervals are wider than they have to be."
        if c.explained < 0.5:
            return "The model foresees a part of what it observes, and knows how unsure it is."
        return "The model foresees its observations well, and knows how unsure it is."

    def __str__(self) -> str:
        counts = f"{self.n_complete} complete, {self.n_failed} failed"
        if self.n_truncated:
            counts += f", {self.n_truncated} counted only as poor"
        if self.n_partials:
            counts += f"; {self.n_partials} partial derivatives"
        noise = {"none": "none", "known": f"{self.noise_sd:.3g}, known"}.get(
            self.noise, f"{self.noise_sd:.3g}, inferred"
        )
        c = self.calibration
        foreseen = (
            f"Left out one by one, {c.coverage:.0%} of the values lie in their 95 % interval;",
            f"  residuals {c.residual_mean:+.2f} +- {c.residual_sd:.2f} standard deviations,",
            f"  {max(c.explained, 0.0):.0%} of the variance is foreseen.",
        )
        beside = " beside the trend" if self.has_trend else ""
        width = max(len(name) for name in self.lengthscales)
        scales = [f"  {name:{width}}  {value:.2g}" for name, value in self.lengthscales.items()]
        return "\n".join(
            [
                f"Model         {self.model}",
                f"Acquisition   {self.acquisition}",
                f"Evaluations   {counts}",
                f"Noise         {noise}",
                f"Length-scales{beside}, as a share of the range (short ones matter most)",
                *scales,
                *(foreseen if self.n_complete >= _ENOUGH else ()),
                self.verdict,
                *(self._of_another(name) for name in self.others),
            ]
        )

    def _of_another(self, name: str) -> str:
        other = self.others[name]
        said = [] if other.n_met is None else [f"met in {other.n_met} of {self.n_complete}"]
        said.append("no noise" if other.noise == "none" else f"noise {other.noise_sd:.3g}")
        short = sorted(other.lengthscales, key=lambda each: other.lengthscales[each])[:3]
        said.append(f"depends most on {', '.join(short)}")
        if self.n_complete >= _ENOUGH:
            said.append(f"{max(other.calibration.explained, 0.0):.0%} of its variance is foreseen")
        return f"{name}: {'; '.join(said)}."


def explain(
    seen: Observations,
    models: OutcomeModels,
    constraint_names: Sequence[str],
    space: Space,
    trials: list[Trial],
    described: tuple[str, str],
) -> Explanation:
    """Describe fitted models.

    Parameters
    ----------
    seen, models
        The observations, and the models fitted to them.
    constraint_names
        Names of the outcome constraints.
    space, trials
        The study.
    described
        Models and acquisition in words.
    """
    data, model = seen.objectives[0], models.objectives[0]
    n = len(seen.met)
    score = data.Y[:n].squeeze(-1).numpy()
    raw = data.scaling.score(observed_values(trials))
    of_first = _of_outcome(model, data, space, None, n)
    others = {
        f"objective {i}": _of_outcome(model, data, space, None, n)
        for i, (model, data) in enumerate(zip(models.objectives, seen.objectives, strict=True))
        if i > 0
    }
    for name, of_name, each in zip(
        constraint_names, models.constraints, seen.constraints, strict=True
    ):
        value = each.data.Y
        n_met = int(((each.low <= value) & (value <= each.high)).sum())
        others[name] = _of_outcome(of_name, each.data, space, n_met, n)
    return Explanation(
        model=described[0],
        acquisition=described[1],
        n_complete=n,
        n_failed=len(seen.X_failed),
        n_truncated=int((raw < score - 1e-9 * (1.0 + np.abs(score))).sum()),
        n_partials=0 if data.dY is None else int((~data.dY.isnan()).sum()),
        noise=of_first.noise,
        noise_sd=of_first.noise_sd,
        lengthscales=of_first.lengthscales,
        has_trend=getattr(model.hyperparameters, "trend", None) is not None,
        calibration=of_first.calibration,
        others=others,
    )


def _of_outcome(
    model: Process, data: Dataset, space: Space, n_met: int | None, n: int
) -> OutcomeExplanation:
    """Of the n complete trials, not of the rows that their traces add."""
    assert not isinstance(model, TargetProcess | PointProcess)
    alone = space.role is not None and not isinstance(model, JointGaussianProcess)
    if alone:  # a task that is not learnt from others (see `models.joint.transfer`)
        data = replace(_of_target_only(data, space), Y=model.Y)  # poor ones as it counts them
    exact = bool((data.Yvar == 0).all())
    noise = in_scores(model).new_noise if data.noise_is_inferred else data.Yvar.median()
    sd = np.array([float(noise.sqrt())])
    if isinstance(model, JointGaussianProcess):
        lengthscales = {space.names[j]: scale for j, scale in sorted(model.lengthscales.items())}
    else:
        in_order = model.hyperparameters.lengthscale.tolist()
        scales = zip(space.names, in_order, strict=True)
        lengthscales = {n: scale for n, scale in scales if not alone or n in space.design_names}
    return OutcomeExplanation(
        n_met=n_met,
        noise="none" if exact else "inferred" if data.noise_is_inferred else "known",
        noise_sd=0.0 if exact else float(data.scaling.value_sd(sd)[0]),
        lengthscales=lengthscales,
        calibration=_calibration(model, data, n),
    )


def _of_target_only(data: Dataset, space: Space) -> Dataset:
    """The rows at the target."""
    X = torch.from_numpy(space.at_target().snap(data.X.numpy()))
    return data.at((data.X == X).all(-1))


def _calibration(model: Process, data: Dataset, n: int) -> Calibration:
    assert not isinstance(model, TargetProcess | PointProcess)
    members = model.models if isinstance(model, FullyBayesianGaussianProcess) else (model,)
    left_out = [leave_one_out(member) for member in members]
    means = torch.stack([one.mean for one in left_out])
    mean = means.mean(0)
    variance = torch.stack([one.variance for one in left_out]).mean(0) + means.var(0, correction=0)
    if len(mean) < len(data):  # the models learnt from the means of repetitions, and foresee those
        data = replicates(data).data
    observed = (model if isinstance(model, JointGaussianProcess) else data).Y.squeeze(-1)[:n]
    error = observed - mean[:n]
    residual = (error / variance[:n].sqrt()).numpy()
    spread = float(observed.var(correction=0)) * len(observed)
    return Calibration(
        coverage=float((np.abs(residual) <= _WITHIN).mean()),
        residual_mean=float(residual.mean()),
        residual_sd=float(residual.std()),
        explained=1.0 - float(error.square().sum()) / spread if spread > 0.0 else 0.0,
    )
