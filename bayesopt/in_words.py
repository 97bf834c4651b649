"""What chooses the points of a study in words, with "auto" resolved for what was observed."""

from bayesopt.observations import Observations
from bayesopt.policy import Policy
from bayesopt.settings import Settings
from bayesopt.target import is_evaluated_elsewhere

_FITTED_BY = {
    "map": "maximum a posteriori",
    "mle": "maximum likelihood",
    "slice": "slice sampling",
}
_SPOKEN_OF_ROLES = {
    "auto": "log knowledge gradient of {}",
    "kg": "log knowledge gradient of {}",
    "ei": "log expected improvement of {}, then what an evaluation tells of it",
}
_SPOKEN = {
    "ei": "log expected improvement",
    "augmented": "log expected improvement (augmented for noise)",
    "noisy_ei": "log noisy expected improvement (decision-theoretic)",
    "kgcp": "log knowledge gradient for the evaluated points",
    "nei": "log noisy expected improvement (Letham)",
    "kg": "log knowledge gradient",
    "d-kg": "log knowledge gradient that counts on the next gradient",
    "es": "log entropy search",
    "pes": "log predictive entropy search",
    "mes": "log max-value entropy search",
    "jes": "log joint entropy search",
    "lookahead": "log gain of two evaluations",
    "ei_posterior_mean": "log expected improvement on the best posterior mean",
    "ei_next_mean": "log expected improvement of the next posterior mean",
    "ei_next_observation": "log expected improvement of the next observation",
    "nehvi": "log noisy expected hypervolume improvement",
    "random": "random search",
    "own": "own acquisition",
}


def described(settings: Settings, seen: Observations) -> tuple[str, str]:
    """Models and acquisition of a study.

    Parameters
    ----------
    settings
        The study.
    seen
        All observations.
    """
    policy = settings.policy.where_noise(settings.noise_varies)
    if policy.acquisition == "random":
        return "no model", _SPOKEN["random"]
    model = f"{policy.process}, {_FITTED_BY[policy.hyperparameters]}"
    if settings.noise_varies:
        model += ", heteroscedastic noise"
    spoken = _acquisition(settings, policy, seen)
    if not settings.cost.is_constant:
        spoken += ", per unit cost"
    if seen.constraints:
        spoken += ", times the probability of feasibility"
    if len(seen.X_failed) > 0:
        spoken += ", times the probability of success"
    return model, spoken


def _acquisition(settings: Settings, policy: Policy, seen: Observations) -> str:
    if callable(policy.acquisition):
        return _SPOKEN["own"]
    if is_evaluated_elsewhere(settings.space):
        return _SPOKEN_OF_ROLES[policy.acquisition].format(_sought(settings))
    name: str = policy.acquisition
    if len(seen.objectives) > 1:
        name = "nehvi"
    elif name in ("auto", "ei"):
        exact = bool((seen.objectives[0].Yvar == 0).all())
        name = "ei" if exact else "augmented"
    elif name == "kg" and seen.objectives[0].dY is not None:
        name = "d-kg"
    return _SPOKEN[name]


def _sought(settings: Settings) -> str:
    """What is sought where evaluations may be of something else."""
    environment, role = settings.environment, settings.space.role
    if environment is not None:
        level = environment.level
        return f"the {'mean' if level is None else f'CVaR({level:g})'} over the environment"
    return "the mean of all tasks" if role == "task" else f"the target {role}"
