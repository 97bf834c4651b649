"""Stars: closed forms on the circle, brute force, errors, and what is refused."""

import numpy as np
import pytest
from scipy import stats

import uq
from benchmarks.sobol_cases import g_function, ishigami
from uq.factors import factors_of
from uq.model_runs import ModelRuns
from uq.star_designs import star_total_indices


def _indices(func, inputs: uq.Inputs, **options):
    runs = ModelRuns(func, inputs.dimension, None, 100_000, progress=False)
    return star_total_indices(runs, inputs, **options)


def test_linear_input_lacks_the_square_of_the_lag() -> None:
    for m in (2, 4, 10):
        s = _indices(lambda x: x[:, 0], uq.Inputs([stats.uniform()]), n=64, lag=1 / m, rng=0)
        part = float(s.total_order[0] * s.variance)
        assert part == pytest.approx((1.0 - 1.0 / m**2) / 12.0, rel=1e-10)


def test_harmonics_below_the_points_of_a_section_are_exact() -> None:
    inputs = uq.Inputs([stats.uniform()] * 2)

    def func(x: np.ndarray) -> np.ndarray:
        return np.sin(2 * np.pi * x[:, 0]) + 2.0 * np.cos(8 * np.pi * x[:, 1])

    s = _indices(func, inputs, n=16, rng=0)
    assert np.allclose(s.total_order * s.variance, [0.5, 2.0], rtol=1e-10)


def test_brute_force_with_loops() -> None:
    case = ishigami()
    kept = []

    def func(x: np.ndarray) -> np.ndarray:
        kept.append(x.copy())
        return case.func(x)

    s = _indices(func, case.inputs, n=16, lag=0.25, rng=3)
    x = np.concatenate(kept).reshape(16, 10, 3)
    parts, points = np.zeros((16, 3)), []
    for c in range(16):
        for i in range(3):
            section = np.stack([x[c, 0], *x[c, 1 + 3 * i : 4 + 3 * i]])
            others = [j for j in range(3) if j != i]
            assert (section[:, others] == x[c, 0, others]).all()
            score = np.sort((section[:, i] + np.pi) / (2 * np.pi))
            assert np.allclose(np.diff(score), 0.25)
            y = case.func(section)[np.argsort(section[:, i])]
            pairs = [(y[q], y[(q + 1) % 4]) for q in range(4)]
            gamma = np.mean([(a - b) ** 2 / 2 for a, b in pairs])
            C = np.mean([(a - y.mean()) * (b - y.mean()) for a, b in pairs])
            parts[c, i] = gamma + C
            points.append(y)
    V = np.var(points)
    assert s.variance == pytest.approx(V)
    assert np.allclose(s.total_order, parts.mean(axis=0) / V)
    assert s.n_evaluations == 160 and s.n_effective == 16


@pytest.mark.parametrize("sampling", ["qmc", "mc"])
def test_ishigami_within_four_errors(sampling: str) -> None:
    case = ishigami()
    s = _indices(case.func, case.inputs, budget=10_000, rng=0, sampling=sampling)
    off = np.abs(s.total_order - case.total_order)
    assert (off <= 4.0 * s.standard_error.total_order + 1e-3).all()
    assert s.n_evaluations <= 10_000 and set(s.estimates) == {"total_order"}


def test_fewer_points_a_section_beat_jansen_at_equal_runs() -> None:
    """On the g-function, whose published error at 1,000 runs or so is some hundredths."""
    case = g_function()
    off = [
        _indices(case.func, case.inputs, budget=4_000, lag=0.25, rng=seed).total_order
        - case.total_order
        for seed in range(10)
    ]
    assert np.sqrt(np.mean(np.square(off))) < 0.03


def test_unbounded_inputs_get_finite_points() -> None:
    inputs = uq.Inputs([stats.norm(), stats.expon()])
    s = _indices(lambda x: x.sum(axis=1), inputs, n=512, rng=0)
    assert np.isfinite(s.total_order).all()
    assert np.allclose(s.total_order, [0.5, 0.5], atol=0.1)


