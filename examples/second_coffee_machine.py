"""A second coffee machine: what the first one taught is not forgotten.

Grind, water, pressure and the grams in the cup make an espresso, and a panel marks it from 0 to
10, never twice the same. Thirty cups tuned the old machine. The new one brews a little cooler and
its grinder is set otherwise, so that the old recipe is no longer the best; but what is sour there
is sour here. The machine becomes a parameter with ``role="task"``, whose `target` is the new one:
only cups of that one are asked for. `add_study` brings the old cups in, and the search learns how
much the two machines have in common. Beside it a search that starts anew.

    python examples/second_coffee_machine.py            # a quarter of a minute
    python examples/second_coffee_machine.py --help
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import bayesopt as bo

RECIPE = {
    "grind": bo.Float(150.0, 500.0, log=True),  # µm
    "water": bo.Float(84.0, 98.0),  # °C as it is set
    "pressure": bo.Float(5.0, 12.0),  # bar
    "cup": bo.Float(20.0, 60.0),  # g, from 18 g of coffee
}
PANEL = 0.2  # standard deviation of a mark
POLICY = bo.Policy(acquisition="kg")  # marks are noisy, and cups are dear
OLD, NEW = {"cooler": 0.0, "coarser": 1.0}, {"cooler": 1.0, "coarser": 1.05}


def taste(grind, water, pressure, cup, cooler, coarser):
    """What a panel would say on average, numbers or arrays: 10 is right in all there is."""
    grind, water = coarser * grind, water - cooler
    seconds = 27.0 * (cup / 36.0) * (280.0 / grind) ** 1.5 * (9.0 / pressure)
    extracted = 27.0 * (1 - np.exp(-1.3 * (280.0 / grind) ** 0.5 * (seconds / 27.0) ** 0.3))  # %
    extracted *= 1.0 + 0.015 * (water - 92.0)
    strength = 18.0 * extracted / cup  # %
    bitter = np.logaddexp(0.0, (water - 93.0) / 1.5) + np.logaddexp(0.0, (seconds - 32.0) / 4.0)
    sour = np.logaddexp(0.0, (88.0 - water) / 1.5) + np.logaddexp(0.0, (22.0 - seconds) / 3.0)
    wrong = ((extracted - 20.5) / 2.0) ** 2 + ((strength - 9.5) / 1.5) ** 2
    return 10.0 / (1.0 + 0.3 * (wrong + bitter**2 + sour**2 + ((pressure - 9.0) / 2.0) ** 2))


def panel(machine: dict[str, float], seed: int) -> Callable[..., float]:
    """The function to maximise: a mark for a cup of this machine."""
    rng = np.random.default_rng(seed)

    def mark(machine_is: str = "new", **recipe: float) -> float:
        return taste(**recipe, **machine) + PANEL * float(rng.standard_normal())

    return mark


def tuned(old: bo.Study | None, n_cups: int, seed: int) -> tuple[bo.Study, list[float]]:
    """A search on the new machine, and how good its best recipe truly was after every cup."""
    task = bo.Categorical(["old", "new"], role="task", target="new")
    space = bo.Space(**RECIPE) if old is None else bo.Space(**RECIPE, machine_is=task)
    study = bo.Study(space, direction="maximize", noise=PANEL, policy=POLICY, seed=seed)
    if old is not None:
        study.add_study(old, machine_is="old")
    mark, true_marks = panel(NEW, seed=1000 + seed), []
    for _ in range(n_cups):
        trial = study.ask()
        study.tell(trial, mark(**trial.params))
        true_marks.append(taste(**recipe_of(study), **NEW))
    return study, true_marks


def recipe_of(study: bo.Study) -> dict[str, float]:
    """The recipe that a study recommends."""
    best = study.recommend().params
    return {name: best[name] for name in RECIPE}


def picture(
    old: bo.Study, first: bo.Study, found: dict[str, list[list[float]]], path: Path
) -> None:
    """Left: true marks by cups. Right: grind and water that were tried on both machines."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12, 4.8), layout="constrained", width_ratios=[1, 1.15]
    )
    for (name, searches), color in zip(found.items(), ("#0b6e99", "#9a9a9a"), strict=True):
        marks = np.array(searches)
        cups = np.arange(1, marks.shape[1] + 1)
        left.plot(cups, marks.T, color=color, alpha=0.35, linewidth=1)
        left.plot(cups, np.median(marks, axis=0), color=color, linewidth=2.5, label=name)
    old_recipe = taste(**recipe_of(old), **NEW)
    left.axhline(old_recipe, color="#c98b2b", linestyle="--", label="the old recipe, unchanged")
    left.set(xlabel="cups of the new machine", ylabel="true mark of the recommended recipe")
    left.set_title("thick: medians; each thin line is one search")
    left.legend(frameon=False, loc="lower right")

    recipe = recipe_of(first)
    grind, water = np.geomspace(150.0, 500.0, 80), np.linspace(84.0, 98.0, 80)
    true = taste(*np.meshgrid(grind, water), recipe["pressure"], recipe["cup"], **NEW)
    filled = right.contourf(grind, water, true, levels=np.linspace(1.0, 9.0, 17), cmap="GnBu")
    figure.colorbar(filled, ax=right, label=f"true mark on the new machine, {recipe['cup']:.0f} g")
    for study, is_new, style, label in (
        (old, False, {"marker": "x", "color": "#c98b2b"}, "old machine, earlier"),
        (first, True, {"marker": "o", "color": "white", "edgecolor": "black"}, "new machine"),
    ):
        tried = [t.params for t in study.trials if t.params.get("machine_is") != "old"]
        right.scatter(
            [one["grind"] for one in tried],
            [one["water"] for one in tried],
            s=36,
            zorder=3 if is_new else 2,
            label=label,
            **style,
        )
    right.plot(recipe["grind"], recipe["water"], "*", color="#d1495b", mec="white", ms=17, zorder=4)
    right.plot([], [], "*", color="#d1495b", ms=11, linestyle="", label="recommended")
    right.set(xscale="log", xlabel="grind as it is set (µm)", ylabel="water as it is set (°C)")
    right.set_xticks([150, 200, 300, 400, 500], ["150", "200", "300", "400", "500"])
    right.minorticks_off()
    right.legend(loc="upper right", fontsize=9)
    left.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def main() -> None:
    """Tune the old machine; then the new one with that and anew; compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-cups", type=int, default=12)
    parser.add_argument("--n-searches", type=int, default=4)
    parser.add_argument(
        "--picture", type=Path, default=Path("examples/output/second_coffee_machine.png")
    )
    arguments = parser.parse_args()
    old = bo.maximize(
        panel(OLD, seed=0), bo.Space(**RECIPE), 30, noise=PANEL, seed=0, progress=False
    ).study
    found, first = {}, {}
    for name, earlier in (("knows the old machine", old), ("starts anew", None)):
        searches = [tuned(earlier, arguments.n_cups, seed) for seed in range(arguments.n_searches)]
        found[name] = [marks for _, marks in searches]
        first[name] = searches[0][0]
    print(f"The old machine's recipe gets {taste(**recipe_of(old), **OLD):.2f} of 10 there,")
    print(f"and {taste(**recipe_of(old), **NEW):.2f} from the new machine.\n")
    half = arguments.n_cups // 2
    print(f"{arguments.n_searches} searches on the new machine; medians of the true marks")
    print(f"{'':23}after {half:2d} cups{f'after {arguments.n_cups} cups':>16}")
    for name, marks in found.items():
        by_cup = np.median(marks, axis=0)
        print(f"{name:23}{by_cup[half - 1]:13.2f}{by_cup[-1]:16.2f}")
    study = first["knows the old machine"]
    recipe = recipe_of(study)
    print(
        f"\nThe first: {recipe['grind']:.0f} µm, {recipe['water']:.1f} °C, {recipe['cup']:.0f} g. "
        f"{study.description}."
    )
    picture(old, study, found, arguments.picture)


if __name__ == "__main__":
    main()
