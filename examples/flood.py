"""What decides how high a river stands, and what if the laws of its inputs are not known well?

Eight uncertain inputs, three questions. Which of them move the height of the river, and which
groups of them (Sobol' indices)? And how does the probability of a very high river change when one
of the laws is not quite right (all laws from one sample)? The model is the flood case of Iooss &
Lemaitre (2015).
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

import uq

HIGH = -8.0  # m: the river comes that near to the top


def overflow(x: np.ndarray) -> np.ndarray:
    """The model: (n, 8) inputs to (n,) heights of the river above the dyke, in m."""
    q, ks, zv, zm, hd, cb, length, width = x.T
    depth = (q / (ks * width * np.sqrt((zm - zv) / length))) ** 0.6
    return zv + depth - hd - cb


def triangular(low: float, mode: float, high: float) -> object:
    """SciPy's law of that name, by its ends and its mode."""
    return stats.triang((mode - low) / (high - low), low, high - low)


def laws() -> uq.Inputs:
    """Eight independent laws; the flow is a Gumbel law cut at 500 and 3000 m^3/s."""
    gumbel = stats.make_distribution(stats.gumbel_r)()
    return uq.Inputs(
        {
            "flow": stats.truncate(1013 + 558 * gumbel, 500, 3000),
            "friction": stats.truncnorm((15 - 30) / 8, np.inf, 30, 8),
            "bed, down": triangular(49, 50, 51),
            "bed, up": triangular(54, 55, 56),
            "dyke": stats.uniform(7, 2),
            "bank": triangular(55, 55.5, 56),
            "length": triangular(4990, 5000, 5010),
            "width": triangular(295, 300, 305),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=int, default=4_000, help="runs for each question")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/flood.png"))
    args = parser.parse_args()

    inputs = laws()
    options = {"func": overflow, "inputs": inputs, "budget": args.budget, "rng": args.seed}
    s = uq.sobol_indices(**options)
    print(f"Sobol' indices of the overflow, {s.n_evaluations} runs. {s.message}")
    print(s.to_dataframe().query("estimate > 0.001").to_string(index=False))

    groups = {
        "river": ["flow", "friction", "length", "width"],
        "ground": ["bed, down", "bed, up", "bank"],
    }
    g = uq.sobol_indices(**options, groups=groups)
    for name, first, total in zip(g.names, g.first_order, g.total_order, strict=True):
        print(f"{name:8} explains {first:.3f} alone, has a part in {total:.3f}")

    impact = uq.input_impact(
        overflow, inputs, quantity="failure_probability", threshold=HIGH, budget=args.budget,
        perturb={name: "mean" for name in ("flow", "friction", "bed, down", "dyke")},
        rng=args.seed,
    )  # fmt: skip
    low, high = impact.confidence_interval(0.95, of="estimate")
    print(f"Probability that the river comes within {-HIGH:g} m of the top of the dyke:")
    print(f"{impact.reference_estimate:.5f} +- {impact.reference_standard_error:.5f}; when one law")
    print(f"is shifted by up to one standard deviation from {low.min():.5f} to {high.max():.5f}.")
    picture(s, impact, args.picture)


def picture(s: uq.SobolIndices, impact: uq.InputImpact, path: Path) -> None:
    """Left: indices of all inputs. Right: relative change of the probability by shifted laws."""
    _, (left, right) = plt.subplots(1, 2, figsize=(11, 4.1), layout="constrained")
    s.plot(left)
    impact.plot(right)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=120)
    print(f"Picture: {path}")


if __name__ == "__main__":
    main()
