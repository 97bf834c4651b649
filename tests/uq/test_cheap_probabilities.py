"""Expectations of cheap limit states: half-spaces, soft ones, and the error that nets show."""

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

from uq.proposals import Gaussian, Mixture
from uq.reliability import cheap_probabilities as room
from uq.reliability.cheap_probabilities import N_NETS, cheap_probabilities, soft_indicator
from uq.reliability.failure_density import Defence

DEAR = 10**6
"""A cost that brings the smallest nets."""


def around(beta, d):
    """The density of a half-space of the first coordinate."""
    mean = np.r_[beta, np.zeros(d - 1)]
    C = np.diag(np.r_[0.1, np.ones(d - 1)])
    return Defence.of(d).around([Mixture(np.ones(1), (Gaussian(mean, C),))])


def half_spaces(*betas):
    """Margins (m, R, 1) of fits that differ in beta."""
    return lambda z: (np.array(betas) - z[:, :1])[:, :, None]


def rare(margins, q, cost, softness, rng):
    """Expectations of events that are less likely than not."""
    n_events = margins(np.zeros((1, q.dimension))).shape[2]
    frequent = np.zeros(n_events, dtype=bool)
    return cheap_probabilities(margins, q, cost, softness, frequent, rng)


def mean_and_error(of_nets):
    """Mean over the nets, and its standard error."""
    return of_nets.mean(axis=0), of_nets.std(axis=0, ddof=1) / np.sqrt(len(of_nets))


@pytest.mark.parametrize("d, beta", [(1, 1.0), (2, 4.0), (2, 7.0), (100, 4.0)])
def test_a_half_space_has_its_probability(d, beta):
    q = around(beta, d)
    known = rare(half_spaces(beta), q, DEAR, np.zeros((1, 1)), np.random.default_rng(0))
    assert known.hard.shape == (N_NETS, 1, 1)
    mean, error = mean_and_error(known.hard[:, 0, 0])
    assert abs(mean - norm.sf(beta)) < 4.0 * error
    assert error < 0.03 * mean


def test_the_spread_of_the_nets_is_the_error():
    """Over 60 repetitions: (mean - p) / error has the spread of Student's t with 7."""
    q, rng = around(3.0, 2), np.random.default_rng(1)
    t = []
    for _ in range(60):
        known = rare(half_spaces(3.0), q, DEAR, np.zeros((1, 0)), rng)
        mean, error = mean_and_error(known.hard[:, 0, 0])
        t.append((mean - norm.sf(3.0)) / error)
    t = np.array(t)
    assert abs(t.mean()) < 4.0 * np.sqrt(1.4 / 60)
    # The mean of t^2 is 7/5, its variance (Student, 7) 5.9.
    assert np.square(t).mean() == pytest.approx(1.4, abs=4.0 * np.sqrt(5.9 / 60))


def test_a_soft_half_space_has_its_probability():
    """E[Phi((x - beta) / s)] = Phi(-beta / sqrt(1 + s^2))."""
    beta, s = 3.0, 0.5
    known = rare(
        half_spaces(beta), around(beta, 2), DEAR, np.full((1, 1), s), np.random.default_rng(2)
    )
    mean, error = mean_and_error(known.soft[:, 0, 0])
    expected = norm.sf(beta / np.sqrt(1.0 + s**2))
    assert abs(mean - expected) < 4.0 * error and error < 0.03 * expected
    assert abs(known.hard.mean() - expected) > 20.0 * error  # another number


def test_without_softness_soft_is_hard():
    known = rare(
        half_spaces(2.0, 2.5), around(2.0, 2), DEAR, np.zeros((2, 1)), np.random.default_rng(3)
    )
    np.testing.assert_array_equal(known.soft, known.hard)


def test_fits_and_events_are_kept_apart():
    """Two fits, three events, of which the first two have a softness: each its closed form."""
    beta = np.array([[2.0, 2.5, 3.0], [2.2, 2.7, 3.2]])
    s = np.array([[0.1, 0.4], [0.2, 0.0]])

    def margins(z):
        return beta - z[:, :1, None]

    known = rare(margins, around(2.5, 2), DEAR, s, np.random.default_rng(4))
    assert known.hard.shape == (N_NETS, 2, 3) and known.soft.shape == (N_NETS, 2, 2)
    for found, expected in (
        (known.hard, norm.sf(beta)),
        (known.soft, norm.sf(beta[:, :2] / np.sqrt(1.0 + s**2))),
    ):
        mean, error = mean_and_error(found)
        assert np.all(np.abs(mean - expected) < 4.5 * error)
        assert np.all(error < 0.03 * expected)


