"""Ask and tell: the same as the call, bit for bit, and what is told wrongly is refused."""

import numpy as np
import pytest
from scipy import stats
from scipy.stats import norm

import uq
from benchmarks.reliability_cases import rp75

PLANE = uq.Inputs({"a": stats.norm(1.0, 2.0), "b": stats.gumbel_r(0.0, 1.0)})


def limit_state(x):
    return 9.0 - x[:, 0] - x[:, 1]


def two(x):
    return np.stack([limit_state(x), 6.0 - x[:, 1]], axis=1)


def run(study, function=limit_state, most=100):
    for _ in range(most):
        if study.is_finished:
            return study
        study.tell(function(study.ask()))
    raise AssertionError("the study does not end")


def new(budget=200, rng=0, surrogate=None, **settings):
    return uq.ReliabilityStudy(PLANE, budget=budget, rng=rng, surrogate=surrogate, **settings)


@pytest.mark.usefixtures("few_cheap_points")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"thresholds": [-1.0, 0.0]},
        {"threshold": 1.0, "target_cv": 0.3},
        {"surrogate": "polynomial"},
        {"surrogate": limit_state},
    ],
    ids=["plain", "thresholds", "target", "polynomial", "given"],
)
def test_it_equals_the_call_bit_for_bit(settings):
    study = run(new(**settings))
    told = study.result()
    settings = {"surrogate": None} | settings
    called = uq.failure_probability(limit_state, PLANE, budget=200, rng=0, **settings)
    np.testing.assert_array_equal(told.estimate, called.estimate)
    np.testing.assert_array_equal(told.standard_error, called.standard_error)
    np.testing.assert_array_equal(told.sample.x, called.sample.x)
    np.testing.assert_array_equal(told.sample.values, called.sample.values)
    np.testing.assert_array_equal(told.confidence_interval(), called.confidence_interval())
    assert told.message == called.message


def test_several_limit_states_equal_the_call():
    told = run(new(), two).result()
    called = uq.failure_probability(two, PLANE, budget=200, rng=0, surrogate=None)
    assert told.estimate.shape == (2,)
    np.testing.assert_array_equal(told.estimate, called.estimate)


def test_extending_equals_extending_the_call():
    study = run(new())
    study.extend(200)
    assert not study.is_finished
    told = run(study).result()
    called = uq.failure_probability(limit_state, PLANE, budget=200, rng=0, surrogate=None)
    called = called.extend(200)
    assert told.estimate == called.estimate and told.n_evaluations == called.n_evaluations


def test_a_lost_study_is_told_again():
    first, values = new(), []
    while not first.is_finished:
        values.append(limit_state(first.ask()))
        first.tell(values[-1])
    again = new()
    for told in values:
        again.tell(told)
    assert again.is_finished and again.result().estimate == first.result().estimate


def test_asking_twice_gives_the_same_points():
    study = new()
    x = study.ask()
    assert x.shape[1] == 2 and len(x) > 10
    np.testing.assert_array_equal(study.ask(), x)
    x[:] = np.nan  # what was handed out is not the study's own
    assert np.isfinite(study.ask()).all()


@pytest.mark.parametrize(
    "values, says",
    [
        (lambda n: np.ones(n - 1), r"\({n}, J\).*{n} points.*\({m},\)"),
        (lambda n: np.ones((n, 2, 1)), r"\({n}, J\).*\({n}, 2, 1\)"),
        (lambda n: np.ones((n, 0)), r"\({n}, J\).*\({n}, 0\)"),
        (lambda n: 1.0, r"\({n}, J\).*\(\)"),
    ],
)
def test_values_of_other_shapes(values, says):
    study = new()
    n = len(study.ask())
    with pytest.raises(ValueError, match=says.format(n=n, m=n - 1)):
        study.tell(values(n))
    run(study)  # it goes on as if nothing had been told


@pytest.mark.parametrize("values", [["safe"] * 2, None, [1j, 2.0]])
def test_values_that_are_no_numbers(values):
    with pytest.raises((TypeError, ValueError), match="values"):
        new().tell(values)


def test_the_number_of_limit_states_may_not_change():
    study = new()
    study.tell(limit_state(study.ask()))
    n = len(study.ask())
    with pytest.raises(ValueError, match=rf"\({n},\).*\({n}, 2\)"):
        study.tell(two(study.ask()))
    study = new()
    study.tell(two(study.ask()))
    n = len(study.ask())
    with pytest.raises(ValueError, match=rf"\({n}, 2\).*\({n},\)"):
        study.tell(limit_state(study.ask()))


def test_after_the_end():
    study = run(new())
    with pytest.raises(ValueError, match="nothing to tell"):
        study.tell([1.0])
    with pytest.raises(ValueError, match="budget is spent.*extend"):
        study.ask()


def test_before_the_first_round_there_is_no_result():
    study = new()
    with pytest.raises(ValueError, match="No round"):
        study.result()
    study.tell(limit_state(study.ask()))
    with pytest.raises(ValueError, match="No round"):
        study.result()


def test_extending_in_the_middle_is_refused():
    study = new()
    with pytest.raises(ValueError, match="Tell the points"):
        study.extend(200)
    run(study)
    with pytest.raises(ValueError, match=r"`budget`.*160.*100"):
        study.extend(100)
    assert study.is_finished


def test_results_along_the_way():
    """A cv that is never met: each round adds to the result."""
    study, sizes = new(budget=1500, target_cv=1e-9), []
    while not study.is_finished:
        study.tell(limit_state(study.ask()))
        try:
            sizes.append(study.result().n_evaluations)
        except ValueError:
            assert not sizes
    assert len(set(sizes)) > 2 and sizes == sorted(sizes)


def test_a_result_of_a_study_is_extended_by_the_study():
    with pytest.raises(ValueError, match=r"study.extend\(budget\)"):
        run(new()).result().extend(200)


def test_failed_runs_may_be_told():
    def holed(x):
        g = limit_state(x)
        g[::40] = np.nan
        return g

    found = run(new(budget=500), holed).result()
    assert found.n_failed == sum(-(-stage.n // 40) for stage in found.history)
    low, high = found.confidence_interval()
    assert low < found.estimate < high
    # One of several limit states that failed is a failed run.
    two_holed = run(new(), lambda x: np.where([[True, False]], two(x), holed(x)[:, None])).result()
    rows = np.isnan(two_holed.sample.values)
    assert rows.any() and (rows.all(axis=1) == rows.any(axis=1)).all()


def test_bad_arguments_are_those_of_the_call():
    with pytest.raises(ValueError, match=r"`budget`.*160.*10"):
        new(budget=10)
    with pytest.raises(TypeError, match="uq.Inputs"):
        uq.ReliabilityStudy([stats.norm()], budget=200)


def test_probability_by_asking_and_telling():
    inputs = uq.Inputs([stats.norm()] * 2)
    study = uq.ReliabilityStudy(inputs, budget=800, rng=3, surrogate=None)
    found = run(study, rp75).result()
    assert abs(found.estimate - 9.819298721546890556e-3) < 4.0 * found.standard_error
    assert norm.sf(found.reliability_index) == pytest.approx(found.estimate)
