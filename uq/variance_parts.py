"""Parts of a variance with a cheap model as control variate: exact part, slope, what is left.

Notation
--------
n, R        rows of a pick-freeze design, folds
h_r         polynomial chaos sum_a c_ra psi_a, orthonormal products, fitted without fold r
e           f - h_r at the points of fold r
F           a family of multi-indices: those inside a set of factors, those that touch a set, or all
            but zero. Q_F(f) is the part of the variance of f that they carry
h_F         sum_{a in F} c_a psi_a

    Q_F(h_r) = sum_{a in F} c_ra^2                                                             (1)
    Q_F(f)   = Q_F(h_r) + 2 E[h_F e] + Q_F(e)                                                  (2)

Eq. (2) is exact for any h_r, since h_F is the projection of h_r that Q_F squares. Its second term
is a mean over the input law: all blocks of a row give it, and not only those of a pair. Its third
is what pick-freeze pairs estimate; it is of second order in e.

What the fits share, the spread of the folds' values does not show. Two parts of it are counted:

    c_ra - c_a = (R - 1)^-1 sum_{s != r} g_sa,     g_sa = mean over fold s of W psi_a e
    b_rs       = 2 (R - 1)^-1 sum_{a in F} g_ra g_sa                                           (3)

stands in the slope of fold r and again in that of fold s, a covariance of Var(b_rs). It matters
where all c_a of a family are noise. And where no fold has points all h_r err alike:

    v_rF = 2 c_F' (I - G) (c_r - c),      G = mean W psi psi'                                  (4)

is what a change of the fit does to the estimate where no point sees it, c the mean of the c_r.

And what lies beyond the points is the polynomial's alone. Its part there, times how far the
polynomial is off at the outermost points left out, is an error of its own:

    x_F   = rho c_F' (I - G) c,     rho^2 = sum e^2 / sum y^2 over the outermost points        (5)
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from uq.polynomial_fits import PolynomialFit, polynomial_fit
from uq.polynomials import basis

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Labels = NDArray[np.int64]

_OUTERMOST = 0.05  # share of the points
_ROWS = 512  # of all blocks, in one chunk


class Forms(Protocol):
    """Quadratic forms c' A_t c of coefficients, T of them and the sum of squares but the mean's."""

    def half_gradient(self, c: Array) -> Array:
        """(..., K, T + 1) A_t c of coefficients (..., K), the first K of all terms."""

    def paired(self, a: Array, b: Array) -> Array:
        """(m, T + 1) a' A_t b of coefficients (m, K)."""


@dataclass(frozen=True)
class Shares:
    """Forms sum_a w_at c_a^2.

    Parameters
    ----------
    weights
        (K, T + 1) w, the last column is that of the whole variance; a mask of families, or shares.
    """

    weights: Array | Mask

    def half_gradient(self, c: Array) -> Array:
        """(..., K, T + 1) w c."""
        halves: Array = c[..., None] * self.weights[: c.shape[-1]]
        return halves

    def paired(self, a: Array, b: Array) -> Array:
        """(m, T + 1) sums of w a b."""
        paired: Array = (a * b) @ self.weights[: a.shape[-1]]
        return paired


@dataclass(frozen=True)
class Parts:
    """Control variates of the parts of one output's variance, T of them and the whole.

    Parameters
    ----------
    name
        Of the cheap model.
    residuals
        (n, n_blocks) e.
    known
        (R, T + 1) Eq. (1), the whole variance last.
    slopes
        (n, T + 1) rows of 2 h_F e, averaged over the blocks.
    hidden
        (m, T + 1) values that the folds do not show and whose mean square is a variance: b_rs of
        Eq. (3) less its mean, m = R (R - 1) / 2.
    unseen
        (R, T + 1) Eq. (4); its sum of squares is a variance that the folds show in part.
    extrapolated
        (T + 1,) Eq. (5); its square is a variance.
    """

    name: str
    residuals: Array
    known: Array
    slopes: Array
    hidden: Array
    unseen: Array
    extrapolated: Array


def families(indices: NDArray[np.int64], shared: Mask, total: Mask) -> Mask:
    """(K, T + 1) which multi-indices a part holds; the last column is the whole variance.

    Parameters
    ----------
    indices
        (K, d) multi-indices.
    shared
        (T, d) inputs that a pair shares: the multi-indices inside of them.
    total
        (T,) whether the complement is meant: the multi-indices that touch another input.
    """
    used = indices > 0
    inside = ~(used[:, None, :] & ~shared).any(axis=2)
    whole = used.any(axis=1, keepdims=True)
    return np.concatenate([np.where(total, ~inside, inside & whole), whole], axis=1)


