"""What an evaluation costs: read, refused, asked for, stored."""

import functools
import json
import math

import numpy as np
import pytest

import bayesopt as bo
from bayesopt.cost import Cost
from bayesopt.space import Space

PLAIN = Space(x=bo.Float(0, 1), n=bo.Int(1, 4))


SOURCES = Space(
    x=bo.Float(0, 1), s=bo.Categorical(["truth", "cheap"], role="source", target="truth")
)
MESHES = Space(x=bo.Float(0, 1), mesh=bo.Int(1, 3, role="fidelity", target=3))
SMOOTH = Space(x=bo.Float(0, 1), z=bo.Float(0, 1, role="fidelity", target=1.0))


def by_x(x, n):
    return 1 + x + n


@pytest.mark.parametrize(
    "given, cost", [(None, 1.0), (3, 3.0), (0.5, 0.5), (np.float32(2), 2.0), (np.int64(7), 7.0)]
)
def test_one_cost_for_all(given, cost):
    read = Cost.of(given, PLAIN)
    assert read.is_constant and not read.is_learnt
    assert read.of_params({"x": 0.1, "n": 2}) == cost
    assert type(read.of_params({"x": 0.1, "n": 2})) is float
    assert Cost.of(read, PLAIN) is read


def test_costs_by_the_values_of_a_role():
    read = Cost.of({"cheap": 1, "truth": 1000}, SOURCES)
    assert not read.is_constant and not read.is_learnt
    assert read.of_params({"x": 0.3, "s": "truth"}) == 1000.0
    assert read.of_params({"x": 0.3, "s": "cheap"}) == 1.0
    meshes = Cost.of({1: 0.5, 2.0: 1, np.int64(3): 4}, MESHES)
    assert [meshes.of_params({"x": 0.0, "mesh": m}) for m in (1, 2, 3)] == [0.5, 1.0, 4.0]
    assert meshes == Cost.of({3: 4, 2: 1, 1: 0.5}, MESHES)


def test_a_function_of_the_parameters():
    read = Cost.of(by_x, PLAIN)
    assert not read.is_constant and read.of_params({"x": 0.5, "n": 2}) == 3.5
    vector = Cost.of(lambda x: 1.0 + np.sum(x), Space.of([(0, 1), (0, 5)]))
    assert vector.of_params({"x0": 1.0, "x1": 2.0}) == 4.0


def test_learnt_costs_are_not_known():
    read = Cost.of("learn", PLAIN)
    assert read.is_learnt and not read.is_constant
    with pytest.raises(ValueError, match="Costs are learnt"):
        read.of_params({"x": 0.5, "n": 2})


@pytest.mark.parametrize("bad", [0, -1, 0.0, math.nan, math.inf, -math.inf])
def test_a_cost_is_positive_and_finite(bad):
    with pytest.raises(ValueError, match="`cost`.* must be "):
        Cost.of(bad, PLAIN)
    with pytest.raises(ValueError, match="`cost` of s='cheap' must be "):
        Cost.of({"truth": 1, "cheap": bad}, SOURCES)
    asked = Cost.of(lambda x, n: bad, PLAIN)
    with pytest.raises(ValueError, match=r"`cost` at \{'x': 0.25, 'n': 3\} must be "):
        asked.of_params({"x": 0.25, "n": 3})


@pytest.mark.parametrize("bad", [True, [1, 2], (1.0,), np.ones(2), 1j, object(), {1, 2}])
def test_what_is_no_cost(bad):
    with pytest.raises(TypeError, match="`cost`"):
        Cost.of(bad, PLAIN)


def test_an_unknown_word():
    with pytest.raises(ValueError, match="'learn', but got 'auto'"):
        Cost.of("auto", PLAIN)


@pytest.mark.parametrize(
    "given, space, text",
    [
        ({"truth": 1, "cheap": 1, "other": 2}, SOURCES, "'other', which is no value of 's'"),
        ({"truth": 1}, SOURCES, r"every value of 's', but lacks \['cheap'\]"),
        ({}, SOURCES, r"lacks \['truth', 'cheap'\]"),
        ({1: 1, 2: 1, 3: 1, 4: 1}, MESHES, "4, which is no value of 'mesh'"),
        ({1: 1, 3: 1}, MESHES, r"lacks \[2\]"),
        ({"a": 1}, MESHES, "'a', which is no value of 'mesh'"),
        ({0.0: 1, 1.0: 2}, SMOOTH, "'z' is a Float; give a function"),
        ({1: 1}, PLAIN, "none has"),
    ],
)
def test_a_dict_that_does_not_fit(given, space, text):
    with pytest.raises(ValueError, match=text):
        Cost.of(given, space)


def test_a_dict_for_two_roles():
    law = dict(role="environment")
    space = Space(x=bo.Float(0, 1), a=bo.Int(0, 1, **law), b=bo.Int(0, 1, **law))
    with pytest.raises(ValueError, match=r"2 have: \['a', 'b'\]; give a function"):
        Cost.of({0: 1, 1: 2}, space)


def test_a_dict_for_more_values_than_memory_holds():
    space = Space(x=bo.Float(0, 1), m=bo.Int(1, 2**50, role="fidelity", target=2**50))
    with pytest.raises(ValueError, match=r"lacks \[2, 3, 4, 5, 6\]; give a function"):
        Cost.of({1: 1.0}, space)


def test_a_function_that_does_not_take_the_parameters():
    with pytest.raises(TypeError, match=r"`cost`: by_x\(x, n\) does not fit .*keywords x, s"):
        Cost.of(by_x, SOURCES)
    assert Cost.of(functools.partial(by_x, n=1), Space(x=bo.Float(0, 1)))


def test_a_function_that_raises_or_gives_no_number():
    with pytest.raises(ValueError, match=r"raised ZeroDivisionError at \{'x': 0.0, 'n': 1\}"):
        Cost.of(lambda x, n: 1 / x, PLAIN).of_params({"x": 0.0, "n": 1})
    with pytest.raises(ValueError, match=r"`cost` at \{'x': 0.0, 'n': 1\} must be a number"):
        Cost.of(lambda x, n: "5", PLAIN).of_params({"x": 0.0, "n": 1})


@pytest.mark.parametrize(
    "given, space",
    [
        (None, PLAIN),
        (2.5, PLAIN),
        ("learn", PLAIN),
        ({"truth": 9.0, "cheap": 1.0}, SOURCES),
        ({1: 1.0, 2: 2.0, 3: 4.0}, MESHES),
    ],
)
def test_it_survives_json(given, space):
    cost = Cost.of(given, space)
    assert Cost.from_json(json.loads(json.dumps(cost.to_json())), space) == cost


def test_a_function_is_stored_by_its_name():
    described = Cost.of(by_x, PLAIN).to_json()
    assert described == {"callable": f"{__name__}.by_x"}
    with pytest.raises(ValueError, match=r"by_x, which cannot be stored; pass `cost=` again"):
        Cost.from_json(described, PLAIN)


@pytest.mark.parametrize("described", [{"name": "s"}, {"name": "s", "by_value": 3}, -1, "later"])
def test_a_damaged_description(described):
    with pytest.raises(ValueError):
        Cost.from_json(described, SOURCES)
