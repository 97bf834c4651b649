"""Rows of points in which one input after the other is redrawn, given those that are left.

Notation
--------
n, d        rows, inputs
pi          a permutation of the inputs, one for each row
y           normal scores of the inputs, y ~ N(0, R)
e, e'       (n, d) two independent samples of standard normal variables, one for each input
L_pi        root of R with rows and columns in the order pi(d), ..., pi(1), put back in place
z_k         point k = 0 .. d of a row, its scores y_k = L_pi (e, but e' in pi(1), ..., pi(k))

In that order a score is made of the variables of those before it only. So z_0 and z_k agree in
pi(k+1), ..., pi(d), and given these the others are independent draws of one law: their half mean
square difference is

    val(u) = E Var(f | all but X_u) = E (f(z_0) - f(z_k))^2 / 2,      u = pi(1), ..., pi(k)      (1)

for dependent inputs too. All points of all rows have the law of the inputs. Independent inputs
have L = I, and then every pair of points has Eq. (1), with u those redrawn between them.

In a widened design the variables of unbounded inputs, of all inputs where they are dependent, come
more often from their tails (`widened_tails`). The weight of a point, or of a row, is the product of
those of its variables.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import ndtri

from uq import widened_tails
from uq.inputs import Inputs
from uq.sampling import Folds, Sampling

Array = NDArray[np.float64]
Permutations = NDArray[np.int64]

_RANKED = 4  # most inputs whose permutations are few enough for one coordinate of a net
_AT_ONCE = 1024  # roots of permutations


@dataclass(frozen=True, eq=False)
class ChainDesign:
    """Points to evaluate, d + 1 in a row.

    Parameters
    ----------
    inputs
        Their law; dependent or not.
    uniforms
        (n, 2 d) numbers behind e and e'.
    permutations
        (n, d) the order in which inputs are redrawn.
    folds
        (n,) labels of independent folds; the rows of a fold stand together.
    sampling
        "qmc": the folds are scrambled nets; "mc": random numbers.
    widened
        Whether unbounded variables come more often from their tails.
    """

    inputs: Inputs
    uniforms: Array
    permutations: Permutations
    folds: NDArray[np.int64]
    sampling: Sampling
    widened: bool

    @property
    def n(self) -> int:
        """Rows of the design."""
        return len(self.uniforms)

    @property
    def n_blocks(self) -> int:
        """Runs of one row."""
        return self.inputs.dimension + 1

    @property
    def scores(self) -> Array:
        """(n (d + 1), d) normal scores of the points, row after row."""
        e = self._along_rows(self._variables())
        if not self.inputs.is_independent:
            e = _correlated(e, self.permutations, self.inputs.correlation)
        return e.reshape(-1, self.inputs.dimension)

    @property
    def points(self) -> Array:
        """(n (d + 1), d) all points, row after row; outputs in this order."""
        return self.inputs.from_scores(self.scores)

    @property
    def normal_points(self) -> Array:
        """(n, d + 1, d) the independent standard normal variables behind the points."""
        z = self.scores
        if not self.inputs.is_independent:
            root = np.linalg.cholesky(self.inputs.correlation)
            z = solve_triangular(root, z.T, lower=True).T
        normal: Array = z.reshape(self.n, self.n_blocks, -1)
        return normal

    @property
    def weights(self) -> tuple[Array, Array]:
        """Weights of the points (n, d + 1) and of the rows (n,), all 1 if nothing is widened."""
        logs = np.zeros_like(self.uniforms)
        wide = self._wide()
        logs[:, wide] = widened_tails.log_weight(self._variables()[:, wide])
        return np.exp(self._along_rows(logs).sum(axis=2)), np.exp(logs.sum(axis=1))

    def _variables(self) -> Array:
        """(n, 2 d) e and e'."""
        variables: Array = ndtri(self.uniforms)
        wide = self._wide()
        variables[:, wide] = widened_tails.from_uniform(self.uniforms[:, wide])
        return variables

    def _wide(self) -> NDArray[np.bool_]:
        """(2 d,) which variables come more often from their tails."""
        bounded = np.array([law.bounded for law in self.inputs.marginals])
        unbounded = ~bounded if self.inputs.is_independent else np.ones_like(bounded)
        return np.tile(unbounded & self.widened, 2)

    def _along_rows(self, values: Array) -> Array:
        """(n, d + 1, d) values (n, 2 d) of e and e', each point's own."""
        d = self.inputs.dimension
        place = np.argsort(self.permutations, axis=1)[:, None, :]
        redrawn = place < np.arange(d + 1)[:, None]
        along: Array = np.where(redrawn, values[:, None, d:], values[:, None, :d])
        return along


