"""The points of the unit cube that satisfy all constraints: membership, repair, local search.

Notation
--------
X, Z    (n, d) points of the unit cube, their values in the user's units
r       (n, m) residuals of the linear rows: how far a row is from its bound or its equality
J       (n, m, d) derivatives of A Z in X, zero on lattices

    repair:  x <- x - J+ r    with the pseudo-inverse of the active rows (Gauss-Newton), clipped
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from bayesopt.constraints import Constraint, Linear, Nonlinear
from bayesopt.parameter import Array
from bayesopt.space import Params, Space
from bayesopt.user_values import parameters_of, user_slopes, user_values

Mask = NDArray[np.bool_]
ValueAndGradient = Callable[[Array], tuple[float, Array]]

_MAX_REPAIRS = 25
_MARGIN = 1e-9  # a search aims so far inside a nonlinear bound, in units of its spread
_STEP = 1e-7  # of finite differences
_FAR = 1e6  # stands for what is not a number


class FeasibleSet:
    """All constraints together.

    Parameters
    ----------
    space
        The space.
    constraints
        Checked ones.
    """

    def __init__(self, space: Space, constraints: tuple[Constraint, ...]) -> None:
        self.space = space
        linear = [c for c in constraints if isinstance(c, Linear)]
        self.nonlinear = [c for c in constraints if isinstance(c, Nonlinear)]
        self.simplices = [c for c in linear if c.parts]
        self.A = np.concatenate([np.empty((0, len(space))), *(c.A for c in linear)])
        self.lower = np.concatenate([np.empty(0), *(c.lower for c in linear)])
        self.upper = np.concatenate([np.empty(0), *(c.upper for c in linear)])
        self.tolerance = np.concatenate([np.empty(0), *(c.tolerance for c in linear)])
        self._close = np.concatenate([np.empty(0), *(c.rounding for c in linear)])
        self.equal: Mask = self.upper - self.lower <= self.tolerance
        self.real = space.columns("float")
        bound = np.where(np.isfinite(self.lower), self.lower, self.upper)
        self._target = np.where(self.equal, 0.5 * (self.lower + self.upper), bound)

    def treat_as_equal(self, at_lower: Mask, at_upper: Mask) -> None:
        """From now on treat these rows (m,) as equalities with their lower or upper bound."""
        self._target = np.where(
            self.equal, self._target, np.where(at_lower, self.lower, self.upper)
        )
        self.equal = self.equal | at_lower | at_upper

    def holds(self, X: Array) -> Mask:
        """Which rows of X (n, d) satisfy every constraint."""
        inside = self._holds_linear(X)
        if self.nonlinear:
            rows = np.flatnonzero(inside)
            for i, params in zip(rows, parameters_of(self.space, X[rows]), strict=True):
                inside[i] = self._holds_nonlinear(params)
        return inside

    def _holds_linear(self, X: Array) -> Mask:
        product = user_values(self.space, X) @ self.A.T
        low_enough = product <= self.upper + self.tolerance
        inside: Mask = (low_enough & (product >= self.lower - self.tolerance)).all(axis=1)
        return inside

    def _holds_nonlinear(self, params: Params) -> bool:
        for constraint in self.nonlinear:
            value = constraint.values(params)
            if not ((value >= constraint.lower) & (value <= constraint.upper)).all():
                return False
        return True

    def excess(self, x: Array) -> float:
        """By how much x (d,) misses, all constraints added up, each in a unit of its own."""
        r = self._residuals(user_values(self.space, x[None]))[0]
        total = float(np.abs(r / np.maximum(1e-300, np.abs(self.A).max(axis=1, initial=0.0))).sum())
        params = self.space.from_unit(x)
        for c in self.nonlinear:
            value = c.values(params)
            with np.errstate(invalid="ignore"):
                miss = np.maximum(np.maximum(c.lower - value, value - c.upper), 0.0) / c.spread
            total += float(np.where(np.isfinite(miss), miss, _FAR).sum())
        return total

    def _residuals(self, Z: Array, equalities_only: bool = False) -> Array:
        product = Z @ self.A.T
        inequality = np.maximum(product - self.upper, 0.0) - np.maximum(self.lower - product, 0.0)
        if equalities_only:
            inequality = np.zeros_like(inequality)
        r: Array = np.where(self.equal, product - self._target, inequality)
        return r

    def repair(self, X: Array, equalities_only: bool = False) -> Array:
        """Move the real columns of X (n, d) a little, so that linear constraints hold."""
        if len(self.A) == 0 or not self.real:
            return X
        X = X.copy()
        todo = np.arange(len(X))
        for _ in range(_MAX_REPAIRS):
            Z = user_values(self.space, X[todo])
            r = self._residuals(Z, equalities_only)
            off = (np.abs(r) > self._close).any(axis=1)
            todo, Z, r = todo[off], Z[off], r[off]
            if len(todo) == 0:
                break
            J = self.A * user_slopes(self.space, Z)[:, None, :]
            J *= (self.equal | (r != 0))[:, :, None]
            step = _least_norm(J, r)
            x = X[todo]
            blocked = ((x <= 0.0) & (step < 0.0)) | ((x >= 1.0) & (step > 0.0))
            if blocked.any():
                step = _least_norm(np.where(blocked[:, None, :], 0.0, J), r)
            X[todo] = np.clip(x + step, 0.0, 1.0)
        return X

    def tangent(self, X: Array, D: Array) -> Array:
        """The parts of directions D (n, d) along which the linear equalities stay satisfied."""
        if not self.equal.any():
            return D
        J = (self.A[self.equal]) * user_slopes(self.space, user_values(self.space, X))[:, None, :]
        along: Array = D + _least_norm(J, np.einsum("nmd,nd->nm", J, D))
        return along

    def chord(self, X: Array, D: Array, low: Array, high: Array) -> tuple[Array, Array]:
        """Cut the ranges low, high (n,) of t to where X + t D keeps the straight inequalities.

        Straight are those without a logarithmic parameter.
        """
        logarithmic = [getattr(p, "log", False) for p in self.space.parameters.values()]
        straight = ~self.equal & ~self.A[:, logarithmic].any(axis=1)
        if not straight.any():
            return low, high
        A, Z = self.A[straight], user_values(self.space, X)
        product, speed = Z @ A.T, (user_slopes(self.space, Z) * D) @ A.T
        with np.errstate(divide="ignore", invalid="ignore"):
            first = (self.lower[straight] - product) / speed
            second = (self.upper[straight] - product) / speed
        ahead, level = speed > 0, np.abs(speed) <= 1e-12 * np.abs(A).max(axis=1, initial=0.0)
        begin = np.where(level, -np.inf, np.where(ahead, first, second)).max(axis=1)
        end = np.where(level, np.inf, np.where(ahead, second, first)).min(axis=1)
        return np.maximum(low, np.minimum(begin, 0.0)), np.minimum(high, np.maximum(end, 0.0))

    def pulled_inside(self, x: Array, anchor: Array) -> Array | None:
        """The feasible point nearest to x (d,) on the way to a feasible anchor (d,)."""
        t = np.concatenate(([0.0], 2.0 ** np.arange(-44.0, 1.0)))[:, None]
        path = self.repair(x + t * (anchor - x))
        linear = self._holds_linear(path)
        for i in np.flatnonzero(linear):
            if self._holds_nonlinear(self.space.from_unit(path[i])):
                found: Array = path[i]
                return found
        return None

    def search(self, value_and_gradient: ValueAndGradient, x: Array, max_iterations: int) -> Array:
        """Minimise a smooth function of the real columns from x (d,) under all constraints (SLSQP).

        Parameters
        ----------
        value_and_gradient
            Maps x (d,) to a value and its gradient (d,).
        x
            Start; its other columns stay.
        max_iterations
            Largest number of steps.

        Returns
        -------
        x
            (d,) where it ended: near the set, but perhaps not quite in it.
        """
        real = self.real

        def full(u: Array) -> Array:
            point = x.copy()
            point[real] = np.clip(u, 0.0, 1.0)
            return point

        value, gradient = value_and_gradient(x)
        scale = 1.0 / max(1.0, float(np.abs(np.nan_to_num(gradient[real])).max(initial=0.0)))
        worst = _FAR if not np.isfinite(value) else scale * value + _FAR

        def objective(u: Array) -> tuple[float, Array]:
            f, g = value_and_gradient(full(u))
            if not (np.isfinite(f) and np.isfinite(g).all()):
                return worst, np.zeros(len(real))
            return scale * f, scale * g[real]

        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            solved = minimize(
                objective,
                x[real],
                jac=True,
                method="SLSQP",
                bounds=[(0.0, 1.0)] * len(real),
                constraints=self._for_slsqp(full),
                options={"maxiter": max_iterations, "ftol": 1e-9},
            )
        return full(np.where(np.isfinite(solved.x), solved.x, x[real]))

    def _for_slsqp(self, full: Callable[[Array], Array]) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = []
        touched = self.A[:, self.real].any(axis=1)
        rows = [
            (self.equal & touched, 1.0, self._target, "eq"),
            (~self.equal & touched & np.isfinite(self.lower), 1.0, self.lower, "ineq"),
            (~self.equal & touched & np.isfinite(self.upper), -1.0, self.upper, "ineq"),
        ]
        for mask, sign, bound, kind in rows:
            if mask.any():
                listed.append(
                    self._linear_rows(full, sign * self.A[mask], sign * bound[mask], kind)
                )
        return listed + [self._nonlinear_rows(full, constraint) for constraint in self.nonlinear]

    def _linear_rows(
        self, full: Callable[[Array], Array], A: Array, bound: Array, kind: str
    ) -> dict[str, Any]:
        width = user_slopes(self.space, user_values(self.space, np.ones((1, len(self.space)))))
        unit = np.abs(A * width)[:, self.real].max(axis=1)

        def value(u: Array) -> Array:
            product: Array = user_values(self.space, full(u)[None])[0] @ A.T
            scaled: Array = (product - bound) / unit
            return scaled

        def slope(u: Array) -> Array:
            Z = user_values(self.space, full(u)[None])
            J: Array = (A * user_slopes(self.space, Z))[:, self.real] / unit[:, None]
            return J

        return {"type": kind, "fun": value, "jac": slope}

    def _nonlinear_rows(
        self, full: Callable[[Array], Array], constraint: Nonlinear
    ) -> dict[str, Any]:
        at_low, at_high = np.isfinite(constraint.lower), np.isfinite(constraint.upper)
        gap = np.where(at_low & at_high, constraint.upper - constraint.lower, np.inf)
        margin = np.minimum(_MARGIN, 0.25 * gap / constraint.spread)

        def value(u: Array) -> Array:
            c = constraint.values(self.space.from_unit(full(u)))
            from_low = (c - constraint.lower) / constraint.spread - margin
            to_high = (constraint.upper - c) / constraint.spread - margin
            signed = np.concatenate((from_low[at_low], to_high[at_high]))
            return np.where(np.isfinite(signed), signed, -1.0)

        def slope(u: Array) -> Array:
            J = self._derivatives(full(u), constraint) / constraint.spread[:, None]
            return np.concatenate((J[at_low], -J[at_high]))[:, self.real]

        return {"type": "ineq", "fun": value, "jac": slope}

    def _derivatives(self, x: Array, constraint: Nonlinear) -> Array:
        """(m, d) in the coordinates of the cube, zero on lattices."""
        params = self.space.from_unit(x)
        J = constraint.jacobian(params)
        if J is None:
            J = np.zeros((len(constraint.lower), len(x)))
            here = constraint.values(params)
            for j in self.real:
                moved = x.copy()
                moved[j] += _STEP if x[j] < 0.5 else -_STEP
                there = constraint.values(self.space.from_unit(moved))
                J[:, j] = (there - here) / (moved[j] - x[j])
        else:
            J = J * user_slopes(self.space, user_values(self.space, x[None]))
        known: Array = np.where(np.isfinite(J), J, 0.0)
        return known


def _least_norm(J: Array, r: Array) -> Array:
    """-J+ r for every row: J (n, m, d), r (n, m); rows of zeros ask for nothing."""
    size = np.sqrt(np.einsum("nmd,nmd->nm", J, J))
    unit = np.where(size > 0, size, 1.0)
    J, r = J / unit[:, :, None], np.where(size > 0, r / unit, 0.0)
    gram = J @ J.transpose(0, 2, 1)
    gram += np.eye(J.shape[1]) * np.where(size > 0, 1e-13, 1.0)[:, None, :]
    y = np.linalg.solve(gram, r[:, :, None])
    step: Array = -(J.transpose(0, 2, 1) @ y)[:, :, 0]
    return step
