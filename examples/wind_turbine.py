"""A wind turbine blade designed on coarse meshes, and checked on the fine one.

A rotor takes at most 59 % of the power of the wind. How much a blade takes depends on its chord
(its width) and its twist, at the root and at the tip. The blade is cut into cells; in each the
momentum that the wind loses is set equal to the force on the blade, again and again until both
agree. The work grows with the number of cells, and so does the truth: six cells promise too much.

How fine the mesh is, is one more parameter, with ``role="fidelity"`` and the mesh that counts as
its `target`. The search is told what each evaluation costs (`cost=`) and what it may spend in all
(`cost_budget=`). It decides itself which blade to compute on which mesh. Beside it a search that
knows only the fine mesh spends the same.

    python examples/wind_turbine.py            # half a minute
    python examples/wind_turbine.py --help
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from math import pi
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import bayesopt as bo

FINE = 120
BLADE = {
    "root_chord": bo.Float(0.05, 0.35),  # of the rotor's radius, as all lengths
    "tip_chord": bo.Float(0.01, 0.1),
    "root_twist": bo.Float(5.0, 35.0),  # degrees
    "tip_twist": bo.Float(-6.0, 8.0),
}
SPACE = bo.Space(**BLADE, cells=bo.Int(6, FINE, log=True, role="fidelity", target=FINE))
BLADES, HUB, SPEED, ROUNDS = 3, 0.1, 7.0, 80  # SPEED of the tip in units of that of the wind


def power(
    root_chord: float, tip_chord: float, root_twist: float, tip_twist: float, cells: int = FINE
) -> float:
    """Percent of the wind's power that the rotor takes: blade element momentum theory."""
    along = (np.arange(cells) + 0.5) / cells
    r = HUB + (1 - HUB) * along
    chord = root_chord + (tip_chord - root_chord) * along
    twist = np.radians(root_twist + (tip_twist - root_twist) * along)
    slowed, spun = np.full(cells, 0.2), np.zeros(cells)  # what the rotor does to the wind
    for _ in range(ROUNDS):
        angle = np.arctan2(1 - slowed, SPEED * r * (1 + spun))
        sine, cosine = np.maximum(np.sin(angle), 1e-3), np.cos(angle)
        lift, drag = airfoil(angle - twist)
        at_tip = 2 / pi * np.arccos(np.exp(-BLADES / 2 * (1 - r) / (r * sine)))  # Prandtl
        share = BLADES * chord / (2 * pi * r)
        thrust = share * (1 - slowed) ** 2 * (lift * cosine + drag * sine) / sine**2
        turn = share * (lift * sine - drag * cosine) / (4 * at_tip * sine * cosine)
        slowed += 0.3 * (induction(thrust, at_tip) - slowed)
        spun += 0.3 * (np.clip(turn / (1 - turn), -0.5, 1.0) - spun)
    wind = (1 - slowed) ** 2 + (SPEED * r * (1 + spun)) ** 2
    torque = BLADES * wind * chord * (lift * sine - drag * cosine) * r
    return 100.0 * SPEED * (1 - HUB) * float(torque.mean()) / pi


