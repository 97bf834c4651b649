"""Small spaces of every role, and one function on all of them."""

from scipy import stats

import bayesopt as bo
from bayesopt.optimize import Effort
from bayesopt.policy import Policy, Search

QUICK = Search(effort=Effort(n_global=32, n_local=16, n_starts=1, max_calls=4))
DESIGN = {"x": bo.Float(0, 1), "y": bo.Float(0, 1)}
MIXED = {"x": bo.Float(0, 1), "n": bo.Int(0, 4), "kind": bo.Categorical(["a", "b"])}

_W = bo.Float(0, 1, role="environment")
_V = bo.Categorical(["calm", "storm"], role="environment")
ROLES = {
    "fidelity": {"s": bo.Float(0, 1, role="fidelity", target=1.0)},
    "fidelity inside": {"s": bo.Float(0.1, 10, log=True, role="fidelity", target=1.0)},
    "levels": {"s": bo.Int(1, 3, role="fidelity", target=3)},
    "epochs": {"s": bo.Int(1, 100, log=True, role="fidelity", target=100)},
    "source": {"m": bo.Categorical(["fast", "fair", "exact"], role="source", target="exact")},
    "tasks": {"t": bo.Categorical(["old", "new"], role="task")},
    "transfer": {"t": bo.Categorical(["old", "new"], role="task", target="new")},
    "uniform": {"w": _W},
    "normal": {"w": _W},
    "beta": {"w": _W},
    "binomial": {"w": bo.Int(0, 4, role="environment")},
    "weights": {"v": _V},
    "joint law": {"w": _W, "v": _V},
    "two laws": {"w": _W, "v": _V},
    "cvar": {"w": _W},
}
LAWS = {
    "uniform": {"w": stats.uniform(0, 1)},
    "normal": {"w": stats.norm(0.5, 0.1)},
    "beta": {"w": stats.beta(2, 3)},
    "binomial": {"w": stats.binom(4, 0.3)},
    "weights": {"v": {"calm": 3, "storm": 1}},
    "joint law": {("w", "v"): {(0.1, "calm"): 2, (0.9, "storm"): 1, (0.5, "calm"): 1}},
    "two laws": {"w": stats.norm(0.5, 0.1), "v": {"calm": 3, "storm": 1}},
    "cvar": bo.Environment({"w": {0.1: 1, 0.5: 1, 0.9: 2}}, goal=bo.CVaR(0.5)),
}
_SHIFT = {"fast": 0.0, "fair": 0.5, "exact": 1.0, "old": 0.0, "new": 1.0, "calm": 0.0, "storm": 1.0}
_LARGEST = {"fidelity inside": 10, "levels": 3, "epochs": 100, "binomial": 4}


def space_of(role, design=DESIGN):
    return bo.Space(**design, **ROLES[role])


def function_of(role):
    """The bowl whose lowest point moves with the role columns; its own largest values near 1."""

    def value(**params):
        shift = 0.0
        for name in ROLES[role]:
            own = params[name]
            shift += _SHIFT[own] if isinstance(own, str) else own / _LARGEST.get(role, 1)
        other = params["y"] if "y" in params else params["n"] / 4 + 0.2 * (params["kind"] == "a")
        return (params["x"] - 0.3 - 0.2 * shift) ** 2 + (other - 0.6) ** 2 + 0.1 * shift

    return value


def study_of(role, design=DESIGN, acquisition="auto", n_initial=4, **given):
    return bo.Study(
        space_of(role, design),
        environment=LAWS.get(role),
        policy=Policy(search=QUICK, acquisition=acquisition),
        n_initial=n_initial,
        seed=3,
        **given,
    )


def history(study, f):
    """Five evaluations of the other task."""
    rows = [{"x": 0.1 + 0.2 * i, "y": (0.35 * i) % 1.0, "t": "old"} for i in range(5)]
    study.add(rows, [f(**row) for row in rows])
