"""The promise: no suggestion violates a constraint by more than 1e-9, and the optimum is found."""

import itertools
import math

import numpy as np
import pytest
from regions import INF, REGIONS, objective, reals
from scipy.optimize import LinearConstraint, NonlinearConstraint, minimize

import bayesopt as bo


def suggestions(name, seed, n, noise):
    """Violations of n suggestions of one short study, in the user's units."""
    space, constraints, violation = REGIONS[name]
    study = bo.Study(space, constraints=constraints, seed=seed, noise=noise, n_initial=4)
    for _ in range(n):
        try:
            trial = study.ask()
        except bo.SpaceExhausted:
            return
        yield violation(**trial.params)
        study.tell(trial, objective(**trial.params))
    yield violation(**study.recommend("best_mean").params)


@pytest.mark.parametrize("name", REGIONS)
def test_no_suggestion_violates_a_constraint(name):
    violations = list(suggestions(name, 0, 7, "auto" if len(name) % 2 else False))
    assert len(violations) == 8
    assert max(violations) <= 1e-9


@pytest.mark.slow
def test_no_suggestion_of_10_000_violates_a_constraint():
    n, largest = 0, 0.0
    for seed in itertools.count():
        for name in REGIONS:
            for violation in suggestions(name, seed, 19, "auto" if seed % 2 else False):
                n, largest = n + 1, max(largest, violation)
        if n >= 10_000:
            break
    print(f"{n} suggestions, largest violation {largest:.2e}")
    assert largest <= 1e-9


@pytest.mark.parametrize("policy", ["ei", "random"])
def test_several_points_at_once_lie_inside_and_apart(policy):
    space, constraints, violation = REGIONS["equality"]
    study = bo.Study(
        space, constraints=constraints, seed=0, policy=bo.Policy(acquisition=policy), n_initial=4
    )
    for trial in study.ask(5):
        study.tell(trial, objective(**trial.params))
    trials = study.ask(4)
    assert max(violation(**trial.params) for trial in trials) <= 1e-9
    assert len({tuple(trial.params.values()) for trial in trials}) == 4


def test_the_same_seed_gives_the_same_trials():
    space, constraints, _ = REGIONS["curved and an equality"]
    runs = [
        bo.minimize(objective, space, 10, constraints=constraints, seed=3, n_initial=5).x_iters
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*runs)


def test_asking_depends_on_nothing_but_the_trials(tmp_path):
    """A copy of the study asks for the same point."""
    space, constraints, _ = REGIONS["simplex with bounds"]
    first = bo.Study(space, constraints=constraints, seed=3, n_initial=4)
    for _ in range(6):
        trial = first.ask()
        first.tell(trial, objective(**trial.params))
    first.export(tmp_path / "study.json")
    second = bo.Study.load(tmp_path / "study.json")
    assert first.ask() == second.ask()


# -- finite regions --------------------------------------------------------------------------------


def test_a_finite_region_ends_after_its_feasible_points():
    space = bo.Space(a=bo.Int(0, 3), b=bo.Int(0, 3), kind=bo.Categorical(["u", "v"]))
    only = LinearConstraint([1, 1, 0], 3, 3)
    study = bo.Study(space, constraints=only, noise=False, seed=0)
    study.add([{"a": 0, "b": 0, "kind": "u"}], [1.0])  # outside: it takes no place
    message = study.run(lambda a, b, kind: a * b + (kind == "u"), 20)
    assert message == "All 8 points that satisfy the constraints have been tried."
    inside = {tuple(t.params.values()) for t in study.trials[1:]}
    assert len(inside) == len(study.trials) - 1 == 8
    assert study.recommend().mean == 0.0


def test_integers_that_sum_to_a_total_do_not_freeze():
    target = (613, 4, 383)

    def distance(**n):
        return sum(((v - t) / 100) ** 2 for v, t in zip(n.values(), target, strict=True))

    space = bo.Space(a=bo.Int(0, 1000), b=bo.Int(0, 1000), c=bo.Int(0, 1000))
    whole = LinearConstraint([1, 1, 1], 1000, 1000)
    result = bo.minimize(distance, space, 20, constraints=whole, noise=False, seed=0)
    assert result.fun < 1e-3


# -- known optima ----------------------------------------------------------------------------------


def branin(x):
    a = x[1] - 5.1 / (4 * math.pi**2) * x[0] ** 2 + 5 / math.pi * x[0] - 6
    return float(a**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x[0]) + 10)


BRANIN = [(-5.0, 10.0), (0.0, 15.0)]
# All three minima of Branin lie outside of each of these.
OUTSIDE = {
    "a circle": NonlinearConstraint(lambda x: (x[0] - 2.5) ** 2 + (x[1] - 7.5) ** 2, -INF, 16.0),
    "a strip": LinearConstraint([1, 1], 6, 8.5),
    "a line": LinearConstraint([1, 2], 14, 14),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_constrained_branin(name):
    constraint = OUTSIDE[name]
    axis = [np.linspace(low, high, 6) for low, high in BRANIN]
    best = min(
        solved.fun
        for start in itertools.product(*axis)
        if (
            solved := minimize(
                branin, start, method="SLSQP", bounds=BRANIN, constraints=[constraint]
            )
        ).success
    )
    result = bo.minimize(branin, BRANIN, 25, constraints=constraint, noise=False, seed=0)
    assert best - 1e-6 <= result.fun <= best + 1e-3
    assert result.nfev == 25


def test_the_best_mixture_is_found():
    """A quadratic (Scheffe) mixture model, whose optimum lies on an edge of the simplex."""
    space = reals(4)
    linear, pairs = np.array([3.0, 2.0, 4.0, 5.0]), {(0, 1): -6.0, (0, 2): 2.0, (1, 3): -1.0}

    def mixture(**x):
        x = np.array(list(x.values()))
        return float(linear @ x + sum(b * x[i] * x[j] for (i, j), b in pairs.items()))

    # On the edge x0 + x1 = 1: 3 t + 2 (1 - t) - 6 t (1 - t), smallest at t = 5 / 12.
    best = 2 - 25 / 24
    result = bo.minimize(
        mixture, space, 30, constraints=bo.Simplex(*space.names), noise=False, seed=0
    )
    assert best - 1e-9 <= result.fun <= best + 1e-3
    np.testing.assert_allclose(result.x, [5 / 12, 7 / 12, 0, 0], atol=0.03)
    assert abs(sum(result.x) - 1) <= 1e-9


def test_maximize_under_constraints_with_noise():
    rng = np.random.default_rng(0)
    result = bo.maximize(
        lambda x: -((x[0] - 2) ** 2) - (x[1] - 2) ** 2 + 0.05 * rng.normal(),
        [(0.0, 3.0), (0.0, 3.0)],
        30,
        constraints=LinearConstraint([1, 1], -INF, 2),
        seed=0,
    )
    assert result.x.sum() <= 2 + 1e-9
    np.testing.assert_allclose(result.x, [1, 1], atol=0.2)
