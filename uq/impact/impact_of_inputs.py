"""How a quantity of the output moves with the laws of the inputs: one sample for all laws.

Notation
--------
N           `budget`, evaluations of the model in all
L, F        laws, functions of the output whose expectations are needed
delta       size of a perturbation

    kind "mean"     the normal score of one input is shifted:       y -> y + delta             (1)
    kind "sd"       its variance is multiplied by 2^delta:          y -> 2^(delta / 2) y       (2)

    index           I_delta / I_0 - 1

A normal input is moved by delta standard deviations in (1), its variance times 2^delta in (2); any
other law keeps its support and its place in the copula (`perturbed_marginals`). The model is run
where one density over all laws puts the points, and never for a law of its own (`adaptive`).

Sources: Lemaitre et al. (2015), "Density modification-based reliability sensitivity analysis";
Sueur, Iooss & Delage (2017), "Sensitivity analysis using perturbed-law based indices for
quantiles"; Gauchy, Stenger, Sueur & Iooss (2022).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesopt.arguments import check_name, real_numbers, whole_number
from uq.adaptive import LEAST_BUDGET, expectations
from uq.impact.law_impacts import InputImpact, impact
from uq.impact.law_labels import LawLabel
from uq.impact.law_quantities import Quantities, Quantity, checked_quantities
from uq.inputs import Inputs
from uq.joint_laws import Law, law_of
from uq.model_runs import ModelRuns
from uq.perturbed_marginals import perturbed
from uq.sampling import Sampling

Array = NDArray[np.float64]
Kind = Literal["mean", "sd"]

KINDS = ("mean", "sd")
_LARGEST = {"mean": 10.0, "sd": 6.0}  # beyond a score of 37 there is no probability in floats
_DELTAS = tuple(np.linspace(-1.0, 1.0, 9).tolist())


def input_impact(
    func: Callable[[Array], ArrayLike],
    inputs: Any = None,
    *,
    laws: Sequence[Any] | None = None,
    perturb: Mapping[str, Kind | Sequence[Kind]] | None = None,
    deltas: ArrayLike | None = None,
    quantity: Quantity | Sequence[Quantity] = "mean",
    level: float = 0.95,
    threshold: float | None = None,
    budget: int,
    batch_size: int | None = None,
    executor: Any = None,
    surrogate: Callable[[Array], ArrayLike] | Literal["auto", "polynomial"] | None = "auto",
    sampling: Sampling = "qmc",
    rng: int | np.random.Generator | None = None,
    progress: bool | Literal["auto"] = "auto",
) -> InputImpact:
    """Estimate quantities of the output under many laws of the inputs, all from one sample.

    Parameters
    ----------
    func
        The model, vectorised: (n, d) points to (n,) or (n, 1) values.
    inputs
        The reference law: `Inputs`, or anything that `law_of` takes. With `laws` it may be left
        out; the first of them is then the reference.
    laws
        L laws of the same inputs. Without them the laws are perturbations of `inputs`.
    perturb
        Name of an input to "mean", "sd" or a list of them: its normal score is shifted by delta,
        Eq. (1), or the variance of the score is multiplied by 2^delta, Eq. (2), one input at a
        time. None: the mean of every input.
    deltas
        Sizes of the perturbations, sorted and each taken once; nine from -1 to 1 when left out. At
        most 10 of "mean" and 6 of "sd", either way.
    quantity
        "mean", "variance", "sd", "quantile", "failure_probability", or a list of them.
    level
        Of the quantile.
    threshold
        The failure probability is P(output > threshold).
    budget
        Evaluations of the model: exactly so many are spent, whatever L is.
    batch_size
        At most so many points in one call of `func`.
    executor
        Anything with `submit(fn, *args) -> future`; batches run on it.
    surrogate
        A cheap model used as control variate where it wins; see `uq.expectations`.
    sampling
        "qmc": the final sample is 7 to 13 independent scrambled Sobol' nets; "mc": independent
        draws.
    rng
        Seed or generator.
    progress
        Show a line of progress: True, False, or "auto" for terminals only.

    Returns
    -------
    InputImpact

    Raises
    ------
    ValueError, TypeError
        For arguments that cannot be used, before an evaluation is spent; after the first ones when
        `func` returns another shape or several outputs, or nothing but NaN.

    Notes
    -----
    Quantiles come from the weighted runs and their errors from the folds; all else comes from
    expectations with their control variates, its errors by the delta method.
    """
    wanted = checked_quantities(quantity, level, threshold)
    reference, labelled = _laws(inputs, laws, perturb, deltas)
    budget = whole_number(budget, "budget", LEAST_BUDGET["auto"])
    distinct, columns = _distinct([reference, *labelled.values()])
    runs = ModelRuns(
        func, reference.dimension, 1, budget,
        batch_size=batch_size, executor=executor, progress=progress,
    )  # fmt: skip
    model = _Functions(runs, wanted, len(distinct))
    with runs:
        try:
            r = expectations(
                model, laws=distinct * len(wanted.functions), budget=budget, sampling=sampling,
                surrogate=model.of_surrogate(surrogate) if callable(surrogate) else surrogate,
                rng=rng, progress=False,
            )  # fmt: skip
        except _ModelError as error:
            raise error.raised from None
    n = len(r.sample)
    message = (
        f"{n} of {budget} evaluations drawn from: {r.history[-1].source}; they serve the "
        f"reference and {len(labelled)} laws."
    )
    return impact(
        r, model.outputs[-n:], quantity if isinstance(quantity, str) else wanted.names,
        model.quantities, tuple(labelled), reference, columns, message,
    )  # fmt: skip


class _ModelError(Exception):
    """Carries what the model raised past the notes of those who pass it on."""

    def __init__(self, raised: Exception) -> None:
        self.raised = raised


class _Functions:
    """The functions of the output under every law, from one run of the model at a point."""

    def __init__(self, runs: ModelRuns, quantities: Quantities, n_laws: int) -> None:
        self.quantities = quantities
        self._runs, self._n_laws = runs, n_laws
        self._seen: list[Array] = []

    def __call__(self, x: Array) -> Array:
        try:
            y = self._runs(x)[:, 0]
        except Exception as error:
            raise _ModelError(error) from error
        finite = y[np.isfinite(y)]
        if len(finite) and not any(np.isfinite(one).any() for one in self._seen):
            try:
                self.quantities = self.quantities.seen(finite)
            except ValueError as error:
                raise _ModelError(error) from error
        self._seen.append(y)
        return self._columns(y)

    @property
    def outputs(self) -> Array:
        """Outputs of all runs in their order."""
        return np.concatenate(self._seen)

    def of_surrogate(self, surrogate: Callable[[Array], ArrayLike]) -> Callable[[Array], Array]:
        """The same functions of a cheap model."""

        def cheap(x: Array) -> Array:
            values = np.asarray(surrogate(x), dtype=np.float64)
            if values.shape not in ((len(x),), (len(x), 1)):
                raise ValueError(
                    f"`surrogate` must return values of the shape ({len(x)},) for {len(x)} "
                    f"points, but got the shape {values.shape}."
                )
            return self._columns(values.reshape(-1))

        return cheap

    def _columns(self, y: Array) -> Array:
        return np.repeat(self.quantities.of(y), self._n_laws, axis=1)


def _laws(
    inputs: Any,
    laws: Sequence[Any] | None,
    perturb: Mapping[str, Any] | None,
    deltas: ArrayLike | None,
) -> tuple[Law, dict[LawLabel, Law]]:
    """Reference law and the others by their labels."""
    if laws is None:
        if inputs is None:
            raise TypeError("Give `inputs`, the law to be perturbed, or `laws`, a list of laws.")
        reference = law_of(inputs)
        if not isinstance(reference, Inputs):
            raise TypeError(
                "`perturb` changes one marginal of `uq.Inputs` at a time, but `inputs` is "
                f"{reference!r}; give `laws` instead."
            )
        return reference, _perturbations(reference, perturb, deltas)
    if perturb is not None or deltas is not None:
        raise TypeError("Give either `laws`, or `perturb` and `deltas`, but not both.")
    if not isinstance(laws, Sequence) or isinstance(laws, str) or not laws:
        raise TypeError(f"`laws` must be a list of laws, but got {laws!r}.")
    known: dict[int, Law] = {}
    given = [known.setdefault(id(law), law_of(law)) for law in laws]
    first = given[0] if inputs is None else known.get(id(inputs)) or law_of(inputs)
    for k, law in enumerate(given):
        if law.dimension != first.dimension:
            raise ValueError(
                f"All laws must have the same dimension, but law {k} has {law.dimension} and the "
                f"reference {first.dimension}."
            )
    return first, {LawLabel("", "law", float(k)): law for k, law in enumerate(given)}


def _perturbations(
    inputs: Inputs, perturb: Mapping[str, Any] | None, deltas: ArrayLike | None
) -> dict[LawLabel, Law]:
    if perturb is None:
        perturb = dict.fromkeys(inputs.names, "mean")
    if not isinstance(perturb, Mapping) or not perturb:
        raise TypeError(
            "`perturb` must map names of inputs to 'mean', 'sd' or a list of them, but got "
            f"{perturb!r}."
        )
    sizes = real_numbers(_DELTAS if deltas is None else deltas, "deltas")
    if sizes.ndim != 1 or len(sizes) == 0 or not np.isfinite(sizes).all():
        raise ValueError(f"`deltas` must be a list of finite numbers, but got {deltas!r}.")
    found: dict[LawLabel, Law] = {}
    for name, kinds in perturb.items():
        check_name("input in `perturb`", name, inputs.names)
        for kind in [kinds] if isinstance(kinds, str) or not isinstance(kinds, Sequence) else kinds:
            check_name(f"perturbation of '{name}'", kind, KINDS, "or a list of them")
            if np.abs(sizes).max() > _LARGEST[kind]:
                raise ValueError(
                    f"`deltas` of '{kind}' must lie between -{_LARGEST[kind]:g} and "
                    f"{_LARGEST[kind]:g}, but got {deltas!r}: farther out a law has no "
                    "floating-point probability. Laws of your own are given as `laws`."
                )
            for delta in np.unique(sizes).tolist():
                found[LawLabel(name, kind, delta)] = _perturbed(inputs, name, kind, delta)
    if not found:
        raise ValueError(f"`perturb` names no perturbation: {dict(perturb)!r}.")
    return found


def _perturbed(inputs: Inputs, name: str, kind: str, delta: float) -> Inputs:
    if delta == 0.0:
        return inputs
    marginals = dict(zip(inputs.names, inputs.marginals, strict=True))
    shift, factor = (delta, 1.0) if kind == "mean" else (0.0, 2.0 ** (delta / 2.0))  # (1), (2)
    marginals[name] = perturbed(marginals[name], shift, factor)
    return Inputs(marginals, None if inputs.is_independent else inputs.correlation)


def _distinct(laws: Sequence[Law]) -> tuple[list[Law], NDArray[np.int64]]:
    """Each law once, and which of them every one is."""
    first = {id(law): law for law in laws}
    place = {key: k for k, key in enumerate(first)}
    return list(first.values()), np.array([place[id(law)] for law in laws])
