"""Indices from given runs: closed forms, brute force, intervals, and what is refused."""

import numpy as np
import pytest
from scipy import stats

import uq
from benchmarks.sobol_cases import ishigami, normal_sum, product_and_sum
from uq.factors import factors_of
from uq.given_runs import neighbour_statistics as near
from uq.given_runs.given_data import given_data_indices
from uq.given_runs.one_step_indices import _Residuals
from uq.given_runs.unknown_laws import influence_of_laws
from uq.polynomials import index_set, one_dimensional
from uq.sobol_results import SobolIndices


def _runs(case, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    X = case.inputs.sample(n, seed)
    return X, case.func(X)


def _within(s: SobolIndices, case, errors: float = 4.0) -> None:
    for kind in ("first_order", "total_order"):
        off = np.abs(getattr(s, kind) - getattr(case, kind))
        assert (off <= errors * getattr(s.standard_error, kind)).all(), (kind, off)


def test_linear_model_is_exact() -> None:
    case = normal_sum()
    s = given_data_indices(*_runs(case, 100), case.inputs, rng=1)
    assert np.allclose(s.first_order, case.first_order, rtol=0.0, atol=1e-12)
    assert np.allclose(s.total_order, case.first_order, rtol=0.0, atol=1e-12)
    assert s.variance == pytest.approx(case.variance, rel=1e-10)
    assert "explains 100 % of the variance" in s.message and s.flags == ()
    _within(s, case)


@pytest.mark.parametrize("surrogate", ["auto", None])
def test_ishigami_within_four_errors(surrogate: str | None) -> None:
    case = ishigami()
    s = given_data_indices(*_runs(case, 2000), case.inputs, rng=0, surrogate=surrogate)
    _within(s, case)
    assert (s.method, s.n_evaluations, s.n_effective) == ("given_data", 2000, 2000)
    assert s.standard_error.total_order.max() < (0.02 if surrogate else 0.1)
    assert any("nearest neighbours" in flag for flag in s.flags) == (surrogate is None)


def test_polynomial_leaves_less_to_neighbours_than_none() -> None:
    case = ishigami()
    runs = _runs(case, 1000)
    with_it, without = (
        given_data_indices(*runs, case.inputs, rng=0, surrogate=choice) for choice in ("auto", None)
    )
    assert (with_it.standard_error.first_order < 0.5 * without.standard_error.first_order).all()


def test_unknown_laws_and_wider_intervals_of_them() -> None:
    case = ishigami()
    X, Y = _runs(case, 1000, 5)
    known, unknown = (given_data_indices(X, Y, laws, rng=0) for laws in (case.inputs, None))
    _within(unknown, case)
    assert unknown.names == ("x1", "x2", "x3") and "ranks" in unknown.message
    assert unknown.standard_error.first_order[0] > 2.0 * known.standard_error.first_order[0]
    moved = given_data_indices(3.0 * X - 1.0, Y, rng=0)  # ranks stay
    assert np.array_equal(moved.first_order, unknown.first_order)


def test_intervals_hold_for_small_samples() -> None:
    case = ishigami()
    truth = np.concatenate([case.first_order, case.total_order])
    held = []
    for seed in range(60):
        inputs = case.inputs if seed % 2 else None
        s = given_data_indices(*_runs(case, 300, seed), inputs, rng=seed)
        interval = s.confidence_interval()
        low = np.concatenate([interval.first_order.low, interval.total_order.low])
        high = np.concatenate([interval.first_order.high, interval.total_order.high])
        held.append((low <= truth) & (truth <= high))
    assert 0.88 <= np.mean(held) <= 0.995


def test_input_without_a_part_has_no_total_where_neighbours_are_far() -> None:
    inputs = uq.Inputs([stats.uniform()] * 6)
    X = inputs.sample(1000, 0)
    Y = np.sin(9.0 * X[:, 0]) * np.cos(7.0 * X[:, 1])  # hard for few terms; x3 to x6 do nothing
    s = given_data_indices(X, Y, inputs, rng=0)
    assert (np.abs(s.total_order[2:]) <= 2.5 * s.standard_error.total_order[2:] + 1e-12).all()
    assert np.median(s.total_order[2:]) < 0.02


def test_second_order_of_a_product() -> None:
    case = product_and_sum()
    s = given_data_indices(*_runs(case, 400), case.inputs, order=2, rng=0)
    second, closed = s.second_order, s.closed_second_order
    assert np.isnan(np.diag(second)).all() and np.isnan(np.diag(closed)).all()
    assert np.allclose(second[[0, 0, 1], [1, 2, 2]], [1 / 19, 0.0, 0.0], atol=1e-9)
    assert np.allclose(closed[[0, 0, 1], [1, 2, 2]], [7 / 19, 15 / 19, 15 / 19], atol=1e-9)
    assert np.array_equal(second, second.T, equal_nan=True)


def test_second_order_by_neighbours_alone() -> None:
    case = product_and_sum()
    X, Y = _runs(case, 2000, 3)
    s = given_data_indices(X, Y, case.inputs, order=2, surrogate=None, rng=0)
    off = np.abs(s.closed_second_order[[0, 0, 1], [1, 2, 2]] - np.array([7, 15, 15]) / 19)
    assert (off <= 4.0 * s.standard_error.closed_second_order[[0, 0, 1], [1, 2, 2]]).all()


def test_groups() -> None:
    case = product_and_sum()
    X, Y = _runs(case, 400)
    pair = factors_of(case.inputs.names, {"product": ["x1", "x2"]})
    s = given_data_indices(X, Y, case.inputs, pair, rng=0)
    assert s.names == ("product", "x3")
    assert np.allclose(s.first_order, [7 / 19, 12 / 19], atol=1e-9)
    alone = given_data_indices(X, Y, case.inputs, pair, surrogate=None, rng=0)
    off = np.abs(alone.first_order - np.array([7, 12]) / 19)
    assert (off <= 4.0 * alone.standard_error.first_order).all()
    everything = factors_of(case.inputs.names, {"all": case.inputs.names})
    for surrogate in ("auto", None):
        s = given_data_indices(X, np.sin(9 * Y), case.inputs, everything, surrogate=surrogate)
        assert s.total_order == pytest.approx([1.0], rel=1e-12)


def test_scale_and_shift_of_the_output_do_not_matter() -> None:
    case = ishigami()
    X, Y = _runs(case, 400)
    s = given_data_indices(X, Y, case.inputs, rng=2)
    moved = given_data_indices(X, 1e6 - 1e3 * Y, case.inputs, rng=2)
    assert np.allclose(s.total_order, moved.total_order, rtol=1e-6)
    assert moved.variance == pytest.approx(1e6 * s.variance, rel=1e-6)


def test_outputs_of_any_size() -> None:
    case = ishigami()
    X, Y = _runs(case, 400)
    s = given_data_indices(X, Y, case.inputs, rng=2)
    for power in (-600, 600):
        moved = given_data_indices(X, np.ldexp(Y, power), case.inputs, rng=2)
        assert np.array_equal(moved.total_order, s.total_order)


def test_one_column_is_one_output() -> None:
    case = ishigami()
    X, Y = _runs(case, 400)
    s = given_data_indices(X, Y[:, None], case.inputs, order=2, rng=2)
    assert s.total_order.shape == (3,) and s.second_order.shape == (3, 3) and s.variance.ndim == 0


def test_several_outputs_are_each_their_own() -> None:
    case = ishigami()
    X, Y = _runs(case, 500)
    both = np.stack([Y, X[:, 0] + X[:, 1]], axis=1)
    s = given_data_indices(X, both, case.inputs, rng=0)
    assert s.first_order.shape == (3, 2) and s.variance.shape == (2,)
    assert np.allclose(s.first_order[:, 1], [0.5, 0.5, 0.0], atol=1e-9)
    assert (np.abs(s.first_order[:, 0] - case.first_order) < 0.1).all()
    assert "output 1: " in s.message


def test_failed_runs_are_left_out() -> None:
    case = ishigami()
    X, Y = _runs(case, 400)
    clean = given_data_indices(X[20:], Y[20:], case.inputs, rng=0)
    X[:10, 1], Y[10:20] = np.nan, np.inf
    with pytest.warns(UserWarning, match="20 of 400 runs") as caught:
        s = given_data_indices(X, Y, case.inputs, rng=0)
    assert len(caught) == 1
    assert (s.n_evaluations, s.n_effective) == (400, 380)
    assert np.array_equal(s.first_order, clean.first_order)


def test_constant_output_has_zeros() -> None:
    case = ishigami()
    X, Y = _runs(case, 200)
    with pytest.warns(UserWarning, match="no variance to share") as caught:
        s = given_data_indices(X, np.full(200, 0.1), case.inputs, order=2)
    assert len(caught) == 1 and s.variance == 0.0
    assert (s.first_order == 0.0).all() and (s.total_order == 0.0).all()
    with pytest.warns(UserWarning, match="no variance to share"):
        one = given_data_indices(X, np.stack([np.ones(200), Y], axis=1), case.inputs, rng=0)
    assert (one.first_order[:, 0] == 0.0).all() and one.first_order[1, 1] > 0.2


def test_dependent_inputs_and_other_laws_are_flagged() -> None:
    case = ishigami()
    X, Y = _runs(case, 500)
    flags = given_data_indices(X, Y, case.inputs, rng=0).flags
    assert not any("look" in flag for flag in flags)
    mixed = X.copy()
    mixed[:, 1] = 0.8 * X[:, 1] + 0.2 * X[:, 0]
    flags = given_data_indices(mixed, Y, None, rng=0).flags
    assert any("x1 and x2 have the rank correlation" in flag for flag in flags)
    shrunk = X * [0.5, 1.0, 1.0]
    flags = given_data_indices(shrunk, Y, case.inputs, rng=0).flags
    assert any("values of x1 do not look drawn" in flag for flag in flags)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": "constant"}, "'x2' is constant"),
        ({"X": "few"}, "'x2' has only 5 different values"),
        ({"X": "outside"}, "inside the support"),
        ({"X": "short"}, "one row for each row"),
        ({"X": "little"}, "at least 50"),
        ({"order": 3}, "`order` must be 1 or 2"),
        ({"surrogate": "kriging"}, "Unknown surrogate 'kriging'"),
        ({"n_folds": 2}, "`n_folds` must be at least 3"),
        ({"n_folds": 60}, "at most 50 folds"),
    ],
)
def test_what_is_refused(change: dict, message: str) -> None:
    case = ishigami()
    X, Y = _runs(case, 200)
    kind = change.pop("X", None)
    if kind == "constant":
        X[:, 1] = 1.0
    elif kind == "few":
        X[:, 1] = np.arange(200) % 5 / 5
    elif kind == "outside":
        X[3, 1] = 4.0
    elif kind == "short":
        X = X[:100]
    elif kind == "little":
        X, Y = X[:40], Y[:40]
    with pytest.raises(ValueError, match=message):
        given_data_indices(X, Y, case.inputs, **change)


