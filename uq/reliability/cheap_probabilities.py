"""What the cheap limit states say of every event, from points that cost nothing.

Notation
--------
m, S        points of one net, nets
R, Q, Q'    fits (one without each fold), events, the first of them that have a softness
h_re        cheap limit state less the threshold of event e, by the fit without fold r
s_re        softness
phi, q      law of the inputs, density that is drawn from;  W = phi / q at the cheap points

    hard_re = mean W 1{h_re < 0}                                                              (1)
    soft_re = mean W Phi(-h_re / s_re)                                                        (2)

Where e is more likely than not it is one less the mean of the opposite, which W makes vary less.
Each net is scrambled on its own, so that their spread is the error.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from uq.proposals import Density
from uq.reliability.failure_density import standard_normal_log_density
from uq.sampling import Folds, Sampling

Array = NDArray[np.float64]

N_NETS = 8
_LEAST, _MOST = 11, 17  # logarithms of the points of a net
_NUMBERS = 1.2e8  # that the cheap limit states may cost in all
_MOST_OF_NETS = 40  # dimensions, beyond which nets gain too little for the time they take
_ENTRIES = 2**22  # coordinates of the points of a net


@dataclass(frozen=True, eq=False)
class CheapProbabilities:
    """Expectations by each net, fit and event.

    Parameters
    ----------
    hard
        (S, R, Q) of the indicators.
    soft
        (S, R, Q') of the soft indicators, of the events that have a softness.
    """

    hard: Array
    soft: Array


def cheap_probabilities(
    margins: Callable[[Array], Array],
    q: Density,
    cost: int,
    softness: Array,
    frequent: NDArray[np.bool_],
    rng: np.random.Generator,
) -> CheapProbabilities:
    """Expectations of the cheap events under the inputs' law.

    Parameters
    ----------
    margins
        (m, d) points to (m, R, Q) cheap limit states less the thresholds.
    q
        Density to draw from.
    cost
        About how many numbers one point costs; there are the more points, the less they cost.
    softness
        (R, Q') of the first Q' events; 0 is a jump.
    frequent
        (Q,) events more likely than not: one less the mean of the opposite.
    rng
        Source of random numbers.
    """
    largest = np.log2(_ENTRIES / q.dimension)
    log2 = int(np.clip(np.log2(_NUMBERS / cost / N_NETS), _LEAST, min(_MOST, largest)))
    sampling: Sampling = "qmc" if q.dimension <= _MOST_OF_NETS else "mc"
    n_soft = softness.shape[1]
    hard, soft = [], []
    for _ in range(N_NETS):
        z = q.transform(Folds(1, 1 << log2, sampling).uniforms(q.n_uniforms, rng))
        W = np.exp(standard_normal_log_density(z) - q.log_density(z))
        h = margins(z)
        hard.append(_mean(W, (h < 0.0).astype(np.float64), frequent))  # (1)
        softened = soft_indicator(h[..., :n_soft], softness)
        soft.append(_mean(W, softened, frequent[:n_soft]))  # (2)
    return CheapProbabilities(np.stack(hard), np.stack(soft))


def _mean(W: Array, happens: Array, frequent: NDArray[np.bool_]) -> Array:
    """(R, Q) weighted means of (m, R, Q)."""
    counted = np.where(frequent, 1.0 - happens, happens)
    mean: Array = np.einsum("m,mrq->rq", W, counted) / len(W)
    return np.where(frequent, 1.0 - mean, mean)


def soft_indicator(h: Array, softness: Array) -> Array:
    """Phi(-h / s), with the jump where s is 0."""
    soft: Array = ndtr(-h / np.where(softness > 0.0, softness, 1.0))
    return np.where(softness > 0.0, soft, h < 0.0)
