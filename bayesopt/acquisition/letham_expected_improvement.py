"""Noisy expected improvement after Letham et al.: improvement on the hidden values themselves.

Notation
--------
A           (r, d) evaluated points, and pending ones
f_s         (r,) sample s of S of the true values there

    NEI(x)   = E[(f(x) - max over A of f)^+]
             = E over f_s of EI(x | f(A) = f_s)                     Letham et al. (2019), Eq. (6)

The moments given f_s are those of `given_samples`.

It credits the candidate with its true value, as if the noise would be taken away afterwards, and
needs no noise of the next observation; at an evaluated point it is zero.
"""

from botorch.acquisition import AcquisitionFunction
from botorch.models.model import Model
from jaxtyping import Float as Shaped
from torch import Tensor

from bayesopt.acquisition import expected_improvement, sampled_improvement
from bayesopt.acquisition.given_samples import GivenSamples
from bayesopt.acquisition.sampled_improvement import ImprovementOverBest, SampledImprovement
from bayesopt.data import Dataset

_N_SAMPLES = 32


class LethamExpectedImprovement(SampledImprovement):
    """Expected improvement of f(x) over the largest hidden value at points evaluated with noise.

    Parameters
    ----------
    model
        A botorch Model with one output, to be maximised.
    A
        (r, d) evaluated points; pending ones count as evaluated.
    log
        Return the logarithm, which has the same maximiser and a usable gradient everywhere.
    n_samples
        Size of the fixed quasi-Monte Carlo sample of f(A).
    """

    def __init__(
        self,
        model: Model,
        A: Shaped[Tensor, "r d"],
        *,
        log: bool = True,
        n_samples: int = _N_SAMPLES,
    ) -> None:
        f = GivenSamples(model, A, n_samples=n_samples)
        super().__init__(ImprovementOverBest(f.values.amax(1)), [f], log=log)


def build(
    model: Model, data: Dataset, X_pending: Shaped[Tensor, "m d"] | None = None
) -> AcquisitionFunction:
    """Log of Letham's noisy expected improvement on a fitted model; without noise it is plain.

    Parameters
    ----------
    model
        Fitted to `data`.
    data
        Its points, with their hidden values, are what has to be improved on.
    X_pending
        Points that are being evaluated; they have to be improved on too.
    """
    pending = X_pending is not None and len(X_pending) > 0
    if not pending and bool((data.Yvar == 0).all()):
        return expected_improvement.build(model, data)
    return sampled_improvement.build((model, data), X_pending=X_pending)
