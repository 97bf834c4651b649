"""A car's springs and dampers by three simulators, and nobody knows what each will cost.

A soft suspension spares the passengers, a firm one keeps the wheels on the road. How both come out
on a bad road is a simulation: of a car whose springs run into their stops, whose dampers are firmer
in rebound and whose wheels may leave the ground. An older simulator knows linear springs and
dampers alone, and a rough one takes both axles for cars of their own, in larger steps. Both are
cheap, and wrong in their own ways. The simulator is one more parameter, with
``role="source"`` and the best one as its `target`.

How much a simulation computes is not known before: hard stops need small steps. Each brings its
cost (``bo.Evaluation(value, cost=...)``), ``cost="learn"`` learns it from them, and the search ends
when `cost_budget` is spent. Beside it a search that knows only the best simulator.

    python examples/car_suspension.py            # half a minute
    python examples/car_suspension.py --help
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import expm

import bayesopt as bo

CAR = {
    "front_spring": bo.Float(8.0, 80.0, log=True),  # kN/m
    "rear_spring": bo.Float(8.0, 80.0, log=True),
    "front_damper": bo.Float(0.4, 8.0, log=True),  # kNs/m
    "rear_damper": bo.Float(0.4, 8.0, log=True),
}
SIMULATORS = ["rough", "linear", "best"]
SPACE = bo.Space(**CAR, simulator=bo.Categorical(SIMULATORS, role="source", target="best"))
COLORS = {"rough": "#c98b2b", "linear": "#7fb069", "best": "#0b6e99"}

BODY, PITCH, WHEEL, TYRE = 600.0, 800.0, 35.0, 180e3  # one side of a car: kg, kg m^2, kg, N/m
FRONT, REAR, SEAT = 1.2, 1.4, 0.1  # m from the centre of mass
WEIGHT = 9.81 * np.array([BODY * REAR, BODY * FRONT]) / (FRONT + REAR) + 9.81 * WHEEL  # N
SPEED, SECONDS, STEP = 18.0, 4.0, 0.005  # m/s, s, s
TRAVEL, STOP = 0.09, 6e5  # m, N/m
FINE, FINEST = 5, 25  # parts of a step; the finest near the stops
ARM = (FRONT, -REAR)  # by how much the body rises there where it pitches by one
WAVES = np.random.default_rng(3).uniform(0.0, 2 * np.pi, 40)


def road(x):
    """Height in m after x m: all wavelengths from 1.5 to 40 m, with a hump after 20 m."""
    lengths = np.geomspace(1.5, 40.0, len(WAVES))
    waves = np.sin(2 * np.pi * np.outer(1 / lengths, x) + WAVES[:, None])
    hump = 0.06 * np.exp(-(((x - 20.0) / 0.5) ** 2))
    return (0.0011 * np.sqrt(lengths)) @ waves + hump


TIMES = np.arange(0.0, SECONDS, STEP)
GROUND = np.array([road(SPEED * TIMES - behind) for behind in (0.0, FRONT + REAR)])  # m


def judged(seat, pressed):
    """Discomfort: RMS of the seat's acceleration in m/s^2 and of how unevenly the wheels press."""
    return float(np.sqrt((seat**2).mean()) + 5.0 * np.sqrt((pressed**2).mean(axis=1)).mean())


def best(springs, dampers):
    """All that is known of the car: its discomfort, and how many numbers were computed."""
    front, rear = GROUND.tolist()
    heave = turn = v_heave = v_turn = 0.0
    wheels, v_wheels = [0.0, 0.0], [0.0, 0.0]
    n_steps, seat, pressed = 0, [], []
    for k in range(len(TIMES) - 1):
        n, step = FINE, 0
        while step < n:
            up, ground, near = [0.0, 0.0], [0.0, 0.0], False
            for i, height in ((0, front), (1, rear)):
                squeezed = wheels[i] - heave - ARM[i] * turn
                speed = v_wheels[i] - v_heave - ARM[i] * v_turn
                near = near or abs(squeezed) > 0.8 * TRAVEL
                beyond = max(abs(squeezed) - TRAVEL, 0.0) * (STOP if squeezed > 0 else -STOP)
                firmer = (1.3 if speed < 0 else 0.7) / (1 + 0.5 * abs(speed))
                up[i] = springs[i] * squeezed + beyond + dampers[i] * firmer * speed
                z = height[k] + step / n * (height[k + 1] - height[k])
                ground[i] = max(TYRE * (z - wheels[i]), -WEIGHT[i])
            if near and n == FINE and step == 0:
                n = FINEST
            dt = STEP / n
            of_body, of_turn = sum(up) / BODY, (ARM[0] * up[0] + ARM[1] * up[1]) / PITCH
            if step == 0:
                seat.append(of_body + SEAT * of_turn)
                pressed.append(ground)
            v_heave, v_turn = v_heave + dt * of_body, v_turn + dt * of_turn
            heave, turn = heave + dt * v_heave, turn + dt * v_turn
            for i in (0, 1):
                v_wheels[i] += dt * (ground[i] - up[i]) / WHEEL
                wheels[i] += dt * v_wheels[i]
            step += 1
        n_steps += n
    return judged(np.array(seat), np.array(pressed).T / WEIGHT[:, None]), 8 * n_steps


