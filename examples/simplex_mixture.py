"""Three polymers spun into one yarn: the best blend, when parts sum to one and must cost little.

The parts of a mixture are not free: each is between 0 and 1, and together they are the whole. A
price limit cuts the triangle further. Both are known beforehand, so that every suggestion, the
first ones included, is a blend that can be spun. The yarn's elongation follows the quadratic model
of a classic mixture experiment (Cornell 2002, Experiments with Mixtures: polyethylene, polystyrene
and polypropylene), with its measurement error; the best blend lies on the edge of what is allowed.

    python examples/simplex_mixture.py            # a few seconds
    python examples/simplex_mixture.py --help
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import LinearConstraint, OptimizeResult

import bayesopt as bo

PARTS = ("polyethylene", "polystyrene", "polypropylene")
PRICE = np.array([1.0, 0.8, 2.1])
LIMIT = 1.6
ERROR_SD = 0.85
SPACE = bo.Space(**{name: bo.Float(0.0, 1.0) for name in PARTS})
KNOWN = [bo.Simplex(*PARTS), LinearConstraint(PRICE, ub=LIMIT)]


def elongation(polyethylene: float, polystyrene: float, polypropylene: float) -> float:
    """Elongation of the yarn in thousands of gram-force, without error."""
    a, b, c = polyethylene, polystyrene, polypropylene
    return 11.7 * a + 9.4 * b + 16.4 * c + 19.0 * a * b + 11.4 * a * c - 9.6 * b * c


def triangle(n: int) -> np.ndarray:
    """All blends (m, 3) in steps of 1 / n."""
    return np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]) / n


def in_the_plane(blends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where blends (m, 3) lie in a triangle with corners (0, 0), (1, 0) and (1/2, 0.87)."""
    blends = np.asarray(blends)
    return blends[:, 1] + blends[:, 2] / 2, blends[:, 2] * np.sqrt(3) / 2


def picture(result: OptimizeResult, best: np.ndarray, path: Path) -> None:
    """What the model expects of every blend, the blends that were spun, and the limit."""
    _, ax = plt.subplots(figsize=(7.5, 5.6), layout="constrained")
    blends = triangle(60)
    names = [dict(zip(PARTS, blend, strict=True)) for blend in blends]
    mean, _ = result.study.predict(names)
    filled = ax.tricontourf(*in_the_plane(blends), mean, levels=20, cmap="GnBu")
    ax.figure.colorbar(filled, ax=ax, label="expected elongation", shrink=0.8)
    # Polypropylene is the dear one: on the two edges that lead to it the limit cuts off its corner.
    most = (LIMIT - PRICE[:2]) / (PRICE[2] - PRICE[:2])
    cut = np.array([[1 - most[0], 0, most[0]], [0, 1 - most[1], most[1]], [0, 0, 1]])
    ax.fill(*in_the_plane(cut), color="white", alpha=0.65, linewidth=0)
    initial = np.array([trial.origin == "initial" for trial in result.study.trials])
    spun = np.array(result.x_iters)
    ax.plot(*in_the_plane(spun[initial]), "s", color="black", markersize=5, label="first design")
    ax.plot(
        *in_the_plane(spun[~initial]), "o", color="white", markeredgecolor="black", label="chosen"
    )
    ax.plot(*in_the_plane(best[None]), "P", color="black", markersize=11, label="true best")
    ax.plot(*in_the_plane(result.x[None]), "*", color="#d1495b", markersize=15, label="recommended")
    corners = ((0, 0, "right"), (1, 0, "left"), (0.5, 0.9, "center"))
    for (x, y, align), name in zip(corners, PARTS, strict=True):
        ax.text(x, y, f" {name} ", ha=align, va="center")
    ax.text(0.5, 0.63, "too dear", ha="center", color="grey")
    ax.set_aspect("equal")
    ax.set_xlim(-0.25, 1.25)
    ax.axis("off")
    ax.legend(frameon=False, loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def main() -> None:
    """Search, compare with the true best blend, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/simplex_mixture.png"))
    arguments = parser.parse_args()
    error = np.random.default_rng(arguments.seed)

    def spin(**blend: float) -> float:
        return elongation(**blend) + ERROR_SD * error.normal()

    result = bo.maximize(
        spin, SPACE, arguments.n_evals, constraints=KNOWN, seed=arguments.seed, progress=True
    )
    blends = triangle(400)
    allowed = blends[blends @ PRICE <= LIMIT]
    best = allowed[np.argmax([elongation(*blend) for blend in allowed])]
    print(
        f"\n{'':14}" + "".join(f"{name:>15}" for name in PARTS) + f"{'price':>8}{'elongation':>12}"
    )
    for name, blend in (("recommended", result.x), ("true best", best)):
        row = "".join(f"{part:15.3f}" for part in blend)
        print(f"{name:14}{row}{blend @ PRICE:8.3f}{elongation(*blend):12.2f}")
    spun = np.array(result.x_iters)
    print(f"\nlargest price of the {len(spun)} blends {np.max(spun @ PRICE):.10f}, limit {LIMIT}")
    print(f"largest distance of their sums from one {np.max(np.abs(spun.sum(axis=1) - 1)):.1e}")
    print(f"{result.message}\n\n{result.explain()}")
    picture(result, best, arguments.picture)


if __name__ == "__main__":
    main()
