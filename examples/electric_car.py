"""An electric car: range against price, and it must not be slow.

A larger battery brings range and costs money; it is also heavy, and weight costs range. A smooth
body and tyres that roll easily bring range too, for less or for grip. There is no best car: there
is a front of cars that no other one beats in both, and whoever buys chooses on it. Every car must
reach 100 km/h in eight seconds, which is measured with the range: a constraint on an outcome. Two
teams build and test prototypes side by side.

    python examples/electric_car.py            # a quarter of a minute
    python examples/electric_car.py --help
"""

import argparse
from itertools import product
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import OptimizeResult

import bayesopt as bo

SPACE = bo.Space(
    battery=bo.Float(30.0, 110.0),  # kWh
    motor=bo.Float(60.0, 300.0),  # kW
    drag=bo.Float(0.20, 0.32),  # coefficient
    tyres=bo.Categorical(["easy", "normal", "sport"]),
)
TYRES = {"easy": (0.007, 0.75, 500), "normal": (0.009, 0.9, 0), "sport": (0.011, 1.05, 300)}
SPRINT = 8.0  # s to 100 km/h, at most
WORST = (200.0, 60_000.0)  # nobody wants less range or a higher price
GRAVITY, FRONT, ELSEWHERE = 9.81, 1.35, 1.0  # m/s2; kg/m3 m2 of air; kW for heating and computers


def weight(battery: float, motor: float) -> float:
    """Kilograms, with a driver."""
    return 1150.0 + 6.0 * battery + 0.9 * motor


def range_of(battery: float, motor: float, drag: float, tyres: str) -> float:
    """Kilometres, a third of them each in town, on the road and on the motorway."""
    mass, (rolling, _, _) = weight(battery, motor), TYRES[tyres]
    energy = 0.0  # J for a metre
    for speed, stops_a_km in ((12.0, 1.5), (24.0, 0.2), (33.0, 0.02)):  # m/s
        driving = rolling * mass * GRAVITY + FRONT * drag * speed**2
        braking = 0.35 * 0.5 * mass * speed**2 * stops_a_km / 1000.0  # what is not won back
        energy += ((driving + braking) / 0.8 + 1000.0 * ELSEWHERE / speed) / 3.0
    return 0.93 * battery * 3.6e6 / energy / 1000.0


def sprint(battery: float, motor: float, drag: float, tyres: str) -> float:
    """Seconds to 100 km/h."""
    mass, (rolling, grip, _) = weight(battery, motor), TYRES[tyres]
    speeds = np.linspace(0.5, 100.0 / 3.6, 200)
    pull = np.minimum(0.5 * grip * mass * GRAVITY, 850.0 * motor / speeds)
    forward = pull - rolling * mass * GRAVITY - FRONT * drag * speeds**2
    return float(np.sum(mass / forward) * (speeds[1] - speeds[0]))


def price_of(battery: float, motor: float, drag: float, tyres: str) -> float:
    """Euros."""
    smooth = 60_000.0 * (0.32 - drag) + 700_000.0 * (0.32 - drag) ** 2
    return 13_000.0 + 150.0 * battery + 35.0 * motor + smooth + TYRES[tyres][2]


def prototype(**car: float | str) -> bo.Evaluation:
    """Range and price, and how long it takes to 100 km/h."""
    return bo.Evaluation([range_of(**car), price_of(**car)], constraints={"sprint": sprint(**car)})


def searched(n_evals: int, seed: int, policy: bo.Policy) -> OptimizeResult:
    """One search, with two prototypes at a time."""
    return bo.minimize(
        prototype,
        SPACE,
        n_evals,
        direction=["maximize", "minimize"],
        outcome_constraints={"sprint": (None, SPRINT)},
        reference_point=WORST,
        noise=False,
        n_parallel=2,
        policy=policy,
        seed=seed,
        progress=False,
    )