def test_failed_runs_take_their_stars_along() -> None:
    case = ishigami()

    def func(x: np.ndarray) -> np.ndarray:
        return np.where(x[:, 0] > 3.1, np.nan, case.func(x))

    with pytest.warns(UserWarning, match="5 of 128 rows have failed runs") as caught:
        s = _indices(func, case.inputs, n=128, rng=0)
    assert len(caught) == 1
    assert s.n_effective == 123 and "failed run" in s.flags[0]
    with pytest.raises(ValueError, match="too few for an estimate"):
        _indices(lambda x: np.where(x[:, 0] > -2, np.nan, x[:, 0]), case.inputs, n=16, rng=0)


def test_outputs_of_any_size() -> None:
    case = ishigami()
    s = _indices(case.func, case.inputs, n=16, rng=0)
    for power in (-600, 600):
        moved = _indices(lambda x, p=power: np.ldexp(case.func(x), p), case.inputs, n=16, rng=0)
        assert np.array_equal(moved.total_order, s.total_order)
    with pytest.warns(UserWarning, match="The output is constant"):
        s = _indices(lambda x: np.full(len(x), 0.1), case.inputs, n=16, rng=0)
    assert not s.total_order.any() and s.variance == 0.0


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_scale_of_the_output_does_not_matter(scale: float) -> None:
    case = ishigami()
    plain = _indices(case.func, case.inputs, n=32, rng=0)
    scaled = _indices(lambda x: scale * case.func(x), case.inputs, n=32, rng=0)
    assert np.allclose(plain.total_order, scaled.total_order, rtol=1e-12, atol=0)
    assert np.allclose(plain.standard_error.total_order, scaled.standard_error.total_order)


def test_constant_outputs_are_zeros_and_one_warning() -> None:
    case = ishigami()
    with pytest.warns(UserWarning, match="Output 0, 2 is constant") as told:
        s = _indices(
            lambda x: np.stack([0 * x[:, 0] + 0.1, case.func(x), 0 * x[:, 0]], 1),
            case.inputs,
            n=32,
            rng=0,
        )
    assert len(told) == 1
    assert (s.total_order[:, [0, 2]] == 0).all() and (s.total_order[:, 1] > 0.1).all()


def test_several_outputs_and_chosen_factors() -> None:
    case = ishigami()
    factors = factors_of(case.inputs.names, None)[1:]

    def both(x: np.ndarray) -> np.ndarray:
        return np.stack([case.func(x), np.ones(len(x))], axis=1)

    with pytest.warns(UserWarning, match="Output 1 is constant"):
        s = _indices(both, case.inputs, factors=factors, n=64, rng=0)
    alone = _indices(case.func, case.inputs, factors=factors, n=64, rng=0)
    assert s.names == ("x2", "x3") and s.total_order.shape == (2, 2)
    assert np.allclose(s.total_order[:, 0], alone.total_order)
    assert (s.total_order[:, 1] == 0.0).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 20}, ValueError, "power of two"),
        ({"n": 8}, ValueError, "at least 16"),
        ({"budget": 100}, ValueError, "16 stars of 28 runs, 448 in all"),
        ({}, TypeError, "either `budget`"),
        ({"n": 16, "budget": 500}, TypeError, "either `budget`"),
        ({"n": 16, "lag": 0.3}, ValueError, "`lag` must be one over"),
        ({"n": 16, "lag": 1}, ValueError, "`lag` must be one over"),
        ({"n": 16, "sampling": "lhs"}, ValueError, "Unknown sampling"),
    ],
)
def test_what_is_refused(options: dict, error: type[Exception], message: str) -> None:
    case = ishigami()
    with pytest.raises(error, match=message):
        _indices(case.func, case.inputs, **options)


def test_groups_and_dependent_inputs_are_refused() -> None:
    case = ishigami()
    groups = factors_of(case.inputs.names, {"pair": ["x1", "x2"]})
    with pytest.raises(ValueError, match="'pair' is a group of 2"):
        _indices(case.func, case.inputs, factors=groups, n=16)
    inputs = uq.Inputs([stats.norm(), stats.norm()], [[1.0, 0.5], [0.5, 1.0]])
    with pytest.raises(ValueError, match="shapley_effects"):
        _indices(lambda x: x[:, 0], inputs, n=16)
