"""What a search returns: SciPy's result, for one objective or for several."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from bayesopt.composition import RISK
from bayesopt.explanation import Explanation
from bayesopt.parameter import is_number
from bayesopt.space import Space
from bayesopt.study import Study
from bayesopt.trial import Trial, TrialState


class Result(OptimizeResult):  # type: ignore[misc]
    """SciPy's result, which can also explain itself."""

    def explain(self) -> Explanation:
        """What the model behind the search has learnt, and how far to trust it; print it."""
        explanation: Explanation = self.study.explain()
        return explanation

    def __repr__(self) -> str:
        """SciPy's table, which cannot show an empty dict: without failures there is no line."""
        shown = {name: value for name, value in self.items() if value is not self.failures or value}
        return repr(OptimizeResult(shown))


def result_of(study: Study, message: str, success: bool) -> Result:
    """The result of a search.

    Parameters
    ----------
    study
        At least one trial is complete.
    message
        Why the search ended.
    success
        Whether it came to its end.
    """
    several = isinstance(study.direction, tuple)
    ended = [trial for trial in study.trials if trial.state is not TrialState.RUNNING]
    failures = Counter(trial.reason for trial in ended if trial.state is TrialState.FAILED)
    found = _of_several(study) if several else _of_one(study, ended)
    said = [message]
    if failures:
        said.append(f"{failures.total()} of {len(ended)} evaluations failed.")
    if not found.pop("is_feasible"):
        success = False
        said.append("No point is known to meet the outcome constraints.")
    how = f"; {found['rule'].replace('_', ' ')}" if not several else ""
    said.append(f"{study.description}{how}.")
    found.pop("rule", None)
    nothing = (np.nan,) * len(study.direction) if several else np.nan
    return Result(
        **found,
        nfev=len(ended),
        n_failed=failures.total(),
        failures=dict(failures),
        success=success,
        message=" ".join(said),
        x_iters=[_vector(study.space, trial.params) for trial in ended],
        func_vals=np.array([nothing if trial.value is None else trial.value for trial in ended]),
        study=study,
    )


def _of_one(study: Study, ended: list[Trial]) -> dict[str, Any]:
    best = study.recommend()
    seen = [t.evaluation for t in ended if t.params == best.params and t.evaluation is not None]
    found = {
        "x": _vector(study.space, best.params),
        "params": dict(best.params),
        "fun": best.mean,
        "sd": best.sd,
        "observed": float(np.mean([e.values[0] for e in seen])) if seen else float("nan"),
        "rule": best.rule,
        "is_feasible": best.feasibility >= 1.0 - RISK,
    }
    if study.outcome_constraints:
        values = study.outcome_constraints.observed(seen).mean(0) if seen else np.nan
        names = study.outcome_constraints.names
        found["feasibility"] = best.feasibility
        found["constraints"] = dict(
            zip(names, np.broadcast_to(values, len(names)).tolist(), strict=True)
        )
    return found


def _of_several(study: Study) -> dict[str, Any]:
    front = study.pareto_front()
    return {
        "x": [_vector(study.space, params) for params in front.params],
        "params": [dict(params) for params in front.params],
        "fun": front.values,
        "sd": front.sd,
        "pareto_front": front,
        "is_feasible": len(front) > 0,
    }


def _vector(space: Space, params: Mapping[str, Any]) -> NDArray[np.float64] | list[Any]:
    """An array when every parameter is a number, else a list in the order of the space."""
    names = [name for name in space.names if name in params]
    values = [params[name] for name in names]
    numeric = all(is_number(space[name]) for name in names)
    return np.array(values, dtype=np.float64) if numeric else values
