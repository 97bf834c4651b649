"""Constrained spaces of every kind, each with a violation in the user's units by other means."""

import math
from functools import cache

import numpy as np
from scipy.optimize import LinearConstraint, NonlinearConstraint
from scipy.sparse import csr_matrix

import bayesopt as bo
from bayesopt.region import Region

INF = np.inf


def above(value, limit):
    return max(0.0, value - limit)


def off(value, target):
    return abs(value - target)


def between(value, low, high):
    return max(0.0, low - value, value - high)


def reals(n, low=0.0, high=1.0):
    return bo.Space(**{f"x{j}": bo.Float(low, high) for j in range(n)})


def annulus(x, y, z):
    return x * x + y * y


def bent(x, y, kind):
    """NaN where y is far below."""
    return math.sqrt(y + 0.9) - x * x if y > -0.9 else math.nan


REGIONS = {
    "box and plane": (
        bo.Space(x=bo.Float(-1, 1), y=bo.Float(0, 2), z=bo.Float(0, 3)),
        LinearConstraint([1, 1, 1], -INF, 2),
        lambda x, y, z: above(x + y + z, 2),
    ),
    "bounds": (
        [(0.0, 10.0), (-5.0, 5.0)],
        LinearConstraint(csr_matrix([[1, 2], [-1, 1]]), [-INF, -3], [8, INF]),
        lambda x0, x1: max(above(x0 + 2 * x1, 8), above(-3, x1 - x0)),
    ),
    "thin slab": (
        bo.Space(x=bo.Float(-1, 1), y=bo.Float(0, 2), z=bo.Float(0, 3)),
        LinearConstraint([[1, -1, 0], [0, 1, 1]], [0, -INF], [1e-4, 2.5]),
        lambda x, y, z: max(between(x - y, 0, 1e-4), above(y + z, 2.5)),
    ),
    "six-dimensional corner": (
        reals(6),
        LinearConstraint(np.ones(6), -INF, 0.1),
        lambda **x: above(sum(x.values()), 0.1),
    ),
    "equality": (
        bo.Space(x=bo.Float(-1, 1), y=bo.Float(0, 2), z=bo.Float(0, 3)),
        [LinearConstraint([1, 1, 1], 2, 2), LinearConstraint([1, -1, 0], -INF, 0)],
        lambda x, y, z: max(off(x + y + z, 2), above(x, y)),
    ),
    "two equalities": (
        reals(5, -2.0, 3.0),
        LinearConstraint([[1, 1, 1, 1, 1], [1, -1, 2, 0, 0.3]], [2, 0.1], [2, 0.1]),
        lambda x0, x1, x2, x3, x4: max(
            off(x0 + x1 + x2 + x3 + x4, 2), off(x0 - x1 + 2 * x2 + 0.3 * x4, 0.1)
        ),
    ),
    "equality in two halves": (
        reals(3),
        [LinearConstraint([1, 1, 1], 1, INF), LinearConstraint([1, 1, 1], -INF, 1)],
        lambda x0, x1, x2: off(x0 + x1 + x2, 1),
    ),
    "simplex": (
        reals(4),
        bo.Simplex("x0", "x1", "x2", "x3"),
        lambda **x: max(off(sum(x.values()), 1), above(0, min(x.values()))),
    ),
    "simplex with bounds": (
        bo.Space(
            a=bo.Float(10, 50), b=bo.Float(0, 30), c=bo.Float(20, 90), heat=bo.Float(300, 900)
        ),
        [bo.Simplex("a", "b", "c", total=100), LinearConstraint([1, 0, 0, 0.01], -INF, 55)],
        lambda a, b, c, heat: max(off(a + b + c, 100), above(a + 0.01 * heat, 55)),
    ),
    "two simplices": (
        reals(6),
        [bo.Simplex("x0", "x1", "x2"), bo.Simplex("x3", "x4", "x5", total=0.5)],
        lambda x0, x1, x2, x3, x4, x5: max(off(x0 + x1 + x2, 1), off(x3 + x4 + x5, 0.5)),
    ),
    "log, inequality": (
        bo.Space(
            a=bo.Float(1e-4, 1, log=True), b=bo.Float(1e-4, 1, log=True), c=bo.Float(0.0, 1.0)
        ),
        LinearConstraint([1, 1, 1], -INF, 0.01),
        lambda a, b, c: above(a + b + c, 0.01),
    ),
    "log, equality": (
        bo.Space(a=bo.Float(1e-4, 1, log=True), b=bo.Float(0, 1), c=bo.Float(0, 1)),
        LinearConstraint([1, 1, 1], 1, 1),
        lambda a, b, c: off(a + b + c, 1),
    ),
    "few integers": (
        bo.Space(a=bo.Int(0, 10), b=bo.Int(0, 10), c=bo.Int(0, 10)),
        LinearConstraint([1, 1, 1], 10, 10),
        lambda a, b, c: off(a + b + c, 10),
    ),
    "many integers": (
        bo.Space(a=bo.Int(0, 1000), b=bo.Int(0, 1000), c=bo.Int(0, 1000)),
        LinearConstraint([2, 3, 1], 1500, 1500),
        lambda a, b, c: off(2 * a + 3 * b + c, 1500),
    ),
    "integers, log and categories": (
        bo.Space(
            depth=bo.Int(1, 64),
            width=bo.Int(8, 4096, log=True),
            rate=bo.Float(1e-3, 1, log=True),
            kind=bo.Categorical(["a", "b", "c"]),
        ),
        LinearConstraint([[64, 1, 0, 0], [0, 1, 500, 0]], -INF, [2048, 1000]),
        lambda depth, width, rate, kind: max(
            above(64 * depth + width, 2048), above(width + 500 * rate, 1000)
        ),
    ),
    "integers and reals in one equality": (
        bo.Space(k=bo.Int(0, 10), x=bo.Float(0, 10), y=bo.Float(0, 10), kind=bo.Categorical(["a"])),
        LinearConstraint([1, 1, 2, 0], 10.5, 10.5),
        lambda k, x, y, kind: off(k + x + 2 * y, 10.5),
    ),
    "disc": (
        [(-1.0, 1.0), (-1.0, 1.0)],
        NonlinearConstraint(lambda x: x[0] ** 2 + x[1] ** 2, -INF, 0.5),
        lambda x0, x1: above(x0**2 + x1**2, 0.5),
    ),
    "thin annulus": (
        bo.Space(x=bo.Float(-1, 1), y=bo.Float(-1, 1), z=bo.Float(0, 1)),
        NonlinearConstraint(annulus, 0.5, 0.501),
        lambda x, y, z: between(x * x + y * y, 0.5, 0.501),
    ),
    "bent, with NaN and categories": (
        bo.Space(x=bo.Float(-1, 1), y=bo.Float(-1, 1), kind=bo.Categorical(["a", "b"])),
        NonlinearConstraint(bent, 0.2, 0.6),
        lambda x, y, kind: between(bent(x, y, kind), 0.2, 0.6) if y > -0.9 else INF,
    ),
    "depends on the category": (
        bo.Space(n=bo.Int(1, 500), x=bo.Float(0, 1), kind=bo.Categorical(["a", "b"])),
        NonlinearConstraint(lambda n, x, kind: [n * x, n], [3, -INF], [5, 400]),
        lambda n, x, kind: max(between(n * x, 3, 5), above(n, 400)),
    ),
    "curved and an equality": (
        bo.Space(x=bo.Float(-1, 1), y=bo.Float(-1, 1), z=bo.Float(0, 1)),
        [
            NonlinearConstraint(lambda x, y, z: x * y, 0.1, 0.15),
            LinearConstraint([1, 1, 1], 1, 1),
        ],
        lambda x, y, z: max(between(x * y, 0.1, 0.15), off(x + y + z, 1)),
    ),
    "simplex and curved": (
        reals(3),
        [
            bo.Simplex("x0", "x1", "x2"),
            NonlinearConstraint(lambda x0, x1, x2: x0**2 + x1**2 + x2**2, 0.6, INF),
        ],
        lambda x0, x1, x2: max(
            off(x0 + x1 + x2, 1), above(0.6, x0**2 + x1**2 + x2**2), above(0, min(x0, x1, x2))
        ),
    ),
}


@cache
def built(name):
    """The region and its violation; regions do not change, so that tests share them."""
    space, constraints, violation = REGIONS[name]
    return Region(bo.Space.of(space), constraints), violation


def objective(**params):
    """Something smooth with its optimum on most boundaries."""
    values = [float(len(str(v))) if isinstance(v, str) else float(v) for v in params.values()]
    return sum(math.sin(3 * v / (1 + abs(v)) + j) for j, v in enumerate(values))
