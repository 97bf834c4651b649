"""Which inputs move the Ishigami function, and how sure is that after 640 runs?

The textbook function of sensitivity analysis: its exact Sobol' indices are known. The first picture
shows all indices with their intervals beside the exact values; the second how they settle as the
design doubles, every earlier run being kept.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

import uq

EXACT_FIRST = np.array([0.31390519, 0.44241114, 0.0])
EXACT_TOTAL = np.array([0.55758886, 0.44241114, 0.24368366])


def ishigami(x: np.ndarray) -> np.ndarray:
    """The model: (n, 3) inputs to (n,) outputs."""
    return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=128, help="rows of the design, a power of two")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/ishigami.png"))
    args = parser.parse_args()

    dists = [stats.uniform(-np.pi, 2 * np.pi)] * 3
    options = {"func": ishigami, "dists": dists, "n": args.n, "rng": args.seed}
    s = uq.sobol_indices(**options)
    plain = uq.sobol_indices(**options, surrogate=None)
    print(f"{s.n_evaluations} runs. {s.message}")
    print(f"{'':6} {'exact':>8} {'estimate':>9} {'95 % interval':>22} {'without surrogate':>26}")
    for kind, exact in (("first_order", EXACT_FIRST), ("total_order", EXACT_TOTAL)):
        ours, theirs = (getattr(one.confidence_interval(0.95), kind) for one in (s, plain))
        for i in range(3):
            print(
                f"{'S' if kind == 'first_order' else 'T'}{i + 1:<5} {exact[i]:8.4f} "
                f"{getattr(s, kind)[i]:9.4f}   [{ours.low[i]:8.4f}, {ours.high[i]:8.4f}]   "
                f"     [{theirs.low[i]:8.4f}, {theirs.high[i]:8.4f}]"
            )

    pairs = uq.sobol_indices(**options, order=2)
    interval = pairs.confidence_interval(0.95).second_order
    print(
        f"Interaction of x1 and x3: {pairs.second_order[0, 2]:.4f} "
        f"[{interval.low[0, 2]:.4f}, {interval.high[0, 2]:.4f}], exact 0.2437"
    )
    larger = s.extend(4 * args.n)
    print(
        f"Extended to {larger.n_evaluations} runs: largest error "
        f"{np.abs(larger.total_order - EXACT_TOTAL).max():.1e}"
    )
    picture(plain, larger, args.picture)


def picture(plain: uq.SobolIndices, larger: uq.SobolIndices, path: Path) -> None:
    """Left: indices without surrogate and the exact values. Right: with it, by runs."""
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9), layout="constrained")
    plain.plot(left)
    left.plot(np.arange(3) - 0.2, EXACT_FIRST, "k_", markersize=16, label="exact")
    left.plot(np.arange(3) + 0.2, EXACT_TOTAL, "k_", markersize=16)
    left.legend(frameon=False, fontsize="small")
    left.set_title(f"{plain.n_evaluations} runs, no surrogate", fontsize="medium")
    larger.plot_convergence(right)
    right.set_title("with the surrogate, as the design doubles", fontsize="medium")
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=120)
    print(f"Picture: {path}")


if __name__ == "__main__":
    main()
