"""What a study says of its model: noise, length-scales, calibration, and a verdict in words."""

import numpy as np
import pytest
from problems import MIXED, SQUARE, bowl, mixed_bowl

import bayesopt as bo
from bayesopt.policy import Search

RNG = np.random.default_rng
POLICY = bo.Policy(search=Search(truncate=None))


def study_of(fun, n, noise="auto", sd=0.0, seed=0, **options):
    X = RNG(seed).random((n, 2))
    study = bo.Study(SQUARE, noise=noise, seed=0, **options)
    study.add(X, [fun(x) + sd * e for x, e in zip(X, RNG(1).normal(size=n), strict=True)])
    return study


def wave(x):
    return np.sin(5 * x[0]) + 0.1 * x[1]


def test_the_noise_is_found_again():
    explanation = study_of(wave, 80, sd=0.2).explain()
    assert explanation.noise == "inferred"
    assert explanation.noise_sd == pytest.approx(0.2, rel=4 / (2 * 80) ** 0.5)
    assert study_of(wave, 20, noise=0.3, sd=0.3).explain().noise_sd == pytest.approx(0.3)
    exact = study_of(wave, 20, noise=False).explain()
    assert (exact.noise, exact.noise_sd) == ("none", 0.0)


def test_one_value_known_hardly_at_all_is_not_the_noise():
    study = bo.Study([(0.0, 1.0)], seed=0)
    study.add([[x] for x in (0.1, 0.3, 0.5, 0.7, 0.9)], [1, 0.5, 0, 0.5, 1], sd=[0.1] * 4 + [10.0])
    assert study.explain().noise_sd == pytest.approx(0.1)


def test_the_parameter_that_matters_has_the_short_length_scale():
    scales = study_of(wave, 40, sd=0.05).explain().lengthscales
    assert list(scales) == ["x0", "x1"]
    assert scales["x0"] < 0.5 < 2 * scales["x0"] < scales["x1"]


def test_a_calibrated_model_covers_what_it_leaves_out():
    """Of a hundred intervals of 95 %, within 4 standard errors."""
    calibration = study_of(wave, 100, sd=0.2, policy=POLICY).explain().calibration
    assert abs(calibration.coverage - 0.95) < 4 * (0.95 * 0.05 / 100) ** 0.5
    assert abs(calibration.residual_mean) < 0.4
    assert calibration.residual_sd == pytest.approx(1.0, abs=4 / 200**0.5)
    assert 0.7 < calibration.explained < 1.0


@pytest.mark.parametrize(
    ("study", "verdict"),
    [
        (lambda: study_of(wave, 5), "Too few"),
        (lambda: study_of(wave, 40, sd=0.2), "foresees its observations well"),
        (lambda: study_of(wave, 40), "too cautious"),
        (lambda: study_of(lambda x: 0.0, 100, sd=1.0), "next to nothing"),
    ],
    ids=["few", "good", "smooth", "noise"],
)
def test_verdicts(study, verdict):
    assert verdict in study().explain().verdict


def test_the_text_names_everything():
    result = bo.minimize(mixed_bowl, MIXED, 14, seed=0)
    text = str(result.explain())
    for part in ("Matern-5/2", "improvement", "14 complete, 0 failed", "inferred", *MIXED):
        assert part in text
    assert f"{result.explain().lengthscales['kind']:.2g}" in text
    assert "explain" not in result  # a method, no entry that would be printed


def test_poor_values_that_count_only_as_poor_are_counted():
    study = study_of(lambda x: bowl(x) if x[0] < 0.8 else 1e6, 30, noise=False)
    explanation = study.explain()
    assert explanation.n_truncated == int((RNG(0).random((30, 2))[:, 0] >= 0.8).sum())
    assert "counted only as poor" in str(explanation)


def test_failures_are_counted_and_nothing_told_is_refused():
    study = study_of(wave, 9)
    study.fail(study.ask(), "broke")
    assert study.explain().n_failed == 1
    with pytest.raises(ValueError, match="Nothing has been observed"):
        bo.Study(SQUARE).explain()


@pytest.mark.parametrize("hyperparameters", ["mle", "slice"])
@pytest.mark.parametrize("n", [1, 2, 15])
def test_every_way_of_fitting_and_few_points(hyperparameters, n):
    policy = bo.Policy(hyperparameters=hyperparameters)
    explanation = study_of(wave, n, policy=policy).explain()
    assert np.isfinite(list(vars(explanation.calibration).values())).all()
    assert explanation.n_complete == n


def test_noise_of_values_that_span_decades_is_in_their_units():
    """One of ten percent: the median of what it is over the evaluations."""
    space = bo.Space(x=bo.Float(0, 1), w=bo.Float(0, 1, role="environment"))
    study = bo.Study(space, environment={"w": {0.1: 1, 0.5: 1, 0.9: 1}}, seed=0)
    x, w = RNG(0).random(60), np.tile([0.1, 0.5, 0.9], 20)
    truth = 10 ** (3 * w + 2 * (x - 0.3) ** 2)
    values = truth * (1 + 0.1 * RNG(1).normal(size=60))
    study.add([{"x": a, "w": b} for a, b in zip(x, w, strict=True)], values)
    sd = study.explain().noise_sd
    assert sd == pytest.approx(np.median(0.1 * truth), rel=0.3)