def chain_design(
    inputs: Inputs, folds: Folds, widened: bool, rng: np.random.Generator
) -> ChainDesign:
    """Rows in independent folds, every permutation equally likely in each.

    A further coordinate of the net is the rank of the permutation where there are few of them. Of
    more inputs each is redrawn at every place equally often: d rows take the cyclic shifts of one
    permutation.

    Parameters
    ----------
    inputs
        Their law.
    folds
        So many rows in so many folds.
    widened
        Whether unbounded variables come more often from their tails: what a polynomial needs.
    rng
        Source of random numbers.
    """
    d = inputs.dimension
    ranked = d <= _RANKED
    u = folds.uniforms(2 * d + ranked, rng)
    if ranked:
        permutations = permutations_of_rank(u[:, -1], d)
    else:
        permutations = np.concatenate([_shifted(folds.size, d, rng) for _ in range(folds.n_folds)])
    uniforms = u[:, : 2 * d]
    return ChainDesign(inputs, uniforms, permutations, folds.labels, folds.sampling, widened)


def permutations_of_rank(u: Array, d: int) -> Permutations:
    """(n, d) the permutation number u d! of d inputs in the order of the dictionary."""
    rank = np.minimum((u * math.factorial(d)).astype(np.int64), math.factorial(d) - 1)
    left = np.tile(np.arange(d), (len(u), 1))
    chosen = np.empty_like(left)
    for place in range(d):
        digit, rank = np.divmod(rank, math.factorial(d - place - 1))
        chosen[:, place] = np.take_along_axis(left, digit[:, None], axis=1)[:, 0]
        kept = np.arange(left.shape[1]) != digit[:, None]
        left = left[kept].reshape(len(u), -1)
    return chosen


def _shifted(n: int, d: int, rng: np.random.Generator) -> Permutations:
    """(n, d) all cyclic shifts of random permutations, in random order."""
    base = rng.permuted(np.tile(np.arange(d), (-(-n // d), 1)), axis=1)
    shifts = (np.arange(d)[:, None] + np.arange(d)) % d
    shifted = base[:, shifts]  # (bases, shifts, d)
    last = rng.permutation(d)[: n - d * (len(base) - 1)]
    rows = np.concatenate([shifted[:-1].reshape(-1, d), shifted[-1, last]])
    return rng.permutation(rows, axis=0)


def _correlated(e: Array, permutations: Permutations, correlation: Array) -> Array:
    """(n, d + 1, d) scores L_pi e."""
    orders, of_row = np.unique(permutations[:, ::-1], axis=0, return_inverse=True)
    of_row = of_row.reshape(-1)
    y = np.empty_like(e)
    for start in range(0, len(orders), _AT_ONCE):
        some = orders[start : start + _AT_ONCE]
        rows = np.flatnonzero((of_row >= start) & (of_row < start + len(some)))
        roots = np.linalg.cholesky(correlation[some[:, :, None], some[:, None, :]])
        order = orders[of_row[rows]][:, None, :]
        ordered = np.take_along_axis(e[rows], order, axis=2)
        mixed = ordered @ roots[of_row[rows] - start].swapaxes(1, 2)
        put_back = np.empty_like(mixed)
        np.put_along_axis(put_back, np.broadcast_to(order, mixed.shape), mixed, axis=2)
        y[rows] = put_back
    return y
