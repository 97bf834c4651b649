"""The role columns of the first evaluations."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import NonlinearConstraint

import bayesopt as bo
from bayesopt.first_roles import in_roles
from bayesopt.region import Region
from bayesopt.settings import Settings
from bayesopt.space import Space

V = np.linspace(0.0, 1.0, 21)


def first(role, environment=None, n_initial=8, constraints=(), numbers=range(12)):
    """Role coordinates (n, 21) of all trials, of designs whose role coordinates are V."""
    space = Space.of(bo.Space(x=bo.Float(0, 1), **role))
    settings = Settings(
        space=space, environment=environment, constraints=constraints, n_initial=n_initial, seed=0
    )
    region = Region(space, constraints)
    X = np.column_stack((np.full_like(V, 0.3), *[V] * len(role)))
    moved = [in_roles(X, region, settings, number) for number in numbers]
    assert all(region.holds(rows).all() for rows in moved)
    assert all((rows[:, 0] == 0.3).all() for rows in moved)
    return [rows[:, 1:].squeeze(-1) if len(role) == 1 else rows[:, 1:] for rows in moved]


def test_two_of_a_start_are_at_the_target_and_the_others_far_from_it():
    rows = first({"s": bo.Float(0, 1, role="fidelity", target=1.0)})
    for number, s in enumerate(rows):
        if number % 4 == 0:
            assert (s == 1.0).all()
        else:
            np.testing.assert_allclose(s, V**3, atol=1e-15)
            assert np.median(s) < 0.2
    inside = first({"s": bo.Float(0, 1, role="fidelity", target=0.25)})
    assert (inside[4] == 0.25).all() and inside[5].max() == 1.0 and inside[5].min() == 0.25


@pytest.mark.parametrize("n_initial, every", [(2, 4), (8, 4), (9, 4), (20, 10)])
def test_the_target_has_its_turn_twice_in_a_longer_start(n_initial, every):
    role = {"s": bo.Float(0, 1, role="fidelity", target=1.0)}
    rows = first(role, n_initial=n_initial, numbers=range(20))
    at_target = [number for number, s in enumerate(rows) if (s == 1.0).all()]
    assert at_target == list(range(0, 20, every))


def test_fidelities_on_a_lattice_stay_there():
    for s in first({"s": bo.Int(1, 5, role="fidelity", target=5)}):
        np.testing.assert_array_equal(s * 4, np.rint(s * 4))


@pytest.mark.parametrize("role", ["source", "task"])
def test_others_than_the_target_have_equal_turns(role):
    rows = first({"s": bo.Categorical(["a", "b", "truth"], role=role, target="truth")})
    turns = [float(s[0]) for s in rows]
    assert all((s == s[0]).all() for s in rows)
    assert [turns[number] for number in (0, 4, 8)] == [1.0, 1.0, 1.0]
    others = [turn for number, turn in enumerate(turns) if number % 4 != 0]
    assert set(others) == {0.0, 0.5}
    assert abs(others.count(0.0) - others.count(0.5)) <= 1


def test_tasks_without_a_target_have_turns():
    rows = first({"s": bo.Categorical(["a", "b", "c"], role="task")})
    assert [float(s[0]) for s in rows] == [0.0, 0.5, 1.0] * 4


def test_one_source_alone_is_left_as_it_is():
    rows = first({"s": bo.Categorical(["truth"], role="source", target="truth")})
    assert (rows[0] == 0.0).all() and np.isfinite(rows[1]).all()


def test_conditions_follow_their_law():
    w = {"w": bo.Float(0, 1, role="environment")}
    (s,) = first(w, {"w": {0.1: 1, 0.5: 2, 0.9: 1}}, numbers=[3])
    np.testing.assert_array_equal(s, np.select([V <= 0.25, V <= 0.75], [0.1, 0.5], 0.9))
    (s,) = first(w, {"w": stats.norm(0.5, 0.1)}, numbers=[3])
    assert (np.diff(s) >= 0.0).all()  # a quantile
    assert abs(np.mean(s) - 0.5) < 0.02
    two = w | {"kind": bo.Categorical(["calm", "storm"], role="environment")}
    law = {("w", "kind"): {(0.1, "calm"): 3, (0.9, "storm"): 1}}
    (rows,) = first(two, law, numbers=[0])
    assert {tuple(row) for row in rows.tolist()} == {(0.1, 0.0), (0.9, 1.0)}
    assert 14 <= (rows[:, 1] == 0.0).sum() <= 17


def test_what_is_not_allowed_at_its_role_is_left_out_and_all_of_it_left_as_it_is():
    role = {"s": bo.Float(0, 1, role="fidelity", target=1.0)}
    low = NonlinearConstraint(lambda x, s: s, -np.inf, 0.2)
    space = Space.of(bo.Space(x=bo.Float(0, 1), **role))
    settings = Settings(space=space, constraints=[low], n_initial=8, seed=0)
    region = Region(space, [low])
    X = np.column_stack((np.full(5, 0.3), np.linspace(0.0, 0.2, 5)))
    np.testing.assert_array_equal(in_roles(X, region, settings, 0), X)  # none at the target
    moved = in_roles(np.column_stack((V, V)), region, settings, 1)
    assert 0 < len(moved) < len(V) and (moved[:, 1] <= 0.2).all()
