"""How much bread to bake, when nobody knows how many will come.

A baker sets the number of loaves and their price before the day begins. How many want bread is
random: 30 % more or less from day to day. What is left over is lost. The day is a parameter that
nobody sets, ``role="environment"``, with its law in `environment=`; every evaluation plays one
day, which the search chooses, since it is a simulation.

The best choice on average bakes much, and loses on quiet days. ``goal=bo.CVaR(0.9)`` seeks the
largest mean of the worst tenth of the days. The picture shows what either choice brings.

    python examples/bakery.py            # half a minute
    python examples/bakery.py --help
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import OptimizeResult
from scipy.stats import norm

import bayesopt as bo

SPACE = bo.Space(
    loaves=bo.Int(40, 400),
    price=bo.Float(2.0, 6.0),
    demand=bo.Float(0.0, 2.0, role="environment"),  # 1 is an ordinary day
)
DEMAND = norm(1.0, 0.3)
GOALS = {"best on average": "mean", "best in the worst tenth": bo.CVaR(0.9)}
COLORS = {"best on average": "#c98b2b", "best in the worst tenth": "#0b6e99"}
BAKING, APART = 1.6, 12.0  # what a loaf costs; how far from the plan customers come
POLICY = bo.Policy(acquisition="ei")  # cheaper than "kg", the default where there is a role


def profit(loaves, price, demand):
    """What one day brings; numbers or arrays."""
    wanted = 420.0 * demand * np.exp(-price / 3.2)
    left_over = APART * np.logaddexp(0.0, (loaves - wanted) / APART)
    return price * (loaves - left_over) - BAKING * loaves


def one_day(loaves: int, price: float, demand: float) -> float:
    """What the search calls."""
    return float(profit(loaves, price, demand))


def worst(outcome: np.ndarray) -> np.ndarray:
    """Mean of the worst tenth, along the last axis."""
    return np.sort(outcome)[..., : outcome.shape[-1] // 10].mean(axis=-1)


def days(n: int) -> np.ndarray:
    """Days (n,) at even quantiles of their law."""
    return DEMAND.ppf((np.arange(n) + 0.5) / n)


def picture(found: dict[str, OptimizeResult], path: Path) -> None:
    """Left: profit by day. Middle: its distribution. Right: the choices over the true goals."""
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
    demand = np.linspace(0.1, 1.9, 200)
    for name, result in found.items():
        color, outcome = COLORS[name], profit(**result.params, demand=days(1000))
        left.plot(demand, profit(**result.params, demand=demand), color=color, lw=2, label=name)
        style = {"bins": np.arange(-160.0, 352.0, 16.0), "color": color, "alpha": 0.5}
        middle.hist(outcome, weights=np.full(1000, 0.1), label=name, **style)
        middle.axvline(worst(outcome), color=color, linestyle="--")
        star = {"color": color, "mec": "white", "ms": 18, "label": name, "zorder": 3}
        right.plot(result.params["loaves"], result.params["price"], "*", **star)
    low = left.get_ylim()[0]
    left.fill_between(demand, low, low + 60 * DEMAND.pdf(demand), color="#d9d9d9", zorder=0)
    left.text(1.0, low + 5, "how common such days are", ha="center", fontsize=8)
    left.axhline(0.0, color="black", linewidth=0.6)
    left.set(xlabel="demand (1: an ordinary day)", ylabel="profit of the day", title="by day")
    left.legend(frameon=False, loc="upper left")
    middle.set(xlabel="profit of the day", ylabel="share of the days (%)")
    middle.set_title("how often (dashed: mean of the worst tenth)")
    _true_goals(right)
    for ax in (left, middle, right):
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def _true_goals(ax: plt.Axes) -> None:
    """Contours of what both goals truly are, and where they are best."""
    loaves, price = np.linspace(40.0, 220.0, 91), np.linspace(2.5, 6.0, 71)
    outcome = profit(*np.meshgrid(loaves, price), days(200)[:, None, None])
    for name, goal in (
        ("best on average", outcome.mean(axis=0)),
        ("best in the worst tenth", worst(np.moveaxis(outcome, 0, -1))),
    ):
        best = goal.argmax()
        levels = goal.max() - np.array([40.0, 20.0, 5.0])
        ax.contour(loaves, price, goal, levels=levels, colors=COLORS[name], linewidths=1)
        where = loaves[best % len(loaves)], price[best // len(loaves)]
        ax.plot(*where, "+", color=COLORS[name], ms=12, mew=2, label=f"truly {name}")
    ax.set(xlabel="loaves", ylabel="price", title="lines: 5, 20 and 40 below the true best")
    ax.legend(fontsize=8, loc="lower right")


def main() -> None:
    """Seek both goals, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=22)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/bakery.png"))
    arguments = parser.parse_args()
    found = {
        name: bo.maximize(
            one_day,
            SPACE,
            arguments.n_evals,
            environment=bo.Environment({"demand": DEMAND}, goal=goal),
            noise=False,
            policy=POLICY,
            seed=arguments.seed,
            progress=False,
        )
        for name, goal in GOALS.items()
    }
    print(f"{arguments.n_evals} days simulated for either goal; what the choices truly bring\n")
    print(f"{'':24}{'loaves':>8}{'price':>8}{'a day':>9}{'in the worst tenth':>21}")
    for name, result in found.items():
        outcome = profit(**result.params, demand=days(1000))
        choice = f"{result.params['loaves']:8d}{result.params['price']:8.2f}"
        print(f"{name:24}{choice}{outcome.mean():9.0f}{worst(outcome):21.0f}")
    picture(found, arguments.picture)


if __name__ == "__main__":
    main()