def induction(thrust: np.ndarray, at_tip: np.ndarray) -> np.ndarray:
    """By how much a thrust slows the wind: of momentum, and by Buhl (2005) where it is heavy."""
    light = (1 - np.sqrt(np.maximum(1 - thrust / at_tip, 0.0))) / 2
    root = np.sqrt(np.maximum(thrust * (50 - 36 * at_tip) + 12 * at_tip * (3 * at_tip - 4), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        heavy = (18 * at_tip - 20 - 3 * root) / (36 * at_tip - 50)
    return np.clip(np.where(thrust < 0.96 * at_tip, light, heavy), -0.5, 0.95)


def airfoil(attack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lift and drag by the angle of attack in radians; beyond 14 degrees the flow separates."""
    lift = 2 * pi * attack / (1 + (attack / np.radians(14)) ** 6) ** 0.25
    return lift, 0.008 + 2.4 * np.maximum(np.abs(attack) - np.radians(8), 0.0) ** 2


def cost(cells: int, **blade: float) -> float:
    """In evaluations on the fine mesh."""
    return cells / FINE


@dataclass(frozen=True)
class Found:
    """A search: what it had spent, the true power of its best blade then, and its study."""

    spent: list[float]
    power: list[float]
    study: bo.Study
    message: str


def searched(space: bo.Space, budget: float, seed: int) -> Found:
    """One search; its best blade is judged whenever another half of a fine evaluation is spent."""
    spent, best = [], []

    def judge(study: bo.Study, trial: bo.Trial) -> None:
        used = sum(one.params.get("cells", FINE) for one in study.trials) / FINE
        if not spent or used >= spent[-1] + 0.5:
            spent.append(used)
            best.append(true_power(study))

    result = bo.maximize(
        power,
        space,
        cost=cost if space.role else None,
        cost_budget=budget,
        noise=False,
        seed=seed,
        callback=judge,
        progress=False,
    )
    spent.append(sum(trial.params.get("cells", FINE) for trial in result.study.trials) / FINE)
    best.append(true_power(result.study))
    return Found(spent, best, result.study, result.message)


def true_power(study: bo.Study) -> float:
    """What the recommended blade takes on the fine mesh."""
    blade = study.recommend().params
    return power(**{name: blade[name] for name in BLADE})


def picture(found: dict[str, list[Found]], path: Path) -> None:
    """Left: true power by what was spent. Middle: the meshes. Right: the best blade."""
    _, (left, middle, right) = plt.subplots(
        1, 3, figsize=(14, 4.3), layout="constrained", width_ratios=[1, 1.15, 0.9]
    )
    for (name, searches), color in zip(found.items(), ("#0b6e99", "#9a9a9a"), strict=True):
        for position, one in enumerate(searches):
            label = None if position else name
            left.step(one.spent, one.power, "o-", ms=4, where="post", color=color, label=label)
    left.set(xlabel="spent, in evaluations on the fine mesh", ylabel="true power of the best (%)")
    left.set_title("each line is one search")
    left.set_ylim(top=51.0)
    left.legend(frameon=False, loc="upper left")
    first = found["all meshes"][0]
    _meshes(first.study, middle)
    _blade(first.study.recommend().params, right)
    for ax in (left, middle):
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def _meshes(study: bo.Study, ax: plt.Axes) -> None:
    """Which mesh each evaluation had, and what it said there beside the truth."""
    cells = np.array([trial.params["cells"] for trial in study.trials])
    seen = np.array([trial.value for trial in study.trials], dtype=float)
    spent = np.cumsum(cells) / FINE
    shown = ax.scatter(spent, cells, c=seen, cmap="viridis", s=45, edgecolor="black", vmin=0.0)
    ax.figure.colorbar(shown, ax=ax, label="power on that mesh (%)")
    ax.axhline(FINE, color="black", linestyle=":", linewidth=1, zorder=0)
    ax.text(spent[-1], 1.04 * FINE, "the mesh that counts", va="bottom", ha="right", fontsize=8)
    ax.set(yscale="log", xlabel="spent, in evaluations on the fine mesh", ylabel="cells")
    ax.set_yticks([6, 12, 30, 60, 120], ["6", "12", "30", "60", "120"], minor=False)
    ax.minorticks_off()
    ax.set(xlim=(0, None), ylim=(5, 1.4 * FINE), title=f"{len(study.trials)} evaluations")


def _blade(blade: Mapping[str, float], ax: plt.Axes) -> None:
    """Its outline, a quarter of the chord before the axis, and its twist every so often."""
    r = np.array([HUB, 1.0])
    chord = np.array([blade["root_chord"], blade["tip_chord"]])
    ax.fill_between(r, -0.75 * chord, 0.25 * chord, color="#0b6e99", alpha=0.5)
    for at in (0.1, 0.4, 0.7, 1.0):
        twist = np.interp(at, r, [blade["root_twist"], blade["tip_twist"]])
        front = 0.25 * np.interp(at, r, chord)
        ax.text(at, front + 0.02, f"{twist:.1f}°", ha="center", fontsize=9)
    ax.plot(0.0, 0.0, "o", color="black")
    ax.set(xlabel="distance from the axis (radii)", xlim=(-0.05, 1.08), ylim=(-0.5, 0.5))
    ax.set(aspect="equal", title="the blade that it found, and its twist")
    ax.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Search with all meshes and with the fine one alone, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=5.0)
    parser.add_argument("--n-searches", type=int, default=3)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/wind_turbine.png"))
    arguments = parser.parse_args()
    seeds = range(arguments.n_searches)
    found = {
        name: [searched(space, arguments.budget, seed) for seed in seeds]
        for name, space in (("all meshes", SPACE), ("the fine mesh alone", bo.Space(**BLADE)))
    }
    print(f"{len(seeds)} searches for each, which may spend {arguments.budget:g}; means of them")
    print(f"{'':20}{'evaluations':>12}{'on the fine mesh':>18}{'true power of the best':>24}")
    for name, searches in found.items():
        meshes = [[t.params.get("cells", FINE) for t in one.study.trials] for one in searches]
        count = np.mean([len(cells) for cells in meshes])
        fine = np.mean([sum(n == FINE for n in cells) for cells in meshes])
        best = np.mean([true_power(one.study) for one in searches])
        print(f"{name:20}{count:12.1f}{fine:18.1f}{best:22.1f} %")
    print(f"\nThe first search: {found['all meshes'][0].message}")
    picture(found, arguments.picture)


if __name__ == "__main__":
    main()