def test_dependent_laws_are_refused() -> None:
    inputs = uq.Inputs([stats.norm(), stats.norm()], [[1.0, 0.5], [0.5, 1.0]])
    with pytest.raises(ValueError, match="shapley_effects"):
        given_data_indices(inputs.sample(100, 0), np.arange(100.0), inputs)


def test_pairs_get_a_fit_that_saw_neither_fold() -> None:
    rng = np.random.default_rng(0)
    n, n_folds = 40, 5
    told = rng.standard_normal((n, n_folds))  # what each fold tells a fit, at every run
    without = (told.sum(axis=1, keepdims=True) - told) / (n_folds - 1)
    y, folds = rng.standard_normal(n), np.repeat(np.arange(n_folds), 8)
    found = np.array([[(k + 3) % n, (k + 11) % n] for k in range(n)])
    own, other = _Residuals(y, without, folds).of_pairs(found)
    for k in range(n):
        for m, at in enumerate(found[k]):
            r, s = folds[k], folds[at]
            left = [t for t in range(n_folds) if t not in (r, s)]
            assert own[k, m] == pytest.approx(y[k] - told[k, left].mean())
            assert other[k, m] == pytest.approx(y[at] - told[at, left].mean())


def test_neighbours_are_the_next_ranks_and_the_nearest_points() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((125, 1))
    found = near.neighbours(x, rng)
    ranks = np.argsort(np.argsort(x[:, 0]))
    assert found.shape == (125, 4)
    for k in range(125):
        start = min(max(ranks[k] - 2, 0), 120)
        assert sorted(ranks[found[k]]) == [q for q in range(start, start + 5) if q != ranks[k]]
    x = rng.random((60, 3))
    distance = np.square(x[:, None] - x).sum(axis=2) + np.diag(np.full(60, np.inf))
    assert np.array_equal(near.neighbours(x, rng), np.argsort(distance, axis=1)[:, :4])