def test_one_softness_for_all_fits():
    args = half_spaces(2.0, 2.5), around(2.0, 2), DEAR
    one = rare(*args, np.full((1, 1), 0.3), np.random.default_rng(5))
    two = rare(*args, np.full((2, 1), 0.3), np.random.default_rng(5))
    np.testing.assert_array_equal(one.soft, two.soft)


def test_what_never_and_always_fails():
    q = around(2.0, 2)
    never, always = (
        rare(
            lambda z, sign=sign: np.full((len(z), 1, 1), sign),
            q,
            DEAR,
            np.zeros((1, 1)),
            np.random.default_rng(6),
        )
        for sign in (1.0, -1.0)
    )
    assert (never.hard == 0.0).all() and (never.soft == 0.0).all()
    mean, error = mean_and_error(always.hard[:, 0, 0])
    assert abs(mean - 1.0) < 4.0 * error and error < 0.01


def test_the_opposite_of_a_frequent_event_is_counted():
    """Phi(4), whose opposite is sampled well: the error is a small part of 1 - p, hard and soft.

    Counted as it is, the error is that of the mean of all weights, more than ten times as large."""
    frequent, s = np.array([True, False]), np.full((1, 2), 0.3)
    beta = np.array([-4.0, 4.0])

    def margins(z):
        return (beta - z[:, :1])[:, None, :]

    q = Defence.of(2).around(
        [Mixture(np.ones(1), (Gaussian(np.array([m, 0.0]), np.diag([0.1, 1.0])),)) for m in (-4, 4)]
    )
    known = cheap_probabilities(margins, q, DEAR, s, frequent, np.random.default_rng(7))
    plain = rare(margins, q, DEAR, s, np.random.default_rng(7))
    for found, sd in ((known.hard, 1.0), (known.soft, np.sqrt(1.0 + 0.3**2))):
        mean, error = mean_and_error(found[:, 0])
        opposite = norm.sf(4.0 / sd)
        np.testing.assert_array_less(np.abs(mean - [1.0 - opposite, opposite]), 4.0 * error + 1e-15)
        assert (error < 0.03 * opposite).all()
    np.testing.assert_array_equal(known.hard[..., 1], plain.hard[..., 1])
    assert mean_and_error(plain.hard[:, 0, 0])[1] > 10.0 * norm.sf(4.0)


def test_an_event_that_always_happens_is_certain_where_it_is_known_to_be_frequent():
    known = cheap_probabilities(
        lambda z: np.full((len(z), 1, 1), -1.0), around(2.0, 2), DEAR, np.zeros((1, 1)),
        np.array([True]), np.random.default_rng(8),
    )  # fmt: skip
    assert (known.hard == 1.0).all() and (known.soft == 1.0).all()


@pytest.mark.parametrize(
    "cost, d, log2", [(10**9, 2, 11), (1, 2, 17), (1, 256, 14), (3000, 2, 12), (1, 2**13, 9)]
)
def test_cheap_points_are_many_and_dear_ones_few(monkeypatch, cost, d, log2):
    """By hand: numbers / cost / nets within 2^11 and 2^17, and never above 2^22 coordinates."""
    asked = []

    class Seen(Exception):
        pass

    class Watched(room.Folds):
        def uniforms(self, dimension, rng):
            asked.append(self.n_points)
            raise Seen

    monkeypatch.setattr(room, "Folds", Watched)
    q = Gaussian(np.zeros(2), np.eye(2))

    class Wide:
        dimension, n_uniforms, transform, log_density = d, d, q.transform, q.log_density

    with pytest.raises(Seen):
        rare(half_spaces(1.0), Wide(), cost, np.zeros((1, 1)), np.random.default_rng(0))
    assert asked == [2**log2]


def test_soft_indicators_by_hand():
    h = np.array([[[-1.0, 0.5, 0.0]], [[2.0, -3.0, 0.0]]])
    s = np.array([[0.5, 0.0, 1.0]])
    expected = [[[ndtr(2.0), 0.0, 0.5]], [[ndtr(-4.0), 1.0, 0.5]]]
    np.testing.assert_allclose(soft_indicator(h, s), expected, rtol=1e-15)


def test_a_tiny_softness_is_a_jump():
    h = np.array([[-1.0, 1.0, -1e-3, 1e-3]])
    np.testing.assert_array_equal(soft_indicator(h, np.full((1, 4), 1e-200)), [[1, 0, 1, 0]])
