"""A spring as light as it can be that still does its work: limits on what comes out.

The tension spring is the textbook's constrained design. The wire, the width of the coils and their
number are free; the spring must give way by half an inch under ten pounds, must not be stressed
beyond what the steel bears, and must not sing at the frequency of the machine. How far it gives,
how it is stressed and how it sings come out of the same test (or simulation) as its weight: they
are `outcome_constraints`, and every one of them gets a model of its own. That it has to fit into
its hole is known beforehand from the parameters alone: that is one of the `constraints`, and every
spring that is tried fits.

What an engineer reads from the result: ``result.constraints`` at the best spring shows which limits
hold it back (those that are met with nothing to spare) and which do not matter: a better steel
would make it lighter, a slower machine would not. The picture shows in which direction there is
room; where the probability is neither near 0 nor near 1, the model does not know yet.

    python examples/coil_spring.py            # a quarter of a minute
    python examples/coil_spring.py --help
"""

import argparse
from functools import cache
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import LinearConstraint, OptimizeResult

import bayesopt as bo

SPACE = bo.Space(
    wire=bo.Float(1.0, 3.0, log=True),  # mm
    coil=bo.Float(6.0, 32.0, log=True),  # mm, mean diameter of the coils
    coils=bo.Int(2, 15),
)
FITS = LinearConstraint([1.0, 1.0, 0.0], ub=30.0)  # wire + coil, in a hole of 30 mm
LIMITS = {
    "deflection": (12.7, None),  # mm
    "stress": (None, 552.0),  # MPa
    "frequency": (100.0, None),  # Hz
}
UNITS = {"deflection": "mm", "stress": "MPa", "frequency": "Hz"}
FORCE, SHEAR_MODULUS, DENSITY = 44.5, 79.3e9, 7850.0  # N, Pa, kg/m3: steel


def properties(wire, coil, coils):
    """Weight in g, and what the limits are about; numbers or arrays."""
    d, D = wire / 1000, coil / 1000
    index = D / d
    wahl = (4 * index - 1) / (4 * index - 4) + 0.615 / index  # the inside of a coil bears more
    weight = 1000 * DENSITY * (coils + 2) * np.pi**2 * D * d**2 / 4
    return weight, {
        "deflection": 1000 * 8 * FORCE * D**3 * coils / (SHEAR_MODULUS * d**4),
        "stress": 8 * wahl * FORCE * D / (np.pi * d**3) / 1e6,
        "frequency": d / (2 * np.pi * D**2 * coils) * np.sqrt(SHEAR_MODULUS / (2 * DENSITY)),
    }


def tested(wire: float, coil: float, coils: int) -> bo.Evaluation:
    """One test of one spring."""
    weight, outcomes = properties(wire, coil, coils)
    return bo.Evaluation(weight, constraints=outcomes)


def holds(outcomes) -> np.ndarray:
    """Whether all limits are met."""
    return np.all(
        [
            (outcomes[name] >= (-np.inf if low is None else low))
            & (outcomes[name] <= (np.inf if high is None else high))
            for name, (low, high) in LIMITS.items()
        ],
        axis=0,
    )


@cache
def lightest() -> dict[str, float]:
    """The true best spring: for every wire and number of coils the narrowest that gives enough."""
    wire, coils = np.meshgrid(np.linspace(1.0, 3.0, 8001), np.arange(2, 16), indexing="ij")
    gives, _ = LIMITS["deflection"]
    coil = 0.01 * (gives * SHEAR_MODULUS * wire**4 / (8 * FORCE * coils)) ** (1 / 3)
    weight, outcomes = properties(wire, coil, coils)
    outcomes["deflection"] = np.full_like(wire, gives)  # but for rounding
    weight[~(holds(outcomes) & (coil >= 6.0) & (wire + coil <= 30.0))] = np.inf
    best = np.argmin(weight)
    return {"wire": wire.flat[best], "coil": coil.flat[best], "coils": coils.flat[best]}


