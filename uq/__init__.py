"""Say how uncertain the output of a model is, with few model runs and intervals that are true.

The names below are loaded on first use, so that ``import uq`` costs nothing.
"""

from importlib import import_module

_ROOM_OF = {
    "Expectations": "estimates",
    "FailureProbability": "reliability.failure_probabilities",
    "InputImpact": "impact.law_impacts",
    "Inputs": "inputs",
    "JointLaw": "joint_laws",
    "ReliabilityStudy": "reliability.study",
    "SobolDesign": "pick_freeze",
    "SobolIndices": "sobol_results",
    "expectations": "adaptive",
    "failure_probability": "reliability.study",
    "input_impact": "impact.impact_of_inputs",
    "shapley_effects": "shapley.effects",
    "sobol_design": "pick_freeze",
    "sobol_estimate": "sobol",
    "sobol_indices": "sobol",
}

__all__ = sorted(_ROOM_OF)
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'uq' has no attribute '{name}'; it has {__all__}")
    value = getattr(import_module(f"uq.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
