"""A robot on two wheels learns to stand, and learns where it falls.

Two numbers make it stand: how hard the wheels drive under it for every radian that it leans, and
for every radian a second. With too little it falls slowly; with too much, and motors that answer a
tenth of a second late, it rocks itself over. Where that happens nobody knows beforehand. A fall
gives no value, only an exception, and someone has to pick the robot up: it is worth not to fall
again in the same corner. A classifier learns from the falls how likely it is to stay upright, and
the search multiplies by that. Random trials of the same number show what ignoring them costs. All
begin with one setting that stands, if badly.

    python examples/falling_robot.py            # a quarter of a minute
    python examples/falling_robot.py --help
"""

import argparse
from collections import deque
from math import cos, degrees, sin
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import OptimizeResult

import bayesopt as bo

SPACE = bo.Space(by_lean=bo.Float(0.0, 60.0), by_speed=bo.Float(0.0, 10.0))
STEP, LATE, LENGTH = 0.005, 20, 0.6  # s; motors answer 20 steps late; m from axle to middle
STANDS = {"by_lean": 12.0, "by_speed": 5.0}  # found by hand
STRONGEST, TOO_FAR = 20.0, 0.7  # m/s2 that the motors reach; rad from which nobody comes back


class Fell(Exception):
    """There is nothing to measure any more."""


def mean_lean(by_lean: float, by_speed: float) -> float:
    """Mean lean in degrees over six seconds with a push after three; raises Fell."""
    lean, speed, total = 0.1, 0.0, 0.0
    commands = deque([0.0] * LATE)
    for step in range(1200):
        if step == 600:
            speed += 1.0
        wanted = by_lean * lean + by_speed * speed
        commands.append(min(max(wanted, -STRONGEST), STRONGEST))
        wheels = commands.popleft()
        speed += STEP * (9.81 * sin(lean) - wheels * cos(lean)) / LENGTH
        lean += STEP * speed
        if abs(lean) > TOO_FAR:
            raise Fell(f"after {'the push' if step > 600 else 'the start'}")
        total += abs(lean)
    return degrees(total / 1200)


def stays_upright(by_lean: float, by_speed: float) -> bool:
    """What nobody knows beforehand."""
    try:
        mean_lean(by_lean, by_speed)
    except Fell:
        return False
    return True


def falls(result: OptimizeResult) -> np.ndarray:
    """Number of falls (n,) after every trial."""
    return np.cumsum(np.isnan(result.func_vals))


def picture(learning: list[OptimizeResult], random: list[OptimizeResult], path: Path) -> None:
    """Left: what one search believes and did. Right: falls by trials of all searches."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12, 4.8), layout="constrained", width_ratios=[1.25, 1]
    )
    result = learning[0]
    x, y = np.linspace(0.0, 60.0, 41), np.linspace(0.0, 10.0, 41)
    grid = [{"by_lean": a, "by_speed": b} for b in y for a in x]
    success = result.study.feasibility(grid).reshape(len(y), len(x))
    filled = left.contourf(x, y, success, levels=np.linspace(0.0, 1.0, 11), cmap="GnBu", alpha=0.85)
    figure.colorbar(filled, ax=left, label="learnt probability of staying upright")
    truth = np.array([stays_upright(**point) for point in grid]).reshape(len(y), len(x))
    left.contour(x, y, truth, levels=[0.5], colors="black", linestyles="--", linewidths=1)
    left.plot([], [], "--", color="black", linewidth=1, label="true border")
    fell = np.isnan(result.func_vals)
    tried = np.array(result.x_iters)
    left.plot(*tried[fell].T, "X", color="#d1495b", markeredgecolor="white", label="fell")
    left.plot(*tried[~fell].T, "o", color="white", markeredgecolor="black", label="stood")
    left.plot(*result.x, "*", color="#e0a100", markeredgecolor="black", markersize=16, label="best")
    left.set(xlabel="drive for the lean (m/s² a rad)", ylabel="drive for its speed (m/s² a rad/s)")
    left.set_title(f"one search, {len(tried)} trials")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=9)
    for name, results, color in (
        ("random trials", random, "#9a9a9a"),
        ("learns from falls", learning, "#0b6e99"),
    ):
        counts = np.array([falls(one) for one in results])
        trials = np.arange(1, counts.shape[1] + 1)
        right.plot(trials, counts.T, color=color, alpha=0.35, linewidth=1)
        right.plot(trials, counts.mean(axis=0), color=color, linewidth=2.5, label=name)
    right.axvline(learning[0].study.n_initial, color="black", linewidth=0.8, linestyle=":")
    right.text(learning[0].study.n_initial, 0, " first design ends", va="bottom", fontsize=8)
    right.set(xlabel="trials", ylabel="falls so far", title="each thin line is one search")
    right.legend(frameon=False, loc="upper left")
    right.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def main() -> None:
    """Search several times with either policy, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=40)
    parser.add_argument("--n-searches", type=int, default=5)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/falling_robot.png"))
    arguments = parser.parse_args()
    n_evals = arguments.n_evals
    found = {
        name: [
            bo.minimize(
                mean_lean,
                SPACE,
                n_evals,
                x0=STANDS,
                noise=False,
                seed=seed,
                policy=policy,
                progress=False,
            )
            for seed in range(arguments.n_searches)
        ]
        for name, policy in (
            ("learns from falls", bo.Policy()),
            ("random trials", bo.Policy(acquisition="random")),
        )
    }
    print(f"{arguments.n_searches} searches of {n_evals} trials each; means of them")
    print(f"{'':18}{'falls':>8}{'in the last half':>18}{'mean lean of the best':>24}")
    for name, results in found.items():
        counts = np.mean([falls(result) for result in results], axis=0)
        late = counts[-1] - counts[n_evals // 2 - 1]
        lean = np.mean([result.fun for result in results])
        print(f"{name:18}{counts[-1]:8.1f}{late:18.1f}{lean:22.2f} °")
    first = found["learns from falls"][0]
    print(f"\nWhy the first search lost trials: {first.failures}")
    print(first.message)
    picture(found["learns from falls"], found["random trials"], arguments.picture)


if __name__ == "__main__":
    main()
