"""Find the best setting of an expensive function in as few evaluations as possible.

The names below are loaded on first use, so that ``import bayesopt`` costs nothing.
"""

from importlib import import_module

_ROOM_OF = {
    "AllEvaluationsFailed": "execution.objective",
    "BudgetSpent": "budget",
    "CVaR": "environment",
    "Categorical": "parameter",
    "Environment": "environment",
    "Evaluation": "evaluation",
    "Float": "parameter",
    "GaussianProcess": "models.gaussian_process",
    "Int": "parameter",
    "LogNormal": "models.prior",
    "Normal": "models.prior",
    "ParetoFront": "pareto_front",
    "Policy": "policy",
    "Priors": "models.gaussian_process",
    "Recommendation": "recommend",
    "Simplex": "constraints",
    "Space": "space",
    "SpaceExhausted": "design",
    "StorageError": "storage.records",
    "Study": "study",
    "Trial": "trial",
    "TrialState": "trial",
    "TruncatedNormal": "models.prior",
    "Uniform": "models.prior",
    "maximize": "minimization",
    "minimize": "minimization",
}

__all__ = sorted(_ROOM_OF)
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'bayesopt' has no attribute '{name}'; it has {__all__}")
    value = getattr(import_module(f"bayesopt.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
