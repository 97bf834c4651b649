"""Problems with roles are those of the papers: minima, biases, weights, costs, noise."""

from math import sin

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import qmc

from benchmarks import environment_problems, fidelity_problems, source_problems, transfer_problems
from benchmarks import problems as classics
from benchmarks.environment_problems import BRANIN_PRODUCT
from benchmarks.fidelity_problems import HARTMANN
from benchmarks.space import from_unit

MISO = source_problems.PROBLEMS
NOISE_FREE, NOISY = MISO["rosenbrock-miso"], MISO["rosenbrock-miso-noisy"]
ALL = MISO | fidelity_problems.PROBLEMS | environment_problems.PROBLEMS
ALL |= {
    f"{name}-shifted {kind}": transfer_problems.get(name, kind, 3)
    for name in transfer_problems.MINIMA
    for kind in transfer_problems.KINDS
}


def designs(problem, n, seed=0):
    sobol = qmc.Sobol(len(problem.design), rng=seed)
    return [from_unit(problem.design, u) for u in sobol.random(n).tolist()]


def lowest(problem, n=256):
    """The smallest goal, from the best of many points on."""
    names = [p.name for p in problem.design]
    start = min(designs(problem, n), key=problem.goal)
    found = minimize(
        lambda x: problem.goal(dict(zip(names, x.tolist(), strict=True))),
        [start[name] for name in names],
        method="Nelder-Mead",
        bounds=[(p.low, p.high) for p in problem.design],
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000, "adaptive": True},
    )
    return found.x, found.fun


@pytest.mark.parametrize("name", ALL)
def test_the_optimum_is_the_lowest_goal(name):
    _, value = lowest(ALL[name])
    assert value == pytest.approx(ALL[name].optimum, abs=1e-6, rel=1e-9)


@pytest.mark.parametrize("name", [name for name in ALL if name != BRANIN_PRODUCT.name])
def test_the_goal_is_the_value_at_the_target(name):
    problem = ALL[name]
    for point in designs(problem, 4):
        assert problem.value(point | problem.target) == pytest.approx(problem.goal(point), rel=1e-9)
        assert problem.at_target(point | problem.target)


@pytest.mark.parametrize("problem, bias, cost", [(NOISE_FREE, 0.1, 1000.0), (NOISY, 2.0, 50.0)])
def test_the_cheap_source_of_rosenbrock_has_a_wavy_bias(problem, bias, cost):
    for point in designs(problem, 8):
        x1, x2 = point["x1"], point["x2"]
        truth, cheap = (point | {"source": source} for source in ("truth", "cheap"))
        wave = bias * sin(10.0 * x1 + 5.0 * x2)
        assert problem.value(cheap) - problem.value(truth) == pytest.approx(wave)
        assert (problem.cost(truth), problem.cost(cheap)) == (cost, 1.0)
        assert not problem.at_target(cheap)


def test_noise_of_rosenbrock_has_variance_one_at_the_truth_only():
    point = {"x1": 0.5, "x2": 0.5}
    truth, cheap = (point | {"source": source} for source in ("truth", "cheap"))
    seen = [NOISY.observe(truth, 0, index) for index in range(400)]
    assert np.mean(seen) == pytest.approx(NOISY.value(truth), abs=0.2)
    assert np.var(seen) == pytest.approx(1.0, abs=0.25)
    assert NOISY.observe(truth, 1, 7) == NOISY.observe(truth, 1, 7) != NOISY.observe(truth, 2, 7)
    assert NOISY.observe(cheap, 0, 0) == NOISY.value(cheap)
    assert NOISY.noisy
    assert not NOISE_FREE.noisy
    assert NOISE_FREE.observe(truth, 0, 0) == NOISE_FREE.value(truth)


def test_hartmann_at_full_fidelity_is_hartmann_and_costs_one():
    from botorch.test_functions import Hartmann

    plain = Hartmann(dim=6)
    for point in designs(HARTMANN, 8):
        x = torch.tensor(list(point.values()), dtype=torch.float64)
        assert HARTMANN.goal(point) == pytest.approx(float(plain._evaluate_true(x)), abs=1e-9)
    costs = [HARTMANN.cost({"s": s}) for s in (0.0, 0.5, 1.0)]
    assert costs == pytest.approx([0.02, 0.51, 1.0])
    at = dict(zip(point, [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573], strict=True))
    assert HARTMANN.goal(at) == pytest.approx(-3.32237, abs=1e-5)
    assert abs(HARTMANN.value({**at, "s": 0.0}) - HARTMANN.goal(at)) > 1e-3


def test_the_mean_of_the_branin_product_is_that_of_the_paper():
    x, value = lowest(BRANIN_PRODUCT)
    assert value == pytest.approx(323.0117, abs=5e-5)
    assert x == pytest.approx([0.20263, 0.25445], abs=1e-5)
    assert BRANIN_PRODUCT.goal({"x1": 0.0, "x2": 1.0}) == pytest.approx(16261.37, abs=0.005)


def test_weights_of_the_branin_product_are_those_of_the_paper():
    rows = [
        [p1 * p2 for p2 in environment_problems.LAWS["w2"].values()]
        for p1 in environment_problems.LAWS["w1"].values()
    ]
    outer, inner = [0.0375, 0.0875, 0.0875, 0.0375], [0.075, 0.175, 0.175, 0.075]
    np.testing.assert_allclose(rows, [outer, inner, outer])
    assert np.size(rows) == environment_problems.N_CONDITIONS


def test_the_branin_product_is_made_of_the_classic():
    branin = classics.get("branin").value
    point = {"x1": 0.3, "x2": 0.8, "w1": 0.5, "w2": 0.2}
    product = branin({"x0": -0.5, "x1": 7.5}) * branin({"x0": -2.0, "x1": 12.0})
    assert BRANIN_PRODUCT.value(point) == pytest.approx(product)
    assert not BRANIN_PRODUCT.at_target(point)


@pytest.mark.parametrize("name", transfer_problems.MINIMA)
def test_the_new_task_is_moved_a_little_and_the_related_one_is_not(name):
    seen = set()
    for seed in range(20):
        moved = transfer_problems.shift(name, seed)
        assert all(0.02 <= abs(by) <= 0.05 for by in moved)
        seen.add(tuple(moved))
        problem = transfer_problems.get(name, "related", seed)
        points = designs(problem, 64)
        new = [problem.goal(point) for point in points]
        earlier = [problem.value({**point, "task": "earlier"}) for point in points]
        plain = [classics.get(name).value(point) for point in points]
        assert np.corrcoef(new, earlier)[0, 1] > 0.85
        slope, _ = np.polyfit(plain, earlier, 1)
        assert 0.5 <= slope <= 2.0
        assert abs(np.corrcoef(plain, earlier)[0, 1]) == pytest.approx(1.0)
    assert len(seen) == 20


@pytest.mark.parametrize("name", transfer_problems.MINIMA)
def test_the_unrelated_task_has_the_new_one_and_a_spread_like_it(name):
    correlations = []
    for seed in range(20):
        related, other = (
            transfer_problems.get(name, kind, seed) for kind in ("related", "unrelated")
        )
        points = designs(related, 64)
        new = [related.goal(point) for point in points]
        assert new == [other.goal(point) for point in points]
        earlier = [other.value({**point, "task": "earlier"}) for point in points]
        assert 0.5 < np.std(earlier) / np.std(new) < 2.0
        correlations.append(np.corrcoef(new, earlier)[0, 1])
    assert abs(np.median(correlations)) < 0.4
