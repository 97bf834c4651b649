"""Cross-fitted control variates: closed forms, independence of the folds, the choice."""

import numpy as np
import pytest

from uq import control_variates as cv

FOLDS = np.repeat(np.arange(8), 50)


def _draws(seed: int = 0, J: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z under g = N(0, 2), likelihood ratios to N(0, 1), values."""
    rng = np.random.default_rng(seed)
    z = np.sqrt(2.0) * rng.standard_normal(400)
    W = np.sqrt(2.0) * np.exp(-0.25 * z**2)
    Y = np.stack([np.cos((j + 1) * z) for j in range(J)], axis=1)
    return z, W[:, None], Y


def test_fold_means_by_hand_and_with_unequal_folds() -> None:
    values = np.arange(12.0).reshape(6, 2)
    folds = np.array([0, 0, 0, 1, 2, 2])
    expected = np.stack([values[:3].mean(axis=0), values[3], values[4:].mean(axis=0)])
    assert np.allclose(cv.fold_means(values, folds), expected)


def test_constant_is_exact_for_a_constant() -> None:
    _, W, _ = _draws()
    T = W * np.array([2.0, -3.0])
    contributions = cv.constant(T, W, FOLDS).contributions
    assert np.allclose(contributions, [2.0, -3.0], rtol=1e-13)


def test_constant_of_a_fold_is_fitted_without_it() -> None:
    _, W, Y = _draws()
    changed = Y.copy()
    changed[FOLDS == 2] += 5.0
    for r in range(8):
        before = cv.constant(W * Y, W, FOLDS).contributions[FOLDS == r]
        after = cv.constant(W * changed, W, FOLDS).contributions[FOLDS == r]
        if r == 2:  # the same constant, other values
            assert np.allclose(after - before, 5.0 * W[FOLDS == r])
        else:
            assert not np.allclose(after, before)


def test_density_ratios_are_exact_for_their_combinations() -> None:
    z, W, _ = _draws()
    own = np.exp(-0.125 * (z - 1.0) ** 2 + 0.25 * z**2) * np.sqrt(0.5)  # N(1, 4) / N(0, 2)
    controls = np.stack([np.broadcast_to(W, (400, 2)), np.stack([own, own], axis=1)], axis=2)
    T = np.stack([3.0 * W[:, 0] - own, 0.5 * own], axis=1)
    contributions = cv.density_ratios(T, controls, FOLDS).contributions
    assert np.allclose(contributions, [2.0, 0.5], rtol=1e-10)


def test_density_ratios_equal_least_squares_without_the_fold() -> None:
    _, W, Y = _draws()
    controls = np.stack([np.broadcast_to(W, Y.shape), np.square(np.broadcast_to(W, Y.shape))], 2)
    T = W * Y
    V = cv.density_ratios(T, controls, FOLDS).contributions
    for r in (0, 5):
        out = FOLDS == r
        for j in range(3):
            beta = np.linalg.lstsq(controls[~out, j], T[~out, j], rcond=None)[0]
            assert np.allclose(V[out, j], T[out, j] - (controls[out, j] - 1.0) @ beta)


def test_collinear_ratios_do_no_harm() -> None:
    _, W, Y = _draws()
    one = np.broadcast_to(W, Y.shape)
    once = cv.density_ratios(W * Y, np.stack([one], axis=2), FOLDS).contributions
    twice = cv.density_ratios(W * Y, np.stack([one, one], axis=2), FOLDS).contributions
    assert np.allclose(once, twice)


def test_slope_of_a_cheap_model() -> None:
    _, W, Y = _draws()
    H = W * (Y - 4.0)
    b = cv.slopes(W * (2.0 * Y + 1.0), H, np.broadcast_to(W, Y.shape), FOLDS)
    assert np.allclose(b, 2.0)
    assert (cv.slopes(W * Y, 0.0 * H, np.broadcast_to(W, Y.shape), FOLDS) == 0.0).all()


# 4000 seeds show what a fit on its own points does: 5 to 10 standard errors.
@pytest.mark.parametrize("n_seeds", [4000, pytest.param(20_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["none", "constant", "density ratios", "surrogate"])
def test_unbiased_with_few_points(name: str, n_seeds: int) -> None:
    """E[cos Z] = exp(-1/2) from 16 points in 8 folds, at 4 standard errors."""
    rng = np.random.default_rng(5)
    folds = np.repeat(np.arange(8), 2)
    means = []
    for _ in range(n_seeds):
        z = np.sqrt(2.0) * rng.standard_normal(16)
        W = (np.sqrt(2.0) * np.exp(-0.25 * z**2))[:, None]
        Y = np.cos(z)[:, None]
        if name == "none":
            one = cv.without(W * Y)
        elif name == "constant":
            one = cv.constant(W * Y, W, folds)
        elif name == "density ratios":
            one = cv.density_ratios(W * Y, np.stack([W, W * W / (2 / np.sqrt(3))], 2), folds)
        else:  # h = a - b z^2 with a, b from the other folds, E[h] = a - b
            h, known = np.empty((16, 1)), np.empty((8, 1))
            for r in range(8):
                out = folds == r
                slope, level = np.polyfit(z[~out] ** 2, Y[~out, 0], 1)
                h[out, 0], known[r] = level + slope * z[out] ** 2, level + slope
            one = cv.surrogate("quadratic", Y, W, h, known, 0 * known, np.zeros(1), folds)
        means.append(one.contributions.mean())
    error = np.mean(means) - np.exp(-0.5)
    assert abs(error) < 4 * np.std(means) / np.sqrt(len(means))


def _made(name: str, contributions: np.ndarray, known: object = 0.0) -> cv.Candidate:
    J = contributions.shape[1]
    scale = np.abs(contributions).mean(axis=0)
    return cv.Candidate(name, contributions, np.broadcast_to(known, (J,)), scale, name)


def _candidate(name: str, spread: float, seed: int, J: int = 2) -> cv.Candidate:
    noise = np.random.default_rng(seed).standard_normal((400, J))
    return _made(name, 1.0 + spread * noise)


def test_variance_of_folds_and_of_points() -> None:
    one = _candidate("one", 2.0, 0)
    exact = 4.0 / 400
    assert np.allclose(cv.variances(one, FOLDS, True), exact, rtol=4 * np.sqrt(2 / 392))
    assert np.allclose(cv.variances(one, FOLDS, False), exact, rtol=4 * np.sqrt(2 / 7))
    means = one.contributions.reshape(8, 50, 2).mean(axis=1)
    assert np.allclose(cv.covariance(one, FOLDS, False), np.cov(means.T) / 8)


def test_error_of_what_was_taken_as_known_is_counted() -> None:
    one = _made("one", np.ones((400, 2)), [0.25, 0.0])
    assert np.allclose(cv.variances(one, FOLDS, True), [0.25, 0.0], atol=1e-30)


def test_rounding_is_counted_where_nothing_else_is_left() -> None:
    one = _made("one", np.full((400, 1), 1e6))
    error = float(np.sqrt(cv.variances(one, FOLDS, False)[0]))
    assert 1e-16 < error / 1e6 < 1e-15


def test_clear_winner_is_kept_and_draws_go_to_the_simplest() -> None:
    plain, same, better = (_candidate(*a) for a in [("p", 1, 1), ("s", 0.95, 2), ("b", 0.1, 3)])
    chosen, index = cv.choose([plain, same], np.ones(2), FOLDS, True)
    assert chosen is plain and (index == 0).all()
    chosen, index = cv.choose([plain, same, better], np.ones(2), FOLDS, True)
    assert chosen is better and (index == 2).all()


def test_a_quantity_that_would_lose_takes_its_own_best() -> None:
    plain = _candidate("plain", 1.0, 1)
    mixed = _made("mixed", 1.0 + (plain.contributions - 1.0) * np.array([1e-3, 10.0]))
    chosen, index = cv.choose([plain, mixed], np.ones(2), FOLDS, True)
    assert list(index) == [1, 0]
    assert np.array_equal(chosen.contributions[:, 0], mixed.contributions[:, 0])
    assert np.array_equal(chosen.contributions[:, 1], plain.contributions[:, 1])


def test_exact_estimates_can_be_compared() -> None:
    exact = _made("exact", np.full((400, 2), 3.0))
    chosen, _ = cv.choose([_candidate("plain", 1.0, 1), exact], np.ones(2), FOLDS, False)
    assert chosen is exact


def test_quantities_of_weight_zero_have_no_vote() -> None:
    plain = _candidate("plain", 1.0, 1)
    mixed = _made("mixed", 1.0 + (plain.contributions - 1.0) * np.array([1e-9, 3.0]))
    _, index = cv.choose([plain, mixed], np.array([0.0, 1.0]), FOLDS, True)
    assert index[1] == 0


def test_families_compete_by_their_best_member() -> None:
    """Each size gains too little on the one before to be clear, all together do."""
    plain = _candidate("plain", 1.0, 1)
    ladder = [
        cv.Candidate(
            f"{k}", 1.0 + 0.6**k * (plain.contributions - 1.0), np.zeros(2), np.ones(2), "p"
        )
        for k in range(1, 12)
    ]
    chosen, index = cv.choose([plain, *ladder], np.ones(2), FOLDS, False)
    assert (index > 8).all() and chosen.name in ("10", "11")


def test_what_all_fits_share_is_counted() -> None:
    """h_r off by a random number of its own where no fold has points: no residual shows it."""
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((400, 1))
    known = 0.3 * rng.standard_normal((8, 1))
    one = cv.surrogate("p", Y, np.ones((400, 1)), Y - 1e-6, known, known, np.zeros(1), FOLDS)
    jackknife = 7 / 8 * np.square(known - known.mean()).sum()
    assert cv.variances(one, FOLDS, False)[0] == pytest.approx(jackknife, rel=0.2)


def test_conditional_on_runs_that_do_not_fail() -> None:
    """E[Z^2 | Z > 0] = 1 by draws of N(0, 2), half of them failed."""
    z, W, _ = _draws(3, J=1)
    many = np.sqrt(2.0) * np.random.default_rng(1).standard_normal(40_000)
    W = (np.sqrt(2.0) * np.exp(-0.25 * many**2) * (many > 0.0))[:, None]
    one = cv.conditional(W * many[:, None] ** 2, W)
    mean, error = one.contributions.mean(), one.contributions.std() / 200.0
    assert abs(mean - 1.0) < 4 * error < 0.1
