"""Joint laws of a user's own, and everything that `law_of` takes."""

import math
import pickle

import numpy as np
import pytest
from scipy import stats

from uq.inputs import Inputs
from uq.joint_laws import JointLaw, Law, law_of


def disc_sample(n, rng):
    radius, angle = np.sqrt(rng.random(n)), 2 * math.pi * rng.random(n)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def disc_log_density(x):
    with np.errstate(divide="ignore"):
        return np.log((np.sum(x**2, axis=1) <= 1.0) / math.pi)


class Disc:
    names = ("u", "v")

    def sample(self, n, rng):
        return disc_sample(n, rng)

    def log_density(self, x):
        return disc_log_density(x)


class OnlyDraws:
    def sample(self, n, rng):
        return rng.random((n, 2))


def test_a_law_of_two_functions():
    law = JointLaw(disc_sample, disc_log_density, 2)
    assert law.names == ("x1", "x2") and law.dimension == 2
    x = law.sample(1000, rng=1)
    np.testing.assert_array_equal(x, disc_sample(1000, np.random.default_rng(1)))
    np.testing.assert_allclose(law.log_density(x), -math.log(math.pi))
    assert law.log_density([[2.0, 0.0]]) == -np.inf
    again = pickle.loads(pickle.dumps(law))
    np.testing.assert_array_equal(again.sample(5, rng=3), law.sample(5, rng=3))


def test_both_kinds_are_laws():
    for law in (JointLaw(disc_sample, disc_log_density, 2), Inputs([stats.norm()])):
        assert isinstance(law, Law)
        assert law_of(law) is law


def test_an_object_with_the_methods_is_taken():
    law = law_of(Disc())
    assert isinstance(law, JointLaw) and law.names == ("u", "v") and law.dimension == 2
    assert law.log_density(np.zeros((3, 2))) == pytest.approx(-math.log(math.pi))


def test_a_multivariate_normal_law_becomes_inputs():
    exact = stats.multivariate_normal([1.0, 2.0], [[2.0, 0.5], [0.5, 1.0]])
    law = law_of(exact)
    assert isinstance(law, Inputs)
    x = exact.rvs(50, random_state=0)
    np.testing.assert_allclose(law.log_density(x), exact.logpdf(x), rtol=1e-12)
    assert law_of(stats.multivariate_normal(3.0, 4.0)).marginals[0].gaussian == (3.0, 2.0)


def test_another_multivariate_law_of_scipy():
    exact = stats.multivariate_t([1.0, 2.0, 0.0], np.eye(3), df=4)
    law = law_of(exact)
    assert isinstance(law, JointLaw) and law.dimension == 3
    for n in (1, 2, 7):
        x = law.sample(n, rng=0)
        assert x.shape == (n, 3)
        np.testing.assert_allclose(law.log_density(x), np.atleast_1d(exact.logpdf(x)))
    pickle.loads(pickle.dumps(law))


def test_single_laws_lists_and_mappings():
    assert law_of(stats.gamma(2.0)).dimension == 1
    assert law_of(stats.Normal()).names == ("x1",)
    assert law_of([stats.gamma(2.0), stats.norm()]).names == ("x1", "x2")
    assert law_of({"a": stats.gamma(2.0)}).names == ("a",)


def test_a_law_without_a_density_is_refused_by_name():
    with pytest.raises(TypeError, match="OnlyDraws.*has no density.*`log_density"):
        law_of(OnlyDraws())
    with pytest.raises(TypeError, match="must be a frozen law"):
        law_of(3.0)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (lambda n, rng: rng.random((2, n)), r"shape \(2, 5\).*= \(5, 2\); return its transpose"),
        (lambda n, rng: rng.random(n), r"shape \(5,\)"),
        (lambda n, rng: np.full((n, 2), np.nan), "NaN or infinite"),
    ],
)
def test_bad_draws(sample, message):
    with pytest.raises(ValueError, match=message):
        JointLaw(sample, disc_log_density, 2).sample(5, rng=0)


@pytest.mark.parametrize(
    ("log_density", "message"),
    [
        (lambda x: x, r"shape \(5, 2\), not one number for each point, \(5,\)"),
        (lambda x: 0.0, r"shape \(\)"),
        (lambda x: np.full(len(x), np.nan), "NaN or inf"),
        (lambda x: np.full(len(x), np.inf), "NaN or inf"),
    ],
)
def test_bad_densities(log_density, message):
    with pytest.raises(ValueError, match=message):
        JointLaw(disc_sample, log_density, 2).log_density(np.zeros((5, 2)))


def test_bad_arguments():
    with pytest.raises(TypeError, match="`sample` of a joint law must be a function"):
        JointLaw(3, disc_log_density, 2)
    with pytest.raises(ValueError, match="`dimension` must be at least 1"):
        JointLaw(disc_sample, disc_log_density, 0)
    for names in (["a"], ["a", "a"]):
        with pytest.raises(ValueError, match="must be 2 different names"):
            JointLaw(disc_sample, disc_log_density, 2, names)
    with pytest.raises(ValueError, match="give x.T"):
        JointLaw(disc_sample, disc_log_density, 2).log_density(np.zeros((2, 5)))
    with pytest.raises(TypeError, match="real numbers"):
        JointLaw(disc_sample, lambda x: ["a"] * len(x), 2).log_density(np.zeros((5, 2)))