def true_front() -> np.ndarray:
    """Range and price (k, 2) of the best of very many cars: what prototypes cannot afford."""
    seen = []
    for battery, drag, tyres in product(
        np.linspace(30, 110, 81), np.linspace(0.2, 0.32, 25), TYRES
    ):
        car = {"battery": battery, "drag": drag, "tyres": tyres}
        low, high = 60.0, 300.0  # the weakest motor that is quick enough is the cheapest
        for _ in range(10):
            middle = (low + high) / 2
            quick = sprint(motor=middle, **car) <= SPRINT
            low, high = (low, middle) if quick else (middle, high)
        if sprint(motor=high, **car) <= SPRINT:
            seen.append((range_of(motor=high, **car), price_of(motor=high, **car)))
    by_price = np.array(sorted(seen, key=lambda car: car[1]))
    return by_price[by_price[:, 0] >= np.maximum.accumulate(by_price[:, 0])]


def area(front: np.ndarray) -> float:
    """Hypervolume of a front (k, 2) that is sorted by price."""
    km, euros = front[front[:, 0] > WORST[0]].T
    return float(np.sum(np.diff(km, prepend=WORST[0]) * (WORST[1] - euros)))


def picture(found: dict[str, OptimizeResult], path: Path) -> None:
    """Left: all prototypes and the front. Right: how the hypervolume grew."""
    _, (left, right) = plt.subplots(
        1, 2, figsize=(12, 4.5), layout="constrained", width_ratios=[1.3, 1]
    )
    result = found["hypervolume improvement"]
    trials = result.study.trials
    quick = np.array([t.evaluation.constraints["sprint"] <= SPRINT for t in trials])
    km, euros = result.func_vals.T[0], result.func_vals.T[1] / 1000
    left.plot(km[~quick], euros[~quick], "x", color="#9a9a9a", label=f"slower than {SPRINT:g} s")
    left.plot(km[quick], euros[quick], "o", color="#b8c4cc", label="quick enough")
    best = true_front()
    left.plot(best[:, 0], best[:, 1] / 1000, color="black", linewidth=1, linestyle="--")
    left.plot([], [], "--", color="black", linewidth=1, label="true front")
    front = result.pareto_front
    left.plot(front.values[:, 0], front.values[:, 1] / 1000, "o", color="#0b6e99", label="front")
    left.set(xlabel="range (km)", ylabel="price (thousand euros)", title="prototypes")
    left.legend(frameon=False, loc="upper left")
    for (name, one), color in zip(found.items(), ("#0b6e99", "#9a9a9a"), strict=True):
        trace = one.pareto_front.hypervolume_trace / 1e6
        right.step(np.arange(1, len(trace) + 1), trace, where="post", color=color, label=name)
    right.axhline(area(best) / 1e6, color="black", linestyle="--", linewidth=1, label="true front")
    right.set(
        xlabel="prototypes",
        ylabel="hypervolume (km × million euros)",
        title=f"what the front gains on {WORST[0]:g} km for {WORST[1]:,.0f} euros",
    )
    right.legend(frameon=False, loc="lower right")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def main() -> None:
    """Search, show the cars to choose from, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-evals", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/electric_car.png"))
    arguments = parser.parse_args()
    found = {
        name: searched(arguments.n_evals, arguments.seed, policy)
        for name, policy in (
            ("hypervolume improvement", bo.Policy()),
            ("random cars", bo.Policy(acquisition="random")),
        )
    }
    front = found["hypervolume improvement"].pareto_front
    print(f"{len(front)} cars to choose from, of {arguments.n_evals} prototypes:")
    print(f"{'range':>9}{'price':>11}   battery     motor   drag  tyres")
    for car, (km, euros) in zip(front.params, front.values, strict=True):
        print(
            f"{km:6.0f} km{euros:9,.0f} €{car['battery']:6.1f} kWh{car['motor']:7.0f} kW"
            f"{car['drag']:7.3f}  {car['tyres']}"
        )
    for name, result in found.items():
        print(f"{name}: hypervolume {result.pareto_front.hypervolume / 1e6:.2f} km × million euros")
    print(found["hypervolume improvement"].message)
    picture(found, arguments.picture)


if __name__ == "__main__":
    main()
