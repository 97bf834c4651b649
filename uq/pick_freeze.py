"""Pick-freeze designs: rows of points that share some of their inputs.

Notation
--------
d, k        inputs, factors: an input by itself, or a group of inputs
n           rows, in R independent folds
A, B        (n, d) two independent samples of the inputs
C_i, D_i    A with factor i taken from B; B with factor i taken from A

    order 1:    A, B, C_1 .. C_k                        n (k + 2) runs
    order 2:    A, B, C_1 .. C_k, D_1 .. D_k            n (2 k + 2) runs        Saltelli (2002)

Two blocks of one row share the factors that both take from the same sample, and are independent
otherwise. So each pair of blocks carries the closed index of what it shares:

    {i}         (B, C_i), (A, D_i)
    all but i   (A, C_i), (B, D_i)          one less this is the total index of i
    {i, j}      (C_i, D_j), (C_j, D_i)

A row and all its blocks come from one point of a net in 2 d dimensions. In a widened design
unbounded inputs come more often from their tails (`widened_tails`); every factor has a weight

    w_A, w_B        (n, k) of its values in A and in B
    W_block         product of the weights of the block's factors
    W_pair          product of the weights of all values that the two blocks hold
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from bayesopt.arguments import check_name, whole_number
from uq import widened_tails
from uq.inputs import Inputs
from uq.joint_laws import law_of
from uq.sampling import Folds, Sampling, largest_folds

Array = NDArray[np.float64]

N_FOLDS = 8
"""Folds where the number of rows is a power of two."""
LEAST_ROWS = 16


@dataclass(frozen=True)
class Factor:
    """What gets an index: one input, or a group of them.

    Parameters
    ----------
    name
        Name of the input or of the group.
    columns
        Columns of the inputs.
    """

    name: str
    columns: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class SobolDesign:
    """Points to evaluate, and which of them belong together.

    Parameters
    ----------
    inputs
        Independent inputs.
    factors
        Inputs or groups that get indices, k of them.
    order
        1, or 2 for indices of pairs too.
    uniforms
        (n, 2 d) numbers behind A and B. Rows stand in the order in which they were added.
    folds
        (n,) labels of independent folds.
    sampling
        "qmc": the folds are scrambled nets; "mc": random numbers.
    widened
        Whether unbounded inputs come more often from their tails.
    entropy
        Seed of what `extend` adds.
    """

    inputs: Inputs
    factors: tuple[Factor, ...]
    order: int
    uniforms: Array
    folds: NDArray[np.int64]
    sampling: Sampling
    widened: bool
    entropy: int

    @property
    def n(self) -> int:
        """Rows of the design."""
        return len(self.uniforms)

    @property
    def n_folds(self) -> int:
        """Independent folds R."""
        return int(self.folds.max()) + 1

    @property
    def n_blocks(self) -> int:
        """Runs of one row."""
        return len(self.blocks)

    @property
    def n_runs(self) -> int:
        """Runs of the model in all."""
        return self.n * self.n_blocks

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the factors."""
        return tuple(factor.name for factor in self.factors)

    @property
    def blocks(self) -> NDArray[np.bool_]:
        """(n_blocks, k) whether a block takes a factor from B."""
        return blocks_of(len(self.factors), self.order)

    @property
    def points(self) -> Array:
        """(n_runs, d) all points, the blocks of one row after the other; outputs in this order."""
        return self._assembled(self.inputs.from_normal)

    @property
    def normal_points(self) -> Array:
        """(n_runs, d) the independent standard normal variables behind the points."""
        return self._assembled(lambda z: z)

    @property
    def bounded(self) -> NDArray[np.bool_]:
        """(d,) whether an input has a bounded support."""
        return np.array([law.bounded for law in self.inputs.marginals])

    @property
    def log_weights(self) -> Array | None:
        """(n, 2, k) logarithms of w_A and w_B; None where all of them are 0."""
        if not self.widened or self.bounded.all():
            return None
        weights = np.zeros((self.n, 2, self.inputs.dimension))
        scores = self._scores().reshape(weights.shape)
        weights[..., ~self.bounded] = widened_tails.log_weight(scores[..., ~self.bounded])
        return np.stack([weights[..., f.columns].sum(axis=-1) for f in self.factors], axis=-1)

    def _scores(self) -> Array:
        """(n, 2 d) normal scores of A and B."""
        z = ndtri(self.uniforms)
        if self.widened:
            wide = np.concatenate([~self.bounded, ~self.bounded])
            z[:, wide] = widened_tails.from_uniform(self.uniforms[:, wide])
        scores: Array = z
        return scores

    def _assembled(self, of_normal: Callable[[Array], Array]) -> Array:
        d = self.inputs.dimension
        z = self._scores()
        first, second = of_normal(z[:, :d]), of_normal(z[:, d:])
        from_second = np.zeros((self.n_blocks, d), dtype=bool)
        for i, factor in enumerate(self.factors):
            from_second[:, factor.columns] = self.blocks[:, [i]]
        rows: Array = np.where(from_second, second[:, None, :], first[:, None, :])
        return rows.reshape(self.n_runs, d)

    def extend(self, n: int) -> "SobolDesign":
        """Return the design of n rows whose first rows are these: no run is lost.

        Parameters
        ----------
        n
            Rows of the new design: those of this one times a power of two ("qmc"), or any larger
            number that the folds divide ("mc").

        Returns
        -------
        SobolDesign
            Its ``points[len(self.points):]`` are still to be run.

        Raises
        ------
        ValueError
            When `n` is another number.
        """
        n = whole_number(n, "n", 1)
        if self.sampling == "mc":
            return self._with_random_rows(n)
        doublings = (n // self.n).bit_length() - 1
        if n != self.n << max(doublings, 0) or n <= self.n:
            low = self.n << max(doublings, 1)
            raise ValueError(
                f"A design of {self.n} rows can be extended to {self.n} times a power of two, "
                f"but got `n={n}`; the nearest are {low} and {2 * low}."
            )
        design = self
        for _ in range(doublings):
            design = design._doubled()
        return design

    def part(self, rows: NDArray[np.bool_]) -> "SobolDesign":
        """Return the design of some of the rows (n,)."""
        return replace(self, uniforms=self.uniforms[rows], folds=self.folds[rows])

    def _doubled(self) -> "SobolDesign":
        order = np.argsort(self.folds, kind="stable")
        folds = Folds(self.n_folds, self.n // self.n_folds, self.sampling)
        more = folds.doubled(self.uniforms[order], np.random.default_rng([self.entropy, self.n]))
        return self._grown(more, folds.labels)

    def _with_random_rows(self, n: int) -> "SobolDesign":
        if n <= self.n or n % self.n_folds:
            nearest = self.n_folds * max(-(-n // self.n_folds), self.n // self.n_folds + 1)
            raise ValueError(
                f"A design of {self.n} rows in {self.n_folds} folds can be extended to more rows, "
                f"a multiple of {self.n_folds}, but got `n={n}`; the nearest is {nearest}."
            )
        folds = Folds(self.n_folds, (n - self.n) // self.n_folds, self.sampling)
        rng = np.random.default_rng([self.entropy, self.n])
        return self._grown(folds.uniforms(self.uniforms.shape[1], rng), folds.labels)

    def _grown(self, more: Array, labels: NDArray[np.int64]) -> "SobolDesign":
        return replace(
            self,
            uniforms=np.concatenate([self.uniforms, more]),
            folds=np.concatenate([self.folds, labels]),
        )


@dataclass(frozen=True, eq=False)
class Targets:
    """What the pairs of blocks estimate.

    Parameters
    ----------
    pairs
        (T, P, 2) numbers of blocks: P pairs for each of T closed indices.
    shared
        (T, k) the factors that a pair shares.
    total
        (T,) whether one less the closed index is wanted: then it is the total index of the others.
    """

    pairs: NDArray[np.int64]
    shared: NDArray[np.bool_]
    total: NDArray[np.bool_]


def blocks_of(k: int, order: int) -> NDArray[np.bool_]:
    """(n_blocks, k) whether a block takes a factor from B: A, B, C_1 .. C_k, D_1 .. D_k."""
    one = np.eye(k, dtype=bool)
    parts = [np.zeros((1, k), dtype=bool), np.ones((1, k), dtype=bool), one]
    return np.concatenate([*parts, ~one] if order == 2 else parts)


def targets_of(k: int, order: int) -> Targets:
    """First and total indices of k factors, then with order 2 the pairs (0, 1), (0, 2), ..."""
    A, B = 0, 1
    C, D = np.arange(2, 2 + k), np.arange(2 + k, 2 + 2 * k)
    one = np.eye(k, dtype=bool)
    first = [np.stack([np.full(k, B), C], axis=1)]
    total = [np.stack([np.full(k, A), C], axis=1)]
    if order == 1:
        pairs = np.stack([np.concatenate([first[0], total[0]])], axis=1)
        return Targets(pairs, np.concatenate([one, ~one]), np.repeat([False, True], k))
    first.append(np.stack([np.full(k, A), D], axis=1))
    total.append(np.stack([np.full(k, B), D], axis=1))
    i, j = np.triu_indices(k, 1)
    both = [np.stack([C[i], D[j]], axis=1), np.stack([C[j], D[i]], axis=1)]
    pairs = np.concatenate([np.stack(one_kind, axis=1) for one_kind in (first, total, both)])
    shared = np.concatenate([one, ~one, one[i] | one[j]])
    return Targets(pairs, shared, np.repeat([False, True, False], [k, k, len(i)]))


def sobol_design(
    inputs: Any = None,
    *,
    dists: Sequence[Any] | None = None,
    budget: int | None = None,
    n: int | None = None,
    order: Literal[1, 2] = 1,
    groups: Mapping[str, Sequence[str]] | None = None,
    sampling: Sampling = "qmc",
    widened: bool = True,
    rng: int | np.random.Generator | None = None,
) -> SobolDesign:
    """Points at which a model has to be run for Sobol' indices.

    Parameters
    ----------
    inputs
        Independent `Inputs`, or a mapping or list of laws.
    dists
        The same, by the name that SciPy has for it.
    budget
        Most runs of the model: as many rows as it pays for, in 7 to 13 folds.
    n
        Instead of it the number of rows, in 8 folds; a power of two for "qmc".
    order
        1: first and total indices, k + 2 runs a row; 2: those of pairs too, 2 k + 2 runs a row.
    groups
        Names of groups to the names of their inputs. An input in no group is a factor by itself.
    sampling
        "qmc": every fold is a scrambled net; "mc": independent random numbers.
    widened
        Whether unbounded inputs come more often from their tails, with weights: what a surrogate
        needs to be trusted there. Without a surrogate False is the textbook's design.
    rng
        Seed or generator.

    Returns
    -------
    SobolDesign
        Run the model on ``design.points`` and hand the outputs to `uq.sobol_estimate`.

    Raises
    ------
    TypeError, ValueError
        For dependent inputs, groups that overlap or name unknown inputs, and a budget or number of
        rows that cannot be had.
    """
    law = independent_inputs(inputs, dists)
    check_name("sampling", sampling, ("qmc", "mc"))
    if isinstance(order, bool) or order not in (1, 2):
        raise ValueError(f"`order` must be 1 or 2, but got {order!r}.")
    factors = factors_of(law.names, groups)
    folds = folds_of(len(blocks_of(len(factors), order)), budget, n, sampling)
    generator = np.random.default_rng(rng)
    uniforms = folds.uniforms(2 * law.dimension, generator)
    entropy = int(generator.integers(2**63))
    return SobolDesign(law, factors, order, uniforms, folds.labels, sampling, widened, entropy)


def independent_inputs(inputs: Any, dists: Any) -> Inputs:
    """Return the independent inputs that were given by either name; raises by what is wrong."""
    law = given_inputs(inputs, dists)
    if not law.is_independent:
        raise ValueError(
            "The inputs are dependent, and pick-freeze rows need independent ones; "
            "`uq.shapley_effects` takes dependent inputs."
        )
    return law


def given_inputs(inputs: Any, dists: Any) -> Inputs:
    """Return the inputs that were given by either name; raises by what is wrong."""
    if (inputs is None) == (dists is None):
        raise TypeError("Give the laws of the inputs, either as `inputs` or as `dists`.")
    law = law_of(dists if inputs is None else inputs)
    if not isinstance(law, Inputs):
        raise TypeError(
            f"Sobol' indices need `uq.Inputs`, each input with a law of its own, but got {law!r}, "
            "whose inputs cannot be drawn one by one."
        )
    return law


def factors_of(
    names: tuple[str, ...], groups: Mapping[str, Sequence[str]] | None
) -> tuple[Factor, ...]:
    """Groups, and the inputs that are in none, in the order of their first columns."""
    if groups is None:
        return tuple(Factor(name, (i,)) for i, name in enumerate(names))
    if not isinstance(groups, Mapping) or not groups:
        raise TypeError(
            f"`groups` must map names to lists of inputs, such as {{'loads': ['F', 'P']}}, but got "
            f"{groups!r}."
        )
    factors: list[Factor] = []
    owner: dict[str, str] = {}
    for group, members in groups.items():
        several = isinstance(members, Iterable) and not isinstance(members, str)
        inside = list(members) if several else []
        if not inside:
            raise ValueError(f"The group {group!r} must list its inputs, but got {members!r}.")
        for name in inside:
            check_name(f"input in the group {group!r}", name, names)
            if name in owner:
                raise ValueError(
                    f"Groups must not overlap, but {name!r} is in {owner[name]!r} and in {group!r}."
                )
            owner[name] = group
        factors.append(Factor(group, tuple(sorted(names.index(name) for name in inside))))
    alone = [name for name in names if name not in owner]
    if set(alone) & set(groups):
        raise ValueError(
            f"The group {sorted(set(alone) & set(groups))[0]!r} has the name of an input that is "
            "in no group; give it another name."
        )
    factors += [Factor(name, (names.index(name),)) for name in alone]
    return tuple(sorted(factors, key=lambda factor: factor.columns))


def folds_of(n_blocks: int, budget: int | None, n: int | None, sampling: Sampling) -> Folds:
    """Folds of the rows that were asked for, of so many runs each; raises by what is wrong."""
    if (budget is None) == (n is None):
        raise TypeError("Give either `budget`, runs of the model, or `n`, rows of the design.")
    least = LEAST_ROWS if sampling == "qmc" else 20
    if budget is not None:
        budget = whole_number(budget, "budget", 1)
        if budget < least * n_blocks:
            raise ValueError(
                f"`budget` must pay for {least} rows of {n_blocks} runs, {least * n_blocks} in "
                f"all, but got {budget}."
            )
        return largest_folds(budget // n_blocks, sampling)
    n = whole_number(n, "n", least)
    if sampling == "mc":
        return largest_folds(n, sampling)
    if n & (n - 1):
        low = 1 << (n.bit_length() - 1)
        nearest = low if n - low <= 2 * low - n else 2 * low
        raise ValueError(
            f"`n` must be a power of two for scrambled nets, but got {n}; the nearest is "
            f'{nearest}. `budget` takes any number of runs, sampling="mc" any number of rows.'
        )
    return Folds(N_FOLDS, n // N_FOLDS, sampling)
