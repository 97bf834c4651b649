"""Search of an acquisition: global maxima over every kind of space, always on the lattice."""

import math

import numpy as np
import pytest
import torch

from bayesopt import Categorical, Float, Int, Space
from bayesopt.optimize import Effort, by_autograd, maximize

REAL = Space(a=Float(-5.0, 10.0), b=Float(0.0, 15.0))
LOG = Space(rate=Float(1e-5, 1e2, log=True))
SMALL = Space(a=Int(-3, 8), b=Categorical(["x", "y", "z"]), c=Int(1, 9))
WIDE = Space(n=Int(1, 10_000))
WIDE_LOG = Space(n=Int(1, 1_000_000, log=True))
MIXED = Space(
    rate=Float(1e-3, 1e1, log=True),
    depth=Int(1, 40),
    width=Int(8, 4096, log=True),
    kind=Categorical(["a", "b", "c", "d"]),
    share=Float(0.0, 1.0),
)
SPACES = {
    "real": REAL,
    "log": LOG,
    "small": SMALL,
    "wide": WIDE,
    "wide log": WIDE_LOG,
    "mixed": MIXED,
    "one choice": Space(only=Categorical(["x"]), a=Float(0.0, 1.0)),
}


def search(acquisition, space, seed=0, incumbents=None, **effort):
    centre = space.snap(np.full((1, len(space)), 0.5))
    return maximize(
        acquisition,
        space,
        centre if incumbents is None else incumbents,
        np.random.default_rng(seed),
        effort=Effort(**effort),
    )


def bumps(centres, heights, width=0.15):
    """Gaussian hills."""
    centres = torch.as_tensor(np.array(centres))
    heights = torch.as_tensor(heights, dtype=torch.float64)

    def acquisition(X):
        squares = (X - centres).square().sum(-1)
        return (heights * torch.exp(-0.5 * squares / width**2)).sum(-1)

    return acquisition


def rough(X):
    """Many maxima in any number of columns, categories and integers included."""
    x = X.squeeze(-2)
    shift = torch.linspace(0.2, 0.8, x.shape[-1], dtype=torch.float64)
    return (torch.cos(13.0 * (x - shift)) - 4.0 * (x - shift) ** 2).mean(-1)


def value_at(acquisition, space, params):
    return float(acquisition(torch.from_numpy(space.to_unit(params)).view(1, 1, -1)))


def values(acquisition, X):
    with torch.no_grad():
        return acquisition(torch.from_numpy(X).unsqueeze(-2)).numpy()


# -- where the maximum is --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("d", [1, 2, 4])
def test_the_highest_of_several_hills(d, seed):
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0.05, 0.95, (4, d))
    acquisition = bumps(centres, [1.0, 0.8, 0.7, 0.6])
    space = Space(**{f"x{j}": Float(0.0, 1.0) for j in range(d)})
    X, v = search(acquisition, space, seed)
    start = torch.from_numpy(centres).requires_grad_()  # gradient ascent from every summit
    for _ in range(3000):
        (gradient,) = torch.autograd.grad(acquisition(start.unsqueeze(-2)).sum(), start)
        before, start = start, (start + 0.003 * gradient).clamp(0.0, 1.0).detach().requires_grad_()
        if float((start - before).detach().abs().max()) < 1e-7:
            break
    assert v[0] > float(acquisition(start.detach().unsqueeze(-2)).max()) - 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_a_rough_function_of_two_reals_agrees_with_a_grid(seed):
    axis = np.linspace(0, 1, 401)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    _, v = search(rough, REAL, seed)
    assert v[0] > values(rough, grid).max() - 1e-3


def test_a_maximum_on_the_boundary():
    X, v = search(lambda X: X.sum((-2, -1)), REAL)
    np.testing.assert_array_equal(X[0], [1.0, 1.0])
    assert v[0] == 2.0


@pytest.mark.parametrize("seed", range(5))
def test_a_small_finite_space_is_searched_point_by_point(seed):
    """Exact even where neighbours say nothing about each other."""
    table = np.random.default_rng(seed).normal(size=SMALL.size)
    grid = SMALL.grid()

    def noise(X):
        distance = torch.cdist(X.squeeze(-2), torch.from_numpy(grid))
        return torch.from_numpy(table)[distance.argmin(-1)]

    X, v = search(noise, SMALL)
    np.testing.assert_array_equal(X[0], grid[table.argmax()])
    assert v[0] == table.max()
    assert len(X) == SMALL.size


@pytest.mark.parametrize("best", [1, 2, 777, 4096, 9_999, 10_000])
@pytest.mark.parametrize("space", [WIDE, WIDE_LOG], ids=["linear", "log"])
def test_a_wide_integer_is_found_exactly(space, best):
    target = space.to_unit({"n": best})[0]
    X, v = search(lambda X: -(X[..., 0, 0] - target).abs(), space)
    assert space.from_unit(X[0]) == {"n": best}
    assert v[0] == 0.0


def test_integers_that_depend_on_each_other_and_on_a_real():
    space = Space(n=Int(1, 10_000), m=Int(1, 10_000), x=Float(0.0, 1.0))

    def acquisition(X):
        n, m, x = X.squeeze(-2).unbind(-1)
        return -((n - x) ** 2) - (m - 0.37) ** 2 - 0.1 * (x - 0.7) ** 2

    X, v = search(acquisition, space)
    params = space.from_unit(X[0])
    assert params["m"] == 1 + round(0.37 * 9_999)
    assert v[0] > -1e-5  # the global maximum is 0 at x = 0.7, n = 7000