def test_run_is_never_its_own_neighbour_even_among_equal_points() -> None:
    for x in (np.zeros((30, 2)), np.zeros((30, 1))):
        found = near.neighbours(x, np.random.default_rng(0))
        assert (found != np.arange(30)[:, None]).all()


def test_value_at_no_distance_takes_the_way_out() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((200, 2))
    found = near.neighbours(x, rng)
    squares = np.square(x[:, None] - x[found])
    D = 0.3 + squares @ [20.0, 0.0]
    assert near._at_no_distance(D, x, found) == pytest.approx(0.3, rel=1e-9)
    assert near._at_no_distance(1e-30 * D, x, found) == pytest.approx(0.3e-30, rel=1e-9)
    assert near._at_no_distance(np.zeros_like(D), x, found) == 0.0


@pytest.mark.parametrize("bounded", [True, False])
def test_influence_of_laws_by_quadrature(bounded: bool) -> None:
    """Against E[phi_F | x_j] by Gauss rules, phi_F from values of h and of its projections."""
    rng = np.random.default_rng(0)
    indices = index_set(2, 8)
    c = rng.standard_normal(8)
    t, w = np.polynomial.legendre.leggauss(20)
    nodes, w = stats.norm.ppf((t + 1) / 2), w / 2
    if not bounded:
        nodes, w = np.polynomial.hermite_e.hermegauss(20)
        w = w / w.sum()
    kinds = np.array([bounded, bounded])
    p = [one_dimensional(nodes, int(indices[:, i].max()), bounded) for i in range(2)]
    psi = np.einsum("kq,kr->kqr", p[0][indices[:, 0]], p[1][indices[:, 1]])
    h = np.tensordot(c[1:], psi[1:], 1)
    only_first = np.broadcast_to((h @ w)[:, None], h.shape)
    of_second = h - only_first
    held = np.stack([(indices[:, 0] > 0) & (indices[:, 1] == 0), indices[:, 1] > 0], axis=1)
    z = np.linspace(-1.5, 1.5, 301)[:, None] * [1.0, 0.5]
    found = influence_of_laws(z, kinds, indices, c, held, np.array([False, True]))
    phis = (2 * only_first * h - only_first**2, of_second**2)
    for t, phi in enumerate(phis):
        expected = np.zeros(301)
        for j, along in enumerate((phi @ w, w @ phi)):
            fit = np.polynomial.Polynomial.fit(
                nodes if not bounded else stats.norm.cdf(nodes), along, 16
            )
            expected += fit(z[:, j] if not bounded else stats.norm.cdf(z[:, j]))
        expected -= expected.mean()
        assert np.allclose(found[:, t], expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e200, 1e305])
