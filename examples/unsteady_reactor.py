"""A reactor that is best where it is unsteady: noise that is not the same everywhere.

The hotter a reactor runs, the more it yields, up to a limit; and the closer to that limit, the
more one run differs from the next. Below 150 °C a run tells the yield to half a percent or so; at
the best temperature it is off by four. A model with one noise for all takes the cold runs for
noisy, and is too sure of the hot ones. With ``noise="heteroscedastic"`` a second process learns how
noisy a run is at each temperature, and a run is repeated where that tells more than a run
elsewhere. From forty runs it learns that but roughly: the band is still too wide where few runs
were made, and single searches are too sure of the hot end.

    python examples/unsteady_reactor.py            # a few seconds
    python examples/unsteady_reactor.py --help
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

SPACE = bo.Space(heat=bo.Float(100.0, 200.0))  # °C
NOISES = {"one noise for all": "auto", "noise by temperature": "heteroscedastic"}
COLORS = {"one noise for all": "#9a9a9a", "noise by temperature": "#0b6e99"}
HEAT = np.linspace(100.0, 200.0, 201)


def true_yield(heat):
    """Percent on average; numbers or arrays."""
    return (
        40.0
        + 52.0 / (1.0 + np.exp((140.0 - heat) / 12.0))
        - 0.35 * np.logaddexp(0.0, (heat - 172.0) / 3.0) ** 2
    )


def true_noise(heat):
    """Standard deviation of one run."""
    return 0.5 + 5.0 / (1.0 + np.exp((168.0 - heat) / 6.0))


def searched(noise: str, n_evals: int, seed: int) -> OptimizeResult:
    """One search; the first dozen runs are spread over all temperatures."""
    luck = np.random.default_rng(seed)

    def run(heat: float) -> float:
        return float(true_yield(heat) + true_noise(heat) * luck.standard_normal())

    return bo.maximize(run, SPACE, n_evals, noise=noise, n_initial=12, seed=seed, progress=False)


def band(result: OptimizeResult) -> tuple[np.ndarray, np.ndarray]:
    """Where the model expects 95 % of new runs, by temperature."""
    points = [{"heat": heat} for heat in HEAT]
    mean, sd = result.study.predict(points, observation_noise=True)
    return mean - 1.96 * sd, mean + 1.96 * sd


def held(result: OptimizeResult) -> np.ndarray:
    """Share of new runs that truly lie in that band, by temperature."""
    low, high = band(result)
    truth = norm(true_yield(HEAT), true_noise(HEAT))
    return truth.cdf(high) - truth.cdf(low)


def picture(found: dict[str, list[OptimizeResult]], path: Path) -> None:
    """Left and middle: bands of the first searches. Right: how many new runs they hold."""
    _, axes = plt.subplots(1, 3, figsize=(14, 4.3), layout="constrained", width_ratios=[1, 1, 0.9])
    for (name, results), ax in zip(found.items(), axes[:2], strict=True):
        low, high = band(results[0])
        ax.fill_between(HEAT, low, high, color=COLORS[name], alpha=0.3, label="95 % of new runs")
        for side in (-1.96, 1.96):
            edge = true_yield(HEAT) + side * true_noise(HEAT)
            ax.plot(
                HEAT, edge, "--", color="black", linewidth=1, label="truly" if side > 0 else None
            )
        heat, repeats = np.unique([x[0] for x in results[0].x_iters], return_counts=True)
        seen = [trial.value for trial in results[0].study.trials]
        ax.plot(np.array(results[0].x_iters)[:, 0], seen, "o", color="black", ms=3, label="runs")
        again = repeats > 1
        if again.any():
            style = {"width": 1.0, "bottom": 22.0, "color": "#d1495b"}
            ax.bar(heat[again], repeats[again], **style, label="how often repeated")
        best = results[0].params["heat"]
        ax.plot(best, true_yield(best), "*", color="#d1495b", mec="white", ms=16, label="chosen")
        ax.set(xlabel="temperature (°C)", ylabel="yield (%)", title=name, ylim=(22, 112))
        ax.legend(frameon=False, loc="upper left", fontsize=9)
    for name, results in found.items():
        shares = 100.0 * np.array([held(result) for result in results])
        axes[2].plot(HEAT, shares.T, color=COLORS[name], alpha=0.3, linewidth=1)
        axes[2].plot(HEAT, shares.mean(axis=0), color=COLORS[name], linewidth=2.5, label=name)
    axes[2].axhline(95.0, color="black", linestyle=":", linewidth=1)
    axes[2].set(xlabel="temperature (°C)", ylabel="new runs inside of the band (%)", ylim=(50, 101))
    axes[2].set_title("each thin line is one search")
    axes[2].legend(frameon=False, loc="lower left")
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def main() -> None:
    """Search with both models of the noise, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=40)
    parser.add_argument("--n-searches", type=int, default=6)
    parser.add_argument(
        "--picture", type=Path, default=Path("examples/output/unsteady_reactor.png")
    )
    arguments = parser.parse_args()
    found = {
        name: [searched(noise, arguments.n_evals, seed) for seed in range(arguments.n_searches)]
        for name, noise in NOISES.items()
    }
    best = true_yield(HEAT).max()
    print(f"{arguments.n_searches} searches of {arguments.n_evals} runs each; means of them")
    print(
        f"{'':22}{'lost yield':>11}{'new runs inside of 95 %: cold':>33}{'hot':>6}{'different':>11}"
    )
    for name, results in found.items():
        lost = np.mean([best - true_yield(result.params["heat"]) for result in results])
        inside = np.mean([held(result) for result in results], axis=0)
        cold, hot = inside[HEAT < 150.0].mean(), inside[HEAT > 170.0].mean()
        different = np.mean([len(np.unique(result.x_iters)) for result in results])
        print(f"{name:22}{lost:9.2f} %{cold:33.0%}{hot:6.0%}{different:11.1f}")
    picture(found, arguments.picture)


if __name__ == "__main__":
    main()