def show(result: OptimizeResult) -> None:
    """The recommended spring, its limits and what they leave."""
    truth = lightest()
    print(f"\n{'':14}{'wire':>9}{'coil':>9}{'coils':>8}{'weight':>11}")
    for name, spring in (("recommended", result.params), ("true best", truth)):
        weight, _ = properties(**spring)
        print(
            f"{name:14}{spring['wire']:6.2f} mm{spring['coil']:6.2f} mm{spring['coils']:8d}"
            f"{weight:9.3f} g"
        )
    print(f"\nLimits at the recommended spring (met with probability {result.feasibility:.2f}):")
    for name, (low, high) in LIMITS.items():
        seen = result.constraints[name]
        limit, sign, spare = (high, "<=", high - seen) if low is None else (low, ">=", seen - low)
        binds = "holds it back" if spare < 0.02 * limit else "has room"
        print(f"    {name:11}{seen:8.1f} {sign} {limit:6.1f} {UNITS[name]:4} {binds}")
    met = [holds(trial.evaluation.constraints) for trial in result.study.trials]
    print(f"{sum(met)} of {len(met)} springs that were tried meet all limits.")
    print(result.message)


def picture(result: OptimizeResult, path: Path) -> None:
    """Left: what the model believes at the best number of coils. Right: weights as they came."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12, 5.2), layout="constrained", width_ratios=[1.3, 1]
    )
    coils = result.params["coils"]
    wire, coil = np.linspace(1.0, 2.4, 57), np.linspace(6.0, 22.0, 65)
    grid = [{"wire": a, "coil": b, "coils": coils} for b in coil for a in wire]
    likely = result.study.feasibility(grid).reshape(len(coil), len(wire))
    filled = left.contourf(wire, coil, likely, levels=np.linspace(0, 1, 11), cmap="GnBu")
    figure.colorbar(filled, ax=left, label="learnt probability that all limits are met")
    weight, outcomes = properties(*np.meshgrid(wire, coil), coils)
    lines = left.contour(wire, coil, weight, levels=[2, 4, 8, 16], colors="grey", linewidths=0.8)
    left.clabel(lines, fmt="%g g", fontsize=8)
    for (name, (low, high)), color in zip(
        LIMITS.items(), ("#7a5195", "#c98b2b", "#7a9e35"), strict=True
    ):
        limit = high if low is None else low
        left.contour(
            wire,
            coil,
            outcomes[name],
            levels=[limit],
            colors=color,
            linestyles="--",
            linewidths=1.5,
        )
        left.plot([], [], "--", color=color, label=f"true limit: {name}")
    tried = np.array(result.x_iters)
    near = np.abs(tried[:, 2] - coils) <= 1
    left.plot(*tried[~near, :2].T, ".", color="grey", label="tried, other numbers of coils")
    left.plot(
        *tried[near, :2].T,
        "o",
        color="white",
        markeredgecolor="black",
        markersize=6,
        label=f"tried, {coils - 1} to {coils + 1} coils",
    )
    left.plot(*result.x[:2], "*", color="#d1495b", markeredgecolor="white", markersize=17)
    left.plot([], [], "*", color="#d1495b", markersize=11, linestyle="", label="recommended")
    left.set(xlabel="wire (mm)", ylabel="coil diameter (mm)", xlim=(0.97, 2.4), ylim=(5.5, 22))
    left.set_title(f"springs of {coils} coils")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=9)
    _in_order(result, right)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def _in_order(result: OptimizeResult, ax) -> None:
    """Weights in the order of the tests; a light one that breaks a limit is worth nothing."""
    met = np.array([holds(trial.evaluation.constraints) for trial in result.study.trials])
    weights, tests = result.func_vals, np.arange(1, len(met) + 1)
    ax.plot(tests[~met], weights[~met], "x", color="#9a9a9a", label="breaks a limit")
    ax.plot(tests[met], weights[met], "o", color="#0b6e99", label="meets all limits")
    best = np.minimum.accumulate(np.where(met, weights, np.inf))
    ax.step(tests, best, where="post", color="#0b6e99", label="lightest that meets them")
    true_best = properties(**lightest())[0]
    ax.axhline(true_best, color="black", linestyle=":", linewidth=1, label="true best")
    ax.set(
        xlabel="springs tested", ylabel="weight (g)", yscale="log", title="in the order of tests"
    )
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Search, compare with the true best spring, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/coil_spring.png"))
    arguments = parser.parse_args()
    result = bo.minimize(
        tested,
        SPACE,
        arguments.n_evals,
        noise=False,
        constraints=FITS,
        outcome_constraints=LIMITS,
        seed=arguments.seed,
        progress=True,
    )
    show(result)
    picture(result, arguments.picture)


if __name__ == "__main__":
    main()
