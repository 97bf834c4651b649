"""Public problems with two objectives, both minimised, found by their names.

The reference points of ZDT1 and DTLZ2 are those of `botorch.test_functions`; that of BNH is
(140, 50), as in pymoo and in most papers: the library has none for it.
"""

from functools import cache
from typing import Any

from benchmarks.outcomes import OutcomeProblem, Outcomes
from benchmarks.space import Params, box, numbers

# name: class in botorch.test_functions, its arguments, reference point, largest hypervolume
_KINDS: dict[str, tuple[str, dict[str, Any], tuple[float, float], float]] = {
    "zdt1": ("ZDT1", {"dim": 6}, (11.0, 11.0), 120.0 + 2.0 / 3.0),
    "dtlz2": ("DTLZ2", {"dim": 6}, (1.1, 1.1), 0.4246018),
    "bnh": ("BNH", {}, (140.0, 50.0), 5285.333),
}


def get(name: str) -> OutcomeProblem:
    """The problem of this name; a ``ValueError`` says which names there are."""
    if name not in _KINDS:
        raise ValueError(f"Problem {name!r} is unknown; known are {', '.join(_KINDS)}.")
    function = _function(name)
    space = box(function._bounds)
    n_constraints = getattr(function, "num_constraints", 0)

    def evaluate(params: Params) -> Outcomes:
        import torch

        x = torch.tensor(numbers(space, params), dtype=torch.float64)
        slack = function._evaluate_slack_true(x).tolist() if n_constraints else []
        return Outcomes(tuple(function._evaluate_true(x).tolist()), tuple(-s for s in slack))

    _, _, reference, largest = _KINDS[name]
    return OutcomeProblem(name, space, evaluate, n_constraints, None, reference, largest)


PROBLEMS = tuple(_KINDS)


@cache
def _function(name: str) -> Any:
    from botorch import test_functions

    kind, arguments, *_ = _KINDS[name]
    return getattr(test_functions, kind)(**arguments)
