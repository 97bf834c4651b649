"""Expected maximum of lines in one standard normal variable: the cellar of noisy EI and KG.

Notation
--------
B, m        candidates, lines
a, b        (B, m) intercepts and slopes of the lines a_i + b_i Z,    Z ~ N(0, 1)
active      the lines that are the highest one somewhere, from the lowest slope to the highest
c_k         where active line k + 1 takes over from active line k, an *edge* of the envelope
zeta(u)     phi(u) + u Phi(u)

    h(a, b)  = E[max_i (a_i + b_i Z)] - max_i a_i
             = sum_k (b_{k+1} - b_k) zeta(-|c_k|)         Frazier, Powell & Dayanik (2009), Eq. (14)
    dh/db_i  = phi(c_{i-1}) - phi(c_i)
    dh/da_i  = Phi(c_i) - Phi(c_{i-1}) - 1{i is highest at Z = 0}

Nothing in the sum cancels. In the derivatives an edge takes from the line that is left what it
gives to the other one: phi(c) of slope, and Phi(-|c|) of intercept to the one farther from Z = 0.
Where all edges are far out h underflows; its logarithm and the derivatives of that do not.
"""

import numpy as np
import torch
from jaxtyping import Float as Shaped
from numpy.typing import NDArray
from torch import Tensor

from bayesopt.acquisition.normal_tail import log_zeta_and_ratios

Array = NDArray[np.float64]

_FARTHEST = 1e30  # of edges: beyond it squares of the derivatives of log h may overflow


def envelope(a: Array, b: Array) -> tuple[NDArray[np.int64], Array]:
    """Upper envelope of the lines of every candidate.

    Walks from the line that is highest at -infinity to the next one that crosses it, all
    candidates at once: as many rounds as the longest envelope has lines, and that is few.

    Parameters
    ----------
    a, b
        (B, m) intercepts and slopes, finite.

    Returns
    -------
    active, c
        (B, k + 1) indices of the active lines, slopes rising, and (B, k) edges between them. A
        shorter envelope repeats its last line, with edges at infinity.
    """
    here = np.argmax(np.where(b == b.min(axis=1, keepdims=True), a, -np.inf), axis=1)
    rounds, edges = [here], []
    walking = np.arange(len(a))
    while len(walking) > 0:
        at, slope = a[walking, here[walking]][:, None], b[walking, here[walking]][:, None]
        rise = b[walking] - slope
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            c = np.where(rise > 0.0, (at - a[walking]) / rise, np.inf)
        first = c.min(axis=1)
        # Of several lines that cross in one point the steepest is the next.
        following = np.argmax(np.where(c == first[:, None], rise, -np.inf), axis=1)
        on = rise.max(axis=1) > 0.0
        walking, first, following = walking[on], first[on], following[on]
        if len(walking) == 0:
            break
        here, edge = here.copy(), np.full(len(a), np.inf)
        here[walking], edge[walking] = following, first
        rounds.append(here)
        edges.append(edge)
    c = np.stack(edges, axis=1) if edges else np.empty((len(a), 0))
    return np.stack(rounds, axis=1), c


class _LogExpectedGain(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        value, by_a, by_b = map(torch.from_numpy, log_gain_and_partials(a.numpy(), b.numpy()))
        ctx.save_for_backward(by_a, by_b)
        return value

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        if torch.is_grad_enabled():  # create_graph=True: they would come out wrong
            raise RuntimeError("Second derivatives of an expected maximum are not implemented.")
        by_a, by_b = ctx.saved_tensors
        return grad.unsqueeze(-1) * by_a, grad.unsqueeze(-1) * by_b


def log_gain_and_partials(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """log h(a, b) (B,), and its derivatives (B, m) in a and b; zero where h is zero.

    h is zero too where all edges are beyond 1e30: its logarithm would be less than -1e59.
    """
    active, c = envelope(a, b)
    row = np.arange(len(a))[:, None]
    left, right = active[:, :-1], active[:, 1:]
    step = b[row, right] - b[row, left]
    is_edge = (np.abs(c) < _FARTHEST) & (step > 0.0)
    log_zeta, by_Phi, by_phi = log_zeta_and_ratios(np.where(is_edge, -np.abs(c), 0.0))
    log_gain = np.where(is_edge, np.log(np.where(is_edge, step, 1.0)) + log_zeta, -np.inf)
    largest = log_gain.max(axis=1, initial=-np.inf)
    finite = np.where(np.isfinite(largest), largest, 0.0)[:, None]
    total = np.exp(log_gain - finite).sum(axis=1)
    value = np.where(total > 0.0, finite[:, 0] + np.log(np.where(total > 0.0, total, 1.0)), -np.inf)
    log_total = np.where(total > 0.0, value, 0.0)[:, None]
    share = np.exp(np.where(is_edge, log_zeta - log_total, -np.inf))
    to_outer = share * by_Phi * np.where(c < 0.0, -1.0, 1.0)
    to_steeper = share * by_phi
    by_a, by_b = np.zeros_like(a), np.zeros_like(b)
    for k in range(c.shape[1]):  # a line has at most one edge on either side
        at, gains, loses = row[:, 0], right[:, k], left[:, k]
        by_a[at, gains] += to_outer[:, k]
        by_a[at, loses] -= to_outer[:, k]
        by_b[at, gains] += to_steeper[:, k]
        by_b[at, loses] -= to_steeper[:, k]
    return value, by_a, by_b


def log_expected_gain(a: Shaped[Tensor, "*B m"], b: Shaped[Tensor, "*B m"]) -> Shaped[Tensor, "*B"]:
    """log h(a, b), differentiable; -inf where no line ever overtakes the highest one.

    Parameters
    ----------
    a, b
        Intercepts and slopes of the lines; leading shapes are batches.
    """
    m = a.shape[-1]
    value: Tensor = _LogExpectedGain.apply(a.reshape(-1, m), b.reshape(-1, m))  # type: ignore[no-untyped-call]
    return value.reshape(a.shape[:-1])


def expected_gain(a: Shaped[Tensor, "*B m"], b: Shaped[Tensor, "*B m"]) -> Shaped[Tensor, "*B"]:
    """h(a, b) = E[max_i (a_i + b_i Z)] - max_i a_i, differentiable and never negative."""
    return log_expected_gain(a, b).exp()
