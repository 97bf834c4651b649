"""A cake that turns out well in any oven: on average, or also in the worst tenth of the kitchens.

A recipe says how hot and how long. Ovens lie: what the dial says is right on average, but off by
12 °C one way or the other. Heat moves from the surface into the cake; where the middle has not set
the cake collapses, and what gets too hot outside turns dark. The oven is a parameter that nobody
sets, ``role="environment"``, with its law in `environment=`; every evaluation bakes one cake in an
oven that the search chooses.

The best recipe on average takes the risk that a few cakes collapse. ``goal=bo.CVaR(0.9)`` seeks
what is best in the mean of the worst tenth. The picture shows in which ovens either recipe works.

    python examples/cake_in_any_oven.py            # half a minute
    python examples/cake_in_any_oven.py --help
"""

import argparse
from functools import cache
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import solve_banded
from scipy.optimize import OptimizeResult
from scipy.stats import norm

import bayesopt as bo

SPACE = bo.Space(
    dial=bo.Float(150.0, 230.0),  # °C
    minutes=bo.Float(20.0, 50.0),
    off=bo.Float(-40.0, 40.0, role="environment"),  # °C that the oven is hotter than its dial
)
OVENS = norm(0.0, 12.0)
GOALS = {"best on average": "mean", "best in the worst tenth": bo.CVaR(0.9)}
COLORS = {"best on average": "#c98b2b", "best in the worst tenth": "#0b6e99"}
CELLS, HALF, STEP = 12, 0.018, 15.0  # half the cake's height in m, s
SPREADS, AIR = 1.5e-7, 62.0  # heat in the cake, m2/s; heat taken from the air, 1/m


@cache
def cold() -> np.ndarray:
    """How much of the cold at the start is left (steps, 2) in the middle and at the surface."""
    step = HALF / CELLS
    inside = SPREADS * STEP / step**2
    surface = inside * AIR * step / (1 + AIR * step / 2)
    bands = np.zeros((3, CELLS))
    bands[0, 1:], bands[1], bands[2, :-1] = -inside, 1 + 2 * inside, -inside
    bands[1, 0], bands[1, -1] = 1 + inside, 1 + inside + surface
    left, kept = np.ones(CELLS), []
    for _ in range(int(60 * 60 / STEP)):
        left = solve_banded((1, 1), bands, left)
        kept.append(left[[0, -1]])
    return np.array(kept)


def points(dial: float, minutes: float, off: float) -> float:
    """Of 100, for a cake that is set, brown and not dry."""
    oven = dial + off
    seconds = STEP * np.arange(1, len(cold()) + 1)
    middle, surface = (oven - (oven - 20.0) * cold()).T
    browned = np.cumsum(np.exp((surface - 140.0) / 12.0)) * STEP / 60.0
    end, brown = np.interp(60.0 * minutes, seconds, middle), np.interp(60 * minutes, seconds, browned)
    collapsed = 50.0 / (1.0 + np.exp(end - 95.0))
    return float(100.0 - collapsed - 3.0 * np.log(brown / 4.0) ** 2 - 0.3 * minutes)


def outcomes(result: OptimizeResult) -> np.ndarray:
    """Points (1000,) of a recipe in ovens at even quantiles of their law."""
    return np.array([points(**result.params, off=off) for off in OVENS.ppf(EVEN)])


EVEN = (np.arange(1000) + 0.5) / 1000


def worst(outcome: np.ndarray) -> float:
    """Mean of the worst tenth."""
    return float(np.sort(outcome)[: len(outcome) // 10].mean())


def picture(found: dict[str, OptimizeResult], path: Path) -> None:
    """Left: points by oven. Middle: their distribution. Right: the recipes over the true goals."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
    off = np.linspace(-36.0, 36.0, 200)
    for name, result in found.items():
        color, outcome = COLORS[name], outcomes(result)
        by_oven = [points(**result.params, off=one) for one in off]
        left.plot(off, by_oven, color=color, linewidth=2, label=name)
        style = {"bins": np.arange(30.0, 95.0, 2.0), "color": color, "alpha": 0.5, "density": True}
        middle.hist(outcome, label=name, **style)
        middle.axvline(worst(outcome), color=color, linestyle="--", linewidth=1.5)
        right.plot(
            result.params["dial"],
            result.params["minutes"],
            "*",
            color=color,
            markeredgecolor="white",
            markersize=18,
            label=name,
        )
    left.fill_between(off, 30, 30 + 400 * OVENS.pdf(off), color="#d9d9d9", zorder=0)
    left.text(0, 31, "how common such ovens are", ha="center", fontsize=8)
    left.set(xlabel="oven is hotter than its dial by (°C)", ylabel="points", ylim=(30, 95))
    left.set_title("in which ovens")
    left.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.2))
    middle.set(xlabel="points", ylabel="share of cakes a point", title="dashed: mean of the worst tenth")
    _true_goals(right)
    tried = np.array(found["best in the worst tenth"].x_iters)
    right.plot(tried[:, 0], tried[:, 1], ".", color="black", markersize=4, label="tried for it")
    right.legend(fontsize=8, loc="upper right")
    for ax in (left, middle):
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def _true_goals(ax: plt.Axes) -> None:
    """Contours of what both goals truly are."""
    dial, minutes = np.linspace(150.0, 230.0, 33), np.linspace(20.0, 50.0, 31)
    ovens = OVENS.ppf((np.arange(60) + 0.5) / 60)
    cakes = np.array([[[points(a, b, off) for off in ovens] for a in dial] for b in minutes])
    for name, goal in (
        ("best on average", cakes.mean(axis=-1)),
        ("best in the worst tenth", np.sort(cakes, axis=-1)[..., :6].mean(axis=-1)),
    ):
        levels = goal.max() - np.array([8.0, 4.0, 1.0])
        ax.contour(dial, minutes, goal, levels=levels, colors=COLORS[name], linewidths=1)
    ax.set(xlabel="dial (°C)", ylabel="minutes", title="true goals: 1, 4 and 8 below their best")


def main() -> None:
    """Seek both goals, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/cake_in_any_oven.png"))
    arguments = parser.parse_args()
    found = {
        name: bo.maximize(
            points,
            SPACE,
            arguments.n_evals,
            environment=bo.Environment({"off": OVENS}, goal=goal),
            noise=False,
            seed=arguments.seed,
            progress=False,
        )
        for name, goal in GOALS.items()
    }
    print(f"{'':26}{'recipe':^18}{'expected of its goal':>22}{'mean':>8}{'worst tenth':>13}")
    for name, result in found.items():
        recipe, outcome = result.params, outcomes(result)
        print(
            f"{name:26}{recipe['dial']:4.0f} °C, {recipe['minutes']:4.1f} min  "
            f"{result.fun:14.1f} +- {result.sd:3.1f}{outcome.mean():8.1f}{worst(outcome):13.1f}"
        )
    picture(found, arguments.picture)


if __name__ == "__main__":
    main()