@pytest.mark.parametrize("seed", range(4))
def test_a_mixed_space_agrees_with_brute_force(seed):
    rng = np.random.default_rng(seed)
    height = torch.from_numpy(rng.random(4))
    depth, width = rng.random(2)

    def acquisition(X):
        x = X.squeeze(-2)
        kind = (x[:, 3] * 3).round().long()
        hills = torch.cos(9 * (x[:, 0] - 0.3)) - (x[:, 4] - height[kind]) ** 2
        return height[kind] + hills - 6 * (x[:, 1] - depth) ** 2 - 4 * (x[:, 2] - width) ** 2

    X, v = search(acquisition, MIXED, seed)
    found = MIXED.from_unit(X[0])
    best_kind = int(height.argmax())
    assert found["kind"] == "abcd"[best_kind]
    for name, target in (("depth", depth), ("width", width)):
        lattice = MIXED[name].unit_of(np.arange(MIXED[name].size))
        assert MIXED[name].to_unit(found[name]) == lattice[np.abs(lattice - target).argmin()]
    assert X[0, 4] == pytest.approx(float(height.max()), abs=0.02)
    assert math.cos(9 * (X[0, 0] - 0.3)) > 0.999
    assert v[0] == pytest.approx(value_at(acquisition, MIXED, found), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_no_single_change_of_an_integer_or_a_category_is_better(seed):
    X, v = search(rough, MIXED, seed)
    best = MIXED.from_unit(X[0])
    for name in ("depth", "width", "kind"):
        parameter = MIXED[name]
        if name == "kind":
            others = list(parameter.choices)
        else:
            steps = [best[name] + step for step in (-2, -1, 1, 2)]
            others = [n for n in steps if parameter.low <= n <= parameter.high]
        for other in others:
            assert value_at(rough, MIXED, best | {name: other}) <= v[0] + 1e-9


def test_a_needle_at_an_incumbent_is_found():
    """The global points never fall into a hill of width 0.001; those around incumbents do."""
    needle = np.array([0.4321, 0.1234])
    acquisition = bumps([needle], [1.0], width=1e-3)
    X, v = search(acquisition, REAL, incumbents=np.array([[0.9, 0.9], needle + 5e-4]))
    assert v[0] > 0.99
    np.testing.assert_allclose(X[0], needle, atol=2e-4)


# -- what comes back -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPACES)
def test_every_result_stands_for_a_value(name):
    space = SPACES[name]
    X, v = search(rough, space, seed=1)
    real = space.columns("float")
    for x in X:
        params = space.check(space.from_unit(x))
        back = space.to_unit(params)
        np.testing.assert_allclose(back[real], x[real], rtol=0, atol=1e-12)
        lattice = space.columns("int", "categorical")
        np.testing.assert_array_equal(back[lattice], x[lattice])
    assert ((X >= 0) & (X <= 1)).all()


@pytest.mark.parametrize("name", SPACES)
def test_results_come_best_first_with_their_values(name):
    X, v = search(rough, SPACES[name], seed=2)
    assert (np.diff(v) <= 0).all()
    np.testing.assert_allclose(v, values(rough, X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SPACES)
def test_the_same_seed_gives_the_same_result(name):
    for one, other in zip(search(rough, SPACES[name]), search(rough, SPACES[name]), strict=True):
        np.testing.assert_array_equal(one, other)


# -- acquisitions of every kind --------------------------------------------------------------------


class WithGradient:
    """`rough` with its gradient by hand."""

    def __init__(self):
        self.points = []

    def __call__(self, X):
        return rough(X)

    def value_and_gradient(self, X):
        self.points.append(X)
        shift = torch.linspace(0.2, 0.8, X.shape[-1], dtype=torch.float64)
        slope = -13.0 * torch.sin(13.0 * (X - shift)) - 8.0 * (X - shift)
        return rough(X.unsqueeze(-2)), slope / X.shape[-1]


@pytest.mark.parametrize("space", [REAL, MIXED], ids=["real", "mixed"])
def test_closed_form_gradients_and_autograd_give_the_same_result(space):
    by_hand = WithGradient()
    X, v = search(by_hand, space)
    X_auto, v_auto = search(rough, space)
    starts = by_hand.points[0]
    assert len(starts) == 4 and float(torch.pdist(starts).min()) > 0.05 * len(space) ** 0.5
    np.testing.assert_allclose(v[0], v_auto[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(X[0], X_auto[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("outer", [torch.enable_grad, torch.no_grad])
def test_by_autograd_gives_every_row_its_own_gradient(outer):
    X = torch.rand(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with outer():
        automatic = by_autograd(rough, X)
    for one, other in zip(automatic, WithGradient().value_and_gradient(X), strict=True):
        assert not one.requires_grad
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)
    assert not X.requires_grad


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
@pytest.mark.parametrize("name", SPACES)
def test_what_is_not_a_number_never_wins(name, bad):
    def partly(X):
        value = rough(X)
        return torch.where((X[..., 0, 0] * 7).long() % 2 == 0, bad, value)

    X, v = search(partly, SPACES[name], seed=3)
    if name == "one choice":
        assert (v == -np.inf).all()  # its only column is bad everywhere
        return
    assert np.isfinite(v[0])
    assert not np.isnan(v).any()
    good = v[np.isfinite(v)]
    assert v[0] == good.max()


@pytest.mark.parametrize("name", SPACES)
def test_an_acquisition_without_any_finite_value_still_gives_points(name):
    X, v = search(lambda X: torch.full(X.shape[:1], torch.nan, dtype=torch.float64), SPACES[name])
    assert len(X) > 0
    assert (v == -np.inf).all()


def test_effort_limits_the_work():
    rows = []

    def counted(X):
        rows.append(len(X))
        return rough(X)

    search(counted, REAL, n_global=64, n_local=32, n_starts=2, max_calls=5)
    assert rows[0] == 96
    assert all(count <= 2 for count in rows[1:])
    assert len(rows) <= 1 + 5