def polynomial_parts(
    z: Array,
    Y: Array,
    W: Array,
    folds: Labels,
    bounded: Mask,
    shared: Mask,
    total: Mask,
) -> list[Parts] | None:
    """Control variates by polynomial chaos for each output; None where runs are too few.

    Parameters
    ----------
    z, Y, W, folds, bounded
        See `polynomial_fit`.
    shared, total
        See `families`.
    """
    fit = polynomial_fit(z, Y, W, folds, bounded)
    if fit is None:
        return None
    return parts_of(fit, z, Y, W, folds, Shares(families(fit.index, shared, total)))


def parts_of(
    fit: PolynomialFit, z: Array, Y: Array, W: Array, folds: Labels, forms: Forms
) -> list[Parts]:
    """Eqs. (1) to (5) of each output, in one pass over all runs; see `polynomial_fit`."""
    fitted = fit.coefficients
    n, n_blocks, d = z.shape
    n_folds, largest = int(folds.max()) + 1, max(c.shape[1] for c in fitted)
    sums = [_Sums.of(c, forms, n, n_blocks) for c in fitted]
    outermost = W <= np.quantile(W, _OUTERMOST) if W.min() < W.max() else np.zeros(W.shape, bool)
    starts = np.searchsorted(folds, np.arange(n_folds + 1))
    for r in range(n_folds):
        for first in range(starts[r], starts[r + 1], _ROWS):
            rows = slice(first, min(first + _ROWS, starts[r + 1]))
            psi = basis(z[rows].reshape(-1, d), fit.index[:largest], fit.bounded)
            psi = psi.reshape(-1, n_blocks, largest)
            for j, one in enumerate(sums):
                one.add(r, rows, psi, Y[rows, :, j], W[rows], outermost[rows])
    return [one.parts(forms, np.diff(starts), W.size) for one in sums]


@dataclass(frozen=True)
class _Sums:
    """What one output's parts are made of, filled chunk by chunk.

    c (R, K) fits; halves (R, K, T + 1) their half-gradients; changes (R + 1, K) c_r - c and c less
    its constant; seen (R + 1, K) G times these; scores (R, K) g; off (2,) sums of Eq. (5).
    """

    c: Array
    halves: Array
    changes: Array
    residuals: Array
    slopes: Array
    scores: Array
    seen: Array
    off: Array

    @staticmethod
    def of(c: Array, forms: Forms, n: int, n_blocks: int) -> "_Sums":
        halves = forms.half_gradient(c)
        mean = c.mean(axis=0)
        variable = np.concatenate([[0.0], mean[1:]])
        changes = np.concatenate([c - mean, variable[None]])
        slopes = np.empty((n, halves.shape[-1]))
        empty = np.zeros_like(changes)
        residuals = np.empty((n, n_blocks))
        return _Sums(c, halves, changes, residuals, slopes, np.zeros_like(c), empty, np.zeros(2))

    def add(self, r: int, rows: slice, psi: Array, y: Array, W: Array, outermost: Mask) -> None:
        """Rows of fold r."""
        size = self.c.shape[1]
        own = psi[..., :size]
        e = y - own @ self.c[r]
        g = np.einsum("tbk,tb->tk", own, e * W) / y.shape[1]
        self.residuals[rows] = e
        self.slopes[rows] = 2.0 * g @ self.halves[r]
        self.scores[r] += g.sum(axis=0)
        flat = own.reshape(-1, size)
        self.seen[...] += (W.reshape(-1, 1) * (flat @ self.changes.T)).T @ flat
        self.off[...] += np.square(e[outermost]).sum(), np.square(y[outermost]).sum()

    def parts(self, forms: Forms, counts: NDArray[np.int64], n_points: int) -> Parts:
        """Finish the sums over `counts` rows of each fold, `n_points` points in all."""
        n_folds, size = self.c.shape
        first, second = np.triu_indices(n_folds, 1)
        g = self.scores / counts[:, None]
        coupling = 2.0 / (n_folds - 1) * forms.paired(g[first], g[second])  # (3)
        mean = self.c.mean(axis=0)
        not_seen = self.changes - self.seen / n_points
        above, below = self.off
        rho = np.sqrt(above / below) if below > 0.0 else 0.0
        return Parts(
            f"polynomial of {size} terms",
            self.residuals,
            forms.paired(self.c, self.c),  # (1)
            self.slopes,
            coupling - coupling.mean(axis=0),
            2.0 * not_seen[:-1] @ forms.half_gradient(mean),  # (4)
            rho * forms.paired(mean[None], not_seen[-1:])[0],  # (5)
        )
