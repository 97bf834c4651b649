"""What the luckiest observation costs: a noisy search reports a point, and keeps its promise.

Every evaluation of a test function (Branin's, minimum 0.398) is off by a random error. Whoever
reports the smallest value ever seen reports the luckiest error along with it: the point is worse
than another one, and its value is worse than it looks. The library reports the evaluated point with
the best expected value, and noisy expected improvement spends every evaluation on what that report
will gain from it; often it measures a good point again.

    python examples/noisy_ei.py            # half a minute
    python examples/noisy_ei.py --help
"""

import argparse
import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import bayesopt as bo

MINIMUM = 0.397887
NOISE_SD = 10.0
SPACE = bo.Space(x=bo.Float(-5.0, 10.0), y=bo.Float(0.0, 15.0))
POLICY = bo.Policy(acquisition="noisy_ei")


def branin(x: float, y: float) -> float:
    """The true value; three minima, a standard deviation of 51 over its square."""
    valley = y - 5.1 * x**2 / (4 * math.pi**2) + 5 * x / math.pi - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def searched(n_evals: int, seed: int) -> dict[str, tuple[float, float]]:
    """Promised and true value of the luckiest point and of the recommended one."""
    error = np.random.default_rng([seed, 1])
    result = bo.minimize(
        lambda x, y: branin(x, y) + NOISE_SD * error.normal(),
        SPACE,
        n_evals,
        policy=POLICY,
        seed=seed,
        progress=False,
    )
    luckiest = int(np.argmin(result.func_vals))
    return {
        "luckiest observation": (
            float(result.func_vals[luckiest]),
            branin(*result.x_iters[luckiest]),
        ),
        "recommended point": (float(result.fun), branin(**result.params)),
    }


def picture(found: dict[str, np.ndarray], path: Path) -> None:
    """Left: what was promised and what it is worth. Right: the price of believing in luck."""
    _, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    colors = {"luckiest observation": "#d1495b", "recommended point": "#0b6e99"}
    largest = max(float(pairs.max()) for pairs in found.values())
    smallest = min(float(pairs.min()) for pairs in found.values())
    left.plot([smallest, largest], [smallest, largest], color="black", linewidth=1)
    left.text(smallest, smallest + 1.5, "promise kept", rotation=35, fontsize=9)
    for name, pairs in found.items():
        left.plot(pairs[:, 0], pairs[:, 1], "o", color=colors[name], alpha=0.7, label=name)
    left.axhline(MINIMUM, color="grey", linestyle=":", linewidth=1)
    left.set(xlabel="promised value", ylabel="true value", title="each dot is one search")
    left.legend(frameon=False)
    for name, pairs in found.items():
        regret = np.sort(pairs[:, 1] - MINIMUM)
        share = np.arange(1, len(regret) + 1) / len(regret)
        right.step(regret, share, where="post", color=colors[name], linewidth=2, label=name)
    right.set_xscale("log")
    right.set(
        xlabel="true value above the minimum", ylabel="share of searches", title="left is better"
    )
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def main() -> None:
    """Search many times, compare the two reports, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=40)
    parser.add_argument("--n-searches", type=int, default=25)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/noisy_ei.png"))
    arguments = parser.parse_args()
    results = [searched(arguments.n_evals, seed) for seed in range(arguments.n_searches)]
    found = {name: np.array([result[name] for result in results]) for name in results[0]}
    print(f"{arguments.n_searches} searches of {arguments.n_evals} evaluations, error {NOISE_SD:g}")
    print(f"{'':22}{'promised':>12}{'true':>12}{'above the minimum':>20}   (medians)")
    for name, pairs in found.items():
        promised, true = np.median(pairs, axis=0)
        print(f"{name:22}{promised:12.2f}{true:12.2f}{np.median(pairs[:, 1] - MINIMUM):20.2f}")
    picture(found, arguments.picture)


if __name__ == "__main__":
    main()
