"""What users write as constraints: read, refused with a reason, and respected by given points."""

import numpy as np
import pytest
from regions import INF, reals
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint
from scipy.sparse import csr_array

import bayesopt as bo
from bayesopt.constraints import checked_constraints
from bayesopt.region import Region

SQUARE = bo.Space(x=bo.Float(-1, 1), y=bo.Float(-1, 1))
MIXED = bo.Space(n=bo.Int(0, 9), rate=bo.Float(1e-3, 1, log=True), kind=bo.Categorical(["a", "b"]))


def disc(x, y):
    return x * x + y * y


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("A", [[[1, 2]], [1, 2], np.array([[1.0, 2.0]]), csr_array([[1, 2]])])
def test_a_linear_constraint_dense_or_sparse(A):
    (read,) = checked_constraints(SQUARE, LinearConstraint(A, -1, 0.5))
    np.testing.assert_array_equal(read.A, [[1.0, 2.0]])
    assert read.violations(np.array([1.0, 1.0]), {}).max() == 2.5
    assert read.violations(np.array([-1.0, -1.0]), {}).max() == 2.0
    assert read.violations(np.array([0.0, 0.25]), {}).max() == 0.0


def test_one_constraint_or_several_with_one_bound_for_all_rows():
    linear = LinearConstraint([[1, 0], [0, 1]], 0, 1)
    assert len(checked_constraints(SQUARE, linear)) == 1
    read = checked_constraints(SQUARE, (linear, NonlinearConstraint(disc, 0.1, 1)))
    assert [len(one.lower) for one in read] == [2, 1]
    assert checked_constraints(SQUARE, []) == ()


def test_the_function_is_called_as_the_objective_is():
    seen = []
    checked_constraints(
        bo.Space.of([(0, 1), (0, 1)]), NonlinearConstraint(lambda x: x @ [1, 2], 0, 1)
    )
    checked_constraints(MIXED, NonlinearConstraint(lambda n, rate, kind: n + rate, 0, 1))
    checked_constraints(
        MIXED, NonlinearConstraint(lambda **params: seen.append(params) or 0.5, 0, 1)
    )
    assert set(seen[0]) == {"n", "rate", "kind"}
    assert type(seen[0]["n"]) is int and seen[0]["kind"] in ("a", "b")


def test_a_simplex_is_light_and_says_what_it_is():
    assert repr(bo.Simplex("a", "b", total=2)) == "Simplex('a', 'b', total=2.0)"


# -- refusing --------------------------------------------------------------------------------------

