"""What is sought where parameters have a role: nodes, weights and laws in closed form."""

import numpy as np
import pytest
import torch
from scipy import stats

import bayesopt as bo
from bayesopt.environment import CVaR, Environment
from bayesopt.target import target_of

W = bo.Float(0, 1, role="environment")


def space(**with_role):
    return bo.Space(x=bo.Float(0, 1), **with_role, y=bo.Int(0, 3))


def environment_target(laws, goal="mean", **random):
    target = target_of(space(**random), Environment(laws, goal))
    assert target.nodes.shape == (len(target.weights), len(random))
    assert target.nodes.min() >= 0 and target.nodes.max() <= 1 and len(target.weights) <= 128
    assert target.weights.min() > 0 and abs(target.weights.sum() - 1) < 1e-14
    return target


def rows(target):
    """Node and weight pairs, sorted."""
    return sorted(
        (*node, w) for node, w in zip(target.nodes.tolist(), target.weights.tolist(), strict=True)
    )


@pytest.mark.parametrize(
    "parameter, unit",
    [
        (bo.Float(0, 2, role="fidelity", target=2.0), 1.0),
        (bo.Float(1, 100, log=True, role="fidelity", target=10), 0.5),
        (bo.Int(1, 5, role="fidelity", target=4), 0.75),
        (bo.Categorical(["a", "b", "truth"], role="source", target="truth"), 1.0),
        (bo.Categorical(["2023", "2024", "2025"], role="task", target="2024"), 0.5),
    ],
)
def test_a_target_is_one_node(parameter, unit):
    target = target_of(space(s=parameter))
    assert target.nodes.tolist() == [[unit]] and target.weights.tolist() == [1.0]
    assert target.is_one and target.level is None and not target.has_closed_forms


def test_tasks_without_a_target_have_equal_weights():
    target = target_of(space(s=bo.Categorical(["a", "b", "c"], role="task")))
    assert rows(target) == [(0.0, 1 / 3), (0.5, 1 / 3), (1.0, 1 / 3)]
    assert not target.is_one


def test_a_target_needs_a_role_and_an_environment_its_laws():
    with pytest.raises(ValueError, match="No parameter of the space has a role"):
        target_of(space())
    with pytest.raises(ValueError, match=r"`environment` must have the law of \['w'\]"):
        target_of(space(w=W))
    with pytest.raises(ValueError, match=r"has laws of \['v'\]"):
        target_of(space(), Environment({"v": stats.uniform()}))


def test_values_are_the_nodes():
    target = environment_target({"w": {0.25: 1, 0.5: 2, 1.0: 1, 0.75: 0}}, w=W)
    assert rows(target) == [(0.25, 0.25), (0.5, 0.5), (1.0, 0.25)]
    assert target.laws == (None,)


def test_independent_values_multiply_in_the_order_of_the_columns():
    laws = {"kind": {"b": 3, "a": 1}, "n": {1: 1, 3: 1}}
    random = {
        "n": bo.Int(1, 3, role="environment"),
        "kind": bo.Categorical(["a", "b"], role="environment"),
    }
    expected = [(0.0, 0.0, 0.125), (0.0, 1.0, 0.375), (1.0, 0.0, 0.125), (1.0, 1.0, 0.375)]
    assert rows(environment_target(laws, **random)) == expected
    backwards = dict(reversed(laws.items()))
    a, b = (environment_target(each, **random) for each in (laws, backwards))
    assert torch.equal(a.nodes, b.nodes) and torch.equal(a.weights, b.weights)


def test_a_joint_law_keeps_its_values_together():
    laws = {("v", "w"): {(0.1, 0.2): 1, (0.3, 0.4): 3}, "u": {0.5: 1}}
    target = environment_target(laws, w=W, u=W, v=W)
    assert rows(target) == [(0.2, 0.5, 0.1, 0.25), (0.4, 0.5, 0.3, 0.75)]