def linear(springs, dampers):
    """Linear springs, dampers and tyres."""
    k, c = np.diag(springs), np.diag(dampers)
    L = np.array([[-1.0, -ARM[0], 1.0, 0.0], [-1.0, -ARM[1], 0.0, 1.0]])  # how far squeezed
    T = np.array([[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    mass = np.array([BODY, PITCH, WHEEL, WHEEL])
    K = L.T @ k @ L + TYRE * T.T @ T
    A = np.block(
        [[np.zeros((4, 4)), np.eye(4)], [-K / mass[:, None], -L.T @ c @ L / mass[:, None]]]
    )
    B = np.vstack((np.zeros((4, 2)), TYRE * T.T / mass[:, None]))
    y = run(A, B, GROUND, STEP)
    up = k @ L @ y[:4] + c @ L @ y[4:]
    seat = up.sum(axis=0) / BODY + SEAT * (np.array(ARM) @ up) / PITCH
    return judged(seat, TYRE * (GROUND - T @ y[:4]) / WEIGHT[:, None]), y.size


def rough(springs, dampers):
    """Both axles as cars of their own, linear, in steps twice as large."""
    seat, pressed, size = [], [], 0
    for i, (k, c) in enumerate(zip(springs, dampers, strict=True)):
        m, ground = WEIGHT[i] / 9.81 - WHEEL, GROUND[i : i + 1, ::2]
        stiff, damped = np.array([k, -k]), np.array([c, -c])
        of_body = np.concatenate((-stiff, -damped)) / m
        of_wheel = np.concatenate((stiff - [0.0, TYRE], damped)) / WHEEL
        A = np.vstack((np.eye(4)[2:], of_body, of_wheel))
        y = run(A, np.array([[0.0], [0.0], [0.0], [TYRE / WHEEL]]), ground, 2 * STEP)
        seat.append(of_body @ y)
        pressed.append(TYRE * (ground[0] - y[1]) / WEIGHT[i])
        size += y.size
    return judged(np.array(seat), np.array(pressed)), size


def run(A, B, ground, step):
    """States (., n) of y' = A y + B u for the ground u (., n), linear in between."""
    n, m = B.shape
    M = np.zeros((n + 2 * m, n + 2 * m))
    M[:n, :n], M[:n, n : n + m], M[n : n + m, n + m :] = A, B, np.eye(m) / step
    E = expm(M * step)[:n]
    y = np.zeros((n, ground.shape[1]))
    for i in range(ground.shape[1] - 1):
        y[:, i + 1] = E @ np.concatenate((y[:, i], ground[:, i], ground[:, i + 1] - ground[:, i]))
    return y


SIMULATE = {"best": best, "linear": linear, "rough": rough}


@cache
def simulated(simulator, front_spring, rear_spring, front_damper, rear_damper):
    """Discomfort, and its cost in thousands of numbers."""
    of_springs = (1e3 * front_spring, 1e3 * rear_spring)
    discomfort, computed = SIMULATE[simulator](of_springs, (1e3 * front_damper, 1e3 * rear_damper))
    return discomfort, computed / 1e3


def drive(simulator: str = "best", **car: float) -> bo.Evaluation:
    """The function to minimise, which brings its cost."""
    discomfort, computed = simulated(simulator, **car)
    return bo.Evaluation(discomfort, cost=computed)


@dataclass(frozen=True)
class Found:
    """A search: what it had spent, the true discomfort of its best car then, and its study."""

    spent: list[float]
    discomfort: list[float]
    study: bo.Study
    message: str


def searched(space: bo.Space, budget: float, seed: int) -> Found:
    """One search; its best car is judged whenever another twentieth of the budget is spent."""
    spent, discomfort = [], []

    def judge(study: bo.Study, trial: bo.Trial) -> None:
        used = sum(one.evaluation.cost for one in study.trials)
        if not spent or used >= spent[-1] + budget / 20:
            spent.append(used)
            discomfort.append(true_discomfort(study))

    result = bo.minimize(
        drive,
        space,
        cost="learn",
        cost_budget=budget,
        noise=False,
        seed=seed,
        callback=judge,
        progress=False,
    )
    spent.append(sum(one.evaluation.cost for one in result.study.trials))
    discomfort.append(true_discomfort(result.study))
    return Found(spent, discomfort, result.study, result.message)


def true_discomfort(study: bo.Study) -> float:
    """That of the recommended car, by the best simulator."""
    car = study.recommend().params
    return simulated("best", **{name: car[name] for name in CAR})[0]


def simulator_of(trial: bo.Trial) -> str:
    """Which one ran."""
    return trial.params.get("simulator", "best")


def picture(found: dict[str, list[Found]], path: Path) -> None:
    """Left: discomfort by what was spent. Middle: what ran when. Right: what they say."""
    _, (left, middle, right) = plt.subplots(
        1, 3, figsize=(14, 4.3), layout="constrained", width_ratios=[1, 1.1, 1]
    )
    for (name, searches), color in zip(found.items(), ("#0b6e99", "#9a9a9a"), strict=True):
        for position, one in enumerate(searches):
            label = None if position else name
            left.step(one.spent, one.discomfort, "o-", ms=4, where="post", color=color, label=label)
    left.set(xlabel="computed (thousands of numbers)", ylabel="true discomfort of the best car")
    left.set_title("each line is one search")
    left.legend(frameon=False)
    first = found["all simulators"][0].study
    _costs(first, middle)
    _biases(first, right)
    for ax in (left, middle, right):
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=110)
    print(f"picture: {path}")


def _costs(study: bo.Study, ax: plt.Axes) -> None:
    """What each evaluation cost, of which nothing was said before."""
    cost = np.array([trial.evaluation.cost for trial in study.trials])
    ran = [simulator_of(trial) for trial in study.trials]
    for name in SIMULATORS:
        at = np.array([one == name for one in ran])
        label = f"{name}: {at.sum()}"
        ax.plot(1 + np.flatnonzero(at), cost[at], "o", ms=5, color=COLORS[name], label=label)
    ax.set(yscale="log", xlabel="evaluation", ylabel="its cost (thousands of numbers)")
    ax.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    ax.minorticks_off()
    ax.set_title(f"{len(study.trials)} evaluations of one search")
    ax.legend(frameon=False, loc="center right")


def _biases(study: bo.Study, ax: plt.Axes) -> None:
    """Discomfort by the front damper of the recommended car, as they simulate it."""
    car = {name: study.recommend().params[name] for name in CAR}
    dampers = np.geomspace(0.4, 8.0, 25)
    points = [{**car, "front_damper": damper} for damper in dampers]
    for name in SIMULATORS:
        said = [simulated(name, **point)[0] for point in points]
        ax.plot(dampers, said, "--", color=COLORS[name], label=f"{name} simulator")
    mean, sd = study.predict([{**point, "simulator": "best"} for point in points])
    ax.plot(dampers, mean, color="black", linewidth=1, label="what is expected of the best")
    ax.fill_between(dampers, mean - 2 * sd, mean + 2 * sd, color="black", alpha=0.15, linewidth=0)
    at = car["front_damper"]
    ax.plot(at, simulated("best", **car)[0], "*", color="#d1495b", mec="white", ms=16)
    ax.set(xscale="log", xlabel="front damper (kNs/m)", ylabel="discomfort", ylim=(2.5, 7.0))
    ax.set_xticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
    ax.minorticks_off()
    ax.set_title("star: recommended")
    ax.legend(frameon=False, fontsize=9)


def main() -> None:
    """Search with all simulators and with the best one alone, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=350.0)
    parser.add_argument("--n-searches", type=int, default=2)
    parser.add_argument("--picture", type=Path, default=Path("examples/output/car_suspension.png"))
    arguments = parser.parse_args()
    seeds = range(arguments.n_searches)
    found = {
        name: [searched(space, arguments.budget, seed) for seed in seeds]
        for name, space in (("all simulators", SPACE), ("the best alone", bo.Space(**CAR)))
    }
    print(
        f"{len(seeds)} searches for each, which may compute {arguments.budget:g} thousand numbers"
    )
    print(f"{'':16}{'spent':>7}{'rough':>7}{'linear':>8}{'best':>6}{'true discomfort':>24}")
    for name, searches in found.items():
        ran = Counter(simulator_of(trial) for one in searches for trial in one.study.trials)
        counts = [ran[simulator] / len(seeds) for simulator in SIMULATORS]
        spent = np.mean([one.spent[-1] for one in searches])
        reached = ", ".join(f"{one.discomfort[-1]:.2f}" for one in searches)
        print(f"{name:16}{spent:7.0f}{counts[0]:7.1f}{counts[1]:8.1f}{counts[2]:6.1f}{reached:>24}")
    car = found["all simulators"][0].study.recommend().params
    print(
        f"\nThe first: springs {car['front_spring']:.0f} and {car['rear_spring']:.0f} kN/m, "
        f"dampers {car['front_damper']:.1f} and {car['rear_damper']:.1f} kNs/m. "
        f"{found['all simulators'][0].message}"
    )
    picture(found, arguments.picture)


if __name__ == "__main__":
    main()