def test_no_scale_overflows_or_vanishes(scale: float) -> None:
    case = ishigami()
    X, Y = _runs(case, 200)
    plain = given_data_indices(X, Y, case.inputs, rng=0)
    scaled = given_data_indices(X, scale * Y, case.inputs, rng=0)
    assert np.allclose(plain.total_order, scaled.total_order, rtol=1e-6, atol=1e-9)


def test_columns_of_a_table_go_by_name() -> None:
    pandas = pytest.importorskip("pandas")
    X = np.random.default_rng(0).uniform(-np.pi, np.pi, (200, 3))
    Y = ishigami().func(X)
    laws = dict.fromkeys("abc", stats.uniform(-np.pi, 2 * np.pi))
    table = pandas.DataFrame(X, columns=list("abc")).assign(y=Y)
    plain = uq.sobol_indices(X=X, Y=Y, inputs=laws, rng=0)
    turned = uq.sobol_indices(X=table[["c", "y", "a", "b"]], Y=table["y"], inputs=laws, rng=0)
    assert np.array_equal(plain.total_order, turned.total_order)
    named = uq.sobol_indices(X=table[list("abc")], Y=Y, groups={"g": ["a", "c"]}, rng=0)
    assert named.names == ("g", "b")
    other = uq.sobol_indices(X=pandas.DataFrame(X), Y=Y, inputs=laws, rng=0)
    assert np.array_equal(plain.total_order, other.total_order)


def test_masked_numbers_are_failed_runs_and_truth_values_are_numbers() -> None:
    case = ishigami()
    X, Y = _runs(case, 200)
    masked = np.ma.array(Y, mask=np.arange(200) == 3)
    with pytest.warns(UserWarning, match="1 of 200 runs"):
        assert given_data_indices(X, masked, case.inputs, rng=0).n_effective == 199
    one = given_data_indices(X, Y > 5, case.inputs, rng=0)
    other = given_data_indices(X, 1.0 * (Y > 5), case.inputs, rng=0)
    assert np.array_equal(one.total_order, other.total_order)


def test_repeated_points_are_flagged() -> None:
    case = ishigami()
    X, Y = _runs(case, 200)
    rows = np.random.default_rng(0).integers(0, 200, 400)
    (flag,) = [f for f in given_data_indices(X[rows], Y[rows], rng=0).flags if "bootstrap" in f]
    assert flag.startswith(f"{400 - len(np.unique(rows))} of 400 runs")
    assert not [f for f in given_data_indices(X, Y, rng=0).flags if "bootstrap" in f]