@pytest.mark.parametrize(
    "law, parameter",
    [
        (stats.binom(9, 0.3), bo.Int(0, 9, role="environment")),
        (stats.poisson(3, loc=1), bo.Int(1, 16, role="environment")),
        (stats.randint(2, 5), bo.Int(0, 9, log=False, role="environment")),
        (stats.poisson(0.5, loc=0.25), bo.Float(0, 10, role="environment")),
        (stats.dlaplace(1.5, loc=10), bo.Int(1, 20, log=True, role="environment")),
    ],
)
def test_a_discrete_law_has_its_atoms(law, parameter):
    target = environment_target({"w": law}, w=parameter)
    values = np.array([parameter.from_unit(u) for u in target.nodes[:, 0].tolist()])
    p = law.pmf(np.round(values, 12))
    np.testing.assert_allclose(target.weights, p / p.sum(), atol=1e-12)
    assert p.sum() > 0.999


def expected(law, parameter, function):
    """E of a function of the coordinate, by its density in small steps over the range."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    ends = np.linspace(0, 1, 601)
    u = (ends[:-1, None] + np.diff(ends)[:, None] * (1 + nodes) / 2).ravel()
    values = np.array([parameter.from_unit(each) for each in u])
    density = law.pdf(values) * [parameter.slope(value) for value in values.tolist()]
    density *= np.tile(weights, 600) / 1200
    return density @ function(u) / (law.cdf(parameter.high) - law.cdf(parameter.low))


LOG = bo.Float(1e-3, 1e3, log=True, role="environment")
CONTINUOUS = {
    "normal": (stats.norm(0.4, 0.08), W),
    "cut off": (stats.norm(0.5, 0.15), W),
    "uniform": (stats.uniform(0.2, 0.3), W),
    "skew": (stats.beta(2, 5), W),
    "one-sided": (stats.expon(scale=0.14), W),
    "on a wider range": (stats.norm(10, 3), bo.Float(-10, 30, role="environment")),
    "lognormal": (stats.lognorm(1.0, scale=2.0), LOG),
    "log-uniform": (stats.loguniform(1e-2, 1e1), LOG),
    "normal on the log scale": (stats.norm(100, 20), LOG),
}


@pytest.mark.parametrize("what", CONTINUOUS)
def test_moments_under_a_continuous_law(what):
    law, parameter = CONTINUOUS[what]
    target = environment_target({"w": law}, w=parameter)
    assert len(target.weights) == 12
    u, w = target.nodes[:, 0].numpy(), target.weights.numpy()
    for power in (1, 2, 5, 12, 23):
        exact = expected(law, parameter, lambda u, power=power: u**power)
        assert w @ u**power == pytest.approx(exact, abs=2e-10)


def test_moments_under_a_density_that_is_infinite_at_its_ends():
    law = stats.beta(0.5, 0.5)
    target = environment_target({"w": law}, w=W)
    for power in (1, 2, 5, 12, 23):
        moment = target.weights @ target.nodes[:, 0] ** power
        assert float(moment) == pytest.approx(law.moment(power), abs=1e-10)


@pytest.mark.parametrize("what", ["normal", "cut off", "uniform", "skew", "lognormal"])
def test_integrals_of_smooth_functions(what):
    law, parameter = CONTINUOUS[what]
    target = environment_target({"w": law}, w=parameter)

    def smooth(u):
        return np.exp(-0.5 * ((u - 0.6) / 0.2) ** 2) + np.sin(5 * u)

    exact = expected(law, parameter, smooth)
    approximate = target.weights.numpy() @ smooth(target.nodes[:, 0].numpy())
    assert approximate == pytest.approx(exact, abs=1e-7)


def test_two_continuous_laws_have_a_product_of_nodes():
    target = environment_target({"v": stats.beta(2, 5), "w": stats.norm(0.5, 0.1)}, w=W, v=W)
    assert len(target.weights) == 100
    w, v = target.nodes.numpy().T
    mean = target.weights.numpy() @ (v**3 * w**2)
    assert mean == pytest.approx(stats.beta(2, 5).moment(3) * (0.5**2 + 0.1**2), abs=1e-6)


def test_values_and_a_continuous_law_multiply():
    laws = {"v": dict.fromkeys(np.linspace(0, 1, 16).tolist(), 1), "w": stats.uniform()}
    target = environment_target(laws, w=W, v=W)
    assert len(target.weights) == 16 * 8
    w, v = target.nodes.numpy().T
    assert target.weights.numpy() @ (w**4 * v) == pytest.approx(0.2 * 0.5, abs=1e-12)


@pytest.mark.parametrize("goal", ["mean", CVaR(0.9)])
def test_many_laws_are_sampled(goal):
    laws = {"w": stats.norm(0.5, 0.1), "v": stats.uniform(), "u": stats.beta(2, 2), "k": {0: 1}}
    k = bo.Int(0, 1, role="environment")
    target = environment_target(laws, goal, u=W, v=W, w=W, k=k)
    u, v, w, _ = target.nodes.numpy().T
    weights = target.weights.numpy()
    assert len(weights) == (128 if goal == "mean" else 64) and (weights == weights[0]).all()
    exact = (0.25 + 0.05) * np.exp(1.0 / 200 + 0.5) * np.sin(1.0)
    assert weights @ (u**2 * np.cos(v) * np.exp(w)) == pytest.approx(exact, rel=0.02)
    assert target.level == (None if goal == "mean" else 0.9)


def test_large_finite_laws_are_sampled_with_their_weights():
    shares = {float(value): float(value) for value in np.linspace(0, 1, 401)}
    target = environment_target({"w": shares}, w=W)
    assert len(target.weights) == 128
    assert float(target.weights @ target.nodes[:, 0]) == pytest.approx(2 / 3, abs=0.005)
    many = bo.Int(0, 1000, role="environment")
    target = environment_target({"n": stats.randint(0, 1001)}, n=many)
    n = target.nodes[:, 0].numpy() * 1000
    np.testing.assert_allclose(n, np.rint(n), atol=1e-9)
    assert n.mean() == pytest.approx(500, abs=2)


def test_a_tail_keeps_values_and_samples_the_rest():
    laws = {"n": {0: 1, 1: 3}, "w": stats.uniform()}
    n = bo.Int(0, 1, role="environment")
    target = environment_target(laws, CVaR(0.8), n=n, w=W)
    assert len(target.weights) == 64 and not target.has_closed_forms
    for value, weight in ((0, 0.25), (1, 0.75)):
        of_value = target.nodes[:, 0] == value
        assert float(target.weights[of_value].sum()) == pytest.approx(weight)
        w = torch.sort(target.nodes[of_value, 1]).values.numpy()
        np.testing.assert_allclose(w, (np.arange(32) + 0.5) / 32)


def closed(law, parameter=W):
    (form,) = environment_target({"w": law}, w=parameter).laws
    return None if form is None else tuple(vars(form).values())


def test_normal_and_uniform_laws_are_known_by_their_formulas():
    wide = bo.Float(-10, 30, role="environment")
    assert closed(stats.norm(0.4, 0.08)) == pytest.approx((0.4, 0.08))
    assert closed(stats.norm(10, 3), wide) == pytest.approx((0.5, 0.075))
    assert closed(stats.uniform(0.2, 0.3)) == pytest.approx((0.2, 0.5))
    assert closed(stats.uniform(-0.0004, 1.0008)) == (0.0, 1.0)
    assert closed(stats.lognorm(0.5, scale=10.0), LOG) == pytest.approx((4 / 6, 0.5 / np.log(1e6)))
    assert closed(stats.loguniform(1e-2, 1e1), LOG) == pytest.approx((1 / 6, 4 / 6))


@pytest.mark.parametrize(
    "law, parameter",
    [
        (stats.norm(0.5, 0.105), W),  # loses 1.9e-6
        (stats.beta(2, 5), W),
        (stats.norm(100, 20), LOG),
        (stats.uniform(1, 10), LOG),
        (stats.lognorm(0.3, scale=0.3), bo.Float(0, 3, role="environment")),
        (stats.lognorm(0.5, loc=1.0, scale=10.0), LOG),
    ],
)
def test_other_laws_have_nodes_alone(law, parameter):
    assert closed(law, parameter) is None


def test_closed_forms_need_all_columns_and_the_mean():
    laws = {"w": stats.uniform(), "v": stats.norm(0.5, 0.05)}
    assert environment_target(laws, v=W, w=W).has_closed_forms
    assert not environment_target(laws, CVaR(0.5), v=W, w=W).has_closed_forms
    assert not environment_target(laws | {"v": {0.5: 1}}, v=W, w=W).has_closed_forms
