"""What chooses the points: model, acquisition, batch and search, by name or by value.

A policy only says what is to be used; `suggestion` uses it. No formula lives here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, get_args

from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from torch import Tensor

from bayesopt import optimize
from bayesopt.acquisition import (
    derivative_knowledge_gradient,
    entropy_search,
    expected_improvement,
    joint_entropy_search,
    knowledge_gradient,
    letham_expected_improvement,
    lookahead,
    max_value_entropy_search,
    noisy_expected_improvement,
    predictive_entropy_search,
)
from bayesopt.acquisition.expected_improvement import Builder
from bayesopt.acquisition.joint_search import JointName
from bayesopt.arguments import check_name, finite_number, whole_number
from bayesopt.data import Dataset
from bayesopt.models.derivatives.process import DerivativeGaussianProcess
from bayesopt.models.gaussian_process import GaussianProcess, KernelName
from bayesopt.models.joint.supported import check_process
from bayesopt.models.surrogate import HyperparametersName
from bayesopt.own_acquisition import built_by_user, check_builder
from bayesopt.region import Region
from bayesopt.roles import WITH_ARTICLE, Role
from bayesopt.space import Space

ModelName = Literal["auto"] | KernelName
AcquisitionName = Literal[
    "auto",
    "ei",
    "noisy_ei",
    "kgcp",
    "nei",
    "kg",
    "es",
    "pes",
    "mes",
    "jes",
    "lookahead",
    "ei_posterior_mean",
    "ei_next_mean",
    "ei_next_observation",
    "nehvi",
    "random",
]
BatchName = Literal["greedy", "joint", "constant_liar"]

_KNOWN_MODELS = ("auto", *get_args(KernelName))
_BUILDERS: dict[str, Builder] = {
    "ei": expected_improvement.build,
    "noisy_ei": noisy_expected_improvement.build,
    "kgcp": partial(noisy_expected_improvement.build, baseline="observed_and_candidate"),
    "nei": letham_expected_improvement.build,
    **expected_improvement.AD_HOC,
}


def _knowledge_gradient(
    model: Model, data: Dataset, X_pending: Tensor | None, *, region: Region
) -> AcquisitionFunction:
    """Counting on the gradient that will come, where some have come."""
    with_slopes = isinstance(model, DerivativeGaussianProcess)
    kind = derivative_knowledge_gradient if with_slopes else knowledge_gradient
    return kind.build(model, data, X_pending, region=region)


_IN_A_REGION: dict[str, Callable[..., AcquisitionFunction]] = {
    "kg": _knowledge_gradient,
    "es": entropy_search.build,
    "pes": predictive_entropy_search.build,
    "mes": max_value_entropy_search.build,
    "jes": joint_entropy_search.build,
    "lookahead": lookahead.build,
}
"""Those that look for other points than the candidate, and are told where: ``region=``."""

_OF_SAME_NOISE = ("es", "pes", "mes", "jes", "lookahead")
_AUTO = "ei"
_AUTO_WHERE_NOISE_VARIES: AcquisitionName = "noisy_ei"
_JOINT = ("auto", *get_args(JointName))
_OF_SEVERAL = ("auto", "nehvi", "random")
_OF_ROLES = ("auto", "kg", "ei", "random")


@dataclass(frozen=True)
class Search:
    """What the default search adds to the plain acquisition.

    Parameters
    ----------
    truncate
        Poor values count as ``median + truncate (median - best)``, those that bring partial
        derivatives only 500 times as far out; None keeps them all.
    exploit_every
        Every so many suggestions one is the maximiser of the posterior mean, if that promises more
        than the best point so far: expected improvement alone goes on looking around long after
        the model knows the optimum. One sooner in a task with a history, and always where others
        lead to exact values, after four of its own. Half as often under outcome constraints; not
        while points are pending, with several objectives, or with an acquisition of the user's
        own. None: never.
    effort
        How hard the acquisition is searched.

    Raises
    ------
    TypeError, ValueError
        If a number is none, or not positive.
    """

    truncate: float | None = 2.0
    exploit_every: int | None = 3
    effort: optimize.Effort = field(default_factory=optimize.Effort)

    def __post_init__(self) -> None:
        if self.truncate is not None and finite_number(self.truncate, "`truncate`") <= 0.0:
            raise ValueError(f"`truncate` must be positive or None, but got {self.truncate!r}.")
        if self.exploit_every is not None:
            whole_number(self.exploit_every, "exploit_every", 1)
        if not isinstance(self.effort, optimize.Effort):
            raise TypeError(f"`effort` must be a bayesopt.optimize.Effort, not {self.effort!r}.")


@dataclass(frozen=True)
class Policy:
    """How the next point is chosen.

    Parameters
    ----------
    model
        A `GaussianProcess` that says its kernel, mean and priors, or just the name of the kernel:
        "matern52" (nu = 5/2), "rbf", "matern12", "matern32", "matern" (nu is learnt) or
        "power_exponential" (the power is learnt). "auto" is "matern52".
    hyperparameters
        "map": those of the largest posterior density. "mle": those of the largest likelihood,
        whatever the priors (one of the signal still says that it is learnt). "slice": draws from
        their posterior, over which predictions and acquisitions are averaged.
    acquisition
        What is maximised, in logarithms:

        - "ei": expected improvement on the best value; under noise on the best posterior mean,
          and augmented (Huang et al. 2006).
        - "nei": noisy expected improvement on the hidden values at all points (Letham et al. 2019).
        - "noisy_ei": what the best reportable mean will gain, exactly (Frazier 2018, Eq. 13).
        - "kgcp": the same where a candidate is reportable already (Scott et al. 2011).
        - "kg": knowledge gradient, what the best posterior mean anywhere will gain (Frazier et al.
          2009); for noise that is large. Where gradients come, it counts on the next one too (Wu
          et al. 2017).
        - "es", "pes", "mes", "jes": what will be learnt of the best point (Hennig and Schuler 2012;
          by prediction, Hernandez-Lobato et al. 2014), of its value (Wang and Jegelka 2017), or of
          both (Hvarfner et al. 2022).
        - "lookahead": what two evaluations will gain, the second chosen after the first (Frazier
          2018, Section 4.4).
        - "ei_posterior_mean", "ei_next_mean", "ei_next_observation": expected improvement of the
          function, of its next posterior mean, or of the next observation, on the best posterior
          mean (Frazier 2018, Section 5.1).
        - "nehvi": noisy expected hypervolume improvement, for several objectives (Daulton et al.
          2021); without noise the expected hypervolume improvement.
        - "random": uniform points, the baseline.
        - "auto": "ei". None of the other expected improvements beats it at any noise; "kg" did
          on both noisy problems where they met, in ten times the time (`docs/benchmarks`). Where
          the noise varies "noisy_ei", which knows what it is at a candidate and when to repeat a
          point. With several objectives "nehvi". Where parameters have a role "kg".

        Where a parameter has a role "auto", "kg", "ei", "random" and callables are left, and what
        is sought takes the place of the function: it at the target, or its mean or its bad cases.

        - "kg", "auto": what the best posterior mean of that will gain, exactly (Frazier 2018,
          Sections 5.4 and 5.5); where evaluations bring a `trace`, from all that
          goes beyond its farthest point (Wu et al. 2019).
        - "ei": in two steps, the design by expected improvement, then the value of the role by what
          an evaluation there tells of it (Lam et al. 2015; Williams et al. 2000).
        - Of tasks only the target is evaluated: "ei", "kg" and "auto" are as without roles.

        A fidelity or a source is also asked at its target, when others have cost as much or ten of
        them were asked. Where costs differ every acquisition is per unit cost; "random" is not, nor
        are points that are chosen together ("joint").

        Under outcome constraints each of them is that over feasible points, times the probability
        of feasibility; "nei" and "nehvi" know what the constraints may be at the same points.
        Where evaluations have failed, all are multiplied by the probability that one does not.

        Or a callable ``(model, data, X_pending) -> AcquisitionFunction``, for one objective; the
        logarithms of these probabilities are added to what it returns.
    batch
        How points are chosen beside those that are running:

        - "constant_liar": one by one; what is running is taken to return its posterior mean
          (Frazier 2018, Section 5.2; the "kriging believer" of Ginsbourger et al. 2010).
        - "greedy": one by one; what is running may return anything that the model expects of it.
        - "joint": likewise, but the points of one ``ask(n)`` are then moved together, to where
          they are worth most together; for "ei", "noisy_ei", "kgcp" and "kg" of one objective,
          without outcome constraints, gradients and drawn hyperparameters.

        Between the first two only "auto" and "ei" of one objective differ; all others have one way
        of their own to look beside running points. With four workers the constant liar found
        better values on five of seven problems (`docs/benchmarks`).
    search
        What the search adds to the plain acquisition.

    Raises
    ------
    ValueError
        If a name is not known; the text lists the known ones.
    """

    model: ModelName | GaussianProcess = "auto"
    acquisition: AcquisitionName | Builder = "auto"
    search: Search = field(default_factory=Search)
    hyperparameters: HyperparametersName = "map"
    batch: BatchName = "constant_liar"

    def __post_init__(self) -> None:
        if not isinstance(self.model, GaussianProcess):
            check_name("model", self.model, _KNOWN_MODELS, "or a bayesopt.GaussianProcess(...)")
        check_name("hyperparameters", self.hyperparameters, get_args(HyperparametersName))
        if callable(self.acquisition):
            check_builder(self.acquisition)
        else:
            known = get_args(AcquisitionName)
            check_name("acquisition", self.acquisition, known, "or a callable of your own")
        if not isinstance(self.search, Search):
            raise TypeError(f"`search` must be a bayesopt.policy.Search, but got {self.search!r}.")
        check_name("batch", self.batch, get_args(BatchName))
        if self.batch == "joint" and self.acquisition not in _JOINT:
            raise ValueError(
                f"batch='joint' is for the acquisitions {', '.join(map(repr, _JOINT))}, not for "
                f"{self.acquisition!r}; use batch='constant_liar'."
            )
        if self.batch == "joint" and self.hyperparameters == "slice":
            raise ValueError(
                "batch='joint' does not support hyperparameters='slice'; use batch='constant_liar'."
            )

    def check_fits(self, n_objectives: int, constrained: bool, space: Space | None = None) -> None:
        """Raise ValueError where this policy cannot search what a study observes.

        Parameters
        ----------
        n_objectives
            Number of objectives.
        constrained
            Whether there are outcome constraints.
        space
            Its parameters, which may have roles (see `bayesopt.roles`).
        """
        several = n_objectives > 1
        if space is not None:
            check_process(self.process, space)
            if space.role is not None:
                self._check_takes_role(space.role, several)
        if several and self.acquisition not in _OF_SEVERAL:
            name = "an acquisition of your own" if callable(self.acquisition) else self.acquisition
            raise ValueError(
                f"Several objectives are searched by acquisition='nehvi' or 'random', not by "
                f"{name!r}."
            )
        if not several and self.acquisition == "nehvi":
            raise ValueError("acquisition='nehvi' is for several objectives, but there is one.")
        if self.batch == "joint" and (several or constrained):
            what = "several objectives" if several else "outcome constraints"
            raise ValueError(f"batch='joint' does not support {what}; use batch='constant_liar'.")

    def check_takes_varying_noise(self, role: Role | None = None) -> None:
        """Raise ValueError where this policy cannot search under noise that varies."""
        if role is not None:
            raise ValueError(
                "noise='heteroscedastic' is not supported where a parameter is "
                f"{WITH_ARTICLE[role]}: use noise='auto', or leave its role out."
            )
        if self.hyperparameters == "slice":
            raise ValueError(
                "hyperparameters='slice' does not support noise='heteroscedastic'; use 'map' or "
                "'mle'."
            )
        if self.acquisition in _OF_SAME_NOISE:
            raise ValueError(
                f"acquisition={self.acquisition!r} does not support noise='heteroscedastic'; use "
                "'ei', 'noisy_ei', 'kgcp', 'kg' or 'nei'."
            )

    def check_takes_derivatives(self, role: Role | None = None) -> None:
        """Raise ValueError where the model cannot learn from partial derivatives."""
        if role is not None:
            raise ValueError(
                "Partial derivatives are not supported where a parameter is "
                f"{WITH_ARTICLE[role]}: leave the gradient out."
            )
        if self.batch == "joint":
            raise ValueError(
                "batch='joint' does not support partial derivatives: use batch='constant_liar', or "
                "leave the gradient out."
            )
        if self.acquisition != "random" and not self.process.takes_derivatives:
            raise ValueError(
                "Partial derivatives need a model with the kernel 'matern52' or 'rbf' and a "
                f"constant mean, but the policy has a {self.process}. Change the model, or leave "
                "the gradient out."
            )

    def _check_takes_role(self, role: Role, several: bool) -> None:
        if several:
            raise ValueError(
                f"Several objectives are not supported where a parameter is {WITH_ARTICLE[role]}: "
                "leave its role out, or give one `direction`."
            )
        if not callable(self.acquisition) and self.acquisition not in _OF_ROLES:
            raise ValueError(
                f"Where a parameter is {WITH_ARTICLE[role]}, acquisition is one of "
                f"{', '.join(map(repr, _OF_ROLES))} or a callable of your own, not "
                f"{self.acquisition!r}."
            )
        if self.batch == "joint":
            raise ValueError(
                f"batch='joint' does not support a parameter that is {WITH_ARTICLE[role]}; use "
                "batch='constant_liar'."
            )
        if self.hyperparameters == "slice":
            raise ValueError(
                f"hyperparameters='slice' does not support a parameter that is "
                f"{WITH_ARTICLE[role]}; use 'map' or 'mle'."
            )

    @property
    def process(self) -> GaussianProcess:
        """What the model is, with names resolved."""
        if isinstance(self.model, GaussianProcess):
            return self.model
        return GaussianProcess() if self.model == "auto" else GaussianProcess(self.model)

    def where_noise(self, varies: bool) -> "Policy":
        """This policy with "auto" resolved where the noise varies."""
        if not (varies and self.acquisition == "auto"):
            return self
        return replace(self, acquisition=_AUTO_WHERE_NOISE_VARIES)

    @property
    def needs_region(self) -> bool:
        """Whether the acquisition looks for other points than the candidate, and is told where."""
        return self.acquisition in _IN_A_REGION

    def builder(self, region: Region) -> Builder:
        """What makes the acquisition in a region, with "auto" resolved; not for "random"."""
        if callable(self.acquisition):
            return partial(built_by_user, self.acquisition)
        if self.needs_region:
            return partial(_IN_A_REGION[self.acquisition], region=region)
        return _BUILDERS[_AUTO if self.acquisition == "auto" else self.acquisition]

    def samples_outcomes(self, pending: bool, constrained: bool) -> bool:
        """Whether improvement is averaged over what the outcomes may be at points that are running,
        or measured with noise, and not measured from one value."""
        if self.acquisition == "nei":
            return constrained
        return self.acquisition in ("auto", "ei") and pending and self.batch != "constant_liar"
