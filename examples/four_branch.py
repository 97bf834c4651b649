"""Does a search for failures find all of them, and how many runs does that take?

Four ways to fail in two inputs, two of them less likely than the others: a search that follows one
design point sees two fifths of the probability at most. The exact value is known, 2.2228e-3.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

import uq

EXACT = 2.222795066194440e-3  # by quadrature
K = 7.0  # twice as far as the straight branches lie from the origin


def four_branch(x: np.ndarray) -> np.ndarray:
    """The limit state: (n, 2) inputs to (n,) values; below zero it fails."""
    total, difference = x.sum(axis=1), x[:, 0] - x[:, 1]
    bend = 3.0 + 0.1 * difference**2
    branches = (
        bend - total / np.sqrt(2.0),
        bend + total / np.sqrt(2.0),
        K / np.sqrt(2.0) + difference,
        K / np.sqrt(2.0) - difference,
    )
    return np.min(branches, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=int, default=4_000, help="runs of the limit state")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/four_branch.png"))
    args = parser.parse_args()

    inputs = uq.Inputs({"x1": stats.norm(), "x2": stats.norm()})
    p = uq.failure_probability(four_branch, inputs, budget=args.budget, rng=args.seed)
    low, high = p.confidence_interval(0.95)
    print(f"{p.n_evaluations} runs. {p.message}")
    print(f"Exact     {EXACT:.5e}")
    print(f"Estimate  {p.estimate:.5e}, 95 % interval [{low:.5e}, {high:.5e}]")
    needed = (1.0 / p.estimate - 1.0) / p.cv**2
    print(f"Relative error {p.cv:.1e}: plain Monte Carlo would need {needed:.1e} runs for it.")
    print("Regions of failure, each by its most probable run:")
    for point in p.design_points:
        x1, x2 = point.x
        print(
            f"  ({x1:+.2f}, {x2:+.2f}) at distance {point.beta:.2f}: {100 * point.share:4.1f} % "
            "of the probability"
        )
    print(
        "Not seen: a cone of failures within "
        f"{100 * p.unseen.share_of_directions:.1g} % of all directions, which would "
        f"add {p.unseen.probability:.1e} at most."
    )
    for flag in p.flags:
        print(f"Careful: {flag}")
    picture(p, args.picture)


def picture(p: uq.FailureProbability, path: Path) -> None:
    """Left: failures, other runs, the limit state. Right: probability below every level."""
    _, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    p.plot("x1", "x2", left)
    left.set_aspect("equal")
    right.axhline(EXACT, color="0.5", linestyle=":", label="exact, at level 0")
    p.plot_exceedance(right)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=120)
    print(f"Picture: {path}")


if __name__ == "__main__":
    main()