WRONG = {
    "a dict": ({"type": "ineq", "fun": disc}, TypeError, "LinearConstraint"),
    "Bounds": (Bounds([0, 0], [1, 1]), TypeError, "belong into the space"),
    "a function": ([disc], TypeError, r"constraints\[0\]"),
    "too few columns": (LinearConstraint([[1]], 0, 1), ValueError, r"one column for each of"),
    "NaN in A": (LinearConstraint([[1, np.nan]], 0, 1), ValueError, "finite"),
    "NaN in a bound": (LinearConstraint([[1, 1]], np.nan, 1), ValueError, "lb <= ub"),
    "bounds the wrong way": (NonlinearConstraint(disc, 1, 0), ValueError, "lb <= ub"),
    "too many bounds": (NonlinearConstraint(disc, [0, 0, 0], 1), ValueError, "`lb` has 3"),
    "equality": (NonlinearConstraint(disc, 0.5, 0.5), ValueError, "leave that one out"),
    "a gap too thin": (NonlinearConstraint(disc, 0.5, 0.5 + 1e-9), ValueError, "leave that one"),
    "no function": (NonlinearConstraint(3, 0, 1), TypeError, "callable"),
    "text": (NonlinearConstraint(lambda x, y: "no", 0, 1), TypeError, "real numbers"),
    "unknown name": (bo.Simplex("x", "z"), ValueError, r"\['z'\]"),
    "negative": (bo.Simplex("x", "y"), ValueError, "low >= 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_constraints_are_refused_with_a_reason(name):
    constraint, error, text = WRONG[name]
    with pytest.raises(error, match=text):
        bo.Study(SQUARE, constraints=constraint)


def test_categories_may_not_be_weighed():
    with pytest.raises(ValueError, match=r"\['kind'\] are categories.*NonlinearConstraint"):
        bo.Study(MIXED, constraints=LinearConstraint([1, 1, 1], 0, 1))
    bo.Study(MIXED, constraints=LinearConstraint([1, 1, 0], 0, 1))


@pytest.mark.parametrize(
    "names, total, error",
    [
        (("a",), 1, ValueError),
        (("a", "a"), 1, ValueError),
        (("a", 3), 1, TypeError),
        (("a", "b"), 0, ValueError),
        (("a", "b"), np.nan, ValueError),
        (("a", "b"), "1", TypeError),
    ],
)
def test_a_wrong_simplex(names, total, error):
    with pytest.raises(error):
        bo.Simplex(*names, total=total)


def test_a_simplex_needs_plain_floats_that_can_reach_the_total():
    with pytest.raises(ValueError, match="without log"):
        Region(MIXED, bo.Simplex("n", "rate"))
    with pytest.raises(ValueError, match=r"between 0.0 and 0.8, which leaves out 1.0"):
        Region(reals(2, 0.0, 0.4), bo.Simplex("x0", "x1"))


def test_an_exception_inside_a_constraint_is_raised_at_once():
    def broken(x, y):
        raise ZeroDivisionError("no luck")

    with pytest.raises(RuntimeError, match=r"constraints\[0\].*ZeroDivisionError: no luck at {'x'"):
        bo.Study(SQUARE, constraints=NonlinearConstraint(broken, 0, 1))


def test_a_function_whose_number_of_values_changes():
    with pytest.raises(ValueError, match="at one point"):
        bo.Study(
            SQUARE, constraints=NonlinearConstraint(lambda x, y: [x] * (1 + (x > 0)), 0, [1, 1])
        )


# -- regions without a point -----------------------------------------------------------------------

HALF = LinearConstraint([1, 1], -INF, 0.5)
FAR = LinearConstraint([1, 1], 3, INF)
EMPTY = {
    "one alone": (SQUARE, [HALF, FAR], r"^constraints\[1\] \(LinearConstraint\) leaves no point"),
    "two of three": (
        SQUARE,
        [LinearConstraint([1, 1], 1, INF), LinearConstraint([1, 0], -1, 1), HALF],
        r"constraints\[0\] .* and constraints\[2\] .* contradict each other: each can be",
    ),
    "whole numbers": (
        bo.Space(a=bo.Int(0, 9000), b=bo.Int(0, 9000)),
        LinearConstraint([2, 2], 5, 5),
        "leaves no point",
    ),
    "few whole numbers": (
        bo.Space(a=bo.Int(0, 9), b=bo.Int(0, 9)),
        LinearConstraint([2, 2], 5, 5),
        "That is certain",
    ),
    "log": (
        bo.Space(a=bo.Float(1e-3, 1, log=True), b=bo.Float(1e-3, 1, log=True)),
        LinearConstraint([1, 1], -INF, 1e-3),
        "leaves no point",
    ),
    "a disc too small": (SQUARE, NonlinearConstraint(disc, 3, INF), "No point was found among"),
    "a disc and a line": (
        SQUARE,
        [NonlinearConstraint(disc, -INF, 0.25), LinearConstraint([1, 1], 1, INF)],
        r"constraints\[0\] .* and constraints\[1\] .* contradict",
    ),
    "always NaN": (SQUARE, NonlinearConstraint(lambda x, y: np.nan, 0, 1), "leaves no point"),
    "a simplex and a line": (
        reals(2),
        [bo.Simplex("x0", "x1"), LinearConstraint([1, 1], 0, 0.5)],
        "Simplex.* contradict",
    ),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_region_is_refused_before_any_evaluation(name):
    space, constraints, text = EMPTY[name]
    called = []
    with pytest.raises(ValueError, match=text):
        bo.minimize(lambda **params: called.append(1), space, 5, constraints=constraints)
    assert not called


# -- points of the user's --------------------------------------------------------------------------


def test_a_given_point_outside_is_refused_and_the_text_says_by_how_much():
    with pytest.raises(ValueError, match=r"violates constraints\[0\] \(LinearConstraint\) by 1\.5"):
        bo.minimize(disc, SQUARE, 5, constraints=HALF, x0=[{"x": 1.0, "y": 1.0}])
    study = bo.Study(SQUARE, constraints=[HALF, NonlinearConstraint(disc, -INF, 0.5)])
    with pytest.raises(ValueError, match=r"constraints\[0\].* by 0\.5; constraints\[1\].* by 0\.5"):
        study.ask(params={"x": 1.0, "y": 0.0})
    assert study.trials == []
    assert study.ask(params={"x": 0.25, "y": 0.25}).params == {"x": 0.25, "y": 0.25}


def test_a_given_point_may_be_off_by_rounding():
    space = reals(3)
    study = bo.Study(space, constraints=LinearConstraint([1, 1, 1], 0.6, 0.6))
    assert 0.1 + 0.2 + 0.3 != 0.6
    study.ask(params=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="by 1e-06"):
        study.ask(params=[0.1, 0.2, 0.300001])


def test_results_from_outside_are_data_but_never_recommended():
    study = bo.Study(SQUARE, constraints=HALF, noise=False, seed=0)
    study.add([[1.0, 1.0]], [-5.0])
    with pytest.raises(ValueError, match="No evaluated point satisfies"):
        study.recommend("best_observed")
    found = study.recommend()  # nothing evaluated may be reported, so that the model chooses
    assert found.rule == "best_mean" and sum(found.params.values()) <= 0.5 + 1e-9
    study.run(lambda x, y: -x - y, 25)
    for rule in ("best_observed", "best_evaluated_mean", "best_mean"):
        found = study.recommend(rule)
        assert found.params["x"] + found.params["y"] == pytest.approx(0.5, abs=1e-6)
        assert found.mean == pytest.approx(-0.5, abs=1e-2)


def test_a_suggestion_that_breaks_the_promise_is_an_error_of_ours():
    region = Region(SQUARE, HALF)
    with pytest.raises(AssertionError, match=r"violates constraints\[0\].* by 0\.5"):
        region.must_hold({"x": 1.0, "y": 0.0})


# -- what a review found ---------------------------------------------------------------------------


def test_every_row_has_its_own_tolerance():
    """Rounding of a row of large numbers does not excuse another one."""
    study = bo.Study(
        [(0, 1)] * 2, constraints=LinearConstraint([[1e9, 0], [0, 1]], -np.inf, [1e9, 0.5])
    )
    with pytest.raises(ValueError, match="violates"):
        study.ask(params=[0.1, 0.50003])


@pytest.mark.parametrize(
    ("jac", "error", "text"),
    [
        (lambda x: [1, 2, 3], ValueError, "must have the shape"),
        (lambda x: "q", TypeError, "Jacobian of constraints"),
        (lambda x: 1 / 0, RuntimeError, "Jacobian of constraints"),
    ],
)
def test_a_wrong_jacobian_is_found_before_anything_is_evaluated(jac, error, text):
    constraint = NonlinearConstraint(lambda x: x[0] * x[1], -1, 0.5, jac=jac)
    with pytest.raises(error, match=text):
        bo.Study([(0, 1)] * 2, constraints=constraint)


@pytest.mark.parametrize(
    ("fun", "error", "text"),
    [
        (lambda x: None, TypeError, "forget to return"),
        (lambda x: [], ValueError, "returned no value"),
        (lambda x: "a", TypeError, "What constraints.*returns must be real numbers"),
    ],
)
def test_a_function_that_returns_nothing_is_refused(fun, error, text):
    with pytest.raises(error, match=text):
        bo.Study([(0, 1)] * 2, constraints=NonlinearConstraint(fun, 0, 1))


@pytest.mark.parametrize("wrong", [None, lambda x: x[0], {"type": "ineq"}])
def test_other_things_are_refused_with_what_to_write(wrong):
    with pytest.raises(TypeError, match="NonlinearConstraint\\(g, lb, ub\\)"):
        bo.Study([(0, 1)] * 2, constraints=wrong)


def test_a_function_that_changes_its_mind_is_named():
    rng = np.random.default_rng(0)
    moody = NonlinearConstraint(lambda x: rng.random(), 0.5, 2)
    with pytest.raises(AssertionError, match="different values at one point"):
        bo.minimize(lambda x: x[0], [(0, 1)], 10, constraints=moody)
